/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/s3_impl.h"

#include <errno.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#define SENDFILE_STEP ((int64_t)1 << 30)

ssize_t conn_recv(struct s3_conn *c, void *buf, size_t cap)
{
    size_t left = c->head_len - c->taken;
    if (left > 0) {
        if (left > cap)
            left = cap;
        memcpy(buf, c->head + c->taken, left);
        c->taken += left;
        return (ssize_t)left;
    }
    server_may_block(c->server, c->active);
    for (;;) {
        ssize_t n = recv(c->fd, buf, cap, 0);
        if (n >= 0)
            return n;
        if (errno != EINTR)
            return -errno;
    }
}

int conn_send(struct s3_conn *c, struct iovec *iov, int n, bool more)
{
    int flags = MSG_NOSIGNAL | (more ? MSG_MORE : 0);
    int nowait = c->active->in_lane ? MSG_DONTWAIT : 0;
    while (n > 0) {
        struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)n};
        ssize_t sent = sendmsg(c->fd, &msg, flags | nowait);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && nowait != 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            server_may_block(c->server, c->active); /* the peer does not read: wait, with the
                                                       socket's timeout */
            nowait = 0;
            continue;
        }
        if (sent < 0)
            return -errno;
        size_t done = (size_t)sent;
        while (n > 0 && done >= iov->iov_len) {
            done -= iov->iov_len;
            iov++;
            n--;
        }
        if (n > 0) {
            iov->iov_base = (char *)iov->iov_base + done;
            iov->iov_len -= done;
        }
    }
    return 0;
}

int conn_sendfile(struct s3_conn *c, int fd, off_t off, int64_t len)
{
    server_may_block(c->server, c->active);
    while (len > 0) {
        int64_t step = len < SENDFILE_STEP ? len : SENDFILE_STEP;
        ssize_t n = sendfile(c->fd, fd, &off, (size_t)step);
        if (n == 0)
            return -ENODATA;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            len -= n;
    }
    return 0;
}
