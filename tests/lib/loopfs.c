/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/loopfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* XFS_IOC_GOINGDOWN and EXT4_IOC_SHUTDOWN are the same number; 2 is "without log flush". */
#define GOINGDOWN  _IOR('X', 125, uint32_t)
#define NOLOGFLUSH 2U

/* xfs wants 300 MiB, btrfs a little over 100; the image is sparse. */
#define IMAGE_BYTES (320ULL << 20)

static void die(const char *what, const char *name)
{
    (void)fprintf(stderr, "Bail out! loopfs: %s %s: %s\n", what, name, strerror(errno));
    exit(99);
}

static int run(char *const argv[])
{
    posix_spawn_file_actions_t fa;
    (void)posix_spawn_file_actions_init(&fa);
    (void)posix_spawn_file_actions_addopen(&fa, 1, "/dev/null", O_WRONLY, 0);
    pid_t pid;
    int rc = posix_spawnp(&pid, argv[0], &fa, NULL, argv, environ);
    (void)posix_spawn_file_actions_destroy(&fa);
    int status = 0;
    if (rc != 0 || waitpid(pid, &status, 0) < 0)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void mount_it(struct loopfs *l)
{
    char *const argv[] = {(char *)"mount", (char *)"-o", (char *)"loop", l->image, l->mnt, NULL};
    if (run(argv) != 0)
        die("mount", l->image);
}

static void make_fs(struct loopfs *l, const char *features)
{
    char mkfs[16], words[256];
    char *argv[24] = {mkfs, (char *)"-q"};
    int n = 2;
    (void)snprintf(mkfs, sizeof(mkfs), "mkfs.%s", l->type);
    (void)snprintf(words, sizeof(words), "%s", features != NULL ? features : "");
    char *save = NULL;
    for (char *w = strtok_r(words, " ", &save); w != NULL && n < 22; w = strtok_r(NULL, " ", &save))
        argv[n++] = w;
    argv[n] = l->image;
    if (run(argv) != 0)
        die("mkfs", l->image);
}

void loopfs_up(struct loopfs *l, const char *type, const char *features)
{
    loopfs_up_sized(l, type, features, IMAGE_BYTES);
}

void loopfs_up_sized(struct loopfs *l, const char *type, const char *features,
                     unsigned long long bytes)
{
    l->type = type;
    (void)snprintf(l->dir, sizeof(l->dir), "/tmp/firn-loopfs-XXXXXX");
    if (mkdtemp(l->dir) == NULL)
        die("mkdtemp", l->dir);
    (void)snprintf(l->image, sizeof(l->image), "%s/image", l->dir);
    (void)snprintf(l->mnt, sizeof(l->mnt), "%s/mnt", l->dir);
    int fd = open(l->image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0 || mkdir(l->mnt, 0755) < 0)
        die("make", l->image);
    (void)close(fd);
    make_fs(l, features);
    mount_it(l);
}

/* A descriptor that a killed child held may live a moment longer. */
static int unmount(struct loopfs *l)
{
    for (int tries = 0; umount(l->mnt) < 0; tries++) {
        if (errno != EBUSY || tries == 500)
            return -1;
        (void)usleep(10000);
    }
    return 0;
}

void loopfs_remount(struct loopfs *l)
{
    if (unmount(l) < 0)
        die("umount", l->mnt);
    mount_it(l);
}

void loopfs_shutdown(struct loopfs *l)
{
    int fd = open(l->mnt, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    uint32_t how = NOLOGFLUSH;
    if (fd < 0 || ioctl(fd, GOINGDOWN, &how) < 0)
        die("shutdown", l->mnt);
    (void)close(fd);
}

void loopfs_power_cut(struct loopfs *l)
{
    loopfs_shutdown(l);
    loopfs_remount(l);
}

void loopfs_down(struct loopfs *l)
{
    /* A failed test may hold files open; leave nothing behind even then. */
    if (unmount(l) < 0)
        (void)umount2(l->mnt, MNT_DETACH);
    (void)unlink(l->image);
    (void)rmdir(l->mnt);
    (void)rmdir(l->dir);
}
