/* SPDX-License-Identifier: Apache-2.0 */
#include "store/wire_impl.h"

#include "base/timefmt.h"

#include <arpa/inet.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

void wire_socket_opened(struct line *l, int fd)
{
    if (l->nsockets < LINE_SOCKETS)
        l->sockets[l->nsockets++] = (struct wire_socket){.fd = fd};
}

void wire_socket_closed(struct line *l, int fd)
{
    for (size_t i = 0; i < l->nsockets; i++) {
        if (l->sockets[i].fd == fd) {
            l->sockets[i] = l->sockets[--l->nsockets];
            return;
        }
    }
}

/* Whether the local end of s is ip and port. */
static bool is_socket(struct wire_socket *s, const char *ip, int port)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } a;
    socklen_t len = sizeof(a);
    char text[INET6_ADDRSTRLEN] = "";
    if (s->port != 0 && s->port != port)
        return false;
    memset(&a, 0, sizeof(a));
    if (getsockname(s->fd, &a.any, &len) < 0)
        return false;
    bool v6 = a.any.sa_family == AF_INET6;
    s->port = ntohs(v6 ? a.v6.sin6_port : a.v4.sin_port);
    const void *address = v6 ? (const void *)&a.v6.sin6_addr : (const void *)&a.v4.sin_addr;
    return s->port == port && inet_ntop(a.any.sa_family, address, text, sizeof(text)) != NULL &&
           strcmp(text, ip) == 0;
}

/*
 * What the peer's kernel has acknowledged and what has arrived. Only this tells a slow upload from
 * a dead one: curl has handed hundreds of kilobytes to the socket's buffer before the first of them
 * is on its way.
 */
static uint64_t bytes_moved(const struct transfer *t)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);
    memset(&info, 0, sizeof(info));
    if (t->fd >= 0 && getsockopt(t->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
        len >= offsetof(struct tcp_info, tcpi_bytes_received) + sizeof(info.tcpi_bytes_received))
        return info.tcpi_bytes_acked + info.tcpi_bytes_received;
    curl_off_t up = 0, down = 0;
    (void)curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &up);
    (void)curl_easy_getinfo(t->easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
    return (uint64_t)up + (uint64_t)down + t->head.bytes;
}

void wire_watch_begin(struct transfer *t, const char *ip, int port)
{
    struct line *l = t->line;
    t->fd = -1;
    if (l->nsockets == 1)
        t->fd = l->sockets[0].fd;
    for (size_t i = 0; i < l->nsockets && t->fd < 0; i++) {
        if (is_socket(&l->sockets[i], ip, port))
            t->fd = l->sockets[i].fd;
    }
    t->watched = true;
    t->looked = false;
}

/* Whether a body is on its way: while a store thinks about its answer, min_speed does not hold. */
static bool in_body(const struct transfer *t)
{
    return (t->body != NULL && t->sent < t->size) || t->got > 0;
}

bool wire_stalled(const struct wire_config *config, struct transfer *t, int64_t now)
{
    if (!t->watched)
        return false; /* connecting: curl's own limit holds */
    int64_t limit = config->stall_timeout_s * NS_PER_SEC;
    uint64_t moved = bytes_moved(t);
    if (!t->looked) { /* most are over before the first look */
        t->looked = true;
        t->window_moved = moved;
        t->window_ns = now;
    }
    if (moved != t->moved || t->moved_ns == 0) {
        t->moved = moved;
        t->moved_ns = now;
    }
    if (now - t->moved_ns >= limit)
        return true;
    if (now - t->window_ns < limit)
        return false;
    uint64_t least = config->min_speed * config->stall_timeout_s;
    bool slow = config->min_speed > 0 && in_body(t) && moved - t->window_moved < least;
    t->window_ns = now;
    t->window_moved = moved;
    return slow;
}
