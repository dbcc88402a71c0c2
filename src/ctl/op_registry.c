/* SPDX-License-Identifier: Apache-2.0 */
/* Cluster attributes, accounts and buckets. */
#include "ctl/ops_impl.h"
#include "engine/attr.h"
#include "engine/registry.h"

#include <errno.h>

int ctl_op_attr_list(struct ctl_request *rq, struct err *err)
{
    const struct ctl_app *app = rq->app;
    return attr_list(engine_catalog(app->engine), &rq->result, err);
}

int ctl_op_attr_set(struct ctl_request *rq, struct err *err)
{
    const struct ctl_app *app = rq->app;
    const char *name = NULL;
    const char *value = NULL;
    int rc = json_need_str(rq->args, "name", &name, err);
    if (rc == 0)
        rc = json_need_str(rq->args, "value", &value, err);
    return rc != 0 ? rc : attr_set(engine_catalog(app->engine), name, value, err);
}

static int call(struct ctl_request *rq, registry_op_fn *fn, struct err *err)
{
    const struct ctl_app *app = rq->app;
    cJSON *result = NULL;
    int rc = fn(app->registry, rq->args, &result, err);
    return ctl_deliver(rq, rc, result);
}

#define PASS_ON(name)                                                                              \
    int ctl_op_##name(struct ctl_request *rq, struct err *err)                                     \
    {                                                                                              \
        return call(rq, registry_##name, err);                                                     \
    }

PASS_ON(account_list)
PASS_ON(account_show)
PASS_ON(account_create)
PASS_ON(account_set)
PASS_ON(account_delete)
PASS_ON(account_rotate)
PASS_ON(bucket_list)
PASS_ON(bucket_delete)

/* Exporting an existing directory is root's: the S3 service makes new ones only. */
int ctl_op_bucket_create(struct ctl_request *rq, struct err *err)
{
    if (rq->who != CTL_WHO_ROOT && cJSON_HasObjectItem(rq->args, "path"))
        return err_set(err, -EPERM, "exporting a directory as a bucket is for root only");
    return call(rq, registry_bucket_create, err);
}

int ctl_op_registry_generation(struct ctl_request *rq, struct err *err)
{
    return call(rq, registry_generation, err);
}
