/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Phase two of a policy run: candidates in, chosen objects out. Worker threads of the scan add
 * hits; afterwards one thread calls policy_chooser_choose once and then iterates over what was
 * chosen, in the order of work: migrations from and to external pools first, then those between
 * disk pools, deletions, lists; within one rule by weight, highest first. Records are compact;
 * above a bound of memory they go to an unlinked file in the work directory.
 */
#ifndef POLICY_CHOOSER_H
#define POLICY_CHOOSER_H

#include "policy/policy.h"

struct policy_chooser;

struct policy_chooser_config {
    const struct policy_pool *pools; /* occupancies at the start, as for policy_eval_new */
    size_t n_pools;
    const char *work_dir; /* where candidates are spilled; NULL: "/var/tmp" */
    size_t memory_bytes;  /* candidates kept in memory; 0: 256 MiB */
};

/* A new chooser for rules of p, which must outlive it; cfg may be NULL, its strings and arrays are
 * copied. Never NULL; free with policy_chooser_free. */
struct policy_chooser *policy_chooser_new(const struct policy *p,
                                          const struct policy_chooser_config *cfg);

/* Frees c and its spill file; NULL is allowed. */
void policy_chooser_free(struct policy_chooser *c);

/* An object that was decided about. */
struct policy_candidate {
    const char *path; /* absolute */
    size_t path_len;
    uint64_t ino;
    uint64_t generation; /* 0 if not known */
};

/*
 * Counts and keeps the hits of decision d (EXCLUDE hits are only counted; none at all: counted as
 * an object without applicable rules, and cand may be NULL). Copies everything. Any thread. Returns
 * 0, or a negative code with err set when the spill file cannot grow.
 */
int policy_chooser_add(struct policy_chooser *c, const struct policy_candidate *cand,
                       const struct policy_decision *d, struct err *err);

enum policy_work {
    POLICY_WORK_MIGRATE,    /* copy if needed, then release (external), or move (disk) */
    POLICY_WORK_PREMIGRATE, /* copy only */
    POLICY_WORK_RECALL,     /* from an external pool to disk */
    POLICY_WORK_DELETE,
    POLICY_WORK_LIST,
};

/* A chosen object; pointers live until the next call of policy_chooser_next. */
struct policy_chosen {
    unsigned rule; /* number of its rule */
    enum policy_work work;
    const char *path;
    size_t path_len;
    const char *show; /* "" when none */
    size_t show_len;
    uint64_t ino;
    uint64_t generation;
    int64_t size_kb;
    double weight;
    enum policy_state state; /* as in the hit */
    const char *from_pool;   /* the object's disk pool, or the external pool it comes from */
    const char *to_pool;     /* target (the member chosen from a group pool); NULL: none */
};

/* Chooses. Once, after the last policy_chooser_add. Returns 0 or a negative code with err set. */
int policy_chooser_choose(struct policy_chooser *c, struct err *err);

/* Sets *out to the next chosen object and returns true; false behind the last. One thread. */
bool policy_chooser_next(struct policy_chooser *c, struct policy_chosen *out);

/* Starts policy_chooser_next anew. */
void policy_chooser_rewind(struct policy_chooser *c);

/* One rule's line of the table. */
struct policy_rule_stats {
    uint64_t hits;
    int64_t kb_hit;
    uint64_t chosen;
    int64_t kb_chosen;
    int64_t kb_ill;
};

/* Sums of a run. */
struct policy_totals {
    uint64_t migrate, migrate_candidates; /* chosen, of candidates */
    int64_t migrate_kb;
    uint64_t premigrate; /* chosen for premigration */
    int64_t premigrate_kb;
    uint64_t comanaged; /* chosen and already premigrated: no copy needed */
    int64_t comanaged_kb;
    uint64_t del, del_candidates;
    int64_t del_kb;
    uint64_t list, list_candidates;
    int64_t list_kb;
    int64_t ill_kb;
    uint64_t no_rule; /* objects with no applicable rules */
};

/* Copies the statistics of rule number i into *out: hits at any time, chosen after
 * policy_chooser_choose. */
void policy_chooser_rule_stats(struct policy_chooser *c, unsigned i, struct policy_rule_stats *out);

/* Copies the sums into *out; complete after policy_chooser_choose. */
void policy_chooser_totals(struct policy_chooser *c, struct policy_totals *out);

/* The pools with their predicted occupancy after the run (used_kb may have wrapped below 0: read it
 * as int64_t), *n of them; live as long as c. After policy_chooser_choose. */
const struct policy_pool *policy_chooser_pools(const struct policy_chooser *c, size_t *n);

#endif
