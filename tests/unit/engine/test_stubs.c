/* SPDX-License-Identifier: Apache-2.0 */
/* Marks on all stubs of a file system, on a real one, with the test as the front. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "engine/stubs.h"
#include "file/fs.h"
#include "file/record.h"
#include "lib/loopfs.h"
#include "lib/watchpeer.h"
#include "watch/link.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static struct {
    const char *type;
    struct loopfs l;
    struct watchpeer peer;
    struct fs *fs;
    struct link *link;
} S;

static void no_event(void *arg, const struct link_event *ev)
{
    (void)arg;
    (void)close(ev->fd);
}

static void no_attached(void *arg, const struct link_fs *fs, size_t n)
{
    (void)arg, (void)fs, (void)n;
}

static void no_lost(void *arg)
{
    (void)arg;
}

static int up(void **state)
{
    static const struct link_hooks hooks = {no_event, no_attached, no_lost, NULL};
    static const char *const names[] = {"fs1"};
    int groups[WATCH_GROUPS_MAX];
    struct err err = {0};
    (void)state;
    loopfs_up(&S.l, S.type, NULL);
    watchpeer_up(&S.peer, false);
    if (fs_open(S.l.mnt, &S.fs, &err) != 0 || link_start(S.peer.path, &hooks, &S.link, &err) != 0)
        return -1;
    (void)watchpeer_accept(&S.peer, groups);
    watchpeer_greet(&S.peer, names, 1);
    for (int i = 0; i < 5000 && link_front(S.link) == 0; i++)
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return link_front(S.link) != 0 ? 0 : -1;
}

static int down(void **state)
{
    (void)state;
    link_stop(S.link);
    fs_close(S.fs);
    watchpeer_down(&S.peer);
    loopfs_down(&S.l);
    return 0;
}

static void in_tree(char *out, const char *name)
{
    assert_true(snprintf(out, PATH_MAX, "%s/%s", S.l.mnt, name) < PATH_MAX);
}

static void folder(const char *name)
{
    char path[PATH_MAX];
    in_tree(path, name);
    assert_int_equal(mkdir(path, 0755), 0);
}

static void file(const char *name, bool stub)
{
    char path[PATH_MAX];
    in_tree(path, name);
    auto_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    if (stub)
        assert_int_equal(fsetxattr(fd, FILE_XATTR_STUB, "1", 1, 0), 0);
}

static const bool go_on;

static void every_stub_gets_a_mark_and_no_other_file(void **state)
{
    char a[PATH_MAX], b[PATH_MAX];
    struct stubs_count n;
    struct err err = {0};
    (void)state;
    folder("a");
    folder("a/b");
    folder(".firn-hidden");
    folder("below");
    file("a/resident", false);
    file("a/stub", true);
    file("a/b/stub", true);
    file(".firn-hidden/stub", true);
    file("below/hidden-by-a-mount", true);
    in_tree(a, "a/stub");
    in_tree(b, "a/b/second-name");
    assert_int_equal(link(a, b), 0);
    in_tree(b, "a/symlink");
    assert_int_equal(symlink(a, b), 0);
    in_tree(b, "below");
    assert_int_equal(mount("none", b, "tmpfs", 0, NULL), 0);
    int rc = stubs_mark(S.fs, S.link, &go_on, &n, &err);
    assert_int_equal(umount2(b, MNT_DETACH), 0);
    if (rc != 0)
        fail_msg("%s", err.text);
    assert_int_equal(watch_kernel_marks(S.peer.group, 0).files, 4);
    assert_int_equal(n.marked, 5); /* names */
    assert_int_equal(n.failed, 0);
}

struct mover {
    atomic_bool stop;
    unsigned long moves;
};

/* Between a folder that is read early and one that is read late, for as long as it is let. */
static void *move_about(void *arg)
{
    struct mover *m = arg;
    char from[PATH_MAX], to[PATH_MAX], name[32];
    for (unsigned i = 0; !atomic_load(&m->stop); i++) {
        (void)snprintf(name, sizeof(name), "%s/m%u", i / 8 % 2 == 0 ? "z" : "a", i % 8);
        in_tree(from, name);
        (void)snprintf(name, sizeof(name), "%s/m%u", i / 8 % 2 == 0 ? "a" : "z", i % 8);
        in_tree(to, name);
        assert_int_equal(rename(from, to), 0);
        m->moves++;
    }
    return NULL;
}

static void stubs_that_are_renamed_during_the_walk_are_marked_too(void **state)
{
    enum { ROUNDS = 30, FILL = 400, MOVED = 8 };
    char name[32];
    (void)state;
    folder("a");
    folder("m");
    folder("z");
    for (int i = 0; i < FILL; i++) {
        (void)snprintf(name, sizeof(name), "m/f%d", i);
        file(name, false);
    }
    for (int i = 0; i < MOVED; i++) {
        (void)snprintf(name, sizeof(name), "z/m%d", i);
        file(name, true);
    }
    struct mover m = {.moves = 0};
    pthread_t t;
    unsigned long wrong = 0; /* looked at when the other thread is over */
    assert_int_equal(pthread_create(&t, NULL, move_about, &m), 0);
    for (int i = 0; i < ROUNDS; i++) {
        struct stubs_count n;
        struct err err = {0};
        wrong += stubs_mark(S.fs, S.link, &go_on, &n, &err) != 0 ||
                 watch_kernel_marks(S.peer.group, 0).files != MOVED;
        (void)fanotify_mark(S.peer.group, FAN_MARK_FLUSH, 0, AT_FDCWD, "/");
    }
    atomic_store(&m.stop, true);
    (void)pthread_join(t, NULL);
    print_message("# %d walks during %lu renames, %lu missed a stub\n", ROUNDS, m.moves, wrong);
    assert_int_equal(wrong, 0);
    assert_true(m.moves > 100);
}

static void folders_that_are_renamed_are_walked(void **state)
{
    char from[PATH_MAX], to[PATH_MAX];
    struct stubs_count n;
    struct err err = {0};
    (void)state;
    folder("a");
    folder("z");
    folder("z/sub");
    file("z/sub/stub", true);
    for (int i = 0; i < 20; i++) {
        in_tree(from, i % 2 == 0 ? "z/sub" : "a/sub");
        in_tree(to, i % 2 == 0 ? "a/sub" : "z/sub");
        assert_int_equal(rename(from, to), 0);
        assert_int_equal(stubs_mark(S.fs, S.link, &go_on, &n, &err), 0);
        assert_int_equal(watch_kernel_marks(S.peer.group, 0).files, 1);
        assert_int_equal(fanotify_mark(S.peer.group, FAN_MARK_FLUSH, 0, AT_FDCWD, "/"), 0);
    }
}

static void without_a_front_nothing_is_called_done(void **state)
{
    struct stubs_count n;
    struct err err = {0};
    (void)state;
    file("stub", true);
    watchpeer_hang_up(&S.peer);
    for (int i = 0; i < 5000 && link_front(S.link) != 0; i++)
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_int_equal(stubs_mark(S.fs, S.link, &go_on, &n, &err), -ENOTCONN);
    const bool stop = true;
    assert_int_equal(stubs_mark(S.fs, S.link, &stop, &n, &err), -ESHUTDOWN);
}

#define T(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(every_stub_gets_a_mark_and_no_other_file),
        T(stubs_that_are_renamed_during_the_walk_are_marked_too),
        T(folders_that_are_renamed_are_walked),
        T(without_a_front_nothing_is_called_done),
    };
    S.type = argc > 1 ? argv[1] : "ext4";
    log_init("test_stubs", LOG_LEVEL_ERR);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
