/* SPDX-License-Identifier: Apache-2.0 */
/* Asynchronous reads and writes, by the system calls themselves: io_submit(2), io_uring_enter(2).
 */
#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { ENTRIES = 8, AT = 50000, LENGTH = 20000 };

/* ---- io_submit ---- */

static void aio(int fd, int opcode, void *b, size_t n, int64_t at, ssize_t want)
{
    aio_context_t ctx = 0;
    need(syscall(SYS_io_setup, ENTRIES, &ctx) == 0, "io_setup");
    struct iocb cb = {.aio_fildes = (uint32_t)fd,
                      .aio_lio_opcode = (uint16_t)opcode,
                      .aio_buf = (uint64_t)(uintptr_t)b,
                      .aio_nbytes = n,
                      .aio_offset = at};
    struct iocb *list[1] = {&cb};
    need(syscall(SYS_io_submit, ctx, 1, list) == 1, "io_submit");
    struct io_event ev;
    need(syscall(SYS_io_getevents, ctx, 1, 1, &ev, NULL) == 1, "io_getevents");
    errno = ev.res < 0 ? (int)-ev.res : EIO;
    need(ev.res == want, "io_getevents");
}

static void aio_read_with(const char *path, int flags)
{
    int fd = need_open(path, O_RDONLY | flags);
    size_t size = size_of(fd);
    size_t n = pages_of(fd);
    char *b = room(n);
    aio(fd, IOCB_CMD_PREAD, b, n, 0, (ssize_t)size);
    out(b, size);
}

static void aio_read(const char *path, const char *other)
{
    (void)other;
    aio_read_with(path, 0);
}

static void aio_read_direct(const char *path, const char *other)
{
    (void)other;
    aio_read_with(path, O_DIRECT);
}

static void aio_write(const char *path, const char *other)
{
    (void)other;
    char *b = room(LENGTH);
    memset(b, 'A', LENGTH);
    aio(need_open(path, O_WRONLY), IOCB_CMD_PWRITE, b, LENGTH, AT, LENGTH);
}

/* ---- io_uring ---- */

struct ring {
    int fd;
    unsigned flags; /* of setup */
    struct io_uring_sqe *sqe;
    atomic_uint *sq_tail, *sq_flags, *cq_head, *cq_tail;
    unsigned *array, mask, cq_mask;
    struct io_uring_cqe *cqe;
};

static void ring_open(struct ring *r, unsigned flags)
{
    struct io_uring_params p = {.flags = flags, .sq_thread_idle = 100};
    r->flags = flags;
    r->fd = (int)syscall(SYS_io_uring_setup, ENTRIES, &p);
    need(r->fd >= 0, "io_uring_setup");
    size_t n = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
    size_t m = p.sq_off.array + p.sq_entries * sizeof(unsigned);
    char *rings =
        mmap(NULL, n > m ? n : m, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, IORING_OFF_SQ_RING);
    need(rings != MAP_FAILED, "mmap of the rings");
    r->sqe = mmap(NULL, p.sq_entries * sizeof(*r->sqe), PROT_READ | PROT_WRITE, MAP_SHARED, r->fd,
                  IORING_OFF_SQES);
    need(r->sqe != MAP_FAILED, "mmap of the entries");
    r->sq_tail = (atomic_uint *)(void *)(rings + p.sq_off.tail);
    r->sq_flags = (atomic_uint *)(void *)(rings + p.sq_off.flags);
    r->array = (unsigned *)(void *)(rings + p.sq_off.array);
    r->mask = p.sq_entries - 1;
    r->cq_head = (atomic_uint *)(void *)(rings + p.cq_off.head);
    r->cq_tail = (atomic_uint *)(void *)(rings + p.cq_off.tail);
    r->cq_mask = p.cq_entries - 1;
    r->cqe = (struct io_uring_cqe *)(void *)(rings + p.cq_off.cqes);
}

/* Submits one entry and waits for its end; ends the program when that was an error. */
static int ring_run(struct ring *r, const struct io_uring_sqe *e)
{
    unsigned tail = atomic_load(r->sq_tail);
    r->sqe[tail & r->mask] = *e;
    r->array[tail & r->mask] = tail & r->mask;
    atomic_store(r->sq_tail, tail + 1);
    unsigned flags = IORING_ENTER_GETEVENTS;
    unsigned submit = 1;
    if ((r->flags & IORING_SETUP_SQPOLL) != 0) {
        submit = 0;
        flags |=
            (atomic_load(r->sq_flags) & IORING_SQ_NEED_WAKEUP) != 0 ? IORING_ENTER_SQ_WAKEUP : 0;
    }
    need(syscall(SYS_io_uring_enter, r->fd, submit, 1, flags, NULL, 0) >= 0, "io_uring_enter");
    unsigned head = atomic_load(r->cq_head);
    while (head == atomic_load(r->cq_tail))
        (void)usleep(100);
    int res = r->cqe[head & r->cq_mask].res;
    atomic_store(r->cq_head, head + 1);
    errno = res < 0 ? -res : 0;
    need(res >= 0, "io_uring");
    return res;
}

static struct io_uring_sqe entry(int opcode, int fd, void *p, size_t n, uint64_t at)
{
    return (struct io_uring_sqe){.opcode = (uint8_t)opcode,
                                 .fd = fd,
                                 .addr = (uint64_t)(uintptr_t)p,
                                 .len = (uint32_t)n,
                                 .off = at};
}

/* sqe_flags may ask for a registered file. */
static void ring_read_with(const char *path, unsigned setup, uint8_t sqe_flags)
{
    struct ring r;
    ring_open(&r, setup);
    int fd = need_open(path, O_RDONLY);
    size_t size = size_of(fd);
    char *b = room(size);
    struct io_uring_sqe e = entry(IORING_OP_READ, fd, b, size, 0);
    e.flags = sqe_flags;
    if ((sqe_flags & IOSQE_FIXED_FILE) != 0) {
        need(syscall(SYS_io_uring_register, r.fd, IORING_REGISTER_FILES, &fd, 1) == 0, "register");
        (void)close(fd);
        e.fd = 0;
    }
    need((size_t)ring_run(&r, &e) == size, "short read");
    out(b, size);
}

static void uring_read(const char *path, const char *other)
{
    (void)other;
    ring_read_with(path, 0, 0);
}

static void uring_taskrun(const char *path, const char *other)
{
    (void)other;
    ring_read_with(path, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, 0);
}

static void uring_fixed_file(const char *path, const char *other)
{
    (void)other;
    ring_read_with(path, 0, IOSQE_FIXED_FILE);
}

static void uring_sqpoll(const char *path, const char *other)
{
    (void)other;
    ring_read_with(path, IORING_SETUP_SQPOLL, 0);
}

static void uring_sqpoll_fixed_file(const char *path, const char *other)
{
    (void)other;
    ring_read_with(path, IORING_SETUP_SQPOLL, IOSQE_FIXED_FILE);
}

static void uring_async(const char *path, const char *other)
{
    (void)other;
    ring_read_with(path, 0, IOSQE_ASYNC);
}

/* The ring opens the file too, so that /proc shows no open flags of the waiting thread. */
static void uring_open(const char *path, const char *other)
{
    (void)other;
    struct ring r;
    ring_open(&r, 0);
    struct io_uring_sqe e = entry(IORING_OP_OPENAT, AT_FDCWD, NULL, 0, 0);
    e.addr = (uint64_t)(uintptr_t)path;
    e.open_flags = O_RDONLY | O_CLOEXEC;
    out_file(ring_run(&r, &e));
}

static void uring_open_truncated(const char *path, const char *other)
{
    (void)other;
    struct ring r;
    ring_open(&r, 0);
    struct io_uring_sqe e = entry(IORING_OP_OPENAT, AT_FDCWD, NULL, 0, 0);
    e.addr = (uint64_t)(uintptr_t)path;
    e.open_flags = O_WRONLY | O_TRUNC | O_CLOEXEC;
    int fd = ring_run(&r, &e);
    need(write(fd, "new", 3) == 3, "write");
}

static void uring_fixed_buffer(const char *path, const char *other)
{
    (void)other;
    struct ring r;
    ring_open(&r, 0);
    int fd = need_open(path, O_RDONLY);
    size_t size = size_of(fd);
    struct iovec v = {room(size), size};
    need(syscall(SYS_io_uring_register, r.fd, IORING_REGISTER_BUFFERS, &v, 1) == 0, "register");
    struct io_uring_sqe e = entry(IORING_OP_READ_FIXED, fd, v.iov_base, size, 0);
    need((size_t)ring_run(&r, &e) == size, "short read");
    out(v.iov_base, size);
}

static void uring_splice(const char *path, const char *other)
{
    (void)other;
    enum { PIECE = 4096 };
    struct ring r;
    ring_open(&r, 0);
    int fd = need_open(path, O_RDONLY);
    int pipes[2];
    need(pipe(pipes) == 0, "pipe");
    char b[PIECE];
    size_t size = size_of(fd);
    for (size_t at = 0; at < size;) {
        struct io_uring_sqe e = entry(IORING_OP_SPLICE, pipes[1], NULL, PIECE, (uint64_t)-1);
        e.splice_fd_in = fd;
        e.splice_off_in = at;
        int n = ring_run(&r, &e);
        need(n > 0 && read(pipes[0], b, (size_t)n) == n, "read");
        out(b, (size_t)n);
        at += (size_t)n;
    }
}

static void uring_write(const char *path, const char *other)
{
    (void)other;
    struct ring r;
    ring_open(&r, 0);
    char *b = room(LENGTH);
    memset(b, 'U', LENGTH);
    struct io_uring_sqe e = entry(IORING_OP_WRITE, need_open(path, O_WRONLY), b, LENGTH, AT);
    need(ring_run(&r, &e) == LENGTH, "short write");
}

static void uring_fallocate(const char *path, const char *other)
{
    (void)other;
    struct ring r;
    ring_open(&r, 0);
    struct io_uring_sqe e = entry(IORING_OP_FALLOCATE, need_open(path, O_RDWR), NULL, 0, AT);
    e.addr = LENGTH;
    e.len = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    (void)ring_run(&r, &e);
}

const struct op ops_async[] = {
    {"aio-read", OP_READS, aio_read},
    {"aio-read-direct", OP_READS, aio_read_direct},
    {"aio-write", OP_WRITES, aio_write},
    {"uring-read", OP_READS, uring_read},
    {"uring-read-taskrun", OP_READS, uring_taskrun},
    {"uring-read-fixed-file", OP_READS, uring_fixed_file},
    {"uring-read-fixed-buffer", OP_READS, uring_fixed_buffer},
    {"uring-read-sqpoll", OP_READS, uring_sqpoll},
    {"uring-read-sqpoll-fixed-file", OP_READS, uring_sqpoll_fixed_file},
    {"uring-read-async", OP_READS, uring_async},
    {"uring-open", OP_READS, uring_open},
    {"uring-open-trunc", OP_WRITES, uring_open_truncated},
    {"uring-splice", OP_READS, uring_splice},
    {"uring-write", OP_WRITES, uring_write},
    {"uring-fallocate", OP_WRITES, uring_fallocate},
    {NULL, OP_READS, NULL},
};
