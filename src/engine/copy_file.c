/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine_impl.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "codec/encode.h"
#include "engine/ahead.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define AHEAD_MIN       (8u << 20) /* bytes of a range that is worth a thread */
#define XATTR_LIST_MAX  65536      /* what listxattr(2) may give (XATTR_LIST_MAX of the kernel) */
#define XATTR_VALUE_MAX 65536

/* What travels with the data: names, values, all owned. */
struct xattrs {
    struct tier_xattr *v;
    size_t n;
};

struct reader {
    int fd;
    struct digest *strong; /* XXH3-128 for the catalogue */
    struct digest *named;  /* ltfs.hash.*, or NULL */
    void *buf;
    size_t cap;
    struct bufpool *pool; /* where buf is from */
    struct task *task;
    struct mcopy *copy;
    int64_t shares; /* copies that are made of the file: each moves its part of the progress */
};

void mfile_fail(struct mfile *f, const char *code, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    free(f->message);
    f->message = xstrdup(text);
    f->code = code;
    f->over = true;
}

void mfile_fail_locked(struct batch *b, struct mfile *f, const char *code, const char *text)
{
    lock_scope(&b->lock);
    if (!f->over)
        mfile_fail(f, code, "%s", text);
}

/* The file is not what it was: try it again later, or say so. */
static void changed(struct batch *b, struct mfile *f)
{
    lock_scope(&b->lock);
    if (f->over)
        return;
    mfile_fail(f, CODE_CHANGED, "changed while it was copied, %d times; it stays resident",
               f->attempt + 1);
    f->retry = f->attempt < b->e->conf->migrate.retries;
}

static void xattrs_fini(struct xattrs *x)
{
    for (size_t i = 0; i < x->n; i++) {
        free((char *)(uintptr_t)x->v[i].key);
        free((void *)(uintptr_t)x->v[i].value);
    }
    free(x->v);
}

static void xattr_add(struct xattrs *x, const char *key, const void *value, size_t len)
{
    void *copy = xzalloc(len + 1);
    memcpy(copy, value, len);
    x->v = xrealloc_array(x->v, x->n + 1, sizeof(*x->v));
    x->v[x->n++] = (struct tier_xattr){.key = xstrdup(key), .value = copy, .len = len};
}

#define XATTR_S3_META "user.firn.s.meta" /* what S3 clients gave with an object */

/* User's attributes go along under their names without "user."; names that only firn and LTFS may
 * write stay behind, or a user could forge them. */
static bool travels(const char *name)
{
    if (strcmp(name, XATTR_S3_META) == 0)
        return true;
    return strncmp(name, "user.", 5) == 0 && name[5] != '\0' &&
           strncmp(name, "user.firn.", 10) != 0 && strncmp(name, "user.ltfs.", 10) != 0;
}

static void read_xattrs(int fd, struct xattrs *x)
{
    char few[1024]; /* nearly all files have less, and large buffers cost more than the rest */
    auto_free char *many = NULL;
    auto_free char *value = NULL;
    char *names = few;
    ssize_t n = flistxattr(fd, few, sizeof(few));
    if (n < 0 && errno == ERANGE) {
        many = xzalloc(XATTR_LIST_MAX);
        names = many;
        n = flistxattr(fd, names, XATTR_LIST_MAX);
    }
    for (char *p = names; n > 0 && p < names + n; p += strlen(p) + 1) {
        if (!travels(p))
            continue;
        if (value == NULL)
            value = xzalloc(XATTR_VALUE_MAX);
        ssize_t len = fgetxattr(fd, p, value, XATTR_VALUE_MAX);
        if (len >= 0)
            xattr_add(x, p + 5, value, (size_t)len);
    }
}

static void digest_both(struct reader *r, const void *p, size_t n)
{
    digest_update(r->strong, p, n);
    if (r->named != NULL)
        digest_update(r->named, p, n);
}

static void digest_hole(struct reader *r, uint64_t n)
{
    static const uint8_t zeros[65536];
    while (n > 0) {
        size_t part = n < sizeof(zeros) ? (size_t)n : sizeof(zeros);
        digest_both(r, zeros, part);
        n -= part;
    }
}

static void moved(struct reader *r, uint64_t n)
{
    int64_t part = (int64_t)n / r->shares;
    r->copy->moved += part;
    (void)atomic_fetch_add(&r->task->moved, part);
}

void copy_unmove(struct task *t, struct mcopy *c)
{
    (void)atomic_fetch_sub(&t->moved, c->moved);
    c->moved = 0;
}

static void see_piece(void *ctx, const void *p, size_t n)
{
    digest_both(ctx, p, n);
}

/* copy_range with a, a thread that reads ahead, which is ended here. */
static int copy_ahead(struct reader *r, struct tier *t, struct ahead *a, uint64_t off, uint64_t end,
                      struct err *err)
{
    int rc = 0;
    while (rc == 0 && off < end) {
        const void *p = NULL;
        size_t n = 0;
        rc = ahead_next(a, &p, &n, err);
        if (rc < 0 && rc != -ESTALE)
            rc = COPY_FILE_FAILED;
        if (rc == 0 && atomic_load(&r->task->cancelled))
            rc = COPY_CANCELLED;
        if (rc != 0)
            break;
        rc = tier_put_write(t, off, p, n, err);
        rc = rc == TIER_FULL ? COPY_FULL : rc;
        off += n;
        if (rc == 0)
            moved(r, n);
    }
    ahead_end(a);
    return rc;
}

/* Copies the bytes from off to end. Returns 0, -ESTALE when the file is shorter than that, a
 * negated errno of the file as COPY_FILE_FAILED with err, COPY_CANCELLED, or what the tier says. */
static int copy_range(struct reader *r, struct tier *t, uint64_t off, uint64_t end, struct err *err)
{
    struct ahead *a = NULL;
    if (end - off >= AHEAD_MIN)
        a = ahead_start(r->fd, off, end, r->pool, see_piece, r);
    if (a != NULL)
        return copy_ahead(r, t, a, off, end, err);
    while (off < end) {
        size_t n = end - off < r->cap ? (size_t)(end - off) : r->cap;
        if (atomic_load(&r->task->cancelled))
            return COPY_CANCELLED;
        ssize_t got = io_pread_full(r->fd, r->buf, n, (off_t)off);
        if (got < 0) {
            (void)err_sys(err, (int)-got, "reading at byte %llu", (unsigned long long)off);
            return COPY_FILE_FAILED;
        }
        if ((size_t)got < n)
            return -ESTALE;
        digest_both(r, r->buf, n);
        int rc = tier_put_write(t, off, r->buf, n, err);
        if (rc != 0)
            return rc == TIER_FULL ? COPY_FULL : rc;
        off += n;
        moved(r, n);
    }
    return 0;
}

/* Copies all data, passing over holes. */
static int copy_data(struct reader *r, struct tier *t, uint64_t size, struct err *err)
{
    uint64_t off = 0;
    while (off < size) {
        off_t data = lseek(r->fd, (off_t)off, SEEK_DATA);
        if (data < 0 && errno != ENXIO)
            data = (off_t)off; /* a file system without SEEK_DATA has no holes to tell */
        if (data < 0 || (uint64_t)data > size)
            data = (off_t)size;
        digest_hole(r, (uint64_t)data - off);
        moved(r, (uint64_t)data - off);
        off = (uint64_t)data;
        if (off >= size)
            break;
        off_t hole = lseek(r->fd, data, SEEK_HOLE);
        uint64_t end = hole < 0 || (uint64_t)hole > size ? size : (uint64_t)hole;
        int rc = copy_range(r, t, off, end, err);
        if (rc != 0)
            return rc;
        off = end;
    }
    return 0;
}

/* The digest of the first copy is that of all: a file that gives another one has changed. */
static bool same_digest(struct batch *b, struct mfile *f, const uint8_t *value)
{
    lock_scope(&b->lock);
    if (!f->digested) {
        memcpy(f->digest, value, sizeof(f->digest));
        f->digested = true;
    }
    return memcmp(f->digest, value, sizeof(f->digest)) == 0;
}

/* Ends the put with the digests as attributes. */
static int end_put(struct tier *t, struct batch *b, struct mfile *f, struct reader *r,
                   struct mcopy *c, struct err *err)
{
    uint8_t value[DIGEST_MAX];
    char hex[ENCODE_HEX_SIZE(DIGEST_MAX)];
    char key[48];
    struct tier_xattr x = {.key = key, .value = hex};
    (void)digest_final(r->strong, value);
    if (file_snapshot_unchanged(r->fd, &f->snap, err) != 0 || !same_digest(b, f, value)) {
        tier_put_abort(t);
        changed(b, f);
        return COPY_FILE_FAILED;
    }
    if (r->named != NULL) {
        size_t n = digest_final(r->named, value);
        encode_hex(value, n, hex);
        (void)snprintf(key, sizeof(key), "ltfs.hash.%ssum",
                       digest_name(digest_algorithm(r->named)));
        x.len = strlen(hex);
    }
    int rc = tier_put_end(t, &x, r->named != NULL ? 1 : 0, &c->loc, err);
    return rc == TIER_FULL ? COPY_FULL : rc;
}

static int put_file(struct tier *t, struct batch *b, struct mfile *f, struct reader *r,
                    struct mcopy *c, struct err *err)
{
    struct xattrs x = {0};
    struct stat st = {0};
    char fs[UUID_TEXT];
    read_xattrs(r->fd, &x);
    (void)fstat(r->fd, &st);
    uuid_format(&f->id.fs, fs);
    if ((tier_caps(t) & TIER_CAN_SHOW) != 0)
        xattr_add(&x, COPY_XATTR_FS, fs, strlen(fs));
    struct tier_object o = {.id = f->archive,
                            .fs = f->fs->conf->name,
                            .path = f->path,
                            .size = f->snap.size,
                            .mtime_ns = f->snap.mtime_ns,
                            .xattrs = x.v,
                            .nxattrs = x.n,
                            .atime_ns = st.st_atim.tv_sec * NS_PER_SEC + st.st_atim.tv_nsec,
                            .uid = st.st_uid,
                            .gid = st.st_gid,
                            .mode = st.st_mode};
    int rc = tier_put_begin(t, &o, err);
    xattrs_fini(&x);
    if (rc != 0)
        return rc == TIER_FULL ? COPY_FULL : rc;
    rc = copy_data(r, t, f->snap.size, err);
    if (rc == -ESTALE) {
        tier_put_abort(t);
        changed(b, f);
        return COPY_FILE_FAILED;
    }
    if (rc != 0) {
        tier_put_abort(t);
        if (rc == COPY_FILE_FAILED)
            mfile_fail_locked(b, f, CODE_FAILED, err->text);
        return rc;
    }
    return end_put(t, b, f, r, c, err);
}

static int64_t copies_of(const struct batch *b, const struct mfile *f)
{
    int64_t n = 0;
    for (size_t p = 0; p < b->task->npools; p++)
        n += f->copies[p].needed ? 1 : 0;
    return n > 0 ? n : 1;
}

int copy_file(struct tier *t, struct batch *b, struct mfile *f, struct mcopy *c, struct err *err)
{
    enum digest_alg alg = DIGEST_CRC32;
    auto_close int fd = fs_open_id(f->fs->fs, &f->id, O_RDONLY | O_NOATIME | O_NONBLOCK, err);
    if (fd < 0) {
        mfile_fail_locked(b, f, fd == -ESTALE ? CODE_ABSENT : CODE_FAILED,
                          fd == -ESTALE ? "file not found: it was deleted" : err->text);
        return COPY_FILE_FAILED;
    }
    bool hashed = b->hashed && digest_parse(b->e->conf->migrate.filehash, &alg) == 0;
    auto_digest struct digest *strong = digest_new(DIGEST_XXH3_128);
    auto_digest struct digest *named = hashed ? digest_new(alg) : NULL;
    struct reader r = {.fd = fd,
                       .strong = strong,
                       .named = named,
                       .buf = bufpool_get(b->e->buffers),
                       .cap = bufpool_size(b->e->buffers),
                       .pool = b->e->buffers,
                       .task = b->task,
                       .copy = c,
                       .shares = copies_of(b, f)};
    int rc = put_file(t, b, f, &r, c, err);
    bufpool_put(b->e->buffers, r.buf);
    return rc;
}

int copy_catalogue(struct batch *b, size_t pool, const size_t *files, size_t n,
                   const struct volume *v, const char *tier, struct err *err)
{
    auto_free struct catalog_archive *a = xzalloc(n * sizeof(*a));
    auto_free struct catalog_copy *c = xzalloc(n * sizeof(*c));
    for (size_t i = 0; i < n; i++) {
        const struct mfile *f = &b->files[files[i]];
        const struct mcopy *m = &f->copies[pool];
        a[i] = (struct catalog_archive){.archive = f->archive,
                                        .fs = f->id.fs,
                                        .ino = f->id.ino,
                                        .gen = f->id.gen,
                                        .handle_len = f->id.handle_len,
                                        .size = f->snap.size,
                                        .mtime_ns = f->snap.mtime_ns,
                                        .path = f->path,
                                        .digest_alg = DIGEST_XXH3_128,
                                        .digest_len = sizeof(f->digest)};
        memcpy(a[i].handle, f->id.handle, f->id.handle_len);
        memcpy(a[i].digest, f->digest, sizeof(f->digest));
        c[i] = (struct catalog_copy){.archive = f->archive,
                                     .copy_no = m->copy_no,
                                     .volume = v->row.id,
                                     .path = m->loc.key,
                                     .partition = 'a' + (int)m->loc.partition,
                                     .start_block = m->loc.block,
                                     .byte_offset = m->loc.byteoffset,
                                     .length = f->snap.size};
        (void)snprintf(c[i].tier, sizeof(c[i].tier), "%s", tier);
    }
    return catalog_archive_add(b->e->cat, a, n, c, n, err);
}
