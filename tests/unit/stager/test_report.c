/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "lustre/stager_report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static const struct stager_outcome done = {.path = "/mnt/a",
                                           .fid = {0x200000401, 1, 0},
                                           .result = STAGER_DONE,
                                           .reason = "",
                                           .attempts = 1,
                                           .size = 10,
                                           .elapsed_ns = 1500000000};

static void rows_of_csv_are_quoted_where_they_must(void **state)
{
    auto_buf struct buf b = {0};
    struct stager_outcome o = done;
    (void)state;
    stager_report_row(&b, STAGER_CSV, STAGER_ARCHIVE, &o, 0);
    assert_string_equal(
        b.data,
        "/mnt/a,[0x200000401:0x1:0x0],archive,done,0,,,1,10,1.500,1970-01-01T00:00:00.000Z\r\n");
    buf_reset(&b);
    o = (struct stager_outcome){.path = "/mnt/\"x\",\ny",
                                .result = STAGER_FAILED,
                                .error = EPERM,
                                .reason = "no, not this"};
    stager_report_row(&b, STAGER_CSV, STAGER_RELEASE, &o, 0);
    assert_string_equal(b.data,
                        "\"/mnt/\"\"x\"\",\ny\",,release,failed,1,EPERM,\"no, not this\",0,0,"
                        "0.000,1970-01-01T00:00:00.000Z\r\n");
}

static void rows_of_json_are_objects(void **state)
{
    auto_buf struct buf b = {0};
    (void)state;
    stager_report_row(&b, STAGER_JSON, STAGER_RESTORE, &done, 0);
    assert_string_equal(
        b.data, "{\"path\":\"/mnt/a\",\"fid\":\"[0x200000401:0x1:0x0]\",\"action\":"
                "\"restore\",\"result\":\"done\",\"errno\":0,\"error\":\"\",\"reason\":\"\","
                "\"attempts\":1,\"size\":10,\"seconds\":1.5,\"time\":"
                "\"1970-01-01T00:00:00.000Z\"}\n");
}

static void a_report_goes_on_behind_what_counts(void **state)
{
    char name[] = "/tmp/firn-stager-report-XXXXXX";
    struct stager_report *r = NULL;
    struct err err = {0};
    uint64_t first = 0;
    uint64_t len = 0;
    auto_free char *text = NULL;
    size_t n = 0;
    (void)state;
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(stager_report_open(name, 0, &r, &err), 0);
    stager_report_add(r, STAGER_ARCHIVE, &done, 0);
    assert_int_equal(stager_report_flush(r, &first, &err), 0);
    stager_report_add(r, STAGER_ARCHIVE, &done, 0);
    assert_int_equal(stager_report_flush(r, &len, &err), 0);
    assert_true(len > first);
    stager_report_close(r);
    assert_int_equal(stager_report_open(name, first, &r, &err), 0);
    assert_int_equal(stager_report_flush(r, &len, &err), 0);
    assert_int_equal(len, first);
    stager_report_add(r, STAGER_ARCHIVE, &done, 0);
    assert_int_equal(stager_report_flush(r, &len, &err), 0);
    stager_report_close(r);
    assert_int_equal(io_read_file(AT_FDCWD, name, 1 << 20, &text, &n, &err), 0);
    assert_int_equal(n, len);
    assert_ptr_equal(strstr(text, "path,fid"), text);
    assert_null(strstr(text + 1, "path,fid"));
    (void)unlink(name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_csv_are_quoted_where_they_must),
        cmocka_unit_test(rows_of_json_are_objects),
        cmocka_unit_test(a_report_goes_on_behind_what_counts),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
