/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pidlock.h"

#include "base/cleanup.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>

static void read_pid(int fd, char *out, size_t cap)
{
    ssize_t n = io_pread_full(fd, out, cap - 1, 0);
    out[n > 0 ? (size_t)n : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
}

int pidlock_take(const char *dir, const char *name, const char *program, int *out, struct err *err)
{
    char path[PATH_MAX];
    char pid[32];
    int rc = io_mkdirs(dir, 0755, err);
    if (rc != 0)
        return err_wrap(err, rc, "run_dir");
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    auto_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return err_sys(err, errno, "lock file %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        read_pid(fd, pid, sizeof(pid));
        return err_set(err, -EBUSY, "%s is running already: process %s holds %s", program, pid,
                       path);
    }
    int n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
    if (ftruncate(fd, 0) != 0 || io_pwrite_full(fd, pid, (size_t)n, 0) != 0)
        return err_sys(err, errno, "lock file %s", path);
    *out = take_fd(fd);
    return 0;
}
