/* SPDX-License-Identifier: Apache-2.0 */
/* GetObject and HeadObject. */
#include "s3/ops_impl.h"

#include "base/timefmt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What of the object is asked for. */
struct span {
    int status; /* 200 or 206 */
    int64_t off;
    int64_t len;
};

/* Digits of a range's end: 0 with *out, or -1. Numbers beyond 2^63 count as the largest. */
static int range_number(const char **s, int64_t *out)
{
    if (**s < '0' || **s > '9')
        return -1;
    char *end = NULL;
    errno = 0;
    long long v = strtoll(*s, &end, 10);
    *out = errno != 0 ? INT64_MAX : v;
    *s = end;
    return 0;
}

/* Reads "bytes=first-last", -1 for what is left out. Returns whether it is one well-formed range.
 */
static bool read_range(const char *s, int64_t *first, int64_t *last)
{
    if (strncmp(s, "bytes=", 6) != 0)
        return false;
    s += 6;
    *first = -1;
    *last = -1;
    bool has_first = range_number(&s, first) == 0;
    if (*s++ != '-')
        return false;
    bool has_last = range_number(&s, last) == 0;
    return *s == '\0' && (has_first || has_last) && !(has_first && has_last && *last < *first);
}

/*
 * RFC 9110, 14.1.2 for one range. Returns 0 with the span; 1 when the header is to be ignored
 * (other unit, several ranges, not well-formed); -1 when it cannot be satisfied.
 */
static int parse_range(const char *s, int64_t size, struct span *span)
{
    int64_t first = -1;
    int64_t last = -1;
    if (!read_range(s, &first, &last))
        return 1;
    if (first < 0) { /* the last bytes */
        if (last == 0 || size == 0)
            return -1;
        first = last < size ? size - last : 0;
        last = size - 1;
    } else if (first >= size) {
        return -1;
    }
    if (last < 0 || last >= size)
        last = size - 1;
    *span = (struct span){.status = 206, .off = first, .len = last - first + 1};
    return 0;
}

/* If-Range: does the range still mean this object? */
static bool range_applies(const struct s3_req *req, const struct object *o)
{
    const char *v = s3_req_header(req, "if-range");
    int64_t t = 0;
    if (v == NULL)
        return true;
    if (cond_parse_date(v, &t) == 0)
        return o->st.st_mtim.tv_sec <= t;
    return etag_in_list(v, o->etag);
}

/* How many parts the object was made of, 0 when that is not known (or it was changed since). */
static size_t part_count(const struct object *o)
{
    int64_t total = 0;
    for (size_t i = 0; i < o->meta.n_parts; i++)
        total += o->meta.parts[i];
    return total == o->size ? o->meta.n_parts : 0;
}

/* The number in text, 0 when it is none of a part. */
static size_t part_number(const char *text)
{
    char *end = NULL;
    long n = *text >= '0' && *text <= '9' ? strtol(text, &end, 10) : 0;
    return n >= 1 && n <= PART_NUMBER_MAX && *end == '\0' ? (size_t)n : 0;
}

static bool part_span(struct s3_call *c, const struct object *o, const char *text,
                      struct span *span)
{
    size_t n = part_number(text);
    size_t known = part_count(o);
    size_t count = known > 0 ? known : 1;
    if (n == 0) {
        (void)s3_reply_error(c->req, S3_ERR_INVALID_ARGUMENT,
                             "Part number must be an integer between 1 and 10000, inclusive");
        return false;
    }
    if (n > count) {
        s3_error_element(c->req, "PartNumberRequested", "%zu", n);
        s3_error_element(c->req, "ActualPartCount", "%zu", count);
        (void)s3_reply_error(c->req, S3_ERR_INVALID_PART_NUMBER, NULL);
        return false;
    }
    *span = (struct span){.status = 206, .off = 0, .len = o->size};
    if (known == 0)
        return true;
    span->len = o->meta.parts[n - 1];
    for (size_t i = 0; i + 1 < n; i++)
        span->off += o->meta.parts[i];
    s3_reply_header(c->req, "x-amz-mp-parts-count", "%zu", count);
    return true;
}

/* Finds what is asked for. Returns true, or false having answered. */
static bool choose_span(struct s3_call *c, const struct object *o, struct span *span)
{
    const char *range = s3_req_header(c->req, "range");
    const char *part = s3_req_param(c->req, "partNumber");
    *span = (struct span){.status = 200, .off = 0, .len = o->size};
    if (part != NULL && range != NULL) {
        (void)s3_reply_error(c->req, S3_ERR_INVALID_REQUEST,
                             "Cannot specify both Range header and partNumber query parameter");
        return false;
    }
    if (part != NULL)
        return part_span(c, o, part, span);
    if (range == NULL || !range_applies(c->req, o) || parse_range(range, o->size, span) >= 0)
        return true;
    s3_reply_header(c->req, "Content-Range", "bytes */%" PRId64, o->size);
    s3_error_element(c->req, "RangeRequested", "%s", range);
    s3_error_element(c->req, "ActualObjectSize", "%" PRId64, o->size);
    (void)s3_reply_error(c->req, S3_ERR_INVALID_RANGE, NULL);
    return false;
}

void reply_checksum(struct s3_call *c, const struct meta *m)
{
    if (m->sum_alg == S3_SUM_NONE)
        return;
    char name[40];
    (void)snprintf(name, sizeof name, "x-amz-checksum-%s", s3_sum_suffix(m->sum_alg));
    s3_reply_header(c->req, name, "%s", m->sum);
    s3_reply_header(c->req, "x-amz-checksum-type", "%s",
                    m->sum_composite ? "COMPOSITE" : "FULL_OBJECT");
}

static bool conditions_hold(struct s3_call *c, const struct object *o)
{
    const char *which = "";
    enum s3_error e = cond_read(c->req, "", o->etag, o->st.st_mtim.tv_sec, &which);
    if (e == S3_ERR_NONE)
        return true;
    if (e == S3_ERR_COUNT) {
        object_headers(c, o);
        (void)s3_reply_empty(c->req, 304);
    } else {
        cond_fail(c, which);
    }
    return false;
}

static void answer(struct s3_call *c, const struct object *o, const struct span *span)
{
    struct s3_req *req = c->req;
    object_headers(c, o);
    if (span->status == 206 && span->len > 0)
        s3_reply_header(req, "Content-Range", "bytes %" PRId64 "-%" PRId64 "/%" PRId64, span->off,
                        span->off + span->len - 1, o->size);
    const char *mode = s3_req_header(req, "x-amz-checksum-mode");
    if (mode != NULL && strcmp(mode, "ENABLED") == 0 && span->status == 200 &&
        meta_sum_valid(&o->meta, &o->st))
        reply_checksum(c, &o->meta);
    if (req->method == S3_METHOD_HEAD) {
        (void)s3_reply_head(req, span->status, span->len);
    } else if (o->data_fd >= 0) {
        (void)s3_reply_file(req, span->status, o->data_fd, span->off, span->len);
    } else {
        (void)s3_reply_begin(req, span->status, 0);
        (void)s3_reply_end(req);
    }
}

static void serve(struct s3_call *c, enum object_open_flags flags)
{
    auto_object struct object o;
    object_init(&o);
    o.metas = c->ops->metas;
    o.req = c->req;
    struct err err = {0};
    int rc = object_open(c->dir, c->req->key, flags, &o, &err);
    if (rc < 0) {
        fault_reply(c, rc, &err);
        return;
    }
    struct span span;
    if (!object_version_ok(c, s3_req_param(c->req, "versionId"), &o) || !conditions_hold(c, &o) ||
        !choose_span(c, &o, &span))
        return;
    if (span.len > 0 && !object_ready(c, c->bucket->path, c->req->key, &o, false))
        return;
    answer(c, &o, &span);
}

void op_get_object(struct s3_call *c)
{
    serve(c, OBJECT_DATA);
}

void op_head_object(struct s3_call *c)
{
    serve(c, OBJECT_NAME);
}
