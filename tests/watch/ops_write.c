/* SPDX-License-Identifier: Apache-2.0 */
/* Writes into a part of FILE: the rest must be what it was. And what changes its size. */
#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { BLOCK = 65536, AT = 70001, LENGTH = 15000, SHORT = 100001 };

static const char *bytes(char c)
{
    static char b[LENGTH];
    memset(b, c, sizeof(b));
    return b;
}

static void by_write(const char *path, const char *other)
{
    (void)other;
    need(write(need_open(path, O_WRONLY), bytes('W'), LENGTH) == LENGTH, "write");
}

static void by_pwrite(const char *path, const char *other)
{
    (void)other;
    need(pwrite(need_open(path, O_WRONLY), bytes('P'), LENGTH, AT) == LENGTH, "pwrite");
}

static void by_pwrite_rdwr(const char *path, const char *other)
{
    (void)other;
    need(pwrite(need_open(path, O_RDWR), bytes('P'), LENGTH, AT) == LENGTH, "pwrite");
}

static void by_pwritev(const char *path, const char *other)
{
    (void)other;
    char *b = room(LENGTH);
    memcpy(b, bytes('V'), LENGTH);
    struct iovec v[2] = {{b, 100}, {b + 100, LENGTH - 100}};
    need(pwritev2(need_open(path, O_WRONLY), v, 2, AT, 0) == LENGTH, "pwritev2");
}

static void by_direct(const char *path, const char *other)
{
    (void)other;
    char *b = room(BLOCK);
    memset(b, 'D', BLOCK);
    need(pwrite(need_open(path, O_WRONLY | O_DIRECT), b, BLOCK, BLOCK) == BLOCK, "pwrite");
}

static void by_sync(const char *path, const char *other)
{
    (void)other;
    need(pwrite(need_open(path, O_WRONLY | O_SYNC), bytes('S'), LENGTH, AT) == LENGTH, "pwrite");
}

static void by_append(const char *path, const char *other)
{
    (void)other;
    need(write(need_open(path, O_WRONLY | O_APPEND), bytes('A'), LENGTH) == LENGTH, "write");
}

static void by_append_flag(const char *path, const char *other)
{
    (void)other;
    char *b = room(LENGTH);
    memcpy(b, bytes('A'), LENGTH);
    struct iovec v = {b, LENGTH};
    need(pwritev2(need_open(path, O_WRONLY), &v, 1, 0, RWF_APPEND) == LENGTH, "pwritev2");
}

static void past_the_end(const char *path, const char *other)
{
    (void)other;
    int fd = need_open(path, O_WRONLY);
    need(pwrite(fd, bytes('E'), LENGTH, (off_t)size_of(fd) + 10000) == LENGTH, "pwrite");
}

static void by_two_descriptors(const char *path, const char *other)
{
    (void)other;
    int a = need_open(path, O_WRONLY);
    int b = need_open(path, O_RDWR);
    need(pwrite(a, bytes('1'), LENGTH, AT) == LENGTH, "pwrite");
    need(pwrite(b, bytes('2'), LENGTH, 3L * AT) == LENGTH, "pwrite");
}

const struct op ops_write[] = {
    {"write", OP_WRITES, by_write},
    {"pwrite", OP_WRITES, by_pwrite},
    {"pwrite-rdwr", OP_WRITES, by_pwrite_rdwr},
    {"pwritev", OP_WRITES, by_pwritev},
    {"pwrite-direct", OP_WRITES, by_direct},
    {"pwrite-sync", OP_WRITES, by_sync},
    {"append", OP_WRITES, by_append},
    {"append-rwf", OP_WRITES, by_append_flag},
    {"pwrite-past-end", OP_WRITES, past_the_end},
    {"pwrite-two-fds", OP_WRITES, by_two_descriptors},
    {NULL, OP_WRITES, NULL},
};

/* ---- size ---- */

static void truncate_short(const char *path, const char *other)
{
    (void)other;
    need(truncate(path, SHORT) == 0, "truncate");
}

static void truncate_aligned(const char *path, const char *other)
{
    (void)other;
    need(truncate(path, BLOCK) == 0, "truncate");
}

static void truncate_empty(const char *path, const char *other)
{
    (void)other;
    need(truncate(path, 0) == 0, "truncate");
}

static void truncate_longer(const char *path, const char *other)
{
    (void)other;
    need(truncate(path, 10L * BLOCK) == 0, "truncate");
}

/* Bytes that were cut off are zeros when the file grows again, also in a stub. */
static void truncate_twice(const char *path, const char *other)
{
    (void)other;
    need(truncate(path, SHORT) == 0, "truncate");
    need(truncate(path, 3L * SHORT) == 0, "truncate");
}

static void ftruncate_short(const char *path, const char *other)
{
    (void)other;
    need(ftruncate(need_open(path, O_WRONLY), SHORT) == 0, "ftruncate");
}

static void ftruncate_longer(const char *path, const char *other)
{
    (void)other;
    need(ftruncate(need_open(path, O_WRONLY), 10L * BLOCK) == 0, "ftruncate");
}

static void ftruncate_empty_then_write(const char *path, const char *other)
{
    (void)other;
    int fd = need_open(path, O_WRONLY);
    need(ftruncate(fd, 0) == 0, "ftruncate");
    need(pwrite(fd, bytes('F'), LENGTH, AT) == LENGTH, "pwrite");
}

static void open_trunc(const char *path, const char *other)
{
    (void)other;
    int fd = need_open(path, O_WRONLY | O_TRUNC);
    need(pwrite(fd, bytes('T'), LENGTH, AT) == LENGTH, "pwrite");
}

static void open_trunc_alone(const char *path, const char *other)
{
    (void)other;
    (void)need_open(path, O_RDWR | O_TRUNC);
}

static void by_creat(const char *path, const char *other)
{
    (void)other;
    int fd = creat(path, 0600);
    need(fd >= 0, "creat");
    need(write(fd, bytes('N'), LENGTH) == LENGTH, "write");
}

static void allocate(const char *path, int mode, off_t at, off_t n)
{
    need(fallocate(need_open(path, O_RDWR), mode, at, n) == 0, "fallocate");
}

static void allocate_longer(const char *path, const char *other)
{
    (void)other;
    allocate(path, 0, 0, 10L * BLOCK);
}

static void allocate_inside(const char *path, const char *other)
{
    (void)other;
    allocate(path, FALLOC_FL_KEEP_SIZE, 0, 2L * BLOCK);
}

static void punch(const char *path, const char *other)
{
    (void)other;
    allocate(path, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, AT, LENGTH);
}

static void zero_range(const char *path, const char *other)
{
    (void)other;
    allocate(path, FALLOC_FL_ZERO_RANGE, AT, LENGTH);
}

static void collapse(const char *path, const char *other)
{
    (void)other;
    allocate(path, FALLOC_FL_COLLAPSE_RANGE, BLOCK, BLOCK);
}

static void insert(const char *path, const char *other)
{
    (void)other;
    allocate(path, FALLOC_FL_INSERT_RANGE, BLOCK, BLOCK);
}

static void unshare(const char *path, const char *other)
{
    (void)other;
    allocate(path, FALLOC_FL_UNSHARE_RANGE, 0, 2L * BLOCK);
}

const struct op ops_size[] = {
    {"truncate", OP_WRITES, truncate_short},
    {"truncate-aligned", OP_WRITES, truncate_aligned},
    {"truncate-empty", OP_WRITES, truncate_empty},
    {"truncate-longer", OP_WRITES, truncate_longer},
    {"truncate-twice", OP_WRITES, truncate_twice},
    {"ftruncate", OP_WRITES, ftruncate_short},
    {"ftruncate-longer", OP_WRITES, ftruncate_longer},
    {"ftruncate-empty-write", OP_WRITES, ftruncate_empty_then_write},
    {"open-trunc", OP_WRITES, open_trunc},
    {"open-trunc-alone", OP_WRITES, open_trunc_alone},
    {"creat", OP_WRITES, by_creat},
    {"fallocate-longer", OP_WRITES, allocate_longer},
    {"fallocate-inside", OP_WRITES, allocate_inside},
    {"fallocate-punch", OP_WRITES, punch},
    {"fallocate-zero", OP_WRITES, zero_range},
    {"fallocate-collapse", OP_WRITES, collapse},
    {"fallocate-insert", OP_WRITES, insert},
    {"fallocate-unshare", OP_WRITES, unshare},
    {NULL, OP_WRITES, NULL},
};
