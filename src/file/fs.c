/* SPDX-License-Identifier: Apache-2.0 */
#include "file/fs.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "file/file_impl.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Kinds of handle whose bytes hold the inode's generation (fs/exportfs and each file system in the
 * kernel: ext4 and small xfs FILEID_INO32_GEN, xfs 64-bit, btrfs without parent). */
enum { HANDLE_INO32_GEN = 0x01, HANDLE_XFS64 = 0x81, HANDLE_BTRFS = 0x4d };
/* Object id of the top subvolume of btrfs (BTRFS_FS_TREE_OBJECTID). */
enum { BTRFS_TOP = 5 };

static const struct {
    long magic;
    enum fs_kind kind;
} magics[] = {
    {EXT4_SUPER_MAGIC, FS_EXT4},
    {XFS_SUPER_MAGIC, FS_XFS},
    {BTRFS_SUPER_MAGIC, FS_BTRFS},
};

const char *fs_kind_name(enum fs_kind kind)
{
    static const char *const names[] = {"ext4", "xfs", "btrfs", "other"};
    return names[kind];
}

static enum fs_kind kind_of(long magic)
{
    for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++) {
        if (magics[i].magic == magic)
            return magics[i].kind;
    }
    return FS_OTHER;
}

static uint32_t le32_at(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return le32toh(v);
}

/* The generation inside a stored handle (type, then the kernel's bytes in this machine's order),
 * and for btrfs the subvolume's number. 0 when the handle is of a kind that is not known. */
static uint32_t handle_generation(const struct file_id *id, uint64_t *subvolume)
{
    if (id->handle_len < 4)
        return 0;
    uint32_t type = le32_at(id->handle);
    const uint8_t *b = id->handle + 4;
    uint32_t n = id->handle_len - 4;
    uint32_t gen = 0;
    if (type == HANDLE_INO32_GEN && n == 8) {
        memcpy(&gen, b + 4, sizeof(gen));
    } else if (type == HANDLE_XFS64 && n == 12) {
        memcpy(&gen, b + 8, sizeof(gen));
    } else if (type == HANDLE_BTRFS && n == 20) {
        memcpy(&gen, b + 16, sizeof(gen));
        if (subvolume != NULL)
            memcpy(subvolume, b + 8, sizeof(*subvolume));
    }
    return gen;
}

/* name_to_handle_at of fd itself, stored as 4 bytes of type and the bytes. */
static int handle_of(int fd, struct file_id *id, struct err *err)
{
    union {
        struct file_handle h;
        char room[sizeof(struct file_handle) + FILE_HANDLE_MAX];
    } u = {.h.handle_bytes = FILE_HANDLE_MAX - 4};
    int mount_id;
    if (name_to_handle_at(fd, "", &u.h, &mount_id, AT_EMPTY_PATH) < 0)
        return err_sys(err, errno, "file handle of inode %llu", (unsigned long long)id->ino);
    uint32_t type = htole32((uint32_t)u.h.handle_type);
    memcpy(id->handle, &type, sizeof(type));
    memcpy(id->handle + 4, u.h.f_handle, u.h.handle_bytes);
    id->handle_len = 4 + u.h.handle_bytes;
    return 0;
}

int fs_identify(const struct fs *fs, int fd, struct file_id *id, struct stat *st, struct err *err)
{
    struct stat own;
    if (st == NULL)
        st = &own;
    if (fstat(fd, st) < 0)
        return err_sys(err, errno, "stat of a file on %s", fs->path);
    if (st->st_dev != fs->dev)
        return err_set(err, -EXDEV, "inode %llu is not on the file system at %s",
                       (unsigned long long)st->st_ino, fs->path);
    struct file_id got = {.fs = fs->uuid, .ino = st->st_ino};
    int rc = handle_of(fd, &got, err);
    if (rc < 0)
        return rc;
    got.gen = handle_generation(&got, NULL);
    *id = got;
    return 0;
}

static int open_root(const char *path, struct fs *fs, struct err *err)
{
    fs->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fs->root < 0)
        return err_sys(err, errno, "open file system %s", path);
    struct statfs sfs;
    struct stat st;
    if (fstatfs(fs->root, &sfs) < 0 || fstat(fs->root, &st) < 0)
        return err_sys(err, errno, "stat of file system %s", path);
    fs->kind = kind_of((long)sfs.f_type);
    fs->dev = st.st_dev;
    uint8_t fsid[8];
    memcpy(fsid, &sfs.f_fsid, sizeof(fsid));
    int rc = fs_read_uuid(fs->root, fs->kind, fsid, &fs->uuid, err);
    if (rc < 0)
        return err_wrap(err, rc, "file system %s", path);
    struct file_id id = {0};
    rc = fs_identify(fs, fs->root, &id, NULL, err);
    if (rc < 0)
        return err_wrap(err, rc, "file system %s gives no file handles", path);
    uint64_t subvolume = BTRFS_TOP;
    (void)handle_generation(&id, &subvolume);
    /* Inode numbers are unique per subvolume only. */
    for (int i = 0; subvolume != BTRFS_TOP && i < 8; i++)
        fs->uuid.b[8 + i] ^= (uint8_t)(subvolume >> (8 * i));
    return 0;
}

int fs_open(const char *path, struct fs **out, struct err *err)
{
    if (path[0] != '/')
        return err_set(err, -EINVAL, "file system %s: the path must be absolute", path);
    auto_fs struct fs *fs = xzalloc(sizeof(*fs));
    fs->root = -1;
    fs->path = xstrdup(path);
    for (size_t n = strlen(fs->path); n > 1 && fs->path[n - 1] == '/'; n--)
        fs->path[n - 1] = '\0';
    (void)pthread_mutex_init(&fs->lock, NULL);
    (void)pthread_cond_init(&fs->synced, NULL);
    int rc = open_root(fs->path, fs, err);
    if (rc < 0)
        return rc;
    *out = take_ptr(fs);
    return 0;
}

void fs_close(struct fs *fs)
{
    if (fs == NULL)
        return;
    if (fs->root >= 0)
        (void)close(fs->root);
    (void)pthread_cond_destroy(&fs->synced);
    (void)pthread_mutex_destroy(&fs->lock);
    free(fs->path);
    free(fs);
}

const char *fs_path(const struct fs *fs)
{
    return fs->path;
}

enum fs_kind fs_kind(const struct fs *fs)
{
    return fs->kind;
}

struct uuid fs_uuid(const struct fs *fs)
{
    return fs->uuid;
}

int fs_root_fd(const struct fs *fs)
{
    return fs->root;
}

const char *fs_relative(const struct fs *fs, const char *path)
{
    size_t n = strlen(fs->path);
    if (strncmp(path, fs->path, n) != 0)
        return NULL;
    path += n;
    if (n == 1) /* the file system is "/" */
        return *path != '\0' ? path : ".";
    if (*path != '/' && *path != '\0')
        return NULL;
    while (*path == '/')
        path++;
    return *path != '\0' ? path : ".";
}

int fs_open_path(const struct fs *fs, const char *path, int flags, struct err *err)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | O_NOFOLLOW),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS,
    };
    if ((flags & O_PATH) == 0)
        how.flags |= O_NOCTTY;
    /* EAGAIN: a rename elsewhere made the kernel unsure that the path stayed beneath. With
     * O_NONBLOCK it may also be a lease, which a few tries do not wait for. */
    long fd = -1;
    for (int tries = 0; fd < 0 && tries < 8; tries++) {
        fd = syscall(SYS_openat2, fs->root, path, &how, sizeof(how));
        if (fd < 0 && errno != EAGAIN && errno != EINTR)
            break;
    }
    if (fd < 0)
        return err_sys(err, errno, "open %s/%s", fs->path, path);
    auto_close int own = (int)fd;
    struct stat st;
    if (fstat(own, &st) < 0)
        return err_sys(err, errno, "stat of %s/%s", fs->path, path);
    if (st.st_dev != fs->dev)
        return err_set(err, -EXDEV, "%s/%s is on another file system or subvolume", fs->path, path);
    return take_fd(own);
}

int fs_open_id(const struct fs *fs, const struct file_id *id, int flags, struct err *err)
{
    if (memcmp(&id->fs, &fs->uuid, sizeof(id->fs)) != 0 || id->handle_len < 4 ||
        id->handle_len > FILE_HANDLE_MAX)
        return err_set(err, -EINVAL, "inode %llu is not of the file system at %s",
                       (unsigned long long)id->ino, fs->path);
    union {
        struct file_handle h;
        char room[sizeof(struct file_handle) + FILE_HANDLE_MAX];
    } u = {.h.handle_bytes = id->handle_len - 4};
    u.h.handle_type = (int)le32_at(id->handle);
    memcpy(u.h.f_handle, id->handle + 4, id->handle_len - 4);
    int fd;
    do {
        fd = open_by_handle_at(fs->root, &u.h, flags | O_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return err_sys(err, errno, "open inode %llu on %s", (unsigned long long)id->ino, fs->path);
    return fd;
}

int fs_path_of(const struct fs *fs, const struct file_id *id, char **path, struct err *err)
{
    auto_close int fd = fs_open_id(fs, id, O_PATH, err);
    if (fd < 0)
        return fd;
    char name[FILE_PROC_PATH];
    file_proc_path(fd, name);
    auto_free char *at = xzalloc(PATH_MAX + 1);
    ssize_t n = readlink(name, at, PATH_MAX);
    if (n < 0)
        return err_sys(err, errno, "name of inode %llu", (unsigned long long)id->ino);
    const char *rel = n < PATH_MAX ? fs_relative(fs, at) : NULL;
    struct stat st;
    /* A handle's dentry may be without a name ("/" or "... (deleted)"): believe only a name that
     * leads back to the inode. */
    if (rel == NULL || fstatat(fs->root, rel, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        st.st_ino != id->ino || st.st_dev != fs->dev)
        return err_set(err, -ENOENT, "inode %llu on %s has no known name",
                       (unsigned long long)id->ino, fs->path);
    *path = xstrdup(rel);
    return 0;
}

/* One syncfs at a time, and one serves all callers that came before it began: the kernel reports a
 * write error to one call only, so callers must share the result. */
int fs_sync(struct fs *fs, struct err *err)
{
    lock_scope(&fs->lock);
    uint64_t want = fs->sync_begun + 1;
    while (fs->sync_ended < want) {
        if (fs->syncing) {
            (void)pthread_cond_wait(&fs->synced, &fs->lock);
            continue;
        }
        fs->syncing = true;
        uint64_t mine = ++fs->sync_begun;
        (void)pthread_mutex_unlock(&fs->lock);
        int rc = syncfs(fs->root) < 0 ? errno : 0;
        (void)pthread_mutex_lock(&fs->lock);
        fs->syncing = false;
        fs->sync_ended = mine;
        if (rc != 0) {
            fs->sync_failed = mine;
            fs->sync_errno = rc;
        }
        (void)pthread_cond_broadcast(&fs->synced);
    }
    if (fs->sync_failed >= want)
        return err_sys(err, fs->sync_errno, "sync of file system %s", fs->path);
    return 0;
}

uint64_t file_sync_mark(struct fs *fs)
{
    lock_scope(&fs->lock);
    return fs->sync_begun + 1;
}

bool file_is_synced(struct fs *fs, uint64_t mark)
{
    lock_scope(&fs->lock);
    return fs->sync_ended >= mark && fs->sync_failed < mark;
}

int fs_space(const struct fs *fs, uint64_t *total, uint64_t *avail, struct err *err)
{
    struct statfs sfs;
    if (fstatfs(fs->root, &sfs) < 0)
        return err_sys(err, errno, "free space of %s", fs->path);
    *total = (uint64_t)sfs.f_blocks * (uint64_t)sfs.f_bsize;
    *avail = (uint64_t)sfs.f_bavail * (uint64_t)sfs.f_bsize;
    return 0;
}

bool file_id_equal(const struct file_id *a, const struct file_id *b)
{
    return a->ino == b->ino && a->gen == b->gen && memcmp(&a->fs, &b->fs, sizeof(a->fs)) == 0;
}
