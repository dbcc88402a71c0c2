/* SPDX-License-Identifier: Apache-2.0 */
/* firnd's end of the connection; the test is the front, with a fanotify group of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "lib/watchpeer.h"
#include "watch/link.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct {
    struct watchpeer peer;
    struct link *link;
    pthread_mutex_t lock;
    struct link_event events[16];
    size_t nevents, nattached, nlost, nfs;
    struct link_fs fs[4];
} S;

static void on_event(void *arg, const struct link_event *ev)
{
    (void)arg;
    lock_scope(&S.lock);
    assert_true(S.nevents < sizeof(S.events) / sizeof(S.events[0]));
    S.events[S.nevents++] = *ev;
}

static void on_attached(void *arg, const struct link_fs *fs, size_t nfs)
{
    (void)arg;
    lock_scope(&S.lock);
    S.nattached++;
    S.nfs = nfs;
    for (size_t i = 0; i < nfs; i++)
        S.fs[i] = fs[i];
}

static void on_lost(void *arg)
{
    (void)arg;
    lock_scope(&S.lock);
    S.nlost++;
}

/* Waits until *n (under the lock) is at least want. */
static void await(const size_t *n, size_t want)
{
    for (int i = 0; i < 5000; i++) {
        {
            lock_scope(&S.lock);
            if (*n >= want)
                return;
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    fail_msg("waited 5 s for %zu", want);
}

/* ---- the front ---- */

static uint32_t receive(struct watch_msg *m, int *fds, size_t *nfds)
{
    return watchpeer_receive(&S.peer, m, fds, nfds);
}

static void say(uint32_t type, const char *name, uint32_t flags, uint64_t seq, int fd)
{
    struct watch_msg m = {.type = type, .flags = flags, .seq = seq, .tid = 17};
    (void)snprintf(m.name, sizeof(m.name), "%s", name);
    watchpeer_say(&S.peer, &m, fd);
}

static void greet(void)
{
    static const char *const names[] = {"fs1", "fs2"};
    watchpeer_greet(&S.peer, names, 2);
}

static size_t accept_firnd(int *groups)
{
    return watchpeer_accept(&S.peer, groups);
}

static void hang_up(void)
{
    watchpeer_hang_up(&S.peer);
}

static void begin(void)
{
    int groups[WATCH_GROUPS_MAX];
    assert_int_equal(accept_firnd(groups), 0);
    greet();
    await(&S.nattached, 1);
}

static int up(void **state)
{
    static const struct link_hooks hooks = {on_event, on_attached, on_lost, NULL};
    struct err err = {0};
    (void)state;
    memset(&S, 0, sizeof(S));
    (void)pthread_mutex_init(&S.lock, NULL);
    watchpeer_up(&S.peer, true);
    return link_start(S.peer.path, &hooks, &S.link, &err);
}

static int down(void **state)
{
    char file[128];
    (void)state;
    link_stop(S.link);
    for (size_t i = 0; i < S.nevents; i++)
        (void)close(S.events[i].fd);
    (void)snprintf(file, sizeof(file), "%s/stub", S.peer.dir);
    (void)unlink(file);
    watchpeer_down(&S.peer);
    return 0;
}

static int make_file(void)
{
    char file[128];
    (void)snprintf(file, sizeof(file), "%s/stub", S.peer.dir);
    int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

/* ---- tests ---- */

static void it_learns_what_the_front_watches(void **state)
{
    struct link_status st;
    struct link_fs fs[4] = {{.flags = 0}, {.flags = WATCH_FS_COVERED}};
    (void)state;
    link_status(S.link, &st);
    assert_false(st.attached);
    begin();
    assert_int_equal(S.nfs, 2);
    assert_string_equal(S.fs[0].name, "fs1");
    assert_string_equal(S.fs[1].name, "fs2");
    link_status(S.link, &st);
    assert_true(st.attached);
    assert_false(st.pre_access);
    assert_int_equal(st.groups, 1);
    say(WATCH_FS, "fs2", WATCH_FS_MOUNTED, 0, -1); /* later news of the same */
    for (int i = 0; i < 5000 && (fs[1].flags & WATCH_FS_COVERED) != 0; i++) {
        assert_int_equal(link_filesystems(S.link, fs, 4), 2);
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    assert_int_equal(fs[1].flags, WATCH_FS_MOUNTED);
    assert_int_equal(S.nattached, 1);
}

static void an_event_arrives_with_its_file_and_is_answered(void **state)
{
    struct watch_msg m;
    int fds[WATCH_GROUPS_MAX];
    size_t n = 0;
    struct stat a, b;
    (void)state;
    begin();
    auto_close int fd = make_file();
    say(WATCH_EVENT, "", WATCH_OP_OPEN, 41, fd);
    await(&S.nevents, 1);
    assert_int_equal(S.events[0].tid, 17);
    assert_int_equal(S.events[0].ops, WATCH_OP_OPEN);
    assert_int_equal(fstat(fd, &a), 0);
    assert_int_equal(fstat(S.events[0].fd, &b), 0);
    assert_int_equal(a.st_ino, b.st_ino);
    link_answer(S.link, &S.events[0], EIO);
    assert_int_equal(receive(&m, fds, &n), WATCH_ANSWER);
    assert_int_equal(m.seq, 41);
    assert_int_equal(m.code, EIO);
}

static void a_mark_makes_an_opener_wait_in_the_fronts_group(void **state)
{
    struct err err = {0};
    struct fanotify_event_metadata e;
    int status = 0;
    (void)state;
    auto_close int fd = make_file();
    assert_int_equal(link_mark(S.link, fd, true, &err), -ENOTCONN);
    assert_non_null(strstr(err.text, "firn-watch is not there"));
    begin();
    assert_int_equal(link_mark(S.link, fd, true, &err), 0);
    assert_int_equal(link_mark(S.link, fd, true, &err), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char file[128];
        (void)snprintf(file, sizeof(file), "%s/stub", S.peer.dir);
        _exit(open(file, O_RDONLY | O_CLOEXEC) < 0 ? 1 : 0);
    }
    struct pollfd p = {.fd = S.peer.group, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 5000), 1);
    assert_int_equal(read(S.peer.group, &e, sizeof(e)), sizeof(e));
    assert_int_equal(watch_answer(S.peer.group, &S.peer.kernel, e.fd, EIO), 0);
    (void)close(e.fd);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 1);
    assert_int_equal(link_mark(S.link, fd, false, &err), 0);
    assert_int_equal(watch_kernel_marks(S.peer.group, 0).files, 0);
}

static void the_next_front_is_given_the_group_and_old_answers_stay_behind(void **state)
{
    int groups[WATCH_GROUPS_MAX];
    struct watch_msg m;
    size_t n = 0;
    (void)state;
    begin();
    auto_close int fd = make_file();
    say(WATCH_EVENT, "", WATCH_OP_OPEN, 1, fd);
    await(&S.nevents, 1);
    hang_up();
    await(&S.nlost, 1);
    assert_int_equal(link_front(S.link), 0);
    assert_int_equal(accept_firnd(groups), 1);
    assert_true(watch_kernel_same(groups[0], S.peer.group));
    (void)close(groups[0]);
    greet();
    await(&S.nattached, 2);
    say(WATCH_EVENT, "", WATCH_OP_OPEN | WATCH_OP_AGAIN, 1, fd);
    await(&S.nevents, 2);
    link_answer(S.link, &S.events[0], EIO); /* the same number, of another front */
    link_answer(S.link, &S.events[1], 0);
    assert_int_equal(receive(&m, groups, &n), WATCH_ANSWER);
    assert_int_equal(m.code, 0);
}

static void groups_of_dead_fronts_are_kept_until_all_is_walked(void **state)
{
    int groups[WATCH_GROUPS_MAX];
    struct link_status st;
    struct watch_msg m;
    struct err err = {0};
    size_t n = 0;
    (void)state;
    begin();
    uint64_t before = link_front(S.link);
    hang_up();
    await(&S.nlost, 1);
    int old = S.peer.group;
    S.peer.group = watch_kernel_open(true, &S.peer.kernel, &err); /* a front that found no group */
    assert_true(S.peer.group >= 0);
    assert_int_equal(accept_firnd(groups), 1);
    assert_true(watch_kernel_same(groups[0], old));
    (void)close(groups[0]);
    (void)close(old);
    greet();
    await(&S.nattached, 2);
    link_status(S.link, &st);
    assert_int_equal(st.groups, 2);
    link_uncover(S.link, "fs1", before); /* a walk for the dead front: nothing */
    link_uncover(S.link, "fs1", link_front(S.link));
    link_status(S.link, &st);
    assert_int_equal(st.groups, 2);
    link_uncover(S.link, "fs2", link_front(S.link));
    assert_int_equal(receive(&m, groups, &n), WATCH_UNCOVER);
    assert_string_equal(m.name, "fs1");
    assert_int_equal(receive(&m, groups, &n), WATCH_UNCOVER);
    assert_string_equal(m.name, "fs2");
    assert_int_equal(receive(&m, groups, &n), WATCH_RETIRE);
    link_status(S.link, &st);
    assert_int_equal(st.groups, 1);
}

static void answers_wait_for_room_and_keep_their_order(void **state)
{
    enum { MANY = 5000 };
    struct watch_msg m;
    int fds[WATCH_GROUPS_MAX];
    size_t n = 0;
    (void)state;
    begin();
    struct link_event ev = {.front = link_front(S.link)};
    for (ev.seq = 1; ev.seq <= MANY; ev.seq++)
        link_answer(S.link, &ev, (int)(ev.seq % 7));
    for (uint64_t i = 1; i <= MANY; i++) {
        assert_int_equal(receive(&m, fds, &n), WATCH_ANSWER);
        assert_int_equal(m.seq, i);
        assert_int_equal(m.code, i % 7);
    }
}

static void a_front_that_talks_nonsense_is_left(void **state)
{
    int groups[WATCH_GROUPS_MAX];
    (void)state;
    begin();
    say(WATCH_ANSWER, "", 0, 1, -1);
    await(&S.nlost, 1);
    hang_up();
    assert_int_equal(accept_firnd(groups), 1);
    (void)close(groups[0]);
    assert_int_equal(send(S.peer.sock, "x", 1, 0), 1);
    hang_up();
    assert_int_equal(accept_firnd(groups), 1);
    (void)close(groups[0]);
    greet();
    await(&S.nattached, 2);
}

static void a_socket_path_that_is_too_long_is_named(void **state)
{
    static const struct link_hooks hooks = {on_event, on_attached, on_lost, NULL};
    char path[256];
    struct link *l = NULL;
    struct err err = {0};
    (void)state;
    memset(path, 'x', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(link_start(path, &hooks, &l, &err), -ENAMETOOLONG);
    assert_non_null(strstr(err.text, "watch.socket"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(it_learns_what_the_front_watches),
        T(an_event_arrives_with_its_file_and_is_answered),
        T(a_mark_makes_an_opener_wait_in_the_fronts_group),
        T(the_next_front_is_given_the_group_and_old_answers_stay_behind),
        T(groups_of_dead_fronts_are_kept_until_all_is_walked),
        T(answers_wait_for_room_and_keep_their_order),
        T(a_front_that_talks_nonsense_is_left),
        T(a_socket_path_that_is_too_long_is_named),
    };
    log_init("test_link", LOG_LEVEL_ERR);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
