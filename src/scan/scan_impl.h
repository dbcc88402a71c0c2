/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the scan module share: the walk, its workers and their queue of work. Fields
 * say which thread may touch them.
 */
#ifndef SCAN_SCAN_IMPL_H
#define SCAN_SCAN_IMPL_H

#include "scan/scan.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>

/* An open directory, shared by the workers that hold batches of its names. */
struct scan_dir {
    int fd;
    atomic_uint refs;
    unsigned depth; /* of the directory itself; the root has 0 */
    size_t path_len;
    char path[]; /* absolute, without a trailing slash */
};

/* Something to do: a directory to open and read, or a batch of names of an open one. */
struct scan_work {
    struct scan_work *next;
    struct scan_dir *dir;   /* of a batch; NULL: path is to be opened */
    size_t batch_len;       /* bytes of batch */
    unsigned depth;         /* of path */
    alignas(8) char data[]; /* path relative to the root with its NUL, or linux_dirent64 records */
};

/* A hidden name: shell pattern, with the common forms told apart. */
struct scan_hidden {
    char *text;
    size_t len; /* without the star of a prefix */
    enum { HIDDEN_EXACT, HIDDEN_PREFIX, HIDDEN_PATTERN } kind;
};

enum scan_xattr_way { SCAN_XATTR_AT, SCAN_XATTR_CHDIR, SCAN_XATTR_PROC };

/* One worker; its own thread only, but for the counters, which any thread reads. */
struct scan_worker {
    struct scan *s;
    unsigned number;
    pthread_t thread;
    atomic_uint_fast64_t files, dirs, others, errors;
    enum scan_xattr_way xattr_way;
    const struct scan_dir *cwd; /* SCAN_XATTR_CHDIR: where this thread is */
    /* the path buffer: the directory whose path is in it, and its length there */
    char *path;
    size_t path_cap;
    const struct scan_dir *path_dir;
    unsigned inline_depth; /* directories read within each other because the queue was full */
    /* the entry being shown */
    struct scan_dir *dir;
    struct scan_entry entry;
    struct statx stx;
    int stat_rc;       /* 1: not asked */
    char names[4096];  /* of the entry's attributes, as listxattr gives them */
    ssize_t names_len; /* -1: not asked, -2: cannot be told */
    int list_gain;     /* above 0: asking for all names first has saved calls lately */
    bool has_path;
    size_t path_len;
} __attribute__((aligned(64)));

struct scan {
    struct scan_ops ops;
    void *ctx;
    char *root;
    size_t root_len;
    int root_fd;
    unsigned n_threads, max_depth, stat_mask;
    struct scan_hidden *hidden;
    size_t n_hidden;
    bool strict;
    enum scan_xattr_way xattr_way;
    struct scan_worker *workers;
    atomic_bool cancel;
    atomic_uint idle; /* workers waiting for work */
    bool ran;
    /* under lock */
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct scan_work *queue; /* last in, first out */
    size_t n_queue;
    size_t pending; /* work queued or being done */
    /* scan_run_list */
    const char *const *list;
    size_t n_list;
    atomic_size_t next_list;
};

/* ---- entry.c: facts of one entry ---- */

/* Finds out how extended attributes can be read relative to a directory. */
enum scan_xattr_way scan_probe_xattr(int root_fd);

/* Prepares worker w's thread for its way of reading attributes. */
void scan_worker_prepare(struct scan_worker *w);

/* Makes the object called name in w->dir the current entry of w. */
struct scan_entry *scan_entry_set(struct scan_worker *w, const char *name, unsigned char d_type,
                                  uint64_t ino);

/* Shows the current entry to the caller and counts it. Returns its answer, or SCAN_SKIP_DIR when it
 * is gone or its type cannot be found out. */
int scan_entry_show(struct scan_worker *w);

/* Counts and reports an error on path. */
void scan_report(struct scan_worker *w, const char *path, int code, const char *what);

/* Whether name is to be left out. */
bool scan_is_hidden(const struct scan *s, const char *name, size_t len);

/* ---- walk.c: reading directories ---- */

/* A reference less; closes and frees d with the last. */
void scan_dir_unref(struct scan_dir *d);

/* A new directory object for descriptor fd (taken over) at rel (relative to the root, "" for it).
 */
struct scan_dir *scan_dir_new(const struct scan *s, int fd, const char *rel, unsigned depth);

/* Opens rel below the root. A descriptor, or a negated errno value: -EXDEV for another file
 * system. */
int scan_open(const struct scan *s, const char *rel);

/* Does one piece of work and frees it. */
void scan_do(struct scan_worker *w, struct scan_work *work);

/* Puts work (taken over) into the queue. */
void scan_push(struct scan *s, struct scan_work *work);

#endif
