/* SPDX-License-Identifier: Apache-2.0 */
#include "simqueue.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum work { IDLE, MOUNTING, READING };

struct waiting {
    size_t request, copy;
    bool tried[SIM_COPIES];
};

struct vol {
    struct waiting *queue;
    size_t n, room;
    bool usable, reserved, changed;
    int drive;
};

struct dr {
    enum work work;
    int64_t until_ns;
    int volume;
    int going; /* to be mounted */
    uint64_t head;
    bool jobs_turn;
    struct pick_stay stay;
    struct waiting *plan;
    struct waiting now;
    double last[PICK_ROUND]; /* seconds of the last requests of the stay */
    double step;             /* their sum */
};

struct sim {
    const struct sim_spec *spec;
    struct sim_request *q;
    size_t n;
    int64_t now_ns, again_ns;
    struct order_geometry g;
    struct vol *vols;
    struct dr *drs;
    uint64_t *served;
    size_t *charged;
    struct pick_volume *pv;
    struct pick_drive *pd;
    struct sim_result *r;
};

uint64_t sim_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

static void must(const struct sim *s, bool ok, const char *what)
{
    if (ok)
        return;
    (void)printf("# seed %llu, at %.1f s: %s\n", (unsigned long long)s->spec->seed,
                 (double)s->now_ns / SIM_NS, what);
    (void)fflush(stdout);
    abort();
}

struct order_geometry sim_geometry(const struct sim_spec *spec)
{
    struct order_geometry g;
    if (order_geometry_init(&g, spec->media, spec->capacity, SIM_BLOCK, spec->capacity / SIM_BLOCK,
                            NULL) != 0)
        abort();
    return g;
}

double sim_mount_seconds(const struct sim_spec *spec)
{
    struct order_geometry g = sim_geometry(spec);
    return spec->rewind_s + g.unload_s + 2 * g.robot_s + g.load_s;
}

/* ---- what the decisions see ---- */

static struct pick_ask ask_of(const struct sim *s, const struct waiting *w)
{
    const struct sim_request *q = &s->q[w->request];
    return (struct pick_ask){.created_ns = q->arrive_ns,
                             .reader = q->reader,
                             .account = q->account + 1,
                             .served = s->served[q->account],
                             .stop = q->copies[w->copy].stop};
}

static struct pick_queue queue_of(const struct sim *s, const struct vol *v)
{
    struct pick_queue q = {0};
    for (size_t i = 0; i < v->n; i++) {
        struct pick_ask a = ask_of(s, &v->queue[i]);
        pick_count(&q, &a);
    }
    return q;
}

static struct pick_rules rules_of(const struct sim *s)
{
    return (struct pick_rules){.max_age_ns = (int64_t)(s->spec->max_age_s * SIM_NS),
                               .window_ns = (int64_t)(s->spec->window_s * SIM_NS)};
}

static struct pick_site site_of(struct sim *s)
{
    for (size_t i = 0; i < s->spec->volumes; i++) {
        const struct vol *v = &s->vols[i];
        s->pv[i] = (struct pick_volume){.queue = queue_of(s, v),
                                        .usable = v->usable,
                                        .reserved = v->reserved,
                                        .drive = v->drive};
    }
    for (size_t i = 0; i < s->spec->drives; i++)
        s->pd[i] = (struct pick_drive){.idle = s->drs[i].work == IDLE,
                                       .recalls = true,
                                       .loaded = s->drs[i].volume >= 0,
                                       .jobs_turn = s->drs[i].jobs_turn};
    return (struct pick_site){.rules = rules_of(s),
                              .now_ns = s->now_ns,
                              .volumes = s->pv,
                              .nvolumes = s->spec->volumes,
                              .drives = s->pd,
                              .ndrives = s->spec->drives};
}

/* ---- requests ---- */

static void end_request(struct sim *s, const struct waiting *w, bool failed)
{
    struct sim_request *q = &s->q[w->request];
    must(s, q->ends == 0, "a request ended twice");
    q->ends++;
    q->failed = failed;
    q->end_ns = s->now_ns;
    s->charged[q->account]--;
    s->r->ended++;
    s->r->failed += failed ? 1 : 0;
}

/* Puts w into the queue of its best copy, or ends it. */
static void route(struct sim *s, struct waiting w)
{
    const struct sim_request *q = &s->q[w.request];
    int best = -1;
    for (size_t i = 0; i < q->ncopies; i++) {
        const struct vol *v = &s->vols[q->copies[i].volume];
        const struct pick_copy c = {.readable = v->usable && !w.tried[i],
                                    .healthy = true,
                                    .mounted = v->drive >= 0,
                                    .reserved = v->reserved,
                                    .queued = v->n > 0,
                                    .copy_no = (int)i + 1};
        int k = pick_rank(&c);
        if (k > best) {
            best = k;
            w.copy = i;
        }
    }
    if (best < 0) {
        end_request(s, &w, true);
        return;
    }
    struct vol *v = &s->vols[q->copies[w.copy].volume];
    if (v->n == v->room) {
        v->room = v->room == 0 ? 16 : 2 * v->room;
        v->queue = xrealloc_array(v->queue, v->room, sizeof(*v->queue));
    }
    v->queue[v->n++] = w;
    v->changed = true;
    s->r->peak = v->n > s->r->peak ? v->n : s->r->peak;
}

static void arrive(struct sim *s, size_t i)
{
    size_t a = s->q[i].account;
    if (s->charged[a]++ == 0) { /* as the engine does when an account comes into memory */
        uint64_t least = UINT64_MAX;
        for (size_t k = 0; k < s->spec->accounts; k++) {
            if (k != a && s->charged[k] > 0 && s->served[k] < least)
                least = s->served[k];
        }
        s->served[a] = least == UINT64_MAX ? 0 : least;
    }
    route(s, (struct waiting){.request = i});
}

static void remove_waiting(struct sim *s, struct vol *v, size_t request)
{
    size_t i = 0;
    while (i < v->n && v->queue[i].request != request)
        i++;
    must(s, i < v->n, "a planned request does not wait any more");
    for (v->n--; i < v->n; i++)
        v->queue[i] = v->queue[i + 1];
}

/* ---- drives ---- */

static void plan(struct sim *s, struct dr *d, struct vol *v)
{
    const struct pick_rules rules = rules_of(s);
    struct pick_ask *asks = xzalloc((v->n + 1) * sizeof(*asks));
    uint32_t *out = xzalloc((v->n + 1) * sizeof(*out));
    for (size_t i = 0; i < v->n; i++)
        asks[i] = ask_of(s, &v->queue[i]);
    pick_plan(&rules, s->now_ns, asks, v->n, d->jobs_turn, &s->g, d->head, out, &d->stay);
    must(s, d->stay.n > 0 && d->stay.n <= v->n, "a plan without stops, or with too many");
    d->plan = xrealloc_array(d->plan, d->stay.n, sizeof(*d->plan));
    for (size_t i = 0; i < d->stay.n; i++)
        d->plan[i] = v->queue[out[i]];
    free(asks);
    free(out);
    v->changed = false;
}

static void note_wait(struct sim *s, struct sim_request *q)
{
    double waited = (double)(s->now_ns - q->arrive_ns) / SIM_NS;
    double *longest = q->reader ? &s->r->longest_reader : &s->r->longest_job;
    q->begun_ns = s->now_ns;
    *longest = waited > *longest ? waited : *longest;
}

static void note_service(struct sim *s, struct dr *d, double service)
{
    double *place = &d->last[d->stay.files % PICK_ROUND];
    d->step += service - *place;
    *place = service;
    s->r->longest_step = d->step > s->r->longest_step ? d->step : s->r->longest_step;
    s->r->longest_service = service > s->r->longest_service ? service : s->r->longest_service;
}

static void read_next(struct sim *s, struct dr *d, struct vol *v)
{
    d->now = d->plan[d->stay.pos++];
    struct sim_request *q = &s->q[d->now.request];
    const struct order_stop *stop = &q->copies[d->now.copy].stop;
    remove_waiting(s, v, d->now.request);
    note_wait(s, q);
    double locate = order_cost(&s->g, d->head, stop->block);
    double service = locate + order_stream(&s->g, stop->blocks, SIM_BLOCK);
    s->r->locate += locate;
    note_service(s, d, service);
    s->served[q->account]++;
    d->head = stop->block + stop->blocks;
    d->jobs_turn = q->reader;
    d->stay.files++;
    d->work = READING;
    d->until_ns = s->now_ns + (int64_t)(service * SIM_NS);
}

/* One decision of a drive on a mounted volume. */
static void stay_on(struct sim *s, size_t k)
{
    struct dr *d = &s->drs[k];
    struct vol *v = &s->vols[d->volume];
    const struct pick_site site = site_of(s);
    const struct pick_rules rules = rules_of(s);
    if (v->n == 0 || pick_leaves(&site, k, (size_t)d->volume, &d->stay)) {
        v->reserved = false;
        d->work = IDLE;
        return;
    }
    const struct pick_queue q = queue_of(s, v);
    if (pick_replans(&rules, s->now_ns, &d->stay, &q, v->changed))
        plan(s, d, v);
    read_next(s, d, v);
}

static void begin_stay(struct sim *s, size_t k)
{
    struct dr *d = &s->drs[k];
    d->stay = (struct pick_stay){.since_ns = s->now_ns};
    memset(d->last, 0, sizeof(d->last));
    d->step = 0;
    stay_on(s, k);
}

static void take(struct sim *s, size_t k, int volume)
{
    struct dr *d = &s->drs[k];
    struct vol *v = &s->vols[volume];
    must(s, !v->reserved, "a volume in use was taken");
    must(s, v->usable, "a volume that cannot be read was taken");
    must(s, v->n > 0, "a volume was taken that nothing waits for");
    v->reserved = true;
    if (d->volume == volume) {
        begin_stay(s, k);
        return;
    }
    must(s, v->drive < 0, "a volume was taken out of another drive");
    if (d->volume >= 0) {
        must(s, !s->vols[d->volume].reserved, "a volume in use was unloaded");
        s->vols[d->volume].drive = -1;
    }
    v->drive = (int)k;
    d->volume = volume;
    d->head = 0;
    d->work = MOUNTING;
    d->until_ns = s->now_ns + (int64_t)(sim_mount_seconds(s->spec) * SIM_NS);
    s->r->mounts++;
}

static void read_ended(struct sim *s, size_t k)
{
    struct dr *d = &s->drs[k];
    struct waiting w = d->now;
    if (s->q[w.request].copies[w.copy].bad) {
        w.tried[w.copy] = true;
        route(s, w);
    } else {
        end_request(s, &w, false);
    }
    stay_on(s, k);
}

/* Lets drive k do what it does at this moment. Returns whether anything changed. */
static bool act(struct sim *s, size_t k)
{
    struct dr *d = &s->drs[k];
    int64_t again_ns = 0;
    if (d->work != IDLE && d->until_ns > s->now_ns)
        return false;
    if (d->work == MOUNTING) {
        begin_stay(s, k);
        return true;
    }
    if (d->work == READING) {
        read_ended(s, k);
        return true;
    }
    const struct pick_site site = site_of(s);
    int v = pick_volume(&site, k, &again_ns);
    s->again_ns = again_ns < s->again_ns ? again_ns : s->again_ns;
    if (v >= 0)
        take(s, k, v);
    return v >= 0;
}

static void act_all(struct sim *s)
{
    bool changed = true;
    while (changed) {
        changed = false;
        s->again_ns = INT64_MAX;
        for (size_t k = 0; k < s->spec->drives; k++)
            changed = act(s, k) || changed;
    }
}

/* Outages begin and end; one of a volume in use begins when its stay is over. */
static int64_t outages_now(struct sim *s, const struct sim_outage *o, size_t n)
{
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < n; i++) {
        struct vol *v = &s->vols[o[i].volume];
        bool out = s->now_ns >= o[i].from_ns && s->now_ns < o[i].to_ns;
        if (o[i].from_ns > s->now_ns && o[i].from_ns < next)
            next = o[i].from_ns;
        if (o[i].to_ns > s->now_ns && o[i].to_ns < next)
            next = o[i].to_ns;
        if (v->reserved || v->usable != out)
            continue;
        v->usable = !out;
        size_t waiting = out ? v->n : 0;
        struct waiting *all = v->queue;
        if (waiting == 0)
            continue;
        v->queue = NULL;
        v->n = v->room = 0;
        for (size_t k = 0; k < waiting; k++)
            route(s, all[k]);
        free(all);
    }
    return next;
}

static int by_arrival(const void *a, const void *b)
{
    const struct sim_request *x = a;
    const struct sim_request *y = b;
    return x->arrive_ns < y->arrive_ns ? -1 : x->arrive_ns > y->arrive_ns;
}

static int64_t next_time(const struct sim *s, size_t arrived, int64_t outage_ns)
{
    int64_t next = s->again_ns < outage_ns ? s->again_ns : outage_ns;
    if (arrived < s->n && s->q[arrived].arrive_ns < next)
        next = s->q[arrived].arrive_ns;
    for (size_t k = 0; k < s->spec->drives; k++) {
        if (s->drs[k].work != IDLE && s->drs[k].until_ns < next)
            next = s->drs[k].until_ns;
    }
    return next;
}

static void init(struct sim *s)
{
    s->g = sim_geometry(s->spec);
    s->vols = xzalloc(s->spec->volumes * sizeof(*s->vols));
    s->drs = xzalloc(s->spec->drives * sizeof(*s->drs));
    s->pv = xzalloc(s->spec->volumes * sizeof(*s->pv));
    s->pd = xzalloc(s->spec->drives * sizeof(*s->pd));
    s->served = xzalloc(s->spec->accounts * sizeof(*s->served));
    s->charged = xzalloc(s->spec->accounts * sizeof(*s->charged));
    for (size_t i = 0; i < s->spec->volumes; i++) {
        s->vols[i].usable = true;
        s->vols[i].drive = -1;
    }
    for (size_t i = 0; i < s->spec->drives; i++)
        s->drs[i].volume = -1;
}

static void fini(struct sim *s)
{
    for (size_t i = 0; i < s->spec->volumes; i++)
        free(s->vols[i].queue);
    for (size_t i = 0; i < s->spec->drives; i++)
        free(s->drs[i].plan);
    free(s->vols);
    free(s->drs);
    free(s->pv);
    free(s->pd);
    free(s->served);
    free(s->charged);
}

void sim_run(const struct sim_spec *spec, struct sim_request *requests, size_t n,
             const struct sim_outage *outages, size_t noutages, struct sim_result *r)
{
    struct sim s = {.spec = spec, .q = requests, .n = n, .r = r};
    size_t arrived = 0;
    *r = (struct sim_result){0};
    qsort(requests, n, sizeof(*requests), by_arrival);
    init(&s);
    s.now_ns = n > 0 ? requests[0].arrive_ns : 0;
    while (r->ended < n) {
        int64_t outage_ns = outages_now(&s, outages, noutages);
        for (; arrived < n && requests[arrived].arrive_ns <= s.now_ns; arrived++)
            arrive(&s, arrived);
        act_all(&s);
        if (r->ended == n)
            break;
        int64_t next = next_time(&s, arrived, outage_ns);
        must(&s, next != INT64_MAX, "requests wait, and nobody will ever serve them");
        must(&s, next > s.now_ns, "time stands still");
        s.now_ns = next;
    }
    r->seconds = n > 0 ? (double)(s.now_ns - requests[0].arrive_ns) / SIM_NS : 0;
    for (size_t i = 0; i < n; i++)
        must(&s, requests[i].ends == 1, "a request did not end exactly once");
    fini(&s);
}
