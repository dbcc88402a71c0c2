/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine_impl.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "engine/attr.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- recalls in memory ---- */

static struct recall_key key_of(struct engine *e, const struct efs *fs, const struct file_id *id)
{
    struct recall_key k = {0};
    k.fs = (uint64_t)(fs - e->fs);
    k.ino = id->ino;
    k.gen = id->gen;
    return k;
}

static struct recall *find_locked(struct engine *e, const struct recall_key *key)
{
    struct recall *r = NULL;
    HASH_FIND(hh, e->recalls, key, sizeof(*key), r);
    return r;
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
        recall_unref_locked(r);
    }
}

static void add_waiter(struct recall *r, struct task *t, int64_t job)
{
    struct waiter *w = xzalloc(sizeof(*w));
    w->task = t;
    w->job = job;
    LL_PREPEND(r->waiters, w);
}

/* ---- which copy ---- */

/* Higher is better; -1 cannot be read now. */
static int rank(const struct recall_copy *c)
{
    const struct volume *v = c->volume;
    int score = 0;
    if (v == NULL || c->tried || !volume_readable(v))
        return -1;
    if (v->lib->store != NULL && !v->lib->store->up)
        return 0; /* it waits there, when no other copy can be read */
    if (strcmp(v->row.state, VOL_NEED_REPLACE) != 0)
        score += 8;
    if (v->lib->store != NULL)
        score += 5; /* nothing to mount */
    else if (v->drive != NULL && v->drive->row.enabled)
        score += v->reserved ? 3 : 4;
    if (v->queue != NULL)
        score += 2;
    return score * 8 + (c->copy_no > 7 ? 0 : 7 - c->copy_no);
}

static void explain_none(struct recall *r)
{
    struct err last = r->err;
    struct buf b = {0};
    for (size_t i = 0; i < r->ncopies; i++) {
        const struct volume *v = r->copies[i].volume;
        if (v == NULL || r->copies[i].tried)
            continue;
        buf_addf(&b, "%s%s %s is %s", b.len > 0 ? ", " : "",
                 v->lib->store != NULL ? "store" : "cartridge", v->row.barcode,
                 volume_shown_state(v));
        if (!v->present)
            buf_addf(&b, " (put it back into library %s, then: firn library rescan)", v->lib->name);
    }
    if (r->ncopies == 0)
        buf_adds(&b, "the catalogue knows no copy of it in a library or store of firn.conf; "
                     "firn rebuild looks in all of them");
    (void)err_set(&r->err, -EIO, "%s cannot be recalled: %s%s%s", r->path, last.text,
                  last.text[0] != '\0' && b.len > 0 ? "; " : "", b.data != NULL ? b.data : "");
    r->result = -EIO;
    buf_fini(&b);
}

void recall_route_locked(struct engine *e, struct recall *r, struct recall **dead)
{
    int best = -1;
    for (size_t i = 0; i < r->ncopies; i++) {
        int k = rank(&r->copies[i]);
        if (k > best) {
            best = k;
            r->current = i;
        }
    }
    if (best < 0) {
        explain_none(r);
        DL_APPEND(*dead, r);
        return;
    }
    struct volume *v = r->copies[r->current].volume;
    DL_APPEND(v->queue, r);
    v->queued++;
    v->replan = true;
    v->asked = v->asked || r->reader;
    if (v->lib->store != NULL)
        (void)pthread_cond_signal(&v->lib->store->idle); /* one lane is enough for one recall */
    else
        engine_wake_locked(e);
}

void recall_next_copy(struct engine *e, struct recall *r, const struct err *why)
{
    struct recall *dead = NULL;
    r->err = *why;
    {
        lock_scope(&e->lock);
        r->copies[r->current].tried = true;
        recall_route_locked(e, r, &dead);
    }
    recall_end_list(e, dead);
}

void recall_reroute_locked(struct engine *e, struct volume *v, struct recall **dead)
{
    struct recall *r = NULL;
    struct recall *tmp = NULL;
    struct recall *all = v->queue;
    v->queue = NULL;
    v->queued = 0;
    DL_FOREACH_SAFE(all, r, tmp)
    {
        DL_DELETE(all, r);
        if (v->present) {
            r->copies[r->current].tried = true;
            if (v->trouble[0] != '\0')
                (void)err_set(&r->err, -EIO, "%s", v->trouble);
        }
        recall_route_locked(e, r, dead);
    }
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

void recall_end_list(struct engine *e, struct recall *list)
{
    struct recall *r = NULL;
    struct recall *tmp = NULL;
    if (list == NULL)
        return;
    {
        lock_scope(&e->lock);
        DL_FOREACH (list, r) {
            r->finished = true;
            HASH_DEL(e->recalls, r);
        }
        (void)pthread_cond_broadcast(&e->changed);
    }
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

/* ---- what is to be done for a file ---- */

/* A damaged record: the catalogue knows which archive the stub is. */
static int restore_record(struct engine *e, struct efs *fs, struct file_info *info, struct err *err)
{
    struct catalog_archives a = {0};
    int rc = catalog_archive_of_file(e->cat, &fs->uuid, info->id.ino, info->id.gen, &a, err);
    if (rc == 0 && a.v[0].size != (uint64_t)info->st.st_size)
        rc = CATALOG_ABSENT;
    if (rc == 0) {
        auto_close int fd = fs_open_id(fs->fs, &info->id, O_RDWR | O_NONBLOCK, err);
        info->record = (struct file_record){.state = FILE_MIGRATED,
                                            .archive = a.v[0].archive,
                                            .size = a.v[0].size,
                                            .mtime_ns = a.v[0].mtime_ns};
        rc = fd < 0 ? fd : file_write_record(fs->fs, fd, &info->record, err);
        if (rc == 0)
            log_warn("%s: its damaged state record was written anew from the catalogue",
                     a.v[0].path);
    } else if (rc > 0) {
        rc = err_set(err, -EIO,
                     "its state record is damaged and the catalogue knows no archive of "
                     "this file; firn rebuild looks on all tapes");
    }
    catalog_archives_fini(&a);
    return rc;
}

static uint64_t last_block(const struct catalog_copy *c)
{
    return c->start_block + (c->byte_offset + c->length) / LTFS_BLOCKSIZE;
}

/* Adds the copies of one state to r. */
static void take_copies(struct engine *e, struct recall *r, const struct catalog_copies *c,
                        enum catalog_copy_state state)
{
    lock_scope(&e->lock);
    for (size_t i = 0; i < c->n && r->ncopies < sizeof(r->copies) / sizeof(r->copies[0]); i++) {
        struct recall_copy *k = &r->copies[r->ncopies];
        struct volume *v = volume_by_id_locked(e, c->v[i].volume);
        if (c->v[i].state != state || v == NULL)
            continue;
        k->volume = v;
        k->copy_no = c->v[i].copy_no;
        k->loc.key = xstrdup(c->v[i].path);
        k->loc.partition = c->v[i].partition == 'b' ? 1 : 0;
        k->loc.block = c->v[i].start_block;
        k->loc.byteoffset = (uint32_t)c->v[i].byte_offset;
        /* A store's numbers are sizes: of what is stored, and of the file (tier/s3_put.c). */
        k->loc.last_block = v->lib->store != NULL ? c->v[i].length : last_block(&c->v[i]);
        r->ncopies++;
    }
}

/* Copies and digest. Copies that count as garbage come last: a file that asks for one proves that
 * it is none. */
static int find_copies(struct engine *e, struct recall *r, struct err *err)
{
    struct catalog_copies c = {0};
    struct catalog_archives a = {0};
    r->digest_alg = -1;
    int rc = catalog_copy_of(e->cat, &r->archive, 1, &c, err);
    if (rc == 0) {
        take_copies(e, r, &c, CATALOG_COPY_VALID);
        take_copies(e, r, &c, CATALOG_COPY_GARBAGE);
    }
    if (rc == 0 && catalog_archive_get(e->cat, &r->archive, &a, err) == 0) {
        r->own = a.v[0].ino == r->id.ino && a.v[0].gen == r->id.gen &&
                 memcmp(&a.v[0].fs, &r->id.fs, sizeof(r->id.fs)) == 0;
        r->digest_alg = a.v[0].digest_alg;
        memcpy(r->digest, a.v[0].digest, sizeof(r->digest));
    }
    catalog_archives_fini(&a);
    catalog_copies_fini(&c);
    return rc < 0 ? rc : 0;
}

/* A recall of the stub that info describes. */
static int new_recall(struct engine *e, struct efs *fs, const struct file_info *info,
                      const char *path, struct recall **out, struct err *err)
{
    struct recall *r = xzalloc(sizeof(*r));
    r->fs = fs;
    r->id = info->id;
    r->key = key_of(e, fs, &info->id);
    r->path = xasprintf("%s/%s", fs->conf->path, path);
    r->archive = info->record.archive;
    r->size = info->record.size;
    r->created_ns = time_mono_ns();
    r->refs = 1;
    r->resident = true;
    int rc = find_copies(e, r, err);
    if (rc < 0) {
        recall_unref_locked(r);
        return rc;
    }
    *out = r;
    return 0;
}

/* Inspects a file that is to be recalled: 0 it is a stub that can be, 1 its data is there, or a
 * negative code (-ENOENT: gone). */
static int look(struct engine *e, struct efs *fs, struct file_info *info, struct err *err)
{
    if (info->state != FILE_MIGRATED)
        return 1;
    if (info->note == FILE_NOTE_STUB_CHANGED)
        return err_set(err, -EIO, "%s; its old copies are kept, nothing is overwritten",
                       file_note_text(info->note));
    return info->note == FILE_NOTE_DAMAGED ? restore_record(e, fs, info, err) : 0;
}

/* ---- planner ---- */

/* A job that is over at once. */
static void end_now(struct engine *e, struct task *t, int64_t job, int rc, const struct err *err)
{
    struct job_result r = {.task = t, .end = {.id = job, .state = CATALOG_JOB_DONE}};
    if (rc < 0) {
        r.end.state = CATALOG_JOB_FAILED;
        r.end.code = rc == -ENOENT ? CODE_ABSENT : CODE_FAILED;
        r.end.message = rc == -ENOENT ? "file not found" : err->text;
    } else if (rc > 0) {
        r.end.code = CODE_NOT_MIG;
        r.end.message = "its data is on disk";
    }
    task_finish_jobs(e, &r, 1);
}

/* recall --resident of a file whose data is there: the record goes. */
static int forget(struct engine *e, struct efs *fs, const struct file_info *info, struct err *err)
{
    if (info->state != FILE_PREMIGRATED)
        return 1;
    auto_close int fd = fs_open_id(fs->fs, &info->id, O_RDWR | O_NONBLOCK, err);
    int rc = fd < 0 ? fd : file_set_resident(fs->fs, fd, err);
    if (rc == 0)
        rc = fs_sync(fs->fs, err);
    if (rc == 0)
        copies_set_state(e, &info->record.archive, 0, CATALOG_COPY_GARBAGE, "recall --resident");
    return rc;
}

/* Joins r to what is in memory for the file, or puts it there. r is taken. */
static void join(struct engine *e, struct recall *r, struct task *t, int64_t job)
{
    struct recall *dead = NULL;
    {
        lock_scope(&e->lock);
        struct recall *old = find_locked(e, &r->key);
        if (old != NULL) {
            add_waiter(old, t, job);
            old->resident = old->resident && (t->options & TASK_RESIDENT) != 0;
            recall_unref_locked(r);
            return;
        }
        add_waiter(r, t, job);
        r->resident = (t->options & TASK_RESIDENT) != 0;
        HASH_ADD(hh, e->recalls, key, sizeof(r->key), r);
        e->window++;
        recall_route_locked(e, r, &dead);
    }
    recall_end_list(e, dead);
}

/* check is attribute filehash_verify_on_read. */
static void plan_job(struct engine *e, struct task *t, const struct catalog_job *j, bool check)
{
    struct efs *fs = efs_by_uuid(e, &j->fs);
    struct file_info info;
    struct err err = {0};
    struct recall *r = NULL;
    struct file_id id = {.fs = j->fs, .ino = j->ino, .gen = j->gen, .handle_len = j->handle_len};
    memcpy(id.handle, j->handle, j->handle_len);
    int rc = fs == NULL ? err_set(&err, -ENODEV, "its file system is not available")
                        : file_inspect_id(fs->fs, &id, &info, &err);
    if (rc == FILE_GONE)
        rc = -ENOENT;
    if (rc == 0)
        rc = look(e, fs, &info, &err);
    if (rc == 1 && (t->options & TASK_RESIDENT) != 0)
        rc = forget(e, fs, &info, &err);
    else if (rc == 0)
        rc = new_recall(e, fs, &info, j->path, &r, &err);
    if (r == NULL) {
        end_now(e, t, j->id, rc, &err);
        return;
    }
    r->check = check;
    join(e, r, t, j->id);
}

static void plan_task(struct engine *e, struct task *t)
{
    struct catalog_jobs l = {0};
    struct err err = {0};
    if (task_claim(e, t, CLAIM_STEP, &l, &err) < 0) {
        log_err("%s", err.text);
        (void)nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
    }
    bool check = l.n > 0 && attr_get_bool(e->cat, "filehash_verify_on_read");
    for (size_t i = 0; i < l.n; i++)
        plan_job(e, t, &l.v[i], check);
    catalog_jobs_fini(&l);
}

/* Recalls that wait for a store which is down are not to keep others from their tapes, up to a
 * number that memory bears. */
static size_t waiting_for_stores(const struct engine *e)
{
    size_t n = 0;
    for (size_t i = 0; i < e->nlibs; i++) {
        const struct estore *s = e->libs[i].store;
        n += s != NULL && !s->up ? s->volume->queued : 0;
    }
    return n < STORE_WINDOW ? n : STORE_WINDOW;
}

static struct task *next_task(struct engine *e)
{
    struct task *t = NULL;
    if (e->window - waiting_for_stores(e) >= RECALL_WINDOW)
        return NULL;
    DL_FOREACH (e->tasks, t) {
        if (t->type == ENGINE_RECALL && !t->direct && t->unclaimed > 0)
            return t;
    }
    return NULL;
}

void *recall_planner(void *engine)
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
        t->stage = "recall";
        (void)pthread_mutex_unlock(&e->lock);
        plan_task(e, t);
        (void)pthread_mutex_lock(&e->lock);
        task_unpin_locked(t);
    }
    (void)pthread_mutex_unlock(&e->lock);
    return NULL;
}

/* ---- readers ---- */

/* Opens the request's file as far as its facts. Returns as look(). */
static int look_at(struct engine *e, const struct engine_recall_req *req, struct efs **fs,
                   char **path, struct file_info *info, struct err *err)
{
    if (req->fs != NULL) {
        *fs = efs_by_name(e, req->fs);
        *path = xstrdup(req->path);
    } else {
        *fs = efs_resolve(e, req->path, path);
    }
    if (*fs == NULL || (*fs)->fs == NULL)
        return err_set(err, -ENOENT, "%s: not in a managed file system", req->path);
    int rc = file_inspect_path((*fs)->fs, *path, info, err);
    if (rc == FILE_NOT_REGULAR)
        return err_set(err, -EINVAL, "%s: not a regular file", req->path);
    if (rc != 0)
        return rc < 0 ? rc : err_set(err, -ENOENT, "%s: file not found", req->path);
    if ((req->ino != 0 && req->ino != info->id.ino) || (req->gen != 0 && req->gen != info->id.gen))
        return err_set(err, -ESTALE, "%s: another file has this name now", req->path);
    rc = info->state != FILE_MIGRATED ? 1 : 0;
    return rc;
}

/* r got its first reader, perhaps in a queue. engine.lock held. */
static void note_reader(struct engine *e, struct recall *r)
{
    if (r->ncopies > 0) {
        r->copies[r->current].volume->replan = true;
        r->copies[r->current].volume->asked = true;
    }
    engine_wake_locked(e);
}

/* A reader joins a recall that is under way. Returns it with a reference, or NULL. */
static struct recall *join_reader(struct engine *e, const struct recall_key *key)
{
    lock_scope(&e->lock);
    struct recall *r = find_locked(e, key);
    if (r == NULL)
        return NULL;
    r->refs++;
    r->reader = true;
    r->resident = false;
    note_reader(e, r);
    return r;
}

/* The job that makes the reader's request durable; a job that is in the queue already serves. */
static int make_job(struct engine *e, struct recall *r, const char *path, struct err *err)
{
    struct task *t = NULL;
    int64_t job = 0;
    int rc = task_add_direct(e, &r->id, path, &r->archive, r->size, &t, &job, err);
    if (rc == 0)
        add_waiter(r, t, job);
    if (rc != 1)
        return rc;
    rc = catalog_task_set(e->cat, t->id, CATALOG_TASK_COMPLETED, CATALOG_RESULT_SUCCEEDED,
                          "an earlier request serves this reader", CATALOG_NOWAIT, err);
    free(t);
    return rc < 0 ? rc : 0;
}

/* Puts a new recall into memory; when another came first, that one (with a reference) is given. */
static struct recall *start_reader(struct engine *e, struct recall *r)
{
    struct recall *dead = NULL;
    {
        lock_scope(&e->lock);
        struct recall *old = find_locked(e, &r->key);
        r->refs++;
        if (old != NULL) {
            struct waiter *w = r->waiters;
            r->waiters = NULL;
            if (w != NULL)
                LL_CONCAT(old->waiters, w);
            r->refs = 1;
            recall_unref_locked(r);
            old->refs++;
            old->reader = true;
            old->resident = false;
            note_reader(e, old);
            return old;
        }
        r->reader = true;
        r->resident = false;
        HASH_ADD(hh, e->recalls, key, sizeof(r->key), r);
        e->window++;
        recall_route_locked(e, r, &dead);
    }
    recall_end_list(e, dead);
    return r;
}

static int queue_has_room(struct engine *e, struct err *err)
{
    lock_scope(&e->lock);
    if (e->stopping)
        return err_set(err, -ESHUTDOWN, "firnd is stopping");
    if (e->recalls_open < e->conf->recall.queue_max)
        return 0;
    return err_set(err, -EAGAIN, "the recall queue is full: %lld wait (recall.queue_max)",
                   (long long)e->recalls_open);
}

static int begin_reader(struct engine *e, struct efs *fs, struct file_info *info, const char *path,
                        struct recall **out, struct err *err)
{
    struct recall_key key = key_of(e, fs, &info->id);
    struct recall *r = NULL;
    *out = join_reader(e, &key);
    if (*out != NULL)
        return 0;
    int rc = queue_has_room(e, err);
    if (rc == 0)
        rc = look(e, fs, info, err);
    if (rc == 0)
        rc = new_recall(e, fs, info, path, &r, err);
    if (rc == 0) {
        r->check = attr_get_bool(e->cat, "filehash_verify_on_read");
        rc = make_job(e, r, path, err);
    }
    if (rc < 0) {
        if (r != NULL)
            recall_unref_locked(r);
        return err_wrap(err, rc, "recall of %s", path);
    }
    *out = start_reader(e, r);
    return 0;
}

static struct timespec deadline(int64_t ms)
{
    int64_t ns = time_mono_ns() + ms * 1000000;
    return (struct timespec){.tv_sec = ns / NS_PER_SEC, .tv_nsec = ns % NS_PER_SEC};
}

static int wait_reader(struct engine *e, struct recall *r, int64_t wait_ms, struct err *err)
{
    struct timespec until = deadline(wait_ms);
    int timed_out = 0;
    int rc = 0;
    lock_scope(&e->lock);
    e->callers++;
    while (!r->finished && !e->stopping && timed_out == 0)
        timed_out = pthread_cond_timedwait(&e->changed, &e->lock, &until);
    if (r->finished) {
        rc = r->result;
        if (rc < 0)
            (void)err_set(err, r->gone ? -ENOENT : rc, "%s", r->err.text);
        rc = rc < 0 && r->gone ? -ENOENT : rc;
    } else if (e->stopping) {
        rc = err_set(err, -ESHUTDOWN, "firnd is stopping");
    } else {
        rc = err_set(err, -EAGAIN, "the recall of %s goes on", r->path);
    }
    recall_unref_locked(r);
    e->callers--;
    (void)pthread_cond_broadcast(&e->changed);
    return rc;
}

int engine_recall(struct engine *e, const struct engine_recall_req *req,
                  struct engine_recall_res *res, struct err *err)
{
    struct efs *fs = NULL;
    auto_free char *path = NULL;
    struct file_info info;
    struct recall *r = NULL;
    *res = (struct engine_recall_res){.state = "premigrated",
                                      .retry_after_s = (int)e->conf->s3.retry_after_s};
    int rc = look_at(e, req, &fs, &path, &info, err);
    if (rc == 1) {
        res->state = file_state_name(info.state);
        return 0;
    }
    if (rc < 0)
        return rc;
    if (!attr_get_bool(e->cat, "allow_transparent_recall"))
        return err_set(
            err, -EACCES,
            "%s is migrated and allow_transparent_recall is no: recall it with firn file "
            "recall, or a policy",
            req->path);
    log_debug("recall of %s for %s", path, req->account != NULL ? req->account : "a reader");
    rc = begin_reader(e, fs, &info, path, &r, err);
    return rc < 0 ? rc : wait_reader(e, r, req->wait_ms, err);
}
