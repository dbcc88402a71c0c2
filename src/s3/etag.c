/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/etag.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define B36_MAX 16 /* 2^64 has 13 digits in base 36 */

static void b36(uint64_t v, char *out)
{
    char rev[B36_MAX];
    size_t n = 0;
    do {
        rev[n++] = "0123456789abcdefghijklmnopqrstuvwxyz"[v % 36];
        v /= 36;
    } while (v > 0);
    for (size_t i = 0; i < n; i++)
        out[i] = rev[n - 1 - i];
    out[n] = '\0';
}

void etag_format(struct timespec mtime, uint64_t ino, char *out)
{
    char t36[B36_MAX];
    char i36[B36_MAX];
    /* volatile keeps both steps in binary64 whatever the compiler would like to fuse. */
    volatile double sec_ns = 1e9 * (double)mtime.tv_sec;
    volatile double ns = sec_ns + (double)mtime.tv_nsec;
    int64_t t = (int64_t)ns;
    b36(t < 0 ? (uint64_t)-t : (uint64_t)t, t36);
    b36(ino, i36);
    (void)snprintf(out, S3_ETAG_MAX, "mtime-%s%s-ino-%s", t < 0 ? "-" : "", t36, i36);
}

/* Takes one entry from *list: sets *p and *n to its text without quotes. False at the end. */
static bool next_entry(const char **list, const char **p, size_t *n)
{
    const char *s = *list;
    while (*s == ' ' || *s == '\t' || *s == ',')
        s++;
    if (*s == '\0')
        return false;
    if (s[0] == 'W' && s[1] == '/')
        s += 2;
    if (*s == '"') {
        const char *end = strchr(s + 1, '"');
        *p = s + 1;
        *n = end != NULL ? (size_t)(end - s - 1) : strlen(s + 1);
        *list = end != NULL ? end + 1 : s + 1 + *n;
        return true;
    }
    *p = s;
    *n = strcspn(s, ",");
    *list = s + *n;
    while (*n > 0 && isspace((unsigned char)s[*n - 1]))
        (*n)--;
    return true;
}

bool etag_in_list(const char *list, const char *etag)
{
    const char *p = NULL;
    size_t n = 0;
    while (next_entry(&list, &p, &n)) {
        if (n == 1 && *p == '*')
            return true;
        if (n == strlen(etag) && memcmp(p, etag, n) == 0)
            return true;
    }
    return false;
}

bool etag_equal(const char *a, const char *b)
{
    size_t n = strlen(a);
    if (n >= 2 && a[0] == '"' && a[n - 1] == '"') {
        a++;
        n -= 2;
    }
    return n == strlen(b) && memcmp(a, b, n) == 0;
}
