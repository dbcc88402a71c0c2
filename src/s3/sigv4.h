/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AWS Signature Version 4 on the server's side (AWS General Reference, "Signature Version 4"; S3
 * API Reference, "Authenticating Requests"): the header form, the presigned form, and the
 * signatures of aws-chunked bodies. Works on parsed requests, does no I/O. The key cache may be
 * used by any thread, everything else by one thread at a time.
 */
#ifndef S3_SIGV4_H
#define S3_SIGV4_H

#include "s3/req.h"

#include <stdbool.h>
#include <stdint.h>

#define SIGV4_KEY_MAX  129 /* an access key and a NUL */
#define SIGV4_SKEW_S   900
#define SIGV4_FAIL_MAX 4

/* What x-amz-content-sha256 says about the body. */
enum s3_payload {
    S3_PAYLOAD_UNSIGNED,
    S3_PAYLOAD_HASH,
    S3_PAYLOAD_STREAM,                  /* STREAMING-AWS4-HMAC-SHA256-PAYLOAD */
    S3_PAYLOAD_STREAM_TRAILER,          /* STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER */
    S3_PAYLOAD_STREAM_UNSIGNED_TRAILER, /* STREAMING-UNSIGNED-PAYLOAD-TRAILER */
};

/* Why a request is refused: the message (empty: the table's) and elements of the Error document. */
struct s3_fail {
    char text[256];
    struct {
        const char *name; /* static */
        char value[256];
    } elements[SIGV4_FAIL_MAX];
    size_t n_elements;
};

struct sigv4_input {
    const char *method; /* "GET" */
    const char *raw_path;
    const struct s3_param *params;
    size_t n_params;
    struct s3_header *headers; /* is_signed is set by sigv4_verify */
    size_t n_headers;
    const char *region;  /* the one that the scope must name */
    int64_t now_ns;      /* real time */
    struct buf *scratch; /* a buffer to work in, its contents are lost; NULL: none */
};

struct sigv4 {
    bool anonymous; /* no authentication was sent; nothing below is set but the payload */
    bool presigned;
    char access_key[SIGV4_KEY_MAX];
    char amz_date[17]; /* 20130524T000000Z */
    char scope[160];   /* 20130524/us-east-1/s3/aws4_request */
    char signed_headers[2048];
    char signature[65];
    enum s3_payload payload;
    const char *payload_text; /* as the canonical request has it; borrowed from the input */
    uint8_t key[32];          /* signing key, after sigv4_verify */
};

struct sigv4_cache;

/* A cache of signing keys. Never NULL; free with sigv4_cache_free. */
struct sigv4_cache *sigv4_cache_new(void);

/* Frees c and wipes its keys; NULL is allowed. */
void sigv4_cache_free(struct sigv4_cache *c);

/* Reads and checks everything in the authentication fields that needs no secret. Returns 0 with *s
 * set, or S3_ERR_* with *fail set. */
enum s3_error sigv4_parse(const struct sigv4_input *in, struct sigv4 *s, struct s3_fail *fail);

/* Checks the signature with the account's secret key, then that no x-amz-* header came unsigned;
 * marks the signed headers. Returns 0 with s->key set, or S3_ERR_*. c may be NULL. */
enum s3_error sigv4_verify(const struct sigv4_input *in, struct sigv4 *s, const char *secret,
                           struct sigv4_cache *c, struct s3_fail *fail);

/* Appends the canonical request of in as s signs it (for tests and the debug log). */
void sigv4_canonical_request(struct buf *b, const struct sigv4_input *in, const struct sigv4 *s);

/* Compares two signatures of 64 hex digits in constant time. */
bool sigv4_same(const char *a, const char *b);

/* Parses a value of x-amz-content-sha256. Returns 0, or S3_ERR_*. */
enum s3_error sigv4_payload_parse(const char *value, enum s3_payload *out, struct s3_fail *fail);

/* Sets the message of fail in printf form; returns e. */
enum s3_error s3_fail_set(struct s3_fail *fail, enum s3_error e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Adds an element (name static) to fail. */
void s3_fail_element(struct s3_fail *fail, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
