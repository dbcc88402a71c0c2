/* SPDX-License-Identifier: Apache-2.0 */
/* Requests: what may be asked, the records, and where they stand. */
#include "mdt.h"

#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
    uint32_t hsma, hua;
    const char *name;
} actions[] = {
    {HSMA_ARCHIVE, HUA_ARCHIVE, "archive"},
    {HSMA_RESTORE, HUA_RESTORE, "restore"},
    {HSMA_REMOVE, HUA_REMOVE, "remove"},
    {HSMA_CANCEL, HUA_CANCEL, "cancel"},
};
enum { ACTIONS = sizeof actions / sizeof actions[0], MAX_ARCHIVES = 64 };

const char *action_name(uint32_t action)
{
    for (size_t i = 0; i < ACTIONS; i++)
        if (actions[i].hsma == action)
            return actions[i].name;
    return "none";
}

uint32_t action_of_name(const char *name)
{
    for (size_t i = 0; i < ACTIONS; i++)
        if (strcmp(actions[i].name, name) == 0)
            return actions[i].hsma;
    return 0;
}

static uint32_t action_of_hua(uint32_t hua)
{
    for (size_t i = 0; i < ACTIONS; i++)
        if (actions[i].hua == hua)
            return actions[i].hsma;
    return 0;
}

const char *status_name(enum mdt_status status)
{
    static const char *const names[] = {"WAITING", "STARTED", "SUCCEED", "FAILED", "CANCELED"};
    return names[status];
}

static bool urgent(const struct mdt_req *q)
{
    return q->action == HSMA_RESTORE || q->action == HSMA_CANCEL;
}

/* Counts q in (1) or out (-1) of those that wait. */
static void count_waiting(struct mdt *m, const struct mdt_req *q, int n)
{
    m->waiting_count += n;
    m->waiting_urgent += urgent(q) ? n : 0;
    m->waiting_cancels += q->action == HSMA_CANCEL ? n : 0;
}

void request_wait(struct mdt *m, struct mdt_req *q)
{
    if (q->running) {
        DL_DELETE(m->active, q);
        m->active_count--;
        q->running = false;
    }
    q->status = MDT_WAITING;
    q->canceled = false;
    DL_APPEND(m->waiting, q);
    count_waiting(m, q, 1);
    m->want_pass = true;
}

void request_start(struct mdt *m, struct mdt_req *q, const char *client)
{
    DL_DELETE(m->waiting, q);
    count_waiting(m, q, -1);
    DL_APPEND(m->active, q);
    m->active_count++;
    q->running = true;
    q->status = MDT_STARTED;
    q->started_ms = q->updated_ms = mdt_now_ms();
    q->sends++;
    (void)snprintf(q->client, sizeof q->client, "%s", client);
}

void request_finish(struct mdt *m, struct mdt_req *q, enum mdt_status status, int errval)
{
    if (q->running) {
        DL_DELETE(m->active, q);
        m->active_count--;
        int64_t gap = mdt_now_ms() - q->updated_ms;
        q->max_gap_ms = gap > q->max_gap_ms ? gap : q->max_gap_ms;
    } else if (q->status == MDT_WAITING) {
        DL_DELETE(m->waiting, q);
        count_waiting(m, q, -1);
    }
    q->running = false;
    q->status = status;
    q->errval = errval;
    q->ended_ms = mdt_now_ms();
    if (q->file != NULL)
        DL_DELETE2(q->file->reqs, q, fprev, fnext);
    DL_APPEND(m->finished, q);
    m->want_pass = true;
}

void request_forget_old(struct mdt *m)
{
    int64_t limit = mdt_now_ms() - m->set.grace_ms;
    while (m->finished != NULL && m->finished->ended_ms < limit) {
        struct mdt_req *q = m->finished;
        DL_DELETE(m->finished, q);
        if (q->action != HSMA_CANCEL)
            HASH_DELETE(hh, m->reqs, q);
        free(q->data);
        free(q->done);
        free(q);
    }
}

struct mdt_req *request_new(struct mdt *m, uint32_t action, struct mdt_file *f,
                            const struct lu_fid *fid, uint32_t archive_id, uint64_t flags,
                            const void *data, uint32_t len)
{
    struct mdt_req *q = xzalloc(sizeof *q);
    q->action = action;
    q->file = f;
    q->fid = q->dfid = *fid;
    q->extent = (struct hsm_extent){0, FAKE_NONE};
    q->archive_id = archive_id;
    q->flags = flags;
    q->data_len = len;
    q->data = xzalloc((size_t)len + 1);
    if (len > 0)
        memcpy(q->data, data, len);
    q->created_ms = mdt_now_ms();
    if (action != HSMA_CANCEL) {
        q->cookie = ++m->next_cookie;
        HASH_ADD(hh, m->reqs, cookie, sizeof q->cookie, q);
    }
    if (f != NULL)
        DL_APPEND2(f->reqs, q, fprev, fnext);
    request_wait(m, q);
    if (m->waiting_count + m->active_count > m->live_max)
        m->live_max = m->waiting_count + m->active_count;
    return q;
}

struct mdt_req *request_live(const struct mdt_file *f, uint32_t action)
{
    struct mdt_req *q;
    DL_FOREACH2(f->reqs, q, fnext)
    if (q->action != HSMA_CANCEL && (action == 0 || q->action == action))
        return q;
    return NULL;
}

/* What the state of the file says to an action: 1 go, 0 not needed, or -EPERM. */
static int judge(struct mdt_file *f, uint32_t action, uint32_t archive_id)
{
    uint32_t s = f->states;
    switch (action) {
    case HSMA_ARCHIVE:
        if (s & HS_NOARCHIVE)
            return -EPERM;
        if ((s & HS_ARCHIVED) && !(s & HS_DIRTY))
            return 0;
        return (s & HS_EXISTS) && f->archive_id != archive_id ? -EPERM : 1;
    case HSMA_RESTORE:
        if (!(s & HS_RELEASED))
            return 0;
        return !(s & HS_ARCHIVED) || (s & (HS_DIRTY | HS_LOST)) ? -EPERM : 1;
    case HSMA_REMOVE:
        if (s & HS_RELEASED)
            return -EPERM;
        return (s & (HS_ARCHIVED | HS_EXISTS)) ? 1 : 0;
    default:
        return 1;
    }
}

static int check_item(struct mdt *m, uint32_t action, uint32_t archive_id,
                      const struct hsm_user_item *item)
{
    struct mdt_file *f = file_by_fid(m, &item->fid);
    if (action == HSMA_CANCEL)
        return 1;
    if (action == HSMA_RESTORE && item->extent.offset != 0)
        return -EPROTO;
    if (f == NULL || file_refresh(m, f) != 0)
        return action == HSMA_REMOVE ? 1 : -ENOENT;
    int rc = judge(f, action, archive_id);
    if (rc == 1 && m->set.f.dup_filter && request_live(f, 0) != NULL)
        rc = 0; /* dropped */
    return rc;
}

/* A cancel record for the live request of a FID. One that waits still is over at once. */
static void add_cancel(struct mdt *m, const struct hsm_user_item *item, cJSON *cookies)
{
    struct mdt_file *f = file_by_fid(m, &item->fid);
    struct mdt_req *target = f != NULL ? request_live(f, 0) : NULL;
    if (target == NULL)
        return;
    struct mdt_req *q = request_new(m, HSMA_CANCEL, f, &item->fid, target->archive_id, 0, NULL, 0);
    q->cookie = target->cookie;
    q->dfid = target->dfid;
    if (cookies != NULL)
        (void)cJSON_AddItemToArray(cookies, cJSON_CreateNumber((double)q->cookie));
    if (!target->running)
        action_fail(m, target, MDT_CANCELED, ECANCELED); /* and the cancel with it */
}

static void add_one(struct mdt *m, uint32_t action, struct mdt_file *f,
                    const struct hsm_user_item *item, const struct hsm_user_request *hur,
                    uint32_t archive_id, cJSON *cookies)
{
    const char *data = (const char *)&hur->items[hur->itemcount];
    struct mdt_req *q =
        request_new(m, action, f, &item->fid, archive_id, hur->flags, data, hur->data_len);
    q->extent = item->extent;
    if (cookies != NULL)
        (void)cJSON_AddItemToArray(cookies, cJSON_CreateNumber((double)q->cookie));
}

/* A remove without an archive id goes to every archive that somebody serves. By reading. */
static void add_remove(struct mdt *m, struct mdt_file *f, const struct hsm_user_item *item,
                       const struct hsm_user_request *hur, uint32_t archive_id, cJSON *cookies)
{
    int ids[MAX_ARCHIVES];
    bool any;
    int n = agent_archives(m, ids, MAX_ARCHIVES, &any);
    if (archive_id == 0 && !any && n > 0) {
        for (int i = 0; i < n; i++)
            add_one(m, HSMA_REMOVE, f, item, hur, (uint32_t)ids[i], cookies);
        return;
    }
    if (archive_id == 0 && !any)
        archive_id = (uint32_t)m->set.default_archive;
    add_one(m, HSMA_REMOVE, f, item, hur, archive_id, cookies);
}

static void add_item(struct mdt *m, uint32_t action, const struct hsm_user_item *item,
                     const struct hsm_user_request *hur, uint32_t archive_id, cJSON *cookies)
{
    struct mdt_file *f = file_by_fid(m, &item->fid);
    bool alive = f != NULL && file_alive(m, f, NULL);
    if (action == HSMA_CANCEL) {
        add_cancel(m, item, cookies);
        return;
    }
    if (action != HSMA_ARCHIVE && alive && f->archive_id != 0)
        archive_id = f->archive_id;
    if (action == HSMA_REMOVE)
        add_remove(m, alive ? f : NULL, item, hur, archive_id, cookies);
    else
        add_one(m, action, f, item, hur, archive_id, cookies);
}

/* The requesting client releases by itself, file by file, and stops at the first error. */
static int release_all(struct mdt *m, const struct hsm_user_request *hur)
{
    for (uint32_t i = 0; i < hur->itemcount; i++) {
        struct mdt_file *f = file_by_fid(m, &hur->items[i].fid);
        int rc = f != NULL ? file_release(m, f) : -ENOENT;
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* What does not depend on the files. */
static int check_request(const struct mdt *m, const struct hsm_user_request *hur, uint32_t action,
                         uint32_t uid)
{
    if (action == 0 || hur->itemcount == 0)
        return -EINVAL;
    if (uid != 0 && action != HSMA_RESTORE)
        return -EPERM;
    return m->control == MDT_STOPPED || m->control == MDT_INIT ? -EAGAIN : 0;
}

int request_add(struct mdt *m, const struct hsm_user_request *hur, uint32_t uid, cJSON *cookies)
{
    uint32_t action = action_of_hua(hur->action);
    uint32_t archive_id = hur->archive_id;
    if (sizeof *hur + sizeof hur->items[0] * (size_t)hur->itemcount + hur->data_len >
        HSM_REQUEST_MAX)
        return -E2BIG;
    if (hur->action == HUA_RELEASE)
        return release_all(m, hur);
    int allowed = check_request(m, hur, action, uid);
    if (allowed != 0)
        return allowed;
    if (archive_id == 0 && action == HSMA_ARCHIVE)
        archive_id = (uint32_t)m->set.default_archive;
    for (uint32_t i = 0; i < hur->itemcount; i++) {
        int rc = check_item(m, action, archive_id, &hur->items[i]);
        if (rc < 0)
            return rc;
    }
    for (uint32_t i = 0; i < hur->itemcount; i++)
        if (check_item(m, action, archive_id, &hur->items[i]) > 0)
            add_item(m, action, &hur->items[i], hur, archive_id, cookies);
    return action == HSMA_RESTORE && m->set.non_blocking_restore ? -ENODATA : 0;
}
