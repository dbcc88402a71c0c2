/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/s3_impl.h"

#include "base/timefmt.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#define LINGER_BYTES  ((size_t)256 << 10)
#define LINGER_MS     1000
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
    while (n > 0) {
        struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)n};
        ssize_t sent = sendmsg(c->fd, &msg, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
        if (sent < 0 && errno == EINTR)
            continue;
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

void conn_linger(struct s3_conn *c)
{
    char scratch[16384];
    size_t drained = 0;
    int64_t end = time_mono_ns() + (int64_t)LINGER_MS * 1000000;
    (void)shutdown(c->fd, SHUT_WR);
    while (drained < LINGER_BYTES) {
        int64_t left_ms = (end - time_mono_ns()) / 1000000;
        struct pollfd p = {.fd = c->fd, .events = POLLIN};
        if (left_ms <= 0 || poll(&p, 1, (int)left_ms) <= 0)
            return;
        ssize_t n = recv(c->fd, scratch, sizeof(scratch), MSG_DONTWAIT);
        if (n <= 0)
            return;
        drained += (size_t)n;
    }
}
