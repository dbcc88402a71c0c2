/* SPDX-License-Identifier: Apache-2.0 */
/* Released files of what the tier has, by FID, archive id, path, or bucket and key. */
#include "lustre/admin_impl.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define S3_URL "s3://"

struct import {
    struct mover_lane *l;
    const char *src, *dst;
    uint32_t archive_id;
    struct admin_report *r;
    struct found_list list; /* copies to be made: label holds the path below dst, "" dst itself */
};

/* One copy at dst, or below it at rel. A failure is reported and does not stop the others. */
static void import_copy(struct import *im, const struct uuid *id, char *key, const char *rel)
{
    struct err err = {0};
    struct tier_location loc = {.key = key};
    auto_free char *dst = *rel != '\0' ? xasprintf("%s/%s", im->dst, rel) : xstrdup(im->dst);
    struct stub_plan plan = {.id = id, .loc = &loc, .dst = dst, .archive_id = im->archive_id};
    if (stub_make(im->l, &plan, im->r, &err) < 0)
        report(im->r, true, "%s: %s", dst, err.text);
}

static void remember(struct import *im, const struct uuid *id, const char *key, const char *rel)
{
    struct found_list *l = &im->list;
    l->v = xrealloc_array(l->v, l->n + 1, sizeof(*l->v));
    l->v[l->n++] = (struct found){.id = *id, .key = xstrdup(key), .label = xstrdup(rel)};
}

/* ---- by FID ---- */

/* The newest copy of any file system whose label has this FID: of one that is no more. */
static int newest_of_fid(struct import *im, const struct lu_fid *fid, struct copy *out,
                         struct err *err)
{
    auto_found struct found_list all = {0};
    const struct found *best = NULL;
    int rc = found_all(im->l, &all, err);
    for (size_t i = 0; rc == 0 && i < all.n; i++) {
        struct lu_fid got;
        if (all.v[i].complete && label_parse(all.v[i].label, &got, NULL, NULL) == 0 &&
            memcmp(&got, fid, sizeof(got)) == 0 &&
            (best == NULL || all.v[i].newest_ns >= best->newest_ns))
            best = &all.v[i];
    }
    if (rc != 0 || best == NULL)
        return rc != 0 ? rc : FIND_NONE;
    *out = (struct copy){.id = best->id, .loc = {.key = xstrdup(best->key)}};
    return 0;
}

static int import_fid(struct import *im, const struct lu_fid *fid, struct err *err)
{
    auto_copy struct copy c = {0};
    int rc = find_copy(im->l, fid, -1, NULL, &c, err);
    if (rc == FIND_NONE)
        rc = newest_of_fid(im, fid, &c, err);
    if (rc == FIND_NONE)
        return err_set(err, -ENOENT, "no copy of %s is known", im->src);
    if (rc == 0)
        import_copy(im, &c.id, c.loc.key, "");
    return rc;
}

/* ---- by archive id ---- */

static int import_id(struct import *im, const struct uuid *id, struct err *err)
{
    auto_copy struct copy c = {0};
    auto_index_copies struct index_copies rows = {0};
    int rc = index_get(im->l->m->index, id, &rows, err);
    if (rc == 0)
        c = (struct copy){.id = *id, .loc = {.key = xstrdup(rows.v[0].key)}};
    else if (rc == INDEX_ABSENT)
        rc = find_in_tier(im->l, NULL, id, &c, err);
    if (rc == FIND_NONE)
        return err_set(err, -ENOENT, "no copy has the archive id %s", im->src);
    if (rc == 0)
        import_copy(im, &c.id, c.loc.key, "");
    return rc;
}

/* ---- by path at archive time ---- */

/* What of path lies below src: "" for src itself, NULL when it does not. */
static const char *below(const char *path, const char *src)
{
    size_t n = strlen(src);
    while (n > 0 && src[n - 1] == '/')
        n--;
    if (n == 0)
        return path;
    if (strncmp(path, src, n) != 0 || (path[n] != '\0' && path[n] != '/'))
        return NULL;
    return path[n] == '/' ? path + n + 1 : path + n;
}

static int on_entry(void *arg, const struct tier_entry *e, struct err *err)
{
    struct import *im = arg;
    const char *rel = e->path != NULL ? below(e->path, im->src) : NULL;
    (void)err;
    if (rel != NULL)
        remember(im, &e->id, e->location->key, rel);
    return 0;
}

static int import_paths(struct import *im, struct err *err)
{
    while (*im->src == '/')
        im->src++;
    int rc = tier_list(im->l->tier, on_entry, im, err);
    if (rc == 0 && im->list.n == 0)
        return err_set(err, -ENOENT, "nothing was archived as %s or below it", im->src);
    return rc;
}

/* ---- plain objects ---- */

struct plain {
    struct import *im;
    const char *bucket, *prefix; /* prefix: the object itself, or a directory of keys */
};

static int on_object(void *arg, const struct store_item *item, struct err *err)
{
    const struct plain *p = arg;
    const char *rel = below(item->key, p->prefix);
    size_t n = strlen(item->key);
    (void)err;
    if (rel == NULL || n == 0 || item->key[n - 1] == '/') /* the last: a directory's own object */
        return 0;
    auto_free char *key = xasprintf(S3_PLAIN_PREFIX "%s/%s", p->bucket, item->key);
    struct uuid id = foreign_id(key);
    remember(p->im, &id, key, rel);
    return 0;
}

static int import_objects(struct import *im, const char *where, struct err *err)
{
    auto_free char *bucket = xstrdup(where);
    char *slash = strchr(bucket, '/');
    struct plain p = {im, bucket, slash != NULL ? slash + 1 : ""};
    if (slash != NULL)
        *slash = '\0';
    if (im->l->m->s3 == NULL)
        return err_set(err, -EINVAL, "%s: objects can be imported from an S3 store only", im->src);
    int rc =
        store_list(s3_tier_store(im->l->m->s3), bucket, p.prefix, "", on_object, &p, NULL, err);
    if (rc == STORE_ABSENT)
        return err_set(err, -ENOENT, "there is no bucket %s", bucket);
    if (rc == 0 && im->list.n == 0)
        return err_set(err, -ENOENT, "no object is called %s or lies below it", im->src);
    return rc;
}

static int import_any(struct import *im, struct err *err)
{
    struct lu_fid fid;
    struct uuid id;
    if (strcmp(im->l->m->config.tier_kind, "posix") == 0)
        return posix_import(im->l, im->src, im->dst, im->archive_id, im->r, err);
    if (strncmp(im->src, S3_URL, strlen(S3_URL)) == 0)
        return import_objects(im, im->src + strlen(S3_URL), err);
    if (strncmp(im->src, S3_PLAIN_PREFIX, strlen(S3_PLAIN_PREFIX)) == 0)
        return import_objects(im, im->src + strlen(S3_PLAIN_PREFIX), err);
    if (fid_parse(im->src, &fid) == 0)
        return import_fid(im, &fid, err);
    if (uuid_parse(im->src, &id) == 0)
        return import_id(im, &id, err);
    return import_paths(im, err);
}

int admin_import(struct mover *m, const char *src, const char *dst, uint32_t archive_id,
                 struct admin_report *r, struct err *err)
{
    struct import im = {.l = m->own,
                        .src = src,
                        .dst = dst,
                        .archive_id = archive_id != 0 ? archive_id : 1,
                        .r = r};
    if (m->own->tier == NULL)
        return err_set(err, -EIO, "the tier could not be opened");
    if (dst[0] != '/')
        return err_set(err, -EINVAL, "%s: the destination must be an absolute path", dst);
    int rc = import_any(&im, err);
    for (size_t i = 0; rc == 0 && i < im.list.n; i++)
        import_copy(&im, &im.list.v[i].id, im.list.v[i].key, im.list.v[i].label);
    found_fini(&im.list);
    return rc == 0 ? report_result(r, "import", err) : rc;
}
