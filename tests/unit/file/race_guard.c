/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's events in the race: stubs are marked by release through the guard of the file
 * module; one thread reads events, as firn-watch does, another recalls and answers, as firnd does.
 */
#include "race.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "file/guard.h"
#include "watch/kernel.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { TRUSTED = 8, WAITING = 256 };

static struct {
    int group;
    struct watch_kernel kernel;
    atomic_int trusted[TRUSTED];
    atomic_int ntrusted;
    atomic_bool stop;
    pthread_t front, server;
    pthread_mutex_t lock; /* guards waiting */
    int waiting[WAITING]; /* descriptors of events */
    int nwaiting;
} G = {.lock = PTHREAD_MUTEX_INITIALIZER};

void race_guard_trust(void)
{
    atomic_store(&G.trusted[atomic_fetch_add(&G.ntrusted, 1)], (int)gettid());
}

static bool is_trusted(int tid)
{
    for (int i = 0; i < TRUSTED; i++) {
        if (atomic_load(&G.trusted[i]) == tid)
            return true;
    }
    return false;
}

static void answer(int fd, int code)
{
    int rc = watch_answer(G.group, &G.kernel, fd, code);
    if (rc < 0 && rc != -ENOENT)
        race_must(rc, "answer");
    (void)close(fd);
}

static void sort_out(const struct fanotify_event_metadata *e)
{
    atomic_fetch_add(&R.events, 1);
    if (e->fd < 0)
        abort();
    if (is_trusted(e->pid)) {
        answer(e->fd, 0);
        return;
    }
    lock_scope(&G.lock);
    if (G.nwaiting == WAITING)
        abort();
    G.waiting[G.nwaiting++] = e->fd;
}

static void *front(void *arg)
{
    (void)arg;
    char b[8192] __attribute__((aligned(8)));
    while (!atomic_load(&G.stop)) {
        struct pollfd p = {.fd = G.group, .events = POLLIN};
        (void)poll(&p, 1, 20);
        ssize_t n = read(G.group, b, sizeof(b));
        if (n < 0 && errno != EAGAIN)
            abort();
        const struct fanotify_event_metadata *e = (const void *)b;
        for (; FAN_EVENT_OK(e, n); e = FAN_EVENT_NEXT(e, n))
            sort_out(e);
    }
    return NULL;
}

/* False when it cannot be recalled yet: the release still has its lease. */
static bool serve(int fd, uint8_t *b)
{
    struct stat st;
    char c;
    if (fstat(fd, &st) < 0)
        abort();
    for (int f = 0; f < FILES; f++) {
        if (R.victims[f].id.ino == st.st_ino)
            race_recall(&R.victims[f], b);
    }
    if (fgetxattr(fd, FILE_XATTR_STUB, &c, 1) > 0)
        return false;
    answer(fd, 0);
    return true;
}

static void *server(void *arg)
{
    (void)arg;
    race_guard_trust();
    auto_free uint8_t *b = xzalloc(SIZE);
    while (!atomic_load(&G.stop)) {
        int fd = -1;
        {
            lock_scope(&G.lock);
            if (G.nwaiting > 0)
                fd = G.waiting[--G.nwaiting];
        }
        if (fd >= 0 && !serve(fd, b)) {
            lock_scope(&G.lock);
            G.waiting[G.nwaiting++] = fd;
        }
        (void)usleep(fd >= 0 ? 0 : 50);
    }
    return NULL;
}

static int mark(void *arg, int fd, bool add, struct err *err)
{
    (void)arg;
    return watch_mark_file(G.group, &G.kernel, fd, add, err);
}

void race_guard_up(void)
{
    G.group = watch_kernel_open(R.open_only, &G.kernel, &R.site.err);
    race_must(G.group, "fanotify");
    struct file_guard guard = {.mark = mark};
    fs_set_guard(R.site.fs, &guard);
    if (pthread_create(&G.front, NULL, front, NULL) != 0 ||
        pthread_create(&G.server, NULL, server, NULL) != 0)
        abort();
}

void race_guard_down(void)
{
    atomic_store(&G.stop, true);
    (void)pthread_join(G.front, NULL);
    (void)pthread_join(G.server, NULL);
    (void)close(G.group);
}
