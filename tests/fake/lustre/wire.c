/* SPDX-License-Identifier: Apache-2.0 */
#include "wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int wire_send(int sock, const void *head, size_t n, const void *data, size_t len, int fd)
{
    union {
        struct cmsghdr hdr;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov[2] = {{(void *)(uintptr_t)head, n}, {(void *)(uintptr_t)data, len}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = len > 0 ? 2 : 1};
    if (fd >= 0) {
        msg.msg_control = &control;
        msg.msg_controllen = sizeof control.room;
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    ssize_t sent;
    do {
        sent = sendmsg(sock, &msg, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return errno == ECONNRESET ? -EPIPE : -errno;
    return (size_t)sent == n + len ? 0 : -EMSGSIZE;
}

ssize_t wire_recv(int sock, void *head, size_t n, void *data, size_t cap, int *fd)
{
    union {
        struct cmsghdr hdr;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov[2] = {{head, n}, {data, cap}};
    struct msghdr msg = {.msg_iov = iov,
                         .msg_iovlen = cap > 0 ? 2 : 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof control.room};
    *fd = -1;
    ssize_t got;
    do {
        got = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno == ECONNRESET ? -EPIPE : -errno;
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
        memcpy(fd, CMSG_DATA(c), sizeof *fd);
    if (got == 0)
        return -EPIPE;
    if ((size_t)got < n || (msg.msg_flags & MSG_TRUNC)) {
        if (*fd >= 0)
            (void)close(*fd);
        *fd = -1;
        return -EMSGSIZE;
    }
    return got - (ssize_t)n;
}
