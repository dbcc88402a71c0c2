/* SPDX-License-Identifier: Apache-2.0 */
/* A restore's last step: the file takes data and layout of the volatile. A real MDT swaps two
 * layouts in a moment; here the data are cloned where the file system can, else copied. */
#include "mdt.h"

#include "../lov.h"
#include "base/cleanup.h"
#include "base/mem.h"

#include <errno.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

enum { INLINE_MAX = 1024 * 1024 };

struct swap {
    int from, to;
    uint64_t cookie, conn;
    int report; /* where to tell the loop */
};
struct swap_result {
    uint64_t cookie, conn;
    int rc;
};

static int copy_range(int from, int to, off_t begin, off_t end)
{
    off_t in = begin, out = begin;
    while (in < end) {
        ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(end - in), 0);
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EIO;
    }
    return 0;
}

/* Data ranges only: holes stay holes. */
static int copy_sparse(int from, int to, off_t size)
{
    off_t at = 0;
    while (at < size) {
        off_t begin = lseek(from, at, SEEK_DATA);
        if (begin < 0)
            return errno == ENXIO ? 0 : -errno;
        off_t end = lseek(from, begin, SEEK_HOLE);
        if (end < 0)
            return -errno;
        int rc = copy_range(from, to, begin, end);
        if (rc != 0)
            return rc;
        at = end;
    }
    return 0;
}

static int swap_now(int from, int to)
{
    struct stat v, st;
    if (fstat(from, &v) != 0 || fstat(to, &st) != 0)
        return -errno;
    if (ftruncate(to, 0) != 0 || ftruncate(to, v.st_size) != 0)
        return -errno;
    if (v.st_size > 0 && ioctl(to, FICLONE, from) != 0) {
        int rc = copy_sparse(from, to, v.st_size);
        if (rc != 0)
            return rc;
    }
    int rc = lov_move(from, to);
    /* The times of the name belong to the MDT and do not change by a swap. */
    struct timespec times[2] = {st.st_atim, st.st_mtim};
    return rc == 0 && futimens(to, times) != 0 ? -errno : rc;
}

static void *swap_thread(void *arg)
{
    struct swap *s = arg;
    struct swap_result result = {s->cookie, s->conn, swap_now(s->from, s->to)};
    (void)close(s->from);
    (void)close(s->to);
    if (write(s->report, &result, sizeof result) != (ssize_t)sizeof result)
        abort();
    free(s);
    return NULL;
}

int swap_data(struct mdt *m, int from, int to, uint64_t cookie, uint64_t conn)
{
    struct stat st;
    pthread_t thread;
    if (fstat(from, &st) == 0 && st.st_size > INLINE_MAX) {
        struct swap *s = xzalloc(sizeof *s);
        *s = (struct swap){from, to, cookie, conn, m->done_pipe[1]};
        if (pthread_create(&thread, NULL, swap_thread, s) != 0)
            abort();
        (void)pthread_detach(thread);
        return 1;
    }
    int rc = swap_now(from, to);
    (void)close(from);
    (void)close(to);
    return rc;
}

void swap_done(struct mdt *m)
{
    struct swap_result result;
    if (read(m->done_pipe[0], &result, sizeof result) == (ssize_t)sizeof result)
        action_swapped(m, result.cookie, result.rc, result.conn);
}
