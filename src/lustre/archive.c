/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file to the tier. Order: journal the new id, data, proof, row into the index, key into the
 * file, end(0); only then the old copy is garbage. Whatever fails before takes the new copy away
 * and leaves the old one as it was. Where a copy can be found by the key alone, its row comes last,
 * with those of others, and the journal keeps the action until then: after a crash the row is made
 * of what the file names.
 */
#include "lustre/mover_impl.h"

#include "base/cleanup.h"
#include "base/crash.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "codec/digest.h"
#include "codec/encode.h"
#include "lustre/meta.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct job {
    struct mover_lane *l;
    struct action *a;
    struct lu_fid fid;
    int fd; /* our own, so that the key can be set after the end */
    struct stat st;
    struct copy copy; /* the new one */
    struct uuid old_id;
    bool has_old; /* old_id is what the file named */
    bool placed;  /* the old copy's place stands in the file */
    bool first;   /* the index knew of no other copy */
    bool keyed;   /* the file names the new copy */
    bool stored;  /* the tier has it whole */
    struct err err;
};

static uint64_t size_of(const struct job *j)
{
    return (uint64_t)j->st.st_size;
}

static int64_t ns_of(const struct timespec *t)
{
    return (int64_t)t->tv_sec * NS_PER_SEC + t->tv_nsec;
}

/* ---- data ---- */

static void digest_hole(struct digest *d, uint64_t n)
{
    static const uint8_t zeros[65536];
    while (n > 0) {
        size_t part = n < sizeof(zeros) ? (size_t)n : sizeof(zeros);
        digest_update(d, zeros, part);
        n -= part;
    }
}

static int tier_rc(struct job *j, int rc)
{
    if (rc != TIER_FULL)
        return rc;
    return err_set(&j->err, -ENOSPC, "%s: no room", tier_name(j->l->tier));
}

static int stopped(struct job *j)
{
    return action_stopped(j->a) ? err_set(&j->err, -ECANCELED, "cancelled") : 0;
}

static int send_range(struct job *j, uint64_t off, uint64_t end)
{
    while (off < end) {
        size_t n = end - off < LANE_BUFFER ? (size_t)(end - off) : LANE_BUFFER;
        throttle(j->l->m, j->a, n);
        int rc = stopped(j);
        if (rc < 0)
            return rc;
        ssize_t got = io_pread_full(j->fd, j->l->buf, n, (off_t)off);
        if (got < 0)
            return err_sys(&j->err, (int)-got, "reading at byte %llu", (unsigned long long)off);
        if ((size_t)got < n)
            return err_set(&j->err, -ESTALE, "the file became shorter while it was read");
        digest_update(j->l->digest, j->l->buf, n);
        rc = tier_rc(j, tier_put_write(j->l->tier, off, j->l->buf, n, &j->err));
        if (rc < 0)
            return rc;
        off += n;
        action_progress(j->a, n, size_of(j));
        crash_point(CRASH_lustre_archive_data);
    }
    return 0;
}

/* All data, passing over holes. */
static int send_data(struct job *j)
{
    uint64_t off = 0, size = size_of(j);
    while (off < size) {
        off_t data = lseek(j->fd, (off_t)off, SEEK_DATA);
        if (data < 0 && errno != ENXIO)
            data = (off_t)off; /* no holes are told here */
        if (data < 0 || (uint64_t)data > size)
            data = (off_t)size;
        digest_hole(j->l->digest, (uint64_t)data - off);
        action_progress(j->a, (uint64_t)data - off, size);
        off = (uint64_t)data;
        if (off >= size)
            break;
        off_t hole = lseek(j->fd, data, SEEK_HOLE);
        uint64_t end = hole <= data || (uint64_t)hole > size ? size : (uint64_t)hole;
        int rc = send_range(j, off, end);
        if (rc < 0)
            return rc;
        off = end;
    }
    return 0;
}

/* The file as it was when reading began: a size that moved means that bytes were missed. Every
 * other change the coordinator finds by the data version, at the end. */
static int check_size(struct job *j)
{
    struct stat st;
    if (fstat(j->fd, &st) != 0)
        return err_sys(&j->err, errno, "fstat");
    if (st.st_size != j->st.st_size)
        return err_set(&j->err, -ESTALE, "its size changed from %lld to %lld while it was read",
                       (long long)j->st.st_size, (long long)st.st_size);
    return 0;
}

static void collect_meta(struct job *j, struct meta *m)
{
    char text[FID_TEXT_MAX];
    (void)fid_text(&j->fid, text);
    meta_add(m, META_FID, text, strlen(text));
    meta_read_layout(m, j->fd, j->l->buf, LANE_BUFFER);
    if (j->l->m->config.conf->lustre.xattrs)
        meta_read_xattrs(m, j->fd, &j->fid, j->l->buf, LANE_BUFFER);
}

static int begin_put(struct job *j)
{
    auto_meta struct meta meta = {0};
    char label[LABEL_MAX];
    const char *path = NULL;
    size_t n = 0;
    auto_free char *names = stub_names(j->l->m, &j->fid, &n, &path);
    collect_meta(j, &meta);
    meta_add(&meta, META_NAMES, names, n);
    struct tier_object o = {.id = j->copy.id,
                            .fs = j->l->m->config.fsname,
                            .path = path,
                            .size = size_of(j),
                            .mtime_ns = ns_of(&j->st.st_mtim),
                            .atime_ns = ns_of(&j->st.st_atim),
                            .uid = j->st.st_uid,
                            .gid = j->st.st_gid,
                            .mode = j->st.st_mode,
                            .label = place_label(j->l->m, &j->fid, label),
                            .xattrs = meta.v,
                            .nxattrs = meta.n};
    return tier_rc(j, tier_put_begin(j->l->tier, &o, &j->err));
}

static int end_put(struct job *j)
{
    uint8_t value[DIGEST_MAX];
    char hex[ENCODE_HEX_SIZE(sizeof(j->copy.digest))];
    struct tier_xattr x = {.key = META_DIGEST, .value = hex, .len = sizeof(hex) - 1};
    (void)digest_final(j->l->digest, value);
    memcpy(j->copy.digest, value, sizeof(j->copy.digest));
    j->copy.has_digest = true;
    encode_hex(value, sizeof(j->copy.digest), hex);
    int rc = tier_rc(j, tier_put_end(j->l->tier, &x, 1, &j->copy.loc, &j->err));
    if (rc < 0)
        return rc;
    j->stored = true;
    crash_point(CRASH_lustre_archive_stored);
    return tier_sync(j->l->tier, &j->err);
}

/* The s3 kind proves a copy before put_end returns; others are read back. */
static int prove(struct job *j)
{
    struct tier_digest want = {.alg = DIGEST_XXH3_128};
    if (j->l->m->s3 != NULL || (tier_caps(j->l->tier) & TIER_CAN_GET) == 0)
        return 0;
    memcpy(want.value, j->copy.digest, sizeof(j->copy.digest));
    uint64_t size = 0;
    int rc = tier_verify(j->l->tier, &j->copy.id, &j->copy.loc, &want, &size, &j->err);
    if (rc == TIER_ABSENT || (rc == 0 && size != size_of(j)))
        return err_set(&j->err, -EIO, "%s: %s is not what was written", tier_name(j->l->tier),
                       j->copy.loc.key);
    return rc;
}

static int store(struct job *j)
{
    digest_reset(j->l->digest);
    int rc = begin_put(j);
    if (rc == 0)
        rc = send_data(j);
    if (rc == 0)
        rc = check_size(j);
    if (rc == 0)
        rc = end_put(j);
    if (rc == 0)
        rc = prove(j);
    return rc == 0 ? stopped(j) : rc;
}

/* ---- what the file and the index say ---- */

/* The id that the file names now. (What a crashed attempt left was settled before.) */
static int find_old(struct job *j)
{
    int rc = stub_key(j->fd, &j->old_id, &j->err);
    j->has_old = rc == 0;
    if (rc == 0) {
        auto_free char *place = stub_place(j->fd);
        j->placed = place != NULL;
    }
    return rc < 0 ? rc : 0;
}

/* An archive of lustre-s3-copytool that nothing of ours names yet becomes a row, so that it can be
 * garbage after this archive. */
static int note_legacy(struct job *j)
{
    auto_index_copies struct index_copies rows = {0};
    struct hsm_user_state st = {0};
    if (j->has_old || j->l->m->s3 == NULL)
        return 0;
    int rc = index_of_fid(j->l->m->index, &j->fid, &rows, &j->err);
    if (rc != INDEX_ABSENT)
        return rc;
    rc = stub_state(j->l->m, j->fd, &st, &j->err);
    j->first = rc == 0 && (st.states & HS_ARCHIVED) == 0; /* actions of one FID do not overlap */
    if (rc < 0 || j->first)
        return rc;
    auto_copy struct copy old = {0};
    rc = find_legacy(j->l, &j->fid, &old, &j->err);
    if (rc != 0)
        return rc == FIND_NONE ? 0 : rc;
    struct index_copy row = copy_row(j->l, &j->fid, &old);
    return index_put(j->l->m->index, &row, 1, &j->err);
}

/* Whether the tier finds a copy by label and id, without the index: what mover_settle relies on. */
static bool row_comes_late(const struct job *j)
{
    return j->l->m->s3 != NULL;
}

static int commit(struct job *j)
{
    struct index_copy row = copy_row(j->l, &j->fid, &j->copy);
    int rc = row_comes_late(j) ? index_check(j->l->m->index, &j->err)
                               : index_put(j->l->m->index, &row, 1, &j->err);
    if (rc == 0) {
        j->keyed = true; /* also by a call that fails after it has taken effect */
        rc = stub_set_key(j->fd, &j->copy.id, &j->err);
    }
    if (rc == 0) {
        crash_point(CRASH_lustre_archive_keyed);
        rc = stopped(j);
    }
    return rc;
}

/* The old key back, unless the file names a third copy: another node has archived it meanwhile, and
 * what it says counts. */
static int old_key_back(struct job *j, struct err *err)
{
    struct uuid now;
    int rc = stub_key(j->fd, &now, err);
    if (rc == 0 && uuid_same(&now, &j->copy.id))
        rc = stub_set_key(j->fd, j->has_old ? &j->old_id : NULL, err);
    return rc < 0 ? rc : 0;
}

/* The new copy stays, but not by a success that the journal follows: its row is written now. */
static void enter_now(struct job *j)
{
    struct err err;
    char text[FID_TEXT_MAX];
    struct index_copy row = copy_row(j->l, &j->fid, &j->copy);
    if (row_comes_late(j) && index_put(j->l->m->index, &row, 1, &err) < 0)
        log_warn("%s: its copy is not in the index, verify finds it: %s", fid_text(&j->fid, text),
                 err.text);
}

/* As if it had not been: the old key back, the new copy away. */
static void undo(struct job *j)
{
    struct err err;
    char text[FID_TEXT_MAX];
    action_uses(j->a, NULL); /* cleaning up is not cancelled */
    if (j->keyed && old_key_back(j, &err) < 0) {
        log_err("%s: its old key cannot be set again, so both copies are kept: %s",
                fid_text(&j->fid, text), err.text);
        enter_now(j);
        return;
    }
    if (j->l->tier != NULL)
        tier_put_abort(j->l->tier);
    if (j->stored)
        discard_copy(j->l, &j->fid, &j->copy);
}

/* ---- the end ---- */

static void committed(struct job *j)
{
    struct err err;
    char text[FID_TEXT_MAX];
    if (j->placed && stub_set_place(j->fd, NULL, &err) < 0)
        log_warn("%s: %s", fid_text(&j->fid, text), err.text);
    if (!j->first && garbage_others(j->l->m, &j->fid, &j->copy.id, &err) < 0)
        log_warn("%s: its replaced copies are not noted as garbage, verify finds them: %s",
                 fid_text(&j->fid, text), err.text);
}

/* The coordinator did not take the end, or did not say: what the file's state tells decides. A file
 * that is archived and clean has the data that were read last, so the new copy is right. */
static void decide(struct job *j)
{
    struct hsm_user_state st = {0};
    struct err err;
    char text[FID_TEXT_MAX];
    if (stub_state(j->l->m, j->fd, &st, &err) < 0) {
        log_warn("%s: whether it is archived is not known (%s); all copies are kept",
                 fid_text(&j->fid, text), err.text);
        enter_now(j);
        return;
    }
    if ((st.states & (HS_ARCHIVED | HS_DIRTY | HS_LOST)) != HS_ARCHIVED) {
        undo(j);
        return;
    }
    enter_now(j);
    committed(j);
}

static void enter_late(struct job *j)
{
    struct index_copy row = copy_row(j->l, &j->fid, &j->copy);
    if (row_comes_late(j))
        index_put_late(j->l->m->index, &row, action_release, action_hold(j->a));
}

static int finish(struct job *j)
{
    struct err err;
    char text[FID_TEXT_MAX];
    crash_point(CRASH_lustre_archive_ending);
    int rc = action_end(j->a, 0, size_of(j), &err);
    if (rc == 0) {
        crash_point(CRASH_lustre_archive_ended);
        committed(j);
        enter_late(j);
    } else if (rc == ACTION_CHANGED) {
        log_info("%s: changed while it was archived; it keeps the copy that it had",
                 fid_text(&j->fid, text));
        undo(j);
    } else if (rc != ACTION_LOST) {
        decide(j);
    }
    return rc;
}

static int fail(struct job *j, int rc)
{
    struct err err;
    char text[FID_TEXT_MAX];
    int why = end_errno(j->a, rc);
    undo(j);
    if (why == ECANCELED)
        log_info("%s: archive cancelled", fid_text(&j->fid, text));
    else
        log_err("%s: not archived: %s", fid_text(&j->fid, text), j->err.text);
    return action_end(j->a, why, 0, &err);
}

/* A file that was released after its archive was asked for: reading it would begin a restore of
 * what the copy has. Only a file with fewer blocks than bytes may be one. */
static int refuse_released(struct job *j)
{
    struct hsm_user_state st = {0};
    if ((uint64_t)j->st.st_blocks * 512 >= size_of(j))
        return 0;
    int rc = stub_state(j->l->m, j->fd, &st, &j->err);
    if (rc == 0 && (st.states & HS_RELEASED) != 0)
        return err_set(&j->err, -EBUSY, "it was released meanwhile; the copy that it has stays");
    return rc;
}

static int prepare(struct job *j)
{
    int rc = action_begin(j->a, -1, 0, &j->err);
    if (rc < 0)
        return rc;
    if (j->l->m->config.dry_run)
        return err_set(&j->err, -EAGAIN, "dry run, nothing is copied");
    if (j->l->tier == NULL)
        return err_set(&j->err, -EIO, "the tier could not be opened");
    j->fd = fcntl(action_fd(j->a), F_DUPFD_CLOEXEC, 0);
    if (j->fd < 0 || fstat(j->fd, &j->st) != 0)
        return err_sys(&j->err, errno, "its data");
    if (!S_ISREG(j->st.st_mode))
        return err_set(&j->err, -EINVAL, "not a regular file");
    rc = refuse_released(j);
    if (rc < 0)
        return rc;
    j->copy.size = size_of(j);
    j->copy.mtime_ns = ns_of(&j->st.st_mtim);
    action_progress(j->a, 0, size_of(j));
    rc = find_old(j);
    if (rc == 0)
        rc = note_legacy(j);
    return rc;
}

int mover_archive(struct mover_lane *l, struct action *a)
{
    struct job j = {.l = l, .a = a, .fid = action_item(a)->fid, .fd = -1};
    j.copy.id = action_new_id(a);
    int rc = prepare(&j);
    if (rc == 0)
        rc = action_journal(a, &j.copy.id, j.has_old ? &j.old_id : NULL, &j.err);
    if (rc == 0) {
        action_uses(a, l->tier);
        rc = store(&j);
        if (rc == 0)
            rc = commit(&j);
        action_uses(a, NULL);
    }
    rc = rc == 0 ? finish(&j) : fail(&j, rc);
    copy_fini(&j.copy);
    if (j.fd >= 0)
        (void)close(j.fd);
    return rc;
}
