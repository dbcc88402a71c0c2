/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/source.h"

#include "base/buf.h"
#include "base/mem.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

void source_init(struct source *s)
{
    *s = (struct source){.dir = -1};
    object_init(&s->object);
}

void source_fini(struct source *s)
{
    object_fini(&s->object);
    if (s->dir >= 0)
        (void)close(s->dir);
    free(s->key);
    free(s->version);
    *s = (struct source){.dir = -1};
}

static int hex_digit(char ch)
{
    if (ch >= '0' && ch <= '9')
        return ch - '0';
    ch = (char)tolower((unsigned char)ch);
    return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

/* Decodes %XX of n bytes; NULL when it is malformed or has a NUL. The caller frees. */
static char *decode(const char *s, size_t n)
{
    auto_buf struct buf out = {0};
    for (size_t i = 0; i < n; i++) {
        if (s[i] != '%') {
            buf_addc(&out, s[i]);
            continue;
        }
        int hi = i + 2 < n ? hex_digit(s[i + 1]) : -1;
        int lo = i + 2 < n ? hex_digit(s[i + 2]) : -1;
        if (hi < 0 || lo < 0 || hi + lo == 0)
            return NULL;
        buf_addc(&out, (char)(hi * 16 + lo));
        i += 2;
    }
    return buf_take(&out);
}

/* Splits "[/]bucket/key[?versionId=v]". Returns whether it has that form; *bucket is the caller's
 * to free. */
static bool split(const char *text, struct source *s, char **bucket)
{
    const char *query = strstr(text, "?versionId=");
    size_t n = query != NULL ? (size_t)(query - text) : strlen(text);
    if (query != NULL)
        s->version = xstrdup(query + strlen("?versionId="));
    auto_free char *path = decode(text, n);
    if (path == NULL)
        return false;
    const char *p = path[0] == '/' ? path + 1 : path;
    const char *slash = strchr(p, '/');
    if (slash == NULL || slash == p || slash[1] == '\0')
        return false;
    *bucket = xstrndup(p, (size_t)(slash - p));
    s->key = xstrdup(slash + 1);
    return true;
}

bool source_open(struct s3_call *c, struct source *s)
{
    struct s3_req *req = c->req;
    auto_free char *bucket = NULL;
    if (!split(s3_req_header(req, "x-amz-copy-source"), s, &bucket)) {
        (void)s3_reply_error(req, S3_ERR_INVALID_ARGUMENT,
                             "Copy Source must mention the source bucket and key: "
                             "sourcebucket/sourcekey");
        return false;
    }
    if (!bucket_find(c, bucket, &s->bucket) || !fault_check_key(c, s->key))
        return false;
    struct err err = {0};
    s->dir = bucket_open(c, s->bucket, &err);
    if (s->dir < 0) {
        bucket_open_fault(c, s->dir, &err);
        return false;
    }
    int rc = object_open(s->dir, s->key, OBJECT_DATA, &s->object, &err);
    if (rc < 0) {
        fault_reply(c, rc, &err);
        return false;
    }
    if (!object_version_ok(c, s->version, &s->object))
        return false;
    const char *which = "";
    if (cond_read(req, "x-amz-copy-source-", s->object.etag, s->object.st.st_mtim.tv_sec, &which) ==
        S3_ERR_NONE)
        return true;
    cond_fail(c, which);
    return false;
}

bool source_ready(struct s3_call *c, struct source *s)
{
    return object_ready(c, s->bucket->path, s->key, &s->object, true);
}
