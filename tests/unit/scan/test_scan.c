/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "scan/scan.h"
#include "scan/scan_impl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/xattr.h>

/* What a walk saw, gathered under a lock. */
struct seen {
    pthread_mutex_t lock;
    char **paths;
    size_t n;
    unsigned stats, bad;
    size_t errors;
    char error_path[256];
    int error_code;
    struct scan *s;
    size_t cancel_after;
    const char *skip; /* directory name that is not entered */
    int fail_code;
};

static int see(void *ctx, unsigned worker, struct scan_entry *e)
{
    struct seen *seen = ctx;
    (void)worker;
    size_t len = 0;
    const char *path = scan_entry_path(e, &len);
    lock_scope(&seen->lock);
    if (len != strlen(path))
        seen->bad++;
    seen->paths = xrealloc_array(seen->paths, seen->n + 1, sizeof(char *));
    seen->paths[seen->n++] = xstrdup(path);
    if (seen->cancel_after > 0 && seen->n == seen->cancel_after)
        scan_cancel(seen->s);
    if (seen->fail_code < 0)
        return seen->fail_code;
    return seen->skip != NULL && strcmp(e->name, seen->skip) == 0 ? SCAN_SKIP_DIR : SCAN_GO_ON;
}

static void see_error(void *ctx, unsigned worker, const char *path, int code, const char *what)
{
    struct seen *seen = ctx;
    (void)worker;
    (void)what;
    lock_scope(&seen->lock);
    seen->errors++;
    seen->error_code = code;
    (void)snprintf(seen->error_path, sizeof(seen->error_path), "%s", path);
}

static bool saw(const struct seen *seen, const char *path)
{
    size_t hits = 0;
    for (size_t i = 0; i < seen->n; i++)
        hits += strcmp(seen->paths[i], path) == 0;
    assert_true(hits <= 1);
    return hits == 1;
}

static void seen_fini(struct seen *seen)
{
    for (size_t i = 0; i < seen->n; i++)
        free(seen->paths[i]);
    free(seen->paths);
    seen->paths = NULL;
    seen->n = 0;
}

/* ---- a tree ---- */

static char root[64];

static void make_file(const char *rel)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s", root, rel);
    auto_close int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "hello", 5), 5);
}

static void make_dir(const char *rel)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s", root, rel);
    assert_int_equal(mkdir(path, 0755), 0);
}

static int setup(void **state)
{
    (void)state;
    (void)snprintf(root, sizeof(root), "/var/tmp/firn-scan-XXXXXX");
    assert_non_null(mkdtemp(root));
    make_file("a.dat");
    make_file("b.txt");
    make_dir("sub");
    make_file("sub/c.dat");
    make_dir("sub/deep");
    make_file("sub/deep/d");
    make_dir(".noobaa-nsfs_3");
    make_file(".noobaa-nsfs_3/x");
    make_dir("lost+found");
    make_file(".firn-tmp");
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/link", root);
    assert_int_equal(symlink("/etc", path), 0);
    (void)snprintf(path, sizeof(path), "%s/pipe", root);
    assert_int_equal(mkfifo(path, 0600), 0);
    return 0;
}

static int rm_one(const char *path, const struct stat *st, int flag, struct FTW *f)
{
    (void)st;
    (void)flag;
    (void)f;
    return remove(path);
}

static int teardown(void **state)
{
    (void)state;
    return nftw(root, rm_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int run(struct seen *seen, const struct scan_config *cfg, struct scan_counts *counts)
{
    const struct scan_ops ops = {see, see_error};
    struct err err = {0};
    (void)pthread_mutex_init(&seen->lock, NULL);
    int rc = scan_new(cfg, &ops, seen, &seen->s, &err);
    assert_int_equal(rc, 0);
    rc = scan_run(seen->s, &err);
    scan_get_counts(seen->s, counts);
    scan_free(seen->s);
    return rc;
}

/* ---- tests ---- */

static void walk_sees_every_object_once_and_hides_what_is_hidden(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct scan_counts n;
    char path[128];
    assert_int_equal(run(&seen, &(struct scan_config){.root = root, .threads = 3}, &n), 0);
    static const char *const all[] = {"a.dat",    "b.txt",      "sub",  "sub/c.dat",
                                      "sub/deep", "sub/deep/d", "link", "pipe"};
    for (size_t i = 0; i < 8; i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", root, all[i]);
        assert_true(saw(&seen, path));
    }
    assert_int_equal(seen.n, 8);
    assert_int_equal(seen.bad, 0);
    assert_int_equal(n.files, 4);
    assert_int_equal(n.dirs, 3);
    assert_int_equal(n.others, 2);
    assert_int_equal(n.errors, 0);
    seen_fini(&seen);
}

static void hidden_names_are_configurable(void **state)
{
    (void)state;
    static const char *const hidden[] = {"?.dat", "link"};
    struct seen seen = {0};
    struct scan_counts n;
    struct scan_config cfg = {.root = root, .threads = 2, .hidden = hidden, .n_hidden = 2};
    assert_int_equal(run(&seen, &cfg, &n), 0);
    assert_int_equal(n.files, 4); /* b.txt, deep/d, .firn-tmp, nsfs/x */
    assert_int_equal(n.dirs, 5);
    assert_int_equal(n.others, 1);
    seen_fini(&seen);
}

static void a_directory_can_be_skipped_and_depth_be_limited(void **state)
{
    (void)state;
    struct seen seen = {.skip = "deep"};
    struct scan_counts n;
    assert_int_equal(run(&seen, &(struct scan_config){.root = root, .threads = 1}, &n), 0);
    assert_int_equal(n.files, 3);
    seen_fini(&seen);
    struct seen flat = {0};
    struct scan_config cfg = {.root = root, .threads = 1, .max_depth = 1};
    assert_int_equal(run(&flat, &cfg, &n), 0);
    assert_int_equal(n.files, 2);
    assert_int_equal(n.dirs, 2);
    seen_fini(&flat);
}

static int read_facts(void *ctx, unsigned worker, struct scan_entry *e)
{
    struct seen *seen = ctx;
    const struct statx *stx = NULL;
    char buf[64];
    uint64_t gen = 0;
    (void)worker;
    if (strcmp(e->name, "c.dat") != 0)
        return SCAN_GO_ON;
    bool ok = scan_entry_stat(e, &stx) == 0 && stx->stx_size == 5 && stx->stx_ino == e->ino;
    ok = ok && e->d_type == DT_REG && e->depth == 2;
    ok = ok && scan_entry_xattr(e, "user.tag", buf, sizeof(buf)) == 5 &&
         memcmp(buf, "value", 5) == 0;
    ok = ok && scan_entry_xattr(e, "user.absent", buf, sizeof(buf)) == -ENODATA;
    ok = ok && scan_entry_xattr(e, "user.tag", buf, 2) == -ERANGE;
    ok = ok && scan_entry_xattr_list(e, buf, sizeof(buf)) == 9 && strcmp(buf, "user.tag") == 0;
    ok = ok && scan_entry_generation(e, &gen) == 0;
    seen->stats += ok;
    seen->bad += !ok;
    return SCAN_GO_ON;
}

static void attributes_are_read_in_every_way_the_kernel_may_offer(void **state)
{
    (void)state;
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/sub/c.dat", root);
    assert_int_equal(setxattr(path, "user.tag", "value", 5, 0), 0);
    const struct scan_ops ops = {read_facts, NULL};
    struct scan_config cfg = {.root = root, .threads = 2};
    struct err err = {0};
    for (int way = SCAN_XATTR_AT; way <= SCAN_XATTR_PROC; way++) {
        struct seen seen = {0};
        assert_int_equal(scan_new(&cfg, &ops, &seen, &seen.s, &err), 0);
        /* The first way needs Linux 6.13; where it is not there the probe says so. */
        if (way != SCAN_XATTR_AT)
            seen.s->xattr_way = (enum scan_xattr_way)way;
        assert_int_equal(scan_run(seen.s, &err), 0);
        assert_int_equal(seen.bad, 0);
        assert_int_equal(seen.stats, 1);
        scan_free(seen.s);
    }
}

static void failing_entries_are_counted_and_the_walk_goes_on(void **state)
{
    (void)state;
    struct seen seen = {.fail_code = -EIO};
    struct scan_counts n;
    assert_int_equal(run(&seen, &(struct scan_config){.root = root, .threads = 2}, &n), 0);
    assert_int_equal(seen.n, 8);
    assert_int_equal(n.errors, 8);
    assert_int_equal(seen.errors, 8);
    assert_int_equal(seen.error_code, -EIO);
    assert_true(strncmp(seen.error_path, root, strlen(root)) == 0);
    seen_fini(&seen);
}

static void another_file_system_is_not_entered(void **state)
{
    (void)state;
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/sub/deep", root);
    assert_int_equal(mount("none", path, "tmpfs", 0, NULL), 0);
    (void)snprintf(path, sizeof(path), "%s/sub/deep/foreign", root);
    (void)close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    struct seen seen = {0};
    struct scan_counts n;
    int rc = run(&seen, &(struct scan_config){.root = root, .threads = 2}, &n);
    bool foreign = saw(&seen, path);
    (void)snprintf(path, sizeof(path), "%s/sub/deep", root);
    assert_int_equal(umount(path), 0);
    assert_int_equal(rc, 0);
    assert_false(foreign);
    assert_int_equal(n.errors, 0);
    assert_int_equal(n.files, 3);
    seen_fini(&seen);
}

static void a_cancelled_walk_says_so(void **state)
{
    (void)state;
    struct seen seen = {.cancel_after = 2};
    struct scan_counts n;
    assert_int_equal(run(&seen, &(struct scan_config){.root = root, .threads = 1}, &n), -ECANCELED);
    assert_int_equal(seen.n, 2);
    seen_fini(&seen);
}

static void a_root_that_is_no_directory_is_refused(void **state)
{
    (void)state;
    const struct scan_ops ops = {see, NULL};
    struct scan *s = NULL;
    struct err err = {0};
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/a.dat", root);
    assert_int_equal(scan_new(&(struct scan_config){.root = path}, &ops, NULL, &s, &err), -ENOTDIR);
    assert_int_equal(scan_new(&(struct scan_config){.root = "x"}, &ops, NULL, &s, &err), -EINVAL);
    assert_non_null(strstr(err.text, "absolute"));
    assert_int_equal(
        scan_new(&(struct scan_config){.root = "/nonexistent/x"}, &ops, NULL, &s, &err), -ENOENT);
}

static void a_list_of_paths_is_visited_instead_of_the_tree(void **state)
{
    (void)state;
    char a[128], b[128], gone[128];
    (void)snprintf(a, sizeof(a), "%s/a.dat", root);
    (void)snprintf(b, sizeof(b), "%s/sub/deep/d", root);
    (void)snprintf(gone, sizeof(gone), "%s/sub/gone", root);
    const char *const list[] = {a, b, gone, "/etc/passwd"};
    const struct scan_ops ops = {see, see_error};
    struct scan_config cfg = {.root = root, .threads = 2};
    struct seen seen = {0};
    struct err err = {0};
    struct scan_counts n;
    (void)pthread_mutex_init(&seen.lock, NULL);
    assert_int_equal(scan_new(&cfg, &ops, &seen, &seen.s, &err), 0);
    assert_int_equal(scan_run_list(seen.s, list, 4, &err), 0);
    scan_get_counts(seen.s, &n);
    scan_free(seen.s);
    assert_true(saw(&seen, a));
    assert_true(saw(&seen, b));
    assert_int_equal(seen.n, 2);
    assert_int_equal(n.files, 2);
    assert_int_equal(n.errors, 2);
    seen_fini(&seen);
}

static void a_large_directory_is_shared_between_workers(void **state)
{
    (void)state;
    char name[64];
    make_dir("big");
    for (int i = 0; i < 3000; i++) {
        (void)snprintf(name, sizeof(name), "big/file-with-a-rather-long-name-%06d", i);
        make_file(name);
    }
    struct seen seen = {0};
    struct scan_counts n;
    assert_int_equal(run(&seen, &(struct scan_config){.root = root, .threads = 4}, &n), 0);
    assert_int_equal(n.files, 3004);
    assert_int_equal(seen.n, 3009);
    seen_fini(&seen);
}

static void wide_and_deep_trees_are_walked_whole(void **state)
{
    (void)state;
    char path[512] = "w";
    make_dir(path);
    for (int i = 0; i < 150; i++) {
        size_t n = strlen(path);
        (void)snprintf(path + n, sizeof(path) - n, "/d");
        make_dir(path);
    }
    char wide[64];
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(wide, sizeof(wide), "w/dir%d", i);
        make_dir(wide);
    }
    struct seen seen = {0};
    struct scan_counts n;
    assert_int_equal(run(&seen, &(struct scan_config){.root = root, .threads = 4}, &n), 0);
    assert_int_equal(n.dirs, 3 + 1 + 150 + 1000);
    assert_int_equal(n.errors, 0);
    seen_fini(&seen);
}

int main(void)
{
#define T(F) cmocka_unit_test_setup_teardown(F, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(walk_sees_every_object_once_and_hides_what_is_hidden),
        T(hidden_names_are_configurable),
        T(a_directory_can_be_skipped_and_depth_be_limited),
        T(attributes_are_read_in_every_way_the_kernel_may_offer),
        T(failing_entries_are_counted_and_the_walk_goes_on),
        T(another_file_system_is_not_entered),
        T(a_cancelled_walk_says_so),
        T(a_root_that_is_no_directory_is_refused),
        T(a_list_of_paths_is_visited_instead_of_the_tree),
        T(a_large_directory_is_shared_between_workers),
        T(wide_and_deep_trees_are_walked_whole),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
