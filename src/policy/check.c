/* SPDX-License-Identifier: Apache-2.0 */
/* What needs all statements: numbers, pools and lists by name, WHERE split by cost, summaries. */
#include "policy/rule_impl.h"

#include "base/mem.h"

#include <errno.h>
#include <string.h>

static bool is_numbered(enum policy_stmt s)
{
    return s == STMT_MIGRATE || s == STMT_DELETE || s == STMT_EXCLUDE || s == STMT_LIST;
}

/* ---- names ---- */

static int add_external(struct compile *c, struct policy_rule_impl *r)
{
    struct policy *p = c->p;
    if (policy_external(p, r->ext->name, r->ext->is_list) != NULL)
        return policy_fail(c, r->off, "one EXTERNAL statement per pool or list",
                           "external %s '%.64s' is defined twice",
                           r->ext->is_list ? "list" : "pool", r->ext->name);
    p->externals = xrealloc_array(p->externals, p->n_externals + 1, sizeof(*p->externals));
    p->externals[p->n_externals++] = r->ext;
    return 0;
}

static bool is_disk_pool(const struct compile *c, const char *name)
{
    if (c->opt->pools == NULL)
        return strcmp(name, POLICY_DEFAULT_POOL) == 0;
    for (size_t i = 0; i < c->opt->n_pools; i++)
        if (strcmp(c->opt->pools[i], name) == 0)
            return true;
    return false;
}

/* Whether a SET POOL or GROUP POOL statement speaks of pool name. */
static bool is_mentioned(const struct policy *p, const char *name)
{
    for (size_t i = 0; i < p->n_stmts; i++) {
        const struct policy_rule_impl *r = p->stmts[i];
        if ((r->stmt == STMT_SET_POOL || r->stmt == STMT_GROUP_POOL) &&
            strcmp(r->target, name) == 0)
            return true;
        for (size_t j = 0; j < r->n_members; j++)
            if (strcmp(r->members[j].pool, name) == 0)
                return true;
    }
    return false;
}

static int check_pool(struct compile *c, const char *name, size_t off, const char *clause)
{
    const struct policy *p = c->p;
    if (name == NULL || is_disk_pool(c, name) || policy_external(p, name, false) != NULL ||
        policy_group(p, name, &(size_t){0}) != NULL)
        return 0;
    if (is_mentioned(p, name)) {
        policy_warn(c, off, "%s '%.64s': no such pool here, so nothing moves by this rule", clause,
                    name);
        return 0;
    }
    return policy_fail(c, off, "a disk pool, or the name of an EXTERNAL POOL or GROUP POOL",
                       "%s names unknown pool '%.64s'", clause, name);
}

static void check_group(struct compile *c, const struct policy_rule_impl *r)
{
    for (size_t i = 0; i < r->n_members; i++)
        if (!is_disk_pool(c, r->members[i].pool))
            policy_warn(c, r->off, "GROUP POOL '%.64s': no pool '%.64s' here", r->target,
                        r->members[i].pool);
}

/* ---- WHERE split at AND ---- */

static bool before(const struct policy_node *a, const struct policy_node *b)
{
    return a->stage != b->stage ? a->stage < b->stage : a->cost < b->cost;
}

/* Only TRUE counts, so NULL in one term is as good as FALSE: terms may go in any order. */
static void split_where(struct compile *c, struct policy_rule_impl *r)
{
    struct policy_node *w = r->where;
    if (w == NULL)
        return;
    size_t n = w->class == CLASS_AND ? w->n : 1;
    r->terms = policy_arena_alloc(&c->p->arena, n * sizeof(*r->terms));
    for (size_t i = 0; i < n; i++) {
        struct policy_node *t = w->class == CLASS_AND ? w->kid[i] : w;
        size_t at = r->n_terms++;
        for (; at > 0 && before(t, r->terms[at - 1]); at--)
            r->terms[at] = r->terms[at - 1];
        r->terms[at] = t;
    }
}

static void raise_stage(enum policy_stage *s, const struct policy_node *n)
{
    if (n != NULL && (enum policy_stage)n->stage > *s)
        *s = (enum policy_stage)n->stage;
}

/* ---- the rule table's text ---- */

static void add_quoted(struct buf *b, const char *before_name, const char *name)
{
    buf_adds(b, before_name);
    buf_addc(b, '\'');
    for (; *name != '\0'; name++) {
        if (*name == '\'')
            buf_addc(b, '\'');
        buf_addc(b, *name);
    }
    buf_addc(b, '\'');
}

static void add_clause(struct buf *b, const struct policy_rule_impl *r, enum policy_clause cl)
{
    if ((r->seen & CL_BIT(cl)) != 0)
        buf_addf(b, " %s(.)", policy_clause_name(cl));
}

static void make_summary(struct compile *c, struct policy_rule_impl *r)
{
    static const char *const words[] = {
        [STMT_MIGRATE] = " MIGRATE", [STMT_DELETE] = " DELETE", [STMT_EXCLUDE] = " EXCLUDE"};
    static const enum policy_clause tail[] = {CL_LIMIT, CL_REPLICATE, CL_FILESET, CL_SHOW,
                                              CL_SIZE,  CL_ACTION,    CL_WHERE};
    auto_buf struct buf b = {0};
    buf_adds(&b, "RULE");
    if (r->pub.name[0] != '\0')
        add_quoted(&b, " ", r->pub.name);
    add_clause(&b, r, CL_WHEN);
    if (r->stmt == STMT_LIST)
        add_quoted(&b, " LIST ", r->pub.list);
    else
        buf_adds(&b, words[r->stmt]);
    if (r->pub.list_exclude)
        buf_adds(&b, " EXCLUDE");
    if (r->pub.directories_plus)
        buf_adds(&b, " DIRECTORIES_PLUS");
    add_clause(&b, r, CL_COMPRESS);
    if (r->pub.from_pool != NULL)
        add_quoted(&b, " FROM POOL ", r->pub.from_pool);
    add_clause(&b, r, CL_THRESHOLD);
    add_clause(&b, r, CL_WEIGHT);
    if (r->pub.to_pool != NULL)
        add_quoted(&b, " TO POOL ", r->pub.to_pool);
    for (size_t i = 0; i < sizeof(tail) / sizeof(tail[0]); i++)
        add_clause(&b, r, tail[i]);
    r->pub.summary = policy_arena_dup(&c->p->arena, b.data, b.len);
}

/* ---- one numbered rule ---- */

static void set_kind(struct policy_rule_impl *r)
{
    static const enum policy_kind kinds[] = {[STMT_MIGRATE] = POLICY_MIGRATE,
                                             [STMT_DELETE] = POLICY_DELETE,
                                             [STMT_EXCLUDE] = POLICY_EXCLUDE,
                                             [STMT_LIST] = POLICY_LIST};
    r->pub.kind = kinds[r->stmt];
}

static void link_pools(const struct policy *p, struct policy_rule *r)
{
    size_t n = 0;
    if (r->from_pool != NULL) {
        r->from_external = policy_external(p, r->from_pool, false);
        r->from_group = policy_group(p, r->from_pool, &n) != NULL;
    }
    if (r->to_pool != NULL) {
        r->to_external = policy_external(p, r->to_pool, false);
        r->to_group = policy_group(p, r->to_pool, &n) != NULL;
    }
    if (r->list != NULL)
        r->list_external = policy_external(p, r->list, true);
}

static void link_list(struct policy *p, struct policy_rule_impl *r)
{
    for (size_t i = 0; i < p->n_rules && r->list_id < 0; i++)
        if (p->rules[i]->pub.list != NULL && strcmp(p->rules[i]->pub.list, r->pub.list) == 0)
            r->list_id = p->rules[i]->list_id;
    if (r->list_id < 0)
        r->list_id = (int)p->n_lists++;
}

static void warn_rule(struct compile *c, const struct policy_rule_impl *r)
{
    const struct policy_rule *u = &r->pub;
    if (u->list != NULL && u->list_external == NULL)
        policy_warn(c, r->off,
                    "LIST '%.64s' has no EXTERNAL LIST: it is written with -I defer only", u->list);
    if (u->has_threshold && u->list_external != NULL && u->list_external->over != POLICY_QUOTA_POOL)
        policy_warn(c, r->off,
                    "LIST '%.64s' measures a quota, and quotas are not known here: it stays empty",
                    u->list);
    if (u->from_external != NULL && u->to_external != NULL)
        policy_warn(c, r->off, "from one external pool to another: nothing moves by this rule");
    if (u->to_external != NULL && (r->seen & CL_BIT(CL_LIMIT)) != 0)
        policy_warn(c, r->off, "LIMIT is ignored for external pool '%.64s'", u->to_pool);
}

static int finish_rule(struct compile *c, struct policy_rule_impl *r)
{
    struct policy *p = c->p;
    int rc = check_pool(c, r->pub.from_pool, r->off_from, "FROM POOL");
    rc = rc < 0 ? rc : check_pool(c, r->pub.to_pool, r->off_to, "TO POOL");
    if (rc < 0)
        return rc;
    set_kind(r);
    link_pools(p, &r->pub);
    if (r->stmt == STMT_LIST)
        link_list(p, r);
    split_where(c, r);
    /* A hit needs the size at least. */
    r->stage = POLICY_STAGE_STAT;
    if (r->pub.from_external != NULL || r->pub.to_external != NULL)
        r->stage = POLICY_STAGE_ENGINE;
    raise_stage(&r->stage, r->where);
    raise_stage(&r->stage, r->weight);
    raise_stage(&r->stage, r->show);
    raise_stage(&r->stage, r->size);
    raise_stage(&r->stage, r->action);
    make_summary(c, r);
    warn_rule(c, r);
    r->pub.number = (unsigned)p->n_rules;
    p->rules = xrealloc_array(p->rules, p->n_rules + 1, sizeof(*p->rules));
    p->rules[p->n_rules++] = r;
    return 0;
}

int policy_check_rules(struct compile *c)
{
    struct policy *p = c->p;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < p->n_stmts; i++)
        if (p->stmts[i]->ext != NULL)
            rc = add_external(c, p->stmts[i]);
    for (size_t i = 0; rc == 0 && i < p->n_stmts; i++) {
        struct policy_rule_impl *r = p->stmts[i];
        if (is_numbered(r->stmt))
            rc = finish_rule(c, r);
        else if (r->stmt == STMT_GROUP_POOL)
            check_group(c, r);
        else if (r->stmt == STMT_SET_POOL && !is_disk_pool(c, r->target))
            policy_warn(c, r->off_to, "SET POOL '%.64s': no such pool here", r->target);
    }
    return rc;
}
