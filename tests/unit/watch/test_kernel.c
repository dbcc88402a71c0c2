/* SPDX-License-Identifier: Apache-2.0 */
/* Groups, marks and answers on a real file system: argv[1] says which kind. A child reads; it can
 * be made to wait. Linux 6.14 or later. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "lib/loopfs.h"
#include "watch/kernel.h"
#include "watch/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static struct loopfs L;
static const char *kind; /* argv[1] */
static struct err E;
static struct watch_kernel K;
static int G;

static const char *path_of(const char *name)
{
    static char path[160];
    (void)snprintf(path, sizeof(path), "%s/%s", L.mnt, name);
    return path;
}

/* A file that says "data", open before any mark. */
static int make(const char *name)
{
    int fd = open(path_of(name), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "data", 4, 0), 4);
    return fd;
}

/* Starts a child that opens and reads name. It ends with 0, or the errno. */
static pid_t start_reader(const char *name)
{
    pid_t pid = fork();
    if (pid == 0) {
        char b[4] = "";
        (void)alarm(20);
        int fd = open(path_of(name), O_RDONLY | O_CLOEXEC);
        if (fd < 0 || read(fd, b, 4) < 0)
            _exit(errno);
        _exit(memcmp(b, "data", 4) == 0 ? 0 : 99);
    }
    return pid;
}

static int outcome(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Reads the next event of group; its bits into *mask, -1 for the descriptor when none comes. */
static int next_event(int group, uint64_t *mask)
{
    char b[256] __attribute__((aligned(8)));
    struct pollfd p = {.fd = group, .events = POLLIN};
    struct fanotify_event_metadata m;
    if (poll(&p, 1, 5000) != 1 || read(group, b, sizeof(b)) < (ssize_t)sizeof(m))
        return -1;
    memcpy(&m, b, sizeof(m));
    *mask = m.mask;
    return m.fd;
}

static void answer_next(uint64_t bit, int code)
{
    uint64_t mask = 0;
    int fd = next_event(G, &mask);
    assert_true(fd >= 0);
    assert_true((mask & bit) != 0);
    assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    assert_int_equal(watch_answer(G, &K, fd, code), 0);
    (void)close(fd);
}

static void this_kernel_stops_open_and_access(void **state)
{
    (void)state;
    assert_true(K.pre_access);
    assert_true(K.fd_error);
    assert_int_equal(K.mask, FAN_OPEN_PERM | FAN_PRE_ACCESS);
}

static void a_reader_of_a_marked_file_waits_and_goes_on(void **state)
{
    (void)state;
    auto_close int fd = make("a");
    assert_int_equal(watch_mark_file(G, &K, fd, true, &E), 0);
    assert_int_equal(watch_mark_file(G, &K, fd, true, &E), 0);
    pid_t pid = start_reader("a");
    answer_next(FAN_OPEN_PERM, 0);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
    answer_next(FAN_PRE_ACCESS, 0);
    assert_int_equal(outcome(pid), 0);
    assert_int_equal(watch_mark_file(G, &K, fd, false, &E), 0);
    assert_int_equal(watch_mark_file(G, &K, fd, false, &E), 0);
    assert_int_equal(outcome(start_reader("a")), 0);
}

static void a_mark_can_be_put_through_a_path_descriptor(void **state)
{
    (void)state;
    (void)close(make("b"));
    auto_close int fd = open(path_of("b"), O_PATH | O_CLOEXEC);
    assert_int_equal(watch_mark_file(G, &K, fd, true, &E), 0);
    pid_t pid = start_reader("b");
    answer_next(FAN_OPEN_PERM, EIO);
    assert_int_equal(outcome(pid), EIO);
    assert_int_equal(watch_mark_file(G, &K, fd, false, &E), 0);
    assert_int_equal(watch_mark_file(G, &K, 9999, true, &E), -EBADF);
}

static void a_reader_is_told_the_error(void **state)
{
    (void)state;
    static const struct {
        int given, got;
    } codes[] = {{EPERM, EPERM},   {EIO, EIO},       {EBUSY, EBUSY},   {ETXTBSY, ETXTBSY},
                 {EAGAIN, EAGAIN}, {ENOSPC, ENOSPC}, {EDQUOT, EDQUOT}, {EACCES, EIO},
                 {ENOENT, EIO},    {ETIMEDOUT, EIO}, {100000, EIO},    {-5, EIO}};
    auto_close int fd = make("c");
    assert_int_equal(watch_mark_file(G, &K, fd, true, &E), 0);
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        pid_t pid = start_reader("c");
        answer_next(FAN_OPEN_PERM, codes[i].given);
        assert_int_equal(outcome(pid), codes[i].got);
    }
    assert_int_equal(watch_mark_file(G, &K, fd, false, &E), 0);
}

static void an_answer_that_nobody_waits_for_is_told(void **state)
{
    (void)state;
    assert_int_equal(watch_answer(G, &K, 3000, EIO), -ENOENT);
}

static void a_mark_of_the_file_system_stops_all_its_readers(void **state)
{
    (void)state;
    (void)close(make("d"));
    auto_close int dir = open(L.mnt, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(watch_mark_fs(G, &K, dir, true, &E), 0);
    assert_true(watch_kernel_marks(G, 0).whole);
    pid_t pid = start_reader("d");
    answer_next(FAN_OPEN_PERM, ENOSPC);
    assert_int_equal(outcome(pid), ENOSPC);
    assert_int_equal(watch_mark_fs(G, &K, dir, false, &E), 0);
    assert_int_equal(watch_mark_fs(G, &K, dir, false, &E), 0);
    assert_int_equal(outcome(start_reader("d")), 0);
    assert_false(watch_kernel_marks(G, 0).whole);
}

static void the_file_system_mark_goes_while_a_reader_waits_and_no_other_slips_through(void **state)
{
    (void)state;
    uint64_t mask = 0;
    auto_close int dir = open(L.mnt, O_PATH | O_DIRECTORY | O_CLOEXEC);
    auto_close int marked = make("m1");
    (void)close(make("m2"));
    assert_int_equal(watch_mark_file(G, &K, marked, true, &E), 0);
    assert_int_equal(watch_mark_fs(G, &K, dir, true, &E), 0);
    pid_t first = start_reader("m2");
    int waits = next_event(G, &mask);
    assert_true(waits >= 0);
    assert_int_equal(watch_mark_fs(G, &K, dir, false, &E), 0);
    pid_t second = start_reader("m1");
    answer_next(FAN_OPEN_PERM, EIO);
    assert_int_equal(outcome(second), EIO);
    assert_int_equal(watch_answer(G, &K, waits, EIO), 0);
    (void)close(waits);
    assert_int_equal(outcome(first), EIO);
    assert_int_equal(outcome(start_reader("m2")), 0); /* the mark raises nothing any more */
    assert_int_equal(watch_mark_fs(G, &K, dir, true, &E), 0);
    pid_t third = start_reader("m2");
    answer_next(FAN_OPEN_PERM, EIO);
    assert_int_equal(outcome(third), EIO);
    assert_int_equal(watch_mark_fs(G, &K, dir, false, &E), 0);
    assert_int_equal(watch_mark_file(G, &K, marked, false, &E), 0);
}

static void a_kernel_before_6_14_is_imitated(void **state)
{
    (void)state;
    struct watch_kernel old;
    auto_close int group = watch_kernel_open(true, &old, &E);
    assert_true(group >= 0);
    assert_false(old.pre_access);
    assert_false(old.fd_error);
    auto_close int fd = make("e");
    assert_int_equal(watch_mark_file(group, &old, fd, true, &E), 0);
    pid_t pid = start_reader("e");
    uint64_t mask = 0;
    int event = next_event(group, &mask);
    assert_int_equal(mask, FAN_OPEN_PERM);
    assert_int_equal(watch_answer(group, &old, event, EIO), 0);
    (void)close(event);
    assert_int_equal(outcome(pid), EPERM);
}

static void a_group_from_elsewhere_is_known_by_what_it_can(void **state)
{
    (void)state;
    struct watch_kernel got;
    watch_kernel_probe(G, false, &got);
    assert_memory_equal(&got, &K, sizeof(K));
    watch_kernel_probe(G, true, &got);
    assert_false(got.pre_access);
    assert_int_equal(got.mask, FAN_OPEN_PERM);
}

static void a_dup_is_the_same_group_and_another_is_not(void **state)
{
    (void)state;
    struct watch_kernel other_k;
    auto_close int copy = dup(G), other = watch_kernel_open(false, &other_k, &E);
    int flags = fcntl(G, F_GETFL);
    assert_true(watch_kernel_same(G, copy));
    assert_true(watch_kernel_same(G, G));
    assert_false(watch_kernel_same(G, other));
    assert_false(watch_kernel_same(G, 9999));
    assert_int_equal(fcntl(G, F_GETFL), flags);
}

static void tmpfs_is_refused_with_a_text(void **state)
{
    (void)state;
    auto_close int fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(watch_mark_fs(G, &K, fd, true, &E), -EOPNOTSUPP);
    assert_non_null(strstr(E.text, "ext4, XFS and btrfs can be watched"));
}

static uint32_t sdev_of_mount(void)
{
    struct mount_at at;
    assert_int_equal(mount_look(L.mnt, &at, &E), 0);
    assert_true(at.root);
    assert_string_equal(at.type, kind);
    return at.sdev;
}

static void marks_are_counted_for_each_file_system(void **state)
{
    (void)state;
    auto_close int f1 = make("m1"), f2 = make("m2");
    uint32_t sdev = sdev_of_mount();
    assert_int_equal(watch_kernel_marks(G, sdev).files, 0);
    assert_int_equal(watch_mark_file(G, &K, f1, true, &E), 0);
    assert_int_equal(watch_mark_file(G, &K, f2, true, &E), 0);
    struct watch_marks n = watch_kernel_marks(G, sdev);
    assert_int_equal(n.files, 2);
    assert_false(n.whole);
    assert_int_equal(watch_kernel_marks(G, sdev ^ 1).files, 0);
    auto_close int dir = open(L.mnt, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(watch_mark_fs(G, &K, dir, true, &E), 0);
    assert_true(watch_kernel_marks(G, sdev).whole);
    assert_false(watch_kernel_marks(G, sdev ^ 1).whole);
    assert_int_equal(watch_mark_fs(G, &K, dir, false, &E), 0);
    assert_int_equal(watch_mark_file(G, &K, f1, false, &E), 0);
    assert_int_equal(watch_mark_file(G, &K, f2, false, &E), 0);
}

static bool canary_is_there(void)
{
    auto_close int dir = open(L.mnt, O_PATH | O_CLOEXEC);
    return watch_canary_is_there(G, dir);
}

static void a_canary_raises_nothing_and_goes_with_the_mount(void **state)
{
    (void)state;
    assert_false(canary_is_there());
    {
        auto_close int dir = open(L.mnt, O_PATH | O_CLOEXEC);
        assert_int_equal(watch_canary_put(G, dir), 0);
    }
    assert_true(canary_is_there());
    assert_true(canary_is_there());
    (void)close(make("n"));
    assert_int_equal(outcome(start_reader("n")), 0);
    auto_closedir DIR *d = opendir(L.mnt);
    assert_non_null(readdir(d));
    (void)closedir(take_ptr(d));
    loopfs_remount(&L);
    assert_false(canary_is_there());
    assert_int_equal(watch_kernel_marks(G, 0).files, 0);
}

/* The kernel would refuse the reader when the event's descriptor could not be opened. */
static void a_file_of_more_than_2_gib_can_be_watched(void **state)
{
    (void)state;
    auto_close int fd = make("big");
    assert_int_equal(ftruncate(fd, 3LL << 30), 0);
    assert_int_equal(watch_mark_file(G, &K, fd, true, &E), 0);
    pid_t pid = start_reader("big");
    answer_next(FAN_OPEN_PERM, 0);
    answer_next(FAN_PRE_ACCESS, 0);
    assert_int_equal(outcome(pid), 0);
    assert_int_equal(watch_mark_file(G, &K, fd, false, &E), 0);
}

static int up(void **state)
{
    (void)state;
    loopfs_up(&L, kind, NULL);
    G = watch_kernel_open(false, &K, &E);
    return G >= 0 ? 0 : -1;
}

static int down(void **state)
{
    (void)state;
    (void)close(G);
    loopfs_down(&L);
    return 0;
}

int main(int argc, char **argv)
{
    kind = argc > 1 ? argv[1] : "ext4";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(this_kernel_stops_open_and_access),
        cmocka_unit_test(a_reader_of_a_marked_file_waits_and_goes_on),
        cmocka_unit_test(a_mark_can_be_put_through_a_path_descriptor),
        cmocka_unit_test(a_reader_is_told_the_error),
        cmocka_unit_test(an_answer_that_nobody_waits_for_is_told),
        cmocka_unit_test(a_mark_of_the_file_system_stops_all_its_readers),
        cmocka_unit_test(the_file_system_mark_goes_while_a_reader_waits_and_no_other_slips_through),
        cmocka_unit_test(a_kernel_before_6_14_is_imitated),
        cmocka_unit_test(a_group_from_elsewhere_is_known_by_what_it_can),
        cmocka_unit_test(a_dup_is_the_same_group_and_another_is_not),
        cmocka_unit_test(tmpfs_is_refused_with_a_text),
        cmocka_unit_test(marks_are_counted_for_each_file_system),
        cmocka_unit_test(a_file_of_more_than_2_gib_can_be_watched),
        cmocka_unit_test(a_canary_raises_nothing_and_goes_with_the_mount),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, up, down);
}
