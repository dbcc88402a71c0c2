/* SPDX-License-Identifier: Apache-2.0 */
/* FIDs, paths and opens by FID. */
#include "lib_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int open_at_mount(const struct lu_fid *fid, int flags)
{
    struct wire_call c = {.op = WIRE_OPEN_FID, .fid = *fid, .num = flags};
    struct wire_reply r;
    int fd = -1;
    int rc = lib_call(&c, NULL, 0, -1, &r, NULL, 0, &fd);
    return rc != 0 ? rc : fd;
}

int llapi_open_by_fid(const char *mnt, const struct lu_fid *fid, int flags)
{
    const struct lib_site *s = lib_site();
    if (s == NULL || fid == NULL || !lib_is_mount(mnt))
        return -ENOENT;
    int fd = open_at_mount(fid, flags);
    /* 2.12 returns -1 and sets errno, later ones -errno. */
    if (fd < 0 && strncmp(s->version, "2.12", 4) == 0) {
        errno = -fd;
        return -1;
    }
    return fd;
}

int llapi_open_by_fid_at(int dirfd, const struct lu_fid *fid, int flags)
{
    if (fid == NULL || fcntl(dirfd, F_GETFD) < 0)
        return fid == NULL ? -EINVAL : -EBADF;
    return open_at_mount(fid, flags);
}

int llapi_fid_parse(const char *str, struct lu_fid *fid, char **end)
{
    unsigned long long part[3];
    char *p = (char *)(uintptr_t)str;
    if (str == NULL || fid == NULL)
        return -EINVAL;
    bool bracket = *p == '[';
    p += bracket ? 1 : 0;
    for (int i = 0; i < 3; i++) {
        char *after;
        errno = 0;
        part[i] = strtoull(p, &after, 0);
        if (after == p || errno != 0 || (i < 2 && *after != ':'))
            return -EINVAL;
        p = after + (i < 2 ? 1 : 0);
    }
    if (bracket && *p++ != ']')
        return -EINVAL;
    if (part[1] > UINT32_MAX || part[2] > UINT32_MAX)
        return -ERANGE;
    *fid = (struct lu_fid){part[0], (uint32_t)part[1], (uint32_t)part[2]};
    if (end != NULL)
        *end = p;
    return 0;
}

static int fid_to_path(const struct lu_fid *fid, char *buf, int len, int *linkno)
{
    struct wire_call c = {.op = WIRE_FID2PATH, .fid = *fid, .num = linkno != NULL ? *linkno : 0};
    struct wire_reply r;
    char path[PATH_MAX] = "";
    int rc = lib_call(&c, NULL, 0, -1, &r, path, sizeof path - 1, NULL);
    if (rc != 0)
        return rc;
    if ((int)strlen(path) >= len)
        return -EOVERFLOW;
    memcpy(buf, path, strlen(path) + 1);
    if (linkno != NULL)
        *linkno = r.num;
    return 0;
}

int llapi_fid2path(const char *mnt, const char *fidstr, char *buf, int len, long long *recno,
                   int *linkno)
{
    struct lu_fid fid;
    (void)recno;
    if (mnt == NULL || buf == NULL || lib_site() == NULL)
        return -EINVAL;
    /* The first argument may be a mount point or a device (file system) name. */
    if (!lib_is_mount(mnt) && strcmp(mnt, lib_site()->fsname) != 0)
        return -ENODEV;
    int rc = llapi_fid_parse(fidstr, &fid, NULL);
    return rc != 0 ? rc : fid_to_path(&fid, buf, len, linkno);
}

int llapi_fid2path_at(int mntfd, const struct lu_fid *fid, char *buf, int len, long long *recno,
                      int *linkno)
{
    (void)recno;
    if (fid == NULL || buf == NULL)
        return -EINVAL;
    return fcntl(mntfd, F_GETFD) < 0 ? -EBADF : fid_to_path(fid, buf, len, linkno);
}

int llapi_fd2fid(int fd, struct lu_fid *fid)
{
    struct wire_call c = {.op = WIRE_FD2FID};
    struct wire_reply r;
    int rc = fd < 0 || fid == NULL ? -EBADF : lib_call(&c, NULL, 0, fd, &r, NULL, 0, NULL);
    if (rc == 0)
        *fid = r.fid;
    return rc;
}

int llapi_path2fid(const char *path, struct lu_fid *fid)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc = llapi_fd2fid(fd, fid);
    (void)close(fd);
    return rc;
}

int llapi_fd2parent(int fd, unsigned linkno, struct lu_fid *parent, char *name, size_t size)
{
    struct wire_call c = {.op = WIRE_FID2PARENT, .num = (int)linkno};
    struct wire_reply r;
    char text[NAME_MAX + 1] = "";
    int rc = llapi_fd2fid(fd, &c.fid);
    if (rc == 0)
        rc = lib_call(&c, NULL, 0, -1, &r, text, sizeof text - 1, NULL);
    if (rc != 0)
        return rc;
    if (strlen(text) >= size)
        return -EOVERFLOW;
    memcpy(name, text, strlen(text) + 1);
    *parent = r.fid;
    return 0;
}

int llapi_path2parent(const char *path, unsigned linkno, struct lu_fid *parent, char *name,
                      size_t size)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc = llapi_fd2parent(fd, linkno, parent, name, size);
    (void)close(fd);
    return rc;
}

int llapi_get_mdt_index_by_fid(int mntfd, const struct lu_fid *fid, int *idx)
{
    int rc = lib_fault("mdt_index");
    if (rc != 0 || fid == NULL || idx == NULL)
        return rc != 0 ? rc : -EINVAL;
    if (fcntl(mntfd, F_GETFD) < 0)
        return -EBADF;
    *idx = 0; /* one MDT */
    return 0;
}

int llapi_create_volatile_param(const char *dir, int idx, int flags, mode_t mode,
                                const void *stripe_param)
{
    (void)idx, (void)stripe_param;
    int fd = open(dir, (flags & O_ACCMODE) | O_TMPFILE | O_CLOEXEC, mode);
    return fd < 0 ? -errno : fd;
}

int llapi_create_volatile_idx(const char *dir, int idx, int flags)
{
    return llapi_create_volatile_param(dir, idx, flags | O_RDWR, 0600, NULL);
}
