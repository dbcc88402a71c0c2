/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_impl.h"

#include "base/cleanup.h"
#include "codec/digest.h"
#include "codec/encode.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a GET expects. */
struct expected {
    uint64_t off;
    size_t size;
    bool whole;
    bool small; /* of any size, into doc */
    bool some;  /* the object may end before off + size */
    bool check_md5;
};

static const enum digest_alg sum_algorithms[HEAD_SUMS] = {
    [HEAD_CRC64NVME] = DIGEST_CRC64NVME, [HEAD_CRC32C] = DIGEST_CRC32C, [HEAD_CRC32] = DIGEST_CRC32,
    [HEAD_SHA1] = DIGEST_SHA1,           [HEAD_SHA256] = DIGEST_SHA256,
};

static int differs(struct err *err, const char *what)
{
    (void)err_set(err, -EBADMSG, "the bytes that came are not those of the %s beside them", what);
    return 1;
}

/* Compares a whole body with the first checksum that the answer gives of it, or with its MD5.
 * Checksums of checksums ("-N") say nothing of the bytes. */
static int check_sums(const struct head *h, const void *data, size_t n, bool md5, struct err *err)
{
    uint8_t value[DIGEST_MAX];
    char text[ENCODE_BASE64_SIZE(DIGEST_MAX)];
    for (int i = 0; i < HEAD_SUMS; i++) {
        if (h->sums[i][0] == '\0' || strchr(h->sums[i], '-') != NULL)
            continue;
        encode_base64(value, digest_of(sum_algorithms[i], data, n, value), text);
        return strcmp(text, h->sums[i]) == 0 ? 0 : differs(err, digest_name(sum_algorithms[i]));
    }
    if (!md5 || !h->reply.etag_is_md5)
        return 0;
    encode_hex(value, digest_of(DIGEST_MD5, data, n, value), text);
    return strcasecmp(text, h->reply.etag) == 0 ? 0 : differs(err, "ETag");
}

/* Whether the part that a 206 announces is the one that was asked for; *size gets what is to come.
 */
static int check_range(const struct head *h, const struct expected *e, size_t *size,
                       struct err *err)
{
    uint64_t there = (uint64_t)(h->range_to - h->range_from) + 1;
    if (e->whole || e->small || !h->has_range || (uint64_t)h->range_from != e->off) {
        (void)err_set(err, -EPROTO, "the answer is another part of the object");
        return 1;
    }
    if (e->some && there < e->size)
        *size = (size_t)there;
    return there < *size
               ? err_set(err, -EMSGSIZE, "the object ends at byte %" PRId64 ", before %" PRIu64,
                         h->range_to + 1, e->off + e->size)
               : 0;
}

/* Whether the answer is that part of an object that was asked for. */
static int check_part(const struct transfer *t, const struct expected *e, struct err *err)
{
    const struct head *h = &t->head;
    bool all = h->reply.status == 200;
    size_t size = e->size;
    int rc = h->reply.status == 206 ? check_range(h, e, &size, err) : 0;
    if (rc != 0)
        return rc;
    if (all && e->off > 0) {
        (void)err_set(err, -EPROTO, "the store gave the whole object where a part was asked for");
        return 1;
    }
    if (e->small || (e->some && all) || t->got == size)
        return 0;
    if (e->whole || all)
        return err_set(err, -EMSGSIZE, "the object has %zu bytes, not %zu", t->got, e->size);
    (void)err_set(err, -EIO, "%zu of %zu bytes came", t->got, size);
    return 1;
}

static int check_get(struct call *c, struct transfer *t, struct err *err)
{
    const struct expected *e = c->check_arg;
    const struct head *h = &t->head;
    size_t n = e->small ? t->doc.len : t->got;
    const void *data = e->small ? t->doc.data : t->out;
    if (h->reply.etag[0] == '\0' || (h->reply.status != 200 && h->reply.status != 206)) {
        (void)err_set(err, -EPROTO, "the answer (HTTP %d) has no ETag: no S3 store gave it",
                      h->reply.status);
        return 1;
    }
    if (h->length >= 0 && (uint64_t)h->length != n) {
        (void)err_set(err, -EIO, "%zu of %" PRId64 " bytes came", n, h->length);
        return 1;
    }
    int rc = check_part(t, e, err);
    if (rc == 0 && h->reply.status == 200)
        rc = check_sums(h, n > 0 ? data : "", n, e->check_md5, err);
    return rc;
}

/* An answer that is longer than asked for names its size. */
static int too_long(const struct call *c, const struct transfer *t, struct err *err)
{
    char name[600];
    call_name(c, name, sizeof(name));
    return err_set(err, -EMSGSIZE, "%s: it has %" PRId64 " bytes, more than the %zu expected", name,
                   t->head.length, t->out != NULL ? t->out_size : t->doc_max);
}

static int get(struct store *s, const char *bucket, const char *key, struct expected *e, void *buf,
               size_t max, struct store_cancel *cancel, struct transfer *t,
               struct store_reply *reply, struct err *err)
{
    char range[64];
    struct call c = {.store = s,
                     .what = "GET",
                     .method = "GET",
                     .bucket = bucket,
                     .key = key,
                     .query = "",
                     .out = buf,
                     .out_size = e->size,
                     .doc_max = max,
                     .cancel = cancel,
                     .check = check_get,
                     .check_arg = e};
    call_field(&c, "x-amz-checksum-mode", "ENABLED");
    if (!e->whole && !e->small) {
        (void)snprintf(range, sizeof(range), "bytes=%" PRIu64 "-%" PRIu64, e->off,
                       e->off + e->size - 1);
        call_field(&c, "range", range);
    }
    int rc = call_run(&c, t, err);
    if (t->overflow && rc == -EMSGSIZE)
        rc = too_long(&c, t, err);
    call_reply(&c, t, reply);
    return rc;
}

int store_get(struct store *s, const char *bucket, const char *key, uint64_t off, void *buf,
              size_t size, bool whole, struct store_cancel *cancel, struct store_reply *reply,
              struct err *err)
{
    if (whole && off != 0)
        return err_set(err, -EINVAL, "a whole object begins at byte 0");
    if (size == 0 && !whole)
        return 0; /* no range says "nothing" */
    struct expected e = {.off = off, .size = size, .whole = whole, .check_md5 = s->check_md5};
    struct transfer t = {0};
    int rc = get(s, bucket, key, &e, buf != NULL ? buf : &e, 65536, cancel, &t, reply, err);
    transfer_fini(&t);
    return rc;
}

int store_get_some(struct store *s, const char *bucket, const char *key, uint64_t off, void *buf,
                   size_t size, size_t *got, struct store_cancel *cancel, struct err *err)
{
    struct expected e = {.off = off, .size = size, .some = true};
    struct transfer t = {0};
    int rc = get(s, bucket, key, &e, buf, 65536, cancel, &t, NULL, err);
    *got = t.got;
    transfer_fini(&t);
    return rc;
}

int store_get_small(struct store *s, const char *bucket, const char *key, size_t max, char **data,
                    size_t *size, struct store_cancel *cancel, struct store_reply *reply,
                    struct err *err)
{
    struct expected e = {.small = true, .check_md5 = true};
    struct transfer t = {0};
    int rc = get(s, bucket, key, &e, NULL, max, cancel, &t, reply, err);
    if (rc == 0) {
        *size = t.doc.len;
        *data = buf_take(&t.doc);
    }
    transfer_fini(&t);
    return rc;
}

static int check_head(struct call *c, struct transfer *t, struct err *err)
{
    (void)c;
    if (t->head.reply.etag[0] != '\0' && t->head.length >= 0)
        return 0;
    (void)err_set(err, -EPROTO,
                  "the answer (HTTP %d) has no ETag or no length: no S3 store gave it",
                  t->head.reply.status);
    return 1;
}

/* The answer to a HEAD has no body, so a 404 of it could be a proxy's, or be about the bucket. The
 * first byte is asked for, to hear the reason. */
static int why_absent(struct call *c, struct transfer *t, struct err *err)
{
    struct call again = *c;
    again.method = "GET";
    again.check = NULL;
    again.adapt = NULL;
    again.out = NULL;
    again.doc_max = 1;
    call_field(&again, "range", "bytes=0-0");
    transfer_fini(t);
    *t = (struct transfer){0};
    int rc = call_run(&again, t, err);
    c->tries = again.tries;
    if (rc >= 0 || t->head.reply.status == 416 || t->overflow)
        return rc == STORE_ABSENT ? STORE_ABSENT : 0; /* 0: there by now */
    return rc;
}

/* A bodiless 404, which only a HEAD may ask about again. */
static bool adapt_head(struct call *c, const struct transfer *t, const char *code)
{
    (void)code;
    bool *bare = c->check_arg;
    *bare = t->head.reply.status == 404;
    return false;
}

int store_head(struct store *s, const char *bucket, const char *key, struct store_cancel *cancel,
               struct store_reply *reply, struct err *err)
{
    struct err own = {0};
    if (err == NULL)
        err = &own;
    bool bare = false;
    struct call c = {.store = s,
                     .what = "HEAD",
                     .method = "HEAD",
                     .bucket = bucket,
                     .key = key,
                     .query = "",
                     .cancel = cancel,
                     .check = check_head,
                     .adapt = adapt_head,
                     .check_arg = &bare};
    call_field(&c, "x-amz-checksum-mode", "ENABLED");
    struct transfer t = {0};
    int rc = call_run(&c, &t, err);
    if (rc < 0 && bare) {
        err_clear(err);
        (void)atomic_fetch_sub(&s->failures, 1); /* not known yet to be one */
        rc = why_absent(&c, &t, err);
        if (rc == 0)
            rc = call_run(&c, &t, err);
    }
    call_reply(&c, &t, reply);
    transfer_fini(&t);
    return rc;
}

static int check_delete(struct call *c, struct transfer *t, struct err *err)
{
    (void)c;
    struct error_doc doc;
    if (t->doc.len == 0)
        return 0;
    if (error_doc_parse(t->doc.data, t->doc.len, &doc)) {
        (void)snprintf(t->head.reply.code, sizeof(t->head.reply.code), "%s", doc.code);
        (void)err_set(err, -EIO, "%s (in an answer of HTTP %d)", doc.code, t->head.reply.status);
        return 1;
    }
    (void)err_set(err, -EPROTO, "the answer (HTTP %d) is of type %s: no S3 store gave it",
                  t->head.reply.status, t->head.type);
    return 1;
}

int store_delete(struct store *s, const char *bucket, const char *key, struct store_cancel *cancel,
                 struct err *err)
{
    struct call c = {.store = s,
                     .what = "DELETE",
                     .method = "DELETE",
                     .bucket = bucket,
                     .key = key,
                     .query = "",
                     .doc_max = 65536,
                     .cancel = cancel,
                     .check = check_delete};
    struct transfer t = {0};
    int rc = call_run(&c, &t, err);
    if (rc == STORE_ABSENT && strcmp(t.head.reply.code, "NoSuchBucket") != 0)
        rc = 0;
    else if (rc > 0)
        rc = call_refused(&c, &t, err);
    transfer_fini(&t);
    return rc;
}

int store_restore(struct store *s, const char *bucket, const char *key, unsigned days,
                  const char *tier, struct store_cancel *cancel, struct err *err)
{
    auto_buf struct buf body = {0};
    buf_addf(&body,
             S3_XML_DECL "<RestoreRequest xmlns=\"" S3_XML_NS "\"><Days>%u</Days>"
                         "<GlacierJobParameters><Tier>",
             days);
    buf_add_xml(&body, tier);
    buf_adds(&body, "</Tier></GlacierJobParameters></RestoreRequest>");
    struct call c = {.store = s,
                     .what = "RESTORE",
                     .method = "POST",
                     .bucket = bucket,
                     .key = key,
                     .query = "restore=",
                     .body = body.data,
                     .size = body.len,
                     .doc_max = 65536,
                     .cancel = cancel};
    call_sha256(c.body, c.size, c.payload);
    call_field(&c, "content-type", "application/xml");
    struct transfer t = {0};
    int rc = call_run(&c, &t, err);
    const char *code = t.head.reply.code;
    if (rc < 0 && (strcmp(code, "RestoreAlreadyInProgress") == 0 ||
                   strcmp(code, "ObjectAlreadyInActiveTierError") == 0)) {
        err_clear(err);
        rc = 0;
    }
    if (rc == STORE_ARCHIVED)
        rc = call_refused(&c, &t, err);
    transfer_fini(&t);
    return rc;
}
