/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cmd/cmd_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void a_word_with_one_wrong_letter_is_suggested(void **state)
{
    (void)state;
    static const char *const words[] = {"migrate", "premigrate", "recall", "state", NULL};
    assert_string_equal(cmd_suggest("migrte", words), "migrate");
    assert_string_equal(cmd_suggest("recal", words), "recall");
    assert_string_equal(cmd_suggest("sttae", words), "state");
}

static void a_word_far_from_all_is_not_suggested(void **state)
{
    (void)state;
    static const char *const words[] = {"migrate", "recall", NULL};
    assert_null(cmd_suggest("xyz", words));
    assert_null(cmd_suggest("", words));
    assert_null(cmd_suggest("a-word-that-is-much-longer-than-any-command-there-is", words));
}

static void the_nearest_of_several_words_is_suggested(void **state)
{
    (void)state;
    static const char *const words[] = {"pool", "tool", "toolbox", NULL};
    assert_string_equal(cmd_suggest("tool", words), "tool");
    assert_string_equal(cmd_suggest("toolbx", words), "toolbox");
}

static void sizes_are_parsed_with_binary_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t bytes;
    } good[] = {{"0", 0},         {"100", 100},        {"64K", 65536},
                {"64KiB", 65536}, {"8GiB", 8LL << 30}, {"1.5T", 3LL << 39}};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        int64_t v = -1;
        assert_int_equal(cmd_parse_size(good[i].text, &v), 0);
        assert_true(v == good[i].bytes);
    }
}

static void wrong_sizes_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",    "GiB", "-1",  "1X",   "1KiBs",
                                      "1 K", "nan", "inf", "1e30", "8GB"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int64_t v = 7;
        assert_int_equal(cmd_parse_size(bad[i], &v), -EINVAL);
        assert_true(v == 7);
    }
}

static void assert_line(const char *line, const char *want)
{
    char *got = cmd_path_of_line(line);
    if (want == NULL)
        assert_null(got);
    else
        assert_string_equal(got, want);
    free(got);
}

static void a_policy_record_gives_the_path_behind_the_dashes(void **state)
{
    (void)state;
    assert_line("48131 977215488 0   -- /srv/docs/report 1.pdf", "/srv/docs/report 1.pdf");
    assert_line("1 2 0  uid=1 -- /a -- b", "/a -- b");
    assert_line("1 2 0   -- /a\\nb\\\\c\\d", "/a\nb\\c\\d");
}

static void a_line_that_is_no_record_is_a_path(void **state)
{
    (void)state;
    assert_line("/plain -- name", "/plain -- name");
    assert_line("/back\\nslash", "/back\\nslash");
    assert_line("1 2 three -- /x", "1 2 three -- /x");
    assert_line("1 2 3", "1 2 3");
    assert_line("", NULL);
    assert_line(" \t ", NULL);
}

static void an_absolute_path_stays_as_it_is(void **state)
{
    (void)state;
    static const char *const paths[] = {"/", "/a/../b", "/a//b/", "/ "};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        char *got = cmd_path_absolute(paths[i]);
        assert_string_equal(got, paths[i]);
        free(got);
    }
}

static void progress_shows_part_rate_failures_and_time_left(void **state)
{
    (void)state;
    auto_json cJSON *event = cJSON_Parse("{\"stage\":\"copy\",\"done\":2,\"failed\":1,\"total\":10,"
                                         "\"bytes_done\":1048576,\"bytes_total\":4194304}");
    auto_buf struct buf b = {0};
    cmd_progress_text(&b, event, 10LL * 1000000000, 0);
    assert_string_equal(
        b.data, "copy         [######>                 ]  25% 3/10, 102 KiB/s, 1 failed, ETA 0:30");
    buf_reset(&b);
    cmd_progress_text(&b, event, 2LL * 3600 * 1000000000, 20);
    assert_int_equal(b.len, 20);
}

static void progress_without_totals_counts_only(void **state)
{
    (void)state;
    auto_json cJSON *event = cJSON_Parse("{\"stage\":\"scan\",\"done\":1234}");
    auto_buf struct buf b = {0};
    cmd_progress_text(&b, event, 5LL * 1000000000, 0);
    assert_string_equal(b.data, "scan         1234");
}

static void progress_shows_what_is_in_work_and_the_time_that_is_told(void **state)
{
    (void)state;
    auto_json cJSON *event =
        cJSON_Parse("{\"stage\":\"archive\",\"done\":50,\"failed\":0,\"total\":200,\"in_work\":20,"
                    "\"eta_s\":75}");
    auto_buf struct buf b = {0};
    cmd_progress_text(&b, event, 1000000000, 0);
    assert_string_equal(
        b.data, "archive      [######>                 ]  25% 50/200, 20 in work, ETA 1:15");
}

static void progress_never_passes_the_end(void **state)
{
    (void)state;
    auto_json cJSON *event = cJSON_Parse(
        "{\"stage\":\"copy\",\"done\":10,\"total\":10,\"bytes_done\":9,\"bytes_total\":8}");
    auto_buf struct buf b = {0};
    cmd_progress_text(&b, event, 0, 0);
    assert_string_equal(b.data, "copy         [########################] 100% 10/10");
}

static void numbers_are_short(void **state)
{
    (void)state;
    char out[CMD_NUMBER_MAX];
    assert_string_equal(cmd_units(8LL << 30, 30, out), "8");
    assert_string_equal(cmd_units(1LL << 29, 30, out), "0.50");
    assert_string_equal(cmd_units(256LL << 20, 40, out), "0.0002");
    assert_string_equal(cmd_units((12LL << 30) + 5, 30, out), "12");
    assert_string_equal(cmd_units(0, 30, out), "0");
    assert_string_equal(cmd_human_bytes(1023, out), "1023 B");
    assert_string_equal(cmd_human_bytes(1536, out), "1.5 KiB");
    assert_string_equal(cmd_human_bytes(200LL << 30, out), "200 GiB");
    assert_string_equal(cmd_percent(1, 8, out), "12%");
    assert_string_equal(cmd_percent(1, 0, out), "0%");
}

static char *table_text(const struct cmd_table *t)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    cmd_table_print(t, f);
    (void)fclose(f);
    return text;
}

static void a_table_pads_columns_and_marks_empty_cells(void **state)
{
    (void)state;
    auto_cmd_table struct cmd_table t;
    cmd_table_init(&t, 3, (const char *const[]){"A", "Name", "C"});
    cmd_table_row(&t, (const char *const[]){"long cell", NULL, "x"});
    cmd_table_row(&t, (const char *const[]){"a\nb", "n", ""});
    auto_free char *text = table_text(&t);
    assert_string_equal(text, "A          Name  C\n"
                              "long cell  -     x\n"
                              "a\\nb        n     -\n");
}

static void output_of_names_has_no_control_characters(void **state)
{
    (void)state;
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    cmd_put_text(f, "a\n\t\r\x1b\x7f\xc3\xa9\\");
    (void)fclose(f);
    assert_string_equal(text, "a\\n\\t\\r\\x1b\\x7f\xc3\xa9\\");
    free(text);
}

static char *attributes_text(const char *json)
{
    auto_json cJSON *j = cJSON_Parse(json);
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    cmd_print_attributes(f, j, true);
    (void)fclose(f);
    return text;
}

static void attributes_of_a_migrated_file_say_offline(void **state)
{
    (void)state;
    auto_free char *text = attributes_text(
        "{\"path\":\"/a\",\"misc\":\"FAXMV\",\"xattrs\":[{\"name\":\"trusted.firn.hsm\"},"
        "{\"name\":\"user.b\",\"value\":\"1\"},{\"name\":\"user.a\",\"base64\":\"/w==\"}]}");
    assert_non_null(strstr(text, "immutable:            yes\n"));
    assert_non_null(strstr(text, "Misc attributes:      ARCHIVE OFFLINE\n"));
    assert_non_null(strstr(text, "user.a:               0xFF\nuser.b:               \"1\"\n"));
    assert_null(strstr(text, "trusted"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_word_with_one_wrong_letter_is_suggested),
        cmocka_unit_test(a_word_far_from_all_is_not_suggested),
        cmocka_unit_test(the_nearest_of_several_words_is_suggested),
        cmocka_unit_test(sizes_are_parsed_with_binary_units),
        cmocka_unit_test(wrong_sizes_are_refused),
        cmocka_unit_test(a_policy_record_gives_the_path_behind_the_dashes),
        cmocka_unit_test(a_line_that_is_no_record_is_a_path),
        cmocka_unit_test(an_absolute_path_stays_as_it_is),
        cmocka_unit_test(progress_shows_part_rate_failures_and_time_left),
        cmocka_unit_test(progress_without_totals_counts_only),
        cmocka_unit_test(progress_shows_what_is_in_work_and_the_time_that_is_told),
        cmocka_unit_test(progress_never_passes_the_end),
        cmocka_unit_test(numbers_are_short),
        cmocka_unit_test(a_table_pads_columns_and_marks_empty_cells),
        cmocka_unit_test(output_of_names_has_no_control_characters),
        cmocka_unit_test(attributes_of_a_migrated_file_say_offline),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("cmd", tests, NULL, NULL);
}
