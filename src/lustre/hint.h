/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is read from a requester's data ("k=v,k=v", perhaps with a NUL behind it) and the names that
 * copies get: labels and the keys of lustre-s3-copytool. Bytes of a request come from outside and
 * are never paths. Pure; any thread.
 */
#ifndef LUSTRE_HINT_H
#define LUSTRE_HINT_H

#include "base/uuid.h"
#include "lustre/abi.h"

#include <stddef.h>

#define LABEL_MAX 256 /* with NUL */
#define LABEL_TOP "lustre/"

/* The value of key in the n bytes of data into out (cap bytes, NUL included). Returns 0, -ENOENT
 * when there is none, or -E2BIG when it does not fit. The first of several counts. */
int hint_get(const void *data, size_t n, const char *key, char *out, size_t cap);

/* The archive id that key=UUID names. Returns 0 with *id, -ENOENT, or -EINVAL for another text. */
int hint_key(const void *data, size_t n, struct uuid *id);

/* "lustre/<fsname>.<instance>/<seq>_<oid>_<ver>", hex as in the keys of lustre-s3-copytool, into
 * out (LABEL_MAX); returns out. */
char *label_make(const char *fsname, const char *instance, const struct lu_fid *fid, char *out);

/* The FID of a label, and where its file system's name and instance lie: *at of *n bytes (each may
 * be NULL). Returns 0, or -EINVAL for what is no such label. */
int label_parse(const char *label, struct lu_fid *fid, const char **at, size_t *n);

/* "<seq>_<oid>_<ver>" (16, 8 and 8 hex digits) into out (35 bytes at least); returns out. */
char *label_fid(const struct lu_fid *fid, char *out);

/* Parses exactly that form. Returns 0, or -EINVAL. */
int label_fid_parse(const char *text, struct lu_fid *fid);

#endif
