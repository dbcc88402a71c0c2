/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of an HTTP/1.1 request (RFC 9110, RFC 9112), parsed strictly: whatever two readers could
 * understand differently is refused. Pure functions over a buffer; any thread, one buffer at a
 * time.
 */
#ifndef S3_HTTP_H
#define S3_HTTP_H

#include "s3/req.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX    16384 /* bytes of a head, its empty line included */
#define HTTP_SECTION_MAX 8192  /* bytes of its header lines that S3 allows */
#define HTTP_TARGET_MAX  8192
#define HTTP_HEADERS_MAX 100   /* header lines */
#define HTTP_JOINED_MAX  32768 /* bytes for the values of repeated headers */

struct http_head {
    enum s3_method method;
    const char *target;
    int minor; /* of HTTP/1.x: 0 or 1 */
    struct s3_header headers[HTTP_HEADERS_MAX];
    size_t n_headers;
    const char *host;
    int64_t content_length; /* -1: none was sent */
    bool chunked;
    bool expect_continue;
    bool keep_alive;
    char *joined; /* memory of joined values; freed by http_head_fini */
    size_t joined_len;
};

/*
 * Looks for the end of a head in len bytes of buf. *pos (0 at first) remembers how far it has
 * looked. Returns the head's length with its empty line (> 0), 0 when more bytes are needed, or
 * -EINVAL for a bare LF.
 */
int http_head_scan(const char *buf, size_t len, size_t *pos);

/*
 * Parses a head of len bytes that http_head_scan() found; buf is changed (strings are ended in
 * place) and must outlive h. Returns 0 with *h set (http_head_fini it), or S3_ERR_* as the answer
 * to give, with *why (may be NULL) a static text; the connection must be closed after it. On
 * failure h->method and h->target are set if they were understood (target NULL else).
 */
enum s3_error http_head_parse(char *buf, size_t len, struct http_head *h, const char **why);

/* Frees what h owns. */
void http_head_fini(struct http_head *h);

/* The value of header name (lower case) of h, or NULL. */
const char *http_head_get(const struct http_head *h, const char *name);

/* Parses a decimal number of only digits, at most 19 of them. Returns 0, or -EINVAL. */
int http_parse_number(const char *s, int64_t *out);

/* The reason phrase of a status; static, never NULL. */
const char *http_reason(int status);

#endif
