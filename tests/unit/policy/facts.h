/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An object with facts written down, for tests of the policy evaluator; it counts how often each
 * kind of fact is asked for. Header only, one thread.
 */
#ifndef TESTS_UNIT_POLICY_FACTS_H
#define TESTS_UNIT_POLICY_FACTS_H

#include "policy/policy.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

struct fact_xattr {
    const char *name;
    const char *value;
    size_t len; /* 0: strlen(value) */
};

struct facts {
    const char *path;
    const char *fileset; /* NULL: root */
    const char *pool;    /* NULL: system */
    unsigned char d_type;
    struct statx stx;
    struct fact_xattr xattrs[8];
    enum policy_state state;
    unsigned flags;
    int stat_error;
    unsigned n_stat, n_xattr, n_state; /* times asked */
    char set_name[64], set_value[64];  /* by SETXATTR */
};

static int facts_path(void *ctx, const char **path, size_t *len)
{
    struct facts *f = ctx;
    *path = f->path;
    *len = strlen(f->path);
    return 0;
}

static int facts_fileset(void *ctx, const char **name)
{
    struct facts *f = ctx;
    *name = f->fileset;
    return 0;
}

static int facts_pool(void *ctx, const char **name)
{
    struct facts *f = ctx;
    *name = f->pool;
    return 0;
}

static int facts_stat(void *ctx, const struct statx **stx)
{
    struct facts *f = ctx;
    f->n_stat++;
    *stx = &f->stx;
    return f->stat_error;
}

static ssize_t facts_xattr(void *ctx, const char *name, char *buf, size_t cap)
{
    struct facts *f = ctx;
    f->n_xattr++;
    for (size_t i = 0; i < 8 && f->xattrs[i].name != NULL; i++) {
        if (strcmp(f->xattrs[i].name, name) != 0)
            continue;
        size_t n = f->xattrs[i].len > 0 ? f->xattrs[i].len : strlen(f->xattrs[i].value);
        if (n > cap)
            return -ERANGE;
        memcpy(buf, f->xattrs[i].value, n);
        return (ssize_t)n;
    }
    return -ENODATA;
}

static ssize_t facts_xattr_list(void *ctx, char *buf, size_t cap)
{
    struct facts *f = ctx;
    size_t len = 0;
    for (size_t i = 0; i < 8 && f->xattrs[i].name != NULL; i++) {
        size_t n = strlen(f->xattrs[i].name) + 1;
        if (len + n > cap)
            return -ERANGE;
        memcpy(buf + len, f->xattrs[i].name, n);
        len += n;
    }
    return (ssize_t)len;
}

static int facts_state(void *ctx, enum policy_state *state, unsigned *flags)
{
    struct facts *f = ctx;
    f->n_state++;
    *state = f->state;
    *flags = f->flags;
    return 0;
}

static int facts_set_xattr(void *ctx, const char *name, const char *value, size_t len)
{
    struct facts *f = ctx;
    (void)snprintf(f->set_name, sizeof(f->set_name), "%s", name);
    (void)snprintf(f->set_value, sizeof(f->set_value), "%.*s", (int)len, value);
    return 0;
}

static const struct policy_facts_ops facts_ops = {
    .path = facts_path,
    .fileset = facts_fileset,
    .pool = facts_pool,
    .stat = facts_stat,
    .xattr = facts_xattr,
    .xattr_list = facts_xattr_list,
    .state = facts_state,
    .set_xattr = facts_set_xattr,
};

/* The object of f. */
static inline struct policy_object facts_object(struct facts *f)
{
    const char *name = strrchr(f->path, '/') + 1;
    return (struct policy_object){.name = name,
                                  .name_len = strlen(name),
                                  .d_type = f->d_type != 0 ? f->d_type : DT_REG,
                                  .ops = &facts_ops,
                                  .ctx = f};
}

#endif
