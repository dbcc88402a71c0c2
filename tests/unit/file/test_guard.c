/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Release, refill and repair under a guard, on a real file system (argv[1]): the marks are those of
 * a fanotify group of this test, so readers truly wait.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fixture.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "file/file_impl.h"
#include "watch/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static struct site S;
static const char *kind;
static int group = -1;
static struct watch_kernel K;

/* What the guard was asked, and how it behaves. */
static struct {
    unsigned adds, removes;
    unsigned fail_at;  /* the add of this number fails; 0: none */
    bool late;         /* the first add of a release does nothing: lease, then mark */
    bool lease_seen;   /* at an add the descriptor had a lease already */
    bool stub_at_last; /* at the last call the marker was set */
} G;

static int guard_mark(void *arg, int fd, bool add, struct err *err)
{
    char c;
    (void)arg;
    G.stub_at_last = fgetxattr(fd, FILE_XATTR_STUB, &c, 1) > 0;
    if (!add) {
        G.removes++;
        return watch_mark_file(group, &K, fd, false, err);
    }
    G.adds++;
    if (G.adds == 1)
        G.lease_seen = fcntl(fd, F_GETLEASE) != F_UNLCK;
    if (G.adds == G.fail_at)
        return err_set(err, -ENOTCONN, "firn-watch is not there");
    if (G.late && fcntl(fd, F_GETLEASE) == F_UNLCK)
        return 0;
    return watch_mark_file(group, &K, fd, true, err);
}

static int setup(void **state)
{
    static const struct file_guard guard = {.mark = guard_mark};
    struct err err = {0};
    (void)state;
    site_up(&S, kind);
    group = watch_kernel_open(false, &K, &err);
    assert_true(group >= 0);
    fs_set_guard(S.fs, &guard);
    memset(&G, 0, sizeof(G));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)close(group);
    site_down(&S);
    return 0;
}

static void premigrated(const char *name, struct file_id *id, struct uuid *archive)
{
    *id = make_file(&S, name, 200000, 7);
    *archive = premigrate(&S, name);
    memset(&G, 0, sizeof(G));
}

static enum file_state state_of(const char *name)
{
    struct file_info i = {0};
    assert_int_equal(inspect(&S, name, &i), 0);
    return i.state;
}

static uint64_t marks(void)
{
    return watch_kernel_marks(group, 0).files;
}

/* ---- which calls, in which order ---- */

static void a_release_marks_before_it_takes_the_lease(void **state)
{
    struct file_id id;
    struct uuid archive;
    (void)state;
    premigrated("a", &id, &archive);
    assert_int_equal(release(&S, &id, false), 0);
    assert_false(G.lease_seen);
    assert_int_equal(G.removes, 1); /* of what an earlier stub may have left, before all else */
    assert_int_equal(marks(), 1);
    assert_int_equal(state_of("a"), FILE_MIGRATED);
}

static void without_a_mark_nothing_is_released(void **state)
{
    struct file_id id;
    struct uuid archive;
    (void)state;
    premigrated("a", &id, &archive);
    G.fail_at = 1;
    assert_int_equal(release(&S, &id, false), -ENOTCONN);
    assert_non_null(strstr(S.err.text, "firn-watch is not there"));
    assert_int_equal(state_of("a"), FILE_PREMIGRATED);
    assert_int_equal(first_wrong(&S, "a", 200000, 7), -1);
}

static void a_guard_that_is_lost_before_the_punch_turns_the_release_back(void **state)
{
    struct file_id id;
    struct uuid archive;
    (void)state;
    premigrated("a", &id, &archive);
    G.fail_at = 2;
    assert_int_equal(release(&S, &id, false), -ENOTCONN);
    assert_int_equal(state_of("a"), FILE_PREMIGRATED);
    assert_int_equal(marks(), 0);
    assert_int_equal(first_wrong(&S, "a", 200000, 7), -1);
}

static void a_release_that_does_not_happen_takes_its_mark_away(void **state)
{
    struct file_id id;
    struct uuid archive;
    struct file_release *r = NULL;
    (void)state;
    premigrated("a", &id, &archive);
    {
        auto_close __attribute__((unused)) int fd = open(path_of(&S, "a"), O_RDONLY | O_CLOEXEC);
        assert_int_equal(release(&S, &id, false), FILE_IN_USE);
        assert_int_equal(marks(), 0);
    }
    assert_int_equal(file_release_begin(S.fs, &id, NULL, NULL, &r, &S.err), 0);
    file_release_abort(r);
    assert_int_equal(marks(), 0);
    auto_close int fd = open(path_of(&S, "a"), O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "new", 3, 0), 3);
    (void)close(take_fd(fd));
    assert_int_equal(release(&S, &id, false), FILE_CHANGED);
    assert_int_equal(marks(), 0);
}

static void a_stub_that_is_to_be_released_again_keeps_its_mark(void **state)
{
    struct file_id id;
    struct uuid archive;
    (void)state;
    premigrated("a", &id, &archive);
    assert_int_equal(release(&S, &id, false), 0);
    /* The group's own events of this would wait for ever; the mark is of another process's group as
     * far as the file module can tell, so it is enough to count calls. */
    assert_int_equal(watch_mark_fs(group, &K, fs_root_fd(S.fs), false, &S.err), 0);
    G.late = true; /* no new mark, and no event: */
    {
        auto_close int fd = fs_open_path(S.fs, "a", O_PATH, &S.err);
        assert_int_equal(watch_mark_file(group, &K, fd, false, &S.err), 0);
    }
    G.removes = 0;
    assert_int_equal(release(&S, &id, false), FILE_IS_MIGRATED);
    assert_int_equal(G.removes, 0);
}

static void a_vain_mark_goes_unless_the_file_is_being_released(void **state)
{
    struct file_id id;
    struct uuid archive;
    struct file_release *r = NULL;
    (void)state;
    premigrated("a", &id, &archive);
    /* Older than the marks, so this test itself is not stopped. */
    auto_close int path = fs_open_path(S.fs, "a", O_PATH, &S.err);
    assert_int_equal(watch_mark_file(group, &K, path, true, &S.err), 0);
    assert_int_equal(file_unguard(S.fs, path, &S.err), 0);
    assert_int_equal(marks(), 0);
    assert_int_equal(file_release_begin(S.fs, &id, NULL, NULL, &r, &S.err), 0);
    struct file_guarded *going = S.fs->releases;
    assert_non_null(going);
    assert_int_equal(file_unguard(S.fs, path, &S.err), 0);
    assert_int_equal(marks(), 1);
    file_release_abort(r);
    assert_null(S.fs->releases);
    assert_int_equal(marks(), 0);
}

/* ---- readers that wait ---- */

static atomic_bool stop;   /* readers */
static atomic_bool closed; /* the front, when none of them waits any more */
static atomic_long zeros, reads, refused, events;
static atomic_int own; /* the thread that works on the files; its events are let go */

static bool is_stub(int fd)
{
    char c;
    return fgetxattr(fd, FILE_XATTR_STUB, &c, 1) > 0;
}

static void answer(const struct fanotify_event_metadata *m)
{
    bool deny = m->pid != atomic_load(&own) && is_stub(m->fd);
    atomic_fetch_add(&events, 1);
    (void)watch_answer(group, &K, m->fd, deny ? EIO : 0);
    (void)close(m->fd);
}

/* Speaks for firn-watch: stubs are refused, everything else goes on. */
static void *front(void *arg)
{
    char room[4096] __attribute__((aligned(8)));
    (void)arg;
    while (!atomic_load(&closed)) {
        struct pollfd p = {.fd = group, .events = POLLIN};
        if (poll(&p, 1, 20) <= 0)
            continue;
        ssize_t n = read(group, room, sizeof(room));
        struct fanotify_event_metadata *m = (void *)room;
        for (; n > 0 && FAN_EVENT_OK(m, n); m = FAN_EVENT_NEXT(m, n))
            answer(m);
    }
    return NULL;
}

static void *reader(void *arg)
{
    uint8_t b[4096];
    unsigned seed = (unsigned)syscall(SYS_gettid);
    while (!atomic_load(&stop)) {
        (void)usleep(rand_r(&seed) % 2000U);
        auto_close int fd = open(arg, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : pread(fd, b, sizeof(b), 40960);
        if (n < 0) {
            atomic_fetch_add(&refused, 1);
            continue;
        }
        atomic_fetch_add(&reads, 1);
        if (n != sizeof(b) || b[0] != pattern(7, 40960))
            atomic_fetch_add(&zeros, 1);
    }
    return NULL;
}

/* Releases and refills one file while readers open and read it, until cycles of them succeeded or
 * some zeros were read. */
static long race(const char *name, int cycles, long enough)
{
    struct file_id id;
    struct uuid archive;
    pthread_t t[4];
    bool late = G.late;
    auto_free char *path = xstrdup(path_of(&S, name));
    premigrated(name, &id, &archive);
    atomic_store(&stop, false);
    atomic_store(&closed, false);
    atomic_store(&zeros, 0);
    atomic_store(&own, (int)syscall(SYS_gettid));
    G.late = late;
    assert_int_equal(pthread_create(&t[0], NULL, front, NULL), 0);
    for (int i = 1; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, reader, path), 0);
    int done = 0;
    for (int i = 0; i < cycles * 200 && done < cycles && atomic_load(&zeros) < enough; i++) {
        int rc = release(&S, &id, true);
        assert_true(rc == 0 || rc == FILE_IN_USE);
        if (rc != 0) {
            (void)usleep(100);
            continue;
        }
        done++;
        (void)usleep(500);
        while ((rc = refill(&S, &id, &archive, 7, FILE_PREMIGRATED)) == FILE_IN_USE)
            (void)usleep(100);
        assert_int_equal(rc, 0);
    }
    atomic_store(&stop, true);
    for (int i = 1; i < 4; i++)
        (void)pthread_join(t[i], NULL);
    atomic_store(&closed, true);
    (void)pthread_join(t[0], NULL);
    print_message("# %s: %d releases, %ld reads, %ld refused, %ld zeros\n", name, done,
                  atomic_load(&reads), atomic_load(&refused), atomic_load(&zeros));
    assert_true(done > 0);
    return atomic_load(&zeros);
}

static void readers_of_a_file_that_comes_and_goes_never_see_zeros(void **state)
{
    (void)state;
    assert_int_equal(race("r", 150, 1), 0);
}

/* The control: what the test above would see if the mark came after the lease. */
static void with_the_lease_before_the_mark_they_would(void **state)
{
    (void)state;
    G.late = true;
    assert_true(race("r", 3000, 1) > 0);
}

static void a_refill_takes_the_mark_away_after_the_state(void **state)
{
    struct file_id id;
    struct uuid archive;
    pthread_t t;
    (void)state;
    premigrated("a", &id, &archive);
    assert_int_equal(release(&S, &id, false), 0);
    G.removes = 0;
    atomic_store(&stop, false);
    atomic_store(&closed, false);
    atomic_store(&own, (int)syscall(SYS_gettid));
    assert_int_equal(pthread_create(&t, NULL, front, NULL), 0);
    struct file_refill *r = NULL;
    assert_int_equal(file_refill_begin(S.fs, &id, &archive, &r, &S.err), 0);
    file_refill_abort(r);
    assert_int_equal(G.removes, 0);
    assert_int_equal(refill(&S, &id, &archive, 7, FILE_PREMIGRATED), 0);
    assert_int_equal(G.removes, 1);
    assert_false(G.stub_at_last);
    assert_int_equal(marks(), 0);
    atomic_store(&closed, true);
    (void)pthread_join(t, NULL);
    assert_int_equal(first_wrong(&S, "a", 200000, 7), -1);
}

static void a_repaired_stub_is_marked(void **state)
{
    struct file_id id;
    struct uuid archive;
    struct file_info i;
    (void)state;
    premigrated("a", &id, &archive);
    auto_close int fd = fs_open_path(S.fs, "a", O_RDWR, &S.err);
    assert_int_equal(inspect(&S, "a", &i), 0);
    struct file_record rec = i.record;
    rec.state = FILE_MIGRATED;
    rec.flags = FILE_RECORD_RELEASING;
    assert_int_equal(file_put_record(fd, &rec, &S.err), 0); /* killed after this */
    assert_int_equal(file_repair(S.fs, fd, &i, &S.err), 0);
    assert_int_equal(i.state, FILE_MIGRATED);
    assert_true(i.marker);
    assert_int_equal(marks(), 1);
    assert_int_equal(i.st.st_size, 200000);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(a_release_marks_before_it_takes_the_lease),
        T(without_a_mark_nothing_is_released),
        T(a_guard_that_is_lost_before_the_punch_turns_the_release_back),
        T(a_release_that_does_not_happen_takes_its_mark_away),
        T(a_stub_that_is_to_be_released_again_keeps_its_mark),
        T(a_vain_mark_goes_unless_the_file_is_being_released),
        T(a_refill_takes_the_mark_away_after_the_state),
        T(a_repaired_stub_is_marked),
        T(readers_of_a_file_that_comes_and_goes_never_see_zeros),
        T(with_the_lease_before_the_mark_they_would),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    kind = argc > 1 ? argv[1] : "ext4";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
