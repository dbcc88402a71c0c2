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

/* Appends e's ITEM record, and an IDS record when it has ids. */
void journal_put_entry(struct buf *b, const struct journal_entry *e);

/* Appends e's IDS record. */
void journal_put_ids(struct buf *b, const struct journal_entry *e);

/* Appends the DONE record of id. */
void journal_put_done(struct buf *b, uint64_t id);

#endif
