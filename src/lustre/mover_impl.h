/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the mover: what archive.c, restore.c, remove.c, collect.c and the admin_*.c share. A
 * struct mover is used by all workers at once, a struct mover_lane by one at a time.
 */
#ifndef LUSTRE_MOVER_IMPL_H
#define LUSTRE_MOVER_IMPL_H

#include "base/err.h"
#include "base/uuid.h"
#include "lustre/action.h"
#include "lustre/hint.h"
#include "lustre/index.h"
#include "lustre/llapi.h"
#include "lustre/mover.h"
#include "tier/s3.h"
#include "tier/tier.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEY_XATTR      "trusted.firn"       /* 36 characters: the archive id of the file's copy */
#define PLACE_XATTR    "trusted.firn.place" /* location key of a copy whose label is another's */
#define INSTANCE_XATTR "trusted.firn.instance" /* of the file system, on its root */
#define INSTANCE_CHARS 16
#define PLACE_MAX      4096
#define LANE_BUFFER    (1UL << 20)

struct mover {
    struct mover_config config;
    char instance[INSTANCE_CHARS + 1];
    struct index *index;
    struct s3_tier *s3;       /* NULL: each lane opens its own tier */
    pthread_mutex_t own_lock; /* guards own: settling and collecting; before no other lock */
    struct mover_lane *own;
    pthread_mutex_t rate_lock;
    int64_t rate_next_ns; /* when the next byte may go */
};

struct mover_lane {
    struct mover *m;
    struct tier *tier;
    void *buf; /* LANE_BUFFER bytes */
    struct digest *digest;
};

/* A copy that was found. */
struct copy {
    struct uuid id;
    struct tier_location loc;
    uint64_t size;
    int64_t mtime_ns;
    bool has_digest;
    uint8_t digest[16];
    bool indexed; /* a row of the index said so */
    bool placed;  /* of a file that was imported or got another FID */
};

/* Outcome: no copy is known. */
#define FIND_NONE 1

/* Frees what c owns. */
void copy_fini(struct copy *c);

/*
 * The copy that fid is to be restored from, or that is its newest: the one of want (not NULL; it
 * must be of this file), the one that the file's key names, the newest of the index, of the label,
 * an archive of lustre-s3-copytool. fd: the file, or -1 when it is gone. Returns 0 with *out
 * (copy_fini), FIND_NONE, or a negative code.
 */
int find_copy(struct mover_lane *l, const struct lu_fid *fid, int fd, const struct uuid *want,
              struct copy *out, struct err *err);

/* The copy called id that the tier itself says has label (NULL: any). Returns as find_copy. */
int find_in_tier(struct mover_lane *l, const char *label, const struct uuid *id, struct copy *out,
                 struct err *err);

/* Fills what c has not from the tier itself: size, digest. Returns 0, FIND_NONE, or negative. */
int find_facts(struct mover_lane *l, struct copy *c, struct err *err);

/* The archive of lustre-s3-copytool that fid has, or FIND_NONE; only of s3. */
int find_legacy(struct mover_lane *l, const struct lu_fid *fid, struct copy *out, struct err *err);

/* The id that an archive of others gets: made of its location key, always the same. */
struct uuid foreign_id(const char *key);

/* Whether key is of an archive that firn did not write. */
bool is_foreign(const char *key);

/* A row of the index for c, of fid. Borrows from c. */
struct index_copy copy_row(const struct mover_lane *l, const struct lu_fid *fid,
                           const struct copy *c);

/* Where the copy of a row is. Borrows from row. */
static inline struct tier_location row_location(const struct index_copy *row)
{
    return (struct tier_location){
        .key = (char *)(uintptr_t)row->key, .block = row->block, .last_block = row->last_block};
}

/* ---- files on Lustre (stub.c) --------------------------------------------------------------- */

/* Opens the file fid for its attributes; nothing is restored. Returns a descriptor, -ENOENT when
 * there is no such file, or another negative code. */
int stub_open(const struct mover *m, const struct lu_fid *fid, struct err *err);

/* Outcome of stub_key: there is none (or it is not told). */
#define STUB_NO_KEY 1

/* The archive id that fd's file names. Returns 0, STUB_NO_KEY, or a negative code. */
int stub_key(int fd, struct uuid *id, struct err *err);

/* Sets the key (id NULL: takes it away), and the place (NULL or "": takes it away, if it is there;
 * a file that never had one is not asked). Returns 0 or a negative code. */
int stub_set_key(int fd, const struct uuid *id, struct err *err);
int stub_set_place(int fd, const char *key, struct err *err);

/* The place of fd's file: owned, or NULL. */
char *stub_place(int fd);

/* HS_* states of fd's file; negative code on failure. */
int stub_state(const struct mover *m, int fd, struct hsm_user_state *st, struct err *err);

/* Owned text: all names of fid, each with a NUL behind; *n its bytes, *first the first of them or a
 * name made of the FID when it has none. */
char *stub_names(const struct mover *m, const struct lu_fid *fid, size_t *n, const char **first);

/* ---- for all flows (mover.c) ---------------------------------------------------------------- */

/* The errno that a failure is told to the coordinator with: specific, positive, at most 126. */
int end_errno(const struct action *a, int rc);

/* Lets n bytes pass under the configured bandwidth; comes back early when a is to stop. */
void throttle(struct mover *m, const struct action *a, uint64_t n);

/* The label of fid's copies here, into out (LABEL_MAX); returns out. */
char *mover_label(const struct mover *m, const struct lu_fid *fid, char *out);

/* Whether u is all zero: none; whether a and b are the same. */
bool uuid_is_zero(const struct uuid *u);
bool uuid_same(const struct uuid *a, const struct uuid *b);

/* ---- garbage (collect.c) -------------------------------------------------------------------- */

/* Notes that all copies of fid but keep (NULL: all) are garbage since now. Returns 0 or a negative
 * code. */
int garbage_others(struct mover *m, const struct lu_fid *fid, const struct uuid *keep,
                   struct err *err);

/* Deletes a copy that nothing ever needed (its archive was not taken), at once; failing that it is
 * noted as garbage. c is in the index or not. */
void discard_copy(struct mover_lane *l, const struct lu_fid *fid, const struct copy *c);

#define auto_copy __attribute__((cleanup(copy_fini)))

/* ---- tiers (place.c) ------------------------------------------------------------------------ */

/* Opens what all lanes of m share. Returns 0 or a negative code. */
int place_open(struct mover *m, struct err *err);
void place_close(struct mover *m);

/* A tier for one lane. Returns 0 or a negative code. */
int place_lane(struct mover *m, struct tier **out, struct err *err);

/* The label that a copy of fid gets in this tier, into out (LABEL_MAX); returns out. The posix kind
 * knows files by the FID's own text. */
char *place_label(const struct mover *m, const struct lu_fid *fid, char *out);

/* Where the posix kind keeps fid, in its v2 or v1 form: owned; NULL with another kind. */
char *place_posix_key(const struct mover *m, const struct lu_fid *fid, bool v1);

/* A copy as the tier lists it; borrowed for the call. */
struct place_item {
    struct uuid id;
    const char *label; /* "" when the tier does not tell */
    const struct tier_location *loc;
    int64_t newest_ns; /* when it was written; 0 unknown */
    bool complete;
    bool damaged; /* not complete, but no remnant either: what closes it is there */
};

/* Takes one; a value other than 0 ends the walk and is returned. */
typedef int place_fn(void *arg, const struct place_item *item, struct err *err);

/* All copies with label (NULL: all there are), in no order; other kinds than s3 give those of any
 * label whose own they do not tell. Returns 0, what fn returned, or a negative code. */
int place_walk(struct mover_lane *l, const char *label, place_fn *fn, void *arg, struct err *err);

/* Deletes whatever the tier has of id, complete or not. Returns 0 or a negative code. */
int place_purge(struct mover_lane *l, const struct uuid *id, const char *label, struct err *err);

#endif
