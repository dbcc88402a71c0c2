/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_impl.h"

#include "base/mem.h"
#include "base/timefmt.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BLANKS " \t\r"

static void wipe(char **s)
{
    if (*s != NULL)
        OPENSSL_cleanse(*s, strlen(*s));
    free(*s);
    *s = NULL;
}

void creds_value_fini(struct creds_value *v)
{
    wipe(&v->access_key);
    wipe(&v->secret_key);
    wipe(&v->token);
}

/* The n bytes at *s without blanks at their ends. */
static size_t trim(const char **s, size_t n)
{
    while (n > 0 && strchr(BLANKS, **s) != NULL) {
        (*s)++;
        n--;
    }
    while (n > 0 && strchr(BLANKS, (*s)[n - 1]) != NULL)
        n--;
    return n;
}

/* Whether the section's head (n bytes, between the brackets) is of the profile: "[x]", or
 * "[profile x]" as in the config file. */
static bool section_is(const char *s, size_t n, const char *profile)
{
    n = trim(&s, n);
    if (n > 8 && strncmp(s, "profile", 7) == 0 && strchr(" \t", s[7]) != NULL) {
        s += 8;
        n = trim(&s, n - 8);
    }
    return n == strlen(profile) && memcmp(s, profile, n) == 0;
}

static bool key_is(const char *s, size_t n, const char *key)
{
    return n == strlen(key) && strncasecmp(s, key, n) == 0;
}

static void replace(char **to, const char *s, size_t n)
{
    wipe(to);
    *to = xstrndup(s, n);
}

/* One "key = value" of the profile. Returns 0 or -EINVAL. */
static int take_pair(const char *line, size_t n, struct creds_value *out, int64_t *expires_ns)
{
    const char *eq = memchr(line, '=', n);
    if (eq == NULL)
        return -EINVAL;
    const char *key = line, *value = eq + 1;
    size_t nk = trim(&key, (size_t)(eq - line)), nv = trim(&value, n - (size_t)(value - line));
    if (key_is(key, nk, "aws_access_key_id")) {
        replace(&out->access_key, value, nv);
    } else if (key_is(key, nk, "aws_secret_access_key")) {
        replace(&out->secret_key, value, nv);
    } else if (key_is(key, nk, "aws_session_token") || key_is(key, nk, "aws_security_token")) {
        replace(&out->token, value, nv);
    } else if (key_is(key, nk, "aws_expiration") || key_is(key, nk, "x_security_token_expires") ||
               key_is(key, nk, "aws_credential_expiration")) {
        char *text = xstrndup(value, nv);
        size_t len = strlen(text);
        if (len > 6 && (strcmp(text + len - 6, "+00:00") == 0))
            text[len - 6] = '\0';
        int rc = timefmt_parse_iso(text, expires_ns);
        free(text);
        return rc;
    }
    return 0;
}

static int check(const struct creds_value *v, bool found, const char *profile, struct err *err)
{
    if (!found)
        return err_set(err, -ENOENT, "there is no profile [%.64s]", profile);
    if (v->access_key == NULL || v->access_key[0] == '\0')
        return err_set(err, -EINVAL, "profile [%.64s] has no aws_access_key_id", profile);
    if (v->secret_key == NULL || v->secret_key[0] == '\0')
        return err_set(err, -EINVAL, "profile [%.64s] has no aws_secret_access_key", profile);
    return 0;
}

/* The parse of one text, line by line. */
struct parse {
    const char *profile;
    struct creds_value value;
    int64_t expires_ns;
    bool inside, found;
    unsigned number;
};

/* One line of whole bytes, its end left out. */
static int take_line(struct parse *p, const char *line, size_t whole, struct err *err)
{
    const char *s = line;
    size_t n = trim(&s, whole);
    p->number++;
    if (memchr(s, '\0', n) != NULL)
        return err_set(err, -EINVAL, "line %u holds a NUL", p->number);
    if (n == 0 || s[0] == '#' || s[0] == ';')
        return 0;
    if (s[0] == '[') {
        const char *close = memchr(s, ']', n);
        if (close == NULL)
            return err_set(err, -EINVAL, "line %u: the bracket is not closed", p->number);
        p->inside = section_is(s + 1, (size_t)(close - s) - 1, p->profile);
        p->found = p->found || p->inside;
        return 0;
    }
    /* An indented line belongs to a key of other tools. */
    if (p->inside && s == line && take_pair(s, n, &p->value, &p->expires_ns) < 0)
        return err_set(err, -EINVAL, "line %u is no \"key = value\", or its value is broken",
                       p->number);
    return 0;
}

int creds_parse(const char *text, size_t len, const char *profile, struct creds_value *out,
                int64_t *expires_ns, struct err *err)
{
    struct parse p = {.profile = profile};
    int rc = 0;
    for (const char *at = text, *end = text + len; at < end && rc == 0;) {
        const char *nl = memchr(at, '\n', (size_t)(end - at));
        size_t whole = nl != NULL ? (size_t)(nl - at) : (size_t)(end - at);
        rc = take_line(&p, at, whole, err);
        at += whole + (nl != NULL);
    }
    if (rc == 0)
        rc = check(&p.value, p.found, profile, err);
    if (rc == 0 && p.value.token != NULL && p.value.token[0] == '\0')
        wipe(&p.value.token);
    if (rc < 0) {
        creds_value_fini(&p.value);
        return rc;
    }
    *out = p.value;
    *expires_ns = p.expires_ns;
    return 0;
}
