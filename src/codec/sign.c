/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/sign.h"

#include "base/mem.h"
#include "codec/digest.h"
#include "codec/encode.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

void sign_key(const char *secret, const char *date, const char *region, uint8_t *out)
{
    char *first = xasprintf("AWS4%s", secret);
    uint8_t a[32], b[32];
    digest_hmac_sha256(first, strlen(first), date, strlen(date), a);
    digest_hmac_sha256(a, sizeof(a), region, strlen(region), b);
    digest_hmac_sha256(b, sizeof(b), "s3", 2, a);
    digest_hmac_sha256(a, sizeof(a), "aws4_request", 12, out);
    OPENSSL_cleanse(first, strlen(first));
    free(first);
}

void sign_text(const uint8_t *key, const char *text, size_t len, char *out)
{
    uint8_t mac[32];
    digest_hmac_sha256(key, SIGN_KEY_SIZE, text, len, mac);
    encode_hex(mac, sizeof(mac), out);
}

void sign_add_string(struct buf *b, const char *amz_date, const char *scope, const char *canonical,
                     size_t len)
{
    uint8_t hash[DIGEST_MAX];
    char hex[SIGN_HEX_SIZE];
    (void)digest_of(DIGEST_SHA256, canonical, len, hash);
    encode_hex(hash, 32, hex);
    buf_addf(b, "AWS4-HMAC-SHA256\n%s\n%s\n%s", amz_date, scope, hex);
}

void sign_add_value(struct buf *b, const char *value)
{
    static const char blanks[] = " \t";
    value += strspn(value, blanks);
    while (*value != '\0') {
        size_t n = strcspn(value, blanks);
        buf_add(b, value, n);
        value += n;
        value += strspn(value, blanks);
        if (*value != '\0')
            buf_addc(b, ' ');
    }
}
