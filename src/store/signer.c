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
    buf_addf(b, "%s\n%s\n%s\n", in->method, in->path, in->query);
    for (size_t i = 0; i < n; i++) {
        buf_adds(b, f[i].name);
        buf_addc(b, ':');
        sign_add_value(b, f[i].value);
        buf_addc(b, '\n');
        buf_addf(names, "%s%s", i > 0 ? ";" : "", f[i].name);
    }
    buf_addf(b, "\n%s\n%s", names->data, in->payload);
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
    sign_key(who->secret_key, date, in->region, key);
    sign_text(key, text.data, text.len, signature);
    OPENSSL_cleanse(key, sizeof(key));
    buf_addf(out,
             "Authorization: AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s",
             who->access_key, scope.data, names, signature);
}

/* Adds "name: value" as curl wants it: an empty value is told by a semicolon. */
static int add_header(struct curl_slist **list, const char *name, const char *value)
{
    auto_buf struct buf line = {0};
    if (value[0] != '\0')
        buf_addf(&line, "%s: %s", name, value);
    else
        buf_addf(&line, "%s;", name);
    struct curl_slist *more = curl_slist_append(*list, line.data);
    if (more == NULL)
        return -ENOMEM;
    *list = more;
    return 0;
}

int signer_headers(const struct signer_input *in, const struct creds_value *who,
                   struct curl_slist **list, struct buf *canonical, struct err *err)
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
    auto_buf struct buf text = {0}, names = {0}, auth = {0};
    canonical_request(&text, in, f, n, &names);
    authorize(in, who, amz_date, &text, names.data, &auth);
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = add_header(list, f[i].name, f[i].value);
    struct curl_slist *more = rc == 0 ? curl_slist_append(*list, auth.data) : NULL;
    if (more == NULL)
        return err_set(err, -ENOMEM, "no memory for the headers");
    *list = more;
    if (canonical != NULL)
        buf_add(canonical, text.data, text.len);
    return 0;
}
