/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn pool: pools of cartridges.
 */
#include "base/mem.h"
#include "cmd/cmd_impl.h"

#include <inttypes.h>
#include <string.h>

static void add_row(struct cmd_table *t, const cJSON *pool)
{
    char usable[CMD_NUMBER_MAX];
    char used[CMD_NUMBER_MAX];
    char available[CMD_NUMBER_MAX];
    char reclaimable[CMD_NUMBER_MAX];
    char tapes[CMD_NUMBER_MAX];
    int64_t capacity = json_int(pool, "capacity", 0);
    (void)snprintf(tapes, sizeof(tapes), "%" PRId64, json_int(pool, "tapes", 0));
    cmd_table_row(t, (const char *const[]){
                         json_str(pool, "name", NULL),
                         cmd_units(capacity, 40, usable),
                         cmd_units(json_int(pool, "used", 0), 40, used),
                         cmd_units(json_int(pool, "available", 0), 40, available),
                         cmd_percent(json_int(pool, "reclaimable", 0), capacity, reclaimable),
                         tapes,
                         json_str(pool, "type", NULL),
                         json_str(pool, "library", NULL),
                         "G0",
                     });
}

int cmd_pool_list(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    static const char *const heading[] = {"Pool Name",      "Usable(TiB)",  "Used(TiB)",
                                          "Available(TiB)", "Reclaimable%", "Tapes",
                                          "Type",           "Library",      "Node Group"};
    auto_json cJSON *res = NULL;
    int rc = cmd_call(ctx, "pool.list", cmd_object("library", cmd_value(args, "library")), &res);
    if (rc < 0)
        return rc;
    return cmd_print_list(ctx, args, cJSON_GetObjectItemCaseSensitive(res, "pools"),
                          cmd_payload_pool, 9, heading, add_row);
}

/* {name, library} of operand POOL[@LIBRARY] and option library. */
static cJSON *named(const struct cmd_args *args)
{
    const char *word = args->argv[0];
    const char *at = strchr(word, '@');
    const char *library = cmd_value(args, "library");
    auto_free char *name = xstrndup(word, at != NULL ? (size_t)(at - word) : strlen(word));
    if (library == NULL && at != NULL)
        library = at + 1;
    return cmd_object("name", name, "library", library);
}

static void print_volume(const cJSON *v)
{
    if (cJSON_IsString(v))
        (void)printf("  %s\n", v->valuestring);
    else
        (void)printf("  %s %s\n", json_str(v, "barcode", "?"), json_str(v, "state", ""));
}

int cmd_pool_show(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    static const char *const names[] = {
        "Pool Name:", "name", "Pool ID:",     "id",          "Library:", "library", "Type:", "type",
        "Mode:",      "mode", "Mount limit:", "mount_limit", "Tapes:",   "tapes",   NULL};
    auto_json cJSON *res = NULL;
    int rc = cmd_call(ctx, "pool.show", named(args), &res);
    if (rc < 0)
        return rc;
    if (ctx->json)
        return cmd_print_payload(take_ptr(res));
    char text[CMD_NUMBER_MAX];
    cmd_print_members(res, names);
    (void)printf("%-20s %s\n", "Usable:", cmd_human_bytes(json_int(res, "capacity", 0), text));
    (void)printf("%-20s %s\n", "Used:", cmd_human_bytes(json_int(res, "used", 0), text));
    (void)printf("%-20s %s\n", "Available:", cmd_human_bytes(json_int(res, "available", 0), text));
    (void)printf("%-20s %s\n",
                 "Reclaimable:", cmd_human_bytes(json_int(res, "reclaimable", 0), text));
    const cJSON *volumes = cJSON_GetObjectItemCaseSensitive(res, "volumes");
    const cJSON *v = NULL;
    if (cJSON_GetArraySize(volumes) > 0)
        (void)puts("Volumes:");
    cJSON_ArrayForEach (v, volumes) {
        print_volume(v);
    }
    return 0;
}

static int change(struct cmd_ctx *ctx, const struct cmd_args *args, const char *op,
                  const char *done)
{
    int rc = cmd_call(ctx, op, named(args), NULL);
    if (rc < 0)
        return rc;
    if (ctx->json)
        return cmd_print_payload(named(args));
    (void)printf("%s pool %s.\n", done, args->argv[0]);
    return 0;
}

int cmd_pool_create(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    return change(ctx, args, "pool.create", "Created");
}

int cmd_pool_delete(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    return change(ctx, args, "pool.delete", "Deleted");
}

static const struct cmd_opt list_opts[] = {
    {"library", 'l', "LIBRARY", "of this library only", 0},
    {"no-header", 0, NULL, "leave the heading line out", 0},
    {0},
};
static const struct cmd_opt pool_opts[] = {
    {"library", 'l', "LIBRARY", "the pool's library", 0},
    {0},
};

/* The words of tape assign, for who looks for them here. */
static const struct cmd_opt assign_opts[] = {
    {"pool", 'p', "POOL[@LIBRARY]", "the pool", CMD_OPT_REQUIRED},
    {"library", 'l', "LIBRARY", "the pool's library", 0},
    {"force", 'f', NULL, "format even a tape that holds a foreign volume", 0},
    {0},
};
static const struct cmd_opt unassign_opts[] = {
    {"pool", 'p', "POOL[@LIBRARY]", "the pool", CMD_OPT_REQUIRED},
    {"library", 'l', "LIBRARY", "the pool's library", 0},
    {"check-empty", 'E', NULL, "refuse when a file refers to the tape", 0},
    {0},
};

const struct cmd cmds_pool[] = {
    {"list", "", "list pools", 0, 0, list_opts, cmd_pool_list},
    {"show", "POOL[@LIBRARY]", "show a pool and its cartridges", 1, 1, pool_opts, cmd_pool_show},
    {"create", "POOL[@LIBRARY]", "make a new, empty pool", 1, 1, pool_opts, cmd_pool_create},
    {"delete", "POOL[@LIBRARY]", "delete an empty pool", 1, 1, pool_opts, cmd_pool_delete},
    {"assign", "BARCODE...", "put cartridges into a pool, as firn tape assign", 1, -1, assign_opts,
     cmd_tape_assign},
    {"unassign", "BARCODE...", "take cartridges out of a pool, as firn tape unassign", 1, -1,
     unassign_opts, cmd_tape_unassign},
    {0},
};
