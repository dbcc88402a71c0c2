/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tape drive: records and file marks on up to two partitions, cartridge memory (MAM), capacity.
 * Every kind (dir, the layers fault and timed, later scsi) stands behind one ops struct and is
 * called only through the wrappers here, which check, count and trace. LTFS (tape/ltfs.h) is the
 * only caller besides tests. One thread owns one drive; different drives are independent.
 *
 * All functions return 0, a positive enum drive_outcome that the caller must handle, or a negated
 * errno value with err set; an error text names the cartridge, the partition (as LTFS does: a is 0,
 * b is 1) and the block. err may be NULL.
 */
#ifndef TAPE_DRIVE_H
#define TAPE_DRIVE_H

#include "base/clock.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DRIVE_PARTITIONS  2
#define DRIVE_BARCODE_MAX 37 /* a cartridge name: at most 36 bytes (drive link files) and a NUL */
#define DRIVE_SERIAL_MAX  64

enum drive_outcome {
    DRIVE_FILEMARK = 1,  /* read: a file mark was passed, there is no data */
    DRIVE_END_OF_DATA,   /* read, locate, space: nothing is recorded from here on */
    DRIVE_BEGINNING,     /* space backwards: block 0 was reached before the marks were counted */
    DRIVE_EARLY_WARNING, /* write: done, but the partition is nearly full (about 5 % left) */
    DRIVE_FULL,          /* write: not done, the partition is full (ENOSPC of the medium) */
    DRIVE_EMPTY,         /* load: no cartridge is in the drive */
    DRIVE_NO_ATTRIBUTE,  /* read attribute: the cartridge memory does not hold it */
};

/* Formats of cartridge memory attributes (SPC-4, READ ATTRIBUTE). */
enum drive_attr_format { DRIVE_ATTR_BINARY = 0, DRIVE_ATTR_ASCII = 1, DRIVE_ATTR_TEXT = 2 };

/* The cartridge memory attributes in use (SPC-4 and LTFS 2.4, annex on MAM). */
enum drive_attr {
    DRIVE_ATTR_VCR = 0x0009, /* volume change reference: set by the drive alone */
    DRIVE_ATTR_APP_VENDOR = 0x0800,
    DRIVE_ATTR_APP_NAME = 0x0801,
    DRIVE_ATTR_APP_VERSION = 0x0802,
    DRIVE_ATTR_VOLUME_NAME = 0x0803,
    DRIVE_ATTR_LOCALE = 0x0805,
    DRIVE_ATTR_BARCODE = 0x0806,
    DRIVE_ATTR_FORMAT_VERSION = 0x080B,
    DRIVE_ATTR_COHERENCY = 0x080C, /* one per partition */
};

struct drive_position {
    unsigned partition;
    uint64_t block; /* the next block read or written; records and file marks count */
};

struct drive_capacity {
    uint64_t maximum_bytes;
    uint64_t remaining_bytes;
    bool early_warning; /* the partition is past its early warning point */
};

/* What a kind can do, as data. */
struct drive_caps {
    const char *kind;       /* "dir", "fault", "timed" */
    size_t max_record;      /* largest record in bytes */
    unsigned partitions;    /* 1 or 2 */
    bool eod_is_cheap;      /* locating end of data costs no tape motion */
    bool simulated_seconds; /* motion is charged to a clock */
};

struct drive_counters {
    uint64_t records_read, records_written;
    uint64_t bytes_read, bytes_written;
    uint64_t filemarks_written, locates, spaces, flushes, loads;
};

struct drive;

/* ---- kinds ---- */

/*
 * Opens the drive of kind dir whose drive link file is link ("Drive_<serial>.<product>") in library
 * directory library (see firn-ltfs(5)). Nothing is loaded yet. The caller owns *out: drive_close.
 * Failure: the link file is missing or not of that form.
 */
int drive_dir_open(const char *library, const char *link, struct drive **out, struct err *err);

/*
 * Opens a drive of kind dir that always holds the one cartridge directory cartridge (no changer);
 * for tools and tests. drive_load must still be called. The caller owns *out.
 */
int drive_dir_open_cartridge(const char *cartridge, struct drive **out, struct err *err);

/*
 * Makes an empty cartridge directory named barcode (1 to 36 bytes of letters, digits, '-', '_')
 * under directory parent: blank (not partitioned), with filedebug_tc_conf.xml. capacity_bytes >= 4
 * MiB is rounded down to MiB; the media type comes from the last two characters of barcode (L5 to
 * L9, M8; else L8). -EEXIST when it is there. Durable when it returns.
 */
int drive_dir_create_cartridge(const char *parent, const char *barcode, uint64_t capacity_bytes,
                               struct err *err);

/* What a fault drive does; zero means never. Counters start at 1 and count from drive_fault_new. */
struct drive_fault_plan {
    uint64_t fail_read_at;  /* the nth read_record returns -read_errno, the head stays */
    int read_errno;         /* positive errno value; 0 counts as EIO */
    uint64_t fail_write_at; /* the nth write_record or write_filemarks returns -write_errno */
    int write_errno;        /* as read_errno */
    uint64_t fail_flush_at; /* the nth flush returns -EIO */
    uint64_t flip_read_at;  /* the nth record read comes with one bit changed */
    uint64_t full_at;       /* the nth write is answered by DRIVE_FULL */
    uint64_t power_cut_at;  /* before the nth changing operation (write, mark, attribute, flush,
                               format) the power goes: it and everything later is -EIO */
    bool drop_unflushed;    /* power cut: what was not flushed is gone, overwritten is back */
    bool hollow_first;      /* power cut: the first unflushed record has lost its bytes, what was
                               written later survives (file systems do that) */
    bool tear_last;         /* power cut: the last unflushed record written keeps half its bytes */
    const char *cartridge;  /* the cartridge's directory, needed by power_cut_at;
                               borrowed for the drive's life */
};

/*
 * A drive that passes everything to inner and breaks as plan says (copied). Takes ownership of
 * inner. Never NULL.
 */
struct drive *drive_fault_new(struct drive *inner, const struct drive_fault_plan *plan);

/* The number of changing operations seen by a fault drive so far (the unit of power_cut_at). */
uint64_t drive_fault_operations(const struct drive *d);

/*
 * A drive that passes everything to inner and charges what a real drive of media ("lto7", "m8",
 * "lto8", "lto9") would take to clock (borrowed): threading, locates by the model of tape/order.h,
 * streaming, rewind and unload. Takes ownership of inner on success. -EINVAL: unknown media.
 */
int drive_timed_new(struct drive *inner, const char *media, struct clock *clock, struct drive **out,
                    struct err *err);

/*
 * Tells a timed drive with a cartridge loaded how long the full records of the volume on it are
 * (bytes > 0), until the next load: places on tape follow from the number of records. Without it
 * they count as 512 KiB. Returns 0 or a negative code with err.
 */
int drive_timed_set_record(struct drive *d, uint32_t bytes, struct err *err);

/* ---- operations ---- */

/* Unloads if needed (errors are logged) and frees d. NULL is allowed. */
void drive_close(struct drive *d);

/*
 * Makes the cartridge that the changer put into the drive ready, head at block 0 of partition 0.
 * DRIVE_EMPTY when there is none. Already loaded: 0 and nothing happens. A cartridge is held by one
 * drive of one process: -EBUSY when another has it.
 */
int drive_load(struct drive *d, struct err *err);

/* Flushes, rewinds and lets the cartridge go, so that the changer may take it; 0 when none is
 * loaded. On failure of the flush the cartridge is let go too and the error is returned. */
int drive_unload(struct drive *d, struct err *err);

/* Whether a cartridge is loaded. */
bool drive_is_loaded(const struct drive *d);

/* The loaded cartridge's barcode, "" when none is loaded. Borrowed until the next load or unload.
 */
const char *drive_barcode(const struct drive *d);

/* The drive's serial number; for a bare cartridge the cartridge's name. Borrowed. */
const char *drive_serial(const struct drive *d);

/* What the kind can do. Borrowed. */
const struct drive_caps *drive_caps(const struct drive *d);

/* What was done since the drive was opened. Borrowed; changes with every call. */
const struct drive_counters *drive_counters(const struct drive *d);

/*
 * Writes one record of len (1 to max_record) bytes at the head; everything behind it on the
 * partition is gone. Returns 0, DRIVE_EARLY_WARNING (written), DRIVE_FULL (not written) or a
 * failure, after which the head's place is unknown until the next locate. Not durable before
 * drive_flush.
 */
int drive_write_record(struct drive *d, const void *data, size_t len, struct err *err);

/*
 * Reads the record at the head into buf[cap] and sets *len; the head goes behind it. DRIVE_FILEMARK
 * (passed over) or DRIVE_END_OF_DATA (head stays) with *len 0. A record longer than cap: -EMSGSIZE.
 * A record that cannot be read: -EIO.
 */
int drive_read_record(struct drive *d, void *buf, size_t cap, size_t *len, struct err *err);

/* Writes n (>= 1) file marks at the head; returns as drive_write_record does. */
int drive_write_filemarks(struct drive *d, unsigned n, struct err *err);

/* Puts the head before block of partition. DRIVE_END_OF_DATA (head at end of data) when block lies
 * behind it. */
int drive_locate(struct drive *d, unsigned partition, uint64_t block, struct err *err);

/* Puts the head at the end of data of partition. */
int drive_locate_eod(struct drive *d, unsigned partition, struct err *err);

/*
 * Moves over |n| file marks: forward (n > 0) the head ends behind the last of them, backward (n <
 * 0) before it. DRIVE_END_OF_DATA or DRIVE_BEGINNING when the partition ends first (head there).
 */
int drive_space_filemarks(struct drive *d, int n, struct err *err);

/* Where the head is. */
int drive_position(struct drive *d, struct drive_position *pos, struct err *err);

/* Returns when everything written is durable (dir: syncfs of the cartridge's file system). After a
 * failure nothing written since the last good flush may be believed. */
int drive_flush(struct drive *d, struct err *err);

/* Reads attribute id of partition into buf[cap] (the value alone) and sets *len. DRIVE_NO_ATTRIBUTE
 * when it is absent; -EMSGSIZE when it is longer than cap. Volume-wide ones are on partition 0. */
int drive_read_attribute(struct drive *d, unsigned partition, enum drive_attr id, void *buf,
                         size_t cap, size_t *len, struct err *err);

/* Writes attribute id of partition: len (1 to 4096) bytes of value in format. The drive's own
 * attributes (DRIVE_ATTR_VCR) are -EPERM. Durable with the next flush. */
int drive_write_attribute(struct drive *d, unsigned partition, enum drive_attr id,
                          enum drive_attr_format format, const void *value, size_t len,
                          struct err *err);

/* Size and room of partition in bytes. */
int drive_capacity(struct drive *d, unsigned partition, struct drive_capacity *cap,
                   struct err *err);

/* Erases the cartridge and makes two empty partitions (about 5 % and 95 %), head at 0/0. The
 * attributes other than the drive's own are gone. */
int drive_format(struct drive *d, struct err *err);

/* drive_close as a cleanup: auto_drive struct drive *d = NULL; */
static inline void cleanup_drive(struct drive **d)
{
    drive_close(*d);
}
#define auto_drive __attribute__((cleanup(cleanup_drive)))

#endif
