/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn status: what firnd is doing and what needs attention.
 */
#include "cmd/cmd_impl.h"

#include <inttypes.h>

static void print_head(const cJSON *s)
{
    int64_t up = json_int(s, "uptime_s", 0);
    (void)printf("firnd %s, site %s, process %" PRId64 ", up %" PRId64 ":%02" PRId64 ":%02" PRId64
                 "\n\n",
                 json_str(s, "version", "?"), json_str(s, "site", "?"), json_int(s, "pid", 0),
                 up / 3600, up / 60 % 60, up % 60);
}

static void print_filesystems(const cJSON *list)
{
    static const char *const heading[] = {"File system", "Path", "POSIX readers", "Size", "Free"};
    auto_cmd_table struct cmd_table t;
    cmd_table_init(&t, 5, heading);
    const cJSON *f = NULL;
    cJSON_ArrayForEach (f, list) {
        char size[CMD_NUMBER_MAX];
        char room[CMD_NUMBER_MAX];
        cmd_table_row(&t,
                      (const char *const[]){json_str(f, "name", NULL), json_str(f, "path", NULL),
                                            json_str(f, "posix_readers", NULL),
                                            cmd_human_bytes(json_int(f, "total_bytes", 0), size),
                                            cmd_human_bytes(json_int(f, "free_bytes", 0), room)});
    }
    cmd_table_print(&t, stdout);
    (void)putchar('\n');
}

static void print_libraries(const cJSON *list)
{
    static const char *const heading[] = {"Library", "Kind", "Drives", "Tapes", "Path", "Problem"};
    auto_cmd_table struct cmd_table t;
    cmd_table_init(&t, 6, heading);
    const cJSON *l = NULL;
    cJSON_ArrayForEach (l, list) {
        char drives[CMD_NUMBER_MAX];
        char tapes[CMD_NUMBER_MAX];
        (void)snprintf(drives, sizeof(drives), "%" PRId64, json_int(l, "drives", 0));
        (void)snprintf(tapes, sizeof(tapes), "%" PRId64, json_int(l, "volumes", 0));
        cmd_table_row(&t, (const char *const[]){
                              json_str(l, "name", NULL), json_str(l, "kind", NULL), drives, tapes,
                              json_str(l, "path", NULL), json_str(l, "problem", NULL)});
    }
    cmd_table_print(&t, stdout);
    (void)putchar('\n');
}

static void print_stores(const cJSON *list)
{
    static const char *const heading[] = {"Store", "Kind", "State", "Endpoint", "Problem"};
    auto_cmd_table struct cmd_table t;
    cmd_table_init(&t, 5, heading);
    const cJSON *s = NULL;
    cJSON_ArrayForEach (s, list) {
        cmd_table_row(
            &t, (const char *const[]){json_str(s, "name", NULL), json_str(s, "kind", NULL),
                                      json_str(s, "state", NULL), json_str(s, "endpoint", NULL),
                                      json_str(s, "problem", NULL)});
    }
    if (cJSON_GetArraySize(list) == 0)
        return;
    cmd_table_print(&t, stdout);
    (void)putchar('\n');
}

static void print_guard(const cJSON *g)
{
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(g, "active")))
        (void)printf("Guard:    active, %" PRId64 " refused\n\n", json_int(g, "refused", 0));
    else
        (void)puts("Guard:    none; were firn-watch and its kept group both lost, migrated files "
                   "would read as zeros\n");
}

static void print_watch(const cJSON *w)
{
    static const char *const heading[] = {"Watched", "State", "Mounted by", "Problem"};
    char size[CMD_NUMBER_MAX];
    auto_cmd_table struct cmd_table t;
    cmd_table_init(&t, 4, heading);
    if (w == NULL)
        return;
    const cJSON *f = NULL;
    cJSON_ArrayForEach (f, cJSON_GetObjectItemCaseSensitive(w, "filesystems")) {
        bool gated = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(f, "gated"));
        cmd_table_row(&t, (const char *const[]){
                              json_str(f, "name", NULL), json_str(f, "state", NULL),
                              gated ? "firn-watch" : "others", json_str(f, "problem", NULL)});
    }
    cmd_table_print(&t, stdout);
    const cJSON *by = cJSON_GetObjectItemCaseSensitive(w, "denied_by");
    (void)printf("Readers:  events %s, %" PRId64 " wait; %" PRId64 " recalled, %" PRId64
                 " failed\n",
                 json_str(w, "events", "?"), json_int(w, "waiting", 0), json_int(w, "recalled", 0),
                 json_int(w, "failed", 0));
    (void)printf("Denied:   %" PRId64 ": %" PRId64 " by program, %" PRId64 " by user, %" PRId64
                 " by attribute\n",
                 json_int(w, "denied", 0), json_int(by, "program", 0), json_int(by, "user", 0),
                 json_int(by, "attribute", 0));
    (void)printf("Marks:    %" PRId64 " migrated files, %s of memory\n", json_int(w, "stubs", 0),
                 cmd_human_bytes(json_int(w, "memory_bytes", 0), size));
    print_guard(cJSON_GetObjectItemCaseSensitive(w, "guard"));
}

static void print_work(const cJSON *s)
{
    const cJSON *tasks = cJSON_GetObjectItemCaseSensitive(s, "tasks");
    const cJSON *queue = cJSON_GetObjectItemCaseSensitive(s, "queue");
    const cJSON *buffers = cJSON_GetObjectItemCaseSensitive(s, "buffers");
    char size[CMD_NUMBER_MAX];
    (void)printf("Tasks:    %" PRId64 " running, %" PRId64 " waiting\n",
                 json_int(tasks, "running", 0), json_int(tasks, "waiting", 0));
    (void)printf("Queue:    %" PRId64 " files to recall, %" PRId64 " to migrate\n",
                 json_int(queue, "recall", 0), json_int(queue, "migrate", 0));
    (void)printf("Buffers:  %" PRId64 " of %s, %" PRId64 " free\n\n", json_int(buffers, "count", 0),
                 cmd_human_bytes(json_int(buffers, "size", 0), size), json_int(buffers, "free", 0));
}

static void print_attention(const cJSON *list)
{
    if (cJSON_GetArraySize(list) == 0) {
        (void)puts("Nothing needs attention.");
        return;
    }
    (void)puts("Needs attention:");
    const cJSON *a = NULL;
    cJSON_ArrayForEach (a, list) {
        (void)fputs("  ", stdout);
        cmd_put_text(stdout, cJSON_IsString(a) ? a->valuestring : "?");
        (void)putchar('\n');
    }
}

static int run(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    (void)args;
    auto_json cJSON *s = NULL;
    int rc = cmd_call(ctx, "status", NULL, &s);
    if (rc < 0)
        return rc;
    if (ctx->json)
        return cmd_print_payload(take_ptr(s));
    print_head(s);
    print_filesystems(cJSON_GetObjectItemCaseSensitive(s, "filesystems"));
    print_libraries(cJSON_GetObjectItemCaseSensitive(s, "libraries"));
    print_stores(cJSON_GetObjectItemCaseSensitive(s, "stores"));
    print_watch(cJSON_GetObjectItemCaseSensitive(s, "watch"));
    print_work(s);
    print_attention(cJSON_GetObjectItemCaseSensitive(s, "attention"));
    return 0;
}

const struct cmd cmds_status[] = {
    {"", "", "show what firnd is doing and what needs attention", 0, 0, NULL, run},
    {0},
};
