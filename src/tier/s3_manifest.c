/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "codec/encode.h"
#include "tier/s3_impl.h"

#include <errno.h>
#include <string.h>

#define FORMAT_NAME "firn-s3"

static void add_pct(cJSON *j, const char *name, const char *text)
{
    auto_free char *encoded = s3_pct_encode(text);
    json_add_str(j, name, encoded);
}

static void add_hex(cJSON *j, const char *name, const uint8_t *sum)
{
    char hex[ENCODE_HEX_SIZE(S3_XXH3)];
    encode_hex(sum, S3_XXH3, hex);
    json_add_str(j, name, hex);
}

static cJSON *chunk_json(const struct s3_chunk *ch)
{
    cJSON *j = cJSON_CreateObject();
    auto_free char *extents = s3_extents_text(ch);
    json_add_int(j, "n", (int64_t)ch->n);
    json_add_str(j, "bucket", ch->bucket);
    add_pct(j, "key", ch->key);
    json_add_str(j, "codec", chunk_codec_name(ch->info.codec));
    json_add_int(j, "plain", (int64_t)ch->info.plain_size);
    json_add_int(j, "stored", (int64_t)ch->info.stored_size);
    add_hex(j, "xxh3", ch->info.xxh3);
    add_hex(j, "stored_xxh3", ch->stored_xxh3);
    if (ch->info.key_id[0] != '\0')
        json_add_str(j, "key_id", ch->info.key_id);
    json_add_str(j, "extents", extents);
    return j;
}

static void add_posix(cJSON *j, const struct s3_copy *c)
{
    json_add_int(j, "mtime_ns", c->mtime_ns);
    json_add_int(j, "atime_ns", c->atime_ns);
    json_add_int(j, "uid", c->uid);
    json_add_int(j, "gid", c->gid);
    json_add_int(j, "mode", c->mode);
}

char *s3_manifest_write(const struct s3_copy *c)
{
    char id[UUID_TEXT];
    auto_json cJSON *j = cJSON_CreateObject();
    uuid_format(&c->id, id);
    json_add_str(j, "format", FORMAT_NAME);
    json_add_int(j, "version", 1);
    json_add_str(j, "archive", id);
    add_pct(j, "fs", c->fs);
    add_pct(j, "path", c->path);
    if (c->label != NULL)
        add_pct(j, "label", c->label);
    json_add_int(j, "size", (int64_t)c->size);
    json_add_int(j, "chunk_size", (int64_t)c->chunk_size);
    add_posix(j, c);
    cJSON *xattrs = cJSON_AddObjectToObject(j, "xattrs");
    for (size_t i = 0; i < c->nxattrs; i++) {
        const struct tier_xattr *x = &c->xattrs[i];
        auto_free char *key = s3_pct_encode(x->key);
        auto_free char *text = xzalloc(ENCODE_BASE64_SIZE(x->len));
        encode_base64(x->value, x->len, text);
        json_add_str(xattrs, key, text);
    }
    cJSON *chunks = cJSON_AddArrayToObject(j, "chunks");
    for (size_t i = 0; i < c->nchunks; i++)
        (void)cJSON_AddItemToArray(chunks, chunk_json(c->chunks[i]));
    char *text = cJSON_PrintUnformatted(j);
    if (text == NULL)
        abort();
    return text;
}

static int need_int(const cJSON *j, const char *name, int64_t least, int64_t most, int64_t *out,
                    struct err *err)
{
    int64_t v = json_int(j, name, INT64_MIN);
    if (v == INT64_MIN || v < least || v > most)
        return err_set(err, -EBADMSG, "member \"%s\" is missing or no number that can be", name);
    *out = v;
    return 0;
}

static int need_pct(const cJSON *j, const char *name, char **out, struct err *err)
{
    const char *text = json_str(j, name, NULL);
    *out = text != NULL ? s3_pct_decode(text) : NULL;
    return *out != NULL ? 0 : err_set(err, -EBADMSG, "member \"%s\" is missing or no text", name);
}

static int need_hex(const cJSON *j, const char *name, uint8_t *out, struct err *err)
{
    if (encode_hex_decode(json_str(j, name, ""), out, S3_XXH3) != 0)
        return err_set(err, -EBADMSG, "member \"%s\" is missing or no digest", name);
    return 0;
}

static int read_info(const cJSON *j, struct s3_chunk *ch, struct err *err)
{
    const char *key_id = json_str(j, "key_id", "");
    int64_t plain = 0;
    int64_t stored = 0;
    int rc = need_int(j, "plain", 0, INT64_MAX, &plain, err);
    if (rc == 0)
        rc = need_int(j, "stored", 0, INT64_MAX, &stored, err);
    if (rc == 0)
        rc = need_hex(j, "xxh3", ch->info.xxh3, err);
    if (rc < 0)
        return rc;
    if (chunk_codec_parse(json_str(j, "codec", ""), &ch->info.codec) != 0)
        return err_set(err, -EBADMSG, "member \"codec\" is missing or names no codec");
    if (strlen(key_id) >= CHUNK_KEY_ID_MAX)
        return err_set(err, -EBADMSG, "member \"key_id\" is no id of a key");
    memcpy(ch->info.key_id, key_id, strlen(key_id) + 1);
    ch->info.plain_size = (uint64_t)plain;
    ch->info.stored_size = (uint64_t)stored;
    ch->has_stored_xxh3 = need_hex(j, "stored_xxh3", ch->stored_xxh3, NULL) == 0;
    return 0;
}

static int read_chunk(const cJSON *j, struct s3_chunk *ch, struct err *err)
{
    int64_t n = 0;
    const char *bucket = json_str(j, "bucket", "");
    int rc = need_int(j, "n", 0, INT64_MAX, &n, err);
    if (rc == 0)
        rc = need_pct(j, "key", &ch->key, err);
    if (rc == 0)
        rc = read_info(j, ch, err);
    if (rc < 0)
        return rc;
    if (bucket[0] == '\0' || strchr(bucket, '/') != NULL || ch->key[0] == '\0')
        return err_set(err, -EBADMSG, "members \"bucket\" and \"key\" name no object");
    ch->n = (uint64_t)n;
    ch->bucket = xstrdup(bucket);
    if (s3_extents_parse(json_str(j, "extents", ""), ch) != 0)
        return err_set(err, -EBADMSG, "member \"extents\" is missing or cannot be read");
    return 0;
}

static int read_chunks(const cJSON *j, struct s3_copy *c, struct err *err)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(j, "chunks");
    const cJSON *item = NULL;
    if (!cJSON_IsArray(list))
        return err_set(err, -EBADMSG, "member \"chunks\" is missing");
    cJSON_ArrayForEach (item, list) {
        struct s3_chunk *ch = xzalloc(sizeof(*ch));
        s3_copy_add_chunk(c, ch);
        int rc = read_chunk(item, ch, err);
        if (rc < 0)
            return err_wrap(err, rc, "chunk %zu of the list", c->nchunks - 1);
        c->bytes += ch->info.stored_size;
    }
    c->objects = c->nchunks;
    return 0;
}

static int read_xattrs(const cJSON *j, struct s3_copy *c, struct err *err)
{
    const cJSON *item = NULL;
    cJSON_ArrayForEach (item, cJSON_GetObjectItemCaseSensitive(j, "xattrs")) {
        const char *text = cJSON_GetStringValue(item);
        auto_free char *key = item->string != NULL ? s3_pct_decode(item->string) : NULL;
        if (text == NULL || key == NULL)
            return err_set(err, -EBADMSG, "member \"xattrs\" cannot be read");
        size_t cap = strlen(text);
        auto_free uint8_t *bytes = xzalloc(cap + 1);
        int64_t n = encode_base64_decode(text, bytes, cap);
        if (n < 0)
            return err_set(err, -EBADMSG, "attribute \"%s\" is no base64", key);
        s3_copy_add_xattr(c, key, bytes, (size_t)n);
    }
    return 0;
}

static int read_posix(const cJSON *j, struct s3_copy *c, struct err *err)
{
    int64_t uid = 0;
    int64_t gid = 0;
    int64_t mode = 0;
    int rc = need_int(j, "mtime_ns", INT64_MIN + 1, INT64_MAX, &c->mtime_ns, err);
    if (rc == 0)
        rc = need_int(j, "uid", 0, UINT32_MAX, &uid, err);
    if (rc == 0)
        rc = need_int(j, "gid", 0, UINT32_MAX, &gid, err);
    if (rc == 0)
        rc = need_int(j, "mode", 0, UINT32_MAX, &mode, err);
    c->atime_ns = json_int(j, "atime_ns", 0);
    c->uid = (uint32_t)uid;
    c->gid = (uint32_t)gid;
    c->mode = (uint32_t)mode;
    return rc;
}

static int read_head(const cJSON *j, struct s3_copy *c, struct err *err)
{
    int64_t size = 0;
    int64_t chunk_size = 0;
    if (strcmp(json_str(j, "format", ""), FORMAT_NAME) != 0)
        return err_set(err, -EBADMSG, "no manifest of a copy made by firn");
    if (json_int(j, "version", 0) != 1)
        return err_set(err, -EBADMSG, "a manifest of a version that this program does not know");
    if (uuid_parse(json_str(j, "archive", ""), &c->id) != 0)
        return err_set(err, -EBADMSG, "member \"archive\" is missing or no UUID");
    int rc = need_pct(j, "fs", &c->fs, err);
    if (rc == 0)
        rc = need_pct(j, "path", &c->path, err);
    if (rc == 0)
        rc = need_int(j, "size", 0, INT64_MAX, &size, err);
    if (rc == 0)
        rc = need_int(j, "chunk_size", 1, INT64_MAX, &chunk_size, err);
    c->size = (uint64_t)size;
    c->chunk_size = (uint64_t)chunk_size;
    const char *label = json_str(j, "label", NULL);
    c->label = label != NULL ? s3_pct_decode(label) : NULL;
    return rc;
}

int s3_manifest_read(const char *text, size_t n, struct s3_copy *c, struct err *err)
{
    const char *end = NULL;
    auto_json cJSON *j = cJSON_ParseWithLengthOpts(text, n, &end, false);
    if (j == NULL || end != text + n)
        return err_set(err, -EBADMSG, "the manifest is not JSON");
    int rc = read_head(j, c, err);
    if (rc == 0)
        rc = read_posix(j, c, err);
    if (rc == 0)
        rc = read_xattrs(j, c, err);
    if (rc == 0)
        rc = read_chunks(j, c, err);
    return rc < 0 ? rc : s3_copy_check(c, err);
}
