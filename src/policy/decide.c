/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One object against all rules, stage by stage: at each stage every rule that still matters is
 * tested as far as the facts of that stage allow; dearer facts are asked for only while the
 * decision hangs on them.
 */
#include "policy/policy_impl.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum rule_result { RULE_OPEN, RULE_NO, RULE_YES };

/* ---- context ---- */

/* A truth that does not hang on objects. */
static bool holds(struct policy_eval *ev, const struct policy_node *n)
{
    struct policy_value v = {0};
    policy_ev(ev, n, &v);
    return v.type == V_BOOL && v.i != 0;
}

static bool is_off(struct policy_eval *ev, const struct policy_rule_impl *r)
{
    const struct policy_rule *u = &r->pub;
    if (r->when != NULL && !holds(ev, r->when))
        return true;
    for (size_t i = 0; i < r->n_terms && r->terms[i]->is_const; i++)
        if (!holds(ev, r->terms[i]))
            return true;
    if (u->from_external != NULL && u->to_external != NULL)
        return true;
    if (!u->has_threshold || u->from_external != NULL)
        return false;
    if (u->list_external != NULL && u->list_external->over != POLICY_QUOTA_POOL)
        return true; /* no quotas here, so nobody is above one */
    if (u->from_pool == NULL)
        return false; /* the object's own pool: known later */
    double percent = policy_pool_percent(ev->p, ev->pools, ev->n_pools, u->from_pool);
    return percent < u->high; /* unknown (NaN) counts as full */
}

static void copy_pools(struct policy_eval *ev, const struct policy_pool *pools, size_t n)
{
    ev->pools = xzalloc((n + 1) * sizeof(*ev->pools));
    ev->n_pools = n;
    for (size_t i = 0; i < n; i++) {
        ev->pools[i] = pools[i];
        ev->pools[i].name = xstrdup(pools[i].name);
    }
}

struct policy_eval *policy_eval_new(const struct policy *p, int64_t now_ns,
                                    const struct policy_pool *pools, size_t n_pools)
{
    struct policy_eval *ev = xzalloc(sizeof(*ev));
    ev->p = p;
    ev->now_us = now_ns >= 0 ? now_ns / 1000 : -((999 - now_ns) / 1000);
    ev->random = (uint64_t)now_ns ^ (uint64_t)(uintptr_t)ev ^ 0x9e3779b97f4a7c15ULL;
    ev->random |= 1;
    ev->xattrs = xzalloc((p->n_xattrs + 1) * sizeof(*ev->xattrs));
    ev->xbuf_cap = 1024;
    ev->xbuf = xzalloc(ev->xbuf_cap);
    ev->rules = xzalloc((p->n_rules + 1) * sizeof(*ev->rules));
    ev->hits = xzalloc((p->n_rules + 1) * sizeof(*ev->hits));
    ev->bad_numbers = xzalloc((p->n_rules + 1) * sizeof(*ev->bad_numbers));
    ev->list_dead = xzalloc(p->n_lists + 1);
    copy_pools(ev, pools, n_pools);
    for (size_t i = 0; i < p->n_rules; i++) {
        ev->rules[i].off = is_off(ev, p->rules[i]);
        if (ev->rules[i].off)
            continue;
        ev->alive = true;
        if (p->rules[i]->stage > ev->stage)
            ev->stage = p->rules[i]->stage;
    }
    return ev;
}

void policy_eval_free(struct policy_eval *ev)
{
    if (ev == NULL)
        return;
    for (size_t i = 0; i < ev->n_pools; i++)
        free((char *)(uintptr_t)ev->pools[i].name);
    free(ev->pools);
    free(ev->xattrs);
    free(ev->xbuf);
    free(ev->rules);
    free(ev->hits);
    free(ev->bad_numbers);
    free(ev->list_dead);
    policy_arena_fini(&ev->scratch);
    free(ev);
}

bool policy_eval_alive(const struct policy_eval *ev)
{
    return ev->alive;
}

enum policy_stage policy_eval_stage(const struct policy_eval *ev)
{
    return ev->stage;
}

uint64_t policy_eval_bad_numbers(const struct policy_eval *ev, unsigned rule)
{
    return ev->bad_numbers[rule];
}

/* ---- terms ---- */

enum truth { T_FALSE, T_TRUE, T_NULL, T_PENDING };

/* Truth of n with facts up to stage: T_PENDING when it hangs on dearer ones. */
static enum truth test(struct policy_eval *ev, const struct policy_node *n, enum policy_stage stage)
{
    if ((enum policy_stage)n->stage <= stage) {
        struct policy_value v;
        policy_ev(ev, n, &v);
        return v.type != V_BOOL ? T_NULL : v.i != 0 ? T_TRUE : T_FALSE;
    }
    if (n->class == CLASS_LEAF)
        return T_PENDING;
    if (n->class == CLASS_NOT) {
        enum truth t = test(ev, n->kid[0], stage);
        return t == T_TRUE ? T_FALSE : t == T_FALSE ? T_TRUE : t;
    }
    enum truth strong = n->class == CLASS_AND ? T_FALSE : T_TRUE;
    enum truth r = n->class == CLASS_AND ? T_TRUE : T_FALSE;
    for (unsigned i = 0; i < n->n; i++) {
        enum truth t = test(ev, n->kid[i], stage);
        if (t == strong)
            return strong;
        if (t == T_PENDING || (t == T_NULL && r != T_PENDING))
            r = t;
    }
    return r;
}

/* ---- clauses that are not in WHERE ---- */

static bool fileset_fits(struct policy_eval *ev, const struct policy_rule_impl *r)
{
    if (r->n_filesets == 0)
        return true;
    const char *fs = policy_fact_fileset(ev);
    for (size_t i = 0; i < r->n_filesets; i++)
        if (strcmp(r->filesets[i], fs) == 0)
            return true;
    return false;
}

static bool pool_fits(struct policy_eval *ev, const struct policy_rule *u)
{
    if (u->from_pool != NULL && u->from_external == NULL) {
        const char *pool = policy_fact_pool(ev);
        if (u->from_group ? !policy_group_has(ev->p, u->from_pool, pool)
                          : strcmp(u->from_pool, pool) != 0)
            return false;
    }
    if (u->has_threshold && u->from_pool == NULL) {
        double percent = policy_pool_percent(ev->p, ev->pools, ev->n_pools, policy_fact_pool(ev));
        return !(percent < u->high);
    }
    return true;
}

/* What can be told by name: type, pool, fileset. T_PENDING while the type is not known. */
static enum truth test_clauses(struct policy_eval *ev, const struct policy_rule_impl *r,
                               enum policy_stage stage)
{
    if (!r->pub.directories_plus) {
        if (ev->obj->d_type == DT_UNKNOWN && stage < POLICY_STAGE_STAT)
            return T_PENDING;
        if (policy_fact_type(ev) != DT_REG)
            return T_FALSE;
    }
    return pool_fits(ev, &r->pub) && fileset_fits(ev, r) ? T_TRUE : T_FALSE;
}

/* A source outside (recall, purge) wants a copy outside; a recall wants the data away. */
static enum truth test_state(struct policy_eval *ev, const struct policy_rule *u,
                             enum policy_stage stage)
{
    if (u->from_external == NULL)
        return T_TRUE;
    if (stage < POLICY_STAGE_ENGINE)
        return T_PENDING;
    enum policy_state s = policy_fact_state(ev, NULL);
    if (u->kind == POLICY_MIGRATE)
        return s == POLICY_MIGRATED ? T_TRUE : T_FALSE;
    return s != POLICY_RESIDENT ? T_TRUE : T_FALSE;
}

/* ---- one rule ---- */

/* Steps before the terms. */
enum { STEP_CLAUSES, STEP_TERMS };

static enum rule_result advance(struct policy_eval *ev, const struct policy_rule_impl *r,
                                struct policy_rule_state *st, enum policy_stage stage)
{
    if (st->next == STEP_CLAUSES) {
        enum truth t = test_clauses(ev, r, stage);
        if (t != T_TRUE)
            return t == T_PENDING ? RULE_OPEN : RULE_NO;
        st->next = STEP_TERMS;
    }
    while (st->next - STEP_TERMS < r->n_terms) {
        enum truth t = test(ev, r->terms[st->next - STEP_TERMS], stage);
        if (t == T_FALSE || t == T_NULL)
            return RULE_NO;
        if (t == T_PENDING)
            break;
        st->next++;
    }
    /* A later term can say no before the pending one is known. */
    for (size_t i = st->next - STEP_TERMS; i < r->n_terms; i++) {
        enum truth t = test(ev, r->terms[i], stage);
        if (t == T_FALSE || t == T_NULL)
            return RULE_NO;
    }
    if (st->next - STEP_TERMS < r->n_terms)
        return RULE_OPEN;
    enum truth t = test_state(ev, &r->pub, stage);
    return t == T_TRUE ? RULE_YES : t == T_PENDING ? RULE_OPEN : RULE_NO;
}

/* Rules in file order at one stage. Returns true when all are decided. */
static bool pass(struct policy_eval *ev, enum policy_stage stage)
{
    bool taken = false, decided = true;
    if (ev->p->n_lists > 0)
        memset(ev->list_dead, 0, ev->p->n_lists);
    for (unsigned i = 0; i < ev->p->n_rules; i++) {
        const struct policy_rule_impl *r = ev->p->rules[i];
        struct policy_rule_state *st = &ev->rules[i];
        bool is_list = r->stmt == STMT_LIST;
        if (st->off || st->result == RULE_NO)
            continue;
        if (is_list ? ev->list_dead[r->list_id] : taken) {
            st->result = RULE_NO;
            continue;
        }
        if (st->result == RULE_OPEN) {
            ev->rule = i;
            st->result = (uint8_t)advance(ev, r, st, stage);
        }
        decided = decided && st->result != RULE_OPEN;
        if (st->result == RULE_YES && is_list && r->pub.list_exclude)
            ev->list_dead[r->list_id] = 1;
        else if (st->result == RULE_YES && !is_list)
            taken = true;
    }
    return decided;
}

/* ---- outputs ---- */

static double weight_of(struct policy_eval *ev, const struct policy_rule_impl *r)
{
    struct policy_value v;
    if (r->weight == NULL)
        return r->pub.has_threshold ? (double)policy_fact_kb(ev) : INFINITY;
    policy_ev(ev, r->weight, &v);
    struct policy_value num = v;
    policy_note_bad(ev, !policy_to_number(&num));
    double d = policy_to_double(&num);
    return isnan(d) ? -INFINITY : d;
}

static int64_t size_of(struct policy_eval *ev, const struct policy_rule_impl *r)
{
    if (r->size != NULL) {
        struct policy_value v;
        policy_ev(ev, r->size, &v);
        double d = policy_to_double(&v);
        if (d >= -9e18 && d <= 9e18)
            return (int64_t)floor(d + 0.5);
    }
    if (r->pub.from_external != NULL) {
        const struct statx *s = policy_fact_stat(ev);
        return s != NULL ? (int64_t)(s->stx_size / 1024 + (s->stx_size % 1024 != 0)) : 0;
    }
    return policy_fact_kb(ev);
}

static void show_of(struct policy_eval *ev, const struct policy_rule_impl *r,
                    struct policy_hit *hit)
{
    struct policy_value v = {0};
    hit->show = "";
    hit->show_len = 0;
    if (r->show == NULL)
        return;
    policy_ev(ev, r->show, &v);
    policy_to_string(&v, &ev->scratch);
    if (v.type == V_NULL)
        return;
    if (r->show_text != NULL) {
        size_t n = strlen(r->show_text);
        char *p = policy_arena_alloc(&ev->scratch, n + v.s.n + 1);
        memcpy(p, r->show_text, n);
        memcpy(p + n, v.s.p, v.s.n);
        p[n + v.s.n] = '\0';
        policy_set_str(&v, p, n + v.s.n);
    }
    hit->show = v.s.p;
    hit->show_len = v.s.n;
}

static void add_hit(struct policy_eval *ev, unsigned i)
{
    const struct policy_rule_impl *r = ev->p->rules[i];
    struct policy_hit *hit = &ev->hits[ev->n_hits++];
    struct policy_value v;
    ev->rule = i;
    *hit = (struct policy_hit){.rule = i, .show = "", .pool = policy_fact_pool(ev)};
    hit->weight = weight_of(ev, r);
    hit->size_kb = size_of(ev, r);
    show_of(ev, r, hit);
    if (r->pub.from_external != NULL || r->pub.to_external != NULL)
        hit->state = policy_fact_state(ev, NULL);
    if (r->action != NULL && ev->obj->ops->set_xattr != NULL)
        policy_ev(ev, r->action, &v);
}

/* The dearest stage that outputs of the rules that hit need. */
static enum policy_stage stage_of_hits(const struct policy_eval *ev)
{
    enum policy_stage s = POLICY_STAGE_NAME;
    for (size_t i = 0; i < ev->p->n_rules; i++)
        if (!ev->rules[i].off && ev->rules[i].result == RULE_YES && ev->p->rules[i]->stage > s)
            s = ev->p->rules[i]->stage;
    return s;
}

/* ---- the object ---- */

static void begin(struct policy_eval *ev, const struct policy_object *obj)
{
    policy_arena_reset(&ev->scratch);
    ev->obj = obj;
    ev->serial++;
    ev->fail = 0;
    ev->has_path = ev->has_state = ev->has_misc = ev->stat_asked = false;
    ev->stx = NULL;
    ev->pool = ev->fileset = NULL;
    for (size_t i = 0; i < ev->p->n_rules; i++) {
        ev->rules[i].result = RULE_OPEN;
        ev->rules[i].next = STEP_CLAUSES;
    }
}

int policy_eval_object(struct policy_eval *ev, const struct policy_object *obj,
                       enum policy_stage upto, bool again, struct policy_decision *decision)
{
    if (!again)
        begin(ev, obj);
    ev->obj = obj;
    ev->n_hits = 0;
    enum policy_stage stage = POLICY_STAGE_NAME;
    while (!pass(ev, stage)) {
        if (ev->fail < 0)
            return ev->fail;
        if (stage == upto)
            return (int)stage + 1;
        stage++;
    }
    if (ev->fail < 0)
        return ev->fail;
    enum policy_stage need = stage_of_hits(ev);
    if (need > upto)
        return (int)need;
    for (unsigned i = 0; i < ev->p->n_rules; i++)
        if (!ev->rules[i].off && ev->rules[i].result == RULE_YES &&
            !(ev->p->rules[i]->pub.list_exclude))
            add_hit(ev, i);
    *decision = (struct policy_decision){ev->hits, ev->n_hits};
    return ev->fail;
}
