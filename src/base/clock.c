/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include "base/mem.h"
#include "base/timefmt.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

struct clock {
    bool simulated;
    _Atomic int64_t now_ns;
};

static struct clock the_real_clock;

struct clock *clock_real(void)
{
    return &the_real_clock;
}

struct clock *clock_new_simulated(void)
{
    struct clock *c = xzalloc(sizeof(*c));
    c->simulated = true;
    return c;
}

void clock_free(struct clock *c)
{
    if (c != NULL && c->simulated)
        free(c);
}

int64_t clock_now_ns(struct clock *c)
{
    return c->simulated ? atomic_load(&c->now_ns) : time_mono_ns();
}

void clock_sleep_ns(struct clock *c, int64_t ns)
{
    if (c->simulated) {
        (void)atomic_fetch_add(&c->now_ns, ns);
        return;
    }
    struct timespec ts = {.tv_sec = ns / NS_PER_SEC, .tv_nsec = ns % NS_PER_SEC};
    while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
        ;
}
