/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kind dir: a cartridge is a directory of files "P_N_R" (record), "P_N_F" (file mark), "P_N_E" (end
 * of data) and attributes; see firn-ltfs(5). A record costs one create, one write and one close;
 * durability comes from drive_flush alone.
 */
#include "tape/drive_dir_impl.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define DRIVE_DIR_MAX_RECORD (8u << 20)
#define WRITE_OUT_EARLY      (256u << 10) /* bytes: smaller records are few */

static struct drive_dir *self(struct drive *drv)
{
    return (struct drive_dir *)drv;
}

static void dir_close(struct drive *drv)
{
    struct drive_dir *d = self(drv);
    drive_dir_forget(d);
    free(d->library);
    free(d->link);
    free(d);
}

static const char *dir_barcode(const struct drive *drv)
{
    return ((const struct drive_dir *)drv)->barcode;
}

static const char *dir_serial(const struct drive *drv)
{
    return ((const struct drive_dir *)drv)->serial;
}

/* Opens the directory of the cartridge that is in the drive; -1 in *fd when there is none. */
static int open_cartridge(struct drive_dir *d, int *fd, struct err *err)
{
    auto_close int libfd = open(d->library, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *fd = -1;
    if (libfd < 0)
        return err_sys(err, errno, "drive %s: %s", d->serial, d->library);
    if (d->link == NULL) {
        *fd = take_fd(libfd);
        return 0;
    }
    int rc = drive_dir_read_link(libfd, d->link, d->barcode, err);
    if (rc < 0 || d->barcode[0] == '\0')
        return rc;
    *fd = openat(libfd, d->barcode, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*fd < 0)
        return err_sys(err, errno, "drive %s: cartridge %s in %s", d->serial, d->barcode,
                       d->library);
    return 0;
}

static int dir_load(struct drive *drv, struct err *err)
{
    struct drive_dir *d = self(drv);
    auto_close int fd = -1;

    int rc = open_cartridge(d, &fd, err);
    if (rc < 0)
        return rc;
    if (fd < 0)
        return DRIVE_EMPTY;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        return err_sys(err, errno == EWOULDBLOCK ? EBUSY : errno,
                       "cartridge %s is held by another drive or process", d->barcode);
    d->dirfd = fd;
    rc = drive_dir_scan(d, err);
    if (rc < 0) {
        d->dirfd = -1;
        drive_dir_forget(d);
        return rc;
    }
    (void)take_fd(fd);
    d->pos = (struct drive_position){0};
    d->vcr_armed = true;
    return 0;
}

/* The E files follow only when the data is on disk: a power cut may leave them behind the data,
 * which the scan at load understands, but never before it. */
static int dir_flush(struct drive *drv, struct err *err)
{
    struct drive_dir *d = self(drv);
    if (syncfs(d->dirfd) != 0)
        return err_sys(err, errno, "cartridge %s: flush", d->barcode);
    return drive_dir_name_eods(d, err);
}

static int dir_unload(struct drive *drv, struct err *err)
{
    struct drive_dir *d = self(drv);
    int rc = dir_flush(drv, err);
    if (rc == 0 && io_fsync_dir(d->dirfd) < 0)
        rc = err_set(err, -EIO, "cartridge %s: its directory cannot be made durable", d->barcode);
    (void)close(d->dirfd); /* gives the lock up */
    d->dirfd = -1;
    drive_dir_forget(d);
    return rc;
}

static int outcome_of_write(const struct drive_dir_partition *p)
{
    return p->used_bytes > p->max_bytes - p->max_bytes / 20 ? DRIVE_EARLY_WARNING : 0;
}

/* Makes the head's place the end of data, before the first byte is written there. */
static int prepare_write(struct drive_dir *d, struct err *err)
{
    int rc = drive_dir_cut(d, d->pos.partition, d->pos.block, err);
    if (rc == 0 && d->vcr_armed) {
        rc = drive_dir_bump_vcr(d, err);
        if (rc == 0)
            d->vcr_armed = false;
    }
    return rc;
}

static int create_object(struct drive_dir *d, char type, const void *data, size_t len,
                         struct err *err)
{
    char name[DRIVE_DIR_NAME_MAX];
    drive_dir_name(name, d->pos.partition, d->pos.block, type);
    auto_close int fd = openat(d->dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int rc = fd < 0 ? -errno : 0;
    if (rc == 0 && len > 0)
        rc = io_write_full(fd, data, len);
    /* Let the disk begin now: the flush then waits for the last records only. No promise hangs on
     * it. */
    if (rc == 0 && len >= WRITE_OUT_EARLY)
        (void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    if (rc < 0) {
        (void)unlinkat(d->dirfd, name, 0);
        return err_sys(err, -rc, "cartridge %s: write of partition %c block %" PRIu64, d->barcode,
                       drive_letter(d->pos.partition), d->pos.block);
    }
    return 0;
}

static void advance(struct drive_dir *d)
{
    struct drive_dir_partition *p = &d->part[d->pos.partition];
    d->pos.block++;
    p->eod = d->pos.block;
    p->top = d->pos.block;
}

static int dir_write_record(struct drive *drv, const void *data, size_t len, struct err *err)
{
    struct drive_dir *d = self(drv);
    struct drive_dir_partition *p = &d->part[d->pos.partition];

    int rc = prepare_write(d, err);
    if (rc < 0)
        return rc;
    if (p->used_bytes + len > p->max_bytes)
        return DRIVE_FULL;
    rc = create_object(d, 'R', data, len, err);
    if (rc < 0)
        return rc;
    p->used_bytes += len;
    advance(d);
    return outcome_of_write(p);
}

static int dir_write_filemarks(struct drive *drv, unsigned n, struct err *err)
{
    struct drive_dir *d = self(drv);
    struct drive_dir_partition *p = &d->part[d->pos.partition];

    int rc = prepare_write(d, err);
    for (unsigned i = 0; rc == 0 && i < n; i++) {
        rc = create_object(d, 'F', NULL, 0, err);
        if (rc < 0)
            return rc;
        if (p->mark_count == p->mark_cap) {
            p->mark_cap = p->mark_cap == 0 ? 16 : p->mark_cap * 2;
            p->marks = xrealloc_array(p->marks, p->mark_cap, sizeof(*p->marks));
        }
        p->marks[p->mark_count++] = d->pos.block;
        advance(d);
    }
    return rc < 0 ? rc : outcome_of_write(p);
}

static bool is_mark(const struct drive_dir_partition *p, uint64_t block)
{
    size_t i = drive_dir_mark_at(p, block);
    return i < p->mark_count && p->marks[i] == block;
}

/* Reads the record at the head; one byte more than cap tells a longer record. */
static int read_object(struct drive_dir *d, void *buf, size_t cap, size_t *len, struct err *err)
{
    char name[DRIVE_DIR_NAME_MAX];
    drive_dir_name(name, d->pos.partition, d->pos.block, 'R');
    const char letter = drive_letter(d->pos.partition);
    struct stat st;

    auto_close int fd = openat(d->dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        return err_set(err, -EIO, "cartridge %s: partition %c block %" PRIu64 " cannot be read: %s",
                       d->barcode, letter, d->pos.block, strerror(errno));
    if (st.st_size == 0)
        return err_set(err, -EIO, "cartridge %s: partition %c block %" PRIu64 " is damaged (empty)",
                       d->barcode, letter, d->pos.block);
    d->pos.block++;
    if ((uint64_t)st.st_size > cap)
        return err_set(err, -EMSGSIZE,
                       "cartridge %s: partition %c block %" PRIu64 " has %lld bytes, more than %zu",
                       d->barcode, letter, d->pos.block - 1, (long long)st.st_size, cap);
    ssize_t n = io_read_full(fd, buf, (size_t)st.st_size);
    if (n != st.st_size)
        return err_set(err, -EIO, "cartridge %s: partition %c block %" PRIu64 " cannot be read: %s",
                       d->barcode, letter, d->pos.block - 1,
                       n < 0 ? strerror((int)-n) : "it is shorter than it was");
    *len = (size_t)n;
    return 0;
}

static int dir_read_record(struct drive *drv, void *buf, size_t cap, size_t *len, struct err *err)
{
    struct drive_dir *d = self(drv);
    const struct drive_dir_partition *p = &d->part[d->pos.partition];

    if (d->pos.block >= p->eod)
        return DRIVE_END_OF_DATA;
    if (is_mark(p, d->pos.block)) {
        d->pos.block++;
        return DRIVE_FILEMARK;
    }
    return read_object(d, buf, cap, len, err);
}

static int dir_locate(struct drive *drv, unsigned partition, uint64_t block, struct err *err)
{
    struct drive_dir *d = self(drv);
    const struct drive_dir_partition *p = &d->part[partition];

    (void)err;
    d->pos.partition = partition;
    d->pos.block = block <= p->eod ? block : p->eod;
    return block <= p->eod ? 0 : DRIVE_END_OF_DATA;
}

static int dir_locate_eod(struct drive *drv, unsigned partition, struct err *err)
{
    struct drive_dir *d = self(drv);
    (void)err;
    d->pos.partition = partition;
    d->pos.block = d->part[partition].eod;
    return 0;
}

static int dir_space_filemarks(struct drive *drv, int n, struct err *err)
{
    struct drive_dir *d = self(drv);
    const struct drive_dir_partition *p = &d->part[d->pos.partition];
    size_t at = drive_dir_mark_at(p, d->pos.block); /* first mark at or behind the head */

    (void)err;
    if (n > 0) {
        if ((size_t)n > p->mark_count - at) {
            d->pos.block = p->eod;
            return DRIVE_END_OF_DATA;
        }
        d->pos.block = p->marks[at + (size_t)n - 1] + 1;
        return 0;
    }
    size_t back = (size_t)(-(long)n);
    if (back > at) {
        d->pos.block = 0;
        return DRIVE_BEGINNING;
    }
    d->pos.block = p->marks[at - back];
    return 0;
}

static int dir_position(struct drive *drv, struct drive_position *pos, struct err *err)
{
    (void)err;
    *pos = self(drv)->pos;
    return 0;
}

static int dir_capacity(struct drive *drv, unsigned partition, struct drive_capacity *cap,
                        struct err *err)
{
    const struct drive_dir_partition *p = &self(drv)->part[partition];
    (void)err;
    cap->maximum_bytes = p->max_bytes;
    cap->remaining_bytes = p->used_bytes < p->max_bytes ? p->max_bytes - p->used_bytes : 0;
    cap->early_warning = outcome_of_write(p) != 0;
    return 0;
}

static int dir_format(struct drive *drv, struct err *err)
{
    struct drive_dir *d = self(drv);

    int rc = drive_dir_bump_vcr(d, err);
    for (unsigned i = 0; rc == 0 && i < DRIVE_PARTITIONS; i++)
        rc = drive_dir_cut(d, i, 0, err);
    if (rc == 0)
        rc = drive_dir_clear_attrs(d, err);
    if (rc == 0)
        rc = dir_flush(drv, err);
    d->pos = (struct drive_position){0};
    d->vcr_armed = true;
    return rc;
}

static const struct drive_ops dir_ops = {
    .close = dir_close,
    .load = dir_load,
    .unload = dir_unload,
    .barcode = dir_barcode,
    .serial = dir_serial,
    .write_record = dir_write_record,
    .read_record = dir_read_record,
    .write_filemarks = dir_write_filemarks,
    .locate = dir_locate,
    .locate_eod = dir_locate_eod,
    .space_filemarks = dir_space_filemarks,
    .position = dir_position,
    .flush = dir_flush,
    .read_attribute = drive_dir_read_attribute,
    .write_attribute = drive_dir_write_attribute,
    .capacity = dir_capacity,
    .format = dir_format,
};

static struct drive_dir *new_dir(const char *library, const char *link)
{
    struct drive_dir *d = xzalloc(sizeof(*d));
    d->base.ops = &dir_ops;
    d->base.caps = (struct drive_caps){.kind = "dir",
                                       .max_record = DRIVE_DIR_MAX_RECORD,
                                       .partitions = DRIVE_PARTITIONS,
                                       .eod_is_cheap = true};
    d->library = xstrdup(library);
    d->link = xstrdup(link);
    d->dirfd = -1;
    return d;
}

int drive_dir_open(const char *library, const char *link, struct drive **out, struct err *err)
{
    char product[DRIVE_SERIAL_MAX];
    char barcode[DRIVE_BARCODE_MAX];
    char serial[DRIVE_SERIAL_MAX];

    if (!drive_dir_split_link(link, serial, product))
        return err_set(err, -EINVAL, "%s/%s is not a drive link file (Drive_<serial>.<product>)",
                       library, link);
    auto_close int libfd = open(library, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (libfd < 0)
        return err_sys(err, errno, "library %s", library);
    int rc = drive_dir_read_link(libfd, link, barcode, err);
    if (rc < 0)
        return rc;
    struct drive_dir *d = new_dir(library, link);
    memcpy(d->serial, serial, sizeof(serial));
    *out = &d->base;
    return 0;
}

int drive_dir_open_cartridge(const char *cartridge, struct drive **out, struct err *err)
{
    size_t len = strlen(cartridge);
    while (len > 1 && cartridge[len - 1] == '/')
        len--;
    auto_free char *path = xstrndup(cartridge, len);
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;

    if (!drive_dir_valid_barcode(name))
        return err_set(err, -EINVAL, "%s: a cartridge is named by 1 to 36 letters and digits",
                       cartridge);
    auto_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, errno, "cartridge %s", cartridge);
    struct drive_dir *d = new_dir(path, NULL);
    (void)snprintf(d->serial, sizeof(d->serial), "%s", name);
    (void)snprintf(d->barcode, sizeof(d->barcode), "%s", name);
    *out = &d->base;
    return 0;
}
