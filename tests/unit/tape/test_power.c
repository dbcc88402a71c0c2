/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power cuts and crashes at every point of a small session. What a finished sync covered must be
 * there afterwards, what it did not cover is there whole or not at all, and the volume takes new
 * files. The whole loop runs for four kinds of cut: everything written before it survives (a
 * killed process), only what was flushed survives, the last record is torn in half, and the first
 * unflushed record is lost while later ones survive.
 */
#include "tape_fixture.h"

#include "base/cleanup.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SESSION_SYNCS 3

static const struct {
    const char *path;
    size_t len;
    unsigned seed;
    unsigned sync; /* the sync that makes it durable */
} files[] = {
    {"d/big", 20000, 1, 0},   {"d/small", 100, 2, 0}, {"exact", FIXTURE_BS, 3, 0},
    {"d/late", 9000, 4, 1},   {"d/tiny", 1, 5, 1},    {"empty", 0, 6, 1},
    {"last", 3 * 4096, 7, 2},
};
#define FILES (sizeof(files) / sizeof(files[0]))

/* Plays the session on d until something fails. Returns the number of syncs that returned 0; -1:
 * not even formatted. */
static int session(struct drive *d)
{
    struct err err = {0};
    auto_ltfs_volume struct ltfs_volume *v = NULL;
    int synced = 0;

    if (ltfs_format(d, "power", FIXTURE_BS, NULL, &err) != 0)
        return -1;
    if (ltfs_mount(d, 0, &v, &err) != 0)
        return 0;
    for (unsigned sync = 0; sync < SESSION_SYNCS; sync++) {
        for (size_t i = 0; i < FILES; i++) {
            if (files[i].sync == sync &&
                fixture_write(v, files[i].path, files[i].len, files[i].seed) != 0)
                return synced;
        }
        if (ltfs_sync(v, &err) != 0)
            return synced;
        synced++;
    }
    return synced;
}

/* Every file of a finished sync is there; any other one is whole or absent. */
static void check_files(struct ltfs_volume *v, int synced, const char *what)
{
    struct ltfs_node *n;
    for (size_t i = 0; i < FILES; i++) {
        bool there = fixture_has(v, files[i].path, files[i].len, files[i].seed);
        if ((int)files[i].sync < synced && !there)
            fail_msg("%s: %s is lost", what, files[i].path);
        if (!there && ltfs_lookup(v, files[i].path, &n) == 0)
            fail_msg("%s: %s is there but broken", what, files[i].path);
    }
}

/* The volume mounts without a problem, shows its files, takes another and passes the check. */
static void check_recovery(const char *cartridge, int synced, const char *what)
{
    struct err err = {0};
    struct ltfs_volume *v = NULL;
    struct ltfs_check_result result;
    auto_drive struct drive *d = fixture_load(cartridge);

    int rc = ltfs_mount(d, 0, &v, &err);
    if (synced < 0 && rc != 0)
        return; /* it was being formatted */
    if (rc != 0)
        fail_msg("%s: mount: %d %s", what, rc, err.text);
    check_files(v, synced, what);
    rc = fixture_write(v, "after the crash", 12345, 99);
    if (rc != 0)
        fail_msg("%s: no more files: %d", what, rc);
    assert_ok(ltfs_unmount(v, &err), err);
    assert_ok(ltfs_check(d, 0, NULL, NULL, &result, &err), err);
    if (result.problems != 0)
        fail_msg("%s: the check found %d problems", what, (int)result.problems);
    v = fixture_mount(d, LTFS_MOUNT_FULL_CHECK);
    check_files(v, synced, what);
    if (!fixture_has(v, "after the crash", 12345, 99))
        fail_msg("%s: the new file is lost", what);
    ltfs_volume_free(v);
}

struct kind {
    const char *name;
    bool drop, tear, hollow;
};

static const struct kind kinds[] = {{"kill", false, false, false},
                                    {"drop", true, false, false},
                                    {"tear", false, true, false},
                                    {"hollow", false, false, true}};

static struct drive *cut_drive(const char *cartridge, const struct kind *k, uint64_t at)
{
    struct err err = {0};
    struct drive *inner = NULL;
    const struct drive_fault_plan plan = {.power_cut_at = at,
                                          .drop_unflushed = k->drop,
                                          .tear_last = k->tear,
                                          .hollow_first = k->hollow,
                                          .cartridge = cartridge};
    assert_ok(drive_dir_open_cartridge(cartridge, &inner, &err), err);
    struct drive *d = drive_fault_new(inner, &plan);
    assert_ok(drive_load(d, &err), err);
    return d;
}

/* A session that is cut at operation at; *done when it ended before. */
static int cut_session(const char *cartridge, const struct kind *k, uint64_t at, bool *done)
{
    struct drive *d = cut_drive(cartridge, k, at);
    int synced = session(d);
    *done = drive_fault_operations(d) < at;
    drive_close(d);
    return synced;
}

static void every_power_cut_is_survived(const struct kind *k)
{
    bool done = false;
    uint64_t at = 1;
    for (; !done; at++) {
        char what[64];
        auto_free char *dir = fixture_scratch();
        auto_free char *cartridge = fixture_cartridge(dir, 8);
        (void)snprintf(what, sizeof(what), "%s at operation %d", k->name, (int)at);
        int synced = cut_session(cartridge, k, at, &done);
        check_recovery(cartridge, synced, what);
        fixture_remove(dir);
    }
    assert_true(at > 40); /* the loop met the whole session */
}

static void a_killed_writer_loses_nothing_synced(void **state)
{
    (void)state;
    every_power_cut_is_survived(&kinds[0]);
}

static void a_power_cut_loses_nothing_synced(void **state)
{
    (void)state;
    every_power_cut_is_survived(&kinds[1]);
}

static void a_torn_record_loses_nothing_synced(void **state)
{
    (void)state;
    every_power_cut_is_survived(&kinds[2]);
}

static void an_unflushed_hole_loses_nothing_synced(void **state)
{
    (void)state;
    every_power_cut_is_survived(&kinds[3]);
}

/* The power goes again while the mount recovers, at each of its operations. */
static void a_cut_in_the_recovery_loses_nothing_synced(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        bool done = false;
        for (uint64_t at = 20; !done; at++) {
            auto_free char *dir = fixture_scratch();
            auto_free char *cartridge = fixture_cartridge(dir, 8);
            auto_free char *saved = xasprintf("%s/saved", dir);
            int synced = cut_session(cartridge, &kinds[k], at, &done);
            fixture_copy(cartridge, saved);
            bool again = synced >= 0;
            for (uint64_t second = 1; again; second++) {
                char what[80];
                struct err err = {0};
                struct ltfs_volume *v = NULL;
                fixture_remove(cartridge);
                fixture_copy(saved, cartridge);
                (void)snprintf(what, sizeof(what), "%s at %d, then at %d", kinds[k].name, (int)at,
                               (int)second);
                struct drive *d = cut_drive(cartridge, &kinds[k], second);
                int rc = ltfs_mount(d, 0, &v, &err);
                ltfs_volume_free(v);
                again = rc != 0 && drive_fault_operations(d) >= second;
                drive_close(d);
                check_recovery(cartridge, synced, what);
            }
            fixture_remove(dir);
        }
    }
}

/* A write or flush that fails makes the volume read-only; nothing synced is lost. */
static void a_failing_write_loses_nothing_synced(void **state)
{
    (void)state;
    for (unsigned flush = 0; flush < 2; flush++) {
        for (uint64_t at = 1; at < 40; at++) {
            struct err err = {0};
            char what[64];
            struct drive *inner = NULL;
            auto_free char *dir = fixture_scratch();
            auto_free char *cartridge = fixture_cartridge(dir, 8);
            const struct drive_fault_plan plan = {.fail_write_at = flush == 0 ? at : 0,
                                                  .fail_flush_at = flush != 0 ? at : 0};
            assert_ok(drive_dir_open_cartridge(cartridge, &inner, &err), err);
            struct drive *d = drive_fault_new(inner, &plan);
            assert_ok(drive_load(d, &err), err);
            int synced = session(d);
            drive_close(d);
            (void)snprintf(what, sizeof(what), "%s %d fails", flush ? "flush" : "write", (int)at);
            check_recovery(cartridge, synced, what);
            fixture_remove(dir);
        }
    }
}

static void kill_child_at(const char *point, unsigned hit)
{
    char what[64];
    auto_free char *dir = fixture_scratch();
    auto_free char *cartridge = fixture_cartridge(dir, 8);
    (void)snprintf(what, sizeof(what), "%s:%u", point, hit);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)setenv("FIRN_CRASH_POINT", what, 1);
        (void)execl("/proc/self/exe", "test_tape_power", "--session", cartridge, (char *)NULL);
        _exit(127);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    /* The first hit of each point is the format; the nth comes after n - 2 finished syncs. */
    check_recovery(cartridge, (int)hit - 2, what);
    fixture_remove(dir);
}

static void a_crash_at_every_index_point_loses_nothing_synced(void **state)
{
    static const enum crash_id points[] = {CRASH_index_data_begin, CRASH_index_data_done,
                                           CRASH_index_index_begin, CRASH_index_index_done};
    (void)state;
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        for (unsigned hit = 1; hit <= SESSION_SYNCS + 1; hit++)
            kill_child_at(crash_point_name(points[i], NULL), hit);
    }
}

static void a_missing_end_of_data_file_is_rebuilt(void **state)
{
    (void)state;
    auto_free char *dir = fixture_scratch();
    auto_free char *cartridge = fixture_cartridge(dir, 8);
    struct drive *d = fixture_load(cartridge);
    assert_int_equal(session(d), SESSION_SYNCS);
    drive_close(d);
    for (unsigned p = 0; p < 2; p++) {
        auto_free char *name = xasprintf("%s/%u_%llu_E", cartridge, p,
                                         (unsigned long long)fixture_last(cartridge, p, 'E'));
        assert_int_equal(unlink(name), 0);
    }
    check_recovery(cartridge, SESSION_SYNCS, "no E files");
    fixture_remove(dir);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_writer_loses_nothing_synced),
        cmocka_unit_test(a_power_cut_loses_nothing_synced),
        cmocka_unit_test(a_torn_record_loses_nothing_synced),
        cmocka_unit_test(an_unflushed_hole_loses_nothing_synced),
        cmocka_unit_test(a_cut_in_the_recovery_loses_nothing_synced),
        cmocka_unit_test(a_failing_write_loses_nothing_synced),
        cmocka_unit_test(a_crash_at_every_index_point_loses_nothing_synced),
        cmocka_unit_test(a_missing_end_of_data_file_is_rebuilt),
    };
    log_init("test", LOG_LEVEL_ERR);
    if (argc == 3 && strcmp(argv[1], "--session") == 0) {
        struct drive *d = fixture_load(argv[2]);
        int synced = session(d);
        drive_close(d);
        return synced == SESSION_SYNCS ? 0 : 1;
    }
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
