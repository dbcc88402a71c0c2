/* SPDX-License-Identifier: Apache-2.0 */
/* Pools, volumes and drives. */
#include "base/timefmt.h"
#include "catalog/sqlite_impl.h"

#include <errno.h>
#include <string.h>

static bool is_zero(const struct uuid *u)
{
    static const struct uuid zero;
    return memcmp(u, &zero, sizeof(zero)) == 0;
}

/* ---- pools ---- */

static int add_pool(struct db *db, void *arg, struct err *err)
{
    struct catalog_pool *p = arg;
    int rc = db_run(db, err, "INSERT INTO pools(id, library, name) VALUES(?, ?, ?)",
                    V(U(&p->id), S(p->library), S(p->name)));
    if (rc == -EEXIST)
        rc = err_set(err, rc, "pool %s of library %s exists already", p->name, p->library);
    return rc;
}

int sqlite_pool_add(struct catalog *cat, struct catalog_pool *p, struct err *err)
{
    if (is_zero(&p->id))
        p->id = uuid_new();
    return sqlite_write(cat, add_pool, p, err);
}

static int delete_pool(struct db *db, void *arg, struct err *err)
{
    const struct catalog_pool *p = arg;
    int64_t n = 0;
    int rc = db_int(db, &n, err,
                    "SELECT count(*) FROM volumes v JOIN pools p ON v.pool = p.id"
                    " WHERE p.library = ? AND p.name = ?",
                    V(S(p->library), S(p->name)));
    if (rc == 0 && n > 0)
        rc = err_set(err, -ENOTEMPTY, "pool %s has %lld volumes; unassign them first", p->name,
                     (long long)n);
    if (rc == 0)
        rc = db_change(db, err, "DELETE FROM pools WHERE library = ? AND name = ?",
                       V(S(p->library), S(p->name)));
    return rc;
}

static void put_name(char *dst, const char *s)
{
    size_t n = s != NULL ? strlen(s) : 0;
    if (n >= CATALOG_NAME_MAX)
        n = CATALOG_NAME_MAX - 1;
    if (n > 0)
        memcpy(dst, s, n);
    dst[n] = '\0';
}

int sqlite_pool_delete(struct catalog *cat, const char *library, const char *name, struct err *err)
{
    struct catalog_pool p = {0};
    put_name(p.library, library);
    put_name(p.name, name);
    return sqlite_write(cat, delete_pool, &p, err);
}

static int read_pools(struct catalog *cat, const char *library, const char *name,
                      struct catalog_pools *out, struct err *err)
{
    READ_SCOPE(cat, db);
    struct catalog_pools l = {0};
    sqlite3_stmt *st;
    int rc = db_query(db, &st, err,
                      "SELECT id, name, library FROM pools WHERE (?1 = '' OR library = ?1)"
                      " AND (?2 = '' OR name = ?2) ORDER BY library, name",
                      V(S(library), S(name)));
    while (rc == 0 && (rc = db_next(db, st, err)) == 1) {
        l.v = db_grow(l.v, l.n, sizeof(*l.v));
        struct catalog_pool *p = &l.v[l.n++];
        db_col_uuid(st, 0, &p->id);
        db_col_copy(st, 1, p->name, sizeof(p->name));
        db_col_copy(st, 2, p->library, sizeof(p->library));
        rc = 0;
    }
    if (rc < 0)
        catalog_pools_fini(&l);
    *out = l;
    return rc;
}

int sqlite_pool_get(struct catalog *cat, const char *library, const char *name,
                    struct catalog_pool *out, struct err *err)
{
    if (name == NULL || *name == '\0')
        return CATALOG_ABSENT;
    struct catalog_pools l;
    int rc = read_pools(cat, library, name, &l, err);
    if (rc < 0)
        return rc;
    if (l.n == 0)
        rc = CATALOG_ABSENT;
    else if (l.n > 1)
        rc = err_set(err, -EINVAL, "several libraries have a pool %s; say which: %s@%s or %s@%s",
                     name, name, l.v[0].library, name, l.v[1].library);
    else
        *out = l.v[0];
    catalog_pools_fini(&l);
    return rc;
}

int sqlite_pool_list(struct catalog *cat, const char *library, struct catalog_pools *out,
                     struct err *err)
{
    return read_pools(cat, library, NULL, out, err);
}

/* ---- volumes ---- */

static int pool_id(struct db *db, const struct catalog_volume *v, struct uuid *id, struct err *err)
{
    memset(id, 0, sizeof(*id));
    if (v->pool[0] == '\0')
        return 0;
    sqlite3_stmt *st;
    int rc = db_query(db, &st, err, "SELECT id FROM pools WHERE library = ? AND name = ?",
                      V(S(v->library), S(v->pool)));
    if (rc == 0)
        rc = db_next(db, st, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return CATALOG_ABSENT;
    db_col_uuid(st, 0, id);
    (void)sqlite3_reset(st);
    return 0;
}

static int put_volume(struct db *db, void *arg, struct err *err)
{
    struct catalog_volume *v = arg;
    struct uuid pool;
    int rc = pool_id(db, v, &pool, err);
    if (rc != 0)
        return rc;
    return db_int(db, &v->id, err,
                  "INSERT INTO volumes(library, barcode, pool, uuid, state, generation, capacity,"
                  " used, garbage, files, problem, created) VALUES(?,?,?,?,?,?,?,?,?,?,?,?)"
                  " ON CONFLICT(library, barcode) DO UPDATE SET pool = excluded.pool,"
                  " uuid = excluded.uuid, state = excluded.state, generation = excluded.generation,"
                  " capacity = excluded.capacity, used = excluded.used, garbage = excluded.garbage,"
                  " files = excluded.files, problem = excluded.problem RETURNING id",
                  V(S(v->library), S(v->barcode), U(&pool), U(&v->uuid), S(v->state),
                    I(v->generation), I(v->capacity), I(v->used), I(v->garbage), I(v->files),
                    S(v->problem), I(v->created_ns)));
}

int sqlite_volume_put(struct catalog *cat, struct catalog_volume *v, struct err *err)
{
    if (v->created_ns == 0)
        v->created_ns = time_now_ns();
    return sqlite_write(cat, put_volume, v, err);
}

static int delete_volume(struct db *db, void *arg, struct err *err)
{
    const int64_t *id = arg;
    int64_t n = 0;
    int rc = db_int(db, &n, err, "SELECT count(*) FROM copies WHERE volume = ? AND state = 0",
                    V(I(*id)));
    if (rc == 0 && n > 0)
        rc = err_set(err, -ENOTEMPTY, "the volume holds %lld valid copies", (long long)n);
    if (rc == 0)
        rc = db_run(db, err, "DELETE FROM copies WHERE volume = ?", V(I(*id)));
    if (rc == 0)
        rc = db_change(db, err, "DELETE FROM volumes WHERE id = ?", V(I(*id)));
    return rc;
}

int sqlite_volume_delete(struct catalog *cat, int64_t id, struct err *err)
{
    return sqlite_write(cat, delete_volume, &id, err);
}

#define VOLUME_COLUMNS                                                                             \
    "SELECT v.id, v.barcode, v.library, p.name, v.uuid, v.state, v.generation, v.capacity,"        \
    " v.used, v.garbage, v.files, v.problem, v.created FROM volumes v"                             \
    " LEFT JOIN pools p ON v.pool = p.id "

static void volume_row(sqlite3_stmt *st, struct catalog_volume *v)
{
    v->id = COL(st, 0);
    db_col_copy(st, 1, v->barcode, sizeof(v->barcode));
    db_col_copy(st, 2, v->library, sizeof(v->library));
    db_col_copy(st, 3, v->pool, sizeof(v->pool));
    db_col_uuid(st, 4, &v->uuid);
    db_col_copy(st, 5, v->state, sizeof(v->state));
    v->generation = COL(st, 6);
    v->capacity = COL(st, 7);
    v->used = COL(st, 8);
    v->garbage = COL(st, 9);
    v->files = COL(st, 10);
    db_col_copy(st, 11, v->problem, sizeof(v->problem));
    v->created_ns = COL(st, 12);
}

int sqlite_volume_get(struct catalog *cat, const char *library, const char *barcode,
                      struct catalog_volume *out, struct err *err)
{
    READ_SCOPE(cat, db);
    sqlite3_stmt *st;
    int rc = db_query(db, &st, err,
                      VOLUME_COLUMNS "WHERE v.barcode = ?1 AND (?2 = '' OR v.library = ?2)"
                                     " ORDER BY v.library",
                      V(S(barcode), S(library)));
    if (rc == 0)
        rc = db_next(db, st, err);
    if (rc <= 0)
        return rc < 0 ? rc : CATALOG_ABSENT;
    volume_row(st, out);
    return 0;
}

int sqlite_volume_by_id(struct catalog *cat, int64_t id, struct catalog_volume *out,
                        struct err *err)
{
    READ_SCOPE(cat, db);
    sqlite3_stmt *st;
    int rc = db_query(db, &st, err, VOLUME_COLUMNS "WHERE v.id = ?", V(I(id)));
    if (rc == 0)
        rc = db_next(db, st, err);
    if (rc <= 0)
        return rc < 0 ? rc : CATALOG_ABSENT;
    volume_row(st, out);
    return 0;
}

int sqlite_volume_list(struct catalog *cat, const char *library, const char *pool,
                       struct catalog_volumes *out, struct err *err)
{
    READ_SCOPE(cat, db);
    struct catalog_volumes l = {0};
    sqlite3_stmt *st;
    int rc = db_query(db, &st, err,
                      VOLUME_COLUMNS "WHERE (?1 = '' OR v.library = ?1)"
                                     " AND (?2 OR coalesce(p.name, '') = ?3)"
                                     " ORDER BY v.library, v.barcode",
                      V(S(library), I(pool == NULL), S(pool)));
    while (rc == 0 && (rc = db_next(db, st, err)) == 1) {
        l.v = db_grow(l.v, l.n, sizeof(*l.v));
        volume_row(st, &l.v[l.n++]);
        rc = 0;
    }
    if (rc < 0)
        catalog_volumes_fini(&l);
    *out = l;
    return rc;
}

/* ---- drives ---- */

static int put_drive(struct db *db, void *arg, struct err *err)
{
    const struct catalog_drive *d = arg;
    return db_run(db, err, "INSERT OR REPLACE INTO drives VALUES(?,?,?,?,?,?,?,?)",
                  V(S(d->library), S(d->serial), S(d->role), I(d->enabled), I(d->mounts),
                    I(d->bytes_read), I(d->bytes_written), S(d->problem)));
}

int sqlite_drive_put(struct catalog *cat, const struct catalog_drive *d, unsigned flags,
                     struct err *err)
{
    struct catalog_drive copy = *d;
    if ((flags & CATALOG_NOWAIT) == 0)
        return sqlite_write(cat, put_drive, &copy, err);
    struct catalog_mem *mem = NULL;
    struct catalog_drive *own = catalog_mem_alloc(&mem, sizeof(*own));
    *own = copy;
    return sqlite_write_later(cat, put_drive, own, mem);
}

static int delete_drive(struct db *db, void *arg, struct err *err)
{
    const struct catalog_drive *d = arg;
    return db_change(db, err, "DELETE FROM drives WHERE library = ? AND serial = ?",
                     V(S(d->library), S(d->serial)));
}

int sqlite_drive_delete(struct catalog *cat, const char *library, const char *serial,
                        struct err *err)
{
    struct catalog_drive d = {0};
    put_name(d.library, library);
    put_name(d.serial, serial);
    return sqlite_write(cat, delete_drive, &d, err);
}

int sqlite_drive_list(struct catalog *cat, const char *library, struct catalog_drives *out,
                      struct err *err)
{
    READ_SCOPE(cat, db);
    struct catalog_drives l = {0};
    sqlite3_stmt *st;
    int rc = db_query(db, &st, err,
                      "SELECT library, serial, role, enabled, mounts, bytes_read, bytes_written,"
                      " problem FROM drives WHERE ?1 = '' OR library = ?1 ORDER BY library, serial",
                      V(S(library)));
    while (rc == 0 && (rc = db_next(db, st, err)) == 1) {
        l.v = db_grow(l.v, l.n, sizeof(*l.v));
        struct catalog_drive *d = &l.v[l.n++];
        db_col_copy(st, 0, d->library, sizeof(d->library));
        db_col_copy(st, 1, d->serial, sizeof(d->serial));
        db_col_copy(st, 2, d->role, sizeof(d->role));
        d->enabled = COL(st, 3) != 0;
        d->mounts = COL(st, 4);
        d->bytes_read = COL(st, 5);
        d->bytes_written = COL(st, 6);
        db_col_copy(st, 7, d->problem, sizeof(d->problem));
        rc = 0;
    }
    if (rc < 0)
        catalog_drives_fini(&l);
    *out = l;
    return rc;
}
