/* SPDX-License-Identifier: Apache-2.0 */
/* What state a file is in: its record, held against what the file is. */
#include "base/cleanup.h"
#include "file/file_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

const char *file_outcome_text(int o)
{
    static const char *const texts[] = {
        [FILE_DONE] = "done",
        [FILE_IN_USE] = "file is in use",
        [FILE_CHANGED] = "file changed since it was archived",
        [FILE_GONE] = "file does not exist any more",
        [FILE_IMMUTABLE] = "file is immutable or append-only (chattr)",
        [FILE_SHARED] = "file shares its blocks with another (reflink or snapshot)",
        [FILE_TOO_SMALL] = "file is too small",
        [FILE_TOO_YOUNG] = "file was changed within the last second",
        [FILE_NOT_REGULAR] = "not a regular file",
        [FILE_IS_MIGRATED] = "file is migrated",
        [FILE_NOT_PREMIGRATED] = "file is not premigrated",
        [FILE_NOT_MIGRATED] = "file is not migrated",
        [FILE_OTHER_ARCHIVE] = "file is archived under another id",
        [FILE_BUSY] = "file is being recalled already",
    };
    if (o < 0 || (size_t)o >= sizeof(texts) / sizeof(texts[0]))
        return "failed";
    return texts[o];
}

const char *file_note_text(enum file_note n)
{
    static const char *const texts[] = {
        [FILE_NOTE_NONE] = "",
        [FILE_NOTE_DIRTY] = "changed since it was archived",
        [FILE_NOTE_COPIED] = "carries the state record of another file",
        [FILE_NOTE_DAMAGED] = "state record is damaged or missing",
        [FILE_NOTE_TOUCHED] = "modification time was set while migrated",
        [FILE_NOTE_STUB_CUT] = "truncated while migrated",
        [FILE_NOTE_STUB_CHANGED] = "written to while migrated",
        [FILE_NOTE_INTERRUPTED] = "a release or recall did not finish",
        [FILE_NOTE_MARKER_STALE] = "stub marker on a file that is no stub",
        [FILE_NOTE_MARKER_MISSING] = "stub marker is missing",
    };
    return texts[n];
}

/* True when the file behind fd (O_PATH too) surely has no data at all. Never waits. */
static bool all_hole(int fd)
{
    char path[FILE_PROC_PATH];
    file_proc_path(fd, path);
    auto_close int own = open(path, O_RDONLY | O_NONBLOCK | O_NOATIME | O_CLOEXEC);
    return own >= 0 && file_first_data(own) == -ENXIO;
}

/* True when the file behind fd surely has no data but zeros of less than a block at each place:
 * btrfs writes these where a hole with a part of a block is made longer. Never waits. */
static bool no_bytes(int fd)
{
    enum { BLOCK_MOST = 65536 };
    static const uint8_t zeros[BLOCK_MOST];
    uint8_t b[BLOCK_MOST];
    char path[FILE_PROC_PATH];
    file_proc_path(fd, path);
    auto_close int own = open(path, O_RDONLY | O_NONBLOCK | O_NOATIME | O_CLOEXEC);
    off_t end = 0;
    for (off_t at; own >= 0 && (at = lseek(own, end, SEEK_DATA)) >= 0;) {
        end = lseek(own, at, SEEK_HOLE);
        if (end <= at || end - at > BLOCK_MOST ||
            pread(own, b, (size_t)(end - at), at) != end - at ||
            memcmp(b, zeros, (size_t)(end - at)) != 0)
            return false;
    }
    return own >= 0 && errno == ENXIO;
}

/* True when the file behind fd surely has data everywhere. Never waits. */
static bool no_hole(int fd, uint64_t size)
{
    char path[FILE_PROC_PATH];
    file_proc_path(fd, path);
    auto_close int own = open(path, O_RDONLY | O_NONBLOCK | O_NOATIME | O_CLOEXEC);
    return own >= 0 && lseek(own, 0, SEEK_HOLE) == (off_t)size;
}

/* A release stopped before its punch, and the mtime moved all the same: somebody wrote to data that
 * was still whole. It must neither be punched nor overwritten. */
static bool written_after_mark(const struct file_info *i, int fd, bool same)
{
    return (i->record.flags & FILE_RECORD_RELEASING) != 0 && !same && no_hole(fd, i->record.size);
}

static void judge_premigrated(struct file_info *i, bool same)
{
    i->state = same ? FILE_PREMIGRATED : FILE_RESIDENT;
    if (!same)
        i->note = FILE_NOTE_DIRTY;
    else if (i->marker)
        i->note = FILE_NOTE_MARKER_STALE;
}

/* A stub of another size than was archived. */
static enum file_note judge_cut(const struct file_info *i, int fd)
{
    const unsigned refill = FILE_RECORD_REFILLING | FILE_RECORD_CUT;
    if ((i->record.flags & refill) == refill)
        return FILE_NOTE_INTERRUPTED;
    return no_bytes(fd) ? FILE_NOTE_STUB_CUT : FILE_NOTE_STUB_CHANGED;
}

static void judge_migrated(struct file_info *i, int fd, bool same_size, bool same)
{
    if (!same_size && i->st.st_size == 0) { /* cut to nothing: no byte of it can be read wrong */
        i->state = FILE_RESIDENT;
        i->note = FILE_NOTE_DIRTY;
        return;
    }
    i->state = FILE_MIGRATED;
    if (!same_size || (i->record.flags & FILE_RECORD_CUT) != 0)
        i->note = judge_cut(i, fd);
    else if (written_after_mark(i, fd, same))
        i->note = FILE_NOTE_STUB_CHANGED;
    else if (i->record.flags != 0)
        i->note = FILE_NOTE_INTERRUPTED;
    else if (!same)
        i->note = all_hole(fd) ? FILE_NOTE_TOUCHED : FILE_NOTE_STUB_CHANGED;
    else if (!i->marker)
        i->note = FILE_NOTE_MARKER_MISSING;
}

static void judge(struct file_info *i, int fd)
{
    bool same_size = (uint64_t)i->st.st_size == i->record.size;
    bool same = same_size && file_time_ns(&i->st.st_mtim) == i->record.mtime_ns;
    if (i->record.ino != i->id.ino || i->record.gen != i->id.gen) {
        /* A copy of a stub made without its data must not pass for data. */
        bool stub = i->record.state == FILE_MIGRATED && same_size && i->record.size > 0;
        i->state = stub && all_hole(fd) ? FILE_MIGRATED : FILE_RESIDENT;
        i->note = FILE_NOTE_COPIED;
    } else if (i->record.state == FILE_PREMIGRATED) {
        judge_premigrated(i, same);
    } else {
        judge_migrated(i, fd, same_size, same);
    }
}

/* Record or marker cannot be read: absent is a fact, anything else an error. */
static bool is_absent(ssize_t rc)
{
    return rc == -ENODATA || rc == -EOPNOTSUPP;
}

static int read_record(int fd, struct file_info *i, struct err *err)
{
    uint8_t b[FILE_RECORD_BYTES];
    char m;
    ssize_t marker = file_get_xattr(fd, FILE_XATTR_STUB, &m, sizeof(m));
    if (marker < 0 && !is_absent(marker) && marker != -ERANGE)
        return err_sys(err, (int)-marker, "read the stub marker of inode %llu",
                       (unsigned long long)i->id.ino);
    i->marker = !is_absent(marker);
    ssize_t n = file_get_xattr(fd, FILE_XATTR_RECORD, b, sizeof(b));
    if (n < 0 && !is_absent(n) && n != -ERANGE)
        return err_sys(err, (int)-n, "read the state record of inode %llu",
                       (unsigned long long)i->id.ino);
    i->has_record = n >= 0 && file_record_decode(b, (size_t)n, &i->record, NULL) == 0;
    if (!i->has_record && (i->marker || !is_absent(n))) {
        i->state = i->marker ? FILE_MIGRATED : FILE_RESIDENT;
        i->note = FILE_NOTE_DAMAGED;
    }
    return 0;
}

int file_inspect(const struct fs *fs, int fd, struct file_info *info, struct err *err)
{
    struct file_info i = {.state = FILE_RESIDENT};
    int rc = fs_identify(fs, fd, &i.id, &i.st, err);
    if (rc < 0)
        return rc;
    if (S_ISREG(i.st.st_mode)) {
        rc = read_record(fd, &i, err);
        if (rc < 0)
            return rc;
        if (i.has_record)
            judge(&i, fd);
    } else {
        rc = FILE_NOT_REGULAR;
    }
    *info = i;
    return rc;
}

int file_inspect_path(const struct fs *fs, const char *path, struct file_info *info,
                      struct err *err)
{
    auto_close int fd = fs_open_path(fs, path, O_PATH, err);
    if (fd < 0)
        return fd;
    int rc = file_inspect(fs, fd, info, err);
    return rc < 0 ? err_wrap(err, rc, "%s/%s", fs->path, path) : rc;
}

int file_inspect_id(const struct fs *fs, const struct file_id *id, struct file_info *info,
                    struct err *err)
{
    auto_close int fd = fs_open_id(fs, id, O_PATH, err);
    if (fd == -ESTALE)
        return FILE_GONE;
    return fd < 0 ? fd : file_inspect(fs, fd, info, err);
}

enum file_state file_state_of(const void *record, size_t n, uint64_t size, int64_t mtime_ns,
                              uint64_t ino, struct uuid *archive)
{
    struct file_record r;
    if (archive != NULL)
        memset(archive, 0, sizeof(*archive));
    if (n == 0 || file_record_decode(record, n, &r, NULL) < 0 || r.ino != ino)
        return FILE_RESIDENT;
    if (archive != NULL)
        *archive = r.archive;
    bool same = r.size == size && r.mtime_ns == mtime_ns;
    if (r.state == FILE_PREMIGRATED && !same)
        return FILE_RESIDENT;
    return r.state;
}
