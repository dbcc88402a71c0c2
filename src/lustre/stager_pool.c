/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that run one function over an array of files; the caller waits. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "lustre/stager_impl.h"

#include <pthread.h>

struct stager_pool {
    struct stager *s;
    pthread_mutex_t lock; /* over all below */
    pthread_cond_t work, done;
    stager_job_fn *fn;
    struct stager_item **items;
    size_t n, next, ended;
    bool closing;
    unsigned threads;
    pthread_t ids[];
};

static void *serve(void *arg)
{
    struct stager_pool *p = arg;
    (void)pthread_mutex_lock(&p->lock);
    while (!p->closing) {
        if (p->next >= p->n) {
            (void)pthread_cond_wait(&p->work, &p->lock);
            continue;
        }
        struct stager_item *it = p->items[p->next++];
        stager_job_fn *fn = p->fn;
        (void)pthread_mutex_unlock(&p->lock);
        fn(p->s, it);
        (void)pthread_mutex_lock(&p->lock);
        if (++p->ended == p->n)
            (void)pthread_cond_signal(&p->done);
    }
    (void)pthread_mutex_unlock(&p->lock);
    return NULL;
}

struct stager_pool *stager_pool_new(struct stager *s, unsigned threads)
{
    struct stager_pool *p = xzalloc(sizeof(*p) + threads * sizeof(pthread_t));
    p->s = s;
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_cond_init(&p->work, NULL);
    (void)pthread_cond_init(&p->done, NULL);
    for (unsigned i = 0; threads > 1 && i < threads; i++)
        if (pthread_create(&p->ids[p->threads], NULL, serve, p) == 0)
            p->threads++;
    return p;
}

void stager_pool_free(struct stager_pool *p)
{
    if (p == NULL)
        return;
    (void)pthread_mutex_lock(&p->lock);
    p->closing = true;
    (void)pthread_cond_broadcast(&p->work);
    (void)pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->threads; i++)
        (void)pthread_join(p->ids[i], NULL);
    (void)pthread_cond_destroy(&p->work);
    (void)pthread_cond_destroy(&p->done);
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
}

void stager_pool_run(struct stager_pool *p, stager_job_fn *fn, struct stager_item **items, size_t n)
{
    if (p->threads == 0 || n < 2) {
        for (size_t i = 0; i < n; i++)
            fn(p->s, items[i]);
        return;
    }
    lock_scope(&p->lock);
    p->fn = fn;
    p->items = items;
    p->n = n;
    p->next = 0;
    p->ended = 0;
    (void)pthread_cond_broadcast(&p->work);
    while (p->ended < n)
        (void)pthread_cond_wait(&p->done, &p->lock);
    p->n = 0;
    p->next = 0;
}
