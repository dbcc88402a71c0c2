/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the packs: what writing them (s3_pack.c), reading them (s3_unpack.c) and the parts of them
 * that are kept at hand (s3_window.c) share. */
#ifndef TIER_S3_PACK_IMPL_H
#define TIER_S3_PACK_IMPL_H

#include "tier/s3_pack.h"
#include "tier/s3_zip.h"

#define S3_WINDOWS 4

/* A pack's id: version 7 (RFC 9562, 5.7), of now or, where that is not later, one turn after last.
 */
struct uuid s3_pack_new_id(const struct uuid *last);

/* The place of the member at offset of pack id, and back. */
uint64_t s3_pack_place(const struct uuid *id, uint64_t offset);
uint64_t s3_pack_offset(uint64_t place);

/* "[key_prefix]<pack id>.pack"; the caller frees. */
char *s3_pack_key(const struct s3_tier *s, const struct uuid *id);

/* ---- parts of packs at hand (s3_window.c) ---- */

struct s3_windows;

/* Nothing at hand. Never NULL. Free it after the pool of s. */
struct s3_windows *s3_windows_new(struct s3_tier *s);
void s3_windows_free(struct s3_windows *w);

/* The windows of p. */
struct s3_windows *s3_packs_windows(struct s3_packs *p);

/*
 * Copies n (<= S3_WINDOW) bytes at off of bucket/key into out, from what is at hand, or after
 * reading them and what follows, where reads of this object go forward. Returns whether it did; if
 * not, the caller reads by itself.
 */
bool s3_windows_read(struct s3_windows *w, struct s3_lane *l, const char *bucket, const char *key,
                     uint64_t off, size_t n, void *out);

/* Forgets what is at hand of key. */
void s3_windows_forget(struct s3_windows *w, const char *key);

/* Lets all that wait look whether they are cancelled. */
void s3_windows_wake(struct s3_windows *w);

#endif
