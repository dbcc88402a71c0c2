/* SPDX-License-Identifier: Apache-2.0 */
#include "suite.h"

#include "base/mem.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const kinds[] = {"sqlite"};
static const char *kind; /* under test */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

void suite_ok(struct fixture *f, int rc, const char *what, int line)
{
    if (rc != 0) {
        print_error("line %d: %s gave %d: %s\n", line, what, rc, f->err.text);
        fail();
    }
}

void suite_reopen(struct fixture *f)
{
    catalog_close(f->cat);
    f->cat = NULL;
    OK(f, catalog_open(f->kind, f->dir, &f->cat, &f->err));
}

int suite_setup(void **state)
{
    struct fixture *f = xzalloc(sizeof(*f));
    f->kind = kind;
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/firn-catalog-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    suite_reopen(f);
    *state = f;
    return 0;
}

int suite_teardown(void **state)
{
    struct fixture *f = *state;
    catalog_close(f->cat);
    (void)nftw(f->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

int suite_run(const struct CMUnitTest *tests, size_t n)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    int failed = 0;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        kind = kinds[i];
        failed += _cmocka_run_group_tests(kind, tests, n, NULL, NULL);
    }
    return failed;
}
