/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fanotify as firn uses it. The one place that knows constants which Debian 12's headers lack.
 * Source: fanotify(7), fanotify_init(2), fanotify_mark(2); Linux include/uapi/linux/fanotify.h
 * (FAN_PRE_ACCESS, FAN_DENY_ERRNO and FAN_EVENT_INFO_TYPE_RANGE came with 6.14).
 */
#ifndef WATCH_KERNEL_H
#define WATCH_KERNEL_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/fanotify.h>

#ifndef FAN_PRE_ACCESS
#define FAN_PRE_ACCESS 0x00100000
#endif
#ifndef FAN_REPORT_FD_ERROR
#define FAN_REPORT_FD_ERROR 0x00002000
#endif
#ifndef FAN_EVENT_INFO_TYPE_RANGE
#define FAN_EVENT_INFO_TYPE_RANGE 6
#endif
#ifndef FAN_DENY_ERRNO
#define FAN_DENY_ERRNO(err) (FAN_DENY | ((((uint32_t)(err)) & 0xff) << 24))
#endif

/* A file with this attribute is a stub (doc/design/file.md). */
#define WATCH_XATTR_STUB "security.bpf.firn.stub"

/* What this kernel can do. */
struct watch_kernel {
    bool pre_access; /* FAN_PRE_ACCESS and errno in answers (6.14); else FAN_OPEN_PERM alone */
    bool fd_error;   /* FAN_REPORT_FD_ERROR (6.13) */
    uint64_t mask;   /* events of a stub's mark: FAN_OPEN_PERM, with pre_access FAN_PRE_ACCESS */
};

/*
 * Opens a fanotify group for permission events before content is read (FAN_CLASS_PRE_CONTENT,
 * unlimited queue and marks, non-blocking, thread ids, event descriptors O_RDONLY) and finds out
 * what the kernel can. With open_only the newer events are left alone, as on an older kernel.
 * Returns the descriptor (caller closes) or a negative code with err set (-EPERM, -ENOSYS: kernel
 * without fanotify permission events).
 */
int watch_kernel_open(bool open_only, struct watch_kernel *k, struct err *err);

/*
 * The same for a group that somebody else opened: what it can is asked of the kernel and of its
 * fdinfo, without a mark. With open_only as in watch_kernel_open. Any thread.
 */
void watch_kernel_probe(int group, bool open_only, struct watch_kernel *k);

/* Marks of a group on one file system. */
struct watch_marks {
    uint64_t files; /* inodes */
    bool whole;     /* the file system itself */
};

/*
 * Counts the marks of group on the superblock sdev (as mountinfo has it: major << 20 | minor; 0:
 * on all). Read from fdinfo; a million take seconds. Any thread.
 */
struct watch_marks watch_kernel_marks(int group, uint32_t sdev);

/*
 * A mark that raises no event: it goes when the file system of directory fd is unmounted for good,
 * and so tells that what is mounted now is what was marked. Returns 0 or a negative code.
 */
int watch_canary_put(int group, int fd);

/* Whether directory fd (O_PATH will do) carries a canary of group. */
bool watch_canary_is_there(int group, int fd);

/* Whether two descriptors are of one group (a dup, also one that came through a socket). Any
 * thread. */
bool watch_kernel_same(int a, int b);

/* Adds (or takes away) the mark of a stub for the file open as fd (O_PATH will do). Adding twice,
 * and removing what is not there, is no error. Returns 0 or a negative code with err set
 * (-EOPNOTSUPP: a file system without FAN_PRE_ACCESS, such as tmpfs). Any thread. */
int watch_mark_file(int group, const struct watch_kernel *k, int fd, bool add, struct err *err);

/* Adds the mark of a stub to name in the directory dirfd, without opening the file; a symbolic link
 * is not followed. Returns 0 or a negative errno value (-ENOENT: no such name). Any thread. */
int watch_mark_at(int group, const struct watch_kernel *k, int dirfd, const char *name);

/* The same for the whole file system that fd (a directory of a mount, perhaps detached) lies on.
 * On btrfs all subvolumes are one file system here. Without add a mark stays that raises no event
 * (kernel.c says why). */
int watch_mark_fs(int group, const struct watch_kernel *k, int fd, bool add, struct err *err);

/*
 * Answers the event whose descriptor has number fd in the group: code 0 lets it go on, else an
 * errno, brought to one that the kernel takes (EPERM, EIO, EBUSY, ETXTBSY, EAGAIN, ENOSPC, EDQUOT;
 * others become EIO; without k->pre_access EPERM). Returns 0 or a negative code (-ENOENT: nothing
 * waits under this number). Does not close fd.
 */
int watch_answer(int group, const struct watch_kernel *k, int fd, int code);

#endif
