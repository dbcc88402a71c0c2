/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing byte array that lives in memory up to a bound and above it in an unlinked file, mapped
 * either way, so that offsets into it stay good and the kernel may write it out. Inside the policy
 * module; one thread at a time.
 */
#ifndef POLICY_SPILL_H
#define POLICY_SPILL_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct policy_spill {
    char *map; /* NULL while empty; moves when it grows */
    size_t len, cap;
    size_t memory; /* bytes kept in memory before the file is used */
    const char *dir;
    int fd; /* of the file; valid when in_file */
    bool in_file;
};

/* Prepares s: memory bytes at most in memory, files in directory dir (must outlive s). */
void policy_spill_init(struct policy_spill *s, size_t memory, const char *dir);

/* Makes room for n more bytes behind len. 0, or a negative code with err set: no memory, or no room
 * in dir. */
int policy_spill_reserve(struct policy_spill *s, size_t n, struct err *err);

/* Releases memory and file. */
void policy_spill_fini(struct policy_spill *s);

#endif
