/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the fake liblustreapi.so.1: the door to the fake MDT, the handles, and what watches
 * their use. Nothing here is exported. Any thread.
 */
#ifndef FAKE_LUSTRE_LIB_IMPL_H
#define FAKE_LUSTRE_LIB_IMPL_H

#include "../wire.h"

#include <limits.h>
#include <pthread.h>

/* What the MDT said when this process called it first. */
struct lib_site {
    char fsname[MAX_OBD_NAME + 1];
    char mount[PATH_MAX];
    char version[64];
    unsigned features; /* FEAT_* */
};

/* A copytool's registration. A foreign one (of the scheduler's preload) has no pipe. */
struct lib_ct {
    uint64_t magic;
    int agent;
    int rfd;
    char *buf;       /* HSM_BUF_MAX bytes; what recv hands out lies in it */
    size_t last_len; /* bytes of the message handed out last */
    char mount[PATH_MAX];
    int count; /* of ids; 0: any archive */
    int ids[];
};

enum { LIB_CP_FDS = 8 };

/* One action between begin and end. */
struct lib_cp {
    uint64_t magic;
    struct hsm_action_item hai; /* the head only: data are not kept */
    uint64_t dv;
    int fd;                /* source of an archive, volatile of a restore, or -1 */
    int given[LIB_CP_FDS]; /* 1 + each descriptor that get_fd gave out, as far as there is room */
};

#define LIB_CT_MAGIC      UINT64_C(0xC0B7001600000001)
#define LIB_FOREIGN_MAGIC UINT64_C(0xC0B7001600000002)
#define LIB_CP_MAGIC      UINT64_C(0xC0B7001600000003)
#define LIB_POISON        UINT64_C(0xDEADF1A9DEADF1A9)
#define LIB_MODULE        __attribute__((visibility("hidden")))

/* Calls the MDT: c with len bytes of data and descriptor fd (-1: none). The answer goes to *r, its
 * data to out (cap bytes), its descriptor to *outfd (NULL: closed). Returns r->rc, or -ENOTCONN
 * when there is no MDT. */
LIB_MODULE int lib_call(struct wire_call *c, const void *data, size_t len, int fd,
                        struct wire_reply *r, void *out, size_t cap, int *outfd);

/* The site, from the first call on; NULL when there is no MDT. Static storage. */
LIB_MODULE const struct lib_site *lib_site(void);

/* 0, or the -errno that a test wants from this step of the library now. */
LIB_MODULE int lib_fault(const char *step);

/* Tells the MDT what the library caught: "poisoned_handle", "leaked_fd", "null_handle", ... */
LIB_MODULE void lib_report(const char *what);

/* True when path is the mount point of the fake file system. */
LIB_MODULE bool lib_is_mount(const char *path);

/* A new action handle for hai. */
LIB_MODULE struct lib_cp *lib_cp_new(const struct hsm_action_item *hai);

/* The live handle p, or NULL after a report when it was freed or never was one. */
LIB_MODULE struct lib_cp *lib_cp_check(const void *p);

/* Closes and poisons a handle; its memory stays in quarantine so that late use is seen. */
LIB_MODULE void lib_cp_free(struct lib_cp *cp);

/* Remembers that descriptor fd was given to the caller of cp, to see later whether it was closed.
 */
LIB_MODULE void lib_fd_given(struct lib_cp *cp, int fd);

/* Reports every given descriptor that is still open at least patience_s after the end of its
 * action, and forgets it. */
LIB_MODULE void lib_fd_audit(int patience_s);

/* Stages of an action for the event FIFO. */
enum lib_stage { LIB_START, LIB_RUNNING, LIB_FINISH, LIB_CANCEL, LIB_ERROR };

/* Writes one event of an action to the FIFO, if one is registered. total, current in bytes; errval
 * a positive errno value for LIB_ERROR. */
LIB_MODULE void lib_event_action(const struct hsm_action_item *hai, enum lib_stage stage,
                                 uint64_t total, uint64_t current, int errval);

/* Writes REGISTER or UNREGISTER of ct to the FIFO, if one is registered. */
LIB_MODULE void lib_event_agent(const struct lib_ct *ct, const char *type);

#endif
