/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy_impl.h"

#include <math.h>
#include <string.h>

/* Truth of a value as a condition: 1, 0, or 2 for NULL. */
static int truth(const struct policy_value *v)
{
    if (v->type == V_BOOL)
        return v->i != 0;
    return 2;
}

static int truth_of(struct policy_eval *ev, const struct policy_node *n)
{
    struct policy_value v;
    policy_ev(ev, n, &v);
    return truth(&v);
}

static void set_truth(struct policy_value *out, int t)
{
    if (t == 2)
        policy_set_null(out);
    else
        policy_set_bool(out, t == 1);
}

void policy_ev_const(struct policy_eval *ev, const struct policy_node *n, struct policy_value *out)
{
    (void)ev;
    *out = n->k;
}

void policy_ev_now(struct policy_eval *ev, const struct policy_node *n, struct policy_value *out)
{
    (void)n;
    policy_set_us(out, V_TS, ev->now_us);
}

void policy_ev_today(struct policy_eval *ev, const struct policy_node *n, struct policy_value *out)
{
    (void)n;
    int64_t rest = ev->now_us % US_PER_DAY;
    policy_set_us(out, V_DATE, ev->now_us - (rest < 0 ? rest + US_PER_DAY : rest));
}

void policy_ev_attr(struct policy_eval *ev, const struct policy_node *n, struct policy_value *out)
{
    const struct policy_attr *a = n->aux;
    a->get(ev, out);
}

void policy_ev_and(struct policy_eval *ev, const struct policy_node *n, struct policy_value *out)
{
    int r = 1;
    for (unsigned i = 0; i < n->n && r != 0; i++) {
        int t = truth_of(ev, n->kid[i]);
        if (t != 1)
            r = t;
    }
    set_truth(out, r);
}

void policy_ev_or(struct policy_eval *ev, const struct policy_node *n, struct policy_value *out)
{
    int r = 0;
    for (unsigned i = 0; i < n->n && r != 1; i++) {
        int t = truth_of(ev, n->kid[i]);
        if (t != 0)
            r = t;
    }
    set_truth(out, r);
}

void policy_ev_not(struct policy_eval *ev, const struct policy_node *n, struct policy_value *out)
{
    int t = truth_of(ev, n->kid[0]);
    set_truth(out, t == 2 ? 2 : !t);
}

static int relation(int op, int order)
{
    switch (op) {
    case '=':
        return order == 0;
    case OP2_NE:
        return order != 0;
    case '<':
        return order < 0;
    case '>':
        return order > 0;
    case OP2_LE:
        return order <= 0;
    default:
        return order >= 0;
    }
}

/* Compares and notes strings that were no numbers. */
static int compare(struct policy_eval *ev, const struct policy_value *a,
                   const struct policy_value *b)
{
    bool bad = false;
    int order = policy_compare(a, b, &bad);
    policy_note_bad(ev, bad);
    return order;
}

void policy_ev_compare(struct policy_eval *ev, const struct policy_node *n,
                       struct policy_value *out)
{
    struct policy_value a, b;
    policy_ev(ev, n->kid[0], &a);
    policy_ev(ev, n->kid[1], &b);
    int order = compare(ev, &a, &b);
    set_truth(out, order == 2 ? 2 : relation(n->op, order));
}

void policy_ev_between(struct policy_eval *ev, const struct policy_node *n,
                       struct policy_value *out)
{
    struct policy_value v, lo, hi;
    policy_ev(ev, n->kid[0], &v);
    policy_ev(ev, n->kid[1], &lo);
    policy_ev(ev, n->kid[2], &hi);
    int a = compare(ev, &v, &lo), b = compare(ev, &v, &hi);
    if (a == -1 || b == 1)
        set_truth(out, 0);
    else
        set_truth(out, a == 2 || b == 2 ? 2 : 1);
}

void policy_ev_in(struct policy_eval *ev, const struct policy_node *n, struct policy_value *out)
{
    struct policy_value v, k;
    int r = 0;
    policy_ev(ev, n->kid[0], &v);
    for (unsigned i = 1; i < n->n && r != 1; i++) {
        policy_ev(ev, n->kid[i], &k);
        int order = compare(ev, &v, &k);
        if (order == 0)
            r = 1;
        else if (order == 2)
            r = 2;
    }
    set_truth(out, r);
}

void policy_ev_is_null(struct policy_eval *ev, const struct policy_node *n,
                       struct policy_value *out)
{
    struct policy_value v;
    policy_ev(ev, n->kid[0], &v);
    policy_set_bool(out, v.type == V_NULL);
}

void policy_ev_like(struct policy_eval *ev, const struct policy_node *n, struct policy_value *out)
{
    struct policy_value s, pat;
    const struct policy_like *like = n->aux;
    policy_ev(ev, n->kid[0], &s);
    policy_to_string(&s, &ev->scratch);
    if (s.type == V_NULL) {
        policy_set_null(out);
        return;
    }
    if (like == NULL) {
        const char *why = NULL;
        policy_ev(ev, n->kid[1], &pat);
        policy_to_string(&pat, &ev->scratch);
        if (pat.type == V_STR)
            like = policy_like_compile(&ev->scratch, pat.s.p, pat.s.n, n->op, &why);
    }
    if (like == NULL)
        policy_set_null(out);
    else
        policy_set_bool(out, policy_like_match(like, s.s.p, s.s.n));
}

/* The longest text that || makes; more is NULL. */
#define CONCAT_MAX (64 * 1024)

void policy_ev_concat(struct policy_eval *ev, const struct policy_node *n, struct policy_value *out)
{
    struct policy_value a, b;
    policy_ev(ev, n->kid[0], &a);
    policy_ev(ev, n->kid[1], &b);
    policy_to_string(&a, &ev->scratch);
    policy_to_string(&b, &ev->scratch);
    if (a.type == V_NULL || b.type == V_NULL || a.s.n + b.s.n > CONCAT_MAX) {
        policy_set_null(out);
        return;
    }
    char *p = policy_arena_alloc(&ev->scratch, a.s.n + b.s.n + 1);
    if (a.s.n > 0)
        memcpy(p, a.s.p, a.s.n);
    if (b.s.n > 0)
        memcpy(p + a.s.n, b.s.p, b.s.n);
    p[a.s.n + b.s.n] = '\0';
    policy_set_str(out, p, a.s.n + b.s.n);
}

void policy_ev_arith(struct policy_eval *ev, const struct policy_node *n, struct policy_value *out)
{
    struct policy_value a, b;
    bool bad = false;
    policy_ev(ev, n->kid[0], &a);
    policy_ev(ev, n->kid[1], &b);
    policy_arith(n->op, &a, &b, out, &bad);
    policy_note_bad(ev, bad);
}

void policy_ev_negate(struct policy_eval *ev, const struct policy_node *n, struct policy_value *out)
{
    struct policy_value zero = {0}, v;
    bool bad = false;
    policy_ev(ev, n->kid[0], &v);
    if (v.type == V_IV) {
        policy_set_us(&zero, V_IV, 0);
        policy_arith('-', &zero, &v, out, &bad);
        return;
    }
    if (!policy_to_number(&v))
        policy_note_bad(ev, true);
    if (v.type == V_DEC) {
        policy_set_dec(out, -v.d);
        return;
    }
    policy_set_int(&zero, 0);
    policy_arith('-', &zero, &v, out, &bad);
}

void policy_ev_cast_unit(struct policy_eval *ev, const struct policy_node *n,
                         struct policy_value *out)
{
    static const int64_t tens[] = {1000000, 100000, 10000, 1000, 100, 10, 1};
    enum policy_unit unit = (enum policy_unit)(n->op / 16);
    struct policy_value v, k = {0};
    bool bad = false;
    policy_ev(ev, n->kid[0], &v);
    if (v.type != V_IV && v.type != V_NULL) {
        /* A plain number of that unit: 30 DAYS. */
        policy_set_us(&k, V_IV, policy_unit_us(unit));
        struct policy_value num = v;
        if (!policy_to_number(&num))
            bad = true;
        policy_arith('*', &k, &num, &v, &bad);
        policy_note_bad(ev, bad);
    }
    if (v.type != V_IV) {
        policy_set_null(out);
        return;
    }
    int64_t step = unit == UNIT_SECOND ? tens[n->op % 16] : policy_unit_us(unit);
    int64_t us = policy_interval_us(&v);
    policy_set_us(out, V_IV, us - us % step);
    out->unit = (uint8_t)unit;
}

void policy_ev_case(struct policy_eval *ev, const struct policy_node *n, struct policy_value *out)
{
    bool has_operand = (n->op & 1) != 0, has_else = (n->op & 2) != 0;
    struct policy_value operand = {0}, v;
    unsigned i = has_operand;
    unsigned end = n->n - has_else;
    if (has_operand)
        policy_ev(ev, n->kid[0], &operand);
    for (; i + 1 < end; i += 2) {
        policy_ev(ev, n->kid[i], &v);
        bool hit = has_operand ? compare(ev, &operand, &v) == 0 : truth(&v) == 1;
        if (hit) {
            policy_ev(ev, n->kid[i + 1], out);
            return;
        }
    }
    if (has_else)
        policy_ev(ev, n->kid[end], out);
    else
        policy_set_null(out);
}

static void to_integer(struct policy_eval *ev, struct policy_value *v)
{
    if (!policy_to_number(v))
        policy_note_bad(ev, true);
    if (v->type != V_DEC)
        return;
    double d = floor(v->d + 0.5);
    if (fabs(d) < 9.2e18)
        policy_set_int(v, (int64_t)d);
    else
        policy_set_null(v);
}

void policy_ev_convert(struct policy_eval *ev, const struct policy_node *n,
                       struct policy_value *out)
{
    policy_ev(ev, n->kid[0], out);
    if (out->type == V_NULL)
        return;
    switch (n->op) {
    case V_INT:
        to_integer(ev, out);
        break;
    case V_DEC: {
        double d = policy_to_double(out);
        policy_note_bad(ev, isnan(d));
        if (isnan(d))
            policy_set_null(out);
        else
            policy_set_dec(out, d);
        break;
    }
    case V_STR:
        policy_to_string(out, &ev->scratch);
        break;
    case V_DATE:
        policy_to_timestamp(out);
        if (out->type == V_TS) {
            int64_t rest = out->i % US_PER_DAY;
            policy_set_us(out, V_DATE, out->i - (rest < 0 ? rest + US_PER_DAY : rest));
        }
        break;
    default:
        policy_to_timestamp(out);
    }
}
