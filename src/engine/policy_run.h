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

/* Only compiles: args and *result as op policy.check; failures as policy_run. */
int policy_run_check(struct policy_runner *r, const cJSON *args, cJSON **result, struct err *err);

#endif
