/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading files. A whole record goes from the drive into the caller's buffer; a part goes through
 * the record cache, so that small files sharing a record cost one read. The head is moved only when
 * the wanted block is not the next one.
 */
#include "tape/drive_impl.h"
#include "tape/ltfs_impl.h"

#include "base/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct ltfs_reader {
    struct ltfs_volume *v;
    const struct ltfs_node *n;
    uint64_t offset;
};

/* Reads the record at block of partition into buf, which takes a whole one. */
static int read_record(struct ltfs_volume *v, unsigned partition, uint64_t block, void *buf,
                       size_t *len, struct err *err)
{
    int rc = ltfs_head_to(v, partition, block, err);
    if (rc < 0)
        return rc;
    rc = drive_read_record(v->drive, buf, v->label.blocksize, len, err);
    if (rc == 0) {
        v->head.block++;
        return 0;
    }
    v->head_known = false;
    if (rc > 0)
        return err_set(err, -EIO, "cartridge %s: partition %c block %" PRIu64 " holds no data (%s)",
                       v->barcode, drive_letter(partition), block,
                       rc == DRIVE_FILEMARK ? "a file mark" : "end of data");
    return rc;
}

static int too_short(const struct ltfs_volume *v, const struct ltfs_extent *e, uint64_t block,
                     struct err *err)
{
    return err_set(err, -EIO,
                   "cartridge %s: partition %c block %" PRIu64 " is shorter than its file needs",
                   v->barcode, drive_letter(e->partition), block);
}

/* Reads up to len bytes at in-extent offset delta, from one record; *got bytes. */
static int read_part(struct ltfs_volume *v, const struct ltfs_extent *e, uint64_t delta, void *buf,
                     size_t len, size_t *got, struct err *err)
{
    const size_t bs = v->label.blocksize;
    const uint64_t at = e->byteoffset + delta;
    const uint64_t block = e->block + at / bs;
    const size_t in = (size_t)(at % bs);
    size_t n = len < bs - in ? len : bs - in;
    size_t have;

    if (v->fill > 0 && e->partition == v->data_part && block == v->data_eod && v->eod_known) {
        memcpy(buf, v->pack + in, n); /* committed, not on tape yet */
        *got = n;
        return 0;
    }
    if (in == 0 && n == bs) {
        int rc = read_record(v, e->partition, block, buf, &have, err);
        *got = n;
        return rc < 0 ? rc : have < bs ? too_short(v, e, block, err) : 0;
    }
    if (v->cache_len == 0 || v->cache_at.partition != e->partition || v->cache_at.block != block) {
        v->cache_len = 0;
        int rc = read_record(v, e->partition, block, v->cache, &have, err);
        if (rc < 0)
            return rc;
        v->cache_len = have;
        v->cache_at = (struct drive_position){.partition = e->partition, .block = block};
    }
    if (in + n > v->cache_len)
        return too_short(v, e, block, err);
    memcpy(buf, v->cache + in, n);
    *got = n;
    return 0;
}

/* The first extent that ends behind offset; extent_count when there is none. */
static uint32_t find_extent(const struct ltfs_node *n, uint64_t offset)
{
    uint32_t lo = 0;
    uint32_t hi = n->extent_count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        const struct ltfs_extent *e = &n->u.extents[mid];
        if (e->fileoffset + e->bytes <= offset)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

ssize_t ltfs_read(struct ltfs_volume *v, const struct ltfs_node *n, uint64_t offset, void *buf,
                  size_t len, struct err *err)
{
    uint8_t *p = buf;
    size_t done = 0;

    if (ltfs_is_dir(n))
        return err_set(err, -EISDIR, "cartridge %s: %s is a directory", v->barcode, n->name);
    if (offset >= n->length)
        return 0;
    if (len > n->length - offset)
        len = (size_t)(n->length - offset);
    while (done < len) {
        const uint64_t at = offset + done;
        const uint32_t i = find_extent(n, at);
        const struct ltfs_extent *e = i < n->extent_count ? &n->u.extents[i] : NULL;
        uint64_t until = e == NULL             ? n->length
                         : e->fileoffset <= at ? e->fileoffset + e->bytes
                                               : e->fileoffset;
        size_t want = until - at < len - done ? (size_t)(until - at) : len - done;
        if (e == NULL || e->fileoffset > at) {
            memset(p + done, 0, want);
            done += want;
            continue;
        }
        size_t got = 0;
        int rc = read_part(v, e, at - e->fileoffset, p + done, want, &got, err);
        if (rc < 0)
            return err_wrap(err, rc, "file %s", n->name);
        done += got;
    }
    return (ssize_t)done;
}

int ltfs_reader_open(struct ltfs_volume *v, const struct ltfs_node *n, struct ltfs_reader **out,
                     struct err *err)
{
    if (ltfs_is_dir(n))
        return err_set(err, -EISDIR, "cartridge %s: %s is a directory", v->barcode, n->name);
    struct ltfs_reader *r = xzalloc(sizeof(*r));
    r->v = v;
    r->n = n;
    *out = r;
    return 0;
}

ssize_t ltfs_reader_read(struct ltfs_reader *r, void *buf, size_t len, struct err *err)
{
    ssize_t n = ltfs_read(r->v, r->n, r->offset, buf, len, err);
    if (n > 0)
        r->offset += (uint64_t)n;
    return n;
}

void ltfs_reader_close(struct ltfs_reader *r)
{
    free(r);
}
