/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is done for an action: data between a Lustre file and a tier, its metadata and layout, the
 * archive id in the file (trusted.firn), the index from FID to copies. The core calls it from its
 * workers; it knows nothing of messages, lanes or the journal's form.
 */
#ifndef LUSTRE_MOVER_H
#define LUSTRE_MOVER_H

#include "base/err.h"
#include "conf/conf.h"
#include "lustre/action.h"
#include "lustre/llapi.h"

struct mover;
struct mover_lane;

/* What the mover needs; all borrowed for its life. */
struct mover_config {
    const struct conf *conf;        /* lustre.*, stores */
    const struct conf_store *store; /* NULL with another tier_kind */
    const char *tier_kind;          /* "s3", "posix", "dir" or "null" */
    const char *root;               /* of posix and dir */
    const char *posix_format;       /* "v1" or "v2" */
    const char *state_dir;          /* index of copies */
    const char *mount;              /* the Lustre mount point */
    int mount_fd;
    const char *fsname;
    const struct llapi *api;
    uint64_t bandwidth; /* bytes/s over all workers; 0: no bound */
    bool dry_run;
};

/* Opens tier and index. Returns 0 with *out, or a negative code with err. */
int mover_open(const struct mover_config *config, struct mover **out, struct err *err);

/* Ends m; all lanes must be closed. NULL is allowed. */
void mover_close(struct mover *m);

/* A worker's own place (a lane of the tier, buffers). Never NULL; mover_lane_close. */
struct mover_lane *mover_lane_open(struct mover *m);
void mover_lane_close(struct mover_lane *l);

/* Carries a out, from action_begin to action_end. Failures are reported to the coordinator and
 * logged; the return is that of action_end, for counters. */
int mover_archive(struct mover_lane *l, struct action *a);
int mover_restore(struct mover_lane *l, struct action *a);
int mover_remove(struct mover_lane *l, struct action *a);

/* After a crash: settles what a journaled attempt may have left in the tier (new_id written but not
 * the file's: garbage; else kept). Returns 0 or a negative code. */
int mover_settle(struct mover *m, const struct hsm_action_item *item, const struct uuid *new_id,
                 const struct uuid *old_id, struct err *err);

/* Deletes garbage older than the configured delay, proving each first; called now and then by one
 * thread of the core. *n gets how many copies went. Returns 0 or a negative code. */
int mover_collect(struct mover *m, uint64_t *n, struct err *err);

#endif
