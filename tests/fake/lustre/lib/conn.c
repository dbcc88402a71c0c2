/* SPDX-License-Identifier: Apache-2.0 */
/* The way to the fake MDT: a pool of sockets, one call at a time on each. */
#include "lib_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { POOL = 64 };
static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static int pool[POOL];
static int pooled;
static pid_t pool_pid;
static struct lib_site site;
static bool site_known;
static const _Atomic uint32_t *armed; /* shared with the MDT: how many faults wait */

static int connect_mdt(void)
{
    const char *path = getenv(WIRE_SOCKET_ENV);
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (path == NULL || strlen(path) >= sizeof addr.sun_path)
        return -ENOTCONN;
    memcpy(addr.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&addr, sizeof addr) != 0) {
        (void)close(fd);
        return -ENOTCONN;
    }
    return fd;
}

/* A pooled socket, or a new one with *fresh set. After a fork the parent's sockets are let go. */
static int take_socket(bool *fresh)
{
    *fresh = false;
    (void)pthread_mutex_lock(&pool_lock);
    if (pool_pid != getpid()) {
        while (pooled > 0)
            (void)close(pool[--pooled]);
        pool_pid = getpid();
    }
    int fd = pooled > 0 ? pool[--pooled] : -1;
    (void)pthread_mutex_unlock(&pool_lock);
    if (fd < 0) {
        *fresh = true;
        fd = connect_mdt();
    }
    return fd;
}

static void give_socket(int fd)
{
    (void)pthread_mutex_lock(&pool_lock);
    bool kept = pooled < POOL && pool_pid == getpid();
    if (kept)
        pool[pooled++] = fd;
    (void)pthread_mutex_unlock(&pool_lock);
    if (!kept)
        (void)close(fd);
}

static int call_on(int sock, const struct wire_call *c, const void *data, int fd,
                   struct wire_reply *r, void *out, size_t cap, int *got)
{
    int rc = wire_send(sock, c, sizeof *c, data, c->len, fd);
    if (rc != 0)
        return rc;
    ssize_t n = wire_recv(sock, r, sizeof *r, out, cap, got);
    return n < 0 ? (int)n : 0;
}

int lib_call(struct wire_call *c, const void *data, size_t len, int fd, struct wire_reply *r,
             void *out, size_t cap, int *outfd)
{
    int got = -1;
    c->pid = getpid();
    c->uid = geteuid();
    c->len = (uint32_t)len;
    for (int attempt = 0; attempt < POOL + 1; attempt++) {
        bool fresh;
        int sock = take_socket(&fresh);
        if (sock < 0)
            return sock;
        int rc = call_on(sock, c, data, fd, r, out, cap, &got);
        if (rc == 0) {
            give_socket(sock);
            if (outfd != NULL)
                *outfd = got;
            else if (got >= 0)
                (void)close(got);
            return r->rc;
        }
        (void)close(sock);
        if (fresh || rc != -EPIPE)
            return -ENOTCONN;
    }
    return -ENOTCONN;
}

static void map_armed(void)
{
    char path[PATH_MAX];
    const char *sock = getenv(WIRE_SOCKET_ENV);
    (void)snprintf(path, sizeof path, "%s.armed", sock != NULL ? sock : "");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    void *p = mmap(NULL, sizeof(uint32_t), PROT_READ, MAP_SHARED, fd, 0);
    (void)close(fd);
    armed = p == MAP_FAILED ? NULL : p;
}

static void say_hello(void)
{
    struct wire_call c = {.op = WIRE_HELLO};
    struct wire_reply r;
    char text[sizeof site.fsname + sizeof site.mount + sizeof site.version] = "";
    const char *client = getenv(WIRE_CLIENT_ENV);
    (void)snprintf(c.name, sizeof c.name, "%s", client != NULL ? client : "client0");
    if (lib_call(&c, NULL, 0, -1, &r, text, sizeof text - 1, NULL) != 0)
        return;
    /* Three strings of the fake MDT, each shorter than its place. */
    const char *mount = text + strlen(text) + 1;
    const char *version = mount + strlen(mount) + 1;
    memcpy(site.fsname, text, strnlen(text, sizeof site.fsname - 1));
    memcpy(site.mount, mount, strnlen(mount, sizeof site.mount - 1));
    memcpy(site.version, version, strnlen(version, sizeof site.version - 1));
    site.features = (unsigned)r.num;
    map_armed();
    site_known = true;
}

const struct lib_site *lib_site(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    (void)pthread_mutex_lock(&lock);
    if (!site_known)
        say_hello();
    const struct lib_site *s = site_known ? &site : NULL;
    (void)pthread_mutex_unlock(&lock);
    return s;
}

int lib_fault(const char *step)
{
    if (lib_site() == NULL || armed == NULL || atomic_load(armed) == 0)
        return 0;
    struct wire_call c = {.op = WIRE_FAULT};
    struct wire_reply r;
    (void)snprintf(c.name, sizeof c.name, "%s", step);
    return lib_call(&c, NULL, 0, -1, &r, NULL, 0, NULL);
}

void lib_report(const char *what)
{
    struct wire_call c = {.op = WIRE_REPORT};
    struct wire_reply r;
    (void)snprintf(c.name, sizeof c.name, "%s", what);
    (void)lib_call(&c, NULL, 0, -1, &r, NULL, 0, NULL);
}

bool lib_is_mount(const char *path)
{
    char real[PATH_MAX];
    const struct lib_site *s = lib_site();
    return s != NULL && path != NULL && realpath(path, real) != NULL && strcmp(real, s->mount) == 0;
}
