/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn schedule: policies that firnd runs at set times.
 */
#include "base/clock.h"
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

/* The schedule named name as a new object, NULL when there is none. */
static int find(struct cmd_ctx *ctx, const char *name, cJSON **out)
{
    auto_json cJSON *res = NULL;
    int rc = cmd_call_again(ctx, "schedule.list", NULL, NULL, NULL, &res);
    const cJSON *s = NULL;
    *out = NULL;
    if (rc < 0)
        return rc;
    cJSON_ArrayForEach (s, cJSON_GetObjectItemCaseSensitive(res, "schedules")) {
        if (strcmp(json_str(s, "name", ""), name) == 0)
            *out = cJSON_Duplicate(s, true);
    }
    return 0;
}

/* Sends schedule args->argv[0] back as it is with another "enabled". */
static int enable(struct cmd_ctx *ctx, const struct cmd_args *args, bool on)
{
    static const char *const kept[] = {"name", "when", "target", "file", "macros", "log"};
    auto_json cJSON *s = NULL;
    int rc = find(ctx, args->argv[0], &s);
    if (rc < 0)
        return rc;
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

#define POLL_NS (100 * 1000000LL)
#define UNCHANGED_MAX                                                                              \
    20 /* looks at a state that does not change: the run began and ended within                    \
          the second that the run before it began in */

static bool same_run(const cJSON *a, const cJSON *b)
{
    return strcmp(json_str(a, "last_run", ""), json_str(b, "last_run", "")) == 0 &&
           strcmp(json_str(a, "last_result", ""), json_str(b, "last_result", "")) == 0;
}

/* Waits for the end of the run that was started when the schedule was as in before. */
static int wait_for_run(struct cmd_ctx *ctx, const char *name, const cJSON *before, cJSON **after)
{
    for (int unchanged = 0;;) {
        auto_json cJSON *now = NULL;
        int rc = find(ctx, name, &now);
        if (rc < 0)
            return rc;
        if (now == NULL)
            return err_set(&ctx->err, -ENOENT, "schedule %s was removed meanwhile", name);
        bool running = strcmp(json_str(now, "last_result", ""), "running") == 0;
        bool same = same_run(before, now);
        if (!running && (!same || ++unchanged > UNCHANGED_MAX)) {
            *after = take_ptr(now);
            return 0;
        }
        if (running)
            before = NULL; /* any other result is this run's */
        clock_sleep_ns(clock_real(), POLL_NS);
    }
}

/* "ok: 2 chosen, 2 executed, 0 failed" is well, with files that failed it is not. */
static bool went_well(const char *result)
{
    const char *failed = strstr(result, " failed");
    bool none = failed == NULL || (failed - result >= 3 && strncmp(failed - 3, ", 0", 3) == 0);
    return strncmp(result, "ok", 2) == 0 && none;
}

static int run_run(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    const char *name = args->argv[0];
    auto_json cJSON *before = NULL;
    int rc = find(ctx, name, &before);
    if (rc < 0)
        return rc;
    rc = cmd_call(ctx, "schedule.run", cmd_object("name", name), NULL);
    if (rc < 0)
        return rc;
    if (!ctx->json)
        (void)printf("Started schedule %s.\n", name);
    (void)fflush(stdout);
    auto_json cJSON *after = NULL;
    if (!cmd_has(args, "async"))
        rc = wait_for_run(ctx, name, before, &after);
    if (rc < 0)
        return rc;
    const char *result = json_str(after, "last_result", "ok");
    rc = went_well(result) ? 0 : CMD_EXIT_FAILED;
    if (after != NULL && !ctx->json)
        (void)printf("Schedule %s: %s\n", name, result);
    if (ctx->json)
        (void)cmd_print_payload(after != NULL ? take_ptr(after) : cmd_object("name", name));
    return rc;
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

static const struct cmd_opt run_opts[] = {
    {"async", 0, NULL, "do not wait for its end", 0},
    {0},
};

const struct cmd cmds_schedule[] = {
    {"list", "", "list schedules", 0, 0, list_opts, run_list},
    {"add", "NAME FILESYSTEM|DIRECTORY", "add a schedule, or change the one of this name", 2, 2,
     add_opts, run_add},
    {"remove", "NAME", "remove a schedule", 1, 1, NULL, run_remove},
    {"enable", "NAME", "let a schedule run at its times", 1, 1, NULL, run_enable},
    {"disable", "NAME", "keep a schedule, but do not run it", 1, 1, NULL, run_disable},
    {"run", "NAME", "run a schedule now and wait for its end", 1, 1, run_opts, run_run},
    {0},
};
