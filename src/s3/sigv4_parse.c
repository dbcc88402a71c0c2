/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/sigv4_impl.h"

#include "base/timefmt.h"
#include "s3/http.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

const struct s3_header *sigv4_header(const struct sigv4_input *in, const char *name)
{
    for (size_t i = 0; i < in->n_headers; i++) {
        if (strcmp(in->headers[i].name, name) == 0)
            return &in->headers[i];
    }
    return NULL;
}

static const char *header_value(const struct sigv4_input *in, const char *name)
{
    const struct s3_header *h = sigv4_header(in, name);
    return h != NULL ? h->value : NULL;
}

const char *sigv4_param(const struct sigv4_input *in, const char *name)
{
    for (size_t i = 0; i < in->n_params; i++) {
        if (strcmp(in->params[i].name, name) == 0)
            return in->params[i].value;
    }
    return NULL;
}

bool sigv4_in_list(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = list; *p != '\0';) {
        size_t len = strcspn(p, ";");
        if (len == n && memcmp(p, name, n) == 0)
            return true;
        p += len;
        if (*p == ';')
            p++;
    }
    return false;
}

/* Both forms refuse what they cannot read, under their own codes. */
static enum s3_error malformed(const struct sigv4 *s, struct s3_fail *fail, const char *text)
{
    return s3_fail_set(fail,
                       s->presigned ? S3_ERR_AUTHORIZATION_QUERY_PARAMETERS_ERROR
                                    : S3_ERR_AUTHORIZATION_HEADER_MALFORMED,
                       "%s", text);
}

enum s3_error sigv4_payload_parse(const char *value, enum s3_payload *out, struct s3_fail *fail)
{
    static const struct {
        const char *text;
        enum s3_payload payload;
    } kinds[] = {
        {"UNSIGNED-PAYLOAD", S3_PAYLOAD_UNSIGNED},
        {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD", S3_PAYLOAD_STREAM},
        {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", S3_PAYLOAD_STREAM_TRAILER},
        {"STREAMING-UNSIGNED-PAYLOAD-TRAILER", S3_PAYLOAD_STREAM_UNSIGNED_TRAILER},
    };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(value, kinds[i].text) == 0) {
            *out = kinds[i].payload;
            return S3_ERR_NONE;
        }
    }
    if (strncmp(value, "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", 40) == 0)
        return S3_ERR_NOT_IMPLEMENTED;
    if (strlen(value) != 64 || strspn(value, "0123456789abcdef") != 64)
        return s3_fail_set(fail, S3_ERR_INVALID_REQUEST,
                           "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a STREAMING- form or a "
                           "SHA-256 in lower-case hex");
    *out = S3_PAYLOAD_HASH;
    return S3_ERR_NONE;
}

static bool all_digits(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
    }
    return true;
}

static int two(const char *s)
{
    return (s[0] - '0') * 10 + (s[1] - '0');
}

/* Parses 20130524T000000Z. Returns seconds since 1970, or -1. */
static int64_t parse_amz_date(const char *s)
{
    if (strlen(s) != 16 || !all_digits(s, 8) || s[8] != 'T' || !all_digits(s + 9, 6) ||
        s[15] != 'Z')
        return -1;
    struct tm tm = {.tm_year = two(s) * 100 + two(s + 2) - 1900,
                    .tm_mon = two(s + 4) - 1,
                    .tm_mday = two(s + 6),
                    .tm_hour = two(s + 9),
                    .tm_min = two(s + 11),
                    .tm_sec = two(s + 13)};
    int mon = tm.tm_mon, mday = tm.tm_mday, hour = tm.tm_hour, min = tm.tm_min, sec = tm.tm_sec;
    time_t t = timegm(&tm);
    /* What timegm had to move was no date. */
    if (tm.tm_mon != mon || tm.tm_mday != mday || tm.tm_hour != hour || tm.tm_min != min ||
        tm.tm_sec != sec)
        return -1;
    return (int64_t)t;
}

static void format_amz_date(time_t t, char *out)
{
    struct tm tm;
    (void)gmtime_r(&t, &tm);
    (void)strftime(out, 17, "%Y%m%dT%H%M%SZ", &tm);
}

/* The signing time in seconds, and its text in s->amz_date. */
static enum s3_error parse_date(const struct sigv4_input *in, struct sigv4 *s, int64_t *when,
                                struct s3_fail *fail)
{
    const char *text =
        s->presigned ? sigv4_param(in, "X-Amz-Date") : header_value(in, "x-amz-date");
    const char *date = s->presigned ? NULL : header_value(in, "date");
    *when = -1;
    if (text != NULL) {
        *when = parse_amz_date(text);
    } else if (date != NULL) {
        struct tm tm = {0};
        const char *end = strptime(date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        *when = end != NULL && *end == '\0' ? (int64_t)timegm(&tm) : parse_amz_date(date);
        if (!sigv4_in_list(s->signed_headers, "date"))
            *when = -1;
    }
    if (*when < 0 && s->presigned)
        return malformed(s, fail, "X-Amz-Date must have the form yyyyMMdd'T'HHmmss'Z'");
    if (*when < 0)
        return s3_fail_set(fail, S3_ERR_ACCESS_DENIED,
                           "AWS authentication requires a valid signed Date or x-amz-date header");
    if (text != NULL)
        memcpy(s->amz_date, text, sizeof(s->amz_date));
    else
        format_amz_date((time_t)*when, s->amz_date);
    return S3_ERR_NONE;
}

/* Takes the next '/'-ended piece of *p (to the end for the last one) into out. */
static bool take_piece(const char **p, char *out, size_t cap)
{
    size_t n = strcspn(*p, "/");
    if (n == 0 || n >= cap)
        return false;
    memcpy(out, *p, n);
    out[n] = '\0';
    *p += n;
    if (**p == '/')
        (*p)++;
    return true;
}

/* KEY/20130524/region/s3/aws4_request */
static enum s3_error parse_credential(const struct sigv4_input *in, struct sigv4 *s,
                                      const char *text, struct s3_fail *fail)
{
    char date[16], region[65], service[16], terminator[16];
    const char *p = text;
    if (!take_piece(&p, s->access_key, sizeof(s->access_key)) ||
        !take_piece(&p, date, sizeof(date)) || !take_piece(&p, region, sizeof(region)) ||
        !take_piece(&p, service, sizeof(service)) ||
        !take_piece(&p, terminator, sizeof(terminator)) || *p != '\0' || p[-1] == '/')
        return malformed(s, fail, "The Credential must be KEY/YYYYMMDD/REGION/s3/aws4_request");
    if (strlen(date) != 8 || !all_digits(date, 8))
        return malformed(s, fail, "The Credential's date is malformed");
    if (strcmp(region, in->region) != 0) {
        s3_fail_element(fail, "Region", "%s", in->region);
        return s3_fail_set(fail,
                           s->presigned ? S3_ERR_AUTHORIZATION_QUERY_PARAMETERS_ERROR
                                        : S3_ERR_AUTHORIZATION_HEADER_MALFORMED,
                           "The region '%s' is wrong; expecting '%s'", region, in->region);
    }
    if (strcmp(service, "s3") != 0)
        return malformed(s, fail, "The Credential's service must be s3");
    if (strcmp(terminator, "aws4_request") != 0)
        return malformed(s, fail, "The Credential must end in aws4_request");
    (void)snprintf(s->scope, sizeof(s->scope), "%s/%s/s3/aws4_request", date, region);
    return S3_ERR_NONE;
}

/* Names in lower case, ascending, each once, present in the request, host among them. */
static enum s3_error parse_signed_headers(const struct sigv4_input *in, struct sigv4 *s,
                                          const char *text, size_t len, struct s3_fail *fail)
{
    if (len == 0 || len >= sizeof(s->signed_headers))
        return malformed(s, fail, "SignedHeaders is empty or too long");
    memcpy(s->signed_headers, text, len);
    s->signed_headers[len] = '\0';
    char before[256] = "", name[256];
    for (const char *p = s->signed_headers; *p != '\0';) {
        size_t n = strcspn(p, ";");
        if (n == 0 || n >= sizeof(name))
            return malformed(s, fail, "SignedHeaders holds a malformed name");
        memcpy(name, p, n);
        name[n] = '\0';
        if (strcmp(name, before) <= 0)
            return malformed(s, fail, "SignedHeaders must be in ascending order, each name once");
        if (sigv4_header(in, name) == NULL)
            return s3_fail_set(fail, S3_ERR_SIGNATURE_DOES_NOT_MATCH,
                               "A header named in SignedHeaders was not sent");
        memcpy(before, name, n + 1);
        p += n;
        if (*p == ';' && *++p == '\0')
            return malformed(s, fail, "SignedHeaders ends in a separator");
    }
    if (!sigv4_in_list(s->signed_headers, "host"))
        return s3_fail_set(fail, S3_ERR_ACCESS_DENIED, "The Host header must be signed");
    return S3_ERR_NONE;
}

static enum s3_error parse_signature(struct sigv4 *s, const char *text, size_t len,
                                     struct s3_fail *fail)
{
    if (len == 0)
        return malformed(s, fail, "The Signature is empty");
    if (len != 64)
        return S3_ERR_SIGNATURE_DOES_NOT_MATCH;
    memcpy(s->signature, text, 64);
    s->signature[64] = '\0';
    return S3_ERR_NONE;
}

struct piece {
    const char *at;
    size_t len;
};

/* Splits "Credential=..., SignedHeaders=..., Signature=..." in any order, each exactly once. */
static bool split_header(const char *p, struct piece *out)
{
    static const char *const names[] = {"Credential=", "SignedHeaders=", "Signature="};
    unsigned seen = 0;
    for (;;) {
        p += strspn(p, " \t");
        size_t len = strcspn(p, ",");
        size_t i = 0;
        while (i < 3 && strncmp(p, names[i], strlen(names[i])) != 0)
            i++;
        if (i == 3 || (seen & (1U << i)) != 0)
            return false;
        seen |= 1U << i;
        size_t skip = strlen(names[i]);
        if (skip > len)
            return false;
        size_t end = len;
        while (end > skip && (p[end - 1] == ' ' || p[end - 1] == '\t'))
            end--;
        out[i] = (struct piece){p + skip, end - skip};
        p += len;
        if (*p == '\0')
            return seen == 7;
        p++;
    }
}

static enum s3_error check_scope_date(const struct sigv4 *s, struct s3_fail *fail)
{
    if (strncmp(s->scope, s->amz_date, 8) == 0)
        return S3_ERR_NONE;
    return malformed(s, fail, "The Credential's date is not the date of the request");
}

static enum s3_error parse_header_form(const struct sigv4_input *in, struct sigv4 *s,
                                       const char *auth, struct s3_fail *fail)
{
    static const char algorithm[] = "AWS4-HMAC-SHA256";
    size_t n = strcspn(auth, " ");
    if (n != sizeof(algorithm) - 1 || strncmp(auth, algorithm, n) != 0)
        return s3_fail_set(fail, S3_ERR_INVALID_REQUEST,
                           "The authorization mechanism you have provided is not supported. Please "
                           "use AWS4-HMAC-SHA256.");
    struct piece parts[3];
    char credential[320];
    if (!split_header(auth + n, parts) || parts[0].len >= sizeof(credential))
        return malformed(s, fail,
                         "The authorization header must hold Credential, SignedHeaders and "
                         "Signature, each once");
    memcpy(credential, parts[0].at, parts[0].len);
    credential[parts[0].len] = '\0';
    enum s3_error e = parse_credential(in, s, credential, fail);
    if (e == S3_ERR_NONE)
        e = parse_signed_headers(in, s, parts[1].at, parts[1].len, fail);
    if (e == S3_ERR_NONE)
        e = parse_signature(s, parts[2].at, parts[2].len, fail);
    int64_t when = 0;
    if (e == S3_ERR_NONE)
        e = parse_date(in, s, &when, fail);
    if (e == S3_ERR_NONE)
        e = check_scope_date(s, fail);
    if (e != S3_ERR_NONE)
        return e;
    int64_t now = in->now_ns / NS_PER_SEC;
    if (when - now <= SIGV4_SKEW_S && now - when <= SIGV4_SKEW_S)
        return S3_ERR_NONE;
    char iso[TIMEFMT_MAX];
    timefmt_iso_s3(in->now_ns, iso);
    s3_fail_element(fail, "RequestTime", "%s", s->amz_date);
    s3_fail_element(fail, "ServerTime", "%s", iso);
    s3_fail_element(fail, "MaxAllowedSkewMilliseconds", "%d", SIGV4_SKEW_S * 1000);
    return S3_ERR_REQUEST_TIME_TOO_SKEWED;
}

static enum s3_error check_expiry(const struct sigv4_input *in, const struct sigv4 *s, int64_t when,
                                  struct s3_fail *fail)
{
    int64_t expires = 0, now = in->now_ns / NS_PER_SEC;
    if (http_parse_number(sigv4_param(in, "X-Amz-Expires"), &expires) < 0)
        return malformed(s, fail, "X-Amz-Expires must be a non-negative number");
    if (expires > 604800)
        return malformed(s, fail, "X-Amz-Expires must be less than a week (in seconds)");
    if (when - now > SIGV4_SKEW_S)
        return s3_fail_set(fail, S3_ERR_ACCESS_DENIED, "Request is not yet valid");
    if (now - when <= expires)
        return S3_ERR_NONE;
    char iso[TIMEFMT_MAX];
    timefmt_iso_s3((when + expires) * NS_PER_SEC, iso);
    s3_fail_element(fail, "X-Amz-Expires", "%lld", (long long)expires);
    s3_fail_element(fail, "Expires", "%s", iso);
    timefmt_iso_s3(in->now_ns, iso);
    s3_fail_element(fail, "ServerTime", "%s", iso);
    return s3_fail_set(fail, S3_ERR_ACCESS_DENIED, "Request has expired");
}

static bool all_query_fields_once(const struct sigv4_input *in)
{
    static const char *const names[] = {"X-Amz-Algorithm", "X-Amz-Credential",
                                        "X-Amz-Date",      "X-Amz-Expires",
                                        "X-Amz-Signature", "X-Amz-SignedHeaders"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t seen = 0;
        for (size_t j = 0; j < in->n_params; j++)
            seen += strcmp(in->params[j].name, names[i]) == 0;
        if (seen != 1)
            return false;
    }
    return true;
}

static enum s3_error parse_query_form(const struct sigv4_input *in, struct sigv4 *s,
                                      struct s3_fail *fail)
{
    if (!all_query_fields_once(in))
        return malformed(s, fail,
                         "Query-string authentication requires X-Amz-Algorithm, X-Amz-Credential, "
                         "X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders and X-Amz-Expires, each "
                         "once");
    if (strcmp(sigv4_param(in, "X-Amz-Algorithm"), "AWS4-HMAC-SHA256") != 0)
        return malformed(s, fail, "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"");
    const char *names = sigv4_param(in, "X-Amz-SignedHeaders");
    const char *signature = sigv4_param(in, "X-Amz-Signature");
    enum s3_error e = parse_credential(in, s, sigv4_param(in, "X-Amz-Credential"), fail);
    if (e == S3_ERR_NONE)
        e = parse_signed_headers(in, s, names, strlen(names), fail);
    if (e == S3_ERR_NONE)
        e = parse_signature(s, signature, strlen(signature), fail);
    int64_t when = 0;
    if (e == S3_ERR_NONE)
        e = parse_date(in, s, &when, fail);
    if (e == S3_ERR_NONE)
        e = check_scope_date(s, fail);
    return e == S3_ERR_NONE ? check_expiry(in, s, when, fail) : e;
}

static enum s3_error parse_payload(const struct sigv4_input *in, struct sigv4 *s,
                                   struct s3_fail *fail)
{
    const char *value = header_value(in, "x-amz-content-sha256");
    if (value == NULL && s->presigned)
        value = sigv4_param(in, "X-Amz-Content-Sha256");
    if (value == NULL && !s->presigned && !s->anonymous)
        return s3_fail_set(fail, S3_ERR_INVALID_REQUEST,
                           "Missing required header for this request: x-amz-content-sha256");
    s->payload_text = value != NULL ? value : "UNSIGNED-PAYLOAD";
    enum s3_error e = sigv4_payload_parse(s->payload_text, &s->payload, fail);
    if (s->presigned && sigv4_header(in, "x-amz-content-sha256") != NULL &&
        !sigv4_in_list(s->signed_headers, "x-amz-content-sha256"))
        s->payload_text = "UNSIGNED-PAYLOAD";
    return e;
}

enum s3_error sigv4_parse(const struct sigv4_input *in, struct sigv4 *s, struct s3_fail *fail)
{
    memset(s, 0, sizeof(*s));
    memset(fail, 0, sizeof(*fail));
    const char *auth = header_value(in, "authorization");
    bool v2 = sigv4_param(in, "AWSAccessKeyId") != NULL || sigv4_param(in, "Signature") != NULL;
    s->presigned = sigv4_param(in, "X-Amz-Algorithm") != NULL ||
                   sigv4_param(in, "X-Amz-Credential") != NULL ||
                   sigv4_param(in, "X-Amz-Signature") != NULL;
    s->anonymous = auth == NULL && !s->presigned;
    if ((auth != NULL) + s->presigned + v2 > 1)
        return s3_fail_set(fail, S3_ERR_INVALID_ARGUMENT,
                           "Only one auth mechanism allowed; only the X-Amz-Algorithm query "
                           "parameter or the Authorization header should be specified");
    if (v2)
        return s3_fail_set(fail, S3_ERR_INVALID_REQUEST,
                           "Signature Version 2 is not supported. Please use AWS4-HMAC-SHA256.");
    if (header_value(in, "x-amz-security-token") != NULL ||
        sigv4_param(in, "X-Amz-Security-Token") != NULL)
        return S3_ERR_INVALID_TOKEN;
    enum s3_error e = S3_ERR_NONE;
    if (auth != NULL)
        e = parse_header_form(in, s, auth, fail);
    else if (s->presigned)
        e = parse_query_form(in, s, fail);
    return e == S3_ERR_NONE ? parse_payload(in, s, fail) : e;
}
