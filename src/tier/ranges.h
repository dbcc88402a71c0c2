/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data of a copy that is a file: what both kinds of directories (dir, posix) give to a sink. Any
 * thread.
 */
#ifndef TIER_RANGES_H
#define TIER_RANGES_H

#include "tier/tier.h"

/* Gives the data of fd, a file of size bytes, to sink through buf of cap bytes; holes are passed
 * over. name stands in errors. Returns 0, what sink returned, or a negative code; -EIO when the
 * file ends early. */
int tier_send_file(int fd, uint64_t size, const char *name, void *buf, size_t cap,
                   tier_sink_fn *sink, void *arg, struct err *err);

/* TIER_FULL for -ENOSPC and -EDQUOT, else rc. */
int tier_full_or(int rc);

#endif
