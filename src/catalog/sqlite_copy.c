/* SPDX-License-Identifier: Apache-2.0 */
/* Copies: where the bytes of an archive are. */
#include "catalog/sqlite_impl.h"

#include <stdlib.h>
#include <string.h>

#define COPY_COLUMNS                                                                               \
    "SELECT a.archive, c.copy_no, c.state, c.tier, c.volume, c.path, c.part, c.block, c.boff,"     \
    " c.length, c.created, v.barcode, v.library, p.name, c.archive FROM copies c"                  \
    " JOIN archives a ON c.archive = a.n LEFT JOIN volumes v ON c.volume = v.id"                   \
    " LEFT JOIN pools p ON v.pool = p.id "
enum { ARCHIVE_N = 14 };

/* Copies are ordered by (archive's row, copy_no); one number stands for both. */
enum { COPY_NOS = 16 };

static void copy_row(sqlite3_stmt *st, struct catalog_copies *l)
{
    l->v = db_grow(l->v, l->n, sizeof(*l->v));
    struct catalog_copy *c = &l->v[l->n++];
    db_col_uuid(st, 0, &c->archive);
    c->copy_no = (int)COL(st, 1);
    c->state = (enum catalog_copy_state)COL(st, 2);
    db_col_copy(st, 3, c->tier, sizeof(c->tier));
    c->volume = COL(st, 4);
    c->path = db_col_str(st, 5, &l->mem);
    c->partition = (int)COL(st, 6);
    c->start_block = (uint64_t)COL(st, 7);
    c->byte_offset = (uint64_t)COL(st, 8);
    c->length = (uint64_t)COL(st, 9);
    c->created_ns = COL(st, 10);
    db_col_copy(st, 11, c->barcode, sizeof(c->barcode));
    db_col_copy(st, 12, c->library, sizeof(c->library));
    db_col_copy(st, 13, c->pool, sizeof(c->pool));
}

int sqlite_copy_of(struct catalog *cat, const struct uuid *archives, size_t n,
                   struct catalog_copies *out, struct err *err)
{
    READ_SCOPE(cat, db);
    struct catalog_copies l = {0};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        sqlite3_stmt *st;
        rc = db_query(db, &st, err, COPY_COLUMNS "WHERE a.archive = ? ORDER BY c.copy_no",
                      V(B(archives[i].b, UUID_BYTES)));
        while (rc == 0 && (rc = db_next(db, st, err)) == 1) {
            copy_row(st, &l);
            rc = 0;
        }
    }
    if (rc < 0)
        catalog_copies_fini(&l);
    *out = l;
    return rc;
}

int sqlite_copy_page(struct catalog *cat, int64_t volume, struct catalog_copy_pos *pos, size_t max,
                     struct catalog_copies *out, struct err *err)
{
    READ_SCOPE(cat, db);
    struct catalog_copies l = {0};
    sqlite3_stmt *st;
    int rc = db_query(
        db, &st, err,
        COPY_COLUMNS "WHERE c.volume = ? AND (c.part, c.block, c.archive, c.copy_no) > (?, ?, ?, ?)"
                     " ORDER BY c.part, c.block, c.archive, c.copy_no LIMIT ?",
        V(I(volume), I(pos->partition), I(pos->start_block), I(pos->row / COPY_NOS),
          I(pos->row % COPY_NOS), I(max)));
    struct catalog_copy_pos at = *pos;
    while (rc == 0 && (rc = db_next(db, st, err)) == 1) {
        copy_row(st, &l);
        const struct catalog_copy *c = &l.v[l.n - 1];
        at = (struct catalog_copy_pos){c->partition, c->start_block,
                                       COL(st, ARCHIVE_N) * COPY_NOS + c->copy_no};
        rc = 0;
    }
    if (rc < 0)
        catalog_copies_fini(&l);
    else
        *pos = at;
    *out = l;
    return rc;
}

struct state_arg {
    const struct uuid *ids;
    size_t n;
    int copy_no;
    enum catalog_copy_state state;
    int64_t volume;
};

/* What becomes garbage on a volume, or is none any more. */
struct tally {
    int64_t volume, bytes;
};

struct tallies {
    struct tally *v;
    size_t n;
};

static void tally(struct tallies *t, int64_t volume, int64_t bytes)
{
    size_t i = 0;
    while (i < t->n && t->v[i].volume != volume)
        i++;
    if (i == t->n) {
        t->v = db_grow(t->v, t->n, sizeof(*t->v));
        t->v[t->n++] = (struct tally){.volume = volume};
    }
    t->v[i].bytes += bytes;
}

/* Before the copies of id that match change to a new state. */
static int count_garbage(struct db *db, const struct uuid *id, const struct state_arg *a,
                         struct tallies *t, struct err *err)
{
    sqlite3_stmt *st;
    int rc = db_query(db, &st, err,
                      "SELECT volume, state, length FROM copies WHERE archive = (SELECT n FROM"
                      " archives WHERE archive = ?1) AND (?2 = 0 OR copy_no = ?2)",
                      V(B(id->b, UUID_BYTES), I(a->copy_no)));
    while (rc == 0 && (rc = db_next(db, st, err)) == 1) {
        bool was = COL(st, 1) != CATALOG_COPY_VALID;
        bool will_be = a->state != CATALOG_COPY_VALID;
        if (was != will_be)
            tally(t, COL(st, 0), will_be ? COL(st, 2) : -COL(st, 2));
        rc = 0;
    }
    return rc;
}

static int set_states(struct db *db, void *p, struct err *err)
{
    const struct state_arg *a = p;
    struct tallies t = {0};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < a->n; i++) {
        rc = count_garbage(db, &a->ids[i], a, &t, err);
        if (rc == 0)
            rc = db_run(db, err,
                        "UPDATE copies SET state = ?3 WHERE archive = (SELECT n FROM archives"
                        " WHERE archive = ?1) AND (?2 = 0 OR copy_no = ?2)",
                        V(B(a->ids[i].b, UUID_BYTES), I(a->copy_no), I(a->state)));
    }
    for (size_t i = 0; rc == 0 && i < t.n; i++)
        rc = db_run(db, err, "UPDATE volumes SET garbage = garbage + ? WHERE id = ?",
                    V(I(t.v[i].bytes), I(t.v[i].volume)));
    free(t.v);
    return rc;
}

int sqlite_copy_set_state(struct catalog *cat, const struct uuid *archives, size_t n, int copy_no,
                          enum catalog_copy_state state, struct err *err)
{
    struct state_arg a = {.ids = archives, .n = n, .copy_no = copy_no, .state = state};
    return sqlite_write(cat, set_states, &a, err);
}

static int set_volume_state(struct db *db, void *p, struct err *err)
{
    const struct state_arg *a = p;
    int rc = db_run(db, err, "UPDATE copies SET state = ?2 WHERE volume = ?1 AND state <> ?2",
                    V(I(a->volume), I(a->state)));
    if (rc == 0)
        rc = db_run(db, err,
                    "UPDATE volumes SET garbage = (SELECT coalesce(sum(length), 0) FROM copies"
                    " WHERE volume = ?1 AND state <> 0) WHERE id = ?1",
                    V(I(a->volume)));
    return rc;
}

int sqlite_copy_set_state_volume(struct catalog *cat, int64_t volume, enum catalog_copy_state state,
                                 struct err *err)
{
    struct state_arg a = {.volume = volume, .state = state};
    return sqlite_write(cat, set_volume_state, &a, err);
}

int sqlite_copy_sum(struct catalog *cat, int64_t volume, struct catalog_copy_sums *out,
                    struct err *err)
{
    READ_SCOPE(cat, db);
    *out = (struct catalog_copy_sums){0};
    sqlite3_stmt *st;
    int rc;
    if (volume == 0)
        rc = db_query(db, &st, err,
                      "SELECT state, count(*), sum(length) FROM copies GROUP BY state", NULL, 0);
    else
        rc = db_query(db, &st, err,
                      "SELECT state, count(*), sum(length) FROM copies WHERE volume = ?"
                      " GROUP BY state",
                      V(I(volume)));
    while (rc == 0 && (rc = db_next(db, st, err)) == 1) {
        int64_t s = COL(st, 0);
        if (s >= 0 && s <= CATALOG_COPY_LOST) {
            out->copies[s] = COL(st, 1);
            out->bytes[s] = COL(st, 2);
        }
        rc = 0;
    }
    return rc;
}

int sqlite_copy_only_on(struct catalog *cat, int64_t volume, int64_t *n, struct err *err)
{
    READ_SCOPE(cat, db);
    return db_int(db, n, err,
                  "SELECT count(DISTINCT c.archive) FROM copies c WHERE c.volume = ?1"
                  " AND c.state = 0 AND NOT EXISTS (SELECT 1 FROM copies o"
                  " WHERE o.archive = c.archive AND o.state = 0 AND o.volume <> ?1)",
                  V(I(volume)));
}
