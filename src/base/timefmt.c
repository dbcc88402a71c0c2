/* SPDX-License-Identifier: Apache-2.0 */
#include "base/timefmt.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;
    (void)clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

int64_t time_now_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t time_mono_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

/* Splits ns into whole seconds and 0..999999999, also before 1970. */
static struct timespec split(int64_t ns)
{
    struct timespec ts = {.tv_sec = ns / NS_PER_SEC, .tv_nsec = ns % NS_PER_SEC};
    if (ts.tv_nsec < 0) {
        ts.tv_nsec += NS_PER_SEC;
        ts.tv_sec--;
    }
    return ts;
}

static void iso(int64_t ns, int decimals, char *out)
{
    struct timespec ts = split(ns);
    struct tm tm;
    (void)gmtime_r(&ts.tv_sec, &tm);
    size_t n = strftime(out, TIMEFMT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
    if (decimals == 9)
        (void)snprintf(out + n, TIMEFMT_MAX - n, ".%09ldZ", ts.tv_nsec);
    else
        (void)snprintf(out + n, TIMEFMT_MAX - n, ".%03ldZ", ts.tv_nsec / 1000000);
}

void timefmt_iso_ms(int64_t ns, char *out)
{
    iso(ns, 3, out);
}

void timefmt_iso_ns(int64_t ns, char *out)
{
    iso(ns, 9, out);
}

void timefmt_iso_s3(int64_t ns, char *out)
{
    iso((int64_t)split(ns).tv_sec * NS_PER_SEC, 3, out);
}

void timefmt_http(int64_t ns, char *out)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct timespec ts = split(ns);
    struct tm tm;
    (void)gmtime_r(&ts.tv_sec, &tm);
    (void)snprintf(out, TIMEFMT_MAX, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT",
                   days + (size_t)tm.tm_wday * 3, tm.tm_mday, months + (size_t)tm.tm_mon * 3,
                   tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

void timefmt_local(int64_t ns, char *out)
{
    struct timespec ts = split(ns);
    struct tm tm;
    (void)localtime_r(&ts.tv_sec, &tm);
    (void)strftime(out, TIMEFMT_MAX, "%Y-%m-%d %H:%M:%S", &tm);
}

/* Exactly n digits at *s; advances *s. Returns the number, or -1. */
static int digits(const char **s, int n)
{
    int v = 0;
    for (int i = 0; i < n; i++) {
        if (!isdigit((unsigned char)**s))
            return -1;
        v = v * 10 + (*(*s)++ - '0');
    }
    return v;
}

static int parse_date(const char **s, struct tm *tm)
{
    int y = digits(s, 4);
    if (y < 0 || *(*s)++ != '-')
        return -EINVAL;
    int m = digits(s, 2);
    if (m < 1 || m > 12 || *(*s)++ != '-')
        return -EINVAL;
    int d = digits(s, 2);
    if (d < 1 || d > 31)
        return -EINVAL;
    tm->tm_year = y - 1900;
    tm->tm_mon = m - 1;
    tm->tm_mday = d;
    return 0;
}

static int parse_clock(const char **s, struct tm *tm, int64_t *frac)
{
    tm->tm_hour = digits(s, 2);
    if (tm->tm_hour < 0 || tm->tm_hour > 24 || *(*s)++ != ':')
        return -EINVAL;
    tm->tm_min = digits(s, 2);
    if (tm->tm_min < 0 || tm->tm_min > 59 || *(*s)++ != ':')
        return -EINVAL;
    tm->tm_sec = digits(s, 2);
    if (tm->tm_sec < 0 || tm->tm_sec > 60)
        return -EINVAL;
    if (**s != '.')
        return 0;
    (*s)++;
    int64_t unit = NS_PER_SEC / 10;
    if (!isdigit((unsigned char)**s))
        return -EINVAL;
    for (; isdigit((unsigned char)**s) && unit > 0; unit /= 10)
        *frac += unit * (*(*s)++ - '0');
    return 0;
}

int timefmt_parse_iso(const char *s, int64_t *ns)
{
    struct tm tm;
    memset(&tm, 0, sizeof(tm));
    int64_t frac = 0;
    if (parse_date(&s, &tm) < 0)
        return -EINVAL;
    int mday = tm.tm_mday;
    if (*s == 'T' || *s == ' ' || *s == '@') {
        s++;
        if (parse_clock(&s, &tm, &frac) < 0)
            return -EINVAL;
        if (*s == 'Z')
            s++;
    }
    if (*s != '\0')
        return -EINVAL;
    int hour = tm.tm_hour;
    time_t t = timegm(&tm);
    if (hour < 24 && tm.tm_sec < 60 && tm.tm_mday != mday)
        return -EINVAL; /* 31 February: timegm moved it */
    if (t >= INT64_MAX / NS_PER_SEC || t <= INT64_MIN / NS_PER_SEC)
        return -EINVAL; /* before 1677 or after 2262: no int64_t of ns */
    *ns = (int64_t)t * NS_PER_SEC + frac;
    return 0;
}
