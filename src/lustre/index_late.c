/* SPDX-License-Identifier: Apache-2.0 */
#include "lustre/index_late.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    ENOUGH = 128,      /* rows that are worth a transaction at once */
    LINGER_MS = 20,    /* others may come for so long after the first */
    AGAIN_MS = 1000,   /* after a failure */
    WAITING_MAX = 1024 /* bounds memory; who comes then waits */
};

struct row {
    struct index_copy copy; /* its strings are owned */
    index_done_fn *done;
    void *arg;
};

struct late {
    late_write_fn *write;
    void *ctx;
    pthread_mutex_t lock; /* guards what follows; not held while rows are written */
    pthread_cond_t work;  /* for the writer */
    pthread_cond_t moved; /* rows were written, or could not be */
    struct row *rows;     /* in the order of arrival */
    size_t n, cap;
    bool busy;  /* rows are being written, or their owners told */
    bool hurry; /* somebody waits */
    bool stop;
    bool started;
    int failed; /* a negative code: of the last write */
    struct err failure;
    pthread_t thread;
};

static void row_fini(struct row *r)
{
    free((char *)(uintptr_t)r->copy.kind);
    free((char *)(uintptr_t)r->copy.key);
    free((char *)(uintptr_t)r->copy.path);
}

/* Sleeps until ms have passed, or what stops that: a hurry, an end, and enough rows (0: any
 * number). */
static void linger_locked(struct late *l, unsigned ms, size_t enough)
{
    struct timespec until;
    int64_t ns = time_mono_ns() + (int64_t)ms * 1000000;
    until.tv_sec = ns / NS_PER_SEC;
    until.tv_nsec = ns % NS_PER_SEC;
    int rc = 0;
    while (rc == 0 && !l->stop && !l->hurry && (enough == 0 || l->n < enough))
        rc = pthread_cond_timedwait(&l->work, &l->lock, &until);
}

/* Tells the owners of the first n rows, without the lock, and takes them out. */
static void settle_locked(struct late *l, size_t n, bool written)
{
    auto_free struct row *rows = xrealloc_array(NULL, n + 1, sizeof(*rows));
    memcpy(rows, l->rows, n * sizeof(*rows));
    l->busy = true;
    (void)pthread_mutex_unlock(&l->lock);
    for (size_t i = 0; i < n; i++) {
        rows[i].done(rows[i].arg, written);
        row_fini(&rows[i]);
    }
    (void)pthread_mutex_lock(&l->lock);
    l->busy = false;
    l->n -= n;
    memmove(l->rows, l->rows + n, l->n * sizeof(*rows));
    (void)pthread_cond_broadcast(&l->moved);
}

/* Writes what waits now. Whether that succeeded. */
static bool write_locked(struct late *l)
{
    struct err err = {0};
    size_t n = l->n;
    auto_free struct index_copy *v = xrealloc_array(NULL, n + 1, sizeof(*v));
    for (size_t i = 0; i < n; i++)
        v[i] = l->rows[i].copy;
    l->hurry = false;
    l->busy = true;
    (void)pthread_mutex_unlock(&l->lock);
    int rc = l->write(l->ctx, v, n, &err);
    (void)pthread_mutex_lock(&l->lock);
    l->busy = false;
    if (rc < 0 && l->failed == 0)
        log_err("%zu copies are not entered yet, that is tried again: %s", n, err.text);
    l->failed = rc < 0 ? rc : 0;
    l->failure = err;
    if (rc < 0)
        (void)pthread_cond_broadcast(&l->moved);
    else
        settle_locked(l, n, true);
    return rc >= 0;
}

static void *writer(void *arg)
{
    struct late *l = arg;
    lock_scope(&l->lock);
    for (;;) {
        while (l->n == 0 && !l->stop)
            (void)pthread_cond_wait(&l->work, &l->lock);
        if (l->stop)
            return NULL;
        linger_locked(l, LINGER_MS, ENOUGH);
        if (l->n > 0 && !write_locked(l)) {
            l->hurry = false; /* those who waited know of the failure */
            linger_locked(l, AGAIN_MS, 0);
        }
    }
}

struct late *late_new(late_write_fn *write, void *ctx)
{
    struct late *l = xzalloc(sizeof(*l));
    pthread_condattr_t attr;
    l->write = write;
    l->ctx = ctx;
    (void)pthread_mutex_init(&l->lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&l->work, &attr);
    (void)pthread_condattr_destroy(&attr);
    (void)pthread_cond_init(&l->moved, NULL);
    return l;
}

int late_end(struct late *l, struct err *err)
{
    int rc = 0;
    lock_scope(&l->lock);
    l->failed = 0;
    while (l->n > 0 || l->busy) {
        if (l->failed < 0 && !l->busy) {
            rc = l->failed;
            *err = l->failure;
            settle_locked(l, l->n, false);
        } else if (!l->started) {
            (void)write_locked(l);
        } else {
            l->hurry = true;
            (void)pthread_cond_signal(&l->work);
            (void)pthread_cond_wait(&l->moved, &l->lock);
        }
    }
    return rc;
}

void late_free(struct late *l)
{
    struct err err;
    if (l == NULL)
        return;
    (void)late_end(l, &err);
    {
        lock_scope(&l->lock);
        l->stop = true;
        (void)pthread_cond_signal(&l->work);
    }
    if (l->started)
        (void)pthread_join(l->thread, NULL);
    (void)pthread_mutex_destroy(&l->lock);
    (void)pthread_cond_destroy(&l->work);
    (void)pthread_cond_destroy(&l->moved);
    free(l->rows);
    free(l);
}

/* The thread is made when there is something for it: tasks of administrators have nothing. */
static void start_locked(struct late *l)
{
    if (l->started)
        return;
    l->started = pthread_create(&l->thread, NULL, writer, l) == 0;
    if (!l->started)
        (void)write_locked(l); /* failing that too, the next one tries */
}

void late_put(struct late *l, const struct index_copy *v, index_done_fn *done, void *arg)
{
    struct row r = {.copy = *v, .done = done, .arg = arg};
    r.copy.kind = xstrdup(v->kind);
    r.copy.key = xstrdup(v->key);
    r.copy.path = xstrdup(v->path);
    lock_scope(&l->lock);
    while (l->n >= WAITING_MAX && l->failed == 0)
        (void)pthread_cond_wait(&l->moved, &l->lock);
    if (l->n == l->cap) {
        l->cap = l->cap * 2 + ENOUGH;
        l->rows = xrealloc_array(l->rows, l->cap, sizeof(*l->rows));
    }
    l->rows[l->n++] = r;
    if (l->n == 1 || l->n == ENOUGH)
        (void)pthread_cond_signal(&l->work);
    start_locked(l);
}

int late_check(struct late *l, struct err *err)
{
    lock_scope(&l->lock);
    if (l->failed < 0 && err != NULL)
        *err = l->failure;
    return l->failed;
}

static bool waits_locked(const struct late *l, const struct lu_fid *fid, const struct uuid *id)
{
    for (size_t i = 0; i < l->n; i++) {
        const struct index_copy *c = &l->rows[i].copy;
        if ((fid == NULL || memcmp(&c->fid, fid, sizeof(*fid)) == 0) &&
            (id == NULL || memcmp(&c->id, id, sizeof(*id)) == 0))
            return true;
    }
    return false;
}

int late_await(struct late *l, const struct lu_fid *fid, const struct uuid *id, struct err *err)
{
    lock_scope(&l->lock);
    while (waits_locked(l, fid, id)) {
        if (l->failed < 0) {
            if (err != NULL)
                *err = l->failure;
            return l->failed;
        }
        l->hurry = true;
        (void)pthread_cond_signal(&l->work);
        (void)pthread_cond_wait(&l->moved, &l->lock);
    }
    return 0;
}
