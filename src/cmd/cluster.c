/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn cluster: attributes of the site, which allow or forbid kinds of work.
 */
#include "cmd/cmd_impl.h"

#include <errno.h>
#include <string.h>

#define NAME_WIDTH 24 /* of the longest attribute that eeadm has */

int cmd_cluster_show(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    const char *only = args->argc > 0 ? args->argv[0] : NULL;
    auto_json cJSON *res = NULL;
    int rc = cmd_call(ctx, "attr.list", NULL, &res);
    if (rc < 0)
        return rc;
    cJSON *list = cJSON_GetObjectItemCaseSensitive(res, "attributes");
    if (ctx->json)
        return cmd_print_payload(cJSON_Duplicate(list, true));
    auto_cmd_table struct cmd_table t;
    cmd_table_init(&t, 2, (const char *const[]){"Attribute", "Value"});
    t.min_first = NAME_WIDTH;
    const cJSON *a = NULL;
    cJSON_ArrayForEach (a, list) {
        const char *name = json_str(a, "name", NULL);
        if (only == NULL || (name != NULL && strcmp(name, only) == 0))
            cmd_table_row(&t, (const char *const[]){name, json_str(a, "value", NULL)});
    }
    if (only != NULL && t.nrows == 1)
        return err_set(&ctx->err, -ENOENT,
                       "there is no attribute \"%s\"; \"firn cluster show\" lists them", only);
    cmd_table_print(&t, stdout);
    return 0;
}

int cmd_cluster_set(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    const char *name = cmd_value(args, "attribute");
    int rc = cmd_call(ctx, "attr.set", cmd_object("name", name, "value", cmd_value(args, "value")),
                      NULL);
    if (rc < 0)
        return rc;
    if (ctx->json)
        return cmd_print_payload(cmd_object("name", name, "value", cmd_value(args, "value")));
    cmd_message("GLESL802I", "Updated attribute %s.", name);
    return 0;
}

static const struct cmd_opt set_opts[] = {
    {"attribute", 'a', "NAME", "the attribute", CMD_OPT_REQUIRED},
    {"value", 'v', "VALUE", "its new value", CMD_OPT_REQUIRED},
    {0},
};

const struct cmd cmds_cluster[] = {
    {"show", "[NAME]", "show the attributes of the site", 0, 1, NULL, cmd_cluster_show},
    {"set", "", "set an attribute", 0, 0, set_opts, cmd_cluster_set},
    {0},
};
