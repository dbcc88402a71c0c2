/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn-watch's work: the front between the kernel and firnd. It owns the fanotify group and every
 * event descriptor, so that firnd may end and come back while readers wait. One thread decides and
 * a few only read events; no locks, no file of a managed file system is read or written here (one
 * attribute is looked at, with the file open already), memory is taken at the start.
 * doc/design/watch.md has the rules. One thread calls all of this.
 */
#ifndef WATCH_FRONT_H
#define WATCH_FRONT_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A file system to watch. Strings are borrowed until front_free. */
struct front_fs {
    const char *name, *path;
    const char *device;  /* source to mount it from; NULL or "": it is mounted by others */
    const char *type;    /* with device: ext4, xfs, btrfs */
    const char *options; /* with device: mount options as mount(8) takes them; may be NULL */
};

struct front_config {
    const char *socket_path; /* made with mode 0600, its directory exists */
    const struct front_fs *fs;
    size_t nfs;
    int64_t deadline_ms; /* a waiting reader gets EIO after this long; 0: it waits for ever */
    bool open_only;      /* behave as on a kernel before 6.14 */
    int inherited;       /* group from a process that keeps descriptors (fd store); -1 none. Owned
                            by the front from front_start on */
    void (*keep)(int group); /* called once the group is there and before anything is mounted: gives
                                it to such a process; may be NULL */
};

struct front;

/*
 * Opens or takes over the group, answers what an earlier front left unanswered (EIO), covers each
 * file system that is mounted with a mark, mounts the others detached, covers them, and only then
 * moves them to their path. Returns 0 with *out (free with front_free), or a negative code with err
 * set. A file system that cannot be watched (tmpfs, device missing) is logged and told, and does
 * not keep the others from being served.
 */
int front_start(const struct front_config *cfg, struct front **out, struct err *err);

/* Whether firnd is connected. It holds a dup of the group then. */
bool front_has_engine(const struct front *f);

/*
 * Serves until *stop becomes true: a signal handler sets it, for a signal that the calling thread
 * blocks (it is let in while this waits, so none is missed). After front_unmount has failed it also
 * returns when that may be tried again: when the mount table has changed, and each 5 s. What waits
 * without an engine then gets EIO at once.
 */
void front_run(struct front *f, const volatile bool *stop);

/*
 * Ends: unmounts what has a device. Returns 0 when the group may close: no file system that is
 * mounted anywhere holds a marked stub or is covered. Otherwise -EBUSY, with err naming one, why,
 * and what to do: then the front must go on (a group that closes lets readers have zeros), and
 * front_run is to be called again.
 */
int front_unmount(struct front *f, struct err *err);

/* Closes everything. Events that wait get EIO first. NULL is allowed. */
void front_free(struct front *f);

#endif
