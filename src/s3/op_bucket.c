/* SPDX-License-Identifier: Apache-2.0 */
/* ListBuckets, CreateBucket, HeadBucket, DeleteBucket. */
#include "s3/ops_impl.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/log.h"
#include "base/timefmt.h"
#include "codec/xml.h"

#include <errno.h>
#include <string.h>

#define CTL_MS          30000
#define CONFIG_BODY_MAX (64u << 10)
#define BUCKETS_PAGE    10000

bool param_number(struct s3_call *c, const char *name, int64_t dflt, int64_t max, int64_t *out)
{
    const char *v = s3_req_param(c->req, name);
    *out = dflt;
    if (v == NULL || v[0] == '\0')
        return true;
    size_t n = strspn(v, "0123456789");
    if (v[n] != '\0') {
        s3_error_element(c->req, "ArgumentName", "%s", name);
        s3_error_element(c->req, "ArgumentValue", "%s", v);
        (void)s3_reply_error(c->req, S3_ERR_INVALID_ARGUMENT,
                             "Provided %s not an integer or within "
                             "integer range",
                             name);
        return false;
    }
    *out = n > 10 ? max : strtoll(v, NULL, 10);
    if (*out > max)
        *out = max;
    return true;
}

static void when_created(const struct s3_bucket *b, char *out)
{
    int64_t ns = 0;
    if (b->created == NULL || timefmt_parse_iso(b->created, &ns) < 0)
        ns = 0;
    timefmt_iso_s3(ns, out);
}

/* Is b one of the buckets that the listing shows? */
static bool listed(const struct s3_call *c, const struct s3_bucket *b, const char *prefix,
                   const char *after)
{
    return strcmp(b->owner, c->req->account->name) == 0 &&
           strncmp(b->name, prefix, strlen(prefix)) == 0 && strcmp(b->name, after) > 0;
}

void op_list_buckets(struct s3_call *c)
{
    struct s3_req *req = c->req;
    const char *prefix = s3_req_param(req, "prefix");
    const char *after = s3_req_param(req, "continuation-token");
    const char *region = s3_req_param(req, "bucket-region");
    int64_t max = 0;
    if (!param_number(c, "max-buckets", BUCKETS_PAGE, BUCKETS_PAGE, &max))
        return;
    if (max == 0) {
        (void)s3_reply_error(req, S3_ERR_INVALID_ARGUMENT, "max-buckets must be at least 1");
        return;
    }
    bool other_region = region != NULL && strcmp(region, req->site->conf->s3.region) != 0;
    size_t n = 0;
    const struct s3_bucket *all = s3_req_buckets(req, &n);
    auto_buf struct buf xml = {0};
    buf_adds(&xml, S3_XML_DECL "<ListAllMyBucketsResult xmlns=\"" S3_XML_NS "\"><Owner><ID>");
    buf_add_xml(&xml, req->account->name);
    buf_adds(&xml, "</ID><DisplayName>");
    buf_add_xml(&xml, req->account->name);
    buf_adds(&xml, "</DisplayName></Owner><Buckets>");
    const char *last = NULL;
    bool more = false;
    for (size_t i = 0; i < n && !more && !other_region; i++) {
        const struct s3_bucket *b = &all[i];
        if (!listed(c, b, prefix != NULL ? prefix : "", after != NULL ? after : ""))
            continue;
        more = max == 0;
        if (more)
            break;
        char when[TIMEFMT_MAX];
        when_created(b, when);
        buf_addf(&xml, "<Bucket><Name>%s</Name><CreationDate>%s</CreationDate><BucketRegion>",
                 b->name, when);
        buf_add_xml(&xml, req->site->conf->s3.region);
        buf_adds(&xml, "</BucketRegion></Bucket>");
        last = b->name;
        max--;
    }
    buf_adds(&xml, "</Buckets>");
    if (more)
        buf_addf(&xml, "<ContinuationToken>%s</ContinuationToken>", last);
    if (prefix != NULL) {
        buf_adds(&xml, "<Prefix>");
        buf_add_xml(&xml, prefix);
        buf_adds(&xml, "</Prefix>");
    }
    buf_adds(&xml, "</ListAllMyBucketsResult>");
    (void)s3_reply_xml(req, 200, &xml);
}

/* Checks the CreateBucketConfiguration. Returns true, or false having answered. */
static bool constraint_ok(struct s3_call *c)
{
    struct s3_req *req = c->req;
    auto_buf struct buf body = {0};
    if (s3_body_read_small(req, CONFIG_BODY_MAX, &body, NULL) != 0) {
        (void)s3_reply_body_error(req);
        return false;
    }
    if (body.len == 0)
        return true;
    auto_xml struct xml *doc = NULL;
    struct err err = {0};
    if (xml_parse(body.data, body.len, 64, S3_XML_NS, &doc, &err) < 0 ||
        !xml_is(doc, "CreateBucketConfiguration")) {
        (void)s3_reply_error(req, S3_ERR_MALFORMED_XML, NULL);
        return false;
    }
    const char *where = xml_text(doc, "LocationConstraint");
    if (where == NULL || where[0] == '\0' || strcmp(where, req->site->conf->s3.region) == 0)
        return true;
    (void)s3_reply_error(req, S3_ERR_INVALID_LOCATION_CONSTRAINT, NULL);
    return false;
}

static void create_fault(struct s3_call *c, const char *owner)
{
    bool own = owner != NULL && strcmp(owner, c->req->account->name) == 0;
    (void)s3_reply_error(
        c->req, own ? S3_ERR_BUCKET_ALREADY_OWNED_BY_YOU : S3_ERR_BUCKET_ALREADY_EXISTS, NULL);
}

void op_create_bucket(struct s3_call *c)
{
    struct s3_req *req = c->req;
    if (!key_bucket_valid(req->bucket)) {
        (void)s3_reply_error(req, S3_ERR_INVALID_BUCKET_NAME, NULL);
        return;
    }
    if (!constraint_ok(c))
        return;
    const struct s3_bucket *there = s3_req_find_bucket(req, req->bucket);
    if (there != NULL) {
        create_fault(c, there->owner);
        return;
    }
    if (!req->account->new_buckets) {
        (void)s3_reply_error(req, S3_ERR_ACCESS_DENIED, "The account may not create buckets");
        return;
    }
    cJSON *args = cJSON_CreateObject();
    json_add_str(args, "name", req->bucket);
    json_add_str(args, "owner", req->account->name);
    struct err err = {0};
    struct err stale = {0}; /* an old registry is refreshed by the next request that misses */
    int rc = s3_ctl_call(req, "bucket.create", args, CTL_MS, NULL, &err);
    if (rc == 0 || rc == -EEXIST)
        (void)s3_req_registry_changed(req, &stale);
    if (rc == -EEXIST) {
        there = s3_req_find_bucket(req, req->bucket);
        create_fault(c, there != NULL ? there->owner : NULL);
        return;
    }
    if (rc < 0) {
        fault_reply(c, rc, &err);
        return;
    }
    s3_reply_header(req, "Location", "/%s", req->bucket);
    (void)s3_reply_empty(req, 200);
}

void op_head_bucket(struct s3_call *c)
{
    s3_reply_header(c->req, "x-amz-bucket-region", "%s", c->req->site->conf->s3.region);
    s3_reply_header(c->req, "Content-Type", "application/xml");
    (void)s3_reply_head(c->req, 200, 0);
}

void op_delete_bucket(struct s3_call *c)
{
    struct s3_req *req = c->req;
    cJSON *args = cJSON_CreateObject();
    json_add_str(args, "name", req->bucket);
    json_add_str(args, "account", req->account->name);
    struct err err = {0};
    struct err stale = {0}; /* an old registry is refreshed by the next request that misses */
    int rc = s3_ctl_call(req, "bucket.delete", args, CTL_MS, NULL, &err);
    if (rc == -ENOTEMPTY) {
        (void)s3_reply_error(req, S3_ERR_BUCKET_NOT_EMPTY, NULL);
        return;
    }
    if (rc == 0 || rc == -ENOENT)
        (void)s3_req_registry_changed(req, &stale);
    if (rc == -ENOENT)
        (void)s3_reply_error(req, S3_ERR_NO_SUCH_BUCKET, NULL);
    else if (rc < 0)
        fault_reply(c, rc, &err);
    else
        (void)s3_reply_empty(req, 204);
}
