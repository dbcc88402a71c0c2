/* SPDX-License-Identifier: Apache-2.0 */
/* Start and stop of the copytool. */
#include "lustre/copytool.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "lustre/copytool_impl.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#define FORCE_MS   30000 /* between being interrupted and being ended by force */
#define COLLECT_MS 5000  /* for a collection of garbage to end */
#define LEAVE_MS   1000  /* for the reader to come out of a receive that blocks */
#define RESERVE    8     /* one worker in so many is kept for readers */
#define WAKE_UP    SIGUSR2

static void on_wake(int sig)
{
    (void)sig;
}

/* ---- waiting ---- */

static struct timespec after_ms(int ms)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t ns = t.tv_nsec + (int64_t)ms * 1000000;
    t.tv_sec += ns / NS_PER_SEC;
    t.tv_nsec = ns % NS_PER_SEC;
    return t;
}

static void cond_init(pthread_cond_t *c)
{
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(c, &attr);
    (void)pthread_condattr_destroy(&attr);
}

bool copytool_pause(struct copytool *ct, int ms)
{
    const struct timespec until = after_ms(ms);
    lock_scope(&ct->lock);
    int rc = 0;
    while (!ct->quit && rc == 0)
        rc = pthread_cond_timedwait(&ct->quitting, &ct->lock, &until);
    return ct->quit;
}

void copytool_fail(struct copytool *ct, int errnum)
{
    int none = 0;
    if (!atomic_compare_exchange_strong(&ct->failure, &none, errnum))
        return;
    log_err("the copytool cannot go on: %s", strerror(errnum));
    (void)eventfd_write(ct->failure_fd, 1);
}

int copytool_failure_fd(const struct copytool *ct)
{
    return ct->failure_fd;
}

int copytool_failure(const struct copytool *ct)
{
    return atomic_load(&ct->failure);
}

/* ---- start ---- */

static void make_lanes(struct copytool *ct)
{
    const struct copytool_config *c = &ct->config;
    struct lanes_config lc = {.queue_max = c->queue_max, .workers = c->workers};
    lc.limit[LANE_READER] = c->workers;
    lc.limit[LANE_RESTORE] = c->restore_workers;
    lc.limit[LANE_REMOVE] = c->remove_workers;
    lc.limit[LANE_ARCHIVE] = c->archive_workers;
    lc.reserve = c->workers / RESERVE;
    ct->lanes = lanes_new(&lc);
}

static struct copytool *make(const struct copytool_config *config, const struct copytool_ops *ops)
{
    struct copytool *ct = xzalloc(sizeof(*ct));
    ct->config = *config;
    ct->ops = *ops;
    ct->api = config->api;
    (void)pthread_mutex_init(&ct->lock, NULL);
    cond_init(&ct->work);
    cond_init(&ct->to_close);
    cond_init(&ct->quiet);
    cond_init(&ct->joined);
    cond_init(&ct->quitting);
    TAILQ_INIT(&ct->refused);
    TAILQ_INIT(&ct->running);
    TAILQ_INIT(&ct->lost);
    TAILQ_INIT(&ct->retry);
    LIST_INIT(&ct->sessions);
    ct->failure_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ct->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    make_lanes(ct);
    return ct;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        (void)close(fd);
}

static void destroy(struct copytool *ct)
{
    journal_close(ct->journal);
    lanes_free(ct->lanes);
    close_fd(ct->failure_fd);
    close_fd(ct->wake_fd);
    free(ct->workers);
    free(ct);
}

/* What is needed besides threads. */
static int take_hold(struct copytool *ct, struct err *err)
{
    const struct copytool_config *c = &ct->config;
    if (ct->failure_fd < 0 || ct->wake_fd < 0)
        return err_sys(err, EMFILE, "event descriptors");
    auto_free char *name = instance_name(c->fsname, c->mount);
    auto_free char *file = xasprintf("%s.journal", name);
    /* coordinatool ends the process at an end of what it did not hand out: no journal with it. */
    return journal_open(ct->api->coordinatool ? NULL : c->state_dir, file, &ct->journal, err);
}

/* liblustreapi writes the events; its messages come to our log and to the FIFO. */
static void log_library(int level, int errnum, const char *fmt, va_list ap);
static const struct llapi *library; /* for log_library, which gets no argument */

static void log_library(int level, int errnum, const char *fmt, va_list ap)
{
    char text[512];
    va_list again;
    va_copy(again, ap);
    (void)vsnprintf(text, sizeof(text), fmt, again);
    va_end(again);
    text[strcspn(text, "\n")] = '\0';
    if ((level & LLAPI_MSG_NO_ERRNO) != 0 || errnum == 0)
        log_info("liblustreapi: %s", text);
    else
        log_warn("liblustreapi: %s: %s", text, strerror(errnum < 0 ? -errnum : errnum));
    if (library->hsm_log_error != NULL)
        library->hsm_log_error(level, errnum, fmt, ap);
}

static int open_events(struct copytool *ct, struct err *err)
{
    const char *fifo = ct->config.event_fifo;
    if (fifo == NULL || fifo[0] == '\0')
        return 0;
    int rc = ct->api->hsm_register_event_fifo(fifo);
    if (rc < 0)
        return err_sys(err, -rc, "event FIFO %s (absent, or a FIFO of mode 0644, is wanted)", fifo);
    library = ct->api;
    if (ct->api->error_callback_set != NULL)
        (void)ct->api->error_callback_set(log_library);
    return 0;
}

static int spawn(pthread_t *t, void *(*body)(void *), struct copytool *ct)
{
    int rc = pthread_create(t, NULL, body, ct);
    return rc != 0 ? -rc : 0;
}

/* Starts the threads; what could not be started shows as a count. */
static int start_threads(struct copytool *ct, struct err *err)
{
    static void *(*const bodies[])(void *) = {closer_main, heart_main, keeper_main, collector_main,
                                              reader_main};
    int rc = 0;
    ct->workers = xzalloc((size_t)ct->config.workers * sizeof(pthread_t));
    while (rc == 0 && ct->nworkers < ct->config.workers) {
        rc = spawn(&ct->workers[ct->nworkers], worker_main, ct);
        ct->nworkers += rc == 0;
    }
    while (rc == 0 && ct->nthreads < COPYTOOL_THREADS) {
        rc = spawn(&ct->threads[ct->nthreads], bodies[ct->nthreads], ct);
        ct->nthreads += rc == 0;
    }
    return rc != 0 ? err_sys(err, -rc, "threads") : 0;
}

/* Joins the workers and the first n threads. */
static void join_all(struct copytool *ct, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        (void)pthread_join(ct->threads[i], NULL);
    for (unsigned i = 0; i < ct->nworkers; i++)
        (void)pthread_join(ct->workers[i], NULL);
}

static void quit(struct copytool *ct)
{
    lock_scope(&ct->lock);
    ct->quit = true;
    (void)pthread_cond_broadcast(&ct->work);
    (void)pthread_cond_broadcast(&ct->to_close);
    (void)pthread_cond_broadcast(&ct->joined);
    (void)pthread_cond_broadcast(&ct->quitting);
    (void)eventfd_write(ct->wake_fd, 1);
}

/* A signal without effect, so that the reader can be brought out of a receive that blocks. */
static void prepare_wake(void)
{
    struct sigaction sa = {.sa_handler = on_wake};
    (void)sigaction(WAKE_UP, &sa, NULL);
}

int copytool_start(const struct copytool_config *config, const struct copytool_ops *ops,
                   struct copytool **out, struct err *err)
{
    struct copytool *ct = make(config, ops);
    prepare_wake();
    int rc = take_hold(ct, err);
    if (rc == 0)
        rc = open_events(ct, err);
    if (rc == 0)
        rc = session_first(ct, err);
    if (rc == 0) {
        replay(ct);
        rc = start_threads(ct, err);
    }
    if (rc == 0) {
        *out = ct;
        return 0;
    }
    quit(ct);
    join_all(ct, ct->nthreads);
    session_end(ct);
    destroy(ct);
    return rc;
}

void copytool_reregister(struct copytool *ct)
{
    lock_scope(&ct->lock);
    ct->reregister = true;
    (void)eventfd_write(ct->wake_fd, 1);
    if (ct->api->coordinatool && ct->nthreads == COPYTOOL_THREADS)
        (void)pthread_kill(ct->threads[COPYTOOL_THREADS - 1], WAKE_UP);
}

/* ---- stop ---- */

void copytool_drain(struct copytool *ct)
{
    struct lane_entry *e = NULL;
    lock_scope(&ct->lock);
    ct->draining = true;
    while ((e = lanes_pop_waiting(ct->lanes)) != NULL)
        refuse_locked(ct, (struct action *)(void *)e, EINTR);
}

void copytool_interrupt(struct copytool *ct)
{
    struct action *a = NULL;
    lock_scope(&ct->lock);
    ct->leaving = true; /* whoever waits for a registration leaves his action to the journal */
    (void)pthread_cond_broadcast(&ct->joined);
    TAILQ_FOREACH(a, &ct->running, running)
    action_stop(a, STOP_INTERRUPTED);
}

static bool idle_locked(const struct copytool *ct)
{
    return TAILQ_EMPTY(&ct->running) && ct->nrefused == 0 && ct->nclosing == 0;
}

bool copytool_wait(struct copytool *ct, int timeout_ms)
{
    const struct timespec until = after_ms(timeout_ms);
    lock_scope(&ct->lock);
    int rc = 0;
    while (!idle_locked(ct) && rc == 0)
        rc = pthread_cond_timedwait(&ct->quiet, &ct->lock, &until);
    return idle_locked(ct);
}

/* Ends what did not even react to being interrupted: its worker hangs in some call. */
static void force(struct copytool *ct)
{
    for (;;) {
        struct action *a = NULL;
        (void)pthread_mutex_lock(&ct->lock);
        TAILQ_FOREACH(a, &ct->running, running)
        {
            if (!a->forced)
                break;
        }
        if (a != NULL)
            a->forced = true;
        (void)pthread_mutex_unlock(&ct->lock);
        if (a == NULL)
            return;
        struct err e = {0};
        char fid[FID_TEXT_MAX];
        log_err("%s cookie=0x%llx does not stop; it is ended with EINTR",
                fid_text(&a->lane.fid, fid), (unsigned long long)a->lane.cookie);
        (void)action_end(a, EINTR, 0, &e);
    }
}

/* A reader inside a receive that blocks is asked to come out. */
static bool reader_left(struct copytool *ct)
{
    for (int i = 0; i < LEAVE_MS / 100; i++) {
        const struct timespec until = after_ms(100);
        lock_scope(&ct->lock);
        if (!ct->reader_done)
            (void)pthread_kill(ct->threads[COPYTOOL_THREADS - 1], WAKE_UP);
        int rc = 0;
        while (!ct->reader_done && rc == 0)
            rc = pthread_cond_timedwait(&ct->quiet, &ct->lock, &until);
        if (ct->reader_done)
            return true;
    }
    return false;
}

/* A collection of garbage may be long: it is not worth waiting for, the next run goes on. */
static bool collector_left(struct copytool *ct)
{
    const struct timespec until = after_ms(COLLECT_MS);
    lock_scope(&ct->lock);
    int rc = 0;
    while (ct->collecting && rc == 0)
        rc = pthread_cond_timedwait(&ct->quiet, &ct->lock, &until);
    return !ct->collecting;
}

enum copytool_left copytool_stop(struct copytool *ct)
{
    copytool_drain(ct);
    copytool_interrupt(ct);
    bool quiet = copytool_wait(ct, ct->config.force_ms != 0 ? (int)ct->config.force_ms : FORCE_MS);
    if (!quiet)
        force(ct);
    quit(ct);
    bool left = reader_left(ct);
    metrics_write(ct);
    if (!quiet) {
        if (left)
            session_end(ct);
        return COPYTOOL_HANGS;
    }
    if (!collector_left(ct)) {
        if (left)
            session_end(ct);
        return COPYTOOL_COLLECTS;
    }
    join_all(ct, left ? ct->nthreads : ct->nthreads - 1);
    if (!left)
        return COPYTOOL_RECEIVER;
    session_end(ct);
    if (ct->config.event_fifo != NULL && ct->config.event_fifo[0] != '\0')
        (void)ct->api->hsm_unregister_event_fifo(ct->config.event_fifo);
    destroy(ct);
    return COPYTOOL_GONE;
}
