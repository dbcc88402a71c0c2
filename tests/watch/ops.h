/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One operation of the kernel on one file, for tests of what happens to a stub: `ops NAME FILE
 * [OTHER]`. What an operation reads goes to standard output. An operation that the file system
 * refuses prints which call and why, and ends with status 2: a test compares that too, with what
 * the same operation does to an ordinary file. One thread.
 */
#ifndef TESTS_WATCH_OPS_H
#define TESTS_WATCH_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What an operation leaves behind. */
enum op_kind {
    OP_READS,  /* prints all bytes of FILE, which stays as it is */
    OP_WRITES, /* changes FILE */
    OP_QUIET,  /* needs no data: a stub stays a stub */
};

struct op {
    const char *name;
    enum op_kind kind;
    void (*run)(const char *path, const char *other);
};

/* Tables of operations, each ending with a NULL name. */
extern const struct op ops_read[], ops_map[], ops_async[], ops_copy[], ops_write[], ops_size[],
    ops_quiet[];

/* Writes n bytes to standard output; ends the program when that fails. */
void out(const void *p, size_t n);

/* Goes on when ok; else prints what and errno's text to standard output and ends with status 2. */
void need(bool ok, const char *what);

/* Opens path (mode 0600 for a new one), or ends as need. The caller need not close it. */
int need_open(const char *path, int flags);

/* Size of the file open as fd in bytes, and the same rounded up to whole pages. */
size_t size_of(int fd);
size_t pages_of(int fd);

/* Memory of n bytes at a page's boundary, zeroed; never freed. */
void *room(size_t n);

/* All bytes of the file open as fd, from position 0 on, to standard output, by pread. */
void out_file(int fd);

#endif
