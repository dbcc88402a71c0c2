/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/s3_impl.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/timefmt.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define VALUE_MAX 8192  /* bytes of a header's value */
#define KEEP_MAX  16384 /* bytes of a buffer that the next request finds */

static struct s3_reply *reply_of(const struct s3_req *req)
{
    return &req->conn->active->reply;
}

void reply_fini(struct s3_active *a)
{
    struct buf headers = a->reply.headers;
    buf_fini(&a->reply.elements);
    buf_reset(&headers);
    if (headers.cap > KEEP_MAX)
        buf_fini(&headers);
    a->reply = (struct s3_reply){.headers = headers};
}

static void vadd(struct buf *b, const char *fmt, va_list ap)
{
    char value[VALUE_MAX];
    if (strcmp(fmt, "%s") == 0) { /* most of them */
        const char *s = va_arg(ap, const char *);
        buf_add(b, s, strnlen(s, sizeof(value) - 1));
        return;
    }
    int n = vsnprintf(value, sizeof(value), fmt, ap);
    buf_add(b, value, (size_t)n < sizeof(value) ? (size_t)n : sizeof(value) - 1);
}

void s3_reply_header(struct s3_req *req, const char *name, const char *fmt, ...)
{
    struct buf *b = &reply_of(req)->headers;
    buf_adds(b, name);
    buf_adds(b, ": ");
    size_t from = b->len;
    va_list ap;
    va_start(ap, fmt);
    vadd(b, fmt, ap);
    va_end(ap);
    for (size_t i = from; i < b->len; i++) {
        unsigned char c = (unsigned char)b->data[i];
        if (c < 0x20 || c == 0x7f)
            b->data[i] = ' ';
    }
    buf_adds(b, "\r\n");
}

void s3_reply_reset_headers(struct s3_req *req)
{
    buf_reset(&reply_of(req)->headers);
    buf_reset(&reply_of(req)->elements);
}

void s3_error_element(struct s3_req *req, const char *name, const char *fmt, ...)
{
    struct buf *b = &reply_of(req)->elements;
    auto_buf struct buf value = {0};
    va_list ap;
    va_start(ap, fmt);
    vadd(&value, fmt, ap);
    va_end(ap);
    buf_addf(b, "<%s>", name);
    buf_add_xml(b, value.data != NULL ? value.data : "");
    buf_addf(b, "</%s>", name);
}

/* The worker's buffer for the head of a reply, empty. */
static struct buf *scratch(struct s3_req *req)
{
    struct buf *b = &req->conn->active->scratch;
    if (b->cap > KEEP_MAX)
        buf_fini(b);
    buf_reset(b);
    return b;
}

/* "Date: ...\r\n", made once a second and thread. */
static const char *date_line(void)
{
    static _Thread_local char line[TIMEFMT_MAX + 16];
    static _Thread_local int64_t at = -1;
    int64_t now = time_now_ns();
    if (now / NS_PER_SEC != at) {
        char text[TIMEFMT_MAX];
        at = now / NS_PER_SEC;
        timefmt_http(now, text);
        (void)snprintf(line, sizeof(line), "Date: %s\r\n", text);
    }
    return line;
}

/* Whether the connection must close after this reply. It must when the client still waits for 100
 * Continue: some (botocore) misread the next answer on a connection where a final one came instead.
 */
static bool must_close(const struct s3_req *req)
{
    struct s3_conn *c = req->conn;
    const struct s3_active *a = c->active;
    return c->close || !a->http.keep_alive || !body_consumed(a) || a->body.expect ||
           a->body.in_len > HTTP_HEAD_MAX || server_stopping(c->server);
}

/* Writes the head of the reply into b. length: of the body; -1 chunked; -2 no line about it. */
static void add_head(struct s3_req *req, struct buf *b, int status, int64_t length)
{
    struct s3_reply *r = reply_of(req);
    struct s3_conn *c = req->conn;
    c->close = must_close(req) || (length == -1 && c->active->http.minor == 0);
    r->chunked = length == -1 && c->active->http.minor == 1;
    buf_addf(b, "HTTP/1.1 %d %s\r\n", status, http_reason(status));
    buf_adds(b, date_line());
    buf_adds(b, "x-amz-request-id: ");
    buf_adds(b, req->id);
    buf_adds(b, "\r\nx-amz-id-2: ");
    buf_adds(b, req->id);
    buf_adds(b, "\r\n");
    if (r->headers.len > 0)
        buf_add(b, r->headers.data, r->headers.len);
    if (length >= 0)
        buf_addf(b, "Content-Length: %lld\r\n", (long long)length);
    else if (r->chunked)
        buf_adds(b, "Transfer-Encoding: chunked\r\n");
    if (c->close)
        buf_adds(b, "Connection: close\r\n");
    else if (c->active->http.minor == 0)
        buf_adds(b, "Connection: keep-alive\r\n");
    buf_adds(b, "\r\n");
    r->begun = true;
    r->is_head = req->method == S3_METHOD_HEAD;
    r->left = length > 0 ? length : 0;
    req->status = status;
}

/* A second reply would desynchronise the connection: it is dropped and the connection cut. */
static bool begun_before(struct s3_req *req)
{
    struct s3_reply *r = reply_of(req);
    if (!r->begun)
        return false;
    r->failed = true;
    req->conn->close = true;
    return true;
}

static int send_parts(struct s3_req *req, const struct buf *head, const void *body, size_t n,
                      bool more)
{
    struct s3_reply *r = reply_of(req);
    struct iovec iov[2] = {{.iov_base = head->data, .iov_len = head->len},
                           {.iov_base = (void *)(uintptr_t)body, .iov_len = n}};
    int rc = conn_send(req->conn, iov, n > 0 ? 2 : 1, more);
    if (rc < 0) {
        r->failed = true;
        req->conn->close = true;
        return rc;
    }
    r->sent += (int64_t)n;
    r->left -= (int64_t)n;
    return 0;
}

/* A whole reply in one go. */
static int send_whole(struct s3_req *req, int status, int64_t length, const void *body, size_t n)
{
    if (begun_before(req))
        return -EALREADY;
    struct buf *head = scratch(req);
    add_head(req, head, status, length);
    reply_of(req)->ended = true;
    return send_parts(req, head, body, req->method == S3_METHOD_HEAD ? 0 : n, false);
}

int s3_reply_empty(struct s3_req *req, int status)
{
    return send_whole(req, status, status == 204 || status == 304 ? -2 : 0, NULL, 0);
}

int s3_reply_head(struct s3_req *req, int status, int64_t len)
{
    if (req->method != S3_METHOD_HEAD)
        return s3_reply_error(req, S3_ERR_INTERNAL_ERROR, NULL);
    return send_whole(req, status, len, NULL, 0);
}

int s3_reply_xml(struct s3_req *req, int status, const struct buf *xml)
{
    if (!begun_before(req))
        s3_reply_header(req, "Content-Type", "application/xml");
    return send_whole(req, status, (int64_t)xml->len, xml->data, xml->len);
}

/* Head and body of a small file in one send. */
static int send_small_file(struct s3_req *req, int status, int fd, off_t off, size_t len)
{
    void *data = req->conn->active->raw_buf;
    struct iovec iov = {.iov_base = data, .iov_len = len};
    ssize_t n = preadv2(fd, &iov, 1, off, RWF_NOWAIT);
    if (n < 0 || (size_t)n < len) { /* not in memory (or the file ends early) */
        s3_may_block(req);
        n = io_pread_full(fd, data, len, off);
    }
    if (n >= 0 && (size_t)n == len)
        return send_whole(req, status, (int64_t)len, data, len);
    s3_reply_reset_headers(req);
    (void)s3_reply_error(req, S3_ERR_INTERNAL_ERROR, NULL);
    return n < 0 ? (int)n : -ENODATA;
}

int s3_reply_file(struct s3_req *req, int status, int fd, off_t off, int64_t len)
{
    if (begun_before(req))
        return -EALREADY;
    if (req->method == S3_METHOD_HEAD || len == 0)
        return send_whole(req, status, len, NULL, 0);
    if ((uint64_t)len <= S3_SMALL_MAX && body_consumed(req->conn->active))
        return send_small_file(req, status, fd, off, (size_t)len);
    struct buf *head = scratch(req);
    add_head(req, head, status, len);
    struct s3_reply *r = reply_of(req);
    int rc = send_parts(req, head, NULL, 0, true);
    if (rc == 0)
        rc = conn_sendfile(req->conn, fd, off, len);
    r->ended = true;
    if (rc < 0) {
        r->failed = true;
        req->conn->close = true;
        return rc;
    }
    r->sent = len;
    return 0;
}

int s3_reply_begin(struct s3_req *req, int status, int64_t len)
{
    if (begun_before(req))
        return -EALREADY;
    auto_buf struct buf head = {0};
    add_head(req, &head, status, len < 0 ? -1 : len);
    return send_parts(req, &head, NULL, 0, len > 0 && !reply_of(req)->is_head);
}

int s3_reply_write(struct s3_req *req, const void *p, size_t n)
{
    struct s3_reply *r = reply_of(req);
    if (r->failed || !r->begun || r->ended)
        return -EPIPE;
    if (r->is_head || n == 0)
        return 0;
    char size[24] = "";
    if (r->chunked)
        (void)snprintf(size, sizeof(size), "%zx\r\n", n);
    else if ((uint64_t)r->left < n)
        return -EMSGSIZE; /* more than announced must not reach the wire */
    struct iovec iov[3] = {{.iov_base = size, .iov_len = strlen(size)},
                           {.iov_base = (void *)(uintptr_t)p, .iov_len = n},
                           {.iov_base = (void *)(uintptr_t) "\r\n", .iov_len = 2}};
    int rc =
        r->chunked ? conn_send(req->conn, iov, 3, false) : conn_send(req->conn, iov + 1, 1, false);
    r->failed |= rc < 0;
    r->sent += (int64_t)n;
    r->left -= r->chunked ? 0 : (int64_t)n;
    return rc;
}

int s3_reply_end(struct s3_req *req)
{
    struct s3_reply *r = reply_of(req);
    if (!r->begun || r->ended)
        return -EPIPE;
    r->ended = true;
    int rc = r->failed ? -EPIPE : 0;
    if (rc == 0 && r->chunked && !r->is_head) {
        struct iovec iov = {.iov_base = (void *)(uintptr_t) "0\r\n\r\n", .iov_len = 5};
        rc = conn_send(req->conn, &iov, 1, false);
    }
    if (rc == 0 && !r->chunked && !r->is_head && r->left != 0)
        rc = -EPIPE;
    if (rc < 0) {
        r->failed = true;
        req->conn->close = true;
    }
    return rc;
}

/* The Error document; the resource is the path as it was sent. */
static void add_error(struct s3_req *req, struct buf *xml, enum s3_error e, const char *message)
{
    buf_adds(xml, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>");
    buf_adds(xml, s3_error_code(e));
    buf_adds(xml, "</Code><Message>");
    buf_add_xml(xml, message);
    buf_adds(xml, "</Message>");
    const struct buf *elements = &reply_of(req)->elements;
    if (elements->len > 0)
        buf_add(xml, elements->data, elements->len);
    buf_adds(xml, "<Resource>");
    auto_buf struct buf path = {0};
    buf_add(&path, req->target, req->target != NULL ? strcspn(req->target, "?") : 0);
    buf_add_xml(xml, path.data != NULL ? path.data : "");
    buf_addf(xml, "</Resource><RequestId>%s</RequestId><HostId>%s</HostId></Error>", req->id,
             req->id);
}

int s3_reply_error(struct s3_req *req, enum s3_error e, const char *fmt, ...)
{
    if (begun_before(req))
        return -EALREADY;
    char message[1024];
    (void)snprintf(message, sizeof(message), "%s", s3_error_message(e));
    if (fmt != NULL) {
        va_list ap;
        va_start(ap, fmt);
        (void)vsnprintf(message, sizeof(message), fmt, ap);
        va_end(ap);
    }
    auto_buf struct buf xml = {0};
    add_error(req, &xml, e, message);
    s3_reply_header(req, "Content-Type", "application/xml");
    return send_whole(req, s3_error_status(e), (int64_t)xml.len, xml.data, xml.len);
}

int reply_fail(struct s3_req *req, enum s3_error e, const struct s3_fail *fail)
{
    for (size_t i = 0; i < fail->n_elements; i++)
        s3_error_element(req, fail->elements[i].name, "%s", fail->elements[i].value);
    return fail->text[0] != '\0' ? s3_reply_error(req, e, "%s", fail->text)
                                 : s3_reply_error(req, e, NULL);
}
