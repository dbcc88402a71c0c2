/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/mem.h"
#include "codec/chunk_impl.h"
#include "codec/digest.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct chunk_coder {
    enum chunk_codec codec;
    int level;
    const struct chunk_keys *keys;
    const char *key_id; /* NULL: chunks are not encrypted */
    struct chunk_frames *frames;
    struct chunk_cipher *cipher; /* NULL until it is needed */
};

static const char *const names[] = {"raw", "lz4", "zstd", "lz4-block"};

const char *chunk_codec_name(enum chunk_codec c)
{
    return names[c];
}

int chunk_codec_parse(const char *name, enum chunk_codec *out)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (enum chunk_codec)i;
            return 0;
        }
    }
    return -EINVAL;
}

struct chunk_coder *chunk_coder_new(enum chunk_codec codec, int level,
                                    const struct chunk_keys *keys, const char *key_id)
{
    bool unknown_key = key_id != NULL && chunk_keys_find(keys, key_id) == NULL;
    if (codec > CHUNK_ZSTD || unknown_key)
        return NULL;
    struct chunk_coder *c = xzalloc(sizeof(*c));
    *c = (struct chunk_coder){codec, level, keys, key_id, chunk_frames_new(), NULL};
    return c;
}

void chunk_coder_free(struct chunk_coder *c)
{
    if (c == NULL)
        return;
    chunk_frames_free(c->frames);
    chunk_cipher_free(c->cipher);
    free(c);
}

static struct chunk_cipher *cipher_of(struct chunk_coder *c)
{
    if (c->cipher == NULL)
        c->cipher = chunk_cipher_new();
    return c->cipher;
}

/* Compresses into at[cap] when that pays. Returns where the bytes to store are, *size long. */
static const void *frame(struct chunk_coder *c, const void *plain, size_t n, uint8_t *at,
                         size_t cap, struct chunk_info *info, size_t *size)
{
    *size = 0;
    if (c->codec != CHUNK_RAW && chunk_compressible(plain, n))
        *size = chunk_frame_write(c->frames, c->codec, c->level, plain, n, at, cap);
    info->codec = *size > 0 ? c->codec : CHUNK_RAW;
    if (*size > 0)
        return at;
    *size = n;
    return plain;
}

int chunk_encode(struct chunk_coder *c, const void *plain, size_t n, const void *aad, size_t naad,
                 void *out, size_t cap, struct chunk_info *info, const void **stored,
                 struct err *err)
{
    const uint8_t *key = c->key_id != NULL ? chunk_keys_find(c->keys, c->key_id) : NULL;
    size_t ahead = key != NULL ? CHUNK_HEADER : 0;
    size_t size = 0;
    memset(info, 0, sizeof(*info));
    if (cap < chunk_bound(n))
        return err_set(err, -ENOBUFS, "room of %zu bytes for a chunk of %zu", cap, n);
    info->plain_size = n;
    (void)digest_of(DIGEST_XXH3_128, plain, n, info->xxh3);
    *stored = frame(c, plain, n, (uint8_t *)out + ahead, cap - CHUNK_OVERHEAD, info, &size);
    if (key != NULL) {
        memcpy(info->key_id, c->key_id, strlen(c->key_id) + 1);
        size = chunk_seal(cipher_of(c), key, info, aad, naad, *stored, size, out);
        *stored = out;
    }
    info->stored_size = size;
    return 0;
}

/* Takes encryption off. *from and *size are what the frame is read from. */
static int unseal(struct chunk_coder *c, const struct chunk_info *info, const void *aad,
                  size_t naad, uint8_t **from, size_t *size, struct err *err)
{
    if (info->key_id[0] == '\0')
        return 0;
    const uint8_t *key = chunk_keys_find(c->keys, info->key_id);
    if (key == NULL)
        return err_set(err, -ENOKEY,
                       "encrypted with the key \"%s\", which the key file does not hold",
                       info->key_id);
    return chunk_unseal(cipher_of(c), key, info, aad, naad, *from, *size, from, size, err);
}

/* Takes compression off. *plain is where the data are. */
static int unframe(struct chunk_coder *c, const struct chunk_info *info, uint8_t *from, size_t size,
                   uint8_t *out, bool check, const void **plain, struct err *err)
{
    *plain = out;
    if (info->codec == CHUNK_LZ4_BLOCK)
        return chunk_decode_lz4_block(from, size, out, info->plain_size, err);
    if (info->codec != CHUNK_RAW)
        return chunk_frame_read(c->frames, info->codec, from, size, out, info->plain_size, check,
                                err);
    *plain = from;
    if (size != info->plain_size)
        return err_set(err, -EBADMSG, "%zu bytes of data, not %llu", size,
                       (unsigned long long)info->plain_size);
    return 0;
}

int chunk_decode(struct chunk_coder *c, const struct chunk_info *info, void *stored, size_t n,
                 const void *aad, size_t naad, void *out, size_t cap, bool check,
                 const void **plain, struct err *err)
{
    uint8_t *from = stored;
    size_t size = n;
    uint8_t got[DIGEST_MAX];
    const void *data = NULL;
    if (n != info->stored_size)
        return err_set(err, -EBADMSG, "%zu bytes stored, not %llu", n,
                       (unsigned long long)info->stored_size);
    if (info->codec != CHUNK_RAW && cap < info->plain_size)
        return err_set(err, -ENOBUFS, "room of %zu bytes for a chunk of %llu", cap,
                       (unsigned long long)info->plain_size);
    int rc = unseal(c, info, aad, naad, &from, &size, err);
    if (rc == 0)
        rc = unframe(c, info, from, size, out, check, &data, err);
    if (rc < 0)
        return rc;
    if (check) {
        size_t length = digest_of(DIGEST_XXH3_128, data, info->plain_size, got);
        if (memcmp(got, info->xxh3, length) != 0)
            return err_set(err, -EBADMSG, "the data do not have their XXH3-128");
    }
    *plain = data;
    return 0;
}
