/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "tier/posix_impl.h"
#include "tier/ranges.h"
#include "tier/tier.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define ID_XATTR     "user.firn.archive"
#define LAYOUT_XATTR "firn.lustre.layout"

struct posix_tier {
    char *root;
    int fd; /* of root */
    bool v1;
    /* the open put */
    int put_fd; /* of the temporary file, or -1 */
    char path[POSIX_PATH_MAX];
    struct uuid id;
    uint64_t size;
    int64_t atime_ns, mtime_ns;
    uint32_t uid, gid, mode;
    void *layout; /* NULL: none */
    size_t layout_len;
};

static void put_over(struct posix_tier *p)
{
    if (p->put_fd >= 0)
        (void)close(p->put_fd);
    p->put_fd = -1;
    free(p->layout);
    p->layout = NULL;
}

/* Opens the directory of path below the root; make: and makes what is missing. Returns the
 * descriptor, or -errno. */
static int open_parent(const struct posix_tier *p, const char *path, bool make)
{
    auto_close int dir = openat(p->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (const char *slash = strchr(path, '/'); slash != NULL && dir >= 0;
         path = slash + 1, slash = strchr(path, '/')) {
        auto_free char *name = xstrndup(path, (size_t)(slash - path));
        if (make && mkdirat(dir, name, 0700) == 0 && io_fsync_dir(dir) != 0)
            return -errno;
        int next = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int failed = errno;
        (void)close(take_fd(dir));
        errno = failed;
        dir = next;
    }
    return dir >= 0 ? take_fd(dir) : -errno;
}

static const char *last(const char *path)
{
    return strrchr(path, '/') + 1;
}

static void keep_layout(struct posix_tier *p, const struct tier_xattr *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(x[i].key, LAYOUT_XATTR) != 0 || x[i].len == 0)
            continue;
        free(p->layout);
        p->layout = xzalloc(x[i].len);
        p->layout_len = x[i].len;
        memcpy(p->layout, x[i].value, x[i].len);
    }
}

static int posix_put_begin(void *self, const struct tier_object *o, struct err *err)
{
    struct posix_tier *p = self;
    char temp[POSIX_PATH_MAX + 8];
    if (posix_path(o->label, p->v1, p->path) != 0)
        return err_set(err, -EINVAL,
                       "%s: \"%s\" names no FID, and this archive knows files by theirs", p->root,
                       o->label != NULL ? o->label : "");
    auto_close int dir = open_parent(p, p->path, true);
    if (dir < 0)
        return err_sys(err, -dir, "%s: directory of %s", p->root, p->path);
    (void)snprintf(temp, sizeof(temp), "%s_tmp", last(p->path));
    p->put_fd = openat(dir, temp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (p->put_fd < 0)
        return err_sys(err, errno, "%s/%s_tmp", p->root, p->path);
    p->id = o->id;
    p->size = o->size;
    p->atime_ns = o->atime_ns;
    p->mtime_ns = o->mtime_ns;
    p->uid = o->uid;
    p->gid = o->gid;
    p->mode = o->mode;
    keep_layout(p, o->xattrs, o->nxattrs);
    return 0;
}

static int posix_put_write(void *self, uint64_t off, const void *data, size_t n, struct err *err)
{
    struct posix_tier *p = self;
    int rc = tier_full_or(io_pwrite_full(p->put_fd, data, n, (off_t)off));
    return rc < 0 ? err_sys(err, -rc, "%s/%s_tmp", p->root, p->path) : rc;
}

static struct timespec timespec_of(int64_t ns)
{
    int64_t rest = ns % NS_PER_SEC;
    int64_t back = rest < 0; /* before 1970 */
    return (struct timespec){ns / NS_PER_SEC - back, rest + back * NS_PER_SEC};
}

/* Owner, mode and times as far as they are known and may be set; the id must be there. */
static int set_attributes(const struct posix_tier *p)
{
    char id[UUID_TEXT];
    uuid_format(&p->id, id);
    if (ftruncate(p->put_fd, (off_t)p->size) != 0 ||
        fsetxattr(p->put_fd, ID_XATTR, id, UUID_TEXT - 1, 0) != 0)
        return -errno;
    if (p->mode != 0 &&
        (fchown(p->put_fd, p->uid, p->gid) != 0 || fchmod(p->put_fd, p->mode & 07777) != 0) &&
        errno != EPERM)
        return -errno;
    const struct timespec times[2] = {timespec_of(p->atime_ns), timespec_of(p->mtime_ns)};
    return futimens(p->put_fd, times) == 0 && fsync(p->put_fd) == 0 ? 0 : -errno;
}

static int put_name(const struct posix_tier *p, int dir, struct err *err)
{
    char temp[POSIX_PATH_MAX + 8];
    char lov[POSIX_PATH_MAX + 8];
    (void)snprintf(temp, sizeof(temp), "%s_tmp", last(p->path));
    (void)snprintf(lov, sizeof(lov), "%s.lov", last(p->path));
    int rc =
        p->layout == NULL ? 0 : io_replace_durable(dir, lov, p->layout, p->layout_len, 0600, err);
    if (rc < 0)
        return rc;
    if (renameat(dir, temp, dir, last(p->path)) != 0)
        return err_sys(err, errno, "%s/%s", p->root, p->path);
    rc = io_fsync_dir(dir);
    return rc < 0 ? err_sys(err, -rc, "%s: directory of %s", p->root, p->path) : 0;
}

static int posix_put_end(void *self, const struct tier_xattr *more, size_t nmore,
                         struct tier_location *loc, struct err *err)
{
    struct posix_tier *p = self;
    keep_layout(p, more, nmore);
    int rc = set_attributes(p);
    if (rc < 0)
        return tier_full_or(err_sys(err, -rc, "%s/%s_tmp", p->root, p->path));
    auto_close int dir = open_parent(p, p->path, false);
    if (dir < 0)
        return err_sys(err, -dir, "%s: directory of %s", p->root, p->path);
    rc = tier_full_or(put_name(p, dir, err));
    if (rc != 0)
        return rc;
    put_over(p);
    loc->key = xstrdup(p->path);
    return 0;
}

/* Only the temporary file goes: what was archived before stays. */
static void posix_put_abort(void *self)
{
    struct posix_tier *p = self;
    char temp[POSIX_PATH_MAX + 8];
    auto_close int dir = open_parent(p, p->path, false);
    (void)snprintf(temp, sizeof(temp), "%s_tmp", last(p->path));
    if (dir >= 0)
        (void)unlinkat(dir, temp, 0);
    put_over(p);
}

static int posix_sync(void *self, struct err *err)
{
    (void)self, (void)err;
    return 0; /* every copy is durable when its put ends */
}

/* Opens the copy at loc in its directory. Returns 0, TIER_ABSENT or a negative code. */
static int open_copy(const struct posix_tier *p, const struct uuid *id,
                     const struct tier_location *loc, int *dir, int *fd, struct err *err)
{
    char text[UUID_TEXT] = "";
    struct uuid got;
    if (!posix_path_holds(loc->key))
        return TIER_ABSENT;
    *dir = open_parent(p, loc->key, false);
    if (*dir < 0)
        return *dir == -ENOENT ? TIER_ABSENT : err_sys(err, -*dir, "%s/%s", p->root, loc->key);
    *fd = openat(*dir, last(loc->key), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (*fd < 0)
        return errno == ENOENT ? TIER_ABSENT : err_sys(err, errno, "%s/%s", p->root, loc->key);
    ssize_t n = fgetxattr(*fd, ID_XATTR, text, sizeof(text) - 1);
    if (n < 0 && errno != ENODATA && errno != ENOTSUP)
        return err_sys(err, errno, "%s/%s", p->root, loc->key);
    bool another = n > 0 && (uuid_parse(text, &got) != 0 || memcmp(&got, id, sizeof(got)) != 0);
    return another ? TIER_ABSENT : 0;
}

static int posix_stat(void *self, const struct uuid *id, const struct tier_location *loc,
                      uint64_t *size, struct err *err)
{
    struct posix_tier *p = self;
    struct stat st;
    auto_close int dir = -1;
    auto_close int fd = -1;
    int rc = open_copy(p, id, loc, &dir, &fd, err);
    if (rc == 0 && fstat(fd, &st) != 0)
        return err_sys(err, errno, "%s/%s", p->root, loc->key);
    if (rc == 0)
        *size = (uint64_t)st.st_size;
    return rc;
}

static int posix_get(void *self, const struct uuid *id, const struct tier_location *loc, void *buf,
                     size_t cap, tier_sink_fn *sink, void *arg, struct err *err)
{
    struct posix_tier *p = self;
    struct stat st;
    auto_close int dir = -1;
    auto_close int fd = -1;
    auto_free char *name = xasprintf("%s/%s", p->root, loc->key);
    int rc = open_copy(p, id, loc, &dir, &fd, err);
    if (rc != 0)
        return rc;
    if (fstat(fd, &st) != 0)
        return err_sys(err, errno, "%s", name);
    return tier_send_file(fd, (uint64_t)st.st_size, name, buf, cap, sink, arg, err);
}

static int posix_remove(void *self, const struct uuid *id, const struct tier_location *loc,
                        struct err *err)
{
    struct posix_tier *p = self;
    char lov[POSIX_PATH_MAX + 8];
    auto_close int dir = -1;
    auto_close int fd = -1;
    int rc = open_copy(p, id, loc, &dir, &fd, err);
    if (rc != 0)
        return rc;
    (void)snprintf(lov, sizeof(lov), "%s.lov", last(loc->key));
    if (unlinkat(dir, last(loc->key), 0) != 0)
        return errno == ENOENT ? TIER_ABSENT : err_sys(err, errno, "%s/%s", p->root, loc->key);
    (void)unlinkat(dir, lov, 0);
    rc = io_fsync_dir(dir);
    return rc < 0 ? err_sys(err, -rc, "%s: directory of %s", p->root, loc->key) : 0;
}

static int posix_list(void *self, tier_list_fn *fn, void *arg, struct err *err)
{
    (void)fn, (void)arg;
    const struct posix_tier *p = self;
    return err_set(err, -ENOTSUP, "%s: this archive knows no names to list", p->root);
}

static void posix_free(void *self)
{
    struct posix_tier *p = self;
    put_over(p);
    if (p->fd >= 0)
        (void)close(p->fd);
    free(p->root);
    free(p);
}

static const struct tier_ops posix_ops = {
    .kind = "posix",
    .caps = TIER_CAN_GET | TIER_CAN_REMOVE,
    .put_begin = posix_put_begin,
    .put_write = posix_put_write,
    .put_end = posix_put_end,
    .put_abort = posix_put_abort,
    .sync = posix_sync,
    .stat = posix_stat,
    .get = posix_get,
    .remove = posix_remove,
    .list = posix_list,
    .free = posix_free,
};

int tier_posix_open(const char *root, const char *format, struct tier **out, struct err *err)
{
    bool v1 = strcmp(format, "v1") == 0;
    if (!v1 && strcmp(format, "v2") != 0)
        return err_set(err, -EINVAL, "archive format \"%s\" is neither v1 nor v2", format);
    auto_close int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, errno, "archive directory %s", root);
    /* Without it nothing tells a copy from the one that replaced it. Another who opens the archive
     * at this moment may have removed the trial. */
    if (fsetxattr(fd, ID_XATTR, "", 0, 0) != 0 ||
        (fremovexattr(fd, ID_XATTR) != 0 && errno != ENODATA))
        return err_sys(err, errno, "archive directory %s: user attributes", root);
    struct posix_tier *p = xzalloc(sizeof(*p));
    *p = (struct posix_tier){.root = xstrdup(root), .fd = take_fd(fd), .v1 = v1, .put_fd = -1};
    *out = tier_new(&posix_ops, p, root);
    return 0;
}
