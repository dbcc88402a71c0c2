/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Marks on all stubs of a file system: what is due after a front of kernel events has come, before
 * the mark of the whole file system may go (doc/design/watch.md). The stub attribute on the files
 * is the truth; hidden folders are walked, also those below mount points; files that are renamed
 * meanwhile are found by the names that they get.
 */
#ifndef ENGINE_STUBS_H
#define ENGINE_STUBS_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct fs;
struct link;

struct stubs_count {
    uint64_t files;  /* looked at */
    uint64_t marked; /* stubs; one with n names counts n times */
    uint64_t failed; /* objects that could not be looked at: then the file system stays covered */
    int64_t ms;
};

/*
 * Walks fs and marks its stubs through l. Files that are released meanwhile get their mark from the
 * release. *stop ends the walk early (-ESHUTDOWN). Returns 0 when every stub carries a mark, or a
 * negative code with err set (-ENOTCONN: the front went away; -EIO: something could not be read,
 * err names the first). *n is filled in any case. Any thread.
 */
int stubs_mark(struct fs *fs, struct link *l, const bool *stop, struct stubs_count *n,
               struct err *err);

#endif
