/* SPDX-License-Identifier: Apache-2.0 */
/* The tier contract on kind tape, and what is the tape's own: names of copies, full cartridges,
 * packed files. */
#include "contract.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "tape/drive.h"
#include "tape/ltfs.h"

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define CAPACITY (64ULL << 20)

struct cartridge {
    char dir[32];
    struct drive *drive;
    struct ltfs_volume *ltfs;
};

static int open_volume(struct cartridge *c, struct tier **t)
{
    struct err err = {0};
    if (ltfs_mount(c->drive, 0, &c->ltfs, &err) != 0) {
        (void)fprintf(stderr, "# %s\n", err.text);
        return -1;
    }
    *t = tier_tape_open(c->ltfs, "FIRN01L8");
    return 0;
}

static int make(void **state, struct tier **t)
{
    struct cartridge *c = xzalloc(sizeof(*c));
    struct err err = {0};
    (void)snprintf(c->dir, sizeof(c->dir), "/tmp/firn-tape-XXXXXX");
    *state = c;
    if (mkdtemp(c->dir) == NULL)
        return -1;
    auto_free char *path = xasprintf("%s/FIRN01L8", c->dir);
    if (drive_dir_create_cartridge(c->dir, "FIRN01L8", CAPACITY, &err) != 0 ||
        drive_dir_open_cartridge(path, &c->drive, &err) != 0 || drive_load(c->drive, &err) != 0 ||
        ltfs_format(c->drive, "FIRN01L8", 0, NULL, &err) != 0) {
        (void)fprintf(stderr, "# %s\n", err.text);
        return -1;
    }
    return open_volume(c, t);
}

static int reopen(void *state, struct tier **t)
{
    struct cartridge *c = state;
    tier_free(*t);
    ltfs_volume_free(c->ltfs);
    c->ltfs = NULL;
    return open_volume(c, t);
}

static int unlink_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void fini(void *state, struct tier *t)
{
    struct cartridge *c = state;
    tier_free(t);
    ltfs_volume_free(c->ltfs);
    drive_close(c->drive);
    (void)nftw(c->dir, unlink_one, 16, FTW_DEPTH | FTW_PHYS);
    free(c);
}

/* ---- what only tapes do ---- */

struct fixture {
    void *state;
    struct tier *t;
    struct err err;
};

static int setup(void **state)
{
    struct fixture *f = xzalloc(sizeof(*f));
    *state = f;
    return make(&f->state, &f->t);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    fini(f->state, f->t);
    free(f);
    return 0;
}

static int put(struct fixture *f, struct tier_object *o, const void *data, struct tier_location *l)
{
    o->id = uuid_new();
    o->fs = "fs1";
    int rc = tier_put_begin(f->t, o, &f->err);
    if (rc == 0)
        rc = tier_put_write(f->t, 0, data, o->size, &f->err);
    if (rc == 0)
        rc = tier_put_end(f->t, NULL, 0, l, &f->err);
    tier_put_abort(f->t);
    return rc;
}

static void a_path_that_another_archive_has_gets_the_id_behind_it(void **state)
{
    struct fixture *f = *state;
    struct tier_object o = {.path = "dir/name", .size = 3};
    auto_tier_location struct tier_location first = {0};
    auto_tier_location struct tier_location second = {0};
    char id[UUID_TEXT];
    assert_int_equal(put(f, &o, "abc", &first), 0);
    assert_string_equal(first.key, "/fs1/dir/name");
    assert_int_equal(put(f, &o, "def", &second), 0);
    uuid_format(&o.id, id);
    auto_free char *want = xasprintf("/fs1/dir/name.~%.8s~", id);
    assert_string_equal(second.key, want);
}

static void a_path_through_a_file_is_kept_under_its_id(void **state)
{
    struct fixture *f = *state;
    struct tier_object file = {.path = "a", .size = 3};
    struct tier_object below = {.path = "a/b/c", .size = 3};
    auto_tier_location struct tier_location l1 = {0};
    auto_tier_location struct tier_location l2 = {0};
    char id[UUID_TEXT];
    assert_int_equal(put(f, &file, "abc", &l1), 0);
    assert_int_equal(put(f, &below, "def", &l2), 0);
    uuid_format(&below.id, id);
    auto_free char *want = xasprintf("/fs1/.firn/%s", id);
    assert_string_equal(l2.key, want);
}

static void a_name_of_255_bytes_is_shortened_for_its_second_version(void **state)
{
    struct fixture *f = *state;
    char name[256];
    struct tier_object o = {.path = name, .size = 3};
    auto_tier_location struct tier_location l1 = {0};
    auto_tier_location struct tier_location l2 = {0};
    memset(name, 'n', 255);
    name[255] = '\0';
    assert_int_equal(put(f, &o, "abc", &l1), 0);
    assert_int_equal(put(f, &o, "abc", &l2), 0);
    assert_int_equal(strlen(l2.key), strlen("/fs1/") + 255);
}

static void a_full_cartridge_says_so_and_keeps_what_it_has(void **state)
{
    struct fixture *f = *state;
    size_t n = 8UL << 20;
    auto_free char *data = xzalloc(n);
    auto_tier_location struct tier_location kept = {0};
    struct tier_object first = {.path = "first", .size = n};
    assert_int_equal(put(f, &first, data, &kept), 0);
    int rc = 0;
    for (int i = 0; rc == 0 && i < 20; i++) {
        char name[16];
        struct tier_object o = {.path = name, .size = n};
        auto_tier_location struct tier_location l = {0};
        (void)snprintf(name, sizeof(name), "f%d", i);
        rc = put(f, &o, data, &l);
    }
    assert_int_equal(rc, TIER_FULL);
    assert_int_equal(tier_sync(f->t, &f->err), 0);
    assert_int_equal(tier_verify(f->t, &first.id, &kept, NULL, NULL, &f->err), 0);
}

static void small_files_share_a_block(void **state)
{
    struct fixture *f = *state;
    struct tier_object a = {.path = "a", .size = 100};
    struct tier_object b = {.path = "b", .size = 100};
    char data[100] = {1};
    auto_tier_location struct tier_location la = {0};
    auto_tier_location struct tier_location lb = {0};
    assert_int_equal(put(f, &a, data, &la), 0);
    assert_int_equal(put(f, &b, data, &lb), 0);
    assert_int_equal(la.block, lb.block);
    assert_int_equal(lb.byteoffset, la.byteoffset + 100);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    static const struct maker maker = {"tape", make, reopen, fini};
    const struct CMUnitTest tests[] = {
        T(a_path_that_another_archive_has_gets_the_id_behind_it),
        T(a_path_through_a_file_is_kept_under_its_id),
        T(a_name_of_255_bytes_is_shortened_for_its_second_version),
        T(a_full_cartridge_says_so_and_keeps_what_it_has),
        T(small_files_share_a_block),
    };
#undef T
    if (getenv("FIRN_CONTRACT") != NULL)
        return contract_tier_run(&maker);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("tape", tests, NULL, NULL);
}
