/* SPDX-License-Identifier: Apache-2.0 */
/* DeleteObject and DeleteObjects. */
#include "s3/ops_impl.h"

#include "base/buf.h"
#include "base/log.h"
#include "codec/xml.h"

#include <string.h>

#define KEYS_MAX        1000
#define DELETE_BODY_MAX (8u << 20) /* 1000 keys of 1024 bytes, each byte a character reference */
#define ELEMENTS_MAX    12000

/* Is version one that an object of an unversioned bucket can have? (Whether it is this object's is
 * left to the caller's If-Match-like check of the ETag.) */
static bool version_is_null(const char *version)
{
    return version == NULL || version[0] == '\0' || strcmp(version, "null") == 0;
}

void op_delete_object(struct s3_call *c)
{
    struct s3_req *req = c->req;
    const char *version = s3_req_param(req, "versionId");
    const char *match = s3_req_header(req, "if-match");
    if (!version_is_null(version)) {
        if (strncmp(version, "mtime-", 6) != 0) {
            (void)s3_reply_error(req, S3_ERR_INVALID_ARGUMENT, "Invalid version id specified");
            return;
        }
        match = version; /* the version is the ETag: another one is gone already */
    }
    struct err err = {0};
    enum s3_error e = store_remove(c, req->key, match, &err);
    if (e == S3_ERR_PRECONDITION_FAILED && version_is_null(version)) {
        cond_fail(c, "If-Match");
        return;
    }
    if (e == S3_ERR_NONE || e == S3_ERR_PRECONDITION_FAILED) {
        (void)s3_reply_empty(req, 204);
        return;
    }
    if (e == S3_ERR_INTERNAL_ERROR)
        log_err("DeleteObject %s: %s", req->target, err.text);
    (void)s3_reply_error(req, e, NULL);
}

static void add_error(struct buf *xml, const char *key, enum s3_error e, const char *text)
{
    buf_adds(xml, "<Error><Key>");
    buf_add_xml(xml, key);
    buf_addf(xml, "</Key><Code>%s</Code><Message>", s3_error_code(e));
    buf_add_xml(xml, text != NULL ? text : s3_error_message(e));
    buf_adds(xml, "</Message></Error>");
}

static void delete_one(struct s3_call *c, const struct xml *object, bool quiet, struct buf *xml)
{
    const char *key = xml_text(object, "Key");
    const char *version = xml_text(object, "VersionId");
    const char *etag = xml_text(object, "ETag");
    enum key_fault fault = key_check(key, strlen(key));
    if (fault != KEY_OK) {
        add_error(xml, key,
                  fault == KEY_TOO_LONG || fault == KEY_COMPONENT ? S3_ERR_KEY_TOO_LONG
                                                                  : S3_ERR_INVALID_ARGUMENT,
                  key_fault_text(fault));
        return;
    }
    if (!version_is_null(version)) {
        if (strncmp(version, "mtime-", 6) != 0) {
            add_error(xml, key, S3_ERR_NO_SUCH_VERSION, NULL);
            return;
        }
        etag = version;
    }
    struct err err = {0};
    enum s3_error e = store_remove(c, key, etag, &err);
    if (e == S3_ERR_PRECONDITION_FAILED && !version_is_null(version))
        e = S3_ERR_NONE;
    if (e != S3_ERR_NONE) {
        if (e == S3_ERR_INTERNAL_ERROR)
            log_err("DeleteObjects %s/%s: %s", c->bucket->name, key, err.text);
        add_error(xml, key, e, NULL);
        return;
    }
    if (quiet)
        return;
    buf_adds(xml, "<Deleted><Key>");
    buf_add_xml(xml, key);
    buf_adds(xml, "</Key>");
    if (version != NULL && version[0] != '\0') {
        buf_adds(xml, "<VersionId>");
        buf_add_xml(xml, version);
        buf_adds(xml, "</VersionId>");
    }
    buf_adds(xml, "</Deleted>");
}

/* Is doc a Delete of 1 to 1000 objects, each with a key? */
static bool well_formed(const struct xml *doc)
{
    size_t n = 0;
    if (!xml_is(doc, "Delete"))
        return false;
    for (const struct xml *x = xml_child(doc, "Object"); x != NULL; x = xml_again(x)) {
        const char *key = xml_text(x, "Key");
        if (key == NULL || key[0] == '\0')
            return false;
        n++;
    }
    return n > 0 && n <= KEYS_MAX;
}

void op_delete_objects(struct s3_call *c)
{
    struct s3_req *req = c->req;
    enum s3_sum alg = S3_SUM_NONE;
    bool has_md5 = false;
    s3_body_declared(req, &alg, &has_md5);
    if (alg == S3_SUM_NONE && !has_md5) {
        (void)s3_reply_error(req, S3_ERR_INVALID_REQUEST,
                             "Missing required header for this request: Content-MD5 OR "
                             "x-amz-checksum-*");
        return;
    }
    auto_buf struct buf body = {0};
    if (s3_body_read_small(req, DELETE_BODY_MAX, &body, NULL) != 0) {
        (void)s3_reply_body_error(req);
        return;
    }
    auto_xml struct xml *doc = NULL;
    struct err err = {0};
    if (xml_parse(body.data, body.len, ELEMENTS_MAX, S3_XML_NS, &doc, &err) < 0 ||
        !well_formed(doc)) {
        (void)s3_reply_error(req, S3_ERR_MALFORMED_XML, NULL);
        return;
    }
    const char *quiet = xml_text(doc, "Quiet");
    auto_buf struct buf xml = {0};
    buf_adds(&xml, S3_XML_DECL "<DeleteResult xmlns=\"" S3_XML_NS "\">");
    for (const struct xml *x = xml_child(doc, "Object"); x != NULL; x = xml_again(x))
        delete_one(c, x, quiet != NULL && strcmp(quiet, "true") == 0, &xml);
    buf_adds(&xml, "</DeleteResult>");
    (void)s3_reply_xml(req, 200, &xml);
}
