/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn bucket: S3 buckets, which are directories.
 */
#include "cmd/cmd_impl.h"

static void add_row(struct cmd_table *t, const cJSON *b)
{
    char created[64];
    cmd_table_row(t, (const char *const[]){
                         json_str(b, "name", NULL),
                         json_str(b, "owner", NULL),
                         json_bool(b, "exported", false) ? "yes" : "no",
                         cmd_local_time(json_str(b, "created", NULL), created),
                         json_str(b, "path", NULL),
                     });
}

static int run_list(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    static const char *const heading[] = {"Name", "Owner", "Exported", "Created", "Path"};
    auto_json cJSON *res = NULL;
    int rc = cmd_call(ctx, "bucket.list", cmd_object("account", cmd_value(args, "account")), &res);
    if (rc < 0)
        return rc;
    return cmd_print_list(ctx, args, cJSON_GetObjectItemCaseSensitive(res, "buckets"), NULL, 5,
                          heading, add_row);
}

static int run_create(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    auto_free char *path = NULL;
    if (cmd_has(args, "path"))
        path = cmd_path_absolute(cmd_value(args, "path"));
    auto_json cJSON *res = NULL;
    int rc = cmd_call(
        ctx, "bucket.create",
        cmd_object("name", args->argv[0], "owner", cmd_value(args, "owner"), "path", path), &res);
    if (rc < 0)
        return rc;
    const cJSON *b = cJSON_GetObjectItemCaseSensitive(res, "bucket");
    if (!cJSON_IsObject(b))
        b = res;
    if (ctx->json)
        return cmd_print_payload(cJSON_Duplicate(b, true));
    (void)printf("Created bucket %s of %s", args->argv[0], cmd_value(args, "owner"));
    if (json_str(b, "path", NULL) != NULL)
        (void)printf(" in %s", json_str(b, "path", ""));
    (void)puts(".");
    return 0;
}

static int run_delete(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    int rc = cmd_call(ctx, "bucket.delete", cmd_object("name", args->argv[0]), NULL);
    if (rc < 0)
        return rc;
    if (ctx->json)
        return cmd_print_payload(cmd_object("name", args->argv[0]));
    (void)printf("Deleted bucket %s.\n", args->argv[0]);
    return 0;
}

static const struct cmd_opt list_opts[] = {
    {"account", 'a', "NAME", "of this account only", 0},
    {"no-header", 0, NULL, "leave the heading line out", 0},
    {0},
};
static const struct cmd_opt create_opts[] = {
    {"owner", 'o', "ACCOUNT", "the account that owns it", CMD_OPT_REQUIRED},
    {"path", 0, "DIRECTORY", "make this existing directory the bucket", 0},
    {0},
};

const struct cmd cmds_bucket[] = {
    {"list", "", "list buckets", 0, 0, list_opts, run_list},
    {"create", "NAME", "make a bucket", 1, 1, create_opts, run_create},
    {"delete", "NAME", "delete an empty bucket; an existing directory stays", 1, 1, NULL,
     run_delete},
    {0},
};
