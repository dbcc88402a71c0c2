/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks, and what is done to the queue after a start. */
#include "base/timefmt.h"
#include "catalog/sqlite_impl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int forget(struct db *db, int64_t id, struct err *err)
{
    int rc = db_run(db, err, "DELETE FROM jobs WHERE task = ?", V(I(id)));
    return rc < 0 ? rc : db_change(db, err, "DELETE FROM tasks WHERE id = ?", V(I(id)));
}

/* Takes the next id for itself when nobody has it or the task that has it is over. 0 done,
 * CATALOG_ABSENT when an open task has it. */
static int take_id(struct db *db, int64_t id, struct err *err)
{
    int64_t status = 0;
    int rc = db_int(db, &status, err, "SELECT status FROM tasks WHERE id = ?", V(I(id)));
    if (rc == CATALOG_ABSENT)
        return 0;
    if (rc == 0 && status != CATALOG_TASK_COMPLETED)
        return CATALOG_ABSENT;
    return rc < 0 ? rc : forget(db, id, err);
}

static int next_id(struct db *db, int64_t *id, struct err *err)
{
    int64_t last = CATALOG_TASK_MIN - 1;
    int rc = db_int(db, &last, err, "SELECT value FROM sequences WHERE name = 'task'", NULL, 0);
    if (rc < 0)
        return rc;
    for (int64_t n = CATALOG_TASK_MIN; n <= CATALOG_TASK_MAX; n++) {
        last = last >= CATALOG_TASK_MAX ? CATALOG_TASK_MIN : last + 1;
        rc = take_id(db, last, err);
        if (rc < 0)
            return rc;
        if (rc == 0) {
            *id = last;
            return db_run(db, err, "INSERT OR REPLACE INTO sequences VALUES('task', ?)",
                          V(I(last)));
        }
    }
    return err_set(err, -ENOSPC, "all task ids from %d to %d are open tasks", CATALOG_TASK_MIN,
                   CATALOG_TASK_MAX);
}

static void make_uid(struct catalog_task *t)
{
    time_t sec = (time_t)(t->created_ns / NS_PER_SEC);
    struct tm tm;
    char when[32] = "";
    if (localtime_r(&sec, &tm) != NULL)
        (void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(t->uid, sizeof(t->uid), "%lld@%s", (long long)t->id, when);
}

static int add_task(struct db *db, void *arg, struct err *err)
{
    struct catalog_task *t = arg;
    int rc = next_id(db, &t->id, err);
    if (rc < 0)
        return rc;
    make_uid(t);
    return db_run(db, err,
                  "INSERT INTO tasks(id, uid, type, params, pools, status, result, options,"
                  " priority, created) VALUES(?,?,?,?,?,?,0,?,?,?)",
                  V(I(t->id), S(t->uid), S(t->type), S(t->params), S(t->pools), I(t->status),
                    I(t->options), I(t->priority), I(t->created_ns)));
}

int sqlite_task_add(struct catalog *cat, struct catalog_task *t, struct err *err)
{
    if (t->created_ns == 0)
        t->created_ns = time_now_ns();
    return sqlite_write(cat, add_task, t, err);
}

struct set_arg {
    int64_t id, now;
    int status, result;
    const char *message;
};

static int set_task(struct db *db, void *p, struct err *err)
{
    const struct set_arg *a = p;
    int rc = 0;
    if (a->status == CATALOG_TASK_COMPLETED)
        rc = db_change(db, err,
                       "UPDATE tasks SET status = ?2, completed = ?3, result = ?4 WHERE id = ?1",
                       V(I(a->id), I(a->status), I(a->now), I(a->result)));
    else
        rc = db_change(db, err,
                       "UPDATE tasks SET status = ?2, started = CASE WHEN ?2 = 2 AND started = 0"
                       " THEN ?3 ELSE started END WHERE id = ?1",
                       V(I(a->id), I(a->status), I(a->now)));
    if (rc == 0 && a->message != NULL)
        rc = db_run(db, err, "UPDATE tasks SET message = ? WHERE id = ?",
                    V(S(a->message), I(a->id)));
    return rc;
}

int sqlite_task_set(struct catalog *cat, int64_t id, enum catalog_task_status status,
                    enum catalog_task_result result, const char *message, unsigned flags,
                    struct err *err)
{
    struct set_arg a = {id, time_now_ns(), (int)status, (int)result, message};
    if ((flags & CATALOG_NOWAIT) == 0)
        return sqlite_write(cat, set_task, &a, err);
    struct catalog_mem *mem = NULL;
    struct set_arg *own = catalog_mem_alloc(&mem, sizeof(*own));
    *own = a;
    own->message = message != NULL ? catalog_mem_str(&mem, message) : NULL;
    return sqlite_write_later(cat, set_task, own, mem);
}

#define TASK_COLUMNS                                                                               \
    "SELECT id, uid, type, params, pools, status, result, options, priority, created, started,"    \
    " completed, files, done, failed, bytes_total, bytes_done, message FROM tasks "

static void task_row(sqlite3_stmt *st, struct catalog_tasks *l)
{
    l->v = db_grow(l->v, l->n, sizeof(*l->v));
    struct catalog_task *t = &l->v[l->n++];
    t->id = COL(st, 0);
    db_col_copy(st, 1, t->uid, sizeof(t->uid));
    db_col_copy(st, 2, t->type, sizeof(t->type));
    t->params = db_col_str(st, 3, &l->mem);
    t->pools = db_col_str(st, 4, &l->mem);
    t->status = (enum catalog_task_status)COL(st, 5);
    t->result = (enum catalog_task_result)COL(st, 6);
    t->options = COL(st, 7);
    t->priority = COL(st, 8);
    t->created_ns = COL(st, 9);
    t->started_ns = COL(st, 10);
    t->completed_ns = COL(st, 11);
    t->files = COL(st, 12);
    t->done = COL(st, 13);
    t->failed = COL(st, 14);
    t->bytes_total = COL(st, 15);
    t->bytes_done = COL(st, 16);
    t->message = db_col_str(st, 17, &l->mem);
}

static int read_tasks(struct db *db, sqlite3_stmt *st, int rc, struct catalog_tasks *out,
                      struct err *err)
{
    struct catalog_tasks l = {0};
    while (rc == 0 && (rc = db_next(db, st, err)) == 1) {
        task_row(st, &l);
        rc = 0;
    }
    if (rc < 0)
        catalog_tasks_fini(&l);
    *out = l;
    return rc;
}

int sqlite_task_get(struct catalog *cat, int64_t id, struct catalog_tasks *out, struct err *err)
{
    READ_SCOPE(cat, db);
    sqlite3_stmt *st = NULL;
    int rc = db_query(db, &st, err, TASK_COLUMNS "WHERE id = ?", V(I(id)));
    rc = read_tasks(db, st, rc, out, err);
    return rc == 0 && out->n == 0 ? CATALOG_ABSENT : rc;
}

int sqlite_task_list(struct catalog *cat, bool completed, size_t limit, struct catalog_tasks *out,
                     struct err *err)
{
    READ_SCOPE(cat, db);
    sqlite3_stmt *st = NULL;
    int rc = db_query(db, &st, err,
                      TASK_COLUMNS "WHERE status BETWEEN ? AND ? ORDER BY created DESC, id DESC"
                                   " LIMIT ?",
                      V(I(CATALOG_TASK_WAITING),
                        I(completed ? CATALOG_TASK_COMPLETED : CATALOG_TASK_INTERRUPTED),
                        I(limit != 0 ? (int64_t)limit : -1)));
    return read_tasks(db, st, rc, out, err);
}

static int delete_task(struct db *db, void *arg, struct err *err)
{
    int64_t id = *(int64_t *)arg, status = 0;
    int rc = db_int(db, &status, err, "SELECT status FROM tasks WHERE id = ?", V(I(id)));
    if (rc == 0 && status != CATALOG_TASK_COMPLETED && status != CATALOG_TASK_DRAFT)
        rc = err_set(err, -EBUSY, "task %lld is still open", (long long)id);
    return rc != 0 ? rc : forget(db, id, err);
}

int sqlite_task_delete(struct catalog *cat, int64_t id, struct err *err)
{
    return sqlite_write(cat, delete_task, &id, err);
}

struct prune_arg {
    int64_t before, keep;
    int64_t removed;
};

static int prune(struct db *db, void *p, struct err *err)
{
    struct prune_arg *a = p;
    int rc =
        db_run(db, err, "CREATE TEMP TABLE IF NOT EXISTS pruned(id INTEGER PRIMARY KEY)", NULL, 0);
    if (rc == 0)
        rc = db_run(db, err, "DELETE FROM pruned", NULL, 0);
    if (rc == 0)
        rc = db_run(db, err,
                    "INSERT INTO pruned SELECT id FROM tasks WHERE status = 4 AND completed < ?"
                    " AND id NOT IN (SELECT id FROM tasks WHERE status = 4 AND result = 2"
                    " ORDER BY completed DESC, id DESC LIMIT ?)",
                    V(I(a->before), I(a->keep)));
    if (rc == 0) {
        a->removed = db_changed(db);
        rc = db_run(db, err, "DELETE FROM jobs WHERE task IN (SELECT id FROM pruned)", NULL, 0);
    }
    if (rc == 0)
        rc = db_run(db, err, "DELETE FROM tasks WHERE id IN (SELECT id FROM pruned)", NULL, 0);
    return rc;
}

int sqlite_task_prune(struct catalog *cat, int64_t before_ns, int keep_failed, int64_t *removed,
                      struct err *err)
{
    struct prune_arg a = {.before = before_ns, .keep = keep_failed};
    int rc = sqlite_write(cat, prune, &a, err);
    if (removed != NULL)
        *removed = rc == 0 ? a.removed : 0;
    return rc;
}

static int do_recover(struct db *db, void *arg, struct err *err)
{
    int64_t *n = arg;
    /* "state < 2" names the index of open jobs. */
    int rc = db_run(db, err,
                    "UPDATE jobs INDEXED BY jobs_open SET state = 0, attempt = attempt + 1,"
                    " started = 0 WHERE state < 2 AND state = 1",
                    NULL, 0);
    *n = db_changed(db);
    if (rc == 0)
        rc = db_run(db, err, "UPDATE tasks SET status = 3 WHERE status = 2", NULL, 0);
    if (rc == 0)
        rc = db_run(db, err,
                    "DELETE FROM jobs WHERE task IN (SELECT id FROM tasks WHERE status = 0)", NULL,
                    0);
    if (rc == 0)
        rc = db_run(db, err, "DELETE FROM tasks WHERE status = 0", NULL, 0);
    return rc;
}

int sqlite_recover(struct catalog *cat, int64_t *requeued, struct err *err)
{
    int64_t n = 0;
    int rc = sqlite_write(cat, do_recover, &n, err);
    if (requeued != NULL)
        *requeued = rc == 0 ? n : 0;
    return rc;
}
