/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes of objects that were read a moment ago, found again by the file's identity and its
 * change time: every change of an xattr moves the change time, so an entry that fits is what the
 * file says now. Used by GET alone, whose open descriptor proves that the account may read the
 * file. Any thread.
 */
#ifndef S3_METACACHE_H
#define S3_METACACHE_H

#include "s3/meta.h"

struct metacache;

/* An empty cache. Never NULL; metacache_free. */
struct metacache *metacache_new(void);

/* Frees c; NULL is allowed. */
void metacache_free(struct metacache *c);

/* Makes m (which meta_init made) show what is known of the file with fstat result st, to be read
 * only. Returns whether anything is. */
bool metacache_find(struct metacache *c, const struct stat *st, struct meta *m);

/*
 * As meta_load of the file fd (open for reading, not O_PATH), whose fstat gave st just before. What
 * is read is kept if no later change can have the change time that st shows, if it is all in the
 * file's own xattrs, and if it is small. m is to be read only.
 */
int metacache_load(struct metacache *c, int fd, const struct stat *st, int bucket_fd,
                   struct meta *m, struct err *err);

#endif
