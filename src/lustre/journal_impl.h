/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside lustre: the form of the journal's file; see journal.h.
 */
#ifndef LUSTRE_JOURNAL_IMPL_H
#define LUSTRE_JOURNAL_IMPL_H

#include "base/buf.h"
#include "lustre/journal.h"

/* Appends the head of a file. */
void journal_put_head(struct buf *b);

/* Whether the file with these bytes was begun since the machine was booted: all that was handed to
 * the kernel is in it then. */
bool journal_same_boot(const void *data, size_t size);

/* Appends e's ITEM record, and its IDS or PLAN record when it has ids. */
void journal_put_entry(struct buf *b, const struct journal_entry *e);

/* Appends e's IDS record when it is writing, its PLAN record when that is planned, else nothing. */
void journal_put_ids(struct buf *b, const struct journal_entry *e);

/* Appends the DONE record of id. */
void journal_put_done(struct buf *b, uint64_t id);

#endif
