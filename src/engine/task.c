/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine_impl.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const type_names[] = {"migrate", "premigrate", "recall", "save"};

const char *task_type_name(enum engine_task_type type)
{
    return type_names[type];
}

int task_type_parse(const char *name, enum engine_task_type *out)
{
    if (strcmp(name, "transparent_recall") == 0) {
        *out = ENGINE_RECALL;
        return 0;
    }
    for (int i = 0; i < 4; i++) {
        if (strcmp(name, type_names[i]) == 0) {
            *out = (enum engine_task_type)i;
            return 0;
        }
    }
    return -EINVAL;
}

void code_shown(const char *code, char *out, size_t n)
{
    (void)snprintf(out, n, "%.*s", (int)strcspn(code, "."), code);
}

void task_open_locked(struct engine *e, struct task *t)
{
    DL_APPEND(e->tasks, t);
    if (t->type == ENGINE_RECALL)
        e->recalls_open += t->left;
    (void)pthread_cond_broadcast(&e->plan);
}

struct task *task_find_locked(struct engine *e, int64_t id)
{
    struct task *t = NULL;
    DL_FOREACH (e->tasks, t) {
        if (t->id == id)
            return t;
    }
    return NULL;
}

/* Jobs of task id that have no result, from the catalogue. */
static int count_open(struct engine *e, int64_t id, int64_t *left, struct err *err)
{
    struct catalog_job_counts c = {0};
    int rc = catalog_job_count(e->cat, id, &c, err);
    *left = 0;
    for (size_t i = 0; rc == 0 && i < c.n; i++) {
        if (c.v[i].state == CATALOG_JOB_QUEUED || c.v[i].state == CATALOG_JOB_RUNNING)
            *left += c.v[i].n;
    }
    catalog_job_counts_fini(&c);
    return rc;
}

/* Fills t's pools from "a@b,c@d". A pool that is gone leaves its place empty: planning says so. */
static void read_pools(struct engine *e, struct task *t, const char *pools)
{
    auto_free char *copy = xstrdup(pools != NULL ? pools : "");
    char *rest = copy;
    for (char *p = strsep(&rest, ","); p != NULL && t->npools < ENGINE_POOLS_MAX;
         p = strsep(&rest, ",")) {
        struct err err = {0};
        if (*p == '\0')
            continue;
        if (pool_resolve(e, p, &t->pools[t->npools], &err) != 0)
            log_warn("task %lld: %s", (long long)t->id, err.text);
        t->npools++;
    }
}

static struct task *task_of_row(struct engine *e, const struct catalog_task *row)
{
    struct task *t = xzalloc(sizeof(*t));
    t->id = row->id;
    t->options = row->options;
    t->stage = "waiting";
    (void)task_type_parse(row->type, &t->type);
    read_pools(e, t, row->pools);
    return t;
}

/* The task's last job has its result. */
static void complete(struct engine *e, int64_t id, bool cancelled)
{
    struct catalog_tasks l = {0};
    struct err err = {0};
    enum catalog_task_result result = CATALOG_RESULT_FAILED;
    int rc = catalog_task_get(e->cat, id, &l, &err);
    if (rc == 0 && l.v[0].failed == 0)
        result = CATALOG_RESULT_SUCCEEDED;
    if (cancelled)
        result = CATALOG_RESULT_CANCELLED;
    if (rc == 0)
        rc = catalog_task_set(e->cat, id, CATALOG_TASK_COMPLETED, result, NULL, 0, &err);
    if (rc < 0)
        log_err("task %lld cannot be closed: %s", (long long)id, err.text);
    catalog_tasks_fini(&l);
    (void)catalog_task_prune(e->cat, time_now_ns() - 90LL * 86400 * NS_PER_SEC, 10, NULL, NULL);
}

void task_unpin_locked(struct task *t)
{
    if (--t->pins == 0 && t->dead)
        free(t);
}

/* n more jobs of t have results. When they were the last, the task ends. */
void task_ended_jobs(struct engine *e, struct task *t, int64_t n)
{
    bool last = false;
    bool cancelled = false;
    int64_t id = 0;
    {
        lock_scope(&e->lock);
        t->left -= n;
        last = t->left == 0;
        cancelled = t->cancelled;
        id = t->id;
        if (t->type == ENGINE_RECALL)
            e->recalls_open -= n;
    }
    if (!last)
        return;
    complete(e, id, cancelled);
    lock_scope(&e->lock);
    DL_DELETE(e->tasks, t);
    t->dead = true;
    t->pins++;
    task_unpin_locked(t);
    (void)pthread_cond_broadcast(&e->changed);
    (void)pthread_cond_broadcast(&e->plan);
}

int task_load_open(struct engine *e, struct err *err)
{
    struct catalog_tasks l = {0};
    int rc = catalog_task_list(e->cat, false, 0, &l, err);
    for (size_t i = l.n; rc == 0 && i > 0; i--) { /* newest first in the list */
        struct task *t = task_of_row(e, &l.v[i - 1]);
        rc = count_open(e, t->id, &t->left, err);
        t->unclaimed = t->left;
        if (rc != 0 || t->left == 0) {
            if (rc == 0)
                complete(e, t->id, false);
            free(t);
            continue;
        }
        lock_scope(&e->lock);
        task_open_locked(e, t);
    }
    catalog_tasks_fini(&l);
    return rc < 0 ? err_wrap(err, rc, "open tasks") : 0;
}

void task_free_all(struct engine *e)
{
    struct task *t = NULL;
    struct task *tmp = NULL;
    DL_FOREACH_SAFE(e->tasks, t, tmp)
    {
        DL_DELETE(e->tasks, t);
        free(t);
    }
}

/* Stores ends, however long the catalogue needs: a result that is lost would be work done twice. */
static void store_ends(struct engine *e, const struct catalog_job_end *v, size_t n)
{
    struct err err = {0};
    while (catalog_job_finish(e->cat, v, n, 0, &err) < 0) {
        log_err("results of %zu jobs cannot be stored, trying again: %s", n, err.text);
        if (engine_stopping(e))
            return; /* they are running in the catalogue: the next start takes them up */
        (void)nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
    }
}

void task_finish_jobs(struct engine *e, const struct job_result *r, size_t n)
{
    if (n == 0)
        return;
    auto_free struct catalog_job_end *v = xzalloc(n * sizeof(*v));
    for (size_t i = 0; i < n; i++)
        v[i] = r[i].end;
    store_ends(e, v, n);
    for (size_t i = 0; i < n;) {
        struct task *t = r[i].task;
        int64_t ended = 0;
        int64_t again = 0;
        for (; i < n && r[i].task == t; i++) {
            if (r[i].end.state == CATALOG_JOB_QUEUED)
                again++;
            else
                ended++;
        }
        if (again > 0) {
            lock_scope(&e->lock);
            t->unclaimed += again;
            t->requeued += again;
            (void)pthread_cond_broadcast(&e->plan);
        }
        if (ended > 0)
            task_ended_jobs(e, t, ended);
    }
}

static void mark_started(struct engine *e, struct task *t)
{
    struct err err = {0};
    if (t->started)
        return;
    t->started = true;
    if (catalog_task_set(e->cat, t->id, CATALOG_TASK_RUNNING, CATALOG_RESULT_NONE, NULL,
                         CATALOG_NOWAIT, &err) < 0)
        log_err("task %lld: %s", (long long)t->id, err.text);
}

int task_claim(struct engine *e, struct task *t, size_t max, struct catalog_jobs *out,
               struct err *err)
{
    struct catalog_job_filter f = {.task = t->id, .kind = -1, .volume = -1};
    int64_t requeued = 0;
    mark_started(e, t);
    {
        lock_scope(&e->lock);
        requeued = t->requeued;
    }
    int rc = catalog_job_claim(e->cat, &f, max, out, err);
    if (rc < 0)
        return err_wrap(err, rc, "task %lld", (long long)t->id);
    lock_scope(&e->lock);
    /* Finding none says that there is none, unless one was put back meanwhile: it would wait for
     * ever. */
    if (out->n > 0 || t->requeued == requeued)
        t->unclaimed = out->n == 0 ? 0 : t->unclaimed - (int64_t)out->n;
    if (t->unclaimed < 0)
        t->unclaimed = 0;
    return 0;
}

int task_add_direct(struct engine *e, const struct file_id *id, const char *path,
                    const struct uuid *archive, uint64_t size, struct task **task, int64_t *job,
                    struct err *err)
{
    struct catalog_task row = {.type = "transparent_recall",
                               .params = path,
                               .pools = "",
                               .status = CATALOG_TASK_RUNNING,
                               .options = TASK_TRANSPARENT,
                               .priority = 3,
                               .bytes_total = (int64_t)size};
    int rc = catalog_task_add(e->cat, &row, err);
    if (rc < 0)
        return rc;
    struct catalog_job j = {.kind = JOB_FROM_TAPE,
                            .fs = id->fs,
                            .ino = id->ino,
                            .gen = id->gen,
                            .handle_len = id->handle_len,
                            .path = path,
                            .archive = *archive,
                            .size = size,
                            .priority = 3};
    memcpy(j.handle, id->handle, id->handle_len);
    rc = catalog_job_add(e->cat, row.id, &j, 1, err);
    if (rc != 0)
        return rc < 0 ? rc : err_set(err, -EIO, "task %lld is gone", (long long)row.id);
    struct task *t = xzalloc(sizeof(*t));
    t->id = row.id;
    t->type = ENGINE_RECALL;
    t->options = TASK_TRANSPARENT;
    t->direct = true;
    t->started = true;
    t->stage = "recall";
    t->left = 1;
    *job = j.id;
    *task = t;
    if (j.state == CATALOG_JOB_DUPLICATE)
        return 1; /* another task has the job; the caller closes this one */
    lock_scope(&e->lock);
    task_open_locked(e, t);
    return 0;
}
