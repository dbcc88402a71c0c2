/* SPDX-License-Identifier: Apache-2.0 */
/* What is seen of a task while data is under way, and its end before the data's. */
#include "enginesite.h"

#include "base/cleanup.h"
#include "base/timefmt.h"

#include <string.h>
#include <unistd.h>

#define LARGE  (160LL << 20)
#define WAIT_S 60

static int setup(void **state)
{
    static const struct site_spec spec = {.drives = 2, .cartridges = 3, .capacity = 1ULL << 30};
    struct site *s = site_new(&spec);
    site_assign(s, "pool1", 0, 1);
    site_assign(s, "pool2", 1, 1);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    site_free(*state);
    return 0;
}

static int64_t shown_bytes(struct site *s, int64_t id)
{
    auto_json cJSON *j = NULL;
    assert_int_equal(site_op(s, engine_op_task_show, &j, "{\"task_id\":%lld}", (long long)id), 0);
    return json_int(j, "bytes_done", -1);
}

struct watched {
    int between; /* different numbers seen between nothing and all */
    int64_t last;
};

/* Watches task id to its end: its bytes never fall, nor go beyond all. */
static struct watched watch(struct site *s, int64_t id)
{
    struct engine_task_progress p = {0};
    struct watched w = {0};
    int64_t end = time_mono_ns() + WAIT_S * NS_PER_SEC;
    while (!p.ended && time_mono_ns() < end) {
        assert_int_equal(engine_task_wait(s->engine, id, 2, &p, &s->err), 0);
        assert_true(p.bytes_done >= w.last);
        assert_true(p.bytes_done <= LARGE);
        if (!p.ended && p.bytes_done > w.last && p.bytes_done < LARGE)
            w.between++;
        w.last = p.bytes_done;
    }
    assert_true(p.ended && p.ok);
    assert_int_equal(shown_bytes(s, id), LARGE);
    return w;
}

static void bytes_grow_while_a_file_is_copied_and_recalled(void **state)
{
    struct site *s = *state;
    const char *const names[] = {"f", NULL};
    site_write(s, "f", LARGE, 1);
    struct watched w = watch(s, site_submit(s, ENGINE_MIGRATE, "pool1@lib1", names));
    print_message("# to tape: %d steps\n", w.between);
    assert_true(w.between >= 3);
    assert_int_equal(w.last, LARGE);
    w = watch(s, site_submit(s, ENGINE_RECALL, "", names));
    print_message("# from tape: %d steps\n", w.between);
    assert_true(w.between >= 3);
    assert_int_equal(w.last, LARGE);
}

static void two_copies_of_a_file_count_its_bytes_once(void **state)
{
    struct site *s = *state;
    const char *const names[] = {"f", NULL};
    site_write(s, "f", LARGE, 1);
    struct watched w = watch(s, site_submit(s, ENGINE_PREMIGRATE, "pool1@lib1,pool2@lib1", names));
    assert_true(w.between >= 3);
}

static void cancel_ends_a_copy_that_is_under_way(void **state)
{
    struct site *s = *state;
    const char *const names[] = {"f", "g", NULL};
    struct engine_task_progress p = {0};
    char code[16] = "";
    site_write(s, "f", LARGE, 1);
    site_write(s, "g", 1000, 2);
    int64_t id = site_submit(s, ENGINE_MIGRATE, "pool1@lib1", names);
    int64_t end = time_mono_ns() + WAIT_S * NS_PER_SEC;
    while (p.bytes_done == 0 && time_mono_ns() < end)
        assert_int_equal(engine_task_wait(s->engine, id, 1, &p, &s->err), 0);
    assert_false(p.ended);
    assert_int_equal(site_op(s, engine_op_task_cancel, NULL, "{\"task_id\":%lld}", (long long)id),
                     0);
    assert_int_equal(engine_task_wait(s->engine, id, WAIT_S * 1000, &p, &s->err), 0);
    assert_true(p.ended);
    assert_int_equal(p.failed, 2);
    assert_string_equal(site_failure(s, id, code), "cancelled");
    assert_string_equal(code, "GLESM451W");
    for (int i = 0; i < 2; i++) {
        assert_string_equal(site_state(s, names[i]), "resident");
        assert_int_equal(site_copies(s, names[i], NULL), 0);
    }
    site_check(s, "f", LARGE, 1);
    assert_int_equal(site_tape(s, "FIRN01L8", "files"), 0);
    /* Nothing is left that would keep the file from being migrated. */
    assert_true(site_run(s, ENGINE_MIGRATE, "pool1@lib1", names).ok);
    assert_string_equal(site_state(s, "f"), "migrated");
    assert_true(site_run(s, ENGINE_RECALL, "", names).ok);
    site_check(s, "f", LARGE, 1);
}

static void what_tapes_hold_is_told_at_once_and_after_a_restart(void **state)
{
    struct site *s = *state;
    const char *const names[] = {"f", NULL};
    int64_t empty = site_tape(s, "FIRN01L8", "used");
    int64_t room = site_tape(s, "FIRN01L8", "available");
    site_write(s, "f", LARGE, 1);
    assert_true(site_run(s, ENGINE_MIGRATE, "pool1@lib1", names).ok);
    int64_t used = site_tape(s, "FIRN01L8", "used");
    int64_t left = site_tape(s, "FIRN01L8", "available");
    assert_true(used >= empty + LARGE && used < empty + LARGE + (4 << 20));
    assert_true(left <= room - LARGE);
    assert_int_equal(site_tape(s, "FIRN01L8", "files"), 1);
    site_restart(s, NULL);
    /* Its last index was written before the stop: nothing has changed since. */
    assert_int_equal(site_tape(s, "FIRN01L8", "used"), used);
    assert_int_equal(site_tape(s, "FIRN01L8", "files"), 1);
    assert_true(site_tape(s, "FIRN01L8", "available") <= room - LARGE);
    assert_true(site_tape(s, "FIRN01L8", "available") > 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(bytes_grow_while_a_file_is_copied_and_recalled),
        T(two_copies_of_a_file_count_its_bytes_once),
        T(cancel_ends_a_copy_that_is_under_way),
        T(what_tapes_hold_is_told_at_once_and_after_a_restart),
    };
#undef T
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
