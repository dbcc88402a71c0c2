/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source of CopyObject and UploadPartCopy: named by x-amz-copy-source, checked and authorised
 * like any read. One request's thread.
 */
#ifndef S3_SOURCE_H
#define S3_SOURCE_H

#include "s3/ops_impl.h"

struct source {
    const struct s3_bucket *bucket;
    int dir; /* O_PATH of its directory; owned */
    char *key;
    char *version; /* NULL: none was named */
    struct object object;
};

/* Makes s empty, for source_fini. */
void source_init(struct source *s);

/* Closes and frees what s holds. */
void source_fini(struct source *s);
#define auto_source __attribute__((cleanup(source_fini)))

/* Finds and opens the source that the request names, and checks its conditions; its data is
 * readable afterwards unless more is asked of source_ready(). Returns true, or false having
 * answered. */
bool source_open(struct s3_call *c, struct source *s);

/* Makes sure that the source's data is here. Returns true, or false having answered. */
bool source_ready(struct s3_call *c, struct source *s);

#endif
