/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's upkeep, lost ends, figures; and the collection of garbage, which may take long. */
#include "lustre/copytool_impl.h"

#include "base/log.h"
#include "base/timefmt.h"

#define TICK_MS       1000
#define LOST_EVERY    10 /* ticks between tries to tell of ends that were lost */
#define METRICS_S     10
#define COLLECT_MS    60000U
#define GRUMBLE_EVERY 60

void *keeper_main(void *arg)
{
    struct copytool *ct = arg;
    unsigned complaints = 0;
    for (unsigned tick = 0;; tick++) {
        struct err e = {0};
        if (journal_keep(ct->journal, &e) != 0 && complaints++ % GRUMBLE_EVERY == 0)
            log_err("%s", e.text);
        if (e.code == 0)
            complaints = 0;
        if (tick % METRICS_S == 0)
            metrics_write(ct);
        if (tick % LOST_EVERY == LOST_EVERY - 1)
            replay_lost(ct);
        if (copytool_pause(ct, TICK_MS))
            return NULL;
    }
}

void *collector_main(void *arg)
{
    struct copytool *ct = arg;
    unsigned ms = ct->config.collect_ms != 0 ? ct->config.collect_ms : COLLECT_MS;
    while (!copytool_pause(ct, (int)ms)) {
        struct err e = {0};
        uint64_t n = 0;
        if (ct->ops.collect(ct->ops.ctx, &n, &e) < 0)
            log_warn("garbage: %s", e.text);
        (void)atomic_fetch_add(&ct->stats.collected, n);
    }
    return NULL;
}
