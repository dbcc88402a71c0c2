/* SPDX-License-Identifier: Apache-2.0 */
#include "tier/tier.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct tier_object object = {.fs = "fs1", .path = "a", .size = 4};

static int put_one(struct tier *t, struct err *err)
{
    auto_tier_location struct tier_location loc = {0};
    int rc = tier_put_begin(t, &object, err);
    if (rc == 0)
        rc = tier_put_write(t, 0, "abcd", 4, err);
    if (rc == 0)
        rc = tier_put_end(t, NULL, 0, &loc, err);
    tier_put_abort(t);
    return rc;
}

static void the_nth_call_fails_and_no_other(void **state)
{
    struct err err;
    auto_tier struct tier *t = NULL;
    (void)state;
    assert_int_equal(tier_fault_open(tier_null_open(), "put_write:2:EIO,sync:1:ENOSPC", &t, &err),
                     0);
    assert_int_equal(put_one(t, &err), 0);
    assert_int_equal(put_one(t, &err), -EIO);
    assert_non_null(strstr(err.text, "injected fault in put_write, call 2"));
    assert_int_equal(put_one(t, &err), 0);
    assert_int_equal(tier_sync(t, &err), -ENOSPC);
    assert_int_equal(tier_sync(t, &err), 0);
    assert_int_equal(tier_counts(t)->errors, 2);
    assert_int_equal(tier_counts(t)->puts, 2);
}

static void a_full_tier_is_an_outcome_not_an_error(void **state)
{
    struct err err;
    auto_tier struct tier *t = NULL;
    (void)state;
    assert_int_equal(tier_fault_open(tier_null_open(), "put_begin:0:full", &t, &err), 0);
    assert_int_equal(put_one(t, &err), TIER_FULL);
    assert_int_equal(put_one(t, &err), TIER_FULL);
    assert_int_equal(tier_counts(t)->errors, 0);
}

static void a_wrong_spec_is_named(void **state)
{
    static const struct {
        const char *spec, *names;
    } bad[] = {{"put:1:EIO", "\"put\""},
               {"sync", "op:n:error"},
               {"sync:x:EIO", "\"x\""},
               {"sync:1:EFOO", "\"EFOO\""},
               {"get:-1:EIO", "\"-1\""}};
    struct err err;
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct tier *t = NULL;
        struct tier *inner = tier_null_open();
        assert_int_equal(tier_fault_open(inner, bad[i].spec, &t, &err), -EINVAL);
        assert_non_null(strstr(err.text, bad[i].names));
        assert_null(t);
        tier_free(inner);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nth_call_fails_and_no_other),
        cmocka_unit_test(a_full_tier_is_an_outcome_not_an_error),
        cmocka_unit_test(a_wrong_spec_is_named),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
