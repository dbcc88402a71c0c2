/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kind dir of changer: the moves. A cartridge is in the drive whose link file names it, else in its
 * home slot (symbolic link slots/<address>). A move changes the home by one rename and the drive by
 * one replacement of its link file, in an order that leaves one place at any moment.
 */
#include "tape/changer_impl.h"
#include "tape/drive_impl.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

struct changer_dir {
    struct changer base;
    char *path;
    int libfd;
    int slotsfd;
    int lockfd; /* -1: inspecting */
};

static void dir_close(struct changer *base)
{
    struct changer_dir *c = (struct changer_dir *)base;
    if (c->libfd >= 0)
        (void)close(c->libfd);
    if (c->slotsfd >= 0)
        (void)close(c->slotsfd);
    if (c->lockfd >= 0)
        (void)close(c->lockfd);
    free(c->path);
    free(c);
}

int changer_dir_write_link(int libfd, const char *link, const char *barcode, struct err *err)
{
    char text[DRIVE_BARCODE_MAX - 1] = {0};
    if (barcode[0] == '\0')
        return io_replace_durable(libfd, link, "empty", 5, 0600, err);
    memcpy(text, barcode, strlen(barcode));
    return io_replace_durable(libfd, link, text, sizeof(text), 0600, err);
}

static void link_name(const struct changer_element *e, char out[2 * DRIVE_SERIAL_MAX + 8])
{
    (void)snprintf(out, 2 * DRIVE_SERIAL_MAX + 8, "Drive_%s.%s", e->serial, e->product);
}

static int dir_inventory(struct changer *base, struct changer_inventory *inv, struct err *err)
{
    struct changer_dir *c = (struct changer_dir *)base;
    struct changer_dir_content content = {0};

    int rc = changer_dir_read(c->libfd, &content, err);
    if (rc == 0)
        rc = changer_dir_place(c->libfd, &content, inv, err);
    changer_dir_content_fini(&content);
    return rc < 0 ? err_wrap(err, rc, "library %s", c->path) : 0;
}

/* Records the places that the inventory chose for cartridges that were put in by hand, and removes
 * the links of cartridges that were taken away. */
static int settle(struct changer_dir *c, const struct changer_inventory *inv, struct err *err)
{
    for (size_t i = 0; i < inv->count; i++) {
        const struct changer_element *e = &inv->elements[i];
        char name[16];
        char target[DRIVE_BARCODE_MAX + 8];
        char now[DRIVE_BARCODE_MAX + 8] = {0};
        if (e->kind == CHANGER_DRIVE)
            continue;
        const char *cart = e->barcode[0] != '\0' ? e->barcode : e->reserved;
        (void)snprintf(name, sizeof(name), "%u", e->address);
        (void)snprintf(target, sizeof(target), "../%s", cart);
        ssize_t n = readlinkat(c->slotsfd, name, now, sizeof(now) - 1);
        if (n < 0 ? cart[0] == '\0' : strcmp(now, target) == 0)
            continue;
        if (n >= 0 && unlinkat(c->slotsfd, name, 0) != 0)
            return err_sys(err, errno, "%s/%s/%s", c->path, CHANGER_DIR_SLOTS, name);
        if (cart[0] != '\0' && symlinkat(target, c->slotsfd, name) != 0)
            return err_sys(err, errno, "%s/%s/%s", c->path, CHANGER_DIR_SLOTS, name);
    }
    int rc = io_fsync_dir(c->slotsfd);
    return rc < 0 ? err_sys(err, -rc, "%s/%s", c->path, CHANGER_DIR_SLOTS) : 0;
}

/* Makes slot to the home of the cartridge whose home is slot from. */
static int rehome(struct changer_dir *c, unsigned from, unsigned to, struct err *err)
{
    char a[16];
    char b[16];
    if (from == to)
        return 0;
    (void)snprintf(a, sizeof(a), "%u", from);
    (void)snprintf(b, sizeof(b), "%u", to);
    if (renameat2(c->slotsfd, a, c->slotsfd, b, RENAME_NOREPLACE) != 0)
        return err_sys(err, errno, "%s/%s: rename of %s to %s", c->path, CHANGER_DIR_SLOTS, a, b);
    int rc = io_fsync_dir(c->slotsfd);
    return rc < 0 ? err_sys(err, -rc, "%s/%s", c->path, CHANGER_DIR_SLOTS) : 0;
}

/* Whether some drive, of this or another process, holds cartridge barcode. */
static bool is_held(struct changer_dir *c, const char *barcode)
{
    auto_close int fd = openat(c->libfd, barcode, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

static int set_drive(struct changer_dir *c, const struct changer_element *drive,
                     const char *barcode, struct err *err)
{
    char link[2 * DRIVE_SERIAL_MAX + 8];
    link_name(drive, link);
    int rc = changer_dir_write_link(c->libfd, link, barcode, err);
    return rc < 0 ? err_wrap(err, rc, "library %s: drive %s", c->path, drive->serial) : 0;
}

static int dir_move(struct changer *base, const struct changer_inventory *inv,
                    const struct changer_element *from, const struct changer_element *to,
                    struct err *err)
{
    struct changer_dir *c = (struct changer_dir *)base;

    if (c->lockfd < 0)
        return err_set(err, -EPERM, "library %s was opened for inspection only", c->path);
    if (is_held(c, from->barcode))
        return CHANGER_DRIVE_BUSY;
    int rc = settle(c, inv, err);
    if (rc < 0)
        return rc;
    if (from->kind == CHANGER_DRIVE) {
        if (to->kind != CHANGER_DRIVE)
            rc = rehome(c, from->home, to->address, err);
        if (rc == 0)
            rc = set_drive(c, from, "", err); /* it is at home now */
        if (rc == 0 && to->kind == CHANGER_DRIVE)
            rc = set_drive(c, to, from->barcode, err);
        return rc;
    }
    if (to->kind == CHANGER_DRIVE)
        return set_drive(c, to, from->barcode, err);
    return rehome(c, from->address, to->address, err);
}

static int dir_open_drive(struct changer *base, const struct changer_element *drive,
                          struct drive **out, struct err *err)
{
    struct changer_dir *c = (struct changer_dir *)base;
    char link[2 * DRIVE_SERIAL_MAX + 8];
    link_name(drive, link);
    return drive_dir_open(c->path, link, out, err);
}

static const struct changer_ops changer_dir_ops = {
    .kind = "dir",
    .close = dir_close,
    .inventory = dir_inventory,
    .move = dir_move,
    .open_drive = dir_open_drive,
};

static int lock_library(struct changer_dir *c, struct err *err)
{
    char pid[32] = {0};

    c->lockfd = openat(c->libfd, CHANGER_DIR_LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (c->lockfd < 0)
        return err_sys(err, errno, "%s/%s", c->path, CHANGER_DIR_LOCK);
    if (flock(c->lockfd, LOCK_EX | LOCK_NB) != 0) {
        (void)io_pread_full(c->lockfd, pid, sizeof(pid) - 1, 0);
        return err_set(err, -EBUSY, "library %s is in use by process %.*s", c->path,
                       (int)strcspn(pid, "\n"), pid[0] != '\0' ? pid : "?");
    }
    int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(c->lockfd, 0) != 0 || io_pwrite_full(c->lockfd, pid, (size_t)n, 0) < 0)
        return err_set(err, -EIO, "%s/%s cannot be written", c->path, CHANGER_DIR_LOCK);
    return 0;
}

int changer_dir_open(const char *path, unsigned flags, struct changer **out, struct err *err)
{
    auto_changer struct changer *base = NULL;
    struct changer_dir *c = xzalloc(sizeof(*c));

    c->base.ops = &changer_dir_ops;
    c->path = xstrdup(path);
    c->lockfd = -1;
    c->slotsfd = -1;
    c->libfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    base = &c->base;
    if (c->libfd < 0)
        return err_sys(err, errno, "library %s", path);
    c->slotsfd = openat(c->libfd, CHANGER_DIR_SLOTS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (c->slotsfd < 0)
        return err_sys(err, errno, "%s holds no library: %s/%s", path, path, CHANGER_DIR_SLOTS);
    int rc = (flags & CHANGER_INSPECT) != 0 ? 0 : lock_library(c, err);
    if (rc < 0)
        return rc;
    *out = take_ptr(base);
    return 0;
}
