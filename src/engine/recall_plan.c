/* SPDX-License-Identifier: Apache-2.0 */
/* The planner: jobs of tasks from a tier become recalls. */
#include "engine/recall_impl.h"

#include "base/log.h"
#include "engine/attr.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

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
    char name[48];
    {
        lock_scope(&e->lock);
        struct recall *old = recall_find_locked(e, &r->key);
        if (old != NULL) {
            recall_add_waiter(old, t, job);
            old->resident = old->resident && (t->options & TASK_RESIDENT) != 0;
            recall_unref_locked(r);
            return;
        }
        recall_add_waiter(r, t, job);
        r->resident = (t->options & TASK_RESIDENT) != 0;
        (void)snprintf(name, sizeof(name), "task %lld", (long long)t->id);
        r->account = account_charge_locked(e, name, 0);
        recall_put_locked(e, r, &dead);
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
        rc = recall_look(e, fs, &info, &err);
    if (rc == 1 && (t->options & TASK_RESIDENT) != 0)
        rc = forget(e, fs, &info, &err);
    else if (rc == 0)
        rc = recall_new(e, fs, &info, j->path, &r, &err);
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
