/* SPDX-License-Identifier: Apache-2.0 */
/* Decisions of recalls (doc/design/engine.md, "Decisions"). */
#include "engine/pick.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>

void pick_count(struct pick_queue *q, const struct pick_ask *a)
{
    size_t jobs = q->n - q->readers;
    if (a->reader && (q->readers == 0 || a->created_ns < q->reader_ns))
        q->reader_ns = a->created_ns;
    if (!a->reader && (jobs == 0 || a->created_ns < q->job_ns))
        q->job_ns = a->created_ns;
    if (q->n == 0 || a->served < q->least)
        q->least = a->served;
    q->readers += a->reader ? 1 : 0;
    q->n++;
}

static bool is_aged(const struct pick_rules *r, int64_t now_ns, int64_t created_ns)
{
    return now_ns - created_ns >= r->max_age_ns;
}

static bool aged_reader(const struct pick_rules *r, int64_t now_ns, const struct pick_queue *q)
{
    return q->readers > 0 && is_aged(r, now_ns, q->reader_ns);
}

static bool aged_job(const struct pick_rules *r, int64_t now_ns, const struct pick_queue *q)
{
    return q->n > q->readers && is_aged(r, now_ns, q->job_ns);
}

static int64_t oldest(const struct pick_queue *q)
{
    if (q->readers == 0)
        return q->job_ns;
    return q->n > q->readers && q->job_ns < q->reader_ns ? q->job_ns : q->reader_ns;
}

/* ---- which volume ---- */

/* How a volume stands in the choice: less is better, members in the order of their weight. */
struct standing {
    int class;       /* readers, jobs over age, jobs; the first two take turns */
    bool fresh;      /* nothing of the class is over age */
    int64_t aged_ns; /* the oldest that is */
    uint64_t share;  /* what the account got that got least */
    bool away;       /* not in the drive */
    int64_t oldest_ns;
};

static struct standing stand(const struct pick_site *s, size_t d, size_t v)
{
    const struct pick_queue *q = &s->volumes[v].queue;
    bool job = aged_job(&s->rules, s->now_ns, q);
    bool turn = s->drives[d].jobs_turn;
    struct standing x = {.class = 3,
                         .fresh = true,
                         .share = q->least / PICK_SHARE,
                         .away = s->volumes[v].drive != (int)d,
                         .oldest_ns = oldest(q)};
    if (job && turn)
        x.class = 0;
    else if (q->readers > 0)
        x.class = 1;
    else if (job)
        x.class = 2;
    if (x.class == 1 && aged_reader(&s->rules, s->now_ns, q)) {
        x.fresh = false;
        x.aged_ns = q->reader_ns;
    } else if (x.class == 0 || x.class == 2) {
        x.fresh = false;
        x.aged_ns = q->job_ns;
    }
    return x;
}

static bool is_better(const struct standing *a, const struct standing *b)
{
    if (a->class != b->class)
        return a->class < b->class;
    if (a->fresh != b->fresh)
        return b->fresh;
    if (a->aged_ns != b->aged_ns)
        return a->aged_ns < b->aged_ns;
    if (a->share != b->share)
        return a->share < b->share;
    if (a->away != b->away)
        return b->away;
    return a->oldest_ns < b->oldest_ns;
}

/* How little is lost when drive d puts away what it holds: less is better. */
static int burden(const struct pick_site *s, size_t d)
{
    if (!s->drives[d].loaded)
        return 0;
    for (size_t i = 0; i < s->nvolumes; i++) {
        const struct pick_volume *v = &s->volumes[i];
        if (v->drive == (int)d && (v->reserved || (v->usable && v->queue.n > 0)))
            return 2;
    }
    return 1;
}

/* Another idle drive loses less by fetching a volume. It sees the same and takes it, or takes other
 * work and is idle no longer. */
static bool other_drive_fetches(const struct pick_site *s, size_t d)
{
    int mine = burden(s, d);
    for (size_t i = 0; i < s->ndrives; i++) {
        if (i != d && s->drives[i].idle && s->drives[i].recalls && burden(s, i) < mine)
            return true;
    }
    return false;
}

static bool can_take(const struct pick_volume *v, size_t d)
{
    return v->usable && !v->reserved && v->queue.n > 0 && (v->drive < 0 || v->drive == (int)d);
}

/* Until when more requests are waited for. */
static int64_t window_end(const struct pick_site *s, const struct pick_volume *v)
{
    int64_t window =
        s->rules.window_ns < s->rules.max_age_ns ? s->rules.window_ns : s->rules.max_age_ns;
    return v->drive >= 0 ? INT64_MIN : oldest(&v->queue) + window;
}

int pick_volume(const struct pick_site *s, size_t d, int64_t *again_ns)
{
    struct standing best = {0};
    int found = -1;
    *again_ns = INT64_MAX;
    if (!s->drives[d].recalls)
        return -1;
    bool fetches = !other_drive_fetches(s, d);
    for (size_t i = 0; i < s->nvolumes; i++) {
        const struct pick_volume *v = &s->volumes[i];
        if (!can_take(v, d) || (v->drive < 0 && !fetches))
            continue;
        int64_t end = window_end(s, v);
        if (end > s->now_ns) {
            *again_ns = end < *again_ns ? end : *again_ns;
            continue;
        }
        struct standing x = stand(s, d, i);
        if (found < 0 || is_better(&x, &best)) {
            best = x;
            found = (int)i;
        }
    }
    assert(found < 0 || !s->volumes[found].reserved);
    return found;
}

static bool any_idle(const struct pick_site *s, size_t besides)
{
    for (size_t i = 0; i < s->ndrives; i++) {
        if (i != besides && s->drives[i].idle && s->drives[i].recalls)
            return true;
    }
    return false;
}

/* Whether a stay gave enough for a mount, when what comes first elsewhere is of class. */
static bool step_is_over(const struct pick_site *s, const struct pick_stay *stay, bool for_reader)
{
    int64_t ns = s->now_ns - stay->since_ns;
    if (for_reader)
        return stay->files >= PICK_READER_STEP ||
               (stay->files > 0 && (ns >= PICK_READER_STEP_NS || ns >= s->rules.max_age_ns));
    return stay->files >= PICK_ROUND || (stay->files > 0 && ns >= s->rules.max_age_ns);
}

bool pick_leaves(const struct pick_site *s, size_t d, size_t v, const struct pick_stay *stay)
{
    const struct pick_queue *own = &s->volumes[v].queue;
    struct standing here = stand(s, d, v);
    if (any_idle(s, d))
        return false;
    for (size_t i = 0; i < s->nvolumes; i++) {
        const struct pick_volume *o = &s->volumes[i];
        if (i == v || !can_take(o, d) || window_end(s, o) > s->now_ns)
            continue;
        struct standing x = stand(s, d, i);
        if (is_better(&x, &here) &&
            step_is_over(s, stay, o->queue.readers > 0 && own->readers == 0))
            return true;
    }
    return false;
}

/* ---- in which order ---- */

bool pick_replans(const struct pick_rules *rules, int64_t now_ns, const struct pick_stay *stay,
                  const struct pick_queue *q, bool changed)
{
    if (stay->pos >= stay->n)
        return true;
    if (stay->round)
        return !stay->readers && q->readers > 0 && stay->pos > 0;
    return changed || aged_reader(rules, now_ns, q) || aged_job(rules, now_ns, q);
}

struct pick {
    uint32_t index;
    const struct pick_ask *ask;
};

static int by_age(const void *a, const void *b)
{
    const struct pick *x = a;
    const struct pick *y = b;
    if (x->ask->created_ns != y->ask->created_ns)
        return x->ask->created_ns < y->ask->created_ns ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static int by_account(const void *a, const void *b)
{
    const struct pick *x = a;
    const struct pick *y = b;
    if (x->ask->account != y->ask->account)
        return x->ask->account < y->ask->account ? -1 : 1;
    return by_age(a, b);
}

/* Keeps of each account as many, oldest first, as bring it PICK_SHARE ahead of the one that got
 * least; all when there is one account. Returns how many are left. */
static size_t share(struct pick *p, size_t n)
{
    uint64_t least = UINT64_MAX;
    bool many = false;
    size_t kept = 0;
    size_t of_account = 0;
    for (size_t i = 0; i < n; i++) {
        least = p[i].ask->served < least ? p[i].ask->served : least;
        many = many || p[i].ask->account != p[0].ask->account;
    }
    if (!many)
        return n;
    qsort(p, n, sizeof(*p), by_account);
    for (size_t i = 0; i < n; i++) {
        of_account = i > 0 && p[i].ask->account == p[i - 1].ask->account ? of_account + 1 : 0;
        if (p[i].ask->served + of_account < least + PICK_SHARE)
            p[kept++] = p[i];
    }
    return kept;
}

void pick_plan(const struct pick_rules *rules, int64_t now_ns, const struct pick_ask *asks,
               size_t n, bool jobs_turn, const struct order_geometry *g, uint64_t head,
               uint32_t *out, struct pick_stay *stay)
{
    struct pick_queue q = {0};
    auto_free struct pick *p = xzalloc((n + 1) * sizeof(*p));
    auto_free struct order_stop *stops = xzalloc((n + 1) * sizeof(*stops));
    auto_free uint32_t *order = xzalloc((n + 1) * sizeof(*order));
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        pick_count(&q, &asks[i]);
    bool job = aged_job(rules, now_ns, &q);
    stay->round = job || aged_reader(rules, now_ns, &q);
    stay->readers = q.readers > 0 && !(job && jobs_turn);
    for (size_t i = 0; i < n; i++) {
        if (asks[i].reader == stay->readers)
            p[k++] = (struct pick){.index = (uint32_t)i, .ask = &asks[i]};
    }
    if (stay->round) {
        qsort(p, k, sizeof(*p), by_age);
        k = k < PICK_ROUND ? k : PICK_ROUND;
    } else {
        k = share(p, k);
    }
    for (size_t i = 0; i < k; i++)
        stops[i] = p[i].ask->stop;
    (void)order_recalls(g, stops, k, head, order);
    for (size_t i = 0; i < k; i++)
        out[i] = p[order[i]].index;
    stay->n = k;
    stay->pos = 0;
}

/* ---- why ---- */

enum pick_reason pick_why(const struct pick_site *s, size_t v, bool recalling)
{
    const struct pick_volume *o = &s->volumes[v];
    if (!o->usable)
        return PICK_UNUSABLE;
    if (o->reserved)
        return recalling ? PICK_RUNS : PICK_USED;
    if (window_end(s, o) > s->now_ns)
        return PICK_WINDOW;
    for (size_t i = 0; i < s->ndrives; i++) {
        if (s->drives[i].idle && s->drives[i].recalls && (o->drive < 0 || o->drive == (int)i))
            return PICK_STARTS;
    }
    return PICK_DRIVE;
}

int pick_rank(const struct pick_copy *c)
{
    int score = 0;
    if (!c->readable)
        return -1;
    if (c->store && !c->up)
        return 0; /* it waits there, when no other copy can be read */
    if (c->healthy)
        score += 8;
    if (c->store)
        score += 5; /* nothing to mount */
    else if (c->mounted)
        score += c->reserved ? 3 : 4;
    if (c->queued)
        score += 2;
    return score * 8 + (c->copy_no > 7 ? 0 : 7 - c->copy_no);
}
