/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "tier/s3_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void s3_chunk_free(struct s3_chunk *ch)
{
    if (ch == NULL)
        return;
    free(ch->bucket);
    free(ch->key);
    free(ch->extents);
    free(ch);
}

static void free_xattr(struct tier_xattr *x)
{
    free((void *)(uintptr_t)x->key);
    free((void *)(uintptr_t)x->value);
}

void s3_copy_fini(struct s3_copy *c)
{
    for (size_t i = 0; i < c->nchunks; i++)
        s3_chunk_free(c->chunks[i]);
    for (size_t i = 0; i < c->nxattrs; i++)
        free_xattr(&c->xattrs[i]);
    free(c->chunks);
    free(c->xattrs);
    free(c->fs);
    free(c->path);
    free(c->label);
    free(c->hash);
    free(c->etag);
    memset(c, 0, sizeof(*c));
}

void s3_copy_add_chunk(struct s3_copy *c, struct s3_chunk *ch)
{
    if ((c->nchunks & (c->nchunks - 1)) == 0) /* grow at powers of two */
        c->chunks = xrealloc_array(c->chunks, c->nchunks > 0 ? 2 * c->nchunks : 1,
                                   sizeof(struct s3_chunk *));
    c->chunks[c->nchunks++] = ch;
}

static void note_hash(struct s3_copy *c, const char *key, const void *value, size_t len)
{
    static const char prefix[] = "ltfs.hash.";
    size_t n = strlen(key);
    if (strncmp(key, prefix, sizeof(prefix) - 1) != 0 || n < sizeof(prefix) + 3 ||
        strcmp(key + n - 3, "sum") != 0)
        return;
    free(c->hash);
    c->hash = xasprintf("%.*s:%.*s", (int)(n - 3 - (sizeof(prefix) - 1)), key + sizeof(prefix) - 1,
                        (int)len, (const char *)value);
}

void s3_copy_add_xattr(struct s3_copy *c, const char *key, const void *value, size_t len)
{
    size_t at = 0;
    uint8_t *copy = xzalloc(len + 1);
    if (len > 0)
        memcpy(copy, value, len);
    while (at < c->nxattrs && strcmp(c->xattrs[at].key, key) != 0)
        at++;
    if (at < c->nxattrs)
        free_xattr(&c->xattrs[at]);
    else
        c->xattrs = xrealloc_array(c->xattrs, ++c->nxattrs, sizeof(c->xattrs[0]));
    c->xattrs[at] = (struct tier_xattr){xstrdup(key), copy, len};
    note_hash(c, key, copy, len);
}

void s3_chunk_add_extent(struct s3_chunk *ch, uint64_t off, uint64_t len)
{
    struct s3_extent *last = ch->nextents > 0 ? &ch->extents[ch->nextents - 1] : NULL;
    if (len == 0)
        return;
    if (last != NULL && last->off + last->len == off) {
        last->len += len;
        return;
    }
    if (ch->extents == NULL || (ch->nextents & (ch->nextents - 1)) == 0)
        ch->extents = xrealloc_array(ch->extents, ch->nextents > 0 ? 2 * ch->nextents : 1,
                                     sizeof(ch->extents[0]));
    ch->extents[ch->nextents++] = (struct s3_extent){off, len};
}

uint64_t s3_chunk_count(uint64_t size, uint64_t chunk_size)
{
    return size / chunk_size + (size % chunk_size != 0);
}

static int check_chunk(const struct s3_copy *c, const struct s3_chunk *ch, struct err *err)
{
    uint64_t begin = ch->n * c->chunk_size;
    uint64_t end = c->size - begin < c->chunk_size ? c->size : begin + c->chunk_size;
    uint64_t sum = 0;
    uint64_t at = begin;
    for (size_t i = 0; i < ch->nextents; i++) {
        const struct s3_extent *e = &ch->extents[i];
        if (e->off < at || e->off >= end || e->len == 0 || e->len > end - e->off)
            return err_set(err, -EBADMSG, "chunk %llu: extent %llu+%llu does not belong there",
                           (unsigned long long)ch->n, (unsigned long long)e->off,
                           (unsigned long long)e->len);
        at = e->off + e->len;
        sum += e->len;
    }
    if (sum != ch->info.plain_size)
        return err_set(err, -EBADMSG, "chunk %llu: %llu bytes in extents of %llu",
                       (unsigned long long)ch->n, (unsigned long long)ch->info.plain_size,
                       (unsigned long long)sum);
    if (ch->info.stored_size > SIZE_MAX / 4 || ch->info.codec > CHUNK_ZSTD)
        return err_set(err, -EBADMSG, "chunk %llu: no size or codec that can be",
                       (unsigned long long)ch->n);
    return 0;
}

int s3_copy_check(const struct s3_copy *c, struct err *err)
{
    if (c->chunk_size == 0 || c->chunk_size > (1ULL << 40) || c->size > INT64_MAX)
        return err_set(err, -EBADMSG, "no size of chunks or file that can be");
    uint64_t count = s3_chunk_count(c->size, c->chunk_size);
    for (size_t i = 0; i < c->nchunks; i++) {
        const struct s3_chunk *ch = c->chunks[i];
        bool first_of_none = count == 0 && ch->n == 0;
        if ((ch->n >= count && !first_of_none) || (i > 0 && ch->n <= c->chunks[i - 1]->n))
            return err_set(err, -EBADMSG, "chunk %llu stands where it cannot be",
                           (unsigned long long)ch->n);
        int rc = check_chunk(c, ch, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

struct tier_entry s3_entry(const struct s3_copy *c, const struct tier_location *loc)
{
    return (struct tier_entry){.id = c->id,
                               .fs = c->fs != NULL ? c->fs : "",
                               .path = c->path != NULL ? c->path : "",
                               .size = c->size,
                               .mtime_ns = c->mtime_ns,
                               .location = loc,
                               .hash = c->hash,
                               .atime_ns = c->atime_ns,
                               .uid = c->uid,
                               .gid = c->gid,
                               .mode = c->mode,
                               .label = c->label,
                               .xattrs = c->xattrs,
                               .nxattrs = c->nxattrs};
}
