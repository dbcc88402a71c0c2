/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy_impl.h"

#include "base/mem.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_MIN 4096

struct policy_chunk {
    struct policy_chunk *next;
    size_t used, cap;
    alignas(max_align_t) char data[];
};

static struct policy_chunk *chunk_new(size_t cap)
{
    struct policy_chunk *c = xrealloc_array(NULL, sizeof(*c) + cap, 1);
    *c = (struct policy_chunk){.cap = cap};
    return c;
}

void *policy_arena_alloc(struct policy_arena *a, size_t n)
{
    size_t need = (n + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (a->head == NULL || a->head->cap - a->head->used < need) {
        size_t cap = a->head != NULL ? a->head->cap * 2 : CHUNK_MIN;
        while (cap < need)
            cap *= 2;
        struct policy_chunk *c = chunk_new(cap);
        c->next = a->head;
        a->head = c;
    }
    void *p = a->head->data + a->head->used;
    a->head->used += need;
    return p;
}

void *policy_arena_zalloc(struct policy_arena *a, size_t n)
{
    return memset(policy_arena_alloc(a, n), 0, n);
}

char *policy_arena_dup(struct policy_arena *a, const char *p, size_t n)
{
    char *out = policy_arena_alloc(a, n + 1);
    if (n > 0)
        memcpy(out, p, n);
    out[n] = '\0';
    return out;
}

void policy_arena_reset(struct policy_arena *a)
{
    if (a->head == NULL)
        return;
    /* The newest chunk is the largest: keep it alone. */
    struct policy_chunk *old = a->head->next;
    while (old != NULL) {
        struct policy_chunk *next = old->next;
        free(old);
        old = next;
    }
    a->head->next = NULL;
    a->head->used = 0;
}

void policy_arena_fini(struct policy_arena *a)
{
    while (a->head != NULL) {
        struct policy_chunk *next = a->head->next;
        free(a->head);
        a->head = next;
    }
}
