/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside codec: the three steps of a chunk (frame, encryption, keys) behind chunk.h. One thread at
 * a time per struct.
 */
#ifndef CODEC_CHUNK_IMPL_H
#define CODEC_CHUNK_IMPL_H

#include "codec/chunk.h"

#define CHUNK_KEY_BYTES 32
/* magic 4, version 1, cipher 1, codec 1, zero 1, plain size 8 (little endian), nonce 12 */
#define CHUNK_HEADER 28
#define CHUNK_NONCE  12
#define CHUNK_TAG    16

struct chunk_frames; /* contexts of the frame libraries, made on first use */
struct chunk_cipher; /* a cipher and its context */

/* Contexts for frames; never NULL. Free with chunk_frames_free (NULL allowed). */
struct chunk_frames *chunk_frames_new(void);
void chunk_frames_free(struct chunk_frames *f);

/* Compresses n bytes of plain into out[cap] as one frame of codec (LZ4, ZSTD). Returns the size of
 * the frame; 0 when it would not be smaller than n bytes or not fit. */
size_t chunk_frame_write(struct chunk_frames *f, enum chunk_codec codec, int level,
                         const void *plain, size_t n, void *out, size_t cap);

/* Decodes exactly one frame of codec, stored[n], that must give exactly size bytes into out.
 * checked: the caller compares a digest afterwards, so that the frame's own need not be computed.
 * Returns 0, or -EBADMSG with err. */
int chunk_frame_read(struct chunk_frames *f, enum chunk_codec codec, const void *stored, size_t n,
                     void *out, size_t size, bool checked, struct err *err);

/* A cipher context; never NULL. Free with chunk_cipher_free (NULL allowed). */
struct chunk_cipher *chunk_cipher_new(void);
void chunk_cipher_free(struct chunk_cipher *c);

/* Writes CHUNK_HEADER, the n bytes of in encrypted, and CHUNK_TAG to out; in may lie at
 * out + CHUNK_HEADER. Returns the size, n + CHUNK_HEADER + CHUNK_TAG. */
size_t chunk_seal(struct chunk_cipher *c, const uint8_t *key, const struct chunk_info *info,
                  const void *aad, size_t naad, const void *in, size_t n, uint8_t *out);

/* Checks and decrypts stored[n] in place. *plain and *size get the bytes between header and tag.
 * Returns 0, or -EBADMSG with err. */
int chunk_unseal(struct chunk_cipher *c, const uint8_t *key, const struct chunk_info *info,
                 const void *aad, size_t naad, uint8_t *stored, size_t n, uint8_t **plain,
                 size_t *size, struct err *err);

/* The key (CHUNK_KEY_BYTES) of this id in k, borrowed; NULL when it is not there. k may be NULL. */
const uint8_t *chunk_keys_find(const struct chunk_keys *k, const char *id);

#endif
