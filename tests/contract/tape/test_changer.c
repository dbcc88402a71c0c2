/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of changers (tape/changer.h), run on every kind. What belongs to kind dir alone
 * (files moved by hand, crashes between two steps) is at the end. */
#include "tape/changer.h"
#include "tape_fixture.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define DRIVE_1 256u
#define DRIVE_2 257u
#define IE_1    768u
#define SLOT_1  1024u

struct site {
    char *dir;
    char *library;
    struct changer *c;
};

/* 2 drives, 1 import slot, 4 slots with 3 cartridges FIRN01L8 to FIRN03L8. */
static int set_up(void **state)
{
    struct err err = {0};
    const struct changer_dir_spec spec = {
        .drives = 2, .cartridges = 3, .slots = 4, .ie_slots = 1, .capacity_bytes = 8u << 20};
    struct site *s = xzalloc(sizeof(*s));
    s->dir = fixture_scratch();
    s->library = xasprintf("%s/deep/library", s->dir);
    assert_ok(changer_dir_create(s->library, &spec, &err), err);
    assert_ok(changer_dir_open(s->library, 0, &s->c, &err), err);
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct site *s = *state;
    changer_close(s->c);
    fixture_remove(s->dir);
    free(s->library);
    free(s->dir);
    free(s);
    return 0;
}

/* The address where barcode is, and that it is nowhere else; 0: nowhere. */
static unsigned where(struct changer *c, const char *barcode)
{
    struct err err = {0};
    auto_inventory struct changer_inventory inv = {0};
    unsigned found = 0;
    unsigned count = 0;
    assert_ok(changer_inventory(c, &inv, &err), err);
    for (size_t i = 0; i < inv.count; i++) {
        if (strcmp(inv.elements[i].barcode, barcode) == 0) {
            found = inv.elements[i].address;
            count++;
        }
    }
    assert_true(count <= 1);
    return found;
}

static void assert_moves(struct site *s, unsigned from, unsigned to)
{
    struct err err = {0};
    assert_ok(changer_move(s->c, from, to, &err), err);
}

static void a_new_library_holds_its_cartridges_in_slots(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    auto_inventory struct changer_inventory inv = {0};
    unsigned kinds[3] = {0};

    assert_ok(changer_inventory(s->c, &inv, &err), err);
    assert_int_equal(inv.count, 7);
    for (size_t i = 0; i < inv.count; i++) {
        kinds[inv.elements[i].kind]++;
        assert_true(i == 0 || inv.elements[i].address > inv.elements[i - 1].address);
    }
    assert_int_equal(kinds[CHANGER_SLOT], 4);
    assert_int_equal(kinds[CHANGER_IE_SLOT], 1);
    assert_int_equal(kinds[CHANGER_DRIVE], 2);
    assert_string_equal(inv.elements[0].serial, "FIRN0001");
    assert_string_equal(inv.elements[0].product, "ULT3580-TD8");
    assert_int_equal(changer_find(&inv, "FIRN02L8")->address, SLOT_1 + 1);
    assert_null(changer_find(&inv, "FIRN04L8"));
    assert_null(changer_find(&inv, ""));
}

static void a_cartridge_goes_to_a_drive_and_home_again(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    auto_inventory struct changer_inventory inv = {0};

    assert_moves(s, SLOT_1 + 1, DRIVE_2);
    assert_int_equal(where(s->c, "FIRN02L8"), DRIVE_2);
    assert_ok(changer_inventory(s->c, &inv, &err), err);
    assert_int_equal(changer_find(&inv, "FIRN02L8")->home, SLOT_1 + 1);
    for (size_t i = 0; i < inv.count; i++) {
        if (inv.elements[i].address == SLOT_1 + 1)
            assert_string_equal(inv.elements[i].reserved, "FIRN02L8");
    }
    assert_moves(s, DRIVE_2, 0);
    assert_int_equal(where(s->c, "FIRN02L8"), SLOT_1 + 1);
}

static void a_cartridge_goes_to_another_slot_and_drive(void **state)
{
    struct site *s = *state;
    assert_moves(s, SLOT_1, DRIVE_1);
    assert_moves(s, DRIVE_1, DRIVE_2);
    assert_int_equal(where(s->c, "FIRN01L8"), DRIVE_2);
    assert_moves(s, DRIVE_2, SLOT_1 + 3);
    assert_int_equal(where(s->c, "FIRN01L8"), SLOT_1 + 3);
    assert_moves(s, SLOT_1 + 3, IE_1);
    assert_int_equal(where(s->c, "FIRN01L8"), IE_1);
    assert_moves(s, IE_1, SLOT_1);
    assert_int_equal(where(s->c, "FIRN01L8"), SLOT_1);
    assert_moves(s, SLOT_1, SLOT_1);
}

static void impossible_moves_are_outcomes(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    assert_int_equal(changer_move(s->c, SLOT_1 + 3, DRIVE_1, &err), CHANGER_SOURCE_EMPTY);
    assert_int_equal(changer_move(s->c, DRIVE_1, 0, &err), CHANGER_SOURCE_EMPTY);
    assert_int_equal(changer_move(s->c, SLOT_1, SLOT_1 + 1, &err), CHANGER_TARGET_FULL);
    assert_moves(s, SLOT_1, DRIVE_1);
    assert_int_equal(changer_move(s->c, SLOT_1 + 1, DRIVE_1, &err), CHANGER_TARGET_FULL);
    assert_int_equal(changer_move(s->c, SLOT_1 + 1, SLOT_1, &err), CHANGER_TARGET_FULL);
    assert_int_equal(changer_move(s->c, 7, DRIVE_1, &err), -ENXIO);
    assert_non_null(strstr(err.text, "7"));
    assert_int_equal(changer_move(s->c, DRIVE_1, 7, &err), -ENXIO);
}

static void a_loaded_cartridge_stays_until_the_drive_lets_go(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    struct drive *d = NULL;

    assert_ok(changer_open_drive(s->c, DRIVE_1, &d, &err), err);
    assert_string_equal(drive_serial(d), "FIRN0001");
    assert_int_equal(drive_load(d, &err), DRIVE_EMPTY);
    assert_moves(s, SLOT_1 + 2, DRIVE_1);
    assert_ok(drive_load(d, &err), err);
    assert_string_equal(drive_barcode(d), "FIRN03L8");
    assert_int_equal(changer_move(s->c, DRIVE_1, 0, &err), CHANGER_DRIVE_BUSY);
    assert_ok(drive_unload(d, &err), err);
    assert_moves(s, DRIVE_1, 0);
    assert_int_equal(drive_load(d, &err), DRIVE_EMPTY);
    assert_int_equal(changer_open_drive(s->c, SLOT_1, &d, &err), -ENXIO);
    drive_close(d);
}

static void a_move_takes_robot_time(void **state)
{
    struct site *s = *state;
    struct clock *clock = clock_new_simulated();
    changer_set_clock(s->c, clock, 10);
    assert_moves(s, SLOT_1, DRIVE_1);
    assert_moves(s, DRIVE_1, 0);
    assert_int_equal(clock_now_ns(clock), 20000000000LL);
    clock_free(clock);
}

static void another_process_is_locked_out(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    struct changer *other = NULL;
    char pid[32];
    (void)snprintf(pid, sizeof(pid), "process %d", (int)getpid());
    assert_int_equal(changer_dir_open(s->library, 0, &other, &err), -EBUSY);
    assert_non_null(strstr(err.text, pid));
    assert_ok(changer_dir_open(s->library, CHANGER_INSPECT, &other, &err), err);
    assert_int_equal(where(other, "FIRN01L8"), SLOT_1);
    assert_int_equal(changer_move(other, SLOT_1, DRIVE_1, &err), -EPERM);
    changer_close(other);
}

static void a_library_is_made_once_and_within_limits(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    auto_free char *path = xasprintf("%s/other", s->dir);
    struct changer_dir_spec spec = {.drives = 1, .cartridges = 1, .capacity_bytes = 8u << 20};
    assert_int_equal(changer_dir_create(s->library, &spec, &err), -EEXIST);
    spec.drives = 0;
    assert_int_equal(changer_dir_create(path, &spec, &err), -EINVAL);
    spec = (struct changer_dir_spec){
        .drives = 1, .cartridges = 3, .slots = 2, .capacity_bytes = 8u << 20};
    assert_int_equal(changer_dir_create(path, &spec, &err), -EINVAL);
    assert_int_equal(changer_dir_open(s->dir, 0, NULL, &err), -ENOENT);
}

static void a_cartridge_put_in_by_hand_is_seen_and_keeps_its_place(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    assert_ok(drive_dir_create_cartridge(s->library, "HAND02L8", 8u << 20, &err), err);
    assert_ok(drive_dir_create_cartridge(s->library, "HAND01L8", 8u << 20, &err), err);
    assert_int_equal(where(s->c, "HAND01L8"), SLOT_1 + 3);
    assert_int_equal(where(s->c, "HAND02L8"), SLOT_1 + 4); /* the library grew a slot */
    assert_moves(s, SLOT_1, DRIVE_1);
    assert_ok(drive_dir_create_cartridge(s->library, "AAAA01L8", 8u << 20, &err), err);
    assert_int_equal(where(s->c, "HAND01L8"), SLOT_1 + 3);
    assert_int_equal(where(s->c, "AAAA01L8"), SLOT_1 + 5);
}

static void a_cartridge_taken_away_by_hand_is_gone(void **state)
{
    struct site *s = *state;
    auto_free char *from = xasprintf("%s/FIRN01L8", s->library);
    auto_free char *to = xasprintf("%s/shelf", s->dir);
    assert_moves(s, SLOT_1, DRIVE_1);
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(where(s->c, "FIRN01L8"), 0);
    assert_moves(s, SLOT_1 + 1, DRIVE_1); /* the drive counts as empty */
    assert_int_equal(where(s->c, "FIRN02L8"), DRIVE_1);
    assert_int_equal(rename(to, from), 0);
    assert_int_equal(where(s->c, "FIRN01L8"), SLOT_1);
}

static void the_drive_link_file_is_36_bytes_or_says_empty(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    auto_free char *link = xasprintf("%s/Drive_FIRN0001.ULT3580-TD8", s->library);
    for (unsigned round = 0; round < 2; round++) {
        auto_free char *text = NULL;
        size_t len;
        assert_ok(io_read_file(AT_FDCWD, link, 100, &text, &len, &err), err);
        if (round == 0) {
            assert_int_equal(len, 5);
            assert_memory_equal(text, "empty", 5);
            assert_moves(s, SLOT_1, DRIVE_1);
        } else {
            static const char want[36] = "FIRN01L8";
            assert_int_equal(len, sizeof(want));
            assert_memory_equal(text, want, sizeof(want));
        }
    }
}

static void a_cartridge_named_by_two_drives_is_in_one(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    auto_close int fd = open(s->library, O_RDONLY | O_DIRECTORY);
    assert_moves(s, SLOT_1, DRIVE_1);
    assert_ok(io_replace_durable(fd, "Drive_FIRN0002.ULT3580-TD8", "FIRN01L8", 8, 0600, &err), err);
    assert_int_equal(where(s->c, "FIRN01L8"), DRIVE_1);
}

/* Kills a process that moves cartridges about, again and again: each is always in one place. */
static void a_killed_mover_leaves_every_cartridge_in_one_place(void **state)
{
    struct site *s = *state;
    struct err err = {0};
    static const char *const barcodes[] = {"FIRN01L8", "FIRN02L8", "FIRN03L8"};

    changer_close(take_ptr(s->c));
    for (unsigned i = 0; i < 40; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            struct changer *c = NULL;
            if (changer_dir_open(s->library, 0, &c, NULL) != 0)
                _exit(1);
            for (;;) {
                for (unsigned k = 0; k < 3; k++) {
                    (void)changer_move(c, SLOT_1 + k, DRIVE_1 + k % 2, NULL);
                    (void)changer_move(c, DRIVE_1, DRIVE_2, NULL);
                    (void)changer_move(c, DRIVE_2, SLOT_1 + 3, NULL);
                    (void)changer_move(c, SLOT_1 + 3, SLOT_1 + k, NULL);
                    (void)changer_move(c, DRIVE_1, 0, NULL);
                }
            }
        }
        int status;
        assert_int_equal(usleep(500 + i * 211), 0);
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_ok(changer_dir_open(s->library, 0, &s->c, &err), err);
        for (unsigned k = 0; k < 3; k++)
            assert_int_not_equal(where(s->c, barcodes[k]), 0);
        changer_close(take_ptr(s->c));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        T(a_new_library_holds_its_cartridges_in_slots),
        T(a_cartridge_goes_to_a_drive_and_home_again),
        T(a_cartridge_goes_to_another_slot_and_drive),
        T(impossible_moves_are_outcomes),
        T(a_loaded_cartridge_stays_until_the_drive_lets_go),
        T(a_move_takes_robot_time),
        T(another_process_is_locked_out),
        T(a_library_is_made_once_and_within_limits),
        T(a_cartridge_put_in_by_hand_is_seen_and_keeps_its_place),
        T(a_cartridge_taken_away_by_hand_is_gone),
        T(the_drive_link_file_is_36_bytes_or_says_empty),
        T(a_cartridge_named_by_two_drives_is_in_one),
        T(a_killed_mover_leaves_every_cartridge_in_one_place),
#undef T
    };
    log_init("test", LOG_LEVEL_ERR);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
