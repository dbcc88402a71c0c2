/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside file: the file system object, access to record and marker, and small helpers that
 * release, refill and repair share. Same threads as file/file.h.
 */
#ifndef FILE_IMPL_H
#define FILE_IMPL_H

#include "file/file.h"
#include "file/guard.h"

#include <limits.h>
#include <pthread.h>
#include <sys/types.h>

#define FILE_REFILL_LISTS 256 /* many small files are on their way at once */

struct fs {
    char *path;
    int root;
    enum fs_kind kind;
    dev_t dev;
    struct uuid uuid;
    pthread_mutex_t lock; /* guards all below; never held over I/O */
    pthread_cond_t synced;
    /* syncfs calls are numbered from 1: what was written before number n began is durable once n
     * has ended and has not failed. */
    uint64_t sync_begun, sync_ended, sync_failed;
    int sync_errno; /* of number sync_failed */
    bool syncing;
    struct file_refill *refills[FILE_REFILL_LISTS]; /* going on in this process, by inode number */
    struct file_guarded *releases;                  /* the same of releases */
    struct file_guard guard;                        /* mark NULL: none; set before threads */
};

/* A release that is going on: its file's mark stays. */
struct file_guarded {
    struct file_id id;
    struct file_guarded *next;
};

/* Enters g among the releases of fs; false when the file is being released already. */
bool file_guard_enter(struct fs *fs, struct file_guarded *g);
void file_guard_leave(struct fs *fs, struct file_guarded *g);

/* Whether the guard of fs allows releases now (file/guard.h); true without one. */
bool file_guard_ready(const struct fs *fs);

/* Has the guard of fs mark or unmark the file open as fd; 0 without a guard. Returns 0 or a
 * negative code with err set. */
int file_guard_mark(const struct fs *fs, int fd, bool add, struct err *err);

/* Record and marker go; the guard's mark stays. Returns 0 or a negative code with err set. */
int file_clear_record(int fd, struct err *err);

#define NS 1000000000LL
/* Punches go to a multiple of this beyond the size: the tail block must go too. */
#define FILE_PUNCH_ROUND 65536ULL

static inline int64_t file_time_ns(const struct timespec *t)
{
    return (int64_t)t->tv_sec * NS + t->tv_nsec;
}

#define FILE_PROC_PATH 32
/* "/proc/self/fd/N" into out[FILE_PROC_PATH]. */
void file_proc_path(int fd, char *out);

/* The UUID of the file system that fd is on (fs_uuid.c); fsid are the 8 bytes of statfs. Returns 0,
 * or -EOPNOTSUPP with err set. */
int fs_read_uuid(int fd, enum fs_kind kind, const uint8_t *fsid, struct uuid *out, struct err *err);

/* As fs_read_uuid by the file system's own older ioctl alone. Returns 0 or -ENOTTY. */
int fs_read_uuid_own(int fd, enum fs_kind kind, struct uuid *out);

/* Reads xattr name of fd (O_PATH too) into buf of n bytes. Returns the bytes, -ENODATA when there
 * is none, or another negated errno value. */
ssize_t file_get_xattr(int fd, const char *name, void *buf, size_t n);

/* Writes record r on fd. Returns 0 or a negative code with err set. */
int file_put_record(int fd, const struct file_record *r, struct err *err);

/* Sets (on) or removes the stub marker of fd. Returns 0 or a negative code with err set. */
int file_put_marker(int fd, bool on, struct err *err);

/* Sets the mtime of fd to ns and leaves its atime. Returns 0 or a negative code with err set. */
int file_put_mtime(int fd, int64_t mtime_ns, struct err *err);

/* The capabilities of a file (setcap). The kernel takes them away from a file whose data change,
 * whoever changes them; a release or a refill is no change. */
struct file_caps {
    uint8_t value[64];
    ssize_t n; /* negative: there are none */
};
void file_caps_get(int fd, struct file_caps *c);

/* Gives fd its capabilities back, if it had some; what cannot be given back stays away. */
void file_caps_put(int fd, const struct file_caps *c);

/* Punches all blocks of a file of size bytes. Returns 0 or a negated errno value. */
int file_punch_all(int fd, uint64_t size);

/* The offset of the first data of fd (open for reading), or -ENXIO when it is all hole, or another
 * negated errno value. */
int64_t file_first_data(int fd);

/* A mark for what is written now: it is durable once file_is_synced(fs, mark). */
uint64_t file_sync_mark(struct fs *fs);

/* True when an fs_sync that began after mark was made has ended well, and none has failed since. */
bool file_is_synced(struct fs *fs, uint64_t mark);

/* fsync of fd (data_only: fdatasync) unless an fs_sync covered mark. Returns 0 or a negative code
 * with err set. */
int file_sync_unless(struct fs *fs, int fd, uint64_t mark, bool data_only, struct err *err);

/* Opens the file that id names for writing without waiting. Returns the descriptor in *fd and 0, or
 * FILE_GONE, FILE_IN_USE, FILE_IMMUTABLE, or a negative code with err set. */
int file_open_for_work(const struct fs *fs, const struct file_id *id, int *fd, struct err *err);

/* Takes a write lease on fd. Returns 0, FILE_IN_USE when anybody else has the file open, or a
 * negative code with err set. F_SETLEASE F_UNLCK or closing fd gives it back. */
int file_lease(int fd, struct err *err);

/* True when this process is refilling the file. */
bool file_is_refilling(struct fs *fs, const struct file_id *id);

/* True when the kernel and fs change ctime with every change that somebody could have seen (6.13,
 * multigrain timestamps; ext4, xfs, btrfs). */
bool file_fine_ctime(const struct fs *fs);

#endif
