/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time behind an interface, so that the tape model and the queues can run on simulated seconds. The
 * real clock is shared and needs no care; a simulated clock may be used by any thread.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

struct clock;

/* The system's clock: monotonic ns, real sleeps. Static; never freed. */
struct clock *clock_real(void);

/* A clock that starts at 0 ns and moves only by clock_sleep_ns. Free with clock_free. */
struct clock *clock_new_simulated(void);

/* Frees a simulated clock; NULL and the real clock are allowed (and left alone). */
void clock_free(struct clock *c);

/* Now, in ns since a fixed point of this clock. */
int64_t clock_now_ns(struct clock *c);

/* Lets ns (>= 0) pass: sleeps on the real clock, jumps on a simulated one. */
void clock_sleep_ns(struct clock *c, int64_t ns);

#endif
