/* SPDX-License-Identifier: Apache-2.0 */
#include "lustre/lanes.h"

#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define BUCKETS 16384

TAILQ_HEAD(turn_list, lane_entry);
LIST_HEAD(entry_list, lane_entry);

/* The waiting entries of one archive id in one lane. */
struct flow {
    uint32_t archive_id;
    struct turn_list entries;
    TAILQ_ENTRY(flow) next;
};
TAILQ_HEAD(flow_list, flow);

/* The actions of one FID in their order; the first is queued or runs, the others are behind. */
struct lane_chain {
    struct lu_fid fid;
    struct turn_list entries;
    LIST_ENTRY(lane_chain) bucket;
};
LIST_HEAD(chain_list, lane_chain);

struct lanes {
    struct lanes_config config;
    struct flow_list flows[LANE_COUNT];
    size_t waiting[LANE_COUNT], running[LANE_COUNT];
    size_t waiting_all, running_all;
    struct entry_list cookies[BUCKETS];
    struct chain_list chains[BUCKETS];
};

static size_t mix(uint64_t v)
{
    v *= 0x9E3779B97F4A7C15ULL;
    return (size_t)(v >> 40) % BUCKETS;
}

static size_t fid_bucket(const struct lu_fid *f)
{
    return mix(f->seq * 31 + f->oid);
}

static bool same_fid(const struct lu_fid *a, const struct lu_fid *b)
{
    return a->seq == b->seq && a->oid == b->oid && a->ver == b->ver;
}

const char *lane_name(enum lane lane)
{
    static const char *const names[LANE_COUNT] = {"reader", "restore", "remove", "archive"};
    return names[lane];
}

struct lanes *lanes_new(const struct lanes_config *config)
{
    struct lanes *l = xzalloc(sizeof(*l));
    l->config = *config;
    for (int i = 0; i < LANE_COUNT; i++)
        TAILQ_INIT(&l->flows[i]);
    return l;
}

void lanes_free(struct lanes *l)
{
    if (l == NULL)
        return;
    for (int i = 0; i < LANE_COUNT; i++) {
        while (!TAILQ_EMPTY(&l->flows[i])) {
            struct flow *f = TAILQ_FIRST(&l->flows[i]);
            TAILQ_REMOVE(&l->flows[i], f, next);
            free(f);
        }
    }
    for (size_t i = 0; i < BUCKETS; i++) {
        while (!LIST_EMPTY(&l->chains[i])) {
            struct lane_chain *c = LIST_FIRST(&l->chains[i]);
            LIST_REMOVE(c, bucket);
            free(c);
        }
    }
    free(l);
}

/* ---- flows: entries that may be taken ---- */

static enum lane lane_of(const struct lane_entry *e)
{
    if (e->action == HSMA_RESTORE)
        return e->blocking ? LANE_READER : LANE_RESTORE;
    return e->action == HSMA_REMOVE ? LANE_REMOVE : LANE_ARCHIVE;
}

static struct flow *flow_get(struct lanes *l, enum lane lane, uint32_t archive_id)
{
    struct flow *f = NULL;
    TAILQ_FOREACH(f, &l->flows[lane], next)
    {
        if (f->archive_id == archive_id)
            return f;
    }
    f = xzalloc(sizeof(*f));
    f->archive_id = archive_id;
    TAILQ_INIT(&f->entries);
    TAILQ_INSERT_TAIL(&l->flows[lane], f, next);
    return f;
}

static void enqueue(struct lanes *l, struct lane_entry *e)
{
    struct flow *f = flow_get(l, e->lane, e->archive_id);
    TAILQ_INSERT_TAIL(&f->entries, e, turn);
    e->state = LANE_QUEUED;
}

static void dequeue(struct lanes *l, struct lane_entry *e)
{
    struct flow *f = flow_get(l, e->lane, e->archive_id);
    TAILQ_REMOVE(&f->entries, e, turn);
    TAILQ_REMOVE(&l->flows[e->lane], f, next);
    if (TAILQ_EMPTY(&f->entries)) /* ids come and go; their lists do not stay */
        free(f);
    else
        TAILQ_INSERT_TAIL(&l->flows[e->lane], f, next); /* the next id's turn */
}

/* ---- chains: the actions of one FID ---- */

static struct lane_chain *chain_find(const struct lanes *l, const struct lu_fid *fid)
{
    struct lane_chain *c = NULL;
    LIST_FOREACH(c, &l->chains[fid_bucket(fid)], bucket)
    {
        if (same_fid(&c->fid, fid))
            return c;
    }
    return NULL;
}

static struct lane_chain *chain_new(struct lanes *l, const struct lu_fid *fid)
{
    struct lane_chain *c = xzalloc(sizeof(*c));
    c->fid = *fid;
    TAILQ_INIT(&c->entries);
    LIST_INSERT_HEAD(&l->chains[fid_bucket(fid)], c, bucket);
    return c;
}

/* Whether the last that is to happen to this FID is that action. */
static bool chain_ends_with(const struct lane_chain *c, uint32_t action)
{
    const struct lane_entry *last = TAILQ_LAST(&c->entries, turn_list);
    return last->action == action && !last->ending; /* what comes after its end is no duplicate */
}

/* Someone waits for this FID now: its restores that wait come forward. */
static void promote(struct lanes *l, struct lane_chain *c)
{
    struct lane_entry *e = NULL;
    TAILQ_FOREACH(e, &c->entries, next)
    {
        if (e->lane != LANE_RESTORE || e->state == LANE_RUNNING)
            continue;
        bool queued = e->state == LANE_QUEUED;
        if (queued)
            dequeue(l, e);
        l->waiting[LANE_RESTORE]--;
        l->waiting[LANE_READER]++;
        e->lane = LANE_READER;
        if (queued)
            enqueue(l, e);
    }
}

/* Takes e, which waits or ran, out of chain and cookie table; the next of its FID may then go. */
static void leave(struct lanes *l, struct lane_entry *e)
{
    struct lane_chain *c = e->chain;
    TAILQ_REMOVE(&c->entries, e, next);
    LIST_REMOVE(e, bucket);
    e->state = LANE_NONE;
    e->chain = NULL;
    struct lane_entry *first = TAILQ_FIRST(&c->entries);
    if (first == NULL) {
        LIST_REMOVE(c, bucket);
        free(c);
    } else if (first->state == LANE_BEHIND) {
        enqueue(l, first);
    }
}

/* ---- the interface ---- */

int lanes_add(struct lanes *l, struct lane_entry *e)
{
    if (lanes_find(l, e->cookie, &e->fid) != NULL)
        return -EEXIST;
    struct lane_chain *c = chain_find(l, &e->fid);
    if (c != NULL && e->action == HSMA_ARCHIVE && chain_ends_with(c, HSMA_ARCHIVE))
        return -EALREADY;
    if (l->waiting_all >= l->config.queue_max)
        return -EBUSY;
    e->lane = lane_of(e);
    if (c != NULL && e->lane == LANE_READER)
        promote(l, c);
    bool first = c == NULL;
    e->late = !first && TAILQ_LAST(&c->entries, turn_list)->ending;
    e->chain = first ? chain_new(l, &e->fid) : c;
    TAILQ_INSERT_TAIL(&e->chain->entries, e, next);
    LIST_INSERT_HEAD(&l->cookies[mix(e->cookie)], e, bucket);
    l->waiting[e->lane]++;
    l->waiting_all++;
    e->state = LANE_BEHIND;
    if (first)
        enqueue(l, e);
    return 0;
}

static bool may_run(const struct lanes *l, enum lane lane)
{
    if (l->running_all >= l->config.workers)
        return false;
    if (lane == LANE_READER)
        return true;
    size_t others = l->running_all - l->running[LANE_READER];
    return l->running[lane] < l->config.limit[lane] &&
           others + l->config.reserve < l->config.workers;
}

/* The lane that the next entry comes from; LANE_COUNT when none may run. */
static int next_lane(const struct lanes *l)
{
    int i = 0;
    while (i < LANE_COUNT && (TAILQ_EMPTY(&l->flows[i]) || !may_run(l, (enum lane)i)))
        i++;
    return i;
}

bool lanes_ready(const struct lanes *l)
{
    return next_lane(l) < LANE_COUNT;
}

struct lane_entry *lanes_take(struct lanes *l)
{
    int i = next_lane(l);
    if (i == LANE_COUNT)
        return NULL;
    struct lane_entry *e = TAILQ_FIRST(&TAILQ_FIRST(&l->flows[i])->entries);
    dequeue(l, e);
    e->state = LANE_RUNNING;
    l->waiting[i]--;
    l->waiting_all--;
    l->running[i]++;
    l->running_all++;
    return e;
}

void lanes_done(struct lanes *l, struct lane_entry *e, bool restored,
                void (*fn)(void *arg, struct lane_entry *e), void *arg)
{
    assert(e->state == LANE_RUNNING);
    l->running[e->lane]--;
    l->running_all--;
    struct lane_entry *next = restored ? TAILQ_NEXT(e, next) : NULL;
    while (next != NULL && next->action == HSMA_RESTORE && !next->late) {
        struct lane_entry *after = TAILQ_NEXT(next, next);
        lanes_remove(l, next);
        fn(arg, next);
        next = after;
    }
    leave(l, e);
}

struct lane_entry *lanes_find(const struct lanes *l, uint64_t cookie, const struct lu_fid *fid)
{
    struct lane_entry *e = NULL;
    LIST_FOREACH(e, &l->cookies[mix(cookie)], bucket)
    {
        if (e->cookie == cookie && same_fid(&e->fid, fid))
            return e;
    }
    return NULL;
}

void lanes_remove(struct lanes *l, struct lane_entry *e)
{
    assert(e->state == LANE_QUEUED || e->state == LANE_BEHIND);
    if (e->state == LANE_QUEUED)
        dequeue(l, e);
    l->waiting[e->lane]--;
    l->waiting_all--;
    leave(l, e);
}

/* One that is behind another; such are rare. */
static struct lane_entry *find_behind(const struct lanes *l)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        struct lane_entry *e = NULL;
        LIST_FOREACH(e, &l->cookies[i], bucket)
        {
            if (e->state == LANE_BEHIND)
                return e;
        }
    }
    return NULL;
}

struct lane_entry *lanes_pop_waiting(struct lanes *l)
{
    struct lane_entry *e = NULL;
    for (int i = 0; e == NULL && i < LANE_COUNT; i++) {
        if (!TAILQ_EMPTY(&l->flows[i]))
            e = TAILQ_FIRST(&TAILQ_FIRST(&l->flows[i])->entries);
    }
    if (e == NULL && l->waiting_all > 0)
        e = find_behind(l);
    if (e != NULL)
        lanes_remove(l, e);
    return e;
}

size_t lanes_waiting(const struct lanes *l, enum lane lane)
{
    return l->waiting[lane];
}

size_t lanes_running(const struct lanes *l, enum lane lane)
{
    return l->running[lane];
}
