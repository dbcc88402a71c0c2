/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Garbage: noted, proven, deleted. A copy is deleted only when the file is gone, or names another
 * copy, or is no longer archived; a doubt keeps it.
 */
#include "lustre/mover_impl.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAGE = 256 };

int garbage_others(struct mover *m, const struct lu_fid *fid, const struct uuid *keep,
                   struct err *err)
{
    auto_index_copies struct index_copies rows = {0};
    int rc = index_of_fid(m->index, fid, &rows, err);
    if (rc != 0)
        return rc == INDEX_ABSENT ? 0 : rc;
    int64_t now = time_now_ns();
    size_t n = 0;
    for (size_t i = 0; i < rows.n; i++) {
        if (rows.v[i].garbage_ns != 0 || (keep != NULL && uuid_same(&rows.v[i].id, keep)))
            continue;
        struct index_copy row = rows.v[i];
        row.garbage_ns = now;
        rows.v[n++] = row; /* strings stay the list's */
    }
    return n > 0 ? index_put(m->index, rows.v, n, err) : 0;
}

void discard_copy(struct mover_lane *l, const struct lu_fid *fid, const struct copy *c)
{
    struct err err;
    char text[FID_TEXT_MAX];
    int rc = 0;
    if (tier_caps(l->tier) & TIER_CAN_REMOVE)
        rc = tier_remove(l->tier, &c->id, &c->loc, &err);
    if (rc == 0 || rc == TIER_ABSENT) {
        rc = index_forget(l->m->index, &c->id, 1, &err);
    } else {
        struct index_copy row = copy_row(l, fid, c);
        row.garbage_ns = time_now_ns();
        log_warn("%s: a copy that is not needed is still there and will be garbage: %s",
                 fid_text(fid, text), err.text);
        rc = index_put(l->m->index, &row, 1, &err);
    }
    if (rc < 0)
        log_warn("%s: %s", fid_text(fid, text), err.text);
}

/* ---- after a crash ---- */

static int purge(struct mover *m, const struct lu_fid *fid, const struct uuid *id, struct err *err)
{
    char label[LABEL_MAX];
    int rc = place_purge(m->own, id, mover_label(m, fid, label), err);
    return rc == 0 ? index_forget(m->index, id, 1, err) : rc;
}

/* Makes sure that the copy which the file names is in the index, and that the others are garbage.
 */
static int adopt(struct mover *m, const struct lu_fid *fid, int fd, const struct uuid *id,
                 struct err *err)
{
    auto_copy struct copy c = {0};
    int rc = find_copy(m->own, fid, fd, NULL, &c, err);
    if (rc == FIND_NONE || (rc == 0 && !uuid_same(&c.id, id)))
        return err_set(err, -EIO, "the copy that the file names is not found");
    if (rc == 0 && !c.indexed) {
        struct index_copy row = copy_row(m->own, fid, &c);
        rc = index_put(m->index, &row, 1, err);
    }
    return rc == 0 ? garbage_others(m, fid, id, err) : rc;
}

static int settle_file(struct mover *m, const struct lu_fid *fid, int fd, const struct uuid *new_id,
                       const struct uuid *old_id, struct err *err)
{
    struct uuid key;
    struct hsm_user_state st = {0};
    int rc = stub_key(fd, &key, err);
    if (rc < 0)
        return rc;
    if (rc == STUB_NO_KEY || !uuid_same(&key, new_id))
        return purge(m, fid, new_id, err);
    rc = stub_state(m, fd, &st, err);
    if (rc < 0)
        return rc;
    if ((st.states & (HS_ARCHIVED | HS_DIRTY | HS_LOST)) == HS_ARCHIVED)
        return adopt(m, fid, fd, new_id, err);
    bool has_old = old_id != NULL && !uuid_is_zero(old_id);
    rc = stub_set_key(fd, has_old ? old_id : NULL, err);
    return rc == 0 ? purge(m, fid, new_id, err) : rc;
}

int mover_settle(struct mover *m, const struct hsm_action_item *item, const struct uuid *new_id,
                 const struct uuid *old_id, struct err *err)
{
    const struct lu_fid fid = item->fid;
    char text[FID_TEXT_MAX];
    if (new_id == NULL || uuid_is_zero(new_id) || m->config.dry_run)
        return 0;
    lock_scope(&m->own_lock);
    if (m->own->tier == NULL)
        return err_set(err, -EIO, "the tier could not be opened");
    auto_close int fd = stub_open(m, &fid, err);
    int rc;
    if (fd == -ENOENT)
        rc = purge(m, &fid, new_id, err);
    else
        rc = fd < 0 ? fd : settle_file(m, &fid, fd, new_id, old_id, err);
    return rc < 0 ? err_wrap(err, rc, "what a crash left of %s", fid_text(&fid, text)) : 0;
}

/* ---- collecting ---- */

enum proof { GARBAGE, NEEDED, UNKNOWN };

/* What the file of a copy that is noted as garbage says of it. */
static enum proof prove(struct mover *m, const struct index_copy *c)
{
    struct err err;
    struct uuid key;
    struct hsm_user_state st = {0};
    auto_close int fd = stub_open(m, &c->fid, &err);
    if (fd < 0)
        return fd == -ENOENT ? GARBAGE : UNKNOWN;
    int rc = stub_key(fd, &key, &err);
    if (rc < 0 || stub_state(m, fd, &st, &err) < 0)
        return UNKNOWN;
    if ((st.states & (HS_ARCHIVED | HS_RELEASED)) == 0)
        return GARBAGE;
    if (rc == 0)
        return uuid_same(&key, &c->id) ? NEEDED : GARBAGE;
    /* An archived file that names no copy: one of others, or an attribute that does not show. */
    auto_index_copies struct index_copies rows = {0};
    if (index_of_fid(m->index, &c->fid, &rows, &err) != 0)
        return UNKNOWN;
    for (size_t i = 0; i < rows.n; i++) {
        if (rows.v[i].garbage_ns == 0)
            return GARBAGE;
    }
    return NEEDED;
}

static int delete_copy(struct mover *m, const struct index_copy *c, struct err *err)
{
    const struct tier_location loc = row_location(c);
    int rc = 0;
    bool plain = strncmp(c->key, S3_PLAIN_PREFIX, strlen(S3_PLAIN_PREFIX)) == 0;
    if (!plain && (tier_caps(m->own->tier) & TIER_CAN_REMOVE)) /* objects of others stay theirs */
        rc = tier_remove(m->own->tier, &c->id, &loc, err);
    if (rc == 0)
        rc = tier_sync(m->own->tier, err);
    return rc < 0 ? rc : index_forget(m->index, &c->id, 1, err);
}

/* Returns 1 when c went, 0 when it stays, or a negative code. */
static int collect_one(struct mover *m, const struct index_copy *c, struct err *err)
{
    char text[FID_TEXT_MAX];
    struct index_copy row = *c;
    switch (prove(m, c)) {
    case GARBAGE:
        if (m->config.dry_run) {
            log_info("%s: dry run, a copy would be deleted", fid_text(&c->fid, text));
            return 0;
        }
        return delete_copy(m, c, err) < 0 ? err->code : 1;
    case NEEDED:
        log_warn("%s: a copy that was noted as garbage is needed and kept",
                 fid_text(&c->fid, text));
        row.garbage_ns = 0;
        return index_put(m->index, &row, 1, err);
    default:
        return 0;
    }
}

/* One page of what is due at before_ns, from *pos: *went copies are deleted, *more says whether to
 * go on. */
static int collect_page(struct mover *m, struct catalog_copy_pos *pos, int64_t before_ns,
                        uint64_t *went, bool *more, struct err *err)
{
    auto_index_copies struct index_copies rows = {0};
    int rc = index_garbage(m->index, pos, before_ns, PAGE, &rows, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < rows.n; i++) {
        struct err one = {0};
        rc = collect_one(m, &rows.v[i], &one);
        if (rc < 0)
            log_warn("garbage is left for the next time: %s", one.text);
        *went += rc == 1 ? 1 : 0;
    }
    *more = rows.n == PAGE;
    return 0;
}

int mover_collect(struct mover *m, uint64_t *n, struct err *err)
{
    struct catalog_copy_pos pos = {0};
    bool more = true;
    int rc = 0;
    int64_t before = time_now_ns() - m->config.conf->lustre.garbage_delay_s * NS_PER_SEC;
    *n = 0;
    lock_scope(&m->own_lock);
    if (m->own->tier == NULL)
        return err_set(err, -EIO, "the tier could not be opened");
    while (rc == 0 && more)
        rc = collect_page(m, &pos, before, n, &more, err);
    return rc;
}
