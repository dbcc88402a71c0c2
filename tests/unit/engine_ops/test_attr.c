/* SPDX-License-Identifier: Apache-2.0 */
#include "ops_fixture.h"

#include "engine/attr.h"

#include <errno.h>

static int setup(void **state)
{
    struct ops_fixture *f = ops_new();
    ops_open_catalog(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    ops_free(*state);
    return 0;
}

static void the_table_is_the_one_that_eeadm_shows(void **state)
{
    static const char *const names[] = {
        "allow_migrate",          "allow_premigrate",        "allow_save",
        "allow_selective_recall", "allow_tape_assign",       "allow_tape_datamigrate",
        "allow_tape_export",      "allow_tape_import",       "allow_tape_offline",
        "allow_tape_online",      "allow_tape_reclaim",      "allow_tape_reconcile",
        "allow_tape_replace",     "allow_tape_unassign",     "allow_transparent_recall",
        "filehash_enable",        "filehash_verify_on_read", "recall_use_rao",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_non_null(attr_row(i));
        assert_string_equal(attr_row(i)->name, names[i]);
    }
    assert_null(attr_row(sizeof(names) / sizeof(names[0])));
}

static void every_attribute_begins_with_its_default(void **state)
{
    struct ops_fixture *f = *state;
    for (size_t i = 0; attr_row(i) != NULL; i++)
        assert_string_equal(attr_get(f->cat, attr_row(i)->name), attr_row(i)->dflt);
    assert_true(attr_get_bool(f->cat, "allow_transparent_recall"));
    assert_string_equal(attr_get(f->cat, "recall_use_rao"), "auto");
}

static void a_value_that_was_set_outlives_the_catalogue_being_closed(void **state)
{
    struct ops_fixture *f = *state;
    struct err e = {0};
    assert_ok(attr_set(f->cat, "allow_transparent_recall", "no", &e), e);
    assert_ok(attr_set(f->cat, "recall_use_rao", "yes", &e), e);
    assert_false(attr_get_bool(f->cat, "allow_transparent_recall"));
    catalog_close(f->cat);
    f->cat = NULL;
    ops_open_catalog(f);
    assert_false(attr_get_bool(f->cat, "allow_transparent_recall"));
    assert_string_equal(attr_get(f->cat, "recall_use_rao"), "yes");
    assert_ok(attr_set(f->cat, "allow_transparent_recall", "yes", &e), e);
    assert_true(attr_get_bool(f->cat, "allow_transparent_recall"));
}

static void unknown_names_and_values_are_refused_with_what_is_allowed(void **state)
{
    struct ops_fixture *f = *state;
    struct err e = {0};
    assert_int_equal(attr_set(f->cat, "allow_everything", "yes", &e), -EINVAL);
    assert_non_null(strstr(e.text, "\"allow_everything\""));
    assert_non_null(strstr(e.text, "allow_transparent_recall"));
    assert_int_equal(attr_set(f->cat, "allow_migrate", "maybe", &e), -EINVAL);
    assert_non_null(strstr(e.text, "yes, no"));
    assert_int_equal(attr_set(f->cat, "allow_migrate", "auto", &e), -EINVAL);
    assert_true(attr_get_bool(f->cat, "allow_migrate"));
}

static void the_list_shows_values_and_what_is_allowed(void **state)
{
    struct ops_fixture *f = *state;
    struct err e = {0};
    auto_json cJSON *j = NULL;
    assert_ok(attr_set(f->cat, "filehash_enable", "no", &e), e);
    assert_ok(attr_list(f->cat, &j, &e), e);
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(j, "attributes");
    assert_int_equal(cJSON_GetArraySize(list), 18);
    const cJSON *row = cJSON_GetArrayItem(list, 15);
    assert_string_equal(json_str(row, "name", ""), "filehash_enable");
    assert_string_equal(json_str(row, "value", ""), "no");
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(row, "values")), 2);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_the_one_that_eeadm_shows),
        T(every_attribute_begins_with_its_default),
        T(a_value_that_was_set_outlives_the_catalogue_being_closed),
        T(unknown_names_and_values_are_refused_with_what_is_allowed),
        T(the_list_shows_values_and_what_is_allowed),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
