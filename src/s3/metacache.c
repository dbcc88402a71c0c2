/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/metacache.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "s3/meta_impl.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SLOTS     4096u /* a power of two, as LOCKS */
#define LOCKS     64u
#define PAIRS_MAX 16 /* metadata and tags of an entry, each: memory stays within some MiB */
#define PARTS_MAX 64
/* A change that follows within one tick of the kernel's clock may get the same change time on
 * kernels without multigrain timestamps; the slowest clock has 100 ticks a second. */
#define SETTLED_NS 20000000LL

struct key {
    dev_t dev;
    ino_t ino;
    struct timespec ctime, mtime;
    off_t size;
};

struct slot {
    struct key key;
    struct meta_held *meta; /* NULL: empty */
};

struct metacache {
    pthread_mutex_t locks[LOCKS]; /* of the slots with the same remainder; held for a moment */
    struct slot slots[SLOTS];
};

struct metacache *metacache_new(void)
{
    struct metacache *c = xzalloc(sizeof *c);
    for (size_t i = 0; i < LOCKS; i++)
        (void)pthread_mutex_init(&c->locks[i], NULL);
    return c;
}

void metacache_free(struct metacache *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < SLOTS; i++)
        meta_unhold(c->slots[i].meta);
    for (size_t i = 0; i < LOCKS; i++)
        (void)pthread_mutex_destroy(&c->locks[i]);
    free(c);
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool same(const struct key *a, const struct key *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
           same_time(&a->ctime, &b->ctime) && same_time(&a->mtime, &b->mtime);
}

static size_t place_of(const struct key *k)
{
    uint64_t h = ((uint64_t)k->ino ^ ((uint64_t)k->dev << 32)) * 0x9e3779b97f4a7c15ULL;
    return (size_t)(h >> 40) & (SLOTS - 1);
}

/* Is the change time in st so old that a change from now on gets another one? Times of files come
 * from the coarse clock. A time in the future (the clock was set back) is never old. */
static bool is_settled(const struct stat *st, const struct timespec *now)
{
    int64_t age =
        (now->tv_sec - st->st_ctim.tv_sec) * NS_PER_SEC + now->tv_nsec - st->st_ctim.tv_nsec;
    return age >= SETTLED_NS;
}

static bool is_small(const struct meta *m)
{
    return m->user.n <= PAIRS_MAX && m->tags.n <= PAIRS_MAX && m->n_parts <= PARTS_MAX;
}

static struct key key_of(const struct stat *st)
{
    return (struct key){.dev = st->st_dev,
                        .ino = st->st_ino,
                        .ctime = st->st_ctim,
                        .mtime = st->st_mtim,
                        .size = st->st_size};
}

bool metacache_find(struct metacache *c, const struct stat *st, struct meta *m)
{
    struct key k = key_of(st);
    size_t i = place_of(&k);
    lock_scope(&c->locks[i % LOCKS]);
    const struct slot *s = &c->slots[i];
    if (s->meta == NULL || !same(&s->key, &k))
        return false;
    meta_show(m, s->meta);
    return true;
}

static void keep(struct metacache *c, struct key k, const struct meta *m)
{
    struct meta_held *mine = meta_hold(m);
    size_t i = place_of(&k);
    struct meta_held *before = NULL;
    {
        lock_scope(&c->locks[i % LOCKS]);
        before = c->slots[i].meta;
        c->slots[i] = (struct slot){.key = k, .meta = mine};
    }
    meta_unhold(before);
}

int metacache_load(struct metacache *c, int fd, const struct stat *st, int bucket_fd,
                   struct meta *m, struct err *err)
{
    if (metacache_find(c, st, m))
        return 0;
    /* Read before the attributes: what changes after it has another time than st. */
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
    bool own = false;
    int rc = meta_load_own(fd, bucket_fd, m, &own, err);
    if (rc == 0 && own && !m->pending && is_small(m) && is_settled(st, &now))
        keep(c, key_of(st), m);
    return rc;
}
