/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests of data, one-shot and streaming, behind one enum. Called by the mover, the tape code and
 * the S3 gateway, each with its own struct digest; one thread at a time per struct, no shared
 * state. CRC32 comes from zlib, MD5 and SHA from OpenSSL, XXH3 from libxxhash; CRC32C and CRC64NVME
 * are own code, since no Debian 12 library has both.
 */
#ifndef CODEC_DIGEST_H
#define CODEC_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define DIGEST_MAX 64 /* bytes of the longest value */

enum digest_alg {
    DIGEST_CRC32,     /* 4 bytes; IEEE 802.3, check value CBF43926 */
    DIGEST_CRC32C,    /* 4 bytes; Castagnoli (RFC 3720, B.4), check value E3069283 */
    DIGEST_CRC64NVME, /* 8 bytes; NVM Express command set 1.0 64b guard, check value
                         AE8B14860A799888 */
    DIGEST_MD5,       /* 16 bytes; RFC 1321 */
    DIGEST_SHA1,      /* 20 bytes; FIPS 180-4 */
    DIGEST_SHA256,    /* 32 bytes; FIPS 180-4 */
    DIGEST_SHA512,    /* 64 bytes; FIPS 180-4 */
    DIGEST_XXH3_128,  /* 16 bytes; XXH3 of xxHash 0.8, canonical (big-endian) form, seed 0 */
    DIGEST_COUNT
};

struct digest;

/* A new running digest. Never NULL (aborts if the library refuses a known algorithm). Free with
 * digest_free. */
struct digest *digest_new(enum digest_alg alg);

/* Frees d; NULL is allowed. */
void digest_free(struct digest *d);

/* Starts d anew, with the same algorithm. */
void digest_reset(struct digest *d);

/* Adds n bytes of p. */
void digest_update(struct digest *d, const void *p, size_t n);

/* Writes the value, big-endian, digest_size() bytes, into out[DIGEST_MAX]; d must be reset or freed
 * afterwards. Returns the number of bytes. */
size_t digest_final(struct digest *d, uint8_t *out);

/* The algorithm of d. */
enum digest_alg digest_algorithm(const struct digest *d);

/* Bytes in a value of alg. */
size_t digest_size(enum digest_alg alg);

/* Lower-case name of alg ("crc32", "crc32c", "crc64nvme", "md5", "sha1", "sha256", "sha512",
 * "xxh3-128"); static. */
const char *digest_name(enum digest_alg alg);

/* Finds an algorithm by digest_name. Returns 0 with *out set, or -EINVAL. */
int digest_parse(const char *name, enum digest_alg *out);

/* The digest of n bytes of p into out[DIGEST_MAX]. Returns the number of bytes. */
size_t digest_of(enum digest_alg alg, const void *p, size_t n, uint8_t *out);

/* HMAC-SHA256 (RFC 2104) of n bytes of p under key, into out[32]. */
void digest_hmac_sha256(const void *key, size_t key_len, const void *p, size_t n, uint8_t *out);

static inline void cleanup_digest(struct digest **d)
{
    digest_free(*d);
}
#define auto_digest __attribute__((cleanup(cleanup_digest)))

#endif
