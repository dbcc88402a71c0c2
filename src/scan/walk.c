/* SPDX-License-Identifier: Apache-2.0 */
#include "scan/scan_impl.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#define BATCH_BYTES (64 * 1024) /* of one getdents64: about a thousand names */
#define QUEUE_MAX   16384       /* queued directories before workers descend on their own */
#define INLINE_MAX  64          /* levels of that; deeper ones are queued all the same */

/* As the kernel writes it (getdents64(2)). */
struct dirent_record {
    uint64_t ino;
    int64_t off;
    unsigned short reclen;
    unsigned char type;
    char name[];
};

void scan_dir_unref(struct scan_dir *d)
{
    if (d == NULL || atomic_fetch_sub(&d->refs, 1) != 1)
        return;
    (void)close(d->fd);
    free(d);
}

struct scan_dir *scan_dir_new(const struct scan *s, int fd, const char *rel, unsigned depth)
{
    size_t n = strlen(rel);
    struct scan_dir *d = xzalloc(sizeof(*d) + s->root_len + n + 2);
    d->fd = fd;
    d->depth = depth;
    atomic_init(&d->refs, 1);
    memcpy(d->path, s->root, s->root_len);
    d->path_len = s->root_len;
    if (n > 0) {
        d->path[d->path_len++] = '/';
        memcpy(d->path + d->path_len, rel, n);
        d->path_len += n;
    }
    return d;
}

int scan_open(const struct scan *s, const char *rel)
{
    struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOATIME,
                           .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH | RESOLVE_NO_XDEV};
    const char *path = rel[0] != '\0' ? rel : ".";
    long fd = syscall(SYS_openat2, s->root_fd, path, &how, sizeof(how));
    if (fd < 0 && errno == EPERM) {
        /* Only owners and root may leave the access time alone. */
        how.flags &= ~(uint64_t)O_NOATIME;
        fd = syscall(SYS_openat2, s->root_fd, path, &how, sizeof(how));
    }
    return fd >= 0 ? (int)fd : -errno;
}

void scan_push(struct scan *s, struct scan_work *work)
{
    lock_scope(&s->lock);
    work->next = s->queue;
    s->queue = work;
    s->n_queue++;
    s->pending++;
    if (atomic_load_explicit(&s->idle, memory_order_relaxed) > 0)
        (void)pthread_cond_signal(&s->more);
}

/* ---- subdirectories ---- */

static void read_dir(struct scan_worker *w, const char *rel, unsigned depth);

static bool queue_is_full(struct scan *s)
{
    lock_scope(&s->lock);
    return s->n_queue >= QUEUE_MAX;
}

/* Hands the subdirectory called name to the queue, or reads it now when the queue is full. */
static void descend(struct scan_worker *w, const char *name, size_t name_len)
{
    struct scan *s = w->s;
    struct scan_dir *d = w->dir;
    const char *parent = d->path + s->root_len;
    size_t parent_len = d->path_len - s->root_len;
    if (parent_len > 0) {
        parent++; /* the slash */
        parent_len--;
    }
    struct scan_work *work = xzalloc(sizeof(*work) + parent_len + name_len + 2);
    memcpy(work->data, parent, parent_len);
    if (parent_len > 0)
        work->data[parent_len++] = '/';
    memcpy(work->data + parent_len, name, name_len);
    work->depth = d->depth + 1;
    if (w->inline_depth >= INLINE_MAX || !queue_is_full(s)) {
        scan_push(s, work);
        return;
    }
    w->inline_depth++;
    read_dir(w, work->data, work->depth);
    w->inline_depth--;
    w->dir = d;
    free(work);
}

/* ---- names ---- */

static bool is_dots(const char *name)
{
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

static void do_name(struct scan_worker *w, const struct dirent_record *r)
{
    const struct scan *s = w->s;
    if (is_dots(r->name))
        return;
    const struct scan_entry *e = scan_entry_set(w, r->name, r->type, r->ino);
    if (scan_is_hidden(s, e->name, e->name_len))
        return;
    int answer = scan_entry_show(w);
    bool deeper = s->max_depth == 0 || e->depth < s->max_depth;
    if (e->d_type == DT_DIR && answer != SCAN_SKIP_DIR && deeper)
        descend(w, e->name, e->name_len);
}

static void do_batch(struct scan_worker *w, struct scan_dir *d, const char *batch, size_t len)
{
    w->dir = d;
    for (size_t pos = 0; pos < len;) {
        const struct dirent_record *r = (const struct dirent_record *)(const void *)(batch + pos);
        if (atomic_load_explicit(&w->s->cancel, memory_order_relaxed))
            return;
        do_name(w, r);
        pos += r->reclen;
    }
}

/* Gives a batch of d's names to a worker that has nothing to do. */
static void share_batch(struct scan_worker *w, struct scan_dir *d, const char *batch, size_t len)
{
    struct scan_work *work = xrealloc_array(NULL, sizeof(*work) + len, 1);
    *work = (struct scan_work){.dir = d, .batch_len = len};
    memcpy(work->data, batch, len);
    atomic_fetch_add(&d->refs, 1);
    scan_push(w->s, work);
}

/* Forgets d before it goes, so that a new directory at the same address is not taken for it. */
static void leave(struct scan_worker *w, struct scan_dir *d)
{
    if (w->path_dir == d)
        w->path_dir = NULL;
    if (w->cwd == d)
        w->cwd = NULL;
    scan_dir_unref(d);
}

static void read_names(struct scan_worker *w, struct scan_dir *d)
{
    auto_free char *buf = xrealloc_array(NULL, BATCH_BYTES, 1);
    bool first = true;
    while (!atomic_load_explicit(&w->s->cancel, memory_order_relaxed)) {
        long n = syscall(SYS_getdents64, d->fd, buf, BATCH_BYTES);
        if (n < 0 && errno != ENOENT) {
            int code = -errno;
            d->path[d->path_len] = '\0';
            scan_report(w, d->path, code, "read directory");
        }
        if (n <= 0)
            break;
        if (!first && atomic_load_explicit(&w->s->idle, memory_order_relaxed) > 0)
            share_batch(w, d, buf, (size_t)n);
        else
            do_batch(w, d, buf, (size_t)n);
        first = false;
    }
}

static void report_open(struct scan_worker *w, const char *rel, int code)
{
    /* The root of another file system is no error, nor is being gone meanwhile. */
    bool gone = code == -ENOENT || code == -ENOTDIR;
    if (code == -EXDEV || (gone && !w->s->strict))
        return;
    auto_free char *path = xasprintf("%s/%s", w->s->root, rel);
    scan_report(w, path, code, "open");
}

static void read_dir(struct scan_worker *w, const char *rel, unsigned depth)
{
    int fd = scan_open(w->s, rel);
    if (fd < 0) {
        report_open(w, rel, fd);
        return;
    }
    struct scan_dir *d = scan_dir_new(w->s, fd, rel, depth);
    read_names(w, d);
    leave(w, d);
}

void scan_do(struct scan_worker *w, struct scan_work *work)
{
    if (work->dir != NULL) {
        do_batch(w, work->dir, work->data, work->batch_len);
        leave(w, work->dir);
    } else {
        read_dir(w, work->data, work->depth);
    }
    free(work);
}
