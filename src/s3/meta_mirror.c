/* SPDX-License-Identifier: Apache-2.0 */
/* Which xattr mirrors which value; the rule stands in doc/design/s3.md. */
#include "s3/meta_impl.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define XATTR_NAME_BYTES 255
#define USER             "user."
#define USER_LEN         (sizeof USER - 1)

bool meta_begins(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* As meta_is_state, of the name behind "user.". */
static bool is_state_key(const char *key)
{
    return meta_begins(key, "noobaa.") || meta_begins(key, "firn.") ||
           strcmp(key, &META_MD5_XATTR[USER_LEN]) == 0 ||
           strcmp(key, &META_CLASS_XATTR[USER_LEN]) == 0;
}

bool meta_is_state(const char *name)
{
    return meta_begins(name, USER) && is_state_key(name + USER_LEN);
}

bool meta_is_mirror(const char *name)
{
    return meta_begins(name, META_TAG_PREFIX) || strcmp(name, META_CLASS_XATTR) == 0 ||
           strcmp(name, META_TYPE_XATTR) == 0 || strcmp(name, META_ENCODING_XATTR) == 0;
}

static bool has_mirror(const char *prefix, const char *key)
{
    bool tag = prefix[USER_LEN] != '\0';
    return strlen(prefix) + strlen(key) <= XATTR_NAME_BYTES && (tag || !is_state_key(key));
}

static void add_mirrors(struct meta_set *out, const char *prefix, const struct meta_set *s)
{
    char name[XATTR_NAME_BYTES + 1];
    for (size_t i = 0; i < s->n; i++) {
        if (!has_mirror(prefix, s->v[i].key))
            continue;
        (void)snprintf(name, sizeof name, "%s%s", prefix, s->v[i].key);
        meta_put(out, name, s->v[i].value);
    }
}

void meta_mirrors(const struct meta *m, struct meta_set *out)
{
    meta_put(out, META_CLASS_XATTR, m->storage_class);
    if (m->head[META_CONTENT_TYPE] != NULL)
        meta_put(out, META_TYPE_XATTR, m->head[META_CONTENT_TYPE]);
    if (m->head[META_CONTENT_ENCODING] != NULL)
        meta_put(out, META_ENCODING_XATTR, m->head[META_CONTENT_ENCODING]);
    if (m->md5[0] != '\0')
        meta_put(out, META_MD5_XATTR, m->md5);
    add_mirrors(out, META_TAG_PREFIX, &m->tags);
    add_mirrors(out, USER, &m->user);
}

static size_t count_of(const char *prefix, const struct meta_set *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        n += has_mirror(prefix, s->v[i].key);
    return n;
}

size_t meta_mirror_count(const struct meta *m)
{
    return 1 + (m->head[META_CONTENT_TYPE] != NULL) + (m->head[META_CONTENT_ENCODING] != NULL) +
           (m->md5[0] != '\0') + count_of(META_TAG_PREFIX, &m->tags) + count_of(USER, &m->user);
}

const char *meta_mirror_value(const struct meta *m, const char *name)
{
    if (meta_begins(name, META_TAG_PREFIX))
        return meta_get(&m->tags, name + strlen(META_TAG_PREFIX));
    if (strcmp(name, META_CLASS_XATTR) == 0)
        return m->storage_class;
    if (strcmp(name, META_TYPE_XATTR) == 0)
        return m->head[META_CONTENT_TYPE];
    if (strcmp(name, META_ENCODING_XATTR) == 0)
        return m->head[META_CONTENT_ENCODING];
    if (strcmp(name, META_MD5_XATTR) == 0)
        return m->md5[0] != '\0' ? m->md5 : NULL;
    return meta_begins(name, USER) && !meta_is_state(name) ? meta_get(&m->user, name + USER_LEN)
                                                           : NULL;
}
