/* SPDX-License-Identifier: Apache-2.0 */
/* The wrappers around drive_ops: they check, count and trace, so that kinds need not. */
#include "tape/drive_impl.h"

#include "base/log.h"

#include <errno.h>
#include <inttypes.h>

#define DRIVE_ATTR_MAX 4096

static int need_loaded(const struct drive *d, struct err *err)
{
    if (d->loaded)
        return 0;
    return err_set(err, -ENOMEDIUM, "drive %s holds no loaded cartridge", drive_serial(d));
}

static int need_partition(const struct drive *d, unsigned partition, struct err *err)
{
    int rc = need_loaded(d, err);
    if (rc == 0 && partition >= d->caps.partitions)
        rc = err_set(err, -EINVAL, "cartridge %s has no partition %u", drive_barcode(d), partition);
    return rc;
}

void drive_close(struct drive *d)
{
    struct err err = {0};

    if (d == NULL)
        return;
    if (drive_unload(d, &err) < 0)
        log_err("drive %s: unload while closing: %s", drive_serial(d), err.text);
    d->ops->close(d);
}

int drive_load(struct drive *d, struct err *err)
{
    if (d->loaded)
        return 0;
    int rc = d->ops->load(d, err);
    if (rc == 0) {
        d->loaded = true;
        d->counters.loads++;
    }
    log_debug("drive %s: load %s -> %d", drive_serial(d), rc == 0 ? drive_barcode(d) : "", rc);
    return rc;
}

int drive_unload(struct drive *d, struct err *err)
{
    if (!d->loaded)
        return 0;
    log_debug("drive %s: unload %s", drive_serial(d), drive_barcode(d));
    int rc = d->ops->unload(d, err);
    d->loaded = false;
    return rc;
}

bool drive_is_loaded(const struct drive *d)
{
    return d->loaded;
}

const char *drive_barcode(const struct drive *d)
{
    return d->loaded ? d->ops->barcode(d) : "";
}

const char *drive_serial(const struct drive *d)
{
    return d->ops->serial(d);
}

const struct drive_caps *drive_caps(const struct drive *d)
{
    return &d->caps;
}

const struct drive_counters *drive_counters(const struct drive *d)
{
    return &d->counters;
}

int drive_write_record(struct drive *d, const void *data, size_t len, struct err *err)
{
    int rc = need_loaded(d, err);
    if (rc < 0)
        return rc;
    if (len == 0 || len > d->caps.max_record)
        return err_set(err, -EINVAL, "cartridge %s: a record has 1 to %zu bytes, not %zu",
                       drive_barcode(d), d->caps.max_record, len);
    rc = d->ops->write_record(d, data, len, err);
    if (rc == 0 || rc == DRIVE_EARLY_WARNING) {
        d->counters.records_written++;
        d->counters.bytes_written += len;
    }
    return rc;
}

int drive_read_record(struct drive *d, void *buf, size_t cap, size_t *len, struct err *err)
{
    *len = 0;
    int rc = need_loaded(d, err);
    if (rc < 0)
        return rc;
    rc = d->ops->read_record(d, buf, cap, len, err);
    if (rc == 0) {
        d->counters.records_read++;
        d->counters.bytes_read += *len;
    }
    return rc;
}

int drive_write_filemarks(struct drive *d, unsigned n, struct err *err)
{
    int rc = need_loaded(d, err);
    if (rc < 0)
        return rc;
    if (n == 0)
        return err_set(err, -EINVAL, "cartridge %s: zero file marks to write", drive_barcode(d));
    rc = d->ops->write_filemarks(d, n, err);
    if (rc == 0 || rc == DRIVE_EARLY_WARNING)
        d->counters.filemarks_written += n;
    log_debug("drive %s: %u file marks -> %d", drive_serial(d), n, rc);
    return rc;
}

int drive_locate(struct drive *d, unsigned partition, uint64_t block, struct err *err)
{
    int rc = need_partition(d, partition, err);
    if (rc < 0)
        return rc;
    rc = d->ops->locate(d, partition, block, err);
    d->counters.locates++;
    log_debug("drive %s: locate %c/%" PRIu64 " -> %d", drive_serial(d), drive_letter(partition),
              block, rc);
    return rc;
}

int drive_locate_eod(struct drive *d, unsigned partition, struct err *err)
{
    int rc = need_partition(d, partition, err);
    if (rc < 0)
        return rc;
    rc = d->ops->locate_eod(d, partition, err);
    d->counters.locates++;
    log_debug("drive %s: locate end of %c -> %d", drive_serial(d), drive_letter(partition), rc);
    return rc;
}

int drive_space_filemarks(struct drive *d, int n, struct err *err)
{
    int rc = need_loaded(d, err);
    if (rc < 0 || n == 0)
        return rc;
    rc = d->ops->space_filemarks(d, n, err);
    d->counters.spaces++;
    log_debug("drive %s: space %d marks -> %d", drive_serial(d), n, rc);
    return rc;
}

int drive_position(struct drive *d, struct drive_position *pos, struct err *err)
{
    int rc = need_loaded(d, err);
    return rc < 0 ? rc : d->ops->position(d, pos, err);
}

int drive_flush(struct drive *d, struct err *err)
{
    int rc = need_loaded(d, err);
    if (rc < 0)
        return rc;
    rc = d->ops->flush(d, err);
    d->counters.flushes++;
    log_debug("drive %s: flush -> %d", drive_serial(d), rc);
    return rc;
}

int drive_read_attribute(struct drive *d, unsigned partition, enum drive_attr id, void *buf,
                         size_t cap, size_t *len, struct err *err)
{
    *len = 0;
    int rc = need_partition(d, partition, err);
    return rc < 0 ? rc : d->ops->read_attribute(d, partition, id, buf, cap, len, err);
}

int drive_write_attribute(struct drive *d, unsigned partition, enum drive_attr id,
                          enum drive_attr_format format, const void *value, size_t len,
                          struct err *err)
{
    int rc = need_partition(d, partition, err);
    if (rc < 0)
        return rc;
    if (id < DRIVE_ATTR_APP_VENDOR)
        return err_set(err, -EPERM, "cartridge %s: attribute %04x is the drive's own",
                       drive_barcode(d), (unsigned)id);
    if (len == 0 || len > DRIVE_ATTR_MAX)
        return err_set(err, -EINVAL, "cartridge %s: attribute %04x cannot have %zu bytes",
                       drive_barcode(d), (unsigned)id, len);
    return d->ops->write_attribute(d, partition, id, format, value, len, err);
}

int drive_capacity(struct drive *d, unsigned partition, struct drive_capacity *cap, struct err *err)
{
    int rc = need_partition(d, partition, err);
    return rc < 0 ? rc : d->ops->capacity(d, partition, cap, err);
}

int drive_format(struct drive *d, struct err *err)
{
    int rc = need_loaded(d, err);
    if (rc < 0)
        return rc;
    rc = d->ops->format(d, err);
    log_debug("drive %s: format %s -> %d", drive_serial(d), drive_barcode(d), rc);
    return rc;
}
