/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which action comes next. Lanes in the order of who waits: readers, restores, removals, archives;
 * inside a lane turn by turn between archive ids, and in the order of arrival. Actions of one FID
 * run one after another in the order they came. Pure bookkeeping without I/O, clock or lock: the
 * caller holds a lock of its own around every call.
 */
#ifndef LUSTRE_LANES_H
#define LUSTRE_LANES_H

#include "lustre/abi.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

enum lane { LANE_READER, LANE_RESTORE, LANE_REMOVE, LANE_ARCHIVE, LANE_COUNT };

/* Where an entry is. */
enum lane_state {
    LANE_NONE,    /* not in any lane */
    LANE_QUEUED,  /* may be taken */
    LANE_BEHIND,  /* an earlier action of its FID has not ended */
    LANE_RUNNING, /* taken */
};

/* One action's place; part of a struct of the caller's, zeroed before lanes_add. */
struct lane_entry {
    /* The caller's, constant from lanes_add on: */
    struct lu_fid fid;
    uint64_t cookie;
    uint32_t action; /* enum hsma, not CANCEL */
    uint32_t archive_id;
    bool blocking; /* somebody waits */
    _Atomic bool
        ending; /* the caller's, any thread: told to the coordinator as over, or about to be
                 */
    /* Of lanes.c: */
    enum lane lane;
    enum lane_state state;
    bool late; /* came when the one before it was ending: its end says nothing of this one */
    struct lane_chain *chain;
    TAILQ_ENTRY(lane_entry) turn; /* in its flow */
    TAILQ_ENTRY(lane_entry) next; /* of the same FID */
    LIST_ENTRY(lane_entry) bucket;
};

struct lanes;

struct lanes_config {
    size_t queue_max;           /* entries that wait (queued and behind), at most */
    unsigned workers;           /* that run at once */
    unsigned limit[LANE_COUNT]; /* of a lane's that run at once; readers: all */
    unsigned reserve;           /* workers that only readers may have */
};

/* New lanes. Never NULL; lanes_free. */
struct lanes *lanes_new(const struct lanes_config *config);

/* Frees l; entries still in it are the caller's. NULL is allowed. */
void lanes_free(struct lanes *l);

/*
 * Takes e in. A reader's restore of a FID whose restore waits already lets that one come forward.
 * Returns 0; -EEXIST: the same cookie and FID is there already (the message came twice; not to be
 * ended); -EALREADY: an archive of that FID waits or runs; -EBUSY: full. After a failure e is not
 * in l.
 */
int lanes_add(struct lanes *l, struct lane_entry *e);

/* The next entry that may run, which then is LANE_RUNNING; NULL when none may. */
struct lane_entry *lanes_take(struct lanes *l);

/* Whether lanes_take would give one. */
bool lanes_ready(const struct lanes *l);

/*
 * Takes running entry e out. With restored (e was a restore and succeeded) restores of the same FID
 * that came before its end have nothing left to do: they are taken out too and given to fn, which
 * may not call into l.
 */
void lanes_done(struct lanes *l, struct lane_entry *e, bool restored,
                void (*fn)(void *arg, struct lane_entry *e), void *arg);

/* The entry of that cookie and FID, or NULL. */
struct lane_entry *lanes_find(const struct lanes *l, uint64_t cookie, const struct lu_fid *fid);

/* Takes waiting entry e (LANE_QUEUED or LANE_BEHIND) out. */
void lanes_remove(struct lanes *l, struct lane_entry *e);

/* Any waiting entry, taken out; NULL when none is left. */
struct lane_entry *lanes_pop_waiting(struct lanes *l);

/* How many of a lane wait and run. */
size_t lanes_waiting(const struct lanes *l, enum lane lane);
size_t lanes_running(const struct lanes *l, enum lane lane);

/* "reader", "restore", "remove", "archive"; static. */
const char *lane_name(enum lane lane);

#endif
