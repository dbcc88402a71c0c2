/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "lustre/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WORDS 24

static char *argv[WORDS + 2];
static int argc;

static void forget(void)
{
    for (int i = 0; i < argc; i++)
        free(argv[i]);
    argc = 0;
}

/* Takes the words of line, which blanks separate. */
static int take(const char *line, struct copytool_options *o, struct err *err)
{
    forget();
    argv[argc++] = xstrdup("lhsmtool_firn");
    for (const char *p = line; *p != '\0' && argc < WORDS;) {
        size_t n = strcspn(p, " ");
        argv[argc++] = xstrndup(p, n);
        p += n + strspn(p + n, " ");
    }
    argv[argc] = NULL;
    *err = (struct err){0};
    return copytool_options(argc, argv, o, err);
}

static struct copytool_options good(const char *line)
{
    struct copytool_options o;
    struct err e;
    if (take(line, &o, &e) != 0)
        fail_msg("%s: %s", line, e.text);
    return o;
}

static void bad(const char *line, const char *text)
{
    struct copytool_options o;
    struct err e;
    assert_int_equal(take(line, &o, &e), -EINVAL);
    if (strstr(e.text, text) == NULL)
        fail_msg("%s: %s", line, e.text);
}

static void a_mount_alone_is_enough(void **state)
{
    (void)state;
    struct copytool_options o = good("/mnt/lustre");
    assert_int_equal(o.mode, COPYTOOL_SERVE);
    assert_string_equal(o.mount, "/mnt/lustre");
    assert_int_equal(o.narchive_ids, 0);
    assert_int_equal(o.update_s, 30);
    assert_null(o.config);
    bad("", "MOUNT");
    bad("/a /b", "MOUNT");
}

/* The line with which Lustre's own test suite starts its copytool. */
static void the_line_of_sanity_hsm_is_taken(void **state)
{
    (void)state;
    struct copytool_options o =
        good("--archive-format=v2 -v --hsm-root=/tmp/arc --daemon --pid-file=/run/p --bandwidth 1 "
             "--archive 2 --archive 3 --update-interval 5 --event-fifo /tmp/f /mnt/lustre");
    assert_string_equal(o.hsm_root, "/tmp/arc");
    assert_string_equal(o.format, "v2");
    assert_true(o.daemon);
    assert_string_equal(o.pid_file, "/run/p");
    assert_int_equal(o.bandwidth, 1 << 20);
    assert_int_equal(o.narchive_ids, 2);
    assert_int_equal(o.archive_ids[1], 3);
    assert_int_equal(o.update_s, 5);
    assert_string_equal(o.event_fifo, "/tmp/f");
    assert_int_equal(o.verbosity, 1);
}

static void underscores_are_dashes_but_not_in_values(void **state)
{
    (void)state;
    struct copytool_options o =
        good("--hsm_root=/a_b --event_fifo /c_d --update_interval=7 "
             "--no_attr --no_shadow --no_xattr --abort_on_error --chunk_size=4M "
             "--dry_run /m_n");
    assert_string_equal(o.hsm_root, "/a_b");
    assert_string_equal(o.event_fifo, "/c_d");
    assert_string_equal(o.mount, "/m_n");
    assert_int_equal(o.update_s, 7);
    assert_int_equal(o.chunk_size, 4 << 20);
    assert_true(o.no_attr && o.no_shadow && o.no_xattr && o.abort_on_error && o.dry_run);
    assert_int_equal(good("--max_sequence /m").mode, COPYTOOL_MAX_SEQUENCE);
}

static void c_and_b_are_sizes_or_files(void **state)
{
    (void)state;
    struct copytool_options o = good("-c 10 -b 512K /m");
    assert_int_equal(o.chunk_size, 10 << 20);
    assert_int_equal(o.bandwidth, 512 << 10);
    assert_null(o.config);
    assert_string_equal(good("-c config.cfg /m").config, "config.cfg");
    assert_string_equal(good("-b /etc/hsm.cfg /m").config, "/etc/hsm.cfg");
    assert_string_equal(good("-C 1M /m").config, "1M");
    assert_string_equal(good("-c 1.cfg /m").config, "1.cfg");
    bad("-c 10X /m", "a size such as");
    bad("-c 0 /m", "a size such as");
}

static void sizes_have_units_and_mib_without(void **state)
{
    (void)state;
    uint64_t v = 0;
    static const struct {
        const char *text;
        uint64_t value;
    } rows[] = {
        {"1", 1 << 20}, {"1k", 1 << 10}, {"2M", 2 << 20}, {"1GiB", 1 << 30}, {"1gb", 1 << 30}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(copytool_parse_size(rows[i].text, &v), 0);
        assert_int_equal(v, rows[i].value);
    }
    assert_int_equal(copytool_parse_size("99999999999999999", &v), -EINVAL);
    assert_int_equal(copytool_parse_size("-1", &v), -EINVAL);
    assert_int_equal(copytool_parse_size("1MM", &v), -EINVAL);
}

static void tasks_have_their_words(void **state)
{
    (void)state;
    struct copytool_options o = good("--hsm-root /a --import src /mnt/dst /mnt");
    assert_int_equal(o.mode, COPYTOOL_IMPORT);
    assert_string_equal(o.args[0], "src");
    assert_string_equal(o.args[1], "/mnt/dst");
    assert_string_equal(o.mount, "/mnt");
    o = good("--rebind 0x1:0x2:0x0 0x1:0x3:0x0 /mnt");
    assert_string_equal(o.args[1], "0x1:0x3:0x0");
    o = good("-r list /mnt");
    assert_string_equal(o.args[0], "list");
    assert_null(o.args[1]);
    o = good("--rebuild /mnt/again --dry-run /mnt");
    assert_int_equal(o.mode, COPYTOOL_REBUILD);
    assert_string_equal(o.args[0], "/mnt/again");
    assert_true(o.dry_run);
    o = good("--scrub --repair /mnt");
    assert_int_equal(o.mode, COPYTOOL_SCRUB);
    bad("--import src /mnt", "--import SOURCE");
    bad("--import --rebind a b c", "does not go with");
    bad("--repair /mnt", "--repair goes with");
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    bad("--nonsense /m", "--nonsense");
    bad("-A x /m", "--archive x");
    bad("-A -1 /m", "--archive -1");
    bad("-u soon /m", "--update-interval soon");
    bad("--archive-format v3 /m", "v1 or v2");
    bad("--tier tape /m", "s3, posix, dir or null");
    bad("--tier dir /m", "needs --hsm-root");
    bad("/m -A", "needs an argument");
}

static void the_help_names_each_option_once(void **state)
{
    (void)state;
    const char *help = copytool_help();
    static const char *const some[] = {"-A, --archive N", "--event-fifo PATH", "--pid-file PATH",
                                       "-h, --help"};
    for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
        const char *at = strstr(help, some[i]);
        assert_non_null(at);
        if (strstr(at + 1, some[i]) != NULL)
            fail_msg("%s: %s", some[i], help);
    }
    forget();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mount_alone_is_enough),
        cmocka_unit_test(the_line_of_sanity_hsm_is_taken),
        cmocka_unit_test(underscores_are_dashes_but_not_in_values),
        cmocka_unit_test(c_and_b_are_sizes_or_files),
        cmocka_unit_test(sizes_have_units_and_mib_without),
        cmocka_unit_test(tasks_have_their_words),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(the_help_names_each_option_once),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
