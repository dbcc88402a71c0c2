/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the parts of the stager: stager.c leads, stager_look.c asks about files (from several
 * threads), stager_send.c makes requests, stager_watch.c sees ends, stager_judge.c knows what
 * states mean. Everything but the jobs of the pool runs in the thread of stager_run.
 */
#ifndef LUSTRE_STAGER_IMPL_H
#define LUSTRE_STAGER_IMPL_H

#include "lustre/stager.h"

#include <sys/types.h>
#include <uthash.h>

#define STAGER_BITE  1024  /* files read and looked at in one go */
#define STAGER_ORDER 16384 /* files that are sorted together */

/* One file that is in work. */
struct stager_item {
    struct stager_item *prev, *next; /* of the one list that it is in */
    char *path;                      /* NULL: only the FID is known */
    char *name;                      /* a path found for the FID; NULL */
    struct lu_fid fid;
    const struct stager_hint *hint;
    uint64_t ordinal;
    uint64_t size;
    enum stager_action step; /* what is asked next: archive, then perhaps release */
    struct hsm_user_state state;
    struct hsm_current_action action; /* when asked for */
    int rc;                           /* of the last job: 0 or a negated errno value */
    const char *problem;              /* with rc: text for people, static */
    bool has_fid;
    bool gone;       /* no such file; its FID is known */
    bool moved;      /* its path is not its name any more */
    bool maybe_sent; /* a request may be in the coordinator's queue */
    bool alone;      /* goes in a request of its own */
    bool ask_action; /* the next look asks for the current action, too */
    bool action_known;
    bool hinted; /* hsm.actions says that an action for it has ended */
    unsigned attempts;
    int64_t begun_ns; /* first request; 0: none */
    int64_t sent_ns;  /* last request */
    int64_t due_ns;   /* next look, or next attempt */
    int64_t asked_ns; /* last time that the current action was asked for */
    bool known;       /* it is in the run's table of FIDs */
    UT_hash_handle hh;
};

struct stager_list {
    struct stager_item *head;
    size_t n;
};

/* A job on one item; any thread, no two on one item. */
struct stager;
typedef void stager_job_fn(struct stager *s, struct stager_item *it);

struct stager_pool;

struct stager {
    const struct stager_config *cfg;
    const struct stager_source *source;
    const struct stager_sink *sink;
    struct stager_pool *pool;
    struct stager_counts counts;
    struct stager_item *by_fid;  /* all that are in a list */
    struct stager_list gathered; /* looked at, to be ordered */
    struct stager_list ready;    /* to be requested, in this order */
    struct stager_list sent;     /* outstanding, oldest first */
    struct stager_list delayed;  /* for a later attempt */
    dev_t dev;
    unsigned window;
    bool ended;           /* the source has no more */
    int64_t now_ns;       /* of this round */
    int64_t latency_ns;   /* from request to end, averaged; 0: not known */
    double tokens;        /* states that may be asked for now */
    double action_tokens; /* current actions that may be asked for now */
    int64_t refused_ns;   /* since when the coordinator takes nothing; 0: it does */
    int64_t again_ns;     /* no request before */
    unsigned refusals;
    int64_t round_ns; /* begin of the last round */
    int64_t tick_ns;
    uint64_t tick_ends;
    int64_t hints_ns;   /* next reading of hsm.actions */
    uint64_t rate_ends; /* ends at rate_ns */
    int64_t rate_ns;
    struct err give_up; /* why the run ends early; code 0: it does not */
};

/* ---- lists (stager.c) ---- */

/* Appends to, puts before, and takes from a list. */
void stager_push(struct stager_list *l, struct stager_item *it);
void stager_unshift(struct stager_list *l, struct stager_item *it);
void stager_take(struct stager_list *l, struct stager_item *it);

/* Tells the outcome of it, which is in no list, and frees it. */
void stager_finish(struct stager *s, struct stager_item *it, enum stager_result result, int errnum,
                   const char *reason);

/* it, which is in no list, failed with errnum: again after a while if it may, else its end. */
void stager_failed(struct stager *s, struct stager_item *it, int errnum, const char *reason);

/* ---- pool and jobs (stager_pool.c, stager_look.c) ---- */

/* Threads for jobs of s. Never NULL; with fewer than two the caller's thread does it all. */
struct stager_pool *stager_pool_new(struct stager *s, unsigned threads);
/* Ends the threads. NULL is allowed. */
void stager_pool_free(struct stager_pool *p);
/* Runs fn on each of n items; returns when all are done. */
void stager_pool_run(struct stager_pool *p, stager_job_fn *fn, struct stager_item **items,
                     size_t n);

/* Job: FID, size and state (and with ask_action the current action) of a file. */
void stager_look(struct stager *s, struct stager_item *it);
/* Job: releases a file; rc of it. */
void stager_release(struct stager *s, struct stager_item *it);
/* The current action of it, into it->action. Returns 0 or a negated errno value; -ENOTSUP when the
 * library cannot tell. */
int stager_ask_action(struct stager *s, struct stager_item *it);
/* Reads up to n files from the source into items. Returns how many; at the end s->ended is set. */
size_t stager_read(struct stager *s, struct stager_item **items, size_t n);
/* Frees it. */
void stager_item_free(struct stager_item *it);

/* ---- requests (stager_send.c) ---- */

/* Requests what is ready as far as the window allows. */
void stager_send(struct stager *s);
/* The place in the window of a file that was requested: puts it among the outstanding. */
void stager_accept(struct stager *s, struct stager_item *it);

/* ---- ends (stager_watch.c, stager_hints.c) ---- */

/* Where hsm.actions can be read: files whose actions have ended are due now. */
void stager_hints(struct stager *s);

/* Looks at outstanding files that are due and acts on what is seen. */
void stager_watch(struct stager *s);
/* True when the coordinator has an action of it->step's kind in hand, as told last. */
bool stager_in_hand(const struct stager_item *it);

#endif
