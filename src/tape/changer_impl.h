/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the tape folder: what a kind of changer provides. Kinds put struct changer first into
 * their own struct. changer_move's wrapper has checked both addresses against the inventory.
 */
#ifndef TAPE_CHANGER_IMPL_H
#define TAPE_CHANGER_IMPL_H

#include "tape/changer.h"

/* Contracts are those of the functions changer_<op> in tape/changer.h. */
struct changer_ops {
    const char *kind;
    void (*close)(struct changer *c);
    int (*inventory)(struct changer *c, struct changer_inventory *inv, struct err *err);
    int (*move)(struct changer *c, const struct changer_inventory *inv,
                const struct changer_element *from, const struct changer_element *to,
                struct err *err);
    int (*open_drive)(struct changer *c, const struct changer_element *drive, struct drive **out,
                      struct err *err);
};

struct changer {
    const struct changer_ops *ops;
    struct clock *clock; /* NULL: moves take no time */
    double move_seconds;
};

/* Names of a library directory of kind dir. */
#define CHANGER_DIR_SLOTS       "slots"
#define CHANGER_DIR_CONF        "library"
#define CHANGER_DIR_LOCK        ".lock"
#define CHANGER_DIR_FIRST_DRIVE 256u
#define CHANGER_DIR_FIRST_IE    768u
#define CHANGER_DIR_FIRST_SLOT  1024u
#define CHANGER_DIR_MAX_SLOTS   10000u
#define CHANGER_DIR_MAX_DRIVES  64u
#define CHANGER_DIR_MAX_IE      64u

/* Puts barcode ("" for none) into drive link file link of directory libfd, durably. */
int changer_dir_write_link(int libfd, const char *link, const char *barcode, struct err *err);

/* What a library directory holds, before places are worked out. */
struct changer_dir_content {
    char (*cartridges)[DRIVE_BARCODE_MAX]; /* sorted */
    unsigned *homes;                       /* of each cartridge; 0: none recorded */
    size_t cartridge_count;
    char (*links)[2 * DRIVE_SERIAL_MAX]; /* drive link files, sorted */
    size_t link_count;
    unsigned slots, ie_slots;
};

/* Reads directory libfd; the caller frees *c with changer_dir_content_fini. */
int changer_dir_read(int libfd, struct changer_dir_content *c, struct err *err);

/* Frees what changer_dir_read made. */
void changer_dir_content_fini(struct changer_dir_content *c);

/* Turns content into the elements of *inv, reading the drive link files of libfd. */
int changer_dir_place(int libfd, struct changer_dir_content *c, struct changer_inventory *inv,
                      struct err *err);

#endif
