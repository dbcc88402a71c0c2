/* SPDX-License-Identifier: Apache-2.0 */
#include "tier/tier.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "codec/encode.h"
#include "tier/ranges.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIDECAR_MAX (4UL << 20)

struct dir_tier {
    char *path;
    int fd;           /* the tier's directory */
    int put_fd;       /* the copy being written, or -1 */
    char put_key[48]; /* "ab/<uuid>" */
    cJSON *put_json;
    uint64_t put_size;
};

static void key_of(const struct uuid *id, char *key, size_t n)
{
    char text[UUID_TEXT];
    uuid_format(id, text);
    (void)snprintf(key, n, "%.2s/%s", text, text);
}

static void add_xattrs(cJSON *obj, const struct tier_xattr *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        auto_free char *text = malloc(ENCODE_BASE64_SIZE(x[i].len));
        if (text == NULL)
            abort();
        encode_base64(x[i].value, x[i].len, text);
        json_add_str(obj, x[i].key, text);
    }
}

static cJSON *sidecar_of(const struct tier_object *o)
{
    char id[UUID_TEXT];
    cJSON *j = cJSON_CreateObject();
    uuid_format(&o->id, id);
    json_add_str(j, "id", id);
    json_add_str(j, "fs", o->fs);
    json_add_str(j, "path", o->path);
    json_add_int(j, "size", (int64_t)o->size);
    json_add_int(j, "mtime_ns", o->mtime_ns);
    json_add_int(j, "atime_ns", o->atime_ns);
    json_add_int(j, "uid", o->uid);
    json_add_int(j, "gid", o->gid);
    json_add_int(j, "mode", o->mode);
    if (o->label != NULL)
        json_add_str(j, "label", o->label);
    add_xattrs(cJSON_AddObjectToObject(j, "xattrs"), o->xattrs, o->nxattrs);
    return j;
}

static int dir_put_begin(void *self, const struct tier_object *o, struct err *err)
{
    struct dir_tier *d = self;
    char temp[64];
    key_of(&o->id, d->put_key, sizeof(d->put_key));
    char sub[3] = {d->put_key[0], d->put_key[1], '\0'};
    if (mkdirat(d->fd, sub, 0700) != 0 && errno != EEXIST)
        return err_sys(err, errno, "%s/%s", d->path, sub);
    (void)snprintf(temp, sizeof(temp), "%s.part", d->put_key);
    d->put_fd = openat(d->fd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (d->put_fd < 0)
        return err_sys(err, errno, "%s/%s", d->path, temp);
    d->put_json = sidecar_of(o);
    d->put_size = o->size;
    return 0;
}

static int dir_put_write(void *self, uint64_t off, const void *data, size_t n, struct err *err)
{
    struct dir_tier *d = self;
    int rc = tier_full_or(io_pwrite_full(d->put_fd, data, n, (off_t)off));
    return rc < 0 ? err_sys(err, -rc, "%s/%s", d->path, d->put_key) : rc;
}

static void put_over(struct dir_tier *d)
{
    if (d->put_fd >= 0)
        (void)close(d->put_fd);
    d->put_fd = -1;
    cJSON_Delete(d->put_json);
    d->put_json = NULL;
}

static void dir_put_abort(void *self)
{
    struct dir_tier *d = self;
    char temp[64];
    put_over(d);
    (void)snprintf(temp, sizeof(temp), "%s.part", d->put_key);
    (void)unlinkat(d->fd, temp, 0);
}

/* The sidecar makes the copy exist, so it comes last and only after the data is durable. */
static int write_sidecar(struct dir_tier *d, struct err *err)
{
    char name[64];
    auto_free char *text = cJSON_Print(d->put_json);
    (void)snprintf(name, sizeof(name), "%s.json", d->put_key);
    /* io_replace_durable wants the name's own directory. */
    char sub[3] = {d->put_key[0], d->put_key[1], '\0'};
    auto_close int subfd = openat(d->fd, sub, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (subfd < 0)
        return err_sys(err, errno, "%s/%s", d->path, sub);
    return io_replace_durable(subfd, name + 3, text, strlen(text), 0600, err);
}

static int dir_put_end(void *self, const struct tier_xattr *more, size_t nmore,
                       struct tier_location *loc, struct err *err)
{
    struct dir_tier *d = self;
    char temp[64];
    (void)snprintf(temp, sizeof(temp), "%s.part", d->put_key);
    add_xattrs(cJSON_GetObjectItemCaseSensitive(d->put_json, "xattrs"), more, nmore);
    if (ftruncate(d->put_fd, (off_t)d->put_size) != 0 || fsync(d->put_fd) != 0 ||
        renameat(d->fd, temp, d->fd, d->put_key) != 0) {
        int rc = tier_full_or(-errno);
        return rc < 0 ? err_sys(err, -rc, "%s/%s", d->path, d->put_key) : rc;
    }
    int rc = tier_full_or(write_sidecar(d, err));
    if (rc != 0)
        return rc;
    put_over(d);
    loc->key = xstrdup(d->put_key);
    return 0;
}

static int dir_sync(void *self, struct err *err)
{
    struct dir_tier *d = self;
    return syncfs(d->fd) == 0 ? 0 : err_sys(err, errno, "%s", d->path);
}

/* Opens the copy and compares its length with the sidecar. */
static int open_copy(struct dir_tier *d, const struct uuid *id, int *fd, uint64_t *size,
                     struct err *err)
{
    char key[48];
    char name[64];
    auto_free char *text = NULL;
    struct stat st;
    key_of(id, key, sizeof(key));
    (void)snprintf(name, sizeof(name), "%s.json", key);
    int rc = io_read_file(d->fd, name, SIDECAR_MAX, &text, NULL, err);
    if (rc == -ENOENT)
        return TIER_ABSENT;
    if (rc < 0)
        return err_wrap(err, rc, "%s", d->path);
    auto_json cJSON *j = cJSON_Parse(text);
    int64_t want = json_int(j, "size", -1);
    auto_close int f = openat(d->fd, key, O_RDONLY | O_CLOEXEC);
    if (f < 0 || fstat(f, &st) != 0)
        return errno == ENOENT ? TIER_ABSENT : err_sys(err, errno, "%s/%s", d->path, key);
    if (st.st_size != want)
        return err_set(err, -EBADMSG, "%s/%s: %lld bytes, but its sidecar says %lld", d->path, key,
                       (long long)st.st_size, (long long)want);
    *size = (uint64_t)st.st_size;
    *fd = take_fd(f);
    return 0;
}

static int dir_stat(void *self, const struct uuid *id, const struct tier_location *loc,
                    uint64_t *size, struct err *err)
{
    auto_close int fd = -1;
    (void)loc;
    return open_copy(self, id, &fd, size, err);
}

static int dir_get(void *self, const struct uuid *id, const struct tier_location *loc, void *buf,
                   size_t cap, tier_sink_fn *sink, void *arg, struct err *err)
{
    struct dir_tier *d = self;
    auto_close int fd = -1;
    uint64_t size = 0;
    char key[48];
    (void)loc;
    key_of(id, key, sizeof(key));
    int rc = open_copy(d, id, &fd, &size, err);
    auto_free char *name = xasprintf("%s/%s", d->path, key);
    return rc != 0 ? rc : tier_send_file(fd, size, name, buf, cap, sink, arg, err);
}

static int dir_remove(void *self, const struct uuid *id, const struct tier_location *loc,
                      struct err *err)
{
    struct dir_tier *d = self;
    char key[48];
    char name[64];
    (void)loc;
    key_of(id, key, sizeof(key));
    (void)snprintf(name, sizeof(name), "%s.json", key);
    if (unlinkat(d->fd, name, 0) != 0)
        return errno == ENOENT ? TIER_ABSENT : err_sys(err, errno, "%s/%s", d->path, name);
    if (unlinkat(d->fd, key, 0) != 0 && errno != ENOENT)
        return err_sys(err, errno, "%s/%s", d->path, key);
    return 0;
}

/* "ltfs.hash.sha256sum" in the sidecar as "sha256:<hex>", or NULL. */
static char *hash_of(const cJSON *xattrs)
{
    static const char prefix[] = "ltfs.hash.";
    const cJSON *x = NULL;
    cJSON_ArrayForEach (x, xattrs) {
        uint8_t value[2 * DIGEST_MAX + 1];
        const char *b64 = cJSON_GetStringValue(x);
        if (strncmp(x->string, prefix, sizeof(prefix) - 1) != 0 || b64 == NULL)
            continue;
        int64_t n = encode_base64_decode(b64, value, sizeof(value) - 1);
        const char *alg = x->string + sizeof(prefix) - 1;
        size_t alg_len = strlen(alg);
        if (n > 0 && alg_len > 3)
            return xasprintf("%.*s:%.*s", (int)(alg_len - 3), alg, (int)n, (const char *)value);
    }
    return NULL;
}

/* The attributes of a sidecar, as long as the tree lives. *values is the storage of all. */
static int decode_xattrs(const cJSON *xattrs, struct tier_xattr **list, size_t *n, uint8_t **values,
                         struct err *err)
{
    const cJSON *x = NULL;
    size_t room = 0;
    size_t used = 0;
    cJSON_ArrayForEach (x, xattrs)
        room += cJSON_IsString(x) ? strlen(x->valuestring) + 1 : 0;
    *list = xzalloc((size_t)(cJSON_GetArraySize(xattrs) + 1) * sizeof(**list));
    *values = xzalloc(room + 1);
    cJSON_ArrayForEach (x, xattrs) {
        const char *b64 = cJSON_GetStringValue(x);
        int64_t len =
            b64 == NULL ? -EINVAL : encode_base64_decode(b64, *values + used, room - used);
        if (len < 0)
            return err_set(err, -EBADMSG, "attribute %s cannot be read", x->string);
        (*list)[(*n)++] = (struct tier_xattr){x->string, *values + used, (size_t)len};
        used += (size_t)len + 1;
    }
    return 0;
}

static int list_one(struct dir_tier *d, const char *key, tier_list_fn *fn, void *arg,
                    struct err *err)
{
    auto_free char *text = NULL;
    char name[320];
    struct tier_entry e = {0};
    (void)snprintf(name, sizeof(name), "%s.json", key);
    int rc = io_read_file(d->fd, name, SIDECAR_MAX, &text, NULL, err);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    auto_json cJSON *j = cJSON_Parse(text);
    if (uuid_parse(json_str(j, "id", ""), &e.id) != 0)
        return err_set(err, -EBADMSG, "%s/%s: no sidecar of a copy", d->path, name);
    const cJSON *xattrs = cJSON_GetObjectItemCaseSensitive(j, "xattrs");
    auto_tier_location struct tier_location loc = {.key = xstrdup(key)};
    auto_free char *hash = hash_of(xattrs);
    auto_free struct tier_xattr *list = NULL;
    auto_free uint8_t *values = NULL;
    rc = decode_xattrs(xattrs, &list, &e.nxattrs, &values, err);
    if (rc < 0)
        return err_wrap(err, rc, "%s/%s", d->path, name);
    e.xattrs = list;
    e.fs = json_str(j, "fs", "");
    e.path = json_str(j, "path", "");
    e.size = (uint64_t)json_int(j, "size", 0);
    e.mtime_ns = json_int(j, "mtime_ns", 0);
    e.atime_ns = json_int(j, "atime_ns", 0);
    e.uid = (uint32_t)json_int(j, "uid", 0);
    e.gid = (uint32_t)json_int(j, "gid", 0);
    e.mode = (uint32_t)json_int(j, "mode", 0);
    e.label = json_str(j, "label", NULL);
    e.location = &loc;
    e.hash = hash;
    return fn(arg, &e, err);
}

static int dir_show(void *self, const struct uuid *id, const struct tier_location *loc,
                    tier_list_fn *fn, void *arg, struct err *err)
{
    struct dir_tier *d = self;
    char key[48];
    char name[64];
    (void)loc;
    key_of(id, key, sizeof(key));
    (void)snprintf(name, sizeof(name), "%s.json", key);
    if (faccessat(d->fd, name, F_OK, 0) != 0)
        return errno == ENOENT ? TIER_ABSENT : err_sys(err, errno, "%s/%s", d->path, name);
    return list_one(d, key, fn, arg, err);
}

static int list_sub(struct dir_tier *d, const char *sub, tier_list_fn *fn, void *arg,
                    struct err *err)
{
    auto_close int fd = openat(d->fd, sub, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    auto_closedir DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL)
        return err_sys(err, errno, "%s/%s", d->path, sub);
    (void)take_fd(fd);
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        char key[300];
        size_t n = strlen(e->d_name);
        if (n < 6 || strcmp(e->d_name + n - 5, ".json") != 0)
            continue;
        (void)snprintf(key, sizeof(key), "%s/%.*s", sub, (int)(n - 5), e->d_name);
        int rc = list_one(d, key, fn, arg, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int dir_list(void *self, tier_list_fn *fn, void *arg, struct err *err)
{
    struct dir_tier *d = self;
    for (int i = 0; i < 256; i++) {
        char sub[3];
        (void)snprintf(sub, sizeof(sub), "%02x", (unsigned)i);
        if (faccessat(d->fd, sub, F_OK, 0) != 0)
            continue;
        int rc = list_sub(d, sub, fn, arg, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static void dir_free(void *self)
{
    struct dir_tier *d = self;
    put_over(d);
    if (d->fd >= 0)
        (void)close(d->fd);
    free(d->path);
    free(d);
}

static const struct tier_ops dir_ops = {
    .kind = "dir",
    .caps = TIER_CAN_GET | TIER_CAN_REMOVE | TIER_CAN_LIST | TIER_CAN_SHOW,
    .put_begin = dir_put_begin,
    .put_write = dir_put_write,
    .put_end = dir_put_end,
    .put_abort = dir_put_abort,
    .sync = dir_sync,
    .stat = dir_stat,
    .get = dir_get,
    .remove = dir_remove,
    .list = dir_list,
    .show = dir_show,
    .free = dir_free,
};

int tier_dir_open(const char *path, struct tier **out, struct err *err)
{
    int rc = io_mkdirs(path, 0700, err);
    if (rc < 0)
        return err_wrap(err, rc, "tier directory");
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, errno, "tier directory %s", path);
    struct dir_tier *d = xzalloc(sizeof(*d));
    d->path = xstrdup(path);
    d->fd = fd;
    d->put_fd = -1;
    *out = tier_new(&dir_ops, d, path);
    return 0;
}
