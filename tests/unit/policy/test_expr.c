/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/timefmt.h"
#include "policy/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "facts.h"

#define NOW "2026-11-22T12:00:00Z"

static int64_t ns_of(const char *iso)
{
    int64_t ns = 0;
    assert_int_equal(timefmt_parse_iso(iso, &ns), 0);
    return ns;
}

static struct statx_timestamp ts_of(const char *iso)
{
    int64_t ns = ns_of(iso);
    return (struct statx_timestamp){.tv_sec = ns / NS_PER_SEC,
                                    .tv_nsec = (uint32_t)(ns % NS_PER_SEC)};
}

/* A file with a bit of everything. */
static struct facts sample(void)
{
    struct facts f = {.path = "/srv/fs1/docs/report 1.pdf"};
    f.stx.stx_mask = STATX_BASIC_STATS | STATX_BTIME;
    f.stx.stx_mode = S_IFREG | 0640;
    f.stx.stx_ino = 48131;
    f.stx.stx_nlink = 2;
    f.stx.stx_uid = 1000;
    f.stx.stx_gid = 2222;
    f.stx.stx_size = 5000;
    f.stx.stx_blocks = 17; /* 9 KB */
    f.stx.stx_blksize = 4096;
    f.stx.stx_atime = ts_of("2026-10-01T08:30:15.250Z");
    f.stx.stx_mtime = ts_of("2026-11-20T23:59:59.123456Z");
    f.stx.stx_ctime = ts_of("2026-11-21T00:00:00Z");
    f.stx.stx_btime = ts_of("2024-02-29T00:00:00Z");
    f.xattrs[0] = (struct fact_xattr){"user.tag", "migrate", 0};
    f.xattrs[1] = (struct fact_xattr){"user.n", "42", 0};
    f.xattrs[2] = (struct fact_xattr){"user.bin", "\x00\x00\x01\x02\xff", 5};
    f.xattrs[3] = (struct fact_xattr){"user.exp", "2024-03-13T00:00:00Z", 0};
    f.xattrs[4] = (struct fact_xattr){"user.empty", "x", 0};
    f.state = POLICY_PREMIGRATED;
    return f;
}

/* The value of expr for the sample, as SHOW prints it; "NULL" for NULL. */
static char *value_of(const char *expr)
{
    static const char *const dirs[] = {"system"};
    struct policy_options opt = {.pools = dirs, .n_pools = 1};
    struct policy *p = NULL;
    struct err err = {0};
    struct facts f = sample();
    struct policy_object obj = facts_object(&f);
    struct policy_decision d;
    char *text = xasprintf("RULE LIST 'x' SHOW(CASE WHEN (%s) IS NULL THEN 'NULL' "
                           "ELSE VARCHAR(%s) END)",
                           expr, expr);
    int rc = policy_compile(text, strlen(text), &opt, &p, NULL, &err);
    if (rc < 0)
        fail_msg("%s: %s", text, err.text);
    struct policy_eval *ev = policy_eval_new(p, ns_of(NOW), NULL, 0);
    assert_int_equal(policy_eval_object(ev, &obj, POLICY_STAGE_ENGINE, false, &d), POLICY_DECIDED);
    assert_int_equal(d.n_hits, 1);
    char *out = xstrndup(d.hits[0].show, d.hits[0].show_len);
    policy_eval_free(ev);
    policy_free(p);
    free(text);
    return out;
}

struct expect {
    const char *expr;
    const char *value;
};

static void check_all(const struct expect *e, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char *got = value_of(e[i].expr);
        if (strcmp(got, e[i].value) != 0)
            fail_msg("%s gives %s, not %s", e[i].expr, got, e[i].value);
        free(got);
    }
}
#define CHECK(E) check_all(E, sizeof(E) / sizeof((E)[0]))

static void arithmetic_follows_precedence_and_truncates_integers(void **state)
{
    (void)state;
    static const struct expect e[] = {
        {"1 + 2 * 3", "7"},
        {"(1 + 2) * 3", "9"},
        {"2 ** 3 ** 1", "8"},
        {"-2 ** 2", "4"},
        {"7 / 2", "3"},
        {"-7 / 2", "-3"},
        {"7 % 4", "3"},
        {"7.0 / 2", "3.5"},
        {"1 / 0", "NULL"},
        {"1 % 0", "NULL"},
        {"1.5 + 1", "2.5"},
        {"9223372036854775807 + 1", "9.2233720368547758e+18"},
        {"'12' + 1", "13"},
        {"'12x' + 1", "NULL"},
        {"MOD(7, 4)", "3"},
        {"INTEGER(2.5)", "3"},
        {"INT(-2.5)", "-2"},
        {"INTEGER(KB_ALLOCATED / 4)", "2"},
        {"DECIMAL('1.25')", "1.25"},
        {"- (3)", "-3"},
        {"1 - -1", "2"},
        {"CAST('7' AS INTEGER) + CAST(2.6 AS INT)", "10"},
        {"CAST(12 AS VARCHAR) || 'x'", "12x"},
    };
    CHECK(e);
}

static void logic_is_three_valued(void **state)
{
    (void)state;
    static const struct expect e[] = {
        {"TRUE AND NULL", "NULL"},
        {"NULL AND TRUE", "NULL"},
        {"FALSE AND NULL", "FALSE"},
        {"NULL AND FALSE", "FALSE"},
        {"NULL AND NULL", "NULL"},
        {"TRUE OR NULL", "TRUE"},
        {"NULL OR TRUE", "TRUE"},
        {"FALSE OR NULL", "NULL"},
        {"NULL OR NULL", "NULL"},
        {"NOT NULL", "NULL"},
        {"NOT TRUE", "FALSE"},
        {"NOT TRUE OR TRUE", "TRUE"},
        {"1 = NULL", "NULL"},
        {"NULL IS NULL", "TRUE"},
        {"XATTR('user.absent') LIKE 'v'", "NULL"},
        {"NOT (XATTR('user.absent') LIKE 'v')", "NULL"},
        {"XATTR('user.absent') IS NOT NULL", "FALSE"},
        {"'a' || XATTR('user.absent')", "NULL"},
        {"REGEX(XATTR('user.absent'), 'x')", "NULL"},
        {"1 IN (2, NULL, 1)", "TRUE"},
        {"1 IN (2, NULL)", "NULL"},
        {"1 NOT IN (2, 3)", "TRUE"},
        {"NULL IN (1)", "NULL"},
        {"5 BETWEEN 1 AND 5", "TRUE"},
        {"5 NOT BETWEEN 1 AND 4 AND TRUE", "TRUE"},
        {"5 BETWEEN NULL AND 4", "FALSE"},
        {"5 BETWEEN NULL AND 6", "NULL"},
        {"CASE WHEN NULL THEN 1 WHEN TRUE THEN 2 END", "2"},
        {"CASE 3 WHEN 1 THEN 'a' WHEN 3 THEN 'b' ELSE 'c' END", "b"},
        {"CASE 4 WHEN 1 THEN 'a' END", "NULL"},
    };
    CHECK(e);
}

static void strings_compare_bytewise_and_numbers_by_value(void **state)
{
    (void)state;
    static const struct expect e[] = {
        {"'a' < 'b'", "TRUE"},  {"'B' < 'a'", "TRUE"},        {"'a' = 'A'", "FALSE"},
        {"'10' < '9'", "TRUE"}, {"'10' < 9", "FALSE"},        {"10 == 10.0", "TRUE"},
        {"1 <> 2", "TRUE"},     {"1 != 1", "FALSE"},          {"2 >= 2", "TRUE"},
        {"'it''s'", "it's"},    {"'a\\b'", "a\\b"},           {"'abc' = 'ab'", "FALSE"},
        {"'x' = 1", "NULL"},    {"1 || 'a' || 2.5", "1a2.5"}, {"CONCAT('a', 1)", "a1"},
    };
    CHECK(e);
}

static void like_matches_whole_strings_with_escape_and_utf8(void **state)
{
    (void)state;
    static const struct expect e[] = {
        {"NAME LIKE '%.pdf'", "TRUE"},
        {"NAME LIKE 'report'", "FALSE"},
        {"NAME LIKE 'report%'", "TRUE"},
        {"NAME LIKE '%port%'", "TRUE"},
        {"NAME LIKE 'r_port__.p%f'", "TRUE"},
        {"NAME NOT LIKE '%.PDF'", "TRUE"},
        {"PATH_NAME LIKE '/srv/%/docs/%'", "TRUE"},
        {"'a_b' LIKE 'a\\_b' ESCAPE '\\'", "TRUE"},
        {"'axb' LIKE 'a\\_b' ESCAPE '\\'", "FALSE"},
        {"'a%' LIKE 'a!%' ESCAPE '!'", "TRUE"},
        {"'a\\' LIKE 'a\\\\' ESCAPE '\\'", "TRUE"},
        {"'a\\b' LIKE 'a\\b'", "TRUE"},
        {"'\xc3\xa9' LIKE '_'", "TRUE"},
        {"'\xc3' LIKE '_'", "TRUE"},
        {"'\xc3\xa9' LIKE '__'", "FALSE"},
        {"'' LIKE ''", "TRUE"},
        {"'' LIKE '%'", "TRUE"},
        {"'abcabd' LIKE '%ab_'", "TRUE"},
        {"'aXbXc' LIKE 'a%X%c'", "TRUE"},
        {"'aaab' LIKE '%a%a%a%b'", "TRUE"},
        {"'aab' LIKE '%a%a%a%b'", "FALSE"},
        {"NOT NAME LIKE 'x' AND TRUE", "TRUE"},
        {"NAME LIKE '%' || '.pdf'", "TRUE"},
        {"'ab' LIKE 'a' || XATTR('user.absent')", "NULL"},
    };
    CHECK(e);
}

static void string_functions_do_as_documented(void **state)
{
    (void)state;
    static const struct expect e[] = {
        {"SUBSTR('abcdef', 2, 3)", "bcd"},
        {"SUBSTR('2024-03-13T00:00:00Z', 0, 10)", "2024-03-13"},
        {"SUBSTR('2024-03-13T01:02:03Z', 12, 8)", "01:02:03"},
        {"SUBSTR('abc', 9)", ""},
        {"SUBSTR('abc', 2)", "bc"},
        {"SUBSTR('abc', 2, -1)", ""},
        {"LENGTH('abc')", "3"},
        {"UPPER('aB\xc3\xa9')", "AB\xc3\xa9"},
        {"LOWER (NAME)", "report 1.pdf"},
        {"HEX('aZ')", "615A"},
        {"'<' || CHAR('ab', 4) || '>'", "<ab  >"},
        {"CHAR('abc', 2)", "ab"},
        {"VARCHAR('abc', 2)", "ab"},
        {"REGEX('abc', ['^[a-c]+$'])", "TRUE"},
        {"REGEX('xabcx', 'b')", "TRUE"},
        {"REGEX('abc', 'x')", "FALSE"},
        {"REGEX(SUBSTR('abc', 1, 2), 'b$')", "TRUE"},
        {"REGEX('abc', 'a' || '.')", "TRUE"},
        {"REGEXREPLACE('a-b-c', '-', '+')", "a+b+c"},
        {"REGEXREPLACE('key=val', '(.*)=(.*)', '\\2=\\1')", "val=key"},
    };
    CHECK(e);
}

static void dates_and_intervals_agree_in_all_styles(void **state)
{
    (void)state;
    static const struct expect e[] = {
        {"CURRENT_TIMESTAMP", "2026-11-22 12:00:00.000000"},
        {"CURRENT_DATE", "2026-11-22"},
        {"DAYOFWEEK(CURRENT_TIMESTAMP)", "1"},
        {"DAYOFYEAR(CURRENT_TIMESTAMP)", "326"},
        {"DAY(CURRENT_TIMESTAMP)", "22"},
        {"DAYS(CURRENT_TIMESTAMP) - DAYS(ACCESS_TIME)", "52"},
        {"DAYS('0001-01-01')", "1"},
        {"DAYSINMONTH('2024-02-10')", "29"},
        {"DAYSINYEAR('2023-02-10')", "365"},
        {"HOUR(ACCESS_TIME)", "8"},
        {"MINUTE(ACCESS_TIME)", "30"},
        {"SECOND(ACCESS_TIME)", "15"},
        {"MONTH('2024-12-31')", "12"},
        {"QUARTER('2024-10-01')", "4"},
        {"WEEK('2026-01-01')", "1"},
        {"WEEK('2026-01-04')", "2"},
        {"YEAR(CREATION_TIME)", "2024"},
        {"TIMESTAMP(0)", "1970-01-01 00:00:00.000000"},
        {"TIMESTAMP('2024-02-29 10:11:12.5')", "2024-02-29 10:11:12.500000"},
        {"TIMESTAMP('2024-02-29@10:11:12')", "2024-02-29 10:11:12.000000"},
        {"TIMESTAMP('2023-02-29')", "NULL"},
        {"TIMESTAMP('2024-01-01 25:00:00')", "NULL"},
        {"TIMESTAMP('2024-01-01 10:00')", "NULL"},
        {"TIMESTAMP('9999-12-31')", "9999-12-31 00:00:00.000000"},
        {"TIMESTAMP(CONCAT(CONCAT(SUBSTR(XATTR('user.exp'), 0, 10), ' '), "
         "SUBSTR(XATTR('user.exp'), 12, 8)))",
         "2024-03-13 00:00:00.000000"},
        {"CURRENT_TIMESTAMP - ACCESS_TIME > INTERVAL '30' DAYS", "TRUE"},
        {"CURRENT_TIMESTAMP - ACCESS_TIME > INTERVAL '53' DAYS", "FALSE"},
        {"CURRENT_TIMESTAMP - MODIFICATION_TIME >= INTERVAL '0' DAYS", "TRUE"},
        {"MODIFICATION_TIME < TIMESTAMP('2020-01-01')", "FALSE"},
        {"MODIFICATION_TIME < '2027-01-01'", "TRUE"},
        {"CURRENT_TIMESTAMP + INTERVAL '1' MONTH", "2026-12-22 12:00:00.000000"},
        {"TIMESTAMP('2024-01-31') + INTERVAL '1' MONTH", "2024-02-29 00:00:00.000000"},
        {"CURRENT_DATE - 1 DAY", "2026-11-21"},
        {"CURRENT_TIMESTAMP - INTERVAL '90' MINUTES", "2026-11-22 10:30:00.000000"},
        {"INTERVAL '2' HOURS = INTERVAL '120' MINUTES", "TRUE"},
        {"(MODIFICATION_TIME - TIMESTAMP(0)) SECONDS(12,6)", "1795219199.123456"},
        {"DECIMAL((MODIFICATION_TIME - TIMESTAMP(0)) SECONDS(12,6))", "1795219199.123456"},
        {"(MODIFICATION_TIME - TIMESTAMP(0)) SECONDS(12,0)", "1795219199"},
        {"(CURRENT_TIMESTAMP - ACCESS_TIME) DAYS", "52"},
        {"(CURRENT_TIMESTAMP - ACCESS_TIME) DAYS > 51", "TRUE"},
        {"CURRENT_TIMESTAMP - TIMESTAMP('2026-11-22')", "43200"},
        {"-(INTERVAL '3' DAYS) < INTERVAL '0' DAYS", "TRUE"},
        {"INTERVAL '3' DAYS * 2 = INTERVAL '6' DAYS", "TRUE"},
        {"INTERVAL '3' DAYS / 0 IS NULL", "TRUE"},
        {"INTERVAL '3' DAYS + INTERVAL '12' HOURS = INTERVAL '84' HOURS", "TRUE"},
        {"INTERVAL '1' DAY / INTERVAL '12' HOURS", "2"},
        {"INTERVAL '1' HOUR + CURRENT_TIMESTAMP", "2026-11-22 13:00:00.000000"},
        {"CURRENT_TIMESTAMP - '2026-11-22' = INTERVAL '12' HOURS", "TRUE"},
        {"2 * INTERVAL '1' DAY", "172800"},
        {"CASE WHEN FILE_SIZE > 1 THEN INTERVAL '1' DAY END + CURRENT_TIMESTAMP",
         "2026-11-23 12:00:00.000000"},
    };
    CHECK(e);
}

static void attributes_have_their_documented_values(void **state)
{
    (void)state;
    static const struct expect e[] = {
        {"NAME", "report 1.pdf"},    {"path_name", "/srv/fs1/docs/report 1.pdf"},
        {"FILE_SIZE", "5000"},       {"Kb_Allocated", "9"},
        {"MODE", "-rw-r-----"},      {"USER_ID", "1000"},
        {"USER_NAME", "1000"},       {"GROUP_ID == 2222", "TRUE"},
        {"INODE", "48131"},          {"NLINK", "2"},
        {"GENERATION", "0"},         {"POOL_NAME", "system"},
        {"FILESET_NAME", "root"},    {"MISC_ATTRIBUTES", "FAM"},
        {"EXPIRATION_TIME", "NULL"}, {"CLONE_PARENT_IS_SNAP", "NULL"},
        {"CLONE_DEPTH", "0"},        {"SNAP_NAME", ""},
        {"FILE_HEAT", "0"},          {"CHANGE_TIME", "2026-11-21 00:00:00.000000"},
        {"BLOCKSIZE", "4096"},
    };
    CHECK(e);
}

static void xattrs_are_text_slices_and_numbers(void **state)
{
    (void)state;
    static const struct expect e[] = {
        {"XATTR('user.tag')", "migrate"},
        {"xattr('user.tag', 2, 3)", "igr"},
        {"XATTR('user.' || 'tag')", "migrate"},
        {"XATTR_INTEGER('user.n')", "42"},
        {"XATTR_INTEGER('user.bin',3,2,'BIG_ENDIAN')", "258"},
        {"XATTR_INTEGER('user.bin',3,2,'LITTLE_ENDIAN_UNSIGNED')", "513"},
        {"XATTR_INTEGER('user.bin',5,1,'BIG_ENDIAN_SIGNED')", "-1"},
        {"XATTR_INTEGER('user.bin',5,1,'BIG_ENDIAN_UNSIGNED')", "255"},
        {"XATTR_INTEGER('user.absent',5,1,'BIG_ENDIAN')", "NULL"},
        {"HEX(XATTR('user.bin'))", "00000102FF"},
        {"XATTR_FLOAT('user.n')", "42"},
        {"GETXATTRS('user.t*')", "user.tag=6D696772617465,"},
        {"GETXATTRS('user.t*', 'k:\"v^n\";')", "user.tag:\"migrate\";"},
        {"GETXATTRS('none*')", ""},
        {"XATTR('user.n') + 1", "43"},
    };
    CHECK(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arithmetic_follows_precedence_and_truncates_integers),
        cmocka_unit_test(logic_is_three_valued),
        cmocka_unit_test(strings_compare_bytewise_and_numbers_by_value),
        cmocka_unit_test(like_matches_whole_strings_with_escape_and_utf8),
        cmocka_unit_test(string_functions_do_as_documented),
        cmocka_unit_test(dates_and_intervals_agree_in_all_styles),
        cmocka_unit_test(attributes_have_their_documented_values),
        cmocka_unit_test(xattrs_are_text_slices_and_numbers),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
