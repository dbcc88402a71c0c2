/* SPDX-License-Identifier: Apache-2.0 */
/* Archives that lustre-s3-copytool wrote: objects "<FID>.<n>", spread by djb2 of the key, each one
 * raw LZ4 block with seven pieces of metadata, no manifest. doc/design/tier-s3.md, "Older
 * archives". */
#include "base/cleanup.h"
#include "base/mem.h"
#include "codec/digest.h"
#include "codec/encode.h"
#include "tier/s3_impl.h"

#include <errno.h>
#include <string.h>

#define TRIES          3
#define CHUNK_SIZE_MAX 0x7E000000 /* what LZ4 takes at once */
#define CHUNKS_MAX     (1ULL << 26)

static uint64_t djb2(const char *key)
{
    uint64_t h = 5381;
    for (; *key != '\0'; key++)
        h = h * 33 + (uint8_t)*key;
    return h;
}

const char *s3_legacy_bucket(const struct s3_tier *s, const char *key)
{
    return s->buckets[djb2(key) % s->nbuckets];
}

static bool is_fid(const char *fid)
{
    static const size_t ends[] = {16, 25, 34};
    for (size_t i = 0, at = 0; i < 3; i++) {
        size_t n = ends[i] - at;
        if (strspn(fid + at, "0123456789abcdef") != n || fid[ends[i]] != (i < 2 ? '_' : '\0'))
            return false;
        at = ends[i] + 1;
    }
    return true;
}

static int number(const struct store_reply *r, const char *name, int64_t *out)
{
    const char *text = store_reply_meta(r, name);
    char *end = NULL;
    if (text == NULL || *text == '\0')
        return -ENOENT;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return errno != 0 || *end != '\0' ? -EINVAL : 0;
}

static int sizes_of(const struct store_reply *r, uint64_t *total, uint64_t *chunk, struct err *err)
{
    int64_t t = -1;
    int64_t c = -1;
    if (number(r, "totallength", &t) != 0 || number(r, "chunksize", &c) != 0)
        return err_set(err, -EBADMSG,
                       "its metadata totallength and chunksize are missing or no numbers, so its "
                       "length is not known");
    if (t < 0 || c <= 0 || c > CHUNK_SIZE_MAX || (uint64_t)(t / c) > CHUNKS_MAX)
        return err_set(err, -EBADMSG, "a length of %lld in chunks of %lld bytes cannot be",
                       (long long)t, (long long)c);
    *total = (uint64_t)t;
    *chunk = (uint64_t)c;
    return 0;
}

static void id_of(const struct store_reply *r, const char *name, uint32_t *out)
{
    int64_t v = 0;
    if (number(r, name, &v) == 0)
        *out = (uint32_t)(int32_t)v; /* printed as signed 32 bits */
}

static void add_chunk(const struct s3_tier *s, const char *fid, uint64_t n, struct s3_copy *c)
{
    struct s3_chunk *ch = xzalloc(sizeof(*ch));
    uint64_t begin = n * c->chunk_size;
    uint64_t left = c->size - begin;
    uint64_t plain = left < c->chunk_size ? left : c->chunk_size;
    ch->n = n;
    ch->key = xasprintf("%s.%llu", fid, (unsigned long long)n);
    ch->bucket = xstrdup(s3_legacy_bucket(s, ch->key));
    ch->info.codec = CHUNK_LZ4_BLOCK;
    ch->info.plain_size = plain;
    ch->info.stored_size = plain + plain / 255 + 16; /* at most */
    s3_chunk_add_extent(ch, begin, plain);
    s3_copy_add_chunk(c, ch);
}

int s3_legacy_load(struct s3_lane *l, const char *fid, struct s3_copy *c, struct err *err)
{
    auto_store_reply struct store_reply r = {0};
    auto_free char *key = xasprintf("%s.0", fid);
    const char *bucket = s3_legacy_bucket(l->s, key);
    if (!is_fid(fid))
        return err_set(err, -EINVAL, "\"%s\" is no FID as objects of lustre-s3-copytool have it",
                       fid);
    int rc = store_head(l->s->store, bucket, key, &l->cancel, &r, err);
    if (rc == STORE_ABSENT)
        return TIER_ABSENT;
    c->source = S3_SOURCE_LEGACY;
    if (rc == 0)
        rc = sizes_of(&r, &c->size, &c->chunk_size, err);
    if (rc < 0)
        return err_wrap(err, rc, "%s: %s/%s", l->name, bucket, key);
    id_of(&r, "uid", &c->uid);
    id_of(&r, "gid", &c->gid);
    /* The path is "<mount>/.lustre/fid/0x...": no name, but all that is known. */
    const char *path = store_reply_meta(&r, "path");
    const char *inside = path != NULL ? strstr(path, ".lustre/") : NULL;
    c->fs = xstrdup("");
    c->path = xstrdup(inside != NULL ? inside : fid);
    c->mtime_ns = r.modified_ns;
    uint64_t count = s3_chunk_count(c->size, c->chunk_size);
    for (uint64_t n = 0; n < (count > 0 ? count : 1); n++)
        add_chunk(l->s, fid, n, c);
    return 0;
}

/* All chunks were written with the same metadata, unless writing anew was interrupted. */
static int check_same(const struct store_reply *r, const struct s3_copy *c, struct err *err)
{
    uint64_t total = 0;
    uint64_t chunk = 0;
    int rc = sizes_of(r, &total, &chunk, err);
    if (rc < 0)
        return rc;
    if (total != c->size || chunk != c->chunk_size)
        return err_set(
            err, -EBADMSG,
            "a chunk of another version of the file (%llu bytes in chunks of %llu, not "
            "%llu of %llu): archiving it again was interrupted, neither version is whole",
            (unsigned long long)total, (unsigned long long)chunk, (unsigned long long)c->size,
            (unsigned long long)c->chunk_size);
    return 0;
}

static int check_md5(const struct store_reply *r, const void *data, size_t n, struct err *err)
{
    uint8_t sum[DIGEST_MAX];
    char hex[ENCODE_HEX_SIZE(16)];
    if (!r->etag_is_md5)
        return 0; /* copied in parts, or encrypted by the store */
    (void)digest_of(DIGEST_MD5, data, n, sum);
    encode_hex(sum, 16, hex);
    return strcasecmp(hex, r->etag) == 0
               ? 0
               : err_set(err, -EBADMSG, "the store gives other bytes than were stored (MD5)");
}

static int fetch_once(struct s3_worker *w, const struct s3_copy *c, const struct s3_chunk *ch,
                      struct memblock mem[2], struct store_cancel *cancel, struct err *err)
{
    struct store *s = w->tier->store;
    auto_store_reply struct store_reply head = {0};
    auto_store_reply struct store_reply got = {0};
    int rc = store_head(s, ch->bucket, ch->key, cancel, &head, err);
    if (rc == STORE_ABSENT)
        return err_set(err, -EBADMSG, "this chunk of the archive is missing");
    if (rc == 0)
        rc = check_same(&head, c, err);
    if (rc < 0)
        return rc;
    if (head.size < 0 || (uint64_t)head.size > ch->info.stored_size)
        return err_set(err, -EBADMSG, "%lld bytes are more than %llu can become",
                       (long long)head.size, (unsigned long long)ch->info.plain_size);
    rc = store_get(s, ch->bucket, ch->key, 0, mem[0].data, (size_t)head.size, true, cancel, &got,
                   err);
    if (rc == STORE_ARCHIVED)
        return S3_FROZEN;
    if (rc == STORE_ABSENT || rc == -EMSGSIZE)
        return err_set(err, -EBADMSG, "the object changed while it was read");
    if (rc == 0)
        rc = check_same(&got, c, err);
    if (rc == 0)
        rc = check_md5(&got, mem[0].data, (size_t)head.size, err);
    return rc < 0 ? rc
                  : chunk_decode_lz4_block(mem[0].data, (size_t)head.size, mem[1].data,
                                           ch->info.plain_size, err);
}

int s3_legacy_fetch(struct s3_worker *w, const struct s3_copy *c, const struct s3_chunk *ch,
                    struct memblock mem[2], struct store_cancel *cancel, const void **plain,
                    struct err *err)
{
    int rc = -EBADMSG;
    for (int i = 0; i < TRIES && rc == -EBADMSG; i++)
        rc = fetch_once(w, c, ch, mem, cancel, err);
    *plain = mem[1].data;
    return rc < 0 ? err_wrap(err, rc, "%s/%s (archive of lustre-s3-copytool)", ch->bucket, ch->key)
                  : rc;
}

int s3_legacy_remove(struct s3_lane *l, const char *fid, struct err *err)
{
    auto_s3_copy struct s3_copy c = {0};
    int rc = s3_legacy_load(l, fid, &c, err);
    if (rc != 0)
        return rc;
    /* One more than there should be: an interrupted change may have left it. The first goes last,
     * so that a remove that fails can be done again. */
    for (uint64_t n = c.nchunks + 1; n > 0 && rc == 0; n--) {
        auto_free char *key = xasprintf("%s.%llu", fid, (unsigned long long)(n - 1));
        rc = store_delete(l->s->store, s3_legacy_bucket(l->s, key), key, &l->cancel, err);
    }
    return rc < 0 ? err_wrap(err, rc, "%s: deleting %s", l->name, fid) : 0;
}
