/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "watch/front_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FD_BITS 20

_Static_assert(FRONT_FDS_MAX <= 1 << FD_BITS, "a descriptor fits in the low bits of seq");

void front_table_init(struct front_table *t, int limit)
{
    memset(t, 0, sizeof(*t));
    t->limit = limit;
    t->slots = xzalloc((size_t)limit * sizeof(*t->slots));
    t->waiting = t->closing = (struct front_list){NONE, NONE};
    t->unsent = t->looked = NONE;
}

void front_table_fini(struct front_table *t)
{
    free(t->slots);
    t->slots = NULL;
}

static void append(struct front_table *t, struct front_list *l, int32_t fd)
{
    struct front_slot *s = &t->slots[fd];
    s->prev = l->tail;
    s->next = NONE;
    *(l->tail == NONE ? &l->head : &t->slots[l->tail].next) = fd;
    l->tail = fd;
}

static void take_out(struct front_table *t, struct front_list *l, int32_t fd)
{
    const struct front_slot *s = &t->slots[fd];
    *(s->prev == NONE ? &l->head : &t->slots[s->prev].next) = s->next;
    *(s->next == NONE ? &l->tail : &t->slots[s->next].prev) = s->prev;
}

struct front_slot *front_table_add(struct front_table *t, const struct front_arrival *a,
                                   int64_t now_ms)
{
    assert(a->fd >= 0 && a->fd < t->limit);
    struct front_slot *s = &t->slots[a->fd];
    assert(s->seq == 0); /* the number is free again only after the slot is */
    *s = (struct front_slot){.seq = ++t->last << FD_BITS | (uint64_t)a->fd,
                             .since_ms = now_ms,
                             .offset = a->offset,
                             .count = a->count,
                             .tid = a->tid,
                             .group = a->group,
                             .ops = a->ops,
                             .answered = a->answered};
    append(t, a->answered ? &t->closing : &t->waiting, a->fd);
    if (!a->answered && t->unsent == NONE)
        t->unsent = a->fd;
    atomic_fetch_add(&t->held, 1);
    return s;
}

int front_table_find(const struct front_table *t, uint64_t seq)
{
    uint64_t fd = seq & ((1U << FD_BITS) - 1);
    if (seq == 0 || fd >= (uint64_t)t->limit || t->slots[fd].seq != seq || t->slots[fd].answered)
        return NONE;
    return (int)fd;
}

static void release(struct front_table *t, int fd)
{
    t->slots[fd].seq = 0;
    atomic_fetch_sub(&t->held, 1);
}

void front_table_answered(struct front_table *t, int fd, bool later, int64_t now_ms)
{
    struct front_slot *s = &t->slots[fd];
    if (t->unsent == fd)
        t->unsent = s->next;
    if (t->looked == fd)
        t->looked = s->prev;
    take_out(t, &t->waiting, fd);
    if (!later) {
        release(t, fd);
        return;
    }
    s->answered = true;
    s->since_ms = now_ms;
    append(t, &t->closing, fd);
}

int front_table_closed(struct front_table *t)
{
    int fd = t->closing.head;
    take_out(t, &t->closing, fd);
    release(t, fd);
    return fd;
}

bool front_table_has_group(const struct front_table *t, uint8_t group)
{
    int32_t fd = t->waiting.head;
    while (fd != NONE && t->slots[fd].group != group)
        fd = t->slots[fd].next;
    return fd != NONE;
}

void front_table_unsend(struct front_table *t)
{
    t->unsent = t->waiting.head;
}

void front_table_sent(struct front_table *t)
{
    struct front_slot *s = &t->slots[t->unsent];
    s->sent = true;
    t->unsent = s->next;
}
