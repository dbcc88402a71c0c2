/* SPDX-License-Identifier: Apache-2.0 */
/* The inbox of changed files, and the passes of policies over them. */
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "engine/events_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <utlist.h>

#define PASS_GAP_NS (200 * 1000000LL) /* between passes at once: who comes meanwhile goes along */
#define TICK_NS     (500 * 1000000LL)
#define RETRY_NS    (30 * NS_PER_SEC)
#define MS_NS       1000000LL

/* ---- sets of files ---- */

bool changed_add(struct changed **set, const char *path, int64_t due_ns, int64_t ready_ns)
{
    struct changed *c = NULL;
    HASH_FIND_STR(*set, path, c);
    if (c != NULL) {
        c->due_ns = due_ns < c->due_ns ? due_ns : c->due_ns;
        c->ready_ns = ready_ns;
        return false;
    }
    c = xzalloc(sizeof(*c));
    c->path = xstrdup(path);
    c->due_ns = due_ns;
    c->ready_ns = ready_ns;
    HASH_ADD_KEYPTR(hh, *set, c->path, strlen(c->path), c);
    return true;
}

static void changed_free(struct changed *c)
{
    free(c->path);
    free(c);
}

void changed_clear(struct changed **set)
{
    struct changed *c = *set;
    HASH_CLEAR(hh, *set); /* leaves the files themselves */
    while (c != NULL) {
        struct changed *next = c->hh.next;
        changed_free(c);
        c = next;
    }
}

bool events_push(struct events *ev, const char *path)
{
    lock_scope(&ev->lock);
    while (HASH_COUNT(ev->inbox) >= EVENTS_INBOX_MAX && !ev->stopping)
        (void)pthread_cond_wait(&ev->wake, &ev->lock);
    if (ev->stopping)
        return false;
    (void)changed_add(&ev->inbox, path, 0, 0);
    (void)pthread_cond_broadcast(&ev->wake);
    return true;
}

/* ---- a pass ---- */

struct pass {
    struct events *ev;
    struct installed *policy;
    const char **paths; /* owned */
    size_t n;
    int log_fd;
    int64_t matched, started;
};

static void pass_fini(struct pass *p)
{
    for (size_t i = 0; i < p->n; i++)
        free((char *)(uintptr_t)p->paths[i]);
    free(p->paths);
    if (p->log_fd >= 0)
        (void)close(p->log_fd);
}

static void pass_add(struct pass *p, const char *path)
{
    if ((p->n & (p->n - 1)) == 0) /* powers of two */
        p->paths = xrealloc_array(p->paths, p->n > 0 ? 2 * p->n : 1, sizeof(char *));
    p->paths[p->n++] = xstrdup(path);
}

static void on_line(void *arg, cJSON *event)
{
    struct pass *p = arg;
    if (p->log_fd >= 0 && strcmp(json_str(event, "kind", ""), "line") == 0)
        (void)dprintf(p->log_fd, "%s\n", json_str(event, "text", ""));
    cJSON_Delete(event);
}

/* Keeps path for a gathered pass; what finds no room is looked for later. */
static void keep_locked(struct events *ev, struct installed *p, const char *path, int64_t due_ns,
                        int64_t ready_ns)
{
    if (HASH_COUNT(p->waiting) < EVENTS_WAITING_MAX)
        (void)changed_add(&p->waiting, path, due_ns, ready_ns);
    else
        events_missed_locked(ev, ev->open_ns, time_now_ns() + RETRY_NS);
}

static void on_told(void *arg, const struct policy_pass_told *hit)
{
    struct pass *p = arg;
    struct events *ev = p->ev;
    int64_t due = time_now_ns() + ev->conf->policy.event_window_ms * MS_NS;
    lock_scope(&ev->lock);
    p->matched++;
    events_count_locked(p->policy, hit);
    if (hit->what == POLICY_HIT_LATER)
        keep_locked(ev, p->policy, hit->path, due > hit->ready_ns ? due : hit->ready_ns,
                    hit->ready_ns);
}

void events_note_locked(struct installed *p, size_t n, const struct err *err)
{
    p->last_ns = time_now_ns();
    p->evaluated += (int64_t)n;
    p->error[0] = '\0';
    if (err == NULL)
        return;
    p->error_ns = p->last_ns;
    (void)snprintf(p->error, sizeof(p->error), "%s", err->text);
}

static void open_log(struct pass *p)
{
    p->log_fd = -1;
    if (p->policy->log[0] == '\0')
        return;
    p->log_fd = open(p->policy->log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    if (p->log_fd < 0)
        log_warn("policy %s: log %s: %s", p->policy->name, p->policy->log, strerror(errno));
}

/* Carries out a pass over p->paths; on failure the files wait for a gathered one. */
static void run_pass(struct pass *p, enum policy_pass_kind kind)
{
    struct events *ev = p->ev;
    struct err e = {0};
    open_log(p);
    const struct policy_pass pass = {.kind = kind,
                                     .paths = p->paths,
                                     .n_paths = p->n,
                                     .told = on_told,
                                     .event = on_line,
                                     .arg = p};
    int rc = p->policy->root == NULL
                 ? err_set(&e, -ENOENT, "target %s is no managed file system and lies in none",
                           json_str(p->policy->args, "target", ""))
                 : policy_run_pass(ev->policies, p->policy->args, &pass, &p->started, &e);
    if (rc < 0 && rc != -ESHUTDOWN)
        log_warn("policy %s: %s; %zu changed files wait", p->policy->name, e.text, p->n);
    else if (p->matched > 0)
        log_info("policy %s: %zu changed files, %" PRId64 " hits, %" PRId64 " handed over",
                 p->policy->name, p->n, p->matched, p->started);
    int64_t again = time_now_ns() + RETRY_NS;
    lock_scope(&ev->lock);
    events_note_locked(p->policy, kind == POLICY_PASS_AT_ONCE ? p->n : 0, rc < 0 ? &e : NULL);
    if (rc == 0)
        return;
    p->policy->retry_ns = again;
    for (size_t i = 0; i < p->n; i++)
        keep_locked(ev, p->policy, p->paths[i], again, 0);
}

static bool is_below(const struct installed *p, const char *path)
{
    if (p->root == NULL)
        return true; /* the pass tells what is wrong */
    size_t n = strlen(p->root);
    return strncmp(p->root, path, n) == 0 && (path[n] == '/' || n == 1);
}

/* A pass at once of every policy over the files taken from the inbox. */
static void hold_against_all(struct events *ev, struct changed *files)
{
    struct installed *p = NULL;
    DL_FOREACH (ev->installed, p) {
        struct pass pass = {.ev = ev, .policy = p};
        const struct changed *c = NULL;
        for (c = files; c != NULL; c = c->hh.next)
            if (is_below(p, c->path))
                pass_add(&pass, c->path);
        if (!p->gone && pass.n > 0)
            run_pass(&pass, POLICY_PASS_AT_ONCE);
        else
            pass.log_fd = -1;
        pass_fini(&pass);
    }
}

/* ---- gathered passes ---- */

int events_spawn_locked(struct events *ev, void *(*main)(void *), void *arg)
{
    pthread_t t;
    int rc = pthread_create(&t, NULL, main, arg);
    if (rc != 0)
        return rc;
    (void)pthread_detach(t);
    ev->passes++;
    return 0;
}

void events_pass_done_locked(struct events *ev)
{
    ev->passes--;
    (void)pthread_cond_broadcast(&ev->wake);
}

static void *gathered_main(void *arg)
{
    struct pass *p = arg;
    struct events *ev = p->ev;
    (void)pthread_mutex_lock(&ev->lock); /* who began it fills in the files */
    (void)pthread_mutex_unlock(&ev->lock);
    run_pass(p, POLICY_PASS_GATHERED);
    struct installed *policy = p->policy;
    pass_fini(p);
    free(p);
    lock_scope(&ev->lock);
    policy->busy = false;
    events_pass_done_locked(ev);
    return NULL;
}

static bool is_due(const struct installed *p, int64_t now)
{
    const struct changed *c = NULL;
    if (p->busy || p->gone || p->retry_ns > now)
        return false;
    for (c = p->waiting; c != NULL; c = c->hh.next)
        if (c->due_ns <= now && c->ready_ns <= now)
            return true;
    return false;
}

/* All that are old enough go along. */
static void begin_gathered_locked(struct events *ev, struct installed *p, int64_t now)
{
    struct changed *c = p->waiting;
    struct pass *pass = xzalloc(sizeof(*pass));
    pass->ev = ev;
    pass->policy = p;
    pass->log_fd = -1;
    if (events_spawn_locked(ev, gathered_main, pass) != 0) {
        free(pass);
        p->retry_ns = now + RETRY_NS;
        return;
    }
    p->busy = true;
    HASH_CLEAR(hh, p->waiting);
    while (c != NULL) {
        struct changed *next = c->hh.next;
        if (c->ready_ns > now) {
            HASH_ADD_KEYPTR(hh, p->waiting, c->path, strlen(c->path), c);
        } else {
            pass_add(pass, c->path);
            changed_free(c);
        }
        c = next;
    }
}

/* ---- the thread ---- */

/* Takes the inbox and holds it against the policies. The lock is held before and after. */
static void take_inbox(struct events *ev)
{
    struct changed *files = ev->inbox;
    ev->inbox = NULL;
    ev->in_pass = true;
    (void)pthread_cond_broadcast(&ev->wake); /* who waits for room */
    (void)pthread_mutex_unlock(&ev->lock);
    hold_against_all(ev, files);
    changed_clear(&files);
    (void)pthread_mutex_lock(&ev->lock);
    ev->in_pass = false;
}

static void reload(struct events *ev)
{
    ev->reload = false;
    (void)pthread_mutex_unlock(&ev->lock);
    events_reload(ev);
    (void)pthread_mutex_lock(&ev->lock);
}

static void begin_due_locked(struct events *ev, int64_t now)
{
    struct installed *p = NULL;
    DL_FOREACH (ev->installed, p) {
        if (is_due(p, now))
            begin_gathered_locked(ev, p, now);
    }
}

/* The nearest time at which there is something to do, at most a tick from now. */
static int64_t next_wake_locked(const struct events *ev, int64_t now, int64_t pass_at)
{
    const struct installed *p = NULL;
    int64_t at = now + TICK_NS;
    if (ev->inbox != NULL && pass_at < at)
        at = pass_at;
    for (p = ev->installed; p != NULL; p = p->next) {
        if (p->waiting != NULL && !p->busy && p->waiting->due_ns < at && p->waiting->due_ns > now)
            at = p->waiting->due_ns;
    }
    return at;
}

static void pause_locked(struct events *ev, int64_t until_ns)
{
    struct timespec ts;
    int64_t mono = time_mono_ns() + (until_ns - time_now_ns());
    ts.tv_sec = mono / NS_PER_SEC;
    ts.tv_nsec = mono % NS_PER_SEC;
    (void)pthread_cond_timedwait(&ev->wake, &ev->lock, &ts);
}

static void mark(struct events *ev)
{
    struct err e = {0};
    (void)pthread_mutex_unlock(&ev->lock);
    if (events_mark(ev, false, &e) < 0)
        log_err("policy events: %s", e.text);
    (void)pthread_mutex_lock(&ev->lock);
}

static void *events_main(void *arg)
{
    struct events *ev = arg;
    int64_t pass_at = 0;
    lock_scope(&ev->lock);
    while (!ev->stopping) {
        if (ev->reload)
            reload(ev);
        if (ev->inbox != NULL && time_mono_ns() >= pass_at) {
            take_inbox(ev);
            pass_at = time_mono_ns() + PASS_GAP_NS;
        }
        int64_t now = time_now_ns();
        begin_due_locked(ev, now);
        events_sweep_locked(ev);
        events_gap_tick_locked(ev, now);
        mark(ev);
        if (!ev->stopping && !ev->reload && (ev->inbox == NULL || time_mono_ns() < pass_at))
            pause_locked(ev, next_wake_locked(ev, now, now + pass_at - time_mono_ns()));
    }
    return NULL;
}

/* ---- life ---- */

static void init_sync(struct events *ev)
{
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&ev->wake, &attr);
    (void)pthread_condattr_destroy(&attr);
    (void)pthread_mutex_init(&ev->lock, NULL);
    (void)pthread_mutex_init(&ev->marking, NULL);
}

int events_start(struct policy_runner *policies, struct catalog *catalog, struct events **out,
                 struct err *err)
{
    struct events *ev = xzalloc(sizeof(*ev));
    ev->policies = policies;
    ev->catalog = catalog;
    ev->conf = engine_conf(policy_runner_engine(policies));
    init_sync(ev);
    int rc = events_gap_load(ev, err);
    if (rc == 0) {
        events_reload(ev);
        rc = -pthread_create(&ev->thread, NULL, events_main, ev);
        if (rc != 0)
            (void)err_sys(err, -rc, "thread of the policy events");
    }
    ev->has_thread = rc == 0;
    if (rc != 0) {
        events_stop(ev);
        events_free(ev);
        return rc;
    }
    *out = ev;
    return 0;
}

void events_stop(struct events *ev)
{
    struct err e = {0};
    if (ev == NULL)
        return;
    (void)pthread_mutex_lock(&ev->lock);
    ev->stopping = true;
    (void)pthread_cond_broadcast(&ev->wake);
    (void)pthread_mutex_unlock(&ev->lock);
    if (ev->has_thread)
        (void)pthread_join(ev->thread, NULL);
    ev->has_thread = false;
    (void)pthread_mutex_lock(&ev->lock);
    while (ev->passes > 0)
        (void)pthread_cond_wait(&ev->wake, &ev->lock);
    (void)pthread_mutex_unlock(&ev->lock);
    if (events_mark(ev, true, &e) < 0)
        log_err("policy events: %s", e.text);
}

void events_free(struct events *ev)
{
    if (ev == NULL)
        return;
    changed_clear(&ev->inbox);
    events_rules_fini(ev);
    events_gap_fini(ev);
    free(ev->marked);
    (void)pthread_cond_destroy(&ev->wake);
    (void)pthread_mutex_destroy(&ev->lock);
    (void)pthread_mutex_destroy(&ev->marking);
    free(ev);
}

void events_rules_changed(struct events *ev)
{
    lock_scope(&ev->lock);
    ev->reload = true;
    (void)pthread_cond_broadcast(&ev->wake);
}
