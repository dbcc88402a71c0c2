/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy_impl.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

int64_t policy_date_days(int64_t year, int month, int day)
{
    /* Years from March: the leap day is the last of its year. */
    int64_t y = year - (month <= 2);
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

static bool is_leap(int64_t y)
{
    return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

void policy_date_split(int64_t us, struct policy_date *d)
{
    int64_t days = us / US_PER_DAY;
    int64_t rest = us % US_PER_DAY;
    if (rest < 0) {
        rest += US_PER_DAY;
        days--;
    }
    d->day_number = days;
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    d->day = (int)(doy - (153 * mp + 2) / 5 + 1);
    d->month = (int)(mp < 10 ? mp + 3 : mp - 9);
    d->year = yoe + era * 400 + (d->month <= 2);
    int64_t sec = rest / US_PER_SEC;
    d->hour = (int)(sec / 3600);
    d->minute = (int)(sec / 60 % 60);
    d->second = (int)(sec % 60);
    d->week_day = (int)(((days + 4) % 7 + 7) % 7) + 1;
    d->year_day = (int)(days - policy_date_days(d->year, 1, 1)) + 1;
    d->year_days = is_leap(d->year) ? 366 : 365;
    int next_month = d->month == 12 ? 1 : d->month + 1;
    d->month_days = (int)(policy_date_days(d->year + (d->month == 12), next_month, 1) -
                          policy_date_days(d->year, d->month, 1));
}

/* Exactly n digits at *p; -1 when they are not there. */
static int digits(const char **p, const char *end, int n)
{
    int v = 0;
    for (; n > 0; n--, (*p)++) {
        if (*p == end || !isdigit((unsigned char)**p))
            return -1;
        v = v * 10 + (**p - '0');
    }
    return v;
}

static bool take(const char **p, const char *end, const char *any)
{
    if (*p == end || **p == '\0' || strchr(any, **p) == NULL)
        return false;
    (*p)++;
    return true;
}

/* "HH:MM:SS[.f][Z]" in us, or -1. */
static int64_t parse_clock(const char **p, const char *end)
{
    int h = digits(p, end, 2);
    int m = take(p, end, ":") ? digits(p, end, 2) : -1;
    int s = take(p, end, ":") ? digits(p, end, 2) : -1;
    if (h < 0 || m < 0 || s < 0 || h > 23 || m > 59 || s > 60)
        return -1;
    int64_t us = ((int64_t)h * 3600 + m * 60 + s) * US_PER_SEC;
    if (take(p, end, ".")) {
        int64_t unit = US_PER_SEC / 10;
        if (*p == end || !isdigit((unsigned char)**p))
            return -1;
        for (; *p < end && isdigit((unsigned char)**p); (*p)++, unit /= 10)
            us += unit * (**p - '0');
    }
    (void)take(p, end, "Z");
    return us;
}

/* "YYYY-MM-DD" as days since 1970; false when it is no date. */
static bool parse_day(const char **p, const char *end, int64_t *days)
{
    int year = digits(p, end, 4);
    int month = take(p, end, "-") ? digits(p, end, 2) : -1;
    int day = take(p, end, "-") ? digits(p, end, 2) : -1;
    if (year < 0 || month < 1 || month > 12 || day < 1)
        return false;
    *days = policy_date_days(year, month, day);
    struct policy_date d;
    policy_date_split(*days * US_PER_DAY, &d);
    return d.month == month && d.day == day; /* not 31 February */
}

int policy_date_parse(const char *p, size_t n, int64_t *us)
{
    const char *end = p + n;
    int64_t days = 0, clock = 0;
    while (p < end && isspace((unsigned char)*p))
        p++;
    while (p < end && isspace((unsigned char)end[-1]))
        end--;
    if (!parse_day(&p, end, &days))
        return -EINVAL;
    if (take(&p, end, " T@"))
        clock = parse_clock(&p, end);
    if (clock < 0 || p != end)
        return -EINVAL;
    *us = days * US_PER_DAY + clock;
    return 0;
}
