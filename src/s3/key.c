/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/key.h"

#include <string.h>

static bool reserved(const char *p, size_t n)
{
    static const struct {
        const char *text;
        bool prefix;
    } names[] = {{".firn", true}, {".noobaa-nsfs", true}, {".versions", false}, {".folder", false}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t len = strlen(names[i].text);
        if (n >= len && memcmp(p, names[i].text, len) == 0 && (names[i].prefix || n == len))
            return true;
    }
    return false;
}

bool key_name_reserved(const char *name)
{
    return reserved(name, strlen(name));
}

static enum key_fault component_check(const char *p, size_t n)
{
    if (n == 0)
        return KEY_SLASHES;
    if (n > KEY_NAME_MAX)
        return KEY_COMPONENT;
    if (p[0] == '.' && (n == 1 || (n == 2 && p[1] == '.')))
        return KEY_DOTS;
    return reserved(p, n) ? KEY_RESERVED : KEY_OK;
}

enum key_fault key_check(const char *key, size_t len)
{
    if (len == 0)
        return KEY_EMPTY;
    if (len > KEY_MAX)
        return KEY_TOO_LONG;
    if (memchr(key, '\0', len) != NULL)
        return KEY_NUL;
    const char *end = key + len;
    for (const char *p = key; p < end;) {
        const char *slash = memchr(p, '/', (size_t)(end - p));
        const char *stop = slash != NULL ? slash : end;
        enum key_fault fault = component_check(p, (size_t)(stop - p));
        if (fault != KEY_OK)
            return fault;
        p = slash != NULL ? slash + 1 : end;
    }
    return KEY_OK;
}

const char *key_fault_text(enum key_fault fault)
{
    static const char *const text[] = {
        [KEY_OK] = "the key is usable",
        [KEY_EMPTY] = "the key is empty",
        [KEY_TOO_LONG] = "the key is longer than 1024 bytes",
        [KEY_COMPONENT] =
            "a part of the key between slashes is longer than 255 bytes, which a file "
            "name cannot be",
        [KEY_DOTS] = "a part of the key between slashes is . or .., which names no file",
        [KEY_SLASHES] = "the key begins with / or has two slashes in a row, which a path does not "
                        "keep apart",
        [KEY_NUL] = "the key has a NUL byte",
        [KEY_RESERVED] = "a part of the key is a name that the service keeps for itself (.firn*, "
                         ".noobaa-nsfs*, .versions, .folder)",
    };
    return text[fault];
}

/* Four groups of one to three digits with dots between? */
static bool is_ipv4(const char *s)
{
    for (int i = 0; i < 4; i++) {
        size_t n = strspn(s, "0123456789");
        if (n < 1 || n > 3 || s[n] != (i < 3 ? '.' : '\0'))
            return false;
        s += n + 1;
    }
    return true;
}

bool key_bucket_valid(const char *name)
{
    size_t n = strlen(name);
    if (n < 3 || n > 63)
        return false;
    if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") != n)
        return false;
    if (strchr(".-", name[0]) != NULL || strchr(".-", name[n - 1]) != NULL)
        return false;
    if (strstr(name, "..") != NULL || strstr(name, ".-") != NULL || strstr(name, "-.") != NULL)
        return false;
    return !is_ipv4(name);
}

bool key_upload_id_valid(const char *id)
{
    return strlen(id) == KEY_UPLOAD_ID_LEN && strspn(id, "0123456789abcdef") == KEY_UPLOAD_ID_LEN;
}

/* The well-formed sequences by their first two bytes (RFC 3629, 4); the rest are 80 to BF. */
static const struct {
    unsigned char first_lo, first_hi, second_lo, second_hi;
    size_t len;
} utf8_forms[] = {
    {0x00, 0x7f, 0x00, 0x00, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
    {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
    {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
};

/* Bytes of the well-formed UTF-8 sequence at s (n > 0 left), or 0. */
static size_t utf8_sequence(const unsigned char *s, size_t n)
{
    size_t i = 0;
    while (i < sizeof utf8_forms / sizeof utf8_forms[0] &&
           (s[0] < utf8_forms[i].first_lo || s[0] > utf8_forms[i].first_hi))
        i++;
    if (i == sizeof utf8_forms / sizeof utf8_forms[0] || n < utf8_forms[i].len)
        return 0;
    size_t len = utf8_forms[i].len;
    if (len > 1 && (s[1] < utf8_forms[i].second_lo || s[1] > utf8_forms[i].second_hi))
        return 0;
    for (size_t k = 2; k < len; k++)
        if ((s[k] & 0xc0) != 0x80)
            return 0;
    return len;
}

bool key_utf8_valid(const char *s, size_t n)
{
    const unsigned char *p = (const unsigned char *)s;
    while (n > 0) {
        size_t len = utf8_sequence(p, n);
        if (len == 0)
            return false;
        p += len;
        n -= len;
    }
    return true;
}

size_t key_utf8_length(const char *s)
{
    size_t n = 0;
    for (; *s != '\0'; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}
