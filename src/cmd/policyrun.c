/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A policy run for firn policy run and mmapplypolicy: the policy's text goes to firnd, its lines
 * come back and are printed as they are.
 */
#include "base/io.h"
#include "base/mem.h"
#include "cmd/cmd_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define POLICY_MAX (1u << 20) /* bytes of a policy file (mmapplypolicy's limit) */

cJSON *cmd_policy_macros(const struct cmd_args *args)
{
    auto_json cJSON *macros = cJSON_CreateObject();
    for (size_t i = 0; i < args->ngiven; i++) {
        const struct cmd_given *g = &args->given[i];
        if (strcmp(g->opt->name, "macro") != 0)
            continue;
        const char *equals = strchr(g->value, '=');
        if (equals == NULL || equals == g->value) {
            (void)cmd_usage(args, "-M \"%s\" is not NAME=VALUE", g->value);
            return NULL;
        }
        auto_free char *name = xstrndup(g->value, (size_t)(equals - g->value));
        cJSON_DeleteItemFromObjectCaseSensitive(macros, name);
        json_add_str(macros, name, equals + 1);
    }
    return take_ptr(macros);
}

int cmd_policy_text(struct cmd_ctx *ctx, const char *file, char **text)
{
    size_t len = 0;
    auto_free char *data = NULL;
    int rc = io_read_file(AT_FDCWD, file, POLICY_MAX, &data, &len, &ctx->err);
    if (rc < 0)
        return err_wrap(&ctx->err, rc, "policy file");
    if (strlen(data) != len)
        return err_set(&ctx->err, -EINVAL, "policy file %s: holds a NUL byte", file);
    *text = take_ptr(data);
    return 0;
}

int cmd_policy_failed(struct cmd_ctx *ctx, int rc)
{
    const char *caret = json_str(cmd_error_details(ctx), "caret", NULL);
    if (caret == NULL || *caret == '\0')
        return rc;
    (void)fflush(stdout);
    (void)fputs(caret, stderr); /* place and message, source line, caret, what was expected */
    return CMD_EXIT_FAILED;
}

struct run {
    struct cmd_ctx *ctx;
    struct cmd_progress progress;
};

static int on_event(void *arg, const cJSON *event)
{
    struct run *r = arg;
    const char *kind = json_str(event, "kind", "");
    if (strcmp(kind, "line") == 0) {
        if (r->ctx->json)
            return 0;
        cmd_progress_clear(&r->progress);
        (void)puts(json_str(event, "text", ""));
        (void)fflush(stdout);
    } else {
        cmd_progress_draw(&r->progress, event);
    }
    return 0;
}

static int add_path(void *arg, const char *path)
{
    (void)cJSON_AddItemToArray(arg, cJSON_CreateString(path));
    return 0;
}

/* firnd wants a name of a file system or an absolute directory. */
static char *target_of(const char *target)
{
    bool is_path = strchr(target, '/') != NULL || target[0] == '.';
    return is_path ? cmd_path_absolute(target) : xstrdup(target);
}

static int make_args(struct cmd_ctx *ctx, const struct cmd_policyrun *run, cJSON **out)
{
    auto_json cJSON *args = cJSON_CreateObject();
    auto_free char *text = NULL;
    int rc = cmd_policy_text(ctx, run->file, &text);
    if (rc < 0)
        return rc;
    cJSON *macros = cmd_policy_macros(run->args);
    if (macros == NULL)
        return CMD_EXIT_USAGE;
    (void)cJSON_AddItemToObject(args, "macros", macros);
    auto_free char *target = target_of(run->target);
    json_add_str(args, "target", target);
    json_add_str(args, "file", run->file);
    json_add_str(args, "text", text);
    json_add_str(args, "mode", run->mode);
    json_add_int(args, "level", run->level);
    if (run->batch_files > 0)
        json_add_int(args, "batch_files", run->batch_files);
    if (run->parallel > 0)
        json_add_int(args, "parallel", run->parallel);
    if (run->single_instance)
        (void)cJSON_AddBoolToObject(args, "single_instance", true);
    if (run->as_of != NULL)
        json_add_str(args, "as_of", run->as_of);
    if (run->prefix != NULL) {
        auto_free char *prefix = cmd_path_absolute(run->prefix);
        json_add_str(args, "prefix", prefix);
    }
    if (run->inputs != NULL) {
        cJSON *paths = cJSON_AddArrayToObject(args, "input_paths");
        struct cmd_path_source src = {.list = run->inputs};
        rc = cmd_paths_each(&src, add_path, paths, &ctx->err);
    }
    if (rc == 0)
        *out = take_ptr(args);
    return rc;
}

int cmd_policyrun(struct cmd_ctx *ctx, const struct cmd_policyrun *run)
{
    struct run r = {.ctx = ctx};
    cJSON *args = NULL;
    int rc = make_args(ctx, run, &args);
    if (rc != 0)
        return rc;
    cmd_progress_init(&r.progress);
    auto_json cJSON *res = NULL;
    rc = cmd_call_events(ctx, "policy.run", args, on_event, &r, &res);
    cmd_progress_clear(&r.progress);
    if (rc < 0)
        return ctx->unreachable ? rc : cmd_policy_failed(ctx, rc);
    if (ctx->json)
        (void)cmd_print_payload(cJSON_Duplicate(res, true));
    int64_t status = json_int(res, "exit", json_int(res, "failed", 0) > 0);
    return status == 0 ? 0 : CMD_EXIT_FAILED;
}
