/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tier: a place that keeps copies of files. The engine stores, fetches and checks copies only
 * through these functions; kinds (tape, dir, null) and layers (fault) fill in struct tier_ops. A
 * new kind is one file and one constructor. A struct tier is used by one thread at a time: the
 * thread that owns the drive, or whoever opened it.
 *
 * A copy is named by its archive id and found by its location, which the put returns and the
 * catalogue keeps. Only tier_sync makes copies durable: before it has returned 0 every copy put
 * since the last one may be lost.
 */
#ifndef TIER_TIER_H
#define TIER_TIER_H

#include "base/err.h"
#include "base/uuid.h"
#include "codec/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tier;

/* Named outcomes (positive returns). */
enum {
    TIER_FULL = 1,   /* no room for this object; nothing of it is kept */
    TIER_ABSENT = 2, /* no copy with this id at this location */
};

/* An extended attribute of a copy. The key is the tier's ("ltfs.hash.sha256sum", "noobaa.tag.x"):
 * without the "user." of Linux. */
struct tier_xattr {
    const char *key;   /* borrowed */
    const void *value; /* borrowed, len bytes, may hold any byte */
    size_t len;
};

/* A file version that is to be stored. All pointers are borrowed for the put. */
struct tier_object {
    struct uuid id;   /* archive id */
    const char *fs;   /* name of the file system, one path component */
    const char *path; /* relative to the file system's root, no leading slash, no ".." */
    uint64_t size;    /* bytes, holes included */
    int64_t mtime_ns;
    const struct tier_xattr *xattrs;
    size_t nxattrs;
    /* What the file was besides its data; kinds that have no place for it leave it. */
    int64_t atime_ns;
    uint32_t uid, gid, mode; /* mode as in struct stat; 0: not known */
    const char *label; /* a group of copies that can be found again without a catalogue ("lustre/
                          fs.instance/FID"), components as in path; NULL: none */
};

/* Where a copy is. key is the kind's own text (tape: the path on the volume); the numbers serve to
 * order reads and are 0 where they mean nothing. */
struct tier_location {
    char *key;           /* owned */
    uint32_t partition;  /* tape: 0 index, 1 data partition */
    uint64_t block;      /* tape: first block */
    uint64_t last_block; /* tape: last block */
    uint32_t byteoffset; /* tape: first byte in the first block (packed files) */
};

/* A copy as a tier lists it. Pointers are borrowed for the call. */
struct tier_entry {
    struct uuid id;
    const char *fs; /* "" when the tier does not know */
    const char *path;
    uint64_t size;
    int64_t mtime_ns;
    const struct tier_location *location;
    const char *hash; /* "sha256:<hex>" as stored beside the copy, or NULL */
    /* Only where the kind keeps them (tier_show gives all, tier_list may leave xattrs out): */
    int64_t atime_ns;
    uint32_t uid, gid, mode; /* mode 0: not known */
    const char *label;       /* or NULL */
    const struct tier_xattr *xattrs;
    size_t nxattrs;
};

/* A digest that a copy should have. */
struct tier_digest {
    enum digest_alg alg;
    uint8_t value[DIGEST_MAX];
};

/* Takes n bytes of a copy at offset off; offsets rise, what is never given is a hole. Returns 0, or
 * a negative code that ends the get and is passed on. */
typedef int tier_sink_fn(void *arg, uint64_t off, const void *data, size_t n, struct err *err);

/* Takes one listed copy. Returns 0, or a negative code that ends the list and is passed on. */
typedef int tier_list_fn(void *arg, const struct tier_entry *entry, struct err *err);

/* What a kind can do. */
enum {
    TIER_CAN_GET = 1,
    TIER_CAN_REMOVE = 2,
    TIER_CAN_LIST = 4,
    TIER_ORDERED = 8, /* reads are cheapest in the order of tape/order.h */
    TIER_CAN_SHOW = 16,
};

/* What a kind fills in; called only by the functions below, which check arguments and count.
 * Meanings as of the functions of the same name. Every member is set unless it says otherwise. */
struct tier_ops {
    const char *kind;
    unsigned caps;
    int (*put_begin)(void *self, const struct tier_object *o, struct err *err);
    int (*put_write)(void *self, uint64_t off, const void *data, size_t n, struct err *err);
    int (*put_end)(void *self, const struct tier_xattr *more, size_t nmore,
                   struct tier_location *loc, struct err *err);
    void (*put_abort)(void *self);
    int (*sync)(void *self, struct err *err);
    int (*stat)(void *self, const struct uuid *id, const struct tier_location *loc, uint64_t *size,
                struct err *err);
    int (*get)(void *self, const struct uuid *id, const struct tier_location *loc, void *buf,
               size_t cap, tier_sink_fn *sink, void *arg, struct err *err);
    int (*remove)(void *self, const struct uuid *id, const struct tier_location *loc,
                  struct err *err);
    int (*list)(void *self, tier_list_fn *fn, void *arg, struct err *err);
    int (*show)(void *self, const struct uuid *id, const struct tier_location *loc,
                tier_list_fn *fn, void *arg, struct err *err); /* NULL without TIER_CAN_SHOW */
    void (*cancel)(void *self, bool on); /* any thread; NULL: an operation runs to its end */
    void (*free)(void *self);
};

/* How much went through a tier. */
struct tier_counts {
    uint64_t puts, gets, removes, syncs, errors;
    uint64_t bytes_in, bytes_out;
};

/* A tier of ops over self, which it owns from now on; name (copied) stands in error texts. For
 * kinds and layers only. Never NULL. */
struct tier *tier_new(const struct tier_ops *ops, void *self, const char *name);

/* Ends t: an open put is aborted, nothing is synced. NULL is allowed. */
void tier_free(struct tier *t);

/* The kind's name ("tape"), the tier's name, its capabilities and counts; borrowed. */
const char *tier_kind(const struct tier *t);
const char *tier_name(const struct tier *t);
unsigned tier_caps(const struct tier *t);
const struct tier_counts *tier_counts(const struct tier *t);

/*
 * Begins to store o. One put at a time: tier_put_write with rising, not overlapping offsets, then
 * tier_put_end or tier_put_abort. Returns 0, TIER_FULL (nothing begun), or a negative code with
 * err.
 */
int tier_put_begin(struct tier *t, const struct tier_object *o, struct err *err);

/* Adds n bytes at offset off. Returns 0; TIER_FULL or a negative code end the put: call
 * tier_put_abort. -EINVAL for falling offsets or bytes beyond the announced size. */
int tier_put_write(struct tier *t, uint64_t off, const void *data, size_t n, struct err *err);

/*
 * Ends the put with nmore further attributes (digests known only now). Returns 0 with *loc filled
 * (end it with tier_location_fini), TIER_FULL or a negative code; the put is over in each case.
 */
int tier_put_end(struct tier *t, const struct tier_xattr *more, size_t nmore,
                 struct tier_location *loc, struct err *err);

/* Drops the open put, if there is one. What was written becomes garbage. */
void tier_put_abort(struct tier *t);

/* Makes all copies put so far durable (tape: writes both indexes). Returns 0 or a negative code;
 * after a failure no copy since the last success may be trusted. */
int tier_sync(struct tier *t, struct err *err);

/*
 * Checks that the copy is there, carries this id, and, with want, that its data has that digest (by
 * reading all of it). *size (may be NULL) gets its length. Returns 0, TIER_ABSENT, -EBADMSG for a
 * wrong digest, or another negative code.
 */
int tier_verify(struct tier *t, const struct uuid *id, const struct tier_location *loc,
                const struct tier_digest *want, uint64_t *size, struct err *err);

/* Gives the data of a copy to sink, through buf of cap (> 0) bytes, the caller's. Returns 0,
 * TIER_ABSENT (also when another id lies there), or a negative code; err names the place on the
 * medium. */
int tier_get(struct tier *t, const struct uuid *id, const struct tier_location *loc, void *buf,
             size_t cap, tier_sink_fn *sink, void *arg, struct err *err);

/* Forgets a copy. Returns 0, TIER_ABSENT, or a negative code. Durable after tier_sync. */
int tier_remove(struct tier *t, const struct uuid *id, const struct tier_location *loc,
                struct err *err);

/* Calls fn for each copy, in no order. Returns 0, or the first negative code. */
int tier_list(struct tier *t, tier_list_fn *fn, void *arg, struct err *err);

/* Calls fn once with all that the tier keeps beside this copy's data. Returns 0, TIER_ABSENT, what
 * fn returned, -ENOTSUP without TIER_CAN_SHOW, or another negative code. */
int tier_show(struct tier *t, const struct uuid *id, const struct tier_location *loc,
              tier_list_fn *fn, void *arg, struct err *err);

/* The one function that other threads may call: with on, the operation under way on t and all that
 * follow end with -ECANCELED at once, where the kind can (else with the next call of tier_put_write
 * or of a sink), until it is called with on false. */
void tier_cancel(struct tier *t, bool on);

/* Frees what loc owns; loc is empty afterwards. */
void tier_location_fini(struct tier_location *loc);

/* A deep copy of src into *dst (end it with tier_location_fini). */
void tier_location_copy(struct tier_location *dst, const struct tier_location *src);

/* ---- kinds and layers -------------------------------------------------------------------- */

/*
 * A plain directory (made when absent): <first two hex digits of id>/<id>, beside it <id>.json with
 * fs, path, size, mtime and attributes. A copy exists once its .json does. Returns 0 with *out, or
 * a negative code with err.
 */
int tier_dir_open(const char *path, struct tier **out, struct err *err);

/*
 * The archive of lhsmtool_posix in directory root (which must be there), one file for each, byte by
 * byte. format "v2": <4 hex digits of oid xor seq>/<FID>; "v1": six such directories. The FID is
 * the last component of tier_object.label ("0x..:0x..:0x.."); a copy without one is -EINVAL. An
 * attribute "firn.lustre.layout" becomes <FID>.lov; owner, mode and times are those of the file. A
 * new copy of a FID replaces the former; user.firn.archive on the file tells whose id it has, and a
 * file without it, as lhsmtool_posix writes them, answers to any. Returns 0 with *out, -EINVAL for
 * another format, -ENOTSUP when root's file system keeps no user attributes, or a negative code.
 */
int tier_posix_open(const char *root, const char *format, struct tier **out, struct err *err);

/* Takes everything and keeps nothing; a get is -ENODATA. For measuring the rest. Never NULL. */
struct tier *tier_null_open(void);

struct ltfs_volume;

/* Room for a tape entry's names of attributes that the tape tier itself writes. They stand in the
 * index, so a foreign reader sees user.firn.archive and so on. */
#define TIER_XATTR_ARCHIVE "firn.archive" /* archive id, text form */
#define TIER_XATTR_FS      "firn.fs"      /* name of the file system */
#define TIER_XATTR_PATH    "firn.path"    /* path in it when it was archived */

/*
 * A mounted LTFS volume (borrowed; it must outlive the tier). A copy lies at /<fs>/<path>; when
 * another archive has that name there, at /<fs>/<path>.~<8 hex digits of the id>~, and when even
 * that cannot be (a component of the path is a file there) at /<fs>/.firn/<id>. name (copied)
 * stands in error texts: the barcode. Never NULL.
 */
struct tier *tier_tape_open(struct ltfs_volume *v, const char *name);

/*
 * A layer over inner (owned from now on) that fails on demand: spec is "op:n:error" with op one of
 * put_begin put_write put_end sync stat get remove list show, n the count of the call that fails (1
 * is the first; 0 every call), error one of EIO ENOSPC EBADMSG ETIMEDOUT full absent. Several specs
 * are separated by commas. Returns 0 with *out, or -EINVAL with err naming the word (inner is then
 * still the caller's).
 */
int tier_fault_open(struct tier *inner, const char *spec, struct tier **out, struct err *err);

static inline void cleanup_tier(struct tier **t)
{
    tier_free(*t);
}
#define auto_tier          __attribute__((cleanup(cleanup_tier)))
#define auto_tier_location __attribute__((cleanup(tier_location_fini), unused))

#endif
