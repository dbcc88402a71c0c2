/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's writer: one thread, one message after the other to every pipe, blocking. A reader
 * that does not read holds up everybody, as it does in a client; how long is counted. */
#include "mdt.h"

#include "base/clock.h"
#include "base/mem.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

struct kuc_pipe {
    int fd;
    atomic_int refs;
};

struct kuc_job {
    struct kuc_pipe **pipes;
    size_t n, len, split_at;
    int64_t delay_ms;
    struct kuc_job *next;
    char bytes[];
};

struct kuc {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct kuc_job *first, *last;
    _Atomic int64_t began_ms; /* of the write that goes on; 0: none */
    _Atomic int64_t max_ms;
    _Atomic int64_t longer; /* than limit_ms */
    _Atomic int64_t limit_ms;
};

struct kuc_pipe *kuc_pipe_new(int fd)
{
    struct kuc_pipe *p = xzalloc(sizeof *p);
    p->fd = fd;
    atomic_init(&p->refs, 1);
    return p;
}

void kuc_pipe_unref(struct kuc_pipe *p)
{
    if (p == NULL || atomic_fetch_sub(&p->refs, 1) > 1)
        return;
    (void)close(p->fd);
    free(p);
}

int kuc_pipe_fd(const struct kuc_pipe *p)
{
    return p->fd;
}

static void write_timed(struct kuc *k, int fd, const char *p, size_t n)
{
    int64_t begin = mdt_now_ms();
    atomic_store(&k->began_ms, begin);
    while (n > 0) {
        ssize_t put = write(fd, p, n);
        if (put < 0)
            break; /* the reader is gone; the loop's poll sees that */
        p += put;
        n -= (size_t)put;
    }
    int64_t took = mdt_now_ms() - begin;
    atomic_store(&k->began_ms, 0);
    if (took > atomic_load(&k->max_ms))
        atomic_store(&k->max_ms, took);
    if (took > atomic_load(&k->limit_ms))
        atomic_fetch_add(&k->longer, 1);
}

static void run_job(struct kuc *k, struct kuc_job *j)
{
    for (size_t i = 0; i < j->n; i++) {
        size_t first = j->split_at > 0 && j->split_at < j->len ? j->split_at : j->len;
        write_timed(k, j->pipes[i]->fd, j->bytes, first);
        if (first < j->len) {
            clock_sleep_ns(clock_real(), j->delay_ms * INT64_C(1000000));
            write_timed(k, j->pipes[i]->fd, j->bytes + first, j->len - first);
        }
        kuc_pipe_unref(j->pipes[i]);
    }
    free(j->pipes);
    free(j);
}

static void *writer(void *arg)
{
    struct kuc *k = arg;
    for (;;) {
        (void)pthread_mutex_lock(&k->lock);
        while (k->first == NULL)
            (void)pthread_cond_wait(&k->more, &k->lock);
        struct kuc_job *j = k->first;
        k->first = j->next;
        if (k->first == NULL)
            k->last = NULL;
        (void)pthread_mutex_unlock(&k->lock);
        run_job(k, j);
    }
    return NULL;
}

struct kuc *kuc_start(void)
{
    struct kuc *k = xzalloc(sizeof *k);
    pthread_t thread;
    (void)pthread_mutex_init(&k->lock, NULL);
    (void)pthread_cond_init(&k->more, NULL);
    atomic_store(&k->limit_ms, INT64_MAX);
    if (pthread_create(&thread, NULL, writer, k) != 0)
        abort();
    (void)pthread_detach(thread);
    return k;
}

void kuc_send(struct kuc *k, struct kuc_pipe **pipes, size_t n, const void *bytes, size_t len,
              size_t split_at, int64_t delay_ms)
{
    struct kuc_job *j = xzalloc(sizeof *j + len);
    j->pipes = xrealloc_array(NULL, n + 1, sizeof(struct kuc_pipe *));
    for (size_t i = 0; i < n; i++) {
        j->pipes[i] = pipes[i];
        atomic_fetch_add(&pipes[i]->refs, 1);
    }
    j->n = n;
    j->len = len;
    j->split_at = split_at;
    j->delay_ms = delay_ms;
    memcpy(j->bytes, bytes, len);
    (void)pthread_mutex_lock(&k->lock);
    if (k->last != NULL)
        k->last->next = j;
    else
        k->first = j;
    k->last = j;
    (void)pthread_cond_signal(&k->more);
    (void)pthread_mutex_unlock(&k->lock);
}

void kuc_stalls(struct kuc *k, int64_t limit_ms, int64_t *now_ms, int64_t *max_ms, int64_t *count)
{
    int64_t began = atomic_load(&k->began_ms);
    atomic_store(&k->limit_ms, limit_ms);
    *now_ms = began != 0 ? mdt_now_ms() - began : 0;
    *max_ms = atomic_load(&k->max_ms);
    if (*now_ms > *max_ms)
        *max_ms = *now_ms;
    *count = atomic_load(&k->longer) + (*now_ms > limit_ms);
}
