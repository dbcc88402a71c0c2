/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guard refuses, on a kernel that takes it (guest.py boots one). This process is firnd and
 * the listener, with a pass; the readers are children without one. Usage: guard ext4|xfs|btrfs
 */
#include "lib/loopfs.h"
#include "watch/guard.h"
#include "watch/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define MARKER   "security.bpf.firn.stub"
#define BYTES    65536
#define ZEROS    100 /* a child's exit status: it was given zeros */
#define ROUNDS   20000
#define NS_PER_S 1000000000.0

static struct loopfs fs;
static struct watch_kernel kernel;
static char path_buf[256];

static const char *at(const char *name)
{
    (void)snprintf(path_buf, sizeof(path_buf), "%s/%s", fs.mnt, name);
    return path_buf;
}

static void make_file(const char *path, bool stub)
{
    char data[BYTES];
    memset(data, 'x', sizeof(data));
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, sizeof(data)), BYTES);
    assert_int_equal(fsync(fd), 0);
    if (stub) {
        assert_int_equal(fsetxattr(fd, MARKER, "1", 1, 0), 0);
        assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, BYTES), 0);
        assert_int_equal(fsync(fd), 0);
    }
    assert_int_equal(close(fd), 0);
}

static int read_some(int fd)
{
    char b[512] = {0};
    ssize_t n = pread(fd, b, sizeof(b), 4096);
    return n < 0 ? errno : b[0] == 'x' ? 0 : ZEROS;
}

static int map_some(int fd)
{
    char *p = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return errno;
    int rc = p[4096] == 'x' ? 0 : ZEROS;
    (void)munmap(p, BYTES);
    return rc;
}

static int open_with(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        return errno;
    (void)close(fd);
    return 0;
}

static int open_and_read(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    return fd < 0 ? errno : read_some(fd);
}

/* What a process without a pass gets. */
static int in_child(int (*what)(const char *path, int arg), const char *path, int arg)
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(what(path, arg));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WEXITSTATUS(status);
}

static int set_up(void **state)
{
    struct err e = {0};
    const char *paths[] = {fs.mnt};
    (void)state;
    if (guard_install(NULL, &e) < 0)
        fail_msg("%s", e.text);
    uint32_t mask = kernel.pre_access ? FAN_PRE_ACCESS : FAN_OPEN_PERM;
    assert_int_equal(guard_set_fs(NULL, paths, 1, mask, &e), 0);
    assert_int_equal(guard_pass(NULL, 0, &e), 0);
    return 0;
}

static void a_stub_that_nobody_watches_is_not_opened(void **state)
{
    (void)state;
    make_file(at("stub"), true);
    uint64_t before, after;
    assert_true(guard_active(NULL, &before));
    assert_int_equal(in_child(open_and_read, at("stub"), O_RDONLY), EIO);
    assert_int_equal(in_child(open_with, at("stub"), O_RDWR), EIO);
    assert_int_equal(in_child(open_with, at("stub"), O_WRONLY), EIO);
    assert_true(guard_active(NULL, &after));
    assert_int_equal(after - before, 3);
    assert_int_equal(in_child(open_with, at("stub"), O_PATH), 0);
}

static int run_cat(const char *path, int arg)
{
    (void)arg;
    (void)execl("/bin/cat", "cat", path, (char *)NULL);
    return 127;
}

static void cat_and_cp_of_such_a_stub_fail(void **state)
{
    (void)state;
    make_file(at("stub"), true);
    assert_int_equal(in_child(run_cat, at("stub"), 0), 1);
}

static void resident_files_and_directories_are_open_to_all(void **state)
{
    (void)state;
    make_file(at("resident"), false);
    assert_int_equal(in_child(open_and_read, at("resident"), O_RDWR), 0);
    assert_int_equal(in_child(open_with, fs.mnt, O_RDONLY | O_DIRECTORY), 0);
}

static void who_has_a_pass_opens_it(void **state)
{
    (void)state;
    make_file(at("stub"), true);
    assert_int_equal(open_and_read(at("stub"), O_RDWR), ZEROS);
}

/* Lets one event after another go on, after writing the data through writer (opened before any
 * mark, so its opening waits for nobody) when there is one. */
static void answer(int group, int writer)
{
    struct fanotify_event_metadata m[8];
    ssize_t n = read(group, m, sizeof(m));
    const struct fanotify_event_metadata *e = m;
    for (; n > 0 && FAN_EVENT_OK(e, n); e = FAN_EVENT_NEXT(e, n)) {
        char proc[64];
        (void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d", e->fd);
        if (writer >= 0 && getxattr(proc, MARKER, NULL, 0) > 0) {
            char data[BYTES];
            memset(data, 'x', sizeof(data));
            assert_int_equal(pwrite(writer, data, sizeof(data), 0), BYTES);
            assert_int_equal(fsync(writer), 0);
            assert_int_equal(fremovexattr(writer, MARKER), 0);
        }
        assert_int_equal(watch_answer(group, &kernel, e->fd, 0), 0);
        (void)close(e->fd);
    }
}

static int wait_for(pid_t pid, int group, int writer)
{
    int status;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        answer(group, writer);
        (void)usleep(1000);
    }
    return WEXITSTATUS(status);
}

static int open_group(const char *path, bool whole_fs)
{
    struct err e = {0};
    int group = watch_kernel_open(false, &kernel, &e);
    int fd = open(path, O_PATH | O_CLOEXEC);
    assert_true(group >= 0 && fd >= 0);
    assert_int_equal(whole_fs ? watch_mark_fs(group, &kernel, fd, true, &e)
                              : watch_mark_file(group, &kernel, fd, true, &e),
                     0);
    (void)close(fd);
    return group;
}

static void a_watched_stub_is_read(void **state)
{
    (void)state;
    for (int whole = 0; whole <= 1; whole++) {
        make_file(at("watched"), true);
        int writer = open(at("watched"), O_RDWR | O_CLOEXEC);
        assert_true(writer >= 0);
        int group = open_group(whole ? fs.mnt : at("watched"), whole);
        pid_t pid = fork();
        if (pid == 0)
            _exit(open_and_read(at("watched"), O_RDONLY));
        assert_int_equal(wait_for(pid, group, writer), 0);
        (void)close(group);
        (void)close(writer);
        assert_int_equal(in_child(open_and_read, at("watched"), O_RDONLY), 0);
    }
}

/* A child opens the stub, which the listener lets it do without data; then the listener is gone. */
static int read_after_the_end(int (*how)(int fd), bool marker_goes)
{
    int ready[2], on[2];
    assert_int_equal(pipe2(ready, O_CLOEXEC) | pipe2(on, O_CLOEXEC), 0);
    make_file(at("old"), true);
    int group = open_group(at("old"), false);
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(group);
        char c = 0;
        int fd = open(at("old"), O_RDONLY | O_CLOEXEC);
        if (fd < 0 || write(ready[1], "1", 1) != 1 || read(on[0], &c, 1) != 1)
            _exit(126);
        _exit(how(fd));
    }
    char c;
    assert_int_equal(fcntl(ready[0], F_SETFL, O_NONBLOCK), 0);
    while (read(ready[0], &c, 1) != 1) {
        answer(group, -1);
        (void)usleep(1000);
    }
    (void)close(group);
    if (marker_goes)
        assert_int_equal(removexattr(at("old"), MARKER), 0);
    assert_int_equal(write(on[1], "1", 1), 1);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    for (int i = 0; i < 2; i++) {
        (void)close(ready[i]);
        (void)close(on[i]);
    }
    return WEXITSTATUS(status);
}

static void an_old_descriptor_reads_nothing_once_the_listener_is_gone(void **state)
{
    (void)state;
    assert_int_equal(read_after_the_end(read_some, false), EIO);
}

static void nor_does_it_map(void **state)
{
    (void)state;
    assert_int_equal(read_after_the_end(map_some, false), EIO);
}

static void an_old_descriptor_is_free_again_when_the_marker_goes(void **state)
{
    (void)state;
    assert_int_equal(read_after_the_end(read_some, true), ZEROS);
    assert_int_equal(read_after_the_end(map_some, true), ZEROS);
}

static void file_systems_that_are_not_listed_are_left_alone(void **state)
{
    struct err e = {0};
    (void)state;
    make_file(at("stub"), true);
    assert_int_equal(guard_set_fs(NULL, NULL, 0, 0, &e), 0);
    assert_int_equal(in_child(open_and_read, at("stub"), O_RDONLY), ZEROS);
}

static void it_survives_its_maker_and_goes_when_removed(void **state)
{
    struct err e = {0};
    (void)state;
    make_file(at("stub"), true);
    assert_int_equal(guard_install(NULL, &e), 0); /* there already */
    assert_int_equal(in_child(open_and_read, at("stub"), O_RDONLY), EIO);
    assert_int_equal(guard_remove(NULL, &e), 0);
    assert_false(guard_active(NULL, NULL));
    assert_int_equal(in_child(open_and_read, at("stub"), O_RDONLY), ZEROS);
}

static double cost(bool only_read)
{
    double best = 1e18;
    int kept = open(at("resident"), O_RDONLY | O_CLOEXEC);
    char b[4096];
    for (int round = 0; round < 5; round++) {
        struct timespec t0, t1;
        (void)clock_gettime(CLOCK_MONOTONIC, &t0);
        for (int i = 0; i < ROUNDS; i++) {
            int fd = only_read ? kept : open(path_buf, O_RDONLY | O_CLOEXEC);
            if (pread(fd, b, sizeof(b), 0) < 0)
                fail();
            if (!only_read)
                (void)close(fd);
        }
        (void)clock_gettime(CLOCK_MONOTONIC, &t1);
        double ns = (double)(t1.tv_sec - t0.tv_sec) * NS_PER_S + (double)(t1.tv_nsec - t0.tv_nsec);
        best = ns / ROUNDS < best ? ns / ROUNDS : best;
    }
    (void)close(kept);
    return best;
}

static void resident_files_cost_little_more(void **state)
{
    struct err e = {0};
    make_file(at("resident"), false);
    double with_read = cost(true), with_open = cost(false);
    assert_int_equal(guard_remove(NULL, &e), 0);
    (void)sleep(2); /* the kernel detaches its programs a little later */
    double read = cost(true), open = cost(false);
    print_message("# pread 4K: %.0f ns, with guard %.0f (%+.1f %%); open+pread+close: %.0f ns, "
                  "with guard %.0f (%+.1f %%)\n",
                  read, with_read, 100 * (with_read / read - 1), open, with_open,
                  100 * (with_open / open - 1));
    assert_true(with_open < 3 * open);
    (void)set_up(state);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_stub_that_nobody_watches_is_not_opened, set_up),
        cmocka_unit_test_setup(cat_and_cp_of_such_a_stub_fail, set_up),
        cmocka_unit_test_setup(resident_files_and_directories_are_open_to_all, set_up),
        cmocka_unit_test_setup(who_has_a_pass_opens_it, set_up),
        cmocka_unit_test_setup(a_watched_stub_is_read, set_up),
        cmocka_unit_test_setup(an_old_descriptor_reads_nothing_once_the_listener_is_gone, set_up),
        cmocka_unit_test_setup(nor_does_it_map, set_up),
        cmocka_unit_test_setup(an_old_descriptor_is_free_again_when_the_marker_goes, set_up),
        cmocka_unit_test_setup(file_systems_that_are_not_listed_are_left_alone, set_up),
        cmocka_unit_test_setup(it_survives_its_maker_and_goes_when_removed, set_up),
        cmocka_unit_test_setup(resident_files_cost_little_more, set_up),
    };
    struct err e = {0};
    loopfs_up(&fs, argc > 1 ? argv[1] : "ext4", NULL);
    int group = watch_kernel_open(false, &kernel, &e);
    (void)close(group);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    (void)guard_remove(NULL, NULL);
    loopfs_down(&fs);
    return rc;
}
