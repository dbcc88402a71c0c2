/* SPDX-License-Identifier: Apache-2.0 */
/* What a recall needs to know of its file, and which of the copies serves it. */
#include "engine/recall_impl.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* ---- what is to be done for a file ---- */

/* A damaged record: the catalogue knows which archive the stub is. */
static int restore_record(struct engine *e, struct efs *fs, struct file_info *info, struct err *err)
{
    struct catalog_archives a = {0};
    int rc = catalog_archive_of_file(e->cat, &fs->uuid, info->id.ino, info->id.gen, &a, err);
    if (rc == 0 && a.v[0].size != (uint64_t)info->st.st_size)
        rc = CATALOG_ABSENT;
    if (rc == 0) {
        auto_close int fd = fs_open_id(fs->fs, &info->id, O_RDWR | O_NONBLOCK, err);
        info->record = (struct file_record){.state = FILE_MIGRATED,
                                            .archive = a.v[0].archive,
                                            .size = a.v[0].size,
                                            .mtime_ns = a.v[0].mtime_ns};
        rc = fd < 0 ? fd : file_write_record(fs->fs, fd, &info->record, err);
        if (rc == 0)
            log_warn("%s: its damaged state record was written anew from the catalogue",
                     a.v[0].path);
    } else if (rc > 0) {
        rc = err_set(err, -EIO,
                     "its state record is damaged and the catalogue knows no archive of "
                     "this file; firn rebuild looks on all tapes");
    }
    catalog_archives_fini(&a);
    return rc;
}

static uint64_t last_block(const struct catalog_copy *c)
{
    return c->start_block + (c->byte_offset + c->length) / LTFS_BLOCKSIZE;
}

/* Adds the copies of one state to r. */
static void take_copies(struct engine *e, struct recall *r, const struct catalog_copies *c,
                        enum catalog_copy_state state)
{
    lock_scope(&e->lock);
    for (size_t i = 0; i < c->n && r->ncopies < sizeof(r->copies) / sizeof(r->copies[0]); i++) {
        struct recall_copy *k = &r->copies[r->ncopies];
        struct volume *v = volume_by_id_locked(e, c->v[i].volume);
        if (c->v[i].state != state || v == NULL)
            continue;
        k->volume = v;
        k->copy_no = c->v[i].copy_no;
        k->loc.key = xstrdup(c->v[i].path);
        k->loc.partition = c->v[i].partition == 'b' ? 1 : 0;
        k->loc.block = c->v[i].start_block;
        k->loc.byteoffset = (uint32_t)c->v[i].byte_offset;
        /* A store's numbers are sizes: of what is stored, and of the file (tier/s3_put.c). */
        k->loc.last_block = v->lib->store != NULL ? c->v[i].length : last_block(&c->v[i]);
        r->ncopies++;
    }
}

/* Copies and digest. Copies that count as garbage come last: a file that asks for one proves that
 * it is none. */
static int find_copies(struct engine *e, struct recall *r, struct err *err)
{
    struct catalog_copies c = {0};
    struct catalog_archives a = {0};
    r->digest_alg = -1;
    int rc = catalog_copy_of(e->cat, &r->archive, 1, &c, err);
    if (rc == 0) {
        take_copies(e, r, &c, CATALOG_COPY_VALID);
        take_copies(e, r, &c, CATALOG_COPY_GARBAGE);
    }
    if (rc == 0 && catalog_archive_get(e->cat, &r->archive, &a, err) == 0) {
        r->own = a.v[0].ino == r->id.ino && a.v[0].gen == r->id.gen &&
                 memcmp(&a.v[0].fs, &r->id.fs, sizeof(r->id.fs)) == 0;
        r->digest_alg = a.v[0].digest_alg;
        memcpy(r->digest, a.v[0].digest, sizeof(r->digest));
    }
    catalog_archives_fini(&a);
    catalog_copies_fini(&c);
    return rc < 0 ? rc : 0;
}

/* The absolute path of a file (the caller's), for texts. */
static char *path_of(struct engine *e, const struct efs *fs, const struct file_info *info,
                     const char *path)
{
    auto_free char *now = NULL;
    struct catalog_archives a = {0};
    if (path == NULL && fs_path_of(fs->fs, &info->id, &now, NULL) == 0)
        path = now;
    if (path == NULL && catalog_archive_get(e->cat, &info->record.archive, &a, NULL) == 0)
        path = a.v[0].path;
    char *text = path != NULL ? xasprintf("%s/%s", fs->conf->path, path)
                              : xasprintf("%s/(inode %llu)", fs->conf->path,
                                          (unsigned long long)info->id.ino);
    catalog_archives_fini(&a);
    return text;
}

int recall_new(struct engine *e, struct efs *fs, const struct file_info *info, const char *path,
               struct recall **out, struct err *err)
{
    struct recall *r = xzalloc(sizeof(*r));
    r->fs = fs;
    r->id = info->id;
    r->key = recall_key_of(e, fs, &info->id);
    r->path = path_of(e, fs, info, path);
    r->archive = info->record.archive;
    r->size = info->record.size;
    r->created_ns = time_mono_ns();
    r->refs = 1;
    r->resident = true;
    int rc = find_copies(e, r, err);
    if (rc < 0) {
        recall_unref_locked(r);
        return rc;
    }
    *out = r;
    return 0;
}

int recall_look(struct engine *e, struct efs *fs, struct file_info *info, struct err *err)
{
    if (info->state != FILE_MIGRATED)
        return 1;
    if (info->note == FILE_NOTE_STUB_CHANGED)
        return err_set(err, -EIO, "%s; its old copies are kept, nothing is overwritten",
                       file_note_text(info->note));
    return info->note == FILE_NOTE_DAMAGED ? restore_record(e, fs, info, err) : 0;
}

/* ---- which copy ---- */

/* How good copy c is, as pick_rank says. engine.lock held. */
static int rank(const struct recall_copy *c)
{
    const struct volume *v = c->volume;
    if (v == NULL)
        return -1;
    const struct pick_copy p = {.readable = !c->tried && volume_readable(v),
                                .healthy = strcmp(v->row.state, VOL_NEED_REPLACE) != 0,
                                .store = v->lib->store != NULL,
                                .up = v->lib->store != NULL && v->lib->store->up,
                                .mounted = v->drive != NULL && v->drive->row.enabled,
                                .reserved = v->reserved,
                                .queued = v->queue != NULL,
                                .copy_no = c->copy_no};
    return pick_rank(&p);
}

static void explain_none(struct recall *r)
{
    struct err last = r->err;
    struct buf b = {0};
    for (size_t i = 0; i < r->ncopies; i++) {
        const struct volume *v = r->copies[i].volume;
        if (v == NULL || r->copies[i].tried)
            continue;
        buf_addf(&b, "%s%s %s is %s", b.len > 0 ? ", " : "",
                 v->lib->store != NULL ? "store" : "cartridge", v->row.barcode,
                 volume_shown_state(v));
        if (!v->present)
            buf_addf(&b, " (put it back into library %s, then: firn library rescan)", v->lib->name);
    }
    if (r->ncopies == 0)
        buf_adds(&b, "the catalogue knows no copy of it in a library or store of firn.conf; "
                     "firn rebuild looks in all of them");
    (void)err_set(&r->err, -EIO, "%s cannot be recalled: %s%s%s", r->path, last.text,
                  last.text[0] != '\0' && b.len > 0 ? "; " : "", b.data != NULL ? b.data : "");
    r->result = -EIO;
    buf_fini(&b);
}

/* Puts r into v's queue, which is in the order of age. */
static void enqueue(struct volume *v, struct recall *r)
{
    struct recall *after = v->queue != NULL ? v->queue->prev : NULL; /* the last */
    while (after != NULL && after->created_ns > r->created_ns)
        after = after == v->queue ? NULL : after->prev;
    if (after != NULL)
        DL_APPEND_ELEM(v->queue, after, r);
    else
        DL_PREPEND(v->queue, r);
    v->queued++;
    v->readers += r->reader ? 1 : 0;
    v->replan = true;
    r->waits = v;
}

void recall_take_locked(struct volume *v, struct recall *r)
{
    DL_DELETE(v->queue, r);
    v->queued--;
    v->readers -= r->reader ? 1 : 0;
    r->waits = NULL;
    if (r->account != NULL)
        r->account->served++;
}

bool recall_choose_locked(struct recall *r)
{
    int best = -1;
    for (size_t i = 0; i < r->ncopies; i++) {
        int k = rank(&r->copies[i]);
        if (k > best) {
            best = k;
            r->current = i;
        }
    }
    if (best < 0)
        explain_none(r);
    return best >= 0;
}

void recall_route_locked(struct engine *e, struct recall *r, struct recall **dead)
{
    r->waits = NULL;
    if (!recall_choose_locked(r)) {
        DL_APPEND(*dead, r);
        return;
    }
    struct volume *v = r->copies[r->current].volume;
    enqueue(v, r);
    v->asked = v->asked || r->reader;
    if (v->lib->store != NULL)
        (void)pthread_cond_signal(&v->lib->store->idle); /* one lane is enough for one recall */
    else
        engine_wake_locked(e);
}

void recall_next_copy(struct engine *e, struct recall *r, const struct err *why)
{
    struct recall *dead = NULL;
    r->err = *why;
    {
        lock_scope(&e->lock);
        r->copies[r->current].tried = true;
        recall_route_locked(e, r, &dead);
    }
    recall_end_list(e, dead);
}

void recall_reroute_locked(struct engine *e, struct volume *v, struct recall **dead)
{
    struct recall *r = NULL;
    struct recall *tmp = NULL;
    struct recall *all = v->queue;
    v->queue = NULL;
    v->queued = 0;
    v->readers = 0;
    v->epoch++;
    DL_FOREACH_SAFE(all, r, tmp)
    {
        DL_DELETE(all, r);
        r->waits = NULL;
        if (v->present) {
            r->copies[r->current].tried = true;
            if (v->trouble[0] != '\0')
                (void)err_set(&r->err, -EIO, "%s", v->trouble);
        }
        recall_route_locked(e, r, dead);
    }
}
