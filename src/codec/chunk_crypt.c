/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "codec/chunk_impl.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#define VERSION     1
#define AES_256_GCM 1
#define STEP        (1UL << 30) /* EVP counts in int */

static const uint8_t magic[4] = {'F', 'I', 'R', 'N'};

struct chunk_cipher {
    EVP_CIPHER *cipher;
    EVP_CIPHER_CTX *ctx;
};

/* Memory or the library itself; never the data. */
static void must(int ok)
{
    if (!ok)
        abort();
}

struct chunk_cipher *chunk_cipher_new(void)
{
    struct chunk_cipher *c = xzalloc(sizeof(*c));
    c->cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    c->ctx = EVP_CIPHER_CTX_new();
    must(c->cipher != NULL && c->ctx != NULL);
    return c;
}

void chunk_cipher_free(struct chunk_cipher *c)
{
    if (c == NULL)
        return;
    EVP_CIPHER_CTX_free(c->ctx); /* wipes the key */
    EVP_CIPHER_free(c->cipher);
    free(c);
}

static void write_header(const struct chunk_info *info, uint8_t *h)
{
    memcpy(h, magic, sizeof(magic));
    h[4] = VERSION;
    h[5] = AES_256_GCM;
    h[6] = (uint8_t)info->codec;
    h[7] = 0;
    for (int i = 0; i < 8; i++)
        h[8 + i] = (uint8_t)(info->plain_size >> 8 * i);
}

/* Header and the caller's bytes are authenticated with the data. */
static void begin(struct chunk_cipher *c, bool encrypt, const uint8_t *key, const uint8_t *header,
                  const void *aad, size_t naad)
{
    int n = 0;
    must(EVP_CipherInit_ex2(c->ctx, c->cipher, key, header + CHUNK_HEADER - CHUNK_NONCE, encrypt,
                            NULL));
    must(EVP_CipherUpdate(c->ctx, NULL, &n, header, CHUNK_HEADER));
    if (naad > 0)
        must(EVP_CipherUpdate(c->ctx, NULL, &n, aad, (int)naad));
}

static void update(struct chunk_cipher *c, uint8_t *out, const uint8_t *in, size_t n)
{
    while (n > 0) {
        int done = 0;
        size_t part = n < STEP ? n : STEP;
        must(EVP_CipherUpdate(c->ctx, out, &done, in, (int)part));
        out += part;
        in += part;
        n -= part;
    }
}

size_t chunk_seal(struct chunk_cipher *c, const uint8_t *key, const struct chunk_info *info,
                  const void *aad, size_t naad, const void *in, size_t n, uint8_t *out)
{
    int done = 0;
    write_header(info, out);
    must(RAND_bytes(out + CHUNK_HEADER - CHUNK_NONCE, CHUNK_NONCE) == 1);
    begin(c, true, key, out, aad, naad);
    update(c, out + CHUNK_HEADER, in, n);
    uint8_t *tag = out + CHUNK_HEADER + n;
    must(EVP_CipherFinal_ex(c->ctx, tag, &done));
    must(EVP_CIPHER_CTX_ctrl(c->ctx, EVP_CTRL_AEAD_GET_TAG, CHUNK_TAG, tag));
    return CHUNK_HEADER + n + CHUNK_TAG;
}

int chunk_unseal(struct chunk_cipher *c, const uint8_t *key, const struct chunk_info *info,
                 const void *aad, size_t naad, uint8_t *stored, size_t n, uint8_t **plain,
                 size_t *size, struct err *err)
{
    uint8_t want[CHUNK_HEADER];
    int done = 0;
    if (n < CHUNK_HEADER + CHUNK_TAG)
        return err_set(err, -EBADMSG, "%zu bytes are too few for an encrypted chunk", n);
    write_header(info, want);
    if (memcmp(stored, want, CHUNK_HEADER - CHUNK_NONCE) != 0)
        return err_set(err, -EBADMSG, "no header of an encrypted chunk of this codec and size");
    size_t inner = n - CHUNK_HEADER - CHUNK_TAG;
    begin(c, false, key, stored, aad, naad);
    update(c, stored + CHUNK_HEADER, stored + CHUNK_HEADER, inner);
    must(EVP_CIPHER_CTX_ctrl(c->ctx, EVP_CTRL_AEAD_SET_TAG, CHUNK_TAG,
                             stored + CHUNK_HEADER + inner));
    if (EVP_CipherFinal_ex(c->ctx, stored + CHUNK_HEADER + inner, &done) != 1)
        return err_set(err, -EBADMSG, "not what was encrypted with the key \"%s\" for this place",
                       info->key_id);
    *plain = stored + CHUNK_HEADER;
    *size = inner;
    return 0;
}
