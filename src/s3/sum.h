/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checksums of stored data and of multipart objects: computed from a file, combined from parts,
 * shown in XML. Any thread.
 */
#ifndef S3_SUM_H
#define S3_SUM_H

#include "s3/ops_impl.h"

struct buf;

/* The checksum alg of size bytes of file fd as base64 into out[S3_SUM_B64_MAX]. Uses the worker's
 * I/O buffer. Returns 0 or a negative code with err set. */
int sum_file(struct s3_call *c, int fd, int64_t size, enum s3_sum alg, char *out, struct err *err);

/* Appends <ChecksumX>value</ChecksumX><ChecksumType>..</ChecksumType> of m to xml, if it has one.
 */
void sum_element(struct buf *xml, const struct meta *m);

/* Bytes in a raw digest of alg; 0 for S3_SUM_NONE. */
size_t sum_size(enum s3_sum alg);

/*
 * The CRC of A followed by B from the CRCs of A and of B, where B has len_b bytes: a and b are
 * base64 values of algorithm alg (one of the CRCs), out gets the result [S3_SUM_B64_MAX]. Matrices
 * over GF(2), as zlib's crc32_combine. Returns 0, or -EINVAL for another algorithm or bad base64.
 */
int sum_combine(enum s3_sum alg, const char *a, const char *b, int64_t len_b, char *out);

/* A running composite: digest of the raw digests of the parts. */
struct sum_composite {
    struct digest *digest;
    enum s3_sum alg;
    size_t n;
};

/* Starts s for algorithm alg. Free with sum_composite_fini. */
void sum_composite_init(struct sum_composite *s, enum s3_sum alg);

/* Adds a part's base64 value. Returns 0 or -EINVAL. */
int sum_composite_add(struct sum_composite *s, const char *value);

/* Writes "base64-N" into out[S3_SUM_B64_MAX + 8]. */
void sum_composite_final(struct sum_composite *s, char *out);

/* Frees what s holds. */
void sum_composite_fini(struct sum_composite *s);

#endif
