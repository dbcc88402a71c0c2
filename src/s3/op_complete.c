/* SPDX-License-Identifier: Apache-2.0 */
/* CompleteMultipartUpload. */
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/digest.h"
#include "codec/encode.h"
#include "s3/page.h"
#include "s3/sum.h"
#include "s3/upload.h"
#include "codec/xml.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PART_MIN_BYTES    (5LL << 20) /* of every part but the last */
#define COMPLETE_ELEMENTS 60000

struct plan {
    struct part *v;
    size_t n;
    int64_t size;
};

static void plan_fini(struct plan *p)
{
    free(p->v);
    *p = (struct plan){0};
}
#define auto_plan __attribute__((cleanup(plan_fini)))

static bool refuse(struct s3_call *c, enum s3_error e, const char *text)
{
    if (text != NULL)
        (void)s3_reply_error(c->req, e, "%s", text);
    else
        (void)s3_reply_error(c->req, e, NULL);
    return false;
}

/* Checks the checksum that x gives for part p. */
static bool part_sum_ok(struct s3_call *c, const struct upload *u, const struct xml *x,
                        const struct part *p)
{
    static const enum s3_sum algs[] = {S3_SUM_CRC32, S3_SUM_CRC32C, S3_SUM_CRC64NVME, S3_SUM_SHA1,
                                       S3_SUM_SHA256};
    bool given = false;
    for (size_t i = 0; i < sizeof algs / sizeof algs[0]; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "Checksum%s", s3_sum_name(algs[i]));
        const char *v = xml_text(x, name);
        if (v == NULL)
            continue;
        given = true;
        if (algs[i] == p->alg ? strcmp(v, p->sum) != 0
                              : algs[i] == S3_SUM_CRC64NVME && strcmp(v, p->crc64) != 0)
            return refuse(c, S3_ERR_INVALID_PART, NULL);
    }
    if (u->composite && !given)
        return refuse(
            c, S3_ERR_INVALID_REQUEST,
            "The upload was created using a checksum algorithm. The complete request must "
            "include the checksum for each part.");
    return true;
}

/* Adds the part that x names. Returns true, or false having answered. */
static bool plan_part(struct s3_call *c, const struct upload *u, const struct xml *x,
                      struct plan *plan)
{
    int64_t number = 0;
    const char *etag = xml_text(x, "ETag");
    if (xml_int(x, "PartNumber", &number) != 0 || etag == NULL)
        return refuse(c, S3_ERR_MALFORMED_XML, NULL);
    if (number < 1 || number > PART_NUMBER_MAX)
        return refuse(c, S3_ERR_INVALID_PART, NULL);
    if (plan->n > 0 && number <= plan->v[plan->n - 1].number)
        return refuse(c, S3_ERR_INVALID_PART_ORDER, NULL);
    struct part p;
    struct err err = {0};
    int rc = upload_part_open(u, (int)number, NULL, &p, &err);
    if (rc == -ENOENT || (rc == 0 && !etag_equal(etag, p.etag))) {
        s3_error_element(c->req, "UploadId", "%s", u->id);
        s3_error_element(c->req, "PartNumber", "%d", (int)number);
        return refuse(c, S3_ERR_INVALID_PART, NULL);
    }
    if (rc < 0) {
        fault_reply(c, rc, &err);
        return false;
    }
    if (!part_sum_ok(c, u, x, &p))
        return false;
    plan->v = xrealloc_array(plan->v, plan->n + 1, sizeof *plan->v);
    plan->v[plan->n++] = p;
    plan->size += p.size;
    return true;
}

/* Every part but the last must have a least size, and the sum what the client believes. */
static bool plan_sizes(struct s3_call *c, const struct plan *plan)
{
    for (size_t i = 0; i + 1 < plan->n; i++) {
        if (plan->v[i].size >= PART_MIN_BYTES)
            continue;
        s3_error_element(c->req, "ProposedSize", "%" PRId64, plan->v[i].size);
        s3_error_element(c->req, "MinSizeAllowed", "%lld", PART_MIN_BYTES);
        s3_error_element(c->req, "PartNumber", "%d", plan->v[i].number);
        return refuse(c, S3_ERR_ENTITY_TOO_SMALL, NULL);
    }
    const char *v = s3_req_header(c->req, "x-amz-mp-object-size");
    if (v == NULL || (strspn(v, "0123456789") == strlen(v) && strtoll(v, NULL, 10) == plan->size))
        return true;
    return refuse(c, S3_ERR_INVALID_REQUEST,
                  "The provided 'x-amz-mp-object-size' header does not match what was computed");
}

/* Returns true with the plan, or false having answered. */
static bool make_plan(struct s3_call *c, const struct upload *u, const struct buf *body,
                      struct plan *plan)
{
    auto_xml struct xml *doc = NULL;
    struct err err = {0};
    if (xml_parse(body->data, body->len, COMPLETE_ELEMENTS, S3_XML_NS, &doc, &err) < 0 ||
        !xml_is(doc, "CompleteMultipartUpload") || xml_child(doc, "Part") == NULL)
        return refuse(c, S3_ERR_MALFORMED_XML, NULL);
    for (const struct xml *x = xml_child(doc, "Part"); x != NULL; x = xml_again(x)) {
        if (plan->n >= PART_NUMBER_MAX)
            return refuse(c, S3_ERR_MALFORMED_XML, NULL);
        if (!plan_part(c, u, x, plan))
            return false;
    }
    return plan_sizes(c, plan);
}

static void composite(const struct upload *u, const struct plan *plan, struct meta *m)
{
    struct sum_composite s;
    sum_composite_init(&s, u->alg);
    for (size_t i = 0; i < plan->n; i++)
        (void)sum_composite_add(&s, plan->v[i].sum);
    sum_composite_final(&s, m->sum);
    sum_composite_fini(&s);
    m->sum_alg = u->alg;
    m->sum_composite = true;
}

/* The checksum of the whole from those of the parts, without reading them again. */
static void full(const struct upload *u, const struct plan *plan, struct meta *m)
{
    bool own = u->alg != S3_SUM_NONE && u->alg != S3_SUM_CRC64NVME;
    char sum[S3_SUM_B64_MAX];
    m->sum_alg = own ? u->alg : S3_SUM_CRC64NVME;
    m->sum_composite = false;
    for (size_t i = 0; i < plan->n; i++) {
        const struct part *p = &plan->v[i];
        const char *next = own ? p->sum : p->crc64;
        if (i == 0)
            (void)snprintf(sum, sizeof sum, "%s", next);
        else if (sum_combine(m->sum_alg, sum, next, p->size, sum) < 0)
            m->sum_alg = S3_SUM_NONE;
        if (m->sum_alg == S3_SUM_NONE)
            return;
    }
    (void)snprintf(m->sum, sizeof m->sum, "%s", sum);
}

/* MD5 of the parts' MD5s, when every part has one. */
static void md5_of_parts(const struct plan *plan, struct meta *m)
{
    auto_digest struct digest *d = digest_new(DIGEST_MD5);
    uint8_t raw[DIGEST_MAX];
    for (size_t i = 0; i < plan->n; i++) {
        if (encode_hex_decode(plan->v[i].md5, raw, 16) < 0)
            return;
        digest_update(d, raw, 16);
    }
    char hex[ENCODE_HEX_SIZE(DIGEST_MAX)];
    encode_hex(raw, digest_final(d, raw), hex);
    (void)snprintf(m->md5, sizeof m->md5, "%.32s-%zu", hex, plan->n);
}

/* Sets the object's checksum, and compares it with what the request declares. */
static bool make_sums(struct s3_call *c, const struct upload *u, const struct plan *plan,
                      struct meta *m)
{
    if (u->composite)
        composite(u, plan, m);
    else
        full(u, plan, m);
    if (c->req->account->md5_etag)
        md5_of_parts(plan, m);
    m->parts = xrealloc_array(NULL, plan->n, sizeof *m->parts);
    for (size_t i = 0; i < plan->n; i++)
        m->parts[m->n_parts++] = plan->v[i].size;
    (void)snprintf(m->upload, sizeof m->upload, "%s", u->id);
    const char *type = s3_req_header(c->req, "x-amz-checksum-type");
    if (type != NULL && u->alg != S3_SUM_NONE &&
        strcmp(type, u->composite ? "COMPOSITE" : "FULL_OBJECT") != 0)
        return refuse(c, S3_ERR_INVALID_REQUEST,
                      "The checksum type differs from the one that the upload was created with");
    char name[40];
    (void)snprintf(name, sizeof name, "x-amz-checksum-%s", s3_sum_suffix(m->sum_alg));
    const char *want = m->sum_alg != S3_SUM_NONE ? s3_req_header(c->req, name) : NULL;
    if (want != NULL && strcmp(want, m->sum) != 0)
        return refuse(c, S3_ERR_BAD_DIGEST, NULL);
    return true;
}

/* Puts the parts one behind the other. */
static int assemble(struct s3_call *c, const struct upload *u, const struct plan *plan,
                    struct store *s, struct err *err)
{
    int rc = store_begin(c->dir, -1, s, err);
    for (size_t i = 0; i < plan->n && rc == 0; i++) {
        struct part now;
        auto_close int fd = -1;
        rc = upload_part_open(u, plan->v[i].number, &fd, &now, err);
        if (rc == 0 && strcmp(now.etag, plan->v[i].etag) != 0)
            rc = err_set(err, -ENOENT, "part %d was replaced meanwhile", now.number);
        if (rc == 0)
            rc = store_copy(c, s, fd, 0, plan->v[i].size, err);
    }
    return rc == 0 ? store_seal(c->dir, s, err) : rc;
}

static void answer(struct s3_call *c, const struct meta *m, const char *etag)
{
    auto_buf struct buf xml = {0};
    buf_adds(&xml, S3_XML_DECL "<CompleteMultipartUploadResult xmlns=\"" S3_XML_NS "\"><Location>");
    buf_adds(&xml, "http://");
    buf_add_xml(&xml, c->req->host);
    buf_addf(&xml, "/%s/", c->bucket->name);
    buf_add_pct(&xml, c->req->key, "/");
    buf_addf(&xml, "</Location><Bucket>%s</Bucket>", c->bucket->name);
    page_element(&xml, "Key", c->req->key, false);
    buf_addf(&xml, "<ETag>&quot;%s&quot;</ETag>", etag);
    sum_element(&xml, m);
    buf_adds(&xml, "</CompleteMultipartUploadResult>");
    (void)s3_reply_xml(c->req, 200, &xml);
}

/* A client that lost the answer asks again: the object tells which upload made it. */
static bool answer_again(struct s3_call *c)
{
    const char *id = s3_req_param(c->req, "uploadId");
    auto_object struct object o;
    object_init(&o);
    if (object_open(c->dir, c->req->key, OBJECT_NAME, &o, NULL) < 0 || o.meta.upload[0] == '\0' ||
        strcmp(o.meta.upload, id) != 0 || !meta_sum_valid(&o.meta, &o.st))
        return false;
    answer(c, &o.meta, o.etag);
    return true;
}

/* Finds the upload, or repeats the answer of one that is complete. */
static bool find(struct s3_call *c, struct upload *u)
{
    struct err err = {0};
    int rc = upload_open(c->dir, s3_req_param(c->req, "uploadId"), u, &err);
    if (rc == 0 && strcmp(u->key, c->req->key) == 0)
        return true;
    if (rc == 0 || rc == -ENOENT || rc == -ENOTDIR) {
        if (!answer_again(c))
            (void)s3_reply_error(c->req, S3_ERR_NO_SUCH_UPLOAD, NULL);
    } else {
        fault_reply(c, rc, &err);
    }
    return false;
}

static void complete(struct s3_call *c, struct upload *u, struct store *s)
{
    auto_buf struct buf body = {0};
    auto_plan struct plan plan = {0};
    struct cond_write w;
    cond_write_get(c->req, &w);
    if (s3_body_read_small(c->req, XML_BODY_MAX, &body, NULL) != 0) {
        (void)s3_reply_body_error(c->req);
        return;
    }
    if (!find(c, u) || !make_plan(c, u, &body, &plan))
        return;
    meta_fini(&s->meta);
    s->meta = u->meta;
    meta_init(&u->meta);
    if (!make_sums(c, u, &plan, &s->meta))
        return;
    struct err err = {0};
    int rc = assemble(c, u, &plan, s, &err);
    if (rc < 0) {
        if (rc == -ENOENT)
            (void)s3_reply_error(c->req, S3_ERR_INVALID_PART, NULL);
        else
            fault_reply(c, rc, &err);
        return;
    }
    char etag[S3_ETAG_MAX];
    if (!store_commit(c, s, c->req->key, &w, STORE_MULTIPART, etag))
        return;
    store_tell(c, &s->meta);
    if (upload_remove(c->dir, u->id, &err) < 0)
        log_warn("%s: parts of a completed upload are left: %s", c->req->target, err.text);
    answer(c, &s->meta, etag);
}

void op_complete_upload(struct s3_call *c)
{
    auto_upload struct upload u;
    upload_init(&u);
    struct store s;
    store_init(&s);
    complete(c, &u, &s);
    store_fini(&s, c->dir);
}
