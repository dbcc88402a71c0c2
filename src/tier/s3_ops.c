/* SPDX-License-Identifier: Apache-2.0 */
/* A copy looked at and removed. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "tier/s3_pack.h"

#include <errno.h>
#include <string.h>

#define BATCH 1000 /* keys in one request */

int s3_stat(void *self, const struct uuid *id, const struct tier_location *loc, uint64_t *size,
            struct err *err)
{
    auto_s3_copy struct s3_copy c = {0};
    int rc = s3_load_head(self, id, loc, &c, err);
    if (rc == 0)
        *size = c.size;
    return rc;
}

int s3_show(void *self, const struct uuid *id, const struct tier_location *loc, tier_list_fn *fn,
            void *arg, struct err *err)
{
    auto_s3_copy struct s3_copy c = {0};
    int rc = s3_load(self, id, loc, &c, err);
    if (rc != 0)
        return rc;
    struct tier_entry e = s3_entry(&c, loc);
    return fn(arg, &e, err);
}

static int by_bucket(const void *a, const void *b)
{
    const struct s3_chunk *const *x = a;
    const struct s3_chunk *const *y = b;
    return strcmp((*x)->bucket, (*y)->bucket);
}

int s3_delete_chunks(struct s3_tier *s, const struct s3_copy *c, struct store_cancel *cancel,
                     struct err *err)
{
    auto_free struct s3_chunk **sorted = xzalloc((c->nchunks + 1) * sizeof(struct s3_chunk *));
    auto_free const char **keys = xzalloc(BATCH * sizeof(char *));
    int rc = 0;
    for (size_t i = 0; i < c->nchunks; i++)
        sorted[i] = c->chunks[i];
    qsort(sorted, c->nchunks, sizeof(sorted[0]), by_bucket);
    for (size_t i = 0; i < c->nchunks;) {
        const char *bucket = sorted[i]->bucket;
        size_t n = 0;
        while (i < c->nchunks && n < BATCH && strcmp(sorted[i]->bucket, bucket) == 0)
            keys[n++] = sorted[i++]->key;
        int rc2 = n == 1 ? store_delete(s->store, bucket, keys[0], cancel, rc == 0 ? err : NULL)
                         : store_delete_many(s->store, bucket, (const char *const *)keys, n, cancel,
                                             rc == 0 ? err : NULL);
        if (rc == 0 && rc2 < 0)
            rc = rc2;
    }
    return rc;
}

int s3_remove(void *self, const struct uuid *id, const struct tier_location *loc, struct err *err)
{
    struct s3_lane *l = self;
    auto_s3_copy struct s3_copy c = {0};
    auto_free char *bucket = NULL;
    const char *key = NULL;
    if (strncmp(loc->key, S3_LEGACY_PREFIX, strlen(S3_LEGACY_PREFIX)) == 0)
        return s3_legacy_remove(l, loc->key + strlen(S3_LEGACY_PREFIX), err);
    if (strncmp(loc->key, S3_PLAIN_PREFIX, strlen(S3_PLAIN_PREFIX)) == 0)
        return err_set(err, -EPERM, "%s: %s was not made by firn, so it is not firn's to delete",
                       l->name, loc->key);
    int rc = s3_load(l, id, loc, &c, err);
    if (rc != 0)
        return rc;
    if (s3_pack_is(loc->key))
        return s3_pack_remove(l, loc, err);
    rc = s3_split_location(loc->key, &bucket, &key, err);
    if (rc == 0)
        rc = store_delete(l->s->store, bucket, key, &l->cancel, err);
    if (rc < 0)
        return err_wrap(err, rc, "%s: deleting %s", l->name, loc->key);
    rc = c.sole ? 0 : s3_delete_chunks(l->s, &c, &l->cancel, err);
    return rc < 0 ? err_wrap(err, rc, "%s: the copy %s is gone, but chunks of it stay as garbage",
                             l->name, loc->key)
                  : 0;
}
