/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/http.h"

#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CLASS_TOKEN  1 /* tchar of RFC 9110, 5.6.2 */
#define CLASS_TARGET 2 /* visible, no '#', and bytes above 127 */
#define CLASS_VALUE  4 /* field-vchar, obs-text, SP, HT */

/* The classes of each byte, 32 a row. */
/* clang-format off */
static const unsigned char classes[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    4, 7, 6, 5, 7, 7, 7, 7, 6, 6, 7, 7, 6, 7, 7, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 6, 6, 6, 6, 6, 6,
    6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 6, 6, 6, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 6, 7, 6, 7, 0,
    6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6,
    6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6,
    6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6,
    6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6,
};
/* clang-format on */

static bool in_class(char c, int class)
{
    return (classes[(unsigned char)c] & class) != 0;
}

int http_head_scan(const char *buf, size_t len, size_t *pos)
{
    size_t at = *pos;
    for (;;) {
        const char *lf = memchr(buf + at, '\n', len - at);
        if (lf == NULL) {
            *pos = len;
            return 0;
        }
        size_t i = (size_t)(lf - buf);
        if (i == 0 || buf[i - 1] != '\r')
            return -EINVAL;
        if (i >= 3 && buf[i - 2] == '\n')
            return (int)(i + 1);
        at = i + 1;
    }
}

static enum s3_error bad(const char **why, const char *text)
{
    *why = text;
    return S3_ERR_BAD_REQUEST;
}

static const struct {
    const char *name;
    enum s3_method method;
} methods[] = {
    {"GET", S3_METHOD_GET},   {"HEAD", S3_METHOD_HEAD},     {"PUT", S3_METHOD_PUT},
    {"POST", S3_METHOD_POST}, {"DELETE", S3_METHOD_DELETE}, {"OPTIONS", S3_METHOD_OPTIONS},
};

static enum s3_error parse_method(const char *name, enum s3_method *out, const char **why)
{
    if (*name == '\0')
        return bad(why, "The request line has no method");
    for (const char *p = name; *p != '\0'; p++) {
        if (!in_class(*p, CLASS_TOKEN))
            return bad(why, "The method is malformed");
    }
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (strcmp(name, methods[i].name) == 0) {
            *out = methods[i].method;
            return S3_ERR_NONE;
        }
    }
    return S3_ERR_METHOD_NOT_ALLOWED;
}

static enum s3_error parse_version(const char *s, int *minor, const char **why)
{
    if (strcmp(s, "HTTP/1.1") == 0)
        *minor = 1;
    else if (strcmp(s, "HTTP/1.0") == 0)
        *minor = 0;
    else if (strlen(s) == 8 && strncmp(s, "HTTP/", 5) == 0)
        return S3_ERR_VERSION_NOT_SUPPORTED;
    else
        return bad(why, "The request line does not end in an HTTP version");
    return S3_ERR_NONE;
}

/* "METHOD SP target SP version", ended by NUL. */
static enum s3_error parse_request_line(char *line, struct http_head *h, const char **why)
{
    char *sp1 = strchr(line, ' ');
    char *sp2 = sp1 == NULL ? NULL : strchr(sp1 + 1, ' ');
    if (sp2 == NULL)
        return bad(why, "The request line is malformed");
    *sp1 = '\0';
    *sp2 = '\0';
    const char *target = sp1 + 1;
    for (const char *p = target; *p != '\0'; p++) {
        if (!in_class(*p, CLASS_TARGET))
            return bad(why, "The request target holds a character that it must not");
    }
    enum s3_error e = parse_version(sp2 + 1, &h->minor, why);
    if (e != S3_ERR_NONE)
        return e;
    e = parse_method(line, &h->method, why);
    if (e != S3_ERR_NONE)
        return e;
    if (target[0] != '/')
        return bad(why, "The request target must be a path");
    if ((size_t)(sp2 - target) > HTTP_TARGET_MAX)
        return S3_ERR_URI_TOO_LONG;
    h->target = target;
    return S3_ERR_NONE;
}

/* Headers that may be sent once only: each says something that a second one could contradict. */
static bool is_single(const char *name)
{
    static const char *const names[] = {
        "content-length",
        "transfer-encoding",
        "host",
        "authorization",
        "content-md5",
        "content-type",
        "date",
        "expect",
        "range",
        "x-amz-date",
        "x-amz-content-sha256",
        "x-amz-decoded-content-length",
        "x-amz-copy-source",
        "x-amz-security-token",
        "x-amz-tagging",
        "x-amz-trailer",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return strncmp(name, "x-amz-checksum-", 15) == 0;
}

/* Appends value to the value of an earlier header of the same name, in memory of h. A hundred lines
 * that all repeat one name are refused rather than copied again and again. */
static enum s3_error join(struct http_head *h, struct s3_header *old, const char *value)
{
    size_t a = strlen(old->value), b = strlen(value);
    if (h->joined == NULL)
        h->joined = xzalloc(HTTP_JOINED_MAX);
    if (h->joined_len + a + b + 2 > HTTP_JOINED_MAX)
        return S3_ERR_REQUEST_HEADERS_TOO_LARGE;
    char *to = h->joined + h->joined_len;
    memcpy(to, old->value, a);
    to[a] = ',';
    memcpy(to + a + 1, value, b + 1);
    old->value = to;
    h->joined_len += a + b + 2;
    return S3_ERR_NONE;
}

static struct s3_header *find(struct http_head *h, const char *name)
{
    for (size_t i = 0; i < h->n_headers; i++) {
        if (strcmp(h->headers[i].name, name) == 0)
            return &h->headers[i];
    }
    return NULL;
}

/* "name: value", ended by NUL; lower-cases the name in place and trims the value. */
static enum s3_error parse_field(char *line, size_t len, char **name, char **value,
                                 const char **why)
{
    if (line[0] == ' ' || line[0] == '\t')
        return bad(why, "A header line is folded");
    char *p = line;
    for (; in_class(*p, CLASS_TOKEN); p++) {
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p + ('a' - 'A'));
    }
    if (p == line || *p != ':')
        return bad(why, "A header line has a malformed name");
    *p++ = '\0';
    char *end = line + len;
    for (const char *q = p; q < end; q++) {
        if (!in_class(*q, CLASS_VALUE))
            return bad(why, "A header value holds a control character");
    }
    while (*p == ' ' || *p == '\t')
        p++;
    while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *end = '\0';
    *name = line;
    *value = p;
    return S3_ERR_NONE;
}

static enum s3_error add_field(struct http_head *h, const char *name, const char *value,
                               const char **why)
{
    struct s3_header *old = find(h, name);
    if (old != NULL) {
        if (strcmp(name, "authorization") == 0) {
            *why = "Only one Authorization header is allowed";
            return S3_ERR_INVALID_ARGUMENT;
        }
        if (is_single(name))
            return bad(why, "A header that may be sent once only was sent again");
        return join(h, old, value);
    }
    h->headers[h->n_headers++] = (struct s3_header){.name = name, .value = value};
    return S3_ERR_NONE;
}

static enum s3_error parse_fields(char *buf, size_t len, struct http_head *h, const char **why)
{
    size_t lines = 0;
    char *line = buf, *end = buf + len;
    while (line < end) {
        char *cr = memchr(line, '\r', (size_t)(end - line));
        if (cr == NULL || cr + 1 >= end || cr[1] != '\n')
            return bad(why, "A header line holds a bare CR");
        *cr = '\0';
        if (++lines > HTTP_HEADERS_MAX)
            return S3_ERR_REQUEST_HEADERS_TOO_LARGE;
        char *name = NULL, *value = NULL;
        enum s3_error e = parse_field(line, (size_t)(cr - line), &name, &value, why);
        if (e == S3_ERR_NONE)
            e = add_field(h, name, value, why);
        if (e != S3_ERR_NONE)
            return e;
        line = cr + 2;
    }
    return S3_ERR_NONE;
}

int http_parse_number(const char *s, int64_t *out)
{
    uint64_t v = 0;
    size_t n = 0;
    for (; s[n] >= '0' && s[n] <= '9'; n++) {
        if (n >= 19)
            return -EINVAL;
        v = v * 10 + (uint64_t)(s[n] - '0');
    }
    if (n == 0 || s[n] != '\0' || v > INT64_MAX)
        return -EINVAL;
    *out = (int64_t)v;
    return 0;
}

/* Whether the comma-separated list holds word, in any case. */
static bool list_has(const char *list, const char *word)
{
    size_t n = strlen(word);
    while (*list != '\0') {
        list += strspn(list, ", \t");
        size_t len = strcspn(list, ", \t");
        if (len == n && strncasecmp(list, word, n) == 0)
            return true;
        list += len;
    }
    return false;
}

static enum s3_error parse_framing(struct http_head *h, const char **why)
{
    const char *cl = http_head_get(h, "content-length");
    const char *te = http_head_get(h, "transfer-encoding");
    h->content_length = -1;
    if (cl != NULL && te != NULL)
        return bad(why, "Content-Length and Transfer-Encoding exclude each other");
    if (cl != NULL && http_parse_number(cl, &h->content_length) < 0)
        return bad(why, "Content-Length is not a number");
    if (te == NULL)
        return S3_ERR_NONE;
    if (h->minor == 0)
        return bad(why, "HTTP/1.0 has no Transfer-Encoding");
    if (strcasecmp(te, "chunked") != 0) {
        *why = "The only Transfer-Encoding spoken here is chunked";
        return S3_ERR_NOT_IMPLEMENTED;
    }
    h->chunked = true;
    return S3_ERR_NONE;
}

static enum s3_error parse_meaning(struct http_head *h, const char **why)
{
    enum s3_error e = parse_framing(h, why);
    if (e != S3_ERR_NONE)
        return e;
    h->host = http_head_get(h, "host");
    if (h->host == NULL || h->host[0] == '\0')
        return bad(why, "The request has no Host header");
    for (const char *p = h->host; *p != '\0'; p++) {
        if (*p <= ' ' || strchr("/\\?#@,\"<>", *p) != NULL)
            return bad(why, "The Host header is malformed");
    }
    const char *connection = http_head_get(h, "connection");
    h->keep_alive = h->minor == 1 ? connection == NULL || !list_has(connection, "close")
                                  : connection != NULL && list_has(connection, "keep-alive");
    const char *expect = http_head_get(h, "expect");
    if (expect != NULL && strcasecmp(expect, "100-continue") != 0)
        return S3_ERR_EXPECTATION_FAILED;
    h->expect_continue = expect != NULL && h->minor == 1;
    return S3_ERR_NONE;
}

enum s3_error http_head_parse(char *buf, size_t len, struct http_head *h, const char **why)
{
    const char *none = NULL;
    if (why == NULL)
        why = &none;
    *why = NULL;
    *h = (struct http_head){.content_length = -1};
    if (memchr(buf, '\0', len) != NULL)
        return bad(why, "The request head holds a NUL byte");
    char *cr = memchr(buf, '\r', len);
    if (cr == NULL || len < 4 || cr[1] != '\n')
        return bad(why, "The request line holds a bare CR");
    *cr = '\0';
    enum s3_error e = parse_request_line(buf, h, why);
    if (e != S3_ERR_NONE)
        return e;
    size_t first = (size_t)(cr + 2 - buf);
    if (len - first > HTTP_SECTION_MAX)
        return S3_ERR_REQUEST_HEADER_SECTION_TOO_LARGE;
    e = first + 2 > len ? S3_ERR_NONE : parse_fields(buf + first, len - first - 2, h, why);
    return e != S3_ERR_NONE ? e : parse_meaning(h, why);
}

void http_head_fini(struct http_head *h)
{
    free(h->joined);
    h->joined = NULL;
}

const char *http_head_get(const struct http_head *h, const char *name)
{
    for (size_t i = 0; i < h->n_headers; i++) {
        if (strcmp(h->headers[i].name, name) == 0)
            return h->headers[i].value;
    }
    return NULL;
}

const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } reasons[] = {
        {100, "Continue"},
        {200, "OK"},
        {204, "No Content"},
        {206, "Partial Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {409, "Conflict"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {414, "URI Too Long"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (reasons[i].status == status)
            return reasons[i].text;
    }
    return "Status";
}
