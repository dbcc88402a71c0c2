/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request targets: the one decoding that both the signature and the operations use, and SigV4's
 * canonical forms (AWS, "Signature Version 4 signing process", canonical request). Pure; any
 * thread, one struct at a time.
 */
#ifndef S3_URI_H
#define S3_URI_H

#include "base/buf.h"
#include "s3/req.h"

#include <stddef.h>

#define URI_PARAMS_MAX 128

struct uri {
    char *memory; /* the decoded strings */
    const char *bucket, *key;
    bool virtual_host;
    const char *raw_path; /* as sent, without the query */
    struct s3_param params[URI_PARAMS_MAX];
    size_t n_params;
};

/*
 * Splits target at the first "?", the path at its first "/" into bucket and key, and decodes each
 * once. A host of the form NAME.domain (a port may follow; domain may be "") makes NAME the bucket
 * and the whole path the key. Returns 0 with *u set (uri_fini it), or S3_ERR_INVALID_URI for a
 * broken escape, an encoded NUL or too many parameters.
 */
enum s3_error uri_parse(const char *target, const char *host, const char *domain, struct uri *u);

/* Frees what u owns. */
void uri_fini(struct uri *u);

/* Appends the canonical URI: every octet of the raw path percent-encoded once, "/" kept, an escaped
 * slash left escaped. path must have passed uri_parse. */
void uri_canonical_path(struct buf *b, const char *path);

/* Appends the canonical query: names and values percent-encoded, sorted by encoded name and then
 * value, without parameter skip (may be NULL). */
void uri_canonical_query(struct buf *b, const struct s3_param *params, size_t n, const char *skip);

#endif
