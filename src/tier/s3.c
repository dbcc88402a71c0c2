/* SPDX-License-Identifier: Apache-2.0 */
#include "tier/s3.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "tier/s3_pack.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WORKERS_MIN 4
#define WORKERS_MAX 64

static struct s3_tier *tier_of(const struct s3_tier_config *c)
{
    struct s3_tier *s = xzalloc(sizeof(*s));
    size_t n = c->key_prefix != NULL ? strlen(c->key_prefix) : 0;
    while (n > 0 && c->key_prefix[n - 1] == '/')
        n--;
    s->key_prefix = n > 0 ? xasprintf("%.*s/", (int)n, c->key_prefix) : xstrdup("");
    s->bucket_prefix = xstrdup(c->bucket_prefix);
    s->bucket_separator = xstrdup(c->bucket_separator != NULL ? c->bucket_separator : "_");
    s->nbuckets = c->bucket_count > 1 ? c->bucket_count : 1;
    s->buckets = xzalloc(s->nbuckets * sizeof(s->buckets[0]));
    for (unsigned i = 0; i < s->nbuckets; i++)
        s->buckets[i] = s->nbuckets == 1
                            ? xstrdup(c->bucket_prefix)
                            : xasprintf("%s%s%u", c->bucket_prefix, s->bucket_separator, i);
    (void)pthread_mutex_init(&s->sweep_lock, NULL);
    (void)pthread_cond_init(&s->swept, NULL);
    s->chunk_size = c->chunk_size;
    s->codec = c->codec;
    s->level = c->level;
    s->verify = c->verify;
    return s;
}

static int load_keys(struct s3_tier *s, const struct s3_tier_config *c, struct err *err)
{
    if (c->key_file == NULL || c->key_file[0] == '\0')
        return 0;
    int rc = chunk_keys_load(c->key_file, &s->keys, err);
    if (rc < 0)
        return rc;
    bool named = c->key_id != NULL && c->key_id[0] != '\0';
    s->key_id = xstrdup(named ? c->key_id : chunk_keys_newest(s->keys));
    if (!chunk_keys_has(s->keys, s->key_id))
        return err_set(err, -ENOKEY, "key file %s holds no key \"%s\"", c->key_file, s->key_id);
    return 0;
}

static int open_bucket(struct s3_tier *s, const char *bucket, bool create, struct err *err)
{
    int rc = store_bucket_check(s->store, bucket, err);
    if (rc != STORE_ABSENT)
        return rc < 0 ? err_wrap(err, rc, "bucket %s", bucket) : 0;
    if (!create)
        return err_set(err, -ENOENT,
                       "there is no bucket %s at %s; make it, or set create_buckets of "
                       "the store",
                       bucket, store_endpoint(s->store));
    rc = store_bucket_create(s->store, bucket, err);
    return rc < 0 ? err_wrap(err, rc, "making bucket %s", bucket) : 0;
}

static int open_buckets(struct s3_tier *s, bool create, struct err *err)
{
    int rc = 0;
    for (unsigned i = 0; i < s->nbuckets && rc == 0; i++)
        rc = open_bucket(s, s->buckets[i], create, err);
    return rc;
}

static int check_config(const struct s3_tier_config *c, struct err *err)
{
    if (c->bucket_prefix == NULL || c->bucket_prefix[0] == '\0')
        return err_set(err, -EINVAL, "no bucket is named");
    if (c->chunk_size < 4096 || c->chunk_size > (1ULL << 32)) /* one PUT takes 5 GiB */
        return err_set(err, -EINVAL, "chunks of %llu bytes; at least 4 KiB, at most 4 GiB",
                       (unsigned long long)c->chunk_size);
    if (c->buffers < 2)
        return err_set(err, -EINVAL, "a chunk needs two buffers, %u are allowed", c->buffers);
    if (c->pack_size > 0 && (c->pack_size < 65536 || c->pack_size > S3_PACK_MAX ||
                             c->pack_file > c->pack_size / 4 || c->pack_file > c->chunk_size))
        return err_set(err, -EINVAL,
                       "packs of %llu bytes for files of %llu; at least 64 KiB, at most 512 MiB, "
                       "and four files at least, none of them larger than a chunk",
                       (unsigned long long)c->pack_size, (unsigned long long)c->pack_file);
    if (c->codec > CHUNK_ZSTD)
        return err_set(err, -EINVAL, "chunks cannot be written as %s", chunk_codec_name(c->codec));
    return 0;
}

static unsigned workers_of(const struct s3_tier_config *c)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned n = c->workers;
    if (n == 0)
        n = c->store.connections;
    if (n < WORKERS_MIN || (c->workers == 0 && n < processors))
        n = processors > WORKERS_MIN ? (unsigned)processors : WORKERS_MIN;
    return n < WORKERS_MAX ? n : WORKERS_MAX;
}

static int start(struct s3_tier *s, const struct s3_tier_config *c, struct err *err)
{
    int rc = load_keys(s, c, err);
    if (rc == 0)
        rc = store_open(&c->store, &s->store, err);
    if (rc == 0)
        rc = open_buckets(s, c->create_buckets, err);
    if (rc < 0)
        return rc;
    /* A buffer holds a chunk in either form. */
    if (c->pack_size > 0)
        s->packs = s3_packs_new(s, c->pack_size, c->pack_file);
    s->memory = membudget_new(c->buffers * (uint64_t)membudget_charge(chunk_bound(c->chunk_size)));
    return s3_pool_new(s, workers_of(c), &s->pool, err);
}

int s3_tier_open(const struct s3_tier_config *config, struct s3_tier **out, struct err *err)
{
    int rc = check_config(config, err);
    if (rc < 0)
        return rc;
    struct s3_tier *s = tier_of(config);
    rc = start(s, config, err);
    if (rc < 0) {
        s3_tier_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

void s3_tier_close(struct s3_tier *s)
{
    if (s == NULL)
        return;
    s3_sweep_end(s);
    s3_pool_free(s->pool);
    s3_packs_free(s->packs);
    membudget_free(s->memory);
    store_close(s->store);
    chunk_keys_free(s->keys);
    for (unsigned i = 0; i < s->nbuckets; i++)
        free(s->buckets[i]);
    (void)pthread_cond_destroy(&s->swept);
    (void)pthread_mutex_destroy(&s->sweep_lock);
    free(s->buckets);
    free(s->bucket_prefix);
    free(s->bucket_separator);
    free(s->key_prefix);
    free(s->key_id);
    free(s);
}

int s3_tier_flush(struct s3_tier *s, struct err *err)
{
    struct s3_worker w = {.tier = s}; /* nothing is encoded */
    struct store_cancel never = {0};
    int rc = s->packs != NULL ? s3_packs_flush(s->packs, &w, &never, err) : 0;
    free(w.scratch);
    return rc;
}

struct store *s3_tier_store(struct s3_tier *s)
{
    return s->store;
}

void s3_tier_memory(struct s3_tier *s, uint64_t *used, uint64_t *peak, uint64_t *bound)
{
    membudget_usage(s->memory, used, peak, bound);
    uint64_t packs = s->packs != NULL ? s3_packs_memory(s->packs) : 0;
    if (used != NULL)
        *used += packs;
    if (peak != NULL)
        *peak += packs;
    if (bound != NULL)
        *bound += packs;
}

/* FNV-1a, 64 bits. */
static uint64_t hash(const char *text)
{
    uint64_t h = 0xcbf29ce484222325ULL;
    for (; *text != '\0'; text++)
        h = (h ^ (uint8_t)*text) * 0x100000001b3ULL;
    return h;
}

const char *s3_bucket_for(const struct s3_tier *s, const struct uuid *id, const uint64_t *n)
{
    char text[UUID_TEXT + 24];
    uuid_format(id, text);
    if (n != NULL)
        (void)snprintf(text + UUID_TEXT - 1, sizeof(text) - UUID_TEXT + 1, "/%llu",
                       (unsigned long long)*n);
    return s->buckets[hash(text) % s->nbuckets];
}

char *s3_key_stem(const struct s3_tier *s, const struct uuid *id, const char *label)
{
    char text[UUID_TEXT];
    bool labelled = label != NULL && label[0] != '\0';
    uuid_format(id, text);
    return xasprintf("%s%s%s%s", s->key_prefix, labelled ? label : "", labelled ? "." : "", text);
}

/* ---- lanes ---- */

int s3_lane_stopped(struct s3_lane *l, struct err *err)
{
    return l->user_cancel ? err_set(err, -ECANCELED, "%s: cancelled", l->name) : 0;
}

static void wake(struct s3_lane *l)
{
    store_cancel(l->s->store, &l->cancel);
    membudget_wake(l->s->memory);
    if (l->s->packs != NULL)
        s3_packs_wake(l->s->packs);
    (void)pthread_mutex_lock(&l->s->sweep_lock);
    (void)pthread_cond_broadcast(&l->s->swept);
    (void)pthread_mutex_unlock(&l->s->sweep_lock);
    lock_scope(&l->lock);
    (void)pthread_cond_broadcast(&l->moved);
}

void s3_lane_stop_jobs(struct s3_lane *l)
{
    l->cancel.set = true;
    wake(l);
    lock_scope(&l->lock);
    while (l->pending > 0)
        (void)pthread_cond_wait(&l->moved, &l->lock);
    l->cancel.set = l->user_cancel;
}

static void s3_cancel(void *self, bool on)
{
    struct s3_lane *l = self;
    (void)pthread_mutex_lock(&l->lock);
    l->user_cancel = on;
    l->cancel.set = on;
    (void)pthread_mutex_unlock(&l->lock);
    if (on)
        wake(l);
}

/* What a store has answered for is durable; copies in packs it has not been asked for. */
static int s3_sync(void *self, struct err *err)
{
    struct s3_lane *l = self;
    return l->s->packs != NULL ? s3_packs_flush(l->s->packs, &l->worker, &l->cancel, err) : 0;
}

void s3_lane_free(void *lane)
{
    struct s3_lane *l = lane;
    s3_copy_fini(&l->copy);
    s3_worker_fini(&l->worker);
    (void)pthread_cond_destroy(&l->moved);
    (void)pthread_mutex_destroy(&l->lock);
    free(l->name);
    free(l);
}

static const struct tier_ops s3_ops = {
    .kind = "s3",
    .caps = TIER_CAN_GET | TIER_CAN_REMOVE | TIER_CAN_LIST | TIER_CAN_SHOW,
    .put_begin = s3_put_begin,
    .put_write = s3_put_write,
    .put_end = s3_put_end,
    .put_abort = s3_put_abort,
    .sync = s3_sync,
    .stat = s3_stat,
    .get = s3_get,
    .remove = s3_remove,
    .list = s3_list,
    .show = s3_show,
    .cancel = s3_cancel,
    .free = s3_lane_free,
};

struct s3_lane *s3_lane_new(struct s3_tier *s, const char *name)
{
    struct s3_lane *l = xzalloc(sizeof(*l));
    l->s = s;
    l->name = xstrdup(name);
    (void)pthread_mutex_init(&l->lock, NULL);
    (void)pthread_cond_init(&l->moved, NULL);
    s3_worker_init(&l->worker, s);
    return l;
}

struct tier *s3_tier_lane(struct s3_tier *s, const char *name)
{
    return tier_new(&s3_ops, s3_lane_new(s, name), name);
}
