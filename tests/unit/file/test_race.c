/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writers (pwrite, mmap, truncate), readers, renames, hard links, clones and snapshots against
 * release and recall, on a real file system (argv[1]). Every word read must be one that the file
 * held between the begin and the end of the read; at the end every page must hold what was written
 * last. argv[2] is "ask" (or nothing): readers and writers follow the rule that firn-s3 follows:
 * open, then look at the marker, ask for a recall when it is there. "auto": they know nothing of
 * stubs, the kernel stops them until the data is there; "open": the same by events at open alone.
 * 2,000 attempts at a release (fewer on btrfs), 100,000 with FIRN_LONG set; FIRN_RACES says another
 * number; SIGTERM ends a run as if it were done. FIRN_SEED repeats a run's choices.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "race.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

struct race R;

void race_wrong(const char *what, const struct victim *v, int page, uint64_t got, uint64_t lo,
                uint64_t hi)
{
    if (atomic_fetch_add(&R.wrong, 1) < 10)
        print_error("seed %u: %s of %s page %d: %llu, not within %llu..%llu\n", R.seed, what,
                    v->name, page, (unsigned long long)got, (unsigned long long)lo,
                    (unsigned long long)hi);
}

static void make_victims(void)
{
    uint64_t b[WORDS];
    for (int i = 0; i < WORDS; i++)
        b[i] = 1;
    for (int f = 0; f < FILES; f++) {
        struct victim *v = &R.victims[f];
        (void)snprintf(v->name, sizeof(v->name), "victim%d", f);
        (void)snprintf(v->other_name, sizeof(v->other_name), "moved%d", f);
        (void)pthread_mutex_init(&v->lock, NULL);
        auto_close int fd = open(path_of(&R.site, v->name), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        for (int p = 0; p < PAGES; p++) {
            assert_int_equal(io_pwrite_full(fd, b, PAGE, (off_t)p * PAGE), 0);
            atomic_store(&v->begun[p], 1);
            atomic_store(&v->written[p], 1);
        }
        assert_int_equal(fsetxattr(fd, "user.kept", v->name, strlen(v->name), 0), 0);
        assert_int_equal(fchmod(fd, 0640), 0);
        assert_int_equal(fchown(fd, 17, 18), 0);
        for (int k = 0; k < KEPT; k++)
            v->kept[k].data = xzalloc(SIZE);
        assert_int_equal(fs_identify(R.site.fs, fd, &v->id, NULL, &R.site.err), 0);
    }
}

/* Inode, owner, mode and attributes are what they were. */
static void check_outside(const struct victim *v, int fd)
{
    struct stat st;
    char value[16] = "";
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_ino, v->id.ino);
    assert_int_equal(st.st_uid, 17);
    assert_int_equal(st.st_gid, 18);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(st.st_nlink, 1);
    assert_true(fgetxattr(fd, "user.kept", value, sizeof(value) - 1) > 0);
    assert_string_equal(value, v->name);
}

/* All actors are gone: every page holds what was written last. */
static void check_victims(void)
{
    auto_free uint8_t *b = xzalloc(SIZE);
    for (int f = 0; f < FILES; f++) {
        struct victim *v = &R.victims[f];
        if (!R.guarded)
            race_recall(v, b);
        auto_close int fd = race_open(v, O_RDONLY);
        assert_true(fd >= 0);
        check_outside(v, fd);
        uint64_t w[WORDS];
        for (int p = 0; p < PAGES; p++) {
            uint64_t want = atomic_load(&v->written[p]);
            if (io_pread_full(fd, w, PAGE, (off_t)p * PAGE) != PAGE)
                race_wrong("size", v, p, 0, want, want);
            for (int i = 0; i < WORDS; i++) {
                if (w[i] != want) {
                    race_wrong("last value", v, p, w[i], want, want);
                    break;
                }
            }
        }
        (void)pthread_mutex_lock(&v->lock); /* the server's thread goes on till the site ends */
        for (int k = 0; k < KEPT; k++)
            free(v->kept[k].data);
        (void)pthread_mutex_unlock(&v->lock);
    }
}

/* Attempts at a release: it goes through, or finds the file in use or changed. */
static long attempts(void)
{
    return atomic_load(&R.releases) + atomic_load(&R.in_use) + atomic_load(&R.changed);
}

static long wanted(void)
{
    const char *n = getenv("FIRN_RACES");
    bool full = R.guarded && !R.open_only;
    if (n != NULL)
        return strtol(n, NULL, 10);
    if (getenv("FIRN_LONG") != NULL)
        return full ? 100000 : 10000;
    bool slow = strcmp(R.kind, "btrfs") == 0; /* snapshots */
    return (full ? 2000 : 1000) / (slow ? 2 : 1);
}

static void end_early(int sig)
{
    (void)sig;
    R.ended = 1;
}

static void tell(double seconds)
{
    print_message("# %s %s, seed %u: %ld attempts in %.0f s, %ld releases, %ld recalls, "
                  "%ld events, %ld reads, %ld writes, %ld renames, %ld links, %ld clones, "
                  "%ld snapshots; turned back: %ld in use, %ld changed; %ld wrong\n",
                  R.kind,
                  !R.guarded    ? "asked"
                  : R.open_only ? "open"
                                : "auto",
                  R.seed, attempts(), seconds, R.releases, R.recalls, R.events, R.reads, R.writes,
                  R.renames, R.links, R.clones, R.snapshots, R.in_use, R.changed, R.wrong);
}

static void everybody_racing_with_release_and_recall_loses_nothing(void **state)
{
    (void)state;
    static void *(*const work[])(void *) = {
        race_reader, race_reader, race_writer,      race_writer,   race_truncator, race_renamer,
        race_linker, race_cloner, race_snapshotter, race_releaser, race_recaller,
    };
    static const uintptr_t args[] = {1, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0};
    enum { N = sizeof(work) / sizeof(work[0]) };
    make_victims();
    (void)signal(SIGTERM, end_early);
    if (R.guarded)
        race_guard_up();
    time_t begin = time(NULL);
    pthread_t t[N];
    for (int i = 0; i < N; i++)
        assert_int_equal(pthread_create(&t[i], NULL, work[i], (void *)args[i]), 0);
    while (attempts() < wanted() && atomic_load(&R.wrong) == 0 && R.ended == 0)
        (void)usleep(10000);
    atomic_store(&R.stop, true);
    for (int i = 0; i < N; i++)
        (void)pthread_join(t[i], NULL);
    check_victims();
    if (R.guarded)
        race_guard_down();
    tell(difftime(time(NULL), begin));
    assert_int_equal(atomic_load(&R.wrong), 0);
}

static int up(void **state)
{
    (void)state;
    site_up(&R.site, R.kind);
    return 0;
}

static int down(void **state)
{
    (void)state;
    site_down(&R.site);
    return 0;
}

int main(int argc, char **argv)
{
    const char *env = getenv("FIRN_SEED");
    R.kind = argc > 1 ? argv[1] : "ext4";
    R.guarded = argc > 2 && strcmp(argv[2], "ask") != 0;
    R.open_only = argc > 2 && strcmp(argv[2], "open") == 0;
    R.seed = env != NULL ? (unsigned)strtoul(env, NULL, 10) : (unsigned)time(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everybody_racing_with_release_and_recall_loses_nothing),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, up, down);
}
