/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tape tests share: a scratch directory (in memory, since a flush of a disk that others use
 * takes long), one cartridge, files with reproducible content. One thread.
 */
#ifndef TAPE_FIXTURE_H
#define TAPE_FIXTURE_H

#include "tape/drive.h"
#include "tape/ltfs.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#define FIXTURE_BARCODE "TAPE01L8"
#define FIXTURE_BS      4096u /* block size of most test volumes: many records from little data */

/* A new scratch directory; the caller frees the name. Remove it with fixture_remove. */
char *fixture_scratch(void);

/* Removes directory path with all it holds. */
void fixture_remove(const char *path);

/* Copies directory from (flat) to the new directory to. */
void fixture_copy(const char *from, const char *to);

/* Makes a cartridge of mib MiB in directory dir and returns its path; the caller frees it. */
char *fixture_cartridge(const char *dir, unsigned mib);

/* Opens and loads a drive with the cartridge. The caller closes it. */
struct drive *fixture_load(const char *cartridge);

/* As fixture_load, formatted with block size bs. */
struct drive *fixture_formatted(const char *cartridge, uint32_t bs);

/* Mounts or fails the test. */
struct ltfs_volume *fixture_mount(struct drive *d, unsigned flags);

/* Fills buf[len] with content number seed. */
void fixture_fill(void *buf, size_t len, unsigned seed);

/* Writes file path of len bytes of content seed into v, with an xattr "firn.seed". Returns what the
 * writer returned. */
int fixture_write(struct ltfs_volume *v, const char *path, size_t len, unsigned seed);

/* Whether path in v is there with exactly this content. */
bool fixture_has(struct ltfs_volume *v, const char *path, size_t len, unsigned seed);

/* Changes byte at (below 0: the one in the middle) of file name of the cartridge directory. */
void fixture_damage(const char *cartridge, const char *name, long at);

/* The number of the partition's newest block whose file name ends in type, below the end. */
uint64_t fixture_last(const char *cartridge, unsigned partition, char type);

/* Fails the test with err's text unless rc is 0. */
#define assert_ok(rc, err)                                                                         \
    do {                                                                                           \
        int rc_ = (rc);                                                                            \
        if (rc_ != 0)                                                                              \
            fail_msg("%s:%d: %d %s", __FILE__, __LINE__, rc_, (err).text);                         \
    } while (0)

#endif
