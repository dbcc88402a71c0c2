/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounting. The fast path trusts the coherency attributes while their volume change reference is
 * the drive's: then nothing was written since. Otherwise both partitions are searched from their
 * ends of data for the newest whole index, and what a crash left behind is set right: a rewritten
 * in place from b, or a new index on both behind torn data.
 */
#include "tape/drive_impl.h"
#include "tape/ltfs_impl.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What has to be written before the volume is as it should be. */
enum mend { MEND_NOTHING, MEND_COHERENCY, MEND_INDEX_PARTITION, MEND_BOTH };

/* Both labels, compared; *l becomes that of physical partition 0 (rebuilt from the other's when it
 * is damaged, with the reason in damage[]). */
static int read_labels(struct drive *d, struct ltfs_label *l, char *damage, size_t damage_size,
                       struct err *err)
{
    struct ltfs_label other = {0};
    struct err err0 = {0};
    struct err err1 = {0};
    const char *what;

    damage[0] = '\0';
    *l = (struct ltfs_label){0};
    int rc0 = ltfs_label_read(d, 0, l, &err0);
    int rc1 = ltfs_label_read(d, 1, &other, &err1);
    if (rc0 == LTFS_NOT_FORMATTED && rc1 == LTFS_NOT_FORMATTED)
        return LTFS_NOT_FORMATTED;
    if (rc0 != 0 && rc1 != 0) {
        const struct err *e = rc0 < 0 ? &err0 : &err1;
        return err_set(err, e->code, "%s; the other partition's label is unusable too", e->text);
    }
    if (rc0 == 0 && rc1 == 0) {
        if (ltfs_label_same(l, &other, &what))
            return 0;
        return err_set(err, -EBADMSG, "cartridge %s: the labels of the partitions differ in %s",
                       drive_barcode(d), what);
    }
    unsigned bad = rc0 != 0 ? 0 : 1;
    const struct err *e = bad == 0 ? &err0 : &err1;
    (void)snprintf(damage, damage_size, "%.500s",
                   e->code != 0 ? e->text : "a partition has no label");
    if (bad == 0) {
        *l = other;
        l->location = other.location == other.index_letter ? other.data_letter : other.index_letter;
    }
    return 0;
}

/* Takes the index of f into v. */
static void adopt(struct ltfs_volume *v, struct ltfs_found *f)
{
    ltfs_index_fini(&v->index);
    v->index = f->index;
    f->index = (struct ltfs_index){0};
}

/* The fast path; *done when it led to an index. Damage is not an error here: the full check
 * follows. */
static int mount_fast(struct ltfs_volume *v, bool *done, enum mend *mend, struct err *err)
{
    struct ltfs_coherency c[DRIVE_PARTITIONS] = {0};
    struct ltfs_found f = {0};
    struct err why = {0};

    *done = false;
    for (unsigned p = 0; p < DRIVE_PARTITIONS; p++) {
        bool valid;
        int rc = ltfs_coherency_read(v->drive, p, &c[p], &valid, err);
        if (rc < 0)
            return rc;
        if (!valid || memcmp(c[p].uuid.b, v->label.uuid.b, UUID_BYTES) != 0)
            return 0;
    }
    bool data_newer = c[v->data_part].generation > c[v->index_part].generation;
    unsigned p = data_newer ? v->data_part : v->index_part;
    int rc = ltfs_index_read(v, p, c[p].block, false, &f, &why);
    if (rc == 0 && f.index.generation == c[p].generation) {
        adopt(v, &f);
        v->data_index_block = c[v->data_part].block;
        v->index_index_block = c[v->index_part].block;
        *mend = data_newer ? MEND_INDEX_PARTITION : MEND_NOTHING;
        *done = true;
    } else {
        log_warn("cartridge %s: cartridge memory leads to no index (%s); searching", v->barcode,
                 why.text);
    }
    ltfs_index_fini(&f.index);
    return 0;
}

static void note(struct ltfs_volume *v, const char *text, const struct err *why)
{
    v->recovered = true;
    size_t n = strlen(v->problem);
    (void)snprintf(v->problem + n, sizeof(v->problem) - n, "%s%s%s%s", n > 0 ? "; " : "", text,
                   why != NULL && why->code != 0 ? ": " : "",
                   why != NULL && why->code != 0 ? why->text : "");
}

/* What was found on the data partition: whether everything there is as it should be. */
static bool judge_data(struct ltfs_volume *v, const struct ltfs_found *b)
{
    if (!b->ok) {
        note(v, "the data partition holds no readable index", &b->why);
        return false;
    }
    v->data_index_block = b->block;
    if (b->end == b->eod && b->closed)
        return true;
    note(v, "data or a torn index was found behind the last index on the data partition",
         b->failed > 0 ? &b->why : NULL);
    return false;
}

/* Whether the index on the index partition is the whole twin of the newest on the data partition.
 */
static bool is_twin(const struct ltfs_volume *v, const struct ltfs_found *a,
                    const struct ltfs_found *b)
{
    return a->ok && a->closed && a->index.generation == b->index.generation &&
           a->index.previous.letter == v->letters[v->data_part] &&
           a->index.previous.block == b->block;
}

/* Compares what was found on both partitions, takes the newest index and says what to mend. */
static enum mend judge(struct ltfs_volume *v, struct ltfs_found *a, struct ltfs_found *b)
{
    bool data_good = judge_data(v, b);

    if (a->ok)
        v->index_index_block = a->block;
    if (a->ok && (!b->ok || a->index.generation > b->index.generation)) {
        if (b->ok)
            note(v,
                 "the newest index on the data partition is older than the one on the index "
                 "partition",
                 b->failed > 0 ? &b->why : NULL);
        adopt(v, a);
        return MEND_BOTH;
    }
    bool twin = is_twin(v, a, b);
    if (!twin)
        note(v,
             a->ok ? "the index on the index partition is not the newest"
                   : "the index partition holds no readable index",
             a->ok ? NULL : &a->why);
    adopt(v, b);
    if (!data_good)
        return MEND_BOTH;
    return twin ? MEND_COHERENCY : MEND_INDEX_PARTITION;
}

/* Extents behind the end of data: records are lost, nothing may be appended over their numbers. */
static void check_extents(struct ltfs_volume *v, const uint64_t eod[DRIVE_PARTITIONS])
{
    const uint64_t bs = v->label.blocksize;
    for (struct ltfs_node *n = ltfs_next(v, NULL); n != NULL; n = ltfs_next(v, n)) {
        for (uint32_t i = 0; i < n->extent_count; i++) {
            const struct ltfs_extent *e = &n->u.extents[i];
            uint64_t last = e->block + (e->byteoffset + e->bytes - 1) / bs;
            if (last < eod[e->partition])
                continue;
            ltfs_make_read_only(
                v, "file %s needs partition %c block %" PRIu64 ", which is behind the end of data",
                n->name, drive_letter(e->partition), last);
            return;
        }
    }
}

/* The cartridge memory tells the newest generation that was ever made durable. An index older than
 * that is not the trace of a crash: the newest one is damaged on both partitions, and writing would
 * bury the files that only it names. */
static int check_generation(struct ltfs_volume *v, struct err *err)
{
    for (unsigned p = 0; p < DRIVE_PARTITIONS; p++) {
        struct ltfs_coherency c = {0};
        bool valid;
        int rc = ltfs_coherency_read(v->drive, p, &c, &valid, err);
        if (rc < 0)
            return rc;
        if (memcmp(c.uuid.b, v->label.uuid.b, UUID_BYTES) == 0 &&
            c.generation > v->index.generation)
            ltfs_make_read_only(v,
                                "index generation %" PRIu64 " (partition %c block %" PRIu64
                                ") cannot be read; generation %" PRIu64 " is shown",
                                c.generation, drive_letter(p), c.block, v->index.generation);
    }
    return 0;
}

static int mount_full(struct ltfs_volume *v, enum mend *mend, struct err *err)
{
    struct ltfs_found a = {0};
    struct ltfs_found b = {0};

    int rc = ltfs_index_find(v, v->data_part, &b, err);
    if (rc == 0)
        rc = ltfs_index_find(v, v->index_part, &a, err);
    if (rc == 0 && !a.ok && !b.ok)
        rc = err_set(err, -EIO, "cartridge %s: no readable index on either partition%s%s",
                     v->barcode, b.failed > 0 || a.failed > 0 ? "; " : "",
                     b.failed > 0 ? b.why.text : a.why.text);
    if (rc == 0) {
        uint64_t eod[DRIVE_PARTITIONS];
        eod[v->data_part] = b.eod;
        eod[v->index_part] = a.eod;
        *mend = judge(v, &a, &b);
        check_extents(v, eod);
        rc = check_generation(v, err);
    }
    ltfs_index_fini(&a.index);
    ltfs_index_fini(&b.index);
    return rc;
}

static int mend_volume(struct ltfs_volume *v, enum mend mend, struct err *err)
{
    int rc = 0;

    if (v->read_only || mend == MEND_NOTHING)
        return 0;
    if (v->recovered)
        log_warn("cartridge %s: recovery: %s", v->barcode, v->problem);
    if (mend == MEND_BOTH) {
        v->dirty = true;
        return ltfs_sync(v, err);
    }
    if (mend == MEND_INDEX_PARTITION) {
        rc = ltfs_index_write_index(v, err);
        if (rc == 0)
            rc = drive_flush(v->drive, err);
    }
    return rc < 0 ? rc : ltfs_coherency_write(v, err);
}

static int mount_volume(struct ltfs_volume *v, unsigned flags, struct err *err)
{
    enum mend mend = MEND_NOTHING;
    bool done = false;

    int rc = 0;
    if ((flags & LTFS_MOUNT_FULL_CHECK) == 0)
        rc = mount_fast(v, &done, &mend, err);
    if (rc == 0 && !done)
        rc = mount_full(v, &mend, err);
    if (rc < 0)
        return rc;
    if (strcmp(v->index.lock_state, "locked") == 0 ||
        strcmp(v->index.lock_state, "permlocked") == 0)
        ltfs_make_read_only(v, "the volume is %s", v->index.lock_state);
    rc = ltfs_refresh_room(v, err);
    if (rc == 0)
        rc = mend_volume(v, mend, err);
    return rc;
}

int ltfs_mount(struct drive *d, unsigned flags, struct ltfs_volume **out, struct err *err)
{
    struct ltfs_label l;
    char damage[sizeof(((struct ltfs_volume *)0)->problem)];

    int rc = read_labels(d, &l, damage, sizeof(damage), err);
    if (rc != 0)
        return rc < 0 ? err_wrap(err, rc, "mount of cartridge %s", drive_barcode(d)) : rc;
    if (l.blocksize > drive_caps(d)->max_record)
        return err_set(err, -ENOTSUP, "cartridge %s: block size %u is more than the drive reads",
                       drive_barcode(d), l.blocksize);
    auto_ltfs_volume struct ltfs_volume *v = ltfs_volume_new(d, &l, flags, err);
    if (v == NULL)
        return -ENOMEM;
    if (damage[0] != '\0')
        ltfs_make_read_only(v, "%s", damage);
    rc = mount_volume(v, flags, err);
    if (rc < 0)
        return err_wrap(err, rc, "mount of cartridge %s", drive_barcode(d));
    *out = take_ptr(v);
    return 0;
}
