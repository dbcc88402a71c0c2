/* SPDX-License-Identifier: Apache-2.0 */
/* What a put that failed has left, deleted in the background: the caller is told at once. */
#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "tier/s3_impl.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define END_S 5 /* for sweeps when the tier is closed */

struct s3_sweep {
    struct s3_job job;
    struct s3_sweep *next;
    char *lane;
    struct s3_copy copy;
    char *bucket, *key; /* what may have closed it; NULL */
};

static void forget(struct s3_tier *s, struct s3_sweep *j)
{
    lock_scope(&s->sweep_lock);
    struct s3_sweep **at = &s->sweeps;
    while (*at != j)
        at = &(*at)->next;
    *at = j->next;
    (void)pthread_cond_broadcast(&s->swept);
}

static void sweep(struct s3_job *job, struct s3_worker *w)
{
    struct s3_sweep *j = (struct s3_sweep *)job; /* its first member */
    struct store_cancel never = {0};
    struct err err = {0};
    int rc = j->key == NULL ? 0 : store_delete(w->tier->store, j->bucket, j->key, &never, &err);
    if (rc == 0)
        rc = s3_delete_chunks(w->tier, &j->copy, &never, &err);
    if (rc < 0)
        log_warn("%s: pieces of a copy that failed stay until garbage is collected: %s", j->lane,
                 err.text);
    forget(w->tier, j);
    s3_copy_fini(&j->copy);
    free(j->bucket);
    free(j->key);
    free(j->lane);
    free(j);
}

void s3_sweep_put(struct s3_lane *l)
{
    struct s3_tier *s = l->s;
    if (l->copy.nchunks == 0)
        return;
    struct s3_sweep *j = xzalloc(sizeof(*j));
    j->job.run = sweep;
    j->lane = xstrdup(l->name);
    j->copy = l->copy;
    l->copy = (struct s3_copy){0};
    j->bucket = take_ptr(l->closing_bucket);
    j->key = take_ptr(l->closing_key);
    (void)pthread_mutex_lock(&s->sweep_lock);
    j->next = s->sweeps;
    s->sweeps = j;
    (void)pthread_mutex_unlock(&s->sweep_lock);
    s3_pool_submit(s->pool, &j->job);
}

static bool is_swept(const struct s3_tier *s, const struct uuid *id)
{
    for (const struct s3_sweep *j = s->sweeps; j != NULL; j = j->next) {
        if (memcmp(&j->copy.id, id, sizeof(*id)) == 0)
            return true;
    }
    return false;
}

int s3_sweep_wait(struct s3_lane *l, const struct uuid *id, struct err *err)
{
    struct s3_tier *s = l->s;
    lock_scope(&s->sweep_lock);
    while (is_swept(s, id) && !l->user_cancel)
        (void)pthread_cond_wait(&s->swept, &s->sweep_lock);
    return s3_lane_stopped(l, err);
}

void s3_sweep_end(struct s3_tier *s)
{
    struct timespec until;
    if (s->store == NULL)
        return;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += END_S;
    (void)pthread_mutex_lock(&s->sweep_lock);
    while (s->sweeps != NULL &&
           pthread_cond_clockwait(&s->swept, &s->sweep_lock, CLOCK_MONOTONIC, &until) != ETIMEDOUT)
        ;
    (void)pthread_mutex_unlock(&s->sweep_lock);
    store_halt(s->store);
}
