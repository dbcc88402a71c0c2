/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/walk.h"

#include "base/buf.h"
#include "base/mem.h"
#include "s3/beneath.h"
#include "s3/key.h"
#include "s3/meta.h"
#include "s3/xa.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DEPTH_MAX   (KEY_MAX / 2 + 2)
#define BATCH       1024 /* names held of a directory; of the deeper ones fewer */
#define BATCH_DEEP  64
#define DEPTH_DEEP  8
#define FOLDER_BODY ".folder"

/* A directory on the way. Names are held as they sort: a subdirectory with its "/". */
struct frame {
    int fd;
    DIR *dir;
    size_t path_len; /* of the walk's path up to here, with "/" */
    char **names;
    size_t n;
    size_t next;
    char *last;    /* the last name used: the next batch begins behind it */
    bool complete; /* the batch reaches the directory's end */
};

struct walk {
    int root;
    char *filter; /* what names in the first directory begin with */
    char *after;
    char *skip; /* keys that begin with it are passed over; NULL: none */
    struct buf path;
    struct buf leaf;
    struct frame frames[DEPTH_MAX];
    size_t depth;
    bool self; /* the first directory may be a key itself, and was not looked at yet */
};

static bool begins(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

static void drop_names(struct frame *f)
{
    for (size_t i = 0; i < f->n; i++)
        free(f->names[i]);
    f->n = 0;
    f->next = 0;
}

static void pop(struct walk *w)
{
    struct frame *f = &w->frames[--w->depth];
    drop_names(f);
    free(f->names);
    free(f->last);
    if (f->dir != NULL)
        (void)closedir(f->dir);
    *f = (struct frame){.fd = -1};
}

/* Enters directory fd (owned) whose path is in w->path. */
static int push(struct walk *w, int fd)
{
    DIR *dir = w->depth < DEPTH_MAX ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        int rc = w->depth < DEPTH_MAX ? -errno : 0; /* deeper than any key: nothing to find */
        (void)close(fd);
        return rc;
    }
    w->frames[w->depth++] = (struct frame){.fd = fd, .dir = dir, .path_len = w->path.len};
    return 0;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorts the batch and keeps the first max of it. */
static void cut(struct frame *f, size_t max)
{
    qsort(f->names, f->n, sizeof *f->names, by_bytes);
    while (f->n > max) {
        free(f->names[--f->n]);
        f->complete = false;
    }
}

/* Whether e is a file or a directory: 1 or 2, else 0. */
static int kind_of(const struct frame *f, const struct dirent *e)
{
    if (e->d_type == DT_REG)
        return 1;
    if (e->d_type == DT_DIR)
        return 2;
    struct stat st;
    if (e->d_type != DT_UNKNOWN || fstatat(f->fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return 0;
    if (S_ISREG(st.st_mode))
        return 1;
    return S_ISDIR(st.st_mode) ? 2 : 0;
}

/* Does the listing want name (as it sorts) of frame f? after_rest: what after says about names in
 * this directory, NULL when everything here is behind it. */
static bool wanted(const struct walk *w, const struct frame *f, const char *name,
                   const char *after_rest)
{
    if (f->last != NULL && strcmp(name, f->last) <= 0)
        return false;
    if (f == w->frames && !begins(name, w->filter))
        return false;
    if (after_rest == NULL || strcmp(name, after_rest) > 0)
        return true;
    return name[strlen(name) - 1] == '/' && begins(after_rest, name);
}

/* Adds the name of e to the batch of f, if the listing wants it and it is among the first max. */
static void consider(const struct walk *w, struct frame *f, const struct dirent *e,
                     const char *rest, size_t max)
{
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || key_name_reserved(e->d_name))
        return;
    int kind = kind_of(f, e);
    if (kind == 0)
        return;
    auto_free char *name = kind == 2 ? xasprintf("%s/", e->d_name) : xstrdup(e->d_name);
    if (!wanted(w, f, name, rest) || (!f->complete && strcmp(name, f->names[max - 1]) > 0))
        return;
    f->names[f->n++] = take_ptr(name);
    if (f->n == 2 * max)
        cut(f, max);
}

/* Reads the next batch of names of f. */
static int fill(struct walk *w, struct frame *f)
{
    size_t max = w->depth > DEPTH_DEEP ? BATCH_DEEP : BATCH;
    const char *rest = NULL;
    if (strncmp(w->after, w->path.data != NULL ? w->path.data : "", f->path_len) == 0)
        rest = w->after + f->path_len;
    drop_names(f);
    f->names = xrealloc_array(f->names, 2 * max, sizeof *f->names);
    f->complete = true;
    rewinddir(f->dir);
    errno = 0;
    for (struct dirent *e = readdir(f->dir); e != NULL; e = readdir(f->dir)) {
        consider(w, f, e, rest, max);
        errno = 0;
    }
    if (errno != 0)
        return -errno;
    cut(f, max);
    return 0;
}

static void set_path(struct walk *w, size_t len, const char *name)
{
    w->path.len = len;
    buf_adds(&w->path, name);
}

/* Is the directory name in f a directory object? */
static bool is_object_dir(int fd)
{
    struct xa x;
    xa_init(&x, fd);
    struct stat st;
    return xa_has(&x, META_DIR_XATTR) ||
           (fstatat(fd, FOLDER_BODY, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode));
}

static void report(struct walk *w, struct walk_entry *e, int dirfd, const char *leaf, bool is_dir)
{
    buf_reset(&w->leaf);
    buf_add(&w->leaf, leaf, strlen(leaf) - (is_dir ? 1 : 0));
    *e = (struct walk_entry){
        .key = w->path.data, .leaf = w->leaf.data, .dirfd = dirfd, .is_dir = is_dir};
}

/* Goes into the subdirectory whose path is in w->path. Returns 1 when it is a key itself (in *e), 0
 * to go on. */
static int enter(struct walk *w, struct frame *f, const char *name, struct walk_entry *e)
{
    int parent = f->fd;
    int fd = beneath_open(parent, name, O_RDONLY | O_DIRECTORY, 0);
    if (fd == -EACCES || fd == -ENOENT || fd == -ENOTDIR)
        return 0;
    if (fd < 0)
        return fd;
    bool key = strcmp(w->path.data, w->after) > 0 && is_object_dir(fd);
    auto_free char *leaf = xstrdup(name); /* the frame's names may be read anew */
    int rc = push(w, fd);
    if (rc < 0 || !key)
        return rc;
    report(w, e, parent, leaf, true);
    return 1;
}

/* One step in the deepest directory. Returns 1 with *e, 0 to go on, negative. */
static int step(struct walk *w, struct walk_entry *e)
{
    struct frame *f = &w->frames[w->depth - 1];
    if (f->next == f->n) {
        if (f->complete) {
            pop(w);
            return 0;
        }
        int rc = fill(w, f);
        if (rc < 0)
            return rc;
        if (f->n == 0)
            return 0; /* complete now */
    }
    char *name = f->names[f->next];
    f->names[f->next++] = NULL;
    free(f->last);
    f->last = name;
    set_path(w, f->path_len, name);
    if ((w->skip != NULL && begins(w->path.data, w->skip)) || w->path.len > KEY_MAX ||
        !key_utf8_valid(name, strlen(name)))
        return 0;
    if (name[strlen(name) - 1] == '/')
        return enter(w, f, name, e);
    report(w, e, f->fd, name, false);
    return 1;
}

/* The directory that prefix names ("a/b/" of "a/b/c") as the first frame. */
static int open_base(struct walk *w, const char *prefix)
{
    const char *slash = strrchr(prefix, '/');
    size_t n = slash != NULL ? (size_t)(slash - prefix) + 1 : 0;
    w->filter = xstrdup(prefix + n);
    buf_add(&w->path, prefix, n);
    if (n > 0 && key_check(prefix, n) != KEY_OK)
        return 0;
    if (!begins(w->after, w->path.data) && strcmp(w->path.data, w->after) < 0)
        return 0; /* everything here is before the marker */
    int fd = n > 0 ? beneath_open(w->root, w->path.data, O_RDONLY | O_DIRECTORY, 0)
                   : beneath_reopen_dir(w->root);
    if (fd == -ENOENT || fd == -ENOTDIR || fd == -ENAMETOOLONG)
        return 0;
    if (fd < 0)
        return fd;
    w->self = n > 0 && w->filter[0] == '\0';
    return push(w, fd);
}

int walk_open(int root, const char *prefix, const char *after, struct walk **out)
{
    auto_walk struct walk *w = xzalloc(sizeof *w);
    w->root = root;
    w->after = xstrdup(after);
    for (size_t i = 0; i < DEPTH_MAX; i++)
        w->frames[i].fd = -1;
    int rc = open_base(w, prefix);
    if (rc < 0)
        return rc;
    *out = take_ptr(w);
    return 0;
}

int walk_next(struct walk *w, struct walk_entry *e)
{
    if (w->self && w->depth > 0) {
        w->self = false;
        if (strcmp(w->path.data, w->after) > 0 && is_object_dir(w->frames[0].fd)) {
            buf_reset(&w->leaf);
            buf_adds(&w->leaf, w->path.data);
            w->leaf.data[--w->leaf.len] = '\0';
            *e = (struct walk_entry){
                .key = w->path.data, .leaf = w->leaf.data, .dirfd = w->root, .is_dir = true};
            return 1;
        }
    }
    while (w->depth > 0) {
        int rc = step(w, e);
        if (rc != 0)
            return rc;
    }
    return 0;
}

void walk_skip(struct walk *w, const char *prefix)
{
    char *copy = xstrdup(prefix);
    free(w->skip);
    w->skip = copy;
    while (w->depth > 0) {
        size_t len = w->frames[w->depth - 1].path_len;
        size_t n = strlen(copy);
        if (len < n || strncmp(w->path.data, copy, n) != 0)
            return;
        pop(w);
    }
}

void walk_close(struct walk *w)
{
    if (w == NULL)
        return;
    while (w->depth > 0)
        pop(w);
    buf_fini(&w->path);
    buf_fini(&w->leaf);
    free(w->filter);
    free(w->after);
    free(w->skip);
    free(w);
}
