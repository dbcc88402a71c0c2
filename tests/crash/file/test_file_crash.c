/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Release and recall die at every crash point, by SIGKILL and (ext4, xfs) by a power cut at that
 * moment or at any other. Afterwards a file that says resident or premigrated holds its data, byte
 * by byte; one that says migrated can be recalled, with its old mtime. argv[1] is the kind of file
 * system. The work that dies runs in a program of its own: this one again, as "child MOUNT OP".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fixture.h"

#include "base/cleanup.h"
#include "base/crash.h"
#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 300000, SEED = 77, BATCH = 24 };
static const char *kind, *self;
static struct site S;

/* ---- the child: does one thing, and dies on the way or leaves with 0 ---- */

static struct err child_err;

static void need(int rc, const char *what)
{
    if (rc != 0) {
        (void)fprintf(stderr, "# child: %s: %d %s\n", what, rc, child_err.text);
        _exit(3);
    }
}

static void write_half(struct file_refill *r, uint64_t from, uint64_t to)
{
    auto_free uint8_t *b = xzalloc(SIZE);
    for (uint64_t i = from; i < to; i++)
        b[i] = pattern(SEED, i);
    need(file_refill_write(r, from, b + from, (size_t)(to - from), &child_err), "write");
}

static struct file_info child_info(struct fs *fs, const char *name)
{
    struct file_info i;
    need(file_inspect_path(fs, name, &i, &child_err), "inspect");
    return i;
}

static void child_release(struct fs *fs, const char *name)
{
    struct file_info i = child_info(fs, name);
    struct file_release *r;
    need(file_release_begin(fs, &i.id, NULL, NULL, &r, &child_err), "begin");
    need(file_release_commit(r, NULL, &child_err), "commit");
}

static void child_begin(struct fs *fs, const char *name)
{
    struct file_info i = child_info(fs, name);
    struct file_release *r;
    need(file_release_begin(fs, &i.id, NULL, NULL, &r, &child_err), "begin");
    need(fs_sync(fs, &child_err), "sync");
    (void)raise(SIGKILL);
}

static struct file_refill *child_refill_begin(struct fs *fs, const char *name)
{
    struct file_info i = child_info(fs, name);
    struct file_refill *r;
    need(file_refill_begin(fs, &i.id, &i.record.archive, &r, &child_err), "begin");
    write_half(r, SIZE / 2, SIZE);
    return r;
}

static void child_recall_half(struct fs *fs, const char *name)
{
    (void)child_refill_begin(fs, name);
    (void)raise(SIGKILL);
}

static void child_recall(struct fs *fs, const char *name)
{
    struct file_refill *r = child_refill_begin(fs, name);
    write_half(r, 0, SIZE / 2);
    need(file_refill_commit(r, FILE_PREMIGRATED, true, &child_err), "commit");
}

/* The state is flipped but not synced; another file's fsync carries it to the disk. */
static void child_recall_lazily(struct fs *fs, const char *name)
{
    struct file_refill *r = child_refill_begin(fs, name);
    write_half(r, 0, SIZE / 2);
    need(file_refill_commit(r, FILE_PREMIGRATED, false, &child_err), "commit");
    int fd = openat(fs_root_fd(fs), "other", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, "x", 1) != 1 || fsync(fd) < 0)
        _exit(4);
    (void)close(fd);
}

/* Releases and recalls batches for ever, until the disk is gone. */
static void child_churn(struct fs *fs, const char *prefix)
{
    struct file_info i[BATCH];
    struct file_release *rel[BATCH];
    struct file_refill *ref[BATCH];
    for (;;) {
        for (int n = 0; n < BATCH; n++) {
            char name[32];
            (void)snprintf(name, sizeof(name), "%s%d", prefix, n);
            i[n] = child_info(fs, name);
            need(file_release_begin(fs, &i[n].id, NULL, NULL, &rel[n], &child_err), "begin");
        }
        need(fs_sync(fs, &child_err), "sync");
        for (int n = 0; n < BATCH; n++)
            need(file_release_commit(rel[n], NULL, &child_err), "commit");
        for (int n = 0; n < BATCH; n++) {
            need(file_refill_begin(fs, &i[n].id, &i[n].record.archive, &ref[n], &child_err),
                 "begin");
            write_half(ref[n], 0, SIZE);
            need(file_refill_finish_data(ref[n], &child_err), "finish");
        }
        if (getpid() % 2 == 0) /* with one sync for all, or one by each commit */
            need(fs_sync(fs, &child_err), "sync");
        for (int n = 0; n < BATCH; n++)
            need(file_refill_commit(ref[n], FILE_PREMIGRATED, false, &child_err), "commit");
    }
}

static const struct {
    const char *op;
    void (*run)(struct fs *fs, const char *name);
} ops[] = {
    {"release", child_release}, {"begin", child_begin},
    {"recall", child_recall},   {"recall_half", child_recall_half},
    {"churn", child_churn},     {"recall_lazily", child_recall_lazily},
};

static int child(char **argv)
{
    struct fs *fs;
    need(fs_open(argv[2], &fs, &child_err), "open");
    for (size_t n = 0; n < sizeof(ops) / sizeof(ops[0]); n++) {
        if (strcmp(ops[n].op, argv[3]) == 0)
            ops[n].run(fs, argv[4]);
    }
    fs_close(fs);
    return 0;
}

/* ---- the parent ---- */

static pid_t start(const char *op, const char *name, const char *point)
{
    pid_t pid = fork();
    if (pid == 0) {
        if (point != NULL)
            (void)setenv("FIRN_CRASH_POINT", point, 1);
        (void)execl(self, self, "child", S.loop.mnt, op, name, (char *)NULL);
        _exit(5);
    }
    assert_true(pid > 0);
    return pid;
}

static int finish(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

struct before {
    struct stat st;
    struct uuid archive;
    struct file_id id;
};

static struct before make(const char *name)
{
    struct before b = {.id = make_file(&S, name, SIZE, SEED)};
    struct timespec t[2] = {{5, 6}, {1709205769, 123456789}};
    assert_int_equal(utimensat(AT_FDCWD, path_of(&S, name), t, 0), 0);
    b.archive = premigrate(&S, name);
    assert_int_equal(stat(path_of(&S, name), &b.st), 0);
    return b;
}

/* The invariant. Recalls what says migrated; ends with the file whole, or fails the test. */
static void check_whole(const char *name, const struct before *b, const char *when)
{
    struct file_info i;
    assert_int_equal(inspect(&S, name, &i), 0);
    if (i.state == FILE_MIGRATED) {
        int rc = refill(&S, &b->id, &b->archive, SEED, FILE_PREMIGRATED);
        if (rc != 0)
            print_error("%s: recall of %s gave %d (%s)\n", when, name, rc, S.err.text);
        assert_int_equal(rc, 0);
        assert_int_equal(inspect(&S, name, &i), 0);
    }
    int64_t bad = first_wrong(&S, name, SIZE, SEED);
    if (bad >= 0)
        print_error("%s: %s says %s and byte %lld is wrong\n", when, name, file_state_name(i.state),
                    (long long)bad);
    assert_int_equal(bad, -1);
    assert_int_equal(i.state, FILE_PREMIGRATED);
    assert_memory_equal(&i.st.st_mtim, &b->st.st_mtim, sizeof(i.st.st_mtim));
    assert_int_equal(i.st.st_ino, b->st.st_ino);
}

static void repair(const char *name, const struct before *b)
{
    auto_close int fd = fs_open_path(S.fs, name, O_RDWR, &S.err);
    assert_true(fd >= 0);
    struct file_info i;
    assert_int_equal(file_repair(S.fs, fd, &i, &S.err), 0);
    assert_int_equal(i.note, FILE_NOTE_NONE);
    assert_memory_equal(&i.st.st_mtim, &b->st.st_mtim, sizeof(i.st.st_mtim));
    assert_int_equal(i.st.st_size, SIZE);
    if (i.state == FILE_MIGRATED) {
        assert_true(i.marker);
        assert_int_equal(lseek(fd, 0, SEEK_DATA), -1);
        assert_int_equal(errno, ENXIO);
    }
    assert_int_equal(file_repair(S.fs, fd, &i, &S.err), 0); /* may be repeated */
    assert_int_equal(i.note, FILE_NOTE_NONE);
}

static const struct {
    const char *op;
    const char *point; /* NULL: the child dies by itself */
    bool stub;         /* begins as a stub */
    enum file_state after;
} deaths[] = {
    {"begin", NULL, false, FILE_MIGRATED},
    {"release", "release_marked", false, FILE_MIGRATED},
    {"release", "release_punched", false, FILE_MIGRATED},
    {"recall_half", NULL, true, FILE_MIGRATED},
    {"recall", "recall_written", true, FILE_MIGRATED},
    {"recall", "recall_synced", true, FILE_MIGRATED},
};
enum { DEATHS = sizeof(deaths) / sizeof(deaths[0]) };

static struct before die(int d, const char *name)
{
    struct before b = make(name);
    if (deaths[d].stub)
        assert_int_equal(release(&S, &b.id, false), 0);
    int status = finish(start(deaths[d].op, name, deaths[d].point));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return b;
}

static void a_kill_at_any_point_loses_nothing(void **state)
{
    (void)state;
    char name[64];
    for (int d = 0; d < DEATHS; d++) {
        (void)snprintf(name, sizeof(name), "kill%d", d);
        struct before b = die(d, name);
        struct file_info i;
        assert_int_equal(inspect(&S, name, &i), 0);
        assert_int_equal(i.state, deaths[d].after);
        assert_int_equal(i.note, FILE_NOTE_INTERRUPTED);
        check_whole(name, &b, deaths[d].op);
    }
}

static void a_killed_move_can_be_repaired(void **state)
{
    (void)state;
    char name[64];
    for (int d = 0; d < DEATHS; d++) {
        (void)snprintf(name, sizeof(name), "repair%d", d);
        struct before b = die(d, name);
        repair(name, &b);
        check_whole(name, &b, deaths[d].op);
    }
}

static void repair_waits_for_nobody_and_spares_open_files(void **state)
{
    (void)state;
    struct before b = die(1, "open"); /* marked, data whole */
    auto_close int reader = open(path_of(&S, "open"), O_RDONLY | O_CLOEXEC);
    assert_true(reader >= 0);
    auto_close int fd = fs_open_path(S.fs, "open", O_RDWR, &S.err);
    struct file_info i;
    assert_int_equal(file_repair(S.fs, fd, &i, &S.err), 0);
    assert_int_equal(i.state, FILE_MIGRATED);
    assert_int_equal(i.note, FILE_NOTE_NONE);
    assert_int_equal(first_wrong(&S, "open", SIZE, SEED), -1); /* its blocks are still there */
    check_whole("open", &b, "open");
}

static void a_write_after_a_killed_release_is_not_punched_away(void **state)
{
    (void)state;
    struct before b = die(1, "late"); /* marked, data whole */
    {
        auto_close int fd = open(path_of(&S, "late"), O_WRONLY | O_CLOEXEC);
        assert_int_equal(io_pwrite_full(fd, "precious", 8, 1000), 0);
    }
    struct file_info i;
    auto_close int fd = fs_open_path(S.fs, "late", O_RDWR, &S.err);
    assert_int_equal(file_repair(S.fs, fd, &i, &S.err), 0);
    assert_int_equal(i.state, FILE_MIGRATED);
    assert_int_equal(i.note, FILE_NOTE_STUB_CHANGED);
    assert_int_equal(refill(&S, &b.id, &b.archive, SEED, FILE_PREMIGRATED), FILE_CHANGED);
    char text[9] = "";
    assert_int_equal(io_pread_full(fd, text, 8, 1000), 8);
    assert_string_equal(text, "precious");
    uint8_t other = 0;
    assert_int_equal(io_pread_full(fd, &other, 1, SIZE - 1), 1);
    assert_int_equal(other, pattern(SEED, SIZE - 1));
}

static void a_power_cut_at_any_point_loses_nothing(void **state)
{
    (void)state;
    char name[64];
    for (int d = 0; d < DEATHS; d++) {
        (void)snprintf(name, sizeof(name), "cut%d", d);
        struct before b = die(d, name);
        site_remount(&S, true);
        check_whole(name, &b, deaths[d].point != NULL ? deaths[d].point : deaths[d].op);
    }
}

static void recalled_data_is_durable_before_its_state(void **state)
{
    (void)state;
    struct before b = make("lazy");
    assert_int_equal(release(&S, &b.id, false), 0);
    assert_int_equal(finish(start("recall_lazily", "lazy", NULL)), 0);
    site_remount(&S, true);
    struct file_info i;
    assert_int_equal(inspect(&S, "lazy", &i), 0);
    check_whole("lazy", &b, "lazy");
}

static void a_release_that_cannot_be_made_durable_punches_nothing(void **state)
{
    (void)state;
    struct before b = make("dead-disk");
    struct file_release *r;
    struct file_refill *f;
    assert_int_equal(file_release_begin(S.fs, &b.id, NULL, NULL, &r, &S.err), 0);
    loopfs_shutdown(&S.loop);
    assert_true(fs_sync(S.fs, &S.err) < 0);
    assert_true(file_release_commit(r, NULL, &S.err) < 0);
    site_remount(&S, false);
    check_whole("dead-disk", &b, "release");
    assert_int_equal(release(&S, &b.id, false), 0);
    assert_int_equal(file_refill_begin(S.fs, &b.id, &b.archive, &f, &S.err), 0);
    write_half(f, 0, SIZE);
    assert_int_equal(file_refill_finish_data(f, &S.err), 0);
    loopfs_shutdown(&S.loop);
    assert_true(fs_sync(S.fs, &S.err) < 0);
    assert_true(file_refill_commit(f, FILE_PREMIGRATED, true, &S.err) < 0);
    site_remount(&S, false);
    check_whole("dead-disk", &b, "recall");
}

static void a_power_cut_at_any_moment_of_a_batch_loses_nothing(void **state)
{
    (void)state;
    unsigned seed = (unsigned)time(NULL);
    int rounds = getenv("FIRN_LONG") != NULL ? 100 : 6;
    struct before b[BATCH];
    char name[64];
    for (int n = 0; n < BATCH; n++) {
        (void)snprintf(name, sizeof(name), "churn%d", n);
        b[n] = make(name);
    }
    print_message("# seed %u\n", seed);
    for (int r = 0; r < rounds; r++) {
        pid_t pid = start("churn", "churn", NULL);
        (void)usleep(20000 + rand_r(&seed) % 300000U);
        loopfs_shutdown(&S.loop);
        (void)kill(pid, SIGKILL);
        (void)finish(pid);
        site_remount(&S, false);
        for (int n = 0; n < BATCH; n++) {
            (void)snprintf(name, sizeof(name), "churn%d", n);
            check_whole(name, &b[n], "cut");
        }
    }
}

static int up(void **state)
{
    (void)state;
    site_up(&S, kind);
    return 0;
}

static int down(void **state)
{
    (void)state;
    site_down(&S);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "child") == 0)
        return child(argv);
    static char exe[512];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    self = n > 0 ? exe : argv[0];
    kind = argc > 1 ? argv[1] : "ext4";
    const struct CMUnitTest kills[] = {
        cmocka_unit_test(a_kill_at_any_point_loses_nothing),
        cmocka_unit_test(a_killed_move_can_be_repaired),
        cmocka_unit_test(repair_waits_for_nobody_and_spares_open_files),
        cmocka_unit_test(a_write_after_a_killed_release_is_not_punched_away),
    };
    const struct CMUnitTest all[] = {
        kills[0],
        kills[1],
        kills[2],
        kills[3],
        cmocka_unit_test(a_power_cut_at_any_point_loses_nothing),
        cmocka_unit_test(recalled_data_is_durable_before_its_state),
        cmocka_unit_test(a_release_that_cannot_be_made_durable_punches_nothing),
        cmocka_unit_test(a_power_cut_at_any_moment_of_a_batch_loses_nothing),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    /* btrfs has no ioctl that stops it. */
    if (strcmp(kind, "btrfs") == 0)
        return cmocka_run_group_tests(kills, up, down);
    return cmocka_run_group_tests(all, up, down);
}
