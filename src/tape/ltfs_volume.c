/* SPDX-License-Identifier: Apache-2.0 */
/* A mounted volume: its buffers, where the head is, what can be asked about it and its nodes. */
#include "tape/drive_impl.h"
#include "tape/ltfs_impl.h"

#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ltfs_volume *ltfs_volume_new(struct drive *d, const struct ltfs_label *l, unsigned flags,
                                    struct err *err)
{
    struct ltfs_volume *v = xzalloc(sizeof(*v));

    v->drive = d;
    (void)snprintf(v->barcode, sizeof(v->barcode), "%s", drive_barcode(d));
    v->label = *l;
    v->packing = (flags & LTFS_MOUNT_NO_PACKING) == 0;
    v->read_only = (flags & LTFS_MOUNT_READ_ONLY) != 0;
    bool first = l->location == l->index_letter; /* l is the label of physical partition 0 */
    v->index_part = first ? 0 : 1;
    v->data_part = first ? 1 : 0;
    v->letters[v->index_part] = l->index_letter;
    v->letters[v->data_part] = l->data_letter;
    v->pack = malloc(l->blocksize);
    v->cache = malloc(l->blocksize);
    if (v->pack == NULL || v->cache == NULL) {
        ltfs_volume_free(v);
        (void)err_sys(err, ENOMEM, "cartridge %s: buffers of %u bytes", drive_barcode(d),
                      l->blocksize);
        return NULL;
    }
    return v;
}

void ltfs_volume_free(struct ltfs_volume *v)
{
    if (v == NULL)
        return;
    if (v->writer != NULL)
        ltfs_writer_abort(v->writer);
    ltfs_index_fini(&v->index);
    free(v->pack);
    free(v->cache);
    free(v);
}

void ltfs_make_read_only(struct ltfs_volume *v, const char *fmt, ...)
{
    va_list ap;
    v->read_only = true;
    size_t n = strlen(v->problem);
    if (n > 0 && n + 3 < sizeof(v->problem))
        n += (size_t)snprintf(v->problem + n, sizeof(v->problem) - n, "; ");
    va_start(ap, fmt);
    (void)vsnprintf(v->problem + n, sizeof(v->problem) - n, fmt, ap);
    va_end(ap);
    log_warn("cartridge %s is read-only: %s", v->barcode, v->problem);
}

int ltfs_head_to(struct ltfs_volume *v, unsigned partition, uint64_t block, struct err *err)
{
    if (v->head_known && v->head.partition == partition && v->head.block == block)
        return 0;
    v->head_known = false;
    int rc = drive_locate(v->drive, partition, block, err);
    if (rc == DRIVE_END_OF_DATA)
        return err_set(err, -EIO,
                       "cartridge %s: partition %c block %" PRIu64 " is behind the end of data",
                       v->barcode, drive_letter(partition), block);
    if (rc < 0)
        return rc;
    v->head = (struct drive_position){.partition = partition, .block = block};
    v->head_known = true;
    return 0;
}

int ltfs_head_to_eod(struct ltfs_volume *v, struct err *err)
{
    if (v->eod_known && v->head_known && v->head.partition == v->data_part &&
        v->head.block == v->data_eod)
        return 0;
    v->head_known = false;
    int rc = drive_locate_eod(v->drive, v->data_part, err);
    if (rc == 0)
        rc = drive_position(v->drive, &v->head, err);
    if (rc < 0)
        return rc;
    if (v->eod_known && v->head.block != v->data_eod)
        return err_set(err, -EIO,
                       "cartridge %s: end of data of partition %c is block %" PRIu64
                       ", expected %" PRIu64 "; was it written elsewhere?",
                       v->barcode, drive_letter(v->data_part), v->head.block, v->data_eod);
    v->head_known = true;
    v->eod_known = true;
    v->data_eod = v->head.block;
    return 0;
}

int ltfs_refresh_room(struct ltfs_volume *v, struct err *err)
{
    struct drive_capacity cap;
    int rc = drive_capacity(v->drive, v->data_part, &cap, err);
    if (rc < 0)
        return rc;
    uint64_t reserve = cap.maximum_bytes / LTFS_RESERVE_PART;
    if (reserve < 2 * v->index.tree.xml_bytes)
        reserve = 2 * v->index.tree.xml_bytes;
    v->room = cap.remaining_bytes > reserve ? cap.remaining_bytes - reserve : 0;
    v->full = cap.early_warning;
    rc = drive_capacity(v->drive, v->index_part, &cap, err);
    if (rc == 0 && v->index.tree.xml_bytes > cap.maximum_bytes - cap.maximum_bytes / 8)
        v->full = true; /* the next index would not fit on the index partition */
    if (v->full)
        v->room = 0;
    return rc;
}

int ltfs_volume_info(struct ltfs_volume *v, struct ltfs_volume_info *info, struct err *err)
{
    struct drive_capacity cap;

    int rc = drive_capacity(v->drive, v->data_part, &cap, err);
    if (rc < 0)
        return rc;
    *info = (struct ltfs_volume_info){
        .uuid = v->label.uuid,
        .generation = v->index.generation,
        .format_time_ns = v->label.format_time_ns,
        .update_time_ns = v->index.update_time_ns,
        .blocksize = v->label.blocksize,
        .files = v->index.tree.files,
        .directories = v->index.tree.directories,
        .capacity_bytes = cap.maximum_bytes,
        .used_bytes = cap.maximum_bytes - cap.remaining_bytes,
        .remaining_bytes = v->room,
        .live_bytes = v->index.tree.data_bytes,
        .data_index_block = v->data_index_block,
        .read_only = v->read_only,
        .dirty = v->dirty,
        .recovered = v->recovered,
    };
    (void)snprintf(info->name, sizeof(info->name), "%s", v->index.tree.root->name);
    (void)snprintf(info->barcode, sizeof(info->barcode), "%s", v->barcode);
    (void)snprintf(info->version, sizeof(info->version), "%s", v->index.version);
    (void)snprintf(info->problem, sizeof(info->problem), "%s", v->problem);
    return 0;
}

size_t ltfs_memory(const struct ltfs_volume *v)
{
    return v->index.tree.memory + v->index.tree.slot_count * sizeof(struct ltfs_node *) / 2;
}

int ltfs_lookup(struct ltfs_volume *v, const char *path, struct ltfs_node **out)
{
    struct ltfs_node *n = v->index.tree.root;
    for (;;) {
        const char *name;
        size_t len;
        if (!ltfs_name_next(&path, &name, &len))
            return -EINVAL;
        if (len == 0)
            break;
        if (!ltfs_is_dir(n))
            return LTFS_ABSENT;
        n = ltfs_tree_find(&v->index.tree, n, name, len);
        if (n == NULL)
            return LTFS_ABSENT;
    }
    *out = n;
    return 0;
}

struct ltfs_node *ltfs_next(const struct ltfs_volume *v, const struct ltfs_node *n)
{
    if (n == NULL)
        return v->index.tree.root;
    if (ltfs_is_dir(n) && n->u.dir.first != NULL)
        return n->u.dir.first;
    while (n != NULL && n->next == NULL)
        n = n->parent;
    return n != NULL ? n->next : NULL;
}

bool ltfs_is_dir(const struct ltfs_node *n)
{
    return (n->flags & LTFS_NODE_DIR) != 0;
}

const char *ltfs_symlink_target(const struct ltfs_node *n)
{
    return (n->flags & LTFS_NODE_SYMLINK) != 0 ? n->u.target : NULL;
}

const char *ltfs_node_name(const struct ltfs_node *n)
{
    return n->name;
}

char *ltfs_node_path(const struct ltfs_node *n)
{
    size_t len = 1;
    for (const struct ltfs_node *m = n; m->parent != NULL; m = m->parent)
        len += m->name_len + 1;
    char *path = xzalloc(len + 1);
    size_t at = len;
    if (n->parent == NULL)
        path[0] = '/';
    else
        path[--at] = '\0'; /* len counts one byte more than the components */
    for (const struct ltfs_node *m = n; m->parent != NULL; m = m->parent) {
        at -= m->name_len;
        memcpy(path + at, m->name, m->name_len);
        path[--at] = '/';
    }
    return path;
}

uint64_t ltfs_node_length(const struct ltfs_node *n)
{
    return n->length;
}

uint64_t ltfs_node_uid(const struct ltfs_node *n)
{
    return n->uid;
}

void ltfs_node_times(const struct ltfs_node *n, struct ltfs_times *t)
{
    *t = n->times;
}

void ltfs_node_location(const struct ltfs_node *n, struct ltfs_location *loc)
{
    *loc = (struct ltfs_location){.length = n->length};
    if (n->extent_count > 0) {
        loc->partition = n->u.extents[0].partition;
        loc->block = n->u.extents[0].block;
        loc->byteoffset = n->u.extents[0].byteoffset;
    }
}

int ltfs_get_xattr(const struct ltfs_node *n, const char *key, const void **value, size_t *len)
{
    struct ltfs_xattr x;
    for (size_t at = 0; ltfs_xattr_next(n, &at, &x);) {
        if (strcmp(x.key, key) == 0) {
            *value = x.value;
            *len = x.len;
            return 0;
        }
    }
    return LTFS_ABSENT;
}

int ltfs_each_xattr(const struct ltfs_node *n, int (*fn)(void *arg, const struct ltfs_xattr *x),
                    void *arg)
{
    struct ltfs_xattr x;
    for (size_t at = 0; ltfs_xattr_next(n, &at, &x);) {
        int rc = fn(arg, &x);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int ltfs_set_xattr(struct ltfs_volume *v, struct ltfs_node *n, const struct ltfs_xattr *x,
                   struct err *err)
{
    if (v->read_only)
        return LTFS_READ_ONLY;
    if (!ltfs_tree_set_xattr(&v->index.tree, n, x))
        return err_set(err, -EINVAL, "attribute \"%.64s\" of %zu bytes: at most %u bytes of value",
                       x->key, x->len, LTFS_XATTR_MAX);
    v->dirty = true;
    return 0;
}

int ltfs_remove_xattr(struct ltfs_volume *v, struct ltfs_node *n, const char *key, struct err *err)
{
    (void)err;
    if (v->read_only)
        return LTFS_READ_ONLY;
    if (!ltfs_tree_remove_xattr(&v->index.tree, n, key))
        return LTFS_ABSENT;
    v->dirty = true;
    return 0;
}

int ltfs_remove(struct ltfs_volume *v, struct ltfs_node *n, struct err *err)
{
    if (v->read_only)
        return LTFS_READ_ONLY;
    if (n->parent == NULL)
        return err_set(err, -EBUSY, "cartridge %s: the root cannot be removed", v->barcode);
    if (ltfs_is_dir(n) && n->u.dir.first != NULL)
        return err_set(err, -ENOTEMPTY, "cartridge %s: directory %s is not empty", v->barcode,
                       n->name);
    ltfs_tree_remove(&v->index.tree, n);
    v->dirty = true;
    return 0;
}
