/* SPDX-License-Identifier: Apache-2.0 */
/* UploadPart and UploadPartCopy. */
#include "base/buf.h"
#include "base/timefmt.h"
#include "codec/encode.h"
#include "s3/source.h"
#include "s3/sum.h"
#include "s3/upload.h"
#include "codec/xml.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The request's partNumber. Returns true, or false having answered. */
static bool number_of(struct s3_call *c, int *out)
{
    const char *v = s3_req_param(c->req, "partNumber");
    size_t n = v != NULL ? strspn(v, "0123456789") : 0;
    *out = n > 0 && n <= 5 && v[n] == '\0' ? (int)strtol(v, NULL, 10) : 0;
    if (*out >= 1 && *out <= PART_NUMBER_MAX)
        return true;
    (void)s3_reply_error(c->req, S3_ERR_INVALID_ARGUMENT,
                         "Part number must be an integer between 1 and 10000, inclusive");
    return false;
}

static void crc64_text(uint64_t v, char *out)
{
    uint8_t raw[8];
    for (size_t i = 8; i > 0; i--, v >>= 8)
        raw[i - 1] = (uint8_t)v;
    encode_base64(raw, sizeof raw, out);
}

/* Gives the part its attributes and its name, durably, and its ETag into p. Returns 0 or a negative
 * code with err set. */
static int commit(struct s3_call *c, const struct upload *u, struct store *s, struct part *p,
                  struct err *err)
{
    char name[UPLOAD_PART_NAME_MAX];
    upload_part_name(p->number, name);
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    struct timespec times[2] = {now, now};
    struct stat st;
    if (futimens(s->fd, times) != 0 || fstat(s->fd, &st) != 0)
        return err_sys(err, errno, "set the time of part %d", p->number);
    int rc = upload_part_seal(s->fd, p, err);
    if (rc < 0)
        return rc;
    if (fsync(s->fd) != 0)
        return err_sys(err, errno, "make part %d durable", p->number);
    rc = store_place(c->dir, s, u->dir, name);
    if (rc == 0)
        rc = dirsync_wait(c->ops->sync, u->dir);
    if (rc < 0)
        return err_sys(err, -rc, "name part %d of upload %s", p->number, u->id);
    p->size = st.st_size;
    p->mtime_ns = st.st_mtim.tv_sec * NS_PER_SEC + st.st_mtim.tv_nsec;
    upload_part_etag(p);
    return 0;
}

/* The upload may have been aborted while the part came. */
static void commit_fault(struct s3_call *c, int rc, const struct err *err)
{
    if (rc == -ENOENT)
        (void)s3_reply_error(c->req, S3_ERR_NO_SUCH_UPLOAD, NULL);
    else
        fault_reply(c, rc, err);
}

/* Does what the client declares fit what it chose at the beginning? Returns true, or false having
 * answered. */
static bool declared_ok(struct s3_call *c, const struct upload *u)
{
    enum s3_sum alg = S3_SUM_NONE;
    bool md5 = false;
    s3_body_declared(c->req, &alg, &md5);
    if (u->alg == S3_SUM_NONE || alg == u->alg || (alg == S3_SUM_NONE && !u->composite))
        return true;
    (void)s3_reply_error(c->req, S3_ERR_INVALID_REQUEST,
                         "Checksum Type mismatch occurred, expected checksum Type: %s, actual "
                         "checksum Type: %s",
                         s3_sum_suffix(u->alg), alg != S3_SUM_NONE ? s3_sum_suffix(alg) : "null");
    return false;
}

/* The part's checksum by the upload's algorithm. */
static int part_sums(struct s3_call *c, const struct upload *u, struct store *s, struct part *p,
                     struct err *err)
{
    crc64_text(s->crc64, p->crc64);
    p->alg = s->meta.sum_alg;
    (void)snprintf(p->sum, sizeof p->sum, "%.*s", (int)sizeof p->sum - 1, s->meta.sum);
    (void)snprintf(p->md5, sizeof p->md5, "%.32s", s->meta.md5);
    if (u->alg == S3_SUM_NONE || p->alg == u->alg)
        return 0;
    p->alg = u->alg;
    return sum_file(c, s->fd, s->size, p->alg, p->sum, err);
}

static void upload_part(struct s3_call *c, struct upload *u, struct store *s)
{
    struct s3_req *req = c->req;
    struct part p = {0};
    struct err err = {0};
    if (!number_of(c, &p.number) || !upload_of_request(c, u) || !declared_ok(c, u))
        return;
    if (req->content_length > BODY_MAX) {
        (void)s3_reply_error(req, S3_ERR_ENTITY_TOO_LARGE, NULL);
        return;
    }
    int rc = store_begin(c->dir, req->content_length, s, &err);
    if (rc < 0) {
        fault_reply(c, rc, &err);
        return;
    }
    s->want_crc64 = true;
    if (!store_body(c, s, BODY_MAX))
        return;
    rc = part_sums(c, u, s, &p, &err);
    if (rc == 0)
        rc = commit(c, u, s, &p, &err);
    if (rc < 0) {
        commit_fault(c, rc, &err);
        return;
    }
    s3_reply_header(req, "ETag", "\"%s\"", p.etag);
    char name[40];
    (void)snprintf(name, sizeof name, "x-amz-checksum-%s", s3_sum_suffix(p.alg));
    s3_reply_header(req, name, "%s", p.sum);
    (void)s3_reply_empty(req, 200);
}

void op_upload_part(struct s3_call *c)
{
    auto_upload struct upload u;
    upload_init(&u);
    struct store s;
    store_init(&s);
    upload_part(c, &u, &s);
    store_fini(&s, c->dir);
}

/* Reads a number of at most 18 digits that ends with the character end, and steps over both. */
static bool read_number(const char **s, char end, int64_t *out)
{
    size_t n = strspn(*s, "0123456789");
    if (n < 1 || n > 18 || (*s)[n] != end)
        return false;
    *out = strtoll(*s, NULL, 10);
    *s += n + 1;
    return true;
}

/* x-amz-copy-source-range: "bytes=a-b", both given, within the source. */
static bool copy_range(struct s3_call *c, int64_t size, int64_t *off, int64_t *len)
{
    const char *v = s3_req_header(c->req, "x-amz-copy-source-range");
    *off = 0;
    *len = size;
    if (v == NULL)
        return true;
    int64_t first = -1;
    int64_t last = -1;
    const char *p = strncmp(v, "bytes=", 6) == 0 ? v + 6 : "";
    if (!read_number(&p, '-', &first) || !read_number(&p, '\0', &last) || last < first) {
        (void)s3_reply_error(c->req, S3_ERR_INVALID_ARGUMENT,
                             "The x-amz-copy-source-range value must be of the form "
                             "bytes=first-last where first and last are the zero-based offsets of "
                             "the first and last bytes to copy");
        return false;
    }
    if (last >= size) {
        (void)s3_reply_error(c->req, S3_ERR_INVALID_RANGE,
                             "Range specified is not valid for source object of size: %lld",
                             (long long)size);
        return false;
    }
    *off = first;
    *len = last - first + 1;
    return true;
}

static bool copy_part(struct s3_call *c, const struct upload *u, struct source *src,
                      struct store *s, struct part *p)
{
    int64_t off = 0;
    int64_t len = 0;
    if (!source_open(c, src) || !copy_range(c, src->object.size, &off, &len))
        return false;
    if (len > BODY_MAX) {
        (void)s3_reply_error(c->req, S3_ERR_INVALID_REQUEST,
                             "The specified copy source is larger than the maximum allowable size "
                             "for a copy source: 5368709120");
        return false;
    }
    if (len > 0 && !source_ready(c, src))
        return false;
    struct err err = {0};
    int rc = store_begin(c->dir, -1, s, &err);
    if (rc == 0 && len > 0)
        rc = store_copy(c, s, src->object.data_fd, off, len, &err);
    if (rc == 0)
        rc = sum_file(c, s->fd, s->size, S3_SUM_CRC64NVME, p->crc64, &err);
    p->alg = u->alg != S3_SUM_NONE ? u->alg : S3_SUM_CRC64NVME;
    if (rc == 0)
        rc = sum_file(c, s->fd, s->size, p->alg, p->sum, &err);
    if (rc == 0)
        rc = commit(c, u, s, p, &err);
    if (rc < 0)
        commit_fault(c, rc, &err);
    return rc == 0;
}

static void upload_part_copy(struct s3_call *c, struct upload *u, struct source *src,
                             struct store *s)
{
    struct part p = {0};
    if (!number_of(c, &p.number) || !upload_of_request(c, u) || !copy_part(c, u, src, s, &p))
        return;
    char when[TIMEFMT_MAX];
    timefmt_iso_s3(p.mtime_ns, when);
    auto_buf struct buf xml = {0};
    buf_addf(&xml,
             S3_XML_DECL "<CopyPartResult xmlns=\"" S3_XML_NS
                         "\"><LastModified>%s</LastModified><ETag>&quot;%s&quot;</ETag>",
             when, p.etag);
    const char *name = s3_sum_name(p.alg);
    buf_addf(&xml, "<Checksum%s>%s</Checksum%s></CopyPartResult>", name, p.sum, name);
    (void)s3_reply_xml(c->req, 200, &xml);
}

void op_upload_part_copy(struct s3_call *c)
{
    auto_upload struct upload u;
    upload_init(&u);
    auto_source struct source src;
    source_init(&src);
    struct store s;
    store_init(&s);
    upload_part_copy(c, &u, &src, &s);
    store_fini(&s, c->dir);
}
