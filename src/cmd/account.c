/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn account: S3 accounts, whose files belong to a user of the system, and their keys.
 */
#include "base/mem.h"
#include "cmd/cmd_impl.h"

#include <inttypes.h>
#include <string.h>

static void add_row(struct cmd_table *t, const cJSON *a)
{
    char uid[CMD_NUMBER_MAX];
    char gid[CMD_NUMBER_MAX];
    char created[64];
    (void)snprintf(uid, sizeof(uid), "%" PRId64, json_int(a, "uid", -1));
    (void)snprintf(gid, sizeof(gid), "%" PRId64, json_int(a, "gid", -1));
    cmd_table_row(t, (const char *const[]){
                         json_str(a, "name", NULL),
                         uid,
                         gid,
                         json_str(a, "access_key", NULL),
                         json_str(a, "access_key2", NULL),
                         json_bool(a, "enabled", true) ? "yes" : "no",
                         cmd_local_time(json_str(a, "created", NULL), created),
                     });
}

static int run_list(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    static const char *const heading[] = {"Name",       "UID",     "GID",    "Access key",
                                          "Second key", "Enabled", "Created"};
    auto_json cJSON *res = NULL;
    int rc = cmd_call(ctx, "account.list", NULL, &res);
    if (rc < 0)
        return rc;
    return cmd_print_list(ctx, args, cJSON_GetObjectItemCaseSensitive(res, "accounts"), NULL, 7,
                          heading, add_row);
}

static int print_account(struct cmd_ctx *ctx, const cJSON *account)
{
    static const char *const names[] = {"Name:",
                                        "name",
                                        "UID:",
                                        "uid",
                                        "GID:",
                                        "gid",
                                        "Access key:",
                                        "access_key",
                                        "Secret key:",
                                        "secret_key",
                                        "Second access key:",
                                        "access_key2",
                                        "Second secret key:",
                                        "secret_key2",
                                        "New buckets:",
                                        "new_buckets",
                                        "Enabled:",
                                        "enabled",
                                        "MD5 ETags:",
                                        "md5_etag",
                                        "Created:",
                                        "created",
                                        NULL};
    if (ctx->json)
        return cmd_print_payload(cJSON_Duplicate(account, true));
    cmd_print_members(account, names);
    return 0;
}

/* The account in a result: itself, or the only one of its list. */
static const cJSON *account_of(const cJSON *res)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(res, "accounts");
    const cJSON *one = cJSON_GetObjectItemCaseSensitive(res, "account");
    return cJSON_IsArray(list) && list->child != NULL ? list->child
           : cJSON_IsObject(one)                      ? one
                                                      : res;
}

static int run_show(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    cJSON *req = cmd_object("name", args->argv[0]);
    if (cmd_has(args, "secrets"))
        (void)cJSON_AddBoolToObject(req, "secrets", true);
    auto_json cJSON *res = NULL;
    int rc = cmd_call(ctx, "account.show", req, &res);
    return rc < 0 ? rc : print_account(ctx, account_of(res));
}

/* Adds what create and set share. */
static int add_settings(const struct cmd_args *args, cJSON *req)
{
    static const char *const texts[][2] = {
        {"user", "user"}, {"access-key", "access_key"}, {"secret-key", "secret_key"}};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (cmd_has(args, texts[i][0]))
            json_add_str(req, texts[i][1], cmd_value(args, texts[i][0]));
    if (cmd_has(args, "new-buckets")) {
        auto_free char *dir = cmd_path_absolute(cmd_value(args, "new-buckets"));
        json_add_str(req, "new_buckets", dir);
    }
    if (cmd_has(args, "promote"))
        (void)cJSON_AddBoolToObject(req, "promote", true);
    static const char *const numbers[] = {"uid", "gid"};
    for (size_t i = 0; i < 2; i++) {
        int64_t v = -1;
        int rc = cmd_number(args, numbers[i], -1, 0, 4294967294, &v);
        if (rc != 0)
            return rc;
        if (v >= 0)
            json_add_int(req, numbers[i], v);
    }
    static const char *const bools[][2] = {{"enabled", "enabled"}, {"md5-etag", "md5_etag"}};
    for (size_t i = 0; i < sizeof(bools) / sizeof(bools[0]); i++) {
        const char *v = cmd_value(args, bools[i][0]);
        if (v == NULL)
            continue;
        if (strcmp(v, "yes") != 0 && strcmp(v, "no") != 0)
            return cmd_usage(args, "--%s \"%s\": yes or no is wanted", bools[i][0], v);
        (void)cJSON_AddBoolToObject(req, bools[i][1], strcmp(v, "yes") == 0);
    }
    return 0;
}

static int run_create(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    if (!cmd_has(args, "user") && !cmd_has(args, "uid"))
        return cmd_usage(args, "whose files are the account's? Give --user USER or --uid N");
    auto_json cJSON *req = cmd_object("name", args->argv[0]);
    int rc = add_settings(args, req);
    if (rc != 0)
        return rc;
    auto_json cJSON *res = NULL;
    rc = cmd_call(ctx, "account.create", take_ptr(req), &res);
    return rc < 0 ? rc : print_account(ctx, account_of(res));
}

static int run_set(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    auto_json cJSON *req = cmd_object("name", args->argv[0]);
    int rc = add_settings(args, req);
    if (rc != 0)
        return rc;
    if (args->ngiven == 0)
        return cmd_usage(args, "nothing to set is given");
    rc = cmd_call(ctx, "account.set", take_ptr(req), NULL);
    if (rc < 0)
        return rc;
    if (ctx->json)
        return cmd_print_payload(cmd_object("name", args->argv[0]));
    (void)printf("Changed account %s.\n", args->argv[0]);
    return 0;
}

static int run_rotate(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    auto_json cJSON *res = NULL;
    int rc = cmd_call(ctx, "account.rotate", cmd_object("name", args->argv[0]), &res);
    return rc < 0 ? rc : print_account(ctx, account_of(res));
}

static int run_delete(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    int rc = cmd_call(ctx, "account.delete", cmd_object("name", args->argv[0]), NULL);
    if (rc < 0)
        return rc;
    if (ctx->json)
        return cmd_print_payload(cmd_object("name", args->argv[0]));
    (void)printf("Deleted account %s.\n", args->argv[0]);
    return 0;
}

#define OPT_UID                                                                                    \
    {                                                                                              \
        "uid", 'u', "N", "user id of the account's files", 0                                       \
    }
#define OPT_GID                                                                                    \
    {                                                                                              \
        "gid", 'g', "N", "group id of the account's files", 0                                      \
    }
#define OPT_NEW                                                                                    \
    {                                                                                              \
        "new-buckets", 0, "YES|NO", "whether it may create buckets", 0                             \
    }

#define OPT_MD5                                                                                    \
    {                                                                                              \
        "md5-etag", 0, "YES|NO", "whether ETags are MD5 digests", 0                                \
    }

static const struct cmd_opt list_opts[] = {
    {"no-header", 0, NULL, "leave the heading line out", 0},
    {0},
};
static const struct cmd_opt show_opts[] = {
    {"secrets", 0, NULL, "show secret keys too", 0},
    {0},
};
static const struct cmd_opt create_opts[] = {
    {"user", 0, "USER", "user of the system whose ids the files get", 0},
    OPT_UID,
    OPT_GID,
    {"access-key", 0, "KEY", "access key instead of a new one", 0},
    {"secret-key", 0, "KEY", "secret key instead of a new one", 0},
    OPT_NEW,
    OPT_MD5,
    {0},
};
static const struct cmd_opt set_opts[] = {
    OPT_UID,
    OPT_GID,
    OPT_NEW,
    OPT_MD5,
    {"enabled", 0, "YES|NO", "whether its requests are served", 0},
    {"promote", 0, NULL, "make the second pair of keys the first and forget the first", 0},
    {0},
};

const struct cmd cmds_account[] = {
    {"list", "", "list accounts", 0, 0, list_opts, run_list},
    {"show", "NAME", "show an account", 1, 1, show_opts, run_show},
    {"create", "NAME", "make an account and print its keys", 1, 1, create_opts, run_create},
    {"set", "NAME", "change an account", 1, 1, set_opts, run_set},
    {"rotate", "NAME", "make a second pair of keys; the first stays valid", 1, 1, NULL, run_rotate},
    {"delete", "NAME", "delete an account that owns no bucket", 1, 1, NULL, run_delete},
    {0},
};
