/* SPDX-License-Identifier: Apache-2.0 */
/* firn-policy(5) against the tables of attributes and functions, both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "policy/policy_impl.h"

#include <fcntl.h>
#include <string.h>

static char *part; /* of the manual, between "what begin" and "what end" */

static void load_part(const char *what)
{
    struct err err = {0};
    char mark[64];
    if (io_read_file(AT_FDCWD, MANUAL, 1 << 20, &part, NULL, &err) < 0)
        fail_msg("%s", err.text);
    (void)snprintf(mark, sizeof(mark), "%s begin\n", what);
    char *begin = strstr(part, mark);
    (void)snprintf(mark, sizeof(mark), "%s end\n", what);
    char *end = strstr(part, mark);
    assert_non_null(begin);
    assert_non_null(end);
    *end = '\0';
    memmove(part, begin, strlen(begin) + 1);
}

/* Calls fn for every word of the ".It Ic A , B" lines; returns how many there were. */
static size_t each_item(bool (*fn)(const char *word, const void *arg), const void *arg)
{
    size_t hits = 0;
    char *lines = NULL;
    auto_free char *copy = strdup(part);
    for (char *line = strtok_r(copy, "\n", &lines); line != NULL;
         line = strtok_r(NULL, "\n", &lines)) {
        char *words = NULL;
        if (strncmp(line, ".It Ic ", 7) != 0)
            continue;
        for (char *w = strtok_r(line + 7, " ,", &words); w != NULL;
             w = strtok_r(NULL, " ,", &words))
            hits += fn(w, arg);
    }
    return hits;
}

static bool is_same(const char *word, const void *arg)
{
    return strcmp(word, arg) == 0;
}

static bool need_attr(const char *word, const void *arg)
{
    (void)arg;
    if (policy_attr_find(word) == NULL)
        fail_msg("the manual has attribute %s, the table has not", word);
    return true;
}

static bool need_func(const char *word, const void *arg)
{
    (void)arg;
    if (policy_func_find(word) == NULL)
        fail_msg("the manual has function %s, the table has not", word);
    return true;
}

static void every_attribute_is_in_the_manual_once(void **state)
{
    (void)state;
    load_part("attributes");
    size_t n = 0;
    for (const struct policy_attr *a = policy_attr_at(n); a != NULL; a = policy_attr_at(++n))
        if (each_item(is_same, a->name) != 1)
            fail_msg("attribute %s is not once in the manual", a->name);
    assert_int_equal(each_item(need_attr, NULL), n);
    free(part);
}

static void every_function_is_in_the_manual_once(void **state)
{
    (void)state;
    static const struct policy_func *const tables[] = {policy_funcs_string, policy_funcs_number,
                                                       policy_funcs_date, policy_funcs_xattr};
    load_part("functions");
    size_t n = 0;
    for (size_t t = 0; t < 4; t++) {
        for (const struct policy_func *f = tables[t]; f->name != NULL; f++, n++)
            if (each_item(is_same, f->name) != 1)
                fail_msg("function %s is not once in the manual", f->name);
    }
    assert_int_equal(each_item(need_func, NULL), n);
    free(part);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_attribute_is_in_the_manual_once),
        cmocka_unit_test(every_function_is_in_the_manual_once),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
