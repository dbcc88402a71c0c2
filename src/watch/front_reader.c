/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the groups. One thread at a time polls them (the leader). When it is stuck (in the
 * kernel's opening of a leased file, or in a disk that does not answer), another becomes leader;
 * the stuck one finishes what it has in hand and goes to sleep.
 */
#include "base/cleanup.h"
#include "base/err.h"
#include "watch/front_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/xattr.h>

#define STACK_BYTES (256 * 1024)
#define STUCK_MS    50

/* An event of 24 bytes is read alone by a buffer too small for two of them; one with a range (48)
 * needs the larger. With several in one call the first would wait for the file of the second. */
#define ONE_EVENT ((size_t)FAN_EVENT_METADATA_LEN * 2 - 1)

struct range_info {
    uint8_t type, pad;
    uint16_t len;
    uint32_t pad2;
    uint64_t offset, count;
};

static ssize_t read_one(int group, char *b, size_t cap)
{
    ssize_t n = read(group, b, ONE_EVENT);
    if (n < 0 && errno == EINVAL)
        n = read(group, b, ONE_EVENT + 1);
    if (n < 0 && errno == EINVAL)
        n = read(group, b, cap);
    return n;
}

static void read_range(const char *b, size_t len, struct front_arrival *a)
{
    struct range_info r;
    if (len < FAN_EVENT_METADATA_LEN + sizeof(r))
        return;
    memcpy(&r, b + FAN_EVENT_METADATA_LEN, sizeof(r));
    if (r.type != FAN_EVENT_INFO_TYPE_RANGE)
        return;
    a->offset = r.offset;
    a->count = r.count;
}

static bool is_no_stub(int fd)
{
    return fgetxattr(fd, WATCH_XATTR_STUB, NULL, 0) < 0 && errno == ENODATA;
}

/* Answers at once. Before Linux 6.14 the descriptor stays open a moment longer: it keeps a release
 * from taking its lease before the reader, which no later event would stop, has the file open. */
static void answer_now(struct front *f, struct front_arrival *a, int code)
{
    int group = atomic_load(&f->groups[a->group].fd);
    if (f->k.pre_access)
        (void)dup2(f->null, a->fd); /* closed, and the number not free before it is answered */
    (void)watch_answer(group, &f->k, a->fd, code);
    a->answered = true;
    if (f->k.pre_access || a->fd >= f->table.limit)
        (void)close(a->fd);
    else
        (void)write(f->readers.arrivals[1], a, sizeof(*a));
}

static void handle(struct front *f, const char *b, size_t len, uint8_t group)
{
    struct fanotify_event_metadata m;
    memcpy(&m, b, sizeof(m));
    struct front_arrival a = {.fd = m.fd, .tid = m.pid, .group = group};
    if (m.fd < 0) {
        atomic_fetch_add(&f->readers.failed, 1);
        return;
    }
    a.ops = (uint8_t)(((m.mask & FAN_OPEN_PERM) != 0 ? WATCH_OP_OPEN : 0) |
                      ((m.mask & FAN_PRE_ACCESS) != 0 ? WATCH_OP_ACCESS : 0));
    if (is_no_stub(a.fd)) {
        answer_now(f, &a, 0);
        return;
    }
    if (a.fd >= f->table.limit || atomic_load(&f->table.held) >= f->table.limit - FRONT_FDS_KEPT) {
        atomic_fetch_add(&f->readers.refused, 1);
        answer_now(f, &a, EAGAIN);
        return;
    }
    read_range(b, len, &a);
    (void)write(f->readers.arrivals[1], &a, sizeof(a));
}

static void read_group(struct front_reader *r, uint8_t group)
{
    char b[4096] __attribute__((aligned(8)));
    int fd = atomic_load(&r->front->groups[group].fd);
    atomic_store(&r->since, front_now_ms());
    ssize_t n = fd >= 0 ? read_one(fd, b, sizeof(b)) : -1;
    if (n < 0 && (errno == EMFILE || errno == ENFILE))
        atomic_fetch_add(&r->front->readers.failed, 1);
    for (size_t at = 0; n > 0 && at + FAN_EVENT_METADATA_LEN <= (size_t)n;) {
        uint32_t len = 0;
        memcpy(&len, b + at, sizeof(len)); /* event_len comes first */
        if (len < FAN_EVENT_METADATA_LEN || len > (size_t)n - at)
            break;
        handle(r->front, b + at, len, group);
        at += len;
    }
    atomic_store(&r->since, 0);
}

static bool is_leader(const struct front_reader *r)
{
    const struct front_readers *all = &r->front->readers;
    return !atomic_load(&all->stop) && r == &all->reader[atomic_load(&all->leader)];
}

static void lead(struct front_reader *r)
{
    struct front *f = r->front;
    struct pollfd p[WATCH_GROUPS_MAX + 1];
    while (is_leader(r)) {
        for (int i = 0; i < WATCH_GROUPS_MAX; i++)
            p[i] = (struct pollfd){.fd = atomic_load(&f->groups[i].fd), .events = POLLIN};
        p[WATCH_GROUPS_MAX] = (struct pollfd){.fd = f->readers.wake, .events = POLLIN};
        if (poll(p, WATCH_GROUPS_MAX + 1, -1) < 0)
            continue;
        uint64_t n = 0;
        if (p[WATCH_GROUPS_MAX].revents != 0)
            (void)read(f->readers.wake, &n, sizeof(n));
        for (int i = 0; i < WATCH_GROUPS_MAX && is_leader(r); i++) {
            if ((p[i].revents & POLLIN) != 0)
                read_group(r, (uint8_t)i);
        }
    }
}

static void *reader_main(void *arg)
{
    struct front_reader *r = arg;
    while (!atomic_load(&r->front->readers.stop)) {
        if (sem_wait(&r->go) == 0)
            lead(r);
    }
    return NULL;
}

static int start_one(struct front_reader *r, pthread_attr_t *attr)
{
    if (sem_init(&r->go, 0, 0) != 0)
        return errno;
    int rc = pthread_create(&r->thread, attr, reader_main, r);
    r->started = rc == 0;
    return rc;
}

int front_readers_start(struct front *f, struct err *err)
{
    struct front_readers *all = &f->readers;
    pthread_attr_t attr;
    sigset_t every, old;
    int rc = 0;
    all->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (all->wake < 0 || pipe2(all->arrivals, O_CLOEXEC) != 0 ||
        fcntl(all->arrivals[0], F_SETFL, O_NONBLOCK) != 0)
        return err_sys(err, errno, "eventfd or pipe");
    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setstacksize(&attr, STACK_BYTES);
    (void)sigfillset(&every);
    (void)pthread_sigmask(SIG_SETMASK, &every, &old);
    for (int i = 0; i < FRONT_READERS && rc == 0; i++) {
        all->reader[i].front = f;
        rc = start_one(&all->reader[i], &attr);
    }
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    (void)pthread_attr_destroy(&attr);
    if (rc != 0)
        return err_sys(err, rc, "threads that read the kernel's events");
    (void)sem_post(&all->reader[0].go);
    return 0;
}

void front_readers_wake(struct front *f)
{
    const uint64_t one = 1;
    (void)write(f->readers.wake, &one, sizeof(one));
}

void front_readers_stop(struct front *f)
{
    struct front_readers *all = &f->readers;
    atomic_store(&all->stop, true);
    if (all->wake >= 0)
        front_readers_wake(f);
    for (int i = 0; i < FRONT_READERS; i++) {
        if (!all->reader[i].started)
            continue;
        (void)sem_post(&all->reader[i].go);
        /* It may wait for room in the pipe. */
        while (pthread_tryjoin_np(all->reader[i].thread, NULL) != 0) {
            front_drain(f);
            (void)usleep(1000);
        }
        (void)sem_destroy(&all->reader[i].go);
    }
}

void front_readers_watch(struct front *f, int64_t now_ms)
{
    struct front_readers *all = &f->readers;
    int leader = atomic_load(&all->leader);
    int64_t since = atomic_load(&all->reader[leader].since);
    if (since == 0 || now_ms - since < STUCK_MS)
        return;
    for (int i = 0; i < FRONT_READERS; i++) {
        if (atomic_load(&all->reader[i].since) != 0)
            continue;
        atomic_store(&all->leader, i);
        (void)sem_post(&all->reader[i].go);
        return;
    }
}
