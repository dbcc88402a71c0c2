/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the s3 kind: what its files share. A struct s3_tier and its pool are used by all lanes and
 * workers at once; a struct s3_lane by its thread, but for what its lock guards; a struct s3_copy
 * by whoever made it.
 */
#ifndef TIER_S3_IMPL_H
#define TIER_S3_IMPL_H

#include "base/membudget.h"
#include "tier/s3.h"

#include <pthread.h>

#define S3_FORMAT       "1"
#define S3_OWN          "firn"        /* the metadata that hold all that is ours */
#define S3_MANIFEST     "manifest"    /* last component of a manifest's key */
#define S3_SOLE         ".sole"       /* end of a sole object's key */
#define S3_MANIFEST_MAX (256UL << 20) /* bytes of one */
#define S3_EXTENTS_MAX  8192 /* of one chunk; smaller holes are stored as zeros from there */
#define S3_XXH3         16

/* ---- copies ---- */

struct s3_extent {
    uint64_t off, len; /* in the file */
};

/* A chunk: a run of extents of the file, put together, encoded, as one object. */
struct s3_chunk {
    uint64_t n; /* it covers [n * chunk_size, (n + 1) * chunk_size) */
    char *bucket, *key;
    uint64_t at; /* where its bytes begin in the object */
    bool part;   /* they are not all of it: a member of a pack */
    struct chunk_info info;
    uint8_t stored_xxh3[S3_XXH3]; /* of the bytes as stored */
    bool has_stored_xxh3;
    struct s3_extent *extents;
    size_t nextents;
};

enum s3_source { S3_SOURCE_OWN, S3_SOURCE_LEGACY, S3_SOURCE_PLAIN };

/* A copy: what its manifest or sole object says, or will say. All pointers are owned. */
struct s3_copy {
    enum s3_source source;
    struct uuid id;
    char *fs, *path, *label; /* label: NULL when there is none */
    bool path_cut;           /* path is only the beginning (metadata of a manifest or chunk) */
    bool sole;               /* closed by its only object */
    char *hash;              /* "sha256:<hex>", or NULL */
    uint64_t size;
    int64_t mtime_ns, atime_ns;
    uint32_t uid, gid, mode;
    uint64_t chunk_size;
    struct tier_xattr *xattrs;
    size_t nxattrs;
    struct s3_chunk **chunks;
    size_t nchunks;
    uint64_t objects, bytes; /* of its chunks, as a manifest's metadata tell */
    char *etag;              /* plain objects: what every range must show */
};

/* Frees what c owns and zeroes it. */
void s3_copy_fini(struct s3_copy *c);
#define auto_s3_copy __attribute__((cleanup(s3_copy_fini)))

/* Frees a chunk and what it owns; NULL is allowed. */
void s3_chunk_free(struct s3_chunk *ch);

/* Appends ch (owned from now on) to the copy's chunks. */
void s3_copy_add_chunk(struct s3_copy *c, struct s3_chunk *ch);

/* Appends an attribute (copied); a later one of the same key replaces the former. Sets c->hash from
 * attributes "ltfs.hash.<alg>sum". */
void s3_copy_add_xattr(struct s3_copy *c, const char *key, const void *value, size_t len);

/* Adds n bytes at off to the chunk's extents, joined with the last one where they touch. */
void s3_chunk_add_extent(struct s3_chunk *ch, uint64_t off, uint64_t len);

/* Whether sizes, numbers and extents of a copy fit together. Returns 0, or -EBADMSG with err. */
int s3_copy_check(const struct s3_copy *c, struct err *err);

/* The number of chunks of a file of size bytes, holes counted. */
uint64_t s3_chunk_count(uint64_t size, uint64_t chunk_size);

/* ---- metadata (s3_meta.c) and manifest (s3_manifest.c) ---- */

#define S3_FIELDS_MAX 6 /* ours, and what FSx for Lustre calls file-* */

/* User metadata to be sent; list points into it, so it stays where it is. */
struct s3_fields {
    struct store_field list[S3_FIELDS_MAX]; /* the first is ours */
    size_t n;
    size_t bytes; /* names with "x-amz-meta-", and values */
    size_t nown;  /* bytes in own */
    char own[STORE_META_MAX];
    char posix[S3_FIELDS_MAX - 1][24]; /* a 64-bit number and "ns" */
};

/* The metadata of a chunk object, path and tags as far as they fit. What *f held is gone. */
void s3_meta_chunk(const struct s3_copy *c, const struct s3_chunk *ch, struct s3_fields *f);

/* The metadata of a sole object, which must hold everything. Returns whether it fits. */
bool s3_meta_sole(const struct s3_copy *c, const struct s3_chunk *ch, struct s3_fields *f);

/* The metadata of the manifest of body's n bytes, path as far as it fits. */
void s3_meta_manifest(const struct s3_copy *c, const char *body, size_t n, struct s3_fields *f);

/* What our metadata of an object say: names and values, as they stand there. */
#define S3_OWN_MAX 32
struct s3_own {
    char *text; /* owned; the list points into it */
    struct store_field list[S3_OWN_MAX];
    size_t n;
};

/* Reads them. Returns 0, or -EBADMSG with err (none, of a newer version, or no such list); end *o
 * with s3_own_fini in each case. */
int s3_own_parse(const struct store_reply *r, struct s3_own *o, struct err *err);

/* Frees what o owns. */
void s3_own_fini(struct s3_own *o);
#define auto_s3_own __attribute__((cleanup(s3_own_fini)))

/* The value of name, borrowed, or NULL. */
const char *s3_own_get(const struct s3_own *o, const char *name);

/* Reads the metadata of any object of ours into *c (zeroed by the caller; end it with s3_copy_fini
 * in each case). A sole object gives its chunk too, at bucket and key. Returns 0, or -EBADMSG with
 * err (the metadata are not ours, or not whole). */
int s3_meta_read(const struct store_reply *r, const char *bucket, const char *key,
                 struct s3_copy *c, struct err *err);

/* The manifest of c as text; the caller frees. Never NULL. */
char *s3_manifest_write(const struct s3_copy *c);

/* Reads a manifest of n bytes into *c (zeroed; end it with s3_copy_fini in each case). Returns 0,
 * or -EBADMSG with err. */
int s3_manifest_read(const char *text, size_t n, struct s3_copy *c, struct err *err);

/* Percent-encodes s (RFC 3986; '/' and what URLs keep stay); the caller frees. */
char *s3_pct_encode(const char *s);

/* Undoes it; NULL when s is no such text or holds a NUL. The caller frees. */
char *s3_pct_decode(const char *s);

/* "off+len,off+len" of the chunk's extents, "-" for none; the caller frees. */
char *s3_extents_text(const struct s3_chunk *ch);
/* Reads it. Returns 0, or -EINVAL. */
int s3_extents_parse(const char *text, struct s3_chunk *ch);

/* ---- the pool of workers (s3_pool.c) ---- */

/* What one thread needs to encode and decode. */
struct s3_worker {
    struct s3_tier *tier;
    struct chunk_coder *coder;
    uint8_t *scratch; /* S3_SCRATCH bytes for reading back, on first use */
};

#define S3_SCRATCH (256UL << 10)

/* Begins and ends what w holds. */
void s3_worker_init(struct s3_worker *w, struct s3_tier *s);
void s3_worker_fini(struct s3_worker *w);

struct s3_job {
    void (*run)(struct s3_job *job, struct s3_worker *w);
    struct s3_job *next;
};

struct s3_pool;

/* n (> 0) threads that run jobs in their order. Returns 0 with *out, or a negative code. */
int s3_pool_new(struct s3_tier *s, unsigned n, struct s3_pool **out, struct err *err);

/* Runs what is queued, and ends the threads. NULL is allowed. */
void s3_pool_free(struct s3_pool *p);

/* Queues a job; its owner keeps it until it has run. */
void s3_pool_submit(struct s3_pool *p, struct s3_job *job);

/* Threads in the pool. */
unsigned s3_pool_size(const struct s3_pool *p);

/* ---- the tier ---- */

struct s3_tier {
    struct store *store;
    char **buckets; /* for new objects */
    unsigned nbuckets;
    char *bucket_prefix, *bucket_separator;
    char *key_prefix; /* "" or ending in '/' */
    uint64_t chunk_size;
    enum chunk_codec codec;
    int level;
    enum s3_verify verify;
    struct chunk_keys *keys; /* NULL: no encryption */
    char *key_id;            /* NULL: chunks are not encrypted */
    struct membudget *memory;
    struct s3_pool *pool;
    _Atomic bool proves; /* the store has proven what it holds at least once */
    pthread_mutex_t sweep_lock;
    pthread_cond_t swept;
    struct s3_packs *packs;  /* NULL: none are made */
    struct s3_sweep *sweeps; /* puts that failed and whose objects are being deleted */
};

/* The bucket that the object n of id goes to; n NULL for the manifest. Borrowed. */
const char *s3_bucket_for(const struct s3_tier *s, const struct uuid *id, const uint64_t *n);

/* "[key_prefix][label.]<uuid>": what the keys of a copy begin with; the caller frees. */
char *s3_key_stem(const struct s3_tier *s, const struct uuid *id, const char *label);

/* "BUCKET/KEY" in two; *key points into text behind the slash, the caller frees *bucket. Returns 0,
 * or -EINVAL with err. */
int s3_split_location(const char *text, char **bucket, const char **key, struct err *err);

/* ---- lanes ---- */

/* The chunk that a put is filling. */
struct s3_filling {
    struct s3_chunk *chunk; /* NULL: none */
    struct memblock mem[2]; /* plain, encoded */
    size_t fill;            /* bytes in mem[0] */
};

struct s3_lane {
    struct s3_tier *s;
    char *name;
    struct s3_worker worker; /* for what the lane does itself */
    struct store_cancel cancel;
    _Atomic bool user_cancel; /* tier_cancel is on */
    pthread_mutex_t lock;     /* guards pending, failed, err and the jobs' results */
    pthread_cond_t moved;
    unsigned pending; /* jobs in the pool */
    int failed;
    struct err err;
    /* the open put */
    struct s3_copy copy;
    struct s3_filling filling;
    char *closing_bucket, *closing_key; /* written, or tried to be */
};

/* A lane by itself; never NULL. Free with s3_lane_free. */
struct s3_lane *s3_lane_new(struct s3_tier *s, const char *name);
void s3_lane_free(void *lane);

/* The operations of a lane, one file each; meanings as in struct tier_ops. */
int s3_put_begin(void *self, const struct tier_object *o, struct err *err);
int s3_put_write(void *self, uint64_t off, const void *data, size_t n, struct err *err);
int s3_put_end(void *self, const struct tier_xattr *more, size_t nmore, struct tier_location *loc,
               struct err *err);
void s3_put_abort(void *self);
int s3_get(void *self, const struct uuid *id, const struct tier_location *loc, void *buf,
           size_t cap, tier_sink_fn *sink, void *arg, struct err *err);
int s3_stat(void *self, const struct uuid *id, const struct tier_location *loc, uint64_t *size,
            struct err *err);
int s3_remove(void *self, const struct uuid *id, const struct tier_location *loc, struct err *err);
int s3_list(void *self, tier_list_fn *fn, void *arg, struct err *err);
int s3_show(void *self, const struct uuid *id, const struct tier_location *loc, tier_list_fn *fn,
            void *arg, struct err *err);

/* Whether the lane's operation is to end; err gets the text. Returns 0 or -ECANCELED. */
int s3_lane_stopped(struct s3_lane *l, struct err *err);

/* Ends all transfers of the lane and waits until no job of it runs; the lane works on afterwards.
 */
void s3_lane_stop_jobs(struct s3_lane *l);

/* ---- objects ---- */

#define S3_AAD_MAX (UUID_TEXT + 21)

/* What binds an encrypted chunk to its place, "<uuid>/<n>", into out[S3_AAD_MAX]; returns its
 * length. */
size_t s3_aad(const struct uuid *id, uint64_t n, char *out);

/* Writes an object and makes sure, as the tier's verify says, that the store holds these bytes.
 * spare: room for reading them back, may be smaller or NULL. Returns 0 or a negative code. */
int s3_send_object(struct s3_worker *w, const struct store_put *put, void *spare, size_t nspare,
                   struct store_cancel *cancel, struct err *err);

/* Encodes the fill bytes of f as its chunk; *stored points to them inside f's memory. Returns 0 or
 * a negative code. */
int s3_encode_chunk(struct s3_worker *w, const struct s3_copy *c, struct s3_filling *f,
                    const void **stored, struct err *err);

/* Encodes the fill bytes of f and sends them as its chunk; memory is given back. closing: as the
 * sole object of c if its metadata fit, whose name the chunk gets then. Returns 0 or a negative
 * code; *closed says whether it went as sole object. */
int s3_send_chunk(struct s3_worker *w, const struct s3_copy *c, struct s3_filling *f, bool closing,
                  struct store_cancel *cancel, bool *closed, struct err *err);

/* Named outcome of fetching: the object must be thawed first. */
#define S3_FROZEN 3

/* Fetches chunk ch of c and decodes it; mem: room for stored and plain bytes (s3_fetch_sizes).
 * *plain points to the data inside mem. Returns 0, S3_FROZEN, or a negative code: -EBADMSG with the
 * object's name when it is not what the copy says, however often it is fetched. */
int s3_fetch_chunk(struct s3_worker *w, const struct s3_copy *c, const struct s3_chunk *ch,
                   struct memblock mem[2], struct store_cancel *cancel, const void **plain,
                   struct err *err);

/* What fetching ch needs: sizes[0] for stored, sizes[1] for plain bytes. */
void s3_fetch_sizes(const struct s3_chunk *ch, size_t sizes[2]);

/* Reads what closes a copy: manifest or metadata of the sole object, or what an archive of others
 * has. Returns 0, TIER_ABSENT (also for another id), S3_FROZEN, or a negative code; end *c with
 * s3_copy_fini in each case. */
int s3_load(struct s3_lane *l, const struct uuid *id, const struct tier_location *loc,
            struct s3_copy *c, struct err *err);

/* As s3_load from metadata alone: chunks and attributes may be missing. */
int s3_load_head(struct s3_lane *l, const struct uuid *id, const struct tier_location *loc,
                 struct s3_copy *c, struct err *err);

/* Asks for the frozen objects of the chunks of c from the first-th on, and waits until they can be
 * read. Returns 0 or a negative code. */
int s3_thaw(struct s3_lane *l, const struct s3_copy *c, size_t first, struct err *err);

/* As s3_thaw for one object. */
int s3_thaw_object(struct s3_lane *l, const char *bucket, const char *key, struct err *err);

/* The entry that a copy shows; pointers are borrowed from c and loc. */
struct tier_entry s3_entry(const struct s3_copy *c, const struct tier_location *loc);

/* Hands the objects of a put that failed to the pool, to be deleted: closing object first. The
 * lane's copy is empty afterwards. */
void s3_sweep_put(struct s3_lane *l);

/* Waits until no failed put of this id is being swept, so that another try does not lose its
 * objects to it. Returns 0, or -ECANCELED when the lane is cancelled. */
int s3_sweep_wait(struct s3_lane *l, const struct uuid *id, struct err *err);

/* Lets sweeps go on for a few seconds, then ends all requests of s: a store that does not answer
 * holds nobody up. What was not swept stays as garbage. Before the pool is freed. */
void s3_sweep_end(struct s3_tier *s);

/* Deletes the chunks of c. Returns 0 or the first failure; the others are tried all the same. */
int s3_delete_chunks(struct s3_tier *s, const struct s3_copy *c, struct store_cancel *cancel,
                     struct err *err);

/* ---- walks (s3_cursor.c, s3_walk.c) ---- */

/* An object as a walk over several buckets meets it; borrowed until the next one. */
struct s3_met {
    const char *bucket;
    const char *key;
    uint64_t size;
    int64_t modified_ns;
};

/* Takes an object; a value other than 0 ends the walk and is returned. */
typedef int s3_met_fn(void *arg, const struct s3_met *o, struct err *err);

/* Gives the objects of all buckets of s (those of other bucket counts too, as far as they match the
 * prefix) whose keys begin with prefix, in the order of their keys over all buckets. Returns 0,
 * what fn returned, or a negative code. */
int s3_each_object(struct s3_lane *l, const char *prefix, s3_met_fn *fn, void *arg,
                   struct err *err);

/* A copy, or pieces of one, with what was read of it. */
struct s3_found {
    struct s3_piece piece;
    struct s3_copy copy;
};

/* Takes what was found; a value other than 0 ends the walk and is returned. */
typedef int s3_found_fn(void *arg, const struct s3_found *found, struct err *err);

/* As s3_tier_walk below prefix, with what the metadata say. full: a path that was cut there is read
 * from the manifest. */
int s3_each_found(struct s3_lane *l, const char *prefix, bool full, s3_found_fn *fn, void *arg,
                  uint64_t *foreign, struct err *err);

/* ---- archives of others ---- */

/* The bucket of an object of lustre-s3-copytool: by djb2 of its key. Borrowed. */
const char *s3_legacy_bucket(const struct s3_tier *s, const char *key);

/* Loads, fetches and removes as the functions above, for source LEGACY and PLAIN. */
int s3_legacy_load(struct s3_lane *l, const char *fid, struct s3_copy *c, struct err *err);
int s3_legacy_fetch(struct s3_worker *w, const struct s3_copy *c, const struct s3_chunk *ch,
                    struct memblock mem[2], struct store_cancel *cancel, const void **plain,
                    struct err *err);
int s3_legacy_remove(struct s3_lane *l, const char *fid, struct err *err);
int s3_plain_load(struct s3_lane *l, const char *where, struct s3_copy *c, struct err *err);
int s3_plain_fetch(struct s3_worker *w, const struct s3_copy *c, const struct s3_chunk *ch,
                   struct memblock mem[2], struct store_cancel *cancel, const void **plain,
                   struct err *err);

/* Reads file-owner, file-group, file-permissions, file-mtime and file-atime (FSx for Lustre) as far
 * as r has them. */
void s3_meta_posix(const struct store_reply *r, struct s3_copy *c);

#endif
