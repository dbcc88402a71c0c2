/* SPDX-License-Identifier: Apache-2.0 */
/* The authoritative xattr, its mirrors and its sidecar on a file. Rules: doc/design/s3.md. */
#include "s3/meta_impl.h"

#include "base/buf.h"
#include "base/crash.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "base/uuid.h"
#include "s3/beneath.h"
#include "s3/class.h"
#include "s3/xa.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* ext4 gives a file about 4 KiB of xattrs in all, and the engine's record, ACLs and labels need
 * room too: what S3 clients store takes at most MIRROR_BUDGET bytes there, BLOB_MAX of it as the
 * authoritative xattr; a longer one goes to a sidecar. */
#define BLOB_MAX      1400
#define MIRROR_BUDGET 3000
#define XATTR_COST    20 /* bytes of overhead of an xattr in ext4, rounded up */
#define SIDECAR_MAX   (256 * 1024)
#define LOAD_TRIES    16
#define QUICK_MAX     4096 /* bytes of a text, of a list of names, of a value; else the slow way */

/* Takes the value that a POSIX tool (or NooBaa) gave xattr name into m; NULL: it was removed. */
static void adopt(struct meta *m, const char *name, const char *value)
{
    struct meta_set *set = NULL;
    const char *key = NULL;
    if (meta_begins(name, META_TAG_PREFIX)) {
        set = &m->tags;
        key = name + strlen(META_TAG_PREFIX);
    } else if (strcmp(name, META_TYPE_XATTR) == 0) {
        meta_set_head(m, META_CONTENT_TYPE, value);
    } else if (strcmp(name, META_ENCODING_XATTR) == 0) {
        if (value == NULL || strcmp(value, "aws-chunked") != 0)
            meta_set_head(m, META_CONTENT_ENCODING, value);
    } else if (strcmp(name, META_CLASS_XATTR) == 0) {
        if (value == NULL || class_known(value))
            (void)snprintf(m->storage_class, sizeof m->storage_class, "%s",
                           value != NULL ? value : "STANDARD");
    } else if (!meta_is_state(name)) {
        set = &m->user;
        key = name + strlen("user.");
    }
    if (set == NULL || *key == '\0')
        return;
    if (value != NULL)
        meta_put(set, key, value);
    else
        meta_drop(set, key);
}

/* Is value of the mirror name what firn wrote there, or would have written in a moment? */
static bool is_ours(const struct meta_blob *b, const struct meta_set *want, const char *name,
                    const char *value)
{
    const char *ours = meta_get(&b->unmirrored, name) == NULL ? meta_get(want, name) : NULL;
    const char *old = b->meta.pending ? meta_get(&b->old, name) : NULL;
    return (ours != NULL && strcmp(ours, value) == 0) || (old != NULL && strcmp(old, value) == 0);
}

/* Takes the mirrors that somebody removed out of b->meta. Returns whether there was one. */
static bool merge_removed(struct meta_blob *b, const struct meta_set *want,
                          const struct meta_set *found)
{
    bool differed = false;
    for (size_t i = 0; i < want->n && !b->meta.pending; i++) {
        const char *name = want->v[i].key;
        if (meta_get(found, name) != NULL || meta_get(&b->unmirrored, name) != NULL)
            continue;
        differed = true;
        adopt(&b->meta, name, NULL);
    }
    return differed;
}

/* Brings what the mirrors say (found) into b->meta; returns whether anything differed from what
 * firn wrote. */
static bool merge(struct meta_blob *b, const struct meta_set *found)
{
    struct meta_set want = {0};
    meta_mirrors(&b->meta, &want);
    bool differed = false;
    for (size_t i = 0; i < found->n; i++) {
        const char *name = found->v[i].key;
        const char *value = found->v[i].value;
        if (is_ours(b, &want, name, value) || (meta_is_state(name) && !meta_is_mirror(name)))
            continue;
        differed = true;
        adopt(&b->meta, name, value);
    }
    if (merge_removed(b, &want, found))
        differed = true;
    meta_set_fini(&want);
    return differed;
}

/* A file that firn has not written: the mirrors are all there is. */
static void adopt_foreign(int fd, const struct meta_set *found, struct meta *m)
{
    for (size_t i = 0; i < found->n; i++)
        adopt(m, found->v[i].key, found->v[i].value);
    const char *md5 = meta_get(found, META_MD5_XATTR);
    struct stat st;
    if (md5 == NULL || strlen(md5) >= sizeof m->md5 ||
        strspn(md5, "0123456789abcdef-") != strlen(md5) || fstat(fd, &st) != 0)
        return;
    (void)snprintf(m->md5, sizeof m->md5, "%s", md5);
    m->data_size = st.st_size;
    m->data_mtime_ns = st.st_mtim.tv_sec * NS_PER_SEC + st.st_mtim.tv_nsec;
}

/* Reads the authoritative text into b; with a sidecar, its contents. *aside: not all of it was in
 * the text. */
static int read_blob(int bucket_fd, const char *text, struct meta_blob *b, bool *aside,
                     struct err *err)
{
    int rc = meta_blob_parse(text, b, err);
    *aside = rc < 0 || b->sidecar[0] != '\0';
    if (rc < 0 || b->sidecar[0] == '\0')
        return rc;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", META_SIDECAR_DIR, b->sidecar);
    auto_close int fd = beneath_open(bucket_fd, path, O_RDONLY, 0);
    if (fd < 0)
        return err_sys(err, -fd, "open sidecar %s", path);
    char proc[BENEATH_PROC_MAX];
    beneath_proc(fd, proc);
    auto_free char *more = NULL;
    rc = io_read_file(AT_FDCWD, proc, SIDECAR_MAX, &more, NULL, err);
    if (rc < 0)
        return rc;
    meta_blob_fini(b);
    meta_blob_init(b);
    return meta_blob_parse(more, b, err);
}

/* What a view of a file's attributes rests on. */
struct view {
    bool ours;  /* the authoritative text was there and made sense */
    bool aside; /* a sidecar was read, or something was damaged */
};

/* One attempt at a consistent view. Returns 0, 1 when the file was changed meanwhile, or negative.
 */
static int load_once(const struct xa *x, int bucket_fd, struct meta_blob *b, struct view *v,
                     struct meta_set *found, struct err *err)
{
    *v = (struct view){0};
    auto_free char *text = NULL;
    int rc = xa_get(x, META_XATTR, &text, NULL);
    if (rc < 0)
        return err_sys(err, -rc, "read %s", META_XATTR);
    v->ours = rc == 0;
    rc = xa_user_all(x, found);
    if (rc < 0)
        return err_sys(err, -rc, "read the attributes");
    if (!v->ours)
        return 0;
    rc = read_blob(bucket_fd, text, b, &v->aside, err);
    bool odd = rc < 0;
    if (rc == 0)
        odd = merge(b, found);
    if (!odd)
        return 0;
    auto_free char *again = NULL;
    if (xa_get(x, META_XATTR, &again, NULL) != 0 || strcmp(again, text) != 0)
        return 1;
    if (rc < 0)
        v->ours = false; /* damaged by somebody: the mirrors still tell most */
    return 0;
}

static int load_blob(const struct xa *x, int bucket_fd, struct meta_blob *b, struct meta_set *found,
                     bool *aside, struct err *err)
{
    struct view v = {0};
    int rc = 1;
    for (int i = 0; i < LOAD_TRIES && rc == 1; i++) {
        meta_blob_fini(b);
        meta_blob_init(b);
        rc = load_once(x, bucket_fd, b, &v, found, err);
    }
    if (rc != 0)
        return rc < 0 ? rc : err_set(err, -EBUSY, "the attributes change all the time");
    if (!v.ours) {
        meta_blob_fini(b);
        meta_blob_init(b);
        adopt_foreign(x->fd, found, &b->meta);
    }
    *aside = v.aside;
    return 0;
}

/* Whether every mirror is on the file as b says, and no other that counts: then b is what load_blob
 * would find. */
static bool is_undisturbed(const struct xa *x, const struct meta_blob *b)
{
    char names[QUICK_MAX];
    char value[QUICK_MAX];
    ssize_t len = xa_read_names(x, names, sizeof names);
    size_t seen = 0;
    for (const char *name = names; len >= 0 && name < names + len; name += strlen(name) + 1) {
        if (!meta_begins(name, "user.") || strcmp(name, META_XATTR) == 0)
            continue;
        const char *want = meta_mirror_value(&b->meta, name);
        if (meta_is_state(name) && !meta_is_mirror(name)) {
            seen += want != NULL; /* what it says counts for nothing */
            continue;
        }
        ssize_t n = want != NULL ? xa_read(x, name, value, sizeof value) : -ENODATA;
        if (n < 0 || (size_t)n != strlen(want) || memcmp(value, want, (size_t)n) != 0 ||
            meta_get(&b->unmirrored, name) != NULL)
            return false;
        seen++;
    }
    return len >= 0 && seen + b->unmirrored.n == meta_mirror_count(&b->meta);
}

/* Nearly every file: all is in one text, and nobody touched a mirror. Returns whether b (empty
 * before) has it; else b is to be emptied, and nothing is known. */
static bool load_quick(const struct xa *x, struct meta_blob *b)
{
    char text[QUICK_MAX];
    ssize_t n = xa_read(x, META_XATTR, text, sizeof text - 1);
    if (n < 0)
        return false;
    text[n] = '\0';
    return meta_blob_parse(text, b, NULL) == 0 && b->sidecar[0] == '\0' && !b->meta.pending &&
           is_undisturbed(x, b);
}

static int load_slow(const struct xa *x, int bucket_fd, struct meta_blob *b, bool *aside,
                     struct err *err)
{
    struct meta_set found = {0};
    int rc = load_blob(x, bucket_fd, b, &found, aside, err);
    meta_set_fini(&found);
    return rc;
}

static int load(const struct xa *x, int bucket_fd, struct meta *m, bool *aside, struct err *err)
{
    auto_blob struct meta_blob b;
    meta_blob_init(&b);
    int rc = 0;
    if (load_quick(x, &b))
        *aside = false;
    else
        rc = load_slow(x, bucket_fd, &b, aside, err);
    if (rc < 0)
        return rc;
    meta_fini(m);
    *m = b.meta;
    b.meta = (struct meta){0};
    return 0;
}

int meta_load(int fd, int bucket_fd, struct meta *m, struct err *err)
{
    struct xa x;
    xa_init(&x, fd);
    bool aside = false;
    return load(&x, bucket_fd, m, &aside, err);
}

int meta_load_own(int fd, int bucket_fd, struct meta *m, bool *own, struct err *err)
{
    struct xa x;
    xa_init_open(&x, fd);
    bool aside = true;
    int rc = load(&x, bucket_fd, m, &aside, err);
    *own = !aside;
    return rc;
}

/* Chooses which of mirrors fit beside a text of blob_bytes; the others go to b->unmirrored. */
static void choose(struct meta_blob *b, const struct meta_set *mirrors, size_t blob_bytes)
{
    meta_set_fini(&b->unmirrored);
    size_t used = strlen(META_XATTR) + XATTR_COST + (blob_bytes > BLOB_MAX ? 128 : blob_bytes);
    for (size_t i = 0; i < mirrors->n; i++) {
        size_t cost = strlen(mirrors->v[i].key) + strlen(mirrors->v[i].value) + XATTR_COST;
        if (used + cost > MIRROR_BUDGET)
            meta_put(&b->unmirrored, mirrors->v[i].key, "");
        else
            used += cost;
    }
}

static int write_sidecar(int bucket_fd, const struct buf *text, char *name, struct err *err)
{
    if (mkdirat(bucket_fd, META_SIDECAR_DIR, 0770) != 0 && errno != EEXIST)
        return err_sys(err, errno, "make %s", META_SIDECAR_DIR);
    auto_close int dir = beneath_open(bucket_fd, META_SIDECAR_DIR, O_RDONLY | O_DIRECTORY, 0);
    if (dir < 0)
        return err_sys(err, -dir, "open %s", META_SIDECAR_DIR);
    struct uuid u = uuid_new();
    for (size_t i = 0; i < UUID_BYTES; i++)
        (void)snprintf(name + 2 * i, 3, "%02x", u.b[i]);
    int rc = io_replace_durable(dir, name, text->data, text->len, 0660, err);
    if (rc < 0)
        return err_wrap(err, rc, "sidecar %s/%s", META_SIDECAR_DIR, name);
    (void)fsync(bucket_fd); /* the directory itself, when it is new */
    return 0;
}

static bool is_no_room(int rc)
{
    return rc == -ENOSPC || rc == -E2BIG || rc == -ERANGE || rc == -EDQUOT;
}

/* Writes text as the authoritative xattr, by a sidecar when it is too long or there is no room. The
 * old sidecar is the caller's to drop. */
static int write_text(const struct xa *x, int bucket_fd, const struct buf *text, struct err *err)
{
    int rc = -E2BIG;
    if (text->len <= BLOB_MAX)
        rc = xa_set(x, META_XATTR, text->data, text->len);
    if (!is_no_room(rc))
        return rc == 0 ? 0 : err_sys(err, -rc, "write %s", META_XATTR);
    struct stat st;
    if (fstat(x->fd, &st) != 0)
        return err_sys(err, errno, "look at the file");
    struct meta_blob ref = {.sidecar_ino = st.st_ino};
    rc = write_sidecar(bucket_fd, text, ref.sidecar, err);
    if (rc < 0)
        return rc;
    auto_buf struct buf short_text = {0};
    meta_blob_format(&ref, &short_text);
    rc = xa_set(x, META_XATTR, short_text.data, short_text.len);
    if (rc < 0) {
        meta_sidecar_drop(bucket_fd, ref.sidecar);
        return err_sys(err, is_no_room(rc) ? ENOSPC : -rc, "write %s", META_XATTR);
    }
    return 0;
}

static int write_blob(const struct xa *x, int bucket_fd, struct meta_blob *b, struct err *err)
{
    b->sidecar[0] = '\0';
    auto_buf struct buf text = {0};
    meta_blob_format(b, &text);
    return write_text(x, bucket_fd, &text, err);
}

/* Writes the mirrors that b has, where found differs; what does not fit goes to b->unmirrored.
 * Returns whether that list changed. */
static int write_mirrors(const struct xa *x, struct meta_blob *b, const struct meta_set *mirrors,
                         const struct meta_set *found, bool *changed, struct err *err)
{
    for (size_t i = 0; i < mirrors->n; i++) {
        const char *name = mirrors->v[i].key;
        const char *value = mirrors->v[i].value;
        if (meta_get(&b->unmirrored, name) != NULL)
            continue;
        const char *there = meta_get(found, name);
        if (there != NULL && strcmp(there, value) == 0)
            continue;
        int rc = xa_set(x, name, value, strlen(value));
        if (is_no_room(rc)) {
            (void)xa_remove(x, name);
            meta_put(&b->unmirrored, name, "");
            *changed = true;
        } else if (rc < 0) {
            return err_sys(err, -rc, "write %s", name);
        }
    }
    return 0;
}

/* Finds the mirrors of b; text (empty) gets what b says without b->unmirrored. */
static void plan(struct meta_blob *b, struct meta_set *mirrors, struct buf *text)
{
    meta_mirrors(&b->meta, mirrors);
    meta_blob_format(b, text);
    choose(b, mirrors, text->len);
}

int meta_store_new(int fd, int bucket_fd, const struct meta *m, struct err *err)
{
    struct xa x;
    xa_init(&x, fd);
    struct meta_blob b = {.meta = *m}; /* borrows m's pointers: only unmirrored is freed below */
    struct meta_set mirrors = {0};
    struct meta_set none = {0};
    auto_buf struct buf text = {0};
    plan(&b, &mirrors, &text);
    bool changed = false;
    int rc = write_mirrors(&x, &b, &mirrors, &none, &changed, err);
    if (rc == 0)
        rc = b.unmirrored.n > 0 ? write_blob(&x, bucket_fd, &b, err)
                                : write_text(&x, bucket_fd, &text, err);
    meta_set_fini(&mirrors);
    meta_set_fini(&b.unmirrored);
    return rc;
}

/* Removes the mirrors of tags that found shows and the new set does not have. */
static int drop_mirrors(const struct xa *x, const struct meta_blob *b,
                        const struct meta_set *mirrors, const struct meta_set *found,
                        struct err *err)
{
    for (size_t i = 0; i < found->n; i++) {
        const char *name = found->v[i].key;
        if (!meta_begins(name, META_TAG_PREFIX))
            continue;
        if (meta_get(mirrors, name) != NULL && meta_get(&b->unmirrored, name) == NULL)
            continue;
        int rc = xa_remove(x, name);
        if (rc < 0)
            return err_sys(err, -rc, "remove %s", name);
    }
    return 0;
}

static int replace_tags(const struct xa *x, int bucket_fd, struct meta_blob *b,
                        const struct meta_set *found, struct err *err)
{
    struct meta_set mirrors = {0};
    b->meta.pending = true;
    meta_set_fini(&b->old);
    for (size_t i = 0; i < found->n; i++)
        if (meta_begins(found->v[i].key, META_TAG_PREFIX))
            meta_put(&b->old, found->v[i].key, found->v[i].value);
    auto_buf struct buf text = {0};
    plan(b, &mirrors, &text);
    int rc = write_blob(x, bucket_fd, b, err);
    if (rc == 0) {
        crash_point(CRASH_tag_blob);
        bool changed = false;
        char sidecar[64];
        meta_sidecar_of(x->fd, sidecar);
        rc = drop_mirrors(x, b, &mirrors, found, err);
        if (rc == 0)
            rc = write_mirrors(x, b, &mirrors, found, &changed, err);
        if (rc == 0) {
            b->meta.pending = false;
            meta_set_fini(&b->old);
            rc = write_blob(x, bucket_fd, b, err);
        }
        if (rc == 0)
            meta_sidecar_drop(bucket_fd, sidecar);
    }
    meta_set_fini(&mirrors);
    return rc;
}

int meta_replace_tags(int fd, int bucket_fd, struct meta *m, const struct meta_set *tags,
                      struct err *err)
{
    struct xa x;
    xa_init(&x, fd);
    auto_blob struct meta_blob b;
    meta_blob_init(&b);
    struct meta_set found = {0};
    char before[64];
    meta_sidecar_of(fd, before);
    bool aside = false;
    int rc = load_blob(&x, bucket_fd, &b, &found, &aside, err);
    if (rc == 0) {
        meta_set_copy(&b.meta.tags, tags);
        rc = replace_tags(&x, bucket_fd, &b, &found, err);
    }
    meta_set_fini(&found);
    if (rc < 0)
        return rc;
    crash_point(CRASH_tag_mirrors);
    meta_sidecar_drop(bucket_fd, before);
    meta_fini(m);
    *m = b.meta;
    b.meta = (struct meta){0};
    return 0;
}

int meta_clear(int fd, int bucket_fd, struct err *err)
{
    struct xa x;
    xa_init(&x, fd);
    char sidecar[64];
    meta_sidecar_of(fd, sidecar);
    struct meta_set found = {0};
    int rc = xa_remove(&x, META_DIR_XATTR);
    if (rc == 0)
        rc = xa_remove(&x, META_XATTR);
    if (rc == 0)
        rc = xa_user_all(&x, &found);
    for (size_t i = 0; i < found.n && rc == 0; i++)
        rc = xa_remove(&x, found.v[i].key);
    meta_set_fini(&found);
    if (rc < 0)
        return err_sys(err, -rc, "clear the attributes of the directory");
    meta_sidecar_drop(bucket_fd, sidecar);
    return 0;
}

void meta_sidecar_of(int fd, char *out)
{
    out[0] = '\0';
    struct xa x;
    xa_init(&x, fd);
    auto_free char *text = NULL;
    if (xa_get(&x, META_XATTR, &text, NULL) != 0 || strstr(text, "\"ref\"") == NULL)
        return;
    auto_blob struct meta_blob b;
    meta_blob_init(&b);
    struct stat st;
    if (meta_blob_parse(text, &b, NULL) < 0 || fstat(fd, &st) != 0 || b.sidecar_ino != st.st_ino)
        return;
    (void)snprintf(out, sizeof b.sidecar, "%s", b.sidecar);
}

void meta_sidecar_drop(int bucket_fd, const char *name)
{
    if (name[0] == '\0')
        return;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", META_SIDECAR_DIR, name);
    auto_close int dir = beneath_open(bucket_fd, META_SIDECAR_DIR, O_PATH | O_DIRECTORY, 0);
    if (dir >= 0)
        (void)unlinkat(dir, name, 0);
}
