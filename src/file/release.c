/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Release: premigrated to migrated. The write lease says that nobody has the file open and makes
 * openers wait; the marker and the record are durable before the first block is punched.
 */
#include "base/cleanup.h"
#include "base/crash.h"
#include "base/mem.h"
#include "file/file_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

struct file_release {
    struct fs *fs;
    int fd;
    struct file_guarded guarded;
    bool entered;              /* guarded is */
    struct file_record record; /* as premigrated */
    uint64_t mark;
    blkcnt_t blocks;
};

static pthread_once_t signal_once = PTHREAD_ONCE_INIT;

/* A broken lease sends SIGIO unless F_SETSIG chose another; the kernel falls back to SIGIO when it
 * cannot queue, and SIGIO ends a process that does not expect it. */
static void ignore_sigio(void)
{
    struct sigaction sa;
    if (sigaction(SIGIO, NULL, &sa) == 0 && (sa.sa_flags & SA_SIGINFO) == 0 &&
        sa.sa_handler == SIG_DFL)
        (void)signal(SIGIO, SIG_IGN);
}

int file_lease(int fd, struct err *err)
{
    (void)pthread_once(&signal_once, ignore_sigio);
    if (fcntl(fd, F_SETSIG, SIGURG) < 0)
        return err_sys(err, errno, "choose the lease's signal");
    if (fcntl(fd, F_SETLEASE, F_WRLCK) == 0)
        return 0;
    if (errno == EAGAIN || errno == EBUSY)
        return FILE_IN_USE;
    return err_sys(err, errno, "take a write lease");
}

/* FIEMAP in pages: is any extent shared? Returns 1, 0 or a negative code. */
static int has_shared_extents(int fd, struct err *err)
{
    enum { PAGE = 64 };
    union {
        struct fiemap map;
        char room[sizeof(struct fiemap) + PAGE * sizeof(struct fiemap_extent)];
    } u;
    uint64_t at = 0;
    for (;;) {
        memset(&u, 0, sizeof(u));
        u.map.fm_start = at;
        u.map.fm_length = FIEMAP_MAX_OFFSET - at;
        u.map.fm_extent_count = PAGE;
        if (ioctl(fd, FS_IOC_FIEMAP, &u.map) < 0)
            return errno == EOPNOTSUPP || errno == ENOTTY ? 0
                                                          : err_sys(err, errno, "map its extents");
        const struct fiemap_extent *e = u.map.fm_extents;
        for (uint32_t i = 0; i < u.map.fm_mapped_extents; i++) {
            if ((e[i].fe_flags & FIEMAP_EXTENT_SHARED) != 0)
                return 1;
            if ((e[i].fe_flags & FIEMAP_EXTENT_LAST) != 0)
                return 0;
            at = e[i].fe_logical + e[i].fe_length;
        }
        if (u.map.fm_mapped_extents == 0)
            return 0;
    }
}

static int check_state(const struct file_info *i)
{
    if (i->state == FILE_MIGRATED)
        return FILE_IS_MIGRATED;
    if (i->state == FILE_RESIDENT)
        return i->note == FILE_NOTE_DIRTY ? FILE_CHANGED : FILE_NOT_PREMIGRATED;
    return 0;
}

static bool fits(const struct file_info *i, const struct file_snapshot *expect)
{
    return file_id_equal(&i->id, &expect->id) && (uint64_t)i->st.st_size == expect->size &&
           file_time_ns(&i->st.st_mtim) == expect->mtime_ns &&
           file_time_ns(&i->st.st_ctim) == expect->ctime_ns;
}

/* Under the lease: may this file be released? */
static int check(const struct fs *fs, int fd, const struct file_snapshot *expect,
                 const struct file_release_opts *opts, struct file_info *i, struct err *err)
{
    int rc = file_inspect(fs, fd, i, err);
    if (rc == 0)
        rc = check_state(i);
    if (rc != 0)
        return rc;
    if (expect != NULL && !fits(i, expect))
        return FILE_CHANGED;
    if (i->st.st_size == 0 || (uint64_t)i->st.st_size < opts->min_size)
        return FILE_TOO_SMALL;
    if (!opts->allow_shared) {
        rc = has_shared_extents(fd, err);
        if (rc != 0)
            return rc < 0 ? rc : FILE_SHARED;
    }
    return 0;
}

/* The record goes back first: a marker on a premigrated file only costs a question. */
static int unmark(int fd, const struct file_record *r, struct err *err)
{
    int rc = file_put_record(fd, r, err);
    return rc < 0 ? rc : file_put_marker(fd, false, err);
}

static int mark(int fd, const struct file_record *premigrated, struct err *err)
{
    struct file_record r = *premigrated;
    r.state = FILE_MIGRATED;
    r.flags = FILE_RECORD_RELEASING;
    int rc = file_put_marker(fd, true, err);
    if (rc == 0)
        rc = file_put_record(fd, &r, err);
    if (rc < 0)
        (void)unmark(fd, premigrated, NULL);
    return rc;
}

/* Ends r: descriptor and lease go back, and the guard's mark, unless the file is or may be a stub.
 * Nobody else releases it meanwhile, since the descriptor is in the way of other leases. */
static void release_free(struct file_release *r)
{
    struct file_info i;
    if (r->entered && r->fs->guard.mark != NULL && file_inspect(r->fs, r->fd, &i, NULL) == 0 &&
        i.state != FILE_MIGRATED)
        (void)file_guard_mark(r->fs, r->fd, false, NULL);
    if (r->fd >= 0) {
        (void)fcntl(r->fd, F_SETLEASE, F_UNLCK);
        (void)close(r->fd);
    }
    if (r->entered)
        file_guard_leave(r->fs, &r->guarded);
    free(r);
}

/* A mark that an earlier stub has left (firnd ended before it took it away) would hook the
 * descriptor of the release. Never of a stub; O_PATH raises no event. */
static int drop_old_mark(struct file_release *r, struct err *err)
{
    struct file_info i;
    if (r->fs->guard.mark == NULL)
        return 0;
    auto_close int fd = fs_open_id(r->fs, &r->guarded.id, O_PATH, NULL);
    if (fd < 0)
        return 0; /* opening it for work says why */
    int rc = file_inspect(r->fs, fd, &i, err);
    if (rc == 0 && i.state == FILE_MIGRATED)
        rc = FILE_IS_MIGRATED;
    return rc != 0 ? rc : file_guard_mark(r->fs, fd, false, err);
}

/*
 * The mark comes before the lease: who opened the file before the mark, so that no event will ever
 * stop him, is seen by the lease; who opens it later is stopped. The other order loses those who
 * come between. The own descriptor is older than the mark, so the punch raises no event.
 */
static int begin(struct file_release *r, const struct file_id *id,
                 const struct file_snapshot *expect, const struct file_release_opts *opts,
                 struct err *err)
{
    struct file_info i;
    if (!file_guard_ready(r->fs))
        return FILE_IN_USE;
    r->guarded.id = *id;
    r->entered = file_guard_enter(r->fs, &r->guarded);
    if (!r->entered)
        return FILE_IN_USE;
    int rc = drop_old_mark(r, err);
    if (rc == 0)
        rc = file_open_for_work(r->fs, id, &r->fd, err);
    if (rc == 0)
        rc = file_guard_mark(r->fs, r->fd, true, err);
    if (rc == 0)
        rc = file_lease(r->fd, err);
    if (rc == 0)
        rc = check(r->fs, r->fd, expect, opts, &i, err);
    if (rc == 0)
        rc = mark(r->fd, &i.record, err);
    if (rc != 0)
        return rc;
    r->record = i.record;
    r->mark = file_sync_mark(r->fs);
    r->blocks = i.st.st_blocks;
    return 0;
}

int file_release_begin(struct fs *fs, const struct file_id *id, const struct file_snapshot *expect,
                       const struct file_release_opts *opts, struct file_release **out,
                       struct err *err)
{
    static const struct file_release_opts defaults;
    struct file_release *r = xzalloc(sizeof(*r));
    r->fs = fs;
    r->fd = -1;
    int rc = begin(r, id, expect, opts != NULL ? opts : &defaults, err);
    if (rc != 0) {
        release_free(r);
        return rc < 0 ? err_wrap(err, rc, "release of inode %llu", (unsigned long long)id->ino)
                      : rc;
    }
    *out = r;
    return 0;
}

static int punch(struct file_release *r, struct err *err)
{
    int rc = file_punch_all(r->fd, r->record.size);
    if (rc == -EOPNOTSUPP || rc == -EPERM || rc == -ETXTBSY) { /* nothing was punched */
        (void)unmark(r->fd, &r->record, NULL);
        return err_sys(err, -rc, "punch its blocks");
    }
    if (rc < 0)
        return err_sys(err, -rc, "punch its blocks (it counts as migrated now)");
    crash_point(CRASH_release_punched);
    rc = file_put_mtime(r->fd, r->record.mtime_ns, err);
    if (rc < 0)
        return rc;
    struct file_record done = r->record;
    done.state = FILE_MIGRATED;
    return file_put_record(r->fd, &done, err);
}

static int commit(struct file_release *r, uint64_t *freed, struct err *err)
{
    int rc = file_sync_unless(r->fs, r->fd, r->mark, false, err);
    if (rc < 0) { /* not durable: nothing may be punched */
        (void)unmark(r->fd, &r->record, NULL);
        return rc;
    }
    /* Anything but the whole lease: somebody waits to open the file (or waited too long and has
     * it). As long as the lease is whole, the kernel lets an opener wait
     * /proc/sys/fs/lease-break-time (45 s), far longer than the punch takes. */
    if (fcntl(r->fd, F_GETLEASE) != F_WRLCK) {
        rc = unmark(r->fd, &r->record, err);
        return rc < 0 ? rc : FILE_IN_USE;
    }
    /* Once more: who holds the marks may be another one than at the begin (doc/design/watch.md). */
    rc = file_guard_mark(r->fs, r->fd, true, err);
    if (rc < 0) {
        (void)unmark(r->fd, &r->record, NULL);
        return rc;
    }
    crash_point(CRASH_release_marked);
    rc = punch(r, err);
    struct stat st;
    if (rc == 0 && freed != NULL && fstat(r->fd, &st) == 0)
        *freed = r->blocks > st.st_blocks ? (uint64_t)(r->blocks - st.st_blocks) * 512 : 0;
    return rc;
}

int file_release_commit(struct file_release *r, uint64_t *freed, struct err *err)
{
    uint64_t none = 0;
    freed = freed != NULL ? freed : &none;
    *freed = 0;
    int rc = commit(r, freed, err);
    if (rc < 0)
        rc = err_wrap(err, rc, "release of inode %llu", (unsigned long long)r->record.ino);
    release_free(r);
    return rc;
}

void file_release_abort(struct file_release *r)
{
    if (r == NULL)
        return;
    (void)unmark(r->fd, &r->record, NULL);
    release_free(r);
}
