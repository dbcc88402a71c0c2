/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/privilege.h"

#include "s3/req.h"

#include <errno.h>
#include <grp.h>
#include <linux/securebits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCKED_BITS                                                                                \
    (SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_KEEP_CAPS_LOCKED |                              \
     SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

/* Sets the capabilities to exactly the n ones in keep. */
static int set_caps(const cap_value_t *keep, int n)
{
    cap_t caps = cap_init();
    if (caps == NULL)
        return -errno;
    int rc = 0;
    if (n > 0 && (cap_set_flag(caps, CAP_PERMITTED, n, keep, CAP_SET) < 0 ||
                  cap_set_flag(caps, CAP_EFFECTIVE, n, keep, CAP_SET) < 0))
        rc = -errno;
    if (rc == 0 && cap_set_proc(caps) < 0)
        rc = -errno;
    (void)cap_free(caps);
    return rc;
}

static int drop_root(struct err *err)
{
    static const cap_value_t keep[] = {CAP_SETGID, CAP_SETUID};
    if (setgroups(0, NULL) < 0)
        return err_sys(err, errno, "drop the supplementary groups");
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return err_sys(err, errno, "drop capability %d from the bounding set", cap);
    }
    if (prctl(PR_SET_SECUREBITS, LOCKED_BITS, 0, 0, 0) < 0)
        return err_sys(err, errno, "set the secure bits");
    int rc = set_caps(keep, 2);
    return rc == 0 ? 0 : err_sys(err, -rc, "drop the capabilities");
}

/* What was meant must also be true: both capabilities are there, no other one is, and they work. */
static int check(struct err *err)
{
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
        cap_flag_value_t has = CAP_CLEAR;
        cap_t caps = cap_get_proc();
        if (caps == NULL || cap_get_flag(caps, cap, CAP_PERMITTED, &has) < 0)
            return err_sys(err, errno, "read the capabilities");
        (void)cap_free(caps);
        bool wanted = cap == CAP_SETUID || cap == CAP_SETGID;
        if ((has == CAP_SET) != wanted || prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != 0)
            return err_set(err, -EPERM, "capability %d could not be brought into its state", cap);
    }
    int rc = s3_creds_enter(NULL, err);
    if (rc == 0)
        s3_creds_leave();
    return rc;
}

int s3_privilege_drop(struct err *err)
{
    (void)umask(0007);
    bool root = geteuid() == 0;
    if (root) {
        int rc = drop_root(err);
        if (rc < 0)
            return rc;
    } else {
        (void)set_caps(NULL, 0);
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_sys(err, errno, "set no_new_privs");
    return root ? check(err) : 0;
}
