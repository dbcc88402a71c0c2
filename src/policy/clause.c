/* SPDX-License-Identifier: Apache-2.0 */
/* The clauses of rules, one row of a table each, in any order, each at most once. */
#include "policy/rule_impl.h"

#include "base/mem.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

int policy_parse_string(struct compile *c, const char *what, const char **out)
{
    char shown[64];
    const struct policy_token *t = policy_cur(c);
    if (t->kind != TOK_STR)
        return policy_fail(c, t->off, what, "unexpected %s", policy_show_token(c, shown));
    if (strlen(t->text) != t->len)
        return policy_fail(c, t->off, NULL, "a NUL byte in a name");
    *out = t->text;
    c->cur++;
    return 0;
}

int policy_parse_pool(struct compile *c, const char **out, size_t *off)
{
    char shown[64];
    if (!policy_take_word(c, "POOL"))
        return policy_fail(c, policy_cur(c)->off, "POOL 'name'", "unexpected %s",
                           policy_show_token(c, shown));
    bool paren = policy_take_op(c, '(');
    *off = policy_cur(c)->off;
    int rc = policy_parse_string(c, "a pool name in single quotes", out);
    if (rc == 0 && paren)
        rc = policy_need_op(c, ')', "')' behind the pool name");
    return rc;
}

/* "(expr)" */
static int parse_in_parens(struct compile *c, const char *what, struct policy_node **out)
{
    int rc = policy_need_op(c, '(', what);
    rc = rc < 0 ? rc : policy_parse_expr(c, out);
    return rc < 0 ? rc : policy_need_op(c, ')', "')' or an operator");
}

static int need_value(struct compile *c, const struct policy_node *n)
{
    if (n->type != V_BOOL)
        return 0;
    return policy_fail(c, n->off, "a number or text", "a condition stands where a value is needed");
}

/* A constant number lo .. hi. */
static int constant(struct compile *c, const struct policy_node *n, const char *what, double lo,
                    double hi, double *out)
{
    double d = n->eval == policy_ev_const ? policy_to_double(&n->k) : NAN;
    if (!(d >= lo && d <= hi)) {
        char range[64];
        (void)snprintf(range, sizeof(range), "a constant from %g to %g", lo, hi);
        return policy_fail(c, n->off, range, "%s is out of range or no constant", what);
    }
    *out = d;
    return 0;
}

int policy_parse_limit(struct compile *c, double *limit)
{
    if (!policy_take_word(c, "LIMIT"))
        return 0;
    struct policy_node *n = NULL;
    int rc = parse_in_parens(c, "'(' behind LIMIT", &n);
    return rc < 0 ? rc : constant(c, n, "LIMIT", 0, 100, limit);
}

/* ---- one function per clause; the word is taken already ---- */

static int cl_when(struct compile *c)
{
    int rc = policy_parse_expr(c, &c->rule->when);
    rc = rc < 0 ? rc : policy_need_bool(c, c->rule->when);
    if (rc == 0 && c->rule->when->uses_facts)
        return policy_fail(c, c->rule->when->off, "only dates, times and constants",
                           "WHEN may not use attributes of files");
    return rc;
}

static int cl_where(struct compile *c)
{
    int rc = policy_parse_expr(c, &c->rule->where);
    return rc < 0 ? rc : policy_need_bool(c, c->rule->where);
}

static int cl_from(struct compile *c)
{
    return policy_parse_pool(c, &c->rule->pub.from_pool, &c->rule->off_from);
}

static int cl_to(struct compile *c)
{
    return policy_parse_pool(c, &c->rule->pub.to_pool, &c->rule->off_to);
}

static int threshold_class(struct compile *c)
{
    static const struct {
        const char *name;
        enum policy_quota over;
    } classes[] = {{"POOL_CAPACITIES", POLICY_QUOTA_POOL},
                   {"FILESET_QUOTAS", POLICY_QUOTA_FILESET},
                   {"FILESET_QUOTA_SOFT", POLICY_QUOTA_FILESET_SOFT},
                   {"GROUP_QUOTAS", POLICY_QUOTA_GROUP},
                   {"GROUP_QUOTA_SOFT", POLICY_QUOTA_GROUP_SOFT},
                   {"USER_QUOTAS", POLICY_QUOTA_USER},
                   {"USER_QUOTA_SOFT", POLICY_QUOTA_USER_SOFT}};
    const char *name = "";
    size_t off = policy_cur(c)->off;
    int rc = policy_parse_string(c, "a class in single quotes, such as 'FILESET_QUOTAS'", &name);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        if (strcasecmp(classes[i].name, name) == 0) {
            c->rule->ext->over = classes[i].over;
            return 0;
        }
    }
    return policy_fail(c, off,
                       "POOL_CAPACITIES, or FILESET_, GROUP_ or USER_ with QUOTAS or "
                       "QUOTA_SOFT",
                       "unknown threshold class '%.60s'", name);
}

static int cl_threshold(struct compile *c)
{
    struct policy_rule *r = &c->rule->pub;
    if (c->rule->ext != NULL)
        return threshold_class(c);
    double v[3] = {0, 0, 0};
    int n = 0;
    int rc = policy_need_op(c, '(', "'(' and percentages behind THRESHOLD");
    while (rc == 0 && n < 3) {
        struct policy_node *node = NULL;
        rc = policy_parse_expr(c, &node);
        rc = rc < 0 ? rc : constant(c, node, "a THRESHOLD percentage", 0, 100, &v[n]);
        n++;
        if (rc == 0 && !policy_take_op(c, ','))
            break;
    }
    rc = rc < 0 ? rc : policy_need_op(c, ')', "')' behind at most three percentages");
    if (rc < 0)
        return rc;
    r->has_threshold = true;
    r->high = v[0];
    r->low = n > 1 ? v[1] : v[0];
    r->premig = n > 2 ? v[2] : r->low;
    return 0;
}

static int cl_weight(struct compile *c)
{
    c->rule->pub.has_weight = true;
    int rc = parse_in_parens(c, "'(' behind WEIGHT", &c->rule->weight);
    return rc < 0 ? rc : need_value(c, c->rule->weight);
}

static int cl_limit(struct compile *c)
{
    c->cur--; /* its own parser takes the word too */
    return policy_parse_limit(c, &c->rule->pub.limit);
}

static int cl_replicate(struct compile *c)
{
    struct policy_node *n = NULL;
    double copies = 0;
    policy_warn(c, policy_cur(c)->off, "REPLICATE has no effect on firn's disk pools");
    int rc = parse_in_parens(c, "'(' behind REPLICATE", &n);
    return rc < 0 ? rc : constant(c, n, "REPLICATE", 1, 3, &copies);
}

static int cl_fileset(struct compile *c)
{
    struct policy_rule_impl *r = c->rule;
    char shown[64];
    if (!policy_take_word(c, "FILESET"))
        return policy_fail(c, policy_cur(c)->off, "FILESET ('name', ...)", "unexpected %s",
                           policy_show_token(c, shown));
    int rc = policy_need_op(c, '(', "'(' and fileset names");
    size_t cap = 0;
    do {
        if (rc == 0 && r->n_filesets == cap) {
            const char **more = policy_arena_alloc(&c->p->arena, (cap * 2 + 8) * sizeof(*more));
            if (cap > 0)
                memcpy(more, r->filesets, cap * sizeof(*more));
            r->filesets = more;
            cap = cap * 2 + 8;
        }
        rc = rc < 0 ? rc
                    : policy_parse_string(c, "a fileset name in single quotes",
                                          &r->filesets[r->n_filesets]);
        r->n_filesets += rc == 0;
    } while (rc == 0 && policy_take_op(c, ','));
    if (rc == 0 && policy_cur(c)->kind == TOK_STR) {
        char fix[200];
        (void)snprintf(fix, sizeof(fix), "a comma between the names: ('%.60s','%.60s')",
                       r->filesets[r->n_filesets - 1], policy_cur(c)->text);
        return policy_fail(c, policy_cur(c)->off, fix,
                           "two fileset names without a comma between them");
    }
    return rc < 0 ? rc : policy_need_op(c, ')', "',' or ')' in the list of filesets");
}

/* A literal in front of the value: a string behind which no operator stands. */
static bool is_show_text(const struct compile *c)
{
    const struct policy_token *t = policy_cur(c);
    if (t->kind != TOK_STR)
        return false;
    const struct policy_token *next = t + 1;
    static const char *const ops[] = {"LIKE", "IN", "BETWEEN", "IS", "NOT", "AND", "OR"};
    if (next->kind == TOK_PUNCT)
        return next->op == '(';
    for (size_t i = 0; next->kind == TOK_WORD && i < sizeof(ops) / sizeof(ops[0]); i++)
        if (strcasecmp(next->text, ops[i]) == 0)
            return false;
    return next->kind != TOK_END;
}

static int cl_show(struct compile *c)
{
    struct policy_rule_impl *r = c->rule;
    int rc = policy_need_op(c, '(', "'(' behind SHOW");
    if (rc == 0 && is_show_text(c))
        rc = policy_parse_string(c, "a string", &r->show_text);
    rc = rc < 0 ? rc : policy_parse_expr(c, &r->show);
    r->pub.has_show = true;
    return rc < 0 ? rc : policy_need_op(c, ')', "')' or an operator such as ||");
}

static int cl_size(struct compile *c)
{
    struct policy_rule_impl *r = c->rule;
    int rc = 0;
    if (r->ext == NULL) {
        r->pub.has_size = true;
        rc = parse_in_parens(c, "'(' behind SIZE", &r->size);
        return rc < 0 ? rc : need_value(c, r->size);
    }
    struct policy_node *n = NULL;
    double kb = 0;
    rc = policy_parse_expr(c, &n);
    rc = rc < 0 ? rc : constant(c, n, "SIZE (in KB)", 0, 9e15, &kb);
    r->ext->size_kb = (uint64_t)kb;
    return rc;
}

static int cl_action(struct compile *c)
{
    c->rule->pub.has_action = true;
    c->in_action = true;
    int rc = parse_in_parens(c, "'(' behind ACTION", &c->rule->action);
    c->in_action = false;
    return rc;
}

static int cl_compress(struct compile *c)
{
    static const char *const algorithms[] = {"yes", "no", "z", "lz4", "zfast", "alphae", "alphah"};
    const char *alg = "";
    size_t off = policy_cur(c)->off;
    int rc = policy_need_op(c, '(', "'(' behind COMPRESS");
    rc = rc < 0 ? rc : policy_parse_string(c, "'yes', 'no' or an algorithm", &alg);
    rc = rc < 0 ? rc : policy_need_op(c, ')', "')' behind the algorithm");
    if (rc < 0)
        return rc;
    policy_warn(c, off, "COMPRESS is ignored: a plain file system does not compress by policy");
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++)
        if (strcasecmp(alg, algorithms[i]) == 0)
            return 0;
    return policy_fail(c, off, "'yes', 'no', 'z', 'lz4', 'zfast', 'alphae' or 'alphah'",
                       "unknown compression '%.60s'", alg);
}

static int cl_dirs(struct compile *c)
{
    c->rule->pub.directories_plus = true;
    return 0;
}

static int cl_exclude(struct compile *c)
{
    c->rule->pub.list_exclude = true;
    return 0;
}

static int cl_exec(struct compile *c)
{
    return policy_parse_string(c, "a program's path in single quotes", &c->rule->ext->exec);
}

static int cl_opts(struct compile *c)
{
    auto_buf struct buf b = {0};
    const char *s = NULL;
    int rc = policy_parse_string(c, "the options in single quotes", &s);
    while (rc == 0) {
        buf_addf(&b, "%s%s", b.len > 0 ? " " : "", s);
        if (policy_cur(c)->kind != TOK_STR)
            break;
        rc = policy_parse_string(c, "the options in single quotes", &s);
    }
    if (rc == 0)
        c->rule->ext->opts = policy_arena_dup(&c->p->arena, b.data, b.len);
    return rc;
}

static int cl_escape(struct compile *c)
{
    const char *s = "";
    size_t off = policy_cur(c)->off;
    int rc = policy_parse_string(c, "'%' and the characters to leave alone", &s);
    if (rc < 0)
        return rc;
    if (s[0] != '%')
        return policy_fail(c, off, "'%' and the characters to leave alone, such as '%/+@#'",
                           "ESCAPE must begin with '%%'");
    c->rule->ext->escape = s + 1;
    return 0;
}

/* ---- the table ---- */

static const struct {
    const char *word;
    enum policy_clause id;
    const char *name;
    int (*parse)(struct compile *c);
} clauses[] = {
    {"WHEN", CL_WHEN, "WHEN", cl_when},
    {"FROM", CL_FROM, "FROM POOL", cl_from},
    {"TO", CL_TO, "TO POOL", cl_to},
    {"THRESHOLD", CL_THRESHOLD, "THRESHOLD", cl_threshold},
    {"WEIGHT", CL_WEIGHT, "WEIGHT", cl_weight},
    {"LIMIT", CL_LIMIT, "LIMIT", cl_limit},
    {"REPLICATE", CL_REPLICATE, "REPLICATE", cl_replicate},
    {"FOR", CL_FILESET, "FOR FILESET", cl_fileset},
    {"SHOW", CL_SHOW, "SHOW", cl_show},
    {"SIZE", CL_SIZE, "SIZE", cl_size},
    {"ACTION", CL_ACTION, "ACTION", cl_action},
    {"WHERE", CL_WHERE, "WHERE", cl_where},
    {"COMPRESS", CL_COMPRESS, "COMPRESS", cl_compress},
    {"DIRECTORIES_PLUS", CL_DIRS, "DIRECTORIES_PLUS", cl_dirs},
    {"EXCLUDE", CL_EXCLUDE, "EXCLUDE", cl_exclude},
    {"EXEC", CL_EXEC, "EXEC", cl_exec},
    {"OPTS", CL_OPTS, "OPTS", cl_opts},
    {"ESCAPE", CL_ESCAPE, "ESCAPE", cl_escape},
};
#define N_CLAUSES (sizeof(clauses) / sizeof(clauses[0]))

const char *policy_clause_name(enum policy_clause cl)
{
    for (size_t i = 0; i < N_CLAUSES; i++)
        if (clauses[i].id == cl)
            return clauses[i].name;
    return "";
}

int policy_parse_clause(struct compile *c, unsigned allowed)
{
    size_t i = 0;
    while (i < N_CLAUSES && !policy_is_word(c, clauses[i].word))
        i++;
    if (i == N_CLAUSES)
        return 0;
    size_t off = policy_cur(c)->off;
    unsigned bit = CL_BIT(clauses[i].id);
    if ((allowed & bit) == 0)
        return policy_fail(c, off, NULL, "%s does not belong to this kind of rule",
                           clauses[i].name);
    if ((c->rule->seen & bit) != 0)
        return policy_fail(c, off, "each clause at most once", "repeated clause %s",
                           clauses[i].name);
    c->rule->seen |= bit;
    c->cur++;
    int rc = clauses[i].parse(c);
    return rc < 0 ? rc : 1;
}
