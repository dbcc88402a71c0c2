/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn file: the state of files, and migrate, premigrate and recall of many at once.
 */
#include "cmd/cmd_impl.h"
#include "ctl/proto.h"

#include <inttypes.h>
#include <string.h>

/* A walk of file.state over many names. */
struct states {
    struct cmd_ctx *ctx;
    cJSON *paths; /* of the next request, owned */
    cJSON *all;   /* every file, for --json; owned */
    int64_t n;
    size_t bytes;
    bool printed; /* a block was printed: the next one needs a blank line before it */
    bool failed;
};

static void print_copies(const cJSON *copies)
{
    (void)printf("Replicas: %d\n", cJSON_GetArraySize(copies));
    const cJSON *c = NULL;
    int n = 0;
    cJSON_ArrayForEach (c, copies) {
        const char *tier = json_str(c, "tier", "tape");
        bool tape = strcmp(tier, "tape") == 0;
        (void)printf("%s %d: %s@%s@%s (%s state=%s)\n", tape ? "Tape" : "Store", ++n,
                     json_str(c, "volume", "-"), json_str(c, "pool", "-"),
                     json_str(c, "library", "-"), tape ? "tape" : "store",
                     json_str(c, "volume_state", "unknown"));
    }
}

static void print_state(struct states *s, const cJSON *f)
{
    const char *path = json_str(f, "path", "?");
    const char *state = json_str(f, "state", NULL);
    if (state == NULL) {
        s->failed = true;
        (void)fflush(stdout);
        (void)fprintf(stderr, "%s: ", s->ctx->program->name);
        cmd_put_text(stderr, path);
        (void)fprintf(stderr, ": %s\n", json_str(f, "error", "no state is known"));
        return;
    }
    if (s->printed)
        (void)putchar('\n');
    s->printed = true;
    (void)fputs("Name: ", stdout);
    cmd_put_text(stdout, path);
    (void)printf("\nState: %s\n", state);
    if (strcmp(state, "resident") == 0)
        return;
    (void)printf("ID: %s\n", json_str(f, "id", "-"));
    print_copies(cJSON_GetObjectItemCaseSensitive(f, "copies"));
}

static int states_send(struct states *s)
{
    if (s->paths == NULL)
        return 0;
    cJSON *args = cJSON_CreateObject();
    (void)cJSON_AddItemToObject(args, "paths", take_ptr(s->paths));
    s->bytes = 0;
    auto_json cJSON *res = NULL;
    int rc = cmd_call(s->ctx, "file.state", args, &res);
    if (rc < 0)
        return rc;
    auto_json cJSON *files = cJSON_DetachItemFromObjectCaseSensitive(res, "files");
    while (files != NULL && files->child != NULL) {
        cJSON *f = cJSON_DetachItemViaPointer(files, files->child);
        if (s->ctx->json) {
            s->failed = s->failed || json_str(f, "state", NULL) == NULL;
            (void)cJSON_AddItemToArray(s->all, f);
        } else {
            print_state(s, f);
            cJSON_Delete(f);
        }
    }
    return 0;
}

static int states_add(void *arg, const char *path)
{
    struct states *s = arg;
    if (s->paths == NULL)
        s->paths = cJSON_CreateArray();
    (void)cJSON_AddItemToArray(s->paths, cJSON_CreateString(path));
    s->bytes += strlen(path);
    s->n++;
    return s->n % CTL_PATHS_MAX == 0 || s->bytes >= CMD_BATCH_BYTES ? states_send(s) : 0;
}

int cmd_print_states(struct cmd_ctx *ctx, const struct cmd_path_source *src)
{
    struct states s = {.ctx = ctx, .all = cJSON_CreateArray()};
    int rc = cmd_paths_each(src, states_add, &s, &ctx->err);
    if (rc == 0)
        rc = states_send(&s);
    cJSON_Delete(s.paths);
    if (rc == 0 && ctx->json)
        (void)cmd_print_payload(take_ptr(s.all));
    cJSON_Delete(s.all);
    return rc != 0 ? rc : s.failed ? CMD_EXIT_FAILED : 0;
}

static int source(const struct cmd_args *args, struct cmd_path_source *src)
{
    *src = (struct cmd_path_source){.paths = args->argv,
                                    .npaths = args->argc,
                                    .list = cmd_value(args, "list"),
                                    .nul = cmd_has(args, "null")};
    if (src->npaths == 0 && src->list == NULL)
        return cmd_usage(args, "no file is named; give PATH... or --list FILE");
    return 0;
}

int cmd_file_state(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    struct cmd_path_source src;
    int rc = source(args, &src);
    return rc != 0 ? rc : cmd_print_states(ctx, &src);
}

static int run_task(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    struct cmd_taskrun run = {.type = args->cmd->name,
                              .pools = cmd_value(args, "pool"),
                              .resident = cmd_has(args, "resident"),
                              .async = cmd_has(args, "async"),
                              .plan = cmd_has(args, "plan")};
    int rc = source(args, &run.source);
    return rc != 0 ? rc : cmd_taskrun(ctx, &run);
}

#define OPT_LIST                                                                                   \
    {                                                                                              \
        "list", 0, "FILE", "take names from a list file, \"-\" for standard input", 0              \
    }
#define OPT_NULL                                                                                   \
    {                                                                                              \
        "null", '0', NULL, "names in the list end with NUL bytes", 0                               \
    }
#define OPT_ASYNC                                                                                  \
    {                                                                                              \
        "async", 0, NULL, "print the task's number and do not wait", 0                             \
    }
#define OPT_POOL                                                                                   \
    {                                                                                              \
        "pool", 'p', "POOL@LIBRARY[,...]", "copy to these pools, one copy each (1 to 3)",          \
            CMD_OPT_REQUIRED                                                                       \
    }

static const struct cmd_opt state_opts[] = {OPT_LIST, OPT_NULL, {0}};
static const struct cmd_opt migrate_opts[] = {OPT_POOL, OPT_LIST, OPT_NULL, OPT_ASYNC, {0}};
static const struct cmd_opt recall_opts[] = {
    {"resident", 0, NULL, "forget the copies on tape, the file becomes resident", 0},
    {"plan", 0, NULL, "tell tapes, mounts, bytes and time; recall nothing", 0},
    OPT_LIST,
    OPT_NULL,
    OPT_ASYNC,
    {0},
};

const struct cmd cmds_file[] = {
    {"state", "[PATH...]", "show the state of files and where their copies are", 0, -1, state_opts,
     cmd_file_state},
    {"migrate", "[PATH...]", "copy files to tape and free their blocks on disk", 0, -1,
     migrate_opts, run_task},
    {"premigrate", "[PATH...]", "copy files to tape and keep their data on disk", 0, -1,
     migrate_opts, run_task},
    {"recall", "[PATH...]", "bring the data of files back to disk", 0, -1, recall_opts, run_task},
    {0},
};
