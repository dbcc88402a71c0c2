/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an administrator does with lhsmtool_firn besides running it: import, rebind, the highest
 * sequence, verify, rebuild. Each runs over an open mover (and no copytool), in one call, from the
 * main thread; what it finds goes line by line to a function of the caller's.
 */
#ifndef LUSTRE_ADMIN_H
#define LUSTRE_ADMIN_H

#include "base/err.h"
#include "lustre/abi.h"
#include "lustre/mover.h"

#include <stdbool.h>
#include <stdint.h>

/* Where an operation says what it did or found, one line without its newline. */
struct admin_report {
    void (*line)(void *arg, const char *text); /* never NULL */
    void *arg;
    uint64_t files;  /* looked at or made */
    uint64_t failed; /* of them */
    uint64_t bytes;
};

/* A file whose FID changed (it was made anew, or undeleted). */
struct admin_pair {
    struct lu_fid old_fid, new_fid;
};

/*
 * Makes released files at dst (absolute, on the mount; directories recurse to dst/relative path)
 * of what the tier has as src: a FID, a path relative to the root of a posix tier, or of an S3
 * tier an archive id, a path at archive time or a prefix of such. archive_id 0: 1. Returns 0, or a
 * negative code with err when nothing could be begun or when r->failed > 0.
 */
int admin_import(struct mover *m, const char *src, const char *dst, uint32_t archive_id,
                 struct admin_report *r, struct err *err);

/* Lets the copies of each old FID belong to the new one. Goes on after a failure. Returns 0, or the
 * first negative code with err. */
int admin_rebind(struct mover *m, const struct admin_pair *pairs, size_t n, struct admin_report *r,
                 struct err *err);

/* The highest sequence of a FID that the tier has a copy of; 0 when there is none. Returns 0 or a
 * negative code. */
int admin_max_sequence(struct mover *m, uint64_t *seq, struct err *err);

/*
 * Compares the index, the tier and the files: copies that are missing or damaged (data: by reading
 * all of it, else by what the tier says of them), files that say archived and have no copy, copies
 * that no file needs. With repair a file without a copy is marked lost (released) or dirty, and the
 * index is mended; without, nothing is changed. Returns 0, -EIO when something is damaged or
 * missing, or another negative code.
 */
int admin_verify(struct mover *m, bool data, bool repair, struct admin_report *r, struct err *err);

/* Builds the name space again from the tier alone: a released file below dst (absolute, on the
 * mount) for each newest copy, with owner, mode, times, names, attributes and layout. dry_run:
 * says what would be made. Returns as admin_import. */
int admin_rebuild(struct mover *m, const char *dst, uint32_t archive_id, bool dry_run,
                  struct admin_report *r, struct err *err);

#endif
