/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading ahead: a thread reads a range of a file and shows each piece to the digests while the
 * caller still writes the piece before, so that the two halves of a copy run on two processors. Its
 * memory is three buffers of the mover's pool. Used by copy.c for large ranges; one caller a
 * reader.
 */
#ifndef ENGINE_AHEAD_H
#define ENGINE_AHEAD_H

#include "base/bufpool.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct ahead;

/*
 * Starts to read bytes off to end of fd (borrowed; not used otherwise until ahead_end). see(ctx, p,
 * n) is called for each piece in order, on the reading thread. Returns NULL when pool has no three
 * free buffers or no thread can be had: the caller then reads by itself.
 */
struct ahead *ahead_start(int fd, uint64_t off, uint64_t end, struct bufpool *pool,
                          void (*see)(void *ctx, const void *p, size_t n), void *ctx);

/*
 * The next piece: *n bytes at *p, valid until the next call. *n is 0 at the end of the range.
 * Returns 0, -ESTALE when the file is shorter than the range, or another negative code with err
 * set.
 */
int ahead_next(struct ahead *a, const void **p, size_t *n, struct err *err);

/* Stops the thread, gives the buffers back, frees a; what see did is then visible to the caller.
 * NULL is allowed. */
void ahead_end(struct ahead *a);

#endif
