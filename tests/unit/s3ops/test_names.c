/* SPDX-License-Identifier: Apache-2.0 */
/* Pure rules: ETags, keys, conditions, checksums, the operation table. */
#include "unit.h"

#include "codec/digest.h"
#include "codec/encode.h"
#include "s3/class.h"
#include "s3/etag.h"
#include "s3/key.h"
#include "s3/ops.h"
#include "s3/ops_impl.h"
#include "s3/page.h"
#include "s3/sum.h"

static void expect_etag(int64_t ns, uint64_t ino, const char *want)
{
    struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    char got[S3_ETAG_MAX];
    etag_format(t, ino, got);
    assert_string_equal(got, want);
}

static void etag_is_the_one_that_noobaa_prints(void **state)
{
    (void)state;
    expect_etag(1709205769304336128, 4380, "mtime-czhivmmqljb4-ino-3do");
    expect_etag(1709205769304336255, 4380, "mtime-czhivmmqljb4-ino-3do");
    expect_etag(1709205769304336256, 4380, "mtime-czhivmmqlji8-ino-3do"); /* a tie, to even */
    expect_etag(1709205769304336512, 4380, "mtime-czhivmmqlji8-ino-3do");
    expect_etag(1795343378484790070, 1, "mtime-dn1o4205h728-ino-1");
    expect_etag(1700000000000000000, 35, "mtime-cwyvpelgpse8-ino-z");
}

static void etag_prints_inodes_beyond_doubles_exactly(void **state)
{
    (void)state;
    expect_etag(1700000000000000000, UINT64_MAX, "mtime-cwyvpelgpse8-ino-3w5e11264sgsf");
    expect_etag(1700000000000000000, (1ULL << 53) + 1, "mtime-cwyvpelgpse8-ino-2gosa7pa2gx");
}

static void etag_lists_match_with_and_without_quotes(void **state)
{
    (void)state;
    assert_true(etag_in_list("\"a-b\"", "a-b"));
    assert_true(etag_in_list("a-b", "a-b"));
    assert_true(etag_in_list("\"x\", W/\"a-b\"", "a-b"));
    assert_true(etag_in_list("*", "a-b"));
    assert_true(etag_in_list(" x , a-b ", "a-b"));
    assert_false(etag_in_list("\"a-bc\"", "a-b"));
    assert_false(etag_in_list("", "a-b"));
    assert_false(etag_in_list("\"", "a-b"));
    assert_true(etag_equal("\"a\"", "a"));
    assert_false(etag_equal("\"a", "a"));
}

static void key_refuses_what_a_path_cannot_hold(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        enum key_fault fault;
    } rows[] = {
        {"", KEY_EMPTY},
        {".", KEY_DOTS},
        {"..", KEY_DOTS},
        {"a/../b", KEY_DOTS},
        {"a/.", KEY_DOTS},
        {"../a", KEY_DOTS},
        {"/a", KEY_SLASHES},
        {"a//b", KEY_SLASHES},
        {"/", KEY_SLASHES},
        {"a//", KEY_SLASHES},
        {".firn-tmp", KEY_RESERVED},
        {"a/.firnx/b", KEY_RESERVED},
        {".noobaa-nsfs_1/x", KEY_RESERVED},
        {"a/.versions", KEY_RESERVED},
        {"a/.folder", KEY_RESERVED},
        {".versions/", KEY_RESERVED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(key_check(rows[i].key, strlen(rows[i].key)), rows[i].fault);
    assert_int_equal(key_check("a\0b", 3), KEY_NUL);
}

static void key_allows_what_only_looks_odd(void **state)
{
    (void)state;
    static const char *const good[] = {"a.b/",       "..a",        "a./b",  "a b",  "...",
                                       ".foldering", ".versionsx", "a\\b",  "a\nb", "-",
                                       "d/",         "x.firn",     "%2e%2e"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_int_equal(key_check(good[i], strlen(good[i])), KEY_OK);
}

static void key_lengths_end_at_255_and_1024(void **state)
{
    (void)state;
    char key[1100];
    memset(key, 'k', sizeof key);
    assert_int_equal(key_check(key, 255), KEY_OK);
    assert_int_equal(key_check(key, 256), KEY_COMPONENT);
    for (size_t i = 200; i < sizeof key; i += 201)
        key[i] = '/';
    assert_int_equal(key_check(key, 1024), KEY_OK);
    assert_int_equal(key_check(key, 1025), KEY_TOO_LONG);
}

static void bucket_names_follow_the_rules(void **state)
{
    (void)state;
    static const char *const bad[] = {"ab",   "A-b",     "-ab", "ab-", "a..b", "a.-b",
                                      "a-.b", "1.2.3.4", "a_b", "",    "../x", "a/b"};
    static const char *const good[] = {"abc", "a.b.c", "1.2.3.4.5", "test1", "a--b"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(key_bucket_valid(bad[i]));
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(key_bucket_valid(good[i]));
    char name[65];
    memset(name, 'a', sizeof name);
    name[63] = '\0';
    assert_true(key_bucket_valid(name));
    name[63] = 'a';
    name[64] = '\0';
    assert_false(key_bucket_valid(name));
}

static void upload_ids_have_one_form(void **state)
{
    (void)state;
    assert_true(key_upload_id_valid("0123456789abcdef0123456789abcdef"));
    assert_false(key_upload_id_valid("0123456789ABCDEF0123456789abcdef"));
    assert_false(key_upload_id_valid("../../../../../../../../../../etc"));
    assert_false(key_upload_id_valid(""));
    assert_false(key_upload_id_valid("0123456789abcdef0123456789abcdef0"));
}

static void utf8_is_checked_strictly(void **state)
{
    (void)state;
    assert_true(key_utf8_valid("a\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80", 10));
    assert_false(key_utf8_valid("\xc0\xaf", 2));         /* overlong "/" */
    assert_false(key_utf8_valid("\xe0\x80\xaf", 3));     /* overlong */
    assert_false(key_utf8_valid("\xed\xa0\x80", 3));     /* surrogate */
    assert_false(key_utf8_valid("\xf4\x90\x80\x80", 4)); /* beyond U+10FFFF */
    assert_false(key_utf8_valid("\xc3", 1));
    assert_int_equal(key_utf8_length("\xc3\xbc\xe2\x82\xac"), 2);
}

static void dates_are_read_in_all_three_http_forms(void **state)
{
    (void)state;
    int64_t t = 0;
    assert_int_equal(cond_parse_date("Sun, 06 Nov 1994 08:49:37 GMT", &t), 0);
    assert_int_equal(t, 784111777);
    assert_int_equal(cond_parse_date("Sunday, 06-Nov-94 08:49:37 GMT", &t), 0);
    assert_int_equal(t, 784111777);
    assert_int_equal(cond_parse_date("Sun Nov  6 08:49:37 1994", &t), 0);
    assert_int_equal(t, 784111777);
    assert_true(cond_parse_date("yesterday", &t) < 0);
}

static void write_conditions_name_their_failure(void **state)
{
    (void)state;
    struct cond_write none_any = {.none_match = "*"};
    struct cond_write match = {.match = "\"e\""};
    struct cond_write match_any = {.match = "*"};
    assert_int_equal(cond_write_check(&none_any, NULL), S3_ERR_NONE);
    assert_int_equal(cond_write_check(&none_any, "e"), S3_ERR_PRECONDITION_FAILED);
    assert_int_equal(cond_write_check(&match, "e"), S3_ERR_NONE);
    assert_int_equal(cond_write_check(&match, "f"), S3_ERR_PRECONDITION_FAILED);
    assert_int_equal(cond_write_check(&match, NULL), S3_ERR_NO_SUCH_KEY);
    assert_int_equal(cond_write_check(&match_any, NULL), S3_ERR_NO_SUCH_KEY);
    assert_int_equal(cond_write_check(&match_any, "e"), S3_ERR_NONE);
}

static void sum_of(enum digest_alg alg, const void *p, size_t n, char *out)
{
    uint8_t raw[DIGEST_MAX];
    encode_base64(raw, digest_of(alg, p, n, raw), out);
}

static void crcs_of_parts_combine_to_that_of_the_whole(void **state)
{
    (void)state;
    static const struct {
        enum s3_sum sum;
        enum digest_alg alg;
    } algs[] = {{S3_SUM_CRC32, DIGEST_CRC32},
                {S3_SUM_CRC32C, DIGEST_CRC32C},
                {S3_SUM_CRC64NVME, DIGEST_CRC64NVME}};
    uint8_t data[5000];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7 + i / 256);
    static const size_t cuts[] = {0, 1, 7, 4096, 4999, 5000};
    for (size_t a = 0; a < 3; a++) {
        for (size_t k = 0; k < sizeof cuts / sizeof cuts[0]; k++) {
            char left[S3_SUM_B64_MAX];
            char right[S3_SUM_B64_MAX];
            char whole[S3_SUM_B64_MAX];
            char got[S3_SUM_B64_MAX];
            sum_of(algs[a].alg, data, cuts[k], left);
            sum_of(algs[a].alg, data + cuts[k], sizeof data - cuts[k], right);
            sum_of(algs[a].alg, data, sizeof data, whole);
            assert_int_equal(
                sum_combine(algs[a].sum, left, right, (int64_t)(sizeof data - cuts[k]), got), 0);
            assert_string_equal(got, whole);
        }
    }
    char out[S3_SUM_B64_MAX];
    assert_true(sum_combine(S3_SUM_SHA1, "", "", 1, out) < 0);
    assert_true(sum_combine(S3_SUM_CRC32, "AAAA", "AAAAAA==", 1, out) < 0);
}

static void composite_is_the_digest_of_the_parts_digests(void **state)
{
    (void)state;
    char a[S3_SUM_B64_MAX];
    char b[S3_SUM_B64_MAX];
    char out[S3_SUM_B64_MAX + 8];
    sum_of(DIGEST_CRC32, "12345", 5, a);
    sum_of(DIGEST_CRC32, "6789", 4, b);
    struct sum_composite s;
    sum_composite_init(&s, S3_SUM_CRC32);
    assert_int_equal(sum_composite_add(&s, a), 0);
    assert_int_equal(sum_composite_add(&s, b), 0);
    assert_true(sum_composite_add(&s, "x") < 0);
    sum_composite_final(&s, out);
    sum_composite_fini(&s);
    assert_string_equal(out, "4zspdQ==-2");
}

static void common_prefixes_end_with_any_delimiter(void **state)
{
    (void)state;
    static const struct {
        const char *key, *prefix, *delimiter, *want;
    } rows[] = {{"a/b/c", "", "/", "a/"},     {"a/b/c", "a/", "/", "a/b/"},
                {"a/b/c", "a/b/", "/", NULL}, {"abxcdxe", "", "x", "abx"},
                {"abXYcd", "", "XY", "abXY"}, {"abc", "", "", NULL},
                {"a/b", "a", "/", "a/"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *got = page_common(rows[i].key, rows[i].prefix, rows[i].delimiter);
        if (rows[i].want == NULL)
            assert_null(got);
        else
            assert_string_equal(got, rows[i].want);
        free(got);
    }
}

static void storage_classes_are_a_closed_set(void **state)
{
    (void)state;
    assert_true(class_known("STANDARD") && class_known("GLACIER") && class_known("DEEP_ARCHIVE"));
    assert_false(class_known("standard") || class_known("") || class_known("FROZEN"));
    assert_string_equal(class_when_offline("STANDARD"), "GLACIER");
    assert_string_equal(class_when_offline("DEEP_ARCHIVE"), "DEEP_ARCHIVE");
}

static void no_two_rows_of_the_operation_table_are_the_same(void **state)
{
    (void)state;
    struct s3_op_row a;
    struct s3_op_row b;
    for (size_t i = 0; s3_op_row(i, &a); i++) {
        for (size_t k = i + 1; s3_op_row(k, &b); k++) {
            bool same = strcmp(a.method, b.method) == 0 && strcmp(a.level, b.level) == 0 &&
                        strcmp(a.sub, b.sub) == 0;
            if (same && strcmp(a.name, "UploadPartCopy") != 0)
                fail_msg("%s and %s", a.name, b.name);
        }
    }
    assert_false(s3_op_row(10000, &a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(etag_is_the_one_that_noobaa_prints),
        cmocka_unit_test(etag_prints_inodes_beyond_doubles_exactly),
        cmocka_unit_test(etag_lists_match_with_and_without_quotes),
        cmocka_unit_test(key_refuses_what_a_path_cannot_hold),
        cmocka_unit_test(key_allows_what_only_looks_odd),
        cmocka_unit_test(key_lengths_end_at_255_and_1024),
        cmocka_unit_test(bucket_names_follow_the_rules),
        cmocka_unit_test(upload_ids_have_one_form),
        cmocka_unit_test(utf8_is_checked_strictly),
        cmocka_unit_test(dates_are_read_in_all_three_http_forms),
        cmocka_unit_test(write_conditions_name_their_failure),
        cmocka_unit_test(crcs_of_parts_combine_to_that_of_the_whole),
        cmocka_unit_test(composite_is_the_digest_of_the_parts_digests),
        cmocka_unit_test(common_prefixes_end_with_any_delimiter),
        cmocka_unit_test(storage_classes_are_a_closed_set),
        cmocka_unit_test(no_two_rows_of_the_operation_table_are_the_same),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
