/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes found again by a file's change time, on real files. */
#include "unit.h"

#include "base/cleanup.h"
#include "s3/meta_impl.h"
#include "s3/metacache.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

static int new_file(const struct dir *d, const char *name)
{
    int fd = openat(d->fd, name, O_RDWR | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    auto_meta struct meta m;
    meta_init(&m);
    meta_put(&m.user, "action", "migrate");
    meta_put(&m.tags, "project", "x");
    meta_set_head(&m, META_CONTENT_TYPE, "text/plain");
    assert_int_equal(meta_store_new(fd, d->fd, &m, NULL), 0);
    return fd;
}

static struct stat look(int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    return st;
}

/* What fstat would say of a file whose last change was an hour ago. */
static struct stat look_old(int fd)
{
    struct stat st = look(fd);
    st.st_ctim.tv_sec -= 3600;
    return st;
}

/* Whether c knows the file of st: without a descriptor there is nothing else to read from. */
static bool is_kept(struct metacache *c, const struct dir *d, const struct stat *st)
{
    auto_meta struct meta m;
    meta_init(&m);
    return metacache_load(c, -1, st, d->fd, &m, NULL) == 0;
}

static void load(struct metacache *c, const struct dir *d, int fd, const struct stat *st,
                 struct meta *m)
{
    meta_init(m);
    assert_int_equal(metacache_load(c, fd, st, d->fd, m, NULL), 0);
}

static void an_old_file_is_read_once(void **state)
{
    const struct dir *d = *state;
    struct metacache *c = metacache_new();
    auto_close int fd = new_file(d, "once");
    struct stat st = look_old(fd);
    assert_false(is_kept(c, d, &st));
    auto_meta struct meta first;
    load(c, d, fd, &st, &first);
    auto_meta struct meta again;
    load(c, d, -1, &st, &again);
    assert_string_equal(meta_get(&again.user, "action"), "migrate");
    assert_string_equal(meta_get(&again.tags, "project"), "x");
    assert_string_equal(again.head[META_CONTENT_TYPE], "text/plain");
    assert_null(again.head[META_EXPIRES]);
    metacache_free(c);
}

static void what_is_shown_stays_when_the_cache_goes(void **state)
{
    const struct dir *d = *state;
    struct metacache *c = metacache_new();
    auto_close int fd = new_file(d, "shown");
    struct stat st = look_old(fd);
    auto_meta struct meta first;
    load(c, d, fd, &st, &first);
    auto_meta struct meta shown;
    meta_init(&shown);
    assert_true(metacache_find(c, &st, &shown));
    metacache_free(c);
    assert_string_equal(meta_get(&shown.user, "action"), "migrate");
    assert_string_equal(meta_get(&shown.tags, "project"), "x");
    assert_string_equal(shown.head[META_CONTENT_TYPE], "text/plain");
}

static void another_change_time_or_size_is_another_file(void **state)
{
    const struct dir *d = *state;
    struct metacache *c = metacache_new();
    auto_close int fd = new_file(d, "times");
    struct stat st = look_old(fd);
    auto_meta struct meta m;
    load(c, d, fd, &st, &m);
    assert_true(is_kept(c, d, &st));
    struct stat later = st;
    later.st_ctim.tv_nsec ^= 1;
    assert_false(is_kept(c, d, &later));
    struct stat longer = st;
    longer.st_size++;
    assert_false(is_kept(c, d, &longer));
    struct stat elsewhere = st;
    elsewhere.st_dev++;
    assert_false(is_kept(c, d, &elsewhere));
    metacache_free(c);
}

static void a_file_changed_just_now_or_in_the_future_is_not_kept(void **state)
{
    const struct dir *d = *state;
    struct metacache *c = metacache_new();
    auto_close int fd = new_file(d, "fresh");
    struct stat st = look(fd);
    (void)clock_gettime(CLOCK_REALTIME, &st.st_ctim);
    auto_meta struct meta m;
    load(c, d, fd, &st, &m);
    assert_false(is_kept(c, d, &st));
    st.st_ctim.tv_sec += 3600;
    auto_meta struct meta n;
    load(c, d, fd, &st, &n);
    assert_false(is_kept(c, d, &st));
    metacache_free(c);
}

static void an_edited_mirror_is_seen_at_once(void **state)
{
    const struct dir *d = *state;
    struct metacache *c = metacache_new();
    auto_close int fd = new_file(d, "edited");
    for (int i = 0; i < 2000; i++) {
        char value[16];
        int n = snprintf(value, sizeof value, "v%d", i);
        assert_int_equal(fsetxattr(fd, "user.action", value, (size_t)n, 0), 0);
        for (int k = 0; k < 2; k++) {
            struct stat st = look(fd);
            auto_meta struct meta m;
            load(c, d, fd, &st, &m);
            assert_string_equal(meta_get(&m.user, "action"), value);
        }
    }
    assert_int_equal(fremovexattr(fd, "user.action"), 0);
    struct stat st = look(fd);
    auto_meta struct meta m;
    load(c, d, fd, &st, &m);
    assert_null(meta_get(&m.user, "action"));
    metacache_free(c);
}

static void sidecars_and_unfinished_changes_are_not_kept(void **state)
{
    const struct dir *d = *state;
    struct metacache *c = metacache_new();
    auto_close int fd = openat(d->fd, "aside", O_RDWR | O_CREAT | O_EXCL, 0600);
    char value[2000];
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    auto_meta struct meta big;
    meta_init(&big);
    meta_put(&big.user, "long", value);
    assert_int_equal(meta_store_new(fd, d->fd, &big, NULL), 0);
    struct stat st = look_old(fd);
    auto_meta struct meta m;
    load(c, d, fd, &st, &m);
    assert_string_equal(meta_get(&m.user, "long"), value);
    assert_false(is_kept(c, d, &st));

    auto_close int half = new_file(d, "half");
    static const char text[] = "{\"v\":1,\"c\":\"STANDARD\",\"p\":true,\"old\":{}}";
    assert_int_equal(fsetxattr(half, META_XATTR, text, sizeof text - 1, 0), 0);
    st = look_old(half);
    auto_meta struct meta p;
    load(c, d, half, &st, &p);
    assert_true(p.pending);
    assert_false(is_kept(c, d, &st));
    metacache_free(c);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_old_file_is_read_once, dir_init, dir_fini),
        cmocka_unit_test_setup_teardown(what_is_shown_stays_when_the_cache_goes, dir_init,
                                        dir_fini),
        cmocka_unit_test_setup_teardown(another_change_time_or_size_is_another_file, dir_init,
                                        dir_fini),
        cmocka_unit_test_setup_teardown(a_file_changed_just_now_or_in_the_future_is_not_kept,
                                        dir_init, dir_fini),
        cmocka_unit_test_setup_teardown(an_edited_mirror_is_seen_at_once, dir_init, dir_fini),
        cmocka_unit_test_setup_teardown(sidecars_and_unfinished_changes_are_not_kept, dir_init,
                                        dir_fini),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
