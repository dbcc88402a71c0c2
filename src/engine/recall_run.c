/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine_impl.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define READER_BATCH_MS 20 /* a waiting reader is held back no longer for the sake of a batch */

/* One stay of recalls on a mounted volume. */
struct stay {
    struct edrive *d;
    struct volume *v;
    struct recall **plan;
    size_t n, pos;
    struct recall *done; /* their data is written, not durable */
    size_t ndone;
    bool readers;     /* among done */
    int64_t since_ns; /* the first of done */
    struct order_geometry geometry;
    bool modelled;
};

/* ---- order ---- */

static bool any_reader(const struct volume *v)
{
    const struct recall *r = NULL;
    DL_FOREACH (v->queue, r) {
        if (r->reader)
            return true;
    }
    return false;
}

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

/* Plans the stops of those that readers wait for, else of all. engine.lock held. */
static void plan_locked(struct stay *s)
{
    struct volume *v = s->v;
    bool readers = any_reader(v);
    size_t n = 0;
    struct recall *r = NULL;
    auto_free struct recall **who = xzalloc((v->queued + 1) * sizeof(struct recall *));
    auto_free struct order_stop *stops = xzalloc((v->queued + 1) * sizeof(*stops));
    auto_free uint32_t *index = xzalloc((v->queued + 1) * sizeof(*index));
    DL_FOREACH (v->queue, r) {
        if (readers && !r->reader)
            continue;
        const struct tier_location *l = &r->copies[r->current].loc;
        stops[n] = (struct order_stop){l->block, l->last_block - l->block + 1};
        who[n++] = r;
    }
    (void)order_recalls(s->modelled ? &s->geometry : NULL, stops, n, s->d->head, index);
    s->plan = xrealloc_array(s->plan, n + 1, sizeof(struct recall *));
    for (size_t i = 0; i < n; i++)
        s->plan[i] = who[index[i]];
    s->n = n;
    s->pos = 0;
    v->replan = false;
}

/* Takes the next recall out of the queue; one that is over age goes first. */
static struct recall *next_recall(struct stay *s)
{
    struct engine *e = s->d->e;
    struct recall *r = NULL;
    lock_scope(&e->lock);
    if (s->v->queue == NULL || recall_ages_elsewhere(s->d))
        return NULL;
    if (s->v->replan || s->pos >= s->n)
        plan_locked(s);
    r = s->v->queue;
    if (r->reader || time_mono_ns() - r->created_ns < e->conf->recall.max_age_s * NS_PER_SEC)
        r = s->plan[s->pos++];
    else
        s->v->replan = true;
    DL_DELETE(s->v->queue, r);
    s->v->queued--;
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
    return !any_reader(s->v);
}

void recall_run(struct edrive *d)
{
    struct stay s = {.d = d, .v = d->volume};
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
