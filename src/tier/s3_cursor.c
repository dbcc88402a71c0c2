/* SPDX-License-Identifier: Apache-2.0 */
/* The objects of several buckets in the order of their keys: one page of each bucket is held, and
 * the least key of them is next. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "tier/s3_impl.h"

#include <ctype.h>
#include <string.h>

#define PAGE      1000
#define PAGE_FULL 1000000 /* ends a list when a page is there; no outcome of the store's */

struct item {
    char *key;
    uint64_t size;
    int64_t modified_ns;
};

struct cursor {
    char *bucket;
    struct item items[PAGE];
    size_t n, at;
    char *after; /* the last key of the page before */
    bool ended;
};

struct cursors {
    struct cursor **list;
    size_t n;
};

static void cursor_free(struct cursor *c)
{
    for (size_t i = 0; i < c->n; i++)
        free(c->items[i].key);
    free(c->after);
    free(c->bucket);
    free(c);
}

static void cursors_fini(struct cursors *cs)
{
    for (size_t i = 0; i < cs->n; i++)
        cursor_free(cs->list[i]);
    free(cs->list);
}

static void add_bucket(struct cursors *cs, const char *bucket)
{
    for (size_t i = 0; i < cs->n; i++) {
        if (strcmp(cs->list[i]->bucket, bucket) == 0)
            return;
    }
    struct cursor *c = xzalloc(sizeof(*c));
    c->bucket = xstrdup(bucket);
    cs->list = xrealloc_array(cs->list, cs->n + 1, sizeof(struct cursor *));
    cs->list[cs->n++] = c;
}

struct matching {
    struct cursors *cursors;
    const struct s3_tier *s;
};

/* "<prefix>", or "<prefix><separator><number>". */
static int add_matching(void *arg, const char *bucket, struct err *err)
{
    struct matching *m = arg;
    size_t prefix = strlen(m->s->bucket_prefix);
    size_t separator = strlen(m->s->bucket_separator);
    (void)err;
    if (strncmp(bucket, m->s->bucket_prefix, prefix) != 0)
        return 0;
    const char *rest = bucket + prefix;
    if (*rest != '\0') {
        if (strncmp(rest, m->s->bucket_separator, separator) != 0)
            return 0;
        rest += separator;
        if (*rest == '\0' || strspn(rest, "0123456789") != strlen(rest))
            return 0;
    }
    add_bucket(m->cursors, bucket);
    return 0;
}

static int take_item(void *arg, const struct store_item *item, struct err *err)
{
    struct cursor *c = arg;
    (void)err;
    c->items[c->n++] = (struct item){xstrdup(item->key), item->size, item->modified_ns};
    return c->n == PAGE ? PAGE_FULL : 0;
}

/* Sees to it that the cursor has an item, unless its bucket has none left. */
static int fill(struct s3_lane *l, struct cursor *c, const char *prefix, struct err *err)
{
    if (c->at < c->n || c->ended)
        return 0;
    if (c->n > 0) {
        free(c->after);
        c->after = take_ptr(c->items[c->n - 1].key);
    }
    for (size_t i = 0; i < c->n; i++)
        free(c->items[i].key);
    c->n = c->at = 0;
    int rc = store_list(l->s->store, c->bucket, prefix, c->after != NULL ? c->after : "", take_item,
                        c, &l->cancel, err);
    c->ended = rc != PAGE_FULL;
    return rc < 0 ? err_wrap(err, rc, "listing bucket %s", c->bucket) : 0;
}

static int least(struct s3_lane *l, struct cursors *cs, const char *prefix, struct cursor **out,
                 struct err *err)
{
    *out = NULL;
    for (size_t i = 0; i < cs->n; i++) {
        struct cursor *c = cs->list[i];
        int rc = fill(l, c, prefix, err);
        if (rc < 0)
            return rc;
        if (c->at < c->n &&
            (*out == NULL || strcmp(c->items[c->at].key, (*out)->items[(*out)->at].key) < 0))
            *out = c;
    }
    return 0;
}

int s3_each_object(struct s3_lane *l, const char *prefix, s3_met_fn *fn, void *arg, struct err *err)
{
    __attribute__((cleanup(cursors_fini))) struct cursors cs = {0};
    struct matching m = {&cs, l->s};
    struct cursor *c = NULL;
    for (unsigned i = 0; i < l->s->nbuckets; i++)
        add_bucket(&cs, l->s->buckets[i]);
    /* An account that may not list its buckets has those of the configuration. */
    (void)store_bucket_list(l->s->store, add_matching, &m, NULL);
    for (;;) {
        int rc = s3_lane_stopped(l, err);
        if (rc == 0)
            rc = least(l, &cs, prefix, &c, err);
        if (rc < 0 || c == NULL)
            return rc;
        const struct item *i = &c->items[c->at++];
        struct s3_met met = {c->bucket, i->key, i->size, i->modified_ns};
        rc = fn(arg, &met, err);
        if (rc != 0)
            return rc;
    }
}
