/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/meta_impl.h"

#include "base/mem.h"
#include "base/timefmt.h"

#include <stdlib.h>
#include <string.h>

const char *meta_head_name(enum meta_head h)
{
    static const char *const names[META_HEAD_COUNT] = {
        [META_CONTENT_TYPE] = "Content-Type",
        [META_CONTENT_ENCODING] = "Content-Encoding",
        [META_CONTENT_DISPOSITION] = "Content-Disposition",
        [META_CONTENT_LANGUAGE] = "Content-Language",
        [META_CACHE_CONTROL] = "Cache-Control",
        [META_EXPIRES] = "Expires",
        [META_WEBSITE_REDIRECT] = "x-amz-website-redirect-location",
    };
    return names[h];
}

void meta_init(struct meta *m)
{
    *m = (struct meta){.storage_class = "STANDARD"};
}

void meta_set_fini(struct meta_set *s)
{
    for (size_t i = 0; i < s->n; i++) {
        free(s->v[i].key);
        free(s->v[i].value);
    }
    free(s->v);
    *s = (struct meta_set){0};
}

void meta_fini(struct meta *m)
{
    if (m->held != NULL) {
        meta_unhold(m->held);
        *m = (struct meta){0};
        return;
    }
    meta_set_fini(&m->user);
    meta_set_fini(&m->tags);
    for (size_t i = 0; i < META_HEAD_COUNT; i++)
        free(m->head[i]);
    free(m->parts);
    *m = (struct meta){0};
}

static struct meta_pair *find(const struct meta_set *s, const char *key)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->v[i].key, key) == 0)
            return &s->v[i];
    return NULL;
}

const char *meta_get(const struct meta_set *s, const char *key)
{
    const struct meta_pair *p = find(s, key);
    return p != NULL ? p->value : NULL;
}

void meta_put(struct meta_set *s, const char *key, const char *value)
{
    struct meta_pair *p = find(s, key);
    if (p != NULL) {
        char *copy = xstrdup(value);
        free(p->value);
        p->value = copy;
        return;
    }
    s->v = xrealloc_array(s->v, s->n + 1, sizeof *s->v);
    s->v[s->n++] = (struct meta_pair){.key = xstrdup(key), .value = xstrdup(value)};
}

void meta_drop(struct meta_set *s, const char *key)
{
    struct meta_pair *p = find(s, key);
    if (p == NULL)
        return;
    free(p->key);
    free(p->value);
    size_t behind = s->n - 1 - (size_t)(p - s->v);
    memmove(p, p + 1, behind * sizeof *p);
    s->n--;
}

void meta_set_copy(struct meta_set *to, const struct meta_set *from)
{
    struct meta_set copy = {0};
    for (size_t i = 0; i < from->n; i++)
        meta_put(&copy, from->v[i].key, from->v[i].value);
    meta_set_fini(to);
    *to = copy;
}

void meta_set_head(struct meta *m, enum meta_head h, const char *value)
{
    char *copy = value != NULL && *value != '\0' ? xstrdup(value) : NULL;
    free(m->head[h]);
    m->head[h] = copy;
}

/* ---- shared ---- */

struct meta_held {
    size_t users; /* atomic */
    struct meta meta;
};

static size_t set_bytes(const struct meta_set *s)
{
    size_t n = s->n * sizeof *s->v;
    for (size_t i = 0; i < s->n; i++)
        n += strlen(s->v[i].key) + strlen(s->v[i].value) + 2;
    return n;
}

/* Takes n bytes from *at on. */
static void *take(char **at, size_t n)
{
    void *p = *at;
    *at += n;
    return p;
}

static char *put_text(char **at, const char *s)
{
    size_t n = strlen(s) + 1;
    return memcpy(take(at, n), s, n);
}

static void put_set(char **at, struct meta_set *to, const struct meta_set *from)
{
    for (size_t i = 0; i < from->n; i++)
        to->v[i] = (struct meta_pair){.key = put_text(at, from->v[i].key),
                                      .value = put_text(at, from->v[i].value)};
}

struct meta_held *meta_hold(const struct meta *m)
{
    size_t bytes = sizeof(struct meta_held) + m->n_parts * sizeof *m->parts + set_bytes(&m->user) +
                   set_bytes(&m->tags);
    for (size_t i = 0; i < META_HEAD_COUNT; i++)
        bytes += m->head[i] != NULL ? strlen(m->head[i]) + 1 : 0;
    struct meta_held *h = xrealloc_array(NULL, bytes, 1);
    *h = (struct meta_held){.users = 1, .meta = *m};
    char *at = (char *)(h + 1); /* first what needs to be aligned, then texts */
    h->meta.held = h;
    h->meta.parts = take(&at, m->n_parts * sizeof *m->parts);
    if (m->n_parts > 0)
        memcpy(h->meta.parts, m->parts, m->n_parts * sizeof *m->parts);
    h->meta.user.v = take(&at, m->user.n * sizeof *m->user.v);
    h->meta.tags.v = take(&at, m->tags.n * sizeof *m->tags.v);
    put_set(&at, &h->meta.user, &m->user);
    put_set(&at, &h->meta.tags, &m->tags);
    for (size_t i = 0; i < META_HEAD_COUNT; i++)
        h->meta.head[i] = m->head[i] != NULL ? put_text(&at, m->head[i]) : NULL;
    return h;
}

void meta_show(struct meta *m, struct meta_held *h)
{
    meta_fini(m);
    (void)__atomic_add_fetch(&h->users, 1, __ATOMIC_RELAXED);
    *m = h->meta;
}

void meta_unhold(struct meta_held *h)
{
    if (h != NULL && __atomic_sub_fetch(&h->users, 1, __ATOMIC_ACQ_REL) == 0)
        free(h);
}

bool meta_sum_valid(const struct meta *m, const struct stat *st)
{
    return m->data_size == st->st_size &&
           m->data_mtime_ns == st->st_mtim.tv_sec * NS_PER_SEC + st->st_mtim.tv_nsec;
}
