/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies that run on calendar times. Expressions have cron's five fields (minute hour
 * day-of-month month day-of-week; lists, ranges, steps, names of months and days) in local time.
 * The schedules are rows of the catalogue; one thread starts those that are due, each run on a
 * thread of its own, and never two of the same schedule. A run that was missed while firnd was down
 * is caught up once.
 */
#ifndef ENGINE_SCHEDULE_H
#define ENGINE_SCHEDULE_H

#include "base/err.h"
#include "base/json.h"

#include <stdbool.h>
#include <stdint.h>

struct catalog;
struct scheduler;

/* A parsed expression: bit n of a field is set when value n matches. */
struct schedule_when {
    uint64_t minutes; /* 0-59 */
    uint32_t hours;   /* 0-23 */
    uint32_t mdays;   /* 1-31 */
    uint16_t months;  /* 1-12 */
    uint8_t wdays;    /* 0-6, Sunday is 0 (7 is folded) */
    bool any_mday;    /* the field began with "*": only the other day field restricts */
    bool any_wday;
};

/* Parses text into *out. Returns 0, or -EINVAL with err naming the field and what is allowed. */
int schedule_parse(const char *text, struct schedule_when *out, struct err *err);

/* The first matching minute behind now_s (both seconds since 1970, the result with second 0 in the
 * time zone of the process), or -1 when none comes within eight years (30 February). As cron: when
 * both day fields restrict, either may match. */
int64_t schedule_next(const struct schedule_when *w, int64_t now_s);

/* What a scheduler needs from outside. */
struct schedule_env {
    struct catalog *catalog; /* borrowed */
    /* Runs a policy: args as op policy.run; lines go to log with log_ctx. Returns as policy_run.
     * Called on a thread of the run's own. */
    int (*run)(void *ctx, const cJSON *args, void (*event)(void *arg, cJSON *event),
               void *event_arg, cJSON **result, struct err *err);
    void *ctx;
    int64_t (*now_s)(void *ctx); /* seconds since 1970; NULL: the system's clock */
};

/* Starts a scheduler; env is copied. With tick_by_hand no thread looks at the clock: the caller
 * calls schedule_tick (tests). Returns 0 with *out (end with schedule_stop) or a negative code with
 * err. */
int schedule_start(const struct schedule_env *env, bool tick_by_hand, struct scheduler **out,
                   struct err *err);

/* Starts nothing more, waits for the runs that are on, frees s. NULL is allowed. */
void schedule_stop(struct scheduler *s);

/* Starts every schedule that is due now. Any thread. */
void schedule_tick(struct scheduler *s);

struct catalog_schedule;

/* The arguments of op policy.run that a run of sched has; new, the caller's. Any thread. */
cJSON *schedule_run_args(const struct catalog_schedule *sched);

/* Waits until no run is on. Any thread. */
void schedule_wait_idle(struct scheduler *s);

/*
 * The operations schedule.list, .set, .delete and .run of firn-protocol(7): args, *result (new, the
 * caller's). Return 0 or a negative code with err. Any thread.
 */
int schedule_list(struct scheduler *s, const cJSON *args, cJSON **result, struct err *err);
/* See schedule_list. The expression and names are checked here; the policy file is read at run
 * time. */
int schedule_set(struct scheduler *s, const cJSON *args, cJSON **result, struct err *err);
/* See schedule_list. A run that is on goes on. */
int schedule_delete(struct scheduler *s, const cJSON *args, cJSON **result, struct err *err);
/* See schedule_list. Starts the schedule now, -EBUSY when it is running. */
int schedule_run(struct scheduler *s, const cJSON *args, cJSON **result, struct err *err);

#endif
