/* SPDX-License-Identifier: Apache-2.0 */
/* Formatting: two partitions, a label on each, the first index on both, cartridge memory. */
#include "tape/ltfs_impl.h"

#include "base/timefmt.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int check_args(const struct drive *d, const char *volume_name, uint32_t blocksize,
                      struct err *err)
{
    if (drive_caps(d)->partitions < DRIVE_PARTITIONS)
        return err_set(err, -ENOTSUP, "cartridge %s cannot be partitioned", drive_barcode(d));
    if (blocksize < LTFS_BLOCKSIZE_MIN || blocksize > drive_caps(d)->max_record)
        return err_set(err, -EINVAL, "cartridge %s: block size %u is not between %u and %zu",
                       drive_barcode(d), blocksize, LTFS_BLOCKSIZE_MIN, drive_caps(d)->max_record);
    if (strlen(volume_name) > LTFS_NAME_MAX ||
        !ltfs_name_is_plain(volume_name, strlen(volume_name)) || strchr(volume_name, '/') != NULL)
        return err_set(err, -EINVAL,
                       "cartridge %s: a volume name has at most %d bytes of UTF-8 text and no '/'",
                       drive_barcode(d), LTFS_NAME_MAX);
    return 0;
}

static int write_labels(struct drive *d, struct ltfs_label *l, struct err *err)
{
    l->location = l->index_letter;
    int rc = ltfs_label_write(d, 0, l, err);
    if (rc < 0)
        return rc;
    l->location = l->data_letter;
    rc = ltfs_label_write(d, 1, l, err);
    l->location = l->index_letter;
    return rc;
}

int ltfs_format(struct drive *d, const char *volume_name, uint32_t blocksize, struct uuid *uuid,
                struct err *err)
{
    struct ltfs_label l = {.version = LTFS_VERSION,
                           .creator = LTFS_CREATOR,
                           .uuid = uuid_new(),
                           .format_time_ns = time_now_ns(),
                           .index_letter = 'a',
                           .data_letter = 'b',
                           .blocksize = blocksize != 0 ? blocksize : LTFS_BLOCKSIZE,
                           .compression = true};

    int rc = check_args(d, volume_name, l.blocksize, err);
    if (rc == 0)
        rc = drive_format(d, err);
    if (rc == 0)
        rc = write_labels(d, &l, err);
    if (rc == 0)
        rc = ltfs_coherency_write_host(d, volume_name, err);
    if (rc < 0)
        return err_wrap(err, rc, "format of cartridge %s", drive_barcode(d));
    auto_ltfs_volume struct ltfs_volume *v = ltfs_volume_new(d, &l, 0, err);
    if (v == NULL)
        return -ENOMEM;
    v->index.uuid = l.uuid;
    v->index.allow_policy_update = true;
    ltfs_tree_init(&v->index.tree, volume_name, strlen(volume_name));
    struct ltfs_times now = {l.format_time_ns, l.format_time_ns, l.format_time_ns, l.format_time_ns,
                             l.format_time_ns};
    v->index.tree.root->times = now;
    v->dirty = true;
    rc = ltfs_sync(v, err);
    if (rc == 0)
        rc = drive_flush(d, err);
    if (rc < 0)
        return err_wrap(err, rc, "format of cartridge %s", drive_barcode(d));
    if (uuid != NULL)
        *uuid = l.uuid;
    return 0;
}
