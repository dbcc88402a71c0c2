/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An S3 tier over the store that withstore.py has started, for tests: each site has a key prefix of
 * its own in buckets that all share, so tests do not see each other's objects. One thread, besides
 * what a test starts itself.
 */
#ifndef TESTS_S3SITE_H
#define TESTS_S3SITE_H

#include "tier/s3.h"

#define SITE_CHUNK 65536UL
#define SITE_KEY   "tests 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"

struct s3site {
    struct s3_tier_config config; /* change it, then s3site_reopen */
    char key_prefix[64];
    char key_file[64]; /* with SITE_KEY */
    struct s3_tier *s;
    struct tier *t; /* a lane */
    struct err err;
    uint8_t *text, *noise; /* SITE_DATA bytes each: compressible, and not */
};

#define SITE_DATA (8 * SITE_CHUNK)

/* A site on three buckets, through the fault proxy, chunks of SITE_CHUNK, sixteen buffers, LZ4.
 * Ends the test program when there is no store. */
struct s3site *s3site_new(void);

/* Closes what is open; objects stay in the store. */
void s3site_free(struct s3site *site);

/* Closes tier and lane and opens them again as the configuration says now. Returns 0 or a negative
 * code with site->err. */
int s3site_reopen(struct s3site *site);

/* Puts size bytes of data, without holes, as one copy. Returns 0, TIER_FULL or a negative code. */
int s3site_put(struct s3site *site, struct tier *t, struct tier_object *o, const void *data,
               struct tier_location *loc, struct err *err);

/* An object of this size with a fresh id. */
struct tier_object s3site_object(const char *path, uint64_t size);

/* Reads the copy into memory of size bytes; holes as zeros. Returns what tier_get returns. */
int s3site_get(struct tier *t, const struct tier_object *o, const struct tier_location *loc,
               void *out, struct err *err);

/* Counts the objects below the site's key prefix, in all buckets. */
unsigned s3site_objects(struct s3site *site);

#define SITE_MANIFEST (-1L)
#define SITE_SOLE     (-2L)

/* Bucket and key of the n-th chunk of a copy (by walking the buckets), or of what n says. Fails the
 * test when it is not there. */
void s3site_locate(struct s3site *site, const struct uuid *id, long n,
                   char bucket[STORE_BUCKET_MAX], char key[STORE_KEY_MAX]);

/* Bytes and metadata of an object replaced: fn changes the size bytes at data (one more may be
 * written) and returns the new size. */
void s3site_change(struct s3site *site, const char *bucket, const char *key,
                   size_t (*fn)(uint8_t *data, size_t size));

#endif
