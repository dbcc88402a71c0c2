/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lustre/llapi.h"

#include <errno.h>
#include <string.h>

static void versions_are_read_in_every_form(void **state)
{
    (void)state;
    assert_int_equal(llapi_version("2.17.57_3_gabc"), LLAPI_VERSION(2, 17, 57, 3));
    assert_int_equal(llapi_version("2.12.9"), LLAPI_VERSION(2, 12, 9, 0));
    assert_int_equal(llapi_version("v2_15_0"), LLAPI_VERSION(2, 15, 0, 0));
    assert_int_equal(llapi_version("2.15.0-1.el8"), LLAPI_VERSION(2, 15, 0, 0));
    assert_int_equal(llapi_version("lustre: 2.16.1"), LLAPI_VERSION(2, 16, 1, 0));
    assert_int_equal(llapi_version("2.300.1"), LLAPI_VERSION(2, 255, 1, 0));
    assert_int_equal(llapi_version("2"), LLAPI_VERSION(2, 0, 0, 0));
    assert_int_equal(llapi_version("unknown"), 0);
    assert_int_equal(llapi_version(""), 0);
}

static void quirks_follow_the_version(void **state)
{
    (void)state;
    static const struct {
        const char *version;
        unsigned quirks;
    } rows[] = {
        {"2.12.0", LLAPI_FILTERS_DUPLICATES | LLAPI_SUMS_PROGRESS | LLAPI_SHORT_READS},
        {"2.14.0", LLAPI_SUMS_PROGRESS | LLAPI_SHORT_READS | LLAPI_REMOVE_OPENS},
        {"2.15.5", LLAPI_SHORT_READS | LLAPI_REMOVE_OPENS},
        {"2.16.0", LLAPI_SHORT_READS | LLAPI_REMOVE_OPENS | LLAPI_RESTORE_OPENS},
        {"2.17.0",
         LLAPI_SHORT_READS | LLAPI_REMOVE_OPENS | LLAPI_RESTORE_OPENS | LLAPI_TELLS_BLOCKING},
        {"2.17.57",
         LLAPI_REMOVE_OPENS | LLAPI_RESTORE_OPENS | LLAPI_TELLS_BLOCKING | LLAPI_FAILURE_DIRTIES},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(llapi_quirks(llapi_version(rows[i].version)), rows[i].quirks);
}

static void a_missing_library_is_named_with_what_to_do(void **state)
{
    (void)state;
    struct llapi *api = NULL;
    struct err e = {0};
    assert_int_equal(llapi_load("libfirn-not-there.so.1", &api, &e), -ENOENT);
    assert_null(api);
    assert_non_null(strstr(e.text, "libfirn-not-there.so.1"));
    assert_non_null(strstr(e.text, "install the Lustre client"));
}

static void a_library_of_another_kind_is_told_by_its_missing_function(void **state)
{
    (void)state;
    struct llapi *api = NULL;
    struct err e = {0};
    assert_int_equal(llapi_load("libm.so.6", &api, &e), -ENOTSUP);
    assert_non_null(strstr(e.text, "llapi_hsm_copytool_register"));
}

static void count(void *ctx, const char *symbol, const char *since, bool core)
{
    unsigned *n = ctx;
    assert_int_equal(strncmp(symbol, "llapi_", 6), 0);
    assert_true(llapi_version(since) >= LLAPI_VERSION(2, 10, 0, 0));
    assert_true(!core || llapi_version(since) <= LLAPI_VERSION(2, 12, 0, 0));
    (*n)++;
}

static void what_is_needed_is_there_in_every_version_that_is_served(void **state)
{
    (void)state;
    unsigned n = 0;
    llapi_describe(count, &n);
    assert_true(n > 25);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_are_read_in_every_form),
        cmocka_unit_test(quirks_follow_the_version),
        cmocka_unit_test(a_missing_library_is_named_with_what_to_do),
        cmocka_unit_test(a_library_of_another_kind_is_told_by_its_missing_function),
        cmocka_unit_test(what_is_needed_is_there_in_every_version_that_is_served),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
