/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/mem.h"
#include "tier/s3_impl.h"

#include <stdlib.h>

struct s3_pool {
    struct s3_tier *tier;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct s3_job *first, *last;
    bool closing;
    unsigned n;
    pthread_t threads[];
};

void s3_worker_init(struct s3_worker *w, struct s3_tier *s)
{
    *w = (struct s3_worker){.tier = s,
                            .coder = chunk_coder_new(s->codec, s->level, s->keys, s->key_id)};
}

void s3_worker_fini(struct s3_worker *w)
{
    chunk_coder_free(w->coder);
    free(w->scratch);
}

static struct s3_job *next_job(struct s3_pool *p)
{
    lock_scope(&p->lock);
    while (p->first == NULL && !p->closing)
        (void)pthread_cond_wait(&p->work, &p->lock);
    struct s3_job *job = p->first;
    if (job != NULL)
        p->first = job->next;
    if (p->first == NULL)
        p->last = NULL;
    return job;
}

static void *work(void *arg)
{
    struct s3_pool *p = arg;
    struct s3_worker w;
    s3_worker_init(&w, p->tier);
    for (struct s3_job *job = next_job(p); job != NULL; job = next_job(p))
        job->run(job, &w);
    s3_worker_fini(&w);
    return NULL;
}

int s3_pool_new(struct s3_tier *s, unsigned n, struct s3_pool **out, struct err *err)
{
    struct s3_pool *p = xzalloc(sizeof(*p) + n * sizeof(pthread_t));
    p->tier = s;
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_cond_init(&p->work, NULL);
    for (p->n = 0; p->n < n; p->n++) {
        int rc = pthread_create(&p->threads[p->n], NULL, work, p);
        if (rc != 0) {
            s3_pool_free(p);
            return err_sys(err, rc, "thread for chunks");
        }
    }
    *out = p;
    return 0;
}

void s3_pool_free(struct s3_pool *p)
{
    if (p == NULL)
        return;
    (void)pthread_mutex_lock(&p->lock);
    p->closing = true;
    (void)pthread_cond_broadcast(&p->work);
    (void)pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->n; i++)
        (void)pthread_join(p->threads[i], NULL);
    (void)pthread_cond_destroy(&p->work);
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
}

void s3_pool_submit(struct s3_pool *p, struct s3_job *job)
{
    lock_scope(&p->lock);
    job->next = NULL;
    if (p->last != NULL)
        p->last->next = job;
    else
        p->first = job;
    p->last = job;
    (void)pthread_cond_signal(&p->work);
}

unsigned s3_pool_size(const struct s3_pool *p)
{
    return p->n;
}
