/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mmlsattr: attributes of files in the form that tools of IBM Storage Scale know.
 */
#include "cmd/cmd_impl.h"

static void print_short(const cJSON *lsattr)
{
    (void)fputs("      1 (  2)   1 (  2) ", stdout);
    cmd_put_text(stdout, json_str(lsattr, "path", "?"));
    (void)putchar('\n');
}

static int run(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    bool longer = cmd_has(args, "L");
    bool xattrs = cmd_has(args, "d");
    bool failed = false;
    int printed = 0;
    auto_json cJSON *all = cJSON_CreateArray();
    for (int i = 0; i < args->argc; i++) {
        auto_free char *path = cmd_path_absolute(args->argv[i]);
        auto_json cJSON *res = NULL;
        int rc = cmd_call(ctx, "file.lsattr", cmd_object("path", path), &res);
        if (rc < 0 && ctx->unreachable)
            return rc;
        if (rc < 0) {
            failed = true;
            (void)fflush(stdout);
            (void)fprintf(stderr, "mmlsattr: %s\n", ctx->err.text);
            continue;
        }
        if (ctx->json) {
            (void)cJSON_AddItemToArray(all, take_ptr(res));
        } else if (longer) {
            (void)fputs(printed++ > 0 ? "\n" : "", stdout);
            cmd_print_attributes(stdout, res, xattrs);
        } else {
            if (printed++ == 0)
                (void)puts("  replication factors\n"
                           "metadata(max) data(max) file    [flags]\n"
                           "------------- --------- ---------------");
            print_short(res);
        }
    }
    if (ctx->json)
        (void)cmd_print_payload(take_ptr(all));
    return failed ? CMD_EXIT_FAILED : 0;
}

static const struct cmd_opt opts[] = {
    {"L", 'L', NULL, "show all attributes", CMD_OPT_SHORT_ONLY},
    {"d", 'd', NULL, "with -L: show extended attributes too", CMD_OPT_SHORT_ONLY},
    {"l", 'l', NULL, "without effect (replication in detail)",
     CMD_OPT_SHORT_ONLY | CMD_OPT_IGNORED},
    {"D", 'D', NULL, "without effect (disk addresses)", CMD_OPT_SHORT_ONLY | CMD_OPT_IGNORED},
    {0},
};

const struct cmd cmds_mmlsattr[] = {
    {"", "FILE...", "show the attributes of files", 1, -1, opts, run},
    {0},
};

static const struct cmd_group groups[] = {
    {"", "show the attributes of files", cmds_mmlsattr},
    {0},
};

const struct cmd_program cmd_program_mmlsattr = {"mmlsattr", "firn-compat(7)", groups, NULL};
