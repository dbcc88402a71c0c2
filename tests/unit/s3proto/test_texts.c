/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "s3/http.h"
#include "s3/registry.h"
#include "s3/uri.h"
#include "codec/xml.h"

#include <errno.h>
#include <string.h>

static void a_target_is_decoded_exactly_once(void **state)
{
    (void)state;
    static const struct {
        const char *target, *bucket, *key, *canonical;
    } cases[] = {
        {"/", "", "", "/"},
        {"/b", "b", "", "/b"},
        {"/b/", "b", "", "/b/"},
        {"/b/k%2525", "b", "k%25", "/b/k%2525"},
        {"/b/%2e%2E/x", "b", "../x", "/b/../x"},
        {"/b//k", "b", "/k", "/b//k"},
        {"/b/a+b", "b", "a+b", "/b/a%2Bb"},
        {"/b/a%2fb", "b", "a/b", "/b/a%2Fb"},
        {"/b%2Fk", "b/k", "", "/b%2Fk"},
        {"/b/\xc3\xa9", "b", "\xc3\xa9", "/b/%C3%A9"},
        {"/b/%c3%a9~!*'()", "b", "\xc3\xa9~!*'()", "/b/%C3%A9~%21%2A%27%28%29"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct uri u;
        auto_buf struct buf b = {0};
        assert_int_equal(uri_parse(cases[i].target, "h", "", &u), 0);
        assert_string_equal(u.bucket, cases[i].bucket);
        assert_string_equal(u.key, cases[i].key);
        uri_canonical_path(&b, u.raw_path);
        assert_string_equal(b.data, cases[i].canonical);
        uri_fini(&u);
    }
}

static void a_query_is_canonical_in_encoded_order(void **state)
{
    (void)state;
    struct uri u;
    auto_buf struct buf b = {0};
    assert_int_equal(uri_parse("/?b=2&a%20=x+y&b=10&&acl&a-=%2f&X-Amz-Signature=z", "h", "", &u),
                     0);
    assert_int_equal(u.n_params, 6);
    uri_canonical_query(&b, u.params, u.n_params, "X-Amz-Signature");
    assert_string_equal(b.data, "a%20=x%20y&a-=%2F&acl=&b=10&b=2");
    uri_fini(&u);
}

static void broken_targets_are_refused(void **state)
{
    (void)state;
    static const char *const targets[] = {"/%", "/%4", "/b/%zz", "/b/%00", "/b?x=%00", "/b?%=1"};
    struct uri u;
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++)
        assert_int_equal(uri_parse(targets[i], "h", "", &u), S3_ERR_INVALID_URI);
    auto_buf struct buf many = {0};
    buf_adds(&many, "/b?");
    for (int i = 0; i <= URI_PARAMS_MAX; i++)
        buf_adds(&many, "a&");
    assert_int_equal(uri_parse(many.data, "h", "", &u), S3_ERR_INVALID_URI);
}

static void only_names_below_the_domain_are_virtual_hosts(void **state)
{
    (void)state;
    static const struct {
        const char *host, *bucket;
    } cases[] = {
        {"b.s3.example", "b"},     {"B.S3.Example:80", "b"}, {"s3.example", "x"},
        {"evils3.example", "x"},   {".s3.example", "x"},     {"a.b.s3.example", "a.b"},
        {"b.s3.example.com", "x"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct uri u;
        assert_int_equal(uri_parse("/x", cases[i].host, "s3.example", &u), 0);
        assert_string_equal(u.bucket, cases[i].bucket);
        uri_fini(&u);
    }
}

static void numbers_are_digits_only(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "+1", "-1", " 1", "1 ", "0x1", "9223372036854775808", "00000000000000000001"};
    int64_t v = 7;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(http_parse_number(bad[i], &v), -EINVAL);
    assert_int_equal(v, 7);
    assert_int_equal(http_parse_number("9223372036854775807", &v), 0);
    assert_true(v == INT64_MAX);
}

static int parse(const char *text, struct xml **x, struct err *err)
{
    return xml_parse(text, strlen(text), 50, S3_XML_NS, x, err);
}

static void xml_becomes_a_tree_with_or_without_the_namespace(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<D xmlns=\"" S3_XML_NS
        "\"><O><K>a &amp; b</K></O>"
        "<O><K>c&#13;</K></O><N> -5 </N></D>",
        "<D><O><K>a &amp; b</K></O><O><K>c&#13;</K></O><N> -5 </N></D>",
        "\xef\xbb\xbf<x:D xmlns:x=\"" S3_XML_NS "\"><x:O><x:K>a &amp; b</x:K></x:O><x:O><x:K>c&#13;"
        "</x:K></x:O><x:N> -5 </x:N></x:D>"};
    for (size_t i = 0; i < 3; i++) {
        auto_xml struct xml *x = NULL;
        struct err err = {0};
        assert_int_equal(parse(texts[i], &x, &err), 0);
        assert_true(xml_is(x, "D"));
        const struct xml *o = xml_child(x, "O");
        assert_string_equal(xml_text(o, "K"), "a & b");
        o = xml_again(o);
        assert_string_equal(xml_text(o, "K"), "c\r");
        assert_null(xml_again(o));
        int64_t v = 0;
        assert_int_equal(xml_int(x, "N", &v), 0);
        assert_int_equal(v, -5);
        assert_int_equal(xml_int(x, "M", &v), 1);
        assert_int_equal(xml_int(o, "K", &v), -EINVAL);
    }
}

static void hostile_xml_is_refused_with_its_place(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        " ",
        "text",
        "<a>",
        "<a></b>",
        "<a/><b/>",
        "<!DOCTYPE a><a/>",
        "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>",
        "<a>&x;</a>",
        "<a xmlns=\"urn:other\"/>",
        "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a/>",
        "<a>\xff\xfe</a>",
        "<a>\x01</a>",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct xml *x = NULL;
        struct err err = {0};
        assert_int_equal(parse(texts[i], &x, &err), -EINVAL);
        assert_null(x);
        assert_non_null(strstr(err.text, "line "));
    }
}

static void floods_of_xml_are_refused(void **state)
{
    (void)state;
    auto_buf struct buf deep = {0};
    auto_buf struct buf wide = {0};
    auto_buf struct buf attributes = {0};
    buf_adds(&wide, "<a>");
    buf_adds(&attributes, "<a");
    for (int i = 0; i < 60; i++) {
        buf_adds(&deep, "<a>");
        buf_adds(&wide, "<b/>");
        buf_addf(&attributes, " x%d='1'", i);
    }
    buf_adds(&wide, "</a>");
    buf_adds(&attributes, "/>");
    struct xml *x = NULL;
    struct err err = {0};
    assert_int_equal(parse(deep.data, &x, &err), -EINVAL);
    assert_non_null(strstr(err.text, "too deeply"));
    assert_int_equal(parse(wide.data, &x, &err), -EINVAL);
    assert_non_null(strstr(err.text, "too many elements"));
    assert_int_equal(parse(attributes.data, &x, &err), -EINVAL);
    assert_non_null(strstr(err.text, "too many attributes"));
    assert_null(x);
}

static void the_registry_knows_keys_and_leaves_out_nonsense(void **state)
{
    (void)state;
    auto_json cJSON *a = cJSON_Parse(
        "{\"generation\":3,\"accounts\":["
        "{\"name\":\"one\",\"uid\":1,\"gid\":2,\"access_key\":\"K1\",\"secret_key\":\"s1\","
        "\"access_key2\":\"K2\",\"secret_key2\":\"s2\",\"enabled\":true,\"new_buckets\":false},"
        "{\"name\":\"off\",\"uid\":1,\"gid\":2,\"access_key\":\"K3\",\"secret_key\":\"s3\","
        "\"enabled\":false},"
        "{\"name\":\"bad\",\"uid\":-1,\"gid\":2,\"access_key\":\"K4\",\"secret_key\":\"s4\"},"
        "{\"name\":\"bare\",\"uid\":1,\"gid\":2,\"access_key\":\"K5\",\"secret_key\":\"\"}]}");
    auto_json cJSON *b = cJSON_Parse(
        "{\"generation\":3,\"buckets\":["
        "{\"name\":\"z\",\"owner\":\"one\",\"path\":\"/z\",\"uid\":1,\"gid\":2,\"exported\":true},"
        "{\"name\":\"a\",\"owner\":\"one\",\"path\":\"/a\",\"uid\":1,\"gid\":2},"
        "{\"name\":\"r\",\"owner\":\"one\",\"path\":\"relative\",\"uid\":1,\"gid\":2}]}");
    struct s3_registry *r = s3_registry_new(NULL);
    struct s3_snapshot *empty = s3_registry_get(r);
    assert_false(s3_snapshot_loaded(empty));
    struct err err = {0};
    assert_int_equal(s3_registry_load(r, a, b, &err), 0);
    struct s3_snapshot *s = s3_registry_get(r);
    const char *secret = NULL;
    const struct s3_account *one = s3_snapshot_key(s, "K1", &secret);
    assert_string_equal(one->name, "one");
    assert_false(one->new_buckets);
    assert_string_equal(secret, "s1");
    assert_ptr_equal(s3_snapshot_key(s, "K2", &secret), one);
    assert_string_equal(secret, "s2");
    assert_null(s3_snapshot_key(s, "K3", &secret));
    assert_null(s3_snapshot_key(s, "K4", &secret));
    assert_null(s3_snapshot_key(s, "K5", &secret));
    assert_non_null(s3_snapshot_account(s, "off"));
    assert_null(s3_snapshot_account(s, "bad"));
    size_t n = 0;
    const struct s3_bucket *list = s3_snapshot_buckets(s, &n);
    assert_int_equal(n, 2);
    assert_string_equal(list[0].name, "a");
    assert_true(s3_snapshot_bucket(s, "z")->exported);
    assert_null(s3_snapshot_bucket(s, "r"));
    assert_int_equal(s3_registry_load(r, b, a, &err), -EINVAL);
    assert_null(s3_snapshot_key(empty, "K1", &secret)); /* a held snapshot never changes */
    s3_snapshot_unref(empty);
    s3_snapshot_unref(s);
    s3_registry_free(r);
}

static void every_error_has_a_code_a_status_and_a_message(void **state)
{
    (void)state;
    for (int e = S3_ERR_NONE + 1; e < S3_ERR_COUNT; e++) {
        int status = s3_error_status((enum s3_error)e);
        assert_true(status >= 400 && status <= 599);
        assert_true(strlen(s3_error_code((enum s3_error)e)) > 3);
        assert_true(strlen(s3_error_message((enum s3_error)e)) > 3);
        assert_string_not_equal(http_reason(status), "Status");
    }
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_target_is_decoded_exactly_once),
        cmocka_unit_test(a_query_is_canonical_in_encoded_order),
        cmocka_unit_test(broken_targets_are_refused),
        cmocka_unit_test(only_names_below_the_domain_are_virtual_hosts),
        cmocka_unit_test(numbers_are_digits_only),
        cmocka_unit_test(xml_becomes_a_tree_with_or_without_the_namespace),
        cmocka_unit_test(hostile_xml_is_refused_with_its_place),
        cmocka_unit_test(floods_of_xml_are_refused),
        cmocka_unit_test(the_registry_knows_keys_and_leaves_out_nonsense),
        cmocka_unit_test(every_error_has_a_code_a_status_and_a_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
