/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs: the durable queue. Adding, claiming, ending. */
#include "base/timefmt.h"
#include "catalog/sqlite_impl.h"

#include <errno.h>
#include <string.h>

struct add_arg {
    int64_t task;
    struct catalog_job *v;
    size_t n;
    int64_t now;
    struct uuid fs; /* of the row before */
    int64_t fs_n;
};

static int fs_of(struct db *db, struct add_arg *a, const struct uuid *fs, struct err *err)
{
    if (a->fs_n != 0 && memcmp(&a->fs, fs, sizeof(*fs)) == 0)
        return 0;
    a->fs = *fs;
    return sqlite_fs_number(db, fs, true, &a->fs_n, err);
}

/* Is there an open job for the same file and kind? Then j becomes its duplicate. */
static int look_for_open(struct db *db, const struct add_arg *a, struct catalog_job *j,
                         struct err *err)
{
    int64_t open = 0;
    int rc = db_int(db, &open, err,
                    "SELECT id FROM jobs INDEXED BY jobs_open WHERE fs = ? AND ino = ? AND gen = ?"
                    " AND kind = ? AND state < 2 LIMIT 1",
                    V(I(a->fs_n), I(j->ino), I(j->gen), I(j->kind)));
    if (rc != 0)
        return rc < 0 ? rc : 0;
    j->state = CATALOG_JOB_DUPLICATE;
    j->attempt = 0;
    j->block = (uint64_t)open;
    return 0;
}

static int add_job(struct db *db, struct add_arg *a, struct catalog_job *j, struct err *err)
{
    int rc = fs_of(db, a, &j->fs, err);
    if (rc == 0 && j->state == CATALOG_JOB_QUEUED && j->ino != 0)
        rc = look_for_open(db, a, j, err);
    if (rc != 0)
        return rc;
    if (j->created_ns == 0)
        j->created_ns = a->now;
    j->task = a->task;
    rc = db_run(db, err,
                "INSERT INTO jobs(task, kind, state, fs, ino, gen, handle, path, archive, size,"
                " volume, block, priority, attempt, code, message, created, started, ended)"
                " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,0,?)",
                V(I(a->task), I(j->kind), I(j->state), I(a->fs_n), I(j->ino), I(j->gen),
                  B(j->handle, j->handle_len), S(j->path), U(&j->archive), I(j->size), I(j->volume),
                  I(j->block), I(j->priority), I(j->attempt), S(j->code), S(j->message),
                  I(j->created_ns), I(j->state == CATALOG_JOB_QUEUED ? 0 : a->now)));
    j->id = sqlite3_last_insert_rowid(db->h);
    return rc;
}

static int add_jobs(struct db *db, void *p, struct err *err)
{
    struct add_arg *a = p;
    int64_t files = 0, done = 0, failed = 0, bytes = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < a->n; i++) {
        rc = add_job(db, a, &a->v[i], err);
        if (a->v[i].state == CATALOG_JOB_DUPLICATE)
            continue;
        files++;
        bytes += (int64_t)a->v[i].size;
        done += a->v[i].state == CATALOG_JOB_DONE;
        failed += a->v[i].state == CATALOG_JOB_FAILED;
    }
    if (rc == 0 && a->task != 0)
        rc = db_change(db, err,
                       "UPDATE tasks SET files = files + ?, done = done + ?, failed = failed + ?,"
                       " bytes_total = bytes_total + ? WHERE id = ?",
                       V(I(files), I(done), I(failed), I(bytes), I(a->task)));
    return rc;
}

int sqlite_job_add(struct catalog *cat, int64_t task, struct catalog_job *v, size_t n,
                   struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        if (v[i].state == CATALOG_JOB_RUNNING || v[i].state == CATALOG_JOB_DUPLICATE ||
            v[i].handle_len > sizeof(v[i].handle))
            return err_set(err, -EINVAL, "job for %s cannot be added in this form",
                           v[i].path != NULL ? v[i].path : "?");
    }
    struct add_arg a = {.task = task, .v = v, .n = n, .now = time_now_ns()};
    return sqlite_write(cat, add_jobs, &a, err);
}

/* ---- claiming ---- */

struct claim_arg {
    const struct catalog_job_filter *f;
    size_t max;
    int64_t now;
    struct catalog_jobs *out;
};

/* The ordering decides the index: by task, by kind and volume, or a sort of all that is queued. */
static int claim_query(struct db *db, sqlite3_stmt **st, const struct claim_arg *a, struct err *err)
{
    const struct catalog_job_filter *f = a->f;
    if (f->task != 0)
        return db_query(db, st, err,
                        SQLITE_JOB_COLUMNS
                        "INDEXED BY jobs_task_queue LEFT JOIN filesystems f ON j.fs = f.n"
                        " WHERE j.state = 0 AND j.task = ?1 AND (?2 < 0 OR j.kind = ?2)"
                        " AND (?3 < 0 OR j.volume = ?3)"
                        " ORDER BY j.priority DESC, j.block, j.id LIMIT ?4",
                        V(I(f->task), I(f->kind), I(f->volume), I(a->max)));
    if (f->kind >= 0 && f->volume >= 0)
        return db_query(db, st, err,
                        SQLITE_JOB_COLUMNS
                        "INDEXED BY jobs_queue LEFT JOIN filesystems f ON j.fs = f.n"
                        " WHERE j.state = 0 AND j.kind = ? AND j.volume = ?"
                        " ORDER BY j.priority DESC, j.block, j.id LIMIT ?",
                        V(I(f->kind), I(f->volume), I(a->max)));
    return db_query(db, st, err,
                    SQLITE_JOB_COLUMNS "INDEXED BY jobs_queue LEFT JOIN filesystems f ON j.fs = f.n"
                                       " WHERE j.state = 0 AND (?1 < 0 OR j.kind = ?1)"
                                       " AND (?2 < 0 OR j.volume = ?2)"
                                       " ORDER BY j.priority DESC, j.block, j.id LIMIT ?3",
                    V(I(f->kind), I(f->volume), I(a->max)));
}

static int claim(struct db *db, void *p, struct err *err)
{
    struct claim_arg *a = p;
    sqlite3_stmt *st = NULL;
    int rc = claim_query(db, &st, a, err);
    rc = sqlite_read_jobs(db, st, rc, a->out, err);
    for (size_t i = 0; rc == 0 && i < a->out->n; i++) {
        struct catalog_job *j = &a->out->v[i];
        j->state = CATALOG_JOB_RUNNING;
        j->started_ns = a->now;
        rc = db_run(db, err, "UPDATE jobs SET state = 1, started = ? WHERE id = ?",
                    V(I(a->now), I(j->id)));
    }
    return rc;
}

int sqlite_job_claim(struct catalog *cat, const struct catalog_job_filter *f, size_t max,
                     struct catalog_jobs *out, struct err *err)
{
    *out = (struct catalog_jobs){0};
    struct claim_arg a = {f, max, time_now_ns(), out};
    int rc = sqlite_write(cat, claim, &a, err);
    if (rc != 0)
        catalog_jobs_fini(out);
    return rc;
}

struct route_arg {
    const struct catalog_job *v;
    size_t n;
};

static int route(struct db *db, void *p, struct err *err)
{
    const struct route_arg *a = p;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < a->n; i++)
        rc =
            db_run(db, err,
                   "UPDATE jobs SET volume = ?, block = ?, priority = ? WHERE id = ? AND state < 2",
                   V(I(a->v[i].volume), I(a->v[i].block), I(a->v[i].priority), I(a->v[i].id)));
    return rc;
}

int sqlite_job_route(struct catalog *cat, const struct catalog_job *v, size_t n, struct err *err)
{
    struct route_arg a = {v, n};
    return sqlite_write(cat, route, &a, err);
}

/* ---- ending ---- */

/* Counters of one task, written when the next job is of another. */
struct tally {
    int64_t task, done, failed, bytes;
};

static int write_tally(struct db *db, struct tally *t, struct err *err)
{
    int rc = 0;
    if (t->task != 0)
        rc = db_run(db, err,
                    "UPDATE tasks SET done = done + ?, failed = failed + ?,"
                    " bytes_done = bytes_done + ? WHERE id = ?",
                    V(I(t->done), I(t->failed), I(t->bytes), I(t->task)));
    *t = (struct tally){0};
    return rc;
}

struct finish_arg {
    const struct catalog_job_end *v;
    size_t n;
    int64_t now;
};

static int finish_one(struct db *db, const struct finish_arg *a, const struct catalog_job_end *e,
                      struct tally *t, struct err *err)
{
    bool again = e->state == CATALOG_JOB_QUEUED;
    int64_t task = 0;
    int rc = db_int(
        db, &task, err,
        "UPDATE jobs SET state = ?2, code = ?3, message = ?4, attempt = attempt + ?5,"
        " started = CASE WHEN ?5 THEN 0 ELSE started END, ended = ?6"
        " WHERE id = ?1 AND state < 2 RETURNING task",
        V(I(e->id), I(e->state), S(e->code), S(e->message), I(again), I(again ? 0 : a->now)));
    if (rc != 0 || again)
        return rc < 0 ? rc : 0;
    if (task != t->task && (rc = write_tally(db, t, err)) < 0)
        return rc;
    t->task = task;
    if (e->state == CATALOG_JOB_DONE) {
        t->done++;
        t->bytes += (int64_t)e->bytes;
    } else {
        t->failed++;
    }
    return 0;
}

static int finish(struct db *db, void *p, struct err *err)
{
    const struct finish_arg *a = p;
    struct tally t = {0};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < a->n; i++)
        rc = finish_one(db, a, &a->v[i], &t, err);
    return rc < 0 ? rc : write_tally(db, &t, err);
}

int sqlite_job_finish(struct catalog *cat, const struct catalog_job_end *v, size_t n,
                      unsigned flags, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        if (v[i].state != CATALOG_JOB_DONE && v[i].state != CATALOG_JOB_FAILED &&
            v[i].state != CATALOG_JOB_QUEUED)
            return err_set(err, -EINVAL, "job %lld cannot end in state %d", (long long)v[i].id,
                           (int)v[i].state);
    }
    struct finish_arg a = {v, n, time_now_ns()};
    if ((flags & CATALOG_NOWAIT) == 0)
        return sqlite_write(cat, finish, &a, err);
    struct catalog_mem *mem = NULL;
    struct finish_arg *own = catalog_mem_alloc(&mem, sizeof(*own));
    struct catalog_job_end *copy = catalog_mem_alloc(&mem, (n + 1) * sizeof(*copy));
    for (size_t i = 0; i < n; i++) {
        copy[i] = v[i];
        copy[i].code = catalog_mem_str(&mem, v[i].code);
        copy[i].message = catalog_mem_str(&mem, v[i].message);
    }
    *own = (struct finish_arg){copy, n, a.now};
    return sqlite_write_later(cat, finish, own, mem);
}

struct cancel_arg {
    int64_t task, now, n;
    const char *code, *message;
};

static int cancel(struct db *db, void *p, struct err *err)
{
    struct cancel_arg *a = p;
    int rc = db_run(db, err,
                    "UPDATE jobs SET state = 3, code = ?2, message = ?3, ended = ?4"
                    " WHERE task = ?1 AND state = 0",
                    V(I(a->task), S(a->code), S(a->message), I(a->now)));
    if (rc == 0) {
        a->n = db_changed(db);
        rc = db_run(db, err, "UPDATE tasks SET failed = failed + ? WHERE id = ?",
                    V(I(a->n), I(a->task)));
    }
    return rc;
}

int sqlite_job_cancel(struct catalog *cat, int64_t task, const char *code, const char *message,
                      int64_t *n, struct err *err)
{
    struct cancel_arg a = {.task = task, .now = time_now_ns(), .code = code, .message = message};
    int rc = sqlite_write(cat, cancel, &a, err);
    if (n != NULL)
        *n = rc == 0 ? a.n : 0;
    return rc;
}
