/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator's pass: first in, first out, as far as max_requests goes; time-outs; control. */
#include "mdt.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A message that is being filled. */
struct batch {
    char client[32];
    uint64_t flags;
    size_t len; /* of what stands behind the kuc header; 0: empty */
    char bytes[sizeof(struct kuc_hdr) + UINT16_MAX];
};

static struct hsm_action_list *list_of(struct batch *b)
{
    return (struct hsm_action_list *)(b->bytes + sizeof(struct kuc_hdr));
}

static void flush(struct mdt *m, struct batch *b)
{
    if (b->len == 0)
        return;
    struct kuc_hdr *hdr = (struct kuc_hdr *)b->bytes;
    *hdr = (struct kuc_hdr){.magic = KUC_MAGIC,
                            .transport = KUC_TRANSPORT_HSM,
                            .msgtype = HMT_ACTION_LIST,
                            .msglen = (uint16_t)(sizeof *hdr + b->len)};
    agent_send(m, b->client, b->bytes, sizeof *hdr + b->len);
    b->len = 0;
}

static void begin_batch(struct mdt *m, struct batch *b, const struct mdt_req *q, const char *client)
{
    size_t head = hsm_first_item(m->fsname, strlen(m->fsname));
    memset(b->bytes, 0, sizeof(struct kuc_hdr) + head);
    struct hsm_action_list *list = list_of(b);
    list->version = HAL_VERSION;
    list->flags = q->flags;
    list->archive_id = q->archive_id;
    memcpy(list + 1, m->fsname, strlen(m->fsname));
    (void)snprintf(b->client, sizeof b->client, "%s", client);
    b->flags = q->flags;
    b->len = head;
}

static void put_item(struct mdt *m, struct batch *b, const struct mdt_req *q, const char *client)
{
    size_t len = sizeof(struct hsm_action_item) + q->data_len;
    bool fits = b->len > 0 && list_of(b)->archive_id == q->archive_id && b->flags == q->flags &&
                strcmp(b->client, client) == 0 && b->len + hsm_align8(len) <= HSM_MSG_MAX;
    if (!fits) {
        flush(m, b);
        begin_batch(m, b, q, client);
    }
    char *at = b->bytes + sizeof(struct kuc_hdr) + b->len;
    struct hsm_action_item item = {.len = (uint32_t)len,
                                   .action = q->action,
                                   .fid = q->fid,
                                   .dfid = q->dfid,
                                   .extent = q->extent,
                                   .cookie = q->cookie};
    memset(at, 0, hsm_align8(len));
    memcpy(at, &item, sizeof item);
    memcpy(at + sizeof item, q->data, q->data_len);
    list_of(b)->count++;
    b->len += hsm_align8(len);
}

void schedule_send_item(struct mdt *m, const struct mdt_req *q, const char *client)
{
    static struct batch b; /* large, and one thread */
    b.len = 0;
    put_item(m, &b, q, client);
    flush(m, &b);
}

/* A CANCEL goes to the agent that runs its target, past every limit. */
static void pass_cancel(struct mdt *m, struct batch *b, struct mdt_req *q)
{
    struct mdt_req *target = NULL;
    HASH_FIND(hh, m->reqs, &q->cookie, sizeof q->cookie, target);
    if (target == NULL || !target->running) {
        request_finish(m, q, MDT_FAILED, ENOENT);
        return;
    }
    if (!agent_known(m, target->client))
        return;
    target->canceled = true;
    put_item(m, b, q, target->client);
    request_start(m, q, target->client);
    m->active_count--; /* takes no slot */
    DL_DELETE(m->active, q);
    q->running = false;
}

static void pass_one(struct mdt *m, struct batch *b, struct mdt_req *q)
{
    const char *client = agent_best(m, q->archive_id);
    if (client == NULL)
        return;
    put_item(m, b, q, client);
    request_start(m, q, client);
    if (q->action == HSMA_ARCHIVE && q->file != NULL) {
        q->file->states |= HS_EXISTS;
        q->file->archive_id = q->archive_id;
    }
}

static void pass(struct mdt *m)
{
    static struct batch b; /* one thread, one pass */
    bool forced = false;
    struct mdt_req *q, *tmp;
    b.len = 0;
    DL_FOREACH_SAFE(m->waiting, q, tmp)
    {
        if (q->action == HSMA_CANCEL) {
            pass_cancel(m, &b, q);
            continue;
        }
        bool full = m->active_count >= m->set.max_requests;
        if (full && (m->waiting_urgent == 0 || (forced && m->waiting_cancels == 0)))
            break;
        if (full && (forced || q->action != HSMA_RESTORE))
            continue;
        forced = forced || full;
        pass_one(m, &b, q);
    }
    flush(m, &b);
}

/* A request without progress for too long is given up; whoever runs it is not told. Progress only
 * moves a limit on, so nothing can be due before the earliest that a look has found. */
static void time_out(struct mdt *m)
{
    int64_t now = mdt_now_ms(), limit = now - m->set.timeout_ms;
    int64_t earliest = now;
    struct mdt_req *q, *tmp;
    if (now < m->time_out_ms)
        return;
    DL_FOREACH_SAFE(m->active, q, tmp)
    {
        if (q->updated_ms >= limit || q->swapping) {
            earliest = q->updated_ms < earliest ? q->updated_ms : earliest;
            continue;
        }
        knobs_count(m, "timed_out", 1);
        action_fail(m, q, MDT_CANCELED, ETIMEDOUT);
    }
    m->time_out_ms = earliest + m->set.timeout_ms;
}

int64_t schedule_run(struct mdt *m)
{
    int64_t now = mdt_now_ms();
    if (m->control == MDT_INIT && now >= m->init_until_ms) {
        m->control = MDT_ENABLED;
        m->want_pass = true;
    }
    int64_t period = m->want_pass ? m->set.wake_ms : m->set.loop_period_ms;
    int64_t due = m->last_pass_ms + period;
    if (now < due)
        return due - now;
    m->last_pass_ms = now;
    m->want_pass = false;
    request_forget_old(m);
    if (m->control == MDT_ENABLED || m->control == MDT_DISABLED)
        time_out(m);
    if (m->control == MDT_ENABLED)
        pass(m);
    return m->set.loop_period_ms > 0 ? m->set.loop_period_ms : 1;
}

static void forget_agents(struct mdt *m)
{
    struct mdt_agent *a;
    DL_FOREACH (m->agents, a)
        a->forgotten = true;
}

/* All running ones get a CANCEL, all records are CANCELED; the running ones leave with their end.
 */
static void purge(struct mdt *m)
{
    static struct batch b;
    struct mdt_req *q, *tmp;
    b.len = 0;
    DL_FOREACH_SAFE(m->waiting, q, tmp)
    action_fail(m, q, MDT_CANCELED, ECANCELED);
    DL_FOREACH (m->active, q) {
        struct mdt_req cancel = *q;
        cancel.action = HSMA_CANCEL;
        cancel.data_len = 0;
        q->canceled = true;
        q->status = MDT_CANCELED;
        if (agent_known(m, q->client))
            put_item(m, &b, &cancel, q->client);
    }
    flush(m, &b);
}

int schedule_control(struct mdt *m, const char *word)
{
    m->want_pass = true;
    if (strcmp(word, "enabled") == 0) {
        m->control = MDT_ENABLED;
    } else if (strcmp(word, "disabled") == 0) {
        m->control = MDT_DISABLED;
    } else if (strcmp(word, "shutdown") == 0) {
        m->control = MDT_STOPPED;
        forget_agents(m);
    } else if (strcmp(word, "purge") == 0) {
        purge(m);
    } else {
        return -EINVAL;
    }
    return 0;
}
