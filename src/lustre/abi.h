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

/* A message: items from align8(32 + strlen(fsname) + 1) on, each at the last one's start +
 * align8(len). */
struct hsm_action_list {
    uint32_t version; /* HAL_VERSION */
    uint32_t count;
    uint64_t compound_id;
    uint64_t flags; /* HAL_* */
    uint32_t archive_id;
    uint32_t pad;
    char fsname[];
} __attribute__((packed));
_Static_assert(sizeof(struct hsm_action_list) == 32, "hsm_action_list");

#define HAL_VERSION    1
#define HAL_BYTES_MAX  (1 << 20) /* of a message: the size of liblustreapi's buffer */
#define FSNAME_MAX     129       /* buffer of llapi_search_fsname (MAX_OBD_NAME + 1) */
#define EXTENT_TO_END  UINT64_MAX
#define ARCHIVE_ID_ANY 0

/* Flags of an action list. */
enum {
    HAL_FORCE_ACTION = 1,
    HAL_GHOST_COPY = 2,
    HAL_REQ_BLOCKING = 4, /* 2.17+: somebody waits in a read */
};

/* What a user asks for, of itemcount files; data_len bytes of data follow the items. */
enum hua {
    HUA_NONE = 1,
    HUA_ARCHIVE = 10,
    HUA_RESTORE = 11,
    HUA_RELEASE = 12,
    HUA_REMOVE = 13,
    HUA_CANCEL = 14,
};

struct hsm_user_item {
    struct lu_fid fid;
    struct hsm_extent extent;
} __attribute__((packed));
_Static_assert(sizeof(struct hsm_user_item) == 32, "hsm_user_item");

struct hsm_user_request {
    uint32_t action; /* enum hua */
    uint32_t archive_id;
    uint64_t flags;
    uint32_t itemcount;
    uint32_t data_len;
    struct hsm_user_item items[];
} __attribute__((packed));
_Static_assert(sizeof(struct hsm_user_request) == 24, "hsm_user_request");

/* The MDT takes requests of at most so many bytes (head, items and data), else -E2BIG: 52 files
 * without data. */
#define HSM_REQUEST_MAX 1705

/* What llapi_hsm_state_get tells of a file. */
struct hsm_user_state {
    uint32_t states; /* HS_* */
    uint32_t archive_id;
    uint32_t in_progress_state;  /* enum hps */
    uint32_t in_progress_action; /* enum hua */
    struct hsm_extent in_progress_location;
} __attribute__((packed));
_Static_assert(sizeof(struct hsm_user_state) == 32, "hsm_user_state");

struct hsm_current_action {
    uint32_t state;             /* enum hps */
    uint32_t action;            /* enum hua */
    struct hsm_extent location; /* length: bytes done */
} __attribute__((packed));
_Static_assert(sizeof(struct hsm_current_action) == 24, "hsm_current_action");

enum hps { HPS_NONE = 0, HPS_WAITING = 1, HPS_RUNNING = 2, HPS_DONE = 3 };

/* Flags of an end or progress. RETRY is named so that nobody uses it: it is broken for restores. */
enum { HP_FLAG_COMPLETED = 1, HP_FLAG_RETRY = 2 };

/* Flags of llapi_get_data_version. */
enum { LL_DV_RD_FLUSH = 1, LL_DV_WR_FLUSH = 2 };

/* States of a file. */
enum {
    HS_EXISTS = 0x1,
    HS_DIRTY = 0x2,
    HS_RELEASED = 0x4,
    HS_ARCHIVED = 0x8,
    HS_NORELEASE = 0x10,
    HS_NOARCHIVE = 0x20,
    HS_LOST = 0x40,
    HS_PCCRW = 0x80,
    HS_PCCRO = 0x100,
};

/* What users may set and clear of them. */
#define HS_USER_MASK (HS_DIRTY | HS_NORELEASE | HS_NOARCHIVE)

/* Layouts, the value of the attribute lustre.lov: a head of V1 or V3 and 24 bytes for each object,
 * or a composite of such. */
enum {
    LOV_MAGIC_V1 = 0x0BD10BD0,
    LOV_MAGIC_V3 = 0x0BD30BD0,
    LOV_MAGIC_COMP_V1 = 0x0BD60BD0,
    LOV_MAGIC_FOREIGN = 0x0BD70BD0,
    LOV_MAGIC_SEL = 0x0BD80BD0,
};

#define LOV_PATTERN_RELEASED 0x80000000U
#define LOV_POOL_MAX         16
#define LOV_OBJECT_BYTES     24

struct lov_user_md_v1 {
    uint32_t magic;
    uint32_t pattern;
    uint8_t oi[16];
    uint32_t stripe_size;
    uint16_t stripe_count;  /* 65535: all */
    uint16_t stripe_offset; /* 65535: any */
} __attribute__((packed));
_Static_assert(sizeof(struct lov_user_md_v1) == 32, "lov_user_md_v1");

struct lov_user_md_v3 {
    struct lov_user_md_v1 v1;
    char pool[LOV_POOL_MAX]; /* NUL when shorter */
} __attribute__((packed));
_Static_assert(sizeof(struct lov_user_md_v3) == 48, "lov_user_md_v3");

struct lov_comp_entry {
    uint32_t id;
    uint32_t flags;
    uint64_t start; /* bytes start to end of the file */
    uint64_t end;
    uint32_t blob_offset; /* of its V1 or V3 from the composite's start */
    uint32_t blob_size;
    uint32_t gen;
    uint64_t timestamp;
    uint32_t pad;
} __attribute__((packed));
_Static_assert(sizeof(struct lov_comp_entry) == 48, "lov_comp_entry");

struct lov_comp_md_v1 {
    uint32_t magic;
    uint32_t size; /* of all */
    uint32_t layout_gen;
    uint16_t flags;
    uint16_t entry_count;
    uint16_t mirror_count; /* less one */
    uint8_t pad[14];
    struct lov_comp_entry entries[];
} __attribute__((packed));
_Static_assert(sizeof(struct lov_comp_md_v1) == 32, "lov_comp_md_v1");

/* Levels of liblustreapi's own messages. */
enum {
    LLAPI_MSG_OFF = 0,
    LLAPI_MSG_FATAL = 1,
    LLAPI_MSG_ERROR = 2,
    LLAPI_MSG_WARN = 3,
    LLAPI_MSG_NORMAL = 4,
    LLAPI_MSG_INFO = 5,
    LLAPI_MSG_DEBUG = 6,
    LLAPI_MSG_NO_ERRNO = 0x10, /* or'ed to a level */
};

#define LOV_DELAY_CREATE 0x2100 /* open flags of a restore whose layout is set before its data */
#define FID_TEXT_MAX     48     /* "[0x200000401:0x1:0x0]" and NUL, any values */

#endif
