/* SPDX-License-Identifier: Apache-2.0 */
#include "scan/scan_impl.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

/* getxattrat(2) and listxattrat(2), Linux 6.13; the numbers are the same on all machines but alpha.
 * Debian 12's headers do not know them. */
#define NR_GETXATTRAT  464
#define NR_LISTXATTRAT 465

struct xattr_args_v1 {
    uint64_t value __attribute__((aligned(8)));
    uint32_t size;
    uint32_t flags;
};

static ssize_t getxattr_at(int dirfd, const char *name, const char *attr, char *buf, size_t cap)
{
    struct xattr_args_v1 args = {.value = (uintptr_t)buf,
                                 .size = (uint32_t)(cap < UINT32_MAX ? cap : UINT32_MAX)};
    long n = syscall(NR_GETXATTRAT, dirfd, name, AT_SYMLINK_NOFOLLOW, attr, &args, sizeof(args));
    return n >= 0 ? (ssize_t)n : -errno;
}

enum scan_xattr_way scan_probe_xattr(int root_fd)
{
    char c = 0;
    if (getxattr_at(root_fd, ".", "user.firn.probe", &c, 1) != -ENOSYS)
        return SCAN_XATTR_AT;
    return SCAN_XATTR_CHDIR;
}

void scan_worker_prepare(struct scan_worker *w)
{
    w->xattr_way = w->s->xattr_way;
    /* A working directory of its own, so that fchdir moves this thread alone. */
    if (w->xattr_way == SCAN_XATTR_CHDIR && unshare(CLONE_FS) < 0)
        w->xattr_way = SCAN_XATTR_PROC;
}

bool scan_is_hidden(const struct scan *s, const char *name, size_t len)
{
    for (size_t i = 0; i < s->n_hidden; i++) {
        const struct scan_hidden *h = &s->hidden[i];
        bool hit = false;
        if (h->kind == HIDDEN_PATTERN)
            hit = fnmatch(h->text, name, 0) == 0;
        else if (len >= h->len && (h->kind == HIDDEN_PREFIX || len == h->len))
            hit = memcmp(name, h->text, h->len) == 0;
        if (hit)
            return true;
    }
    return false;
}

/* ---- the current entry ---- */

struct scan_entry *scan_entry_set(struct scan_worker *w, const char *name, unsigned char d_type,
                                  uint64_t ino)
{
    w->entry = (struct scan_entry){.dirfd = w->dir->fd,
                                   .name = name,
                                   .name_len = strlen(name),
                                   .d_type = d_type,
                                   .ino = ino,
                                   .depth = w->dir->depth + 1,
                                   .impl = w};
    w->stat_rc = 1;
    w->names_len = -1;
    w->has_path = false;
    return &w->entry;
}

const char *scan_entry_path(struct scan_entry *e, size_t *len)
{
    struct scan_worker *w = e->impl;
    if (!w->has_path) {
        const struct scan_dir *d = w->dir;
        size_t need = d->path_len + 1 + e->name_len + 1;
        if (need > w->path_cap) {
            w->path_cap = need + 512;
            w->path = xrealloc_array(w->path, w->path_cap, 1);
        }
        if (w->path_dir != d) {
            memcpy(w->path, d->path, d->path_len);
            w->path[d->path_len] = '/';
            w->path_dir = d;
        }
        memcpy(w->path + d->path_len + 1, e->name, e->name_len + 1);
        w->path_len = d->path_len + 1 + e->name_len;
        w->has_path = true;
    }
    if (len != NULL)
        *len = w->path_len;
    return w->path;
}

int scan_entry_stat(struct scan_entry *e, const struct statx **stx)
{
    struct scan_worker *w = e->impl;
    if (w->stat_rc == 1) {
        int rc = statx(e->dirfd, e->name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, w->s->stat_mask,
                       &w->stx);
        w->stat_rc = rc < 0 ? -errno : 0;
    }
    *stx = &w->stx;
    return w->stat_rc;
}

static ssize_t no_data(ssize_t n)
{
    return n == -EOPNOTSUPP ? -ENODATA : n;
}

/* Where this thread must look for the entry: its name in the working directory, or a path through
 * /proc in tmp. */
static const char *local_name(struct scan_worker *w, const struct scan_entry *e, char *tmp,
                              size_t cap)
{
    if (w->xattr_way == SCAN_XATTR_CHDIR && w->cwd != w->dir) {
        if (fchdir(e->dirfd) < 0) {
            w->xattr_way = SCAN_XATTR_PROC;
            w->cwd = NULL;
        } else {
            w->cwd = w->dir;
        }
    }
    if (w->xattr_way == SCAN_XATTR_CHDIR)
        return e->name;
    (void)snprintf(tmp, cap, "/proc/self/fd/%d/%s", e->dirfd, e->name);
    return tmp;
}

static ssize_t get_value(struct scan_worker *w, struct scan_entry *e, const char *name, char *buf,
                         size_t cap)
{
    char tmp[NAME_MAX + 40];
    if (w->xattr_way == SCAN_XATTR_AT)
        return no_data(getxattr_at(e->dirfd, e->name, name, buf, cap));
    ssize_t n = lgetxattr(local_name(w, e, tmp, sizeof(tmp)), name, buf, cap);
    return no_data(n >= 0 ? n : -errno);
}

/* Name spaces whose attributes are all listed to those who may read them. */
static bool is_listed_space(const char *name)
{
    return strncmp(name, "user.", 5) == 0 || strncmp(name, "trusted.", 8) == 0;
}

/* Whether the entry's list of names, asked for once, says that there is no such attribute. Most
 * files have none that a policy asks for, so one call answers for several names. */
static bool is_surely_absent(struct scan_worker *w, struct scan_entry *e, const char *name)
{
    if (w->names_len == -1) {
        ssize_t n = scan_entry_xattr_list(e, w->names, sizeof(w->names));
        w->names_len = n >= 0 ? n : -2;
    }
    if (w->names_len == -2)
        return false;
    for (const char *p = w->names; p < w->names + w->names_len; p += strlen(p) + 1)
        if (strcmp(p, name) == 0)
            return false;
    return true;
}

#define GAIN_MAX 64

ssize_t scan_entry_xattr(struct scan_entry *e, const char *name, char *buf, size_t cap)
{
    struct scan_worker *w = e->impl;
    bool listed = is_listed_space(name);
    if (listed && w->list_gain >= 0 && is_surely_absent(w, e, name)) {
        w->list_gain += w->list_gain < GAIN_MAX;
        return -ENODATA;
    }
    ssize_t n = get_value(w, e, name, buf, cap);
    /* Where most files have what is asked for, the list is a call too much. */
    if (listed && n == -ENODATA)
        w->list_gain += w->list_gain < GAIN_MAX;
    else if (listed)
        w->list_gain -= w->list_gain > -GAIN_MAX;
    return n;
}

ssize_t scan_entry_xattr_list(struct scan_entry *e, char *buf, size_t cap)
{
    struct scan_worker *w = e->impl;
    char tmp[NAME_MAX + 40];
    ssize_t n = 0;
    if (w->xattr_way == SCAN_XATTR_AT)
        n = syscall(NR_LISTXATTRAT, e->dirfd, e->name, AT_SYMLINK_NOFOLLOW, buf, cap);
    else
        n = llistxattr(local_name(w, e, tmp, sizeof(tmp)), buf, cap);
    if (n < 0 && errno == EOPNOTSUPP)
        return 0;
    return n >= 0 ? n : -errno;
}

int scan_entry_generation(struct scan_entry *e, uint64_t *gen)
{
    *gen = 0;
    if (e->d_type != DT_REG && e->d_type != DT_DIR)
        return 0;
    auto_close int fd =
        openat(e->dirfd, e->name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;
    unsigned v = 0; /* the kernel writes an int whatever the macro's type says */
    if (ioctl(fd, FS_IOC_GETVERSION, &v) == 0)
        *gen = v;
    return 0;
}

/* ---- showing ---- */

static void add(atomic_uint_fast64_t *counter)
{
    /* One writer: a plain add without a locked instruction. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

void scan_report(struct scan_worker *w, const char *path, int code, const char *what)
{
    add(&w->errors);
    if (w->s->ops.error != NULL)
        w->s->ops.error(w->s->ctx, w->number, path, code, what);
}

/* The type by statx where the directory did not tell. */
static int find_type(struct scan_worker *w, struct scan_entry *e)
{
    const struct statx *stx = NULL;
    int rc = scan_entry_stat(e, &stx);
    if (rc == 0) {
        e->d_type = (unsigned char)IFTODT(stx->stx_mode);
        e->ino = stx->stx_ino;
    } else if (rc != -ENOENT) {
        scan_report(w, scan_entry_path(e, NULL), rc, "statx");
    }
    return rc;
}

int scan_entry_show(struct scan_worker *w)
{
    struct scan_entry *e = &w->entry;
    if (e->d_type == DT_UNKNOWN && find_type(w, e) < 0)
        return SCAN_SKIP_DIR;
    if (e->d_type == DT_REG)
        add(&w->files);
    else if (e->d_type == DT_DIR)
        add(&w->dirs);
    else
        add(&w->others);
    int rc = w->s->ops.entry(w->s->ctx, w->number, e);
    if (rc < 0) {
        scan_report(w, scan_entry_path(e, NULL), rc, "entry");
        return SCAN_GO_ON;
    }
    return rc;
}
