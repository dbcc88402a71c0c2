/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files for firn lustre: operands, a list, or what a policy chooses; and the mount point that they
 * lie on.
 */
#include "base/mem.h"
#include "cmd/lustre_impl.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static atomic_bool stopped;

static void on_signal(int sig)
{
    (void)sig;
    atomic_store(&stopped, true);
}

void lustre_catch_signals(atomic_bool **stop)
{
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    *stop = &stopped;
    (void)sigaction(SIGINT, &sa, NULL);
    (void)sigaction(SIGTERM, &sa, NULL);
}

/* ---- one file after the other ---- */

static int next_operand(struct lustre_files *f, struct stager_file *out, struct err *err)
{
    struct stager_record rec;
    while (f->at < f->args->argc) {
        const char *word = f->args->argv[f->at];
        auto_free char *absolute = word[0] == '[' ? xstrdup(word) : cmd_path_absolute(word);
        int rc = stager_record_parse(absolute, strlen(absolute), true, "/", &f->store, &rec, err);
        if (rc < 0)
            return rc;
        *out = (struct stager_file){.path = rec.path, .fid = rec.fid, .ordinal = (uint64_t)f->at++};
        if (rc > 0)
            return 1;
    }
    return 0;
}

static int next_record(struct lustre_files *f, struct stager_record *rec, struct err *err)
{
    if (f->pending) {
        f->pending = false;
        *rec = f->first;
        return 1;
    }
    int rc = stager_list_next(&f->list, rec, err);
    return rc < 0 && f->stop != NULL && atomic_load(f->stop) ? 0 : rc;
}

static int next_listed(struct lustre_files *f, struct stager_file *out, struct err *err)
{
    struct stager_record rec;
    for (;;) {
        bool sent = false;
        int rc = next_record(f, &rec, err);
        if (rc <= 0)
            return rc;
        if (f->resume != NULL &&
            !stager_resume_take(f->resume, rec.ordinal, rec.offset, f->list.offset, &sent))
            continue;
        *out = (struct stager_file){
            .path = rec.path, .fid = rec.fid, .ordinal = rec.ordinal, .sent = sent};
        return 1;
    }
}

static int next_file(void *arg, struct stager_file *out, struct err *err)
{
    struct lustre_files *f = arg;
    if (f->policy != NULL)
        return stager_policy_next(f->policy, out, err);
    if (f->has_list)
        return next_listed(f, out, err);
    return next_operand(f, out, err);
}

/* ---- the mount point ---- */

/* The mount point by path, or by the nearest directory above that is there. */
static int mount_of(struct lustre_files *f, const char *path)
{
    auto_free char *up = cmd_path_absolute(path);
    int rc = stager_find_mount(f->api, up, &f->mount, &f->ctx->err);
    while (rc == -ENOENT || rc == -ENOTDIR) {
        char *slash = strrchr(up, '/');
        if (slash == NULL || slash == up)
            break;
        *slash = '\0';
        rc = stager_find_mount(f->api, up, &f->mount, &f->ctx->err);
    }
    if (rc < 0)
        return err_wrap(&f->ctx->err, rc, "no Lustre mount point is found (--mount names it)");
    return 0;
}

/* The first record of the list, which is kept for later. */
static int peek(struct lustre_files *f, const char **path)
{
    *path = NULL;
    int rc = stager_list_next(&f->list, &f->first, &f->ctx->err);
    if (rc < 0)
        return rc;
    f->pending = rc > 0;
    *path = rc > 0 ? f->first.path : NULL;
    return 0;
}

static int find_mount(struct lustre_files *f)
{
    const char *given = cmd_value(f->args, "mount");
    const char *path = f->args->argc > 0 ? f->args->argv[0] : NULL;
    int rc = f->has_list ? peek(f, &path) : 0;
    if (rc < 0)
        return rc;
    if (given != NULL)
        path = given;
    else if (path == NULL || path[0] == '[')
        path = "."; /* only FIDs: perhaps the working directory is on the mount */
    return mount_of(f, path);
}

/* ---- opening ---- */

static int check_words(const struct cmd_args *args)
{
    bool list = cmd_has(args, "from-list");
    bool policy = cmd_has(args, "policy");
    if (list + policy > 1)
        return cmd_usage(args, "--from-list and --policy exclude each other");
    if (policy && args->argc != 1)
        return cmd_usage(args, "--policy FILE takes one operand: the directory TARGET");
    if (list && args->argc > 0)
        return cmd_usage(args, "--from-list FILE takes no operands besides");
    if (!list && args->argc == 0)
        return cmd_usage(args, "no file is named; give PATH..., --from-list FILE, or --policy FILE "
                               "TARGET");
    if (cmd_has(args, "null") && !list)
        return cmd_usage(args, "--null says how --from-list FILE is read");
    if (cmd_has(args, "macro") && !policy)
        return cmd_usage(args, "--macro is for --policy FILE");
    return 0;
}

/* The values NAME=VALUE of --macro as pairs. */
static int take_macros(struct lustre_files *f)
{
    auto_json cJSON *macros = cmd_policy_macros(f->args);
    const cJSON *m = NULL;
    struct buf text = {0};
    size_t n = 0;
    if (macros == NULL)
        return CMD_EXIT_USAGE;
    f->macros = xzalloc(((size_t)cJSON_GetArraySize(macros) * 2 + 1) * sizeof(*f->macros));
    cJSON_ArrayForEach (m, macros) {
        buf_add(&text, m->string, strlen(m->string) + 1);
        buf_add(&text, m->valuestring, strlen(m->valuestring) + 1);
        n += 2;
    }
    f->macro_text = buf_take(&text);
    const char *p = f->macro_text;
    for (size_t i = 0; i < n; i++, p += strlen(p) + 1)
        f->macros[i] = p;
    return 0;
}

int lustre_files_open(struct lustre_files *f, struct cmd_ctx *ctx, const struct cmd_args *args)
{
    *f = (struct lustre_files){.ctx = ctx, .args = args};
    f->source = (struct stager_source){.next = next_file, .arg = f};
    int rc = check_words(args);
    if (rc == 0)
        rc = take_macros(f);
    if (rc == 0)
        rc = llapi_load(NULL, &f->api, &ctx->err);
    if (rc != 0)
        return rc;
    f->api->msg_set_level(LLAPI_MSG_OFF); /* what it has to say comes back as a code */
    const char *list = cmd_value(args, "from-list");
    if (list != NULL) {
        rc = stager_list_open(list, cmd_has(args, "null"), &f->list, &ctx->err);
        f->has_list = rc == 0;
    }
    return rc == 0 ? find_mount(f) : rc;
}

/* ---- policy ---- */

static void on_objects(void *arg, uint64_t objects)
{
    struct lustre_files *f = arg;
    auto_json cJSON *event = cJSON_CreateObject();
    json_add_str(event, "stage", "scan");
    json_add_int(event, "done", (int64_t)objects);
    cmd_progress_draw(&f->progress, event);
}

static void on_problem(void *arg, const char *path, int errnum, const char *what)
{
    struct lustre_files *f = arg;
    cmd_progress_clear(&f->progress);
    (void)fprintf(stderr, "%s: ", f->ctx->program->name);
    cmd_put_text(stderr, path);
    (void)fprintf(stderr, ": %s: %s; it is left out\n", what, strerror(errnum));
}

int lustre_files_choose(struct lustre_files *f, enum stager_action action, bool lists_only)
{
    struct stager_policy_counts counts = {0};
    auto_buf struct buf diag = {0};
    const char *file = cmd_value(f->args, "policy");
    if (file == NULL)
        return 0;
    f->target = cmd_path_absolute(f->args->argv[0]);
    for (size_t n = strlen(f->target); n > 1 && f->target[n - 1] == '/'; n--)
        f->target[n - 1] = '\0';
    cmd_progress_init(&f->progress);
    f->policy_cfg = (struct stager_policy_config){.api = f->api,
                                                  .file = file,
                                                  .target = f->target,
                                                  .lists_only = lists_only,
                                                  .action = action,
                                                  .hint = &f->hint,
                                                  .macros = f->macros,
                                                  .stop = f->stop,
                                                  .progress = on_objects,
                                                  .problem = on_problem,
                                                  .arg = f};
    int rc = stager_policy_open(&f->policy_cfg, &f->policy, &counts, &diag, &f->ctx->err);
    cmd_progress_clear(&f->progress);
    if (rc < 0 && diag.len > 0) {
        (void)fputs(diag.data, stderr);
        return CMD_EXIT_FAILED;
    }
    if (rc < 0)
        return rc;
    f->source.total = counts.chosen;
    if (!f->ctx->json)
        (void)fprintf(stderr,
                      "%s: %" PRIu64 " objects seen, %" PRIu64 " files chosen, %" PRIu64
                      " left to other commands, %" PRIu64 " could not be read\n",
                      f->ctx->program->name, counts.objects, counts.chosen, counts.other,
                      counts.errors);
    return 0;
}

uint64_t lustre_files_total(struct lustre_files *f)
{
    if (f->policy != NULL)
        return f->source.total;
    return f->has_list ? stager_list_count(&f->list) : (uint64_t)f->args->argc;
}

void lustre_files_fini(struct lustre_files *f)
{
    stager_policy_close(f->policy);
    if (f->has_list)
        stager_list_fini(&f->list);
    llapi_free(f->api);
    buf_fini(&f->store);
    free(f->mount);
    free(f->target);
    free(f->macros);
    free(f->macro_text);
}
