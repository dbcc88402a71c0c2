/* SPDX-License-Identifier: Apache-2.0 */
/* Workers carry actions out; the closer ends those that are refused. */
#include "lustre/copytool_impl.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <string.h>

void refuse_locked(struct copytool *ct, struct action *a, int errval)
{
    a->refusal = errval;
    TAILQ_INSERT_TAIL(&ct->refused, a, link);
    ct->nrefused++;
    (void)atomic_fetch_add(&ct->stats.refused, 1);
    (void)pthread_cond_signal(&ct->to_close);
    (void)pthread_cond_signal(&ct->work);
}

/* A message that came twice: the first one's end is the end. */
static void drop_twin(struct copytool *ct, struct action *a)
{
    struct journal_entry *entry = a->entry;
    (void)atomic_fetch_add(&ct->stats.duplicates, 1);
    log_info("cookie=0x%llx came twice", (unsigned long long)a->lane.cookie);
    action_free(a);
    journal_done(ct->journal, entry);
}

void take_up(struct copytool *ct, struct journal_entry *entry, int errval)
{
    struct action *a = action_new(ct, entry);
    (void)pthread_mutex_lock(&ct->lock);
    int why = errval != 0 ? errval : ct->draining ? EINTR : 0;
    int rc = why == 0 ? lanes_add(ct->lanes, &a->lane) : -why;
    if (rc == 0)
        (void)pthread_cond_signal(&ct->work);
    else if (rc != -EEXIST)
        refuse_locked(ct, a, -rc);
    (void)pthread_mutex_unlock(&ct->lock);
    if (rc == -EEXIST)
        drop_twin(ct, a);
}

/* Restores that waited for the same file have nothing left to do. */
static void already_restored(void *arg, struct lane_entry *e)
{
    refuse_locked(arg, (struct action *)(void *)e, EALREADY);
}

/* a has ended: the journal need not know it any more, unless the end was lost. */
static void settle_journal(struct copytool *ct, struct action *a)
{
    if (a->lost)
        return;
    struct journal_entry *entry = take_ptr(a->entry);
    if (a->hold != NULL)
        action_release(take_ptr(a->hold), true);
    else
        journal_done(ct->journal, entry);
}

/* Frees a, which is in no lane. An end that was lost stays in the journal, to be told again. */
static void forget_locked(struct copytool *ct, struct action *a)
{
    struct journal_entry *entry = a->entry;
    action_free(a);
    if (entry != NULL) {
        entry->replayed = true;
        TAILQ_INSERT_TAIL(&ct->lost, entry, lost);
    }
    (void)pthread_cond_broadcast(&ct->quiet);
}

/* The caller is a worker that looks for work after this. */
static void finish_locked(struct copytool *ct, struct action *a)
{
    bool restored = a->lane.action == HSMA_RESTORE && a->errval == 0 && a->result == 0;
    TAILQ_REMOVE(&ct->running, a, running);
    lanes_done(ct->lanes, &a->lane, restored, already_restored, ct);
    forget_locked(ct, a);
}

/* What a killed copytool may have left in the tier. */
static void settle(struct copytool *ct, const struct action *a)
{
    struct err e = {0};
    const struct journal_entry *entry = a->entry;
    char fid[FID_TEXT_MAX];
    if (!entry->replayed || entry->phase != JOURNAL_WRITING)
        return;
    if (ct->ops.settle(ct->ops.ctx, entry->item, &entry->new_id, &entry->old_id, &e) < 0)
        log_warn("%s: what an earlier try left is not settled: %s", fid_text(&a->lane.fid, fid),
                 e.text);
}

static void carry_out(struct copytool *ct, void *lane, struct action *a)
{
    struct err e = {0};
    char fid[FID_TEXT_MAX];
    settle(ct, a);
    switch (a->lane.action) {
    case HSMA_ARCHIVE:
        (void)ct->ops.archive(lane, a);
        break;
    case HSMA_RESTORE:
        (void)ct->ops.restore(lane, a);
        break;
    default:
        (void)ct->ops.remove(lane, a);
        break;
    }
    action_uses(a, NULL);
    if (action_end(a, EIO, 0, &e) != -EALREADY)
        log_err("%s was not ended by its mover; it is ended with EIO", fid_text(&a->lane.fid, fid));
}

/* Ends a refused action. The lock is held, and free meanwhile. */
static void close_one_locked(struct copytool *ct)
{
    struct err e = {0};
    struct action *a = TAILQ_FIRST(&ct->refused);
    TAILQ_REMOVE(&ct->refused, a, link);
    ct->nrefused--;
    ct->nclosing++;
    (void)pthread_mutex_unlock(&ct->lock);
    if (action_refuse(a, a->refusal, &e) < 0)
        log_warn("%s", e.text);
    settle_journal(ct, a);
    (void)pthread_mutex_lock(&ct->lock);
    ct->nclosing--;
    forget_locked(ct, a);
}

/* An entry that no message has brought: what there is left to do for it. */
static void take_up_again(struct copytool *ct, struct journal_entry *entry)
{
    int why = hai_check(entry->item);
    if (why == 0 && entry->item->action == HSMA_RESTORE)
        why = EINTR; /* the MDT remembers the volatile file that died: only an error can be told */
    take_up(ct, entry, why);
}

void replay(struct copytool *ct)
{
    size_t n = 0;
    auto_free struct journal_entry **entries = journal_entries(ct->journal, &n);
    if (n > 0)
        log_info("%zu actions of an earlier run had no end: they are taken up", n);
    for (size_t i = 0; i < n; i++)
        take_up_again(ct, entries[i]);
}

void replay_lost(struct copytool *ct)
{
    for (;;) {
        (void)pthread_mutex_lock(&ct->lock);
        struct journal_entry *entry = ct->registered ? TAILQ_FIRST(&ct->retry) : NULL;
        if (entry != NULL)
            TAILQ_REMOVE(&ct->retry, entry, lost);
        else
            TAILQ_CONCAT(&ct->retry, &ct->lost, lost); /* the next round's */
        (void)pthread_mutex_unlock(&ct->lock);
        if (entry == NULL)
            return;
        take_up_again(ct, entry);
    }
}

void *closer_main(void *arg)
{
    struct copytool *ct = arg;
    lock_scope(&ct->lock);
    for (;;) {
        while (ct->nrefused == 0 && !ct->quit)
            (void)pthread_cond_wait(&ct->to_close, &ct->lock);
        if (ct->nrefused == 0)
            return NULL;
        close_one_locked(ct);
    }
}

/* The next action for a worker, which has ended the action done (NULL: none) and helps the closer
 * first; NULL when the copytool quits. */
static struct action *next_action(struct copytool *ct, struct action *done)
{
    lock_scope(&ct->lock);
    if (done != NULL)
        finish_locked(ct, done);
    for (;;) {
        struct lane_entry *e = NULL;
        if (ct->nrefused > 1)
            close_one_locked(ct);
        else if ((e = lanes_take(ct->lanes)) != NULL) {
            struct action *a = (struct action *)(void *)e;
            TAILQ_INSERT_TAIL(&ct->running, a, running);
            if (lanes_ready(ct->lanes)) /* an end may let more than one run */
                (void)pthread_cond_signal(&ct->work);
            return a;
        } else if (ct->quit)
            return NULL;
        else
            (void)pthread_cond_wait(&ct->work, &ct->lock);
    }
}

void *worker_main(void *arg)
{
    struct copytool *ct = arg;
    void *lane = ct->ops.lane_open(ct->ops.ctx);
    struct action *a = NULL;
    while ((a = next_action(ct, a)) != NULL) {
        carry_out(ct, lane, a);
        settle_journal(ct, a);
    }
    ct->ops.lane_close(lane);
    return NULL;
}
