/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "policy/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const pools[] = {"system", "fast", "slow"};

static struct policy *compile(const char *text, const struct policy_macro *macros, size_t n)
{
    struct policy_options opt = {
        .file = "t.policy", .macros = macros, .n_macros = n, .pools = pools, .n_pools = 3};
    struct policy *p = NULL;
    struct err err = {0};
    if (policy_compile(text, strlen(text), &opt, &p, NULL, &err) < 0)
        fail_msg("%s", err.text);
    return p;
}

static bool has_warning(const struct policy *p, const char *part)
{
    for (size_t i = 0; policy_warning(p, i) != NULL; i++)
        if (strstr(policy_warning(p, i), part) != NULL)
            return true;
    return false;
}

/* ---- the documents' policies ---- */

static void the_two_policies_of_the_tape_document_compile_unchanged(void **state)
{
    (void)state;
    struct policy *p = NULL;
    struct err err = {0};
    if (policy_compile_file(DATA "/mig-tagged.policy", NULL, &p, NULL, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(policy_n_rules(p), 1);
    const struct policy_rule *r = policy_rule(p, 0);
    assert_string_equal(r->name, "mig");
    assert_string_equal(r->from_pool, "system");
    assert_string_equal(r->to_external->exec, "/opt/ibm/ltfsee/bin/eeadm");
    assert_string_equal(r->to_external->opts, "-p pool1@lib1");
    assert_null(r->from_external);
    assert_string_equal(r->summary,
                        "RULE 'mig' MIGRATE FROM POOL 'system' TO POOL 'ltfs' WHERE(.)");
    assert_null(policy_warning(p, 0));
    policy_free(p);
    assert_int_equal(policy_compile_file(DATA "/rec-tagged.policy", NULL, &p, NULL, &err), 0);
    r = policy_rule(p, 0);
    assert_string_equal(r->from_external->name, "ltfs");
    assert_string_equal(r->from_external->opts, "");
    assert_string_equal(r->to_pool, "system");
    assert_non_null(strstr(policy_expanded(p), "(MISC_ATTRIBUTES LIKE '%V%') AND XATTR("));
    policy_free(p);
}

static void all_idioms_compile_in_one_file(void **state)
{
    (void)state;
    static const struct policy_macro macros[] = {
        {"TAPE", "F00001L9"}, {"FSET", "proj"}, {"POOLOPT", "-p main@vault"}};
    struct policy_options opt = {.macros = macros, .n_macros = 3, .pools = pools, .n_pools = 3};
    struct policy *p = NULL;
    struct err err = {0};
    if (policy_compile_file(DATA "/idioms.policy", &opt, &p, NULL, &err) < 0)
        fail_msg("%s", err.text);
    struct policy_counts n;
    policy_get_counts(p, &n);
    assert_int_equal(n.placement, 3);
    assert_int_equal(n.migrate, 7);
    assert_int_equal(n.list, 11);
    assert_int_equal(n.external, 3);
    assert_int_equal(n.without_place, 1);
    const struct policy_external *e = policy_external(p, "cold", false);
    assert_string_equal(e->opts, "-p main@vault");
    assert_int_equal(e->size_kb, 5242880);
    assert_int_equal(policy_external(p, "over", true)->over, POLICY_QUOTA_FILESET_SOFT);
    size_t members = 0;
    const struct policy_member *m = policy_group(p, "disk", &members);
    assert_int_equal(members, 2);
    assert_string_equal(m[0].pool, "fast");
    assert_true(m[0].limit == 80 && m[1].limit == 99);
    policy_free(p);
}

/* ---- macros ---- */

static void check_expanded(const char *text, const char *expanded)
{
    struct policy *p = compile(text, NULL, 0);
    if (strstr(policy_expanded(p), expanded) == NULL)
        fail_msg("%s\nexpands to\n%s\nwithout\n%s", text, policy_expanded(p), expanded);
    policy_free(p);
}

static void macros_read_as_m4_reads_them(void **state)
{
    (void)state;
    check_expanded("define(a,1)define(b,a+a)RULE EXCLUDE WHERE b=2", "WHERE 1+1=2");
    check_expanded("define(f,[$1+$2 $#])RULE EXCLUDE /* f(1, (2,3)) f */", "/* 1+(2,3) 2 + 0 */");
    check_expanded("define(q,[a])define(a,1)RULE EXCLUDE WHERE q=1", "WHERE 1=1");
    check_expanded("define(a,1)RULE EXCLUDE WHERE NAME IN ('[a]', '[[x]]', 'a', 'ba')",
                   "('a', '[x]', '1', 'ba')");
    check_expanded("RULE EXCLUDE WHERE REGEX(NAME,['[P]'])", "REGEX(NAME,'[P]')");
    check_expanded("define(t,TRUE)dnl gone\nRULE EXCLUDE dnl t\nWHERE t",
                   "RULE EXCLUDE WHERE TRUE");
    check_expanded("define( x , TRUE)RULE 'x' EXCLUDE WHERE TRUE", "RULE 'x' EXCLUDE");
    check_expanded("define(x,y)undefine([x])RULE 'x' EXCLUDE", "RULE 'x' EXCLUDE");
    check_expanded("ifdef(nope,[RULE 'a' EXCLUDE],[RULE 'b' EXCLUDE])", "RULE 'b'");
    check_expanded("define(z,1)ifdef([z],[RULE 'a' EXCLUDE])", "RULE 'a'");
    check_expanded("ifelse(a,b,1,c,c,[RULE 'two' EXCLUDE],3)", "RULE 'two'");
    check_expanded("ifelse(a,b,1,[RULE 'else' EXCLUDE])", "RULE 'else'");
    check_expanded("define(m,(A LIKE 'x,y' OR B))RULE 'k' EXCLUDE /* m */", "(A LIKE 'x,y' OR B)");
    check_expanded("RULE EXCLUDE WHERE substr(NAME,1,2)='ab'", "substr(NAME,1,2)='ab'");
}

static void non_breaking_blanks_of_web_pages_are_blanks(void **state)
{
    (void)state;
    struct policy *p = compile("RULE\xc2\xa0"
                               "EXCLUDE WHERE\n\xc2\xa0\xc2\xa0TRUE",
                               NULL, 0);
    assert_int_equal(policy_n_rules(p), 1);
    policy_free(p);
}

static void command_line_macros_replace_inside_strings_too(void **state)
{
    (void)state;
    static const struct policy_macro m[] = {{"OPT", "-p pool one"}, {"TAPEID", "T1"}};
    struct policy *p = compile("RULE EXTERNAL POOL 'c' OPTS 'OPT'\n"
                               "RULE EXCLUDE WHERE NAME LIKE '%TAPEID%'",
                               m, 2);
    assert_string_equal(policy_external(p, "c", false)->opts, "-p pool one");
    assert_non_null(strstr(policy_expanded(p), "'%T1%'"));
    policy_free(p);
}

static void traps_of_the_macro_stage_are_warned_about(void **state)
{
    (void)state;
    struct policy *p = compile("define(m, TRUE, FALSE)define(n , x)\n"
                               "RULE EXCLUDE WHERE substr(NAME,1,2)='ab' AND m",
                               NULL, 0);
    assert_true(has_warning(p, "t.policy:1:1: define(m, ..)"));
    assert_true(has_warning(p, "t.policy:1:23: define: 'n ' is never replaced"));
    assert_true(has_warning(p, "t.policy:2:20: the original engine takes lower-case 'substr('"));
    policy_free(p);
}

/* ---- includes ---- */

static void includes_are_restricted(void **state)
{
    (void)state;
    char dir[] = "/var/tmp/firn-inc-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char path[128], text[256], link[128];
    (void)snprintf(path, sizeof(path), "%s/macros", dir);
    (void)snprintf(link, sizeof(link), "%s/link", dir);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    assert_int_equal(write(fd, "define(yes,TRUE)", 16), 16);
    assert_int_equal(close(fd), 0);
    assert_int_equal(symlink("macros", link), 0);
    const char *const dirs[] = {dir};
    struct policy_options opt = {.include_dirs = dirs, .n_include_dirs = 1};
    struct policy *p = NULL;
    struct err err = {0};
    (void)snprintf(text, sizeof(text), "include(%s)RULE EXCLUDE WHERE yes", path);
    if (policy_compile(text, strlen(text), &opt, &p, NULL, &err) < 0)
        fail_msg("%s", err.text);
    policy_free(p);
    struct {
        const char *name, *why;
        mode_t mode;
    } bad[] = {{path, "writable only by root", 0666},
               {link, "include(", 0644},
               {"/etc/passwd", "include_dirs", 0644},
               {dir, "include_dirs", 0644}};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(chmod(path, bad[i].mode), 0);
        (void)snprintf(text, sizeof(text), "\n include(%s)RULE EXCLUDE WHERE yes", bad[i].name);
        assert_int_equal(policy_compile(text, strlen(text), &opt, &p, NULL, &err), -EINVAL);
        if (strstr(err.text, bad[i].why) == NULL || strstr(err.text, "policy:2:2:") == NULL)
            fail_msg("%s", err.text);
    }
    assert_int_equal(unlink(link), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

/* ---- errors ---- */

struct bad {
    const char *text;
    unsigned line, column;
    const char *message; /* part of message or expected */
};

static void wrong_policies_name_line_column_and_reason(void **state)
{
    (void)state;
    static const struct bad bad[] = {
        {"RULE 'a' LIST 'x' FOR FILESET('a' 'b')", 1, 35, "('a','b')"},
        {"RULE 'a' LIST 'x'\n WHERE NAME='a'\n WHERE NAME='b'", 3, 2, "repeated clause WHERE"},
        {"RULE LIST 'x' WHERE FILE_SISE > 1", 1, 21, "unknown attribute 'FILE_SISE'"},
        {"RULE LIST 'x' WHERE FILE_SISE > 1", 1, 21, "FILE_SIZE"},
        {"RULE LIST 'x' WHERE LENGHT(NAME) > 1", 1, 21, "unknown function 'LENGHT'"},
        {"RULE 'm' MIGRATE FROM POOL 'system'", 1, 1, "MIGRATE without TO POOL"},
        {"RULE 'm' MIGRATE THRESHOLD(101) TO POOL 'system'", 1, 28, "out of range"},
        {"RULE 'm' MIGRATE THRESHOLD(90,-1) TO POOL 'system'", 1, 31, "out of range"},
        {"RULE 'm", 1, 6, "never ends"},
        {"/* x\nRULE EXCLUDE", 1, 1, "never ends"},
        {"RULE 'm' MIGRATE TO POOL 'nowhere'", 1, 26, "unknown pool 'nowhere'"},
        {"RULE 'm' MIGRATE FROM POOL 'nowhere' TO POOL 'slow'", 1, 28, "unknown pool"},
        {"RULE EXCLUDE WHERE FILE_SIZE", 1, 20, "a number stands where a condition"},
        {"RULE EXCLUDE WHERE NAME AND TRUE", 1, 20, "a string stands where a condition"},
        {"define(x, a # b)\nRULE EXCLUDE", 1, 1, "'#'"},
        {"RULE 'a' EXCLUDE WHERE 'x[' = NAME", 1, 26, "never closed"},
        {"", 1, 1, "no rule"},
        {"RULE", 1, 4, "MIGRATE, DELETE"},
        {"RULE 'x' FROB", 1, 10, "unexpected 'FROB'"},
        {"RULE EXCLUDE WHERE NAME LIKE", 1, 28, "end of the text"},
        {"RULE EXCLUDE WHERE (NAME = 'a'", 1, 30, "')'"},
        {"RULE EXCLUDE WHERE NAME = 'a' b", 1, 31, "unexpected 'b'"},
        {"RULE EXCLUDE WHERE NAME = 'a';", 1, 30, "';'"},
        {"define (x, y)\nRULE EXCLUDE", 1, 1, "no blank"},
        {"RULE EXCLUDE WHERE CASE WHEN 1 THEN 2 END = 2", 1, 30, "condition"},
        {"RULE EXCLUDE WHERE REGEX(NAME, 'a(')", 1, 32, "bad regular expression"},
        {"RULE EXCLUDE WHERE NAME LIKE 'a\\b' ESCAPE '\\'", 1, 30, "escape"},
        {"RULE EXCLUDE WHERE MODIFICATION_TIME + 5 > 3", 1, 40, "INTERVAL"},
        {"RULE EXCLUDE WHERE NAME = (1 = 2)", 1, 28, "cannot be compared"},
        {"RULE WHEN (NAME = 'x') EXCLUDE", 1, 12, "attributes of files"},
        {"RULE EXCLUDE WHERE SETXATTR('user.a', 'b')", 1, 20, "ACTION"},
        {"RULE EXCLUDE THRESHOLD(1)", 1, 14, "does not belong"},
        {"RULE EXTERNAL POOL 'a' RULE EXTERNAL POOL 'a'", 1, 24, "defined twice"},
        {"RULE EXTERNAL LIST 'a' ESCAPE 'x'", 1, 31, "must begin with '%'"},
        {"RULE EXTERNAL LIST 'a' THRESHOLD 'x'", 1, 34, "unknown threshold class"},
        {"define(bad,(FILE_SISE))\n RULE EXCLUDE\n WHERE  bad > 1", 3, 9, "macro 'bad'"},
        {"define(t,'u.t')RULE EXCLUDE WHERE NAME = t", 1, 42, "without end"},
        {"syscmd(id)RULE EXCLUDE", 1, 1, "not offered"},
        {"RULE EXCLUDE WHERE NAME = \"x\"", 1, 27, "single quotes"},
        {"RULE EXCLUDE WHERE 12abc = 1", 1, 20, "blank"},
        {"RULE EXCLUDE WHERE INTERVAL 'x' DAYS IS NULL", 1, 29, "number"},
        {"RULE EXCLUDE WHERE SUBSTR(NAME) = 'x'", 1, 20, "SUBSTR(string, start"},
        {"\xc3\xa9RULE EXCLUDE", 1, 1, "0xc3"},
        {"RULE EXCLUDE WHERE NAME = \xe2\x80\x99x'", 1, 27, "typographic"},
    };
    struct policy_options opt = {.file = "f", .pools = pools, .n_pools = 3};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct policy *p = NULL;
        struct policy_diag d = {0};
        struct err err = {0};
        int rc = policy_compile(bad[i].text, strlen(bad[i].text), &opt, &p, &d, &err);
        if (rc != -EINVAL)
            fail_msg("accepted: %s", bad[i].text);
        bool place = d.line == bad[i].line && d.column == bad[i].column;
        bool text =
            strstr(d.message, bad[i].message) != NULL || strstr(d.expected, bad[i].message) != NULL;
        if (!place || !text)
            fail_msg("%s\n gives %u:%u %s; expected %s", bad[i].text, d.line, d.column, d.message,
                     d.expected);
    }
}

static void a_diagnosis_shows_the_line_with_a_caret(void **state)
{
    (void)state;
    static const char text[] = "RULE 'a' LIST 'x'\n\tWHERE FILE_SISE > 1\n";
    struct policy *p = NULL;
    struct policy_diag d;
    struct err err = {0};
    auto_buf struct buf b = {0};
    struct policy_options opt = {.file = "my.policy"};
    assert_int_equal(policy_compile(text, strlen(text), &opt, &p, &d, &err), -EINVAL);
    policy_diag_print(&d, &b);
    assert_string_equal(b.data, "my.policy:2:8: error: unknown attribute 'FILE_SISE'\n"
                                "   WHERE FILE_SISE > 1\n"
                                "         ^\n"
                                "  expected FILE_SIZE\n");
    assert_string_equal(err.text,
                        "my.policy:2:8: unknown attribute 'FILE_SISE'; expected FILE_SIZE");
}

static void clauses_without_effect_are_warned_about(void **state)
{
    (void)state;
    struct policy *p =
        compile("RULE EXTERNAL POOL 'x'\n"
                "RULE MIGRATE COMPRESS('lz4') TO POOL 'slow' REPLICATE(2)\n"
                "RULE MIGRATE TO POOL 'x' LIMIT(50)\n"
                "RULE SET ENCRYPTION EXCLUDE WHERE NAME = 'x'\n"
                "RULE ENCRYPTION 'e' IS ALGO 'DEFAULTNISTSP800131A' KEYS('a:b','c:d')\n"
                "RULE LIST 'l' WHERE MODIFICATION_TIME < TIMESTAMP('yesterday')\n"
                "RULE SET POOL 'gone'\n"
                "RULE EXCLUDE WHERE XATTR('tag') = 'x'",
                NULL, 0);
    static const char *const parts[] = {"t.policy:2:",
                                        "COMPRESS is ignored",
                                        "REPLICATE has no effect",
                                        "LIMIT is ignored",
                                        "t.policy:4:1: SET ENCRYPTION",
                                        "t.policy:5:1: ENCRYPTION",
                                        "has no EXTERNAL LIST",
                                        "TIMESTAMP('yesterday') is NULL",
                                        "SET POOL 'gone': no such pool",
                                        "'user.tag'"};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (!has_warning(p, parts[i]))
            fail_msg("no warning about %s", parts[i]);
    policy_free(p);
}

static void huge_and_hostile_texts_are_refused_quickly(void **state)
{
    (void)state;
    struct policy *p = NULL;
    struct err err = {0};
    char *big = xzalloc(POLICY_TEXT_MAX + 2);
    memset(big, ' ', POLICY_TEXT_MAX + 1);
    assert_int_equal(policy_compile(big, POLICY_TEXT_MAX + 1, NULL, &p, NULL, &err), -EFBIG);
    memset(big, '(', 100000);
    memcpy(big, "RULE EXCLUDE WHERE ", 19);
    assert_int_equal(policy_compile(big, 100000, NULL, &p, NULL, &err), -EINVAL);
    assert_non_null(strstr(err.text, "nested"));
    free(big);
    auto_buf struct buf b = {0};
    buf_adds(&b, "define(a0,x)");
    for (int i = 1; i < 40; i++)
        buf_addf(&b, "define(a%d,[a%da%d a%d a%d])", i, i - 1, i - 1, i - 1, i - 1);
    buf_adds(&b, "RULE EXCLUDE WHERE a39");
    assert_int_equal(policy_compile(b.data, b.len, NULL, &p, NULL, &err), -EINVAL);
    buf_reset(&b);
    buf_adds(&b, "RULE EXCLUDE WHERE NAME = ''");
    for (int i = 0; i < 20000; i++)
        buf_adds(&b, "||'x'");
    assert_int_equal(policy_compile(b.data, b.len, NULL, &p, NULL, &err), -EINVAL);
    buf_reset(&b);
    buf_adds(&b, "RULE EXCLUDE WHERE NAME = 'x'");
    for (int i = 0; i < 20000; i++)
        buf_adds(&b, " OR NAME='y'");
    assert_int_equal(policy_compile(b.data, b.len, NULL, &p, NULL, &err), 0);
    policy_free(p);
    assert_int_equal(policy_compile("RULE\0", 6, NULL, &p, NULL, &err), -EINVAL);
    assert_non_null(strstr(err.text, "NUL"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_two_policies_of_the_tape_document_compile_unchanged),
        cmocka_unit_test(all_idioms_compile_in_one_file),
        cmocka_unit_test(macros_read_as_m4_reads_them),
        cmocka_unit_test(non_breaking_blanks_of_web_pages_are_blanks),
        cmocka_unit_test(command_line_macros_replace_inside_strings_too),
        cmocka_unit_test(traps_of_the_macro_stage_are_warned_about),
        cmocka_unit_test(includes_are_restricted),
        cmocka_unit_test(wrong_policies_name_line_column_and_reason),
        cmocka_unit_test(a_diagnosis_shows_the_line_with_a_caret),
        cmocka_unit_test(clauses_without_effect_are_warned_about),
        cmocka_unit_test(huge_and_hostile_texts_are_refused_quickly),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
