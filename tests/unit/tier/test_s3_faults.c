/* SPDX-License-Identifier: Apache-2.0 */
/* Kind s3 when stores and networks fail, and when objects are damaged: nothing wrong is ever given
 * as data, and what is said names the object. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "s3site.h"
#include "teststore.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SIZE (4 * SITE_CHUNK + 1000)

struct copy {
    struct s3site *site;
    struct tier_object o;
    struct tier_location loc;
    uint8_t *back;
    char bucket[STORE_BUCKET_MAX], key[STORE_KEY_MAX];
};

static int setup(void **state)
{
    struct copy *c = xzalloc(sizeof(*c));
    c->site = s3site_new();
    c->o = s3site_object("file", SIZE);
    c->back = xzalloc(SIZE);
    *state = c;
    return 0;
}

static int teardown(void **state)
{
    struct copy *c = *state;
    tier_location_fini(&c->loc);
    s3site_free(c->site);
    free(c->back);
    free(c);
    return 0;
}

static void put(struct copy *c)
{
    struct s3site *site = c->site;
    int rc = s3site_put(site, site->t, &c->o, site->text, &c->loc, &site->err);
    if (rc != 0)
        (void)fprintf(stderr, "# %s\n", site->err.text);
    assert_int_equal(rc, 0);
}

static int get(struct copy *c)
{
    return s3site_get(c->site->t, &c->o, &c->loc, c->back, &c->site->err);
}

static void assert_good(struct copy *c)
{
    assert_int_equal(get(c), 0);
    assert_memory_equal(c->back, c->site->text, c->o.size);
}

/* What reached the sink before the error is data of the file. */
static void assert_bad(struct copy *c, uint64_t good)
{
    assert_int_equal(get(c), -EBADMSG);
    assert_memory_equal(c->back, c->site->text, good);
    for (uint64_t i = good; i < c->o.size; i++)
        assert_int_equal(c->back[i], 0);
    assert_non_null(strstr(c->site->err.text, c->bucket));
    assert_non_null(strstr(c->site->err.text, c->key));
}

static void locate(struct copy *c, long n)
{
    s3site_locate(c->site, &c->o.id, n, c->bucket, c->key);
}

static size_t flip(uint8_t *data, size_t size)
{
    data[size / 2] ^= 1;
    return size;
}

static size_t cut(uint8_t *data, size_t size)
{
    (void)data;
    return size - 1;
}

static size_t add(uint8_t *data, size_t size)
{
    (void)data;
    return size + 1;
}

/* ---- damage in the store ---- */

static void a_changed_chunk_is_never_given_and_is_named(void **state)
{
    size_t (*const ways[])(uint8_t *, size_t) = {flip, cut, add};
    struct copy *c = *state;
    for (int encrypted = 0; encrypted < 2; encrypted++) {
        c->site->config.key_file = encrypted ? c->site->key_file : NULL;
        assert_int_equal(s3site_reopen(c->site), 0);
        for (size_t i = 0; i < 3; i++) {
            c->o.id = uuid_new();
            tier_location_fini(&c->loc);
            put(c);
            locate(c, 2);
            s3site_change(c->site, c->bucket, c->key, ways[i]);
            assert_bad(c, 2 * SITE_CHUNK);
        }
    }
}

static void a_changed_sole_object_is_never_given(void **state)
{
    struct copy *c = *state;
    c->o.size = 1000;
    put(c);
    locate(c, SITE_SOLE);
    s3site_change(c->site, c->bucket, c->key, flip);
    assert_bad(c, 0);
    c->loc.block = c->loc.last_block = 0;
    assert_bad(c, 0);
}

static void a_missing_chunk_is_named(void **state)
{
    struct copy *c = *state;
    put(c);
    locate(c, 3);
    assert_int_equal(
        store_delete(s3_tier_store(c->site->s), c->bucket, c->key, NULL, &c->site->err), 0);
    assert_bad(c, 3 * SITE_CHUNK);
    assert_non_null(strstr(c->site->err.text, "missing"));
}

static void without_its_manifest_there_is_no_copy(void **state)
{
    struct copy *c = *state;
    put(c);
    locate(c, SITE_MANIFEST);
    assert_int_equal(
        store_delete(s3_tier_store(c->site->s), c->bucket, c->key, NULL, &c->site->err), 0);
    assert_int_equal(get(c), TIER_ABSENT);
    assert_int_equal(tier_verify(c->site->t, &c->o.id, &c->loc, NULL, NULL, &c->site->err),
                     TIER_ABSENT);
}

static void a_changed_manifest_is_refused(void **state)
{
    struct copy *c = *state;
    put(c);
    locate(c, SITE_MANIFEST);
    s3site_change(c->site, c->bucket, c->key, flip);
    assert_bad(c, 0);
}

/* Gives chunk a the body and metadata of chunk b. */
static void overwrite(struct copy *c, long a, long b)
{
    struct store *s = s3_tier_store(c->site->s);
    auto_store_reply struct store_reply r = {0};
    auto_free char *data = NULL;
    size_t size = 0;
    bool proven = false;
    locate(c, b);
    assert_int_equal(
        store_get_small(s, c->bucket, c->key, 1 << 20, &data, &size, NULL, &r, &c->site->err), 0);
    locate(c, a);
    struct store_put p = {.bucket = c->bucket,
                          .key = c->key,
                          .data = data,
                          .size = size,
                          .meta = r.meta,
                          .nmeta = r.nmeta};
    assert_int_equal(store_put(s, &p, NULL, &proven, NULL, &c->site->err), 0);
}

static void chunks_cannot_be_exchanged(void **state)
{
    struct copy *c = *state;
    for (int encrypted = 0; encrypted < 2; encrypted++) {
        c->site->config.key_file = encrypted ? c->site->key_file : NULL;
        c->site->config.codec = encrypted ? CHUNK_RAW : CHUNK_LZ4; /* of equal size */
        assert_int_equal(s3site_reopen(c->site), 0);
        c->o.id = uuid_new();
        tier_location_fini(&c->loc);
        put(c);
        overwrite(c, 1, 2);
        assert_bad(c, SITE_CHUNK);
    }
}

/* ---- damage on the way ---- */

static void a_chunk_that_comes_damaged_once_is_fetched_again(void **state)
{
    static const char *const rules[] = {
        "flip_response method=GET key=/2$ count=1",
        "zero_response method=GET key=/1$ count=1",
        "truncate_response method=GET key=/2$ count=1",
        "other_object method=GET key=/3$ count=1",
        "cut_response_body method=GET key=/0$ count=1",
        "garbage method=GET key=/2$ count=1",
        "not_found method=GET key=/2$ count=1",
        "flip_response method=GET key=/manifest$ count=1",
        "truncate_response length=right method=GET key=/2$ count=1"};
    struct copy *c = *state;
    put(c);
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        int fault = teststore_fault(rules[i]);
        memset(c->back, 0, SIZE);
        assert_good(c);
        assert_int_equal(teststore_hits(fault), 1);
        (void)teststore_tell("clear");
    }
}

static void a_put_that_comes_damaged_is_sent_again_or_fails_but_never_counts(void **state)
{
    static const char *const rules[] = {"flip_request method=PUT key=/2$ count=1",
                                        "truncate_request length=right method=PUT key=/2$ count=1",
                                        "empty_ok method=PUT key=/2$ count=1",
                                        "cut_request_body method=PUT key=/1$ count=1",
                                        "cut_after_work method=PUT key=/3$ count=1",
                                        "wrong_etag method=PUT key=/3$ count=1",
                                        "flip_request method=PUT key=/manifest$ count=1"};
    struct copy *c = *state;
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        int fault = teststore_fault(rules[i]);
        c->o.id = uuid_new();
        tier_location_fini(&c->loc);
        int rc = s3site_put(c->site, c->site->t, &c->o, c->site->text, &c->loc, &c->site->err);
        assert_true(teststore_hits(fault) >= 1);
        (void)teststore_tell("clear");
        if (rc == 0)
            assert_good(c);
        else
            assert_true(rc < 0);
    }
}

static void a_storm_of_503_is_weathered(void **state)
{
    struct copy *c = *state;
    int storm = teststore_fault("slow_down probability=0.4");
    c->site->config.store.retries = 20;
    c->site->config.store.retry_base_ms = 1;
    c->site->config.store.retry_max_ms = 5;
    assert_int_equal(s3site_reopen(c->site), 0);
    for (int i = 0; i < 5; i++) {
        c->o.id = uuid_new();
        tier_location_fini(&c->loc);
        put(c);
        assert_good(c);
        assert_int_equal(tier_remove(c->site->t, &c->o.id, &c->loc, &c->site->err), 0);
    }
    assert_true(teststore_hits(storm) > 10);
}

static void a_store_that_is_full_is_an_outcome(void **state)
{
    struct copy *c = *state;
    (void)teststore_fault("full method=PUT key=/1$");
    assert_int_equal(s3site_put(c->site, c->site->t, &c->o, c->site->text, &c->loc, &c->site->err),
                     TIER_FULL);
    (void)teststore_tell("clear");
    assert_int_equal(s3site_reopen(c->site), 0);
    assert_int_equal(s3site_objects(c->site), 0);
}

static void a_put_that_fails_leaves_nothing(void **state)
{
    static const char *const rules[] = {"denied method=PUT key=/2$",
                                        "denied method=PUT key=/manifest$"};
    struct copy *c = *state;
    for (size_t i = 0; i < 2; i++) {
        (void)teststore_fault(rules[i]);
        int rc = s3site_put(c->site, c->site->t, &c->o, c->site->text, &c->loc, &c->site->err);
        assert_int_equal(rc, -EACCES);
        (void)teststore_tell("clear");
        assert_int_equal(s3site_reopen(c->site), 0); /* ends what sweeps in the background */
        assert_int_equal(s3site_objects(c->site), 0);
    }
}

static void another_try_with_the_same_id_is_not_swept_with_the_first(void **state)
{
    struct copy *c = *state;
    for (int i = 0; i < 20; i++) {
        (void)teststore_fault("denied method=PUT key=/3$");
        (void)teststore_fault("latency method=POST|DELETE seconds=0.05");
        assert_int_equal(
            s3site_put(c->site, c->site->t, &c->o, c->site->text, &c->loc, &c->site->err), -EACCES);
        (void)teststore_tell("clear");
        put(c);
        assert_good(c);
        tier_location_fini(&c->loc);
    }
}

/* ---- proof ---- */

static void a_store_that_proves_nothing_is_read_back(void **state)
{
    struct copy *c = *state;
    assert_int_equal(s3site_reopen(c->site), 0);
    (void)teststore_fault("wrong_etag etag=00112233445566778899aabbccddeeff-1 method=PUT");
    (void)teststore_fault("drop_checksums method=PUT");
    int reads = teststore_fault("latency method=GET seconds=0");
    put(c);
    assert_true(teststore_hits(reads) >= 6); /* five chunks and the manifest */
    assert_good(c);
}

static void a_store_that_proves_nothing_fails_where_proof_is_demanded(void **state)
{
    struct copy *c = *state;
    c->site->config.verify = S3_VERIFY_CHECKSUM;
    assert_int_equal(s3site_reopen(c->site), 0);
    put(c);
    assert_good(c);
    tier_location_fini(&c->loc);
    c->o.id = uuid_new();
    (void)teststore_fault("wrong_etag etag=00112233445566778899aabbccddeeff-1 method=PUT");
    (void)teststore_fault("drop_checksums method=PUT");
    assert_int_equal(s3site_put(c->site, c->site->t, &c->o, c->site->text, &c->loc, &c->site->err),
                     -EBADMSG);
    assert_non_null(strstr(c->site->err.text, "verify"));
}

static void what_is_read_back_otherwise_than_sent_does_not_count(void **state)
{
    struct copy *c = *state;
    c->site->config.verify = S3_VERIFY_READ;
    assert_int_equal(s3site_reopen(c->site), 0);
    (void)teststore_fault("flip_response method=GET key=/1$");
    assert_int_equal(s3site_put(c->site, c->site->t, &c->o, c->site->text, &c->loc, &c->site->err),
                     -EBADMSG);
    assert_non_null(strstr(c->site->err.text, "/1"));
}

/* ---- opening ---- */

static void a_bucket_that_is_missing_is_named(void **state)
{
    struct copy *c = *state;
    c->site->config.create_buckets = false;
    c->site->config.bucket_prefix = "firn-nothing-here";
    assert_int_equal(s3site_reopen(c->site), -ENOENT);
    assert_non_null(strstr(c->site->err.text, "firn-nothing-here"));
    c->site->config.bucket_prefix = "firn-unit";
    assert_int_equal(s3site_reopen(c->site), 0);
}

static void a_configuration_that_cannot_work_is_refused(void **state)
{
    struct copy *c = *state;
    struct s3_tier *s = NULL;
    struct s3_tier_config config = c->site->config;
    config.buffers = 1;
    assert_int_equal(s3_tier_open(&config, &s, &c->site->err), -EINVAL);
    config = c->site->config;
    config.chunk_size = 100;
    assert_int_equal(s3_tier_open(&config, &s, &c->site->err), -EINVAL);
    config = c->site->config;
    config.key_file = c->site->key_file;
    config.key_id = "other";
    assert_int_equal(s3_tier_open(&config, &s, &c->site->err), -ENOKEY);
    assert_non_null(strstr(c->site->err.text, "other"));
    assert_null(s);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_changed_chunk_is_never_given_and_is_named),
        T(a_changed_sole_object_is_never_given),
        T(a_missing_chunk_is_named),
        T(without_its_manifest_there_is_no_copy),
        T(a_changed_manifest_is_refused),
        T(chunks_cannot_be_exchanged),
        T(a_chunk_that_comes_damaged_once_is_fetched_again),
        T(a_put_that_comes_damaged_is_sent_again_or_fails_but_never_counts),
        T(a_storm_of_503_is_weathered),
        T(a_store_that_is_full_is_an_outcome),
        T(a_put_that_fails_leaves_nothing),
        T(another_try_with_the_same_id_is_not_swept_with_the_first),
        T(a_store_that_proves_nothing_is_read_back),
        T(a_store_that_proves_nothing_fails_where_proof_is_demanded),
        T(what_is_read_back_otherwise_than_sent_does_not_count),
        T(a_bucket_that_is_missing_is_named),
        T(a_configuration_that_cannot_work_is_refused),
    };
#undef T
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("s3 faults", tests, NULL, NULL);
}
