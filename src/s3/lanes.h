/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many workers take turns at the server's events: about one a processor has a lane, the others
 * are parked. A worker keeps its lane from request to request as long as it does nothing that may
 * wait; before that it leaves. A parked one is called into a free lane only when nobody with a lane
 * waits for the next event. So a busy server does not wake a thread for each request, and a request
 * that waits holds nobody up. Any thread.
 */
#ifndef S3_LANES_H
#define S3_LANES_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct lanes {
    pthread_mutex_t lock;
    pthread_cond_t freed;
    size_t base;   /* lanes in ordinary times */
    size_t width;  /* ... and now, under lock, as all below */
    size_t taken;  /* lanes that a worker has */
    size_t parked; /* workers that wait for one */
    bool called;   /* one of them is on its way */
    bool open;     /* no bounds any more: the server ends */
    size_t idle;   /* atomic: workers with a lane that wait for an event */
    size_t events; /* atomic: turns taken so far */
    size_t seen;   /* events at the last lanes_relieve */
};

/* Makes l with width lanes (> 0). */
void lanes_init(struct lanes *l, size_t width);

/* Frees what l holds; nobody may be parked. */
void lanes_fini(struct lanes *l);

/* Waits for a lane and takes it. */
void lanes_enter(struct lanes *l);

/* Gives the caller's lane away; calls a parked worker when nobody waits for the next event. */
void lanes_leave(struct lanes *l);

/* Whether there are more lanes than there should be: the caller leaves, and enters again. */
bool lanes_crowded(const struct lanes *l);

/* Around the wait for an event. Who goes as the last that waited calls a parked worker, if a lane
 * is free. */
void lanes_rest(struct lanes *l);
void lanes_go(struct lanes *l);

/* To be called every second: when every lane was stuck in the same request since the last call (a
 * disk that hangs), opens one more; when two wait for events, closes one that is beyond base. */
void lanes_relieve(struct lanes *l);

/* Lets everybody pass from now on. */
void lanes_open(struct lanes *l);

#endif
