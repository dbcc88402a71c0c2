/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists: the members that eeadm --json gives to tapes, drives, pools and tasks (IBM Storage Archive
 * EE 1.3), and tables.
 */
#include "base/mem.h"
#include "base/timefmt.h"
#include "cmd/cmd_impl.h"

#include <string.h>

#define NODE_GROUP "G0" /* firn is one node */

static void add_text(cJSON *to, const char *name, const cJSON *from, const char *member)
{
    json_add_str(to, name, json_str(from, member, ""));
}

/* Spaces of a tape or a pool; all in bytes. */
static void add_spaces(cJSON *to, const cJSON *from, bool appendable)
{
    int64_t capacity = json_int(from, "capacity", 0);
    int64_t used = json_int(from, "used", 0);
    int64_t available = json_int(from, "available", 0);
    int64_t reclaimable = json_int(from, "reclaimable", 0);
    json_add_int(to, "capacity", capacity);
    json_add_int(to, "used_space", used);
    json_add_int(to, "free_space", available);
    json_add_int(to, "non_appendable_space", appendable ? 0 : available);
    json_add_int(to, "reclaimable_space", reclaimable);
    json_add_int(to, "reclaimable%", capacity > 0 ? reclaimable * 100 / capacity : 0);
    json_add_int(to, "active_space", used > reclaimable ? used - reclaimable : 0);
}

static bool truth(const cJSON *obj, const char *member)
{
    const char *s = json_str(obj, member, NULL);
    return s != NULL ? strcmp(s, "yes") == 0 : json_bool(obj, member, false);
}

cJSON *cmd_payload_tape(const cJSON *tape)
{
    const char *library = json_str(tape, "library", "");
    const char *media = json_str(tape, "media_type", "");
    const char *barcode = json_str(tape, "barcode", "");
    const char *pool = json_str(tape, "pool", "");
    bool appendable = truth(tape, "appendable");
    cJSON *o = cJSON_CreateObject();
    auto_free char *id = xasprintf("%s@%s", barcode, library);
    json_add_str(o, "id", id);
    json_add_str(o, "barcode", barcode);
    add_text(o, "state", tape, "state");
    add_text(o, "status", tape, "status");
    json_add_str(o, "media_type", media);
    auto_free char *generation = xasprintf("LTO-Gen%s", media[0] == 'L' ? media + 1 : media);
    json_add_str(o, "media_generation", generation);
    json_add_str(o, "format_density", media);
    (void)cJSON_AddBoolToObject(o, "worm", false);
    json_add_str(o, "pool_name", pool);
    auto_free char *pool_id = *pool != '\0' ? xasprintf("%s@%s", pool, library) : xstrdup("");
    json_add_str(o, "pool_id", pool_id);
    json_add_str(o, "appendable", appendable ? "yes" : "no");
    add_spaces(o, tape, appendable);
    auto_free char *address = xasprintf("%lld", (long long)json_int(tape, "address", 0));
    json_add_str(o, "address", json_str(tape, "address", address));
    json_add_str(o, "library_name", library);
    json_add_str(o, "library_id", library);
    add_text(o, "drive_id", tape, "drive");
    auto_free char *task = xasprintf("%lld", (long long)json_int(tape, "task_id", 0));
    json_add_str(o, "task_id", json_int(tape, "task_id", 0) > 0 ? task : "");
    json_add_str(o, "offline_msg", "");
    add_text(o, "location_type", tape, "location_type");
    return o;
}

const char *cmd_drive_type(const cJSON *drive, char *out)
{
    const char *type = json_str(drive, "type", "");
    const char *mark = strstr(type, "-TD");
    if (mark == NULL)
        mark = strstr(type, "-HH");
    if (mark != NULL && mark[3] >= '5' && mark[3] <= '9' && mark[4] == '\0')
        (void)snprintf(out, CMD_NUMBER_MAX, "LTO%c", mark[3]);
    else
        (void)snprintf(out, CMD_NUMBER_MAX, "%s", type);
    return out;
}

cJSON *cmd_payload_drive(const cJSON *drive)
{
    char host[256] = "localhost";
    (void)gethostname(host, sizeof(host) - 1);
    cJSON *o = cJSON_CreateObject();
    json_add_str(o, "id", json_str(drive, "serial", json_str(drive, "id", "")));
    add_text(o, "status", drive, "status");
    add_text(o, "state", drive, "state");
    char type[CMD_NUMBER_MAX];
    json_add_str(o, "type", cmd_drive_type(drive, type));
    add_text(o, "role", drive, "role");
    add_text(o, "library_id", drive, "library");
    add_text(o, "library_name", drive, "library");
    json_add_int(o, "address", json_int(drive, "address", 0));
    json_add_int(o, "node_id", 1);
    json_add_str(o, "node_hostname", host);
    add_text(o, "tape_barcode", drive, "barcode");
    json_add_str(o, "nodegroup_name", NODE_GROUP);
    auto_free char *task = xasprintf("%lld", (long long)json_int(drive, "task_id", 0));
    json_add_str(o, "task_id", json_int(drive, "task_id", 0) > 0 ? task : "");
    json_add_str(o, "scsi_vendor_id", "");
    json_add_str(o, "scsi_product_id", "");
    json_add_str(o, "scsi_firmware_revision", "");
    json_add_str(o, "host_scsi_address", "");
    json_add_str(o, "host_device_name", "");
    return o;
}

cJSON *cmd_payload_pool(const cJSON *pool)
{
    cJSON *o = cJSON_CreateObject();
    add_text(o, "id", pool, "id");
    add_text(o, "name", pool, "name");
    json_add_str(o, "media_restriction", "^.{8}$");
    add_spaces(o, pool, true);
    json_add_int(o, "num_of_tapes", json_int(pool, "tapes", 0));
    add_text(o, "format_class", pool, "type");
    add_text(o, "library_name", pool, "library");
    add_text(o, "library_id", pool, "library");
    json_add_str(o, "nodegroup_name", NODE_GROUP);
    json_add_str(o, "device_type", "LTO");
    json_add_str(o, "worm", "no");
    json_add_str(o, "fill_policy", "Default");
    json_add_str(o, "owner", "System");
    json_add_int(o, "mount_limit", json_int(pool, "mount_limit", 0));
    (void)cJSON_AddBoolToObject(o, "low_space_warning_enable", false);
    json_add_int(o, "low_space_warning_threshold", 0);
    (void)cJSON_AddBoolToObject(o, "no_space_warning_enable", false);
    json_add_str(o, "mode", json_str(pool, "mode", "normal"));
    return o;
}

static void add_array(cJSON *to, const char *name, const cJSON *from)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(from, name);
    cJSON *copy = cJSON_IsArray(list) ? cJSON_Duplicate(list, true) : cJSON_CreateArray();
    (void)cJSON_AddItemToObject(to, name, copy);
}

cJSON *cmd_payload_task(const cJSON *task)
{
    cJSON *o = cJSON_CreateObject();
    add_array(o, "inuse_tapes", task);
    add_array(o, "inuse_pools", task);
    (void)cJSON_AddArrayToObject(o, "inuse_node_groups");
    add_array(o, "inuse_drives", task);
    add_array(o, "inuse_libs", task);
    add_text(o, "cmd_param", task, "parameters");
    add_text(o, "result", task, "result");
    add_text(o, "status", task, "status");
    add_text(o, "created_time", task, "created");
    add_text(o, "started_time", task, "started");
    add_text(o, "completed_time", task, "completed");
    add_text(o, "type", task, "type");
    json_add_int(o, "task_id", json_int(task, "task_id", 0));
    add_text(o, "id", task, "uid");
    return o;
}

cJSON *cmd_payload_task_result(const cJSON *task)
{
    static const char *const members[] = {"files", "done", "failed", "bytes_done", "bytes_total"};
    cJSON *o = cmd_payload_task(task);
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        json_add_int(o, members[i], json_int(task, members[i], 0));
    const cJSON *counts = cJSON_GetObjectItemCaseSensitive(task, "counts");
    if (counts != NULL)
        (void)cJSON_AddItemToObject(o, "counts", cJSON_Duplicate(counts, true));
    return o;
}

cJSON *cmd_payload_list(const cJSON *list, cJSON *(*shape)(const cJSON *))
{
    cJSON *out = cJSON_CreateArray();
    const cJSON *item = NULL;
    cJSON_ArrayForEach (item, list) {
        (void)cJSON_AddItemToArray(out, shape != NULL ? shape(item) : cJSON_Duplicate(item, true));
    }
    return out;
}

int cmd_print_list(struct cmd_ctx *ctx, const struct cmd_args *args, const cJSON *list,
                   cJSON *(*shape)(const cJSON *), size_t ncols, const char *const *heading,
                   void (*fill)(struct cmd_table *t, const cJSON *item))
{
    if (ctx->json)
        return cmd_print_payload(cmd_payload_list(list, shape));
    auto_cmd_table struct cmd_table t;
    cmd_table_init(&t, ncols, cmd_has(args, "no-header") ? NULL : heading);
    const cJSON *item = NULL;
    cJSON_ArrayForEach (item, list) {
        fill(&t, item);
    }
    cmd_table_print(&t, stdout);
    return 0;
}

/* A string member; a time of the protocol becomes local time. */
static void print_string(const char *s)
{
    char local[TIMEFMT_MAX];
    size_t n = s != NULL ? strlen(s) : 0;
    int64_t ns = 0;
    if (n >= sizeof("2026-11-22T12:46:38Z") - 1 && s[10] == 'T' && s[n - 1] == 'Z' &&
        timefmt_parse_iso(s, &ns) == 0)
        s = cmd_local_time(s, local);
    cmd_put_text(stdout, n > 0 ? s : "-");
}

static void print_member(const char *label, const cJSON *j)
{
    (void)printf("%-20s ", label);
    if (cJSON_IsArray(j)) {
        auto_free char *joined = cmd_join(j, " ");
        print_string(joined);
    } else if (cJSON_IsBool(j)) {
        (void)fputs(cJSON_IsTrue(j) ? "yes" : "no", stdout);
    } else if (cJSON_IsNumber(j) && j->valuedouble == 0 && strcmp(j->string, "task_id") == 0) {
        (void)putchar('-'); /* no task */
    } else if (cJSON_IsNumber(j)) {
        (void)printf("%.0f", j->valuedouble);
    } else {
        print_string(cJSON_GetStringValue(j));
    }
    (void)putchar('\n');
}

void cmd_print_members(const cJSON *obj, const char *const *names)
{
    for (; names[0] != NULL; names += 2) {
        const cJSON *j = cJSON_GetObjectItemCaseSensitive(obj, names[1]);
        if (j != NULL)
            print_member(names[0], j);
    }
}

void cmd_pool_and_library(const struct cmd_args *args, char **pool, char **library)
{
    const char *p = cmd_value(args, "pool");
    const char *l = cmd_value(args, "library");
    const char *at = p != NULL ? strchr(p, '@') : NULL;
    *pool = at != NULL ? xstrndup(p, (size_t)(at - p)) : xstrdup(p);
    *library = l == NULL && at != NULL ? xstrdup(at + 1) : xstrdup(l);
}
