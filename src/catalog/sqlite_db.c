/* SPDX-License-Identifier: Apache-2.0 */
/* One SQLite connection: statements by their text's address, values in, columns out, errors. */
#include "base/mem.h"
#include "catalog/sqlite_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct val db_uuid(const struct uuid *u)
{
    static const struct uuid zero;
    bool none = memcmp(u, &zero, sizeof(zero)) == 0;
    return (struct val){.kind = 'b', .p = none ? NULL : u->b, .n = none ? 0 : UUID_BYTES};
}

static int code_of(int sqlite)
{
    switch (sqlite & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return EBADMSG;
    case SQLITE_FULL:
        return ENOSPC;
    case SQLITE_NOMEM:
        return ENOMEM;
    case SQLITE_READONLY:
        return EROFS;
    case SQLITE_CANTOPEN:
        return ENOENT;
    case SQLITE_CONSTRAINT:
        return EEXIST;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return EBUSY;
    default:
        return EIO;
    }
}

int db_fail(struct db *db, struct err *err, const char *what)
{
    int code = code_of(sqlite3_extended_errcode(db->h));
    if (code == EBADMSG)
        return err_set(err, -code,
                       "catalogue %s is damaged (%s: %s); move it away and run `firn rebuild`",
                       db->path, what, sqlite3_errmsg(db->h));
    return err_set(err, -code, "catalogue %s: %s: %s", db->path, what, sqlite3_errmsg(db->h));
}

int db_open(struct db *db, const char *path, bool reader, struct err *err)
{
    db->path = path;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    if (!reader)
        flags |= SQLITE_OPEN_CREATE;
    if (sqlite3_open_v2(path, &db->h, flags, NULL) != SQLITE_OK)
        return db_fail(db, err, "open");
    (void)sqlite3_busy_timeout(db->h, 10000);
    /* WAL with FULL: a commit is durable when it returns (https://sqlite.org/pragma.html). */
    const char *setup =
        reader ? "PRAGMA query_only=1; PRAGMA cache_size=-4096"
               : "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-32768;"
                 "PRAGMA journal_size_limit=67108864; PRAGMA wal_autocheckpoint=8000;"
                 "PRAGMA foreign_keys=0";
    if (sqlite3_exec(db->h, setup, NULL, NULL, NULL) != SQLITE_OK)
        return db_fail(db, err, "set up");
    return 0;
}

void db_close(struct db *db)
{
    for (size_t i = 0; i < DB_STATEMENTS; i++)
        (void)sqlite3_finalize(db->cache[i].st);
    (void)sqlite3_close(db->h);
    memset(db, 0, sizeof(*db));
}

static int prepare(struct db *db, sqlite3_stmt **st, struct err *err, const char *sql)
{
    size_t i = ((uintptr_t)sql >> 3) % DB_STATEMENTS;
    for (size_t n = 0; n < DB_STATEMENTS && db->cache[i].sql != NULL; n++) {
        if (db->cache[i].sql == sql) {
            *st = db->cache[i].st;
            (void)sqlite3_reset(*st);
            return 0;
        }
        i = (i + 1) % DB_STATEMENTS;
    }
    if (db->cache[i].sql != NULL)
        return err_set(err, -ENOMEM, "catalogue %s: too many kinds of statement", db->path);
    if (sqlite3_prepare_v3(db->h, sql, -1, SQLITE_PREPARE_PERSISTENT, st, NULL) != SQLITE_OK)
        return db_fail(db, err, "prepare");
    db->cache[i].sql = sql;
    db->cache[i].st = *st;
    return 0;
}

static int bind(sqlite3_stmt *st, int at, const struct val *v)
{
    if (v->kind == 'i')
        return sqlite3_bind_int64(st, at, v->i);
    if (v->kind == 's')
        return sqlite3_bind_text(st, at, v->p != NULL ? v->p : "", -1, SQLITE_STATIC);
    if (v->p == NULL)
        return sqlite3_bind_null(st, at);
    return sqlite3_bind_blob64(st, at, v->p, v->n, SQLITE_STATIC);
}

int db_query(struct db *db, sqlite3_stmt **st, struct err *err, const char *sql,
             const struct val *v, size_t n)
{
    int rc = prepare(db, st, err, sql);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < n; i++) {
        if (bind(*st, (int)i + 1, &v[i]) != SQLITE_OK)
            return db_fail(db, err, "bind");
    }
    return 0;
}

int db_next(struct db *db, sqlite3_stmt *st, struct err *err)
{
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        return 1;
    if (rc == SQLITE_DONE) {
        (void)sqlite3_reset(st);
        return 0;
    }
    rc = db_fail(db, err, "statement");
    (void)sqlite3_reset(st);
    return rc;
}

int db_run(struct db *db, struct err *err, const char *sql, const struct val *v, size_t n)
{
    sqlite3_stmt *st;
    int rc = db_query(db, &st, err, sql, v, n);
    while (rc == 0 && (rc = db_next(db, st, err)) == 1)
        rc = 0;
    return rc;
}

int64_t db_changed(struct db *db)
{
    return sqlite3_changes64(db->h);
}

int db_change(struct db *db, struct err *err, const char *sql, const struct val *v, size_t n)
{
    int rc = db_run(db, err, sql, v, n);
    if (rc == 0 && db_changed(db) == 0)
        rc = CATALOG_ABSENT;
    return rc;
}

int db_int(struct db *db, int64_t *out, struct err *err, const char *sql, const struct val *v,
           size_t n)
{
    sqlite3_stmt *st;
    int rc = db_query(db, &st, err, sql, v, n);
    if (rc == 0)
        rc = db_next(db, st, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return CATALOG_ABSENT;
    *out = COL(st, 0);
    (void)sqlite3_reset(st);
    return 0;
}

void db_col_copy(sqlite3_stmt *st, int c, char *dst, size_t n)
{
    const char *s = (const char *)sqlite3_column_text(st, c);
    (void)snprintf(dst, n, "%s", s != NULL ? s : "");
}

const char *db_col_str(sqlite3_stmt *st, int c, struct catalog_mem **m)
{
    return catalog_mem_str(m, (const char *)sqlite3_column_text(st, c));
}

uint32_t db_col_blob(sqlite3_stmt *st, int c, void *dst, size_t n)
{
    const void *p = sqlite3_column_blob(st, c);
    size_t len = (size_t)sqlite3_column_bytes(st, c);
    if (len > n)
        len = n;
    if (len > 0)
        memcpy(dst, p, len);
    return (uint32_t)len;
}

void db_col_uuid(sqlite3_stmt *st, int c, struct uuid *u)
{
    memset(u, 0, sizeof(*u));
    (void)db_col_blob(st, c, u->b, sizeof(u->b));
}

void *db_grow(void *v, size_t n, size_t size)
{
    if (n != 0 && (n < 8 || (n & (n - 1)) != 0))
        return v;
    size_t cap = n < 8 ? 8 : n * 2;
    char *p = xrealloc_array(v, cap, size);
    memset(p + n * size, 0, (cap - n) * size);
    return p;
}
