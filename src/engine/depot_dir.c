/* SPDX-License-Identifier: Apache-2.0 */
/* A store of kind dir: copies as plain files in bucket_prefix below the endpoint's directory. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "engine/depot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCHEME "file://"

struct dir {
    const char *root; /* the endpoint's directory, which is never made here: it may be a mount */
    char *path;
    struct tier *tier;    /* for probe, sync, walk */
    pthread_mutex_t lock; /* over tier */
};

static int check_root(const struct dir *d, struct err *err)
{
    struct stat st;
    if (stat(d->root, &st) != 0)
        return err_sys(err, errno, "%s", d->root);
    return S_ISDIR(st.st_mode) ? 0 : err_set(err, -ENOTDIR, "%s is not a directory", d->root);
}

static void dir_close(void *self)
{
    struct dir *d = self;
    tier_free(d->tier);
    (void)pthread_mutex_destroy(&d->lock);
    free(d->path);
    free(d);
}

static int dir_open(const struct conf_store *conf, const _Atomic int64_t *halt_ns, void **self,
                    struct err *err)
{
    (void)halt_ns;
    struct dir *d = xzalloc(sizeof(*d));
    d->root = conf->endpoint + sizeof(SCHEME) - 1;
    d->path = xasprintf("%s/%s", d->root, conf->bucket_prefix);
    (void)pthread_mutex_init(&d->lock, NULL);
    int rc = check_root(d, err);
    if (rc == 0)
        rc = tier_dir_open(d->path, &d->tier, err);
    if (rc < 0) {
        dir_close(d);
        return rc;
    }
    *self = d;
    return 0;
}

static int dir_lane(void *self, const char *name, struct tier **out, struct err *err)
{
    const struct dir *d = self;
    (void)name;
    return tier_dir_open(d->path, out, err);
}

static int dir_sync(void *self, struct tier *lane, struct err *err)
{
    struct dir *d = self;
    (void)lane;
    lock_scope(&d->lock);
    return tier_sync(d->tier, err);
}

static int dir_probe(void *self, struct err *err)
{
    const struct dir *d = self;
    int rc = check_root(d, err);
    if (rc == 0 && access(d->path, R_OK | W_OK | X_OK) != 0)
        rc = err_sys(err, errno, "%s", d->path);
    return rc;
}

struct walk {
    struct dir *d;
    s3_piece_fn *fn;
    void *arg;
};

static int64_t changed_ns(const struct dir *d, const char *key)
{
    struct stat st;
    auto_free char *path = xasprintf("%s/%s.json", d->path, key);
    return stat(path, &st) == 0 ? st.st_mtim.tv_sec * NS_PER_SEC + st.st_mtim.tv_nsec
                                : time_now_ns();
}

static int on_entry(void *arg, const struct tier_entry *x, struct err *err)
{
    const struct walk *w = arg;
    const struct s3_piece p = {.id = x->id,
                               .label = "",
                               .complete = true,
                               .fs = x->fs,
                               .objects = 2, /* data and sidecar */
                               .bytes = x->size,
                               .newest_ns = changed_ns(w->d, x->location->key),
                               .location = x->location};
    return w->fn(w->arg, &p, err);
}

static int dir_walk(void *self, s3_piece_fn *fn, void *arg, uint64_t *foreign, struct err *err)
{
    struct dir *d = self;
    struct walk w = {.d = d, .fn = fn, .arg = arg};
    auto_tier struct tier *t = NULL;
    if (foreign != NULL)
        *foreign = 0;
    int rc = tier_dir_open(d->path, &t, err);
    return rc < 0 ? rc : tier_list(t, on_entry, &w, err);
}

static int dir_purge(void *self, const struct uuid *id, uint64_t *objects, uint64_t *bytes,
                     struct err *err)
{
    struct dir *d = self;
    char text[UUID_TEXT];
    uuid_format(id, text);
    auto_tier_location struct tier_location loc = {.key = xasprintf("%.2s/%s", text, text)};
    uint64_t size = 0;
    lock_scope(&d->lock);
    int rc = tier_verify(d->tier, id, &loc, NULL, &size, err);
    if (rc == 0)
        rc = tier_remove(d->tier, id, &loc, err);
    if (objects != NULL)
        *objects = rc == 0 ? 2 : 0;
    if (bytes != NULL)
        *bytes = rc == 0 ? size : 0;
    return rc == TIER_ABSENT ? 0 : rc;
}

static int dir_drop_pack(void *self, const char *key, uint64_t *bytes, struct err *err)
{
    const struct dir *d = self;
    (void)bytes;
    return err_set(err, -EINVAL, "%s: %s is no pack: a directory has none", d->path, key);
}

static void dir_figures(void *self, struct depot_figures *out)
{
    (void)self, (void)out; /* no memory besides the engine's, no requests */
}

const struct depot_ops depot_dir = {.kind = "dir",
                                    .open = dir_open,
                                    .close = dir_close,
                                    .lane = dir_lane,
                                    .sync = dir_sync,
                                    .probe = dir_probe,
                                    .walk = dir_walk,
                                    .purge = dir_purge,
                                    .drop_pack = dir_drop_pack,
                                    .figures = dir_figures};
