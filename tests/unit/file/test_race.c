/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writers (pwrite, mmap, truncate) and readers against release and recall, on a real file system
 * (argv[1]). Every word read must be one that the file held between the begin and the end of the
 * read; at the end every page must hold what was written last. Readers and writers follow the rule
 * that firn-s3 follows: open, then look at the marker, ask for a recall when it is there. 500
 * releases, 10,000 with FIRN_LONG set. FIRN_SEED repeats a run's choices.
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

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

/* The last page of each file is the truncator's. */
enum { FILES = 4, PAGES = 24, PAGE = 4096, WORDS = PAGE / 8, KEPT = 4 };
enum { SIZE = PAGES * PAGE, TAIL = PAGES - 1 };

struct victim {
    char name[16];
    struct file_id id;
    atomic_uint_least64_t begun[PAGES];   /* value of the write that began last */
    atomic_uint_least64_t written[PAGES]; /* value of the write that ended last */
    pthread_mutex_t lock;                 /* guards what follows */
    bool recall_wanted;
    unsigned next;
    struct {
        struct uuid archive;
        size_t size;
        uint8_t *data;
    } kept[KEPT];
};

static struct site S;
static const char *kind;
static struct victim victims[FILES];
static unsigned seed0;
static atomic_bool stop;
static atomic_long reads, writes, releases, recalls, in_use, changed, wrong;

static void complain(const char *what, const struct victim *v, int page, uint64_t got, uint64_t lo,
                     uint64_t hi)
{
    if (atomic_fetch_add(&wrong, 1) < 10)
        print_error("seed %u: %s of %s page %d: %llu, not within %llu..%llu\n", seed0, what,
                    v->name, page, (unsigned long long)got, (unsigned long long)lo,
                    (unsigned long long)hi);
}

static bool is_stub(int fd)
{
    char c;
    return fgetxattr(fd, FILE_XATTR_STUB, &c, 1) > 0;
}

/* Waits until the open file's data is there. False when the test ends. */
static bool ask(struct victim *v, int fd)
{
    while (is_stub(fd)) {
        if (atomic_load(&stop))
            return false;
        {
            lock_scope(&v->lock);
            v->recall_wanted = true;
        }
        (void)usleep(200);
    }
    return true;
}

static int open_victim(struct victim *v, int flags)
{
    int fd = open(path_of(&S, v->name), flags | O_CLOEXEC);
    if (fd >= 0 && !ask(v, fd)) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

/* ---- readers and writers ---- */

static void read_page(struct victim *v, int fd, int page)
{
    uint64_t b[WORDS];
    uint64_t lo = atomic_load(&v->written[page]);
    ssize_t n = io_pread_full(fd, b, PAGE, (off_t)page * PAGE);
    uint64_t hi = atomic_load(&v->begun[page]);
    if (page == TAIL) /* may be cut, or be zero after it was cut */
        lo = 0;
    else if (n != PAGE)
        complain("short read", v, page, (uint64_t)n, lo, hi);
    for (ssize_t i = 0; i < n / 8; i++) {
        if (b[i] < lo || b[i] > hi) {
            complain("read", v, page, b[i], lo, hi);
            break;
        }
    }
    atomic_fetch_add(&reads, 1);
}

static void *reader(void *arg)
{
    unsigned seed = seed0 + (unsigned)(uintptr_t)arg;
    while (!atomic_load(&stop)) {
        struct victim *v = &victims[rand_r(&seed) % FILES];
        auto_close int fd = open_victim(v, O_RDONLY);
        for (int i = 0; fd >= 0 && i < 4; i++)
            read_page(v, fd, rand_r(&seed) % PAGES);
        (void)usleep(rand_r(&seed) % 3000U);
    }
    return NULL;
}

static void write_page(struct victim *v, int fd, int page, bool mapped)
{
    uint64_t b[WORDS];
    uint64_t value = atomic_load(&v->begun[page]) + 1;
    for (int i = 0; i < WORDS; i++)
        b[i] = value;
    atomic_store(&v->begun[page], value);
    if (mapped) {
        void *m = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)page * PAGE);
        if (m == MAP_FAILED)
            abort();
        memcpy(m, b, PAGE);
        (void)munmap(m, PAGE);
    } else if (io_pwrite_full(fd, b, PAGE, (off_t)page * PAGE) != 0) {
        abort();
    }
    atomic_store(&v->written[page], value);
    atomic_fetch_add(&writes, 1);
}

/* Even pages belong to the pwrite writer, odd ones to the mmap writer: one writer a page. */
static void *writer(void *arg)
{
    int mine = (int)(uintptr_t)arg;
    unsigned seed = seed0 + 100 + (unsigned)mine;
    while (!atomic_load(&stop)) {
        struct victim *v = &victims[rand_r(&seed) % FILES];
        auto_close int fd = open_victim(v, O_RDWR);
        for (int i = 0; fd >= 0 && i < 2; i++)
            write_page(v, fd, rand_r(&seed) % (TAIL / 2) * 2 + mine, mine == 1);
        (void)usleep(rand_r(&seed) % 6000U);
    }
    return NULL;
}

static void *truncator(void *arg)
{
    (void)arg;
    unsigned seed = seed0 + 200;
    while (!atomic_load(&stop)) {
        struct victim *v = &victims[rand_r(&seed) % FILES];
        auto_close int fd = open_victim(v, O_RDWR);
        if (fd >= 0) {
            if (ftruncate(fd, (off_t)TAIL * PAGE + rand_r(&seed) % PAGE) < 0)
                abort();
            write_page(v, fd, TAIL, false);
        }
        (void)usleep(20000 + rand_r(&seed) % 20000U);
    }
    return NULL;
}

/* ---- the engine's part ---- */

static void keep(struct victim *v, const struct uuid *archive, const uint8_t *data, size_t size)
{
    lock_scope(&v->lock);
    unsigned k = v->next++ % KEPT;
    v->kept[k].archive = *archive;
    v->kept[k].size = size;
    memcpy(v->kept[k].data, data, size);
}

static void must(int rc, const char *what)
{
    if (rc < 0) {
        print_error("seed %u: %s: %s\n", seed0, what, S.err.text);
        abort();
    }
}

static int archive_one(struct victim *v, uint8_t *b, struct file_snapshot *snap, unsigned *seed)
{
    auto_close int fd = fs_open_path(S.fs, v->name, O_RDONLY | O_NOATIME | O_NONBLOCK, &S.err);
    if (fd == -EAGAIN)
        return FILE_IN_USE;
    must(fd, "open");
    int rc = file_snapshot_begin(S.fs, fd, snap, &S.err);
    must(rc, "snapshot");
    if (rc != 0)
        return rc;
    must(fsync(fd) < 0 ? -errno : 0, "fsync");
    ssize_t n = io_pread_full(fd, b, SIZE, 0);
    must((int)n, "copy");
    if ((size_t)n != snap->size)
        return FILE_CHANGED;
    (void)usleep(rand_r(seed) % 2000U); /* writing the copy and verifying it */
    rc = file_snapshot_unchanged(fd, snap, &S.err);
    if (rc != 0)
        return rc;
    struct uuid archive = uuid_new();
    keep(v, &archive, b, (size_t)n);
    rc = file_set_premigrated(S.fs, fd, &archive, snap, &S.err);
    must(rc, "set premigrated");
    return rc;
}

static int release_one(struct victim *v, const struct file_snapshot *snap)
{
    struct file_release *r;
    struct file_release_opts opts = {.allow_shared = true};
    struct err err = {0};
    int rc = file_release_begin(S.fs, &v->id, snap, &opts, &r, &err);
    if (rc < 0)
        S.err = err;
    must(rc, "release");
    if (rc == 0) {
        rc = file_release_commit(r, NULL, &err);
        if (rc < 0)
            S.err = err;
        must(rc, "commit of release");
    }
    return rc;
}

static void count(int rc)
{
    if (rc == 0)
        atomic_fetch_add(&releases, 1);
    else if (rc == FILE_IN_USE)
        atomic_fetch_add(&in_use, 1);
    else if (rc == FILE_CHANGED)
        atomic_fetch_add(&changed, 1);
}

static void *releaser(void *arg)
{
    (void)arg;
    unsigned seed = seed0 + 300;
    auto_free uint8_t *b = xzalloc(SIZE);
    while (!atomic_load(&stop)) {
        struct victim *v = &victims[rand_r(&seed) % FILES];
        struct file_snapshot snap;
        int rc = archive_one(v, b, &snap, &seed);
        (void)usleep(rand_r(&seed) % 1000U);
        if (rc == 0)
            rc = release_one(v, &snap);
        count(rc);
        if (rc != 0)
            (void)usleep(100);
    }
    return NULL;
}

static void recall_one(struct victim *v, uint8_t *b)
{
    struct file_info i;
    struct file_refill *r;
    struct err err = {0};
    if (file_inspect_id(S.fs, &v->id, &i, &err) != 0 || i.state != FILE_MIGRATED)
        return;
    size_t size = 0;
    {
        lock_scope(&v->lock);
        for (int k = 0; k < KEPT; k++) {
            if (memcmp(&v->kept[k].archive, &i.record.archive, UUID_BYTES) == 0) {
                size = v->kept[k].size;
                memcpy(b, v->kept[k].data, size);
            }
        }
    }
    int rc = file_refill_begin(S.fs, &v->id, &i.record.archive, &r, &err);
    if (rc == FILE_IN_USE || rc == FILE_NOT_MIGRATED)
        return; /* the release still has its lease, or was turned back */
    if (rc != 0 || size != file_refill_size(r)) {
        print_error("seed %u: recall of %s: %s %s\n", seed0, v->name, file_outcome_text(rc),
                    err.text);
        abort();
    }
    size_t half = size / 2;
    rc = file_refill_write(r, half, b + half, size - half, &err);
    if (rc == 0)
        rc = file_refill_write(r, 0, b, half, &err);
    if (rc == 0)
        rc = file_refill_commit(r, FILE_PREMIGRATED, false, &err);
    if (rc != 0) {
        print_error("seed %u: recall of %s: %s %s\n", seed0, v->name, file_outcome_text(rc),
                    err.text);
        abort();
    }
    atomic_fetch_add(&recalls, 1);
}

static void *recaller(void *arg)
{
    (void)arg;
    auto_free uint8_t *b = xzalloc(SIZE);
    while (!atomic_load(&stop)) {
        for (int i = 0; i < FILES; i++) {
            struct victim *v = &victims[i];
            bool wanted;
            {
                lock_scope(&v->lock);
                wanted = v->recall_wanted;
                v->recall_wanted = false;
            }
            if (wanted)
                recall_one(v, b);
        }
        (void)usleep(100);
    }
    return NULL;
}

/* ---- the run ---- */

static void make_victims(void)
{
    uint64_t b[WORDS];
    for (int i = 0; i < WORDS; i++)
        b[i] = 1;
    for (int f = 0; f < FILES; f++) {
        struct victim *v = &victims[f];
        (void)snprintf(v->name, sizeof(v->name), "victim%d", f);
        (void)pthread_mutex_init(&v->lock, NULL);
        auto_close int fd = open(path_of(&S, v->name), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        for (int p = 0; p < PAGES; p++) {
            assert_int_equal(io_pwrite_full(fd, b, PAGE, (off_t)p * PAGE), 0);
            atomic_store(&v->begun[p], 1);
            atomic_store(&v->written[p], 1);
        }
        for (int k = 0; k < KEPT; k++)
            v->kept[k].data = xzalloc(SIZE);
        assert_int_equal(fs_identify(S.fs, fd, &v->id, NULL, &S.err), 0);
    }
}

/* All threads are gone: every page holds what was written last. */
static void check_victims(void)
{
    auto_free uint8_t *b = xzalloc(SIZE);
    for (int f = 0; f < FILES; f++) {
        struct victim *v = &victims[f];
        recall_one(v, b);
        auto_close int fd = open(path_of(&S, v->name), O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_false(is_stub(fd));
        uint64_t w[WORDS];
        for (int p = 0; p < PAGES; p++) {
            uint64_t want = atomic_load(&v->written[p]);
            if (io_pread_full(fd, w, PAGE, (off_t)p * PAGE) != PAGE)
                complain("size", v, p, 0, want, want);
            for (int i = 0; i < WORDS; i++) {
                if (w[i] != want) {
                    complain("last value", v, p, w[i], want, want);
                    break;
                }
            }
        }
        for (int k = 0; k < KEPT; k++)
            free(v->kept[k].data);
    }
}

static void writers_racing_with_release_lose_nothing(void **state)
{
    (void)state;
    static void *(*const work[])(void *) = {reader,    reader,   writer,  writer,
                                            truncator, releaser, recaller};
    static const uintptr_t args[] = {1, 2, 0, 1, 0, 0, 0};
    enum { N = sizeof(work) / sizeof(work[0]) };
    const char *env = getenv("FIRN_SEED");
    seed0 = env != NULL ? (unsigned)strtoul(env, NULL, 10) : (unsigned)time(NULL);
    long wanted = getenv("FIRN_LONG") != NULL ? 10000 : 500;
    make_victims();
    pthread_t t[N];
    for (int i = 0; i < N; i++)
        assert_int_equal(pthread_create(&t[i], NULL, work[i], (void *)args[i]), 0);
    while (atomic_load(&releases) < wanted && atomic_load(&wrong) == 0)
        (void)usleep(10000);
    atomic_store(&stop, true);
    for (int i = 0; i < N; i++)
        (void)pthread_join(t[i], NULL);
    check_victims();
    print_message(
        "# %s, seed %u: %ld releases, %ld recalls, %ld reads, %ld writes; turned back: %ld "
        "in use, %ld changed; %ld wrong\n",
        kind, seed0, atomic_load(&releases), atomic_load(&recalls), atomic_load(&reads),
        atomic_load(&writes), atomic_load(&in_use), atomic_load(&changed), atomic_load(&wrong));
    assert_int_equal(atomic_load(&wrong), 0);
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
    kind = argc > 1 ? argv[1] : "ext4";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writers_racing_with_release_lose_nothing),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, up, down);
}
