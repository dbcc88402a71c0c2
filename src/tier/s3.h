/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The S3 kind of tier: copies as chunks in buckets, doc/design/tier-s3.md. A struct s3_tier is what
 * all its lanes share: the store, the workers that encode, send, fetch and decode chunks, and the
 * memory for them, which is bounded by buffers x chunk_size whatever is going on. Each lane is a
 * struct tier of its own, used by one thread at a time; lanes of one s3_tier work in parallel, and
 * a single large file uses all workers.
 */
#ifndef TIER_S3_H
#define TIER_S3_H

#include "base/err.h"
#include "base/uuid.h"
#include "codec/chunk.h"
#include "store/store.h"
#include "tier/tier.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct s3_tier;

enum s3_verify {
    S3_VERIFY_AUTO,     /* the store's proof, else reading back */
    S3_VERIFY_CHECKSUM, /* the store's proof, else the copy fails */
    S3_VERIFY_READ,     /* always reading back */
};

/* All strings are borrowed for s3_tier_open. */
struct s3_tier_config {
    struct store_config store;
    const char *bucket_prefix;
    unsigned bucket_count;        /* 0, 1: bucket_prefix itself */
    const char *bucket_separator; /* "_" or "-" */
    const char *key_prefix;
    uint64_t chunk_size; /* bytes */
    unsigned buffers;    /* buffers x chunk_size is the bound on memory */
    enum chunk_codec codec;
    int level;
    enum s3_verify verify;
    const char *key_file; /* "" no encryption */
    const char *key_id;   /* "" the newest */
    bool create_buckets;
    unsigned workers;   /* threads for chunks; 0: by processors and connections */
    uint64_t pack_size; /* bytes of a pack (s3_pack.h), at most S3_PACK_MAX; 0: no packs */
    uint64_t pack_file; /* files of up to so many bytes go into packs */
};

#define S3_PACK_MAX (512UL << 20)

/* Opens the store and its buckets (all that new objects may go to are looked for; a missing one is
 * made, or the error names it). Returns 0 with *out, or a negative code with err. */
int s3_tier_open(const struct s3_tier_config *config, struct s3_tier **out, struct err *err);

/* Ends s; its lanes must be freed before. NULL is allowed. */
void s3_tier_close(struct s3_tier *s);

/* A lane of s: kind "s3", named name in texts. Never NULL. */
struct tier *s3_tier_lane(struct s3_tier *s, const char *name);

/*
 * Writes every pack that holds copies, of whatever lane, so that all that were put before are
 * durable; tier_sync of any lane is the same. Returns 0 or a negative code: then none of the copies
 * put since the last success may be trusted, but what could not be written is kept and tried again
 * by the next call. Any thread.
 */
int s3_tier_flush(struct s3_tier *s, struct err *err);

/* The store under s, borrowed. */
struct store *s3_tier_store(struct s3_tier *s);

/* Bytes of memory for data: in use now, most ever, bound. */
void s3_tier_memory(struct s3_tier *s, uint64_t *used, uint64_t *peak, uint64_t *bound);

/* All objects of one archive id that lie in the buckets of s, complete or not. */
struct s3_piece {
    struct uuid id;
    const char *label; /* tier_object.label, or "" */
    bool complete;     /* a copy: its manifest or sole object is there, and all its chunks */
    bool damaged;   /* not complete although a manifest is there: a copy that is hurt or cannot be
                       read now, not the rest of a put that failed */
    const char *fs; /* of a complete copy, or of any object of it; "" unknown */
    uint64_t objects;
    uint64_t bytes;                       /* as stored */
    int64_t newest_ns;                    /* Last-Modified of its newest object */
    const struct tier_location *location; /* of a complete copy, else NULL */
    uint64_t
        members; /* 0: it has objects of its own. Else it lies in a pack of so many copies, the
                    object location->key: objects is 0, and only s3_tier_drop_pack deletes it */
};

/* Takes a piece; a value other than 0 ends the walk and is returned. Borrowed for the call. */
typedef int s3_piece_fn(void *arg, const struct s3_piece *piece, struct err *err);

/* Walks all buckets (those of older settings too, as far as they are named in copies or match the
 * prefix) and groups their objects by archive id; keys that are not of firn are passed over and
 * counted in *foreign (may be NULL). Returns 0, what fn returned, or a negative code. */
int s3_tier_walk(struct s3_tier *s, s3_piece_fn *fn, void *arg, uint64_t *foreign, struct err *err);

/* Deletes all objects of archive id that s3_tier_walk would give, what closes it first. *objects
 * and *bytes (may be NULL) get what was deleted. Returns 0 or a negative code. */
int s3_tier_purge(struct s3_tier *s, const struct uuid *id, const char *label, uint64_t *objects,
                  uint64_t *bytes, struct err *err);

/* Deletes a pack ("BUCKET/KEY", the key of its members' locations) with all copies in it. *bytes
 * (may be NULL) gets its size. Returns 0 (also when it is gone already), -EINVAL for the key of
 * something else, or a negative code. */
int s3_tier_drop_pack(struct s3_tier *s, const char *key, uint64_t *bytes, struct err *err);

/* Complete copies of label, newest first as told by their objects: for removes whose index is lost.
 * Returns 0, what fn returned, or a negative code. */
int s3_tier_find_label(struct s3_tier *s, const char *label, s3_piece_fn *fn, void *arg,
                       struct err *err);

/* ---- archives of others -------------------------------------------------------------------- */

/* Location keys that begin so are of archives that lustre-s3-copytool wrote: "legacy:" and the FID
 * as in its object names (16, 8 and 8 hex digits with '_' between). A lane reads (get, stat, show)
 * and removes them. */
#define S3_LEGACY_PREFIX "legacy:"

/* Location keys of plain objects, as FSx for Lustre and rclone make them: "plain:BUCKET/KEY". A
 * lane reads them; their metadata file-owner, file-group, file-permissions, file-mtime are shown.
 */
#define S3_PLAIN_PREFIX "plain:"

#endif
