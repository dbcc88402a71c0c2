/* SPDX-License-Identifier: Apache-2.0 */
/* Kind s3 over a store behind the fault proxy: copies in and out, and what lies in the buckets. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "s3site.h"
#include "teststore.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int setup(void **state)
{
    *state = s3site_new();
    return 0;
}

static int teardown(void **state)
{
    s3site_free(*state);
    return 0;
}

/* Puts data and gets them back. */
static void round_trip(struct s3site *site, const uint8_t *data, uint64_t size)
{
    struct tier_object o = s3site_object("dir/file", size);
    auto_tier_location struct tier_location loc = {0};
    auto_free uint8_t *back = xzalloc(size + 1);
    uint64_t length = 0;
    assert_int_equal(s3site_put(site, site->t, &o, data, &loc, &site->err), 0);
    assert_int_equal(tier_verify(site->t, &o.id, &loc, NULL, &length, &site->err), 0);
    assert_int_equal(length, size);
    assert_int_equal(s3site_get(site->t, &o, &loc, back, &site->err), 0);
    assert_memory_equal(back, data, size);
    loc.block = loc.last_block = 0; /* as a catalogue that keeps the key alone */
    memset(back, 0, size);
    assert_int_equal(s3site_get(site->t, &o, &loc, back, &site->err), 0);
    assert_memory_equal(back, data, size);
    assert_int_equal(tier_remove(site->t, &o.id, &loc, &site->err), 0);
    assert_int_equal(s3site_objects(site), 0);
}

static void files_of_every_size_come_back(void **state)
{
    static const uint64_t sizes[] = {
        0, 1, SITE_CHUNK - 1, SITE_CHUNK, SITE_CHUNK + 1, 2 * SITE_CHUNK, 5 * SITE_CHUNK + 77};
    struct s3site *site = *state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        round_trip(site, site->text, sizes[i]);
        round_trip(site, site->noise, sizes[i]);
    }
}

static void every_codec_and_encryption_come_back(void **state)
{
    struct s3site *site = *state;
    for (int variant = 0; variant < 6; variant++) {
        site->config.codec = (enum chunk_codec)(variant % 3);
        site->config.level = 1;
        site->config.key_file = variant < 3 ? NULL : site->key_file;
        assert_int_equal(s3site_reopen(site), 0);
        round_trip(site, site->text, 1000);
        round_trip(site, site->noise, 3 * SITE_CHUNK - 5);
        round_trip(site, site->text, 3 * SITE_CHUNK - 5);
    }
}

/* Puts the ranges {off, len} of a file of size bytes, the rest being holes. */
static void sparse(struct s3site *site, uint64_t size, const uint64_t (*ranges)[2], size_t n,
                   unsigned objects)
{
    struct tier_object o = s3site_object("sparse", size);
    auto_tier_location struct tier_location loc = {0};
    auto_free uint8_t *want = xzalloc(size + 1);
    auto_free uint8_t *back = xzalloc(size + 1);
    assert_int_equal(tier_put_begin(site->t, &o, &site->err), 0);
    for (size_t i = 0; i < n; i++) {
        uint64_t off = ranges[i][0];
        memcpy(want + off, site->noise, ranges[i][1]);
        assert_int_equal(tier_put_write(site->t, off, want + off, ranges[i][1], &site->err), 0);
    }
    assert_int_equal(tier_put_end(site->t, NULL, 0, &loc, &site->err), 0);
    assert_int_equal(s3site_objects(site), objects);
    uint64_t before = tier_counts(site->t)->bytes_out;
    assert_int_equal(s3site_get(site->t, &o, &loc, back, &site->err), 0);
    assert_memory_equal(back, want, size);
    uint64_t data = 0;
    for (size_t i = 0; i < n; i++)
        data += ranges[i][1];
    assert_int_equal(tier_counts(site->t)->bytes_out - before, data); /* holes stay holes */
    assert_int_equal(tier_remove(site->t, &o.id, &loc, &site->err), 0);
    assert_int_equal(s3site_objects(site), 0);
}

static void sparse_files_stay_sparse(void **state)
{
    struct s3site *site = *state;
    static const uint64_t leading[][2] = {{3 * SITE_CHUNK + 5, 100}};
    static const uint64_t middle[][2] = {{0, 10}, {4 * SITE_CHUNK - 3, 6}, {6 * SITE_CHUNK, 7}};
    static const uint64_t trailing[][2] = {{0, SITE_CHUNK / 2}};
    static const uint64_t within[][2] = {{10, 20}, {100, 1}, {SITE_CHUNK - 1, 1}};
    sparse(site, 4 * SITE_CHUNK, leading, 1, 2);
    sparse(site, 7 * SITE_CHUNK, middle, 3, 5);
    sparse(site, 3 * SITE_CHUNK + 1, trailing, 1, 2);
    sparse(site, SITE_CHUNK, within, 3, 1);
    sparse(site, SITE_CHUNK, leading, 0, 1);
    sparse(site, 5 * SITE_CHUNK + 1, leading, 0, 1);
}

static void a_terabyte_of_hole_is_one_empty_object(void **state)
{
    struct s3site *site = *state;
    struct tier_object o = s3site_object("hole", 1ULL << 40);
    auto_tier_location struct tier_location loc = {0};
    uint64_t size = 0;
    assert_int_equal(tier_put_begin(site->t, &o, &site->err), 0);
    assert_int_equal(tier_put_end(site->t, NULL, 0, &loc, &site->err), 0);
    assert_int_equal(s3site_objects(site), 1);
    assert_int_equal(tier_verify(site->t, &o.id, &loc, NULL, &size, &site->err), 0);
    assert_int_equal(size, 1ULL << 40);
}

static void more_holes_than_a_chunk_tells_become_zeros(void **state)
{
    struct s3site *site = *state;
    struct tier_object o = s3site_object("comb", SITE_CHUNK);
    auto_tier_location struct tier_location loc = {0};
    auto_free uint8_t *want = xzalloc(SITE_CHUNK);
    auto_free uint8_t *back = xzalloc(SITE_CHUNK);
    assert_int_equal(tier_put_begin(site->t, &o, &site->err), 0);
    for (size_t i = 0; i < SITE_CHUNK; i += 3) {
        want[i] = site->noise[i];
        assert_int_equal(tier_put_write(site->t, i, want + i, 1, &site->err), 0);
    }
    assert_int_equal(tier_put_end(site->t, NULL, 0, &loc, &site->err), 0);
    assert_int_equal(s3site_get(site->t, &o, &loc, back, &site->err), 0);
    assert_memory_equal(back, want, SITE_CHUNK);
}

static void a_small_file_is_one_object_and_a_large_one_ends_with_its_manifest(void **state)
{
    struct s3site *site = *state;
    struct tier_object small = s3site_object("small", 100);
    struct tier_object large = s3site_object("large", 3 * SITE_CHUNK);
    auto_tier_location struct tier_location a = {0};
    auto_tier_location struct tier_location b = {0};
    assert_int_equal(s3site_put(site, site->t, &small, site->text, &a, &site->err), 0);
    assert_int_equal(s3site_objects(site), 1);
    assert_string_equal(strrchr(a.key, '.'), ".sole");
    assert_int_equal(s3site_put(site, site->t, &large, site->text, &b, &site->err), 0);
    assert_int_equal(s3site_objects(site), 5);
    assert_string_equal(strrchr(b.key, '/'), "/manifest");
}

static void attributes_that_do_not_fit_beside_an_object_get_a_manifest(void **state)
{
    struct s3site *site = *state;
    struct tier_object o = s3site_object("small", 100);
    auto_tier_location struct tier_location loc = {0};
    auto_free uint8_t *back = xzalloc(100);
    struct tier_xattr x = {"user.much", site->noise, 3000};
    o.xattrs = &x;
    o.nxattrs = 1;
    assert_int_equal(s3site_put(site, site->t, &o, site->text, &loc, &site->err), 0);
    assert_int_equal(s3site_objects(site), 2);
    assert_int_equal(s3site_get(site->t, &o, &loc, back, &site->err), 0);
    assert_memory_equal(back, site->text, 100);
}

static int same_path(void *arg, const struct tier_entry *e, struct err *err)
{
    (void)err;
    assert_string_equal(e->path, arg);
    return 0;
}

static void a_path_longer_than_metadata_is_kept_whole(void **state)
{
    struct s3site *site = *state;
    char path[4001];
    for (size_t i = 0; i < 4000; i++)
        path[i] = "snow/\xc3\xa4is"[i % 9];
    path[4000] = '\0';
    struct tier_object o = s3site_object(path, 100);
    auto_tier_location struct tier_location loc = {0};
    assert_int_equal(s3site_put(site, site->t, &o, site->text, &loc, &site->err), 0);
    assert_int_equal(tier_show(site->t, &o.id, &loc, same_path, path, &site->err), 0);
    assert_int_equal(tier_list(site->t, same_path, path, &site->err), 0);
}

static void copies_are_found_after_bucket_count_and_prefix_change(void **state)
{
    struct s3site *site = *state;
    struct tier_object o = s3site_object("moved", 6 * SITE_CHUNK);
    auto_tier_location struct tier_location loc = {0};
    auto_free uint8_t *back = xzalloc(o.size);
    assert_int_equal(s3site_put(site, site->t, &o, site->noise, &loc, &site->err), 0);
    site->config.bucket_count = 2;
    site->config.key_prefix = "elsewhere";
    site->config.chunk_size = 4096;
    site->config.buffers = 8;
    assert_int_equal(s3site_reopen(site), 0);
    assert_int_equal(s3site_get(site->t, &o, &loc, back, &site->err), -ENOMEM);
    assert_non_null(strstr(site->err.text, "allow more buffers"));
    site->config.buffers = 100;
    assert_int_equal(s3site_reopen(site), 0);
    assert_int_equal(s3site_get(site->t, &o, &loc, back, &site->err), 0);
    assert_memory_equal(back, site->noise, o.size);
}

static void a_key_that_is_not_there_any_more_is_named(void **state)
{
    struct s3site *site = *state;
    struct tier_object o = s3site_object("secret", 2 * SITE_CHUNK);
    auto_tier_location struct tier_location loc = {0};
    auto_free uint8_t *back = xzalloc(o.size);
    site->config.key_file = site->key_file;
    assert_int_equal(s3site_reopen(site), 0);
    assert_int_equal(s3site_put(site, site->t, &o, site->text, &loc, &site->err), 0);
    site->config.key_file = NULL;
    assert_int_equal(s3site_reopen(site), 0);
    assert_int_equal(s3site_get(site->t, &o, &loc, back, &site->err), -ENOKEY);
    assert_non_null(strstr(site->err.text, "\"tests\""));
}

static void what_is_stored_encrypted_shows_nothing_of_the_data(void **state)
{
    struct s3site *site = *state;
    struct tier_object o = s3site_object("secret", 1000);
    auto_tier_location struct tier_location loc = {0};
    char bucket[STORE_BUCKET_MAX];
    char key[STORE_KEY_MAX];
    auto_free char *data = NULL;
    size_t size = 0;
    site->config.key_file = site->key_file;
    site->config.codec = CHUNK_RAW;
    assert_int_equal(s3site_reopen(site), 0);
    assert_int_equal(s3site_put(site, site->t, &o, site->text, &loc, &site->err), 0);
    s3site_locate(site, &o.id, SITE_SOLE, bucket, key);
    assert_int_equal(store_get_small(s3_tier_store(site->s), bucket, key, 5000, &data, &size, NULL,
                                     NULL, &site->err),
                     0);
    assert_int_equal(size, 1044);
    assert_null(memmem(data, size, site->text, 16));
}

static void an_abort_leaves_nothing_in_the_store(void **state)
{
    struct s3site *site = *state;
    struct tier_object o = s3site_object("gone", 6 * SITE_CHUNK);
    assert_int_equal(tier_put_begin(site->t, &o, &site->err), 0);
    assert_int_equal(tier_put_write(site->t, 0, site->noise, 5 * SITE_CHUNK, &site->err), 0);
    tier_put_abort(site->t);
    assert_int_equal(s3site_reopen(site), 0); /* ends what sweeps in the background */
    assert_int_equal(s3site_objects(site), 0);
}

/* ---- many lanes, one bound ---- */

#define LANES 50
#define FILES 6

struct pusher {
    pthread_t thread;
    struct s3site *site;
    int number;
    int rc;
    struct err err;
};

static void *push(void *arg)
{
    struct pusher *p = arg;
    struct tier *t = s3_tier_lane(p->site->s, "lane");
    for (int i = 0; i < FILES && p->rc == 0; i++) {
        uint64_t size = (uint64_t)((p->number * 7 + i) % 5) * SITE_CHUNK * 2 / 3 + 100;
        struct tier_object o = s3site_object("many", size);
        auto_tier_location struct tier_location loc = {0};
        auto_free uint8_t *back = xzalloc(size);
        const uint8_t *data = (i & 1 ? p->site->noise : p->site->text) + p->number;
        p->rc = s3site_put(p->site, t, &o, data, &loc, &p->err);
        if (p->rc == 0)
            p->rc = s3site_get(t, &o, &loc, back, &p->err);
        if (p->rc == 0 && memcmp(back, data, size) != 0)
            p->rc = -EBADMSG;
    }
    tier_free(t);
    return NULL;
}

static void fifty_lanes_stay_within_the_memory_that_is_stated(void **state)
{
    struct s3site *site = *state;
    static struct pusher pushers[LANES];
    uint64_t used = 1;
    uint64_t peak = 0;
    uint64_t bound = 0;
    site->config.buffers = 6;
    assert_int_equal(s3site_reopen(site), 0);
    for (int i = 0; i < LANES; i++) {
        pushers[i] = (struct pusher){.site = site, .number = i};
        assert_int_equal(pthread_create(&pushers[i].thread, NULL, push, &pushers[i]), 0);
    }
    for (int i = 0; i < LANES; i++) {
        assert_int_equal(pthread_join(pushers[i].thread, NULL), 0);
        if (pushers[i].rc != 0)
            (void)fprintf(stderr, "# lane %d: %s\n", i, pushers[i].err.text);
        assert_int_equal(pushers[i].rc, 0);
    }
    s3_tier_memory(site->s, &used, &peak, &bound);
    assert_int_equal(used, 0);
    assert_true(peak > 0 && peak <= bound);
    assert_true(bound <= 6 * (SITE_CHUNK + 256));
}

/* ---- cancel ---- */

struct canceller {
    pthread_t thread;
    struct s3site *site;
    int fault;
};

/* Cancels as soon as the fault has hit, that is: while a transfer stands still. */
static void *cancel_when_stalled(void *arg)
{
    struct canceller *c = arg;
    while (teststore_hits(c->fault) == 0) {
    }
    tier_cancel(c->site->t, true);
    return NULL;
}

static void a_cancel_ends_a_transfer_that_stands_still_at_once(void **state)
{
    struct s3site *site = *state;
    auto_tier_location struct tier_location loc = {0};
    auto_free uint8_t *back = xzalloc(SITE_DATA);
    struct tier_object o = s3site_object("cancelled", 5 * SITE_CHUNK);
    struct canceller c = {.site = site};
    site->config.store.stall_timeout_s = 600;
    assert_int_equal(s3site_reopen(site), 0);
    c.fault = teststore_fault("stall_before method=PUT key=/2$ count=1");
    assert_int_equal(pthread_create(&c.thread, NULL, cancel_when_stalled, &c), 0);
    int64_t begun = time_mono_ns();
    assert_int_equal(s3site_put(site, site->t, &o, site->noise, &loc, &site->err), -ECANCELED);
    assert_int_equal(pthread_join(c.thread, NULL), 0);
    tier_cancel(site->t, false);
    assert_int_equal(s3site_put(site, site->t, &o, site->noise, &loc, &site->err), 0);
    c.fault = teststore_fault("stall_response method=GET key=/3$ count=1");
    assert_int_equal(pthread_create(&c.thread, NULL, cancel_when_stalled, &c), 0);
    assert_int_equal(s3site_get(site->t, &o, &loc, back, &site->err), -ECANCELED);
    assert_int_equal(pthread_join(c.thread, NULL), 0);
    tier_cancel(site->t, false);
    assert_int_equal(s3site_get(site->t, &o, &loc, back, &site->err), 0);
    assert_memory_equal(back, site->noise, o.size);
    assert_true(time_mono_ns() - begun < 60 * NS_PER_SEC); /* not the 600 s of a stall */
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(files_of_every_size_come_back),
        T(every_codec_and_encryption_come_back),
        T(sparse_files_stay_sparse),
        T(a_terabyte_of_hole_is_one_empty_object),
        T(more_holes_than_a_chunk_tells_become_zeros),
        T(a_small_file_is_one_object_and_a_large_one_ends_with_its_manifest),
        T(attributes_that_do_not_fit_beside_an_object_get_a_manifest),
        T(a_path_longer_than_metadata_is_kept_whole),
        T(copies_are_found_after_bucket_count_and_prefix_change),
        T(a_key_that_is_not_there_any_more_is_named),
        T(what_is_stored_encrypted_shows_nothing_of_the_data),
        T(an_abort_leaves_nothing_in_the_store),
        T(fifty_lanes_stay_within_the_memory_that_is_stated),
        T(a_cancel_ends_a_transfer_that_stands_still_at_once),
    };
#undef T
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("s3", tests, NULL, NULL);
}
