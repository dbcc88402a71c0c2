/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scan of a tree with a policy beside find(1) of the same tree: paired rounds, medians, the ratio.
 *   bench_scan [-n FILES] [-r ROUNDS] [-t THREADS] [-d DIRECTORY] [-k] POLICY
 * Makes FILES files of 1 KiB in directories of 1000 below DIRECTORY when it is not there, one in 64
 * with the attribute user.action; removes the tree afterwards unless -k.
 */
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "policy/chooser.h"
#include "policy/policy.h"
#include "scan/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define ROUNDS_MAX 99

struct bench {
    const char *dir, *policy;
    unsigned long files, rounds;
    unsigned threads;
    bool keep;
    struct policy *p;
};

struct worker {
    struct scan_entry *entry;
    struct policy_eval *ev;
};

struct walk {
    struct worker *workers;
    struct policy_chooser *chooser;
};

/* ---- facts ---- */

static int get_path(void *ctx, const char **path, size_t *len)
{
    struct worker *w = ctx;
    *path = scan_entry_path(w->entry, len);
    return 0;
}

static int get_stat(void *ctx, const struct statx **stx)
{
    struct worker *w = ctx;
    return scan_entry_stat(w->entry, stx);
}

static ssize_t get_xattr(void *ctx, const char *name, char *buf, size_t cap)
{
    struct worker *w = ctx;
    return scan_entry_xattr(w->entry, name, buf, cap);
}

static int get_state(void *ctx, enum policy_state *state, unsigned *flags)
{
    struct worker *w = ctx;
    char record[64];
    *flags = 0;
    *state = scan_entry_xattr(w->entry, "trusted.firn.hsm", record, sizeof(record)) > 0
                 ? POLICY_PREMIGRATED
                 : POLICY_RESIDENT;
    return 0;
}

static const struct policy_facts_ops facts = {
    .path = get_path, .stat = get_stat, .xattr = get_xattr, .state = get_state};

static int see(void *ctx, unsigned number, struct scan_entry *e)
{
    struct walk *walk = ctx;
    struct worker *w = &walk->workers[number];
    struct policy_object obj = {e->name, e->name_len, e->d_type, e->ino, &facts, w};
    struct policy_decision d;
    w->entry = e;
    int rc = policy_eval_object(w->ev, &obj, POLICY_STAGE_ENGINE, false, &d);
    if (rc < 0)
        return rc;
    struct policy_candidate cand = {.ino = e->ino};
    if (d.n_hits > 0)
        cand.path = scan_entry_path(e, &cand.path_len);
    return policy_chooser_add(walk->chooser, &cand, &d, NULL);
}

/* ---- one round each ---- */

static int run_scan(const struct bench *b, double *seconds, uint64_t *hits, struct err *err)
{
    const struct scan_ops ops = {see, NULL};
    struct scan_config cfg = {.root = b->dir, .threads = b->threads};
    struct walk walk = {0};
    struct scan *s = NULL;
    struct policy_totals t;
    int64_t begin = time_mono_ns();
    int rc = scan_new(&cfg, &ops, &walk, &s, err);
    if (rc < 0)
        return rc;
    walk.workers = xzalloc(scan_threads(s) * sizeof(*walk.workers));
    for (unsigned i = 0; i < scan_threads(s); i++)
        walk.workers[i].ev = policy_eval_new(b->p, time_now_ns(), NULL, 0);
    walk.chooser = policy_chooser_new(b->p, NULL);
    rc = scan_run(s, err);
    rc = rc < 0 ? rc : policy_chooser_choose(walk.chooser, err);
    *seconds = (double)(time_mono_ns() - begin) / 1e9;
    policy_chooser_totals(walk.chooser, &t);
    *hits = t.migrate;
    for (unsigned i = 0; i < scan_threads(s); i++)
        policy_eval_free(walk.workers[i].ev);
    free(walk.workers);
    policy_chooser_free(walk.chooser);
    scan_free(s);
    return rc;
}

static int run_find(const struct bench *b, double *seconds, struct err *err)
{
    char *argv[] = {(char *)(uintptr_t) "find", (char *)(uintptr_t)b->dir,
                    (char *)(uintptr_t) "-printf",
                    (char *)(uintptr_t) "%i %m %u %s %b %T@ %A@ %C@ %p\\n", NULL};
    posix_spawn_file_actions_t fa;
    pid_t pid = 0;
    int status = 0;
    int64_t begin = time_mono_ns();
    (void)posix_spawn_file_actions_init(&fa);
    (void)posix_spawn_file_actions_addopen(&fa, 1, "/dev/null", O_WRONLY, 0);
    int rc = posix_spawnp(&pid, "find", &fa, NULL, argv, environ);
    (void)posix_spawn_file_actions_destroy(&fa);
    if (rc != 0)
        return err_sys(err, rc, "start of find");
    if (waitpid(pid, &status, 0) < 0 || status != 0)
        return err_set(err, -EIO, "find failed");
    *seconds = (double)(time_mono_ns() - begin) / 1e9;
    return 0;
}

/* ---- tree ---- */

static int make_file(const char *path, const char *data, size_t n, bool tag, struct err *err)
{
    auto_close int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, data, n) != (ssize_t)n)
        return err_sys(err, errno, "%s", path);
    if (tag && fsetxattr(fd, "user.action", "migrate", 7, 0) < 0)
        return err_sys(err, errno, "%s: user.action", path);
    return 0;
}

static int make_tree(const struct bench *b, struct err *err)
{
    static const char data[1024] = "data";
    char path[4096];
    if (mkdir(b->dir, 0755) < 0)
        return errno == EEXIST ? 0 : err_sys(err, errno, "%s", b->dir);
    (void)printf("making %lu files in %s\n", b->files, b->dir);
    int rc = 0;
    for (unsigned long i = 0; rc == 0 && i < b->files; i++) {
        (void)snprintf(path, sizeof(path), "%s/%05lu", b->dir, i / 1000);
        if (i % 1000 == 0 && mkdir(path, 0755) < 0)
            return err_sys(err, errno, "%s", path);
        (void)snprintf(path, sizeof(path), "%s/%05lu/file-%08lu.dat", b->dir, i / 1000, i);
        rc = make_file(path, data, sizeof(data), i % 64 == 0, err);
    }
    return rc;
}

static int rm_one(const char *path, const struct stat *st, int flag, struct FTW *f)
{
    (void)st;
    (void)flag;
    (void)f;
    return remove(path);
}

/* CPU seconds of this process (RUSAGE_SELF) or of its finds (RUSAGE_CHILDREN). */
static double cpu(int who)
{
    struct rusage u;
    (void)getrusage(who, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* ---- main ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int rounds(const struct bench *b, struct err *err)
{
    double ours[ROUNDS_MAX], theirs[ROUNDS_MAX], ratio[ROUNDS_MAX], warm = 0;
    uint64_t hits = 0;
    int rc = run_find(b, &warm, err);
    double cpu_self = cpu(RUSAGE_SELF), cpu_find = cpu(RUSAGE_CHILDREN);
    for (unsigned long i = 0; rc == 0 && i < b->rounds; i++) {
        rc = run_scan(b, &ours[i], &hits, err);
        rc = rc < 0 ? rc : run_find(b, &theirs[i], err);
        ratio[i] = theirs[i] / ours[i];
    }
    if (rc < 0)
        return rc;
    cpu_self = cpu(RUSAGE_SELF) - cpu_self;
    cpu_find = cpu(RUSAGE_CHILDREN) - cpu_find;
    qsort(ours, b->rounds, sizeof(double), by_value);
    qsort(theirs, b->rounds, sizeof(double), by_value);
    qsort(ratio, b->rounds, sizeof(double), by_value);
    double n = (double)b->files * (double)b->rounds / 1e6;
    (void)printf("scan %.3f s (%.0f files/s, %llu chosen), find %.3f s, ratio %.2f (%.2f to %.2f); "
                 "CPU us a file: scan %.2f, find %.2f\n",
                 ours[b->rounds / 2], (double)b->files / ours[b->rounds / 2],
                 (unsigned long long)hits, theirs[b->rounds / 2], ratio[b->rounds / 2], ratio[0],
                 ratio[b->rounds - 1], cpu_self / n, cpu_find / n);
    return 0;
}

static int options(int argc, char **argv, struct bench *b)
{
    int c = 0;
    while ((c = getopt(argc, argv, "n:r:t:d:k")) != -1) {
        if (c == 'n')
            b->files = strtoul(optarg, NULL, 10);
        else if (c == 'r')
            b->rounds = strtoul(optarg, NULL, 10);
        else if (c == 't')
            b->threads = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 'd')
            b->dir = optarg;
        else if (c == 'k')
            b->keep = true;
        else
            return -EINVAL;
    }
    b->policy = argv[optind];
    bool ok = b->policy != NULL && b->rounds > 0 && b->rounds <= ROUNDS_MAX && b->dir[0] == '/';
    return ok ? 0 : -EINVAL;
}

int main(int argc, char **argv)
{
    struct bench b = {.dir = "/var/tmp/firn-bench-scan", .files = 1000000, .rounds = 5};
    struct err err = {0};
    if (options(argc, argv, &b) < 0) {
        (void)fprintf(stderr,
                      "usage: bench_scan [-n FILES] [-r ROUNDS] [-t THREADS] [-d DIRECTORY] [-k] "
                      "POLICY\n");
        return 2;
    }
    int rc = policy_compile_file(b.policy, NULL, &b.p, NULL, &err);
    rc = rc < 0 ? rc : make_tree(&b, &err);
    rc = rc < 0 ? rc : rounds(&b, &err);
    policy_free(b.p);
    if (!b.keep)
        (void)nftw(b.dir, rm_one, 64, FTW_DEPTH | FTW_PHYS);
    if (rc < 0)
        (void)fprintf(stderr, "bench_scan: %s\n", err.text);
    return rc < 0 ? 1 : 0;
}
