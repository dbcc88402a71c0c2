/* SPDX-License-Identifier: Apache-2.0 */
/* Action handles that remember their death, and descriptors that must come back. */
#include "lib_impl.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { QUARANTINE = 8192, FDS = 65536 };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct lib_cp *quarantine[QUARANTINE];
static size_t quarantine_next;
static struct {
    dev_t dev;
    ino_t ino; /* 0: not given */
    const struct lib_cp *cp;
    time_t ended; /* when its action ended; 0: not yet */
} given[FDS];

struct lib_cp *lib_cp_new(const struct hsm_action_item *hai)
{
    struct lib_cp *cp = calloc(1, sizeof *cp);
    if (cp == NULL)
        return NULL;
    cp->magic = LIB_CP_MAGIC;
    memcpy(&cp->hai, hai, sizeof cp->hai);
    cp->fd = -1;
    return cp;
}

struct lib_cp *lib_cp_check(const void *p)
{
    const struct lib_cp *cp = p;
    if (cp == NULL) {
        lib_report("null_handle");
        return NULL;
    }
    if (cp->magic == LIB_CP_MAGIC)
        return (struct lib_cp *)(uintptr_t)p;
    lib_report(cp->magic == LIB_POISON ? "poisoned_handle" : "foreign_handle");
    return NULL;
}

static time_t now(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec;
}

static void mark_ended(const struct lib_cp *cp)
{
    (void)pthread_mutex_lock(&lock);
    for (int i = 0; i < LIB_CP_FDS; i++) {
        int fd = cp->given[i] - 1;
        if (fd >= 0 && given[fd].cp == cp)
            given[fd].ended = now();
    }
    (void)pthread_mutex_unlock(&lock);
}

void lib_cp_free(struct lib_cp *cp)
{
    if (cp->fd >= 0)
        (void)close(cp->fd);
    mark_ended(cp);
    memset(cp, 0xA9, sizeof *cp);
    cp->magic = LIB_POISON;
    (void)pthread_mutex_lock(&lock);
    struct lib_cp *oldest = quarantine[quarantine_next];
    quarantine[quarantine_next] = cp;
    quarantine_next = (quarantine_next + 1) % QUARANTINE;
    (void)pthread_mutex_unlock(&lock);
    free(oldest);
}

void lib_fd_given(struct lib_cp *cp, int fd)
{
    struct stat st;
    if (fd < 0 || fd >= FDS || fstat(fd, &st) != 0)
        return;
    (void)pthread_mutex_lock(&lock);
    given[fd].dev = st.st_dev;
    given[fd].ino = st.st_ino;
    given[fd].cp = cp;
    given[fd].ended = 0;
    for (int i = 0; i < LIB_CP_FDS; i++) {
        if (cp->given[i] != 0 && cp->given[i] != fd + 1)
            continue;
        cp->given[i] = fd + 1;
        break;
    }
    (void)pthread_mutex_unlock(&lock);
}

void lib_fd_audit(int patience_s)
{
    int leaked = 0;
    (void)pthread_mutex_lock(&lock);
    for (int fd = 0; fd < FDS; fd++) {
        struct stat st;
        if (given[fd].ino == 0 || given[fd].ended == 0 || now() - given[fd].ended < patience_s)
            continue;
        if (fstat(fd, &st) == 0 && st.st_dev == given[fd].dev && st.st_ino == given[fd].ino)
            leaked++;
        given[fd].ino = 0;
    }
    (void)pthread_mutex_unlock(&lock);
    for (int i = 0; i < leaked; i++)
        lib_report("leaked_fd");
}

__attribute__((destructor)) static void audit_at_exit(void)
{
    lib_fd_audit(0);
}
