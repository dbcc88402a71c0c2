/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a volume durable. Order: data, flush, index on b, flush, index on a in place, flush,
 * coherency attributes. At every moment at least one whole index is on the cartridge whose files
 * are durable: the old ones until the new one on b is flushed, that one while a is rewritten.
 */
#include "tape/ltfs_impl.h"

#include "base/crash.h"
#include "base/timefmt.h"

#include <errno.h>

static int write_indexes(struct ltfs_volume *v, struct err *err)
{
    int rc = drive_flush(v->drive, err);
    if (rc < 0)
        return rc;
    crash_point(CRASH_index_data_begin);
    v->index.generation++;
    v->index.update_time_ns = time_now_ns();
    v->index.previous =
        (struct ltfs_pointer){.letter = v->data_index_block != 0 ? v->letters[v->data_part] : '\0',
                              .block = v->data_index_block};
    rc = ltfs_index_write_data(v, err);
    if (rc == 0) {
        crash_point(CRASH_index_data_done);
        rc = drive_flush(v->drive, err);
    }
    if (rc == 0)
        rc = ltfs_index_write_index(v, err);
    if (rc == 0)
        rc = drive_flush(v->drive, err);
    if (rc == 0) {
        crash_point(CRASH_index_index_done);
        rc = ltfs_coherency_write(v, err);
    }
    return rc;
}

int ltfs_sync(struct ltfs_volume *v, struct err *err)
{
    if (v->writer != NULL)
        return err_set(err, -EBUSY, "cartridge %s: a file is being written", v->barcode);
    if (!v->dirty)
        return 0;
    if (v->read_only)
        return LTFS_READ_ONLY;
    int rc = ltfs_flush_pack(v, err);
    if (rc == LTFS_FULL)
        rc = err_set(err, -ENOSPC, "cartridge %s is full", v->barcode);
    if (rc == 0)
        rc = write_indexes(v, err);
    if (rc < 0) {
        ltfs_make_read_only(v, "writing the index failed; mount again");
        return err_wrap(err, rc, "sync of cartridge %s", v->barcode);
    }
    v->dirty = false;
    return ltfs_refresh_room(v, err);
}

int ltfs_unmount(struct ltfs_volume *v, struct err *err)
{
    if (v == NULL)
        return 0;
    int rc = ltfs_sync(v, err);
    ltfs_volume_free(v);
    return rc;
}
