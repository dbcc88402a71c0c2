/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/dirsync.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

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

struct dirsync {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    struct entry *entries;
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
    (void)pthread_cond_destroy(&d->ended);
    (void)pthread_mutex_destroy(&d->lock);
    free(d);
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
