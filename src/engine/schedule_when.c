/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/schedule.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define DAYS_AHEAD   (8 * 366)
#define HOURS        24
#define MINUTES      60
#define DAY_FIELD    2
#define WDAY_FIELD   4
#define N_FIELDS     5
#define NAME_LETTERS 3

static const char *const month_names[] = {"jan", "feb", "mar", "apr", "may", "jun", "jul",
                                          "aug", "sep", "oct", "nov", "dec", NULL};
static const char *const day_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL};

static const struct field {
    const char *name;
    unsigned min, max;
    const char *const *names; /* of min, min + 1, ... */
} fields[N_FIELDS] = {
    {"minute", 0, 59, NULL},          {"hour", 0, 23, NULL},
    {"day of month", 1, 31, NULL},    {"month", 1, 12, month_names},
    {"day of week", 0, 7, day_names},
};

static int wrong(const struct field *f, const char *text, struct err *err)
{
    return err_set(err, -EINVAL,
                   "%s field \"%.40s\": *, a number from %u to %u, a range a-b, either with /step, "
                   "or several with commas between",
                   f->name, text, f->min, f->max);
}

/* A number or name at *p, which moves on. */
static bool take_value(const struct field *f, const char **p, unsigned *out)
{
    for (unsigned i = 0; f->names != NULL && f->names[i] != NULL; i++) {
        if (strncasecmp(*p, f->names[i], NAME_LETTERS) == 0) {
            *p += NAME_LETTERS;
            *out = f->min + i;
            return true;
        }
    }
    if (**p < '0' || **p > '9')
        return false;
    char *end = NULL;
    unsigned long v = strtoul(*p, &end, 10);
    *p = end;
    *out = (unsigned)v;
    return v >= f->min && v <= f->max;
}

static bool take_step(const char **p, unsigned *out)
{
    *out = 1;
    if (**p != '/')
        return true;
    char *end = NULL;
    ++*p;
    if (**p < '0' || **p > '9')
        return false;
    unsigned long v = strtoul(*p, &end, 10);
    *p = end;
    *out = (unsigned)v;
    return v >= 1 && v <= MINUTES;
}

/* One element of a list: "*", "a", "a-b", the first and last with "/step". */
static bool take_element(const struct field *f, const char **p, uint64_t *bits)
{
    unsigned low = f->min;
    unsigned high = f->max;
    unsigned step = 1;
    bool range = true;
    if (**p == '*') {
        ++*p;
    } else {
        if (!take_value(f, p, &low))
            return false;
        high = low;
        range = **p == '-';
        if (range) {
            ++*p;
            if (!take_value(f, p, &high) || high < low)
                return false;
        }
    }
    if (**p == '/' && !range)
        return false;
    if (!take_step(p, &step))
        return false;
    for (unsigned v = low; v <= high; v += step)
        *bits |= UINT64_C(1) << v;
    return true;
}

static int parse_field(const struct field *f, const char *text, uint64_t *bits, struct err *err)
{
    const char *p = text;
    *bits = 0;
    for (;;) {
        if (!take_element(f, &p, bits))
            return wrong(f, text, err);
        if (*p == '\0')
            return 0;
        if (*p++ != ',')
            return wrong(f, text, err);
    }
}

/* Cuts text into words; returns their number (N_FIELDS + 1 when there are more than N_FIELDS). */
static size_t cut_words(char *text, char *words[N_FIELDS])
{
    size_t n = 0;
    for (char *p = text + strspn(text, " \t"); *p != '\0'; p += strspn(p, " \t")) {
        if (n == N_FIELDS)
            return N_FIELDS + 1;
        words[n++] = p;
        p += strcspn(p, " \t");
        if (*p != '\0')
            *p++ = '\0';
    }
    return n;
}

int schedule_parse(const char *text, struct schedule_when *out, struct err *err)
{
    char copy[256];
    char *words[N_FIELDS];
    uint64_t bits[N_FIELDS];
    if (strlen(text) >= sizeof(copy))
        return err_set(err, -EINVAL, "the calendar expression is longer than %zu bytes",
                       sizeof(copy) - 1);
    memcpy(copy, text, strlen(text) + 1);
    if (cut_words(copy, words) != N_FIELDS)
        return err_set(err, -EINVAL,
                       "\"%.80s\" is no calendar expression: five fields (minute, hour, day of "
                       "month, month, day of week) with blanks between",
                       text);
    for (size_t i = 0; i < N_FIELDS; i++) {
        int rc = parse_field(&fields[i], words[i], &bits[i], err);
        if (rc != 0)
            return rc;
    }
    *out = (struct schedule_when){
        .minutes = bits[0],
        .hours = (uint32_t)bits[1],
        .mdays = (uint32_t)bits[DAY_FIELD],
        .months = (uint16_t)bits[3],
        .wdays = (uint8_t)((bits[WDAY_FIELD] & 0x7f) | (bits[WDAY_FIELD] >> 7)),
        .any_mday = words[DAY_FIELD][0] == '*',
        .any_wday = words[WDAY_FIELD][0] == '*',
    };
    return 0;
}

static bool day_matches(const struct schedule_when *w, const struct tm *t)
{
    if ((w->months >> (t->tm_mon + 1) & 1) == 0)
        return false;
    bool mday = (w->mdays >> t->tm_mday & 1) != 0;
    bool wday = (w->wdays >> t->tm_wday & 1) != 0;
    return w->any_mday || w->any_wday ? mday && wday : mday || wday;
}

/* The first matching minute of day t behind now_s, or -1. */
static int64_t next_in_day(const struct schedule_when *w, const struct tm *t, int64_t now_s)
{
    for (int h = 0; h < HOURS; h++) {
        if ((w->hours >> h & 1) == 0)
            continue;
        for (int m = 0; m < MINUTES; m++) {
            if ((w->minutes >> m & 1) == 0)
                continue;
            struct tm at = *t;
            at.tm_hour = h;
            at.tm_min = m;
            at.tm_sec = 0;
            at.tm_isdst = -1; /* an hour that a clock change leaves out becomes the next one */
            time_t s = mktime(&at);
            if (s > now_s)
                return s;
        }
    }
    return -1;
}

int64_t schedule_next(const struct schedule_when *w, int64_t now_s)
{
    time_t now = (time_t)now_s;
    struct tm today;
    if (localtime_r(&now, &today) == NULL)
        return -1;
    for (int i = 0; i < DAYS_AHEAD; i++) {
        struct tm day = today;
        day.tm_mday += i;
        day.tm_hour = HOURS / 2;
        day.tm_isdst = -1;
        if (mktime(&day) == -1 || !day_matches(w, &day))
            continue;
        int64_t at = next_in_day(w, &day, now_s);
        if (at >= 0)
            return at;
    }
    return -1;
}
