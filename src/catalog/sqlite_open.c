/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, checking and closing a catalogue of kind sqlite. */
#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "catalog/sqlite_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Beyond this size opening checks the structure only. */
#define CHECK_WHOLE_BYTES (512LL << 20)

static void sqlite_close(struct catalog *cat);

const struct catalog_ops sqlite_ops = {
    .close = sqlite_close,
    .flush = sqlite_flush,
    .check = sqlite_check,
    .attr_get = sqlite_attr_get,
    .attr_set = sqlite_attr_set,
    .attr_list = sqlite_attr_list,
    .sequence_next = sqlite_sequence_next,
    .pool_add = sqlite_pool_add,
    .pool_delete = sqlite_pool_delete,
    .pool_get = sqlite_pool_get,
    .pool_list = sqlite_pool_list,
    .volume_put = sqlite_volume_put,
    .volume_delete = sqlite_volume_delete,
    .volume_get = sqlite_volume_get,
    .volume_by_id = sqlite_volume_by_id,
    .volume_list = sqlite_volume_list,
    .drive_put = sqlite_drive_put,
    .drive_delete = sqlite_drive_delete,
    .drive_list = sqlite_drive_list,
    .archive_add = sqlite_archive_add,
    .archive_get = sqlite_archive_get,
    .archive_of_file = sqlite_archive_of_file,
    .archive_page = sqlite_archive_page,
    .archive_delete = sqlite_archive_delete,
    .copy_of = sqlite_copy_of,
    .copy_page = sqlite_copy_page,
    .copy_set_state = sqlite_copy_set_state,
    .copy_set_state_volume = sqlite_copy_set_state_volume,
    .copy_sum = sqlite_copy_sum,
    .copy_only_on = sqlite_copy_only_on,
    .task_add = sqlite_task_add,
    .task_set = sqlite_task_set,
    .task_get = sqlite_task_get,
    .task_list = sqlite_task_list,
    .task_delete = sqlite_task_delete,
    .task_prune = sqlite_task_prune,
    .job_add = sqlite_job_add,
    .job_claim = sqlite_job_claim,
    .job_route = sqlite_job_route,
    .job_finish = sqlite_job_finish,
    .job_cancel = sqlite_job_cancel,
    .job_list = sqlite_job_list,
    .job_list_at = sqlite_job_list_at,
    .job_find_open = sqlite_job_find_open,
    .job_count = sqlite_job_count,
    .recover = sqlite_recover,
    .account_add = sqlite_account_add,
    .account_set = sqlite_account_set,
    .account_delete = sqlite_account_delete,
    .account_list = sqlite_account_list,
    .bucket_add = sqlite_bucket_add,
    .bucket_delete = sqlite_bucket_delete,
    .bucket_list = sqlite_bucket_list,
    .registry_generation = sqlite_registry_generation,
    .schedule_put = sqlite_schedule_put,
    .schedule_ran = sqlite_schedule_ran,
    .schedule_delete = sqlite_schedule_delete,
    .schedule_list = sqlite_schedule_list,
};

/* Runs a check pragma; its one row "ok" or the first problem. */
static int run_check(struct db *db, const char *sql, struct err *err)
{
    sqlite3_stmt *st;
    int rc = db_query(db, &st, err, sql, NULL, 0);
    if (rc == 0)
        rc = db_next(db, st, err);
    if (rc < 0)
        return rc;
    const char *text = rc == 1 ? (const char *)sqlite3_column_text(st, 0) : NULL;
    if (text == NULL || strcmp(text, "ok") != 0)
        rc = err_set(err, -EBADMSG,
                     "catalogue %s is damaged (%s); move it away and run `firn rebuild`", db->path,
                     text != NULL ? text : "no answer");
    else
        rc = 0;
    (void)sqlite3_reset(st);
    return rc;
}

int sqlite_check(struct catalog *cat, struct err *err)
{
    READ_SCOPE(cat, db);
    int rc = run_check(db, "PRAGMA integrity_check(1)", err);
    int64_t n = 0;
    if (rc == 0)
        rc = db_int(db, &n, err,
                    "SELECT count(*) FROM copies c WHERE NOT EXISTS"
                    " (SELECT 1 FROM archives a WHERE a.n = c.archive)",
                    NULL, 0);
    if (rc == 0 && n > 0)
        rc = err_set(err, -EBADMSG,
                     "catalogue %s: %lld copies belong to no archive; run `firn rebuild`", db->path,
                     (long long)n);
    return rc;
}

static int check_at_open(struct db *db, struct err *err)
{
    struct stat st;
    bool whole = stat(db->path, &st) == 0 && st.st_size <= CHECK_WHOLE_BYTES;
    if (whole)
        return run_check(db, "PRAGMA quick_check(1)", err);
    int64_t n;
    return db_int(db, &n, err, "SELECT count(*) FROM sqlite_master", NULL, 0);
}

static int take_lock(struct sqlite_catalog *c, const char *dir, struct err *err)
{
    auto_free char *path = xasprintf("%s/catalog.lock", dir);
    c->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (c->lock_fd < 0)
        return err_sys(err, errno, "open %s", path);
    if (flock(c->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return err_set(err, errno == EWOULDBLOCK ? -EBUSY : -errno,
                       "catalogue %s is in use by another process", c->path);
    return 0;
}

static int open_all(struct sqlite_catalog *c, const char *dir, struct err *err)
{
    int rc = io_mkdirs(dir, 0700, err);
    if (rc == 0)
        rc = take_lock(c, dir, err);
    if (rc < 0)
        return rc;
    /* It holds secret keys. */
    int fd = open(c->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_sys(err, errno, "open %s", c->path);
    (void)close(fd);
    rc = db_open(&c->writer, c->path, false, err);
    if (rc == 0)
        rc = check_at_open(&c->writer, err);
    if (rc == 0)
        rc = sqlite_schema_upgrade(&c->writer, err);
    for (int i = 0; rc == 0 && i < DB_READERS; i++) {
        rc = db_open(&c->readers[i], c->path, true, err);
        c->idle[c->nidle++] = &c->readers[i];
    }
    return rc == 0 ? sqlite_writer_start(c, err) : rc;
}

/* What one change must undo is kept in memory up to this: a change of some hundred jobs touches
 * more pages than the default of 64 KiB holds, and each went to a temporary file, in two writes. */
#define UNDO_BYTES (16 << 20)

/* Nobody asks how much memory SQLite has; counting it would cost a lock at each allocation. */
static void configure(void)
{
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    (void)sqlite3_config(SQLITE_CONFIG_STMTJRNL_SPILL, UNDO_BYTES);
}

int sqlite_catalog_open(const char *dir, struct catalog **out, struct err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, configure);
    struct sqlite_catalog *c = xzalloc(sizeof(*c));
    c->base.ops = &sqlite_ops;
    c->path = xasprintf("%s/catalog.db", dir);
    c->lock_fd = -1;
    (void)pthread_mutex_init(&c->lock, NULL);
    (void)pthread_cond_init(&c->work, NULL);
    (void)pthread_cond_init(&c->ended, NULL);
    (void)pthread_cond_init(&c->reader_back, NULL);
    int rc = open_all(c, dir, err);
    if (rc < 0) {
        sqlite_close(&c->base);
        return rc;
    }
    *out = &c->base;
    return 0;
}

static void sqlite_close(struct catalog *cat)
{
    struct sqlite_catalog *c = sqlite_of(cat);
    sqlite_writer_stop(c);
    for (int i = 0; i < DB_READERS; i++)
        db_close(&c->readers[i]);
    db_close(&c->writer);
    if (c->lock_fd >= 0)
        (void)close(c->lock_fd);
    (void)pthread_cond_destroy(&c->reader_back);
    (void)pthread_cond_destroy(&c->ended);
    (void)pthread_cond_destroy(&c->work);
    (void)pthread_mutex_destroy(&c->lock);
    free(c->path);
    free(c);
}
