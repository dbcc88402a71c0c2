/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A managed file system, opened by the directory that it is mounted on: its identity, its files by
 * path and by handle, its sync. The engine opens each configured file system once and shares the
 * object between all threads; it needs CAP_SYS_ADMIN and CAP_DAC_READ_SEARCH (root).
 *
 * A nested btrfs subvolume or a mount beneath is another file system: its files are refused with
 * -EXDEV. Paths are resolved beneath the root by the kernel (openat2): symbolic links that stay
 * beneath are followed on the way, never as the last component.
 */
#ifndef FILE_FS_H
#define FILE_FS_H

#include "base/err.h"
#include "base/uuid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

enum fs_kind { FS_EXT4, FS_XFS, FS_BTRFS, FS_OTHER };

/* Room for a stored handle: 4 bytes of type and the kernel's bytes (ext4 8, xfs 12, btrfs 20). */
#define FILE_HANDLE_MAX 44

/* Which file: enough to open it again whatever its name is now, and to notice that its inode number
 * was used again. (fs, ino, gen) is the key in the catalogue; handle is opaque. */
struct file_id {
    struct uuid fs;
    uint64_t ino;
    uint32_t gen;        /* inode generation, as FS_IOC_GETVERSION shows it */
    uint32_t handle_len; /* bytes used in handle */
    uint8_t handle[FILE_HANDLE_MAX];
};

struct fs;

/*
 * Opens the file system whose files lie under directory path (absolute; its root or any directory
 * in it). Returns 0 with *out (free with fs_close), or a negative code with err set: -ENOTDIR,
 * -EOPNOTSUPP (no file handles or no stable identity there).
 */
int fs_open(const char *path, struct fs **out, struct err *err);

/* Closes fs; nobody may use it any more. NULL is allowed. */
void fs_close(struct fs *fs);

/* The path that fs was opened with, without a trailing slash; borrowed. */
const char *fs_path(const struct fs *fs);

/* What it is, by statfs magic number (statfs(2)). */
enum fs_kind fs_kind(const struct fs *fs);

/* "ext4", "xfs", "btrfs" or "other"; static. */
const char *fs_kind_name(enum fs_kind kind);

/* Its UUID (superblock; of a btrfs subvolume other than the top one: mixed with the subvolume's
 * number). Stable over mounts and reboots. */
struct uuid fs_uuid(const struct fs *fs);

/* The directory's descriptor (O_RDONLY|O_DIRECTORY), borrowed. */
int fs_root_fd(const struct fs *fs);

/*
 * The part of absolute path below the file system's directory, borrowed from path ("." for the
 * directory itself), or NULL when path is not below it. Text only: "..", symbolic links and double
 * slashes are not resolved, so a caller normalises paths of users first.
 */
const char *fs_relative(const struct fs *fs, const char *path);

/*
 * Opens path (relative to the directory) with open(2) flags; O_CLOEXEC, O_NOFOLLOW and O_NOCTTY are
 * added. Returns the descriptor (caller closes), or a negated errno value with err naming the file:
 * -ENOENT, -EXDEV (leaves the file system), -ELOOP (last component is a symbolic link and O_PATH is
 * not given).
 */
int fs_open_path(const struct fs *fs, const char *path, int flags, struct err *err);

/*
 * Opens the file that id names, whatever its path, with open(2) flags (O_CLOEXEC added).
 * Returns the descriptor (caller closes), or a negated errno value with err set: -ESTALE (deleted,
 * or its inode number belongs to another file now), -EAGAIN with O_NONBLOCK (a lease is in the
 * way), -EINVAL (id is of another file system).
 */
int fs_open_id(const struct fs *fs, const struct file_id *id, int flags, struct err *err);

/*
 * The identity of the file open as fd (O_PATH is enough), and its stat in *st (st may be NULL).
 * Cost: one fstat, one name_to_handle_at. Returns 0, -EXDEV when the file is not on fs, or another
 * negative code, err set.
 */
int fs_identify(const struct fs *fs, int fd, struct file_id *id, struct stat *st, struct err *err);

/*
 * The path of the file that id names, relative to the directory, as the kernel knows it now, into
 * *path (caller frees). A file with several names gives one of them. Returns 0, -ESTALE when it is
 * gone, -ENOENT when it has no name below the directory, or another negative code, err set.
 */
int fs_path_of(const struct fs *fs, const struct file_id *id, char **path, struct err *err);

/*
 * Makes everything durable that any thread wrote to fs before the call (syncfs). One call serves a
 * whole batch of file_release_* or file_refill_* objects, which notice it by themselves. Returns 0,
 * or a negative code with err set: then nothing written before may be relied on.
 */
int fs_sync(struct fs *fs, struct err *err);

/* Total and free bytes (for unprivileged users). Returns 0 or a negative code with err set. */
int fs_space(const struct fs *fs, uint64_t *total, uint64_t *avail, struct err *err);

/* True when a and b name the same file (fs, ino and gen). */
bool file_id_equal(const struct file_id *a, const struct file_id *b);

static inline void cleanup_fs(struct fs **p)
{
    fs_close(*p);
}
#define auto_fs __attribute__((cleanup(cleanup_fs)))

#endif
