/* SPDX-License-Identifier: Apache-2.0 */
/* Writing an object: an unnamed file, its data and attributes, and at last its name. */
#include "s3/ops_impl.h"

#include "base/crash.h"
#include "base/io.h"
#include "base/timefmt.h"
#include "codec/crc.h"
#include "s3/changes.h"
#include "s3/xa.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define FOLDER_BODY   ".folder"
#define COMMIT_TRIES  64 /* a parent may vanish (emptied by a delete) or a name appear meanwhile */
#define RESERVE_BYTES (1 << 20) /* bodies from this size on reserve their blocks first */

void store_init(struct store *s)
{
    *s = (struct store){.fd = -1};
    meta_init(&s->meta);
}

static void temp_name(char *out, size_t cap)
{
    uint64_t r[2] = {0};
    if (getrandom(r, sizeof r, 0) != (ssize_t)sizeof r)
        r[0] = (uint64_t)time_mono_ns();
    (void)snprintf(out, cap, "%016llx%016llx", (unsigned long long)r[0], (unsigned long long)r[1]);
}

/* The directory for names that are not objects yet. */
static int open_temp_dir(int dir)
{
    int fd = beneath_open(dir, TEMP_DIR, O_PATH | O_DIRECTORY, 0);
    if (fd != -ENOENT)
        return fd;
    if (mkdirat(dir, TEMP_DIR, 0770) != 0 && errno != EEXIST)
        return -errno;
    return beneath_open(dir, TEMP_DIR, O_PATH | O_DIRECTORY, 0);
}

void store_fini(struct store *s, int dir)
{
    if (s->temp[0] != '\0') {
        auto_close int tmp = open_temp_dir(dir);
        if (tmp >= 0)
            (void)unlinkat(tmp, s->temp, 0);
    }
    if (s->fd >= 0)
        (void)close(s->fd);
    meta_fini(&s->meta);
    *s = (struct store){.fd = -1};
}

static int begin_named(int dir, struct store *s)
{
    auto_close int tmp = open_temp_dir(dir);
    if (tmp < 0)
        return tmp;
    temp_name(s->temp, sizeof s->temp);
    int fd = openat(tmp, s->temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, OBJECT_MODE);
    if (fd >= 0)
        return fd;
    s->temp[0] = '\0';
    return -errno;
}

int store_begin(int dir, int64_t size, struct store *s, struct err *err)
{
    int fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, OBJECT_MODE);
    int rc = fd < 0 ? -errno : fd;
    if (rc == -EOPNOTSUPP || rc == -EISDIR || rc == -EINVAL)
        rc = begin_named(dir, s);
    if (rc < 0)
        return err_sys(err, -rc, "make a file for the object");
    s->fd = rc;
    if (size >= RESERVE_BYTES && fallocate(s->fd, FALLOC_FL_KEEP_SIZE, 0, size) != 0 &&
        (errno == ENOSPC || errno == EDQUOT))
        return err_sys(err, errno, "reserve %lld bytes for the object", (long long)size);
    return 0;
}

bool store_body(struct s3_call *c, struct store *s, int64_t max)
{
    struct s3_req *req = c->req;
    if (req->content_length < 0) {
        (void)s3_reply_error(req, S3_ERR_MISSING_CONTENT_LENGTH, NULL);
        return false;
    }
    s3_body_want(req, true, req->account->md5_etag);
    size_t cap = 0;
    char *buf = s3_io_buf(req, &cap);
    struct err err = {0};
    for (;;) {
        ssize_t n = s3_body_read(req, buf, cap);
        if (n < 0) {
            (void)s3_reply_body_error(req);
            return false;
        }
        if (n == 0)
            break;
        if (s->size + n > max) {
            (void)s3_reply_error(req, S3_ERR_ENTITY_TOO_LARGE, NULL);
            return false;
        }
        int rc = io_write_full(s->fd, buf, (size_t)n);
        if (rc < 0) {
            fault_reply(c, err_sys(&err, -rc, "write the object"), &err);
            return false;
        }
        s->size += n;
        if (s->want_crc64)
            s->crc64 = crc64nvme_update(s->crc64, buf, (size_t)n);
    }
    struct s3_checksums sums = {0};
    if (s3_body_finish(req, &sums) != 0) {
        (void)s3_reply_body_error(req);
        return false;
    }
    s->meta.sum_alg = sums.alg;
    s->meta.sum_composite = false;
    (void)snprintf(s->meta.sum, sizeof s->meta.sum, "%s", sums.value);
    if (req->account->md5_etag)
        (void)snprintf(s->meta.md5, sizeof s->meta.md5, "%s", sums.md5_hex);
    return true;
}

/* By hand, when the kernel cannot copy between these two files. */
static int copy_slow(struct s3_call *c, struct store *s, int from, int64_t off, int64_t len)
{
    size_t cap = 0;
    char *buf = s3_io_buf(c->req, &cap);
    while (len > 0) {
        size_t want = (uint64_t)len < cap ? (size_t)len : cap;
        ssize_t n = io_pread_full(from, buf, want, off);
        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        int rc = io_pwrite_full(s->fd, buf, (size_t)n, s->size);
        if (rc < 0)
            return rc;
        off += n;
        len -= n;
        s->size += n;
    }
    return 0;
}

int store_copy(struct s3_call *c, struct store *s, int from, int64_t off, int64_t len,
               struct err *err)
{
    int rc = 0;
    while (len > 0) {
        loff_t in = off;
        loff_t out = s->size;
        ssize_t n = copy_file_range(from, &in, s->fd, &out, (size_t)len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            rc = n < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO)
                     ? -errno
                     : copy_slow(c, s, from, off, len);
            break;
        }
        off += n;
        len -= n;
        s->size += n;
    }
    return rc < 0 ? err_sys(err, -rc, "copy data") : 0;
}

int store_seal(int dir, struct store *s, struct err *err)
{
    /* The kernel's own stamp may be as coarse as a clock tick: a deleted object's inode that comes
     * back within one would get the old ETag. */
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    struct timespec times[2] = {now, now};
    if (futimens(s->fd, times) != 0)
        return err_sys(err, errno, "set the object's time");
    struct stat st;
    if (fstat(s->fd, &st) != 0)
        return err_sys(err, errno, "look at the object");
    s->meta.data_size = st.st_size;
    s->meta.data_mtime_ns = st.st_mtim.tv_sec * NS_PER_SEC + st.st_mtim.tv_nsec;
    return meta_store_new(s->fd, dir, &s->meta, err);
}

/* Links fd as leaf of to_dir: 0 or -errno. By the descriptor alone where the kernel lets its opener
 * do so (Linux 6.10); older ones want a capability that this program does not have and say ENOENT,
 * so that it goes by /proc, which costs a walk. */
static int link_fd(int fd, int to_dir, const char *leaf)
{
    static bool by_proc;
    if (!__atomic_load_n(&by_proc, __ATOMIC_RELAXED)) {
        if (linkat(fd, "", to_dir, leaf, AT_EMPTY_PATH) == 0)
            return 0;
        if (errno != ENOENT) /* which may be the directory's, too */
            return -errno;
    }
    char proc[BENEATH_PROC_MAX];
    beneath_proc(fd, proc);
    if (linkat(AT_FDCWD, proc, to_dir, leaf, AT_SYMLINK_FOLLOW) != 0)
        return -errno;
    __atomic_store_n(&by_proc, true, __ATOMIC_RELAXED);
    return 0;
}

/* Gives the file its name in an empty place: 0, or -EEXIST, -ENOENT (the directory is gone). */
static int link_new(int dir, struct store *s, int to_dir, const char *leaf)
{
    int rc = link_fd(s->fd, to_dir, leaf);
    if (rc < 0)
        return rc;
    if (s->temp[0] != '\0') {
        auto_close int tmp = open_temp_dir(dir);
        if (tmp >= 0 && unlinkat(tmp, s->temp, 0) == 0)
            s->temp[0] = '\0';
    }
    return 0;
}

/* Gives the file its name in place of what is there, atomically. */
static int rename_over(int dir, struct store *s, int to_dir, const char *leaf)
{
    auto_close int tmp = open_temp_dir(dir);
    if (tmp < 0)
        return tmp;
    if (s->temp[0] == '\0') {
        temp_name(s->temp, sizeof s->temp);
        int rc = link_fd(s->fd, tmp, s->temp);
        if (rc < 0) {
            s->temp[0] = '\0';
            return rc;
        }
    }
    if (renameat(tmp, s->temp, to_dir, leaf) != 0)
        return -errno;
    s->temp[0] = '\0';
    return 0;
}

int store_place(int dir, struct store *s, int to_dir, const char *leaf)
{
    int rc = link_new(dir, s, to_dir, leaf);
    return rc == -EEXIST ? rename_over(dir, s, to_dir, leaf) : rc;
}

/* Removes a directory that is in the way, if it holds nothing and is no object. */
static int clear_empty_dir(int to_dir, const char *leaf)
{
    auto_close int fd = beneath_open(to_dir, leaf, O_PATH | O_DIRECTORY, 0);
    if (fd < 0)
        return -EEXIST;
    struct xa x;
    xa_init(&x, fd);
    if (xa_has(&x, META_DIR_XATTR) || unlinkat(to_dir, leaf, AT_REMOVEDIR) != 0)
        return -EISDIR;
    return 0;
}

static int replace(int dir, struct store *s, int to_dir, const char *leaf)
{
    char sidecar[64] = "";
    auto_close int old = beneath_open(to_dir, leaf, O_PATH, 0);
    if (old >= 0)
        meta_sidecar_of(old, sidecar);
    int rc = rename_over(dir, s, to_dir, leaf);
    if (rc == 0)
        meta_sidecar_drop(dir, sidecar);
    if (rc != -EISDIR)
        return rc;
    rc = clear_empty_dir(to_dir, leaf);
    return rc == 0 ? -EEXIST : rc; /* the caller tries again */
}

/* Whether the object that has the name now (if any) allows the write; *exists is set. */
static enum s3_error allowed(int dir, int to_dir, const char *leaf, bool as_dir,
                             const struct cond_write *w, bool *exists)
{
    if (w->match == NULL && w->none_match == NULL)
        return S3_ERR_NONE;
    auto_object struct object o;
    object_init(&o);
    *exists = object_open_at(to_dir, leaf, as_dir, dir, OBJECT_NAME, &o, NULL) == 0;
    return cond_write_check(w, *exists ? o.etag : NULL);
}

/* One attempt under the key's lock. Returns 0; -ENOENT or -EEXIST to try again; another negative
 * code; *e is set when a condition does not hold. */
static int name_once(struct s3_call *c, int dir, struct store *s, const char *key,
                     const struct beneath_place *place, const struct cond_write *w,
                     enum s3_error *e)
{
    lock_scope(keylock_of(&c->ops->locks, c->bucket->name, key));
    bool exists = false;
    *e = allowed(dir, place->dirfd, place->leaf, false, w, &exists);
    if (*e != S3_ERR_NONE)
        return 0;
    int rc = exists ? -EEXIST : link_new(dir, s, place->dirfd, place->leaf);
    if (rc != -EEXIST)
        return rc;
    if (w->none_match == NULL || exists)
        return replace(dir, s, place->dirfd, place->leaf);
    /* Somebody outside this process was faster, or a directory is in the way: look again. */
    rc = clear_empty_dir(place->dirfd, place->leaf);
    return rc == -EISDIR ? rc : -EEXIST;
}

static void name_fault(struct s3_call *c, int rc, const struct err *err)
{
    if (rc == -ENOTDIR)
        (void)s3_reply_error(c->req, S3_ERR_OBJECT_PARENT_IS_FILE, NULL);
    else if (rc == -ENOENT || rc == -EEXIST)
        (void)s3_reply_error(c->req, S3_ERR_OPERATION_ABORTED, NULL);
    else
        fault_reply(c, rc, err);
}

static void condition_fault(struct s3_call *c, enum s3_error e, const struct cond_write *w)
{
    if (e == S3_ERR_PRECONDITION_FAILED)
        cond_fail(c, w->match != NULL ? "If-Match" : "If-None-Match");
    else
        (void)s3_reply_error(c->req, e, NULL);
}

/* Gives s its name; on success *place is where. */
static bool name(struct s3_call *c, struct store *s, const char *key, const struct cond_write *w,
                 struct beneath_place *place)
{
    struct err err = {0};
    int rc = -ENOENT;
    for (int i = 0; i < COMMIT_TRIES && (rc == -ENOENT || rc == -EEXIST); i++) {
        beneath_place_fini(place);
        rc = beneath_find(c->dir, key, true, place);
        if (rc < 0)
            continue;
        enum s3_error e = S3_ERR_NONE;
        rc = name_once(c, c->dir, s, key, place, w, &e);
        if (rc == 0 && e != S3_ERR_NONE) {
            condition_fault(c, e, w);
            return false;
        }
    }
    if (rc == 0)
        return true;
    name_fault(c, err_sys(&err, -rc, "name the object %s", key), &err);
    return false;
}

static bool finish(struct s3_call *c, struct store *s, const struct beneath_place *place,
                   char *etag)
{
    struct err err = {0};
    int rc = dirsync_wait(c->ops->sync, place->dirfd);
    struct stat st;
    if (rc == 0 && fstat(s->fd, &st) != 0)
        rc = -errno;
    if (rc < 0) {
        fault_reply(c, err_sys(&err, -rc, "make the object's name durable"), &err);
        return false;
    }
    object_etag(&s->meta, &st, etag);
    return true;
}

/* Data and attributes before the name: on disk, or (under an ordered journal) the data on disk and
 * the attributes in the journal, whose commit with the name commits them. */
static int settle(struct s3_call *c, struct store *s)
{
    const unsigned all =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    if (dirsync_ordered(c->ops->sync, s->fd))
        return sync_file_range(s->fd, 0, 0, all) == 0 ? 0 : -errno;
    return fsync(s->fd) == 0 ? 0 : -errno;
}

bool store_commit(struct s3_call *c, struct store *s, const char *key, const struct cond_write *w,
                  enum store_points points, char *etag)
{
    bool put = points == STORE_PUT;
    struct err err = {0};
    crash_point(put ? CRASH_put_written : CRASH_multipart_assembled);
    int rc = settle(c, s);
    if (rc < 0) {
        fault_reply(c, err_sys(&err, -rc, "make the object durable"), &err);
        return false;
    }
    if (put)
        crash_point(CRASH_put_synced);
    auto_place struct beneath_place place = {.dirfd = -1};
    if (!name(c, s, key, w, &place))
        return false;
    crash_point(put ? CRASH_put_named : CRASH_multipart_named);
    return finish(c, s, &place, etag);
}

void store_tell_changed(struct s3_call *c)
{
    size_t n = strlen(c->req->key);
    if (n > 0 && c->req->key[n - 1] != '/') /* directories have no data to carry */
        s3_changes_add(c->req->site->changes, c->bucket->path, c->req->key);
}

void store_tell(struct s3_call *c, const struct meta *m)
{
    if (m->tags.n > 0 || m->user.n > 0 || strcmp(m->storage_class, "STANDARD") != 0)
        store_tell_changed(c);
}

/* The attributes and body of a directory object, under its lock. */
static int dress_dir(struct s3_call *c, struct store *s, int folder, struct err *err)
{
    struct xa x;
    xa_init(&x, folder);
    int rc = 0;
    if (s->size > 0) {
        rc = store_place(c->dir, s, folder, FOLDER_BODY);
    } else if (unlinkat(folder, FOLDER_BODY, 0) != 0 && errno != ENOENT) {
        rc = -errno;
    }
    if (rc < 0)
        return err_sys(err, -rc, "write the directory object's body");
    if (xa_has(&x, META_DIR_XATTR))
        rc = meta_clear(folder, c->dir, err);
    if (rc == 0)
        rc = meta_store_new(folder, c->dir, &s->meta, err);
    if (rc < 0)
        return rc;
    char size[24];
    (void)snprintf(size, sizeof size, "%lld", (long long)s->size);
    rc = xa_set(&x, META_DIR_XATTR, size, strlen(size));
    return rc < 0 ? err_sys(err, -rc, "write %s", META_DIR_XATTR) : 0;
}

/* Opens the directory of key "a/b/", making it. */
static int open_folder(struct s3_call *c, const char *key)
{
    auto_place struct beneath_place place = {.dirfd = -1};
    char inside[KEY_MAX + 8];
    (void)snprintf(inside, sizeof inside, "%sx", key);
    int rc = beneath_find(c->dir, inside, true, &place);
    return rc < 0 ? rc : take_fd(place.dirfd);
}

/* Returns 0, -ENOENT to try again, another negative code; *e when a condition does not hold. */
static int commit_dir_once(struct s3_call *c, struct store *s, const char *key,
                           const struct cond_write *w, enum s3_error *e, char *etag,
                           struct err *err)
{
    lock_scope(keylock_of(&c->ops->locks, c->bucket->name, key));
    auto_close int folder = open_folder(c, key);
    if (folder < 0)
        return err_sys(err, -folder, "make directory %s", key);
    bool exists = false;
    *e = allowed(c->dir, c->dir, key, true, w, &exists);
    if (*e != S3_ERR_NONE)
        return 0;
    int rc = dress_dir(c, s, folder, err);
    if (rc == 0 && fsync(folder) != 0)
        rc = err_sys(err, errno, "make directory %s durable", key);
    struct stat st;
    if (rc == 0 && fstat(s->size > 0 ? s->fd : folder, &st) == 0)
        object_etag(&s->meta, &st, etag);
    return rc;
}

bool store_commit_dir(struct s3_call *c, struct store *s, const char *key,
                      const struct cond_write *w, char *etag)
{
    struct err err = {0};
    if (s->size > 0 && fsync(s->fd) != 0) {
        fault_reply(c, err_sys(&err, errno, "make the object durable"), &err);
        return false;
    }
    int rc = -ENOENT;
    enum s3_error e = S3_ERR_NONE;
    for (int i = 0; i < COMMIT_TRIES && rc == -ENOENT; i++)
        rc = commit_dir_once(c, s, key, w, &e, etag, &err);
    if (rc < 0)
        name_fault(c, rc, &err);
    else if (e != S3_ERR_NONE)
        condition_fault(c, e, w);
    return rc == 0 && e == S3_ERR_NONE;
}
