/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_impl.h"

#include "base/cleanup.h"
#include "codec/digest.h"
#include "codec/encode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ETAG_HEX 33

/* What is known of the body, each computed at most once. */
struct proof {
    const void *data;
    size_t size;
    char crc[ENCODE_BASE64_SIZE(8)];
    bool has_md5;
    char md5_hex[ETAG_HEX], md5_base64[ENCODE_BASE64_SIZE(16)];
    bool proven;
    bool without_sum; /* the store refused the checksum's header */
    bool without_condition;
};

static void need_md5(struct proof *p)
{
    uint8_t md5[DIGEST_MAX];
    if (p->has_md5)
        return;
    (void)digest_of(DIGEST_MD5, p->data, p->size, md5);
    encode_hex(md5, 16, p->md5_hex);
    encode_base64(md5, 16, p->md5_base64);
    p->has_md5 = true;
}

static void need_crc(struct proof *p)
{
    uint8_t crc[DIGEST_MAX];
    (void)digest_of(DIGEST_CRC64NVME, p->data, p->size, crc);
    encode_base64(crc, 8, p->crc);
}

/* Takes what an answer or a HEAD says of the object. Returns 0, or 1 when it is another object. */
static int compare(struct store *s, struct proof *p, const struct store_reply *r, struct err *err)
{
    if (r->crc64nvme[0] != '\0') {
        atomic_store(&s->sums, SUMS_YES);
        p->proven = strcmp(r->crc64nvme, p->crc) == 0;
        if (p->proven)
            return 0;
        (void)err_set(err, -EBADMSG, "the store has other bytes: CRC-64/NVME %s, not %s",
                      r->crc64nvme, p->crc);
        return 1;
    }
    if (!r->etag_is_md5)
        return 0;
    need_md5(p);
    p->proven = strcasecmp(r->etag, p->md5_hex) == 0;
    if (p->proven)
        return 0;
    (void)err_set(err, -EBADMSG, "the store has other bytes: MD5 (ETag) %s, not %s", r->etag,
                  p->md5_hex);
    return 1;
}

static int check_put(struct call *c, struct transfer *t, struct err *err)
{
    const struct store_reply *r = &t->head.reply;
    struct error_doc doc;
    if (t->doc.len > 0 && error_doc_parse(t->doc.data, t->doc.len, &doc)) {
        (void)snprintf(t->head.reply.code, sizeof(t->head.reply.code), "%s", doc.code);
        (void)err_set(err, -EIO, "%s (in an answer of HTTP %d)", doc.code, r->status);
        return 1;
    }
    if (r->etag[0] == '\0') {
        (void)err_set(err, -EPROTO, "the answer (HTTP %d) has no ETag: no S3 store gave it",
                      r->status);
        return 1;
    }
    int known = SUMS_UNKNOWN;
    if (r->crc64nvme[0] == '\0')
        (void)atomic_compare_exchange_strong(&c->store->sums, &known, SUMS_NO);
    return compare(c->store, c->check_arg, r, err);
}

static void remove_field(struct call *c, const char *name)
{
    for (size_t i = 0; i < c->nfields; i++) {
        if (strcmp(c->fields[i].name, name) == 0) {
            c->fields[i] = c->fields[--c->nfields];
            return;
        }
    }
}

/* Stores that do not know a header of ours may refuse it: once without it. */
static bool adapt_put(struct call *c, const struct transfer *t, const char *code)
{
    struct proof *p = c->check_arg;
    int status = t->head.reply.status;
    bool unknown = status == 501 || strcmp(code, "NotImplemented") == 0;
    if (unknown && !p->without_condition && !atomic_load(&c->store->no_if_absent)) {
        size_t before = c->nfields;
        remove_field(c, "if-none-match");
        p->without_condition = true;
        if (c->nfields < before) {
            atomic_store(&c->store->no_if_absent, true);
            return true;
        }
    }
    if (!p->without_sum && atomic_load(&c->store->sums) != SUMS_YES &&
        (unknown || strcmp(code, "InvalidRequest") == 0 || strcmp(code, "InvalidArgument") == 0)) {
        p->without_sum = true;
        remove_field(c, "x-amz-checksum-crc64nvme");
        return true;
    }
    return false;
}

static int check_meta(const struct store_put *put, struct err *err)
{
    if (put->nmeta > SIGNER_FIELDS_MAX - 8)
        return err_set(err, -E2BIG, "object %s: more than %d pieces of metadata", put->key,
                       SIGNER_FIELDS_MAX - 8);
    for (size_t i = 0; i < put->nmeta; i++) {
        static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
        const char *name = put->meta[i].name;
        if (name[0] == '\0' || name[strspn(name, letters)] != '\0')
            return err_set(err, -EINVAL, "object %s: \"%.64s\" cannot name metadata", put->key,
                           name);
        for (const char *v = put->meta[i].value; *v != '\0'; v++) {
            if (*v < 0x20 || *v > 0x7e)
                return err_set(err, -EINVAL,
                               "object %s: the metadata %.64s holds a byte that is not printable "
                               "ASCII; encode it",
                               put->key, name);
        }
    }
    return 0;
}

static void sign_payload(struct call *c)
{
    const struct store *s = c->store;
    bool sign = s->sign_payload == STORE_SIGN_ALWAYS ||
                (s->sign_payload == STORE_SIGN_AUTO && !s->endpoint.tls);
    if (sign)
        call_sha256(c->body, c->size, c->payload);
    else
        (void)snprintf(c->payload, sizeof(c->payload), "UNSIGNED-PAYLOAD");
}

/* A try before this one may have written the object whose presence refused this one. */
static int settle_exists(struct call *c, struct proof *p, struct transfer *t, struct err *err)
{
    auto_store_reply struct store_reply r = {0};
    struct err later = {0};
    p->proven = false;
    int rc = store_head(c->store, c->bucket, c->key, c->cancel, &r, &later);
    bool ours =
        rc == 0 && r.size == (int64_t)c->size && compare(c->store, p, &r, &later) == 0 && p->proven;
    if (!ours)
        return -EEXIST;
    store_reply_fini(&t->head.reply);
    t->head.reply = r;
    r = (struct store_reply){0};
    err_clear(err);
    return 0;
}

/* The headers of the object; names keeps those of the metadata. */
static void put_fields(struct call *c, const struct store_put *put, struct proof *p,
                       struct buf *names)
{
    size_t at[SIGNER_FIELDS_MAX];
    need_crc(p);
    call_field(c, "x-amz-checksum-crc64nvme", p->crc);
    call_field(c, "content-type",
               put->content_type != NULL ? put->content_type : "application/octet-stream");
    if (atomic_load(&c->store->sums) != SUMS_YES) {
        need_md5(p);
        call_field(c, "content-md5", p->md5_base64);
    }
    if (put->if_absent && !atomic_load(&c->store->no_if_absent))
        call_field(c, "if-none-match", "*");
    for (size_t i = 0; i < put->nmeta; i++) {
        at[i] = names->len;
        buf_addf(names, "x-amz-meta-%s", put->meta[i].name);
        buf_add(names, "", 1);
    }
    for (size_t i = 0; i < put->nmeta; i++)
        call_field(c, names->data + at[i], put->meta[i].value);
}

int store_put(struct store *s, const struct store_put *put, struct store_cancel *cancel,
              bool *proven, struct store_reply *reply, struct err *err)
{
    struct err own = {0};
    if (err == NULL)
        err = &own;
    *proven = false;
    int rc = check_meta(put, err);
    if (rc < 0)
        return rc;
    struct call c = {.store = s,
                     .what = "PUT",
                     .method = "PUT",
                     .bucket = put->bucket,
                     .key = put->key,
                     .query = "",
                     .body = put->data != NULL ? put->data : "",
                     .size = put->size,
                     .doc_max = 65536,
                     .cancel = cancel,
                     .check = check_put,
                     .adapt = adapt_put};
    struct proof p = {.data = c.body, .size = c.size};
    auto_buf struct buf names = {0};
    c.check_arg = &p;
    put_fields(&c, put, &p, &names);
    sign_payload(&c);
    struct transfer t = {0};
    rc = call_run(&c, &t, err);
    if (rc > 0)
        rc = call_refused(&c, &t, err);
    if (rc == -EEXIST && put->if_absent && c.tries > 1)
        rc = settle_exists(&c, &p, &t, err);
    *proven = rc == 0 && p.proven;
    call_reply(&c, &t, reply);
    transfer_fini(&t);
    return rc;
}
