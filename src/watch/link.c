/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/link.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "watch/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PAUSE_MS 200 /* between two tries to reach the front */

/* The thread alone reads the socket and changes who is at its other end; others send under lock,
 * and mark under groups_lock, which is taken for the moment of a change. lock comes before
 * groups_lock. */
struct link {
    struct sockaddr_un address;
    struct link_hooks hooks;
    pthread_t thread;
    int wake; /* eventfd: something waits to be sent, or the end */

    pthread_mutex_t lock;
    int sock; /* -1: none */
    bool stopping;
    uint64_t front; /* 0: none; else the attached_sum of the one that is there */
    uint64_t attached_sum;
    struct link_fs *fs;
    bool *walked; /* of each fs: link_uncover was called */
    size_t nfs, expected;
    struct watch_msg *waiting; /* did not fit into the socket */
    size_t nwaiting;

    pthread_rwlock_t groups_lock;
    int groups[WATCH_GROUPS_MAX]; /* the first is the front's */
    size_t ngroups;
    struct watch_kernel kernel;
};

static void wake(struct link *l)
{
    const uint64_t one = 1;
    if (write(l->wake, &one, sizeof(one)) < 0 && errno != EAGAIN)
        log_err("firn-watch: %s", strerror(errno));
}

/* Sends m, now or when the socket has room. lock held. */
static void send_locked(struct link *l, const struct watch_msg *m)
{
    if (l->sock < 0)
        return; /* the front keeps its events, and hands them on again */
    int rc = l->nwaiting > 0 ? -EAGAIN : watch_send(l->sock, m, NULL, 0);
    if (rc != -EAGAIN && rc != -ENOBUFS)
        return; /* sent; or the thread notices that the front is gone */
    if ((l->nwaiting & (l->nwaiting - 1)) == 0) /* grow at powers of two */
        l->waiting = xrealloc_array(l->waiting, l->nwaiting > 0 ? 2 * l->nwaiting : 1,
                                    sizeof(l->waiting[0]));
    l->waiting[l->nwaiting++] = *m;
    wake(l);
}

static void send_waiting(struct link *l)
{
    lock_scope(&l->lock);
    size_t sent = 0;
    while (sent < l->nwaiting) {
        int rc = watch_send(l->sock, &l->waiting[sent], NULL, 0);
        if (rc == -EAGAIN || rc == -ENOBUFS)
            break;
        sent++;
    }
    l->nwaiting -= sent;
    if (sent > 0)
        memmove(l->waiting, l->waiting + sent, l->nwaiting * sizeof(l->waiting[0]));
}

/* ---- groups ---- */

/* The front's group comes first; those of fronts before it stay, for readers may hang on them. */
static void take_group(struct link *l, int group, bool pre_access)
{
    (void)pthread_rwlock_wrlock(&l->groups_lock);
    size_t at = 0;
    while (at < l->ngroups && !watch_kernel_same(l->groups[at], group))
        at++;
    if (at < l->ngroups || l->ngroups == WATCH_GROUPS_MAX) {
        at = at < l->ngroups ? at : WATCH_GROUPS_MAX - 1;
        (void)close(l->groups[at]);
    } else {
        l->ngroups++;
    }
    memmove(&l->groups[1], &l->groups[0], at * sizeof(l->groups[0]));
    l->groups[0] = group;
    watch_kernel_probe(group, !pre_access, &l->kernel);
    (void)pthread_rwlock_unlock(&l->groups_lock);
}

static void close_groups(struct link *l, size_t kept)
{
    (void)pthread_rwlock_wrlock(&l->groups_lock);
    while (l->ngroups > kept)
        (void)close(l->groups[--l->ngroups]);
    (void)pthread_rwlock_unlock(&l->groups_lock);
}

/* ---- messages ---- */

static int on_hello(struct link *l, const struct watch_msg *m, int *fds, size_t *nfds)
{
    if (*nfds != 1 || m->count > 4096)
        return -EPROTO;
    take_group(l, fds[0], (m->flags & WATCH_CAN_PRE_ACCESS) != 0);
    *nfds = 0;
    lock_scope(&l->lock);
    l->expected = (size_t)m->count;
    l->nfs = 0;
    l->fs = xrealloc_array(l->fs, l->expected + 1, sizeof(l->fs[0]));
    l->walked = xrealloc_array(l->walked, l->expected + 1, sizeof(l->walked[0]));
    memset(l->walked, 0, (l->expected + 1) * sizeof(l->walked[0]));
    return 0;
}

static struct link_fs fs_of(const struct watch_msg *m)
{
    struct link_fs fs = {.dev = m->dev, .flags = m->flags, .code = m->code};
    memcpy(fs.name, m->name, sizeof(fs.name));
    return fs;
}

/* Returns true when the list that a HELLO announced is complete now. */
static bool note_fs(struct link *l, const struct watch_msg *m)
{
    lock_scope(&l->lock);
    for (size_t i = 0; i < l->nfs; i++) {
        if (strcmp(l->fs[i].name, m->name) == 0) {
            l->fs[i] = fs_of(m);
            return false;
        }
    }
    if (l->nfs == l->expected)
        return false; /* of a name that was not announced */
    l->fs[l->nfs++] = fs_of(m);
    return l->nfs == l->expected;
}

static void attached(struct link *l)
{
    {
        lock_scope(&l->lock);
        l->front = ++l->attached_sum;
    }
    /* Only this thread changes the list. */
    l->hooks.attached(l->hooks.arg, l->fs, l->nfs);
}

static int on_event(struct link *l, const struct watch_msg *m, int *fds, size_t *nfds)
{
    if (*nfds != 1 || l->front == 0)
        return -EPROTO;
    const struct link_event ev = {
        .seq = m->seq, .front = l->front, .ops = m->flags, .fd = fds[0], .tid = m->tid};
    *nfds = 0;
    l->hooks.event(l->hooks.arg, &ev);
    return 0;
}

/* firnd fetches stubs also while nobody watches them. */
static void ask_for_pass(void)
{
    struct err e = {0};
    if (guard_pass(NULL, 0, &e) < 0)
        log_warn("the guard may keep firnd from files that nobody watches: %s", e.text);
}

static int on_message(struct link *l, const struct watch_msg *m, int *fds, size_t *nfds)
{
    switch (m->type) {
    case WATCH_HELLO: {
        int rc = l->front == 0 ? on_hello(l, m, fds, nfds) : -EPROTO;
        ask_for_pass(); /* this front may have installed the guard */
        if (rc == 0 && m->count == 0)
            attached(l);
        return rc;
    }
    case WATCH_FS:
        if (note_fs(l, m))
            attached(l);
        return 0;
    case WATCH_EVENT:
        return on_event(l, m, fds, nfds);
    default:
        return -EPROTO; /* what only firnd says */
    }
}

/* Reads all that is there. Returns 0, or a negative code at the end of the connection. */
static int read_messages(struct link *l)
{
    struct watch_msg m;
    int fds[WATCH_GROUPS_MAX];
    size_t nfds = 0;
    for (;;) {
        int rc = watch_recv(l->sock, &m, fds, &nfds);
        if (rc == -EAGAIN)
            return 0;
        if (rc == -EMFILE) { /* its descriptor is lost: the front hands it on again, later */
            log_err("firn-watch: out of file descriptors; connecting anew");
            return rc;
        }
        if (rc <= 0)
            return rc == 0 ? -EPIPE : rc;
        rc = on_message(l, &m, fds, &nfds);
        while (nfds > 0)
            (void)close(fds[--nfds]);
        if (rc < 0)
            return rc;
    }
}

/* ---- connection ---- */

/* Our user at the other end is root: nobody else decides over readers. */
static bool peer_is_trusted(int sock)
{
    struct ucred peer;
    socklen_t n = sizeof(peer);
    return getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

static int send_attach(struct link *l, int sock)
{
    const struct watch_msg m = {.type = WATCH_ATTACH};
    (void)pthread_rwlock_rdlock(&l->groups_lock);
    int rc = watch_send(sock, &m, l->groups, l->ngroups);
    (void)pthread_rwlock_unlock(&l->groups_lock);
    return rc;
}

static bool reach(struct link *l)
{
    auto_close int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (sock < 0 || connect(sock, (const struct sockaddr *)&l->address, sizeof(l->address)) != 0 ||
        !peer_is_trusted(sock) || send_attach(l, sock) != 0)
        return false;
    lock_scope(&l->lock);
    l->sock = take_fd(sock);
    return true;
}

static void leave(struct link *l, int why)
{
    bool was = false;
    {
        lock_scope(&l->lock);
        (void)close(l->sock);
        l->sock = -1;
        was = l->front != 0;
        l->front = 0;
        l->nwaiting = 0;
    }
    if (was && why == -EPROTO)
        log_err("firn-watch said something that makes no sense; connecting anew");
    if (was)
        l->hooks.lost(l->hooks.arg);
}

static bool ends(struct link *l)
{
    lock_scope(&l->lock);
    return l->stopping;
}

/* Waits for messages, room to send, or a wake-up; timeout_ms -1 for ever. */
static int wait_for(struct link *l, int timeout_ms)
{
    uint64_t n = 0;
    bool sending = false;
    {
        lock_scope(&l->lock);
        sending = l->nwaiting > 0;
    }
    struct pollfd p[2] = {{.fd = l->wake, .events = POLLIN},
                          {.fd = l->sock, .events = (short)(sending ? POLLIN | POLLOUT : POLLIN)}};
    if (poll(p, 2, timeout_ms) < 0)
        return errno == EINTR ? 0 : -errno;
    if (p[0].revents != 0 && read(l->wake, &n, sizeof(n)) < 0 && errno != EAGAIN)
        return -errno;
    if ((p[1].revents & POLLOUT) != 0)
        send_waiting(l);
    return (p[1].revents & (POLLIN | POLLHUP | POLLERR)) != 0 ? read_messages(l) : 0;
}

static void *link_main(void *arg)
{
    struct link *l = arg;
    while (!ends(l)) {
        if (l->sock < 0 && !reach(l)) {
            (void)wait_for(l, PAUSE_MS);
            continue;
        }
        int rc = wait_for(l, -1);
        if (rc < 0) {
            leave(l, rc);
            if (!ends(l) && rc == -EMFILE)
                (void)wait_for(l, PAUSE_MS);
        }
    }
    return NULL;
}

/* ---- for others ---- */

static void link_free(struct link *l)
{
    if (l->sock >= 0)
        (void)close(l->sock);
    if (l->wake >= 0)
        (void)close(l->wake);
    close_groups(l, 0);
    (void)pthread_mutex_destroy(&l->lock);
    (void)pthread_rwlock_destroy(&l->groups_lock);
    free(l->waiting);
    free(l->walked);
    free(l->fs);
    free(l);
}

int link_start(const char *socket_path, const struct link_hooks *hooks, struct link **out,
               struct err *err)
{
    struct link *l = xzalloc(sizeof(*l));
    ask_for_pass();
    l->hooks = *hooks;
    l->sock = -1;
    l->address.sun_family = AF_UNIX;
    (void)pthread_mutex_init(&l->lock, NULL);
    (void)pthread_rwlock_init(&l->groups_lock, NULL);
    l->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int rc = 0;
    if (strlen(socket_path) >= sizeof(l->address.sun_path))
        rc = err_set(err, -ENAMETOOLONG, "watch.socket %s: longer than %zu bytes", socket_path,
                     sizeof(l->address.sun_path) - 1);
    else if (l->wake < 0)
        rc = err_sys(err, errno, "eventfd");
    if (rc == 0) {
        memcpy(l->address.sun_path, socket_path, strlen(socket_path) + 1);
        *out = l; /* before a hook can look for it */
        rc = -pthread_create(&l->thread, NULL, link_main, l);
        if (rc < 0)
            (void)err_sys(err, -rc, "thread for firn-watch");
    }
    if (rc < 0) {
        *out = NULL;
        link_free(l);
    }
    return rc;
}

void link_stop(struct link *l)
{
    if (l == NULL)
        return;
    {
        lock_scope(&l->lock);
        l->stopping = true;
    }
    wake(l);
    (void)pthread_join(l->thread, NULL);
    link_free(l);
}

void link_answer(struct link *l, const struct link_event *ev, int code)
{
    const struct watch_msg m = {.type = WATCH_ANSWER, .seq = ev->seq, .code = code};
    lock_scope(&l->lock);
    if (ev->front == l->front)
        send_locked(l, &m);
}

int link_mark(struct link *l, int fd, bool add, struct err *err)
{
    if (link_front(l) == 0)
        return err_set(err, -ENOTCONN, "firn-watch is not there (%s)", l->address.sun_path);
    /* Should it go now: the group is held here too, and the next front is brought it. */
    (void)pthread_rwlock_rdlock(&l->groups_lock);
    int rc = watch_mark_file(l->groups[0], &l->kernel, fd, add, err);
    (void)pthread_rwlock_unlock(&l->groups_lock);
    return rc;
}

int link_mark_at(struct link *l, int dirfd, const char *name)
{
    if (link_front(l) == 0)
        return -ENOTCONN;
    (void)pthread_rwlock_rdlock(&l->groups_lock);
    int rc = watch_mark_at(l->groups[0], &l->kernel, dirfd, name);
    (void)pthread_rwlock_unlock(&l->groups_lock);
    return rc;
}

/* Notes that name was walked. Returns whether all are now. lock held. */
static bool walked_locked(struct link *l, const char *name)
{
    bool all = true;
    for (size_t i = 0; i < l->nfs; i++) {
        l->walked[i] = l->walked[i] || strcmp(l->fs[i].name, name) == 0;
        all = all && (l->walked[i] || (l->fs[i].flags & WATCH_FS_COVERED) == 0);
    }
    return all;
}

void link_uncover(struct link *l, const char *name, uint64_t front)
{
    struct watch_msg m = {.type = WATCH_UNCOVER};
    (void)snprintf(m.name, sizeof(m.name), "%s", name);
    lock_scope(&l->lock);
    if (front == 0 || front != l->front)
        return;
    send_locked(l, &m);
    if (!walked_locked(l, name))
        return;
    send_locked(l, &(struct watch_msg){.type = WATCH_RETIRE});
    close_groups(l, 1);
}

uint64_t link_front(struct link *l)
{
    lock_scope(&l->lock);
    return l->front;
}

size_t link_filesystems(struct link *l, struct link_fs *fs, size_t max)
{
    lock_scope(&l->lock);
    for (size_t i = 0; i < l->nfs && i < max; i++)
        fs[i] = l->fs[i];
    return l->nfs;
}

bool link_covers(struct link *l, const char *name)
{
    lock_scope(&l->lock);
    for (size_t i = 0; i < l->nfs && l->front != 0; i++) {
        if (strcmp(l->fs[i].name, name) == 0)
            return l->fs[i].code != 0 || (l->fs[i].flags & WATCH_FS_MOUNTED) == 0 ||
                   (l->fs[i].flags & (WATCH_FS_COVERED | WATCH_FS_OLDER)) != 0;
    }
    return true;
}

uint64_t link_marks(struct link *l)
{
    (void)pthread_rwlock_rdlock(&l->groups_lock);
    auto_close int group = l->ngroups > 0 ? fcntl(l->groups[0], F_DUPFD_CLOEXEC, 0) : -1;
    (void)pthread_rwlock_unlock(&l->groups_lock);
    return group < 0 ? 0 : watch_kernel_marks(group, 0).files;
}

void link_status(struct link *l, struct link_status *out)
{
    (void)pthread_rwlock_rdlock(&l->groups_lock);
    out->pre_access = l->kernel.pre_access;
    out->groups = l->ngroups;
    (void)pthread_rwlock_unlock(&l->groups_lock);
    lock_scope(&l->lock);
    out->attached = l->front != 0;
    out->attached_sum = l->attached_sum;
}
