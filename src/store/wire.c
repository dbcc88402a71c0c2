/* SPDX-License-Identifier: Apache-2.0 */
#include "store/wire_impl.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TICK_MS 200 /* how often progress is looked at */

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void curl_begin(void)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* ---- lines ---- */

static void line_free(struct line *l)
{
    if (l->easy != NULL)
        curl_easy_cleanup(l->easy);
    if (l->multi != NULL)
        (void)curl_multi_cleanup(l->multi);
    free(l->place);
    free(l);
}

static struct line *line_new(struct wire *w)
{
    struct line *l = xzalloc(sizeof(*l));
    l->wire = w;
    l->busy = true;
    l->multi = curl_multi_init();
    l->easy = l->multi != NULL ? wire_handle(l) : NULL;
    if (l->easy == NULL) {
        line_free(l);
        return NULL;
    }
    (void)curl_multi_setopt(l->multi, CURLMOPT_MAXCONNECTS, 1L);
    return l;
}

/* Bytes of a URL before its path. */
static size_t place_of(const char *url)
{
    const char *host = strstr(url, "://");
    const char *slash = host != NULL ? strchr(host + 3, '/') : NULL;
    return slash != NULL ? (size_t)(slash - url) : strlen(url);
}

static bool leads_to(const struct line *l, const char *url)
{
    size_t n = place_of(url);
    return l->place != NULL && strncmp(l->place, url, n) == 0 && l->place[n] == '\0';
}

/* An idle line, if there is one with a connection to where url leads, or no room for a new one. */
static struct line *take_idle_locked(struct wire *w, const char *url)
{
    struct line **at = &w->idle;
    while (*at != NULL && !leads_to(*at, url))
        at = &(*at)->next;
    if (*at == NULL && w->nlines == w->config.connections)
        at = &w->idle;
    struct line *l = *at;
    if (l == NULL)
        return NULL;
    *at = l->next;
    l->busy = true;
    return l;
}

static void enqueue_locked(struct wire *w, struct transfer *t)
{
    t->next = NULL;
    *w->waiting_end = t;
    w->waiting_end = &t->next;
}

static void dequeue_locked(struct wire *w, struct transfer *t)
{
    struct transfer **at = &w->waiting;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    if (*at == NULL)
        w->waiting_end = at;
    if (w->waiting != NULL) /* it may be its turn now */
        (void)pthread_cond_broadcast(&w->pause);
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

static void wait_a_tick(struct wire *w)
{
    int64_t at = time_mono_ns() + TICK_MS * (NS_PER_SEC / 1000); /* halt_ns wakes nobody */
    struct timespec until = {.tv_sec = at / NS_PER_SEC, .tv_nsec = at % NS_PER_SEC};
    (void)pthread_cond_timedwait(&w->pause, &w->lock, &until);
}

/* A line for t, in turn. Returns false without one: t was cancelled, or there is no memory. */
static bool take_line(struct wire *w, struct transfer *t)
{
    lock_scope(&w->lock);
    enqueue_locked(w, t);
    while (!cancelled(t)) {
        bool turn = w->waiting == t;
        t->line = turn ? take_idle_locked(w, t->url) : NULL;
        if (turn && t->line == NULL && w->nlines < w->config.connections) {
            t->line = line_new(w);
            if (t->line == NULL)
                break;
            w->lines[w->nlines++] = t->line;
        }
        if (t->line != NULL)
            break;
        wait_a_tick(w);
    }
    dequeue_locked(w, t);
    return t->line != NULL;
}

static void give_line(struct wire *w, struct transfer *t)
{
    struct line *l = take_ptr(t->line);
    if (!leads_to(l, t->url)) {
        free(l->place);
        l->place = xstrndup(t->url, place_of(t->url));
    }
    lock_scope(&w->lock);
    l->busy = false;
    l->next = w->idle;
    w->idle = l;
    if (w->waiting != NULL)
        (void)pthread_cond_broadcast(&w->pause);
}

/* ---- one transfer ---- */

/* Whether curl has come to an end with the line's only handle. */
static bool is_done(struct line *l, CURLcode *result)
{
    int left = 0;
    for (CURLMsg *m = curl_multi_info_read(l->multi, &left); m != NULL;
         m = curl_multi_info_read(l->multi, &left)) {
        if (m->msg != CURLMSG_DONE)
            continue;
        *result = m->data.result;
        return true;
    }
    return false;
}

/* Moves bytes until t ends, is cancelled or stalls. */
static CURLcode drive(struct wire *w, struct transfer *t)
{
    struct line *l = t->line;
    CURLcode result = CURLE_ABORTED_BY_CALLBACK;
    int64_t looked = time_mono_ns();
    for (;;) {
        int running = 0;
        (void)curl_multi_perform(l->multi, &running);
        if (is_done(l, &result))
            return result;
        t->cancelled = cancelled(t);
        int64_t now = time_mono_ns();
        if (now - looked >= TICK_MS * (NS_PER_SEC / 1000)) {
            t->stalled = wire_stalled(&w->config, t, now);
            looked = now;
        }
        if (t->cancelled || t->stalled)
            return result;
        (void)curl_multi_poll(l->multi, NULL, 0, TICK_MS, NULL);
    }
}

static void note_facts(struct transfer *t)
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
}

void wire_run(struct wire *w, struct transfer *t)
{
    t->wire = w;
    t->line = NULL;
    if (!take_line(w, t)) {
        t->cancelled = cancelled(t);
        t->result = t->cancelled ? CURLE_ABORTED_BY_CALLBACK : CURLE_OUT_OF_MEMORY;
        return;
    }
    t->easy = t->line->easy;
    t->result = CURLE_OUT_OF_MEMORY;
    if (wire_prepare(t) == 0 && curl_multi_add_handle(t->line->multi, t->easy) == CURLM_OK) {
        t->result = drive(w, t);
        (void)curl_multi_remove_handle(t->line->multi, t->easy);
        note_facts(t);
    }
    t->easy = NULL;
    give_line(w, t);
    head_end(&t->head);
}

/* ---- the wire ---- */

int wire_open(const struct wire_config *config, struct wire **out, struct err *err)
{
    pthread_condattr_t attr;
    (void)err;
    (void)pthread_once(&curl_once, curl_begin);
    struct wire *w = xzalloc(sizeof(*w));
    w->config = *config;
    w->waiting_end = &w->waiting;
    w->lines = xzalloc(config->connections * sizeof(*w->lines));
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&w->pause, &attr);
    (void)pthread_condattr_destroy(&attr);
    *out = w;
    return 0;
}

void wire_close(struct wire *w)
{
    if (w == NULL)
        return;
    for (size_t i = 0; i < w->nlines; i++)
        line_free(w->lines[i]);
    free(w->lines);
    (void)pthread_cond_destroy(&w->pause);
    (void)pthread_mutex_destroy(&w->lock);
    free(w);
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
    lock_scope(&w->lock);
    (void)pthread_cond_broadcast(&w->pause);
    for (size_t i = 0; i < w->nlines; i++) {
        if (w->lines[i]->busy)
            (void)curl_multi_wakeup(w->lines[i]->multi);
    }
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
