/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "conf/value_impl.h"

#include <errno.h>
#include <libconfig.h>
#include <stdlib.h>
#include <string.h>

#define PACK_MIN (1024 * 1024) /* bytes; smaller ones save little */

void conf_fini_keys(const struct conf_key *keys, size_t n, char *base)
{
    for (size_t i = 0; i < n; i++) {
        void *field = base + keys[i].offset;
        if (keys[i].type == CONF_LIST)
            conf_list_fini(field);
        else if (keys[i].type <= CONF_CHOICE)
            free(*(char **)field);
    }
}

void conf_free(struct conf *c)
{
    if (c == NULL)
        return;
    for (size_t s = 0; s < conf_section_count; s++) {
        const struct conf_section *sec = &conf_sections[s];
        if (sec->size == 0) {
            conf_fini_keys(sec->keys, sec->key_count, (char *)c + sec->offset);
            continue;
        }
        char **array = (char **)(void *)((char *)c + sec->offset);
        size_t n = *(size_t *)(void *)((char *)c + sec->count_offset);
        for (size_t i = 0; i < n; i++)
            conf_fini_keys(sec->keys, sec->key_count, *array + i * sec->size);
        free(*array);
    }
    free(c);
}

static int at_line(const char *path, const config_setting_t *s, struct err *err, int rc)
{
    return err_wrap(err, rc, "%s:%u", path, config_setting_source_line(s));
}

static const struct conf_key *find_key(const struct conf_section *sec, const char *name)
{
    for (size_t i = 0; i < sec->key_count; i++) {
        if (strcmp(sec->keys[i].name, name) == 0)
            return &sec->keys[i];
    }
    return NULL;
}

const struct conf_section *conf_find_section(const char *name)
{
    for (size_t i = 1; i < conf_section_count; i++) {
        if (strcmp(conf_sections[i].name, name) == 0)
            return &conf_sections[i];
    }
    return NULL;
}

/* Every member of group s must be a key of sec (or, at the top, a section). */
static int refuse_unknown(const char *path, const struct conf_section *sec, config_setting_t *s,
                          struct err *err)
{
    int n = config_setting_length(s);
    for (int i = 0; i < n; i++) {
        config_setting_t *m = config_setting_get_elem(s, (unsigned)i);
        const char *name = config_setting_name(m);
        if (find_key(sec, name) != NULL ||
            (sec->name[0] == '\0' && conf_find_section(name) != NULL))
            continue;
        auto_buf struct buf known = {0};
        for (size_t k = 0; k < sec->key_count; k++)
            buf_addf(&known, "%s%s", k > 0 ? ", " : "", sec->keys[k].name);
        err_set(err, -EINVAL, "unknown key %s%s%s; known are %s", sec->name,
                sec->name[0] != '\0' ? "." : "", name, known.data);
        return at_line(path, m, err, -EINVAL);
    }
    return 0;
}

/* Fills the struct at base from group s (NULL: all defaults). */
int conf_load_group(const char *path, const struct conf_section *sec, config_setting_t *s,
                    char *base, struct err *err)
{
    if (s != NULL && refuse_unknown(path, sec, s, err) < 0)
        return -EINVAL;
    for (size_t i = 0; i < sec->key_count; i++) {
        const struct conf_key *k = &sec->keys[i];
        const config_setting_t *m = s != NULL ? config_setting_get_member(s, k->name) : NULL;
        int rc = m != NULL ? conf_put_setting(k, base + k->offset, m, err)
                           : conf_put_default(k, base + k->offset, err);
        if (rc < 0 && sec->name[0] != '\0')
            (void)err_wrap(err, rc, "%s", sec->name);
        if (rc < 0)
            return m != NULL || s != NULL ? at_line(path, m != NULL ? m : s, err, rc) : rc;
    }
    return 0;
}

static int load_list(const char *path, const struct conf_section *sec, config_setting_t *s,
                     struct conf *c, struct err *err)
{
    int n = config_setting_length(s);
    char **array = (char **)(void *)((char *)c + sec->offset);
    size_t *count = (size_t *)(void *)((char *)c + sec->count_offset);
    *array = xzalloc((size_t)n * sec->size);
    for (int i = 0; i < n; i++) {
        config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
        (*count)++;
        if (!config_setting_is_group(e)) {
            err_set(err, -EINVAL, "%s: every element must be a group { ... }", sec->name);
            return at_line(path, s, err, -EINVAL);
        }
        int rc = conf_load_group(path, sec, e, *array + (size_t)i * sec->size, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int load_section(const char *path, const struct conf_section *sec, config_setting_t *root,
                        struct conf *c, struct err *err)
{
    if (sec->name[0] == '\0')
        return conf_load_group(path, sec, root, (char *)c, err);
    config_setting_t *s = config_setting_get_member(root, sec->name);
    if (sec->size == 0) {
        if (s != NULL && !config_setting_is_group(s)) {
            err_set(err, -EINVAL, "%s: a group { ... } is expected", sec->name);
            return at_line(path, s, err, -EINVAL);
        }
        return conf_load_group(path, sec, s, (char *)c + sec->offset, err);
    }
    if (s == NULL)
        return 0;
    if (!config_setting_is_list(s)) {
        err_set(err, -EINVAL, "%s: a list ( { ... }, { ... } ) is expected", sec->name);
        return at_line(path, s, err, -EINVAL);
    }
    return load_list(path, sec, s, c, err);
}

static bool lies_in(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    if (strcmp(dir, "/") == 0)
        return path[0] == '/';
    return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

static int check_filesystems(const struct conf *c, struct err *err)
{
    for (size_t i = 0; i < c->filesystem_count; i++) {
        const struct conf_filesystem *f = &c->filesystems[i];
        if (lies_in(c->state_dir, f->path))
            return err_set(err, -EINVAL,
                           "state_dir %s lies in the managed file system %s (%s); put it elsewhere",
                           c->state_dir, f->name, f->path);
        for (size_t k = 0; k < i; k++) {
            const struct conf_filesystem *g = &c->filesystems[k];
            if (strcmp(f->name, g->name) == 0)
                return err_set(err, -EINVAL, "filesystems: the name %s is used twice", f->name);
            if (lies_in(f->path, g->path) || lies_in(g->path, f->path))
                return err_set(err, -EINVAL, "filesystems: %s and %s overlap", f->path, g->path);
        }
    }
    return 0;
}

static int check_libraries(const struct conf *c, struct err *err)
{
    for (size_t i = 0; i < c->library_count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (strcmp(c->libraries[i].name, c->libraries[k].name) == 0)
                return err_set(err, -EINVAL, "libraries: the name %s is used twice",
                               c->libraries[i].name);
            if (strcmp(c->libraries[i].path, c->libraries[k].path) == 0)
                return err_set(err, -EINVAL, "libraries: %s and %s share the path %s",
                               c->libraries[i].name, c->libraries[k].name, c->libraries[i].path);
        }
    }
    return 0;
}

static int check_packs(const struct conf_store *s, struct err *err)
{
    if (s->pack_size == 0)
        return 0;
    if (s->pack_size < PACK_MIN)
        return err_set(err, -EINVAL,
                       "stores: %s: pack_size = %lld: must be 0 (no packs) or at least 1MiB",
                       s->name, (long long)s->pack_size);
    if (s->pack_file > s->pack_size / 4)
        return err_set(
            err, -EINVAL,
            "stores: %s: pack_file = %lld: must be a quarter of pack_size (%lld) at most", s->name,
            (long long)s->pack_file, (long long)s->pack_size);
    return 0;
}

static int check_store(const struct conf_store *s, struct err *err)
{
    bool keys = s->access_key[0] != '\0';
    bool underscore = strchr(s->bucket_prefix, '_') != NULL ||
                      (s->bucket_count > 1 && s->bucket_separator[0] == '_');
    if (strncmp(s->endpoint, "http://", 7) != 0 && strncmp(s->endpoint, "https://", 8) != 0 &&
        strncmp(s->endpoint, "file:///", 8) != 0)
        return err_set(err, -EINVAL,
                       "stores: %s: endpoint \"%s\" must begin with https:// or http:// (or "
                       "file:/// for a directory)",
                       s->name, s->endpoint);
    if (keys != (s->secret_key[0] != '\0'))
        return err_set(err, -EINVAL, "stores: %s: access_key and secret_key go together", s->name);
    if (strcmp(s->style, "virtual") == 0 && underscore)
        return err_set(err, -EINVAL,
                       "stores: %s: the buckets' names have an underscore, which style = "
                       "\"virtual\" cannot carry; set bucket_separator = \"-\" or style = "
                       "\"path\"",
                       s->name);
    return check_packs(s, err);
}

/* Two stores that are one place would take each other's copies for their own. */
static int check_other_place(const struct conf *c, size_t i, struct err *err)
{
    const struct conf_store *s = &c->stores[i];
    for (size_t k = 0; k < i; k++) {
        const struct conf_store *o = &c->stores[k];
        if (strcmp(o->endpoint, s->endpoint) == 0 &&
            strcmp(o->bucket_prefix, s->bucket_prefix) == 0 &&
            strcmp(o->key_prefix, s->key_prefix) == 0)
            return err_set(err, -EINVAL,
                           "stores: %s and %s are the same place; give one of them another "
                           "bucket_prefix or key_prefix",
                           o->name, s->name);
    }
    return 0;
}

static int check_pool(const struct conf *c, size_t i, struct err *err)
{
    const char *name = c->pools[i].library;
    if (conf_find_library(c, name) != NULL)
        return 0;
    if (conf_find_store(c, name) == NULL)
        return err_set(err, -EINVAL,
                       "pools: %s names the library or store %s, which is not configured",
                       c->pools[i].name, name);
    for (size_t k = 0; k < i; k++) {
        if (strcmp(c->pools[k].library, name) == 0)
            return err_set(err, -EINVAL,
                           "pools: a store is one pool; %s and %s both name the store %s",
                           c->pools[k].name, c->pools[i].name, name);
    }
    return 0;
}

int conf_check_stores(const struct conf *c, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < c->store_count; i++) {
        const struct conf_store *s = &c->stores[i];
        rc = check_store(s, err);
        if (rc == 0 && (conf_find_library(c, s->name) != NULL || conf_find_store(c, s->name) != s))
            rc = err_set(err, -EINVAL, "stores: the name %s is used twice", s->name);
        if (rc == 0)
            rc = check_other_place(c, i, err);
    }
    for (size_t i = 0; rc == 0 && i < c->pool_count; i++)
        rc = check_pool(c, i, err);
    if (rc == 0 && c->lustre.store[0] != '\0' && conf_find_store(c, c->lustre.store) == NULL)
        rc = err_set(err, -EINVAL, "lustre: the store %s is not configured", c->lustre.store);
    return rc;
}

static void replace_string(char **field, char *value)
{
    free(*field);
    *field = value;
}

/* Defaults that depend on other keys. */
static void derive(struct conf *c)
{
    if (c->socket[0] == '\0')
        replace_string(&c->socket, xasprintf("%s/firnd.sock", c->run_dir));
    if (c->watch.socket[0] == '\0')
        replace_string(&c->watch.socket, xasprintf("%s/watch.sock", c->run_dir));
    if (c->policy.work_dir[0] == '\0')
        replace_string(&c->policy.work_dir, xasprintf("%s/policy", c->state_dir));
    if (c->s3.filesystem[0] == '\0' && c->filesystem_count == 1)
        replace_string(&c->s3.filesystem, xstrdup(c->filesystems[0].name));
    const struct conf_filesystem *f = conf_find_filesystem(c, c->s3.filesystem);
    if (c->s3.buckets[0] == '\0' && f != NULL)
        replace_string(&c->s3.buckets, xasprintf("%s/buckets", f->path));
}

static int check_s3(const struct conf *c, struct err *err)
{
    if (c->s3.filesystem[0] == '\0')
        return 0;
    const struct conf_filesystem *f = conf_find_filesystem(c, c->s3.filesystem);
    if (f == NULL)
        return err_set(err, -EINVAL, "s3.filesystem = \"%s\": no such file system is configured",
                       c->s3.filesystem);
    if (!lies_in(c->s3.buckets, f->path))
        return err_set(err, -EINVAL, "s3.buckets = \"%s\" does not lie in the file system %s (%s)",
                       c->s3.buckets, f->name, f->path);
    return 0;
}

int conf_load_all(const char *path, config_t *cfg, struct conf *c, struct err *err)
{
    config_setting_t *root = config_root_setting(cfg);
    for (size_t i = 0; i < conf_section_count; i++) {
        int rc = load_section(path, &conf_sections[i], root, c, err);
        if (rc < 0)
            return rc;
    }
    derive(c);
    int rc = check_filesystems(c, err);
    if (rc == 0)
        rc = check_libraries(c, err);
    if (rc == 0)
        rc = conf_check_stores(c, err);
    if (rc == 0)
        rc = check_s3(c, err);
    return rc < 0 ? err_wrap(err, rc, "%s", path) : 0;
}

int conf_read_file(config_t *cfg, const char *path, struct err *err)
{
    errno = 0;
    if (config_read_file(cfg, path) == CONFIG_TRUE)
        return 0;
    if (config_error_type(cfg) == CONFIG_ERR_FILE_IO)
        return err_sys(err, errno != 0 ? errno : ENOENT, "read %s", path);
    const char *file = config_error_file(cfg);
    return err_set(err, -EINVAL, "%s:%d: %s", file != NULL ? file : path, config_error_line(cfg),
                   config_error_text(cfg));
}

int conf_load(const char *path, struct conf **out, struct err *err)
{
    config_t cfg;
    config_init(&cfg);
    auto_conf struct conf *c = xzalloc(sizeof(*c));
    int rc = conf_read_file(&cfg, path, err);
    if (rc == 0)
        rc = conf_load_all(path, &cfg, c, err);
    config_destroy(&cfg);
    if (rc == 0)
        *out = take_ptr(c);
    return rc;
}

const struct conf_filesystem *conf_find_filesystem(const struct conf *c, const char *name)
{
    for (size_t i = 0; i < c->filesystem_count; i++) {
        const struct conf_filesystem *f = &c->filesystems[i];
        if (strcmp(f->name, name) == 0 || (name[0] == '/' && lies_in(name, f->path)))
            return f;
    }
    return NULL;
}

const struct conf_store *conf_find_store(const struct conf *c, const char *name)
{
    for (size_t i = 0; i < c->store_count; i++) {
        if (strcmp(c->stores[i].name, name) == 0)
            return &c->stores[i];
    }
    return NULL;
}

const struct conf_library *conf_find_library(const struct conf *c, const char *name)
{
    for (size_t i = 0; i < c->library_count; i++) {
        if (strcmp(c->libraries[i].name, name) == 0)
            return &c->libraries[i];
    }
    return NULL;
}

static char *allowed_values(const struct conf_key *k)
{
    static const char *const words[] = {[CONF_STRING] = "string",
                                        [CONF_NAME] = "name",
                                        [CONF_PATH] = "absolute path",
                                        [CONF_BOOL] = "boolean",
                                        [CONF_LIST] = "list of strings"};
    if (k->type == CONF_CHOICE)
        return xstrdup(k->choices);
    if (k->type == CONF_INT || k->type == CONF_SIZE)
        return xasprintf("%lld to %lld", (long long)k->min, (long long)k->max);
    return xstrdup(words[k->type]);
}

void conf_describe(void (*row)(void *ctx, const char *section, const char *name, const char *dflt,
                               const char *allows, const char *help),
                   void *ctx)
{
    for (size_t s = 0; s < conf_section_count; s++) {
        const struct conf_section *sec = &conf_sections[s];
        auto_free char *section = xasprintf("%s%s", sec->name, sec->size > 0 ? "[]" : "");
        for (size_t i = 0; i < sec->key_count; i++) {
            const struct conf_key *k = &sec->keys[i];
            auto_free char *a = allowed_values(k);
            row(ctx, section, k->name, k->dflt != NULL ? k->dflt : "", a, k->help);
        }
    }
}
