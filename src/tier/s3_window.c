/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of packs at hand: recalls ask for members in the order in which they were put, so who reads
 * forward in a pack reads ahead, and the lanes beside find theirs in memory. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "tier/s3_pack_impl.h"

#include <string.h>

#define RECENT 8 /* objects whose last read is remembered */

struct window {
    char *key; /* NULL: empty */
    uint64_t off;
    size_t len;
    uint8_t *data;  /* S3_WINDOW bytes once used */
    bool busy;      /* being read */
    unsigned users; /* being copied from */
    uint64_t used;  /* when, as a count */
};

struct recent {
    char *key;
    uint64_t off;
};

struct s3_windows {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    struct window v[S3_WINDOWS];
    struct recent recent[RECENT];
    unsigned next; /* of recent, to be overwritten */
    uint64_t clock;
};

struct s3_windows *s3_windows_new(void)
{
    struct s3_windows *w = xzalloc(sizeof(*w));
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_cond_init(&w->moved, NULL);
    return w;
}

void s3_windows_free(struct s3_windows *w)
{
    for (size_t i = 0; i < S3_WINDOWS; i++) {
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

static struct window *find(struct s3_windows *w, const char *key, uint64_t off, size_t n)
{
    for (size_t i = 0; i < S3_WINDOWS; i++) {
        struct window *x = &w->v[i];
        if (x->key != NULL && strcmp(x->key, key) == 0 && off >= x->off &&
            off - x->off + n <= x->len)
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

/* The one that was used longest ago, made ready to be read; NULL when all are in use. */
static struct window *begin(struct s3_windows *w, const char *key, uint64_t off)
{
    struct window *oldest = NULL;
    for (size_t i = 0; i < S3_WINDOWS; i++) {
        struct window *x = &w->v[i];
        if (!x->busy && x->users == 0 && (oldest == NULL || x->used < oldest->used))
            oldest = x;
    }
    if (oldest == NULL)
        return NULL;
    free(oldest->key);
    oldest->key = xstrdup(key);
    oldest->off = off;
    oldest->len = S3_WINDOW;
    oldest->busy = true;
    oldest->used = ++w->clock;
    if (oldest->data == NULL)
        oldest->data = xzalloc(S3_WINDOW);
    return oldest;
}

/* Reads x without the lock. */
static void read_unlocking(struct s3_windows *w, struct window *x, struct s3_lane *l,
                           const char *bucket)
{
    size_t got = 0;
    (void)pthread_mutex_unlock(&w->lock);
    int rc = store_get_some(l->s->store, bucket, x->key, x->off, x->data, x->len, &got, &l->cancel,
                            NULL);
    (void)pthread_mutex_lock(&w->lock);
    x->busy = false;
    x->len = rc == 0 ? got : 0;
    if (rc != 0)
        free(take_ptr(x->key));
    (void)pthread_cond_broadcast(&w->moved);
}

/* The window that holds these bytes, read; NULL: there is none. */
static struct window *obtain_unlocking(struct s3_windows *w, struct s3_lane *l, const char *bucket,
                                       const char *key, uint64_t off, size_t n)
{
    bool forward = goes_forward(w, key, off);
    struct window *x = find(w, key, off, n);
    if (x == NULL && forward) {
        x = begin(w, key, off);
        if (x == NULL)
            return NULL;
        read_unlocking(w, x, l, bucket);
    }
    while (x != NULL && x->busy && !l->cancel.set) {
        (void)pthread_cond_wait(&w->moved, &w->lock);
        x = find(w, key, off, n);
    }
    x = find(w, key, off, n); /* the object may end before, or others may have needed its place */
    return x != NULL && !x->busy ? x : NULL;
}

bool s3_windows_read(struct s3_windows *w, struct s3_lane *l, const char *bucket, const char *key,
                     uint64_t off, size_t n, void *out)
{
    lock_scope(&w->lock);
    struct window *x = obtain_unlocking(w, l, bucket, key, off, n);
    if (x == NULL)
        return false;
    x->users++;
    x->used = ++w->clock;
    (void)pthread_mutex_unlock(&w->lock);
    memcpy(out, x->data + (off - x->off), n);
    (void)pthread_mutex_lock(&w->lock);
    x->users--;
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
