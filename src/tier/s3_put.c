/* SPDX-License-Identifier: Apache-2.0 */
/* A copy on its way into the store: data fill chunks, chunks go to the pool, what closes the copy
 * goes last. */
#include "base/cleanup.h"
#include "base/crash.h"
#include "base/mem.h"
#include "tier/s3_pack.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

struct send_job {
    struct s3_job job;
    struct s3_lane *lane;
    struct s3_filling filling; /* its chunk belongs to the lane's copy */
};

static int full_or(int rc)
{
    return rc == -ENOSPC || rc == -EDQUOT ? TIER_FULL : rc;
}

int s3_put_begin(void *self, const struct tier_object *o, struct err *err)
{
    struct s3_lane *l = self;
    struct s3_copy *c = &l->copy;
    int rc = s3_sweep_wait(l, &o->id, err);
    if (rc < 0)
        return rc;
    s3_copy_fini(c);
    c->id = o->id;
    c->fs = xstrdup(o->fs);
    c->path = xstrdup(o->path);
    c->label = o->label != NULL && o->label[0] != '\0' ? xstrdup(o->label) : NULL;
    c->size = o->size;
    c->mtime_ns = o->mtime_ns;
    c->atime_ns = o->atime_ns;
    c->uid = o->uid;
    c->gid = o->gid;
    c->mode = o->mode;
    c->chunk_size = l->s->chunk_size;
    for (size_t i = 0; i < o->nxattrs; i++)
        s3_copy_add_xattr(c, o->xattrs[i].key, o->xattrs[i].value, o->xattrs[i].len);
    l->failed = 0;
    return 0;
}

/* Begins chunk n: its name, and memory for its data and what they become. */
static int begin_chunk(struct s3_lane *l, uint64_t n, struct err *err)
{
    struct s3_tier *s = l->s;
    struct s3_copy *c = &l->copy;
    auto_free char *stem = s3_key_stem(s, &c->id, c->label);
    uint64_t begin = n * c->chunk_size;
    uint64_t length = c->size - begin < c->chunk_size ? c->size - begin : c->chunk_size;
    bool plain_only = s->codec == CHUNK_RAW && s->key_id == NULL && s->verify != S3_VERIFY_READ;
    const size_t sizes[2] = {length + CHUNK_OVERHEAD, plain_only ? 0 : chunk_bound(length)};
    int rc = membudget_get(s->memory, 2, sizes, l->filling.mem, true, &l->cancel.set);
    if (rc < 0)
        return rc == -ECANCELED ? err_set(err, rc, "%s: cancelled", l->name)
                                : err_sys(err, -rc, "%s: memory for a chunk", l->name);
    struct s3_chunk *ch = xzalloc(sizeof(*ch));
    ch->n = n;
    ch->bucket = xstrdup(s3_bucket_for(s, &c->id, &n));
    ch->key = xasprintf("%s/%llu", stem, (unsigned long long)n);
    s3_copy_add_chunk(c, ch);
    l->filling.chunk = ch;
    l->filling.fill = 0;
    return 0;
}

static int failure_of(struct s3_lane *l, struct err *err)
{
    lock_scope(&l->lock);
    if (l->failed == 0)
        return 0;
    if (err != NULL)
        *err = l->err; /* what was full, too */
    return l->failed;
}

static void send_in_pool(struct s3_job *job, struct s3_worker *w)
{
    struct send_job *j = (struct send_job *)job; /* its first member */
    struct s3_lane *l = j->lane;
    struct err err = {0};
    bool closed = false;
    int rc = failure_of(l, NULL);
    if (rc == 0) {
        rc = s3_send_chunk(w, &l->copy, &j->filling, false, &l->cancel, &closed, &err);
    } else {
        membudget_put(l->s->memory, &j->filling.mem[0]);
        membudget_put(l->s->memory, &j->filling.mem[1]);
    }
    free(j);
    lock_scope(&l->lock);
    if (rc != 0 && l->failed == 0) {
        l->failed = full_or(rc);
        l->err = err;
    }
    l->pending--;
    (void)pthread_cond_broadcast(&l->moved);
}

/* Hands the chunk that is being filled to the pool. */
static void submit(struct s3_lane *l)
{
    struct send_job *j = xzalloc(sizeof(*j));
    if (l->filling.chunk == NULL) {
        free(j);
        return;
    }
    j->job.run = send_in_pool;
    j->lane = l;
    j->filling = l->filling;
    l->filling = (struct s3_filling){0};
    (void)pthread_mutex_lock(&l->lock);
    l->pending++;
    (void)pthread_mutex_unlock(&l->lock);
    s3_pool_submit(l->s->pool, &j->job);
}

/* Data of one chunk. A hole among too many is stored as zeros. */
static void fill(struct s3_filling *f, uint64_t off, const void *data, size_t n)
{
    struct s3_chunk *ch = f->chunk;
    if (ch->nextents >= S3_EXTENTS_MAX) {
        struct s3_extent *last = &ch->extents[ch->nextents - 1];
        uint64_t gap = off - (last->off + last->len);
        memset((uint8_t *)f->mem[0].data + f->fill, 0, gap);
        f->fill += gap;
        last->len += gap;
    }
    memcpy((uint8_t *)f->mem[0].data + f->fill, data, n);
    f->fill += n;
    s3_chunk_add_extent(ch, off, n);
}

int s3_put_write(void *self, uint64_t off, const void *data, size_t n, struct err *err)
{
    struct s3_lane *l = self;
    const uint8_t *p = data;
    while (n > 0) {
        uint64_t chunk = off / l->copy.chunk_size;
        uint64_t room = (chunk + 1) * l->copy.chunk_size - off;
        size_t part = n < room ? n : (size_t)room;
        int rc = failure_of(l, err);
        if (rc != 0)
            return rc;
        if (l->filling.chunk != NULL && l->filling.chunk->n != chunk)
            submit(l);
        if (l->filling.chunk == NULL)
            rc = begin_chunk(l, chunk, err);
        if (rc < 0)
            return rc;
        assert(l->filling.chunk != NULL);
        fill(&l->filling, off, p, part);
        off += part;
        p += part;
        n -= part;
    }
    return 0;
}

static int wait_for_chunks(struct s3_lane *l, struct err *err)
{
    (void)pthread_mutex_lock(&l->lock);
    while (l->pending > 0 && l->failed == 0)
        (void)pthread_cond_wait(&l->moved, &l->lock);
    (void)pthread_mutex_unlock(&l->lock);
    return failure_of(l, err);
}

static void will_close(struct s3_lane *l, const char *bucket, const char *key)
{
    free(l->closing_bucket);
    free(l->closing_key);
    l->closing_bucket = xstrdup(bucket);
    l->closing_key = xstrdup(key);
}

static int send_manifest(struct s3_lane *l, struct err *err)
{
    struct s3_copy *c = &l->copy;
    auto_free char *text = s3_manifest_write(c);
    auto_free char *stem = s3_key_stem(l->s, &c->id, c->label);
    auto_free char *key = xasprintf("%s/%s", stem, S3_MANIFEST);
    struct s3_fields meta;
    s3_meta_manifest(c, text, strlen(text), &meta);
    struct store_put put = {.bucket = s3_bucket_for(l->s, &c->id, NULL),
                            .key = key,
                            .data = text,
                            .size = strlen(text),
                            .content_type = "application/json",
                            .meta = meta.list,
                            .nmeta = meta.n};
    will_close(l, put.bucket, key);
    crash_point(CRASH_s3_before_manifest);
    return s3_send_object(&l->worker, &put, NULL, 0, &l->cancel, err);
}

/* The copy of one chunk at most: sent by the lane itself, and by itself the whole copy if its
 * metadata say everything. */
static int send_sole(struct s3_lane *l, bool *closed, struct err *err)
{
    if (l->filling.chunk == NULL) { /* no data at all: an empty object */
        int rc = begin_chunk(l, 0, err);
        if (rc < 0)
            return rc;
    }
    struct s3_filling f = l->filling;
    assert(f.chunk != NULL);
    struct s3_chunk *ch = f.chunk; /* of the copy */
    l->filling = (struct s3_filling){0};
    int rc = s3_send_chunk(&l->worker, &l->copy, &f, true, &l->cancel, closed, err);
    if (rc == 0 && *closed)
        will_close(l, ch->bucket, ch->key);
    return rc;
}

/* As a member of a pack, if its metadata fit; *packed says whether. */
static int add_to_pack(struct s3_lane *l, bool *packed, struct tier_location *loc, struct err *err)
{
    struct s3_tier *s = l->s;
    struct s3_copy *c = &l->copy;
    struct s3_fields meta;
    const void *stored = NULL;
    int rc = l->filling.chunk == NULL ? begin_chunk(l, 0, err) : 0;
    if (rc == 0)
        rc = s3_encode_chunk(&l->worker, c, &l->filling, &stored, err);
    *packed = rc == 0 && s3_meta_sole(c, c->chunks[0], &meta);
    return *packed ? s3_packs_add(s->packs, l, c, &meta, stored, loc, err) : rc;
}

static void locate(const struct s3_lane *l, bool sole, struct tier_location *loc)
{
    const struct chunk_info *info = &l->copy.chunks[0]->info;
    loc->key = xasprintf("%s/%s", l->closing_bucket, l->closing_key);
    loc->block = sole ? info->stored_size : 0; /* so that one request fetches it */
    loc->last_block = sole ? info->plain_size : 0;
}

static void put_over(struct s3_lane *l)
{
    membudget_put(l->s->memory, &l->filling.mem[0]);
    membudget_put(l->s->memory, &l->filling.mem[1]);
    l->filling = (struct s3_filling){0};
    s3_copy_fini(&l->copy);
    free(take_ptr(l->closing_bucket));
    free(take_ptr(l->closing_key));
}

/* The copy of one chunk at most, whose data are all here: into a pack, or as its own object, with a
 * manifest where its metadata need one. */
static int close_single(struct s3_lane *l, struct tier_location *loc, struct err *err)
{
    bool packed = false;
    bool sole = false;
    int rc = 0;
    if (s3_packs_take(l->s->packs, &l->copy, l->filling.fill))
        rc = add_to_pack(l, &packed, loc, err);
    if (rc < 0 || packed)
        return rc;
    rc = send_sole(l, &sole, err);
    if (rc == 0 && !sole)
        rc = send_manifest(l, err);
    if (rc < 0)
        return rc;
    crash_point(CRASH_s3_after_manifest);
    locate(l, sole, loc);
    return 0;
}

static int close_chunked(struct s3_lane *l, struct tier_location *loc, struct err *err)
{
    int rc = send_manifest(l, err);
    if (rc < 0)
        return rc;
    crash_point(CRASH_s3_after_manifest);
    locate(l, false, loc);
    return 0;
}

int s3_put_end(void *self, const struct tier_xattr *more, size_t nmore, struct tier_location *loc,
               struct err *err)
{
    struct s3_lane *l = self;
    struct s3_copy *c = &l->copy;
    bool single = c->nchunks == 0 || (l->filling.chunk != NULL && c->size <= c->chunk_size);
    int rc = s3_lane_stopped(l, err);
    if (rc == 0 && !single) {
        submit(l);
        rc = wait_for_chunks(l, err); /* they read the attributes that are added now */
    }
    for (size_t i = 0; rc == 0 && i < nmore; i++)
        s3_copy_add_xattr(c, more[i].key, more[i].value, more[i].len);
    if (rc == 0)
        rc = single ? close_single(l, loc, err) : close_chunked(l, loc, err);
    if (rc != 0)
        return full_or(rc);
    put_over(l);
    return 0;
}

void s3_put_abort(void *self)
{
    struct s3_lane *l = self;
    /* A request that is cut off may still be carried out after what it wrote has been deleted, so
     * those under way are let through, unless the caller is in a hurry. */
    (void)pthread_mutex_lock(&l->lock);
    l->failed = l->failed != 0 ? l->failed : -ECANCELED;
    while (l->pending > 0)
        (void)pthread_cond_wait(&l->moved, &l->lock);
    (void)pthread_mutex_unlock(&l->lock);
    s3_sweep_put(l);
    put_over(l);
}
