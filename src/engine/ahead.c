/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/ahead.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

enum { PIECES = 3 }; /* one read, one waiting, one written */

struct piece {
    void *buf;
    ssize_t n; /* bytes, or a negated errno value */
};

struct ahead {
    int fd;
    uint64_t off, end; /* the thread's */
    uint64_t left;     /* the caller's: bytes not handed over */
    struct bufpool *pool;
    void (*see)(void *ctx, const void *p, size_t n);
    void *ctx;
    pthread_t thread;
    struct piece pieces[PIECES];
    struct piece *lent; /* at the caller */
    struct queue *empty;
    struct queue *full;
};

static void *read_all(void *arg)
{
    struct ahead *a = arg;
    while (a->off < a->end) {
        struct piece *p = queue_pop(a->empty);
        if (p == NULL)
            return NULL;
        size_t size = bufpool_size(a->pool);
        size_t want = a->end - a->off < size ? (size_t)(a->end - a->off) : size;
        p->n = io_pread_full(a->fd, p->buf, want, (off_t)a->off);
        if (p->n >= 0 && (size_t)p->n < want)
            p->n = -ESTALE;
        bool bad = p->n < 0;
        if (!bad)
            a->see(a->ctx, p->buf, want);
        a->off += want;
        if (queue_push(a->full, p) < 0 || bad)
            return NULL;
    }
    return NULL;
}

static void free_parts(struct ahead *a)
{
    for (int i = 0; i < PIECES; i++)
        bufpool_put(a->pool, a->pieces[i].buf);
    queue_free(a->empty);
    queue_free(a->full);
    free(a);
}

struct ahead *ahead_start(int fd, uint64_t off, uint64_t end, struct bufpool *pool,
                          void (*see)(void *ctx, const void *p, size_t n), void *ctx)
{
    struct ahead *a = xzalloc(sizeof(*a));
    *a = (struct ahead){
        .fd = fd, .off = off, .end = end, .left = end - off, .pool = pool, .see = see, .ctx = ctx};
    a->empty = queue_new(PIECES);
    a->full = queue_new(PIECES);
    bool ready = true;
    for (int i = 0; i < PIECES; i++) {
        a->pieces[i].buf = bufpool_try_get(pool);
        ready = ready && a->pieces[i].buf != NULL;
        (void)queue_push(a->empty, &a->pieces[i]);
    }
    if (!ready || pthread_create(&a->thread, NULL, read_all, a) != 0) {
        free_parts(a);
        return NULL;
    }
    return a;
}

int ahead_next(struct ahead *a, const void **p, size_t *n, struct err *err)
{
    *n = 0;
    if (a->lent != NULL)
        (void)queue_push(a->empty, a->lent);
    a->lent = NULL;
    if (a->left == 0)
        return 0;
    struct piece *got = queue_pop(a->full);
    if (got == NULL)
        return err_set(err, -EIO, "the reading thread is gone");
    if (got->n == -ESTALE)
        return -ESTALE;
    if (got->n < 0)
        return err_sys(err, (int)-got->n, "reading at byte %llu",
                       (unsigned long long)(a->end - a->left));
    a->lent = got;
    a->left -= (uint64_t)got->n;
    *p = got->buf;
    *n = (size_t)got->n;
    return 0;
}

void ahead_end(struct ahead *a)
{
    if (a == NULL)
        return;
    queue_close(a->empty);
    queue_close(a->full);
    (void)pthread_join(a->thread, NULL);
    free_parts(a);
}
