/* SPDX-License-Identifier: Apache-2.0 */
/* Policy runs and schedules. */
#include "ctl/ops_impl.h"
#include "engine/events.h"
#include "engine/policy_run.h"
#include "engine/schedule.h"

int ctl_op_policy_check(struct ctl_request *rq, struct err *err)
{
    const struct ctl_app *app = rq->app;
    cJSON *result = NULL;
    int rc = policy_run_check(app->policies, rq->args, &result, err);
    return ctl_deliver(rq, rc, result);
}

int ctl_op_policy_run(struct ctl_request *rq, struct err *err)
{
    const struct ctl_app *app = rq->app;
    cJSON *result = NULL;
    int rc = policy_run(app->policies, rq->args, ctl_forward_event, rq, &result, err);
    return ctl_deliver(rq, rc, result);
}

#define SCHEDULE(name)                                                                             \
    int ctl_op_schedule_##name(struct ctl_request *rq, struct err *err)                            \
    {                                                                                              \
        const struct ctl_app *app = rq->app;                                                       \
        cJSON *result = NULL;                                                                      \
        int rc = schedule_##name(app->schedules, rq->args, &result, err);                          \
        return ctl_deliver(rq, rc, result);                                                        \
    }

SCHEDULE(list)
SCHEDULE(run)

/* As SCHEDULE; policies that take events are read anew. */
#define CHANGE(name)                                                                               \
    int ctl_op_schedule_##name(struct ctl_request *rq, struct err *err)                            \
    {                                                                                              \
        const struct ctl_app *app = rq->app;                                                       \
        cJSON *result = NULL;                                                                      \
        int rc = schedule_##name(app->schedules, rq->args, &result, err);                          \
        if (rc == 0)                                                                               \
            events_rules_changed(app->events);                                                     \
        return ctl_deliver(rq, rc, result);                                                        \
    }

CHANGE(set)
CHANGE(delete)

int ctl_op_policy_list(struct ctl_request *rq, struct err *err)
{
    const struct ctl_app *app = rq->app;
    cJSON *result = NULL;
    int rc = schedule_list(app->schedules, rq->args, &result, err);
    if (rc == 0)
        events_describe(app->events, cJSON_GetObjectItemCaseSensitive(result, "schedules"));
    return ctl_deliver(rq, rc, result);
}

int ctl_op_file_changed(struct ctl_request *rq, struct err *err)
{
    const struct ctl_app *app = rq->app;
    cJSON *result = NULL;
    int rc = events_changed(app->events, rq->args, &result, err);
    return ctl_deliver(rq, rc, result);
}
