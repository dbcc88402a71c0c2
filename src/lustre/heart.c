/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one thread that makes progress calls: for each begun action one each heartbeat, whatever it
 * waits for, and one with its bytes each update interval. The answers tell of cancels and
 * time-outs.
 */
#include "lustre/copytool_impl.h"

#include "base/cleanup.h"
#include "base/timefmt.h"

#define TICK_MS 250

/* The next action whose progress is due, claimed; it goes to the end of the list. NULL: none. */
static struct action *claim_due(struct copytool *ct, int64_t now_ns)
{
    lock_scope(&ct->lock);
    struct action *a = NULL;
    TAILQ_FOREACH(a, &ct->running, running)
    {
        int64_t due_ns = now_ns;
        if (!action_due(a, now_ns, &due_ns))
            continue;
        TAILQ_REMOVE(&ct->running, a, running);
        TAILQ_INSERT_TAIL(&ct->running, a, running);
        atomic_store(&ct->stats.beat_lag_ns, now_ns - due_ns);
        return a;
    }
    return NULL;
}

void *heart_main(void *arg)
{
    struct copytool *ct = arg;
    do {
        struct action *a = NULL;
        while ((a = claim_due(ct, time_mono_ns())) != NULL) {
            action_tell(a, time_mono_ns());
            (void)atomic_fetch_add(&ct->stats.beats, 1);
        }
    } while (!copytool_pause(ct, TICK_MS));
    return NULL;
}
