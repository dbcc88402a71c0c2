/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/server.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "ctl/proto.h"
#include "ctl/server_impl.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <utlist.h>

#define CONNECTIONS_DEFAULT 256
#define TIMEOUT_DEFAULT_MS  30000
#define BACKLOG             128
#define ROOT_SHARE          8          /* one in so many connections is kept for root */
#define SESSION_STACK       (8u << 20) /* address space; a deep policy is compiled on it */
#define ACCEPT_PAUSE_MS     100
#define REFUSAL_WAIT_MS     1000

struct ctl_session {
    struct ctl_server *server;
    int fd;
    enum ctl_who who;
    bool gone;       /* a send failed; only the session's thread */
    const cJSON *id; /* of the request at hand */
    void *data;
    struct ctl_session *prev, *next; /* server->sessions */
};

struct ctl_server {
    struct ctl_server_config cfg;
    int listen_fd;
    int wake_fd; /* eventfd: readable once stopping */
    pthread_t thread;
    pthread_mutex_t lock; /* over all below */
    pthread_cond_t ended; /* a session has gone */
    struct ctl_session *sessions;
    size_t n_sessions;
    bool stopping;
};

/* ---- sessions ---- */

static bool is_stopping(struct ctl_server *s)
{
    lock_scope(&s->lock);
    return s->stopping;
}

void ctl_session_begin(struct ctl_session *session, const cJSON *id)
{
    if (session != NULL)
        session->id = id;
}

void **ctl_session_data(struct ctl_session *session)
{
    return &session->data;
}

static int session_send(struct ctl_session *c, const cJSON *j)
{
    if (c->gone)
        return -EPIPE;
    int rc = ctl_send_json(c->fd, j, c->server->cfg.send_timeout_ms);
    if (rc != 0 && rc != -EMSGSIZE) {
        c->gone = true;
        if (rc == -ETIMEDOUT)
            log_warn("control client does not read its answers: dropped");
    }
    return rc;
}

int ctl_event(struct ctl_request *rq, cJSON *event)
{
    auto_json cJSON *line = cJSON_CreateObject();
    auto_json cJSON *own = event;
    if (rq->session == NULL)
        return 0;
    (void)cJSON_AddItemToObject(line, "id", cJSON_Duplicate(rq->session->id, 1));
    (void)cJSON_AddItemToObject(line, "event", take_ptr(own));
    return session_send(rq->session, line);
}

bool ctl_request_is_moot(struct ctl_request *rq)
{
    struct ctl_session *c = rq->session;
    if (c == NULL)
        return false;
    struct pollfd p = {.fd = c->fd, .events = 0};
    if (poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR)) != 0)
        c->gone = true;
    return c->gone || is_stopping(c->server);
}

static void session_answer(struct ctl_session *c, const char *line, size_t len)
{
    const struct ctl_server_config *cfg = &c->server->cfg;
    auto_json cJSON *answer = ctl_dispatch(cfg->ops, cfg->n_ops, cfg->app, c->who, c, line, len);
    if (session_send(c, answer) == -EMSGSIZE) {
        auto_json cJSON *instead = ctl_too_long(answer);
        (void)session_send(c, instead);
    }
}

static void session_refuse(struct ctl_session *c, int code, const char *text)
{
    auto_json cJSON *j = ctl_refusal(code, text);
    (void)session_send(c, j);
}

/* Why reading ended, told to a peer that is still there. */
static void session_read_failed(struct ctl_session *c, int rc)
{
    if (rc == -EMSGSIZE)
        session_refuse(c, rc, "a line is over 4 MiB");
    else if (rc == -ETIMEDOUT)
        session_refuse(c, rc, "the rest of a line did not come in time");
}

/* Reads a request line; a resting connection may rest for ever, a begun line must come to its end.
 */
static int session_read(struct ctl_session *c, struct ctl_reader *r, char **line, size_t *len)
{
    bool begun = false;
    for (;;) {
        int rc = ctl_read_line(r, c->server->cfg.partial_timeout_ms, line, len);
        if (rc != -ETIMEDOUT || begun)
            return rc;
        begun = r->in.len > r->begin;
    }
}

static void session_serve(struct ctl_session *c)
{
    struct ctl_reader r = {.fd = c->fd};
    while (!c->gone) {
        char *line = NULL;
        size_t len = 0;
        int rc = session_read(c, &r, &line, &len);
        if (rc != 0) {
            session_read_failed(c, rc);
            break;
        }
        if (is_stopping(c->server)) {
            session_refuse(c, -ESHUTDOWN, "firnd is stopping");
            break;
        }
        session_answer(c, line, len);
    }
    ctl_reader_fini(&r);
}

static void *session_main(void *arg)
{
    struct ctl_session *c = arg;
    struct ctl_server *s = c->server;
    session_serve(c);
    if (s->cfg.session_free != NULL && c->data != NULL)
        s->cfg.session_free(s->cfg.app, c->data);
    lock_scope(&s->lock);
    DL_DELETE(s->sessions, c);
    s->n_sessions--;
    (void)close(c->fd);
    free(c);
    (void)pthread_cond_broadcast(&s->ended);
    return NULL;
}

/* ---- accepting ---- */

static void refuse_fd(int fd, int code, const char *text)
{
    auto_json cJSON *j = ctl_refusal(code, text);
    (void)ctl_send_json(fd, j, REFUSAL_WAIT_MS);
}

/* Who the peer is. Returns 0, or -EACCES when it may not be here. */
static int peer_who(const struct ctl_server *s, int fd, enum ctl_who *who)
{
    struct ucred cred = {0};
    socklen_t len = sizeof(cred);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
        return -EACCES;
    bool ours = cred.uid == 0 || cred.uid == geteuid();
    if (!ours && (s->cfg.s3_uid == (uid_t)-1 || cred.uid != s->cfg.s3_uid)) {
        log_warn("control connection of user %u refused", (unsigned)cred.uid);
        return -EACCES;
    }
    *who = ours ? CTL_WHO_ROOT : CTL_WHO_S3;
    return 0;
}

static int spawn(struct ctl_session *c)
{
    pthread_attr_t attr;
    pthread_t thread;
    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attr, SESSION_STACK);
    int rc = pthread_create(&thread, &attr, session_main, c);
    (void)pthread_attr_destroy(&attr);
    return -rc;
}

/* Takes the connection in. Returns 0 (fd belongs to the session), or why not. */
static int admit(struct ctl_server *s, int fd, enum ctl_who who)
{
    lock_scope(&s->lock);
    size_t most = s->cfg.max_connections;
    if (who != CTL_WHO_ROOT)
        most -= most / ROOT_SHARE;
    if (s->stopping)
        return -ESHUTDOWN;
    if (s->n_sessions >= most)
        return -EBUSY;
    struct ctl_session *c = xzalloc(sizeof(*c));
    *c = (struct ctl_session){.server = s, .fd = fd, .who = who};
    DL_APPEND(s->sessions, c);
    s->n_sessions++;
    int rc = spawn(c);
    if (rc != 0) {
        DL_DELETE(s->sessions, c);
        s->n_sessions--;
        free(c);
    }
    return rc;
}

static void take_connection(struct ctl_server *s, int accepted)
{
    auto_close int fd = accepted;
    enum ctl_who who = CTL_WHO_S3;
    if (peer_who(s, fd, &who) != 0) {
        refuse_fd(fd, -EACCES, "this user may not talk to firnd");
        return;
    }
    int rc = admit(s, fd, who);
    if (rc == 0)
        (void)take_fd(fd);
    else if (rc == -EBUSY)
        refuse_fd(fd, rc, "firnd has as many control connections as it takes; try again later");
    else
        refuse_fd(fd, rc, "firnd takes no connection now");
}

static void *accept_main(void *arg)
{
    struct ctl_server *s = arg;
    struct pollfd p[2] = {{.fd = s->listen_fd, .events = POLLIN},
                          {.fd = s->wake_fd, .events = POLLIN}};
    for (;;) {
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            log_err("control socket: poll: %s", strerror(errno));
        if (is_stopping(s))
            return NULL;
        int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            take_connection(s, fd);
        else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
            (void)poll(p + 1, 1, ACCEPT_PAUSE_MS);
    }
}

/* ---- life ---- */

static int clear_stale(const char *path, struct err *err)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return errno == ENOENT ? 0 : err_sys(err, errno, "control socket %s", path);
    if (!S_ISSOCK(st.st_mode))
        return err_set(err, -EEXIST, "%s is there and no socket; the key \"socket\" names it",
                       path);
    return unlink(path) == 0 ? 0 : err_sys(err, errno, "remove stale socket %s", path);
}

static int set_rights(const struct ctl_server_config *cfg, struct err *err)
{
    bool group = cfg->s3_gid != (gid_t)-1;
    if (group && chown(cfg->socket_path, (uid_t)-1, cfg->s3_gid) != 0)
        return err_sys(err, errno, "chown of %s to group %u", cfg->socket_path,
                       (unsigned)cfg->s3_gid);
    if (chmod(cfg->socket_path, group ? 0660 : 0600) != 0)
        return err_sys(err, errno, "chmod of %s", cfg->socket_path);
    return 0;
}

/* The socket answers nobody before listen, so its rights are right before the first connection. */
static int listen_at(const struct ctl_server_config *cfg, int *out, struct err *err)
{
    const char *path = cfg->socket_path;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(a.sun_path))
        return err_set(err, -ENAMETOOLONG, "socket path %s is longer than %zu bytes", path,
                       sizeof(a.sun_path) - 1);
    memcpy(a.sun_path, path, strlen(path) + 1);
    int rc = clear_stale(path, err);
    if (rc != 0)
        return rc;
    auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_sys(err, errno, "socket");
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0)
        return err_sys(err, errno, "control socket %s", path);
    rc = set_rights(cfg, err);
    if (rc == 0 && listen(fd, BACKLOG) != 0)
        rc = err_sys(err, errno, "listen on %s", path);
    if (rc != 0) {
        (void)unlink(path);
        return rc;
    }
    *out = take_fd(fd);
    return 0;
}

static void set_defaults(struct ctl_server_config *cfg)
{
    if (cfg->max_connections == 0)
        cfg->max_connections = CONNECTIONS_DEFAULT;
    if (cfg->send_timeout_ms == 0)
        cfg->send_timeout_ms = TIMEOUT_DEFAULT_MS;
    if (cfg->partial_timeout_ms == 0)
        cfg->partial_timeout_ms = TIMEOUT_DEFAULT_MS;
}

static int start_thread(struct ctl_server *s, struct err *err)
{
    s->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (s->wake_fd < 0)
        return err_sys(err, errno, "eventfd");
    int rc = pthread_create(&s->thread, NULL, accept_main, s);
    return rc == 0 ? 0 : err_sys(err, rc, "thread of the control socket");
}

int ctl_server_start(const struct ctl_server_config *cfg, struct ctl_server **out, struct err *err)
{
    auto_close int fd = -1;
    int rc = listen_at(cfg, &fd, err);
    if (rc != 0)
        return rc;
    struct ctl_server *s = xzalloc(sizeof(*s));
    s->cfg = *cfg;
    set_defaults(&s->cfg);
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_cond_init(&s->ended, NULL);
    s->listen_fd = fd;
    rc = start_thread(s, err);
    if (rc != 0) {
        (void)unlink(cfg->socket_path);
        if (s->wake_fd >= 0)
            (void)close(s->wake_fd);
        free(s);
        return rc;
    }
    (void)take_fd(fd);
    *out = s;
    return 0;
}

void ctl_server_stop(struct ctl_server *s)
{
    lock_scope(&s->lock);
    if (s->stopping)
        return;
    s->stopping = true;
    uint64_t one = 1;
    if (write(s->wake_fd, &one, sizeof(one)) < 0)
        log_err("control socket: wake: %s", strerror(errno));
    struct ctl_session *c = NULL;
    DL_FOREACH (s->sessions, c)
        (void)shutdown(c->fd, SHUT_RD);
}

void ctl_server_free(struct ctl_server *s)
{
    if (s == NULL)
        return;
    ctl_server_stop(s);
    (void)pthread_join(s->thread, NULL);
    (void)pthread_mutex_lock(&s->lock);
    while (s->n_sessions > 0)
        (void)pthread_cond_wait(&s->ended, &s->lock);
    (void)pthread_mutex_unlock(&s->lock);
    (void)unlink(s->cfg.socket_path);
    (void)close(s->listen_fd);
    (void)close(s->wake_fd);
    (void)pthread_cond_destroy(&s->ended);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
}

size_t ctl_server_connections(struct ctl_server *s)
{
    lock_scope(&s->lock);
    return s->n_sessions;
}
