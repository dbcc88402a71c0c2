/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/timefmt.h"
#include "conf/conf.h"
#include "engine/registry_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define BUCKET_MIN   3
#define BUCKET_MAX   63
#define BUCKET_MODE  0770
#define DEPTH_MAX    64
#define OPEN_DIR     (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define BUCKET_BYTES "abcdefghijklmnopqrstuvwxyz0123456789.-"

/* ---- names ---- */

/* True when name reads as four numbers with dots between. */
static bool is_address(const char *name)
{
    return strspn(name, "0123456789.") == strlen(name);
}

static bool has_suffix(const char *s, const char *suffix)
{
    size_t n = strlen(s);
    size_t m = strlen(suffix);
    return n >= m && strcmp(s + n - m, suffix) == 0;
}

static bool has_reserved_part(const char *name)
{
    return strncmp(name, "xn--", 4) == 0 || strncmp(name, "sthree-", 7) == 0 ||
           has_suffix(name, "-s3alias") || has_suffix(name, "--ol-s3");
}

static const char *bucket_name_fault(const char *name)
{
    size_t n = strlen(name);
    if (n < BUCKET_MIN || n > BUCKET_MAX)
        return "it has 3 to 63 characters";
    if (strspn(name, BUCKET_BYTES) != n)
        return "only a-z, 0-9, '.' and '-' are in it";
    if (strchr(".-", name[0]) != NULL || strchr(".-", name[n - 1]) != NULL)
        return "it begins and ends with a letter or digit";
    if (strstr(name, "..") != NULL)
        return "two dots do not follow each other";
    if (is_address(name))
        return "it is no IP address";
    return has_reserved_part(name) ? "its beginning or end is reserved" : NULL;
}

int registry_check_bucket_name(const char *name, struct err *err)
{
    const char *fault = bucket_name_fault(name);
    return fault == NULL ? 0
                         : err_set(err, -EINVAL, "\"%.80s\" is no bucket name: %s", name, fault);
}

/* ---- listing ---- */

static cJSON *bucket_json(struct registry *r, const struct catalog_bucket *b)
{
    char created[TIMEFMT_MAX];
    struct catalog_account owner = {0};
    cJSON *j = cJSON_CreateObject();
    json_add_str(j, "name", b->name);
    json_add_str(j, "owner", b->owner);
    json_add_str(j, "path", b->path);
    timefmt_iso_ms(b->created_ns, created);
    json_add_str(j, "created", created);
    (void)cJSON_AddBoolToObject(j, "exported", b->exported);
    if (registry_find_account(r, b->owner, &owner, NULL) == 0) {
        json_add_int(j, "uid", owner.uid);
        json_add_int(j, "gid", owner.gid);
    }
    return j;
}

int registry_bucket_list(struct registry *r, const cJSON *args, cJSON **result, struct err *err)
{
    auto_json cJSON *j = cJSON_CreateObject();
    int rc = registry_add_generation(r, j, err);
    if (rc != 0)
        return rc;
    const char *name = json_str(args, "name", NULL);
    struct catalog_buckets list = {0};
    rc = catalog_bucket_list(r->cat, name, json_str(args, "account", NULL), &list, err);
    if (rc == CATALOG_ABSENT)
        return err_set(err, -ENOENT, "there is no bucket %.80s", name);
    if (rc != 0)
        return rc;
    cJSON *buckets = cJSON_AddArrayToObject(j, "buckets");
    for (size_t i = 0; i < list.n; i++)
        (void)cJSON_AddItemToArray(buckets, bucket_json(r, &list.v[i]));
    catalog_buckets_fini(&list);
    *result = take_ptr(j);
    return 0;
}

static int find_bucket(struct registry *r, const char *name, struct catalog_bucket *out,
                       struct err *err)
{
    struct catalog_buckets list = {0};
    int rc = catalog_bucket_list(r->cat, name, NULL, &list, err);
    if (rc == 0 && list.n == 1)
        *out = list.v[0];
    else if (rc >= 0)
        rc = err_set(err, -ENOENT, "there is no bucket %.80s", name);
    catalog_buckets_fini(&list);
    return rc;
}

/* ---- directories ---- */

/* What firn-s3 keeps beside the objects: multipart uploads, unfinished bodies. */
static bool is_own(const char *name)
{
    return strncmp(name, ".firn", 5) == 0 || strncmp(name, ".noobaa-nsfs", 12) == 0;
}

static bool is_dot(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* A stream over directory dirfd, which stays open; NULL with *rc set. */
static DIR *open_list(int dirfd, int *rc)
{
    auto_close int fd = openat(dirfd, ".", OPEN_DIR);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    *rc = d != NULL ? 0 : -errno;
    if (d != NULL)
        (void)take_fd(fd);
    return d;
}

/* Returns 0 when nothing but firn's own is in the directory, -ENOTEMPTY, or another code. */
static int check_empty(int dirfd)
{
    int rc = 0;
    auto_closedir DIR *d = open_list(dirfd, &rc);
    if (d == NULL)
        return rc;
    for (;;) {
        errno = 0;
        const struct dirent *e = readdir(d);
        if (e == NULL)
            return -errno;
        if (!is_dot(e->d_name) && !is_own(e->d_name))
            return -ENOTEMPTY;
    }
}

static int remove_tree(int dirfd, const char *name, int depth);

/* Removes what is in directory dirfd; with own_only just firn's own. */
static int remove_entries(int dirfd, bool own_only, int depth)
{
    int rc = 0;
    auto_closedir DIR *d = open_list(dirfd, &rc);
    if (d == NULL)
        return rc;
    for (;;) {
        errno = 0;
        const struct dirent *e = readdir(d);
        if (e == NULL)
            return -errno;
        if (is_dot(e->d_name) || (own_only && !is_own(e->d_name)))
            continue;
        rc = remove_tree(dirfd, e->d_name, depth);
        if (rc != 0)
            return rc;
    }
}

static int remove_tree(int dirfd, const char *name, int depth)
{
    if (unlinkat(dirfd, name, 0) == 0)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return errno == ENOENT ? 0 : -errno;
    if (depth >= DEPTH_MAX)
        return -ELOOP;
    auto_close int fd = openat(dirfd, name, OPEN_DIR);
    if (fd < 0)
        return -errno;
    int rc = remove_entries(fd, false, depth + 1);
    if (rc != 0)
        return rc;
    return unlinkat(dirfd, name, AT_REMOVEDIR) == 0 ? 0 : -errno;
}

/* Opens the directory that holds path (which has no trailing slash); *name points into path. */
static int open_parent(const char *path, int *dirfd, const char **name, struct err *err)
{
    const char *slash = strrchr(path, '/');
    char parent[CATALOG_PATH_MAX];
    size_t n = slash == path ? 1 : (size_t)(slash - path);
    memcpy(parent, path, n);
    parent[n] = '\0';
    *name = slash + 1;
    *dirfd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *dirfd >= 0 ? 0 : err_sys(err, errno, "directory %s for buckets", parent);
}

/* Rights of the new bucket directory fd, then all of it durable. */
static int finish_dir(int fd, int parent, const struct catalog_account *owner)
{
    if (fchown(fd, owner->uid, owner->gid) != 0 || fchmod(fd, BUCKET_MODE) != 0 || fsync(fd) != 0)
        return -errno;
    return io_fsync_dir(parent);
}

/* Makes the directory; one that a crash left behind empty is taken over. */
static int make_dir(const char *path, const struct catalog_account *owner, struct err *err)
{
    auto_close int parent = -1;
    const char *name = NULL;
    int rc = open_parent(path, &parent, &name, err);
    if (rc != 0)
        return rc;
    bool was_there = mkdirat(parent, name, 0700) != 0;
    if (was_there && errno != EEXIST)
        return err_sys(err, errno, "mkdir %s", path);
    auto_close int fd = openat(parent, name, OPEN_DIR);
    if (fd < 0)
        return err_sys(err, errno, "%s", path);
    rc = was_there ? check_empty(fd) : 0;
    if (rc == -ENOTEMPTY)
        return err_set(err, -EEXIST,
                       "directory %s is there and not empty; give it as path to export it", path);
    if (rc == 0)
        rc = finish_dir(fd, parent, owner);
    return rc == 0 ? 0 : err_sys(err, -rc, "bucket directory %s", path);
}

/* ---- create ---- */

static int fill_path(struct registry *r, const cJSON *args, const struct catalog_account *owner,
                     struct catalog_bucket *b, struct err *err)
{
    const char *path = json_str(args, "path", NULL);
    if (path == NULL || path[0] == '\0') {
        const char *dir = owner->new_buckets[0] != '\0' ? owner->new_buckets : r->conf->s3.buckets;
        int n = snprintf(b->path, sizeof(b->path), "%s/%s", dir, b->name);
        return n < (int)sizeof(b->path)
                   ? 0
                   : err_set(err, -ENAMETOOLONG, "path of bucket %s is too long", b->name);
    }
    b->exported = true;
    int rc = registry_check_dir(r, path, "path", err);
    if (rc == 0)
        rc = registry_copy(b->path, sizeof(b->path), path, "path", err);
    size_t n = strlen(b->path);
    while (n > 1 && b->path[n - 1] == '/')
        b->path[--n] = '\0';
    return rc;
}

/* An exported directory has to be one, and no other bucket's. */
static int check_export(struct registry *r, const struct catalog_bucket *b, struct err *err)
{
    struct stat st;
    if (lstat(b->path, &st) != 0)
        return err_sys(err, errno, "%s", b->path);
    if (!S_ISDIR(st.st_mode))
        return err_set(err, -ENOTDIR, "%s is no directory", b->path);
    struct catalog_buckets all = {0};
    int rc = catalog_bucket_list(r->cat, NULL, NULL, &all, err);
    for (size_t i = 0; rc == 0 && i < all.n; i++)
        if (strcmp(all.v[i].path, b->path) == 0)
            rc = err_set(err, -EEXIST, "%s is bucket %s already", b->path, all.v[i].name);
    catalog_buckets_fini(&all);
    return rc;
}

static int already_there(const struct catalog_bucket *b, cJSON **details, struct err *err)
{
    *details = cJSON_CreateObject();
    json_add_str(*details, "owner", b->owner);
    return err_set(err, -EEXIST, "bucket %s is there already and belongs to account %s", b->name,
                   b->owner);
}

static int store_bucket(struct registry *r, struct catalog_bucket *b,
                        const struct catalog_account *owner, struct err *err)
{
    int rc = b->exported ? check_export(r, b, err) : make_dir(b->path, owner, err);
    if (rc == 0)
        rc = catalog_bucket_add(r->cat, b, err);
    if (rc == CATALOG_ABSENT)
        rc = err_set(err, -ENOENT, "there is no account %s", b->owner);
    return rc;
}

int registry_bucket_create(struct registry *r, const cJSON *args, cJSON **result, struct err *err)
{
    struct catalog_bucket b = {0};
    struct catalog_bucket old = {0};
    struct catalog_account owner = {0};
    const char *name = NULL;
    const char *account = NULL;
    int rc = json_need_str(args, "name", &name, err);
    if (rc == 0)
        rc = json_need_str(args, "owner", &account, err);
    if (rc == 0)
        rc = registry_check_bucket_name(name, err);
    if (rc != 0)
        return rc;
    lock_scope(&r->lock);
    if (find_bucket(r, name, &old, err) == 0)
        return already_there(&old, result, err);
    rc = registry_find_account(r, account, &owner, err);
    if (rc != 0)
        return rc;
    memcpy(b.name, name, strlen(name) + 1);
    memcpy(b.owner, owner.name, sizeof(b.owner));
    rc = fill_path(r, args, &owner, &b, err);
    if (rc == 0)
        rc = store_bucket(r, &b, &owner, err);
    if (rc != 0)
        return rc;
    log_info("bucket %s of account %s is %s", b.name, b.owner, b.path);
    *result = cJSON_CreateObject();
    (void)cJSON_AddItemToObject(*result, "bucket", bucket_json(r, &b));
    return 0;
}

/* ---- delete ---- */

/* Removes the directory of b. A directory that is gone already is as good. */
static int remove_dir(const struct catalog_bucket *b, struct err *err)
{
    auto_close int parent = -1;
    const char *name = NULL;
    int rc = open_parent(b->path, &parent, &name, err);
    if (rc != 0)
        return rc == -ENOENT ? 0 : rc;
    auto_close int fd = openat(parent, name, OPEN_DIR);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_sys(err, errno, "%s", b->path);
    rc = check_empty(fd);
    if (rc == 0)
        rc = remove_entries(fd, true, 0);
    /* an object that came in between makes this fail, and stays */
    if (rc == 0 && unlinkat(parent, name, AT_REMOVEDIR) != 0)
        rc = -errno;
    if (rc == -ENOTEMPTY || rc == -EEXIST)
        return err_set(err, -ENOTEMPTY, "bucket %s is not empty", b->name);
    if (rc == 0)
        rc = io_fsync_dir(parent);
    return rc == 0 ? 0 : err_sys(err, -rc, "remove %s", b->path);
}

int registry_bucket_delete(struct registry *r, const cJSON *args, cJSON **result, struct err *err)
{
    (void)result;
    struct catalog_bucket b = {0};
    const char *name = NULL;
    int rc = json_need_str(args, "name", &name, err);
    if (rc != 0)
        return rc;
    const char *account = json_str(args, "account", NULL);
    lock_scope(&r->lock);
    rc = find_bucket(r, name, &b, err);
    if (rc != 0)
        return rc;
    if (account != NULL && strcmp(account, b.owner) != 0)
        return err_set(err, -EACCES, "bucket %s belongs to account %s", b.name, b.owner);
    rc = b.exported ? 0 : remove_dir(&b, err);
    if (rc == 0)
        rc = catalog_bucket_delete(r->cat, b.name, err);
    if (rc >= 0)
        log_info("bucket %s deleted%s", b.name, b.exported ? " (its directory stays)" : "");
    return rc < 0 ? rc : 0;
}
