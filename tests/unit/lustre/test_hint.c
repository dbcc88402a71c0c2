/* SPDX-License-Identifier: Apache-2.0 */
#include "lustre/hint.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define ID "0e9b1f5c-6f0a-4c55-9d65-3f5f6f1b2a11"

static void values_are_found_with_and_without_a_nul(void **state)
{
    static const char data[] = "tag=hello,alias=,tag=again";
    char out[16];
    (void)state;
    assert_int_equal(hint_get(data, sizeof(data), "tag", out, sizeof(out)), 0);
    assert_string_equal(out, "hello");
    assert_int_equal(hint_get(data, sizeof(data) - 1, "alias", out, sizeof(out)), 0);
    assert_string_equal(out, "");
    assert_int_equal(hint_get(data, 9, "tag", out, sizeof(out)), 0);
    assert_string_equal(out, "hello");
}

static void what_is_not_there_is_said(void **state)
{
    char out[4];
    (void)state;
    assert_int_equal(hint_get(NULL, 0, "tag", out, sizeof(out)), -ENOENT);
    assert_int_equal(hint_get("tagged=1", 8, "tag", out, sizeof(out)), -ENOENT);
    assert_int_equal(hint_get("x\0tag=1", 7, "tag", out, sizeof(out)), -ENOENT);
    assert_int_equal(hint_get("tag", 3, "tag", out, sizeof(out)), -ENOENT);
    assert_int_equal(hint_get("tag=1234", 8, "tag", out, sizeof(out)), -E2BIG);
}

static void a_key_is_an_archive_id_or_refused(void **state)
{
    struct uuid id, want;
    (void)state;
    assert_int_equal(uuid_parse(ID, &want), 0);
    assert_int_equal(hint_key("a=1,key=" ID, 8 + 36, &id), 0);
    assert_memory_equal(&id, &want, sizeof(id));
    assert_int_equal(hint_key("key=../../etc", 13, &id), -EINVAL);
    assert_int_equal(hint_key("key=" ID "0", 41, &id), -EINVAL);
    assert_int_equal(hint_key("tag=1", 5, &id), -ENOENT);
}

static void a_label_tells_its_fid(void **state)
{
    const struct lu_fid fid = {0x2000013a1, 0x1fe2c, 0};
    struct lu_fid got;
    const char *at = NULL;
    char label[LABEL_MAX];
    size_t n = 0;
    (void)state;
    label_make("scratch", "00112233aabbccdd", &fid, label);
    assert_string_equal(label,
                        "lustre/scratch.00112233aabbccdd/00000002000013a1_0001fe2c_00000000");
    assert_int_equal(label_parse(label, &got, &at, &n), 0);
    assert_memory_equal(&got, &fid, sizeof(fid));
    assert_int_equal(n, strlen("scratch.00112233aabbccdd"));
    assert_memory_equal(at, "scratch.00112233aabbccdd", n);
}

static void other_texts_are_no_labels(void **state)
{
    static const char *const bad[] = {"",
                                      "lustre/",
                                      "lustre//00000002000013a1_0001fe2c_00000000",
                                      "lustre/00000002000013a1_0001fe2c_00000000",
                                      "other/a.b/00000002000013a1_0001fe2c_00000000",
                                      "lustre/a.b/00000002000013A1_0001fe2c_00000000",
                                      "lustre/a.b/00000002000013a1_0001fe2c_0000000",
                                      "lustre/a.b/00000002000013a1_0001fe2c_00000000.0",
                                      "lustre/a.b/00000002000013a1-0001fe2c_00000000"};
    struct lu_fid fid;
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(label_parse(bad[i], &fid, NULL, NULL), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_found_with_and_without_a_nul),
        cmocka_unit_test(what_is_not_there_is_said),
        cmocka_unit_test(a_key_is_an_archive_id_or_refused),
        cmocka_unit_test(a_label_tells_its_fid),
        cmocka_unit_test(other_texts_are_no_labels),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
