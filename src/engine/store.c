/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stores: lanes that each carry one file at a time, and what is known of the store's health. A
 * store that does not answer is down; one lane looks again after pauses, the others wait. What they
 * were doing is done again when it is back.
 */
#include "engine/engine_impl.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "engine/depot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAUSE_MIN_MS 500
#define PAUSE_MAX_MS 60000
#define NS_PER_MS    1000000
#define HALT_S       5 /* for requests to a store, when the engine stops */

/* ---- making and freeing ---- */

static void make_volume(struct engine *e, struct library *lib)
{
    struct volume *v = xzalloc(sizeof(*v));
    v->lib = lib;
    v->remaining = -1;
    v->present = true;
    if (catalog_volume_get(e->cat, lib->name, lib->name, &v->row, NULL) != 0) {
        memset(&v->row, 0, sizeof(v->row));
        (void)snprintf(v->row.barcode, sizeof(v->row.barcode), "%s", lib->name);
        (void)snprintf(v->row.library, sizeof(v->row.library), "%s", lib->name);
        (void)snprintf(v->row.state, sizeof(v->row.state), "%s", VOL_UNASSIGNED);
        volume_store(e, v);
    }
    lib->volumes = v;
}

void store_open_conf(struct engine *e, struct library *lib, const struct conf_store *conf)
{
    struct estore *s = xzalloc(sizeof(*s));
    pthread_condattr_t attr;
    lib->name = conf->name;
    lib->store = s;
    (void)pthread_mutex_init(&lib->robot, NULL);
    make_volume(e, lib);
    s->e = e;
    s->lib = lib;
    s->conf = conf;
    s->volume = lib->volumes;
    s->pause_ms = PAUSE_MIN_MS;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&s->settle, &attr);
    (void)pthread_cond_init(&s->idle, &attr);
    (void)pthread_condattr_destroy(&attr);
    s->nlanes = (size_t)conf->lanes;
    s->lanes = xzalloc(s->nlanes * sizeof(*s->lanes));
    for (size_t i = 0; i < s->nlanes; i++)
        s->lanes[i].s = s;
}

void store_free(struct estore *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->nlanes; i++)
        tier_free(s->lanes[i].tier);
    free(s->lanes);
    depot_close(s->depot);
    (void)pthread_cond_destroy(&s->settle);
    (void)pthread_cond_destroy(&s->idle);
    free(s);
}

static struct pool *first_pool_locked(struct engine *e, const struct library *lib)
{
    struct pool *p = NULL;
    LL_FOREACH (e->pools, p) {
        if (!p->deleted && p->lib == lib)
            return p;
    }
    return NULL;
}

void stores_take_pools(struct engine *e)
{
    for (size_t i = 0; i < e->nlibs; i++) {
        struct library *lib = &e->libs[i];
        if (lib->store == NULL || lib->volumes->row.pool[0] != '\0')
            continue;
        {
            lock_scope(&e->lock);
            const struct pool *p = first_pool_locked(e, lib);
            if (p == NULL)
                continue;
            (void)snprintf(lib->volumes->row.pool, sizeof(lib->volumes->row.pool), "%s", p->name);
        }
        volume_set_state(e, lib->volumes, VOL_APPENDABLE, "");
    }
}

/* ---- health ---- */

const char *store_state(const struct estore *s)
{
    if (!s->up)
        return s->lib->problem[0] != '\0' ? "down" : "starting";
    return s->full[0] != '\0' ? "full" : "up";
}

void store_hurry_locked(struct estore *s)
{
    s->retry_ns = 0;
    s->pause_ms = PAUSE_MIN_MS;
    engine_wake_locked(s->e);
}

/* Recalls of which another copy can be read now go there; the others wait for the store. */
static void leave_locked(struct estore *s, struct recall **dead)
{
    struct recall *r = NULL;
    struct recall *tmp = NULL;
    struct recall *all = s->volume->queue;
    s->volume->queue = NULL;
    s->volume->queued = 0;
    s->volume->readers = 0;
    DL_FOREACH_SAFE(all, r, tmp)
    {
        DL_DELETE(all, r);
        recall_route_locked(s->e, r, dead);
    }
}

static void now_down(struct estore *s, const struct err *why)
{
    struct recall *dead = NULL;
    {
        lock_scope(&s->e->lock);
        if (s->up || s->lib->problem[0] == '\0')
            log_err("store %s is down: %s", s->lib->name, why->text);
        s->up = false;
        s->probing = false;
        (void)snprintf(s->lib->problem, sizeof(s->lib->problem), "%.250s", why->text);
        s->retry_ns = time_mono_ns() + s->pause_ms * NS_PER_MS;
        s->pause_ms = s->pause_ms * 2 < PAUSE_MAX_MS ? s->pause_ms * 2 : PAUSE_MAX_MS;
        leave_locked(s, &dead);
        engine_wake_locked(s->e);
        (void)pthread_cond_broadcast(&s->e->plan); /* others may be planned in its place */
    }
    recall_end_list(s->e, dead);
}

static void now_up(struct estore *s, struct depot *opened)
{
    lock_scope(&s->e->lock);
    if (!s->up)
        log_info("store %s is up", s->lib->name);
    if (opened != NULL)
        s->depot = opened;
    s->up = true;
    s->probing = false;
    s->pause_ms = PAUSE_MIN_MS;
    s->lib->problem[0] = '\0';
    engine_wake_locked(s->e);
    (void)pthread_cond_broadcast(&s->e->plan);
}

/* One thread at a time has set s->probing and looks. */
static enum store_blame look(struct estore *s, const struct err *why)
{
    struct err err = {0};
    struct depot *opened = NULL;
    int rc = 0;
    if (s->depot != NULL)
        rc = depot_probe(s->depot, &err);
    else if (s->volume->row.files > 0)
        rc = depot_expect(s->conf, &err);
    if (s->depot == NULL && rc == 0)
        rc = depot_open(s->conf, &s->halt_ns, &opened, &err);
    if (rc < 0) {
        now_down(s, why != NULL ? why : &err);
        return STORE_DOWN;
    }
    now_up(s, opened);
    return STORE_UP;
}

enum store_blame store_failed(struct estore *s, int code, const struct err *why)
{
    if (code == -EBADMSG || code == -ENODATA) /* the store has answered */
        return STORE_UP;
    {
        lock_scope(&s->e->lock);
        while (s->probing && !s->e->stopping)
            (void)pthread_cond_wait(&s->e->work, &s->e->lock);
        if (!s->up || s->e->stopping)
            return STORE_DOWN;
        s->probing = true;
    }
    return look(s, why);
}

bool store_wait(struct estore *s, const struct task *t)
{
    struct timespec until;
    lock_scope(&s->e->lock);
    while (!s->up && !s->e->stopping && (t == NULL || !atomic_load(&t->cancelled))) {
        if (!s->probing && time_mono_ns() >= s->retry_ns) {
            s->probing = true;
            (void)pthread_mutex_unlock(&s->e->lock);
            (void)look(s, NULL);
            (void)pthread_mutex_lock(&s->e->lock);
            continue;
        }
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += 1; /* a look may be due; a task may have been cancelled */
        (void)pthread_cond_timedwait(&s->e->work, &s->e->lock, &until);
    }
    return s->up && !s->e->stopping;
}

/* ---- lanes ---- */

struct choice {
    enum lane_work work;
    struct copy_work *copy;
    size_t file;
    struct recall *recall;
};

static struct choice pick_locked(struct lane *l)
{
    struct estore *s = l->s;
    struct choice c = {.work = LANE_IDLE};
    if (!s->up || s->depot == NULL) {
        if (!s->probing && time_mono_ns() >= s->retry_ns) {
            s->probing = true;
            c.work = LANE_PROBING;
        }
        return c;
    }
    if (s->e->drains > 0)
        return c;
    c.recall = store_take_recall_locked(s);
    if (c.recall != NULL)
        c.work = LANE_RECALLING;
    else if (store_take_copy_locked(s, &c.copy, &c.file))
        c.work = c.file < c.copy->batch->n ? LANE_COPYING : LANE_SETTLING;
    return c;
}

/* A lane of its own for the thread, once the depot is open. */
static int need_tier(struct lane *l)
{
    struct tier *t = NULL;
    struct err err = {0};
    if (l->tier != NULL)
        return 0;
    int rc = depot_lane(l->s->depot, &t, &err);
    if (rc < 0) {
        now_down(l->s, &err);
        return rc;
    }
    lock_scope(&l->s->e->lock);
    l->tier = t;
    return 0;
}

static void perform(struct lane *l, struct choice *c)
{
    switch (c->work) {
    case LANE_PROBING:
        if (look(l->s, NULL) == STORE_UP)
            (void)need_tier(l);
        break;
    case LANE_RECALLING:
        store_recall(l, c->recall);
        break;
    case LANE_COPYING:
    case LANE_SETTLING:
        store_copy(l, c->copy, c->file);
        break;
    default:
        break;
    }
}

static void wait_for_work(struct lane *l)
{
    struct estore *s = l->s;
    if (s->up || s->probing) {
        (void)pthread_cond_wait(&s->idle, &s->e->lock);
        return;
    }
    int64_t ns = s->retry_ns + NS_PER_MS;
    struct timespec until = {.tv_sec = ns / NS_PER_SEC, .tv_nsec = ns % NS_PER_SEC};
    (void)pthread_cond_timedwait(&s->idle, &s->e->lock, &until);
}

static void *lane_main(void *arg)
{
    struct lane *l = arg;
    struct engine *e = l->s->e;
    (void)pthread_mutex_lock(&e->lock);
    while (!e->stopping) {
        if (l->s->up && l->tier == NULL) {
            (void)pthread_mutex_unlock(&e->lock);
            (void)need_tier(l);
            (void)pthread_mutex_lock(&e->lock);
            continue;
        }
        struct choice c = pick_locked(l);
        if (c.work == LANE_IDLE) {
            wait_for_work(l);
            continue;
        }
        l->work = c.work;
        (void)pthread_mutex_unlock(&e->lock);
        perform(l, &c);
        (void)pthread_mutex_lock(&e->lock);
        l->work = LANE_IDLE;
        l->task_id = 0;
        if (e->drains > 0) /* nobody else waits for a lane */
            (void)pthread_cond_broadcast(&e->changed);
    }
    (void)pthread_mutex_unlock(&e->lock);
    return NULL;
}

int store_start(struct estore *s, struct err *err)
{
    int rc = 0;
    if (!s->settler_runs)
        rc = pthread_create(&s->settler, NULL, store_settler, s);
    if (rc != 0)
        return err_sys(err, rc, "thread of store %s", s->lib->name);
    s->settler_runs = true;
    for (size_t i = 0; i < s->nlanes; i++) {
        if (s->lanes[i].thread_runs)
            continue;
        rc = pthread_create(&s->lanes[i].thread, NULL, lane_main, &s->lanes[i]);
        if (rc != 0)
            return err_sys(err, rc, "thread of store %s", s->lib->name);
        s->lanes[i].thread_runs = true;
    }
    return 0;
}

void store_stop(struct estore *s)
{
    {
        lock_scope(&s->e->lock);
        for (size_t i = 0; i < s->nlanes; i++) {
            if (s->lanes[i].tier != NULL)
                tier_cancel(s->lanes[i].tier, true);
        }
    }
    for (size_t i = 0; i < s->nlanes; i++) {
        if (s->lanes[i].thread_runs)
            (void)pthread_join(s->lanes[i].thread, NULL);
    }
    {
        lock_scope(&s->e->lock);
        s->ended = true;
        (void)pthread_cond_broadcast(&s->settle);
    }
    if (s->settler_runs)
        (void)pthread_join(s->settler, NULL);
}

void stores_halt_locked(struct engine *e)
{
    int64_t now = time_mono_ns();
    for (size_t i = 0; i < e->nlibs; i++) {
        struct estore *s = e->libs[i].store;
        if (s != NULL && s->halt_ns == 0)
            s->halt_ns = s->up && !s->probing ? now + HALT_S * NS_PER_SEC : now;
    }
}
