/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/uri.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Decodes n bytes of s to *out, which moves behind the NUL that ends the text. */
static int decode(const char *s, size_t n, bool plus_is_blank, char **out)
{
    char *to = *out;
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        if (c == '%') {
            int hi = i + 2 < n ? hex_value(s[i + 1]) : -1;
            int lo = hi >= 0 ? hex_value(s[i + 2]) : -1;
            if (lo < 0 || (hi == 0 && lo == 0))
                return -EINVAL;
            c = (char)(hi * 16 + lo);
            i += 2;
        } else if (c == '+' && plus_is_blank) {
            c = ' ';
        }
        *to++ = c;
    }
    *to++ = '\0';
    *out = to;
    return 0;
}

/* Length of the bucket's name in host when host is NAME.domain, else 0. */
static size_t bucket_in_host(const char *host, const char *domain)
{
    size_t d = strlen(domain);
    if (d == 0)
        return 0;
    const char *colon = strrchr(host, ':');
    size_t h = colon != NULL ? (size_t)(colon - host) : strlen(host);
    if (h <= d + 1 || host[h - d - 1] != '.' || strncasecmp(host + h - d, domain, d) != 0)
        return 0;
    return h - d - 1;
}

static int parse_query(const char *query, struct uri *u, char **mem)
{
    while (*query != '\0') {
        size_t n = strcspn(query, "&");
        if (n > 0) {
            if (u->n_params == URI_PARAMS_MAX)
                return -E2BIG;
            struct s3_param *p = &u->params[u->n_params++];
            const char *eq = memchr(query, '=', n);
            size_t name_len = eq == NULL ? n : (size_t)(eq - query);
            p->had_equals = eq != NULL;
            p->name = *mem;
            if (decode(query, name_len, true, mem) < 0)
                return -EINVAL;
            p->value = *mem;
            if (decode(eq == NULL ? "" : eq + 1, eq == NULL ? 0 : n - name_len - 1, true, mem) < 0)
                return -EINVAL;
        }
        query += n;
        if (*query == '&')
            query++;
    }
    return 0;
}

static int parse_names(const char *path, const char *host, const char *domain, struct uri *u,
                       char **mem)
{
    path++; /* the leading slash, which the head's parser has seen */
    size_t in_host = bucket_in_host(host, domain);
    u->virtual_host = in_host > 0;
    u->bucket = *mem;
    if (in_host > 0) {
        for (size_t i = 0; i < in_host; i++)
            *(*mem)++ = (char)(host[i] >= 'A' && host[i] <= 'Z' ? host[i] + 32 : host[i]);
        *(*mem)++ = '\0';
    } else {
        size_t n = strcspn(path, "/");
        if (decode(path, n, false, mem) < 0)
            return -EINVAL;
        path += n;
        if (*path == '/')
            path++;
    }
    u->key = *mem;
    return decode(path, strlen(path), false, mem);
}

enum s3_error uri_parse(const char *target, const char *host, const char *domain, struct uri *u)
{
    *u = (struct uri){0};
    size_t path_len = strcspn(target, "?");
    /* Decoding never grows a text; each piece adds one NUL. */
    u->memory =
        xzalloc(2 * strlen(target) + path_len + strlen(host) + 2 * (size_t)URI_PARAMS_MAX + 16);
    char *mem = u->memory;
    memcpy(mem, target, path_len);
    u->raw_path = mem;
    mem += path_len + 1;
    int rc = parse_names(u->raw_path, host, domain, u, &mem);
    if (rc == 0 && target[path_len] == '?')
        rc = parse_query(target + path_len + 1, u, &mem);
    if (rc < 0) {
        uri_fini(u);
        return S3_ERR_INVALID_URI;
    }
    return S3_ERR_NONE;
}

void uri_fini(struct uri *u)
{
    free(u->memory);
    u->memory = NULL;
}

#define PLAIN                                                                                      \
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/" /* stays as it is */

void uri_canonical_path(struct buf *b, const char *path)
{
    while (*path != '\0') {
        char one[2] = {0};
        size_t plain = strspn(path, PLAIN);
        if (plain > 0) {
            buf_add(b, path, plain);
            path += plain;
            continue;
        }
        if (*path == '%') {
            one[0] = (char)(hex_value(path[1]) * 16 + hex_value(path[2]));
            path += 3;
        } else {
            one[0] = *path++;
        }
        buf_add_pct(b, one,
                    ""); /* a slash that came escaped stays so: only a plain one separates */
    }
}

#define QUERY_BYTES                                                                                \
    1000 /* most presigned queries; with what a buffer adds, malloc keeps it at hand */

/* Where an encoded parameter lies in the text of them all. */
struct encoded {
    const char *name, *value;
};

static int compare(const void *a, const void *b)
{
    const struct encoded *x = a, *y = b;
    int d = strcmp(x->name, y->name);
    return d != 0 ? d : strcmp(x->value, y->value);
}

/* Appends s encoded and a NUL; returns where it begins, as an offset. */
static size_t encode(struct buf *b, const char *s)
{
    size_t at = b->len;
    buf_add_pct(b, s, "");
    buf_add(b, "", 1);
    return at;
}

void uri_canonical_query(struct buf *b, const struct s3_param *params, size_t n, const char *skip)
{
    auto_buf struct buf text = {0};
    struct encoded e[URI_PARAMS_MAX];
    size_t at[URI_PARAMS_MAX][2], m = 0;
    if (n > 0)
        buf_reserve(&text, QUERY_BYTES);
    for (size_t i = 0; i < n && m < URI_PARAMS_MAX; i++) {
        if (skip != NULL && strcmp(params[i].name, skip) == 0)
            continue;
        at[m][0] = encode(&text, params[i].name);
        at[m++][1] = encode(&text, params[i].value);
    }
    for (size_t i = 0; i < m; i++)
        e[i] = (struct encoded){text.data + at[i][0], text.data + at[i][1]};
    if (m > 1)
        qsort(e, m, sizeof(e[0]), compare);
    for (size_t i = 0; i < m; i++) {
        if (i > 0)
            buf_addc(b, '&');
        buf_adds(b, e[i].name);
        buf_addc(b, '=');
        buf_adds(b, e[i].value);
    }
}
