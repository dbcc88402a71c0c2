/* SPDX-License-Identifier: Apache-2.0 */
/* ListObjects, ListObjectsV2 and ListObjectVersions. */
#include "s3/page.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "codec/encode.h"
#include "codec/xml.h"

#include <inttypes.h>
#include <string.h>

static void add_common(struct page *p, const char *key, const struct object *o)
{
    struct buf *xml = &p->contents;
    char when[TIMEFMT_MAX];
    timefmt_iso_s3(o->st.st_mtim.tv_sec * NS_PER_SEC, when);
    page_element(xml, "Key", key, p->url);
    buf_addf(xml, "<LastModified>%s</LastModified><ETag>&quot;%s&quot;</ETag>", when, o->etag);
    if (o->meta.sum_alg != S3_SUM_NONE && meta_sum_valid(&o->meta, &o->st))
        buf_addf(xml, "<ChecksumAlgorithm>%s</ChecksumAlgorithm><ChecksumType>%s</ChecksumType>",
                 s3_sum_name(o->meta.sum_alg), o->meta.sum_composite ? "COMPOSITE" : "FULL_OBJECT");
    buf_addf(xml, "<Size>%" PRId64 "</Size><StorageClass>%s</StorageClass>", o->size,
             o->meta.storage_class);
}

static void add_plain(struct s3_call *c, struct page *p, const char *key, const struct object *o)
{
    (void)c;
    buf_adds(&p->contents, "<Contents>");
    add_common(p, key, o);
    buf_adds(&p->contents, "</Contents>");
}

static void add_owned(struct s3_call *c, struct page *p, const char *key, const struct object *o)
{
    buf_adds(&p->contents, "<Contents>");
    add_common(p, key, o);
    page_owner(&p->contents, c->bucket);
    buf_adds(&p->contents, "</Contents>");
}

static void add_version(struct s3_call *c, struct page *p, const char *key, const struct object *o)
{
    buf_adds(&p->contents, "<Version>");
    add_common(p, key, o);
    buf_adds(&p->contents, "<VersionId>null</VersionId><IsLatest>true</IsLatest>");
    page_owner(&p->contents, c->bucket);
    buf_adds(&p->contents, "</Version>");
}

/* What the three answers share at their beginning. */
static void begin(struct s3_call *c, const struct page *p, const char *root, struct buf *xml)
{
    buf_addf(xml, S3_XML_DECL "<%s xmlns=\"" S3_XML_NS "\"><Name>%s</Name>", root, c->bucket->name);
    page_element(xml, "Prefix", p->prefix, p->url);
    if (p->delimiter[0] != '\0')
        page_element(xml, "Delimiter", p->delimiter, p->url);
    buf_addf(xml, "<MaxKeys>%" PRId64 "</MaxKeys><IsTruncated>%s</IsTruncated>", p->max,
             p->truncated ? "true" : "false");
    if (p->url)
        buf_adds(xml, "<EncodingType>url</EncodingType>");
}

static void end(struct s3_call *c, const struct page *p, const char *root, struct buf *xml)
{
    buf_add(xml, p->contents.data, p->contents.len);
    buf_add(xml, p->prefixes.data, p->prefixes.len);
    buf_addf(xml, "</%s>", root);
    (void)s3_reply_xml(c->req, 200, xml);
}

static bool fill(struct s3_call *c, struct page *p, page_entry_fn add)
{
    struct err err = {0};
    int rc = page_fill(c, p, add, &err);
    if (rc < 0)
        fault_reply(c, rc, &err);
    return rc == 0;
}

void op_list_objects(struct s3_call *c)
{
    auto_page struct page p = {0};
    if (!page_params(c, "max-keys", &p))
        return;
    const char *marker = s3_req_param(c->req, "marker");
    p.after = marker != NULL ? marker : "";
    if (!fill(c, &p, add_owned))
        return;
    auto_buf struct buf xml = {0};
    begin(c, &p, "ListBucketResult", &xml);
    page_element(&xml, "Marker", p.after, p.url);
    if (p.truncated && p.delimiter[0] != '\0')
        page_element(&xml, "NextMarker", p.last, p.url);
    end(c, &p, "ListBucketResult", &xml);
}

/* Continuation tokens are the base64 of "k" and the last key or common prefix of the page before.
 */
static char *token_make(const char *last)
{
    auto_free char *plain = xasprintf("k%s", last);
    size_t n = strlen(plain);
    char *out = xzalloc(ENCODE_BASE64_SIZE(n));
    encode_base64((const uint8_t *)plain, n, out);
    return out;
}

/* The key in token; NULL when it is none of ours. The caller frees. */
static char *token_read(const char *token)
{
    size_t cap = strlen(token) + 1;
    auto_free char *plain = xzalloc(cap + 1);
    int64_t n = encode_base64_decode(token, (uint8_t *)plain, cap);
    if (n < 1 || plain[0] != 'k' || memchr(plain, '\0', (size_t)n) != NULL)
        return NULL;
    return xstrdup(plain + 1);
}

void op_list_objects_v2(struct s3_call *c)
{
    struct s3_req *req = c->req;
    const char *token = s3_req_param(req, "continuation-token");
    const char *start = s3_req_param(req, "start-after");
    const char *owner = s3_req_param(req, "fetch-owner");
    auto_page struct page p = {0};
    if (strcmp(s3_req_param(req, "list-type"), "2") != 0) {
        (void)s3_reply_error(req, S3_ERR_INVALID_ARGUMENT, "Invalid list-type");
        return;
    }
    if (!page_params(c, "max-keys", &p))
        return;
    auto_free char *key = NULL;
    if (token != NULL && token[0] != '\0') {
        key = token_read(token);
        if (key == NULL) {
            (void)s3_reply_error(req, S3_ERR_INVALID_ARGUMENT,
                                 "The continuation token provided is incorrect");
            return;
        }
        p.after = key;
    } else if (start != NULL) {
        p.after = start;
    }
    if (!fill(c, &p, owner != NULL && strcmp(owner, "true") == 0 ? add_owned : add_plain))
        return;
    auto_buf struct buf xml = {0};
    begin(c, &p, "ListBucketResult", &xml);
    buf_addf(&xml, "<KeyCount>%" PRId64 "</KeyCount>", p.count);
    if (token != NULL)
        page_element(&xml, "ContinuationToken", token, false);
    if (start != NULL)
        page_element(&xml, "StartAfter", start, p.url);
    if (p.truncated) {
        auto_free char *next = token_make(p.last);
        page_element(&xml, "NextContinuationToken", next, false);
    }
    end(c, &p, "ListBucketResult", &xml);
}

/* Buckets without versioning have one version of each key, "null". */
void op_list_versions(struct s3_call *c)
{
    auto_page struct page p = {0};
    if (!page_params(c, "max-keys", &p))
        return;
    const char *marker = s3_req_param(c->req, "key-marker");
    const char *version = s3_req_param(c->req, "version-id-marker");
    p.after = marker != NULL ? marker : "";
    if (!fill(c, &p, add_version))
        return;
    auto_buf struct buf xml = {0};
    begin(c, &p, "ListVersionsResult", &xml);
    page_element(&xml, "KeyMarker", p.after, p.url);
    page_element(&xml, "VersionIdMarker", version != NULL ? version : "", false);
    if (p.truncated) {
        page_element(&xml, "NextKeyMarker", p.last, p.url);
        page_element(&xml, "NextVersionIdMarker", "null", false);
    }
    end(c, &p, "ListVersionsResult", &xml);
}
