/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/expr_impl.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <string.h>
#include <strings.h>

void policy_kids_add(struct compile *c, struct policy_kids *list, struct policy_node *node)
{
    if (list->n == list->cap) {
        unsigned cap = list->cap > 0 ? list->cap * 2 : 8;
        struct policy_node **more = policy_arena_alloc(&c->p->arena, cap * sizeof(*more));
        if (list->n > 0)
            memcpy(more, list->p, list->n * sizeof(*more));
        list->p = more;
        list->cap = cap;
    }
    list->p[list->n++] = node;
}

static struct policy_node *constant(struct compile *c, size_t off, struct policy_value v)
{
    struct policy_node *n = policy_node_new(c, off, policy_ev_const, v.type, NULL, 0);
    n->k = v;
    return n;
}

static int expected_expr(struct compile *c)
{
    char shown[64];
    return policy_fail(c, policy_cur(c)->off, "a value, attribute, function or '('",
                       "unexpected %s", policy_show_token(c, shown));
}

/* ---- units and intervals ---- */

static enum policy_unit unit_of(const struct policy_token *t)
{
    static const struct {
        const char *name;
        enum policy_unit unit;
    } units[] = {{"SECOND", UNIT_SECOND},  {"SECONDS", UNIT_SECOND}, {"MINUTE", UNIT_MINUTE},
                 {"MINUTES", UNIT_MINUTE}, {"HOUR", UNIT_HOUR},      {"HOURS", UNIT_HOUR},
                 {"DAY", UNIT_DAY},        {"DAYS", UNIT_DAY},       {"MONTH", UNIT_MONTH},
                 {"MONTHS", UNIT_MONTH},   {"YEAR", UNIT_YEAR},      {"YEARS", UNIT_YEAR}};
    for (size_t i = 0; t->kind == TOK_WORD && i < sizeof(units) / sizeof(units[0]); i++)
        if (strcasecmp(t->text, units[i].name) == 0)
            return units[i].unit;
    return UNIT_NONE;
}

static int parse_interval(struct compile *c, size_t off, struct policy_node **out)
{
    const struct policy_token *t = policy_cur(c);
    struct policy_value num = {0};
    policy_set_str(&num, t->text, t->len);
    bool ok = (t->kind == TOK_STR || t->kind == TOK_INT) && policy_to_number(&num);
    double d = ok ? policy_to_double(&num) : NAN;
    if (!(fabs(d) < 1e9))
        return policy_fail(c, t->off, "a number in quotes, such as INTERVAL '30' DAYS",
                           "an interval needs its number");
    c->cur++;
    enum policy_unit u = unit_of(policy_cur(c));
    if (u == UNIT_NONE)
        return policy_fail(c, policy_cur(c)->off, "DAYS, HOURS, MINUTES, SECONDS, MONTHS or YEARS",
                           "an interval needs its unit");
    c->cur++;
    struct policy_value v = {0};
    if (u == UNIT_MONTH || u == UNIT_YEAR) {
        policy_set_us(&v, V_IV, 0);
        v.months = (int32_t)(u == UNIT_YEAR ? fmax(fmin(d, 1e8), -1e8) * 12 : d);
    } else {
        double us = d * (double)policy_unit_us(u);
        policy_set_us(&v, V_IV, fabs(us) < 9.2e18 ? (int64_t)us : INT64_MAX);
    }
    *out = constant(c, off, v);
    return 0;
}

/* "(n[, m])" behind the unit of a cast: m decimals of seconds. */
static int parse_precision(struct compile *c, int *decimals)
{
    if (!policy_take_op(c, '('))
        return 0;
    int64_t n[2] = {0, -1};
    for (int i = 0; i < 2; i++) {
        const struct policy_token *t = policy_cur(c);
        if (t->kind != TOK_INT || t->i < 0 || t->i > 30)
            return policy_fail(c, t->off, "a number of digits, such as SECONDS(12,6)",
                               "the precision of an interval must be a small number");
        n[i] = t->i;
        c->cur++;
        if (!policy_take_op(c, ','))
            break;
    }
    if (n[1] >= 0)
        *decimals = n[1] < 6 ? (int)n[1] : 6;
    return policy_need_op(c, ')', "')' behind the precision");
}

static int parse_unit(struct compile *c, struct policy_node *k, struct policy_node **out)
{
    assert(k != NULL);
    enum policy_unit u = unit_of(policy_cur(c));
    if (u == UNIT_NONE) {
        *out = k;
        return 0;
    }
    if (k->type == V_BOOL || k->type == V_TS || k->type == V_DATE)
        return policy_fail(c, policy_cur(c)->off, "a difference of two timestamps, or a number",
                           "%s has no unit", policy_type_name(k->type));
    c->cur++;
    int decimals = u == UNIT_SECOND ? 6 : 0;
    int rc = parse_precision(c, &decimals);
    if (rc < 0)
        return rc;
    struct policy_node *n = policy_node_new(c, k->off, policy_ev_cast_unit, V_IV, &k, 1);
    n->op = (int)u * 16 + decimals;
    return policy_expr_finish(c, n, out);
}

/* ---- CASE ---- */

static enum policy_vtype common_type(enum policy_vtype a, enum policy_vtype b)
{
    if (a == b)
        return a;
    bool numbers = (a == V_INT || a == V_DEC) && (b == V_INT || b == V_DEC);
    return numbers ? V_DEC : V_NULL;
}

static int parse_when(struct compile *c, struct policy_node *operand, struct policy_kids *kids,
                      enum policy_vtype *type)
{
    struct policy_node *when = NULL, *then = NULL;
    char shown[64];
    int rc = policy_parse_expr(c, &when);
    if (rc == 0)
        rc = operand != NULL ? policy_need_comparable(c, operand, when) : policy_need_bool(c, when);
    if (rc == 0 && !policy_take_word(c, "THEN"))
        rc = policy_fail(c, policy_cur(c)->off, "THEN", "unexpected %s",
                         policy_show_token(c, shown));
    rc = rc < 0 ? rc : policy_parse_expr(c, &then);
    if (rc < 0)
        return rc;
    *type = kids->n < 2 ? (enum policy_vtype)then->type : common_type(*type, then->type);
    policy_kids_add(c, kids, when);
    policy_kids_add(c, kids, then);
    return 0;
}

enum { CASE_OPERAND = 1, CASE_ELSE = 2 };

/* "ELSE expr" when it comes next. */
static int parse_else(struct compile *c, struct policy_kids *kids, enum policy_vtype *type,
                      bool *has_else)
{
    struct policy_node *n = NULL;
    *has_else = policy_take_word(c, "ELSE");
    if (!*has_else)
        return 0;
    int rc = policy_parse_expr(c, &n);
    if (rc < 0)
        return rc;
    *type = common_type(*type, n->type);
    policy_kids_add(c, kids, n);
    return 0;
}

static int need_word(struct compile *c, const char *word, const char *expected)
{
    char shown[64];
    if (policy_is_word(c, word))
        return 0;
    return policy_fail(c, policy_cur(c)->off, expected, "unexpected %s",
                       policy_show_token(c, shown));
}

static int parse_case(struct compile *c, size_t off, struct policy_node **out)
{
    struct policy_kids kids = {0};
    struct policy_node *operand = NULL;
    enum policy_vtype type = V_NULL;
    bool has_else = false;
    int rc = policy_is_word(c, "WHEN") ? 0 : policy_parse_expr(c, &operand);
    if (rc == 0 && operand != NULL)
        policy_kids_add(c, &kids, operand);
    rc = rc < 0 ? rc : need_word(c, "WHEN", "WHEN");
    while (rc == 0 && policy_take_word(c, "WHEN"))
        rc = parse_when(c, operand, &kids, &type);
    rc = rc < 0 ? rc : parse_else(c, &kids, &type, &has_else);
    rc = rc < 0 ? rc : need_word(c, "END", "WHEN, ELSE or END");
    if (rc < 0)
        return rc;
    c->cur++;
    struct policy_node *n = policy_node_new(c, off, policy_ev_case, type, kids.p, kids.n);
    n->op = (operand != NULL ? CASE_OPERAND : 0) | (has_else ? CASE_ELSE : 0);
    return policy_expr_finish(c, n, out);
}

/* ---- CAST ---- */

static enum policy_vtype cast_type(const struct policy_token *t)
{
    static const struct {
        const char *name;
        enum policy_vtype type;
    } types[] = {{"INTEGER", V_INT}, {"INT", V_INT},   {"BIGINT", V_INT},   {"SMALLINT", V_INT},
                 {"DECIMAL", V_DEC}, {"FLOAT", V_DEC}, {"DOUBLE", V_DEC},   {"REAL", V_DEC},
                 {"VARCHAR", V_STR}, {"CHAR", V_STR},  {"TIMESTAMP", V_TS}, {"DATE", V_DATE},
                 {"BOOLEAN", V_BOOL}};
    for (size_t i = 0; t->kind == TOK_WORD && i < sizeof(types) / sizeof(types[0]); i++)
        if (strcasecmp(t->text, types[i].name) == 0)
            return types[i].type;
    return V_NULL;
}

static int parse_cast(struct compile *c, size_t off, struct policy_node **out)
{
    struct policy_node *k = NULL;
    char shown[64];
    int decimals = 0;
    int rc = policy_need_op(c, '(', "'(' behind CAST");
    rc = rc < 0 ? rc : policy_parse_expr(c, &k);
    if (rc == 0 && !policy_take_word(c, "AS"))
        rc = policy_fail(c, policy_cur(c)->off, "AS and a type", "unexpected %s",
                         policy_show_token(c, shown));
    enum policy_vtype type = cast_type(policy_cur(c));
    if (rc == 0 && (type == V_NULL || type == V_BOOL))
        rc = policy_fail(c, policy_cur(c)->off, "INTEGER, DECIMAL, VARCHAR, TIMESTAMP or DATE",
                         "unexpected %s", policy_show_token(c, shown));
    c->cur += rc == 0;
    rc = rc < 0 ? rc : parse_precision(c, &decimals);
    rc = rc < 0 ? rc : policy_need_op(c, ')', "')' at the end of CAST");
    if (rc < 0)
        return rc;
    struct policy_node *n = policy_node_new(c, off, policy_ev_convert, type, &k, 1);
    n->op = (int)type;
    return policy_expr_finish(c, n, out);
}

/* ---- functions and attributes ---- */

static int unknown_function(struct compile *c, const struct policy_token *t)
{
    static const char *const macro_words[] = {"define", "undefine", "ifdef", "ifelse", "include"};
    for (size_t i = 0; i < sizeof(macro_words) / sizeof(macro_words[0]); i++)
        if (strcmp(t->text, macro_words[i]) == 0)
            return policy_fail(c, t->off, "no blank between the word and '('",
                               "'%s (' is no macro call", t->text);
    const char *near = policy_func_near(t->text);
    return policy_fail(c, t->off, near, "unknown function '%.64s'", t->text);
}

static int check_args(struct compile *c, const struct policy_func *f, size_t off,
                      const struct policy_kids *args)
{
    if (args->n < f->min_args || args->n > f->max_args)
        return policy_fail(c, off, f->args, "%s has %u argument%s", f->name, args->n,
                           args->n == 1 ? "" : "s");
    for (unsigned i = 0; i < args->n; i++)
        if (args->p[i]->type == V_BOOL && strcmp(f->name, "VARCHAR") != 0)
            return policy_fail(c, args->p[i]->off, f->args,
                               "a condition stands where %s needs a value", f->name);
    if ((f->flags & FUNC_ACTION) != 0 && !c->in_action)
        return policy_fail(c, off, NULL, "%s may be used only in an ACTION clause", f->name);
    return 0;
}

static int parse_args(struct compile *c, struct policy_kids *args)
{
    int rc = 0;
    c->cur++; /* the parenthesis */
    if (policy_take_op(c, ')'))
        return 0;
    do {
        struct policy_node *k = NULL;
        rc = policy_parse_expr(c, &k);
        if (rc == 0)
            policy_kids_add(c, args, k);
    } while (rc == 0 && policy_take_op(c, ','));
    return rc < 0 ? rc : policy_need_op(c, ')', "',' or ')' in the arguments");
}

static int parse_function(struct compile *c, const struct policy_token *t, struct policy_node **out)
{
    const struct policy_func *f = policy_func_find(t->text);
    if (f == NULL)
        return unknown_function(c, t);
    struct policy_kids args = {0};
    int rc = parse_args(c, &args);
    rc = rc < 0 ? rc : check_args(c, f, t->off, &args);
    if (rc < 0)
        return rc;
    struct policy_node *n = policy_node_new(c, t->off, f->eval, f->type, args.p, args.n);
    n->aux = f;
    n->stage = f->stage > n->stage ? f->stage : n->stage;
    n->cost = n->cost < 240 ? n->cost + 8 : n->cost;
    n->uses_time = n->uses_time || (f->flags & FUNC_TIME) != 0;
    n->uses_facts = n->uses_facts || f->stage > POLICY_STAGE_NAME;
    n->is_const = n->is_const && !n->uses_facts && (f->flags & (FUNC_TIME | FUNC_CHANCE)) == 0;
    rc = f->prepare != NULL ? f->prepare(c, n) : 0;
    return rc < 0 ? rc : policy_expr_finish(c, n, out);
}

static int parse_attribute(struct compile *c, const struct policy_token *t,
                           struct policy_node **out)
{
    const struct policy_attr *a = policy_attr_find(t->text);
    if (a == NULL) {
        const char *near = policy_attr_near(t->text);
        return policy_fail(c, t->off, near, "unknown attribute '%.64s'", t->text);
    }
    struct policy_node *n = policy_node_new(c, t->off, policy_ev_attr, a->type, NULL, 0);
    n->aux = a;
    n->stage = a->stage;
    n->cost = a->cost;
    n->is_const = false;
    n->uses_facts = true;
    *out = n;
    return 0;
}

/* ---- operands ---- */

static bool word_constant(const char *name, struct policy_value *v)
{
    *v = (struct policy_value){0};
    if (strcasecmp(name, "TRUE") == 0 || strcasecmp(name, "FALSE") == 0)
        policy_set_bool(v, strcasecmp(name, "TRUE") == 0);
    else if (strcasecmp(name, "INF") == 0)
        policy_set_dec(v, INFINITY);
    else if (strcasecmp(name, "NULL") == 0)
        policy_set_null(v);
    else
        return false;
    return true;
}

static struct policy_node *time_node(struct compile *c, size_t off, policy_eval_fn *fn,
                                     enum policy_vtype type)
{
    struct policy_node *n = policy_node_new(c, off, fn, type, NULL, 0);
    n->is_const = false;
    n->uses_time = true;
    return n;
}

/* Words that begin a clause or a statement, so no operand. */
static bool is_clause_word(const char *w)
{
    static const char *const words[] = {
        "RULE", "WHERE", "FROM",   "TO",    "FOR",     "WHEN", "THEN",     "ELSE", "END",
        "AND",  "OR",    "LIKE",   "IN",    "BETWEEN", "IS",   "ESCAPE",   "EXEC", "OPTS",
        "SHOW", "AS",    "WEIGHT", "LIMIT", "ACTION",  "SIZE", "THRESHOLD"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcasecmp(w, words[i]) == 0)
            return true;
    return false;
}

static int parse_word(struct compile *c, struct policy_node **out)
{
    const struct policy_token *t = policy_cur(c);
    struct policy_value v;
    if (is_clause_word(t->text))
        return expected_expr(c);
    c->cur++;
    if (word_constant(t->text, &v))
        *out = constant(c, t->off, v);
    else if (strcasecmp(t->text, "CURRENT_TIMESTAMP") == 0)
        *out = time_node(c, t->off, policy_ev_now, V_TS);
    else if (strcasecmp(t->text, "CURRENT_DATE") == 0)
        *out = time_node(c, t->off, policy_ev_today, V_DATE);
    else if (strcasecmp(t->text, "INTERVAL") == 0)
        return parse_interval(c, t->off, out);
    else if (strcasecmp(t->text, "CASE") == 0)
        return parse_case(c, t->off, out);
    else if (strcasecmp(t->text, "CAST") == 0)
        return parse_cast(c, t->off, out);
    else if (policy_is_op(c, '('))
        return parse_function(c, t, out);
    else
        return parse_attribute(c, t, out);
    return 0;
}

static int parse_operand(struct compile *c, struct policy_node **out)
{
    const struct policy_token *t = policy_cur(c);
    struct policy_value v = {0};
    if (t->kind == TOK_WORD)
        return parse_word(c, out);
    if (policy_take_op(c, '(')) {
        int rc = policy_parse_expr(c, out);
        return rc < 0 ? rc
                      : policy_need_op(c, ')', "')', or an operator such as AND, OR, = or LIKE");
    }
    if (t->kind == TOK_STR)
        policy_set_str(&v, t->text, t->len);
    else if (t->kind == TOK_INT)
        policy_set_int(&v, t->i);
    else if (t->kind == TOK_DEC)
        policy_set_dec(&v, t->d);
    else
        return expected_expr(c);
    c->cur++;
    *out = constant(c, t->off, v);
    return 0;
}

int policy_parse_unary(struct compile *c, struct policy_node **out)
{
    if (policy_is_op(c, '-') || policy_is_op(c, '+'))
        return policy_parse_sign(c, out);
    struct policy_node *k = NULL;
    int rc = parse_operand(c, &k);
    return rc < 0 ? rc : parse_unit(c, k, out);
}
