/* SPDX-License-Identifier: Apache-2.0 */
/* Files on a loop file system, and one-line forms of the moves between states. All functions fail
 * the running test when something does not work. */
#ifndef TESTS_FILE_FIXTURE_H
#define TESTS_FILE_FIXTURE_H

#include "file/file.h"
#include "lib/loopfs.h"

#include <stddef.h>
#include <stdint.h>

struct site {
    struct loopfs loop;
    struct fs *fs;
    struct err err;
};

/* A mounted file system of the kind that name says: "ext4", "ext4-inline" (data in the inode),
 * "xfs", "btrfs". */
void site_up(struct site *s, const char *name);
void site_down(struct site *s);
/* Closes, remounts, opens again; power_cut: without anything unwritten reaching the disk. */
void site_remount(struct site *s, bool power_cut);

/* Byte at offset off of the test pattern seed. */
uint8_t pattern(uint32_t seed, uint64_t off);
/* Makes file name with size bytes of the pattern. Returns its identity. */
struct file_id make_file(struct site *s, const char *name, uint64_t size, uint32_t seed);
/* The path of name, in one of a few static buffers. */
const char *path_of(struct site *s, const char *name);
/* Inspects name; returns the outcome. */
int inspect(struct site *s, const char *name, struct file_info *i);
/* The offset of the first byte of name that is not the pattern's, or -1 when all size bytes are. */
int64_t first_wrong(struct site *s, const char *name, uint64_t size, uint32_t seed);
/* Premigrates as the engine does, durably. */
struct uuid premigrate(struct site *s, const char *name);
/* Releases; returns the outcome of begin, or of commit. */
int release(struct site *s, const struct file_id *id, bool allow_shared);
/* Refills with the pattern and ends in state end; returns the outcome. */
int refill(struct site *s, const struct file_id *id, const struct uuid *archive, uint32_t seed,
           enum file_state end);
/* What name is; it must be inspected without an error. */
struct file_info info_of(struct site *s, const char *name);
/* Writes text at offset off of name. */
void write_at(struct site *s, const char *name, off_t off, const char *text);
/* Blocks of 512 bytes that name has. */
int64_t blocks_of(struct site *s, const char *name);
/* Makes, premigrates and releases file name. */
struct file_id make_stub(struct site *s, const char *name, uint64_t size, uint32_t seed,
                         struct uuid *archive);
/* Both stats are of a file whose metadata a migration left alone. */
void check_metadata(const struct stat *a, const struct stat *b);

/* Name has this state and note. */
#define EXPECT(site, name, s, n)                                                                   \
    do {                                                                                           \
        struct file_info i_ = info_of(site, name);                                                 \
        assert_int_equal(i_.state, s);                                                             \
        assert_int_equal(i_.note, n);                                                              \
    } while (0)

#endif
