/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fault layer: passes everything to another drive and breaks where its plan says.
 *
 * A power cut is made from hard links: records and attributes are never changed in place, so a
 * directory of links taken after a flush is the durable state, and one taken at the cut is what a
 * killed process leaves. The inner drive is closed first, then its cartridge directory is put back
 * to that state, as if the inner drive had never had the chance to tidy up.
 */
#include "tape/drive_impl.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TEAR_MAX (16u << 20) /* no record is longer */

struct drive_fault {
    struct drive base;
    struct drive *inner; /* NULL after the power cut */
    struct drive_fault_plan plan;
    char *kept; /* directory of links to the durable state; NULL: not kept */
    uint64_t reads, writes, flushes, operations;
    char first_record[64]; /* file names of the first and last record written and not flushed; "" */
    char last_record[64];
    char serial[DRIVE_SERIAL_MAX];
    char barcode[DRIVE_BARCODE_MAX];
};

static struct drive_fault *self(struct drive *drv)
{
    return (struct drive_fault *)drv;
}

static int no_power(const struct drive_fault *f, struct err *err)
{
    return err_set(err, -EIO, "cartridge %s: the drive has no power (planned fault)", f->barcode);
}

/* Removes every file of directory path. */
static void empty_dir(const char *path)
{
    auto_closedir DIR *dir = opendir(path);
    if (dir == NULL)
        return;
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (e->d_name[0] != '.')
            (void)unlinkat(dirfd(dir), e->d_name, 0);
    }
}

/* Makes directory to hold links to exactly the files of from. */
static int link_all(const char *from, const char *to, struct err *err)
{
    auto_closedir DIR *dir = opendir(from);
    if (dir == NULL || (mkdir(to, 0700) != 0 && errno != EEXIST))
        return err_sys(err, errno, "%s to %s", from, to);
    empty_dir(to);
    auto_close int tofd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (e->d_name[0] == '.')
            continue;
        if (linkat(dirfd(dir), e->d_name, tofd, e->d_name, 0) != 0)
            return err_sys(err, errno, "link %s to %s/%s", from, to, e->d_name);
    }
    return 0;
}

/* Replaces file name in directory dir by its first part'th part; 0: by nothing. */
static int tear(const char *dir, const char *name, unsigned part, struct err *err)
{
    auto_free char *data = NULL;
    size_t len = 0;
    auto_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = io_read_file(fd, name, TEAR_MAX, &data, &len, err);
    return rc < 0 ? rc : io_replace_durable(fd, name, data, part == 0 ? 0 : len / part, 0600, err);
}

static int cut_power(struct drive_fault *f, struct err *err)
{
    auto_free char *now = NULL;

    if (f->plan.cartridge == NULL)
        return no_power(f, err);
    (void)snprintf(f->serial, sizeof(f->serial), "%s", drive_serial(f->inner));
    (void)snprintf(f->barcode, sizeof(f->barcode), "%s", drive_barcode(f->inner));
    int rc = 0;
    if (!f->plan.drop_unflushed) {
        now = xasprintf("%s.cut", f->plan.cartridge);
        rc = link_all(f->plan.cartridge, now, err);
        if (rc == 0 && f->plan.tear_last && f->last_record[0] != '\0')
            rc = tear(now, f->last_record, 2, err);
        if (rc == 0 && f->plan.hollow_first && f->first_record[0] != '\0')
            rc = tear(now, f->first_record, 0, err);
    }
    drive_close(take_ptr(f->inner));
    if (rc == 0)
        rc = link_all(now != NULL ? now : f->kept, f->plan.cartridge, err);
    if (now != NULL) {
        empty_dir(now);
        (void)rmdir(now);
    }
    return rc < 0 ? rc : no_power(f, err);
}

/* Counts a changing operation; a negative code when the power goes or is gone. */
static int change(struct drive_fault *f, struct err *err)
{
    if (f->inner == NULL)
        return no_power(f, err);
    f->operations++;
    if (f->plan.power_cut_at != 0 && f->operations >= f->plan.power_cut_at)
        return cut_power(f, err);
    return 0;
}

/* Counts a write; other than 0: that is its answer. */
static int before_write(struct drive_fault *f, struct err *err)
{
    int rc = change(f, err);
    if (rc != 0)
        return rc;
    f->writes++;
    if (f->writes == f->plan.full_at)
        return DRIVE_FULL;
    if (f->writes == f->plan.fail_write_at)
        return err_sys(err, f->plan.write_errno, "cartridge %s: write (planned fault)",
                       drive_barcode(f->inner));
    return 0;
}

static int keep(struct drive_fault *f, struct err *err)
{
    f->first_record[0] = '\0';
    f->last_record[0] = '\0';
    return f->kept == NULL ? 0 : link_all(f->plan.cartridge, f->kept, err);
}

static void fault_close(struct drive *drv)
{
    struct drive_fault *f = self(drv);
    drive_close(f->inner);
    if (f->kept != NULL) {
        empty_dir(f->kept);
        (void)rmdir(f->kept);
    }
    free(f->kept);
    free(f);
}

static int fault_load(struct drive *drv, struct err *err)
{
    struct drive_fault *f = self(drv);
    int rc = f->inner == NULL ? no_power(f, err) : drive_load(f->inner, err);
    if (rc == 0)
        rc = keep(f, err);
    if (f->inner != NULL)
        drv->caps = *drive_caps(f->inner);
    drv->caps.kind = "fault";
    return rc;
}

static int fault_unload(struct drive *drv, struct err *err)
{
    struct drive_fault *f = self(drv);
    return f->inner == NULL ? 0 : drive_unload(f->inner, err);
}

static const char *fault_barcode(const struct drive *drv)
{
    const struct drive_fault *f = (const struct drive_fault *)drv;
    return f->inner == NULL ? f->barcode : drive_barcode(f->inner);
}

static const char *fault_serial(const struct drive *drv)
{
    const struct drive_fault *f = (const struct drive_fault *)drv;
    return f->inner == NULL ? f->serial : drive_serial(f->inner);
}

static int fault_write_record(struct drive *drv, const void *data, size_t len, struct err *err)
{
    struct drive_fault *f = self(drv);
    struct drive_position pos;

    int rc = before_write(f, err);
    if (rc != 0)
        return rc;
    rc = drive_position(f->inner, &pos, err);
    if (rc < 0)
        return rc;
    (void)snprintf(f->last_record, sizeof(f->last_record), "%u_%llu_R", pos.partition,
                   (unsigned long long)pos.block);
    if (f->first_record[0] == '\0')
        memcpy(f->first_record, f->last_record, sizeof(f->first_record));
    return drive_write_record(f->inner, data, len, err);
}

static int fault_read_record(struct drive *drv, void *buf, size_t cap, size_t *len, struct err *err)
{
    struct drive_fault *f = self(drv);
    if (f->inner == NULL)
        return no_power(f, err);
    f->reads++;
    if (f->reads == f->plan.fail_read_at)
        return err_sys(err, f->plan.read_errno, "cartridge %s: read (planned fault)",
                       drive_barcode(f->inner));
    int rc = drive_read_record(f->inner, buf, cap, len, err);
    if (rc == 0 && f->reads == f->plan.flip_read_at)
        ((uint8_t *)buf)[*len / 2] ^= 0x10;
    return rc;
}

static int fault_write_filemarks(struct drive *drv, unsigned n, struct err *err)
{
    struct drive_fault *f = self(drv);
    int rc = before_write(f, err);
    return rc != 0 ? rc : drive_write_filemarks(f->inner, n, err);
}

static int fault_locate(struct drive *drv, unsigned partition, uint64_t block, struct err *err)
{
    struct drive_fault *f = self(drv);
    return f->inner == NULL ? no_power(f, err) : drive_locate(f->inner, partition, block, err);
}

static int fault_locate_eod(struct drive *drv, unsigned partition, struct err *err)
{
    struct drive_fault *f = self(drv);
    return f->inner == NULL ? no_power(f, err) : drive_locate_eod(f->inner, partition, err);
}

static int fault_space_filemarks(struct drive *drv, int n, struct err *err)
{
    struct drive_fault *f = self(drv);
    return f->inner == NULL ? no_power(f, err) : drive_space_filemarks(f->inner, n, err);
}

static int fault_position(struct drive *drv, struct drive_position *pos, struct err *err)
{
    struct drive_fault *f = self(drv);
    return f->inner == NULL ? no_power(f, err) : drive_position(f->inner, pos, err);
}

static int fault_flush(struct drive *drv, struct err *err)
{
    struct drive_fault *f = self(drv);
    int rc = change(f, err);
    if (rc < 0)
        return rc;
    if (++f->flushes == f->plan.fail_flush_at)
        return err_set(err, -EIO, "cartridge %s: flush (planned fault)", drive_barcode(f->inner));
    rc = drive_flush(f->inner, err);
    return rc < 0 ? rc : keep(f, err);
}

static int fault_read_attribute(struct drive *drv, unsigned partition, enum drive_attr id,
                                void *buf, size_t cap, size_t *len, struct err *err)
{
    struct drive_fault *f = self(drv);
    if (f->inner == NULL)
        return no_power(f, err);
    return drive_read_attribute(f->inner, partition, id, buf, cap, len, err);
}

static int fault_write_attribute(struct drive *drv, unsigned partition, enum drive_attr id,
                                 enum drive_attr_format format, const void *value, size_t len,
                                 struct err *err)
{
    struct drive_fault *f = self(drv);
    int rc = change(f, err);
    return rc < 0 ? rc : drive_write_attribute(f->inner, partition, id, format, value, len, err);
}

static int fault_capacity(struct drive *drv, unsigned partition, struct drive_capacity *cap,
                          struct err *err)
{
    struct drive_fault *f = self(drv);
    return f->inner == NULL ? no_power(f, err) : drive_capacity(f->inner, partition, cap, err);
}

static int fault_format(struct drive *drv, struct err *err)
{
    struct drive_fault *f = self(drv);
    int rc = change(f, err);
    if (rc == 0)
        rc = drive_format(f->inner, err);
    return rc < 0 ? rc : keep(f, err);
}

static const struct drive_ops fault_ops = {
    .close = fault_close,
    .load = fault_load,
    .unload = fault_unload,
    .barcode = fault_barcode,
    .serial = fault_serial,
    .write_record = fault_write_record,
    .read_record = fault_read_record,
    .write_filemarks = fault_write_filemarks,
    .locate = fault_locate,
    .locate_eod = fault_locate_eod,
    .space_filemarks = fault_space_filemarks,
    .position = fault_position,
    .flush = fault_flush,
    .read_attribute = fault_read_attribute,
    .write_attribute = fault_write_attribute,
    .capacity = fault_capacity,
    .format = fault_format,
};

struct drive *drive_fault_new(struct drive *inner, const struct drive_fault_plan *plan)
{
    struct drive_fault *f = xzalloc(sizeof(*f));
    f->base.ops = &fault_ops;
    f->base.caps = *drive_caps(inner);
    f->base.caps.kind = "fault";
    f->inner = inner;
    f->plan = *plan;
    if (plan->drop_unflushed && plan->cartridge != NULL)
        f->kept = xasprintf("%s.kept", plan->cartridge);
    return &f->base;
}

uint64_t drive_fault_operations(const struct drive *d)
{
    return ((const struct drive_fault *)d)->operations;
}
