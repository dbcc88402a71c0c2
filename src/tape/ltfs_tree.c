/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nodes of a volume. A node is one allocation with its name; xattrs are one packed block;
 * lookups go through one hash table for the whole tree, seeded, since names come from users.
 */
#include "tape/ltfs_impl.h"

#include "base/mem.h"
#include "base/uuid.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define XATTR_HEADER 6
#define XML_NODE     620 /* bytes of index text: a node's elements without name, xattrs, extents */
#define XML_EXTENT   200
#define XML_XATTR    70
#define FIRST_SLOTS  64

static uint64_t hash_of(const struct ltfs_tree *t, const struct ltfs_node *dir, const char *name,
                        size_t len)
{
    return XXH3_64bits_withSeed(name, len, t->seed ^ (uint64_t)(uintptr_t)dir);
}

static size_t node_memory(const struct ltfs_node *n)
{
    size_t m = sizeof(*n) + n->name_len + 1 + n->xattr_bytes + sizeof(struct ltfs_node *);
    if ((n->flags & LTFS_NODE_SYMLINK) != 0)
        return m + strlen(n->u.target) + 1;
    return m + n->extent_count * sizeof(struct ltfs_extent);
}

static uint64_t node_xml(const struct ltfs_node *n)
{
    uint64_t m = XML_NODE + 3ULL * n->name_len + (uint64_t)n->extent_count * XML_EXTENT;
    struct ltfs_xattr x;
    for (size_t at = 0; ltfs_xattr_next(n, &at, &x);)
        m += XML_XATTR + strlen(x.key) + x.len * 4 / 3;
    return m;
}

static void account(struct ltfs_tree *t, const struct ltfs_node *n, bool add)
{
    if (add) {
        t->memory += node_memory(n);
        t->xml_bytes += node_xml(n);
    } else {
        t->memory -= node_memory(n);
        t->xml_bytes -= node_xml(n);
    }
}

static void put_slot(struct ltfs_tree *t, struct ltfs_node *n)
{
    size_t i = hash_of(t, n->parent, n->name, n->name_len) & (t->slot_count - 1);
    while (t->slots[i] != NULL)
        i = (i + 1) & (t->slot_count - 1);
    t->slots[i] = n;
}

static void grow_slots(struct ltfs_tree *t)
{
    struct ltfs_node **old = t->slots;
    size_t old_count = t->slot_count;
    t->slot_count = old_count == 0 ? FIRST_SLOTS : old_count * 2;
    t->slots = xzalloc(t->slot_count * sizeof(struct ltfs_node *));
    for (size_t i = 0; i < old_count; i++) {
        if (old[i] != NULL)
            put_slot(t, old[i]);
    }
    free(old);
}

/* Removes n and moves later entries of its run up, so that no gap breaks a search. */
static void drop_slot(struct ltfs_tree *t, const struct ltfs_node *n)
{
    const size_t mask = t->slot_count - 1;
    size_t i = hash_of(t, n->parent, n->name, n->name_len) & mask;
    while (t->slots[i] != n)
        i = (i + 1) & mask;
    for (size_t j = (i + 1) & mask; t->slots[j] != NULL; j = (j + 1) & mask) {
        const struct ltfs_node *m = t->slots[j];
        size_t home = hash_of(t, m->parent, m->name, m->name_len) & mask;
        if (((j - home) & mask) >= ((j - i) & mask)) {
            t->slots[i] = t->slots[j];
            i = j;
        }
    }
    t->slots[i] = NULL;
}

static struct ltfs_node *new_node(const char *name, size_t len, unsigned flags)
{
    struct ltfs_node *n = xzalloc(sizeof(*n) + len + 1);
    memcpy(n->name, name, len);
    n->name_len = (uint32_t)len;
    n->flags = flags;
    return n;
}

void ltfs_tree_init(struct ltfs_tree *t, const char *name, size_t len)
{
    struct uuid u = uuid_new();
    *t = (struct ltfs_tree){0};
    memcpy(&t->seed, u.b, sizeof(t->seed));
    grow_slots(t);
    t->root = new_node(name, len, LTFS_NODE_DIR);
    t->root->uid = 1;
    t->highest_uid = 1;
    t->directories = 1;
    account(t, t->root, true);
}

static void free_node(struct ltfs_node *n)
{
    if ((n->flags & LTFS_NODE_SYMLINK) != 0)
        free(n->u.target);
    else if ((n->flags & LTFS_NODE_DIR) == 0)
        free(n->u.extents);
    free(n->xattrs);
    free(n);
}

void ltfs_tree_fini(struct ltfs_tree *t)
{
    struct ltfs_node *n = t->root;
    while (n != NULL) { /* deepest first, without recursion */
        if ((n->flags & LTFS_NODE_DIR) != 0 && n->u.dir.first != NULL) {
            n = n->u.dir.first;
            continue;
        }
        struct ltfs_node *next = n->next;
        struct ltfs_node *parent = n->parent;
        if (parent != NULL)
            parent->u.dir.first = next;
        free_node(n);
        n = next != NULL ? next : parent;
    }
    free(t->slots);
    *t = (struct ltfs_tree){0};
}

struct ltfs_node *ltfs_tree_find(const struct ltfs_tree *t, const struct ltfs_node *dir,
                                 const char *name, size_t len)
{
    const size_t mask = t->slot_count - 1;
    for (size_t i = hash_of(t, dir, name, len) & mask; t->slots[i] != NULL; i = (i + 1) & mask) {
        struct ltfs_node *n = t->slots[i];
        if (n->parent == dir && n->name_len == len && memcmp(n->name, name, len) == 0)
            return n;
    }
    return NULL;
}

struct ltfs_node *ltfs_tree_add(struct ltfs_tree *t, struct ltfs_node *dir, const char *name,
                                size_t len, unsigned flags, uint64_t uid)
{
    struct ltfs_node *n = new_node(name, len, flags);
    n->uid = uid != 0 ? uid : t->highest_uid + 1;
    if (n->uid > t->highest_uid)
        t->highest_uid = n->uid;
    n->parent = dir;
    n->prev = dir->u.dir.last;
    if (n->prev != NULL)
        n->prev->next = n;
    else
        dir->u.dir.first = n;
    dir->u.dir.last = n;
    if ((t->node_count + 1) * 2 > t->slot_count)
        grow_slots(t);
    put_slot(t, n);
    t->node_count++;
    if ((flags & LTFS_NODE_DIR) != 0)
        t->directories++;
    else
        t->files++;
    account(t, n, true);
    return n;
}

void ltfs_tree_remove(struct ltfs_tree *t, struct ltfs_node *n)
{
    drop_slot(t, n);
    t->node_count--;
    account(t, n, false);
    if ((n->flags & LTFS_NODE_DIR) != 0)
        t->directories--;
    else
        t->files--;
    for (uint32_t i = 0; i < n->extent_count; i++)
        t->data_bytes -= n->u.extents[i].bytes;
    if (n->prev != NULL)
        n->prev->next = n->next;
    else
        n->parent->u.dir.first = n->next;
    if (n->next != NULL)
        n->next->prev = n->prev;
    else
        n->parent->u.dir.last = n->prev;
    free_node(n);
}

void ltfs_tree_set_data(struct ltfs_tree *t, struct ltfs_node *n, struct ltfs_extent *extents,
                        uint32_t count, uint64_t length)
{
    account(t, n, false);
    n->u.extents = extents;
    n->extent_count = count;
    n->length = length;
    for (uint32_t i = 0; i < count; i++)
        t->data_bytes += extents[i].bytes;
    account(t, n, true);
}

void ltfs_tree_set_symlink(struct ltfs_tree *t, struct ltfs_node *n, const char *target)
{
    account(t, n, false);
    n->flags |= LTFS_NODE_SYMLINK;
    n->u.target = xstrdup(target);
    account(t, n, true);
}

bool ltfs_xattr_next(const struct ltfs_node *n, size_t *offset, struct ltfs_xattr *x)
{
    if (*offset >= n->xattr_bytes)
        return false;
    const uint8_t *p = n->xattrs + *offset;
    size_t key_len = (size_t)p[0] << 8 | p[1];
    x->len = (size_t)p[2] << 24 | (size_t)p[3] << 16 | (size_t)p[4] << 8 | p[5];
    x->key = (const char *)p + XATTR_HEADER;
    x->value = p + XATTR_HEADER + key_len + 1;
    *offset += XATTR_HEADER + key_len + 1 + x->len;
    return true;
}

static bool cut_xattr(struct ltfs_node *n, const char *key)
{
    struct ltfs_xattr x;
    for (size_t at = 0, begin = 0; ltfs_xattr_next(n, &at, &x); begin = at) {
        if (strcmp(x.key, key) != 0)
            continue;
        memmove(n->xattrs + begin, n->xattrs + at, n->xattr_bytes - at);
        n->xattr_bytes -= (uint32_t)(at - begin);
        return true;
    }
    return false;
}

bool ltfs_tree_set_xattr(struct ltfs_tree *t, struct ltfs_node *n, const struct ltfs_xattr *x)
{
    size_t key_len = strlen(x->key);
    if (key_len == 0 || key_len > LTFS_KEY_MAX || x->len > LTFS_XATTR_MAX)
        return false;
    account(t, n, false);
    (void)cut_xattr(n, x->key);
    size_t add = XATTR_HEADER + key_len + 1 + x->len;
    n->xattrs = xrealloc_array(n->xattrs, n->xattr_bytes + add, 1);
    uint8_t *p = n->xattrs + n->xattr_bytes;
    p[0] = (uint8_t)(key_len >> 8);
    p[1] = (uint8_t)key_len;
    for (unsigned i = 0; i < 4; i++)
        p[2 + i] = (uint8_t)(x->len >> (24 - 8 * i));
    memcpy(p + XATTR_HEADER, x->key, key_len + 1);
    if (x->len > 0)
        memcpy(p + XATTR_HEADER + key_len + 1, x->value, x->len);
    n->xattr_bytes += (uint32_t)add;
    account(t, n, true);
    return true;
}

bool ltfs_tree_remove_xattr(struct ltfs_tree *t, struct ltfs_node *n, const char *key)
{
    account(t, n, false);
    bool found = cut_xattr(n, key);
    account(t, n, true);
    return found;
}
