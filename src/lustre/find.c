/* SPDX-License-Identifier: Apache-2.0 */
/* Which copy a file has, and where it is. */
#include "lustre/mover_impl.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/digest.h"
#include "lustre/meta.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void copy_fini(struct copy *c)
{
    tier_location_fini(&c->loc);
    *c = (struct copy){0};
}

bool is_foreign(const char *key)
{
    return strncmp(key, S3_LEGACY_PREFIX, strlen(S3_LEGACY_PREFIX)) == 0 ||
           strncmp(key, S3_PLAIN_PREFIX, strlen(S3_PLAIN_PREFIX)) == 0;
}

struct uuid foreign_id(const char *key)
{
    struct uuid u;
    uint8_t value[DIGEST_MAX];
    (void)digest_of(DIGEST_XXH3_128, key, strlen(key), value);
    memcpy(u.b, value, sizeof(u.b));
    u.b[6] = (uint8_t)((u.b[6] & 0x0f) | 0x80); /* RFC 9562, 5.8 */
    u.b[8] = (uint8_t)((u.b[8] & 0x3f) | 0x80);
    return u;
}

struct index_copy copy_row(const struct mover_lane *l, const struct lu_fid *fid,
                           const struct copy *c)
{
    struct index_copy row = {.id = c->id,
                             .fid = *fid,
                             .kind = tier_kind(l->tier),
                             .key = c->loc.key,
                             .block = c->loc.block,
                             .last_block = c->loc.last_block,
                             .path = "",
                             .size = c->size,
                             .mtime_ns = c->mtime_ns,
                             .has_digest = c->has_digest};
    memcpy(row.digest, c->digest, sizeof(row.digest));
    return row;
}

static void from_row(const struct index_copy *row, struct copy *out)
{
    *out = (struct copy){
        .id = row->id,
        .loc = {.key = xstrdup(row->key), .block = row->block, .last_block = row->last_block},
        .size = row->size,
        .mtime_ns = row->mtime_ns,
        .has_digest = row->has_digest,
        .indexed = true};
    memcpy(out->digest, row->digest, sizeof(out->digest));
}

/* ---- what the tier says ---- */

static int take_facts(void *arg, const struct tier_entry *e, struct err *err)
{
    struct copy *c = arg;
    (void)err;
    c->size = e->size;
    c->mtime_ns = e->mtime_ns;
    c->has_digest = meta_digest(e, c->digest);
    return 0;
}

int find_facts(struct mover_lane *l, struct copy *c, struct err *err)
{
    int rc;
    if (tier_caps(l->tier) & TIER_CAN_SHOW)
        rc = tier_show(l->tier, &c->id, &c->loc, take_facts, c, err);
    else
        rc = tier_verify(l->tier, &c->id, &c->loc, NULL, &c->size, err);
    return rc == TIER_ABSENT ? FIND_NONE : rc;
}

struct search {
    const struct uuid *id; /* NULL: the newest */
    struct copy best;
    int64_t best_ns;
};

static int consider(void *arg, const struct place_item *item, struct err *err)
{
    struct search *s = arg;
    (void)err;
    if (!item->complete || (s->id != NULL && !uuid_same(s->id, &item->id)))
        return 0;
    if (s->best.loc.key != NULL && item->newest_ns <= s->best_ns)
        return 0;
    copy_fini(&s->best);
    s->best.id = item->id;
    tier_location_copy(&s->best.loc, item->loc);
    s->best_ns = item->newest_ns;
    return 0;
}

int find_in_tier(struct mover_lane *l, const char *label, const struct uuid *id, struct copy *out,
                 struct err *err)
{
    struct search s = {.id = id};
    if (l->m->s3 == NULL && id == NULL)
        return FIND_NONE; /* other kinds do not tell which label a copy has */
    int rc = place_walk(l, label, consider, &s, err);
    if (rc != 0 || s.best.loc.key == NULL) {
        copy_fini(&s.best);
        return rc != 0 ? rc : FIND_NONE;
    }
    *out = s.best;
    return find_facts(l, out, err);
}

/* A file of a posix archive, of this tool (id) or of lhsmtool_posix, which knows no ids. */
static int find_posix(struct mover_lane *l, const struct lu_fid *fid, const struct uuid *id,
                      struct copy *out, struct err *err)
{
    int rc = FIND_NONE;
    for (int v1 = 0; rc == FIND_NONE && v1 <= 1; v1++) {
        auto_copy struct copy c = {.loc = {.key = place_posix_key(l->m, fid, v1 == 1)}};
        if (c.loc.key == NULL)
            return FIND_NONE;
        c.id = id != NULL ? *id : foreign_id(c.loc.key);
        rc = find_facts(l, &c, err);
        if (rc == 0) {
            *out = c;
            c = (struct copy){0};
        }
    }
    return rc;
}

int find_legacy(struct mover_lane *l, const struct lu_fid *fid, struct copy *out, struct err *err)
{
    char text[64];
    if (l->m->s3 == NULL)
        return FIND_NONE;
    auto_copy struct copy c = {0};
    c.loc.key = xasprintf(S3_LEGACY_PREFIX "%s", label_fid(fid, text));
    c.id = foreign_id(c.loc.key);
    int rc = find_facts(l, &c, err);
    if (rc != 0)
        return rc;
    *out = c;
    c = (struct copy){0};
    return 0;
}

/* ---- by what is known of the file ---- */

static int from_index(struct mover_lane *l, const struct uuid *id, const struct lu_fid *fid,
                      struct copy *out, struct err *err)
{
    auto_index_copies struct index_copies rows = {0};
    int rc = id != NULL ? index_get(l->m->index, id, &rows, err)
                        : index_of_fid(l->m->index, fid, &rows, err);
    if (rc != 0)
        return rc == INDEX_ABSENT ? FIND_NONE : rc;
    for (size_t i = 0; i < rows.n; i++) {
        if (id == NULL && rows.v[i].garbage_ns != 0)
            continue;
        if (memcmp(&rows.v[i].fid, fid, sizeof(*fid)) != 0)
            log_warn("a copy of another file is asked for and refused");
        else {
            from_row(&rows.v[i], out);
            return 0;
        }
    }
    return FIND_NONE;
}

/* The copy that the file itself names. A file may name a copy of another FID: it was imported. */
static int by_key(struct mover_lane *l, const struct lu_fid *fid, int fd, const struct uuid *id,
                  struct copy *out, struct err *err)
{
    auto_index_copies struct index_copies rows = {0};
    char label[LABEL_MAX];
    int rc = index_get(l->m->index, id, &rows, err);
    if (rc < 0)
        return rc;
    if (rc == 0) {
        from_row(&rows.v[0], out);
        return 0;
    }
    auto_free char *place = stub_place(fd);
    if (place != NULL) {
        *out = (struct copy){.id = *id, .loc = {.key = take_ptr(place)}, .placed = true};
        return find_facts(l, out, err);
    }
    rc = find_posix(l, fid, id, out, err);
    return rc != FIND_NONE ? rc : find_in_tier(l, mover_label(l->m, fid, label), id, out, err);
}

/* What nobody names any more: after unlink, or when attributes do not show. */
static int by_fid(struct mover_lane *l, const struct lu_fid *fid, struct copy *out, struct err *err)
{
    char label[LABEL_MAX];
    int rc = from_index(l, NULL, fid, out, err);
    if (rc == FIND_NONE)
        rc = find_posix(l, fid, NULL, out, err);
    if (rc == FIND_NONE)
        rc = find_in_tier(l, mover_label(l->m, fid, label), NULL, out, err);
    if (rc == FIND_NONE)
        rc = find_legacy(l, fid, out, err);
    return rc;
}

int find_copy(struct mover_lane *l, const struct lu_fid *fid, int fd, const struct uuid *want,
              struct copy *out, struct err *err)
{
    struct uuid id;
    char label[LABEL_MAX];
    auto_copy struct copy c = {0};
    int rc = FIND_NONE;
    if (want != NULL) {
        rc = from_index(l, want, fid, &c, err);
        if (rc == FIND_NONE && l->m->s3 != NULL) /* other kinds do not tell whose a copy is */
            rc = find_in_tier(l, mover_label(l->m, fid, label), want, &c, err);
    } else {
        int has = fd >= 0 ? stub_key(fd, &id, err) : STUB_NO_KEY;
        if (has < 0)
            return has;
        rc = has == 0 ? by_key(l, fid, fd, &id, &c, err) : by_fid(l, fid, &c, err);
    }
    if (rc == 0) {
        *out = c;
        c = (struct copy){0};
    }
    return rc;
}
