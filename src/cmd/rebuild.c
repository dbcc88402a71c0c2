/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn rebuild: the catalogue anew from the file systems, the tapes and the stores.
 */
#include "cmd/cmd_impl.h"

#include <inttypes.h>

static int on_event(void *arg, const cJSON *event)
{
    cmd_progress_draw(arg, event);
    return 0;
}

static int run(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    struct cmd_progress progress;
    bool dry = cmd_has(args, "dry-run");
    cJSON *req = cJSON_CreateObject();
    (void)cJSON_AddBoolToObject(req, "dry_run", dry);
    cmd_progress_init(&progress);
    auto_json cJSON *res = NULL;
    int rc = cmd_call_events(ctx, "rebuild", req, on_event, &progress, &res);
    cmd_progress_clear(&progress);
    if (rc < 0)
        return rc;
    const cJSON *problems = cJSON_GetObjectItemCaseSensitive(res, "problems");
    rc = cJSON_GetArraySize(problems) > 0 ? CMD_EXIT_FAILED : 0;
    if (ctx->json) {
        (void)cmd_print_payload(take_ptr(res));
        return rc;
    }
    const cJSON *p = NULL;
    cJSON_ArrayForEach (p, problems) {
        cmd_put_text(stdout, cJSON_IsString(p) ? p->valuestring : "?");
        (void)putchar('\n');
    }
    (void)printf("%s %" PRId64 " files, %" PRId64 " copies, %" PRId64 " volumes; %d problems\n",
                 dry ? "Found" : "Rebuilt from", json_int(res, "files", 0),
                 json_int(res, "copies", 0), json_int(res, "volumes", 0),
                 cJSON_GetArraySize(problems));
    return rc;
}

static const struct cmd_opt opts[] = {
    {"dry-run", 'n', NULL, "only say what would be found", 0},
    {0},
};

const struct cmd cmds_rebuild[] = {
    {"", "", "make the catalogue anew from file systems, tapes and stores", 0, 0, opts, run},
    {0},
};
