/* SPDX-License-Identifier: Apache-2.0 */
#include "tier/ranges.h"

#include "base/io.h"

#include <errno.h>
#include <unistd.h>

struct range {
    const char *name;
    int fd;
    uint64_t off, end; /* no hole */
};

static int send_range(const struct range *r, void *buf, size_t cap, tier_sink_fn *sink, void *arg,
                      struct err *err)
{
    for (uint64_t off = r->off; off < r->end;) {
        size_t n = r->end - off < cap ? (size_t)(r->end - off) : cap;
        ssize_t got = io_pread_full(r->fd, buf, n, (off_t)off);
        if (got < (ssize_t)n)
            return err_sys(err, got < 0 ? (int)-got : EIO, "%s at byte %llu", r->name,
                           (unsigned long long)off);
        int rc = sink(arg, off, buf, n, err);
        if (rc < 0)
            return rc;
        off += n;
    }
    return 0;
}

int tier_send_file(int fd, uint64_t size, const char *name, void *buf, size_t cap,
                   tier_sink_fn *sink, void *arg, struct err *err)
{
    int rc = 0;
    for (off_t off = 0; rc == 0 && (uint64_t)off < size;) {
        off_t data = lseek(fd, off, SEEK_DATA);
        if (data < 0)
            return errno == ENXIO ? 0 : err_sys(err, errno, "%s", name); /* a hole is left */
        off_t end = lseek(fd, data, SEEK_HOLE);
        if (end < 0)
            return err_sys(err, errno, "%s", name);
        struct range r = {name, fd, (uint64_t)data, (uint64_t)end};
        rc = send_range(&r, buf, cap, sink, arg, err);
        off = end;
    }
    return rc;
}

int tier_full_or(int rc)
{
    return rc == -ENOSPC || rc == -EDQUOT ? TIER_FULL : rc;
}
