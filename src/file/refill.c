/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Refill: migrated to premigrated (or resident). The record says migrated, with the flag refilling,
 * until all data is durable; a refill that dies is begun anew. The mtime is put back after every
 * write, so that a foreign write shows.
 */
#include "base/cleanup.h"
#include "base/crash.h"
#include "base/io.h"
#include "base/mem.h"
#include "file/file_impl.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

struct file_refill {
    struct fs *fs;
    struct file_refill *next; /* in one of fs->refills */
    struct file_id id;
    int fd;
    struct file_record record; /* migrated; flags as on the file */
    uint64_t size;             /* of the file */
    bool foreign;              /* the record is another file's: do not keep it */
    bool changed;              /* somebody else wrote */
    bool finished;
    struct file_caps caps;
    uint64_t mark;
};

static struct file_refill **list_of(struct fs *fs, const struct file_id *id)
{
    return &fs->refills[id->ino % FILE_REFILL_LISTS];
}

bool file_is_refilling(struct fs *fs, const struct file_id *id)
{
    lock_scope(&fs->lock);
    for (const struct file_refill *r = *list_of(fs, id); r != NULL; r = r->next) {
        if (file_id_equal(&r->id, id))
            return true;
    }
    return false;
}

/* Enters r among the refills of its file system; false when the file is there already. */
static bool enlist(struct file_refill *r)
{
    struct file_refill **list = list_of(r->fs, &r->id);
    lock_scope(&r->fs->lock);
    for (const struct file_refill *o = *list; o != NULL; o = o->next) {
        if (file_id_equal(&o->id, &r->id))
            return false;
    }
    r->next = *list;
    *list = r;
    return true;
}

static void refill_free(struct file_refill *r)
{
    if (r->fd >= 0)
        (void)close(r->fd);
    {
        lock_scope(&r->fs->lock);
        struct file_refill **p = list_of(r->fs, &r->id);
        while (*p != r)
            p = &(*p)->next;
        *p = r->next;
    }
    free(r);
}

static int check_stub(const struct file_info *i, const struct uuid *archive, struct err *err)
{
    if (i->state != FILE_MIGRATED)
        return FILE_NOT_MIGRATED;
    if (i->note == FILE_NOTE_DAMAGED)
        return err_set(err, -EBADMSG,
                       "its state record is damaged or missing; `firn rebuild` restores it");
    if (i->note == FILE_NOTE_STUB_CHANGED)
        return FILE_CHANGED;
    for (int b = 0; b < UUID_BYTES; b++) {
        if (i->record.archive.b[b] != archive->b[b])
            return FILE_OTHER_ARCHIVE;
    }
    return 0;
}

/* The flag comes before the first byte of data, in the file system's journal too. */
static int prepare(struct file_refill *r, const struct file_info *i, struct err *err)
{
    file_caps_get(r->fd, &r->caps);
    r->record = i->record;
    r->record.flags = FILE_RECORD_REFILLING | (i->record.flags & FILE_RECORD_CUT);
    if (i->note == FILE_NOTE_STUB_CUT)
        r->record.flags |= FILE_RECORD_CUT;
    r->size = (uint64_t)i->st.st_size;
    r->foreign = i->note == FILE_NOTE_COPIED;
    if (r->foreign || i->note == FILE_NOTE_TOUCHED || i->note == FILE_NOTE_STUB_CUT)
        r->record.mtime_ns = file_time_ns(&i->st.st_mtim);
    int rc = i->marker ? 0 : file_put_marker(r->fd, true, err);
    if (rc == 0)
        rc = file_put_record(r->fd, &r->record, err);
    if (rc == 0 && i->note == FILE_NOTE_INTERRUPTED) {
        rc = file_punch_all(r->fd, r->size);
        if (rc < 0)
            rc = err_sys(err, -rc, "punch what an interrupted recall left");
    }
    /* Else it is as recorded, and a write since the look at it shows. */
    if (rc == 0 &&
        (i->note == FILE_NOTE_INTERRUPTED || file_time_ns(&i->st.st_mtim) != r->record.mtime_ns))
        rc = file_put_mtime(r->fd, r->record.mtime_ns, err);
    return rc;
}

int file_refill_begin(struct fs *fs, const struct file_id *id, const struct uuid *archive,
                      struct file_refill **out, struct err *err)
{
    struct file_refill *r = xzalloc(sizeof(*r));
    r->fs = fs;
    r->fd = -1;
    r->id = *id;
    if (!enlist(r)) {
        free(r);
        return FILE_BUSY;
    }
    struct file_info i;
    int rc = file_open_for_work(fs, id, &r->fd, err);
    if (rc == 0)
        rc = file_inspect(fs, r->fd, &i, err);
    if (rc == 0)
        rc = check_stub(&i, archive, err);
    if (rc == 0)
        rc = prepare(r, &i, err);
    if (rc != 0) {
        refill_free(r);
        return rc < 0 ? err_wrap(err, rc, "recall to inode %llu", (unsigned long long)id->ino) : rc;
    }
    *out = r;
    return 0;
}

uint64_t file_refill_size(const struct file_refill *r)
{
    return r->size < r->record.size ? r->size : r->record.size;
}

bool file_refill_is_cut(const struct file_refill *r)
{
    return (r->record.flags & FILE_RECORD_CUT) != 0;
}

/* Nobody else may have written: size and mtime are as this refill left them. */
static int check_own(struct file_refill *r, struct err *err)
{
    struct stat st;
    if (fstat(r->fd, &st) < 0)
        return err_sys(err, errno, "stat of inode %llu", (unsigned long long)r->id.ino);
    if ((uint64_t)st.st_size != r->size || file_time_ns(&st.st_mtim) != r->record.mtime_ns)
        r->changed = true;
    return r->changed ? FILE_CHANGED : 0;
}

int file_refill_write(struct file_refill *r, uint64_t off, const void *data, size_t len,
                      struct err *err)
{
    if (off > r->record.size || len > r->record.size - off)
        return err_set(err, -EINVAL,
                       "recall to inode %llu: %zu bytes at %llu go beyond its %llu bytes",
                       (unsigned long long)r->id.ino, len, (unsigned long long)off,
                       (unsigned long long)r->record.size);
    uint64_t most = file_refill_size(r);
    if (file_refill_is_cut(r))
        len = off >= most ? 0 : len < most - off ? len : (size_t)(most - off);
    int rc = check_own(r, err);
    if (rc != 0 || len == 0)
        return rc;
    r->finished = false;
    rc = io_pwrite_full(r->fd, data, len, (off_t)off);
    file_caps_put(r->fd, &r->caps);
    int times = file_put_mtime(r->fd, r->record.mtime_ns, rc < 0 ? NULL : err);
    if (rc < 0)
        return err_sys(err, -rc, "recall to inode %llu: write at %llu",
                       (unsigned long long)r->id.ino, (unsigned long long)off);
    return times;
}

int file_refill_finish_data(struct file_refill *r, struct err *err)
{
    int rc = check_own(r, err);
    if (rc != 0)
        return rc;
    crash_point(CRASH_recall_written);
    r->mark = file_sync_mark(r->fs);
    r->finished = true;
    return 0;
}

static int set_state(struct file_refill *r, enum file_state end, struct err *err)
{
    if (end == FILE_RESIDENT || r->foreign || file_refill_is_cut(r))
        return file_clear_record(r->fd, err);
    struct file_record done = r->record;
    done.state = FILE_PREMIGRATED;
    done.flags = 0;
    int rc = file_put_record(r->fd, &done, err);
    return rc < 0 ? rc : file_put_marker(r->fd, false, err);
}

static int commit(struct file_refill *r, enum file_state end, bool durable, struct err *err)
{
    int rc = r->finished ? 0 : file_refill_finish_data(r, err);
    if (rc == 0)
        rc = file_sync_unless(r->fs, r->fd, r->mark, true, err);
    if (rc == 0)
        rc = check_own(r, err);
    if (rc != 0)
        return rc;
    crash_point(CRASH_recall_synced);
    rc = set_state(r, end, err);
    if (rc == 0 && durable && fsync(r->fd) < 0)
        rc = err_sys(err, errno, "sync of inode %llu", (unsigned long long)r->id.ino);
    /* Last, since from here on nothing turns it into a stub again. The data is durable and the
     * state says so to who looks; a crash that forgets the state forgets the mark too. A mark that
     * stays costs an event. */
    if (rc == 0)
        (void)file_guard_mark(r->fs, r->fd, false, NULL);
    return rc;
}

int file_refill_commit(struct file_refill *r, enum file_state end, bool durable, struct err *err)
{
    int rc = commit(r, end, durable, err);
    if (rc != 0) {
        if (rc < 0)
            (void)err_wrap(err, rc, "recall to inode %llu", (unsigned long long)r->id.ino);
        file_refill_abort(r);
        return rc;
    }
    refill_free(r);
    return 0;
}

void file_refill_abort(struct file_refill *r)
{
    if (r == NULL)
        return;
    (void)check_own(r, NULL);
    /* A commit that failed late may have left another record: it says migrated again before a byte
     * is punched. What somebody else wrote stays; without the flag it shows as a changed stub. If a
     * step fails, the flag stays and the next refill begins anew. */
    bool clean =
        file_put_marker(r->fd, true, NULL) == 0 && file_put_record(r->fd, &r->record, NULL) == 0;
    if (clean && !r->changed)
        clean = file_punch_all(r->fd, r->size) == 0 &&
                file_put_mtime(r->fd, r->record.mtime_ns, NULL) == 0;
    if (clean) {
        r->record.flags &= FILE_RECORD_CUT;
        (void)file_put_record(r->fd, &r->record, NULL);
    }
    refill_free(r);
}
