/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eeadm: the command line of IBM Storage Archive EE on firn's operations, and the script form in
 * which a policy's EXTERNAL POOL calls it. What firn has no operation for is refused with the
 * command that comes nearest.
 */
#include "base/mem.h"
#include "cmd/cmd_impl.h"

#include <string.h>
#include <strings.h>

/* ---- work on lists of files -------------------------------------------------------------- */

static int run_list_task(struct cmd_ctx *ctx, const struct cmd_args *args, const char *type)
{
    struct cmd_taskrun run = {.type = type,
                              .pools = cmd_value(args, "pool"),
                              .resident = cmd_has(args, "resident"),
                              .async = cmd_has(args, "async"),
                              .source = {.list = args->argv[0]}};
    return cmd_taskrun(ctx, &run);
}

static int run_migrate(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    return run_list_task(ctx, args, "migrate");
}

static int run_premigrate(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    return run_list_task(ctx, args, "premigrate");
}

static int run_save(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    return run_list_task(ctx, args, "save");
}

static int run_recall(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    return run_list_task(ctx, args, "recall");
}

/* EXTERNAL POOL's question whether this node can be used. */
static int run_test(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    (void)args;
    return cmd_call(ctx, "status", NULL, NULL);
}

static int run_list(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    struct cmd_path_source src = {.list = args->argv[0]};
    return cmd_print_states(ctx, &src);
}

/* ---- nodes ------------------------------------------------------------------------------- */

static cJSON *node_of(const cJSON *library, const char *host)
{
    cJSON *o = cJSON_CreateObject();
    const char *name = json_str(library, "name", "");
    auto_free char *group = xasprintf("G0@%s", name);
    json_add_int(o, "id", 1);
    json_add_str(o, "ip", "127.0.0.1");
    json_add_str(o, "hostname", host);
    json_add_int(o, "port", 0);
    (void)cJSON_AddBoolToObject(o, "enabled", true);
    const cJSON *drives = cJSON_GetObjectItemCaseSensitive(library, "drives");
    json_add_int(o, "num_of_drives",
                 cJSON_IsArray(drives) ? cJSON_GetArraySize(drives)
                                       : json_int(library, "drives", 0));
    json_add_str(o, "library_id", name);
    json_add_str(o, "library_name", name);
    json_add_str(o, "nodegroup_id", group);
    json_add_str(o, "nodegroup_name", "G0");
    json_add_str(o, "state", "available");
    (void)cJSON_AddBoolToObject(o, "control_node", true);
    (void)cJSON_AddBoolToObject(o, "active_control_node", true);
    return o;
}

static void add_node(struct cmd_table *t, const cJSON *n)
{
    char drives[CMD_NUMBER_MAX];
    (void)snprintf(drives, sizeof(drives), "%lld", (long long)json_int(n, "num_of_drives", 0));
    cmd_table_row(t, (const char *const[]){"1", json_str(n, "state", NULL), json_str(n, "ip", NULL),
                                           drives, "yes(active)", json_str(n, "library_name", NULL),
                                           "G0", json_str(n, "hostname", NULL)});
}

static int run_node_list(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    static const char *const heading[] = {"Node ID",      "State",   "Node IP",    "Drives",
                                          "Control Node", "Library", "Node Group", "Host Name"};
    char host[256] = "localhost";
    (void)gethostname(host, sizeof(host) - 1);
    auto_json cJSON *res = NULL;
    int rc = cmd_call(ctx, "library.list", NULL, &res);
    if (rc < 0)
        return rc;
    auto_json cJSON *nodes = cJSON_CreateArray();
    const cJSON *l = NULL;
    cJSON_ArrayForEach (l, cJSON_GetObjectItemCaseSensitive(res, "libraries")) {
        (void)cJSON_AddItemToArray(nodes, node_of(l, host));
    }
    return cmd_print_list(ctx, args, nodes, NULL, 8, heading, add_node);
}

/* ---- tables ------------------------------------------------------------------------------ */

#define OPT_LIBRARY                                                                                \
    {                                                                                              \
        "library", 'l', "LIBRARY", "in this library only", 0                                       \
    }
#define OPT_NO_HEADER                                                                              \
    {                                                                                              \
        "no-header", 0, NULL, "leave the heading line out", 0                                      \
    }
#define OPT_POOL                                                                                   \
    {                                                                                              \
        "pool", 'p', "POOL", "the pool", CMD_OPT_REQUIRED                                          \
    }
#define OPT_ASYNC                                                                                  \
    {                                                                                              \
        "async", 0, NULL, "print the task's number and do not wait", 0                             \
    }
#define OPT_GROUP                                                                                  \
    {                                                                                              \
        "nodegroup", 'g', "GROUP", "without effect (there is one)", CMD_OPT_IGNORED                \
    }
#define OPT_NODE                                                                                   \
    {                                                                                              \
        "node", 'n', "NODE", "without effect (there is one)", CMD_OPT_IGNORED                      \
    }
#define OPT_POOLS                                                                                  \
    {                                                                                              \
        "pool", 'p', "POOL@LIBRARY[,...]", "copy to these pools, one copy each (1 to 3)",          \
            CMD_OPT_REQUIRED                                                                       \
    }

static const struct cmd_opt cluster_set_opts[] = {
    {"attribute", 'a', "NAME", "the attribute", CMD_OPT_REQUIRED},
    {"value", 'v', "VALUE", "its new value", CMD_OPT_REQUIRED},
    {0},
};
static const struct cmd_opt list_opts[] = {OPT_LIBRARY, OPT_NO_HEADER, {0}};
static const struct cmd_opt tape_list_opts[] = {
    OPT_LIBRARY,
    {"pool", 'p', "POOL", "of this pool only", 0},
    OPT_NO_HEADER,
    {0},
};
static const struct cmd_opt header_opts[] = {OPT_NO_HEADER, {0}};
static const struct cmd_opt library_opts[] = {OPT_LIBRARY, {0}};
static const struct cmd_opt pool_create_opts[] = {
    OPT_LIBRARY,
    OPT_GROUP,
    {"worm", 0, "WORM", "without effect", CMD_OPT_IGNORED},
    {0},
};
static const struct cmd_opt drive_assign_opts[] = {
    OPT_NODE,
    {"role", 'r', "ROLES", "letters of what it may do: m migrate, r recall, g the rest", 0},
    OPT_LIBRARY,
    {0},
};
static const struct cmd_opt drive_set_opts[] = {
    {"attribute", 'a', "NAME", "the attribute: role", CMD_OPT_REQUIRED},
    {"value", 'v', "VALUE", "its new value", CMD_OPT_REQUIRED},
    OPT_LIBRARY,
    {0},
};
static const struct cmd_opt tape_show_opts[] = {
    OPT_LIBRARY,
    {"attributes", 'a', NULL, "without effect (all is shown)", CMD_OPT_IGNORED},
    {0},
};
static const struct cmd_opt tape_assign_opts[] = {
    OPT_POOL,
    OPT_LIBRARY,
    {"force", 'f', NULL, "format even a tape that holds a foreign volume", 0},
    {0},
};
static const struct cmd_opt tape_unassign_opts[] = {
    OPT_POOL,
    OPT_LIBRARY,
    {"check-empty", 'E', NULL, "refuse when a file refers to the tape", 0},
    {0},
};
static const struct cmd_opt migrate_opts[] = {OPT_POOLS, OPT_ASYNC, {0}};
static const struct cmd_opt recall_opts[] = {
    {"library", 'l', "LIBRARY", "without effect (the best copy is taken)", CMD_OPT_IGNORED},
    {"pool", 'p', "POOL", "without effect (the best copy is taken)", CMD_OPT_IGNORED},
    {"resident", 0, NULL, "forget the copies on tape, the file becomes resident", 0},
    OPT_ASYNC,
    {0},
};
static const struct cmd_opt task_list_opts[] = {
    {"completed", 'c', NULL, "completed tasks only, with their results", 0},
    OPT_NO_HEADER,
    {0},
};
static const struct cmd_opt task_show_opts[] = {
    {"results", 'r', NULL, "one line for every file", 0},
    {"verbose", 'v', NULL, "with -r: facts of the task and messages too", 0},
    {0},
};

static int run_drive_set(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    if (strcmp(cmd_value(args, "attribute"), "role") != 0)
        return cmd_usage(args, "attribute \"%s\": a drive has only role",
                         cmd_value(args, "attribute"));
    return cmd_drive_assign(ctx, args);
}

static const struct cmd cluster_cmds[] = {
    {"show", "[NAME]", "show the attributes of the site", 0, 1, NULL, cmd_cluster_show},
    {"set", "", "set an attribute", 0, 0, cluster_set_opts, cmd_cluster_set},
    {0},
};
static const struct cmd node_cmds[] = {
    {"list", "", "list the node", 0, 0, header_opts, run_node_list},
    {"show", "[ID]", "list the node", 0, 1, header_opts, run_node_list},
    {0},
};
static const struct cmd library_cmds[] = {
    {"list", "", "list libraries", 0, 0, header_opts, cmd_library_list},
    {"show", "[LIBRARY]", "list libraries", 0, 1, header_opts, cmd_library_list},
    {"rescan", "[LIBRARY]", "take a new inventory", 0, 1, library_opts, cmd_library_rescan},
    {0},
};
static const struct cmd drive_cmds[] = {
    {"list", "", "list drives", 0, 0, list_opts, cmd_drive_list},
    {"show", "SERIAL", "show all that is known of a drive", 1, 1, library_opts, cmd_drive_show},
    {"assign", "SERIAL", "let firnd use a drive", 1, 1, drive_assign_opts, cmd_drive_assign},
    {"unassign", "SERIAL", "keep firnd from using a drive", 1, 1, library_opts, cmd_drive_unassign},
    {"set", "SERIAL", "set the role of a drive", 1, 1, drive_set_opts, run_drive_set},
    {0},
};
static const struct cmd pool_cmds[] = {
    {"list", "", "list pools", 0, 0, list_opts, cmd_pool_list},
    {"show", "POOL", "show a pool and its cartridges", 1, 1, library_opts, cmd_pool_show},
    {"create", "POOL", "make a new, empty pool", 1, 1, pool_create_opts, cmd_pool_create},
    {"delete", "POOL", "delete an empty pool", 1, 1, library_opts, cmd_pool_delete},
    {0},
};
static const struct cmd tape_cmds[] = {
    {"list", "", "list cartridges", 0, 0, tape_list_opts, cmd_tape_list},
    {"show", "BARCODE...", "show all that is known of cartridges", 1, -1, tape_show_opts,
     cmd_tape_show},
    {"assign", "BARCODE...", "put cartridges into a pool, formatting them", 1, -1, tape_assign_opts,
     cmd_tape_assign},
    {"unassign", "BARCODE...", "take cartridges out of their pool", 1, -1, tape_unassign_opts,
     cmd_tape_unassign},
    {"validate", "BARCODE...", "check the volume on cartridges", 1, -1, library_opts,
     cmd_tape_verify},
    {0},
};
static const struct cmd file_cmds[] = {
    {"state", "PATH...", "show the state of files and where their copies are", 1, -1, NULL,
     cmd_file_state},
    {0},
};
static const struct cmd migrate_cmds[] = {
    {"", "LIST", "copy the files of a list to tape and free their blocks", 1, 1, migrate_opts,
     run_migrate},
    {0},
};
static const struct cmd premigrate_cmds[] = {
    {"", "LIST", "copy the files of a list to tape", 1, 1, migrate_opts, run_premigrate},
    {0},
};
static const struct cmd save_cmds[] = {
    {"", "LIST", "save empty files, directories and links", 1, 1, migrate_opts, run_save},
    {0},
};
static const struct cmd recall_cmds[] = {
    {"", "LIST", "bring the data of the files of a list back", 1, 1, recall_opts, run_recall},
    {0},
};
static const struct cmd test_cmds[] = {
    {"", "[PATH] [OPTS...]", "policies: whether firnd can be used", 0, -1, recall_opts, run_test},
    {0},
};
static const struct cmd list_cmds[] = {
    {"", "LIST", "policies: show the state of the files of a list", 1, -1, recall_opts, run_list},
    {0},
};
static const struct cmd task_cmds[] = {
    {"list", "", "list tasks, newest first", 0, 0, task_list_opts, cmd_task_list},
    {"show", "ID", "show a task and what became of its files", 1, 1, task_show_opts, cmd_task_show},
    {"cancel", "ID", "give up what a task has not begun", 1, 1, NULL, cmd_task_cancel},
    {"clearhistory", "", "forget completed tasks", 0, 0, NULL, cmd_task_clear},
    {0},
};

static const struct cmd_group groups[] = {
    {"cluster", "attributes of the whole site", cluster_cmds},
    {"node", "the node", node_cmds},
    {"library", "tape libraries", library_cmds},
    {"drive", "tape drives", drive_cmds},
    {"pool", "pools of cartridges", pool_cmds},
    {"tape", "cartridges", tape_cmds},
    {"file", "state of files", file_cmds},
    {"migrate", "copy files to tape and free their blocks", migrate_cmds},
    {"premigrate", "copy files to tape", premigrate_cmds},
    {"save", "save what has no data", save_cmds},
    {"recall", "bring files back", recall_cmds},
    {"task", "what was asked of firnd and what became of it", task_cmds},
    {"TEST", "policies: whether firnd can be used", test_cmds},
    {"MIGRATE", "policies: as migrate", migrate_cmds},
    {"PREMIGRATE", "policies: as premigrate", premigrate_cmds},
    {"RECALL", "policies: as recall", recall_cmds},
    {"LIST", "policies: show the state of the files of a list", list_cmds},
    {0},
};

/* ---- what firn has no operation for ------------------------------------------------------ */

static const struct {
    const char *words;
    const char *instead;
} absent[] = {
    {"cluster start", "\"systemctl start firnd\" starts the daemon"},
    {"cluster stop", "\"firn drain\" and then \"systemctl stop firnd\" end the daemon"},
    {"cluster restart", "\"systemctl restart firnd\" does it"},
    {"cluster failover", "there is one node; \"firn status\" shows it"},
    {"node up", "there is one node; \"systemctl start firnd\" starts it"},
    {"node down", "there is one node; \"systemctl stop firnd\" stops it"},
    {"nodegroup", "there is one node; \"firn library list\" comes nearest"},
    {"drive up", "\"firn drive assign\" comes nearest"},
    {"drive down", "\"firn drive unassign\" comes nearest"},
    {"pool set", "\"firn pool show\" shows a pool; nothing of it can be set"},
    {"tape reclaim", "\"firn tape list\" shows what could be reclaimed"},
    {"tape import", "\"firn library rescan\" and \"firn rebuild\" take in volumes that firn wrote"},
    {"tape export", "\"firn tape unassign\" comes nearest"},
    {"tape offline", "\"firn tape unassign\" comes nearest"},
    {"tape online", "\"firn library rescan\" comes nearest"},
    {"tape datamigrate",
     "\"firn file recall\" and \"firn file migrate\" move files to another pool"},
    {"tape move", "firnd moves cartridges itself; \"firn tape list\" shows where they are"},
    {"tape reconcile", "\"firn tape verify\" comes nearest"},
    {"tape replace", "\"firn file recall\", then \"firn tape unassign\" comes nearest"},
    {"PURGE", "deleting a file makes its copies garbage; \"firn tape list\" shows how much"},
};

static int unknown(struct cmd_ctx *ctx, int argc, char **argv)
{
    (void)ctx;
    auto_free char *two = argc > 1 ? xasprintf("%s %s", argv[0], argv[1]) : xstrdup(argv[0]);
    for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++) {
        if (strcmp(absent[i].words, two) != 0 && strcmp(absent[i].words, argv[0]) != 0)
            continue;
        (void)fprintf(stderr, "eeadm: firn has no operation \"%s\": %s.\n", absent[i].words,
                      absent[i].instead);
        return CMD_EXIT_USAGE;
    }
    const char *words[sizeof(groups) / sizeof(groups[0]) + 1];
    size_t n = 0;
    const struct cmd_group *g = cmd_find_group(ctx->program, argv[0]);
    if (g != NULL)
        for (const struct cmd *c = g->cmds; c->run != NULL; c++)
            words[n++] = c->name;
    else
        for (const struct cmd_group *h = groups; h->name != NULL; h++)
            words[n++] = h->name;
    words[n] = NULL;
    const char *meant = cmd_suggest(g != NULL ? argv[1] : argv[0], words);
    (void)fprintf(stderr, "eeadm: firn has no operation \"%s\"", g != NULL ? two : argv[0]);
    if (meant != NULL)
        (void)fprintf(stderr, "; perhaps \"%s%s%s\" was meant", g != NULL ? g->name : "",
                      g != NULL ? " " : "", meant);
    (void)fputs("\n\"eeadm --help\" lists what there is.\n", stderr);
    return CMD_EXIT_USAGE;
}

const struct cmd_program cmd_program_eeadm = {"eeadm", "firn-compat(7)", groups, unknown};
