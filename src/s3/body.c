/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/s3_impl.h"

#include "base/cleanup.h"
#include "base/timefmt.h"
#include "codec/digest.h"
#include "codec/encode.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

#define SLOW_AFTER_S 30  /* then a body must have come with at least ... */
#define SLOW_RATE    256 /* ... bytes a second on average */

static struct s3_active *active_of(const struct s3_req *req)
{
    return req->conn->active;
}

int body_fail(struct s3_body *b, enum s3_error e, const char *why)
{
    if (b->error == S3_ERR_NONE) {
        b->error = e;
        b->why = why;
    }
    return -EBADMSG;
}

void body_fini(struct s3_active *a)
{
    struct s3_body *b = &a->body;
    digest_free(b->sum_digest);
    digest_free(b->md5_digest);
    digest_free(b->sha_digest);
    if (b->is_aws && b->started)
        awschunk_fini(&b->aws);
    *b = (struct s3_body){0};
}

bool body_consumed(const struct s3_active *a)
{
    const struct s3_body *b = &a->body;
    if (!b->chunked)
        return b->left == 0;
    return b->http_ended && b->slice_len == 0;
}

static enum digest_alg digest_of_sum(enum s3_sum alg)
{
    switch (alg) {
    case S3_SUM_CRC32:
        return DIGEST_CRC32;
    case S3_SUM_CRC32C:
        return DIGEST_CRC32C;
    case S3_SUM_SHA1:
        return DIGEST_SHA1;
    case S3_SUM_SHA256:
        return DIGEST_SHA256;
    default:
        return DIGEST_CRC64NVME;
    }
}

static int start(struct s3_req *req)
{
    struct s3_active *a = active_of(req);
    struct s3_body *b = &a->body;
    b->started = true;
    b->start_ns = time_mono_ns();
    chunked_init(&b->http);
    if (b->is_aws)
        awschunk_init(&b->aws, a->sig.payload, a->sig.anonymous ? NULL : &a->sig,
                      b->by_trailer ? b->trailer : NULL);
    if (b->alg != S3_SUM_NONE || b->want_sum)
        b->sum_digest = digest_new(digest_of_sum(b->alg));
    if (b->has_md5 || b->want_md5)
        b->md5_digest = digest_new(DIGEST_MD5);
    if (b->sha256 != NULL)
        b->sha_digest = digest_new(DIGEST_SHA256);
    bool wait = b->expect && req->conn->head_len <= req->conn->taken;
    b->expect = false;
    if (!wait)
        return 0;
    char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct iovec iov = {.iov_base = go_on, .iov_len = sizeof(go_on) - 1};
    return conn_send(req->conn, &iov, 1, false) < 0
               ? body_fail(b, S3_ERR_INCOMPLETE_BODY, "The connection broke")
               : 0;
}

/* Bytes from the socket, at most cap (> 0) of them. Returns > 0, or negative with the error set. */
static ssize_t read_wire(struct s3_req *req, void *buf, size_t cap)
{
    struct s3_body *b = &active_of(req)->body;
    ssize_t n = conn_recv(req->conn, buf, cap);
    if (n == 0 || n == -ECONNRESET || n == -EPIPE)
        return body_fail(b, S3_ERR_INCOMPLETE_BODY,
                         "The connection was closed before the end of the body");
    if (n < 0)
        return body_fail(b, S3_ERR_REQUEST_TIMEOUT, NULL);
    b->wire += n;
    int64_t s = (time_mono_ns() - b->start_ns) / NS_PER_SEC;
    if (s > SLOW_AFTER_S && b->wire < s * SLOW_RATE)
        return body_fail(b, S3_ERR_REQUEST_TIMEOUT, "The body came too slowly");
    return n;
}

/* One step of the chunked coding: 1 when b->slice has data, 0 at the end, negative. */
static int step_chunked(struct s3_req *req)
{
    struct s3_body *b = &active_of(req)->body;
    while (!b->http_ended) {
        if (b->in_len == 0) {
            ssize_t n = read_wire(req, b->raw, S3_RAW_BUF);
            if (n < 0)
                return (int)n;
            b->in = b->raw;
            b->in_len = (size_t)n;
        }
        size_t used = 0;
        enum decode_result r =
            chunked_feed(&b->http, b->in, b->in_len, &used, &b->slice, &b->slice_len);
        b->in += used;
        b->in_len -= used;
        if (r == DECODE_DATA)
            return 1;
        if (r == DECODE_BAD)
            return body_fail(b, S3_ERR_BAD_REQUEST, "The chunked transfer coding is malformed");
        b->http_ended = r == DECODE_END;
    }
    return 0;
}

/* Makes b->slice hold bytes of the HTTP payload: 1, 0 at its end, negative on failure. */
static int fill_slice(struct s3_req *req)
{
    struct s3_body *b = &active_of(req)->body;
    if (b->slice_len > 0)
        return 1;
    if (b->chunked)
        return step_chunked(req);
    if (b->left == 0)
        return 0;
    size_t want = (uint64_t)b->left < S3_RAW_BUF ? (size_t)b->left : S3_RAW_BUF;
    ssize_t n = read_wire(req, b->raw, want);
    if (n < 0)
        return (int)n;
    b->left -= n;
    b->slice = b->raw;
    b->slice_len = (size_t)n;
    return 1;
}

/* Data of a body with no coding of its own, straight into the caller's buffer. */
static ssize_t read_plain(struct s3_req *req, void *buf, size_t cap)
{
    struct s3_body *b = &active_of(req)->body;
    if (b->chunked) {
        int rc = fill_slice(req);
        if (rc <= 0)
            return rc;
        size_t n = b->slice_len < cap ? b->slice_len : cap;
        memcpy(buf, b->slice, n);
        b->slice += n;
        b->slice_len -= n;
        return (ssize_t)n;
    }
    if (b->left == 0)
        return 0;
    ssize_t n = read_wire(req, buf, (uint64_t)b->left < cap ? (size_t)b->left : cap);
    if (n > 0)
        b->left -= n;
    return n;
}

/* The aws-chunked coding has ended: the HTTP body must end there too. */
static int end_aws(struct s3_req *req)
{
    struct s3_body *b = &active_of(req)->body;
    b->aws_ended = true;
    int rc = fill_slice(req);
    if (rc < 0)
        return rc;
    return rc == 0 ? 0 : body_fail(b, S3_ERR_BAD_REQUEST, "Bytes follow the end of the body");
}

static ssize_t read_aws(struct s3_req *req, void *buf, size_t cap)
{
    struct s3_body *b = &active_of(req)->body;
    while (!b->aws_ended) {
        int rc = fill_slice(req);
        if (rc < 0)
            return rc;
        if (rc == 0)
            return body_fail(b, S3_ERR_INCOMPLETE_BODY, "The last chunk of the body is missing");
        size_t used = 0, n = 0;
        const uint8_t *data = NULL;
        enum decode_result r = awschunk_feed(
            &b->aws, b->slice, b->slice_len < cap ? b->slice_len : cap, &used, &data, &n);
        b->slice += used;
        b->slice_len -= used;
        if (r == DECODE_BAD)
            return body_fail(b, b->aws.error, b->aws.why);
        if (r == DECODE_DATA) {
            memcpy(buf, data, n);
            return (ssize_t)n;
        }
        if (r == DECODE_END)
            return end_aws(req);
    }
    return 0;
}

/* All data is there: its length must be what was announced. */
static int end_of_data(struct s3_body *b)
{
    b->ended = true;
    if (b->expected >= 0 && b->total != b->expected)
        return body_fail(b, S3_ERR_INCOMPLETE_BODY,
                         "The number of bytes received is not the number announced");
    return 0;
}

ssize_t s3_body_read(struct s3_req *req, void *buf, size_t cap)
{
    struct s3_body *b = &active_of(req)->body;
    if (b->error != S3_ERR_NONE)
        return -EBADMSG;
    if (b->ended)
        return 0;
    if (!b->started && start(req) < 0)
        return -EBADMSG;
    ssize_t n = b->is_aws ? read_aws(req, buf, cap) : read_plain(req, buf, cap);
    if (n < 0)
        return n;
    if (n == 0)
        return end_of_data(b);
    b->total += n;
    if (b->expected >= 0 && b->total > b->expected)
        return body_fail(b, S3_ERR_INCOMPLETE_BODY, "More bytes came than were announced");
    if (b->sum_digest != NULL)
        digest_update(b->sum_digest, buf, (size_t)n);
    if (b->md5_digest != NULL)
        digest_update(b->md5_digest, buf, (size_t)n);
    if (b->sha_digest != NULL)
        digest_update(b->sha_digest, buf, (size_t)n);
    return n;
}

static int settle_sum(struct s3_body *b, struct s3_checksums *sums)
{
    if (b->sum_digest == NULL)
        return 0;
    uint8_t value[DIGEST_MAX];
    size_t n = digest_final(b->sum_digest, value);
    sums->alg = b->alg != S3_SUM_NONE ? b->alg : S3_SUM_CRC64NVME;
    sums->declared = b->alg != S3_SUM_NONE;
    encode_base64(value, n, sums->value);
    const char *claimed = b->by_trailer ? b->aws.trailer_value : b->declared;
    if (!sums->declared || strcmp(claimed, sums->value) == 0)
        return 0;
    uint8_t raw[64];
    if (b->by_trailer && encode_base64_decode(claimed, raw, sizeof(raw)) != (int64_t)n)
        return body_fail(b, S3_ERR_INVALID_REQUEST,
                         "The value of the trailing checksum is not valid");
    return body_fail(b, S3_ERR_BAD_DIGEST, NULL);
}

static int settle_md5(struct s3_body *b, struct s3_checksums *sums)
{
    if (b->md5_digest == NULL)
        return 0;
    uint8_t value[DIGEST_MAX];
    (void)digest_final(b->md5_digest, value);
    encode_hex(value, 16, sums->md5_hex);
    if (!b->has_md5 || memcmp(value, b->md5, 16) == 0)
        return 0;
    return body_fail(b, S3_ERR_BAD_DIGEST,
                     "The Content-MD5 you specified did not match what we received");
}

static int settle_sha(struct s3_body *b)
{
    if (b->sha_digest == NULL)
        return 0;
    uint8_t value[DIGEST_MAX];
    char hex[65];
    (void)digest_final(b->sha_digest, value);
    encode_hex(value, 32, hex);
    return strcmp(hex, b->sha256) == 0 ? 0
                                       : body_fail(b, S3_ERR_X_AMZ_CONTENT_SHA256_MISMATCH, NULL);
}

int s3_body_finish(struct s3_req *req, struct s3_checksums *sums)
{
    struct s3_body *b = &active_of(req)->body;
    struct s3_checksums found = {0};
    char scratch[8192];
    ssize_t n = 0;
    while ((n = s3_body_read(req, scratch, sizeof(scratch))) > 0)
        continue;
    if (n < 0)
        return (int)n;
    if (b->finished)
        return body_fail(b, S3_ERR_INTERNAL_ERROR, "The body was finished twice");
    b->finished = true;
    found.bytes = b->total;
    if (settle_sha(b) < 0 || settle_md5(b, &found) < 0 || settle_sum(b, &found) < 0)
        return -EBADMSG;
    if (sums != NULL)
        *sums = found;
    return 0;
}

int s3_body_read_small(struct s3_req *req, size_t max, struct buf *b, struct s3_checksums *sums)
{
    struct s3_body *body = &active_of(req)->body;
    if (req->content_length > 0 && (uint64_t)req->content_length > max)
        return body_fail(body, S3_ERR_MAX_MESSAGE_LENGTH_EXCEEDED, NULL);
    for (;;) {
        buf_reserve(b, 16384);
        ssize_t n = s3_body_read(req, b->data + b->len, 16384);
        if (n < 0)
            return (int)n;
        if (n == 0)
            break;
        b->len += (size_t)n;
        b->data[b->len] = '\0';
        if (b->len > max)
            return body_fail(body, S3_ERR_MAX_MESSAGE_LENGTH_EXCEEDED, NULL);
    }
    b->data[b->len] = '\0';
    return s3_body_finish(req, sums);
}

void s3_body_want(struct s3_req *req, bool want_sum, bool want_md5)
{
    struct s3_body *b = &active_of(req)->body;
    b->want_sum |= want_sum;
    b->want_md5 |= want_md5;
}

enum s3_error s3_body_error(const struct s3_req *req)
{
    return active_of(req)->body.error;
}

int s3_reply_body_error(struct s3_req *req)
{
    const struct s3_body *b = &active_of(req)->body;
    enum s3_error e = b->error != S3_ERR_NONE ? b->error : S3_ERR_INTERNAL_ERROR;
    s3_reply_reset_headers(req);
    return b->why != NULL ? s3_reply_error(req, e, "%s", b->why) : s3_reply_error(req, e, NULL);
}

void *s3_io_buf(struct s3_req *req, size_t *cap)
{
    *cap = S3_IO_BUF;
    return active_of(req)->io_buf;
}
