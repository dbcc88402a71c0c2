/* SPDX-License-Identifier: Apache-2.0 */
#include "tier/tier.h"

#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>

static int null_put_begin(void *self, const struct tier_object *o, struct err *err)
{
    struct uuid *id = self;
    (void)err;
    *id = o->id;
    return 0;
}

static int null_put_write(void *self, uint64_t off, const void *data, size_t n, struct err *err)
{
    (void)self, (void)off, (void)data, (void)n, (void)err;
    return 0;
}

static int null_put_end(void *self, const struct tier_xattr *more, size_t nmore,
                        struct tier_location *loc, struct err *err)
{
    char text[UUID_TEXT];
    (void)more, (void)nmore, (void)err;
    uuid_format(self, text);
    loc->key = xstrdup(text);
    return 0;
}

static void null_put_abort(void *self)
{
    (void)self;
}

static int null_sync(void *self, struct err *err)
{
    (void)self, (void)err;
    return 0;
}

static int null_stat(void *self, const struct uuid *id, const struct tier_location *loc,
                     uint64_t *size, struct err *err)
{
    (void)self, (void)id, (void)size;
    return err_set(err, -ENODATA, "null: %s: this tier keeps nothing", loc->key);
}

static int null_get(void *self, const struct uuid *id, const struct tier_location *loc, void *buf,
                    size_t cap, tier_sink_fn *sink, void *arg, struct err *err)
{
    (void)buf, (void)cap, (void)sink, (void)arg;
    return null_stat(self, id, loc, NULL, err);
}

static int null_remove(void *self, const struct uuid *id, const struct tier_location *loc,
                       struct err *err)
{
    (void)self, (void)id, (void)loc, (void)err;
    return TIER_ABSENT;
}

static int null_list(void *self, tier_list_fn *fn, void *arg, struct err *err)
{
    (void)self, (void)fn, (void)arg, (void)err;
    return 0;
}

static const struct tier_ops null_ops = {
    .kind = "null",
    .caps = TIER_CAN_LIST,
    .put_begin = null_put_begin,
    .put_write = null_put_write,
    .put_end = null_put_end,
    .put_abort = null_put_abort,
    .sync = null_sync,
    .stat = null_stat,
    .get = null_get,
    .remove = null_remove,
    .list = null_list,
    .free = free,
};

struct tier *tier_null_open(void)
{
    return tier_new(&null_ops, xzalloc(sizeof(struct uuid)), "null");
}
