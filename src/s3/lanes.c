/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/lanes.h"

#include "base/cleanup.h"

void lanes_init(struct lanes *l, size_t width)
{
    *l = (struct lanes){.base = width, .width = width};
    (void)pthread_mutex_init(&l->lock, NULL);
    (void)pthread_cond_init(&l->freed, NULL);
}

void lanes_fini(struct lanes *l)
{
    (void)pthread_mutex_destroy(&l->lock);
    (void)pthread_cond_destroy(&l->freed);
}

/* Whether a parked worker is to come: a lane is free and nobody waits for the next event, nor is on
 * the way there. */
static bool call_one_locked(struct lanes *l)
{
    if (l->parked == 0 || l->called || l->taken >= l->width ||
        __atomic_load_n(&l->idle, __ATOMIC_RELAXED) > 0)
        return false;
    l->called = true;
    return true;
}

/* The signal comes after the lock: whoever it wakes needs the lock first. */
static void call_one(struct lanes *l, size_t leaving)
{
    bool call = false;
    {
        lock_scope(&l->lock);
        (void)__atomic_sub_fetch(&l->taken, leaving, __ATOMIC_RELAXED);
        call = call_one_locked(l);
    }
    if (call)
        (void)pthread_cond_signal(&l->freed);
}

void lanes_enter(struct lanes *l)
{
    lock_scope(&l->lock);
    while (!l->open && l->taken >= l->width) {
        (void)__atomic_add_fetch(&l->parked, 1, __ATOMIC_RELAXED);
        (void)pthread_cond_wait(&l->freed, &l->lock);
        (void)__atomic_sub_fetch(&l->parked, 1, __ATOMIC_RELAXED);
        l->called = false;
    }
    (void)__atomic_add_fetch(&l->taken, 1, __ATOMIC_RELAXED);
}

void lanes_leave(struct lanes *l)
{
    call_one(l, 1);
}

bool lanes_crowded(const struct lanes *l)
{
    return __atomic_load_n(&l->taken, __ATOMIC_RELAXED) >
           __atomic_load_n(&l->width, __ATOMIC_RELAXED);
}

void lanes_rest(struct lanes *l)
{
    (void)__atomic_add_fetch(&l->idle, 1, __ATOMIC_RELAXED);
}

void lanes_go(struct lanes *l)
{
    size_t idle = __atomic_sub_fetch(&l->idle, 1, __ATOMIC_RELAXED);
    (void)__atomic_add_fetch(&l->events, 1, __ATOMIC_RELAXED);
    if (idle == 0 && __atomic_load_n(&l->parked, __ATOMIC_RELAXED) > 0 &&
        __atomic_load_n(&l->taken, __ATOMIC_RELAXED) < __atomic_load_n(&l->width, __ATOMIC_RELAXED))
        call_one(l, 0);
}

void lanes_relieve(struct lanes *l)
{
    lock_scope(&l->lock);
    size_t events = __atomic_load_n(&l->events, __ATOMIC_RELAXED);
    bool stuck = events == l->seen && __atomic_load_n(&l->idle, __ATOMIC_RELAXED) == 0 &&
                 l->taken >= l->width;
    bool ample = l->width > l->base && __atomic_load_n(&l->idle, __ATOMIC_RELAXED) > 1;
    l->seen = events;
    if (stuck || ample)
        __atomic_store_n(&l->width, stuck ? l->width + 1 : l->width - 1, __ATOMIC_RELAXED);
    if (stuck)
        (void)pthread_cond_signal(&l->freed);
}

void lanes_open(struct lanes *l)
{
    lock_scope(&l->lock);
    l->open = true;
    (void)pthread_cond_broadcast(&l->freed);
}
