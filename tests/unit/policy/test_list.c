/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "policy/list.h"
#include "policy/policy.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

static void records_have_two_blanks_and_escape_line_ends(void **state)
{
    (void)state;
    auto_buf struct buf b = {0};
    struct policy_record r = {.ino = 48131,
                              .generation = 977215488,
                              .path = "/srv/fs1/docs/report 1.pdf",
                              .path_len = 26};
    policy_list_add(&b, &r, NULL);
    assert_string_equal(b.data, "48131 977215488 0   -- /srv/fs1/docs/report 1.pdf\n");
    buf_reset(&b);
    r = (struct policy_record){.ino = 9663676512,
                               .generation = 1400551090,
                               .show = "uid=1000 kb=128",
                               .show_len = 15,
                               .path = "/a\nb\\c",
                               .path_len = 6};
    policy_list_add(&b, &r, NULL);
    assert_string_equal(b.data, "9663676512 1400551090 0  uid=1000 kb=128 -- /a\\nb\\\\c\n");
    buf_reset(&b);
    policy_list_add(&b, &r, "/+@#");
    assert_string_equal(b.data, "9663676512 1400551090 0  uid%3D1000%20kb%3D128 -- /a%0Ab%5Cc\n");
    buf_reset(&b);
    policy_list_add(&b, &r, "");
    assert_non_null(strstr(b.data, " -- %2Fa%0Ab%5Cc\n"));
}

static void records_come_back_as_they_were_written(void **state)
{
    (void)state;
    static const char *const escapes[] = {NULL, "/", ""};
    static const char *const paths[] = {"/a b", "/x\\n\n", "/sp  -- x", "/\xff\x01%41"};
    for (size_t e = 0; e < 3; e++) {
        for (size_t i = 0; i < 4; i++) {
            auto_buf struct buf line = {0}, store = {0};
            struct policy_record in = {.ino = 1,
                                       .generation = 2,
                                       .snapid = 3,
                                       .show = "s=1",
                                       .show_len = i % 2 ? 3 : 0,
                                       .path = paths[i],
                                       .path_len = strlen(paths[i])};
            struct policy_record out;
            struct err err = {0};
            policy_list_add(&line, &in, escapes[e]);
            int rc = policy_list_parse(line.data, line.len - 1, escapes[e], &store, &out, &err);
            if (rc < 0)
                fail_msg("%s: %s", line.data, err.text);
            assert_string_equal(out.path, paths[i]);
            assert_int_equal(out.show_len, in.show_len);
            assert_int_equal(out.snapid, 3);
        }
    }
}

static void bare_paths_are_taken_and_rubbish_is_refused(void **state)
{
    (void)state;
    auto_buf struct buf store = {0};
    struct policy_record r;
    struct err err = {0};
    assert_int_equal(policy_list_parse("/a%41\\b", 7, NULL, &store, &r, &err), 0);
    assert_string_equal(r.path, "/a%41\\b");
    assert_int_equal(r.ino, 0);
    static const char *const bad[] = {"",
                                      "relative",
                                      "1 2 3  no separator",
                                      "1 2 3 /x",
                                      "1 2 3   -- x",
                                      "1 2 3   -- /x\\q",
                                      "1 2 3   -- /x\\",
                                      "99999999999999999999 2 3   -- /x"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (policy_list_parse(bad[i], strlen(bad[i]), NULL, &store, &r, &err) != -EINVAL)
            fail_msg("accepted: %s", bad[i]);
    assert_int_equal(policy_list_parse("1 2 3   -- /x%4", 15, "/", &store, &r, &err), -EINVAL);
    assert_int_equal(policy_list_parse("1 2 3   -- /x%00", 16, "/", &store, &r, &err), -EINVAL);
    assert_int_equal(policy_list_parse("/x\0y", 4, NULL, &store, &r, &err), -EINVAL);
    assert_true(policy_list_show_is_risky("a -- b", 6));
    assert_false(policy_list_show_is_risky("a-- b", 5));
}

static void options_split_at_blanks_honouring_quotes(void **state)
{
    (void)state;
    char **argv = NULL;
    size_t n = 0;
    struct err err = {0};
    assert_int_equal(policy_opts_split(" -p 'a b' \"c'd\" e'f'g  '' $x;`y`", &argv, &n, &err), 0);
    static const char *const want[] = {"-p", "a b", "c'd", "efg", "", "$x;`y`"};
    assert_int_equal(n, 6);
    for (size_t i = 0; i < 6; i++)
        assert_string_equal(argv[i], want[i]);
    assert_null(argv[6]);
    policy_argv_free(argv);
    assert_int_equal(policy_opts_split("a 'b", &argv, &n, &err), -EINVAL);
    assert_int_equal(policy_opts_split("", &argv, &n, &err), 0);
    assert_int_equal(n, 0);
    policy_argv_free(argv);
}

static void pool_options_become_pools_with_libraries(void **state)
{
    (void)state;
    struct policy_target *t = NULL;
    size_t n = 0;
    struct err err = {0};
    assert_int_equal(policy_opts_targets("-p pool1@lib1,pool2@lib2 --pool=c -pd@e", &t, &n, &err),
                     0);
    assert_int_equal(n, 4);
    assert_string_equal(t[0].pool, "pool1");
    assert_string_equal(t[1].library, "lib2");
    assert_string_equal(t[2].library, "");
    assert_string_equal(t[3].pool, "d");
    policy_targets_free(t, n);
    assert_int_equal(policy_opts_targets("", &t, &n, &err), 0);
    assert_int_equal(n, 0);
    policy_targets_free(t, n);
    static const char *const bad[] = {"-x",    "-p",       "-p a,,b", "-p @lib",
                                      "-p a@", "-p a@b@c", "-p a,"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (policy_opts_targets(bad[i], &t, &n, &err) != -EINVAL)
            fail_msg("accepted: %s", bad[i]);
}

static void misc_attributes_end_in_m_and_v(void **state)
{
    (void)state;
    char out[16];
    policy_misc_attributes(DT_REG, POLICY_RESIDENT, 0, out);
    assert_string_equal(out, "FA");
    policy_misc_attributes(DT_REG, POLICY_PREMIGRATED, 0, out);
    assert_string_equal(out, "FAM");
    policy_misc_attributes(DT_REG, POLICY_MIGRATED, 0, out);
    assert_string_equal(out, "FAMV");
    policy_misc_attributes(DT_REG, POLICY_MIGRATED, POLICY_FLAG_IMMUTABLE, out);
    assert_string_equal(out, "FAXMV");
    policy_misc_attributes(DT_DIR, POLICY_RESIDENT, POLICY_FLAG_ACL, out);
    assert_string_equal(out, "D+");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_have_two_blanks_and_escape_line_ends),
        cmocka_unit_test(records_come_back_as_they_were_written),
        cmocka_unit_test(bare_paths_are_taken_and_rubbish_is_refused),
        cmocka_unit_test(options_split_at_blanks_honouring_quotes),
        cmocka_unit_test(pool_options_become_pools_with_libraries),
        cmocka_unit_test(misc_attributes_end_in_m_and_v),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
