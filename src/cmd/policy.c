/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn policy: run a policy file on a file system, or only check it.
 */
#include "cmd/cmd_impl.h"

#include <inttypes.h>
#include <string.h>

static int run_run(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    struct cmd_policyrun run = {
        .target = args->argv[0],
        .file = cmd_value(args, "policy"),
        .mode = cmd_has(args, "mode") ? cmd_value(args, "mode") : "yes",
        .prefix = cmd_value(args, "prefix"),
        .inputs = cmd_value(args, "inputs"),
        .as_of = cmd_value(args, "date"),
        .single_instance = cmd_has(args, "single-instance"),
        .args = args,
    };
    if (cmd_has(args, "dry-run") && cmd_has(args, "mode"))
        return cmd_usage(args, "--dry-run and -I exclude each other");
    if (cmd_has(args, "dry-run"))
        run.mode = "test";
    int rc = cmd_policy_check_mode(args, run.mode);
    if (rc == 0)
        rc = cmd_number(args, "level", 1, 0, 6, &run.level);
    return rc != 0 ? rc : cmd_policyrun(ctx, &run);
}

int cmd_policy_check_mode(const struct cmd_args *args, const char *mode)
{
    static const char *const modes[] = {"yes", "test", "defer", "prepare"};
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
        if (strcmp(mode, modes[i]) == 0)
            return 0;
    return cmd_usage(args, "-I \"%s\": yes, test, defer or prepare is wanted", mode);
}

static int run_check(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    auto_free char *text = NULL;
    int rc = cmd_policy_text(ctx, args->argv[0], &text);
    if (rc < 0)
        return rc;
    cJSON *macros = cmd_policy_macros(args);
    if (macros == NULL)
        return CMD_EXIT_USAGE;
    cJSON *req = cmd_object("file", args->argv[0], "text", text);
    (void)cJSON_AddItemToObject(req, "macros", macros);
    auto_json cJSON *res = NULL;
    rc = cmd_call(ctx, "policy.check", req, &res);
    if (rc < 0)
        return ctx->unreachable ? rc : cmd_policy_failed(ctx, rc);
    if (ctx->json)
        return cmd_print_payload(take_ptr(res));
    const cJSON *w = NULL;
    cJSON_ArrayForEach (w, cJSON_GetObjectItemCaseSensitive(res, "warnings")) {
        (void)printf("[W] %s\n", cJSON_IsString(w) ? w->valuestring : "");
    }
    const cJSON *rules = cJSON_GetObjectItemCaseSensitive(res, "rules");
    int64_t n = cJSON_IsArray(rules) ? cJSON_GetArraySize(rules) : json_int(res, "rules", 0);
    (void)printf("%s: %" PRId64 " rule%s, no error\n", args->argv[0], n, n == 1 ? "" : "s");
    return 0;
}

#define OPT_MACRO                                                                                  \
    {                                                                                              \
        "macro", 'M', "NAME=VALUE", "replace NAME by VALUE in the policy", 0                       \
    }

static const struct cmd_opt run_opts[] = {
    {"policy", 'P', "FILE", "the policy file", CMD_OPT_REQUIRED},
    {"dry-run", 'n', NULL, "choose files and say so, but move nothing (as -I test)", 0},
    {"mode", 'I', "MODE", "yes, test, defer or prepare", 0},
    OPT_MACRO,
    {"level", 'L', "N", "how much is printed, 0 to 6 (1)", 0},
    {"prefix", 'f', "PREFIX", "where -I defer and -I prepare write their lists", 0},
    {"inputs", 'i', "FILE", "consider the files of this list instead of a scan", 0},
    {"date", 'D', "DATE", "what CURRENT_TIMESTAMP is: yyyy-mm-dd[@hh:mm[:ss]]", 0},
    {"single-instance", 0, NULL, "refuse while another run is on this file system", 0},
    {0},
};

static const struct cmd_opt check_opts[] = {OPT_MACRO, {0}};

const struct cmd cmds_policy[] = {
    {"run", "FILESYSTEM|DIRECTORY", "run a policy now", 1, 1, run_opts, run_run},
    {"check", "FILE", "say whether a policy file is right", 1, 1, check_opts, run_check},
    {0},
};
