/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn drain: wait until no drive works and the indexes of all volumes are written.
 */
#include "cmd/cmd_impl.h"

static int run(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    int64_t timeout_s = 0;
    int rc = cmd_number(args, "timeout", 600, 0, 31536000, &timeout_s);
    if (rc != 0)
        return rc;
    cJSON *req = cJSON_CreateObject();
    json_add_int(req, "wait_ms", timeout_s * 1000);
    auto_json cJSON *res = NULL;
    rc = cmd_call(ctx, "drain", req, &res);
    if (rc < 0)
        return rc;
    if (ctx->json)
        return cmd_print_payload(take_ptr(res));
    (void)puts("No drive works, and all indexes are written.");
    return 0;
}

static const struct cmd_opt opts[] = {
    {"timeout", 't', "SECONDS", "wait no longer (600)", 0},
    {0},
};

const struct cmd cmds_drain[] = {
    {"", "", "wait until no drive works and all indexes are written", 0, 0, opts, run},
    {0},
};
