/* SPDX-License-Identifier: Apache-2.0 */
/* The tier contract on one kind, named by the argument: dir, null, posix-v1, posix-v2, fault (over
 * dir). */
#include "contract.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ftw.h>
#include <unistd.h>

static int make_dir(void **state, struct tier **t)
{
    struct err err;
    char *path = xstrdup("/tmp/firn-tier-XXXXXX");
    *state = path;
    return mkdtemp(path) == NULL ? -1 : tier_dir_open(path, t, &err);
}

static int reopen_dir(void *state, struct tier **t)
{
    struct err err;
    tier_free(*t);
    return tier_dir_open(state, t, &err);
}

static int unlink_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void fini_dir(void *state, struct tier *t)
{
    tier_free(t);
    (void)nftw(state, unlink_one, 16, FTW_DEPTH | FTW_PHYS);
    free(state);
}

static int reopen_posix1(void *state, struct tier **t)
{
    struct err err;
    tier_free(*t);
    return tier_posix_open(state, "v1", t, &err);
}

static int reopen_posix2(void *state, struct tier **t)
{
    struct err err;
    tier_free(*t);
    return tier_posix_open(state, "v2", t, &err);
}

static int make_posix1(void **state, struct tier **t)
{
    char *path = xstrdup("/var/tmp/firn-tier-XXXXXX"); /* /tmp may keep no attributes */
    *state = path;
    *t = NULL;
    return mkdtemp(path) == NULL ? -1 : reopen_posix1(path, t);
}

static int make_posix2(void **state, struct tier **t)
{
    char *path = xstrdup("/var/tmp/firn-tier-XXXXXX");
    *state = path;
    *t = NULL;
    return mkdtemp(path) == NULL ? -1 : reopen_posix2(path, t);
}

static int make_fault(void **state, struct tier **t)
{
    struct err err;
    struct tier *inner = NULL;
    int rc = make_dir(state, &inner);
    return rc != 0 ? rc : tier_fault_open(inner, "", t, &err);
}

static int reopen_fault(void *state, struct tier **t)
{
    struct err err;
    struct tier *inner = NULL;
    tier_free(*t);
    int rc = tier_dir_open(state, &inner, &err);
    return rc != 0 ? rc : tier_fault_open(inner, "get:7:EIO", t, &err);
}

static int make_null(void **state, struct tier **t)
{
    *state = NULL;
    *t = tier_null_open();
    return 0;
}

static int reopen_null(void *state, struct tier **t)
{
    (void)state, (void)t;
    return 0;
}

static void fini_null(void *state, struct tier *t)
{
    (void)state;
    tier_free(t);
}

int main(int argc, char **argv)
{
    static const struct maker makers[] = {
        {"dir", make_dir, reopen_dir, fini_dir},
        {"fault", make_fault, reopen_fault, fini_dir},
        {"posix-v1", make_posix1, reopen_posix1, fini_dir},
        {"posix-v2", make_posix2, reopen_posix2, fini_dir},
        {"null", make_null, reopen_null, fini_null},
    };
    for (size_t i = 0; argc == 2 && i < sizeof(makers) / sizeof(makers[0]); i++) {
        if (strcmp(argv[1], makers[i].name) == 0)
            return contract_tier_run(&makers[i]);
    }
    (void)fprintf(stderr, "usage: test_tier_plain dir|fault|null|posix-v1|posix-v2\n");
    return 2;
}
