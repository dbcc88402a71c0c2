/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named crash points. crash_point(CRASH_x) does nothing, unless the environment names the point in
 * FIRN_CRASH_POINT as "name" or "name:N" (die at the Nth hit): then the process kills itself with
 * SIGKILL. One row in crash_points.def makes a point; the crash tests kill at every row. Any
 * thread.
 */
#ifndef BASE_CRASH_H
#define BASE_CRASH_H

enum crash_id {
#define CRASH_POINT(id, when) CRASH_##id,
#include "base/crash_points.def"
#undef CRASH_POINT
    CRASH_COUNT
};

/* Dies here if the environment asks for it; else returns at once. */
void crash_point(enum crash_id id);

/* The name of point id and what holds at it; static strings. when may be NULL. */
const char *crash_point_name(enum crash_id id, const char **when);

#endif
