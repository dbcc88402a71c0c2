/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking a volume: labels, indexes, back pointers, numbers, extents, then the data of every file
 * in block order against the checksums stored with it. Repair is what a writable mount does, and a
 * new label on the index partition from the one on the data partition.
 */
#include "tape/drive_impl.h"
#include "tape/ltfs_impl.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "codec/digest.h"
#include "codec/encode.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CHECK_BUFFER (256u << 10)
#define CHAIN_MAX    1000000

struct check {
    struct drive *d;
    struct ltfs_volume *v;
    unsigned flags;
    ltfs_check_fn *fn;
    void *arg;
    struct ltfs_check_result *result;
    uint64_t mendable; /* findings that a repair sets right */
    bool label_bad;    /* of physical partition 0 */
};

static void tell(struct check *c, bool fatal, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Reports one finding; not fatal: a repair sets it right. */
static void tell(struct check *c, bool fatal, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (fatal)
        c->result->problems++;
    else
        c->mendable++;
    if (c->fn != NULL)
        c->fn(c->arg, fatal || (c->flags & LTFS_CHECK_REPAIR) == 0, text);
}

/* Labels: 0, LTFS_NOT_FORMATTED. */
static int check_labels(struct check *c)
{
    struct ltfs_label l[DRIVE_PARTITIONS] = {{.location = 0}};
    int rc[DRIVE_PARTITIONS];
    const char *what;

    for (unsigned p = 0; p < DRIVE_PARTITIONS; p++) {
        struct err err = {0};
        rc[p] = ltfs_label_read(c->d, p, &l[p], &err);
        if (rc[p] < 0)
            tell(c, p != 0, "label: %s", err.text);
    }
    if (rc[0] == LTFS_NOT_FORMATTED && rc[1] == LTFS_NOT_FORMATTED)
        return LTFS_NOT_FORMATTED;
    for (unsigned p = 0; p < DRIVE_PARTITIONS; p++) {
        if (rc[p] == LTFS_NOT_FORMATTED)
            tell(c, p != 0, "cartridge %s: partition %c has no label", drive_barcode(c->d),
                 drive_letter(p));
    }
    if (rc[0] == 0 && rc[1] == 0 && !ltfs_label_same(&l[0], &l[1], &what))
        tell(c, true, "cartridge %s: the labels differ in %s", drive_barcode(c->d), what);
    c->label_bad = rc[0] != 0 && rc[1] == 0;
    return 0;
}

static int compare_uids(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void check_uids(struct check *c)
{
    const struct ltfs_tree *t = &c->v->index.tree;
    auto_free uint64_t *uids = xrealloc_array(NULL, t->node_count + 1, sizeof(*uids));
    size_t n = 0;
    for (struct ltfs_node *m = ltfs_next(c->v, NULL); m != NULL; m = ltfs_next(c->v, m))
        uids[n++] = m->uid;
    qsort(uids, n, sizeof(*uids), compare_uids);
    for (size_t i = 0; i < n; i++) {
        if (uids[i] == 0 || (i > 0 && uids[i] == uids[i - 1]))
            tell(c, true, "cartridge %s: fileuid %" PRIu64 " is not unique", c->v->barcode,
                 uids[i]);
    }
}

static int check_extents(struct check *c, struct err *err)
{
    const uint64_t bs = c->v->label.blocksize;
    uint64_t eod[DRIVE_PARTITIONS];

    for (unsigned p = 0; p < DRIVE_PARTITIONS; p++) {
        struct drive_position pos = {0};
        int rc = drive_locate_eod(c->d, p, err);
        if (rc == 0)
            rc = drive_position(c->d, &pos, err);
        if (rc < 0)
            return rc;
        eod[p] = pos.block;
    }
    c->v->head_known = false;
    for (struct ltfs_node *n = ltfs_next(c->v, NULL); n != NULL; n = ltfs_next(c->v, n)) {
        for (uint32_t i = 0; i < n->extent_count; i++) {
            const struct ltfs_extent *e = &n->u.extents[i];
            uint64_t last = e->block + (e->byteoffset + e->bytes - 1) / bs;
            if (e->block >= LTFS_FIRST_INDEX && last < eod[e->partition])
                continue;
            auto_free char *path = ltfs_node_path(n);
            tell(c, true,
                 "cartridge %s: %s has data outside the tape (partition %c blocks %" PRIu64
                 " to %" PRIu64 ")",
                 c->v->barcode, path, drive_letter(e->partition), e->block, last);
        }
    }
    return 0;
}

/* Follows the back pointers on the data partition; each must lead to an older index. */
static int check_chain(struct check *c, struct err *err)
{
    struct ltfs_volume *v = c->v;
    struct ltfs_found f = {0};
    uint64_t block = v->data_index_block;
    uint64_t generation = v->index.generation + 1;

    for (unsigned i = 0; block != 0 && i < CHAIN_MAX; i++) {
        struct err why = {0};
        int rc = ltfs_index_read(v, v->data_part, block, true, &f, &why);
        if (rc < 0 && rc != -EBADMSG && rc != -EIO)
            return err_set(err, rc, "%s", why.text);
        if (rc != 0) {
            tell(c, true, "back pointer leads to no index: %s", why.text);
            break;
        }
        if (f.index.generation >= generation) {
            tell(c, true,
                 "cartridge %s: partition %c block %" PRIu64 ": generation %" PRIu64
                 " does not decrease",
                 v->barcode, drive_letter(v->data_part), block, f.index.generation);
            break;
        }
        generation = f.index.generation;
        const struct ltfs_pointer *prev = &f.index.previous;
        block = prev->letter == v->letters[v->data_part] && prev->block < block ? prev->block : 0;
    }
    ltfs_index_fini(&f.index);
    return 0;
}

static int check_memory(struct check *c, struct err *err)
{
    struct ltfs_volume *v = c->v;
    for (unsigned p = 0; p < DRIVE_PARTITIONS; p++) {
        struct ltfs_coherency co = {0};
        bool valid;
        int rc = ltfs_coherency_read(c->d, p, &co, &valid, err);
        if (rc < 0)
            return rc;
        uint64_t block = p == v->index_part ? v->index_index_block : v->data_index_block;
        if (!valid || co.generation != v->index.generation || co.block != block)
            tell(c, false, "cartridge %s: the coherency attribute of partition %c is out of date",
                 v->barcode, drive_letter(p));
    }
    return 0;
}

struct job {
    struct ltfs_node *node;
    struct ltfs_location at;
};

static int compare_jobs(const void *a, const void *b)
{
    const struct job *x = a;
    const struct job *y = b;
    if (x->at.partition != y->at.partition)
        return x->at.partition < y->at.partition ? -1 : 1;
    if (x->at.block != y->at.block)
        return x->at.block < y->at.block ? -1 : 1;
    return x->at.byteoffset < y->at.byteoffset ? -1 : x->at.byteoffset > y->at.byteoffset;
}

static const struct {
    const char *key;
    enum digest_alg alg;
} hash_keys[] = {
    {"ltfs.hash.crc32sum", DIGEST_CRC32},   {"ltfs.hash.md5sum", DIGEST_MD5},
    {"ltfs.hash.sha1sum", DIGEST_SHA1},     {"ltfs.hash.sha256sum", DIGEST_SHA256},
    {"ltfs.hash.sha512sum", DIGEST_SHA512},
};
#define HASH_KEYS (sizeof(hash_keys) / sizeof(hash_keys[0]))

/* Reads n whole, through every digest that is not NULL. */
static int read_whole(struct check *c, struct ltfs_node *n, struct digest **digests, void *buf,
                      struct err *err)
{
    for (uint64_t at = 0; at < n->length;) {
        ssize_t got = ltfs_read(c->v, n, at, buf, CHECK_BUFFER, err);
        if (got < 0)
            return (int)got;
        for (size_t k = 0; k < HASH_KEYS; k++) {
            if (digests[k] != NULL)
                digest_update(digests[k], buf, (size_t)got);
        }
        at += (uint64_t)got;
        c->result->bytes += (uint64_t)got;
    }
    return 0;
}

static void compare_digest(struct check *c, const struct ltfs_node *n, size_t k, struct digest *d)
{
    uint8_t raw[DIGEST_MAX];
    char hex[ENCODE_HEX_SIZE(DIGEST_MAX)];
    const void *value;
    size_t len;

    encode_hex(raw, digest_final(d, raw), hex);
    if (ltfs_get_xattr(n, hash_keys[k].key, &value, &len) != 0)
        return;
    if (len == strlen(hex) && strncasecmp(value, hex, len) == 0)
        return;
    auto_free char *path = ltfs_node_path(n);
    tell(c, true, "cartridge %s: %s (partition %c block %" PRIu64 "): its data does not match %s",
         c->v->barcode, path, drive_letter(n->extent_count > 0 ? n->u.extents[0].partition : 0),
         n->extent_count > 0 ? n->u.extents[0].block : 0, hash_keys[k].key);
}

static int check_file(struct check *c, struct ltfs_node *n, void *buf, struct err *err)
{
    struct digest *digests[HASH_KEYS] = {NULL};
    const void *value;
    size_t len;
    bool hashed = false;

    for (size_t k = 0; k < HASH_KEYS; k++) {
        if (ltfs_get_xattr(n, hash_keys[k].key, &value, &len) == 0) {
            digests[k] = digest_new(hash_keys[k].alg);
            hashed = true;
        }
    }
    int rc = read_whole(c, n, digests, buf, err);
    if (rc == 0) {
        c->result->files++;
        c->result->hashed += hashed;
    }
    for (size_t k = 0; k < HASH_KEYS; k++) {
        if (rc == 0 && digests[k] != NULL)
            compare_digest(c, n, k, digests[k]);
        digest_free(digests[k]);
    }
    return rc;
}

static void check_data(struct check *c)
{
    const struct ltfs_tree *t = &c->v->index.tree;
    auto_free struct job *jobs = xrealloc_array(NULL, t->node_count + 1, sizeof(*jobs));
    auto_free void *buf = xzalloc(CHECK_BUFFER);
    size_t n = 0;

    for (struct ltfs_node *m = ltfs_next(c->v, NULL); m != NULL; m = ltfs_next(c->v, m)) {
        if ((m->flags & (LTFS_NODE_DIR | LTFS_NODE_SYMLINK)) != 0)
            continue;
        jobs[n].node = m;
        ltfs_node_location(m, &jobs[n++].at);
    }
    qsort(jobs, n, sizeof(*jobs), compare_jobs);
    for (size_t i = 0; i < n; i++) {
        struct err why = {0};
        if (check_file(c, jobs[i].node, buf, &why) < 0) {
            auto_free char *path = ltfs_node_path(jobs[i].node);
            tell(c, true, "%s: %s", path, why.text);
        }
    }
}

static int check_volume(struct check *c, struct err *err)
{
    if (c->v->recovered || (c->v->problem[0] != '\0' && !c->label_bad))
        tell(c, !c->v->recovered, "cartridge %s: %s", c->v->barcode, c->v->problem);
    check_uids(c);
    int rc = check_extents(c, err);
    if (rc == 0)
        rc = check_chain(c, err);
    if (rc == 0)
        rc = check_memory(c, err);
    if (rc == 0 && (c->flags & LTFS_CHECK_NO_DATA) == 0)
        check_data(c);
    return rc;
}

/* Writes label and index anew on the index partition, from what the data partition holds. */
static int rebuild_index_partition(struct check *c, struct err *err)
{
    struct ltfs_volume *v = c->v;
    struct ltfs_label l = v->label;

    l.location = v->letters[0];
    v->index_index_block = 0;
    v->head_known = false;
    int rc = ltfs_label_write(c->d, 0, &l, err);
    if (rc == 0)
        rc = ltfs_index_write_index(v, err);
    if (rc == 0)
        rc = drive_flush(c->d, err);
    return rc;
}

static int repair(struct check *c, struct err *err)
{
    struct ltfs_volume *v = NULL;
    int rc = 0;

    if (c->label_bad && c->v->index_part == 0 && c->v->data_index_block != 0)
        rc = rebuild_index_partition(c, err);
    ltfs_volume_free(take_ptr(c->v));
    if (rc == 0)
        rc = ltfs_mount(c->d, LTFS_MOUNT_FULL_CHECK, &v, err);
    bool mended = rc == 0 && !v->read_only;
    if (rc == 0 && !mended)
        (void)err_set(err, -EROFS, "%s", v->problem);
    c->v = v;
    if (mended)
        rc = drive_flush(c->d, err);
    if (mended && rc == 0)
        c->result->recovered += c->mendable;
    else
        c->result->problems += c->mendable;
    return rc < 0 ? rc : 0;
}

int ltfs_check(struct drive *d, unsigned flags, ltfs_check_fn *fn, void *arg,
               struct ltfs_check_result *result, struct err *err)
{
    struct check c = {.d = d, .flags = flags, .fn = fn, .arg = arg, .result = result};
    struct err why = {0};

    *result = (struct ltfs_check_result){0};
    int rc = check_labels(&c);
    if (rc != 0)
        return rc;
    rc = ltfs_mount(d, LTFS_MOUNT_READ_ONLY | LTFS_MOUNT_FULL_CHECK, &c.v, &why);
    if (rc < 0) {
        tell(&c, true, "%s", why.text);
        result->problems += c.mendable;
        return 0;
    }
    if (rc > 0)
        return rc;
    rc = check_volume(&c, err);
    if (rc == 0 && (flags & LTFS_CHECK_REPAIR) != 0 && c.mendable > 0)
        rc = repair(&c, err);
    else
        result->problems += c.mendable;
    ltfs_volume_free(c.v);
    return rc;
}
