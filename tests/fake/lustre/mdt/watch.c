/* SPDX-License-Identifier: Apache-2.0 */
/* Plain reads and writes of released files by any process, with the setting kernel_reads: the
 * kernel asks before it lets them through (fanotify pre-content events, Linux 6.14), and they
 * become blocked readers. A thread answers for this process itself, which must be able to move
 * restored data. */
#include "mdt.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/fanotify.h>

#ifndef FAN_PRE_ACCESS
#define FAN_PRE_ACCESS 0x00100000
#endif
#define DENY_EIO (FAN_DENY | (EIO << 24))

/* Before Linux 6.14: reads only, and a failure is EPERM. */
static bool old_kernel;

enum { EVENTS_SIZE = 16384 };

static void answer(int fan, int fd, unsigned response)
{
    struct fanotify_response r = {.fd = fd, .response = old_kernel ? response & 3 : response};
    if (write(fan, &r, sizeof r) != (ssize_t)sizeof r)
        (void)fprintf(stderr, "fakemdt: no answer to a read\n");
    (void)close(fd);
}

static void *listener(void *arg)
{
    static _Alignas(struct fanotify_event_metadata) char buf[EVENTS_SIZE];
    const struct mdt *m = arg;
    for (;;) {
        ssize_t n = read(m->fan, buf, sizeof buf);
        if (n <= 0)
            return NULL;
        const struct fanotify_event_metadata *e = (const struct fanotify_event_metadata *)buf;
        for (; FAN_EVENT_OK(e, n); e = FAN_EVENT_NEXT(e, n)) {
            if (e->pid == getpid() || write(m->fan_pipe[1], &e->fd, sizeof e->fd) < 0)
                answer(m->fan, e->fd, FAN_ALLOW);
        }
    }
}

int watch_start(struct mdt *m)
{
    pthread_t thread;
    if (m->fan > 0)
        return 0;
    int fan =
        fanotify_init(FAN_CLASS_PRE_CONTENT | FAN_CLOEXEC, O_RDONLY | O_LARGEFILE | O_CLOEXEC);
    if (fan < 0)
        return -errno;
    m->fan = fan;
    if (pthread_create(&thread, NULL, listener, m) != 0)
        abort();
    (void)pthread_detach(thread);
    return 0;
}

static void mark(const struct mdt *m, int fd, unsigned how)
{
    if (m->fan <= 0)
        return;
    int rc = fanotify_mark(m->fan, how, old_kernel ? FAN_ACCESS_PERM : FAN_PRE_ACCESS, fd, NULL);
    if (rc != 0 && errno == EINVAL && !old_kernel) {
        old_kernel = true;
        rc = fanotify_mark(m->fan, how, FAN_ACCESS_PERM, fd, NULL);
    }
    if (rc != 0 && errno != ENOENT)
        (void)fprintf(stderr, "fakemdt: reads of a released file are not seen: error %d\n", errno);
}

void watch_add(const struct mdt *m, int fd)
{
    if (m->set.kernel_reads)
        mark(m, fd, FAN_MARK_ADD);
}

void watch_remove(const struct mdt *m, int fd)
{
    mark(m, fd, FAN_MARK_REMOVE);
}

void watch_input(struct mdt *m)
{
    int fd;
    if (read(m->fan_pipe[0], &fd, sizeof fd) != (ssize_t)sizeof fd)
        return;
    struct mdt_file *f = file_by_fd(m, fd);
    if (f == NULL || !(f->states & HS_RELEASED))
        answer(m->fan, fd, FAN_ALLOW);
    else if (reader_block(m, f, fd) != 0)
        answer(m->fan, fd, DENY_EIO);
}

void watch_answer(const struct mdt *m, int fd, int rc)
{
    answer(m->fan, fd, rc < 0 ? DENY_EIO : FAN_ALLOW);
}
