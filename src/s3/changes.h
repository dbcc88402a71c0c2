/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells firnd which objects got other tags, metadata or another class, so that its policies look at
 * them at once: a bounded queue and one thread that sends it. firnd's answer says whether any
 * policy wants to know; until its first answer all changes are queued. What firnd cannot be told,
 * it finds; doc/design/policy-events.md. Any thread.
 */
#ifndef S3_CHANGES_H
#define S3_CHANGES_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct ctl_pool;
struct s3_changes;

/* Starts the thread; pool is borrowed. Returns 0 with *out (s3_changes_free) or a negative code
 * with err set. */
int s3_changes_new(struct ctl_pool *pool, struct s3_changes **out, struct err *err);

/* Tries once to send what is queued and says goodbye, ends the thread and frees c. After the last
 * s3_changes_add. NULL is allowed. */
void s3_changes_free(struct s3_changes *c);

/* Notes that the object key of the bucket in directory bucket_path (absolute) was changed, durably.
 * Never waits for firnd. c may be NULL: nothing happens. */
void s3_changes_add(struct s3_changes *c, const char *bucket_path, const char *key);

/* Whether firnd wants to know of changes, or has not been asked yet. */
bool s3_changes_wanted(const struct s3_changes *c);

#endif
