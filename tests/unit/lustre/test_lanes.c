/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lustre/lanes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MANY 20000

static struct lanes *make(unsigned workers, size_t queue_max)
{
    const struct lanes_config c = {
        .queue_max = queue_max,
        .workers = workers,
        .limit = {workers, workers - 1, 2, workers - 2},
        .reserve = 1,
    };
    return lanes_new(&c);
}

static struct lane_entry entry(uint32_t action, uint32_t oid, uint64_t cookie, uint32_t archive,
                               bool blocking)
{
    return (struct lane_entry){.fid = {.seq = 0x200000401, .oid = oid},
                               .cookie = cookie,
                               .action = action,
                               .archive_id = archive,
                               .blocking = blocking};
}

static void none(void *arg, struct lane_entry *e)
{
    (void)arg;
    fail_msg("cookie %llu was given back", (unsigned long long)e->cookie);
}

static void keep(void *arg, struct lane_entry *e)
{
    *(struct lane_entry **)arg = e;
}

static void readers_go_before_restores_removals_and_archives(void **state)
{
    (void)state;
    struct lanes *l = make(8, 100);
    struct lane_entry e[4] = {
        entry(HSMA_ARCHIVE, 1, 1, 1, false), entry(HSMA_REMOVE, 2, 2, 1, false),
        entry(HSMA_RESTORE, 3, 3, 1, false), entry(HSMA_RESTORE, 4, 4, 1, true)};
    for (int i = 0; i < 4; i++)
        assert_int_equal(lanes_add(l, &e[i]), 0);
    for (int i = 3; i >= 0; i--)
        assert_ptr_equal(lanes_take(l), &e[i]);
    assert_null(lanes_take(l));
    for (int i = 0; i < 4; i++)
        lanes_done(l, &e[i], false, none, NULL);
    lanes_free(l);
}

static void a_lane_has_its_bound_and_readers_keep_a_worker(void **state)
{
    (void)state;
    struct lanes *l = make(4, 100);
    struct lane_entry a[4], r[4], w = entry(HSMA_RESTORE, 90, 90, 1, true);
    for (uint32_t i = 0; i < 4; i++) {
        a[i] = entry(HSMA_ARCHIVE, 10 + i, 10 + i, 1, false);
        r[i] = entry(HSMA_RESTORE, 20 + i, 20 + i, 1, false);
        assert_int_equal(lanes_add(l, &a[i]), 0);
    }
    assert_ptr_equal(lanes_take(l), &a[0]);
    assert_ptr_equal(lanes_take(l), &a[1]);
    assert_null(lanes_take(l)); /* two archives are the bound */
    for (int i = 0; i < 4; i++)
        assert_int_equal(lanes_add(l, &r[i]), 0);
    assert_ptr_equal(lanes_take(l), &r[0]);
    assert_null(lanes_take(l)); /* the fourth worker is kept */
    assert_int_equal(lanes_add(l, &w), 0);
    assert_ptr_equal(lanes_take(l), &w);
    assert_null(lanes_take(l)); /* no worker is left */
    assert_int_equal(lanes_running(l, LANE_ARCHIVE), 2);
    assert_int_equal(lanes_waiting(l, LANE_RESTORE), 3);
    lanes_done(l, &a[0], false, none, NULL);
    assert_ptr_equal(lanes_take(l), &r[1]);
    for (struct lane_entry *e = NULL; (e = lanes_pop_waiting(l)) != NULL;)
        assert_int_equal(e->state, LANE_NONE);
    lanes_done(l, &a[1], false, none, NULL);
    lanes_done(l, &r[0], false, none, NULL);
    lanes_done(l, &r[1], false, none, NULL);
    lanes_done(l, &w, false, none, NULL);
    lanes_free(l);
}

static void archive_ids_take_turns(void **state)
{
    (void)state;
    struct lanes *l = make(16, 100);
    struct lane_entry a[6];
    for (uint32_t i = 0; i < 6; i++) {
        a[i] = entry(HSMA_ARCHIVE, i + 1, i + 1, i < 5 ? 1 : 2, false);
        assert_int_equal(lanes_add(l, &a[i]), 0);
    }
    assert_ptr_equal(lanes_take(l), &a[0]);
    assert_ptr_equal(lanes_take(l), &a[5]); /* id 2 does not wait for all of id 1 */
    assert_ptr_equal(lanes_take(l), &a[1]);
    for (int i = 2; i < 5; i++)
        assert_ptr_equal(lanes_take(l), &a[i]);
    for (int i = 0; i < 6; i++)
        lanes_done(l, &a[i], false, none, NULL);
    lanes_free(l);
}

static void actions_of_one_file_run_one_after_another(void **state)
{
    (void)state;
    struct lanes *l = make(8, 100);
    struct lane_entry a = entry(HSMA_ARCHIVE, 1, 1, 1, false),
                      r = entry(HSMA_REMOVE, 1, 2, 1, false),
                      again = entry(HSMA_ARCHIVE, 1, 3, 1, false);
    assert_int_equal(lanes_add(l, &a), 0);
    assert_int_equal(lanes_add(l, &r), 0);
    assert_int_equal(lanes_add(l, &again), 0); /* a removal stands between */
    assert_int_equal(r.state, LANE_BEHIND);
    assert_ptr_equal(lanes_take(l), &a);
    assert_null(lanes_take(l));
    lanes_done(l, &a, false, none, NULL);
    assert_ptr_equal(lanes_take(l), &r);
    assert_null(lanes_take(l));
    lanes_done(l, &r, false, none, NULL);
    assert_ptr_equal(lanes_take(l), &again);
    lanes_done(l, &again, false, none, NULL);
    lanes_free(l);
}

static void a_second_archive_is_refused_and_the_same_cookie_known(void **state)
{
    (void)state;
    struct lanes *l = make(8, 100);
    struct lane_entry a = entry(HSMA_ARCHIVE, 1, 1, 1, false),
                      b = entry(HSMA_ARCHIVE, 1, 2, 1, false),
                      twin = entry(HSMA_ARCHIVE, 1, 1, 1, false),
                      other = entry(HSMA_ARCHIVE, 2, 1, 1, false); /* of another MDT */
    assert_int_equal(lanes_add(l, &a), 0);
    assert_int_equal(lanes_add(l, &b), -EALREADY);
    assert_int_equal(lanes_add(l, &twin), -EEXIST);
    assert_int_equal(lanes_add(l, &other), 0);
    assert_ptr_equal(lanes_take(l), &a);
    assert_int_equal(lanes_add(l, &b), -EALREADY);
    lanes_done(l, &a, false, none, NULL);
    assert_int_equal(lanes_add(l, &b), 0);
    assert_ptr_equal(lanes_find(l, 1, &other.fid), &other);
    assert_null(lanes_find(l, 1, &a.fid));
    lanes_remove(l, &b);
    lanes_remove(l, &other);
    lanes_free(l);
}

static void restores_behind_one_that_succeeded_are_given_back(void **state)
{
    (void)state;
    struct lanes *l = make(8, 100);
    struct lane_entry a = entry(HSMA_RESTORE, 1, 1, 1, false),
                      b = entry(HSMA_RESTORE, 1, 2, 1, false), *given = NULL;
    assert_int_equal(lanes_add(l, &a), 0);
    assert_int_equal(lanes_add(l, &b), 0);
    assert_ptr_equal(lanes_take(l), &a);
    lanes_done(l, &a, false, none, NULL); /* it failed: the next one tries */
    assert_ptr_equal(lanes_take(l), &b);
    assert_int_equal(lanes_add(l, &a), 0);
    lanes_done(l, &b, true, keep, &given);
    assert_ptr_equal(given, &a);
    assert_null(lanes_take(l));
    lanes_free(l);
}

static void what_comes_while_another_ends_is_judged_by_itself(void **state)
{
    (void)state;
    struct lanes *l = make(8, 100);
    struct lane_entry a = entry(HSMA_RESTORE, 1, 1, 1, false),
                      b = entry(HSMA_RESTORE, 1, 2, 1, true),
                      c = entry(HSMA_ARCHIVE, 2, 3, 1, false),
                      d = entry(HSMA_ARCHIVE, 2, 4, 1, false);
    assert_int_equal(lanes_add(l, &a), 0);
    assert_ptr_equal(lanes_take(l), &a);
    a.ending = true; /* restored, and released again before lanes_done */
    assert_int_equal(lanes_add(l, &b), 0);
    lanes_done(l, &a, true, none, NULL);
    assert_ptr_equal(lanes_take(l), &b);
    assert_int_equal(lanes_add(l, &c), 0);
    assert_ptr_equal(lanes_take(l), &c);
    c.ending = true;
    assert_int_equal(lanes_add(l, &d), 0);
    lanes_done(l, &c, false, none, NULL);
    assert_ptr_equal(lanes_take(l), &d);
    lanes_done(l, &b, false, none, NULL);
    lanes_done(l, &d, false, none, NULL);
    lanes_free(l);
}

static void a_reader_lets_a_waiting_restore_of_its_file_come_forward(void **state)
{
    (void)state;
    struct lanes *l = make(8, 100);
    struct lane_entry other = entry(HSMA_RESTORE, 1, 1, 1, false),
                      mine = entry(HSMA_RESTORE, 2, 2, 1, false),
                      reader = entry(HSMA_RESTORE, 2, 3, 1, true), *given = NULL;
    assert_int_equal(lanes_add(l, &other), 0);
    assert_int_equal(lanes_add(l, &mine), 0);
    assert_int_equal(lanes_add(l, &reader), 0);
    assert_ptr_equal(lanes_take(l), &mine);
    assert_int_equal(mine.lane, LANE_READER);
    lanes_done(l, &mine, true, keep, &given);
    assert_ptr_equal(given, &reader);
    assert_ptr_equal(lanes_take(l), &other);
    lanes_done(l, &other, false, none, NULL);
    lanes_free(l);
}

static void the_queue_is_bounded(void **state)
{
    (void)state;
    struct lanes *l = make(4, 2);
    struct lane_entry e[4];
    for (uint32_t i = 0; i < 4; i++)
        e[i] = entry(HSMA_ARCHIVE, i + 1, i + 1, 1, false);
    assert_int_equal(lanes_add(l, &e[0]), 0);
    assert_int_equal(lanes_add(l, &e[1]), 0);
    assert_int_equal(lanes_add(l, &e[2]), -EBUSY);
    assert_null(lanes_find(l, 3, &e[2].fid));
    assert_ptr_equal(lanes_take(l), &e[0]);
    assert_int_equal(lanes_add(l, &e[2]), 0);
    assert_int_equal(lanes_add(l, &e[3]), -EBUSY);
    lanes_remove(l, &e[1]);
    assert_ptr_equal(lanes_take(l), &e[2]);
    lanes_done(l, &e[0], false, none, NULL);
    lanes_done(l, &e[2], false, none, NULL);
    lanes_free(l);
}

/* What must hold whatever comes: one action of a file at a time, bounds, and nothing is lost. */
static void random_traffic_keeps_the_rules(void **state)
{
    (void)state;
    static struct lane_entry e[MANY];
    static const uint32_t actions[] = {HSMA_ARCHIVE, HSMA_RESTORE, HSMA_REMOVE};
    struct lanes *l = make(16, 500);
    struct lane_entry *run[16];
    size_t running = 0, added = 0, ended = 0;
    unsigned seed = 7;
    for (uint32_t i = 0; i < MANY || running > 0 || lanes_waiting(l, LANE_READER) > 0;) {
        unsigned dice = (unsigned)rand_r(&seed) % 4;
        if (dice < 2 && i < MANY) {
            e[i] = entry(actions[(unsigned)rand_r(&seed) % 3], 1 + (uint32_t)rand_r(&seed) % 300, i,
                         (uint32_t)rand_r(&seed) % 3, rand_r(&seed) % 2 == 0);
            added += lanes_add(l, &e[i]) == 0;
            i++;
        } else if (dice == 2) {
            struct lane_entry *t = lanes_take(l);
            for (size_t k = 0; t != NULL && k < running; k++)
                assert_int_not_equal(run[k]->fid.oid, t->fid.oid);
            if (t != NULL)
                run[running++] = t;
            assert_true(running <= 16);
        } else if (running > 0) {
            size_t k = (size_t)rand_r(&seed) % running;
            lanes_done(l, run[k], false, none, NULL);
            run[k] = run[--running];
            ended++;
        }
    }
    while (lanes_pop_waiting(l) != NULL)
        ended++;
    assert_int_equal(added, ended);
    lanes_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_go_before_restores_removals_and_archives),
        cmocka_unit_test(a_lane_has_its_bound_and_readers_keep_a_worker),
        cmocka_unit_test(archive_ids_take_turns),
        cmocka_unit_test(actions_of_one_file_run_one_after_another),
        cmocka_unit_test(a_second_archive_is_refused_and_the_same_cookie_known),
        cmocka_unit_test(restores_behind_one_that_succeeded_are_given_back),
        cmocka_unit_test(what_comes_while_another_ends_is_judged_by_itself),
        cmocka_unit_test(a_reader_lets_a_waiting_restore_of_its_file_come_forward),
        cmocka_unit_test(the_queue_is_bounded),
        cmocka_unit_test(random_traffic_keeps_the_rules),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
