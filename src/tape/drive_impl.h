/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the tape folder: what a kind of drive provides. Kinds put struct drive first into their
 * own struct. The wrappers in drive.c check arguments and load state before they call, so an op may
 * rely on a loaded cartridge (besides load, close, serial).
 */
#ifndef TAPE_DRIVE_IMPL_H
#define TAPE_DRIVE_IMPL_H

#include "tape/drive.h"

/* Contracts of the ops are those of the functions drive_<op> in tape/drive.h. */
struct drive_ops {
    void (*close)(struct drive *d); /* nothing is loaded any more; frees d */
    int (*load)(struct drive *d, struct err *err);
    int (*unload)(struct drive *d, struct err *err);
    const char *(*barcode)(const struct drive *d);
    const char *(*serial)(const struct drive *d);
    int (*write_record)(struct drive *d, const void *data, size_t len, struct err *err);
    int (*read_record)(struct drive *d, void *buf, size_t cap, size_t *len, struct err *err);
    int (*write_filemarks)(struct drive *d, unsigned n, struct err *err);
    int (*locate)(struct drive *d, unsigned partition, uint64_t block, struct err *err);
    int (*locate_eod)(struct drive *d, unsigned partition, struct err *err);
    int (*space_filemarks)(struct drive *d, int n, struct err *err);
    int (*position)(struct drive *d, struct drive_position *pos, struct err *err);
    int (*flush)(struct drive *d, struct err *err);
    int (*read_attribute)(struct drive *d, unsigned partition, enum drive_attr id, void *buf,
                          size_t cap, size_t *len, struct err *err);
    int (*write_attribute)(struct drive *d, unsigned partition, enum drive_attr id,
                           enum drive_attr_format format, const void *value, size_t len,
                           struct err *err);
    int (*capacity)(struct drive *d, unsigned partition, struct drive_capacity *cap,
                    struct err *err);
    int (*format)(struct drive *d, struct err *err);
};

struct drive {
    const struct drive_ops *ops;
    struct drive_caps caps;
    struct drive_counters counters;
    bool loaded;
};

/* The letter that names partition p in error texts. */
static inline char drive_letter(unsigned p)
{
    return (char)('a' + p);
}

/* Whether name is usable as a barcode and so as a cartridge directory: 1 to 36 of A-Z a-z 0-9 - _.
 */
bool drive_dir_valid_barcode(const char *name);

/*
 * Reads drive link file link of the open directory libfd: *barcode becomes the cartridge's name, ""
 * when the link says empty. Returns 0 or a negative code with err set.
 */
int drive_dir_read_link(int libfd, const char *link, char barcode[DRIVE_BARCODE_MAX],
                        struct err *err);

/* Splits a drive link file's name into serial and product (each DRIVE_SERIAL_MAX). false: it is not
 * such a name. */
bool drive_dir_split_link(const char *link, char *serial, char *product);

#endif
