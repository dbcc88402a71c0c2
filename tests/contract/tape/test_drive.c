/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of drives (tape/drive.h), run on every kind. A new kind is a row in kinds[] and one
 * in meson.build. */
#include "tape_fixture.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct site {
    char *dir;
    char *cartridge;
    struct drive *d;
    struct clock *clock;
};

static struct drive *open_dir(struct site *s)
{
    struct err err = {0};
    struct drive *d = NULL;
    assert_ok(drive_dir_open_cartridge(s->cartridge, &d, &err), err);
    return d;
}

static struct drive *open_fault(struct site *s)
{
    const struct drive_fault_plan none = {0};
    return drive_fault_new(open_dir(s), &none);
}

static struct drive *open_fault_keeping(struct site *s)
{
    const struct drive_fault_plan plan = {.drop_unflushed = true, .cartridge = s->cartridge};
    return drive_fault_new(open_dir(s), &plan);
}

static struct drive *open_timed(struct site *s)
{
    struct err err = {0};
    struct drive *d = NULL;
    if (s->clock == NULL)
        s->clock = clock_new_simulated();
    assert_ok(drive_timed_new(open_dir(s), "lto8", s->clock, &d, &err), err);
    return d;
}

static const struct kind {
    const char *name;
    struct drive *(*open)(struct site *s);
} kinds[] = {
    {"dir", open_dir},
    {"fault", open_fault},
    {"fault-keeping", open_fault_keeping},
    {"timed", open_timed},
};

static const struct kind *kind; /* the one under test */

static int set_up(void **state)
{
    struct err err = {0};
    struct site *s = xzalloc(sizeof(*s));
    s->dir = fixture_scratch();
    s->cartridge = fixture_cartridge(s->dir, 8);
    s->d = kind->open(s);
    assert_ok(drive_load(s->d, &err), err);
    assert_ok(drive_format(s->d, &err), err);
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct site *s = *state;
    drive_close(s->d);
    clock_free(s->clock);
    fixture_remove(s->dir);
    free(s->dir);
    free(s->cartridge);
    free(s);
    return 0;
}

static void put(struct drive *d, const char *text)
{
    struct err err = {0};
    assert_ok(drive_write_record(d, text, strlen(text), &err), err);
}

static void put_mark(struct drive *d)
{
    struct err err = {0};
    assert_ok(drive_write_filemarks(d, 1, &err), err);
}

static void assert_reads(struct drive *d, const char *text)
{
    struct err err = {0};
    char buf[64];
    size_t len;
    assert_ok(drive_read_record(d, buf, sizeof(buf), &len, &err), err);
    assert_int_equal(len, strlen(text));
    assert_memory_equal(buf, text, len);
}

static int read_outcome(struct drive *d)
{
    char buf[64];
    size_t len = 9;
    int rc = drive_read_record(d, buf, sizeof(buf), &len, NULL);
    assert_int_equal(len, 0);
    return rc;
}

static void assert_at(struct drive *d, unsigned partition, uint64_t block)
{
    struct err err = {0};
    struct drive_position pos;
    assert_ok(drive_position(d, &pos, &err), err);
    assert_int_equal(pos.partition, partition);
    assert_int_equal(pos.block, block);
}

static void locate(struct drive *d, unsigned partition, uint64_t block)
{
    struct err err = {0};
    assert_ok(drive_locate(d, partition, block, &err), err);
}

/* one two mark three mark mark four */
static void put_sample(struct drive *d)
{
    put(d, "one");
    put(d, "two");
    put_mark(d);
    put(d, "three");
    put_mark(d);
    put_mark(d);
    put(d, "four");
}

static void records_and_marks_read_back_in_order(void **state)
{
    struct site *s = *state;
    assert_at(s->d, 0, 0);
    put_sample(s->d);
    assert_at(s->d, 0, 7);
    assert_int_equal(read_outcome(s->d), DRIVE_END_OF_DATA);
    locate(s->d, 0, 0);
    assert_reads(s->d, "one");
    assert_reads(s->d, "two");
    assert_int_equal(read_outcome(s->d), DRIVE_FILEMARK);
    assert_reads(s->d, "three");
    assert_int_equal(read_outcome(s->d), DRIVE_FILEMARK);
    assert_int_equal(read_outcome(s->d), DRIVE_FILEMARK);
    assert_reads(s->d, "four");
    assert_at(s->d, 0, 7);
    assert_int_equal(read_outcome(s->d), DRIVE_END_OF_DATA);
    assert_int_equal(read_outcome(s->d), DRIVE_END_OF_DATA);
}

static void partitions_are_apart(void **state)
{
    struct site *s = *state;
    put(s->d, "index");
    locate(s->d, 1, 0);
    put(s->d, "data one");
    put(s->d, "data two");
    locate(s->d, 0, 0);
    assert_reads(s->d, "index");
    assert_int_equal(read_outcome(s->d), DRIVE_END_OF_DATA);
    locate(s->d, 1, 1);
    assert_reads(s->d, "data two");
    assert_at(s->d, 1, 2);
}

static void writing_cuts_off_what_follows(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    locate(s->d, 1, 0);
    put_sample(s->d);
    locate(s->d, 1, 3);
    put(s->d, "new");
    assert_int_equal(read_outcome(s->d), DRIVE_END_OF_DATA);
    locate(s->d, 1, 1);
    assert_reads(s->d, "two");
    assert_int_equal(read_outcome(s->d), DRIVE_FILEMARK);
    assert_reads(s->d, "new");
    assert_int_equal(read_outcome(s->d), DRIVE_END_OF_DATA);
    assert_ok(drive_unload(s->d, &err), err);
    assert_ok(drive_load(s->d, &err), err);
    assert_ok(drive_locate_eod(s->d, 1, &err), err);
    assert_at(s->d, 1, 4);
    locate(s->d, 1, 0); /* a mark cuts too */
    put_mark(s->d);
    assert_ok(drive_locate_eod(s->d, 1, &err), err);
    assert_at(s->d, 1, 1);
}

static void spacing_counts_marks(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    put_sample(s->d);
    locate(s->d, 0, 0);
    assert_ok(drive_space_filemarks(s->d, 1, &err), err);
    assert_at(s->d, 0, 3);
    assert_ok(drive_space_filemarks(s->d, 2, &err), err);
    assert_at(s->d, 0, 6);
    assert_int_equal(drive_space_filemarks(s->d, 1, &err), DRIVE_END_OF_DATA);
    assert_at(s->d, 0, 7);
    assert_ok(drive_space_filemarks(s->d, -1, &err), err);
    assert_at(s->d, 0, 5);
    assert_int_equal(read_outcome(s->d), DRIVE_FILEMARK);
    assert_ok(drive_space_filemarks(s->d, -3, &err), err);
    assert_at(s->d, 0, 2);
    assert_int_equal(drive_space_filemarks(s->d, -1, &err), DRIVE_BEGINNING);
    assert_at(s->d, 0, 0);
}

static void locating_behind_the_end_stops_there(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    put_sample(s->d);
    assert_int_equal(drive_locate(s->d, 0, 100, &err), DRIVE_END_OF_DATA);
    assert_at(s->d, 0, 7);
    assert_ok(drive_locate(s->d, 0, 7, &err), err);
    assert_int_equal(drive_locate(s->d, 2, 0, &err), -EINVAL);
}

static void a_record_longer_than_the_buffer_is_an_error(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    char buf[3];
    size_t len;
    put_sample(s->d);
    locate(s->d, 0, 3);
    assert_int_equal(drive_read_record(s->d, buf, sizeof(buf), &len, &err), -EMSGSIZE);
    assert_non_null(strstr(err.text, FIXTURE_BARCODE));
    assert_int_equal(read_outcome(s->d), DRIVE_FILEMARK); /* the head is behind it */
    assert_int_equal(drive_write_record(s->d, buf, 0, &err), -EINVAL);
    assert_int_equal(drive_write_record(s->d, buf, drive_caps(s->d)->max_record + 1, &err),
                     -EINVAL);
}

static void what_was_flushed_is_there_in_the_next_drive(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    put_sample(s->d);
    locate(s->d, 1, 0);
    put(s->d, "data");
    assert_ok(drive_flush(s->d, &err), err);
    drive_close(s->d);
    s->d = kind->open(s);
    assert_false(drive_is_loaded(s->d));
    assert_string_equal(drive_barcode(s->d), "");
    assert_ok(drive_load(s->d, &err), err);
    assert_string_equal(drive_barcode(s->d), FIXTURE_BARCODE);
    assert_at(s->d, 0, 0);
    assert_reads(s->d, "one");
    assert_ok(drive_locate_eod(s->d, 0, &err), err);
    assert_at(s->d, 0, 7);
    assert_ok(drive_space_filemarks(s->d, -1, &err), err);
    assert_at(s->d, 0, 5);
    locate(s->d, 1, 0);
    assert_reads(s->d, "data");
}

static void nothing_works_without_a_cartridge(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    struct drive_position pos;
    assert_ok(drive_unload(s->d, &err), err);
    assert_ok(drive_unload(s->d, &err), err);
    assert_int_equal(drive_write_record(s->d, "x", 1, &err), -ENOMEDIUM);
    assert_int_equal(drive_position(s->d, &pos, &err), -ENOMEDIUM);
    assert_int_equal(drive_format(s->d, &err), -ENOMEDIUM);
    assert_int_equal(drive_flush(s->d, &err), -ENOMEDIUM);
}

static void a_cartridge_is_held_by_one_drive(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    struct drive *other = kind->open(s);
    assert_int_equal(drive_load(other, &err), -EBUSY);
    assert_ok(drive_unload(s->d, &err), err);
    assert_ok(drive_load(other, &err), err);
    drive_close(other);
    assert_ok(drive_load(s->d, &err), err);
}

static void capacity_ends_with_a_warning_and_then_full(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    struct drive_capacity cap;
    auto_free char *data = xzalloc(65536);
    unsigned written = 0;
    unsigned warned = 0;

    locate(s->d, 1, 0);
    assert_ok(drive_capacity(s->d, 1, &cap, &err), err);
    assert_int_equal(cap.maximum_bytes, 7u << 20);
    assert_int_equal(cap.remaining_bytes, cap.maximum_bytes);
    assert_false(cap.early_warning);
    int rc = 0;
    while (rc == 0 || rc == DRIVE_EARLY_WARNING) {
        rc = drive_write_record(s->d, data, 65536, &err);
        written += rc == 0 || rc == DRIVE_EARLY_WARNING;
        warned += rc == DRIVE_EARLY_WARNING;
    }
    assert_int_equal(rc, DRIVE_FULL);
    assert_int_equal(written, 112);
    assert_true(warned >= 5 && warned <= 6);
    assert_ok(drive_capacity(s->d, 1, &cap, &err), err);
    assert_int_equal(cap.remaining_bytes, 0);
    assert_true(cap.early_warning);
    assert_ok(drive_locate_eod(s->d, 1, &err), err);
    assert_at(s->d, 1, 112);
    locate(s->d, 1, 2); /* overwriting gives the room back */
    assert_ok(drive_write_record(s->d, data, 65536, &err), err);
    assert_ok(drive_capacity(s->d, 1, &cap, &err), err);
    assert_int_equal(cap.remaining_bytes, cap.maximum_bytes - 3 * 65536);
}

static void attributes_are_kept_by_partition(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    char buf[100];
    size_t len;
    const enum drive_attr id = DRIVE_ATTR_COHERENCY;
    assert_int_equal(drive_read_attribute(s->d, 0, id, buf, sizeof(buf), &len, &err),
                     DRIVE_NO_ATTRIBUTE);
    assert_ok(drive_write_attribute(s->d, 0, id, DRIVE_ATTR_BINARY, "zero", 4, &err), err);
    assert_ok(drive_write_attribute(s->d, 1, id, DRIVE_ATTR_BINARY, "ones!", 5, &err), err);
    assert_ok(drive_unload(s->d, &err), err);
    assert_ok(drive_load(s->d, &err), err);
    assert_ok(drive_read_attribute(s->d, 0, id, buf, sizeof(buf), &len, &err), err);
    assert_int_equal(len, 4);
    assert_memory_equal(buf, "zero", 4);
    assert_ok(drive_read_attribute(s->d, 1, id, buf, sizeof(buf), &len, &err), err);
    assert_int_equal(len, 5);
    assert_int_equal(drive_read_attribute(s->d, 1, id, buf, 3, &len, &err), -EMSGSIZE);
    assert_int_equal(
        drive_write_attribute(s->d, 0, DRIVE_ATTR_VCR, DRIVE_ATTR_BINARY, "1234", 4, &err), -EPERM);
    assert_ok(drive_format(s->d, &err), err);
    assert_int_equal(drive_read_attribute(s->d, 1, id, buf, sizeof(buf), &len, &err),
                     DRIVE_NO_ATTRIBUTE);
}

static uint32_t change_reference(struct drive *d)
{
    struct err err = {0};
    uint8_t v[4];
    size_t len;
    assert_ok(drive_read_attribute(d, 0, DRIVE_ATTR_VCR, v, sizeof(v), &len, &err), err);
    assert_int_equal(len, 4);
    return (uint32_t)v[0] << 24 | (uint32_t)v[1] << 16 | (uint32_t)v[2] << 8 | v[3];
}

static void the_change_reference_changes_with_writing_not_with_loading(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    put(s->d, "x");
    uint32_t first = change_reference(s->d);
    assert_int_not_equal(first, 0);
    assert_ok(drive_unload(s->d, &err), err);
    assert_ok(drive_load(s->d, &err), err);
    locate(s->d, 0, 0);
    assert_reads(s->d, "x");
    assert_int_equal(change_reference(s->d), first);
    put(s->d, "y"); /* the first write after load, and after it was read */
    uint32_t second = change_reference(s->d);
    assert_int_not_equal(second, first);
    locate(s->d, 1, 0);
    put_mark(s->d);
    assert_int_not_equal(change_reference(s->d), second);
}

static void formatting_erases_both_partitions(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    put_sample(s->d);
    locate(s->d, 1, 0);
    put_sample(s->d);
    assert_ok(drive_format(s->d, &err), err);
    assert_at(s->d, 0, 0);
    assert_int_equal(read_outcome(s->d), DRIVE_END_OF_DATA);
    locate(s->d, 1, 0);
    assert_int_equal(read_outcome(s->d), DRIVE_END_OF_DATA);
}

static void counters_count(void **state)
{
    struct site *s = *state;
    const struct drive_counters *c = drive_counters(s->d);
    put_sample(s->d);
    assert_int_equal(c->records_written, 4);
    assert_int_equal(c->bytes_written, 15);
    assert_int_equal(c->filemarks_written, 3);
    locate(s->d, 0, 0);
    assert_reads(s->d, "one");
    assert_int_equal(c->records_read, 1);
    assert_int_equal(c->bytes_read, 3);
    assert_int_equal(c->locates, 1);
    assert_int_equal(c->loads, 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        T(records_and_marks_read_back_in_order),
        T(partitions_are_apart),
        T(writing_cuts_off_what_follows),
        T(spacing_counts_marks),
        T(locating_behind_the_end_stops_there),
        T(a_record_longer_than_the_buffer_is_an_error),
        T(what_was_flushed_is_there_in_the_next_drive),
        T(nothing_works_without_a_cartridge),
        T(a_cartridge_is_held_by_one_drive),
        T(capacity_ends_with_a_warning_and_then_full),
        T(attributes_are_kept_by_partition),
        T(the_change_reference_changes_with_writing_not_with_loading),
        T(formatting_erases_both_partitions),
        T(counters_count),
#undef T
    };
    log_init("test", LOG_LEVEL_ERR);
    for (size_t i = 0; argc == 2 && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kinds[i].name, argv[1]) == 0)
            kind = &kinds[i];
    }
    if (kind == NULL) {
        (void)fputs("usage: test_drive KIND\n", stderr);
        return 2;
    }
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
