/* SPDX-License-Identifier: Apache-2.0 */
/* Those who wait: readers of released files, and tests that wait for a condition. */
#include "mdt.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <errno.h>

static struct mdt_waiter *add(struct mdt *m, enum mdt_wait kind, uint64_t conn, int64_t timeout_ms)
{
    struct mdt_waiter *w = xzalloc(sizeof *w);
    w->kind = kind;
    w->conn = conn;
    w->deadline_ms = timeout_ms > 0 ? mdt_now_ms() + timeout_ms : 0;
    DL_APPEND(m->waiters, w);
    return w;
}

/* Queues the implicit restore of a reader. Returns 0, or -errno when there can be none. */
static int ask_restore(struct mdt *m, struct mdt_file *f)
{
    if (!(f->states & HS_ARCHIVED) || (f->states & HS_LOST))
        return -ENODATA;
    bool running = request_live(f, HSMA_RESTORE) != NULL;
    if (!running || !(m->set.f.restore_protect || m->set.f.dup_filter))
        (void)request_new(m, HSMA_RESTORE, f, &f->fid, f->archive_id,
                          m->set.f.blocking_flag ? HSM_REQ_BLOCKING : 0, NULL, 0);
    return 0;
}

int reader_block(struct mdt *m, struct mdt_file *f, int event)
{
    int rc = ask_restore(m, f);
    if (rc != 0)
        return rc;
    struct mdt_waiter *w = add(m, MDT_WAIT_DATA, 0, 0);
    w->file = f;
    w->event = event;
    return 0;
}

int reader_open(struct mdt *m, struct mdt_file *f, uint64_t conn, cJSON *cmd, int64_t timeout_ms)
{
    auto_json cJSON *owned = cmd;
    if (file_refresh(m, f) != 0)
        return -ENOENT;
    if (!(f->states & HS_RELEASED)) {
        ctl_continue(m, conn, take_ptr(owned));
        return 0;
    }
    int rc = ask_restore(m, f);
    if (rc != 0)
        return rc;
    struct mdt_waiter *w = add(m, MDT_WAIT_DATA, conn, timeout_ms);
    w->file = f;
    w->cmd = take_ptr(owned);
    return 1;
}

void reader_wait(struct mdt *m, enum mdt_wait kind, uint64_t conn, uint64_t cookie, int64_t number,
                 int64_t timeout_ms)
{
    struct mdt_waiter *w = add(m, kind, conn, timeout_ms);
    w->cookie = cookie;
    w->number = number;
}

void reader_fail(struct mdt *m, const struct mdt_file *f)
{
    struct mdt_waiter *w;
    if (request_live(f, HSMA_RESTORE) != NULL)
        return; /* another one may bring the data */
    DL_FOREACH (m->waiters, w)
        if (w->kind == MDT_WAIT_DATA && w->file == f)
            w->failed = true;
}

static int64_t agent_count(const struct mdt *m)
{
    int64_t n = 0;
    const struct mdt_agent *a;
    DL_FOREACH (m->agents, a)
        n += !a->forgotten;
    return n;
}

static bool request_over(const struct mdt *m, uint64_t cookie)
{
    struct mdt_req *q = NULL;
    HASH_FIND(hh, m->reqs, &cookie, sizeof cookie, q);
    return q == NULL || (q->status > MDT_STARTED && !q->running);
}

/* 1: over, 0: not yet, or -errno. */
static int state_of(const struct mdt *m, const struct mdt_waiter *w)
{
    bool over = false;
    switch (w->kind) {
    case MDT_WAIT_DATA:
        if (w->failed)
            return -ENODATA;
        over = !(w->file->states & HS_RELEASED);
        break;
    case MDT_WAIT_IDLE:
        over = m->waiting == NULL && m->active == NULL;
        break;
    case MDT_WAIT_REQUEST:
        over = request_over(m, w->cookie);
        break;
    case MDT_WAIT_AGENTS:
        over = agent_count(m) == w->number;
        break;
    }
    if (over)
        return 1;
    return w->deadline_ms != 0 && mdt_now_ms() >= w->deadline_ms ? -ETIMEDOUT : 0;
}

static cJSON *outcome(const struct mdt *m, const struct mdt_waiter *w)
{
    struct mdt_req *q = NULL;
    if (w->kind == MDT_WAIT_REQUEST)
        HASH_FIND(hh, m->reqs, &w->cookie, sizeof w->cookie, q);
    cJSON *answer = ctl_result(0);
    if (q != NULL)
        (void)cJSON_AddItemToObject(answer, "request", show_request(q));
    return answer;
}

void reader_check(struct mdt *m)
{
    struct mdt_waiter *w, *tmp;
    DL_FOREACH_SAFE(m->waiters, w, tmp)
    {
        int rc = state_of(m, w);
        if (rc == 0)
            continue;
        DL_DELETE(m->waiters, w);
        if (w->event > 0)
            watch_answer(m, w->event, rc);
        else if (rc < 0)
            server_answer(m, w->conn, ctl_result(rc));
        else if (w->cmd != NULL)
            ctl_continue(m, w->conn, take_ptr(w->cmd));
        else
            server_answer(m, w->conn, outcome(m, w));
        cJSON_Delete(w->cmd);
        free(w);
    }
}
