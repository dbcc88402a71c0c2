/* SPDX-License-Identifier: Apache-2.0 */
/* Registered copytools. Those of one client count as one agent and all get every message. */
#include "mdt.h"

#include "base/mem.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

static struct mdt_agent *find(struct mdt *m, int id)
{
    struct mdt_agent *a;
    DL_FOREACH (m->agents, a)
        if (a->id == id)
            return a;
    return NULL;
}

int agent_add(struct mdt *m, int pid, const char *client, const int *ids, int count, int fd,
              bool pulls)
{
    if (m->control == MDT_STOPPED) {
        (void)close(fd);
        return -ENXIO;
    }
    struct mdt_agent *a = xzalloc(sizeof *a);
    a->id = ++m->next_agent;
    a->pid = pid;
    (void)snprintf(a->client, sizeof a->client, "%s", client);
    a->count = count;
    a->ids = xrealloc_array(NULL, (size_t)count + 1, sizeof(int));
    for (int i = 0; i < count; i++) {
        a->ids[i] = ids[i];
        if (ids[i] == 0)
            a->count = 0; /* any */
    }
    if (agent_known(m, client))
        knobs_count(m, "already_registered", 1);
    struct epoll_event ev = {.events = 0, .data.u64 = (uint64_t)fd}; /* errors only */
    a->pipe = kuc_pipe_new(fd);
    a->pulls = pulls;
    (void)epoll_ctl(m->epoll, EPOLL_CTL_ADD, fd, &ev);
    DL_APPEND(m->agents, a);
    knobs_count(m, "registered", 1);
    m->want_pass = true;
    return a->id;
}

static void drop(struct mdt *m, struct mdt_agent *a)
{
    struct mdt_msg *msg, *tmp;
    DL_DELETE(m->agents, a);
    (void)epoll_ctl(m->epoll, EPOLL_CTL_DEL, kuc_pipe_fd(a->pipe), NULL);
    kuc_pipe_unref(a->pipe);
    if (a->puller != 0)
        server_reply(m, a->puller, -ESHUTDOWN, NULL, 0);
    DL_FOREACH_SAFE(a->queue, msg, tmp)
    free(msg);
    free(a->ids);
    free(a);
}

void agent_remove(struct mdt *m, int id)
{
    struct mdt_agent *a = find(m, id);
    if (a != NULL)
        drop(m, a);
}

void agent_reap(struct mdt *m)
{
    struct mdt_agent *a, *tmp;
    DL_FOREACH_SAFE(m->agents, a, tmp)
    {
        struct pollfd p = {.fd = kuc_pipe_fd(a->pipe)};
        if (poll(&p, 1, 0) == 1 && (p.revents & (POLLERR | POLLHUP))) {
            knobs_count(m, "agents_died", 1);
            drop(m, a);
        }
    }
}

static bool serves(const struct mdt_agent *a, uint32_t archive_id)
{
    for (int i = 0; i < a->count; i++)
        if ((uint32_t)a->ids[i] == archive_id)
            return true;
    return a->count == 0;
}

static int64_t load_of(const struct mdt *m, const char *client)
{
    int64_t n = 0;
    const struct mdt_req *q;
    const struct mdt_agent *a = m->agents;
    if (a != NULL && a->next == NULL)
        return 0; /* the only one */
    DL_FOREACH (m->active, q)
        n += strcmp(q->client, client) == 0;
    return n;
}

const char *agent_best(struct mdt *m, uint32_t archive_id)
{
    const struct mdt_agent *a, *best = NULL;
    int64_t least = INT64_MAX;
    DL_FOREACH (m->agents, a) {
        if (a->forgotten || !serves(a, archive_id))
            continue;
        int64_t load = load_of(m, a->client);
        if (load < least) {
            least = load;
            best = a;
        }
    }
    return best != NULL ? best->client : NULL;
}

bool agent_known(struct mdt *m, const char *client)
{
    const struct mdt_agent *a;
    DL_FOREACH (m->agents, a)
        if (!a->forgotten && strcmp(a->client, client) == 0)
            return true;
    return false;
}

static void queue_pull(struct mdt *m, struct mdt_agent *a, const void *bytes, size_t len)
{
    if (a->puller != 0) {
        uint64_t conn = a->puller;
        a->puller = 0;
        server_reply(m, conn, 0, bytes, len);
        return;
    }
    struct mdt_msg *msg = xzalloc(sizeof *msg + len);
    msg->len = len;
    memcpy(msg->bytes, bytes, len);
    DL_APPEND(a->queue, msg);
}

void agent_send(struct mdt *m, const char *client, const void *bytes, size_t len)
{
    enum { PIPES = 64 };
    struct kuc_pipe *pipes[PIPES];
    size_t n = 0;
    struct mdt_agent *a;
    if (m->mangle.lose > 0) {
        m->mangle.lose--;
        knobs_count(m, "messages_lost", 1);
        return;
    }
    DL_FOREACH (m->agents, a) {
        if (strcmp(a->client, client) != 0)
            continue;
        if (a->pulls)
            queue_pull(m, a, bytes, len);
        else if (n < PIPES)
            pipes[n++] = a->pipe;
    }
    int64_t split = m->mangle.split > 0 ? m->mangle.split_at : 0;
    m->mangle.split -= m->mangle.split > 0;
    kuc_send(m->kuc, pipes, n, bytes, len, (size_t)split, m->mangle.split_delay_ms);
    knobs_count(m, "messages", 1);
    if (m->mangle.duplicate > 0) {
        m->mangle.duplicate--;
        kuc_send(m->kuc, pipes, n, bytes, len, 0, 0);
    }
}

int agent_pull(struct mdt *m, int id, uint64_t conn)
{
    struct mdt_agent *a = find(m, id);
    if (a == NULL)
        return -ENOENT;
    a->puller = conn;
    struct mdt_msg *msg = a->queue;
    if (msg == NULL)
        return 1;
    DL_DELETE(a->queue, msg);
    a->puller = 0;
    server_reply(m, conn, 0, msg->bytes, msg->len);
    free(msg);
    return 1;
}

int agent_archives(struct mdt *m, int *ids, int max, bool *any)
{
    int n = 0;
    const struct mdt_agent *a;
    *any = false;
    DL_FOREACH (m->agents, a) {
        *any = *any || (!a->forgotten && a->count == 0);
        for (int i = 0; !a->forgotten && i < a->count; i++) {
            bool known = false;
            for (int j = 0; j < n; j++)
                known = known || ids[j] == a->ids[i];
            if (!known && n < max)
                ids[n++] = a->ids[i];
        }
    }
    return n;
}
