/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/s3_impl.h"

#include "codec/encode.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define PREFIX "x-amz-checksum-"

/* Headers that begin like a checksum's and are none. */
static bool is_other(const char *suffix)
{
    return strcmp(suffix, "mode") == 0 || strcmp(suffix, "type") == 0 ||
           strcmp(suffix, "algorithm") == 0;
}

static size_t sum_size(enum s3_sum alg)
{
    switch (alg) {
    case S3_SUM_CRC32:
    case S3_SUM_CRC32C:
        return 4;
    case S3_SUM_CRC64NVME:
        return 8;
    case S3_SUM_SHA1:
        return 20;
    default:
        return 32;
    }
}

static enum s3_error refuse(const char **why, const char *text)
{
    *why = text;
    return S3_ERR_INVALID_REQUEST;
}

/* A CompleteMultipartUpload names the checksum of the object there, not that of its own body. */
static bool is_complete(const struct s3_req *req)
{
    return req->method == S3_METHOD_POST && s3_req_param(req, "uploadId") != NULL;
}

static enum s3_error declare_header(struct s3_body *b, const struct s3_header *h, const char **why)
{
    const char *suffix = h->name + sizeof(PREFIX) - 1;
    if (is_other(suffix))
        return S3_ERR_NONE;
    enum s3_sum alg = s3_sum_parse(suffix);
    if (alg == S3_SUM_NONE)
        return refuse(why, "The checksum algorithm is not supported");
    if (b->alg != S3_SUM_NONE)
        return refuse(why, "Expecting a single x-amz-checksum- header");
    uint8_t value[64];
    if (encode_base64_decode(h->value, value, sizeof(value)) != (int64_t)sum_size(alg))
        return refuse(why, "The value of an x-amz-checksum- header is not valid");
    b->alg = alg;
    b->declared = h->value;
    return S3_ERR_NONE;
}

static enum s3_error declare_trailer(struct s3_active *a, const char **why)
{
    struct s3_body *b = &a->body;
    const char *name = s3_req_header(&a->req, "x-amz-trailer");
    bool streamed = a->sig.payload == S3_PAYLOAD_STREAM_TRAILER ||
                    a->sig.payload == S3_PAYLOAD_STREAM_UNSIGNED_TRAILER;
    if (name == NULL && !streamed)
        return S3_ERR_NONE;
    if (name == NULL) {
        *why = "The body has a trailer, but x-amz-trailer announces none";
        return S3_ERR_MALFORMED_TRAILER;
    }
    if (!streamed)
        return refuse(why, "x-amz-trailer needs a x-amz-content-sha256 of a TRAILER form");
    enum s3_sum alg = strncasecmp(name, PREFIX, sizeof(PREFIX) - 1) == 0
                          ? s3_sum_parse(name + sizeof(PREFIX) - 1)
                          : S3_SUM_NONE;
    if (alg == S3_SUM_NONE)
        return refuse(why, "The value specified in the x-amz-trailer header is not supported");
    if (b->alg != S3_SUM_NONE)
        return refuse(why, "Expecting a single x-amz-checksum- header or trailer");
    b->alg = alg;
    b->by_trailer = true;
    (void)snprintf(b->trailer, sizeof(b->trailer), PREFIX "%s", s3_sum_suffix(alg));
    return S3_ERR_NONE;
}

static enum s3_error declare_sums(struct s3_active *a, const char **why)
{
    const struct s3_req *req = &a->req;
    bool complete = is_complete(req);
    for (size_t i = 0; i < req->n_headers && !complete; i++) {
        const struct s3_header *h = &req->headers[i];
        if (strncmp(h->name, PREFIX, sizeof(PREFIX) - 1) != 0)
            continue;
        enum s3_error e = declare_header(&a->body, h, why);
        if (e != S3_ERR_NONE)
            return e;
    }
    enum s3_error e = declare_trailer(a, why);
    if (e != S3_ERR_NONE)
        return e;
    const char *sdk = s3_req_header(req, "x-amz-sdk-checksum-algorithm");
    if (sdk == NULL || complete || (!req->has_body && a->body.alg == S3_SUM_NONE))
        return S3_ERR_NONE;
    if (s3_sum_parse(sdk) == S3_SUM_NONE)
        return refuse(why, "Value for x-amz-sdk-checksum-algorithm header is invalid");
    if (s3_sum_parse(sdk) != a->body.alg)
        return refuse(why, "x-amz-sdk-checksum-algorithm specified, but no corresponding "
                           "x-amz-checksum-* or x-amz-trailer headers were found");
    return S3_ERR_NONE;
}

static enum s3_error declare_length(struct s3_active *a, const char **why)
{
    struct s3_req *req = &a->req;
    struct s3_body *b = &a->body;
    req->content_length = a->http.content_length;
    if (!b->chunked && a->http.content_length < 0)
        req->content_length = 0;
    if (!b->is_aws) {
        b->expected = req->content_length;
        return S3_ERR_NONE;
    }
    const char *decoded = s3_req_header(req, "x-amz-decoded-content-length");
    if (decoded == NULL) {
        *why = "x-amz-decoded-content-length is missing";
        return S3_ERR_MISSING_CONTENT_LENGTH;
    }
    if (http_parse_number(decoded, &b->expected) < 0) {
        *why = "x-amz-decoded-content-length is not a number";
        return S3_ERR_INVALID_ARGUMENT;
    }
    if (!b->chunked && a->http.content_length < 0)
        return S3_ERR_MISSING_CONTENT_LENGTH;
    req->content_length = b->expected;
    return S3_ERR_NONE;
}

enum s3_error body_declare(struct s3_active *a, const char **why)
{
    struct s3_body *b = &a->body;
    *why = NULL;
    *b = (struct s3_body){.raw = a->raw_buf};
    b->chunked = a->http.chunked;
    b->expect = a->http.expect_continue;
    b->left = a->http.content_length > 0 ? a->http.content_length : 0;
    b->is_aws = a->sig.payload >= S3_PAYLOAD_STREAM;
    a->req.has_body = b->chunked || b->left > 0;
    a->req.aws_chunked = b->is_aws;
    if (a->sig.payload == S3_PAYLOAD_HASH)
        b->sha256 = s3_req_header(&a->req, "x-amz-content-sha256") != NULL
                        ? s3_req_header(&a->req, "x-amz-content-sha256")
                        : a->sig.payload_text;
    enum s3_error e = declare_length(a, why);
    if (e == S3_ERR_NONE)
        e = declare_sums(a, why);
    const char *md5 = s3_req_header(&a->req, "content-md5");
    if (e != S3_ERR_NONE || md5 == NULL)
        return e;
    b->has_md5 = true;
    return encode_base64_decode(md5, b->md5, sizeof(b->md5)) == 16 ? S3_ERR_NONE
                                                                   : S3_ERR_INVALID_DIGEST;
}

void s3_body_declared(const struct s3_req *req, enum s3_sum *alg, bool *has_md5)
{
    const struct s3_body *b = &req->conn->active->body;
    *alg = b->alg;
    if (*alg == S3_SUM_NONE) {
        const char *sdk = s3_req_header(req, "x-amz-sdk-checksum-algorithm");
        *alg = sdk != NULL ? s3_sum_parse(sdk) : S3_SUM_NONE;
    }
    *has_md5 = b->has_md5;
}
