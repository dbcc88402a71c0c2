/* SPDX-License-Identifier: Apache-2.0 */
/* One object to the store: encoded, described, and proven to be there. */
#include "base/cleanup.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/digest.h"
#include "tier/s3_impl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TRIES 3 /* of an object that came to the store otherwise than it was sent */

static int compare(struct s3_worker *w, const struct store_put *put, void *spare, size_t nspare,
                   struct store_cancel *cancel, struct err *err)
{
    const uint8_t *data = put->data;
    for (size_t off = 0; off < put->size;) {
        size_t n = put->size - off < nspare ? put->size - off : nspare;
        bool whole = n == put->size;
        int rc = store_get(w->tier->store, put->bucket, put->key, off, spare, n, whole, cancel,
                           NULL, err);
        if (rc == STORE_ABSENT || rc == -EMSGSIZE)
            return err_set(err, -EBADMSG, "read back, it is not there or of another size");
        if (rc != 0)
            return rc < 0 ? rc : err_set(err, -EBADMSG, "it cannot be read back: archived at once");
        if (memcmp(spare, data + off, n) != 0)
            return err_set(err, -EBADMSG, "read back, its bytes are others");
        off += n;
    }
    return 0;
}

/* An empty object has nothing to be read back but its size. */
static int compare_size(struct s3_worker *w, const struct store_put *put,
                        struct store_cancel *cancel, struct err *err)
{
    auto_store_reply struct store_reply r = {0};
    int rc = store_head(w->tier->store, put->bucket, put->key, cancel, &r, err);
    if (rc < 0)
        return rc;
    return rc == 0 && r.size == (int64_t)put->size
               ? 0
               : err_set(err, -EBADMSG, "it is not there, or of another size");
}

static int read_back(struct s3_worker *w, const struct store_put *put, void *spare, size_t nspare,
                     struct store_cancel *cancel, struct err *err)
{
    if (put->size == 0)
        return compare_size(w, put, cancel, err);
    if (nspare >= put->size)
        return compare(w, put, spare, nspare, cancel, err);
    if (w->scratch == NULL)
        w->scratch = xzalloc(S3_SCRATCH);
    return compare(w, put, w->scratch, S3_SCRATCH, cancel, err);
}

static int send_once(struct s3_worker *w, const struct store_put *put, void *spare, size_t nspare,
                     struct store_cancel *cancel, struct err *err)
{
    struct s3_tier *s = w->tier;
    bool proven = false;
    int rc = store_put(s->store, put, cancel, &proven, NULL, err);
    if (rc < 0)
        return rc;
    if (proven)
        s->proves = true;
    if (s->verify == S3_VERIFY_READ || (s->verify == S3_VERIFY_AUTO && !proven))
        return read_back(w, put, spare, nspare, cancel, err);
    if (!proven)
        return err_set(err, -EBADMSG,
                       "the store gives no checksum of what it holds, so nothing proves this copy; "
                       "set verify to \"auto\" or \"read\"");
    return 0;
}

int s3_send_object(struct s3_worker *w, const struct store_put *put, void *spare, size_t nspare,
                   struct store_cancel *cancel, struct err *err)
{
    int rc = send_once(w, put, spare, nspare, cancel, err);
    bool again = w->tier->verify != S3_VERIFY_CHECKSUM || w->tier->proves;
    for (int i = 1; i < TRIES && rc == -EBADMSG && again; i++)
        rc = send_once(w, put, spare, nspare, cancel, err);
    return rc < 0 ? err_wrap(err, rc, "%s/%s", put->bucket, put->key) : 0;
}

/* The bytes that bind an encrypted chunk to its place: "<uuid>/<n>". */
size_t s3_aad(const struct uuid *id, uint64_t n, char *out)
{
    uuid_format(id, out);
    int len =
        snprintf(out + UUID_TEXT - 1, S3_AAD_MAX - UUID_TEXT + 1, "/%llu", (unsigned long long)n);
    return UUID_TEXT - 1 + (size_t)len;
}

/* Gives back the buffer that does not hold what is sent; it is kept while reading back may want
 * it. */
static void give_back_other(struct s3_tier *s, struct s3_filling *f, const void *stored)
{
    bool in_plain = stored == f->mem[0].data;
    if (s->verify == S3_VERIFY_READ || !s->proves)
        return;
    membudget_put(s->memory, &f->mem[in_plain ? 1 : 0]);
}

int s3_encode_chunk(struct s3_worker *w, const struct s3_copy *c, struct s3_filling *f,
                    const void **stored, struct err *err)
{
    char aad[S3_AAD_MAX];
    uint8_t sum[DIGEST_MAX];
    struct s3_chunk *ch = f->chunk;
    size_t naad = s3_aad(&c->id, ch->n, aad);
    ch->has_stored_xxh3 = true;
    if (f->mem[1].data == NULL) { /* raw and not encrypted: nothing to encode into */
        ch->info = (struct chunk_info){.plain_size = f->fill, .stored_size = f->fill};
        (void)digest_of(DIGEST_XXH3_128, f->mem[0].data, f->fill, sum);
        memcpy(ch->info.xxh3, sum, S3_XXH3);
        memcpy(ch->stored_xxh3, sum, S3_XXH3);
        *stored = f->mem[0].data;
        return 0;
    }
    int rc = chunk_encode(w->coder, f->mem[0].data, f->fill, aad, naad, f->mem[1].data,
                          f->mem[1].size, &ch->info, stored, err);
    if (rc < 0)
        return rc;
    (void)digest_of(DIGEST_XXH3_128, *stored, ch->info.stored_size, sum);
    memcpy(ch->stored_xxh3, sum, S3_XXH3);
    return 0;
}

/* What closes a copy by itself lies beside the folder that chunks would lie in: stores whose
 * objects are files make none for it, and the two never stand in each other's way. */
static void name_sole(struct s3_tier *s, const struct s3_copy *c, struct s3_chunk *ch)
{
    auto_free char *stem = s3_key_stem(s, &c->id, c->label);
    free(ch->bucket);
    free(ch->key);
    ch->bucket = xstrdup(s3_bucket_for(s, &c->id, NULL));
    ch->key = xasprintf("%s%s", stem, S3_SOLE);
}

int s3_send_chunk(struct s3_worker *w, const struct s3_copy *c, struct s3_filling *f, bool closing,
                  struct store_cancel *cancel, bool *closed, struct err *err)
{
    struct s3_tier *s = w->tier;
    struct s3_chunk *ch = f->chunk;
    struct s3_fields meta;
    const void *stored = NULL;
    int rc = s3_encode_chunk(w, c, f, &stored, err);
    *closed = rc == 0 && closing && s3_meta_sole(c, ch, &meta);
    if (*closed)
        name_sole(s, c, ch);
    else if (rc == 0)
        s3_meta_chunk(c, ch, &meta);
    if (rc == 0) {
        give_back_other(s, f, stored);
        struct memblock *spare = &f->mem[stored == f->mem[0].data ? 1 : 0];
        struct store_put put = {.bucket = ch->bucket,
                                .key = ch->key,
                                .data = stored,
                                .size = ch->info.stored_size,
                                .meta = meta.list,
                                .nmeta = meta.n};
        rc = s3_send_object(w, &put, spare->data, spare->size, cancel, err);
    }
    membudget_put(s->memory, &f->mem[0]);
    membudget_put(s->memory, &f->mem[1]);
    if (rc == 0)
        crash_point(CRASH_s3_chunk_put);
    return rc;
}
