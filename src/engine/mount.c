/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine_impl.h"

#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static void set_work(struct edrive *d, enum drive_work work)
{
    lock_scope(&d->e->lock);
    d->work = work;
}

/* v is not where it should be: found by another hand, or gone. */
static int lost_volume(struct edrive *d, struct volume *v, struct err *err)
{
    lock_scope(&d->e->lock);
    v->present = false;
    v->drive = NULL;
    return err_set(err, -ENODEV,
                   "cartridge %s is not in library %s; put it back, then run: firn library rescan",
                   v->row.barcode, v->lib->name);
}

/* Brings v from its slot into the empty drive d. */
static int fetch(struct edrive *d, struct volume *v, struct err *err)
{
    int rc = 0;
    {
        lock_scope(&d->lib->robot);
        rc = changer_move(d->lib->changer, v->address, d->address, err);
    }
    if (rc == CHANGER_SOURCE_EMPTY)
        return lost_volume(d, v, err);
    if (rc != 0)
        return rc < 0 ? err_wrap(err, rc, "moving %s to drive %s", v->row.barcode, d->serial)
                      : err_set(err, -EBUSY, "drive %s is not empty", d->serial);
    lock_scope(&d->e->lock);
    v->drive = d;
    v->where = CHANGER_DRIVE;
    v->address = d->address;
    d->volume = v;
    return 0;
}

/* Where did the robot put it? */
static void note_home(struct edrive *d, struct volume *v)
{
    auto_inventory struct changer_inventory inv = {0};
    if (changer_inventory(d->lib->changer, &inv, NULL) < 0)
        return;
    const struct changer_element *el = changer_find(&inv, v->row.barcode);
    lock_scope(&d->e->lock);
    v->drive = NULL;
    v->present = el != NULL;
    if (el != NULL) {
        v->address = el->address;
        v->where = el->kind;
    }
    d->volume = NULL;
}

static int put_away(struct edrive *d, struct err *err)
{
    struct volume *v = d->volume;
    int rc = drive_unload(d->drive, err);
    if (rc < 0)
        log_warn("drive %s: unloading %s: %s", d->serial, v->row.barcode, err->text);
    lock_scope(&d->lib->robot);
    rc = changer_move(d->lib->changer, d->address, 0, err);
    if (rc < 0)
        return err_wrap(err, rc, "putting %s away", v->row.barcode);
    note_home(d, v);
    return 0;
}

static void note_full(struct volume *v)
{
    if (strcmp(v->row.state, VOL_APPENDABLE) == 0 && v->row.capacity > 0 &&
        v->remaining < v->row.capacity / FULL_SHARE)
        (void)snprintf(v->row.state, sizeof(v->row.state), "%s", VOL_FULL);
}

/* Brings v's row up to date with the mounted volume. */
static int refresh(struct edrive *d, struct err *err)
{
    struct ltfs_volume_info info;
    struct volume *v = d->volume;
    int rc = ltfs_volume_info(d->ltfs, &info, err);
    if (rc != 0)
        return rc;
    {
        lock_scope(&d->e->lock);
        v->row.uuid = info.uuid;
        v->row.generation = (int64_t)info.generation;
        v->row.capacity = (int64_t)info.capacity_bytes;
        v->row.used = (int64_t)info.used_bytes;
        v->row.files = (int64_t)info.files;
        v->remaining = (int64_t)info.remaining_bytes;
        note_full(v);
    }
    volume_store(d->e, v);
    return 0;
}

static void close_ltfs(struct edrive *d)
{
    tier_free(d->tier);
    d->tier = NULL;
    ltfs_volume_free(d->ltfs);
    d->ltfs = NULL;
}

/* Replaces file path by the text of the mounted volume's index, durably. */
static int save_index(struct edrive *d, const char *dir, const char *path, struct err *err)
{
    auto_free char *temp = xasprintf("%s.new", path);
    auto_close int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(err, errno, "%s", temp);
    int rc = ltfs_index_write(d->ltfs, fd, err);
    if (rc < 0)
        return rc;
    auto_close int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fsync(fd) != 0 || rename(temp, path) != 0 || dirfd < 0 || fsync(dirfd) != 0)
        return err_sys(err, errno, "%s", path);
    return 0;
}

void index_backup(struct edrive *d)
{
    struct volume *v = d->volume;
    struct ltfs_volume_info info;
    struct err err = {0};
    auto_free char *dir = xasprintf("%s/indexes", d->e->conf->state_dir);
    auto_free char *path = xasprintf("%s/%s.xml", dir, v->row.barcode);
    int rc = ltfs_volume_info(d->ltfs, &info, &err);
    if (rc == 0 && v->indexed == info.generation)
        return;
    if (rc == 0)
        rc = save_index(d, dir, path, &err);
    if (rc == 0)
        v->indexed = info.generation;
    else
        log_warn("no copy of the index of %s was kept: %s", v->row.barcode, err.text);
}

/* Ends the mount; the cartridge stays loaded. */
static int close_volume(struct edrive *d, struct err *err)
{
    int rc = 0;
    if (d->ltfs == NULL)
        return 0;
    if (d->tier != NULL)
        rc = mount_sync(d, err);
    close_ltfs(d);
    return rc;
}

static void count_drive(struct edrive *d)
{
    const struct drive_counters *c = drive_counters(d->drive);
    struct catalog_drive row;
    {
        lock_scope(&d->e->lock);
        d->row.bytes_read += (int64_t)(c->bytes_read - d->seen_read);
        d->row.bytes_written += (int64_t)(c->bytes_written - d->seen_written);
        d->seen_read = c->bytes_read;
        d->seen_written = c->bytes_written;
        row = d->row;
    }
    (void)catalog_drive_put(d->e->cat, &row, CATALOG_NOWAIT, NULL);
}

int unmount_volume(struct edrive *d, struct err *err)
{
    struct err closing = {0};
    if (d->volume == NULL)
        return 0;
    set_work(d, DRIVE_UNMOUNTING);
    int rc = close_volume(d, &closing);
    if (rc == -ENOSPC || rc == -EDQUOT) /* the disk under a virtual library: no fault of the tape */
        log_err("cartridge %s: %s", d->volume->row.barcode, closing.text);
    else if (rc < 0)
        volume_set_state(d->e, d->volume, VOL_REQ_REPLACE, closing.text);
    count_drive(d);
    return put_away(d, err);
}

int mount_sync(struct edrive *d, struct err *err)
{
    int rc = tier_sync(d->tier, err);
    if (rc == 0)
        rc = refresh(d, err);
    if (rc == 0)
        index_backup(d);
    return rc;
}

/* The volume is not the one that the catalogue knows, or cannot be written. */
static int check_identity(struct edrive *d, const struct ltfs_volume_info *info, struct err *err)
{
    static const struct uuid none;
    struct volume *v = d->volume;
    char is[UUID_TEXT];
    char was[UUID_TEXT];
    if (memcmp(&v->row.uuid, &none, sizeof(none)) != 0 &&
        memcmp(&v->row.uuid, &info->uuid, sizeof(none)) != 0) {
        uuid_format(&info->uuid, is);
        uuid_format(&v->row.uuid, was);
        (void)err_set(err, -EMEDIUMTYPE,
                      "cartridge %s carries volume %s, but the catalogue knows it as %s: the tape "
                      "was exchanged or formatted elsewhere",
                      v->row.barcode, is, was);
        volume_set_state(d->e, v, VOL_MISMATCH, err->text);
        return -EMEDIUMTYPE;
    }
    if (info->recovered)
        log_info("cartridge %s: %s", v->row.barcode, info->problem);
    if (info->read_only && strcmp(v->row.state, VOL_APPENDABLE) == 0)
        volume_set_state(d->e, v, VOL_RECALL_ONLY, info->problem);
    return 0;
}

static int mount_loaded(struct edrive *d, struct err *err)
{
    struct volume *v = d->volume;
    struct ltfs_volume_info info = {0};
    unsigned flags = d->e->conf->migrate.pack ? 0 : LTFS_MOUNT_NO_PACKING;
    int rc = ltfs_mount(d->drive, flags, &d->ltfs, err);
    if (rc == LTFS_NOT_FORMATTED) {
        volume_set_state(d->e, v, VOL_UNFORMATTED, "no LTFS volume is on it");
        return err_set(err, -EMEDIUMTYPE, "cartridge %s holds no LTFS volume", v->row.barcode);
    }
    if (rc < 0) {
        volume_set_state(d->e, v, VOL_INACCESSIBLE, err->text);
        return err_wrap(err, rc, "mounting %s in drive %s", v->row.barcode, d->serial);
    }
    rc = ltfs_volume_info(d->ltfs, &info, err);
    if (rc == 0)
        rc = check_identity(d, &info, err);
    if (rc == 0 && d->lib->clock != NULL)
        rc = drive_timed_set_record(d->drive, info.blocksize, err);
    if (rc != 0) {
        close_ltfs(d);
        return rc;
    }
    bool behind = v->row.generation != (int64_t)info.generation;
    d->tier = tier_tape_open(d->ltfs, v->row.barcode);
    d->head = 0;
    if (behind && v->row.pool[0] != '\0')
        rc = reconcile_volume(d, err);
    if (rc == 0)
        rc = refresh(d, err);
    if (rc < 0)
        close_ltfs(d);
    return rc;
}

static int load(struct edrive *d, struct err *err)
{
    struct volume *v = d->volume;
    int rc = drive_load(d->drive, err);
    if (rc == DRIVE_EMPTY)
        return lost_volume(d, v, err);
    if (rc < 0) {
        lock_scope(&d->e->lock);
        d->failures++;
        (void)snprintf(d->problem, sizeof(d->problem), "%.250s", err->text);
        return err_wrap(err, rc, "loading %s in drive %s", v->row.barcode, d->serial);
    }
    return 0;
}

int mount_volume(struct edrive *d, struct volume *v, bool loaded_only, struct err *err)
{
    int rc = 0;
    assert(v != NULL);
    if (d->volume == v && d->ltfs != NULL && !loaded_only)
        return 0;
    if (d->volume != NULL && d->volume != v)
        rc = unmount_volume(d, err);
    set_work(d, DRIVE_MOUNTING);
    if (rc == 0 && d->volume == NULL)
        rc = fetch(d, v, err);
    if (rc == 0 && loaded_only)
        rc = close_volume(d, err);
    if (rc == 0)
        rc = load(d, err);
    if (rc < 0 || loaded_only)
        return rc;
    rc = mount_loaded(d, err);
    lock_scope(&d->e->lock);
    d->row.mounts++;
    if (rc == 0) {
        d->failures = 0;
        d->problem[0] = '\0';
    }
    return rc;
}
