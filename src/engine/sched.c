/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/recall_impl.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DRIVE_TRIES     3 /* failed loads after which the cartridge is blamed as well */
#define FAILURE_PAUSE_S 5 /* before a drive that failed is used again */

enum choice_kind { NOTHING, STOP, UNLOAD, ADMIN, RECALL, COPY, GIVE_UP };

struct choice {
    enum choice_kind kind;
    struct volume *volume;
    struct admin *admin;
    struct copy_work *work;
};

static bool has_role(const struct edrive *d, char role)
{
    return strchr(d->row.role, role) != NULL;
}

/* Whether d may work on v now: nobody does, and it is in d or in no drive. */
static bool can_take(const struct edrive *d, const struct volume *v)
{
    return v->present && !v->reserved && (v->drive == NULL || v->drive == d);
}

static bool is_idle(const struct edrive *d)
{
    return d->work == DRIVE_IDLE && d->row.enabled && d->failures == 0 && d->thread_runs;
}

/* An idle drive without cartridge fetches a volume rather than one that had to put its own away. */
static bool empty_drive_waits(const struct edrive *d, const struct volume *v)
{
    struct edrive *o = NULL;
    if (d->volume == NULL || d->volume == v)
        return false;
    LL_FOREACH (d->lib->drives, o) {
        if (o != d && is_idle(o) && o->volume == NULL)
            return true;
    }
    return false;
}

/* again_ns becomes the time at which the answer may be another one without being woken. */
static bool pick_recall(struct edrive *d, struct choice *c, int64_t *again_ns)
{
    struct recall_view view;
    recall_view_locked(d->e, d->lib, NULL, &view);
    int i = pick_volume(&view.site, recall_drive_index(d), again_ns);
    if (i >= 0) {
        c->kind = RECALL;
        c->volume = view.of[i];
    }
    recall_view_fini(&view);
    return i >= 0;
}

static bool avoids(const struct copy_work *w, const struct volume *v)
{
    for (size_t i = 0; i < w->avoided; i++) {
        if (w->avoid[i] == v->row.id)
            return true;
    }
    return false;
}

/* The volume of p that d should write w to; *wait says that one exists but is not d's to take. */
static struct volume *volume_for(struct edrive *d, const struct pool *p, const struct copy_work *w,
                                 bool *wait)
{
    struct volume *v = NULL;
    struct volume *best = NULL;
    *wait = false;
    LL_FOREACH (d->lib->volumes, v) {
        if (!volume_appendable(v) || strcmp(v->row.pool, p->name) != 0 || avoids(w, v))
            continue;
        if (can_take(d, v) && v->drive == d)
            return v;
        if (v->drive != NULL && is_idle(v->drive) && has_role(v->drive, 'm')) {
            *wait = true; /* that drive has it mounted and will take the work */
            return NULL;
        }
        if (!can_take(d, v) || empty_drive_waits(d, v)) {
            *wait = true;
            continue;
        }
        if (best == NULL || v->row.used > best->row.used)
            best = v;
    }
    return best;
}

/* The oldest piece of work of p that d can do, or that nobody ever can. */
static bool pick_copy_of(struct edrive *d, struct pool *p, struct choice *c)
{
    struct copy_work *w = NULL;
    DL_FOREACH (p->queue, w) {
        bool wait = false;
        struct volume *v = volume_for(d, p, w, &wait);
        if (v == NULL && wait)
            continue;
        c->kind = v != NULL ? COPY : GIVE_UP;
        c->volume = v;
        c->work = w;
        DL_DELETE(p->queue, w);
        return true;
    }
    return false;
}

static bool pick_copy(struct edrive *d, struct choice *c)
{
    struct pool *p = NULL;
    if (!has_role(d, 'm'))
        return false;
    LL_FOREACH (d->e->pools, p) {
        if (p->lib == d->lib && pick_copy_of(d, p, c))
            return true;
    }
    return false;
}

static bool pick_admin(struct edrive *d, struct choice *c)
{
    struct admin *a = NULL;
    DL_FOREACH (d->e->admins, a) {
        if (a->taken || a->volume->lib != d->lib || !can_take(d, a->volume) ||
            empty_drive_waits(d, a->volume))
            continue;
        a->taken = true;
        c->kind = ADMIN;
        c->volume = a->volume;
        c->admin = a;
        return true;
    }
    return false;
}

static struct choice pick_locked(struct edrive *d, int64_t *again_ns)
{
    struct choice c = {.kind = NOTHING};
    *again_ns = INT64_MAX;
    if (d->e->stopping) {
        c.kind = STOP;
    } else if (d->e->drains > 0) {
        c.kind = NOTHING;
    } else if (!d->row.enabled) {
        if (d->volume != NULL && !d->volume->reserved) {
            c.kind = UNLOAD;
            c.volume = d->volume;
        }
    } else if (!pick_admin(d, &c) && !pick_recall(d, &c, again_ns)) {
        (void)pick_copy(d, &c);
    }
    return c;
}

bool recall_presses(struct edrive *d)
{
    struct recall_view view;
    int64_t again_ns = 0;
    lock_scope(&d->e->lock);
    if (d->e->stopping || d->e->drains > 0)
        return true;
    if (!has_role(d, 'r'))
        return false;
    recall_view_locked(d->e, d->lib, NULL, &view);
    size_t me = recall_drive_index(d);
    bool idle = false;
    for (size_t i = 0; i < view.site.ndrives; i++)
        idle = idle || (i != me && view.drives[i].idle && view.drives[i].recalls);
    for (size_t i = 0; i < view.site.nvolumes; i++) /* what d holds, it may take */
        view.volumes[i].reserved = view.volumes[i].reserved && view.of[i] != d->volume;
    bool presses = !idle && pick_volume(&view.site, me, &again_ns) >= 0;
    recall_view_fini(&view);
    return presses;
}

bool recall_should_leave(struct edrive *d, const struct pick_stay *stay)
{
    struct recall_view view;
    if (d->e->stopping || d->e->drains > 0)
        return true;
    recall_view_locked(d->e, d->lib, d->volume, &view);
    bool leaves = pick_leaves(&view.site, recall_drive_index(d), view.also, stay);
    recall_view_fini(&view);
    return leaves;
}

/* The volume cannot be had: whoever wants it looks elsewhere. */
static void mount_failed(struct edrive *d, struct choice *c, const struct err *why)
{
    struct recall *dead = NULL;
    log_err("drive %s: %s", d->serial, why->text);
    {
        lock_scope(&d->e->lock);
        if (c->work != NULL) {
            if (c->work->avoided < CLONES_MAX)
                c->work->avoid[c->work->avoided++] = c->volume->row.id;
        }
        (void)snprintf(c->volume->trouble, sizeof(c->volume->trouble), "%.250s", why->text);
        if (d->failures == 0 || d->failures >= DRIVE_TRIES)
            recall_reroute_locked(d->e, c->volume, &dead);
    }
    recall_end_list(d->e, dead);
}

static void requeue_copy(struct edrive *d, struct copy_work *w)
{
    struct pool *p = w->batch->task->pools[w->pool];
    if (w->avoided >= CLONES_MAX) {
        copy_give_up(w);
        return;
    }
    lock_scope(&d->e->lock);
    DL_PREPEND(p->queue, w);
}

static void do_copy(struct edrive *d, struct choice *c)
{
    struct err err = {0};
    bool again = true;
    int rc = mount_volume(d, c->volume, false, &err);
    if (rc < 0) {
        mount_failed(d, c, &err);
        requeue_copy(d, c->work);
        return;
    }
    {
        lock_scope(&d->e->lock);
        d->work = DRIVE_COPYING;
        d->task_id = c->work->batch->task->id;
    }
    copy_run(d, c->work, &again);
    if (again)
        requeue_copy(d, c->work);
    else
        copy_over(c->work);
}

static void do_recall(struct edrive *d, struct choice *c)
{
    struct err err = {0};
    if (mount_volume(d, c->volume, false, &err) < 0) {
        mount_failed(d, c, &err);
        return;
    }
    {
        lock_scope(&d->e->lock);
        d->work = DRIVE_RECALLING;
    }
    recall_run(d);
}

static void do_admin(struct edrive *d, struct choice *c)
{
    struct admin *a = c->admin;
    struct err err = {0};
    int rc = mount_volume(d, c->volume, a->unmounted, &err);
    {
        lock_scope(&d->e->lock);
        d->work = DRIVE_ADMIN;
    }
    if (rc == 0)
        rc = a->run(d, a->arg, &err);
    lock_scope(&d->e->lock);
    a->rc = rc;
    a->err = err;
    a->done = true;
    (void)pthread_cond_broadcast(&d->e->changed);
}

static void perform(struct edrive *d, struct choice *c)
{
    struct err err = {0};
    switch (c->kind) {
    case UNLOAD:
        if (unmount_volume(d, &err) < 0)
            log_err("drive %s: %s", d->serial, err.text);
        break;
    case ADMIN:
        do_admin(d, c);
        break;
    case RECALL:
        do_recall(d, c);
        break;
    case COPY:
        do_copy(d, c);
        break;
    case GIVE_UP:
        copy_give_up(c->work);
        break;
    default:
        break;
    }
}

static void wait_for_work(struct edrive *d, int64_t again_ns)
{
    if (d->failures != 0 && again_ns > time_mono_ns() + FAILURE_PAUSE_S * NS_PER_SEC)
        again_ns = time_mono_ns() + FAILURE_PAUSE_S * NS_PER_SEC;
    if (again_ns == INT64_MAX) {
        (void)pthread_cond_wait(&d->e->work, &d->e->lock);
        return;
    }
    struct timespec until = {.tv_sec = again_ns / NS_PER_SEC, .tv_nsec = again_ns % NS_PER_SEC};
    (void)pthread_cond_timedwait(&d->e->work, &d->e->lock, &until);
}

static void *drive_main(void *arg)
{
    struct edrive *d = arg;
    struct engine *e = d->e;
    struct err err = {0};
    (void)pthread_mutex_lock(&e->lock);
    for (;;) {
        int64_t again_ns = 0;
        struct choice c = pick_locked(d, &again_ns);
        if (c.kind == STOP)
            break;
        if (c.kind == NOTHING) {
            wait_for_work(d, again_ns);
            continue;
        }
        if (c.volume != NULL)
            c.volume->reserved = true;
        d->work = DRIVE_MOUNTING;
        (void)pthread_cond_broadcast(&e->work); /* who left other work to d looks again */
        (void)pthread_mutex_unlock(&e->lock);
        perform(d, &c);
        (void)pthread_mutex_lock(&e->lock);
        if (c.volume != NULL)
            c.volume->reserved = false;
        d->work = DRIVE_IDLE;
        d->task_id = 0;
        engine_wake_locked(e);
        (void)pthread_cond_broadcast(&e->changed);
    }
    (void)pthread_mutex_unlock(&e->lock);
    if (unmount_volume(d, &err) < 0)
        log_err("drive %s: %s", d->serial, err.text);
    return NULL;
}

int drives_start(struct engine *e, struct err *err)
{
    for (size_t i = 0; i < e->nlibs; i++) {
        struct edrive *d = NULL;
        int rc = e->libs[i].store != NULL ? store_start(e->libs[i].store, err) : 0;
        if (rc < 0)
            return rc;
        LL_FOREACH (e->libs[i].drives, d) {
            if (d->thread_runs)
                continue;
            rc = pthread_create(&d->thread, NULL, drive_main, d);
            if (rc != 0)
                return err_sys(err, rc, "thread of drive %s", d->serial);
            lock_scope(&e->lock);
            d->thread_runs = true;
        }
    }
    return 0;
}

size_t library_drives_locked(const struct library *lib, char role)
{
    const struct edrive *d = NULL;
    size_t n = 0;
    LL_FOREACH (lib->drives, d)
        n += d->row.enabled && d->thread_runs && (role == 0 || has_role(d, role)) ? 1 : 0;
    return n;
}

int admin_run(struct engine *e, struct admin *a, struct err *err)
{
    lock_scope(&e->lock);
    if (library_drives_locked(a->volume->lib, 0) == 0)
        return err_set(err, -ENODEV, "library %s has no drive that may be used (firn drive list)",
                       a->volume->lib->name);
    if (!a->volume->present)
        return err_set(err, -ENODEV, "cartridge %s is not in library %s", a->volume->row.barcode,
                       a->volume->lib->name);
    DL_APPEND(e->admins, a);
    engine_wake_locked(e);
    e->callers++;
    while (!a->done && (a->taken || !e->stopping))
        (void)pthread_cond_wait(&e->changed, &e->lock);
    DL_DELETE(e->admins, a); /* NOLINT(clang-analyzer-core.NullDereference): a is in the list */
    e->callers--;
    (void)pthread_cond_broadcast(&e->changed);
    if (!a->done)
        return err_set(err, -ESHUTDOWN, "firnd is stopping");
    if (a->rc < 0)
        *err = a->err;
    return a->rc;
}
