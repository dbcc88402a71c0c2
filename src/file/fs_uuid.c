/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The UUID of a mounted file system: the general ioctl of Linux 6.9 first, then each file system's
 * own older one, then statfs's f_fsid (which ext4 and btrfs derive from the UUID).
 */
#include "file/file_impl.h"

#include <errno.h>
#include <linux/btrfs.h>
#include <linux/types.h>
#include <string.h>
#include <sys/ioctl.h>

/* include/uapi/linux/fs.h of Linux 6.9. */
struct fsuuid2 {
    uint8_t len;
    uint8_t uuid[16];
};
#define GETFSUUID _IOR(0x15, 0, struct fsuuid2)

/* fs/ext4/ext4.h of Linux 6.0: struct fsuuid, followed by the UUID. */
struct ext4_fsuuid {
    uint32_t len;
    uint32_t flags;
    uint8_t uuid[16];
};
#define EXT4_GETFSUUID _IOC(_IOC_READ, 'f', 44, 8)

/* fs/xfs/libxfs/xfs_fs.h: struct xfs_fsop_geom_v1. */
struct xfs_geometry {
    uint32_t words[8];
    uint64_t blocks[4];
    uint8_t uuid[16];
    uint32_t more[8];
};
#define XFS_GEOMETRY_V1 _IOC(_IOC_READ, 'X', 100, sizeof(struct xfs_geometry))

static int from_general(int fd, struct uuid *out)
{
    struct fsuuid2 u = {0};
    if (ioctl(fd, GETFSUUID, &u) < 0 || u.len != sizeof(out->b))
        return -ENOTTY;
    memcpy(out->b, u.uuid, sizeof(out->b));
    return 0;
}

static int from_ext4(int fd, struct uuid *out)
{
    struct ext4_fsuuid u = {.len = 16};
    if (ioctl(fd, EXT4_GETFSUUID, &u) < 0 || u.len != sizeof(out->b))
        return -ENOTTY;
    memcpy(out->b, u.uuid, sizeof(out->b));
    return 0;
}

static int from_xfs(int fd, struct uuid *out)
{
    struct xfs_geometry g = {0};
    if (ioctl(fd, XFS_GEOMETRY_V1, &g) < 0)
        return -ENOTTY;
    memcpy(out->b, g.uuid, sizeof(out->b));
    return 0;
}

static int from_btrfs(int fd, struct uuid *out)
{
    struct btrfs_ioctl_fs_info_args a = {0};
    if (ioctl(fd, BTRFS_IOC_FS_INFO, &a) < 0)
        return -ENOTTY;
    memcpy(out->b, a.fsid, sizeof(out->b));
    return 0;
}

int fs_read_uuid_own(int fd, enum fs_kind kind, struct uuid *out)
{
    switch (kind) {
    case FS_EXT4:
        return from_ext4(fd, out);
    case FS_XFS:
        return from_xfs(fd, out);
    case FS_BTRFS:
        return from_btrfs(fd, out);
    case FS_OTHER:
        break;
    }
    return -ENOTTY;
}

int fs_read_uuid(int fd, enum fs_kind kind, const uint8_t *fsid, struct uuid *out, struct err *err)
{
    if (from_general(fd, out) == 0 || fs_read_uuid_own(fd, kind, out) == 0)
        return 0;
    static const uint8_t none[8];
    /* xfs makes its f_fsid from the device number, which may differ after a reboot. */
    if (kind == FS_XFS || memcmp(fsid, none, sizeof(none)) == 0)
        return err_set(err, -EOPNOTSUPP, "no stable identity (UUID) can be read");
    memset(out->b, 0, sizeof(out->b));
    memcpy(out->b, fsid, 8);
    return 0;
}
