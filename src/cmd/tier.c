/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn tier: the places that keep copies, libraries and stores; what lies in a store is checked and
 * cleaned here.
 */
#include "base/mem.h"
#include "cmd/cmd_impl.h"

#include <inttypes.h>
#include <string.h>

static const char *number(const cJSON *obj, const char *name, char *out)
{
    (void)snprintf(out, CMD_NUMBER_MAX, "%" PRId64, json_int(obj, name, 0));
    return out;
}

static void add_row(struct cmd_table *t, const cJSON *tier)
{
    char copies[CMD_NUMBER_MAX];
    char bytes[CMD_NUMBER_MAX];
    auto_free char *pools = cmd_join(cJSON_GetObjectItemCaseSensitive(tier, "pools"), ",");
    cmd_table_row(t, (const char *const[]){
                         json_str(tier, "name", NULL),
                         json_str(tier, "kind", NULL),
                         json_str(tier, "state", NULL),
                         pools,
                         number(tier, "copies", copies),
                         cmd_human_bytes(json_int(tier, "bytes", 0), bytes),
                         json_str(tier, "endpoint", NULL),
                         json_str(tier, "problem", NULL),
                     });
}

static int run_list(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    static const char *const heading[] = {"Tier",   "Kind",  "State",    "Pools",
                                          "Copies", "Bytes", "Endpoint", "Problem"};
    auto_json cJSON *res = NULL;
    int rc = cmd_call(ctx, "tier.list", NULL, &res);
    if (rc < 0)
        return rc;
    return cmd_print_list(ctx, args, cJSON_GetObjectItemCaseSensitive(res, "tiers"), NULL, 8,
                          heading, add_row);
}

static void print_sizes(const cJSON *obj, const char *const *names)
{
    char text[CMD_NUMBER_MAX];
    for (; *names != NULL; names += 2) {
        if (cJSON_GetObjectItemCaseSensitive(obj, names[1]) != NULL)
            (void)printf("%-20s %s\n", names[0], cmd_human_bytes(json_int(obj, names[1], 0), text));
    }
}

static void print_one(const cJSON *tier)
{
    static const char *const names[] = {"Tier:",
                                        "name",
                                        "Kind:",
                                        "kind",
                                        "State:",
                                        "state",
                                        "Problem:",
                                        "problem",
                                        "Endpoint:",
                                        "endpoint",
                                        "Region:",
                                        "region",
                                        "Bucket prefix:",
                                        "bucket_prefix",
                                        "Buckets:",
                                        "bucket_count",
                                        "Key prefix:",
                                        "key_prefix",
                                        "Compression:",
                                        "compression",
                                        "Encrypted:",
                                        "encrypted",
                                        "Copies:",
                                        "copies",
                                        "Garbage copies:",
                                        "garbage_copies",
                                        "Lost copies:",
                                        "lost_copies",
                                        "Recalls waiting:",
                                        "recalls_waiting",
                                        "Requests:",
                                        "requests",
                                        "Retries:",
                                        "retries",
                                        "Failures:",
                                        "failures",
                                        NULL};
    static const char *const sizes[] = {
        "Bytes:",        "bytes",     "Garbage:", "garbage_bytes", "Size of chunk:", "chunk_size",
        "Size of pack:", "pack_size", NULL};
    static const char *const memory[] = {
        "Memory in use:", "used", "Memory at most:", "peak", "Memory bound:", "bound", NULL};
    static const char *const lanes[] = {"Lanes:",     "count",     "Copying:", "copying",
                                        "Recalling:", "recalling", NULL};
    auto_free char *pools = cmd_join(cJSON_GetObjectItemCaseSensitive(tier, "pools"), ",");
    cmd_print_members(tier, names);
    (void)printf("%-20s %s\n", "Pools:", *pools != '\0' ? pools : "-");
    print_sizes(tier, sizes);
    print_sizes(cJSON_GetObjectItemCaseSensitive(tier, "memory"), memory);
    if (cJSON_GetObjectItemCaseSensitive(tier, "lanes") != NULL)
        cmd_print_members(cJSON_GetObjectItemCaseSensitive(tier, "lanes"), lanes);
}

static int run_show(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    auto_json cJSON *res = NULL;
    int rc = cmd_call(ctx, "tier.show", cmd_object("name", args->argv[0]), &res);
    if (rc < 0)
        return rc;
    if (ctx->json)
        return cmd_print_payload(take_ptr(res));
    print_one(res);
    return 0;
}

static int on_event(void *arg, const cJSON *event)
{
    cmd_progress_draw(arg, event);
    return 0;
}

/* An operation with progress. *res is the caller's. */
static int call(struct cmd_ctx *ctx, const char *op, cJSON *req, cJSON **res)
{
    struct cmd_progress progress;
    cmd_progress_init(&progress);
    int rc = cmd_call_events(ctx, op, req, on_event, &progress, res);
    cmd_progress_clear(&progress);
    return rc;
}

static void print_problems(const cJSON *res)
{
    const cJSON *p = NULL;
    cJSON_ArrayForEach (p, cJSON_GetObjectItemCaseSensitive(res, "problems")) {
        cmd_put_text(stdout, cJSON_IsString(p) ? p->valuestring : "?");
        (void)putchar('\n');
    }
}

static void flag(cJSON *req, const struct cmd_args *args, const char *name)
{
    if (cmd_has(args, name))
        (void)cJSON_AddBoolToObject(req, name, true);
}

static int run_verify(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    int64_t limit = 0;
    auto_json cJSON *res = NULL;
    int rc = cmd_number(args, "limit", 0, 1, INT64_MAX / 2, &limit);
    if (rc != 0)
        return rc;
    cJSON *req = cmd_object("name", args->argv[0]);
    flag(req, args, "read");
    flag(req, args, "repair");
    if (limit > 0)
        json_add_int(req, "limit", limit);
    cJSON *paths = cJSON_AddArrayToObject(req, "paths");
    for (int i = 1; i < args->argc; i++) {
        auto_free char *path = cmd_path_absolute(args->argv[i]);
        (void)cJSON_AddItemToArray(paths, cJSON_CreateString(path));
    }
    rc = call(ctx, "tier.verify", req, &res);
    if (rc < 0)
        return rc;
    int64_t problems = json_int(res, "problem_count", 0);
    rc = problems > 0 ? CMD_EXIT_FAILED : 0;
    if (ctx->json) {
        (void)cmd_print_payload(take_ptr(res));
        return rc;
    }
    print_problems(res);
    (void)printf("%s: %" PRId64 " copies, %" PRId64 " as they should be, %" PRId64
                 " problems; %" PRId64 " of files that are gone or have newer copies\n",
                 args->argv[0], json_int(res, "copies", 0), json_int(res, "ok", 0), problems,
                 json_int(res, "unreferenced", 0));
    return rc;
}

static void print_garbage(const cJSON *res)
{
    auto_cmd_table struct cmd_table t;
    static const char *const heading[] = {"Archive", "Why", "Objects", "Bytes", "Path"};
    const cJSON *g = NULL;
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(res, "garbage");
    cmd_table_init(&t, 5, heading);
    cJSON_ArrayForEach (g, list) {
        char objects[CMD_NUMBER_MAX];
        char bytes[CMD_NUMBER_MAX];
        cmd_table_row(&t,
                      (const char *const[]){json_str(g, "id", NULL), json_str(g, "reason", NULL),
                                            number(g, "objects", objects),
                                            cmd_human_bytes(json_int(g, "bytes", 0), bytes),
                                            json_str(g, "path", NULL)});
    }
    if (cJSON_GetArraySize(list) > 0) {
        cmd_table_print(&t, stdout);
        (void)putchar('\n');
    }
}

static void print_in_packs(const char *name, const cJSON *in)
{
    char bytes[CMD_NUMBER_MAX];
    if (json_int(in, "count", 0) > 0)
        (void)printf("%s: %" PRId64 " more, %s, are garbage in packs that also hold wanted copies; "
                     "it goes with its pack\n",
                     name, json_int(in, "count", 0),
                     cmd_human_bytes(json_int(in, "bytes", 0), bytes));
}

static int run_gc(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    int64_t age = 0;
    char bytes[CMD_NUMBER_MAX];
    bool erase = cmd_has(args, "delete");
    auto_json cJSON *res = NULL;
    int rc = cmd_number(args, "min-age", 86400, 0, INT32_MAX, &age);
    if (rc != 0)
        return rc;
    cJSON *req = cmd_object("name", args->argv[0]);
    flag(req, args, "delete");
    flag(req, args, "unreferenced");
    json_add_int(req, "min_age_s", age);
    rc = call(ctx, "tier.gc", req, &res);
    if (rc < 0)
        return rc;
    int problems = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(res, "problems"));
    rc = problems > 0 ? CMD_EXIT_FAILED : 0;
    if (ctx->json) {
        (void)cmd_print_payload(take_ptr(res));
        return rc;
    }
    print_problems(res);
    print_garbage(res);
    (void)printf("%s: %" PRId64 " copies kept, %" PRId64 " too recent, %" PRId64
                 " of others; %" PRId64 " garbage, %s %" PRId64 " objects, %s\n",
                 args->argv[0], json_int(res, "copies_kept", 0), json_int(res, "recent", 0),
                 json_int(res, "foreign", 0), json_int(res, "garbage_count", 0),
                 erase ? "deleted:" : "not deleted (--delete does):", json_int(res, "objects", 0),
                 cmd_human_bytes(json_int(res, "bytes", 0), bytes));
    print_in_packs(args->argv[0], cJSON_GetObjectItemCaseSensitive(res, "in_packs"));
    return rc;
}

static const struct cmd_opt list_opts[] = {
    {"no-header", 0, NULL, "leave the heading line out", 0},
    {0},
};
static const struct cmd_opt verify_opts[] = {
    {"read", 0, NULL, "read all data and compare it with its digest", 0},
    {"repair", 0, NULL, "mark copies that are not there as lost, and those that are back as good",
     0},
    {"limit", 0, "N", "end after N copies", 0},
    {0},
};
static const struct cmd_opt gc_opts[] = {
    {"delete", 0, NULL, "delete what is proven to be garbage; without it nothing is changed", 0},
    {"unreferenced", 0, NULL, "take copies whose file was deleted for garbage too", 0},
    {"min-age", 0, "SECONDS", "leave what is younger alone (86400)", 0},
    {0},
};

const struct cmd cmds_tier[] = {
    {"list", "", "list libraries and stores", 0, 0, list_opts, run_list},
    {"show", "NAME", "show all that is known of a library or store", 1, 1, NULL, run_show},
    {"verify", "NAME [FILE...]", "compare the catalogue's copies with a store", 1, -1, verify_opts,
     run_verify},
    {"gc", "NAME", "find, and delete, what is nobody's in a store", 1, 1, gc_opts, run_gc},
    {0},
};
