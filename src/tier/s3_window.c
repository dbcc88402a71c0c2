/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of packs at hand: recalls ask for members in the order in which they were put, so who reads
 * forward in a pack reads ahead, and the lanes beside find theirs in memory. From the middle of a
 * part on, the pool reads the next one. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "tier/s3_pack_impl.h"

#include <string.h>

#define RECENT    8 /* objects whose last read is remembered */
#define MAX_AGE_S 5 /* then the store is asked again: it may have lost the pack */

struct window {
    struct s3_job job;
    struct s3_windows *windows;
    char *bucket, *key; /* NULL: empty */
    uint64_t off;
    size_t len;
    uint8_t *data;   /* S3_WINDOW bytes once used */
    bool busy;       /* being read */
    unsigned users;  /* being copied from */
    uint64_t used;   /* when, as a count */
    int64_t read_ns; /* time_mono_ns of its data */
};

struct recent {
    char *key;
    uint64_t off;
};

struct s3_windows {
    struct s3_tier *tier;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    struct window v[S3_WINDOWS];
    struct recent recent[RECENT];
    unsigned next; /* of recent, to be overwritten */
    uint64_t clock;
};

struct s3_windows *s3_windows_new(struct s3_tier *s)
{
    struct s3_windows *w = xzalloc(sizeof(*w));
    w->tier = s;
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_cond_init(&w->moved, NULL);
    return w;
}

void s3_windows_free(struct s3_windows *w)
{
    for (size_t i = 0; i < S3_WINDOWS; i++) {
        free(w->v[i].bucket);
        free(w->v[i].key);
        free(w->v[i].data);
    }
    for (size_t i = 0; i < RECENT; i++)
        free(w->recent[i].key);
    (void)pthread_cond_destroy(&w->moved);
    (void)pthread_mutex_destroy(&w->lock);
    free(w);
}

void s3_windows_wake(struct s3_windows *w)
{
    lock_scope(&w->lock);
    (void)pthread_cond_broadcast(&w->moved);
}

static bool is_fresh(const struct window *x)
{
    return x->busy || time_mono_ns() - x->read_ns < MAX_AGE_S * NS_PER_SEC;
}

/* The window that holds, or will hold, the byte at off. */
static struct window *find(struct s3_windows *w, const char *key, uint64_t off)
{
    for (size_t i = 0; i < S3_WINDOWS; i++) {
        struct window *x = &w->v[i];
        if (x->key != NULL && strcmp(x->key, key) == 0 && off >= x->off && off - x->off < x->len &&
            is_fresh(x))
            return x;
    }
    return NULL;
}

/* Whether a read at off goes on from an earlier one nearby. Remembers it. */
static bool goes_forward(struct s3_windows *w, const char *key, uint64_t off)
{
    struct recent *r = NULL;
    for (size_t i = 0; i < RECENT; i++) {
        if (w->recent[i].key != NULL && strcmp(w->recent[i].key, key) == 0)
            r = &w->recent[i];
    }
    bool near = r != NULL && off > r->off && off - r->off <= S3_WINDOW;
    if (r == NULL) {
        r = &w->recent[w->next++ % RECENT];
        free(r->key);
        r->key = xstrdup(key);
    }
    r->off = off;
    return near;
}

/* The one that was used longest ago, to be read; NULL when all are in use. */
static struct window *begin(struct s3_windows *w, const char *bucket, const char *key, uint64_t off)
{
    struct window *oldest = NULL;
    for (size_t i = 0; i < S3_WINDOWS; i++) {
        struct window *x = &w->v[i];
        if (!x->busy && x->users == 0 && (oldest == NULL || x->used < oldest->used))
            oldest = x;
    }
    if (oldest == NULL)
        return NULL;
    char *copy = xstrdup(key); /* it may be the window's own */
    char *place = xstrdup(bucket);
    free(oldest->key);
    free(oldest->bucket);
    oldest->windows = w;
    oldest->key = copy;
    oldest->bucket = place;
    oldest->off = off;
    oldest->len = S3_WINDOW;
    oldest->busy = true;
    oldest->used = ++w->clock;
    if (oldest->data == NULL)
        oldest->data = xzalloc(S3_WINDOW);
    return oldest;
}

/* Reads x, which is busy, without the lock. */
static void read_unlocking(struct s3_windows *w, struct window *x, struct store_cancel *cancel)
{
    size_t got = 0;
    (void)pthread_mutex_unlock(&w->lock);
    int rc = store_get_some(w->tier->store, x->bucket, x->key, x->off, x->data, S3_WINDOW, &got,
                            cancel, NULL);
    (void)pthread_mutex_lock(&w->lock);
    x->busy = false;
    x->read_ns = time_mono_ns();
    x->len = rc == 0 ? got : 0;
    if (rc != 0)
        free(take_ptr(x->key));
    (void)pthread_cond_broadcast(&w->moved);
}

static void read_in_pool(struct s3_job *job, struct s3_worker *worker)
{
    struct window *x = (struct window *)job; /* its first member */
    struct store_cancel never = {0};
    (void)worker;
    lock_scope(&x->windows->lock);
    read_unlocking(x->windows, x, &never);
}

/* The second half of x is being read: what follows it is next. */
static void read_ahead(struct s3_windows *w, const struct window *x, uint64_t off)
{
    uint64_t end = x->off + x->len;
    if (x->len < S3_WINDOW || end - off > S3_WINDOW / 2 || find(w, x->key, end) != NULL)
        return;
    struct window *next = begin(w, x->bucket, x->key, end);
    if (next == NULL)
        return;
    next->job.run = read_in_pool;
    s3_pool_submit(w->tier->pool, &next->job);
}

/* The window that holds the byte at off, read; NULL: there is none. */
static struct window *obtain_unlocking(struct s3_windows *w, struct s3_lane *l, const char *bucket,
                                       const char *key, uint64_t off, bool forward)
{
    struct window *x = find(w, key, off);
    if (x == NULL && forward) {
        x = begin(w, bucket, key, off);
        if (x == NULL)
            return NULL;
        read_unlocking(w, x, &l->cancel);
        x = find(w, key, off);
    }
    while (x != NULL && x->busy && !l->cancel.set) {
        (void)pthread_cond_wait(&w->moved, &w->lock);
        x = find(w, key, off);
    }
    return x != NULL && !x->busy ? x : NULL;
}

bool s3_windows_read(struct s3_windows *w, struct s3_lane *l, const char *bucket, const char *key,
                     uint64_t off, size_t n, void *out)
{
    uint8_t *to = out;
    lock_scope(&w->lock);
    bool forward = goes_forward(w, key, off);
    while (n > 0) { /* what lies over the end of a window comes in two parts */
        struct window *x = obtain_unlocking(w, l, bucket, key, off, forward);
        if (x == NULL)
            return false;
        size_t at = (size_t)(off - x->off);
        size_t part = n < x->len - at ? n : x->len - at;
        x->users++;
        x->used = ++w->clock;
        read_ahead(w, x, off);
        (void)pthread_mutex_unlock(&w->lock);
        memcpy(to, x->data + at, part);
        (void)pthread_mutex_lock(&w->lock);
        x->users--;
        off += part;
        to += part;
        n -= part;
    }
    return true;
}

void s3_windows_forget(struct s3_windows *w, const char *key)
{
    lock_scope(&w->lock);
    for (size_t i = 0; i < S3_WINDOWS; i++) {
        struct window *x = &w->v[i];
        if (x->key != NULL && !x->busy && strcmp(x->key, key) == 0)
            free(take_ptr(x->key));
    }
}
