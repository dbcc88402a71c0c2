/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The binary interface of liblustreapi as the fake plays it: packed structures, constants and
 * prototypes, written down a second time on purpose. The product declares its own; a slip in either
 * shows as a failing test. Sizes hold for 2.12 to 2.17.57 (doc/design/lustre-fake.md).
 */
#ifndef FAKE_LUSTRE_ABI_H
#define FAKE_LUSTRE_ABI_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct lu_fid {
    uint64_t seq;
    uint32_t oid;
    uint32_t ver;
} __attribute__((packed));

struct hsm_extent {
    uint64_t offset;
    uint64_t length; /* UINT64_MAX: to the end */
} __attribute__((packed));

struct hsm_action_item {
    uint32_t len; /* 72 + bytes of data, not padded */
    uint32_t action;
    struct lu_fid fid;
    struct lu_fid dfid;
    struct hsm_extent extent;
    uint64_t cookie;
    uint64_t gid;
    /* data: len - 72 bytes */
} __attribute__((packed));

struct hsm_action_list {
    uint32_t version;
    uint32_t count;
    uint64_t compound_id;
    uint64_t flags;
    uint32_t archive_id;
    uint32_t pad;
    /* fsname, NUL-terminated, then items from the next multiple of 8 */
} __attribute__((packed));

struct hsm_user_item {
    struct lu_fid fid;
    struct hsm_extent extent;
} __attribute__((packed));

struct hsm_user_request {
    uint32_t action;
    uint32_t archive_id;
    uint64_t flags;
    uint32_t itemcount;
    uint32_t data_len;
    struct hsm_user_item items[]; /* data_len bytes of data behind them */
} __attribute__((packed));

struct hsm_user_state {
    uint32_t states;
    uint32_t archive_id;
    uint32_t in_progress_state;
    uint32_t in_progress_action;
    struct hsm_extent location;
} __attribute__((packed));

struct hsm_current_action {
    uint32_t state;
    uint32_t action;
    struct hsm_extent location;
} __attribute__((packed));

struct kuc_hdr {
    uint16_t magic;
    uint8_t transport;
    uint8_t flags;
    uint16_t msgtype;
    uint16_t msglen; /* with this header */
} __attribute__((packed));

_Static_assert(sizeof(struct lu_fid) == 16, "lu_fid");
_Static_assert(sizeof(struct hsm_action_item) == 72, "hsm_action_item");
_Static_assert(offsetof(struct hsm_action_item, cookie) == 56, "cookie");
_Static_assert(sizeof(struct hsm_action_list) == 32, "hsm_action_list");
_Static_assert(sizeof(struct hsm_user_request) == 24, "hsm_user_request");
_Static_assert(sizeof(struct hsm_user_item) == 32, "hsm_user_item");
_Static_assert(sizeof(struct hsm_user_state) == 32, "hsm_user_state");
_Static_assert(sizeof(struct hsm_current_action) == 24, "hsm_current_action");
_Static_assert(sizeof(struct kuc_hdr) == 8, "kuc_hdr");

enum { HSMA_NONE = 10, HSMA_ARCHIVE = 20, HSMA_RESTORE, HSMA_REMOVE, HSMA_CANCEL };
enum {
    HUA_NONE = 1,
    HUA_ARCHIVE = 10,
    HUA_RESTORE,
    HUA_RELEASE,
    HUA_REMOVE,
    HUA_CANCEL,
};
enum {
    HS_EXISTS = 1,
    HS_DIRTY = 2,
    HS_RELEASED = 4,
    HS_ARCHIVED = 8,
    HS_NORELEASE = 0x10,
    HS_NOARCHIVE = 0x20,
    HS_LOST = 0x40,
    HS_USER_MASK = 0x32,
};
enum { HPS_NONE, HPS_WAITING, HPS_RUNNING, HPS_DONE };
enum { HP_FLAG_COMPLETED = 1, HP_FLAG_RETRY = 2 };
enum { HSM_FORCE_ACTION = 1, HSM_GHOST_COPY = 2, HSM_REQ_BLOCKING = 4 };
enum {
    KUC_MAGIC = 0x191C,
    KUC_TRANSPORT_GENERIC = 1,
    KUC_TRANSPORT_HSM = 2,
    KUC_MSG_SHUTDOWN = 1,
    HMT_ACTION_LIST = 100,
    HAL_VERSION = 1,
    MAX_OBD_NAME = 128,
    HSM_MSG_MAX = 5120,          /* one message without the kuc header, in the coordinator */
    HSM_BUF_MAX = 1024 * 1024,   /* buffer of recv */
    HSM_REQUEST_MAX = 1705,      /* 24 + 32 n + data_len */
    O_LOV_DELAY_CREATE = 0x2100, /* O_NOCTTY | FASYNC */
};
#define FAKE_NONE UINT64_MAX

/* What stands between two items, and between the head of a list and its first item. */
static inline size_t hsm_align8(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

/* Offset of the first item of a list. */
static inline size_t hsm_first_item(const char *fsname, size_t len)
{
    (void)fsname;
    return sizeof(struct hsm_action_list) + hsm_align8(len + 1);
}

typedef void (*llapi_log_callback_t)(int level, int err, const char *fmt, va_list args);

/* The exported functions: arguments, results and ownership are those of table "Functions" of
 * doc/design/lustre-fake.md; int results are 0 or -errno unless that table says otherwise. Any
 * thread may call any of them; one handle belongs to one thread at a time. */
#define FAKE_EXPORT __attribute__((visibility("default")))
FAKE_EXPORT int llapi_hsm_copytool_register(void **ct, const char *mnt, int n, int *ids, int flags);
FAKE_EXPORT int llapi_hsm_copytool_unregister(void **ct);
FAKE_EXPORT int llapi_hsm_copytool_get_fd(void *ct);
FAKE_EXPORT int llapi_hsm_copytool_recv(void *ct, struct hsm_action_list **hal, int *msgsize);
FAKE_EXPORT int llapi_hsm_action_begin(void **hcp, const void *ct,
                                       const struct hsm_action_item *hai, int mdt_idx,
                                       int open_flags, bool is_error);
FAKE_EXPORT int llapi_hsm_action_end(void **hcp, const struct hsm_extent *ext, int hp_flags,
                                     int errval);
FAKE_EXPORT int llapi_hsm_action_progress(void *hcp, const struct hsm_extent *ext, uint64_t total,
                                          int hp_flags);
FAKE_EXPORT int llapi_hsm_action_get_dfid(const void *hcp, struct lu_fid *fid);
FAKE_EXPORT int llapi_hsm_action_get_fd(const void *hcp);
FAKE_EXPORT int llapi_hsm_import(const char *dst, int archive, const struct stat *st,
                                 unsigned long long ssize, int soff, int scount, int pattern,
                                 char *pool, struct lu_fid *out);
FAKE_EXPORT int llapi_hsm_register_event_fifo(const char *path);
FAKE_EXPORT int llapi_hsm_unregister_event_fifo(const char *path);
FAKE_EXPORT void llapi_hsm_log_error(int level, int err, const char *fmt, va_list args);
FAKE_EXPORT int llapi_hsm_state_get(const char *path, struct hsm_user_state *hus);
FAKE_EXPORT int llapi_hsm_state_get_fd(int fd, struct hsm_user_state *hus);
FAKE_EXPORT int llapi_hsm_state_set(const char *path, uint64_t set, uint64_t clear, uint32_t id);
FAKE_EXPORT int llapi_hsm_state_set_fd(int fd, uint64_t set, uint64_t clear, uint32_t id);
FAKE_EXPORT int llapi_hsm_current_action(const char *path, struct hsm_current_action *hca);
FAKE_EXPORT struct hsm_user_request *llapi_hsm_user_request_alloc(int items, int data_len);
FAKE_EXPORT int llapi_hsm_request(const char *path, const struct hsm_user_request *hur);
FAKE_EXPORT int llapi_get_data_version(int fd, uint64_t *dv, uint64_t flags);
FAKE_EXPORT int llapi_hsm_data_version_set(int fd, uint64_t dv);
FAKE_EXPORT int llapi_search_fsname(const char *path, char *fsname);
FAKE_EXPORT int llapi_search_mounts(const char *path, int index, char *mnt, char *fsname);
FAKE_EXPORT int llapi_search_rootpath(char *path, const char *fsname);
FAKE_EXPORT int llapi_fid2path(const char *mnt, const char *fidstr, char *buf, int len,
                               long long *recno, int *linkno);
FAKE_EXPORT int llapi_fid2path_at(int mntfd, const struct lu_fid *fid, char *buf, int len,
                                  long long *recno, int *linkno);
FAKE_EXPORT int llapi_path2fid(const char *path, struct lu_fid *fid);
FAKE_EXPORT int llapi_fd2fid(int fd, struct lu_fid *fid);
FAKE_EXPORT int llapi_fid_parse(const char *str, struct lu_fid *fid, char **end);
FAKE_EXPORT int llapi_fd2parent(int fd, unsigned linkno, struct lu_fid *parent, char *name,
                                size_t size);
FAKE_EXPORT int llapi_path2parent(const char *path, unsigned linkno, struct lu_fid *parent,
                                  char *name, size_t size);
FAKE_EXPORT int llapi_get_mdt_index_by_fid(int mntfd, const struct lu_fid *fid, int *idx);
FAKE_EXPORT int llapi_open_by_fid(const char *mnt, const struct lu_fid *fid, int flags);
FAKE_EXPORT int llapi_open_by_fid_at(int dirfd, const struct lu_fid *fid, int flags);
FAKE_EXPORT int llapi_create_volatile_idx(const char *dir, int idx, int flags);
FAKE_EXPORT int llapi_create_volatile_param(const char *dir, int idx, int flags, mode_t mode,
                                            const void *stripe_param);
FAKE_EXPORT int llapi_get_version_string(char *buf, unsigned size);
FAKE_EXPORT void llapi_msg_set_level(int level);
FAKE_EXPORT llapi_log_callback_t llapi_error_callback_set(llapi_log_callback_t cb);

#endif
