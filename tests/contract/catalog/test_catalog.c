/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of catalog/catalog.h, run on every kind. Each test has a catalogue of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "catalog/catalog.h"

#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const kinds[] = {"sqlite"};
static const char *kind; /* under test */

struct fixture {
    char dir[64];
    struct catalog *cat;
    struct err err;
};

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void reopen(struct fixture *f)
{
    catalog_close(f->cat);
    f->cat = NULL;
    assert_int_equal(catalog_open(kind, f->dir, &f->cat, &f->err), 0);
}

static int setup(void **state)
{
    struct fixture *f = xzalloc(sizeof(*f));
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/firn-catalog-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    reopen(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    catalog_close(f->cat);
    (void)nftw(f->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

#define OK(f, call) assert_int_equal((f)->err.text[0] = '\0', 0), ok_((call), (f), #call, __LINE__)

static void ok_(int rc, struct fixture *f, const char *what, int line)
{
    if (rc != 0) {
        print_error("line %d: %s gave %d: %s\n", line, what, rc, f->err.text);
        fail();
    }
}

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
    reopen(f);
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

/* ---- tasks and jobs ---- */

static int64_t add_task(struct fixture *f, enum catalog_task_status status)
{
    struct catalog_task t = {
        .type = "migrate", .params = "firn file migrate", .pools = "p@lib1", .status = status};
    OK(f, catalog_task_add(f->cat, &t, &f->err));
    return t.id;
}

static struct catalog_task task_of(struct fixture *f, int64_t id)
{
    struct catalog_tasks l;
    OK(f, catalog_task_get(f->cat, id, &l, &f->err));
    assert_int_equal(l.n, 1);
    struct catalog_task t = l.v[0];
    t.params = t.pools = t.message = NULL;
    catalog_tasks_fini(&l);
    return t;
}

static struct catalog_job make_job(const struct uuid *fs, uint64_t ino)
{
    return (struct catalog_job){
        .kind = 1, .fs = *fs, .ino = ino, .gen = 1, .path = "a/b", .size = 10};
}

static void task_ids_begin_at_1000_and_the_uid_says_when(void **state)
{
    struct fixture *f = *state;
    struct catalog_task t = {.type = "recall", .status = CATALOG_TASK_WAITING};
    OK(f, catalog_task_add(f->cat, &t, &f->err));
    assert_int_equal(t.id, 1000);
    assert_int_equal(strncmp(t.uid, "1000@20", 7), 0);
    assert_int_equal(add_task(f, CATALOG_TASK_WAITING), 1001);
    reopen(f);
    assert_int_equal(add_task(f, CATALOG_TASK_WAITING), 1002);
    struct catalog_tasks l;
    OK(f, catalog_task_list(f->cat, false, 2, &l, &f->err));
    assert_int_equal(l.n, 2);
    assert_int_equal(l.v[0].id, 1002);
    assert_string_equal(l.v[0].params, "firn file migrate");
    catalog_tasks_fini(&l);
    assert_int_equal(catalog_task_get(f->cat, 5, &l, &f->err), CATALOG_ABSENT);
}

static void a_task_notes_its_times_and_result(void **state)
{
    struct fixture *f = *state;
    int64_t id = add_task(f, CATALOG_TASK_WAITING);
    OK(f, catalog_task_set(f->cat, id, CATALOG_TASK_RUNNING, 0, NULL, 0, &f->err));
    int64_t started = task_of(f, id).started_ns;
    assert_true(started > 0);
    OK(f, catalog_task_set(f->cat, id, CATALOG_TASK_INTERRUPTED, 0, "x", 0, &f->err));
    OK(f, catalog_task_set(f->cat, id, CATALOG_TASK_RUNNING, 0, NULL, 0, &f->err));
    assert_int_equal(task_of(f, id).started_ns, started);
    assert_int_equal(catalog_task_delete(f->cat, id, &f->err), -EBUSY);
    OK(f, catalog_task_set(f->cat, id, CATALOG_TASK_COMPLETED, CATALOG_RESULT_FAILED, "why",
                           CATALOG_NOWAIT, &f->err));
    OK(f, catalog_flush(f->cat, &f->err));
    struct catalog_tasks l;
    OK(f, catalog_task_list(f->cat, true, 0, &l, &f->err));
    assert_int_equal(l.n, 1);
    assert_string_equal(l.v[0].message, "why");
    assert_int_equal(l.v[0].result, CATALOG_RESULT_FAILED);
    assert_true(l.v[0].completed_ns >= started);
    catalog_tasks_fini(&l);
    OK(f, catalog_task_list(f->cat, false, 0, &l, &f->err));
    assert_int_equal(l.n, 0);
    catalog_tasks_fini(&l);
    assert_int_equal(catalog_task_set(f->cat, 4, CATALOG_TASK_RUNNING, 0, NULL, 0, &f->err),
                     CATALOG_ABSENT);
}

static void jobs_are_claimed_by_priority_then_block_then_id(void **state)
{
    struct fixture *f = *state;
    struct uuid fs = uuid_new();
    int64_t task = add_task(f, CATALOG_TASK_RUNNING);
    struct catalog_job j[6];
    static const uint64_t block[6] = {9, 3, 3, 1, 7, 2};
    for (int i = 0; i < 6; i++) {
        j[i] = make_job(&fs, (uint64_t)i + 1);
        j[i].volume = i == 5 ? 2 : 1;
        j[i].block = block[i];
    }
    j[4].priority = 10;
    OK(f, catalog_job_add(f->cat, task, j, 6, &f->err));
    struct catalog_job_filter by_volume = {.kind = 1, .volume = 1};
    struct catalog_jobs l;
    OK(f, catalog_job_claim(f->cat, &by_volume, 4, &l, &f->err));
    assert_int_equal(l.n, 4);
    int64_t want[4] = {j[4].id, j[3].id, j[1].id, j[2].id};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(l.v[i].id, want[i]);
        assert_int_equal(l.v[i].state, CATALOG_JOB_RUNNING);
        assert_memory_equal(&l.v[i].fs, &fs, sizeof(fs));
    }
    catalog_jobs_fini(&l);
    struct catalog_job_filter by_task = {.task = task, .kind = -1, .volume = -1};
    OK(f, catalog_job_claim(f->cat, &by_task, 10, &l, &f->err));
    assert_int_equal(l.n, 2);
    assert_int_equal(l.v[0].id, j[5].id);
    catalog_jobs_fini(&l);
    struct catalog_job_filter any = {.kind = -1, .volume = -1};
    OK(f, catalog_job_claim(f->cat, &any, 10, &l, &f->err));
    assert_int_equal(l.n, 0);
    catalog_jobs_fini(&l);
}

static void a_second_job_for_the_same_file_is_a_duplicate(void **state)
{
    struct fixture *f = *state;
    struct uuid fs = uuid_new();
    int64_t task = add_task(f, CATALOG_TASK_RUNNING);
    struct catalog_job j[4] = {make_job(&fs, 1), make_job(&fs, 1), make_job(&fs, 1),
                               make_job(&fs, 0)};
    j[2].kind = 2;
    OK(f, catalog_job_add(f->cat, task, j, 4, &f->err));
    assert_int_equal(j[0].state, CATALOG_JOB_QUEUED);
    assert_int_equal(j[1].state, CATALOG_JOB_DUPLICATE);
    assert_int_equal(j[1].block, j[0].id);
    assert_int_equal(j[2].state, CATALOG_JOB_QUEUED);
    assert_int_equal(task_of(f, task).files, 3);
    struct catalog_jobs l;
    OK(f, catalog_job_find_open(f->cat, &fs, 1, 1, 2, &l, &f->err));
    assert_int_equal(l.v[0].id, j[2].id);
    catalog_jobs_fini(&l);
    OK(f, catalog_job_find_open(f->cat, &fs, 1, 1, -1, &l, &f->err));
    assert_int_equal(l.v[0].id, j[0].id);
    catalog_jobs_fini(&l);
    struct catalog_job_end e[2] = {{.id = j[0].id, .state = CATALOG_JOB_DONE, .bytes = 10},
                                   {.id = j[2].id, .state = CATALOG_JOB_DONE}};
    OK(f, catalog_job_finish(f->cat, e, 2, 0, &f->err));
    assert_int_equal(catalog_job_find_open(f->cat, &fs, 1, 1, -1, &l, &f->err), CATALOG_ABSENT);
    struct catalog_job again = make_job(&fs, 1);
    OK(f, catalog_job_add(f->cat, task, &again, 1, &f->err));
    assert_int_equal(again.state, CATALOG_JOB_QUEUED);
    struct catalog_job lost = make_job(&fs, 9);
    assert_int_equal(catalog_job_add(f->cat, 4, &lost, 1, &f->err), CATALOG_ABSENT);
    assert_int_equal(catalog_job_find_open(f->cat, &fs, 9, 1, -1, &l, &f->err), CATALOG_ABSENT);
}

static void finished_jobs_count_in_their_task_once(void **state)
{
    struct fixture *f = *state;
    struct uuid fs = uuid_new();
    int64_t t1 = add_task(f, CATALOG_TASK_RUNNING), t2 = add_task(f, CATALOG_TASK_RUNNING);
    struct catalog_job a[3] = {make_job(&fs, 1), make_job(&fs, 2), make_job(&fs, 3)};
    struct catalog_job b[2] = {make_job(&fs, 4), make_job(&fs, 5)};
    b[1].state = CATALOG_JOB_FAILED;
    (void)snprintf(b[1].code, sizeof(b[1].code), "GLESL400E");
    b[1].message = "not found";
    OK(f, catalog_job_add(f->cat, t1, a, 3, &f->err));
    OK(f, catalog_job_add(f->cat, t2, b, 2, &f->err));
    assert_int_equal(task_of(f, t2).failed, 1);
    struct catalog_job_end e[4] = {
        {.id = a[0].id, .state = CATALOG_JOB_DONE, .bytes = 10},
        {.id = b[0].id, .state = CATALOG_JOB_DONE, .bytes = 10},
        {.id = a[1].id, .state = CATALOG_JOB_FAILED, .code = "GLESM451W", .message = "changed"},
        {.id = a[2].id, .state = CATALOG_JOB_QUEUED},
    };
    OK(f, catalog_job_finish(f->cat, e, 4, 0, &f->err));
    OK(f, catalog_job_finish(f->cat, e, 2, CATALOG_NOWAIT, &f->err)); /* once only */
    OK(f, catalog_flush(f->cat, &f->err));
    struct catalog_task t = task_of(f, t1);
    assert_int_equal(t.done, 1);
    assert_int_equal(t.failed, 1);
    assert_int_equal(t.bytes_done, 10);
    assert_int_equal(t.bytes_total, 30);
    assert_int_equal(task_of(f, t2).done, 1);
    struct catalog_job_filter failed = {
        .task = t1, .kind = -1, .volume = -1, .state_mask = 1U << CATALOG_JOB_FAILED};
    struct catalog_jobs l;
    OK(f, catalog_job_list(f->cat, &failed, 10, &l, &f->err));
    assert_int_equal(l.n, 1);
    assert_string_equal(l.v[0].code, "GLESM451W");
    assert_string_equal(l.v[0].message, "changed");
    assert_true(l.v[0].ended_ns > 0);
    catalog_jobs_fini(&l);
    struct catalog_job_counts n;
    OK(f, catalog_job_count(f->cat, t1, &n, &f->err));
    assert_int_equal(n.n, 3);
    catalog_job_counts_fini(&n);
    OK(f, catalog_job_count(f->cat, 0, &n, &f->err)); /* open ones only */
    assert_int_equal(n.n, 1);
    assert_int_equal(n.v[0].n, 1);
    catalog_job_counts_fini(&n);
}

static void cancelling_ends_queued_jobs_and_leaves_running_ones(void **state)
{
    struct fixture *f = *state;
    struct uuid fs = uuid_new();
    int64_t task = add_task(f, CATALOG_TASK_RUNNING);
    struct catalog_job j[3] = {make_job(&fs, 1), make_job(&fs, 2), make_job(&fs, 3)};
    OK(f, catalog_job_add(f->cat, task, j, 3, &f->err));
    struct catalog_job_filter any = {.task = task, .kind = -1, .volume = -1};
    struct catalog_jobs l;
    OK(f, catalog_job_claim(f->cat, &any, 1, &l, &f->err));
    catalog_jobs_fini(&l);
    int64_t n = 0;
    OK(f, catalog_job_cancel(f->cat, task, "GLESM451W", "cancelled", &n, &f->err));
    assert_int_equal(n, 2);
    assert_int_equal(task_of(f, task).failed, 2);
}

static void job_lists_come_in_pages(void **state)
{
    struct fixture *f = *state;
    struct uuid fs = uuid_new();
    int64_t task = add_task(f, CATALOG_TASK_RUNNING);
    struct catalog_job j[25];
    for (int i = 0; i < 25; i++)
        j[i] = make_job(&fs, (uint64_t)i + 1);
    OK(f, catalog_job_add(f->cat, task, j, 25, &f->err));
    struct catalog_job_filter p = {.task = task, .kind = -1, .volume = -1};
    size_t seen = 0;
    for (;;) {
        struct catalog_jobs l;
        OK(f, catalog_job_list(f->cat, &p, 10, &l, &f->err));
        size_t n = l.n;
        if (n > 0)
            p.after_id = l.v[n - 1].id;
        seen += n;
        catalog_jobs_fini(&l);
        if (n == 0)
            break;
    }
    assert_int_equal(seen, 25);
    p.after_id = 0;
    struct catalog_jobs l;
    OK(f, catalog_job_list_at(f->cat, &p, 20, 10, &l, &f->err));
    assert_int_equal(l.n, 5);
    assert_int_equal(l.v[0].id, j[20].id);
    catalog_jobs_fini(&l);
}

static void routing_moves_a_job_to_another_queue(void **state)
{
    struct fixture *f = *state;
    struct uuid fs = uuid_new();
    struct catalog_job j = make_job(&fs, 1);
    OK(f, catalog_job_add(f->cat, 0, &j, 1, &f->err));
    j.volume = 9;
    j.block = 4;
    j.priority = 2;
    OK(f, catalog_job_route(f->cat, &j, 1, &f->err));
    struct catalog_job_filter q = {.kind = 1, .volume = 9};
    struct catalog_jobs l;
    OK(f, catalog_job_claim(f->cat, &q, 5, &l, &f->err));
    assert_int_equal(l.n, 1);
    assert_int_equal(l.v[0].priority, 2);
    catalog_jobs_fini(&l);
}

static void after_a_restart_running_jobs_are_queued_again(void **state)
{
    struct fixture *f = *state;
    struct uuid fs = uuid_new();
    int64_t task = add_task(f, CATALOG_TASK_RUNNING), draft = add_task(f, CATALOG_TASK_DRAFT);
    struct catalog_job j[2] = {make_job(&fs, 1), make_job(&fs, 2)}, d = make_job(&fs, 3);
    OK(f, catalog_job_add(f->cat, task, j, 2, &f->err));
    OK(f, catalog_job_add(f->cat, draft, &d, 1, &f->err));
    struct catalog_job_filter any = {.task = task, .kind = -1, .volume = -1};
    struct catalog_jobs l;
    OK(f, catalog_job_claim(f->cat, &any, 1, &l, &f->err));
    catalog_jobs_fini(&l);
    reopen(f);
    int64_t n = 0;
    OK(f, catalog_recover(f->cat, &n, &f->err));
    assert_int_equal(n, 1);
    assert_int_equal(task_of(f, task).status, CATALOG_TASK_INTERRUPTED);
    struct catalog_tasks tl;
    assert_int_equal(catalog_task_get(f->cat, draft, &tl, &f->err), CATALOG_ABSENT);
    OK(f, catalog_job_claim(f->cat, &any, 10, &l, &f->err));
    assert_int_equal(l.n, 2);
    assert_int_equal(l.v[0].attempt + l.v[1].attempt, 1);
    catalog_jobs_fini(&l);
}

static void pruning_keeps_open_tasks_and_the_last_failed_ones(void **state)
{
    struct fixture *f = *state;
    struct uuid fs = uuid_new();
    int64_t open = add_task(f, CATALOG_TASK_RUNNING), ids[4];
    for (int i = 0; i < 4; i++) {
        ids[i] = add_task(f, CATALOG_TASK_RUNNING);
        struct catalog_job j = make_job(&fs, (uint64_t)i + 1);
        OK(f, catalog_job_add(f->cat, ids[i], &j, 1, &f->err));
        OK(f, catalog_job_cancel(f->cat, ids[i], "c", "m", NULL, &f->err));
        OK(f, catalog_task_set(f->cat, ids[i], CATALOG_TASK_COMPLETED,
                               i < 3 ? CATALOG_RESULT_FAILED : CATALOG_RESULT_SUCCEEDED, NULL, 0,
                               &f->err));
    }
    int64_t n = 0;
    OK(f, catalog_task_prune(f->cat, 1, 0, &n, &f->err)); /* none is that old */
    assert_int_equal(n, 0);
    OK(f, catalog_task_prune(f->cat, INT64_MAX, 2, &n, &f->err));
    assert_int_equal(n, 2);
    struct catalog_tasks l;
    OK(f, catalog_task_list(f->cat, true, 0, &l, &f->err));
    assert_int_equal(l.n, 3);
    assert_int_equal(l.v[0].id, ids[2]);
    assert_int_equal(l.v[2].id, open);
    catalog_tasks_fini(&l);
    struct catalog_job_filter all = {.kind = -1, .volume = -1};
    struct catalog_jobs jl;
    OK(f, catalog_job_list(f->cat, &all, 100, &jl, &f->err));
    assert_int_equal(jl.n, 2);
    catalog_jobs_fini(&jl);
    OK(f, catalog_task_prune(f->cat, INT64_MAX, 0, &n, &f->err));
    assert_int_equal(n, 2);
    OK(f, catalog_check(f->cat, &f->err));
}

/* ---- accounts, buckets, schedules ---- */

static void accounts_share_no_access_key(void **state)
{
    struct fixture *f = *state;
    struct catalog_account a = {.name = "user1",
                                .uid = 1001,
                                .gid = 1002,
                                .access_key = "AK1",
                                .secret_key = "s",
                                .enabled = true,
                                .new_buckets = "/b"};
    struct catalog_account b = {.name = "user2", .access_key = "AK2", .access_key2 = "AK1"};
    int64_t g0 = 0, g1 = 0;
    OK(f, catalog_registry_generation(f->cat, &g0, &f->err));
    OK(f, catalog_account_add(f->cat, &a, &f->err));
    OK(f, catalog_registry_generation(f->cat, &g1, &f->err));
    assert_true(g1 > g0);
    assert_int_equal(catalog_account_add(f->cat, &a, &f->err), -EEXIST);
    assert_int_equal(catalog_account_add(f->cat, &b, &f->err), -EEXIST);
    assert_non_null(strstr(f->err.text, "AK1"));
    b.access_key2[0] = '\0';
    OK(f, catalog_account_add(f->cat, &b, &f->err));
    (void)snprintf(a.access_key2, sizeof(a.access_key2), "AK2");
    assert_int_equal(catalog_account_set(f->cat, &a, &f->err), -EEXIST);
    (void)snprintf(a.access_key2, sizeof(a.access_key2), "AK3");
    a.uid = 7;
    OK(f, catalog_account_set(f->cat, &a, &f->err));
    struct catalog_accounts l;
    OK(f, catalog_account_list(f->cat, "user1", &l, &f->err));
    assert_int_equal(l.n, 1);
    assert_int_equal(l.v[0].uid, 7);
    assert_string_equal(l.v[0].access_key2, "AK3");
    assert_string_equal(l.v[0].new_buckets, "/b");
    catalog_accounts_fini(&l);
    assert_int_equal(catalog_account_list(f->cat, "nobody", &l, &f->err), CATALOG_ABSENT);
    OK(f, catalog_account_list(f->cat, NULL, &l, &f->err));
    assert_int_equal(l.n, 2);
    catalog_accounts_fini(&l);
    struct catalog_account none = {.name = "nobody"};
    assert_int_equal(catalog_account_set(f->cat, &none, &f->err), CATALOG_ABSENT);
}

static void an_account_with_buckets_is_not_deleted(void **state)
{
    struct fixture *f = *state;
    struct catalog_account a = {.name = "user1", .access_key = "AK1"};
    OK(f, catalog_account_add(f->cat, &a, &f->err));
    struct catalog_bucket b = {.name = "test1", .owner = "user1", .path = "/fs/b/test1"};
    int64_t g0 = 0, g1 = 0;
    OK(f, catalog_registry_generation(f->cat, &g0, &f->err));
    OK(f, catalog_bucket_add(f->cat, &b, &f->err));
    OK(f, catalog_registry_generation(f->cat, &g1, &f->err));
    assert_true(g1 > g0);
    assert_int_equal(catalog_bucket_add(f->cat, &b, &f->err), -EEXIST);
    struct catalog_bucket orphan = {.name = "x", .owner = "nobody"};
    assert_int_equal(catalog_bucket_add(f->cat, &orphan, &f->err), CATALOG_ABSENT);
    assert_int_equal(catalog_account_delete(f->cat, "user1", &f->err), -ENOTEMPTY);
    struct catalog_buckets l;
    OK(f, catalog_bucket_list(f->cat, NULL, "user1", &l, &f->err));
    assert_int_equal(l.n, 1);
    assert_string_equal(l.v[0].path, "/fs/b/test1");
    catalog_buckets_fini(&l);
    assert_int_equal(catalog_bucket_list(f->cat, "x", NULL, &l, &f->err), CATALOG_ABSENT);
    OK(f, catalog_bucket_delete(f->cat, "test1", &f->err));
    assert_int_equal(catalog_bucket_delete(f->cat, "test1", &f->err), CATALOG_ABSENT);
    OK(f, catalog_account_delete(f->cat, "user1", &f->err));
    assert_int_equal(catalog_account_delete(f->cat, "user1", &f->err), CATALOG_ABSENT);
}

static void schedules_remember_their_last_run(void **state)
{
    struct fixture *f = *state;
    struct catalog_schedule s = {.name = "recall",
                                 .when = "0 * * * *",
                                 .target = "fs1",
                                 .file = "/p/rec.policy",
                                 .macros = "{}",
                                 .enabled = true};
    OK(f, catalog_schedule_put(f->cat, &s, &f->err));
    OK(f, catalog_schedule_ran(f->cat, "recall", 123, "0 files", CATALOG_NOWAIT, &f->err));
    OK(f, catalog_flush(f->cat, &f->err));
    assert_int_equal(catalog_schedule_ran(f->cat, "x", 123, "", 0, &f->err), CATALOG_ABSENT);
    struct catalog_schedules l;
    OK(f, catalog_schedule_list(f->cat, NULL, &l, &f->err));
    assert_int_equal(l.n, 1);
    assert_int_equal(l.v[0].last_run_ns, 123);
    assert_string_equal(l.v[0].last_result, "0 files");
    assert_string_equal(l.v[0].when, "0 * * * *");
    catalog_schedules_fini(&l);
    OK(f, catalog_schedule_delete(f->cat, "recall", &f->err));
    assert_int_equal(catalog_schedule_list(f->cat, "recall", &l, &f->err), CATALOG_ABSENT);
}

/* ---- many callers ---- */

enum { CALLERS = 8, ROUNDS = 100 };

struct caller {
    struct catalog *cat;
    int no;
    int failures;
};

static void *call_often(void *arg)
{
    struct caller *c = arg;
    char key[32];
    for (int i = 0; i < ROUNDS; i++) {
        int64_t v;
        auto_free char *got = NULL;
        (void)snprintf(key, sizeof(key), "k%d.%d", c->no, i);
        c->failures += catalog_attr_set(c->cat, key, key, 0, NULL) != 0;
        c->failures += catalog_attr_get(c->cat, key, &got, NULL) != 0; /* one's own write is seen */
        c->failures += catalog_sequence_next(c->cat, "shared", &v, NULL) != 0;
        c->failures += catalog_pool_delete(c->cat, "l", "none", NULL) != CATALOG_ABSENT;
    }
    return NULL;
}

static void many_callers_share_transactions_and_disturb_nobody(void **state)
{
    struct fixture *f = *state;
    pthread_t t[CALLERS];
    struct caller c[CALLERS];
    for (int i = 0; i < CALLERS; i++) {
        c[i] = (struct caller){f->cat, i, 0};
        assert_int_equal(pthread_create(&t[i], NULL, call_often, &c[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++) {
        (void)pthread_join(t[i], NULL);
        assert_int_equal(c[i].failures, 0);
    }
    int64_t v = 0;
    OK(f, catalog_sequence_next(f->cat, "shared", &v, &f->err));
    assert_int_equal(v, CALLERS * ROUNDS + 1);
    struct catalog_attrs l;
    OK(f, catalog_attr_list(f->cat, "k", &l, &f->err));
    assert_int_equal(l.n, CALLERS * ROUNDS);
    catalog_attrs_fini(&l);
}

static void an_unknown_kind_is_named(void **state)
{
    struct fixture *f = *state;
    struct catalog *c = NULL;
    assert_int_equal(catalog_open("mysql", f->dir, &c, &f->err), -EINVAL);
    assert_non_null(strstr(f->err.text, "mysql"));
}

#define T(x) cmocka_unit_test_setup_teardown(x, setup, teardown)

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
        T(task_ids_begin_at_1000_and_the_uid_says_when),
        T(a_task_notes_its_times_and_result),
        T(jobs_are_claimed_by_priority_then_block_then_id),
        T(a_second_job_for_the_same_file_is_a_duplicate),
        T(finished_jobs_count_in_their_task_once),
        T(cancelling_ends_queued_jobs_and_leaves_running_ones),
        T(job_lists_come_in_pages),
        T(routing_moves_a_job_to_another_queue),
        T(after_a_restart_running_jobs_are_queued_again),
        T(pruning_keeps_open_tasks_and_the_last_failed_ones),
        T(accounts_share_no_access_key),
        T(an_account_with_buckets_is_not_deleted),
        T(schedules_remember_their_last_run),
        T(many_callers_share_transactions_and_disturb_nobody),
        T(an_unknown_kind_is_named),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    int failed = 0;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        kind = kinds[i];
        failed += cmocka_run_group_tests_name(kind, tests, NULL, NULL);
    }
    return failed;
}
