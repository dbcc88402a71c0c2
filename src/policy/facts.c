/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facts of the object under evaluation, each asked for at most once. A failure is kept in ev->fail
 * and the fact reads as NULL, so that evaluators need not check.
 */
#include "policy/policy_impl.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <string.h>

static void note_fail(struct policy_eval *ev, int rc)
{
    if (rc < 0 && ev->fail == 0)
        ev->fail = rc;
}

const char *policy_fact_path(struct policy_eval *ev, size_t *len)
{
    if (!ev->has_path) {
        ev->has_path = true;
        ev->path = ev->obj->name;
        ev->path_len = ev->obj->name_len;
        if (ev->obj->ops->path != NULL)
            note_fail(ev, ev->obj->ops->path(ev->obj->ctx, &ev->path, &ev->path_len));
    }
    *len = ev->path_len;
    return ev->path;
}

const struct statx *policy_fact_stat(struct policy_eval *ev)
{
    if (!ev->stat_asked) {
        ev->stat_asked = true;
        if (ev->obj->ops->stat != NULL) {
            int rc = ev->obj->ops->stat(ev->obj->ctx, &ev->stx);
            if (rc < 0)
                ev->stx = NULL;
            note_fail(ev, rc);
        }
    }
    return ev->stx;
}

const char *policy_fact_pool(struct policy_eval *ev)
{
    if (ev->pool == NULL) {
        if (ev->obj->ops->pool != NULL)
            note_fail(ev, ev->obj->ops->pool(ev->obj->ctx, &ev->pool));
        if (ev->pool == NULL)
            ev->pool = POLICY_DEFAULT_POOL;
    }
    return ev->pool;
}

const char *policy_fact_fileset(struct policy_eval *ev)
{
    if (ev->fileset == NULL) {
        if (ev->obj->ops->fileset != NULL)
            note_fail(ev, ev->obj->ops->fileset(ev->obj->ctx, &ev->fileset));
        if (ev->fileset == NULL)
            ev->fileset = "root";
    }
    return ev->fileset;
}

unsigned char policy_fact_type(struct policy_eval *ev)
{
    if (ev->obj->d_type != DT_UNKNOWN)
        return ev->obj->d_type;
    const struct statx *stx = policy_fact_stat(ev);
    return stx != NULL ? (unsigned char)IFTODT(stx->stx_mode) : DT_UNKNOWN;
}

enum policy_state policy_fact_state(struct policy_eval *ev, unsigned *flags)
{
    if (!ev->has_state) {
        ev->has_state = true;
        ev->state = POLICY_RESIDENT;
        ev->flags = 0;
        if (ev->obj->ops->state != NULL)
            note_fail(ev, ev->obj->ops->state(ev->obj->ctx, &ev->state, &ev->flags));
    }
    if (flags != NULL)
        *flags = ev->flags;
    return ev->state;
}

int64_t policy_fact_kb(struct policy_eval *ev)
{
    const struct statx *stx = policy_fact_stat(ev);
    return stx != NULL ? (int64_t)((stx->stx_blocks + 1) / 2) : 0;
}

typedef ssize_t xattr_fn(void *ctx, const char *name, char *buf, size_t cap);

void policy_fact_xattr(struct policy_eval *ev, const char *name, struct policy_value *out)
{
    const struct policy_facts_ops *ops = ev->obj->ops;
    xattr_fn *fn = ops->xattr;
    if (strncmp(name, "dmapi.", 6) == 0 && ops->virtual_xattr != NULL)
        fn = ops->virtual_xattr;
    ssize_t n = -ENODATA;
    while (fn != NULL) {
        n = fn(ev->obj->ctx, name, ev->xbuf, ev->xbuf_cap);
        if (n != -ERANGE || ev->xbuf_cap > POLICY_XATTR_MAX)
            break;
        ev->xbuf_cap = ev->xbuf_cap < 4096 ? 4096 : POLICY_XATTR_MAX + 1;
        ev->xbuf = xrealloc_array(ev->xbuf, ev->xbuf_cap, 1);
    }
    if (n < 0) {
        if (n != -ENODATA)
            note_fail(ev, (int)n);
        policy_set_null(out);
        return;
    }
    policy_set_str(out, policy_arena_dup(&ev->scratch, ev->xbuf, (size_t)n), (size_t)n);
}

double policy_pool_percent(const struct policy *p, const struct policy_pool *pools, size_t n,
                           const char *name)
{
    uint64_t used = 0, total = 0;
    size_t members = 0;
    const struct policy_member *m = policy_group(p, name, &members);
    struct policy_member self = {.pool = name};
    if (m == NULL) {
        m = &self;
        members = 1;
    }
    for (size_t j = 0; j < members; j++) {
        for (size_t i = 0; i < n; i++) {
            if (strcmp(pools[i].name, m[j].pool) != 0)
                continue;
            used += pools[i].used_kb;
            total += pools[i].total_kb;
        }
    }
    return total > 0 ? 100.0 * (double)used / (double)total : NAN;
}
