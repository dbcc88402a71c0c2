/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/beneath.h"

#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define EAGAIN_TRIES 128 /* openat2 gives EAGAIN when a rename races with the walk */
#define DIR_MODE     0770

static int open_once(int root, const char *path, int flags, mode_t mode)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | O_NOFOLLOW),
        .mode = (flags & O_CREAT) != 0 ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    for (int i = 0; i < EAGAIN_TRIES; i++) {
        long fd = syscall(SYS_openat2, root, path, &how, sizeof how);
        if (fd >= 0)
            return (int)fd;
        /* EAGAIN is also what a lease held by another program gives under O_NONBLOCK; the caller
         * waits for that. */
        if (errno == EINTR || (errno == EAGAIN && (flags & O_NONBLOCK) == 0))
            continue;
        return -errno;
    }
    return -EAGAIN;
}

int beneath_open(int root, const char *path, int flags, mode_t mode)
{
    auto_free char *copy = NULL;
    size_t n = strlen(path);
    if (n > 0 && path[n - 1] == '/') {
        copy = xstrndup(path, n - 1);
        path = copy;
    }
    int fd = open_once(root, path, flags, mode);
    return fd == -ELOOP || fd == -EXDEV ? -ENOENT : fd;
}

int beneath_open_now(int root, const char *path, int flags)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_CACHED,
    };
    long fd = syscall(SYS_openat2, root, path, &how, sizeof how);
    return fd >= 0 ? (int)fd : -EAGAIN;
}

/* Opens directory name in *dirfd, making it if it is missing, and puts it in *dirfd's place. */
static int descend(int *dirfd, const char *name, bool make, bool *made)
{
    int fd = beneath_open(*dirfd, name, O_RDONLY | O_DIRECTORY, 0);
    if (fd == -ENOENT && make) {
        if (mkdirat(*dirfd, name, DIR_MODE) == 0) {
            *made = true;
            int rc = io_fsync_dir(*dirfd);
            if (rc < 0)
                return rc;
        } else if (errno != EEXIST) {
            return -errno;
        }
        fd = beneath_open(*dirfd, name, O_RDONLY | O_DIRECTORY, 0);
    }
    if (fd < 0)
        return fd;
    (void)close(*dirfd);
    *dirfd = fd;
    return 0;
}

static int walk(int root, char *path, bool make, struct beneath_place *place)
{
    auto_close int fd = beneath_reopen_dir(root);
    if (fd < 0)
        return fd;
    char *p = path;
    for (char *slash = strchr(p, '/'); slash != NULL; slash = strchr(p, '/')) {
        *slash = '\0';
        int rc = descend(&fd, p, make, &place->made);
        *slash = '/';
        if (rc < 0)
            return rc;
        p = slash + 1;
    }
    place->dirfd = take_fd(fd);
    return 0;
}

int beneath_find(int root, const char *key, bool make, struct beneath_place *place)
{
    *place = (struct beneath_place){.dirfd = -1};
    size_t n = strlen(key);
    auto_free char *path = xstrndup(key, n > 0 && key[n - 1] == '/' ? n - 1 : n);
    char *slash = strrchr(path, '/');
    int rc = 0;
    if (slash == NULL) {
        rc = beneath_reopen_dir(root);
    } else {
        *slash = '\0';
        rc = beneath_open(root, path, O_RDONLY | O_DIRECTORY, 0);
        *slash = '/';
    }
    if (rc >= 0)
        place->dirfd = rc;
    else if (rc == -ENOENT && make && slash != NULL)
        rc = walk(root, path, true, place);
    if (rc < 0)
        return rc;
    place->leaf = slash != NULL ? slash + 1 : path;
    place->path = take_ptr(path);
    return 0;
}

void beneath_place_fini(struct beneath_place *place)
{
    if (place->dirfd >= 0)
        (void)close(place->dirfd);
    free(place->path);
    *place = (struct beneath_place){.dirfd = -1};
}

void beneath_proc(int fd, char *out)
{
    (void)snprintf(out, BENEATH_PROC_MAX, "/proc/self/fd/%d", fd);
}

int beneath_reopen_dir(int dirfd)
{
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}
