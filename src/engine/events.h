/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies at once: files whose tags, metadata or class a gateway changed are held against the
 * installed policies that take events, without a scan; doc/design/policy-events.md. firnd starts
 * one; the control server calls it. Any thread, but for the end of life.
 */
#ifndef ENGINE_EVENTS_H
#define ENGINE_EVENTS_H

#include "base/err.h"
#include "base/json.h"

struct catalog;
struct events;
struct policy_runner;

/*
 * Starts the thread, with the installed policies of catalog; policies and catalog are borrowed.
 * What a crash left open is caught up. Returns 0 with *out (events_stop, then events_free), or a
 * negative code with err.
 */
int events_start(struct policy_runner *policies, struct catalog *catalog, struct events **out,
                 struct err *err);

/* Ends the threads; files at hand are found again at the next start. Operations may still be called
 * and are -ESHUTDOWN. NULL is allowed. */
void events_stop(struct events *ev);

/* Frees ev, which events_stop ended; nobody may be inside. NULL is allowed. */
void events_free(struct events *ev);

/* Tells that schedules were set or deleted. */
void events_rules_changed(struct events *ev);

/*
 * Op file.changed of firn-protocol(7): takes changed files, and hears that a gateway lives. Durable
 * when it has returned 0: what was taken is held against the policies, after a crash too. -EAGAIN:
 * too many wait, ask again later; -EINVAL; -ESHUTDOWN.
 */
int events_changed(struct events *ev, const cJSON *args, cJSON **result, struct err *err);

/* Adds to each schedule of list (the array of op schedule.list) that takes events what came of
 * them: op policy.list. */
void events_describe(struct events *ev, cJSON *list);

#endif
