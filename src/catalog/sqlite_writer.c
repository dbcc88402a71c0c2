/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer thread: takes all changes that wait, puts them into one transaction, and wakes their
 * callers when it is durable. While one transaction is being synced, the next gathers.
 */
#include "base/cleanup.h"
#include "base/log.h"
#include "catalog/sqlite_impl.h"

#include <errno.h>
#include <string.h>

/* A change that nobody waits for waits itself when so many are queued: bounds memory. */
enum { MAX_QUEUED = 1024, MAX_BATCH = 256 };

static int exec(struct db *db, const char *sql, struct err *err)
{
    return db_run(db, err, sql, NULL, 0);
}

/* One change as a part of the transaction; what a failed one did is undone. */
static void run_one(struct db *db, struct change *ch)
{
    int rc = exec(db, "SAVEPOINT change", &ch->err);
    if (rc == 0) {
        rc = ch->run(db, ch->arg, &ch->err);
        if (rc != 0)
            (void)exec(db, "ROLLBACK TO change", NULL);
        (void)exec(db, "RELEASE change", NULL);
    }
    ch->rc = rc;
}

static void run_batch(struct db *db, struct change *batch)
{
    struct err err = {0};
    int rc = exec(db, "BEGIN IMMEDIATE", &err);
    if (rc == 0) {
        for (struct change *ch = batch; ch != NULL; ch = ch->next)
            run_one(db, ch);
        rc = exec(db, "COMMIT", &err);
        if (rc < 0)
            (void)exec(db, "ROLLBACK", NULL);
    }
    for (struct change *ch = batch; rc < 0 && ch != NULL; ch = ch->next) {
        ch->rc = rc;
        ch->err = err;
    }
}

/* Takes at most MAX_BATCH changes; NULL when there are none and the catalogue closes. */
static struct change *take_batch(struct sqlite_catalog *c)
{
    lock_scope(&c->lock);
    while (c->head == NULL && !c->stop)
        (void)pthread_cond_wait(&c->work, &c->lock);
    struct change *batch = c->head;
    struct change **end = &c->head;
    for (int n = 0; n < MAX_BATCH && *end != NULL; n++)
        end = &(*end)->next;
    c->head = *end;
    if (c->head == NULL)
        c->tail = &c->head;
    *end = NULL;
    return batch;
}

/* A change that nobody waits for is over. */
static void finish_later(struct sqlite_catalog *c, struct change *ch)
{
    if (ch->rc < 0) {
        log_err("a change was not stored: %s", ch->err.text);
        lock_scope(&c->lock);
        if (c->failed == 0) {
            c->failed = ch->rc;
            c->failure = ch->err;
        }
    }
    catalog_mem_free(ch->mem);
}

static void finish_batch(struct sqlite_catalog *c, struct change *batch)
{
    size_t n = 0;
    for (struct change *ch = batch, *next = NULL; ch != NULL; ch = next, n++) {
        next = ch->next;
        if (ch->nowait)
            finish_later(c, ch);
        else
            gate_open(&ch->done); /* its caller's from here on */
    }
    lock_scope(&c->lock);
    c->waiting -= n;
    (void)pthread_cond_broadcast(&c->ended);
}

static void *writer(void *arg)
{
    struct sqlite_catalog *c = arg;
    struct change *batch;
    while ((batch = take_batch(c)) != NULL) {
        run_batch(&c->writer, batch);
        finish_batch(c, batch);
    }
    return NULL;
}

int sqlite_writer_start(struct sqlite_catalog *c, struct err *err)
{
    c->tail = &c->head;
    int rc = pthread_create(&c->thread, NULL, writer, c);
    if (rc != 0)
        return err_sys(err, rc, "start the catalogue's writer");
    c->started = true;
    return 0;
}

void sqlite_writer_stop(struct sqlite_catalog *c)
{
    if (!c->started)
        return;
    {
        lock_scope(&c->lock);
        c->stop = true;
        (void)pthread_cond_signal(&c->work);
    }
    (void)pthread_join(c->thread, NULL);
    c->started = false;
}

static void append(struct sqlite_catalog *c, struct change *ch)
{
    *c->tail = ch;
    c->tail = &ch->next;
    c->waiting++;
    (void)pthread_cond_signal(&c->work);
}

int sqlite_write(struct catalog *cat, int (*run)(struct db *db, void *arg, struct err *err),
                 void *arg, struct err *err)
{
    struct sqlite_catalog *c = sqlite_of(cat);
    struct change ch = {.run = run, .arg = arg};
    gate_init(&ch.done);
    {
        lock_scope(&c->lock);
        append(c, &ch);
    }
    gate_wait(&ch.done);
    gate_fini(&ch.done);
    if (ch.rc < 0 && err != NULL)
        *err = ch.err;
    return ch.rc;
}

int sqlite_write_later(struct catalog *cat, int (*run)(struct db *db, void *arg, struct err *err),
                       void *arg, struct catalog_mem *mem)
{
    struct sqlite_catalog *c = sqlite_of(cat);
    struct change *ch = catalog_mem_alloc(&mem, sizeof(*ch));
    ch->run = run;
    ch->arg = arg;
    ch->nowait = true;
    ch->mem = mem;
    lock_scope(&c->lock);
    while (c->waiting >= MAX_QUEUED)
        (void)pthread_cond_wait(&c->ended, &c->lock);
    append(c, ch);
    return 0;
}

static int nothing(struct db *db, void *arg, struct err *err)
{
    (void)db, (void)arg, (void)err;
    return 0;
}

int sqlite_flush(struct catalog *cat, struct err *err)
{
    int rc = sqlite_write(cat, nothing, NULL, err);
    if (rc < 0)
        return rc;
    struct sqlite_catalog *c = sqlite_of(cat);
    lock_scope(&c->lock);
    rc = c->failed;
    c->failed = 0;
    if (rc < 0 && err != NULL)
        *err = c->failure;
    return rc;
}

struct db *sqlite_read_begin(struct catalog *cat)
{
    struct sqlite_catalog *c = sqlite_of(cat);
    lock_scope(&c->lock);
    while (c->nidle == 0)
        (void)pthread_cond_wait(&c->reader_back, &c->lock);
    return c->idle[--c->nidle];
}

void sqlite_read_end(struct catalog *cat, struct db *db)
{
    struct sqlite_catalog *c = sqlite_of(cat);
    /* An unfinished statement would keep its view of the data, and the WAL growing. */
    for (sqlite3_stmt *st = NULL; (st = sqlite3_next_stmt(db->h, st)) != NULL;) {
        if (sqlite3_stmt_busy(st))
            (void)sqlite3_reset(st);
    }
    lock_scope(&c->lock);
    c->idle[c->nidle++] = db;
    (void)pthread_cond_signal(&c->reader_back);
}
