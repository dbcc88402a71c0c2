/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small bookkeeping allocations that abort when memory is gone (a daemon cannot go on without a few
 * bytes, and the queue is durable). Large buffers come from base/bufpool.h instead. Any thread.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

/* n bytes, zeroed; the caller frees. Aborts when out of memory. Never NULL. */
void *xzalloc(size_t n) __attribute__((returns_nonnull));

/* An array of n elements of size bytes each, old contents kept, new part not zeroed; p may be NULL.
 * The caller frees. Aborts on overflow or when out of memory. */
void *xrealloc_array(void *p, size_t n, size_t size) __attribute__((returns_nonnull));

/* A copy of s (NULL gives NULL); the caller frees. Aborts when out of memory. */
char *xstrdup(const char *s);

/* A copy of the first n bytes of s (or fewer if s ends before), NUL-terminated; the caller frees.
 */
char *xstrndup(const char *s, size_t n) __attribute__((returns_nonnull));

/* A new string in printf form; the caller frees. Aborts when out of memory. */
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

#endif
