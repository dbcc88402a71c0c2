/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the tape folder: the state of a drive of kind dir, shared by its four files (drive_dir.c
 * operations, drive_dir_scan.c loading and cutting, drive_dir_attr.c cartridge memory,
 * drive_dir_make.c creation). One thread per drive.
 */
#ifndef TAPE_DRIVE_DIR_IMPL_H
#define TAPE_DRIVE_DIR_IMPL_H

#include "tape/drive_impl.h"

#define DRIVE_DIR_NAME_MAX 40 /* "P_N_X", "attr_P_ID" */
#define DRIVE_DIR_CONF     "filedebug_tc_conf.xml"
#define DRIVE_DIR_NO_EOD   UINT64_MAX
#define DRIVE_DIR_MIB      1048576ULL

/* What is known of one partition, so that no operation has to search the directory. */
struct drive_dir_partition {
    uint64_t eod;       /* first free block */
    uint64_t eod_named; /* N of the E file, or DRIVE_DIR_NO_EOD: it follows eod at each flush */
    uint64_t top;       /* one past the highest object, >= eod: remains of an unflushed write */
    uint64_t *marks;    /* blocks that are file marks, ascending, all below eod */
    size_t mark_count, mark_cap;
    uint64_t used_bytes; /* of the records below eod */
    uint64_t max_bytes;
};

struct drive_dir {
    struct drive base;
    char *library; /* directory with the link file, or the cartridge itself when link is NULL */
    char *link;    /* name of the drive link file, or NULL */
    char serial[DRIVE_SERIAL_MAX];
    char barcode[DRIVE_BARCODE_MAX];
    int dirfd; /* the loaded cartridge, locked; -1 */
    struct drive_position pos;
    struct drive_dir_partition part[DRIVE_PARTITIONS];
    bool vcr_armed; /* the next write changes the volume change reference */
};

/* Writes the name of the object type ('R', 'F', 'E') at block of partition into name. */
void drive_dir_name(char name[DRIVE_DIR_NAME_MAX], unsigned partition, uint64_t block, char type);

/* Reads the directory of the loaded cartridge into d->part. */
int drive_dir_scan(struct drive_dir *d, struct err *err);

/* Frees what drive_dir_scan made. */
void drive_dir_forget(struct drive_dir *d);

/* Makes block the end of data of partition: everything from there on is removed. The E file moves
 * first, then objects go from the back, so that a crash leaves a beginning of the old content. */
int drive_dir_cut(struct drive_dir *d, unsigned partition, uint64_t block, struct err *err);

/* Gives the E files their true numbers. */
int drive_dir_name_eods(struct drive_dir *d, struct err *err);

/* The index in p->marks of the first mark >= block (mark_count when there is none). */
size_t drive_dir_mark_at(const struct drive_dir_partition *p, uint64_t block);

/* Changes the volume change reference (attribute 0009) on the medium. */
int drive_dir_bump_vcr(struct drive_dir *d, struct err *err);

/* Removes all attributes other than the drive's own. */
int drive_dir_clear_attrs(struct drive_dir *d, struct err *err);

/* Sets max_bytes of both partitions from the cartridge's configuration file. */
int drive_dir_read_capacity(struct drive_dir *d, struct err *err);

/* drive_ops of cartridge memory. */
int drive_dir_read_attribute(struct drive *drv, unsigned partition, enum drive_attr id, void *buf,
                             size_t cap, size_t *len, struct err *err);
int drive_dir_write_attribute(struct drive *drv, unsigned partition, enum drive_attr id,
                              enum drive_attr_format format, const void *value, size_t len,
                              struct err *err);

#endif
