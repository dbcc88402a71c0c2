/* SPDX-License-Identifier: Apache-2.0 */
/* What lies in the buckets, grouped by archive id: keys of one id are neighbours in the order of
 * keys, so only a batch of groups is held. Their metadata are read by the pool. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "tier/s3_pack.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BATCH 64 /* groups whose metadata are read at once */

/* What an object is of its copy; what closes one comes later. */
enum part { PART_CHUNK, PART_SOLE, PART_MANIFEST };

struct group {
    struct s3_job job;
    struct walk *walk;
    struct s3_found found;
    char *stem; /* all keys of the group begin with it */
    char *label;
    char *bucket, *key; /* what may close it: the manifest, else the sole object, else any */
    enum part closing;  /* what that is */
    char *other_bucket, *other_key; /* a sole object beside a manifest; NULL */
    uint64_t chunks, chunk_bytes;
    int rc; /* of reading its metadata, when that failed for another reason than what they are */
    struct err err;
    struct tier_location location;
};

struct walk {
    struct s3_lane *lane;
    s3_found_fn *fn;
    void *arg;
    bool full;
    uint64_t foreign;
    struct group *groups[BATCH];
    size_t n;
};

static void group_free(struct group *g)
{
    s3_copy_fini(&g->found.copy);
    tier_location_fini(&g->location);
    free(g->stem);
    free(g->label);
    free(g->bucket);
    free(g->key);
    free(g->other_bucket);
    free(g->other_key);
    free(g);
}

/* ---- keys ---- */

struct name {
    struct uuid id;
    size_t stem;  /* bytes of the key up to the id's end */
    size_t label; /* where the label begins */
    size_t nlabel;
    enum part part;
};

/* Where the id ends that the key of an object of ours holds, and what the object is; 0: none. */
static size_t parse_end(const char *key, enum part *part)
{
    size_t n = strlen(key);
    const char *last = strrchr(key, '/');
    if (n > strlen(S3_SOLE) && strcmp(key + n - strlen(S3_SOLE), S3_SOLE) == 0) {
        *part = PART_SOLE;
        return n - strlen(S3_SOLE);
    }
    if (last == NULL)
        return 0;
    size_t digits = strspn(last + 1, "0123456789");
    *part = strcmp(last + 1, S3_MANIFEST) == 0 ? PART_MANIFEST : PART_CHUNK;
    bool number = digits > 0 && last[1 + digits] == '\0';
    return *part == PART_MANIFEST || number ? (size_t)(last - key) : 0;
}

/* "[key_prefix][label.]<uuid>", then ".sole", "/<n>" or "/manifest" */
static bool parse_key(const struct s3_tier *s, const char *key, struct name *out)
{
    size_t prefix = strlen(s->key_prefix);
    size_t end = parse_end(key, &out->part);
    char id[UUID_TEXT];
    if (strncmp(key, s->key_prefix, prefix) != 0 || end < prefix + UUID_TEXT - 1)
        return false;
    size_t at = end - (UUID_TEXT - 1);
    bool bare = at == prefix;
    if (!bare && (at < prefix + 2 || key[at - 1] != '.'))
        return false;
    memcpy(id, key + at, UUID_TEXT - 1);
    id[UUID_TEXT - 1] = '\0';
    out->stem = end;
    out->label = prefix;
    out->nlabel = bare ? 0 : at - prefix - 1;
    return uuid_parse(id, &out->id) == 0;
}

/* ---- what the metadata say ---- */

/* Whether each chunk that the manifest names is where it says. */
static int check_chunks(struct s3_worker *w, struct group *g, struct err *err)
{
    struct s3_copy *c = &g->found.copy;
    for (size_t i = 0; i < c->nchunks; i++) {
        auto_store_reply struct store_reply r = {0};
        int rc = store_head(w->tier->store, c->chunks[i]->bucket, c->chunks[i]->key,
                            &g->walk->lane->cancel, &r, err);
        if (rc < 0)
            return rc;
        if (rc != 0 || r.size != (int64_t)c->chunks[i]->info.stored_size)
            return err_set(err, -EBADMSG, "%s/%s is missing or of another size",
                           c->chunks[i]->bucket, c->chunks[i]->key);
    }
    return 0;
}

/* Reads the metadata of what may close the group, and the manifest itself where they do not settle
 * that all chunks are there. */
static int read_closing(struct s3_worker *w, struct group *g)
{
    struct s3_copy *c = &g->found.copy;
    struct s3_lane *l = g->walk->lane;
    auto_store_reply struct store_reply r = {0};
    int rc = store_head(w->tier->store, g->bucket, g->key, &l->cancel, &r, &g->err);
    if (rc == 0)
        rc = s3_meta_read(&r, g->bucket, g->key, c, &g->err);
    if (g->closing != PART_MANIFEST || (rc != 0 && rc != -EBADMSG))
        return rc;
    bool counted = rc == 0 && c->objects == g->chunks && c->bytes == g->chunk_bytes;
    if (counted && !(c->path_cut && g->walk->full))
        return 0;
    s3_copy_fini(c);
    rc = s3_load(l, &g->found.piece.id, &g->location, c, &g->err);
    return rc == 0 && !counted ? check_chunks(w, g, &g->err) : rc;
}

/* A manifest that is not whole beside a sole object (the copy was lost and made again): that one
 * may be. Returns whether there is one. */
static bool try_other(struct group *g)
{
    if (g->other_key == NULL)
        return false;
    s3_copy_fini(&g->found.copy);
    free(g->bucket);
    free(g->key);
    free(g->location.key);
    g->bucket = take_ptr(g->other_bucket);
    g->key = take_ptr(g->other_key);
    g->closing = PART_SOLE;
    g->location.key = xasprintf("%s/%s", g->bucket, g->key);
    return true;
}

/* Fills in found. What is there but makes no sense is damaged; a store that does not answer ends
 * the walk, so that nothing is taken for garbage by mistake. */
static void look_at(struct s3_worker *w, struct group *g)
{
    struct s3_copy *c = &g->found.copy;
    struct s3_piece *p = &g->found.piece;
    int rc = read_closing(w, g);
    if (rc == -EBADMSG && try_other(g))
        rc = read_closing(w, g);
    bool ours = rc == 0 && memcmp(&c->id, &p->id, sizeof(p->id)) == 0;
    p->complete = ours && (g->closing == PART_MANIFEST || c->sole);
    p->damaged = !p->complete && (g->closing != PART_CHUNK || rc == -EBADMSG);
    g->rc = rc < 0 && rc != -EBADMSG ? rc : 0;
    p->fs = c->fs != NULL ? c->fs : "";
    p->location = p->complete ? &g->location : NULL;
    if (p->complete && c->sole) {
        g->location.block = c->chunks[0]->info.stored_size;
        g->location.last_block = c->chunks[0]->info.plain_size;
    }
}

static void look_in_pool(struct s3_job *job, struct s3_worker *w)
{
    struct group *g = (struct group *)job; /* its first member */
    struct s3_lane *l = g->walk->lane;
    look_at(w, g);
    lock_scope(&l->lock);
    l->pending--;
    (void)pthread_cond_broadcast(&l->moved);
}

/* ---- groups ---- */

static void drop_groups(struct walk *w)
{
    for (size_t i = 0; i < w->n; i++)
        group_free(w->groups[i]);
    w->n = 0;
}

/* Looks at all groups held and gives them out. */
static int flush(struct walk *w, struct err *err)
{
    struct s3_lane *l = w->lane;
    int rc = 0;
    for (size_t i = 0; i < w->n; i++) {
        struct group *g = w->groups[i];
        g->job.run = look_in_pool;
        g->location.key = xasprintf("%s/%s", g->bucket, g->key);
        (void)pthread_mutex_lock(&l->lock);
        l->pending++;
        (void)pthread_mutex_unlock(&l->lock);
        s3_pool_submit(l->s->pool, &g->job);
    }
    (void)pthread_mutex_lock(&l->lock);
    while (l->pending > 0)
        (void)pthread_cond_wait(&l->moved, &l->lock);
    (void)pthread_mutex_unlock(&l->lock);
    rc = s3_lane_stopped(l, err);
    for (size_t i = 0; i < w->n && rc == 0; i++) {
        rc = w->groups[i]->rc;
        if (rc < 0)
            *err = w->groups[i]->err;
    }
    for (size_t i = 0; i < w->n && rc == 0; i++)
        rc = w->fn(w->arg, &w->groups[i]->found, err);
    drop_groups(w);
    return rc;
}

static struct group *group_new(struct walk *w, const char *key, const struct name *name)
{
    struct group *g = xzalloc(sizeof(*g));
    g->walk = w;
    g->stem = xstrndup(key, name->stem);
    g->label = xstrndup(key + name->label, name->nlabel);
    g->found.piece.id = name->id;
    g->found.piece.label = g->label;
    w->groups[w->n++] = g;
    return g;
}

static void note_closing(struct group *g, const struct s3_met *o, enum part part)
{
    if (g->closing == PART_SOLE && part == PART_MANIFEST) {
        g->other_bucket = take_ptr(g->bucket);
        g->other_key = take_ptr(g->key);
    }
    g->closing = part;
    free(g->bucket);
    free(g->key);
    g->bucket = xstrdup(o->bucket);
    g->key = xstrdup(o->key);
}

/* Of unknown age is as good as new: nobody is to take it for a rest. */
static void note_age(struct s3_piece *p, const struct s3_met *o)
{
    int64_t modified_ns = o->modified_ns > 0 ? o->modified_ns : time_now_ns();
    if (modified_ns > p->newest_ns)
        p->newest_ns = modified_ns;
}

static int take_object(void *arg, const struct s3_met *o, struct err *err)
{
    struct walk *w = arg;
    struct name name = {0};
    struct uuid pack;
    if (s3_pack_parse_key(w->lane->s, o->key, &pack))
        return s3_pack_walk(w->lane, o, &pack, w->fn, w->arg, err);
    if (!parse_key(w->lane->s, o->key, &name)) {
        w->foreign++;
        return 0;
    }
    struct group *g = w->n > 0 ? w->groups[w->n - 1] : NULL;
    if (g == NULL || strncmp(o->key, g->stem, name.stem) != 0 || g->stem[name.stem] != '\0') {
        int rc = w->n == BATCH ? flush(w, err) : 0;
        if (rc != 0)
            return rc;
        g = group_new(w, o->key, &name);
    }
    struct s3_piece *p = &g->found.piece;
    p->objects++;
    p->bytes += o->size;
    note_age(p, o);
    if (g->key == NULL || name.part > g->closing)
        note_closing(g, o, name.part);
    g->chunks += name.part == PART_CHUNK;
    g->chunk_bytes += name.part == PART_CHUNK ? o->size : 0;
    return 0;
}

int s3_each_found(struct s3_lane *l, const char *prefix, bool full, s3_found_fn *fn, void *arg,
                  uint64_t *foreign, struct err *err)
{
    struct walk w = {.lane = l, .fn = fn, .arg = arg, .full = full};
    int rc = s3_each_object(l, prefix, take_object, &w, err);
    if (rc == 0)
        rc = flush(&w, err);
    drop_groups(&w);
    if (foreign != NULL)
        *foreign = w.foreign;
    return rc;
}

/* ---- tier_list and the walks of s3.h ---- */

struct listing {
    tier_list_fn *fn;
    void *arg;
};

static int list_found(void *arg, const struct s3_found *found, struct err *err)
{
    struct listing *l = arg;
    if (!found->piece.complete)
        return 0;
    struct tier_entry e = s3_entry(&found->copy, found->piece.location);
    return l->fn(l->arg, &e, err);
}

int s3_list(void *self, tier_list_fn *fn, void *arg, struct err *err)
{
    struct s3_lane *l = self;
    struct listing listing = {fn, arg};
    return s3_each_found(l, l->s->key_prefix, true, list_found, &listing, NULL, err);
}

struct pieces {
    s3_piece_fn *fn;
    void *arg;
    bool complete_only;
};

static int piece_found(void *arg, const struct s3_found *found, struct err *err)
{
    struct pieces *p = arg;
    return p->complete_only && !found->piece.complete ? 0 : p->fn(p->arg, &found->piece, err);
}

DEFINE_CLEANUP(struct s3_lane *, s3_lane_free)
#define auto_lane __attribute__((cleanup(cleanup_s3_lane_free)))

int s3_tier_walk(struct s3_tier *s, s3_piece_fn *fn, void *arg, uint64_t *foreign, struct err *err)
{
    auto_lane struct s3_lane *l = s3_lane_new(s, store_name(s->store));
    struct pieces p = {fn, arg, false};
    return s3_each_found(l, s->key_prefix, false, piece_found, &p, foreign, err);
}

/* ---- copies of a label, newest first ---- */

struct by_age {
    struct s3_piece *list;
    size_t n;
};

static int keep_piece(void *arg, const struct s3_piece *piece, struct err *err)
{
    struct by_age *b = arg;
    struct tier_location *loc = xzalloc(sizeof(*loc));
    (void)err;
    tier_location_copy(loc, piece->location);
    b->list = xrealloc_array(b->list, b->n + 1, sizeof(b->list[0]));
    struct s3_piece *p = &b->list[b->n++];
    *p = *piece;
    p->label = xstrdup(piece->label);
    p->fs = xstrdup(piece->fs);
    p->location = loc;
    return 0;
}

static int newer_first(const void *a, const void *b)
{
    const struct s3_piece *x = a;
    const struct s3_piece *y = b;
    return (x->newest_ns < y->newest_ns) - (x->newest_ns > y->newest_ns);
}

static void by_age_fini(struct by_age *b)
{
    for (size_t i = 0; i < b->n; i++) {
        struct tier_location *loc = (struct tier_location *)(uintptr_t)b->list[i].location;
        tier_location_fini(loc);
        free(loc);
        free((void *)(uintptr_t)b->list[i].label);
        free((void *)(uintptr_t)b->list[i].fs);
    }
    free(b->list);
}

int s3_tier_find_label(struct s3_tier *s, const char *label, s3_piece_fn *fn, void *arg,
                       struct err *err)
{
    auto_lane struct s3_lane *l = s3_lane_new(s, store_name(s->store));
    auto_free char *prefix = xasprintf("%s%s.", s->key_prefix, label);
    __attribute__((cleanup(by_age_fini))) struct by_age b = {0};
    struct pieces p = {keep_piece, &b, true};
    int rc = s3_each_found(l, prefix, false, piece_found, &p, NULL, err);
    if (b.n > 1)
        qsort(b.list, b.n, sizeof(b.list[0]), newer_first);
    for (size_t i = 0; i < b.n && rc == 0; i++) {
        if (strcmp(b.list[i].label, label) == 0)
            rc = fn(arg, &b.list[i], err);
    }
    return rc;
}

/* ---- purge ---- */

struct purge {
    struct s3_lane *lane;
    bool closing; /* only what closes a copy, or only the others */
    uint64_t objects, bytes;
};

static int purge_object(void *arg, const struct s3_met *o, struct err *err)
{
    struct purge *p = arg;
    struct name name = {0};
    if (!parse_key(p->lane->s, o->key, &name) || (name.part != PART_CHUNK) != p->closing)
        return 0;
    int rc = store_delete(p->lane->s->store, o->bucket, o->key, &p->lane->cancel, err);
    if (rc < 0)
        return err_wrap(err, rc, "deleting %s/%s", o->bucket, o->key);
    p->objects++;
    p->bytes += o->size;
    return 0;
}

int s3_tier_purge(struct s3_tier *s, const struct uuid *id, const char *label, uint64_t *objects,
                  uint64_t *bytes, struct err *err)
{
    auto_lane struct s3_lane *l = s3_lane_new(s, store_name(s->store));
    auto_free char *stem = s3_key_stem(s, id, label);
    struct purge p = {.lane = l, .closing = true};
    int rc = s3_each_object(l, stem, purge_object, &p, err);
    p.closing = false;
    if (rc == 0)
        rc = s3_each_object(l, stem, purge_object, &p, err);
    if (objects != NULL)
        *objects = p.objects;
    if (bytes != NULL)
        *bytes = p.bytes;
    return rc;
}
