/* SPDX-License-Identifier: Apache-2.0 */
/* Those who use the files of the race. With a guard they know nothing of stubs. */
#include "race.h"

#include "base/cleanup.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/xattr.h>
#include <unistd.h>

static bool is_stub(int fd)
{
    char c;
    return fgetxattr(fd, FILE_XATTR_STUB, &c, 1) > 0;
}

/* Without a guard: waits until the open file's data is there. False when the test ends. */
static bool ask(struct victim *v, int fd)
{
    while (!R.guarded && is_stub(fd)) {
        if (atomic_load(&R.stop))
            return false;
        {
            lock_scope(&v->lock);
            v->recall_wanted = true;
        }
        (void)usleep(200);
    }
    return true;
}

int race_open(struct victim *v, int flags)
{
    int fd = -1;
    for (int i = 0; fd < 0; i++) {
        fd = open(path_of(&R.site, i % 2 == 0 ? v->name : v->other_name), flags | O_CLOEXEC);
        if (fd < 0 && errno != ENOENT)
            abort();
    }
    if (!ask(v, fd)) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

/* The bytes of page, of which n could be read, are between lo and hi. */
static void check_page(const char *what, struct victim *v, int page, const uint64_t *b, ssize_t n,
                       uint64_t lo, uint64_t hi)
{
    if (page == TAIL) /* may be cut, or be zero after it was cut */
        lo = 0;
    else if (n != PAGE)
        race_wrong("short read", v, page, (uint64_t)n, lo, hi);
    for (ssize_t i = 0; i < n / 8; i++) {
        if (b[i] < lo || b[i] > hi) {
            race_wrong(what, v, page, b[i], lo, hi);
            break;
        }
    }
}

void race_read_page(struct victim *v, int fd, int page)
{
    uint64_t b[WORDS];
    uint64_t lo = atomic_load(&v->written[page]);
    ssize_t n = io_pread_full(fd, b, PAGE, (off_t)page * PAGE);
    uint64_t hi = atomic_load(&v->begun[page]);
    check_page("read", v, page, b, n, lo, hi);
    atomic_fetch_add(&R.reads, 1);
}

static void read_mapped(struct victim *v, int fd, int page)
{
    uint64_t lo = atomic_load(&v->written[page]);
    void *m = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, (off_t)page * PAGE);
    if (m == MAP_FAILED)
        abort();
    check_page("mapping", v, page, m, PAGE, lo, UINT64_MAX);
    (void)munmap(m, PAGE);
    atomic_fetch_add(&R.reads, 1);
}

void *race_reader(void *arg)
{
    unsigned seed = R.seed + (unsigned)(uintptr_t)arg;
    while (!atomic_load(&R.stop)) {
        struct victim *v = &R.victims[rand_r(&seed) % FILES];
        auto_close int fd = race_open(v, O_RDONLY);
        for (int i = 0; fd >= 0 && i < 4; i++)
            race_read_page(v, fd, rand_r(&seed) % PAGES);
        if (fd >= 0) /* the last page may be cut under the mapping */
            read_mapped(v, fd, rand_r(&seed) % TAIL);
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
    atomic_fetch_add(&R.writes, 1);
}

/* Even pages belong to the pwrite writer, odd ones to the mmap writer: one writer a page. */
void *race_writer(void *arg)
{
    int mine = (int)(uintptr_t)arg;
    unsigned seed = R.seed + 100 + (unsigned)mine;
    while (!atomic_load(&R.stop)) {
        struct victim *v = &R.victims[rand_r(&seed) % FILES];
        auto_close int fd = race_open(v, O_RDWR);
        for (int i = 0; fd >= 0 && i < 2; i++)
            write_page(v, fd, rand_r(&seed) % (TAIL / 2) * 2 + mine, mine == 1);
        (void)usleep(rand_r(&seed) % 6000U);
    }
    return NULL;
}

/* By path where the kernel tells of it before it happens. */
static void cut(struct victim *v, int fd, off_t size)
{
    if (R.guarded && !R.open_only &&
        (truncate(path_of(&R.site, v->name), size) == 0 ||
         truncate(path_of(&R.site, v->other_name), size) == 0))
        return;
    if (ftruncate(fd, size) < 0)
        abort();
}

void *race_truncator(void *arg)
{
    (void)arg;
    unsigned seed = R.seed + 200;
    while (!atomic_load(&R.stop)) {
        struct victim *v = &R.victims[rand_r(&seed) % FILES];
        off_t size = (off_t)TAIL * PAGE + rand_r(&seed) % PAGE;
        if (rand_r(&seed) % 2 == 0 && R.guarded && !R.open_only)
            (void)truncate(path_of(&R.site, v->name), size); /* nothing keeps it open */
        auto_close int fd = race_open(v, O_RDWR);
        if (fd >= 0) {
            cut(v, fd, size);
            write_page(v, fd, TAIL, false);
        }
        (void)usleep(20000 + rand_r(&seed) % 20000U);
    }
    return NULL;
}

/* ---- names ---- */

void *race_renamer(void *arg)
{
    (void)arg;
    unsigned seed = R.seed + 400;
    while (!atomic_load(&R.stop)) {
        struct victim *v = &R.victims[rand_r(&seed) % FILES];
        if (rename(path_of(&R.site, v->name), path_of(&R.site, v->other_name)) < 0)
            abort();
        (void)usleep(rand_r(&seed) % 1000U);
        if (rename(path_of(&R.site, v->other_name), path_of(&R.site, v->name)) < 0)
            abort();
        atomic_fetch_add(&R.renames, 1);
        (void)usleep(rand_r(&seed) % 2000U);
    }
    return NULL;
}

/* Reads through a second name that goes away while the file is open. */
void *race_linker(void *arg)
{
    (void)arg;
    unsigned seed = R.seed + 500;
    while (!atomic_load(&R.stop)) {
        struct victim *v = &R.victims[rand_r(&seed) % FILES];
        const char *name = path_of(&R.site, "second-name");
        if (link(path_of(&R.site, v->name), name) < 0)
            continue; /* the renamer has it */
        auto_close int fd = open(name, O_RDONLY | O_CLOEXEC);
        if (unlink(name) < 0 || fd < 0)
            abort();
        if (ask(v, fd))
            race_read_page(v, fd, rand_r(&seed) % PAGES);
        atomic_fetch_add(&R.links, 1);
        (void)usleep(rand_r(&seed) % 4000U);
    }
    return NULL;
}

/* ---- shared extents ---- */

struct clone {
    struct victim *v;
    uint64_t values[TAIL];
};

/* Whole pages with one value each; what they were the first time they stay. */
static void read_clone(struct clone *c, bool first, const uint64_t *lo)
{
    auto_close int fd = open(path_of(&R.site, "clone"), O_RDONLY | O_CLOEXEC);
    uint64_t b[WORDS];
    for (int p = 0; p < TAIL; p++) {
        ssize_t n = io_pread_full(fd, b, PAGE, (off_t)p * PAGE);
        if (first)
            check_page("clone", c->v, p, b, n, lo[p], atomic_load(&c->v->begun[p]));
        else
            check_page("clone, later", c->v, p, b, n, 0, UINT64_MAX);
        if (!first && b[0] != c->values[p])
            race_wrong("clone changed", c->v, p, b[0], c->values[p], c->values[p]);
        c->values[p] = b[0];
    }
}

static bool make_clone(struct clone *c)
{
    uint64_t lo[TAIL];
    auto_close int from = race_open(c->v, O_RDONLY);
    if (from < 0)
        return false;
    {
        auto_close int to =
            open(path_of(&R.site, "clone"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        for (int p = 0; p < TAIL; p++)
            lo[p] = atomic_load(&c->v->written[p]);
        if (ioctl(to, FICLONE, from) < 0) {
            if (errno != EOPNOTSUPP)
                abort();
            return false;
        }
    }
    read_clone(c, true, lo);
    return true;
}

void *race_cloner(void *arg)
{
    (void)arg;
    unsigned seed = R.seed + 600;
    struct clone c = {0};
    while (!atomic_load(&R.stop)) {
        c.v = &R.victims[rand_r(&seed) % FILES];
        if (!make_clone(&c)) {
            if (strcmp(R.kind, "ext4") == 0)
                return NULL; /* has no clones */
            continue;
        }
        (void)usleep(rand_r(&seed) % 20000U);
        read_clone(&c, false, NULL); /* the file was written to or punched meanwhile */
        atomic_fetch_add(&R.clones, 1);
    }
    return NULL;
}

/* A file in the snapshot is a stub, or holds what the file held at some time: which writes that
 * ended shortly before are in a snapshot is btrfs's affair. */
static void check_in_snapshot(struct victim *v)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "snapshot/%s", v->name);
    const char *path = path_of(&R.site, name);
    char c;
    if (getxattr(path, FILE_XATTR_STUB, &c, 1) > 0)
        return;
    auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint64_t b[WORDS];
    for (int p = 0; fd >= 0 && p < TAIL; p++) {
        ssize_t n = io_pread_full(fd, b, PAGE, (off_t)p * PAGE);
        check_page("snapshot", v, p, b, n, 1, atomic_load(&v->begun[p]));
    }
}

static void snapshot_once(int root)
{
    struct btrfs_ioctl_vol_args_v2 a = {.fd = root, .flags = BTRFS_SUBVOL_RDONLY};
    (void)snprintf(a.name, sizeof(a.name), "snapshot");
    if (ioctl(root, BTRFS_IOC_SNAP_CREATE_V2, &a) < 0)
        abort();
    for (int f = 0; f < FILES; f++)
        check_in_snapshot(&R.victims[f]);
    struct btrfs_ioctl_vol_args gone = {0};
    (void)snprintf(gone.name, sizeof(gone.name), "snapshot");
    if (ioctl(root, BTRFS_IOC_SNAP_DESTROY, &gone) < 0)
        abort();
    atomic_fetch_add(&R.snapshots, 1);
}

void *race_snapshotter(void *arg)
{
    (void)arg;
    unsigned seed = R.seed + 700;
    auto_close int root = open(R.site.loop.mnt, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (strcmp(R.kind, "btrfs") == 0 && !atomic_load(&R.stop)) {
        snapshot_once(root);
        (void)usleep(300000 + rand_r(&seed) % 300000U);
    }
    return NULL;
}
