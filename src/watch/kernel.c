/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/kernel.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define GROUP_FLAGS                                                                                \
    (FAN_CLASS_PRE_CONTENT | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE |                    \
     FAN_UNLIMITED_MARKS | FAN_REPORT_TID)
#define EVENT_FLAGS (O_RDONLY | O_LARGEFILE | O_CLOEXEC)

/* The mask is looked at before the descriptor, so nothing is marked: EBADF means that it is known.
 */
static bool mask_is_known(int group, uint64_t mask)
{
    return fanotify_mark(group, FAN_MARK_ADD, mask, -1, NULL) == 0 || errno != EINVAL;
}

static FILE *open_fdinfo(int group)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", group);
    return fopen(path, "re");
}

static bool starts_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

void watch_kernel_probe(int group, bool open_only, struct watch_kernel *k)
{
    char line[256] = "";
    unsigned long flags = 0;
    auto_fclose FILE *f = open_fdinfo(group);
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (starts_with(line, "fanotify flags:"))
            break;
    }
    if (f != NULL && starts_with(line, "fanotify flags:"))
        flags = strtoul(strchr(line, ':') + 1, NULL, 16);
    memset(k, 0, sizeof(*k));
    k->fd_error = (flags & FAN_REPORT_FD_ERROR) != 0;
    k->pre_access = !open_only && mask_is_known(group, FAN_PRE_ACCESS);
    k->mask = FAN_OPEN_PERM | (k->pre_access ? (uint64_t)FAN_PRE_ACCESS : 0);
}

int watch_kernel_open(bool open_only, struct watch_kernel *k, struct err *err)
{
    /* FAN_REPORT_FD_ERROR is of 6.13; an older kernel knows no such flag. */
    auto_close int group = -1;
    if (!open_only)
        group = fanotify_init(GROUP_FLAGS | FAN_REPORT_FD_ERROR, EVENT_FLAGS);
    if (group < 0)
        group = fanotify_init(GROUP_FLAGS, EVENT_FLAGS);
    if (group < 0 && errno == EPERM)
        return err_set(err, -EPERM, "watching files needs root (CAP_SYS_ADMIN)");
    if (group < 0)
        return err_sys(err, errno, "fanotify_init (Linux 5.10 or later is needed)");
    if (!mask_is_known(group, FAN_OPEN_PERM))
        return err_set(err, -ENOSYS,
                       "this kernel was built without CONFIG_FANOTIFY_ACCESS_PERMISSIONS: no "
                       "program can be made to wait for a file");
    watch_kernel_probe(group, open_only, k);
    return take_fd(group);
}

/* "fanotify ino:22c sdev:800001 mflags:0 mask:..." for an inode, "fanotify sdev:800001 ..." */
static void count_mark(const char *line, uint32_t sdev, struct watch_marks *n)
{
    bool file = starts_with(line, "fanotify ino:");
    if (!file && !starts_with(line, "fanotify sdev:"))
        return;
    const char *of = strstr(line, " sdev:");
    if (of == NULL || (sdev != 0 && strtoul(of + 6, NULL, 16) != sdev))
        return;
    const char *mask = strstr(of, " mask:");
    n->files += file;
    n->whole = n->whole || (!file && mask != NULL && strtoul(mask + 6, NULL, 16) != 0);
}

struct watch_marks watch_kernel_marks(int group, uint32_t sdev)
{
    char line[512];
    struct watch_marks n = {0};
    auto_fclose FILE *f = open_fdinfo(group);
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        count_mark(line, sdev, &n);
    return n;
}

/* O_APPEND, which means nothing to a group, is changed on one and looked for on the other: the
 * flags are the open file's and not the descriptor's. */
static bool flag_follows(int a, int b, int flags_a)
{
    if (fcntl(a, F_SETFL, flags_a ^ O_APPEND) != 0)
        return false;
    int b_there = fcntl(b, F_GETFL);
    if (fcntl(a, F_SETFL, flags_a) != 0)
        return false;
    int b_back = fcntl(b, F_GETFL);
    return b_there >= 0 && b_back >= 0 && ((b_there ^ flags_a) & O_APPEND) != 0 &&
           ((b_back ^ flags_a) & O_APPEND) == 0;
}

bool watch_kernel_same(int a, int b)
{
    int flags = fcntl(a, F_GETFL);
    return a == b || (flags >= 0 && flag_follows(a, b, flags));
}

static int mark(int group, unsigned how, uint64_t mask, int fd)
{
    char path[64];
    if (fanotify_mark(group, how, mask, fd, NULL) == 0)
        return 0;
    if (errno != EBADF || fcntl(fd, F_GETFD) < 0)
        return -errno;
    /* O_PATH */
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return fanotify_mark(group, how, mask, AT_FDCWD, path) == 0 ? 0 : -errno;
}

/* Without FAN_ONDIR and FAN_EVENT_ON_CHILD a directory raises no FAN_OPEN_PERM. */
int watch_canary_put(int group, int fd)
{
    return mark(group, FAN_MARK_ADD | FAN_MARK_ONLYDIR, FAN_OPEN_PERM, fd);
}

/* To take a bit away that is not set changes nothing, and fails where no mark is. */
bool watch_canary_is_there(int group, int fd)
{
    return mark(group, FAN_MARK_REMOVE, FAN_ACCESS_PERM, fd) == 0;
}

static int change_mark(int group, unsigned what, const struct watch_kernel *k, int fd, bool add,
                       struct err *err)
{
    int rc = mark(group, what | (add ? FAN_MARK_ADD : FAN_MARK_REMOVE), k->mask, fd);
    if (rc == 0 || (!add && rc == -ENOENT))
        return 0;
    if (rc == -EOPNOTSUPP || rc == -ENODEV)
        return err_set(err, rc,
                       "the kernel does not stop readers on this kind of file system (%s); ext4, "
                       "XFS and btrfs can be watched",
                       k->pre_access ? "FAN_PRE_ACCESS" : "FAN_OPEN_PERM");
    return err_sys(err, -rc, "%s of a %s", add ? "mark" : "removal of the mark",
                   what == FAN_MARK_FILESYSTEM ? "file system" : "file");
}

int watch_mark_file(int group, const struct watch_kernel *k, int fd, bool add, struct err *err)
{
    return change_mark(group, FAN_MARK_INODE, k, fd, add, err);
}

int watch_mark_at(int group, const struct watch_kernel *k, int dirfd, const char *name)
{
    return fanotify_mark(group, FAN_MARK_ADD | FAN_MARK_DONT_FOLLOW, k->mask, dirfd, name) == 0
               ? 0
               : -errno;
}

/*
 * The mark itself stays, without events. A mark that is taken away lives on while a reader waits
 * in an event that it had a part in, and until then the kernel lets every reader that meets it go
 * on: all of the file system, also those of marked files (fanotify_handle_event: "fails if we race
 * with mark deletion"). Ignoring an event that nobody asks for keeps it; one that is rare, for the
 * kernel walks the marks whenever it happens (each close, with FAN_CLOSE_NOWRITE: 70 ns).
 */
int watch_mark_fs(int group, const struct watch_kernel *k, int fd, bool add, struct err *err)
{
    const unsigned keep =
        FAN_MARK_ADD | FAN_MARK_FILESYSTEM | FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY;
    int rc = add ? 0 : mark(group, keep, FAN_OPEN_EXEC, fd);
    if (rc < 0)
        return err_sys(err, -rc, "an empty mark of a file system");
    return change_mark(group, FAN_MARK_FILESYSTEM, k, fd, add, err);
}

/* What fanotify lets a reader be told (fs/notify/fanotify: a response's errno is one of these). */
static int allowed_errno(int code)
{
    static const int allowed[] = {EPERM, EIO, EBUSY, ETXTBSY, EAGAIN, ENOSPC, EDQUOT};
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        if (code == allowed[i])
            return code;
    }
    return EIO;
}

int watch_answer(int group, const struct watch_kernel *k, int fd, int code)
{
    struct fanotify_response r = {.fd = fd, .response = FAN_ALLOW};
    if (code != 0)
        r.response = k->pre_access ? FAN_DENY_ERRNO(allowed_errno(code)) : FAN_DENY;
    ssize_t n = write(group, &r, sizeof(r));
    return n == (ssize_t)sizeof(r) ? 0 : n < 0 ? -errno : -EIO;
}
