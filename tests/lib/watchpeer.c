/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/watchpeer.h"

#include "base/err.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void need(bool ok, const char *what)
{
    if (ok)
        return;
    (void)fprintf(stderr, "watchpeer: %s: %s\n", what, strerror(errno));
    abort();
}

void watchpeer_up(struct watchpeer *p, bool open_only)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct err err = {0};
    memset(p, 0, sizeof(*p));
    p->sock = -1;
    (void)snprintf(p->dir, sizeof(p->dir), "/tmp/firn-peer-XXXXXX");
    need(mkdtemp(p->dir) != NULL, p->dir);
    (void)snprintf(p->path, sizeof(p->path), "%s/watch.sock", p->dir);
    (void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", p->path);
    p->group = watch_kernel_open(open_only, &p->kernel, &err);
    need(p->group >= 0, err.text);
    p->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    need(bind(p->listener, (struct sockaddr *)&a, sizeof(a)) == 0, "bind");
    need(listen(p->listener, 4) == 0, "listen");
}

void watchpeer_down(struct watchpeer *p)
{
    watchpeer_hang_up(p);
    (void)close(p->listener);
    (void)close(p->group);
    (void)unlink(p->path);
    (void)rmdir(p->dir);
}

uint32_t watchpeer_receive(struct watchpeer *p, struct watch_msg *m, int *fds, size_t *nfds)
{
    struct pollfd f = {.fd = p->sock, .events = POLLIN};
    need(poll(&f, 1, 5000) == 1, "no message");
    need(watch_recv(p->sock, m, fds, nfds) == 1, "receive");
    return m->type;
}

size_t watchpeer_accept(struct watchpeer *p, int *groups)
{
    struct watch_msg m;
    size_t n = 0;
    struct pollfd f = {.fd = p->listener, .events = POLLIN};
    need(poll(&f, 1, 5000) == 1, "nobody connects");
    p->sock = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
    need(p->sock >= 0, "accept");
    need(watchpeer_receive(p, &m, groups, &n) == WATCH_ATTACH, "ATTACH comes first");
    return n;
}

void watchpeer_say(struct watchpeer *p, const struct watch_msg *m, int fd)
{
    need(watch_send(p->sock, m, &fd, fd >= 0 ? 1 : 0) == 0, "send");
}

void watchpeer_greet(struct watchpeer *p, const char *const *names, size_t n)
{
    struct watch_msg m = {.type = WATCH_HELLO, .count = n};
    m.flags = p->kernel.pre_access ? WATCH_CAN_PRE_ACCESS | WATCH_CAN_ERRNO : 0;
    watchpeer_say(p, &m, p->group);
    for (size_t i = 0; i < n; i++) {
        m = (struct watch_msg){.type = WATCH_FS, .flags = WATCH_FS_MOUNTED | WATCH_FS_COVERED};
        (void)snprintf(m.name, sizeof(m.name), "%s", names[i]);
        watchpeer_say(p, &m, -1);
    }
}

void watchpeer_hang_up(struct watchpeer *p)
{
    if (p->sock >= 0)
        (void)close(p->sock);
    p->sock = -1;
}
