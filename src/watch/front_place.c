/* SPDX-License-Identifier: Apache-2.0 */
/* The file systems: mounted through the front or found mounted, covered, and left in order. */
#include "base/cleanup.h"
#include "base/log.h"
#include "watch/front_impl.h"
#include "watch/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>

static int own_group(const struct front *f)
{
    return atomic_load(&f->groups[0].fd);
}

static bool is_ours(const struct front_place *p)
{
    return p->cfg->device != NULL && p->cfg->device[0] != '\0';
}

static void set_place(struct front_place *p, uint32_t flags, int code)
{
    if (p->flags == flags && p->code == code)
        return;
    p->flags = flags;
    p->code = code;
    p->told = false;
}

static void fail_place(struct front_place *p, int rc, const struct err *e)
{
    log_err("file system %s is not watched: %s", p->cfg->name, e->text);
    set_place(p, 0, -rc);
}

/* Marks the file system of directory dir, and leaves the canary there. */
static int cover(struct front *f, int dir, struct err *err)
{
    int rc = watch_mark_fs(own_group(f), &f->k, dir, true, err);
    if (rc != 0)
        return rc;
    rc = watch_canary_put(own_group(f), dir);
    return rc == 0 ? 0 : err_sys(err, -rc, "mark of its directory");
}

static void note_place(struct front_place *p, const struct mount_at *at, int dir)
{
    struct stat st = {0};
    (void)fstat(dir, &st);
    p->dev = st.st_dev;
    p->sdev = at->sdev;
    p->root = at->root;
}

/* Covers what is mounted at the place. kept_gate: what is there was never unwatched. */
static void cover_found(struct front *f, struct front_place *p, const struct mount_at *at,
                        bool kept_gate)
{
    struct err e = {0};
    auto_close int dir = open(p->cfg->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int rc = dir < 0 ? err_sys(&e, errno, "%s", p->cfg->path) : 0;
    bool gated = rc == 0 && kept_gate && watch_canary_is_there(own_group(f), dir);
    if (rc == 0)
        rc = cover(f, dir, &e);
    if (rc != 0) {
        fail_place(p, rc, &e);
        return;
    }
    note_place(p, at, dir);
    set_place(p, WATCH_FS_MOUNTED | WATCH_FS_COVERED | (gated ? WATCH_FS_GATED : 0), 0);
    p->told = false;
    if (gated)
        log_info("file system %s on %s is watched, as before", p->cfg->name, p->cfg->path);
    else
        log_info("file system %s on %s is watched; %s mounted it, and nothing stopped its readers "
                 "before",
                 p->cfg->name, p->cfg->path, at->source);
}

/* Mounts the place's device, with the mark on it before anybody can reach it. */
static int mount_gated(struct front *f, struct front_place *p, struct err *err)
{
    struct mount_at at;
    auto_close int mnt = NONE;
    int rc = mount_detached(p->cfg, &mnt, err);
    if (rc == 0)
        rc = cover(f, mnt, err);
    if (rc == 0)
        rc = mount_attach(mnt, p->cfg->path, err);
    if (rc == 0)
        rc = mount_look(p->cfg->path, &at, err);
    if (rc != 0)
        return rc;
    note_place(p, &at, mnt);
    set_place(p, WATCH_FS_MOUNTED | WATCH_FS_COVERED | WATCH_FS_GATED, 0);
    log_info("file system %s (%s) is mounted on %s and watched", p->cfg->name, p->cfg->device,
             p->cfg->path);
    return 0;
}

static void start_place(struct front *f, struct front_place *p, bool kept)
{
    struct err e = {0};
    struct mount_at at;
    int rc = mount_look(p->cfg->path, &at, &e);
    if (rc == 0 && is_ours(p) && at.root && !mount_same_source(p->cfg->device, at.source))
        rc = err_set(&e, -EBUSY, "%s is mounted on %s, where %s belongs", at.source, p->cfg->path,
                     p->cfg->device);
    if (rc == 0 && is_ours(p) && !at.root)
        rc = mount_gated(f, p, &e);
    else if (rc == 0)
        cover_found(f, p, &at, kept);
    if (rc != 0)
        fail_place(p, rc, &e);
}

void front_places_start(struct front *f, bool kept)
{
    for (size_t i = 0; i < f->cfg.nfs; i++)
        start_place(f, &f->places[i], kept);
}

/* ---- changes ---- */

static bool canary_is_there(const struct front *f, const struct front_place *p)
{
    auto_close int dir = open(p->cfg->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return dir >= 0 && watch_canary_is_there(own_group(f), dir);
}

/* Returns whether the place was mounted anew. */
static bool look_at(struct front *f, struct front_place *p)
{
    struct mount_at at;
    struct err e = {0};
    bool was = (p->flags & WATCH_FS_MOUNTED) != 0;
    if (was && canary_is_there(f, p))
        return false;
    int rc = mount_look(p->cfg->path, &at, &e);
    bool there = rc == 0 && (at.root || !(is_ours(p) || p->root)) &&
                 (!is_ours(p) || mount_same_source(p->cfg->device, at.source));
    if (there) {
        cover_found(f, p, &at, false);
        return true;
    }
    if (was)
        log_info("file system %s is no longer mounted on %s", p->cfg->name, p->cfg->path);
    set_place(p, 0, was ? ENODEV : p->code);
    return false;
}

void front_places_look(struct front *f)
{
    bool anew = false;
    for (size_t i = 0; i < f->cfg.nfs; i++)
        anew |= look_at(f, &f->places[i]);
    if (anew) /* what it has walked, or is walking, is another file system */
        front_engine_hang_up(f, "has to look for stubs again: a file system was mounted");
    front_engine_pump(f);
}

/* Two places may lie on one superblock: its mark goes with the last. */
static bool other_needs_cover(const struct front *f, const struct front_place *p)
{
    for (size_t i = 0; i < f->cfg.nfs; i++) {
        const struct front_place *o = &f->places[i];
        if (o != p && o->sdev == p->sdev && (o->flags & WATCH_FS_COVERED) != 0)
            return true;
    }
    return false;
}

static void uncover(struct front *f, struct front_place *p, struct err *e)
{
    auto_close int dir = open(p->cfg->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int rc = 0;
    /* Without its canary it is not what the engine has walked. */
    if (dir < 0 || !watch_canary_is_there(own_group(f), dir))
        return;
    if (!other_needs_cover(f, p))
        rc = watch_mark_fs(own_group(f), &f->k, dir, false, e);
    if (rc == 0)
        set_place(p, p->flags & ~WATCH_FS_COVERED, 0);
    else
        log_warn("file system %s stays covered: %s", p->cfg->name, e->text);
}

static struct front_place *find_place(const struct front *f, const char *name)
{
    for (size_t i = 0; i < f->cfg.nfs; i++) {
        struct front_place *p = &f->places[i];
        if (strcmp(p->cfg->name, name) == 0 && (p->flags & WATCH_FS_MOUNTED) != 0)
            return p;
    }
    return NULL;
}

void front_place_cover(struct front *f, const char *name)
{
    struct err e = {0};
    struct front_place *p = find_place(f, name);
    if (p == NULL)
        return;
    auto_close int dir = open(p->cfg->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int rc = dir < 0 ? err_sys(&e, errno, "%s", p->cfg->path) : cover(f, dir, &e);
    if (rc == 0) {
        set_place(p, p->flags | WATCH_FS_COVERED, 0);
    } else {
        log_err("file system %s cannot be covered: %s", p->cfg->name, e.text);
    }
    p->told = false;
    front_engine_pump(f);
}

void front_place_uncover(struct front *f, const char *name)
{
    struct err e = {0};
    struct front_place *p = find_place(f, name);
    if (p != NULL && (p->flags & WATCH_FS_COVERED) != 0) {
        uncover(f, p, &e);
        p->told = false;
    }
    if (!front_places_are_covered(f))
        front_retire(f);
    front_engine_pump(f);
}

bool front_places_are_covered(const struct front *f)
{
    for (size_t i = 0; i < f->cfg.nfs; i++) {
        if ((f->places[i].flags & WATCH_FS_COVERED) != 0)
            return true;
    }
    return false;
}

/* ---- the end ---- */

/*
 * A program that tries a stub again and again is refused each time, and holds the mount until it
 * has seen so. This is often called right then, so a few short pauses find the gap before its next
 * try. Longer ones would not: the next try waits for this thread.
 */
static int unmount_in_gap(const char *path)
{
    static const long pauses_us[] = {50, 100, 200, 400};
    int rc = umount2(path, UMOUNT_NOFOLLOW);
    for (size_t i = 0; rc != 0 && errno == EBUSY && i < sizeof(pauses_us) / sizeof(pauses_us[0]);
         i++) {
        struct timespec t = {.tv_nsec = pauses_us[i] * 1000};
        (void)nanosleep(&t, NULL);
        rc = umount2(path, UMOUNT_NOFOLLOW);
    }
    return rc;
}

static int unmount_place(struct front_place *p, struct err *err)
{
    if (!is_ours(p) || (p->flags & WATCH_FS_MOUNTED) == 0)
        return 0;
    if (unmount_in_gap(p->cfg->path) == 0) {
        log_info("file system %s is unmounted from %s", p->cfg->name, p->cfg->path);
        set_place(p, 0, ENODEV);
        return 0;
    }
    if (errno == EBUSY)
        return err_set(err, -EBUSY,
                       "file system %s on %s is in use (fuser -vm %s names the programs)",
                       p->cfg->name, p->cfg->path, p->cfg->path);
    return err_sys(err, errno, "unmounting %s from %s", p->cfg->name, p->cfg->path);
}

/* The place's directories are marked besides stubs, each once. */
static uint64_t canaries(const struct front *f, uint32_t sdev)
{
    uint64_t n = 0;
    for (size_t i = 0; i < f->cfg.nfs; i++)
        n += f->places[i].sdev == sdev;
    return n;
}

/* Marks live as long as the superblock, wherever else it is mounted. */
static int check_left(const struct front *f, const struct front_place *p, struct err *err)
{
    if (p->sdev == 0)
        return 0;
    struct watch_marks n = watch_kernel_marks(own_group(f), p->sdev);
    if (!n.whole && n.files <= canaries(f, p->sdev))
        return 0;
    if ((p->flags & WATCH_FS_MOUNTED) != 0)
        return err_set(err, -EBUSY,
                       "file system %s is mounted on %s%s; without firn-watch its readers would "
                       "have zeros: unmount it (umount %s)",
                       p->cfg->name, p->cfg->path,
                       n.whole ? " and may hold migrated files" : " and holds migrated files",
                       p->cfg->path);
    return err_set(err, -EBUSY,
                   "file system %s is mounted elsewhere still (a bind mount, a container): findmnt "
                   "-S %u:%u and the mounts of other name spaces (lsns -t mnt) tell where",
                   p->cfg->name, p->sdev >> 20, p->sdev & 0xfffffU);
}

int front_unmount(struct front *f, struct err *err)
{
    struct err e = {0};
    int rc = 0;
    for (size_t i = 0; i < f->cfg.nfs; i++) {
        int one = unmount_place(&f->places[i], &e);
        if (one != 0 && rc == 0)
            rc = err_set(err, -EBUSY, "%s", e.text);
    }
    for (size_t i = 0; i < f->cfg.nfs && rc == 0; i++) {
        rc = check_left(f, &f->places[i], err);
    }
    f->stopping = rc != 0;
    /* A superblock goes a moment after its last mount. */
    f->retry_ms = front_now_ms() + (f->look_again ? FRONT_RETRY_MS / 16 : FRONT_RETRY_MS);
    f->look_again = false;
    front_engine_pump(f);
    return rc;
}
