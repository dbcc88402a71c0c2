/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "codec/digest.h"
#include "codec/encode.h"
#include "tier/s3_impl.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

#define WIRE_PREFIX 11 /* "x-amz-meta-" */
#define TAG_PREFIX  "noobaa.tag."

void s3_fields_fini(struct s3_fields *f)
{
    for (size_t i = 0; i < f->n; i++)
        free((void *)(uintptr_t)f->list[i].value);
    f->n = 0;
}

/* Adds a field if it fits. name is static; value is owned from now on. */
static bool add_owned(struct s3_fields *f, const char *name, char *value)
{
    size_t bytes = WIRE_PREFIX + strlen(name) + strlen(value);
    if (f->bytes + bytes > STORE_META_MAX || f->n == S3_FIELDS_MAX) {
        free(value);
        return false;
    }
    f->list[f->n++] = (struct store_field){name, value};
    f->bytes += bytes;
    return true;
}

static bool add(struct s3_fields *f, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static bool add(struct s3_fields *f, const char *name, const char *fmt, ...)
{
    va_list ap;
    char *value = NULL;
    va_start(ap, fmt);
    if (vasprintf(&value, fmt, ap) < 0)
        abort();
    va_end(ap);
    return add_owned(f, name, value);
}

/* What every object of a copy carries; short enough to fit always. */
static void add_common(const struct s3_copy *c, struct s3_fields *f)
{
    char id[UUID_TEXT];
    uuid_format(&c->id, id);
    (void)add(f, "firn-format", "%s", S3_FORMAT);
    (void)add(f, "firn-archive", "%s", id);
    (void)add(f, "firn-size", "%llu", (unsigned long long)c->size);
    (void)add(f, "firn-chunk-size", "%llu", (unsigned long long)c->chunk_size);
    (void)add(f, "file-mtime", "%lldns", (long long)c->mtime_ns);
    if (c->atime_ns != 0)
        (void)add(f, "file-atime", "%lldns", (long long)c->atime_ns);
    if (c->mode == 0)
        return;
    (void)add(f, "file-owner", "%u", c->uid);
    (void)add(f, "file-group", "%u", c->gid);
    (void)add(f, "file-permissions", "0%o", c->mode);
}

static void add_encoding(const struct s3_copy *c, const struct s3_chunk *ch, struct s3_fields *f)
{
    char hex[ENCODE_HEX_SIZE(S3_XXH3)];
    uint64_t count = s3_chunk_count(c->size, c->chunk_size);
    (void)add(f, "firn-chunk", "%llu/%llu", (unsigned long long)ch->n,
              (unsigned long long)(count > 0 ? count : 1));
    (void)add(f, "firn-codec", "%s", chunk_codec_name(ch->info.codec));
    (void)add(f, "firn-plain", "%llu", (unsigned long long)ch->info.plain_size);
    encode_hex(ch->info.xxh3, S3_XXH3, hex);
    (void)add(f, "firn-xxh3", "%s", hex);
    encode_hex(ch->stored_xxh3, S3_XXH3, hex);
    (void)add(f, "firn-stored-xxh3", "%s", hex);
    if (ch->info.key_id[0] != '\0')
        (void)add(f, "firn-key", "%s", ch->info.key_id);
}

static bool add_names(const struct s3_copy *c, struct s3_fields *f)
{
    bool fits = add_owned(f, "firn-fs", s3_pct_encode(c->fs));
    if (c->label != NULL)
        fits = add_owned(f, "firn-label", s3_pct_encode(c->label)) && fits;
    return add_owned(f, "firn-path", s3_pct_encode(c->path)) && fits;
}

/* The beginning of the path, as long as there is room for it. */
static void add_path_cut(const struct s3_copy *c, struct s3_fields *f)
{
    enum { NAMES = 2 * WIRE_PREFIX + 9 + 13 + 1 };
    auto_free char *path = s3_pct_encode(c->path);
    size_t room = STORE_META_MAX - f->bytes;
    if (room < NAMES + 16)
        return;
    size_t n = room - NAMES;
    while (n > 0 && (path[n - 1] == '%' || (n > 1 && path[n - 2] == '%')))
        n--;
    path[n] = '\0';
    (void)add(f, "firn-path", "%s", path);
    (void)add(f, "firn-path-cut", "1");
}

static void add_names_cut(const struct s3_copy *c, struct s3_fields *f)
{
    (void)add_owned(f, "firn-fs", s3_pct_encode(c->fs));
    if (c->label != NULL)
        (void)add_owned(f, "firn-label", s3_pct_encode(c->label));
    if (!add_owned(f, "firn-path", s3_pct_encode(c->path)))
        add_path_cut(c, f);
}

/* "key=base64,..." of those attributes whose key begins with prefix. */
static char *xattrs_text(const struct s3_copy *c, const char *prefix)
{
    auto_buf struct buf b = {0};
    for (size_t i = 0; i < c->nxattrs; i++) {
        const struct tier_xattr *x = &c->xattrs[i];
        if (strncmp(x->key, prefix, strlen(prefix)) != 0)
            continue;
        auto_free char *text = xzalloc(ENCODE_BASE64_SIZE(x->len));
        encode_base64(x->value, x->len, text);
        if (b.len > 0)
            buf_addc(&b, ',');
        buf_add_pct(&b, x->key, "/@+:");
        buf_addf(&b, "=%s", text);
    }
    return buf_take(&b);
}

void s3_meta_chunk(const struct s3_copy *c, const struct s3_chunk *ch, struct s3_fields *f)
{
    add_common(c, f);
    add_encoding(c, ch, f);
    add_names_cut(c, f);
    auto_free char *tags = xattrs_text(c, TAG_PREFIX);
    if (tags[0] != '\0')
        (void)add_owned(f, "firn-tags", take_ptr(tags));
}

/* Whether the only extent is the whole file, which goes without saying. */
static bool is_whole(const struct s3_copy *c, const struct s3_chunk *ch)
{
    return c->size == 0 ||
           (ch->nextents == 1 && ch->extents[0].off == 0 && ch->extents[0].len == c->size);
}

bool s3_meta_sole(const struct s3_copy *c, const struct s3_chunk *ch, struct s3_fields *f)
{
    add_common(c, f);
    add_encoding(c, ch, f);
    bool fits = add(f, "firn-closes", "sole") && add_names(c, f);
    if (!is_whole(c, ch))
        fits = add_owned(f, "firn-extents", s3_extents_text(ch)) && fits;
    if (c->nxattrs > 0)
        fits = add_owned(f, "firn-xattrs", xattrs_text(c, "")) && fits;
    return fits;
}

void s3_meta_manifest(const struct s3_copy *c, const char *body, size_t n, struct s3_fields *f)
{
    uint8_t sum[DIGEST_MAX];
    char hex[ENCODE_HEX_SIZE(S3_XXH3)];
    uint64_t bytes = 0;
    for (size_t i = 0; i < c->nchunks; i++)
        bytes += c->chunks[i]->info.stored_size;
    add_common(c, f);
    (void)add(f, "firn-closes", S3_MANIFEST);
    (void)add(f, "firn-objects", "%zu", c->nchunks);
    (void)add(f, "firn-bytes", "%llu", (unsigned long long)bytes);
    (void)digest_of(DIGEST_XXH3_128, body, n, sum);
    encode_hex(sum, S3_XXH3, hex);
    (void)add(f, "firn-xxh3", "%s", hex);
    if (c->hash != NULL)
        (void)add_owned(f, "firn-hash", s3_pct_encode(c->hash));
    add_names_cut(c, f);
}
