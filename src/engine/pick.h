/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What recalls decide by: which copy serves a request, which volume a drive takes, when it leaves
 * it, and in which order it reads. Pure functions of what they are given: no threads, no clock, no
 * I/O. sched.c and recall*.c call them with what is under engine.lock; the simulations
 * (tests/unit/engine/simqueue.h) call the same ones with a clock of their own. Times are
 * nanoseconds of one monotonic clock.
 */
#ifndef ENGINE_PICK_H
#define ENGINE_PICK_H

#include "tape/order.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PICK_ROUND 64 /* requests of a round that nothing joins; files of a full stay step */
#define PICK_READER_STEP                                                                           \
    16 /* files for which a reader elsewhere waits, while nobody waits here                        \
        */
#define PICK_READER_STEP_NS 60000000000LL /* or as long as this */
#define PICK_SHARE          64 /* requests by which one account may be ahead of another */

struct pick_rules {
    int64_t max_age_ns; /* recall.max_age */
    int64_t window_ns;  /* recall.batch_window */
};

/* A request that waits for a volume. */
struct pick_ask {
    int64_t created_ns;
    bool reader;      /* somebody is blocked; else a job of a list */
    uint64_t account; /* who is charged, any number; 0: nobody */
    uint64_t served;  /* of that account, so far */
    struct order_stop stop;
};

/* All that waits for one volume. Zeros: nothing does. */
struct pick_queue {
    size_t n, readers;
    int64_t reader_ns, job_ns; /* the oldest reader and job; meaningless when there is none */
    uint64_t least;            /* served, of the account that got least */
};

/* Counts a into q. */
void pick_count(struct pick_queue *q, const struct pick_ask *a);

struct pick_volume {
    struct pick_queue queue;
    bool usable;   /* present and readable */
    bool reserved; /* a drive works on it */
    int drive;     /* that holds it, or -1 */
};

struct pick_drive {
    bool idle;      /* would take work at once */
    bool recalls;   /* may recall */
    bool loaded;    /* holds a cartridge, perhaps one that is not in the list */
    bool jobs_turn; /* readers were served last: jobs over age are next */
};

/* A library at one moment. */
struct pick_site {
    struct pick_rules rules;
    int64_t now_ns;
    const struct pick_volume *volumes; /* at least those with a queue, and those in drives */
    size_t nvolumes;
    const struct pick_drive *drives;
    size_t ndrives;
};

/*
 * The volume that drive d should recall from now, or -1. *again_ns becomes the time at which the
 * end of a batch window may change the answer, INT64_MAX when none will. Never a volume that is
 * reserved or in another drive.
 */
int pick_volume(const struct pick_site *s, size_t d, int64_t *again_ns);

/* A drive's stay on a volume. */
struct pick_stay {
    int64_t since_ns; /* the volume was mounted then, or the last step ended */
    size_t files;     /* served since */
    size_t n, pos;    /* of the plan: stops, and how many are begun */
    bool round;       /* the plan is a round: nothing joins it */
    bool readers;     /* it is of requests that somebody waits for */
};

/* Whether drive d should leave volume v, which it recalls from and which others wait for: another
 * volume's requests come first, no idle drive will take them, and a step of the stay is over. */
bool pick_leaves(const struct pick_site *s, size_t d, size_t v, const struct pick_stay *stay);

/* Whether the stay needs a new plan before the next stop, when q waits; changed: a request came
 * since the last one. */
bool pick_replans(const struct pick_rules *rules, int64_t now_ns, const struct pick_stay *stay,
                  const struct pick_queue *q, bool changed);

/*
 * Plans stops of a stay: out[] (room for n) gets indexes into asks in the order to read them, from
 * where the head stands (g NULL: block order). stay's n, pos, round and readers are set. jobs_turn
 * as in pick_drive. With none over age: all that readers wait for, else all; an account ahead of
 * others by PICK_SHARE is left out. With one over age: a round of the oldest, readers and jobs in
 * turn.
 */
void pick_plan(const struct pick_rules *rules, int64_t now_ns, const struct pick_ask *asks,
               size_t n, bool jobs_turn, const struct order_geometry *g, uint64_t head,
               uint32_t *out, struct pick_stay *stay);

/* Why what waits for volume v waits. */
enum pick_reason {
    PICK_RUNS,    /* a drive serves the volume: others are before it there */
    PICK_USED,    /* a drive works on the volume, but not for recalls */
    PICK_WINDOW,  /* the batch window is open */
    PICK_DRIVE,   /* no drive is free for it */
    PICK_STARTS,  /* a drive will take it */
    PICK_UNUSABLE /* the volume cannot be read now */
};

/* See enum pick_reason; recalling says that the drive of a reserved volume recalls. */
enum pick_reason pick_why(const struct pick_site *s, size_t v, bool recalling);

/* A copy of a file, for the choice of one. */
struct pick_copy {
    bool readable; /* its volume, and it was not tried in vain */
    bool healthy;  /* no read error is known of its volume */
    bool store;    /* nothing to mount */
    bool up;       /* of a store */
    bool mounted;  /* in a drive that may be used */
    bool reserved; /* that works on it */
    bool queued;   /* others wait for the volume */
    int copy_no;
};

/* How good c is to read: higher is better, -1 not at all. Healthy before mounted before queued
 * before the lowest number. */
int pick_rank(const struct pick_copy *c);

#endif
