/* SPDX-License-Identifier: Apache-2.0 */
/* A copy on its way back: chunks are fetched and decoded ahead by the pool, as far as memory goes,
 * and given to the sink in the order of the file. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "tier/s3_pack.h"

#include <errno.h>
#include <string.h>

#define PIECE (4UL << 20)   /* what the sink gets at once, so that a cancel is noticed */
#define SMALL (128UL << 10) /* a sole object of so many bytes is read without a look first */

struct reading;

struct fetch_job {
    struct s3_job job;
    struct reading *reading;
    const struct s3_chunk *chunk;
    struct memblock mem[2];
    const void *plain;
    bool done;
    int rc;
    struct err err;
};

struct reading {
    struct s3_lane *lane;
    const struct s3_copy *copy;
    tier_sink_fn *sink;
    void *arg;
    struct fetch_job *jobs; /* a ring of window */
    size_t window;
    size_t next;      /* the chunk to be asked for next */
    size_t delivered; /* chunks given to the sink */
    bool thawed;
};

static int deliver(const struct s3_chunk *ch, const void *plain, tier_sink_fn *sink, void *arg,
                   struct err *err)
{
    const uint8_t *p = plain;
    for (size_t i = 0; i < ch->nextents; i++) {
        const struct s3_extent *e = &ch->extents[i];
        for (uint64_t done = 0; done < e->len;) {
            size_t n = e->len - done < PIECE ? (size_t)(e->len - done) : PIECE;
            int rc = sink(arg, e->off + done, p, n, err);
            if (rc < 0)
                return rc;
            done += n;
            p += n;
        }
    }
    return 0;
}

static void fetch_in_pool(struct s3_job *job, struct s3_worker *w)
{
    struct fetch_job *j = (struct fetch_job *)job; /* its first member */
    struct s3_lane *l = j->reading->lane;
    int rc = l->cancel.set ? -ECANCELED
                           : s3_fetch_chunk(w, j->reading->copy, j->chunk, j->mem, &l->cancel,
                                            &j->plain, &j->err);
    lock_scope(&l->lock);
    j->rc = rc;
    j->done = true;
    l->pending--;
    (void)pthread_cond_broadcast(&l->moved);
}

static struct fetch_job *job_of(struct reading *r, size_t i)
{
    return &r->jobs[i % r->window];
}

static int reserve(struct reading *r, size_t i, bool wait, struct err *err)
{
    struct s3_lane *l = r->lane;
    struct fetch_job *j = job_of(r, i);
    size_t sizes[2];
    memset(j, 0, sizeof(*j));
    j->job.run = fetch_in_pool;
    j->reading = r;
    j->chunk = r->copy->chunks[i];
    s3_fetch_sizes(j->chunk, sizes);
    int rc = membudget_get(l->s->memory, 2, sizes, j->mem, wait, &l->cancel.set);
    if (rc == -E2BIG)
        return err_set(err, -ENOMEM,
                       "%s: %s/%s wants %zu bytes of memory, more than all buffers of this tier; "
                       "allow more buffers",
                       l->name, j->chunk->bucket, j->chunk->key, sizes[0] + sizes[1]);
    if (rc == -ECANCELED)
        return err_set(err, rc, "%s: cancelled", l->name);
    return rc < 0 && rc != -EAGAIN ? err_sys(err, -rc, "%s: memory for a chunk", l->name) : rc;
}

/* Asks for as many chunks as memory and workers allow; the one that is wanted next waits for
 * memory. */
static int ask_ahead(struct reading *r, struct err *err)
{
    struct s3_lane *l = r->lane;
    while (r->next < r->copy->nchunks && r->next - r->delivered < r->window) {
        int rc = reserve(r, r->next, r->next == r->delivered, err);
        if (rc < 0)
            return rc == -EAGAIN ? 0 : rc;
        (void)pthread_mutex_lock(&l->lock);
        l->pending++;
        (void)pthread_mutex_unlock(&l->lock);
        s3_pool_submit(l->s->pool, &job_of(r, r->next)->job);
        r->next++;
    }
    return 0;
}

static int await(struct reading *r, struct fetch_job *j, struct err *err)
{
    struct s3_lane *l = r->lane;
    lock_scope(&l->lock);
    while (!j->done)
        (void)pthread_cond_wait(&l->moved, &l->lock);
    if (j->rc < 0)
        *err = j->err;
    return j->rc;
}

static void release(struct reading *r, size_t i)
{
    struct fetch_job *j = job_of(r, i);
    membudget_put(r->lane->s->memory, &j->mem[0]);
    membudget_put(r->lane->s->memory, &j->mem[1]);
}

/* The next chunk lies in a cold class: all that follow do too, so all are asked for at once, and
 * fetched anew when they can be read. That takes hours: the memory goes to others meanwhile. */
static int thaw(struct reading *r, struct err *err)
{
    r->thawed = true;
    s3_lane_stop_jobs(r->lane);
    while (r->next > r->delivered)
        release(r, --r->next);
    return s3_thaw(r->lane, r->copy, r->delivered, err);
}

/* Thawed, but refused once more. */
static int fetch_again(struct reading *r, struct fetch_job *j, struct err *err)
{
    struct s3_lane *l = r->lane;
    int rc = s3_fetch_chunk(&l->worker, r->copy, j->chunk, j->mem, &l->cancel, &j->plain, err);
    return rc == S3_FROZEN ? err_set(err, -EIO, "%s: %s/%s is still archived after its restore",
                                     l->name, j->chunk->bucket, j->chunk->key)
                           : rc;
}

static int read_chunks(struct reading *r, struct err *err)
{
    int rc = 0;
    while (rc == 0 && r->delivered < r->copy->nchunks) {
        struct fetch_job *j = job_of(r, r->delivered);
        rc = s3_lane_stopped(r->lane, err);
        if (rc == 0)
            rc = ask_ahead(r, err);
        if (rc == 0)
            rc = await(r, j, err);
        if (rc == S3_FROZEN && !r->thawed) {
            rc = thaw(r, err);
            continue;
        }
        if (rc == S3_FROZEN)
            rc = fetch_again(r, j, err);
        if (rc == 0)
            rc = deliver(j->chunk, j->plain, r->sink, r->arg, err);
        if (rc == 0)
            release(r, r->delivered++);
    }
    if (rc != 0)
        s3_lane_stop_jobs(r->lane);
    for (size_t i = r->delivered; i < r->next; i++)
        release(r, i);
    return rc;
}

static int read_copy(struct s3_lane *l, const struct s3_copy *c, tier_sink_fn *sink, void *arg,
                     struct err *err)
{
    struct reading r = {.lane = l, .copy = c, .sink = sink, .arg = arg};
    r.window = 2UL * s3_pool_size(l->s->pool);
    auto_free struct fetch_job *jobs = xzalloc(r.window * sizeof(*jobs));
    r.jobs = jobs;
    return read_chunks(&r, err);
}

/* A chunk that is the whole copy: the lane fetches it itself. */
static int read_single(struct s3_lane *l, const struct s3_copy *c, tier_sink_fn *sink, void *arg,
                       struct err *err)
{
    struct reading r = {.lane = l, .copy = c, .sink = sink, .arg = arg, .window = 1};
    struct fetch_job j = {0};
    r.jobs = &j;
    int rc = reserve(&r, 0, true, err);
    if (rc < 0)
        return rc;
    rc = s3_fetch_chunk(&l->worker, c, j.chunk, j.mem, &l->cancel, &j.plain, err);
    if (rc == S3_FROZEN) {
        release(&r, 0);
        rc = thaw(&r, err);
        if (rc == 0)
            rc = reserve(&r, 0, true, err);
        if (rc < 0)
            return rc;
        rc = fetch_again(&r, &j, err);
    }
    if (rc == 0)
        rc = deliver(j.chunk, j.plain, sink, arg, err);
    release(&r, 0);
    return rc;
}

/* ---- a sole object: data and metadata in one request ---- */

/* Where the way to it ends that needs no second request; the other one is taken then. */
#define LONG_WAY 1

/* Decodes and delivers what one request has brought. mem: room for the data, not for raw ones. */
static int deliver_sole(struct s3_lane *l, const struct uuid *id, const struct s3_copy *c,
                        void *stored, size_t n, const struct memblock *mem, tier_sink_fn *sink,
                        void *arg, struct err *err)
{
    char aad[S3_AAD_MAX];
    const void *plain = NULL;
    if (!c->sole || memcmp(&c->id, id, sizeof(*id)) != 0)
        return LONG_WAY;
    size_t naad = s3_aad(&c->id, 0, aad);
    int rc = chunk_decode(l->worker.coder, &c->chunks[0]->info, stored, n, aad, naad, mem->data,
                          mem->size, true, &plain, NULL);
    return rc < 0 ? LONG_WAY : deliver(c->chunks[0], plain, sink, arg, err);
}

/* The location tells the sizes: all memory is had at once. */
static int read_sized(struct s3_lane *l, const struct uuid *id, const struct tier_location *loc,
                      const char *bucket, const char *key, tier_sink_fn *sink, void *arg,
                      struct err *err)
{
    struct s3_tier *s = l->s;
    auto_store_reply struct store_reply r = {0};
    auto_s3_copy struct s3_copy c = {0};
    /* Of equal size it is raw. */
    const size_t sizes[2] = {loc->block, loc->block == loc->last_block ? 0 : loc->last_block};
    struct memblock mem[2];
    if (membudget_get(s->memory, 2, sizes, mem, true, &l->cancel.set) < 0)
        return LONG_WAY;
    int rc = store_get(s->store, bucket, key, 0, mem[0].data, sizes[0], true, &l->cancel, &r, NULL);
    if (rc == 0 && s3_meta_read(&r, bucket, key, &c, NULL) == 0)
        rc = deliver_sole(l, id, &c, mem[0].data, sizes[0], &mem[1], sink, arg, err);
    else
        rc = LONG_WAY;
    membudget_put(s->memory, &mem[0]);
    membudget_put(s->memory, &mem[1]);
    return rc;
}

/* It does not (a catalogue that keeps the key alone): small ones are tried all the same. Memory for
 * the data comes second, so nothing waits for it. */
static int read_unsized(struct s3_lane *l, const struct uuid *id, const char *bucket,
                        const char *key, tier_sink_fn *sink, void *arg, struct err *err)
{
    struct s3_tier *s = l->s;
    auto_store_reply struct store_reply r = {0};
    auto_s3_copy struct s3_copy c = {0};
    auto_free char *data = NULL;
    size_t size = SMALL;
    struct memblock mem[2] = {{0}};
    if (membudget_get(s->memory, 1, &size, &mem[0], false, NULL) < 0)
        return LONG_WAY;
    int rc = store_get_small(s->store, bucket, key, SMALL, &data, &size, &l->cancel, &r, NULL);
    size_t room = 0;
    if (rc == 0)
        rc = s3_meta_read(&r, bucket, key, &c, NULL);
    if (rc == 0 && c.sole && c.chunks[0]->info.codec != CHUNK_RAW)
        room = c.chunks[0]->info.plain_size;
    if (rc == 0)
        rc = membudget_get(s->memory, 1, &room, &mem[1], false, NULL);
    rc = rc == 0 ? deliver_sole(l, id, &c, data, size, &mem[1], sink, arg, err) : LONG_WAY;
    membudget_put(s->memory, &mem[0]);
    membudget_put(s->memory, &mem[1]);
    return rc;
}

/* Returns 0 with the data delivered, LONG_WAY, or a negative code. */
static int read_sole(struct s3_lane *l, const struct uuid *id, const struct tier_location *loc,
                     tier_sink_fn *sink, void *arg, struct err *err)
{
    auto_free char *bucket = NULL;
    const char *key = NULL;
    size_t n = strlen(loc->key);
    size_t tail = strlen(S3_SOLE);
    bool sole = n > tail && strcmp(loc->key + n - tail, S3_SOLE) == 0;
    bool other = strncmp(loc->key, S3_PLAIN_PREFIX, strlen(S3_PLAIN_PREFIX)) == 0;
    if (!sole || other || s3_split_location(loc->key, &bucket, &key, NULL) < 0)
        return LONG_WAY;
    return loc->block > 0 ? read_sized(l, id, loc, bucket, key, sink, arg, err)
                          : read_unsized(l, id, bucket, key, sink, arg, err);
}

/* A member of a pack, as read_sole. */
static int read_packed(struct s3_lane *l, const struct uuid *id, const struct tier_location *loc,
                       tier_sink_fn *sink, void *arg, struct err *err)
{
    auto_s3_copy struct s3_copy c = {0};
    struct memblock mem[2] = {{0}};
    void *stored = NULL;
    if (s3_pack_read(l, loc, mem, &c, &stored) != 0)
        return LONG_WAY;
    int rc =
        deliver_sole(l, id, &c, stored, c.chunks[0]->info.stored_size, &mem[1], sink, arg, err);
    membudget_put(l->s->memory, &mem[0]);
    membudget_put(l->s->memory, &mem[1]);
    return rc;
}

int s3_get(void *self, const struct uuid *id, const struct tier_location *loc, void *buf,
           size_t cap, tier_sink_fn *sink, void *arg, struct err *err)
{
    struct s3_lane *l = self;
    auto_s3_copy struct s3_copy c = {0};
    (void)buf, (void)cap; /* data are given from where they were decoded */
    int rc = s3_lane_stopped(l, err);
    if (rc == 0)
        rc = s3_pack_is(loc->key) ? read_packed(l, id, loc, sink, arg, err)
                                  : read_sole(l, id, loc, sink, arg, err);
    if (rc <= 0)
        return rc;
    rc = s3_load(l, id, loc, &c, err);
    if (rc != 0)
        return rc;
    return c.nchunks == 1 ? read_single(l, &c, sink, arg, err) : read_copy(l, &c, sink, arg, err);
}
