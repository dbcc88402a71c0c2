/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file from the tier into the volatile file that the coordinator then puts in the place of the
 * stub. Success is told only when all bytes are there, have the digest that was computed at
 * archive time, and are durable.
 */
#include "lustre/mover_impl.h"

#include "base/cleanup.h"
#include "base/crash.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/digest.h"
#include "lustre/layout.h"
#include "lustre/meta.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

struct job {
    struct mover_lane *l;
    struct action *a;
    struct lu_fid fid;
    int stub;
    struct copy copy;
    void *layout; /* owned; NULL: the directory's */
    size_t nlayout;
    uint64_t next; /* bytes seen by the digest */
    struct err err;
};

/* ---- layout ---- */

static void keep_layout(struct job *j, const void *blob, size_t n, const char *whose)
{
    struct err err;
    char text[FID_TEXT_MAX];
    void *out = NULL;
    size_t nout = 0;
    int rc = layout_prepare(blob, n, &out, &nout, &err);
    if (rc < 0)
        log_warn("%s: the layout of the %s is not used: %s", fid_text(&j->fid, text), whose,
                 err.text);
    if (rc != 0)
        return;
    free(j->layout);
    j->layout = out;
    j->nlayout = nout;
}

static void stub_layout(struct job *j)
{
    if (!j->l->m->config.conf->lustre.restore_layout || j->stub < 0)
        return;
    ssize_t n = meta_get(j->stub, LAYOUT_XATTR, j->l->buf, LAYOUT_MAX);
    if (n > 0)
        keep_layout(j, j->l->buf, (size_t)n, "stub");
}

static int take_layout(void *arg, const struct tier_entry *e, struct err *err)
{
    struct job *j = arg;
    const struct tier_xattr *x = meta_find(e, META_LAYOUT);
    (void)err;
    if (x != NULL)
        keep_layout(j, x->value, x->len, "copy");
    return 0;
}

/* A file that was imported has a stub of the default layout: its copy knows a better one. */
static void copy_layout(struct job *j)
{
    struct err err;
    auto_free char *place = stub_place(j->stub);
    if (place == NULL || is_foreign(place) || !j->l->m->config.conf->lustre.restore_layout ||
        (tier_caps(j->l->tier) & TIER_CAN_SHOW) == 0)
        return;
    (void)tier_show(j->l->tier, &j->copy.id, &j->copy.loc, take_layout, j, &err);
}

/* Before the first write; the file gets the directory's layout when it cannot be. */
static void set_layout(struct job *j)
{
    char text[FID_TEXT_MAX];
    if (j->layout == NULL)
        return;
    if (fsetxattr(action_fd(j->a), LAYOUT_XATTR, j->layout, j->nlayout, XATTR_CREATE) != 0)
        log_warn("%s: its layout cannot be set (%s), it gets the default one",
                 fid_text(&j->fid, text), strerror(errno));
}

/* ---- data ---- */

static void digest_gap(struct digest *d, uint64_t n)
{
    static const uint8_t zeros[65536];
    while (n > 0) {
        size_t part = n < sizeof(zeros) ? (size_t)n : sizeof(zeros);
        digest_update(d, zeros, part);
        n -= part;
    }
}

/* Holes of the copy are left holes. */
static int write_piece(void *arg, uint64_t off, const void *data, size_t n, struct err *err)
{
    struct job *j = arg;
    if (off < j->next || off > j->copy.size || n > j->copy.size - off)
        return err_set(err, -EBADMSG, "%s: bytes at %llu that do not belong to the copy",
                       j->copy.loc.key, (unsigned long long)off);
    throttle(j->l->m, j->a, n);
    if (action_stopped(j->a))
        return err_set(err, -ECANCELED, "cancelled");
    int rc = io_pwrite_full(action_fd(j->a), data, n, (off_t)off);
    if (rc < 0)
        return err_sys(err, -rc, "writing at byte %llu", (unsigned long long)off);
    digest_gap(j->l->digest, off - j->next);
    digest_update(j->l->digest, data, n);
    action_progress(j->a, off - j->next + n, j->copy.size);
    j->next = off + n;
    crash_point(CRASH_lustre_restore_half);
    return 0;
}

static int check_digest(struct job *j)
{
    uint8_t got[DIGEST_MAX];
    digest_gap(j->l->digest, j->copy.size - j->next);
    action_progress(j->a, j->copy.size - j->next, j->copy.size);
    (void)digest_final(j->l->digest, got);
    if (!j->copy.has_digest || memcmp(got, j->copy.digest, sizeof(j->copy.digest)) == 0)
        return 0;
    return err_set(&j->err, -EBADMSG, "%s: %s: the data are not those that were archived",
                   tier_name(j->l->tier), j->copy.loc.key);
}

static int fetch(struct job *j)
{
    digest_reset(j->l->digest);
    int rc = tier_get(j->l->tier, &j->copy.id, &j->copy.loc, j->l->buf, LANE_BUFFER, write_piece, j,
                      &j->err);
    if (rc == TIER_ABSENT)
        return err_set(&j->err, -ENOENT, "%s: %s is not there", tier_name(j->l->tier),
                       j->copy.loc.key);
    if (rc < 0)
        return rc;
    rc = check_digest(j);
    if (rc < 0)
        return rc;
    /* Data up to the end have given the file its size already. */
    if (j->next < j->copy.size && ftruncate(action_fd(j->a), (off_t)j->copy.size) != 0)
        return err_sys(&j->err, errno, "giving the file its size");
    if (fsync(action_fd(j->a)) != 0)
        return err_sys(&j->err, errno, "making the data durable");
    return action_stopped(j->a) ? err_set(&j->err, -ECANCELED, "cancelled") : 0;
}

/* ---- from begin to end ---- */

/* What the requester asked for; another file's copy is never given out. */
static int hinted(struct job *j, struct uuid *id, bool *has)
{
    size_t n = 0;
    const void *data = action_hint(j->a, &n);
    int rc = hint_key(data, n, id);
    *has = rc == 0;
    return rc == -EINVAL ? err_set(&j->err, rc, "the request's key is no archive id") : 0;
}

static int begin(struct job *j)
{
    struct mover *m = j->l->m;
    int idx = 0;
    if (j->l->tier == NULL)
        return err_set(&j->err, -EIO, "the tier could not be opened");
    j->stub = stub_open(m, &j->fid, &j->err);
    if (j->stub < 0)
        return j->stub;
    stub_layout(j);
    int rc = m->config.api->get_mdt_index_by_fid(m->config.mount_fd, &j->fid, &idx);
    if (rc < 0)
        return err_sys(&j->err, -rc, "the MDT of the file");
    return action_begin(j->a, idx, j->layout != NULL ? LOV_DELAY_CREATE : 0, &j->err);
}

static int choose(struct job *j)
{
    struct uuid want;
    bool has = false;
    int rc = hinted(j, &want, &has);
    if (rc == 0)
        rc = find_copy(j->l, &j->fid, j->stub, has ? &want : NULL, &j->copy, &j->err);
    if (rc == FIND_NONE)
        return err_set(&j->err, -ENOENT, "no copy of it is known%s",
                       has ? " under the id that was asked for" : "");
    return rc;
}

static int run(struct job *j)
{
    int rc = begin(j);
    if (rc == 0 && j->l->m->config.dry_run)
        rc = err_set(&j->err, -EAGAIN, "dry run, nothing is restored");
    if (rc < 0)
        return rc;
    action_uses(j->a, j->l->tier);
    rc = choose(j);
    if (rc == 0) {
        action_progress(j->a, 0, j->copy.size);
        copy_layout(j);
        set_layout(j);
        rc = fetch(j);
    }
    action_uses(j->a, NULL);
    return rc;
}

/* So that an archive of others is known and becomes garbage after the next archive; and so that the
 * next look-up is short. */
static void note_copy(struct job *j)
{
    struct err err;
    char text[FID_TEXT_MAX];
    if (j->copy.indexed)
        return;
    struct index_copy row = copy_row(j->l, &j->fid, &j->copy);
    if (index_put(j->l->m->index, &row, 1, &err) < 0)
        log_warn("%s: %s", fid_text(&j->fid, text), err.text);
}

static int fail(struct job *j, int rc)
{
    struct err err;
    char text[FID_TEXT_MAX];
    int why = end_errno(j->a, rc);
    if (why == ECANCELED)
        log_info("%s: restore cancelled", fid_text(&j->fid, text));
    else
        log_err("%s: not restored: %s", fid_text(&j->fid, text), j->err.text);
    return action_end(j->a, why, 0, &err);
}

static int finish(struct job *j)
{
    char text[FID_TEXT_MAX];
    crash_point(CRASH_lustre_restore_written);
    int rc = action_end(j->a, 0, j->copy.size, &j->err);
    if (rc == 0)
        note_copy(j);
    else
        log_err("%s: restored, but the coordinator did not take it: %s", fid_text(&j->fid, text),
                rc < 0 ? j->err.text : "it does not know the action");
    return rc;
}

int mover_restore(struct mover_lane *l, struct action *a)
{
    struct job j = {.l = l, .a = a, .fid = action_item(a)->fid, .stub = -1};
    char text[FID_TEXT_MAX];
    int rc = run(&j);
    rc = rc == 0 ? finish(&j) : fail(&j, rc);
    if (rc == 0 && !j.copy.has_digest)
        log_info("%s: restored from an archive of others, whose source was never verified",
                 fid_text(&j.fid, text));
    copy_fini(&j.copy);
    free(j.layout);
    if (j.stub >= 0)
        (void)close(j.stub);
    return rc;
}
