/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FIRST_CAP (256 * 1024)

void policy_spill_init(struct policy_spill *s, size_t memory, const char *dir)
{
    *s = (struct policy_spill){.memory = memory, .dir = dir, .fd = -1};
}

static int to_file(struct policy_spill *s, size_t cap, struct err *err)
{
    s->fd = open(s->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (s->fd < 0)
        return err_sys(err, errno, "temporary file for candidates in %s", s->dir);
    /* Room first: a full disk is an error here and would be a SIGBUS later. */
    int rc = posix_fallocate(s->fd, 0, (off_t)cap);
    if (rc != 0)
        return err_sys(err, rc, "room for candidates in %s", s->dir);
    char *map = mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
    if (map == MAP_FAILED)
        return err_sys(err, errno, "mapping candidates of %s", s->dir);
    if (s->map != NULL) {
        memcpy(map, s->map, s->len);
        (void)munmap(s->map, s->cap);
    }
    s->map = map;
    s->in_file = true;
    return 0;
}

static int grow_memory(struct policy_spill *s, size_t cap, struct err *err)
{
    char *map = s->map == NULL
                    ? mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                    : mremap(s->map, s->cap, cap, MREMAP_MAYMOVE);
    if (map == MAP_FAILED)
        return err_sys(err, errno, "memory for candidates");
    s->map = map;
    return 0;
}

static int grow_file(struct policy_spill *s, size_t cap, struct err *err)
{
    int rc = posix_fallocate(s->fd, 0, (off_t)cap);
    if (rc != 0)
        return err_sys(err, rc, "room for candidates in %s", s->dir);
    char *map = mremap(s->map, s->cap, cap, MREMAP_MAYMOVE);
    if (map == MAP_FAILED)
        return err_sys(err, errno, "mapping candidates of %s", s->dir);
    s->map = map;
    return 0;
}

int policy_spill_reserve(struct policy_spill *s, size_t n, struct err *err)
{
    if (s->cap - s->len >= n)
        return 0;
    size_t cap = s->cap > 0 ? s->cap : FIRST_CAP;
    while (cap - s->len < n)
        cap = cap < (size_t)256 << 20 ? cap * 2 : cap + ((size_t)256 << 20);
    int rc = 0;
    if (s->in_file)
        rc = grow_file(s, cap, err);
    else if (cap > s->memory)
        rc = to_file(s, cap, err);
    else
        rc = grow_memory(s, cap, err);
    if (rc == 0)
        s->cap = cap;
    return rc;
}

void policy_spill_fini(struct policy_spill *s)
{
    if (s->map != NULL)
        (void)munmap(s->map, s->cap);
    if (s->fd >= 0)
        (void)close(s->fd);
    *s = (struct policy_spill){.fd = -1};
}
