/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/keylock.h"

#include <stdint.h>
#include <string.h>

void keylock_init(struct keylocks *k)
{
    for (size_t i = 0; i < KEYLOCK_COUNT; i++)
        (void)pthread_mutex_init(&k->m[i], NULL);
}

void keylock_fini(struct keylocks *k)
{
    for (size_t i = 0; i < KEYLOCK_COUNT; i++)
        (void)pthread_mutex_destroy(&k->m[i]);
}

/* FNV-1a, 64 bits. */
static uint64_t fnv(uint64_t h, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)s[i]) * 0x100000001b3u;
    return h;
}

pthread_mutex_t *keylock_of(struct keylocks *k, const char *bucket, const char *key)
{
    size_t n = strlen(key);
    if (n > 0 && key[n - 1] == '/')
        n--;
    uint64_t h = fnv(0xcbf29ce484222325u, bucket, strlen(bucket) + 1);
    h = fnv(h, key, n);
    return &k->m[(h ^ (h >> 32)) % KEYLOCK_COUNT];
}
