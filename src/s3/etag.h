/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ETags in the mtime form that NooBaa's NSFS gives the same file: "mtime-<t>-ino-<i>". Called by
 * every operation that shows or compares an ETag. Pure functions; any thread.
 */
#ifndef S3_ETAG_H
#define S3_ETAG_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* Room for an ETag's text without quotes, its NUL included. */
#define S3_ETAG_MAX 48

/*
 * The ETag of a file with modification time mtime and inode number ino, without quotes, into
 * out[S3_ETAG_MAX]. t is 1e9 * tv_sec + tv_nsec computed in binary64 and rounded to an integer (so
 * that it equals what other programs print for the file), t and i in base 36, lower case. Inode
 * numbers of 2^53 and more are printed exactly.
 */
void etag_format(struct timespec mtime, uint64_t ino, char *out);

/*
 * Does the list of ETags in the header value list (If-Match, If-None-Match: RFC 9110, 13.1.1; comma
 * between, with or without quotes, weak marks ignored, "*" matches anything) name etag (without
 * quotes)?
 */
bool etag_in_list(const char *list, const char *etag);

/* Is a, with or without quotes, the same ETag as b? */
bool etag_equal(const char *a, const char *b);

#endif
