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

static void copy_set(struct meta_set *to, const struct meta_set *from)
{
    *to = (struct meta_set){0};
    if (from->n == 0)
        return;
    to->v = xrealloc_array(NULL, from->n, sizeof *to->v);
    for (; to->n < from->n; to->n++)
        to->v[to->n] = (struct meta_pair){.key = xstrdup(from->v[to->n].key),
                                          .value = xstrdup(from->v[to->n].value)};
}

void meta_copy(struct meta *to, const struct meta *from)
{
    meta_fini(to);
    *to = *from;
    copy_set(&to->user, &from->user);
    copy_set(&to->tags, &from->tags);
    for (size_t i = 0; i < META_HEAD_COUNT; i++)
        to->head[i] = from->head[i] != NULL ? xstrdup(from->head[i]) : NULL;
    to->parts = NULL;
    if (from->n_parts > 0) {
        to->parts = xrealloc_array(NULL, from->n_parts, sizeof *to->parts);
        memcpy(to->parts, from->parts, from->n_parts * sizeof *to->parts);
    }
}

bool meta_sum_valid(const struct meta *m, const struct stat *st)
{
    return m->data_size == st->st_size &&
           m->data_mtime_ns == st->st_mtim.tv_sec * NS_PER_SEC + st->st_mtim.tv_nsec;
}
