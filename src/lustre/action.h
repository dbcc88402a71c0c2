/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One action of the coordinator (archive, restore, remove) from its arrival to its end. The core
 * (reader, journal, lanes, heartbeats) makes it, a worker carries it out by the functions here; the
 * core sees to it that each action has exactly one end, that it is journaled before it has effects,
 * and that signs of life go out while it is open. Threads: the worker that has the action, besides
 * what the comments say.
 */
#ifndef LUSTRE_ACTION_H
#define LUSTRE_ACTION_H

#include "base/err.h"
#include "base/uuid.h"
#include "lustre/abi.h"
#include "tier/tier.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct action;

/* Outcomes of action_end. */
enum {
    ACTION_CHANGED = 1,    /* archive: the file changed meanwhile; it is not archived */
    ACTION_UNRECORDED = 2, /* the coordinator does not know the action (any more) */
    ACTION_LOST = 3,       /* the coordinator was not there; the journal keeps the action */
};

/* The item as received (copied; stable for the action's life), the list's flags and archive id. */
const struct hsm_action_item *action_item(const struct action *a);
uint64_t action_flags(const struct action *a);
uint32_t action_archive_id(const struct action *a);

/* The requester's data: *len bytes, may be 0 and hold NULs. Borrowed. */
const void *action_hint(const struct action *a, size_t *len);

/* Whether a is run again after a crash of the copytool; *old_id and *new_id (each may be NULL) are
 * the archive ids journaled last time, zero when none was. */
bool action_replayed(const struct action *a, struct uuid *old_id, struct uuid *new_id);

/* The archive id that the journal holds ready for an archive: action_journal with it and no old one
 * does not wait. A new one when there is none. */
struct uuid action_new_id(const struct action *a);

/*
 * Tells the coordinator that work begins. For a restore mdt_idx and open_flags as of
 * llapi_hsm_action_begin, else -1 and 0. Returns 0, or a negative code with err; after a failure
 * the worker calls action_end with an error all the same.
 */
int action_begin(struct action *a, int mdt_idx, int open_flags, struct err *err);

/* After action_begin of an archive or restore: a descriptor of the data (archive: read-only source;
 * restore: the volatile file), owned by a and open until action_end. -1 when there is none. */
int action_fd(const struct action *a);

/* The FID of the data, after action_begin. Returns 0 or a negative code. */
int action_dfid(const struct action *a, struct lu_fid *dfid, struct err *err);

/* n more bytes of total are done (each byte is told once); reported with the next update. Never
 * blocks. */
void action_progress(struct action *a, uint64_t n, uint64_t total);

/* Whether a must stop: cancelled, timed out at the coordinator, or the copytool ends. Any thread.
 */
bool action_stopped(const struct action *a);

/* Lanes of tiers that a uses now: the core calls tier_cancel on t when a is to stop. NULL takes it
 * off again (and un-cancels it). */
void action_uses(struct action *a, struct tier *t);

/* Journals, durably, the archive id that a is about to write and the one that it replaces (each may
 * be NULL: none). Before the first byte goes to the tier. Returns 0 or a negative code. */
int action_journal(struct action *a, const struct uuid *new_id, const struct uuid *old_id,
                   struct err *err);

struct action_hold;

/* The journal keeps a, beyond its end, until the hold is let go by action_release (any thread,
 * once): for what must be durable before a is forgotten; not durable: it is kept for the next run.
 * At most once an action, by its worker. */
struct action_hold *action_hold(struct action *a);
void action_release(void *hold, bool durable);

/*
 * Ends a towards the coordinator. errval: 0, or a positive errno that tells why (<= 126; ECANCELED
 * only when action_stopped says so; ENOSYS never). done_bytes is the length that is reported.
 * Returns 0 when it was taken, ACTION_*, or a negative code. Called exactly once; a worker that
 * returns without it gets an end with EIO by the core.
 */
int action_end(struct action *a, int errval, uint64_t done_bytes, struct err *err);

/* "[0x200000401:0x1:0x0]" into out (FID_TEXT_MAX); returns out. */
char *fid_text(const struct lu_fid *fid, char *out);

/* Parses that form, with or without brackets. Returns 0, or -EINVAL. */
int fid_parse(const char *text, struct lu_fid *out);

#endif
