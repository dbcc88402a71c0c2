/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "s3/awschunk.h"
#include "s3/http.h"
#include "s3/sigv4.h"
#include "s3/uri.h"

#include <string.h>

/* The examples of the S3 API Reference ("Signature calculations for the Authorization header", "...
 * using query parameters", "Transferring payload in multiple chunks"), with their published keys.
 */
#define KEY    "AKIAIOSFODNN7EXAMPLE"
#define SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define EMPTY  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define CRED   "AWS4-HMAC-SHA256 Credential=" KEY "/20130524/us-east-1/s3/aws4_request,"
#define HOST   "Host: examplebucket.s3.amazonaws.com\r\n"
#define DATED  "x-amz-date: 20130524T000000Z\r\n"

/* One request text on its way through the parser and the check. */
struct run {
    char *text;
    struct http_head head;
    struct uri uri;
    struct sigv4 sig;
    struct s3_fail fail;
    int64_t now_ns;
    enum s3_error e;
};

static int64_t at(const char *iso)
{
    int64_t ns = 0;
    assert_int_equal(timefmt_parse_iso(iso, &ns), 0);
    return ns;
}

static void run_at(struct run *r, const char *text, const char *iso)
{
    static const char *const names[] = {"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"};
    memset(r, 0, sizeof(*r));
    r->text = xstrdup(text);
    size_t pos = 0;
    int len = http_head_scan(r->text, strlen(r->text), &pos);
    assert_true(len > 0);
    const char *why = NULL;
    r->e = http_head_parse(r->text, (size_t)len, &r->head, &why);
    if (r->e != S3_ERR_NONE)
        return;
    r->e = uri_parse(r->head.target, r->head.host, "s3.amazonaws.com", &r->uri);
    assert_int_equal(r->e, S3_ERR_NONE);
    struct sigv4_input in = {.method = names[r->head.method],
                             .raw_path = r->uri.raw_path,
                             .params = r->uri.params,
                             .n_params = r->uri.n_params,
                             .headers = r->head.headers,
                             .n_headers = r->head.n_headers,
                             .region = "us-east-1",
                             .now_ns = at(iso)};
    r->e = sigv4_parse(&in, &r->sig, &r->fail);
    if (r->e == S3_ERR_NONE && !r->sig.anonymous)
        r->e = sigv4_verify(&in, &r->sig, SECRET, NULL, &r->fail);
}

static void end(struct run *r)
{
    http_head_fini(&r->head);
    uri_fini(&r->uri);
    free(r->text);
}

static enum s3_error check_at(const char *text, const char *iso)
{
    struct run r;
    run_at(&r, text, iso);
    end(&r);
    return r.e;
}

static enum s3_error check(const char *text)
{
    return check_at(text, "2013-05-24T00:00:00");
}

#define GET_OBJECT(headers, signed, signature)                                                     \
    "GET /test.txt HTTP/1.1\r\n" HOST headers "Authorization: " CRED                               \
    "SignedHeaders=" signed ",Signature=" signature "\r\n\r\n"
#define RANGE_HEADERS "Range: bytes=0-9\r\nx-amz-content-sha256: " EMPTY "\r\n" DATED
#define RANGE_SIGNED  "host;range;x-amz-content-sha256;x-amz-date"
#define RANGE_SIG     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"

static void the_published_get_is_accepted(void **state)
{
    (void)state;
    struct run r;
    run_at(&r, GET_OBJECT(RANGE_HEADERS, RANGE_SIGNED, RANGE_SIG), "2013-05-24T00:00:00");
    assert_int_equal(r.e, S3_ERR_NONE);
    assert_string_equal(r.sig.access_key, KEY);
    assert_string_equal(r.uri.bucket, "examplebucket");
    assert_string_equal(r.uri.key, "test.txt");
    assert_true(r.uri.virtual_host);
    for (size_t i = 0; i < r.head.n_headers; i++)
        assert_int_equal(r.head.headers[i].is_signed,
                         strcmp(r.head.headers[i].name, "authorization") != 0);
    end(&r);
}

static void the_published_put_is_accepted(void **state)
{
    (void)state;
    assert_int_equal(
        check("PUT /test$file.text HTTP/1.1\r\n" HOST
              "Date: Fri, 24 May 2013 00:00:00 GMT\r\n" DATED
              "x-amz-storage-class: REDUCED_REDUNDANCY\r\n"
              "x-amz-content-sha256: "
              "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072\r\n"
              "Authorization: " CRED
              "SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class,"
              "Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
              "\r\n\r\n"),
        S3_ERR_NONE);
}

static void published_subresources_and_queries_are_accepted(void **state)
{
    (void)state;
    static const char rest[] =
        " HTTP/1.1\r\n" HOST DATED "x-amz-content-sha256: " EMPTY "\r\n"
        "Authorization: " CRED "SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature=";
    auto_free char *lifecycle = xasprintf(
        "GET /?lifecycle%sfea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543\r\n\r\n",
        rest);
    auto_free char *list = xasprintf("GET /?prefix=J&max-keys=2%s34b48302e7b5fa45bde8084f4b7868a86f"
                                     "0a534bc59db6670ed5711ef69dc6f7\r\n\r\n",
                                     rest);
    assert_int_equal(check(lifecycle), S3_ERR_NONE);
    assert_int_equal(check(list), S3_ERR_NONE);
}

#define PRESIGNED(expires, more, headers)                                                          \
    "GET /test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" KEY                         \
    "%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-"               \
    "Expires=" expires "&X-Amz-SignedHeaders=host&X-Amz-Signature="                                \
    "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404" more                        \
    " HTTP/1.1\r\n" HOST headers "\r\n"

static void the_published_presigned_url_is_accepted_while_it_lasts(void **state)
{
    (void)state;
    const char *url = PRESIGNED("86400", "", "");
    assert_int_equal(check(url), S3_ERR_NONE);
    assert_int_equal(check_at(url, "2013-05-25T00:00:00"), S3_ERR_NONE);
    assert_int_equal(check_at(url, "2013-05-25T00:00:01"), S3_ERR_ACCESS_DENIED);
    assert_int_equal(check_at(url, "2013-05-23T23:45:00"), S3_ERR_NONE);
    assert_int_equal(check_at(url, "2013-05-23T23:44:59"), S3_ERR_ACCESS_DENIED);
}

static void presigned_fields_are_checked_one_by_one(void **state)
{
    (void)state;
    assert_int_equal(check(PRESIGNED("86401", "", "")), S3_ERR_SIGNATURE_DOES_NOT_MATCH);
    assert_int_equal(check(PRESIGNED("0", "", "")), S3_ERR_SIGNATURE_DOES_NOT_MATCH);
    assert_int_equal(check(PRESIGNED("-1", "", "")), S3_ERR_AUTHORIZATION_QUERY_PARAMETERS_ERROR);
    assert_int_equal(check(PRESIGNED("604801", "", "")),
                     S3_ERR_AUTHORIZATION_QUERY_PARAMETERS_ERROR);
    assert_int_equal(check(PRESIGNED("18446744073709551616", "", "")),
                     S3_ERR_AUTHORIZATION_QUERY_PARAMETERS_ERROR);
    assert_int_equal(check(PRESIGNED("86400", "&tagging", "")), S3_ERR_SIGNATURE_DOES_NOT_MATCH);
    assert_int_equal(check(PRESIGNED("86400", "&X-Amz-Expires=86400", "")),
                     S3_ERR_AUTHORIZATION_QUERY_PARAMETERS_ERROR);
    assert_int_equal(check(PRESIGNED("86400", "&X-Amz-Security-Token=t", "")),
                     S3_ERR_INVALID_TOKEN);
    assert_int_equal(
        check("GET /test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256 HTTP/1.1\r\n" HOST "\r\n"),
        S3_ERR_AUTHORIZATION_QUERY_PARAMETERS_ERROR);
}

static void unsigned_amz_headers_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"x-amz-copy-source",   "x-amz-tagging", "x-amz-acl",
                                        "x-amz-storage-class", "x-amz-meta-a",  "x-amz-trailer"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        auto_free char *url =
            xasprintf("%.*s%s: v\r\n\r\n", (int)strlen(PRESIGNED("86400", "", "")) - 2,
                      PRESIGNED("86400", "", ""), names[i]);
        struct run r;
        run_at(&r, url, "2013-05-24T00:00:00");
        assert_int_equal(r.e, S3_ERR_ACCESS_DENIED);
        assert_int_equal(r.fail.n_elements, 1);
        assert_string_equal(r.fail.elements[0].name, "HeadersNotSigned");
        assert_string_equal(r.fail.elements[0].value, names[i]);
        end(&r);
    }
    assert_int_equal(
        check(GET_OBJECT(RANGE_HEADERS "x-amz-meta-a: b\r\n", RANGE_SIGNED, RANGE_SIG)),
        S3_ERR_ACCESS_DENIED);
    /* A presigned body's hash may come along, another framing may not. */
    assert_int_equal(check(PRESIGNED("86400", "", "x-amz-content-sha256: " EMPTY "\r\n")),
                     S3_ERR_NONE);
    assert_int_equal(check(PRESIGNED("86400", "",
                                     "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER"
                                     "\r\n")),
                     S3_ERR_ACCESS_DENIED);
}

#define WITH_AUTH(auth)                                                                            \
    "GET /test.txt HTTP/1.1\r\n" HOST RANGE_HEADERS "Authorization: " auth "\r\n\r\n"
#define AUTH(cred, names, sig)                                                                     \
    "AWS4-HMAC-SHA256 Credential=" cred ",SignedHeaders=" names ",Signature=" sig
#define GOOD_CRED KEY "/20130524/us-east-1/s3/aws4_request"

static void every_field_of_the_header_form_is_checked(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum s3_error want;
    } cases[] = {
        {WITH_AUTH(AUTH(GOOD_CRED, RANGE_SIGNED, RANGE_SIG)), S3_ERR_NONE},
        {WITH_AUTH("AWS4-HMAC-SHA256 Signature=" RANGE_SIG ", Credential=" GOOD_CRED
                   " , SignedHeaders=" RANGE_SIGNED),
         S3_ERR_NONE},
        {WITH_AUTH("AWS4-HMAC-SHA1 Credential=" GOOD_CRED), S3_ERR_INVALID_REQUEST},
        {WITH_AUTH("AWS " KEY ":c2ln"), S3_ERR_INVALID_REQUEST},
        {WITH_AUTH("AWS4-HMAC-SHA256"), S3_ERR_AUTHORIZATION_HEADER_MALFORMED},
        {WITH_AUTH("AWS4-HMAC-SHA256 Credential=" GOOD_CRED ",SignedHeaders=" RANGE_SIGNED),
         S3_ERR_AUTHORIZATION_HEADER_MALFORMED},
        {WITH_AUTH(AUTH(GOOD_CRED, RANGE_SIGNED, RANGE_SIG) ",Signature=" RANGE_SIG),
         S3_ERR_AUTHORIZATION_HEADER_MALFORMED},
        {WITH_AUTH(AUTH(GOOD_CRED, RANGE_SIGNED, RANGE_SIG) ",Extra=1"),
         S3_ERR_AUTHORIZATION_HEADER_MALFORMED},
        {WITH_AUTH(AUTH(KEY "/20130525/us-east-1/s3/aws4_request", RANGE_SIGNED, RANGE_SIG)),
         S3_ERR_AUTHORIZATION_HEADER_MALFORMED},
        {WITH_AUTH(AUTH(KEY "/2013-5-24/us-east-1/s3/aws4_request", RANGE_SIGNED, RANGE_SIG)),
         S3_ERR_AUTHORIZATION_HEADER_MALFORMED},
        {WITH_AUTH(AUTH(KEY "/20130524/us-west-1/s3/aws4_request", RANGE_SIGNED, RANGE_SIG)),
         S3_ERR_AUTHORIZATION_HEADER_MALFORMED},
        {WITH_AUTH(AUTH(KEY "/20130524/us-east-1/ec2/aws4_request", RANGE_SIGNED, RANGE_SIG)),
         S3_ERR_AUTHORIZATION_HEADER_MALFORMED},
        {WITH_AUTH(AUTH(KEY "/20130524/us-east-1/s3/aws3_request", RANGE_SIGNED, RANGE_SIG)),
         S3_ERR_AUTHORIZATION_HEADER_MALFORMED},
        {WITH_AUTH(AUTH(GOOD_CRED "/", RANGE_SIGNED, RANGE_SIG)),
         S3_ERR_AUTHORIZATION_HEADER_MALFORMED},
        {WITH_AUTH(AUTH("/20130524/us-east-1/s3/aws4_request", RANGE_SIGNED, RANGE_SIG)),
         S3_ERR_AUTHORIZATION_HEADER_MALFORMED},
        {WITH_AUTH(AUTH(GOOD_CRED, "range;x-amz-content-sha256;x-amz-date", RANGE_SIG)),
         S3_ERR_ACCESS_DENIED},
        {WITH_AUTH(AUTH(GOOD_CRED, "host;range;x-amz-content-sha256", RANGE_SIG)),
         S3_ERR_SIGNATURE_DOES_NOT_MATCH},
        {WITH_AUTH(AUTH(GOOD_CRED, "range;host;x-amz-content-sha256;x-amz-date", RANGE_SIG)),
         S3_ERR_AUTHORIZATION_HEADER_MALFORMED},
        {WITH_AUTH(AUTH(GOOD_CRED, "host;host;range", RANGE_SIG)),
         S3_ERR_AUTHORIZATION_HEADER_MALFORMED},
        {WITH_AUTH(AUTH(GOOD_CRED, "host;range;", RANGE_SIG)),
         S3_ERR_AUTHORIZATION_HEADER_MALFORMED},
        {WITH_AUTH(AUTH(GOOD_CRED, "host;range;x-amz-zzz", RANGE_SIG)),
         S3_ERR_SIGNATURE_DOES_NOT_MATCH},
        {WITH_AUTH(AUTH(GOOD_CRED, RANGE_SIGNED, "")), S3_ERR_AUTHORIZATION_HEADER_MALFORMED},
        {WITH_AUTH(AUTH(GOOD_CRED, RANGE_SIGNED, "f0e8")), S3_ERR_SIGNATURE_DOES_NOT_MATCH},
        {WITH_AUTH(AUTH(GOOD_CRED, RANGE_SIGNED,
                        "F0E8BDB87C964420E857BD35B5D6ED310BD44F0170ABA48DD91039C6036BDB41")),
         S3_ERR_SIGNATURE_DOES_NOT_MATCH},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum s3_error e = check(cases[i].text);
        if (e != cases[i].want)
            fail_msg("case %zu: %s instead of %s", i, s3_error_code(e),
                     s3_error_code(cases[i].want));
    }
}

static void a_wrong_region_names_the_right_one(void **state)
{
    (void)state;
    struct run r;
    run_at(&r, WITH_AUTH(AUTH(KEY "/20130524/eu-1/s3/aws4_request", RANGE_SIGNED, RANGE_SIG)),
           "2013-05-24T00:00:00");
    assert_int_equal(r.fail.n_elements, 1);
    assert_string_equal(r.fail.elements[0].name, "Region");
    assert_string_equal(r.fail.elements[0].value, "us-east-1");
    end(&r);
}

static void the_clock_may_differ_by_fifteen_minutes(void **state)
{
    (void)state;
    const char *text = WITH_AUTH(AUTH(GOOD_CRED, RANGE_SIGNED, RANGE_SIG));
    assert_int_equal(check_at(text, "2013-05-24T00:15:00"), S3_ERR_NONE);
    assert_int_equal(check_at(text, "2013-05-23T23:45:00"), S3_ERR_NONE);
    assert_int_equal(check_at(text, "2013-05-24T00:15:01"), S3_ERR_REQUEST_TIME_TOO_SKEWED);
    assert_int_equal(check_at(text, "2013-05-23T23:44:59"), S3_ERR_REQUEST_TIME_TOO_SKEWED);
}

static void two_authentications_are_refused(void **state)
{
    (void)state;
    assert_int_equal(
        check(PRESIGNED("86400", "", "Authorization: " AUTH(GOOD_CRED, "host", RANGE_SIG) "\r\n")),
        S3_ERR_INVALID_ARGUMENT);
    assert_int_equal(
        check(WITH_AUTH(AUTH(GOOD_CRED, RANGE_SIGNED, RANGE_SIG) "\r\nAuthorization: x")),
        S3_ERR_INVALID_ARGUMENT);
    assert_int_equal(check(PRESIGNED("86400", "&AWSAccessKeyId=a&Signature=b", "")),
                     S3_ERR_INVALID_ARGUMENT);
    assert_int_equal(
        check("GET /b/k?AWSAccessKeyId=a&Signature=b&Expires=1 HTTP/1.1\r\n" HOST "\r\n"),
        S3_ERR_INVALID_REQUEST);
}

static void dates_and_payload_fields_are_needed(void **state)
{
    (void)state;
    assert_int_equal(check("GET / HTTP/1.1\r\n" HOST DATED "Authorization: " CRED
                           "SignedHeaders=host;x-amz-date,Signature=" RANGE_SIG "\r\n\r\n"),
                     S3_ERR_INVALID_REQUEST);
    assert_int_equal(check("GET / HTTP/1.1\r\n" HOST "Authorization: " CRED
                           "SignedHeaders=host,Signature=" RANGE_SIG "\r\n\r\n"),
                     S3_ERR_ACCESS_DENIED);
    assert_int_equal(check("GET / HTTP/1.1\r\n" HOST
                           "Date: Fri, 24 May 2013 00:00:00 GMT\r\nAuthorization: " CRED
                           "SignedHeaders=host,Signature=" RANGE_SIG "\r\n\r\n"),
                     S3_ERR_ACCESS_DENIED);
    assert_int_equal(check(GET_OBJECT("x-amz-content-sha256: E3B0\r\n" DATED,
                                      "host;x-amz-content-sha256;x-amz-date", RANGE_SIG)),
                     S3_ERR_INVALID_REQUEST);
    assert_int_equal(
        check(GET_OBJECT("x-amz-content-sha256: STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD\r\n" DATED,
                         "host;x-amz-content-sha256;x-amz-date", RANGE_SIG)),
        S3_ERR_NOT_IMPLEMENTED);
}

static void the_key_cache_follows_a_changed_secret(void **state)
{
    (void)state;
    struct sigv4_cache *c = sigv4_cache_new();
    struct run r;
    const char *text = WITH_AUTH(AUTH(GOOD_CRED, RANGE_SIGNED, RANGE_SIG));
    run_at(&r, text, "2013-05-24T00:00:00");
    struct sigv4_input in = {.method = "GET",
                             .raw_path = r.uri.raw_path,
                             .headers = r.head.headers,
                             .n_headers = r.head.n_headers,
                             .region = "us-east-1",
                             .now_ns = at("2013-05-24T00:00:00")};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sigv4_verify(&in, &r.sig, SECRET, c, &r.fail), S3_ERR_NONE);
        assert_int_equal(sigv4_verify(&in, &r.sig, "another", c, &r.fail),
                         S3_ERR_SIGNATURE_DOES_NOT_MATCH);
    }
    end(&r);
    sigv4_cache_free(c);
}

/* ---- bodies ---- */

struct decoded {
    enum s3_error e;
    struct buf data;
    char trailer[128];
};

/* Feeds text in pieces of step bytes (the first one of first bytes). */
static void decode(struct decoded *d, enum s3_payload payload, const struct sigv4 *auth,
                   const char *trailer, const struct buf *text, size_t first, size_t step)
{
    struct awschunk a;
    awschunk_init(&a, payload, auth, trailer);
    memset(d, 0, sizeof(*d));
    enum decode_result last = DECODE_MORE;
    for (size_t i = 0; i < text->len && last <= DECODE_DATA;) {
        size_t n = i == 0 && first > 0 ? first : step;
        if (n > text->len - i)
            n = text->len - i;
        for (size_t off = 0; off < n && last <= DECODE_DATA;) {
            size_t used = 0, len = 0;
            const uint8_t *data = NULL;
            last = awschunk_feed(&a, (const uint8_t *)text->data + i + off, n - off, &used, &data,
                                 &len);
            if (last == DECODE_DATA)
                buf_add(&d->data, data, len);
            off += used;
        }
        i += n;
    }
    d->e = last == DECODE_END ? S3_ERR_NONE : last == DECODE_BAD ? a.error : S3_ERR_INCOMPLETE_BODY;
    memcpy(d->trailer, a.trailer_value, sizeof(d->trailer));
    awschunk_fini(&a);
}

/* The published signed upload: 66560 bytes of 'a' in chunks of 64 KiB and 1 KiB. */
static void build_signed(struct buf *b, const char *s1, const char *s2, const char *s3,
                         const char *tail)
{
    auto_free char *as = xzalloc(65537);
    memset(as, 'a', 65536);
    buf_addf(b, "10000;chunk-signature=%s\r\n%s\r\n", s1, as);
    buf_addf(b, "400;chunk-signature=%s\r\n%.1024s\r\n", s2, as);
    buf_addf(b, "0;chunk-signature=%s\r\n%s", s3, tail);
}

#define C1 "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"
#define C2 "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"
#define C3 "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"

static void open_signed_upload(struct run *r)
{
    run_at(r,
           "PUT /examplebucket/chunkObject.txt HTTP/1.1\r\nHost: s3.amazonaws.com\r\n" DATED
           "x-amz-storage-class: REDUCED_REDUNDANCY\r\n"
           "x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD\r\n"
           "Content-Encoding: aws-chunked\r\nx-amz-decoded-content-length: 66560\r\n"
           "Content-Length: 66824\r\nAuthorization: " CRED
           "SignedHeaders=content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;"
           "x-amz-decoded-content-length;x-amz-storage-class,Signature="
           "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9\r\n\r\n",
           "2013-05-24T00:00:00");
    assert_int_equal(r->e, S3_ERR_NONE);
    assert_int_equal(r->sig.payload, S3_PAYLOAD_STREAM);
}

static void the_published_signed_chunks_are_accepted(void **state)
{
    (void)state;
    struct run r;
    open_signed_upload(&r);
    auto_buf struct buf body = {0};
    build_signed(&body, C1, C2, C3, "\r\n");
    assert_int_equal(body.len, 66824);
    struct decoded d;
    static const size_t steps[] = {1, 2, 3, 7, 64, 87, 1000, 65536, 100000};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        decode(&d, S3_PAYLOAD_STREAM, &r.sig, NULL, &body, 0, steps[i]);
        assert_int_equal(d.e, S3_ERR_NONE);
        assert_int_equal(d.data.len, 66560);
        assert_int_equal(strspn(d.data.data, "a"), 66560);
        buf_fini(&d.data);
    }
    end(&r);
}

static void a_wrong_chunk_signature_is_refused(void **state)
{
    (void)state;
    static const char *const sets[][3] = {{C2, C2, C3}, {C1, C1, C3}, {C1, C2, C1}};
    struct run r;
    open_signed_upload(&r);
    for (size_t i = 0; i < 3; i++) {
        auto_buf struct buf body = {0};
        build_signed(&body, sets[i][0], sets[i][1], sets[i][2], "\r\n");
        struct decoded d;
        decode(&d, S3_PAYLOAD_STREAM, &r.sig, NULL, &body, 0, 4096);
        assert_int_equal(d.e, S3_ERR_SIGNATURE_DOES_NOT_MATCH);
        buf_fini(&d.data);
    }
    r.sig.signature[0] ^= 1; /* another seed */
    auto_buf struct buf body = {0};
    build_signed(&body, C1, C2, C3, "\r\n");
    struct decoded d;
    decode(&d, S3_PAYLOAD_STREAM, &r.sig, NULL, &body, 0, 4096);
    assert_int_equal(d.e, S3_ERR_SIGNATURE_DOES_NOT_MATCH);
    buf_fini(&d.data);
    end(&r);
}

#define T1 "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2"
#define T2 "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7"
#define T3 "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"
#define T4 "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"

static void open_trailer_upload(struct run *r)
{
    run_at(r,
           "PUT /examplebucket/chunkObject.txt HTTP/1.1\r\nHost: s3.amazonaws.com\r\n" DATED
           "x-amz-storage-class: REDUCED_REDUNDANCY\r\n"
           "x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER\r\n"
           "Content-Encoding: aws-chunked\r\nx-amz-decoded-content-length: 66560\r\n"
           "x-amz-trailer: x-amz-checksum-crc32c\r\nAuthorization: " CRED
           "SignedHeaders=content-encoding;host;x-amz-content-sha256;x-amz-date;"
           "x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer,Signature="
           "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e\r\n\r\n",
           "2013-05-24T00:00:00");
    assert_int_equal(r->e, S3_ERR_NONE);
}

static enum s3_error decode_trailer(const struct sigv4 *sig, const char *tail)
{
    auto_buf struct buf body = {0};
    build_signed(&body, T1, T2, T3, tail);
    struct decoded d;
    decode(&d, S3_PAYLOAD_STREAM_TRAILER, sig, "x-amz-checksum-crc32c", &body, 5, 777);
    if (d.e == S3_ERR_NONE)
        assert_string_equal(d.trailer, "sOO8/Q==");
    buf_fini(&d.data);
    return d.e;
}

static void the_published_signed_trailer_is_accepted(void **state)
{
    (void)state;
    struct run r;
    open_trailer_upload(&r);
    static const char sum[] = "x-amz-checksum-crc32c:sOO8/Q==";
    static const struct {
        const char *tail;
        enum s3_error want;
    } cases[] = {
        {"%s\r\nx-amz-trailer-signature:" T4 "\r\n\r\n", S3_ERR_NONE},
        {"%s\n\r\nx-amz-trailer-signature:" T4 "\r\n\r\n", S3_ERR_NONE},
        {"%s\r\n\r\n", S3_ERR_MALFORMED_TRAILER},
        {"%s\r\nx-amz-trailer-signature:" T1 "\r\n\r\n", S3_ERR_SIGNATURE_DOES_NOT_MATCH},
        {"%s\r\n%s\r\nx-amz-trailer-signature:" T4 "\r\n\r\n", S3_ERR_MALFORMED_TRAILER},
        {"x-amz-trailer-signature:" T4 "\r\n\r\n", S3_ERR_MALFORMED_TRAILER},
        {"%s\r\nx-amz-checksum-crc32:DUoRhQ==\r\nx-amz-trailer-signature:" T4 "\r\n\r\n",
         S3_ERR_MALFORMED_TRAILER},
        {"%s\r\nx-amz-trailer-signature:" T4 "\r\n", S3_ERR_INCOMPLETE_BODY},
        {"x-amz-checksum-crc32c:AAAAAA==\r\nx-amz-trailer-signature:" T4 "\r\n\r\n",
         S3_ERR_SIGNATURE_DOES_NOT_MATCH},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        auto_free char *tail = xasprintf(cases[i].tail, sum, sum);
        enum s3_error e = decode_trailer(&r.sig, tail);
        if (e != cases[i].want)
            fail_msg("case %zu: %s", i, s3_error_code(e));
    }
    end(&r);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_get_is_accepted),
        cmocka_unit_test(the_published_put_is_accepted),
        cmocka_unit_test(published_subresources_and_queries_are_accepted),
        cmocka_unit_test(the_published_presigned_url_is_accepted_while_it_lasts),
        cmocka_unit_test(presigned_fields_are_checked_one_by_one),
        cmocka_unit_test(unsigned_amz_headers_are_refused),
        cmocka_unit_test(every_field_of_the_header_form_is_checked),
        cmocka_unit_test(a_wrong_region_names_the_right_one),
        cmocka_unit_test(the_clock_may_differ_by_fifteen_minutes),
        cmocka_unit_test(two_authentications_are_refused),
        cmocka_unit_test(dates_and_payload_fields_are_needed),
        cmocka_unit_test(the_key_cache_follows_a_changed_secret),
        cmocka_unit_test(the_published_signed_chunks_are_accepted),
        cmocka_unit_test(a_wrong_chunk_signature_is_refused),
        cmocka_unit_test(the_published_signed_trailer_is_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
