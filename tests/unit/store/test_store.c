/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "store/store_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* The examples of the S3 API Reference, "Signature calculations for the Authorization header:
 * transferring payload in a single chunk", with their published key. */
static const struct creds_value example = {
    .access_key = (char[]){"AKIAIOSFODNN7EXAMPLE"},
    .secret_key = (char[]){"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}};

static void expect_signature(const char *method, const char *path, const char *query,
                             const char *payload, const struct store_field *fields, size_t n,
                             const char *headers, const char *signature)
{
    struct signer_input in = {.method = method,
                              .path = path,
                              .query = query,
                              .host = "examplebucket.s3.amazonaws.com",
                              .payload = payload,
                              .fields = fields,
                              .nfields = n,
                              .region = "us-east-1",
                              .now_ns = 1369353600 * NS_PER_SEC};
    auto_lines struct signer_lines lines = {.n = 0};
    struct signer_day day;
    struct err err = {0};
    signer_day_init(&day);
    in.day = &day;
    assert_int_equal(signer_headers(&in, &example, &lines, NULL, &err), 0);
    signer_lines_fini(&lines);
    lines = (struct signer_lines){.n = 0}; /* now with the key that was kept */
    assert_int_equal(signer_headers(&in, &example, &lines, NULL, &err), 0);
    signer_day_fini(&day);
    const struct curl_slist *last = lines.list;
    while (last->next != NULL)
        last = last->next;
    auto_free char *want = xasprintf(
        "Authorization: AWS4-HMAC-SHA256 "
        "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=%s, "
        "Signature=%s",
        headers, signature);
    assert_string_equal(last->data, want);
}

static void signatures_are_those_that_amazon_published(void **state)
{
    (void)state;
    struct store_field range[] = {{"range", "bytes=0-9"}};
    expect_signature("GET", "/test.txt", "", EMPTY, range, 1,
                     "host;range;x-amz-content-sha256;x-amz-date",
                     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    struct store_field put[] = {{"x-amz-storage-class", "REDUCED_REDUNDANCY"},
                                {"date", "Fri, 24 May 2013 00:00:00 GMT"}};
    expect_signature("PUT", "/test%24file.text", "",
                     "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072", put, 2,
                     "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
                     "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
    expect_signature("GET", "/", "lifecycle=", EMPTY, NULL, 0,
                     "host;x-amz-content-sha256;x-amz-date",
                     "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    expect_signature("GET", "/", "max-keys=2&prefix=J", EMPTY, NULL, 0,
                     "host;x-amz-content-sha256;x-amz-date",
                     "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

static void a_value_is_signed_with_single_blanks_and_sent_as_it_is(void **state)
{
    (void)state;
    struct store_field meta[] = {{"x-amz-meta-a", "b  c   d"}, {"x-amz-meta-empty", ""}};
    struct signer_input in = {.method = "PUT",
                              .path = "/k",
                              .query = "",
                              .host = "h",
                              .payload = EMPTY,
                              .fields = meta,
                              .nfields = 2,
                              .region = "r",
                              .unsigned_line = "Expect:"};
    auto_lines struct signer_lines lines = {.n = 0};
    auto_buf struct buf canonical = {0};
    bool sent = false, empty = false, more = false;
    assert_int_equal(signer_headers(&in, &example, &lines, &canonical, NULL), 0);
    for (const struct curl_slist *l = lines.list; l != NULL; l = l->next) {
        more = more || strcmp(l->data, "Expect:") == 0;
        sent = sent || strcmp(l->data, "x-amz-meta-a: b  c   d") == 0;
        empty = empty || strcmp(l->data, "x-amz-meta-empty;") == 0;
    }
    assert_true(sent && empty && more);
    assert_non_null(strstr(canonical.data, "\nx-amz-meta-a:b c d\nx-amz-meta-empty:\n\n"));
}

static void expect_target(const char *endpoint, enum store_style style, const char *bucket,
                          const char *key, const char *url, const char *host)
{
    struct endpoint e;
    auto_target struct target t = {0};
    struct err err = {0};
    assert_int_equal(endpoint_parse(endpoint, &e, &err), 0);
    assert_int_equal(target_make(&e, style, bucket, key, "", &t, &err), 0);
    assert_string_equal(t.url, url);
    assert_string_equal(t.host, host);
    endpoint_fini(&e);
}

static void the_bucket_goes_where_the_style_says(void **state)
{
    (void)state;
    const enum store_style any = STORE_STYLE_AUTO, virtual = STORE_STYLE_VIRTUAL;
    expect_target("http://127.0.0.1:9000", any, "b-1", "k", "http://127.0.0.1:9000/b-1/k",
                  "127.0.0.1:9000");
    expect_target("https://s3.amazonaws.com", any, "b-1", "k", "https://b-1.s3.amazonaws.com/k",
                  "b-1.s3.amazonaws.com");
    expect_target("https://s3.amazonaws.com:443/", any, "b.1", "k",
                  "https://s3.amazonaws.com/b.1/k", "s3.amazonaws.com");
    expect_target("https://s3.amazonaws.com", any, "b_1", "k", "https://s3.amazonaws.com/b_1/k",
                  "s3.amazonaws.com");
    expect_target("http://s3.example:80", virtual, "bucket", NULL, "http://bucket.s3.example/",
                  "bucket.s3.example");
    expect_target("http://[::1]:81", any, "bucket", "k", "http://[::1]:81/bucket/k", "[::1]:81");
    expect_target("http://h", any, NULL, NULL, "http://h/", "h");
}

static void keys_are_encoded_once_and_kept_as_they_are(void **state)
{
    (void)state;
    const enum store_style any = STORE_STYLE_AUTO;
    expect_target("http://h", any, "b_1", "a//b/../c%2F+ ~\xc3\xbc\x01",
                  "http://h/b_1/a//b/../c%252F%2B%20~%C3%BC%01", "h");
    expect_target("http://h", any, "b", "/?#&=", "http://h/b//%3F%23%26%3D", "h");
    auto_buf struct buf q = {0};
    query_add(&q, "marker", "a/b+c d");
    query_add(&q, "uploads", "");
    assert_string_equal(q.data, "marker=a%2Fb%2Bc%20d&uploads=");
}

static void names_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct endpoint e;
    struct target t;
    struct err err = {0};
    char key[STORE_KEY_MAX + 1];
    memset(key, 'k', sizeof(key));
    key[STORE_KEY_MAX] = '\0';
    assert_int_equal(endpoint_parse("http://h", &e, &err), 0);
    assert_int_equal(target_make(&e, STORE_STYLE_AUTO, "b", key, "", &t, &err), -ENAMETOOLONG);
    key[STORE_KEY_MAX - 1] = '\0';
    assert_int_equal(target_make(&e, STORE_STYLE_AUTO, "b", key, "", &t, &err), 0);
    target_fini(&t);
    assert_int_equal(target_make(&e, STORE_STYLE_AUTO, "b", "", "", &t, &err), -EINVAL);
    assert_int_equal(target_make(&e, STORE_STYLE_AUTO, "a/b", "k", "", &t, &err), -EINVAL);
    assert_int_equal(target_make(&e, STORE_STYLE_AUTO, "..", "k", "", &t, &err), -EINVAL);
    assert_int_equal(target_make(&e, STORE_STYLE_VIRTUAL, "a_b", "k", "", &t, &err), -EINVAL);
    endpoint_fini(&e);
    static const char *const bad[] = {"h",          "h:80",       "ftp://h",    "http://",
                                      "http://u@h", "http://h/p", "http://h?q", "http://h:99999",
                                      "://",        "http:// h"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(endpoint_parse(bad[i], &e, &err), -EINVAL);
        assert_non_null(strstr(err.text, bad[i]));
    }
}

static int parse(const char *text, const char *profile, struct creds_value *v, int64_t *expires,
                 struct err *err)
{
    return creds_parse(text, strlen(text), profile, v, expires, err);
}

static void a_profile_is_found_in_a_credentials_file(void **state)
{
    (void)state;
    static const char text[] =
        "# comment\r\n"
        "[default]\naws_access_key_id=A\naws_secret_access_key = b=c\n"
        "[ two ]\r\naws_access_key_id = T\r\n; x\naws_secret_access_key=s\r\n"
        "aws_session_token = tok\nregion = x\ns3 =\n  max = 1\n"
        "aws_expiration = 2030-01-02T03:04:05Z\n"
        "[profile three]\naws_access_key_id=3\naws_secret_access_key=s";
    int64_t expires = 0, want = 0;
    auto_creds_value struct creds_value v = {0};
    assert_int_equal(parse(text, "default", &v, &expires, NULL), 0);
    assert_string_equal(v.access_key, "A");
    assert_string_equal(v.secret_key, "b=c");
    assert_null(v.token);
    assert_int_equal(expires, 0);
    creds_value_fini(&v);
    assert_int_equal(parse(text, "two", &v, &expires, NULL), 0);
    assert_string_equal(v.access_key, "T");
    assert_string_equal(v.token, "tok");
    assert_int_equal(timefmt_parse_iso("2030-01-02T03:04:05Z", &want), 0);
    assert_true(expires == want);
    creds_value_fini(&v);
    assert_int_equal(parse(text, "three", &v, &expires, NULL), 0);
    assert_string_equal(v.access_key, "3");
}

static void a_wrong_credentials_file_is_refused_without_telling_its_secrets(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
        int rc;
    } cases[] = {
        {"", "no profile [x]", -ENOENT},
        {"[y]\naws_access_key_id=A\n", "no profile [x]", -ENOENT},
        {"[x]\naws_access_key_id=A\n", "no aws_secret_access_key", -EINVAL},
        {"[x]\naws_secret_access_key=SECRET\n", "no aws_access_key_id", -EINVAL},
        {"[x]\naws_access_key_id=A\naws_secret_access_key SECRET\n", "line 3", -EINVAL},
        {"[x\n", "line 1", -EINVAL},
        {"[x]\naws_access_key_id=A\naws_secret_access_key=SECRET\naws_expiration=soon\n", "line 4",
         -EINVAL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct creds_value v = {0};
        int64_t expires = 0;
        struct err err = {0};
        assert_int_equal(parse(cases[i].text, "x", &v, &expires, &err), cases[i].rc);
        assert_non_null(strstr(err.text, cases[i].says));
        assert_null(strstr(err.text, "SECRET"));
        assert_null(v.access_key);
    }
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(io_write_full(fd, text, strlen(text)), 0);
    assert_int_equal(close(fd), 0);
}

static void refused_credentials_are_renewed_from_the_file_once_it_changed(void **state)
{
    (void)state;
    char path[] = "/tmp/firn-creds-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    write_file(path, "[default]\naws_access_key_id=ONE\naws_secret_access_key=s\n");
    struct store_config config = {.credentials_file = path};
    struct creds *c = NULL;
    struct err err = {0};
    auto_creds_value struct creds_value v = {0}, w = {0};
    assert_int_equal(creds_open(&config, &c, &err), 0);
    assert_int_equal(creds_get(c, &v, &err), 0);
    assert_string_equal(v.access_key, "ONE");
    assert_false(creds_renew(c, v.generation));
    write_file(path, "half written");
    assert_false(creds_renew(c, v.generation));
    write_file(path, "[default]\naws_access_key_id=TWO\naws_secret_access_key=s\n");
    assert_true(creds_renew(c, v.generation));
    assert_true(creds_renew(c, v.generation)); /* another call has read it already */
    assert_int_equal(creds_get(c, &w, &err), 0);
    assert_string_equal(w.access_key, "TWO");
    assert_true(w.generation > v.generation);
    creds_close(c);
    assert_int_equal(unlink(path), 0);
}

static void a_changed_credentials_file_is_noticed_without_a_refusal(void **state)
{
    (void)state;
    char path[] = "/tmp/firn-creds-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    write_file(path, "[p]\naws_access_key_id=ONE\naws_secret_access_key=s\n");
    struct store_config config = {.credentials_file = path, .profile = "p"};
    struct creds *c = NULL;
    struct err err = {0};
    assert_int_equal(creds_open(&config, &c, &err), 0);
    write_file(path, "[p]\naws_access_key_id=NUMBERTWO\naws_secret_access_key=s\n");
    bool seen = false;
    for (int64_t end = time_mono_ns() + 10 * NS_PER_SEC; !seen && time_mono_ns() < end;) {
        auto_creds_value struct creds_value v = {0};
        assert_int_equal(creds_get(c, &v, &err), 0);
        seen = strcmp(v.access_key, "NUMBERTWO") == 0;
        (void)usleep(20000);
    }
    assert_true(seen);
    creds_close(c);
    assert_int_equal(unlink(path), 0);
}

static void what_passes_is_told_from_what_is_definite(void **state)
{
    (void)state;
    static const struct {
        const char *code;
        int status;
        enum verdict_class class;
        int rc;
    } cases[] = {
        {"SlowDown", 503, VERDICT_RETRY, -EAGAIN},
        {"InternalError", 500, VERDICT_RETRY, -EIO},
        {"InternalError", 200, VERDICT_RETRY, -EIO},
        {"RequestTimeout", 400, VERDICT_RETRY, -ETIMEDOUT},
        {"", 502, VERDICT_RETRY, -EIO},
        {"", 504, VERDICT_RETRY, -ETIMEDOUT},
        {"", 429, VERDICT_RETRY, -EAGAIN},
        {"", 599, VERDICT_RETRY, -EIO},
        {"BadDigest", 400, VERDICT_RETRY, -EBADMSG},
        {"RequestTimeTooSkewed", 403, VERDICT_SKEW, -ETIME},
        {"ExpiredToken", 400, VERDICT_CREDS, -EACCES},
        {"InvalidAccessKeyId", 403, VERDICT_CREDS, -EACCES},
        {"AccessDenied", 403, VERDICT_FAIL, -EACCES},
        {"", 403, VERDICT_FAIL, -EACCES},
        {"NoSuchKey", 404, VERDICT_ABSENT, -ENOENT},
        {"NoSuchBucket", 404, VERDICT_ABSENT, -ENOENT},
        {"", 404, VERDICT_FAIL, -EPROTO},
        {"NoSuchLifecycleConfiguration", 404, VERDICT_FAIL, -ENOENT},
        {"QuotaExceeded", 403, VERDICT_FAIL, -ENOSPC},
        {"", 507, VERDICT_FAIL, -ENOSPC},
        {"", 501, VERDICT_FAIL, -ENOTSUP},
        {"InvalidObjectState", 403, VERDICT_ARCHIVED, -EBUSY},
        {"PermanentRedirect", 301, VERDICT_REGION, -EREMOTE},
        {"", 307, VERDICT_REGION, -EREMOTE},
        {"Unheard", 400, VERDICT_FAIL, -EINVAL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct verdict v = verdict_of_code(cases[i].code, cases[i].status);
        assert_int_equal(v.class, cases[i].class);
        assert_int_equal(v.code, cases[i].rc);
        assert_true(v.code < 0 && v.code >= -126); /* the copytool passes it on */
    }
    assert_int_equal(verdict_of_curl(CURLE_COULDNT_CONNECT).class, VERDICT_RETRY);
    assert_int_equal(verdict_of_curl(CURLE_PARTIAL_FILE).class, VERDICT_RETRY);
    assert_int_equal(verdict_of_curl(CURLE_PEER_FAILED_VERIFICATION).class, VERDICT_FAIL);
    assert_int_equal(verdict_of_curl(CURLE_FTP_WEIRD_PASS_REPLY).class, VERDICT_RETRY);
}

static void take(struct head *h, const char *const *lines, size_t n)
{
    for (size_t i = 0; i < n; i++)
        head_line(h, lines[i], strlen(lines[i]));
    head_end(h);
}

static void a_head_becomes_a_reply(void **state)
{
    (void)state;
    static const char *const lines[] = {"HTTP/1.1 100 Continue\r\n",
                                        "\r\n",
                                        "HTTP/1.1 200 OK\r\n",
                                        "ETag: \"AA\"\r\n",
                                        "Content-Length: 5\r\n",
                                        "Last-Modified: Fri, 24 May 2013 00:00:00 GMT\r\n",
                                        "X-Amz-Meta-Zebra: z \r\n",
                                        "x-amz-meta-Apple:a\r\n",
                                        "x-amz-checksum-crc64nvme: c==\r\n",
                                        "x-amz-storage-class: GLACIER\r\n",
                                        "Content-Range: bytes 5-9/20\r\n",
                                        "no colon\r\n"};
    struct head h = {0};
    take(&h, lines, sizeof(lines) / sizeof(lines[0]));
    const struct store_reply *r = &h.reply;
    assert_true(h.saw_continue);
    assert_null(h.bad);
    assert_int_equal(r->status, 200);
    assert_string_equal(r->etag, "AA");
    assert_false(r->etag_is_md5);
    assert_int_equal(r->size, 5);
    assert_true(r->modified_ns == 1369353600 * NS_PER_SEC);
    assert_int_equal(r->nmeta, 2);
    assert_string_equal(r->meta[0].name, "apple");
    assert_string_equal(store_reply_meta(r, "zebra"), "z");
    assert_null(store_reply_meta(r, "none"));
    assert_string_equal(r->crc64nvme, "c==");
    assert_string_equal(r->storage_class, "GLACIER");
    assert_true(h.has_range && h.range_from == 5 && h.range_to == 9 && h.range_of == 20);
    head_fini(&h);
}

static void a_date_is_read_in_each_form_and_nothing_else_is_one(void **state)
{
    static const struct {
        const char *line;
        int64_t seconds;
    } cases[] = {{"Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 784111777},
                 {"Last-Modified: Sunday, 06-Nov-94 08:49:37 GMT\r\n", 784111777},
                 {"Last-Modified: Sun Nov  6 08:49:37 1994\r\n", 784111777},
                 {"Last-Modified: Thu, 29 Feb 2024 23:59:59 GMT\r\n", 1709251199},
                 {"Last-Modified: Sun, 06 anF 1994 08:49:37 GMT\r\n", 0},
                 {"Last-Modified: Sun, 06 Nov 1994 25:49:37 GMT\r\n", 0},
                 {"Last-Modified: yesterday\r\n", 0}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct head h = {0};
        const char *const lines[] = {"HTTP/1.1 200 OK\r\n", cases[i].line};
        take(&h, lines, 2);
        assert_int_equal(h.reply.modified_ns / NS_PER_SEC, cases[i].seconds);
        head_fini(&h);
    }
}

static void an_etag_is_an_md5_only_without_encryption(void **state)
{
    (void)state;
    static const char etag[] = "ETag: \"900150983cd24fb0d6963f7d28e17f72\"\r\n";
    static const struct {
        const char *more, *etag;
        bool md5;
    } cases[] = {
        {"X: y\r\n", etag, true},
        {"x-amz-server-side-encryption: AES256\r\n", etag, true},
        {"x-amz-server-side-encryption: aws:kms\r\n", etag, false},
        {"x-amz-server-side-encryption-customer-algorithm: AES256\r\n", etag, false},
        {"X: y\r\n", "ETag: W/\"900150983cd24fb0d6963f7d28e17f72\"\r\n", false},
        {"X: y\r\n", "ETag: \"900150983cd24fb0d6963f7d28e17f72-3\"\r\n", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct head h = {0};
        const char *const lines[] = {"HTTP/1.1 200 OK\r\n", cases[i].etag, cases[i].more};
        take(&h, lines, 3);
        assert_int_equal(h.reply.etag_is_md5, cases[i].md5);
        head_fini(&h);
    }
}

static void heads_that_make_no_sense_are_marked(void **state)
{
    (void)state;
    static const char *const bad[] = {"Content-Length: -1\r\n", "Content-Length: 5x\r\n",
                                      "Content-Length: 99999999999999999999\r\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct head h = {0};
        const char *const lines[] = {"HTTP/1.1 200 OK\r\n", bad[i]};
        take(&h, lines, 2);
        assert_non_null(h.bad);
        head_fini(&h);
    }
    static const char *const ranges[] = {"bytes 1-0/5", "bytes 0-5/5",  "bytes */5",
                                         "items 0-1/5", "bytes 0-1/5x", "bytes 0-1",
                                         "bytes -1-1/5"};
    int64_t a, b, c;
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
        assert_int_equal(head_parse_range(ranges[i], &a, &b, &c), -EINVAL);
    assert_int_equal(head_parse_range("bytes 0-1/*", &a, &b, &c), 0);
    assert_true(a == 0 && b == 1 && c == -1);
}

static void errors_are_read_out_of_documents_and_made_printable(void **state)
{
    (void)state;
    struct error_doc e;
    static const char doc[] =
        "<?xml version=\"1.0\"?>\n<Error><Code>A</Code><Message>x\ny</Message>"
        "<Region>r</Region></Error>";
    assert_true(error_doc_parse(doc, sizeof(doc) - 1, &e));
    assert_string_equal(e.code, "A");
    assert_string_equal(e.message, "x?y");
    assert_string_equal(e.region, "r");
    static const char *const none[] = {"", "<html><Error><Code>A</Code></Error></html>", "<Error/>",
                                       "<Error><Code>A</Code>", "Error"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        assert_false(error_doc_parse(none[i], strlen(none[i]), &e));
    char cut[6];
    text_printable(cut, sizeof(cut), "abcd\xc3\xbc");
    assert_string_equal(cut, "abcd");
}

static int count_item(void *arg, const struct store_item *item, struct err *err)
{
    (void)item, (void)err;
    (*(int *)arg)++;
    return 0;
}

static void a_list_whose_keys_do_not_rise_is_refused(void **state)
{
    (void)state;
    static const char one[] = "<Contents><Key>a</Key><Size>1</Size></Contents>";
    static const char two[] = "<Contents><Key>b</Key><Size>1</Size></Contents>";
    struct err err = {0};
    int seen = 0;
    auto_free char *good = xasprintf("<ListBucketResult>%s%s%s</ListBucketResult>", one, one, two);
    auto_free char *bad = xasprintf("<ListBucketResult>%s%s</ListBucketResult>", two, one);
    assert_int_equal(list_read_page("", false, good, strlen(good), count_item, &seen, &err), 0);
    assert_int_equal(seen, 2);
    assert_int_equal(list_read_page("", false, bad, strlen(bad), count_item, &seen, &err), -EPROTO);
    assert_non_null(strstr(err.text, "comes too late"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signatures_are_those_that_amazon_published),
        cmocka_unit_test(a_value_is_signed_with_single_blanks_and_sent_as_it_is),
        cmocka_unit_test(the_bucket_goes_where_the_style_says),
        cmocka_unit_test(keys_are_encoded_once_and_kept_as_they_are),
        cmocka_unit_test(names_that_cannot_be_are_refused),
        cmocka_unit_test(a_profile_is_found_in_a_credentials_file),
        cmocka_unit_test(a_wrong_credentials_file_is_refused_without_telling_its_secrets),
        cmocka_unit_test(refused_credentials_are_renewed_from_the_file_once_it_changed),
        cmocka_unit_test(a_changed_credentials_file_is_noticed_without_a_refusal),
        cmocka_unit_test(what_passes_is_told_from_what_is_definite),
        cmocka_unit_test(a_head_becomes_a_reply),
        cmocka_unit_test(a_date_is_read_in_each_form_and_nothing_else_is_one),
        cmocka_unit_test(an_etag_is_an_md5_only_without_encryption),
        cmocka_unit_test(heads_that_make_no_sense_are_marked),
        cmocka_unit_test(errors_are_read_out_of_documents_and_made_printable),
        cmocka_unit_test(a_list_whose_keys_do_not_rise_is_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
