/* SPDX-License-Identifier: Apache-2.0 */
/* firn-protocol(7) and doc/design/protocol.md against the table of operations, both ways. The paths
 * of the two files come from the build. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/io.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

static const struct row {
    const char *name;
    bool s3;
    const char *args;
    const char *help;
} rows[] = {
#define ROOT                                   false
#define S3                                     true
#define CTL_OP(handler, name, who, args, help) {name, who, args, help},
#include "ctl/ops.def"
#undef CTL_OP
};
#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

static char *read_all(const char *path)
{
    struct err e = {0};
    char *text = NULL;
    if (io_read_file(AT_FDCWD, path, 1 << 20, &text, NULL, &e) != 0)
        fail_msg("%s", e.text);
    return text;
}

/* The line of the manual that row i must have. */
static void item_of(size_t i, struct buf *b)
{
    buf_addf(b, "\n.It Ic %s", rows[i].name);
    if (rows[i].args[0] != '\0')
        buf_addf(b, " Ar %s", rows[i].args);
    if (rows[i].s3)
        buf_adds(b, " Pq Cm s3");
    buf_addc(b, '\n');
}

static void every_operation_is_in_the_manual_with_its_arguments(void **state)
{
    (void)state;
    auto_free char *man = read_all(MAN_PAGE);
    for (size_t i = 0; i < N_ROWS; i++) {
        auto_buf struct buf b = {0};
        item_of(i, &b);
        if (strstr(man, b.data) == NULL)
            fail_msg("the manual lacks:%s", b.data);
    }
}

static bool is_operation(const char *name, size_t len)
{
    for (size_t i = 0; i < N_ROWS; i++)
        if (strlen(rows[i].name) == len && memcmp(rows[i].name, name, len) == 0)
            return true;
    return false;
}

static void every_item_of_the_manual_is_an_operation(void **state)
{
    (void)state;
    auto_free char *man = read_all(MAN_PAGE);
    size_t n = 0;
    for (const char *p = strstr(man, "\n.It Ic "); p != NULL; p = strstr(p, "\n.It Ic ")) {
        p += strlen("\n.It Ic ");
        size_t len = strcspn(p, " \n");
        if (!is_operation(p, len))
            fail_msg("no operation: %.*s", (int)len, p);
        n++;
    }
    assert_int_equal(n, N_ROWS);
}

/* Counts the names between backquotes in the first column that begins at p. */
static size_t names_in_column(const char *p)
{
    size_t n = 0;
    const char *end = strchr(p, '|');
    while ((p = strchr(p, '`')) != NULL && p < end) {
        size_t len = strcspn(++p, "`");
        if (!is_operation(p, len))
            fail_msg("no operation: %.*s", (int)len, p);
        p += len + 1;
        n++;
    }
    return n;
}

static void the_design_page_names_exactly_the_operations(void **state)
{
    (void)state;
    auto_free char *page = read_all(DESIGN_PAGE);
    size_t n = 0;
    for (const char *p = strstr(page, "\n| `"); p != NULL; p = strstr(p, "\n| `")) {
        p += strlen("\n| ");
        n += names_in_column(p);
    }
    assert_int_equal(n, N_ROWS);
}

static void every_operation_says_what_it_is_for(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ROWS; i++) {
        size_t n = strlen(rows[i].help);
        assert_true(n > 0 && rows[i].help[n - 1] != '.');
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_is_in_the_manual_with_its_arguments),
        cmocka_unit_test(every_item_of_the_manual_is_an_operation),
        cmocka_unit_test(the_design_page_names_exactly_the_operations),
        cmocka_unit_test(every_operation_says_what_it_is_for),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
