/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who sees to it that no other program reads a stub: without a guard it is the administrator's word
 * (posix_readers = "none"); with one, release marks each file before it takes the lease, and recall
 * takes the mark away after the state says that the data is there. The file module knows no more of
 * it than these two calls.
 */
#ifndef FILE_GUARD_H
#define FILE_GUARD_H

#include "base/err.h"

#include <stdbool.h>

struct fs;

struct file_guard {
    /* Puts the mark on the file open as fd (O_PATH will do; a release's is opened before the mark,
     * so its own use is never stopped), or takes it away. Adding twice and removing what is not
     * there are no errors. Returns 0 or a negative code with err set; then nothing is released. Any
     * thread. */
    int (*mark)(void *arg, int fd, bool add, struct err *err);
    /* Whether a descriptor that is opened now stays unhooked, i.e. only marked files are watched,
     * not the whole file system. Else nothing is released: the punch would raise an event, and the
     * event's own descriptor would wait for the lease. NULL: always. Any thread. */
    bool (*ready)(void *arg);
    void *arg;
};

/* Sets the guard of fs (copied) before any other thread uses fs; NULL takes it away. */
void fs_set_guard(struct fs *fs, const struct file_guard *guard);

#endif
