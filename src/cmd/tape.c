/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn tape: cartridges, their pools and their volumes.
 */
#include "base/mem.h"
#include "cmd/cmd_impl.h"

#include <inttypes.h>
#include <string.h>

static void add_row(struct cmd_table *t, const cJSON *tape)
{
    char usable[CMD_NUMBER_MAX];
    char used[CMD_NUMBER_MAX];
    char available[CMD_NUMBER_MAX];
    char reclaimable[CMD_NUMBER_MAX];
    char task[CMD_NUMBER_MAX] = "";
    int64_t capacity = json_int(tape, "capacity", 0);
    int64_t id = json_int(tape, "task_id", 0);
    if (id > 0)
        (void)snprintf(task, sizeof(task), "%" PRId64, id);
    cmd_table_row(t, (const char *const[]){
                         json_str(tape, "barcode", NULL),
                         json_str(tape, "status", NULL),
                         json_str(tape, "state", NULL),
                         cmd_units(capacity, 30, usable),
                         cmd_units(json_int(tape, "used", 0), 30, used),
                         cmd_units(json_int(tape, "available", 0), 30, available),
                         cmd_percent(json_int(tape, "reclaimable", 0), capacity, reclaimable),
                         json_str(tape, "pool", NULL),
                         json_str(tape, "library", NULL),
                         json_str(tape, "location", json_str(tape, "location_type", NULL)),
                         task,
                     });
}

int cmd_tape_list(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    static const char *const heading[] = {
        "Tape ID",      "Status", "State",   "Usable(GiB)", "Used(GiB)", "Available(GiB)",
        "Reclaimable%", "Pool",   "Library", "Location",    "Task ID"};
    auto_free char *pool = NULL;
    auto_free char *library = NULL;
    cmd_pool_and_library(args, &pool, &library);
    auto_json cJSON *res = NULL;
    int rc = cmd_call(ctx, "tape.list", cmd_object("library", library, "pool", pool), &res);
    if (rc < 0)
        return rc;
    return cmd_print_list(ctx, args, cJSON_GetObjectItemCaseSensitive(res, "tapes"),
                          cmd_payload_tape, 11, heading, add_row);
}

static void print_one(const cJSON *tape)
{
    static const char *const names[] = {
        "Tape ID:",    "barcode",    "Library:",       "library",
        "Pool:",       "pool",       "Status:",        "status",
        "State:",      "state",      "Problem:",       "problem",
        "Media type:", "media_type", "Volume:",        "uuid",
        "Generation:", "generation", "Formatted:",     "formatted",
        "Last index:", "last_index", "Files:",         "files",
        "Copies:",     "copies",     "Appendable:",    "appendable",
        "Location:",   "location",   "Location type:", "location_type",
        "Drive:",      "drive",      "Task ID:",       "task_id",
        NULL};
    static const char *const sizes[] = {
        "Usable:",      "capacity",    "Used:",    "used",          "Available:", "available",
        "Reclaimable:", "reclaimable", "Garbage:", "garbage_bytes", NULL};
    cmd_print_members(tape, names);
    for (const char *const *s = sizes; *s != NULL; s += 2) {
        char text[CMD_NUMBER_MAX];
        if (cJSON_GetObjectItemCaseSensitive(tape, s[1]) != NULL)
            (void)printf("%-20s %s\n", s[0], cmd_human_bytes(json_int(tape, s[1], 0), text));
    }
}

int cmd_tape_show(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    auto_json cJSON *all = cJSON_CreateArray();
    for (int i = 0; i < args->argc; i++) {
        auto_json cJSON *res = NULL;
        int rc = cmd_call(
            ctx, "tape.show",
            cmd_object("barcode", args->argv[i], "library", cmd_value(args, "library")), &res);
        if (rc < 0)
            return rc;
        if (ctx->json) {
            (void)cJSON_AddItemToArray(all, take_ptr(res));
            continue;
        }
        if (i > 0)
            (void)putchar('\n');
        print_one(res);
    }
    return ctx->json ? cmd_print_payload(take_ptr(all)) : 0;
}

/* One line a tape; the text of eeadm where it went well. */
static int print_changes(struct cmd_ctx *ctx, cJSON *res, const char *id, const char *done,
                         const char *pool)
{
    bool failed = false;
    cJSON *tapes = cJSON_GetObjectItemCaseSensitive(res, "tapes");
    const cJSON *t = NULL;
    cJSON_ArrayForEach (t, tapes) {
        const char *barcode = json_str(t, "barcode", "?");
        bool ok = json_bool(t, "ok", false);
        failed = failed || !ok;
        if (ctx->json)
            continue;
        if (ok) {
            cmd_message(id, done, barcode, pool);
            continue;
        }
        (void)fflush(stdout);
        (void)fprintf(stderr, "%s: tape %s: %s\n", ctx->program->name, barcode,
                      json_str(t, "message", "failed"));
    }
    if (ctx->json)
        (void)cmd_print_payload(cJSON_Duplicate(tapes, true));
    return failed ? CMD_EXIT_FAILED : 0;
}

static int change(struct cmd_ctx *ctx, const struct cmd_args *args, const char *op,
                  const char *flag, const char *id, const char *done)
{
    auto_free char *pool = NULL;
    auto_free char *library = NULL;
    cmd_pool_and_library(args, &pool, &library);
    cJSON *req = cmd_object("pool", pool, "library", library);
    (void)cJSON_AddItemToObject(req, "barcodes", cmd_strings(args->argv, args->argc));
    if (cmd_has(args, flag))
        (void)cJSON_AddBoolToObject(req, strcmp(flag, "force") == 0 ? "force" : "check_empty",
                                    true);
    auto_json cJSON *res = NULL;
    int rc = cmd_call(ctx, op, req, &res);
    return rc < 0 ? rc : print_changes(ctx, res, id, done, pool);
}

int cmd_tape_assign(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    return change(ctx, args, "tape.assign", "force", "GLESL360I",
                  "Assigned tape %s to pool %s successfully.");
}

int cmd_tape_unassign(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    return change(ctx, args, "tape.unassign", "check-empty", "GLESL359I",
                  "Removed tape %s from pool %s successfully.");
}

static int verify_one(struct cmd_ctx *ctx, const struct cmd_args *args, const char *barcode,
                      cJSON *all)
{
    cJSON *req = cmd_object("barcode", barcode, "library", cmd_value(args, "library"));
    if (cmd_has(args, "repair"))
        (void)cJSON_AddBoolToObject(req, "repair", true);
    auto_json cJSON *res = NULL;
    int rc = cmd_call(ctx, "tape.verify", req, &res);
    if (rc < 0)
        return rc;
    bool ok = json_bool(res, "ok", false);
    if (ctx->json) {
        json_add_str(res, "barcode", barcode);
        (void)cJSON_AddItemToArray(all, take_ptr(res));
        return ok ? 0 : CMD_EXIT_FAILED;
    }
    const cJSON *p = NULL;
    cJSON_ArrayForEach (p, cJSON_GetObjectItemCaseSensitive(res, "problems")) {
        (void)printf("%s: %s\n", barcode, cJSON_IsString(p) ? p->valuestring : "");
    }
    (void)printf("%s: %s, %" PRId64 " files", barcode, ok ? "whole" : "damaged",
                 json_int(res, "files", 0));
    const cJSON *recovered = cJSON_GetObjectItemCaseSensitive(res, "recovered");
    if (json_int(res, "recovered", 0) > 0 || cJSON_IsTrue(recovered))
        (void)printf(", recovered");
    if (json_str(res, "was", "")[0] != '\0')
        (void)printf(", %s after %s", json_str(res, "state", ""), json_str(res, "was", ""));
    (void)putchar('\n');
    return ok ? 0 : CMD_EXIT_FAILED;
}

int cmd_tape_verify(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    auto_json cJSON *all = cJSON_CreateArray();
    int worst = 0;
    for (int i = 0; i < args->argc; i++) {
        int rc = verify_one(ctx, args, args->argv[i], all);
        if (rc < 0)
            return rc;
        worst = rc > worst ? rc : worst;
    }
    if (ctx->json)
        (void)cmd_print_payload(take_ptr(all));
    return worst;
}

#define OPT_LIBRARY                                                                                \
    {                                                                                              \
        "library", 'l', "LIBRARY", "in this library only", 0                                       \
    }

static const struct cmd_opt list_opts[] = {
    OPT_LIBRARY,
    {"pool", 'p', "POOL[@LIBRARY]", "of this pool only", 0},
    {"no-header", 0, NULL, "leave the heading line out", 0},
    {0},
};
static const struct cmd_opt show_opts[] = {OPT_LIBRARY, {0}};
static const struct cmd_opt assign_opts[] = {
    {"pool", 'p', "POOL[@LIBRARY]", "the pool", CMD_OPT_REQUIRED},
    OPT_LIBRARY,
    {"force", 'f', NULL, "format even a tape that holds a foreign volume", 0},
    {0},
};
static const struct cmd_opt unassign_opts[] = {
    {"pool", 'p', "POOL[@LIBRARY]", "the pool", CMD_OPT_REQUIRED},
    OPT_LIBRARY,
    {"check-empty", 'E', NULL, "refuse when a file refers to the tape", 0},
    {0},
};
static const struct cmd_opt verify_opts[] = {
    OPT_LIBRARY,
    {"repair", 0, NULL, "write what was recovered back to the volume's index", 0},
    {0},
};

const struct cmd cmds_tape[] = {
    {"list", "", "list cartridges", 0, 0, list_opts, cmd_tape_list},
    {"show", "BARCODE...", "show all that is known of cartridges", 1, -1, show_opts, cmd_tape_show},
    {"assign", "BARCODE...", "put cartridges into a pool, formatting them", 1, -1, assign_opts,
     cmd_tape_assign},
    {"unassign", "BARCODE...", "take cartridges out of their pool", 1, -1, unassign_opts,
     cmd_tape_unassign},
    {"verify", "BARCODE...", "check the volume on cartridges", 1, -1, verify_opts, cmd_tape_verify},
    {0},
};
