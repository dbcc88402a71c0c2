/* SPDX-License-Identifier: Apache-2.0 */
/* A catalogue and a configuration in a temporary directory, for the tests of this folder. Header
 * only; one thread. */
#ifndef OPS_FIXTURE_H
#define OPS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "catalog/catalog.h"
#include "conf/conf.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* For messages: e must be a struct err of the caller. */
#define assert_ok(rc, e)                                                                           \
    do {                                                                                           \
        if ((rc) != 0)                                                                             \
            fail_msg("%s", (e).text);                                                              \
    } while (0)

struct ops_fixture {
    char dir[64];
    struct conf *conf;
    struct catalog *cat;
};

/* Writes text into file path. */
static inline void ops_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(io_write_full(fd, text, strlen(text)), 0);
    assert_int_equal(close(fd), 0);
}

/* Runs rm -rf on the fixture's directory. */
static inline void ops_remove(const char *dir)
{
    pid_t pid = fork();
    if (pid == 0) {
        (void)execlp("rm", "rm", "-rf", "--one-file-system", dir, NULL);
        _exit(127);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* Makes directory, fs1/buckets in it, firn.conf and the configuration; no catalogue. */
static inline struct ops_fixture *ops_new(void)
{
    struct err e = {0};
    char path[128];
    struct ops_fixture *f = xzalloc(sizeof(*f));
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/test-ops-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    assert_int_equal(chmod(f->dir, 0755), 0);
    (void)snprintf(path, sizeof(path), "%s/fs1/buckets", f->dir);
    assert_ok(io_mkdirs(path, 0755, &e), e);
    char *text = xasprintf("state_dir = \"%s/state\";\nrun_dir = \"%s/run\";\n"
                           "filesystems = ( { name = \"fs1\"; path = \"%s/fs1\"; } );\n"
                           "s3 = { buckets = \"%s/fs1/buckets\"; };\n",
                           f->dir, f->dir, f->dir, f->dir);
    (void)snprintf(path, sizeof(path), "%s/firn.conf", f->dir);
    ops_write(path, text);
    free(text);
    assert_ok(conf_load(path, &f->conf, &e), e);
    return f;
}

/* Opens the catalogue in the fixture's state directory. */
static inline void ops_open_catalog(struct ops_fixture *f)
{
    struct err e = {0};
    assert_ok(catalog_open("sqlite", f->conf->state_dir, &f->cat, &e), e);
}

/* Removes everything. */
static inline void ops_free(struct ops_fixture *f)
{
    catalog_close(f->cat);
    conf_free(f->conf);
    ops_remove(f->dir);
    free(f);
}

#endif
