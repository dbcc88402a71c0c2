/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core of the copytool: registers with the coordinator, receives actions, journals them, lets
 * workers carry them out in the order of lanes, tells the coordinator that they are alive, and sees
 * to it that each has exactly one end. What an action does is behind struct copytool_ops. The
 * functions here are called by one thread, besides copytool_reregister, which any thread may call.
 */
#ifndef LUSTRE_COPYTOOL_H
#define LUSTRE_COPYTOOL_H

#include "base/err.h"
#include "base/uuid.h"
#include "lustre/action.h"
#include "lustre/llapi.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct copytool;

/* What is done for actions: mover.h's functions, or a test's. */
struct copytool_ops {
    void *ctx;
    void *(*lane_open)(void *ctx); /* a worker's own place; never NULL */
    void (*lane_close)(void *lane);
    int (*archive)(void *lane, struct action *a);
    int (*restore)(void *lane, struct action *a);
    int (*remove)(void *lane, struct action *a);
    int (*settle)(void *ctx, const struct hsm_action_item *item, const struct uuid *new_id,
                  const struct uuid *old_id, struct err *err);
    int (*collect)(void *ctx, uint64_t *n, struct err *err);
};

/* All borrowed until copytool_free. */
struct copytool_config {
    const struct llapi *api;
    const char *mount;
    const char *fsname;
    const char *state_dir; /* journal */
    const int *archive_ids;
    int narchive_ids;         /* 0: all */
    unsigned workers;         /* > 0 */
    unsigned archive_workers; /* of them, at most; the like below */
    unsigned restore_workers;
    unsigned remove_workers;
    size_t queue_max;
    unsigned heartbeat_ms; /* at most 30000 is used */
    unsigned update_ms;    /* between reports of bytes */
    unsigned drain_ms;
    unsigned collect_ms;      /* between collections of garbage; 0: 60000 */
    unsigned lost_ms;         /* between tries to tell of an end that did not arrive; 0: 10000 */
    unsigned force_ms;        /* from an interrupt to an end by force; 0: 30000 */
    const char *metrics_file; /* NULL or "": none */
    const char *event_fifo;   /* the same */
    bool abort_on_error;
};

/*
 * Takes the lock that only one copytool of fsname at mount may have, in a file below dir (made when
 * absent): two would both be given every action. Returns 0 with *fd, which holds it until it is
 * closed, -EBUSY with the holder's pid in err, or another negative code.
 */
int copytool_lock(const char *dir, const char *fsname, const char *mount, int *fd, struct err *err);

/* Writes this process' pid into the lock file of fd: after a fork. Returns 0 or a negative code. */
int copytool_lock_name(int fd, struct err *err);

/*
 * Opens the journal, registers and starts the threads; what the journal holds is run again or
 * ended. The caller holds the lock. A coordinator that is not there yet is waited for in the
 * background. Returns 0 with *out, or a negative code with err.
 */
int copytool_start(const struct copytool_config *config, const struct copytool_ops *ops,
                   struct copytool **out, struct err *err);

/* Registers anew, as soon as it can: after the coordinator was stopped and started. Never blocks.
 */
void copytool_reregister(struct copytool *ct);

/* A descriptor that becomes readable when ct cannot go on by itself (copytool_failure tells).
 * Borrowed. */
int copytool_failure_fd(const struct copytool *ct);

/* Why ct cannot go on: a positive errno value, 0 while it can. */
int copytool_failure(const struct copytool *ct);

/* Takes no more work: what waits and what comes is ended with EINTR, what runs goes on. */
void copytool_drain(struct copytool *ct);

/* What runs must stop: it ends with EINTR. */
void copytool_interrupt(struct copytool *ct);

/* Waits until nothing is open. False after timeout_ms. */
bool copytool_wait(struct copytool *ct, int timeout_ms);

/* How copytool_stop left things. */
enum copytool_left {
    COPYTOOL_GONE,     /* ct is freed */
    COPYTOOL_RECEIVER, /* the receiver is inside coordinatool and does not come out: nothing uses
                          the ops any more, but the process must leave by _exit */
    COPYTOOL_COLLECTS, /* garbage is still being collected: leave by _exit and close nothing */
    COPYTOOL_HANGS,    /* a worker is in a call that does not return; its action has been ended, the
                          process must leave by _exit and close nothing */
};

/* Drains, interrupts what is left, ends what does not even react to that, unregisters, stops the
 * threads and frees ct if it can. */
enum copytool_left copytool_stop(struct copytool *ct);

/*
 * Runs ct until a signal of waited (blocked in all threads: SIGTERM, SIGINT, SIGHUP) or a failure
 * ends it, and stops it: SIGTERM drains for config.drain_ms, SIGINT or a second SIGTERM interrupts,
 * SIGHUP registers anew. Returns 0, or a positive errno value (EINTR when an action had to be ended
 * by force); *left is copytool_stop's.
 */
int copytool_run(struct copytool *ct, const sigset_t *waited, enum copytool_left *left);

#endif
