/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/depot.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct depot {
    const struct depot_ops *ops;
    const struct conf_store *conf;
    void *self;
};

static const struct {
    const char *scheme;
    const struct depot_ops *ops;
} kinds[] = {{"file://", &depot_dir}, {"http://", &depot_s3}, {"https://", &depot_s3}};

static const struct depot_ops *ops_of(const struct conf_store *conf)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strncmp(conf->endpoint, kinds[i].scheme, strlen(kinds[i].scheme)) == 0)
            return kinds[i].ops;
    }
    return &depot_s3; /* whose opening names what is wrong */
}

const char *depot_kind(const struct conf_store *conf)
{
    return ops_of(conf)->kind;
}

int depot_open(const struct conf_store *conf, const _Atomic int64_t *halt_ns, struct depot **out,
               struct err *err)
{
    const struct depot_ops *ops = ops_of(conf);
    void *self = NULL;
    int rc = ops->open(conf, halt_ns, &self, err);
    if (rc < 0)
        return rc;
    struct depot *d = xzalloc(sizeof(*d));
    d->ops = ops;
    d->conf = conf;
    d->self = self;
    *out = d;
    return 0;
}

int depot_expect(const struct conf_store *conf, struct err *err)
{
    struct stat st;
    if (ops_of(conf) != &depot_dir)
        return 0;
    auto_free char *path =
        xasprintf("%s/%s", conf->endpoint + strlen("file://"), conf->bucket_prefix);
    return stat(path, &st) == 0
               ? 0
               : err_sys(err, errno, "%s, which holds copies (is its file system mounted?)", path);
}

void depot_close(struct depot *d)
{
    if (d == NULL)
        return;
    d->ops->close(d->self);
    free(d);
}

int depot_lane(struct depot *d, struct tier **out, struct err *err)
{
    return d->ops->lane(d->self, d->conf->name, out, err);
}

int depot_sync(struct depot *d, struct tier *lane, struct err *err)
{
    return d->ops->sync(d->self, lane, err);
}

int depot_probe(struct depot *d, struct err *err)
{
    return d->ops->probe(d->self, err);
}

int depot_walk(struct depot *d, s3_piece_fn *fn, void *arg, uint64_t *foreign, struct err *err)
{
    return d->ops->walk(d->self, fn, arg, foreign, err);
}

int depot_purge(struct depot *d, const struct uuid *id, uint64_t *objects, uint64_t *bytes,
                struct err *err)
{
    return d->ops->purge(d->self, id, objects, bytes, err);
}

int depot_drop_pack(struct depot *d, const char *key, uint64_t *bytes, struct err *err)
{
    return d->ops->drop_pack(d->self, key, bytes, err);
}

void depot_figures(struct depot *d, struct depot_figures *out)
{
    *out = (struct depot_figures){0};
    d->ops->figures(d->self, out);
}
