/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs: lists, counts and look-ups. */
#include "catalog/sqlite_impl.h"

#include <string.h>

static void job_row(sqlite3_stmt *st, struct catalog_jobs *l)
{
    l->v = db_grow(l->v, l->n, sizeof(*l->v));
    struct catalog_job *j = &l->v[l->n++];
    j->id = COL(st, 0);
    j->task = COL(st, 1);
    j->kind = (int)COL(st, 2);
    j->state = (enum catalog_job_state)COL(st, 3);
    db_col_uuid(st, 4, &j->fs);
    j->ino = (uint64_t)COL(st, 5);
    j->gen = (uint32_t)COL(st, 6);
    HANDLE_COL(st, 7, j);
    j->path = db_col_str(st, 8, &l->mem);
    db_col_uuid(st, 9, &j->archive);
    j->size = (uint64_t)COL(st, 10);
    j->volume = COL(st, 11);
    j->block = (uint64_t)COL(st, 12);
    j->priority = COL(st, 13);
    j->attempt = (int)COL(st, 14);
    db_col_copy(st, 15, j->code, sizeof(j->code));
    j->message = db_col_str(st, 16, &l->mem);
    j->created_ns = COL(st, 17);
    j->started_ns = COL(st, 18);
    j->ended_ns = COL(st, 19);
}

int sqlite_read_jobs(struct db *db, sqlite3_stmt *st, int rc, struct catalog_jobs *out,
                     struct err *err)
{
    struct catalog_jobs l = {0};
    while (rc == 0 && (rc = db_next(db, st, err)) == 1) {
        job_row(st, &l);
        rc = 0;
    }
    if (rc < 0)
        catalog_jobs_fini(&l);
    *out = l;
    return rc;
}

int sqlite_job_list_at(struct catalog *cat, const struct catalog_job_filter *f, size_t offset,
                       size_t limit, struct catalog_jobs *out, struct err *err)
{
    READ_SCOPE(cat, db);
    sqlite3_stmt *st = NULL;
    int rc;
    unsigned mask = f->state_mask != 0 ? f->state_mask : ~0U;
    if (f->task != 0)
        rc = db_query(
            db, &st, err,
            SQLITE_JOB_COLUMNS "INDEXED BY jobs_task LEFT JOIN filesystems f ON j.fs = f.n"
                               " WHERE j.task = ?1 AND j.id > ?2 AND (?3 >> j.state) & 1"
                               " AND (?4 < 0 OR j.kind = ?4) AND (?5 < 0 OR j.volume = ?5)"
                               " ORDER BY j.id LIMIT ?6 OFFSET ?7",
            V(I(f->task), I(f->after_id), I(mask), I(f->kind), I(f->volume), I(limit), I(offset)));
    else
        rc =
            db_query(db, &st, err,
                     SQLITE_JOB_COLUMNS "LEFT JOIN filesystems f ON j.fs = f.n"
                                        " WHERE j.id > ?1 AND (?2 >> j.state) & 1"
                                        " AND (?3 < 0 OR j.kind = ?3) AND (?4 < 0 OR j.volume = ?4)"
                                        " ORDER BY j.id LIMIT ?5 OFFSET ?6",
                     V(I(f->after_id), I(mask), I(f->kind), I(f->volume), I(limit), I(offset)));
    return sqlite_read_jobs(db, st, rc, out, err);
}

int sqlite_job_list(struct catalog *cat, const struct catalog_job_filter *f, size_t limit,
                    struct catalog_jobs *out, struct err *err)
{
    return sqlite_job_list_at(cat, f, 0, limit, out, err);
}

int sqlite_job_find_open(struct catalog *cat, const struct uuid *fs, uint64_t ino, uint32_t gen,
                         int kind, struct catalog_jobs *out, struct err *err)
{
    READ_SCOPE(cat, db);
    *out = (struct catalog_jobs){0};
    int64_t n = 0;
    int rc = sqlite_fs_number(db, fs, false, &n, err);
    if (rc != 0)
        return rc;
    sqlite3_stmt *st = NULL;
    rc = db_query(db, &st, err,
                  SQLITE_JOB_COLUMNS "INDEXED BY jobs_open LEFT JOIN filesystems f ON j.fs = f.n"
                                     " WHERE j.fs = ?1 AND j.ino = ?2 AND j.gen = ?3"
                                     " AND (?4 < 0 OR j.kind = ?4) AND j.state < 2"
                                     " ORDER BY j.id LIMIT 1",
                  V(I(n), I(ino), I(gen), I(kind)));
    rc = sqlite_read_jobs(db, st, rc, out, err);
    return rc == 0 && out->n == 0 ? CATALOG_ABSENT : rc;
}

#define COUNT_COLUMNS                                                                              \
    "SELECT kind, state, code, CASE WHEN state = 0 THEN volume ELSE 0 END AS queue, count(*),"     \
    " sum(size) FROM jobs "

int sqlite_job_count(struct catalog *cat, int64_t task, struct catalog_job_counts *out,
                     struct err *err)
{
    READ_SCOPE(cat, db);
    struct catalog_job_counts l = {0};
    sqlite3_stmt *st;
    int rc;
    if (task != 0)
        rc = db_query(db, &st, err,
                      COUNT_COLUMNS "INDEXED BY jobs_task WHERE task = ?"
                                    " GROUP BY kind, state, code, queue",
                      V(I(task)));
    else
        rc = db_query(db, &st, err,
                      COUNT_COLUMNS "INDEXED BY jobs_open WHERE state < 2"
                                    " GROUP BY kind, state, code, queue",
                      NULL, 0);
    while (rc == 0 && (rc = db_next(db, st, err)) == 1) {
        l.v = db_grow(l.v, l.n, sizeof(*l.v));
        struct catalog_job_count *c = &l.v[l.n++];
        c->kind = (int)COL(st, 0);
        c->state = (enum catalog_job_state)COL(st, 1);
        db_col_copy(st, 2, c->code, sizeof(c->code));
        c->volume = COL(st, 3);
        c->n = COL(st, 4);
        c->bytes = COL(st, 5);
        rc = 0;
    }
    if (rc < 0)
        catalog_job_counts_fini(&l);
    *out = l;
    return rc;
}
