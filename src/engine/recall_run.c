/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine_impl.h"

#include "base/crash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "engine/attr.h"
#include "engine/states.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define READER_BATCH_MS 20 /* a waiting reader is held back no longer for the sake of a batch */
#define LEASE_TRIES     40 /* a lease of somebody else goes away by itself */
#define LEASE_PAUSE_MS  50

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

/* ---- one file ---- */

struct fill {
    struct recall *r;
    struct digest *digest; /* NULL: not compared */
    uint64_t next;
    bool file_failed; /* the file, not the copy, is the cause */
    bool changed;
};

static void digest_hole(struct digest *d, uint64_t n)
{
    static const uint8_t zeros[65536];
    while (n > 0) {
        size_t part = n < sizeof(zeros) ? (size_t)n : sizeof(zeros);
        digest_update(d, zeros, part);
        n -= part;
    }
}

static int fill_sink(void *arg, uint64_t off, const void *data, size_t n, struct err *err)
{
    struct fill *f = arg;
    if (off + n > f->r->size)
        return err_set(err, -EBADMSG, "the copy is longer than the %llu bytes that were archived",
                       (unsigned long long)f->r->size);
    if (f->digest != NULL) {
        digest_hole(f->digest, off - f->next);
        digest_update(f->digest, data, n);
    }
    f->next = off + n;
    atomic_store(&f->r->moved, (int64_t)f->next);
    int rc = file_refill_write(f->r->refill, off, data, n, err);
    crash_point(CRASH_recall_half);
    if (rc == 0)
        return 0;
    f->file_failed = true;
    f->changed = rc == FILE_CHANGED;
    return rc < 0 ? rc : err_set(err, -ESTALE, "somebody else writes to the file");
}

/* Compares what came with what was archived. */
static int check_data(struct stay *s, struct fill *f, uint64_t length, struct err *err)
{
    const struct recall *r = f->r;
    const struct recall_copy *c = &r->copies[r->current];
    uint8_t value[DIGEST_MAX];
    if (length != r->size)
        return err_set(err, -EBADMSG,
                       "cartridge %s, block %llu: the copy has %llu bytes, %llu were archived",
                       s->v->row.barcode, (unsigned long long)c->loc.block,
                       (unsigned long long)length, (unsigned long long)r->size);
    if (f->digest == NULL)
        return 0;
    digest_hole(f->digest, r->size - f->next);
    size_t n = digest_final(f->digest, value);
    if (memcmp(value, r->digest, n) == 0)
        return 0;
    return err_set(err, -EBADMSG, "cartridge %s, block %llu: the data do not have their %s digest",
                   s->v->row.barcode, (unsigned long long)c->loc.block,
                   digest_name(digest_algorithm(f->digest)));
}

/* Reads the copy into the open refill. */
static int fill_file(struct stay *s, struct fill *f, struct err *err)
{
    struct recall *r = f->r;
    struct recall_copy *c = &r->copies[r->current];
    uint64_t length = 0;
    int rc = tier_verify(s->d->tier, &r->archive, &c->loc, NULL, &length, err);
    void *buf = bufpool_get(s->d->e->buffers);
    if (rc == 0)
        rc = tier_get(s->d->tier, &r->archive, &c->loc, buf, bufpool_size(s->d->e->buffers),
                      fill_sink, f, err);
    bufpool_put(s->d->e->buffers, buf);
    if (rc == TIER_ABSENT)
        return err_set(err, -ENODATA, "cartridge %s: %s is not in its index", s->v->row.barcode,
                       c->loc.key);
    return rc < 0 ? rc : check_data(s, f, length, err);
}

static int begin_refill(struct recall *r, struct err *err)
{
    int rc = 0;
    for (int i = 0; i < LEASE_TRIES; i++) {
        rc = file_refill_begin(r->fs->fs, &r->id, &r->archive, &r->refill, err);
        if (rc != FILE_IN_USE && rc != FILE_BUSY)
            return rc;
        (void)nanosleep(&(struct timespec){.tv_nsec = LEASE_PAUSE_MS * 1000000L}, NULL);
    }
    return rc;
}

/* The file decides: r ends here. */
static void end_one(struct stay *s, struct recall *r, int result, const char *text)
{
    struct recall *list = NULL;
    r->result = result;
    if (result < 0)
        (void)err_set(&r->err, result, "%s: %s", r->path, text);
    DL_APPEND(list, r);
    recall_end_list(s->d->e, list);
}

static void refill_refused(struct stay *s, struct recall *r, int rc, const struct err *err)
{
    if (rc == FILE_NOT_MIGRATED) {
        end_one(s, r, 0, "");
        return;
    }
    r->gone = rc == FILE_GONE;
    end_one(s, r, rc < 0 ? rc : -EIO, rc > 0 ? file_outcome_text(rc) : err->text);
}

/* The copy cannot be read: another one is tried, or the request fails with the reason. */
static void copy_failed(struct stay *s, struct recall *r, int rc, const struct err *err)
{
    struct recall *dead = NULL;
    struct engine *e = s->d->e;
    struct recall_copy *c = &r->copies[r->current];
    log_err("%s: %s", r->path, err->text);
    if (rc == -ENODATA)
        copies_set_state(e, &r->archive, c->copy_no, CATALOG_COPY_LOST, r->path);
    else
        volume_set_state(e, s->v, VOL_NEED_REPLACE, err->text);
    r->err = *err;
    {
        lock_scope(&e->lock);
        c->tried = true;
        recall_route_locked(e, r, &dead);
    }
    recall_end_list(e, dead);
}

static void recall_one(struct stay *s, struct recall *r)
{
    struct engine *e = s->d->e;
    struct err err = {0};
    crash_point(CRASH_recall_begun);
    int rc = begin_refill(r, &err);
    if (rc != 0) {
        refill_refused(s, r, rc, &err);
        return;
    }
    bool check = r->digest_alg >= 0 && attr_get_bool(e->cat, "filehash_verify_on_read");
    auto_digest struct digest *digest = check ? digest_new((enum digest_alg)r->digest_alg) : NULL;
    struct fill f = {.r = r, .digest = digest};
    rc = fill_file(s, &f, &err);
    s->d->head = r->copies[r->current].loc.last_block + 1;
    if (rc == 0) {
        rc = file_refill_finish_data(r->refill, &err);
        f.file_failed = rc != 0;
        if (rc > 0)
            rc = err_set(&err, -ESTALE, "%s", file_outcome_text(rc));
    }
    if (rc < 0) {
        file_refill_abort(take_ptr(r->refill));
        atomic_store(&r->moved, 0);
        if (f.file_failed)
            end_one(s, r, rc, err.text);
        else
            copy_failed(s, r, rc, &err);
        return;
    }
    if (s->ndone++ == 0)
        s->since_ns = time_mono_ns();
    DL_APPEND(s->done, r);
    lock_scope(&e->lock);
    s->readers = s->readers || r->reader;
}

/* ---- many files durable at once ---- */

/* The new states of the files on fs may not be on disk: nobody is told that they are. */
static void states_lost(struct stay *s, const struct efs *fs, int rc, const struct err *err)
{
    struct recall *r = NULL;
    DL_FOREACH (s->done, r) {
        if (r->fs != fs || r->result < 0)
            continue;
        r->result = rc;
        (void)err_set(&r->err, rc, "%s: %s", r->path, err->text);
    }
}

static void sync_filesystems(struct stay *s, bool states)
{
    struct engine *e = s->d->e;
    for (size_t i = 0; i < e->nfs; i++) {
        const struct recall *r = NULL;
        int rc = 0;
        struct err err = {0};
        bool used = false;
        DL_FOREACH (s->done, r)
            used = used || r->fs == &e->fs[i];
        if (used)
            rc = fs_sync(e->fs[i].fs, &err);
        if (rc < 0 && states)
            states_lost(s, &e->fs[i], rc, &err);
        else if (rc < 0)
            log_err("%s", err.text); /* file_refill_commit syncs each for itself then */
    }
}

static void commit_one(struct stay *s, struct recall *r)
{
    struct err err = {0};
    struct state_facts facts = {.data_complete = true, .data_checked = true};
    {
        lock_scope(&s->d->e->lock); /* whoever joins later gets what was decided here */
        r->drop = r->resident;
    }
    enum state_move move = r->drop ? STATE_MOVE_recall_resident : STATE_MOVE_recall;
    int rc = state_check(move, FILE_MIGRATED, &facts, &err);
    if (rc == 0)
        rc = file_refill_commit(take_ptr(r->refill), state_after(move), false, &err);
    if (rc == 0)
        return;
    r->result = rc < 0 ? rc : -ESTALE;
    (void)err_set(&r->err, r->result, "%s: %s", r->path, rc > 0 ? file_outcome_text(rc) : err.text);
}

static void drop_copies(struct stay *s)
{
    const struct recall *r = NULL;
    DL_FOREACH (s->done, r) {
        /* A copy of a stub goes by the archive of the file that it is a copy of. */
        if (r->drop && r->result == 0 && !archive_is_referenced(s->d->e, &r->archive))
            copies_set_state(s->d->e, &r->archive, 0, CATALOG_COPY_GARBAGE, r->path);
    }
}

static void settle(struct stay *s)
{
    struct recall *r = NULL;
    if (s->ndone == 0)
        return;
    sync_filesystems(s, false);
    DL_FOREACH (s->done, r)
        commit_one(s, r);
    sync_filesystems(s, true);
    crash_point(CRASH_recall_recorded);
    drop_copies(s);
    recall_end_list(s->d->e, s->done);
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
