/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "codec/crc.h"
#include "file/file.h"
#include "file/record.h"

#include <errno.h>
#include <string.h>

static struct file_record sample(void)
{
    struct file_record r = {.state = FILE_MIGRATED,
                            .flags = FILE_RECORD_REFILLING,
                            .size = 0x1122334455667788ULL,
                            .mtime_ns = -12345678901LL,
                            .ino = 0xa1a2a3a4a5a6a7a8ULL,
                            .gen = 0xc1c2c3c4U};
    for (int i = 0; i < UUID_BYTES; i++)
        r.archive.b[i] = (uint8_t)(i + 1);
    return r;
}

/* Puts the right checksum under changed bytes. */
static void seal(uint8_t *b)
{
    uint32_t crc = crc32c_update(0, b, 56);
    for (int i = 0; i < 4; i++)
        b[56 + i] = (uint8_t)(crc >> (8 * i));
}

static void a_record_survives_the_round_trip(void **state)
{
    (void)state;
    struct file_record r = sample(), got = {0};
    uint8_t b[FILE_RECORD_BYTES];
    file_record_encode(&r, b);
    assert_int_equal(file_record_decode(b, sizeof(b), &got, NULL), 0);
    assert_int_equal(got.state, r.state);
    assert_int_equal(got.flags, r.flags);
    assert_memory_equal(&got.archive, &r.archive, sizeof(r.archive));
    assert_true(got.size == r.size && got.mtime_ns == r.mtime_ns);
    assert_true(got.ino == r.ino && got.gen == r.gen);
}

static void the_stored_form_never_changes(void **state)
{
    (void)state;
    static const uint8_t want[56] = {
        'F',  'I',  'R',  'N',  1,    2,    0,    0,    2,    0,    0,    0,    1,    2,
        3,    4,    5,    6,    7,    8,    9,    10,   11,   12,   13,   14,   15,   16,
        0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0xcb, 0xe3, 0x23, 0x20, 0xfd, 0xff,
        0xff, 0xff, 0xa8, 0xa7, 0xa6, 0xa5, 0xa4, 0xa3, 0xa2, 0xa1, 0xc4, 0xc3, 0xc2, 0xc1};
    struct file_record r = sample();
    uint8_t b[FILE_RECORD_BYTES], sealed[FILE_RECORD_BYTES];
    file_record_encode(&r, b);
    assert_memory_equal(b, want, sizeof(want));
    memcpy(sealed, b, sizeof(b));
    seal(sealed);
    assert_memory_equal(b, sealed, sizeof(b));
}

static void every_flipped_bit_is_noticed(void **state)
{
    (void)state;
    struct file_record r = sample(), got;
    uint8_t b[FILE_RECORD_BYTES];
    file_record_encode(&r, b);
    for (int bit = 0; bit < FILE_RECORD_BYTES * 8; bit++) {
        b[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(file_record_decode(b, sizeof(b), &got, NULL), -EBADMSG);
        b[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void a_wrong_length_is_refused(void **state)
{
    (void)state;
    struct file_record r = sample(), got;
    uint8_t b[FILE_RECORD_BYTES + 1] = {0};
    struct err err = {0};
    file_record_encode(&r, b);
    for (size_t n = 0; n <= sizeof(b); n++)
        assert_int_equal(file_record_decode(b, n, &got, &err),
                         n == FILE_RECORD_BYTES ? 0 : -EBADMSG);
    assert_non_null(strstr(err.text, "61 bytes"));
}

static void unknown_versions_states_and_flags_are_named(void **state)
{
    (void)state;
    static const struct {
        int at;
        uint8_t value;
        const char *says;
    } cases[] = {{4, 2, "version 2"}, {5, 0, "state 0"},   {5, 3, "state 3"},
                 {6, 1, "state"},     {8, 8, "flags 0x8"}, {5, 1, "flags"}};
    struct file_record r = sample(), got;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t b[FILE_RECORD_BYTES];
        struct err err = {0};
        file_record_encode(&r, b);
        b[cases[i].at] = cases[i].value;
        seal(b);
        assert_int_equal(file_record_decode(b, sizeof(b), &got, &err), -EBADMSG);
        assert_non_null(strstr(err.text, cases[i].says));
    }
}

static void a_scanner_sees_the_state_without_io(void **state)
{
    (void)state;
    struct file_record r = sample();
    r.state = FILE_PREMIGRATED;
    r.flags = 0;
    uint8_t b[FILE_RECORD_BYTES];
    struct uuid archive;
    file_record_encode(&r, b);
    assert_int_equal(file_state_of(b, sizeof(b), r.size, r.mtime_ns, r.ino, &archive),
                     FILE_PREMIGRATED);
    assert_memory_equal(&archive, &r.archive, sizeof(archive));
    assert_int_equal(file_state_of(b, sizeof(b), r.size, r.mtime_ns + 1, r.ino, NULL),
                     FILE_RESIDENT);
    assert_int_equal(file_state_of(b, sizeof(b), r.size + 1, r.mtime_ns, r.ino, NULL),
                     FILE_RESIDENT);
    assert_int_equal(file_state_of(b, sizeof(b), r.size, r.mtime_ns, r.ino + 1, &archive),
                     FILE_RESIDENT);
    assert_int_equal(archive.b[0], 0);
    assert_int_equal(file_state_of(NULL, 0, 1, 1, 1, NULL), FILE_RESIDENT);
    assert_int_equal(file_state_of(b, 7, r.size, r.mtime_ns, r.ino, NULL), FILE_RESIDENT);
}

static void every_outcome_and_note_has_a_text(void **state)
{
    (void)state;
    for (int o = FILE_DONE; o <= FILE_BUSY; o++)
        assert_true(strlen(file_outcome_text(o)) > 3);
    assert_string_equal(file_outcome_text(-5), "failed");
    assert_string_equal(file_outcome_text(FILE_BUSY + 1), "failed");
    for (int n = FILE_NOTE_DIRTY; n <= FILE_NOTE_MARKER_MISSING; n++)
        assert_true(strlen(file_note_text((enum file_note)n)) > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_survives_the_round_trip),
        cmocka_unit_test(the_stored_form_never_changes),
        cmocka_unit_test(every_flipped_bit_is_noticed),
        cmocka_unit_test(a_wrong_length_is_refused),
        cmocka_unit_test(unknown_versions_states_and_flags_are_named),
        cmocka_unit_test(a_scanner_sees_the_state_without_io),
        cmocka_unit_test(every_outcome_and_note_has_a_text),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
