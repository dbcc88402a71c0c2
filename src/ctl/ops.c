/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/ops_impl.h"

#define CTL_OP(handler, name, who, args, help) {name, CTL_WHO_##who, ctl_op_##handler, args, help},
static const struct ctl_op table[] = {
#include "ctl/ops.def"
};
#undef CTL_OP

const struct ctl_op *ctl_ops(size_t *n)
{
    *n = sizeof(table) / sizeof(table[0]);
    return table;
}

void ctl_forward_event(void *arg, cJSON *event)
{
    (void)ctl_event(arg, event);
}

int ctl_deliver(struct ctl_request *rq, int rc, cJSON *result)
{
    if (rc >= 0)
        rq->result = result;
    else
        rq->details = result;
    return rc;
}

int ctl_engine_call(struct ctl_request *rq, engine_op_fn *fn, struct err *err)
{
    const struct ctl_app *app = rq->app;
    cJSON *result = NULL;
    const struct engine_call call = {.args = rq->args, .event = ctl_forward_event, .event_arg = rq};
    int rc = fn(app->engine, &call, &result, err);
    return ctl_deliver(rq, rc, result);
}
