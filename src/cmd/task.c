/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn task: what was asked of firnd and what became of it.
 */
#include "base/mem.h"
#include "base/timefmt.h"
#include "cmd/cmd_impl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RESULTS_BATCH 500 /* an answer is one line of at most 4 MiB */

/* An ISO time as local time by format; "-" when it is absent. */
static const char *when(const char *iso, const char *format, char *out)
{
    int64_t ns = 0;
    struct tm tm;
    (void)snprintf(out, TIMEFMT_MAX, "-");
    if (iso == NULL || timefmt_parse_iso(iso, &ns) < 0)
        return out;
    time_t t = (time_t)(ns / NS_PER_SEC);
    if (localtime_r(&t, &tm) != NULL)
        (void)strftime(out, TIMEFMT_MAX, format, &tm);
    return out;
}

#define COLUMN_TIME "%Y-%m-%dT%H:%M:%S" /* no blank: tools read the table by fields */

static bool ended(const cJSON *task)
{
    return json_str(task, "completed", "")[0] != '\0';
}

static void add_active(struct cmd_table *t, const cJSON *task)
{
    char id[CMD_NUMBER_MAX];
    char drives[CMD_NUMBER_MAX];
    char created[TIMEFMT_MAX];
    char started[TIMEFMT_MAX];
    (void)snprintf(id, sizeof(id), "%" PRId64, json_int(task, "task_id", 0));
    (void)snprintf(drives, sizeof(drives), "%d",
                   cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(task, "inuse_drives")));
    cmd_table_row(t, (const char *const[]){
                         id,
                         json_str(task, "type", NULL),
                         json_str(task, "priority", NULL),
                         json_str(task, "status", NULL),
                         drives,
                         when(json_str(task, "created", NULL), COLUMN_TIME, created),
                         when(json_str(task, "started", NULL), COLUMN_TIME, started),
                     });
}

static void add_completed(struct cmd_table *t, const cJSON *task)
{
    char id[CMD_NUMBER_MAX];
    char created[TIMEFMT_MAX];
    char started[TIMEFMT_MAX];
    char completed[TIMEFMT_MAX];
    (void)snprintf(id, sizeof(id), "%" PRId64, json_int(task, "task_id", 0));
    cmd_table_row(t, (const char *const[]){
                         id,
                         json_str(task, "type", NULL),
                         json_str(task, "result", NULL),
                         when(json_str(task, "created", NULL), COLUMN_TIME, created),
                         when(json_str(task, "started", NULL), COLUMN_TIME, started),
                         when(json_str(task, "completed", NULL), COLUMN_TIME, completed),
                     });
}

int cmd_task_list(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    static const char *const active[] = {"TaskID", "Type",        "Priority",   "Status",
                                         "#DRV",   "CreatedTime", "StartedTime"};
    static const char *const completed[] = {"TaskID",      "Type",        "Result",
                                            "CreatedTime", "StartedTime", "CompletedTime"};
    bool history = cmd_has(args, "completed");
    int64_t limit = 0;
    int rc = cmd_number(args, "limit", 0, 1, 1000000, &limit);
    if (rc != 0)
        return rc;
    cJSON *req = cJSON_CreateObject();
    if (history || cmd_has(args, "all"))
        (void)cJSON_AddBoolToObject(req, "all", true);
    if (limit > 0)
        json_add_int(req, "limit", limit);
    auto_json cJSON *res = NULL;
    rc = cmd_call(ctx, "task.list", req, &res);
    if (rc < 0)
        return rc;
    cJSON *tasks = cJSON_GetObjectItemCaseSensitive(res, "tasks");
    for (cJSON *t = tasks != NULL ? tasks->child : NULL, *next = NULL; t != NULL; t = next) {
        next = t->next;
        if (history && !ended(t))
            cJSON_Delete(cJSON_DetachItemViaPointer(tasks, t));
    }
    if (history)
        return cmd_print_list(ctx, args, tasks, cmd_payload_task, 6, completed, add_completed);
    return cmd_print_list(ctx, args, tasks, cmd_payload_task, 7, active, add_active);
}

static int task_number(const struct cmd_args *args, int64_t *id)
{
    const char *word = args->argv[0];
    char *end = NULL;
    errno = 0;
    long long v = strtoll(word, &end, 10);
    /* 1026@2026-02-18T20:02:38 names the same task */
    if (errno != 0 || end == word || (*end != '\0' && *end != '@') || v < 0)
        return cmd_usage(args, "\"%s\" is no task's number", word);
    *id = v;
    return 0;
}

/* The lines that NooBaa's tape backend reads: result, code, time, node, " -- ", name. */
static void print_result(const cJSON *r, bool verbose)
{
    char time_text[TIMEFMT_MAX];
    const char *result = json_str(r, "result", "Fail");
    bool ok = strcmp(result, "Success") == 0;
    char node[CMD_NUMBER_MAX];
    (void)snprintf(node, sizeof(node), "%" PRId64, json_int(r, "node", 1));
    (void)when(ok ? NULL : json_str(r, "time", NULL), "%Y/%m/%dT%H:%M:%S", time_text);
    const char *code = json_str(r, "code", "-");
    (void)printf("%-10s%-14s%-19s%11s -- ", result, ok || *code == '\0' ? "-" : code, time_text,
                 ok ? "-" : json_str(r, "node", node));
    cmd_put_text(stdout, json_str(r, "path", "?"));
    (void)putchar('\n');
    const char *message = json_str(r, "message", "");
    if (verbose && *message != '\0') {
        (void)fputs("          ", stdout);
        cmd_put_text(stdout, message);
        (void)putchar('\n');
    }
}

static cJSON *show_args(int64_t id, bool files, int64_t offset)
{
    cJSON *req = cJSON_CreateObject();
    json_add_int(req, "task_id", id);
    if (files) {
        (void)cJSON_AddBoolToObject(req, "files", true);
        json_add_int(req, "offset", offset);
        json_add_int(req, "limit", RESULTS_BATCH);
    }
    return req;
}

/* Prints or, for --json, collects in all the result of every file. */
static int each_result(struct cmd_ctx *ctx, int64_t id, bool verbose, cJSON *all)
{
    if (all == NULL)
        (void)puts("Result    Failure Code  Failed time               Node -- File name");
    for (int64_t offset = 0;;) {
        auto_json cJSON *res = NULL;
        int rc = cmd_call(ctx, "task.show", show_args(id, true, offset), &res);
        if (rc < 0)
            return rc;
        const cJSON *r = NULL;
        int64_t got = 0;
        cJSON_ArrayForEach (r, cJSON_GetObjectItemCaseSensitive(res, "results")) {
            got++;
            if (all != NULL)
                (void)cJSON_AddItemToArray(all, cJSON_Duplicate(r, true));
            else
                print_result(r, verbose);
        }
        if (got < RESULTS_BATCH)
            return 0;
        offset += got;
    }
}

static void print_times(const cJSON *task)
{
    static const char *const names[][2] = {{"Created Time:", "created"},
                                           {"Started Time:", "started"},
                                           {"Completed Time:", "completed"}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char text[TIMEFMT_MAX];
        (void)printf("%-20s %s\n", names[i][0],
                     cmd_local_time(json_str(task, names[i][1], NULL), text));
    }
}

/* Where the requests of a recall wait, and why. */
static void print_places(const cJSON *task)
{
    const cJSON *w = cJSON_GetObjectItemCaseSensitive(task, "waiting");
    const cJSON *r = NULL;
    if (w == NULL)
        return;
    (void)printf("%-20s %" PRId64 " being read, %" PRId64 " queued, %" PRId64
                 " not looked at yet\n",
                 "Waiting:", json_int(w, "reading", 0), json_int(w, "queued", 0),
                 json_int(w, "planned_later", 0));
    cJSON_ArrayForEach (r, cJSON_GetObjectItemCaseSensitive(w, "requests")) {
        (void)printf("  %" PRId64 " of %" PRId64 " at %s@%s: ", json_int(r, "position", 0),
                     json_int(r, "queued", 0), json_str(r, "volume", "-"),
                     json_str(r, "library", "-"));
        cmd_put_text(stdout, json_str(r, "path", "?"));
        (void)fputs(": ", stdout);
        cmd_put_text(stdout, json_str(r, "reason", ""));
        const cJSON *a = NULL;
        cJSON_ArrayForEach (a, cJSON_GetObjectItemCaseSensitive(r, "asked_by")) {
            (void)fputs("; asked by ", stdout);
            cmd_put_text(stdout, cJSON_IsString(a) ? a->valuestring : "?");
        }
        (void)putchar('\n');
    }
}

static void print_task(const cJSON *task)
{
    static const char *const names[] = {"Task ID:",
                                        "task_id",
                                        "Task UID:",
                                        "uid",
                                        "Task Type:",
                                        "type",
                                        "Command Parameters:",
                                        "parameters",
                                        "Priority:",
                                        "priority",
                                        "Status:",
                                        "status",
                                        "Result:",
                                        "result",
                                        NULL};
    static const char *const uses[] = {"In-use Tapes:",     "inuse_tapes",    "In-use Pools:",
                                       "inuse_pools",       "In-use Drives:", "inuse_drives",
                                       "In-use Libraries:", "inuse_libs",     NULL};
    char done[CMD_NUMBER_MAX];
    char total[CMD_NUMBER_MAX];
    cmd_print_members(task, names);
    print_times(task);
    cmd_print_members(task, uses);
    (void)printf("%-20s %" PRId64 " of %" PRId64 " files, %" PRId64 " failed\n",
                 "Progress:", json_int(task, "done", 0), json_int(task, "files", 0),
                 json_int(task, "failed", 0));
    (void)printf("%-20s %s of %s\n",
                 "Data:", cmd_human_bytes(json_int(task, "bytes_done", 0), done),
                 cmd_human_bytes(json_int(task, "bytes_total", 0), total));
    const cJSON *c = NULL;
    (void)printf("%-20s", "Result Summary:");
    cJSON_ArrayForEach (c, cJSON_GetObjectItemCaseSensitive(task, "counts")) {
        if (cJSON_IsNumber(c) && c->valuedouble > 0)
            (void)printf(" %s=%.0f", c->string, c->valuedouble);
    }
    (void)putchar('\n');
    if (json_str(task, "reason", "")[0] != '\0') {
        (void)printf("%-20s ", "Waits For:");
        cmd_put_text(stdout, json_str(task, "reason", ""));
        (void)putchar('\n');
    }
    print_places(task);
}

int cmd_task_show(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    int64_t id = 0;
    int rc = task_number(args, &id);
    if (rc != 0)
        return rc;
    bool results = cmd_has(args, "results");
    bool verbose = cmd_has(args, "verbose");
    if (results && !verbose && !ctx->json)
        return each_result(ctx, id, false, NULL);
    auto_json cJSON *task = NULL;
    rc = cmd_call(ctx, "task.show", show_args(id, false, 0), &task);
    if (rc < 0)
        return rc;
    if (!ctx->json) {
        print_task(task);
        return results ? each_result(ctx, id, true, NULL) : 0;
    }
    auto_json cJSON *shape = cmd_payload_task_result(task);
    if (results)
        rc = each_result(ctx, id, false, cJSON_AddArrayToObject(shape, "results"));
    return rc < 0 ? rc : cmd_print_payload(take_ptr(shape));
}

int cmd_task_cancel(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    int64_t id = 0;
    int rc = task_number(args, &id);
    if (rc != 0)
        return rc;
    rc = cmd_call(ctx, "task.cancel", show_args(id, false, 0), NULL);
    if (rc < 0)
        return rc;
    if (ctx->json) {
        cJSON *o = cJSON_CreateObject();
        json_add_int(o, "task_id", id);
        return cmd_print_payload(o);
    }
    (void)printf(
        "Task %" PRId64 " is being cancelled: files that are not begun stay as they are.\n", id);
    return 0;
}

static int run_wait(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    int64_t id = 0;
    int64_t timeout_s = -1;
    int rc = task_number(args, &id);
    if (rc == 0)
        rc = cmd_number(args, "timeout", -1, 0, 31536000, &timeout_s);
    if (rc != 0)
        return rc;
    auto_json cJSON *task = NULL;
    rc = cmd_task_wait_for(ctx, id, timeout_s < 0 ? -1 : timeout_s * 1000, &task);
    if (rc < 0)
        return rc;
    const char *status = json_str(task, "status", "");
    if (strcmp(status, "running") == 0 || strcmp(status, "waiting") == 0)
        return err_set(&ctx->err, -ETIMEDOUT,
                       "task %" PRId64 " is still %s after %" PRId64 " s; it goes on", id, status,
                       timeout_s);
    return cmd_task_report(ctx, task);
}

int cmd_task_clear(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    (void)args;
    auto_json cJSON *res = NULL;
    int rc = cmd_call(ctx, "task.clear", NULL, &res);
    if (rc < 0)
        return rc;
    if (ctx->json)
        return cmd_print_payload(take_ptr(res));
    (void)printf("%" PRId64 " completed tasks were removed from the history.\n",
                 json_int(res, "removed", 0));
    return 0;
}

static const struct cmd_opt list_opts[] = {
    {"all", 'a', NULL, "completed tasks too", 0},
    {"completed", 'c', NULL, "completed tasks only, with their results", 0},
    {"limit", 'n', "N", "at most so many, the newest", 0},
    {"no-header", 0, NULL, "leave the heading line out", 0},
    {0},
};
static const struct cmd_opt show_opts[] = {
    {"results", 'r', NULL, "one line for every file", 0},
    {"verbose", 'v', NULL, "with -r: facts of the task and messages too", 0},
    {0},
};
static const struct cmd_opt wait_opts[] = {
    {"timeout", 't', "SECONDS", "wait no longer", 0},
    {0},
};

const struct cmd cmds_task[] = {
    {"list", "", "list tasks, newest first", 0, 0, list_opts, cmd_task_list},
    {"show", "ID", "show a task and what became of its files", 1, 1, show_opts, cmd_task_show},
    {"wait", "ID", "wait for the end of a task", 1, 1, wait_opts, run_wait},
    {"cancel", "ID", "give up what a task has not begun", 1, 1, NULL, cmd_task_cancel},
    {"clear", "", "forget completed tasks", 0, 0, NULL, cmd_task_clear},
    {0},
};
