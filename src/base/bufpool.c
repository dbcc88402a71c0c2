/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bufpool.h"

#include "base/mem.h"
#include "base/queue.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct bufpool {
    struct queue *free_bufs; /* holds every buffer that is not lent */
    void *map;
    size_t count;
    size_t size;   /* as asked */
    size_t stride; /* size rounded up to pages */
};

struct bufpool *bufpool_new(size_t count, size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (count == 0 || size == 0 || size > SIZE_MAX - page) {
        errno = EINVAL;
        return NULL;
    }
    size_t stride = (size + page - 1) / page * page;
    if (stride > SIZE_MAX / count) {
        errno = EOVERFLOW;
        return NULL;
    }
    void *map =
        mmap(NULL, count * stride, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return NULL;
    struct bufpool *p = xzalloc(sizeof(*p));
    *p = (struct bufpool){queue_new(count), map, count, size, stride};
    for (size_t i = 0; i < count; i++)
        (void)queue_push(p->free_bufs, (char *)map + i * stride);
    return p;
}

void bufpool_free(struct bufpool *p)
{
    if (p == NULL)
        return;
    assert(queue_len(p->free_bufs) == p->count);
    queue_free(p->free_bufs);
    (void)munmap(p->map, p->count * p->stride);
    free(p);
}

void *bufpool_get(struct bufpool *p)
{
    return queue_pop(p->free_bufs);
}

void *bufpool_try_get(struct bufpool *p)
{
    return queue_try_pop(p->free_bufs);
}

void bufpool_put(struct bufpool *p, void *b)
{
    if (b != NULL)
        (void)queue_push(p->free_bufs, b);
}

size_t bufpool_size(const struct bufpool *p)
{
    return p->size;
}
