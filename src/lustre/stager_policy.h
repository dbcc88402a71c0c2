/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that a policy chooses on a Lustre mount, for the stager: compiles the policy, walks a
 * directory tree, evaluates rules and chooses, without firnd. Which rules count for which action,
 * and what the OPTS of their targets may say: doc/design/lustre-stager.md. One thread calls; the
 * walk has threads of its own.
 */
#ifndef LUSTRE_STAGER_POLICY_H
#define LUSTRE_STAGER_POLICY_H

#include "base/buf.h"
#include "base/err.h"
#include "lustre/llapi.h"
#include "lustre/stager.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct stager_policy;

/* What to choose. Borrowed until stager_policy_close. */
struct stager_policy_config {
    const struct llapi *api;
    const char *file;               /* the policy */
    const char *target;             /* absolute path of a directory on the mount */
    bool lists_only;                /* only LIST rules count (remove, cancel, state) */
    enum stager_action action;      /* else: archive, release or restore */
    const struct stager_hint *hint; /* what the OPTS of a target do not say */
    const char *const *macros;      /* name, value, name, value, ...; NULL ends it */
    unsigned threads;               /* of the walk; 0: as many as fit */
    const char *work_dir;           /* for candidates beyond memory; NULL: /var/tmp */
    const atomic_bool *stop;        /* set: ends the walk; NULL */
    /* Told now and then how many objects were seen; may be NULL. Any thread, one at a time. */
    void (*progress)(void *arg, uint64_t objects);
    /* Told of objects that could not be read; may be NULL. Any thread, one at a time. */
    void (*problem)(void *arg, const char *path, int errnum, const char *what);
    void *arg;
};

struct stager_policy_counts {
    uint64_t objects; /* seen in the walk */
    uint64_t errors;
    uint64_t chosen; /* files that the source will give */
    uint64_t other;  /* chosen by rules that do not count for the action */
};

/*
 * Compiles, walks and chooses. Returns 0 with *out (stager_policy_close) and *counts; -ECANCELED
 * when config->stop was set; -EINVAL with err for a wrong policy (then *diag, which may be NULL,
 * has the line with a caret); or another negative code with err.
 */
int stager_policy_open(const struct stager_policy_config *config, struct stager_policy **out,
                       struct stager_policy_counts *counts, struct buf *diag, struct err *err);

/* The next chosen file, in the order of the policy's rules and weights: 1, 0 at the end, or a
 * negative code. For struct stager_source; arg is the struct stager_policy. */
int stager_policy_next(void *arg, struct stager_file *out, struct err *err);

/* Frees p. NULL is allowed. */
void stager_policy_close(struct stager_policy *p);

/* Takes OPTS of a target apart over dflt: --archive-id N, --data K=V, --release. The data of *out
 * are a new string in *data (the caller frees) or dflt's. Returns 0, or -EINVAL with err. */
int stager_policy_opts(const char *opts, const struct stager_hint *dflt, struct stager_hint *out,
                       char **data, struct err *err);

#endif
