/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/recall_impl.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define READER_BATCH_MS 20 /* a waiting reader is held back no longer for the sake of a batch */

/* One stay of recalls on a mounted volume. */
struct stay {
    struct edrive *d;
    struct volume *v;
    struct pick_stay stay;
    struct recall **plan;
    unsigned epoch;      /* of the volume, when it was planned */
    struct recall *done; /* their data is written, not durable */
    size_t ndone;
    bool readers;     /* among done */
    int64_t since_ns; /* the first of done */
    struct order_geometry geometry;
    bool modelled;
};

/* ---- order ---- */

static void init_geometry(struct stay *s)
{
    const char *model = s->d->lib->conf->cost_model;
    struct ltfs_volume_info info;
    if (strcmp(model, "none") == 0 || ltfs_volume_info(s->d->ltfs, &info, NULL) != 0)
        return;
    /* The newest index is the last thing on the tape; short records make bytes say less. */
    s->modelled = order_geometry_init(&s->geometry, model, info.capacity_bytes, info.blocksize,
                                      info.data_index_block + 1, NULL) == 0;
}

/* The queue of s's volume as pick_plan wants it. engine.lock held. */
static size_t list_asks(struct stay *s, struct pick_ask *asks, struct recall **who)
{
    size_t n = 0;
    struct recall *r = NULL;
    DL_FOREACH (s->v->queue, r) {
        const struct tier_location *l = &r->copies[r->current].loc;
        asks[n] = (struct pick_ask){.created_ns = r->created_ns,
                                    .reader = r->reader,
                                    .account = (uintptr_t)r->account,
                                    .served = r->account != NULL ? r->account->served : 0,
                                    .stop = {l->block, l->last_block - l->block + 1}};
        who[n++] = r;
    }
    return n;
}

/* Plans the next stops. engine.lock is held, and let go while it thinks: nobody but d takes recalls
 * from this queue, and epoch tells when somebody did. */
static void plan_unlocking(struct stay *s)
{
    struct engine *e = s->d->e;
    struct volume *v = s->v;
    const struct pick_rules rules = recall_rules(e);
    size_t room = v->queued + 1;
    bool jobs_turn = s->d->jobs_turn;
    auto_free struct recall **who = xzalloc(room * sizeof(struct recall *));
    auto_free struct pick_ask *asks = xzalloc(room * sizeof(*asks));
    auto_free uint32_t *index = xzalloc(room * sizeof(*index));
    size_t n = list_asks(s, asks, who);
    s->epoch = v->epoch;
    v->replan = false;
    (void)pthread_mutex_unlock(&e->lock);
    pick_plan(&rules, time_mono_ns(), asks, n, jobs_turn, s->modelled ? &s->geometry : NULL,
              s->d->head, index, &s->stay);
    s->plan = xrealloc_array(s->plan, s->stay.n + 1, sizeof(struct recall *));
    for (size_t i = 0; i < s->stay.n; i++)
        s->plan[i] = who[index[i]];
    (void)pthread_mutex_lock(&e->lock);
}

static bool needs_plan(const struct stay *s)
{
    const struct pick_rules rules = recall_rules(s->d->e);
    int64_t now_ns = time_mono_ns();
    const struct pick_queue q = recall_queue_locked(s->d->e, s->v, now_ns);
    return s->epoch != s->v->epoch || pick_replans(&rules, now_ns, &s->stay, &q, s->v->replan);
}

/* Takes the next recall out of the queue; NULL ends the stay. */
static struct recall *next_recall(struct stay *s)
{
    lock_scope(&s->d->e->lock);
    if (s->v->queue == NULL || recall_should_leave(s->d, &s->stay))
        return NULL;
    if (needs_plan(s))
        plan_unlocking(s);
    while (s->epoch != s->v->epoch && s->v->queue != NULL)
        plan_unlocking(s);
    if (s->v->queue == NULL)
        return NULL;
    assert(s->plan != NULL); /* made for a queue that is not empty */
    struct recall *r = s->plan[s->stay.pos++];
    recall_take_locked(s->v, r);
    s->stay.files++;
    s->d->jobs_turn = r->reader;
    s->d->task_id = r->waiters != NULL && r->waiters->task != NULL ? r->waiters->task->id : 0;
    return r;
}

/* The copy cannot be read: another one is tried, or the request fails with the reason. */
static void copy_failed(struct stay *s, struct recall *r, int rc, const struct err *err)
{
    struct engine *e = s->d->e;
    log_err("%s: %s", r->path, err->text);
    if (rc == -ENODATA)
        copies_set_state(e, &r->archive, r->copies[r->current].copy_no, CATALOG_COPY_LOST, r->path);
    else
        volume_set_state(e, s->v, VOL_NEED_REPLACE, err->text);
    recall_next_copy(e, r, err);
}

static void recall_one(struct stay *s, struct recall *r)
{
    struct engine *e = s->d->e;
    struct err err = {0};
    uint64_t end = r->copies[r->current].loc.last_block + 1;
    int rc = refill_one(e, s->d->tier, r, &err);
    if (rc == REFILL_ENDED)
        return;
    s->d->head = end;
    if (rc < 0) {
        copy_failed(s, r, rc, &err);
        return;
    }
    if (s->ndone++ == 0)
        s->since_ns = time_mono_ns();
    DL_APPEND(s->done, r);
    lock_scope(&e->lock);
    s->readers = s->readers || r->reader;
}

static void settle(struct stay *s)
{
    if (s->ndone == 0)
        return;
    refill_settle(s->d->e, s->done);
    s->done = NULL;
    s->ndone = 0;
    s->readers = false;
}

static bool time_to_settle(struct stay *s)
{
    int64_t age_ms = (time_mono_ns() - s->since_ns) / 1000000;
    if (s->ndone == 0)
        return false;
    if (s->ndone >= RECALL_BATCH || age_ms >= (s->readers ? READER_BATCH_MS : RECALL_BATCH_MS))
        return true;
    if (!s->readers)
        return false;
    lock_scope(&s->d->e->lock);
    return s->v->readers == 0;
}

void recall_run(struct edrive *d)
{
    struct stay s = {.d = d, .v = d->volume, .stay = {.since_ns = time_mono_ns()}};
    struct drive_position at;
    init_geometry(&s);
    if (drive_position(d->drive, &at, NULL) == 0) /* copies may have moved it */
        d->head = at.partition == 0 ? 0 : at.block;
    for (;;) {
        struct recall *r = next_recall(&s);
        if (r != NULL)
            recall_one(&s, r);
        if (r == NULL || time_to_settle(&s))
            settle(&s);
        if (r == NULL)
            break;
    }
    free(s.plan);
}
