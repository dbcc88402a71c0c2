/* SPDX-License-Identifier: Apache-2.0 */
/* firn-s3-api(7) lists the operation table: nothing more, nothing less. argv[1]: the manual. */
#include "unit.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "s3/ops.h"

#include <stdio.h>

static const char *manual;
static const char *const paths[][2] = {
    {"service", "/"}, {"bucket", "/bucket"}, {"object", "/bucket/key"}};

/* The lines that the manual must have for row, one behind the other. */
static void lines_of(const struct s3_op_row *row, char *out, size_t cap)
{
    const char *path = "";
    for (size_t i = 0; i < 3; i++)
        if (strcmp(paths[i][0], row->level) == 0)
            path = paths[i][1];
    bool header = strncmp(row->sub, "x-amz-", 6) == 0;
    if (row->sub[0] == '\0')
        (void)snprintf(out, cap, ".It Ic %s\n.Ql %s %s\n", row->name, row->method, path);
    else
        (void)snprintf(out, cap,
                       header ? ".It Ic %s\n.Ql %s %s with %s\n" : ".It Ic %s\n.Ql %s %s?%s",
                       row->name, row->method, path, row->sub);
}

/* The text between the comments "<name> begin" and "<name> end". The caller frees. */
static char *section(const char *text, const char *name)
{
    char mark[64];
    (void)snprintf(mark, sizeof mark, ".\\\" %s begin\n", name);
    const char *from = strstr(text, mark);
    (void)snprintf(mark, sizeof mark, ".\\\" %s end\n", name);
    const char *to = strstr(text, mark);
    assert_true(from != NULL && to != NULL && from < to);
    return strndup(from, (size_t)(to - from));
}

static size_t count_items(const char *s)
{
    size_t n = 0;
    for (s = strstr(s, ".It Ic "); s != NULL; s = strstr(s + 1, ".It Ic "))
        n++;
    return n;
}

static void the_manual_and_the_operation_table_agree(void **state)
{
    (void)state;
    auto_free char *text = NULL;
    assert_int_equal(io_read_file(AT_FDCWD, manual, 1 << 20, &text, NULL, NULL), 0);
    auto_free char *there = section(text, "operations");
    auto_free char *absent = section(text, "absent");
    size_t n_there = 0;
    size_t n_absent = 0;
    struct s3_op_row row;
    for (size_t i = 0; s3_op_row(i, &row); i++) {
        char want[256];
        lines_of(&row, want, sizeof want);
        if (strstr(row.implemented ? there : absent, want) == NULL)
            fail_msg("the manual does not have:\n%s", want);
        n_there += row.implemented;
        n_absent += !row.implemented;
    }
    assert_int_equal(count_items(there), n_there);
    assert_int_equal(count_items(absent), n_absent);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    manual = argv[1];
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_manual_and_the_operation_table_agree)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
