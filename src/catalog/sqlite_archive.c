/* SPDX-License-Identifier: Apache-2.0 */
/* Archives: which version of which file an archive id is. */
#include "base/timefmt.h"
#include "catalog/sqlite_impl.h"

#include <errno.h>
#include <string.h>

int sqlite_fs_number(struct db *db, const struct uuid *uuid, bool make, int64_t *n, struct err *err)
{
    int rc = db_int(db, n, err, "SELECT n FROM filesystems WHERE uuid = ?",
                    V(B(uuid->b, sizeof(uuid->b))));
    if (rc == CATALOG_ABSENT && make)
        rc = db_int(db, n, err, "INSERT INTO filesystems(uuid) VALUES(?) RETURNING n",
                    V(B(uuid->b, sizeof(uuid->b))));
    return rc;
}

struct add_arg {
    const struct catalog_archive *a;
    size_t na;
    const struct catalog_copy *c;
    size_t nc;
    int64_t now;
    /* The file system of the row before: rows come in runs. */
    struct uuid fs;
    int64_t fs_n;
};

static int add_archive(struct db *db, struct add_arg *arg, const struct catalog_archive *a,
                       struct err *err)
{
    if (arg->fs_n == 0 || memcmp(&arg->fs, &a->fs, sizeof(a->fs)) != 0) {
        int rc = sqlite_fs_number(db, &a->fs, true, &arg->fs_n, err);
        if (rc != 0)
            return rc;
        arg->fs = a->fs;
    }
    return db_run(db, err,
                  "INSERT INTO archives(archive, fs, ino, gen, handle, size, mtime, path,"
                  " digest_alg, digest, created) VALUES(?,?,?,?,?,?,?,?,?,?,?)"
                  " ON CONFLICT(archive) DO UPDATE SET fs = excluded.fs, ino = excluded.ino,"
                  " gen = excluded.gen, handle = excluded.handle, size = excluded.size,"
                  " mtime = excluded.mtime, path = excluded.path,"
                  " digest_alg = excluded.digest_alg, digest = excluded.digest",
                  V(B(a->archive.b, sizeof(a->archive.b)), I(arg->fs_n), I(a->ino), I(a->gen),
                    B(a->handle, a->handle_len), I(a->size), I(a->mtime_ns), S(a->path),
                    I(a->digest_alg), B(a->digest, a->digest_len),
                    I(a->created_ns != 0 ? a->created_ns : arg->now)));
}

static int add_copy(struct db *db, const struct add_arg *arg, const struct catalog_copy *c,
                    struct err *err)
{
    int rc =
        db_change(db, err,
                  "INSERT OR REPLACE INTO copies(archive, copy_no, state, tier, volume, path,"
                  " part, block, boff, length, created)"
                  " SELECT n, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11 FROM archives"
                  " WHERE archive = ?1",
                  V(B(c->archive.b, sizeof(c->archive.b)), I(c->copy_no), I(c->state), S(c->tier),
                    I(c->volume), S(c->path), I(c->partition), I(c->start_block), I(c->byte_offset),
                    I(c->length), I(c->created_ns != 0 ? c->created_ns : arg->now)));
    if (rc == CATALOG_ABSENT) {
        char id[UUID_TEXT];
        uuid_format(&c->archive, id);
        rc = err_set(err, -EINVAL, "copy %d of %s: no such archive", c->copy_no,
                     c->path != NULL ? c->path : id);
    }
    return rc;
}

static int add_all(struct db *db, void *p, struct err *err)
{
    struct add_arg *arg = p;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < arg->na; i++)
        rc = add_archive(db, arg, &arg->a[i], err);
    for (size_t i = 0; rc == 0 && i < arg->nc; i++)
        rc = add_copy(db, arg, &arg->c[i], err);
    return rc;
}

static bool lengths_fit(const struct catalog_archive *a, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (a[i].handle_len > sizeof(a[i].handle) || a[i].digest_len > sizeof(a[i].digest))
            return false;
    }
    return true;
}

int sqlite_archive_add(struct catalog *cat, const struct catalog_archive *a, size_t na,
                       const struct catalog_copy *c, size_t nc, struct err *err)
{
    if (!lengths_fit(a, na))
        return err_set(err, -EINVAL, "an archive's handle or digest is too long");
    struct add_arg arg = {.a = a, .na = na, .c = c, .nc = nc, .now = time_now_ns()};
    return sqlite_write(cat, add_all, &arg, err);
}

#define ARCHIVE_COLUMNS                                                                            \
    "SELECT a.archive, f.uuid, a.ino, a.gen, a.handle, a.size, a.mtime, a.path, a.digest_alg,"     \
    " a.digest, a.created FROM archives a JOIN filesystems f ON a.fs = f.n "

static void archive_row(sqlite3_stmt *st, struct catalog_archives *l)
{
    l->v = db_grow(l->v, l->n, sizeof(*l->v));
    struct catalog_archive *a = &l->v[l->n++];
    db_col_uuid(st, 0, &a->archive);
    db_col_uuid(st, 1, &a->fs);
    a->ino = (uint64_t)COL(st, 2);
    a->gen = (uint32_t)COL(st, 3);
    HANDLE_COL(st, 4, a);
    a->size = (uint64_t)COL(st, 5);
    a->mtime_ns = COL(st, 6);
    a->path = db_col_str(st, 7, &l->mem);
    a->digest_alg = (int)COL(st, 8);
    a->digest_len = db_col_blob(st, 9, a->digest, sizeof(a->digest));
    a->created_ns = COL(st, 10);
}

/* Reads the rest of st, a query of ARCHIVE_COLUMNS; rc is db_query's result. */
static int read_archives(struct db *db, sqlite3_stmt *st, int rc, struct catalog_archives *out,
                         struct err *err)
{
    struct catalog_archives l = {0};
    while (rc == 0 && (rc = db_next(db, st, err)) == 1) {
        archive_row(st, &l);
        rc = 0;
    }
    if (rc < 0)
        catalog_archives_fini(&l);
    *out = l;
    return rc == 0 && l.n == 0 ? CATALOG_ABSENT : rc;
}

int sqlite_archive_get(struct catalog *cat, const struct uuid *archive,
                       struct catalog_archives *out, struct err *err)
{
    READ_SCOPE(cat, db);
    sqlite3_stmt *st = NULL;
    int rc = db_query(db, &st, err, ARCHIVE_COLUMNS "WHERE a.archive = ?",
                      V(B(archive->b, sizeof(archive->b))));
    return read_archives(db, st, rc, out, err);
}

int sqlite_archive_of_file(struct catalog *cat, const struct uuid *fs, uint64_t ino, uint32_t gen,
                           struct catalog_archives *out, struct err *err)
{
    READ_SCOPE(cat, db);
    sqlite3_stmt *st = NULL;
    int rc = db_query(db, &st, err,
                      ARCHIVE_COLUMNS "WHERE f.uuid = ? AND a.ino = ? AND a.gen = ?"
                                      " ORDER BY a.created DESC, a.n DESC",
                      V(B(fs->b, sizeof(fs->b)), I(ino), I(gen)));
    return read_archives(db, st, rc, out, err);
}

int sqlite_archive_page(struct catalog *cat, const struct uuid *fs, uint64_t after_ino, size_t max,
                        struct catalog_archives *out, struct err *err)
{
    READ_SCOPE(cat, db);
    *out = (struct catalog_archives){0};
    int64_t n = 0, last = 0;
    int rc = sqlite_fs_number(db, fs, false, &n, err);
    if (rc != 0)
        return rc == CATALOG_ABSENT ? 0 : rc;
    /* The inode that the page ends with, so that an inode is never split. */
    rc = db_int(db, &last, err,
                "SELECT max(ino) FROM (SELECT ino FROM archives WHERE fs = ? AND ino > ?"
                " ORDER BY ino LIMIT ?)",
                V(I(n), I(after_ino), I(max)));
    sqlite3_stmt *st = NULL;
    if (rc == 0)
        rc = db_query(db, &st, err,
                      ARCHIVE_COLUMNS "WHERE a.fs = ? AND a.ino > ? AND a.ino <= ?"
                                      " ORDER BY a.ino, a.gen, a.n",
                      V(I(n), I(after_ino), I(last)));
    rc = read_archives(db, st, rc, out, err);
    return rc == CATALOG_ABSENT ? 0 : rc;
}

struct ids_arg {
    const struct uuid *ids;
    size_t n;
};

static int delete_archives(struct db *db, void *p, struct err *err)
{
    const struct ids_arg *arg = p;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < arg->n; i++) {
        rc = db_run(db, err,
                    "DELETE FROM copies WHERE archive = (SELECT n FROM archives WHERE archive = ?)",
                    V(B(arg->ids[i].b, UUID_BYTES)));
        if (rc == 0)
            rc = db_run(db, err, "DELETE FROM archives WHERE archive = ?",
                        V(B(arg->ids[i].b, UUID_BYTES)));
    }
    return rc;
}

int sqlite_archive_delete(struct catalog *cat, const struct uuid *archive, size_t n,
                          struct err *err)
{
    struct ids_arg arg = {archive, n};
    return sqlite_write(cat, delete_archives, &arg, err);
}
