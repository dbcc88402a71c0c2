/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One migrate, premigrate or recall: names stream to firnd in batches, the task is committed, and
 * its end is waited for. Messages and their ids as eeadm prints them, for what reads them.
 */
#include "base/mem.h"
#include "cmd/cmd_impl.h"
#include "ctl/proto.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS       60000 /* of one task.wait; then it is asked again */
#define FAILURES_MAX  100   /* shown; the rest by task show */
#define RESULTS_BATCH 500   /* an answer is one line of at most 4 MiB */

struct batch {
    struct cmd_ctx *ctx;
    int64_t draft;
    cJSON *paths; /* owned; NULL when empty */
    size_t bytes;
    int64_t total;
};

static int batch_send(struct batch *b)
{
    if (b->paths == NULL)
        return 0;
    cJSON *args = cJSON_CreateObject();
    json_add_int(args, "draft", b->draft);
    (void)cJSON_AddItemToObject(args, "paths", take_ptr(b->paths));
    b->bytes = 0;
    return cmd_call(b->ctx, "task.add", args, NULL);
}

static int batch_add(void *arg, const char *path)
{
    struct batch *b = arg;
    if (b->paths == NULL)
        b->paths = cJSON_CreateArray();
    (void)cJSON_AddItemToArray(b->paths, cJSON_CreateString(path));
    b->bytes += strlen(path);
    b->total++;
    /* cJSON walks its array to count, so the count is kept here */
    if (b->total % CTL_PATHS_MAX == 0 || b->bytes >= CMD_BATCH_BYTES)
        return batch_send(b);
    return 0;
}

static cJSON *split_pools(const char *pools)
{
    cJSON *list = cJSON_CreateArray();
    while (pools != NULL && *pools != '\0') {
        size_t n = strcspn(pools, ",");
        auto_free char *one = xstrndup(pools, n);
        if (n > 0)
            (void)cJSON_AddItemToArray(list, cJSON_CreateString(one));
        pools += n + (pools[n] == ',');
    }
    return list;
}

static int begin(struct cmd_ctx *ctx, const struct cmd_taskrun *run, int64_t *draft)
{
    cJSON *args = cmd_object("type", run->type, "parameters", ctx->command_line);
    if (run->pools != NULL)
        (void)cJSON_AddItemToObject(args, "pools", split_pools(run->pools));
    if (run->resident)
        (void)cJSON_AddBoolToObject(args, "resident", true);
    auto_json cJSON *res = NULL;
    int rc = cmd_call(ctx, "task.begin", args, &res);
    if (rc == 0)
        *draft = json_int(res, "draft", -1);
    return rc;
}

/* The stage lines of a migration, once each. */
struct watch {
    struct cmd_ctx *ctx;
    struct cmd_progress progress;
    int64_t id;
    int stages;        /* lines printed so far */
    bool lines;        /* print stage lines */
    char reason[1024]; /* why the task waits, as it was told last */
};

static int stage_number(const char *stage)
{
    static const char *const names[] = {"qualify", "copy", "change state"};
    for (int i = 0; i < 3; i++)
        if (strcmp(stage, names[i]) == 0)
            return i + 1;
    return 0;
}

static void stage_lines(struct watch *w, int upto)
{
    static const char *const ids[] = {"GLESL896I", "GLESL897I", "GLESL898I"};
    static const char *const texts[] = {
        "qualifying the state of migration candidate files",
        "copying the files to the tape pools",
        "changing the state of files on disk",
    };
    for (; w->stages < upto; w->stages++) {
        cmd_progress_clear(&w->progress);
        cmd_message(ids[w->stages],
                    "Starting the stage %d of 3 for migration task %" PRId64 " (%s).",
                    w->stages + 1, w->id, texts[w->stages]);
    }
}

/* What a task waits for is told when it is another reason than before. */
static void tell_reason(struct watch *w, const char *reason)
{
    bool is_new = reason[0] != '\0' && strcmp(reason, w->reason) != 0;
    (void)snprintf(w->reason, sizeof(w->reason), "%s", reason);
    if (!is_new)
        return;
    cmd_progress_clear(&w->progress);
    (void)fprintf(stderr, "%s: task %" PRId64 " waits: ", w->ctx->program->name, w->id);
    cmd_put_text(stderr, reason);
    (void)fputc('\n', stderr);
}

static int on_wait_event(void *arg, const cJSON *event)
{
    struct watch *w = arg;
    tell_reason(w, json_str(event, "reason", ""));
    if (w->lines)
        stage_lines(w, stage_number(json_str(event, "stage", "")));
    cmd_progress_draw(&w->progress, event);
    return 0;
}

static bool task_ended(const cJSON *task)
{
    const char *s = json_str(task, "status", "");
    return strcmp(s, "waiting") != 0 && strcmp(s, "running") != 0 && strcmp(s, "interrupted") != 0;
}

static int wait_with(struct watch *w, int64_t timeout_ms, cJSON **task)
{
    for (;;) {
        int64_t step = timeout_ms < 0 || timeout_ms > WAIT_MS ? WAIT_MS : timeout_ms;
        cJSON *args = cJSON_CreateObject();
        json_add_int(args, "task_id", w->id);
        json_add_int(args, "timeout_ms", step);
        auto_json cJSON *res = NULL;
        int rc = cmd_call_again(w->ctx, "task.wait", args, on_wait_event, w, &res);
        if (rc < 0) {
            cmd_progress_clear(&w->progress);
            return rc;
        }
        timeout_ms -= timeout_ms < 0 ? 0 : step;
        if (task_ended(res) || timeout_ms == 0) {
            cmd_progress_clear(&w->progress);
            *task = take_ptr(res);
            return 0;
        }
    }
}

int cmd_task_wait_for(struct cmd_ctx *ctx, int64_t id, int64_t timeout_ms, cJSON **task)
{
    struct watch w = {.ctx = ctx, .id = id};
    cmd_progress_init(&w.progress);
    return wait_with(&w, timeout_ms, task);
}

static cJSON *show_args(int64_t id, int64_t offset)
{
    cJSON *args = cJSON_CreateObject();
    json_add_int(args, "task_id", id);
    (void)cJSON_AddBoolToObject(args, "files", true);
    json_add_int(args, "offset", offset);
    json_add_int(args, "limit", RESULTS_BATCH);
    return args;
}

/* Names the files that failed on standard error. */
static int print_failures(struct cmd_ctx *ctx, int64_t id)
{
    int64_t shown = 0;
    for (int64_t offset = 0; shown < FAILURES_MAX;) {
        auto_json cJSON *res = NULL;
        int rc = cmd_call(ctx, "task.show", show_args(id, offset), &res);
        if (rc < 0)
            return rc;
        const cJSON *results = cJSON_GetObjectItemCaseSensitive(res, "results");
        const cJSON *r = NULL;
        int64_t got = 0;
        cJSON_ArrayForEach (r, results) {
            got++;
            if (strcmp(json_str(r, "result", ""), "Fail") != 0 || shown++ >= FAILURES_MAX)
                continue;
            (void)fprintf(stderr, "%s: ", json_str(r, "code", "GLESM451W"));
            cmd_put_text(stderr, json_str(r, "path", "?"));
            (void)fputs(": ", stderr);
            cmd_put_text(stderr, json_str(r, "message", "failed"));
            (void)fputc('\n', stderr);
        }
        if (got < RESULTS_BATCH)
            break;
        offset += got;
    }
    if (shown >= FAILURES_MAX)
        (void)fprintf(stderr, "\"firn task show -r %" PRId64 "\" lists all files.\n", id);
    return 0;
}

static int64_t count(const cJSON *counts, const char *name)
{
    return json_int(counts, name, 0);
}

static void print_result_line(const cJSON *task, const cJSON *c)
{
    if (strcmp(json_str(task, "type", ""), "recall") == 0) {
        cmd_message("GLESL263I",
                    "Recall result: %" PRId64 " succeeded, %" PRId64 " failed, %" PRId64
                    " duplicate, %" PRId64 " not migrated, %" PRId64 " not found, 0 unknown.",
                    count(c, "succeeded"), count(c, "failed"), count(c, "duplicate"),
                    count(c, "not_migrated"), count(c, "not_found"));
        return;
    }
    cmd_message("GLESL038I",
                "Migration result: %" PRId64 " succeeded, %" PRId64 " failed, %" PRId64
                " duplicate, 0 duplicate wrong pool, %" PRId64 " not found, %" PRId64
                " too small to qualify for migration, %" PRId64 " too early for migration.",
                count(c, "succeeded"), count(c, "failed") + count(c, "changed"),
                count(c, "duplicate"), count(c, "not_found"), count(c, "too_small"),
                count(c, "too_early"));
}

int cmd_task_report(struct cmd_ctx *ctx, const cJSON *task)
{
    int64_t id = json_int(task, "task_id", 0);
    bool ok = strcmp(json_str(task, "result", ""), "succeeded") == 0;
    auto_json cJSON *args = cJSON_CreateObject();
    json_add_int(args, "task_id", id);
    auto_json cJSON *full = NULL;
    int rc = cmd_call(ctx, "task.show", take_ptr(args), &full);
    if (rc < 0)
        return rc;
    if (ctx->json)
        (void)cmd_print_payload(cmd_payload_task_result(full));
    else
        print_result_line(full, cJSON_GetObjectItemCaseSensitive(full, "counts"));
    if (!ok)
        rc = print_failures(ctx, id);
    return rc < 0 ? rc : ok ? 0 : CMD_EXIT_FAILED;
}

static void announce(struct cmd_ctx *ctx, const struct cmd_taskrun *run, int64_t id,
                     const cJSON *committed, int64_t total)
{
    if (ctx->json) {
        if (run->async)
            (void)cmd_print_payload(cJSON_Duplicate(committed, true));
        return;
    }
    if (strcmp(run->type, "recall") == 0)
        cmd_message("GLESL268I", "%" PRId64 " file name(s) have been provided to recall.", total);
    cmd_message("GLESL700I", "Task %s was created successfully, task ID is %" PRId64 ".", run->type,
                id);
}

/* ---- a recall that is only planned ---- */

static void print_seconds(const cJSON *plan, const char *before)
{
    const cJSON *s = cJSON_GetObjectItemCaseSensitive(plan, "seconds");
    if (!cJSON_IsNumber(s)) {
        (void)printf("%snot known (no cost model)\n", before);
        return;
    }
    int64_t all = (int64_t)(s->valuedouble + 0.5);
    (void)printf("%s%" PRId64 ":%02d:%02d\n", before, all / 3600, (int)(all / 60 % 60),
                 (int)(all % 60));
}

static void print_volumes(const cJSON *plan)
{
    const cJSON *v = NULL;
    cJSON_ArrayForEach (v, cJSON_GetObjectItemCaseSensitive(plan, "volumes")) {
        (void)printf("%s %s@%s: %" PRId64 " files, %" PRId64 " bytes",
                     strcmp(json_str(v, "kind", ""), "store") == 0 ? "Store" : "Tape",
                     json_str(v, "volume", "-"), json_str(v, "library", "-"),
                     json_int(v, "files", 0), json_int(v, "bytes", 0));
        if (json_bool(v, "mounted", false))
            (void)fputs(", mounted", stdout);
        if (json_int(v, "waiting", 0) > 0)
            (void)printf(", %" PRId64 " wait already", json_int(v, "waiting", 0));
        print_seconds(v, ", ");
    }
}

static void print_problems(const cJSON *plan)
{
    const cJSON *p = NULL;
    cJSON_ArrayForEach (p, cJSON_GetObjectItemCaseSensitive(plan, "problems")) {
        cmd_put_text(stderr, json_str(p, "path", "?"));
        (void)fputs(": ", stderr);
        cmd_put_text(stderr, json_str(p, "message", "no copy can be read"));
        (void)fputc('\n', stderr);
    }
}

/* Prints what the draft will take. CMD_EXIT_FAILED when files have no copy that can be read. */
static int show_plan(struct cmd_ctx *ctx, int64_t draft)
{
    cJSON *args = cJSON_CreateObject();
    json_add_int(args, "draft", draft);
    auto_json cJSON *plan = NULL;
    int rc = cmd_call(ctx, "recall.plan", args, &plan);
    if (rc < 0)
        return rc;
    int failed = json_int(plan, "unreadable", 0) > 0 ? CMD_EXIT_FAILED : 0;
    if (ctx->json) {
        (void)cmd_print_payload(take_ptr(plan));
        return failed;
    }
    (void)printf("Files:       %" PRId64 "\nBytes:       %" PRId64 "\nTapes:       %" PRId64
                 "\nMounts:      %" PRId64 "\n",
                 json_int(plan, "files", 0), json_int(plan, "bytes", 0), json_int(plan, "tapes", 0),
                 json_int(plan, "mounts", 0));
    print_seconds(plan, "Time:        ");
    (void)printf("On disk:     %" PRId64 "\nQueued:      %" PRId64 "\nNo copy:     %" PRId64 "\n",
                 json_int(plan, "not_migrated", 0), json_int(plan, "duplicates", 0),
                 json_int(plan, "unreadable", 0));
    print_volumes(plan);
    print_problems(plan);
    return failed;
}

int cmd_taskrun(struct cmd_ctx *ctx, const struct cmd_taskrun *run)
{
    struct batch b = {.ctx = ctx};
    int rc = begin(ctx, run, &b.draft);
    if (rc < 0)
        return rc;
    rc = cmd_paths_each(&run->source, batch_add, &b, &ctx->err);
    if (rc == 0)
        rc = batch_send(&b);
    cJSON_Delete(b.paths);
    if (rc != 0)
        return rc;
    if (b.total == 0) {
        if (!ctx->json)
            (void)fprintf(stderr, "%s: no file was named, nothing to do\n", ctx->program->name);
        return 0;
    }
    if (run->plan)
        return show_plan(ctx, b.draft);
    cJSON *args = cJSON_CreateObject();
    json_add_int(args, "draft", b.draft);
    auto_json cJSON *committed = NULL;
    rc = cmd_call(ctx, "task.commit", args, &committed);
    if (rc < 0)
        return rc;
    struct watch w = {.ctx = ctx, .id = json_int(committed, "task_id", 0)};
    w.lines = !ctx->json && strcmp(run->type, "recall") != 0;
    announce(ctx, run, w.id, committed, b.total);
    if (run->async)
        return 0;
    cmd_progress_init(&w.progress);
    auto_json cJSON *task = NULL;
    rc = wait_with(&w, -1, &task);
    if (rc < 0)
        return rc;
    if (w.lines)
        stage_lines(&w, strcmp(run->type, "migrate") == 0 ? 3 : 2);
    return cmd_task_report(ctx, task);
}
