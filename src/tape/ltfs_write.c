/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Appending files. Bytes gather in the pack buffer until it is a full record; a whole record of a
 * caller goes to the drive without a copy when the buffer is empty. The buffer's block number is
 * known before it is written (nothing else writes to the data partition), so that extents can be
 * made at once and many small files share a record.
 */
#include "tape/drive_impl.h"
#include "tape/ltfs_impl.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct ltfs_writer {
    struct ltfs_volume *v;
    struct ltfs_node *node; /* in the tree already, without data */
    uint64_t offset;        /* of the next append */
    uint64_t pack_block;    /* where the pack buffer stood at begin */
    size_t pack_fill;
    struct ltfs_extent *extents;
    uint32_t extent_count, extent_cap;
};

/* Writes one record at the end of data. 0, LTFS_FULL or a failure. */
static int write_record(struct ltfs_volume *v, const void *data, size_t len, struct err *err)
{
    int rc = ltfs_head_to_eod(v, err);
    if (rc < 0)
        return rc;
    rc = drive_write_record(v->drive, data, len, err);
    if (rc == DRIVE_FULL) {
        v->full = true;
        return LTFS_FULL;
    }
    if (rc < 0) {
        v->head_known = false;
        ltfs_make_read_only(v, "a write at partition %c block %" PRIu64 " failed; mount again",
                            drive_letter(v->data_part), v->data_eod);
        return rc;
    }
    if (rc == DRIVE_EARLY_WARNING) {
        v->full = true;
        v->room = 0;
    }
    v->room -= v->room < len ? v->room : len;
    v->data_eod++;
    v->head.block = v->data_eod;
    return 0;
}

int ltfs_flush_pack(struct ltfs_volume *v, struct err *err)
{
    if (v->fill == 0)
        return 0;
    int rc = write_record(v, v->pack, v->fill, err);
    if (rc == 0)
        v->fill = 0;
    return rc;
}

/* The directory of path's last component (*name, *len), made where it is missing. 0, LTFS_EXISTS
 * when a file is in the way, or -EINVAL. An empty last component: *len 0. */
static int make_parents(struct ltfs_volume *v, const char *path, struct ltfs_node **dir,
                        const char **name, size_t *len)
{
    struct ltfs_tree *t = &v->index.tree;
    struct ltfs_node *n = t->root;
    const char *next;
    size_t next_len;

    if (!ltfs_name_next(&path, name, len))
        return -EINVAL;
    while (*len > 0) {
        if (!ltfs_name_next(&path, &next, &next_len))
            return -EINVAL;
        if (next_len == 0)
            break;
        struct ltfs_node *child = ltfs_tree_find(t, n, *name, *len);
        if (child == NULL) {
            int64_t now = time_now_ns();
            child = ltfs_tree_add(t, n, *name, *len, LTFS_NODE_DIR, 0);
            child->times = (struct ltfs_times){now, now, now, now, now};
            v->dirty = true;
        }
        if (!ltfs_is_dir(child))
            return LTFS_EXISTS;
        n = child;
        *name = next;
        *len = next_len;
    }
    *dir = n;
    return 0;
}

static bool path_is_sound(const char *path)
{
    const char *name;
    size_t len;
    do {
        if (!ltfs_name_next(&path, &name, &len))
            return false;
    } while (len > 0);
    return true;
}

int ltfs_mkdirs(struct ltfs_volume *v, const char *path, struct ltfs_node **out, struct err *err)
{
    struct ltfs_node *n;
    const char *name;
    size_t len;

    if (!path_is_sound(path))
        return err_set(err, -EINVAL, "path \"%.200s\" cannot be on a tape", path);
    int rc = ltfs_lookup(v, path, &n);
    if (rc == LTFS_ABSENT) {
        if (v->read_only)
            return LTFS_READ_ONLY;
        rc = make_parents(v, path, &n, &name, &len);
        if (rc == 0) {
            int64_t now = time_now_ns();
            n = ltfs_tree_find(&v->index.tree, n, name, len) != NULL
                    ? NULL
                    : ltfs_tree_add(&v->index.tree, n, name, len, LTFS_NODE_DIR, 0);
            if (n == NULL)
                return LTFS_EXISTS;
            n->times = (struct ltfs_times){now, now, now, now, now};
            v->dirty = true;
        }
    }
    if (rc == 0 && !ltfs_is_dir(n))
        rc = LTFS_EXISTS;
    if (rc == 0 && out != NULL)
        *out = n;
    return rc;
}

/* The node of a new file at path. */
static int make_node(struct ltfs_volume *v, const char *path, const struct ltfs_create_args *args,
                     struct ltfs_node **out, struct err *err)
{
    struct ltfs_node *dir;
    const char *name;
    size_t len;

    if (!path_is_sound(path))
        return err_set(err, -EINVAL, "path \"%.200s\" cannot be on a tape", path);
    int rc = make_parents(v, path, &dir, &name, &len);
    if (rc != 0)
        return rc;
    if (len == 0 || ltfs_tree_find(&v->index.tree, dir, name, len) != NULL)
        return LTFS_EXISTS;
    for (size_t i = 0; i < args->xattr_count; i++) {
        if (args->xattrs[i].len > LTFS_XATTR_MAX || args->xattrs[i].key[0] == '\0' ||
            strlen(args->xattrs[i].key) > LTFS_KEY_MAX)
            return err_set(err, -EINVAL, "%s: attribute \"%.64s\" is too long for a tape", path,
                           args->xattrs[i].key);
    }
    struct ltfs_node *n =
        ltfs_tree_add(&v->index.tree, dir, name, len, args->readonly ? LTFS_NODE_READONLY : 0u, 0);
    const int64_t now = time_now_ns();
    n->times = args->times;
    n->times.creation = n->times.creation != 0 ? n->times.creation : now;
    n->times.change = n->times.change != 0 ? n->times.change : now;
    n->times.access = n->times.access != 0 ? n->times.access : now;
    n->times.backup = n->times.backup != 0 ? n->times.backup : now;
    for (size_t i = 0; i < args->xattr_count; i++)
        (void)ltfs_tree_set_xattr(&v->index.tree, n, &args->xattrs[i]);
    *out = n;
    return 0;
}

int ltfs_writer_begin(struct ltfs_volume *v, const char *path, const struct ltfs_create_args *args,
                      struct ltfs_writer **out, struct err *err)
{
    struct ltfs_node *n = NULL;

    if (v->read_only)
        return LTFS_READ_ONLY;
    if (v->writer != NULL)
        return err_set(err, -EBUSY, "cartridge %s: another file is being written", v->barcode);
    if (v->full || v->fill > v->room || args->size_hint > v->room - v->fill)
        return LTFS_FULL;
    int rc = 0;
    if (!v->packing || args->size_hint >= v->label.blocksize)
        rc = ltfs_flush_pack(v, err);
    if (rc == 0)
        rc = ltfs_head_to_eod(v, err);
    if (rc == 0)
        rc = make_node(v, path, args, &n, err);
    if (rc != 0)
        return rc;
    struct ltfs_writer *w = xzalloc(sizeof(*w));
    w->v = v;
    w->node = n;
    w->pack_block = v->data_eod;
    w->pack_fill = v->fill;
    v->writer = w;
    *out = w;
    return 0;
}

/* Notes that len bytes of the file are at byteoffset of block, joined to the last extent if it
 * goes on there. */
static void add_extent(struct ltfs_writer *w, uint64_t block, size_t byteoffset, size_t len)
{
    const uint64_t bs = w->v->label.blocksize;
    if (w->extent_count > 0) {
        struct ltfs_extent *e = &w->extents[w->extent_count - 1];
        if (e->fileoffset + e->bytes == w->offset &&
            e->block * bs + e->byteoffset + e->bytes == block * bs + byteoffset) {
            e->bytes += len;
            w->offset += len;
            return;
        }
    }
    if (w->extent_count == w->extent_cap) {
        w->extent_cap = w->extent_cap == 0 ? 1 : w->extent_cap * 2;
        w->extents = xrealloc_array(w->extents, w->extent_cap, sizeof(*w->extents));
    }
    w->extents[w->extent_count++] = (struct ltfs_extent){.fileoffset = w->offset,
                                                         .block = block,
                                                         .bytes = len,
                                                         .byteoffset = (uint32_t)byteoffset,
                                                         .partition = w->v->data_part};
    w->offset += len;
}

int ltfs_writer_append(struct ltfs_writer *w, const void *data, size_t len, struct err *err)
{
    struct ltfs_volume *v = w->v;
    const size_t bs = v->label.blocksize;
    const uint8_t *p = data;

    while (len > 0) {
        if (v->read_only)
            return err_set(err, -EROFS, "cartridge %s: %s", v->barcode, v->problem);
        if (v->full || v->fill + (len < bs ? len : bs) > v->room)
            return LTFS_FULL;
        size_t n = len < bs - v->fill ? len : bs - v->fill;
        int rc = 0;
        if (v->fill == 0 && n == bs) {
            uint64_t block = v->data_eod;
            rc = write_record(v, p, bs, err);
            if (rc == 0)
                add_extent(w, block, 0, bs);
        } else {
            memcpy(v->pack + v->fill, p, n);
            add_extent(w, v->data_eod, v->fill, n);
            v->fill += n;
            if (v->fill == bs)
                rc = ltfs_flush_pack(v, err);
        }
        if (rc != 0)
            return rc;
        p += n;
        len -= n;
    }
    return 0;
}

int ltfs_writer_seek(struct ltfs_writer *w, uint64_t offset, struct err *err)
{
    if (offset < w->offset)
        return err_set(err, -EINVAL, "cartridge %s: a file is written from front to back",
                       w->v->barcode);
    w->offset = offset;
    return 0;
}

void ltfs_writer_abort(struct ltfs_writer *w)
{
    if (w == NULL)
        return;
    struct ltfs_volume *v = w->v;
    /* What is left of this file in the pack buffer goes; records on tape stay as garbage. */
    v->fill = v->data_eod == w->pack_block ? w->pack_fill : 0;
    ltfs_tree_remove(&v->index.tree, w->node);
    v->writer = NULL;
    free(w->extents);
    free(w);
}

int ltfs_writer_commit(struct ltfs_writer *w, const struct ltfs_xattr *xattrs, size_t count,
                       struct ltfs_location *loc, struct ltfs_node **node, struct err *err)
{
    struct ltfs_volume *v = w->v;
    struct ltfs_node *n = w->node;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (!ltfs_tree_set_xattr(&v->index.tree, n, &xattrs[i]))
            rc = err_set(err, -EINVAL, "attribute \"%.64s\" is too long for a tape", xattrs[i].key);
    }
    if (rc == 0 && v->read_only)
        rc = err_set(err, -EROFS, "cartridge %s: %s", v->barcode, v->problem);
    if (rc == 0 && !v->packing)
        rc = ltfs_flush_pack(v, err);
    if (rc != 0) {
        ltfs_writer_abort(w);
        return rc;
    }
    ltfs_tree_set_data(&v->index.tree, n, take_ptr(w->extents), w->extent_count, w->offset);
    v->writer = NULL;
    v->dirty = true;
    free(w);
    if (loc != NULL)
        ltfs_node_location(n, loc);
    if (node != NULL)
        *node = n;
    return 0;
}
