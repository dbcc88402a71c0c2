/* SPDX-License-Identifier: Apache-2.0 */
/* The cost model and the order of recalls, compared in modelled seconds. */
#include "tape/order.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "tape_fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK       524288u
#define LTO8_BYTES  12000000000000ULL
#define FILE_BLOCKS (1000000000 / BLOCK + 1)

static uint64_t next_random(uint64_t *x)
{
    *x = *x * 6364136223846793005ULL + 1442695040888963407ULL;
    return *x >> 20;
}

static struct order_geometry full_lto8(void)
{
    struct order_geometry g;
    assert_int_equal(order_geometry_init(&g, "lto8", LTO8_BYTES, BLOCK, LTO8_BYTES / BLOCK, NULL),
                     0);
    return g;
}

/* n stops of 1 GB, placed uniformly. */
static struct order_stop *draw(const struct order_geometry *g, size_t n, uint64_t seed)
{
    struct order_stop *s = xzalloc(n * sizeof(*s));
    uint64_t x = seed;
    for (size_t i = 0; i < n; i++)
        s[i] = (struct order_stop){next_random(&x) % (g->used_blocks - FILE_BLOCKS), FILE_BLOCKS};
    return s;
}

/* Mean seconds a file of the three orders. */
static void mean_seconds(size_t n, double *random, double *block, double *sltf)
{
    struct order_geometry g = full_lto8();
    *random = *block = *sltf = 0;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        auto_free struct order_stop *stops = draw(&g, n, seed);
        auto_free uint32_t *index = xzalloc(n * sizeof(*index));
        *random += order_plan_seconds(&g, stops, n, 0, NULL) / (double)n / 4;
        assert_int_equal(order_recalls(NULL, stops, n, 0, index), ORDER_BLOCK);
        *block += order_plan_seconds(&g, stops, n, 0, index) / (double)n / 4;
        assert_int_equal(order_recalls(&g, stops, n, 0, index), ORDER_SLTF);
        *sltf += order_plan_seconds(&g, stops, n, 0, index) / (double)n / 4;
    }
    print_message("# %zu files: random %.1f, block order %.1f, SLTF %.1f s a file\n", n, *random,
                  *block, *sltf);
}

static void sltf_beats_block_order_beats_random_for_200_files(void **state)
{
    double random;
    double block;
    double sltf;
    (void)state;
    mean_seconds(200, &random, &block, &sltf);
    assert_true(sltf <= block && block <= random);
    assert_true(block > 2 * sltf); /* published simulations: 49, 41, 14 */
    assert_true(random > 40 && random < 58);
    assert_true(block > 35 && block < 47);
    assert_true(sltf > 10 && sltf < 18);
}

static void block_order_gains_nothing_for_10_files(void **state)
{
    double random;
    double block;
    double sltf;
    (void)state;
    mean_seconds(10, &random, &block, &sltf);
    assert_true(block > 0.8 * random);
    assert_true(sltf < 0.75 * block);
}

static void the_order_is_a_permutation(void **state)
{
    (void)state;
    struct order_geometry g = full_lto8();
    for (size_t n = 1; n < 60; n++) {
        auto_free struct order_stop *stops = draw(&g, n, n);
        auto_free uint32_t *index = xzalloc(n * sizeof(*index));
        bool seen[60] = {false};
        (void)order_recalls(&g, stops, n, n * 1000, index);
        for (size_t i = 0; i < n; i++) {
            assert_true(index[i] < n && !seen[index[i]]);
            seen[index[i]] = true;
        }
    }
}

static void the_order_begins_near_the_head(void **state)
{
    (void)state;
    struct order_geometry g = full_lto8();
    struct order_stop stops[] = {{1000, 10}, {10000000, 10}, {20000000, 10}};
    uint32_t index[3];
    assert_int_equal(order_recalls(&g, stops, 3, 9999990, index), ORDER_SLTF);
    assert_int_equal(index[0], 1);
    assert_int_equal(order_recalls(&g, stops, 3, 0, index), ORDER_SLTF);
    assert_int_equal(index[0], 0);
}

static void one_wrap_is_read_in_block_order(void **state)
{
    (void)state;
    struct order_geometry g;
    struct order_stop stops[] = {{900, 1}, {100, 1}, {500, 1}};
    uint32_t index[3];
    assert_int_equal(order_geometry_init(&g, "L8", LTO8_BYTES, BLOCK, 1000, NULL), 0);
    assert_int_equal(order_recalls(&g, stops, 3, 600, index), ORDER_BLOCK);
    assert_int_equal(index[0], 1);
    assert_int_equal(index[1], 2);
    assert_int_equal(index[2], 0);
}

static void very_many_stops_are_read_in_block_order(void **state)
{
    (void)state;
    struct order_geometry g = full_lto8();
    const size_t n = ORDER_SLTF_MAX + 1;
    auto_free struct order_stop *stops = xzalloc(n * sizeof(*stops));
    auto_free uint32_t *index = xzalloc(n * sizeof(*index));
    for (size_t i = 0; i < n; i++)
        stops[i] = (struct order_stop){(n - i) * 7000, 1};
    assert_int_equal(order_recalls(&g, stops, n, 0, index), ORDER_BLOCK);
    assert_int_equal(index[0], n - 1);
    assert_int_equal(order_recalls(&g, stops, n - 1, 0, index), ORDER_SLTF);
}

static void files_that_share_or_touch_records_stay_together(void **state)
{
    (void)state;
    struct order_geometry g = full_lto8();
    /* four packed files around block 5000, one far away, one on the next record */
    struct order_stop stops[] = {{5000, 1}, {9000000, 1}, {5000, 2},
                                 {5001, 1}, {5002, 1},    {5000, 1}};
    uint32_t index[6];
    (void)order_recalls(&g, stops, 6, 8999999, index);
    static const uint32_t want[] = {1, 0, 5, 2, 3, 4};
    assert_memory_equal(index, want, sizeof(want));
}

static void costs_follow_the_model(void **state)
{
    (void)state;
    struct order_geometry g = full_lto8();
    const uint64_t wrap = g.blocks_per_wrap;
    assert_true(order_cost(&g, 5, 5) == 0);
    assert_true(order_cost(&g, 0, 1) > 4.2 && order_cost(&g, 0, 1) < 4.4);
    /* back on the same wrap costs the step back */
    assert_true(order_cost(&g, 1000, 900) - order_cost(&g, 900, 1000) > 11.3);
    /* the end of wrap 0 lies beside the begin of wrap 1: wrap and direction change, no distance */
    double turn = order_cost(&g, wrap - 1, wrap);
    assert_true(turn > 16.1 && turn < 16.3);
    /* a whole length is about 104 s */
    double length = order_cost(&g, 0, wrap - 1) + 6.04; /* it crosses the middle */
    assert_true(length > 107 && length < 110);
    /* another band */
    assert_true(order_cost(&g, 0, 52 * wrap) > order_cost(&g, 0, 50 * wrap) + 3.1);
}

static void an_end_of_wrap_table_gives_the_same_costs(void **state)
{
    (void)state;
    struct order_geometry g = full_lto8();
    struct order_geometry t = g;
    auto_free uint64_t *ends = xzalloc(g.wraps * sizeof(*ends));
    for (unsigned i = 0; i < g.wraps; i++)
        ends[i] = (i + 1) * g.blocks_per_wrap - 1;
    ends[g.wraps - 1] -= g.blocks_per_wrap / 2; /* half written: counts as a whole one */
    t.wrap_end = ends;
    uint64_t x = 3;
    for (unsigned i = 0; i < 200; i++) {
        uint64_t a = next_random(&x) % (g.used_blocks - g.blocks_per_wrap / 2 - 1);
        uint64_t b = next_random(&x) % (g.used_blocks - g.blocks_per_wrap / 2 - 1);
        assert_true(order_cost(&g, a, b) - order_cost(&t, a, b) < 0.01);
        assert_true(order_cost(&t, a, b) - order_cost(&g, a, b) < 0.01);
    }
}

static void unknown_media_are_refused(void **state)
{
    (void)state;
    struct order_geometry g;
    struct err err = {0};
    assert_int_equal(order_geometry_init(&g, "lto4", 1 << 30, BLOCK, 0, &err), -EINVAL);
    assert_non_null(strstr(err.text, "lto4"));
    assert_int_equal(order_geometry_init(&g, "lto9", 1 << 30, BLOCK, 0, &err), 0);
    assert_int_equal(g.wraps, 280);
}

static void the_timed_drive_charges_the_clock(void **state)
{
    (void)state;
    struct err err = {0};
    auto_free char *dir = fixture_scratch();
    auto_free char *cartridge = fixture_cartridge(dir, 64);
    struct clock *clock = clock_new_simulated();
    struct drive *inner = NULL;
    struct drive *d = NULL;
    assert_ok(drive_dir_open_cartridge(cartridge, &inner, &err), err);
    assert_ok(drive_timed_new(inner, "lto8", clock, &d, &err), err);
    assert_ok(drive_load(d, &err), err);
    assert_int_equal(clock_now_ns(clock) / 1000000000, 15);
    assert_ok(ltfs_format(d, "", 65536, NULL, &err), err);
    struct ltfs_volume *v = fixture_mount(d, 0);
    for (unsigned i = 0; i < 20; i++) {
        char name[] = {'f', (char)('a' + i), '\0'};
        assert_int_equal(fixture_write(v, name, 1u << 20, i), 0);
    }
    assert_ok(ltfs_sync(v, &err), err);
    /* Forwards costs less than to and fro. */
    int64_t begin = clock_now_ns(clock);
    for (unsigned i = 0; i < 20; i++) {
        char name[] = {'f', (char)('a' + i), '\0'};
        assert_true(fixture_has(v, name, 1u << 20, i));
    }
    int64_t forwards = clock_now_ns(clock) - begin;
    for (unsigned i = 0; i < 20; i++) {
        unsigned k = i * 7 % 20;
        char name[] = {'f', (char)('a' + k), '\0'};
        assert_true(fixture_has(v, name, 1u << 20, k));
    }
    int64_t scattered = clock_now_ns(clock) - begin - forwards;
    assert_true(scattered > 3 * forwards);
    ltfs_volume_free(v);
    begin = clock_now_ns(clock);
    assert_ok(drive_unload(d, &err), err);
    assert_true(clock_now_ns(clock) - begin > 24000000000LL); /* rewind and unload */
    drive_close(d);
    clock_free(clock);
    fixture_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sltf_beats_block_order_beats_random_for_200_files),
        cmocka_unit_test(block_order_gains_nothing_for_10_files),
        cmocka_unit_test(the_order_is_a_permutation),
        cmocka_unit_test(the_order_begins_near_the_head),
        cmocka_unit_test(one_wrap_is_read_in_block_order),
        cmocka_unit_test(very_many_stops_are_read_in_block_order),
        cmocka_unit_test(files_that_share_or_touch_records_stay_together),
        cmocka_unit_test(costs_follow_the_model),
        cmocka_unit_test(an_end_of_wrap_table_gives_the_same_costs),
        cmocka_unit_test(unknown_media_are_refused),
        cmocka_unit_test(the_timed_drive_charges_the_clock),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
