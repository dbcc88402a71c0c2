/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bound on memory for data whose pieces differ in size: bytes lent and bytes kept for reuse stay
 * below it together. Requests are served in the order of their coming, so that a large one is not
 * overtaken for ever; a request for several blocks gets all of them or waits for all, so that those
 * who hold some never wait for each other. Large blocks are kept and lent again, since touching new
 * pages costs more than most of what is done with them. Any thread.
 */
#ifndef BASE_MEMBUDGET_H
#define BASE_MEMBUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct membudget;

/* Lent memory. data is NULL when nothing is lent. */
struct memblock {
    void *data;
    size_t size;    /* bytes as asked for */
    size_t charged; /* bytes of the budget that it takes */
};

/* A budget of bound (> 0) bytes. Never NULL. Free with membudget_free. */
struct membudget *membudget_new(uint64_t bound);

/* What a block of size bytes takes of a budget: size, or a little more. */
size_t membudget_charge(size_t size);

/* Frees b and what it keeps; every block must be back. NULL is allowed. */
void membudget_free(struct membudget *b);

/*
 * Lends n blocks of sizes[i] bytes (0: none, data stays NULL) into out. With wait the call waits
 * for its turn and for room, until *stop (may be NULL) is set and membudget_wake was called.
 * Returns 0 with all blocks lent, or with none: -EAGAIN without wait when others wait or there is
 * no room; -ECANCELED; -E2BIG when they will never fit; -ENOMEM.
 */
int membudget_get(struct membudget *b, size_t n, const size_t *sizes, struct memblock *out,
                  bool wait, const _Atomic bool *stop);

/* Gives a block back; it is empty afterwards. An empty one is allowed. */
void membudget_put(struct membudget *b, struct memblock *m);

/* Lets all that wait look at their stop flags. */
void membudget_wake(struct membudget *b);

/* Bytes lent now, bytes lent and kept at most ever, and the bound; each may be NULL. */
void membudget_usage(struct membudget *b, uint64_t *used, uint64_t *peak, uint64_t *bound);

#endif
