/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's upkeep, lost ends, figures; and the collection of garbage, which may take long. */
#include "lustre/copytool_impl.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/timefmt.h"

#define TICK_MS       1000
#define METRICS_MS    10000
#define LOST_MS       10000U
#define COLLECT_MS    60000U
#define GRUMBLE_EVERY 60

/* Whether ms have passed since *last_ns, which then is now. */
static bool passed(int64_t *last_ns, unsigned ms)
{
    int64_t now = time_mono_ns();
    if (now - *last_ns < (int64_t)ms * 1000000)
        return false;
    *last_ns = now;
    return true;
}

void *keeper_main(void *arg)
{
    struct copytool *ct = arg;
    unsigned complaints = 0;
    unsigned lost_ms = ct->config.lost_ms != 0 ? ct->config.lost_ms : LOST_MS;
    int64_t metrics_ns = 0, lost_ns = time_mono_ns();
    do {
        struct err e = {0};
        if (journal_keep(ct->journal, &e) != 0 && complaints++ % GRUMBLE_EVERY == 0)
            log_err("%s", e.text);
        if (e.code == 0)
            complaints = 0;
        if (passed(&metrics_ns, METRICS_MS))
            metrics_write(ct);
        if (passed(&lost_ns, lost_ms))
            replay_lost(ct);
    } while (!copytool_pause(ct, lost_ms < TICK_MS ? (int)lost_ms : TICK_MS));
    return NULL;
}

/* Whether a collection begins or has ended. */
static void mark_collecting(struct copytool *ct, bool on)
{
    lock_scope(&ct->lock);
    ct->collecting = on;
    (void)pthread_cond_broadcast(&ct->quiet);
}

void *collector_main(void *arg)
{
    struct copytool *ct = arg;
    unsigned ms = ct->config.collect_ms != 0 ? ct->config.collect_ms : COLLECT_MS;
    while (!copytool_pause(ct, (int)ms)) {
        struct err e = {0};
        uint64_t n = 0;
        mark_collecting(ct, true);
        if (ct->ops.collect(ct->ops.ctx, &n, &e) < 0)
            log_warn("garbage: %s", e.text);
        mark_collecting(ct, false);
        (void)atomic_fetch_add(&ct->stats.collected, n);
    }
    return NULL;
}
