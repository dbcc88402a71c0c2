/* SPDX-License-Identifier: Apache-2.0 */
#include "base/notify.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */

/* Returns 1 and fills sa and len, 0 when there is no socket, or a negated errno value. */
static int manager(struct sockaddr_un *sa, socklen_t *len)
{
    const char *path = getenv("NOTIFY_SOCKET");
    if (path == NULL || path[0] == '\0')
        return 0;
    size_t n = strlen(path);
    if ((path[0] != '/' && path[0] != '@') || n >= sizeof(sa->sun_path))
        return -EINVAL;
    *sa = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(sa->sun_path, path, n);
    if (sa->sun_path[0] == '@') /* the abstract name space */
        sa->sun_path[0] = '\0';
    *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    return 1;
}

int notify_send_fd(const char *state, int fd)
{
    struct sockaddr_un sa;
    struct iovec iov = {.iov_base = (void *)(uintptr_t)state, .iov_len = strlen(state)};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } c = {0};
    struct msghdr h = {.msg_name = &sa, .msg_iov = &iov, .msg_iovlen = 1};
    int rc = manager(&sa, &h.msg_namelen);
    if (rc <= 0)
        return rc;
    auto_close int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (sock < 0)
        return -errno;
    if (fd >= 0) {
        c.header.cmsg_level = SOL_SOCKET;
        c.header.cmsg_type = SCM_RIGHTS;
        c.header.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&c.header), &fd, sizeof(fd));
        h.msg_control = c.bytes;
        h.msg_controllen = sizeof(c.bytes);
    }
    return sendmsg(sock, &h, MSG_NOSIGNAL) < 0 ? -errno : 1;
}

int notify_send(const char *state)
{
    int rc = notify_send_fd(state, -1);
    return rc < 0 ? rc : 0;
}

/* Whether the i-th of names, separated by colons, is name. */
static bool is_named(const char *names, long i, const char *name)
{
    for (; names != NULL && i > 0; i--) {
        names = strchr(names, ':');
        names = names != NULL ? names + 1 : NULL;
    }
    size_t n = strlen(name);
    return names != NULL && strncmp(names, name, n) == 0 && (names[n] == ':' || names[n] == '\0');
}

static long number(const char *variable)
{
    const char *text = getenv(variable);
    return text != NULL ? strtol(text, NULL, 10) : 0;
}

int notify_take_fd(const char *name)
{
    const char *names = getenv("LISTEN_FDNAMES");
    long n = number("LISTEN_PID") == (long)getpid() ? number("LISTEN_FDS") : 0;
    int found = -1;
    for (long i = 0; i < n && i < 4096; i++) {
        int fd = FIRST_FD + (int)i;
        if (found < 0 && is_named(names, i, name) && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0)
            found = fd;
        else
            (void)close(fd);
    }
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    return found;
}
