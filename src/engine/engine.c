/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine_impl.h"
#include "engine/transparent.h"

#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 1000

const struct conf *engine_conf(const struct engine *e)
{
    return e->conf;
}

struct catalog *engine_catalog(struct engine *e)
{
    return e->cat;
}

bool engine_stopping(const struct engine *e)
{
    return __atomic_load_n(&e->stopping, __ATOMIC_ACQUIRE);
}

struct efs *efs_by_uuid(struct engine *e, const struct uuid *uuid)
{
    for (size_t i = 0; i < e->nfs; i++) {
        if (e->fs[i].fs != NULL && memcmp(&e->fs[i].uuid, uuid, sizeof(*uuid)) == 0)
            return &e->fs[i];
    }
    return NULL;
}

struct efs *efs_by_name(struct engine *e, const char *name)
{
    for (size_t i = 0; i < e->nfs; i++) {
        if (strcmp(e->fs[i].conf->name, name) == 0)
            return &e->fs[i];
    }
    return NULL;
}

struct efs *efs_by_path(struct engine *e, const char *path)
{
    struct efs *best = NULL;
    size_t longest = 0;
    for (size_t i = 0; i < e->nfs; i++) {
        const char *root = e->fs[i].conf->path;
        size_t n = strlen(root);
        if (strncmp(path, root, n) != 0 || (path[n] != '/' && path[n] != '\0') || n < longest)
            continue;
        best = &e->fs[i];
        longest = n;
    }
    return best;
}

int64_t id_number(const void *p, size_t n)
{
    uint8_t d[DIGEST_MAX];
    uint64_t v = 0;
    (void)digest_of(DIGEST_SHA256, p, n, d);
    for (int i = 0; i < 8; i++)
        v = v << 8 | d[i];
    return (int64_t)(v >> 1);
}

int op_result(cJSON *obj, cJSON **result)
{
    *result = obj;
    return 0;
}

static void open_filesystems(struct engine *e)
{
    e->nfs = e->conf->filesystem_count;
    e->fs = xzalloc((e->nfs + 1) * sizeof(*e->fs));
    for (size_t i = 0; i < e->nfs; i++) {
        struct efs *fs = &e->fs[i];
        struct err err = {0};
        fs->conf = &e->conf->filesystems[i];
        if (fs_open(fs->conf->path, &fs->fs, &err) != 0) {
            (void)snprintf(fs->problem, sizeof(fs->problem), "%.250s", err.text);
            log_warn("file system %s is not available: %s", fs->conf->name, err.text);
            fs->fs = NULL;
            continue;
        }
        fs->uuid = fs_uuid(fs->fs);
    }
}

static void close_filesystems(struct engine *e)
{
    for (size_t i = 0; i < e->nfs; i++)
        fs_close(e->fs[i].fs);
    free(e->fs);
}

/* Pools of the configuration that the catalogue does not have yet. */
static int make_pools(struct engine *e, struct err *err)
{
    for (size_t i = 0; i < e->conf->pool_count; i++) {
        struct catalog_pool p = {0};
        (void)snprintf(p.name, sizeof(p.name), "%s", e->conf->pools[i].name);
        (void)snprintf(p.library, sizeof(p.library), "%s", e->conf->pools[i].library);
        int rc = catalog_pool_add(e->cat, &p, err);
        if (rc < 0 && rc != -EEXIST)
            return err_wrap(err, rc, "pool %s@%s", p.name, p.library);
    }
    return pools_load(e, err);
}

static int open_state(struct engine *e, struct err *err)
{
    auto_free char *dir = xasprintf("%s/catalog", e->conf->state_dir);
    auto_free char *indexes = xasprintf("%s/indexes", e->conf->state_dir);
    int rc = io_mkdirs(indexes, 0700, err);
    if (rc < 0)
        return rc;
    rc = catalog_open("sqlite", dir, &e->cat, err);
    if (rc < 0)
        return err_wrap(err, rc, "catalogue in %s", dir);
    int64_t requeued = 0;
    rc = catalog_recover(e->cat, &requeued, err);
    if (rc < 0)
        return err_wrap(err, rc, "recovery of the queue");
    if (requeued > 0)
        log_info("%lld interrupted jobs are queued again", (long long)requeued);
    e->buffers = bufpool_new((size_t)e->conf->buffers.count, (size_t)e->conf->buffers.size_bytes);
    if (e->buffers == NULL)
        return err_sys(err, errno, "%lld buffers of %lld bytes (buffers.count, buffers.size)",
                       (long long)e->conf->buffers.count, (long long)e->conf->buffers.size_bytes);
    return 0;
}

static int start_thread(pthread_t *t, void *(*fn)(void *), struct engine *e, struct err *err)
{
    int rc = pthread_create(t, NULL, fn, e);
    if (rc != 0)
        return err_sys(err, rc, "thread");
    e->threads++;
    return 0;
}

/* Finishes the release that a crash interrupted, if job j is of one. */
static void repair_file(struct engine *e, const struct catalog_job *j)
{
    struct efs *fs = efs_by_uuid(e, &j->fs);
    struct file_id id = {.fs = j->fs, .ino = j->ino, .gen = j->gen, .handle_len = j->handle_len};
    struct file_info info;
    struct err err = {0};
    memcpy(id.handle, j->handle, j->handle_len);
    if (fs == NULL || file_inspect_id(fs->fs, &id, &info, &err) != 0 ||
        (info.note != FILE_NOTE_INTERRUPTED && info.note != FILE_NOTE_MARKER_STALE &&
         info.note != FILE_NOTE_MARKER_MISSING))
        return;
    auto_close int fd = fs_open_id(fs->fs, &id, O_RDWR | O_NONBLOCK, &err);
    int rc = fd < 0 ? fd : file_repair(fs->fs, fd, &info, &err);
    if (rc < 0)
        log_warn("%s: %s", j->path, err.text);
    else
        log_info("%s: %s, put right: %s", j->path, file_note_text(info.note),
                 file_state_name(info.state));
}

void repair_interrupted(struct engine *e)
{
    struct catalog_job_filter f = {
        .kind = -1, .volume = -1, .state_mask = 1U << CATALOG_JOB_QUEUED};
    for (;;) {
        struct catalog_jobs l = {0};
        struct err err = {0};
        if (catalog_job_list(e->cat, &f, PAGE, &l, &err) < 0)
            log_err("%s", err.text);
        for (size_t i = 0; i < l.n; i++) {
            if (l.v[i].attempt > 0)
                repair_file(e, &l.v[i]);
            f.after_id = l.v[i].id;
        }
        bool last = l.n == 0;
        catalog_jobs_fini(&l);
        if (last)
            break;
    }
    for (size_t i = 0; i < e->nfs; i++) {
        struct err err = {0};
        if (e->fs[i].fs != NULL && fs_sync(e->fs[i].fs, &err) < 0)
            log_err("%s", err.text);
    }
}

static int start_all(struct engine *e, struct err *err)
{
    int rc = open_state(e, err);
    if (rc < 0)
        return rc;
    open_filesystems(e);
    rc = transparent_start(e, &e->transparent, err);
    if (rc == 0)
        rc = library_open_all(e, err);
    if (rc == 0)
        rc = make_pools(e, err);
    if (rc == 0) {
        repair_interrupted(e);
        rc = task_load_open(e, err);
    }
    if (rc == 0)
        rc = drives_start(e, err);
    if (rc == 0)
        rc = start_thread(&e->finisher, migrate_finisher, e, err);
    if (rc == 0)
        rc = start_thread(&e->planner_to, migrate_planner, e, err);
    if (rc == 0)
        rc = start_thread(&e->planner_from, recall_planner, e, err);
    if (rc == 0)
        rc = transparent_serve(e->transparent, err);
    return rc;
}

int engine_start(const struct conf *conf, struct engine **out, struct err *err)
{
    struct engine *e = xzalloc(sizeof(*e));
    pthread_condattr_t attr;
    e->conf = conf;
    e->started_ns = time_mono_ns();
    (void)pthread_mutex_init(&e->adopting, NULL);
    (void)pthread_mutex_init(&e->media, NULL);
    (void)pthread_mutex_init(&e->lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&e->work, &attr);
    (void)pthread_cond_init(&e->plan, &attr);
    (void)pthread_cond_init(&e->changed, &attr);
    (void)pthread_condattr_destroy(&attr);
    int rc = start_all(e, err);
    if (rc < 0) {
        engine_stop(e);
        return rc;
    }
    *out = e;
    return 0;
}

void engine_wake_locked(struct engine *e)
{
    (void)pthread_cond_broadcast(&e->work);
    for (size_t i = 0; i < e->nlibs; i++) {
        if (e->libs[i].store != NULL)
            (void)pthread_cond_broadcast(&e->libs[i].store->idle);
    }
}

void engine_stop_begin(struct engine *e)
{
    {
        lock_scope(&e->lock);
        __atomic_store_n(&e->stopping, true, __ATOMIC_RELEASE);
        stores_halt_locked(e);
        engine_wake_locked(e);
        (void)pthread_cond_broadcast(&e->plan);
        (void)pthread_cond_broadcast(&e->changed);
    }
    recall_let_go(e);
}

void caller_enter(struct engine *e)
{
    lock_scope(&e->lock);
    e->callers++;
}

void caller_leave(struct engine *e)
{
    lock_scope(&e->lock);
    e->callers--;
    (void)pthread_cond_broadcast(&e->changed);
}

static void wait_for_callers(struct engine *e)
{
    lock_scope(&e->lock);
    while (e->callers > 0)
        (void)pthread_cond_wait(&e->changed, &e->lock);
}

void engine_stop(struct engine *e)
{
    if (e == NULL)
        return;
    engine_stop_begin(e);
    transparent_stop(e->transparent);
    /* The planners first: then no new work arrives at drives and finisher. */
    if (e->threads >= 3)
        (void)pthread_join(e->planner_from, NULL);
    if (e->threads >= 2)
        (void)pthread_join(e->planner_to, NULL);
    library_close_all(e);
    if (e->threads >= 1)
        (void)pthread_join(e->finisher, NULL);
    wait_for_callers(e);
    recall_free_all(e);
    transparent_free(e->transparent);
    task_free_all(e);
    library_free_all(e);
    close_filesystems(e);
    bufpool_free(e->buffers);
    catalog_close(e->cat);
    (void)pthread_cond_destroy(&e->work);
    (void)pthread_cond_destroy(&e->plan);
    (void)pthread_cond_destroy(&e->changed);
    (void)pthread_mutex_destroy(&e->lock);
    (void)pthread_mutex_destroy(&e->media);
    (void)pthread_mutex_destroy(&e->adopting);
    free(e);
}
