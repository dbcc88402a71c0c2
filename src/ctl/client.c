/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/client.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "ctl/client_impl.h"
#include "ctl/proto.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_MS      1000000
#define RETRY_FIRST_MS 20
#define RETRY_MOST_MS  500

struct ctl_client {
    char *path;
    struct ctl_reader in; /* in.fd is the connection, -1 when broken */
    int64_t last_id;
    char *code;     /* of the last error answer */
    cJSON *details; /* of the last error answer */
};

static void forget_error(struct ctl_client *c)
{
    free(c->code);
    c->code = NULL;
    cJSON_Delete(c->details);
    c->details = NULL;
}

static void hang_up(struct ctl_client *c)
{
    if (c->in.fd >= 0)
        (void)close(c->in.fd);
    c->in.fd = -1;
    ctl_reader_fini(&c->in);
}

static int connect_error(const char *path, int errnum, struct err *err)
{
    if (errnum == ENOENT || errnum == ECONNREFUSED)
        return err_set(err, -ECONNREFUSED, "nobody answers at %s; is firnd running?", path);
    return err_sys(err, errnum, "cannot connect to firnd at %s", path);
}

static int open_socket(const char *path, int *out, struct err *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(a.sun_path))
        return err_set(err, -ENAMETOOLONG, "socket path %s is longer than %zu bytes", path,
                       sizeof(a.sun_path) - 1);
    memcpy(a.sun_path, path, strlen(path) + 1);
    auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_sys(err, errno, "socket");
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0)
        return connect_error(path, errno, err);
    *out = take_fd(fd);
    return 0;
}

int ctl_connect(const char *socket_path, struct ctl_client **client, struct err *err)
{
    int fd = -1;
    int rc = open_socket(socket_path, &fd, err);
    if (rc != 0)
        return rc;
    struct ctl_client *c = xzalloc(sizeof(*c));
    c->path = xstrdup(socket_path);
    c->in.fd = fd;
    *client = c;
    return 0;
}

void ctl_close(struct ctl_client *c)
{
    if (c == NULL)
        return;
    hang_up(c);
    forget_error(c);
    free(c->path);
    free(c);
}

const char *ctl_error_code(const struct ctl_client *c)
{
    return c->code;
}

const cJSON *ctl_error_details(const struct ctl_client *c)
{
    return c->details;
}

bool ctl_broken(const struct ctl_client *c)
{
    return c->in.fd < 0;
}

bool ctl_client_is_quiet(const struct ctl_client *c)
{
    struct pollfd p = {.fd = c->in.fd, .events = POLLIN};
    return c->in.fd >= 0 && c->in.in.len == c->in.begin && poll(&p, 1, 0) == 0;
}

/* The connection failed in the middle of a call; rc tells the reader's or sender's reason. */
static int lost(struct ctl_client *c, int rc, const char *op, struct err *err)
{
    hang_up(c);
    if (rc == -ETIMEDOUT)
        return err_set(err, rc, "%s: firnd sent no answer in time", op);
    if (rc == -EMSGSIZE)
        return err_set(err, rc, "%s: a line of over %u bytes", op, CTL_LINE_MAX);
    if (rc == -EPIPE || rc == -ECONNRESET)
        return err_set(err, -ECONNRESET, "%s: firnd closed the connection before it answered", op);
    return err_sys(err, -rc, "%s: connection to firnd", op);
}

static int send_request(struct ctl_client *c, const char *op, cJSON *args, int64_t timeout_ms)
{
    auto_json cJSON *j = cJSON_CreateObject();
    (void)cJSON_AddNumberToObject(j, "id", (double)++c->last_id);
    (void)cJSON_AddStringToObject(j, "op", op);
    (void)cJSON_AddItemToObject(j, "args", args != NULL ? args : cJSON_CreateObject());
    return ctl_send_json(c->in.fd, j, timeout_ms);
}

/* firnd's error answer becomes err, code and details. */
static int remote_error(struct ctl_client *c, const cJSON *error, struct err *err)
{
    const char *code = json_str(error, "code", "EIO");
    c->code = xstrdup(code);
    c->details = cJSON_DetachItemFromObjectCaseSensitive((cJSON *)(uintptr_t)error, "details");
    return err_set(err, -ctl_errno_value(code), "%s", json_str(error, "message", code));
}

static int take_result(cJSON *answer, cJSON **result)
{
    cJSON *r = cJSON_DetachItemFromObjectCaseSensitive(answer, "result");
    if (result != NULL)
        *result = r;
    else
        cJSON_Delete(r);
    return 0;
}

/* One line from firnd. Returns 1 for an event that was passed on, else the call's outcome. */
static int take_line(struct ctl_client *c, const char *op, cJSON *j, cJSON **result,
                     ctl_event_fn on_event, void *ctx, struct err *err)
{
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(j, "error");
    bool ours = json_int(j, "id", -1) == c->last_id;
    if (cJSON_IsObject(error)) {
        if (!ours)
            hang_up(c); /* a refusal of the connection, not of the request */
        return remote_error(c, error, err);
    }
    const cJSON *event = cJSON_GetObjectItemCaseSensitive(j, "event");
    if (ours && cJSON_IsObject(event)) {
        int rc = on_event != NULL ? on_event(ctx, event) : 0;
        if (rc >= 0)
            return 1;
        hang_up(c);
        return err_set(err, rc, "%s: abandoned", op);
    }
    if (ours && cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(j, "result")))
        return take_result(j, result);
    hang_up(c);
    return err_set(err, -EPROTO, "%s: firnd's answer has neither result, error nor event", op);
}

static int await_answer(struct ctl_client *c, const char *op, cJSON **result, ctl_event_fn on_event,
                        void *ctx, int64_t timeout_ms, struct err *err)
{
    for (;;) {
        char *line = NULL;
        size_t len = 0;
        int rc = ctl_read_line(&c->in, timeout_ms, &line, &len);
        if (rc != 0)
            return lost(c, rc, op, err);
        auto_json cJSON *j = NULL;
        rc = ctl_parse(line, len, &j, err);
        if (rc != 0) {
            hang_up(c);
            return err_wrap(err, rc, "answer to %s", op);
        }
        rc = take_line(c, op, j, result, on_event, ctx, err);
        if (rc != 1)
            return rc;
    }
}

int ctl_call(struct ctl_client *c, const char *op, cJSON *args, cJSON **result,
             ctl_event_fn on_event, void *ctx, int64_t timeout_ms, struct err *err)
{
    forget_error(c);
    if (c->in.fd < 0) {
        cJSON_Delete(args);
        return err_set(err, -ECONNRESET, "%s: the connection to firnd is broken", op);
    }
    int rc = send_request(c, op, args, timeout_ms);
    /* A connection that was refused can carry firnd's reason although it takes no request. */
    if (rc != 0 && rc != -EPIPE && rc != -ECONNRESET)
        return lost(c, rc, op, err);
    return await_answer(c, op, result, on_event, ctx, timeout_ms, err);
}

static void sleep_ms(int64_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * NS_PER_MS};
    (void)nanosleep(&t, NULL);
}

int ctl_reconnect(struct ctl_client *c, int64_t wait_ms, struct err *err)
{
    hang_up(c);
    int64_t deadline = time_mono_ns() + wait_ms * NS_PER_MS;
    for (int64_t pause = RETRY_FIRST_MS;; pause *= 2) {
        int rc = open_socket(c->path, &c->in.fd, err);
        if (rc != -ECONNREFUSED && rc != -EAGAIN)
            return rc;
        int64_t left = (deadline - time_mono_ns()) / NS_PER_MS;
        if (left <= 0)
            return rc;
        if (pause > RETRY_MOST_MS)
            pause = RETRY_MOST_MS;
        sleep_ms(pause < left ? pause : left);
    }
}

int ctl_call_again(struct ctl_client *c, const char *op, cJSON *args, cJSON **result,
                   ctl_event_fn on_event, void *ctx, int64_t timeout_ms, int64_t retry_ms,
                   struct err *err)
{
    auto_json cJSON *keep = args;
    int64_t deadline = time_mono_ns() + retry_ms * NS_PER_MS;
    for (;;) {
        int rc = ctl_call(c, op, cJSON_Duplicate(keep, 1), result, on_event, ctx, timeout_ms, err);
        if (rc != -ECONNRESET || c->code != NULL)
            return rc;
        int64_t left = (deadline - time_mono_ns()) / NS_PER_MS;
        if (left < 0)
            return rc;
        rc = ctl_reconnect(c, left, err);
        if (rc != 0)
            return rc;
    }
}
