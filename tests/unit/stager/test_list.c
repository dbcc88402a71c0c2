/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "lustre/stager_list.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static char name[] = "/tmp/firn-stager-list-XXXXXX";

static void write_list(const char *text, size_t len)
{
    auto_close int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), (ssize_t)len);
}

/* One record of text; "!" and the code for an error, "" for a blank one, "#SEQ:OID" for a FID. */
static char *parsed(const char *text, bool nul)
{
    struct stager_record rec;
    struct err err = {0};
    auto_buf struct buf store = {0};
    int rc = stager_record_parse(text, strlen(text), nul, "/cwd", &store, &rec, &err);
    if (rc < 0)
        return xasprintf("!%d", rc);
    if (rc == 0)
        return xstrdup("");
    return rec.path != NULL ? xstrdup(rec.path)
                            : xasprintf("#%llx:%x", (unsigned long long)rec.fid.seq, rec.fid.oid);
}

static void check(const char *text, bool nul, const char *want)
{
    auto_free char *got = parsed(text, nul);
    assert_string_equal(got, want);
}

static void a_record_is_a_path_a_policy_record_or_a_fid(void **state)
{
    (void)state;
    check("/mnt/a b", false, "/mnt/a b");
    check("x/./y", false, "/cwd/x/./y");
    check("././/x", false, "/cwd/x");
    check("", false, "");
    check(" \t", false, "");
    check("[0x200000401:0x1f:0x0]", false, "#200000401:1f");
    check("./[0x200000401:0x1f:0x0]", false, "/cwd/[0x200000401:0x1f:0x0]");
    check("[0x200000401:0x1f:0x0] x", false, "/cwd/[0x200000401:0x1f:0x0] x");
    check("0x200000401:0x1f:0x0", false, "/cwd/0x200000401:0x1f:0x0");
    check("12 34 0  7 -- /mnt/a\\nb\\\\c", false, "/mnt/a\nb\\c");
    check("12 34 file", false, "/cwd/12 34 file");
    check("12 34 0  7 -- relative", false, "!-22");
}

static void with_nul_a_name_is_taken_as_it_is(void **state)
{
    (void)state;
    check("/mnt/a\nb", true, "/mnt/a\nb");
    check("12 34 0  7 -- /mnt/a", true, "/cwd/12 34 0  7 -- /mnt/a");
    check(" ", true, "/cwd/ ");
    check("", true, "");
    check("[0x1:0x2:0x0]", true, "#1:2");
}

static void a_list_is_read_with_places_to_come_back_to(void **state)
{
    static const char text[] = "/a\n\n[0x1:0x2:0x0]\n/c";
    struct stager_list_reader r;
    struct stager_record rec;
    struct err err = {0};
    (void)state;
    write_list(text, sizeof(text) - 1);
    assert_int_equal(stager_list_open(name, false, &r, &err), 0);
    assert_int_equal(stager_list_count(&r), 4);
    assert_int_equal(stager_list_next(&r, &rec, &err), 1);
    assert_string_equal(rec.path, "/a");
    assert_int_equal(stager_list_next(&r, &rec, &err), 1);
    assert_null(rec.path);
    assert_int_equal(rec.ordinal, 2);
    uint64_t at = rec.offset;
    assert_int_equal(stager_list_next(&r, &rec, &err), 1);
    assert_string_equal(rec.path, "/c");
    assert_int_equal(stager_list_next(&r, &rec, &err), 0);
    stager_list_fini(&r);
    assert_int_equal(stager_list_open(name, false, &r, &err), 0);
    assert_int_equal(stager_list_seek(&r, 2, at, &err), 0);
    assert_int_equal(stager_list_next(&r, &rec, &err), 1);
    assert_int_equal(rec.fid.oid, 2);
    assert_int_equal(rec.ordinal, 2);
    assert_int_equal(rec.offset, at);
    stager_list_fini(&r);
}

static void two_runs_cannot_have_one_list(void **state)
{
    struct stager_list_reader a;
    struct stager_list_reader b;
    struct err err = {0};
    (void)state;
    write_list("/a\n", 3);
    assert_int_equal(stager_list_open(name, false, &a, &err), 0);
    assert_int_equal(stager_list_open(name, false, &b, &err), -EBUSY);
    stager_list_fini(&a);
    assert_int_equal(stager_list_open(name, false, &b, &err), 0);
    stager_list_fini(&b);
}

static void a_fault_is_told_with_its_line(void **state)
{
    struct stager_list_reader r;
    struct stager_record rec;
    struct err err = {0};
    (void)state;
    write_list("/a\n/b\0c\n", 8);
    assert_int_equal(stager_list_open(name, false, &r, &err), 0);
    assert_int_equal(stager_list_next(&r, &rec, &err), 1);
    assert_int_equal(stager_list_next(&r, &rec, &err), -EINVAL);
    assert_non_null(strstr(err.text, ":2: "));
    assert_non_null(strstr(err.text, "--null"));
    stager_list_fini(&r);
    assert_int_equal(stager_list_open("/nonexistent/x", false, &r, &err), -ENOENT);
}

static int make_name(void **state)
{
    (void)state;
    int fd = mkstemp(name);
    return fd >= 0 ? close(fd) : -1;
}

static int drop_name(void **state)
{
    (void)state;
    return unlink(name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_is_a_path_a_policy_record_or_a_fid),
        cmocka_unit_test(with_nul_a_name_is_taken_as_it_is),
        cmocka_unit_test(a_list_is_read_with_places_to_come_back_to),
        cmocka_unit_test(two_runs_cannot_have_one_list),
        cmocka_unit_test(a_fault_is_told_with_its_line),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, make_name, drop_name);
}
