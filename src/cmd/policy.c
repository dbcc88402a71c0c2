/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn policy: run a policy file on a file system, only check it, or install it.
 */
#include "base/mem.h"
#include "cmd/cmd_impl.h"

#include <errno.h>
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

/* ---- installed policies ---- */

static const char *how(const cJSON *s)
{
    return !json_bool(s, "enabled", true) ? "off" : json_bool(s, "events", false) ? "yes" : "no";
}

static const char *count(const cJSON *counts, const char *name, char *out)
{
    out[0] = '\0';
    if (counts != NULL)
        (void)snprintf(out, CMD_NUMBER_MAX, "%" PRId64, json_int(counts, name, 0));
    return out;
}

static void add_row(struct cmd_table *t, const cJSON *s)
{
    char n[4][CMD_NUMBER_MAX];
    char last[64];
    const cJSON *c = cJSON_GetObjectItemCaseSensitive(s, "counts");
    cmd_table_row(t, (const char *const[]){
                         json_str(s, "name", NULL),
                         json_str(s, "target", NULL),
                         json_str(s, "file", NULL),
                         how(s),
                         json_str(s, "when", NULL),
                         count(c, "evaluated", n[0]),
                         count(c, "matched", n[1]),
                         count(c, "started", n[2]),
                         count(c, "waiting", n[3]),
                         cmd_local_time(json_str(c, "last_event", NULL), last),
                         json_str(s, "problem", NULL),
                     });
}

static int run_list(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    static const char *const heading[] = {"Name",    "File system", "Policy",    "At once",
                                          "When",    "Looked at",   "Hits",      "Started",
                                          "Waiting", "Last event",  "Last error"};
    auto_json cJSON *res = NULL;
    int rc = cmd_call(ctx, "policy.list", NULL, &res);
    if (rc < 0)
        return rc;
    return cmd_print_list(ctx, args, cJSON_GetObjectItemCaseSensitive(res, "schedules"), NULL, 11,
                          heading, add_row);
}

static void print_counts(const cJSON *counts)
{
    static const char *const names[] = {
        "Looked at:",     "evaluated", "Hits:",    "matched", "Started:", "started",
        "Left to a run:", "left",      "Waiting:", "waiting", NULL};
    const cJSON *r = NULL;
    cmd_print_members(counts, names);
    cJSON_ArrayForEach (r, cJSON_GetObjectItemCaseSensitive(counts, "rules")) {
        (void)printf("Rule %" PRId64 " '%s': %" PRId64 " hits, %" PRId64 " started\n",
                     json_int(r, "rule", 0), json_str(r, "name", ""), json_int(r, "matched", 0),
                     json_int(r, "started", 0));
    }
}

static void print_time(const char *label, const cJSON *obj, const char *name)
{
    char text[64];
    (void)printf("%-20s %s\n", label, cmd_local_time(json_str(obj, name, NULL), text));
}

static void print_one(const cJSON *s)
{
    static const char *const names[] = {
        "Name:", "name", "File system:", "target", "Policy:", "file",
        "When:", "when", "Log:",         "log",    NULL};
    const cJSON *counts = cJSON_GetObjectItemCaseSensitive(s, "counts");
    cmd_print_members(s, names);
    (void)printf("%-20s %s\n", "At once:", how(s));
    print_time("Last run:", s, "last_run");
    (void)printf("%-20s %s\n", "Result:", json_str(s, "last_result", ""));
    print_time("Next run:", s, "next_run");
    if (counts == NULL)
        return;
    print_time("Last event:", counts, "last_event");
    print_counts(counts);
    print_time("Last error:", s, "last_error");
    (void)printf("%-20s %s\n", "Problem:", json_str(s, "problem", ""));
}

static int run_show(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    auto_json cJSON *res = NULL;
    const cJSON *s = NULL;
    int rc = cmd_call(ctx, "policy.list", NULL, &res);
    if (rc < 0)
        return rc;
    cJSON_ArrayForEach (s, cJSON_GetObjectItemCaseSensitive(res, "schedules")) {
        if (strcmp(json_str(s, "name", ""), args->argv[0]) != 0)
            continue;
        if (ctx->json)
            return cmd_print_payload(cJSON_Duplicate(s, true));
        print_one(s);
        return 0;
    }
    return err_set(&ctx->err, -ENOENT, "there is no installed policy \"%s\"", args->argv[0]);
}

/* A policy that is wrong is refused here, with its place, and not when it is wanted. */
static int check_file(struct cmd_ctx *ctx, const char *file, const char *text, const cJSON *macros)
{
    cJSON *req = cmd_object("file", file, "text", text);
    (void)cJSON_AddItemToObject(req, "macros", cJSON_Duplicate(macros, true));
    int rc = cmd_call(ctx, "policy.check", req, NULL);
    return rc < 0 && !ctx->unreachable ? cmd_policy_failed(ctx, rc) : rc;
}

static void say_installed(const char *name, const cJSON *res, const struct cmd_args *args)
{
    char next[64];
    const char *iso = json_str(res, "next_run", "");
    (void)printf("Policy %s is installed: ", name);
    if (!cmd_has(args, "no-events"))
        (void)printf("objects that S3 clients change are held against it at once%s",
                     *iso != '\0' ? "; " : "");
    if (*iso != '\0')
        (void)printf("next scan %s", cmd_local_time(iso, next));
    (void)printf(".\n");
}

static int run_install(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    const char *word = args->argv[1];
    if (cmd_has(args, "no-events") && !cmd_has(args, "when"))
        return cmd_usage(args, "--no-events needs --when: else the policy would never run");
    auto_free char *file = cmd_path_absolute(cmd_value(args, "policy"));
    auto_free char *target = strchr(word, '/') != NULL ? cmd_path_absolute(word) : xstrdup(word);
    auto_free char *log = cmd_has(args, "log") ? cmd_path_absolute(cmd_value(args, "log")) : NULL;
    auto_free char *text = NULL;
    auto_json cJSON *macros = cmd_policy_macros(args);
    if (macros == NULL)
        return CMD_EXIT_USAGE;
    int rc = cmd_policy_text(ctx, file, &text);
    if (rc == 0)
        rc = check_file(ctx, file, text, macros);
    if (rc != 0)
        return rc;
    cJSON *req = cmd_object("name", args->argv[0], "when",
                            cmd_has(args, "when") ? cmd_value(args, "when") : "", "target", target,
                            "file", file, "log", log);
    (void)cJSON_AddItemToObject(req, "macros", take_ptr(macros));
    (void)cJSON_AddBoolToObject(req, "enabled", true);
    (void)cJSON_AddBoolToObject(req, "events", !cmd_has(args, "no-events"));
    auto_json cJSON *res = NULL;
    rc = cmd_call(ctx, "schedule.set", req, &res);
    if (rc < 0)
        return rc;
    if (ctx->json)
        return cmd_print_payload(take_ptr(res));
    say_installed(args->argv[0], res, args);
    return 0;
}

static int run_remove(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    int rc = cmd_call(ctx, "schedule.delete", cmd_object("name", args->argv[0]), NULL);
    if (rc < 0)
        return rc;
    if (ctx->json)
        return cmd_print_payload(cmd_object("name", args->argv[0]));
    (void)printf("Removed policy %s.\n", args->argv[0]);
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

static const struct cmd_opt install_opts[] = {
    {"policy", 'P', "FILE", "the policy file, read each time it is needed", CMD_OPT_REQUIRED},
    {"when", 'w', "FIELDS", "also scan then, five fields as in crontab(5): \"0 * * * *\"", 0},
    {"no-events", 0, NULL, "only scan, as firn schedule add", 0},
    OPT_MACRO,
    {"log", 'l', "FILE", "append what is done to this file", 0},
    {0},
};
static const struct cmd_opt list_opts[] = {
    {"no-header", 0, NULL, "leave the heading line out", 0},
    {0},
};

const struct cmd cmds_policy[] = {
    {"run", "FILESYSTEM|DIRECTORY", "run a policy now", 1, 1, run_opts, run_run},
    {"install", "NAME FILESYSTEM|DIRECTORY", "apply a policy to what S3 clients change, at once", 2,
     2, install_opts, run_install},
    {"list", "", "list installed policies and what they did", 0, 0, list_opts, run_list},
    {"show", "NAME", "show one, with its rules' counts", 1, 1, NULL, run_show},
    {"remove", "NAME", "remove an installed policy", 1, 1, NULL, run_remove},
    {"check", "FILE", "say whether a policy file is right", 1, 1, check_opts, run_check},
    {0},
};
