/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_impl.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_address(const char *host)
{
    uint8_t a[16];
    return host[0] == '[' || inet_pton(AF_INET, host, a) == 1;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcasecmp(s + n - m, end) == 0;
}

/* The part part of url, owned by curl; NULL when there is none. */
static char *part_of(CURLU *url, CURLUPart part)
{
    char *s = NULL;
    return curl_url_get(url, part, &s, 0) == CURLUE_OK ? s : NULL;
}

static const char *refuse_parts(CURLU *url)
{
    static const struct {
        CURLUPart part;
        const char *why;
    } parts[] = {{CURLUPART_USER, "a user does not belong into it; use access_key"},
                 {CURLUPART_PASSWORD, "a password does not belong into it; use secret_key"},
                 {CURLUPART_QUERY, "a query does not belong into it"},
                 {CURLUPART_FRAGMENT, "a fragment does not belong into it"}};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        char *s = part_of(url, parts[i].part);
        curl_free(s);
        if (s != NULL)
            return parts[i].why;
    }
    char *path = part_of(url, CURLUPART_PATH);
    bool good = path == NULL || strcmp(path, "/") == 0;
    curl_free(path);
    return good ? NULL : "a path does not belong into it; use bucket_prefix and key_prefix";
}

/* Takes the parts of url over into e. Returns NULL, or what is wrong. */
static const char *take_parts(CURLU *url, struct endpoint *e)
{
    char *scheme = part_of(url, CURLUPART_SCHEME);
    char *host = part_of(url, CURLUPART_HOST);
    char *port = part_of(url, CURLUPART_PORT);
    const char *why = refuse_parts(url);
    if (scheme == NULL || (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
        why = "it must begin with http:// or https://";
    else if (host == NULL || host[0] == '\0')
        why = "it names no host";
    if (why == NULL) {
        e->tls = strcmp(scheme, "https") == 0;
        bool usual = port == NULL || strcmp(port, e->tls ? "443" : "80") == 0;
        e->authority = usual ? xstrdup(host) : xasprintf("%s:%s", host, port);
        e->address = is_address(host);
        e->aws = ends_with(host, ".amazonaws.com") || ends_with(host, ".amazonaws.com.cn");
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    return why;
}

int endpoint_parse(const char *text, struct endpoint *e, struct err *err)
{
    *e = (struct endpoint){0};
    CURLU *url = curl_url();
    if (url == NULL)
        return err_set(err, -ENOMEM, "no memory for the endpoint");
    const char *why =
        strstr(text, "://") == NULL
            ? "it must begin with http:// or https://"
            : (curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK ? "it is no URL"
                                                                      : take_parts(url, e));
    curl_url_cleanup(url);
    if (why != NULL)
        return err_set(err, -EINVAL, "endpoint \"%.100s\": %s, as in https://s3.example.org:8443",
                       text, why);
    return 0;
}

void endpoint_fini(struct endpoint *e)
{
    free(e->authority);
    e->authority = NULL;
}

/* Whether bucket can be a part of a host's name (S3 User Guide, "Bucket naming rules"); dots only
 * without TLS, whose certificates hold for one label. */
static bool host_like(const char *bucket, bool dots)
{
    size_t n = strlen(bucket);
    if (n < 3 || n > 63 || bucket[strspn(bucket, "abcdefghijklmnopqrstuvwxyz0123456789-.")] != '\0')
        return false;
    if (strchr("-.", bucket[0]) != NULL || strchr("-.", bucket[n - 1]) != NULL)
        return false;
    return dots ? strstr(bucket, "..") == NULL : strchr(bucket, '.') == NULL;
}

static int check_names(const char *bucket, const char *key, struct err *err)
{
    if (bucket != NULL && (bucket[0] == '\0' || strchr(bucket, '/') != NULL ||
                           strcmp(bucket, ".") == 0 || strcmp(bucket, "..") == 0))
        return err_set(err, -EINVAL, "\"%.64s\" cannot be the name of a bucket", bucket);
    if (bucket != NULL && strlen(bucket) >= STORE_BUCKET_MAX)
        return err_set(err, -ENAMETOOLONG, "the bucket's name has more than %d bytes",
                       STORE_BUCKET_MAX - 1);
    if (key != NULL && key[0] == '\0')
        return err_set(err, -EINVAL, "an object's key must not be empty");
    if (key != NULL && strlen(key) >= STORE_KEY_MAX)
        return err_set(err, -ENAMETOOLONG, "the key \"%.64s...\" has more than %d bytes", key,
                       STORE_KEY_MAX - 1);
    return 0;
}

/* Whether the bucket goes into the host's name. Auto: for Amazon, which wants it so. */
static int choose_style(const struct endpoint *e, enum store_style style, const char *bucket,
                        bool *in_host, struct err *err)
{
    *in_host = style == STORE_STYLE_VIRTUAL ||
               (style == STORE_STYLE_AUTO && e->aws && host_like(bucket, !e->tls));
    if (style == STORE_STYLE_VIRTUAL && (e->address || !host_like(bucket, true)))
        return err_set(err, -EINVAL,
                       "bucket %.64s of %s cannot be a part of a host's name; set style = \"path\"",
                       bucket, e->authority);
    return 0;
}

int target_make(const struct endpoint *e, enum store_style style, const char *bucket,
                const char *key, const char *query, struct target *out, struct err *err)
{
    *out = (struct target){0};
    bool in_host = false;
    int rc = check_names(bucket, key, err);
    if (rc == 0 && bucket != NULL)
        rc = choose_style(e, style, bucket, &in_host, err);
    if (rc < 0)
        return rc;
    auto_buf struct buf path = {0};
    buf_addc(&path, '/');
    if (bucket != NULL && !in_host) {
        buf_add_pct(&path, bucket, "");
        if (key != NULL)
            buf_addc(&path, '/');
    }
    if (key != NULL)
        buf_add_pct(&path, key, "/");
    out->host = in_host ? xasprintf("%s.%s", bucket, e->authority) : xstrdup(e->authority);
    out->url = xasprintf("%s://%s%s%s%s", e->tls ? "https" : "http", out->host, path.data,
                         query[0] != '\0' ? "?" : "", query);
    out->path = buf_take(&path);
    return 0;
}

void target_fini(struct target *t)
{
    free(t->url);
    free(t->host);
    free(t->path);
    *t = (struct target){0};
}

void query_add(struct buf *b, const char *name, const char *value)
{
    if (b->len > 0)
        buf_addc(b, '&');
    buf_add_pct(b, name, "");
    buf_addc(b, '=');
    buf_add_pct(b, value, "");
}
