/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tape library's changer: elements (storage slots, import/export slots, drives) and the moves
 * between them. Kinds stand behind one ops struct (dir now; scsi later) and are called through the
 * wrappers here. The engine calls them; calls on one changer are serialised by the caller's lock.
 *
 * Functions return 0, a positive enum changer_outcome, or a negated errno value with err set (err
 * may be NULL). Element addresses are those of the library; in kind dir drives start at 256,
 * import/export slots at 768, storage slots at 1024.
 */
#ifndef TAPE_CHANGER_H
#define TAPE_CHANGER_H

#include "base/clock.h"
#include "base/err.h"
#include "tape/drive.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum changer_outcome {
    CHANGER_SOURCE_EMPTY = 1, /* move: no cartridge is there */
    CHANGER_TARGET_FULL,      /* move: another cartridge is there or has its home there */
    CHANGER_DRIVE_BUSY,       /* move: the drive still holds the cartridge; unload it first */
};

enum changer_element_kind { CHANGER_SLOT, CHANGER_IE_SLOT, CHANGER_DRIVE };

struct changer_element {
    enum changer_element_kind kind;
    unsigned address;
    char barcode[DRIVE_BARCODE_MAX];  /* "" when empty */
    unsigned home;                    /* drive: the slot its cartridge came from; 0 when empty */
    char reserved[DRIVE_BARCODE_MAX]; /* slot: the cartridge that has its home here but is in a
                                         drive now; else "" */
    char serial[DRIVE_SERIAL_MAX];    /* drive; else "" */
    char product[DRIVE_SERIAL_MAX];   /* drive, for example "ULT3580-TD8"; else "" */
};

struct changer_inventory {
    struct changer_element *elements; /* by address */
    size_t count;
};

struct changer;

enum changer_flags {
    CHANGER_INSPECT = 1, /* takes no lock and refuses moves */
};

/*
 * Opens the library in directory path (made by changer_dir_create). Locks it against every other
 * process for the changer's life, unless flags has CHANGER_INSPECT: -EBUSY when another process has
 * it (the text names its process id). The caller owns *out: changer_close.
 */
int changer_dir_open(const char *path, unsigned flags, struct changer **out, struct err *err);

/* What changer_dir_create makes. */
struct changer_dir_spec {
    unsigned drives;           /* 1 to 64 */
    unsigned cartridges;       /* 0 to 9999; named <prefix><number, two digits or more><media> */
    unsigned slots;            /* at least cartridges; 0 means cartridges */
    unsigned ie_slots;         /* import/export slots, 0 to 64 */
    const char *prefix;        /* of barcodes, "FIRN" when NULL; barcodes have 8 characters */
    const char *media;         /* "L8" when NULL: L5 to L9, M8 */
    const char *serial_prefix; /* of drives' serial numbers, "FIRN" when NULL */
    uint64_t capacity_bytes;   /* of each cartridge; at least 4 MiB */
};

/*
 * Makes a library in directory path (made with its parents; -EEXIST when it holds a library
 * already). On return it is durable.
 */
int changer_dir_create(const char *path, const struct changer_dir_spec *spec, struct err *err);

/* Frees c and its lock. Drives opened through it stay usable. NULL is allowed. */
void changer_close(struct changer *c);

/*
 * Charges secs seconds of clock (borrowed; NULL: none) for every move.
 */
void changer_set_clock(struct changer *c, struct clock *clock, double secs);

/*
 * What is where, read from the library now: cartridges added or taken away by hand are seen. Fills
 * *inv; the caller frees it with changer_inventory_fini.
 */
int changer_inventory(struct changer *c, struct changer_inventory *inv, struct err *err);

/* Frees what changer_inventory filled; inv is empty and reusable afterwards. */
void changer_inventory_fini(struct changer_inventory *inv);

/* The element where barcode is, or NULL. Borrowed from inv. */
const struct changer_element *changer_find(const struct changer_inventory *inv,
                                           const char *barcode);

/*
 * Moves the cartridge at address from to address to (0: back to its home slot, from a drive only).
 * Crash safe: at any moment the cartridge is in exactly one of the two places; durable when it
 * returns 0. Outcomes: CHANGER_SOURCE_EMPTY, CHANGER_TARGET_FULL, CHANGER_DRIVE_BUSY.
 */
int changer_move(struct changer *c, unsigned from, unsigned to, struct err *err);

/* Opens the drive at element address; the caller owns *out (drive_close). -ENXIO: no drive there.
 */
int changer_open_drive(struct changer *c, unsigned address, struct drive **out, struct err *err);

/* Cleanups: auto_changer struct changer *c = NULL; auto_inventory struct changer_inventory i = {0};
 */
static inline void cleanup_changer(struct changer **c)
{
    changer_close(*c);
}
#define auto_changer   __attribute__((cleanup(cleanup_changer)))
#define auto_inventory __attribute__((cleanup(changer_inventory_fini)))

#endif
