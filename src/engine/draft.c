/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/recall_impl.h"

#include "base/log.h"
#include "base/mem.h"
#include "engine/attr.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 1000 /* jobs stored at once */

struct engine_draft {
    struct engine *e;
    struct task *task; /* not open yet */
    char uid[48];
    int64_t files, duplicates, queued, failed, bytes;
    bool committed;
};

/* One file on its way into the catalogue. */
struct entry {
    struct catalog_job *job;
    char *path; /* owned */
};

static int check_allowed(struct engine *e, const struct engine_task_spec *spec, struct err *err)
{
    static const char *const names[] = {"allow_migrate", "allow_premigrate",
                                        "allow_selective_recall", "allow_save"};
    if (spec->type == ENGINE_SAVE)
        return err_set(err, -EOPNOTSUPP,
                       "save of empty files, directories and links is not offered");
    if (!attr_get_bool(e->cat, names[spec->type]))
        return err_set(err, -EACCES, "%s is switched off: firn cluster set -a %s -v yes allows it",
                       task_type_name(spec->type), names[spec->type]);
    if (spec->type == ENGINE_RECALL)
        return 0;
    if (spec->npools < 1 || spec->npools > ENGINE_POOLS_MAX)
        return err_set(err, -EINVAL, "one to %d pools are needed (-p POOL@LIBRARY)",
                       ENGINE_POOLS_MAX);
    return 0;
}

static int resolve_pools(struct engine *e, const struct engine_task_spec *spec, struct task *t,
                         struct buf *text, struct err *err)
{
    for (size_t i = 0; spec->type != ENGINE_RECALL && i < spec->npools; i++) {
        int rc = pool_resolve(e, spec->pools[i], &t->pools[i], err);
        if (rc < 0)
            return rc;
        for (size_t k = 0; k < i; k++) {
            if (t->pools[k] == t->pools[i])
                return err_set(err, -EINVAL, "pool %s is named twice", spec->pools[i]);
        }
        buf_addf(text, "%s%s@%s", i > 0 ? "," : "", t->pools[i]->name, t->pools[i]->lib->name);
        t->npools = i + 1;
    }
    return 0;
}

static int64_t options_of(const struct engine_task_spec *spec)
{
    return (spec->resident ? TASK_RESIDENT : 0) | (spec->background ? TASK_BACKGROUND : 0);
}

int engine_draft_new(struct engine *e, const struct engine_task_spec *spec,
                     struct engine_draft **out, struct err *err)
{
    int rc = check_allowed(e, spec, err);
    if (rc < 0)
        return rc;
    auto_buf struct buf pools = {0};
    auto_free struct task *t = xzalloc(sizeof(*t));
    t->type = spec->type;
    t->options = options_of(spec);
    t->stage = "waiting";
    rc = resolve_pools(e, spec, t, &pools, err);
    if (rc < 0)
        return rc;
    struct catalog_task row = {.params = spec->parameters,
                               .pools = pools.data,
                               .status = CATALOG_TASK_DRAFT,
                               .options = t->options,
                               .priority = spec->type == ENGINE_RECALL ? 2 : 1};
    (void)snprintf(row.type, sizeof(row.type), "%s", task_type_name(spec->type));
    rc = catalog_task_add(e->cat, &row, err);
    if (rc < 0)
        return err_wrap(err, rc, "new task");
    struct engine_draft *d = xzalloc(sizeof(*d));
    t->id = row.id;
    d->e = e;
    d->task = take_ptr(t);
    memcpy(d->uid, row.uid, sizeof(d->uid));
    *out = d;
    return 0;
}

/* The job is over before it began. */
static void refuse(struct catalog_job *j, const char *code, const char *message)
{
    j->state = CATALOG_JOB_FAILED;
    (void)snprintf(j->code, sizeof(j->code), "%s", code);
    j->message = message;
}

/* Text only: no empty and no "." components. The caller frees. */
static char *squeeze(const char *path)
{
    struct buf b = {0};
    for (const char *p = path; *p != '\0';) {
        size_t n = strcspn(p, "/");
        if (n > 0 && !(n == 1 && *p == '.')) {
            buf_addc(&b, '/');
            buf_add(&b, p, n);
        }
        p += n;
        p += strspn(p, "/");
    }
    return buf_take(&b);
}

static bool has_dotdot(const char *path)
{
    for (const char *p = strstr(path, "/.."); p != NULL; p = strstr(p + 1, "/.."))
        if (p[3] == '/' || p[3] == '\0')
            return true;
    return false;
}

/* Finds the managed file system of absolute path; links in the directories before it are followed
 * only when the text alone does not lead there. *rel is the caller's. */
struct efs *efs_resolve(struct engine *e, const char *path, char **rel)
{
    auto_free char *plain = squeeze(path);
    struct efs *fs = has_dotdot(plain) ? NULL : efs_by_path(e, plain);
    if (fs == NULL) {
        char *slash = strrchr(plain, '/');
        char real[PATH_MAX];
        if (slash == NULL)
            return NULL;
        *slash = '\0';
        if (realpath(*plain == '\0' ? "/" : plain, real) == NULL)
            return NULL;
        char *joined = xasprintf("%s/%s", real, slash + 1);
        free(plain);
        plain = joined;
        fs = efs_by_path(e, plain);
    }
    if (fs == NULL || strcmp(strrchr(plain, '/'), "/..") == 0)
        return NULL;
    const char *r = plain + strlen(fs->conf->path);
    *rel = xstrdup(*r == '/' ? r + 1 : ".");
    return fs;
}

/* The file by its numbers, if the catalogue has met it. */
static void find_by_number(struct engine *e, const struct engine_file_ref *ref, struct entry *x)
{
    struct efs *fs = ref->fs != NULL ? efs_by_name(e, ref->fs) : NULL;
    struct catalog_archives a = {0};
    struct catalog_job *j = x->job;
    if (fs == NULL || fs->fs == NULL) {
        refuse(j, CODE_FAILED, "no such file system, or it is not available");
        return;
    }
    if (catalog_archive_of_file(e->cat, &fs->uuid, ref->ino, ref->gen, &a, NULL) == 0) {
        x->path = xstrdup(a.v[0].path);
        j->fs = fs->uuid;
        j->ino = a.v[0].ino;
        j->gen = a.v[0].gen;
        j->handle_len = a.v[0].handle_len;
        memcpy(j->handle, a.v[0].handle, j->handle_len);
        j->size = a.v[0].size;
    } else {
        refuse(j, CODE_ABSENT, "this inode was never archived; name it by its path");
    }
    catalog_archives_fini(&a);
}

/* Identity, size and (for recalls) the archive of the file at x->path. */
static void identify(struct engine_draft *d, struct efs *fs, const struct engine_file_ref *ref,
                     struct entry *x)
{
    struct catalog_job *j = x->job;
    struct file_info info;
    struct err err = {0};
    int rc = file_inspect_path(fs->fs, x->path, &info, &err);
    if (rc == -ENOENT || rc == -ENOTDIR || rc == FILE_GONE) {
        refuse(j, CODE_ABSENT, "file not found");
        return;
    }
    if (rc == FILE_NOT_REGULAR) {
        refuse(j, CODE_FAILED, "not a regular file");
        return;
    }
    if (rc != 0) {
        refuse(j, CODE_FAILED, rc == -EXDEV ? "on another file system" : "cannot be read");
        return;
    }
    if ((ref->ino != 0 && ref->ino != info.id.ino) || (ref->gen != 0 && ref->gen != info.id.gen)) {
        refuse(j, CODE_ABSENT, "another file has this name now");
        return;
    }
    j->fs = info.id.fs;
    j->ino = info.id.ino;
    j->gen = info.id.gen;
    j->handle_len = info.id.handle_len;
    memcpy(j->handle, info.id.handle, info.id.handle_len);
    j->size = (uint64_t)info.st.st_size;
    if (d->task->type == ENGINE_RECALL && info.has_record)
        j->archive = info.record.archive;
}

static void fill(struct engine_draft *d, const struct engine_file_ref *ref, struct entry *x)
{
    struct catalog_job *j = x->job;
    j->kind = d->task->type == ENGINE_RECALL ? JOB_FROM_TAPE : JOB_TO_TAPE;
    if (ref->path == NULL) {
        find_by_number(d->e, ref, x);
        return;
    }
    struct efs *fs = *ref->path == '/' ? efs_resolve(d->e, ref->path, &x->path) : NULL;
    if (fs == NULL || fs->fs == NULL) {
        refuse(j, CODE_ABSENT,
               fs == NULL ? "not in a managed file system" : "its file system is not available");
        return;
    }
    j->fs = fs->uuid; /* so that the path of a refused file is shown whole */
    identify(d, fs, ref, x);
}

/* Queue keys of recalls: the tape and block of the first good copy, so that claims come in tape
 * order. */
static int route(struct engine_draft *d, struct catalog_job *jobs, size_t n, struct err *err)
{
    struct catalog_copies c = {0};
    auto_free struct uuid *ids = xzalloc(n * sizeof(*ids));
    for (size_t i = 0; i < n; i++)
        ids[i] = jobs[i].archive;
    int rc = catalog_copy_of(d->e->cat, ids, n, &c, err);
    for (size_t i = 0, k = 0; rc == 0 && i < n; i++) {
        while (k < c.n && memcmp(&c.v[k].archive, &ids[i], sizeof(ids[i])) == 0) {
            if (jobs[i].volume == 0 && c.v[k].state == CATALOG_COPY_VALID) {
                jobs[i].volume = c.v[k].volume;
                jobs[i].block = c.v[k].start_block;
            }
            k++;
        }
    }
    catalog_copies_fini(&c);
    return rc;
}

static void count(struct engine_draft *d, const struct catalog_job *j)
{
    d->files++;
    if (j->state == CATALOG_JOB_QUEUED) {
        d->queued++;
        d->bytes += (int64_t)j->size;
    } else if (j->state == CATALOG_JOB_DUPLICATE) {
        d->duplicates++;
    } else {
        d->failed++;
    }
}

static int add_chunk(struct engine_draft *d, const struct engine_file_ref *files, size_t n,
                     struct err *err)
{
    auto_free struct catalog_job *jobs = xzalloc(n * sizeof(*jobs));
    auto_free struct entry *x = xzalloc(n * sizeof(*x));
    for (size_t i = 0; i < n; i++) {
        x[i].job = &jobs[i];
        jobs[i].priority = d->task->type == ENGINE_RECALL ? 2 : 1;
        fill(d, &files[i], &x[i]);
        jobs[i].path = x[i].path != NULL ? x[i].path : files[i].path;
    }
    int rc = d->task->type == ENGINE_RECALL ? route(d, jobs, n, err) : 0;
    if (rc == 0)
        rc = catalog_job_add(d->e->cat, d->task->id, jobs, n, err);
    for (size_t i = 0; i < n; i++) {
        if (rc == 0)
            count(d, &jobs[i]);
        free(x[i].path);
    }
    return rc > 0 ? err_set(err, -ENOENT, "the draft is gone") : rc;
}

int engine_draft_add(struct engine_draft *d, const struct engine_file_ref *files, size_t n,
                     struct err *err)
{
    for (size_t i = 0; i < n; i += CHUNK) {
        size_t part = n - i < CHUNK ? n - i : CHUNK;
        int rc = add_chunk(d, files + i, part, err);
        if (rc < 0)
            return err_wrap(err, rc, "task %lld", (long long)d->task->id);
    }
    return 0;
}

static int check_room(struct engine_draft *d, struct err *err)
{
    struct engine *e = d->e;
    if (d->task->type != ENGINE_RECALL)
        return 0;
    lock_scope(&e->lock);
    if (e->recalls_open + d->queued <= e->conf->recall.queue_max)
        return 0;
    return err_set(err, -EBUSY,
                   "the recall queue is full: %lld wait, %lld more would pass recall.queue_max = "
                   "%lld; try again later",
                   (long long)e->recalls_open, (long long)d->queued,
                   (long long)e->conf->recall.queue_max);
}

static void fill_info(const struct engine_draft *d, struct engine_task_progress *info)
{
    if (info == NULL)
        return;
    *info = (struct engine_task_progress){.task_id = d->task->id,
                                          .stage = "waiting",
                                          .ended = d->queued == 0,
                                          .ok = d->queued == 0 && d->failed == 0,
                                          .files = d->files,
                                          .duplicates = d->duplicates,
                                          .failed = d->failed,
                                          .bytes_total = d->bytes};
    memcpy(info->uid, d->uid, sizeof(info->uid));
}

int engine_draft_commit(struct engine_draft *d, struct engine_task_progress *info, struct err *err)
{
    struct engine *e = d->e;
    int rc = check_room(d, err);
    if (rc == 0 && engine_stopping(e))
        rc = err_set(err, -ESHUTDOWN, "firnd is stopping");
    if (rc == 0 && d->queued > 0)
        rc = catalog_task_set(e->cat, d->task->id, CATALOG_TASK_WAITING, CATALOG_RESULT_NONE, NULL,
                              0, err);
    else if (rc == 0)
        rc = catalog_task_set(e->cat, d->task->id, CATALOG_TASK_COMPLETED,
                              d->failed > 0 ? CATALOG_RESULT_FAILED : CATALOG_RESULT_SUCCEEDED,
                              NULL, 0, err);
    if (rc != 0) {
        engine_draft_free(d);
        return rc < 0 ? rc : err_set(err, -ENOENT, "the draft is gone");
    }
    fill_info(d, info);
    d->committed = true;
    if (d->queued > 0) {
        lock_scope(&e->lock);
        d->task->left = d->queued;
        d->task->unclaimed = d->queued;
        task_open_locked(e, take_ptr(d->task));
    }
    engine_draft_free(d);
    return 0;
}

int engine_draft_plan_json(struct engine_draft *d, cJSON **result, struct err *err)
{
    if (d->task->type != ENGINE_RECALL)
        return err_set(err, -EINVAL, "the draft is of a %s; recalls can be planned",
                       task_type_name(d->task->type));
    return recall_forecast(d->e, d->task->id, d->duplicates, result, err);
}

void engine_draft_free(struct engine_draft *d)
{
    if (d == NULL)
        return;
    if (!d->committed && d->task != NULL) {
        struct err err = {0};
        if (catalog_task_delete(d->e->cat, d->task->id, &err) < 0)
            log_warn("draft %lld: %s", (long long)d->task->id, err.text);
    }
    free(d->task);
    free(d);
}
