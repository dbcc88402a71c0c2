/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine_impl.h"

#include "base/log.h"
#include "base/mem.h"
#include "codec/encode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 256

/* An entry of the index that waits to be looked up. */
struct seen {
    struct uuid id;
    char *fs, *path, *hash;
    uint64_t size;
    int64_t mtime_ns;
    struct tier_location loc;
};

struct walk {
    struct engine *e;
    struct volume *v;
    struct tier *t;
    void (*seen)(void *arg); /* or NULL */
    void *seen_arg;
    struct seen page[PAGE];
    size_t n;
    int64_t found, garbage, lost;
};

static void free_page(struct walk *w)
{
    for (size_t i = 0; i < w->n; i++) {
        free(w->page[i].fs);
        free(w->page[i].path);
        free(w->page[i].hash);
        tier_location_fini(&w->page[i].loc);
    }
    w->n = 0;
}

/* Whether the file at the entry's path says that this archive is its own. Then *a gets its
 * identity. */
static bool is_live(struct engine *e, const struct seen *s, struct catalog_archive *a)
{
    struct efs *fs = efs_by_name(e, s->fs);
    struct file_info info;
    if (fs == NULL || fs->fs == NULL)
        return false;
    a->fs = fs->uuid;
    if (file_inspect_path(fs->fs, s->path, &info, NULL) != 0 || !info.has_record ||
        info.note == FILE_NOTE_COPIED || memcmp(&info.record.archive, &s->id, sizeof(s->id)) != 0)
        return false;
    a->ino = info.id.ino;
    a->gen = info.id.gen;
    a->handle_len = info.id.handle_len;
    memcpy(a->handle, info.id.handle, info.id.handle_len);
    return true;
}

/* "sha256:<hex>" into the archive's digest. */
static void take_hash(const char *hash, struct catalog_archive *a)
{
    enum digest_alg alg;
    const char *colon = hash != NULL ? strchr(hash, ':') : NULL;
    a->digest_alg = -1;
    if (colon == NULL)
        return;
    auto_free char *name = xstrndup(hash, (size_t)(colon - hash));
    if (digest_parse(name, &alg) != 0 ||
        encode_hex_decode(colon + 1, a->digest, digest_size(alg)) != 0)
        return;
    a->digest_alg = (int)alg;
    a->digest_len = (uint32_t)digest_size(alg);
}

/* Tells the catalogue of a copy that it does not know. */
static int adopt(struct walk *w, const struct seen *s, int copy_no, bool known_archive,
                 struct err *err)
{
    struct engine *e = w->e;
    struct catalog_archive a = {
        .archive = s->id, .size = s->size, .mtime_ns = s->mtime_ns, .path = s->path};
    struct catalog_copy c = {.archive = s->id,
                             .copy_no = copy_no,
                             .volume = w->v->row.id,
                             .path = s->loc.key,
                             .partition = 'a' + (int)s->loc.partition,
                             .start_block = s->loc.block,
                             .byte_offset = s->loc.byteoffset,
                             .length = s->size};
    (void)snprintf(c.tier, sizeof(c.tier), "%s", tier_kind(w->t));
    take_hash(s->hash, &a);
    bool live = known_archive ? archive_is_referenced(e, &s->id) : is_live(e, s, &a);
    int rc = catalog_archive_add(e->cat, &a, known_archive ? 0 : 1, &c, 1, err);
    w->found++;
    if (rc == 0 && !live) {
        copies_set_state(e, &s->id, copy_no, CATALOG_COPY_GARBAGE, s->path);
        w->garbage++;
    }
    return rc;
}

/* What the catalogue has of s: is the copy on this volume known, which copy numbers are taken. */
static bool is_known(const struct walk *w, const struct seen *s, const struct catalog_copies *c,
                     int *copy_no, bool *archive)
{
    int highest = 0;
    for (size_t i = 0; i < c->n; i++) {
        if (memcmp(&c->v[i].archive, &s->id, sizeof(s->id)) != 0)
            continue;
        if (c->v[i].volume == w->v->row.id)
            return true;
        if (c->v[i].copy_no > highest)
            highest = c->v[i].copy_no;
        *archive = true;
    }
    if (!*archive) { /* an archive that lost its copies' rows */
        struct catalog_archives a = {0};
        *archive = catalog_archive_get(w->e->cat, &s->id, &a, NULL) == 0;
        catalog_archives_fini(&a);
    }
    *copy_no = highest + 1;
    return false;
}

static int flush_page(struct walk *w, struct err *err)
{
    struct catalog_copies c = {0};
    struct uuid ids[PAGE];
    for (size_t i = 0; i < w->n; i++)
        ids[i] = w->page[i].id;
    int rc = catalog_copy_of(w->e->cat, ids, w->n, &c, err);
    for (size_t i = 0; rc == 0 && i < w->n; i++) {
        bool archive = false;
        int copy_no = 1;
        if (!is_known(w, &w->page[i], &c, &copy_no, &archive))
            rc = adopt(w, &w->page[i], copy_no, archive, err);
    }
    catalog_copies_fini(&c);
    free_page(w);
    return rc;
}

static int see(void *arg, const struct tier_entry *x, struct err *err)
{
    struct walk *w = arg;
    if (w->seen != NULL)
        w->seen(w->seen_arg);
    if (x->label != NULL && x->label[0] != '\0')
        return 0; /* of another program that shares the store */
    struct seen *s = &w->page[w->n++];
    memset(s, 0, sizeof(*s));
    s->id = x->id;
    s->fs = xstrdup(x->fs);
    s->path = xstrdup(x->path);
    s->hash = xstrdup(x->hash);
    s->size = x->size;
    s->mtime_ns = x->mtime_ns;
    tier_location_copy(&s->loc, x->location);
    return w->n == PAGE ? flush_page(w, err) : 0;
}

/* Copies that the catalogue believes in and the volume does not have. */
static int find_lost(struct walk *w, struct err *err)
{
    struct catalog_copy_pos pos = {0};
    for (;;) {
        struct catalog_copies c = {0};
        int rc = catalog_copy_page(w->e->cat, w->v->row.id, &pos, PAGE, &c, err);
        size_t n = c.n;
        for (size_t i = 0; rc == 0 && i < n; i++) {
            struct tier_location loc = {.key = xstrdup(c.v[i].path),
                                        .block = c.v[i].start_block,
                                        .byteoffset = (uint32_t)c.v[i].byte_offset};
            if (c.v[i].state == CATALOG_COPY_VALID &&
                tier_verify(w->t, &c.v[i].archive, &loc, NULL, NULL, NULL) == TIER_ABSENT) {
                copies_set_state(w->e, &c.v[i].archive, c.v[i].copy_no, CATALOG_COPY_LOST,
                                 c.v[i].path);
                w->lost++;
            }
            tier_location_fini(&loc);
        }
        catalog_copies_fini(&c);
        if (rc < 0 || n == 0)
            return rc;
    }
}

static int take_all(struct walk *w, struct err *err)
{
    int rc = tier_list(w->t, see, w, err);
    if (rc == 0 && w->n > 0)
        rc = flush_page(w, err);
    free_page(w);
    return rc;
}

int reconcile_store(struct engine *e, struct volume *v, struct tier *t, void (*seen)(void *arg),
                    void *arg, struct reconciled *out, struct err *err)
{
    auto_free struct walk *w = xzalloc(sizeof(*w));
    w->e = e;
    w->v = v;
    w->t = t;
    w->seen = seen;
    w->seen_arg = arg;
    lock_scope(&e->adopting);
    int rc = take_all(w, err);
    *out = (struct reconciled){.found = w->found, .garbage = w->garbage};
    return rc < 0 ? err_wrap(err, rc, "comparing store %s with the catalogue", v->row.barcode) : 0;
}

int reconcile_volume(struct edrive *d, struct err *err)
{
    auto_free struct walk *w = xzalloc(sizeof(*w));
    w->e = d->e;
    w->v = d->volume;
    w->t = d->tier;
    /* Two tapes with copies of one archive must not both give their copy the same number. */
    lock_scope(&d->e->adopting);
    int rc = take_all(w, err);
    if (rc == 0)
        rc = find_lost(w, err);
    if (rc < 0)
        return err_wrap(err, rc, "comparing cartridge %s with the catalogue",
                        d->volume->row.barcode);
    log_info("cartridge %s: compared with the catalogue: %lld copies "
             "taken up (%lld of them garbage), %lld lost",
             d->volume->row.barcode, (long long)w->found, (long long)w->garbage,
             (long long)w->lost);
    return 0;
}
