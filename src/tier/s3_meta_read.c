/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/mem.h"
#include "codec/encode.h"
#include "tier/s3_impl.h"

#include <errno.h>
#include <stdlib.h>
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

/* ---- ours ---- */

void s3_own_fini(struct s3_own *o)
{
    free(o->text);
    o->text = NULL;
    o->n = 0;
}

const char *s3_own_get(const struct s3_own *o, const char *name)
{
    for (size_t i = 0; i < o->n; i++) {
        if (strcmp(o->list[i].name, name) == 0)
            return o->list[i].value;
    }
    return NULL;
}

/* "name=value;name=value...", no name twice. */
static int split(char *text, struct s3_own *o)
{
    for (char *item = strsep(&text, ";"); item != NULL; item = strsep(&text, ";")) {
        char *value = strchr(item, '=');
        if (value == NULL || value == item || o->n == S3_OWN_MAX)
            return -EINVAL;
        *value++ = '\0';
        if (s3_own_get(o, item) != NULL)
            return -EINVAL;
        o->list[o->n++] = (struct store_field){item, value};
    }
    return 0;
}

int s3_own_parse(const struct store_reply *r, struct s3_own *o, struct err *err)
{
    const char *text = store_reply_meta(r, S3_OWN);
    if (text == NULL || strncmp(text, "v=", 2) != 0)
        return err_set(err, -EBADMSG, "its metadata are not those of a copy made by firn");
    size_t version = strcspn(text + 2, ";");
    if (version != strlen(S3_FORMAT) || strncmp(text + 2, S3_FORMAT, version) != 0)
        return err_set(err, -EBADMSG, "format %.*s is newer than this program",
                       version > 16 ? 16 : (int)version, text + 2);
    o->text = xstrdup(text);
    return split(o->text, o) == 0
               ? 0
               : err_set(err, -EBADMSG, "its metadata " S3_OWN " are no list of names and values");
}

static int need_number(const struct s3_own *o, const char *name, uint64_t *out, struct err *err)
{
    int64_t v = -1;
    if (number(s3_own_get(o, name), "", 10, &v) != 0 || v < 0)
        return err_set(err, -EBADMSG, "%s is missing in its metadata or no number", name);
    *out = (uint64_t)v;
    return 0;
}

static char *text_of(const struct s3_own *o, const char *name)
{
    const char *text = s3_own_get(o, name);
    return text != NULL ? s3_pct_decode(text) : NULL;
}

static int read_names(const struct s3_own *o, struct s3_copy *c, struct err *err)
{
    const char *id = s3_own_get(o, "archive");
    if (id == NULL || uuid_parse(id, &c->id) != 0)
        return err_set(err, -EBADMSG, "archive is missing in its metadata or no id");
    c->fs = text_of(o, "fs");
    c->path = text_of(o, "path");
    c->label = text_of(o, "label");
    c->hash = text_of(o, "hash");
    c->path_cut = c->path == NULL || s3_own_get(o, "path-cut") != NULL;
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

static int read_encoding(const struct s3_own *o, struct s3_chunk *ch, struct err *err)
{
    const char *codec = s3_own_get(o, "codec");
    const char *sum = s3_own_get(o, "xxh3");
    const char *stored = s3_own_get(o, "stored-xxh3");
    const char *key = s3_own_get(o, "key");
    if (codec == NULL || chunk_codec_parse(codec, &ch->info.codec) != 0)
        return err_set(err, -EBADMSG, "codec is missing in its metadata or unknown");
    if (sum == NULL || encode_hex_decode(sum, ch->info.xxh3, S3_XXH3) != 0)
        return err_set(err, -EBADMSG, "xxh3 is missing in its metadata or no digest");
    ch->has_stored_xxh3 =
        stored != NULL && encode_hex_decode(stored, ch->stored_xxh3, S3_XXH3) == 0;
    if (key != NULL && strlen(key) >= CHUNK_KEY_ID_MAX)
        return err_set(err, -EBADMSG, "key in its metadata is no id of a key");
    if (key != NULL)
        memcpy(ch->info.key_id, key, strlen(key) + 1);
    return need_number(o, "plain", &ch->info.plain_size, err);
}

static int read_sole(const struct store_reply *r, const struct s3_own *o, const char *bucket,
                     const char *key, struct s3_copy *c, struct err *err)
{
    struct s3_chunk *ch = xzalloc(sizeof(*ch));
    const char *extents = s3_own_get(o, "extents");
    const char *xattrs = s3_own_get(o, "xattrs");
    s3_copy_add_chunk(c, ch);
    c->sole = true;
    ch->bucket = xstrdup(bucket);
    ch->key = xstrdup(key);
    ch->info.stored_size = r->size > 0 ? (uint64_t)r->size : 0;
    int rc = read_encoding(o, ch, err);
    if (rc < 0)
        return rc;
    if (extents == NULL)
        s3_chunk_add_extent(ch, 0, c->size);
    else if (s3_extents_parse(extents, ch) != 0)
        return err_set(err, -EBADMSG, "extents in its metadata are none");
    auto_free char *copy = xstrdup(xattrs);
    if (copy != NULL && read_xattrs(copy, c) != 0)
        return err_set(err, -EBADMSG, "xattrs in its metadata cannot be read");
    return s3_copy_check(c, err);
}

int s3_meta_read(const struct store_reply *r, const char *bucket, const char *key,
                 struct s3_copy *c, struct err *err)
{
    auto_s3_own struct s3_own o = {0};
    int rc = s3_own_parse(r, &o, err);
    if (rc == 0)
        rc = read_names(&o, c, err);
    if (rc == 0)
        rc = need_number(&o, "size", &c->size, err);
    if (rc == 0)
        rc = need_number(&o, "chunk-size", &c->chunk_size, err);
    if (rc < 0)
        return rc;
    const char *closes = s3_own_get(&o, "closes");
    s3_meta_posix(r, c);
    if (closes != NULL && strcmp(closes, "sole") == 0)
        return read_sole(r, &o, bucket, key, c, err);
    if (closes == NULL)
        return 0; /* a chunk of a copy that a manifest closes */
    rc = need_number(&o, "objects", &c->objects, err);
    return rc < 0 ? rc : need_number(&o, "bytes", &c->bytes, err);
}
