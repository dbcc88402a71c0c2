/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn-watch's work: the front between the kernel and firnd. It owns the fanotify group and every
 * event descriptor, so that firnd may end and come back while readers wait. One thread, no locks,
 * no file of a managed file system is read or written here (one attribute is looked at, with the
 * file open already), memory is taken at the start. doc/design/watch.md has the rules.
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
    int inherited;       /* group from a process that keeps descriptors (fd store); -1 none */
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

/* The group's descriptor, borrowed: for the fd store. */
int front_group(const struct front *f);

/* Serves until *stop becomes true (a signal handler sets it; a signal interrupts the wait). */
void front_run(struct front *f, const volatile bool *stop);

/*
 * Ends: unmounts what front_start mounted. Returns 0, or -EBUSY with err naming a file system that
 * is in use: then the front must go on (a group that closes lets readers have zeros) and front_run
 * may be called again.
 */
int front_unmount(struct front *f, struct err *err);

/* Closes everything. Events that wait get EIO first. NULL is allowed. */
void front_free(struct front *f);

#endif
