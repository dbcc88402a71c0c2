/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file's copies become garbage: noted before the end, so that a crash forgets none; deleted after
 * the configured delay, when the file proves that it needs them no more. An end that is not taken
 * makes them good again.
 */
#include "lustre/mover_impl.h"

#include "base/cleanup.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct job {
    struct mover_lane *l;
    struct action *a;
    struct lu_fid fid;
    int fd; /* the file, -1 when it is gone */
    struct hsm_user_state st;
    struct uuid key; /* that the file names */
    bool has_key;
    struct index_copies rows; /* as they were */
    struct err err;
};

/* The file, if it is still there. The MDT refuses to remove a released file's copy when it is
 * asked; a file that was released since then has its only data in that copy. */
static int look_at_file(struct job *j)
{
    j->fd = stub_open(j->l->m, &j->fid, &j->err);
    if (j->fd == -ENOENT)
        return 0;
    if (j->fd < 0)
        return j->fd;
    int rc = stub_key(j->fd, &j->key, &j->err);
    j->has_key = rc == 0;
    if (rc >= 0)
        rc = stub_state(j->l->m, j->fd, &j->st, &j->err);
    if (rc == 0 && (j->st.states & HS_RELEASED) != 0)
        return err_set(&j->err, -EPERM, "it is released, its copies are its only data");
    return rc;
}

/* A copy that the index does not have becomes a row, so that it is collected like all others. */
static int add_found(struct job *j)
{
    auto_copy struct copy c = {0};
    int rc = find_copy(j->l, &j->fid, j->fd, NULL, &c, &j->err);
    if (rc != 0)
        return rc == FIND_NONE ? 0 : rc;
    if (c.indexed)
        return 0;
    struct index_copy row = copy_row(j->l, &j->fid, &c);
    return index_put(j->l->m->index, &row, 1, &j->err);
}

static bool row_of_key(const struct job *j)
{
    for (size_t i = 0; i < j->rows.n; i++) {
        if (j->has_key && uuid_same(&j->rows.v[i].id, &j->key))
            return true;
    }
    return false;
}

/* All copies, into rows: of the index, and what only file, label or the old copytool's names tell.
 */
static int find_all(struct job *j)
{
    int rc = index_of_fid(j->l->m->index, &j->fid, &j->rows, &j->err);
    if (rc < 0)
        return rc;
    if (j->rows.n > 0 && (!j->has_key || row_of_key(j)))
        return 0;
    index_copies_fini(&j->rows);
    rc = add_found(j);
    if (rc < 0)
        return rc;
    rc = index_of_fid(j->l->m->index, &j->fid, &j->rows, &j->err);
    return rc < 0 ? rc : 0;
}

/* A request for all archives comes once for each: who never had the file says so. */
static bool is_ours(const struct job *j)
{
    uint32_t id = action_archive_id(j->a);
    if (j->fd >= 0 && j->st.archive_id != 0 && id != ARCHIVE_ID_ANY && j->st.archive_id != id)
        return false;
    return j->rows.n > 0 || id != ARCHIVE_ID_ANY;
}

/* Writes all rows as garbage since now (good: as they were). */
static int mark(struct job *j, bool good)
{
    auto_free struct index_copy *v = xzalloc((j->rows.n + 1) * sizeof(*v));
    int64_t now = time_now_ns();
    for (size_t i = 0; i < j->rows.n; i++) {
        v[i] = j->rows.v[i];
        if (!good && v[i].garbage_ns == 0)
            v[i].garbage_ns = now;
    }
    return j->rows.n > 0 ? index_put(j->l->m->index, v, j->rows.n, &j->err) : 0;
}

static int run(struct job *j)
{
    int rc = action_begin(j->a, -1, 0, &j->err);
    if (rc == 0 && j->l->tier == NULL)
        rc = err_set(&j->err, -EIO, "the tier could not be opened");
    if (rc == 0)
        rc = look_at_file(j);
    if (rc == 0)
        rc = find_all(j);
    if (rc == 0 && !is_ours(j))
        rc = err_set(&j->err, -ENOENT, "no copy of it is known here");
    if (rc == 0 && j->l->m->config.dry_run)
        rc = err_set(&j->err, -EAGAIN, "dry run, nothing is removed");
    if (rc == 0)
        rc = action_journal(j->a, NULL, j->has_key ? &j->key : NULL, &j->err);
    return rc == 0 ? mark(j, false) : rc;
}

static void forget_key(struct job *j)
{
    struct err err;
    char text[FID_TEXT_MAX];
    if (j->fd < 0)
        return;
    struct uuid now;
    int rc = stub_key(j->fd, &now, &err);
    if (rc == 0 && (!j->has_key || !uuid_same(&now, &j->key)))
        return; /* another node has archived it since */
    rc = rc < 0 ? rc : stub_set_key(j->fd, NULL, &err);
    if (rc == 0)
        rc = stub_set_place(j->fd, NULL, &err);
    if (rc < 0)
        log_warn("%s: it still names its removed copy: %s", fid_text(&j->fid, text), err.text);
}

static int finish(struct job *j)
{
    char text[FID_TEXT_MAX];
    crash_point(CRASH_lustre_remove_noted);
    int rc = action_end(j->a, 0, 0, &j->err);
    crash_point(CRASH_lustre_remove_ended);
    if (rc == 0) {
        forget_key(j);
        (void)garbage_others(j->l->m, &j->fid, NULL,
                             &j->err); /* should collecting have saved one */
        log_debug("%s: %zu copies removed", fid_text(&j->fid, text), j->rows.n);
    } else if (rc != ACTION_LOST && j->fd >= 0 && mark(j, true) < 0) {
        /* Collecting looks at the file again before it deletes. */
        log_warn("%s: %s", fid_text(&j->fid, text), j->err.text);
    }
    return rc;
}

int mover_remove(struct mover_lane *l, struct action *a)
{
    struct job j = {.l = l, .a = a, .fid = action_item(a)->fid, .fd = -1};
    struct err err;
    char text[FID_TEXT_MAX];
    int rc = run(&j);
    if (rc == 0) {
        rc = finish(&j);
    } else {
        int why = end_errno(a, rc);
        if (why != ECANCELED)
            log_err("%s: its copies are not removed: %s", fid_text(&j.fid, text), j.err.text);
        rc = action_end(a, why, 0, &err);
    }
    index_copies_fini(&j.rows);
    if (j.fd >= 0)
        (void)close(j.fd);
    return rc;
}
