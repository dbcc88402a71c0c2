/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The timed layer: passes everything to another drive and charges a clock what a real drive would
 * take, by the locate model of tape/order.h. With a simulated clock, plans are compared in tape
 * seconds; with the real one, a virtual library feels like a real one. The index partition lies at
 * the beginning of the tape: a block of it costs what block 0 of the data partition costs.
 */
#include "tape/drive_impl.h"

#include "base/mem.h"
#include "tape/order.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL_BLOCK 524288u /* size of full records, unless drive_timed_set_record says another */

struct drive_timed {
    struct drive base;
    struct drive *inner;
    struct clock *clock;
    char media[8];
    struct order_geometry geometry;
    uint64_t head; /* in blocks of the data partition */
};

static struct drive_timed *self(struct drive *drv)
{
    return (struct drive_timed *)drv;
}

static void charge(struct drive_timed *t, double seconds)
{
    clock_sleep_ns(t->clock, (int64_t)(seconds * 1e9));
}

static void charge_bytes(struct drive_timed *t, size_t bytes)
{
    charge(t, (double)bytes / t->geometry.bytes_per_s);
}

/* Charges the way from the head to where the inner drive now stands. */
static int charge_move(struct drive_timed *t, struct err *err)
{
    struct drive_position pos;
    int rc = drive_position(t->inner, &pos, err);
    if (rc < 0)
        return rc;
    uint64_t to = pos.partition == 0 ? 0 : pos.block;
    charge(t, order_cost(&t->geometry, t->head, to));
    t->head = to;
    return 0;
}

/* After a move that ended with rc: charges it and passes rc on. */
static int moved(struct drive_timed *t, int rc, struct err *err)
{
    if (rc < 0)
        return rc;
    int rc2 = charge_move(t, err);
    return rc2 < 0 ? rc2 : rc;
}

/* The head went on over what was read or written. */
static void streamed(struct drive_timed *t, size_t bytes)
{
    struct drive_position pos;
    charge_bytes(t, bytes);
    if (drive_position(t->inner, &pos, NULL) == 0)
        t->head = pos.partition == 0 ? 0 : pos.block;
}

static void timed_close(struct drive *drv)
{
    drive_close(self(drv)->inner);
    free(drv);
}

static int set_geometry(struct drive_timed *t, uint32_t record, struct err *err)
{
    struct drive_capacity cap;
    int rc = drive_capacity(t->inner, t->base.caps.partitions - 1, &cap, err);
    if (rc == 0)
        rc = order_geometry_init(&t->geometry, t->media, cap.maximum_bytes, record,
                                 cap.maximum_bytes / record, err);
    return rc;
}

int drive_timed_set_record(struct drive *d, uint32_t bytes, struct err *err)
{
    return set_geometry(self(d), bytes, err);
}

static int timed_load(struct drive *drv, struct err *err)
{
    struct drive_timed *t = self(drv);
    int rc = drive_load(t->inner, err);
    if (rc != 0)
        return rc;
    rc = set_geometry(t, MODEL_BLOCK, err);
    if (rc < 0)
        return rc;
    t->head = 0;
    charge(t, t->geometry.load_s);
    return 0;
}

static int timed_unload(struct drive *drv, struct err *err)
{
    struct drive_timed *t = self(drv);
    charge(t, order_cost(&t->geometry, t->head, 0) + t->geometry.unload_s);
    t->head = 0;
    return drive_unload(t->inner, err);
}

static const char *timed_barcode(const struct drive *drv)
{
    return drive_barcode(((const struct drive_timed *)drv)->inner);
}

static const char *timed_serial(const struct drive *drv)
{
    return drive_serial(((const struct drive_timed *)drv)->inner);
}

static int timed_write_record(struct drive *drv, const void *data, size_t len, struct err *err)
{
    int rc = drive_write_record(self(drv)->inner, data, len, err);
    if (rc == 0 || rc == DRIVE_EARLY_WARNING)
        streamed(self(drv), len);
    return rc;
}

static int timed_read_record(struct drive *drv, void *buf, size_t cap, size_t *len, struct err *err)
{
    int rc = drive_read_record(self(drv)->inner, buf, cap, len, err);
    if (rc >= 0)
        streamed(self(drv), *len);
    return rc;
}

static int timed_write_filemarks(struct drive *drv, unsigned n, struct err *err)
{
    int rc = drive_write_filemarks(self(drv)->inner, n, err);
    if (rc >= 0)
        streamed(self(drv), 0);
    return rc;
}

static int timed_locate(struct drive *drv, unsigned partition, uint64_t block, struct err *err)
{
    return moved(self(drv), drive_locate(self(drv)->inner, partition, block, err), err);
}

static int timed_locate_eod(struct drive *drv, unsigned partition, struct err *err)
{
    return moved(self(drv), drive_locate_eod(self(drv)->inner, partition, err), err);
}

static int timed_space_filemarks(struct drive *drv, int n, struct err *err)
{
    return moved(self(drv), drive_space_filemarks(self(drv)->inner, n, err), err);
}

static int timed_position(struct drive *drv, struct drive_position *pos, struct err *err)
{
    return drive_position(self(drv)->inner, pos, err);
}

static int timed_flush(struct drive *drv, struct err *err)
{
    return drive_flush(self(drv)->inner, err);
}

static int timed_read_attribute(struct drive *drv, unsigned partition, enum drive_attr id,
                                void *buf, size_t cap, size_t *len, struct err *err)
{
    return drive_read_attribute(self(drv)->inner, partition, id, buf, cap, len, err);
}

static int timed_write_attribute(struct drive *drv, unsigned partition, enum drive_attr id,
                                 enum drive_attr_format format, const void *value, size_t len,
                                 struct err *err)
{
    return drive_write_attribute(self(drv)->inner, partition, id, format, value, len, err);
}

static int timed_capacity(struct drive *drv, unsigned partition, struct drive_capacity *cap,
                          struct err *err)
{
    return drive_capacity(self(drv)->inner, partition, cap, err);
}

static int timed_format(struct drive *drv, struct err *err)
{
    int rc = drive_format(self(drv)->inner, err);
    return moved(self(drv), rc, err);
}

static const struct drive_ops timed_ops = {
    .close = timed_close,
    .load = timed_load,
    .unload = timed_unload,
    .barcode = timed_barcode,
    .serial = timed_serial,
    .write_record = timed_write_record,
    .read_record = timed_read_record,
    .write_filemarks = timed_write_filemarks,
    .locate = timed_locate,
    .locate_eod = timed_locate_eod,
    .space_filemarks = timed_space_filemarks,
    .position = timed_position,
    .flush = timed_flush,
    .read_attribute = timed_read_attribute,
    .write_attribute = timed_write_attribute,
    .capacity = timed_capacity,
    .format = timed_format,
};

int drive_timed_new(struct drive *inner, const char *media, struct clock *clock, struct drive **out,
                    struct err *err)
{
    struct order_geometry g;
    int rc = order_geometry_init(&g, media, 1ULL << 40, MODEL_BLOCK, 0, err);
    if (rc < 0)
        return rc;
    struct drive_timed *t = xzalloc(sizeof(*t));
    t->base.ops = &timed_ops;
    t->base.caps = *drive_caps(inner);
    t->base.caps.kind = "timed";
    t->base.caps.eod_is_cheap = false;
    t->base.caps.simulated_seconds = true;
    t->inner = inner;
    t->clock = clock;
    t->geometry = g;
    (void)snprintf(t->media, sizeof(t->media), "%s", media);
    *out = &t->base;
    return 0;
}
