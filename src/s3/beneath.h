/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files beneath a bucket's directory, and nowhere else: every path from a request is resolved by
 * openat2(2) with RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS and RESOLVE_NO_MAGICLINKS from the bucket's
 * directory, so that no name and no link planted by another program leads out. Everything runs with
 * the calling thread's file system identity. Any thread.
 */
#ifndef S3_BENEATH_H
#define S3_BENEATH_H

#include "base/cleanup.h"

#include <stdbool.h>
#include <sys/types.h>

/* Room for "/proc/self/fd/N". */
#define BENEATH_PROC_MAX 32

/*
 * Opens path (relative, not empty; a trailing "/" is ignored) beneath directory root with open(2)
 * flags (O_CLOEXEC, O_NOFOLLOW are added) and, for O_CREAT, mode. Returns a descriptor that the
 * caller closes, or a negated errno value; a symlink or a mount trick on the way is -ENOENT.
 */
int beneath_open(int root, const char *path, int flags, mode_t mode);

/* As beneath_open of a file that exists, but only if everything on the way is in memory and nobody
 * has a lease on it: else -EAGAIN, without waiting. Kernels that cannot tell give -EAGAIN too. */
int beneath_open_now(int root, const char *path, int flags);

/* Where a key has, or will have, its name. */
struct beneath_place {
    int dirfd;        /* of the directory that holds the name (O_RDONLY); owned */
    const char *leaf; /* last component, within the key's copy below */
    bool made;        /* directories were made on the way; their parents are durable already */
    char *path;       /* the key without a trailing "/"; owned */
};

/*
 * Finds the directory of key (checked by key_check) beneath root. With make, missing directories
 * are made (mode 0770) and the new names fsynced. Returns 0 with *place (beneath_place_fini it), or
 * -ENOENT, -ENOTDIR (a parent is a file), another negated errno value.
 */
int beneath_find(int root, const char *key, bool make, struct beneath_place *place);

/* Releases what place holds; a zeroed place with dirfd -1 is allowed. */
void beneath_place_fini(struct beneath_place *place);
#define auto_place __attribute__((cleanup(beneath_place_fini)))

/* Writes the path that leads to the open descriptor fd into out[BENEATH_PROC_MAX]. */
void beneath_proc(int fd, char *out);

/* A descriptor that can be fsynced for the directory dirfd (which may be O_PATH), or a negated
 * errno value. The caller closes it. */
int beneath_reopen_dir(int dirfd);

#endif
