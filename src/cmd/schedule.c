/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn schedule: policies that firnd runs at set times.
 */
#include "base/mem.h"
#include "cmd/cmd_impl.h"

#include <errno.h>
#include <string.h>

static void add_row(struct cmd_table *t, const cJSON *s)
{
    char last[64];
    char next[64];
    cmd_table_row(t, (const char *const[]){
                         json_str(s, "name", NULL),
                         json_str(s, "when", NULL),
                         json_str(s, "target", NULL),
                         json_str(s, "file", NULL),
                         json_bool(s, "enabled", true) ? "yes" : "no",
                         cmd_local_time(json_str(s, "last_run", NULL), last),
                         json_str(s, "last_result", NULL),
                         cmd_local_time(json_str(s, "next_run", NULL), next),
                     });
}

static int run_list(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    static const char *const heading[] = {"Name",    "When",     "File system", "Policy",
                                          "Enabled", "Last run", "Result",      "Next run"};
    auto_json cJSON *res = NULL;
    int rc = cmd_call(ctx, "schedule.list", NULL, &res);
    if (rc < 0)
        return rc;
    return cmd_print_list(ctx, args, cJSON_GetObjectItemCaseSensitive(res, "schedules"), NULL, 8,
                          heading, add_row);
}

/* Sends req as schedule.set and says when it runs next. */
static int set(struct cmd_ctx *ctx, const char *name, cJSON *req)
{
    auto_json cJSON *res = NULL;
    int rc = cmd_call(ctx, "schedule.set", req, &res);
    if (rc < 0)
        return rc;
    if (ctx->json)
        return cmd_print_payload(take_ptr(res));
    char next[64];
    const char *iso = json_str(res, "next_run", NULL);
    if (iso == NULL || *iso == '\0') {
        (void)printf("Schedule %s does not run now.\n", name);
        return 0;
    }
    (void)printf("Schedule %s: next run %s.\n", name, cmd_local_time(iso, next));
    return 0;
}

static int run_add(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    const char *word = args->argv[1];
    auto_free char *file = cmd_path_absolute(cmd_value(args, "policy"));
    auto_free char *target = strchr(word, '/') != NULL ? cmd_path_absolute(word) : xstrdup(word);
    auto_free char *log = NULL;
    auto_free char *text = NULL;
    if (cmd_has(args, "log"))
        log = cmd_path_absolute(cmd_value(args, "log"));
    int rc = cmd_policy_text(ctx, file, &text); /* a file that is not there is better known now */
    if (rc < 0)
        return rc;
    cJSON *macros = cmd_policy_macros(args);
    if (macros == NULL)
        return CMD_EXIT_USAGE;
    cJSON *req = cmd_object("name", args->argv[0], "when", cmd_value(args, "when"), "target",
                            target, "file", file, "log", log);
    (void)cJSON_AddItemToObject(req, "macros", macros);
    (void)cJSON_AddBoolToObject(req, "enabled", !cmd_has(args, "disabled"));
    return set(ctx, args->argv[0], req);
}

/* Sends schedule args->argv[0] back as it is with another "enabled". */
static int enable(struct cmd_ctx *ctx, const struct cmd_args *args, bool on)
{
    static const char *const kept[] = {"name", "when", "target", "file", "macros", "log"};
    auto_json cJSON *res = NULL;
    int rc = cmd_call(ctx, "schedule.list", NULL, &res);
    if (rc < 0)
        return rc;
    const cJSON *s = NULL;
    cJSON_ArrayForEach (s, cJSON_GetObjectItemCaseSensitive(res, "schedules")) {
        if (strcmp(json_str(s, "name", ""), args->argv[0]) == 0)
            break;
    }
    if (s == NULL)
        return err_set(&ctx->err, -ENOENT, "there is no schedule \"%s\"", args->argv[0]);
    cJSON *req = cJSON_CreateObject();
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        const cJSON *j = cJSON_GetObjectItemCaseSensitive(s, kept[i]);
        if (j != NULL && !cJSON_IsNull(j))
            (void)cJSON_AddItemToObject(req, kept[i], cJSON_Duplicate(j, true));
    }
    (void)cJSON_AddBoolToObject(req, "enabled", on);
    return set(ctx, args->argv[0], req);
}

static int run_enable(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    return enable(ctx, args, true);
}

static int run_disable(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    return enable(ctx, args, false);
}

static int simple(struct cmd_ctx *ctx, const struct cmd_args *args, const char *op,
                  const char *done)
{
    int rc = cmd_call(ctx, op, cmd_object("name", args->argv[0]), NULL);
    if (rc < 0)
        return rc;
    if (ctx->json)
        return cmd_print_payload(cmd_object("name", args->argv[0]));
    (void)printf("%s schedule %s.\n", done, args->argv[0]);
    return 0;
}

static int run_remove(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    return simple(ctx, args, "schedule.delete", "Removed");
}

static int run_run(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    return simple(ctx, args, "schedule.run", "Started");
}

static const struct cmd_opt list_opts[] = {
    {"no-header", 0, NULL, "leave the heading line out", 0},
    {0},
};
static const struct cmd_opt add_opts[] = {
    {"when", 'w', "FIELDS", "five fields as in crontab(5): \"0 * * * *\"", CMD_OPT_REQUIRED},
    {"policy", 'P', "FILE", "the policy file, read at every run", CMD_OPT_REQUIRED},
    {"macro", 'M', "NAME=VALUE", "replace NAME by VALUE in the policy", 0},
    {"log", 'l', "FILE", "append what the runs print to this file", 0},
    {"disabled", 0, NULL, "do not run it yet", 0},
    {0},
};

const struct cmd cmds_schedule[] = {
    {"list", "", "list schedules", 0, 0, list_opts, run_list},
    {"add", "NAME FILESYSTEM|DIRECTORY", "add a schedule, or change the one of this name", 2, 2,
     add_opts, run_add},
    {"remove", "NAME", "remove a schedule", 1, 1, NULL, run_remove},
    {"enable", "NAME", "let a schedule run at its times", 1, 1, NULL, run_enable},
    {"disable", "NAME", "keep a schedule, but do not run it", 1, 1, NULL, run_disable},
    {"run", "NAME", "run a schedule now", 1, 1, NULL, run_run},
    {0},
};
