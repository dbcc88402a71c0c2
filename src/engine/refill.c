/* SPDX-License-Identifier: Apache-2.0 */
/* One file back from a copy, and many of them durable at once: whatever the tier. */
#include "engine/engine_impl.h"

#include "base/crash.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/states.h"
#include "engine/transparent.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define LEASE_TRIES    40 /* a lease of somebody else goes away by itself */
#define LEASE_PAUSE_MS 50
#define DENIED_TRIES   20 /* a front that started anew denies opens that the one before had taken */

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

/* Where copy c is, for texts. */
static void describe(const struct recall_copy *c, char *text, size_t n)
{
    const struct volume *v = c->volume;
    if (v->lib->store != NULL)
        (void)snprintf(text, n, "store %s, %s", v->row.barcode, c->loc.key);
    else
        (void)snprintf(text, n, "cartridge %s, block %llu", v->row.barcode,
                       (unsigned long long)c->loc.block);
}

/* Compares what came with what was archived. */
static int check_data(struct fill *f, uint64_t length, struct err *err)
{
    const struct recall *r = f->r;
    const struct recall_copy *c = &r->copies[r->current];
    uint8_t value[DIGEST_MAX];
    char place[1200];
    describe(c, place, sizeof(place));
    if (length != r->size)
        return err_set(err, -EBADMSG, "%s: the copy has %llu bytes, %llu were archived", place,
                       (unsigned long long)length, (unsigned long long)r->size);
    if (f->digest == NULL)
        return 0;
    digest_hole(f->digest, r->size - f->next);
    size_t n = digest_final(f->digest, value);
    if (memcmp(value, r->digest, n) == 0)
        return 0;
    return err_set(err, -EBADMSG, "%s: the data do not have their %s digest", place,
                   digest_name(digest_algorithm(f->digest)));
}

/* Reads the copy into the open refill. Where a look costs a request, the digest alone tells that
 * all is there. */
static int fill_file(struct engine *e, struct tier *t, struct fill *f, struct err *err)
{
    struct recall *r = f->r;
    struct recall_copy *c = &r->copies[r->current];
    uint64_t length = r->size;
    int rc = 0;
    if (f->digest == NULL || (tier_caps(t) & TIER_ORDERED) != 0)
        rc = tier_verify(t, &r->archive, &c->loc, NULL, &length, err);
    void *buf = bufpool_get(e->buffers);
    if (rc == 0)
        rc = tier_get(t, &r->archive, &c->loc, buf, bufpool_size(e->buffers), fill_sink, f, err);
    bufpool_put(e->buffers, buf);
    if (rc == TIER_ABSENT)
        return err_set(err, -ENODATA, "%s: %s is not there", tier_name(t), c->loc.key);
    return rc < 0 ? rc : check_data(f, length, err);
}

/* How often a refill that could not begin is tried. */
static int tries_after(const struct recall *r, int rc)
{
    if (rc == FILE_IN_USE || rc == FILE_BUSY)
        return LEASE_TRIES;
    bool watched = strcmp(r->fs->conf->posix_readers, "recall") == 0;
    return watched && (rc == -EIO || rc == -EPERM) ? DENIED_TRIES : 0;
}

static int begin_refill(struct recall *r, struct err *err)
{
    int rc = 0;
    for (int i = 1;; i++) {
        rc = file_refill_begin(r->fs->fs, &r->id, &r->archive, &r->refill, err);
        if (i >= tries_after(r, rc))
            return rc;
        (void)nanosleep(&(struct timespec){.tv_nsec = LEASE_PAUSE_MS * 1000000L}, NULL);
    }
}

/* The file decides: r ends here. */
static void end_one(struct engine *e, struct recall *r, int result, const char *text)
{
    struct recall *list = NULL;
    r->result = result;
    if (result < 0)
        (void)err_set(&r->err, result, "%s: %s", r->path, text);
    DL_APPEND(list, r);
    recall_end_list(e, list);
}

static void refill_refused(struct engine *e, struct recall *r, int rc, const struct err *err)
{
    if (rc == FILE_NOT_MIGRATED) {
        end_one(e, r, 0, "");
        return;
    }
    r->gone = rc == FILE_GONE;
    end_one(e, r, rc < 0 ? rc : -EIO, rc > 0 ? file_outcome_text(rc) : err->text);
}

int refill_one(struct engine *e, struct tier *t, struct recall *r, struct err *err)
{
    crash_point(CRASH_recall_begun);
    int rc = begin_refill(r, err);
    if (rc != 0) {
        refill_refused(e, r, rc, err);
        return REFILL_ENDED;
    }
    bool check = r->digest_alg >= 0 && r->check;
    auto_digest struct digest *digest = check ? digest_new((enum digest_alg)r->digest_alg) : NULL;
    struct fill f = {.r = r, .digest = digest};
    rc = fill_file(e, t, &f, err);
    if (rc == 0) {
        rc = file_refill_finish_data(r->refill, err);
        f.file_failed = rc != 0;
        if (rc > 0)
            rc = err_set(err, -ESTALE, "%s", file_outcome_text(rc));
    }
    if (rc >= 0)
        return 0;
    file_refill_abort(take_ptr(r->refill));
    atomic_store(&r->moved, 0);
    if (!f.file_failed)
        return rc;
    end_one(e, r, rc, err->text);
    return REFILL_ENDED;
}

/* ---- many files durable at once ---- */

/* The new states of the files on fs may not be on disk: nobody is told that they are. */
static void states_lost(struct recall *list, const struct efs *fs, int rc, const struct err *err)
{
    struct recall *r = NULL;
    DL_FOREACH (list, r) {
        if (r->fs != fs || r->result < 0)
            continue;
        r->result = rc;
        (void)err_set(&r->err, rc, "%s: %s", r->path, err->text);
    }
}

static void sync_filesystems(struct engine *e, struct recall *list, bool states)
{
    for (size_t i = 0; i < e->nfs; i++) {
        const struct recall *r = NULL;
        int rc = 0;
        struct err err = {0};
        bool used = false;
        DL_FOREACH (list, r)
            used = used || r->fs == &e->fs[i];
        if (used)
            rc = fs_sync(e->fs[i].fs, &err);
        if (rc < 0 && states)
            states_lost(list, &e->fs[i], rc, &err);
        else if (rc < 0)
            log_err("%s", err.text); /* file_refill_commit syncs each for itself then */
    }
}

static void commit_one(struct engine *e, struct recall *r)
{
    struct err err = {0};
    struct state_facts facts = {.data_complete = true, .data_checked = true};
    enum state_move move = r->drop ? STATE_MOVE_recall_resident : STATE_MOVE_recall;
    int rc = state_check(move, FILE_MIGRATED, &facts, &err);
    if (rc == 0)
        rc = file_refill_commit(take_ptr(r->refill), state_after(move), false, &err);
    if (rc == 0) {
        transparent_stub(e->transparent, r->fs, -1);
        return;
    }
    r->result = rc < 0 ? rc : -ESTALE;
    (void)err_set(&r->err, r->result, "%s: %s", r->path, rc > 0 ? file_outcome_text(rc) : err.text);
}

/* Copies of files that are resident now. The files that they are of have no record any more, which
 * is durable; a copy of a stub goes by the archive of the file that it is a copy of. */
static void drop_copies(struct engine *e, const struct recall *list)
{
    const struct recall *r = NULL;
    const char *first = NULL;
    size_t max = 0;
    size_t n = 0;
    DL_FOREACH (list, r)
        max += r->drop && r->result == 0 ? 1 : 0;
    auto_free struct uuid *archives = xzalloc((max + 1) * sizeof(*archives));
    DL_FOREACH (list, r) {
        if (!r->drop || r->result != 0 || (!r->own && archive_is_referenced(e, &r->archive)))
            continue;
        first = n == 0 ? r->path : first;
        archives[n++] = r->archive;
    }
    copies_set_states(e, archives, n, CATALOG_COPY_GARBAGE, first);
}

void refill_settle(struct engine *e, struct recall *list)
{
    struct recall *r = NULL;
    sync_filesystems(e, list, false);
    {
        lock_scope(&e->lock); /* whoever joins later gets what was decided here */
        DL_FOREACH (list, r)
            r->drop = r->resident || file_refill_is_cut(r->refill);
    }
    DL_FOREACH (list, r)
        commit_one(e, r);
    sync_filesystems(e, list, true);
    crash_point(CRASH_recall_recorded);
    drop_copies(e, list);
    recall_end_list(e, list);
}
