/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firnd's operations: the table that ctl/server.h serves, made from ctl/ops.def (one row an
 * operation), and what the handlers work on. Used by firnd; firn-protocol(7) is held against the
 * table by a test.
 */
#ifndef CTL_OPS_H
#define CTL_OPS_H

#include "ctl/server.h"

struct engine;
struct events;
struct policy_runner;
struct registry;
struct scheduler;

/* The server's app: what the handlers call. All borrowed; they outlive the server. */
struct ctl_app {
    struct engine *engine;
    struct registry *registry;
    struct policy_runner *policies;
    struct scheduler *schedules;
    struct events *events;
};

/* The table of operations, *n rows in the order of the manual. Static storage. */
const struct ctl_op *ctl_ops(size_t *n);

/* Frees the drafts that a connection left open: for ctl_server_config.session_free. */
void ctl_ops_session_free(void *app, void *data);

#endif
