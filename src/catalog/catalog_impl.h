/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside catalog: what a kind of catalogue is. A kind is one row in catalog.c and an ops struct
 * with a member for every function of catalog/catalog.h, under the same contract; its struct begins
 * with a struct catalog.
 */
#ifndef CATALOG_IMPL_H
#define CATALOG_IMPL_H

#include "catalog/catalog.h"

struct catalog_ops {
    void (*close)(struct catalog *cat);
    int (*flush)(struct catalog *cat, struct err *err);
    int (*check)(struct catalog *cat, struct err *err);
    int (*attr_get)(struct catalog *cat, const char *key, char **value, struct err *err);
    int (*attr_set)(struct catalog *cat, const char *key, const char *value, unsigned flags,
                    struct err *err);
    int (*attr_list)(struct catalog *cat, const char *prefix, struct catalog_attrs *out,
                     struct err *err);
    int (*sequence_next)(struct catalog *cat, const char *name, int64_t *value, struct err *err);
    int (*pool_add)(struct catalog *cat, struct catalog_pool *p, struct err *err);
    int (*pool_delete)(struct catalog *cat, const char *library, const char *name, struct err *err);
    int (*pool_get)(struct catalog *cat, const char *library, const char *name,
                    struct catalog_pool *out, struct err *err);
    int (*pool_list)(struct catalog *cat, const char *library, struct catalog_pools *out,
                     struct err *err);
    int (*volume_put)(struct catalog *cat, struct catalog_volume *v, struct err *err);
    int (*volume_delete)(struct catalog *cat, int64_t id, struct err *err);
    int (*volume_get)(struct catalog *cat, const char *library, const char *barcode,
                      struct catalog_volume *out, struct err *err);
    int (*volume_by_id)(struct catalog *cat, int64_t id, struct catalog_volume *out,
                        struct err *err);
    int (*volume_list)(struct catalog *cat, const char *library, const char *pool,
                       struct catalog_volumes *out, struct err *err);
    int (*drive_put)(struct catalog *cat, const struct catalog_drive *d, unsigned flags,
                     struct err *err);
    int (*drive_delete)(struct catalog *cat, const char *library, const char *serial,
                        struct err *err);
    int (*drive_list)(struct catalog *cat, const char *library, struct catalog_drives *out,
                      struct err *err);
    int (*archive_add)(struct catalog *cat, const struct catalog_archive *a, size_t na,
                       const struct catalog_copy *c, size_t nc, struct err *err);
    int (*archive_get)(struct catalog *cat, const struct uuid *archive,
                       struct catalog_archives *out, struct err *err);
    int (*archive_of_file)(struct catalog *cat, const struct uuid *fs, uint64_t ino, uint32_t gen,
                           struct catalog_archives *out, struct err *err);
    int (*archive_page)(struct catalog *cat, const struct uuid *fs, uint64_t after_ino, size_t max,
                        struct catalog_archives *out, struct err *err);
    int (*archive_delete)(struct catalog *cat, const struct uuid *archive, size_t n,
                          struct err *err);
    int (*copy_of)(struct catalog *cat, const struct uuid *archives, size_t n,
                   struct catalog_copies *out, struct err *err);
    int (*copy_page)(struct catalog *cat, int64_t volume, struct catalog_copy_pos *pos, size_t max,
                     struct catalog_copies *out, struct err *err);
    int (*copy_set_state)(struct catalog *cat, const struct uuid *archives, size_t n, int copy_no,
                          enum catalog_copy_state state, struct err *err);
    int (*copy_set_state_volume)(struct catalog *cat, int64_t volume, enum catalog_copy_state state,
                                 struct err *err);
    int (*copy_sum)(struct catalog *cat, int64_t volume, struct catalog_copy_sums *out,
                    struct err *err);
    int (*copy_only_on)(struct catalog *cat, int64_t volume, int64_t *n, struct err *err);
    int (*task_add)(struct catalog *cat, struct catalog_task *t, struct err *err);
    int (*task_set)(struct catalog *cat, int64_t id, enum catalog_task_status status,
                    enum catalog_task_result result, const char *message, unsigned flags,
                    struct err *err);
    int (*task_get)(struct catalog *cat, int64_t id, struct catalog_tasks *out, struct err *err);
    int (*task_list)(struct catalog *cat, bool completed, size_t limit, struct catalog_tasks *out,
                     struct err *err);
    int (*task_delete)(struct catalog *cat, int64_t id, struct err *err);
    int (*task_prune)(struct catalog *cat, int64_t before_ns, int keep_failed, int64_t *removed,
                      struct err *err);
    int (*job_add)(struct catalog *cat, int64_t task, struct catalog_job *v, size_t n,
                   struct err *err);
    int (*job_claim)(struct catalog *cat, const struct catalog_job_filter *f, size_t max,
                     struct catalog_jobs *out, struct err *err);
    int (*job_route)(struct catalog *cat, const struct catalog_job *v, size_t n, struct err *err);
    int (*job_finish)(struct catalog *cat, const struct catalog_job_end *v, size_t n,
                      unsigned flags, struct err *err);
    int (*job_cancel)(struct catalog *cat, int64_t task, const char *code, const char *message,
                      int64_t *n, struct err *err);
    int (*job_list)(struct catalog *cat, const struct catalog_job_filter *f, size_t limit,
                    struct catalog_jobs *out, struct err *err);
    int (*job_list_at)(struct catalog *cat, const struct catalog_job_filter *f, size_t offset,
                       size_t limit, struct catalog_jobs *out, struct err *err);
    int (*job_find_open)(struct catalog *cat, const struct uuid *fs, uint64_t ino, uint32_t gen,
                         int kind, struct catalog_jobs *out, struct err *err);
    int (*job_count)(struct catalog *cat, int64_t task, struct catalog_job_counts *out,
                     struct err *err);
    int (*recover)(struct catalog *cat, int64_t *requeued, struct err *err);
    int (*account_add)(struct catalog *cat, struct catalog_account *a, struct err *err);
    int (*account_set)(struct catalog *cat, const struct catalog_account *a, struct err *err);
    int (*account_delete)(struct catalog *cat, const char *name, struct err *err);
    int (*account_list)(struct catalog *cat, const char *name, struct catalog_accounts *out,
                        struct err *err);
    int (*bucket_add)(struct catalog *cat, struct catalog_bucket *b, struct err *err);
    int (*bucket_delete)(struct catalog *cat, const char *name, struct err *err);
    int (*bucket_list)(struct catalog *cat, const char *name, const char *owner,
                       struct catalog_buckets *out, struct err *err);
    int (*registry_generation)(struct catalog *cat, int64_t *generation, struct err *err);
    int (*schedule_put)(struct catalog *cat, const struct catalog_schedule *s, struct err *err);
    int (*schedule_ran)(struct catalog *cat, const char *name, int64_t when_ns, const char *result,
                        unsigned flags, struct err *err);
    int (*schedule_delete)(struct catalog *cat, const char *name, struct err *err);
    int (*schedule_list)(struct catalog *cat, const char *name, struct catalog_schedules *out,
                         struct err *err);
};

struct catalog {
    const struct catalog_ops *ops;
};

/* Opens a catalogue of kind sqlite in dir; contract as catalog_open. */
int sqlite_catalog_open(const char *dir, struct catalog **out, struct err *err);

/* n bytes (8-byte aligned, zeroed) that live until catalog_mem_free(*m); *m begins as NULL. Aborts
 * when out of memory. */
void *catalog_mem_alloc(struct catalog_mem **m, size_t n);

/* A copy of s in *m; NULL gives "". */
const char *catalog_mem_str(struct catalog_mem **m, const char *s);

#endif
