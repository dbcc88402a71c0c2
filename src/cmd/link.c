/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way to firnd: which socket, one connection, and what is said when nobody answers.
 */
#include "base/mem.h"
#include "cmd/cmd_impl.h"
#include "conf/conf.h"
#include "ctl/proto.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define RETRY_MS 30000 /* for a firnd that is being started again */

/* The socket that the configuration names; the caller frees it. */
static int socket_of_config(struct cmd_ctx *ctx, char **out)
{
    const char *path = ctx->config != NULL ? ctx->config : getenv("FIRN_CONFIG");
    if (path == NULL && access(CONF_DEFAULT_PATH, R_OK) == 0)
        path = CONF_DEFAULT_PATH;
    if (path == NULL) {
        *out = xstrdup(CTL_SOCKET_DEFAULT);
        return 0;
    }
    auto_conf struct conf *conf = NULL;
    int rc = conf_load(path, &conf, &ctx->err);
    if (rc < 0)
        return rc;
    *out = xstrdup(conf->socket);
    return 0;
}

static int find_socket(struct cmd_ctx *ctx)
{
    if (ctx->socket_shown != NULL)
        return 0;
    const char *env = getenv("FIRN_SOCKET");
    if (ctx->socket != NULL)
        ctx->socket_shown = xstrdup(ctx->socket);
    else if (ctx->config == NULL && env != NULL && *env != '\0')
        ctx->socket_shown = xstrdup(env);
    else
        return socket_of_config(ctx, &ctx->socket_shown);
    return 0;
}

static int connect_once(struct cmd_ctx *ctx)
{
    if (ctx->client != NULL)
        return 0;
    int rc = find_socket(ctx);
    if (rc < 0)
        return rc;
    rc = ctl_connect(ctx->socket_shown, &ctx->client, &ctx->err);
    if (rc == 0)
        return 0;
    ctx->unreachable = true;
    char why[sizeof(ctx->err.text)];
    (void)snprintf(why, sizeof(why), "%s", ctx->err.text);
    if (rc == -EACCES || rc == -EPERM)
        return err_set(&ctx->err, rc, "firnd does not take this user: %s; run it as root", why);
    return err_set(&ctx->err, rc,
                   "cannot reach firnd: %s (start it with \"systemctl start firnd\" or \"firnd -c "
                   "FILE\"; --socket names another socket)",
                   why);
}

/* An error answer is passed on as it is; a broken connection gets the socket's name. */
static int failed_call(struct cmd_ctx *ctx, const char *op, int rc)
{
    if (!ctl_broken(ctx->client))
        return rc;
    ctx->unreachable = true;
    return err_wrap(&ctx->err, rc, "firnd at %s, request %s", ctx->socket_shown, op);
}

int cmd_call_events(struct cmd_ctx *ctx, const char *op, cJSON *args, ctl_event_fn on_event,
                    void *arg, cJSON **result)
{
    auto_json cJSON *mine = args;
    int rc = connect_once(ctx);
    if (rc < 0)
        return rc;
    rc = ctl_call(ctx->client, op, take_ptr(mine), result, on_event, arg, -1, &ctx->err);
    return rc < 0 ? failed_call(ctx, op, rc) : 0;
}

int cmd_call_again(struct cmd_ctx *ctx, const char *op, cJSON *args, ctl_event_fn on_event,
                   void *arg, cJSON **result)
{
    auto_json cJSON *mine = args;
    int rc = connect_once(ctx);
    if (rc < 0)
        return rc;
    rc = ctl_call_again(ctx->client, op, take_ptr(mine), result, on_event, arg, -1, RETRY_MS,
                        &ctx->err);
    return rc < 0 ? failed_call(ctx, op, rc) : 0;
}

int cmd_call(struct cmd_ctx *ctx, const char *op, cJSON *args, cJSON **result)
{
    return cmd_call_events(ctx, op, args, NULL, NULL, result);
}

const cJSON *cmd_error_details(const struct cmd_ctx *ctx)
{
    return ctx->client != NULL ? ctl_error_details(ctx->client) : NULL;
}

void cmd_ctx_fini(struct cmd_ctx *ctx)
{
    ctl_close(ctx->client);
    free(ctx->socket_shown);
    free(ctx->command_line);
    *ctx = (struct cmd_ctx){0};
}

cJSON *cmd_object_of(const char *const *pairs, size_t n)
{
    cJSON *obj = cJSON_CreateObject();
    for (size_t i = 0; i + 1 < n; i += 2)
        if (pairs[i + 1] != NULL)
            json_add_str(obj, pairs[i], pairs[i + 1]);
    return obj;
}

cJSON *cmd_strings(char *const *words, int n)
{
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < n; i++)
        (void)cJSON_AddItemToArray(list, cJSON_CreateString(words[i]));
    return list;
}
