/* SPDX-License-Identifier: Apache-2.0 */
/* Drafts of tasks: they belong to the connection, under small numbers. */
#include "base/mem.h"
#include "ctl/ops_impl.h"

#include <errno.h>
#include <stdlib.h>

#define DRAFTS_MAX 16

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
