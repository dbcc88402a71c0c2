/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of Lustre's user interface that the copytool needs, as facts of its ABI (the same
 * in 2.12 to 2.17): sizes and offsets are asserted. No Lustre header is used. All integers are in
 * the machine's byte order.
 */
#ifndef LUSTRE_ABI_H
#define LUSTRE_ABI_H

#include <stdint.h>

/* The identity of a file in a Lustre file system; ver is always 0 today. */
struct lu_fid {
    uint64_t seq;
    uint32_t oid;
    uint32_t ver;
} __attribute__((packed));
_Static_assert(sizeof(struct lu_fid) == 16, "lu_fid");

/* Bytes offset to offset + length; length -1: to the end. */
struct hsm_extent {
    uint64_t offset;
    uint64_t length;
} __attribute__((packed));
_Static_assert(sizeof(struct hsm_extent) == 16, "hsm_extent");

/* One action; len - 72 bytes of the requester's data follow. */
struct hsm_action_item {
    uint32_t len;
    uint32_t action; /* enum hsma */
    struct lu_fid fid;
    struct lu_fid dfid; /* the data's: of the volatile file in a restore */
    struct hsm_extent extent;
    uint64_t cookie;
    uint64_t gid;
    char data[];
} __attribute__((packed));
_Static_assert(sizeof(struct hsm_action_item) == 72, "hsm_action_item");

enum hsma {
    HSMA_NONE = 10,
    HSMA_ARCHIVE = 20,
    HSMA_RESTORE = 21,
    HSMA_REMOVE = 22,
    HSMA_CANCEL = 23,
};

/* Flags of an action list. */
enum {
    HAL_FORCE_ACTION = 1,
    HAL_GHOST_COPY = 2,
    HAL_REQ_BLOCKING = 4, /* 2.17+: somebody waits in a read */
};

/* States of a file. */
enum {
    HS_EXISTS = 0x1,
    HS_DIRTY = 0x2,
    HS_RELEASED = 0x4,
    HS_ARCHIVED = 0x8,
    HS_NORELEASE = 0x10,
    HS_NOARCHIVE = 0x20,
    HS_LOST = 0x40,
};

#define LOV_DELAY_CREATE 0x2100 /* open flags of a restore whose layout is set before its data */
#define FID_TEXT_MAX     48     /* "[0x200000401:0x1:0x0]" and NUL, any values */

#endif
