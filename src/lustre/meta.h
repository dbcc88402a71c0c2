/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a copy says of its file besides data, size, owner, mode and times: FID, all names, layout,
 * project, extended attributes, the digest of the data; as attributes of the tier. User attributes
 * keep their names without "user."; everything else has names that begin with "firn.", which no
 * user attribute becomes. One thread a struct meta.
 */
#ifndef LUSTRE_META_H
#define LUSTRE_META_H

#include "base/err.h"
#include "lustre/abi.h"
#include "tier/tier.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define META_FID    "firn.lustre.fid"    /* text of fid_text */
#define META_NAMES  "firn.lustre.names"  /* paths from the root, each with a NUL behind it */
#define META_LAYOUT "firn.lustre.layout" /* the blob as lustre.lov gave it */
#define META_PROJID "firn.lustre.projid" /* decimal */
#define META_DIGEST "firn.xxh3-128"      /* of the whole data, 32 hex digits */
#define META_XATTR  "firn.xattr."        /* before an attribute's full name */

struct meta {
    struct tier_xattr *v; /* keys and values owned */
    size_t n;
};

/* Adds len bytes of value (copied) as key (copied). */
void meta_add(struct meta *m, const char *key, const void *value, size_t len);

/* Frees what m owns; it is empty afterwards. */
void meta_fini(struct meta *m);

/* As fgetxattr, but asks for few bytes first: the kernel makes and clears room for all that is
 * asked for, and most values are small. */
ssize_t meta_get(int fd, const char *name, void *buf, size_t cap);

/* Adds the extended attributes of fd that travel: all of user.*, ACLs, security.*, and trusted.*
 * besides those of Lustre and of firn. buf of cap bytes is used. One that cannot be read is logged
 * with fid. */
void meta_read_xattrs(struct meta *m, int fd, const struct lu_fid *fid, void *buf, size_t cap);

/* Adds layout and project of fd, as far as they can be read; *buf as above. */
void meta_read_layout(struct meta *m, int fd, void *buf, size_t cap);

/* The full name of the attribute that key stands for into out (cap bytes). Returns 0, or -ENOENT
 * for a key that is none. */
int meta_xattr_name(const char *key, char *out, size_t cap);

/* The attribute key of e, or NULL. Borrowed. */
const struct tier_xattr *meta_find(const struct tier_entry *e, const char *key);

/* The digest of e's data into out[16]. Whether it has one. */
bool meta_digest(const struct tier_entry *e, uint8_t *out);

/* Sets the extended attributes and the project of e on fd. Returns how many could not be set; each
 * is logged with fid. */
unsigned meta_apply(const struct tier_entry *e, int fd, const struct lu_fid *fid);

#define auto_meta __attribute__((cleanup(meta_fini)))

#endif
