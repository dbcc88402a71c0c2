/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_impl.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "codec/encode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_MAX (16 << 20) /* bytes of one page's document */

/* A list that goes on page by page. */
struct listing {
    struct store *store;
    const char *name; /* of the store, in texts */
    const char *bucket, *prefix;
    char *after; /* the last key that was given out, or start_after */
    char *token; /* of the next page (V2), or NULL */
    bool v1;
    store_item_fn *fn;
    void *arg;
    struct store_cancel *cancel;
};

static int check_page(struct call *c, struct transfer *t, struct err *err)
{
    return call_document(t, "ListBucketResult", c->check_arg, err);
}

/* Decodes %XX in place. Returns 0, or -EINVAL. */
static int url_decode(char *s)
{
    char *to = s;
    for (; *s != '\0'; s++, to++) {
        *to = *s == '+' ? ' ' : *s;
        if (*s != '%')
            continue;
        char digits[3] = {s[1], s[1] != '\0' ? s[2] : '\0', '\0'};
        uint8_t byte = 0;
        if (encode_hex_decode(digits, &byte, 1) < 0 || byte == 0)
            return -EINVAL;
        *to = (char)byte;
        s += 2;
    }
    *to = '\0';
    return 0;
}

/* The text of a name in the page, decoded when the page says that it is encoded; NULL when there is
 * none or it is broken. The caller frees. */
static char *name_of(const struct xml *page, const struct xml *x, const char *child)
{
    const char *s = xml_text(x, child);
    const char *how = xml_text(page, "EncodingType");
    if (s == NULL)
        return NULL;
    char *copy = xstrdup(s);
    if (how != NULL && strcmp(how, "url") == 0 && url_decode(copy) < 0) {
        free(copy);
        return NULL;
    }
    return copy;
}

static int give_item(struct listing *l, const struct xml *page, const struct xml *x,
                     struct err *err)
{
    auto_free char *key = name_of(page, x, "Key");
    const char *modified = xml_text(x, "LastModified"), *etag = xml_text(x, "ETag");
    int64_t size = -1;
    if (key == NULL || key[0] == '\0' || xml_int(x, "Size", &size) != 0 || size < 0)
        return err_set(err, -EPROTO, "store %s: list of %s: an entry has no proper key or size",
                       l->name, l->bucket);
    /* A store that does not know start-after begins anew; one that repeats itself too. */
    if (strcmp(key, l->after) <= 0 || strncmp(key, l->prefix, strlen(l->prefix)) != 0)
        return 0;
    char bare[80] = "";
    if (etag != NULL)
        head_unquote(bare, sizeof(bare), etag);
    struct store_item item = {.key = key, .size = (uint64_t)size, .etag = bare};
    if (modified != NULL && timefmt_parse_iso(modified, &item.modified_ns) < 0)
        item.modified_ns = 0;
    int rc = l->fn(l->arg, &item, err);
    free(l->after);
    l->after = take_ptr(key);
    return rc;
}

/* Keys of a page rise, or what came before would be passed over in silence. *last: the key before
 * this one; takes this one. */
static int check_order(const struct listing *l, const struct xml *page, const struct xml *x,
                       char **last, struct err *err)
{
    char *key = name_of(page, x, "Key");
    bool sinks = key != NULL && strcmp(key, *last) < 0;
    free(*last);
    *last = key != NULL ? key : xstrdup("");
    return sinks ? err_set(err, -EPROTO,
                           "store %s: list of %s: %.100s comes too late; a store that does not "
                           "list by the bytes of keys cannot be walked",
                           l->name, l->bucket, key)
                 : 0;
}

static void page_query(const struct listing *l, struct buf *q)
{
    if (!l->v1 && l->token != NULL)
        query_add(q, "continuation-token", l->token);
    query_add(q, "encoding-type", "url");
    if (!l->v1)
        query_add(q, "list-type", "2");
    if (l->v1 && l->after[0] != '\0')
        query_add(q, "marker", l->after);
    query_add(q, "max-keys", "1000");
    if (l->prefix[0] != '\0')
        query_add(q, "prefix", l->prefix);
    if (!l->v1 && l->token == NULL && l->after[0] != '\0')
        query_add(q, "start-after", l->after);
}

/* ListObjectsV2 may be refused by what knows the first form only. */
static bool unknown_v2(const struct transfer *t)
{
    const char *code = t->head.reply.code;
    int status = t->head.reply.status;
    return status == 501 || status == 405 || strcmp(code, "NotImplemented") == 0 ||
           strcmp(code, "InvalidArgument") == 0;
}

/* Gets a page. Returns 0 with *page, STORE_ABSENT, or a negative code. */
static int fetch(struct listing *l, struct xml **page, struct err *err)
{
    auto_buf struct buf query = {0};
    page_query(l, &query);
    struct call c = {.store = l->store,
                     .what = "LIST",
                     .method = "GET",
                     .bucket = l->bucket,
                     .query = query.data,
                     .doc_max = PAGE_MAX,
                     .cancel = l->cancel,
                     .check = check_page,
                     .check_arg = page};
    struct transfer t = {0};
    int rc = call_run(&c, &t, err);
    bool v2_unknown = rc < 0 && !l->v1 && unknown_v2(&t);
    transfer_fini(&t);
    if (!v2_unknown)
        return rc;
    atomic_store(&l->store->list_v1, true);
    l->v1 = true;
    return fetch(l, page, err);
}

/* Where the next page begins. Returns 1 when there is one, 0 at the end, or a negative code. */
static int next_page(struct listing *l, const struct xml *page, const char *before, struct err *err)
{
    const char *more = xml_text(page, "IsTruncated");
    if (more == NULL || strcmp(more, "true") != 0)
        return 0;
    const char *token = xml_text(page, "NextContinuationToken");
    if (l->v1 || token == NULL || token[0] == '\0') {
        l->v1 = true; /* a store that took no notice of list-type gives no token */
        auto_free char *marker = name_of(page, page, "NextMarker");
        if (marker != NULL && strcmp(marker, l->after) > 0) {
            free(l->after);
            l->after = take_ptr(marker);
        }
        if (strcmp(before, l->after) < 0)
            return 1;
    } else if (l->token == NULL || strcmp(l->token, token) != 0) {
        free(l->token);
        l->token = xstrdup(token);
        return 1;
    }
    return err_set(err, -EPROTO, "store %s: list of %s does not go on after %.100s", l->name,
                   l->bucket, l->after);
}

/* Gives out what a page holds; *more: there is another one. */
static int read_page(struct listing *l, const struct xml *page, bool *more, struct err *err)
{
    auto_free char *before = xstrdup(l->after);
    int rc = 0;
    auto_free char *last = xstrdup("");
    for (const struct xml *x = xml_child(page, "Contents"); x != NULL && rc == 0;
         x = xml_again(x)) {
        rc = check_order(l, page, x, &last, err);
        if (rc == 0)
            rc = give_item(l, page, x, err);
    }
    if (rc != 0)
        return rc;
    rc = next_page(l, page, before, err);
    *more = rc == 1;
    return rc < 0 ? rc : 0;
}

static void end(struct listing *l)
{
    free(l->after);
    free(l->token);
}

int list_read_page(const char *prefix, bool v1, const char *data, size_t len, store_item_fn *fn,
                   void *arg, struct err *err)
{
    auto_xml struct xml *page = NULL;
    struct listing l = {.name = "",
                        .bucket = "",
                        .prefix = prefix,
                        .after = xstrdup(""),
                        .v1 = v1,
                        .fn = fn,
                        .arg = arg};
    bool more = false;
    int rc = xml_parse(data, len, CALL_ELEMENTS, NULL, &page, err);
    if (rc == 0)
        rc = read_page(&l, page, &more, err);
    end(&l);
    return rc;
}

int store_list(struct store *s, const char *bucket, const char *prefix, const char *start_after,
               store_item_fn *fn, void *arg, struct store_cancel *cancel, struct err *err)
{
    struct listing l = {.store = s,
                        .name = s->name,
                        .bucket = bucket,
                        .prefix = prefix,
                        .after = xstrdup(start_after),
                        .v1 = atomic_load(&s->list_v1),
                        .fn = fn,
                        .arg = arg,
                        .cancel = cancel};
    bool more = true;
    int rc = 0;
    while (rc == 0 && more) {
        auto_xml struct xml *page = NULL;
        more = false;
        rc = fetch(&l, &page, err);
        if (rc == 0)
            rc = read_page(&l, page, &more, err);
    }
    end(&l);
    return rc;
}
