/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report of a run: one row a file, as CSV (RFC 4180, with a heading) or as JSON, one object a
 * line. One thread.
 */
#ifndef LUSTRE_STAGER_REPORT_H
#define LUSTRE_STAGER_REPORT_H

#include "base/buf.h"
#include "base/err.h"
#include "lustre/stager.h"

#include <stdbool.h>
#include <stdint.h>

enum stager_format { STAGER_CSV, STAGER_JSON };

struct stager_report;

/*
 * Opens the report at path. keep_len 0: a new one (what is there is replaced); else the first
 * keep_len bytes, written by an earlier run, stay and what follows is cut off. The format is JSON
 * for names that end with .json or .jsonl, else CSV. Returns 0 with *out (stager_report_close), or
 * a negative code with err.
 */
int stager_report_open(const char *path, uint64_t keep_len, struct stager_report **out,
                       struct err *err);

/* Adds the row of a file; now_ns: the time of day, ns since 1970. */
void stager_report_add(struct stager_report *r, enum stager_action action,
                       const struct stager_outcome *o, int64_t now_ns);

/* Writes the rows that were added. *len (may be NULL): bytes of the report now. Returns 0 or a
 * negative code with err. */
int stager_report_flush(struct stager_report *r, uint64_t *len, struct err *err);

/* Closes r; rows that were not flushed are lost. NULL is allowed. */
void stager_report_close(struct stager_report *r);

/* The row of o, with its line end, appended to b. */
void stager_report_row(struct buf *b, enum stager_format format, enum stager_action action,
                       const struct stager_outcome *o, int64_t now_ns);

/* The heading of a CSV report, with its line end. */
extern const char stager_report_heading[];

#endif
