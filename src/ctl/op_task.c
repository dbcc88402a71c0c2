/* SPDX-License-Identifier: Apache-2.0 */
/* Drafts of tasks, which belong to the connection, under small numbers; waiting for tasks. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "ctl/ops_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DRAFTS_MAX 16
#define SLICE_MS   1000
#define NS_PER_MS  1000000

struct drafts {
    struct engine_draft *v[DRAFTS_MAX]; /* draft n is v[n - 1] */
};

void ctl_ops_session_free(void *app, void *data)
{
    struct drafts *d = data;
    (void)app;
    for (size_t i = 0; i < DRAFTS_MAX; i++)
        engine_draft_free(d->v[i]);
    free(d);
}

static struct drafts *drafts_of(struct ctl_request *rq)
{
    void **data = ctl_session_data(rq->session);
    if (*data == NULL)
        *data = xzalloc(sizeof(struct drafts));
    return *data;
}

/* The place of the draft that the request names. */
static int find(struct ctl_request *rq, struct engine_draft ***place, struct err *err)
{
    int64_t n = json_int(rq->args, "draft", 0);
    struct drafts *d = drafts_of(rq);
    if (n < 1 || n > DRAFTS_MAX || d->v[n - 1] == NULL)
        return err_set(err, -ENOENT, "this connection has no open draft %lld", (long long)n);
    *place = &d->v[n - 1];
    return 0;
}

int ctl_op_task_begin(struct ctl_request *rq, struct err *err)
{
    const struct ctl_app *app = rq->app;
    struct drafts *d = drafts_of(rq);
    size_t i = 0;
    while (i < DRAFTS_MAX && d->v[i] != NULL)
        i++;
    if (i == DRAFTS_MAX)
        return err_set(err, -EMFILE, "a connection has at most %d open drafts", DRAFTS_MAX);
    int rc = engine_draft_from_json(app->engine, rq->args, &d->v[i], err);
    if (rc != 0)
        return rc;
    rq->result = cJSON_CreateObject();
    json_add_int(rq->result, "draft", (int64_t)i + 1);
    return 0;
}

int ctl_op_task_add(struct ctl_request *rq, struct err *err)
{
    struct engine_draft **place = NULL;
    int rc = find(rq, &place, err);
    return rc != 0 ? rc : engine_draft_add_json(*place, rq->args, err);
}

int ctl_op_recall_plan(struct ctl_request *rq, struct err *err)
{
    struct engine_draft **place = NULL;
    cJSON *result = NULL;
    int rc = find(rq, &place, err);
    if (rc == 0)
        rc = engine_draft_plan_json(*place, &result, err);
    return ctl_deliver(rq, rc, result);
}

int ctl_op_task_commit(struct ctl_request *rq, struct err *err)
{
    struct engine_draft **place = NULL;
    cJSON *result = NULL;
    int rc = find(rq, &place, err);
    if (rc != 0)
        return rc;
    struct engine_draft *draft = *place;
    *place = NULL; /* freed whatever happens */
    rc = engine_draft_commit_json(draft, &result, err);
    return ctl_deliver(rq, rc, result);
}

/* One look of at most ms at the task; *result as op task.wait. */
static int wait_slice(struct ctl_request *rq, int64_t ms, cJSON **result, struct err *err)
{
    const struct ctl_app *app = rq->app;
    auto_json cJSON *args = cJSON_Duplicate(rq->args, 1);
    cJSON_DeleteItemFromObjectCaseSensitive(args, "timeout_ms");
    json_add_int(args, "timeout_ms", ms);
    const struct engine_call call = {.args = args, .event = ctl_forward_event, .event_arg = rq};
    return engine_op_task_wait(app->engine, &call, result, err);
}

/* Waits in slices: a client that has gone leaves its connection to others. */
int ctl_op_task_wait(struct ctl_request *rq, struct err *err)
{
    int64_t timeout_ms = json_int(rq->args, "timeout_ms", -1);
    int64_t began_ns = time_mono_ns();
    for (;;) {
        cJSON *result = NULL;
        int64_t left = timeout_ms - (time_mono_ns() - began_ns) / NS_PER_MS;
        bool last = timeout_ms >= 0 && left <= SLICE_MS;
        int rc = wait_slice(rq, !last ? SLICE_MS : left > 0 ? left : 0, &result, err);
        if (rc != 0 || last || strcmp(json_str(result, "status", ""), "completed") == 0)
            return ctl_deliver(rq, rc, result);
        cJSON_Delete(result);
        if (ctl_request_is_moot(rq))
            return err_set(err, -ESHUTDOWN,
                           "firnd is stopping; the task goes on when it runs again");
    }
}
