/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/changes.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "base/uuid.h"
#include "ctl/client.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#define QUEUE_MAX   65536
#define QUEUE_BYTES (16 << 20)
#define BATCH       1000
#define BEAT_NS     (2 * NS_PER_SEC)
#define GATHER_NS   (5 * 1000000LL) /* requests at the same time go along */
#define RETRY_NS    (500 * 1000000LL)
#define CALL_MS     5000
#define MS_NS       1000000LL

struct change {
    char *path;
    int64_t at_ns;       /* monotonic */
    bool sent;           /* firnd is being told */
    int64_t again_ns;    /* changed while it was; 0: not */
    struct change *next; /* once it is out of the queue */
    UT_hash_handle hh;
};

struct s3_changes {
    struct ctl_pool *pool;
    char id[UUID_TEXT];
    _Atomic bool wanted;
    pthread_mutex_t lock; /* over what follows */
    pthread_cond_t wake;
    struct change *queue; /* in the order they came */
    size_t bytes;
    int64_t dropped_ns; /* when the first that found no room came; 0: none */
    bool stopping;
    bool known; /* firnd has said whether it wants to know */
    bool away;  /* the last call failed */
    pthread_t thread;
};

static void free_list(struct change *e)
{
    while (e != NULL) {
        struct change *next = e->next;
        free(e->path);
        free(e);
        e = next;
    }
}

bool s3_changes_wanted(const struct s3_changes *c)
{
    return c != NULL && atomic_load_explicit(&c->wanted, memory_order_relaxed);
}

static void add_locked(struct s3_changes *c, char *path)
{
    struct change *e = NULL;
    size_t len = strlen(path);
    HASH_FIND(hh, c->queue, path, len, e);
    if (e != NULL && e->sent && e->again_ns == 0)
        e->again_ns = time_mono_ns(); /* firnd may look before this change */
    if (e != NULL)
        return; /* it keeps its place and time */
    if (HASH_COUNT(c->queue) >= QUEUE_MAX || c->bytes + len > QUEUE_BYTES) {
        if (c->dropped_ns == 0)
            c->dropped_ns = time_mono_ns();
        return;
    }
    e = xzalloc(sizeof(*e));
    e->path = xstrdup(path);
    e->at_ns = time_mono_ns();
    c->bytes += len;
    HASH_ADD_KEYPTR(hh, c->queue, e->path, len, e);
    if (HASH_COUNT(c->queue) == 1)
        (void)pthread_cond_signal(&c->wake);
}

void s3_changes_add(struct s3_changes *c, const char *bucket_path, const char *key)
{
    if (!s3_changes_wanted(c))
        return;
    auto_free char *path = xasprintf("%s/%s", bucket_path, key);
    lock_scope(&c->lock);
    add_locked(c, path);
}

/* ---- sending ---- */

static int64_t age_ms(int64_t at_ns)
{
    return at_ns == 0 ? 0 : (time_mono_ns() - at_ns) / MS_NS + 1;
}

/* The first changes as a request; *n of them, *dropped_ns as it tells. */
static cJSON *request(struct s3_changes *c, bool bye, size_t *n, int64_t *dropped_ns)
{
    cJSON *args = cJSON_CreateObject();
    cJSON *paths = cJSON_AddArrayToObject(args, "paths");
    struct change *e = NULL;
    *n = 0;
    json_add_str(args, "gateway", c->id);
    lock_scope(&c->lock);
    for (e = c->queue; e != NULL && *n < BATCH; e = e->hh.next, (*n)++) {
        (void)cJSON_AddItemToArray(paths, cJSON_CreateString(e->path));
        e->sent = true;
    }
    json_add_int(args, "age_ms", c->queue != NULL ? age_ms(c->queue->at_ns) : 0);
    *dropped_ns = c->dropped_ns;
    json_add_int(args, "dropped_ms", age_ms(c->dropped_ns));
    if (bye && HASH_COUNT(c->queue) == *n)
        (void)cJSON_AddBoolToObject(args, "bye", true);
    return args;
}

/* Takes the n first changes, which firnd has, out of the queue; what changed again while firnd was
 * told goes to its end. */
static void forget_locked(struct s3_changes *c, size_t n)
{
    struct change *done = NULL;
    for (; n > 0 && c->queue != NULL; n--) {
        struct change *e = c->queue;
        HASH_DEL(c->queue, e);
        if (e->again_ns != 0) {
            e->at_ns = e->again_ns;
            e->again_ns = 0;
            e->sent = false;
            HASH_ADD_KEYPTR(hh, c->queue, e->path, strlen(e->path), e);
            continue;
        }
        c->bytes -= strlen(e->path);
        LL_PREPEND(done, e);
    }
    free_list(done);
}

static void drop_all_locked(struct s3_changes *c)
{
    struct change *e = NULL;
    struct change *done = NULL;
    for (e = c->queue; e != NULL; e = e->hh.next)
        LL_PREPEND(done, e);
    HASH_CLEAR(hh, c->queue); /* leaves the changes themselves */
    free_list(done);
    c->bytes = 0;
}

static void heard(struct s3_changes *c, const cJSON *answer, int64_t dropped_ns)
{
    bool wanted = json_bool(answer, "events", false);
    if (c->away)
        log_info("firnd takes changes again");
    c->away = false;
    if (c->dropped_ns == dropped_ns)
        c->dropped_ns = 0;
    if (wanted != (c->known && s3_changes_wanted(c)))
        log_info("changes of tags, metadata and class are %s",
                 wanted ? "told to firnd" : "not told");
    c->known = true;
    atomic_store_explicit(&c->wanted, wanted, memory_order_relaxed);
    if (!wanted)
        drop_all_locked(c);
}

/* Sends the first changes. Returns true when firnd has taken them. */
static bool send_some(struct s3_changes *c, bool bye)
{
    struct err err = {0};
    auto_json cJSON *answer = NULL;
    size_t n = 0;
    int64_t dropped_ns = 0;
    cJSON *args = request(c, bye, &n, &dropped_ns);
    int rc = ctl_pool_call(c->pool, "file.changed", args, &answer, NULL, CALL_MS, &err);
    lock_scope(&c->lock);
    if (rc == 0) {
        forget_locked(c, n);
        heard(c, answer, dropped_ns);
        return true;
    }
    if (!c->away && c->known && s3_changes_wanted(c))
        log_warn("%s; changed objects are told later", err.text);
    c->away = true;
    return false;
}

static void wait_locked(struct s3_changes *c, int64_t ns)
{
    struct timespec ts;
    int64_t until = time_mono_ns() + ns;
    ts.tv_sec = until / NS_PER_SEC;
    ts.tv_nsec = until % NS_PER_SEC;
    (void)pthread_cond_timedwait(&c->wake, &c->lock, &ts);
}

/* Waits for changes, at most a heartbeat. Returns true when c is to end. */
static bool rest(struct s3_changes *c, bool ok)
{
    lock_scope(&c->lock);
    if (!ok && !c->stopping)
        wait_locked(c, RETRY_NS);
    else if (c->queue == NULL && !c->stopping)
        wait_locked(c, BEAT_NS);
    else if (HASH_COUNT(c->queue) < BATCH && !c->stopping)
        wait_locked(c, GATHER_NS);
    return c->stopping;
}

static void *sender_main(void *arg)
{
    struct s3_changes *c = arg;
    for (bool ok = send_some(c, false); !rest(c, ok);)
        ok = send_some(c, false);
    while (send_some(c, true)) {
        lock_scope(&c->lock);
        if (c->queue == NULL)
            break;
    }
    return NULL;
}

/* ---- life ---- */

int s3_changes_new(struct ctl_pool *pool, struct s3_changes **out, struct err *err)
{
    struct s3_changes *c = xzalloc(sizeof(*c));
    struct uuid id = uuid_new();
    pthread_condattr_t attr;
    c->pool = pool;
    atomic_init(&c->wanted, true); /* till firnd says; what comes before is not to be lost */
    uuid_format(&id, c->id);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&c->wake, &attr);
    (void)pthread_condattr_destroy(&attr);
    (void)pthread_mutex_init(&c->lock, NULL);
    int rc = pthread_create(&c->thread, NULL, sender_main, c);
    if (rc != 0) {
        (void)pthread_cond_destroy(&c->wake);
        (void)pthread_mutex_destroy(&c->lock);
        free(c);
        return err_sys(err, rc, "thread that tells changes");
    }
    *out = c;
    return 0;
}

void s3_changes_free(struct s3_changes *c)
{
    if (c == NULL)
        return;
    (void)pthread_mutex_lock(&c->lock);
    c->stopping = true;
    (void)pthread_cond_signal(&c->wake);
    (void)pthread_mutex_unlock(&c->lock);
    (void)pthread_join(c->thread, NULL);
    drop_all_locked(c);
    (void)pthread_cond_destroy(&c->wake);
    (void)pthread_mutex_destroy(&c->lock);
    free(c);
}
