/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accounts and buckets as firnd knows them, kept in memory: an immutable snapshot that requests
 * hold while they run, replaced when firnd's generation changes. It goes on serving when firnd is
 * away. Any thread.
 */
#ifndef S3_REGISTRY_H
#define S3_REGISTRY_H

#include "base/err.h"
#include "s3/req.h"

#include <cjson/cJSON.h>

struct ctl_pool;
struct s3_registry;
struct s3_snapshot;

/* A registry that asks firnd through pool (borrowed; NULL: it knows only what s3_registry_load
 * gives it). It is empty until the first refresh or load. Never NULL; s3_registry_free. */
struct s3_registry *s3_registry_new(struct ctl_pool *pool);

/* Frees r; no snapshot may be held. NULL is allowed. */
void s3_registry_free(struct s3_registry *r);

/* The pool given to s3_registry_new. */
struct ctl_pool *s3_registry_pool(struct s3_registry *r);

/* Takes the results of account.list (with secrets) and bucket.list as the new snapshot. Entries
 * that make no sense are left out with a warning in the log. Returns 0, or -EINVAL with err set. */
int s3_registry_load(struct s3_registry *r, const cJSON *accounts, const cJSON *buckets,
                     struct err *err);

/* Fetches both lists now. Returns 0, or a negative code with err set (the old snapshot stays). */
int s3_registry_refresh(struct s3_registry *r, struct err *err);

/* Asks for the generation, and fetches when it changed or nothing was fetched yet. Call every two
 * seconds. Returns as s3_registry_refresh. */
int s3_registry_poll(struct s3_registry *r, struct err *err);

/* After a name that was not found in snapshot seen (held by the caller): polls, at most ten times a
 * second and 50 times in a burst. Returns whether a newer snapshot than seen is there. */
bool s3_registry_miss(struct s3_registry *r, const struct s3_snapshot *seen);

/* The newest snapshot, held until s3_snapshot_unref; never NULL. */
struct s3_snapshot *s3_registry_get(struct s3_registry *r);

/* Lets go of s; NULL is allowed. */
void s3_snapshot_unref(struct s3_snapshot *s);

/* False until the first load. */
bool s3_snapshot_loaded(const struct s3_snapshot *s);

/* The account of an enabled access key, with its *secret; NULL when unknown. Borrowed from s. */
const struct s3_account *s3_snapshot_key(const struct s3_snapshot *s, const char *access_key,
                                         const char **secret);

/* The account or bucket of that name, or NULL. Borrowed from s. */
const struct s3_account *s3_snapshot_account(const struct s3_snapshot *s, const char *name);
const struct s3_bucket *s3_snapshot_bucket(const struct s3_snapshot *s, const char *name);

/* All buckets sorted by name, *n of them. Borrowed from s. */
const struct s3_bucket *s3_snapshot_buckets(const struct s3_snapshot *s, size_t *n);

#endif
