/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http_client.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* The handler under test does by key: "/b/echo" gives the body back, "/b/file" a file of 3 MiB,
 * "/b/wait" waits, "/b/early" refuses without reading, ... */

static int file_fd = -1;
static sem_t entered, go_on;

static void reply_echo(struct s3_req *req)
{
    auto_buf struct buf b = {0};
    struct s3_checksums sums;
    s3_body_want(req, true, true);
    if (s3_body_read_small(req, 8 << 20, &b, &sums) < 0) {
        (void)s3_reply_body_error(req);
        return;
    }
    s3_reply_header(req, "x-sum", "%s=%s %d", s3_sum_name(sums.alg), sums.value, sums.declared);
    s3_reply_header(req, "x-md5", "%s", sums.md5_hex);
    s3_reply_header(req, "x-account", "%s", req->account != NULL ? req->account->name : "-");
    s3_reply_header(req, "x-length", "%lld", (long long)req->content_length);
    (void)s3_reply_begin(req, 200, (int64_t)b.len);
    (void)s3_reply_write(req, b.data, b.len);
    (void)s3_reply_end(req);
}

static void reply_wait(struct s3_req *req)
{
    if (s3_wait_begin(req) != 0) {
        s3_reply_header(req, "Retry-After", "1");
        (void)s3_reply_error(req, S3_ERR_SLOW_DOWN, NULL);
        return;
    }
    (void)sem_post(&entered);
    while (sem_wait(&go_on) != 0)
        continue;
    s3_wait_end(req);
    (void)s3_reply_empty(req, 204);
}

static void reply_stream(struct s3_req *req)
{
    (void)s3_reply_begin(req, 200, -1);
    (void)s3_reply_write(req, "one", 3);
    (void)s3_reply_write(req, "", 0);
    (void)s3_reply_write(req, "two", 3);
    (void)s3_reply_end(req);
}

static void reply_names(struct s3_req *req)
{
    auto_buf struct buf b = {0};
    buf_addf(&b, "[%s][%s]%s", req->bucket, req->key, req->virtual_host ? "v" : "p");
    for (size_t i = 0; i < req->n_params; i++)
        buf_addf(&b, "{%s%s%s}", req->params[i].name, req->params[i].had_equals ? "=" : "",
                 req->params[i].value);
    (void)s3_reply_xml(req, 200, &b);
}

static void handle(struct s3_req *req)
{
    const char *k = req->key;
    if (strcmp(k, "echo") == 0)
        reply_echo(req);
    else if (strcmp(k, "file") == 0)
        (void)s3_reply_file(req, 200, file_fd, 10, (3 << 20) - 20);
    else if (strcmp(k, "small") == 0)
        (void)s3_reply_file(req, 206, file_fd, 5, 4096);
    else if (strcmp(k, "short") == 0)
        (void)s3_reply_file(req, 200, file_fd, 0, 5 << 20);
    else if (strcmp(k, "wait") == 0)
        reply_wait(req);
    else if (strcmp(k, "stream") == 0)
        reply_stream(req);
    else if (strcmp(k, "early") == 0)
        (void)s3_reply_error(req, S3_ERR_NO_SUCH_BUCKET, NULL);
    else if (strcmp(k, "inject") == 0) {
        s3_reply_header(req, "x-evil", "a\r\nx-other: b");
        (void)s3_reply_empty(req, 204);
    } else if (strcmp(k, "who") == 0) {
        auto_buf struct buf b = {0};
        buf_addf(&b, "%d %d", setfsuid((uid_t)-1), setfsgid((gid_t)-1));
        (void)s3_reply_xml(req, 200, &b);
    } else if (strcmp(k, "silent") != 0)
        reply_names(req);
}

static int set_up(void **state)
{
    static struct fixture f;
    log_init("test", LOG_LEVEL_WARN);
    file_fd = memfd_create("object", MFD_CLOEXEC);
    auto_free char *data = xzalloc(3 << 20);
    for (size_t i = 0; i < 3 << 20; i++)
        data[i] = (char)('a' + i % 26);
    assert_int_equal(io_write_full(file_fd, data, 3 << 20), 0);
    (void)sem_init(&entered, 0, 0);
    (void)sem_init(&go_on, 0, 0);
    fixture_start(&f, handle, 2, 3, 64, 60);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture_stop(*state);
    (void)close(file_fd);
    return 0;
}

#define H "Host: s3.example\r\n"

static void requests_share_a_connection(void **state)
{
    auto_close int fd = client_open(*state);
    for (int i = 0; i < 3; i++) {
        auto_buf struct buf body = {0};
        auto_buf struct buf head = {0};
        client_send(fd, "GET /b/k%20x?tagging&a=b+c%2B HTTP/1.1\r\n" H "\r\n");
        assert_int_equal(client_reply(fd, false, &head, &body), 200);
        assert_string_equal(body.data, "[b][k x]p{tagging}{a=b c+}");
        assert_non_null(strstr(head.data, "x-amz-request-id: "));
        assert_non_null(strstr(head.data, "Date: "));
        assert_null(strstr(head.data, "Connection: close"));
    }
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    auto_close int fd = client_open(*state);
    client_send(fd, "PUT /b/echo HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc"
                    "PUT /b/echo HTTP/1.1\r\n" H
                    "Transfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n"
                    "GET /b/last HTTP/1.1\r\n" H "Connection: close\r\n\r\n");
    auto_buf struct buf body = {0};
    assert_int_equal(client_reply(fd, false, NULL, &body), 200);
    assert_int_equal(client_reply(fd, false, NULL, &body), 200);
    assert_int_equal(client_reply(fd, false, NULL, &body), 200);
    assert_string_equal(body.data, "abcde[b][last]p");
    assert_true(client_closed(fd));
}

static void a_virtual_host_names_the_bucket(void **state)
{
    auto_buf struct buf body = {0};
    assert_int_equal(
        client_once(*state, "GET /x/y HTTP/1.1\r\nHost: My.B.s3.example:80\r\n\r\n", &body), 200);
    assert_string_equal(body.data, "[my.b][x/y]v");
}

static void files_are_sent_whole_and_in_part(void **state)
{
    auto_close int fd = client_open(*state);
    auto_buf struct buf big = {0};
    auto_buf struct buf small = {0};
    client_send(fd, "GET /b/file HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(client_reply(fd, false, NULL, &big), 200);
    assert_int_equal(big.len, (3 << 20) - 20);
    for (size_t i = 0; i < big.len; i++)
        assert_int_equal(big.data[i], 'a' + (i + 10) % 26);
    client_send(fd, "GET /b/small HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(client_reply(fd, false, NULL, &small), 206);
    assert_int_equal(small.len, 4096);
    assert_int_equal(small.data[0], 'f');
    client_send(fd, "HEAD /b/file HTTP/1.1\r\n" H "\r\n");
    auto_buf struct buf head = {0};
    assert_int_equal(client_reply(fd, true, &head, NULL), 200);
    assert_non_null(strstr(head.data, "Content-Length: 3145708\r\n"));
    client_send(fd, "GET /b/stream HTTP/1.1\r\n" H "\r\n");
    auto_buf struct buf chunks = {0};
    assert_int_equal(client_reply(fd, false, NULL, &chunks), 200);
    assert_string_equal(chunks.data, "onetwo");
}

static void a_file_that_ends_early_cuts_the_connection(void **state)
{
    auto_close int fd = client_open(*state);
    client_send(fd, "GET /b/short HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(client_reply(fd, false, NULL, NULL), -200);
}

static void an_answer_to_head_has_no_body(void **state)
{
    auto_close int fd = client_open(*state);
    client_send(fd, "HEAD /b/early HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(client_reply(fd, true, NULL, NULL), 404);
    client_send(fd, "GET /b/x HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(client_reply(fd, false, NULL, NULL), 200);
}

static void a_refused_body_is_not_asked_for(void **state)
{
    auto_close int fd = client_open(*state);
    client_send(fd, "PUT /b/early HTTP/1.1\r\n" H
                    "Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n");
    auto_buf struct buf head = {0};
    assert_int_equal(client_reply(fd, false, &head, NULL), 404);
    assert_non_null(strstr(head.data, "Connection: close"));
    assert_true(client_closed(fd));
}

static void a_client_that_waits_to_send_nothing_is_answered_in_step(void **state)
{
    auto_close int fd = client_open(*state);
    client_send(fd,
                "PUT /b/echo HTTP/1.1\r\n" H "Content-Length: 0\r\nExpect: 100-continue\r\n\r\n");
    assert_int_equal(client_reply(fd, false, NULL, NULL), 100);
    assert_int_equal(client_reply(fd, false, NULL, NULL), 200);
    client_send(fd,
                "PUT /b/early HTTP/1.1\r\n" H "Content-Length: 0\r\nExpect: 100-continue\r\n\r\n");
    auto_buf struct buf head = {0};
    assert_int_equal(client_reply(fd, false, &head, NULL), 404);
    assert_non_null(strstr(head.data, "Connection: close"));
    assert_true(client_closed(fd));
}

static void a_wanted_body_is_asked_for_once(void **state)
{
    auto_close int fd = client_open(*state);
    client_send(fd,
                "PUT /b/echo HTTP/1.1\r\n" H "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_int_equal(client_reply(fd, false, NULL, NULL), 100);
    client_send(fd, "hello");
    auto_buf struct buf body = {0};
    assert_int_equal(client_reply(fd, false, NULL, &body), 200);
    assert_string_equal(body.data, "hello");
}

static void an_unread_body_is_never_taken_for_a_request(void **state)
{
    auto_close int fd = client_open(*state);
    client_send(fd, "PUT /b/early HTTP/1.1\r\n" H "Content-Length: 40\r\n\r\n"
                    "GET /b/echo HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(client_reply(fd, false, NULL, NULL), 404);
    assert_true(client_closed(fd));
}

static void refused_uploads_hold_no_worker(void **state)
{
    int fds[16];
    int64_t start = time_mono_ns();
    for (int i = 0; i < 16; i++) {
        fds[i] = client_open(*state);
        client_send(fds[i], "PUT /b/early HTTP/1.1\r\n" H "Content-Length: 100000000\r\n\r\nx");
        assert_int_equal(client_reply(fds[i], false, NULL, NULL), 404);
    }
    assert_int_equal(client_once(*state, "GET /b/x HTTP/1.1\r\n" H "\r\n", NULL), 200);
    assert_true(time_mono_ns() - start < 2 * NS_PER_SEC);
    for (int i = 0; i < 16; i++) {
        assert_true(client_closed(fds[i]));
        (void)close(fds[i]);
    }
}

static void malformed_heads_are_refused_and_closed(void **state)
{
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/1.1\nHost: a\n\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
        {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
        {"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /a%2 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
        {"GET / FTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 405},
        {"PUT /b/k HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
         400},
        {"PUT /b/k HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400},
        {"PUT /b/k HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx", 400},
        {"PUT /b/k HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx", 400},
        {"PUT /b/k HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nx", 400},
        {"PUT /b/k HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nx", 400},
        {"PUT /b/k HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\nx", 400},
        {"PUT /b/k HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
        {"PUT /b/k HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
        {"PUT /b/k HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
         "Transfer-Encoding: chunked\r\n\r\n",
         400},
        {"PUT /b/k HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"PUT /b/k HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: tea\r\n\r\n", 417},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        auto_close int fd = client_open(*state);
        client_send(fd, cases[i].text);
        int status = client_reply(fd, false, NULL, NULL);
        if (status != cases[i].status)
            fail_msg("case %zu: status %d", i, status);
        if (strchr(cases[i].text, '%') == NULL)
            assert_true(client_closed(fd));
    }
}

static void long_heads_are_refused(void **state)
{
    auto_free char *pad = xzalloc(20001);
    memset(pad, 'x', 20000);
    auto_free char *long_section =
        xasprintf("GET / HTTP/1.1\r\nHost: a\r\nX: %.9000s\r\n\r\n", pad);
    auto_free char *too_long = xasprintf("GET / HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n", pad);
    auto_free char *target = xasprintf("GET /%.9000s HTTP/1.1\r\nHost: a\r\n\r\n", pad);
    auto_buf struct buf many = {0};
    buf_adds(&many, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 100; i++)
        buf_addf(&many, "h%d: v\r\n", i);
    buf_adds(&many, "\r\n");
    auto_buf struct buf body = {0};
    assert_int_equal(client_once(*state, long_section, &body), 400);
    assert_non_null(strstr(body.data, "<Code>RequestHeaderSectionTooLarge</Code>"));
    assert_int_equal(client_once(*state, too_long, NULL), 431);
    assert_int_equal(client_once(*state, target, NULL), 414);
    assert_int_equal(client_once(*state, many.data, NULL), 431);
}

static void malformed_chunks_are_refused(void **state)
{
    static const char *const bodies[] = {
        "5\r\nhello0\r\n\r\n",         "g\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",       "5\r\nhello\r\n0\r\nx: y\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",    "10000000000000000\r\n",
        "ffffffffffffffff\r\nhello",   " 5\r\nhello\r\n0\r\n\r\n",
        "5;\x01\r\nhello\r\n0\r\n\r\n"};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        auto_free char *text = xasprintf(
            "PUT /b/echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n%s", bodies[i]);
        auto_close int fd = client_open(*state);
        client_send(fd, text);
        (void)shutdown(fd, SHUT_WR);
        assert_int_equal(client_reply(fd, false, NULL, NULL), 400);
        assert_true(client_closed(fd));
    }
    auto_free char *ext = xzalloc(2001);
    memset(ext, 'e', 2000);
    auto_free char *text = xasprintf("PUT /b/echo HTTP/1.1\r\n" H
                                     "Transfer-Encoding: chunked\r\n\r\n5;%s\r\nhello\r\n0\r\n\r\n",
                                     ext);
    assert_int_equal(client_once(*state, text, NULL), 400);
}

static void declared_digests_are_verified(void **state)
{
    static const struct {
        const char *headers;
        int status;
        const char *code;
    } cases[] = {
        {"Content-MD5: JfnnlDI7RTiF9RgfG2JNCw==", 200, "CRC64NVME=rosUhgp5mIg= 0"},
        {"Content-MD5: AAAAlDI7RTiF9RgfG2JNCw==", 400, "BadDigest"},
        {"Content-MD5: JfnnlDI7RTiF9RgfG2JNCw", 400, "InvalidDigest"},
        {"x-amz-checksum-crc32: y/Q5Jg==", 200, "CRC32=y/Q5Jg== 1"},
        {"x-amz-checksum-crc32: AAAAAA==", 400, "BadDigest"},
        {"x-amz-checksum-crc32: y/Q5", 400, "InvalidRequest"},
        {"x-amz-checksum-crc32c: 4waSgw==", 200, "CRC32C=4waSgw== 1"},
        {"x-amz-checksum-crc64nvme: rosUhgp5mIg=", 200, "CRC64NVME=rosUhgp5mIg= 1"},
        {"x-amz-checksum-sha1: 98O8HYCOBHMq32eZZczDTKeuNEE=", 200, "SHA1="},
        {"x-amz-checksum-sha256: FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=", 200, "SHA256="},
        {"x-amz-checksum-sha512: FeKw", 400, "InvalidRequest"},
        {"x-amz-checksum-crc32: y/Q5Jg==\r\nx-amz-checksum-crc32c: 4waSgw==", 400,
         "InvalidRequest"},
        {"x-amz-sdk-checksum-algorithm: CRC32", 400, "InvalidRequest"},
        {"x-amz-sdk-checksum-algorithm: CRC32\r\nx-amz-checksum-crc32c: 4waSgw==", 400,
         "InvalidRequest"},
        {"x-amz-sdk-checksum-algorithm: crc32\r\nx-amz-checksum-crc32: y/Q5Jg==", 200, "CRC32="},
        {"x-amz-content-sha256: 15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
         200, "CRC64NVME="},
        {"x-amz-content-sha256: 25e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
         400, "XAmzContentSHA256Mismatch"},
        {"x-amz-trailer: x-amz-checksum-crc32", 400, "InvalidRequest"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        auto_free char *text =
            xasprintf("PUT /b/echo HTTP/1.1\r\n" H "Content-Length: 9\r\n%s\r\n\r\n123456789",
                      cases[i].headers);
        auto_close int fd = client_open(*state);
        auto_buf struct buf head = {0};
        auto_buf struct buf body = {0};
        client_send(fd, text);
        int status = client_reply(fd, false, &head, &body);
        if (status != cases[i].status ||
            strstr(status == 200 ? head.data : body.data, cases[i].code) == NULL)
            fail_msg("case %zu: %d %s%s", i, status, head.data, body.data);
        if (status == 200)
            assert_non_null(strstr(head.data, "x-md5: 25f9e794323b453885f5181f1b624d0b"));
    }
}

#define TRAILER_PUT(more, length)                                                                  \
    "PUT /b/echo HTTP/1.1\r\n" H                                                                   \
    "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\r\n" more                            \
    "x-amz-decoded-content-length: " length "\r\nTransfer-Encoding: chunked\r\n\r\n"
#define ANNOUNCED "x-amz-trailer: x-amz-checksum-crc32\r\n"

static int put_trailer(struct fixture *f, const char *head, const char *body, size_t step,
                       struct buf *reply_head, struct buf *reply)
{
    auto_close int fd = client_open(f);
    client_send(fd, head);
    for (size_t i = 0; i < strlen(body); i += step) {
        size_t n = strlen(body + i) < step ? strlen(body + i) : step;
        auto_free char *chunk = xasprintf("%zx\r\n%.*s\r\n", n, (int)n, body + i);
        client_send(fd, chunk);
    }
    client_send(fd, "0\r\n\r\n");
    (void)shutdown(fd, SHUT_WR);
    return client_reply(fd, false, reply_head, reply);
}

static void an_unsigned_trailer_body_is_read_at_any_split(void **state)
{
    static const char body[] = "b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n";
    for (size_t step = 1; step <= sizeof(body); step++) {
        auto_buf struct buf head = {0};
        auto_buf struct buf reply = {0};
        assert_int_equal(
            put_trailer(*state, TRAILER_PUT(ANNOUNCED, "11"), body, step, &head, &reply), 200);
        assert_string_equal(reply.data, "hello world");
        assert_non_null(strstr(head.data, "x-sum: CRC32=DUoRhQ== 1"));
        assert_non_null(strstr(head.data, "x-length: 11"));
    }
}

static void trailer_bodies_must_be_exactly_as_announced(void **state)
{
    static const struct {
        const char *head, *body, *code;
    } cases[] = {
        {TRAILER_PUT(ANNOUNCED, "11"), "b\r\nhello world\r\n0\r\n\r\n", "MalformedTrailerError"},
        {TRAILER_PUT(ANNOUNCED, "11"),
         "b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", "BadDigest"},
        {TRAILER_PUT(ANNOUNCED, "11"), "b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n",
         "InvalidRequest"},
        {TRAILER_PUT(ANNOUNCED, "11"),
         "b\r\nhello world\r\n0\r\nx-amz-checksum-crc32c:4waSgw==\r\n\r\n",
         "MalformedTrailerError"},
        {TRAILER_PUT(ANNOUNCED, "10"),
         "b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n", "IncompleteBody"},
        {TRAILER_PUT(ANNOUNCED, "12"),
         "b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n", "IncompleteBody"},
        {TRAILER_PUT(ANNOUNCED, "-1"), "0\r\n\r\n", "InvalidArgument"},
        {TRAILER_PUT(ANNOUNCED, "11"), "b\r\nhello world\r\n", "IncompleteBody"},
        {TRAILER_PUT(ANNOUNCED, "11"),
         "b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\nGET", "BadRequest"},
        {TRAILER_PUT(ANNOUNCED, "11"),
         "00b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n",
         "InvalidChunkSizeError"},
        {TRAILER_PUT(ANNOUNCED, "11"),
         "b;x=y\r\nhello world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n",
         "InvalidChunkSizeError"},
        {TRAILER_PUT(ANNOUNCED, "11"), "fffffffffffffffff\r\nhello", "InvalidChunkSizeError"},
        {TRAILER_PUT(ANNOUNCED, "11"), "-b\r\nhello", "InvalidChunkSizeError"},
        {TRAILER_PUT("", "11"), "b\r\nhello world\r\n0\r\n\r\n", "MalformedTrailerError"},
        {TRAILER_PUT("x-amz-trailer: x-amz-meta-a\r\n", "11"), "0\r\n\r\n", "InvalidRequest"},
        {TRAILER_PUT("x-amz-trailer: x-amz-checksum-crc32,x-amz-checksum-sha1\r\n", "11"),
         "0\r\n\r\n", "InvalidRequest"},
        {TRAILER_PUT(ANNOUNCED "x-amz-checksum-crc32: DUoRhQ==\r\n", "11"), "0\r\n\r\n",
         "InvalidRequest"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        auto_buf struct buf reply = {0};
        int status = put_trailer(*state, cases[i].head, cases[i].body, 1000, NULL, &reply);
        if (status != 400 || strstr(reply.data, cases[i].code) == NULL)
            fail_msg("case %zu: %d %s", i, status, reply.data);
    }
}

static void a_decoded_length_is_needed(void **state)
{
    auto_buf struct buf body = {0};
    assert_int_equal(client_once(*state,
                                 "PUT /b/echo HTTP/1.1\r\n" H ANNOUNCED
                                 "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\r\n"
                                 "Content-Length: 5\r\n\r\n0\r\n\r\n",
                                 &body),
                     411);
    assert_non_null(strstr(body.data, "MissingContentLength"));
    assert_int_equal(client_once(*state,
                                 "PUT /b/echo HTTP/1.1\r\n" H
                                 "x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD\r\n"
                                 "x-amz-decoded-content-length: 1\r\nContent-Length: 5\r\n\r\n",
                                 NULL),
                     403);
}

static void a_cut_body_is_incomplete(void **state)
{
    auto_close int fd = client_open(*state);
    auto_buf struct buf body = {0};
    client_send(fd, "PUT /b/echo HTTP/1.1\r\n" H "Content-Length: 10\r\n\r\nhello");
    (void)shutdown(fd, SHUT_WR);
    assert_int_equal(client_reply(fd, false, NULL, &body), 400);
    assert_non_null(strstr(body.data, "<Code>IncompleteBody</Code>"));
}

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void a_signed_request_has_its_account(void **state)
{
    auto_free char *put =
        client_sign("PUT", "/b/echo", "Content-Length: 3\r\n",
                    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f2001"
                    "5ad",
                    NULL, NULL);
    auto_close int fd = client_open(*state);
    auto_buf struct buf head = {0};
    client_send(fd, put);
    client_send(fd, "abc");
    assert_int_equal(client_reply(fd, false, &head, NULL), 200);
    assert_non_null(strstr(head.data, "x-account: owner"));
    client_send(fd, put);
    client_send(fd, "abd");
    auto_buf struct buf body = {0};
    assert_int_equal(client_reply(fd, false, NULL, &body), 400);
    assert_non_null(strstr(body.data, "XAmzContentSHA256Mismatch"));
}

static void a_tampered_request_is_refused(void **state)
{
    auto_free char *get = client_sign("GET", "/b/k?versions", "", EMPTY, NULL, NULL);
    assert_int_equal(client_once(*state, get, NULL), 200);
    auto_free char *other = xstrdup(get);
    memcpy(strstr(other, "versions"), "tagging=", 8);
    auto_buf struct buf body = {0};
    assert_int_equal(client_once(*state, other, &body), 403);
    assert_non_null(strstr(body.data, "<Code>SignatureDoesNotMatch</Code>"));
    assert_null(strstr(body.data, "wJalr"));
    char *key = strstr(get, "AKIAIOSFODNN7EXAMPLE");
    key[0] = 'B';
    buf_reset(&body);
    assert_int_equal(client_once(*state, get, &body), 403);
    assert_non_null(strstr(body.data, "<Code>InvalidAccessKeyId</Code>"));
    auto_free char *wrong =
        client_sign("GET", "/b/k", "",
                    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", NULL, NULL);
    buf_reset(&body);
    assert_int_equal(client_once(*state, wrong, &body), 400);
    assert_non_null(strstr(body.data, "XAmzContentSHA256Mismatch"));
}

static void handlers_run_as_the_account(void **state)
{
    auto_free char *get = client_sign("GET", "/b/who", "", EMPTY, NULL, NULL);
    auto_buf struct buf body = {0};
    assert_int_equal(client_once(*state, get, &body), 200);
    assert_string_equal(body.data, "0 0");
    buf_reset(&body);
    assert_int_equal(client_once(*state, "GET /b/who HTTP/1.1\r\n" H "\r\n", &body), 200);
    assert_string_equal(body.data, "65534 65534");
}

static void headers_cannot_be_injected(void **state)
{
    auto_close int fd = client_open(*state);
    auto_buf struct buf head = {0};
    client_send(fd, "GET /b/inject HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(client_reply(fd, false, &head, NULL), 204);
    assert_non_null(strstr(head.data, "x-evil: a  x-other: b\r\n"));
    assert_null(strstr(head.data, "Content-Length"));
}

static void a_handler_without_a_reply_gives_500(void **state)
{
    assert_int_equal(client_once(*state, "GET /b/silent HTTP/1.1\r\n" H "\r\n", NULL), 500);
}

static void waiting_requests_stall_nobody(void **state)
{
    /* Two workers, three may wait: with three waiting, others are served and a fourth is told. */
    int waiting[3];
    for (int i = 0; i < 3; i++) {
        waiting[i] = client_open(*state);
        client_send(waiting[i], "GET /b/wait HTTP/1.1\r\n" H "\r\n");
        assert_int_equal(sem_wait(&entered), 0);
    }
    for (int i = 0; i < 20; i++)
        assert_int_equal(client_once(*state, "GET /b/x HTTP/1.1\r\n" H "\r\n", NULL), 200);
    assert_int_equal(client_once(*state, "GET /b/wait HTTP/1.1\r\n" H "\r\n", NULL), 503);
    for (int i = 0; i < 3; i++)
        (void)sem_post(&go_on);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(client_reply(waiting[i], false, NULL, NULL), 204);
        (void)close(waiting[i]);
    }
    for (int i = 0; i < 20; i++)
        assert_int_equal(client_once(*state, "GET /b/x HTTP/1.1\r\n" H "\r\n", NULL), 200);
}

static void a_slow_head_holds_no_worker(void **state)
{
    int slow[8];
    for (int i = 0; i < 8; i++) {
        slow[i] = client_open(*state);
        client_send(slow[i], "GET /b/x HTTP/1.1\r\nHo");
    }
    for (int i = 0; i < 5; i++)
        assert_int_equal(client_once(*state, "GET /b/x HTTP/1.1\r\n" H "\r\n", NULL), 200);
    for (int i = 0; i < 8; i++) {
        client_send(slow[i], "st: s3.example\r\n\r\n");
        assert_int_equal(client_reply(slow[i], false, NULL, NULL), 200);
        (void)close(slow[i]);
    }
}

static void idle_connections_make_room_for_new_ones(void **state)
{
    int fds[100];
    for (int i = 0; i < 100; i++) {
        fds[i] = client_open(*state);
        client_send(fds[i], "GET /b/x HTTP/1.1\r\n" H "\r\n");
        assert_int_equal(client_reply(fds[i], false, NULL, NULL), 200);
    }
    assert_true(client_closed(fds[0]));
    for (int i = 0; i < 100; i++)
        (void)close(fds[i]);
    assert_int_equal(client_once(*state, "GET /b/x HTTP/1.1\r\n" H "\r\n", NULL), 200);
}

static void idle_and_slow_connections_are_ended(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, handle, 2, 1, 8, 1);
    auto_close int idle = client_open(&f);
    auto_close int slow = client_open(&f);
    auto_close int stalled = client_open(&f);
    client_send(slow, "GET /b/x HTTP/1.1\r\nHo");
    client_send(stalled, "PUT /b/echo HTTP/1.1\r\n" H "Content-Length: 10\r\n\r\nhello");
    auto_buf struct buf body = {0};
    assert_int_equal(client_reply(stalled, false, NULL, &body), 400);
    assert_non_null(strstr(body.data, "<Code>RequestTimeout</Code>"));
    assert_true(client_closed(idle));
    assert_true(client_closed(slow));
    fixture_stop(&f);
}

static void *stop_later(void *arg)
{
    fixture_stop(arg);
    return NULL;
}

static void running_requests_end_before_the_server_does(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, handle, 2, 1, 8, 60);
    auto_close int fd = client_open(&f);
    auto_close int idle = client_open(&f);
    client_send(fd, "GET /b/wait HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(sem_wait(&entered), 0);
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, stop_later, &f), 0);
    (void)sem_post(&go_on);
    auto_buf struct buf head = {0};
    assert_int_equal(client_reply(fd, false, &head, NULL), 204);
    assert_int_equal(pthread_join(t, NULL), 0);
    assert_true(client_closed(idle));
}

#define T(name) cmocka_unit_test(name)

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        T(requests_share_a_connection),
        T(pipelined_requests_are_answered_in_order),
        T(a_virtual_host_names_the_bucket),
        T(files_are_sent_whole_and_in_part),
        T(a_file_that_ends_early_cuts_the_connection),
        T(an_answer_to_head_has_no_body),
        T(a_refused_body_is_not_asked_for),
        T(a_client_that_waits_to_send_nothing_is_answered_in_step),
        T(a_wanted_body_is_asked_for_once),
        T(an_unread_body_is_never_taken_for_a_request),
        T(refused_uploads_hold_no_worker),
        T(malformed_heads_are_refused_and_closed),
        T(long_heads_are_refused),
        T(malformed_chunks_are_refused),
        T(declared_digests_are_verified),
        T(an_unsigned_trailer_body_is_read_at_any_split),
        T(trailer_bodies_must_be_exactly_as_announced),
        T(a_decoded_length_is_needed),
        T(a_cut_body_is_incomplete),
        T(a_signed_request_has_its_account),
        T(a_tampered_request_is_refused),
        T(handlers_run_as_the_account),
        T(headers_cannot_be_injected),
        T(a_handler_without_a_reply_gives_500),
        T(waiting_requests_stall_nobody),
        T(a_slow_head_holds_no_worker),
        T(idle_connections_make_room_for_new_ones),
        T(idle_and_slow_connections_are_ended),
        T(running_requests_end_before_the_server_does),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
