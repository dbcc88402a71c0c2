/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by meta.c (sets), meta_blob.c (the JSON form) and meta_file.c (xattrs, mirrors, sidecars).
 * One thread at a time per struct.
 */
#ifndef S3_META_IMPL_H
#define S3_META_IMPL_H

#include "s3/meta.h"

struct buf;

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
