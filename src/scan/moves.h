/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names that appear on a file system while a walk of it goes on. A walk alone can miss a file that
 * is renamed from a folder not read yet into one that was: whoever must not miss any opens this
 * before the walk and looks at every name that it gives afterwards, until there is none left.
 * Needs CAP_SYS_ADMIN. Source: fanotify(7), FAN_REPORT_DFID_NAME (Linux 5.9).
 */
#ifndef SCAN_MOVES_H
#define SCAN_MOVES_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct scan_moves;

/*
 * Begins to collect names on the file system that rootfd (a directory of it, not O_PATH) lies on.
 * Returns 0 with *out (free with scan_moves_close), or a negative code with err set (-EXDEV: a
 * btrfs subvolume, -EOPNOTSUPP, -EINVAL: older kernel; then a walk has to do alone).
 */
int scan_moves_open(int rootfd, struct scan_moves **out, struct err *err);

/*
 * The next name that appeared (renamed to there, linked, created): *dirfd is its folder, open for
 * reading (the caller closes), *name the last component, valid until the next call. Returns 1; 0
 * when all were given; or a negative code with err set (names may be lost then). Folders that are
 * gone again are left out. One thread at a time.
 */
int scan_moves_next(struct scan_moves *m, int *dirfd, const char **name, struct err *err);

/* Ends. NULL is allowed. */
void scan_moves_close(struct scan_moves *m);

#endif
