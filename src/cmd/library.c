/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn library: tape libraries.
 */
#include "cmd/cmd_impl.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static const char *number(const cJSON *obj, const char *name, char *out)
{
    const cJSON *j = cJSON_GetObjectItemCaseSensitive(obj, name);
    int64_t v = cJSON_IsArray(j) ? cJSON_GetArraySize(j) : json_int(obj, name, 0);
    (void)snprintf(out, CMD_NUMBER_MAX, "%" PRId64, v);
    return out;
}

static void add_row(struct cmd_table *t, const cJSON *library)
{
    char slots[CMD_NUMBER_MAX];
    char drives[CMD_NUMBER_MAX];
    char volumes[CMD_NUMBER_MAX];
    cmd_table_row(t, (const char *const[]){
                         json_str(library, "name", NULL),
                         json_str(library, "kind", NULL),
                         number(library, "slots", slots),
                         number(library, "drives", drives),
                         number(library, "volumes", volumes),
                         json_str(library, "path", NULL),
                         json_str(library, "problem", NULL),
                     });
}

int cmd_library_list(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    static const char *const heading[] = {"Library", "Kind", "Slots",  "Drives",
                                          "Tapes",   "Path", "Problem"};
    auto_json cJSON *res = NULL;
    int rc = cmd_call(ctx, "library.list", NULL, &res);
    if (rc < 0)
        return rc;
    cJSON *list = cJSON_GetObjectItemCaseSensitive(res, "libraries");
    const char *only = args->argc > 0 ? args->argv[0] : NULL;
    for (cJSON *l = list != NULL ? list->child : NULL, *next = NULL; l != NULL; l = next) {
        next = l->next;
        if (only != NULL && strcmp(json_str(l, "name", ""), only) != 0)
            cJSON_Delete(cJSON_DetachItemViaPointer(list, l));
    }
    if (only != NULL && cJSON_GetArraySize(list) == 0)
        return err_set(&ctx->err, -ENOENT, "there is no library \"%s\"", only);
    return cmd_print_list(ctx, args, list, NULL, 7, heading, add_row);
}

int cmd_library_rescan(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    const char *library = args->argc > 0 ? args->argv[0] : cmd_value(args, "library");
    auto_json cJSON *res = NULL;
    int rc = cmd_call(ctx, "library.rescan", cmd_object("library", library), &res);
    if (rc < 0)
        return rc;
    if (ctx->json)
        return cmd_print_payload(take_ptr(res));
    char found[CMD_NUMBER_MAX];
    char missing[CMD_NUMBER_MAX];
    (void)printf("%s cartridges found, %s missing.\n", number(res, "found", found),
                 number(res, "missing", missing));
    return 0;
}

static const struct cmd_opt list_opts[] = {
    {"no-header", 0, NULL, "leave the heading line out", 0},
    {0},
};
static const struct cmd_opt create_opts[] = {
    {"kind", 0, "KIND", "kind of library; dir is a directory of virtual cartridges", 0},
    {"drives", 0, "N", "number of drives, 1 to 64 (2)", 0},
    {"cartridges", 0, "N", "number of cartridges, 1 to 9999 (8)", 0},
    {"slots", 0, "N", "number of slots (as many as cartridges)", 0},
    {"media", 0, "TYPE", "type of drives and cartridges: L5 to L9 or M8 (L8)", 0},
    {"size", 0, "SIZE", "capacity of a cartridge, as 512MiB (8GiB)", 0},
    {"prefix", 0, "TEXT", "beginning of the barcodes (FIRN)", 0},
    {0},
};

const struct cmd cmds_library[] = {
    {"list", "", "list libraries", 0, 0, list_opts, cmd_library_list},
    {"show", "LIBRARY", "show one library", 1, 1, list_opts, cmd_library_list},
    {"rescan", "[LIBRARY]", "take a new inventory", 0, 1, NULL, cmd_library_rescan},
    {"create", "DIRECTORY", "make a virtual library in a directory", 1, 1, create_opts,
     cmd_library_create},
    {0},
};
