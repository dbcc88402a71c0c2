/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/recall_impl.h"

#include "base/mem.h"
#include "base/timefmt.h"
#include "engine/task_view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ADD_MAX     1000 /* paths in one task.add (protocol) */
#define SHOW_LIMIT  1000
#define EVENT_MS    500
#define PLACES_LIST 1   /* requests whose place op task.list tells, of each task */
#define PLACES_SHOW 100 /* and op task.show */

/* ---- progress ---- */

static void stage_of(struct engine *e, int64_t id, struct engine_task_progress *p)
{
    lock_scope(&e->lock);
    const struct task *t = task_find_locked(e, id);
    p->stage = t != NULL ? t->stage : "done";
}

/* Bytes that recalls in memory have brought for t. */
static int64_t recalled_locked(const struct engine *e, const struct task *t)
{
    const struct recall *r = NULL;
    const struct waiter *w = NULL;
    int64_t n = 0;
    for (r = e->recalls; r != NULL; r = r->hh.next) {
        int64_t moved = atomic_load(&r->moved);
        if (moved == 0)
            continue;
        LL_FOREACH (r->waiters, w)
            n += w->task == t ? moved : 0;
    }
    return n;
}

/*
 * What row counts, and what is on its way. The row was read before, and who ends a file takes it
 * off what is on its way before the catalogue counts it: a file is never counted twice, and for a
 * moment perhaps not at all. That, and data that are copied anew, shall not make the number fall.
 */
static int64_t bytes_done(struct engine *e, const struct catalog_task *row)
{
    lock_scope(&e->lock);
    struct task *t = task_find_locked(e, row->id);
    if (t == NULL)
        return row->bytes_done;
    int64_t n = row->bytes_done + atomic_load(&t->moved);
    if (t->type == ENGINE_RECALL)
        n += recalled_locked(e, t);
    if (n > row->bytes_total)
        n = row->bytes_total;
    if (n > t->shown)
        t->shown = n;
    return t->shown;
}

static int progress(struct engine *e, int64_t id, struct engine_task_progress *p, struct err *err)
{
    struct catalog_tasks l = {0};
    int rc = catalog_task_get(e->cat, id, &l, err);
    if (rc == 0) {
        const struct catalog_task *t = &l.v[0];
        *p = (struct engine_task_progress){.task_id = t->id,
                                           .ended = t->status == CATALOG_TASK_COMPLETED,
                                           .ok = t->result == CATALOG_RESULT_SUCCEEDED,
                                           .files = t->files,
                                           .done = t->done,
                                           .failed = t->failed,
                                           .bytes_total = t->bytes_total,
                                           .bytes_done = bytes_done(e, t)};
        memcpy(p->uid, t->uid, sizeof(p->uid));
        stage_of(e, id, p);
        if (p->ended)
            p->duplicates = p->files - p->done - p->failed;
    }
    catalog_tasks_fini(&l);
    return rc > 0 ? err_set(err, -ENOENT, "there is no task %lld", (long long)id) : rc;
}

/* Waits until task id is no longer open, or until. Returns 0, 1 (time is over) or -ESHUTDOWN. */
static int wait_closed(struct engine *e, int64_t id, int64_t until_ns)
{
    struct timespec ts = {.tv_sec = until_ns / NS_PER_SEC, .tv_nsec = until_ns % NS_PER_SEC};
    int rc = 0;
    lock_scope(&e->lock);
    e->callers++;
    while (rc == 0 && task_find_locked(e, id) != NULL && !e->stopping)
        rc = pthread_cond_timedwait(&e->changed, &e->lock, &ts);
    if (rc == 0 && e->stopping && task_find_locked(e, id) != NULL)
        rc = -ESHUTDOWN;
    e->callers--;
    (void)pthread_cond_broadcast(&e->changed);
    return rc > 0 ? 1 : rc;
}

int engine_task_wait(struct engine *e, int64_t task_id, int64_t timeout_ms,
                     struct engine_task_progress *info, struct err *err)
{
    int64_t bound = timeout_ms < 0 ? 365LL * 86400 * 1000 : timeout_ms;
    if (wait_closed(e, task_id, time_mono_ns() + bound * 1000000) == -ESHUTDOWN)
        return err_set(err, -ESHUTDOWN, "firnd is stopping; task %lld goes on at the next start",
                       (long long)task_id);
    return progress(e, task_id, info, err);
}

/* ---- drafts from JSON ---- */

int engine_draft_from_json(struct engine *e, const cJSON *args, struct engine_draft **out,
                           struct err *err)
{
    const char *type = NULL;
    const cJSON *p = NULL;
    struct engine_task_spec spec = {.resident = json_bool(args, "resident", false),
                                    .parameters = json_str(args, "parameters", NULL)};
    int rc = json_need_str(args, "type", &type, err);
    if (rc < 0)
        return rc;
    if (task_type_parse(type, &spec.type) != 0 || strcmp(type, "transparent_recall") == 0)
        return err_set(err, -EINVAL, "type \"%s\" is not migrate, premigrate, recall or save",
                       type);
    cJSON_ArrayForEach (p, cJSON_GetObjectItemCaseSensitive(args, "pools")) {
        if (!cJSON_IsString(p) || spec.npools == ENGINE_POOLS_MAX)
            return err_set(err, -EINVAL, "\"pools\" takes one to %d names", ENGINE_POOLS_MAX);
        spec.pools[spec.npools++] = p->valuestring;
    }
    return engine_draft_new(e, &spec, out, err);
}

int engine_draft_add_json(struct engine_draft *d, const cJSON *args, struct err *err)
{
    const cJSON *paths = cJSON_GetObjectItemCaseSensitive(args, "paths");
    const cJSON *p = NULL;
    int n = cJSON_GetArraySize(paths);
    size_t i = 0;
    if (!cJSON_IsArray(paths) || n > ADD_MAX)
        return err_set(err, -EINVAL, "\"paths\" is a list of at most %d strings", ADD_MAX);
    auto_free struct engine_file_ref *refs = xzalloc(((size_t)n + 1) * sizeof(*refs));
    cJSON_ArrayForEach (p, paths) {
        if (!cJSON_IsString(p))
            return err_set(err, -EINVAL, "\"paths\" is a list of strings");
        refs[i++].path = p->valuestring;
    }
    return engine_draft_add(d, refs, i, err);
}

int engine_draft_commit_json(struct engine_draft *d, cJSON **result, struct err *err)
{
    struct engine_task_progress p;
    int rc = engine_draft_commit(d, &p, err);
    if (rc < 0)
        return rc;
    cJSON *j = cJSON_CreateObject();
    json_add_int(j, "task_id", p.task_id);
    json_add_str(j, "uid", p.uid);
    json_add_int(j, "files", p.files);
    json_add_int(j, "duplicates", p.duplicates);
    return op_result(j, result);
}

/* ---- show and list ---- */

static const char *status_name(const struct catalog_task *t)
{
    static const char *const names[] = {"draft", "waiting", "running", "interrupted", "completed"};
    return names[t->status];
}

static const char *result_name(const struct catalog_task *t)
{
    static const char *const names[] = {"", "succeeded", "failed", "aborted"};
    return names[t->result];
}

static void add_time(cJSON *j, const char *name, int64_t ns)
{
    char text[TIMEFMT_MAX] = "";
    if (ns != 0)
        timefmt_iso_ms(ns, text);
    json_add_str(j, name, text);
}

static cJSON *task_json(struct engine *e, const struct catalog_task *t, size_t places)
{
    static const char *const priorities[] = {"low", "medium", "high", "high"};
    char why[TASK_WHY_MAX];
    cJSON *j = cJSON_CreateObject();
    json_add_int(j, "task_id", t->id);
    json_add_str(j, "uid", t->uid);
    json_add_str(j, "type", t->type);
    json_add_str(j, "priority", priorities[t->priority & 3]);
    json_add_str(j, "status", status_name(t));
    json_add_str(j, "result", result_name(t));
    add_time(j, "created", t->created_ns);
    add_time(j, "started", t->started_ns);
    add_time(j, "completed", t->completed_ns);
    json_add_str(j, "parameters", t->params != NULL ? t->params : "");
    json_add_str(j, "pools", t->pools != NULL ? t->pools : "");
    json_add_str(j, "message", t->message != NULL ? t->message : "");
    json_add_int(j, "files", t->files);
    json_add_int(j, "done", t->done);
    json_add_int(j, "failed", t->failed);
    json_add_int(j, "bytes_total", t->bytes_total);
    json_add_int(j, "bytes_done", bytes_done(e, t));
    task_add_in_use(e, t->id, j);
    task_why(e, t->id, why);
    json_add_str(j, "reason", why);
    recall_add_places(e, t->id, places, j);
    return j;
}

int engine_op_task_list(struct engine *e, const struct engine_call *call, cJSON **result,
                        struct err *err)
{
    struct catalog_tasks l = {0};
    int64_t limit = json_int(call->args, "limit", 1000);
    int rc = catalog_task_list(e->cat, json_bool(call->args, "all", false),
                               limit > 0 ? (size_t)limit : 1000, &l, err);
    if (rc < 0)
        return rc;
    cJSON *j = cJSON_CreateObject();
    cJSON *a = cJSON_AddArrayToObject(j, "tasks");
    for (size_t i = 0; i < l.n; i++)
        (void)cJSON_AddItemToArray(a, task_json(e, &l.v[i], PLACES_LIST));
    catalog_tasks_fini(&l);
    return op_result(j, result);
}

/* Which of the counts a job belongs to. */
static const char *count_name(const struct catalog_job_count *c)
{
    static const struct {
        const char *code, *name;
    } codes[] = {{CODE_ABSENT, "not_found"},
                 {CODE_SMALL, "too_small"},
                 {CODE_EARLY, "too_early"},
                 {CODE_CHANGED, "changed"},
                 {CODE_NOT_MIG, "not_migrated"}};
    if (c->state == CATALOG_JOB_DUPLICATE)
        return "duplicate";
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (strcmp(c->code, codes[i].code) == 0)
            return codes[i].name;
    }
    if (c->state == CATALOG_JOB_DONE)
        return "succeeded";
    return c->state == CATALOG_JOB_FAILED ? "failed" : "open";
}

static int add_counts(struct engine *e, int64_t id, cJSON *j, struct err *err)
{
    static const char *const names[] = {"succeeded", "failed",       "duplicate",
                                        "not_found", "too_small",    "too_early",
                                        "changed",   "not_migrated", "open"};
    struct catalog_job_counts c = {0};
    int rc = catalog_job_count(e->cat, id, &c, err);
    cJSON *o = cJSON_AddObjectToObject(j, "counts");
    for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
        int64_t n = 0;
        for (size_t i = 0; i < c.n; i++)
            n += strcmp(count_name(&c.v[i]), names[k]) == 0 ? c.v[i].n : 0;
        json_add_int(o, names[k], n);
    }
    catalog_job_counts_fini(&c);
    return rc;
}

/* The path as the user knows it: absolute. */
static void add_path(struct engine *e, const struct catalog_job *job, cJSON *j)
{
    const struct efs *fs = efs_by_uuid(e, &job->fs);
    const char *path = job->path != NULL ? job->path : "";
    if (fs == NULL || *path == '/') {
        json_add_str(j, "path", path);
        return;
    }
    auto_free char *whole = xasprintf("%s/%s", fs->conf->path, path);
    json_add_str(j, "path", whole);
}

static cJSON *job_json(struct engine *e, const struct catalog_job *job)
{
    static const char *const states[] = {"Waiting", "Running", "Success", "Fail", "Fail"};
    char code[24] = "";
    cJSON *j = cJSON_CreateObject();
    bool duplicate = job->state == CATALOG_JOB_DUPLICATE;
    add_path(e, job, j);
    json_add_str(j, "result", states[job->state]);
    if (duplicate)
        (void)snprintf(code, sizeof(code), "%s", CODE_QUEUED);
    else if (job->state == CATALOG_JOB_FAILED)
        code_shown(job->code, code, sizeof(code));
    json_add_str(j, "code", code[0] != '\0' ? code : "-");
    add_time(j, "time", job->ended_ns != 0 ? job->ended_ns : job->created_ns);
    json_add_str(j, "node", "1");
    json_add_str(j, "message",
                 duplicate              ? "already queued by an earlier task"
                 : job->message != NULL ? job->message
                                        : "");
    return j;
}

static int add_results(struct engine *e, const cJSON *args, int64_t id, cJSON *j, struct err *err)
{
    struct catalog_job_filter f = {.task = id, .kind = -1, .volume = -1};
    struct catalog_jobs l = {0};
    int64_t offset = json_int(args, "offset", 0);
    int64_t limit = json_int(args, "limit", SHOW_LIMIT);
    if (offset < 0 || limit <= 0)
        return err_set(err, -EINVAL, "offset and limit cannot be negative");
    int rc = catalog_job_list_at(e->cat, &f, (size_t)offset,
                                 limit < SHOW_LIMIT ? (size_t)limit : SHOW_LIMIT, &l, err);
    cJSON *a = cJSON_AddArrayToObject(j, "results");
    for (size_t i = 0; rc == 0 && i < l.n; i++)
        (void)cJSON_AddItemToArray(a, job_json(e, &l.v[i]));
    catalog_jobs_fini(&l);
    return rc;
}

static int show(struct engine *e, int64_t id, cJSON **out, struct err *err)
{
    struct catalog_tasks l = {0};
    int rc = catalog_task_get(e->cat, id, &l, err);
    if (rc > 0)
        rc = err_set(err, -ENOENT, "there is no task %lld", (long long)id);
    if (rc == 0) {
        *out = task_json(e, &l.v[0], PLACES_SHOW);
        rc = add_counts(e, id, *out, err);
    }
    catalog_tasks_fini(&l);
    return rc;
}

int engine_op_task_show(struct engine *e, const struct engine_call *call, cJSON **result,
                        struct err *err)
{
    auto_json cJSON *j = NULL;
    int64_t id = json_int(call->args, "task_id", 0);
    int rc = show(e, id, &j, err);
    if (rc == 0 && json_bool(call->args, "files", false))
        rc = add_results(e, call->args, id, j, err);
    return rc < 0 ? rc : op_result(take_ptr(j), result);
}

/* Seconds to the end at the pace since the first look; -1: not known yet. */
static int64_t eta_s(const struct engine_task_progress *first, int64_t since_ns,
                     const struct engine_task_progress *p)
{
    int64_t moved = p->bytes_done - first->bytes_done;
    int64_t ended = p->done + p->failed - first->done - first->failed;
    double s = (double)(time_mono_ns() - since_ns) / NS_PER_SEC;
    if (moved > 0)
        return (int64_t)(s * (double)(p->bytes_total - p->bytes_done) / (double)moved);
    if (ended > 0)
        return (int64_t)(s * (double)(p->files - p->done - p->failed) / (double)ended);
    return -1;
}

static void send_event(struct engine *e, const struct engine_call *call,
                       const struct engine_task_progress *p, int64_t eta)
{
    char why[TASK_WHY_MAX];
    if (call->event == NULL)
        return;
    task_why(e, p->task_id, why);
    cJSON *j = cJSON_CreateObject();
    json_add_int(j, "done", p->done);
    json_add_int(j, "failed", p->failed);
    json_add_int(j, "total", p->files);
    json_add_int(j, "bytes_done", p->bytes_done);
    json_add_int(j, "bytes_total", p->bytes_total);
    json_add_str(j, "stage", p->stage);
    json_add_str(j, "reason", why);
    if (eta >= 0)
        json_add_int(j, "eta_s", eta);
    call->event(call->event_arg, j);
}

int engine_op_task_wait(struct engine *e, const struct engine_call *call, cJSON **result,
                        struct err *err)
{
    int64_t id = json_int(call->args, "task_id", 0);
    int64_t left = json_int(call->args, "timeout_ms", -1);
    struct engine_task_progress p = {0};
    struct engine_task_progress first = {.task_id = -1};
    int64_t since_ns = time_mono_ns();
    for (;;) {
        int64_t step = left < 0 || left > EVENT_MS ? EVENT_MS : left;
        int rc = engine_task_wait(e, id, step, &p, err);
        if (rc < 0)
            return rc;
        left -= left < 0 ? 0 : step;
        first = first.task_id < 0 ? p : first;
        send_event(e, call, &p, eta_s(&first, since_ns, &p));
        if (p.ended || left == 0)
            break;
    }
    auto_json cJSON *j = NULL;
    int rc = show(e, id, &j, err);
    return rc < 0 ? rc : op_result(take_ptr(j), result);
}

int engine_op_task_cancel(struct engine *e, const struct engine_call *call, cJSON **result,
                          struct err *err)
{
    int64_t id = json_int(call->args, "task_id", 0);
    struct task *t = NULL;
    int64_t n = 0;
    {
        lock_scope(&e->lock);
        t = task_find_locked(e, id);
        if (t == NULL)
            return err_set(err, -ENOENT, "task %lld is not open", (long long)id);
        if (t->direct)
            return err_set(err, -EBUSY, "task %lld: a reader waits for this file", (long long)id);
        t->cancelled = true;
        t->pins++;
        for (size_t i = 0; i < e->nlibs; i++) {
            if (e->libs[i].store != NULL)
                store_cancel_locked(e->libs[i].store, id);
        }
        engine_wake_locked(e);
    }
    int rc = catalog_job_cancel(e->cat, id, CODE_CANCEL, "cancelled", &n, err);
    if (rc == 0 && n > 0)
        task_ended_jobs(e, t, n);
    {
        lock_scope(&e->lock);
        task_unpin_locked(t);
    }
    return rc < 0 ? rc : op_result(cJSON_CreateObject(), result);
}

int engine_op_task_clear(struct engine *e, const struct engine_call *call, cJSON **result,
                         struct err *err)
{
    int64_t n = 0;
    (void)call;
    int rc = catalog_task_prune(e->cat, INT64_MAX, 0, &n, err);
    if (rc < 0)
        return rc;
    cJSON *j = cJSON_CreateObject();
    json_add_int(j, "removed", n);
    return op_result(j, result);
}

int engine_op_recall(struct engine *e, const struct engine_call *call, cJSON **result,
                     struct err *err)
{
    struct engine_recall_req req = {.fs = json_str(call->args, "fs", NULL),
                                    .ino = (uint64_t)json_int(call->args, "ino", 0),
                                    .gen = (uint32_t)json_int(call->args, "gen", 0),
                                    .wait_ms = json_int(call->args, "wait_ms", 0),
                                    .account = json_str(call->args, "account", NULL)};
    struct engine_recall_res res = {0};
    int rc = json_need_str(call->args, "path", &req.path, err);
    if (rc == 0)
        rc = engine_recall(e, &req, &res, err);
    cJSON *j = cJSON_CreateObject();
    if (rc == 0)
        json_add_str(j, "state", res.state);
    else if (rc == -EAGAIN)
        json_add_int(j, "retry_after_s", res.retry_after_s);
    (void)op_result(j, result);
    return rc;
}
