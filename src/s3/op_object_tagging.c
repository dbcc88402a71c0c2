/* SPDX-License-Identifier: Apache-2.0 */
/* PutObjectTagging, GetObjectTagging, DeleteObjectTagging. The data is never opened. */
#include "s3/ops_impl.h"

#include "base/buf.h"
#include "codec/xml.h"

#include <string.h>

#define TAGGING_BODY_MAX (128u << 10)
#define TAGGING_ELEMENTS 256

/* Opens the object for its attributes. Returns true, or false having answered. */
static bool open_it(struct s3_call *c, struct object *o)
{
    struct err err = {0};
    int rc = object_open(c->dir, c->req->key, OBJECT_NAME, o, &err);
    if (rc < 0) {
        fault_reply(c, rc, &err);
        return false;
    }
    return object_version_ok(c, s3_req_param(c->req, "versionId"), o);
}

/* Replaces the tags under the key's lock. Returns true, or false having answered. */
static bool replace_locked(struct s3_call *c, const struct meta_set *tags)
{
    lock_scope(keylock_of(&c->ops->locks, c->bucket->name, c->req->key));
    auto_object struct object o;
    object_init(&o);
    if (!open_it(c, &o))
        return false;
    struct err err = {0};
    int rc = meta_replace_tags(o.fd, c->dir, &o.meta, tags, &err);
    if (rc < 0)
        fault_reply(c, rc, &err);
    return rc == 0;
}

static void replace(struct s3_call *c, const struct meta_set *tags, int status)
{
    if (!replace_locked(c, tags))
        return;
    struct err err = {0};
    int rc = store_sync_attributes(c, &err);
    if (rc < 0) {
        fault_reply(c, rc, &err);
        return;
    }
    store_tell_changed(c);
    (void)s3_reply_empty(c->req, status);
}

static bool tags_from_xml(struct s3_call *c, const struct xml *doc, struct meta_set *tags)
{
    const struct xml *set = xml_is(doc, "Tagging") ? xml_child(doc, "TagSet") : NULL;
    if (set == NULL) {
        (void)s3_reply_error(c->req, S3_ERR_MALFORMED_XML, NULL);
        return false;
    }
    for (const struct xml *x = xml_child(set, "Tag"); x != NULL; x = xml_again(x)) {
        const char *key = xml_text(x, "Key");
        const char *value = xml_text(x, "Value");
        if (key == NULL || value == NULL) {
            (void)s3_reply_error(c->req, S3_ERR_MALFORMED_XML, NULL);
            return false;
        }
        if (meta_get(tags, key) != NULL) {
            (void)s3_reply_error(c->req, S3_ERR_INVALID_TAG,
                                 "Cannot provide multiple Tags with the same key");
            return false;
        }
        meta_put(tags, key, value);
    }
    return headers_tags_ok(c, tags);
}

void op_put_tagging(struct s3_call *c)
{
    auto_buf struct buf body = {0};
    if (s3_body_read_small(c->req, TAGGING_BODY_MAX, &body, NULL) != 0) {
        (void)s3_reply_body_error(c->req);
        return;
    }
    auto_xml struct xml *doc = NULL;
    struct err err = {0};
    if (xml_parse(body.data, body.len, TAGGING_ELEMENTS, S3_XML_NS, &doc, &err) < 0) {
        (void)s3_reply_error(c->req, S3_ERR_MALFORMED_XML, NULL);
        return;
    }
    struct meta_set tags = {0};
    if (tags_from_xml(c, doc, &tags))
        replace(c, &tags, 200);
    meta_set_fini(&tags);
}

void op_delete_tagging(struct s3_call *c)
{
    struct meta_set none = {0};
    replace(c, &none, 204);
}

void op_get_tagging(struct s3_call *c)
{
    auto_object struct object o;
    object_init(&o);
    if (!open_it(c, &o))
        return;
    if (o.meta.pending) { /* a change was cut short by a crash: finish it */
        lock_scope(keylock_of(&c->ops->locks, c->bucket->name, c->req->key));
        struct err err = {0};
        if (meta_load(o.fd, c->dir, &o.meta, &err) == 0 && o.meta.pending) {
            struct meta_set tags = {0};
            meta_set_copy(&tags, &o.meta.tags);
            (void)meta_replace_tags(o.fd, c->dir, &o.meta, &tags, &err);
            meta_set_fini(&tags);
        }
    }
    auto_buf struct buf xml = {0};
    buf_adds(&xml, S3_XML_DECL "<Tagging xmlns=\"" S3_XML_NS "\"><TagSet>");
    for (size_t i = 0; i < o.meta.tags.n; i++) {
        buf_adds(&xml, "<Tag><Key>");
        buf_add_xml(&xml, o.meta.tags.v[i].key);
        buf_adds(&xml, "</Key><Value>");
        buf_add_xml(&xml, o.meta.tags.v[i].value);
        buf_adds(&xml, "</Value></Tag>");
    }
    buf_adds(&xml, "</TagSet></Tagging>");
    (void)s3_reply_xml(c->req, 200, &xml);
}
