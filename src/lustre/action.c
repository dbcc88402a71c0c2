/* SPDX-License-Identifier: Apache-2.0 */
#include "lustre/action.h"

#include "base/cleanup.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "lustre/copytool_impl.h"

#include <errno.h>
#include <string.h>

#define ERRNO_MAX 126 /* the changelog has seven bits, of which all ones mean more */
#define HEART_MS  30000U

struct action *action_new(struct copytool *ct, struct journal_entry *entry)
{
    struct action *a = xzalloc(sizeof(*a));
    a->ct = ct;
    a->entry = entry;
    a->fd = -1;
    a->lane = (struct lane_entry){.fid = entry->item->fid,
                                  .cookie = entry->item->cookie,
                                  .action = entry->item->action,
                                  .archive_id = entry->archive_id,
                                  .blocking = (entry->flags & HAL_REQ_BLOCKING) != 0};
    (void)pthread_mutex_init(&a->lock, NULL);
    (void)pthread_cond_init(&a->quiet, NULL);
    return a;
}

void action_free(struct action *a)
{
    (void)pthread_mutex_destroy(&a->lock);
    (void)pthread_cond_destroy(&a->quiet);
    free(a);
}

/* ---- what a worker asks ---- */

const struct hsm_action_item *action_item(const struct action *a)
{
    return a->entry->item;
}

uint64_t action_flags(const struct action *a)
{
    return a->entry->flags;
}

uint32_t action_archive_id(const struct action *a)
{
    return a->entry->archive_id;
}

const void *action_hint(const struct action *a, size_t *len)
{
    *len = a->entry->item->len - sizeof(struct hsm_action_item);
    return a->entry->item->data;
}

bool action_replayed(const struct action *a, struct uuid *old_id, struct uuid *new_id)
{
    const struct journal_entry *e = a->entry;
    static const struct uuid none;
    bool wrote = e->replayed && e->phase == JOURNAL_WRITING;
    if (old_id != NULL)
        *old_id = wrote ? e->old_id : none;
    if (new_id != NULL)
        *new_id = wrote ? e->new_id : none;
    return e->replayed;
}

struct uuid action_new_id(const struct action *a)
{
    const struct journal_entry *e = a->entry;
    return e->phase == JOURNAL_PLANNED ? e->new_id : uuid_new();
}

int action_fd(const struct action *a)
{
    return a->fd;
}

bool action_stopped(const struct action *a)
{
    return atomic_load(&a->stop) != STOP_NONE;
}

/* ---- begin ---- */

static int begin_failed(const struct action *a, int rc, const char *what, struct err *err)
{
    char fid[FID_TEXT_MAX];
    return err_sys(err, rc < 0 ? -rc : EIO, "%s %s, cookie 0x%llx: %s",
                   hai_action_name(a->lane.action), fid_text(&a->lane.fid, fid),
                   (unsigned long long)a->lane.cookie, what);
}

/* After a begin that succeeded: heartbeats from now on. */
static void begun(struct action *a)
{
    char fid[FID_TEXT_MAX];
    lock_scope(&a->lock);
    a->begun_ns = a->beat_ns = a->data_ns = time_mono_ns();
    log_info("%s %s: %s cookie=0x%llx archive=%u%s",
             a->lane.action == HSMA_REMOVE ? "start" : "start copy", fid_text(&a->lane.fid, fid),
             hai_action_name(a->lane.action), (unsigned long long)a->lane.cookie,
             a->entry->archive_id, a->lane.blocking ? ", a reader waits" : "");
}

int action_begin(struct action *a, int mdt_idx, int open_flags, struct err *err)
{
    struct copytool *ct = a->ct;
    int rc = journal_commit(ct->journal, a->entry, err);
    if (rc != 0)
        return rc;
    crash_point(CRASH_lustre_action_journaled);
    if (action_stopped(a))
        return begin_failed(a, -ECANCELED, "stopped before it began", err);
    struct session *s = session_get(ct);
    if (s == NULL)
        return begin_failed(a, -ESHUTDOWN, "not registered", err);
    void *hcp = NULL;
    rc = ct->api->hsm_action_begin(&hcp, s->handle, a->entry->item, mdt_idx, open_flags, false);
    if (rc < 0) {
        session_put(s);
        return begin_failed(a, rc, "the coordinator was not told that it begins", err);
    }
    a->session = s;
    if (a->lane.action != HSMA_REMOVE)
        a->fd = ct->api->hsm_action_get_fd(hcp);
    (void)pthread_mutex_lock(&a->lock);
    a->hcp = hcp;
    (void)pthread_mutex_unlock(&a->lock);
    begun(a);
    crash_point(CRASH_lustre_action_begun);
    if (a->lane.action != HSMA_REMOVE && a->fd < 0) {
        rc = a->fd < 0 ? a->fd : -EBADF;
        a->fd = -1;
        return begin_failed(a, rc, "there is no descriptor of its data", err);
    }
    return 0;
}

int action_dfid(const struct action *a, struct lu_fid *dfid, struct err *err)
{
    if (a->hcp == NULL)
        return begin_failed(a, -EBADF, "not begun", err);
    int rc = a->ct->api->hsm_action_get_dfid(a->hcp, dfid);
    return rc < 0 ? begin_failed(a, rc, "the FID of its data is not known", err) : 0;
}

/* ---- while it runs ---- */

void action_progress(struct action *a, uint64_t n, uint64_t total)
{
    lock_scope(&a->lock);
    a->done = a->done + n < a->done ? UINT64_MAX : a->done + n;
    a->total = total;
}

void action_uses(struct action *a, struct tier *t)
{
    lock_scope(&a->lock);
    if (a->uses != NULL && a->uses != t)
        tier_cancel(a->uses, false);
    a->uses = t;
    if (t != NULL && atomic_load(&a->stop) != STOP_NONE)
        tier_cancel(t, true);
}

void action_stop(struct action *a, enum stop_reason reason)
{
    lock_scope(&a->lock);
    if (atomic_load(&a->stop) != STOP_NONE)
        return;
    atomic_store(&a->stop, (int)reason);
    if (a->uses != NULL)
        tier_cancel(a->uses, true); /* under the lock, so that the tier stays; it does not block */
}

int action_journal(struct action *a, const struct uuid *new_id, const struct uuid *old_id,
                   struct err *err)
{
    int rc = journal_ids(a->ct->journal, a->entry, new_id, old_id, err);
    if (rc == 0)
        crash_point(CRASH_lustre_action_ids);
    return rc;
}

/* Shared by the worker that has the action and who holds it: the last one lets the journal forget.
 */
struct action_hold {
    struct journal *journal;
    struct journal_entry *entry;
    atomic_int owners;
    atomic_bool kept;
};

struct action_hold *action_hold(struct action *a)
{
    a->hold = xzalloc(sizeof(*a->hold));
    a->hold->journal = a->ct->journal;
    a->hold->entry = a->entry;
    atomic_init(&a->hold->owners, 2);
    return a->hold;
}

void action_release(void *hold, bool durable)
{
    struct action_hold *h = hold;
    if (!durable)
        atomic_store(&h->kept, true);
    if (atomic_fetch_sub(&h->owners, 1) > 1)
        return;
    if (!atomic_load(&h->kept))
        journal_done(h->journal, h->entry);
    free(h);
}

/* ---- signs of life ---- */

static int64_t ms_ns(unsigned ms)
{
    return (int64_t)ms * 1000000;
}

bool action_due(struct action *a, int64_t now_ns, int64_t *due_ns)
{
    unsigned beat_ms =
        a->ct->config.heartbeat_ms < HEART_MS ? a->ct->config.heartbeat_ms : HEART_MS;
    lock_scope(&a->lock);
    if (a->ending || a->telling || a->hcp == NULL)
        return false;
    int64_t due = a->beat_ns + ms_ns(beat_ms);
    int64_t data_due = a->data_ns + ms_ns(a->ct->config.update_ms);
    if (a->done > a->reported && data_due < due)
        due = data_due;
    *due_ns = due;
    a->telling = now_ns >= due;
    return a->telling;
}

/* What a progress brought: 0 and what may pass goes on. */
static void judge_progress(struct action *a, int rc)
{
    char fid[FID_TEXT_MAX];
    if (rc == 0 || rc == -EAGAIN)
        return;
    (void)fid_text(&a->lane.fid, fid);
    if (rc == -ECANCELED) {
        log_info("cancelled %s cookie=0x%llx", fid, (unsigned long long)a->lane.cookie);
        action_stop(a, STOP_CANCELLED);
    } else if (rc == -ENOENT || rc == -EINVAL) {
        log_warn("%s cookie=0x%llx: the coordinator has given it up (%s)", fid,
                 (unsigned long long)a->lane.cookie, strerror(-rc));
        action_stop(a, STOP_GONE);
    } else if (rc == -EPERM) {
        copytool_fail(a->ct, EPERM);
    } else {
        log_debug("progress of %s: %s", fid, strerror(-rc));
    }
}

/* Sends the progress; telling is set, so that nobody ends a meanwhile. */
void action_tell(struct action *a, int64_t now_ns)
{
    struct hsm_extent ext = {0};
    (void)pthread_mutex_lock(&a->lock);
    uint64_t total = a->total;
    bool data = a->done > a->reported && now_ns - a->data_ns >= ms_ns(a->ct->config.update_ms);
    if (data) {
        ext = (struct hsm_extent){.offset = a->reported, .length = a->done - a->reported};
        a->data_ns = now_ns;
    }
    (void)pthread_mutex_unlock(&a->lock);
    int rc = a->ct->api->hsm_action_progress(a->hcp, &ext, total, 0);
    judge_progress(a, rc);
    lock_scope(&a->lock);
    if (rc == 0 && data)
        a->reported += ext.length; /* each byte once; what failed is told again */
    a->beat_ns = now_ns;
    a->told = true;
    a->telling = false;
    (void)pthread_cond_broadcast(&a->quiet);
}

/* ---- end ---- */

/* The errno that the coordinator is told. */
static int polite_errno(const struct action *a, int errval)
{
    int stop = atomic_load(&a->stop);
    if (errval == 0)
        return a->hcp == NULL ? EIO : 0;
    if (stop == STOP_CANCELLED)
        return ECANCELED;
    if (stop == STOP_INTERRUPTED && errval == ECANCELED)
        return EINTR;
    if (errval == ECANCELED) /* without a cancel the record would say it succeeded */
        return EINTR;
    if (errval == ENOSYS)
        return EOPNOTSUPP;
    return errval > 0 && errval <= ERRNO_MAX ? errval : EIO;
}

/* Begins and ends with an error: the only thing that may be done without the data. */
static int error_end(struct action *a, int errval)
{
    static const struct hsm_extent none;
    struct copytool *ct = a->ct;
    struct session *s = session_get(ct);
    void *hcp = NULL;
    if (s == NULL)
        return -ESHUTDOWN;
    int rc = ct->api->hsm_action_begin(&hcp, s->handle, a->entry->item, -1, 0, true);
    if (rc >= 0 && hcp != NULL)
        rc = ct->api->hsm_action_end(&hcp, &none, 0, errval);
    session_put(s);
    return rc;
}

/* Waits for a progress that is under way; false when action_end was called before. */
static bool claim_end(struct action *a)
{
    lock_scope(&a->lock);
    if (a->ending)
        return false;
    a->ending = true;
    a->lane.ending = true;
    while (a->telling)
        (void)pthread_cond_wait(&a->quiet, &a->lock);
    return true;
}

/* Watchers of the event FIFO want to see one progress of each copy. */
static void tell_once(struct action *a)
{
    static const struct hsm_extent none;
    const char *fifo = a->ct->config.event_fifo;
    if (fifo != NULL && fifo[0] != '\0' && !a->told && a->lane.action != HSMA_REMOVE)
        judge_progress(a, a->ct->api->hsm_action_progress(a->hcp, &none, a->total, 0));
}

/* The end itself, with what was done and is not reported yet. */
static int real_end(struct action *a, int errval, uint64_t done_bytes)
{
    uint64_t rest = done_bytes > a->reported ? done_bytes - a->reported : 0;
    const struct hsm_extent ext = {.offset = a->reported, .length = rest};
    if (errval == 0)
        tell_once(a);
    crash_point(CRASH_lustre_action_ending);
    int rc = a->ct->api->hsm_action_end(&a->hcp, &ext, 0, errval);
    crash_point(CRASH_lustre_action_ended);
    a->hcp = NULL;
    if (a->fd >= 0)
        (void)close(a->fd);
    a->fd = -1;
    session_put(a->session);
    a->session = NULL;
    if (rc == -EINVAL && !a->ct->api->coordinatool) {
        /* A volatile file that the MDT does not know: the record is still there. */
        int closed = error_end(a, errval != 0 ? errval : EIO);
        return closed == 0 || closed == -ENOENT ? -EINVAL : closed;
    }
    return rc;
}

/* What the answer to an end means for the journal and the mover. */
static int judge_end(struct action *a, int errval, int rc, struct err *err)
{
    char fid[FID_TEXT_MAX];
    (void)fid_text(&a->lane.fid, fid);
    if (rc == 0)
        return 0;
    if (rc == -EBUSY && a->lane.action == HSMA_ARCHIVE && errval == 0)
        return ACTION_CHANGED;
    if (rc == -ENOENT)
        return ACTION_UNRECORDED;
    if (rc == -EINVAL)
        return err_set(err, -EINVAL, "%s: the coordinator knows another file for this action", fid);
    a->lost = !a->ct->api->coordinatool;
    if (rc == -EPERM) {
        copytool_fail(a->ct, EPERM);
        return err_sys(err, EPERM, "%s: the end was refused", fid);
    }
    (void)err_sys(err, rc < 0 ? -rc : EIO, "%s: the end did not reach the coordinator", fid);
    return ACTION_LOST;
}

static void log_end(const struct action *a, int errval, int result, uint64_t bytes)
{
    static const char *const outcomes[] = {
        [0] = "",
        [ACTION_CHANGED] = "; the file changed meanwhile, it is not archived",
        [ACTION_UNRECORDED] = "; the coordinator does not know of it any more",
        [ACTION_LOST] = "; the coordinator was not there, it will be told again"};
    char fid[FID_TEXT_MAX];
    double s = a->begun_ns > 0 ? (double)(time_mono_ns() - a->begun_ns) / 1e9 : 0;
    const char *outcome = result >= 0 && result <= ACTION_LOST ? outcomes[result] : "; not taken";
    (void)fid_text(&a->lane.fid, fid);
    if (errval == 0)
        log_info("%s %s: %llu bytes in %.3f seconds, %s cookie=0x%llx%s",
                 a->lane.action == HSMA_REMOVE ? "removed" : "copied", fid,
                 (unsigned long long)bytes, s, hai_action_name(a->lane.action),
                 (unsigned long long)a->lane.cookie, outcome);
    else
        log_info("failed %s: %s cookie=0x%llx: %s%s", fid, hai_action_name(a->lane.action),
                 (unsigned long long)a->lane.cookie, strerror(errval), outcome);
}

static void count_end(struct action *a, uint64_t bytes)
{
    struct stats *st = &a->ct->stats;
    unsigned kind = stats_kind(a->lane.action);
    int shown = a->result == ACTION_CHANGED ? EBUSY : a->errval;
    (void)atomic_fetch_add(&st->ended[kind][shown < STATS_ERRNOS ? shown : EIO], 1);
    if (a->errval == 0 && a->result == 0)
        (void)atomic_fetch_add(&st->bytes[kind], bytes);
    if (a->result == ACTION_CHANGED)
        (void)atomic_fetch_add(&st->changed, 1);
    if (a->result == ACTION_UNRECORDED)
        (void)atomic_fetch_add(&st->unrecorded, 1);
    if (a->lost)
        (void)atomic_fetch_add(&st->lost, 1);
}

static bool major(int errval)
{
    return errval != 0 && errval != ECANCELED && errval != EINTR && errval != EALREADY &&
           errval != EBUSY;
}

/* Both ways to end come here. */
static int end(struct action *a, int errval, uint64_t bytes, struct err *err)
{
    int rc = a->hcp != NULL ? real_end(a, errval, bytes) : error_end(a, errval);
    int result = judge_end(a, errval, rc, err);
    a->errval = errval;
    a->result = result;
    log_end(a, errval, result, bytes);
    count_end(a, bytes);
    if (a->ct->config.abort_on_error && major(errval))
        copytool_fail(a->ct, errval);
    return result;
}

int action_end(struct action *a, int errval, uint64_t done_bytes, struct err *err)
{
    if (!claim_end(a))
        return err_set(err, -EALREADY, "the action has ended already");
    return end(a, polite_errno(a, errval), done_bytes, err);
}

int action_refuse(struct action *a, int errval, struct err *err)
{
    if (!claim_end(a))
        return err_set(err, -EALREADY, "the action has ended already");
    return end(a, errval, 0, err);
}
