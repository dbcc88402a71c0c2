/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A parallel walk over the objects of one file system, for policy runs and audits of millions of
 * files. One struct scan walks once (or visits a given list); its worker threads call the caller's
 * entry function once per object, and what an object costs is decided there: name and type are
 * free, scan_entry_stat and scan_entry_xattr fetch on first use and remember. The walk stays on the
 * file system of its root, never follows a symbolic link, leaves out hidden names, and goes on
 * after an error on an object. Memory is bounded by the number of threads, not by the number of
 * objects.
 */
#ifndef SCAN_SCAN_H
#define SCAN_SCAN_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

struct scan;

/* What to walk. Strings and arrays stay the caller's and must outlive the scan. */
struct scan_config {
    const char *root;          /* absolute path of a directory, without a trailing slash */
    unsigned threads;          /* workers; 0: one and a half per usable core, at least 2 */
    const char *const *hidden; /* shell patterns of names left out with all below; NULL: the default
                                  ".noobaa-nsfs*" ".firn*" "lost+found" */
    size_t n_hidden;           /* elements of hidden; ignored when hidden is NULL */
    bool strict; /* a directory that is gone when its turn comes is an error: it may have been
                    renamed to where the walk was before */
    unsigned max_depth; /* levels below root that are walked; 0: no limit */
    unsigned stat_mask; /* statx mask of scan_entry_stat; 0: STATX_BASIC_STATS | STATX_BTIME */
};

/* One object, valid during the entry call only, used only by the worker that got it. Fields are for
 * reading. */
struct scan_entry {
    int dirfd;            /* the directory that holds it, open for reading */
    const char *name;     /* last component */
    size_t name_len;      /* bytes of name */
    unsigned char d_type; /* DT_REG, DT_DIR, ...; never DT_UNKNOWN */
    uint64_t ino;         /* inode number */
    unsigned depth;       /* 1: directly below root */
    void *impl;           /* the walker's own */
};

/* Answers of the entry function. */
enum scan_answer {
    SCAN_GO_ON = 0,    /* next object; a directory is walked */
    SCAN_SKIP_DIR = 1, /* only for a directory: nothing below it is visited */
};

/* The caller's functions. All are called from worker threads, several at once; worker is 0 ..
 * scan_threads()-1, and calls with the same number never overlap. */
struct scan_ops {
    /* Called once per object below root (root itself is not reported), a directory before what it
     * holds. Returns an enum scan_answer; a negated errno value counts as an error of this object,
     * and the walk goes on (for a directory: also below it). */
    int (*entry)(void *ctx, unsigned worker, struct scan_entry *e);
    /* Told of an object or directory that could not be read: path (valid during the call), code (a
     * negated errno value), what was attempted ("open", "read directory", "statx", "entry").
     * NULL: only counted. */
    void (*error)(void *ctx, unsigned worker, const char *path, int code, const char *what);
};

/* Running totals. Directories include the root. Hidden objects count nowhere. */
struct scan_counts {
    uint64_t files;  /* regular files */
    uint64_t dirs;   /* directories */
    uint64_t others; /* symbolic links, devices, sockets, pipes */
    uint64_t errors; /* objects and directories that could not be read or whose entry call failed */
};

/*
 * Prepares a walk as cfg (copied) says with the caller's ops (copied) and ctx. Opens the root and
 * finds out what the kernel can do; starts no thread. Sets *out (free with scan_free).
 * Returns 0, or a negative code with err set (root absent, not a directory, not absolute).
 */
int scan_new(const struct scan_config *cfg, const struct scan_ops *ops, void *ctx,
             struct scan **out, struct err *err);

/* Frees s, which must not be running; NULL is allowed. */
void scan_free(struct scan *s);

/* The number of workers that s uses. Any thread. */
unsigned scan_threads(const struct scan *s);

/*
 * Walks the whole tree; returns when all workers are done. Once per struct scan. Returns 0 (also
 * when single objects failed: scan_get_counts), -ECANCELED after scan_cancel, or another negative
 * code with err set when the root cannot be read or no thread can be started.
 */
int scan_run(struct scan *s, struct err *err);

/*
 * Instead of a walk: visits the n given paths (absolute, below root; others count as errors) from
 * the workers, in no promised order, directories without what they hold. Returns as scan_run.
 */
int scan_run_list(struct scan *s, const char *const *paths, size_t n, struct err *err);

/* Makes scan_run and scan_run_list return soon. Any thread, any time. */
void scan_cancel(struct scan *s);

/* Copies the totals so far into *out. Any thread, also during the walk (then approximate). */
void scan_get_counts(const struct scan *s, struct scan_counts *out);

/* The object's absolute path, NUL-terminated, with its length in *len (may be NULL). Made on first
 * use; valid during the entry call. Never NULL. Only from the entry call. */
const char *scan_entry_path(struct scan_entry *e, size_t *len);

/* The object's attributes (statx, not following links), fetched on first use; *stx is valid during
 * the entry call. Returns 0 or a negated errno value (-ENOENT: it is gone). Only from the entry
 * call. */
int scan_entry_stat(struct scan_entry *e, const struct statx **stx);

/* Reads extended attribute name of the object itself (not of a link's target) into buf of cap
 * bytes. Returns the value's length, or -ENODATA when there is none (also on file systems without
 * extended attributes), -ERANGE when it is longer than cap, another negated errno value on failure.
 * Values are not cached; the object's list of names may be, so an attribute set during the entry
 * call may be missed. Only from the entry call. */
ssize_t scan_entry_xattr(struct scan_entry *e, const char *name, char *buf, size_t cap);

/* The names of the object's extended attributes, each with its NUL, into buf of cap bytes. Returns
 * the length of all (0: none) or a negated errno value. Only from the entry call. */
ssize_t scan_entry_xattr_list(struct scan_entry *e, char *buf, size_t cap);

/* The inode generation (FS_IOC_GETVERSION; opens the object, so it is dear). Returns 0 with *gen
 * set; 0 in *gen for objects and file systems that have none; a negated errno value when the object
 * cannot be opened. Only from the entry call. */
int scan_entry_generation(struct scan_entry *e, uint64_t *gen);

#endif
