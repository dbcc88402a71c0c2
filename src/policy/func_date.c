/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy_impl.h"

/* 0001-01-01 is day 1. */
#define DAY_NUMBER_OF_1970 719163

/* The argument split; false (and NULL in out) when it is no time. */
static bool arg_date(struct policy_eval *ev, const struct policy_node *n, struct policy_value *out,
                     struct policy_date *d)
{
    struct policy_value v;
    policy_ev(ev, n->kid[0], &v);
    if (v.type == V_IV)
        policy_set_null(&v);
    policy_to_timestamp(&v);
    if (v.type == V_NULL) {
        policy_set_null(out);
        return false;
    }
    policy_date_split(v.i, d);
    return true;
}

#define DATE_PART(NAME, EXPR)                                                                      \
    static void NAME(struct policy_eval *ev, const struct policy_node *n,                          \
                     struct policy_value *out)                                                     \
    {                                                                                              \
        struct policy_date d;                                                                      \
        if (arg_date(ev, n, out, &d))                                                              \
            policy_set_int(out, (EXPR));                                                           \
    }

DATE_PART(ev_day_of_week, d.week_day)
DATE_PART(ev_day_of_year, d.year_day)
DATE_PART(ev_day, d.day)
DATE_PART(ev_days_in_month, d.month_days)
DATE_PART(ev_days_in_year, d.year_days)
DATE_PART(ev_hour, d.hour)
DATE_PART(ev_minute, d.minute)
DATE_PART(ev_month, d.month)
DATE_PART(ev_quarter, (d.month - 1) / 3 + 1)
DATE_PART(ev_second, d.second)
/* Weeks begin on Sunday; 1 January is in week 1. */
DATE_PART(ev_week, (d.year_day - 1 + (d.week_day - d.year_day % 7 + 7) % 7) / 7 + 1)
DATE_PART(ev_year, d.year)

static void ev_days(struct policy_eval *ev, const struct policy_node *n, struct policy_value *out)
{
    struct policy_value v;
    policy_ev(ev, n->kid[0], &v);
    if (v.type == V_IV) {
        policy_set_int(out, policy_interval_us(&v) / US_PER_DAY);
        return;
    }
    policy_to_timestamp(&v);
    if (v.type == V_NULL) {
        policy_set_null(out);
        return;
    }
    int64_t days = v.i / US_PER_DAY - (v.i % US_PER_DAY < 0);
    policy_set_int(out, days + DAY_NUMBER_OF_1970);
}

static int prepare_timestamp(struct compile *c, struct policy_node *n)
{
    n->op = V_TS;
    const struct policy_node *k = n->kid[0];
    if (k->eval != policy_ev_const || k->k.type != V_STR)
        return 0;
    struct policy_value v = k->k;
    policy_to_timestamp(&v);
    if (v.type == V_NULL)
        policy_warn(c, k->off,
                    "TIMESTAMP('%.40s') is NULL: write 'YYYY-MM-DD' or 'YYYY-MM-DD HH:MM:SS'",
                    k->k.s.p);
    return 0;
}

#define ROW(NAME, FN)                                                                              \
    {                                                                                              \
        NAME, V_INT, 1, 1, POLICY_STAGE_NAME, 0, NAME "(timestamp)", FN, NULL                      \
    }

const struct policy_func policy_funcs_date[] = {
    ROW("DAYOFWEEK", ev_day_of_week),
    ROW("DAYOFYEAR", ev_day_of_year),
    ROW("DAY", ev_day),
    ROW("DAYS", ev_days),
    ROW("DAYSINMONTH", ev_days_in_month),
    ROW("DAYSINYEAR", ev_days_in_year),
    ROW("HOUR", ev_hour),
    ROW("MINUTE", ev_minute),
    ROW("MONTH", ev_month),
    ROW("QUARTER", ev_quarter),
    ROW("SECOND", ev_second),
    ROW("WEEK", ev_week),
    ROW("YEAR", ev_year),
    {"TIMESTAMP", V_TS, 1, 1, POLICY_STAGE_NAME, 0, "TIMESTAMP(seconds) or TIMESTAMP('text')",
     policy_ev_convert, prepare_timestamp},
    {NULL, V_NULL, 0, 0, POLICY_STAGE_NAME, 0, NULL, NULL, NULL},
};
