/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/recall_impl.h"

#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <errno.h>
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

static void free_askers(struct asker *list)
{
    struct asker *a = NULL;
    struct asker *tmp = NULL;
    LL_FOREACH_SAFE(list, a, tmp)
    free(a);
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
    free_askers(r->askers);
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
        account_release_locked(e, r->account);
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

void recall_put_locked(struct engine *e, struct recall *r, struct recall **dead)
{
    HASH_ADD(hh, e->recalls, key, sizeof(r->key), r);
    e->window++;
    recall_route_locked(e, r, dead);
}

/* ---- accounts ---- */

struct account *account_charge_locked(struct engine *e, const char *name, int64_t max)
{
    struct account *a = NULL;
    const struct account *o = NULL;
    HASH_FIND_STR(e->accounts, name, a);
    if (a == NULL) {
        a = xzalloc(sizeof(*a));
        (void)snprintf(a->name, sizeof(a->name), "%s", name);
        a->served = UINT64_MAX; /* what it did not use before gives it nothing now */
        for (o = e->accounts; o != NULL; o = o->hh.next)
            a->served = o->served < a->served ? o->served : a->served;
        a->served = e->accounts == NULL ? 0 : a->served;
        HASH_ADD_STR(e->accounts, name, a);
    }
    if (max > 0 && a->waiting >= (size_t)max)
        return NULL;
    a->waiting++;
    return a;
}

void account_release_locked(struct engine *e, struct account *a)
{
    if (a == NULL || --a->waiting > 0)
        return;
    assert(e->accounts != NULL); /* a is in it */
    HASH_DEL(e->accounts, a);
    free(a);
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

/* Nobody joins the recalls of list any more; threads that wait for them wake. */
static void take_out(struct engine *e, struct recall *list)
{
    struct recall *r = NULL;
    lock_scope(&e->lock);
    DL_FOREACH (list, r) {
        r->finished = true;
        assert(e->recalls != NULL); /* r is in it */
        HASH_DEL(e->recalls, r);
        account_release_locked(e, r->account);
        r->account = NULL;
    }
    e->calling++;
    (void)pthread_cond_broadcast(&e->changed);
}

static void tell_askers(struct engine *e, const struct recall *list)
{
    const struct recall *r = NULL;
    DL_FOREACH (list, r) {
        const struct asker *a = NULL;
        int rc = r->gone ? -ESTALE : r->result;
        LL_FOREACH (r->askers, a) {
            if (a->done != NULL)
                a->done(a->arg, rc, &r->err);
        }
    }
    lock_scope(&e->lock);
    e->calling--;
    (void)pthread_cond_broadcast(&e->changed);
}

void recall_let_go(struct engine *e)
{
    struct recall *r = NULL;
    struct asker *a = NULL;
    struct asker *all = NULL;
    struct err err = {0};
    {
        lock_scope(&e->lock);
        for (r = e->recalls; r != NULL; r = r->hh.next) {
            if (r->askers != NULL)
                LL_CONCAT(all, r->askers);
            r->askers = NULL;
        }
    }
    (void)err_set(&err, -ESHUTDOWN, "firnd is stopping; the recall goes on at the next start");
    LL_FOREACH (all, a) {
        if (a->done != NULL)
            a->done(a->arg, -ESHUTDOWN, &err);
    }
    free_askers(all);
    lock_scope(&e->lock);
    while (e->calling > 0)
        (void)pthread_cond_wait(&e->changed, &e->lock);
}

void recall_end_list(struct engine *e, struct recall *list)
{
    struct recall *r = NULL;
    struct recall *tmp = NULL;
    if (list == NULL)
        return;
    take_out(e, list);
    tell_askers(e, list);
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
