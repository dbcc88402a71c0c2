/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policy runs: compile a policy, scan a file system, choose, and execute (straight into the
 * engine's queue, by script, or as list files). What mmapplypolicy does. The control server calls
 * this, and so do schedules. Any thread; one run lasts as long as its call.
 */
#ifndef ENGINE_POLICY_RUN_H
#define ENGINE_POLICY_RUN_H

#include "base/err.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conf;
struct engine;
struct policy_runner;

/* A runner for engine e (borrowed). Never NULL; free with policy_runner_free. */
struct policy_runner *policy_runner_new(struct engine *e);

/* Frees r; no run may be inside. NULL is allowed. */
void policy_runner_free(struct policy_runner *r);

/* Takes an event of op policy.run ({kind:"line",text} or {kind:"progress",...}) and owns it. Called
 * by one thread at a time, not always the caller's. */
typedef void policy_run_event_fn(void *arg, cJSON *event);

/*
 * Runs a policy: args and *result as op policy.run of firn-protocol(7). event may be NULL. Nothing
 * moves when the policy is wrong: -EINVAL, err says where, and *result is a new object {file, line,
 * column, caret, expected} (the caller's). -EBUSY: single_instance was asked and another run is on
 * this file system. Files that fail are counted in the result and are no failure of the run.
 * Returns 0 with *result (the caller's) or a negative code with err.
 */
int policy_run(struct policy_runner *r, const cJSON *args, policy_run_event_fn *event,
               void *event_arg, cJSON **result, struct err *err);

/* What a pass over changed files does with a hit of a rule. */
enum policy_pass_hit {
    POLICY_HIT_TAKEN,   /* carried out by this pass */
    POLICY_HIT_LATER,   /* wants a gathered pass, not before ready_ns */
    POLICY_HIT_FOR_RUN, /* left to the scheduled run: DELETE, THRESHOLD, group pools */
    POLICY_HIT_NOTHING, /* there is nothing to do in the file's state */
};

/* A hit that a pass tells of; borrowed for the call. */
struct policy_pass_told {
    const char *path; /* absolute */
    unsigned rule;    /* its number */
    const char *rule_name;
    enum policy_pass_hit what;
    bool first;       /* the pass is the first to see this change (not GATHERED) */
    int64_t ready_ns; /* LATER: since 1970; 0: at once */
};

enum policy_pass_kind {
    POLICY_PASS_AT_ONCE,  /* carry out recalls by firn itself, tell of all else */
    POLICY_PASS_GATHERED, /* carry out all */
    POLICY_PASS_LOOK,     /* carry out nothing, tell of all */
};

/* A pass of a policy over files that were changed; doc/design/policy-events.md. */
struct policy_pass {
    enum policy_pass_kind kind;
    const char *const *paths; /* the files, absolute; NULL: scan the target */
    size_t n_paths;
    int64_t since_ns; /* only what changed (ctime) since; 0: whatever */
    /* Told of every hit, by one thread at a time; may block. */
    void (*told)(void *arg, const struct policy_pass_told *hit);
    /* Lines of the run, as policy_run_event_fn; NULL: nowhere. */
    policy_run_event_fn *event;
    void *arg; /* of told and event */
};

/*
 * Runs the policy that args name (target, file or text, macros) over the files of pass: choice and
 * execution as in a run, but for what the kinds and hits above say, and without waiting for the
 * engine's tasks. *executed (may be NULL) gets the files handed over or given to scripts. Failures
 * as policy_run; nothing has moved then, or what was handed over goes on. Any thread.
 */
int policy_run_pass(struct policy_runner *r, const cJSON *args, const struct policy_pass *pass,
                    int64_t *executed, struct err *err);

/* The engine that r was made for; borrowed. */
struct engine *policy_runner_engine(const struct policy_runner *r);

/* Only compiles: args and *result as op policy.check; failures as policy_run. */
int policy_run_check(struct policy_runner *r, const cJSON *args, cJSON **result, struct err *err);

#endif
