/* SPDX-License-Identifier: Apache-2.0 */
/* Versions, settings, faults on demand, counters. */
#include "mdt.h"

#include "base/mem.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum knob_kind { KNOB_INT, KNOB_BOOL };
static const struct knob {
    const char *name;
    enum knob_kind kind;
    size_t offset;
} knobs[] = {
#define INT(n)                                                                                     \
    {                                                                                              \
#n, KNOB_INT, offsetof(struct mdt_settings, n)                                             \
    }
#define BOOL(n)                                                                                    \
    {                                                                                              \
#n, KNOB_BOOL, offsetof(struct mdt_settings, n)                                            \
    }
#define FEATURE(n)                                                                                 \
    {                                                                                              \
#n, KNOB_BOOL, offsetof(struct mdt_settings, f.n)                                          \
    }
    INT(max_requests),
    INT(loop_period_ms),
    INT(wake_ms),
    INT(grace_ms),
    INT(timeout_ms),
    INT(default_archive),
    INT(stall_limit_ms),
    BOOL(no_retry),
    BOOL(non_blocking_restore),
    BOOL(raolu),
    BOOL(kernel_reads),
    FEATURE(dup_filter),
    FEATURE(restore_protect),
    FEATURE(remove_open),
    FEATURE(restore_dfid),
    FEATURE(recv_whole),
    FEATURE(fail_dirty),
    FEATURE(blocking_flag),
    FEATURE(merge_extents),
};
enum { KNOBS = sizeof knobs / sizeof knobs[0] };

/* In the order of struct mdt_features. */
static const struct version {
    const char *name, *text;
    struct mdt_features f;
} versions[] = {
    {"2.12", "2.12.9", {.dup_filter = true}},
    {"2.15", "2.15.7", {.restore_protect = true, .remove_open = true, .merge_extents = true}},
    {"2.17",
     "2.17.0",
     {.restore_protect = true,
      .remove_open = true,
      .restore_dfid = true,
      .blocking_flag = true,
      .merge_extents = true}},
    {"2.17.57",
     "2.17.57",
     {.restore_protect = true,
      .remove_open = true,
      .restore_dfid = true,
      .recv_whole = true,
      .fail_dirty = true,
      .blocking_flag = true,
      .merge_extents = true}},
};

int knobs_version(struct mdt_settings *s, const char *version)
{
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        if (strcmp(versions[i].name, version) != 0)
            continue;
        s->f = versions[i].f;
        (void)snprintf(s->version, sizeof s->version, "%s", versions[i].text);
        return 0;
    }
    return -EINVAL;
}

int knobs_set(struct mdt *m, const char *name, const cJSON *value)
{
    if (strcmp(name, "version") == 0)
        return cJSON_IsString(value) ? knobs_version(&m->set, value->valuestring) : -EINVAL;
    for (size_t i = 0; i < KNOBS; i++) {
        if (strcmp(knobs[i].name, name) != 0)
            continue;
        char *at = (char *)&m->set + knobs[i].offset;
        if (knobs[i].kind == KNOB_BOOL && cJSON_IsBool(value))
            *(bool *)at = cJSON_IsTrue(value);
        else if (knobs[i].kind == KNOB_INT && cJSON_IsNumber(value))
            *(int64_t *)at = (int64_t)value->valuedouble;
        else
            return -EINVAL;
        m->want_pass = true;
        m->time_out_ms = 0;
        return m->set.kernel_reads ? watch_start(m) : 0;
    }
    return -EINVAL;
}

cJSON *knobs_get(const struct mdt *m)
{
    cJSON *out = cJSON_CreateObject();
    json_add_str(out, "version", m->set.version);
    for (size_t i = 0; i < KNOBS; i++) {
        const char *at = (const char *)&m->set + knobs[i].offset;
        if (knobs[i].kind == KNOB_BOOL)
            (void)cJSON_AddBoolToObject(out, knobs[i].name, *(const bool *)at);
        else
            json_add_int(out, knobs[i].name, *(const int64_t *)at);
    }
    return out;
}

static void publish_armed(struct mdt *m)
{
    uint32_t n = 0;
    for (const struct mdt_fault *f = m->faults; f != NULL; f = f->next)
        n += f->count != 0;
    atomic_store(m->armed, n);
}

void knobs_arm(struct mdt *m, const char *name, int errval, int64_t skip, int64_t count)
{
    struct mdt_fault *f;
    LL_SEARCH_SCALAR(m->faults, f, count, 0); /* a spent one */
    for (struct mdt_fault *g = m->faults; g != NULL; g = g->next)
        if (strcmp(g->name, name) == 0)
            f = g;
    if (f == NULL) {
        f = xzalloc(sizeof *f);
        LL_PREPEND(m->faults, f);
    }
    (void)snprintf(f->name, sizeof f->name, "%s", name);
    f->errval = errval;
    f->skip = skip;
    f->count = count;
    publish_armed(m);
}

int knobs_fault(struct mdt *m, const char *name)
{
    for (struct mdt_fault *f = m->faults; f != NULL; f = f->next) {
        if (f->count == 0 || strcmp(f->name, name) != 0)
            continue;
        if (f->skip > 0) {
            f->skip--;
            return 0;
        }
        f->count -= f->count > 0;
        publish_armed(m);
        knobs_count(m, "faults", 1);
        return -f->errval;
    }
    return 0;
}

void knobs_count(struct mdt *m, const char *name, int64_t n)
{
    struct mdt_counter *c = NULL;
    HASH_FIND_STR(m->counters, name, c);
    if (c == NULL) {
        c = xzalloc(sizeof *c);
        (void)snprintf(c->name, sizeof c->name, "%s", name);
        HASH_ADD_STR(m->counters, name, c);
    }
    c->value += n;
}
