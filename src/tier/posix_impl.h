/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the posix kind: where lhsmtool_posix keeps a file. Any thread.
 */
#ifndef TIER_POSIX_IMPL_H
#define TIER_POSIX_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POSIX_PATH_MAX 128 /* with NUL; a suffix like ".lov" has room too */

/* The path below the root of the FID that is the last component of label (with or without
 * brackets), in format v1 or v2, into out[POSIX_PATH_MAX]. Returns 0, or -EINVAL when label (may be
 * NULL) names no FID. */
int posix_path(const char *label, bool v1, char *out);

/* Whether path is one that posix_path makes, in either format. */
bool posix_path_holds(const char *path);

#endif
