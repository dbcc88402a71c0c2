/* SPDX-License-Identifier: Apache-2.0 */
#include "lustre/index_late.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    char dir[64];
    struct index *ix;
    struct err err;
};

static const struct lu_fid fid_a = {0x200000401, 1, 0};
static const struct lu_fid fid_b = {0x200000401, 2, 0};

static int setup(void **state)
{
    struct fixture *f = xzalloc(sizeof(*f));
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/firn-index-XXXXXX");
    *state = f;
    return mkdtemp(f->dir) == NULL || index_open(f->dir, "fs1", "i1", &f->ix, &f->err) != 0;
}

static int unlink_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    index_close(f->ix);
    int rc = nftw(f->dir, unlink_one, 8, FTW_DEPTH | FTW_PHYS);
    free(f);
    return rc;
}

static struct index_copy copy(const struct lu_fid *fid, const char *key, int64_t created)
{
    struct index_copy c = {.id = uuid_new(),
                           .fid = *fid,
                           .kind = "s3",
                           .key = key,
                           .block = 77,
                           .last_block = 1ULL << 40,
                           .path = "dir/a",
                           .size = 12345,
                           .mtime_ns = -17,
                           .has_digest = true,
                           .created_ns = created};
    memset(c.digest, 0xa5, sizeof(c.digest));
    return c;
}

static void a_copy_comes_back_as_it_was_put(void **state)
{
    struct fixture *f = *state;
    const struct lu_fid odd = {0xfffffffffffffff0, 0xfffffffe, 7};
    struct index_copy c = copy(&odd, "prefix_3/ab/cd", 1);
    auto_index_copies struct index_copies l = {0};
    assert_int_equal(index_put(f->ix, &c, 1, &f->err), 0);
    assert_int_equal(index_get(f->ix, &c.id, &l, &f->err), 0);
    assert_int_equal(l.n, 1);
    assert_memory_equal(&l.v[0].fid, &odd, sizeof(odd));
    assert_memory_equal(&l.v[0].id, &c.id, sizeof(c.id));
    assert_string_equal(l.v[0].kind, "s3");
    assert_string_equal(l.v[0].key, "prefix_3/ab/cd");
    assert_string_equal(l.v[0].path, "dir/a");
    assert_int_equal(l.v[0].size, 12345);
    assert_int_equal(l.v[0].mtime_ns, -17);
    assert_true(l.v[0].has_digest);
    assert_memory_equal(l.v[0].digest, c.digest, sizeof(c.digest));
    assert_int_equal(l.v[0].garbage_ns, 0);
    assert_int_equal(l.v[0].block, 77);
    assert_true(l.v[0].last_block == 1ULL << 40);
}

static void copies_of_a_file_come_newest_first_and_no_others(void **state)
{
    struct fixture *f = *state;
    struct index_copy v[] = {copy(&fid_a, "old", 1), copy(&fid_b, "other", 2),
                             copy(&fid_a, "new", 3)};
    auto_index_copies struct index_copies l = {0};
    auto_index_copies struct index_copies none = {0};
    const struct lu_fid gone = {1, 2, 3};
    assert_int_equal(index_put(f->ix, v, 3, &f->err), 0);
    assert_int_equal(index_of_fid(f->ix, &fid_a, &l, &f->err), 0);
    assert_int_equal(l.n, 2);
    assert_string_equal(l.v[0].key, "new");
    assert_string_equal(l.v[1].key, "old");
    assert_int_equal(index_of_fid(f->ix, &gone, &none, &f->err), INDEX_ABSENT);
}

static void garbage_is_given_in_the_order_of_time_when_it_is_due(void **state)
{
    struct fixture *f = *state;
    struct catalog_copy_pos pos = {0};
    struct index_copy v[] = {copy(&fid_a, "good", 1), copy(&fid_a, "late", 1),
                             copy(&fid_b, "early", 1), copy(&fid_b, "not yet", 1)};
    auto_index_copies struct index_copies l = {0};
    auto_index_copies struct index_copies end = {0};
    v[1].garbage_ns = 500;
    v[2].garbage_ns = 400;
    v[3].garbage_ns = 501;
    assert_int_equal(index_put(f->ix, v, 4, &f->err), 0);
    assert_int_equal(index_garbage(f->ix, &pos, 500, 10, &l, &f->err), 0);
    assert_int_equal(l.n, 2);
    assert_string_equal(l.v[0].key, "early");
    assert_int_equal(l.v[0].garbage_ns, 400);
    assert_string_equal(l.v[1].key, "late");
    assert_int_equal(index_garbage(f->ix, &pos, 500, 10, &end, &f->err), 0);
    assert_int_equal(end.n, 0);
}

static void garbage_that_is_needed_counts_again(void **state)
{
    struct fixture *f = *state;
    struct catalog_copy_pos pos = {0};
    struct index_copy c = copy(&fid_a, "x", 1);
    auto_index_copies struct index_copies l = {0};
    auto_index_copies struct index_copies due = {0};
    c.garbage_ns = 10;
    assert_int_equal(index_put(f->ix, &c, 1, &f->err), 0);
    c.garbage_ns = 0;
    assert_int_equal(index_put(f->ix, &c, 1, &f->err), 0);
    assert_int_equal(index_garbage(f->ix, &pos, INT64_MAX, 10, &due, &f->err), 0);
    assert_int_equal(due.n, 0);
    assert_int_equal(index_of_fid(f->ix, &fid_a, &l, &f->err), 0);
    assert_int_equal(l.n, 1);
    assert_int_equal(l.v[0].garbage_ns, 0);
}

static void a_forgotten_copy_is_gone(void **state)
{
    struct fixture *f = *state;
    struct index_copy c = copy(&fid_a, "x", 1);
    auto_index_copies struct index_copies l = {0};
    assert_int_equal(index_put(f->ix, &c, 1, &f->err), 0);
    assert_int_equal(index_forget(f->ix, &c.id, 1, &f->err), 0);
    assert_int_equal(index_get(f->ix, &c.id, &l, &f->err), INDEX_ABSENT);
}

static void pages_give_every_copy_once(void **state)
{
    struct fixture *f = *state;
    uint64_t after = 0;
    size_t seen = 0;
    for (uint32_t i = 0; i < 50; i++) {
        const struct lu_fid fid = {0x200000400 + i / 5, i, 0};
        struct index_copy c = copy(&fid, "x", 1);
        assert_int_equal(index_put(f->ix, &c, 1, &f->err), 0);
    }
    for (;;) {
        auto_index_copies struct index_copies l = {0};
        assert_int_equal(index_page(f->ix, &after, 7, &l, &f->err), 0);
        if (l.n == 0)
            break;
        seen += l.n;
    }
    assert_int_equal(seen, 50);
}

/* Counts what it is told. */
struct told {
    atomic_int written, lost;
};

static void tell(void *arg, bool written)
{
    struct told *t = arg;
    (void)atomic_fetch_add(written ? &t->written : &t->lost, 1);
}

static void a_copy_put_late_is_known_at_once_and_told_when_written(void **state)
{
    struct fixture *f = *state;
    struct told told = {0};
    struct index_copy v[3] = {copy(&fid_a, "x", 1), copy(&fid_b, "y", 1), copy(&fid_b, "z", 1)};
    for (size_t i = 0; i < 3; i++)
        index_put_late(f->ix, &v[i], tell, &told);
    auto_index_copies struct index_copies a = {0}, b = {0};
    assert_int_equal(index_get(f->ix, &v[0].id, &a, &f->err), 0);
    assert_string_equal(a.v[0].key, "x");
    assert_int_equal(index_of_fid(f->ix, &fid_b, &b, &f->err), 0);
    assert_int_equal(b.n, 2);
    assert_int_equal(index_forget(f->ix, &v[1].id, 1, &f->err), 0);
    assert_int_equal(index_end_late(f->ix, &f->err), 0);
    assert_int_equal(told.written, 3);
    assert_int_equal(told.lost, 0);
}

static void copies_put_late_are_there_after_a_close(void **state)
{
    struct fixture *f = *state;
    struct told told = {0};
    struct index_copy c = copy(&fid_a, "x", 1);
    auto_index_copies struct index_copies l = {0};
    index_put_late(f->ix, &c, tell, &told);
    index_close(f->ix);
    f->ix = NULL;
    assert_int_equal(told.written, 1);
    assert_int_equal(index_open(f->dir, "fs1", "i1", &f->ix, &f->err), 0);
    assert_int_equal(index_get(f->ix, &c.id, &l, &f->err), 0);
}

/* A disk that is full for the first writes. */
struct disk {
    atomic_int failures;
    atomic_int rows;
};

static int write_rows(void *ctx, const struct index_copy *v, size_t n, struct err *err)
{
    struct disk *d = ctx;
    (void)v;
    if (atomic_fetch_sub(&d->failures, 1) > 0)
        return err_set(err, -ENOSPC, "full");
    (void)atomic_fetch_add(&d->rows, (int)n);
    return 0;
}

static void a_late_write_that_fails_is_told_to_who_asks_and_tried_again(void **state)
{
    struct fixture *f = *state;
    struct disk disk = {1, 0};
    struct told told = {0};
    struct late *l = late_new(write_rows, &disk);
    struct index_copy c = copy(&fid_a, "x", 1);
    assert_int_equal(late_check(l, &f->err), 0);
    late_put(l, &c, tell, &told);
    assert_int_equal(late_await(l, &fid_a, NULL, &f->err), -ENOSPC);
    assert_int_equal(late_check(l, &f->err), -ENOSPC);
    assert_int_equal(late_await(l, &fid_b, NULL, &f->err), 0);
    assert_int_equal(late_end(l, &f->err), 0);
    assert_int_equal(disk.rows, 1);
    assert_int_equal(told.written, 1);
    assert_int_equal(late_check(l, &f->err), 0);
    late_free(l);
}

static void a_late_copy_that_cannot_be_written_is_given_back_at_the_end(void **state)
{
    struct fixture *f = *state;
    struct disk disk = {1000, 0};
    struct told told = {0};
    struct late *l = late_new(write_rows, &disk);
    struct index_copy c = copy(&fid_a, "x", 1);
    late_put(l, &c, tell, &told);
    late_put(l, &c, tell, &told);
    assert_int_equal(late_end(l, &f->err), -ENOSPC);
    assert_int_equal(told.lost, 2);
    assert_int_equal(told.written, 0);
    late_free(l);
    assert_int_equal(told.lost, 2);
}

static void another_instance_of_a_name_has_other_files(void **state)
{
    struct fixture *f = *state;
    struct index_copy c = copy(&fid_a, "x", 1);
    auto_index_copies struct index_copies l = {0};
    assert_int_equal(index_put(f->ix, &c, 1, &f->err), 0);
    index_close(f->ix);
    f->ix = NULL;
    assert_int_equal(index_open(f->dir, "fs1", "i2", &f->ix, &f->err), 0);
    assert_int_equal(index_of_fid(f->ix, &fid_a, &l, &f->err), INDEX_ABSENT);
}

static void a_second_opener_is_refused(void **state)
{
    struct fixture *f = *state;
    struct index *second = NULL;
    assert_int_equal(index_open(f->dir, "fs1", "i1", &second, &f->err), -EBUSY);
    assert_null(second);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_copy_comes_back_as_it_was_put),
        T(copies_of_a_file_come_newest_first_and_no_others),
        T(garbage_is_given_in_the_order_of_time_when_it_is_due),
        T(garbage_that_is_needed_counts_again),
        T(a_forgotten_copy_is_gone),
        T(pages_give_every_copy_once),
        T(a_copy_put_late_is_known_at_once_and_told_when_written),
        T(copies_put_late_are_there_after_a_close),
        T(a_late_write_that_fails_is_told_to_who_asks_and_tried_again),
        T(a_late_copy_that_cannot_be_written_is_given_back_at_the_end),
        T(another_instance_of_a_name_has_other_files),
        T(a_second_opener_is_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
