/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between events.c (inbox, passes), events_rules.c (installed policies and their counts) and
 * events_gap.c (who was heard when, what is open, catch-up). Times are ns since 1970.
 */
#ifndef ENGINE_EVENTS_IMPL_H
#define ENGINE_EVENTS_IMPL_H

#include "base/cleanup.h"
#include "catalog/catalog.h"
#include "conf/conf.h"
#include "engine/engine.h"
#include "engine/events.h"
#include "engine/policy_run.h"

#include <pthread.h>
#include <stdatomic.h>
#include <uthash.h>

#define EVENTS_INBOX_MAX   65536
#define EVENTS_WAITING_MAX 200000 /* of one policy */
#define EVENTS_REQUEST_MAX 1000   /* paths of one request */
#define EVENTS_GATEWAYS    64
#define EVENTS_ID_MAX      64
#define EVENTS_ERROR_MAX   sizeof(((struct err *)0)->text)

/* A changed file. */
struct changed {
    char *path;
    int64_t due_ns;   /* when it makes a gathered pass begin */
    int64_t ready_ns; /* not before */
    UT_hash_handle hh;
};

/* What came of one rule. */
struct rule_count {
    char name[CATALOG_NAME_MAX];
    int64_t matched;
    int64_t started;
};

/* An installed policy that takes events. The list is changed by the events thread alone. */
struct installed {
    char name[CATALOG_NAME_MAX];
    char log[CATALOG_PATH_MAX];
    cJSON *args;      /* of a pass */
    char *root;       /* absolute; NULL: target is no managed file system */
    bool gone;        /* removed: no further pass */
    bool busy;        /* a gathered pass is on */
    int64_t retry_ns; /* after a failure: no gathered pass before */
    struct changed *waiting;
    int64_t evaluated, matched, started, left;
    int64_t last_ns; /* of the last pass; 0: none */
    int64_t error_ns;
    char error[EVENTS_ERROR_MAX]; /* of the last pass, "" when it went well */
    struct rule_count *rules;
    size_t n_rules;
    struct installed *prev, *next;
};

/* A gateway that sends changes. */
struct gateway {
    char id[EVENTS_ID_MAX];
    int64_t heard_ns;   /* all that it changed before was taken */
    int64_t contact_ns; /* when it last spoke */
    struct gateway *prev, *next;
};

struct events {
    struct policy_runner *policies;
    struct catalog *catalog;
    const struct conf *conf;
    pthread_mutex_t marking; /* over the catalogue's row events.open; taken before lock */
    char *marked;            /* the row as it is, NULL: none; under marking */
    pthread_mutex_t lock;    /* over what follows */
    pthread_cond_t wake;
    struct changed *inbox;
    struct installed *installed;
    struct gateway *gateways;
    unsigned passes; /* threads besides the main one */
    bool reload;
    bool loaded; /* policies were read once */
    bool stopping;
    bool in_pass;        /* the main thread holds files of the inbox */
    bool catching_up;    /* its thread runs */
    int64_t open_ns;     /* changes since then may be at hand; 0: none */
    int64_t catch_up_ns; /* changes since then are to be looked for; 0: none */
    int64_t catch_up_at_ns;
    int64_t quiet_ns; /* since when nothing is at hand; 0: something is */
    int64_t saved_ns; /* when the row was written */
    bool has_thread;
    pthread_t thread;
};

/* ---- events.c ---- */

/* Adds path to *set, or moves its times earlier (due) and later (ready). Returns true when new. */
bool changed_add(struct changed **set, const char *path, int64_t due_ns, int64_t ready_ns);

/* Empties *set. */
void changed_clear(struct changed **set);

/* Puts path into the inbox; waits while that is full. False: stopping. Not with the lock held. */
bool events_push(struct events *ev, const char *path);

/* Starts main(arg) on a detached thread that counts in ev->passes and ends with events_pass_done.
 * The lock is held. Returns 0 or a positive errno value. */
int events_spawn_locked(struct events *ev, void *(*main)(void *), void *arg);

/* The end of such a thread; the lock is held. */
void events_pass_done_locked(struct events *ev);

/* Notes the end of a pass over n files; err NULL: it went well. The lock is held. */
void events_note_locked(struct installed *p, size_t n, const struct err *err);

/* ---- events_rules.c ---- */

/* Reads the installed policies anew; the events thread, without the lock. */
void events_reload(struct events *ev);

/* Drops removed policies that nobody uses. The lock is held. */
void events_sweep_locked(struct events *ev);

/* Frees all. */
void events_rules_fini(struct events *ev);

/* Counts a hit of p. The lock is held. */
void events_count_locked(struct installed *p, const struct policy_pass_told *hit);

/* ---- events_gap.c ---- */

/* Reads the catalogue's row at the start. Returns 0 or a negative code with err. */
int events_gap_load(struct events *ev, struct err *err);

/* Changes since since_ns may have been missed: catch up, not before at_ns. The lock is held. */
void events_missed_locked(struct events *ev, int64_t since_ns, int64_t at_ns);

/* Looks for gateways that fell silent, begins a catch-up that is due, and notes quiet. The lock is
 * held. */
void events_gap_tick_locked(struct events *ev, int64_t now_ns);

/* Writes the row when it is no longer right. force: in any case of a difference; else heartbeats
 * alone wait a minute. Not with the lock held. Returns 0 or a negative code with err. */
int events_mark(struct events *ev, bool force, struct err *err);

/* Frees the gateways. */
void events_gap_fini(struct events *ev);

#endif
