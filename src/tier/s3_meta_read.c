/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/mem.h"
#include "codec/encode.h"
#include "tier/s3_impl.h"

#include <errno.h>
#include <string.h>

/* A number in base 10 or 8, all of text but an optional suffix. */
static int number(const char *text, const char *suffix, int base, int64_t *out)
{
    char *end = NULL;
    if (text == NULL || (text[0] != '-' && (text[0] < '0' || text[0] > '9')))
        return -EINVAL;
    errno = 0;
    long long v = strtoll(text, &end, base);
    if (errno != 0 || (*end != '\0' && strcmp(end, suffix) != 0))
        return -EINVAL;
    *out = v;
    return 0;
}

static void id_number(const struct store_reply *r, const char *name, int base, uint32_t *out)
{
    int64_t v = 0;
    if (number(store_reply_meta(r, name), "", base, &v) == 0 && v >= 0 && v <= UINT32_MAX)
        *out = (uint32_t)v;
}

/* Nanoseconds ("...ns"), or seconds as rclone and s3fs write them. */
static void time_of(const struct store_reply *r, const char *name, int64_t *out)
{
    const char *text = store_reply_meta(r, name);
    int64_t v = 0;
    if (number(text, "ns", 10, &v) != 0)
        return;
    bool ns = text[strlen(text) - 1] == 's' || v > 100000000000LL || v < -100000000000LL;
    *out = ns ? v : v * 1000000000LL;
}

void s3_meta_posix(const struct store_reply *r, struct s3_copy *c)
{
    id_number(r, "file-owner", 10, &c->uid);
    id_number(r, "file-group", 10, &c->gid);
    id_number(r, "file-permissions", 8, &c->mode);
    time_of(r, "file-mtime", &c->mtime_ns);
    time_of(r, "file-atime", &c->atime_ns);
}

static int need_number(const struct store_reply *r, const char *name, uint64_t *out,
                       struct err *err)
{
    int64_t v = -1;
    if (number(store_reply_meta(r, name), "", 10, &v) != 0 || v < 0)
        return err_set(err, -EBADMSG, "metadata %s is missing or no number", name);
    *out = (uint64_t)v;
    return 0;
}

static char *text_of(const struct store_reply *r, const char *name)
{
    const char *text = store_reply_meta(r, name);
    return text != NULL ? s3_pct_decode(text) : NULL;
}

static int read_names(const struct store_reply *r, struct s3_copy *c, struct err *err)
{
    const char *id = store_reply_meta(r, "firn-archive");
    const char *format = store_reply_meta(r, "firn-format");
    if (id == NULL || format == NULL || uuid_parse(id, &c->id) != 0)
        return err_set(err, -EBADMSG, "its metadata are not those of a copy made by firn");
    if (strcmp(format, S3_FORMAT) != 0)
        return err_set(err, -EBADMSG, "format %s is newer than this program", format);
    c->fs = text_of(r, "firn-fs");
    c->path = text_of(r, "firn-path");
    c->label = text_of(r, "firn-label");
    c->hash = text_of(r, "firn-hash");
    c->path_cut = c->path == NULL || store_reply_meta(r, "firn-path-cut") != NULL;
    if (c->fs == NULL)
        c->fs = xstrdup("");
    if (c->path == NULL)
        c->path = xstrdup("");
    return 0;
}

/* "key=base64,..." */
static int read_xattrs(char *text, struct s3_copy *c)
{
    for (char *item = strsep(&text, ","); item != NULL; item = strsep(&text, ",")) {
        char *value = strchr(item, '=');
        if (value == NULL)
            return -EINVAL;
        *value++ = '\0';
        auto_free char *key = s3_pct_decode(item);
        auto_free uint8_t *bytes = xzalloc(strlen(value) + 1);
        int64_t n = encode_base64_decode(value, bytes, strlen(value));
        if (key == NULL || key[0] == '\0' || n < 0)
            return -EINVAL;
        s3_copy_add_xattr(c, key, bytes, (size_t)n);
    }
    return 0;
}

static int read_encoding(const struct store_reply *r, struct s3_chunk *ch, struct err *err)
{
    const char *codec = store_reply_meta(r, "firn-codec");
    const char *sum = store_reply_meta(r, "firn-xxh3");
    const char *stored = store_reply_meta(r, "firn-stored-xxh3");
    const char *key = store_reply_meta(r, "firn-key");
    if (codec == NULL || chunk_codec_parse(codec, &ch->info.codec) != 0)
        return err_set(err, -EBADMSG, "metadata firn-codec is missing or names no codec");
    if (sum == NULL || encode_hex_decode(sum, ch->info.xxh3, S3_XXH3) != 0)
        return err_set(err, -EBADMSG, "metadata firn-xxh3 is missing or no digest");
    ch->has_stored_xxh3 =
        stored != NULL && encode_hex_decode(stored, ch->stored_xxh3, S3_XXH3) == 0;
    if (key != NULL && strlen(key) >= CHUNK_KEY_ID_MAX)
        return err_set(err, -EBADMSG, "metadata firn-key is no id of a key");
    if (key != NULL)
        memcpy(ch->info.key_id, key, strlen(key) + 1);
    return need_number(r, "firn-plain", &ch->info.plain_size, err);
}

static int read_sole(const struct store_reply *r, const char *bucket, const char *key,
                     struct s3_copy *c, struct err *err)
{
    struct s3_chunk *ch = xzalloc(sizeof(*ch));
    const char *extents = store_reply_meta(r, "firn-extents");
    const char *xattrs = store_reply_meta(r, "firn-xattrs");
    s3_copy_add_chunk(c, ch);
    c->sole = true;
    ch->bucket = xstrdup(bucket);
    ch->key = xstrdup(key);
    ch->info.stored_size = r->size > 0 ? (uint64_t)r->size : 0;
    int rc = read_encoding(r, ch, err);
    if (rc < 0)
        return rc;
    if (extents == NULL)
        s3_chunk_add_extent(ch, 0, c->size);
    else if (s3_extents_parse(extents, ch) != 0)
        return err_set(err, -EBADMSG, "metadata firn-extents are none");
    auto_free char *copy = xstrdup(xattrs);
    if (copy != NULL && read_xattrs(copy, c) != 0)
        return err_set(err, -EBADMSG, "metadata firn-xattrs cannot be read");
    return s3_copy_check(c, err);
}

int s3_meta_read(const struct store_reply *r, const char *bucket, const char *key,
                 struct s3_copy *c, struct err *err)
{
    const char *closes = store_reply_meta(r, "firn-closes");
    int rc = read_names(r, c, err);
    if (rc == 0)
        rc = need_number(r, "firn-size", &c->size, err);
    if (rc == 0)
        rc = need_number(r, "firn-chunk-size", &c->chunk_size, err);
    if (rc < 0)
        return rc;
    s3_meta_posix(r, c);
    if (closes != NULL && strcmp(closes, "sole") == 0)
        return read_sole(r, bucket, key, c, err);
    if (closes == NULL)
        return 0; /* a chunk of a copy that a manifest closes */
    rc = need_number(r, "firn-objects", &c->objects, err);
    return rc < 0 ? rc : need_number(r, "firn-bytes", &c->bytes, err);
}
