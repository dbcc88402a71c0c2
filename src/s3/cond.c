/* SPDX-License-Identifier: Apache-2.0 */
/* Conditional requests: RFC 9110, 13, as S3 applies it. */
#include "s3/ops_impl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

int cond_parse_date(const char *s, int64_t *out)
{
    static const char *const forms[] = {
        "%a, %d %b %Y %H:%M:%S GMT", /* IMF-fixdate */
        "%A, %d-%b-%y %H:%M:%S GMT", /* RFC 850 */
        "%a %b %e %H:%M:%S %Y",      /* asctime */
        "%Y-%m-%dT%H:%M:%SZ",        /* ISO 8601, which some SDKs send */
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct tm tm = {0};
        const char *end = strptime(s, forms[i], &tm);
        if (end == NULL || *end != '\0')
            continue;
        *out = timegm(&tm);
        return 0;
    }
    return -EINVAL;
}

static const char *header(const struct s3_req *req, const char *prefix, const char *name)
{
    char full[64];
    (void)snprintf(full, sizeof full, "%s%s", prefix, name);
    return s3_req_header(req, full);
}

enum s3_error cond_read(const struct s3_req *req, const char *prefix, const char *etag,
                        int64_t mtime_s, const char **which)
{
    bool copy = prefix[0] != '\0';
    const char *match = header(req, prefix, "if-match");
    const char *none = header(req, prefix, "if-none-match");
    const char *unmodified = header(req, prefix, "if-unmodified-since");
    const char *modified = header(req, prefix, "if-modified-since");
    int64_t t = 0;
    if (match != NULL && !etag_in_list(match, etag)) {
        *which = "If-Match";
        return S3_ERR_PRECONDITION_FAILED;
    }
    if (match == NULL && unmodified != NULL && cond_parse_date(unmodified, &t) == 0 &&
        mtime_s > t) {
        *which = "If-Unmodified-Since";
        return S3_ERR_PRECONDITION_FAILED;
    }
    bool unchanged = false;
    if (none != NULL) {
        unchanged = etag_in_list(none, etag);
        *which = "If-None-Match";
    } else if (modified != NULL && cond_parse_date(modified, &t) == 0) {
        unchanged = mtime_s <= t && t <= (int64_t)time(NULL);
        *which = "If-Modified-Since";
    }
    if (!unchanged)
        return S3_ERR_NONE;
    return copy ? S3_ERR_PRECONDITION_FAILED : S3_ERR_COUNT;
}

void cond_write_get(const struct s3_req *req, struct cond_write *w)
{
    w->match = s3_req_header(req, "if-match");
    w->none_match = s3_req_header(req, "if-none-match");
}

enum s3_error cond_write_check(const struct cond_write *w, const char *etag)
{
    if (w->match != NULL && etag == NULL)
        return S3_ERR_NO_SUCH_KEY;
    if (w->match != NULL && !etag_in_list(w->match, etag))
        return S3_ERR_PRECONDITION_FAILED;
    if (w->none_match != NULL && etag != NULL && etag_in_list(w->none_match, etag))
        return S3_ERR_PRECONDITION_FAILED;
    return S3_ERR_NONE;
}

void cond_fail(struct s3_call *c, const char *which)
{
    s3_error_element(c->req, "Condition", "%s", which);
    (void)s3_reply_error(c->req, S3_ERR_PRECONDITION_FAILED, NULL);
}
