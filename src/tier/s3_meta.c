/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "codec/digest.h"
#include "codec/encode.h"
#include "tier/s3_impl.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WIRE_PREFIX 11 /* "x-amz-meta-" */
#define TAG_PREFIX  "noobaa.tag."

/* Begins f with our version. */
static void begin(struct s3_fields *f)
{
    f->nown = (size_t)snprintf(f->own, sizeof(f->own), "v=%s", S3_FORMAT);
    f->list[0] = (struct store_field){S3_OWN, f->own};
    f->n = 1;
    f->bytes = WIRE_PREFIX + strlen(S3_OWN) + f->nown;
}

/* Appends ";name=value" to ours if it fits. */
static bool add_text(struct s3_fields *f, const char *name, const char *value)
{
    size_t nname = strlen(name);
    size_t nvalue = strlen(value);
    size_t bytes = nname + nvalue + 2;
    if (f->bytes + bytes > STORE_META_MAX)
        return false;
    char *to = f->own + f->nown;
    *to++ = ';';
    memcpy(to, name, nname);
    to[nname] = '=';
    memcpy(to + nname + 1, value, nvalue + 1);
    f->nown += bytes;
    f->bytes += bytes;
    return true;
}

/* The same; value is freed. */
static bool add_owned(struct s3_fields *f, const char *name, char *value)
{
    bool fits = add_text(f, name, value);
    free(value);
    return fits;
}

static void add_number(struct s3_fields *f, const char *name, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    (void)add_text(f, name, text);
}

/* Metadata of its own; short enough to fit always, so they go first. */
static void add_posix(struct s3_fields *f, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void add_posix(struct s3_fields *f, const char *name, const char *fmt, ...)
{
    va_list ap;
    assert(f->n < S3_FIELDS_MAX);
    char *value = f->posix[f->n - 1];
    va_start(ap, fmt);
    int len = vsnprintf(value, sizeof(f->posix[0]), fmt, ap);
    va_end(ap);
    assert(len > 0 && (size_t)len < sizeof(f->posix[0]));
    f->list[f->n++] = (struct store_field){name, value};
    f->bytes += WIRE_PREFIX + strlen(name) + (size_t)len;
}

/* What every object of a copy carries; short enough to fit always. */
static void add_common(const struct s3_copy *c, struct s3_fields *f)
{
    char id[UUID_TEXT];
    uuid_format(&c->id, id);
    begin(f);
    add_posix(f, "file-mtime", "%lldns", (long long)c->mtime_ns);
    if (c->atime_ns != 0)
        add_posix(f, "file-atime", "%lldns", (long long)c->atime_ns);
    if (c->mode != 0) {
        add_posix(f, "file-owner", "%u", c->uid);
        add_posix(f, "file-group", "%u", c->gid);
        add_posix(f, "file-permissions", "0%o", c->mode);
    }
    (void)add_text(f, "archive", id);
    add_number(f, "size", c->size);
    add_number(f, "chunk-size", c->chunk_size);
}

static void add_encoding(const struct s3_copy *c, const struct s3_chunk *ch, struct s3_fields *f)
{
    char text[ENCODE_HEX_SIZE(S3_XXH3) + 16];
    uint64_t count = s3_chunk_count(c->size, c->chunk_size);
    (void)snprintf(text, sizeof(text), "%llu/%llu", (unsigned long long)ch->n,
                   (unsigned long long)(count > 0 ? count : 1));
    (void)add_text(f, "chunk", text);
    (void)add_text(f, "codec", chunk_codec_name(ch->info.codec));
    add_number(f, "plain", ch->info.plain_size);
    encode_hex(ch->info.xxh3, S3_XXH3, text);
    (void)add_text(f, "xxh3", text);
    encode_hex(ch->stored_xxh3, S3_XXH3, text);
    (void)add_text(f, "stored-xxh3", text);
    if (ch->info.key_id[0] != '\0')
        (void)add_text(f, "key", ch->info.key_id);
}

static bool add_names(const struct s3_copy *c, struct s3_fields *f)
{
    bool fits = add_owned(f, "fs", s3_pct_encode(c->fs));
    if (c->label != NULL)
        fits = add_owned(f, "label", s3_pct_encode(c->label)) && fits;
    return add_owned(f, "path", s3_pct_encode(c->path)) && fits;
}

/* The beginning of the path, as long as there is room for it. */
static void add_path_cut(const struct s3_copy *c, struct s3_fields *f)
{
    static const char names[] = ";path=;path-cut=1";
    auto_free char *path = s3_pct_encode(c->path);
    size_t room = STORE_META_MAX - f->bytes;
    if (room < sizeof(names) + 16)
        return;
    size_t n = room - sizeof(names);
    while (n > 0 && (path[n - 1] == '%' || (n > 1 && path[n - 2] == '%')))
        n--;
    path[n] = '\0';
    (void)add_text(f, "path", path);
    (void)add_text(f, "path-cut", "1");
}

static void add_names_cut(const struct s3_copy *c, struct s3_fields *f)
{
    (void)add_owned(f, "fs", s3_pct_encode(c->fs));
    if (c->label != NULL)
        (void)add_owned(f, "label", s3_pct_encode(c->label));
    if (!add_owned(f, "path", s3_pct_encode(c->path)))
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
        (void)add_owned(f, "tags", take_ptr(tags));
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
    bool fits = add_text(f, "closes", "sole") && add_names(c, f);
    if (!is_whole(c, ch))
        fits = add_owned(f, "extents", s3_extents_text(ch)) && fits;
    if (c->nxattrs > 0)
        fits = add_owned(f, "xattrs", xattrs_text(c, "")) && fits;
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
    (void)add_text(f, "closes", S3_MANIFEST);
    add_number(f, "objects", c->nchunks);
    add_number(f, "bytes", bytes);
    (void)digest_of(DIGEST_XXH3_128, body, n, sum);
    encode_hex(sum, S3_XXH3, hex);
    (void)add_text(f, "xxh3", hex);
    if (c->hash != NULL)
        (void)add_owned(f, "hash", s3_pct_encode(c->hash));
    add_names_cut(c, f);
}
