/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which copies there are of a FID, and which of them are garbage since when: rows of the catalogue
 * (catalog/catalog.h), which knows nothing of FIDs. An index: files and copies say the same, and it
 * can be rebuilt from them. A FID stands as (file system, inode, generation) = (UUID made of name
 * and instance, sequence, object id). Any thread; changes are durable when a call returns, and
 * those of many callers share a transaction.
 */
#ifndef LUSTRE_INDEX_H
#define LUSTRE_INDEX_H

#include "base/err.h"
#include "base/uuid.h"
#include "catalog/catalog.h"
#include "lustre/abi.h"
#include "tier/tier.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct index;

/* Outcome: no such row. */
#define INDEX_ABSENT 1

/* A copy. Strings of lists belong to the list; those given are borrowed for the call. */
struct index_copy {
    struct uuid id;
    struct lu_fid fid;
    const char *kind; /* of its tier */
    const char *key;  /* tier_location.key; the numbers of it that the s3 kind gives follow */
    uint64_t block, last_block;
    const char *path; /* a name when it was archived, or "" */
    uint64_t size;
    int64_t mtime_ns;
    bool has_digest;    /* XXH3-128 of the data; archives of others have none */
    uint8_t digest[16]; /* canonical form */
    int64_t garbage_ns; /* since when it is garbage; 0: it is not */
    int64_t created_ns; /* set when 0 */
};

struct index_copies {
    struct index_copy *v;
    size_t n;
    char **strings; /* owned: kind, key, path of each */
};

/* Opens (or makes) the index in directory dir for file system fsname.instance. Returns 0 with *out,
 * or a negative code with err: -EBUSY when another process has it. */
int index_open(const char *dir, const char *fsname, const char *instance, struct index **out,
               struct err *err);

/* Ends ix; NULL is allowed. */
void index_close(struct index *ix);

/* Adds n copies, or replaces what is known of them, in one transaction. Returns 0 or a negative
 * code. */
int index_put(struct index *ix, const struct index_copy *v, size_t n, struct err *err);

/* Told by some thread, once, that a row is on the disk, or (not written) that it never will be. */
typedef void index_done_fn(void *arg, bool written);

/*
 * Adds a copy within some ms, in one transaction with others that come meanwhile, then calls done
 * with arg. Every other call here knows it at once. A write that fails is told in the log and tried
 * again each second, until index_end_late.
 */
void index_put_late(struct index *ix, const struct index_copy *v, index_done_fn *done, void *arg);

/* Whether rows put late can be written, as far as is known: 0 or a negative code. Before something
 * is done that needs one. */
int index_check(struct index *ix, struct err *err);

/* Waits until all that was put late is written and done was called for it; when that fails once
 * more it is given up: done is called, and who asked keeps his own record. Nobody puts meanwhile.
 * Returns 0 or a negative code. */
int index_end_late(struct index *ix, struct err *err);

/* The copy with this id (a list of one). Returns 0, INDEX_ABSENT, or a negative code. */
int index_get(struct index *ix, const struct uuid *id, struct index_copies *out, struct err *err);

/* All copies of fid, newest first, garbage too. Returns 0, INDEX_ABSENT, or a negative code. */
int index_of_fid(struct index *ix, const struct lu_fid *fid, struct index_copies *out,
                 struct err *err);

/* Copies of the file system behind *after (zero to begin), about max, all of a sequence together;
 * *after moves on. An empty list is the end. Returns 0 or a negative code. */
int index_page(struct index *ix, uint64_t *after, size_t max, struct index_copies *out,
               struct err *err);

/* Copies that are garbage since before_ns or earlier, at most max behind *pos (zero to begin),
 * oldest first; *pos moves on. An empty list is the end. Returns 0 or a negative code. */
int index_garbage(struct index *ix, struct catalog_copy_pos *pos, int64_t before_ns, size_t max,
                  struct index_copies *out, struct err *err);

/* Forgets n copies. Returns 0 or a negative code. */
int index_forget(struct index *ix, const struct uuid *ids, size_t n, struct err *err);

/* Frees l; it is empty afterwards. */
void index_copies_fini(struct index_copies *l);

static inline void cleanup_index(struct index **ix)
{
    index_close(*ix);
}
#define auto_index        __attribute__((cleanup(cleanup_index)))
#define auto_index_copies __attribute__((cleanup(index_copies_fini)))

#endif
