/* SPDX-License-Identifier: Apache-2.0 */
#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096 };

void out(const void *p, size_t n)
{
    const char *at = p;
    while (n > 0) {
        ssize_t done = write(STDOUT_FILENO, at, n);
        if (done <= 0)
            exit(3);
        at += done;
        n -= (size_t)done;
    }
}

void need(bool ok, const char *what)
{
    if (ok)
        return;
    char text[200];
    int n = snprintf(text, sizeof(text), "%s: %s\n", what, strerrorname_np(errno));
    out(text, (size_t)n);
    exit(2);
}

int need_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    need(fd >= 0, "open");
    return fd;
}

size_t size_of(int fd)
{
    struct stat st;
    need(fstat(fd, &st) == 0, "fstat");
    return (size_t)st.st_size;
}

size_t pages_of(int fd)
{
    return (size_of(fd) + PAGE - 1) / PAGE * PAGE;
}

void *room(size_t n)
{
    void *p = mmap(NULL, n + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        exit(3);
    return p;
}

void out_file(int fd)
{
    char b[65536];
    ssize_t n;
    for (off_t at = 0; (n = pread(fd, b, sizeof(b), at)) != 0; at += n) {
        need(n > 0, "pread");
        out(b, (size_t)n);
    }
}

static const struct op *const tables[] = {ops_read,  ops_map,  ops_async, ops_copy,
                                          ops_write, ops_size, ops_quiet};
enum { TABLES = sizeof(tables) / sizeof(tables[0]) };

static int list(void)
{
    static const char *const kinds[] = {"reads", "writes", "quiet"};
    for (int t = 0; t < TABLES; t++)
        for (const struct op *o = tables[t]; o->name != NULL; o++)
            (void)printf("%s %s\n", kinds[o->kind], o->name);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--list") == 0)
        return list();
    for (int t = 0; argc >= 3 && t < TABLES; t++) {
        for (const struct op *o = tables[t]; o->name != NULL; o++) {
            if (strcmp(o->name, argv[1]) == 0) {
                o->run(argv[2], argc > 3 ? argv[3] : NULL);
                return 0;
            }
        }
    }
    (void)fputs("usage: ops --list | ops NAME FILE [OTHER]\n", stderr);
    return 64;
}
