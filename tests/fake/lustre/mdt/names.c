/* SPDX-License-Identifier: Apache-2.0 */
/* From a file to its names: the last one seen first, then a walk over the tree. */
#include "mdt.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct names {
    struct mdt *m;
    ino_t ino;
    dev_t dev;
    int wanted; /* index */
    int seen;
    char *out;
};

/* Walks directory fd, whose name below the mount is prefix. True once the wanted name is in out. */
static bool walk(struct names *w, int dirfd, const char *prefix) // NOLINT(misc-no-recursion)
{
    auto_closedir DIR *d = fdopendir(dirfd);
    if (d == NULL) {
        (void)close(dirfd);
        return false;
    }
    const struct dirent *e;
    while ((e = readdir(d)) != NULL) {
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            fstatat(dirfd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || st.st_dev != w->dev)
            continue;
        auto_free char *path = xasprintf("%s%s%s", prefix, *prefix != '\0' ? "/" : "", e->d_name);
        if (st.st_ino == w->ino && w->seen++ == w->wanted && strlen(path) < PATH_MAX) {
            memcpy(w->out, path, strlen(path) + 1);
            return true;
        }
        if (!S_ISDIR(st.st_mode) || strcmp(path, ".lustre") == 0)
            continue;
        int sub = openat(dirfd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (sub >= 0 && walk(w, sub, path))
            return true;
    }
    return false;
}

static bool same_inode(const struct mdt *m, const char *name, const struct stat *st)
{
    struct stat now;
    return fstatat(m->mntfd, name, &now, AT_SYMLINK_NOFOLLOW) == 0 && now.st_ino == st->st_ino &&
           now.st_dev == st->st_dev;
}

/* The name by which the kernel knows descriptor fd, relative to the mount, to out. False when it
 * has none or another one. */
static bool known_name(const struct mdt *m, int fd, char *out)
{
    char link[64];
    size_t n = strlen(m->mount);
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, out, PATH_MAX - 1);
    if (len <= (ssize_t)n || memcmp(out, m->mount, n) != 0 || out[n] != '/')
        return false;
    out[len] = '\0';
    memmove(out, out + n + 1, (size_t)len - n);
    return true;
}

void file_learn_name(struct mdt *m, struct mdt_file *f, int fd)
{
    char path[PATH_MAX];
    struct stat st;
    if (fstat(fd, &st) != 0 || !known_name(m, fd, path) || !same_inode(m, path, &st))
        return;
    free(f->name);
    f->name = xstrdup(path);
}

/* The name in f if it still is one of the inode st, after a second look by the kernel's own. */
static bool fresh_name(struct mdt *m, struct mdt_file *f, const struct stat *st)
{
    if (f->name != NULL && same_inode(m, f->name, st))
        return true;
    auto_close int fd = file_open(m, f, O_PATH);
    if (fd >= 0)
        file_learn_name(m, f, fd);
    return f->name != NULL && same_inode(m, f->name, st);
}

/* Looks for name number index in the whole tree. */
static int search(struct mdt *m, const struct stat *st, int index, char *out)
{
    struct stat top;
    struct names w = {m, st->st_ino, st->st_dev, index, 0, out};
    if (fstat(m->mntfd, &top) != 0)
        return -errno;
    out[0] = '\0';
    if (top.st_ino == st->st_ino)
        return 0;
    int root = openat(m->mntfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return root >= 0 && walk(&w, root, "") ? 0 : -ENOENT;
}

int file_name(struct mdt *m, struct mdt_file *f, int index, char *out, bool *more)
{
    struct stat st;
    if (!file_alive(m, f, &st))
        return -ENOENT;
    int count = S_ISDIR(st.st_mode) ? 1 : (int)st.st_nlink;
    *more = index + 1 < count;
    if (index < 0 || index >= count)
        return -ENODATA;
    if (count == 1 && fresh_name(m, f, &st)) {
        memcpy(out, f->name, strlen(f->name) + 1);
        return 0;
    }
    int rc = search(m, &st, index, out);
    if (rc == 0) {
        free(f->name);
        f->name = xstrdup(out);
    }
    return rc;
}
