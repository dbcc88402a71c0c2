/* SPDX-License-Identifier: Apache-2.0 */
/* From request headers to an object's attributes. */
#include "s3/ops_impl.h"

#include "base/buf.h"
#include "base/mem.h"
#include "s3/class.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TAGS_MAX      10
#define TAG_KEY_MAX   128 /* characters */
#define TAG_VALUE_MAX 256
#define META_PREFIX   "x-amz-meta-"

/* The Content-Type that a key's extension suggests; the same names as NooBaa for the common ones.
 */
static const char *guess_type(const char *key)
{
    static const struct {
        const char *ext;
        const char *type;
    } types[] = {
        {"bz2", "application/x-bzip2"},
        {"css", "text/css"},
        {"csv", "text/csv"},
        {"gif", "image/gif"},
        {"gz", "application/gzip"},
        {"htm", "text/html"},
        {"html", "text/html"},
        {"jpeg", "image/jpeg"},
        {"jpg", "image/jpeg"},
        {"js", "application/javascript"},
        {"json", "application/json"},
        {"md", "text/markdown"},
        {"mp3", "audio/mpeg"},
        {"mp4", "video/mp4"},
        {"pdf", "application/pdf"},
        {"png", "image/png"},
        {"svg", "image/svg+xml"},
        {"tar", "application/x-tar"},
        {"tif", "image/tiff"},
        {"tiff", "image/tiff"},
        {"txt", "text/plain"},
        {"wav", "audio/wav"},
        {"webp", "image/webp"},
        {"xml", "application/xml"},
        {"zip", "application/zip"},
    };
    size_t n = strlen(key);
    if (n > 0 && key[n - 1] == '/')
        return "application/x-directory";
    const char *slash = strrchr(key, '/');
    const char *dot = strrchr(slash != NULL ? slash : key, '.');
    for (size_t i = 0; dot != NULL && i < sizeof types / sizeof types[0]; i++)
        if (strcasecmp(dot + 1, types[i].ext) == 0)
            return types[i].type;
    return "application/octet-stream";
}

/* Content-Encoding without the token aws-chunked, which describes the transfer (the caller frees).
 */
static char *strip_chunked(const char *value)
{
    auto_buf struct buf out = {0};
    auto_free char *copy = xstrdup(value);
    char *save = NULL;
    for (char *t = strtok_r(copy, ",", &save); t != NULL; t = strtok_r(NULL, ",", &save)) {
        while (*t == ' ' || *t == '\t')
            t++;
        size_t n = strlen(t);
        while (n > 0 && (t[n - 1] == ' ' || t[n - 1] == '\t'))
            t[--n] = '\0';
        if (n == 0 || strcasecmp(t, "aws-chunked") == 0)
            continue;
        if (out.len > 0)
            buf_adds(&out, ", ");
        buf_adds(&out, t);
    }
    return buf_take(&out);
}

static bool read_user(struct s3_call *c, struct meta *m)
{
    size_t bytes = 0;
    for (size_t i = 0; i < c->req->n_headers; i++) {
        const struct s3_header *h = &c->req->headers[i];
        if (strncmp(h->name, META_PREFIX, strlen(META_PREFIX)) != 0)
            continue;
        const char *key = h->name + strlen(META_PREFIX);
        if (*key == '\0') {
            (void)s3_reply_error(c->req, S3_ERR_INVALID_ARGUMENT, "A metadata header has no name");
            return false;
        }
        bytes += strlen(key) + strlen(h->value);
        meta_put(&m->user, key, h->value);
    }
    if (bytes <= USER_META_MAX)
        return true;
    s3_error_element(c->req, "Size", "%zu", bytes);
    s3_error_element(c->req, "MaxSizeAllowed", "%d", USER_META_MAX);
    (void)s3_reply_error(c->req, S3_ERR_METADATA_TOO_LARGE, NULL);
    return false;
}

bool headers_class(struct s3_call *c, struct meta *m)
{
    const char *class = s3_req_header(c->req, "x-amz-storage-class");
    if (class == NULL)
        return true;
    if (!class_known(class)) {
        (void)s3_reply_error(c->req, S3_ERR_INVALID_STORAGE_CLASS, NULL);
        return false;
    }
    (void)snprintf(m->storage_class, sizeof m->storage_class, "%s", class);
    return true;
}

bool headers_read(struct s3_call *c, const char *key, struct meta *m)
{
    static const char *const names[META_HEAD_COUNT] = {
        [META_CONTENT_TYPE] = "content-type",
        [META_CONTENT_ENCODING] = "content-encoding",
        [META_CONTENT_DISPOSITION] = "content-disposition",
        [META_CONTENT_LANGUAGE] = "content-language",
        [META_CACHE_CONTROL] = "cache-control",
        [META_EXPIRES] = "expires",
        [META_WEBSITE_REDIRECT] = "x-amz-website-redirect-location",
    };
    for (size_t i = 0; i < META_HEAD_COUNT; i++) {
        const char *value = s3_req_header(c->req, names[i]);
        if (value == NULL)
            continue;
        auto_free char *clean = i == META_CONTENT_ENCODING ? strip_chunked(value) : xstrdup(value);
        meta_set_head(m, (enum meta_head)i, clean);
    }
    if (m->head[META_CONTENT_TYPE] == NULL)
        meta_set_head(m, META_CONTENT_TYPE, guess_type(key));
    if (!read_user(c, m) || !headers_class(c, m))
        return false;
    const char *tagging = s3_req_header(c->req, "x-amz-tagging");
    return tagging == NULL || headers_tagging(c, tagging, &m->tags);
}

static bool refuse_tag(struct s3_call *c, const char *text)
{
    (void)s3_reply_error(c->req, S3_ERR_INVALID_TAG, "%s", text);
    return false;
}

bool headers_tags_ok(struct s3_call *c, const struct meta_set *set)
{
    if (set->n > TAGS_MAX)
        return refuse_tag(c, "Object tags cannot be greater than 10");
    for (size_t i = 0; i < set->n; i++) {
        const char *key = set->v[i].key;
        const char *value = set->v[i].value;
        if (!key_utf8_valid(key, strlen(key)) || !key_utf8_valid(value, strlen(value)))
            return refuse_tag(c, "A tag is not UTF-8");
        if (key[0] == '\0' || key_utf8_length(key) > TAG_KEY_MAX)
            return refuse_tag(c, "The TagKey you have provided is invalid: 1 to 128 characters");
        if (strncmp(key, "aws:", 4) == 0)
            return refuse_tag(c, "System tags cannot be added/updated by requester");
        if (key_utf8_length(value) > TAG_VALUE_MAX)
            return refuse_tag(c, "The TagValue you have provided is invalid: at most 256 "
                                 "characters");
        for (const char *s = key; *s != '\0'; s++)
            if ((unsigned char)*s < ' ' || *s == 0x7f)
                return refuse_tag(c, "The TagKey you have provided has a control character");
    }
    return true;
}

static int hex_digit(char ch)
{
    if (ch >= '0' && ch <= '9')
        return ch - '0';
    ch = (char)tolower((unsigned char)ch);
    return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

/* Decodes n bytes of query coding; NULL when it is malformed or has a NUL. The caller frees. */
static char *query_decode(const char *s, size_t n)
{
    auto_buf struct buf out = {0};
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '+') {
            buf_addc(&out, ' ');
        } else if (s[i] == '%') {
            int hi = i + 2 < n ? hex_digit(s[i + 1]) : -1;
            int lo = i + 2 < n ? hex_digit(s[i + 2]) : -1;
            if (hi < 0 || lo < 0 || hi + lo == 0)
                return NULL;
            buf_addc(&out, (char)(hi * 16 + lo));
            i += 2;
        } else {
            buf_addc(&out, s[i]);
        }
    }
    return buf_take(&out);
}

bool headers_tagging(struct s3_call *c, const char *text, struct meta_set *set)
{
    while (*text != '\0') {
        size_t n = strcspn(text, "&");
        const char *eq = memchr(text, '=', n);
        size_t key_len = eq != NULL ? (size_t)(eq - text) : n;
        auto_free char *key = query_decode(text, key_len);
        auto_free char *value = eq != NULL ? query_decode(eq + 1, n - key_len - 1) : xstrdup("");
        if (key == NULL || value == NULL || key[0] == '\0') {
            (void)s3_reply_error(c->req, S3_ERR_INVALID_ARGUMENT,
                                 "The header 'x-amz-tagging' shall be encoded as UTF-8 then "
                                 "URLEncoded URL query parameters without tag name duplicates.");
            return false;
        }
        if (meta_get(set, key) != NULL)
            return refuse_tag(c, "Cannot provide multiple Tags with the same key");
        if (set->n > TAGS_MAX)
            return refuse_tag(c, "Object tags cannot be greater than 10");
        meta_put(set, key, value);
        text += n;
        if (*text == '&')
            text++;
    }
    return headers_tags_ok(c, set);
}
