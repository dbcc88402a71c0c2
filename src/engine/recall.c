/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/recall_impl.h"

#include "base/log.h"
#include "base/mem.h"

#include <stdlib.h>

/* ---- recalls in memory ---- */

struct recall_key recall_key_of(struct engine *e, const struct efs *fs, const struct file_id *id)
{
    struct recall_key k = {0};
    k.fs = (uint64_t)(fs - e->fs);
    k.ino = id->ino;
    k.gen = id->gen;
    return k;
}

struct recall *recall_find_locked(struct engine *e, const struct recall_key *key)
{
    struct recall *r = NULL;
    HASH_FIND(hh, e->recalls, key, sizeof(*key), r);
    return r;
}

void recall_unref_locked(struct recall *r)
{
    if (--r->refs > 0)
        return;
    for (size_t i = 0; i < r->ncopies; i++)
        tier_location_fini(&r->copies[i].loc);
    struct waiter *w = NULL;
    struct waiter *tmp = NULL;
    LL_FOREACH_SAFE(r->waiters, w, tmp)
    free(w);
    free(r->path);
    free(r);
}

void recall_free_all(struct engine *e)
{
    struct recall *r = NULL;
    struct recall *tmp = NULL;
    lock_scope(&e->lock);
    HASH_ITER (hh, e->recalls, r, tmp) {
        HASH_DEL(e->recalls, r);
        recall_unref_locked(r);
    }
}

void recall_add_waiter(struct recall *r, struct task *t, int64_t job)
{
    struct waiter *w = xzalloc(sizeof(*w));
    w->task = t;
    w->job = job;
    LL_PREPEND(r->waiters, w);
}

/* ---- the end of recalls ---- */

static size_t count_waiters(const struct recall *list)
{
    const struct recall *r = NULL;
    const struct waiter *w = NULL;
    size_t n = 0;
    DL_FOREACH (list, r) {
        LL_FOREACH (r->waiters, w)
            n++;
    }
    return n;
}

static void result_of(const struct recall *r, const struct waiter *w, struct job_result *out)
{
    out->task = w->task;
    out->end = (struct catalog_job_end){.id = w->job, .state = CATALOG_JOB_DONE, .bytes = r->size};
    if (r->result < 0) {
        out->end.state = CATALOG_JOB_FAILED;
        out->end.code = r->gone ? CODE_ABSENT : CODE_FAILED;
        out->end.message = r->err.text;
    }
}

void recall_end_list(struct engine *e, struct recall *list)
{
    struct recall *r = NULL;
    struct recall *tmp = NULL;
    if (list == NULL)
        return;
    {
        lock_scope(&e->lock);
        DL_FOREACH (list, r) {
            r->finished = true;
            HASH_DEL(e->recalls, r);
        }
        (void)pthread_cond_broadcast(&e->changed);
    }
    size_t max = count_waiters(list);
    auto_free struct job_result *v = xzalloc((max + 1) * sizeof(*v));
    size_t n = 0;
    DL_FOREACH (list, r) {
        const struct waiter *w = NULL;
        LL_FOREACH (r->waiters, w)
            result_of(r, w, &v[n++]);
        if (r->result < 0)
            log_warn("%s", r->err.text);
    }
    task_finish_jobs(e, v, n);
    lock_scope(&e->lock);
    DL_FOREACH_SAFE(list, r, tmp)
    {
        DL_DELETE(list, r);
        e->window--;
        recall_unref_locked(r);
    }
    (void)pthread_cond_broadcast(&e->plan);
}
