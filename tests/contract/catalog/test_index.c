/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of catalog/catalog.h: settings, media, archives and copies. */
#include "suite.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- settings ---- */

static void attributes_are_set_listed_and_removed(void **state)
{
    struct fixture *f = *state;
    auto_free char *v = NULL;
    assert_int_equal(catalog_attr_get(f->cat, "a.x", &v, &f->err), CATALOG_ABSENT);
    OK(f, catalog_attr_set(f->cat, "a.x", "1", 0, &f->err));
    OK(f, catalog_attr_set(f->cat, "a.x", "2", 0, &f->err));
    OK(f, catalog_attr_set(f->cat, "a.y", "", CATALOG_NOWAIT, &f->err));
    OK(f, catalog_attr_set(f->cat, "b", "3", CATALOG_NOWAIT, &f->err));
    OK(f, catalog_flush(f->cat, &f->err));
    OK(f, catalog_attr_get(f->cat, "a.x", &v, &f->err));
    assert_string_equal(v, "2");
    struct catalog_attrs l;
    OK(f, catalog_attr_list(f->cat, "a.", &l, &f->err));
    assert_int_equal(l.n, 2);
    assert_string_equal(l.v[0].key, "a.x");
    assert_string_equal(l.v[1].value, "");
    catalog_attrs_fini(&l);
    OK(f, catalog_attr_set(f->cat, "a.x", NULL, 0, &f->err));
    OK(f, catalog_attr_list(f->cat, "", &l, &f->err));
    assert_int_equal(l.n, 2);
    catalog_attrs_fini(&l);
}

static void sequences_never_repeat_even_after_reopening(void **state)
{
    struct fixture *f = *state;
    int64_t v = 0;
    for (int i = 1; i <= 5; i++) {
        OK(f, catalog_sequence_next(f->cat, "s", &v, &f->err));
        assert_int_equal(v, i);
    }
    OK(f, catalog_sequence_next(f->cat, "t", &v, &f->err));
    assert_int_equal(v, 1);
    suite_reopen(f);
    OK(f, catalog_sequence_next(f->cat, "s", &v, &f->err));
    assert_int_equal(v, 6);
}

/* ---- media ---- */

static void add_pool(struct fixture *f, const char *library, const char *name)
{
    struct catalog_pool p = {0};
    (void)snprintf(p.name, sizeof(p.name), "%s", name);
    (void)snprintf(p.library, sizeof(p.library), "%s", library);
    OK(f, catalog_pool_add(f->cat, &p, &f->err));
}

static int64_t put_volume(struct fixture *f, const char *barcode, const char *pool)
{
    struct catalog_volume v = {.capacity = 1000, .state = "appendable"};
    (void)snprintf(v.barcode, sizeof(v.barcode), "%s", barcode);
    (void)snprintf(v.library, sizeof(v.library), "lib1");
    (void)snprintf(v.pool, sizeof(v.pool), "%s", pool);
    OK(f, catalog_volume_put(f->cat, &v, &f->err));
    return v.id;
}

static void pools_have_unique_names_per_library(void **state)
{
    struct fixture *f = *state;
    add_pool(f, "lib1", "p");
    add_pool(f, "lib2", "p");
    add_pool(f, "lib1", "a");
    struct catalog_pool p = {.name = "p", .library = "lib1"};
    assert_int_equal(catalog_pool_add(f->cat, &p, &f->err), -EEXIST);
    assert_non_null(strstr(f->err.text, "pool p"));
    assert_int_equal(catalog_pool_get(f->cat, NULL, "p", &p, &f->err), -EINVAL);
    OK(f, catalog_pool_get(f->cat, "lib2", "p", &p, &f->err));
    assert_string_equal(p.library, "lib2");
    OK(f, catalog_pool_get(f->cat, NULL, "a", &p, &f->err));
    assert_int_equal(catalog_pool_get(f->cat, "lib1", "none", &p, &f->err), CATALOG_ABSENT);
    struct catalog_pools l;
    OK(f, catalog_pool_list(f->cat, NULL, &l, &f->err));
    assert_int_equal(l.n, 3);
    assert_string_equal(l.v[0].name, "a");
    catalog_pools_fini(&l);
}

static void a_pool_with_volumes_is_not_deleted(void **state)
{
    struct fixture *f = *state;
    add_pool(f, "lib1", "p");
    (void)put_volume(f, "V1", "p");
    assert_int_equal(catalog_pool_delete(f->cat, "lib1", "p", &f->err), -ENOTEMPTY);
    (void)put_volume(f, "V1", "");
    OK(f, catalog_pool_delete(f->cat, "lib1", "p", &f->err));
    assert_int_equal(catalog_pool_delete(f->cat, "lib1", "p", &f->err), CATALOG_ABSENT);
}

static void a_volume_keeps_its_id_when_it_is_put_again(void **state)
{
    struct fixture *f = *state;
    add_pool(f, "lib1", "p");
    int64_t id = put_volume(f, "V1", "");
    int64_t other = put_volume(f, "V2", "p");
    assert_int_not_equal(id, other);
    struct catalog_volume v;
    OK(f, catalog_volume_get(f->cat, "lib1", "V1", &v, &f->err));
    int64_t created = v.created_ns;
    assert_true(created > 0);
    v.uuid = uuid_new();
    v.used = 77;
    v.generation = 3;
    (void)snprintf(v.pool, sizeof(v.pool), "p");
    (void)snprintf(v.problem, sizeof(v.problem), "block 12 cannot be read");
    OK(f, catalog_volume_put(f->cat, &v, &f->err));
    struct catalog_volume got;
    OK(f, catalog_volume_by_id(f->cat, id, &got, &f->err));
    assert_memory_equal(&got.uuid, &v.uuid, sizeof(v.uuid));
    assert_int_equal(got.used, 77);
    assert_int_equal(got.created_ns, created);
    assert_string_equal(got.pool, "p");
    assert_string_equal(got.problem, "block 12 cannot be read");
    struct catalog_volumes l;
    OK(f, catalog_volume_list(f->cat, NULL, "p", &l, &f->err));
    assert_int_equal(l.n, 2);
    catalog_volumes_fini(&l);
    OK(f, catalog_volume_list(f->cat, NULL, "", &l, &f->err));
    assert_int_equal(l.n, 0);
    catalog_volumes_fini(&l);
    v = (struct catalog_volume){.barcode = "V9", .library = "lib1", .pool = "nowhere"};
    assert_int_equal(catalog_volume_put(f->cat, &v, &f->err), CATALOG_ABSENT);
    assert_int_equal(catalog_volume_get(f->cat, NULL, "V9", &v, &f->err), CATALOG_ABSENT);
}

static void drives_are_put_listed_and_forgotten(void **state)
{
    struct fixture *f = *state;
    struct catalog_drive d = {
        .library = "lib1", .serial = "D1", .role = "mrg", .enabled = true, .mounts = 4};
    OK(f, catalog_drive_put(f->cat, &d, 0, &f->err));
    d.mounts = 5;
    OK(f, catalog_drive_put(f->cat, &d, CATALOG_NOWAIT, &f->err));
    OK(f, catalog_flush(f->cat, &f->err));
    struct catalog_drives l;
    OK(f, catalog_drive_list(f->cat, "lib1", &l, &f->err));
    assert_int_equal(l.n, 1);
    assert_int_equal(l.v[0].mounts, 5);
    assert_true(l.v[0].enabled);
    catalog_drives_fini(&l);
    OK(f, catalog_drive_delete(f->cat, "lib1", "D1", &f->err));
    assert_int_equal(catalog_drive_delete(f->cat, "lib1", "D1", &f->err), CATALOG_ABSENT);
}

/* ---- archives and copies ---- */

static struct catalog_archive make_archive(const struct uuid *fs, uint64_t ino)
{
    struct catalog_archive a = {.archive = uuid_new(),
                                .fs = *fs,
                                .ino = ino,
                                .gen = 7,
                                .handle_len = 12,
                                .size = 100,
                                .mtime_ns = -5,
                                .path = "dir/\xc3\xa4 file",
                                .digest_alg = 3,
                                .digest_len = 16};
    memset(a.handle, 0xab, sizeof(a.handle));
    memset(a.digest, 0x5a, sizeof(a.digest));
    return a;
}

static struct catalog_copy make_copy(const struct catalog_archive *a, int no, int64_t volume,
                                     uint64_t block)
{
    return (struct catalog_copy){.archive = a->archive,
                                 .copy_no = no,
                                 .tier = "tape",
                                 .volume = volume,
                                 .path = "v/x",
                                 .partition = 'b',
                                 .start_block = block,
                                 .byte_offset = 9,
                                 .length = 100};
}

static void an_archive_comes_back_as_it_was_added(void **state)
{
    struct fixture *f = *state;
    struct uuid fs = uuid_new();
    struct catalog_archive a = make_archive(&fs, UINT64_MAX - 3);
    OK(f, catalog_archive_add(f->cat, &a, 1, NULL, 0, &f->err));
    struct catalog_archives l;
    OK(f, catalog_archive_get(f->cat, &a.archive, &l, &f->err));
    assert_int_equal(l.n, 1);
    const struct catalog_archive *g = &l.v[0];
    assert_memory_equal(&g->fs, &fs, sizeof(fs));
    assert_true(g->ino == a.ino && g->gen == 7 && g->size == 100 && g->mtime_ns == -5);
    assert_int_equal(g->handle_len, 12);
    assert_memory_equal(g->handle, a.handle, 12);
    assert_int_equal(g->digest_len, 16);
    assert_memory_equal(g->digest, a.digest, 16);
    assert_string_equal(g->path, a.path);
    catalog_archives_fini(&l);
    struct uuid other = uuid_new();
    assert_int_equal(catalog_archive_get(f->cat, &other, &l, &f->err), CATALOG_ABSENT);
    catalog_archives_fini(&l);
}

static void archives_of_a_file_come_newest_first(void **state)
{
    struct fixture *f = *state;
    struct uuid fs = uuid_new();
    struct catalog_archive a[3];
    for (int i = 0; i < 3; i++) {
        a[i] = make_archive(&fs, 5);
        a[i].created_ns = 100 + i;
    }
    a[2].gen = 8;
    OK(f, catalog_archive_add(f->cat, a, 3, NULL, 0, &f->err));
    struct catalog_archives l;
    OK(f, catalog_archive_of_file(f->cat, &fs, 5, 7, &l, &f->err));
    assert_int_equal(l.n, 2);
    assert_memory_equal(&l.v[0].archive, &a[1].archive, UUID_BYTES);
    catalog_archives_fini(&l);
    assert_int_equal(catalog_archive_of_file(f->cat, &fs, 6, 7, &l, &f->err), CATALOG_ABSENT);
}

static void a_copy_without_archive_adds_nothing(void **state)
{
    struct fixture *f = *state;
    struct uuid fs = uuid_new();
    struct catalog_archive a = make_archive(&fs, 5), ghost = make_archive(&fs, 6);
    struct catalog_copy c[2] = {make_copy(&a, 1, 1, 1), make_copy(&ghost, 1, 1, 2)};
    assert_int_equal(catalog_archive_add(f->cat, &a, 1, c, 2, &f->err), -EINVAL);
    struct catalog_archives l;
    assert_int_equal(catalog_archive_get(f->cat, &a.archive, &l, &f->err), CATALOG_ABSENT);
}

static void adding_an_archive_again_replaces_it_and_its_copy(void **state)
{
    struct fixture *f = *state;
    struct uuid fs = uuid_new();
    struct catalog_archive a = make_archive(&fs, 5);
    struct catalog_copy c[2] = {make_copy(&a, 1, 1, 1), make_copy(&a, 2, 2, 1)};
    OK(f, catalog_archive_add(f->cat, &a, 1, c, 2, &f->err));
    a.path = "renamed";
    c[0].start_block = 50;
    OK(f, catalog_archive_add(f->cat, &a, 1, c, 1, &f->err));
    struct catalog_copies l;
    OK(f, catalog_copy_of(f->cat, &a.archive, 1, &l, &f->err));
    assert_int_equal(l.n, 2);
    assert_int_equal(l.v[0].start_block, 50);
    catalog_copies_fini(&l);
    struct catalog_archives al;
    OK(f, catalog_archive_get(f->cat, &a.archive, &al, &f->err));
    assert_string_equal(al.v[0].path, "renamed");
    catalog_archives_fini(&al);
    OK(f, catalog_archive_delete(f->cat, &a.archive, 1, &f->err));
    OK(f, catalog_copy_of(f->cat, &a.archive, 1, &l, &f->err));
    assert_int_equal(l.n, 0);
    catalog_copies_fini(&l);
    OK(f, catalog_check(f->cat, &f->err));
}

static void copies_of_a_volume_are_paged_in_block_order(void **state)
{
    struct fixture *f = *state;
    add_pool(f, "lib1", "p");
    int64_t v = put_volume(f, "V1", "p"), w = put_volume(f, "V2", "p");
    enum { N = 100 };
    struct uuid fs = uuid_new();
    struct catalog_archive a[N];
    struct catalog_copy c[2 * N];
    for (int i = 0; i < N; i++) {
        a[i] = make_archive(&fs, (uint64_t)i + 1);
        /* Three files share each block. */
        c[2 * i] = make_copy(&a[i], 1, v, (uint64_t)((i * 37) % N) / 3);
        c[2 * i + 1] = make_copy(&a[i], 2, w, (uint64_t)i);
    }
    OK(f, catalog_archive_add(f->cat, a, N, c, 2 * N, &f->err));
    struct catalog_copy_pos pos = {0};
    uint64_t last = 0;
    size_t seen = 0;
    for (;;) {
        struct catalog_copies l;
        OK(f, catalog_copy_page(f->cat, v, &pos, 7, &l, &f->err));
        size_t n = l.n;
        for (size_t i = 0; i < n; i++) {
            assert_true(l.v[i].start_block >= last);
            last = l.v[i].start_block;
            assert_string_equal(l.v[i].barcode, "V1");
            assert_string_equal(l.v[i].pool, "p");
            assert_string_equal(l.v[i].library, "lib1");
        }
        seen += n;
        catalog_copies_fini(&l);
        if (n == 0)
            break;
    }
    assert_int_equal(seen, N);
    /* In the order asked for, all states. */
    struct uuid ids[2] = {a[9].archive, a[3].archive};
    struct catalog_copies l;
    OK(f, catalog_copy_of(f->cat, ids, 2, &l, &f->err));
    assert_int_equal(l.n, 4);
    assert_memory_equal(&l.v[0].archive, &ids[0], UUID_BYTES);
    assert_int_equal(l.v[1].copy_no, 2);
    catalog_copies_fini(&l);
}

static void garbage_is_counted_on_the_volume(void **state)
{
    struct fixture *f = *state;
    int64_t v = put_volume(f, "V1", ""), w = put_volume(f, "V2", "");
    struct uuid fs = uuid_new();
    struct catalog_archive a[2] = {make_archive(&fs, 1), make_archive(&fs, 2)};
    struct catalog_copy c[3] = {make_copy(&a[0], 1, v, 1), make_copy(&a[0], 2, w, 1),
                                make_copy(&a[1], 1, v, 2)};
    c[2].length = 11;
    OK(f, catalog_archive_add(f->cat, a, 2, c, 3, &f->err));
    int64_t only = -1;
    OK(f, catalog_copy_only_on(f->cat, v, &only, &f->err));
    assert_int_equal(only, 1);
    struct uuid ids[2] = {a[0].archive, a[1].archive};
    OK(f, catalog_copy_set_state(f->cat, ids, 2, 1, CATALOG_COPY_GARBAGE, &f->err));
    OK(f, catalog_copy_set_state(f->cat, ids, 2, 1, CATALOG_COPY_LOST, &f->err));
    struct catalog_volume vol;
    OK(f, catalog_volume_by_id(f->cat, v, &vol, &f->err));
    assert_int_equal(vol.garbage, 111);
    OK(f, catalog_volume_by_id(f->cat, w, &vol, &f->err));
    assert_int_equal(vol.garbage, 0);
    struct catalog_copy_sums s;
    OK(f, catalog_copy_sum(f->cat, v, &s, &f->err));
    assert_int_equal(s.copies[CATALOG_COPY_LOST], 2);
    assert_int_equal(s.bytes[CATALOG_COPY_LOST], 111);
    OK(f, catalog_copy_sum(f->cat, 0, &s, &f->err));
    assert_int_equal(s.copies[CATALOG_COPY_VALID], 1);
    OK(f, catalog_copy_set_state(f->cat, ids, 1, 0, CATALOG_COPY_VALID, &f->err));
    OK(f, catalog_volume_by_id(f->cat, v, &vol, &f->err));
    assert_int_equal(vol.garbage, 11);
    assert_int_equal(catalog_volume_delete(f->cat, v, &f->err), -ENOTEMPTY);
    OK(f, catalog_copy_set_state_volume(f->cat, v, CATALOG_COPY_GARBAGE, &f->err));
    OK(f, catalog_volume_by_id(f->cat, v, &vol, &f->err));
    assert_int_equal(vol.garbage, 111);
    OK(f, catalog_volume_delete(f->cat, v, &f->err));
    assert_int_equal(catalog_volume_delete(f->cat, v, &f->err), CATALOG_ABSENT);
}

static void archive_pages_never_split_an_inode(void **state)
{
    struct fixture *f = *state;
    struct uuid fs = uuid_new(), other = uuid_new();
    struct catalog_archive a[30];
    for (int i = 0; i < 30; i++)
        a[i] = make_archive(i == 29 ? &other : &fs, (uint64_t)i / 3 + 1);
    OK(f, catalog_archive_add(f->cat, a, 30, NULL, 0, &f->err));
    uint64_t after = 0;
    size_t seen = 0;
    for (;;) {
        struct catalog_archives l;
        OK(f, catalog_archive_page(f->cat, &fs, after, 4, &l, &f->err));
        size_t n = l.n;
        if (n > 0) {
            assert_true(l.v[0].ino > after);
            after = l.v[n - 1].ino;
        }
        seen += n;
        catalog_archives_fini(&l);
        if (n == 0)
            break;
    }
    assert_int_equal(seen, 29);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(attributes_are_set_listed_and_removed),
        T(sequences_never_repeat_even_after_reopening),
        T(pools_have_unique_names_per_library),
        T(a_pool_with_volumes_is_not_deleted),
        T(a_volume_keeps_its_id_when_it_is_put_again),
        T(drives_are_put_listed_and_forgotten),
        T(an_archive_comes_back_as_it_was_added),
        T(archives_of_a_file_come_newest_first),
        T(a_copy_without_archive_adds_nothing),
        T(adding_an_archive_again_replaces_it_and_its_copy),
        T(copies_of_a_volume_are_paged_in_block_order),
        T(garbage_is_counted_on_the_volume),
        T(archive_pages_never_split_an_inode),
    };
    return suite_run(tests, sizeof(tests) / sizeof(tests[0]));
}
