/* SPDX-License-Identifier: Apache-2.0 */
/* The calls that read, and the ways to get a descriptor to read from. */
#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PIECE = 8192, MIDDLE = 40960 };

static void by_read(const char *path, const char *other)
{
    (void)other;
    int fd = need_open(path, O_RDONLY);
    char b[PIECE];
    ssize_t n;
    while ((n = read(fd, b, sizeof(b))) != 0) {
        need(n > 0, "read");
        out(b, (size_t)n);
    }
}

static void by_pread(const char *path, const char *other)
{
    (void)other;
    out_file(need_open(path, O_RDONLY));
}

/* Backwards, piece by piece, each printed in its place. */
static void by_pread_backwards(const char *path, const char *other)
{
    (void)other;
    int fd = need_open(path, O_RDONLY);
    size_t size = size_of(fd);
    char *b = room(size);
    for (size_t at = size / PIECE * PIECE + PIECE; at > 0;) {
        at -= PIECE;
        size_t n = size - at < PIECE ? size - at : PIECE;
        need(pread(fd, b + at, n, (off_t)at) == (ssize_t)n, "pread");
    }
    out(b, size);
}

/* A small read in the middle first: the file is whole afterwards, not only that part. */
static void by_a_small_read(const char *path, const char *other)
{
    (void)other;
    int fd = need_open(path, O_RDONLY);
    char c;
    need(pread(fd, &c, 1, MIDDLE) == 1, "pread");
    out_file(fd);
}

static void by_readv(const char *path, const char *other)
{
    (void)other;
    int fd = need_open(path, O_RDONLY);
    size_t size = size_of(fd);
    char *b = room(size);
    struct iovec v[2] = {{b, PIECE + 1}, {b + PIECE + 1, size - PIECE - 1}};
    need(readv(fd, v, 2) == (ssize_t)size, "readv");
    out(b, size);
}

static void by_preadv2(int fd, int flags)
{
    size_t size = size_of(fd);
    char *b = room(size);
    for (size_t at = 0; at < size;) {
        struct iovec v = {b + at, size - at};
        ssize_t n = preadv2(fd, &v, 1, (off_t)at, flags);
        if (n < 0 && errno == EAGAIN) /* not in memory: what the flag asks for */
            n = preadv2(fd, &v, 1, (off_t)at, 0);
        need(n > 0, "preadv2");
        at += (size_t)n;
    }
    out(b, size);
}

static void by_preadv2_nowait(const char *path, const char *other)
{
    (void)other;
    by_preadv2(need_open(path, O_RDONLY), RWF_NOWAIT);
}

static void by_preadv2_hipri(const char *path, const char *other)
{
    (void)other;
    by_preadv2(need_open(path, O_RDONLY), RWF_HIPRI);
}

static void by_nonblock(const char *path, const char *other)
{
    (void)other;
    out_file(need_open(path, O_RDONLY | O_NONBLOCK));
}

static void by_direct(const char *path, const char *other)
{
    (void)other;
    int fd = need_open(path, O_RDONLY | O_DIRECT);
    size_t size = size_of(fd);
    char *b = room(pages_of(fd));
    need(pread(fd, b, pages_of(fd), 0) == (ssize_t)size, "pread");
    out(b, size);
}

static void by_rdwr(const char *path, const char *other)
{
    (void)other;
    out_file(need_open(path, O_RDWR));
}

static void by_noatime(const char *path, const char *other)
{
    (void)other;
    out_file(need_open(path, O_RDONLY | O_NOATIME));
}

static void by_readahead(const char *path, const char *other)
{
    (void)other;
    int fd = need_open(path, O_RDONLY);
    need(readahead(fd, 0, size_of(fd)) == 0, "readahead");
    need(posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED) == 0, "posix_fadvise");
    out_file(fd);
}

static void by_handle(const char *path, const char *other)
{
    (void)other;
    struct {
        struct file_handle h;
        unsigned char room[MAX_HANDLE_SZ];
    } handle = {.h.handle_bytes = MAX_HANDLE_SZ};
    int mount = 0;
    need(name_to_handle_at(AT_FDCWD, path, &handle.h, &mount, 0) == 0, "name_to_handle_at");
    char *copy = strdup(path);
    int dir = need_open(dirname(copy), O_RDONLY | O_DIRECTORY);
    free(copy);
    int fd = open_by_handle_at(dir, &handle.h, O_RDONLY | O_CLOEXEC);
    need(fd >= 0, "open_by_handle_at");
    out_file(fd);
}

/* The file is named by an O_PATH descriptor, which no event announces, and opened through /proc. */
static void by_reopening(const char *path, const char *other)
{
    (void)other;
    char name[64];
    (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", need_open(path, O_PATH));
    out_file(need_open(name, O_RDONLY));
}

static void by_fork(const char *path, const char *other)
{
    (void)other;
    int fd = need_open(path, O_RDONLY);
    pid_t child = fork();
    need(child >= 0, "fork");
    if (child == 0) {
        out_file(fd);
        _exit(0);
    }
    int status = 0;
    need(waitpid(child, &status, 0) == child && status == 0, "child");
}

/* The descriptor comes through a socket. */
static void by_passing(const char *path, const char *other)
{
    (void)other;
    int s[2];
    int fd = need_open(path, O_RDONLY);
    need(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0, "socketpair");
    char c = 'x';
    struct iovec v = {&c, 1};
    union {
        struct cmsghdr h;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    control.h = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.h), &fd, sizeof(fd));
    need(sendmsg(s[0], &m, 0) == 1, "sendmsg");
    (void)close(fd);
    need(recvmsg(s[1], &m, 0) == 1, "recvmsg");
    memcpy(&fd, CMSG_DATA(&control.h), sizeof(fd));
    out_file(fd);
}

/* Deleted while it is open. The test looks at what was printed only. */
static void by_reading_a_deleted_name(const char *path, const char *other)
{
    (void)other;
    char link_name[4096];
    (void)snprintf(link_name, sizeof(link_name), "%s.link", path);
    need(link(path, link_name) == 0, "link");
    int fd = need_open(link_name, O_RDONLY);
    need(unlink(link_name) == 0, "unlink");
    out_file(fd);
}

/* As copying programs do: data is where SEEK_DATA says, the rest is a hole. */
static void by_seek_data(const char *path, const char *other)
{
    (void)other;
    int fd = need_open(path, O_RDONLY);
    size_t size = size_of(fd);
    char *b = room(size);
    off_t at = 0;
    while ((at = lseek(fd, at, SEEK_DATA)) >= 0) {
        off_t end = lseek(fd, at, SEEK_HOLE);
        need(end > at, "lseek");
        need(pread(fd, b + at, (size_t)(end - at), at) == end - at, "pread");
        at = end;
    }
    need(errno == ENXIO, "lseek");
    out(b, size);
}

const struct op ops_read[] = {
    {"read", OP_READS, by_read},
    {"pread", OP_READS, by_pread},
    {"pread-backwards", OP_READS, by_pread_backwards},
    {"small-read-first", OP_READS, by_a_small_read},
    {"readv", OP_READS, by_readv},
    {"preadv2-nowait", OP_READS, by_preadv2_nowait},
    {"preadv2-hipri", OP_READS, by_preadv2_hipri},
    {"read-nonblock", OP_READS, by_nonblock},
    {"read-direct", OP_READS, by_direct},
    {"read-rdwr", OP_READS, by_rdwr},
    {"read-noatime", OP_READS, by_noatime},
    {"readahead", OP_READS, by_readahead},
    {"open-by-handle", OP_READS, by_handle},
    {"o-path-reopened", OP_READS, by_reopening},
    {"fork", OP_READS, by_fork},
    {"fd-passed", OP_READS, by_passing},
    {"deleted-name", OP_READS, by_reading_a_deleted_name},
    {"seek-data", OP_READS, by_seek_data},
    {NULL, OP_READS, NULL},
};
