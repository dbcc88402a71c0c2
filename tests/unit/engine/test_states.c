/* SPDX-License-Identifier: Apache-2.0 */
/* The table of moves, and that doc/design/states.mmd (named by the environment) is drawn from it.
 */
#include "engine/states.h"

#include "base/cleanup.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct state_facts good = {.copies_asked = 2,
                                        .copies_durable = 2,
                                        .unchanged = true,
                                        .data_complete = true,
                                        .data_checked = true};

static void every_move_is_allowed_with_its_invariant(void **state)
{
    struct err err;
    (void)state;
    assert_int_equal(state_check(STATE_MOVE_premigrate, FILE_RESIDENT, &good, &err), 0);
    assert_int_equal(state_check(STATE_MOVE_replicate, FILE_PREMIGRATED, &good, &err), 0);
    assert_int_equal(state_check(STATE_MOVE_release, FILE_PREMIGRATED, &good, &err), 0);
    assert_int_equal(state_check(STATE_MOVE_recall, FILE_MIGRATED, &good, &err), 0);
    assert_int_equal(state_check(STATE_MOVE_recall_resident, FILE_MIGRATED, &good, &err), 0);
    assert_int_equal(state_after(STATE_MOVE_release), FILE_MIGRATED);
    assert_int_equal(state_after(STATE_MOVE_recall_resident), FILE_RESIDENT);
}

static void a_move_from_another_state_is_refused(void **state)
{
    struct err err;
    (void)state;
    assert_int_equal(state_check(STATE_MOVE_release, FILE_RESIDENT, &good, &err), -EPROTO);
    assert_non_null(strstr(err.text, "release: the file is resident, not premigrated"));
    assert_int_equal(state_check(STATE_MOVE_recall, FILE_PREMIGRATED, &good, &err), -EPROTO);
    assert_int_equal(state_check(STATE_MOVE_premigrate, FILE_MIGRATED, &good, &err), -EPROTO);
}

static void a_broken_invariant_is_named(void **state)
{
    struct err err;
    struct state_facts f = good;
    (void)state;
    f.copies_durable = 1;
    assert_int_equal(state_check(STATE_MOVE_premigrate, FILE_RESIDENT, &f, &err), -EPROTO);
    assert_non_null(strstr(err.text, "not every asked copy is durable"));
    f = good;
    f.unchanged = false;
    assert_int_equal(state_check(STATE_MOVE_release, FILE_PREMIGRATED, &f, &err), -EPROTO);
    assert_non_null(strstr(err.text, "changed"));
    f = good;
    f.readers_allowed = true;
    assert_int_equal(state_check(STATE_MOVE_release, FILE_PREMIGRATED, &f, &err), -EPROTO);
    assert_non_null(strstr(err.text, "posix_readers"));
    f = good;
    f.data_checked = false;
    assert_int_equal(state_check(STATE_MOVE_recall, FILE_MIGRATED, &f, &err), -EPROTO);
}

static void the_diagram_in_the_documents_is_that_of_the_table(void **state)
{
    auto_buf struct buf want = {0};
    auto_free char *is = NULL;
    struct err err;
    (void)state;
    state_diagram(&want);
    assert_int_equal(io_read_file(AT_FDCWD, getenv("FIRN_DIAGRAM"), 65536, &is, NULL, &err), 0);
    assert_string_equal(is, want.data);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_move_is_allowed_with_its_invariant),
        cmocka_unit_test(a_move_from_another_state_is_refused),
        cmocka_unit_test(a_broken_invariant_is_named),
        cmocka_unit_test(the_diagram_in_the_documents_is_that_of_the_table),
    };
    if (argc == 2 && strcmp(argv[1], "--print") == 0) {
        auto_buf struct buf b = {0};
        state_diagram(&b);
        (void)fputs(b.data, stdout);
        return 0;
    }
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
