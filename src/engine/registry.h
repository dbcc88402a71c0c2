/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accounts and buckets of the S3 service: rows of the catalogue, and for a bucket its directory
 * below the configured s3.buckets. The control server calls this; firn-s3 keeps a copy and asks for
 * a new one when the generation has changed. All functions may be called by any thread.
 */
#ifndef ENGINE_REGISTRY_H
#define ENGINE_REGISTRY_H

#include "base/err.h"
#include "base/json.h"

#include <stdbool.h>

struct catalog;
struct conf;
struct registry;

/* Lengths of generated keys, in characters. */
#define REGISTRY_ACCESS_KEY_LEN 20
#define REGISTRY_SECRET_KEY_LEN 40

/* A registry over catalogue cat with conf's directories; both are borrowed. Never NULL; free with
 * registry_free. */
struct registry *registry_new(const struct conf *conf, struct catalog *cat);

/* Frees r; no call may be inside. NULL is allowed. */
void registry_free(struct registry *r);

/*
 * An operation: args and *result are the JSON objects of firn-protocol(7), *result is new and the
 * caller's. Returns 0, or a negative code with err set; *result is then untouched or a "details"
 * object (the caller's).
 */
typedef int registry_op_fn(struct registry *r, const cJSON *args, cJSON **result, struct err *err);

registry_op_fn registry_account_list;
registry_op_fn registry_account_show;
/* Makes keys that are not given. -EEXIST when the name or the access key is taken. */
registry_op_fn registry_account_create;
registry_op_fn registry_account_set;
/* -ENOTEMPTY (details.buckets) while the account owns buckets. */
registry_op_fn registry_account_delete;
/* Makes a second key pair; the one that was second before is forgotten. */
registry_op_fn registry_account_rotate;
registry_op_fn registry_bucket_list;
/* Makes the directory durably, or takes over an existing one (args.path, an export). */
registry_op_fn registry_bucket_create;
/* -ENOTEMPTY while objects are in it. */
registry_op_fn registry_bucket_delete;
registry_op_fn registry_generation;

/* 0 when name is a bucket's name by S3's rules (3 to 63 of a-z 0-9 . -, no address, no "..", not
 * xn--..., not ...-s3alias), else -EINVAL with err. */
int registry_check_bucket_name(const char *name, struct err *err);

/* 0 when name fits an account: 1 to 64 of A-Z a-z 0-9 . _ - @ +, beginning with a letter or digit;
 * else -EINVAL with err. */
int registry_check_account_name(const char *name, struct err *err);

#endif
