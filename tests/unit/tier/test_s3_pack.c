/* SPDX-License-Identifier: Apache-2.0 */
/* Packs of kind s3: many lanes at once, what counts when, what a damaged or missing pack gives, and
 * what others find in the buckets. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "s3site.h"
#include "teststore.h"
#include "tier/s3_pack.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LANES 8
#define FILES 600
#define PACK  (256UL << 10)
#define SMALL (16UL << 10) /* largest file of a pack */
#define MIB   (1UL << 20)

struct copy {
    struct tier_object o;
    struct tier_location loc;
    const uint8_t *data; /* of the site */
    char path[32], tag[16];
    struct tier_xattr xattr;
};

struct packs {
    struct s3site *site;
    struct copy c[FILES];
    uint8_t back[4 * SITE_CHUNK];
};

static int setup(void **state)
{
    struct packs *p = xzalloc(sizeof(*p));
    p->site = s3site_new();
    p->site->config.pack_size = PACK;
    p->site->config.pack_file = SMALL;
    *state = p;
    return s3site_reopen(p->site);
}

static int teardown(void **state)
{
    struct packs *p = *state;
    for (size_t i = 0; i < FILES; i++)
        tier_location_fini(&p->c[i].loc);
    s3site_free(p->site);
    free(p);
    return 0;
}

/* File i of size bytes, half of them compressible. */
static struct copy *make(struct packs *p, size_t i, uint64_t size)
{
    struct copy *c = &p->c[i];
    tier_location_fini(&c->loc);
    (void)snprintf(c->path, sizeof(c->path), "dir/file %zu", i);
    (void)snprintf(c->tag, sizeof(c->tag), "value %zu", i);
    c->xattr = (struct tier_xattr){"noobaa.tag.name", c->tag, strlen(c->tag)};
    c->data = (i % 2 == 0 ? p->site->text : p->site->noise) + i * 7;
    c->o = s3site_object(c->path, size);
    c->o.mtime_ns += (int64_t)i;
    c->o.xattrs = &c->xattr;
    c->o.nxattrs = 1;
    return c;
}

static int put(struct packs *p, struct tier *t, struct copy *c, struct err *err)
{
    return s3site_put(p->site, t, &c->o, c->data, &c->loc, err);
}

/* n files of size bytes each, from the first on, put and not flushed. */
static void put_some(struct packs *p, size_t n, uint64_t size)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(put(p, p->site->t, make(p, i, size), &p->site->err), 0);
}

static void assert_good(struct packs *p, struct tier *t, const struct copy *c)
{
    struct err err = {0};
    int rc = s3site_get(t, &c->o, &c->loc, p->back, &err);
    if (rc != 0)
        (void)fprintf(stderr, "# %s: %d %s\n", c->path, rc, err.text);
    assert_int_equal(rc, 0);
    assert_memory_equal(p->back, c->data, c->o.size);
}

static int get(struct packs *p, const struct copy *c)
{
    return s3site_get(p->site->t, &c->o, &c->loc, p->back, &p->site->err);
}

/* ---- many lanes ---- */

struct worker {
    struct packs *p;
    struct tier *t;
    size_t first;
    int order; /* of reading: 1 forward, -1 backward, 0 mixed */
    int failed;
    uint8_t back[2 * SMALL];
};

static void *put_share(void *arg)
{
    struct worker *w = arg;
    struct err err = {0};
    for (size_t i = w->first; i < FILES && w->failed == 0; i += LANES)
        w->failed = put(w->p, w->t, &w->p->c[i], &err);
    if (w->failed == 0)
        w->failed = tier_sync(w->t, &err);
    return NULL;
}

static void *get_share(void *arg)
{
    struct worker *w = arg;
    struct err err = {0};
    for (size_t k = 0; k < FILES / LANES && w->failed == 0; k++) {
        size_t at = w->order > 0   ? k
                    : w->order < 0 ? FILES / LANES - 1 - k
                                   : k * 31 % (FILES / LANES);
        const struct copy *c = &w->p->c[at * LANES + w->first];
        w->failed = s3site_get(w->t, &c->o, &c->loc, w->back, &err);
        if (w->failed == 0 && memcmp(w->back, c->data, c->o.size) != 0)
            w->failed = -EBADMSG;
    }
    return NULL;
}

static void run_lanes(struct packs *p, void *(*share)(void *), int order)
{
    struct worker *w[LANES];
    pthread_t thread[LANES];
    for (size_t i = 0; i < LANES; i++) {
        w[i] = xzalloc(sizeof(*w[i]));
        w[i]->p = p;
        w[i]->t = s3_tier_lane(p->site->s, "lane");
        w[i]->first = i;
        w[i]->order = order;
        assert_int_equal(pthread_create(&thread[i], NULL, share, w[i]), 0);
    }
    for (size_t i = 0; i < LANES; i++) {
        (void)pthread_join(thread[i], NULL);
        assert_int_equal(w[i]->failed, 0);
        tier_free(w[i]->t);
        free(w[i]);
    }
}

static void files_of_many_lanes_come_back_in_any_order(void **state)
{
    struct packs *p = *state;
    for (size_t i = 0; i < FILES; i++)
        (void)make(p, i, i * 7919 % (SMALL + 1));
    run_lanes(p, put_share, 0);
    /* 600 files of 8 KiB in packs of 256 KiB, and a few that a sync sent early */
    assert_in_range(s3site_objects(p->site), 10, 40);
    for (int order = -1; order <= 1; order++) {
        assert_int_equal(s3site_reopen(p->site), 0);
        run_lanes(p, get_share, order);
    }
    uint64_t peak = 0;
    uint64_t bound = 0;
    s3_tier_memory(p->site->s, NULL, &peak, &bound);
    assert_true(peak <= bound);
}

static void packs_hold_every_kind_of_stored_bytes(void **state)
{
    struct packs *p = *state;
    for (int kind = 0; kind < 8; kind++) {
        p->site->config.codec = kind % 3 == 0 ? CHUNK_RAW : kind % 3 == 1 ? CHUNK_LZ4 : CHUNK_ZSTD;
        p->site->config.key_file = kind >= 3 ? p->site->key_file : NULL;
        p->site->config.verify = kind >= 6 ? S3_VERIFY_READ : S3_VERIFY_AUTO;
        assert_int_equal(s3site_reopen(p->site), 0);
        put_some(p, 40, 3000);
        assert_int_equal(tier_sync(p->site->t, &p->site->err), 0);
        for (int again = 0; again < 2; again++) { /* the second time from what is at hand */
            for (size_t i = 0; i < 40; i++)
                assert_good(p, p->site->t, &p->c[i]);
        }
    }
}

/* ---- what counts when ---- */

static void nothing_counts_before_it_is_flushed(void **state)
{
    struct packs *p = *state;
    put_some(p, 3, 1000);
    assert_int_equal(s3site_objects(p->site), 0);
    assert_int_equal(get(p, &p->c[0]), TIER_ABSENT);
    assert_int_equal(s3_tier_flush(p->site->s, &p->site->err), 0);
    assert_int_equal(s3site_objects(p->site), 1);
    assert_int_equal(s3site_reopen(p->site), 0);
    for (size_t i = 0; i < 3; i++)
        assert_good(p, p->site->t, &p->c[i]);
    assert_int_equal(s3_tier_flush(p->site->s, &p->site->err), 0);
    assert_int_equal(s3site_objects(p->site), 1); /* no empty pack */
}

static void a_full_pack_is_sent_by_itself(void **state)
{
    struct packs *p = *state;
    p->site->config.codec = CHUNK_RAW;
    assert_int_equal(s3site_reopen(p->site), 0);
    put_some(p, 2 * PACK / SMALL, SMALL);
    assert_in_range(s3site_objects(p->site), 1, 2);
    assert_good(p, p->site->t, &p->c[0]);
}

static void what_does_not_fit_goes_by_itself(void **state)
{
    struct packs *p = *state;
    char path[4000];
    memset(path, 'x', sizeof(path));
    for (size_t i = 200; i < sizeof(path); i += 200)
        path[i] = '/';
    path[sizeof(path) - 1] = '\0';
    (void)make(p, 0, SMALL + 1); /* too large */
    struct copy *labelled = make(p, 1, 100);
    struct copy *deep = make(p, 2, 100);
    labelled->o.label = "lustre/fs.1/0x1";
    deep->o.path = path;
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(put(p, p->site->t, &p->c[i], &p->site->err), 0);
    for (size_t i = 0; i < 3; i++) {
        assert_false(s3_pack_is(p->c[i].loc.key));
        assert_good(p, p->site->t, &p->c[i]);
    }
    deep->o.path = deep->path;
}

static void places_rise_over_all_packs(void **state)
{
    struct packs *p = *state;
    p->site->config.codec = CHUNK_RAW;
    assert_int_equal(s3site_reopen(p->site), 0);
    put_some(p, 100, SMALL);
    for (size_t i = 1; i < 100; i++)
        assert_true(p->c[i].loc.block > p->c[i - 1].loc.block && p->c[i].loc.block <= INT64_MAX);
}

/* ---- a store that is not well ---- */

static void a_pack_that_cannot_be_sent_is_tried_again(void **state)
{
    struct packs *p = *state;
    p->site->config.store.retries = 0;
    assert_int_equal(s3site_reopen(p->site), 0);
    put_some(p, 5, 1000);
    (void)teststore_fault("internal_error method=PUT");
    assert_true(tier_sync(p->site->t, &p->site->err) < 0);
    assert_int_equal(s3site_objects(p->site), 0);
    (void)teststore_tell("clear");
    assert_int_equal(put(p, p->site->t, make(p, 5, 1000), &p->site->err), 0);
    assert_int_equal(tier_sync(p->site->t, &p->site->err), 0);
    for (size_t i = 0; i < 6; i++)
        assert_good(p, p->site->t, &p->c[i]);
}

static void a_put_that_finds_no_room_says_so_and_the_others_stay(void **state)
{
    struct packs *p = *state;
    p->site->config.codec = CHUNK_RAW;
    p->site->config.store.retries = 0;
    assert_int_equal(s3site_reopen(p->site), 0);
    (void)teststore_fault("full method=PUT");
    size_t n = 0;
    int rc = 0;
    while (rc == 0 && n < FILES)
        rc = put(p, p->site->t, make(p, n++, SMALL), &p->site->err);
    assert_int_equal(rc, TIER_FULL);
    (void)teststore_tell("clear");
    assert_int_equal(put(p, p->site->t, &p->c[n - 1], &p->site->err), 0);
    assert_int_equal(tier_sync(p->site->t, &p->site->err), 0);
    for (size_t i = 0; i < n; i++)
        assert_good(p, p->site->t, &p->c[i]);
}

static void a_network_that_garbles_answers_gives_nothing_wrong(void **state)
{
    struct packs *p = *state;
    put_some(p, 60, 5000);
    assert_int_equal(tier_sync(p->site->t, &p->site->err), 0);
    int hit = teststore_fault("flip_response method=GET probability=0.3");
    for (size_t i = 0; i < 120; i++) { /* backward each asks for itself */
        const struct copy *c = &p->c[i < 60 ? 59 - i : i - 60];
        int rc = get(p, c);
        assert_true(rc == 0 || rc == -EBADMSG);
        if (rc == 0)
            assert_memory_equal(p->back, c->data, c->o.size);
    }
    assert_true(teststore_hits(hit) > 0);
    (void)teststore_tell("clear");
    for (size_t i = 0; i < 60; i++)
        assert_good(p, p->site->t, &p->c[i]);
}

static void a_pack_that_is_too_large_for_the_store_names_its_setting(void **state)
{
    struct packs *p = *state;
    put_some(p, 2, 1000);
    (void)teststore_fault("skewed method=PUT code=EntityTooLarge");
    assert_int_equal(tier_sync(p->site->t, &p->site->err), -EFBIG);
    assert_non_null(strstr(p->site->err.text, "pack_size"));
    (void)teststore_tell("clear");
    assert_int_equal(tier_sync(p->site->t, &p->site->err), 0);
}

/* ---- damage ---- */

static size_t flip_at;

static size_t flip(uint8_t *data, size_t size)
{
    data[flip_at] ^= 1;
    return size;
}

static size_t cut(uint8_t *data, size_t size)
{
    (void)data;
    return size - 10;
}

static void change(struct packs *p, size_t (*fn)(uint8_t *, size_t))
{
    auto_free char *bucket = NULL;
    const char *key = NULL;
    assert_int_equal(s3_split_location(p->c[0].loc.key, &bucket, &key, NULL), 0);
    s3site_change(p->site, bucket, key, fn);
}

static void a_damaged_member_is_named_and_the_others_are_well(void **state)
{
    struct packs *p = *state;
    p->site->config.codec = CHUNK_RAW;
    assert_int_equal(s3site_reopen(p->site), 0);
    put_some(p, 20, 2000);
    assert_int_equal(tier_sync(p->site->t, &p->site->err), 0);
    const struct tier_location *l = &p->c[7].loc;
    size_t begin = (size_t)(l->block & ((1U << 29) - 1));
    const size_t places[] = {begin, begin + 31, begin + 120, begin + l->byteoffset - 1};
    for (size_t k = 0; k < 4; k++) {
        flip_at = places[k];
        change(p, flip);
        assert_int_equal(s3site_reopen(p->site), 0);
        for (size_t i = 0; i < 20; i++) {
            if (i != 7)
                assert_good(p, p->site->t, &p->c[i]);
        }
        assert_int_equal(get(p, &p->c[7]), -EBADMSG);
        assert_non_null(strstr(p->site->err.text, ".pack"));
        change(p, flip); /* well again */
    }
    assert_int_equal(s3site_reopen(p->site), 0);
    assert_good(p, p->site->t, &p->c[7]);
}

static void a_wrong_place_gives_no_copy(void **state)
{
    struct packs *p = *state;
    put_some(p, 3, 2000);
    assert_int_equal(tier_sync(p->site->t, &p->site->err), 0);
    struct copy *c = &p->c[1];
    c->loc.block++;
    assert_int_equal(get(p, c), -EBADMSG);
    c->loc.block += 200000;
    assert_int_equal(get(p, c), -EBADMSG);
    c->loc.block = p->c[0].loc.block;
    c->loc.byteoffset = p->c[0].loc.byteoffset;
    assert_int_equal(get(p, c), TIER_ABSENT); /* another id lies there */
    c->loc.byteoffset = 0;
    assert_int_equal(get(p, c), -EINVAL);
}

/* ---- what others find ---- */

struct seen {
    struct packs *p;
    unsigned complete, damaged, found;
    uint64_t members;
};

static int on_piece(void *arg, const struct s3_piece *x, struct err *err)
{
    struct seen *s = arg;
    (void)err;
    s->complete += x->complete;
    s->damaged += x->damaged;
    s->members = x->members;
    for (size_t i = 0; i < FILES && x->complete; i++) {
        const struct copy *c = &s->p->c[i];
        if (memcmp(&c->o.id, &x->id, sizeof(x->id)) != 0)
            continue;
        s->found++;
        assert_string_equal(x->location->key, c->loc.key);
        assert_true(x->location->block == c->loc.block);
        assert_int_equal(x->location->byteoffset, c->loc.byteoffset);
        assert_string_equal(x->fs, "fs1");
    }
    return 0;
}

static int on_entry(void *arg, const struct tier_entry *x, struct err *err)
{
    struct seen *s = arg;
    (void)err;
    for (size_t i = 0; i < FILES; i++) {
        const struct copy *c = &s->p->c[i];
        if (memcmp(&c->o.id, &x->id, sizeof(x->id)) != 0)
            continue;
        s->found++;
        assert_string_equal(x->path, c->path);
        assert_true(x->size == c->o.size && x->mtime_ns == c->o.mtime_ns);
        assert_int_equal(x->mode, c->o.mode);
        assert_int_equal(x->nxattrs, 1);
        assert_memory_equal(x->xattrs[0].value, c->tag, strlen(c->tag));
    }
    return 0;
}

static struct seen walk(struct packs *p)
{
    struct seen s = {.p = p};
    uint64_t foreign = 0;
    assert_int_equal(s3_tier_walk(p->site->s, on_piece, &s, &foreign, &p->site->err), 0);
    assert_int_equal(foreign, 0);
    return s;
}

static void walk_list_and_show_tell_every_member(void **state)
{
    struct packs *p = *state;
    put_some(p, 25, 900);
    assert_int_equal(tier_sync(p->site->t, &p->site->err), 0);
    struct seen s = walk(p);
    assert_int_equal(s.complete, 25);
    assert_int_equal(s.found, 25);
    assert_int_equal(s.members, 25);
    struct seen listed = {.p = p};
    assert_int_equal(tier_list(p->site->t, on_entry, &listed, &p->site->err), 0);
    assert_int_equal(listed.found, 25);
    struct seen shown = {.p = p};
    uint64_t size = 0;
    for (size_t i = 0; i < 25; i++) {
        const struct copy *c = &p->c[i];
        assert_int_equal(tier_show(p->site->t, &c->o.id, &c->loc, on_entry, &shown, &p->site->err),
                         0);
        assert_int_equal(tier_verify(p->site->t, &c->o.id, &c->loc, NULL, &size, &p->site->err), 0);
        assert_int_equal(size, c->o.size);
    }
    assert_int_equal(shown.found, 25);
}

static void a_pack_without_its_directory_is_damaged_not_garbage(void **state)
{
    struct packs *p = *state;
    put_some(p, 5, 900);
    assert_int_equal(tier_sync(p->site->t, &p->site->err), 0);
    change(p, cut);
    struct seen s = walk(p);
    assert_int_equal(s.damaged, 1);
    assert_int_equal(s.complete, 0);
    for (size_t i = 0; i < 5; i++) /* their places are known, so they are read */
        assert_good(p, p->site->t, &p->c[i]);
}

static void one_of_several_is_not_removed_and_the_pack_is_dropped_whole(void **state)
{
    struct packs *p = *state;
    uint64_t bytes = 0;
    put_some(p, 2, 900);
    assert_int_equal(tier_sync(p->site->t, &p->site->err), 0);
    struct copy *c = &p->c[0];
    assert_int_equal(tier_remove(p->site->t, &c->o.id, &c->loc, &p->site->err), -ENOTSUP);
    assert_non_null(strstr(p->site->err.text, "tier gc"));
    assert_good(p, p->site->t, c);
    assert_int_equal(s3_tier_drop_pack(p->site->s, "firn-unit/x.sole", NULL, &p->site->err),
                     -EINVAL);
    assert_int_equal(s3_tier_drop_pack(p->site->s, c->loc.key, &bytes, &p->site->err), 0);
    assert_true(bytes > 0);
    assert_int_equal(s3site_objects(p->site), 0);
    assert_int_equal(get(p, c), TIER_ABSENT);
    assert_int_equal(get(p, &p->c[1]), TIER_ABSENT);
    assert_int_equal(s3_tier_drop_pack(p->site->s, c->loc.key, &bytes, &p->site->err), 0);
}

static void what_is_at_hand_is_not_trusted_for_long(void **state)
{
    struct packs *p = *state;
    auto_free char *bucket = NULL;
    const char *key = NULL;
    put_some(p, 20, 900);
    assert_int_equal(tier_sync(p->site->t, &p->site->err), 0);
    for (size_t i = 0; i < 20; i++)
        assert_good(p, p->site->t, &p->c[i]);
    assert_int_equal(s3_split_location(p->c[0].loc.key, &bucket, &key, NULL), 0);
    assert_int_equal(store_delete(s3_tier_store(p->site->s), bucket, key, NULL, &p->site->err), 0);
    (void)sleep(6);
    assert_int_equal(get(p, &p->c[10]), TIER_ABSENT);
}

static void a_cancelled_lane_leaves_the_pack_to_the_others(void **state)
{
    struct packs *p = *state;
    auto_tier struct tier *other = s3_tier_lane(p->site->s, "other");
    put_some(p, 3, 900);
    tier_cancel(p->site->t, true);
    assert_int_equal(tier_sync(p->site->t, &p->site->err), -ECANCELED);
    assert_int_equal(tier_sync(other, &p->site->err), 0);
    for (size_t i = 0; i < 3; i++)
        assert_good(p, other, &p->c[i]);
}

static size_t allocated(void)
{
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

static void members_take_no_memory_besides_the_packs(void **state)
{
    struct packs *p = *state;
    p->site->config.pack_size = 8 * MIB;
    assert_int_equal(s3site_reopen(p->site), 0);
    put_some(p, 1, 1);
    assert_int_equal(tier_sync(p->site->t, &p->site->err), 0);
    size_t before = allocated();
    for (int i = 0; i < 20000; i++)
        put_some(p, 1, 1);
    assert_in_range(s3site_objects(p->site), 2, 3); /* a full one, and the other half full */
    assert_true(allocated() < before + MIB);
}

static void sizes_that_cannot_be_are_refused(void **state)
{
    struct packs *p = *state;
    const uint64_t wrong[][2] = {{1000, 100}, {S3_PACK_MAX + 1, 100}, {PACK, PACK}};
    for (size_t i = 0; i < 3; i++) {
        p->site->config.pack_size = wrong[i][0];
        p->site->config.pack_file = wrong[i][1];
        assert_int_equal(s3site_reopen(p->site), -EINVAL);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(files_of_many_lanes_come_back_in_any_order),
        T(packs_hold_every_kind_of_stored_bytes),
        T(nothing_counts_before_it_is_flushed),
        T(a_full_pack_is_sent_by_itself),
        T(what_does_not_fit_goes_by_itself),
        T(places_rise_over_all_packs),
        T(a_pack_that_cannot_be_sent_is_tried_again),
        T(a_put_that_finds_no_room_says_so_and_the_others_stay),
        T(a_network_that_garbles_answers_gives_nothing_wrong),
        T(a_pack_that_is_too_large_for_the_store_names_its_setting),
        T(a_damaged_member_is_named_and_the_others_are_well),
        T(a_wrong_place_gives_no_copy),
        T(walk_list_and_show_tell_every_member),
        T(a_pack_without_its_directory_is_damaged_not_garbage),
        T(one_of_several_is_not_removed_and_the_pack_is_dropped_whole),
        T(what_is_at_hand_is_not_trusted_for_long),
        T(a_cancelled_lane_leaves_the_pack_to_the_others),
        T(members_take_no_memory_besides_the_packs),
        T(sizes_that_cannot_be_are_refused),
    };
#undef T
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("s3 packs", tests, NULL, NULL);
}
