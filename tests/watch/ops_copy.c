/* SPDX-License-Identifier: Apache-2.0 */
/* Copies inside the kernel, from FILE and into it; OTHER is the other end. */
#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <unistd.h>

enum { BLOCK = 65536, AT = 30000, LENGTH = 50000 };

static void sendfile_from(const char *path, const char *other)
{
    int fd = need_open(path, O_RDONLY);
    int to = need_open(other, O_RDWR | O_CREAT | O_TRUNC);
    size_t size = size_of(fd);
    for (size_t at = 0; at < size;) {
        ssize_t n = sendfile(to, fd, NULL, size - at);
        need(n > 0, "sendfile");
        at += (size_t)n;
    }
    out_file(to);
}

/* Through a pipe: from fd at *in (NULL: its position) to fd to. */
static void through_a_pipe(int fd, off_t *in, int to, off_t *at, size_t n)
{
    int pipes[2];
    need(pipe(pipes) == 0, "pipe");
    while (n > 0) {
        ssize_t got = splice(fd, in, pipes[1], NULL, n < BLOCK ? n : BLOCK, 0);
        need(got > 0, "splice from");
        for (ssize_t left = got; left > 0;) {
            ssize_t put = splice(pipes[0], NULL, to, at, (size_t)left, 0);
            need(put > 0, "splice to");
            left -= put;
        }
        n -= (size_t)got;
    }
}

static void splice_from(const char *path, const char *other)
{
    int fd = need_open(path, O_RDONLY);
    int to = need_open(other, O_RDWR | O_CREAT | O_TRUNC);
    through_a_pipe(fd, NULL, to, NULL, size_of(fd));
    out_file(to);
}

static void copy_range_from(const char *path, const char *other)
{
    int fd = need_open(path, O_RDONLY);
    int to = need_open(other, O_RDWR | O_CREAT | O_TRUNC);
    size_t size = size_of(fd);
    for (size_t at = 0; at < size;) {
        ssize_t n = copy_file_range(fd, NULL, to, NULL, size - at, 0);
        need(n > 0, "copy_file_range");
        at += (size_t)n;
    }
    out_file(to);
}

static void clone_from(const char *path, const char *other)
{
    int fd = need_open(path, O_RDONLY);
    int to = need_open(other, O_RDWR | O_CREAT | O_TRUNC);
    need(ioctl(to, FICLONE, fd) == 0, "FICLONE");
    out_file(to);
}

static void clone_range_from(const char *path, const char *other)
{
    int fd = need_open(path, O_RDONLY);
    int to = need_open(other, O_RDWR | O_CREAT | O_TRUNC);
    size_t size = size_of(fd);
    for (size_t at = 0; at < size; at += BLOCK) {
        struct file_clone_range r = {.src_fd = fd,
                                     .src_offset = at,
                                     .src_length = size - at < BLOCK ? 0 : BLOCK,
                                     .dest_offset = at};
        need(ioctl(to, FICLONERANGE, &r) == 0, "FICLONERANGE");
    }
    out_file(to);
}

/* One block of fd is compared with the same block of to, and shared when it is the same. */
static void dedupe(int fd, int to)
{
    union {
        struct file_dedupe_range r;
        char room[sizeof(struct file_dedupe_range) + sizeof(struct file_dedupe_range_info)];
    } u = {.r.src_length = BLOCK, .r.dest_count = 1};
    u.r.info[0].dest_fd = to;
    need(ioctl(fd, FIDEDUPERANGE, &u) == 0, "FIDEDUPERANGE");
    errno = u.r.info[0].status < 0 ? -u.r.info[0].status : EBADE;
    need(u.r.info[0].status == FILE_DEDUPE_RANGE_SAME, "the status of FIDEDUPERANGE");
}

/* OTHER becomes a copy first; equal blocks must be found equal. */
static int copied(const char *path, const char *other)
{
    int fd = need_open(path, O_RDONLY);
    int to = need_open(other, O_RDWR | O_CREAT | O_TRUNC);
    size_t size = size_of(fd);
    char *b = room(size);
    need(pread(fd, b, size, 0) == (ssize_t)size, "pread");
    need(pwrite(to, b, size, 0) == (ssize_t)size, "pwrite");
    need(fsync(to) == 0, "fsync");
    return to;
}

static void dedupe_from(const char *path, const char *other)
{
    int to = copied(path, other);
    dedupe(need_open(path, O_RDONLY), to);
    out_file(to);
}

static void dedupe_into(const char *path, const char *other)
{
    int from = copied(path, other);
    int fd = need_open(path, O_RDWR);
    dedupe(from, fd);
    out_file(fd);
}

/* ---- into FILE ---- */

/* OTHER with bytes of its own. */
static int made(const char *other)
{
    static char b[3 * BLOCK];
    int fd = need_open(other, O_RDWR | O_CREAT | O_TRUNC);
    memset(b, 'C', sizeof(b));
    need(pwrite(fd, b, sizeof(b), 0) == sizeof(b), "pwrite");
    return fd;
}

static void sendfile_into(const char *path, const char *other)
{
    int from = made(other);
    int fd = need_open(path, O_WRONLY);
    need(lseek(fd, AT, SEEK_SET) == AT, "lseek");
    need(sendfile(fd, from, NULL, LENGTH) == LENGTH, "sendfile");
}

static void splice_into(const char *path, const char *other)
{
    int from = made(other);
    off_t in = 0;
    off_t at = AT;
    through_a_pipe(from, &in, need_open(path, O_WRONLY), &at, LENGTH);
}

static void copy_range_into(const char *path, const char *other)
{
    int from = made(other);
    off_t in = 0;
    off_t at = AT;
    need(copy_file_range(from, &in, need_open(path, O_WRONLY), &at, LENGTH, 0) == LENGTH,
         "copy_file_range");
}

/* From one place of FILE to another. */
static void copy_range_within(const char *path, const char *other)
{
    (void)other;
    int fd = need_open(path, O_RDWR);
    off_t in = 0;
    off_t at = 2L * BLOCK;
    need(copy_file_range(fd, &in, fd, &at, LENGTH, 0) == LENGTH, "copy_file_range");
}

static void clone_into(const char *path, const char *other)
{
    int from = made(other);
    need(ioctl(need_open(path, O_WRONLY), FICLONE, from) == 0, "FICLONE");
}

static void clone_range_into(const char *path, const char *other)
{
    struct file_clone_range r = {
        .src_fd = made(other), .src_offset = 0, .src_length = BLOCK, .dest_offset = BLOCK};
    need(ioctl(need_open(path, O_WRONLY), FICLONERANGE, &r) == 0, "FICLONERANGE");
}

const struct op ops_copy[] = {
    {"sendfile-from", OP_READS, sendfile_from},
    {"splice-from", OP_READS, splice_from},
    {"copy-file-range-from", OP_READS, copy_range_from},
    {"ficlone-from", OP_READS, clone_from},
    {"ficlonerange-from", OP_READS, clone_range_from},
    {"fideduperange-from", OP_READS, dedupe_from},
    {"fideduperange-into", OP_READS, dedupe_into},
    {"sendfile-into", OP_WRITES, sendfile_into},
    {"splice-into", OP_WRITES, splice_into},
    {"copy-file-range-into", OP_WRITES, copy_range_into},
    {"copy-file-range-within", OP_WRITES, copy_range_within},
    {"ficlone-into", OP_WRITES, clone_into},
    {"ficlonerange-into", OP_WRITES, clone_range_into},
    {NULL, OP_READS, NULL},
};
