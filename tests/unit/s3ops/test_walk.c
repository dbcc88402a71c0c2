/* SPDX-License-Identifier: Apache-2.0 */
/* Walking keys in order, and opening beneath a directory, on real directories. */
#include "unit.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "s3/beneath.h"
#include "s3/dirsync.h"
#include "s3/meta.h"
#include "s3/walk.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/xattr.h>

static void touch(const struct dir *d, const char *key)
{
    auto_place struct beneath_place place;
    assert_int_equal(beneath_find(d->fd, key, true, &place), 0);
    int fd = openat(place.dirfd, place.leaf, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
}

static void make_dir_object(const struct dir *d, const char *path)
{
    assert_int_equal(mkdirat(d->fd, path, 0700) == 0 || errno == EEXIST, 1);
    int fd = openat(d->fd, path, O_RDONLY | O_DIRECTORY);
    assert_int_equal(fsetxattr(fd, META_DIR_XATTR, "0", 1, 0), 0);
    (void)close(fd);
}

/* All keys with blanks between. skip: "" or a prefix to pass over after its first key. */
static const char *keys(const struct dir *d, const char *prefix, const char *after,
                        const char *skip)
{
    static struct buf out;
    buf_reset(&out);
    buf_adds(&out, "");
    auto_walk struct walk *w = NULL;
    assert_int_equal(walk_open(d->fd, prefix, after, &w), 0);
    struct walk_entry e;
    int rc = 0;
    while ((rc = walk_next(w, &e)) == 1) {
        struct stat st;
        assert_int_equal(fstatat(e.dirfd, e.leaf, &st, AT_SYMLINK_NOFOLLOW), 0);
        assert_int_equal(S_ISDIR(st.st_mode), e.is_dir);
        buf_addf(&out, "%s%s", out.len > 0 ? " " : "", e.key);
        if (skip[0] != '\0' && strncmp(e.key, skip, strlen(skip)) == 0)
            walk_skip(w, skip);
    }
    assert_int_equal(rc, 0);
    return out.data;
}

static void keys_come_in_the_order_of_their_bytes(void **state)
{
    struct dir *d = *state;
    static const char *const names[] = {"a/b", "a0",   "a-b", "a/a/x",    "b",
                                        "B",   "a/b0", "a!",  "\xc3\xbc", "z/z/z"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        touch(d, names[i]);
    assert_string_equal(keys(d, "", "", ""), "B a! a-b a/a/x a/b a/b0 a0 b z/z/z \xc3\xbc");
}

static void a_marker_starts_behind_itself_anywhere(void **state)
{
    struct dir *d = *state;
    touch(d, "a-b");
    touch(d, "a/a");
    touch(d, "a/c");
    touch(d, "b");
    assert_string_equal(keys(d, "", "a-b", ""), "a/a a/c b");
    assert_string_equal(keys(d, "", "a/a", ""), "a/c b");
    assert_string_equal(keys(d, "", "a/b/zzz", ""), "a/c b");
    assert_string_equal(keys(d, "", "a/", ""), "a/a a/c b");
    assert_string_equal(keys(d, "", "a/c", ""), "b");
    assert_string_equal(keys(d, "", "a", ""), "a-b a/a a/c b");
    assert_string_equal(keys(d, "a/", "b", ""), "");
    assert_string_equal(keys(d, "a/", "A", ""), "a/a a/c");
}

static void a_prefix_is_any_beginning_of_a_key(void **state)
{
    struct dir *d = *state;
    touch(d, "ab/cd/e");
    touch(d, "ab/ce");
    touch(d, "abc");
    touch(d, "b");
    assert_string_equal(keys(d, "ab", "", ""), "ab/cd/e ab/ce abc");
    assert_string_equal(keys(d, "ab/c", "", ""), "ab/cd/e ab/ce");
    assert_string_equal(keys(d, "ab/cd/", "", ""), "ab/cd/e");
    assert_string_equal(keys(d, "ab/cd/e", "", ""), "ab/cd/e");
    assert_string_equal(keys(d, "nothing/", "", ""), "");
    assert_string_equal(keys(d, "abc/", "", ""), "");
    assert_string_equal(keys(d, "../", "", ""), "");
    assert_string_equal(keys(d, "//", "", ""), "");
    assert_string_equal(keys(d, "/", "", ""), "");
}

static void what_is_no_object_is_no_key(void **state)
{
    struct dir *d = *state;
    touch(d, "k");
    assert_int_equal(mkdirat(d->fd, "empty", 0700), 0);
    assert_int_equal(mkdirat(d->fd, ".firn-uploads", 0700), 0);
    assert_int_equal(symlinkat("k", d->fd, "link"), 0);
    assert_int_equal(symlinkat("/etc", d->fd, "dirlink"), 0);
    assert_int_equal(mkfifoat(d->fd, "fifo", 0600), 0);
    int fd = openat(d->fd, ".firn-uploads/x", O_WRONLY | O_CREAT, 0600);
    (void)close(fd);
    fd = openat(d->fd, "not-\xff-utf8", O_WRONLY | O_CREAT, 0600);
    (void)close(fd);
    assert_string_equal(keys(d, "", "", ""), "k");
    assert_string_equal(keys(d, ".firn-uploads/", "", ""), "");
    assert_string_equal(keys(d, "dirlink/", "", ""), "");
}

static void directory_objects_are_keys_with_a_slash(void **state)
{
    struct dir *d = *state;
    make_dir_object(d, "d");
    touch(d, "d/x");
    touch(d, "d-");
    make_dir_object(d, "e");
    assert_string_equal(keys(d, "", "", ""), "d- d/ d/x e/");
    assert_string_equal(keys(d, "d/", "", ""), "d/ d/x");
    assert_string_equal(keys(d, "d/", "d/", ""), "d/x");
    assert_string_equal(keys(d, "", "d/", ""), "d/x e/");
}

static void a_skipped_prefix_gives_nothing_more(void **state)
{
    struct dir *d = *state;
    touch(d, "a/1");
    touch(d, "a/2/x");
    touch(d, "a/3");
    touch(d, "ab");
    touch(d, "b/1");
    assert_string_equal(keys(d, "", "", "a/"), "a/1 ab b/1");
    assert_string_equal(keys(d, "", "", "a"), "a/1 b/1");
    assert_string_equal(keys(d, "a/", "", "a/"), "a/1");
}

static void directories_larger_than_a_batch_come_whole_and_in_order(void **state)
{
    struct dir *d = *state;
    enum { FILES = 5000 };
    for (int i = 0; i < FILES; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "f%05d", (int)((i * 7919LL) % FILES));
        int fd = openat(d->fd, name, O_WRONLY | O_CREAT, 0600);
        (void)close(fd);
    }
    touch(d, "f02000.d/x");
    auto_walk struct walk *w = NULL;
    assert_int_equal(walk_open(d->fd, "", "", &w), 0);
    struct walk_entry e;
    char last[64] = "";
    int n = 0;
    for (; walk_next(w, &e) == 1; n++) {
        assert_true(strcmp(e.key, last) > 0);
        (void)snprintf(last, sizeof last, "%s", e.key);
    }
    assert_int_equal(n, FILES + 1);
    assert_string_equal(last, "f04999");
}

static void nothing_opens_outside(void **state)
{
    struct dir *d = *state;
    touch(d, "in");
    assert_int_equal(symlinkat("/etc/passwd", d->fd, "out"), 0);
    assert_int_equal(symlinkat("..", d->fd, "up"), 0);
    assert_int_equal(symlinkat("in", d->fd, "near"), 0);
    assert_int_equal(beneath_open(d->fd, "out", O_RDONLY, 0), -ENOENT);
    assert_int_equal(beneath_open(d->fd, "near", O_RDONLY, 0), -ENOENT);
    assert_int_equal(beneath_open(d->fd, "up/meson.build", O_RDONLY, 0), -ENOENT);
    assert_int_equal(beneath_open(d->fd, "../meson.build", O_RDONLY, 0), -ENOENT);
    assert_int_equal(beneath_open(d->fd, "/etc/passwd", O_RDONLY, 0), -ENOENT);
    auto_place struct beneath_place place;
    assert_true(beneath_find(d->fd, "up/x", true, &place) < 0);
    auto_close int fd = beneath_open(d->fd, "in", O_RDONLY, 0);
    assert_true(fd >= 0);
}

static void parents_are_made_and_a_file_among_them_is_named(void **state)
{
    struct dir *d = *state;
    auto_place struct beneath_place place;
    assert_int_equal(beneath_find(d->fd, "a/b/c", false, &place), -ENOENT);
    touch(d, "a/b/c");
    auto_place struct beneath_place inside;
    assert_int_equal(beneath_find(d->fd, "a/b/c/d", true, &inside), -ENOTDIR);
    auto_place struct beneath_place ok;
    assert_int_equal(beneath_find(d->fd, "a/b/new", true, &ok), 0);
    assert_string_equal(ok.leaf, "new");
    assert_false(ok.made);
}

struct sync_job {
    struct dirsync *sync;
    int fd;
};

static void *sync_often(void *arg)
{
    struct sync_job *j = arg;
    for (int i = 0; i < 50; i++)
        if (dirsync_wait(j->sync, j->fd) != 0)
            return arg;
    return NULL;
}

static void many_threads_sync_one_directory(void **state)
{
    struct dir *d = *state;
    struct sync_job j = {.sync = dirsync_new(), .fd = d->fd};
    pthread_t t[8];
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&t[i], NULL, sync_often, &j), 0);
    for (size_t i = 0; i < 8; i++) {
        void *failed = NULL;
        assert_int_equal(pthread_join(t[i], &failed), 0);
        assert_null(failed);
    }
    assert_true(dirsync_wait(j.sync, -1) < 0);
    dirsync_free(j.sync);
}

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, dir_init, dir_fini)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(keys_come_in_the_order_of_their_bytes),
        IN_DIR(a_marker_starts_behind_itself_anywhere),
        IN_DIR(a_prefix_is_any_beginning_of_a_key),
        IN_DIR(what_is_no_object_is_no_key),
        IN_DIR(directory_objects_are_keys_with_a_slash),
        IN_DIR(a_skipped_prefix_gives_nothing_more),
        IN_DIR(directories_larger_than_a_batch_come_whole_and_in_order),
        IN_DIR(nothing_opens_outside),
        IN_DIR(parents_are_made_and_a_file_among_them_is_named),
        IN_DIR(many_threads_sync_one_directory),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
