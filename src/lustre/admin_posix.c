/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Import from an archive of kind posix, as lhsmtool_posix does it: a file anywhere below the root
 * becomes a released file's archive and moves to the place of its FID.
 */
#include "lustre/admin_impl.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define ID_XATTR  "user." TIER_XATTR_ARCHIVE
#define DEPTH_MAX 100

struct posix_import {
    struct mover_lane *l;
    uint32_t archive_id;
    struct admin_report *r;
    int root;
};

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n > m && strcmp(s + n - m, end) == 0;
}

/* A rename that never replaces, on every file system. Returns 0, or -1 with errno. */
static int move(int root, const char *from, const char *to)
{
    return linkat(root, from, root, to, 0) == 0 ? unlinkat(root, from, 0) : -1;
}

/* From src to the place of fid, with the layout that lies beside it. Owned key, or NULL with err.
 */
static char *move_in(const struct posix_import *im, const char *src, const struct lu_fid *fid,
                     const struct uuid *id, struct err *err)
{
    const struct mover *m = im->l->m;
    char text[UUID_TEXT];
    uuid_format(id, text);
    auto_free char *key = place_posix_key(m, fid, strcmp(m->config.posix_format, "v1") == 0);
    auto_free char *dir = xasprintf("%s/%s", m->config.root, key);
    *strrchr(dir, '/') = '\0';
    if (io_mkdirs(dir, 0700, err) < 0)
        return NULL;
    auto_close int fd = openat(im->root, src, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fsetxattr(fd, ID_XATTR, text, UUID_TEXT - 1, 0) != 0 ||
        move(im->root, src, key) != 0) {
        (void)err_sys(err, errno, "%s/%s", m->config.root, src);
        return NULL;
    }
    auto_free char *lov = xasprintf("%s.lov", src);
    auto_free char *lov_key = xasprintf("%s.lov", key);
    (void)move(im->root, lov, lov_key); /* there may be none */
    auto_close int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dirfd >= 0)
        (void)io_fsync_dir(dirfd);
    return take_ptr(key);
}

/* The stub called fid gets what src holds. */
static int adopt(const struct posix_import *im, const char *src, const struct stat *st,
                 const struct lu_fid *fid, struct err *err)
{
    auto_copy struct copy c = {.id = uuid_new(),
                               .size = (uint64_t)st->st_size,
                               .mtime_ns =
                                   (int64_t)st->st_mtim.tv_sec * NS_PER_SEC + st->st_mtim.tv_nsec};
    auto_close int fd = stub_open(im->l->m, fid, err);
    if (fd < 0)
        return fd;
    c.loc.key = move_in(im, src, fid, &c.id, err);
    if (c.loc.key == NULL)
        return err->code;
    struct index_copy row = copy_row(im->l, fid, &c);
    int rc = index_put(im->l->m->index, &row, 1, err);
    return rc == 0 ? stub_set_key(fd, &c.id, err) : rc;
}

static int import_file(struct posix_import *im, const char *src, const struct stat *st,
                       const char *dst, struct err *err)
{
    char text[FID_TEXT_MAX];
    struct lu_fid fid;
    auto_free char *temp = xasprintf("%s.import~", dst);
    struct stat taken;
    int rc = admin_parent(dst, err);
    if (rc < 0)
        return rc;
    if (lstat(dst, &taken) == 0 || lstat(temp, &taken) == 0)
        return err_sys(err, EEXIST, "%s", dst);
    if (im->l->m->config.dry_run) {
        report(im->r, false, "%s: %lld bytes would be made", dst, (long long)st->st_size);
        return 0;
    }
    rc = im->l->m->config.api->hsm_import(temp, (int)im->archive_id, st, 0, -1, 0, 0, NULL, &fid);
    if (rc < 0)
        return err_sys(err, -rc, "%s", dst);
    rc = adopt(im, src, st, &fid, err);
    if (rc == 0 && link(temp, dst) != 0)
        rc = err_sys(err, errno, "%s", dst);
    (void)unlink(temp);
    if (rc == 0)
        report(im->r, false, "%s %s", fid_text(&fid, text), dst);
    return rc;
}

static int import_tree(struct posix_import *im, const char *src, const char *dst, int depth,
                       struct err *err);

static int import_dir(struct posix_import *im, const char *src, const char *dst, int depth,
                      struct err *err)
{
    auto_close int fd = openat(im->root, src, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    auto_closedir DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL)
        return err_sys(err, errno, "%s/%s", im->l->m->config.root, src);
    (void)take_fd(fd);
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        struct err one = {0};
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            ends_with(e->d_name, ".lov") || ends_with(e->d_name, "_tmp"))
            continue;
        auto_free char *from = xasprintf("%s/%s", src, e->d_name);
        auto_free char *to = xasprintf("%s/%s", dst, e->d_name);
        if (import_tree(im, from, to, depth + 1, &one) < 0)
            report(im->r, true, "%s: %s", to, one.text);
    }
    return 0;
}

static int import_tree(struct posix_import *im, const char *src, const char *dst, int depth,
                       struct err *err)
{
    struct stat st;
    if (depth > DEPTH_MAX)
        return err_sys(err, ELOOP, "%s", src);
    if (fstatat(im->root, src, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return err_sys(err, errno, "%s/%s", im->l->m->config.root, src);
    if (S_ISDIR(st.st_mode))
        return import_dir(im, src, dst, depth, err);
    if (!S_ISREG(st.st_mode))
        return err_set(err, -EINVAL, "%s is no regular file", src);
    im->r->files++;
    im->r->bytes += (uint64_t)st.st_size;
    return import_file(im, src, &st, dst, err);
}

/* The archive of a FID: one whose file is still archived keeps it. */
static char *archive_of(const struct posix_import *im, const struct lu_fid *fid, struct err *err)
{
    struct hsm_user_state state = {0};
    struct stat st;
    auto_close int fd = stub_open(im->l->m, fid, err);
    if (fd >= 0 && (stub_state(im->l->m, fd, &state, err) < 0 ||
                    (state.states & (HS_ARCHIVED | HS_RELEASED)) != 0)) {
        (void)err_set(err, -EBUSY, "the file is still there and needs its copy");
        return NULL;
    }
    auto_free char *v2 = place_posix_key(im->l->m, fid, false);
    if (fstatat(im->root, v2, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return take_ptr(v2);
    return place_posix_key(im->l->m, fid, true);
}

int posix_import(struct mover_lane *l, const char *src, const char *dst, uint32_t archive_id,
                 struct admin_report *r, struct err *err)
{
    struct lu_fid fid;
    auto_close int root = open(l->m->config.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct posix_import im = {l, archive_id, r, root};
    if (root < 0)
        return err_sys(err, errno, "%s", l->m->config.root);
    while (*src == '/')
        src++;
    if (*src == '\0' || strstr(src, "..") != NULL)
        return err_set(err, -EINVAL, "%s: a path below %s is expected", src, l->m->config.root);
    auto_free char *path = fid_parse(src, &fid) == 0 ? archive_of(&im, &fid, err) : xstrdup(src);
    return path != NULL ? import_tree(&im, path, dst, 0, err) : err->code;
}
