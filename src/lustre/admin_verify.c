/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Index, tier and files against each other, in three passes: what the index says is looked for in
 * the tier and in the files; what the tier has is looked for in the index; what files say is looked
 * for in both.
 */
#include "lustre/admin_impl.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 1000 };

struct verify {
    struct mover *m;
    struct mover_lane *l;
    bool data, repair;
    struct admin_report *r;
};

/* ---- the index's copies ---- */

/* A file without its copy: what can still be read must be archived again, the rest is lost. */
static void mark_file(struct verify *v, int fd, const struct hsm_user_state *st, const char *name)
{
    bool lost = (st->states & HS_RELEASED) != 0;
    report(v->r, true, "%s: no good copy%s", name,
           lost ? ", and its data is released" : "; its data is on disk");
    if (!v->repair)
        return;
    int rc = v->m->config.api->hsm_state_set_fd(fd, lost ? HS_LOST : HS_DIRTY, 0, 0);
    report(v->r, false, "%s: %s %s", name, rc == 0 ? "marked" : "could not be marked",
           lost ? "lost" : "dirty");
}

static void to_garbage(struct verify *v, const struct index_copy *c, const char *why)
{
    struct err err = {0};
    char text[FID_TEXT_MAX];
    struct index_copy row = *c;
    report(v->r, false, "%s: %s: a copy that %s", fid_text(&c->fid, text), c->key, why);
    if (!v->repair)
        return;
    row.garbage_ns = time_now_ns();
    if (index_put(v->m->index, &row, 1, &err) < 0)
        report(v->r, true, "%s: %s", text, err.text);
}

/* Whether the tier has c as it should be; what is wrong stands in err. */
static int check_copy(struct verify *v, const struct index_copy *c, struct err *err)
{
    const struct tier_location loc = row_location(c);
    struct tier_digest want = {.alg = DIGEST_XXH3_128};
    uint64_t size = c->size;
    if ((tier_caps(v->l->tier) & TIER_CAN_GET) == 0)
        return 0;
    memcpy(want.value, c->digest, sizeof(c->digest));
    int rc =
        tier_verify(v->l->tier, &c->id, &loc, v->data && c->has_digest ? &want : NULL, &size, err);
    if (rc == TIER_ABSENT)
        return err_set(err, -ENOENT, "%s is not there", c->key);
    if (rc == 0 && size != c->size)
        return err_set(err, -EBADMSG, "%s has %llu bytes instead of %llu", c->key,
                       (unsigned long long)size, (unsigned long long)c->size);
    return rc;
}

/* The file of a copy: nobody's, another's, or needed and then to be good. */
static void check_needed(struct verify *v, const struct index_copy *c)
{
    struct err err = {0};
    struct uuid key;
    struct hsm_user_state st = {0};
    char text[FID_TEXT_MAX];
    auto_close int fd = stub_open(v->m, &c->fid, &err);
    if (fd == -ENOENT) {
        to_garbage(v, c, "no file needs: its file is gone");
        return;
    }
    int rc = fd < 0 ? fd : stub_key(fd, &key, &err);
    if (rc == 0 && !uuid_same(&key, &c->id)) {
        to_garbage(v, c, "no file needs: its file names another");
        return;
    }
    if (rc >= 0)
        rc = stub_state(v->m, fd, &st, &err);
    if (rc < 0) {
        report(v->r, true, "%s: %s", fid_text(&c->fid, text), err.text);
        return;
    }
    if (check_copy(v, c, &err) == 0)
        return;
    report(v->r, false, "%s: %s", fid_text(&c->fid, text), err.text);
    mark_file(v, fd, &st, fid_text(&c->fid, text));
}

static int check_index(struct verify *v, struct err *err)
{
    uint64_t after = 0;
    for (;;) {
        auto_index_copies struct index_copies rows = {0};
        int rc = index_page(v->m->index, &after, PAGE, &rows, err);
        if (rc < 0 || rows.n == 0)
            return rc;
        for (size_t i = 0; i < rows.n; i++) {
            if (rows.v[i].garbage_ns != 0)
                continue;
            v->r->files++;
            v->r->bytes += v->data ? rows.v[i].size : 0;
            check_needed(v, &rows.v[i]);
        }
    }
}

/* ---- the tier's copies ---- */

/* What an attempt that never ended has left. No copytool of this index runs, but one of another
 * node may be at it: what was written a short time ago stays. */
static void drop_piece(struct verify *v, const struct found *f)
{
    struct err err = {0};
    char id[UUID_TEXT];
    int64_t old = time_now_ns() - v->m->config.conf->lustre.garbage_delay_s * NS_PER_SEC;
    uuid_format(&f->id, id);
    if (f->damaged) { /* a finished copy that is hurt: for people to judge, never for us to delete
                       */
        report(v->r, true, "%s: what closes this copy is there, but not all of it can be found",
               id);
        return;
    }
    report(v->r, false, "%s: parts of a copy that was never finished%s", id,
           f->newest_ns > old ? "; they are young and stay" : "");
    if (v->repair && f->newest_ns <= old && place_purge(v->l, &f->id, f->label, &err) < 0)
        report(v->r, true, "%s: %s", id, err.text);
}

/* A whole copy that the index does not have: the file says whether it is one. */
static void adopt(struct verify *v, const struct found *f, const struct lu_fid *fid)
{
    struct err err = {0};
    struct uuid key;
    struct copy c = {.id = f->id, .loc = {.key = f->key}};
    char id[UUID_TEXT];
    uuid_format(&f->id, id);
    auto_close int fd = stub_open(v->m, fid, &err);
    bool named = fd >= 0 && stub_key(fd, &key, &err) == 0 && uuid_same(&key, &f->id);
    report(v->r, false, "%s: a copy that the index does not have%s", id,
           named ? "" : ", and no file names");
    if (!v->repair)
        return;
    int rc = find_facts(v->l, &c, &err);
    struct index_copy row = copy_row(v->l, fid, &c);
    row.garbage_ns = named ? 0 : time_now_ns();
    if (rc == 0)
        rc = index_put(v->m->index, &row, 1, &err);
    if (rc != 0)
        report(v->r, true, "%s: %s", id, err.text);
}

static bool is_ours(const struct mover *m, const char *label, struct lu_fid *fid)
{
    char mine[LABEL_MAX];
    return label_parse(label, fid, NULL, NULL) == 0 &&
           strcmp(mover_label(m, fid, mine), label) == 0;
}

static int check_tier(struct verify *v, struct err *err)
{
    auto_found struct found_list all = {0};
    int rc = found_all(v->l, &all, err);
    for (size_t i = 0; rc == 0 && i < all.n; i++) {
        struct lu_fid fid;
        auto_index_copies struct index_copies rows = {0};
        if (!is_ours(v->m, all.v[i].label, &fid))
            continue;
        if (!all.v[i].complete) {
            drop_piece(v, &all.v[i]);
            continue;
        }
        rc = index_get(v->m->index, &all.v[i].id, &rows, err);
        if (rc == INDEX_ABSENT)
            adopt(v, &all.v[i], &fid);
        rc = rc < 0 ? rc : 0;
    }
    return rc;
}

/* ---- what files say ---- */

/* The row of the copy that a file names is of that file and good, whatever its label says: a file
 * that was imported names a copy whose label is of a file that is gone. */
static void claim_copy(struct verify *v, const struct lu_fid *fid, struct index_copy *row,
                       const char *name)
{
    struct err err = {0};
    if (row->garbage_ns == 0 && memcmp(&row->fid, fid, sizeof(*fid)) == 0)
        return;
    report(v->r, false, "%s: the index does not say that its copy %s is needed", name, row->key);
    row->fid = *fid;
    row->garbage_ns = 0;
    if (v->repair && index_put(v->m->index, row, 1, &err) < 0)
        report(v->r, true, "%s: %s", name, err.text);
}

/* The copy that the file has is not in the index: it is found, or the file has none. */
static void seek_copy(struct verify *v, int fd, const struct lu_fid *fid,
                      const struct hsm_user_state *st, const char *name)
{
    struct err err = {0};
    auto_copy struct copy c = {0};
    int rc = find_copy(v->l, fid, fd, NULL, &c, &err);
    if (rc == FIND_NONE) {
        mark_file(v, fd, st, name);
    } else if (rc < 0) {
        report(v->r, true, "%s: %s", name, err.text);
    } else if (!c.indexed) {
        report(v->r, false, "%s: its copy %s is not in the index", name, c.loc.key);
        struct index_copy row = copy_row(v->l, fid, &c);
        if (v->repair && index_put(v->m->index, &row, 1, &err) < 0)
            report(v->r, true, "%s: %s", name, err.text);
    }
}

/* A file that says archived: its copy is known to the index (and was looked at), or is found. */
static void check_archived(struct verify *v, int fd, const struct hsm_user_state *st,
                           const char *name)
{
    struct err err = {0};
    struct uuid key;
    struct lu_fid fid;
    auto_index_copies struct index_copies rows = {0};
    int rc = v->m->config.api->fd2fid != NULL ? v->m->config.api->fd2fid(fd, &fid) : -ENOTSUP;
    if (rc < 0) {
        report(v->r, true, "%s: its FID: %s", name, strerror(-rc));
    } else if (stub_key(fd, &key, &err) == 0 && index_get(v->m->index, &key, &rows, &err) == 0) {
        claim_copy(v, &fid, &rows.v[0], name);
    } else {
        v->r->files++;
        seek_copy(v, fd, &fid, st, name);
    }
}

static void check_file(struct verify *v, const char *path)
{
    struct err err = {0};
    struct hsm_user_state st = {0};
    auto_close int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);
    if (fd < 0) {
        if (errno != ENOENT)
            report(v->r, true, "%s: %s", path, strerror(errno));
        return;
    }
    if (stub_state(v->m, fd, &st, &err) < 0)
        report(v->r, true, "%s: %s", path, err.text);
    else if ((st.states & (HS_ARCHIVED | HS_RELEASED)) != 0 && (st.states & HS_LOST) == 0)
        check_archived(v, fd, &st, path);
}

static int check_files(struct verify *v, struct err *err)
{
    char *const roots[] = {(char *)(uintptr_t)v->m->config.mount, NULL};
    FTS *t = fts_open(roots, FTS_PHYSICAL | FTS_XDEV | FTS_NOCHDIR, NULL);
    if (t == NULL)
        return err_sys(err, errno, "%s", v->m->config.mount);
    for (FTSENT *e; (e = fts_read(t)) != NULL;) {
        if (e->fts_info == FTS_D && e->fts_level == 1 && strcmp(e->fts_name, ".lustre") == 0)
            (void)fts_set(t, e, FTS_SKIP);
        if (e->fts_info == FTS_F)
            check_file(v, e->fts_path);
        if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR)
            report(v->r, true, "%s: %s", e->fts_path, strerror(e->fts_errno));
    }
    (void)fts_close(t);
    return 0;
}

int admin_verify(struct mover *m, bool data, bool repair, struct admin_report *r, struct err *err)
{
    struct verify v = {m, m->own, data, repair && !m->config.dry_run, r};
    if (m->own->tier == NULL)
        return err_set(err, -EIO, "the tier could not be opened");
    int rc = check_index(&v, err);
    if (rc == 0)
        rc = check_tier(&v, err);
    if (rc == 0)
        rc = check_files(&v, err);
    return rc == 0 ? report_result(r, "verify", err) : rc;
}
