/* SPDX-License-Identifier: Apache-2.0 */
/* Statements: one row of a table each, with the clauses that belong to them. */
#include "policy/rule_impl.h"

#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define RULES_MAX 4096

static int unexpected(struct compile *c, const char *expected)
{
    char shown[64];
    return policy_fail(c, policy_cur(c)->off, expected, "unexpected %s",
                       policy_show_token(c, shown));
}

/* ---- heads: what stands between the action's words and the clauses ---- */

static int head_none(struct compile *c)
{
    (void)c;
    return 0;
}

/* SET POOL 'p', SET SNAP_POOL 'p': the words are taken, the name may be in parentheses. */
static int head_set(struct compile *c)
{
    bool paren = policy_take_op(c, '(');
    c->rule->off_to = policy_cur(c)->off;
    int rc = policy_parse_string(c, "a pool name in single quotes", &c->rule->target);
    return rc == 0 && paren ? policy_need_op(c, ')', "')' behind the pool name") : rc;
}

static int head_list(struct compile *c)
{
    return policy_parse_string(c, "the list's name in single quotes", &c->rule->pub.list);
}

static int head_external(struct compile *c)
{
    struct policy_external *e = policy_arena_zalloc(&c->p->arena, sizeof(*e));
    e->is_list = c->rule->stmt == STMT_EXTERNAL_LIST;
    e->rule = c->rule->pub.name;
    e->exec = e->opts = "";
    e->line = c->rule->pub.line;
    c->rule->ext = e;
    return policy_parse_string(
        c, e->is_list ? "the list's name in single quotes" : "the pool's name in single quotes",
        &e->name);
}

static int add_member(struct compile *c, size_t *cap)
{
    struct policy_rule_impl *r = c->rule;
    if (r->n_members == *cap) {
        size_t more = *cap * 2 + 4;
        struct policy_member *m = policy_arena_alloc(&c->p->arena, more * sizeof(*m));
        if (*cap > 0)
            memcpy(m, r->members, *cap * sizeof(*m));
        r->members = m;
        *cap = more;
    }
    struct policy_member *m = &r->members[r->n_members];
    *m = (struct policy_member){.limit = 99};
    int rc = policy_parse_string(c, "a pool name in single quotes", &m->pool);
    r->n_members += rc == 0;
    return rc < 0 ? rc : policy_parse_limit(c, &m->limit);
}

/* GROUP POOL ['g'] IS 'p1' [LIMIT(n)] THEN 'p2' ... */
static int head_group(struct compile *c)
{
    size_t cap = 0;
    int rc = 0;
    c->rule->target = c->rule->pub.name;
    if (policy_cur(c)->kind == TOK_STR)
        rc = policy_parse_string(c, "the group's name", &c->rule->target);
    if (rc == 0 && !policy_take_word(c, "IS"))
        rc = unexpected(c, "IS 'pool'");
    do
        rc = rc < 0 ? rc : add_member(c, &cap);
    while (rc == 0 && policy_take_word(c, "THEN"));
    return rc;
}

static int skip_strings(struct compile *c, const char *what)
{
    const char *s = NULL;
    int rc = 0;
    do
        rc = policy_parse_string(c, what, &s);
    while (rc == 0 && policy_take_op(c, ','));
    return rc;
}

static int head_set_encryption(struct compile *c)
{
    policy_warn(c, c->rule->off, "SET ENCRYPTION has no effect here");
    if (policy_take_word(c, "EXCLUDE"))
        return 0;
    return skip_strings(c, "EXCLUDE or an encryption specification in single quotes");
}

/* ENCRYPTION 'spec' IS ALGO 'a' COMBINE 'c' WRAP 'w' KEYS('k'[,'k'...]) */
static int head_encryption(struct compile *c)
{
    static const char *const words[] = {"ALGO", "COMBINE", "WRAP"};
    policy_warn(c, c->rule->off, "ENCRYPTION has no effect here");
    const char *s = NULL;
    int rc = policy_parse_string(c, "the specification's name in single quotes", &s);
    if (rc == 0 && !policy_take_word(c, "IS"))
        rc = unexpected(c, "IS ALGO 'algorithm'");
    for (size_t i = 0; rc == 0 && i < 3; i++) {
        if (policy_take_word(c, words[i]))
            rc = policy_parse_string(c, "a string", &s);
        else if (i == 0)
            rc = unexpected(c, "ALGO 'algorithm'");
    }
    if (rc == 0 && policy_take_word(c, "KEYS")) {
        rc = policy_need_op(c, '(', "'(' and the keys' names");
        rc = rc < 0 ? rc : skip_strings(c, "a key's name in single quotes");
        rc = rc < 0 ? rc : policy_need_op(c, ')', "',' or ')'");
    }
    return rc;
}

/* ---- the table ---- */

#define B(x)  CL_BIT(CL_##x)
#define PLACE (B(LIMIT) | B(REPLICATE) | B(FILESET) | B(ACTION) | B(WHERE))
#define SELECT                                                                                     \
    (B(WHEN) | B(FROM) | B(THRESHOLD) | B(WEIGHT) | B(FILESET) | B(SHOW) | B(SIZE) | B(ACTION) |   \
     B(WHERE))
#define EXTERNAL (B(EXEC) | B(OPTS) | B(ESCAPE) | B(SIZE))

static const struct {
    const char *words[2];
    enum policy_stmt stmt;
    int (*head)(struct compile *c);
    unsigned allowed;
    unsigned needed;
} statements[] = {
    {{"SET", "POOL"}, STMT_SET_POOL, head_set, PLACE, 0},
    {{"SET", "SNAP_POOL"}, STMT_SET_POOL, head_set, PLACE, 0},
    {{"SET", "ENCRYPTION"}, STMT_SET_ENCRYPTION, head_set_encryption, B(FILESET) | B(WHERE), 0},
    {{"GROUP", "POOL"}, STMT_GROUP_POOL, head_group, 0, 0},
    {{"MIGRATE", NULL},
     STMT_MIGRATE,
     head_none,
     SELECT | B(TO) | B(LIMIT) | B(REPLICATE) | B(COMPRESS),
     B(TO)},
    {{"DELETE", NULL}, STMT_DELETE, head_none, SELECT | B(DIRS), 0},
    {{"EXCLUDE", NULL},
     STMT_EXCLUDE,
     head_none,
     B(WHEN) | B(FROM) | B(DIRS) | B(FILESET) | B(ACTION) | B(WHERE),
     0},
    {{"LIST", NULL}, STMT_LIST, head_list, SELECT | B(DIRS) | B(EXCLUDE), 0},
    {{"RESTORE", NULL}, STMT_RESTORE, head_none, PLACE | B(TO), B(TO)},
    {{"EXTERNAL", "POOL"}, STMT_EXTERNAL_POOL, head_external, EXTERNAL, 0},
    {{"EXTERNAL", "LIST"}, STMT_EXTERNAL_LIST, head_external, EXTERNAL | B(THRESHOLD), 0},
    {{"ENCRYPTION", NULL}, STMT_ENCRYPTION, head_encryption, 0, 0},
};
#define N_STATEMENTS (sizeof(statements) / sizeof(statements[0]))

#define ACTIONS                                                                                    \
    "MIGRATE, DELETE, EXCLUDE, LIST, EXTERNAL POOL, EXTERNAL LIST, SET POOL, GROUP POOL or "       \
    "RESTORE"

/* Takes the action's words; the row, or N_STATEMENTS. */
static size_t take_action(struct compile *c)
{
    size_t start = c->cur;
    for (size_t i = 0; i < N_STATEMENTS; i++) {
        c->cur = start;
        if (policy_take_word(c, statements[i].words[0]) &&
            (statements[i].words[1] == NULL || policy_take_word(c, statements[i].words[1])))
            return i;
    }
    c->cur = start;
    return N_STATEMENTS;
}

static int need_clauses(struct compile *c, size_t row)
{
    unsigned missing = statements[row].needed & ~c->rule->seen;
    for (int cl = 0; cl < CL_N; cl++)
        if ((missing & CL_BIT(cl)) != 0)
            return policy_fail(c, c->rule->off, policy_clause_name((enum policy_clause)cl),
                               "%s without %s", statements[row].words[0],
                               policy_clause_name((enum policy_clause)cl));
    return 0;
}

static int begin(struct compile *c)
{
    static const char *const macro_words[] = {"define", "undefine", "ifdef", "ifelse", "include"};
    const struct policy_token *t = policy_cur(c);
    if (!policy_is_word(c, "RULE")) {
        for (size_t i = 0; i < 5 && t->kind == TOK_WORD; i++)
            if (strcmp(t->text, macro_words[i]) == 0)
                return policy_fail(c, t->off, "no blank between the word and '('",
                                   "'%s' is no macro call", t->text);
        return unexpected(c, c->rule == NULL ? "RULE" : "a clause of this rule, or RULE");
    }
    if (c->p->n_stmts >= RULES_MAX)
        return policy_fail(c, t->off, NULL, "more than %d rules", RULES_MAX);
    struct policy_rule_impl *r = policy_arena_zalloc(&c->p->arena, sizeof(*r));
    struct policy_diag d = {0};
    policy_source_place(&c->p->source, policy_source_find(&c->p->source, t->off), &d);
    r->off = t->off;
    r->pub.line = d.line;
    r->pub.name = "";
    r->pub.limit = 99;
    r->list_id = -1;
    c->rule = r;
    c->cur++;
    return policy_cur(c)->kind == TOK_STR ? policy_parse_string(c, "a name", &r->pub.name) : 0;
}

static int parse_statement(struct compile *c)
{
    int rc = begin(c);
    struct policy_rule_impl *r = c->rule;
    if (rc == 0 && policy_is_word(c, "WHEN"))
        rc = policy_parse_clause(c, B(WHEN));
    if (rc < 0)
        return rc;
    size_t row = take_action(c);
    if (row == N_STATEMENTS)
        return unexpected(c, ACTIONS);
    if ((r->seen & ~statements[row].allowed) != 0)
        return policy_fail(c, r->off, NULL, "WHEN does not belong to this kind of rule");
    r->stmt = statements[row].stmt;
    rc = statements[row].head(c);
    if (rc == 0)
        rc = 1;
    while (rc == 1)
        rc = policy_parse_clause(c, statements[row].allowed);
    rc = rc < 0 ? rc : need_clauses(c, row);
    if (rc < 0)
        return rc;
    struct policy *p = c->p;
    p->stmts = xrealloc_array(p->stmts, p->n_stmts + 1, sizeof(*p->stmts));
    p->stmts[p->n_stmts++] = r;
    return 0;
}

int policy_parse_rules(struct compile *c)
{
    if (policy_cur(c)->kind == TOK_END)
        return policy_fail(c, policy_cur(c)->off, "RULE", "the policy has no rule");
    int rc = 0;
    while (rc == 0 && policy_cur(c)->kind != TOK_END)
        rc = parse_statement(c);
    return rc;
}
