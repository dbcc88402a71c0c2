/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index from XML. A table says which element may stand in which; elements that are not in it
 * are passed over with all they hold. The bytes come from a tape, so depth, text lengths, numbers
 * and extents are bounded and checked here, and nothing else has to distrust the tree.
 */
#include "tape/ltfs_impl.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "codec/digest.h"
#include "codec/encode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX    (256u * 1024)
#define EXTENTS_MAX (1u << 24)
#define DEPTH_MAX   (2u * LTFS_DIR_DEPTH_MAX + 16)
#define SKIP_MAX    256

enum element {
    EL_NONE,
    EL_INDEX,
    EL_COMMENT,
    EL_UUID,
    EL_GENERATION,
    EL_UPDATED,
    EL_SELF,
    EL_PREVIOUS,
    EL_PTR_PARTITION,
    EL_PTR_BLOCK,
    EL_ALLOW,
    EL_POLICY,
    EL_CRITERIA,
    EL_POLICY_SIZE,
    EL_POLICY_NAME,
    EL_HIGHEST,
    EL_LOCK,
    EL_DIR,
    EL_CONTENTS,
    EL_FILE,
    EL_NAME,
    EL_LENGTH,
    EL_READONLY,
    EL_CREATION,
    EL_CHANGE,
    EL_MODIFY,
    EL_ACCESS,
    EL_BACKUP,
    EL_FILEUID,
    EL_XATTRS,
    EL_XATTR,
    EL_KEY,
    EL_VALUE,
    EL_EXTENTS,
    EL_EXTENT,
    EL_EXT_OFFSET,
    EL_EXT_PARTITION,
    EL_EXT_BLOCK,
    EL_EXT_BYTEOFFSET,
    EL_EXT_COUNT,
    EL_SYMLINK,
};

static const struct rule {
    enum element parent;
    const char *name;
    enum element is;
} rules[] = {
    {EL_NONE, "ltfsindex", EL_INDEX},
    {EL_INDEX, "comment", EL_COMMENT},
    {EL_INDEX, "volumeuuid", EL_UUID},
    {EL_INDEX, "generationnumber", EL_GENERATION},
    {EL_INDEX, "updatetime", EL_UPDATED},
    {EL_INDEX, "location", EL_SELF},
    {EL_INDEX, "previousgenerationlocation", EL_PREVIOUS},
    {EL_SELF, "partition", EL_PTR_PARTITION},
    {EL_SELF, "startblock", EL_PTR_BLOCK},
    {EL_PREVIOUS, "partition", EL_PTR_PARTITION},
    {EL_PREVIOUS, "startblock", EL_PTR_BLOCK},
    {EL_INDEX, "allowpolicyupdate", EL_ALLOW},
    {EL_INDEX, "dataplacementpolicy", EL_POLICY},
    {EL_POLICY, "indexpartitioncriteria", EL_CRITERIA},
    {EL_CRITERIA, "size", EL_POLICY_SIZE},
    {EL_CRITERIA, "name", EL_POLICY_NAME},
    {EL_INDEX, "highestfileuid", EL_HIGHEST},
    {EL_INDEX, "volumelockstate", EL_LOCK},
    {EL_INDEX, "directory", EL_DIR},
    {EL_CONTENTS, "file", EL_FILE},
    {EL_CONTENTS, "directory", EL_DIR},
    {EL_DIR, "contents", EL_CONTENTS},
    {EL_DIR, "name", EL_NAME},
    {EL_DIR, "readonly", EL_READONLY},
    {EL_DIR, "creationtime", EL_CREATION},
    {EL_DIR, "changetime", EL_CHANGE},
    {EL_DIR, "modifytime", EL_MODIFY},
    {EL_DIR, "accesstime", EL_ACCESS},
    {EL_DIR, "backuptime", EL_BACKUP},
    {EL_DIR, "fileuid", EL_FILEUID},
    {EL_DIR, "extendedattributes", EL_XATTRS},
    {EL_FILE, "name", EL_NAME},
    {EL_FILE, "length", EL_LENGTH},
    {EL_FILE, "readonly", EL_READONLY},
    {EL_FILE, "creationtime", EL_CREATION},
    {EL_FILE, "changetime", EL_CHANGE},
    {EL_FILE, "modifytime", EL_MODIFY},
    {EL_FILE, "accesstime", EL_ACCESS},
    {EL_FILE, "backuptime", EL_BACKUP},
    {EL_FILE, "fileuid", EL_FILEUID},
    {EL_FILE, "extendedattributes", EL_XATTRS},
    {EL_FILE, "extentinfo", EL_EXTENTS},
    {EL_FILE, "symlink", EL_SYMLINK},
    {EL_XATTRS, "xattr", EL_XATTR},
    {EL_XATTR, "key", EL_KEY},
    {EL_XATTR, "value", EL_VALUE},
    {EL_EXTENTS, "extent", EL_EXTENT},
    {EL_EXTENT, "fileoffset", EL_EXT_OFFSET},
    {EL_EXTENT, "partition", EL_EXT_PARTITION},
    {EL_EXTENT, "startblock", EL_EXT_BLOCK},
    {EL_EXTENT, "byteoffset", EL_EXT_BYTEOFFSET},
    {EL_EXTENT, "bytecount", EL_EXT_COUNT},
};

/* A directory or file whose elements are being read. */
struct pending {
    bool is_dir, has_name, readonly, has_symlink;
    uint64_t uid, length;
    struct ltfs_times times;
    struct buf name, symlink;
    struct ltfs_extent *extents;
    uint32_t extent_count, extent_cap;
    struct ltfs_xattr *xattrs; /* owned keys and values */
    size_t xattr_count, xattr_cap;
    struct ltfs_node *node; /* a directory's, from its contents on */
};

struct ltfs_parser {
    XML_Parser xml; /* first: ltfs_xml_new's handler finds it here */
    struct ltfs_index *ix;
    char letters[DRIVE_PARTITIONS];
    uint32_t blocksize;
    bool head_only;
    const char *bad; /* static text of the first fault */
    int outcome;
    unsigned long line;
    enum element stack[DEPTH_MAX];
    unsigned depth;
    unsigned skip; /* depth inside an unknown element */
    bool percent;  /* attributes of the element being read */
    bool base64;
    struct buf text;
    struct pending *nodes; /* from the root down; a file is the last */
    unsigned node_count, node_cap;
    struct ltfs_extent extent;
    char extent_letter;
    char *key;
    struct buf value;
    uint64_t highest;
    bool has_dir, has_uuid, has_generation;
    struct digest *sum; /* of all bytes but the last ones, which tail holds back */
    char tail[LTFS_SUM_LEN];
    size_t tail_len;
};

static void stop(struct ltfs_parser *p, const char *why)
{
    if (p->bad == NULL && p->outcome == 0) {
        p->bad = why;
        p->line = XML_GetCurrentLineNumber(p->xml);
    }
    (void)XML_StopParser(p->xml, XML_FALSE);
}

static void stop_with(struct ltfs_parser *p, int outcome)
{
    p->outcome = outcome;
    (void)XML_StopParser(p->xml, XML_FALSE);
}

static bool to_number(const char *s, uint64_t *v)
{
    uint64_t n = 0;
    if (*s == '\0')
        return false;
    for (; *s != '\0'; s++) {
        if (*s < '0' || *s > '9' || n > (UINT64_MAX - (uint64_t)(*s - '0')) / 10)
            return false;
        n = n * 10 + (uint64_t)(*s - '0');
    }
    *v = n;
    return true;
}

static void take_number(struct ltfs_parser *p, uint64_t *v)
{
    if (!to_number(p->text.data, v))
        stop(p, "an element that is a number does not hold one");
}

static void take_time(struct ltfs_parser *p, int64_t *ns)
{
    if (timefmt_parse_iso(p->text.data, ns) < 0)
        stop(p, "an element that is a time does not hold one");
}

static void free_pending(struct pending *n)
{
    buf_fini(&n->name);
    buf_fini(&n->symlink);
    free(n->extents);
    for (size_t i = 0; i < n->xattr_count; i++) {
        free((void *)(uintptr_t)n->xattrs[i].key);
        free((void *)(uintptr_t)n->xattrs[i].value);
    }
    free(n->xattrs);
    *n = (struct pending){0};
}

static struct pending *top(struct ltfs_parser *p)
{
    return &p->nodes[p->node_count - 1];
}

static void push_node(struct ltfs_parser *p, bool is_dir)
{
    if (p->node_count == LTFS_DIR_DEPTH_MAX) {
        stop(p, "directories nest too deep");
        return;
    }
    if (p->node_count == p->node_cap) {
        p->node_cap = p->node_cap == 0 ? 8 : p->node_cap * 2;
        p->nodes = xrealloc_array(p->nodes, p->node_cap, sizeof(*p->nodes));
    }
    p->nodes[p->node_count] = (struct pending){.is_dir = is_dir};
    p->node_count++;
}

/* Puts the node on top into the tree; its name is known. */
static void make_node(struct ltfs_parser *p)
{
    struct pending *n = top(p);
    struct ltfs_tree *t = &p->ix->tree;
    const char *name = n->name.data != NULL ? n->name.data : "";

    if (n->node != NULL)
        return;
    if (p->node_count == 1) {
        ltfs_tree_init(t, name, n->name.len);
        n->node = t->root;
        return;
    }
    struct ltfs_node *dir = p->nodes[p->node_count - 2].node;
    if (!n->has_name || n->name.len == 0 || n->name.len > 4 * LTFS_NAME_MAX ||
        memchr(name, '/', n->name.len) != NULL || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0) {
        stop(p, "a file or directory has no proper name");
        return;
    }
    if (ltfs_tree_find(t, dir, name, n->name.len) != NULL) {
        stop(p, "two entries of a directory have the same name");
        return;
    }
    n->node = ltfs_tree_add(t, dir, name, n->name.len, (n->is_dir ? LTFS_NODE_DIR : 0u), n->uid);
}

static int compare_extents(const void *a, const void *b)
{
    const struct ltfs_extent *x = a;
    const struct ltfs_extent *y = b;
    return x->fileoffset < y->fileoffset ? -1 : x->fileoffset > y->fileoffset;
}

/* Sorts and checks the extents of n. */
static bool extents_are_sound(struct pending *n)
{
    if (n->extent_count > 1)
        qsort(n->extents, n->extent_count, sizeof(*n->extents), compare_extents);
    uint64_t end = 0;
    for (uint32_t i = 0; i < n->extent_count; i++) {
        const struct ltfs_extent *e = &n->extents[i];
        if (e->fileoffset < end || e->bytes > n->length || e->fileoffset > n->length - e->bytes)
            return false;
        end = e->fileoffset + e->bytes;
    }
    return true;
}

static void finish_file(struct ltfs_parser *p, struct pending *n)
{
    if (n->has_symlink) {
        ltfs_tree_set_symlink(&p->ix->tree, n->node,
                              n->symlink.data != NULL ? n->symlink.data : "");
        n->node->length = n->length;
        return;
    }
    if (!extents_are_sound(n)) {
        stop(p, "extents of a file overlap or pass its length");
        return;
    }
    ltfs_tree_set_data(&p->ix->tree, n->node, take_ptr(n->extents), n->extent_count, n->length);
}

/* The end of a directory or file. */
static void pop_node(struct ltfs_parser *p)
{
    struct pending *n = top(p);

    make_node(p);
    if (n->node != NULL) {
        n->node->times = n->times;
        if (n->readonly)
            n->node->flags |= LTFS_NODE_READONLY;
        if (n->uid != 0)
            n->node->uid = n->uid;
        if (n->node->uid > p->ix->tree.highest_uid)
            p->ix->tree.highest_uid = n->node->uid;
        for (size_t i = 0; i < n->xattr_count; i++)
            (void)ltfs_tree_set_xattr(&p->ix->tree, n->node, &n->xattrs[i]);
        if (!n->is_dir)
            finish_file(p, n);
    }
    free_pending(n);
    p->node_count--;
}

static void add_extent(struct ltfs_parser *p)
{
    struct pending *n = top(p);
    struct ltfs_extent e = p->extent;
    unsigned part = 0;

    while (part < DRIVE_PARTITIONS && p->letters[part] != p->extent_letter)
        part++;
    if (part == DRIVE_PARTITIONS || e.bytes == 0 || e.byteoffset >= p->blocksize ||
        e.bytes > UINT64_MAX / 2 || e.block > UINT64_MAX / 2 || n->extent_count == EXTENTS_MAX) {
        stop(p, "an extent is not sound");
        return;
    }
    e.partition = part;
    if (n->extent_count == n->extent_cap) {
        n->extent_cap = n->extent_cap == 0 ? 1 : n->extent_cap * 2;
        n->extents = xrealloc_array(n->extents, n->extent_cap, sizeof(*n->extents));
    }
    n->extents[n->extent_count++] = e;
}

/* Base64 may be broken into lines. */
static void squeeze(struct buf *b)
{
    size_t k = 0;
    for (size_t i = 0; i < b->len; i++) {
        if (strchr(" \t\r\n", b->data[i]) == NULL)
            b->data[k++] = b->data[i];
    }
    b->len = k;
    b->data[k] = '\0';
}

static void take_value(struct ltfs_parser *p)
{
    buf_reset(&p->value);
    if (!p->base64) {
        buf_add(&p->value, p->text.data, p->text.len);
        return;
    }
    squeeze(&p->text);
    buf_reserve(&p->value, p->text.len);
    int64_t n = encode_base64_decode(p->text.data, (uint8_t *)p->value.data, p->value.cap);
    if (n < 0)
        stop(p, "an attribute's value is not base64");
    else
        p->value.len = (size_t)n;
}

static void add_xattr(struct ltfs_parser *p)
{
    struct pending *n = top(p);

    if (p->key == NULL || *p->key == '\0' || strlen(p->key) > LTFS_KEY_MAX ||
        p->value.len > LTFS_XATTR_MAX) {
        stop(p, "an extended attribute has no key, or is too long");
        return;
    }
    if (n->xattr_count == n->xattr_cap) {
        n->xattr_cap = n->xattr_cap == 0 ? 4 : n->xattr_cap * 2;
        n->xattrs = xrealloc_array(n->xattrs, n->xattr_cap, sizeof(*n->xattrs));
    }
    struct ltfs_xattr *x = &n->xattrs[n->xattr_count++];
    x->len = p->value.len;
    x->key = take_ptr(p->key);
    x->value = buf_take(&p->value);
}

static void take_name(struct ltfs_parser *p, struct buf *out)
{
    buf_reset(out);
    if (ltfs_name_decode(p->text.data, p->percent, out) < 0)
        stop(p, "a percent-encoded name is malformed");
}

static void take_letter(struct ltfs_parser *p, char *letter)
{
    if (p->text.len != 1 || p->text.data[0] < 'a' || p->text.data[0] > 'z')
        stop(p, "a partition is not one letter a to z");
    else
        *letter = p->text.data[0];
}

static void end_head(struct ltfs_parser *p, enum element el)
{
    struct ltfs_index *ix = p->ix;
    struct ltfs_pointer *ptr =
        p->depth >= 2 && p->stack[p->depth - 2] == EL_SELF ? &ix->self : &ix->previous;

    switch (el) {
    case EL_COMMENT:
        free(ix->comment);
        ix->comment = xstrdup(p->text.data);
        break;
    case EL_UUID:
        p->has_uuid = uuid_parse(p->text.data, &ix->uuid) == 0;
        break;
    case EL_GENERATION:
        take_number(p, &ix->generation);
        p->has_generation = true;
        break;
    case EL_UPDATED:
        take_time(p, &ix->update_time_ns);
        break;
    case EL_PTR_PARTITION:
        take_letter(p, &ptr->letter);
        break;
    case EL_PTR_BLOCK:
        take_number(p, &ptr->block);
        break;
    case EL_ALLOW:
        ix->allow_policy_update = strcmp(p->text.data, "true") == 0;
        break;
    case EL_HIGHEST:
        take_number(p, &p->highest);
        break;
    case EL_LOCK:
        (void)snprintf(ix->lock_state, sizeof(ix->lock_state), "%s", p->text.data);
        break;
    default:
        break;
    }
}

static void end_policy(struct ltfs_parser *p, enum element el)
{
    auto_buf struct buf name = {0};
    struct ltfs_index *ix = p->ix;

    if (el == EL_POLICY_SIZE) {
        free(ix->policy_size);
        ix->policy_size = xstrdup(p->text.data);
        return;
    }
    take_name(p, &name);
    if (name.len == 0 || strchr(name.data, '\n') != NULL ||
        (ix->policy_names != NULL && strlen(ix->policy_names) > TEXT_MAX))
        return;
    char *joined = ix->policy_names == NULL ? xstrdup(name.data)
                                            : xasprintf("%s\n%s", ix->policy_names, name.data);
    free(ix->policy_names);
    ix->policy_names = joined;
}

static int64_t *time_of(struct pending *n, enum element el)
{
    switch (el) {
    case EL_CREATION:
        return &n->times.creation;
    case EL_CHANGE:
        return &n->times.change;
    case EL_MODIFY:
        return &n->times.modify;
    case EL_ACCESS:
        return &n->times.access;
    default:
        return &n->times.backup;
    }
}

static void end_node_field(struct ltfs_parser *p, enum element el)
{
    struct pending *n = top(p);

    switch (el) {
    case EL_NAME:
        take_name(p, &n->name);
        n->has_name = true;
        break;
    case EL_LENGTH:
        take_number(p, &n->length);
        break;
    case EL_READONLY:
        n->readonly = strcmp(p->text.data, "true") == 0;
        break;
    case EL_FILEUID:
        take_number(p, &n->uid);
        break;
    case EL_SYMLINK:
        take_name(p, &n->symlink);
        n->has_symlink = true;
        break;
    default:
        take_time(p, time_of(n, el));
        break;
    }
}

static void end_part(struct ltfs_parser *p, enum element el)
{
    uint64_t v = 0;

    switch (el) {
    case EL_KEY: {
        auto_buf struct buf key = {0};
        take_name(p, &key);
        free(p->key);
        p->key = xstrndup(key.data != NULL ? key.data : "", key.len);
        break;
    }
    case EL_VALUE:
        take_value(p);
        break;
    case EL_XATTR:
        add_xattr(p);
        break;
    case EL_EXTENT:
        add_extent(p);
        break;
    case EL_EXT_OFFSET:
        take_number(p, &p->extent.fileoffset);
        break;
    case EL_EXT_PARTITION:
        take_letter(p, &p->extent_letter);
        break;
    case EL_EXT_BLOCK:
        take_number(p, &p->extent.block);
        break;
    case EL_EXT_BYTEOFFSET:
        take_number(p, &v);
        p->extent.byteoffset = v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
        break;
    case EL_EXT_COUNT:
        take_number(p, &p->extent.bytes);
        break;
    default:
        break;
    }
}

static void on_end(void *user, const XML_Char *name)
{
    struct ltfs_parser *p = user;

    (void)name;
    if (p->bad != NULL || p->outcome != 0)
        return;
    if (p->skip > 0) {
        p->skip--;
        return;
    }
    enum element el = p->stack[p->depth - 1];
    if (p->text.data == NULL)
        buf_adds(&p->text, "");
    if (el == EL_POLICY_SIZE || el == EL_POLICY_NAME)
        end_policy(p, el);
    else if (el < EL_DIR)
        end_head(p, el);
    else if (el == EL_DIR || el == EL_FILE)
        pop_node(p);
    else if ((el >= EL_NAME && el <= EL_FILEUID) || el == EL_SYMLINK)
        end_node_field(p, el);
    else
        end_part(p, el);
    p->depth--;
    buf_reset(&p->text);
}

/* What must hold before the element el begins. */
static void begin_element(struct ltfs_parser *p, enum element el)
{
    switch (el) {
    case EL_DIR:
        if (p->node_count == 0 && p->has_dir)
            stop(p, "there are two root directories");
        else if (p->node_count == 0 && p->head_only)
            stop_with(p, LTFS_PARSER_HEAD);
        else
            push_node(p, true);
        p->has_dir = true;
        break;
    case EL_FILE:
        push_node(p, false);
        break;
    case EL_CONTENTS:
        make_node(p);
        break;
    case EL_XATTR:
        free(take_ptr(p->key));
        buf_reset(&p->value);
        buf_adds(&p->value, "");
        break;
    case EL_EXTENT:
        p->extent = (struct ltfs_extent){0};
        p->extent_letter = '\0';
        break;
    default:
        break;
    }
}

static void take_attributes(struct ltfs_parser *p, enum element el, const XML_Char **attrs)
{
    p->percent = false;
    p->base64 = false;
    for (; *attrs != NULL; attrs += 2) {
        if (el == EL_INDEX && strcmp(attrs[0], "version") == 0)
            (void)snprintf(p->ix->version, sizeof(p->ix->version), "%s", attrs[1]);
        if (strcmp(attrs[0], "percentencoded") == 0)
            p->percent = strcmp(attrs[1], "true") == 0;
        if (strcmp(attrs[0], "type") == 0)
            p->base64 = strcmp(attrs[1], "base64") == 0;
    }
    if (el == EL_INDEX && !ltfs_xml_version_2(p->ix->version))
        stop(p, "the index's version is not 2.x");
}

static void on_start(void *user, const XML_Char *name, const XML_Char **attrs)
{
    struct ltfs_parser *p = user;

    if (p->bad != NULL || p->outcome != 0)
        return;
    if (p->skip > 0) {
        if (++p->skip > SKIP_MAX)
            stop(p, "elements nest too deep");
        return;
    }
    enum element parent = p->depth > 0 ? p->stack[p->depth - 1] : EL_NONE;
    const struct rule *r = NULL;
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]) && r == NULL; i++) {
        if (rules[i].parent == parent && strcmp(rules[i].name, name) == 0)
            r = &rules[i];
    }
    if (r == NULL && parent == EL_NONE) {
        if (strcmp(name, "ltfsincrementalindex") == 0)
            stop_with(p, LTFS_PARSER_OTHER);
        else
            stop(p, "it is no LTFS index");
        return;
    }
    if (r == NULL) {
        p->skip = 1;
        return;
    }
    if (p->depth == DEPTH_MAX) {
        stop(p, "elements nest too deep");
        return;
    }
    p->stack[p->depth++] = r->is;
    buf_reset(&p->text);
    take_attributes(p, r->is, attrs);
    begin_element(p, r->is);
}

static void on_text(void *user, const XML_Char *s, int len)
{
    struct ltfs_parser *p = user;
    if (p->skip > 0 || p->bad != NULL || p->outcome != 0)
        return;
    if (p->text.len + (size_t)len > TEXT_MAX)
        stop(p, "a text is too long");
    else
        buf_add(&p->text, s, (size_t)len);
}

struct ltfs_parser *ltfs_parser_new(struct ltfs_index *ix, const char letters[DRIVE_PARTITIONS],
                                    uint32_t blocksize, bool head_only)
{
    struct ltfs_parser *p = xzalloc(sizeof(*p));
    p->ix = ix;
    memcpy(p->letters, letters, DRIVE_PARTITIONS);
    p->blocksize = blocksize;
    p->head_only = head_only;
    p->xml = ltfs_xml_new(p);
    p->sum = digest_new(DIGEST_CRC32C);
    XML_SetElementHandler(p->xml, on_start, on_end);
    XML_SetCharacterDataHandler(p->xml, on_text);
    return p;
}

void ltfs_parser_free(struct ltfs_parser *p)
{
    if (p == NULL)
        return;
    while (p->node_count > 0)
        free_pending(&p->nodes[--p->node_count]);
    free(p->nodes);
    free(p->key);
    buf_fini(&p->value);
    buf_fini(&p->text);
    digest_free(p->sum);
    XML_ParserFree(p->xml);
    free(p);
}

/* Adds data to the checksum, except for the last bytes so far: they may be the checksum itself. */
static void sum_up(struct ltfs_parser *p, const char *data, size_t len)
{
    if (len >= LTFS_SUM_LEN) {
        digest_update(p->sum, p->tail, p->tail_len);
        digest_update(p->sum, data, len - LTFS_SUM_LEN);
        memcpy(p->tail, data + len - LTFS_SUM_LEN, LTFS_SUM_LEN);
        p->tail_len = LTFS_SUM_LEN;
        return;
    }
    size_t room = LTFS_SUM_LEN - p->tail_len;
    size_t out = len > room ? len - room : 0;
    digest_update(p->sum, p->tail, out);
    memmove(p->tail, p->tail + out, p->tail_len - out);
    memcpy(p->tail + p->tail_len - out, data, len);
    p->tail_len += len - out;
}

/* Whether the text ends in a checksum that is wrong. A text without one is another program's. */
static bool sum_is_wrong(struct ltfs_parser *p)
{
    static const char begin[] = LTFS_SUM_BEGIN;
    uint8_t raw[DIGEST_MAX];
    char hex[ENCODE_HEX_SIZE(DIGEST_MAX)];

    if (p->tail_len < LTFS_SUM_LEN || memcmp(p->tail, begin, sizeof(begin) - 1) != 0)
        return false;
    size_t n = digest_final(p->sum, raw);
    digest_reset(p->sum);
    encode_hex(raw, n, hex);
    return memcmp(p->tail + sizeof(begin) - 1, hex, 2 * n) != 0;
}

static void check_whole(struct ltfs_parser *p)
{
    struct ltfs_index *ix = p->ix;
    p->line = XML_GetCurrentLineNumber(p->xml);
    if (!p->has_uuid || !p->has_generation)
        p->bad = "volumeuuid or generationnumber is missing";
    else if (ix->self.letter == '\0')
        p->bad = "its location is missing";
    else if (ix->tree.root == NULL && !p->head_only)
        p->bad = "the root directory is missing";
    else if (!p->head_only && sum_is_wrong(p))
        p->bad = "it does not match the checksum at its end";
    if (p->highest > ix->tree.highest_uid)
        ix->tree.highest_uid = p->highest;
}

int ltfs_parser_feed(struct ltfs_parser *p, const void *data, size_t len, bool last,
                     struct err *err)
{
    if (!p->head_only)
        sum_up(p, data, len);
    enum XML_Status status = XML_Parse(p->xml, data, (int)len, last ? 1 : 0);
    if (p->bad == NULL && (p->outcome == LTFS_PARSER_HEAD || (status == XML_STATUS_OK && last)))
        check_whole(p);
    if (p->bad == NULL && p->outcome != 0)
        return p->outcome;
    if (p->bad == NULL && status != XML_STATUS_OK) {
        p->bad = XML_ErrorString(XML_GetErrorCode(p->xml));
        p->line = XML_GetCurrentLineNumber(p->xml);
    }
    return p->bad == NULL ? 0 : err_set(err, -EBADMSG, "index line %lu: %s", p->line, p->bad);
}

void ltfs_index_fini(struct ltfs_index *ix)
{
    free(ix->comment);
    free(ix->policy_size);
    free(ix->policy_names);
    ltfs_tree_fini(&ix->tree);
    *ix = (struct ltfs_index){0};
}
