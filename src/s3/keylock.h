/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One writer per key inside the process: a condition (If-Match) and the renaming that it guards, or
 * the steps of a change of tags, must not mix with another request's. A fixed number of mutexes
 * picked by a hash of bucket and key: held over a few metadata calls, never over a body, a sync or
 * a wait. A thread holds at most one. Any thread.
 */
#ifndef S3_KEYLOCK_H
#define S3_KEYLOCK_H

#include "base/cleanup.h"

#include <pthread.h>

#define KEYLOCK_COUNT 1024

struct keylocks {
    pthread_mutex_t m[KEYLOCK_COUNT];
};

/* Makes the mutexes of k. */
void keylock_init(struct keylocks *k);

/* Destroys them; none may be held. */
void keylock_fini(struct keylocks *k);

/* The mutex of key in bucket, for lock_scope(). A trailing "/" of key does not count, so that "a"
 * and the directory object "a/", which share a name on disk, share the lock. */
pthread_mutex_t *keylock_of(struct keylocks *k, const char *bucket, const char *key);

#endif
