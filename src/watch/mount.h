/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts without a moment in which a program could reach the files before the kernel's marks are
 * on: made detached, marked by the caller, then put in its place. Called by the front's one thread.
 * Source: fsopen(2), fsconfig(2), fsmount(2), move_mount(2) (Linux 5.2); proc(5), mountinfo.
 */
#ifndef WATCH_MOUNT_H
#define WATCH_MOUNT_H

#include "base/err.h"
#include "watch/front.h"

#include <stdbool.h>
#include <stdint.h>

/* What lies at a path. */
struct mount_at {
    uint32_t sdev;    /* of the superblock, major and minor as the kernel prints them: the same for
                         all subvolumes of a btrfs */
    bool root;        /* the path itself is a mount point */
    char type[32];    /* "ext4" */
    char source[512]; /* "/dev/sda1" */
};

/*
 * Makes a mount of fs->device that is nowhere in the tree yet. Options are as mount(8) takes them;
 * those which only mount(8) or the init system read (noauto, nofail, x-*, _netdev, ...) do nothing,
 * and loop is refused. A device that is mounted already is refused (-EBUSY), since its readers
 * would not be stopped; Linux before 6.6 does not tell. Returns 0 with the mount's descriptor in
 * *out (the caller closes it, which unmounts it unless it was attached), or a negative code with
 * err set, in the kernel's words where it has some.
 */
int mount_detached(const struct front_fs *fs, int *out, struct err *err);

/* Puts mount mnt (of mount_detached) at path, a directory that nothing is mounted on. Returns 0 or
 * a negative code with err set. */
int mount_attach(int mnt, const char *path, struct err *err);

/* Says what path lies on; type and source stay empty where the process is not shown its mount, as
 * in a chroot. Returns 0 or a negative code with err set (-ENOENT: no such path). */
int mount_look(const char *path, struct mount_at *out, struct err *err);

/* Whether device (a path, or UUID=, LABEL=, PARTUUID=, PARTLABEL=) is what source names. */
bool mount_same_source(const char *device, const char *source);

#endif
