/* SPDX-License-Identifier: Apache-2.0 */
/* Access to record, marker, times and blocks of one file: what the moves are made of. */
#include "base/cleanup.h"
#include "file/file_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/xattr.h>
#include <unistd.h>

#define CAPS_XATTR "security.capability"

void file_proc_path(int fd, char *out)
{
    (void)snprintf(out, FILE_PROC_PATH, "/proc/self/fd/%d", fd);
}

ssize_t file_get_xattr(int fd, const char *name, void *buf, size_t n)
{
    ssize_t r = fgetxattr(fd, name, buf, n);
    if (r < 0 && errno == EBADF) { /* O_PATH */
        char path[FILE_PROC_PATH];
        file_proc_path(fd, path);
        r = getxattr(path, name, buf, n);
    }
    return r < 0 ? -errno : r;
}

int file_put_record(int fd, const struct file_record *r, struct err *err)
{
    uint8_t b[FILE_RECORD_BYTES];
    file_record_encode(r, b);
    if (fsetxattr(fd, FILE_XATTR_RECORD, b, sizeof(b), 0) < 0)
        return err_sys(err, errno, "write the state record of inode %llu",
                       (unsigned long long)r->ino);
    return 0;
}

int file_put_marker(int fd, bool on, struct err *err)
{
    if (on && fsetxattr(fd, FILE_XATTR_STUB, "1", 1, 0) < 0)
        return err_sys(err, errno, "set the stub marker");
    if (!on && fremovexattr(fd, FILE_XATTR_STUB) < 0 && errno != ENODATA)
        return err_sys(err, errno, "remove the stub marker");
    return 0;
}

int file_put_mtime(int fd, int64_t mtime_ns, struct err *err)
{
    int64_t sec = mtime_ns / NS;
    int64_t ns = mtime_ns % NS;
    if (ns < 0) { /* before 1970 */
        sec--;
        ns += NS;
    }
    const struct timespec t[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = sec, .tv_nsec = ns}};
    if (futimens(fd, t) < 0)
        return err_sys(err, errno, "restore the modification time");
    return 0;
}

void file_caps_get(int fd, struct file_caps *c)
{
    c->n = file_get_xattr(fd, CAPS_XATTR, c->value, sizeof(c->value));
}

void file_caps_put(int fd, const struct file_caps *c)
{
    if (c->n > 0)
        (void)fsetxattr(fd, CAPS_XATTR, c->value, (size_t)c->n, 0);
}

static int punch_all(int fd, uint64_t size)
{
    uint64_t n = (size + FILE_PUNCH_ROUND - 1) / FILE_PUNCH_ROUND * FILE_PUNCH_ROUND;
    if (n == 0)
        return 0;
    int rc;
    do {
        rc = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)n);
    } while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : 0;
}

int file_punch_all(int fd, uint64_t size)
{
    struct file_caps caps;
    file_caps_get(fd, &caps);
    int rc = punch_all(fd, size);
    file_caps_put(fd, &caps);
    return rc;
}

int64_t file_first_data(int fd)
{
    off_t at = lseek(fd, 0, SEEK_DATA);
    return at < 0 ? -errno : at;
}

int file_sync_unless(struct fs *fs, int fd, uint64_t mark, bool data_only, struct err *err)
{
    if (file_is_synced(fs, mark))
        return 0;
    if ((data_only ? fdatasync(fd) : fsync(fd)) < 0)
        return err_sys(err, errno, "sync of a file on %s", fs->path);
    return 0;
}

/* Opening for writing was refused: is it because of chattr +i or +a? */
static bool is_immutable(const struct fs *fs, const struct file_id *id)
{
    auto_close int fd = fs_open_id(fs, id, O_RDONLY | O_NONBLOCK, NULL);
    int flags = 0;
    return fd >= 0 && ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 &&
           (flags & (FS_IMMUTABLE_FL | FS_APPEND_FL)) != 0;
}

int file_open_for_work(const struct fs *fs, const struct file_id *id, int *fd, struct err *err)
{
    int got = fs_open_id(fs, id, O_RDWR | O_NONBLOCK | O_NOATIME, err);
    if (got >= 0) {
        *fd = got;
        return 0;
    }
    switch (got) {
    case -ESTALE:
        return FILE_GONE;
    case -EAGAIN:
    case -ETXTBSY:
        return FILE_IN_USE;
    case -EPERM:
        return is_immutable(fs, id) ? FILE_IMMUTABLE : got;
    default:
        return got;
    }
}

static pthread_once_t kernel_once = PTHREAD_ONCE_INIT;
static bool kernel_fine; /* multigrain timestamps: Linux 6.13 */

static void look_at_kernel(void)
{
    struct utsname u;
    if (uname(&u) < 0)
        return;
    char *end = NULL;
    long major = strtol(u.release, &end, 10);
    long minor = *end == '.' ? strtol(end + 1, NULL, 10) : 0;
    kernel_fine = major > 6 || (major == 6 && minor >= 13);
}

bool file_fine_ctime(const struct fs *fs)
{
    (void)pthread_once(&kernel_once, look_at_kernel);
    return kernel_fine && fs->kind != FS_OTHER;
}
