/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LTFS 2.4 volumes (ISO/IEC 20919:2021) on a drive: format, mount with recovery, read, append,
 * write both indexes, check. The tape tier is the caller. One thread owns a drive and the volume on
 * it; nothing here takes a lock. Index 2.5 is read (incremental indexes are passed over).
 *
 * Functions return 0, a positive enum ltfs_outcome that the caller must handle, or a negated errno
 * value with err set (err may be NULL); texts name cartridge, partition
 * and block. A path has components separated by '/', each 1 to 255 bytes of anything but NUL and
 * '/', not "." or ".."; a leading '/' is allowed. Names need not be UTF-8: see firn-ltfs(5).
 *
 * What is promised: a file is safe once ltfs_sync returned 0 after its commit. A crash at any
 * moment leaves a volume whose mount shows every such file, and nothing that is written is ever
 * overwritten before the cartridge is formatted again (the index partition, rewritten in place,
 * aside: its content is also on the data partition).
 */
#ifndef TAPE_LTFS_H
#define TAPE_LTFS_H

#include "base/err.h"
#include "base/uuid.h"
#include "tape/drive.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define LTFS_BLOCKSIZE     524288u /* default size of a full record, bytes */
#define LTFS_BLOCKSIZE_MIN 4096u
#define LTFS_NAME_MAX      255 /* bytes of one path component */
#define LTFS_RESERVE_PART  20  /* a 20th (or more) of the data partition is kept for indexes */

enum ltfs_outcome {
    LTFS_EXISTS = 1,    /* create: that path is taken (or a component of it is a file) */
    LTFS_ABSENT,        /* lookup, remove, xattr: no such path or key */
    LTFS_FULL,          /* write: the data does not fit on this volume; abort, take another one */
    LTFS_NOT_FORMATTED, /* mount: blank, or no LTFS label on either partition */
    LTFS_READ_ONLY,     /* write, sync, remove: the volume is mounted read-only */
    LTFS_END,           /* iterate, read: nothing more */
};

struct ltfs_volume;
struct ltfs_node; /* a directory or a file in the volume's tree; lives until removed or unmounted */
struct ltfs_writer;
struct ltfs_reader;

/* Where (the first part of) a file's data is: what the catalogue keeps. */
struct ltfs_location {
    unsigned partition; /* 0 or 1 */
    uint64_t block;
    uint32_t byteoffset; /* inside the record */
    uint64_t length;     /* the file's length in bytes; 0: nothing on tape but the index entry */
};

struct ltfs_xattr {
    const char *key; /* as stored on tape: without "user." */
    const void *value;
    size_t len;
};

/* Times in ns since 1970. When a file is created, 0 means now (but for modify, which is taken as it
 * is). */
struct ltfs_times {
    int64_t creation, change, modify, access, backup;
};

struct ltfs_volume_info {
    struct uuid uuid;
    char name[256];
    char barcode[DRIVE_BARCODE_MAX];
    char version[16]; /* of the index that was read, "2.4.0" */
    uint64_t generation;
    int64_t format_time_ns, update_time_ns;
    uint32_t blocksize;
    uint64_t files, directories;
    uint64_t capacity_bytes;   /* data partition */
    uint64_t used_bytes;       /* of it, indexes included */
    uint64_t remaining_bytes;  /* before the early warning, for data */
    uint64_t live_bytes;       /* sum of all files' data on tape */
    uint64_t data_index_block; /* newest index on partition b */
    bool read_only;
    bool dirty;     /* changed since the last index */
    bool recovered; /* mount found traces of a crash and set them right (or could, if writable) */
    char problem[512]; /* why it is read-only or what recovery found; "" when nothing */
};

/* ---- whole volumes ---- */

/*
 * Formats the loaded cartridge: two partitions, labels, first index, cartridge memory. All data on
 * it is gone. volume_name: at most 255 bytes UTF-8, may be "". blocksize: 0 means LTFS_BLOCKSIZE,
 * else 4096 to the drive's largest record. The volume id in VOL1 is the first 6 bytes of the
 * barcode. uuid (may be NULL) receives the new volume's uuid. Durable when it returns.
 */
int ltfs_format(struct drive *d, const char *volume_name, uint32_t blocksize, struct uuid *uuid,
                struct err *err);

enum ltfs_mount_flags {
    LTFS_MOUNT_READ_ONLY = 1,
    LTFS_MOUNT_FULL_CHECK = 2, /* do not trust the cartridge memory */
    LTFS_MOUNT_NO_PACKING = 4, /* every file starts in a record of its own */
};

/*
 * Mounts the volume on the loaded cartridge of d (borrowed until unmount) and reads its newest
 * index. Traces of a crash are set right (a missing or old index on a is rewritten, a new index is
 * written behind torn data on b) unless LTFS_MOUNT_READ_ONLY. A volume that can be read but not
 * safely written becomes read-only, with the reason in ltfs_volume_info.problem. Returns 0 with
 * *out owned by the caller (ltfs_unmount or ltfs_volume_free), LTFS_NOT_FORMATTED, or a failure.
 */
int ltfs_mount(struct drive *d, unsigned flags, struct ltfs_volume **out, struct err *err);

/* Syncs if dirty (no writer may be open), then frees v whatever happened. The cartridge stays
 * loaded. NULL is allowed. Returns what ltfs_sync returned. */
int ltfs_unmount(struct ltfs_volume *v, struct err *err);

/* Frees v without writing anything: what was not synced is lost. NULL is allowed. */
void ltfs_volume_free(struct ltfs_volume *v);

/*
 * Makes everything committed, removed and changed so far durable: data, index on b, index on a,
 * coherency data, with a flush between the steps. Nothing to do: 0 at once. After a failure the
 * volume is read-only (mount again: recovery shows what is safe). Not while a writer is open.
 */
int ltfs_sync(struct ltfs_volume *v, struct err *err);

/*
 * Writes the text of the newest index, as it is on the index partition (the data partition when the
 * other has none), to fd (at its offset; not synced). The tape is not touched: the head stays.
 * -EBUSY when something changed since (ltfs_volume_info.dirty); a failed write's negated errno.
 */
int ltfs_index_write(struct ltfs_volume *v, int fd, struct err *err);

/* Fills *info. remaining_bytes and used_bytes come from the drive. */
int ltfs_volume_info(struct ltfs_volume *v, struct ltfs_volume_info *info, struct err *err);

/* Bytes of memory that the tree takes now (about 250 plus the xattrs per file). */
size_t ltfs_memory(const struct ltfs_volume *v);

/* ---- the tree ---- */

/* The node at path ("" or "/" is the root). 0, LTFS_ABSENT or -EINVAL for a malformed path. *out is
 * borrowed from v. */
int ltfs_lookup(struct ltfs_volume *v, const char *path, struct ltfs_node **out);

/*
 * Iterates depth first over every node: pass NULL for the root, then the node returned; NULL after
 * the last. The tree may not change meanwhile except in xattrs.
 */
struct ltfs_node *ltfs_next(const struct ltfs_volume *v, const struct ltfs_node *n);

/* Whether n is a directory; a symbolic link (its target, borrowed, else NULL). */
bool ltfs_is_dir(const struct ltfs_node *n);
const char *ltfs_symlink_target(const struct ltfs_node *n);

/* n's last path component, borrowed; the volume's name for the root. */
const char *ltfs_node_name(const struct ltfs_node *n);

/* n's path from the root with a leading '/'; the caller frees. Never NULL. */
char *ltfs_node_path(const struct ltfs_node *n);

/* n's length in bytes; its unique number; its times. */
uint64_t ltfs_node_length(const struct ltfs_node *n);
uint64_t ltfs_node_uid(const struct ltfs_node *n);
void ltfs_node_times(const struct ltfs_node *n, struct ltfs_times *t);

/* Where n's first extent is (length = the file's length). An empty file: block 0, length 0. */
void ltfs_node_location(const struct ltfs_node *n, struct ltfs_location *loc);

/* The value of xattr key, borrowed until the node's xattrs change: 0 with *value and *len, or
 * LTFS_ABSENT. */
int ltfs_get_xattr(const struct ltfs_node *n, const char *key, const void **value, size_t *len);

/* Calls fn(arg, x) for every xattr of n (x borrowed for the call) until fn returns other than 0;
 * returns that or 0. */
int ltfs_each_xattr(const struct ltfs_node *n, int (*fn)(void *arg, const struct ltfs_xattr *x),
                    void *arg);

/* Sets or replaces xattr x on n (value copied, at most 64 KiB). In the index at the next sync. */
int ltfs_set_xattr(struct ltfs_volume *v, struct ltfs_node *n, const struct ltfs_xattr *x,
                   struct err *err);

/* Removes xattr key from n: 0, LTFS_ABSENT, LTFS_READ_ONLY. */
int ltfs_remove_xattr(struct ltfs_volume *v, struct ltfs_node *n, const char *key, struct err *err);

/* Removes the file or empty directory n from the index (its data stays on tape as garbage, its node
 * is freed); parents that become empty stay. -ENOTEMPTY, -EBUSY for the root. */
int ltfs_remove(struct ltfs_volume *v, struct ltfs_node *n, struct err *err);

/* ---- writing ---- */

struct ltfs_create_args {
    struct ltfs_times times;
    uint64_t
        size_hint; /* expected length; a file that cannot fit is refused at begin; 0: unknown */
    bool readonly;
    const struct ltfs_xattr *xattrs; /* copied */
    size_t xattr_count;
};

/*
 * Begins file path; missing parent directories are made. One writer per volume at a time. 0 with
 * *out (ends with commit or abort), LTFS_EXISTS, LTFS_FULL, LTFS_READ_ONLY or a failure.
 */
int ltfs_writer_begin(struct ltfs_volume *v, const char *path, const struct ltfs_create_args *args,
                      struct ltfs_writer **out, struct err *err);

/*
 * Appends len bytes. A whole record goes from data to the drive without a copy. LTFS_FULL: the
 * volume takes no more data; abort the writer (nothing of the file remains in the index).
 */
int ltfs_writer_append(struct ltfs_writer *w, const void *data, size_t len, struct err *err);

/* Sets the file offset of the next append; the gap reads as zeros and takes no tape. offset may not
 * be before what was written (-EINVAL). A gap at the end counts into the length. */
int ltfs_writer_seek(struct ltfs_writer *w, uint64_t offset, struct err *err);

/*
 * Ends the file and puts it into the tree, with xattrs[count] added to those of begin (checksums
 * known only now; may be NULL). *loc and *node may be NULL. The data may still be in memory:
 * durable after ltfs_sync. On any other result than 0 (LTFS_FULL, failure) the writer is aborted.
 * Frees w always.
 */
int ltfs_writer_commit(struct ltfs_writer *w, const struct ltfs_xattr *xattrs, size_t count,
                       struct ltfs_location *loc, struct ltfs_node **node, struct err *err);

/* Gives the file up and frees w; NULL is allowed. */
void ltfs_writer_abort(struct ltfs_writer *w);

/* Makes an empty directory path with its parents, or finds it: 0 with *out (may be NULL),
 * LTFS_EXISTS when a file is in the way, LTFS_READ_ONLY. */
int ltfs_mkdirs(struct ltfs_volume *v, const char *path, struct ltfs_node **out, struct err *err);

/* ---- reading ---- */

/*
 * Reads up to len bytes of file n from offset; returns the bytes read (0 at the end of the file) or
 * a negated errno value. Sparse parts are zeros. The record last read stays in memory, so that
 * files that share a record cost one read.
 */
ssize_t ltfs_read(struct ltfs_volume *v, const struct ltfs_node *n, uint64_t offset, void *buf,
                  size_t len, struct err *err);

/* Opens a stream from the begin of file n; the caller owns *out (ltfs_reader_close). The head moves
 * only when the data is not where the last read ended. -EISDIR for directories. */
int ltfs_reader_open(struct ltfs_volume *v, const struct ltfs_node *n, struct ltfs_reader **out,
                     struct err *err);

/* The next up to len bytes: as ltfs_read. */
ssize_t ltfs_reader_read(struct ltfs_reader *r, void *buf, size_t len, struct err *err);

/* Frees r; NULL is allowed. */
void ltfs_reader_close(struct ltfs_reader *r);

/* ---- checking ---- */

/* What ltfs_check found. */
struct ltfs_check_result {
    uint64_t files;     /* read whole */
    uint64_t hashed;    /* of them, compared with a stored ltfs.hash.* */
    uint64_t bytes;     /* read */
    uint64_t problems;  /* reported and still there */
    uint64_t recovered; /* reported and set right */
};

/* Called with one line of text for each finding; fatal: it is still there. */
typedef void ltfs_check_fn(void *arg, bool fatal, const char *text);

enum ltfs_check_flags {
    LTFS_CHECK_REPAIR = 1, /* rewrite what can be: index on a, label on a, index behind torn data */
    LTFS_CHECK_NO_DATA = 2 /* structure only, files are not read */
};

/*
 * Checks the volume on the loaded cartridge of d (not mounted): labels, both indexes, back
 * pointers, extents, numbers, coherency data; then reads every file in block order and compares its
 * ltfs.hash.*. fn (may be NULL) hears every finding; *result is filled. Returns 0 when the check
 * could be done (problems may be > 0), LTFS_NOT_FORMATTED, or a failure.
 */
int ltfs_check(struct drive *d, unsigned flags, ltfs_check_fn *fn, void *arg,
               struct ltfs_check_result *result, struct err *err);

/* Cleanups: auto_ltfs_volume (frees without sync), auto_ltfs_writer (aborts), auto_ltfs_reader. */
static inline void cleanup_ltfs_volume(struct ltfs_volume **v)
{
    ltfs_volume_free(*v);
}
static inline void cleanup_ltfs_writer(struct ltfs_writer **w)
{
    ltfs_writer_abort(*w);
}
static inline void cleanup_ltfs_reader(struct ltfs_reader **r)
{
    ltfs_reader_close(*r);
}
#define auto_ltfs_volume __attribute__((cleanup(cleanup_ltfs_volume)))
#define auto_ltfs_writer __attribute__((cleanup(cleanup_ltfs_writer)))
#define auto_ltfs_reader __attribute__((cleanup(cleanup_ltfs_reader)))

#endif
