/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine_impl.h"

#include "base/crash.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/states.h"
#include "engine/transparent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RELEASE_TRIES    3 /* for files that somebody has open */
#define RELEASE_PAUSE_MS 200

static void changed(struct batch *b, struct mfile *f)
{
    f->premigrated = false;
    mfile_fail(f, CODE_CHANGED, "changed while it was copied, %d times; it stays resident",
               f->attempt + 1);
    f->retry = f->attempt < b->e->conf->migrate.retries;
}

static struct state_facts facts_of(const struct batch *b, const struct mfile *f, bool unchanged)
{
    struct state_facts s = {.copies_asked = (unsigned)b->task->npools, .unchanged = unchanged};
    for (size_t p = 0; p < b->task->npools; p++)
        s.copies_durable += !f->copies[p].needed || f->copies[p].done ? 1 : 0;
    s.readers_allowed = strcmp(f->fs->conf->posix_readers, "any") == 0;
    return s;
}

static bool was_copied(const struct batch *b, const struct mfile *f)
{
    for (size_t p = 0; p < b->task->npools; p++) {
        if (f->copies[p].done)
            return true;
    }
    return false;
}

/* The record of one file whose copies are durable. */
static void record_one(struct batch *b, struct mfile *f)
{
    struct err err = {0};
    auto_close int fd = fs_open_id(f->fs->fs, &f->id, O_RDONLY | O_NOATIME | O_NONBLOCK, &err);
    if (fd < 0) {
        mfile_fail(f, fd == -ESTALE ? CODE_ABSENT : CODE_FAILED, "%s",
                   fd == -ESTALE ? "file not found: it was deleted" : err.text);
        return;
    }
    int rc = file_snapshot_unchanged(fd, &f->snap, &err);
    struct state_facts facts = facts_of(b, f, rc == 0);
    if (rc == 0)
        rc = state_check(f->replica ? STATE_MOVE_replicate : STATE_MOVE_premigrate,
                         f->replica ? FILE_PREMIGRATED : FILE_RESIDENT, &facts, &err);
    if (rc == 0)
        rc = file_set_premigrated(f->fs->fs, fd, &f->archive, &f->snap, &err);
    if (rc == FILE_CHANGED)
        changed(b, f);
    else if (rc != 0)
        mfile_fail(f, CODE_FAILED, "%s", rc > 0 ? file_outcome_text(rc) : err.text);
    else
        f->premigrated = true;
}

static bool is_unfinished(const struct batch *b, const struct mfile *f)
{
    struct state_facts s = facts_of(b, f, true);
    return s.copies_durable < s.copies_asked;
}

static void record_all(struct batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        struct mfile *f = &b->files[i];
        if (f->over || f->stub || is_unfinished(b, f))
            continue;
        if (was_copied(b, f))
            record_one(b, f);
        else
            f->premigrated = true; /* it was before; all its copies are there */
    }
    batch_sync(b);
    crash_point(CRASH_migrate_recorded);
}

/* Whatever else was archived of a file is nobody's now: older data, and copies that a crash or a
 * failure left without a record. */
static void find_older(struct batch *b, struct mfile *f, struct uuid **older, size_t *n)
{
    struct catalog_archives l = {0};
    struct err err = {0};
    int rc = catalog_archive_of_file(b->e->cat, &f->id.fs, f->id.ino, f->id.gen, &l, &err);
    if (rc < 0)
        log_err("%s: %s", f->path, err.text);
    for (size_t i = 0; rc == 0 && i < l.n; i++) {
        if (memcmp(&l.v[i].archive, &f->archive, sizeof(f->archive)) == 0)
            continue;
        *older = xrealloc_array(*older, *n + 1, sizeof(**older));
        (*older)[(*n)++] = l.v[i].archive;
    }
    catalog_archives_fini(&l);
}

static void drop_stale(struct batch *b)
{
    auto_free struct uuid *older = NULL;
    const char *last = NULL;
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        struct mfile *f = &b->files[i];
        if (!f->premigrated || f->replica)
            continue;
        find_older(b, f, &older, &n);
        last = f->path;
    }
    copies_set_states(b->e, older, n, CATALOG_COPY_GARBAGE, last);
}

/* ---- release ---- */

static void release_outcome(struct batch *b, struct mfile *f, int rc, const struct err *err)
{
    switch (rc) {
    case 0:
        transparent_stub(b->e->transparent, f->fs, 1);
        f->stub = true;
        break;
    case FILE_IS_MIGRATED:
        f->stub = true;
        break;
    case FILE_IN_USE:
        f->in_use = true;
        break;
    case FILE_CHANGED:
        changed(b, f);
        break;
    case FILE_GONE:
        mfile_fail(f, CODE_ABSENT, "file not found: it was deleted");
        break;
    default:
        mfile_fail(f, CODE_FAILED, "is premigrated, but not released: %s",
                   rc > 0 ? file_outcome_text(rc) : err->text);
        break;
    }
}

static void release_begin(struct batch *b, struct mfile *f)
{
    struct err err = {0};
    struct state_facts facts = facts_of(b, f, true);
    f->in_use = false;
    int rc = state_check(STATE_MOVE_release, FILE_PREMIGRATED, &facts, &err);
    if (rc == 0)
        rc = file_release_begin(f->fs->fs, &f->id, was_copied(b, f) ? &f->snap : NULL, NULL,
                                &f->release, &err);
    if (rc != 0)
        release_outcome(b, f, rc, &err);
}

static void sync_group(struct batch *b, struct mfile **group, size_t n)
{
    for (size_t i = 0; i < b->e->nfs; i++) {
        struct err err = {0};
        bool used = false;
        for (size_t k = 0; k < n; k++)
            used = used || (group[k]->release != NULL && group[k]->fs == &b->e->fs[i]);
        if (used && fs_sync(b->e->fs[i].fs, &err) < 0)
            log_err("%s", err.text); /* each commit then syncs for itself, and fails there */
    }
}

static void release_group(struct batch *b, struct mfile **group, size_t n)
{
    for (size_t i = 0; i < n; i++)
        release_begin(b, group[i]);
    sync_group(b, group, n);
    for (size_t i = 0; i < n; i++) {
        struct err err = {0};
        if (group[i]->release == NULL)
            continue;
        int rc = file_release_commit(take_ptr(group[i]->release), NULL, &err);
        release_outcome(b, group[i], rc, &err);
    }
}

/* One pass over the files that are to be released; returns how many are in use. */
static size_t release_pass(struct batch *b)
{
    struct mfile *group[RELEASE_BATCH];
    size_t n = 0;
    size_t in_use = 0;
    for (size_t i = 0; i < b->n; i++) {
        struct mfile *f = &b->files[i];
        if (f->premigrated && !f->over && !f->stub)
            group[n++] = f;
        if (n == RELEASE_BATCH || (n > 0 && i + 1 == b->n)) {
            release_group(b, group, n);
            n = 0;
        }
    }
    for (size_t i = 0; i < b->n; i++)
        in_use += b->files[i].in_use && !b->files[i].over && !b->files[i].stub ? 1 : 0;
    return in_use;
}

static void release_all(struct batch *b)
{
    for (int try = 0; release_pass(b) > 0; try++) {
        if (try + 1 == RELEASE_TRIES)
            break;
        (void)nanosleep(&(struct timespec){.tv_nsec = RELEASE_PAUSE_MS * 1000000L}, NULL);
    }
    for (size_t i = 0; i < b->n; i++) {
        struct mfile *f = &b->files[i];
        if (f->in_use && !f->over && !f->stub)
            mfile_fail(f, CODE_FAILED,
                       "is premigrated, but not released: another program has it open");
    }
}

/* ---- results ---- */

/* Copies of a file that did not become premigrated belong to nobody. */
static void drop_copies(struct batch *b, const struct mfile *f)
{
    for (size_t p = 0; p < b->task->npools; p++) {
        if (f->copies[p].done)
            copies_set_state(b->e, &f->archive, f->copies[p].copy_no, CATALOG_COPY_GARBAGE,
                             f->path);
    }
}

static bool result_of(struct batch *b, struct mfile *f, struct job_result *r)
{
    r->task = b->task;
    r->end = (struct catalog_job_end){.id = f->job, .code = f->code, .message = f->message};
    if (f->over)
        r->end.state = f->retry ? CATALOG_JOB_QUEUED : CATALOG_JOB_FAILED;
    else if (f->premigrated && (f->stub || b->task->type != ENGINE_MIGRATE))
        r->end.state = CATALOG_JOB_DONE;
    else
        return false; /* the engine stops; the next start takes it up */
    r->end.bytes = r->end.state == CATALOG_JOB_DONE ? f->snap.size : 0;
    return true;
}

static void free_batch(struct batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        struct mfile *f = &b->files[i];
        for (size_t p = 0; p < ENGINE_POOLS_MAX; p++)
            tier_location_fini(&f->copies[p].loc);
        file_release_abort(f->release);
        free(f->path);
        free(f->message);
    }
    free(b->files);
    (void)pthread_mutex_destroy(&b->lock);
    free(b);
}

void batch_end(struct batch *b)
{
    struct engine *e = b->e;
    auto_free struct job_result *r = xzalloc((b->n + 1) * sizeof(*r));
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        if (!b->files[i].premigrated && !b->files[i].replica)
            drop_copies(b, &b->files[i]);
        for (size_t p = 0; p < ENGINE_POOLS_MAX; p++)
            copy_unmove(b->task, &b->files[i].copies[p]);
        n += result_of(b, &b->files[i], &r[n]) ? 1 : 0;
    }
    if (b->n > 0) { /* before its task may go */
        lock_scope(&e->lock);
        DL_DELETE2(e->live, b, live_prev, live_next);
    }
    task_finish_jobs(e, r, n);
    free_batch(b);
    lock_scope(&e->lock);
    e->batches--;
    (void)pthread_cond_broadcast(&e->plan);
}

static void finish_batch(struct batch *b)
{
    {
        lock_scope(&b->e->lock);
        b->task->stage = "change state";
    }
    record_all(b);
    drop_stale(b);
    if (b->task->type == ENGINE_MIGRATE)
        release_all(b);
    batch_end(b);
}

void *migrate_finisher(void *engine)
{
    struct engine *e = engine;
    (void)pthread_mutex_lock(&e->lock);
    while (!e->stopping || e->batches > 0) {
        struct batch *b = e->finish;
        if (b == NULL) {
            (void)pthread_cond_wait(&e->plan, &e->lock);
            continue;
        }
        LL_DELETE(e->finish, b);
        (void)pthread_mutex_unlock(&e->lock);
        finish_batch(b);
        (void)pthread_mutex_lock(&e->lock);
    }
    (void)pthread_mutex_unlock(&e->lock);
    return NULL;
}
