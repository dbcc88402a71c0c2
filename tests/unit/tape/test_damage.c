/* SPDX-License-Identifier: Apache-2.0 */
/* Damaged labels, indexes, records and cartridge memory: the other copy is used, or the error names
 * cartridge and block. */
#include "tape_fixture.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
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
    uint64_t data_index; /* blocks of the newest indexes */
    uint64_t index_index;
};

/* A volume of two generations with "one" (hashed) and "two". */
static int set_up(void **state)
{
    struct err err = {0};
    struct site *s = xzalloc(sizeof(*s));
    struct ltfs_node *n;
    uint8_t raw[DIGEST_MAX];
    char hex[ENCODE_HEX_SIZE(DIGEST_MAX)];
    uint8_t data[30000];

    s->dir = fixture_scratch();
    s->cartridge = fixture_cartridge(s->dir, 8);
    struct drive *d = fixture_formatted(s->cartridge, FIXTURE_BS);
    struct ltfs_volume *v = fixture_mount(d, 0);
    assert_int_equal(fixture_write(v, "one", sizeof(data), 1), 0);
    assert_ok(ltfs_lookup(v, "one", &n), err);
    fixture_fill(data, sizeof(data), 1);
    encode_hex(raw, digest_of(DIGEST_SHA256, data, sizeof(data), raw), hex);
    struct ltfs_xattr x = {"ltfs.hash.sha256sum", hex, strlen(hex)};
    assert_ok(ltfs_set_xattr(v, n, &x, &err), err);
    assert_ok(ltfs_sync(v, &err), err);
    assert_int_equal(fixture_write(v, "two", 5000, 2), 0);
    assert_ok(ltfs_sync(v, &err), err);
    struct ltfs_volume_info info;
    assert_ok(ltfs_volume_info(v, &info, &err), err);
    s->data_index = info.data_index_block;
    s->index_index = 5;
    ltfs_volume_free(v);
    drive_close(d);
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct site *s = *state;
    fixture_remove(s->dir);
    free(s->dir);
    free(s->cartridge);
    free(s);
    return 0;
}

static void damage(struct site *s, unsigned partition, uint64_t block)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "%u_%llu_R", partition, (unsigned long long)block);
    fixture_damage(s->cartridge, name, block == 2 ? 0 : -1); /* the label's middle is its uuid */
}

/* As a power cut would, forgets that the coherency attributes are good. */
static void forget_memory(struct site *s)
{
    for (unsigned p = 0; p < 2; p++) {
        auto_free char *name = xasprintf("%s/attr_%u_80c", s->cartridge, p);
        assert_int_equal(unlink(name), 0);
    }
}

static void assert_says(const char *text, const char *what)
{
    if (strstr(text, what) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", text, what);
}

/* Mounts and shows both files; returns the volume's state. */
static struct ltfs_volume_info mount_shows_all(struct site *s)
{
    struct err err = {0};
    struct ltfs_volume_info info;
    auto_drive struct drive *d = fixture_load(s->cartridge);
    auto_ltfs_volume struct ltfs_volume *v = fixture_mount(d, 0);
    assert_true(fixture_has(v, "one", 30000, 1));
    assert_true(fixture_has(v, "two", 5000, 2));
    assert_ok(ltfs_volume_info(v, &info, &err), err);
    return info;
}

static void a_damaged_label_uses_the_other_and_is_read_only(void **state)
{
    struct site *s = *state;
    for (unsigned p = 0; p < 2; p++) {
        struct ltfs_volume_info info;
        damage(s, p, 2);
        info = mount_shows_all(s);
        assert_true(info.read_only);
        assert_says(info.problem, FIXTURE_BARCODE);
        assert_says(info.problem, p == 0 ? "partition a block 2" : "partition b block 2");
        damage(s, p, 2); /* the same bits back */
        info = mount_shows_all(s);
        assert_false(info.read_only);
    }
}

static void two_damaged_labels_are_an_error_naming_the_block(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    struct ltfs_volume *v = NULL;
    damage(s, 0, 2);
    damage(s, 1, 2);
    auto_drive struct drive *d = fixture_load(s->cartridge);
    assert_int_equal(ltfs_mount(d, 0, &v, &err), -EBADMSG);
    assert_says(err.text, FIXTURE_BARCODE);
    assert_says(err.text, "partition a block 2");
}

static void labels_that_differ_are_an_error(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    struct ltfs_volume *v = NULL;
    auto_free char *other_dir = fixture_scratch();
    auto_free char *other = fixture_cartridge(other_dir, 8);
    drive_close(fixture_formatted(other, FIXTURE_BS));
    auto_free char *from = xasprintf("%s/1_2_R", other);
    auto_free char *to = xasprintf("%s/1_2_R", s->cartridge);
    assert_int_equal(rename(from, to), 0);
    auto_drive struct drive *d = fixture_load(s->cartridge);
    assert_int_equal(ltfs_mount(d, 0, &v, &err), -EBADMSG);
    assert_says(err.text, "volumeuuid");
    fixture_remove(other_dir);
}

static void a_damaged_index_on_a_is_rebuilt_from_b(void **state)
{
    struct site *s = *state;
    damage(s, 0, s->index_index);
    struct ltfs_volume_info info = mount_shows_all(s);
    assert_true(info.recovered);
    assert_false(info.read_only);
    assert_says(info.problem, "partition a block 5");
    info = mount_shows_all(s);
    assert_false(info.recovered);
}

static void a_damaged_index_on_b_is_replaced_from_a(void **state)
{
    struct site *s = *state;
    damage(s, 1, s->data_index);
    forget_memory(s);
    struct ltfs_volume_info info = mount_shows_all(s);
    assert_true(info.recovered);
    assert_false(info.read_only);
    assert_true(info.data_index_block > s->data_index);
    info = mount_shows_all(s);
    assert_false(info.recovered);
}

static void two_damaged_newest_indexes_show_the_older_one_read_only(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    struct ltfs_volume_info info;
    struct ltfs_node *n;
    damage(s, 0, s->index_index);
    damage(s, 1, s->data_index);
    auto_drive struct drive *d = fixture_load(s->cartridge);
    auto_ltfs_volume struct ltfs_volume *v = fixture_mount(d, 0);
    assert_true(fixture_has(v, "one", 30000, 1));
    assert_int_equal(ltfs_lookup(v, "two", &n), LTFS_ABSENT);
    assert_ok(ltfs_volume_info(v, &info, &err), err);
    assert_true(info.read_only);
    assert_says(info.problem, "generation 3");
}

static void a_wrong_byte_in_an_index_that_is_still_xml_is_noticed(void **state)
{
    struct site *s = *state;
    auto_free char *name = xasprintf("0_%llu_R", (unsigned long long)s->index_index);
    auto_free char *path = xasprintf("%s/%s", s->cartridge, name);
    struct err err = {0};
    auto_free char *text = NULL;
    assert_ok(io_read_file(AT_FDCWD, path, 1u << 20, &text, NULL, &err), err);
    const char *at = strstr(text, ">one<");
    assert_non_null(at);
    fixture_damage(s->cartridge, name, at + 2 - text);
    struct ltfs_volume_info info = mount_shows_all(s);
    assert_true(info.recovered);
    assert_says(info.problem, "partition a block 5");
    assert_says(info.problem, "checksum");
}

static void no_index_at_all_is_an_error(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    struct ltfs_volume *v = NULL;
    damage(s, 0, s->index_index);
    for (uint64_t block = 5; block <= s->data_index; block++) {
        auto_free char *name = xasprintf("%s/1_%llu_R", s->cartridge, (unsigned long long)block);
        if (access(name, F_OK) == 0)
            damage(s, 1, block);
    }
    auto_drive struct drive *d = fixture_load(s->cartridge);
    assert_int_equal(ltfs_mount(d, 0, &v, &err), -EIO);
    assert_says(err.text, FIXTURE_BARCODE);
    assert_says(err.text, "no readable index");
}

static void a_missing_record_names_cartridge_and_block(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    struct ltfs_node *n;
    uint8_t buf[30000];
    auto_free char *name = xasprintf("%s/1_9_R", s->cartridge); /* in the middle of "one" */
    assert_int_equal(unlink(name), 0);
    auto_drive struct drive *d = fixture_load(s->cartridge);
    auto_ltfs_volume struct ltfs_volume *v = fixture_mount(d, 0);
    assert_ok(ltfs_lookup(v, "one", &n), err);
    assert_int_equal(ltfs_read(v, n, 0, buf, sizeof(buf), &err), -EIO);
    assert_says(err.text, FIXTURE_BARCODE);
    assert_says(err.text, "partition b block 9");
    assert_true(fixture_has(v, "two", 5000, 2));
}

static void a_short_record_names_cartridge_and_block(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    struct ltfs_node *n;
    uint8_t buf[30000];
    auto_free char *name = xasprintf("%s/1_9_R", s->cartridge);
    assert_int_equal(truncate(name, 100), 0);
    auto_drive struct drive *d = fixture_load(s->cartridge);
    auto_ltfs_volume struct ltfs_volume *v = fixture_mount(d, 0);
    assert_ok(ltfs_lookup(v, "one", &n), err);
    assert_int_equal(ltfs_read(v, n, 0, buf, sizeof(buf), &err), -EIO);
    assert_says(err.text, "partition b block 9");
}

static void a_missing_end_of_the_tape_makes_it_read_only(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    struct ltfs_volume_info info;
    uint64_t eod = fixture_last(s->cartridge, 1, 'E');
    for (uint64_t block = 9; block <= eod; block++) {
        static const char types[] = "RFE";
        for (const char *t = types; *t != '\0'; t++) {
            auto_free char *name =
                xasprintf("%s/1_%llu_%c", s->cartridge, (unsigned long long)block, *t);
            (void)unlink(name);
        }
    }
    forget_memory(s);
    auto_drive struct drive *d = fixture_load(s->cartridge);
    auto_ltfs_volume struct ltfs_volume *v = fixture_mount(d, 0);
    assert_ok(ltfs_volume_info(v, &info, &err), err);
    assert_true(info.read_only);
    assert_says(info.problem, "behind the end of data");
}

struct heard {
    unsigned lines;
    char last[1024];
};

static void hear(void *arg, bool fatal, const char *text)
{
    struct heard *h = arg;
    (void)fatal;
    h->lines++;
    (void)snprintf(h->last, sizeof(h->last), "%s", text);
}

static void the_check_finds_data_that_does_not_match_its_hash(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    struct heard heard = {0};
    struct ltfs_check_result result;
    auto_drive struct drive *d = fixture_load(s->cartridge);

    assert_ok(ltfs_check(d, 0, hear, &heard, &result, &err), err);
    assert_int_equal(result.problems, 0);
    assert_int_equal(heard.lines, 0);
    assert_int_equal(result.files, 2);
    assert_int_equal(result.hashed, 1);
    assert_int_equal(result.bytes, 35000);
    damage(s, 1, 8);
    assert_ok(ltfs_check(d, LTFS_CHECK_REPAIR, hear, &heard, &result, &err), err);
    assert_int_equal(result.problems, 1);
    assert_says(heard.last, "/one");
    assert_says(heard.last, FIXTURE_BARCODE);
    assert_says(heard.last, "ltfs.hash.sha256sum");
}

static void the_check_repairs_label_and_index_of_a(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    struct heard heard = {0};
    struct ltfs_check_result result;
    struct drive *d = fixture_load(s->cartridge);

    damage(s, 0, 2);
    damage(s, 0, s->index_index);
    assert_ok(ltfs_check(d, 0, hear, &heard, &result, &err), err);
    assert_true(result.problems > 0);
    assert_ok(ltfs_check(d, LTFS_CHECK_REPAIR, hear, &heard, &result, &err), err);
    assert_int_equal(result.problems, 0);
    assert_true(result.recovered > 0);
    assert_ok(ltfs_check(d, 0, hear, &heard, &result, &err), err);
    assert_int_equal(result.problems, 0);
    drive_close(d);
    struct ltfs_volume_info info = mount_shows_all(s);
    assert_false(info.read_only || info.recovered);
}

/* One bit of the nth record that a mount reads is wrong: it still shows both files, or says why not
 * and of which cartridge. */
static void a_wrong_bit_in_any_record_read_by_a_mount_is_noticed_or_harmless(void **state)
{
    struct site *s = *state;
    bool more = true;
    for (unsigned flip = 1; more; flip++) {
        struct err err = {0};
        struct ltfs_volume_info info;
        struct ltfs_volume *v = NULL;
        struct drive *inner = NULL;
        const struct drive_fault_plan plan = {.flip_read_at = flip};
        assert_ok(drive_dir_open_cartridge(s->cartridge, &inner, &err), err);
        auto_drive struct drive *d = drive_fault_new(inner, &plan);
        assert_ok(drive_load(d, &err), err);
        int rc = ltfs_mount(d, LTFS_MOUNT_READ_ONLY | LTFS_MOUNT_FULL_CHECK, &v, &err);
        more = drive_counters(inner)->records_read >= flip;
        assert_true(rc <= 0);
        if (rc < 0) {
            assert_says(err.text, FIXTURE_BARCODE);
            continue;
        }
        assert_ok(ltfs_volume_info(v, &info, &err), err);
        if (!fixture_has(v, "one", 30000, 1) || !fixture_has(v, "two", 5000, 2))
            assert_says(info.problem, "partition");
        ltfs_volume_free(v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        T(a_damaged_label_uses_the_other_and_is_read_only),
        T(two_damaged_labels_are_an_error_naming_the_block),
        T(labels_that_differ_are_an_error),
        T(a_damaged_index_on_a_is_rebuilt_from_b),
        T(a_damaged_index_on_b_is_replaced_from_a),
        T(two_damaged_newest_indexes_show_the_older_one_read_only),
        T(a_wrong_byte_in_an_index_that_is_still_xml_is_noticed),
        T(no_index_at_all_is_an_error),
        T(a_missing_record_names_cartridge_and_block),
        T(a_short_record_names_cartridge_and_block),
        T(a_missing_end_of_the_tape_makes_it_read_only),
        T(the_check_finds_data_that_does_not_match_its_hash),
        T(the_check_repairs_label_and_index_of_a),
        T(a_wrong_bit_in_any_record_read_by_a_mount_is_noticed_or_harmless),
#undef T
    };
    log_init("test", LOG_LEVEL_ERR);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
