/* SPDX-License-Identifier: Apache-2.0 */
#include "scan/moves.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/fanotify.h>
#include <unistd.h>

#define EVENTS (FAN_MOVED_TO | FAN_CREATE | FAN_ONDIR)

struct scan_moves {
    int group;
    int rootfd; /* of ours: handles are opened by it */
    size_t len, pos;
    char last[NAME_MAX + 1];
    char buf[32768] __attribute__((aligned(8)));
};

int scan_moves_open(int rootfd, struct scan_moves **out, struct err *err)
{
    struct scan_moves *m = xzalloc(sizeof(*m));
    m->rootfd = openat(rootfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = errno;
    m->group = fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE |
                                 FAN_REPORT_DFID_NAME,
                             O_RDONLY | O_CLOEXEC);
    if (m->rootfd >= 0 &&
        (m->group < 0 ||
         fanotify_mark(m->group, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, EVENTS, m->rootfd, NULL) != 0))
        failed = errno;
    else if (m->rootfd >= 0)
        failed = 0;
    if (failed != 0) {
        scan_moves_close(m);
        return err_sys(err, failed, "watch for names that change");
    }
    *out = m;
    return 0;
}

/* Folder and name of event e, which lies at "at". Returns false when it has none or the folder is
 * gone. */
static bool take(struct scan_moves *m, const struct fanotify_event_metadata *e, const char *at,
                 int *dirfd)
{
    const char *p = at + e->metadata_len;
    const char *end = at + e->event_len;
    while (p + sizeof(struct fanotify_event_info_fid) <= end) {
        const struct fanotify_event_info_fid *info = (const void *)p;
        struct file_handle *h = (struct file_handle *)(uintptr_t)info->handle;
        p += info->hdr.len;
        if (info->hdr.info_type != FAN_EVENT_INFO_TYPE_DFID_NAME)
            continue;
        const char *name = (const char *)h->f_handle + h->handle_bytes;
        (void)snprintf(m->last, sizeof(m->last), "%s", name);
        *dirfd = open_by_handle_at(m->rootfd, h, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return *dirfd >= 0;
    }
    return false;
}

/* Fills the buffer. Returns 1, 0 when there is nothing, or a negative code. */
static int fill(struct scan_moves *m, struct err *err)
{
    ssize_t n = 0;
    do
        n = read(m->group, m->buf, sizeof(m->buf));
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN)
        return err_sys(err, errno, "read names that changed");
    m->len = n > 0 ? (size_t)n : 0;
    m->pos = 0;
    return n > 0 ? 1 : 0;
}

int scan_moves_next(struct scan_moves *m, int *dirfd, const char **name, struct err *err)
{
    for (;;) {
        struct fanotify_event_metadata e; /* events with a name begin at multiples of 4 only */
        const char *at = m->buf + m->pos;
        if (m->pos + sizeof(e) > m->len) {
            int rc = fill(m, err);
            if (rc <= 0)
                return rc;
            continue;
        }
        memcpy(&e, at, sizeof(e));
        m->pos += e.event_len;
        if ((e.mask & FAN_Q_OVERFLOW) != 0)
            return err_set(err, -EOVERFLOW, "names that changed were lost");
        if (take(m, &e, at, dirfd)) {
            *name = m->last;
            return 1;
        }
    }
}

void scan_moves_close(struct scan_moves *m)
{
    if (m == NULL)
        return;
    if (m->group >= 0)
        (void)close(m->group);
    if (m->rootfd >= 0)
        (void)close(m->rootfd);
    free(m);
}
