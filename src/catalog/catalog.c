/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds of catalogue, and the way through to the one that is open. */
#include "catalog/catalog.h"

#include "catalog/catalog_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int (*open)(const char *dir, struct catalog **out, struct err *err);
} kinds[] = {
    {"sqlite", sqlite_catalog_open},
};

int catalog_open(const char *kind, const char *dir, struct catalog **out, struct err *err)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kinds[i].name, kind) == 0)
            return kinds[i].open(dir, out, err);
    }
    return err_set(err, -EINVAL, "catalogue kind \"%s\" is not known (known: sqlite)", kind);
}

void catalog_close(struct catalog *cat)
{
    if (cat != NULL)
        cat->ops->close(cat);
}

int catalog_flush(struct catalog *cat, struct err *err)
{
    return cat->ops->flush(cat, err);
}

int catalog_check(struct catalog *cat, struct err *err)
{
    return cat->ops->check(cat, err);
}

int catalog_attr_get(struct catalog *cat, const char *key, char **value, struct err *err)
{
    return cat->ops->attr_get(cat, key, value, err);
}

int catalog_attr_set(struct catalog *cat, const char *key, const char *value, unsigned flags,
                     struct err *err)
{
    return cat->ops->attr_set(cat, key, value, flags, err);
}

int catalog_attr_list(struct catalog *cat, const char *prefix, struct catalog_attrs *out,
                      struct err *err)
{
    return cat->ops->attr_list(cat, prefix, out, err);
}

int catalog_sequence_next(struct catalog *cat, const char *name, int64_t *value, struct err *err)
{
    return cat->ops->sequence_next(cat, name, value, err);
}

int catalog_pool_add(struct catalog *cat, struct catalog_pool *p, struct err *err)
{
    return cat->ops->pool_add(cat, p, err);
}

int catalog_pool_delete(struct catalog *cat, const char *library, const char *name, struct err *err)
{
    return cat->ops->pool_delete(cat, library, name, err);
}

int catalog_pool_get(struct catalog *cat, const char *library, const char *name,
                     struct catalog_pool *out, struct err *err)
{
    return cat->ops->pool_get(cat, library, name, out, err);
}

int catalog_pool_list(struct catalog *cat, const char *library, struct catalog_pools *out,
                      struct err *err)
{
    return cat->ops->pool_list(cat, library, out, err);
}

int catalog_volume_put(struct catalog *cat, struct catalog_volume *v, struct err *err)
{
    return cat->ops->volume_put(cat, v, err);
}

int catalog_volume_delete(struct catalog *cat, int64_t id, struct err *err)
{
    return cat->ops->volume_delete(cat, id, err);
}

int catalog_volume_get(struct catalog *cat, const char *library, const char *barcode,
                       struct catalog_volume *out, struct err *err)
{
    return cat->ops->volume_get(cat, library, barcode, out, err);
}

int catalog_volume_by_id(struct catalog *cat, int64_t id, struct catalog_volume *out,
                         struct err *err)
{
    return cat->ops->volume_by_id(cat, id, out, err);
}

int catalog_volume_list(struct catalog *cat, const char *library, const char *pool,
                        struct catalog_volumes *out, struct err *err)
{
    return cat->ops->volume_list(cat, library, pool, out, err);
}

int catalog_drive_put(struct catalog *cat, const struct catalog_drive *d, unsigned flags,
                      struct err *err)
{
    return cat->ops->drive_put(cat, d, flags, err);
}

int catalog_drive_delete(struct catalog *cat, const char *library, const char *serial,
                         struct err *err)
{
    return cat->ops->drive_delete(cat, library, serial, err);
}

int catalog_drive_list(struct catalog *cat, const char *library, struct catalog_drives *out,
                       struct err *err)
{
    return cat->ops->drive_list(cat, library, out, err);
}

int catalog_archive_add(struct catalog *cat, const struct catalog_archive *a, size_t na,
                        const struct catalog_copy *c, size_t nc, struct err *err)
{
    return cat->ops->archive_add(cat, a, na, c, nc, err);
}

int catalog_archive_get(struct catalog *cat, const struct uuid *archive,
                        struct catalog_archives *out, struct err *err)
{
    return cat->ops->archive_get(cat, archive, out, err);
}

int catalog_archive_of_file(struct catalog *cat, const struct uuid *fs, uint64_t ino, uint32_t gen,
                            struct catalog_archives *out, struct err *err)
{
    return cat->ops->archive_of_file(cat, fs, ino, gen, out, err);
}

int catalog_archive_page(struct catalog *cat, const struct uuid *fs, uint64_t after_ino, size_t max,
                         struct catalog_archives *out, struct err *err)
{
    return cat->ops->archive_page(cat, fs, after_ino, max, out, err);
}

int catalog_archive_delete(struct catalog *cat, const struct uuid *archive, size_t n,
                           struct err *err)
{
    return cat->ops->archive_delete(cat, archive, n, err);
}

int catalog_copy_of(struct catalog *cat, const struct uuid *archives, size_t n,
                    struct catalog_copies *out, struct err *err)
{
    return cat->ops->copy_of(cat, archives, n, out, err);
}

int catalog_copy_page(struct catalog *cat, int64_t volume, struct catalog_copy_pos *pos, size_t max,
                      struct catalog_copies *out, struct err *err)
{
    return cat->ops->copy_page(cat, volume, pos, max, out, err);
}

int catalog_copy_set_state(struct catalog *cat, const struct uuid *archives, size_t n, int copy_no,
                           enum catalog_copy_state state, struct err *err)
{
    return cat->ops->copy_set_state(cat, archives, n, copy_no, state, err);
}

int catalog_copy_set_state_volume(struct catalog *cat, int64_t volume,
                                  enum catalog_copy_state state, struct err *err)
{
    return cat->ops->copy_set_state_volume(cat, volume, state, err);
}

int catalog_copy_sum(struct catalog *cat, int64_t volume, struct catalog_copy_sums *out,
                     struct err *err)
{
    return cat->ops->copy_sum(cat, volume, out, err);
}

int catalog_copy_only_on(struct catalog *cat, int64_t volume, int64_t *n, struct err *err)
{
    return cat->ops->copy_only_on(cat, volume, n, err);
}

int catalog_task_add(struct catalog *cat, struct catalog_task *t, struct err *err)
{
    return cat->ops->task_add(cat, t, err);
}

int catalog_task_set(struct catalog *cat, int64_t id, enum catalog_task_status status,
                     enum catalog_task_result result, const char *message, unsigned flags,
                     struct err *err)
{
    return cat->ops->task_set(cat, id, status, result, message, flags, err);
}

int catalog_task_get(struct catalog *cat, int64_t id, struct catalog_tasks *out, struct err *err)
{
    return cat->ops->task_get(cat, id, out, err);
}

int catalog_task_list(struct catalog *cat, bool completed, size_t limit, struct catalog_tasks *out,
                      struct err *err)
{
    return cat->ops->task_list(cat, completed, limit, out, err);
}

int catalog_task_delete(struct catalog *cat, int64_t id, struct err *err)
{
    return cat->ops->task_delete(cat, id, err);
}

int catalog_task_prune(struct catalog *cat, int64_t before_ns, int keep_failed, int64_t *removed,
                       struct err *err)
{
    return cat->ops->task_prune(cat, before_ns, keep_failed, removed, err);
}

int catalog_job_add(struct catalog *cat, int64_t task, struct catalog_job *v, size_t n,
                    struct err *err)
{
    return cat->ops->job_add(cat, task, v, n, err);
}

int catalog_job_claim(struct catalog *cat, const struct catalog_job_filter *f, size_t max,
                      struct catalog_jobs *out, struct err *err)
{
    return cat->ops->job_claim(cat, f, max, out, err);
}

int catalog_job_route(struct catalog *cat, const struct catalog_job *v, size_t n, struct err *err)
{
    return cat->ops->job_route(cat, v, n, err);
}

int catalog_job_finish(struct catalog *cat, const struct catalog_job_end *v, size_t n,
                       unsigned flags, struct err *err)
{
    return cat->ops->job_finish(cat, v, n, flags, err);
}

int catalog_job_cancel(struct catalog *cat, int64_t task, const char *code, const char *message,
                       int64_t *n, struct err *err)
{
    return cat->ops->job_cancel(cat, task, code, message, n, err);
}

int catalog_job_list(struct catalog *cat, const struct catalog_job_filter *f, size_t limit,
                     struct catalog_jobs *out, struct err *err)
{
    return cat->ops->job_list(cat, f, limit, out, err);
}

int catalog_job_list_at(struct catalog *cat, const struct catalog_job_filter *f, size_t offset,
                        size_t limit, struct catalog_jobs *out, struct err *err)
{
    return cat->ops->job_list_at(cat, f, offset, limit, out, err);
}

int catalog_job_find_open(struct catalog *cat, const struct uuid *fs, uint64_t ino, uint32_t gen,
                          int kind, struct catalog_jobs *out, struct err *err)
{
    return cat->ops->job_find_open(cat, fs, ino, gen, kind, out, err);
}

int catalog_job_count(struct catalog *cat, int64_t task, struct catalog_job_counts *out,
                      struct err *err)
{
    return cat->ops->job_count(cat, task, out, err);
}

int catalog_recover(struct catalog *cat, int64_t *requeued, struct err *err)
{
    return cat->ops->recover(cat, requeued, err);
}

int catalog_account_add(struct catalog *cat, struct catalog_account *a, struct err *err)
{
    return cat->ops->account_add(cat, a, err);
}

int catalog_account_set(struct catalog *cat, const struct catalog_account *a, struct err *err)
{
    return cat->ops->account_set(cat, a, err);
}

int catalog_account_delete(struct catalog *cat, const char *name, struct err *err)
{
    return cat->ops->account_delete(cat, name, err);
}

int catalog_account_list(struct catalog *cat, const char *name, struct catalog_accounts *out,
                         struct err *err)
{
    return cat->ops->account_list(cat, name, out, err);
}

int catalog_bucket_add(struct catalog *cat, struct catalog_bucket *b, struct err *err)
{
    return cat->ops->bucket_add(cat, b, err);
}

int catalog_bucket_delete(struct catalog *cat, const char *name, struct err *err)
{
    return cat->ops->bucket_delete(cat, name, err);
}

int catalog_bucket_list(struct catalog *cat, const char *name, const char *owner,
                        struct catalog_buckets *out, struct err *err)
{
    return cat->ops->bucket_list(cat, name, owner, out, err);
}

int catalog_registry_generation(struct catalog *cat, int64_t *generation, struct err *err)
{
    return cat->ops->registry_generation(cat, generation, err);
}

int catalog_schedule_put(struct catalog *cat, const struct catalog_schedule *s, struct err *err)
{
    return cat->ops->schedule_put(cat, s, err);
}

int catalog_schedule_ran(struct catalog *cat, const char *name, int64_t when_ns, const char *result,
                         unsigned flags, struct err *err)
{
    return cat->ops->schedule_ran(cat, name, when_ns, result, flags, err);
}

int catalog_schedule_delete(struct catalog *cat, const char *name, struct err *err)
{
    return cat->ops->schedule_delete(cat, name, err);
}

int catalog_schedule_list(struct catalog *cat, const char *name, struct catalog_schedules *out,
                          struct err *err)
{
    return cat->ops->schedule_list(cat, name, out, err);
}
