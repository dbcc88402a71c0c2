/* SPDX-License-Identifier: Apache-2.0 */
/* What a crash leaves of a release or refill, put right. The record is always believed: a file that
 * says migrated stays migrated, even when its data happens to be there. */
#include "file/file_impl.h"

#include <fcntl.h>

/*
 * Nobody has the file open: its blocks may go. If somebody has, they stay, and only cost space.
 * Under a guard the lease only asks: fd may be younger than the mark, then the punch raises an
 * event whose own descriptor would wait for the lease. Whoever opens the file after the question is
 * stopped by the mark until a recall, and none runs before all is repaired.
 */
static int finish_release(const struct fs *fs, int fd, const struct file_info *i, struct err *err)
{
    int rc = file_lease(fd, err);
    if (rc < 0)
        return rc;
    if (rc == FILE_IN_USE)
        return 0;
    if (fs->guard.mark != NULL)
        (void)fcntl(fd, F_SETLEASE, F_UNLCK);
    rc = file_punch_all(fd, i->record.size);
    return rc < 0 ? err_sys(err, -rc, "punch the blocks of a migrated file") : 0;
}

static int repair_interrupted(struct fs *fs, int fd, const struct file_info *i, struct err *err)
{
    if (file_is_refilling(fs, &i->id))
        return 0;
    int rc = file_guard_mark(fs, fd, true, err);
    if (rc == 0 && !i->marker)
        rc = file_put_marker(fd, true, err);
    if (rc == 0 && (i->record.flags & FILE_RECORD_RELEASING) != 0) {
        rc = finish_release(fs, fd, i, err);
    } else if (rc == 0) {
        rc = file_punch_all(fd, (uint64_t)i->st.st_size);
        if (rc < 0)
            rc = err_sys(err, -rc, "punch what an interrupted recall left");
    }
    if (rc == 0)
        rc = file_put_mtime(fd, i->record.mtime_ns, err);
    struct file_record r = i->record;
    r.flags &= FILE_RECORD_CUT;
    if (rc == 0)
        rc = file_put_record(fd, &r, err);
    (void)fcntl(fd, F_SETLEASE, F_UNLCK);
    return rc;
}

static int repair(struct fs *fs, int fd, const struct file_info *i, struct err *err)
{
    if (i->note == FILE_NOTE_INTERRUPTED)
        return repair_interrupted(fs, fd, i, err);
    if (i->note == FILE_NOTE_MARKER_MISSING) {
        int rc = file_guard_mark(fs, fd, true, err);
        return rc < 0 ? rc : file_put_marker(fd, true, err);
    }
    if (i->marker && i->state != FILE_MIGRATED) {
        int rc = file_put_marker(fd, false, err);
        return rc < 0 ? rc : file_unguard(fs, fd, err);
    }
    return 0;
}

int file_repair(struct fs *fs, int fd, struct file_info *info, struct err *err)
{
    struct file_info i;
    int rc = file_inspect(fs, fd, &i, err);
    if (rc != 0)
        return rc;
    rc = repair(fs, fd, &i, err);
    if (rc < 0)
        return err_wrap(err, rc, "repair of inode %llu", (unsigned long long)i.id.ino);
    return info != NULL ? file_inspect(fs, fd, info, err) : 0;
}
