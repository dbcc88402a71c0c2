/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gate: one thread waits until another opens it, once. Where each of many waits for something of
 * its own, a gate each wakes only the one that is meant, and not into a lock that its waker still
 * holds. Header only; any thread.
 */
#ifndef BASE_GATE_H
#define BASE_GATE_H

#include <semaphore.h>

struct gate {
    sem_t sem;
};

/* Makes *g, closed. */
static inline void gate_init(struct gate *g)
{
    (void)sem_init(&g->sem, 0, 0);
}

/* Opens *g, and touches it no more once its waiter can go on. */
static inline void gate_open(struct gate *g)
{
    (void)sem_post(&g->sem);
}

/* Waits until *g was opened; the caller may then forget it, and by that closes it again. */
static inline void gate_wait(struct gate *g)
{
    while (sem_wait(&g->sem) != 0)
        ; /* a signal */
}

/* Frees *g, which nobody waits for and nobody will open. */
static inline void gate_fini(struct gate *g)
{
    (void)sem_destroy(&g->sem);
}

#endif
