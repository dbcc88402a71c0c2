/* SPDX-License-Identifier: Apache-2.0 */
#include "tier/tier.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum op { PUT_BEGIN, PUT_WRITE, PUT_END, SYNC, STAT, GET, REMOVE, LIST, SHOW, OP_COUNT };

static const char *const op_names[OP_COUNT] = {"put_begin", "put_write", "put_end", "sync", "stat",
                                               "get",       "remove",    "list",    "show"};

static const struct {
    const char *name;
    int rc;
} outcomes[] = {
    {"EIO", -EIO},       {"ENOSPC", -ENOSPC},     {"EBADMSG", -EBADMSG}, {"ETIMEDOUT", -ETIMEDOUT},
    {"full", TIER_FULL}, {"absent", TIER_ABSENT},
};

struct plan {
    bool set;
    long at; /* the failing call, counted from 1; 0: all */
    int rc;
    long calls;
};

struct fault {
    struct tier *inner;
    struct tier_ops ops; /* inner's kind and capabilities under our functions */
    struct plan plans[OP_COUNT];
};

/* 0: go on to inner; else the planned outcome of this call. */
static int planned(struct fault *f, enum op op, struct err *err)
{
    struct plan *p = &f->plans[op];
    p->calls++;
    if (!p->set || (p->at != 0 && p->at != p->calls))
        return 0;
    if (p->rc > 0)
        return p->rc;
    return err_sys(err, -p->rc, "%s: injected fault in %s, call %ld", tier_name(f->inner),
                   op_names[op], p->calls);
}

static int fault_put_begin(void *self, const struct tier_object *o, struct err *err)
{
    struct fault *f = self;
    int rc = planned(f, PUT_BEGIN, err);
    return rc != 0 ? rc : tier_put_begin(f->inner, o, err);
}

static int fault_put_write(void *self, uint64_t off, const void *data, size_t n, struct err *err)
{
    struct fault *f = self;
    int rc = planned(f, PUT_WRITE, err);
    return rc != 0 ? rc : tier_put_write(f->inner, off, data, n, err);
}

static int fault_put_end(void *self, const struct tier_xattr *more, size_t nmore,
                         struct tier_location *loc, struct err *err)
{
    struct fault *f = self;
    int rc = planned(f, PUT_END, err);
    return rc != 0 ? rc : tier_put_end(f->inner, more, nmore, loc, err);
}

static void fault_put_abort(void *self)
{
    struct fault *f = self;
    tier_put_abort(f->inner);
}

static int fault_sync(void *self, struct err *err)
{
    struct fault *f = self;
    int rc = planned(f, SYNC, err);
    return rc != 0 ? rc : tier_sync(f->inner, err);
}

static int fault_stat(void *self, const struct uuid *id, const struct tier_location *loc,
                      uint64_t *size, struct err *err)
{
    struct fault *f = self;
    int rc = planned(f, STAT, err);
    return rc != 0 ? rc : tier_verify(f->inner, id, loc, NULL, size, err);
}

static int fault_get(void *self, const struct uuid *id, const struct tier_location *loc, void *buf,
                     size_t cap, tier_sink_fn *sink, void *arg, struct err *err)
{
    struct fault *f = self;
    int rc = planned(f, GET, err);
    return rc != 0 ? rc : tier_get(f->inner, id, loc, buf, cap, sink, arg, err);
}

static int fault_remove(void *self, const struct uuid *id, const struct tier_location *loc,
                        struct err *err)
{
    struct fault *f = self;
    int rc = planned(f, REMOVE, err);
    return rc != 0 ? rc : tier_remove(f->inner, id, loc, err);
}

static int fault_list(void *self, tier_list_fn *fn, void *arg, struct err *err)
{
    struct fault *f = self;
    int rc = planned(f, LIST, err);
    return rc != 0 ? rc : tier_list(f->inner, fn, arg, err);
}

static int fault_show(void *self, const struct uuid *id, const struct tier_location *loc,
                      tier_list_fn *fn, void *arg, struct err *err)
{
    struct fault *f = self;
    int rc = planned(f, SHOW, err);
    return rc != 0 ? rc : tier_show(f->inner, id, loc, fn, arg, err);
}

static void fault_cancel(void *self, bool on)
{
    struct fault *f = self;
    tier_cancel(f->inner, on);
}

static void fault_free(void *self)
{
    struct fault *f = self;
    tier_free(f->inner);
    free(f);
}

static const struct tier_ops fault_ops = {
    .put_begin = fault_put_begin,
    .put_write = fault_put_write,
    .put_end = fault_put_end,
    .put_abort = fault_put_abort,
    .sync = fault_sync,
    .stat = fault_stat,
    .get = fault_get,
    .remove = fault_remove,
    .list = fault_list,
    .show = fault_show,
    .cancel = fault_cancel,
    .free = fault_free,
};

static int parse_outcome(const char *word, struct plan *p)
{
    for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++) {
        if (strcmp(word, outcomes[i].name) == 0) {
            p->rc = outcomes[i].rc;
            return 0;
        }
    }
    return -EINVAL;
}

/* One "op:n:error". */
static int parse_plan(struct fault *f, char *word, struct err *err)
{
    auto_free char *whole = xstrdup(word);
    char *n = strchr(word, ':');
    char *outcome = n != NULL ? strchr(n + 1, ':') : NULL;
    if (outcome == NULL)
        return err_set(err, -EINVAL, "\"%s\" is not op:n:error", whole);
    *n++ = '\0';
    *outcome++ = '\0';
    for (int op = 0; op < OP_COUNT; op++) {
        if (strcmp(word, op_names[op]) != 0)
            continue;
        struct plan *p = &f->plans[op];
        char *end = NULL;
        p->at = strtol(n, &end, 10);
        if (end == n || *end != '\0' || p->at < 0)
            return err_set(err, -EINVAL, "\"%s\": \"%s\" is no count of calls", whole, n);
        if (parse_outcome(outcome, p) != 0)
            return err_set(err, -EINVAL, "\"%s\": unknown error \"%s\"", whole, outcome);
        p->set = true;
        return 0;
    }
    return err_set(err, -EINVAL, "\"%s\": unknown operation \"%s\"", whole, word);
}

int tier_fault_open(struct tier *inner, const char *spec, struct tier **out, struct err *err)
{
    struct fault *f = xzalloc(sizeof(*f));
    auto_free char *copy = xstrdup(spec);
    char *rest = copy;
    for (char *word = strsep(&rest, ","); word != NULL; word = strsep(&rest, ",")) {
        int rc = *word == '\0' ? 0 : parse_plan(f, word, err);
        if (rc < 0) {
            free(f);
            return err_wrap(err, rc, "fault layer");
        }
    }
    f->inner = inner;
    f->ops = fault_ops;
    f->ops.kind = tier_kind(inner);
    f->ops.caps = tier_caps(inner);
    *out = tier_new(&f->ops, f, tier_name(inner));
    return 0;
}
