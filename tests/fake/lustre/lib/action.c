/* SPDX-License-Identifier: Apache-2.0 */
/* begin, progress, end of one action. */
#include "lib_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static void fill_call(struct wire_call *c, enum wire_op op, const struct lib_cp *cp)
{
    memset(c, 0, sizeof *c);
    c->op = op;
    c->action = cp->hai.action;
    c->cookie = cp->hai.cookie;
    c->fid = cp->hai.action == HSMA_RESTORE ? cp->hai.dfid : cp->hai.fid;
    c->dv = cp->dv;
}

static int open_fid(const struct lu_fid *fid, int flags)
{
    struct wire_call c = {.op = WIRE_OPEN_FID, .fid = *fid, .num = flags};
    struct wire_reply r;
    int fd = -1;
    int rc = lib_call(&c, NULL, 0, -1, &r, NULL, 0, &fd);
    return rc != 0 ? rc : fd;
}

static int begin_restore(struct lib_cp *cp, int open_flags, unsigned features)
{
    struct wire_call c = {.op = WIRE_VOLATILE, .fid = cp->hai.fid, .num = open_flags};
    struct wire_reply r;
    if (features & FEAT_RESTORE_DFID) {
        int fd = open_fid(&cp->hai.dfid, O_RDONLY | O_NOATIME | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0)
            return fd;
        (void)close(fd);
    }
    int rc = lib_call(&c, NULL, 0, -1, &r, NULL, 0, &cp->fd);
    if (rc == 0)
        cp->hai.dfid = r.fid;
    return rc;
}

static int begin_remove(const struct lib_cp *cp, unsigned features)
{
    if (!(features & FEAT_REMOVE_OPEN))
        return 0;
    int fd = open_fid(&cp->hai.fid, O_RDONLY | O_NOATIME | O_NOFOLLOW | O_NONBLOCK);
    if (fd >= 0)
        (void)close(fd);
    return fd >= 0 || fd == -ENOENT ? 0 : fd;
}

/* What begin does before the kernel hears of it. */
static int prepare(struct lib_cp *cp, int open_flags, unsigned features)
{
    switch (cp->hai.action) {
    case HSMA_ARCHIVE:
        cp->fd = open_fid(&cp->hai.dfid, O_RDONLY | O_NOATIME | O_NOFOLLOW | O_NONBLOCK);
        return cp->fd < 0 ? cp->fd : 0;
    case HSMA_RESTORE:
        return begin_restore(cp, open_flags, features);
    case HSMA_REMOVE:
        return begin_remove(cp, features);
    default:
        return 0;
    }
}

static int copy_start(struct lib_cp *cp)
{
    struct wire_call c;
    struct wire_reply r;
    if (cp->hai.action == HSMA_REMOVE)
        return 0;
    fill_call(&c, WIRE_COPY_START, cp);
    c.fid = cp->hai.fid; /* the volatile is named with the first progress only */
    int rc = lib_call(&c, NULL, 0, -1, &r, NULL, 0, NULL);
    if (rc == 0)
        cp->dv = r.dv;
    return rc;
}

int llapi_hsm_action_begin(void **phcp, const void *priv, const struct hsm_action_item *hai,
                           int mdt_idx, int open_flags, bool is_error)
{
    const struct lib_ct *ct = priv;
    const struct lib_site *s = lib_site();
    (void)mdt_idx;
    if (phcp == NULL || ct == NULL || hai == NULL || s == NULL)
        return -EINVAL;
    if (ct->magic != LIB_CT_MAGIC && ct->magic != LIB_FOREIGN_MAGIC)
        return -EINVAL;
    if (hai->action == HSMA_CANCEL)
        lib_report("cancel_answered");
    struct lib_cp *cp = lib_cp_new(hai);
    if (cp == NULL)
        return -ENOMEM;
    int rc = lib_fault("begin");
    if (rc == 0 && !is_error) {
        rc = prepare(cp, open_flags, s->features);
        if (rc == 0)
            rc = copy_start(cp);
        if (rc == 0)
            lib_event_action(&cp->hai, LIB_START, 0, 0, 0);
    }
    if (rc != 0) {
        lib_cp_free(cp);
        return rc;
    }
    *phcp = cp;
    return 0;
}

int llapi_hsm_action_progress(void *hcp, const struct hsm_extent *ext, uint64_t total, int hp_flags)
{
    struct wire_call c;
    struct wire_reply r;
    if (ext == NULL)
        return -EINVAL;
    struct lib_cp *cp = lib_cp_check(hcp);
    if (cp == NULL)
        return -EINVAL;
    fill_call(&c, WIRE_PROGRESS, cp);
    c.ext = *ext;
    c.hp_flags = (uint32_t)hp_flags;
    int rc = lib_call(&c, NULL, 0, -1, &r, NULL, 0, NULL);
    if (rc == 0)
        lib_event_action(&cp->hai, LIB_RUNNING, total, r.dv, 0);
    return rc;
}

/* fsync and times of a restored file: a failure becomes the action's error, while end itself may
 * still say 0. By reading. */
static int settle_volatile(const struct lib_cp *cp)
{
    if (lib_fault("end_fsync") != 0 || fsync(cp->fd) != 0)
        return EIO;
    return lib_fault("end_times") != 0 ? EIO : 0;
}

int llapi_hsm_action_end(void **phcp, const struct hsm_extent *ext, int hp_flags, int errval)
{
    struct wire_call c;
    struct wire_reply r;
    if (phcp == NULL || *phcp == NULL || ext == NULL) {
        lib_report("null_handle");
        return -EINVAL;
    }
    struct lib_cp *cp = lib_cp_check(*phcp);
    if (cp == NULL)
        return -EINVAL;
    if (errval < 0)
        lib_report("negative_errval");
    if (cp->hai.action == HSMA_RESTORE && errval == 0 && cp->fd >= 0)
        errval = settle_volatile(cp);
    fill_call(&c, WIRE_END, cp);
    c.ext = *ext;
    c.hp_flags = (uint32_t)hp_flags | HP_FLAG_COMPLETED;
    c.errval = errval;
    int volatile_fd = cp->hai.action == HSMA_RESTORE ? cp->fd : -1;
    int rc = lib_call(&c, NULL, 0, volatile_fd, &r, NULL, 0, NULL);
    enum lib_stage stage = errval == ECANCELED      ? LIB_CANCEL
                           : errval != 0 || rc != 0 ? LIB_ERROR
                                                    : LIB_FINISH;
    struct hsm_action_item hai = cp->hai;
    if (hai.action == HSMA_RESTORE)
        hai.dfid = hai.fid; /* the file has its data again under its own name */
    lib_event_action(&hai, stage, 0, 0, errval != 0 ? errval : -rc);
    lib_cp_free(cp);
    *phcp = NULL;
    return rc;
}

int llapi_hsm_action_get_dfid(const void *hcp, struct lu_fid *fid)
{
    int rc = lib_fault("get_dfid");
    if (rc != 0 || fid == NULL)
        return rc != 0 ? rc : -EINVAL;
    const struct lib_cp *cp = lib_cp_check(hcp);
    if (cp == NULL || (cp->hai.action != HSMA_ARCHIVE && cp->hai.action != HSMA_RESTORE))
        return -EINVAL;
    *fid = cp->hai.dfid;
    return 0;
}

int llapi_hsm_action_get_fd(const void *hcp)
{
    int rc = lib_fault("get_fd");
    if (rc != 0)
        return rc;
    struct lib_cp *cp = lib_cp_check(hcp);
    if (cp == NULL || (cp->hai.action != HSMA_ARCHIVE && cp->hai.action != HSMA_RESTORE))
        return -EINVAL;
    int fd = fcntl(cp->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    lib_fd_given(cp, fd);
    return fd;
}
