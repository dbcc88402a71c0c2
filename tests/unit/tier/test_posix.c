/* SPDX-License-Identifier: Apache-2.0 */
/* Kind posix: that lhsmtool_posix finds its archive as it left it, and leaves it so. */
#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "tier/tier.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

struct fixture {
    char root[40];
    struct tier *t;
    struct err err;
};

static int setup(void **state)
{
    struct fixture *f = xzalloc(sizeof(*f));
    (void)snprintf(f->root, sizeof(f->root), "/var/tmp/firn-posix-XXXXXX");
    *state = f;
    return mkdtemp(f->root) == NULL ? -1 : tier_posix_open(f->root, "v2", &f->t, &f->err);
}

static int unlink_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    tier_free(f->t);
    (void)nftw(f->root, unlink_one, 16, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

static int put(struct fixture *f, struct tier_object *o, const char *data,
               struct tier_location *loc)
{
    o->id = uuid_new();
    o->fs = "lustre";
    o->path = "some/name";
    o->size = strlen(data);
    int rc = tier_put_begin(f->t, o, &f->err);
    if (rc == 0)
        rc = tier_put_write(f->t, 0, data, o->size, &f->err);
    if (rc == 0)
        rc = tier_put_end(f->t, NULL, 0, loc, &f->err);
    tier_put_abort(f->t);
    return rc;
}

static void assert_file(struct fixture *f, const char *path, const char *want)
{
    auto_free char *full = xasprintf("%s/%s", f->root, path);
    auto_free char *text = NULL;
    size_t n = 0;
    assert_int_equal(io_read_file(AT_FDCWD, full, 1000, &text, &n, &f->err), 0);
    assert_string_equal(text, want);
}

static void assert_none(struct fixture *f, const char *path)
{
    auto_free char *full = xasprintf("%s/%s", f->root, path);
    assert_int_equal(access(full, F_OK), -1);
}

static void a_copy_lies_where_format_v2_has_it(void **state)
{
    struct fixture *f = *state;
    auto_tier_location struct tier_location loc = {0};
    struct tier_xattr layout = {"firn.lustre.layout", "BLOB", 4};
    struct tier_object o = {.label = "lustre/l.x/0x200000401:0x1f2:0x0",
                            .mode = 0100604,
                            .mtime_ns = 1500000000000000007,
                            .xattrs = &layout,
                            .nxattrs = 1};
    struct stat st;
    assert_int_equal(put(f, &o, "data", &loc), 0);
    assert_string_equal(loc.key, "05f3/0x200000401:0x1f2:0x0");
    assert_file(f, "05f3/0x200000401:0x1f2:0x0", "data");
    assert_file(f, "05f3/0x200000401:0x1f2:0x0.lov", "BLOB");
    assert_none(f, "05f3/0x200000401:0x1f2:0x0_tmp");
    auto_free char *full = xasprintf("%s/%s", f->root, loc.key);
    assert_int_equal(stat(full, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0604);
    assert_int_equal(st.st_mtim.tv_nsec, 7);
    assert_int_equal(tier_remove(f->t, &o.id, &loc, &f->err), 0);
    assert_none(f, "05f3/0x200000401:0x1f2:0x0");
    assert_none(f, "05f3/0x200000401:0x1f2:0x0.lov");
}

static void format_v1_has_six_directories(void **state)
{
    struct fixture *f = *state;
    auto_tier_location struct tier_location loc = {0};
    struct tier_object o = {.label = "[0x123456789abcdef0:0xabcd1234:0x5]"};
    tier_free(take_ptr(f->t));
    assert_int_equal(tier_posix_open(f->root, "v1", &f->t, &f->err), 0);
    assert_int_equal(put(f, &o, "x", &loc), 0);
    assert_string_equal(loc.key, "1234/abcd/def0/9abc/5678/1234/0x123456789abcdef0:0xabcd1234:0x5");
    assert_file(f, loc.key, "x");
}

static void an_archive_of_lhsmtool_posix_answers_to_any_id(void **state)
{
    struct fixture *f = *state;
    struct uuid id = uuid_new();
    static char key[] = "0403/0x200000401:0x2:0x0";
    struct tier_location loc = {.key = key};
    auto_free char *dir = xasprintf("%s/0403", f->root);
    auto_free char *path = xasprintf("%s/%s", f->root, key);
    uint64_t size = 0;
    assert_int_equal(mkdir(dir, 0700), 0);
    auto_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(io_write_full(fd, "theirs", 6), 0);
    assert_int_equal(tier_verify(f->t, &id, &loc, NULL, &size, &f->err), 0);
    assert_int_equal(size, 6);
}

static void the_copy_that_was_replaced_is_absent_and_its_remove_spares_the_new_one(void **state)
{
    struct fixture *f = *state;
    auto_tier_location struct tier_location a = {0};
    auto_tier_location struct tier_location b = {0};
    struct tier_object old = {.label = "x/0x200000401:0x3:0x0"};
    struct tier_object new = {.label = "x/0x200000401:0x3:0x0"};
    assert_int_equal(put(f, &old, "old", &a), 0);
    assert_int_equal(put(f, &new, "new", &b), 0);
    assert_string_equal(a.key, b.key);
    assert_int_equal(tier_verify(f->t, &old.id, &a, NULL, NULL, &f->err), TIER_ABSENT);
    assert_int_equal(tier_remove(f->t, &old.id, &a, &f->err), TIER_ABSENT);
    assert_file(f, b.key, "new");
}

static void an_abort_spares_the_copy_that_is_there(void **state)
{
    struct fixture *f = *state;
    auto_tier_location struct tier_location loc = {0};
    struct tier_object o = {.label = "x/0x200000401:0x4:0x0"};
    assert_int_equal(put(f, &o, "old", &loc), 0);
    assert_int_equal(tier_put_begin(f->t, &o, &f->err), 0);
    assert_int_equal(tier_put_write(f->t, 0, "ne", 2, &f->err), 0);
    tier_put_abort(f->t);
    assert_file(f, loc.key, "old");
    assert_none(f, "0405/0x200000401:0x4:0x0_tmp");
}

static void a_place_outside_the_archive_is_no_copy(void **state)
{
    static char keys[][40] = {"../etc/passwd", "", "0403", "0403/../0403/x",
                              "0404/0x200000401:0x2:0x0"};
    struct fixture *f = *state;
    struct uuid id = uuid_new();
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        struct tier_location loc = {.key = keys[i]};
        assert_int_equal(tier_verify(f->t, &id, &loc, NULL, NULL, &f->err), TIER_ABSENT);
        assert_int_equal(tier_remove(f->t, &id, &loc, &f->err), TIER_ABSENT);
    }
}

static void what_names_no_fid_is_refused(void **state)
{
    static const char *const labels[] = {NULL,
                                         "",
                                         "x/",
                                         "x/0x1:0x2",
                                         "x/0x1:0x2:0x3:0x4",
                                         "x/0x1:0x100000000:0x0",
                                         "x/[0x1:0x2:0x3",
                                         "x/0x1:0x2:0x3/../../a",
                                         "x/0x:0x2:0x3"};
    struct fixture *f = *state;
    auto_tier_location struct tier_location loc = {0};
    for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
        struct tier_object o = {.label = labels[i]};
        assert_int_equal(put(f, &o, "x", &loc), -EINVAL);
    }
}

static void another_format_or_a_missing_root_is_named(void **state)
{
    struct fixture *f = *state;
    struct tier *t = NULL;
    assert_int_equal(tier_posix_open(f->root, "v3", &t, &f->err), -EINVAL);
    assert_non_null(strstr(f->err.text, "v3"));
    assert_int_equal(tier_posix_open("/nonexistent/archive", "v2", &t, &f->err), -ENOENT);
    assert_non_null(strstr(f->err.text, "/nonexistent/archive"));
    assert_null(t);
}

#define OPENERS 4
#define OPENS   300

static void *open_often(void *root)
{
    intptr_t refused = 0;
    for (int i = 0; i < OPENS; i++) {
        struct tier *t = NULL;
        refused += tier_posix_open(root, "v2", &t, NULL) != 0 ? 1 : 0;
        tier_free(t);
    }
    return (void *)refused;
}

static void many_may_open_it_at_once(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[OPENERS];
    for (int i = 0; i < OPENERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, open_often, f->root), 0);
    for (int i = 0; i < OPENERS; i++) {
        void *refused = NULL;
        assert_int_equal(pthread_join(threads[i], &refused), 0);
        assert_null(refused);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_copy_lies_where_format_v2_has_it),
        T(format_v1_has_six_directories),
        T(an_archive_of_lhsmtool_posix_answers_to_any_id),
        T(the_copy_that_was_replaced_is_absent_and_its_remove_spares_the_new_one),
        T(an_abort_spares_the_copy_that_is_there),
        T(a_place_outside_the_archive_is_no_copy),
        T(what_names_no_fid_is_refused),
        T(another_format_or_a_missing_root_is_named),
        T(many_may_open_it_at_once),
    };
#undef T
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("posix", tests, NULL, NULL);
}
