/* SPDX-License-Identifier: Apache-2.0 */
/* What the contract tests share: each test has a catalogue of its own, of the kind under test. */
#ifndef TESTS_CATALOG_SUITE_H
#define TESTS_CATALOG_SUITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "catalog/catalog.h"

struct fixture {
    char dir[64];
    const char *kind;
    struct catalog *cat;
    struct err err;
};

/* cmocka's set-up and tear-down; *state becomes a struct fixture. */
int suite_setup(void **state);
int suite_teardown(void **state);

/* Closes the catalogue and opens it again, as after a restart. */
void suite_reopen(struct fixture *f);

/* Fails the test, with the error's text, when rc is not 0. */
void suite_ok(struct fixture *f, int rc, const char *what, int line);
#define OK(f, call) suite_ok((f), (call), #call, __LINE__)
#define T(x)        cmocka_unit_test_setup_teardown(x, suite_setup, suite_teardown)

/* Runs n tests on every kind of catalogue. For main. */
int suite_run(const struct CMUnitTest *tests, size_t n);

#endif
