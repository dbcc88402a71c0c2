/* SPDX-License-Identifier: Apache-2.0 */
/* LTFS volumes on a cartridge directory: format, append, mount again, read, damage. */
#include "tape_fixture.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "codec/digest.h"
#include "codec/encode.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct site {
    char *dir;
    char *cartridge;
    struct drive *d;
};

static int set_up(void **state)
{
    struct site *s = xzalloc(sizeof(*s));
    s->dir = fixture_scratch();
    s->cartridge = fixture_cartridge(s->dir, 16);
    s->d = fixture_formatted(s->cartridge, FIXTURE_BS);
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct site *s = *state;
    drive_close(s->d);
    fixture_remove(s->dir);
    free(s->dir);
    free(s->cartridge);
    free(s);
    return 0;
}

/* Closes the drive and loads the cartridge again, as another process would. */
static void reload(struct site *s)
{
    drive_close(s->d);
    s->d = fixture_load(s->cartridge);
}

static void a_fresh_volume_is_empty_and_mounts(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    struct ltfs_volume_info info;

    reload(s);
    auto_ltfs_volume struct ltfs_volume *v = fixture_mount(s->d, 0);
    assert_ok(ltfs_volume_info(v, &info, &err), err);
    assert_int_equal(info.generation, 1);
    assert_int_equal(info.files, 0);
    assert_int_equal(info.blocksize, FIXTURE_BS);
    assert_int_equal(info.data_index_block, 5);
    assert_string_equal(info.name, "test volume");
    assert_string_equal(info.barcode, FIXTURE_BARCODE);
    assert_string_equal(info.problem, "");
    assert_false(info.read_only || info.dirty || info.recovered);
}

static void a_blank_cartridge_is_not_formatted(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    struct ltfs_volume *v = NULL;

    assert_ok(drive_format(s->d, &err), err);
    assert_int_equal(ltfs_mount(s->d, 0, &v, &err), LTFS_NOT_FORMATTED);
    assert_null(v);
}

static void files_come_back_after_sync_and_mount(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    struct ltfs_volume *v = fixture_mount(s->d, 0);

    assert_int_equal(fixture_write(v, "/a/b/one", 10000, 1), 0);
    assert_int_equal(fixture_write(v, "two", 4096, 2), 0);
    assert_int_equal(fixture_write(v, "a/three", 0, 3), 0);
    assert_int_equal(fixture_write(v, "a/four", 100, 4), 0);
    assert_true(fixture_has(v, "a/four", 100, 4)); /* still in the pack buffer */
    assert_ok(ltfs_sync(v, &err), err);
    assert_int_equal(fixture_write(v, "five", 9000, 5), 0);
    assert_ok(ltfs_unmount(v, &err), err);
    reload(s);
    for (unsigned flags = 0; flags <= LTFS_MOUNT_FULL_CHECK; flags += LTFS_MOUNT_FULL_CHECK) {
        auto_ltfs_volume struct ltfs_volume *again = fixture_mount(s->d, flags);
        struct ltfs_volume_info info;
        assert_true(fixture_has(again, "a/b/one", 10000, 1));
        assert_true(fixture_has(again, "two", 4096, 2));
        assert_true(fixture_has(again, "a/three", 0, 3));
        assert_true(fixture_has(again, "a/four", 100, 4));
        assert_true(fixture_has(again, "five", 9000, 5));
        assert_ok(ltfs_volume_info(again, &info, &err), err);
        assert_int_equal(info.generation, 3);
        assert_int_equal(info.files, 5);
        assert_false(info.recovered);
    }
}

static void what_was_not_synced_is_gone_and_the_rest_stays(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    struct ltfs_volume_info info;
    struct ltfs_node *n;
    struct ltfs_volume *v = fixture_mount(s->d, 0);

    assert_int_equal(fixture_write(v, "safe", 50000, 1), 0);
    assert_ok(ltfs_sync(v, &err), err);
    assert_int_equal(fixture_write(v, "lost", 50000, 2), 0);
    ltfs_volume_free(v);
    reload(s);
    v = fixture_mount(s->d, 0);
    assert_ok(ltfs_volume_info(v, &info, &err), err);
    assert_true(info.recovered);
    assert_true(fixture_has(v, "safe", 50000, 1));
    assert_int_equal(ltfs_lookup(v, "lost", &n), LTFS_ABSENT);
    assert_int_equal(fixture_write(v, "lost", 50000, 2), 0);
    assert_ok(ltfs_unmount(v, &err), err);
    reload(s);
    v = fixture_mount(s->d, LTFS_MOUNT_FULL_CHECK);
    assert_true(fixture_has(v, "safe", 50000, 1));
    assert_true(fixture_has(v, "lost", 50000, 2));
    ltfs_volume_free(v);
}

static void small_files_share_a_record(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    char name[32];
    struct ltfs_node *n;
    struct ltfs_location first;
    struct ltfs_location loc;
    struct ltfs_volume *v = fixture_mount(s->d, 0);
    uint64_t before = drive_counters(s->d)->records_written;

    for (unsigned i = 0; i < 40; i++) {
        (void)snprintf(name, sizeof(name), "small/%u", i);
        assert_int_equal(fixture_write(v, name, 100, i), 0);
    }
    assert_ok(ltfs_lookup(v, "small/0", &n), err);
    ltfs_node_location(n, &first);
    assert_ok(ltfs_lookup(v, "small/39", &n), err);
    ltfs_node_location(n, &loc);
    assert_int_equal(loc.block, first.block);
    assert_int_equal(loc.byteoffset, 3900);
    assert_int_equal(loc.length, 100);
    assert_int_equal(drive_counters(s->d)->records_written, before);
    assert_int_equal(fixture_write(v, "small/spill", 300, 77), 0); /* over the record's end */
    assert_ok(ltfs_sync(v, &err), err);
    for (unsigned i = 0; i < 40; i++) {
        (void)snprintf(name, sizeof(name), "small/%u", i);
        assert_true(fixture_has(v, name, 100, i));
    }
    assert_true(fixture_has(v, "small/spill", 300, 77));
    ltfs_volume_free(v);

    v = fixture_mount(s->d, LTFS_MOUNT_NO_PACKING);
    assert_int_equal(fixture_write(v, "x", 10, 1), 0);
    assert_int_equal(fixture_write(v, "y", 10, 2), 0);
    assert_ok(ltfs_lookup(v, "y", &n), err);
    ltfs_node_location(n, &loc);
    assert_int_equal(loc.byteoffset, 0);
    assert_ok(ltfs_unmount(v, &err), err);
}

static void an_aborted_file_leaves_its_neighbours_alone(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    uint8_t junk[10000];
    struct ltfs_writer *w;
    struct ltfs_node *n;
    const struct ltfs_create_args args = {.size_hint = 0};
    struct ltfs_volume *v = fixture_mount(s->d, 0);

    assert_int_equal(fixture_write(v, "before", 500, 1), 0);
    assert_ok(ltfs_writer_begin(v, "gone", &args, &w, &err), err);
    fixture_fill(junk, sizeof(junk), 9);
    assert_ok(ltfs_writer_append(w, junk, 700, &err), err);
    ltfs_writer_abort(w); /* all of it was in the buffer */
    assert_int_equal(fixture_write(v, "between", 500, 2), 0);
    assert_ok(ltfs_writer_begin(v, "gone", &args, &w, &err), err);
    assert_ok(ltfs_writer_append(w, junk, sizeof(junk), &err), err);
    ltfs_writer_abort(w); /* part of it is on tape */
    assert_int_equal(fixture_write(v, "after", 500, 3), 0);
    assert_ok(ltfs_unmount(v, &err), err);
    v = fixture_mount(s->d, 0);
    assert_int_equal(ltfs_lookup(v, "gone", &n), LTFS_ABSENT);
    assert_true(fixture_has(v, "before", 500, 1));
    assert_true(fixture_has(v, "between", 500, 2));
    assert_true(fixture_has(v, "after", 500, 3));
    ltfs_volume_free(v);
}

static void gaps_read_as_zeros_and_take_no_tape(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    struct ltfs_writer *w;
    struct ltfs_node *n;
    struct ltfs_volume_info info;
    const struct ltfs_create_args args = {.size_hint = 0};
    const uint64_t length = 3ULL << 30;
    struct ltfs_volume *v = fixture_mount(s->d, 0);

    assert_ok(ltfs_writer_begin(v, "sparse", &args, &w, &err), err);
    assert_ok(ltfs_writer_seek(w, 1000, &err), err);
    assert_ok(ltfs_writer_append(w, "abc", 3, &err), err);
    assert_ok(ltfs_writer_seek(w, 1ULL << 30, &err), err);
    assert_ok(ltfs_writer_append(w, "def", 3, &err), err);
    assert_int_equal(ltfs_writer_seek(w, 5, &err), -EINVAL);
    assert_ok(ltfs_writer_seek(w, length, &err), err);
    assert_ok(ltfs_writer_commit(w, NULL, 0, NULL, NULL, &err), err);
    assert_ok(ltfs_unmount(v, &err), err);
    reload(s);
    v = fixture_mount(s->d, 0);
    assert_ok(ltfs_lookup(v, "sparse", &n), err);
    assert_int_equal(ltfs_node_length(n), length);
    assert_ok(ltfs_volume_info(v, &info, &err), err);
    assert_int_equal(info.live_bytes, 6);
    char got[8];
    assert_int_equal(ltfs_read(v, n, 999, got, 6, &err), 6);
    assert_memory_equal(got, "\0abc\0\0", 6);
    assert_int_equal(ltfs_read(v, n, (1ULL << 30) - 1, got, 5, &err), 5);
    assert_memory_equal(got, "\0def\0", 5);
    assert_int_equal(ltfs_read(v, n, length - 2, got, 8, &err), 2);
    assert_memory_equal(got, "\0\0", 2);
    assert_int_equal(ltfs_read(v, n, length, got, 8, &err), 0);
    ltfs_volume_free(v);
}

static void any_name_survives(void **state)
{
    static const char *const names[] = {
        "plain",         "a b",          " blank ",          "per%cent",     "a:b*c?d\"e<f>g&h|i\\",
        "new\nline",     "tab\tcr\r",    "\x01\x1f\x7f",     "caf\xc3\xa9",  "latin1 caf\xe9",
        "\xff\xfe\x80",  "\xc3",         "\xed\xa0\x80",     "\xef\xbe\x80", "\xef\xbf\xbe",
        "\xee\xbe\x80x", "\xef\xbf\xbf", "\xf0\x9f\x90\xa7", "...",          "%41",
    };
    struct site *s = *state;
    struct err err = {0};
    struct ltfs_volume *v = fixture_mount(s->d, 0);
    char longest[LTFS_NAME_MAX + 2];

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_int_equal(fixture_write(v, names[i], 50, i), 0);
    memset(longest, '\xe9', sizeof(longest));
    longest[LTFS_NAME_MAX + 1] = '\0';
    assert_int_equal(fixture_write(v, longest, 1, 1), -EINVAL);
    longest[LTFS_NAME_MAX] = '\0';
    assert_int_equal(fixture_write(v, longest, 60, 99), 0);
    assert_int_equal(fixture_write(v, "x/../y", 1, 1), -EINVAL);
    assert_int_equal(fixture_write(v, ".", 1, 1), -EINVAL);
    assert_ok(ltfs_unmount(v, &err), err);
    reload(s);
    v = fixture_mount(s->d, 0);
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_true(fixture_has(v, names[i], 50, i));
    assert_true(fixture_has(v, longest, 60, 99));
    ltfs_volume_free(v);
}

static void attributes_of_any_bytes_survive(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    struct ltfs_node *n;
    const void *value;
    size_t len;
    struct ltfs_volume *v = fixture_mount(s->d, 0);
    static const struct ltfs_xattr xs[] = {
        {"text", "value <&>\"'", 11}, {"empty", "", 0},       {"nul", "a\0b", 3},
        {"blank", " x ", 3},          {"lines", "a\r\nb", 4}, {"bytes", "\xff\x00\x80", 3},
        {"key:with \xe9", "1", 1}};

    assert_int_equal(fixture_write(v, "f", 10, 1), 0);
    assert_ok(ltfs_lookup(v, "f", &n), err);
    for (unsigned i = 0; i < sizeof(xs) / sizeof(xs[0]); i++)
        assert_ok(ltfs_set_xattr(v, n, &xs[i], &err), err);
    struct ltfs_xattr changed = {"text", "other", 5};
    assert_ok(ltfs_sync(v, &err), err);
    assert_ok(ltfs_set_xattr(v, n, &changed, &err), err);
    assert_int_equal(ltfs_remove_xattr(v, n, "nul", &err), 0);
    assert_int_equal(ltfs_remove_xattr(v, n, "nul", &err), LTFS_ABSENT);
    assert_ok(ltfs_unmount(v, &err), err);
    reload(s);
    v = fixture_mount(s->d, 0);
    assert_ok(ltfs_lookup(v, "f", &n), err);
    assert_ok(ltfs_get_xattr(n, "text", &value, &len), err);
    assert_int_equal(len, 5);
    assert_memory_equal(value, "other", 5);
    assert_int_equal(ltfs_get_xattr(n, "nul", &value, &len), LTFS_ABSENT);
    for (unsigned i = 1; i < sizeof(xs) / sizeof(xs[0]); i++) {
        if (i == 2)
            continue;
        assert_ok(ltfs_get_xattr(n, xs[i].key, &value, &len), err);
        assert_int_equal(len, xs[i].len);
        assert_memory_equal(value, xs[i].value, len);
    }
    ltfs_volume_free(v);
}

static void taken_names_are_an_outcome(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    struct ltfs_volume *v = fixture_mount(s->d, 0);

    assert_int_equal(fixture_write(v, "d/f", 10, 1), 0);
    assert_int_equal(fixture_write(v, "d/f", 10, 2), LTFS_EXISTS);
    assert_int_equal(fixture_write(v, "d", 10, 2), LTFS_EXISTS);
    assert_int_equal(fixture_write(v, "d/f/g", 10, 2), LTFS_EXISTS);
    assert_int_equal(fixture_write(v, "/", 10, 2), LTFS_EXISTS);
    assert_int_equal(ltfs_mkdirs(v, "d/f", NULL, &err), LTFS_EXISTS);
    assert_int_equal(ltfs_mkdirs(v, "d/e/e", NULL, &err), 0);
    assert_int_equal(ltfs_mkdirs(v, "d/e/e", NULL, &err), 0);
    assert_true(fixture_has(v, "d/f", 10, 1));
    ltfs_volume_free(v);
}

static void removed_files_are_gone_after_sync(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    struct ltfs_node *n;
    char name[32];
    struct ltfs_volume *v = fixture_mount(s->d, 0);

    for (unsigned i = 0; i < 300; i++) {
        (void)snprintf(name, sizeof(name), "d/%u", i);
        assert_int_equal(fixture_write(v, name, 20, i), 0);
    }
    assert_ok(ltfs_lookup(v, "d", &n), err);
    assert_int_equal(ltfs_remove(v, n, &err), -ENOTEMPTY);
    for (unsigned i = 0; i < 300; i += 2) {
        (void)snprintf(name, sizeof(name), "d/%u", i);
        assert_ok(ltfs_lookup(v, name, &n), err);
        assert_ok(ltfs_remove(v, n, &err), err);
    }
    assert_ok(ltfs_unmount(v, &err), err);
    v = fixture_mount(s->d, 0);
    for (unsigned i = 0; i < 300; i++) {
        (void)snprintf(name, sizeof(name), "d/%u", i);
        assert_int_equal(fixture_has(v, name, 20, i), i % 2);
    }
    ltfs_volume_free(v);
}

static void iteration_meets_every_node_once(void **state)
{
    struct site *s = *state;
    unsigned files = 0;
    unsigned dirs = 0;
    struct ltfs_volume *v = fixture_mount(s->d, 0);

    assert_int_equal(fixture_write(v, "a/b/c", 1, 1), 0);
    assert_int_equal(fixture_write(v, "a/d", 1, 1), 0);
    assert_int_equal(fixture_write(v, "e", 1, 1), 0);
    for (struct ltfs_node *n = ltfs_next(v, NULL); n != NULL; n = ltfs_next(v, n)) {
        struct ltfs_node *same;
        auto_free char *path = ltfs_node_path(n);
        assert_int_equal(ltfs_lookup(v, path, &same), 0);
        assert_ptr_equal(same, n);
        if (ltfs_is_dir(n))
            dirs++;
        else
            files++;
    }
    assert_int_equal(files, 3);
    assert_int_equal(dirs, 3);
    ltfs_volume_free(v);
}

static void a_full_volume_says_so_and_keeps_what_it_has(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    char name[32];
    unsigned n = 0;
    struct ltfs_volume_info info;
    struct ltfs_volume *v = fixture_mount(s->d, 0);
    struct ltfs_writer *w;
    struct ltfs_create_args args = {.size_hint = 1ULL << 40};

    assert_int_equal(ltfs_writer_begin(v, "too big", &args, &w, &err), LTFS_FULL);
    int rc = 0;
    for (; rc == 0 && n < 1000; n++) {
        (void)snprintf(name, sizeof(name), "f%u", n);
        rc = fixture_write(v, name, 200000, n);
    }
    assert_int_equal(rc, LTFS_FULL);
    n--;
    assert_true(n > 60); /* 15 MiB of data partition, a twentieth kept for indexes */
    assert_ok(ltfs_unmount(v, &err), err);
    reload(s);
    v = fixture_mount(s->d, 0);
    assert_ok(ltfs_volume_info(v, &info, &err), err);
    assert_int_equal(info.files, n);
    for (unsigned i = 0; i < n; i++) {
        (void)snprintf(name, sizeof(name), "f%u", i);
        assert_true(fixture_has(v, name, 200000, i));
    }
    ltfs_volume_free(v);
}

static void an_unknown_size_meets_the_end_in_append(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    auto_free uint8_t *data = malloc(1u << 20);
    struct ltfs_writer *w;
    struct ltfs_node *n;
    const struct ltfs_create_args args = {.size_hint = 0};
    struct ltfs_volume *v = fixture_mount(s->d, 0);

    fixture_fill(data, 1u << 20, 1);
    assert_int_equal(fixture_write(v, "first", 1000, 1), 0);
    assert_ok(ltfs_writer_begin(v, "endless", &args, &w, &err), err);
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < 64; i++)
        rc = ltfs_writer_append(w, data, 1u << 20, &err);
    assert_int_equal(rc, LTFS_FULL);
    ltfs_writer_abort(w);
    assert_ok(ltfs_unmount(v, &err), err);
    v = fixture_mount(s->d, LTFS_MOUNT_FULL_CHECK);
    assert_true(fixture_has(v, "first", 1000, 1));
    assert_int_equal(ltfs_lookup(v, "endless", &n), LTFS_ABSENT);
    ltfs_volume_free(v);
}

static void reading_in_tape_order_needs_no_locate(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    char name[32];
    struct ltfs_volume *v = fixture_mount(s->d, 0);

    for (unsigned i = 0; i < 50; i++) {
        (void)snprintf(name, sizeof(name), "f%u", i);
        assert_int_equal(fixture_write(v, name, 3000 + i * 100, i), 0);
    }
    assert_ok(ltfs_sync(v, &err), err);
    uint64_t before = drive_counters(s->d)->locates;
    for (unsigned i = 0; i < 50; i++) {
        (void)snprintf(name, sizeof(name), "f%u", i);
        assert_true(fixture_has(v, name, 3000 + i * 100, i));
    }
    assert_int_equal(drive_counters(s->d)->locates, before + 1);
    ltfs_volume_free(v);
}

static void a_read_only_mount_writes_nothing(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    struct ltfs_node *n;
    struct ltfs_volume *v = fixture_mount(s->d, 0);

    assert_int_equal(fixture_write(v, "f", 10, 1), 0);
    assert_ok(ltfs_sync(v, &err), err);
    assert_int_equal(fixture_write(v, "g", 10, 1), 0);
    assert_int_equal(fixture_write(v, "h", 10000, 1), 0);
    ltfs_volume_free(v); /* a torn end of data */
    uint64_t records = drive_counters(s->d)->records_written;
    uint64_t marks = drive_counters(s->d)->filemarks_written;
    v = fixture_mount(s->d, LTFS_MOUNT_READ_ONLY);
    assert_true(fixture_has(v, "f", 10, 1));
    assert_int_equal(fixture_write(v, "i", 10, 1), LTFS_READ_ONLY);
    assert_int_equal(ltfs_mkdirs(v, "i", NULL, &err), LTFS_READ_ONLY);
    assert_ok(ltfs_lookup(v, "f", &n), err);
    assert_int_equal(ltfs_remove(v, n, &err), LTFS_READ_ONLY);
    assert_ok(ltfs_unmount(v, &err), err);
    assert_int_equal(drive_counters(s->d)->records_written, records);
    assert_int_equal(drive_counters(s->d)->filemarks_written, marks);
}

/* Reads the records of the last index on partition 0. */
static char *index_on_tape(const struct site *s, size_t *len)
{
    uint64_t last = fixture_last(s->cartridge, 0, 'R');
    uint64_t first = last;
    char *text = xzalloc(1 << 20);
    *len = 0;
    for (;; first--) {
        auto_free char *path =
            xasprintf("%s/0_%llu_R", s->cartridge, (unsigned long long)first - 1);
        if (access(path, F_OK) != 0)
            break;
    }
    for (uint64_t n = first; n <= last; n++) {
        auto_free char *path = xasprintf("%s/0_%llu_R", s->cartridge, (unsigned long long)n);
        auto_close int fd = open(path, O_RDONLY);
        ssize_t got = io_read_full(fd, text + *len, (1 << 20) - *len);
        assert_true(got > 0);
        *len += (size_t)got;
    }
    return text;
}

static void the_index_is_handed_out_as_it_is_on_tape_without_a_move(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    struct drive_position before;
    struct drive_position after;
    auto_ltfs_volume struct ltfs_volume *v = fixture_mount(s->d, 0);
    auto_free char *path = xasprintf("%s/index", s->dir);
    for (int round = 0; round < 3; round++) {
        auto_free char *text = NULL;
        size_t len;
        size_t want_len;
        auto_close int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
        char name[16];
        for (unsigned i = 0; round < 2 && i < 50; i++) {
            (void)snprintf(name, sizeof(name), "/f%d-%u", round, i);
            assert_ok(fixture_write(v, name, 100, i), err);
        }
        if (round < 2)
            assert_int_equal(ltfs_index_write(v, fd, &err), -EBUSY);
        assert_ok(ltfs_sync(v, &err), err);
        if (round == 2) { /* a volume that was only read */
            ltfs_volume_free(take_ptr(v));
            v = fixture_mount(s->d, LTFS_MOUNT_READ_ONLY);
        }
        assert_ok(drive_position(s->d, &before, &err), err);
        assert_ok(ltfs_index_write(v, fd, &err), err);
        assert_ok(drive_position(s->d, &after, &err), err);
        assert_int_equal(before.block, after.block);
        assert_int_equal(before.partition, after.partition);
        auto_free char *want = index_on_tape(s, &want_len);
        assert_int_equal(io_read_file(AT_FDCWD, path, 1 << 20, &text, &len, &err), 0);
        assert_int_equal(len, want_len);
        assert_memory_equal(text, want, len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_fresh_volume_is_empty_and_mounts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_blank_cartridge_is_not_formatted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_come_back_after_sync_and_mount, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_not_synced_is_gone_and_the_rest_stays, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_index_is_handed_out_as_it_is_on_tape_without_a_move,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(small_files_share_a_record, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_aborted_file_leaves_its_neighbours_alone, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(gaps_read_as_zeros_and_take_no_tape, set_up, tear_down),
        cmocka_unit_test_setup_teardown(any_name_survives, set_up, tear_down),
        cmocka_unit_test_setup_teardown(attributes_of_any_bytes_survive, set_up, tear_down),
        cmocka_unit_test_setup_teardown(taken_names_are_an_outcome, set_up, tear_down),
        cmocka_unit_test_setup_teardown(removed_files_are_gone_after_sync, set_up, tear_down),
        cmocka_unit_test_setup_teardown(iteration_meets_every_node_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_volume_says_so_and_keeps_what_it_has, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_unknown_size_meets_the_end_in_append, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reading_in_tape_order_needs_no_locate, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_read_only_mount_writes_nothing, set_up, tear_down),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
