/* SPDX-License-Identifier: Apache-2.0 */
#include "contract.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SIZE 3000000UL

struct fixture {
    const struct maker *maker;
    void *state;
    struct tier *t;
    struct err err;
    uint8_t *data; /* SIZE bytes of a pattern */
};

static const struct maker *current;

static int setup(void **state)
{
    struct fixture *f = xzalloc(sizeof(*f));
    f->maker = current;
    f->data = xzalloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        f->data[i] = (uint8_t)(i * 2654435761U >> 13);
    *state = f;
    return f->maker->make(&f->state, &f->t);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    f->maker->fini(f->state, f->t);
    free(f->data);
    free(f);
    return 0;
}

static struct tier_object object(const char *path, uint64_t size)
{
    static unsigned count;
    static char labels[64][64];
    char *label = labels[++count % 64];
    (void)snprintf(label, sizeof(labels[0]), "lustre/fs1.x/0x200000401:0x%x:0x0", count);
    struct tier_object o = {.id = uuid_new(),
                            .fs = "fs1",
                            .path = path,
                            .size = size,
                            .mtime_ns = 1700000000123456789,
                            .label = current->pack != NULL ? NULL : label};
    return o;
}

/* A copy that is small enough lies in a pack, where the maker's tier has them. */
static void assert_packed(const struct fixture *f, const struct tier_object *o, const char *key)
{
    assert_non_null(key);
    const char *end = f->maker->pack;
    if (end == NULL || o->size > 16384)
        return;
    assert_true(strlen(key) > strlen(end));
    assert_string_equal(key + strlen(key) - strlen(end), end);
}

/* In one pack only the place within it differs. */
static void assert_other_place(const struct tier_location *a, const struct tier_location *b)
{
    assert_true(strcmp(a->key, b->key) != 0 || (current->pack != NULL && a->block != b->block));
}

static struct tier_location put_data(struct fixture *f, const struct tier_object *o)
{
    struct tier_location loc = {0};
    assert_int_equal(tier_put_begin(f->t, o, &f->err), 0);
    for (uint64_t off = 0; off < o->size; off += 700001) {
        uint64_t n = o->size - off < 700001 ? o->size - off : 700001;
        assert_int_equal(tier_put_write(f->t, off, f->data + off, n, &f->err), 0);
    }
    assert_int_equal(tier_put_end(f->t, NULL, 0, &loc, &f->err), 0);
    assert_packed(f, o, loc.key);
    return loc;
}

struct sink {
    uint8_t *data;
    uint64_t size, got, end;
    int fail_with;
};

static int to_memory(void *arg, uint64_t off, const void *p, size_t n, struct err *err)
{
    struct sink *s = arg;
    if (s->fail_with != 0)
        return err_set(err, s->fail_with, "the sink is full");
    assert_true(off >= s->end);
    assert_true(off + n <= s->size);
    memcpy(s->data + off, p, n);
    s->got += n;
    s->end = off + n;
    return 0;
}

static int get(struct fixture *f, const struct uuid *id, const struct tier_location *loc,
               struct sink *s)
{
    uint8_t buf[70000];
    return tier_get(f->t, id, loc, buf, sizeof(buf), to_memory, s, &f->err);
}

static void assert_same(struct fixture *f, const struct tier_object *o,
                        const struct tier_location *loc, const uint8_t *want)
{
    auto_free uint8_t *data = xzalloc(o->size + 1);
    struct sink s = {.data = data, .size = o->size};
    assert_int_equal(get(f, &o->id, loc, &s), 0);
    assert_memory_equal(data, want, o->size);
}

static bool cannot_get(struct fixture *f)
{
    return (tier_caps(f->t) & TIER_CAN_GET) == 0;
}

static void a_copy_comes_back_byte_for_byte(void **state)
{
    struct fixture *f = *state;
    struct tier_object o = object("dir/a file", SIZE);
    auto_tier_location struct tier_location loc = put_data(f, &o);
    assert_int_equal(tier_sync(f->t, &f->err), 0);
    if (cannot_get(f)) {
        struct sink s = {0};
        assert_int_equal(get(f, &o.id, &loc, &s), -ENODATA);
        return;
    }
    assert_same(f, &o, &loc, f->data);
    assert_int_equal(tier_counts(f->t)->puts, 1);
    assert_int_equal(tier_counts(f->t)->bytes_out, SIZE);
}

static void a_synced_copy_is_there_after_reopen(void **state)
{
    struct fixture *f = *state;
    struct tier_object o = object("x", 100);
    auto_tier_location struct tier_location loc = put_data(f, &o);
    if (cannot_get(f))
        return;
    assert_int_equal(tier_sync(f->t, &f->err), 0);
    assert_int_equal(f->maker->reopen(f->state, &f->t), 0);
    assert_same(f, &o, &loc, f->data);
}

static void holes_stay_holes(void **state)
{
    struct fixture *f = *state;
    struct tier_object o = object("sparse", SIZE);
    auto_tier_location struct tier_location loc = {0};
    auto_free uint8_t *want = xzalloc(SIZE);
    memcpy(want + 1000000, f->data, 5000);
    memcpy(want + 2000000, f->data + 7, 70000);
    assert_int_equal(tier_put_begin(f->t, &o, &f->err), 0);
    assert_int_equal(tier_put_write(f->t, 1000000, f->data, 5000, &f->err), 0);
    assert_int_equal(tier_put_write(f->t, 2000000, f->data + 7, 70000, &f->err), 0);
    assert_int_equal(tier_put_end(f->t, NULL, 0, &loc, &f->err), 0);
    assert_int_equal(tier_sync(f->t, &f->err), 0);
    if (cannot_get(f))
        return;
    uint64_t size = 0;
    assert_int_equal(tier_verify(f->t, &o.id, &loc, NULL, &size, &f->err), 0);
    assert_int_equal(size, SIZE);
    assert_same(f, &o, &loc, want);
    struct tier_digest d = {.alg = DIGEST_XXH3_128};
    (void)digest_of(d.alg, want, SIZE, d.value);
    assert_int_equal(tier_verify(f->t, &o.id, &loc, &d, NULL, &f->err), 0);
}

static void a_wrong_digest_is_found(void **state)
{
    struct fixture *f = *state;
    struct tier_object o = object("d", 1000);
    auto_tier_location struct tier_location loc = put_data(f, &o);
    assert_int_equal(tier_sync(f->t, &f->err), 0);
    if (cannot_get(f))
        return;
    struct tier_digest d = {.alg = DIGEST_SHA256};
    (void)digest_of(d.alg, f->data, 1000, d.value);
    assert_int_equal(tier_verify(f->t, &o.id, &loc, &d, NULL, &f->err), 0);
    d.value[3] ^= 1;
    assert_int_equal(tier_verify(f->t, &o.id, &loc, &d, NULL, &f->err), -EBADMSG);
    assert_non_null(strstr(f->err.text, "sha256"));
}

static void another_id_is_absent(void **state)
{
    struct fixture *f = *state;
    struct tier_object o = object("d", 1000);
    auto_tier_location struct tier_location loc = put_data(f, &o);
    struct uuid other = uuid_new();
    struct sink s = {0};
    assert_int_equal(tier_sync(f->t, &f->err), 0);
    if (cannot_get(f))
        return;
    assert_int_equal(get(f, &other, &loc, &s), TIER_ABSENT);
    assert_int_equal(tier_verify(f->t, &other, &loc, NULL, NULL, &f->err), TIER_ABSENT);
}

static void an_aborted_put_leaves_no_copy(void **state)
{
    struct fixture *f = *state;
    struct tier_object o = object("gone", 1000);
    assert_int_equal(tier_put_begin(f->t, &o, &f->err), 0);
    assert_int_equal(tier_put_write(f->t, 0, f->data, 500, &f->err), 0);
    tier_put_abort(f->t);
    struct tier_object p = object("kept", 1000);
    auto_tier_location struct tier_location loc = put_data(f, &p);
    assert_int_equal(tier_sync(f->t, &f->err), 0);
    if (cannot_get(f))
        return;
    assert_int_equal(tier_verify(f->t, &o.id, &loc, NULL, NULL, &f->err), TIER_ABSENT);
    assert_same(f, &p, &loc, f->data);
}

static void puts_are_checked(void **state)
{
    struct fixture *f = *state;
    struct tier_object o = object("c", 100);
    struct tier_object bad[] = {object("../c", 1),  object("/c", 1), object("a//b", 1),
                                object("a/./b", 1), object("", 1),   object("a/", 1)};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(tier_put_begin(f->t, &bad[i], &f->err), -EINVAL);
    assert_int_equal(tier_put_write(f->t, 0, "x", 1, &f->err), -EINVAL);
    assert_int_equal(tier_put_begin(f->t, &o, &f->err), 0);
    assert_int_equal(tier_put_begin(f->t, &o, &f->err), -EBUSY);
    assert_int_equal(tier_put_write(f->t, 50, f->data, 10, &f->err), 0);
    assert_int_equal(tier_put_write(f->t, 40, f->data, 10, &f->err), -EINVAL);
    assert_int_equal(tier_put_write(f->t, 99, f->data, 2, &f->err), -EINVAL);
    tier_put_abort(f->t);
}

static void a_sinks_error_is_passed_on(void **state)
{
    struct fixture *f = *state;
    struct tier_object o = object("d", 1000);
    auto_tier_location struct tier_location loc = put_data(f, &o);
    struct sink s = {.fail_with = -ENOSPC};
    assert_int_equal(tier_sync(f->t, &f->err), 0);
    if (cannot_get(f))
        return;
    assert_int_equal(get(f, &o.id, &loc, &s), -ENOSPC);
    assert_non_null(strstr(f->err.text, "the sink is full"));
}

struct seen {
    struct uuid id;
    int count, found, fail_with;
    const char *path, *label;
};

static int see(void *arg, const struct tier_entry *e, struct err *err)
{
    struct seen *s = arg;
    (void)err;
    s->count++;
    if (memcmp(&e->id, &s->id, sizeof(e->id)) != 0)
        return 0;
    s->found++;
    assert_string_equal(e->fs, "fs1");
    assert_string_equal(e->path, s->path);
    assert_int_equal(e->size, 10);
    assert_int_equal(e->mtime_ns, 1700000000123456789);
    assert_string_equal(e->hash, "crc32:deadbeef");
    assert_non_null(e->location->key);
    return 0;
}

static struct tier_location put_hashed(struct fixture *f, const struct tier_object *o)
{
    struct tier_location loc = {0};
    struct tier_xattr x = {"ltfs.hash.crc32sum", "deadbeef", 8};
    assert_int_equal(tier_put_begin(f->t, o, &f->err), 0);
    assert_int_equal(tier_put_write(f->t, 0, f->data, 10, &f->err), 0);
    assert_int_equal(tier_put_end(f->t, &x, 1, &loc, &f->err), 0);
    assert_packed(f, o, loc.key);
    return loc;
}

static void list_tells_what_a_rebuild_needs(void **state)
{
    struct fixture *f = *state;
    struct tier_object o = object("deep/er/\xc3\xa4 b", 10);
    auto_tier_location struct tier_location loc = put_hashed(f, &o);
    struct tier_object p = object("other", 10);
    auto_tier_location struct tier_location loc2 = put_hashed(f, &p);
    struct seen s = {.id = o.id, .path = o.path};
    assert_other_place(&loc, &loc2);
    assert_int_equal(tier_sync(f->t, &f->err), 0);
    if ((tier_caps(f->t) & TIER_CAN_LIST) == 0) {
        assert_int_equal(tier_list(f->t, see, &s, &f->err), -ENOTSUP);
        return;
    }
    if (cannot_get(f))
        return;
    assert_int_equal(tier_list(f->t, see, &s, &f->err), 0);
    assert_int_equal(s.count, 2);
    assert_int_equal(s.found, 1);
}

static int see_all(void *arg, const struct tier_entry *e, struct err *err)
{
    struct seen *s = arg;
    (void)err;
    s->count++;
    assert_memory_equal(&e->id, &s->id, sizeof(e->id));
    assert_string_equal(e->fs, "fs1");
    assert_string_equal(e->path, s->path);
    assert_int_equal(e->size, 10);
    assert_int_equal(e->mtime_ns, 1700000000123456789);
    assert_int_equal(e->atime_ns, 1700000001987654321);
    assert_int_equal(e->uid, 1001);
    assert_int_equal(e->gid, 4000000000U);
    assert_int_equal(e->mode, 0100640);
    assert_string_equal(e->label != NULL ? e->label : "", s->label != NULL ? s->label : "");
    assert_int_equal(e->nxattrs, 2);
    for (size_t i = 0; i < 2; i++) {
        bool first = strcmp(e->xattrs[i].key, "user.\xc3\xa4=,%") == 0;
        assert_string_equal(e->xattrs[i].key, first ? "user.\xc3\xa4=,%" : "ltfs.hash.crc32sum");
        assert_int_equal(e->xattrs[i].len, first ? 5 : 8);
        assert_memory_equal(e->xattrs[i].value, first ? "a\0\xff b" : "deadbeef", first ? 5 : 8);
    }
    return s->fail_with;
}

static void show_tells_all_that_was_given(void **state)
{
    struct fixture *f = *state;
    struct tier_object o = object("deep/er/\xc3\xa4 b", 10);
    struct tier_xattr x = {"user.\xc3\xa4=,%", "a\0\xff b", 5};
    o.atime_ns = 1700000001987654321;
    o.uid = 1001;
    o.gid = 4000000000U;
    o.mode = 0100640;
    o.xattrs = &x;
    o.nxattrs = 1;
    auto_tier_location struct tier_location loc = put_hashed(f, &o);
    struct seen s = {.id = o.id, .path = o.path, .label = o.label};
    assert_int_equal(tier_sync(f->t, &f->err), 0);
    if ((tier_caps(f->t) & TIER_CAN_SHOW) == 0) {
        assert_int_equal(tier_show(f->t, &o.id, &loc, see_all, &s, &f->err), -ENOTSUP);
        return;
    }
    assert_int_equal(tier_show(f->t, &o.id, &loc, see_all, &s, &f->err), 0);
    assert_int_equal(s.count, 1);
    s.fail_with = -EINTR;
    assert_int_equal(tier_show(f->t, &o.id, &loc, see_all, &s, &f->err), -EINTR);
    struct uuid other = uuid_new();
    assert_int_equal(tier_show(f->t, &other, &loc, see_all, &s, &f->err), TIER_ABSENT);
}

static void a_cancelled_tier_works_again_when_it_is_let(void **state)
{
    struct fixture *f = *state;
    struct tier_object o = object("c", 1000);
    tier_cancel(f->t, true);
    int rc = tier_put_begin(f->t, &o, &f->err);
    if (rc == 0)
        rc = tier_put_write(f->t, 0, f->data, 1000, &f->err);
    assert_int_equal(rc, -ECANCELED);
    tier_put_abort(f->t);
    tier_cancel(f->t, false);
    auto_tier_location struct tier_location loc = put_data(f, &o);
    assert_int_equal(tier_sync(f->t, &f->err), 0);
    if (cannot_get(f))
        return;
    struct sink s = {0};
    tier_cancel(f->t, true);
    assert_int_equal(get(f, &o.id, &loc, &s), -ECANCELED);
    assert_int_equal(s.got, 0);
    tier_cancel(f->t, false);
    assert_same(f, &o, &loc, f->data);
}

static void two_versions_of_one_path_live_side_by_side(void **state)
{
    struct fixture *f = *state;
    struct tier_object o = object("same", 1000);
    struct tier_object p = object("same", 2000);
    auto_tier_location struct tier_location loc = put_data(f, &o);
    auto_tier_location struct tier_location loc2 = put_data(f, &p);
    assert_int_equal(tier_sync(f->t, &f->err), 0);
    assert_other_place(&loc, &loc2);
    if (cannot_get(f))
        return;
    assert_same(f, &o, &loc, f->data);
    assert_same(f, &p, &loc2, f->data);
}

static void a_removed_copy_is_absent(void **state)
{
    struct fixture *f = *state;
    struct tier_object o = object("d", 1000);
    auto_tier_location struct tier_location loc = put_data(f, &o);
    assert_int_equal(tier_sync(f->t, &f->err), 0);
    if ((tier_caps(f->t) & TIER_CAN_REMOVE) == 0)
        return;
    assert_int_equal(tier_remove(f->t, &o.id, &loc, &f->err), 0);
    assert_int_equal(tier_sync(f->t, &f->err), 0);
    assert_int_equal(tier_verify(f->t, &o.id, &loc, NULL, NULL, &f->err), TIER_ABSENT);
    assert_int_equal(tier_remove(f->t, &o.id, &loc, &f->err), TIER_ABSENT);
}

int contract_tier_run(const struct maker *m)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_copy_comes_back_byte_for_byte),
        T(a_synced_copy_is_there_after_reopen),
        T(holes_stay_holes),
        T(a_wrong_digest_is_found),
        T(another_id_is_absent),
        T(an_aborted_put_leaves_no_copy),
        T(puts_are_checked),
        T(a_sinks_error_is_passed_on),
        T(list_tells_what_a_rebuild_needs),
        T(show_tells_all_that_was_given),
        T(a_cancelled_tier_works_again_when_it_is_let),
        T(two_versions_of_one_path_live_side_by_side),
        T(a_removed_copy_is_absent),
    };
#undef T
    current = m;
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name(m->name, tests, NULL, NULL);
}
