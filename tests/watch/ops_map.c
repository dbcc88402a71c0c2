/* SPDX-License-Identifier: Apache-2.0 */
/* Mappings: the kernel tells of them when they are made, never at a page fault. */
#include "ops.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PAGE = 4096, AT = 20000, LENGTH = 30000 };

static char *map(int fd, size_t n, int prot, int flags)
{
    char *p = mmap(NULL, n, prot, flags, fd, 0);
    need(p != MAP_FAILED, "mmap");
    return p;
}

static void out_mapped(const char *path, int prot, int flags)
{
    int fd = need_open(path, O_RDONLY);
    size_t size = size_of(fd);
    char *p = map(fd, size, prot, flags);
    (void)close(fd);
    if (prot == PROT_NONE)
        need(mprotect(p, size, PROT_READ) == 0, "mprotect");
    out(p, size);
}

static void shared(const char *path, const char *other)
{
    (void)other;
    out_mapped(path, PROT_READ, MAP_SHARED);
}

static void private(const char *path, const char *other)
{
    (void)other;
    out_mapped(path, PROT_READ, MAP_PRIVATE);
}

static void private_writable(const char *path, const char *other)
{
    (void)other;
    out_mapped(path, PROT_READ | PROT_WRITE, MAP_PRIVATE);
}

static void prot_none(const char *path, const char *other)
{
    (void)other;
    out_mapped(path, PROT_NONE, MAP_SHARED);
}

static void populate(const char *path, const char *other)
{
    (void)other;
    out_mapped(path, PROT_READ, MAP_SHARED | MAP_POPULATE);
}

static void executable(const char *path, const char *other)
{
    (void)other;
    out_mapped(path, PROT_READ | PROT_EXEC, MAP_PRIVATE);
}

/* The first page is mapped, and the mapping grows to the whole: no event for the new part. */
static void grown(const char *path, const char *other)
{
    (void)other;
    int fd = need_open(path, O_RDONLY);
    size_t size = size_of(fd);
    char *p = map(fd, PAGE, PROT_READ, MAP_SHARED);
    p = mremap(p, PAGE, size, MREMAP_MAYMOVE);
    need(p != MAP_FAILED, "mremap");
    out(p, size);
}

/* One page of address space is pointed at each page of the file in turn. */
static void remapped(const char *path, const char *other)
{
    (void)other;
    int fd = need_open(path, O_RDWR); /* or the mapping would not count as shared */
    size_t size = size_of(fd);
    char *p = map(fd, PAGE, PROT_READ, MAP_SHARED);
    for (size_t at = 0; at < size; at += PAGE) {
        need(remap_file_pages(p, PAGE, 0, at / PAGE, 0) == 0, "remap_file_pages");
        out(p, size - at < PAGE ? size - at : PAGE);
    }
}

/* Another call writes from the mapping: the fault happens in the kernel. */
static void faulted_in_a_call(const char *path, const char *other)
{
    (void)other;
    int fd = need_open(path, O_RDONLY);
    int pipes[2];
    size_t size = size_of(fd);
    char *p = map(fd, size, PROT_READ, MAP_SHARED);
    char *b = room(size);
    need(pipe(pipes) == 0, "pipe");
    for (size_t at = 0; at < size; at += PAGE) {
        size_t n = size - at < PAGE ? size - at : PAGE;
        struct iovec v = {p + at, n};
        need(vmsplice(pipes[1], &v, 1, 0) == (ssize_t)n, "vmsplice");
        need(read(pipes[0], b + at, n) == (ssize_t)n, "read");
    }
    out(b, size);
}

static void stored(const char *path, const char *other)
{
    (void)other;
    int fd = need_open(path, O_RDWR);
    size_t size = size_of(fd);
    char *p = map(fd, size, PROT_READ | PROT_WRITE, MAP_SHARED);
    (void)close(fd);
    memset(p + AT, 'M', LENGTH);
    need(msync(p, size, MS_SYNC) == 0, "msync");
}

static void stored_in_one_page(const char *path, const char *other)
{
    (void)other;
    int fd = need_open(path, O_RDWR);
    char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 5L * PAGE);
    need(p != MAP_FAILED, "mmap");
    p[77] = 'M';
    need(munmap(p, PAGE) == 0, "munmap");
}

/* Read-only first; the right to write comes later, without an event. */
static void stored_after_mprotect(const char *path, const char *other)
{
    (void)other;
    int fd = need_open(path, O_RDWR);
    size_t size = size_of(fd);
    char *p = map(fd, size, PROT_READ, MAP_SHARED);
    need(mprotect(p, size, PROT_READ | PROT_WRITE) == 0, "mprotect");
    memset(p + AT, 'P', LENGTH);
}

const struct op ops_map[] = {
    {"mmap-shared", OP_READS, shared},
    {"mmap-private", OP_READS, private},
    {"mmap-private-writable", OP_READS, private_writable},
    {"mmap-none-mprotect", OP_READS, prot_none},
    {"mmap-populate", OP_READS, populate},
    {"mmap-exec", OP_READS, executable},
    {"mremap-grown", OP_READS, grown},
    {"remap-file-pages", OP_READS, remapped},
    {"mmap-fault-in-a-call", OP_READS, faulted_in_a_call},
    {"mmap-store", OP_WRITES, stored},
    {"mmap-store-one-page", OP_WRITES, stored_in_one_page},
    {"mmap-store-mprotect", OP_WRITES, stored_after_mprotect},
    {NULL, OP_READS, NULL},
};
