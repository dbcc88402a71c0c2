/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What recalls decide by, alone and in simulated days. FIRN_SEED=N runs the random ones from that
 * seed on.
 */
#include "simqueue.h"

#include "base/mem.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#define TB     1000000000000ULL
#define GB     (1000000000ULL / SIM_BLOCK) /* blocks */
#define SEEDS  40
#define NEVER  1e9
#define S(sec) ((int64_t)((sec)*SIM_NS))

static struct sim_spec spec_of(const char *media, size_t drives, size_t volumes)
{
    return (struct sim_spec){.seed = 1,
                             .media = media,
                             .capacity = strcmp(media, "lto9") == 0 ? 18 * TB : 12 * TB,
                             .drives = drives,
                             .volumes = volumes,
                             .accounts = 1,
                             .max_age_s = 900,
                             .window_s = 2,
                             .rewind_s = 59};
}

/* A read of blocks somewhere on volume v. */
static struct sim_request request(const struct sim_spec *spec, size_t v, uint64_t blocks,
                                  int64_t arrive_ns, uint64_t *rng)
{
    struct sim_request q = {.arrive_ns = arrive_ns, .reader = true, .ncopies = 1};
    uint64_t all = spec->capacity / SIM_BLOCK - blocks;
    q.copies[0].volume = v;
    q.copies[0].stop = (struct order_stop){sim_random(rng) % all, blocks};
    return q;
}

/* ---- single decisions ---- */

static void the_best_copy_is_healthy_then_mounted_then_asked_for(void **state)
{
    const struct pick_copy plain = {.readable = true, .healthy = true, .copy_no = 2};
    struct pick_copy c = plain;
    (void)state;
    c.healthy = false;
    c.mounted = true;
    assert_true(pick_rank(&c) < pick_rank(&plain));
    c.healthy = true;
    int mounted = pick_rank(&c);
    assert_true(mounted > pick_rank(&plain));
    c.reserved = true;
    assert_true(pick_rank(&c) < mounted && pick_rank(&c) > pick_rank(&plain));
    c = plain;
    c.queued = true;
    assert_true(pick_rank(&c) > pick_rank(&plain) && pick_rank(&c) < mounted);
    c = plain;
    c.copy_no = 1;
    assert_true(pick_rank(&c) > pick_rank(&plain));
    c.readable = false;
    assert_int_equal(pick_rank(&c), -1);
    c = plain;
    c.store = true;
    assert_int_equal(pick_rank(&c), 0); /* down: only when there is nothing else */
    c.up = true;
    assert_true(pick_rank(&c) > mounted);
}

struct scene {
    struct pick_volume v[4];
    struct pick_drive d[3];
    struct pick_site s;
    int64_t again_ns;
};

static void set_scene(struct scene *c, size_t drives, size_t volumes)
{
    *c = (struct scene){0};
    for (size_t i = 0; i < 4; i++)
        c->v[i] = (struct pick_volume){.usable = true, .drive = -1};
    for (size_t i = 0; i < 3; i++)
        c->d[i] = (struct pick_drive){.idle = true, .recalls = true};
    c->s = (struct pick_site){.rules = {.max_age_ns = S(900), .window_ns = S(2)},
                              .now_ns = S(100),
                              .volumes = c->v,
                              .nvolumes = volumes,
                              .drives = c->d,
                              .ndrives = drives};
}

static void wait_for(struct scene *c, size_t v, bool reader, double age_s, uint64_t served)
{
    const struct pick_ask a = {
        .created_ns = c->s.now_ns - S(age_s), .reader = reader, .account = 1, .served = served};
    pick_count(&c->v[v].queue, &a);
}

static void load(struct scene *c, size_t v, size_t d)
{
    c->v[v].drive = (int)d;
    c->d[d].loaded = true;
}

static int pick(struct scene *c, size_t d)
{
    return pick_volume(&c->s, d, &c->again_ns);
}

static void a_cartridge_in_no_drive_waits_for_the_batch_window(void **state)
{
    struct scene c;
    (void)state;
    set_scene(&c, 1, 1);
    wait_for(&c, 0, true, 0.5, 0);
    assert_int_equal(pick(&c, 0), -1);
    assert_int_equal(c.again_ns, c.s.now_ns + S(1.5));
    assert_int_equal(pick_why(&c.s, 0, false), PICK_WINDOW);
    c.s.now_ns += S(1.5);
    assert_int_equal(pick(&c, 0), 0);
    set_scene(&c, 1, 1);
    load(&c, 0, 0);
    wait_for(&c, 0, true, 0, 0);
    assert_int_equal(pick(&c, 0), 0); /* mounted: at once */
    set_scene(&c, 1, 1);
    c.s.rules.window_ns = S(600);
    c.s.rules.max_age_ns = S(1);
    wait_for(&c, 0, true, 1, 0);
    assert_int_equal(pick(&c, 0), 0); /* over age: at once */
}

static void a_reserved_volume_and_one_in_another_drive_are_left_alone(void **state)
{
    struct scene c;
    (void)state;
    set_scene(&c, 2, 2);
    wait_for(&c, 0, true, 1000, 0);
    wait_for(&c, 1, true, 1000, 0);
    c.v[0].reserved = true;
    load(&c, 1, 1);
    assert_int_equal(pick(&c, 0), -1);
    assert_int_equal(pick(&c, 1), 1);
    c.v[1].usable = false;
    assert_int_equal(pick(&c, 1), -1);
    assert_int_equal(pick_why(&c.s, 1, false), PICK_UNUSABLE);
    assert_int_equal(pick_why(&c.s, 0, true), PICK_RUNS);
}

static void readers_go_first_and_the_mounted_volume_among_equals(void **state)
{
    struct scene c;
    (void)state;
    set_scene(&c, 1, 3);
    load(&c, 1, 0);
    wait_for(&c, 0, false, 500, 0);
    wait_for(&c, 1, false, 10, 0);
    assert_int_equal(pick(&c, 0), 1);
    wait_for(&c, 2, true, 3, 0);
    assert_int_equal(pick(&c, 0), 2);
    wait_for(&c, 0, false, 1000, 0); /* a job over age has its turn after readers */
    assert_int_equal(pick(&c, 0), 2);
    c.d[0].jobs_turn = true;
    assert_int_equal(pick(&c, 0), 0);
}

static void a_drive_that_gives_up_less_fetches(void **state)
{
    struct scene c;
    (void)state;
    set_scene(&c, 2, 2);
    load(&c, 1, 0);
    wait_for(&c, 0, true, 10, 0);
    assert_int_equal(pick(&c, 0), -1); /* drive 1 is empty */
    assert_int_equal(pick(&c, 1), 0);
    c.d[1].recalls = false; /* it only writes */
    assert_int_equal(pick(&c, 1), -1);
    assert_int_equal(pick(&c, 0), 0);
    c.d[1] = (struct pick_drive){.idle = true, .recalls = true, .loaded = true};
    wait_for(&c, 1, false, 10, 0);
    assert_int_equal(pick(&c, 0), 1); /* has work of its own */
    assert_int_equal(pick(&c, 1), 0);
}

static void a_drive_leaves_only_for_what_comes_first_and_after_a_step(void **state)
{
    struct scene c;
    struct pick_stay stay = {.since_ns = S(90), .files = 1};
    (void)state;
    set_scene(&c, 1, 2);
    load(&c, 0, 0);
    c.v[0].reserved = true;
    c.d[0].idle = false;
    wait_for(&c, 0, false, 10, 0);
    wait_for(&c, 1, false, 20, 0);
    stay.files = 1000;
    assert_false(pick_leaves(&c.s, 0, 0, &stay)); /* jobs for jobs: not before they are over age */
    wait_for(&c, 1, true, 5, 0);
    assert_true(pick_leaves(&c.s, 0, 0, &stay));
    stay.files = PICK_READER_STEP - 1;
    assert_false(pick_leaves(&c.s, 0, 0, &stay));
    c.s.now_ns += PICK_READER_STEP_NS;
    assert_true(pick_leaves(&c.s, 0, 0, &stay));
    c.s.ndrives = 2; /* another drive is idle and takes it */
    assert_false(pick_leaves(&c.s, 0, 0, &stay));
}

/* ---- plans ---- */

static size_t plan_of(struct pick_ask *asks, size_t n, bool jobs_turn, struct pick_stay *stay,
                      uint32_t *out)
{
    const struct pick_rules rules = {.max_age_ns = S(900)};
    pick_plan(&rules, S(10000), asks, n, jobs_turn, NULL, 0, out, stay);
    return stay->n;
}

static void a_plan_is_of_readers_and_of_one_round_when_something_is_over_age(void **state)
{
    struct pick_ask asks[200];
    uint32_t out[200];
    struct pick_stay stay = {0};
    (void)state;
    for (size_t i = 0; i < 200; i++)
        asks[i] = (struct pick_ask){
            .created_ns = S(9900) - (int64_t)i, .account = 1, .stop = {i * 7919 % 200, 1}};
    assert_int_equal(plan_of(asks, 200, false, &stay, out), 200);
    assert_false(stay.round || stay.readers);
    for (size_t i = 1; i < 200; i++)
        assert_true(asks[out[i]].stop.block > asks[out[i - 1]].stop.block);
    asks[3].reader = asks[9].reader = true;
    assert_int_equal(plan_of(asks, 200, true, &stay, out), 2);
    assert_true(stay.readers && !stay.round);
    asks[100].created_ns = 0; /* a job over age: readers and jobs take turns */
    assert_int_equal(plan_of(asks, 200, false, &stay, out), 2);
    assert_true(stay.readers && stay.round);
    assert_int_equal(plan_of(asks, 200, true, &stay, out), PICK_ROUND);
    assert_true(!stay.readers && stay.round);
    bool there = false;
    for (size_t i = 0; i < stay.n; i++)
        there = there || out[i] == 100;
    assert_true(there);
}

static void a_plan_gives_each_account_its_share(void **state)
{
    struct pick_ask asks[1003];
    uint32_t out[1003];
    struct pick_stay stay = {0};
    size_t of[3] = {0};
    (void)state;
    for (size_t i = 0; i < 1003; i++)
        asks[i] = (struct pick_ask){.created_ns = S(9900) + (int64_t)i,
                                    .reader = true,
                                    .account = i < 1000 ? 1 : 2,
                                    .served = 50,
                                    .stop = {i, 1}};
    assert_int_equal(plan_of(asks, 1003, false, &stay, out), PICK_SHARE + 3);
    for (size_t i = 0; i < stay.n; i++)
        of[asks[out[i]].account]++;
    assert_int_equal(of[1], PICK_SHARE);
    assert_int_equal(of[2], 3);
    assert_int_equal(plan_of(asks, 1000, false, &stay, out), 1000);
}

static void a_round_ends_before_others_join_but_readers_go_before_jobs(void **state)
{
    const struct pick_rules rules = {.max_age_ns = S(900)};
    struct pick_stay stay = {.n = 10, .pos = 3, .round = true};
    struct pick_queue q = {.n = 5, .job_ns = 0};
    (void)state;
    assert_false(pick_replans(&rules, S(1000), &stay, &q, true));
    q.readers = 1;
    q.reader_ns = S(999);
    assert_true(pick_replans(&rules, S(1000), &stay, &q, false));
    stay.readers = true;
    assert_false(pick_replans(&rules, S(1000), &stay, &q, true));
    stay.round = false;
    assert_true(pick_replans(&rules, S(1000), &stay, &q, false)); /* a job is over age */
    q.job_ns = S(990);
    assert_false(pick_replans(&rules, S(1000), &stay, &q, false));
    assert_true(pick_replans(&rules, S(1000), &stay, &q, true));
    stay.pos = stay.n;
    assert_true(pick_replans(&rules, S(1000), &stay, &q, false));
}

/* ---- simulated days ---- */

static uint64_t first_seed(void)
{
    const char *text = getenv("FIRN_SEED");
    return text != NULL ? strtoull(text, NULL, 10) : 1;
}

/* A step that a drive may finish before it turns to others, with the mount after it. */
static double step_seconds(const struct sim_spec *spec, const struct sim_result *r)
{
    return r->longest_step + r->longest_service + sim_mount_seconds(spec);
}

/* When no volume has more than a round waiting, each visit clears it: before a request's turn come,
 * on its drive, the step that runs and one of each volume that was over age before. Readers and
 * jobs take turns. */
static double aging_bound(const struct sim_spec *spec, const struct sim_result *r)
{
    double visits = ceil((double)spec->volumes / (double)spec->drives) + 1;
    return spec->max_age_s + 2 * visits * step_seconds(spec, r);
}

static double longest(const struct sim_result *r)
{
    return r->longest_reader > r->longest_job ? r->longest_reader : r->longest_job;
}

/* Requests as they may come; calm: not more than the drives can do. */
static size_t random_requests(struct sim_spec *spec, bool calm, uint64_t *rng,
                              struct sim_request **out)
{
    size_t n = 50 + sim_random(rng) % 400;
    int64_t span_ns = (int64_t)(sim_random(rng) % 20000) * SIM_NS;
    if (calm) /* at some 40 s each, and a mount of 110 s for some of them, half of the time */
        span_ns = (int64_t)(n * 160 / spec->drives) * SIM_NS;
    struct sim_request *q = xzalloc(n * sizeof(*q));
    for (size_t i = 0; i < n; i++) {
        int64_t at_ns = (int64_t)(sim_random(rng) % (uint64_t)(span_ns + 1));
        q[i] = request(spec, sim_random(rng) % spec->volumes, 1 + sim_random(rng) % (4 * GB), at_ns,
                       rng);
        q[i].reader = sim_random(rng) % 3 != 0;
        q[i].account = sim_random(rng) % spec->accounts;
        q[i].copies[0].bad = sim_random(rng) % 50 == 0;
        if (sim_random(rng) % 2 == 0) {
            q[i].ncopies = 2;
            q[i].copies[1] = q[i].copies[0];
            q[i].copies[1].volume = sim_random(rng) % spec->volumes;
            q[i].copies[1].bad = sim_random(rng) % 50 == 0;
        }
    }
    *out = q;
    return n;
}

static bool can_fail(const struct sim_request *q)
{
    return q->copies[0].bad && (q->ncopies == 1 || q->copies[1].bad);
}

static struct sim_spec random_spec(uint64_t seed, uint64_t *rng)
{
    struct sim_spec spec =
        spec_of(sim_random(rng) % 2 ? "lto8" : "lto9", 1 + sim_random(rng) % 4, 1);
    spec.seed = seed;
    spec.volumes = 1 + sim_random(rng) % 15;
    spec.accounts = 1 + sim_random(rng) % 5;
    spec.max_age_s = 1 + (double)(sim_random(rng) % 3600);
    spec.window_s = (double)(sim_random(rng) % 30);
    return spec;
}

/* Whatever comes: each request ends once, no volume in use moves (simqueue.c looks), and only what
 * no copy can serve fails. */
static void random_days_keep_the_invariants(void **state)
{
    uint64_t seed = first_seed();
    (void)state;
    print_message("# seeds %llu to %llu\n", (unsigned long long)seed,
                  (unsigned long long)seed + SEEDS - 1);
    for (uint64_t i = 0; i < SEEDS; i++, seed++) {
        uint64_t rng = seed;
        struct sim_request *q = NULL;
        struct sim_result r;
        struct sim_spec spec = random_spec(seed, &rng);
        size_t n = random_requests(&spec, false, &rng, &q);
        sim_run(&spec, q, n, NULL, 0, &r);
        for (size_t k = 0; k < n; k++)
            assert_int_equal(q[k].failed, can_fail(&q[k]));
        free(q);
    }
}

static void on_days_without_overload_nobody_waits_beyond_the_bound(void **state)
{
    uint64_t seed = first_seed() + 2000;
    double worst = 0;
    size_t days = 0;
    (void)state;
    print_message("# seeds %llu to %llu\n", (unsigned long long)seed,
                  (unsigned long long)seed + SEEDS - 1);
    for (uint64_t i = 0; i < SEEDS; i++, seed++) {
        uint64_t rng = seed;
        struct sim_request *q = NULL;
        struct sim_result r;
        struct sim_spec spec = random_spec(seed, &rng);
        spec.max_age_s += 300; /* less, and drives would do nothing but mount */
        size_t n = random_requests(&spec, true, &rng, &q);
        sim_run(&spec, q, n, NULL, 0, &r);
        free(q);
        if (r.peak > PICK_ROUND)
            continue;
        double share = longest(&r) / aging_bound(&spec, &r);
        if (share > 1)
            fail_msg("seed %llu: %.0f s waited, bound %.0f s", (unsigned long long)seed,
                     longest(&r), aging_bound(&spec, &r));
        worst = share > worst ? share : worst;
        days++;
    }
    print_message("# %zu days, longest wait %.2f of the bound\n", days, worst);
    assert_true(days > SEEDS / 2);
}

static void volumes_that_come_and_go_lose_no_request(void **state)
{
    uint64_t seed = first_seed() + 1000;
    (void)state;
    print_message("# seeds %llu to %llu\n", (unsigned long long)seed,
                  (unsigned long long)seed + SEEDS - 1);
    for (uint64_t i = 0; i < SEEDS; i++, seed++) {
        uint64_t rng = seed;
        struct sim_request *q = NULL;
        struct sim_result r;
        struct sim_outage out[8];
        struct sim_spec spec = spec_of("lto8", 1 + sim_random(&rng) % 3, 6);
        spec.seed = seed;
        spec.accounts = 2;
        size_t n = random_requests(&spec, false, &rng, &q);
        for (size_t k = 0; k < 8; k++) {
            out[k] = (struct sim_outage){.volume = k % spec.volumes,
                                         .from_ns = S(sim_random(&rng) % 10000)};
            out[k].to_ns = out[k].from_ns + S(1 + sim_random(&rng) % 3000);
        }
        out[6].from_ns = out[6].to_ns = out[7].from_ns = out[7].to_ns = 0;
        sim_run(&spec, q, n, out, 6, &r);
        assert_int_equal(r.ended, n);
        free(q);
    }
}

static void one_mount_serves_all_that_wait(void **state)
{
    static struct sim_request q[300];
    struct sim_spec spec = spec_of("lto8", 4, 3);
    struct sim_result r;
    uint64_t rng = 5;
    (void)state;
    for (size_t i = 0; i < 300; i++) { /* the later half joins a batch that runs */
        q[i] = request(&spec, 1, GB, i < 150 ? S(0.01) * (int64_t)i : S(200) + (int64_t)i, &rng);
        q[i].reader = i % 2 == 0;
    }
    sim_run(&spec, q, 300, NULL, 0, &r);
    assert_int_equal(r.mounts, 1);
    assert_int_equal(r.failed, 0);
}

/* A drive is kept busy on one tape; the bound is max_age, one step and the mount. */
static void a_lonely_request_elsewhere_waits_max_age_and_a_step(void **state)
{
    static struct sim_request q[2001];
    struct sim_spec spec = spec_of("lto8", 1, 2);
    struct sim_result r;
    uint64_t rng = 11;
    (void)state;
    for (size_t i = 0; i < 2000; i++)
        q[i] = request(&spec, 0, GB, S(10) * (int64_t)i, &rng);
    q[2000] = request(&spec, 1, GB, S(1000), &rng);
    q[2000].account = 0;
    sim_run(&spec, q, 2001, NULL, 0, &r);
    for (size_t i = 0; i < 2001; i++) {
        if (q[i].copies[0].volume != 1)
            continue;
        double waited = (double)(q[i].begun_ns - q[i].arrive_ns) / SIM_NS;
        double bound = spec.max_age_s + step_seconds(&spec, &r);
        print_message("# waited %.0f s, bound %.0f s\n", waited, bound);
        assert_true(waited <= bound);
    }
}

/* Readers, while a list of thousands that are over age is served from all tapes. */
static void a_reader_waits_for_a_short_step_of_a_list(void **state)
{
    static struct sim_request q[2020];
    struct sim_spec spec = spec_of("lto8", 2, 5);
    struct sim_result r;
    uint64_t rng = 17;
    (void)state;
    for (size_t i = 0; i < 2000; i++) {
        q[i] = request(&spec, i % 5, GB, 0, &rng);
        q[i].reader = false;
    }
    for (size_t i = 2000; i < 2020; i++)
        q[i] = request(&spec, i % 5, GB, S(3000) + S(600) * (int64_t)(i - 2000), &rng);
    sim_run(&spec, q, 2020, NULL, 0, &r);
    double bound =
        (double)PICK_READER_STEP_NS / SIM_NS + 2 * r.longest_service + 2 * sim_mount_seconds(&spec);
    print_message("# longest wait of a reader %.0f s, bound %.0f s\n", r.longest_reader, bound);
    assert_true(r.longest_reader <= bound);
}

/* Readers come faster than they are served; a job of a list gets its turn all the same. */
static void readers_without_end_do_not_starve_a_list(void **state)
{
    static struct sim_request q[3002];
    struct sim_spec spec = spec_of("lto8", 1, 2);
    struct sim_result r;
    uint64_t rng = 23;
    (void)state;
    for (size_t i = 0; i < 3000; i++)
        q[i] = request(&spec, 0, GB, S(5) * (int64_t)i, &rng);
    for (size_t i = 3000; i < 3002; i++) {
        q[i] = request(&spec, i - 3000, GB, S(100), &rng);
        q[i].reader = false;
    }
    sim_run(&spec, q, 3002, NULL, 0, &r);
    double bound = spec.max_age_s + 2 * step_seconds(&spec, &r);
    print_message("# longest wait of a job %.0f s, bound %.0f s\n", r.longest_job, bound);
    assert_true(r.longest_job <= bound);
}

/* One account has thousands in the queue, another comes with three: without aging to help. */
static void an_account_with_thousands_does_not_starve_one_with_three(void **state)
{
    static struct sim_request q[6006];
    struct sim_spec spec = spec_of("lto8", 2, 4);
    struct sim_result r;
    uint64_t rng = 31;
    (void)state;
    spec.max_age_s = NEVER;
    spec.accounts = 2;
    for (size_t i = 0; i < 6000; i++)
        q[i] = request(&spec, i % 3, GB, 0, &rng);
    for (size_t i = 6000; i < 6006; i++) { /* on a tape of all, and on one of its own */
        q[i] = request(&spec, i % 2 == 0 ? 0 : 3, GB, S(2000), &rng);
        q[i].account = 1;
    }
    sim_run(&spec, q, 6006, NULL, 0, &r);
    double worst = 0;
    for (size_t i = 0; i < 6006; i++) {
        double waited = (double)(q[i].begun_ns - q[i].arrive_ns) / SIM_NS;
        if (q[i].account == 1 && waited > worst)
            worst = waited;
    }
    print_message("# of six requests beside 6000 the longest wait is %.0f s, of all %.0f s\n",
                  worst, r.longest_reader);
    assert_true(worst < 3 * r.longest_step);
    assert_true(10 * worst < r.longest_reader);
}

/* ---- the bounds of bench/bench_recall.c ---- */

static void a_storm_ends_within_a_fifth_more_than_the_best_list(void **state)
{
    static struct sim_request storm[2000];
    static struct sim_request list[2000];
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct sim_spec spec = spec_of(seed % 2 ? "lto8" : "lto9", 4, 20);
        struct sim_spec best = spec;
        struct sim_result a;
        struct sim_result b;
        uint64_t rng = seed;
        for (size_t i = 0; i < 2000; i++) {
            storm[i] = request(&spec, sim_random(&rng) % 20, GB,
                               S(0.001) * (int64_t)(sim_random(&rng) % 600000), &rng);
            list[i] = storm[i];
            list[i].reader = false;
            list[i].arrive_ns = 0;
        }
        best.max_age_s = NEVER;
        sim_run(&spec, storm, 2000, NULL, 0, &a);
        sim_run(&best, list, 2000, NULL, 0, &b);
        print_message("# seed %llu, %s: %.3f of the list\n", (unsigned long long)seed, spec.media,
                      a.seconds / b.seconds);
        assert_true(a.seconds <= 1.2 * b.seconds);
    }
}

static void two_hundred_files_cost_fourteen_seconds_of_locating_each(void **state)
{
    static struct sim_request q[200];
    double locate = 0;
    double block = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct sim_spec spec = spec_of("lto8", 1, 1);
        struct sim_result r;
        struct order_stop stops[200];
        uint32_t index[200];
        uint64_t rng = seed;
        const struct order_geometry g = sim_geometry(&spec);
        for (size_t i = 0; i < 200; i++) {
            q[i] = request(&spec, 0, GB, 0, &rng);
            stops[i] = q[i].copies[0].stop;
        }
        spec.max_age_s = NEVER;
        sim_run(&spec, q, 200, NULL, 0, &r);
        locate += r.locate / 200 / 8;
        (void)order_recalls(NULL, stops, 200, 0, index);
        block += order_plan_seconds(&g, stops, 200, 0, index) / 200 / 8;
    }
    print_message("# %.1f s a file, in block order %.1f s\n", locate, block);
    assert_true(locate <= 14);
    assert_true(2.5 * locate < block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_copy_is_healthy_then_mounted_then_asked_for),
        cmocka_unit_test(a_cartridge_in_no_drive_waits_for_the_batch_window),
        cmocka_unit_test(a_reserved_volume_and_one_in_another_drive_are_left_alone),
        cmocka_unit_test(readers_go_first_and_the_mounted_volume_among_equals),
        cmocka_unit_test(a_drive_that_gives_up_less_fetches),
        cmocka_unit_test(a_drive_leaves_only_for_what_comes_first_and_after_a_step),
        cmocka_unit_test(a_plan_is_of_readers_and_of_one_round_when_something_is_over_age),
        cmocka_unit_test(a_plan_gives_each_account_its_share),
        cmocka_unit_test(a_round_ends_before_others_join_but_readers_go_before_jobs),
        cmocka_unit_test(random_days_keep_the_invariants),
        cmocka_unit_test(on_days_without_overload_nobody_waits_beyond_the_bound),
        cmocka_unit_test(volumes_that_come_and_go_lose_no_request),
        cmocka_unit_test(one_mount_serves_all_that_wait),
        cmocka_unit_test(a_lonely_request_elsewhere_waits_max_age_and_a_step),
        cmocka_unit_test(a_reader_waits_for_a_short_step_of_a_list),
        cmocka_unit_test(readers_without_end_do_not_starve_a_list),
        cmocka_unit_test(an_account_with_thousands_does_not_starve_one_with_three),
        cmocka_unit_test(a_storm_ends_within_a_fifth_more_than_the_best_list),
        cmocka_unit_test(two_hundred_files_cost_fourteen_seconds_of_locating_each),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
