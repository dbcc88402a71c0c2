/* SPDX-License-Identifier: Apache-2.0 */
#include "lustre/layout.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "lustre/abi.h"

#include <errno.h>
#include <string.h>

#define ANY 0xFFFFU /* stripe_count: all OSTs; stripe_offset: any */

static uint32_t magic_of(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static size_t head_size(uint32_t magic)
{
    return magic == LOV_MAGIC_V1 ? sizeof(struct lov_user_md_v1) : sizeof(struct lov_user_md_v3);
}

/* Bytes that a plain blob says it has. */
static size_t plain_size(const struct lov_user_md_v1 *p)
{
    unsigned count = p->stripe_count;
    return head_size(p->magic) + (count == ANY ? 0 : (size_t)count * LOV_OBJECT_BYTES);
}

static void free_choice(struct lov_user_md_v1 *p)
{
    p->pattern &= ~LOV_PATTERN_RELEASED;
    p->stripe_offset = ANY;
}

static int prepare_plain(const void *in, size_t n, void **out, size_t *out_n, struct err *err)
{
    size_t head = head_size(magic_of(in));
    if (n < head)
        return err_set(err, -EINVAL, "layout: %zu bytes, its header alone has %zu", n, head);
    size_t want = plain_size(in);
    void *copy = xzalloc(want > n ? want : n);
    memcpy(copy, in, n);
    free_choice(copy);
    *out = copy;
    *out_n = want > n ? want : n;
    return 0;
}

/* Component i of a composite of size bytes. */
static int prepare_entry(struct lov_comp_md_v1 *c, size_t size, unsigned i, struct err *err)
{
    const struct lov_comp_entry *e = &c->entries[i];
    size_t heads = sizeof(*c) + (size_t)c->entry_count * sizeof(*e);
    if (e->blob_offset < heads || e->blob_offset > size || e->blob_size > size - e->blob_offset ||
        e->blob_size < sizeof(struct lov_user_md_v1))
        return err_set(err, -EINVAL, "layout: component %u lies outside of its %zu bytes", i, size);
    struct lov_user_md_v1 *p = (void *)((char *)c + e->blob_offset);
    if (p->magic != LOV_MAGIC_V1 && p->magic != LOV_MAGIC_V3)
        return LAYOUT_NONE;
    if (e->blob_size < head_size(p->magic))
        return err_set(err, -EINVAL, "layout: component %u is cut off", i);
    free_choice(p);
    return 0;
}

static int prepare_composite(const void *in, size_t n, void **out, size_t *out_n, struct err *err)
{
    const struct lov_comp_md_v1 *head = in;
    if (n < sizeof(*head) || head->size > n)
        return err_set(err, -EINVAL, "layout: %zu bytes, less than the composite layout says", n);
    size_t size = head->size;
    size_t count = head->entry_count;
    if (count == 0 || size < sizeof(*head) + count * sizeof(head->entries[0]))
        return err_set(err, -EINVAL, "layout: %zu components in %zu bytes", count, size);
    auto_free void *copy = xzalloc(size);
    memcpy(copy, in, size);
    for (unsigned i = 0; i < count; i++) {
        int rc = prepare_entry(copy, size, i, err);
        if (rc != 0)
            return rc;
    }
    *out = take_ptr(copy);
    *out_n = size;
    return 0;
}

int layout_prepare(const void *blob, size_t n, void **out, size_t *out_n, struct err *err)
{
    if (n < sizeof(uint32_t) || n > LAYOUT_MAX)
        return err_set(err, -EINVAL, "layout: %zu bytes are none", n);
    switch (magic_of(blob)) {
    case LOV_MAGIC_V1:
    case LOV_MAGIC_V3:
        return prepare_plain(blob, n, out, out_n, err);
    case LOV_MAGIC_COMP_V1:
    case LOV_MAGIC_SEL:
        return prepare_composite(blob, n, out, out_n, err);
    default:
        return LAYOUT_NONE;
    }
}
