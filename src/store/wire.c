/* SPDX-License-Identifier: Apache-2.0 */
#include "store/wire_impl.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TICK_MS  200   /* how often progress is looked at */
#define SLEEP_MS 60000 /* with nothing to do; a wake-up ends it */

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void curl_begin(void)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void give_easy(struct wire *w, CURL *easy)
{
    {
        lock_scope(&w->lock);
        if (w->nidle < w->config.connections) {
            w->idle[w->nidle++] = easy;
            return;
        }
    }
    curl_easy_cleanup(easy);
}

static CURL *take_easy(struct wire *w)
{
    {
        lock_scope(&w->lock);
        if (w->nidle > 0)
            return w->idle[--w->nidle];
    }
    return wire_handle(w);
}

/* Ends t: its handle goes back, its caller wakes. */
static void finish(struct wire *w, struct transfer *t, CURLcode result)
{
    curl_off_t up = 0, down = 0;
    long connects = 0, head = 0;
    (void)curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &up);
    (void)curl_easy_getinfo(t->easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
    (void)curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &connects);
    (void)curl_easy_getinfo(t->easy, CURLINFO_HEADER_SIZE, &head);
    t->up = (uint64_t)up;
    t->down = (uint64_t)(down + head);
    t->connected = connects > 0;
    t->result = result;
    give_easy(w, take_ptr(t->easy));
    (void)sem_post(&t->ended); /* from here on t is its caller's */
}

static void drop(struct wire *w, struct transfer **at, CURLcode result)
{
    struct transfer *t = *at;
    *at = t->next;
    w->nactive--;
    (void)curl_multi_remove_handle(w->multi, t->easy);
    finish(w, t, result);
}

/* Ends what was cancelled before it began. The list w->waiting is only read under the lock. */
static struct transfer *next_waiting(struct wire *w)
{
    lock_scope(&w->lock);
    struct transfer *t = w->waiting;
    if (t == NULL)
        return NULL;
    w->waiting = t->next;
    if (w->waiting == NULL)
        w->waiting_end = &w->waiting;
    return t;
}

bool wire_halted(const struct wire *w)
{
    int64_t at = w->config.halt_ns != NULL ? atomic_load(w->config.halt_ns) : 0;
    return atomic_load(&w->halted) || (at != 0 && time_mono_ns() >= at);
}

static bool cancelled(const struct transfer *t)
{
    return wire_halted(t->wire) || (t->cancel != NULL && atomic_load(&t->cancel->set));
}

/* Takes cancelled transfers out of those that wait for a connection. */
static struct transfer *take_cancelled(struct wire *w)
{
    lock_scope(&w->lock);
    for (struct transfer **at = &w->waiting; *at != NULL; at = &(*at)->next) {
        struct transfer *t = *at;
        if (!cancelled(t))
            continue;
        *at = t->next;
        if (*at == NULL)
            w->waiting_end = at;
        return t;
    }
    return NULL;
}

static void begin(struct wire *w)
{
    for (struct transfer *t = take_cancelled(w); t != NULL; t = take_cancelled(w)) {
        t->cancelled = true;
        finish(w, t, CURLE_ABORTED_BY_CALLBACK);
    }
    while (w->nactive < w->config.connections) {
        struct transfer *t = next_waiting(w);
        if (t == NULL)
            return;
        if (curl_multi_add_handle(w->multi, t->easy) != CURLM_OK) {
            finish(w, t, CURLE_OUT_OF_MEMORY);
            continue;
        }
        t->next = w->active;
        w->active = t;
        w->nactive++;
    }
}

/* Ends those that were cancelled or move no more. */
static void watch(struct wire *w)
{
    int64_t now = time_mono_ns();
    for (struct transfer **at = &w->active; *at != NULL;) {
        struct transfer *t = *at;
        if (cancelled(t))
            t->cancelled = true;
        else if (wire_stalled(&w->config, t, now))
            t->stalled = true;
        if (t->cancelled || t->stalled)
            drop(w, at, CURLE_ABORTED_BY_CALLBACK);
        else
            at = &t->next;
    }
}

static void collect(struct wire *w)
{
    int left = 0;
    for (CURLMsg *m = curl_multi_info_read(w->multi, &left); m != NULL;
         m = curl_multi_info_read(w->multi, &left)) {
        if (m->msg != CURLMSG_DONE)
            continue;
        CURL *easy = m->easy_handle;
        CURLcode result = m->data.result; /* m dies with the handle's removal */
        struct transfer **at = &w->active;
        while (*at != NULL && (*at)->easy != easy)
            at = &(*at)->next;
        if (*at != NULL)
            drop(w, at, result);
    }
}

/* At the begin of a round: what comes from here on is seen by it. */
static bool stopping(struct wire *w)
{
    lock_scope(&w->lock);
    w->asleep = false;
    return w->stop;
}

static void *run(void *arg)
{
    struct wire *w = arg;
    int64_t looked = 0;
    while (!stopping(w)) {
        begin(w);
        int running = 0;
        (void)curl_multi_perform(w->multi, &running);
        collect(w);
        int64_t now = time_mono_ns();
        if (now - looked >= TICK_MS * (NS_PER_SEC / 1000) || atomic_exchange(&w->woken, false)) {
            watch(w);
            looked = now;
        }
        bool more = false;
        {
            lock_scope(&w->lock);
            bool room = w->nactive < w->config.connections;
            more = w->waiting != NULL && room;
            w->asleep = !more && room;
        }
        if (!more)
            (void)curl_multi_poll(w->multi, NULL, 0, w->nactive > 0 ? TICK_MS : SLEEP_MS, NULL);
    }
    return NULL;
}

int wire_open(const struct wire_config *config, struct wire **out, struct err *err)
{
    (void)pthread_once(&curl_once, curl_begin);
    struct wire *w = xzalloc(sizeof(*w));
    w->config = *config;
    w->waiting_end = &w->waiting;
    w->idle = xzalloc(config->connections * sizeof(CURL *));
    w->sockets = xzalloc(WIRE_SOCKETS(config) * sizeof(*w->sockets));
    w->nsockets = 0;
    (void)pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&w->pause, &attr);
    (void)pthread_condattr_destroy(&attr);
    w->multi = curl_multi_init();
    int rc = w->multi == NULL ? ENOMEM : 0;
    if (rc == 0) {
        (void)curl_multi_setopt(w->multi, CURLMOPT_MAXCONNECTS, (long)config->connections);
        (void)curl_multi_setopt(w->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS,
                                (long)config->connections);
        rc = pthread_create(&w->thread, NULL, run, w);
        w->started = rc == 0;
    }
    if (rc != 0) {
        wire_close(w);
        return err_sys(err, rc, "thread of the store");
    }
    *out = w;
    return 0;
}

void wire_close(struct wire *w)
{
    if (w == NULL)
        return;
    if (w->started) {
        {
            lock_scope(&w->lock);
            w->stop = true;
        }
        (void)curl_multi_wakeup(w->multi);
        (void)pthread_join(w->thread, NULL);
    }
    for (size_t i = 0; i < w->nidle; i++)
        curl_easy_cleanup(w->idle[i]);
    if (w->multi != NULL)
        (void)curl_multi_cleanup(w->multi);
    free(w->idle);
    free(w->sockets);
    (void)pthread_cond_destroy(&w->pause);
    (void)pthread_mutex_destroy(&w->lock);
    free(w);
}

void wire_run(struct wire *w, struct transfer *t)
{
    t->wire = w;
    t->easy = take_easy(w);
    if (t->easy == NULL || wire_prepare(t) < 0) {
        if (t->easy != NULL)
            curl_easy_cleanup(take_ptr(t->easy));
        t->result = CURLE_OUT_OF_MEMORY;
        return;
    }
    bool wake = false;
    (void)sem_init(&t->ended, 0, 0);
    {
        lock_scope(&w->lock);
        t->next = NULL;
        *w->waiting_end = t;
        w->waiting_end = &t->next;
        wake = w->asleep;
        w->asleep = false; /* one wake-up is enough for all that come until then */
    }
    if (wake)
        (void)curl_multi_wakeup(w->multi);
    while (sem_wait(&t->ended) < 0) { /* EINTR */
    }
    (void)sem_destroy(&t->ended);
    head_end(&t->head);
}

static bool is_over(const struct wire *w, const struct store_cancel *c)
{
    return wire_halted(w) || (c != NULL && atomic_load(&c->set));
}

bool wire_pause(struct wire *w, struct store_cancel *c, int64_t ms)
{
    int64_t end = time_mono_ns() + ms * (NS_PER_SEC / 1000);
    lock_scope(&w->lock);
    for (int64_t now = time_mono_ns(); now < end && !is_over(w, c); now = time_mono_ns()) {
        /* config.halt_ns wakes nobody */
        int64_t at =
            end - now < TICK_MS * (NS_PER_SEC / 1000) ? end : now + TICK_MS * (NS_PER_SEC / 1000);
        struct timespec until = {.tv_sec = at / NS_PER_SEC, .tv_nsec = at % NS_PER_SEC};
        (void)pthread_cond_timedwait(&w->pause, &w->lock, &until);
    }
    return is_over(w, c);
}

void wire_halt(struct wire *w)
{
    atomic_store(&w->halted, true);
    wire_wake(w);
}

void wire_wake(struct wire *w)
{
    {
        lock_scope(&w->lock);
        (void)pthread_cond_broadcast(&w->pause);
    }
    atomic_store(&w->woken, true);
    (void)curl_multi_wakeup(w->multi);
}

void transfer_reset(struct transfer *t)
{
    head_fini(&t->head);
    memset(&t->head, 0, sizeof(t->head));
    head_reset(&t->head);
    buf_fini(&t->doc);
    t->text[0] = '\0';
    t->result = CURLE_OK;
    t->got = t->sent = 0;
    t->overflow = t->stalled = t->cancelled = t->connected = false;
    t->up = t->down = t->moved = t->window_moved = 0;
    t->moved_ns = t->window_ns = 0;
    t->fd = -1;
    t->watched = false;
}

void transfer_fini(struct transfer *t)
{
    head_fini(&t->head);
    buf_fini(&t->doc);
}
