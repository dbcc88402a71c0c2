/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside lustre: rows of the index that nobody waits for gather here and are written many in a
 * transaction, which costs one sync and touches each page once. Any thread; a thread of its own
 * writes.
 */
#ifndef LUSTRE_INDEX_LATE_H
#define LUSTRE_INDEX_LATE_H

#include "lustre/index.h"

struct late;

/* Writes n rows durably. Returns 0 or a negative code. */
typedef int late_write_fn(void *ctx, const struct index_copy *v, size_t n, struct err *err);

/* New, with nothing waiting. Never NULL; late_free. */
struct late *late_new(late_write_fn *write, void *ctx);

/* After late_end. NULL is allowed. No other call is under way. */
void late_free(struct late *l);

/* As index_end_late. */
int late_end(struct late *l, struct err *err);

/* As index_put_late. */
void late_put(struct late *l, const struct index_copy *v, index_done_fn *done, void *arg);

/* Why the last write failed: a negative code with err, or 0. */
int late_check(struct late *l, struct err *err);

/* Waits until no row of fid, of id (either may be NULL: of any) waits. Returns 0, or a negative
 * code when one does and cannot be written. */
int late_await(struct late *l, const struct lu_fid *fid, const struct uuid *id, struct err *err);

#endif
