/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/dirsync.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#define KNOWN_NS NS_PER_SEC /* a device may be mounted again as another file system */

/* Somebody who needs a sync that begins after he came; lies on his stack. */
struct waiter {
    struct waiter *next;
    sem_t ended;
    bool leads; /* he is to do the next sync himself */
    int rc;     /* else: how his sync went */
};

/* A directory that is being synced. */
struct entry {
    struct entry *next;
    dev_t dev;
    ino_t ino;
    struct waiter *first; /* who came while it is; the next sync is theirs */
    struct waiter **last;
};

/* What is known of a file system. */
struct known {
    struct known *next;
    dev_t dev;
    int64_t asked_ns; /* monotonic */
    bool ordered;
};

struct dirsync {
    pthread_mutex_t lock; /* of entries; never held over a sync or a wake */
    struct entry *entries;
    pthread_mutex_t known_lock;
    struct known *known;
};

struct dirsync *dirsync_new(void)
{
    struct dirsync *d = xzalloc(sizeof *d);
    (void)pthread_mutex_init(&d->lock, NULL);
    (void)pthread_mutex_init(&d->known_lock, NULL);
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
    (void)pthread_mutex_destroy(&d->known_lock);
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
    lock_scope(&d->known_lock);
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

static struct entry *find_locked(struct dirsync *d, const struct stat *st)
{
    struct entry *e = d->entries;
    while (e != NULL && (e->dev != st->st_dev || e->ino != st->st_ino))
        e = e->next;
    return e;
}

static struct entry *add_locked(struct dirsync *d, const struct stat *st)
{
    struct entry *e = xzalloc(sizeof *e);
    e->dev = st->st_dev;
    e->ino = st->st_ino;
    e->last = &e->first;
    e->next = d->entries;
    d->entries = e;
    return e;
}

static void drop_locked(struct dirsync *d, struct entry *e)
{
    struct entry **p = &d->entries;
    while (*p != e)
        p = &(*p)->next;
    *p = e->next;
    free(e);
}

/* Takes all who wait for e. */
static struct waiter *take_waiters_locked(struct entry *e)
{
    struct waiter *all = e->first;
    e->first = NULL;
    e->last = &e->first;
    return all;
}

/* The first of those who came during the sync does the next one; without any, e goes. */
static struct waiter *pass_on_locked(struct dirsync *d, struct entry *e)
{
    struct waiter *w = e->first;
    if (w == NULL) {
        drop_locked(d, e);
        return NULL;
    }
    e->first = w->next;
    if (e->first == NULL)
        e->last = &e->first;
    w->leads = true;
    return w;
}

/* Syncs e for the caller and for all who wait for it by now, and wakes them; each of them by
 * itself, so that they do not meet at a lock. */
static int lead(struct dirsync *d, struct entry *e, int fd)
{
    struct waiter *mine = NULL;
    {
        lock_scope(&d->lock);
        mine = take_waiters_locked(e);
    }
    int rc = fsync(fd) == 0 ? 0 : -errno;
    struct waiter *next = NULL;
    {
        lock_scope(&d->lock);
        next = pass_on_locked(d, e);
    }
    if (next != NULL)
        (void)sem_post(&next->ended);
    while (mine != NULL) {
        struct waiter *w = mine;
        mine = w->next; /* w is gone once it is woken */
        w->rc = rc;
        (void)sem_post(&w->ended);
    }
    return rc;
}

int dirsync_wait(struct dirsync *d, int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return -errno;
    struct waiter w = {0};
    struct entry *e = NULL;
    bool wait = false;
    {
        lock_scope(&d->lock);
        e = find_locked(d, &st);
        wait = e != NULL;
        if (wait) {
            (void)sem_init(&w.ended, 0, 0);
            *e->last = &w;
            e->last = &w.next;
        } else {
            e = add_locked(d, &st);
        }
    }
    if (!wait)
        return lead(d, e, fd);
    while (sem_wait(&w.ended) != 0)
        continue;
    (void)sem_destroy(&w.ended);
    return w.leads ? lead(d, e, fd) : w.rc;
}
