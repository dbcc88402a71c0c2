/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/server.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "s3/lanes.h"
#include "s3/s3_impl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PAGE         4096
#define ACCEPT_BATCH 16
#define DRAIN_NS     NS_PER_SEC          /* how long unread input is thrown away ... */
#define DRAIN_BYTES  ((size_t)256 << 10) /* ... and how much of it */
#define REFUSE_MS    20                  /* for the input of a refused connection to arrive */
#define LANES_MIN    2                   /* so that one that waits unforeseen does not wait alone */
#define CUT_WAIT_S   5                   /* for cut requests to notice */

struct s3_server {
    struct s3_server_opts opts;
    int epoll_fd, stop_fd, spare_fd;
    struct sigv4_cache *keys;
    struct lanes lanes;
    pthread_mutex_t lock; /* for all below; never held over I/O on a connection */
    pthread_cond_t changed;
    struct s3_conn *resting_first, *resting_last;
    struct s3_conn *all;
    size_t n_conns, n_serving;
    size_t n_threads, n_waiting;
    size_t n_leaving; /* of n_threads: workers that have decided to end */
    bool stopping;
    pthread_t sweeper;
};

/* Tags of the two descriptors in the epoll set that are no connections. */
static char listen_tag, stop_tag;

bool server_stopping(const struct s3_server *s)
{
    return __atomic_load_n(&s->stopping, __ATOMIC_RELAXED);
}

struct sigv4_cache *server_keys(struct s3_server *s)
{
    return s->keys;
}

void server_handle(struct s3_server *s, struct s3_active *a)
{
    s->opts.handle(&a->req);
}

void server_may_block(struct s3_server *s, struct s3_active *a)
{
    if (!a->in_lane)
        return;
    a->in_lane = false;
    lanes_leave(&s->lanes);
}

/* ---- connections ---- */

static void unlink_resting_locked(struct s3_server *s, struct s3_conn *c)
{
    if (!c->resting)
        return;
    *(c->prev != NULL ? &c->prev->next : &s->resting_first) = c->next;
    *(c->next != NULL ? &c->next->prev : &s->resting_last) = c->prev;
    c->prev = c->next = NULL;
    c->resting = false;
}

static void conn_close(struct s3_server *s, struct s3_conn *c)
{
    {
        lock_scope(&s->lock);
        unlink_resting_locked(s, c);
        *(c->all_prev != NULL ? &c->all_prev->all_next : &s->all) = c->all_next;
        if (c->all_next != NULL)
            c->all_next->all_prev = c->all_prev;
        s->n_conns--;
    }
    (void)close(c->fd);
    (void)pthread_mutex_destroy(&c->handover);
    free(c->head);
    free(c);
}

/* Puts c into the epoll set. Afterwards another worker may have it at once: c is not touched. */
static void conn_rest(struct s3_server *s, struct s3_conn *c, int how)
{
    int64_t timeout = s->opts.idle_timeout_s * NS_PER_SEC;
    int64_t from = c->head_len > 0 ? c->head_ns : time_mono_ns();
    struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT, .data.ptr = c};
    {
        lock_scope(&s->lock);
        if (!c->draining)
            c->deadline_ns = from + timeout;
        c->resting = true;
        c->prev = s->resting_last;
        c->next = NULL;
        *(c->prev != NULL ? &c->prev->next : &s->resting_first) = c;
        s->resting_last = c;
    }
    int rc = 0;
    {
        lock_scope(&c->handover);
        rc = epoll_ctl(s->epoll_fd, how, c->fd, &ev);
    }
    if (rc < 0) { /* then no other worker has seen it */
        log_err("epoll_ctl: %s", strerror(errno));
        conn_close(s, c);
    }
}

/* Ends a resting connection: its worker-to-be sees the end of the stream and closes. */
static void cut_resting_locked(struct s3_server *s, struct s3_conn *c)
{
    unlink_resting_locked(s, c);
    (void)shutdown(c->fd, SHUT_RDWR);
}

static void sweep(struct s3_server *s, int64_t now)
{
    lock_scope(&s->lock);
    for (struct s3_conn *c = s->resting_first, *next = NULL; c != NULL; c = next) {
        next = c->next;
        if (c->deadline_ns <= now)
            cut_resting_locked(s, c);
    }
}

static void *sweeper_main(void *arg)
{
    struct s3_server *s = arg;
    while (!server_stopping(s)) {
        {
            lock_scope(&s->lock);
            struct timespec until;
            (void)clock_gettime(CLOCK_REALTIME, &until);
            until.tv_sec += 1;
            if (!s->stopping)
                (void)pthread_cond_timedwait(&s->changed, &s->lock, &until);
        }
        sweep(s, time_mono_ns());
        lanes_relieve(&s->lanes);
    }
    return NULL;
}

/* ---- accepting ---- */

static void set_socket(int fd, int timeout_s)
{
    struct timeval tv = {.tv_sec = timeout_s};
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

static void peer_text(const struct sockaddr_storage *ss, char *out, size_t cap)
{
    char ip[INET6_ADDRSTRLEN] = "-";
    uint16_t port = 0;
    if (ss->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)ss;
        (void)inet_ntop(AF_INET, &in->sin_addr, ip, sizeof(ip));
        port = ntohs(in->sin_port);
    } else if (ss->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const void *)ss;
        (void)inet_ntop(AF_INET6, &in->sin6_addr, ip, sizeof(ip));
        port = ntohs(in->sin6_port);
    }
    (void)snprintf(out, cap, "%s:%u", ip, port);
}

/* Answers 503 on a connection that cannot be taken, and ends it. What the peer has sent already is
 * read off, because closing over unread input would reset the connection under the answer. */
static void refuse(int fd)
{
    static const char body[] =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>SlowDown</Code>"
        "<Message>Too many connections</Message></Error>\n";
    char reply[512], scratch[4096];
    int n = snprintf(reply, sizeof(reply),
                     "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/xml\r\n"
                     "Retry-After: 1\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
                     sizeof(body) - 1, body);
    (void)send(fd, reply, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)shutdown(fd, SHUT_WR);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, REFUSE_MS) > 0)
        (void)!recv(fd, scratch, sizeof(scratch), MSG_DONTWAIT);
    (void)close(fd);
}

/* Makes room for one more connection if need be by ending the one that has rested longest. */
static bool have_room(struct s3_server *s)
{
    lock_scope(&s->lock);
    if (s->n_conns < s->opts.max_connections)
        return true;
    if (s->resting_first == NULL || s->n_conns > s->opts.max_connections + ACCEPT_BATCH)
        return false;
    cut_resting_locked(s, s->resting_first);
    return true;
}

static void add_conn(struct s3_server *s, int fd, const struct sockaddr_storage *from)
{
    struct s3_conn *c = xzalloc(sizeof(*c));
    c->fd = fd;
    c->server = s;
    (void)pthread_mutex_init(&c->handover, NULL);
    peer_text(from, c->peer, sizeof(c->peer));
    set_socket(fd, s->opts.idle_timeout_s);
    {
        lock_scope(&s->lock);
        c->all_next = s->all;
        if (s->all != NULL)
            s->all->all_prev = c;
        s->all = c;
        s->n_conns++;
    }
    conn_rest(s, c, EPOLL_CTL_ADD);
}

/* No descriptor is left: one that was kept back answers, so that the peer is not left hanging. Only
 * one worker accepts at a time (EPOLLONESHOT), so spare_fd needs no lock. */
static void accept_without_fds(struct s3_server *s)
{
    {
        lock_scope(&s->lock);
        if (s->resting_first != NULL)
            cut_resting_locked(s, s->resting_first);
    }
    (void)close(s->spare_fd);
    int fd = accept4(s->opts.listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        refuse(fd);
    s->spare_fd = eventfd(0, EFD_CLOEXEC);
}

static void accept_some(struct s3_server *s, struct s3_active *a)
{
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        struct sockaddr_storage from = {0};
        socklen_t len = sizeof(from);
        int fd = accept4(s->opts.listen_fd, (struct sockaddr *)&from, &len, SOCK_CLOEXEC);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
            accept_without_fds(s);
            break;
        }
        if (fd < 0)
            break;
        if (have_room(s)) {
            add_conn(s, fd, &from);
        } else {
            server_may_block(s, a);
            refuse(fd);
        }
    }
    struct epoll_event ev = {.events = EPOLLIN | EPOLLONESHOT, .data.ptr = &listen_tag};
    if (!server_stopping(s))
        (void)epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, s->opts.listen_fd, &ev);
}

/* ---- workers ---- */

/* Reads what is there of a head. Returns its length when it is whole, 0 when the rest is still to
 * come, -EPIPE when the peer is gone, -EINVAL for a bare LF, -EMSGSIZE when it is too long. */
static int read_head(struct s3_conn *c)
{
    for (;;) {
        int len = http_head_scan(c->head, c->head_len, &c->head_pos);
        if (len != 0)
            return len;
        if (c->head_len == HTTP_HEAD_MAX)
            return -EMSGSIZE;
        ssize_t n = recv(c->fd, c->head + c->head_len, HTTP_HEAD_MAX - c->head_len, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return 0;
        if (n <= 0)
            return -EPIPE;
        if (c->head_len == 0)
            c->head_ns = time_mono_ns();
        c->head_len += (size_t)n;
    }
}

static void count_serving(struct s3_server *s, int by)
{
    (void)__atomic_add_fetch(&s->n_serving, (size_t)by, __ATOMIC_RELAXED);
}

/* Answers what read_head() found. */
static void serve_one(struct s3_server *s, struct s3_conn *c, struct s3_active *a, int len)
{
    count_serving(s, 1);
    if (len > 0)
        serve_request(c, a, s->opts.site, (size_t)len);
    else if (len == -EMSGSIZE)
        serve_bad_head(c, a, s->opts.site, S3_ERR_REQUEST_HEADERS_TOO_LARGE, NULL);
    else
        serve_bad_head(c, a, s->opts.site, S3_ERR_BAD_REQUEST, "The head holds a bare LF");
    count_serving(s, -1);
}

/* Throws away what has come. Closing over unread input would reset the connection, and the peer
 * might lose the answer; but no worker waits for a peer that goes on sending. */
static void drain(struct s3_server *s, struct s3_conn *c, struct s3_active *a)
{
    while (c->drained < DRAIN_BYTES) {
        ssize_t n = recv(c->fd, a->raw_buf, S3_RAW_BUF, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            conn_rest(s, c, EPOLL_CTL_MOD);
            return;
        }
        if (n <= 0)
            break;
        c->drained += (size_t)n;
    }
    conn_close(s, c);
}

static void begin_drain(struct s3_server *s, struct s3_conn *c, struct s3_active *a)
{
    (void)shutdown(c->fd, SHUT_WR);
    c->draining = true;
    c->deadline_ns = time_mono_ns() + DRAIN_NS;
    drain(s, c, a);
}

/* Takes c out of the resting ones; everything the worker before did to it has happened. */
static void conn_take(struct s3_server *s, struct s3_conn *c)
{
    {
        lock_scope(&c->handover);
    }
    lock_scope(&s->lock);
    unlink_resting_locked(s, c);
}

/* Puts c where it belongs after what was read: to rest, to drain, or away. */
static void conn_done(struct s3_server *s, struct s3_conn *c, struct s3_active *a, bool gone)
{
    bool stopping = server_stopping(s);
    if (c->close && c->linger && !stopping)
        begin_drain(s, c, a);
    else if (c->close || gone || stopping)
        conn_close(s, c);
    else
        conn_rest(s, c, EPOLL_CTL_MOD);
}

/* Serves what a ready connection has to say. */
static void conn_ready(struct s3_server *s, struct s3_conn *c, struct s3_active *a)
{
    conn_take(s, c);
    if (c->draining) {
        drain(s, c, a);
        return;
    }
    if (c->head == NULL)
        c->head = a->head_spare != NULL ? take_ptr(a->head_spare) : xzalloc(HTTP_HEAD_MAX);
    int len = 0;
    do {
        len = read_head(c);
        if (len != 0 && len != -EPIPE)
            serve_one(s, c, a, len);
    } while (len > 0 && !c->close && c->head_len > 0);
    if (c->head_len == 0 && a->head_spare == NULL)
        a->head_spare = take_ptr(c->head);
    conn_done(s, c, a, len == -EPIPE);
}

/* Whether this worker is one too many (a waiting one has come back). True counts it as leaving, so
 * that others that ask at the same time stay. */
static bool too_many(struct s3_server *s)
{
    lock_scope(&s->lock);
    if (s->n_threads - s->n_leaving <= s->opts.workers + s->n_waiting)
        return false;
    s->n_leaving++;
    return true;
}

static bool active_init(struct s3_active *a)
{
    a->io_buf = aligned_alloc(PAGE, S3_IO_BUF);
    a->raw_buf = aligned_alloc(PAGE, S3_RAW_BUF);
    return a->io_buf != NULL && a->raw_buf != NULL;
}

/* Waits for the next event when it is this worker's turn. Returns as epoll_wait. */
static int next_event(struct s3_server *s, struct s3_active *a, struct epoll_event *ev)
{
    if (a->in_lane && lanes_crowded(&s->lanes))
        server_may_block(s, a);
    if (!a->in_lane) {
        lanes_enter(&s->lanes);
        a->in_lane = true;
    }
    lanes_rest(&s->lanes);
    int n = epoll_wait(s->epoll_fd, ev, 1, -1);
    lanes_go(&s->lanes);
    return n;
}

static void *worker_main(void *arg)
{
    struct s3_server *s = arg;
    auto_free struct s3_active *a = xzalloc(sizeof(*a));
    bool ok = active_init(a);
    bool leaving = false;
    s3_creds_leave(); /* a thread begins as the one that made it, which may serve an account */
    while (ok && !leaving && !server_stopping(s)) {
        struct epoll_event ev;
        int n = next_event(s, a, &ev);
        if (n <= 0 || ev.data.ptr == &stop_tag)
            continue;
        if (ev.data.ptr == &listen_tag)
            accept_some(s, a);
        else
            conn_ready(s, ev.data.ptr, a);
        leaving = __atomic_load_n(&s->n_threads, __ATOMIC_RELAXED) > s->opts.workers && too_many(s);
    }
    server_may_block(s, a);
    free(a->io_buf);
    free(a->raw_buf);
    free(a->head_spare);
    buf_fini(&a->scratch);
    buf_fini(&a->reply.headers);
    lock_scope(&s->lock);
    s->n_leaving -= leaving ? 1 : 0;
    (void)__atomic_sub_fetch(&s->n_threads, 1, __ATOMIC_RELAXED);
    (void)pthread_cond_broadcast(&s->changed);
    return NULL;
}

static int add_worker_locked(struct s3_server *s)
{
    pthread_attr_t attr;
    pthread_t t;
    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attr, (size_t)1 << 20);
    int rc = pthread_create(&t, &attr, worker_main, s);
    (void)pthread_attr_destroy(&attr);
    if (rc == 0)
        (void)__atomic_add_fetch(&s->n_threads, 1, __ATOMIC_RELAXED);
    return -rc;
}

int server_wait_begin(struct s3_server *s)
{
    lock_scope(&s->lock);
    if (s->n_waiting >= s->opts.max_waiting || s->stopping)
        return 1;
    if (s->n_threads - s->n_leaving < s->opts.workers + s->n_waiting + 1 &&
        add_worker_locked(s) < 0)
        return 1;
    s->n_waiting++;
    return 0;
}

void server_wait_end(struct s3_server *s)
{
    lock_scope(&s->lock);
    s->n_waiting--;
}

/* ---- start and stop ---- */

static int watch(struct s3_server *s, int fd, uint32_t events, void *tag, struct err *err)
{
    struct epoll_event ev = {.events = events, .data.ptr = tag};
    if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
        return err_sys(err, errno, "epoll_ctl");
    return 0;
}

static void server_free(struct s3_server *s)
{
    while (s->all != NULL)
        conn_close(s, s->all);
    (void)close(s->epoll_fd);
    (void)close(s->stop_fd);
    (void)close(s->spare_fd);
    lanes_fini(&s->lanes);
    if (s->opts.listen_fd >= 0)
        (void)close(s->opts.listen_fd);
    sigv4_cache_free(s->keys);
    (void)pthread_mutex_destroy(&s->lock);
    (void)pthread_cond_destroy(&s->changed);
    free(s);
}

static int start_threads(struct s3_server *s, struct err *err)
{
    int rc = 0;
    {
        lock_scope(&s->lock);
        for (size_t i = 0; rc == 0 && i < s->opts.workers; i++)
            rc = add_worker_locked(s);
    }
    if (rc == 0)
        rc = -pthread_create(&s->sweeper, NULL, sweeper_main, s);
    return rc == 0 ? 0 : err_sys(err, -rc, "start the workers of the HTTP server");
}

/* Ends the threads. Returns how many requests had to be cut. */
static size_t end_threads(struct s3_server *s, int drain_s)
{
    size_t cut = 0;
    uint64_t one = 1;
    lock_scope(&s->lock);
    __atomic_store_n(&s->stopping, true, __ATOMIC_RELAXED);
    (void)pthread_cond_broadcast(&s->changed);
    (void)!write(s->stop_fd, &one, sizeof(one));
    lanes_open(&s->lanes);
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += drain_s;
    for (int round = 0; round < 2; round++) {
        while (s->n_threads > 0 && pthread_cond_timedwait(&s->changed, &s->lock, &until) == 0)
            continue;
        if (s->n_threads == 0)
            break;
        cut = __atomic_load_n(&s->n_serving, __ATOMIC_RELAXED);
        for (struct s3_conn *c = s->all; c != NULL; c = c->all_next)
            (void)shutdown(c->fd, SHUT_RDWR);
        until.tv_sec += CUT_WAIT_S;
    }
    return cut;
}

static size_t lane_count(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > LANES_MIN ? (size_t)n : LANES_MIN;
}

int s3_server_start(const struct s3_server_opts *opts, struct s3_server **out, struct err *err)
{
    struct s3_server *s = xzalloc(sizeof(*s));
    s->opts = *opts;
    s->keys = sigv4_cache_new();
    lanes_init(&s->lanes, lane_count());
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_cond_init(&s->changed, NULL);
    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->spare_fd = eventfd(0, EFD_CLOEXEC);
    int rc = s->epoll_fd < 0 || s->stop_fd < 0 ? err_sys(err, errno, "epoll or eventfd") : 0;
    if (rc == 0)
        rc = watch(s, s->stop_fd, EPOLLIN, &stop_tag, err);
    if (rc == 0)
        rc = watch(s, s->opts.listen_fd, EPOLLIN | EPOLLONESHOT, &listen_tag, err);
    if (rc == 0) {
        rc = start_threads(s, err);
        if (rc < 0)
            (void)end_threads(s, CUT_WAIT_S);
    }
    if (rc < 0) {
        server_free(s);
        return rc;
    }
    *out = s;
    return 0;
}

int s3_server_stop(struct s3_server *s, size_t *cut)
{
    *cut = end_threads(s, s->opts.drain_s);
    (void)pthread_join(s->sweeper, NULL);
    {
        lock_scope(&s->lock);
        if (s->n_threads > 0)
            return 1;
    }
    server_free(s);
    return 0;
}
