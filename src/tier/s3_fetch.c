/* SPDX-License-Identifier: Apache-2.0 */
/* One chunk from the store: nothing that is not what the copy says leaves this file as data. */
#include "base/cleanup.h"
#include "codec/digest.h"
#include "tier/s3_impl.h"

#include <errno.h>
#include <string.h>

#define TRIES 3

void s3_fetch_sizes(const struct s3_chunk *ch, size_t sizes[2])
{
    sizes[0] = ch->info.stored_size + 1; /* an empty chunk has a place too */
    sizes[1] = ch->info.codec == CHUNK_RAW ? 0 : ch->info.plain_size + 1;
}

/* Adds to err which part is wrong: what the store holds, or what was once encoded. */
static int explain(const struct s3_chunk *ch, const void *stored, struct err *err)
{
    uint8_t sum[DIGEST_MAX];
    (void)digest_of(DIGEST_XXH3_128, stored, ch->info.stored_size, sum);
    if (ch->has_stored_xxh3 && memcmp(sum, ch->stored_xxh3, S3_XXH3) != 0)
        return err_set(err, -EBADMSG, "the store gives other bytes than were stored");
    return -EBADMSG;
}

static int fetch_once(struct s3_worker *w, const struct s3_copy *c, const struct s3_chunk *ch,
                      struct memblock mem[2], struct store_cancel *cancel, const void **plain,
                      struct err *err)
{
    char aad[S3_AAD_MAX];
    auto_store_reply struct store_reply r = {0};
    size_t naad = s3_aad(&c->id, ch->n, aad);
    int rc = store_get(w->tier->store, ch->bucket, ch->key, ch->at, mem[0].data,
                       ch->info.stored_size, !ch->part, cancel, &r, err);
    if (rc == STORE_ABSENT)
        return err_set(err, -EBADMSG, "this chunk of the copy is missing");
    if (rc == STORE_ARCHIVED)
        return S3_FROZEN;
    if (rc == -EMSGSIZE)
        return err_set(err, -EBADMSG, "%lld bytes, not %llu as stored", (long long)r.size,
                       (unsigned long long)ch->info.stored_size);
    if (rc < 0)
        return rc;
    bool open = ch->info.key_id[0] == '\0'; /* decrypting overwrites what was stored */
    rc = chunk_decode(w->coder, &ch->info, mem[0].data, ch->info.stored_size, aad, naad,
                      mem[1].data, mem[1].size, true, plain, err);
    return rc == -EBADMSG && open ? explain(ch, mem[0].data, err) : rc;
}

int s3_fetch_chunk(struct s3_worker *w, const struct s3_copy *c, const struct s3_chunk *ch,
                   struct memblock mem[2], struct store_cancel *cancel, const void **plain,
                   struct err *err)
{
    int rc = -EBADMSG;
    if (c->source == S3_SOURCE_LEGACY)
        return s3_legacy_fetch(w, c, ch, mem, cancel, plain, err);
    if (c->source == S3_SOURCE_PLAIN)
        return s3_plain_fetch(w, c, ch, mem, cancel, plain, err);
    for (int i = 0; i < TRIES && rc == -EBADMSG; i++)
        rc = fetch_once(w, c, ch, mem, cancel, plain, err);
    return rc < 0 ? err_wrap(err, rc, "%s/%s", ch->bucket, ch->key) : rc;
}
