/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/sigv4_impl.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "codec/digest.h"
#include "codec/sign.h"
#include "s3/uri.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_SLOTS 256 /* a power of two; accounts in use at once */

struct cache_slot {
    char access_key[SIGV4_KEY_MAX];
    char date[9];
    char region[65];
    uint8_t secret_hash[32]; /* a changed secret must miss */
    uint8_t key[32];
};

struct sigv4_cache {
    pthread_mutex_t lock;
    struct cache_slot slots[CACHE_SLOTS];
};

enum s3_error s3_fail_set(struct s3_fail *fail, enum s3_error e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(fail->text, sizeof(fail->text), fmt, ap);
    va_end(ap);
    return e;
}

void s3_fail_element(struct s3_fail *fail, const char *name, const char *fmt, ...)
{
    if (fail->n_elements == SIGV4_FAIL_MAX)
        return;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(fail->elements[fail->n_elements].value, sizeof(fail->elements[0].value), fmt,
                    ap);
    va_end(ap);
    fail->elements[fail->n_elements++].name = name;
}

struct sigv4_cache *sigv4_cache_new(void)
{
    struct sigv4_cache *c = xzalloc(sizeof(*c));
    (void)pthread_mutex_init(&c->lock, NULL);
    return c;
}

void sigv4_cache_free(struct sigv4_cache *c)
{
    if (c == NULL)
        return;
    (void)pthread_mutex_destroy(&c->lock);
    OPENSSL_cleanse(c->slots, sizeof(c->slots));
    free(c);
}

static void cached_key(struct sigv4_cache *c, const struct sigv4 *s, const char *region,
                       const char *secret, uint8_t *out)
{
    char date[9];
    memcpy(date, s->amz_date, 8);
    date[8] = '\0';
    if (c == NULL) {
        sign_key(secret, date, region, out);
        return;
    }
    uint8_t hash[DIGEST_MAX];
    (void)digest_of(DIGEST_SHA256, secret, strlen(secret), hash);
    struct cache_slot *slot = &c->slots[hash[0] & (CACHE_SLOTS - 1)];
    {
        lock_scope(&c->lock);
        if (strcmp(slot->access_key, s->access_key) == 0 && strcmp(slot->date, date) == 0 &&
            strcmp(slot->region, region) == 0 && memcmp(slot->secret_hash, hash, 32) == 0) {
            memcpy(out, slot->key, 32);
            return;
        }
    }
    sign_key(secret, date, region, out);
    lock_scope(&c->lock);
    (void)snprintf(slot->access_key, sizeof(slot->access_key), "%s", s->access_key);
    (void)snprintf(slot->date, sizeof(slot->date), "%s", date);
    (void)snprintf(slot->region, sizeof(slot->region), "%s", region);
    memcpy(slot->secret_hash, hash, 32);
    memcpy(slot->key, out, 32);
}

bool sigv4_same(const char *a, const char *b)
{
    return strlen(a) == 64 && strlen(b) == 64 && CRYPTO_memcmp(a, b, 64) == 0;
}

void sigv4_canonical_request(struct buf *b, const struct sigv4_input *in, const struct sigv4 *s)
{
    buf_adds(b, in->method);
    buf_addc(b, '\n');
    uri_canonical_path(b, in->raw_path);
    buf_addc(b, '\n');
    uri_canonical_query(b, in->params, in->n_params, s->presigned ? "X-Amz-Signature" : NULL);
    buf_addc(b, '\n');
    for (const char *p = s->signed_headers; *p != '\0';) {
        size_t n = strcspn(p, ";");
        buf_add(b, p, n);
        buf_addc(b, ':');
        for (size_t i = 0; i < in->n_headers; i++) {
            if (strncmp(in->headers[i].name, p, n) == 0 && in->headers[i].name[n] == '\0')
                sign_add_value(b, in->headers[i].value);
        }
        buf_addc(b, '\n');
        p += n;
        if (*p == ';')
            p++;
    }
    buf_addc(b, '\n');
    buf_adds(b, s->signed_headers);
    buf_addc(b, '\n');
    buf_adds(b, s->payload_text);
}

static enum s3_error check_unsigned(const struct sigv4_input *in, const struct sigv4 *s,
                                    struct s3_fail *fail)
{
    auto_buf struct buf left = {0};
    for (size_t i = 0; i < in->n_headers; i++) {
        struct s3_header *h = &in->headers[i];
        h->is_signed = sigv4_in_list(s->signed_headers, h->name);
        if (h->is_signed || strncmp(h->name, "x-amz-", 6) != 0)
            continue;
        /* In the header form the canonical request ends in this value, so it is signed anyway; in
         * the presigned form it can only add a check, as long as it names no other framing. */
        if (strcmp(h->name, "x-amz-content-sha256") == 0 &&
            (!s->presigned || s->payload <= S3_PAYLOAD_HASH))
            continue;
        buf_addf(&left, "%s%s", left.len > 0 ? ", " : "", h->name);
    }
    if (left.len == 0)
        return S3_ERR_NONE;
    s3_fail_element(fail, "HeadersNotSigned", "%s", left.data);
    return s3_fail_set(fail, S3_ERR_ACCESS_DENIED,
                       "There were headers present in the request which were not signed");
}

enum s3_error sigv4_verify(const struct sigv4_input *in, struct sigv4 *s, const char *secret,
                           struct sigv4_cache *c, struct s3_fail *fail)
{
    auto_buf struct buf own = {0};
    struct buf *text = in->scratch != NULL ? in->scratch : &own;
    buf_reset(text);
    sigv4_canonical_request(text, in, s);
    auto_buf struct buf to_sign = {0};
    char want[SIGN_HEX_SIZE];
    sign_add_string(&to_sign, s->amz_date, s->scope, text->data, text->len);
    cached_key(c, s, in->region, secret, s->key);
    sign_text(s->key, to_sign.data, to_sign.len, want);
    if (!sigv4_same(want, s->signature))
        return S3_ERR_SIGNATURE_DOES_NOT_MATCH;
    return check_unsigned(in, s, fail);
}
