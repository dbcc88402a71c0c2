/* SPDX-License-Identifier: Apache-2.0 */
/* The SHA256_* calls are three times as fast as EVP on the short texts that signatures are made of;
 * OpenSSL 3 keeps them, marked as deprecated in favour of the slower way. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "codec/digest.h"

#include "base/mem.h"
#include "codec/codec_impl.h"
#include "codec/crc.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
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
    if (alg == DIGEST_SHA256) {
        SHA256_CTX c;
        must(SHA256_Init(&c) && SHA256_Update(&c, p, n) && SHA256_Final(out, &c));
        return SHA256_DIGEST_LENGTH;
    }
    auto_digest struct digest *d = digest_new(alg);
    digest_update(d, p, n);
    return digest_final(d, out);
}

/* Begins the inner (pad 0x36) or outer (pad 0x5c) hash of RFC 2104 with a key of one block. */
static void hmac_begin(SHA256_CTX *c, const uint8_t *block, uint8_t pad)
{
    uint8_t padded[SHA256_CBLOCK];
    for (size_t i = 0; i < sizeof(padded); i++)
        padded[i] = block[i] ^ pad;
    must(SHA256_Init(c) && SHA256_Update(c, padded, sizeof(padded)));
    OPENSSL_cleanse(padded, sizeof(padded));
}

void digest_hmac_sha256(const void *key, size_t key_len, const void *p, size_t n, uint8_t *out)
{
    uint8_t block[SHA256_CBLOCK] = {0};
    SHA256_CTX c;
    if (key_len > sizeof(block))
        (void)digest_of(DIGEST_SHA256, key, key_len, block);
    else if (key_len > 0)
        memcpy(block, key, key_len);
    hmac_begin(&c, block, 0x36);
    must(SHA256_Update(&c, p, n) && SHA256_Final(out, &c));
    hmac_begin(&c, block, 0x5c);
    must(SHA256_Update(&c, out, SHA256_DIGEST_LENGTH) && SHA256_Final(out, &c));
    OPENSSL_cleanse(block, sizeof(block));
    OPENSSL_cleanse(&c, sizeof(c));
}
