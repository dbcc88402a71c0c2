/* SPDX-License-Identifier: Apache-2.0 */
#include "tier/tier.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define VERIFY_BUFFER (256UL << 10)

struct tier {
    const struct tier_ops *ops;
    void *self;
    char *name;
    struct tier_counts counts;
    bool putting;
    uint64_t put_size; /* as announced */
    uint64_t put_next; /* lowest offset that may come next */
    _Atomic bool cancelled;
};

struct tier *tier_new(const struct tier_ops *ops, void *self, const char *name)
{
    struct tier *t = xzalloc(sizeof(*t));
    t->ops = ops;
    t->self = self;
    t->name = xstrdup(name);
    return t;
}

void tier_free(struct tier *t)
{
    if (t == NULL)
        return;
    tier_put_abort(t);
    t->ops->free(t->self);
    free(t->name);
    free(t);
}

const char *tier_kind(const struct tier *t)
{
    return t->ops->kind;
}

const char *tier_name(const struct tier *t)
{
    return t->name;
}

unsigned tier_caps(const struct tier *t)
{
    return t->ops->caps;
}

const struct tier_counts *tier_counts(const struct tier *t)
{
    return &t->counts;
}

/* Counts a failure and passes rc on. */
static int counted(struct tier *t, int rc)
{
    if (rc < 0)
        t->counts.errors++;
    return rc;
}

/* A path that stays where it is put: relative, no empty, "." or ".." component. */
static bool path_is_plain(const char *p)
{
    if (*p == '\0')
        return false;
    for (;;) {
        size_t n = strcspn(p, "/");
        if (n == 0 || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
            return false;
        if (p[n] == '\0')
            return true;
        p += n + 1;
    }
}

int tier_put_begin(struct tier *t, const struct tier_object *o, struct err *err)
{
    if (t->putting)
        return err_set(err, -EBUSY, "%s: another copy is being written", t->name);
    if (!path_is_plain(o->path) || !path_is_plain(o->fs) || strchr(o->fs, '/') != NULL)
        return err_set(err, -EINVAL, "%s: no path that a tier can hold: \"%s\"", t->name, o->path);
    int rc = counted(t, t->ops->put_begin(t->self, o, err));
    if (rc != 0)
        return rc;
    t->putting = true;
    t->put_size = o->size;
    t->put_next = 0;
    return 0;
}

int tier_put_write(struct tier *t, uint64_t off, const void *data, size_t n, struct err *err)
{
    if (!t->putting)
        return err_set(err, -EINVAL, "%s: no copy is being written", t->name);
    if (off < t->put_next || off > t->put_size || n > t->put_size - off)
        return err_set(err, -EINVAL, "%s: bytes %llu+%zu do not belong to this copy", t->name,
                       (unsigned long long)off, n);
    if (t->cancelled)
        return err_set(err, -ECANCELED, "%s: cancelled", t->name);
    if (n == 0)
        return 0;
    int rc = counted(t, t->ops->put_write(t->self, off, data, n, err));
    if (rc != 0)
        return rc;
    t->put_next = off + n;
    t->counts.bytes_in += n;
    return 0;
}

int tier_put_end(struct tier *t, const struct tier_xattr *more, size_t nmore,
                 struct tier_location *loc, struct err *err)
{
    if (!t->putting)
        return err_set(err, -EINVAL, "%s: no copy is being written", t->name);
    struct tier_location out = {0};
    int rc = counted(t, t->ops->put_end(t->self, more, nmore, &out, err));
    t->putting = false;
    if (rc != 0) {
        t->ops->put_abort(t->self);
        tier_location_fini(&out);
        return rc;
    }
    t->counts.puts++;
    *loc = out;
    return 0;
}

void tier_put_abort(struct tier *t)
{
    if (t->putting)
        t->ops->put_abort(t->self);
    t->putting = false;
}

int tier_sync(struct tier *t, struct err *err)
{
    t->counts.syncs++;
    return counted(t, t->ops->sync(t->self, err));
}

struct check {
    struct digest *digest;
    uint64_t next; /* bytes digested so far, holes as zeros */
};

static void digest_zeros(struct digest *d, uint64_t n)
{
    static const uint8_t zeros[65536];
    while (n > 0) {
        size_t part = n < sizeof(zeros) ? (size_t)n : sizeof(zeros);
        digest_update(d, zeros, part);
        n -= part;
    }
}

static int check_sink(void *arg, uint64_t off, const void *data, size_t n, struct err *err)
{
    struct check *c = arg;
    (void)err;
    digest_zeros(c->digest, off - c->next);
    digest_update(c->digest, data, n);
    c->next = off + n;
    return 0;
}

int tier_verify(struct tier *t, const struct uuid *id, const struct tier_location *loc,
                const struct tier_digest *want, uint64_t *size, struct err *err)
{
    uint64_t length = 0;
    int rc = counted(t, t->ops->stat(t->self, id, loc, &length, err));
    if (rc != 0)
        return rc;
    if (size != NULL)
        *size = length;
    if (want == NULL)
        return 0;
    auto_digest struct digest *d = digest_new(want->alg);
    struct check c = {.digest = d};
    auto_free void *buf = malloc(VERIFY_BUFFER);
    if (buf == NULL)
        return err_sys(err, ENOMEM, "%s", t->name);
    rc = tier_get(t, id, loc, buf, VERIFY_BUFFER, check_sink, &c, err);
    if (rc != 0)
        return rc;
    digest_zeros(d, length - c.next);
    uint8_t got[DIGEST_MAX];
    size_t n = digest_final(d, got);
    if (memcmp(got, want->value, n) != 0)
        return counted(t, err_set(err, -EBADMSG, "%s: %s: data do not have their %s", t->name,
                                  loc->key, digest_name(want->alg)));
    return 0;
}

struct counting {
    struct tier *t;
    tier_sink_fn *sink;
    void *arg;
};

static int counting_sink(void *arg, uint64_t off, const void *data, size_t n, struct err *err)
{
    struct counting *c = arg;
    if (c->t->cancelled)
        return err_set(err, -ECANCELED, "%s: cancelled", c->t->name);
    c->t->counts.bytes_out += n;
    return c->sink(c->arg, off, data, n, err);
}

int tier_get(struct tier *t, const struct uuid *id, const struct tier_location *loc, void *buf,
             size_t cap, tier_sink_fn *sink, void *arg, struct err *err)
{
    struct counting c = {t, sink, arg};
    t->counts.gets++;
    return counted(t, t->ops->get(t->self, id, loc, buf, cap, counting_sink, &c, err));
}

int tier_remove(struct tier *t, const struct uuid *id, const struct tier_location *loc,
                struct err *err)
{
    t->counts.removes++;
    return counted(t, t->ops->remove(t->self, id, loc, err));
}

int tier_list(struct tier *t, tier_list_fn *fn, void *arg, struct err *err)
{
    return counted(t, t->ops->list(t->self, fn, arg, err));
}

int tier_show(struct tier *t, const struct uuid *id, const struct tier_location *loc,
              tier_list_fn *fn, void *arg, struct err *err)
{
    if ((t->ops->caps & TIER_CAN_SHOW) == 0)
        return err_set(err, -ENOTSUP, "%s: a tier of kind %s keeps nothing to show", t->name,
                       t->ops->kind);
    return counted(t, t->ops->show(t->self, id, loc, fn, arg, err));
}

void tier_cancel(struct tier *t, bool on)
{
    t->cancelled = on;
    if (t->ops->cancel != NULL)
        t->ops->cancel(t->self, on);
}

void tier_location_fini(struct tier_location *loc)
{
    free(loc->key);
    memset(loc, 0, sizeof(*loc));
}

void tier_location_copy(struct tier_location *dst, const struct tier_location *src)
{
    *dst = *src;
    dst->key = xstrdup(src->key);
}
