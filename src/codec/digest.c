/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/digest.h"

#include "base/mem.h"
#include "codec/codec_impl.h"
#include "codec/crc.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zlib.h>

struct digest {
    enum digest_alg alg;
    uint64_t crc;
    EVP_MD_CTX *evp;
    XXH3_state_t *xxh;
};

static const struct {
    const char *name;
    size_t size;
    const char *evp_name; /* NULL: not OpenSSL's */
} algs[DIGEST_COUNT] = {
    [DIGEST_CRC32] = {"crc32", 4, NULL},         [DIGEST_CRC32C] = {"crc32c", 4, NULL},
    [DIGEST_CRC64NVME] = {"crc64nvme", 8, NULL}, [DIGEST_MD5] = {"md5", 16, "MD5"},
    [DIGEST_SHA1] = {"sha1", 20, "SHA1"},        [DIGEST_SHA256] = {"sha256", 32, "SHA256"},
    [DIGEST_SHA512] = {"sha512", 64, "SHA512"},  [DIGEST_XXH3_128] = {"xxh3-128", 16, NULL},
};

/* Fetched once: an implicit fetch costs more than a small digest. */
static EVP_MD *fetched[DIGEST_COUNT];
static EVP_MAC *hmac;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void must(int ok)
{
    if (!ok)
        abort(); /* OpenSSL refuses a digest that every supported build has */
}

static void fetch_all(void)
{
    for (int i = 0; i < DIGEST_COUNT; i++) {
        if (algs[i].evp_name != NULL) {
            fetched[i] = EVP_MD_fetch(NULL, algs[i].evp_name, NULL);
            must(fetched[i] != NULL);
        }
    }
    hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    must(hmac != NULL);
}

struct digest *digest_new(enum digest_alg alg)
{
    (void)pthread_once(&once, fetch_all);
    struct digest *d = xzalloc(sizeof(*d));
    d->alg = alg;
    if (algs[alg].evp_name != NULL)
        must((d->evp = EVP_MD_CTX_new()) != NULL);
    if (alg == DIGEST_XXH3_128)
        must((d->xxh = XXH3_createState()) != NULL);
    digest_reset(d);
    return d;
}

void digest_free(struct digest *d)
{
    if (d == NULL)
        return;
    EVP_MD_CTX_free(d->evp);
    (void)XXH3_freeState(d->xxh);
    free(d);
}

void digest_reset(struct digest *d)
{
    d->crc = 0;
    if (d->evp != NULL)
        must(EVP_DigestInit_ex2(d->evp, fetched[d->alg], NULL));
    if (d->xxh != NULL)
        must(XXH3_128bits_reset(d->xxh) == XXH_OK);
}

static uint64_t crc32_zlib(uint64_t crc, const uint8_t *p, size_t n)
{
    return crc32_z(crc, p, n);
}

void digest_update(struct digest *d, const void *p, size_t n)
{
    if (d->evp != NULL)
        must(EVP_DigestUpdate(d->evp, p, n));
    else if (d->xxh != NULL)
        must(codec_xxh3_update(d->xxh, p, n) == XXH_OK);
    else if (d->alg == DIGEST_CRC32)
        d->crc = crc32_zlib(d->crc, p, n);
    else if (d->alg == DIGEST_CRC32C)
        d->crc = crc32c_update((uint32_t)d->crc, p, n);
    else
        d->crc = crc64nvme_update(d->crc, p, n);
}

size_t digest_final(struct digest *d, uint8_t *out)
{
    size_t n = algs[d->alg].size;
    if (d->evp != NULL) {
        unsigned len = 0;
        must(EVP_DigestFinal_ex(d->evp, out, &len));
    } else if (d->xxh != NULL) {
        XXH128_canonical_t c;
        XXH128_canonicalFromHash(&c, XXH3_128bits_digest(d->xxh));
        memcpy(out, c.digest, sizeof(c.digest));
    } else {
        for (size_t i = 0; i < n; i++)
            out[i] = (uint8_t)(d->crc >> 8 * (n - 1 - i));
    }
    return n;
}

enum digest_alg digest_algorithm(const struct digest *d)
{
    return d->alg;
}

size_t digest_size(enum digest_alg alg)
{
    return algs[alg].size;
}

const char *digest_name(enum digest_alg alg)
{
    return algs[alg].name;
}

int digest_parse(const char *name, enum digest_alg *out)
{
    for (int i = 0; i < DIGEST_COUNT; i++) {
        if (strcmp(name, algs[i].name) == 0) {
            *out = (enum digest_alg)i;
            return 0;
        }
    }
    return -EINVAL;
}

size_t digest_of(enum digest_alg alg, const void *p, size_t n, uint8_t *out)
{
    auto_digest struct digest *d = digest_new(alg);
    digest_update(d, p, n);
    return digest_final(d, out);
}

void digest_hmac_sha256(const void *key, size_t key_len, const void *p, size_t n, uint8_t *out)
{
    (void)pthread_once(&once, fetch_all);
    static _Thread_local EVP_MAC_CTX *ctx; /* lives as long as the thread's program */
    if (ctx == NULL)
        must((ctx = EVP_MAC_CTX_new(hmac)) != NULL);
    char name[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("digest", name, 0),
                           OSSL_PARAM_construct_end()};
    static const uint8_t empty_key[1];
    must(EVP_MAC_init(ctx, key_len > 0 ? key : empty_key, key_len, params));
    must(EVP_MAC_update(ctx, p, n));
    size_t len = 0;
    must(EVP_MAC_final(ctx, out, &len, 32));
}
