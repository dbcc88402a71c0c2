/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file system of one's own for a test: an image under /tmp, made by mkfs, mounted on a loop
 * device. Needs root. Every failure ends the test program with a text, since nothing can be tested
 * then.
 */
#ifndef TESTS_LOOPFS_H
#define TESTS_LOOPFS_H

struct loopfs {
    char dir[64]; /* holds image and mount point */
    char image[96];
    char mnt[96]; /* mounted here */
    const char *type;
};

/* Makes and mounts a file system of type "ext4", "xfs" or "btrfs" (features: mkfs options or NULL,
 * words without spaces separated by one space). */
void loopfs_up(struct loopfs *l, const char *type, const char *features);

/* The same with an image of so many bytes (sparse). */
void loopfs_up_sized(struct loopfs *l, const char *type, const char *features,
                     unsigned long long bytes);

/* Unmounts (waiting for the device to be free) and mounts again. */
void loopfs_remount(struct loopfs *l);

/* As a power cut: the file system stops at once, nothing more reaches the device (FS_IOC_SHUTDOWN
 * without log flush; ext4 and xfs); then unmounts and mounts again, which replays the journal. */
void loopfs_power_cut(struct loopfs *l);

/* Stops the file system as loopfs_power_cut does, without remounting; everything fails with EIO. */
void loopfs_shutdown(struct loopfs *l);

/* Unmounts and removes everything. */
void loopfs_down(struct loopfs *l);

#endif
