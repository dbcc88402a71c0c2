/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/dirsync.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#define KNOWN_NS NS_PER_SEC /* a device may be mounted again as another file system */

/* A directory that somebody waits for. begun and done count its syncs; a waiter needs the first one
 * that begins after it came. */
struct entry {
    struct entry *next;
    dev_t dev;
    ino_t ino;
    unsigned users;
    uint64_t begun;
    uint64_t done;
    bool busy;
    int rc; /* of the last sync that ended */
};

/* What is known of a file system. */
struct known {
    struct known *next;
    dev_t dev;
    int64_t asked_ns; /* monotonic */
    bool ordered;
};

struct dirsync {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    struct entry *entries;
    struct known *known;
};

struct dirsync *dirsync_new(void)
{
    struct dirsync *d = xzalloc(sizeof *d);
    (void)pthread_mutex_init(&d->lock, NULL);
    (void)pthread_cond_init(&d->ended, NULL);
    return d;
}

void dirsync_free(struct dirsync *d)
{
    if (d == NULL)
        return;
    while (d->known != NULL) {
        struct known *k = d->known;
        d->known = k->next;
        free(k);
    }
    (void)pthread_cond_destroy(&d->ended);
    (void)pthread_mutex_destroy(&d->lock);
    free(d);
}

/* An ext4 may have no journal: then each inode is written for itself. The kernel shows the thread
 * that writes it (fs/ext4/sysfs.c), by the name of the device. */
static bool ext4_has_journal(dev_t dev)
{
    char link[64];
    char device[256];
    char path[320];
    (void)snprintf(link, sizeof link, "/sys/dev/block/%u:%u", major(dev), minor(dev));
    ssize_t n = readlink(link, device, sizeof device - 1);
    if (n <= 0)
        return false;
    device[n] = '\0';
    const char *slash = strrchr(device, '/');
    (void)snprintf(path, sizeof path, "/sys/fs/ext4/%s/journal_task",
                   slash != NULL ? slash + 1 : device);
    auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    char first = '\0';
    return fd >= 0 && read(fd, &first, 1) == 1 && first >= '0' && first <= '9';
}

static bool is_ordered(int fd, dev_t dev)
{
    struct statfs fs;
    if (fstatfs(fd, &fs) != 0)
        return false;
    return fs.f_type == XFS_SUPER_MAGIC || (fs.f_type == EXT4_SUPER_MAGIC && ext4_has_journal(dev));
}

bool dirsync_ordered(struct dirsync *d, int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return false;
    lock_scope(&d->lock);
    struct known *k = d->known;
    while (k != NULL && k->dev != st.st_dev)
        k = k->next;
    int64_t now = time_mono_ns();
    if (k != NULL && now - k->asked_ns < KNOWN_NS)
        return k->ordered;
    if (k == NULL) {
        k = xzalloc(sizeof *k);
        k->dev = st.st_dev;
        k->next = d->known;
        d->known = k;
    }
    k->asked_ns = now;
    k->ordered = is_ordered(fd, st.st_dev);
    return k->ordered;
}

static struct entry *enter_locked(struct dirsync *d, const struct stat *st)
{
    struct entry *e = d->entries;
    while (e != NULL && (e->dev != st->st_dev || e->ino != st->st_ino))
        e = e->next;
    if (e == NULL) {
        e = xzalloc(sizeof *e);
        e->dev = st->st_dev;
        e->ino = st->st_ino;
        e->next = d->entries;
        d->entries = e;
    }
    e->users++;
    return e;
}

static void leave_locked(struct dirsync *d, struct entry *e)
{
    if (--e->users > 0)
        return;
    struct entry **p = &d->entries;
    while (*p != e)
        p = &(*p)->next;
    *p = e->next;
    free(e);
}

int dirsync_wait(struct dirsync *d, int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return -errno;
    lock_scope(&d->lock);
    struct entry *e = enter_locked(d, &st);
    uint64_t want = e->begun + 1;
    int rc = 0;
    while (e->done < want) {
        if (e->busy) {
            (void)pthread_cond_wait(&d->ended, &d->lock);
            rc = e->rc;
            continue;
        }
        e->busy = true;
        e->begun++;
        (void)pthread_mutex_unlock(&d->lock);
        rc = fsync(fd) == 0 ? 0 : -errno;
        (void)pthread_mutex_lock(&d->lock);
        e->busy = false;
        e->done = e->begun;
        e->rc = rc;
        (void)pthread_cond_broadcast(&d->ended);
    }
    leave_locked(d, e);
    return rc;
}
