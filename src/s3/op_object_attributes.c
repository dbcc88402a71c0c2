/* SPDX-License-Identifier: Apache-2.0 */
/* GetObjectAttributes. */
#include "s3/ops_impl.h"

#include "base/buf.h"
#include "base/timefmt.h"
#include "codec/xml.h"

#include <inttypes.h>
#include <string.h>

enum wanted { WANT_ETAG = 1, WANT_SUM = 2, WANT_PARTS = 4, WANT_CLASS = 8, WANT_SIZE = 16 };

/* The attributes that header x-amz-object-attributes names, 0 when one of them is unknown. */
static unsigned parse_wanted(const char *s)
{
    static const char *const names[] = {"ETag", "Checksum", "ObjectParts", "StorageClass",
                                        "ObjectSize"};
    unsigned out = 0;
    while (s != NULL && *s != '\0') {
        size_t n = strcspn(s, ",");
        const char *p = s;
        size_t len = n;
        while (len > 0 && *p == ' ') {
            p++;
            len--;
        }
        while (len > 0 && p[len - 1] == ' ')
            len--;
        unsigned bit = 0;
        for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
            if (strlen(names[i]) == len && memcmp(names[i], p, len) == 0)
                bit = 1u << i;
        if (bit == 0)
            return 0;
        out |= bit;
        s += n;
        s += *s == ',';
    }
    return out;
}

static void describe(const struct object *o, unsigned want, struct buf *xml)
{
    const struct meta *m = &o->meta;
    if ((want & WANT_ETAG) != 0)
        buf_addf(xml, "<ETag>%s</ETag>", o->etag);
    if ((want & WANT_SUM) != 0 && m->sum_alg != S3_SUM_NONE && meta_sum_valid(m, &o->st)) {
        const char *name = s3_sum_name(m->sum_alg);
        buf_addf(xml, "<Checksum><Checksum%s>", name);
        buf_add_xml(xml, m->sum);
        buf_addf(xml, "</Checksum%s><ChecksumType>%s</ChecksumType></Checksum>", name,
                 m->sum_composite ? "COMPOSITE" : "FULL_OBJECT");
    }
    if ((want & WANT_PARTS) != 0 && m->n_parts > 0)
        buf_addf(xml, "<ObjectParts><PartsCount>%zu</PartsCount></ObjectParts>", m->n_parts);
    if ((want & WANT_CLASS) != 0)
        buf_addf(xml, "<StorageClass>%s</StorageClass>", m->storage_class);
    if ((want & WANT_SIZE) != 0)
        buf_addf(xml, "<ObjectSize>%" PRId64 "</ObjectSize>", o->size);
}

void op_get_attributes(struct s3_call *c)
{
    struct s3_req *req = c->req;
    unsigned want = parse_wanted(s3_req_header(req, "x-amz-object-attributes"));
    if (want == 0) {
        (void)s3_reply_error(req, S3_ERR_INVALID_REQUEST,
                             "The x-amz-object-attributes header specifying the attributes to be "
                             "retrieved is either missing or empty or names an unknown one");
        return;
    }
    auto_object struct object o;
    object_init(&o);
    struct err err = {0};
    int rc = object_open(c->dir, req->key, OBJECT_NAME, &o, &err);
    if (rc < 0) {
        fault_reply(c, rc, &err);
        return;
    }
    if (!object_version_ok(c, s3_req_param(req, "versionId"), &o))
        return;
    auto_buf struct buf xml = {0};
    buf_adds(&xml, S3_XML_DECL "<GetObjectAttributesResponse xmlns=\"" S3_XML_NS "\">");
    describe(&o, want, &xml);
    buf_adds(&xml, "</GetObjectAttributesResponse>");
    char when[TIMEFMT_MAX];
    timefmt_http(o.st.st_mtim.tv_sec * NS_PER_SEC, when);
    s3_reply_header(req, "Last-Modified", "%s", when);
    (void)s3_reply_xml(req, 200, &xml);
}
