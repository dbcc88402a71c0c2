/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded first-in first-out queue of pointers between threads. Any thread may push and pop.
 */
#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

#include <stddef.h>

struct queue;

/* A new queue of at most cap (> 0) items. Never NULL; free with queue_free. */
struct queue *queue_new(size_t cap);

/* Frees q; items still in it are not freed. No thread may be inside. NULL is allowed. */
void queue_free(struct queue *q);

/* Appends item (not NULL), waiting while q is full. Returns 0, or -EPIPE when q is closed (the
 * caller keeps the item). */
int queue_push(struct queue *q, void *item);

/* As queue_push without waiting: -EAGAIN when q is full. */
int queue_try_push(struct queue *q, void *item);

/* Takes the oldest item, waiting while q is empty. NULL when q is closed and empty. */
void *queue_pop(struct queue *q);

/* As queue_pop without waiting: NULL also when q is empty. */
void *queue_try_pop(struct queue *q);

/* Closes q: pushes fail, pops drain what is there and then return NULL. */
void queue_close(struct queue *q);

/* The number of items in q now. */
size_t queue_len(struct queue *q);

#endif
