/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The crash journal: every action that was received and has not ended, so that the next copytool
 * can end what a killed one left. An append-only file; records that wait for the disk share one
 * fdatasync. Any thread.
 *
 * File (machine byte order, which the mark shows): 32 bytes "firnhsmj", u32 version 1, u32 mark
 * 0x01020304, 16 bytes the kernel's boot id (zeros: not known); then records of u32 magic
 * 0x4A4E5246, u32 len (of the record, this head included), u32 type, u32 CRC-32C (of all its bytes,
 * these four as zeros), u64 id; and type 1 ITEM: u64 list flags, u32 archive id, u32 0, the item as
 * received (its len bytes); type 2 IDS: the archive id about to be written, the one that it
 * replaces (16 bytes each, zeros: none); type 3 DONE: nothing; the action with this id has ended;
 * type 4 PLAN: the archive id (16 bytes) that IDS will name. IDS that follows a PLAN is handed to
 * the kernel, not synced: it outlives the process. In a file of another boot PLAN counts as IDS.
 */
#ifndef LUSTRE_JOURNAL_H
#define LUSTRE_JOURNAL_H

#include "base/err.h"
#include "base/uuid.h"
#include "lustre/abi.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct journal;

/* How far an action had come, as far as the journal must know. */
enum journal_phase {
    JOURNAL_RECEIVED, /* nothing has been done, or what was done leaves no trace in the tier */
    JOURNAL_PLANNED,  /* that, but new_id is on the disk already, or will be with the next commit */
    JOURNAL_WRITING,  /* new_id may be in the tier */
};

/* An action that has not ended. Owned by the journal; members are read by who has the action. */
struct journal_entry {
    uint64_t id;
    uint64_t flags; /* of the list */
    uint32_t archive_id;
    struct hsm_action_item *item; /* whole, owned */
    enum journal_phase phase;
    struct uuid new_id, old_id; /* zeros: none */
    bool replayed;              /* from an earlier copytool */
    uint64_t end;               /* of its last record, in bytes appended; of journal.c */
    TAILQ_ENTRY(journal_entry) link;
    TAILQ_ENTRY(journal_entry) lost; /* the copytool's */
};
TAILQ_HEAD(journal_list, journal_entry);

/*
 * Opens (makes) file name in directory dir; what it holds becomes entries with replayed set. A torn
 * tail is dropped; a file that is damaged before its end is kept beside as name.damaged, and what
 * can still be read is taken. dir NULL: nothing is kept on disk. Returns 0 with *out, or a negative
 * code with err.
 */
int journal_open(const char *dir, const char *name, struct journal **out, struct err *err);

/* Closes j, entries that are open stay in the file. NULL is allowed. */
void journal_close(struct journal *j);

/* Adds an action; item (from malloc) is j's from now on. It is written with the next journal_push
 * or journal_commit. Never NULL. */
struct journal_entry *journal_add(struct journal *j, struct hsm_action_item *item, uint64_t flags,
                                  uint32_t archive_id);

/* Records new_id as the archive id that e, just added, will write: it goes to the disk with what
 * was received. */
void journal_plan(struct journal *j, struct journal_entry *e, const struct uuid *new_id);

/* Hands what was added to the kernel: it then outlives this process, not yet the machine. Returns 0
 * or a negative code; what could not be written is tried again with the next call. */
int journal_push(struct journal *j, struct err *err);

/* Waits until all that was recorded of e is on the disk. Returns 0 or a negative code. */
int journal_commit(struct journal *j, const struct journal_entry *e, struct err *err);

/* Records the archive ids (each may be NULL: none) and commits them; what was planned and committed
 * is on the disk, and so that is not waited for. Returns 0 or a negative code. */
int journal_ids(struct journal *j, struct journal_entry *e, const struct uuid *new_id,
                const struct uuid *old_id, struct err *err);

/* e has ended: it is recorded (with the next push) and freed. */
void journal_done(struct journal *j, struct journal_entry *e);

/* The open entries, oldest first; the caller frees the array, not what it points to. */
struct journal_entry **journal_entries(struct journal *j, size_t *n);

/* Open entries, and bytes in the file. */
size_t journal_open_count(struct journal *j);
uint64_t journal_size(struct journal *j);

/* Pushes, commits, and writes the file anew when most of it has ended, or when it could not be
 * synced. Called each second or so by one thread. Returns 0 or a negative code. */
int journal_keep(struct journal *j, struct err *err);

/* ---- reading ---- */

/* One record as it lies in the file; pointers into the caller's bytes. */
struct journal_record {
    uint32_t type;
    uint64_t id;
    uint64_t flags;
    uint32_t archive_id;
    const struct hsm_action_item *item; /* ITEM; may be unaligned */
    size_t item_len;
    struct uuid new_id, old_id; /* IDS; PLAN: new_id */
};
enum { JOURNAL_ITEM = 1, JOURNAL_IDS = 2, JOURNAL_DONE = 3, JOURNAL_PLAN = 4 };

/*
 * Calls fn for each whole record of the size bytes of a file. *damaged (may be NULL) tells how many
 * bytes lay between records or behind a wrong head, without the tail. Returns the number of
 * records, or -EINVAL when the file is not a journal.
 */
int64_t journal_scan(const void *data, size_t size,
                     void (*fn)(void *arg, const struct journal_record *r), void *arg,
                     uint64_t *damaged);

static inline void cleanup_journal(struct journal **j)
{
    journal_close(*j);
}
#define auto_journal __attribute__((cleanup(cleanup_journal)))

#endif
