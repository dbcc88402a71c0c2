/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/server.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define BACKLOG 1024

static int open_socket(const struct addrinfo *ai, int *fd)
{
    auto_close int s = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int one = 1;
    if (s < 0 || setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
        bind(s, ai->ai_addr, ai->ai_addrlen) < 0 || listen(s, BACKLOG) < 0)
        return -errno;
    *fd = take_fd(s);
    return 0;
}

int s3_listen(const char *where, int *fd, struct err *err)
{
    const char *colon = strrchr(where, ':');
    if (colon == NULL || colon[1] == '\0')
        return err_set(err, -EINVAL, "'%s' is no address:port to listen on", where);
    auto_free char *host = xstrndup(where, (size_t)(colon - where));
    size_t n = strlen(host);
    const char *name = host;
    if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
        host[n - 1] = '\0';
        name++;
    }
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *ai = NULL;
    int rc = getaddrinfo(name[0] != '\0' ? name : NULL, colon + 1, &hints, &ai);
    if (rc != 0)
        return err_set(err, -EINVAL, "'%s' is no numeric address:port to listen on: %s", where,
                       gai_strerror(rc));
    rc = open_socket(ai, fd);
    freeaddrinfo(ai);
    return rc == 0 ? 0 : err_sys(err, -rc, "listen on %s", where);
}

int s3_listen_port(int fd)
{
    union {
        struct sockaddr_storage any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } at = {.any = {0}};
    socklen_t len = sizeof(at);
    if (getsockname(fd, (struct sockaddr *)&at.any, &len) < 0)
        return -1;
    return ntohs(at.any.ss_family == AF_INET6 ? at.v6.sin6_port : at.v4.sin_port);
}
