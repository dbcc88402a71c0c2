/* SPDX-License-Identifier: Apache-2.0 */
/* The archive side: was the data that was copied the data that is there now? */
#include "base/timefmt.h"
#include "file/file_impl.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/xattr.h>

/* With coarse timestamps two changes within one tick look alike. */
static bool too_young(const struct fs *fs, int64_t ctime_ns)
{
    int64_t age = time_now_ns() - ctime_ns;
    return !file_fine_ctime(fs) && age < NS && age > -NS;
}

int file_snapshot_begin(const struct fs *fs, int fd, struct file_snapshot *snap, struct err *err)
{
    struct file_info i;
    int rc = file_inspect(fs, fd, &i, err);
    if (rc != 0)
        return rc;
    if (i.state == FILE_MIGRATED)
        return FILE_IS_MIGRATED;
    if (too_young(fs, file_time_ns(&i.st.st_ctim)))
        return FILE_TOO_YOUNG;
    snap->id = i.id;
    snap->size = (uint64_t)i.st.st_size;
    snap->mtime_ns = file_time_ns(&i.st.st_mtim);
    snap->ctime_ns = file_time_ns(&i.st.st_ctim);
    return 0;
}

int file_snapshot_unchanged(int fd, const struct file_snapshot *snap, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_sys(err, errno, "stat of inode %llu", (unsigned long long)snap->id.ino);
    bool same = (uint64_t)st.st_size == snap->size && file_time_ns(&st.st_mtim) == snap->mtime_ns &&
                file_time_ns(&st.st_ctim) == snap->ctime_ns;
    return same ? 0 : FILE_CHANGED;
}

int file_set_premigrated(const struct fs *fs, int fd, const struct uuid *archive,
                         struct file_snapshot *snap, struct err *err)
{
    (void)fs;
    int rc = file_snapshot_unchanged(fd, snap, err);
    if (rc != 0)
        return rc;
    const struct file_record r = {
        .state = FILE_PREMIGRATED,
        .archive = *archive,
        .size = snap->size,
        .mtime_ns = snap->mtime_ns,
        .ino = snap->id.ino,
        .gen = snap->id.gen,
    };
    rc = file_put_record(fd, &r, err);
    if (rc < 0)
        return rc;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_sys(err, errno, "stat of inode %llu", (unsigned long long)snap->id.ino);
    /* A change of the data between the comparison and the record shows in the mtime. */
    if ((uint64_t)st.st_size != snap->size || file_time_ns(&st.st_mtim) != snap->mtime_ns) {
        (void)fremovexattr(fd, FILE_XATTR_RECORD);
        return FILE_CHANGED;
    }
    snap->ctime_ns = file_time_ns(&st.st_ctim);
    return 0;
}

int file_clear_record(int fd, struct err *err)
{
    int rc = file_put_marker(fd, false, err);
    if (rc < 0)
        return rc;
    if (fremovexattr(fd, FILE_XATTR_RECORD) < 0 && errno != ENODATA)
        return err_sys(err, errno, "remove the state record");
    return 0;
}

int file_set_resident(const struct fs *fs, int fd, struct err *err)
{
    int rc = file_clear_record(fd, err);
    return rc < 0 ? rc : file_guard_mark(fs, fd, false, err);
}

int file_write_record(const struct fs *fs, int fd, const struct file_record *r, struct err *err)
{
    if (r->state == FILE_RESIDENT)
        return err_set(err, -EINVAL, "a resident file has no state record");
    struct file_id id;
    int rc = fs_identify(fs, fd, &id, NULL, err);
    if (rc < 0)
        return rc;
    struct file_record own = *r;
    own.ino = id.ino;
    own.gen = id.gen;
    bool stub = r->state == FILE_MIGRATED;
    /* Mark and marker are there before the record says migrated, and go after it says otherwise. */
    if (stub)
        rc = file_guard_mark(fs, fd, true, err);
    if (rc == 0 && stub)
        rc = file_put_marker(fd, true, err);
    if (rc == 0)
        rc = file_put_record(fd, &own, err);
    if (rc == 0 && !stub)
        rc = file_put_marker(fd, false, err);
    if (rc == 0 && !stub)
        rc = file_guard_mark(fs, fd, false, err);
    return rc;
}
