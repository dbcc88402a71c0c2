/* SPDX-License-Identifier: Apache-2.0 */
/* Accounts, buckets and schedules. */
#include "base/timefmt.h"
#include "catalog/sqlite_impl.h"

#include <errno.h>
#include <string.h>

int sqlite_registry_bump(struct db *db, struct err *err)
{
    return db_run(db, err, "UPDATE sequences SET value = value + 1 WHERE name = 'registry'", NULL,
                  0);
}

int sqlite_registry_generation(struct catalog *cat, int64_t *generation, struct err *err)
{
    READ_SCOPE(cat, db);
    return db_int(db, generation, err, "SELECT value FROM sequences WHERE name = 'registry'", NULL,
                  0);
}

/* ---- accounts ---- */

static int put_key(struct db *db, const struct catalog_account *a, const char *key, struct err *err)
{
    if (*key == '\0')
        return 0;
    int rc = db_run(db, err, "INSERT INTO access_keys(key, account) VALUES(?, ?)",
                    V(S(key), S(a->name)));
    if (rc == -EEXIST)
        rc = err_set(err, rc, "access key %s is in use already", key);
    return rc;
}

/* Writes the account's row and keys; an old row is gone already. */
static int put_account(struct db *db, const struct catalog_account *a, struct err *err)
{
    int rc = db_run(db, err, "INSERT INTO accounts VALUES(?,?,?,?,?,?,?,?,?,?,?)",
                    V(S(a->name), I(a->uid), I(a->gid), S(a->access_key), S(a->secret_key),
                      S(a->access_key2), S(a->secret_key2), I(a->enabled), I(a->md5_etag),
                      S(a->new_buckets), I(a->created_ns)));
    if (rc == -EEXIST)
        return err_set(err, rc, "account %s exists already", a->name);
    if (rc == 0)
        rc = put_key(db, a, a->access_key, err);
    if (rc == 0)
        rc = put_key(db, a, a->access_key2, err);
    return rc == 0 ? sqlite_registry_bump(db, err) : rc;
}

static int remove_account(struct db *db, const char *name, struct err *err)
{
    int rc = db_run(db, err, "DELETE FROM access_keys WHERE account = ?", V(S(name)));
    if (rc == 0)
        rc = db_change(db, err, "DELETE FROM accounts WHERE name = ?", V(S(name)));
    return rc;
}

static int add_account(struct db *db, void *arg, struct err *err)
{
    return put_account(db, arg, err);
}

int sqlite_account_add(struct catalog *cat, struct catalog_account *a, struct err *err)
{
    if (a->created_ns == 0)
        a->created_ns = time_now_ns();
    return sqlite_write(cat, add_account, a, err);
}

static int set_account(struct db *db, void *arg, struct err *err)
{
    struct catalog_account *a = arg;
    int rc = 0;
    if (a->created_ns == 0)
        rc = db_int(db, &a->created_ns, err, "SELECT created FROM accounts WHERE name = ?",
                    V(S(a->name)));
    if (rc == 0)
        rc = remove_account(db, a->name, err);
    return rc == 0 ? put_account(db, a, err) : rc;
}

int sqlite_account_set(struct catalog *cat, const struct catalog_account *a, struct err *err)
{
    struct catalog_account own = *a;
    return sqlite_write(cat, set_account, &own, err);
}

static int delete_account(struct db *db, void *arg, struct err *err)
{
    const char *name = arg;
    int64_t n = 0;
    int rc = db_int(db, &n, err, "SELECT count(*) FROM buckets WHERE owner = ?", V(S(name)));
    if (rc == 0 && n > 0)
        rc = err_set(err, -ENOTEMPTY, "account %s owns %lld buckets", name, (long long)n);
    if (rc == 0)
        rc = remove_account(db, name, err);
    return rc == 0 ? sqlite_registry_bump(db, err) : rc;
}

int sqlite_account_delete(struct catalog *cat, const char *name, struct err *err)
{
    struct catalog_mem *mem = NULL;
    char *own = (char *)(uintptr_t)catalog_mem_str(&mem, name);
    int rc = sqlite_write(cat, delete_account, own, err);
    catalog_mem_free(mem);
    return rc;
}

static void account_row(sqlite3_stmt *st, struct catalog_account *a)
{
    db_col_copy(st, 0, a->name, sizeof(a->name));
    a->uid = (uint32_t)COL(st, 1);
    a->gid = (uint32_t)COL(st, 2);
    db_col_copy(st, 3, a->access_key, sizeof(a->access_key));
    db_col_copy(st, 4, a->secret_key, sizeof(a->secret_key));
    db_col_copy(st, 5, a->access_key2, sizeof(a->access_key2));
    db_col_copy(st, 6, a->secret_key2, sizeof(a->secret_key2));
    a->enabled = COL(st, 7) != 0;
    a->md5_etag = COL(st, 8) != 0;
    db_col_copy(st, 9, a->new_buckets, sizeof(a->new_buckets));
    a->created_ns = COL(st, 10);
}

int sqlite_account_list(struct catalog *cat, const char *name, struct catalog_accounts *out,
                        struct err *err)
{
    READ_SCOPE(cat, db);
    struct catalog_accounts l = {0};
    sqlite3_stmt *st;
    int rc = db_query(db, &st, err,
                      "SELECT name, uid, gid, key1, secret1, key2, secret2, enabled, md5_etag,"
                      " new_buckets, created FROM accounts WHERE ?1 OR name = ?2 ORDER BY name",
                      V(I(name == NULL), S(name)));
    while (rc == 0 && (rc = db_next(db, st, err)) == 1) {
        l.v = db_grow(l.v, l.n, sizeof(*l.v));
        account_row(st, &l.v[l.n++]);
        rc = 0;
    }
    if (rc < 0)
        catalog_accounts_fini(&l);
    *out = l;
    return rc == 0 && l.n == 0 && name != NULL ? CATALOG_ABSENT : rc;
}

/* ---- buckets ---- */

static int add_bucket(struct db *db, void *arg, struct err *err)
{
    const struct catalog_bucket *b = arg;
    int rc = db_change(db, err,
                       "INSERT INTO buckets(name, owner, path, exported, created)"
                       " SELECT ?1, name, ?3, ?4, ?5 FROM accounts WHERE name = ?2",
                       V(S(b->name), S(b->owner), S(b->path), I(b->exported), I(b->created_ns)));
    if (rc == -EEXIST)
        return err_set(err, rc, "bucket %s exists already", b->name);
    return rc == 0 ? sqlite_registry_bump(db, err) : rc;
}

int sqlite_bucket_add(struct catalog *cat, struct catalog_bucket *b, struct err *err)
{
    if (b->created_ns == 0)
        b->created_ns = time_now_ns();
    return sqlite_write(cat, add_bucket, b, err);
}

static int delete_bucket(struct db *db, void *arg, struct err *err)
{
    int rc = db_change(db, err, "DELETE FROM buckets WHERE name = ?", V(S((const char *)arg)));
    return rc == 0 ? sqlite_registry_bump(db, err) : rc;
}

int sqlite_bucket_delete(struct catalog *cat, const char *name, struct err *err)
{
    struct catalog_mem *mem = NULL;
    char *own = (char *)(uintptr_t)catalog_mem_str(&mem, name);
    int rc = sqlite_write(cat, delete_bucket, own, err);
    catalog_mem_free(mem);
    return rc;
}

int sqlite_bucket_list(struct catalog *cat, const char *name, const char *owner,
                       struct catalog_buckets *out, struct err *err)
{
    READ_SCOPE(cat, db);
    struct catalog_buckets l = {0};
    sqlite3_stmt *st;
    int rc = db_query(db, &st, err,
                      "SELECT name, owner, path, exported, created FROM buckets"
                      " WHERE (?1 OR name = ?2) AND (?3 OR owner = ?4) ORDER BY name",
                      V(I(name == NULL), S(name), I(owner == NULL), S(owner)));
    while (rc == 0 && (rc = db_next(db, st, err)) == 1) {
        l.v = db_grow(l.v, l.n, sizeof(*l.v));
        struct catalog_bucket *b = &l.v[l.n++];
        db_col_copy(st, 0, b->name, sizeof(b->name));
        db_col_copy(st, 1, b->owner, sizeof(b->owner));
        db_col_copy(st, 2, b->path, sizeof(b->path));
        b->exported = COL(st, 3) != 0;
        b->created_ns = COL(st, 4);
        rc = 0;
    }
    if (rc < 0)
        catalog_buckets_fini(&l);
    *out = l;
    return rc == 0 && l.n == 0 && name != NULL ? CATALOG_ABSENT : rc;
}

/* ---- schedules ---- */

static int put_schedule(struct db *db, void *arg, struct err *err)
{
    const struct catalog_schedule *s = arg;
    return db_run(db, err, "INSERT OR REPLACE INTO schedules VALUES(?,?,?,?,?,?,?,?,?,?)",
                  V(S(s->name), S(s->when), S(s->target), S(s->file), S(s->macros), S(s->log),
                    I(s->enabled), I(s->last_run_ns), S(s->last_result), I(s->events)));
}

int sqlite_schedule_put(struct catalog *cat, const struct catalog_schedule *s, struct err *err)
{
    struct catalog_schedule own = *s;
    return sqlite_write(cat, put_schedule, &own, err);
}

struct ran_arg {
    const char *name, *result;
    int64_t when;
};

static int note_run(struct db *db, void *arg, struct err *err)
{
    const struct ran_arg *a = arg;
    return db_change(db, err, "UPDATE schedules SET last_run = ?, last_result = ? WHERE name = ?",
                     V(I(a->when), S(a->result), S(a->name)));
}

int sqlite_schedule_ran(struct catalog *cat, const char *name, int64_t when_ns, const char *result,
                        unsigned flags, struct err *err)
{
    struct ran_arg a = {name, result, when_ns};
    if ((flags & CATALOG_NOWAIT) == 0)
        return sqlite_write(cat, note_run, &a, err);
    struct catalog_mem *mem = NULL;
    struct ran_arg *own = catalog_mem_alloc(&mem, sizeof(*own));
    own->name = catalog_mem_str(&mem, name);
    own->result = catalog_mem_str(&mem, result);
    own->when = when_ns;
    return sqlite_write_later(cat, note_run, own, mem);
}

static int delete_schedule(struct db *db, void *arg, struct err *err)
{
    return db_change(db, err, "DELETE FROM schedules WHERE name = ?", V(S((const char *)arg)));
}

int sqlite_schedule_delete(struct catalog *cat, const char *name, struct err *err)
{
    struct catalog_mem *mem = NULL;
    char *own = (char *)(uintptr_t)catalog_mem_str(&mem, name);
    int rc = sqlite_write(cat, delete_schedule, own, err);
    catalog_mem_free(mem);
    return rc;
}

int sqlite_schedule_list(struct catalog *cat, const char *name, struct catalog_schedules *out,
                         struct err *err)
{
    READ_SCOPE(cat, db);
    struct catalog_schedules l = {0};
    sqlite3_stmt *st;
    int rc = db_query(db, &st, err,
                      "SELECT name, at, target, file, macros, log, enabled, last_run, last_result,"
                      " events FROM schedules WHERE ?1 OR name = ?2 ORDER BY name",
                      V(I(name == NULL), S(name)));
    while (rc == 0 && (rc = db_next(db, st, err)) == 1) {
        l.v = db_grow(l.v, l.n, sizeof(*l.v));
        struct catalog_schedule *s = &l.v[l.n++];
        db_col_copy(st, 0, s->name, sizeof(s->name));
        db_col_copy(st, 1, s->when, sizeof(s->when));
        db_col_copy(st, 2, s->target, sizeof(s->target));
        db_col_copy(st, 3, s->file, sizeof(s->file));
        s->macros = db_col_str(st, 4, &l.mem);
        db_col_copy(st, 5, s->log, sizeof(s->log));
        s->enabled = COL(st, 6) != 0;
        s->last_run_ns = COL(st, 7);
        s->last_result = db_col_str(st, 8, &l.mem);
        s->events = COL(st, 9) != 0;
        rc = 0;
    }
    if (rc < 0)
        catalog_schedules_fini(&l);
    *out = l;
    return rc == 0 && l.n == 0 && name != NULL ? CATALOG_ABSENT : rc;
}
