/* SPDX-License-Identifier: Apache-2.0 */
/* Settings and numbers. */
#include "base/mem.h"
#include "catalog/sqlite_impl.h"

#include <string.h>

int sqlite_attr_get(struct catalog *cat, const char *key, char **value, struct err *err)
{
    READ_SCOPE(cat, db);
    sqlite3_stmt *st;
    int rc = db_query(db, &st, err, "SELECT value FROM attributes WHERE key = ?", V(S(key)));
    if (rc == 0)
        rc = db_next(db, st, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return CATALOG_ABSENT;
    *value = xstrdup((const char *)sqlite3_column_text(st, 0));
    return 0;
}

struct attr_arg {
    const char *key;
    const char *value;
};

static int set_attr(struct db *db, void *arg, struct err *err)
{
    const struct attr_arg *a = arg;
    if (a->value == NULL)
        return db_run(db, err, "DELETE FROM attributes WHERE key = ?", V(S(a->key)));
    return db_run(db, err, "INSERT OR REPLACE INTO attributes(key, value) VALUES(?, ?)",
                  V(S(a->key), S(a->value)));
}

int sqlite_attr_set(struct catalog *cat, const char *key, const char *value, unsigned flags,
                    struct err *err)
{
    struct attr_arg a = {key, value};
    if ((flags & CATALOG_NOWAIT) == 0)
        return sqlite_write(cat, set_attr, &a, err);
    struct catalog_mem *mem = NULL;
    struct attr_arg *own = catalog_mem_alloc(&mem, sizeof(*own));
    own->key = catalog_mem_str(&mem, key);
    own->value = value != NULL ? catalog_mem_str(&mem, value) : NULL;
    return sqlite_write_later(cat, set_attr, own, mem);
}

int sqlite_attr_list(struct catalog *cat, const char *prefix, struct catalog_attrs *out,
                     struct err *err)
{
    READ_SCOPE(cat, db);
    struct catalog_attrs l = {0};
    sqlite3_stmt *st;
    int rc = db_query(db, &st, err,
                      "SELECT key, value FROM attributes WHERE substr(key, 1, length(?1)) = ?1"
                      " ORDER BY key",
                      V(S(prefix)));
    while (rc == 0 && (rc = db_next(db, st, err)) == 1) {
        l.v = db_grow(l.v, l.n, sizeof(*l.v));
        struct catalog_attr *a = &l.v[l.n++];
        a->key = db_col_str(st, 0, &l.mem);
        a->value = db_col_str(st, 1, &l.mem);
        rc = 0;
    }
    if (rc < 0)
        catalog_attrs_fini(&l);
    *out = l;
    return rc;
}

struct sequence_arg {
    const char *name;
    int64_t *value;
};

static int next_number(struct db *db, void *arg, struct err *err)
{
    const struct sequence_arg *a = arg;
    return db_int(db, a->value, err,
                  "INSERT INTO sequences(name, value) VALUES(?, 1)"
                  " ON CONFLICT(name) DO UPDATE SET value = value + 1 RETURNING value",
                  V(S(a->name)));
}

int sqlite_sequence_next(struct catalog *cat, const char *name, int64_t *value, struct err *err)
{
    struct sequence_arg a = {name, value};
    return sqlite_write(cat, next_number, &a, err);
}
