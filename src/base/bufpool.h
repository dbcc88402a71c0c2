/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fixed pool of equal buffers, page-aligned: the bound on memory for data. Any thread.
 */
#ifndef BASE_BUFPOOL_H
#define BASE_BUFPOOL_H

#include <stddef.h>

struct bufpool;

/* A pool of count buffers of size bytes each; the memory is reserved now and touched on first use.
 * NULL with errno set when it cannot be had. Free with bufpool_free. */
struct bufpool *bufpool_new(size_t count, size_t size);

/* Frees the pool; every buffer must be back. NULL is allowed. */
void bufpool_free(struct bufpool *p);

/* A buffer of bufpool_size() bytes, waiting until one is free. Give it back with bufpool_put. */
void *bufpool_get(struct bufpool *p);

/* As bufpool_get without waiting: NULL means busy. */
void *bufpool_try_get(struct bufpool *p);

/* Gives buffer b back. NULL is allowed. */
void bufpool_put(struct bufpool *p, void *b);

/* Bytes in each buffer. */
size_t bufpool_size(const struct bufpool *p);

#endif
