/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the two halves of the expression parser: operators (parse_expr.c) and operands
 * (parse_prim.c). One thread per struct compile.
 */
#ifndef POLICY_EXPR_IMPL_H
#define POLICY_EXPR_IMPL_H

#include "policy/policy_impl.h"

/* A growing list of nodes; memory of the policy's arena. */
struct policy_kids {
    struct policy_node **p;
    unsigned n, cap;
};

/* Appends node. */
void policy_kids_add(struct compile *c, struct policy_kids *list, struct policy_node *node);

/* Parses [+|-] operand with its unit. 0 or a negative code. */
int policy_parse_unary(struct compile *c, struct policy_node **out);

/* Parses what follows a sign, which is the current token. */
int policy_parse_sign(struct compile *c, struct policy_node **out);

/* Sets *out to n, or fails when n is too deep. */
int policy_expr_finish(struct compile *c, struct policy_node *n, struct policy_node **out);

/* Fails unless a and b can be compared. */
int policy_need_comparable(struct compile *c, const struct policy_node *a,
                           const struct policy_node *b);

/* "a number", "a string", ... for messages. */
const char *policy_type_name(enum policy_vtype t);

#endif
