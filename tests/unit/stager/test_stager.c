/* SPDX-License-Identifier: Apache-2.0 */
/* Whole runs of the stager against a simulated coordinator, on simulated time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "sim.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct sim_run run;

static void all_are(enum stager_result result)
{
    for (size_t i = 0; i < sim.n; i++) {
        if (run.told[i].times != 1 || run.told[i].result != result)
            print_error("file %zu: %s (%s)\n", i, stager_result_name(run.told[i].result),
                        run.told[i].reason);
        assert_int_equal(run.told[i].times, 1);
        assert_int_equal(run.told[i].result, result);
    }
}

static void every_file_is_archived_and_told_once(void **state)
{
    (void)state;
    sim_begin(3000, 0);
    sim_prepare(&run, STAGER_ARCHIVE);
    assert_int_equal(sim_run(&run), 0);
    all_are(STAGER_DONE);
    assert_int_equal(run.counts.results[STAGER_DONE], 3000);
    assert_int_equal(run.counts.bytes_done, 30000);
    for (size_t i = 0; i < sim.n; i++)
        assert_int_equal(sim.files[i].requests, 1);
    sim_end();
}

static void the_window_is_never_exceeded_and_is_filled(void **state)
{
    (void)state;
    sim_begin(2000, 0);
    sim_prepare(&run, STAGER_ARCHIVE);
    run.cfg.window = 100;
    assert_int_equal(sim_run(&run), 0);
    all_are(STAGER_DONE);
    assert_true(sim.in_hand_max <= 100);
    assert_int_equal(run.counts.outstanding_max, 100);
    sim_end();
}

static void requests_are_as_large_as_the_mdt_takes_and_no_larger(void **state)
{
    (void)state;
    sim_begin(520, 0);
    sim_prepare(&run, STAGER_ARCHIVE);
    assert_int_equal(sim_run(&run), 0);
    assert_int_equal(sim.calls, 10);
    assert_int_equal(sim.largest_request, 24 + 32 * 52);
    sim_end();
    sim_begin(100, 0);
    sim_prepare(&run, STAGER_ARCHIVE);
    run.cfg.hint = (struct stager_hint){.archive_id = 7, .data = "tag=hello,family=s3"};
    assert_int_equal(sim_run(&run), 0);
    assert_true(sim.largest_request <= HSM_REQUEST_MAX);
    assert_int_equal(sim.calls, 2);
    assert_string_equal(sim.files[99].data, "tag=hello,family=s3");
    assert_int_equal(sim.files[99].wanted_id, 7);
    sim_end();
}

static void files_that_need_nothing_are_not_requested(void **state)
{
    (void)state;
    sim_begin(10, HS_EXISTS | HS_ARCHIVED);
    sim_prepare(&run, STAGER_ARCHIVE);
    assert_int_equal(sim_run(&run), 0);
    all_are(STAGER_ALREADY);
    assert_int_equal(sim.calls, 0);
    sim_end();
}

static void a_dry_run_requests_nothing(void **state)
{
    (void)state;
    sim_begin(10, 0);
    sim_prepare(&run, STAGER_ARCHIVE);
    run.cfg.dry_run = true;
    assert_int_equal(sim_run(&run), 0);
    all_are(STAGER_PLANNED);
    assert_int_equal(sim.calls, 0);
    sim_end();
}

static void a_restore_answered_with_enodata_counts_as_queued(void **state)
{
    (void)state;
    sim_begin(60, HS_EXISTS | HS_ARCHIVED | HS_RELEASED);
    sim.nonblocking = true;
    sim_prepare(&run, STAGER_RESTORE);
    assert_int_equal(sim_run(&run), 0);
    all_are(STAGER_DONE);
    assert_int_equal(sim.calls, 2);
    sim_end();
}

static void files_are_released_one_by_one(void **state)
{
    (void)state;
    sim_begin(5, HS_EXISTS | HS_ARCHIVED);
    sim.files[1].states = 0;
    sim.files[2].states |= HS_DIRTY;
    sim.files[3].states |= HS_NORELEASE;
    sim_prepare(&run, STAGER_RELEASE);
    assert_int_equal(sim_run(&run), 0);
    assert_int_equal(run.told[0].result, STAGER_DONE);
    assert_int_equal(run.told[4].result, STAGER_DONE);
    for (size_t i = 1; i < 4; i++) {
        assert_int_equal(run.told[i].result, STAGER_FAILED);
        assert_int_equal(run.told[i].error, EPERM);
    }
    assert_non_null(strstr(run.told[1].reason, "firn lustre archive"));
    assert_non_null(strstr(run.told[2].reason, "written to"));
    assert_non_null(strstr(run.told[3].reason, "norelease"));
    assert_int_equal(sim.calls, 2);
    sim_end();
}

static void archive_and_release_does_both(void **state)
{
    (void)state;
    sim_begin(70, 0);
    sim.files[3].states = HS_EXISTS | HS_ARCHIVED;
    sim_prepare(&run, STAGER_ARCHIVE);
    run.cfg.hint.release = true;
    assert_int_equal(sim_run(&run), 0);
    all_are(STAGER_DONE);
    for (size_t i = 0; i < sim.n; i++)
        assert_true((sim.files[i].states & HS_RELEASED) != 0);
    sim_end();
}

static void a_failed_action_is_tried_again_and_then_told(void **state)
{
    (void)state;
    sim_begin(3, 0);
    sim.files[0].fails = 2;
    sim.files[1].fails = 100;
    sim_prepare(&run, STAGER_ARCHIVE);
    run.cfg.retries = 2;
    assert_int_equal(sim_run(&run), 0);
    assert_int_equal(run.told[0].result, STAGER_DONE);
    assert_int_equal(run.told[0].attempts, 3);
    assert_int_equal(run.told[1].result, STAGER_FAILED);
    assert_int_equal(run.told[1].error, EIO);
    assert_int_equal(run.told[1].attempts, 3);
    assert_non_null(strstr(run.told[1].reason, "log"));
    assert_int_equal(run.told[2].attempts, 1);
    sim_end();
}

static void many_failures_are_found_in_a_time_that_can_be_waited_for(void **state)
{
    (void)state;
    sim_begin(2000, 0);
    for (size_t i = 0; i < sim.n; i++)
        sim.files[i].fails = 1;
    sim_prepare(&run, STAGER_ARCHIVE);
    run.cfg.retries = 0;
    int64_t begin = clock_now_ns(sim.clock);
    assert_int_equal(sim_run(&run), 0);
    all_are(STAGER_FAILED);
    assert_true(clock_now_ns(sim.clock) - begin < 40 * NS_PER_SEC);
    assert_true(sim.actions < 2 * sim.n);
    sim_end();
}

/* A hsm.actions that says of every file that an action failed, which is old news for those that
 * are in work. */
static char *write_actions(void)
{
    char *top = xasprintf("%s.params", sim.dir);
    auto_free char *hsm = xasprintf("%s/mdt/sim-MDT0000/hsm", top);
    auto_free char *path = xasprintf("%s/actions", hsm);
    assert_int_equal(io_mkdirs(hsm, 0700, &run.err), 0);
    auto_fclose FILE *f = fopen(path, "we");
    assert_non_null(f);
    for (size_t i = 0; i < sim.n; i++)
        (void)fprintf(f, "fid=[0x200000401:0x%x:0x0] action=ARCHIVE status=FAILED\n",
                      sim.files[i].fid.oid);
    return top;
}

static int drop(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void hints_of_the_server_are_followed_and_not_believed(void **state)
{
    (void)state;
    sim_begin(100, 0);
    for (size_t i = 0; i < 50; i++)
        sim.files[i].fails = 1;
    auto_free char *top = write_actions();
    const char *const roots[] = {top, NULL};
    sim_prepare(&run, STAGER_ARCHIVE);
    run.cfg.params = roots;
    run.cfg.retries = 0;
    int64_t begin = clock_now_ns(sim.clock);
    assert_int_equal(sim_run(&run), 0);
    assert_int_equal(run.counts.results[STAGER_FAILED], 50);
    assert_int_equal(run.counts.results[STAGER_DONE], 50);
    assert_true(clock_now_ns(sim.clock) - begin < 5 * NS_PER_SEC); /* sooner than by suspicion */
    assert_int_equal(nftw(top, drop, 8, FTW_DEPTH | FTW_PHYS), 0);
    sim_end();
}

static void a_file_replaced_under_its_name_is_still_the_one_that_is_watched(void **state)
{
    char aside[128];
    (void)state;
    sim_begin(2, 0);
    sim.took_ns = 60 * NS_PER_SEC;
    sim_prepare(&run, STAGER_ARCHIVE);
    run.end = 1;
    run.swap_after = true; /* once it is requested, its name is another file's */
    assert_int_equal(sim_run(&run), 0);
    assert_int_equal(run.told[0].result, STAGER_DONE);
    assert_int_equal(sim.files[0].states, HS_EXISTS | HS_ARCHIVED);
    assert_int_equal(sim.files[1].states, 0);
    assert_int_equal(sim.files[0].requests, 1);
    (void)snprintf(aside, sizeof(aside), "%s.aside", sim.files[0].path);
    assert_int_equal(unlink(aside), 0);
    sim_end();
}

static void one_refused_file_does_not_take_its_batch_along(void **state)
{
    (void)state;
    sim_begin(52, 0);
    sim.files[20].refusals = 1000;
    sim.files[20].refuse_with = -EPERM;
    sim_prepare(&run, STAGER_ARCHIVE);
    assert_int_equal(sim_run(&run), 0);
    for (size_t i = 0; i < sim.n; i++) {
        assert_int_equal(run.told[i].result, i == 20 ? STAGER_FAILED : STAGER_DONE);
        if (i != 20)
            assert_int_equal(sim.files[i].requests, 1);
    }
    assert_int_equal(run.told[20].error, EPERM);
    sim_end();
}

static void a_coordinator_that_is_off_is_waited_for(void **state)
{
    (void)state;
    sim_begin(100, 0);
    sim.off_until_ns = clock_now_ns(sim.clock) + 120 * NS_PER_SEC;
    sim_prepare(&run, STAGER_ARCHIVE);
    assert_int_equal(sim_run(&run), 0);
    all_are(STAGER_DONE);
    assert_int_equal(run.told[0].attempts, 1);
    assert_true(sim.calls < 20);
    sim_end();
}

static void a_coordinator_that_stays_off_ends_the_run(void **state)
{
    (void)state;
    sim_begin(100, 0);
    sim.off_until_ns = INT64_MAX;
    sim_prepare(&run, STAGER_ARCHIVE);
    run.cfg.patience_ns = 60 * NS_PER_SEC;
    assert_int_equal(sim_run(&run), -EAGAIN);
    assert_non_null(strstr(run.err.text, "hsm_control"));
    assert_int_equal(run.told[0].times, 0);
    sim_end();
}

static void slow_actions_are_waited_for_without_many_questions(void **state)
{
    (void)state;
    sim_begin(200, HS_EXISTS | HS_ARCHIVED | HS_RELEASED);
    sim.took_ns = 6 * 3600 * NS_PER_SEC;
    sim_prepare(&run, STAGER_RESTORE);
    assert_int_equal(sim_run(&run), 0);
    all_are(STAGER_DONE);
    assert_true(sim.states < 200 * 800);
    assert_true(sim.actions < 200 * 80);
    sim_end();
}

static void states_are_asked_for_at_the_rate_that_is_allowed(void **state)
{
    (void)state;
    sim_begin(1000, 0);
    sim.took_ns = 20 * NS_PER_SEC;
    sim_prepare(&run, STAGER_ARCHIVE);
    run.cfg.polls_per_s = 20;
    int64_t begin = clock_now_ns(sim.clock);
    assert_int_equal(sim_run(&run), 0);
    double s = (double)(clock_now_ns(sim.clock) - begin) / 1e9;
    assert_true((double)run.counts.polls <= 20 * (s + 1) + 1);
    all_are(STAGER_DONE);
    sim_end();
}

static void a_file_without_an_end_is_given_up_after_the_timeout(void **state)
{
    (void)state;
    sim_begin(2, 0);
    sim.took_ns = 3600 * NS_PER_SEC;
    sim_prepare(&run, STAGER_ARCHIVE);
    run.cfg.timeout_ns = 60 * NS_PER_SEC;
    assert_int_equal(sim_run(&run), 0);
    all_are(STAGER_FAILED);
    assert_int_equal(run.told[0].error, ETIMEDOUT);
    sim_end();
}

static void without_waiting_the_window_still_holds(void **state)
{
    (void)state;
    sim_begin(300, 0);
    sim_prepare(&run, STAGER_ARCHIVE);
    run.cfg.window = 50;
    run.cfg.wait = false;
    assert_int_equal(sim_run(&run), 0);
    assert_true(sim.in_hand_max <= 50);
    assert_int_equal(run.counts.results[STAGER_QUEUED], 50);
    assert_int_equal(run.counts.results[STAGER_DONE], 250);
    sim_end();
}

static void a_run_that_is_stopped_says_so_and_tells_no_end(void **state)
{
    (void)state;
    sim_begin(300, 0);
    sim_prepare(&run, STAGER_ARCHIVE);
    run.cfg.window = 60;
    run.stop_after = 60;
    assert_int_equal(sim_run(&run), STAGER_INTERRUPTED);
    assert_int_equal(run.counts.outstanding, 60);
    assert_int_equal(run.counts.results[STAGER_DONE], 0);
    sim_end();
}

static void what_an_earlier_run_requested_is_not_requested_again(void **state)
{
    (void)state;
    sim_begin(60, 0);
    sim_prepare(&run, STAGER_ARCHIVE);
    run.stop_after = 52;
    assert_int_equal(sim_run(&run), STAGER_INTERRUPTED);
    sim_prepare(&run, STAGER_ARCHIVE);
    run.sent = true;
    assert_int_equal(sim_run(&run), 0);
    all_are(STAGER_DONE);
    for (size_t i = 0; i < sim.n; i++)
        assert_int_equal(sim.files[i].requests, 1);
    sim_end();
}

static void files_are_requested_in_the_order_of_their_fids(void **state)
{
    (void)state;
    sim_begin(500, 0);
    for (size_t i = 0; i < sim.n / 2; i++) { /* the list's order is another */
        struct sim_file t = sim.files[i];
        sim.files[i] = sim.files[sim.n - 1 - i];
        sim.files[sim.n - 1 - i] = t;
    }
    sim_prepare(&run, STAGER_ARCHIVE);
    run.cfg.ordered = true;
    assert_int_equal(sim_run(&run), 0);
    for (size_t i = 1; i < run.norder; i++)
        assert_true(sim.files[run.order[i - 1]].fid.oid < sim.files[run.order[i]].fid.oid);
    sim_prepare(&run, STAGER_REMOVE);
    assert_int_equal(sim_run(&run), 0);
    for (size_t i = 0; i < run.norder; i++)
        assert_int_equal(run.order[i], i);
    sim_end();
}

static void files_given_by_fid_are_found_and_named(void **state)
{
    (void)state;
    sim_begin(5, 0);
    sim_prepare(&run, STAGER_ARCHIVE);
    run.as_fid = true;
    run.cfg.names = true;
    assert_int_equal(sim_run(&run), 0);
    all_are(STAGER_DONE);
    assert_non_null(strstr(run.told[2].path, "/found"));
    sim_end();
}

static void a_deleted_file_can_still_be_removed_from_the_archive(void **state)
{
    (void)state;
    sim_begin(1, HS_EXISTS | HS_ARCHIVED);
    sim_prepare(&run, STAGER_REMOVE);
    run.as_ghost = true;
    assert_int_equal(sim_run(&run), 0);
    assert_int_equal(run.told[0].result, STAGER_QUEUED);
    assert_int_equal(sim.calls, 1);
    sim_prepare(&run, STAGER_ARCHIVE);
    run.as_ghost = true;
    assert_int_equal(sim_run(&run), 0);
    assert_int_equal(run.told[0].result, STAGER_FAILED);
    assert_int_equal(run.told[0].error, ENOENT);
    assert_int_equal(sim.calls, 1);
    sim_end();
}

static void a_file_deleted_meanwhile_is_told(void **state)
{
    (void)state;
    sim_begin(2, 0);
    sim.took_ns = 3600 * NS_PER_SEC;
    sim_prepare(&run, STAGER_ARCHIVE);
    run.stop_after = 2;
    assert_int_equal(sim_run(&run), STAGER_INTERRUPTED);
    sim_prepare(&run, STAGER_ARCHIVE);
    run.sent = true;
    (void)unlink(sim.files[0].path);
    sim.files[1].end_ns = clock_now_ns(sim.clock);
    assert_int_equal(sim_run(&run), 0);
    assert_int_equal(run.told[0].error, ENOENT);
    assert_int_equal(run.told[1].result, STAGER_ALREADY);
    sim_end();
}

static void actions_are_cancelled_and_others_left_alone(void **state)
{
    (void)state;
    sim_begin(20, 0);
    sim.took_ns = 3600 * NS_PER_SEC;
    sim_prepare(&run, STAGER_ARCHIVE);
    run.end = 10;
    run.stop_after = 10;
    assert_int_equal(sim_run(&run), STAGER_INTERRUPTED);
    sim_prepare(&run, STAGER_CANCEL);
    assert_int_equal(sim_run(&run), 0);
    for (size_t i = 0; i < sim.n; i++) {
        assert_int_equal(run.told[i].result, i < 10 ? STAGER_DONE : STAGER_ALREADY);
        assert_int_equal(sim.files[i].action, 0);
    }
    sim_end();
}

static void directories_and_links_are_refused(void **state)
{
    (void)state;
    sim_begin(2, 0);
    assert_int_equal(unlink(sim.files[0].path), 0);
    assert_int_equal(symlink(sim.files[1].path, sim.files[0].path), 0);
    sim_prepare(&run, STAGER_ARCHIVE);
    assert_int_equal(sim_run(&run), 0);
    assert_int_equal(run.told[0].result, STAGER_FAILED);
    assert_int_equal(run.told[0].error, EINVAL);
    assert_int_equal(run.told[1].result, STAGER_DONE);
    sim_end();
}

static void a_file_with_two_names_is_requested_once(void **state)
{
    (void)state;
    sim_begin(30, 0);
    assert_int_equal(unlink(sim.files[7].path), 0);
    assert_int_equal(link(sim.files[3].path, sim.files[7].path), 0);
    sim_prepare(&run, STAGER_ARCHIVE);
    assert_int_equal(sim_run(&run), 0);
    assert_int_equal(sim.files[3].requests, 1);
    assert_int_equal(run.told[3].result, STAGER_DONE);
    assert_int_equal(run.told[7].result, STAGER_ALREADY);
    sim_end();
}

static void many_threads_do_the_same(void **state)
{
    (void)state;
    sim_begin(2000, HS_EXISTS | HS_ARCHIVED);
    sim_prepare(&run, STAGER_RELEASE);
    run.cfg.threads = 8;
    sim.took_ns = 0;
    assert_int_equal(sim_run(&run), 0);
    all_are(STAGER_DONE);
    sim_end();
}

static void a_library_without_actions_still_sees_ends(void **state)
{
    struct llapi api = sim_api;
    (void)state;
    sim_begin(60, 0);
    api.hsm_current_action = NULL;
    sim_prepare(&run, STAGER_ARCHIVE);
    run.cfg.api = &api;
    assert_int_equal(sim_run(&run), 0);
    all_are(STAGER_DONE);
    sim_end();
}

static void the_time_that_is_left_is_told(void **state)
{
    (void)state;
    sim_begin(1000, 0);
    sim.took_ns = 10 * NS_PER_SEC; /* 100 files each ten seconds: a hundred seconds */
    sim_prepare(&run, STAGER_ARCHIVE);
    run.cfg.window = 100;
    assert_int_equal(sim_run(&run), 0);
    assert_in_range(run.first_eta_s, 30, 300);
    assert_int_equal(run.counts.eta_s, 0);
    sim_end();
}

static int keep_state(void *arg, const struct stager_state *st)
{
    size_t *n = arg;
    assert_int_equal(st->ordinal, *n);
    assert_int_equal(st->state.states, HS_EXISTS | HS_ARCHIVED);
    (*n)++;
    return 0;
}

static int next_path(void *arg, struct stager_file *out, struct err *err)
{
    size_t *at = arg;
    (void)err;
    if (*at == sim.n)
        return 0;
    *out = (struct stager_file){.path = sim.files[*at].path, .ordinal = *at};
    (*at)++;
    return 1;
}

static void states_are_told_in_the_order_of_the_list(void **state)
{
    size_t at = 0;
    size_t n = 0;
    (void)state;
    sim_begin(2500, HS_EXISTS | HS_ARCHIVED);
    sim_prepare(&run, STAGER_ARCHIVE);
    const struct stager_source source = {next_path, &at, 0};
    assert_int_equal(stager_states(&run.cfg, &source, false, keep_state, &n, &run.err), 0);
    assert_int_equal(n, 2500);
    sim_end();
}

static void the_mount_point_is_the_highest_directory_of_the_file_system(void **state)
{
    char *mount = NULL;
    char sub[128];
    (void)state;
    sim_begin(1, 0);
    (void)snprintf(sub, sizeof(sub), "%s/a", sim.dir);
    assert_int_equal(mkdir(sub, 0700), 0);
    assert_int_equal(stager_find_mount(&sim_api, sub, &mount, &run.err), 0);
    assert_string_equal(mount, sim.dir);
    free(mount);
    assert_int_equal(stager_find_mount(&sim_api, "/var", &mount, &run.err), -ENODEV);
    assert_int_equal(rmdir(sub), 0);
    sim_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_is_archived_and_told_once),
        cmocka_unit_test(the_window_is_never_exceeded_and_is_filled),
        cmocka_unit_test(requests_are_as_large_as_the_mdt_takes_and_no_larger),
        cmocka_unit_test(files_that_need_nothing_are_not_requested),
        cmocka_unit_test(a_dry_run_requests_nothing),
        cmocka_unit_test(a_restore_answered_with_enodata_counts_as_queued),
        cmocka_unit_test(files_are_released_one_by_one),
        cmocka_unit_test(archive_and_release_does_both),
        cmocka_unit_test(a_failed_action_is_tried_again_and_then_told),
        cmocka_unit_test(many_failures_are_found_in_a_time_that_can_be_waited_for),
        cmocka_unit_test(hints_of_the_server_are_followed_and_not_believed),
        cmocka_unit_test(a_file_replaced_under_its_name_is_still_the_one_that_is_watched),
        cmocka_unit_test(one_refused_file_does_not_take_its_batch_along),
        cmocka_unit_test(a_coordinator_that_is_off_is_waited_for),
        cmocka_unit_test(a_coordinator_that_stays_off_ends_the_run),
        cmocka_unit_test(slow_actions_are_waited_for_without_many_questions),
        cmocka_unit_test(states_are_asked_for_at_the_rate_that_is_allowed),
        cmocka_unit_test(a_file_without_an_end_is_given_up_after_the_timeout),
        cmocka_unit_test(without_waiting_the_window_still_holds),
        cmocka_unit_test(a_run_that_is_stopped_says_so_and_tells_no_end),
        cmocka_unit_test(what_an_earlier_run_requested_is_not_requested_again),
        cmocka_unit_test(files_are_requested_in_the_order_of_their_fids),
        cmocka_unit_test(files_given_by_fid_are_found_and_named),
        cmocka_unit_test(a_deleted_file_can_still_be_removed_from_the_archive),
        cmocka_unit_test(a_file_deleted_meanwhile_is_told),
        cmocka_unit_test(actions_are_cancelled_and_others_left_alone),
        cmocka_unit_test(directories_and_links_are_refused),
        cmocka_unit_test(a_file_with_two_names_is_requested_once),
        cmocka_unit_test(many_threads_do_the_same),
        cmocka_unit_test(a_library_without_actions_still_sees_ends),
        cmocka_unit_test(the_time_that_is_left_is_told),
        cmocka_unit_test(states_are_told_in_the_order_of_the_list),
        cmocka_unit_test(the_mount_point_is_the_highest_directory_of_the_file_system),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
