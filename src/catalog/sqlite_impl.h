/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the sqlite kind: connections with cached statements, the writer thread, the readers. One
 * thread at a time uses a struct db: the writer thread its own, readers one that they borrow.
 */
#ifndef SQLITE_IMPL_H
#define SQLITE_IMPL_H

#include "base/gate.h"
#include "catalog/catalog_impl.h"

#include <pthread.h>
#include <sqlite3.h>

enum { DB_STATEMENTS = 256, DB_READERS = 8 };

struct db {
    sqlite3 *h;
    const char *path; /* borrowed */
    struct {
        const char *sql; /* a literal: compared by address */
        sqlite3_stmt *st;
    } cache[DB_STATEMENTS];
};

/* A value to bind; made by the macros below. */
struct val {
    char kind; /* 'i', 's', 'b' */
    int64_t i;
    const void *p;
    size_t n;
};
#define I(x)    ((struct val){.kind = 'i', .i = (int64_t)(x)})
#define S(x)    ((struct val){.kind = 's', .p = (x)})
#define B(x, l) ((struct val){.kind = 'b', .p = (x), .n = (l)})
#define U(x)    db_uuid(x)
#define V(...)                                                                                     \
    (const struct val[]){__VA_ARGS__},                                                             \
        sizeof((const struct val[]){__VA_ARGS__}) / sizeof(struct val)

/* A UUID as a value; all zero is NULL. */
struct val db_uuid(const struct uuid *u);

/* Opens the file at path (owned by the caller while db lives). reader: for queries only. Returns 0
 * or a negative code with err set. */
int db_open(struct db *db, const char *path, bool reader, struct err *err);

/* Frees what db holds; a db that is all zero is allowed. */
void db_close(struct db *db);

/* Turns the last failure of db into a negated errno value, with err set: what was attempted and
 * SQLite's text. */
int db_fail(struct db *db, struct err *err, const char *what);

/* Prepares sql (a literal) and binds n values; *st is ready for db_next, and valid until the same
 * literal is used again. Values must live until then. Returns 0 or a negative code with err set. */
int db_query(struct db *db, sqlite3_stmt **st, struct err *err, const char *sql,
             const struct val *v, size_t n);

/* The next row: 1, 0 at the end (st is reset), or a negative code with err set. */
int db_next(struct db *db, sqlite3_stmt *st, struct err *err);

/* Runs sql to its end. Returns 0 or a negative code with err set. */
int db_run(struct db *db, struct err *err, const char *sql, const struct val *v, size_t n);

/* As db_run for one change of rows: CATALOG_ABSENT when no row was changed. */
int db_change(struct db *db, struct err *err, const char *sql, const struct val *v, size_t n);

/* Runs a query that gives one integer: 0 with *out set (0 when the value is NULL), CATALOG_ABSENT
 * without a row, or negative. */
int db_int(struct db *db, int64_t *out, struct err *err, const char *sql, const struct val *v,
           size_t n);

/* Rows changed by the last db_run. */
int64_t db_changed(struct db *db);

/* Column c as an integer. */
#define COL(st, c) sqlite3_column_int64(st, c)
/* Column c as text into dst (n bytes, always NUL-terminated, cut). */
void db_col_copy(sqlite3_stmt *st, int c, char *dst, size_t n);
/* Column c as text in arena m. */
const char *db_col_str(sqlite3_stmt *st, int c, struct catalog_mem **m);
/* Column c's bytes into dst (at most n). Returns their number. */
uint32_t db_col_blob(sqlite3_stmt *st, int c, void *dst, size_t n);
/* Column c as a UUID; NULL is all zero. */
void db_col_uuid(sqlite3_stmt *st, int c, struct uuid *u);

/* Makes room for one more element of size bytes in array v of n; returns the array. Doubles. */
void *db_grow(void *v, size_t n, size_t size);

/* The schema, brought up to date; checks version and owner. Returns 0, -EPROTO or another negative
 * code with err set. */
int sqlite_schema_upgrade(struct db *db, struct err *err);

/* One change on its way to the writer. */
struct change {
    int (*run)(struct db *db, void *arg, struct err *err);
    void *arg;
    struct catalog_mem *mem; /* of a change that nobody waits for: holds change and arg */
    bool nowait;
    struct gate done; /* unless nowait */
    int rc;
    struct err err;
    struct change *next;
};

struct sqlite_catalog {
    struct catalog base;
    char *path;
    int lock_fd;
    pthread_t thread;
    bool started;

    pthread_mutex_t lock; /* guards all below; not held over I/O */
    pthread_cond_t work;  /* for the writer */
    pthread_cond_t ended; /* for callers that the list is too long for */
    struct change *head, **tail;
    size_t waiting; /* changes in the list */
    bool stop;
    int failed; /* first failure of a NOWAIT change */
    struct err failure;

    struct db writer; /* the writer thread's */
    struct db readers[DB_READERS];
    struct db *idle[DB_READERS];
    size_t nidle;
    pthread_cond_t reader_back;
};

static inline struct sqlite_catalog *sqlite_of(struct catalog *cat)
{
    return (struct sqlite_catalog *)cat;
}

/* Starts the writer thread. Returns 0 or a negative code with err set. */
int sqlite_writer_start(struct sqlite_catalog *c, struct err *err);

/* Writes what is queued and ends the thread. */
void sqlite_writer_stop(struct sqlite_catalog *c);

/* Has run(db, arg) done by the writer thread inside a transaction and waits until that is durable.
 * A result that is not 0 undoes what run did. Returns run's result, or the commit's failure. */
int sqlite_write(struct catalog *cat, int (*run)(struct db *db, void *arg, struct err *err),
                 void *arg, struct err *err);

/* As sqlite_write without waiting: arg lives in arena mem, which is taken over. Returns 0. */
int sqlite_write_later(struct catalog *cat, int (*run)(struct db *db, void *arg, struct err *err),
                       void *arg, struct catalog_mem *mem);

/* Borrows a connection for reading, waiting for one. Give it back with sqlite_read_end. */
struct db *sqlite_read_begin(struct catalog *cat);

/* Gives a connection back; its statements are reset. */
void sqlite_read_end(struct catalog *cat, struct db *db);

struct read_scope {
    struct catalog *cat;
    struct db *db;
};
static inline void read_scope_end(struct read_scope *s)
{
    sqlite_read_end(s->cat, s->db);
}
/* struct db *NAME: a connection for reading to the end of the scope. */
#define READ_SCOPE(CAT, NAME)                                                                      \
    __attribute__((cleanup(read_scope_end))) struct read_scope scope_##NAME = {                    \
        (CAT), sqlite_read_begin(CAT)};                                                            \
    struct db *NAME = scope_##NAME.db

/* The number of file system uuid in table filesystems; made when new (writer) or CATALOG_ABSENT
 * (reader). */
int sqlite_fs_number(struct db *db, const struct uuid *uuid, bool make, int64_t *n,
                     struct err *err);

/* Reads a blob column of a file handle. */
#define HANDLE_COL(st, c, row)                                                                     \
    ((row)->handle_len = db_col_blob(st, c, (row)->handle, sizeof((row)->handle)))

/* Columns of a job, for sqlite_read_jobs; a query goes on with " ... LEFT JOIN filesystems f". */
#define SQLITE_JOB_COLUMNS                                                                         \
    "SELECT j.id, j.task, j.kind, j.state, f.uuid, j.ino, j.gen, j.handle, j.path, j.archive,"     \
    " j.size, j.volume, j.block, j.priority, j.attempt, j.code, j.message, j.created, j.started,"  \
    " j.ended FROM jobs j "

/* Reads the rest of st (rc: db_query's result) into *out. Returns 0 or a negative code. */
int sqlite_read_jobs(struct db *db, sqlite3_stmt *st, int rc, struct catalog_jobs *out,
                     struct err *err);

/* Bumps the registry's generation. */
int sqlite_registry_bump(struct db *db, struct err *err);

extern const struct catalog_ops sqlite_ops;

/* The functions of catalog/catalog.h, in the sqlite_*.c file of their tables. */
int sqlite_flush(struct catalog *cat, struct err *err);
int sqlite_check(struct catalog *cat, struct err *err);
int sqlite_attr_get(struct catalog *cat, const char *key, char **value, struct err *err);
int sqlite_attr_set(struct catalog *cat, const char *key, const char *value, unsigned flags,
                    struct err *err);
int sqlite_attr_list(struct catalog *cat, const char *prefix, struct catalog_attrs *out,
                     struct err *err);
int sqlite_sequence_next(struct catalog *cat, const char *name, int64_t *value, struct err *err);
int sqlite_pool_add(struct catalog *cat, struct catalog_pool *p, struct err *err);
int sqlite_pool_delete(struct catalog *cat, const char *library, const char *name, struct err *err);
int sqlite_pool_get(struct catalog *cat, const char *library, const char *name,
                    struct catalog_pool *out, struct err *err);
int sqlite_pool_list(struct catalog *cat, const char *library, struct catalog_pools *out,
                     struct err *err);
int sqlite_volume_put(struct catalog *cat, struct catalog_volume *v, struct err *err);
int sqlite_volume_delete(struct catalog *cat, int64_t id, struct err *err);
int sqlite_volume_get(struct catalog *cat, const char *library, const char *barcode,
                      struct catalog_volume *out, struct err *err);
int sqlite_volume_by_id(struct catalog *cat, int64_t id, struct catalog_volume *out,
                        struct err *err);
int sqlite_volume_list(struct catalog *cat, const char *library, const char *pool,
                       struct catalog_volumes *out, struct err *err);
int sqlite_drive_put(struct catalog *cat, const struct catalog_drive *d, unsigned flags,
                     struct err *err);
int sqlite_drive_delete(struct catalog *cat, const char *library, const char *serial,
                        struct err *err);
int sqlite_drive_list(struct catalog *cat, const char *library, struct catalog_drives *out,
                      struct err *err);
int sqlite_archive_add(struct catalog *cat, const struct catalog_archive *a, size_t na,
                       const struct catalog_copy *c, size_t nc, struct err *err);
int sqlite_archive_get(struct catalog *cat, const struct uuid *archive,
                       struct catalog_archives *out, struct err *err);
int sqlite_archive_of_file(struct catalog *cat, const struct uuid *fs, uint64_t ino, uint32_t gen,
                           struct catalog_archives *out, struct err *err);
int sqlite_archive_page(struct catalog *cat, const struct uuid *fs, uint64_t after_ino, size_t max,
                        struct catalog_archives *out, struct err *err);
int sqlite_archive_delete(struct catalog *cat, const struct uuid *archive, size_t n,
                          struct err *err);
int sqlite_copy_of(struct catalog *cat, const struct uuid *archives, size_t n,
                   struct catalog_copies *out, struct err *err);
int sqlite_copy_page(struct catalog *cat, int64_t volume, struct catalog_copy_pos *pos, size_t max,
                     struct catalog_copies *out, struct err *err);
int sqlite_copy_set_state(struct catalog *cat, const struct uuid *archives, size_t n, int copy_no,
                          enum catalog_copy_state state, struct err *err);
int sqlite_copy_set_state_volume(struct catalog *cat, int64_t volume, enum catalog_copy_state state,
                                 struct err *err);
int sqlite_copy_sum(struct catalog *cat, int64_t volume, struct catalog_copy_sums *out,
                    struct err *err);
int sqlite_copy_only_on(struct catalog *cat, int64_t volume, int64_t *n, struct err *err);
int sqlite_task_add(struct catalog *cat, struct catalog_task *t, struct err *err);
int sqlite_task_set(struct catalog *cat, int64_t id, enum catalog_task_status status,
                    enum catalog_task_result result, const char *message, unsigned flags,
                    struct err *err);
int sqlite_task_get(struct catalog *cat, int64_t id, struct catalog_tasks *out, struct err *err);
int sqlite_task_list(struct catalog *cat, bool completed, size_t limit, struct catalog_tasks *out,
                     struct err *err);
int sqlite_task_delete(struct catalog *cat, int64_t id, struct err *err);
int sqlite_task_prune(struct catalog *cat, int64_t before_ns, int keep_failed, int64_t *removed,
                      struct err *err);
int sqlite_job_add(struct catalog *cat, int64_t task, struct catalog_job *v, size_t n,
                   struct err *err);
int sqlite_job_claim(struct catalog *cat, const struct catalog_job_filter *f, size_t max,
                     struct catalog_jobs *out, struct err *err);
int sqlite_job_route(struct catalog *cat, const struct catalog_job *v, size_t n, struct err *err);
int sqlite_job_finish(struct catalog *cat, const struct catalog_job_end *v, size_t n,
                      unsigned flags, struct err *err);
int sqlite_job_cancel(struct catalog *cat, int64_t task, const char *code, const char *message,
                      int64_t *n, struct err *err);
int sqlite_job_list(struct catalog *cat, const struct catalog_job_filter *f, size_t limit,
                    struct catalog_jobs *out, struct err *err);
int sqlite_job_list_at(struct catalog *cat, const struct catalog_job_filter *f, size_t offset,
                       size_t limit, struct catalog_jobs *out, struct err *err);
int sqlite_job_find_open(struct catalog *cat, const struct uuid *fs, uint64_t ino, uint32_t gen,
                         int kind, struct catalog_jobs *out, struct err *err);
int sqlite_job_count(struct catalog *cat, int64_t task, struct catalog_job_counts *out,
                     struct err *err);
int sqlite_recover(struct catalog *cat, int64_t *requeued, struct err *err);
int sqlite_account_add(struct catalog *cat, struct catalog_account *a, struct err *err);
int sqlite_account_set(struct catalog *cat, const struct catalog_account *a, struct err *err);
int sqlite_account_delete(struct catalog *cat, const char *name, struct err *err);
int sqlite_account_list(struct catalog *cat, const char *name, struct catalog_accounts *out,
                        struct err *err);
int sqlite_bucket_add(struct catalog *cat, struct catalog_bucket *b, struct err *err);
int sqlite_bucket_delete(struct catalog *cat, const char *name, struct err *err);
int sqlite_bucket_list(struct catalog *cat, const char *name, const char *owner,
                       struct catalog_buckets *out, struct err *err);
int sqlite_registry_generation(struct catalog *cat, int64_t *generation, struct err *err);
int sqlite_schedule_put(struct catalog *cat, const struct catalog_schedule *s, struct err *err);
int sqlite_schedule_ran(struct catalog *cat, const char *name, int64_t when_ns, const char *result,
                        unsigned flags, struct err *err);
int sqlite_schedule_delete(struct catalog *cat, const char *name, struct err *err);
int sqlite_schedule_list(struct catalog *cat, const char *name, struct catalog_schedules *out,
                         struct err *err);

#endif
