/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The S3 operations behind the door of s3/req.h: the server calls s3_handle() for every request
 * that it has authenticated, on a worker thread that has taken the account's file system identity.
 * Which request is which operation is one closed table (s3/ops.def); what an operation does is one
 * file. How it works: doc/design/s3.md.
 */
#ifndef S3_OPS_H
#define S3_OPS_H

#include "base/err.h"
#include "s3/req.h"

/*
 * Makes the operations' own state (locks per key, batches of directory syncs) and puts it into
 * site->ops. site->conf and site->buckets_fd must be set. Call once, before threads. Returns 0, or
 * a negative code with err set.
 */
int s3_ops_init(struct s3_site *site, struct err *err);

/* Frees what s3_ops_init() made; no request may be running. A site without it is allowed. */
void s3_ops_fini(struct s3_site *site);

/*
 * Answers request req with exactly one reply. req->account may be NULL (anonymous): every operation
 * then is refused. Sets req->op. The thread's file system identity is the account's before and
 * after. Any worker thread.
 */
void s3_handle(struct s3_req *req);

/* One row of the operation table, for the manual's test and for people. */
struct s3_op_row {
    const char *name;   /* "PutObjectTagging" */
    const char *method; /* "PUT" */
    const char *level;  /* "service", "bucket" or "object" */
    const char *sub;    /* the sub-resource or header that picks it, "" when none */
    bool implemented;   /* false: answered with 501 NotImplemented */
};

/* Row i (from 0) of the operation table into *row (static strings). Returns false behind the last.
 */
bool s3_op_row(size_t i, struct s3_op_row *row);

#endif
