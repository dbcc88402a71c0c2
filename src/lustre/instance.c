/* SPDX-License-Identifier: Apache-2.0 */
/* One copytool a mount: two would both be given every action. */
#include "lustre/copytool_impl.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define PATIENCE 20 /* tries, 50 ms apart */

char *instance_name(const char *fsname, const char *mount)
{
    char *name = xasprintf("%s%s", fsname, mount);
    for (char *p = name; *p != '\0'; p++) {
        if (!isalnum((unsigned char)*p) && *p != '.' && *p != '_')
            *p = '-';
    }
    if (strlen(name) > 200)
        name[200] = '\0';
    return name;
}

static void holder(int fd, char *pid, size_t cap)
{
    ssize_t n = io_pread_full(fd, pid, cap - 1, 0);
    pid[n > 0 ? (size_t)n : 0] = '\0';
    pid[strcspn(pid, "\n")] = '\0';
}

/* A killed holder keeps its lock until the kernel has taken it apart. Returns 0 or an errno value.
 */
static int try_lock(int fd)
{
    for (int i = 0; i < PATIENCE; i++) {
        const struct timespec pause = {0, 50000000};
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return 0;
        if (errno != EWOULDBLOCK)
            return errno;
        (void)nanosleep(&pause, NULL);
    }
    return EWOULDBLOCK;
}

int copytool_lock(const char *dir, const char *fsname, const char *mount, int *fd, struct err *err)
{
    char pid[32];
    auto_free char *name = instance_name(fsname, mount);
    auto_free char *path = xasprintf("%s/lhsmtool_firn.%s.lock", dir, name);
    int rc = io_mkdirs(dir, 0755, err);
    if (rc != 0)
        return err_wrap(err, rc, "lock file %s", path);
    auto_close int f = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (f < 0)
        return err_sys(err, errno, "lock file %s", path);
    int failed = try_lock(f);
    if (failed != 0) {
        if (failed != EWOULDBLOCK)
            return err_sys(err, failed, "lock file %s", path);
        holder(f, pid, sizeof(pid));
        return err_set(err, -EBUSY,
                       "a copytool serves %s at %s already: process %s (lock file %s); two would "
                       "both be given every action",
                       fsname, mount, pid, path);
    }
    rc = copytool_lock_name(f, err);
    if (rc == 0)
        *fd = take_fd(f);
    return rc;
}

int copytool_lock_name(int fd, struct err *err)
{
    char pid[32];
    int n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
    if (ftruncate(fd, 0) != 0 || io_pwrite_full(fd, pid, (size_t)n, 0) != 0)
        return err_sys(err, errno, "lock file");
    return 0;
}
