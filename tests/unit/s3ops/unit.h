/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the S3 operations share: cmocka's headers in the order that it wants, and a
 * directory of one's own for each test. One thread.
 */
#ifndef UNIT_S3OPS_H
#define UNIT_S3OPS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A new directory (in the build directory, so that its file system has user xattrs) with its
 * descriptor; removed by dir_fini. */
struct dir {
    char path[64];
    int fd;
};

/* cmocka's set-up and tear-down: *state is a struct dir. Return 0, or -1. */
int dir_init(void **state);
int dir_fini(void **state);

#endif
