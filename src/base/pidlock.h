/* SPDX-License-Identifier: Apache-2.0 */
/* A lock file with the holder's process id in it: one instance of a daemon for each directory. */
#ifndef BASE_PIDLOCK_H
#define BASE_PIDLOCK_H

#include "base/err.h"

/*
 * Takes dir/name, making both where they are missing, for as long as the descriptor in *out (the
 * caller's) is open. Returns 0, -EBUSY with a text that names program and the process that holds
 * it, or another negative code with err set. Any thread.
 */
int pidlock_take(const char *dir, const char *name, const char *program, int *out, struct err *err);

#endif
