/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON of user.firn.s.meta; doc/design/s3.md has the format. */
#include "s3/meta_impl.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOB_VERSION      1
#define BLOB_VERSION_TEXT "1"

/* The members of "h", in the order of enum meta_head. */
static const char *const head_keys[META_HEAD_COUNT] = {
    [META_CONTENT_TYPE] = "type",         [META_CONTENT_ENCODING] = "enc",
    [META_CONTENT_DISPOSITION] = "disp",  [META_CONTENT_LANGUAGE] = "lang",
    [META_CACHE_CONTROL] = "cache",       [META_EXPIRES] = "exp",
    [META_WEBSITE_REDIRECT] = "redirect",
};

void meta_blob_init(struct meta_blob *b)
{
    *b = (struct meta_blob){0};
    meta_init(&b->meta);
}

void meta_blob_fini(struct meta_blob *b)
{
    meta_fini(&b->meta);
    meta_set_fini(&b->old);
    meta_set_fini(&b->unmirrored);
}

static void add_set(cJSON *to, const char *name, const struct meta_set *s)
{
    if (s->n == 0)
        return;
    cJSON *o = cJSON_AddObjectToObject(to, name);
    for (size_t i = 0; i < s->n; i++)
        json_add_str(o, s->v[i].key, s->v[i].value);
}

static void add_data(cJSON *to, const struct meta *m)
{
    if (m->sum_alg != S3_SUM_NONE) {
        cJSON *sum = cJSON_AddObjectToObject(to, "sum");
        json_add_str(sum, "a", s3_sum_name(m->sum_alg));
        if (m->sum_composite)
            cJSON_AddTrueToObject(sum, "c");
        json_add_str(sum, "v", m->sum);
    }
    if (m->md5[0] != '\0')
        json_add_str(to, "md5", m->md5);
    if (m->sum_alg != S3_SUM_NONE || m->md5[0] != '\0') {
        char ns[24];
        (void)snprintf(ns, sizeof ns, "%lld", (long long)m->data_mtime_ns);
        char size[24];
        (void)snprintf(size, sizeof size, "%lld", (long long)m->data_size);
        (void)cJSON_AddRawToObject(to, "size", size); /* as text: no detour over a double */
        json_add_str(to, "mtime", ns);
    }
}

/* Parts as runs of equal sizes, [count, size, count, size, ...]: most uploads need four numbers. */
static void add_parts(cJSON *to, const struct meta *m)
{
    if (m->upload[0] != '\0')
        json_add_str(to, "up", m->upload);
    if (m->n_parts == 0)
        return;
    cJSON *a = cJSON_AddArrayToObject(to, "parts");
    for (size_t i = 0; i < m->n_parts;) {
        size_t run = 1;
        while (i + run < m->n_parts && m->parts[i + run] == m->parts[i])
            run++;
        cJSON_AddItemToArray(a, cJSON_CreateNumber((double)run));
        cJSON_AddItemToArray(a, cJSON_CreateNumber((double)m->parts[i]));
        i += run;
    }
}

static void add_names(cJSON *to, const char *name, const struct meta_set *s)
{
    if (s->n == 0)
        return;
    cJSON *a = cJSON_AddArrayToObject(to, name);
    for (size_t i = 0; i < s->n; i++)
        cJSON_AddItemToArray(a, cJSON_CreateString(s->v[i].key));
}

void meta_blob_format(const struct meta_blob *b, struct buf *out)
{
    auto_json cJSON *j = cJSON_CreateObject();
    (void)cJSON_AddRawToObject(j, "v", BLOB_VERSION_TEXT);
    if (b->sidecar[0] != '\0') {
        json_add_str(j, "ref", b->sidecar);
        char ino[24];
        (void)snprintf(ino, sizeof ino, "%llu", (unsigned long long)b->sidecar_ino);
        json_add_str(j, "ino", ino);
    } else {
        const struct meta *m = &b->meta;
        json_add_str(j, "c", m->storage_class);
        struct meta_set heads = {0};
        for (size_t i = 0; i < META_HEAD_COUNT; i++)
            if (m->head[i] != NULL)
                meta_put(&heads, head_keys[i], m->head[i]);
        add_set(j, "h", &heads);
        meta_set_fini(&heads);
        add_set(j, "m", &m->user);
        add_set(j, "t", &m->tags);
        add_data(j, m);
        add_parts(j, m);
        if (m->pending)
            cJSON_AddTrueToObject(j, "p");
        add_set(j, "old", &b->old);
        add_names(j, "nm", &b->unmirrored);
    }
    auto_free char *text = cJSON_PrintUnformatted(j);
    buf_adds(out, text != NULL ? text : "{}");
}

static void get_set(const cJSON *from, const char *name, struct meta_set *s)
{
    const cJSON *o = cJSON_GetObjectItemCaseSensitive(from, name);
    const cJSON *item = NULL;
    cJSON_ArrayForEach (item, o) {
        if (item->string != NULL && cJSON_IsString(item))
            meta_put(s, item->string, item->valuestring);
    }
}

static void get_data(const cJSON *j, struct meta *m)
{
    const cJSON *sum = cJSON_GetObjectItemCaseSensitive(j, "sum");
    m->sum_alg = s3_sum_parse(json_str(sum, "a", ""));
    m->sum_composite = json_bool(sum, "c", false);
    (void)snprintf(m->sum, sizeof m->sum, "%s", json_str(sum, "v", ""));
    (void)snprintf(m->md5, sizeof m->md5, "%s", json_str(j, "md5", ""));
    m->data_size = json_int(j, "size", -1);
    m->data_mtime_ns = json_int(j, "mtime", -1);
}

#define PARTS_MAX 10000

static int get_parts(const cJSON *j, struct meta *m, struct err *err)
{
    (void)snprintf(m->upload, sizeof m->upload, "%s", json_str(j, "up", ""));
    const cJSON *a = cJSON_GetObjectItemCaseSensitive(j, "parts");
    const cJSON *item = a != NULL ? a->child : NULL;
    for (; item != NULL && item->next != NULL; item = item->next->next) {
        double run = item->valuedouble;
        double size = item->next->valuedouble;
        if (!(run >= 1 && run <= (double)(PARTS_MAX - m->n_parts) && size >= 0 && size < 0x1p53))
            return err_set(err, -EINVAL, "%s: the list of parts is damaged", META_XATTR);
        m->parts = xrealloc_array(m->parts, m->n_parts + (size_t)run, sizeof *m->parts);
        for (size_t i = 0; i < (size_t)run; i++)
            m->parts[m->n_parts++] = (int64_t)size;
    }
    return 0;
}

static int get_reference(const cJSON *j, struct meta_blob *b, struct err *err)
{
    const char *ref = json_str(j, "ref", "");
    if (strlen(ref) != 32 || strspn(ref, "0123456789abcdef") != 32)
        return err_set(err, -EINVAL, "%s: the sidecar's name is damaged", META_XATTR);
    (void)snprintf(b->sidecar, sizeof b->sidecar, "%s", ref);
    b->sidecar_ino = strtoull(json_str(j, "ino", "0"), NULL, 10);
    return 0;
}

int meta_blob_parse(const char *text, struct meta_blob *b, struct err *err)
{
    auto_json cJSON *j = cJSON_Parse(text);
    if (!cJSON_IsObject(j))
        return err_set(err, -EINVAL, "%s is no JSON object", META_XATTR);
    if (json_int(j, "v", 0) != BLOB_VERSION)
        return err_set(err, -EINVAL, "%s has version %lld, this program knows %d", META_XATTR,
                       (long long)json_int(j, "v", 0), BLOB_VERSION);
    if (json_str(j, "ref", NULL) != NULL)
        return get_reference(j, b, err);
    struct meta *m = &b->meta;
    (void)snprintf(m->storage_class, sizeof m->storage_class, "%s", json_str(j, "c", "STANDARD"));
    const cJSON *heads = cJSON_GetObjectItemCaseSensitive(j, "h");
    for (size_t i = 0; i < META_HEAD_COUNT; i++)
        meta_set_head(m, (enum meta_head)i, json_str(heads, head_keys[i], NULL));
    get_set(j, "m", &m->user);
    get_set(j, "t", &m->tags);
    get_set(j, "old", &b->old);
    m->pending = json_bool(j, "p", false);
    const cJSON *name = NULL;
    cJSON_ArrayForEach (name, cJSON_GetObjectItemCaseSensitive(j, "nm")) {
        if (cJSON_IsString(name))
            meta_put(&b->unmirrored, name->valuestring, "");
    }
    get_data(j, m);
    return get_parts(j, m, err);
}
