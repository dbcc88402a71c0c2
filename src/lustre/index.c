/* SPDX-License-Identifier: Apache-2.0 */
#include "lustre/index.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "codec/digest.h"
#include "lustre/index_late.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { DIGEST_BYTES = 16, STRINGS = 3 };

/* Garbage lies on a volume of its own in the order of time (start_block), so that finding what is
 * due needs no reading of all that is not. Copies that count have volume 0. */
#define GARBAGE_LIBRARY "none"
#define GARBAGE_BARCODE "garbage"

/* What stands in the place of a file handle. */
struct handle {
    struct lu_fid fid; /* with its version, which inode and generation have no room for */
    uint64_t last_block;
} __attribute__((packed));
_Static_assert(sizeof(struct handle) <= CATALOG_HANDLE_MAX, "handle");

struct index {
    struct catalog *cat;
    struct uuid fs;
    int64_t garbage; /* catalog_volume.id */
    struct late *late;
};

/* The file system's id is made of its name and instance, so that an index made anew has the same.
 */
static struct uuid fs_uuid(const char *fsname, const char *instance)
{
    struct uuid u;
    uint8_t value[DIGEST_MAX];
    auto_buf struct buf b = {0};
    buf_addf(&b, "lustre/%s.%s", fsname, instance);
    (void)digest_of(DIGEST_XXH3_128, b.data, b.len, value);
    memcpy(u.b, value, sizeof(u.b));
    u.b[6] = (uint8_t)((u.b[6] & 0x0f) | 0x80); /* RFC 9562, 5.8: version 8, a use of one's own */
    u.b[8] = (uint8_t)((u.b[8] & 0x3f) | 0x80);
    return u;
}

static void archive_row(const struct index *ix, const struct index_copy *c,
                        struct catalog_archive *a)
{
    *a = (struct catalog_archive){.archive = c->id,
                                  .fs = ix->fs,
                                  .ino = c->fid.seq,
                                  .gen = c->fid.oid,
                                  .size = c->size,
                                  .mtime_ns = c->mtime_ns,
                                  .path = c->path,
                                  .digest_alg = c->has_digest ? DIGEST_XXH3_128 : -1,
                                  .digest_len = c->has_digest ? DIGEST_BYTES : 0,
                                  .created_ns = c->created_ns};
    memcpy(a->digest, c->digest, DIGEST_BYTES);
    const struct handle h = {c->fid, c->last_block};
    a->handle_len = sizeof(h);
    memcpy(a->handle, &h, sizeof(h));
}

static void copy_row(const struct index *ix, const struct index_copy *c, struct catalog_copy *o)
{
    *o = (struct catalog_copy){.archive = c->id,
                               .copy_no = 1,
                               .path = c->key,
                               .byte_offset = c->block,
                               .length = c->size,
                               .created_ns = c->created_ns};
    (void)strncpy(o->tier, c->kind, sizeof(o->tier) - 1);
    if (c->garbage_ns != 0) {
        o->state = CATALOG_COPY_GARBAGE;
        o->volume = ix->garbage;
        o->start_block = (uint64_t)c->garbage_ns;
    }
}

static int put_now(void *ctx, const struct index_copy *v, size_t n, struct err *err)
{
    const struct index *ix = ctx;
    auto_free struct catalog_archive *a = xzalloc((n + 1) * sizeof(*a));
    auto_free struct catalog_copy *c = xzalloc((n + 1) * sizeof(*c));
    for (size_t i = 0; i < n; i++) {
        archive_row(ix, &v[i], &a[i]);
        copy_row(ix, &v[i], &c[i]);
    }
    int rc = catalog_archive_add(ix->cat, a, n, c, n, err);
    return rc < 0 ? err_wrap(err, rc, "index of copies") : 0;
}

int index_open(const char *dir, const char *fsname, const char *instance, struct index **out,
               struct err *err)
{
    struct catalog_volume v = {.state = "unassigned"};
    auto_index struct index *ix = xzalloc(sizeof(*ix));
    ix->fs = fs_uuid(fsname, instance);
    int rc = catalog_open("sqlite", dir, &ix->cat, err);
    if (rc < 0)
        return err_wrap(err, rc, "index of copies");
    memcpy(v.library, GARBAGE_LIBRARY, sizeof(GARBAGE_LIBRARY));
    memcpy(v.barcode, GARBAGE_BARCODE, sizeof(GARBAGE_BARCODE));
    rc = catalog_volume_get(ix->cat, v.library, v.barcode, &v, err);
    if (rc == CATALOG_ABSENT)
        rc = catalog_volume_put(ix->cat, &v, err);
    if (rc != 0)
        return err_wrap(err, rc < 0 ? rc : -EIO, "index of copies");
    ix->garbage = v.id;
    ix->late = late_new(put_now, ix);
    *out = take_ptr(ix);
    return 0;
}

void index_close(struct index *ix)
{
    if (ix == NULL)
        return;
    late_free(ix->late);
    catalog_close(ix->cat);
    free(ix);
}

int index_put(struct index *ix, const struct index_copy *v, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        int rc = late_await(ix->late, NULL, &v[i].id, err);
        if (rc < 0)
            return rc;
    }
    return put_now(ix, v, n, err);
}

void index_put_late(struct index *ix, const struct index_copy *v, index_done_fn *done, void *arg)
{
    late_put(ix->late, v, done, arg);
}

int index_check(struct index *ix, struct err *err)
{
    return late_check(ix->late, err);
}

int index_end_late(struct index *ix, struct err *err)
{
    return late_end(ix->late, err);
}

static void list_add(struct index_copies *l, const struct catalog_archive *a,
                     const struct catalog_copy *c)
{
    l->v = xrealloc_array(l->v, l->n + 1, sizeof(*l->v));
    l->strings = xrealloc_array(l->strings, STRINGS * (l->n + 1), sizeof(*l->strings));
    char **s = &l->strings[STRINGS * l->n];
    s[0] = xstrdup(c->tier);
    s[1] = xstrdup(c->path != NULL ? c->path : "");
    s[2] = xstrdup(a->path != NULL ? a->path : "");
    struct index_copy *o = &l->v[l->n++];
    *o = (struct index_copy){.id = a->archive,
                             .fid = {.seq = a->ino, .oid = a->gen},
                             .kind = s[0],
                             .key = s[1],
                             .block = c->byte_offset,
                             .path = s[2],
                             .size = a->size,
                             .mtime_ns = a->mtime_ns,
                             .created_ns = a->created_ns};
    if (a->handle_len == sizeof(struct handle)) {
        struct handle h;
        memcpy(&h, a->handle, sizeof(h));
        o->fid = h.fid;
        o->last_block = h.last_block;
    }
    if (a->digest_alg == DIGEST_XXH3_128 && a->digest_len == DIGEST_BYTES) {
        o->has_digest = true;
        memcpy(o->digest, a->digest, DIGEST_BYTES);
    }
    if (c->state == CATALOG_COPY_GARBAGE)
        o->garbage_ns = (int64_t)c->start_block;
}

/* Adds the copies of archives l to out. */
static int add_copies(struct index *ix, const struct catalog_archives *l, struct index_copies *out,
                      struct err *err)
{
    struct catalog_copies c = {0};
    auto_free struct uuid *ids = xzalloc((l->n + 1) * sizeof(*ids));
    for (size_t i = 0; i < l->n; i++)
        ids[i] = l->v[i].archive;
    int rc = catalog_copy_of(ix->cat, ids, l->n, &c, err);
    for (size_t i = 0, j = 0; rc == 0 && j < c.n; j++) {
        while (i < l->n && memcmp(&ids[i], &c.v[j].archive, sizeof(*ids)) != 0)
            i++;
        if (i < l->n)
            list_add(out, &l->v[i], &c.v[j]);
    }
    catalog_copies_fini(&c);
    return rc < 0 ? err_wrap(err, rc, "index of copies") : 0;
}

int index_get(struct index *ix, const struct uuid *id, struct index_copies *out, struct err *err)
{
    struct catalog_archives l = {0};
    *out = (struct index_copies){0};
    int rc = late_await(ix->late, NULL, id, err);
    if (rc == 0)
        rc = catalog_archive_get(ix->cat, id, &l, err);
    if (rc == 0)
        rc = add_copies(ix, &l, out, err);
    catalog_archives_fini(&l);
    if (rc < 0)
        return err_wrap(err, rc, "index of copies");
    return out->n == 0 ? INDEX_ABSENT : 0;
}

int index_of_fid(struct index *ix, const struct lu_fid *fid, struct index_copies *out,
                 struct err *err)
{
    struct catalog_archives l = {0};
    *out = (struct index_copies){0};
    int rc = late_await(ix->late, fid, NULL, err);
    if (rc == 0)
        rc = catalog_archive_of_file(ix->cat, &ix->fs, fid->seq, fid->oid, &l, err);
    if (rc == 0)
        rc = add_copies(ix, &l, out, err);
    catalog_archives_fini(&l);
    if (rc < 0)
        return err_wrap(err, rc, "index of copies");
    return out->n == 0 ? INDEX_ABSENT : 0;
}

int index_page(struct index *ix, uint64_t *after, size_t max, struct index_copies *out,
               struct err *err)
{
    struct catalog_archives l = {0};
    *out = (struct index_copies){0};
    int rc = late_await(ix->late, NULL, NULL, err);
    if (rc == 0)
        rc = catalog_archive_page(ix->cat, &ix->fs, *after, max, &l, err);
    if (rc == 0)
        rc = add_copies(ix, &l, out, err);
    if (rc == 0 && l.n > 0)
        *after = l.v[l.n - 1].ino;
    catalog_archives_fini(&l);
    return rc;
}

int index_garbage(struct index *ix, struct catalog_copy_pos *pos, int64_t before_ns, size_t max,
                  struct index_copies *out, struct err *err)
{
    struct catalog_copies c = {0};
    *out = (struct index_copies){0};
    int rc = catalog_copy_page(ix->cat, ix->garbage, pos, max, &c, err);
    for (size_t i = 0; rc == 0 && i < c.n && (int64_t)c.v[i].start_block <= before_ns; i++) {
        struct catalog_archives l = {0};
        rc = catalog_archive_get(ix->cat, &c.v[i].archive, &l, err);
        if (rc == 0)
            list_add(out, &l.v[0], &c.v[i]);
        rc = rc == CATALOG_ABSENT ? 0 : rc;
        catalog_archives_fini(&l);
    }
    catalog_copies_fini(&c);
    return rc < 0 ? err_wrap(err, rc, "index of copies") : 0;
}

int index_forget(struct index *ix, const struct uuid *ids, size_t n, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = late_await(ix->late, NULL, &ids[i], err);
    if (rc == 0)
        rc = catalog_archive_delete(ix->cat, ids, n, err);
    return rc < 0 ? err_wrap(err, rc, "index of copies") : 0;
}

void index_copies_fini(struct index_copies *l)
{
    for (size_t i = 0; i < STRINGS * l->n; i++)
        free(l->strings[i]);
    free(l->strings);
    free(l->v);
    *l = (struct index_copies){0};
}
