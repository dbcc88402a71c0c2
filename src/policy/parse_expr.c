/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expressions: one function per level of the grammar, lowest precedence first. Static types are
 * checked as nodes are made, so that a policy that compiles has conditions where conditions are
 * wanted. What needs a table (attributes, functions) is looked up here and prepared by its row.
 */
#include "policy/expr_impl.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#define NESTING_MAX 200 /* parentheses, NOT, signs within each other */
#define DEPTH_MAX   1000
#define IN_MAX      256 /* values in one IN list */

static const char *const type_names[] = {"any value", "a condition", "a number",    "a number",
                                         "a string",  "a timestamp", "a timestamp", "an interval"};

const char *policy_type_name(enum policy_vtype t)
{
    return type_names[t];
}

struct policy_node *policy_node_new(struct compile *c, size_t off, policy_eval_fn *fn,
                                    enum policy_vtype type, struct policy_node *const *kids,
                                    unsigned n)
{
    struct policy_node *node = policy_arena_zalloc(&c->p->arena, sizeof(*node));
    node->eval = fn;
    node->type = (uint8_t)type;
    node->off = off;
    node->n = n;
    node->is_const = true;
    unsigned cost = 1;
    if (n > 0)
        node->kid = policy_arena_alloc(&c->p->arena, n * sizeof(struct policy_node *));
    for (unsigned i = 0; i < n; i++) {
        const struct policy_node *k = kids[i];
        node->kid[i] = kids[i];
        node->stage = k->stage > node->stage ? k->stage : node->stage;
        node->is_const = node->is_const && k->is_const;
        node->uses_time = node->uses_time || k->uses_time;
        node->uses_facts = node->uses_facts || k->uses_facts;
        node->depth = k->depth + 1 > node->depth ? k->depth + 1 : node->depth;
        cost += k->cost;
    }
    node->cost = (uint8_t)(cost < 255 ? cost : 255);
    return node;
}

/* Computes a constant number, time or condition once. Strings stay: their memory would add up. */
static void fold(struct policy_node *n)
{
    if (!n->is_const || n->n == 0 || n->type == V_STR || n->type == V_NULL)
        return;
    struct policy_eval ev = {0};
    n->eval(&ev, n, &n->k);
    policy_arena_fini(&ev.scratch);
    if (n->k.type == V_STR)
        return;
    n->eval = policy_ev_const;
    n->class = CLASS_LEAF;
}

int policy_expr_finish(struct compile *c, struct policy_node *n, struct policy_node **out)
{
    if (n->depth > DEPTH_MAX)
        return policy_fail(c, n->off, "a shorter expression", "the expression is too deep");
    fold(n);
    *out = n;
    return 0;
}

int policy_need_bool(struct compile *c, const struct policy_node *n)
{
    assert(n != NULL);
    if (n->type == V_BOOL || n->type == V_NULL)
        return 0;
    return policy_fail(c, n->off, "a condition, such as NAME LIKE '%.dat'",
                       "%s stands where a condition is needed", type_names[n->type]);
}

static int need_value(struct compile *c, const struct policy_node *n, const char *op)
{
    if (n->type != V_BOOL)
        return 0;
    return policy_fail(c, n->off, "a number, string or time",
                       "a condition stands where '%s' needs a value", op);
}

/* ---- OR, AND, NOT ---- */

typedef int parse_fn(struct compile *c, struct policy_node **out);

static int chain(struct compile *c, const char *word, parse_fn *next, policy_eval_fn *fn,
                 enum policy_class class, struct policy_node **out)
{
    struct policy_node *first = NULL;
    int rc = next(c, &first);
    if (rc < 0 || !policy_is_word(c, word)) {
        *out = first;
        return rc;
    }
    /* Flat, however long: a left-deep tree would grow the stack. */
    struct policy_kids kids = {0};
    policy_kids_add(c, &kids, first);
    while (rc == 0 && policy_take_word(c, word)) {
        struct policy_node *k = NULL;
        rc = next(c, &k);
        if (rc == 0)
            policy_kids_add(c, &kids, k);
    }
    for (size_t i = 0; rc == 0 && i < kids.n; i++)
        rc = policy_need_bool(c, kids.p[i]);
    if (rc < 0)
        return rc;
    assert(first != NULL);
    struct policy_node *node = policy_node_new(c, first->off, fn, V_BOOL, kids.p, kids.n);
    node->class = class;
    return policy_expr_finish(c, node, out);
}

static int parse_pred(struct compile *c, struct policy_node **out);

static int enter(struct compile *c)
{
    if (++c->nesting <= NESTING_MAX)
        return 0;
    return policy_fail(c, policy_cur(c)->off, "a flatter expression",
                       "expressions are nested more than %d deep", NESTING_MAX);
}

static int parse_not(struct compile *c, struct policy_node **out)
{
    size_t off = policy_cur(c)->off;
    if (!policy_take_word(c, "NOT"))
        return parse_pred(c, out);
    struct policy_node *k = NULL;
    int rc = enter(c);
    rc = rc < 0 ? rc : parse_not(c, &k);
    rc = rc < 0 ? rc : policy_need_bool(c, k);
    if (rc < 0)
        return rc;
    c->nesting--;
    struct policy_node *n = policy_node_new(c, off, policy_ev_not, V_BOOL, &k, 1);
    n->class = CLASS_NOT;
    return policy_expr_finish(c, n, out);
}

static int parse_and(struct compile *c, struct policy_node **out)
{
    return chain(c, "AND", parse_not, policy_ev_and, CLASS_AND, out);
}

int policy_parse_expr(struct compile *c, struct policy_node **out)
{
    int rc = enter(c);
    rc = rc < 0 ? rc : chain(c, "OR", parse_and, policy_ev_or, CLASS_OR, out);
    c->nesting--;
    return rc;
}

/* ---- predicates ---- */

static int parse_concat(struct compile *c, struct policy_node **out);

static struct policy_node *negated(struct compile *c, struct policy_node *n, bool not )
{
    if (!not )
        return n;
    assert(n != NULL);
    struct policy_node *r = policy_node_new(c, n->off, policy_ev_not, V_BOOL, &n, 1);
    r->class = CLASS_NOT;
    return r;
}

static int parse_escape(struct compile *c, int *escape)
{
    *escape = -1;
    if (!policy_take_word(c, "ESCAPE"))
        return 0;
    const struct policy_token *t = policy_cur(c);
    if (t->kind != TOK_STR || t->len != 1)
        return policy_fail(c, t->off, "ESCAPE and one character, such as ESCAPE '\\'",
                           "the escape of LIKE must be a string of one byte");
    *escape = (unsigned char)t->text[0];
    c->cur++;
    return 0;
}

static int parse_like(struct compile *c, struct policy_node *left, struct policy_node **out)
{
    struct policy_node *pat = NULL;
    int escape = -1;
    int rc = parse_concat(c, &pat);
    rc = rc < 0 ? rc : need_value(c, pat, "LIKE");
    rc = rc < 0 ? rc : need_value(c, left, "LIKE");
    rc = rc < 0 ? rc : parse_escape(c, &escape);
    if (rc < 0)
        return rc;
    struct policy_node *kids[] = {left, pat};
    struct policy_node *n = policy_node_new(c, left->off, policy_ev_like, V_BOOL, kids, 2);
    n->op = escape;
    if (pat->eval == policy_ev_const && pat->k.type == V_STR) {
        const char *why = NULL;
        n->aux = policy_like_compile(&c->p->arena, pat->k.s.p, pat->k.s.n, escape, &why);
        if (n->aux == NULL)
            return policy_fail(c, pat->off, "the escape character doubled, or before '%' or '_'",
                               "in the pattern %s", why);
    }
    return policy_expr_finish(c, n, out);
}

/* Whether values of types a and b can be compared. */
static bool comparable(uint8_t a, uint8_t b)
{
    return a == V_NULL || b == V_NULL || (a == V_BOOL) == (b == V_BOOL);
}

int policy_need_comparable(struct compile *c, const struct policy_node *a,
                           const struct policy_node *b)
{
    if (comparable(a->type, b->type))
        return 0;
    return policy_fail(c, b->off, type_names[a->type], "%s cannot be compared with %s",
                       type_names[a->type], type_names[b->type]);
}

static int parse_in(struct compile *c, struct policy_node *left, struct policy_node **out)
{
    struct policy_node *kids[IN_MAX + 1];
    unsigned n = 0;
    kids[n++] = left;
    int rc = policy_need_op(c, '(', "'(' behind IN");
    do {
        if (rc == 0 && n == sizeof(kids) / sizeof(kids[0]))
            rc = policy_fail(c, policy_cur(c)->off, NULL, "more than %u values in one IN list",
                             n - 1);
        rc = rc < 0 ? rc : policy_parse_expr(c, &kids[n]);
        rc = rc < 0 ? rc : policy_need_comparable(c, left, kids[n]);
        n++;
    } while (rc == 0 && policy_take_op(c, ','));
    rc = rc < 0 ? rc : policy_need_op(c, ')', "',' or ')' in the list of IN");
    if (rc < 0)
        return rc;
    return policy_expr_finish(c, policy_node_new(c, left->off, policy_ev_in, V_BOOL, kids, n), out);
}

static int parse_between(struct compile *c, struct policy_node *left, struct policy_node **out)
{
    struct policy_node *kids[3] = {left, NULL, NULL};
    char shown[64];
    int rc = parse_concat(c, &kids[1]);
    if (rc == 0 && !policy_take_word(c, "AND"))
        rc = policy_fail(c, policy_cur(c)->off, "AND and the upper bound of BETWEEN",
                         "unexpected %s", policy_show_token(c, shown));
    rc = rc < 0 ? rc : parse_concat(c, &kids[2]);
    rc = rc < 0 ? rc : policy_need_comparable(c, left, kids[1]);
    rc = rc < 0 ? rc : policy_need_comparable(c, left, kids[2]);
    if (rc < 0)
        return rc;
    return policy_expr_finish(c, policy_node_new(c, left->off, policy_ev_between, V_BOOL, kids, 3),
                              out);
}

static int parse_is(struct compile *c, struct policy_node *left, struct policy_node **out)
{
    bool not = policy_take_word(c, "NOT");
    char shown[64];
    if (!policy_take_word(c, "NULL"))
        return policy_fail(c, policy_cur(c)->off, "NULL or NOT NULL behind IS", "unexpected %s",
                           policy_show_token(c, shown));
    *out = negated(c, policy_node_new(c, left->off, policy_ev_is_null, V_BOOL, &left, 1), not );
    return 0;
}

static bool take_relop(struct compile *c, int *op)
{
    static const int ops[] = {'=', '<', '>', OP2_NE, OP2_LE, OP2_GE};
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        *op = ops[i];
        if (policy_take_op(c, ops[i]))
            return true;
    }
    return false;
}

static int parse_compare(struct compile *c, struct policy_node *left, int op,
                         struct policy_node **out)
{
    struct policy_node *kids[2] = {left, NULL};
    int rc = parse_concat(c, &kids[1]);
    rc = rc < 0 ? rc : policy_need_comparable(c, left, kids[1]);
    if (rc < 0)
        return rc;
    struct policy_node *n = policy_node_new(c, left->off, policy_ev_compare, V_BOOL, kids, 2);
    n->op = op;
    return policy_expr_finish(c, n, out);
}

static int parse_pred(struct compile *c, struct policy_node **out)
{
    struct policy_node *left = NULL;
    int rc = parse_concat(c, &left);
    if (rc < 0)
        return rc;
    int op = 0;
    if (take_relop(c, &op))
        return parse_compare(c, left, op, out);
    if (policy_take_word(c, "IS"))
        return parse_is(c, left, out);
    bool not = policy_take_word(c, "NOT");
    char shown[64];
    struct policy_node *n = NULL;
    if (policy_take_word(c, "LIKE"))
        rc = parse_like(c, left, &n);
    else if (policy_take_word(c, "IN"))
        rc = parse_in(c, left, &n);
    else if (policy_take_word(c, "BETWEEN"))
        rc = parse_between(c, left, &n);
    else if (not )
        return policy_fail(c, policy_cur(c)->off, "LIKE, IN or BETWEEN behind NOT", "unexpected %s",
                           policy_show_token(c, shown));
    else
        n = left;
    if (rc == 0)
        *out = negated(c, n, not );
    return rc;
}

/* ---- operators ---- */

struct level {
    int ops[4]; /* 0 ends */
    policy_eval_fn *fn;
};

static const struct level levels[] = {
    {{OP2_CONCAT}, policy_ev_concat},
    {{'+', '-'}, policy_ev_arith},
    {{'*', '/', '%'}, policy_ev_arith},
    {{OP2_POW}, policy_ev_arith},
};
#define N_LEVELS (sizeof(levels) / sizeof(levels[0]))

static bool is_time_type(uint8_t t)
{
    return t == V_TS || t == V_DATE;
}

/* One of a and b is a time. */
static enum policy_vtype time_type(int op, uint8_t a, uint8_t b)
{
    bool ta = is_time_type(a);
    uint8_t other = ta ? b : a;
    if (is_time_type(other))
        return op == '-' ? V_IV : V_BOOL;
    if (other == V_NULL || (op == '-' && other == V_STR))
        return V_NULL;
    bool fits = other == V_IV && (op == '+' || (op == '-' && ta));
    return fits ? V_TS : V_BOOL;
}

/* a is an interval. */
static enum policy_vtype interval_type(int op, uint8_t b)
{
    if (op == '+' || op == '-')
        return b == V_IV ? V_IV : b == V_NULL ? V_NULL : V_BOOL;
    if (b == V_IV)
        return V_DEC;
    return op == '*' || op == '/' ? V_IV : V_NULL;
}

/* The static type of a op b; V_BOOL stands for "impossible". */
static enum policy_vtype arith_type(int op, uint8_t a, uint8_t b)
{
    if (is_time_type(a) || is_time_type(b))
        return time_type(op, a, b);
    if (a == V_IV)
        return interval_type(op, b);
    return a == V_INT && b == V_INT ? V_INT : V_NULL;
}

static int make_binary(struct compile *c, const struct level *l, int op, struct policy_node **kids,
                       struct policy_node **out)
{
    char name[3] = {(char)op, '\0', '\0'};
    if (op >= OP2_CONCAT)
        memcpy(name, op == OP2_CONCAT ? "||" : "**", 3);
    int rc = need_value(c, kids[0], name);
    rc = rc < 0 ? rc : need_value(c, kids[1], name);
    if (rc < 0)
        return rc;
    enum policy_vtype t = op == OP2_CONCAT ? V_STR : arith_type(op, kids[0]->type, kids[1]->type);
    if (t == V_BOOL)
        return policy_fail(c, kids[1]->off, "an interval, such as INTERVAL '30' DAYS",
                           "%s %s %s has no meaning", type_names[kids[0]->type], name,
                           type_names[kids[1]->type]);
    struct policy_node *n = policy_node_new(c, kids[0]->off, l->fn, t, kids, 2);
    n->op = op;
    return policy_expr_finish(c, n, out);
}

static int parse_level(struct compile *c, size_t level, struct policy_node **out)
{
    if (level == N_LEVELS)
        return policy_parse_unary(c, out);
    const struct level *l = &levels[level];
    struct policy_node *left = NULL;
    int rc = parse_level(c, level + 1, &left);
    while (rc == 0) {
        int op = 0;
        for (size_t i = 0; i < 4 && l->ops[i] != 0 && op == 0; i++)
            op = policy_take_op(c, l->ops[i]) ? l->ops[i] : 0;
        if (op == 0)
            break;
        struct policy_node *kids[2] = {left, NULL};
        rc = parse_level(c, level + 1, &kids[1]);
        rc = rc < 0 ? rc : make_binary(c, l, op, kids, &left);
    }
    *out = left;
    return rc;
}

static int parse_concat(struct compile *c, struct policy_node **out)
{
    return parse_level(c, 0, out);
}

int policy_parse_sign(struct compile *c, struct policy_node **out)
{
    size_t off = policy_cur(c)->off;
    bool minus = policy_is_op(c, '-');
    c->cur++;
    struct policy_node *k = NULL;
    int rc = enter(c);
    rc = rc < 0 ? rc : policy_parse_unary(c, &k);
    rc = rc < 0 ? rc : need_value(c, k, minus ? "-" : "+");
    if (rc < 0)
        return rc;
    c->nesting--;
    if (!minus) {
        *out = k;
        return 0;
    }
    enum policy_vtype t = k->type == V_IV || k->type == V_INT ? k->type : V_NULL;
    return policy_expr_finish(c, policy_node_new(c, off, policy_ev_negate, t, &k, 1), out);
}
