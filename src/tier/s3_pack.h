/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packs: small copies without a label that many lanes put into one object, which costs one request
 * instead of one for each. A member is what a sole object would be, its bytes and its metadata; the
 * form is s3_zip.h. Its location is the pack's BUCKET/KEY, its place (block) and the length of
 * header and data (byteoffset). The place is the offset of its header with the pack's turn above
 * it, so that the order of places is the order of putting, over all packs: what reads in that order
 * goes forward in one pack after the other. The turn is in the pack's id, a UUID of version 7. A
 * pack is in memory until it is full or flushed: a copy is durable when s3_pack_flush has returned
 * 0.
 */
#ifndef TIER_S3_PACK_H
#define TIER_S3_PACK_H

#include "tier/s3_impl.h"

#define S3_PACK   ".pack" /* end of a pack's key, behind [key_prefix]<pack id> */
#define S3_WINDOW (1UL << 20)

struct s3_packs;

/* Packs of s, of size bytes each, for files of up to file bytes. Never NULL. */
struct s3_packs *s3_packs_new(struct s3_tier *s, uint64_t size, uint64_t file);

/* Ends them, after the pool of their tier; copies that were not flushed are lost. NULL is allowed.
 */
void s3_packs_free(struct s3_packs *p);

/* Bytes of memory that p holds, at most and at all times (its buffers and windows). */
uint64_t s3_packs_memory(const struct s3_packs *p);

/* Whether the copy c, whose data are one chunk with fill bytes, is to go into a pack. p may be
 * NULL. */
bool s3_packs_take(const struct s3_packs *p, const struct s3_copy *c, uint64_t fill);

/*
 * Adds c's only chunk, encoded as stored, with the metadata f to the open pack; a full one is sent
 * first. Returns 0 with *loc (end it with tier_location_fini), or a negative code when a pack
 * cannot be written; the copy is in none then. Any lane's thread.
 */
int s3_packs_add(struct s3_packs *p, struct s3_lane *l, const struct s3_copy *c,
                 const struct s3_fields *f, const void *stored, struct tier_location *loc,
                 struct err *err);

/* Writes all that was added before. Returns as s3_tier_flush. */
int s3_packs_flush(struct s3_packs *p, struct s3_worker *w, struct store_cancel *cancel,
                   struct err *err);

/* Whether a location's key is that of a pack. */
bool s3_pack_is(const char *key);

/* Lets all that wait in p look whether they are cancelled. */
void s3_packs_wake(struct s3_packs *p);

/* Reads the header of the member at loc into *c, whatever its id. Returns as s3_load. */
int s3_pack_load(struct s3_lane *l, const struct tier_location *loc, struct s3_copy *c,
                 struct err *err);

/*
 * Reads the member at loc, with its neighbours where they were asked for lately. Returns 0 with *c,
 * *stored (its stored bytes, in mem[0]) and room for the plain ones in mem[1], unless they are raw:
 * both from the tier's memory, to be given back by the caller. Else 1, with no memory taken, when
 * it is to be read the long way (s3_load, s3_fetch_chunk), which tells what is wrong. End *c with
 * s3_copy_fini in each case.
 */
int s3_pack_read(struct s3_lane *l, const struct tier_location *loc, struct memblock mem[2],
                 struct s3_copy *c, void **stored);

/* Whether key (without bucket) is that of a pack of s; *id gets the pack's id. */
bool s3_pack_parse_key(const struct s3_tier *s, const char *key, struct uuid *id);

/* Gives fn each member of pack o, whose id is id, as a complete copy; of a directory that is not
 * whole it gives one damaged piece of an unknown file system, with the pack's id, and logs which it
 * is. Returns 0, what fn returned, or a negative code. */
int s3_pack_walk(struct s3_lane *l, const struct s3_met *o, const struct uuid *id, s3_found_fn *fn,
                 void *arg, struct err *err);

/* Removes the copy at loc if its pack holds no other. Returns 0, TIER_ABSENT, -ENOTSUP when there
 * are others, or a negative code. */
int s3_pack_remove(struct s3_lane *l, const struct tier_location *loc, struct err *err);

#endif
