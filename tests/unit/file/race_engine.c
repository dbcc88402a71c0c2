/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's part of the race: archive, release, recall. Copies are kept in memory. */
#include "race.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void race_must(int rc, const char *what)
{
    if (rc < 0) {
        (void)fprintf(stderr, "seed %u: %s: %s\n", R.seed, what, R.site.err.text);
        abort();
    }
}

static void keep(struct victim *v, const struct uuid *archive, const uint8_t *data, size_t size)
{
    lock_scope(&v->lock);
    unsigned k = v->next++ % KEPT;
    v->kept[k].archive = *archive;
    v->kept[k].size = size;
    memcpy(v->kept[k].data, data, size);
}

static int archive_one(struct victim *v, uint8_t *b, struct file_snapshot *snap, unsigned *seed)
{
    struct site *s = &R.site;
    auto_close int fd = fs_open_id(s->fs, &v->id, O_RDONLY | O_NOATIME | O_NONBLOCK, &s->err);
    if (fd == -EAGAIN)
        return FILE_IN_USE;
    race_must(fd, "open");
    int rc = file_snapshot_begin(s->fs, fd, snap, &s->err);
    race_must(rc, "snapshot");
    if (rc != 0)
        return rc;
    race_must(fsync(fd) < 0 ? -errno : 0, "fsync");
    ssize_t n = io_pread_full(fd, b, SIZE, 0);
    race_must((int)n, "copy");
    if ((size_t)n != snap->size)
        return FILE_CHANGED;
    (void)usleep(rand_r(seed) % 1000U); /* writing the copy and verifying it */
    rc = file_snapshot_unchanged(fd, snap, &s->err);
    if (rc != 0)
        return rc;
    struct uuid archive = uuid_new();
    keep(v, &archive, b, (size_t)n);
    rc = file_set_premigrated(s->fs, fd, &archive, snap, &s->err);
    race_must(rc, "set premigrated");
    return rc;
}

static int release_one(struct victim *v, const struct file_snapshot *snap)
{
    struct file_release *r;
    struct file_release_opts opts = {.allow_shared = true};
    struct err err = {0};
    int rc = file_release_begin(R.site.fs, &v->id, snap, &opts, &r, &err);
    if (rc < 0)
        R.site.err = err;
    race_must(rc, "release");
    if (rc == 0) {
        rc = file_release_commit(r, NULL, &err);
        if (rc < 0)
            R.site.err = err;
        race_must(rc, "commit of release");
    }
    return rc;
}

static void count(int rc)
{
    if (rc == 0)
        atomic_fetch_add(&R.releases, 1);
    else if (rc == FILE_IN_USE)
        atomic_fetch_add(&R.in_use, 1);
    else if (rc == FILE_CHANGED)
        atomic_fetch_add(&R.changed, 1);
}

void *race_releaser(void *arg)
{
    (void)arg;
    unsigned seed = R.seed + 300;
    race_guard_trust();
    auto_free uint8_t *b = xzalloc(SIZE);
    while (!atomic_load(&R.stop)) {
        struct victim *v = &R.victims[rand_r(&seed) % FILES];
        struct file_snapshot snap;
        int rc = archive_one(v, b, &snap, &seed);
        (void)usleep(rand_r(&seed) % 500U);
        if (rc == 0)
            rc = release_one(v, &snap);
        count(rc);
        if (rc != 0)
            (void)usleep(100);
    }
    return NULL;
}

/* The copy of archive, in b. Returns its size. */
static size_t kept(struct victim *v, const struct uuid *archive, uint8_t *b)
{
    lock_scope(&v->lock);
    for (int k = 0; k < KEPT; k++) {
        if (memcmp(&v->kept[k].archive, archive, UUID_BYTES) == 0) {
            memcpy(b, v->kept[k].data, v->kept[k].size);
            return v->kept[k].size;
        }
    }
    return 0;
}

static void refill_must(int rc, const struct victim *v, const struct err *err)
{
    if (rc == 0)
        return;
    (void)fprintf(stderr, "seed %u: recall of %s: %s %s\n", R.seed, v->name, file_outcome_text(rc),
                  err->text);
    abort();
}

void race_recall(struct victim *v, uint8_t *b)
{
    struct file_info i;
    struct file_refill *r;
    struct err err = {0};
    if (file_inspect_id(R.site.fs, &v->id, &i, &err) != 0 || i.state != FILE_MIGRATED)
        return;
    size_t size = kept(v, &i.record.archive, b);
    int rc = file_refill_begin(R.site.fs, &v->id, &i.record.archive, &r, &err);
    if (rc == FILE_IN_USE || rc == FILE_NOT_MIGRATED)
        return; /* the release still has its lease, or was turned back */
    refill_must(rc, v, &err);
    if (file_refill_size(r) > size)
        refill_must(FILE_OTHER_ARCHIVE, v, &err);
    size = file_refill_size(r);
    size_t half = size / 2;
    rc = file_refill_write(r, half, b + half, size - half, &err);
    if (rc == 0)
        rc = file_refill_write(r, 0, b, half, &err);
    if (rc == 0)
        rc = file_refill_commit(r, FILE_PREMIGRATED, false, &err);
    refill_must(rc, v, &err);
    atomic_fetch_add(&R.recalls, 1);
}

void *race_recaller(void *arg)
{
    (void)arg;
    auto_free uint8_t *b = xzalloc(SIZE);
    while (!atomic_load(&R.stop)) {
        for (int i = 0; i < FILES; i++) {
            struct victim *v = &R.victims[i];
            bool wanted;
            {
                lock_scope(&v->lock);
                wanted = v->recall_wanted;
                v->recall_wanted = false;
            }
            if (wanted)
                race_recall(v, b);
        }
        (void)usleep(100);
    }
    return NULL;
}
