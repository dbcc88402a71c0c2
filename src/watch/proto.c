/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/proto.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FDS_BYTES (WATCH_GROUPS_MAX * sizeof(int))

/* Aligned as a header of ancillary data wants it. */
union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(FDS_BYTES)];
};

int watch_send(int sock, const struct watch_msg *m, const int *fds, size_t nfds)
{
    union control c = {0};
    struct watch_msg out = *m;
    struct iovec iov = {.iov_base = &out, .iov_len = sizeof(out)};
    struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
    if (nfds > WATCH_GROUPS_MAX)
        return -EINVAL;
    if (nfds > 0) {
        h.msg_control = c.bytes;
        h.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
        struct cmsghdr *cm = CMSG_FIRSTHDR(&h);
        cm->cmsg_level = SOL_SOCKET;
        cm->cmsg_type = SCM_RIGHTS;
        cm->cmsg_len = CMSG_LEN(nfds * sizeof(int));
        memcpy(CMSG_DATA(cm), fds, nfds * sizeof(int));
    }
    out.version = WATCH_VERSION;
    ssize_t n = 0;
    do
        n = sendmsg(sock, &h, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == ECONNRESET ? -EPIPE : -errno;
    return n == (ssize_t)sizeof(out) ? 0 : -EIO;
}

static void take_fds(struct msghdr *h, int *fds, size_t *nfds)
{
    for (struct cmsghdr *cm = CMSG_FIRSTHDR(h); cm != NULL; cm = CMSG_NXTHDR(h, cm)) {
        if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n && *nfds < WATCH_GROUPS_MAX; i++)
            memcpy(&fds[(*nfds)++], CMSG_DATA(cm) + i * sizeof(int), sizeof(int));
    }
}

static int check(const struct watch_msg *m, ssize_t n, int msg_flags)
{
    if (n != (ssize_t)sizeof(*m) || (msg_flags & MSG_TRUNC) != 0)
        return -EPROTO;
    if (m->version != WATCH_VERSION || m->type < WATCH_ATTACH || m->type > WATCH_RETIRE)
        return -EPROTO;
    if (memchr(m->name, '\0', sizeof(m->name)) == NULL)
        return -EPROTO;
    return (msg_flags & MSG_CTRUNC) != 0 ? -EMFILE : 1;
}

int watch_recv(int sock, struct watch_msg *m, int *fds, size_t *nfds)
{
    union control c = {0};
    struct iovec iov = {.iov_base = m, .iov_len = sizeof(*m)};
    struct msghdr h = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = c.bytes,
                       .msg_controllen = sizeof(c.bytes)};
    ssize_t n = 0;
    *nfds = 0;
    do
        n = recvmsg(sock, &h, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return n == 0 || errno == ECONNRESET ? 0 : -errno;
    take_fds(&h, fds, nfds);
    int rc = check(m, n, h.msg_flags);
    while (rc < 0 && *nfds > 0)
        (void)close(fds[--*nfds]);
    return rc;
}

const char *watch_op_name(uint32_t flags)
{
    static const char *const names[] = {"none", "open", "access", "open+access"};
    return names[flags & (WATCH_OP_OPEN | WATCH_OP_ACCESS)];
}
