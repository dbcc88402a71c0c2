/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ends are seen in the files' states. A look costs the MDT little; asking what the coordinator does
 * for a file costs it a search of its queue, so that is done seldom, and only for files that take
 * longer than the others: it tells a failed action from one that waits.
 */
#include "base/cleanup.h"
#include "base/timefmt.h"
#include "lustre/stager_impl.h"

#include <errno.h>

#define LOOKS_MAX    512 /* states asked for in one go */
#define AGAIN_MIN_NS (NS_PER_SEC / 2)
#define AGAIN_MAX_NS (30 * NS_PER_SEC)
#define SUSPECT_NS   (5 * NS_PER_SEC) /* younger requests are not asked about */
#define ASK_AGAIN_NS (2 * NS_PER_SEC) /* at least between two questions for a file */
#define ASK_SHARE    5                /* of so many states asked for, one may be an action */

static int64_t between(int64_t v, int64_t min, int64_t max)
{
    return v < min ? min : v > max ? max : v;
}

static void earn_tokens(struct stager *s)
{
    double rate = s->cfg->polls_per_s > 0 ? s->cfg->polls_per_s : 500;
    double dt = (double)(s->now_ns - s->round_ns) / (double)NS_PER_SEC;
    s->tokens += dt * rate;
    if (s->tokens > rate)
        s->tokens = rate;
    s->action_tokens += dt * rate / ASK_SHARE;
    if (s->action_tokens > rate / ASK_SHARE)
        s->action_tokens = rate / ASK_SHARE < 1 ? 1 : rate / ASK_SHARE;
}

/* Whether it is time to ask what the coordinator does for it. */
static bool is_suspect(const struct stager *s, const struct stager_item *it)
{
    int64_t age = s->now_ns - it->sent_ns;
    if (it->step == STAGER_CANCEL || it->hinted)
        return true;
    if (age < between(3 * s->latency_ns, SUSPECT_NS, 60 * NS_PER_SEC))
        return false;
    return s->now_ns - it->asked_ns >= between(age / 4, ASK_AGAIN_NS, 600 * NS_PER_SEC);
}

static bool wants_action(struct stager *s, struct stager_item *it)
{
    if (!is_suspect(s, it) || s->action_tokens < 1 || s->cfg->api->hsm_current_action == NULL)
        return false;
    s->action_tokens -= 1;
    it->hinted = false;
    return true;
}

static size_t pick_due(struct stager *s, struct stager_item **items)
{
    size_t n = 0;
    for (struct stager_item *it = s->sent.head; it != NULL && n < LOOKS_MAX; it = it->next) {
        if (s->tokens < 1)
            break;
        if (it->due_ns > s->now_ns)
            continue;
        s->tokens -= 1;
        it->ask_action = wants_action(s, it);
        items[n++] = it;
    }
    return n;
}

static void reached(struct stager *s, struct stager_item *it)
{
    int64_t took = s->now_ns - it->sent_ns;
    s->latency_ns = s->latency_ns == 0 ? took : s->latency_ns + (took - s->latency_ns) / 16;
    if (it->step == STAGER_ARCHIVE && it->hint->release) {
        it->step = STAGER_RELEASE;
        it->alone = false;
        stager_unshift(&s->ready, it);
        return;
    }
    stager_finish(s, it, STAGER_DONE, 0, "");
}

static const char *why_it_ended(const struct stager_item *it)
{
    switch (it->step) {
    case STAGER_ARCHIVE:
        return (it->state.states & HS_DIRTY) != 0
                   ? "it was written to while it was archived, or the copytool failed; its log "
                     "says which"
                   : "the archive ended without a copy; the copytool's log says why";
    case STAGER_RESTORE:
        return "the restore ended and the file is still released; the copytool's log says why";
    case STAGER_REMOVE:
        return "the removal ended and the copy is still there; the copytool's log says why";
    case STAGER_RELEASE:
    case STAGER_CANCEL:
        break;
    }
    return "the coordinator ended it";
}

/* Still on its way, or ended in failure: what the coordinator says about it, if it was asked. */
static void unfinished(struct stager *s, struct stager_item *it)
{
    int64_t age = s->now_ns - it->sent_ns;
    if (it->ask_action && it->action_known && !stager_in_hand(it)) {
        stager_take(&s->sent, it);
        stager_failed(s, it, EIO, why_it_ended(it));
    } else if (s->cfg->timeout_ns > 0 && age > s->cfg->timeout_ns) {
        stager_take(&s->sent, it);
        stager_finish(s, it, STAGER_FAILED, ETIMEDOUT,
                      "no end was seen in time; its request stays in the coordinator's queue");
    } else {
        it->due_ns = s->now_ns + between(age / 3, AGAIN_MIN_NS, AGAIN_MAX_NS);
    }
}

static void cancelled(struct stager *s, struct stager_item *it)
{
    if (s->cfg->api->hsm_current_action == NULL) {
        stager_take(&s->sent, it);
        stager_finish(s, it, STAGER_QUEUED, 0, "this liblustreapi cannot tell when it has ended");
    } else if (it->ask_action && it->action_known && !stager_in_hand(it)) {
        stager_take(&s->sent, it);
        reached(s, it);
    } else {
        it->ask_action = false;
        unfinished(s, it);
    }
}

static void vanished(struct stager *s, struct stager_item *it)
{
    stager_take(&s->sent, it);
    if (it->step == STAGER_REMOVE || it->step == STAGER_CANCEL)
        stager_finish(s, it, STAGER_QUEUED, 0,
                      "the file is gone; what was asked for it goes on in the background");
    else
        stager_finish(s, it, STAGER_FAILED, ENOENT, "it was deleted meanwhile");
}

static void seen(struct stager *s, struct stager_item *it)
{
    int errnum = 0;
    const char *reason = "";
    if (it->rc < 0 && it->gone) {
        vanished(s, it);
        return;
    }
    if (it->rc < 0) { /* the MDT does not answer now, or the like */
        it->ask_action = false;
        unfinished(s, it);
        return;
    }
    if (it->step == STAGER_CANCEL) {
        cancelled(s, it);
        return;
    }
    enum stager_verdict v =
        stager_judge(it->step, it->hint, it->state.states, it->state.archive_id, &errnum, &reason);
    if (v == STAGER_REACHED) {
        stager_take(&s->sent, it);
        reached(s, it);
    } else {
        unfinished(s, it);
    }
}

/* Failed ones whose pause is over. */
static void wake_delayed(struct stager *s)
{
    struct stager_item *next = NULL;
    for (struct stager_item *it = s->delayed.head; it != NULL; it = next) {
        next = it->next;
        if (it->due_ns > s->now_ns)
            continue;
        stager_take(&s->delayed, it);
        stager_unshift(&s->ready, it);
    }
}

void stager_watch(struct stager *s)
{
    struct stager_item *items[LOOKS_MAX];
    earn_tokens(s);
    wake_delayed(s);
    size_t n = pick_due(s, items);
    stager_pool_run(s->pool, stager_look, items, n);
    s->counts.polls += n;
    for (size_t i = 0; i < n; i++)
        seen(s, items[i]);
    s->counts.outstanding = s->sent.n;
}
