/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_impl.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define META_PREFIX       "x-amz-meta-"
#define RETRY_AFTER_MAX_S 3600

static void free_meta(struct store_field *meta, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free((char *)(uintptr_t)meta[i].name);
        free((char *)(uintptr_t)meta[i].value);
    }
    free(meta);
}

void store_reply_fini(struct store_reply *r)
{
    free_meta(r->meta, r->nmeta);
    *r = (struct store_reply){0};
}

void head_reset(struct head *h)
{
    bool saw = h->saw_continue;
    store_reply_fini(&h->reply);
    *h = (struct head){.length = -1, .retry_after_ns = -1, .saw_continue = saw, .reply.size = -1};
}

void head_fini(struct head *h)
{
    store_reply_fini(&h->reply);
}

/* A whole non-negative decimal number, or -1. */
static int64_t number(const char *s, const char **end)
{
    if (!isdigit((unsigned char)*s))
        return -1;
    int64_t v = 0;
    for (; isdigit((unsigned char)*s); s++) {
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *s - '0', &v))
            return -1;
    }
    *end = s;
    return v;
}

int head_parse_range(const char *s, int64_t *from, int64_t *to, int64_t *of)
{
    if (strncasecmp(s, "bytes ", 6) != 0)
        return -EINVAL;
    const char *p = s + 6;
    int64_t a = number(p, &p);
    if (a < 0 || *p != '-')
        return -EINVAL;
    int64_t b = number(p + 1, &p);
    if (b < a || *p != '/')
        return -EINVAL;
    int64_t c = -1;
    if (strcmp(p, "/*") != 0) {
        c = number(p + 1, &p);
        if (c <= b || *p != '\0')
            return -EINVAL;
    }
    *from = a;
    *to = b;
    *of = c;
    return 0;
}

static void copy(char *out, size_t cap, const char *value)
{
    text_printable(out, cap, value);
}

static void take_length(struct head *h, const char *value)
{
    const char *end = value;
    int64_t v = number(value, &end);
    if (v < 0 || *end != '\0')
        h->bad = "its Content-Length is no number";
    else if (h->length >= 0 && h->length != v)
        h->bad = "it has two different Content-Length fields";
    h->length = v;
}

static void take_range(struct head *h, const char *value)
{
    h->has_range = head_parse_range(value, &h->range_from, &h->range_to, &h->range_of) == 0;
}

/* Whether s is of the form that every store sends (RFC 9110, 5.6.7). */
static bool is_usual_date(const char *s)
{
    static const char form[] = "???, ## ??? #### ##:##:## GMT";
    size_t i = 0;
    for (; i < sizeof(form) - 1 && s[i] != '\0'; i++) {
        bool fits =
            form[i] == '?' || (form[i] == '#' && isdigit((unsigned char)s[i])) || form[i] == s[i];
        if (!fits)
            return false;
    }
    return i == sizeof(form) - 1 && s[i] == '\0';
}

static int two_digits(const char *s)
{
    return 10 * (s[0] - '0') + (s[1] - '0');
}

/* "Sun, 06 Nov 1994 08:49:37 GMT"; curl knows the other forms, at twenty times the cost. Returns
 * seconds since 1970; 0 or less: no date. */
static int64_t date_of(const char *s)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char month[4] = "";
    if (!is_usual_date(s))
        return (int64_t)curl_getdate(s, NULL);
    memcpy(month, s + 8, 3);
    const char *at = strstr(months, month);
    struct tm tm = {.tm_mday = two_digits(s + 5),
                    .tm_year = two_digits(s + 12) * 100 + two_digits(s + 14) - 1900,
                    .tm_hour = two_digits(s + 17),
                    .tm_min = two_digits(s + 20),
                    .tm_sec = two_digits(s + 23)};
    bool sane = at != NULL && (at - months) % 3 == 0 && tm.tm_mday >= 1 && tm.tm_mday <= 31 &&
                tm.tm_hour <= 23 && tm.tm_min <= 59 && tm.tm_sec <= 60;
    if (!sane)
        return (int64_t)curl_getdate(s, NULL);
    tm.tm_mon = (int)(at - months) / 3;
    return (int64_t)timegm(&tm);
}

static void take_date(struct head *h, const char *value)
{
    int64_t t = date_of(value);
    h->date_ns = t > 0 && t < INT64_MAX / NS_PER_SEC ? t * NS_PER_SEC : 0;
}

static void take_modified(struct head *h, const char *value)
{
    int64_t t = date_of(value);
    if (t > 0 && t < INT64_MAX / NS_PER_SEC)
        h->reply.modified_ns = t * NS_PER_SEC;
}

static void take_retry_after(struct head *h, const char *value)
{
    const char *end = value;
    int64_t v = number(value, &end);
    if (v < 0 || *end != '\0') {
        time_t t = curl_getdate(value, NULL);
        if (t <= 0)
            return;
        v = (int64_t)t - time_now_ns() / NS_PER_SEC;
    }
    v = v < 0 ? 0 : v > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : v;
    h->retry_after_ns = v * NS_PER_SEC;
}

void head_unquote(char *out, size_t cap, const char *value)
{
    size_t n = strlen(value);
    bool quoted = n >= 2 && value[0] == '"' && value[n - 1] == '"';
    (void)snprintf(out, cap, "%.*s", quoted ? (int)n - 2 : (int)n, quoted ? value + 1 : value);
}

static void take_etag(struct head *h, const char *value)
{
    head_unquote(h->reply.etag, sizeof(h->reply.etag), value);
}

static void take_encryption(struct head *h, const char *value)
{
    if (strcasecmp(value, "AES256") != 0)
        h->encrypted = true;
}

static void take_customer_key(struct head *h, const char *value)
{
    (void)value;
    h->encrypted = true;
}

static void take_class(struct head *h, const char *value)
{
    copy(h->reply.storage_class, sizeof(h->reply.storage_class), value);
}

static void take_restore(struct head *h, const char *value)
{
    copy(h->reply.restore, sizeof(h->reply.restore), value);
}

static void take_region(struct head *h, const char *value)
{
    copy(h->region, sizeof(h->region), value);
}

static void take_location(struct head *h, const char *value)
{
    text_printable(h->location, sizeof(h->location), value);
}

static void take_type(struct head *h, const char *value)
{
    text_printable(h->type, sizeof(h->type), value);
}

#define SUM_TAKER(name, which)                                                                     \
    static void take_##name(struct head *h, const char *value)                                     \
    {                                                                                              \
        copy(h->sums[which], HEAD_SUM_MAX, value);                                                 \
    }
SUM_TAKER(crc64nvme, HEAD_CRC64NVME)
SUM_TAKER(crc32c, HEAD_CRC32C)
SUM_TAKER(crc32, HEAD_CRC32)
SUM_TAKER(sha1, HEAD_SHA1)
SUM_TAKER(sha256, HEAD_SHA256)

static const struct {
    const char *name;
    void (*take)(struct head *h, const char *value);
} fields[] = {
    {"content-length", take_length},
    {"content-range", take_range},
    {"content-type", take_type},
    {"date", take_date},
    {"etag", take_etag},
    {"last-modified", take_modified},
    {"location", take_location},
    {"retry-after", take_retry_after},
    {"x-amz-bucket-region", take_region},
    {"x-amz-checksum-crc32", take_crc32},
    {"x-amz-checksum-crc32c", take_crc32c},
    {"x-amz-checksum-crc64nvme", take_crc64nvme},
    {"x-amz-checksum-sha1", take_sha1},
    {"x-amz-checksum-sha256", take_sha256},
    {"x-amz-restore", take_restore},
    {"x-amz-server-side-encryption", take_encryption},
    {"x-amz-server-side-encryption-customer-algorithm", take_customer_key},
    {"x-amz-storage-class", take_class},
};

static void take_meta(struct head *h, const char *name, size_t n, const char *value)
{
    struct store_reply *r = &h->reply;
    char *key = xstrndup(name, n);
    for (size_t i = 0; i < n; i++)
        key[i] = (char)tolower((unsigned char)key[i]);
    r->meta = xrealloc_array(r->meta, r->nmeta + 1, sizeof(r->meta[0]));
    r->meta[r->nmeta++] = (struct store_field){key, xstrdup(value)};
}

static void status_line(struct head *h, const char *line)
{
    h->saw_continue = h->saw_continue || h->reply.status == 100;
    head_reset(h);
    const char *p = strchr(line, ' ');
    const char *end = p;
    int64_t v = p != NULL ? number(p + 1, &end) : -1;
    if (v < 100 || v > 599)
        h->bad = "its status line is broken";
    else
        h->reply.status = (int)v;
}

static void field_line(struct head *h, const char *line, const char *colon)
{
    const char *value = colon + 1;
    value += strspn(value, " \t");
    size_t n = (size_t)(colon - line);
    size_t prefix = sizeof(META_PREFIX) - 1;
    if (n > prefix && strncasecmp(line, META_PREFIX, prefix) == 0) {
        take_meta(h, line + prefix, n - prefix, value);
        return;
    }
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (strlen(fields[i].name) == n && strncasecmp(line, fields[i].name, n) == 0)
            fields[i].take(h, value);
    }
}

void head_line(struct head *h, const char *line, size_t n)
{
    while (n > 0 && isspace((unsigned char)line[n - 1]))
        n--;
    if (n == 0)
        return;
    char few[512];
    auto_free char *many = n < sizeof(few) ? NULL : xzalloc(n + 1);
    char *text = many != NULL ? many : few;
    memcpy(text, line, n);
    text[n] = '\0';
    if (n >= 5 && strncasecmp(text, "HTTP/", 5) == 0) {
        status_line(h, text);
    } else {
        h->bytes += n;
        const char *colon = strchr(text, ':');
        if (h->bytes > HEAD_BYTES_MAX)
            h->bad = "its head is too long";
        else if (colon != NULL && strlen(text) == n)
            field_line(h, text, colon);
    }
}

static int by_name(const void *a, const void *b)
{
    const struct store_field *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static bool is_md5(const char *s)
{
    size_t n = strspn(s, "0123456789abcdefABCDEF");
    return n == 32 && s[n] == '\0';
}

void head_end(struct head *h)
{
    struct store_reply *r = &h->reply;
    if (r->nmeta > 1)
        qsort(r->meta, r->nmeta, sizeof(r->meta[0]), by_name);
    r->etag_is_md5 = !h->encrypted && is_md5(r->etag);
    copy(r->crc64nvme, sizeof(r->crc64nvme), h->sums[HEAD_CRC64NVME]);
    if (h->length >= 0)
        r->size = h->length;
}

const char *store_reply_meta(const struct store_reply *r, const char *name)
{
    for (size_t i = 0; i < r->nmeta; i++) {
        if (strcmp(r->meta[i].name, name) == 0)
            return r->meta[i].value;
    }
    return NULL;
}
