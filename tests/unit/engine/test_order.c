/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What recalls cost on a drive with a simulated clock. Short records make a small cartridge as
 * long, in records, as the model's wraps need.
 */
#include "enginesite.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "catalog/catalog.h"
#include "tape/drive.h"
#include "tape/ltfs.h"
#include "tape/order.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAPE     "FIRN01L8"
#define RECORD   4096u
#define FILES    200
#define SIZE     8000          /* of the files that are recalled: two records */
#define GAP      (60 * RECORD) /* of what lies between them */
#define CAPACITY (64ULL << 20)

/* Formats the cartridge with short records; assigning leaves an empty volume as it is. */
static void format(struct site *s)
{
    auto_free char *path = xasprintf("%s/lib1/" TAPE, s->dir);
    auto_drive struct drive *d = NULL;
    struct uuid uuid;
    assert_int_equal(drive_dir_open_cartridge(path, &d, &s->err), 0);
    assert_int_equal(drive_load(d, &s->err), 0);
    assert_int_equal(ltfs_format(d, TAPE, RECORD, &uuid, &s->err), 0);
}

static int setup(void **state)
{
    static const struct site_spec spec = {
        .drives = 1,
        .cartridges = 1,
        .capacity = CAPACITY,
        .extra = "migrate = { min_age = 0; pack = false; };\n",
        .library = "cost_model = \"lto8\"; simulate_time = true;",
        .prepare = format,
    };
    struct site *s = site_new(&spec);
    site_assign(s, "pool1", 0, 1);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    site_free(*state);
    return 0;
}

static double seconds(struct site *s)
{
    auto_json cJSON *j = NULL;
    assert_int_equal(site_op(s, engine_op_library_list, &j, "{}"), 0);
    const cJSON *l = cJSON_GetArrayItem(cJSON_GetObjectItem(j, "libraries"), 0);
    const cJSON *n = cJSON_GetObjectItem(l, "simulated_seconds");
    assert_true(cJSON_IsNumber(n));
    return n->valuedouble;
}

static char name[FILES][8];

/* Two hundred files with something between each two, all migrated. */
static void fill(struct site *s)
{
    static char gap[FILES][8];
    static const char *all[2 * FILES + 1];
    for (unsigned i = 0; i < FILES; i++) {
        (void)snprintf(name[i], sizeof(name[i]), "f%03u", i);
        (void)snprintf(gap[i], sizeof(gap[i]), "g%03u", i);
        site_write(s, name[i], SIZE, i);
        site_write(s, gap[i], GAP, i);
        all[2 * i] = name[i];
        all[2 * i + 1] = gap[i];
    }
    assert_true(site_run(s, ENGINE_MIGRATE, "pool1@lib1", all).ok);
}

/* Where the catalogue says that the files begin. */
static void find_stops(struct site *s, struct order_stop *stops)
{
    struct catalog *cat = engine_catalog(s->engine);
    struct catalog_volume v;
    struct catalog_copies c = {0};
    struct catalog_copy_pos pos = {0};
    int found = 0;
    assert_int_equal(catalog_volume_get(cat, "lib1", TAPE, &v, &s->err), 0);
    assert_int_equal(catalog_copy_page(cat, v.id, &pos, 1000, &c, &s->err), 0);
    for (size_t i = 0; i < c.n; i++) {
        if (strncmp(c.v[i].path, "/fs1/f", 6) != 0)
            continue;
        unsigned long k = strtoul(c.v[i].path + 6, NULL, 10);
        assert_true(k < FILES);
        stops[k] = (struct order_stop){c.v[i].start_block, 2};
        found++;
    }
    catalog_copies_fini(&c);
    assert_int_equal(found, FILES);
}

/* Simulated seconds of recalling the files in the order of index, each asked for after the one
 * before it came. */
static double one_by_one(struct site *s, const uint32_t *index)
{
    static const char *names[FILES + 1];
    for (int i = 0; i < FILES; i++)
        names[i] = name[i];
    assert_true(site_run(s, ENGINE_MIGRATE, "pool1@lib1", names).ok);
    double begin = seconds(s);
    for (int i = 0; i < FILES; i++)
        assert_true(site_one(s, ENGINE_RECALL, "", name[index[i]]).ok);
    return seconds(s) - begin;
}

/* As one_by_one, all asked for at once: the order is the engine's. */
static double at_once(struct site *s, const uint32_t *index)
{
    static const char *names[FILES + 1];
    for (int i = 0; i < FILES; i++)
        names[i] = name[index[i]];
    double begin = seconds(s);
    assert_true(site_run(s, ENGINE_RECALL, "", names).ok);
    return seconds(s) - begin;
}

static void is_near(double measured, double predicted, double part)
{
    if (measured < (1 - part) * predicted || measured > (1 + part) * predicted)
        fail_msg("%.0f s were predicted, %.0f s it took", predicted, measured);
}

static void the_engines_order_costs_what_the_model_says_and_less_than_others(void **state)
{
    struct site *s = *state;
    struct order_stop stops[FILES] = {{0}};
    struct order_geometry g;
    uint32_t fifo[FILES];
    uint32_t block[FILES];
    uint32_t best[FILES];
    fill(s);
    find_stops(s, stops);
    uint64_t capacity = (uint64_t)site_tape(s, TAPE, "capacity");
    assert_int_equal(
        order_geometry_init(&g, "lto8", capacity, RECORD, stops[FILES - 1].block + 60, NULL), 0);
    for (uint32_t i = 0; i < FILES; i++)
        fifo[i] = (i * 83 + 7) % FILES; /* 83 and 200 have no common factor */
    assert_int_equal(order_recalls(NULL, stops, FILES, 0, block), ORDER_BLOCK);
    assert_int_equal(order_recalls(&g, stops, FILES, 0, best), ORDER_SLTF);
    double want_best = order_plan_seconds(&g, stops, FILES, 0, best);
    double want_block = order_plan_seconds(&g, stops, FILES, 0, block);
    double want_fifo = order_plan_seconds(&g, stops, FILES, 0, fifo);
    double is_best = at_once(s, fifo);
    double is_block = one_by_one(s, block);
    double is_fifo = one_by_one(s, fifo);
    print_message("# simulated seconds (predicted): engine %.0f (%.0f), block order %.0f (%.0f), "
                  "FIFO %.0f (%.0f)\n",
                  is_best, want_best, is_block, want_block, is_fifo, want_fifo);
    /* The drive begins while requests still come, so that its first steps know only some. */
    is_near(is_best, want_best, 0.5);
    is_near(is_block, want_block, 0.05);
    is_near(is_fifo, want_fifo, 0.05);
    assert_true(1.5 * is_best < is_block);
    assert_true(1.5 * is_best < is_fifo);
    for (unsigned i = 0; i < FILES; i += 13)
        site_check(s, name[i], SIZE, i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            the_engines_order_costs_what_the_model_says_and_less_than_others, setup, teardown),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
