/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by meta.c (sets), meta_blob.c (the JSON form), meta_mirror.c (what mirrors what) and
 * meta_file.c (xattrs, sidecars).
 * One thread at a time per struct.
 */
#ifndef S3_META_IMPL_H
#define S3_META_IMPL_H

#include "s3/meta.h"

struct buf;

#define META_TYPE_XATTR     "user.noobaa.content_type"
#define META_ENCODING_XATTR "user.noobaa.content_encoding"
#define META_MD5_XATTR      "user.content_md5"

/* The authoritative form as stored. */
struct meta_blob {
    struct meta meta;    /* values; head and storage_class included */
    struct meta_set old; /* mirrors' values before a change that was not finished: xattr name ->
                          * value */
    struct meta_set unmirrored; /* xattr name -> "": values that have no mirror, for want of room */
    char sidecar[64];           /* where the rest lies; then everything else is empty */
    uint64_t sidecar_ino;       /* of the file that the sidecar was written for */
};

/* As meta_load; *own tells whether m comes from the file's own attributes alone: no sidecar,
 * nothing damaged. */
int meta_load_own(int fd, int bucket_fd, struct meta *m, bool *own, struct err *err);

/* Whether s begins with prefix. */
bool meta_begins(const char *s, const char *prefix);

/* Is name (of an xattr) one that keeps state, so that no metadata may be mirrored under it or read
 * from it? */
bool meta_is_state(const char *name);

/* Is name a state name that nevertheless mirrors something that a POSIX tool may change? */
bool meta_is_mirror(const char *name);

/* Puts every mirror that m can have into out (xattr name -> value), the most useful first. */
void meta_mirrors(const struct meta *m, struct meta_set *out);

/* How many meta_mirrors() would put into an empty set. */
size_t meta_mirror_count(const struct meta *m);

/* The value that meta_mirrors() would give xattr name (at most 255 bytes), borrowed from m; NULL:
 * it is none of them. */
const char *meta_mirror_value(const struct meta *m, const char *name);

/* Makes b empty. */
void meta_blob_init(struct meta_blob *b);

/* Frees what b holds. */
void meta_blob_fini(struct meta_blob *b);
#define auto_blob __attribute__((cleanup(meta_blob_fini)))

/* Writes b as JSON into out. */
void meta_blob_format(const struct meta_blob *b, struct buf *out);

/* Reads JSON text into b (initialised). Returns 0, or -EINVAL with err set. */
int meta_blob_parse(const char *text, struct meta_blob *b, struct err *err);

#endif
