/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/front.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "watch/front_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>

#define TICK_MS 50   /* deadlines are kept this well */
#define SLOW_MS 5000 /* between looks at things that change slowly */
#define RETIRE_MS                                                                                  \
    5000 /* a call that had passed the new marks before they were there has come by then */
#define CLOSE_MS                                                                                   \
    100 /* from answer to close on older kernels; until then the reader has the file open */
#define LOOK_MOST 512 /* readers looked for at once */
#define BATCH     64

int64_t front_now_ms(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int front_epoll_add(struct front *f, int sock, enum front_kind kind, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.u64 = (uint64_t)kind << 32 | (uint32_t)sock};
    return epoll_ctl(f->epoll, EPOLL_CTL_ADD, sock, &ev) == 0 ? 0 : -errno;
}

/* ---- groups ---- */

/* What an earlier front had read and not answered cannot be known, and its numbers would be taken
 * for those of new events. */
static void sweep(const struct front *f, int group)
{
    int swept = 0;
    for (int fd = 0; fd < FRONT_FDS_MAX; fd++)
        swept += watch_answer(group, &f->k, fd, EIO) == 0;
    if (swept > 0)
        log_warn("%d programs that an earlier firn-watch had kept waiting got an error", swept);
}

bool front_adopt(struct front *f, int group)
{
    auto_close int fd = group;
    int room = NONE;
    for (int i = 1; i < WATCH_GROUPS_MAX; i++) {
        int there = atomic_load(&f->groups[i].fd);
        if (there == NONE)
            room = i;
        else if (watch_kernel_same(there, fd))
            return false;
    }
    if (watch_kernel_same(atomic_load(&f->groups[0].fd), fd))
        return false;
    if (room == NONE) {
        log_warn("too many groups of earlier fronts; the readers of one wait on");
        return false;
    }
    (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    sweep(f, fd);
    f->groups[room].retire_ms = 0;
    atomic_store(&f->groups[room].fd, take_fd(fd));
    front_readers_wake(f);
    return true;
}

void front_retire(struct front *f)
{
    for (int i = 1; i < WATCH_GROUPS_MAX; i++) {
        if (f->groups[i].retire_ms == 0)
            f->groups[i].retire_ms = front_now_ms() + RETIRE_MS;
    }
}

bool front_has_older(const struct front *f)
{
    for (int i = 1; i < WATCH_GROUPS_MAX; i++) {
        if (atomic_load(&f->groups[i].fd) != NONE)
            return true;
    }
    return false;
}

/* The engine must know: what it opens may be hooked by them. */
static void tell_places(struct front *f)
{
    for (size_t i = 0; i < f->cfg.nfs; i++)
        f->places[i].told = false;
    front_engine_pump(f);
}

static bool readers_are_idle(const struct front *f)
{
    for (int i = 0; i < FRONT_READERS; i++) {
        if (atomic_load(&f->readers.reader[i].since) != 0)
            return false;
    }
    return true;
}

/* Closed when nothing waits in it, and nothing that it told is on its way to the table. Its number
 * stays taken: a reader thread may be about to use it. */
static void retire_due(struct front *f, int64_t now)
{
    for (int i = 1; i < WATCH_GROUPS_MAX; i++) {
        struct front_group *g = &f->groups[i];
        struct pollfd p = {.fd = atomic_load(&g->fd), .events = POLLIN};
        if (p.fd == NONE || g->retire_ms == 0 || now < g->retire_ms || !readers_are_idle(f) ||
            front_table_has_group(&f->table, (uint8_t)i) || poll(&p, 1, 0) != 0)
            continue;
        atomic_store(&g->fd, NONE);
        front_readers_wake(f);
        (void)dup2(f->null, p.fd);
        log_info("the group of an earlier front is closed: all its stubs are in the new one");
        tell_places(f);
    }
}

/* ---- events ---- */

void front_answer(struct front *f, int fd, int code)
{
    const struct front_slot *s = &f->table.slots[fd];
    int group = atomic_load(&f->groups[s->group].fd);
    bool later = !f->k.pre_access;
    /* Closed before the answer, so that the last to close the file is its reader, who may then have
     * to wait for a disk; its number is free only after the answer. */
    if (!later)
        (void)dup2(f->null, fd);
    (void)watch_answer(group, &f->k, fd, code);
    front_table_answered(&f->table, fd, later, front_now_ms());
    if (!later)
        (void)close(fd);
}

static void close_due(struct front *f, int64_t now)
{
    struct front_table *t = &f->table;
    while (t->closing.head != NONE && now - t->slots[t->closing.head].since_ms >= CLOSE_MS)
        (void)close(front_table_closed(t));
}

static void answer_late(struct front *f, int64_t now)
{
    struct front_table *t = &f->table;
    bool all = f->stopping && f->engine.sock == NONE; /* nobody would come for them */
    while (t->waiting.head != NONE &&
           (all || (f->cfg.deadline_ms > 0 &&
                    now - t->slots[t->waiting.head].since_ms >= f->cfg.deadline_ms))) {
        front_answer(f, t->waiting.head, EIO);
        f->late += !all;
    }
}

static void take_arrivals(struct front *f)
{
    struct front_arrival a[BATCH];
    ssize_t n = read(f->readers.arrivals[0], a, sizeof(a));
    int64_t now = front_now_ms();
    for (ssize_t i = 0; i < n / (ssize_t)sizeof(a[0]); i++) {
        (void)front_table_add(&f->table, &a[i], now);
        if (!a[i].answered && front_engine_owns(f, a[i].tid)) /* also when its socket is full */
            front_answer(f, a[i].fd, 0);
    }
    if (n > 0)
        front_engine_pump(f);
    answer_late(f, now);
}

/* A reader that was killed leaves an event that keeps its file open: no lease, no unmount. */
static void drop_dead(struct front *f)
{
    struct front_table *t = &f->table;
    char name[16];
    int32_t fd = t->looked == NONE ? t->waiting.head : t->slots[t->looked].next;
    for (int i = 0; i < LOOK_MOST && fd != NONE; i++) {
        const struct front_slot *s = &t->slots[fd];
        int32_t at = fd;
        fd = s->next;
        t->looked = at;
        (void)snprintf(name, sizeof(name), "%d", s->tid);
        if (s->tid > 0 && faccessat(f->proc, name, F_OK, 0) != 0 && errno == ENOENT)
            front_answer(f, at, EIO);
    }
    if (fd == NONE)
        t->looked = NONE;
}

/* ---- the loop ---- */

static void tell(struct front *f)
{
    uint64_t refused = atomic_load(&f->readers.refused);
    uint64_t failed = atomic_load(&f->readers.failed);
    if (f->late > 0)
        log_warn("%llu programs had waited %lld s for a file and got an error: %s",
                 (unsigned long long)f->late, (long long)(f->cfg.deadline_ms / 1000),
                 f->engine.sock == NONE ? "firnd does not run" : "firnd did not answer in time");
    if (refused > f->refused_told)
        log_warn("%llu programs got EAGAIN: more wait for files already than there are descriptors",
                 (unsigned long long)(refused - f->refused_told));
    if (failed > f->failed_told)
        log_warn("%llu programs got EPERM: the kernel could not open their file for firn-watch",
                 (unsigned long long)(failed - f->failed_told));
    f->late = 0;
    f->refused_told = refused;
    f->failed_told = failed;
}

static void tick(struct front *f)
{
    int64_t now = front_now_ms();
    front_readers_watch(f, now);
    close_due(f, now);
    answer_late(f, now);
    if (now - f->tick_ms < SLOW_MS)
        return;
    f->tick_ms = now;
    drop_dead(f);
    retire_due(f, now);
    tell(f);
    f->engine.full = false; /* should the kernel have had no room for other reasons */
    front_engine_pump(f);
}

static void engine_event(struct front *f, const struct epoll_event *ev)
{
    if ((int)(uint32_t)ev->data.u64 != f->engine.sock)
        return; /* it was dropped in this round */
    if ((ev->events & EPOLLOUT) != 0) {
        struct epoll_event in = {.events = EPOLLIN, .data = ev->data};
        f->engine.full = false;
        (void)epoll_ctl(f->epoll, EPOLL_CTL_MOD, f->engine.sock, &in);
        front_engine_pump(f);
    }
    if ((ev->events & ~(uint32_t)EPOLLOUT) != 0)
        front_engine_read(f);
}

static void look_at_mounts(struct front *f)
{
    f->look_again = true;
    front_places_look(f);
}

static void dispatch(struct front *f, const struct epoll_event *ev)
{
    switch ((enum front_kind)(ev->data.u64 >> 32)) {
    case KIND_ARRIVALS:
        take_arrivals(f);
        break;
    case KIND_LISTEN:
        front_engine_accept(f);
        break;
    case KIND_PENDING:
        front_engine_pending(f, (int)(uint32_t)ev->data.u64);
        break;
    case KIND_ENGINE:
        engine_event(f, ev);
        break;
    case KIND_MOUNTS:
        look_at_mounts(f);
        break;
    }
}

void front_run(struct front *f, const volatile bool *stop)
{
    struct epoll_event ev[16];
    sigset_t none;
    (void)sigemptyset(&none);
    while (!*stop && !(f->stopping && (f->look_again || front_now_ms() >= f->retry_ms))) {
        int n = epoll_pwait(f->epoll, ev, 16, TICK_MS, &none);
        for (int i = 0; i < n; i++)
            dispatch(f, &ev[i]);
        tick(f);
    }
}

/* ---- start and end ---- */

static int find_limit(struct err *err)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return err_sys(err, errno, "RLIMIT_NOFILE");
    if (r.rlim_cur < 4 * FRONT_FDS_KEPT)
        return err_set(err, -EMFILE, "%llu open files (RLIMIT_NOFILE) are too few to watch with",
                       (unsigned long long)r.rlim_cur);
    return r.rlim_cur < FRONT_FDS_MAX ? (int)r.rlim_cur : FRONT_FDS_MAX;
}

static int open_group(struct front *f, struct err *err)
{
    int group = f->cfg.inherited;
    f->kept = group != NONE;
    if (group == NONE) {
        group = watch_kernel_open(f->cfg.open_only, &f->k, err);
        if (group < 0)
            return group;
    } else {
        int flags = fcntl(group, F_GETFL);
        if (flags < 0 || fcntl(group, F_SETFL, flags | O_NONBLOCK) != 0)
            return err_sys(err, errno, "the group that was kept over the restart");
        watch_kernel_probe(group, f->cfg.open_only, &f->k);
        sweep(f, group);
    }
    atomic_store(&f->groups[0].fd, group);
    if (f->cfg.keep != NULL)
        f->cfg.keep(group);
    return 0;
}

static int open_files(struct front *f, struct err *err)
{
    f->epoll = epoll_create1(EPOLL_CLOEXEC);
    f->proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    f->null = open("/dev/null", O_RDWR | O_CLOEXEC);
    f->mounts = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    if (f->epoll < 0 || f->proc < 0 || f->null < 0 || f->mounts < 0)
        return err_sys(err, errno, "/proc, /dev/null or epoll");
    int rc = front_epoll_add(f, f->mounts, KIND_MOUNTS, EPOLLPRI | EPOLLET);
    return rc == 0 ? 0 : err_sys(err, -rc, "/proc/self/mountinfo");
}

static int start(struct front *f, struct err *err)
{
    int limit = find_limit(err);
    if (limit < 0)
        return limit;
    front_table_init(&f->table, limit);
    int rc = open_files(f, err);
    if (rc == 0)
        rc = front_engine_check(f, err);
    if (rc == 0)
        rc = open_group(f, err);
    /* Before the mounts: a program that mounting starts (modprobe) may read a covered disk. */
    if (rc == 0)
        rc = front_readers_start(f, err);
    if (rc == 0)
        rc = front_epoll_add(f, f->readers.arrivals[0], KIND_ARRIVALS, EPOLLIN);
    if (rc != 0)
        return rc;
    front_places_start(f, f->kept);
    return front_engine_listen(f, err);
}

static struct front *new_front(const struct front_config *cfg)
{
    struct front *f = xzalloc(sizeof(*f));
    f->cfg = *cfg;
    f->places = xzalloc((cfg->nfs + 1) * sizeof(*f->places));
    for (size_t i = 0; i < cfg->nfs; i++)
        f->places[i].cfg = &cfg->fs[i];
    for (int i = 0; i < WATCH_GROUPS_MAX; i++)
        atomic_store(&f->groups[i].fd, NONE);
    for (int i = 0; i < FRONT_PENDING; i++)
        f->pending[i] = NONE;
    f->engine = (struct front_engine){.sock = NONE, .tasks = NONE};
    f->epoll = f->listener = f->mounts = f->proc = f->null = NONE;
    f->readers.wake = f->readers.arrivals[0] = f->readers.arrivals[1] = NONE;
    f->table.waiting.head = f->table.closing.head = NONE;
    f->tick_ms = front_now_ms();
    return f;
}

int front_start(const struct front_config *cfg, struct front **out, struct err *err)
{
    struct front *f = new_front(cfg);
    int rc = start(f, err);
    if (rc != 0) {
        front_free(f);
        return rc;
    }
    *out = f;
    return 0;
}

bool front_has_engine(const struct front *f)
{
    return f->engine.sock != NONE;
}

void front_drain(struct front *f)
{
    front_engine_fini(f);
    take_arrivals(f);
    while (f->table.waiting.head != NONE)
        front_answer(f, f->table.waiting.head, EIO);
}

static void close_one(int fd)
{
    if (fd >= 0)
        (void)close(fd);
}

void front_free(struct front *f)
{
    if (f == NULL)
        return;
    front_readers_stop(f);
    if (f->table.slots != NULL && f->readers.arrivals[0] != NONE)
        front_drain(f);
    while (f->table.closing.head != NONE)
        (void)close(front_table_closed(&f->table));
    front_engine_fini(f);
    for (int i = 0; i < WATCH_GROUPS_MAX; i++)
        close_one(atomic_load(&f->groups[i].fd));
    const int fds[] = {f->epoll,
                       f->mounts,
                       f->proc,
                       f->null,
                       f->readers.wake,
                       f->readers.arrivals[0],
                       f->readers.arrivals[1]};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        close_one(fds[i]);
    front_table_fini(&f->table);
    free(f->places);
    free(f);
}
