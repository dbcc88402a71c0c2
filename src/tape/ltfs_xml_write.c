/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index as XML, element by element in the order LTFS 2.4 lists them, streamed in records.
 * Behind the root element stands a comment with the CRC32C of everything before it: other readers
 * pass it over, firn notices a wrong byte that is still good XML.
 */
#include "tape/ltfs_impl.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "codec/digest.h"
#include "codec/encode.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct out {
    struct buf b;
    const char *letters;
    size_t piece;
    ltfs_sink_fn *sink;
    void *arg;
    struct digest *sum; /* of what was handed over; NULL once the checksum is written */
};

static void add_time(struct buf *b, const char *tag, int64_t ns)
{
    char when[TIMEFMT_MAX];
    timefmt_iso_ns(ns, when);
    buf_addf(b, "<%s>%s</%s>\n", tag, when, tag);
}

static void add_value(struct buf *b, const struct ltfs_xattr *x)
{
    if (memchr(x->value, '\0', x->len) == NULL && ltfs_name_is_plain(x->value, x->len)) {
        auto_free char *text = xstrndup(x->value, x->len);
        buf_adds(b, "<value type=\"text\">");
        buf_add_xml(b, text);
    } else {
        auto_free char *text = xzalloc(ENCODE_BASE64_SIZE(x->len));
        encode_base64(x->value, x->len, text);
        buf_adds(b, "<value type=\"base64\">");
        buf_adds(b, text);
    }
    buf_adds(b, "</value>\n");
}

static void add_xattrs(struct buf *b, const struct ltfs_node *n)
{
    struct ltfs_xattr x;

    if (n->xattr_bytes == 0)
        return;
    buf_adds(b, "<extendedattributes>\n");
    for (size_t at = 0; ltfs_xattr_next(n, &at, &x);) {
        buf_adds(b, "<xattr>\n");
        ltfs_name_add_element(b, "key", x.key, strlen(x.key));
        add_value(b, &x);
        buf_adds(b, "</xattr>\n");
    }
    buf_adds(b, "</extendedattributes>\n");
}

static void add_common(struct buf *b, const struct ltfs_node *n)
{
    buf_addf(b, "<readonly>%s</readonly>\n",
             (n->flags & LTFS_NODE_READONLY) != 0 ? "true" : "false");
    add_time(b, "creationtime", n->times.creation);
    add_time(b, "changetime", n->times.change);
    add_time(b, "modifytime", n->times.modify);
    add_time(b, "accesstime", n->times.access);
    add_time(b, "backuptime", n->times.backup);
    buf_addf(b, "<fileuid>%" PRIu64 "</fileuid>\n", n->uid);
    add_xattrs(b, n);
}

static void add_extents(struct out *o, const struct ltfs_node *n)
{
    struct buf *b = &o->b;
    if (n->extent_count == 0)
        return;
    buf_adds(b, "<extentinfo>\n");
    for (uint32_t i = 0; i < n->extent_count; i++) {
        const struct ltfs_extent *e = &n->u.extents[i];
        buf_addf(b,
                 "<extent>\n<fileoffset>%" PRIu64 "</fileoffset>\n<partition>%c</partition>\n"
                 "<startblock>%" PRIu64 "</startblock>\n<byteoffset>%u</byteoffset>\n"
                 "<bytecount>%" PRIu64 "</bytecount>\n</extent>\n",
                 e->fileoffset, o->letters[e->partition], e->block, e->byteoffset, e->bytes);
    }
    buf_adds(b, "</extentinfo>\n");
}

static void add_file(struct out *o, const struct ltfs_node *n)
{
    struct buf *b = &o->b;
    buf_adds(b, "<file>\n");
    ltfs_name_add_element(b, "name", n->name, n->name_len);
    buf_addf(b, "<length>%" PRIu64 "</length>\n", n->length);
    add_common(b, n);
    if ((n->flags & LTFS_NODE_SYMLINK) != 0)
        ltfs_name_add_element(b, "symlink", n->u.target, strlen(n->u.target));
    else
        add_extents(o, n);
    buf_adds(b, "</file>\n");
}

static void open_dir(struct buf *b, const struct ltfs_node *n)
{
    buf_adds(b, "<directory>\n");
    ltfs_name_add_element(b, "name", n->name, n->name_len);
    add_common(b, n);
    buf_adds(b, "<contents>\n");
}

static void close_dir(struct buf *b)
{
    buf_adds(b, "</contents>\n</directory>\n");
}

/* Hands over whole pieces; with all, the rest too. */
static int drain(struct out *o, bool all, struct err *err)
{
    size_t at = 0;
    while (o->b.len - at >= o->piece || (all && at < o->b.len)) {
        size_t n = o->b.len - at < o->piece ? o->b.len - at : o->piece;
        if (o->sum != NULL)
            digest_update(o->sum, o->b.data + at, n);
        int rc = o->sink(o->arg, o->b.data + at, n, err);
        if (rc != 0)
            return rc;
        at += n;
    }
    if (at > 0) {
        memmove(o->b.data, o->b.data + at, o->b.len - at);
        o->b.len -= at;
        o->b.data[o->b.len] = '\0';
    }
    return 0;
}

static void add_pointer(struct buf *b, const char *tag, const struct ltfs_pointer *p)
{
    buf_addf(b, "<%s>\n<partition>%c</partition>\n<startblock>%" PRIu64 "</startblock>\n</%s>\n",
             tag, p->letter, p->block, tag);
}

static void add_policy(struct buf *b, const struct ltfs_index *ix)
{
    if (ix->policy_size == NULL)
        return;
    buf_adds(b, "<dataplacementpolicy>\n<indexpartitioncriteria>\n<size>");
    buf_add_xml(b, ix->policy_size);
    buf_adds(b, "</size>\n");
    for (const char *p = ix->policy_names; p != NULL && *p != '\0';) {
        size_t n = strcspn(p, "\n");
        ltfs_name_add_element(b, "name", p, n);
        p += n + (p[n] == '\n');
    }
    buf_adds(b, "</indexpartitioncriteria>\n</dataplacementpolicy>\n");
}

static void add_head(struct buf *b, const struct ltfs_index *ix)
{
    char uuid[UUID_TEXT];

    uuid_format(&ix->uuid, uuid);
    buf_adds(b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ltfsindex version=\"" LTFS_VERSION
                "\">\n<creator>" LTFS_CREATOR "</creator>\n");
    if (ix->comment != NULL) {
        buf_adds(b, "<comment>");
        buf_add_xml(b, ix->comment);
        buf_adds(b, "</comment>\n");
    }
    buf_addf(b, "<volumeuuid>%s</volumeuuid>\n<generationnumber>%" PRIu64 "</generationnumber>\n",
             uuid, ix->generation);
    add_time(b, "updatetime", ix->update_time_ns);
    add_pointer(b, "location", &ix->self);
    if (ix->previous.letter != '\0')
        add_pointer(b, "previousgenerationlocation", &ix->previous);
    buf_addf(b, "<allowpolicyupdate>%s</allowpolicyupdate>\n",
             ix->allow_policy_update ? "true" : "false");
    add_policy(b, ix);
    buf_addf(
        b, "<highestfileuid>%" PRIu64 "</highestfileuid>\n<volumelockstate>%s</volumelockstate>\n",
        ix->tree.highest_uid, ix->lock_state[0] != '\0' ? ix->lock_state : "unlocked");
}

/* The whole tree, depth first, without recursion. */
static int add_tree(struct out *o, const struct ltfs_node *root, struct err *err)
{
    const struct ltfs_node *n = root;
    open_dir(&o->b, n);
    for (;;) {
        if ((n->flags & LTFS_NODE_DIR) != 0 && n->u.dir.first != NULL) {
            n = n->u.dir.first;
        } else {
            if ((n->flags & LTFS_NODE_DIR) != 0)
                close_dir(&o->b);
            while (n != root && n->next == NULL) {
                n = n->parent;
                close_dir(&o->b);
            }
            if (n == root)
                return 0;
            n = n->next;
        }
        if ((n->flags & LTFS_NODE_DIR) != 0)
            open_dir(&o->b, n);
        else
            add_file(o, n);
        int rc = o->b.len >= o->piece ? drain(o, false, err) : 0;
        if (rc != 0)
            return rc;
    }
}

/* Adds the checksum of everything so far. */
static void add_sum(struct out *o)
{
    uint8_t raw[DIGEST_MAX];
    char hex[ENCODE_HEX_SIZE(DIGEST_MAX)];

    digest_update(o->sum, o->b.data, o->b.len);
    encode_hex(raw, digest_final(o->sum, raw), hex);
    digest_free(take_ptr(o->sum));
    buf_addf(&o->b, LTFS_SUM_BEGIN "%s" LTFS_SUM_END, hex);
}

int ltfs_xml_write(const struct ltfs_index *ix, const char letters[DRIVE_PARTITIONS], size_t piece,
                   ltfs_sink_fn *sink, void *arg, struct err *err)
{
    struct out o = {.letters = letters, .piece = piece, .sink = sink, .arg = arg};

    o.sum = digest_new(DIGEST_CRC32C);
    add_head(&o.b, ix);
    int rc = add_tree(&o, ix->tree.root, err);
    if (rc == 0) {
        buf_adds(&o.b, "</ltfsindex>\n");
        add_sum(&o);
        rc = drain(&o, true, err);
    }
    digest_free(o.sum);
    buf_fini(&o.b);
    return rc;
}
