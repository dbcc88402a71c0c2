/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers of ctl/ops.def, each an adapter to a function of the engine: a ctl_handler_fn on
 * the connection's thread (ctl/server.h says what it returns). */
#ifndef CTL_OPS_IMPL_H
#define CTL_OPS_IMPL_H

#include "ctl/ops.h"
#include "engine/engine.h"

#define CTL_OP(handler, name, who, args, help) ctl_handler_fn ctl_op_##handler;
#include "ctl/ops.def"
#undef CTL_OP

/* Calls fn with the request's arguments; events go to the peer; the result, or the details of a
 * failure, become the request's. */
int ctl_engine_call(struct ctl_request *rq, engine_op_fn *fn, struct err *err);

/* An event function for the engine's callbacks: arg is the struct ctl_request; owns event. A peer
 * that has gone is no failure of the work. */
void ctl_forward_event(void *arg, cJSON *event);

/* Puts a function's *result where it belongs: result when rc is 0 or more, else details. Returns
 * rc. */
int ctl_deliver(struct ctl_request *rq, int rc, cJSON *result);

#endif
