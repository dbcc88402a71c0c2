/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guard on a kernel that may or may not take it; what it refuses is shown on a kernel that does
 * (tests/kernel). Nothing is guarded here, since no file system is listed.
 */
#include "watch/guard.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define DIR_OF_OURS "/sys/fs/bpf/firn/unit-test"

static bool is_there(void)
{
    struct stat st;
    return stat(DIR_OF_OURS, &st) == 0;
}

static void it_is_installed_once_or_refused_with_a_text_and_leaves_nothing(void **state)
{
    (void)state;
    struct err e = {0};
    int rc = guard_install(DIR_OF_OURS, &e);
    if (rc < 0) {
        assert_true(rc == -EPERM || rc == -ENOTSUP);
        assert_true(strlen(e.text) > 20);
        print_message("# refused: %s\n", e.text);
    } else {
        uint64_t refused = 1;
        assert_true(guard_active(DIR_OF_OURS, &refused));
        assert_int_equal(refused, 0);
        assert_int_equal(guard_install(DIR_OF_OURS, &e), 0);
        assert_int_equal(guard_pass(DIR_OF_OURS, 0, &e), 0);
        assert_int_equal(guard_remove(DIR_OF_OURS, &e), 0);
    }
    assert_false(guard_active(DIR_OF_OURS, NULL));
    assert_false(is_there());
}

static void without_a_guard_nobody_needs_a_pass(void **state)
{
    (void)state;
    struct err e = {0};
    const char *paths[] = {"/"};
    assert_false(guard_active("/nowhere/guard", NULL));
    assert_int_equal(guard_pass("/nowhere/guard", 0, &e), 0);
    assert_int_equal(guard_set_fs("/nowhere/guard", paths, 1, 1, &e), -ENOENT);
    assert_int_equal(guard_remove("/nowhere/guard", &e), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_installed_once_or_refused_with_a_text_and_leaves_nothing),
        cmocka_unit_test(without_a_guard_nobody_needs_a_pass),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
