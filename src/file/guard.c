/* SPDX-License-Identifier: Apache-2.0 */
/* The guard of a file system, and which files are being released: their marks must stay, though
 * they are no stubs yet. */
#include "file/guard.h"

#include "base/cleanup.h"
#include "file/file_impl.h"

void fs_set_guard(struct fs *fs, const struct file_guard *guard)
{
    static const struct file_guard none;
    fs->guard = guard != NULL ? *guard : none;
}

int file_guard_mark(const struct fs *fs, int fd, bool add, struct err *err)
{
    return fs->guard.mark != NULL ? fs->guard.mark(fs->guard.arg, fd, add, err) : 0;
}

bool file_guard_ready(const struct fs *fs)
{
    return fs->guard.ready == NULL || fs->guard.ready(fs->guard.arg);
}

static bool is_entered(const struct fs *fs, const struct file_id *id)
{
    for (const struct file_guarded *o = fs->releases; o != NULL; o = o->next) {
        if (file_id_equal(&o->id, id))
            return true;
    }
    return false;
}

bool file_guard_enter(struct fs *fs, struct file_guarded *g)
{
    lock_scope(&fs->lock);
    if (is_entered(fs, &g->id))
        return false;
    g->next = fs->releases;
    fs->releases = g;
    return true;
}

void file_guard_leave(struct fs *fs, struct file_guarded *g)
{
    lock_scope(&fs->lock);
    struct file_guarded **p = &fs->releases;
    while (*p != g)
        p = &(*p)->next;
    *p = g->next;
}

int file_unguard(struct fs *fs, int fd, struct err *err)
{
    struct file_info i;
    int rc = file_inspect(fs, fd, &i, err);
    if (rc < 0 || i.state == FILE_MIGRATED)
        return rc < 0 ? rc : 0;
    /* A release that has not entered yet marks again after this; one that has is left alone, and
     * one that has its lease cannot be, since fd is open. Marking waits for nobody, so the lock may
     * be held. */
    lock_scope(&fs->lock);
    return is_entered(fs, &i.id) ? 0 : file_guard_mark(fs, fd, false, err);
}
