/* SPDX-License-Identifier: Apache-2.0 */
/* A cartridge that an error put out of use, and its way back. */
#include "enginesite.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "engine/attr.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAPE  "FIRN01L8"
#define BYTES 3000000

static int setup(void **state)
{
    struct site *s = site_new(NULL);
    site_assign(s, "pool1", 0, 1);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    site_free(*state);
    return 0;
}

/* Turns a byte of each full record of file data on the tape over; twice is as before. Returns how
 * many there are. */
static int flip(struct site *s)
{
    auto_free char *path = xasprintf("%s/lib1/" TAPE, s->dir);
    auto_closedir DIR *d = opendir(path);
    int n = 0;
    assert_non_null(d);
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        struct stat st;
        char b;
        if (strncmp(e->d_name, "1_", 2) != 0 || fstatat(dirfd(d), e->d_name, &st, 0) != 0 ||
            st.st_size != 524288)
            continue;
        auto_close int fd = openat(dirfd(d), e->d_name, O_RDWR);
        assert_int_equal(pread(fd, &b, 1, 1000), 1);
        b = (char)~b;
        assert_int_equal(pwrite(fd, &b, 1, 1000), 1);
        n++;
    }
    return n;
}

static cJSON *tape(struct site *s)
{
    cJSON *j = NULL;
    assert_int_equal(site_op(s, engine_op_tape_show, &j, "{\"barcode\":\"" TAPE "\"}"), 0);
    return j;
}

static void tape_is(struct site *s, const char *state)
{
    auto_json cJSON *j = tape(s);
    assert_string_equal(json_str(j, "state", ""), state);
}

static cJSON *verify(struct site *s)
{
    cJSON *j = NULL;
    assert_int_equal(site_op(s, engine_op_tape_verify, &j, "{\"barcode\":\"" TAPE "\"}"), 0);
    return j;
}

/* f migrated, its data spoilt on tape, and a recall that found that out. */
static void break_tape(struct site *s)
{
    site_write(s, "f", BYTES, 1);
    site_write(s, "g", 5000, 2);
    assert_true(site_one(s, ENGINE_MIGRATE, "pool1@lib1", "f").ok);
    assert_true(site_one(s, ENGINE_MIGRATE, "pool1@lib1", "g").ok);
    site_restart(s, NULL);
    assert_true(flip(s) > 3);
    assert_false(site_one(s, ENGINE_RECALL, "", "f").ok);
    tape_is(s, "need_replace");
}

static void a_damaged_tape_stays_out_of_use_and_its_file_and_block_are_named(void **state)
{
    struct site *s = *state;
    break_tape(s);
    auto_json cJSON *j = verify(s);
    assert_false(json_bool(j, "ok", true));
    assert_string_equal(json_str(j, "state", ""), "need_replace");
    assert_string_equal(json_str(j, "was", "?"), "");
    const cJSON *problems = cJSON_GetObjectItem(j, "problems");
    assert_int_equal(cJSON_GetArraySize(problems), 1);
    const char *text = cJSON_GetArrayItem(problems, 0)->valuestring;
    assert_non_null(strstr(text, TAPE));
    assert_non_null(strstr(text, "/fs1/f"));
    assert_non_null(strstr(text, "block "));
    tape_is(s, "need_replace");
}

static void a_whole_tape_comes_back(void **state)
{
    struct site *s = *state;
    break_tape(s);
    assert_true(flip(s) > 3); /* it was the drive after all */
    auto_json cJSON *j = verify(s);
    assert_true(json_bool(j, "ok", false));
    assert_int_equal(json_int(j, "files", 0), 2);
    assert_string_equal(json_str(j, "was", ""), "need_replace");
    assert_string_equal(json_str(j, "state", ""), "appendable");
    auto_json cJSON *t = tape(s);
    assert_string_equal(json_str(t, "state", ""), "appendable");
    assert_string_equal(json_str(t, "problem", "?"), "");
    assert_true(site_one(s, ENGINE_RECALL, "", "f").ok);
    site_check(s, "f", BYTES, 1);
    site_write(s, "h", 1000, 3);
    assert_true(site_one(s, ENGINE_MIGRATE, "pool1@lib1", "h").ok);
    site_restart(s, NULL);
    tape_is(s, "appendable");
    auto_json cJSON *again = verify(s); /* nothing to bring back */
    assert_true(json_bool(again, "ok", false));
    assert_string_equal(json_str(again, "was", "?"), "");
}

static void without_checksums_on_tape_the_catalogue_knows(void **state)
{
    struct site *s = *state;
    assert_int_equal(attr_set(engine_catalog(s->engine), "filehash_enable", "no", &s->err), 0);
    break_tape(s);
    auto_json cJSON *j = verify(s);
    assert_false(json_bool(j, "ok", true));
    const char *text = cJSON_GetArrayItem(cJSON_GetObjectItem(j, "problems"), 0)->valuestring;
    assert_non_null(strstr(text, "/fs1/f"));
    assert_non_null(strstr(text, "block "));
    tape_is(s, "need_replace");
    assert_true(flip(s) > 3);
    auto_json cJSON *k = verify(s);
    assert_true(json_bool(k, "ok", false));
    tape_is(s, "appendable");
}

/* The records that the tape cannot give at all. */
static void an_unreadable_record_names_file_and_block(void **state)
{
    struct site *s = *state;
    break_tape(s);
    auto_free char *path = xasprintf("%s/lib1/" TAPE, s->dir);
    auto_closedir DIR *d = opendir(path);
    assert_non_null(d);
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        struct stat st;
        if (strncmp(e->d_name, "1_", 2) == 0 && fstatat(dirfd(d), e->d_name, &st, 0) == 0 &&
            st.st_size == 524288) {
            auto_close int fd = openat(dirfd(d), e->d_name, O_WRONLY);
            assert_int_equal(ftruncate(fd, 1000), 0);
        }
    }
    auto_json cJSON *j = verify(s);
    assert_false(json_bool(j, "ok", true));
    const char *text = cJSON_GetArrayItem(cJSON_GetObjectItem(j, "problems"), 0)->valuestring;
    assert_non_null(strstr(text, "/fs1/f"));
    assert_non_null(strstr(text, "block "));
    tape_is(s, "need_replace");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_damaged_tape_stays_out_of_use_and_its_file_and_block_are_named),
        T(a_whole_tape_comes_back),
        T(without_checksums_on_tape_the_catalogue_knows),
        T(an_unreadable_record_names_file_and_block),
    };
#undef T
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
