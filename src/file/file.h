/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A managed file: what state it is in, and the moves between states: premigrate (after the caller
 * has copied the data), release (punch the blocks), refill (bring the data back), repair after a
 * crash. Called by the engine's workers; any thread, one thread per object at a time. Linux only:
 * leases, hole punching, file handles. No catalogue and no tiers are known here.
 *
 * How a batch goes, with one sync for all (doc/design/file.md says why each step is where it is):
 *   premigrate: file_snapshot_begin each; fs_sync; copy and verify each; file_set_premigrated each;
 *               fs_sync
 *   release:    (every descriptor of one's own on the files closed) file_release_begin each (at
 *               most 64, and at most some seconds: openers wait meanwhile); fs_sync;
 *               file_release_commit each
 *   refill:     file_refill_begin, file_refill_write..., file_refill_finish_data each; fs_sync;
 *               file_refill_commit(durable = false) each; fs_sync
 * A missing fs_sync costs speed only: commit then syncs its own file first.
 *
 * Signals: a lease that others break sends SIGURG (ignored by default) here; the first
 * file_release_begin of a process also sets SIGIO to ignored when it has its default action, which
 * would end the process.
 */
#ifndef FILE_FILE_H
#define FILE_FILE_H

#include "file/fs.h"
#include "file/record.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* Named outcomes (positive) of the functions below; each function lists its own. */
enum file_outcome {
    FILE_DONE = 0,
    FILE_IN_USE = 1,      /* open, mapped or executing somewhere; try later */
    FILE_CHANGED = 2,     /* not the data that was archived (or a stub that somebody changed) */
    FILE_GONE = 3,        /* deleted */
    FILE_IMMUTABLE = 4,   /* chattr +i or +a: data could not be brought back */
    FILE_SHARED = 5,      /* extents are shared (reflink, snapshot): punching frees nothing */
    FILE_TOO_SMALL = 6,   /* below the limit given (or empty) */
    FILE_TOO_YOUNG = 7,   /* changed within the last second on a kernel with coarse ctime */
    FILE_NOT_REGULAR = 8, /* a directory, link, device, ... */
    FILE_IS_MIGRATED = 9, /* a stub: there is no data to copy or release */
    FILE_NOT_PREMIGRATED = 10, /* no copy of exactly this data is recorded */
    FILE_NOT_MIGRATED = 11,    /* the data is there already */
    FILE_OTHER_ARCHIVE = 12,   /* the stub belongs to another archive id */
    FILE_BUSY = 13,            /* this process is refilling the file already */
};

/* A short text for outcome o ("file is in use"); static. */
const char *file_outcome_text(int o);

/* Why a file's record was not taken at its word, or needs care. */
enum file_note {
    FILE_NOTE_NONE = 0,
    FILE_NOTE_DIRTY,          /* state resident: record premigrated, but size or mtime differ; the
                                 record (and archive id) in info is the old copy's */
    FILE_NOTE_COPIED,         /* the record was written for another inode. State resident; but
                                 migrated when it is a stub's record and there is no data: such a
                                 copy of a stub is recallable, and resident afterwards */
    FILE_NOTE_DAMAGED,        /* the record does not decode; migrated if the marker is there, else
                                 resident; no archive id */
    FILE_NOTE_TOUCHED,        /* state migrated: the mtime differs, no block has data; recallable,
                                 and the new mtime stays */
    FILE_NOTE_STUB_CUT,       /* state migrated: size differs, no block has data: truncated and
                                 not written to; a refill brings as much of the old data as fits,
                                 and ends resident */
    FILE_NOTE_STUB_CHANGED,   /* state migrated: mtime or size differ and there is data: somebody
                                 wrote to the stub; never overwritten */
    FILE_NOTE_INTERRUPTED,    /* state migrated: a release or refill did not finish; file_repair */
    FILE_NOTE_MARKER_STALE,   /* marker without a migrated record; file_repair removes it */
    FILE_NOTE_MARKER_MISSING, /* migrated record without marker; file_repair sets it */
};

/* A short text for note n; static. */
const char *file_note_text(enum file_note n);

struct file_info {
    enum file_state state;
    enum file_note note;
    bool has_record;           /* record holds what the xattr says (even if not believed) */
    bool marker;               /* the stub marker is set */
    struct file_record record; /* zero when has_record is false */
    struct file_id id;
    struct stat st;
};

/*
 * The state of the file open as fd (O_PATH is enough; nothing is read from its data). Cost: fstat,
 * name_to_handle_at, two getxattr (about 5 us warm); a lseek(SEEK_DATA) through a second open only
 * for a migrated record whose mtime differs. Returns 0, FILE_NOT_REGULAR, or a negative code with
 * err set (-EXDEV: not on fs).
 */
int file_inspect(const struct fs *fs, int fd, struct file_info *info, struct err *err);

/* As file_inspect of path relative to fs, through an O_PATH descriptor: never opens the file's
 * data, so it disturbs no lease and starts no recall. A symbolic link is FILE_NOT_REGULAR. */
int file_inspect_path(const struct fs *fs, const char *path, struct file_info *info,
                      struct err *err);

/* As file_inspect of the file that id names. FILE_GONE when it is deleted. */
int file_inspect_id(const struct fs *fs, const struct file_id *id, struct file_info *info,
                    struct err *err);

/*
 * The state from facts that a scanner has already: record (n bytes of the xattr, n 0 for absent),
 * the file's size, mtime_ns and inode number. The generation is not compared, and a migrated record
 * is taken at its word, so this is good for choosing candidates; file_inspect decides. No I/O.
 * *archive (may be NULL) gets the archive id, or zero.
 */
enum file_state file_state_of(const void *record, size_t n, uint64_t size, int64_t mtime_ns,
                              uint64_t ino, struct uuid *archive);

/* What a file's data was when it was copied. */
struct file_snapshot {
    struct file_id id;
    uint64_t size;
    int64_t mtime_ns;
    int64_t ctime_ns;
};

/*
 * Before copying the data of the file open as fd (for reading; use O_NOATIME): remembers its stat.
 * The caller then makes the file's pages clean (fs_sync, or fsync(fd)) and only then reads; that
 * order is what makes stores through mmap visible. Returns 0, FILE_NOT_REGULAR, FILE_IS_MIGRATED
 * (never copy a stub), FILE_TOO_YOUNG (kernels before 6.13 and file systems of kind other: try
 * again after a second), or a negative code with err set.
 */
int file_snapshot_begin(const struct fs *fs, int fd, struct file_snapshot *snap, struct err *err);

/* After copying: 0 when size, mtime and ctime of fd are still those of snap, FILE_CHANGED when not,
 * or a negative code with err set. */
int file_snapshot_unchanged(int fd, const struct file_snapshot *snap, struct err *err);

/*
 * Writes the record "premigrated, archived as archive" to the file open as fd, if it is still as in
 * snap; the copy must be durable and verified. snap's ctime is brought up to date for a release
 * that follows. Durable after the next fs_sync. Returns 0, FILE_CHANGED (no record left behind), or
 * a negative code with err set.
 */
int file_set_premigrated(const struct fs *fs, int fd, const struct uuid *archive,
                         struct file_snapshot *snap, struct err *err);

/* Removes record, marker and the guard's mark of the file open as fd (not O_PATH): its data on disk
 * is the truth. Only for a file whose data is there, or whose stub an administrator gives up.
 * Durable after the next fs_sync. Returns 0 or a negative code with err set. */
int file_set_resident(const struct fs *fs, int fd, struct err *err);

/* Writes record r (identity filled in from fd) and sets or removes marker and the guard's mark to
 * match its state: for rebuilding a damaged record from the catalogue. Durable after the next
 * fs_sync. Returns 0 or a negative code with err set. */
int file_write_record(const struct fs *fs, int fd, const struct file_record *r, struct err *err);

/*
 * Takes the guard's mark away from the file open as fd if it is no stub and nobody is releasing it:
 * for a mark that is there in vain. fd must be a true descriptor (an event's is one), which keeps
 * releases that begin meanwhile from getting their lease. Returns 0 (whether or not the mark went),
 * or a negative code with err set.
 */
int file_unguard(struct fs *fs, int fd, struct err *err);

struct file_release_opts {
    uint64_t min_size; /* smaller files give FILE_TOO_SMALL; an empty file always does */
    bool allow_shared; /* false: files with shared extents give FILE_SHARED (costs one FIEMAP) */
};

struct file_release;

/*
 * Begins to release the premigrated file that id names: opens it, has it marked by the guard of fs
 * (file/guard.h; its failure is returned), takes a write lease (so nobody has it open, and whoever
 * opens it waits), checks that it is unchanged since it was archived (record; and also ctime when
 * expect is given), writes the marker and the record "migrated".
 * opts may be NULL (all defaults: no minimum, shared refused). Nothing is punched yet. Returns 0
 * with *out, which file_release_commit or file_release_abort frees; or FILE_IN_USE, FILE_CHANGED,
 * FILE_GONE, FILE_IMMUTABLE, FILE_SHARED, FILE_TOO_SMALL, FILE_NOT_PREMIGRATED, FILE_IS_MIGRATED,
 * FILE_NOT_REGULAR; or a negative code with err set. The caller must hold no descriptor on the
 * file.
 */
int file_release_begin(struct fs *fs, const struct file_id *id, const struct file_snapshot *expect,
                       const struct file_release_opts *opts, struct file_release **out,
                       struct err *err);

/*
 * Punches the blocks, restores mtime, gives the lease back, frees r. *freed (may be NULL) gets the
 * bytes of disk given back. Returns 0; FILE_IN_USE when somebody asked for the file since begin
 * (then it stays premigrated, whole); or a negative code with err set (the file is then still
 * premigrated, or migrated with its copies good; file_inspect tells).
 */
int file_release_commit(struct file_release *r, uint64_t *freed, struct err *err);

/* Gives the release up: the file is premigrated again. Frees r; NULL is allowed. */
void file_release_abort(struct file_release *r);

struct file_refill;

/*
 * Begins to bring back the data of the stub that id names, archived as archive. A refill that was
 * interrupted begins anew. Of a stub that was truncated (FILE_NOTE_STUB_CUT) the first bytes come
 * back, as many as both sizes have: file_refill_is_cut. Returns 0 with *out, which
 * file_refill_commit or file_refill_abort frees; or FILE_GONE, FILE_NOT_MIGRATED, FILE_CHANGED
 * (somebody wrote to the stub),
 * FILE_OTHER_ARCHIVE, FILE_IN_USE (a lease is in the way; try again), FILE_BUSY, FILE_IMMUTABLE; or
 * a negative code with err set.
 */
int file_refill_begin(struct fs *fs, const struct file_id *id, const struct uuid *archive,
                      struct file_refill **out, struct err *err);

/* The number of bytes that come back: what was archived, or less of a stub that was cut. */
uint64_t file_refill_size(const struct file_refill *r);

/* Whether the stub was cut: then the file ends resident, and what was archived is garbage. */
bool file_refill_is_cut(const struct file_refill *r);

/*
 * Writes len bytes at offset off (bytes; any order, holes are left out; off + len at most what was
 * archived; of a cut stub the bytes beyond file_refill_size are left out). Returns 0, FILE_CHANGED
 * when somebody else changed the file meanwhile (abort then), or a negative code with err set
 * (-ENOSPC, -EDQUOT: abort, try again later).
 */
int file_refill_write(struct file_refill *r, uint64_t off, const void *data, size_t len,
                      struct err *err);

/* All data is written: restores mtime. Optional before file_refill_commit, which does it otherwise;
 * in a batch it comes before the fs_sync that serves all. Returns as file_refill_write. */
int file_refill_finish_data(struct file_refill *r, struct err *err);

/*
 * Makes the data durable unless an fs_sync since file_refill_finish_data has, then sets the file to
 * state end (FILE_PREMIGRATED, or FILE_RESIDENT: no record is kept), removes the marker and the
 * guard's mark, frees r.
 * durable: also syncs the new state; else the caller's next fs_sync does, and only then may the
 * recall be called done. Returns 0, FILE_CHANGED, or a negative code with err set; in both cases
 * the file is still a stub.
 */
int file_refill_commit(struct file_refill *r, enum file_state end, bool durable, struct err *err);

/* Gives the refill up: punches what was written (unless somebody else changed the file), the file
 * stays migrated. Frees r; NULL is allowed. */
void file_refill_abort(struct file_refill *r);

/*
 * Puts right what a crash left of the file open as fd (for writing, O_RDWR, no refill going on).
 * What stays a stub is marked by the guard first, so a guard that cannot is a failure:
 *  - a release that was marked but not finished: the punch is completed, mtime restored
 *    (if somebody has the file open: only mtime and marker; it stays migrated, a recall is due);
 *  - a refill that did not finish: stays migrated, what was written is punched, mtime restored;
 *  - marker and record that disagree: the record decides.
 * Everything else is left alone. Always safe, may be repeated. *info (may be NULL) gets the state
 * afterwards. Durable after the next fs_sync. Returns 0, FILE_NOT_REGULAR, or a negative code with
 * err set.
 */
int file_repair(struct fs *fs, int fd, struct file_info *info, struct err *err);

#endif
