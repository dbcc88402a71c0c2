/* SPDX-License-Identifier: Apache-2.0 */
/* CreateMultipartUpload, AbortMultipartUpload, ListParts. */
#include "base/buf.h"
#include "base/timefmt.h"
#include "s3/page.h"
#include "s3/upload.h"
#include "codec/xml.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is wrong with this checksum algorithm and type, NULL when nothing is. */
static const char *sum_fault(const char *alg, const char *type, enum s3_sum known)
{
    bool sha = known == S3_SUM_SHA1 || known == S3_SUM_SHA256;
    if (alg != NULL && known == S3_SUM_NONE)
        return "Checksum algorithm provided is unsupported. Please try again with any of the valid "
               "types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]";
    if (type == NULL)
        return NULL;
    if (alg == NULL)
        return "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm "
               "header.";
    if (strcmp(type, "FULL_OBJECT") == 0)
        return sha ? "The FULL_OBJECT checksum type cannot be used with this checksum algorithm."
                   : NULL;
    if (strcmp(type, "COMPOSITE") != 0)
        return "Value for x-amz-checksum-type header is invalid.";
    return known == S3_SUM_CRC64NVME
               ? "The COMPOSITE checksum type cannot be used with this checksum algorithm."
               : NULL;
}

/* Which checksum the object will have. Returns true, or false having answered. */
static bool choose_sum(struct s3_call *c, struct upload *u)
{
    const char *alg = s3_req_header(c->req, "x-amz-checksum-algorithm");
    const char *type = s3_req_header(c->req, "x-amz-checksum-type");
    u->alg = alg != NULL ? s3_sum_parse(alg) : S3_SUM_NONE;
    const char *fault = sum_fault(alg, type, u->alg);
    if (fault != NULL) {
        (void)s3_reply_error(c->req, S3_ERR_INVALID_REQUEST, "%s", fault);
        return false;
    }
    u->composite = type != NULL ? strcmp(type, "COMPOSITE") == 0
                                : u->alg != S3_SUM_NONE && u->alg != S3_SUM_CRC64NVME;
    return true;
}

void op_create_upload(struct s3_call *c)
{
    struct s3_req *req = c->req;
    auto_upload struct upload u;
    upload_init(&u);
    if (req->key[strlen(req->key) - 1] == '/') {
        (void)s3_reply_error(req, S3_ERR_INVALID_ARGUMENT,
                             "A key that ends with / cannot be uploaded in parts");
        return;
    }
    auto_buf struct buf body = {0};
    if (s3_body_read_small(req, 1024, &body, NULL) != 0) {
        (void)s3_reply_body_error(req);
        return;
    }
    if (!choose_sum(c, &u) || !headers_read(c, req->key, &u.meta))
        return;
    buf_reset(&body);
    buf_adds(&body, req->key);
    u.key = buf_take(&body);
    struct err err = {0};
    int rc = upload_create(c->dir, &u, &err);
    if (rc < 0) {
        fault_reply(c, rc, &err);
        return;
    }
    if (u.alg != S3_SUM_NONE) {
        s3_reply_header(req, "x-amz-checksum-algorithm", "%s", s3_sum_name(u.alg));
        s3_reply_header(req, "x-amz-checksum-type", "%s",
                        u.composite ? "COMPOSITE" : "FULL_OBJECT");
    }
    auto_buf struct buf xml = {0};
    buf_addf(&xml,
             S3_XML_DECL "<InitiateMultipartUploadResult xmlns=\"" S3_XML_NS
                         "\"><Bucket>%s</Bucket>",
             c->bucket->name);
    page_element(&xml, "Key", req->key, false);
    buf_addf(&xml, "<UploadId>%s</UploadId></InitiateMultipartUploadResult>", u.id);
    (void)s3_reply_xml(req, 200, &xml);
}

void op_abort_upload(struct s3_call *c)
{
    auto_upload struct upload u;
    upload_init(&u);
    if (!upload_of_request(c, &u))
        return;
    struct err err = {0};
    int rc = upload_remove(c->dir, u.id, &err);
    if (rc < 0)
        fault_reply(c, rc, &err);
    else
        (void)s3_reply_empty(c->req, 204);
}

/* Marks the numbers of the parts that are there. */
static int find_parts(const struct upload *u, bool *there)
{
    int fd = beneath_reopen_dir(u->dir);
    if (fd < 0)
        return fd;
    auto_closedir DIR *d = fdopendir(fd);
    if (d == NULL) {
        (void)close(fd);
        return -ENOMEM;
    }
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        char name[UPLOAD_PART_NAME_MAX];
        long n = e->d_name[0] == 'p' ? strtol(e->d_name + 1, NULL, 10) : 0;
        if (n < 1 || n > PART_NUMBER_MAX)
            continue;
        upload_part_name((int)n, name);
        there[n] = there[n] || strcmp(name, e->d_name) == 0;
    }
    return 0;
}

static void add_part(struct buf *xml, const struct part *p)
{
    char when[TIMEFMT_MAX];
    timefmt_iso_s3(p->mtime_ns, when);
    buf_addf(xml,
             "<Part><PartNumber>%d</PartNumber><LastModified>%s</LastModified>"
             "<ETag>&quot;%s&quot;</ETag><Size>%" PRId64 "</Size>",
             p->number, when, p->etag, p->size);
    if (p->alg != S3_SUM_NONE) {
        const char *name = s3_sum_name(p->alg);
        buf_addf(xml, "<Checksum%s>", name);
        buf_add_xml(xml, p->sum);
        buf_addf(xml, "</Checksum%s>", name);
    }
    buf_adds(xml, "</Part>");
}

/* Adds the parts behind marker to xml. *last is the last one shown; returns whether there are more.
 */
static bool add_parts(const struct upload *u, const bool *there, int64_t marker, int64_t max,
                      struct buf *xml, int *last)
{
    int64_t shown = 0;
    *last = 0;
    for (int n = 1; n <= PART_NUMBER_MAX; n++) {
        struct part p;
        if (!there[n] || n <= marker)
            continue;
        if (shown == max)
            return max > 0;
        if (upload_part_open(u, n, NULL, &p, NULL) < 0)
            continue;
        add_part(xml, &p);
        *last = n;
        shown++;
    }
    return false;
}

void op_list_parts(struct s3_call *c)
{
    struct s3_req *req = c->req;
    int64_t max = 0;
    int64_t marker = 0;
    if (!param_number(c, "max-parts", PAGE_MAX, PAGE_MAX, &max) ||
        !param_number(c, "part-number-marker", 0, INT32_MAX, &marker))
        return;
    auto_upload struct upload u;
    upload_init(&u);
    if (!upload_of_request(c, &u))
        return;
    bool there[PART_NUMBER_MAX + 1] = {false};
    struct err err = {0};
    int rc = find_parts(&u, there);
    if (rc < 0) {
        fault_reply(c, err_sys(&err, -rc, "list the parts of upload %s", u.id), &err);
        return;
    }
    auto_buf struct buf parts = {0};
    int last = 0;
    bool more = add_parts(&u, there, marker, max, &parts, &last);
    auto_buf struct buf xml = {0};
    buf_addf(&xml, S3_XML_DECL "<ListPartsResult xmlns=\"" S3_XML_NS "\"><Bucket>%s</Bucket>",
             c->bucket->name);
    page_element(&xml, "Key", req->key, false);
    buf_addf(&xml, "<UploadId>%s</UploadId><PartNumberMarker>%" PRId64 "</PartNumberMarker>", u.id,
             marker);
    if (more)
        buf_addf(&xml, "<NextPartNumberMarker>%d</NextPartNumberMarker>", last);
    buf_addf(&xml, "<MaxParts>%" PRId64 "</MaxParts><IsTruncated>%s</IsTruncated>", max,
             more ? "true" : "false");
    buf_add(&xml, parts.data, parts.len);
    page_owner(&xml, c->bucket);
    buf_addf(&xml, "<StorageClass>%s</StorageClass>", u.meta.storage_class);
    if (u.alg != S3_SUM_NONE)
        buf_addf(&xml, "<ChecksumAlgorithm>%s</ChecksumAlgorithm><ChecksumType>%s</ChecksumType>",
                 s3_sum_name(u.alg), u.composite ? "COMPOSITE" : "FULL_OBJECT");
    buf_adds(&xml, "</ListPartsResult>");
    (void)s3_reply_xml(req, 200, &xml);
}
