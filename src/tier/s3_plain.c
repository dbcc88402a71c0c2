/* SPDX-License-Identifier: Apache-2.0 */
/* Plain objects of others (FSx for Lustre, rclone, aws s3 cp): one object is one file; its metadata
 * may tell owner, mode and times. Read in pieces of the tier's chunk size. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "codec/digest.h"
#include "codec/encode.h"
#include "tier/s3_impl.h"

#include <errno.h>
#include <string.h>

#define TRIES 3

static void add_pieces(const char *bucket, const char *key, struct s3_copy *c)
{
    uint64_t count = s3_chunk_count(c->size, c->chunk_size);
    for (uint64_t n = 0; n < count; n++) {
        struct s3_chunk *ch = xzalloc(sizeof(*ch));
        uint64_t begin = n * c->chunk_size;
        uint64_t size = c->size - begin < c->chunk_size ? c->size - begin : c->chunk_size;
        ch->n = n;
        ch->bucket = xstrdup(bucket);
        ch->key = xstrdup(key);
        ch->info.plain_size = ch->info.stored_size = size;
        s3_chunk_add_extent(ch, begin, size);
        s3_copy_add_chunk(c, ch);
    }
}

int s3_plain_load(struct s3_lane *l, const char *where, struct s3_copy *c, struct err *err)
{
    auto_store_reply struct store_reply r = {0};
    auto_free char *bucket = NULL;
    const char *key = NULL;
    int rc = s3_split_location(where, &bucket, &key, err);
    if (rc == 0)
        rc = store_head(l->s->store, bucket, key, &l->cancel, &r, err);
    if (rc == STORE_ABSENT)
        return TIER_ABSENT;
    if (rc == 0 && r.size < 0)
        rc = err_set(err, -EBADMSG, "the store does not tell its size");
    if (rc < 0)
        return err_wrap(err, rc, "%s: %s", l->name, where);
    c->source = S3_SOURCE_PLAIN;
    c->fs = xstrdup("");
    c->path = xstrdup(key);
    c->size = (uint64_t)r.size;
    c->chunk_size = l->s->chunk_size;
    c->mtime_ns = r.modified_ns;
    c->etag = xstrdup(r.etag);
    s3_meta_posix(&r, c);
    add_pieces(bucket, key, c);
    return 0;
}

static int check_piece(const struct s3_copy *c, const struct store_reply *r, const void *data,
                       size_t n, struct err *err)
{
    uint8_t sum[DIGEST_MAX];
    char hex[ENCODE_HEX_SIZE(16)];
    if (strcmp(r->etag, c->etag) != 0)
        return err_set(err, -EBADMSG, "the object changed while it was read");
    if (c->nchunks > 1 || !r->etag_is_md5)
        return 0;
    (void)digest_of(DIGEST_MD5, data, n, sum);
    encode_hex(sum, 16, hex);
    return strcasecmp(hex, r->etag) == 0
               ? 0
               : err_set(err, -EBADMSG, "the store gives other bytes than were stored (MD5)");
}

int s3_plain_fetch(struct s3_worker *w, const struct s3_copy *c, const struct s3_chunk *ch,
                   struct memblock mem[2], struct store_cancel *cancel, const void **plain,
                   struct err *err)
{
    int rc = -EBADMSG;
    size_t n = ch->info.stored_size;
    for (int i = 0; i < TRIES && rc == -EBADMSG; i++) {
        auto_store_reply struct store_reply r = {0};
        rc = store_get(w->tier->store, ch->bucket, ch->key, ch->n * c->chunk_size, mem[0].data, n,
                       c->nchunks == 1, cancel, &r, err);
        if (rc == STORE_ARCHIVED)
            return S3_FROZEN;
        if (rc == STORE_ABSENT || rc == -EMSGSIZE)
            rc = err_set(err, -EBADMSG, "the object is gone, or has changed");
        if (rc == 0)
            rc = check_piece(c, &r, mem[0].data, n, err);
    }
    *plain = mem[0].data;
    return rc < 0 ? err_wrap(err, rc, "%s/%s", ch->bucket, ch->key) : rc;
}
