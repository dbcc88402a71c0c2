/* SPDX-License-Identifier: Apache-2.0 */
/* CopyObject. */
#include "base/buf.h"
#include "base/timefmt.h"
#include "s3/source.h"
#include "s3/sum.h"
#include "codec/xml.h"

#include <string.h>

/* COPY (also when absent) or REPLACE. Returns true with *replace, or false having answered. */
static bool directive(struct s3_call *c, const char *header, bool *replace)
{
    const char *v = s3_req_header(c->req, header);
    *replace = v != NULL && strcmp(v, "REPLACE") == 0;
    if (v == NULL || *replace || strcmp(v, "COPY") == 0)
        return true;
    (void)s3_reply_error(c->req, S3_ERR_INVALID_ARGUMENT, "Unknown directive in %s", header);
    return false;
}

/* What the copy says about itself. Returns true, or false having answered. */
static bool make_meta(struct s3_call *c, const struct source *src, struct meta *m)
{
    bool new_meta = false;
    bool new_tags = false;
    if (!directive(c, "x-amz-metadata-directive", &new_meta) ||
        !directive(c, "x-amz-tagging-directive", &new_tags))
        return false;
    bool same = src->bucket == c->bucket && strcmp(src->key, c->req->key) == 0;
    if (same && !new_meta && !new_tags && s3_req_header(c->req, "x-amz-storage-class") == NULL &&
        s3_req_header(c->req, "x-amz-website-redirect-location") == NULL) {
        (void)s3_reply_error(c->req, S3_ERR_INVALID_REQUEST,
                             "This copy request is illegal because it is trying to copy an object "
                             "to itself without changing the object's metadata, storage class, "
                             "website redirect location or encryption attributes.");
        return false;
    }
    if (!headers_read(c, c->req->key, m))
        return false;
    const struct meta *from = &src->object.meta;
    if (!new_meta) {
        meta_set_copy(&m->user, &from->user);
        for (size_t i = 0; i < META_HEAD_COUNT; i++)
            if (i != META_WEBSITE_REDIRECT)
                meta_set_head(m, (enum meta_head)i, from->head[i]);
        if (m->head[META_CONTENT_TYPE] == NULL)
            meta_set_head(m, META_CONTENT_TYPE, "application/octet-stream");
    }
    if (!new_tags)
        meta_set_copy(&m->tags, &from->tags);
    return true;
}

/* The copy's checksum: the source's, unless another algorithm is asked for. */
static bool make_sum(struct s3_call *c, const struct source *src, struct store *s)
{
    const struct meta *from = &src->object.meta;
    bool valid = meta_sum_valid(from, &src->object.st);
    const char *text = s3_req_header(c->req, "x-amz-checksum-algorithm");
    enum s3_sum want = text != NULL ? s3_sum_parse(text) : S3_SUM_NONE;
    if (text != NULL && want == S3_SUM_NONE) {
        (void)s3_reply_error(c->req, S3_ERR_INVALID_REQUEST,
                             "Checksum algorithm provided is unsupported");
        return false;
    }
    if (valid && from->md5[0] != '\0')
        (void)snprintf(s->meta.md5, sizeof s->meta.md5, "%s", from->md5);
    if (valid && from->sum_alg != S3_SUM_NONE && (want == S3_SUM_NONE || want == from->sum_alg)) {
        s->meta.sum_alg = from->sum_alg;
        s->meta.sum_composite = from->sum_composite;
        (void)snprintf(s->meta.sum, sizeof s->meta.sum, "%s", from->sum);
        return true;
    }
    struct err err = {0};
    s->meta.sum_alg = want != S3_SUM_NONE ? want : S3_SUM_CRC64NVME;
    s->meta.sum_composite = false;
    int rc = sum_file(c, s->fd, s->size, s->meta.sum_alg, s->meta.sum, &err);
    if (rc < 0)
        fault_reply(c, rc, &err);
    return rc == 0;
}

static bool copy_data(struct s3_call *c, const struct source *src, struct store *s)
{
    struct err err = {0};
    int rc = store_begin(c->dir, -1, s, &err);
    if (rc == 0 && src->object.data_fd >= 0)
        rc = store_copy(c, s, src->object.data_fd, 0, src->object.size, &err);
    if (rc < 0)
        fault_reply(c, rc, &err);
    return rc == 0;
}

static void answer(struct s3_call *c, const struct store *s, const char *etag)
{
    char when[TIMEFMT_MAX];
    timefmt_iso_s3(s->meta.data_mtime_ns, when);
    auto_buf struct buf xml = {0};
    buf_adds(&xml, S3_XML_DECL "<CopyObjectResult xmlns=\"" S3_XML_NS "\">");
    buf_addf(&xml, "<LastModified>%s</LastModified><ETag>&quot;%s&quot;</ETag>", when, etag);
    sum_element(&xml, &s->meta);
    buf_adds(&xml, "</CopyObjectResult>");
    (void)s3_reply_xml(c->req, 200, &xml);
}

static void copy(struct s3_call *c, struct source *src, struct store *s)
{
    struct cond_write w;
    cond_write_get(c->req, &w);
    if (!source_open(c, src))
        return;
    if (src->object.size > BODY_MAX) {
        (void)s3_reply_error(c->req, S3_ERR_INVALID_REQUEST,
                             "The specified copy source is larger than the maximum allowable size "
                             "for a copy source: 5368709120");
        return;
    }
    if (!make_meta(c, src, &s->meta) || !source_ready(c, src) || !copy_data(c, src, s) ||
        !make_sum(c, src, s))
        return;
    struct err err = {0};
    int rc = store_seal(c->dir, s, &err);
    if (rc < 0) {
        fault_reply(c, rc, &err);
        return;
    }
    char etag[S3_ETAG_MAX];
    const char *key = c->req->key;
    bool is_dir = key[strlen(key) - 1] == '/';
    if (is_dir ? !store_commit_dir(c, s, key, &w, etag)
               : !store_commit(c, s, key, &w, STORE_PUT, etag))
        return;
    store_tell_changed(c);
    answer(c, s, etag);
}

void op_copy_object(struct s3_call *c)
{
    auto_source struct source src;
    source_init(&src);
    struct store s;
    store_init(&s);
    copy(c, &src, &s);
    store_fini(&s, c->dir);
}
