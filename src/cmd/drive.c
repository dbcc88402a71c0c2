/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn drive: tape drives and what they are used for.
 */
#include "cmd/cmd_impl.h"

#include <inttypes.h>

static void add_row(struct cmd_table *t, const cJSON *drive)
{
    char task[CMD_NUMBER_MAX] = "";
    char node[CMD_NUMBER_MAX];
    char type[CMD_NUMBER_MAX];
    int64_t id = json_int(drive, "task_id", 0);
    if (id > 0)
        (void)snprintf(task, sizeof(task), "%" PRId64, id);
    (void)snprintf(node, sizeof(node), "%" PRId64, json_int(drive, "node", 1));
    cmd_table_row(t, (const char *const[]){
                         json_str(drive, "serial", json_str(drive, "id", NULL)),
                         json_str(drive, "status", NULL),
                         json_str(drive, "state", NULL),
                         cmd_drive_type(drive, type),
                         json_str(drive, "role", NULL),
                         json_str(drive, "library", NULL),
                         json_str(drive, "node", node),
                         json_str(drive, "barcode", NULL),
                         "G0",
                         task,
                     });
}

int cmd_drive_list(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    static const char *const heading[] = {"Drive S/N", "Status",  "State", "Type",       "Role",
                                          "Library",   "Node ID", "Tape",  "Node Group", "Task ID"};
    auto_json cJSON *res = NULL;
    int rc = cmd_call(ctx, "drive.list", cmd_object("library", cmd_value(args, "library")), &res);
    if (rc < 0)
        return rc;
    return cmd_print_list(ctx, args, cJSON_GetObjectItemCaseSensitive(res, "drives"),
                          cmd_payload_drive, 10, heading, add_row);
}

int cmd_drive_show(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    static const char *const names[] = {
        "Drive S/N:", "serial",  "Library:",    "library",    "Status:",        "status",
        "State:",     "state",   "Problem:",    "problem",    "Type:",          "type",
        "Role:",      "role",    "Address:",    "address",    "Tape:",          "barcode",
        "Mounts:",    "mounts",  "Bytes read:", "bytes_read", "Bytes written:", "bytes_written",
        "Task ID:",   "task_id", NULL};
    auto_json cJSON *res = NULL;
    int rc = cmd_call(ctx, "drive.show", cmd_object("serial", args->argv[0]), &res);
    if (rc < 0)
        return rc;
    if (ctx->json)
        return cmd_print_payload(take_ptr(res));
    cmd_print_members(res, names);
    return 0;
}

int cmd_drive_assign(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    const char *role = cmd_value(args, "role");
    /* eeadm drive set: -a role -v ROLES */
    if (role == NULL)
        role = cmd_value(args, "value");
    int rc = cmd_call(ctx, "drive.assign", cmd_object("serial", args->argv[0], "role", role), NULL);
    if (rc < 0)
        return rc;
    if (ctx->json)
        return cmd_print_payload(cmd_object("id", args->argv[0]));
    (void)printf("Assigned drive %s.\n", args->argv[0]);
    return 0;
}

int cmd_drive_unassign(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    int rc = cmd_call(ctx, "drive.unassign", cmd_object("serial", args->argv[0]), NULL);
    if (rc < 0)
        return rc;
    if (ctx->json)
        return cmd_print_payload(cmd_object("id", args->argv[0]));
    (void)printf("Unassigned drive %s.\n", args->argv[0]);
    return 0;
}

static const struct cmd_opt list_opts[] = {
    {"library", 'l', "LIBRARY", "of this library only", 0},
    {"no-header", 0, NULL, "leave the heading line out", 0},
    {0},
};
static const struct cmd_opt assign_opts[] = {
    {"role", 'r', "ROLES",
     "letters of what it may do: m migrate, r recall, g the rest; as before without", 0},
    {0},
};

const struct cmd cmds_drive[] = {
    {"list", "", "list drives", 0, 0, list_opts, cmd_drive_list},
    {"show", "SERIAL", "show all that is known of a drive", 1, 1, NULL, cmd_drive_show},
    {"assign", "SERIAL", "let firnd use a drive", 1, 1, assign_opts, cmd_drive_assign},
    {"unassign", "SERIAL", "keep firnd from using a drive", 1, 1, NULL, cmd_drive_unassign},
    {0},
};
