/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/schedule.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "catalog/catalog.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <utlist.h>

#define RESULT_RUNNING     "running"
#define RESULT_INTERRUPTED "interrupted"
#define NAME_LETTERS       "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
#define POLL_S             30 /* the clock may be set: look at it at least so often */

/* A run that is on. */
struct run {
    struct scheduler *s;
    char name[CATALOG_NAME_MAX];
    char log[CATALOG_PATH_MAX];
    int64_t began_ns;
    cJSON *args;
    struct run *prev, *next;
};

struct scheduler {
    struct schedule_env env;
    pthread_mutex_t lock; /* over all below */
    pthread_cond_t changed;
    struct run *runs;
    unsigned changes; /* of what may be due */
    bool stopping;
    bool has_thread;
    pthread_t thread;
};

static int64_t now_ns(const struct scheduler *s)
{
    return s->env.now_s != NULL ? s->env.now_s(s->env.ctx) * NS_PER_SEC : time_now_ns();
}

static int64_t now_s(const struct scheduler *s)
{
    return now_ns(s) / NS_PER_SEC;
}

/* ---- a run ---- */

struct log_file {
    int fd;
    bool failed;
};

static void log_line(struct log_file *f, const char *text)
{
    auto_buf struct buf b = {0};
    buf_adds(&b, text);
    if (b.len == 0 || b.data[b.len - 1] != '\n')
        buf_addc(&b, '\n');
    if (f->fd >= 0 && io_write_full(f->fd, b.data, b.len) != 0)
        f->failed = true;
}

static void on_event(void *arg, cJSON *event)
{
    if (strcmp(json_str(event, "kind", ""), "line") == 0)
        log_line(arg, json_str(event, "text", ""));
    cJSON_Delete(event);
}

static void open_log(const struct run *run, struct log_file *f)
{
    if (run->log[0] == '\0')
        return;
    f->fd = open(run->log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    if (f->fd < 0)
        log_warn("schedule %s: log %s: %s", run->name, run->log, strerror(errno));
}

static void summarize(const cJSON *result, char *out, size_t cap)
{
    (void)snprintf(out, cap, "ok: %lld chosen, %lld executed, %lld failed",
                   (long long)json_int(result, "chosen", 0),
                   (long long)json_int(result, "executed", 0),
                   (long long)json_int(result, "failed", 0));
}

/* Notes when and how the schedule ran; it may have been deleted meanwhile. */
static void note(struct scheduler *s, const char *name, int64_t when_ns, const char *result)
{
    struct err e = {0};
    if (catalog_schedule_ran(s->env.catalog, name, when_ns, result, 0, &e) < 0)
        log_err("schedule %s: %s", name, e.text);
}

static void drop_run(struct run *run)
{
    struct scheduler *s = run->s;
    lock_scope(&s->lock);
    DL_DELETE(s->runs, run);
    s->changes++;
    (void)pthread_cond_broadcast(&s->changed);
    cJSON_Delete(run->args);
    free(run);
}

static void *run_main(void *arg)
{
    struct run *run = arg;
    struct scheduler *s = run->s;
    struct err e = {0};
    struct log_file f = {.fd = -1};
    char text[CATALOG_TEXT_MAX];
    auto_json cJSON *result = NULL;
    open_log(run, &f);
    int rc = s->env.run(s->env.ctx, run->args, on_event, &f, &result, &e);
    if (rc != 0) {
        (void)snprintf(text, sizeof(text), "failed: %.240s", e.text);
        log_line(&f, e.text);
        log_warn("schedule %s: %s", run->name, e.text);
    } else {
        summarize(result, text, sizeof(text));
    }
    if (f.failed)
        log_warn("schedule %s: log %s could not be written", run->name, run->log);
    if (f.fd >= 0)
        (void)close(f.fd);
    note(s, run->name, run->began_ns, text);
    drop_run(run);
    return NULL;
}

static struct run *find_run_locked(const struct scheduler *s, const char *name)
{
    struct run *r = NULL;
    DL_FOREACH (s->runs, r) {
        if (strcmp(r->name, name) == 0)
            return r;
    }
    return NULL;
}

cJSON *schedule_run_args(const struct catalog_schedule *sched)
{
    cJSON *j = cJSON_CreateObject();
    cJSON *macros = cJSON_Parse(sched->macros != NULL ? sched->macros : "");
    json_add_str(j, "target", sched->target);
    json_add_str(j, "file", sched->file);
    (void)cJSON_AddItemToObject(j, "macros",
                                cJSON_IsObject(macros) ? macros : cJSON_CreateObject());
    if (!cJSON_IsObject(macros))
        cJSON_Delete(macros);
    json_add_str(j, "mode", "yes");
    (void)cJSON_AddBoolToObject(j, "background", true);
    return j;
}

/* Enters a run of sched, unless one is on. */
static int enter_run(struct scheduler *s, const struct catalog_schedule *sched, struct run **out,
                     struct err *err)
{
    lock_scope(&s->lock);
    if (s->stopping)
        return err_set(err, -ESHUTDOWN, "firnd is stopping");
    if (find_run_locked(s, sched->name) != NULL)
        return err_set(err, -EBUSY, "schedule %s is running", sched->name);
    struct run *run = xzalloc(sizeof(*run));
    run->s = s;
    memcpy(run->name, sched->name, sizeof(run->name));
    memcpy(run->log, sched->log, sizeof(run->log));
    run->args = schedule_run_args(sched);
    run->began_ns = now_ns(s);
    DL_APPEND(s->runs, run);
    *out = run;
    return 0;
}

/* Starts a run of sched on its own thread; *began_ns (may be NULL) gets its time. From the return
 * on the schedule shows it. */
static int start_run(struct scheduler *s, const struct catalog_schedule *sched, int64_t *began_ns,
                     struct err *err)
{
    pthread_t thread;
    struct run *run = NULL;
    int rc = enter_run(s, sched, &run, err);
    if (rc != 0)
        return rc;
    if (began_ns != NULL)
        *began_ns = run->began_ns;
    note(s, run->name, run->began_ns, RESULT_RUNNING);
    rc = pthread_create(&thread, NULL, run_main, run);
    if (rc != 0) {
        note(s, run->name, run->began_ns, "failed: no thread for it");
        drop_run(run);
        return err_sys(err, rc, "thread of schedule %s", sched->name);
    }
    (void)pthread_detach(thread);
    return 0;
}

/* ---- the clock ---- */

/* When sched is to run next: behind its last run (or, before the first, behind its setting). */
static int64_t next_of(const struct catalog_schedule *sched)
{
    struct schedule_when w;
    if (!sched->enabled || sched->when[0] == '\0' || schedule_parse(sched->when, &w, NULL) != 0)
        return -1;
    return schedule_next(&w, sched->last_run_ns / NS_PER_SEC);
}

static bool is_running(struct scheduler *s, const char *name)
{
    lock_scope(&s->lock);
    return find_run_locked(s, name) != NULL;
}

void schedule_tick(struct scheduler *s)
{
    struct err e = {0};
    struct catalog_schedules list = {0};
    int64_t now = now_s(s);
    if (catalog_schedule_list(s->env.catalog, NULL, &list, &e) < 0) {
        log_err("schedules: %s", e.text);
        return;
    }
    for (size_t i = 0; i < list.n; i++) {
        int64_t at = next_of(&list.v[i]);
        if (at < 0 || at > now || is_running(s, list.v[i].name))
            continue;
        if (start_run(s, &list.v[i], NULL, &e) != 0)
            log_warn("%s", e.text);
    }
    catalog_schedules_fini(&list);
}

/* When to look again: the minute behind the one that a look now is about, in which something may be
 * due. Taken before the look, so that neither its length nor a change meanwhile delays the next. */
static struct timespec next_look(const struct scheduler *s)
{
    struct timespec until;
    int64_t to_minute = 60 - now_s(s) % 60;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += to_minute < POLL_S ? to_minute : POLL_S;
    return until;
}

static unsigned changes_of(struct scheduler *s)
{
    lock_scope(&s->lock);
    return s->changes;
}

static void *clock_main(void *arg)
{
    struct scheduler *s = arg;
    for (;;) {
        const struct timespec until = next_look(s);
        const unsigned seen = changes_of(s);
        schedule_tick(s);
        int rc = 0;
        lock_scope(&s->lock);
        while (!s->stopping && s->changes == seen && rc == 0)
            rc = pthread_cond_timedwait(&s->changed, &s->lock, &until);
        if (s->stopping)
            return NULL;
    }
}

/* ---- life ---- */

/* Runs that a crash cut off are called so; they are not run again before their time. */
static int mark_interrupted(struct scheduler *s, struct err *err)
{
    struct catalog_schedules list = {0};
    int rc = catalog_schedule_list(s->env.catalog, NULL, &list, err);
    for (size_t i = 0; rc == 0 && i < list.n; i++)
        if (list.v[i].last_result != NULL && strcmp(list.v[i].last_result, RESULT_RUNNING) == 0)
            note(s, list.v[i].name, list.v[i].last_run_ns, RESULT_INTERRUPTED);
    catalog_schedules_fini(&list);
    return rc < 0 ? rc : 0;
}

static void init_sync(struct scheduler *s)
{
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&s->changed, &attr);
    (void)pthread_condattr_destroy(&attr);
    (void)pthread_mutex_init(&s->lock, NULL);
}

int schedule_start(const struct schedule_env *env, bool tick_by_hand, struct scheduler **out,
                   struct err *err)
{
    struct scheduler *s = xzalloc(sizeof(*s));
    s->env = *env;
    init_sync(s);
    int rc = mark_interrupted(s, err);
    if (rc == 0 && !tick_by_hand) {
        rc = -pthread_create(&s->thread, NULL, clock_main, s);
        if (rc != 0)
            (void)err_sys(err, -rc, "thread of the schedules");
        s->has_thread = rc == 0;
    }
    if (rc != 0) {
        schedule_stop(s);
        return rc;
    }
    *out = s;
    return 0;
}

void schedule_wait_idle(struct scheduler *s)
{
    lock_scope(&s->lock);
    while (s->runs != NULL)
        (void)pthread_cond_wait(&s->changed, &s->lock);
}

void schedule_stop(struct scheduler *s)
{
    if (s == NULL)
        return;
    (void)pthread_mutex_lock(&s->lock);
    s->stopping = true;
    (void)pthread_cond_broadcast(&s->changed);
    (void)pthread_mutex_unlock(&s->lock);
    if (s->has_thread)
        (void)pthread_join(s->thread, NULL);
    schedule_wait_idle(s);
    (void)pthread_cond_destroy(&s->changed);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
}

/* ---- operations ---- */

static void add_time(cJSON *j, const char *name, int64_t ns)
{
    char text[TIMEFMT_MAX] = "";
    if (ns >= 0)
        timefmt_iso_ms(ns, text);
    json_add_str(j, name, text);
}

static cJSON *schedule_json(const struct catalog_schedule *sched)
{
    cJSON *j = cJSON_CreateObject();
    bool ran = sched->last_result != NULL && sched->last_result[0] != '\0';
    json_add_str(j, "name", sched->name);
    json_add_str(j, "when", sched->when);
    json_add_str(j, "target", sched->target);
    json_add_str(j, "file", sched->file);
    cJSON *macros = cJSON_Parse(sched->macros != NULL ? sched->macros : "");
    (void)cJSON_AddItemToObject(j, "macros", macros != NULL ? macros : cJSON_CreateObject());
    (void)cJSON_AddBoolToObject(j, "enabled", sched->enabled);
    (void)cJSON_AddBoolToObject(j, "events", sched->events);
    add_time(j, "last_run", ran ? sched->last_run_ns : -1);
    json_add_str(j, "last_result", ran ? sched->last_result : "");
    int64_t next = next_of(sched);
    add_time(j, "next_run", next < 0 ? -1 : next * NS_PER_SEC);
    json_add_str(j, "log", sched->log);
    return j;
}

int schedule_list(struct scheduler *s, const cJSON *args, cJSON **result, struct err *err)
{
    (void)args;
    struct catalog_schedules list = {0};
    int rc = catalog_schedule_list(s->env.catalog, NULL, &list, err);
    if (rc < 0)
        return rc;
    *result = cJSON_CreateObject();
    cJSON *all = cJSON_AddArrayToObject(*result, "schedules");
    for (size_t i = 0; i < list.n; i++)
        (void)cJSON_AddItemToArray(all, schedule_json(&list.v[i]));
    catalog_schedules_fini(&list);
    return 0;
}

static int absent(const char *name, struct err *err)
{
    return err_set(err, -ENOENT, "there is no schedule %.80s", name);
}

/* Member name of args into out, when it is there. path: it has to be absolute. */
static int take_text(const cJSON *args, const char *name, bool path, char *out, size_t cap,
                     struct err *err)
{
    const char *text = json_str(args, name, NULL);
    if (text == NULL)
        return 0;
    if (strlen(text) >= cap)
        return err_set(err, -EINVAL, "%s is longer than %zu bytes", name, cap - 1);
    if (path && text[0] != '/' && text[0] != '\0')
        return err_set(err, -EINVAL, "%s is no absolute path: %.200s", name, text);
    memcpy(out, text, strlen(text) + 1);
    return 0;
}

static int take_texts(const cJSON *args, struct catalog_schedule *sched, struct err *err)
{
    int rc = take_text(args, "when", false, sched->when, sizeof(sched->when), err);
    if (rc == 0)
        rc = take_text(args, "target", false, sched->target, sizeof(sched->target), err);
    if (rc == 0)
        rc = take_text(args, "file", true, sched->file, sizeof(sched->file), err);
    if (rc == 0)
        rc = take_text(args, "log", true, sched->log, sizeof(sched->log), err);
    if (rc == 0 && (sched->target[0] == '\0' || sched->file[0] == '\0'))
        rc = err_set(err, -EINVAL, "schedule %s needs target and file", sched->name);
    return rc;
}

static int check_name(const char *name, struct err *err)
{
    size_t n = strlen(name);
    if (n >= 1 && n < CATALOG_NAME_MAX && strspn(name, NAME_LETTERS) == n)
        return 0;
    return err_set(err, -EINVAL, "\"%.80s\" is no schedule name: letters, digits and . _ -", name);
}

/* A schedule without events needs a time that comes. */
static int check_when(struct scheduler *s, const struct catalog_schedule *sched, struct err *err)
{
    struct schedule_when w;
    if (sched->events && sched->when[0] == '\0')
        return 0;
    int rc = schedule_parse(sched->when, &w, err);
    if (rc == 0 && schedule_next(&w, now_s(s)) < 0)
        rc = err_set(err, -EINVAL, "\"%s\" never comes", sched->when);
    return rc;
}

/* Changes sched (as it was, or empty) as args say. */
static int take_settings(struct scheduler *s, const cJSON *args, struct catalog_schedule *sched,
                         struct err *err)
{
    const bool was_enabled = sched->enabled;
    char was[CATALOG_TEXT_MAX];
    memcpy(was, sched->when, sizeof(was));
    int rc = take_texts(args, sched, err);
    sched->events = json_bool(args, "events", sched->events);
    if (rc == 0)
        rc = check_when(s, sched, err);
    if (rc != 0)
        return rc;
    sched->enabled = json_bool(args, "enabled", sched->enabled);
    if (strcmp(was, sched->when) != 0 || was_enabled != sched->enabled) {
        sched->last_run_ns = now_s(s) * NS_PER_SEC; /* counts from now; nothing to catch up */
        sched->last_result = "";
    }
    return 0;
}

static void wake(struct scheduler *s)
{
    lock_scope(&s->lock);
    s->changes++;
    (void)pthread_cond_broadcast(&s->changed);
}

static int put_schedule(struct scheduler *s, const cJSON *args, struct catalog_schedule *sched,
                        cJSON **result, struct err *err)
{
    const cJSON *macros = cJSON_GetObjectItemCaseSensitive(args, "macros");
    char *text = cJSON_IsObject(macros) ? cJSON_PrintUnformatted(macros) : NULL;
    if (text != NULL)
        sched->macros = text;
    int rc = take_settings(s, args, sched, err);
    if (rc == 0)
        rc = catalog_schedule_put(s->env.catalog, sched, err);
    cJSON_free(text);
    if (rc < 0)
        return rc;
    int64_t next = next_of(sched);
    *result = cJSON_CreateObject();
    add_time(*result, "next_run", next < 0 ? -1 : next * NS_PER_SEC);
    wake(s);
    return 0;
}

int schedule_set(struct scheduler *s, const cJSON *args, cJSON **result, struct err *err)
{
    const char *name = NULL;
    struct catalog_schedules list = {0};
    struct catalog_schedule fresh = {.enabled = true};
    int rc = json_need_str(args, "name", &name, err);
    if (rc == 0)
        rc = check_name(name, err);
    if (rc == 0)
        rc = catalog_schedule_list(s->env.catalog, name, &list, err);
    if (rc < 0)
        return rc;
    memcpy(fresh.name, name, strlen(name) + 1);
    rc = put_schedule(s, args, list.n == 1 ? &list.v[0] : &fresh, result, err);
    catalog_schedules_fini(&list);
    return rc;
}

int schedule_delete(struct scheduler *s, const cJSON *args, cJSON **result, struct err *err)
{
    (void)result;
    const char *name = NULL;
    int rc = json_need_str(args, "name", &name, err);
    if (rc == 0)
        rc = catalog_schedule_delete(s->env.catalog, name, err);
    return rc == CATALOG_ABSENT ? absent(name, err) : rc;
}

int schedule_run(struct scheduler *s, const cJSON *args, cJSON **result, struct err *err)
{
    const char *name = NULL;
    int64_t began_ns = 0;
    struct catalog_schedules list = {0};
    int rc = json_need_str(args, "name", &name, err);
    if (rc == 0)
        rc = catalog_schedule_list(s->env.catalog, name, &list, err);
    if (rc < 0)
        return rc;
    rc = list.n == 1 ? start_run(s, &list.v[0], &began_ns, err) : absent(name, err);
    catalog_schedules_fini(&list);
    if (rc != 0)
        return rc;
    *result = cJSON_CreateObject();
    add_time(*result, "started", began_ns);
    return 0;
}
