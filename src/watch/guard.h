/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guard: a program in the kernel (guard.bpf.c) that refuses open, read and mmap of a stub which
 * no fanotify group watches. firn-watch installs it and lists the file systems; it stays when all
 * of firn's processes are gone, until the machine goes down or guard_remove. Root only.
 */
#ifndef WATCH_GUARD_H
#define WATCH_GUARD_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where the program is kept when dir is NULL. */
#define GUARD_DIR "/sys/fs/bpf/firn/guard-1"

/*
 * Loads the program, attaches it, and keeps it in dir (NULL: GUARD_DIR; on a bpffs, which is
 * mounted on /sys/fs/bpf if it must). It guards nothing before guard_set_fs. Returns 0, also when
 * it is there already, or a negative code with err set: -ENOTSUP when this build or this kernel has
 * no such thing (Linux before 6.15, no "bpf" in /sys/kernel/security/lsm), -EPERM when the kernel
 * refuses programs (containers). Then nothing is left behind. One thread at a time.
 */
int guard_install(const char *dir, struct err *err);

/*
 * Makes the mounted file systems at paths[n] (each its mount point or a directory of it) the ones
 * that are guarded; mask is the events of which a stub's mark must ask for one (FAN_*). An
 * installed guard without file systems refuses nothing. Returns 0 or a negative code with err set
 * (-ENOENT: not installed, or a path that is not there; the others are guarded then). One thread
 * at a time.
 */
int guard_set_fs(const char *dir, const char *const *paths, size_t n, uint32_t mask,
                 struct err *err);

/*
 * Lets the process pid (0: this one) do what it likes with stubs that nobody watches: it fetches
 * them. Ends with the process. Returns 0, also when no guard is installed, or a negative code with
 * err set. Any thread.
 */
int guard_pass(const char *dir, int pid, struct err *err);

/* Is it installed, and how often did it refuse (may be NULL; 0 when not installed)? Any thread. */
bool guard_active(const char *dir, uint64_t *refused);

/* Detaches it; nothing is refused from then on. Returns 0, also when there is none, or a negative
 * code with err set. One thread at a time. */
int guard_remove(const char *dir, struct err *err);

#endif
