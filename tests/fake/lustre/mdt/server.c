/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: calls of the library on one socket, JSON commands of the tests on the other. */
#include "mdt.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { CONTROL_MAX = 4 * 1024 * 1024 };

/* One call of the library while it is judged. */
struct call {
    const struct wire_call *c;
    const char *data;
    int *fd; /* borrowed unless the operation takes it */
    struct mdt_conn *conn;
    struct wire_reply *r;
    char *out; /* of WIRE_DATA_MAX bytes */
    int outfd; /* goes with the answer, closed then */
};

static struct mdt_conn *conn_of(struct mdt *m, uint64_t id)
{
    struct mdt_conn *c = NULL;
    HASH_FIND(hh, m->conns, &id, sizeof id, c);
    return c;
}

void server_accept(struct mdt *m, int listener, bool control)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct mdt_conn *c = xzalloc(sizeof *c);
    c->id = ++m->next_conn;
    c->fd = fd;
    c->control = control;
    HASH_ADD(hh, m->conns, id, sizeof c->id, c);
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = c->id << 32 | UINT32_MAX};
    if (epoll_ctl(m->epoll, EPOLL_CTL_ADD, fd, &ev) != 0)
        abort();
}

static void forget(struct mdt *m, struct mdt_conn *c)
{
    struct mdt_waiter *w, *tmp;
    DL_FOREACH_SAFE(m->waiters, w, tmp)
    {
        if (w->conn != c->id)
            continue;
        DL_DELETE(m->waiters, w);
        cJSON_Delete(w->cmd);
        free(w);
    }
    HASH_DELETE(hh, m->conns, c);
    (void)close(c->fd);
    buf_fini(&c->in);
    free(c);
}

static int op_hello(struct mdt *m, struct call *k)
{
    (void)snprintf(k->conn->client, sizeof k->conn->client, "%s", k->c->name);
    int n = snprintf(k->out, WIRE_DATA_MAX, "%s%c%s%c%s%c", m->fsname, 0, m->mount, 0,
                     m->set.version, 0);
    k->r->len = (uint32_t)n;
    k->r->num = (m->set.f.remove_open ? FEAT_REMOVE_OPEN : 0) |
                (m->set.f.restore_dfid ? FEAT_RESTORE_DFID : 0) |
                (m->set.f.recv_whole ? FEAT_RECV_WHOLE : 0);
    return 0;
}

static int op_fault(struct mdt *m, struct call *k)
{
    return knobs_fault(m, k->c->name);
}

static int op_report(struct mdt *m, struct call *k)
{
    knobs_count(m, k->c->name, 1);
    return 0;
}

static int op_register(struct mdt *m, struct call *k)
{
    int fd = take_fd(*k->fd);
    if (fd < 0)
        return -EINVAL;
    int count = (int)(k->c->len / sizeof(int));
    int id = agent_add(m, k->c->pid, k->c->name, (const int *)(const void *)k->data, count, fd,
                       k->c->num == 1);
    k->r->num = id;
    return id < 0 ? id : 0;
}

static int op_unregister(struct mdt *m, struct call *k)
{
    agent_remove(m, k->c->num);
    return 0;
}

static int op_pull(struct mdt *m, struct call *k)
{
    return agent_pull(m, k->c->num, k->conn->id);
}

static int op_copy_start(struct mdt *m, struct call *k)
{
    return action_start(m, k->c, k->r);
}

static int op_volatile(struct mdt *m, struct call *k)
{
    struct mdt_file *f = file_by_fid(m, &k->c->fid);
    int rc = knobs_fault(m, "volatile");
    int fd = rc != 0 ? rc : f == NULL ? -ENOENT : file_volatile(m, f, k->c->num, &k->r->fid);
    k->outfd = fd;
    return fd < 0 ? fd : 0;
}

static int op_progress(struct mdt *m, struct call *k)
{
    return action_progress(m, k->c, k->r);
}

static int op_end(struct mdt *m, struct call *k)
{
    return action_end(m, k->c, *k->fd, k->conn->id);
}

static int op_open_fid(struct mdt *m, struct call *k)
{
    struct mdt_file *f = file_by_fid(m, &k->c->fid);
    int rc = knobs_fault(m, "open_by_fid");
    if (rc == 0 && f == NULL)
        rc = -ENOENT;
    k->outfd = rc != 0 ? rc : file_open(m, f, k->c->num & ~(O_CREAT | O_EXCL | O_NOFOLLOW));
    return k->outfd < 0 ? k->outfd : 0;
}

static int op_fid2path(struct mdt *m, struct call *k)
{
    bool more = false;
    struct mdt_file *f = file_by_fid(m, &k->c->fid);
    int rc = knobs_fault(m, "fid2path");
    if (rc == 0)
        rc = f == NULL ? -ENOENT : file_name(m, f, k->c->num, k->out, &more);
    k->r->len = rc == 0 ? (uint32_t)strlen(k->out) : 0;
    k->r->num = k->c->num + more; /* unchanged: that was the last */
    return rc;
}

static int op_fid2parent(struct mdt *m, struct call *k)
{
    int rc = op_fid2path(m, k);
    if (rc != 0)
        return rc;
    k->out[k->r->len] = '\0';
    char *slash = strrchr(k->out, '/');
    auto_free char *name = xstrdup(slash != NULL ? slash + 1 : k->out);
    *(slash != NULL ? slash : k->out) = '\0';
    const struct mdt_file *parent = file_by_path(m, k->out);
    k->r->len = (uint32_t)strlen(name);
    memcpy(k->out, name, k->r->len);
    if (parent == NULL)
        return -ENOENT;
    k->r->fid = parent->fid;
    return 0;
}

/* The file behind the descriptor of a call. */
static int file_of(struct mdt *m, const struct call *k, const char *fault, struct mdt_file **f)
{
    int rc = knobs_fault(m, fault);
    *f = rc == 0 ? file_by_fd(m, *k->fd) : NULL;
    if (rc == 0 && *f == NULL)
        return -ENOTTY;
    return rc;
}

static int op_fd2fid(struct mdt *m, struct call *k)
{
    struct mdt_file *f;
    int rc = file_of(m, k, "fd2fid", &f);
    if (rc == 0)
        k->r->fid = f->fid;
    return rc;
}

static int op_state_get(struct mdt *m, struct call *k)
{
    struct mdt_file *f;
    int rc = file_of(m, k, "state_get", &f);
    if (rc == 0)
        file_state(m, f, &k->r->state);
    return rc;
}

static int op_state_set(struct mdt *m, struct call *k)
{
    struct mdt_file *f;
    int rc = file_of(m, k, "state_set", &f);
    return rc != 0 ? rc : file_state_set(m, f, k->c->cookie, k->c->dv, (uint32_t)k->c->num);
}

static int op_request(struct mdt *m, struct call *k)
{
    const struct hsm_user_request *hur = (const struct hsm_user_request *)(const void *)k->data;
    int rc = knobs_fault(m, "request");
    if (rc != 0)
        return rc;
    if (k->c->len < sizeof *hur)
        return -EINVAL;
    size_t len = sizeof *hur + sizeof hur->items[0] * (size_t)hur->itemcount + hur->data_len;
    return len != k->c->len ? -EINVAL : request_add(m, hur, k->c->uid, NULL);
}

static int op_import(struct mdt *m, struct call *k)
{
    struct mdt_file *f;
    int rc = file_of(m, k, "import", &f);
    if (rc != 0)
        return rc;
    file_settle(m, f);
    f->states = HS_EXISTS | HS_ARCHIVED | HS_RELEASED;
    f->archive_id = (uint32_t)k->c->num;
    f->arch_ver = f->dv;
    watch_add(m, *k->fd);
    k->r->fid = f->fid;
    return 0;
}

static int op_data_version(struct mdt *m, struct call *k)
{
    struct mdt_file *f;
    int rc = file_of(m, k, "data_version", &f);
    if (rc == 0)
        rc = file_refresh(m, f);
    if (rc == 0 && k->c->num == 1) /* what an import that brings the data says */
        f->arch_ver = k->c->dv;
    else if (rc == 0)
        k->r->dv = file_version(f);
    return rc;
}

static int (*const ops[WIRE_OPS])(struct mdt *, struct call *) = {
    [WIRE_HELLO] = op_hello,
    [WIRE_FAULT] = op_fault,
    [WIRE_REPORT] = op_report,
    [WIRE_REGISTER] = op_register,
    [WIRE_UNREGISTER] = op_unregister,
    [WIRE_PULL] = op_pull,
    [WIRE_COPY_START] = op_copy_start,
    [WIRE_VOLATILE] = op_volatile,
    [WIRE_PROGRESS] = op_progress,
    [WIRE_END] = op_end,
    [WIRE_OPEN_FID] = op_open_fid,
    [WIRE_FID2PATH] = op_fid2path,
    [WIRE_FD2FID] = op_fd2fid,
    [WIRE_FID2PARENT] = op_fid2parent,
    [WIRE_STATE_GET] = op_state_get,
    [WIRE_STATE_SET] = op_state_set,
    [WIRE_REQUEST] = op_request,
    [WIRE_IMPORT] = op_import,
    [WIRE_DATA_VERSION] = op_data_version,
};

static void library_input(struct mdt *m, struct mdt_conn *c)
{
    static char data[WIRE_DATA_MAX], out[WIRE_DATA_MAX]; /* one thread, one call at a time */
    struct wire_call call;
    auto_close int fd = -1;
    ssize_t n = wire_recv(c->fd, &call, sizeof call, data, sizeof data, &fd);
    if (n < 0 || call.op >= WIRE_OPS || call.len != (size_t)n) {
        forget(m, c);
        return;
    }
    call.name[sizeof call.name - 1] = '\0';
    struct wire_reply r = {0};
    struct call k = {&call, data, &fd, c, &r, out, -1};
    r.rc = ops[call.op](m, &k);
    if (r.rc != 1) /* 1: answered later */
        (void)wire_send(c->fd, &r, sizeof r, out, r.rc == 0 ? r.len : 0, k.outfd);
    if (k.outfd >= 0)
        (void)close(k.outfd);
}

void server_reply(struct mdt *m, uint64_t conn, int rc, const void *data, size_t len)
{
    const struct mdt_conn *c = conn_of(m, conn);
    struct wire_reply r = {.rc = rc, .len = (uint32_t)len};
    if (c != NULL)
        (void)wire_send(c->fd, &r, sizeof r, data, len, -1);
}

void server_answer(struct mdt *m, uint64_t conn, cJSON *answer)
{
    const struct mdt_conn *c = conn_of(m, conn);
    auto_json cJSON *owned = answer;
    if (c == NULL)
        return;
    auto_free char *text = cJSON_PrintUnformatted(owned);
    auto_buf struct buf line = {0};
    buf_adds(&line, text != NULL ? text : "{}");
    buf_addc(&line, '\n');
    (void)io_write_full(c->fd, line.data, line.len);
}

static void control_input(struct mdt *m, struct mdt_conn *c)
{
    buf_reserve(&c->in, 65536);
    ssize_t n = recv(c->fd, c->in.data + c->in.len, 65536, 0);
    if (n <= 0 || c->in.len + (size_t)n > CONTROL_MAX) {
        forget(m, c);
        return;
    }
    c->in.len += (size_t)n;
    c->in.data[c->in.len] = '\0';
    uint64_t id = c->id;
    char *end;
    while ((end = memchr(c->in.data, '\n', c->in.len)) != NULL) {
        size_t used = (size_t)(end - c->in.data) + 1;
        cJSON *cmd = cJSON_ParseWithLength(c->in.data, used);
        c->in.len -= used;
        memmove(c->in.data, end + 1, c->in.len + 1);
        if (cmd == NULL)
            server_answer(m, id, ctl_result(-EINVAL));
        else
            ctl_run(m, id, cmd);
    }
}

void server_input(struct mdt *m, uint64_t conn)
{
    struct mdt_conn *c = conn_of(m, conn);
    if (c == NULL)
        return;
    if (c->control)
        control_input(m, c);
    else
        library_input(m, c);
}
