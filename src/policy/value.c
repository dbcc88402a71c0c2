/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy_impl.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void policy_set_null(struct policy_value *v)
{
    v->type = V_NULL;
}

void policy_set_bool(struct policy_value *v, bool b)
{
    v->type = V_BOOL;
    v->i = b;
}

void policy_set_int(struct policy_value *v, int64_t i)
{
    v->type = V_INT;
    v->i = i;
}

void policy_set_dec(struct policy_value *v, double d)
{
    v->type = V_DEC;
    v->d = d;
}

void policy_set_str(struct policy_value *v, const char *p, size_t n)
{
    v->type = V_STR;
    v->s.p = p;
    v->s.n = n;
}

void policy_set_us(struct policy_value *v, enum policy_vtype type, int64_t us)
{
    v->type = (uint8_t)type;
    v->unit = UNIT_NONE;
    v->months = 0;
    v->i = us;
}

int64_t policy_unit_us(enum policy_unit u)
{
    static const int64_t us[] = {[UNIT_NONE] = US_PER_SEC,        [UNIT_SECOND] = US_PER_SEC,
                                 [UNIT_MINUTE] = 60 * US_PER_SEC, [UNIT_HOUR] = 3600 * US_PER_SEC,
                                 [UNIT_DAY] = US_PER_DAY,         [UNIT_MONTH] = 30 * US_PER_DAY,
                                 [UNIT_YEAR] = 360 * US_PER_DAY};
    return us[u];
}

/* a + b held within int64_t. */
static int64_t add_sat(int64_t a, int64_t b)
{
    int64_t r = 0;
    if (__builtin_add_overflow(a, b, &r))
        return a < 0 ? INT64_MIN : INT64_MAX;
    return r;
}

static int64_t mul_sat(int64_t a, int64_t b)
{
    int64_t r = 0;
    if (__builtin_mul_overflow(a, b, &r))
        return (a < 0) != (b < 0) ? INT64_MIN : INT64_MAX;
    return r;
}

int64_t policy_interval_us(const struct policy_value *v)
{
    return add_sat(v->i, mul_sat(v->months, policy_unit_us(UNIT_MONTH)));
}

/* The number that s wholly is: digits, sign, decimals, exponent; blanks around. */
static bool parse_number(const char *p, size_t n, struct policy_value *v)
{
    char text[64];
    while (n > 0 && isspace((unsigned char)*p)) {
        p++;
        n--;
    }
    while (n > 0 && isspace((unsigned char)p[n - 1]))
        n--;
    if (n == 0 || n >= sizeof(text))
        return false;
    memcpy(text, p, n);
    text[n] = '\0';
    if (strspn(text, "0123456789+-.eE") != n || strpbrk(text, "0123456789") == NULL)
        return false;
    char *end = NULL;
    double d = strtod(text, &end);
    if (*end != '\0')
        return false;
    if (strpbrk(text, ".eE") != NULL || fabs(d) >= 9.2e18)
        policy_set_dec(v, d);
    else
        policy_set_int(v, strtoll(text, NULL, 10));
    return true;
}

bool policy_to_number(struct policy_value *v)
{
    switch ((enum policy_vtype)v->type) {
    case V_STR:
        if (parse_number(v->s.p, v->s.n, v))
            return true;
        policy_set_null(v);
        return false;
    case V_IV: {
        int64_t us = policy_interval_us(v);
        int64_t unit = policy_unit_us(v->unit);
        if (us % unit == 0)
            policy_set_int(v, us / unit);
        else
            policy_set_dec(v, (double)us / (double)unit);
        return true;
    }
    case V_TS:
    case V_DATE:
        policy_set_dec(v, (double)v->i / (double)US_PER_SEC);
        return true;
    case V_BOOL:
        v->type = V_INT;
        return true;
    default:
        return true;
    }
}

double policy_to_double(const struct policy_value *v)
{
    struct policy_value t = *v;
    (void)policy_to_number(&t);
    if (t.type == V_INT)
        return (double)t.i;
    return t.type == V_DEC ? t.d : NAN;
}

static void seconds_to_timestamp(struct policy_value *v, double s)
{
    if (!(fabs(s) < 9.2e12))
        policy_set_null(v);
    else
        policy_set_us(v, V_TS, (int64_t)floor(s * (double)US_PER_SEC + 0.5));
}

void policy_to_timestamp(struct policy_value *v)
{
    int64_t us = 0;
    switch ((enum policy_vtype)v->type) {
    case V_STR:
        if (policy_date_parse(v->s.p, v->s.n, &us) == 0)
            policy_set_us(v, V_TS, us);
        else if (parse_number(v->s.p, v->s.n, v))
            seconds_to_timestamp(v, policy_to_double(v));
        else
            policy_set_null(v);
        break;
    case V_INT:
        if (v->i > INT64_MAX / US_PER_SEC || v->i < INT64_MIN / US_PER_SEC)
            policy_set_null(v);
        else
            policy_set_us(v, V_TS, v->i * US_PER_SEC);
        break;
    case V_DEC:
        seconds_to_timestamp(v, v->d);
        break;
    case V_TS:
    case V_DATE:
        v->type = V_TS;
        break;
    default:
        policy_set_null(v);
    }
}

/* ---- text ---- */

static int time_text(const struct policy_value *v, char *out, size_t cap)
{
    struct policy_date d;
    policy_date_split(v->i, &d);
    int n = snprintf(out, cap, "%04" PRId64 "-%02d-%02d", d.year, d.month, d.day);
    if (v->type == V_DATE)
        return n;
    int64_t frac = v->i % US_PER_SEC;
    if (frac < 0)
        frac += US_PER_SEC;
    return n + snprintf(out + n, cap - (size_t)n, " %02d:%02d:%02d.%06" PRId64, d.hour, d.minute,
                        d.second, frac);
}

static int decimal_text(double d, char *out, size_t cap)
{
    if (isinf(d))
        return snprintf(out, cap, "%s", d > 0 ? "INF" : "-INF");
    int n = snprintf(out, cap, "%.15g", d);
    if (strtod(out, NULL) != d)
        n = snprintf(out, cap, "%.17g", d);
    return n;
}

void policy_to_string(struct policy_value *v, struct policy_arena *a)
{
    char text[96];
    int n = 0;
    struct policy_value num = *v;
    switch ((enum policy_vtype)v->type) {
    case V_NULL:
    case V_STR:
        return;
    case V_BOOL:
        n = snprintf(text, sizeof(text), "%s", v->i != 0 ? "TRUE" : "FALSE");
        break;
    case V_TS:
    case V_DATE:
        n = time_text(v, text, sizeof(text));
        break;
    default:
        (void)policy_to_number(&num);
        n = num.type == V_INT ? snprintf(text, sizeof(text), "%" PRId64, num.i)
                              : decimal_text(num.d, text, sizeof(text));
    }
    policy_set_str(v, policy_arena_dup(a, text, (size_t)n), (size_t)n);
}

/* ---- comparing ---- */

static int compare_bytes(const struct policy_value *a, const struct policy_value *b)
{
    size_t n = a->s.n < b->s.n ? a->s.n : b->s.n;
    int r = n > 0 ? memcmp(a->s.p, b->s.p, n) : 0;
    if (r == 0)
        return (a->s.n > b->s.n) - (a->s.n < b->s.n);
    return r < 0 ? -1 : 1;
}

static int compare_int(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static bool is_time(uint8_t type)
{
    return type == V_TS || type == V_DATE;
}

static int compare_numbers(struct policy_value a, struct policy_value b, bool *bad)
{
    bool fine = policy_to_number(&a);
    fine = policy_to_number(&b) && fine;
    if (!fine)
        *bad = true;
    if (a.type == V_NULL || b.type == V_NULL)
        return 2;
    if (a.type == V_INT && b.type == V_INT)
        return compare_int(a.i, b.i);
    double x = policy_to_double(&a), y = policy_to_double(&b);
    if (isnan(x) || isnan(y))
        return 2;
    return (x > y) - (x < y);
}

int policy_compare(const struct policy_value *a, const struct policy_value *b, bool *bad)
{
    if (a->type == V_NULL || b->type == V_NULL)
        return 2;
    if (a->type == V_STR && b->type == V_STR)
        return compare_bytes(a, b);
    if (a->type == V_INT && b->type == V_INT)
        return compare_int(a->i, b->i);
    if (is_time(a->type) || is_time(b->type)) {
        struct policy_value x = *a, y = *b;
        policy_to_timestamp(&x);
        policy_to_timestamp(&y);
        return x.type == V_NULL || y.type == V_NULL ? 2 : compare_int(x.i, y.i);
    }
    if (a->type == V_IV && b->type == V_IV)
        return compare_int(policy_interval_us(a), policy_interval_us(b));
    return compare_numbers(*a, *b, bad);
}

/* ---- arithmetic ---- */

static void pow_op(const struct policy_value *a, const struct policy_value *b,
                   struct policy_value *out)
{
    double d = pow(policy_to_double(a), policy_to_double(b));
    bool whole = a->type == V_INT && b->type == V_INT && b->i >= 0;
    if (whole && fabs(d) < 9007199254740992.0)
        policy_set_int(out, (int64_t)d);
    else if (isnan(d))
        policy_set_null(out);
    else
        policy_set_dec(out, d);
}

/* Integers; false when the result does not fit. */
static bool int_op(int op, int64_t a, int64_t b, struct policy_value *out)
{
    int64_t r = 0;
    switch (op) {
    case '+':
        if (__builtin_add_overflow(a, b, &r))
            return false;
        break;
    case '-':
        if (__builtin_sub_overflow(a, b, &r))
            return false;
        break;
    case '*':
        if (__builtin_mul_overflow(a, b, &r))
            return false;
        break;
    default:
        if (b == 0) {
            policy_set_null(out);
            return true;
        }
        if (b == -1) { /* INT64_MIN / -1 does not fit */
            if (op == '/' && __builtin_sub_overflow((int64_t)0, a, &r))
                return false;
            break;
        }
        r = op == '/' ? a / b : a % b;
    }
    policy_set_int(out, r);
    return true;
}

static void dec_op(int op, double a, double b, struct policy_value *out)
{
    double r = 0;
    if (op == '+')
        r = a + b;
    else if (op == '-')
        r = a - b;
    else if (op == '*')
        r = a * b;
    else if (b == 0)
        r = NAN;
    else
        r = op == '/' ? a / b : fmod(a, b);
    if (isnan(r))
        policy_set_null(out);
    else
        policy_set_dec(out, r);
}

static int64_t add_months(int64_t us, int64_t months)
{
    struct policy_date d;
    policy_date_split(us, &d);
    int64_t m = d.year * 12 + (d.month - 1) + months;
    int64_t year = m >= 0 ? m / 12 : -((11 - m) / 12);
    int month = (int)(m - year * 12) + 1;
    if (year < -200000 || year > 200000)
        return m < 0 ? INT64_MIN : INT64_MAX;
    struct policy_date first;
    policy_date_split(policy_date_days(year, month, 1) * US_PER_DAY, &first);
    int day = d.day < first.month_days ? d.day : first.month_days;
    return add_sat(us, mul_sat(policy_date_days(year, month, day) - d.day_number, US_PER_DAY));
}

static void time_plus(const struct policy_value *ts, const struct policy_value *iv, int sign,
                      struct policy_value *out)
{
    int64_t us = ts->i;
    if (iv->months != 0)
        us = add_months(us, (int64_t)sign * iv->months);
    us = sign > 0 ? add_sat(us, iv->i) : add_sat(us, mul_sat(-1, iv->i));
    /* A date plus whole days stays a date. */
    bool date = ts->type == V_DATE && us % US_PER_DAY == 0;
    policy_set_us(out, date ? V_DATE : V_TS, us);
}

static void time_minus_time(const struct policy_value *a, const struct policy_value *b,
                            struct policy_value *out)
{
    struct policy_value x = *a, y = *b;
    policy_to_timestamp(&x);
    policy_to_timestamp(&y);
    if (x.type == V_NULL || y.type == V_NULL)
        policy_set_null(out);
    else
        policy_set_us(out, V_IV, add_sat(x.i, mul_sat(-1, y.i)));
}

/* Sums with times; false when it is none. */
static bool time_op(int op, const struct policy_value *a, const struct policy_value *b,
                    struct policy_value *out)
{
    bool ta = is_time(a->type), tb = is_time(b->type);
    bool iv = a->type == V_IV || b->type == V_IV;
    if ((op != '+' && op != '-') || (!ta && !tb))
        return false;
    if (op == '-' && !iv)
        time_minus_time(a, b, out);
    else if (ta && b->type == V_IV)
        time_plus(a, b, op == '+' ? 1 : -1, out);
    else if (tb && a->type == V_IV && op == '+')
        time_plus(b, a, 1, out);
    else
        return false;
    return true;
}

/* Sums of intervals, and intervals times or by a number; false when it is none. */
static bool interval_op(int op, const struct policy_value *a, const struct policy_value *b,
                        struct policy_value *out)
{
    if (a->type != V_IV)
        return false;
    int64_t x = policy_interval_us(a);
    if (b->type == V_IV && (op == '+' || op == '-')) {
        int64_t y = policy_interval_us(b);
        policy_set_us(out, V_IV, add_sat(x, op == '+' ? y : mul_sat(-1, y)));
        return true;
    }
    if (b->type == V_IV || (op != '*' && op != '/'))
        return false;
    double n = policy_to_double(b);
    double us = op == '*' ? (double)x * n : n != 0 ? (double)x / n : NAN;
    if (fabs(us) < 9.2e18)
        policy_set_us(out, V_IV, (int64_t)us);
    else
        policy_set_null(out);
    return true;
}

void policy_arith(int op, const struct policy_value *a, const struct policy_value *b,
                  struct policy_value *out, bool *bad)
{
    if (a->type == V_NULL || b->type == V_NULL) {
        policy_set_null(out);
        return;
    }
    if (time_op(op, a, b, out) || interval_op(op, a, b, out))
        return;
    struct policy_value x = *a, y = *b;
    bool fine = policy_to_number(&x);
    fine = policy_to_number(&y) && fine;
    if (!fine)
        *bad = true;
    if (x.type == V_NULL || y.type == V_NULL)
        policy_set_null(out);
    else if (op == OP2_POW)
        pow_op(&x, &y, out);
    else if (x.type != V_INT || y.type != V_INT || !int_op(op, x.i, y.i, out))
        dec_op(op, policy_to_double(&x), policy_to_double(&y), out);
}
