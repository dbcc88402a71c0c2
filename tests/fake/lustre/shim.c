/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libfakexattr.so, for LD_PRELOAD: an ordinary file system cannot store the name "lustre.lov", so
 * calls for that name go to lov.c, and lists show it instead of the store behind it. Every other
 * call passes. Files outside the fake's mount are left alone.
 */
#include "lov.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* The function behind ours, looked up once. */
#define REAL(name)                                                                                 \
    __extension__({                                                                                \
        static void *_Atomic found_;                                                               \
        void *sym_ = atomic_load(&found_);                                                         \
        if (sym_ == NULL)                                                                          \
            atomic_store(&found_, sym_ = dlsym(RTLD_NEXT, #name));                                 \
        __typeof__(&name) real_;                                                                   \
        memcpy(&real_, &sym_, sizeof real_);                                                       \
        real_;                                                                                     \
    })
#define SHIM      __attribute__((visibility("default")))
#define MOUNT_ENV "FAKE_LUSTRE_MOUNT"

/* True when st lies on the fake's file system. */
static bool on_fake(const struct stat *st)
{
    static _Atomic dev_t dev; /* 0: not known; the fake's lives as long as whoever is told of it */
    struct stat top;
    const char *mount = getenv(MOUNT_ENV);
    if (dev == 0 && mount != NULL && stat(mount, &top) == 0)
        dev = top.st_dev;
    return dev != 0 && dev == st->st_dev;
}

static bool is_lov(const char *name)
{
    return strcmp(name, LOV_NAME) == 0;
}

/* The descriptor to work on for path, or -1: not a file of the fake. */
static int open_fake(const char *path, bool follow)
{
    struct stat st;
    if (fstatat(AT_FDCWD, path, &st, follow ? 0 : AT_SYMLINK_NOFOLLOW) != 0 || !on_fake(&st) ||
        !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
        return -1;
    return open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW));
}

static bool fd_on_fake(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && on_fake(&st);
}

static ssize_t result(ssize_t rc)
{
    if (rc < 0)
        errno = (int)-rc;
    return rc < 0 ? -1 : rc;
}

SHIM ssize_t fgetxattr(int fd, const char *name, void *value, size_t size)
{
    if (is_lov(name) && fd_on_fake(fd))
        return result(lov_get(fd, value, size));
    return REAL(fgetxattr)(fd, name, value, size);
}

static ssize_t get_path(const char *path, void *value, size_t size, bool follow)
{
    int fd = open_fake(path, follow);
    if (fd < 0)
        return -1;
    ssize_t n = lov_get(fd, value, size);
    (void)close(fd);
    return result(n);
}

SHIM ssize_t getxattr(const char *path, const char *name, void *value, size_t size)
{
    return is_lov(name) ? get_path(path, value, size, true)
                        : REAL(getxattr)(path, name, value, size);
}

SHIM ssize_t lgetxattr(const char *path, const char *name, void *value, size_t size)
{
    return is_lov(name) ? get_path(path, value, size, false)
                        : REAL(lgetxattr)(path, name, value, size);
}

SHIM int fsetxattr(int fd, const char *name, const void *value, size_t size, int flags)
{
    if (is_lov(name) && fd_on_fake(fd))
        return (int)result(lov_set(fd, value, size));
    return REAL(fsetxattr)(fd, name, value, size, flags);
}

static int set_path(const char *path, const void *value, size_t size, bool follow)
{
    int fd = open_fake(path, follow);
    if (fd < 0)
        return -1;
    int rc = lov_set(fd, value, size);
    (void)close(fd);
    return (int)result(rc);
}

SHIM int setxattr(const char *path, const char *name, const void *value, size_t size, int flags)
{
    return is_lov(name) ? set_path(path, value, size, true)
                        : REAL(setxattr)(path, name, value, size, flags);
}

SHIM int lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags)
{
    return is_lov(name) ? set_path(path, value, size, false)
                        : REAL(lsetxattr)(path, name, value, size, flags);
}

/* Rewrites a whole list of n bytes: the store goes, lustre.lov comes. */
static ssize_t rewrite(const char *all, ssize_t n, char *list, size_t size)
{
    size_t len = sizeof LOV_NAME;
    if (size >= len)
        memcpy(list, LOV_NAME, len);
    for (const char *p = all; p < all + n; p += strlen(p) + 1) {
        size_t one = strlen(p) + 1;
        if (strncmp(p, LOV_HIDDEN, strlen(LOV_HIDDEN)) == 0)
            continue;
        if (size >= len + one)
            memcpy(list + len, p, one);
        len += one;
    }
    return size > 0 && size < len ? -ERANGE : (ssize_t)len;
}

SHIM ssize_t flistxattr(int fd, char *list, size_t size)
{
    if (!fd_on_fake(fd))
        return REAL(flistxattr)(fd, list, size);
    char *all = malloc(LOV_MAX);
    if (all == NULL)
        return result(-ENOMEM);
    ssize_t n = REAL(flistxattr)(fd, all, LOV_MAX);
    if (n >= 0)
        n = result(rewrite(all, n, list, size));
    free(all);
    return n;
}

static ssize_t list_path(const char *path, char *list, size_t size, bool follow, bool *done)
{
    int fd = open_fake(path, follow);
    *done = fd >= 0;
    if (fd < 0)
        return -1;
    ssize_t n = flistxattr(fd, list, size);
    (void)close(fd);
    return n;
}

SHIM ssize_t listxattr(const char *path, char *list, size_t size)
{
    bool done;
    ssize_t n = list_path(path, list, size, true, &done);
    return done ? n : REAL(listxattr)(path, list, size);
}

SHIM ssize_t llistxattr(const char *path, char *list, size_t size)
{
    bool done;
    ssize_t n = list_path(path, list, size, false, &done);
    return done ? n : REAL(llistxattr)(path, list, size);
}
