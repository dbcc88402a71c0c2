/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between statements (parse_rule.c) and their clauses (clause.c). One thread per struct compile.
 */
#ifndef POLICY_RULE_IMPL_H
#define POLICY_RULE_IMPL_H

#include "policy/policy_impl.h"

enum policy_clause {
    CL_WHEN,
    CL_FROM,
    CL_TO,
    CL_THRESHOLD,
    CL_WEIGHT,
    CL_LIMIT,
    CL_REPLICATE,
    CL_FILESET,
    CL_SHOW,
    CL_SIZE,
    CL_ACTION,
    CL_WHERE,
    CL_COMPRESS,
    CL_DIRS,
    CL_EXCLUDE,
    CL_EXEC,
    CL_OPTS,
    CL_ESCAPE,
    CL_N
};

#define CL_BIT(c) (1u << (c))

/* Parses the clause that the current token begins, if allowed (a mask of CL_BIT) has it. Returns 1
 * when a clause was taken, 0 when the token begins none, or a negative code. */
int policy_parse_clause(struct compile *c, unsigned allowed);

/* Parses a quoted string, called what in messages; *out lives as long as the policy. */
int policy_parse_string(struct compile *c, const char *what, const char **out);

/* Parses "'pool'" or "('pool')" behind the word POOL, which is taken too. */
int policy_parse_pool(struct compile *c, const char **out, size_t *off);

/* Parses "LIMIT(pct)" when it comes next; *limit is left alone otherwise. */
int policy_parse_limit(struct compile *c, double *limit);

/* The words of clause cl in messages. */
const char *policy_clause_name(enum policy_clause cl);

#endif
