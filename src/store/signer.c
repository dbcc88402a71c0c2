/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_impl.h"

#include "base/cleanup.h"
#include "base/timefmt.h"
#include "codec/sign.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FIELDS_MAX (SIGNER_FIELDS_MAX + 4) /* host, date, payload, token */

static int by_name(const void *a, const void *b)
{
    const struct store_field *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static void canonical_request(struct buf *b, const struct signer_input *in,
                              const struct store_field *f, size_t n, struct buf *names)
{
    buf_reserve(b, 2048);
    buf_addf(b, "%s\n%s\n%s\n", in->method, in->path, in->query);
    for (size_t i = 0; i < n; i++) {
        buf_adds(b, f[i].name);
        buf_addc(b, ':');
        sign_add_value(b, f[i].value);
        buf_addc(b, '\n');
        buf_adds(names, i > 0 ? ";" : "");
        buf_adds(names, f[i].name);
    }
    buf_addf(b, "\n%s\n%s", names->data, in->payload);
}

void signer_day_init(struct signer_day *d)
{
    d->known = false;
    (void)pthread_mutex_init(&d->lock, NULL);
}

void signer_day_fini(struct signer_day *d)
{
    OPENSSL_cleanse(d->key, sizeof(d->key));
    (void)pthread_mutex_destroy(&d->lock);
}

static void key_of_day(const struct signer_input *in, const struct creds_value *who,
                       const char *date, uint8_t *key)
{
    struct signer_day *d = in->day;
    if (d == NULL) {
        sign_key(who->secret_key, date, in->region, key);
        return;
    }
    lock_scope(&d->lock);
    if (!d->known || d->generation != who->generation || strcmp(d->date, date) != 0) {
        sign_key(who->secret_key, date, in->region, d->key);
        memcpy(d->date, date, sizeof(d->date));
        d->generation = who->generation;
        d->known = true;
    }
    memcpy(key, d->key, SIGN_KEY_SIZE);
}

/* "Authorization" for a canonical request. */
static void authorize(const struct signer_input *in, const struct creds_value *who,
                      const char *amz_date, const struct buf *canonical, const char *names,
                      struct buf *out)
{
    auto_buf struct buf scope = {0}, text = {0};
    char date[9], signature[SIGN_HEX_SIZE];
    uint8_t key[SIGN_KEY_SIZE];
    (void)snprintf(date, sizeof(date), "%.8s", amz_date);
    buf_addf(&scope, "%s/%s/s3/aws4_request", date, in->region);
    sign_add_string(&text, amz_date, scope.data, canonical->data, canonical->len);
    key_of_day(in, who, date, key);
    sign_text(key, text.data, text.len, signature);
    OPENSSL_cleanse(key, sizeof(key));
    buf_addf(out,
             "Authorization: AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s",
             who->access_key, scope.data, names, signature);
}

/* Begins a line; its place in the text is kept until the text is whole. */
static void begin_line(struct signer_lines *l)
{
    l->at[l->n++] = l->text.len;
}

static void end_line(struct signer_lines *l)
{
    buf_add(&l->text, "", 1);
}

/* Adds "name: value" as curl wants it: an empty value is told by a semicolon. */
static void add_header(struct signer_lines *l, const char *name, const char *value)
{
    begin_line(l);
    buf_adds(&l->text, name);
    buf_adds(&l->text, value[0] != '\0' ? ": " : ";");
    buf_adds(&l->text, value);
    end_line(l);
}

/* The text does not move any more. */
static void link_lines(struct signer_lines *l)
{
    for (size_t i = 0; i < l->n; i++) {
        l->list[i].data = l->text.data + l->at[i];
        l->list[i].next = i + 1 < l->n ? &l->list[i + 1] : NULL;
    }
}

void signer_lines_fini(struct signer_lines *l)
{
    buf_fini(&l->text);
}

int signer_headers(const struct signer_input *in, const struct creds_value *who,
                   struct signer_lines *lines, struct buf *canonical, struct err *err)
{
    if (in->nfields > SIGNER_FIELDS_MAX)
        return err_set(err, -E2BIG, "more than %d headers", SIGNER_FIELDS_MAX);
    struct store_field f[FIELDS_MAX];
    char amz_date[32];
    time_t now = (time_t)(in->now_ns / NS_PER_SEC);
    struct tm tm;
    (void)strftime(amz_date, sizeof(amz_date), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
    size_t n = in->nfields;
    if (n > 0)
        memcpy(f, in->fields, n * sizeof(f[0]));
    f[n++] = (struct store_field){"host", in->host};
    f[n++] = (struct store_field){"x-amz-content-sha256", in->payload};
    f[n++] = (struct store_field){"x-amz-date", amz_date};
    if (who->token != NULL)
        f[n++] = (struct store_field){"x-amz-security-token", who->token};
    qsort(f, n, sizeof(f[0]), by_name);
    auto_buf struct buf text = {0}, names = {0};
    canonical_request(&text, in, f, n, &names);
    for (size_t i = 0; i < n; i++)
        add_header(lines, f[i].name, f[i].value);
    begin_line(lines);
    authorize(in, who, amz_date, &text, names.data, &lines->text);
    end_line(lines);
    if (in->unsigned_line != NULL) {
        begin_line(lines);
        buf_adds(&lines->text, in->unsigned_line);
        end_line(lines);
    }
    link_lines(lines);
    if (canonical != NULL)
        buf_add(canonical, text.data, text.len);
    return 0;
}
