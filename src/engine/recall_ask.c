/* SPDX-License-Identifier: Apache-2.0 */
/* Readers: who waits for one file, and is told when it is there. */
#include "engine/recall_impl.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "engine/attr.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

/* Opens the request's file as far as its facts. Returns as recall_look(). */
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
    struct recall *r = recall_find_locked(e, key);
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
        recall_add_waiter(r, t, job);
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
        struct recall *old = recall_find_locked(e, &r->key);
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
    struct recall_key key = recall_key_of(e, fs, &info->id);
    struct recall *r = NULL;
    *out = join_reader(e, &key);
    if (*out != NULL)
        return 0;
    int rc = queue_has_room(e, err);
    if (rc == 0)
        rc = recall_look(e, fs, info, err);
    if (rc == 0)
        rc = recall_new(e, fs, info, path, &r, err);
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
