/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files recall*.c share: recalls in memory, one for each file that is to come back. All of
 * it is under engine.lock unless a function says otherwise.
 */
#ifndef ENGINE_RECALL_IMPL_H
#define ENGINE_RECALL_IMPL_H

#include "engine/engine_impl.h"

/* ---- recall.c ---- */

/* The key of file id on fs. Any thread. */
struct recall_key recall_key_of(struct engine *e, const struct efs *fs, const struct file_id *id);

/* The recall of that file in memory, or NULL. engine.lock held. */
struct recall *recall_find_locked(struct engine *e, const struct recall_key *key);

/* Job of task t gets its result from r. engine.lock held, or r is not in memory yet. */
void recall_add_waiter(struct recall *r, struct task *t, int64_t job);

/* Puts r, which no other recall has the file of, into memory and into a queue. engine.lock held;
 * *dead as for recall_route_locked. */
void recall_put_locked(struct engine *e, struct recall *r, struct recall **dead);

/* The account of this name, made when there is none, with one more recall that waits. max bounds
 * the number (0: none): NULL when it is reached. engine.lock held. */
struct account *account_charge_locked(struct engine *e, const char *name, int64_t max);

/* Gives one of a's recalls back. engine.lock held. NULL is allowed. */
void account_release_locked(struct engine *e, struct account *a);

/* ---- recall_view.c ---- */

/* A library as engine/pick.h sees it: the volumes that something waits for. */
struct recall_view {
    struct pick_site site;
    struct pick_volume *volumes;
    struct volume **of; /* which they are */
    size_t also;        /* index of the volume that was asked for besides */
    struct pick_drive *drives;
};

/* Fills *out (recall_view_fini) with what is now in lib, volume also (may be NULL) in any case.
 * engine.lock held, and out is good only as long. */
void recall_view_locked(struct engine *e, struct library *lib, const struct volume *also,
                        struct recall_view *out);

/* Frees what view holds. */
void recall_view_fini(struct recall_view *view);

/* d's number among the drives of its library. engine.lock held. */
size_t recall_drive_index(const struct edrive *d);

/* What waits for v. engine.lock held. */
struct pick_queue recall_queue_locked(const struct engine *e, struct volume *v, int64_t now_ns);

/* The configuration's. Any thread. */
struct pick_rules recall_rules(const struct engine *e);

/* ---- recall_route.c ---- */

/* Inspects a file that is to be recalled: 0 it is a stub that can be, 1 its data is there, or a
 * negative code with err. A damaged record of a stub is written anew. Not under engine.lock. */
int recall_look(struct engine *e, struct efs *fs, struct file_info *info, struct err *err);

/* A recall of the stub that info describes, with its copies, not in memory yet; path is relative to
 * fs's root, or NULL: the one that it had when it was archived, if it has none now. Returns 0 with
 * *out (recall_unref_locked) or a negative code with err. Not under engine.lock. */
int recall_new(struct engine *e, struct efs *fs, const struct file_info *info, const char *path,
               struct recall **out, struct err *err);

/* Sets r's current copy to the one that serves it best now. False when none can be read; r->err
 * then says why. engine.lock held. */
bool recall_choose_locked(struct recall *r);

/* ---- recall_places.c ---- */

/* Whether a job of t waits for r. engine.lock held. */
bool recall_is_of(const struct recall *r, const struct task *t);

/* Adds member "waiting" to j: how many recalls of task id are being read, wait and are not looked
 * at yet, and of at most max that wait the place in a queue, the reason and who asked. Not under
 * engine.lock. */
void recall_add_places(struct engine *e, int64_t id, size_t max, cJSON *j);

/* ---- recall_forecast.c ---- */

/* What the jobs of a draft of recalls will take, as op recall.plan answers: *result is the
 * caller's. Returns 0 or a negative code with err. Not under engine.lock. */
int recall_forecast(struct engine *e, int64_t task, int64_t duplicates, cJSON **result,
                    struct err *err);

#endif
