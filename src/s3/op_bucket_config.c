/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading of bucket and object configuration: the location, and what clients ask for although it
 * cannot be set here yet (they take the answer "there is none" better than a refusal).
 */
#include "s3/ops_impl.h"

#include "base/buf.h"
#include "codec/xml.h"

#include <string.h>

void op_get_bucket_location(struct s3_call *c)
{
    const char *region = c->req->site->conf->s3.region;
    auto_buf struct buf xml = {0};
    buf_adds(&xml, S3_XML_DECL "<LocationConstraint xmlns=\"" S3_XML_NS "\">");
    if (strcmp(region, "us-east-1") != 0)
        buf_add_xml(&xml, region);
    buf_adds(&xml, "</LocationConstraint>");
    (void)s3_reply_xml(c->req, 200, &xml);
}

void op_get_bucket_versioning(struct s3_call *c)
{
    auto_buf struct buf xml = {0};
    buf_adds(&xml, S3_XML_DECL "<VersioningConfiguration xmlns=\"" S3_XML_NS "\"/>");
    (void)s3_reply_xml(c->req, 200, &xml);
}

/* The one ACL that everything has: the owner may do everything. */
void op_get_acl(struct s3_call *c)
{
    if (c->req->key[0] != '\0') {
        auto_object struct object o;
        object_init(&o);
        struct err err = {0};
        int rc = object_open(c->dir, c->req->key, OBJECT_NAME, &o, &err);
        if (rc < 0) {
            fault_reply(c, rc, &err);
            return;
        }
        if (!object_version_ok(c, s3_req_param(c->req, "versionId"), &o))
            return;
    }
    const char *owner = c->bucket->owner;
    auto_buf struct buf xml = {0};
    buf_adds(&xml, S3_XML_DECL "<AccessControlPolicy xmlns=\"" S3_XML_NS "\"><Owner><ID>");
    buf_add_xml(&xml, owner);
    buf_adds(&xml, "</ID><DisplayName>");
    buf_add_xml(&xml, owner);
    buf_adds(&xml, "</DisplayName></Owner><AccessControlList><Grant><Grantee "
                   "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" "
                   "xsi:type=\"CanonicalUser\"><ID>");
    buf_add_xml(&xml, owner);
    buf_adds(&xml, "</ID><DisplayName>");
    buf_add_xml(&xml, owner);
    buf_adds(&xml, "</DisplayName></Grantee><Permission>FULL_CONTROL</Permission></Grant>"
                   "</AccessControlList></AccessControlPolicy>");
    (void)s3_reply_xml(c->req, 200, &xml);
}

void op_get_bucket_policy(struct s3_call *c)
{
    (void)s3_reply_error(c->req, S3_ERR_NO_SUCH_BUCKET_POLICY, NULL);
}

void op_get_bucket_cors(struct s3_call *c)
{
    (void)s3_reply_error(c->req, S3_ERR_NO_SUCH_CORS_CONFIGURATION, NULL);
}

void op_get_bucket_lifecycle(struct s3_call *c)
{
    (void)s3_reply_error(c->req, S3_ERR_NO_SUCH_LIFECYCLE_CONFIGURATION, NULL);
}

void op_get_bucket_tagging(struct s3_call *c)
{
    (void)s3_reply_error(c->req, S3_ERR_NO_SUCH_TAG_SET, NULL);
}
