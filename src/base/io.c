/* SPDX-License-Identifier: Apache-2.0 */
#include "base/io.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

ssize_t io_read_full(int fd, void *p, size_t n)
{
    size_t done = 0;
    while (done < n) {
        ssize_t r = read(fd, (char *)p + done, n - done);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return -errno;
        if (r == 0)
            break;
        done += (size_t)r;
    }
    return (ssize_t)done;
}

ssize_t io_pread_full(int fd, void *p, size_t n, off_t off)
{
    size_t done = 0;
    while (done < n) {
        ssize_t r = pread(fd, (char *)p + done, n - done, off + (off_t)done);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return -errno;
        if (r == 0)
            break;
        done += (size_t)r;
    }
    return (ssize_t)done;
}

int io_write_full(int fd, const void *p, size_t n)
{
    size_t done = 0;
    while (done < n) {
        ssize_t r = write(fd, (const char *)p + done, n - done);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return r < 0 ? -errno : -EIO;
        done += (size_t)r;
    }
    return 0;
}

int io_pwrite_full(int fd, const void *p, size_t n, off_t off)
{
    size_t done = 0;
    while (done < n) {
        ssize_t r = pwrite(fd, (const char *)p + done, n - done, off + (off_t)done);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return r < 0 ? -errno : -EIO;
        done += (size_t)r;
    }
    return 0;
}

int io_read_file(int dirfd, const char *path, size_t max, char **data, size_t *len, struct err *err)
{
    auto_close int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, errno, "open %s", path);
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_sys(err, errno, "stat %s", path);
    if (st.st_size < 0 || (size_t)st.st_size > max)
        return err_set(err, -EFBIG, "%s: larger than %zu bytes", path, max);
    /* One byte more than the size shows whether the file grew meanwhile. */
    size_t want = (size_t)st.st_size > 0 ? (size_t)st.st_size + 1 : max + 1;
    auto_free char *p = xzalloc(want + 1);
    ssize_t got = io_read_full(fd, p, want);
    if (got < 0)
        return err_sys(err, (int)-got, "read %s", path);
    if ((size_t)got > max)
        return err_set(err, -EFBIG, "%s: larger than %zu bytes", path, max);
    p[got] = '\0';
    if (len != NULL)
        *len = (size_t)got;
    *data = take_ptr(p);
    return 0;
}

int io_fsync_dir(int dirfd)
{
    return fsync(dirfd) < 0 ? -errno : 0;
}

static int write_temp(int dirfd, const char *tmp, const void *data, size_t n, mode_t mode)
{
    auto_close int fd =
        openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return -errno;
    int rc = io_write_full(fd, data, n);
    if (rc == 0 && fchmod(fd, mode) < 0)
        rc = -errno;
    if (rc == 0 && fsync(fd) < 0)
        rc = -errno;
    return rc;
}

int io_replace_durable(int dirfd, const char *name, const void *data, size_t n, mode_t mode,
                       struct err *err)
{
    unsigned long long r = 0;
    if (getrandom(&r, sizeof(r), 0) != (ssize_t)sizeof(r))
        return err_sys(err, errno, "random name for %s", name);
    auto_free char *tmp = xasprintf("%s.%016llx.tmp", name, r);
    int rc = write_temp(dirfd, tmp, data, n, mode);
    if (rc == 0 && renameat(dirfd, tmp, dirfd, name) < 0)
        rc = -errno;
    if (rc < 0) {
        (void)unlinkat(dirfd, tmp, 0);
        return err_sys(err, -rc, "write %s", name);
    }
    rc = io_fsync_dir(dirfd);
    return rc < 0 ? err_sys(err, -rc, "sync the directory of %s", name) : 0;
}

int io_mkdirs(const char *path, mode_t mode, struct err *err)
{
    auto_free char *p = xstrdup(path);
    for (char *s = p + 1;; s++) {
        if (*s != '/' && *s != '\0')
            continue;
        char keep = *s;
        *s = '\0';
        if (mkdir(p, mode) < 0 && errno != EEXIST)
            return err_sys(err, errno, "make directory %s", p);
        *s = keep;
        if (keep == '\0')
            return 0;
    }
}
