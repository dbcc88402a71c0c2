/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a call on an ordinary file costs on a watched file system, beside the same call on one that
 * nobody watches: `bench_watch FILE PEER [ROUNDS]`. Each round times a batch of calls on either
 * file, in turns that change, so that whatever else the machine does meets both. Prints a line for
 * each call: name, nanoseconds of a call for FILE and for PEER (medians of the rounds), and the
 * median of the rounds' ratios. Both files should be in memory.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, BATCH = 2000, ROUNDS = 1001, ROUNDS_MAX = 10001 };

struct target {
    const char *path;
    int fd;
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void one_pread(const struct target *t, int i)
{
    static char b[PAGE];
    if (pread(t->fd, b, PAGE, (off_t)(i % 16) * PAGE) != PAGE)
        fail("pread");
}

static void one_large_pread(const struct target *t, int i)
{
    static char b[256 * PAGE];
    (void)i;
    if (pread(t->fd, b, sizeof(b), 0) != sizeof(b))
        fail("pread");
}

static void one_open(const struct target *t, int i)
{
    static char b[PAGE];
    (void)i;
    int fd = open(t->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, b, PAGE) != PAGE)
        fail(t->path);
    (void)close(fd);
}

static const struct call {
    const char *name;
    int batch;
    void (*run)(const struct target *t, int i);
} calls[] = {
    {"pread-4K", BATCH, one_pread},
    {"pread-1M", BATCH / 50, one_large_pread},
    {"open+read+close", BATCH / 4, one_open},
};

static double batch_ns(const struct call *c, const struct target *t)
{
    struct timespec a;
    struct timespec b;
    (void)clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < c->batch; i++)
        c->run(t, i);
    (void)clock_gettime(CLOCK_MONOTONIC, &b);
    return ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / c->batch;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof(*v), compare);
    return v[n / 2];
}

static void measure(const struct call *c, const struct target *t, int rounds)
{
    static double ns[2][ROUNDS_MAX], ratio[ROUNDS_MAX];
    for (int r = -2; r < rounds; r++) { /* two to warm up */
        for (int k = 0; k < 2; k++) {
            int which = (k + r) & 1;
            double x = batch_ns(c, &t[which]);
            if (r >= 0)
                ns[which][r] = x;
        }
        if (r >= 0)
            ratio[r] = ns[0][r] / ns[1][r];
    }
    (void)printf("%s %.1f %.1f %.4f\n", c->name, median(ns[0], rounds), median(ns[1], rounds),
                 median(ratio, rounds));
}

int main(int argc, char **argv)
{
    struct target t[2];
    int rounds = argc > 3 ? (int)strtol(argv[3], NULL, 10) : ROUNDS;
    if (argc < 3 || rounds < 1 || rounds > ROUNDS_MAX) {
        (void)fputs("usage: bench_watch FILE PEER [ROUNDS]\n", stderr);
        return 64;
    }
    for (int i = 0; i < 2; i++) {
        t[i] = (struct target){argv[i + 1], open(argv[i + 1], O_RDONLY | O_CLOEXEC)};
        if (t[i].fd < 0)
            fail(argv[i + 1]);
    }
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        measure(&calls[i], t, rounds);
    return 0;
}
