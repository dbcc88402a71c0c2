/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of a bucket in the order of their bytes, straight from its directories, in bounded
 * memory: of each directory on the way only the next few names are held, and read again when they
 * are used up. Files are keys; directories are keys (with a trailing "/") when they are directory
 * objects. Symlinks, special files, the service's own names and what no request could name (not
 * UTF-8, over 1024 bytes) are no keys. One thread per walk.
 */
#ifndef S3_WALK_H
#define S3_WALK_H

#include <stdbool.h>

struct walk;

struct walk_entry {
    const char *key;  /* valid until the next walk_next() */
    const char *leaf; /* the name in dirfd (without "/") */
    int dirfd;        /* the directory that holds it; for a directory object, its parent */
    bool is_dir;      /* a directory object: key ends with "/" */
};

/*
 * Begins a walk of the keys beneath bucket directory root (borrowed) that begin with prefix and are
 * greater than after (both may be ""). Returns 0 with *w (walk_close it), or a negated errno value;
 * a prefix that no key can have gives an empty walk.
 */
int walk_open(int root, const char *prefix, const char *after, struct walk **w);

/* The next key into *e. Returns 1, 0 at the end, or a negated errno value. A directory that the
 * caller's identity may not read is passed over. */
int walk_next(struct walk *w, struct walk_entry *e);

/* Passes over all keys that begin with prefix. */
void walk_skip(struct walk *w, const char *prefix);

/* Ends the walk; NULL is allowed. */
void walk_close(struct walk *w);

static inline void cleanup_walk(struct walk **w)
{
    walk_close(*w);
}
#define auto_walk __attribute__((cleanup(cleanup_walk)))

#endif
