/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recalls from a store: lanes write the files, one thread makes many of them durable at once while
 * the lanes go on. Readers go first and are settled at once; those that come while a sync runs
 * share the next one.
 */
#include "engine/engine_impl.h"

#include "base/log.h"
#include "base/timefmt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS_PER_MS 1000000

/* ---- which one ---- */

static bool is_aged(const struct engine *e, const struct recall *r)
{
    return time_mono_ns() - r->created_ns > e->conf->recall.max_age_s * NS_PER_SEC;
}

static struct recall *first_reader(struct volume *v)
{
    struct recall *r = NULL;
    if (!v->asked)
        return NULL;
    DL_FOREACH (v->queue, r) {
        if (r->reader)
            return r;
    }
    v->asked = false;
    return NULL;
}

/* One lane is kept for readers. */
static size_t most_recalling(const struct estore *s)
{
    return s->nlanes > 1 ? s->nlanes - 1 : 1;
}

struct recall *store_take_recall_locked(struct estore *s)
{
    struct volume *v = s->volume;
    if (v->queue == NULL || s->ndone >= LANE_DONE_MAX)
        return NULL;
    struct recall *reader = first_reader(v);
    struct recall *r = reader == NULL || is_aged(s->e, v->queue) ? v->queue : reader;
    if (!r->reader && s->recalling >= most_recalling(s))
        r = reader;
    if (r == NULL)
        return NULL;
    recall_take_locked(v, r);
    s->filling++;
    s->recalling++;
    return r;
}

/* ---- one file ---- */

/* Whether what is done should wait no longer for more. engine.lock held. */
static bool is_ripe(const struct estore *s)
{
    return s->done_readers || s->ndone >= RECALL_BATCH || s->ended || s->e->stopping ||
           (s->filling == 0 && s->volume->queue == NULL) ||
           time_mono_ns() - s->since_ns >= RECALL_BATCH_MS * (int64_t)NS_PER_MS;
}

/* engine.lock held. */
static void written(struct estore *s, struct recall *r)
{
    if (s->ndone++ == 0)
        s->since_ns = time_mono_ns();
    DL_APPEND(s->done, r);
    s->done_readers = s->done_readers || r->reader;
    if (s->ndone == 1 || is_ripe(s)) /* else the settler knows when to look */
        (void)pthread_cond_signal(&s->settle);
}

/* The store went away: r waits for it, or goes to another copy. */
static void route_again(struct estore *s, struct recall *r)
{
    struct recall *dead = NULL;
    {
        lock_scope(&s->e->lock);
        recall_route_locked(s->e, r, &dead);
    }
    recall_end_list(s->e, dead);
}

/* This copy is damaged or gone, or the store refuses it. The catalogue goes on to name it: firn
 * tier verify tells, and marks it when it is asked to. */
static void copy_failed(struct estore *s, struct recall *r, int rc, const struct err *err)
{
    if (engine_stopping(s->e)) {
        route_again(s, r); /* the next start takes it up */
        return;
    }
    log_err("%s: %s", r->path, err->text);
    if (store_failed(s, rc, err) == STORE_DOWN)
        route_again(s, r);
    else
        recall_next_copy(s->e, r, err);
}

void store_recall(struct lane *l, struct recall *r)
{
    struct estore *s = l->s;
    struct err err = {0};
    {
        lock_scope(&s->e->lock);
        l->task_id = r->waiters != NULL && r->waiters->task != NULL ? r->waiters->task->id : 0;
    }
    int rc = refill_one(s->e, l->tier, r, &err);
    if (rc < 0)
        copy_failed(s, r, rc, &err);
    lock_scope(&s->e->lock);
    s->filling--;
    s->recalling--;
    if (rc == 0)
        written(s, r);
    else if (s->filling == 0)
        (void)pthread_cond_signal(&s->settle);
}

/* ---- many durable at once ---- */

static void settle_all(struct estore *s)
{
    struct engine *e = s->e;
    struct recall *list = s->done;
    if (s->ndone >= LANE_DONE_MAX)
        (void)pthread_cond_broadcast(&s->idle);
    s->done = NULL;
    s->ndone = 0;
    s->done_readers = false;
    s->filling++; /* still at work, for a drain */
    (void)pthread_mutex_unlock(&e->lock);
    refill_settle(e, list);
    (void)pthread_mutex_lock(&e->lock);
    s->filling--;
    engine_wake_locked(e);
    (void)pthread_cond_broadcast(&e->changed);
}

void *store_settler(void *store)
{
    struct estore *s = store;
    struct engine *e = s->e;
    (void)pthread_mutex_lock(&e->lock);
    while (s->done != NULL || !s->ended) {
        if (s->done == NULL) {
            (void)pthread_cond_wait(&s->settle, &e->lock);
        } else if (!is_ripe(s)) {
            int64_t ns = s->since_ns + RECALL_BATCH_MS * (int64_t)NS_PER_MS;
            struct timespec until = {.tv_sec = ns / NS_PER_SEC, .tv_nsec = ns % NS_PER_SEC};
            (void)pthread_cond_timedwait(&s->settle, &e->lock, &until);
        } else {
            settle_all(s);
        }
    }
    (void)pthread_mutex_unlock(&e->lock);
    return NULL;
}
