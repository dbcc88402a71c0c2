/* SPDX-License-Identifier: Apache-2.0 */
/* Opening an object, what it says about itself, and whether its data is here. */
#include "s3/ops_impl.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "s3/class.h"
#include "s3/metacache.h"
#include "s3/xa.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER_BODY     ".folder"
#define LEASE_WAIT_NS   (10LL * NS_PER_SEC) /* a release holds its lease for a moment only */
#define LEASE_POLL_NS   2000000LL
#define RECALL_SLACK_MS 2000 /* beyond firnd's own wait, for its answer to arrive */
#define RECALL_RETRY_NS 200000000LL
#define META_SHOWN_MAX  2048

void object_init(struct object *o)
{
    *o = (struct object){.fd = -1, .data_fd = -1};
    meta_init(&o->meta);
}

void object_fini(struct object *o)
{
    if (o->data_fd >= 0 && o->data_fd != o->fd)
        (void)close(o->data_fd);
    if (o->fd >= 0)
        (void)close(o->fd);
    meta_fini(&o->meta);
    *o = (struct object){.fd = -1, .data_fd = -1};
}

/* Opens name for reading. A lease (a release at work) is waited for: O_NONBLOCK keeps a FIFO
 * planted in the bucket from holding the worker, so the wait is ours. */
static int open_data(int dirfd, const char *name, struct s3_req *req)
{
    if (req != NULL) {
        int fd = beneath_open_now(dirfd, name, O_RDONLY | O_NOCTTY);
        if (fd >= 0)
            return fd;
        s3_may_block(req);
    }
    int64_t end = time_mono_ns() + LEASE_WAIT_NS;
    for (;;) {
        int fd = beneath_open(dirfd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
        if (fd != -EAGAIN)
            return fd;
        if (time_mono_ns() >= end)
            return -EBUSY;
        clock_sleep_ns(clock_real(), LEASE_POLL_NS);
    }
}

void object_etag(const struct meta *m, const struct stat *st, char *out)
{
    if (m->md5[0] != '\0' && meta_sum_valid(m, st))
        (void)snprintf(out, S3_ETAG_MAX, "%s", m->md5);
    else
        etag_format(st->st_mtim, st->st_ino, out);
}

/* The directory object behind o->fd: its marker, and its body when it has one. */
static int open_folder(enum object_open_flags flags, struct object *o)
{
    struct xa x;
    xa_init(&x, o->fd);
    struct stat body;
    bool has_body =
        fstatat(o->fd, FOLDER_BODY, &body, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(body.st_mode);
    if (!has_body && !xa_has(&x, META_DIR_XATTR))
        return -ENOENT;
    o->is_dir = true;
    o->size = 0;
    if (!has_body)
        return 0;
    o->st = body;
    o->size = body.st_size;
    if ((flags & OBJECT_DATA) == 0)
        return 0;
    int fd = open_data(o->fd, FOLDER_BODY, o->req);
    if (fd < 0)
        return fd;
    o->data_fd = fd;
    return fstat(fd, &o->st) == 0 ? 0 : -errno;
}

static int load_cached(struct object *o, int bucket_fd, struct err *err)
{
    if (metacache_find(o->metas, &o->st, &o->meta))
        return 0;
    if (o->req != NULL)
        s3_may_block(o->req);
    return metacache_load(o->metas, o->fd, &o->st, bucket_fd, &o->meta, err);
}

int object_open_at(int dirfd, const char *leaf, bool as_dir, int bucket_fd,
                   enum object_open_flags flags, struct object *o, struct err *err)
{
    int rc = 0;
    if (as_dir)
        rc = beneath_open(dirfd, leaf, O_PATH | O_DIRECTORY, 0);
    else if ((flags & OBJECT_DATA) != 0)
        rc = open_data(dirfd, leaf, o->req);
    else
        rc = beneath_open(dirfd, leaf, O_PATH, 0);
    if (rc < 0)
        return err_sys(err, -rc, "open object %s", leaf);
    o->fd = rc;
    if (fstat(o->fd, &o->st) != 0)
        return err_sys(err, errno, "look at object %s", leaf);
    rc = 0;
    if (as_dir) {
        rc = open_folder(flags, o);
    } else if (!S_ISREG(o->st.st_mode)) {
        rc = -ENOENT;
    } else {
        o->size = o->st.st_size;
        if ((flags & OBJECT_DATA) != 0)
            o->data_fd = o->fd;
    }
    if (rc < 0)
        return err_sys(err, -rc, "object %s", leaf);
    /* Only a descriptor open for reading shows that the account may read the attributes. */
    bool cached = o->metas != NULL && o->data_fd >= 0 && o->data_fd == o->fd;
    rc = cached ? load_cached(o, bucket_fd, err) : meta_load(o->fd, bucket_fd, &o->meta, err);
    if (rc < 0)
        return err_wrap(err, rc, "object %s", leaf);
    object_etag(&o->meta, &o->st, o->etag);
    return 0;
}

int object_open(int dir, const char *key, enum object_open_flags flags, struct object *o,
                struct err *err)
{
    size_t n = strlen(key);
    return object_open_at(dir, key, n > 0 && key[n - 1] == '/', dir, flags, o, err);
}

static bool is_stub(int fd)
{
    struct xa x;
    xa_init_open(&x, fd);
    char value[256];
    ssize_t n = xa_read(&x, STUB_XATTR, value, sizeof value);
    /* One that cannot be read is no proof that the data is here. */
    return n != -ENODATA && n != -ENOTSUP;
}

static void refuse_offline(struct s3_call *c, const struct object *o, bool source)
{
    const char *class = class_when_offline(o->meta.storage_class);
    s3_error_element(c->req, "StorageClass", "%s", class);
    if (strcmp(class, "GLACIER") == 0 || strcmp(class, "DEEP_ARCHIVE") == 0)
        s3_error_element(c->req, "AccessTier", "%s", "ARCHIVE_ACCESS");
    (void)s3_reply_error(c->req, S3_ERR_INVALID_OBJECT_STATE,
                         source ? "The source object's data is on tape and may not be recalled now"
                                : "The object's data is on tape and may not be recalled now");
}

/* Asks firnd for the data and waits. Returns 0, or a negative code with err set. */
static int recall(struct s3_call *c, const char *path, const struct object *o, struct err *err)
{
    const struct conf *conf = c->req->site->conf;
    int64_t end = time_mono_ns() + conf->recall.wait_s * NS_PER_SEC;
    for (;;) {
        int64_t left_ms = (end - time_mono_ns()) / 1000000;
        left_ms = left_ms > 0 ? left_ms : 0;
        cJSON *args = cJSON_CreateObject();
        json_add_str(args, "path", path);
        json_add_int(args, "ino", (int64_t)o->st.st_ino);
        json_add_int(args, "wait_ms", left_ms);
        json_add_str(args, "account", c->req->account->name);
        int rc = s3_ctl_call(c->req, "recall", args, (int)left_ms + RECALL_SLACK_MS, NULL, err);
        bool away = rc == -ECONNREFUSED || rc == -ECONNRESET || rc == -EPIPE;
        if (!away || time_mono_ns() + RECALL_RETRY_NS >= end)
            return rc;
        clock_sleep_ns(clock_real(), RECALL_RETRY_NS);
    }
}

static void recall_fault(struct s3_call *c, int rc, const struct err *err, const struct object *o,
                         bool source)
{
    switch (-rc) {
    case EACCES:
        refuse_offline(c, o, source);
        return;
    case EAGAIN:
    case ETIMEDOUT:
        fault_retry(c, S3_ERR_SLOW_DOWN,
                    "The object is being recalled from tape; please ask again later");
        return;
    case EBUSY:
        fault_retry(c, S3_ERR_SLOW_DOWN, "Too many recalls wait; please ask again later");
        return;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
        log_warn("recall of %s: %s", c->req->target, err->text);
        fault_retry(c, S3_ERR_SERVICE_UNAVAILABLE,
                    "The object's data is on tape and the engine does not answer; please ask again "
                    "later");
        return;
    case ENOENT:
        (void)s3_reply_error(c->req, S3_ERR_NO_SUCH_KEY, NULL);
        return;
    case ENOSPC:
    case EDQUOT:
        log_err("recall of %s: %s", c->req->target, err->text);
        fault_retry(c, S3_ERR_SERVICE_UNAVAILABLE,
                    "There is no room to bring the object's data back from tape; please ask again "
                    "later");
        return;
    default:
        log_err("recall of %s: %s", c->req->target, err->text);
        (void)s3_reply_error(c->req, S3_ERR_INTERNAL_ERROR,
                             "The object's data could not be read back from tape");
    }
}

bool object_ready(struct s3_call *c, const char *bucket_path, const char *key, struct object *o,
                  bool source)
{
    if (o->data_fd < 0 || !is_stub(o->data_fd))
        return true;
    auto_free char *path = xasprintf("%s/%s%s", bucket_path, key, o->is_dir ? FOLDER_BODY : "");
    if (s3_wait_begin(c->req) != 0) {
        fault_retry(c, S3_ERR_SLOW_DOWN, "Too many requests wait for tape; please ask again later");
        return false;
    }
    struct err err = {0};
    int rc = recall(c, path, o, &err);
    s3_wait_end(c->req);
    if (rc == 0 && is_stub(o->data_fd))
        rc = err_set(&err, -EAGAIN, "%s is still migrated after its recall", path);
    if (rc < 0) {
        recall_fault(c, rc, &err, o, source);
        return false;
    }
    return true;
}

bool object_version_ok(struct s3_call *c, const char *version, const struct object *o)
{
    if (version == NULL || strcmp(version, "null") == 0 || strcmp(version, o->etag) == 0)
        return true;
    if (strncmp(version, "mtime-", 6) == 0)
        (void)s3_reply_error(c->req, S3_ERR_NO_SUCH_VERSION, NULL);
    else
        (void)s3_reply_error(c->req, S3_ERR_INVALID_ARGUMENT, "Invalid version id specified");
    return false;
}

static int by_key(const void *a, const void *b)
{
    const struct meta_pair *const *x = a;
    const struct meta_pair *const *y = b;
    return strcmp((*x)->key, (*y)->key);
}

/* Can the pair travel as a header? */
static bool showable(const struct meta_pair *p)
{
    for (const char *s = p->key; *s != '\0'; s++)
        if ((unsigned char)*s <= ' ' || (unsigned char)*s >= 0x7f ||
            strchr("()<>@,;:\\\"/[]?={}", *s) != NULL)
            return false;
    for (const char *s = p->value; *s != '\0'; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7f)
            return false;
    return true;
}

static void user_headers(struct s3_call *c, const struct meta *m)
{
    size_t n = m->user.n;
    auto_free struct meta_pair **order = xrealloc_array(NULL, n + 1, sizeof(struct meta_pair *));
    for (size_t i = 0; i < n; i++)
        order[i] = &m->user.v[i];
    qsort(order, n, sizeof(struct meta_pair *), by_key);
    size_t used = 0;
    size_t missing = 0;
    for (size_t i = 0; i < n; i++) {
        size_t bytes = strlen(order[i]->key) + strlen(order[i]->value);
        if (!showable(order[i]) || used + bytes > META_SHOWN_MAX) {
            missing++;
            continue;
        }
        used += bytes;
        auto_free char *name = xasprintf("x-amz-meta-%s", order[i]->key);
        s3_reply_header(c->req, name, "%s", order[i]->value);
    }
    if (missing > 0)
        s3_reply_header(c->req, "x-amz-missing-meta", "%zu", missing);
}

void object_headers(struct s3_call *c, const struct object *o)
{
    struct s3_req *req = c->req;
    const struct meta *m = &o->meta;
    char when[TIMEFMT_MAX];
    timefmt_http(o->st.st_mtim.tv_sec * NS_PER_SEC, when);
    s3_reply_header(req, "ETag", "\"%s\"", o->etag);
    s3_reply_header(req, "Last-Modified", "%s", when);
    s3_reply_header(req, "Accept-Ranges", "bytes");
    static const char *const overrides[META_HEAD_COUNT] = {
        [META_CONTENT_TYPE] = "response-content-type",
        [META_CONTENT_ENCODING] = "response-content-encoding",
        [META_CONTENT_DISPOSITION] = "response-content-disposition",
        [META_CONTENT_LANGUAGE] = "response-content-language",
        [META_CACHE_CONTROL] = "response-cache-control",
        [META_EXPIRES] = "response-expires",
    };
    for (size_t i = 0; i < META_HEAD_COUNT; i++) {
        const char *value = m->head[i];
        const char *other = overrides[i] != NULL ? s3_req_param(req, overrides[i]) : NULL;
        if (other != NULL)
            value = other;
        if (value == NULL && i == META_CONTENT_TYPE)
            value = o->is_dir ? "application/x-directory" : "application/octet-stream";
        if (value != NULL)
            s3_reply_header(req, meta_head_name((enum meta_head)i), "%s", value);
    }
    user_headers(c, m);
    if (req->site->conf->s3.show_storage_class_metadata &&
        meta_get(&m->user, "storage_class") == NULL)
        s3_reply_header(req, "x-amz-meta-storage_class", "%s", m->storage_class);
    if (strcmp(m->storage_class, "STANDARD") != 0)
        s3_reply_header(req, "x-amz-storage-class", "%s", m->storage_class);
    if (m->tags.n > 0)
        s3_reply_header(req, "x-amz-tagging-count", "%zu", m->tags.n);
}
