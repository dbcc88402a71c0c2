/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/stubs.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "file/fs.h"
#include "file/record.h"
#include "scan/moves.h"
#include "scan/scan.h"
#include "watch/link.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif
#ifndef OPEN_TREE_CLOEXEC
#define OPEN_TREE_CLOEXEC O_CLOEXEC
#endif

struct marking {
    struct link *link;
    const bool *stop;
    struct scan *scan;
    _Atomic uint64_t files, marked, failed;
    pthread_mutex_t lock;
    struct err first; /* of what could not be looked at */
};

static void failed(struct marking *m, const char *path, const char *what, int code)
{
    m->failed++;
    lock_scope(&m->lock);
    if (m->first.code == 0)
        (void)err_sys(&m->first, -code, "%s: %s", path, what);
}

/* Marks name in dirfd, which says that it is a stub. Returns 0 or a negative code. */
static int mark(struct marking *m, int dirfd, const char *name)
{
    int rc = link_mark_at(m->link, dirfd, name);
    if (rc == 0)
        m->marked++;
    return rc == -ENOENT ? 0 : rc; /* renamed: its new name comes by itself */
}

static int on_entry(void *ctx, unsigned worker, struct scan_entry *x)
{
    struct marking *m = ctx;
    char value[8];
    (void)worker;
    if (__atomic_load_n(m->stop, __ATOMIC_RELAXED)) {
        scan_cancel(m->scan);
        return SCAN_GO_ON;
    }
    if (x->d_type != DT_REG)
        return SCAN_GO_ON;
    m->files++;
    ssize_t n = scan_entry_xattr(x, FILE_XATTR_STUB, value, sizeof(value));
    if (n == -ENODATA || n == -ENOENT)
        return SCAN_GO_ON;
    if (n < 0 && n != -ERANGE)
        return (int)n;
    return mark(m, x->dirfd, x->name);
}

static void on_error(void *ctx, unsigned worker, const char *path, int code, const char *what)
{
    struct marking *m = ctx;
    (void)worker;
    if (code != -ENOENT) /* deleted, or renamed to where its name is found */
        failed(m, path, what, code);
    if (code == -ENOTCONN)
        scan_cancel(m->scan);
}

/* Walks the tree at root. */
static int walk(struct marking *m, const char *root, struct err *err)
{
    static const char *const none[] = {NULL};
    struct scan_config cfg = {.root = root, .hidden = none};
    struct scan_ops ops = {.entry = on_entry, .error = on_error};
    int rc = scan_new(&cfg, &ops, m, &m->scan, err);
    if (rc == 0)
        rc = scan_run(m->scan, err);
    scan_free(take_ptr(m->scan));
    return rc == -ECANCELED ? 0 : rc; /* the cause is looked at by the caller */
}

/* ---- names that appeared meanwhile ---- */

static int look_at_folder(struct marking *m, int dirfd, const char *name, struct err *err)
{
    auto_close int fd =
        openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP
                   ? 0
                   : err_sys(err, errno, "%s", name);
    auto_free char *root = xasprintf("/proc/self/fd/%d", fd);
    return walk(m, root, err);
}

static int look_at_name(struct marking *m, int dirfd, const char *name, struct err *err)
{
    struct stat st;
    char value[8];
    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : err_sys(err, errno, "%s", name);
    if (S_ISDIR(st.st_mode))
        return look_at_folder(m, dirfd, name, err);
    if (!S_ISREG(st.st_mode))
        return 0;
    auto_free char *path = xasprintf("/proc/self/fd/%d/%s", dirfd, name);
    if (lgetxattr(path, FILE_XATTR_STUB, value, sizeof(value)) < 0 && errno != ERANGE)
        return errno == ENODATA || errno == ENOENT || errno == ENOTSUP
                   ? 0
                   : err_sys(err, errno, "%s: read attribute", name);
    int rc = mark(m, dirfd, name);
    return rc < 0 ? err_sys(err, -rc, "%s: mark", name) : 0;
}

/* Looking may take so long that more appear: until there are none. */
static int look_at_names(struct marking *m, struct scan_moves *moves, struct err *err)
{
    const char *name = NULL;
    for (;;) {
        auto_close int dirfd = -1;
        int rc = scan_moves_next(moves, &dirfd, &name, err);
        if (rc <= 0)
            return rc;
        rc = look_at_name(m, dirfd, name, err);
        if (rc < 0 || __atomic_load_n(m->stop, __ATOMIC_RELAXED))
            return rc;
    }
}

/* ---- all ---- */

static int mark_all(struct marking *m, struct fs *fs, struct err *err)
{
    struct scan_moves *moves = NULL;
    /* Without what is mounted on its directories, which hides files. */
    auto_close int tree = (int)syscall(SYS_open_tree, fs_root_fd(fs), "",
                                       OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    auto_free char *root = xasprintf("/proc/self/fd/%d", tree >= 0 ? tree : fs_root_fd(fs));
    int rc = scan_moves_open(fs_root_fd(fs), &moves, err);
    if (rc == 0)
        rc = walk(m, root, err);
    if (rc == 0 && m->failed == 0)
        rc = look_at_names(m, moves, err);
    scan_moves_close(moves);
    if (__atomic_load_n(m->stop, __ATOMIC_RELAXED))
        return err_set(err, -ESHUTDOWN, "stopped while its stubs were marked");
    if (rc == 0 && m->failed > 0) {
        *err = m->first;
        rc = m->first.code == -ENOTCONN ? -ENOTCONN : -EIO;
    }
    return rc;
}

int stubs_mark(struct fs *fs, struct link *l, const bool *stop, struct stubs_count *n,
               struct err *err)
{
    struct marking m = {.link = l, .stop = stop};
    int64_t begin = time_mono_ns();
    (void)pthread_mutex_init(&m.lock, NULL);
    int rc = mark_all(&m, fs, err);
    (void)pthread_mutex_destroy(&m.lock);
    *n = (struct stubs_count){.files = m.files,
                              .marked = m.marked,
                              .failed = m.failed,
                              .ms = (time_mono_ns() - begin) / 1000000};
    return rc < 0 ? err_wrap(err, rc, "marks of stubs in %s", fs_path(fs)) : 0;
}
