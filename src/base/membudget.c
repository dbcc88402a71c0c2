/* SPDX-License-Identifier: Apache-2.0 */
#include "base/membudget.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#define LARGE (1UL << 20)  /* from here on blocks are mapped, and kept */
#define GRAIN (64UL << 10) /* and rounded up to this */

struct waiter {
    struct waiter *next;
};

struct kept {
    struct kept *next;
    size_t size;
};

struct membudget {
    pthread_mutex_t lock;
    pthread_cond_t turn;
    uint64_t bound, used, held, peak; /* held: kept for reuse */
    struct waiter *first, *last;      /* in the order of their coming */
    struct kept *kept;                /* most recently used first; the list lives in the blocks */
};

struct membudget *membudget_new(uint64_t bound)
{
    struct membudget *b = xzalloc(sizeof(*b));
    (void)pthread_mutex_init(&b->lock, NULL);
    (void)pthread_cond_init(&b->turn, NULL);
    b->bound = bound;
    return b;
}

static void drop_kept(struct membudget *b)
{
    struct kept *k = b->kept;
    size_t size = k->size;
    b->kept = k->next;
    b->held -= size;
    (void)munmap(k, size);
}

void membudget_free(struct membudget *b)
{
    if (b == NULL)
        return;
    assert(b->used == 0);
    while (b->kept != NULL)
        drop_kept(b);
    (void)pthread_cond_destroy(&b->turn);
    (void)pthread_mutex_destroy(&b->lock);
    free(b);
}

size_t membudget_charge(size_t size)
{
    return size < LARGE ? size : (size + GRAIN - 1) / GRAIN * GRAIN;
}

/* A kept block of at least size bytes and not much more, or NULL. */
static struct kept *take_kept(struct membudget *b, size_t size)
{
    for (struct kept **at = &b->kept; *at != NULL; at = &(*at)->next) {
        struct kept *k = *at;
        if (k->size >= size && k->size - size <= size / 8) {
            *at = k->next;
            b->held -= k->size;
            return k;
        }
    }
    return NULL;
}

/* Memory for charged bytes, a kept block if one is near; later: what the same request wants after
 * it. Sets *charged to what it takes. */
static void *large_block(struct membudget *b, uint64_t later, size_t *charged)
{
    struct kept *k = take_kept(b, *charged);
    if (k != NULL && b->used + k->size + later > b->bound) {
        (void)munmap(k, k->size); /* the little that it is larger does not fit */
        k = NULL;
    }
    while (b->kept != NULL && b->used + b->held + (k != NULL ? k->size : *charged) > b->bound)
        drop_kept(b);
    if (k != NULL) {
        *charged = k->size;
        return k;
    }
    void *p = mmap(NULL, *charged, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    (void)madvise(p, *charged, MADV_HUGEPAGE);
    return p;
}

static void *small_block(struct membudget *b, size_t size)
{
    while (b->kept != NULL && b->used + b->held + size > b->bound)
        drop_kept(b);
    return malloc(size);
}

static int lend(struct membudget *b, size_t size, uint64_t later, struct memblock *m)
{
    size_t charged = membudget_charge(size);
    if (size == 0)
        return 0;
    m->data = size < LARGE ? small_block(b, size) : large_block(b, later, &charged);
    if (m->data == NULL)
        return -ENOMEM;
    m->size = size;
    m->charged = charged;
    b->used += charged;
    if (b->used + b->held > b->peak)
        b->peak = b->used + b->held;
    return 0;
}

static void give_back_locked(struct membudget *b, struct memblock *m)
{
    if (m->data == NULL)
        return;
    b->used -= m->charged;
    if (m->charged < LARGE) {
        free(m->data);
    } else {
        struct kept *k = m->data;
        *k = (struct kept){b->kept, m->charged};
        b->kept = k;
        b->held += m->charged;
    }
    *m = (struct memblock){0};
}

static int lend_all(struct membudget *b, size_t n, const size_t *sizes, uint64_t total,
                    struct memblock *out)
{
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        total -= membudget_charge(sizes[i]);
        rc = lend(b, sizes[i], total, &out[i]);
    }
    for (size_t i = 0; i < n && rc != 0; i++)
        give_back_locked(b, &out[i]);
    return rc;
}

static void leave(struct membudget *b, const struct waiter *me)
{
    struct waiter *before = NULL;
    for (struct waiter **at = &b->first; *at != NULL; at = &(*at)->next) {
        if (*at == me) {
            *at = me->next;
            break;
        }
        before = *at;
    }
    if (b->last == me)
        b->last = before;
    (void)pthread_cond_broadcast(&b->turn);
}

/* Waits until all who came before are served and there is room. Returns whether *stop was set. */
static bool await_turn(struct membudget *b, uint64_t total, const _Atomic bool *stop)
{
    struct waiter *me = xzalloc(sizeof(*me));
    bool stopped = false;
    if (b->last != NULL)
        b->last->next = me;
    else
        b->first = me;
    b->last = me;
    for (;;) {
        stopped = stop != NULL && *stop;
        if (stopped || (b->first == me && b->used + total <= b->bound))
            break;
        (void)pthread_cond_wait(&b->turn, &b->lock);
    }
    leave(b, me);
    free(me);
    return stopped;
}

int membudget_get(struct membudget *b, size_t n, const size_t *sizes, struct memblock *out,
                  bool wait, const _Atomic bool *stop)
{
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++) {
        total += membudget_charge(sizes[i]);
        out[i] = (struct memblock){0};
    }
    if (total > b->bound)
        return -E2BIG;
    lock_scope(&b->lock);
    bool busy = b->first != NULL || b->used + total > b->bound;
    if (busy && !wait)
        return -EAGAIN;
    if (busy && await_turn(b, total, stop))
        return -ECANCELED;
    return lend_all(b, n, sizes, total, out);
}

void membudget_put(struct membudget *b, struct memblock *m)
{
    if (m->data == NULL)
        return;
    lock_scope(&b->lock);
    give_back_locked(b, m);
    (void)pthread_cond_broadcast(&b->turn);
}

void membudget_wake(struct membudget *b)
{
    lock_scope(&b->lock);
    (void)pthread_cond_broadcast(&b->turn);
}

void membudget_usage(struct membudget *b, uint64_t *used, uint64_t *peak, uint64_t *bound)
{
    lock_scope(&b->lock);
    if (used != NULL)
        *used = b->used;
    if (peak != NULL)
        *peak = b->peak;
    if (bound != NULL)
        *bound = b->bound;
}
