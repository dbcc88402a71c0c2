/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine_impl.h"

#include "base/mem.h"
#include "base/timefmt.h"
#include "engine/depot.h"
#include "engine/transparent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void attention(cJSON *a, const char *text)
{
    (void)cJSON_AddItemToArray(a, cJSON_CreateString(text));
}

static void add_filesystems(struct engine *e, cJSON *j, cJSON *notes)
{
    cJSON *a = cJSON_AddArrayToObject(j, "filesystems");
    for (size_t i = 0; i < e->nfs; i++) {
        const struct efs *fs = &e->fs[i];
        uint64_t total = 0;
        uint64_t avail = 0;
        cJSON *o = cJSON_CreateObject();
        if (fs->fs != NULL)
            (void)fs_space(fs->fs, &total, &avail, NULL);
        json_add_str(o, "name", fs->conf->name);
        json_add_str(o, "path", fs->conf->path);
        json_add_str(o, "posix_readers", fs->conf->posix_readers);
        json_add_int(o, "total_bytes", (int64_t)total);
        json_add_int(o, "free_bytes", (int64_t)avail);
        (void)cJSON_AddItemToArray(a, o);
        if (fs->fs == NULL) {
            auto_free char *text =
                xasprintf("file system %s is not available: %s", fs->conf->name, fs->problem);
            attention(notes, text);
        }
    }
}

/* engine.lock held. */
static void note_volume(const struct volume *v, cJSON *notes)
{
    const char *state = volume_shown_state(v);
    bool missing = strcmp(state, "missing") == 0 && v->row.pool[0] != '\0';
    bool bad = strcmp(state, VOL_MISMATCH) == 0 || strcmp(state, VOL_NEED_REPLACE) == 0 ||
               strcmp(state, VOL_REQ_REPLACE) == 0 || strcmp(state, VOL_INACCESSIBLE) == 0;
    if (!missing && !bad)
        return;
    auto_free char *text = xasprintf("tape %s@%s is %s%s%s", v->row.barcode, v->row.library, state,
                                     v->row.problem[0] != '\0' ? ": " : "", v->row.problem);
    attention(notes, text);
}

/* engine.lock held. */
static cJSON *store_json(const struct estore *s)
{
    cJSON *j = cJSON_CreateObject();
    json_add_str(j, "name", s->lib->name);
    json_add_str(j, "kind", depot_kind(s->conf));
    json_add_str(j, "endpoint", s->conf->endpoint);
    json_add_str(j, "state", store_state(s));
    json_add_str(j, "problem", s->lib->problem);
    return j;
}

/* engine.lock held. */
static void note_store(const struct estore *s, cJSON *notes)
{
    if (s->lib->problem[0] != '\0') {
        auto_free char *text =
            xasprintf("store %s is down, what is for it waits: %s", s->lib->name, s->lib->problem);
        attention(notes, text);
    }
    if (s->full[0] != '\0') {
        auto_free char *text = xasprintf("store %s is full: %s", s->lib->name, s->full);
        attention(notes, text);
    }
}

/* engine.lock held. */
static void note_library(const struct library *lib, cJSON *notes)
{
    const struct volume *v = NULL;
    const struct edrive *d = NULL;
    bool usable = false;
    if (lib->problem[0] != '\0') {
        auto_free char *text = xasprintf("library %s: %s", lib->name, lib->problem);
        attention(notes, text);
    }
    LL_FOREACH (lib->volumes, v)
        note_volume(v, notes);
    LL_FOREACH (lib->drives, d) {
        usable = usable || d->row.enabled;
        if (d->failures > 0) {
            auto_free char *text = xasprintf("drive %s: %s", d->serial, d->problem);
            attention(notes, text);
        }
    }
    if (!usable && lib->problem[0] == '\0') {
        auto_free char *text = xasprintf(
            "library %s has no drive in use; firn drive assign puts one to use", lib->name);
        attention(notes, text);
    }
}

/* engine.lock held. */
static void add_tasks(struct engine *e, cJSON *j)
{
    const struct task *t = NULL;
    int64_t n[2] = {0};    /* waiting, running */
    int64_t jobs[2] = {0}; /* recall, migrate */
    DL_FOREACH (e->tasks, t) {
        n[t->started ? 1 : 0]++;
        jobs[t->type == ENGINE_RECALL ? 0 : 1] += t->left;
    }
    cJSON *o = cJSON_AddObjectToObject(j, "tasks");
    json_add_int(o, "waiting", n[0]);
    json_add_int(o, "running", n[1]);
    o = cJSON_AddObjectToObject(j, "queue");
    json_add_int(o, "recall", jobs[0]);
    json_add_int(o, "migrate", jobs[1]);
}

/* Counts by taking: the pool has no other way to tell, and this is asked for by people. */
static int64_t free_buffers(struct engine *e)
{
    size_t count = (size_t)e->conf->buffers.count;
    auto_free void **all = xzalloc(count * sizeof(void *));
    size_t n = 0;
    while (n < count && (all[n] = bufpool_try_get(e->buffers)) != NULL)
        n++;
    for (size_t i = 0; i < n; i++)
        bufpool_put(e->buffers, all[i]);
    return (int64_t)n;
}

int engine_op_status(struct engine *e, const struct engine_call *call, cJSON **result,
                     struct err *err)
{
    (void)call, (void)err;
    cJSON *j = cJSON_CreateObject();
    cJSON *notes = cJSON_CreateArray();
    json_add_str(j, "version", FIRN_VERSION);
    json_add_int(j, "pid", getpid());
    json_add_int(j, "uptime_s", (time_mono_ns() - e->started_ns) / NS_PER_SEC);
    json_add_str(j, "site", e->conf->site);
    add_filesystems(e, j, notes);
    cJSON *libs = cJSON_AddArrayToObject(j, "libraries");
    cJSON *stores = cJSON_AddArrayToObject(j, "stores");
    {
        lock_scope(&e->lock);
        for (size_t i = 0; i < e->nlibs; i++) {
            if (e->libs[i].store != NULL) {
                (void)cJSON_AddItemToArray(stores, store_json(e->libs[i].store));
                note_store(e->libs[i].store, notes);
                continue;
            }
            (void)cJSON_AddItemToArray(libs, library_json(&e->libs[i]));
            note_library(&e->libs[i], notes);
        }
        add_tasks(e, j);
    }
    cJSON *o = cJSON_AddObjectToObject(j, "buffers");
    json_add_int(o, "count", e->conf->buffers.count);
    json_add_int(o, "size", e->conf->buffers.size_bytes);
    json_add_int(o, "free", free_buffers(e));
    transparent_status(e->transparent, j, notes);
    (void)cJSON_AddItemToObject(j, "attention", notes);
    return op_result(j, result);
}

/* ---- drain ---- */

static bool is_at_work(const struct estore *s)
{
    for (size_t i = 0; s != NULL && s->up && i < s->nlanes; i++) { /* else they wait for it */
        if (s->lanes[i].work != LANE_IDLE && s->lanes[i].work != LANE_PROBING)
            return true;
    }
    return s != NULL && (s->filling > 0 || s->done != NULL);
}

static bool any_at_work(const struct engine *e)
{
    for (size_t i = 0; i < e->nlibs; i++) {
        const struct edrive *d = NULL;
        if (is_at_work(e->libs[i].store))
            return true;
        LL_FOREACH (e->libs[i].drives, d) {
            if (d->work != DRIVE_IDLE)
                return true;
        }
    }
    return e->finish != NULL;
}

int engine_op_drain(struct engine *e, const struct engine_call *call, cJSON **result,
                    struct err *err)
{
    int64_t ns = time_mono_ns() + json_int(call->args, "wait_ms", 60000) * 1000000;
    struct timespec until = {.tv_sec = ns / NS_PER_SEC, .tv_nsec = ns % NS_PER_SEC};
    int timed_out = 0;
    lock_scope(&e->lock);
    e->callers++;
    e->drains++;
    while (any_at_work(e) && !e->stopping && timed_out == 0)
        timed_out = pthread_cond_timedwait(&e->changed, &e->lock, &until);
    bool done = !any_at_work(e);
    e->drains--;
    e->callers--;
    engine_wake_locked(e);
    (void)pthread_cond_broadcast(&e->changed);
    if (!done)
        return err_set(err, -EAGAIN, "drives are still at work; ask again");
    return op_result(cJSON_CreateObject(), result);
}
