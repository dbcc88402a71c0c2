/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the admin_*.c share: reports, and the making of a released file for a copy. Main thread.
 */
#ifndef LUSTRE_ADMIN_IMPL_H
#define LUSTRE_ADMIN_IMPL_H

#include "lustre/admin.h"
#include "lustre/mover_impl.h"

/* One line of r in printf form; failed: counts a failure. */
void report(struct admin_report *r, bool failed, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* 0, or -EIO with err saying how many failed. */
int report_result(const struct admin_report *r, const char *what, struct err *err);

/* Whether no file called fid needs the copy id any more: 0, -EBUSY when one is archived with it, or
 * another negative code. A copy has one file. */
int copy_is_free(struct mover *m, const struct lu_fid *fid, const struct uuid *id, struct err *err);

/* A released file that is to be. */
struct stub_plan {
    const struct uuid *id;
    const struct tier_location *loc;
    const char *dst; /* absolute path; missing directories are made */
    uint32_t archive_id;
    bool links;       /* make its other names too, below base */
    const char *base; /* what the recorded names are relative to now */
    bool dry_run;
};

/*
 * Makes it, with all that the tier knows of the copy; it has its key, place and row in the index
 * before it has its name, and a name that is taken is left alone (-EEXIST). Adds to r. Returns 0
 * or a negative code with err.
 */
int stub_make(struct mover_lane *l, const struct stub_plan *plan, struct admin_report *r,
              struct err *err);

/* The directory of path exists afterwards, with those above it. Returns 0 or a negative code. */
int admin_parent(const char *path, struct err *err);

/* admin_import from a tier of kind posix: src is a FID or a path below its root. */
int posix_import(struct mover_lane *l, const char *src, const char *dst, uint32_t archive_id,
                 struct admin_report *r, struct err *err);

/* A copy that a walk found, owned. */
struct found {
    struct uuid id;
    char *label;
    char *key; /* location */
    int64_t newest_ns;
    bool complete;
    bool damaged;
};
struct found_list {
    struct found *v;
    size_t n, cap;
};

/* All that the tier has, sorted by label, then oldest first. Returns 0 or a negative code. */
int found_all(struct mover_lane *l, struct found_list *out, struct err *err);

/* Frees the list. */
void found_fini(struct found_list *l);

#define auto_found __attribute__((cleanup(found_fini)))

#endif
