/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registrations. The client kernel tells registrations apart by the process alone, so a handle may
 * not be unregistered while a newer one is in use; and handles of open actions point into the
 * registration that they were begun with. A registration that has to go while actions are open is
 * therefore laid aside: its pipe is closed to the kernel (which then forgets it), the rest is freed
 * before the next registration, or at the end.
 */
#include "lustre/copytool_impl.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define PIPE_BYTES   (1 << 20)
#define BACKOFF_MS   100
#define BACKOFF_MAX  30000
#define REMIND_TRIES 10

static void free_session(const struct copytool *ct, struct session *s)
{
    int rc = ct->api->hsm_copytool_unregister(&s->handle);
    if (rc < 0)
        log_debug("unregister: %s", strerror(-rc));
    free(s);
}

/* The kernel's next write to the pipe of s fails, and it forgets that registration. The number
 * stays taken: liblustreapi closes it some day. */
static void close_pipe(const struct session *s)
{
    auto_close int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (s->fd >= 0 && null >= 0)
        (void)dup2(null, s->fd);
}

/* Takes the sessions without open actions out; the others' pipes are closed. */
static void lay_aside(struct copytool *ct)
{
    struct session_list idle = LIST_HEAD_INITIALIZER(idle);
    (void)pthread_mutex_lock(&ct->lock);
    ct->registered = false;
    struct session *next = NULL;
    for (struct session *s = LIST_FIRST(&ct->sessions); s != NULL; s = next) {
        next = LIST_NEXT(s, link);
        if (atomic_load(&s->open) > 0) {
            close_pipe(s);
            continue;
        }
        LIST_REMOVE(s, link);
        LIST_INSERT_HEAD(&idle, s, link);
    }
    (void)pthread_mutex_unlock(&ct->lock);
    while (!LIST_EMPTY(&idle)) {
        struct session *s = LIST_FIRST(&idle);
        LIST_REMOVE(s, link);
        free_session(ct, s);
    }
}

static void widen_pipe(const struct session *s)
{
    if (s->fd >= 0 && fcntl(s->fd, F_SETPIPE_SZ, PIPE_BYTES) < 0)
        log_info("the pipe from the kernel keeps its size: %s", strerror(errno));
}

/* One try. Returns 0 or a negated errno value. */
static int try_register(struct copytool *ct)
{
    const struct copytool_config *c = &ct->config;
    auto_free int *ids = xrealloc_array(NULL, (size_t)c->narchive_ids + 1, sizeof(int));
    if (c->narchive_ids > 0)
        memcpy(ids, c->archive_ids, (size_t)c->narchive_ids * sizeof(int));
    void *handle = NULL;
    int rc = ct->api->hsm_copytool_register(&handle, c->mount, c->narchive_ids,
                                            c->narchive_ids > 0 ? ids : NULL, 0);
    if (rc < 0)
        return rc;
    struct session *s = xzalloc(sizeof(*s));
    s->handle = handle;
    s->fd = ct->api->coordinatool ? -1 : ct->api->hsm_copytool_get_fd(handle);
    widen_pipe(s);
    (void)atomic_fetch_add(&ct->stats.registrations, 1);
    lock_scope(&ct->lock);
    LIST_INSERT_HEAD(&ct->sessions, s, link);
    ct->registered = true;
    (void)pthread_cond_broadcast(&ct->joined);
    log_info("registered at %s%s; waiting for messages", c->mount,
             s->fd < 0 ? " (through coordinatool)" : "");
    return 0;
}

/* Whether waiting cannot help. */
static bool hopeless(int rc)
{
    return rc == -EPERM || rc == -EINVAL || rc == -ENOENT || rc == -ENODEV || rc == -ENOTTY;
}

int session_first(struct copytool *ct, struct err *err)
{
    int rc = try_register(ct);
    if (rc == 0)
        return 0;
    (void)err_sys(err, -rc, "register at %s", ct->config.mount);
    if (hopeless(rc))
        return rc;
    log_warn("%s; trying again", err->text);
    err_clear(err);
    lock_scope(&ct->lock);
    ct->reregister = true;
    return 0;
}

static bool give_up(struct copytool *ct)
{
    lock_scope(&ct->lock);
    return ct->quit;
}

void session_renew(struct copytool *ct)
{
    int wait_ms = BACKOFF_MS;
    lay_aside(ct);
    for (unsigned tries = 0; !give_up(ct); tries++) {
        int rc = try_register(ct);
        if (rc == 0)
            return;
        if (rc == -EPERM)
            copytool_fail(ct, EPERM);
        if (tries % REMIND_TRIES == 0)
            log_warn("register at %s: %s; trying again", ct->config.mount, strerror(-rc));
        if (copytool_pause(ct, wait_ms))
            return;
        wait_ms = wait_ms * 2 < BACKOFF_MAX ? wait_ms * 2 : BACKOFF_MAX;
    }
}

struct session *session_get(struct copytool *ct)
{
    lock_scope(&ct->lock);
    while (!ct->registered && !ct->leaving && !ct->quit)
        (void)pthread_cond_wait(&ct->joined, &ct->lock);
    if (!ct->registered)
        return NULL;
    struct session *s = LIST_FIRST(&ct->sessions);
    (void)atomic_fetch_add(&s->open, 1);
    return s;
}

void session_put(struct session *s)
{
    (void)atomic_fetch_sub(&s->open, 1);
}

void session_end(struct copytool *ct)
{
    while (!LIST_EMPTY(&ct->sessions)) {
        struct session *s = LIST_FIRST(&ct->sessions);
        LIST_REMOVE(s, link);
        free_session(ct, s);
    }
    ct->registered = false;
}
