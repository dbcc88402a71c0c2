/* SPDX-License-Identifier: Apache-2.0 */
/* The socket: who connects, what the engine is sent and what it says. */
#include "base/cleanup.h"
#include "base/log.h"
#include "watch/front_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define SEND_BUFFER (1 << 20) /* some thousand events under way */
#define BACKLOG     64
#define READ_BATCH  256 /* messages before something else has its turn */

/* ---- the socket ---- */

/* Whether somebody accepts connections at sa. */
static bool is_served(const struct sockaddr_un *sa)
{
    auto_close int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return sock >= 0 && (connect(sock, (const struct sockaddr *)sa, sizeof(*sa)) == 0 ||
                         (errno != ECONNREFUSED && errno != ENOENT));
}

static int address(const struct front *f, struct sockaddr_un *sa, struct err *err)
{
    const char *path = f->cfg.socket_path;
    *sa = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (snprintf(sa->sun_path, sizeof(sa->sun_path), "%s", path) < (int)sizeof(sa->sun_path))
        return 0;
    return err_set(err, -ENAMETOOLONG, "socket %s: the path is too long for a socket", path);
}

int front_engine_check(const struct front *f, struct err *err)
{
    struct sockaddr_un sa;
    int rc = address(f, &sa, err);
    if (rc == 0 && is_served(&sa))
        return err_set(err, -EADDRINUSE, "socket %s: another firn-watch answers there",
                       f->cfg.socket_path);
    return rc;
}

int front_engine_listen(struct front *f, struct err *err)
{
    const char *path = f->cfg.socket_path;
    struct sockaddr_un sa;
    int rc = address(f, &sa, err);
    if (rc != 0)
        return rc;
    (void)unlink(path);
    auto_close int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (sock < 0)
        return err_sys(err, errno, "socket %s", path);
    mode_t old = umask(0177);
    rc = bind(sock, (const struct sockaddr *)&sa, sizeof(sa));
    (void)umask(old);
    if (rc != 0 || listen(sock, BACKLOG) != 0)
        return err_sys(err, errno, "socket %s", path);
    rc = front_epoll_add(f, sock, KIND_LISTEN, EPOLLIN);
    if (rc != 0)
        return err_sys(err, -rc, "socket %s", path);
    f->listener = take_fd(sock);
    return 0;
}

static void drop_engine(struct front *f)
{
    struct front_engine *e = &f->engine;
    if (e->sock != NONE)
        (void)close(e->sock);
    if (e->tasks != NONE)
        (void)close(e->tasks);
    *e = (struct front_engine){.sock = NONE, .tasks = NONE};
}

void front_engine_fini(struct front *f)
{
    drop_engine(f);
    for (int i = 0; i < FRONT_PENDING; i++) {
        if (f->pending[i] != NONE)
            (void)close(f->pending[i]);
        f->pending[i] = NONE;
    }
    if (f->listener == NONE)
        return;
    (void)close(f->listener);
    f->listener = NONE;
    (void)unlink(f->cfg.socket_path);
}

void front_engine_hang_up(struct front *f, const char *why)
{
    if (f->engine.sock == NONE)
        return;
    log_warn("firnd (process %d) %s; %d programs wait for the next one", f->engine.pid, why,
             atomic_load(&f->table.held));
    drop_engine(f);
}

/* ---- who connects ---- */

static struct ucred peer_of(int sock)
{
    struct ucred c = {.uid = (uid_t)-1};
    socklen_t n = sizeof(c);
    (void)getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &c, &n);
    return c;
}

/* Those that say nothing do not keep others out: the oldest goes. */
static void keep_pending(struct front *f, int sock)
{
    if (f->pending[0] != NONE)
        (void)close(f->pending[0]);
    memmove(&f->pending[0], &f->pending[1], sizeof(f->pending) - sizeof(f->pending[0]));
    f->pending[FRONT_PENDING - 1] = sock;
}

void front_engine_accept(struct front *f)
{
    auto_close int sock = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (sock < 0)
        return;
    struct ucred peer = peer_of(sock);
    if (peer.uid != 0) {
        log_warn("process %d of user %u may not connect", (int)peer.pid, (unsigned)peer.uid);
        return;
    }
    if (front_epoll_add(f, sock, KIND_PENDING, EPOLLIN) == 0)
        keep_pending(f, take_fd(sock));
}

static void forget_pending(struct front *f, int sock)
{
    for (int i = 0; i < FRONT_PENDING; i++) {
        if (f->pending[i] == sock)
            f->pending[i] = NONE;
    }
}

static void watch_socket(struct front *f, uint32_t events)
{
    struct epoll_event ev = {.events = events,
                             .data.u64 = (uint64_t)KIND_ENGINE << 32 | (uint32_t)f->engine.sock};
    (void)epoll_ctl(f->epoll, EPOLL_CTL_MOD, f->engine.sock, &ev);
}

static void attach(struct front *f, int sock, const int *fds, size_t nfds)
{
    const int buffer = SEND_BUFFER;
    char path[64];
    front_engine_hang_up(f, "is replaced by a newer connection");
    f->engine = (struct front_engine){.sock = sock, .pid = (int)peer_of(sock).pid};
    (void)snprintf(path, sizeof(path), "/proc/%d/task", f->engine.pid);
    f->engine.tasks = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    (void)setsockopt(sock, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof(buffer));
    watch_socket(f, EPOLLIN);
    size_t adopted = 0;
    for (size_t i = 0; i < nfds; i++)
        adopted += front_adopt(f, fds[i]);
    for (size_t i = 0; i < f->cfg.nfs; i++)
        f->places[i].told = false;
    front_table_unsend(&f->table);
    log_info("firnd (process %d) is there; %d programs wait, groups of earlier fronts taken over: "
             "%zu",
             f->engine.pid, atomic_load(&f->table.held), adopted);
    front_engine_pump(f);
}

static void close_all(const int *fds, size_t nfds)
{
    for (size_t i = 0; i < nfds; i++)
        (void)close(fds[i]);
}

void front_engine_pending(struct front *f, int sock)
{
    struct watch_msg m;
    int fds[WATCH_GROUPS_MAX];
    size_t nfds = 0;
    int rc = watch_recv(sock, &m, fds, &nfds);
    if (rc == -EAGAIN)
        return;
    forget_pending(f, sock);
    if (rc == 1 && m.type == WATCH_ATTACH) {
        attach(f, sock, fds, nfds);
        return;
    }
    if (rc != 0)
        log_warn("process %d does not speak as firnd of this version (%s) does; it is refused",
                 (int)peer_of(sock).pid, FIRN_VERSION);
    close_all(fds, nfds);
    (void)close(sock);
}

/* ---- what the engine says ---- */

static void take_message(struct front *f, const struct watch_msg *m)
{
    int fd = NONE;
    switch (m->type) {
    case WATCH_ANSWER:
        fd = front_table_find(&f->table, m->seq);
        if (fd != NONE)
            front_answer(f, fd, m->code);
        break;
    case WATCH_UNCOVER:
        front_place_uncover(f, m->name);
        break;
    case WATCH_COVER:
        front_place_cover(f, m->name);
        break;
    case WATCH_RETIRE:
        front_retire(f);
        break;
    default:
        front_engine_hang_up(f, "sent a message that is not for the front");
        break;
    }
}

void front_engine_read(struct front *f)
{
    struct watch_msg m;
    int fds[WATCH_GROUPS_MAX];
    size_t nfds = 0;
    for (int i = 0; i < READ_BATCH && f->engine.sock != NONE; i++) {
        int rc = watch_recv(f->engine.sock, &m, fds, &nfds);
        if (rc == -EAGAIN)
            return;
        close_all(fds, nfds);
        if (rc == 1)
            take_message(f, &m);
        else
            front_engine_hang_up(f, rc == 0 ? "has gone" : "sent what is no message");
    }
}

/* ---- what it is sent ---- */

static int send_hello(struct front *f)
{
    const struct watch_msg m = {.type = WATCH_HELLO,
                                .count = f->cfg.nfs,
                                .flags =
                                    (f->k.pre_access ? WATCH_CAN_PRE_ACCESS | WATCH_CAN_ERRNO : 0) |
                                    (f->kept ? WATCH_KEPT : 0)};
    int group = atomic_load(&f->groups[0].fd);
    int rc = watch_send(f->engine.sock, &m, &group, 1);
    if (rc == 0)
        f->engine.greeted = true;
    return rc;
}

static int send_place(struct front *f, struct front_place *p)
{
    struct watch_msg m = {.type = WATCH_FS, .flags = p->flags, .code = p->code, .dev = p->dev};
    m.flags |= front_has_older(f) ? WATCH_FS_OLDER : 0;
    (void)snprintf(m.name, sizeof(m.name), "%s", p->cfg->name);
    int rc = watch_send(f->engine.sock, &m, NULL, 0);
    if (rc == 0)
        p->told = true;
    return rc;
}

bool front_engine_owns(const struct front *f, int tid)
{
    char name[16];
    (void)snprintf(name, sizeof(name), "%d", tid);
    return tid > 0 && f->engine.tasks != NONE && faccessat(f->engine.tasks, name, F_OK, 0) == 0;
}

static int send_event(struct front *f, int fd)
{
    const struct front_slot *s = &f->table.slots[fd];
    if (front_engine_owns(f, s->tid)) {
        front_answer(f, fd, 0);
        return 0;
    }
    const struct watch_msg m = {.type = WATCH_EVENT,
                                .seq = s->seq,
                                .flags = s->ops | (s->sent ? WATCH_OP_AGAIN : 0),
                                .tid = s->tid,
                                .offset = s->offset,
                                .count = s->count};
    int rc = watch_send(f->engine.sock, &m, &fd, 1);
    if (rc == 0)
        front_table_sent(&f->table);
    return rc;
}

/* Returns 1 when there is nothing to send. */
static int send_next(struct front *f)
{
    if (!f->engine.greeted)
        return send_hello(f);
    for (size_t i = 0; i < f->cfg.nfs; i++) {
        if (!f->places[i].told)
            return send_place(f, &f->places[i]);
    }
    return f->table.unsent == NONE ? 1 : send_event(f, f->table.unsent);
}

void front_engine_pump(struct front *f)
{
    struct front_engine *e = &f->engine;
    int rc = 0;
    while (rc == 0 && e->sock != NONE && !e->full)
        rc = send_next(f);
    if (rc == -EAGAIN || rc == -ETOOMANYREFS || rc == -ENOBUFS) {
        e->full = true; /* epoll tells, or the next tick tries */
        watch_socket(f, EPOLLIN | EPOLLOUT);
    } else if (rc < 0) {
        front_engine_hang_up(f, "takes no messages");
    }
}
