/* SPDX-License-Identifier: Apache-2.0 */
#include "base/queue.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t not_empty;
    pthread_cond_t not_full;
    void **items; /* ring of cap pointers */
    size_t cap;
    size_t head;
    size_t len;
    bool closed;
};

struct queue *queue_new(size_t cap)
{
    struct queue *q = xzalloc(sizeof(*q));
    (void)pthread_mutex_init(&q->lock, NULL);
    (void)pthread_cond_init(&q->not_empty, NULL);
    (void)pthread_cond_init(&q->not_full, NULL);
    q->items = xrealloc_array(NULL, cap, sizeof(void *));
    q->cap = cap;
    return q;
}

void queue_free(struct queue *q)
{
    if (q == NULL)
        return;
    (void)pthread_mutex_destroy(&q->lock);
    (void)pthread_cond_destroy(&q->not_empty);
    (void)pthread_cond_destroy(&q->not_full);
    free(q->items);
    free(q);
}

static int append_locked(struct queue *q, void *item)
{
    if (q->closed)
        return -EPIPE;
    q->items[(q->head + q->len) % q->cap] = item;
    q->len++;
    (void)pthread_cond_signal(&q->not_empty);
    return 0;
}

int queue_push(struct queue *q, void *item)
{
    lock_scope(&q->lock);
    while (q->len == q->cap && !q->closed)
        (void)pthread_cond_wait(&q->not_full, &q->lock);
    return append_locked(q, item);
}

int queue_try_push(struct queue *q, void *item)
{
    lock_scope(&q->lock);
    if (q->len == q->cap && !q->closed)
        return -EAGAIN;
    return append_locked(q, item);
}

static void *take_locked(struct queue *q)
{
    if (q->len == 0)
        return NULL;
    void *item = q->items[q->head];
    q->head = (q->head + 1) % q->cap;
    q->len--;
    (void)pthread_cond_signal(&q->not_full);
    return item;
}

void *queue_pop(struct queue *q)
{
    lock_scope(&q->lock);
    while (q->len == 0 && !q->closed)
        (void)pthread_cond_wait(&q->not_empty, &q->lock);
    return take_locked(q);
}

void *queue_try_pop(struct queue *q)
{
    lock_scope(&q->lock);
    return take_locked(q);
}

void queue_close(struct queue *q)
{
    lock_scope(&q->lock);
    q->closed = true;
    (void)pthread_cond_broadcast(&q->not_empty);
    (void)pthread_cond_broadcast(&q->not_full);
}

size_t queue_len(struct queue *q)
{
    lock_scope(&q->lock);
    return q->len;
}
