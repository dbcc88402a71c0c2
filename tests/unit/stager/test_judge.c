/* SPDX-License-Identifier: Apache-2.0 */
/* What states mean, sizes of requests, request data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lustre/stager.h"

#include <errno.h>
#include <string.h>

#define EXISTING (HS_EXISTS | HS_ARCHIVED)

static enum stager_verdict judge(enum stager_action action, uint32_t states)
{
    const struct stager_hint hint = {0};
    int errnum = 0;
    const char *reason = NULL;
    enum stager_verdict v = stager_judge(action, &hint, states, 1, &errnum, &reason);
    assert_true((v == STAGER_REFUSED) == (errnum != 0));
    return v;
}

static void an_archive_is_needed_unless_the_copy_is_current(void **state)
{
    (void)state;
    assert_int_equal(judge(STAGER_ARCHIVE, 0), STAGER_NEEDED);
    assert_int_equal(judge(STAGER_ARCHIVE, HS_EXISTS), STAGER_NEEDED);
    assert_int_equal(judge(STAGER_ARCHIVE, EXISTING), STAGER_REACHED);
    assert_int_equal(judge(STAGER_ARCHIVE, EXISTING | HS_RELEASED), STAGER_REACHED);
    assert_int_equal(judge(STAGER_ARCHIVE, EXISTING | HS_DIRTY), STAGER_NEEDED);
    assert_int_equal(judge(STAGER_ARCHIVE, EXISTING | HS_LOST), STAGER_NEEDED);
    assert_int_equal(judge(STAGER_ARCHIVE, HS_NOARCHIVE), STAGER_REFUSED);
    assert_int_equal(judge(STAGER_ARCHIVE, EXISTING | HS_RELEASED | HS_LOST), STAGER_REFUSED);
}

static void an_archive_into_a_second_archive_is_refused(void **state)
{
    const struct stager_hint hint = {.archive_id = 2};
    int errnum = 0;
    const char *reason = NULL;
    (void)state;
    assert_int_equal(stager_judge(STAGER_ARCHIVE, &hint, EXISTING | HS_DIRTY, 1, &errnum, &reason),
                     STAGER_REFUSED);
    assert_int_equal(errnum, EPERM);
    assert_non_null(strstr(reason, "firn lustre remove"));
    assert_int_equal(stager_judge(STAGER_ARCHIVE, &hint, EXISTING | HS_DIRTY, 2, &errnum, &reason),
                     STAGER_NEEDED);
}

static void a_restore_needs_a_released_file_with_a_copy(void **state)
{
    (void)state;
    assert_int_equal(judge(STAGER_RESTORE, EXISTING), STAGER_REACHED);
    assert_int_equal(judge(STAGER_RESTORE, 0), STAGER_REACHED);
    assert_int_equal(judge(STAGER_RESTORE, EXISTING | HS_RELEASED), STAGER_NEEDED);
    assert_int_equal(judge(STAGER_RESTORE, EXISTING | HS_RELEASED | HS_LOST), STAGER_REFUSED);
    assert_int_equal(judge(STAGER_RESTORE, HS_RELEASED), STAGER_REFUSED);
}

static void a_release_needs_a_current_copy(void **state)
{
    (void)state;
    assert_int_equal(judge(STAGER_RELEASE, EXISTING), STAGER_NEEDED);
    assert_int_equal(judge(STAGER_RELEASE, EXISTING | HS_RELEASED), STAGER_REACHED);
    assert_int_equal(judge(STAGER_RELEASE, 0), STAGER_REFUSED);
    assert_int_equal(judge(STAGER_RELEASE, HS_EXISTS), STAGER_REFUSED);
    assert_int_equal(judge(STAGER_RELEASE, EXISTING | HS_DIRTY), STAGER_REFUSED);
    assert_int_equal(judge(STAGER_RELEASE, EXISTING | HS_NORELEASE), STAGER_REFUSED);
    assert_int_equal(judge(STAGER_RELEASE, EXISTING | HS_LOST), STAGER_REFUSED);
}

static void a_removal_never_takes_the_only_copy(void **state)
{
    (void)state;
    assert_int_equal(judge(STAGER_REMOVE, EXISTING), STAGER_NEEDED);
    assert_int_equal(judge(STAGER_REMOVE, HS_EXISTS), STAGER_NEEDED);
    assert_int_equal(judge(STAGER_REMOVE, 0), STAGER_REACHED);
    assert_int_equal(judge(STAGER_REMOVE, EXISTING | HS_RELEASED), STAGER_REFUSED);
}

static void a_request_never_passes_what_the_mdt_takes(void **state)
{
    (void)state;
    assert_int_equal(stager_batch_max(0), 52);
    for (size_t len = 0; len <= STAGER_DATA_MAX; len++) {
        size_t n = stager_batch_max(len);
        assert_true(n >= 20);
        assert_true(24 + 32 * n + len <= 1705);
        assert_true(24 + 32 * (n + 1) + len > 1705);
    }
    assert_int_equal(stager_batch_max(1649), 1);
    assert_int_equal(stager_batch_max(1650), 0);
    assert_int_equal(stager_batch_max(SIZE_MAX - 100), 0);
}

static void request_data_are_keys_and_values(void **state)
{
    struct err err = {0};
    char longest[STAGER_DATA_MAX + 2];
    (void)state;
    assert_int_equal(stager_data_check("tag=hello", &err), 0);
    assert_int_equal(stager_data_check("a=1,b=,c=x=y", &err), 0);
    assert_int_equal(stager_data_check("", &err), -EINVAL);
    assert_int_equal(stager_data_check("tag", &err), -EINVAL);
    assert_int_equal(stager_data_check("a=1,", &err), -EINVAL);
    assert_int_equal(stager_data_check("a=1,=2", &err), -EINVAL);
    assert_int_equal(stager_data_check("a=1,b,c=2", &err), -EINVAL);
    assert_non_null(strstr(err.text, "\"b\""));
    memset(longest, 'x', sizeof(longest));
    longest[1] = '=';
    longest[STAGER_DATA_MAX + 1] = '\0';
    assert_int_equal(stager_data_check(longest, &err), -EINVAL);
    longest[STAGER_DATA_MAX] = '\0';
    assert_int_equal(stager_data_check(longest, &err), 0);
}

static void states_have_the_words_of_lfs(void **state)
{
    char text[128];
    (void)state;
    assert_string_equal(stager_state_words(0, text), "");
    assert_string_equal(stager_state_words(0xd, text), "released exists archived");
    assert_string_equal(stager_state_words(0xb, text), "exists dirty archived");
    assert_true(strlen(stager_state_words(UINT32_MAX, text)) < sizeof(text) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_archive_is_needed_unless_the_copy_is_current),
        cmocka_unit_test(an_archive_into_a_second_archive_is_refused),
        cmocka_unit_test(a_restore_needs_a_released_file_with_a_copy),
        cmocka_unit_test(a_release_needs_a_current_copy),
        cmocka_unit_test(a_removal_never_takes_the_only_copy),
        cmocka_unit_test(a_request_never_passes_what_the_mdt_takes),
        cmocka_unit_test(request_data_are_keys_and_values),
        cmocka_unit_test(states_have_the_words_of_lfs),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
