/* SPDX-License-Identifier: Apache-2.0 */
/* Kind s3 and what lies in buckets: walks, garbage, labels, cold classes, and the archives of
 * others. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "s3site.h"
#include "teststore.h"

#include <errno.h>
#include <lz4.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define LABEL "lustre/fs.1/0x200000401:0x1:0x0"

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

static struct tier_location put(struct s3site *site, struct tier_object *o, const void *data)
{
    struct tier_location loc = {0};
    assert_int_equal(s3site_put(site, site->t, o, data, &loc, &site->err), 0);
    return loc;
}

static void put_object(struct s3site *site, const char *bucket, const char *key, const void *data,
                       size_t size, const struct store_field *meta, size_t nmeta)
{
    struct store_put p = {
        .bucket = bucket, .key = key, .data = data, .size = size, .meta = meta, .nmeta = nmeta};
    bool proven = false;
    assert_int_equal(store_put(s3_tier_store(site->s), &p, NULL, &proven, NULL, &site->err), 0);
}

static void drop(struct s3site *site, const struct uuid *id, long n)
{
    char bucket[STORE_BUCKET_MAX];
    char key[STORE_KEY_MAX];
    s3site_locate(site, id, n, bucket, key);
    assert_int_equal(store_delete(s3_tier_store(site->s), bucket, key, NULL, &site->err), 0);
}

/* ---- walks ---- */

struct wanted {
    struct uuid id;
    bool complete, damaged;
    uint64_t objects;
    const char *label;
    unsigned seen;
};

struct walk {
    struct wanted *list;
    size_t n, others;
};

static int on_piece(void *arg, const struct s3_piece *p, struct err *err)
{
    struct walk *w = arg;
    (void)err;
    for (size_t i = 0; i < w->n; i++) {
        struct wanted *x = &w->list[i];
        if (memcmp(&x->id, &p->id, sizeof(x->id)) != 0)
            continue;
        x->seen++;
        assert_int_equal(p->complete, x->complete);
        assert_int_equal(p->damaged, x->damaged);
        assert_int_equal(p->objects, x->objects);
        assert_string_equal(p->label, x->label);
        assert_string_equal(p->fs, "fs1");
        assert_int_equal(p->location != NULL, x->complete);
        assert_true(p->newest_ns > time_now_ns() - 600 * NS_PER_SEC);
        return 0;
    }
    w->others++;
    return 0;
}

static void a_walk_tells_copies_from_remnants_and_from_what_is_hurt(void **state)
{
    struct s3site *site = *state;
    struct tier_object small = s3site_object("a", 100);
    struct tier_object large = s3site_object("b", 4 * SITE_CHUNK);
    struct tier_object remnant = s3site_object("c", 4 * SITE_CHUNK);
    struct tier_object hurt = s3site_object("d", 4 * SITE_CHUNK);
    uint64_t foreign = 0;
    large.label = LABEL;
    auto_tier_location struct tier_location a = put(site, &small, site->text);
    auto_tier_location struct tier_location b = put(site, &large, site->text);
    auto_tier_location struct tier_location c = put(site, &remnant, site->text);
    auto_tier_location struct tier_location d = put(site, &hurt, site->text);
    drop(site, &remnant.id, SITE_MANIFEST);
    drop(site, &hurt.id, 2);
    auto_free char *alien = xasprintf("%s/not-of-firn/x", site->key_prefix);
    auto_free char *bucket = xstrndup(a.key, strcspn(a.key, "/"));
    put_object(site, bucket, alien, "x", 1, NULL, 0);
    struct wanted list[] = {{small.id, true, false, 1, "", 0},
                            {large.id, true, false, 5, LABEL, 0},
                            {remnant.id, false, false, 4, "", 0},
                            {hurt.id, false, true, 4, "", 0}};
    struct walk w = {list, 4, 0};
    assert_int_equal(s3_tier_walk(site->s, on_piece, &w, &foreign, &site->err), 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(list[i].seen, 1);
    assert_int_equal(w.others, 0);
    assert_int_equal(foreign, 1);
}

static void a_copy_made_again_in_the_other_form_is_one_copy(void **state)
{
    struct s3site *site = *state;
    struct tier_object o = s3site_object("again", 100);
    struct tier_xattr much = {"user.much", site->noise, 3000};
    auto_free uint8_t *back = xzalloc(100);
    auto_tier_location struct tier_location sole = put(site, &o, site->text);
    o.xattrs = &much;
    o.nxattrs = 1;
    auto_tier_location struct tier_location many = put(site, &o, site->text);
    struct walk w = {&(struct wanted){o.id, true, false, 3, "", 0}, 1, 0};
    assert_int_equal(s3_tier_walk(site->s, on_piece, &w, NULL, &site->err), 0);
    assert_int_equal(s3site_get(site->t, &o, &many, back, &site->err), 0);
    drop(site, &o.id, 0); /* the sole object is what is left whole */
    w.list[0].objects = 2;
    assert_int_equal(s3_tier_walk(site->s, on_piece, &w, NULL, &site->err), 0);
    assert_int_equal(w.list[0].seen, 2);
    assert_int_equal(s3site_get(site->t, &o, &sole, back, &site->err), 0);
    assert_int_equal(s3_tier_purge(site->s, &o.id, NULL, NULL, NULL, &site->err), 0);
    assert_int_equal(s3site_objects(site), 0);
}

static void a_walk_over_a_store_that_does_not_answer_fails_and_calls_nothing_garbage(void **state)
{
    struct s3site *site = *state;
    struct tier_object o = s3site_object("a", 100);
    struct walk w = {0};
    auto_tier_location struct tier_location loc = put(site, &o, site->text);
    (void)teststore_fault("internal_error method=HEAD key=.sole$");
    assert_true(s3_tier_walk(site->s, on_piece, &w, NULL, &site->err) < 0);
    assert_int_equal(w.others, 0);
}

static void a_walk_sees_the_buckets_of_an_older_count(void **state)
{
    struct s3site *site = *state;
    struct wanted list[12];
    struct walk w = {list, 12, 0};
    for (size_t i = 0; i < 12; i++) {
        struct tier_object o = s3site_object("many", 2 * SITE_CHUNK);
        auto_tier_location struct tier_location loc = put(site, &o, site->text);
        list[i] = (struct wanted){o.id, true, false, 3, "", 0};
    }
    site->config.bucket_count = 2;
    assert_int_equal(s3site_reopen(site), 0);
    assert_int_equal(s3_tier_walk(site->s, on_piece, &w, NULL, &site->err), 0);
    for (size_t i = 0; i < 12; i++)
        assert_int_equal(list[i].seen, 1);
}

static void a_purge_deletes_all_objects_of_one_id_and_no_other(void **state)
{
    struct s3site *site = *state;
    struct tier_object kept = s3site_object("a", 2 * SITE_CHUNK);
    struct tier_object gone = s3site_object("b", 3 * SITE_CHUNK);
    uint64_t objects = 0;
    uint64_t bytes = 0;
    gone.label = LABEL;
    auto_tier_location struct tier_location a = put(site, &kept, site->noise);
    auto_tier_location struct tier_location b = put(site, &gone, site->noise);
    assert_int_equal(s3_tier_purge(site->s, &gone.id, LABEL, &objects, &bytes, &site->err), 0);
    assert_int_equal(objects, 4);
    assert_true(bytes > 3 * SITE_CHUNK);
    assert_int_equal(s3site_objects(site), 3);
    assert_int_equal(s3_tier_purge(site->s, &gone.id, LABEL, &objects, &bytes, &site->err), 0);
    assert_int_equal(objects, 0);
}

static int count_piece(void *arg, const struct s3_piece *p, struct err *err)
{
    struct wanted *x = arg;
    (void)err;
    assert_true(p->complete);
    assert_string_equal(p->label, x->label);
    x->seen++;
    return 0;
}

static void copies_are_found_by_their_label(void **state)
{
    struct s3site *site = *state;
    struct tier_object one = s3site_object("a", 100);
    struct tier_object two = s3site_object("a", 2 * SITE_CHUNK);
    struct tier_object three = s3site_object("b", 100);
    struct wanted x = {.label = LABEL};
    one.label = two.label = LABEL;
    three.label = LABEL "0"; /* begins like it */
    auto_tier_location struct tier_location a = put(site, &one, site->text);
    auto_tier_location struct tier_location b = put(site, &two, site->text);
    auto_tier_location struct tier_location c = put(site, &three, site->text);
    assert_int_equal(s3_tier_find_label(site->s, LABEL, count_piece, &x, &site->err), 0);
    assert_int_equal(x.seen, 2);
}

/* ---- cold classes ---- */

struct watch {
    struct s3site *site;
    int polled;
    uint64_t used; /* bytes of memory while objects thaw */
};

static void *watch_memory(void *arg)
{
    struct watch *w = arg;
    for (int i = 0; i < 10000 && teststore_hits(w->polled) == 0; i++)
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    s3_tier_memory(w->site->s, &w->used, NULL, NULL);
    return NULL;
}

static void a_copy_that_thaws_takes_no_memory_from_others(void **state)
{
    struct s3site *site = *state;
    struct tier_object o = s3site_object("colder", 3 * SITE_CHUNK);
    auto_free uint8_t *back = xzalloc(o.size);
    auto_tier_location struct tier_location loc = put(site, &o, site->text);
    struct watch w = {.site = site, .used = 1};
    pthread_t thread;
    (void)teststore_fault("denied code=InvalidObjectState method=GET key=/0$ count=1");
    (void)teststore_fault("empty_ok status=202 method=POST key=restore");
    w.polled = teststore_fault(
        "put_header name=x-amz-restore value='ongoing-request=\"true\"' method=HEAD count=2");
    assert_int_equal(pthread_create(&thread, NULL, watch_memory, &w), 0);
    int rc = s3site_get(site->t, &o, &loc, back, &site->err);
    (void)pthread_join(thread, NULL);
    assert_int_equal(rc, 0);
    assert_memory_equal(back, site->text, o.size);
    assert_int_equal(w.used, 0);
}

static void what_is_archived_is_asked_for_and_waited_for(void **state)
{
    struct s3site *site = *state;
    struct tier_object o = s3site_object("cold", 3 * SITE_CHUNK);
    auto_free uint8_t *back = xzalloc(o.size);
    auto_tier_location struct tier_location loc = put(site, &o, site->text);
    (void)teststore_fault("denied code=InvalidObjectState method=GET key=/[0-2]$ count=3");
    int asked = teststore_fault("empty_ok status=202 method=POST key=restore");
    int polled = teststore_fault(
        "put_header name=x-amz-restore value='ongoing-request=\"true\"' method=HEAD count=2");
    assert_int_equal(s3site_get(site->t, &o, &loc, back, &site->err), 0);
    assert_memory_equal(back, site->text, o.size);
    assert_int_equal(teststore_hits(asked), 3);
    assert_int_equal(teststore_hits(polled), 2);
}

/* ---- lustre-s3-copytool ---- */

#define FID "0000000200000401_00000001_00000000"

/* Writes a file as lustre-s3-copytool did. */
static void legacy_put(struct s3site *site, const char *data, size_t total, size_t chunk,
                       const char *claim)
{
    static const unsigned mod3[] = {2, 0, 1, 2}; /* djb2 of FID.0 ... .3, modulo 3 */
    char bucket[STORE_BUCKET_MAX];
    char key[64];
    char length[24];
    char size[24];
    (void)snprintf(length, sizeof(length), "%zu", total);
    (void)snprintf(size, sizeof(size), "%zu", chunk);
    struct store_field meta[] = {{"totallength", claim != NULL ? claim : length},
                                 {"chunksize", size},
                                 {"stripesize", "1048576"},
                                 {"stripecount", "1"},
                                 {"uid", "-2"},
                                 {"gid", "100"},
                                 {"path", "/mnt/lustre/.lustre/fid/0x200000401:0x1:0x0"}};
    for (size_t n = 0; n == 0 || n * chunk < total; n++) {
        char out[SITE_CHUNK * 2];
        size_t part = total - n * chunk < chunk ? total - n * chunk : chunk;
        int stored = LZ4_compress_default(data + n * chunk, out, (int)part, sizeof(out));
        (void)snprintf(key, sizeof(key), FID ".%zu", n);
        (void)snprintf(bucket, sizeof(bucket), "%s%s%u", site->config.bucket_prefix,
                       site->config.bucket_separator, mod3[n]);
        put_object(site, bucket, key, out, (size_t)stored, meta, 7);
    }
}

static int legacy_entry(void *arg, const struct tier_entry *e, struct err *err)
{
    (void)arg, (void)err;
    assert_int_equal(e->uid, 4294967294U);
    assert_int_equal(e->gid, 100);
    assert_string_equal(e->path, ".lustre/fid/0x200000401:0x1:0x0");
    return 0;
}

static void an_archive_of_lustre_s3_copytool_is_read_and_removed(void **state)
{
    struct s3site *site = *state;
    static const size_t totals[] = {0, 1, 1000, 3000, 3500};
    static char where[] = S3_LEGACY_PREFIX FID;
    struct tier_location loc = {.key = where};
    for (size_t i = 0; i < sizeof(totals) / sizeof(totals[0]); i++) {
        struct tier_object o = s3site_object("x", totals[i]);
        auto_free uint8_t *back = xzalloc(totals[i] + 1);
        uint64_t size = 1;
        legacy_put(site, (const char *)site->text, totals[i], 1000, NULL);
        assert_int_equal(tier_verify(site->t, &o.id, &loc, NULL, &size, &site->err), 0);
        assert_int_equal(size, totals[i]);
        assert_int_equal(s3site_get(site->t, &o, &loc, back, &site->err), 0);
        assert_memory_equal(back, site->text, totals[i]);
        assert_int_equal(tier_show(site->t, &o.id, &loc, legacy_entry, NULL, &site->err), 0);
        assert_int_equal(tier_remove(site->t, &o.id, &loc, &site->err), 0);
        assert_int_equal(tier_verify(site->t, &o.id, &loc, NULL, NULL, &site->err), TIER_ABSENT);
    }
}

static void versions_of_an_interrupted_archive_are_never_mixed(void **state)
{
    struct s3site *site = *state;
    static char where[] = S3_LEGACY_PREFIX FID;
    struct tier_location loc = {.key = where};
    struct tier_object o = s3site_object("x", 3000);
    auto_free uint8_t *back = xzalloc(3000);
    legacy_put(site, (const char *)site->text, 3000, 1000, NULL);
    legacy_put(site, (const char *)site->text + 7, 1000, 1000, "2500"); /* only its first chunk */
    o.size = 2500;
    assert_int_equal(s3site_get(site->t, &o, &loc, back, &site->err), -EBADMSG);
    assert_non_null(strstr(site->err.text, "interrupted"));
    assert_non_null(strstr(site->err.text, FID ".1"));
    legacy_put(site, (const char *)site->text, 3000, 1000, NULL);
    assert_int_equal(tier_remove(site->t, &o.id, &loc, &site->err), 0);
}

static void a_chunk_of_an_old_archive_that_is_damaged_is_named(void **state)
{
    struct s3site *site = *state;
    static char where[] = S3_LEGACY_PREFIX FID;
    struct tier_location loc = {.key = where};
    struct tier_object o = s3site_object("x", 3000);
    auto_free uint8_t *back = xzalloc(3000);
    legacy_put(site, (const char *)site->text, 3000, 1000, NULL);
    (void)teststore_fault("flip_response method=GET key=00000000.2$");
    assert_int_equal(s3site_get(site->t, &o, &loc, back, &site->err), -EBADMSG);
    assert_non_null(strstr(site->err.text, FID ".2"));
    (void)teststore_tell("clear");
    assert_int_equal(tier_remove(site->t, &o.id, &loc, &site->err), 0);
}

static void what_names_no_object_of_theirs_is_refused(void **state)
{
    static char keys[][64] = {S3_LEGACY_PREFIX "0x200000401:0x1:0x0",
                              S3_LEGACY_PREFIX "0000000200000401_00000001_0000000",
                              S3_LEGACY_PREFIX "0000000200000401_00000001_00000000.0",
                              S3_LEGACY_PREFIX "0000000200000401-00000001-00000000",
                              "nothing",
                              "/x",
                              "bucket/"};
    struct s3site *site = *state;
    struct uuid id = uuid_new();
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        struct tier_location loc = {.key = keys[i]};
        assert_int_equal(tier_verify(site->t, &id, &loc, NULL, NULL, &site->err), -EINVAL);
    }
}

/* ---- plain objects ---- */

static int plain_entry(void *arg, const struct tier_entry *e, struct err *err)
{
    (void)arg, (void)err;
    assert_int_equal(e->uid, 1000);
    assert_int_equal(e->gid, 1001);
    assert_int_equal(e->mode, 0100664);
    assert_int_equal(e->mtime_ns, 1595002920000000123);
    return 0;
}

static void plain_objects_are_read_with_their_metadata_and_never_deleted(void **state)
{
    struct s3site *site = *state;
    static const size_t sizes[] = {0, 10, SITE_CHUNK, 3 * SITE_CHUNK + 5};
    static const struct store_field meta[] = {{"file-owner", "1000"},
                                              {"file-group", "1001"},
                                              {"file-permissions", "0100664"},
                                              {"file-mtime", "1595002920000000123ns"}};
    auto_free char *bucket =
        xasprintf("%s%s0", site->config.bucket_prefix, site->config.bucket_separator);
    auto_free char *key = xasprintf("%s/a dir/\xc3\xa4 file", site->key_prefix);
    auto_free char *where = xasprintf("%s%s/%s", S3_PLAIN_PREFIX, bucket, key);
    struct tier_location loc = {.key = where};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct tier_object o = s3site_object("x", sizes[i]);
        auto_free uint8_t *back = xzalloc(sizes[i] + 1);
        put_object(site, bucket, key, site->noise, sizes[i], meta, 4);
        assert_int_equal(s3site_get(site->t, &o, &loc, back, &site->err), 0);
        assert_memory_equal(back, site->noise, sizes[i]);
        assert_int_equal(tier_show(site->t, &o.id, &loc, plain_entry, NULL, &site->err), 0);
        assert_int_equal(tier_remove(site->t, &o.id, &loc, &site->err), -EPERM);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_walk_tells_copies_from_remnants_and_from_what_is_hurt),
        T(a_copy_made_again_in_the_other_form_is_one_copy),
        T(a_walk_over_a_store_that_does_not_answer_fails_and_calls_nothing_garbage),
        T(a_walk_sees_the_buckets_of_an_older_count),
        T(a_purge_deletes_all_objects_of_one_id_and_no_other),
        T(copies_are_found_by_their_label),
        T(what_is_archived_is_asked_for_and_waited_for),
        T(a_copy_that_thaws_takes_no_memory_from_others),
        T(an_archive_of_lustre_s3_copytool_is_read_and_removed),
        T(versions_of_an_interrupted_archive_are_never_mixed),
        T(a_chunk_of_an_old_archive_that_is_damaged_is_named),
        T(what_names_no_object_of_theirs_is_refused),
        T(plain_objects_are_read_with_their_metadata_and_never_deleted),
    };
#undef T
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("s3 archives", tests, NULL, NULL);
}
