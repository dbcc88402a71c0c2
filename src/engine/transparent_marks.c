/* SPDX-License-Identifier: Apache-2.0 */
/* After a front has come: every stub gets its mark, then the file systems' own marks go. */
#include "engine/transparent_impl.h"

#include "base/log.h"
#include "base/timefmt.h"
#include "engine/stubs.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define FS_MOST 64
#define RETRY_S 10 /* after a walk that could not see all */

static struct efs *watched(struct transparent *t, const struct link_fs *l)
{
    struct efs *fs = efs_by_name(t->e, l->name);
    bool covered = (l->flags & WATCH_FS_COVERED) != 0;
    return fs != NULL && fs->fs != NULL && covered && l->code == 0 ? fs : NULL;
}

static void note(struct transparent *t, const char *problem)
{
    lock_scope(&t->lock);
    (void)snprintf(t->counts.problem, sizeof(t->counts.problem), "%.250s", problem);
}

/* Returns false when it has to be tried again. */
static bool mark_fs(struct transparent *t, struct efs *fs, uint64_t front)
{
    struct stubs_count n = {0};
    struct err err = {0};
    int rc = stubs_mark(fs->fs, t->link, &t->stopping, &n, &err);
    if (rc == 0) {
        log_info("file system %s: %llu stubs among %llu files marked in %lld ms", fs->conf->name,
                 (unsigned long long)n.marked, (unsigned long long)n.files, (long long)n.ms);
        note(t, "");
        link_uncover(t->link, fs->conf->name, front);
        return true;
    }
    note(t, err.text);
    if (rc == -ESHUTDOWN || rc == -ENOTCONN)
        return true; /* the end, or the next front */
    log_warn("%s; the whole file system stays watched, which costs time at every access", err.text);
    return false;
}

static bool mark_all(struct transparent *t, uint64_t front)
{
    struct link_fs list[FS_MOST];
    bool done = true;
    size_t n = link_filesystems(t->link, list, FS_MOST);
    for (size_t i = 0; i < n && i < FS_MOST && link_front(t->link) == front; i++) {
        struct efs *fs = watched(t, &list[i]);
        if (fs != NULL)
            done = mark_fs(t, fs, front) && done;
    }
    return done;
}

/* The kernel's count holds the front's canary on each file system too (doc/design/watch.md). */
static int64_t count_stubs(struct transparent *t)
{
    struct link_fs list[FS_MOST];
    int64_t marks = (int64_t)link_marks(t->link);
    size_t n = link_filesystems(t->link, list, FS_MOST);
    for (size_t i = 0; i < n && i < FS_MOST; i++)
        marks -= list[i].code == 0 && (list[i].flags & WATCH_FS_MOUNTED) != 0 ? 1 : 0;
    return marks;
}

void *transparent_marker(void *arg)
{
    struct transparent *t = arg;
    (void)pthread_mutex_lock(&t->lock);
    while (!t->stopping) {
        uint64_t front = t->walk_for;
        if (front == 0) {
            (void)pthread_cond_wait(&t->walks, &t->lock);
            continue;
        }
        t->walk_for = 0;
        (void)pthread_mutex_unlock(&t->lock);
        bool done = mark_all(t, front);
        atomic_store(&t->stubs, count_stubs(t));
        (void)pthread_mutex_lock(&t->lock);
        if (done || t->stopping)
            continue;
        int64_t at = time_mono_ns() + RETRY_S * NS_PER_SEC;
        struct timespec until = {.tv_sec = at / NS_PER_SEC, .tv_nsec = at % NS_PER_SEC};
        while (!t->stopping && t->walk_for == 0 &&
               pthread_cond_timedwait(&t->walks, &t->lock, &until) == 0)
            continue;
        if (t->walk_for == 0)
            t->walk_for = front;
    }
    (void)pthread_mutex_unlock(&t->lock);
    return NULL;
}
