/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside lustre: the parts of the copytool. copytool.c starts and stops, reader.c receives,
 * session.c registers, worker.c carries out and refuses, heart.c tells that actions live, keeper.c
 * looks after journal, lost ends and figures, action.c is the side of the mover.
 *
 * Order of locks: copytool.lock, then action.lock, then the journal's. None is held over a call of
 * liblustreapi or of an op.
 */
#ifndef LUSTRE_COPYTOOL_IMPL_H
#define LUSTRE_COPYTOOL_IMPL_H

#include "lustre/copytool.h"
#include "lustre/hai.h"
#include "lustre/journal.h"
#include "lustre/lanes.h"

#include <pthread.h>
#include <stdatomic.h>

/* Why an action must stop. */
enum stop_reason {
    STOP_NONE,
    STOP_CANCELLED,   /* by the coordinator: ends with ECANCELED */
    STOP_GONE,        /* the coordinator has given it up */
    STOP_INTERRUPTED, /* the copytool ends: EINTR */
};

/* A registration. Its handle lives as long as an action was begun with it: ends need it, and
 * liblustreapi's unregister frees it. */
struct session {
    void *handle;
    int fd;                /* the pipe, or -1: recv blocks (coordinatool) */
    _Atomic unsigned open; /* begun actions; raised under the copytool's lock */
    LIST_ENTRY(session) link;
};

LIST_HEAD(session_list, session);

struct action {
    struct lane_entry lane;
    struct copytool *ct;
    struct journal_entry *entry;
    int refusal;      /* a positive errno value: to be ended with it, without work */
    _Atomic int stop; /* enum stop_reason; written under lock */
    pthread_mutex_t lock;
    pthread_cond_t quiet;
    /* Under lock: */
    struct tier *uses;
    uint64_t done, total, reported;
    int64_t beat_ns, data_ns; /* when the coordinator heard last, and of data */
    bool told;                /* some progress was sent */
    bool telling;             /* a progress is under way */
    bool ending;              /* action_end was called */
    bool forced;              /* ended although its worker hangs; under the copytool's lock */
    struct action_hold *hold; /* the worker's share of it, or NULL */
    bool lost;                /* the end did not reach the coordinator: the journal keeps it */
    /* Of who works on it: */
    void *hcp;
    int fd;
    struct session *session;
    int64_t begun_ns;
    int errval, result;          /* of action_end */
    TAILQ_ENTRY(action) link;    /* in refused */
    TAILQ_ENTRY(action) running; /* in running */
};
TAILQ_HEAD(action_list, action);

#define STATS_ERRNOS 128

/* Figures; each is written by any thread. */
struct stats {
    _Atomic uint64_t ended[3][STATS_ERRNOS]; /* archive, restore, remove; by errno */
    _Atomic uint64_t bytes[3];
    _Atomic uint64_t messages, malformed, duplicates, cancels, cancels_unknown, refused, lost;
    _Atomic uint64_t changed, unrecorded, registrations, collected, beats;
    _Atomic int64_t beat_lag_ns; /* how late the last heartbeat was */
};

#define COPYTOOL_THREADS 5 /* besides the workers */

struct copytool {
    struct copytool_config config;
    struct copytool_ops ops;
    const struct llapi *api;
    struct journal *journal;
    struct stats stats;
    int failure_fd, wake_fd;
    _Atomic int failure;

    pthread_mutex_t lock;
    pthread_cond_t work;     /* for workers */
    pthread_cond_t to_close; /* for the closer */
    pthread_cond_t quiet;    /* an action has ended */
    pthread_cond_t joined;   /* there is a session */
    pthread_cond_t quitting;
    struct lanes *lanes;
    struct action_list refused, running;
    size_t nrefused, nclosing;
    struct journal_list lost, retry; /* ends that did not arrive; retry: those of the last round */
    struct session_list sessions;    /* the first is the current one when registered */
    bool registered, draining, quit;
    bool leaving;    /* nobody waits for a registration any more */
    bool collecting; /* the mover's collect is under way */
    bool reregister;

    pthread_t threads[COPYTOOL_THREADS]; /* the reader is the last */
    pthread_t *workers;
    unsigned nthreads, nworkers;
    bool reader_done;
};

/* ---- action.c ---- */

/* An action of entry, in no lane. Never NULL; action_free. */
struct action *action_new(struct copytool *ct, struct journal_entry *entry);

/* Frees a, not its entry; nobody may use it any more. */
void action_free(struct action *a);

/* Tells whoever works on a that it must stop. The first reason stays. The copytool's lock may be
 * held. */
void action_stop(struct action *a, enum stop_reason reason);

/* Ends a with errval by an error handle, without work; hcp is NULL. As action_end. */
int action_refuse(struct action *a, int errval, struct err *err);

/* Whether a progress of a is due at now_ns; then a is marked as being told, and the caller calls
 * action_tell. *due_ns gets when it was due. */
bool action_due(struct action *a, int64_t now_ns, int64_t *due_ns);

/* Sends the progress that action_due has claimed. */
void action_tell(struct action *a, int64_t now_ns);

/* ---- session.c ---- */

/* The first registration. Returns 0 (also when the coordinator is not there yet), or a negative
 * code when it never can be. */
int session_first(struct copytool *ct, struct err *err);

/* Gives up the current registration and makes a new one, with back-off, until it succeeds or the
 * copytool quits. Called by the reader alone. */
void session_renew(struct copytool *ct);

/* The current session with one more open action; waits for one unless the copytool is leaving
 * (NULL). */
struct session *session_get(struct copytool *ct);

/* An action of s has ended; s may be gone then. */
void session_put(struct session *s);

/* Unregisters all. No action is open. */
void session_end(struct copytool *ct);

/* ---- reader.c, worker.c, heart.c, keeper.c, metrics.c ---- */

/* Thread bodies; arg is the copytool. */
void *reader_main(void *arg);
void *worker_main(void *arg);
void *closer_main(void *arg);
void *heart_main(void *arg);
void *keeper_main(void *arg);
void *collector_main(void *arg);

/* Puts a, which is in no lane, where it is ended with errval. The lock is held. */
void refuse_locked(struct copytool *ct, struct action *a, int errval);

/* Takes entry, which is in the journal, up: into its lane, or to be refused with errval. */
void take_up(struct copytool *ct, struct journal_entry *entry, int errval);

/* Takes up what an earlier copytool left in the journal. Before any message is taken. */
void replay(struct copytool *ct);

/* Takes up the actions whose end did not arrive, those of the last round. */
void replay_lost(struct copytool *ct);

/* The copytool cannot go on: errnum says why. The first one stays. */
void copytool_fail(struct copytool *ct, int errnum);

/* Waits ms, or until the copytool quits (true). */
bool copytool_pause(struct copytool *ct, int ms);

/* Rewrites the metrics file; a failure is logged once. */
void metrics_write(struct copytool *ct);

/* Index of action in struct stats, 0 to 2. */
unsigned stats_kind(uint32_t action);

/* ---- instance.c ---- */

/* A file name of fsname and mount; the caller frees. */
char *instance_name(const char *fsname, const char *mount);

#endif
