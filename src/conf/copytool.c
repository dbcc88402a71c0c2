/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/copytool.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "conf/value_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define FILE_MOST (1 << 20)
#define MIB       (1024LL * 1024)

/* config.cfg, key by key. */
struct old_keys {
    char *access_key, *secret_key, *host, *bucket_prefix;
    int64_t bucket_count, chunk_size;
    bool ssl;
};

/* clang-format off */
#define F(field) offsetof(struct old_keys, field)
static const struct conf_key old_keys[] = {
    {"access_key", CONF_STRING, F(access_key), NULL, 0, 0, NULL, "access key of the S3 user"},
    {"secret_key", CONF_STRING, F(secret_key), NULL, 0, 0, NULL, "secret key of the S3 user"},
    {"host", CONF_STRING, F(host), NULL, 0, 0, NULL, "host:port of the S3 endpoint"},
    {"bucket_prefix", CONF_NAME, F(bucket_prefix), NULL, 0, 0, NULL, "the buckets' names before _0, _1, ..."},
    {"bucket_count", CONF_INT, F(bucket_count), NULL, 0, 65536, NULL, "how many buckets"},
    {"chunk_size", CONF_INT, F(chunk_size), NULL, 0, 2016 * MIB, NULL, "bytes of a file in one object"},
    {"ssl", CONF_BOOL, F(ssl), NULL, 0, 0, NULL, "whether the endpoint speaks TLS"},
};
#undef F
/* clang-format on */
#define OLD_KEYS (sizeof(old_keys) / sizeof(old_keys[0]))

static const struct conf_section old_section = {"", old_keys, OLD_KEYS, 0, 0, 0};

/* ---- whose file it is ---- */

/* Whether text has a line "name:" or "name =". */
static bool has_key(const char *text, const char *name, char sign)
{
    size_t n = strlen(name);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        const char *p = line + strspn(line, " \t");
        if (strncmp(p, name, n) != 0)
            continue;
        p += n;
        p += strspn(p, " \t");
        if (*p == sign || (sign == '=' && *p == ':'))
            return true;
    }
    return false;
}

int conf_dialect(const char *path, struct err *err)
{
    auto_free char *text = NULL;
    int rc = io_read_file(AT_FDCWD, path, FILE_MOST, &text, NULL, err);
    if (rc != 0)
        return err_wrap(err, rc, "read %s", path);
    if (has_key(text, "archive_path", ':') || has_key(text, "archive_format", ':'))
        return CONF_DIALECT_POSIX;
    if (has_key(text, "cluster_name", '=') && has_key(text, "pool_name", '='))
        return err_set(err, -ENOTSUP,
                       "%s is for the rados variant of the old copytool: only its S3 variant is "
                       "offered; put an S3 gateway before that pool",
                       path);
    bool old = has_key(text, "access_key", '=') && has_key(text, "host", '=') &&
               !has_key(text, "stores", '=');
    return old ? CONF_DIALECT_COPYTOOL : CONF_DIALECT_FIRN;
}

/* ---- config.cfg ---- */

static void replace(char **field, char *value)
{
    free(*field);
    *field = value;
}

static int64_t least_chunk(const struct conf_section *stores)
{
    for (size_t i = 0; i < stores->key_count; i++) {
        if (strcmp(stores->keys[i].name, "chunk_size") == 0)
            return stores->keys[i].min;
    }
    return 0;
}

/* Defaults of all keys of a store that have one. */
static int store_defaults(const struct conf_section *stores, struct conf_store *s, struct err *err)
{
    for (size_t i = 0; i < stores->key_count; i++) {
        const struct conf_key *k = &stores->keys[i];
        int rc = k->dflt != NULL ? conf_put_default(k, (char *)s + k->offset, err) : 0;
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int add_store(struct conf *c, const struct old_keys *o, struct err *err)
{
    const struct conf_section *stores = conf_find_section("stores");
    if (conf_find_store(c, CONF_COPYTOOL_STORE) != NULL)
        return err_set(err, -EINVAL,
                       "stores: the name " CONF_COPYTOOL_STORE " is taken by the file "
                       "of that name");
    c->stores = xrealloc_array(c->stores, c->store_count + 1, sizeof(*c->stores));
    struct conf_store *s = &c->stores[c->store_count++];
    *s = (struct conf_store){0};
    int rc = store_defaults(stores, s, err);
    if (rc != 0)
        return rc;
    int64_t least = least_chunk(stores);
    s->name = xstrdup(CONF_COPYTOOL_STORE);
    s->endpoint = xasprintf("%s://%s", o->ssl ? "https" : "http", o->host);
    s->bucket_prefix = xstrdup(o->bucket_prefix);
    s->bucket_count = o->bucket_count;
    if (o->chunk_size != 0)
        s->chunk_size = o->chunk_size > least ? o->chunk_size : least;
    replace(&s->style, xstrdup("path")); /* the old tool knew no other */
    replace(&s->access_key, xstrdup(o->access_key));
    replace(&s->secret_key, xstrdup(o->secret_key));
    replace(&c->lustre.store, xstrdup(CONF_COPYTOOL_STORE));
    return conf_check_stores(c, err);
}

static int check_host(const struct old_keys *o, struct err *err)
{
    if (o->host[0] == '\0' || strstr(o->host, "://") != NULL || strchr(o->host, '/') != NULL)
        return err_set(err, -EINVAL, "host = \"%s\": host or host:port is expected", o->host);
    return 0;
}

/* Reads path by the seven keys and adds its store. */
static int merge(const char *path, struct conf *c, struct err *err)
{
    config_t cfg;
    struct old_keys o = {0};
    config_init(&cfg);
    int rc = conf_read_file(&cfg, path, err);
    if (rc == 0)
        rc = conf_load_group(path, &old_section, config_root_setting(&cfg), (char *)&o, err);
    if (rc == 0 && (rc = check_host(&o, err)) == 0)
        rc = add_store(c, &o, err);
    if (rc != 0 && strncmp(err->text, path, strlen(path)) != 0)
        (void)err_wrap(err, rc, "%s", path);
    config_destroy(&cfg);
    conf_fini_keys(old_keys, OLD_KEYS, (char *)&o);
    return rc;
}

/* firn.conf at base, or all defaults. */
static int load_base(const char *base, struct conf **out, struct err *err)
{
    if (base != NULL && access(base, F_OK) == 0)
        return conf_load(base, out, err);
    config_t cfg;
    config_init(&cfg);
    auto_conf struct conf *c = xzalloc(sizeof(*c));
    int rc = conf_load_all("defaults", &cfg, c, err);
    config_destroy(&cfg);
    if (rc == 0)
        *out = take_ptr(c);
    return rc;
}

int conf_load_copytool(const char *path, const char *base, struct conf **out, struct err *err)
{
    struct err own = {0};
    struct err *e = err != NULL ? err : &own;
    auto_conf struct conf *c = NULL;
    int rc = load_base(base, &c, e);
    if (rc == 0 && path != NULL)
        rc = merge(path, c, e);
    if (rc == 0)
        *out = take_ptr(c);
    return rc;
}

/* ---- lhsmtool_posix' file ---- */

/* The value behind the colon, without blanks, quotes and comment; the caller frees. */
static char *yaml_value(const char *p)
{
    p += strspn(p, " \t");
    char quote = *p == '"' || *p == '\'' ? *p : '\0';
    if (quote != '\0') {
        const char *end = strchr(++p, quote);
        return xstrndup(p, end != NULL ? (size_t)(end - p) : strlen(p));
    }
    size_t n = strcspn(p, "#\r\n");
    while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t'))
        n--;
    return xstrndup(p, n);
}

static int yaml_line(const char *line, char **root, char **format, struct err *err)
{
    const char *p = line + strspn(line, " \t\r");
    size_t n = strcspn(p, ": \t\r");
    if (*p == '\0' || *p == '#' || strcmp(p, "---") == 0 || strcmp(p, "...") == 0)
        return 0;
    const char *colon = p + n + strspn(p + n, " \t");
    if (*colon != ':')
        return err_set(err, -EINVAL, "\"key: value\" is expected");
    if (n == strlen("archive_path") && strncmp(p, "archive_path", n) == 0)
        replace(root, yaml_value(colon + 1));
    else if (n == strlen("archive_format") && strncmp(p, "archive_format", n) == 0)
        replace(format, yaml_value(colon + 1));
    else
        return err_set(err, -EINVAL, "unknown key %.*s; known are archive_path, archive_format",
                       (int)n, p);
    return 0;
}

int conf_load_posix(const char *path, char **root, char **format, struct err *err)
{
    auto_free char *text = NULL, *r = NULL, *f = NULL;
    int rc = io_read_file(AT_FDCWD, path, FILE_MOST, &text, NULL, err);
    if (rc != 0)
        return err_wrap(err, rc, "read %s", path);
    unsigned number = 0;
    for (char *line = text, *next = NULL; line != NULL; line = next) {
        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        number++;
        rc = yaml_line(line, &r, &f, err);
        if (rc != 0)
            return err_wrap(err, rc, "%s:%u", path, number);
    }
    *root = take_ptr(r);
    *format = take_ptr(f);
    return 0;
}
