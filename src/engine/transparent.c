/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/transparent_impl.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FIRST_WAIT_MS 3000 /* for the front, at the start */
#define MARKS_WAIT_S  120  /* for marks of all stubs, before a release */

void transparent_count(struct transparent *t, uint64_t *which)
{
    lock_scope(&t->lock);
    ++*which;
}

void transparent_later(struct transparent *t, struct waiting *w)
{
    w->later = true;
    w->due_ns = time_mono_ns() + LATER_MS * 1000000LL;
    lock_scope(&t->lock);
    DL_APPEND(t->later, w);
    (void)pthread_cond_signal(&t->work);
}

void transparent_again(struct transparent *t, struct waiting *w)
{
    lock_scope(&t->lock);
    DL_APPEND(t->queue, w);
    (void)pthread_cond_signal(&t->work);
}

/* ---- what the link tells ---- */

static void on_event(void *arg, const struct link_event *ev)
{
    struct transparent *t = arg;
    struct waiting *w = xzalloc(sizeof(*w));
    w->t = t;
    w->ev = *ev;
    lock_scope(&t->lock);
    t->counts.events++;
    DL_APPEND(t->queue, w);
    (void)pthread_cond_signal(&t->work);
}

static void on_attached(void *arg, const struct link_fs *fs, size_t nfs)
{
    struct transparent *t = arg;
    for (size_t i = 0; i < nfs; i++) {
        if (fs[i].code != 0)
            log_warn("firn-watch does not watch %s: %s", fs[i].name, strerror(abs(fs[i].code)));
    }
    lock_scope(&t->lock);
    t->walk_for = link_front(t->link);
    (void)pthread_cond_signal(&t->walks);
}

static void on_lost(void *arg)
{
    struct transparent *t = arg;
    log_warn("firn-watch is gone; programs that open migrated files wait until it is back");
    lock_scope(&t->lock);
    t->walk_for = 0;
}

/* ---- the guard ---- */

static int guard_mark(void *arg, int fd, bool add, struct err *err)
{
    const struct guarded_fs *g = arg;
    return link_mark(g->t->link, fd, add, err);
}

static bool guard_ready(void *arg)
{
    const struct guarded_fs *g = arg;
    return !link_covers(g->t->link, g->name);
}

/* Marks of all stubs take seconds after a start. */
static bool await_marks(struct transparent *t, const char *fs)
{
    for (int i = 0; i < MARKS_WAIT_S * 100 && !engine_stopping(t->e); i++) {
        if (link_front(t->link) == 0 || !link_covers(t->link, fs))
            break;
        (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return !link_covers(t->link, fs);
}

const char *transparent_refuses_release(struct transparent *t, const char *fs)
{
    if (t == NULL || await_marks(t, fs))
        return "";
    return link_front(t->link) == 0 ? "firn-watch is not there, so programs would read zeros"
                                    : "not all migrated files are marked for firn-watch yet (firn "
                                      "status tells why)";
}

/* ---- judges ---- */

/* The next to be judged, or NULL after waiting a while. lock held. */
static struct waiting *next_locked(struct transparent *t)
{
    struct waiting *w = t->queue;
    if (w != NULL) {
        DL_DELETE(t->queue, w);
        return w;
    }
    w = t->later; /* all wait equally long, so the first is due first */
    if (w != NULL && w->due_ns <= time_mono_ns()) {
        DL_DELETE(t->later, w);
        return w;
    }
    if (w == NULL) {
        (void)pthread_cond_wait(&t->work, &t->lock);
        return NULL;
    }
    struct timespec until = {.tv_sec = w->due_ns / NS_PER_SEC, .tv_nsec = w->due_ns % NS_PER_SEC};
    (void)pthread_cond_timedwait(&t->work, &t->lock, &until);
    return NULL;
}

static void *judge_main(void *arg)
{
    struct transparent *t = arg;
    (void)pthread_mutex_lock(&t->lock);
    while (!t->stopping) {
        struct waiting *w = next_locked(t);
        if (w == NULL)
            continue;
        (void)pthread_mutex_unlock(&t->lock);
        transparent_judge(t, w);
        (void)pthread_mutex_lock(&t->lock);
    }
    (void)pthread_mutex_unlock(&t->lock);
    return NULL;
}

/* ---- life ---- */

/* Names and numbers of recall.deny_users. */
static int find_users(struct transparent *t, struct err *err)
{
    const struct conf_list *l = &t->e->conf->recall.deny_users;
    t->deny_users = xzalloc((l->count + 1) * sizeof(t->deny_users[0]));
    for (size_t i = 0; i < l->count; i++) {
        char *end = NULL;
        unsigned long uid = strtoul(l->items[i], &end, 10);
        if (*end != '\0' || l->items[i][0] == '\0') {
            const struct passwd *pw = getpwnam(l->items[i]);
            if (pw == NULL)
                return err_set(err, -EINVAL,
                               "recall.deny_users: there is no user %s on this machine",
                               l->items[i]);
            uid = pw->pw_uid;
        }
        t->deny_users[t->n_deny_users++] = (uid_t)uid;
    }
    return 0;
}

static bool any_fs(const struct engine *e)
{
    for (size_t i = 0; i < e->nfs; i++) {
        if (strcmp(e->fs[i].conf->posix_readers, "recall") == 0)
            return true;
    }
    return false;
}

int transparent_serve(struct transparent *t, struct err *err)
{
    if (t == NULL)
        return 0;
    int rc = pthread_create(&t->marker, NULL, transparent_marker, t);
    t->marker_runs = rc == 0;
    while (rc == 0 && t->n_judges < JUDGES) {
        rc = pthread_create(&t->judges[t->n_judges], NULL, judge_main, t);
        t->n_judges += rc == 0;
    }
    return rc == 0 ? 0 : err_sys(err, rc, "threads for transparent recall");
}

static void await_front(struct transparent *t)
{
    for (int i = 0; i < FIRST_WAIT_MS / 10 && link_front(t->link) == 0; i++)
        (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    if (link_front(t->link) == 0)
        log_warn("firn-watch is not there (%s): nothing is released, and programs that open "
                 "migrated files are not served",
                 t->e->conf->watch.socket);
}

/* A stub that is moved out of a folder, to elsewhere on the same file system, would not be marked
 * after the next start. */
static int check_root(const struct efs *fs, struct err *err)
{
    struct statx stx;
    if (statx(AT_FDCWD, fs->conf->path, 0, STATX_INO, &stx) != 0)
        return err_sys(err, errno, "%s", fs->conf->path);
    if ((stx.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) == 0 ||
        (stx.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0)
        return 0;
    return err_set(err, -EINVAL,
                   "file system %s: posix_readers = \"recall\" needs a whole file system; %s is a "
                   "folder of one",
                   fs->conf->name, fs->conf->path);
}

static int set_guards(struct transparent *t, struct err *err)
{
    int rc = 0;
    t->guarded = xzalloc((t->e->nfs + 1) * sizeof(t->guarded[0]));
    for (size_t i = 0; rc == 0 && i < t->e->nfs; i++) {
        struct efs *fs = &t->e->fs[i];
        t->guarded[i] = (struct guarded_fs){t, fs->conf->name};
        const struct file_guard guard = {guard_mark, guard_ready, &t->guarded[i]};
        if (fs->fs == NULL || strcmp(fs->conf->posix_readers, "recall") != 0)
            continue;
        rc = check_root(fs, err);
        if (rc == 0)
            fs_set_guard(fs->fs, &guard);
    }
    return rc;
}

static int start(struct transparent *t, struct err *err)
{
    const struct link_hooks hooks = {on_event, on_attached, on_lost, t};
    int rc = find_users(t, err);
    if (rc == 0)
        rc = set_guards(t, err);
    if (rc == 0)
        rc = link_start(t->e->conf->watch.socket, &hooks, &t->link, err);
    if (rc == 0)
        await_front(t);
    return rc;
}

int transparent_start(struct engine *e, struct transparent **out, struct err *err)
{
    pthread_condattr_t attr;
    *out = NULL;
    if (!any_fs(e))
        return 0;
    struct transparent *t = xzalloc(sizeof(*t));
    t->e = e;
    (void)pthread_mutex_init(&t->lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&t->work, &attr);
    (void)pthread_cond_init(&t->walks, &attr);
    (void)pthread_condattr_destroy(&attr);
    int rc = start(t, err);
    if (rc < 0) {
        transparent_stop(t);
        transparent_free(t);
        return rc;
    }
    *out = t;
    return 0;
}

void transparent_stop(struct transparent *t)
{
    if (t == NULL)
        return;
    {
        lock_scope(&t->lock);
        __atomic_store_n(&t->stopping, true, __ATOMIC_RELEASE);
        (void)pthread_cond_broadcast(&t->work);
        (void)pthread_cond_broadcast(&t->walks);
    }
    for (size_t i = 0; i < t->n_judges; i++)
        (void)pthread_join(t->judges[i], NULL);
    t->n_judges = 0;
    if (t->marker_runs)
        (void)pthread_join(t->marker, NULL);
    t->marker_runs = false;
}

static void free_list(struct waiting *list)
{
    struct waiting *w = NULL;
    struct waiting *tmp = NULL;
    DL_FOREACH_SAFE(list, w, tmp)
    {
        if (w->ev.fd >= 0)
            (void)close(w->ev.fd);
        free(w);
    }
}

void transparent_free(struct transparent *t)
{
    if (t == NULL)
        return;
    link_stop(t->link);
    free_list(t->queue);
    free_list(t->later);
    (void)pthread_cond_destroy(&t->work);
    (void)pthread_cond_destroy(&t->walks);
    (void)pthread_mutex_destroy(&t->lock);
    free(t->deny_users);
    free(t->guarded);
    free(t);
}

void transparent_counts(struct transparent *t, struct transparent_counts *out)
{
    struct link_status st;
    link_status(t->link, &st);
    lock_scope(&t->lock);
    *out = t->counts;
    int64_t stubs = atomic_load(&t->stubs);
    out->stubs = stubs > 0 ? (uint64_t)stubs : 0;
    out->attached = st.attached;
    out->pre_access = st.pre_access;
}
