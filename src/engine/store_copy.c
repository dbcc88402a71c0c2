/* SPDX-License-Identifier: Apache-2.0 */
/* Copies to a store: the files of a batch go over all lanes; the lane that ends the last one tells
 * the catalogue of them all. */
#include "engine/engine_impl.h"

#include "base/crash.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/depot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FILE_TRIES 3 /* of a file, or of a sync, that the store refuses while it is up */
#define FULL_TEXT  640

/* ---- which file ---- */

static bool is_wanted(struct copy_work *w, size_t i)
{
    const struct mfile *f = &w->batch->files[i];
    const struct mcopy *c = &f->copies[w->pool];
    if (!c->needed || c->done || c->put)
        return false;
    lock_scope(&w->batch->lock);
    return !f->over;
}

/* With several lanes, some are kept for recalls: a reader is not to wait for large files. */
static size_t most_copying(const struct estore *s)
{
    return s->nlanes - (s->nlanes > 8 ? 2 : s->nlanes > 1 ? 1 : 0);
}

/* The next file of w, or its number of files when w is to be settled. Returns false when its last
 * files are with other lanes. */
static bool next_of(struct copy_work *w, size_t *file)
{
    size_t n = w->batch->n;
    while (w->begun < n) {
        *file = w->begun++;
        if (!is_wanted(w, *file))
            continue;
        w->active++;
        return true;
    }
    *file = n;
    return w->active == 0;
}

bool store_take_copy_locked(struct estore *s, struct copy_work **w, size_t *file)
{
    struct pool *p = NULL;
    struct copy_work *x = NULL;
    struct copy_work *tmp = NULL;
    if (s->copying >= most_copying(s))
        return false;
    LL_FOREACH (s->e->pools, p) {
        if (p->lib != s->lib)
            continue;
        DL_FOREACH_SAFE(p->queue, x, tmp)
        {
            x->queued = true;
            bool found = next_of(x, file);
            if (x->begun >= x->batch->n) {
                DL_DELETE(p->queue, x);
                x->queued = false;
            }
            if (!found)
                continue;
            *w = x;
            s->copying++;
            return true;
        }
    }
    return false;
}

/* ---- one file ---- */

static void fail(struct copy_work *w, size_t i, const char *text)
{
    mfile_fail_locked(w->batch, &w->batch->files[i], CODE_FAILED, text);
}

/* The store refused data for want of room; text gets what a user is told. */
static void note_full(struct estore *s, const struct err *why, char text[FULL_TEXT])
{
    lock_scope(&s->e->lock);
    s->fulls++;
    if (why->text[0] != '\0' || s->full[0] == '\0')
        (void)snprintf(s->full, sizeof(s->full), "%.250s",
                       why->text[0] != '\0' ? why->text : "no room");
    (void)snprintf(text, FULL_TEXT,
                   "store %s (pool %s) is full: %s; make room there, then ask again", s->lib->name,
                   s->volume->row.pool, s->full);
}

/* No room: the rest of this piece of work would meet the same. */
static void store_is_full(struct estore *s, struct copy_work *w, size_t i, const struct err *why)
{
    char text[FULL_TEXT];
    size_t from = 0;
    note_full(s, why, text);
    log_err("%s", text);
    {
        lock_scope(&s->e->lock);
        from = w->begun;
        w->begun = w->batch->n;
    }
    fail(w, i, text);
    for (; from < w->batch->n; from++) {
        if (is_wanted(w, from))
            fail(w, from, text);
    }
}

/* What to do after copying a file ended with the negative code rc: true to try it again. Only when
 * the store is not to blame, it counts as a try. */
static bool try_again(struct lane *l, struct copy_work *w, size_t i, int rc, int *tries,
                      const struct err *err)
{
    struct estore *s = l->s;
    if (rc == -ENOSPC || rc == -EDQUOT) {
        store_is_full(s, w, i, err);
        return false;
    }
    if (engine_stopping(s->e))
        return false;
    if (atomic_load(&w->batch->task->cancelled))
        return true; /* to find that */
    log_err("%s to store %s: %s", w->batch->files[i].path, s->lib->name, err->text);
    if (store_failed(s, rc, err) == STORE_DOWN)
        return store_wait(s, w->batch->task) || atomic_load(&w->batch->task->cancelled);
    if (++*tries >= FILE_TRIES) {
        fail(w, i, err->text);
        return false;
    }
    return true;
}

/* How often the store of l was full. */
static unsigned fulls_of(struct lane *l)
{
    lock_scope(&l->s->e->lock);
    return l->s->fulls;
}

static void copy_one(struct lane *l, struct copy_work *w, size_t i)
{
    struct batch *b = w->batch;
    struct mfile *f = &b->files[i];
    struct mcopy *c = &f->copies[w->pool];
    unsigned fulls = fulls_of(l);
    int rc = 0;
    for (int tries = 0;;) {
        struct err err = {0};
        rc = atomic_load(&b->task->cancelled) ? COPY_CANCELLED : copy_file(l->tier, b, f, c, &err);
        if (rc != COPY_DONE)
            copy_unmove(b->task, c);
        if (rc == COPY_FULL)
            rc = -ENOSPC;
        if (rc >= 0 || !try_again(l, w, i, rc, &tries, &err))
            break;
    }
    if (rc == COPY_CANCELLED)
        mfile_fail_locked(b, f, CODE_CANCEL, "cancelled");
    if (rc != COPY_DONE)
        return;
    lock_scope(&l->s->e->lock);
    c->put = true;
    if (l->s->fulls == fulls) /* one that had its room before does not say that there is more */
        l->s->full[0] = '\0';
}

/* ---- all of them ---- */

static void add_used(struct estore *s, const struct batch *b, const size_t *files, size_t n)
{
    {
        lock_scope(&s->e->lock);
        s->volume->row.files += (int64_t)n;
        for (size_t i = 0; i < n; i++)
            s->volume->row.used += (int64_t)b->files[files[i]].snap.size;
    }
    volume_store(s->e, s->volume);
}

/* Makes durable what was put. What the store keeps together (packs) may not be there yet: while the
 * store is down this waits. Returns 0, or a negative code when there is no room, the store refuses
 * it, the task is cancelled or the engine stops. */
static int make_durable(struct lane *l, const struct task *t, struct err *err)
{
    struct estore *s = l->s;
    for (int tries = 1;; tries++) {
        char text[FULL_TEXT];
        bool stopping = engine_stopping(s->e);
        int rc = depot_sync(s->depot, stopping ? NULL : l->tier, err);
        /* A stop cancels all lanes, but leaves requests a few seconds. */
        if (rc == -ECANCELED && !stopping && !atomic_load(&t->cancelled) && engine_stopping(s->e))
            continue;
        if (rc == -ENOSPC || rc == -EDQUOT) {
            note_full(s, err, text);
            return err_set(err, rc, "%s", text);
        }
        if (rc >= 0 || engine_stopping(s->e) || atomic_load(&t->cancelled))
            return rc;
        log_err("copies on store %s: %s", s->lib->name, err->text);
        if (store_failed(s, rc, err) == STORE_DOWN) {
            if (!store_wait(s, t))
                return rc;
            tries = 0;
        } else if (tries >= FILE_TRIES) {
            return rc;
        }
    }
}

/* Tells the catalogue of n copies (indexes) of w. */
static int tell(struct lane *l, struct copy_work *w, const size_t *files, size_t n, struct err *err)
{
    crash_point(CRASH_migrate_copied);
    int rc = make_durable(l, w->batch->task, err);
    if (rc < 0)
        return rc;
    crash_point(CRASH_migrate_synced);
    rc = copy_catalogue(w->batch, w->pool, files, n, l->s->volume, tier_kind(l->tier), err);
    if (rc > 0)
        rc = err_set(err, -EIO, "store %s is not in the catalogue any more", l->s->lib->name);
    crash_point(CRASH_migrate_catalogued);
    return rc;
}

/* The n files of w did not get their copies. When the engine stops they are left
 * without a result: the next start takes them up. */
static void not_settled(struct estore *s, struct copy_work *w, const size_t *files, size_t n,
                        const struct err *err)
{
    struct batch *b = w->batch;
    log_err("copies on store %s: %s", s->lib->name, err->text);
    bool cancelled = atomic_load(&b->task->cancelled);
    if (!cancelled && engine_stopping(s->e))
        return;
    for (size_t i = 0; i < n; i++)
        mfile_fail_locked(b, &b->files[files[i]], cancelled ? CODE_CANCEL : CODE_FAILED,
                          cancelled ? "cancelled" : err->text);
}

/* The copies become known, all or none. Those that do not are found by firn tier gc. */
static void settle(struct lane *l, struct copy_work *w)
{
    struct batch *b = w->batch;
    struct err err = {0};
    auto_free size_t *files = xzalloc((b->n + 1) * sizeof(*files));
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        if (b->files[i].copies[w->pool].put)
            files[n++] = i;
    }
    int rc = n > 0 ? tell(l, w, files, n, &err) : 0;
    if (rc < 0)
        not_settled(l->s, w, files, n, &err);
    for (size_t i = 0; i < n; i++) {
        struct mcopy *c = &b->files[files[i]].copies[w->pool];
        c->volume = l->s->volume->row.id;
        c->done = rc == 0;
        c->put = false;
    }
    if (n > 0 && rc == 0)
        add_used(l->s, b, files, n);
}

/* Whether w is over but for its settling, which is the caller's then. */
static bool is_last(struct estore *s, struct copy_work *w)
{
    lock_scope(&s->e->lock);
    if (--w->active > 0 || w->begun < w->batch->n)
        return false;
    if (w->queued)
        DL_DELETE(w->batch->task->pools[w->pool]->queue, w);
    w->queued = false;
    return true;
}

void store_cancel_locked(struct estore *s, int64_t id)
{
    for (size_t i = 0; i < s->nlanes; i++) {
        bool copies = s->lanes[i].work == LANE_COPYING || s->lanes[i].work == LANE_SETTLING;
        if (copies && s->lanes[i].task_id == id)
            tier_cancel(s->lanes[i].tier, true);
    }
}

/* From here on t's cancel is that of l. */
static void begin_cancel(struct lane *l, const struct task *t)
{
    lock_scope(&l->s->e->lock);
    l->task_id = t->id;
    if (atomic_load(&t->cancelled))
        tier_cancel(l->tier, true);
}

/* The lane's next file is not to be cancelled as this one may have been. */
static void end_cancel(struct lane *l)
{
    lock_scope(&l->s->e->lock);
    l->task_id = 0;
    if (!l->s->e->stopping)
        tier_cancel(l->tier, false);
}

void store_copy(struct lane *l, struct copy_work *w, size_t file)
{
    struct estore *s = l->s;
    bool last = file == w->batch->n;
    begin_cancel(l, w->batch->task);
    if (!last) {
        copy_one(l, w, file);
        last = is_last(s, w);
    }
    if (last)
        settle(l, w);
    end_cancel(l);
    if (last)
        copy_over(w);
    lock_scope(&s->e->lock);
    s->copying--;
}
