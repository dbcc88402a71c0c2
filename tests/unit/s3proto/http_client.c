/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http_client.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "codec/digest.h"
#include "codec/encode.h"
#include "codec/sign.h"
#include "s3/http.h"
#include "s3/sigv4.h"
#include "s3/uri.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

static const char accounts[] =
    "{\"generation\":1,\"accounts\":[{\"name\":\"owner\",\"uid\":0,\"gid\":0,\"access_key\":"
    "\"AKIAIOSFODNN7EXAMPLE\",\"secret_key\":\"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\","
    "\"enabled\":true,\"new_buckets\":true}]}";
static const char buckets[] =
    "{\"generation\":1,\"buckets\":[{\"name\":\"b\",\"owner\":\"owner\",\"path\":\"/b\",\"uid\":0,"
    "\"gid\":0}]}";

void fixture_start(struct fixture *f, s3_handler_fn handle, size_t workers, size_t max_waiting,
                   size_t max_connections, int idle_s)
{
    struct err err = {0};
    memset(f, 0, sizeof(*f));
    f->conf.s3.region = (char *)(uintptr_t) "us-east-1";
    f->conf.s3.domain = (char *)(uintptr_t) "s3.example";
    f->conf.s3.allow_unsigned_payload = true;
    f->site.conf = &f->conf;
    f->site.registry = s3_registry_new(NULL);
    auto_json cJSON *a = cJSON_Parse(accounts);
    auto_json cJSON *b = cJSON_Parse(buckets);
    assert_int_equal(s3_registry_load(f->site.registry, a, b, &err), 0);
    struct s3_server_opts opts = {.listen_fd = -1,
                                  .site = &f->site,
                                  .handle = handle,
                                  .workers = workers,
                                  .max_waiting = max_waiting,
                                  .max_connections = max_connections,
                                  .idle_timeout_s = idle_s,
                                  .drain_s = 5};
    assert_int_equal(s3_listen("127.0.0.1:0", &opts.listen_fd, &err), 0);
    f->port = s3_listen_port(opts.listen_fd);
    assert_int_equal(s3_server_start(&opts, &f->server, &err), 0);
}

void fixture_stop(struct fixture *f)
{
    size_t cut = 0;
    assert_int_equal(s3_server_stop(f->server, &cut), 0);
    s3_registry_free(f->site.registry);
    assert_int_equal(cut, 0);
}

int client_open(const struct fixture *f)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)f->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval tv = {.tv_sec = 10};
    assert_true(fd >= 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

void client_send_bytes(int fd, const void *p, size_t n)
{
    const char *at = p;
    while (n > 0) {
        ssize_t sent = send(fd, at, n, MSG_NOSIGNAL);
        if (sent < 0)
            return; /* the server may have closed already: the reply tells */
        at += sent;
        n -= (size_t)sent;
    }
}

void client_send(int fd, const char *text)
{
    client_send_bytes(fd, text, strlen(text));
}

/* Reads through the text that ends in end; false when the connection ends before. */
static bool read_until(int fd, const char *end, struct buf *b)
{
    size_t n = strlen(end);
    char c = 0;
    while (b->len < n || memcmp(b->data + b->len - n, end, n) != 0) {
        if (recv(fd, &c, 1, 0) != 1)
            return false;
        buf_addc(b, c);
    }
    return true;
}

static bool read_bytes(int fd, size_t n, struct buf *b)
{
    buf_reserve(b, n);
    while (n > 0) {
        ssize_t got = recv(fd, b->data + b->len, n, 0);
        if (got <= 0)
            return false;
        b->len += (size_t)got;
        b->data[b->len] = '\0';
        n -= (size_t)got;
    }
    return true;
}

static bool read_chunks(int fd, struct buf *b)
{
    for (;;) {
        auto_buf struct buf size = {0};
        if (!read_until(fd, "\r\n", &size))
            return false;
        size_t n = strtoul(size.data, NULL, 16);
        auto_buf struct buf end = {0};
        if (!read_bytes(fd, n, b) || !read_until(fd, "\r\n", &end))
            return false;
        if (n == 0)
            return true;
    }
}

int client_reply(int fd, bool head_only, struct buf *head, struct buf *body)
{
    auto_buf struct buf h = {0};
    auto_buf struct buf b = {0};
    int status = 0;
    if (!read_until(fd, "\r\n\r\n", &h) || sscanf(h.data, "HTTP/1.1 %d", &status) != 1)
        return 0;
    const char *length = strcasestr(h.data, "\r\ncontent-length: ");
    if (!head_only && status != 100 && length != NULL &&
        !read_bytes(fd, strtoul(length + 18, NULL, 10), &b))
        status = -status;
    if (!head_only && strcasestr(h.data, "\r\ntransfer-encoding: chunked") != NULL &&
        !read_chunks(fd, &b))
        status = -status;
    if (head != NULL)
        buf_add(head, h.data, h.len);
    if (body != NULL)
        buf_add(body, b.data != NULL ? b.data : "", b.len);
    return status;
}

bool client_closed(int fd)
{
    char c = 0;
    return recv(fd, &c, 1, 0) <= 0;
}

int client_once(const struct fixture *f, const char *text, struct buf *body)
{
    auto_close int fd = client_open(f);
    client_send(fd, text);
    return client_reply(fd, strncmp(text, "HEAD ", 5) == 0, NULL, body);
}

char *client_sign(const char *method, const char *path, const char *headers, const char *payload,
                  char *signature, char *amz_date)
{
    static const char secret[] = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    time_t now = (time_t)(time_now_ns() / NS_PER_SEC);
    struct tm tm;
    struct sigv4 s = {.payload_text = payload};
    (void)strftime(s.amz_date, sizeof(s.amz_date), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
    (void)snprintf(s.scope, sizeof(s.scope), "%.8s/us-east-1/s3/aws4_request", s.amz_date);
    auto_free char *text = xasprintf("%s %s HTTP/1.1\r\nHost: s3.example\r\nx-amz-date: %s\r\n"
                                     "x-amz-content-sha256: %s\r\n%s",
                                     method, path, s.amz_date, payload, headers);
    auto_free char *copy = xasprintf("%s\r\n", text);
    struct http_head h;
    struct uri u;
    assert_int_equal(http_head_parse(copy, strlen(copy), &h, NULL), 0);
    assert_int_equal(uri_parse(h.target, "s3.example", "", &u), 0);
    auto_buf struct buf names = {0};
    const char *last = "";
    for (size_t i = 0; i < h.n_headers; i++) {
        const char *next = NULL;
        for (size_t j = 0; j < h.n_headers; j++) {
            const char *n = h.headers[j].name;
            if (strcmp(n, last) > 0 && (next == NULL || strcmp(n, next) < 0) &&
                (strncmp(n, "x-amz-", 6) == 0 || strcmp(n, "host") == 0))
                next = n;
        }
        if (next == NULL)
            break;
        buf_addf(&names, "%s%s", names.len > 0 ? ";" : "", next);
        last = next;
    }
    (void)snprintf(s.signed_headers, sizeof(s.signed_headers), "%s", names.data);
    struct sigv4_input in = {.method = method,
                             .raw_path = u.raw_path,
                             .params = u.params,
                             .n_params = u.n_params,
                             .headers = h.headers,
                             .n_headers = h.n_headers};
    auto_buf struct buf b = {0};
    sigv4_canonical_request(&b, &in, &s);
    uint8_t hash[DIGEST_MAX], key[32];
    char hex[65], sig[65], date[9];
    (void)snprintf(date, sizeof(date), "%.8s", s.amz_date);
    (void)digest_of(DIGEST_SHA256, b.data, b.len, hash);
    encode_hex(hash, 32, hex);
    buf_reset(&b);
    buf_addf(&b, "AWS4-HMAC-SHA256\n%s\n%s\n%s", s.amz_date, s.scope, hex);
    sign_key(secret, date, "us-east-1", key);
    sign_text(key, b.data, b.len, sig);
    http_head_fini(&h);
    uri_fini(&u);
    if (signature != NULL)
        memcpy(signature, sig, sizeof(sig));
    if (amz_date != NULL)
        memcpy(amz_date, s.amz_date, sizeof(s.amz_date));
    return xasprintf("%sAuthorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/%s,"
                     "SignedHeaders=%s,Signature=%s\r\n\r\n",
                     text, s.scope, s.signed_headers, sig);
}
