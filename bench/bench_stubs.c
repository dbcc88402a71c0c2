/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What firnd does after a start: marks on all stubs of a file system, beside find(1) -type f of the
 * same tree; both with cold caches. Memory is what the kernel's slabs grew by.
 *   bench_stubs [-n STUBS] [-t ext4|xfs|btrfs]
 * Makes a file system on a loop device. Needs root.
 */
#include "base/cleanup.h"
#include "base/log.h"
#include "base/timefmt.h"
#include "engine/stubs.h"
#include "file/fs.h"
#include "file/record.h"
#include "lib/loopfs.h"
#include "lib/watchpeer.h"
#include "watch/link.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define PER_FOLDER 1000

static void die(const char *what)
{
    (void)fprintf(stderr, "bench_stubs: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

static void make_stubs(const char *top, unsigned long n)
{
    char path[PATH_MAX];
    char record[FILE_RECORD_BYTES] = "FIRN";
    for (unsigned long i = 0; i < n; i++) {
        if (i % PER_FOLDER == 0) {
            (void)snprintf(path, sizeof(path), "%s/d%lu", top, i / PER_FOLDER);
            if (mkdir(path, 0755) != 0)
                die(path);
        }
        (void)snprintf(path, sizeof(path), "%s/d%lu/f%lu", top, i / PER_FOLDER, i);
        auto_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0 || ftruncate(fd, 1 << 20) != 0 ||
            fsetxattr(fd, FILE_XATTR_RECORD, record, sizeof(record), 0) != 0 ||
            fsetxattr(fd, FILE_XATTR_STUB, "1", 1, 0) != 0)
            die(path);
    }
}

static void drop_caches(void)
{
    sync();
    auto_close int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "3", 1) != 1)
        die("drop_caches");
}

/* KiB of the kernel's slabs. */
static long slab_kib(void)
{
    char line[128];
    long kib = 0;
    auto_fclose FILE *f = fopen("/proc/meminfo", "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, "Slab: %ld", &kib) == 1)
            return kib;
    }
    return 0;
}

static double find_seconds(const char *top)
{
    drop_caches();
    int64_t begin = time_mono_ns();
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (null >= 0 && dup2(null, STDOUT_FILENO) >= 0)
            (void)execlp("find", "find", top, "-type", "f", "-printf", "%s %b\n", (char *)NULL);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        die("find");
    return (double)(time_mono_ns() - begin) / 1e9;
}

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

static struct link *connect_to(struct watchpeer *p)
{
    static const struct link_hooks hooks = {no_event, no_attached, no_lost, NULL};
    static const char *const names[] = {"fs1"};
    int groups[WATCH_GROUPS_MAX];
    struct link *l = NULL;
    struct err err = {0};
    if (link_start(p->path, &hooks, &l, &err) != 0)
        die(err.text);
    (void)watchpeer_accept(p, groups);
    watchpeer_greet(p, names, 1);
    while (link_front(l) == 0)
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return l;
}

static void measure(struct loopfs *l, unsigned long n)
{
    static const bool go_on;
    struct watchpeer peer;
    struct stubs_count count = {0};
    struct fs *fs = NULL;
    struct err err = {0};
    double found = find_seconds(l->mnt);
    watchpeer_up(&peer, false);
    struct link *link = connect_to(&peer);
    if (fs_open(l->mnt, &fs, &err) != 0)
        die(err.text);
    drop_caches();
    long before = slab_kib();
    if (stubs_mark(fs, link, &go_on, &count, &err) != 0)
        die(err.text);
    drop_caches();
    long pinned = slab_kib() - before;
    double s = (double)count.ms / 1000;
    (void)printf(
        "%s: %llu stubs marked in %.1f s (%.0f a second); find of the same tree %.1f s, ratio "
        "%.2f; %ld bytes of slab a stub stay\n",
        l->type, (unsigned long long)count.marked, s, (double)count.marked / s, found, found / s,
        pinned * 1024 / (long)n);
    link_stop(link);
    fs_close(fs);
    watchpeer_down(&peer);
}

int main(int argc, char **argv)
{
    const char *type = "ext4";
    unsigned long n = 1000000;
    struct loopfs l;
    int c = 0;
    while ((c = getopt(argc, argv, "n:t:")) != -1) {
        if (c == 'n')
            n = strtoul(optarg, NULL, 10);
        else if (c == 't')
            type = optarg;
        else
            return 2;
    }
    if (n == 0)
        return 2;
    log_init("bench_stubs", LOG_LEVEL_ERR);
    loopfs_up_sized(&l, type, strcmp(type, "ext4") == 0 ? "-N 1200000" : NULL, 4ULL << 30);
    make_stubs(l.mnt, n);
    measure(&l, n);
    loopfs_down(&l);
    return 0;
}
