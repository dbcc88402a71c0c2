/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The texts of a policy run as mmapplypolicy prints them (same words, same widths), each appended
 * to a struct buf with its newlines. No state; any thread.
 */
#ifndef POLICY_REPORT_H
#define POLICY_REPORT_H

#include "policy/chooser.h"
#include "policy/policy.h"

/* "[I] GPFS Current Data Pool Utilization in KB and %", a heading and a line per pool. */
void policy_report_pools(struct buf *out, const struct policy_pool *pools, size_t n);

/* "[I] Loaded policy rules from FILE.", the CURRENT_TIMESTAMP line (now_ns: ns since 1970), the
 * parsed counts and the rule text after macro expansion. */
void policy_report_policy(struct buf *out, const struct policy *p, const char *file,
                          int64_t now_ns);

/* "[I] TIME Directory entries scanned: N." and "[I] Directories scan: ..."; now_ns is the time
 * shown (local). */
void policy_report_scan(struct buf *out, int64_t now_ns, uint64_t files, uint64_t dirs,
                        uint64_t others, uint64_t errors);

/* "[I] Summary of Rule Applicability and File Choices:", heading and a row per rule; then "[I]
 * Filesystem objects with no applicable rules: N.". After policy_chooser_choose. */
void policy_report_rules(struct buf *out, const struct policy *p, struct policy_chooser *c);

/* "[I] GPFS Policy Decisions and File Choice Totals:" and its lines, then "Predicted Data Pool
 * Utilization in KB and %:" with a line per pool. After policy_chooser_choose. */
void policy_report_totals(struct buf *out, struct policy_chooser *c);

/* "[I] TIME Policy execution. N files dispatched." */
void policy_report_progress(struct buf *out, int64_t now_ns, uint64_t dispatched);

/* "[I] A total of N files have been migrated, deleted or processed by an EXTERNAL EXEC/script;" and
 * the line of 'skipped' files and/or errors. */
void policy_report_end(struct buf *out, uint64_t done, uint64_t errors);

/* Levels from which an object's line is printed (-L). */
enum policy_level {
    POLICY_LEVEL_ERRORS = 0,
    POLICY_LEVEL_SUMMARY = 1,
    POLICY_LEVEL_CHOSEN = 2,
    POLICY_LEVEL_CANDIDATES = 3,
    POLICY_LEVEL_EXCLUDED = 4,
    POLICY_LEVEL_ATTRIBUTES = 5,
    POLICY_LEVEL_ALL = 6,
};

/* Level 2: one chosen object, "PATH   RULE 'name' ACTION FROM POOL 'p' TO POOL 'q' WEIGHT(w)". */
void policy_report_chosen(struct buf *out, const struct policy *p, const struct policy_chosen *c);

/*
 * Levels 3 to 6: the lines of one evaluated object for the level asked (nothing when the level does
 * not show it). ev is the context that just decided d about obj; attributes (level 5 on) are
 * fetched through obj. path is NUL-terminated.
 */
void policy_report_object(struct buf *out, struct policy_eval *ev, const struct policy_object *obj,
                          const char *path, const struct policy_decision *d,
                          enum policy_level level);

#endif
