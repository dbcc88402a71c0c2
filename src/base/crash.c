/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crash.h"

#include "base/mem.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    const char *when;
} points[CRASH_COUNT] = {
#define CRASH_POINT(id, when) {#id, when},
#include "base/crash_points.def"
#undef CRASH_POINT
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int armed = -1; /* the id to die at, or -1 */
static atomic_long hits_left;

static void read_environment(void)
{
    const char *env = getenv("FIRN_CRASH_POINT");
    if (env == NULL)
        return;
    const char *colon = strchr(env, ':');
    size_t n = colon != NULL ? (size_t)(colon - env) : strlen(env);
    for (int i = 0; i < CRASH_COUNT; i++) {
        if (strlen(points[i].name) == n && strncmp(points[i].name, env, n) == 0)
            armed = i;
    }
    atomic_store(&hits_left, colon != NULL ? strtol(colon + 1, NULL, 10) : 1);
}

void crash_point(enum crash_id id)
{
    (void)pthread_once(&once, read_environment);
    if ((int)id == armed && atomic_fetch_sub(&hits_left, 1) == 1)
        (void)raise(SIGKILL);
}

const char *crash_point_name(enum crash_id id, const char **when)
{
    if (when != NULL)
        *when = points[id].when;
    return points[id].name;
}
