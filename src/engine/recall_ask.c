/* SPDX-License-Identifier: Apache-2.0 */
/* Readers: who waits for one file, and is told when it is there. */
#include "engine/recall_impl.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "engine/attr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OPERATOR     "operator" /* whom readers without an account are charged to: no bound */
#define ASKERS_SHOWN 64         /* askers without a callback that one recall remembers */

/* One reader's request on its way into memory. */
struct request {
    struct efs *fs;
    const char *path; /* relative; NULL when the caller does not know it */
    char account[80];
    struct asker *asker; /* owned; NULL once a recall has it */
    bool ended;          /* at once, no copy can be read: nobody is called */
};

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

/* The same client asked before and still is remembered: S3 clients come again and again. */
static bool is_known(const struct recall *r, const struct asker *a)
{
    const struct asker *o = NULL;
    size_t n = 0;
    LL_FOREACH (r->askers, o) {
        if (o->done == NULL && o->pid == a->pid && o->uid == a->uid &&
            strcmp(o->name, a->name) == 0)
            return true;
        n++;
    }
    return n >= ASKERS_SHOWN;
}

/* The reader of q waits for r from now on; r has one more reference. engine.lock held. */
static void attach_locked(struct recall *r, struct request *q)
{
    r->refs++;
    if (!r->reader && r->waits != NULL)
        r->waits->readers++;
    r->reader = true;
    r->resident = false;
    if (q->asker->done == NULL && is_known(r, q->asker))
        return;
    LL_PREPEND(r->askers, q->asker);
    q->asker = NULL;
}

/* A reader joins a recall that is under way: *out is it, with a reference, or NULL. */
static int join_reader(struct engine *e, const struct recall_key *key, struct request *q,
                       struct recall **out, struct err *err)
{
    lock_scope(&e->lock);
    struct recall *r = recall_find_locked(e, key);
    *out = NULL;
    if (e->stopping)
        return err_set(err, -ESHUTDOWN, "firnd is stopping");
    if (r == NULL)
        return 0;
    attach_locked(r, q);
    note_reader(e, r);
    *out = r;
    return 0;
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
                          "an earlier request serves this reader", 0, err);
    free(t);
    return rc < 0 ? rc : 0;
}

/* Puts a new recall into memory; when another came first, that one (with a reference) is given. One
 * that has no readable copy ends at once: its reader learns it from the reference, not by a call.
 */
static struct recall *start_reader(struct engine *e, struct recall *r, struct request *q)
{
    struct recall *dead = NULL;
    {
        lock_scope(&e->lock);
        struct recall *old = recall_find_locked(e, &r->key);
        if (old != NULL) {
            if (r->waiters != NULL)
                LL_CONCAT(old->waiters, r->waiters);
            r->waiters = NULL;
            account_release_locked(e, r->account);
            recall_unref_locked(r);
            attach_locked(old, q);
            note_reader(e, old);
            return old;
        }
        attach_locked(r, q);
        recall_put_locked(e, r, &dead);
        q->ended = dead != NULL;
        if (q->ended)
            r->askers->done = NULL;
    }
    recall_end_list(e, dead);
    return r;
}

/* A place in the queue for one more recall, charged to the account. */
static int reserve(struct engine *e, const struct request *q, struct account **out, struct err *err)
{
    int64_t max = strcmp(q->account, OPERATOR) == 0 ? 0 : e->conf->recall.account_max;
    lock_scope(&e->lock);
    *out = NULL;
    if (e->recalls_open >= e->conf->recall.queue_max)
        return err_set(err, -EAGAIN, "the recall queue is full: %lld wait (recall.queue_max)",
                       (long long)e->recalls_open);
    *out = account_charge_locked(e, q->account, max);
    if (*out == NULL)
        return err_set(err, -EAGAIN,
                       "%s has %lld recalls in the queue, as many as it may (recall.account_max)",
                       q->account, (long long)max);
    return 0;
}

static int new_reader(struct engine *e, struct file_info *info, struct request *q,
                      struct recall **out, struct err *err)
{
    struct recall *r = NULL;
    struct account *account = NULL;
    int rc = reserve(e, q, &account, err);
    if (rc == 0)
        rc = recall_look(e, q->fs, info, err);
    if (rc == 0)
        rc = recall_new(e, q->fs, info, q->path, &r, err);
    if (rc == 0) {
        r->account = account;
        r->check = attr_get_bool(e->cat, "filehash_verify_on_read");
        rc = make_job(e, r, r->path + strlen(q->fs->conf->path) + 1, err);
    }
    if (rc == 0) {
        *out = start_reader(e, r, q);
        return 0;
    }
    lock_scope(&e->lock);
    account_release_locked(e, account);
    if (r != NULL)
        recall_unref_locked(r);
    return rc;
}

/* Joins or begins the recall of the stub that info describes. Returns 0 with *out (a reference), 1
 * when the data came meanwhile, or a negative code with err. */
static int begin_reader(struct engine *e, struct file_info *info, struct request *q,
                        struct recall **out, struct err *err)
{
    struct recall_key key = recall_key_of(e, q->fs, &info->id);
    int rc = join_reader(e, &key, q, out, err);
    if (rc == 0 && *out == NULL)
        rc = new_reader(e, info, q, out, err);
    free(q->asker);
    q->asker = NULL;
    return rc;
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

static int is_allowed(struct engine *e, const char *what, struct err *err)
{
    if (attr_get_bool(e->cat, "allow_transparent_recall"))
        return 0;
    return err_set(err, -EACCES,
                   "%s is migrated and allow_transparent_recall is no: recall it with firn file "
                   "recall, or a policy",
                   what);
}

int engine_recall(struct engine *e, const struct engine_recall_req *req,
                  struct engine_recall_res *res, struct err *err)
{
    struct request q = {0};
    auto_free char *path = NULL;
    struct file_info info;
    struct recall *r = NULL;
    *res = (struct engine_recall_res){.state = "premigrated",
                                      .retry_after_s = (int)e->conf->s3.retry_after_s};
    int rc = look_at(e, req, &q.fs, &path, &info, err);
    if (rc == 1) {
        res->state = file_state_name(info.state);
        return 0;
    }
    if (rc == 0)
        rc = is_allowed(e, req->path, err);
    if (rc < 0)
        return rc;
    log_debug("recall of %s for %s", path, req->account != NULL ? req->account : "a reader");
    q.path = path;
    q.asker = xzalloc(sizeof(*q.asker));
    (void)snprintf(q.account, sizeof(q.account), OPERATOR);
    if (req->account != NULL) {
        (void)snprintf(q.account, sizeof(q.account), "account %s", req->account);
        (void)snprintf(q.asker->name, sizeof(q.asker->name), "%s", req->account);
    }
    rc = begin_reader(e, &info, &q, &r, err);
    if (rc < 0)
        return err_wrap(err, rc, "recall of %s", path);
    return rc == 1 ? 0 : wait_reader(e, r, req->wait_ms, err);
}

/* ---- a program in the kernel ---- */

static struct asker *new_asker(const struct engine_recall_who *who, engine_recalled_fn *done,
                               void *arg)
{
    struct asker *a = xzalloc(sizeof(*a));
    a->done = done;
    a->arg = arg;
    a->uid = who->uid;
    a->pid = who->pid;
    (void)snprintf(a->name, sizeof(a->name), "%s", who->program != NULL ? who->program : "");
    return a;
}

/* Gives the reference back. What ended at once is the answer. */
static int let_run(struct engine *e, struct recall *r, bool ended, struct err *err)
{
    int rc = ended ? r->result : 0;
    lock_scope(&e->lock);
    if (rc < 0)
        (void)err_set(err, rc, "%s", r->err.text);
    recall_unref_locked(r);
    return rc;
}

int engine_recall_async(struct engine *e, const char *fs, const struct file_id *id, uint64_t limit,
                        const struct engine_recall_who *who, engine_recalled_fn *done, void *arg,
                        struct err *err)
{
    struct request q = {.fs = efs_by_name(e, fs)};
    struct file_info info;
    struct recall *r = NULL;
    (void)limit; /* the size that the stub has then says how much comes back: file_refill_is_cut */
    if (q.fs == NULL || q.fs->fs == NULL)
        return err_set(err, -EIO, "file system %s is not available", fs);
    int rc = file_inspect_id(q.fs->fs, id, &info, err);
    if (rc > 0)
        return err_set(err, -ESTALE, "inode %llu of %s is gone", (unsigned long long)id->ino, fs);
    if (rc == 0 && info.state != FILE_MIGRATED)
        return 1;
    if (rc == 0)
        rc = is_allowed(e, "it", err);
    if (rc < 0)
        return err_wrap(err, rc, "inode %llu of %s", (unsigned long long)id->ino, fs);
    (void)snprintf(q.account, sizeof(q.account), "uid %u", who->uid);
    q.asker = new_asker(who, done, arg);
    rc = begin_reader(e, &info, &q, &r, err);
    if (rc != 0)
        return rc < 0 ? err_wrap(err, rc, "inode %llu of %s", (unsigned long long)id->ino, fs) : rc;
    return let_run(e, r, q.ended, err);
}
