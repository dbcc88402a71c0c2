/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What recalls from tape take on a simulated clock: engine/pick.h decides, tape/order.h tells the
 * seconds. Three questions, with their peers in the same run:
 *   a storm of single-file reads against one list of the same files, and against a mount for each;
 *   seconds of locating a file on one full tape against block order and FIFO;
 *   the longest wait against the aging bound, when a drive is kept busy elsewhere.
 * Prints ratios and "ok" or "MISSED"; exit status 1 when one is missed. FIRN_SEED=N draws others.
 */
#include "simqueue.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

#define READS  2000
#define TAPES  20
#define DRIVES 4
#define DRAWS  4
#define STOPS  200
#define GB     (1000000000ULL / SIM_BLOCK) /* blocks */

static const struct {
    const char *name;
    uint64_t capacity;
} media[] = {{"lto8", 12000000000000ULL}, {"lto9", 18000000000000ULL}};

static int missed;

static void judge(double is, double limit)
{
    (void)printf("  %s (limit %.1f)\n", is <= limit ? "ok" : "MISSED", limit);
    missed += is > limit;
}

static struct sim_spec spec_of(size_t m, size_t drives, size_t volumes, uint64_t seed)
{
    return (struct sim_spec){.seed = seed,
                             .media = media[m].name,
                             .capacity = media[m].capacity,
                             .drives = drives,
                             .volumes = volumes,
                             .accounts = 1,
                             .max_age_s = 900,
                             .window_s = 2,
                             .rewind_s = 59};
}

static void draw(const struct sim_spec *spec, struct sim_request *q, size_t n, double span_s,
                 uint64_t *rng)
{
    for (size_t i = 0; i < n; i++) {
        double at = (double)(sim_random(rng) % 1000000) / 1e6 * span_s;
        q[i] =
            (struct sim_request){.arrive_ns = (int64_t)(at * SIM_NS), .reader = true, .ncopies = 1};
        q[i].copies[0].volume = sim_random(rng) % spec->volumes;
        q[i].copies[0].stop =
            (struct order_stop){sim_random(rng) % (spec->capacity / SIM_BLOCK - GB), GB};
    }
}

/* Each file by itself: a mount, a locate from the beginning, the data. */
static double alone(const struct sim_spec *spec, const struct sim_request *q)
{
    const struct order_geometry g = sim_geometry(spec);
    double s = 0;
    for (size_t i = 0; i < READS; i++) {
        const struct order_stop *stop = &q[i].copies[0].stop;
        s += sim_mount_seconds(spec) + order_cost(&g, 0, stop->block) +
             order_stream(&g, stop->blocks, SIM_BLOCK);
    }
    return s / (double)spec->drives;
}

static void storm(size_t m, double span_s, uint64_t seed)
{
    static struct sim_request reads[READS];
    static struct sim_request list[READS];
    const struct sim_spec spec = spec_of(m, DRIVES, TAPES, seed);
    struct sim_spec ageless = spec;
    struct sim_result a;
    struct sim_result b;
    struct sim_result c;
    uint64_t rng = seed;
    draw(&spec, reads, READS, span_s, &rng);
    double each = alone(&spec, reads);
    for (int k = 0; k < 2; k++) {
        for (size_t i = 0; i < READS; i++) {
            list[i] = reads[i];
            list[i].reader = false;
            list[i].arrive_ns = 0;
        }
        ageless.max_age_s = k == 0 ? 1e9 : spec.max_age_s;
        sim_run(&ageless, list, READS, NULL, 0, k == 0 ? &b : &c);
    }
    sim_run(&spec, reads, READS, NULL, 0, &a);
    (void)printf("%s: %d reads within %.0f s, %d tapes, %d drives: %.0f s, %zu mounts, %.1f s of "
                 "locating each\n",
                 spec.media, READS, span_s, TAPES, DRIVES, a.seconds, a.mounts, a.locate / READS);
    (void)printf(
        "  list without aging %.0f s (%zu mounts), with it %.0f s; one mount each %.0f s\n",
        b.seconds, b.mounts, c.seconds, each);
    (void)printf("  storm / list %.3f, storm / list with aging %.3f, storm / one mount each %.3f\n",
                 a.seconds / b.seconds, a.seconds / c.seconds, a.seconds / each);
    judge(a.seconds / b.seconds, 1.2);
}

static void locate(size_t m, uint64_t seed)
{
    static struct sim_request q[STOPS];
    struct sim_spec spec = spec_of(m, 1, 1, seed);
    const struct order_geometry g = sim_geometry(&spec);
    uint64_t rng = seed;
    double ours = 0;
    double block = 0;
    double fifo = 0;
    spec.max_age_s = 1e9;
    for (int k = 0; k < DRAWS; k++) {
        struct order_stop stops[STOPS];
        uint32_t index[STOPS];
        struct sim_result r;
        draw(&spec, q, STOPS, 0, &rng);
        for (size_t i = 0; i < STOPS; i++)
            stops[i] = q[i].copies[0].stop;
        sim_run(&spec, q, STOPS, NULL, 0, &r);
        (void)order_recalls(NULL, stops, STOPS, 0, index);
        ours += r.locate / STOPS / DRAWS;
        block += order_plan_seconds(&g, stops, STOPS, 0, index) / STOPS / DRAWS;
        fifo += order_plan_seconds(&g, stops, STOPS, 0, NULL) / STOPS / DRAWS;
    }
    (void)printf("%s: %d files of a full tape: %.1f s of locating each; block order %.1f, FIFO "
                 "%.1f; block order / ours %.2f\n",
                 spec.media, STOPS, ours, block, fifo, block / ours);
    judge(ours, 14);
}

/* One drive, one tape that is asked for faster than it can be read, and one read of another tape.
 */
static void wait(size_t m, uint64_t seed)
{
    static struct sim_request q[READS + 1];
    const struct sim_spec spec = spec_of(m, 1, 2, seed);
    struct sim_result r;
    uint64_t rng = seed;
    double waited = 0;
    draw(&spec, q, READS + 1, READS * 10.0, &rng);
    for (size_t i = 0; i < READS; i++)
        q[i].copies[0].volume = 0;
    q[READS].copies[0].volume = 1;
    q[READS].arrive_ns = 1000LL * SIM_NS;
    sim_run(&spec, q, READS + 1, NULL, 0, &r);
    for (size_t i = 0; i <= READS; i++) {
        if (q[i].copies[0].volume == 1)
            waited = (double)(q[i].begun_ns - q[i].arrive_ns) / SIM_NS;
    }
    double bound = spec.max_age_s + r.longest_step + r.longest_service + sim_mount_seconds(&spec);
    (void)printf("%s: one read beside %d of a busy tape waited %.0f s; max_age %.0f s, a step %.0f "
                 "s: wait / bound %.2f\n",
                 spec.media, READS, waited, spec.max_age_s, r.longest_step, waited / bound);
    judge(waited / bound, 1);
}

int main(void)
{
    const char *text = getenv("FIRN_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 10) : 1;
    (void)printf("seed %llu, seconds are simulated\n", (unsigned long long)seed);
    for (size_t m = 0; m < sizeof(media) / sizeof(media[0]); m++) {
        storm(m, 60, seed);
        storm(m, 600, seed);
        locate(m, seed);
        wait(m, seed);
    }
    return missed > 0 ? 1 : 0;
}
