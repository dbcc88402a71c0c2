/* SPDX-License-Identifier: Apache-2.0 */
/* One value of one key: from libconfig or from its default's text into the field. */
#include "conf/value_impl.h"

#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_CHARS 64

void conf_list_fini(struct conf_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->items[i]);
    free(l->items);
    *l = (struct conf_list){0};
}

static void list_add(struct conf_list *l, const char *s, size_t n)
{
    l->items = xrealloc_array(l->items, l->count + 1, sizeof(char *));
    l->items[l->count++] = xstrndup(s, n);
}

static void set_string(void *field, const char *s, size_t n)
{
    char **p = field;
    free(*p);
    *p = xstrndup(s, n);
}

int conf_parse_size(const char *s, int64_t *out)
{
    static const char units[] = "KMGT";
    char *end = NULL;
    errno = 0;
    long long v = strtoll(s, &end, 10);
    if (errno != 0 || end == s || v < 0)
        return -EINVAL;
    while (*end == ' ')
        end++;
    const char *u = *end != '\0' ? strchr(units, *end) : NULL;
    if (u != NULL && strcmp(end + 1, "iB") == 0) {
        for (const char *k = units; k <= u; k++) {
            if (v > INT64_MAX / 1024)
                return -EINVAL;
            v *= 1024;
        }
    } else if (*end != '\0' && strcmp(end, "B") != 0) {
        return -EINVAL;
    }
    *out = v;
    return 0;
}

static bool is_name(const char *s)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++) {
        if (!isalnum((unsigned char)s[i]) && strchr("-_.", s[i]) == NULL)
            return false;
    }
    return n >= 1 && n <= NAME_MAX_CHARS;
}

static bool is_choice(const char *choices, const char *s)
{
    size_t n = strlen(s);
    for (const char *c = choices; c != NULL; c = strchr(c, '|')) {
        c += *c == '|';
        if (strncmp(c, s, n) == 0 && (c[n] == '|' || c[n] == '\0') && n > 0)
            return true;
    }
    return false;
}

static int put_string(const struct conf_key *k, void *field, const char *s, struct err *err)
{
    size_t n = strlen(s);
    if (k->type == CONF_NAME && !is_name(s))
        return err_set(err, -EINVAL,
                       "%s = \"%s\": 1 to 64 letters, digits, '-', '_' or '.' expected", k->name,
                       s);
    if (k->type == CONF_PATH && s[0] != '/')
        return err_set(err, -EINVAL, "%s = \"%s\": an absolute path is expected", k->name, s);
    if (k->type == CONF_CHOICE && !is_choice(k->choices, s))
        return err_set(err, -EINVAL, "%s = \"%s\": one of %s is expected", k->name, s, k->choices);
    while (k->type == CONF_PATH && n > 1 && s[n - 1] == '/')
        n--;
    set_string(field, s, n);
    return 0;
}

static int put_number(const struct conf_key *k, void *field, int64_t v, struct err *err)
{
    if (v < k->min || v > k->max)
        return err_set(err, -EINVAL, "%s = %lld: must lie between %lld and %lld", k->name,
                       (long long)v, (long long)k->min, (long long)k->max);
    *(int64_t *)field = v;
    return 0;
}

int conf_put_default(const struct conf_key *k, void *field, struct err *err)
{
    if (k->dflt == NULL)
        return err_set(err, -EINVAL, "%s is missing: %s", k->name, k->help);
    int64_t v = 0;
    switch (k->type) {
    case CONF_INT:
    case CONF_SIZE:
        (void)conf_parse_size(k->dflt, &v);
        return put_number(k, field, v, err);
    case CONF_BOOL:
        *(bool *)field = strcmp(k->dflt, "true") == 0;
        return 0;
    case CONF_LIST:
        for (const char *s = k->dflt; s != NULL && *s != '\0';) {
            const char *comma = strchr(s, ',');
            list_add(field, s, comma != NULL ? (size_t)(comma - s) : strlen(s));
            s = comma != NULL ? comma + 1 : NULL;
        }
        return 0;
    default:
        return put_string(k, field, k->dflt, err);
    }
}

static int put_list(const struct conf_key *k, void *field, const config_setting_t *s,
                    struct err *err)
{
    int n = config_setting_length(s);
    for (int i = 0; i < n; i++) {
        const char *item = config_setting_get_string_elem(s, i);
        if (item == NULL)
            return err_set(err, -EINVAL, "%s: every element must be a string", k->name);
        list_add(field, item, strlen(item));
    }
    return 0;
}

static int wrong_type(const struct conf_key *k, const char *expected, struct err *err)
{
    return err_set(err, -EINVAL, "%s: %s is expected", k->name, expected);
}

static int put_size_or_int(const struct conf_key *k, void *field, const config_setting_t *s,
                           struct err *err)
{
    int type = config_setting_type(s);
    if (type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64)
        return put_number(k, field, config_setting_get_int64(s), err);
    int64_t v = 0;
    if (k->type == CONF_SIZE && type == CONFIG_TYPE_STRING &&
        conf_parse_size(config_setting_get_string(s), &v) == 0)
        return put_number(k, field, v, err);
    return wrong_type(
        k, k->type == CONF_SIZE ? "a number of bytes or a text such as \"64MiB\"" : "a number",
        err);
}

int conf_put_setting(const struct conf_key *k, void *field, const config_setting_t *s,
                     struct err *err)
{
    int type = config_setting_type(s);
    switch (k->type) {
    case CONF_INT:
    case CONF_SIZE:
        return put_size_or_int(k, field, s, err);
    case CONF_BOOL:
        if (type != CONFIG_TYPE_BOOL)
            return wrong_type(k, "true or false", err);
        *(bool *)field = config_setting_get_bool(s) != 0;
        return 0;
    case CONF_LIST:
        if (type != CONFIG_TYPE_LIST && type != CONFIG_TYPE_ARRAY)
            return wrong_type(k, "a list of strings, [\"a\", \"b\"],", err);
        return put_list(k, field, s, err);
    default:
        if (type != CONFIG_TYPE_STRING)
            return wrong_type(k, "a string", err);
        return put_string(k, field, config_setting_get_string(s), err);
    }
}
