/* SPDX-License-Identifier: Apache-2.0 */
/* What needs no data: it goes on at once, and a stub stays a stub. */
#include "ops.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

static void by_stat(const char *path, const char *other)
{
    (void)other;
    struct stat st;
    struct statx x;
    struct statfs fs;
    need(stat(path, &st) == 0, "stat");
    need(statx(AT_FDCWD, path, 0, STATX_ALL, &x) == 0, "statx");
    need(statfs(path, &fs) == 0, "statfs");
    need(access(path, R_OK | W_OK) == 0, "access");
    char text[64];
    int n = snprintf(text, sizeof(text), "%lld\n", (long long)st.st_size);
    out(text, (size_t)n);
}

static void by_o_path(const char *path, const char *other)
{
    (void)other;
    need(size_of(need_open(path, O_PATH)) > 0, "fstat");
}

static void by_rename(const char *path, const char *other)
{
    need(rename(path, other) == 0, "rename");
    need(rename(other, path) == 0, "rename back");
}

static void by_exchange(const char *path, const char *other)
{
    (void)need_open(other, O_WRONLY | O_CREAT | O_TRUNC);
    need(renameat2(AT_FDCWD, path, AT_FDCWD, other, RENAME_EXCHANGE) == 0, "exchange");
    need(renameat2(AT_FDCWD, path, AT_FDCWD, other, RENAME_EXCHANGE) == 0, "exchange back");
}

static void by_link(const char *path, const char *other)
{
    (void)unlink(other);
    need(link(path, other) == 0, "link");
    need(unlink(other) == 0, "unlink");
}

static void by_chmod(const char *path, const char *other)
{
    (void)other;
    struct stat st;
    need(stat(path, &st) == 0, "stat");
    need(chmod(path, 0600) == 0, "chmod");
    need(chown(path, 1, 1) == 0, "chown");
    need(chown(path, st.st_uid, st.st_gid) == 0, "chown back");
    need(chmod(path, st.st_mode & 07777) == 0, "chmod back");
}

static void by_xattr(const char *path, const char *other)
{
    (void)other;
    char b[100];
    need(setxattr(path, "user.matrix", "x", 1, 0) == 0, "setxattr");
    need(getxattr(path, "user.matrix", b, sizeof(b)) == 1, "getxattr");
    need(listxattr(path, NULL, 0) > 0, "listxattr");
    need(removexattr(path, "user.matrix") == 0, "removexattr");
}

static void by_atime(const char *path, const char *other)
{
    (void)other;
    struct timespec t[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};
    need(utimensat(AT_FDCWD, path, t, 0) == 0, "utimensat");
}

static void by_handle(const char *path, const char *other)
{
    (void)other;
    struct {
        struct file_handle h;
        unsigned char room[MAX_HANDLE_SZ];
    } handle = {.h.handle_bytes = MAX_HANDLE_SZ};
    int mount = 0;
    need(name_to_handle_at(AT_FDCWD, path, &handle.h, &mount, 0) == 0, "name_to_handle_at");
}

static void by_watching(const char *path, const char *other)
{
    (void)other;
    int fd = inotify_init1(IN_CLOEXEC);
    need(inotify_add_watch(fd, path, IN_ALL_EVENTS) >= 0, "inotify_add_watch");
}

const struct op ops_quiet[] = {
    {"stat", OP_QUIET, by_stat},
    {"o-path", OP_QUIET, by_o_path},
    {"rename", OP_QUIET, by_rename},
    {"rename-exchange", OP_QUIET, by_exchange},
    {"link-unlink", OP_QUIET, by_link},
    {"chmod-chown", OP_QUIET, by_chmod},
    {"xattr", OP_QUIET, by_xattr},
    {"set-atime", OP_QUIET, by_atime},
    {"name-to-handle", OP_QUIET, by_handle},
    {"inotify", OP_QUIET, by_watching},
    {NULL, OP_QUIET, NULL},
};
