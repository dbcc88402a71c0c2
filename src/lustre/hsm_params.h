/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What metadata servers tell of HSM in their parameters (mdt.*.hsm_control, mdt.*.hsm.*): agents,
 * queue, limits. They can be read on the servers only, or in a copy of their directories. No state;
 * any thread.
 */
#ifndef LUSTRE_HSM_PARAMS_H
#define LUSTRE_HSM_PARAMS_H

#include "base/err.h"
#include "lustre/abi.h"

#include <stddef.h>
#include <stdint.h>

enum { HSM_ARCHIVING, HSM_RESTORING, HSM_REMOVING, HSM_CANCELLING, HSM_KINDS };
enum { HSM_WAITING, HSM_STARTED, HSM_SUCCEED, HSM_FAILED, HSM_CANCELED, HSM_STATUSES };

/* A copytool that is registered. */
struct hsm_agent {
    char uuid[64];
    char archives[64]; /* "1,2" or "ANY" */
    uint64_t current, ok, errors;
};

/* One metadata target. Numbers are -1 and texts empty where they could not be read. */
struct hsm_mdt {
    char name[80];
    char control[32];
    char policy[128];
    int64_t max_requests, loop_period_s, grace_delay_s, request_timeout_s, default_archive_id;
    int64_t archive_count, restore_count, remove_count;
    uint64_t queue[HSM_KINDS][HSM_STATUSES]; /* records of hsm.actions */
    int has_queue;
    struct hsm_agent *agents;
    size_t n_agents;
    int has_agents;
};

struct hsm_mdts {
    struct hsm_mdt *v;
    size_t n;
};

/* Reads all of mdt/NAME/ below each of roots (NULL ends them); what is not there is left out.
 * Returns 0 with *out (hsm_mdts_fini), n 0 when there is nothing. */
int hsm_params_read(const char *const *roots, struct hsm_mdts *out);

/* Frees m. */
void hsm_mdts_fini(struct hsm_mdts *m);

/* Where servers have them: /proc/fs/lustre, /sys/fs/lustre, /sys/kernel/debug/lustre. */
extern const char *const hsm_param_roots[];

/* "archive", "WAITING": the words of the parameters. Static. */
const char *hsm_kind_name(int kind);
const char *hsm_status_name(int status);

/* Calls fn for each record of hsm.actions below each of roots that can be read. Returns how many
 * files were read: 0 when there is none. */
int hsm_actions_each(const char *const *roots,
                     void (*fn)(void *arg, const struct lu_fid *fid, int kind, int status),
                     void *arg);

/* Takes a line of hsm.agents apart: "uuid=U archive_id=A requests=[current:N ok:N errors:N]".
 * Returns 0 or -EINVAL. */
int hsm_agent_parse(const char *line, struct hsm_agent *out);

/* Takes a line of hsm.actions apart: words KEY=VALUE, of which fid, action and status are wanted.
 * Returns 0 or -EINVAL. */
int hsm_action_parse(const char *line, struct lu_fid *fid, int *kind, int *status);

#endif
