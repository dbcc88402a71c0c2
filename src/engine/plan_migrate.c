/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine_impl.h"
#include "engine/transparent.h"

#include "base/crash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "engine/attr.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- one file ---- */

/* What copy c of the catalogue means for the copy that is asked for in pool p. A store has one
 * place for an archive: a copy that was lost there is made again under its own number. */
static void note_copy(const struct pool *p, const struct catalog_copy *c, struct mcopy *m)
{
    if (strcmp(c->pool, p->name) != 0 || strcmp(c->library, p->lib->name) != 0)
        return;
    if (c->state == CATALOG_COPY_VALID)
        m->needed = false;
    else if (p->lib->store != NULL)
        m->copy_no = c->copy_no;
}

/* Finds which of the task's pools have a good copy of archive already. */
static int find_copies(struct batch *b, struct mfile *f, struct err *err)
{
    struct catalog_copies c = {0};
    struct task *t = b->task;
    int highest = 0;
    for (size_t p = 0; p < t->npools; p++)
        f->copies[p].copy_no = 0;
    int rc = catalog_copy_of(b->e->cat, &f->archive, 1, &c, err);
    for (size_t i = 0; rc == 0 && i < c.n; i++) {
        if (c.v[i].copy_no > highest)
            highest = c.v[i].copy_no;
        for (size_t p = 0; p < t->npools; p++)
            note_copy(t->pools[p], &c.v[i], &f->copies[p]);
    }
    catalog_copies_fini(&c);
    for (size_t p = 0; p < t->npools; p++) {
        if (!f->copies[p].needed)
            f->copies[p].copy_no = 0;
        else if (f->copies[p].copy_no == 0)
            f->copies[p].copy_no = ++highest;
    }
    return rc;
}

/* The digest of the copies that are there, so that a further one is held to it. */
static void find_digest(struct batch *b, struct mfile *f)
{
    struct catalog_archives a = {0};
    if (catalog_archive_get(b->e->cat, &f->archive, &a, NULL) == 0 &&
        a.v[0].digest_alg == DIGEST_XXH3_128) {
        memcpy(f->digest, a.v[0].digest, sizeof(f->digest));
        f->digested = true;
    }
    catalog_archives_fini(&a);
}

static bool needs_copy(const struct batch *b, const struct mfile *f)
{
    for (size_t p = 0; p < b->task->npools; p++) {
        if (f->copies[p].needed)
            return true;
    }
    return false;
}

/* Size and age. Sets f's failure. */
static void check_stat(struct batch *b, struct mfile *f, const struct stat *st)
{
    const struct conf_migrate *m = &b->e->conf->migrate;
    int64_t mtime = st->st_mtim.tv_sec * NS_PER_SEC + st->st_mtim.tv_nsec;
    int64_t now = time_now_ns();
    if (st->st_size == 0 || st->st_size < m->min_size_bytes)
        mfile_fail(f, CODE_SMALL, "too small: %lld bytes, at least %lld are migrated",
                   (long long)st->st_size, (long long)m->min_size_bytes);
    else if (mtime > now)
        mfile_fail(f, CODE_EARLY, "its modification time lies in the future");
    else if (now - mtime < m->min_age_s * NS_PER_SEC)
        mfile_fail(f, CODE_EARLY, "too early: changed %lld s ago, migrate.min_age is %lld s",
                   (long long)((now - mtime) / NS_PER_SEC), (long long)m->min_age_s);
}

/* Other programs would read zeros in place of a released file, unless none read, or the kernel's
 * events stop them. */
static bool may_release(struct batch *b, struct mfile *f)
{
    const char *readers = f->fs->conf->posix_readers;
    const char *why = "";
    if (b->task->type != ENGINE_MIGRATE || strcmp(readers, "none") == 0)
        return true;
    if (strcmp(readers, "recall") == 0) {
        why = transparent_refuses_release(b->e->transparent, f->fs->conf->name);
        if (why[0] == '\0')
            return true;
        mfile_fail(f, CODE_FAILED, "not released: %s; premigrate works without", why);
        return false;
    }
    mfile_fail(f, CODE_FAILED,
               "not released: other programs would read zeros in place of its data. Set "
               "posix_readers = \"recall\" for file system %s in firn.conf (with firn-watch), or "
               "\"none\" when none reads there without a recall; premigrate works without",
               f->fs->conf->name);
    return false;
}

/* A file that is a stub already is done when all asked pools have it. */
static void plan_stub(struct batch *b, struct mfile *f)
{
    if (!needs_copy(b, f))
        f->premigrated = f->stub = true;
    else
        mfile_fail(f, CODE_FAILED, "is migrated, but not to every pool asked for; recall it first");
}

/* Takes what the open file says into f. */
static void plan_inspected(struct batch *b, struct mfile *f, int fd, const struct file_info *info)
{
    struct err err = {0};
    for (size_t p = 0; p < b->task->npools; p++) {
        f->copies[p].needed = true;
        f->copies[p].copy_no = (int)p + 1;
    }
    if (info->state != FILE_RESIDENT && info->note != FILE_NOTE_DAMAGED) {
        f->archive = info->record.archive;
        f->replica = true;
        if (find_copies(b, f, &err) < 0) {
            mfile_fail(f, CODE_FAILED, "%s", err.text);
            return;
        }
        find_digest(b, f);
    } else {
        f->archive = uuid_new();
    }
    if (info->state == FILE_MIGRATED) {
        plan_stub(b, f);
        return;
    }
    if (needs_copy(b, f))
        check_stat(b, f, &info->st);
    if (f->over)
        return;
    int rc = file_snapshot_begin(f->fs->fs, fd, &f->snap, &err);
    if (rc != 0)
        mfile_fail(f, rc == FILE_TOO_YOUNG ? CODE_EARLY : CODE_FAILED, "%s",
                   rc > 0 ? file_outcome_text(rc) : err.text);
}

static void plan_file(struct batch *b, struct mfile *f)
{
    struct file_info info;
    struct err err = {0};
    if (!may_release(b, f))
        return;
    auto_close int fd = fs_open_id(f->fs->fs, &f->id, O_RDONLY | O_NOATIME | O_NONBLOCK, &err);
    if (fd == -ESTALE) {
        mfile_fail(f, CODE_ABSENT, "file not found: it was deleted");
        return;
    }
    int rc = fd < 0 ? fd : file_inspect(f->fs->fs, fd, &info, &err);
    if (rc == FILE_NOT_REGULAR)
        mfile_fail(f, CODE_FAILED, "not a regular file");
    else if (rc != 0)
        mfile_fail(f, CODE_FAILED, "%s", rc > 0 ? file_outcome_text(rc) : err.text);
    else
        plan_inspected(b, f, fd, &info);
}

/* ---- a batch ---- */

static void take_job(struct batch *b, const struct catalog_job *j)
{
    struct mfile *f = &b->files[b->n++];
    memset(f, 0, sizeof(*f));
    f->job = j->id;
    f->attempt = j->attempt;
    f->path = xstrdup(j->path);
    f->fs = efs_by_uuid(b->e, &j->fs);
    f->id.fs = j->fs;
    f->id.ino = j->ino;
    f->id.gen = j->gen;
    f->id.handle_len = j->handle_len;
    memcpy(f->id.handle, j->handle, j->handle_len);
}

/* Claims jobs until the batch has its count or bytes. */
static int claim_batch(struct batch *b, struct err *err)
{
    const struct conf_migrate *m = &b->e->conf->migrate;
    int64_t bytes = 0;
    while ((int64_t)b->n < m->batch_files && bytes < m->batch_bytes) {
        struct catalog_jobs l = {0};
        size_t room = (size_t)m->batch_files - b->n;
        int rc = task_claim(b->e, b->task, room < CLAIM_STEP ? room : CLAIM_STEP, &l, err);
        if (rc == 0 && l.n > 0)
            b->files = xrealloc_array(b->files, b->n + l.n, sizeof(*b->files));
        for (size_t i = 0; rc == 0 && i < l.n; i++) {
            take_job(b, &l.v[i]);
            bytes += (int64_t)l.v[i].size;
        }
        size_t n = l.n;
        catalog_jobs_fini(&l);
        if (rc < 0)
            return b->n > 0 ? 0 : rc;
        if (n == 0)
            break;
    }
    return 0;
}

static bool pools_there(struct batch *b)
{
    for (size_t p = 0; p < b->task->npools; p++) {
        if (b->task->pools[p] == NULL || b->task->pools[p]->deleted)
            return false;
    }
    return b->task->npools > 0;
}

static void plan_files(struct batch *b)
{
    bool pools = pools_there(b);
    for (size_t i = 0; i < b->n; i++) {
        struct mfile *f = &b->files[i];
        if (!pools)
            mfile_fail(f, CODE_FAILED, "a pool of this task does not exist any more");
        else if (f->fs == NULL)
            mfile_fail(f, CODE_FAILED, "its file system is not available");
        else
            plan_file(b, f);
    }
}

void batch_sync(struct batch *b)
{
    for (size_t i = 0; i < b->e->nfs; i++) {
        struct efs *fs = &b->e->fs[i];
        struct err err = {0};
        bool used = false;
        for (size_t k = 0; k < b->n; k++)
            used = used || (!b->files[k].over && b->files[k].fs == fs);
        if (!used || fs_sync(fs->fs, &err) == 0)
            continue;
        for (size_t k = 0; k < b->n; k++) {
            if (!b->files[k].over && b->files[k].fs == fs)
                mfile_fail(&b->files[k], CODE_FAILED, "%s", err.text);
        }
    }
}

static struct copy_work *work_for(struct batch *b, size_t pool)
{
    for (size_t i = 0; i < b->n; i++) {
        if (!b->files[i].over && b->files[i].copies[pool].needed) {
            struct copy_work *w = xzalloc(sizeof(*w));
            w->batch = b;
            w->pool = pool;
            return w;
        }
    }
    return NULL;
}

/* Hands the copies of b to its pools, or b to the finisher when there is nothing to copy. */
static void dispatch(struct batch *b)
{
    struct engine *e = b->e;
    struct copy_work *work[ENGINE_POOLS_MAX] = {0};
    for (size_t p = 0; p < b->task->npools; p++) {
        work[p] = work_for(b, p);
        b->copies_left += work[p] != NULL ? 1 : 0;
    }
    lock_scope(&e->lock);
    DL_APPEND2(e->live, b, live_prev, live_next);
    if (b->copies_left == 0) {
        LL_APPEND(e->finish, b);
        (void)pthread_cond_broadcast(&e->plan);
        return;
    }
    b->task->stage = "copy";
    for (size_t p = 0; p < b->task->npools; p++) {
        if (work[p] != NULL)
            DL_APPEND(b->task->pools[p]->queue, work[p]);
    }
    engine_wake_locked(e);
}

static void plan_task(struct engine *e, struct task *t)
{
    struct err err = {0};
    struct batch *b = xzalloc(sizeof(*b));
    b->e = e;
    b->task = t;
    b->hashed = attr_get_bool(e->cat, "filehash_enable");
    (void)pthread_mutex_init(&b->lock, NULL);
    int rc = claim_batch(b, &err);
    if (rc < 0) {
        log_err("%s", err.text);
        (void)nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
    }
    if (b->n == 0) {
        batch_end(b);
        return;
    }
    plan_files(b);
    batch_sync(b);
    crash_point(CRASH_migrate_planned);
    dispatch(b);
}

/* ---- the thread ---- */

static size_t most_batches(const struct engine *e)
{
    size_t n = 2;
    for (size_t i = 0; i < e->nlibs; i++) {
        const struct edrive *d = NULL;
        LL_FOREACH (e->libs[i].drives, d)
            n++;
        n += e->libs[i].store != NULL ? 2 : 0; /* one's last files and the next one's first */
    }
    return n;
}

static bool waits_for_store(const struct task *t)
{
    for (size_t p = 0; p < t->npools; p++) {
        if (t->pools[p] != NULL && t->pools[p]->lib->store != NULL && !t->pools[p]->lib->store->up)
            return true;
    }
    return false;
}

/* Batches that can go on: those that wait for a store are not to keep others from their tapes. */
static size_t busy_batches(const struct engine *e)
{
    const struct batch *b = NULL;
    size_t n = e->batches;
    DL_FOREACH2(e->live, b, live_next)
    {
        n -= waits_for_store(b->task) ? 1 : 0;
    }
    return n;
}

static struct task *next_task(struct engine *e)
{
    struct task *t = NULL;
    if (busy_batches(e) >= most_batches(e))
        return NULL;
    DL_FOREACH (e->tasks, t) {
        if (t->type != ENGINE_RECALL && t->unclaimed > 0 && !waits_for_store(t))
            return t;
    }
    return NULL;
}

void *migrate_planner(void *engine)
{
    struct engine *e = engine;
    (void)pthread_mutex_lock(&e->lock);
    while (!e->stopping) {
        struct task *t = next_task(e);
        if (t == NULL) {
            (void)pthread_cond_wait(&e->plan, &e->lock);
            continue;
        }
        t->pins++;
        t->stage = "qualify";
        e->batches++;
        (void)pthread_mutex_unlock(&e->lock);
        plan_task(e, t);
        (void)pthread_mutex_lock(&e->lock);
        task_unpin_locked(t);
    }
    (void)pthread_mutex_unlock(&e->lock);
    return NULL;
}
