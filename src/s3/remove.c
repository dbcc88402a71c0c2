/* SPDX-License-Identifier: Apache-2.0 */
/* Removing an object, and the directories that it leaves empty. */
#include "s3/ops_impl.h"

#include "base/mem.h"
#include "s3/xa.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

#define FOLDER_BODY ".folder"
#define SYNC_FILE   ".firn-sync"

/* Removes the directory of key "a/b" if it is empty and no object. Returns whether it went. */
static bool prune_one(struct s3_call *c, const char *key)
{
    lock_scope(keylock_of(&c->ops->locks, c->bucket->name, key));
    auto_place struct beneath_place place = {.dirfd = -1};
    if (beneath_find(c->dir, key, false, &place) < 0)
        return false;
    auto_close int fd = beneath_open(place.dirfd, place.leaf, O_PATH | O_DIRECTORY, 0);
    if (fd < 0)
        return false;
    struct xa x;
    xa_init(&x, fd);
    return !xa_has(&x, META_DIR_XATTR) && unlinkat(place.dirfd, place.leaf, AT_REMOVEDIR) == 0;
}

static void prune(struct s3_call *c, const char *key)
{
    size_t n = strlen(key);
    auto_free char *path = xstrndup(key, n > 0 && key[n - 1] == '/' ? n - 1 : n);
    for (char *slash = strrchr(path, '/'); slash != NULL; slash = strrchr(path, '/')) {
        *slash = '\0';
        if (!prune_one(c, path))
            return;
    }
}

static int remove_dir_object(struct s3_call *c, const struct beneath_place *place, struct err *err)
{
    auto_close int fd = beneath_open(place->dirfd, place->leaf, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd == -ENOENT || fd == -ENOTDIR ? 1 : err_sys(err, -fd, "open %s", place->path);
    struct xa x;
    xa_init(&x, fd);
    bool body = unlinkat(fd, FOLDER_BODY, 0) == 0;
    if (!body && !xa_has(&x, META_DIR_XATTR))
        return 1;
    int rc = meta_clear(fd, c->dir, err);
    if (rc < 0)
        return rc;
    if (unlinkat(place->dirfd, place->leaf, AT_REMOVEDIR) != 0 && fsync(fd) != 0)
        return err_sys(err, errno, "make the removal of %s durable", place->path);
    return 0;
}

static int remove_file(struct s3_call *c, const struct beneath_place *place, struct err *err)
{
    auto_close int fd = beneath_open(place->dirfd, place->leaf, O_PATH, 0);
    if (fd < 0)
        return fd == -ENOENT ? 1 : err_sys(err, -fd, "open %s", place->path);
    char sidecar[64];
    meta_sidecar_of(fd, sidecar);
    if (unlinkat(place->dirfd, place->leaf, 0) != 0) {
        if (errno == EISDIR || errno == ENOENT)
            return 1;
        return err_sys(err, errno, "remove %s", place->path);
    }
    meta_sidecar_drop(c->dir, sidecar);
    return 0;
}

/* Under the key's lock. Returns 0, 1 when there was nothing, or negative; *e for a condition. */
static int remove_once(struct s3_call *c, const char *key, const struct beneath_place *place,
                       const char *if_match, enum s3_error *e, struct err *err)
{
    bool as_dir = key[strlen(key) - 1] == '/';
    lock_scope(keylock_of(&c->ops->locks, c->bucket->name, key));
    if (if_match != NULL) {
        auto_object struct object o;
        object_init(&o);
        int rc = object_open_at(place->dirfd, place->leaf, as_dir, c->dir, OBJECT_NAME, &o, err);
        if (rc == -ENOENT)
            return 1;
        if (rc < 0)
            return rc;
        if (!etag_in_list(if_match, o.etag)) {
            *e = S3_ERR_PRECONDITION_FAILED;
            return 1;
        }
    }
    return as_dir ? remove_dir_object(c, place, err) : remove_file(c, place, err);
}

static enum s3_error error_of(int rc)
{
    switch (-rc) {
    case EACCES:
    case EPERM:
    case EROFS:
        return S3_ERR_ACCESS_DENIED;
    case ENOSPC:
    case EDQUOT:
        return S3_ERR_INSUFFICIENT_STORAGE;
    default:
        return S3_ERR_INTERNAL_ERROR;
    }
}

enum s3_error store_remove(struct s3_call *c, const char *key, const char *if_match,
                           struct err *err)
{
    auto_place struct beneath_place place = {.dirfd = -1};
    int rc = beneath_find(c->dir, key, false, &place);
    if (rc == -ENOENT || rc == -ENOTDIR)
        return S3_ERR_NONE;
    if (rc < 0)
        return error_of(err_sys(err, -rc, "find %s", key));
    enum s3_error e = S3_ERR_NONE;
    rc = remove_once(c, key, &place, if_match, &e, err);
    if (e != S3_ERR_NONE || rc == 1)
        return e;
    if (rc == 0)
        rc = dirsync_wait(c->ops->sync, place.dirfd);
    if (rc < 0)
        return error_of(rc);
    prune(c, key);
    return S3_ERR_NONE;
}

int store_sync_attributes(struct s3_call *c, struct err *err)
{
    auto_close int dir = beneath_reopen_dir(c->dir);
    if (dir < 0)
        return err_sys(err, -dir, "open the bucket's directory");
    if (!dirsync_ordered(c->ops->sync, dir))
        return syncfs(dir) == 0 ? 0 : err_sys(err, errno, "sync the bucket's file system");
    /* One ordered journal: whoever commits a later change commits ours. */
    auto_close int fd = beneath_open(dir, SYNC_FILE, O_RDWR | O_CREAT, OBJECT_MODE);
    if (fd < 0)
        return err_sys(err, -fd, "open %s", SYNC_FILE);
    if (futimens(fd, NULL) != 0)
        return err_sys(err, errno, "touch %s", SYNC_FILE);
    int rc = dirsync_wait(c->ops->sync, fd);
    return rc < 0 ? err_sys(err, -rc, "sync %s", SYNC_FILE) : 0;
}
