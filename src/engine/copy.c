/* SPDX-License-Identifier: Apache-2.0 */
/* Copies to cartridges: a drive's stay on a volume. */
#include "engine/engine_impl.h"

#include "base/crash.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What goes on during one stay of a piece of work on a volume. */
struct stay {
    struct edrive *d;
    struct copy_work *w;
    size_t *written; /* indexes of files whose copies wait for the sync */
    size_t n;
    int64_t bytes; /* since the last sync */
    bool skipped;  /* something did not fit */
    bool untold;   /* the catalogue could not be told of the copies; the volume is well */
};

static int check_written(struct stay *s, struct err *err)
{
    for (size_t i = 0; i < s->n; i++) {
        struct mfile *f = &s->w->batch->files[s->written[i]];
        uint64_t size = 0;
        int rc = tier_verify(s->d->tier, &f->archive, &f->copies[s->w->pool].loc, NULL, &size, err);
        if (rc != 0 || size != f->snap.size)
            return err_set(err, -EIO, "%s: the copy is not as written in the index of %s", f->path,
                           s->d->volume->row.barcode);
    }
    return 0;
}

/*
 * Makes what was written durable, checks it, and tells the catalogue: first of the copies, then of
 * the volume's new generation, so that a crash between tape and catalogue shows as a generation
 * that the next mount compares.
 */
static int settle(struct stay *s, struct err *err)
{
    if (s->n == 0)
        return 0;
    crash_point(CRASH_migrate_copied);
    int rc = tier_sync(s->d->tier, err);
    if (rc != 0)
        return rc < 0 ? rc : err_set(err, -EIO, "index");
    crash_point(CRASH_migrate_synced);
    rc = check_written(s, err);
    if (rc != 0)
        return rc;
    rc = copy_catalogue(s->w->batch, s->w->pool, s->written, s->n, s->d->volume,
                        tier_kind(s->d->tier), err);
    s->untold = rc != 0;
    if (rc != 0)
        return rc < 0 ? rc : err_set(err, -EIO, "the volume is not in the catalogue any more");
    crash_point(CRASH_migrate_catalogued);
    rc = mount_sync(s->d, err);
    for (size_t i = 0; i < s->n; i++) {
        struct mcopy *c = &s->w->batch->files[s->written[i]].copies[s->w->pool];
        c->volume = s->d->volume->row.id;
        c->done = true;
    }
    s->n = 0;
    s->bytes = 0;
    return rc;
}

/* The copies since the last sync are not to be trusted: they are made again elsewhere. */
static void forget_written(struct stay *s)
{
    for (size_t i = 0; i < s->n; i++) {
        struct mcopy *c = &s->w->batch->files[s->written[i]].copies[s->w->pool];
        tier_location_fini(&c->loc);
        copy_unmove(s->w->batch->task, c);
    }
    s->n = 0;
}

static void avoid_volume(struct copy_work *w, const struct volume *v)
{
    if (w->avoided < CLONES_MAX)
        w->avoid[w->avoided++] = v->row.id;
}

/* The next mount shows what is safe on the volume. */
static void end_mount(struct edrive *d)
{
    tier_free(d->tier);
    d->tier = NULL;
    ltfs_volume_free(d->ltfs);
    d->ltfs = NULL;
}

/* A write error: the tape takes no more data, what is on it stays readable. A full disk under a
 * virtual library is no fault of the cartridge: the work goes elsewhere, or is asked for again when
 * there is room. */
static void volume_broke(struct stay *s, int rc, const struct err *why)
{
    struct volume *v = s->d->volume;
    log_err("cartridge %s: %s", v->row.barcode, why->text);
    forget_written(s);
    if (rc != -ENOSPC && rc != -EDQUOT)
        volume_set_state(s->d->e, v, VOL_REQ_REPLACE, why->text);
    avoid_volume(s->w, v);
    end_mount(s->d);
    lock_scope(&s->d->e->lock);
    (void)snprintf(v->trouble, sizeof(v->trouble), "%.250s", why->text);
}

/* The copies are on the volume, but the catalogue did not take them. Other volumes would fare no
 * better, so the files fail; the next mount compares and finds the copies. */
static void catalogue_broke(struct stay *s, const struct err *why)
{
    struct batch *b = s->w->batch;
    log_err("copies on cartridge %s: %s", s->d->volume->row.barcode, why->text);
    forget_written(s);
    end_mount(s->d);
    for (size_t i = 0; i < b->n; i++) {
        struct mfile *f = &b->files[i];
        if (f->copies[s->w->pool].needed && !f->copies[s->w->pool].done)
            mfile_fail_locked(b, f, CODE_FAILED, why->text);
    }
}

/* f does not fit. On a cartridge that holds nothing else it never will. */
static void did_not_fit(struct stay *s, struct mfile *f)
{
    const struct volume *v = s->d->volume;
    char text[256];
    s->skipped = true;
    if ((int64_t)f->snap.size < v->row.capacity && (v->row.files > 0 || s->n > 0))
        return;
    (void)snprintf(text, sizeof(text),
                   "%llu bytes do not fit on one cartridge (%s: %lld bytes); a file is not spread "
                   "over several",
                   (unsigned long long)f->snap.size, v->row.barcode, (long long)v->row.capacity);
    mfile_fail_locked(s->w->batch, f, CODE_FAILED, text);
}

static bool is_over(struct batch *b, struct mfile *f)
{
    lock_scope(&b->lock);
    return f->over;
}

static int copy_next(struct stay *s, size_t i, struct err *err)
{
    struct batch *b = s->w->batch;
    struct mfile *f = &b->files[i];
    struct mcopy *c = &f->copies[s->w->pool];
    if (!c->needed || c->done || is_over(b, f))
        return 0;
    int rc =
        atomic_load(&b->task->cancelled) ? COPY_CANCELLED : copy_file(s->d->tier, b, f, c, err);
    if (rc != COPY_DONE)
        copy_unmove(b->task, c);
    if (rc == COPY_CANCELLED) {
        mfile_fail_locked(b, f, CODE_CANCEL, "cancelled");
    } else if (rc == COPY_DONE) {
        s->written[s->n++] = i;
        s->bytes += (int64_t)f->snap.size;
        if (s->bytes >= s->d->e->conf->migrate.batch_bytes)
            return settle(s, err);
    } else if (rc == COPY_FULL) {
        did_not_fit(s, f);
    }
    return rc < 0 ? rc : 0;
}

static bool all_done(const struct copy_work *w)
{
    struct batch *b = w->batch;
    lock_scope(&b->lock);
    for (size_t i = 0; i < b->n; i++) {
        const struct mfile *f = &b->files[i];
        if (f->copies[w->pool].needed && !f->copies[w->pool].done && !f->over)
            return false;
    }
    return true;
}

void copy_run(struct edrive *d, struct copy_work *w, bool *again)
{
    struct batch *b = w->batch;
    struct err err = {0};
    auto_free size_t *written = xzalloc(b->n * sizeof(*written));
    struct stay s = {.d = d, .w = w, .written = written};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < b->n; i++) {
        rc = copy_next(&s, i, &err);
        if (rc == 0 && recall_presses(d))
            break;
    }
    if (rc == 0)
        rc = settle(&s, &err);
    if (rc < 0 && s.untold)
        catalogue_broke(&s, &err);
    else if (rc < 0)
        volume_broke(&s, rc, &err);
    else if (s.skipped)
        avoid_volume(w, d->volume);
    *again = !all_done(w);
}

void copy_over(struct copy_work *w)
{
    struct batch *b = w->batch;
    struct engine *e = b->e;
    lock_scope(&e->lock);
    free(w);
    if (--b->copies_left > 0)
        return;
    LL_APPEND(e->finish, b);
    (void)pthread_cond_broadcast(&e->plan);
}

/* Why no volume of p takes w's data, and what to do. */
static void explain(const struct copy_work *w, const struct pool *p, char *text, size_t n)
{
    struct engine *e = w->batch->e;
    struct volume *v = NULL;
    size_t total = 0;
    size_t missing = 0;
    char trouble[256] = "";
    lock_scope(&e->lock);
    LL_FOREACH (p->lib->volumes, v) {
        if (strcmp(v->row.pool, p->name) != 0)
            continue;
        total++;
        missing += v->present ? 0 : 1;
        if (v->trouble[0] != '\0')
            (void)snprintf(trouble, sizeof(trouble), "%s", v->trouble);
    }
    (void)snprintf(text, n,
                   "pool %s@%s has no cartridge with room for it (%zu assigned, %zu of them "
                   "missing)%s%.200s; assign one: firn tape assign BARCODE -p %s -l %s",
                   p->name, p->lib->name, total, missing, trouble[0] != '\0' ? "; " : "", trouble,
                   p->name, p->lib->name);
}

void copy_give_up(struct copy_work *w)
{
    struct batch *b = w->batch;
    char text[640];
    explain(w, b->task->pools[w->pool], text, sizeof(text));
    for (size_t i = 0; i < b->n; i++) {
        struct mfile *f = &b->files[i];
        if (f->copies[w->pool].needed && !f->copies[w->pool].done)
            mfile_fail_locked(b, f, CODE_FAILED, text);
    }
    copy_over(w);
}
