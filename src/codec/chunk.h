/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chunk: a piece of a file as a store keeps it. Compressed it is one standard frame (LZ4 Frame
 * Format 1.6 with content size and content checksum, or a Zstandard frame, RFC 8878, with both), so
 * that lz4(1) and zstd(1) read it; what compression does not shrink is stored raw. Encryption
 * (AES-256-GCM, NIST SP 800-38D) goes over the result. Works on memory only; a struct chunk_coder
 * is used by one thread at a time, keys by any.
 */
#ifndef CODEC_CHUNK_H
#define CODEC_CHUNK_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum chunk_codec { CHUNK_RAW = 0, CHUNK_LZ4 = 1, CHUNK_ZSTD = 2, CHUNK_LZ4_BLOCK = 3 };

#define CHUNK_KEY_ID_MAX 64 /* with NUL */
#define CHUNK_OVERHEAD   64 /* what encryption adds, at most: header, nonce, tag */

/* What a stored chunk is, all that decoding needs. */
struct chunk_info {
    enum chunk_codec codec;
    uint64_t plain_size;           /* bytes of the file in it */
    uint64_t stored_size;          /* bytes as stored */
    uint8_t xxh3[16];              /* XXH3-128 of the plain bytes, canonical (big endian) */
    char key_id[CHUNK_KEY_ID_MAX]; /* "" when it is not encrypted */
};

/*
 * An encrypted chunk: "FIRN", version (1), cipher (1: AES-256-GCM), codec (as in enum chunk_codec),
 * a zero byte, size of the plain data (8 bytes, little endian), nonce (12 random bytes); the
 * encrypted frame or raw data; tag (16 bytes). What is authenticated besides: the 28 bytes of the
 * header, then the caller's bytes (aad).
 */

struct chunk_keys;
struct chunk_coder;

/*
 * Reads a file of keys: lines "ID HEX", ID 1 to 63 of [A-Za-z0-9._-], HEX 64 digits (256 bits);
 * '#' begins a comment. Refused when others than its owner may read it. Returns 0 with *out (free
 * with chunk_keys_free), or -EINVAL, -EACCES, ... with err naming file and line; never the key.
 */
int chunk_keys_load(const char *path, struct chunk_keys **out, struct err *err);

/* Wipes and frees k; NULL is allowed. */
void chunk_keys_free(struct chunk_keys *k);

/* The id of the last key in the file, borrowed. */
const char *chunk_keys_newest(const struct chunk_keys *k);

/* Whether k (NULL: no keys) holds the key id. */
bool chunk_keys_has(const struct chunk_keys *k, const char *id);

/* "raw", "lz4", "zstd", "lz4-block"; static. */
const char *chunk_codec_name(enum chunk_codec c);

/* The codec of this name. Returns 0, or -EINVAL. */
int chunk_codec_parse(const char *name, enum chunk_codec *out);

/* Whether n bytes at p are worth compressing: a probe of a part of them, about a microsecond for
 * small and 100 us for large chunks. */
bool chunk_compressible(const void *p, size_t n);

/* Room that encoding n plain bytes wants, encryption included: n and a little. */
size_t chunk_bound(size_t n);

/*
 * A coder that writes codec (RAW, LZ4 or ZSTD) at level (zstd: 1 to 19; LZ4: 0 the default, 3 to 12
 * high compression; below 0 faster) and encrypts with key_id of
 * keys (both NULL: not at all). keys are borrowed and serve decoding too. Never NULL for arguments
 * that hold; NULL for a codec that cannot be written. Free with chunk_coder_free.
 */
struct chunk_coder *chunk_coder_new(enum chunk_codec codec, int level,
                                    const struct chunk_keys *keys, const char *key_id);

/* Wipes and frees c; NULL is allowed. */
void chunk_coder_free(struct chunk_coder *c);

/*
 * Encodes n bytes at plain. aad (naad bytes, may be NULL) is bound to an encrypted chunk without
 * being stored: id and number of the chunk, so that chunks cannot be exchanged. On return *info is
 * filled and *stored points to the bytes to store: either into out (cap >= chunk_bound(n)) or, for
 * raw without encryption, plain itself. Returns 0, or a negative code with err.
 */
int chunk_encode(struct chunk_coder *c, const void *plain, size_t n, const void *aad, size_t naad,
                 void *out, size_t cap, struct chunk_info *info, const void **stored,
                 struct err *err);

/*
 * Decodes the stored bytes of a chunk into out (cap >= info->plain_size) and compares the XXH3-128
 * with info (unless check is false). *plain points to the data: out, or for raw chunks a place
 * inside stored; stored may be overwritten. out may be NULL for raw chunks. Returns 0; -EBADMSG
 * when the bytes are not what info says; -ENOKEY when info->key_id is not among the keys; -ENOBUFS
 * when cap is too small; err says which.
 */
int chunk_decode(struct chunk_coder *c, const struct chunk_info *info, void *stored, size_t n,
                 const void *aad, size_t naad, void *out, size_t cap, bool check,
                 const void **plain, struct err *err);

/*
 * Decodes one raw LZ4 block (LZ4 Block Format; the objects of lustre-s3-copytool) that must give
 * exactly n bytes into out. Returns 0, or -EBADMSG with err.
 */
int chunk_decode_lz4_block(const void *stored, size_t stored_size, void *out, size_t n,
                           struct err *err);

#endif
