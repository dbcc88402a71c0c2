/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kind dir: what a cartridge directory holds, read once at load, and cutting a partition off.
 *
 * The E file says up to where data was flushed. Records behind it were written by a process that
 * died before its next flush: they count as far as they follow each other without a hole and
 * without an empty file (what a power cut makes of data that never reached the disk). The rest is
 * as absent as on a real tape and is removed by the next write.
 */
#include "tape/drive_dir_impl.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct object {
    uint64_t block;
    uint64_t size;
    char type;
};

struct object_list {
    struct object *v;
    size_t n, cap;
    uint64_t eod; /* lowest E file */
};

void drive_dir_name(char name[DRIVE_DIR_NAME_MAX], unsigned partition, uint64_t block, char type)
{
    (void)snprintf(name, DRIVE_DIR_NAME_MAX, "%u_%" PRIu64 "_%c", partition, block, type);
}

/* "P_N_X" -> parts; false for any other name. */
static bool parse_name(const char *name, unsigned *partition, uint64_t *block, char *type)
{
    if ((name[0] != '0' && name[0] != '1') || name[1] != '_')
        return false;
    const char *p = name + 2;
    uint64_t n = 0;
    if (*p < '0' || *p > '9' || (*p == '0' && p[1] != '_'))
        return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (n > UINT64_MAX / 16)
            return false;
        n = n * 10 + (uint64_t)(*p - '0');
    }
    if (p[0] != '_' || strchr("RFE", p[1]) == NULL || p[1] == '\0' || p[2] != '\0')
        return false;
    *partition = (unsigned)(name[0] - '0');
    *block = n;
    *type = p[1];
    return true;
}

static int compare_objects(const void *a, const void *b)
{
    const struct object *x = a;
    const struct object *y = b;
    return x->block < y->block ? -1 : x->block > y->block;
}

static void add_object(struct object_list *l, uint64_t block, char type, uint64_t size)
{
    if (type == 'E') {
        if (block < l->eod)
            l->eod = block;
        return;
    }
    if (l->n == l->cap) {
        l->cap = l->cap == 0 ? 256 : l->cap * 2;
        l->v = xrealloc_array(l->v, l->cap, sizeof(*l->v));
    }
    l->v[l->n++] = (struct object){.block = block, .size = size, .type = type};
}

static void add_mark(struct drive_dir_partition *p, uint64_t block)
{
    if (p->mark_count == p->mark_cap) {
        p->mark_cap = p->mark_cap == 0 ? 16 : p->mark_cap * 2;
        p->marks = xrealloc_array(p->marks, p->mark_cap, sizeof(*p->marks));
    }
    p->marks[p->mark_count++] = block;
}

/* Turns the sorted objects of one partition into its state. */
static void take_objects(struct drive_dir_partition *p, const struct object_list *l)
{
    p->eod_named = l->eod;
    p->eod = l->eod == DRIVE_DIR_NO_EOD ? 0 : l->eod;
    p->top = p->eod;
    for (size_t i = 0; i < l->n; i++) {
        const struct object *o = &l->v[i];
        if (o->block >= p->top)
            p->top = o->block + 1;
        if (o->block == p->eod && (o->type == 'F' || o->size > 0))
            p->eod++;
        if (o->block >= p->eod)
            continue;
        if (o->type == 'F')
            add_mark(p, o->block);
        else
            p->used_bytes += o->size;
    }
}

static int read_objects(struct drive_dir *d, struct object_list lists[DRIVE_PARTITIONS],
                        struct err *err)
{
    auto_close int fd = openat(d->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    auto_closedir DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL)
        return err_sys(err, errno, "cartridge %s: directory cannot be read", d->barcode);
    (void)take_fd(fd);
    for (;;) {
        unsigned partition;
        uint64_t block;
        char type;
        struct stat st = {0};
        errno = 0;
        const struct dirent *e = readdir(dir);
        if (e == NULL)
            break;
        if (!parse_name(e->d_name, &partition, &block, &type))
            continue;
        if (type == 'R' && fstatat(d->dirfd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            return err_sys(err, errno, "cartridge %s: %s", d->barcode, e->d_name);
        add_object(&lists[partition], block, type, (uint64_t)st.st_size);
    }
    if (errno != 0)
        return err_sys(err, errno, "cartridge %s: directory cannot be read", d->barcode);
    return 0;
}

int drive_dir_scan(struct drive_dir *d, struct err *err)
{
    struct object_list lists[DRIVE_PARTITIONS] = {{.eod = DRIVE_DIR_NO_EOD},
                                                  {.eod = DRIVE_DIR_NO_EOD}};

    drive_dir_forget(d);
    int rc = read_objects(d, lists, err);
    for (unsigned i = 0; i < DRIVE_PARTITIONS; i++) {
        if (rc == 0 && lists[i].n > 0) {
            qsort(lists[i].v, lists[i].n, sizeof(struct object), compare_objects);
            take_objects(&d->part[i], &lists[i]);
        } else if (rc == 0) {
            take_objects(&d->part[i], &lists[i]);
        }
        free(lists[i].v);
    }
    return rc < 0 ? rc : drive_dir_read_capacity(d, err);
}

void drive_dir_forget(struct drive_dir *d)
{
    for (unsigned i = 0; i < DRIVE_PARTITIONS; i++) {
        free(d->part[i].marks);
        d->part[i] = (struct drive_dir_partition){.eod_named = DRIVE_DIR_NO_EOD};
    }
}

size_t drive_dir_mark_at(const struct drive_dir_partition *p, uint64_t block)
{
    size_t lo = 0;
    size_t hi = p->mark_count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (p->marks[mid] < block)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static int name_eod(struct drive_dir *d, unsigned partition, uint64_t block, struct err *err)
{
    struct drive_dir_partition *p = &d->part[partition];
    char to[DRIVE_DIR_NAME_MAX];

    if (p->eod_named == block)
        return 0;
    drive_dir_name(to, partition, block, 'E');
    if (p->eod_named != DRIVE_DIR_NO_EOD) {
        char from[DRIVE_DIR_NAME_MAX];
        drive_dir_name(from, partition, p->eod_named, 'E');
        if (renameat(d->dirfd, from, d->dirfd, to) != 0)
            return err_sys(err, errno, "cartridge %s: rename of %s to %s", d->barcode, from, to);
    } else {
        auto_close int fd = openat(d->dirfd, to, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0)
            return err_sys(err, errno, "cartridge %s: %s cannot be made", d->barcode, to);
    }
    p->eod_named = block;
    return 0;
}

int drive_dir_name_eods(struct drive_dir *d, struct err *err)
{
    for (unsigned i = 0; i < DRIVE_PARTITIONS; i++) {
        if (d->part[i].top > d->part[i].eod)
            continue; /* remains of an unflushed write: the next write cuts them off first */
        int rc = name_eod(d, i, d->part[i].eod, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int remove_object(struct drive_dir *d, unsigned partition, uint64_t block, char type,
                         struct err *err)
{
    char name[DRIVE_DIR_NAME_MAX];
    drive_dir_name(name, partition, block, type);
    if (unlinkat(d->dirfd, name, 0) != 0 && errno != ENOENT)
        return err_sys(err, errno, "cartridge %s: %s cannot be removed", d->barcode, name);
    return 0;
}

/* Removes the object at block and takes its bytes off the account. */
static int remove_block(struct drive_dir *d, unsigned partition, uint64_t block, struct err *err)
{
    struct drive_dir_partition *p = &d->part[partition];
    char name[DRIVE_DIR_NAME_MAX];
    struct stat st;

    if (block >= p->eod) { /* of unknown type */
        int rc = remove_object(d, partition, block, 'R', err);
        return rc < 0 ? rc : remove_object(d, partition, block, 'F', err);
    }
    p->eod = block;
    if (p->mark_count > 0 && p->marks[p->mark_count - 1] == block) {
        p->mark_count--;
        return remove_object(d, partition, block, 'F', err);
    }
    drive_dir_name(name, partition, block, 'R');
    if (fstatat(d->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        p->used_bytes -=
            (uint64_t)st.st_size < p->used_bytes ? (uint64_t)st.st_size : p->used_bytes;
    return remove_object(d, partition, block, 'R', err);
}

int drive_dir_cut(struct drive_dir *d, unsigned partition, uint64_t block, struct err *err)
{
    struct drive_dir_partition *p = &d->part[partition];

    if (block >= p->top)
        return 0;
    if (p->eod_named == DRIVE_DIR_NO_EOD || block < p->eod_named) {
        int rc = name_eod(d, partition, block, err);
        if (rc < 0)
            return rc;
    }
    for (uint64_t b = p->top; b > block; b--) {
        int rc = remove_block(d, partition, b - 1, err);
        if (rc < 0)
            return rc;
        p->top = b - 1;
    }
    return 0;
}
