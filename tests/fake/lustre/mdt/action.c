/* SPDX-License-Identifier: Apache-2.0 */
/* COPY_START, progress and end, as the coordinator judges them. */
#include "mdt.h"

#include "base/mem.h"

#include <errno.h>
#include <string.h>

/* The running record of a call, or NULL with *rc: stopped, unknown, or a wrong FID. */
static struct mdt_req *running(struct mdt *m, const struct wire_call *c, int *rc)
{
    struct mdt_req *q = NULL;
    *rc = -EAGAIN;
    if (m->control == MDT_STOPPED || m->control == MDT_INIT)
        return NULL;
    HASH_FIND(hh, m->reqs, &c->cookie, sizeof c->cookie, q);
    *rc = -ENOENT;
    if (q == NULL || !q->running || q->swapping)
        return NULL;
    bool unset = fid_equal(&q->dfid, &q->fid);
    if (!fid_equal(&c->fid, &q->fid) && !unset && !fid_equal(&c->fid, &q->dfid)) {
        *rc = -EINVAL;
        return NULL;
    }
    if (!fid_equal(&c->fid, &q->fid) && q->action != HSMA_RESTORE) {
        *rc = -EINVAL;
        return NULL;
    }
    if (unset && q->action == HSMA_RESTORE)
        q->dfid = c->fid; /* the first progress names the volatile */
    *rc = 0;
    return q;
}

static void touch(struct mdt_req *q)
{
    int64_t now = mdt_now_ms(), gap = now - q->updated_ms;
    q->max_gap_ms = gap > q->max_gap_ms ? gap : q->max_gap_ms;
    q->updated_ms = now;
}

/* Ranges are merged from 2.15 on; before, every one counts. */
static void add_extent(struct mdt *m, struct mdt_req *q, const struct hsm_extent *e)
{
    if (e->length == 0)
        return;
    if (!m->set.f.merge_extents || e->length == FAKE_NONE) {
        q->moved = e->length == FAKE_NONE ? FAKE_NONE : q->moved + e->length;
        return;
    }
    uint64_t start = e->offset, end = e->offset + e->length;
    size_t kept = 0;
    for (size_t i = 0; i < q->done_count; i++) {
        struct hsm_extent d = q->done[i];
        if (d.offset > end || d.offset + d.length < start) {
            q->done[kept++] = d;
            continue;
        }
        start = d.offset < start ? d.offset : start;
        end = d.offset + d.length > end ? d.offset + d.length : end;
    }
    q->done = xrealloc_array(q->done, kept + 1, sizeof q->done[0]);
    q->done[kept] = (struct hsm_extent){start, end - start};
    q->done_count = kept + 1;
    q->moved = 0;
    for (size_t i = 0; i < q->done_count; i++)
        q->moved += q->done[i].length;
}

int action_start(struct mdt *m, const struct wire_call *c, struct wire_reply *r)
{
    int rc = knobs_fault(m, "copy_start");
    struct mdt_req *q = NULL;
    HASH_FIND(hh, m->reqs, &c->cookie, sizeof c->cookie, q);
    if (rc != 0) { /* the kernel has closed the request already */
        if (q != NULL && q->running)
            action_fail(m, q, MDT_FAILED, -rc);
        return rc;
    }
    if (m->control == MDT_STOPPED || m->control == MDT_INIT)
        return -EAGAIN;
    if (q == NULL || !q->running || q->swapping)
        return -ENOENT;
    if (q->canceled)
        return -ECANCELED;
    touch(q);
    if (c->action == HSMA_ARCHIVE && q->file != NULL) {
        rc = file_refresh(m, q->file);
        r->dv = file_version(q->file);
        if (rc != 0)
            action_fail(m, q, MDT_FAILED, -rc);
    }
    return rc;
}

int action_progress(struct mdt *m, const struct wire_call *c, struct wire_reply *r)
{
    int rc = knobs_fault(m, "progress");
    if (rc != 0)
        return rc;
    if (c->ext.offset + c->ext.length < c->ext.offset)
        return -EINVAL;
    struct mdt_req *q = running(m, c, &rc);
    knobs_count(m, "progresses", 1);
    if (q == NULL)
        return rc;
    touch(q);
    q->progresses++;
    q->heartbeats += c->ext.length == 0;
    add_extent(m, q, &c->ext);
    r->dv = q->moved;
    return q->canceled ? -ECANCELED : 0;
}

static struct mdt_req *pending_cancel(struct mdt *m, const struct mdt_req *q)
{
    struct mdt_req *c;
    (void)m;
    if (q->file == NULL)
        return NULL;
    DL_FOREACH2(q->file->reqs, c, fnext)
    if (c->action == HSMA_CANCEL && c->cookie == q->cookie)
        return c;
    return NULL;
}

/* Ends a record and the cancel that goes with it. */
static void close_record(struct mdt *m, struct mdt_req *q, enum mdt_status status, int errval)
{
    struct mdt_req *cancel = pending_cancel(m, q);
    bool purged = q->status == MDT_CANCELED;
    if (cancel != NULL)
        request_finish(m, cancel, errval == ECANCELED ? MDT_SUCCEED : MDT_FAILED, 0);
    request_finish(m, q, purged ? MDT_CANCELED : status, errval);
}

static void unwatch(struct mdt *m, const struct mdt_file *f)
{
    int fd = m->fan > 0 ? file_open(m, f, O_RDONLY) : -1;
    if (fd < 0)
        return;
    watch_remove(m, fd);
    (void)close(fd);
}

static void apply_success(struct mdt *m, const struct mdt_req *q, uint64_t dv)
{
    struct mdt_file *f = q->file;
    if (f == NULL)
        return;
    switch (q->action) {
    case HSMA_ARCHIVE:
        f->states = (f->states | HS_ARCHIVED | HS_EXISTS) & ~(uint32_t)(HS_DIRTY | HS_LOST);
        f->archive_id = q->archive_id;
        f->arch_ver = dv;
        break;
    case HSMA_RESTORE:
        unwatch(m, f);
        file_settle(m, f);
        f->states &= ~(uint32_t)HS_RELEASED;
        f->arch_ver = f->dv;
        break;
    default:
        f->states &= HS_NORELEASE | HS_NOARCHIVE;
        f->arch_ver = 0;
    }
}

void action_fail(struct mdt *m, struct mdt_req *q, enum mdt_status status, int errval)
{
    struct mdt_file *f = q->file;
    if (m->set.f.fail_dirty && q->running && f != NULL && q->action == HSMA_ARCHIVE &&
        (f->states & HS_ARCHIVED) && errval != EALREADY)
        f->states |= HS_DIRTY;
    bool restore = q->action == HSMA_RESTORE;
    if (restore && f != NULL && errval == ECANCELED && q->status == MDT_WAITING)
        knobs_count(m, "canceled_waiting", 1);
    close_record(m, q, status, errval);
    if (restore && f != NULL)
        reader_fail(m, f);
}

/* What an end with an error makes of the record. */
static void end_failed(struct mdt *m, const struct wire_call *c, struct mdt_req *q, int errval)
{
    bool retry = (c->hp_flags & HP_FLAG_RETRY) && !m->set.no_retry && !q->canceled;
    if (errval == ECANCELED && !q->canceled) {
        /* Nobody cancelled: recorded as a success, though nothing was done. By reading. */
        knobs_count(m, "canceled_unasked", 1);
        action_fail(m, q, MDT_SUCCEED, errval);
        return;
    }
    if (errval == ENOSYS)
        knobs_count(m, "enosys", 1);
    if (errval < 0 || errval > 0x7e)
        knobs_count(m, "errval_out_of_range", 1);
    if (retry && errval != ENOSYS) {
        knobs_count(m, "retries", 1);
        request_wait(m, q);
        return;
    }
    action_fail(m, q, errval == ECANCELED ? MDT_CANCELED : MDT_FAILED, errval);
}

static int end_restore(struct mdt *m, struct mdt_req *q, int fd, uint64_t conn)
{
    int to = -ENOENT;
    int rc = knobs_fault(m, "swap");
    if (rc == 0 && q->file != NULL && file_alive(m, q->file, NULL))
        to = file_open(m, q->file, O_RDWR);
    int from = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (rc == 0)
        rc = to < 0 ? to : from < 0 ? -ENOENT : 0;
    if (rc != 0) {
        if (to >= 0)
            (void)close(to);
        if (from >= 0)
            (void)close(from);
        action_swapped(m, q->cookie, rc, 0);
        return rc;
    }
    q->swapping = true;
    uint64_t cookie = q->cookie;
    rc = swap_data(m, from, to, cookie, conn);
    if (rc <= 0)
        action_swapped(m, cookie, rc, 0);
    return rc;
}

void action_swapped(struct mdt *m, uint64_t cookie, int rc, uint64_t conn)
{
    struct mdt_req *q = NULL;
    HASH_FIND(hh, m->reqs, &cookie, sizeof cookie, q);
    if (q == NULL)
        return;
    q->swapping = false;
    if (rc == 0) {
        apply_success(m, q, 0);
        close_record(m, q, MDT_SUCCEED, 0);
    } else {
        action_fail(m, q, MDT_FAILED, -rc);
    }
    if (conn != 0)
        server_reply(m, conn, rc, NULL, 0);
}

int action_end(struct mdt *m, const struct wire_call *c, int fd, uint64_t conn)
{
    int errval = c->errval;
    int result = 0, rc = knobs_fault(m, "end");
    if (rc != 0)
        return rc;
    struct mdt_req *q = running(m, c, &rc);
    if (q == NULL) {
        knobs_count(m, rc == -ENOENT ? "unknown_ends" : "refused_ends", 1);
        return rc;
    }
    struct wire_call call = *c;
    touch(q);
    knobs_count(m, "ends", 1);
    add_extent(m, q, &c->ext);
    if (q->action == HSMA_ARCHIVE && errval == 0 && q->file != NULL) {
        rc = file_refresh(m, q->file);
        /* Released when it began and still: what was read may be zeros, if nobody held the reader.
         */
        bool released = rc == 0 && (q->file->states & HS_RELEASED) != 0;
        if (rc != 0 || released || file_version(q->file) != c->dv) {
            errval = rc != 0 ? -rc : EBUSY;
            result = -errval;
            call.hp_flags &= ~(uint32_t)HP_FLAG_RETRY;
        }
    }
    if (errval != 0) {
        end_failed(m, &call, q, errval);
        return result;
    }
    if (q->action == HSMA_RESTORE)
        return end_restore(m, q, fd, conn);
    apply_success(m, q, c->dv);
    close_record(m, q, MDT_SUCCEED, 0);
    return 0;
}
