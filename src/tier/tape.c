/* SPDX-License-Identifier: Apache-2.0 */
#include "tier/tier.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "tape/ltfs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct tape_tier {
    struct ltfs_volume *v;
    char *name;
    uint32_t blocksize;
    struct ltfs_writer *writer;
    uint64_t size, next; /* of the copy being written */
    char *put_path;
};

/* Turns LTFS outcomes of writing into the tier's. */
static int outcome(struct tape_tier *t, int rc, const char *what, struct err *err)
{
    if (rc <= 0)
        return rc;
    if (rc == LTFS_FULL)
        return TIER_FULL;
    if (rc == LTFS_ABSENT)
        return TIER_ABSENT;
    if (rc == LTFS_READ_ONLY)
        return err_set(err, -EROFS, "%s: %s: the volume is mounted read-only", t->name, what);
    return err_set(err, -EIO, "%s: %s: unexpected outcome %d", t->name, what, rc);
}

static bool has_archive(const struct ltfs_node *n, const struct uuid *id)
{
    const void *value = NULL;
    size_t len = 0;
    char text[UUID_TEXT];
    if (ltfs_get_xattr(n, TIER_XATTR_ARCHIVE, &value, &len) != 0 || len != UUID_TEXT - 1)
        return false;
    uuid_format(id, text);
    return memcmp(text, value, len) == 0;
}

/* The nth name to try for o; the caller frees. */
static char *candidate(const struct tier_object *o, int n)
{
    char id[UUID_TEXT];
    uuid_format(&o->id, id);
    if (n == 0)
        return xasprintf("/%s/%s", o->fs, o->path);
    if (n == 2)
        return xasprintf("/%s/.firn/%s", o->fs, id);
    const char *slash = strrchr(o->path, '/');
    const char *base = slash != NULL ? slash + 1 : o->path;
    size_t keep = strlen(base);
    if (keep + 11 > LTFS_NAME_MAX)
        keep = LTFS_NAME_MAX - 11;
    return xasprintf("/%s/%.*s%.*s.~%.8s~", o->fs, (int)(base - o->path), o->path, (int)keep, base,
                     id);
}

static int begin_at(struct tape_tier *t, const struct tier_object *o, const char *path,
                    struct err *err)
{
    char id[UUID_TEXT];
    size_t n = o->nxattrs + 3;
    auto_free struct ltfs_xattr *x = xzalloc(n * sizeof(*x));
    uuid_format(&o->id, id);
    x[0] = (struct ltfs_xattr){TIER_XATTR_ARCHIVE, id, strlen(id)};
    x[1] = (struct ltfs_xattr){TIER_XATTR_FS, o->fs, strlen(o->fs)};
    x[2] = (struct ltfs_xattr){TIER_XATTR_PATH, o->path, strlen(o->path)};
    for (size_t i = 0; i < o->nxattrs; i++)
        x[3 + i] = (struct ltfs_xattr){o->xattrs[i].key, o->xattrs[i].value, o->xattrs[i].len};
    struct ltfs_create_args args = {
        .times = {.modify = o->mtime_ns, .change = o->mtime_ns, .access = o->mtime_ns},
        .size_hint = o->size,
        .xattrs = x,
        .xattr_count = n,
    };
    return ltfs_writer_begin(t->v, path, &args, &t->writer, err);
}

static int tape_put_begin(void *self, const struct tier_object *o, struct err *err)
{
    struct tape_tier *t = self;
    for (int n = 0; n < 3; n++) {
        auto_free char *path = candidate(o, n);
        int rc = begin_at(t, o, path, err);
        if (rc == LTFS_EXISTS || (rc == -EINVAL && n < 2))
            continue;
        if (rc != 0)
            return outcome(t, rc, path, err);
        t->size = o->size;
        t->next = 0;
        t->put_path = take_ptr(path);
        return 0;
    }
    return err_set(err, -EEXIST, "%s: %s: this archive is on the volume already", t->name, o->path);
}

static int tape_put_write(void *self, uint64_t off, const void *data, size_t n, struct err *err)
{
    struct tape_tier *t = self;
    int rc = 0;
    if (off != t->next)
        rc = ltfs_writer_seek(t->writer, off, err);
    if (rc == 0)
        rc = ltfs_writer_append(t->writer, data, n, err);
    if (rc == 0)
        t->next = off + n;
    return outcome(t, rc, t->put_path, err);
}

static void put_over(struct tape_tier *t)
{
    t->writer = NULL;
    free(t->put_path);
    t->put_path = NULL;
}

static void tape_put_abort(void *self)
{
    struct tape_tier *t = self;
    if (t->writer != NULL)
        ltfs_writer_abort(t->writer);
    put_over(t);
}

/* The tier's location of a node's data. */
static void locate(const struct tape_tier *t, const struct ltfs_location *l, char *path,
                   struct tier_location *loc)
{
    loc->key = path;
    loc->partition = l->partition;
    loc->block = l->block;
    loc->byteoffset = l->byteoffset;
    loc->last_block = l->block;
    if (l->length > 0)
        loc->last_block += (l->byteoffset + l->length - 1) / t->blocksize;
}

static int tape_put_end(void *self, const struct tier_xattr *more, size_t nmore,
                        struct tier_location *loc, struct err *err)
{
    struct tape_tier *t = self;
    struct ltfs_location l;
    struct ltfs_node *node = NULL;
    int rc = 0;
    if (t->next < t->size) /* the file ends in a hole */
        rc = ltfs_writer_seek(t->writer, t->size, err);
    if (rc != 0)
        return outcome(t, rc, t->put_path, err);
    auto_free struct ltfs_xattr *x = xzalloc((nmore + 1) * sizeof(*x));
    for (size_t i = 0; i < nmore; i++)
        x[i] = (struct ltfs_xattr){more[i].key, more[i].value, more[i].len};
    rc = ltfs_writer_commit(t->writer, x, nmore, &l, &node, err);
    t->writer = NULL;
    if (rc != 0)
        return outcome(t, rc, t->put_path, err);
    locate(t, &l, xstrdup(t->put_path), loc);
    put_over(t);
    return 0;
}

static int tape_sync(void *self, struct err *err)
{
    struct tape_tier *t = self;
    return outcome(t, ltfs_sync(t->v, err), "index", err);
}

static int find(struct tape_tier *t, const struct uuid *id, const struct tier_location *loc,
                struct ltfs_node **node, struct err *err)
{
    int rc = ltfs_lookup(t->v, loc->key, node);
    if (rc < 0)
        return err_set(err, rc, "%s: %s: no path of LTFS", t->name, loc->key);
    if (rc != 0 || ltfs_is_dir(*node) || !has_archive(*node, id))
        return TIER_ABSENT;
    return 0;
}

static int tape_stat(void *self, const struct uuid *id, const struct tier_location *loc,
                     uint64_t *size, struct err *err)
{
    struct tape_tier *t = self;
    struct ltfs_node *node = NULL;
    struct ltfs_location l;
    int rc = find(t, id, loc, &node, err);
    if (rc != 0)
        return rc;
    *size = ltfs_node_length(node);
    ltfs_node_location(node, &l);
    if (*size > 0 && l.length > 0 && (l.block != loc->block || l.byteoffset != loc->byteoffset))
        return err_set(err, -EBADMSG, "%s: %s is at block %llu, but the catalogue says %llu",
                       t->name, loc->key, (unsigned long long)l.block,
                       (unsigned long long)loc->block);
    return 0;
}

static int tape_get(void *self, const struct uuid *id, const struct tier_location *loc, void *buf,
                    size_t cap, tier_sink_fn *sink, void *arg, struct err *err)
{
    struct tape_tier *t = self;
    struct ltfs_node *node = NULL;
    int rc = find(t, id, loc, &node, err);
    if (rc != 0)
        return rc;
    auto_ltfs_reader struct ltfs_reader *r = NULL;
    rc = ltfs_reader_open(t->v, node, &r, err);
    for (uint64_t off = 0; rc == 0;) {
        ssize_t n = ltfs_reader_read(r, buf, cap, err);
        if (n <= 0)
            return n == 0 ? 0 : err_wrap(err, (int)n, "%s", loc->key);
        rc = sink(arg, off, buf, (size_t)n, err);
        off += (uint64_t)n;
    }
    return outcome(t, rc, loc->key, err);
}

static int tape_remove(void *self, const struct uuid *id, const struct tier_location *loc,
                       struct err *err)
{
    struct tape_tier *t = self;
    struct ltfs_node *node = NULL;
    int rc = find(t, id, loc, &node, err);
    if (rc != 0)
        return rc;
    return outcome(t, ltfs_remove(t->v, node, err), loc->key, err);
}

static char *text_xattr(const struct ltfs_node *n, const char *key)
{
    const void *value = NULL;
    size_t len = 0;
    if (ltfs_get_xattr(n, key, &value, &len) != 0)
        return NULL;
    return xstrndup(value, len);
}

/* "ltfs.hash.sha256sum" as "sha256:<hex>". */
static int find_hash(void *arg, const struct ltfs_xattr *x)
{
    static const char prefix[] = "ltfs.hash.";
    char **out = arg;
    size_t n = strlen(x->key);
    if (strncmp(x->key, prefix, sizeof(prefix) - 1) != 0 || n < sizeof(prefix) + 3)
        return 0;
    *out = xasprintf("%.*s:%.*s", (int)(n - sizeof(prefix) + 1 - 3), x->key + sizeof(prefix) - 1,
                     (int)x->len, (const char *)x->value);
    return 1;
}

static int list_node(struct tape_tier *t, const struct ltfs_node *n, tier_list_fn *fn, void *arg,
                     struct err *err)
{
    auto_free char *id = text_xattr(n, TIER_XATTR_ARCHIVE);
    struct tier_entry e = {.size = ltfs_node_length(n)};
    if (id == NULL || uuid_parse(id, &e.id) != 0)
        return 0; /* not ours */
    auto_free char *fs = text_xattr(n, TIER_XATTR_FS);
    auto_free char *path = text_xattr(n, TIER_XATTR_PATH);
    auto_free char *hash = NULL;
    auto_tier_location struct tier_location loc = {0};
    struct ltfs_location l;
    struct ltfs_times times;
    (void)ltfs_each_xattr(n, find_hash, &hash);
    ltfs_node_location(n, &l);
    ltfs_node_times(n, &times);
    locate(t, &l, ltfs_node_path(n), &loc);
    e.fs = fs != NULL ? fs : "";
    e.path = path != NULL ? path : loc.key;
    e.mtime_ns = times.modify;
    e.location = &loc;
    e.hash = hash;
    return fn(arg, &e, err);
}

static int tape_list(void *self, tier_list_fn *fn, void *arg, struct err *err)
{
    struct tape_tier *t = self;
    for (struct ltfs_node *n = ltfs_next(t->v, NULL); n != NULL; n = ltfs_next(t->v, n)) {
        if (ltfs_is_dir(n) || ltfs_symlink_target(n) != NULL)
            continue;
        int rc = list_node(t, n, fn, arg, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static void tape_free(void *self)
{
    struct tape_tier *t = self;
    free(t->put_path);
    free(t->name);
    free(t);
}

static const struct tier_ops tape_ops = {
    .kind = "tape",
    .caps = TIER_CAN_GET | TIER_CAN_REMOVE | TIER_CAN_LIST | TIER_ORDERED,
    .put_begin = tape_put_begin,
    .put_write = tape_put_write,
    .put_end = tape_put_end,
    .put_abort = tape_put_abort,
    .sync = tape_sync,
    .stat = tape_stat,
    .get = tape_get,
    .remove = tape_remove,
    .list = tape_list,
    .free = tape_free,
};

struct tier *tier_tape_open(struct ltfs_volume *v, const char *name)
{
    struct ltfs_volume_info info = {0};
    struct tape_tier *t = xzalloc(sizeof(*t));
    t->v = v;
    t->name = xstrdup(name);
    t->blocksize = ltfs_volume_info(v, &info, NULL) == 0 && info.blocksize > 0 ? info.blocksize
                                                                               : LTFS_BLOCKSIZE;
    return tier_new(&tape_ops, t, name);
}
