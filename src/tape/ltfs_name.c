/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names on tape. LTFS names are UTF-8; a name with characters that are unsafe there is
 * percent-encoded, with an attribute that says so. Linux names are bytes: a byte b that is not part
 * of well-formed UTF-8 is stored as the character U+EF00 + b (private use, 80 to FF), so that other
 * readers still accept the index. On the way back the mapping is undone only when mapping the
 * result again gives the same text: a foreign name that merely contains such characters stays.
 */
#include "tape/ltfs_impl.h"

#include <errno.h>
#include <string.h>

#define MAP_BASE 0xEF00u /* U+EF80 to U+EFFF stand for the bytes 80 to FF */

bool ltfs_name_next(const char **path, const char **name, size_t *len)
{
    const char *p = *path;
    while (*p == '/')
        p++;
    size_t n = strcspn(p, "/");
    *path = p + n;
    *name = p;
    *len = n;
    return n <= LTFS_NAME_MAX && !(n == 1 && p[0] == '.') &&
           !(n == 2 && p[0] == '.' && p[1] == '.');
}

/* Length of the sequence that lead byte c announces and its payload bits; 0: none. */
static size_t utf8_lead(unsigned char c, uint32_t *bits)
{
    if (c < 0x80) {
        *bits = c;
        return 1;
    }
    if (c >= 0xC2 && c <= 0xDF) {
        *bits = c & 0x1Fu;
        return 2;
    }
    if (c >= 0xE0 && c <= 0xEF) {
        *bits = c & 0x0Fu;
        return 3;
    }
    if (c >= 0xF0 && c <= 0xF4) {
        *bits = c & 0x07u;
        return 4;
    }
    return 0;
}

static size_t decode_utf8(const char *s, size_t n, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t c;
    size_t len = n > 0 ? utf8_lead((unsigned char)s[0], &c) : 0;
    if (len == 0 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++) {
        unsigned char t = (unsigned char)s[i];
        if ((t & 0xC0) != 0x80)
            return 0;
        c = c << 6 | (t & 0x3Fu);
    }
    if (c < least[len] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
        return 0;
    *code = c;
    return len;
}

size_t ltfs_name_utf8(const char *s, size_t n)
{
    uint32_t c;
    size_t len = decode_utf8(s, n, &c);
    if (len == 0 || c == 0 || c == 0xFFFE || c == 0xFFFF)
        return 0;
    return len;
}

bool ltfs_name_is_plain(const char *s, size_t n)
{
    if (n == 0)
        return true;
    if (s[0] == ' ' || s[n - 1] == ' ')
        return false;
    for (size_t i = 0; i < n;) {
        size_t len = ltfs_name_utf8(s + i, n - i);
        if (len == 0 || (unsigned char)s[i] < 0x20 || s[i] == 0x7f)
            return false;
        i += len;
    }
    return true;
}

static bool is_map_char(uint32_t c)
{
    return c >= MAP_BASE + 0x80 && c <= MAP_BASE + 0xFF;
}

static void add_mapped(struct buf *out, unsigned char b)
{
    const uint32_t c = MAP_BASE + b;
    buf_addc(out, (char)(0xE0 | c >> 12));
    buf_addc(out, (char)(0x80 | (c >> 6 & 0x3F)));
    buf_addc(out, (char)(0x80 | (c & 0x3F)));
}

/* Appends name[len] with every byte mapped that is not part of a well-formed character, or that is
 * part of a mapping character (so that the way back is unambiguous). */
static void map_bytes(const char *name, size_t len, struct buf *out)
{
    for (size_t i = 0; i < len;) {
        uint32_t c = 0;
        size_t n = decode_utf8(name + i, len - i, &c);
        if (n == 0 || c == 0xFFFE || c == 0xFFFF || is_map_char(c)) {
            size_t bad = n == 0 ? 1 : n;
            for (size_t k = 0; k < bad; k++)
                add_mapped(out, (unsigned char)name[i + k]);
            i += bad;
        } else {
            buf_add(out, name + i, n);
            i += n;
        }
    }
}

static void unmap_bytes(const char *text, size_t len, struct buf *out)
{
    for (size_t i = 0; i < len;) {
        uint32_t c = 0;
        size_t n = decode_utf8(text + i, len - i, &c);
        if (n == 3 && is_map_char(c)) {
            buf_addc(out, (char)(c - MAP_BASE));
        } else {
            n = n == 0 ? 1 : n;
            buf_add(out, text + i, n);
        }
        i += n;
    }
}

void ltfs_name_add_element(struct buf *b, const char *tag, const char *name, size_t len)
{
    auto_buf struct buf mapped = {0};

    buf_addf(b, "<%s", tag);
    map_bytes(name, len, &mapped);
    buf_addc(&mapped, '\0');
    mapped.len--;
    if (ltfs_name_is_plain(mapped.data, mapped.len) && strchr(mapped.data, ':') == NULL) {
        buf_addc(b, '>');
        buf_add_xml(b, mapped.data);
    } else {
        buf_adds(b, " percentencoded=\"true\">");
        buf_add_pct(b, mapped.data, "");
    }
    buf_addf(b, "</%s>\n", tag);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

static int undo_percent(const char *text, struct buf *out)
{
    for (const char *p = text; *p != '\0'; p++) {
        if (*p != '%') {
            buf_addc(out, *p);
            continue;
        }
        int hi = hex_value(p[1]);
        int lo = hi >= 0 ? hex_value(p[2]) : -1;
        if (lo < 0 || (hi == 0 && lo == 0))
            return -EBADMSG;
        buf_addc(out, (char)(hi << 4 | lo));
        p += 2;
    }
    return 0;
}

int ltfs_name_decode(const char *text, bool percent, struct buf *out)
{
    auto_buf struct buf plain = {0};
    auto_buf struct buf raw = {0};
    auto_buf struct buf again = {0};

    buf_adds(&plain, "");
    buf_adds(&raw, "");
    buf_adds(&again, "");
    if (percent && undo_percent(text, &plain) < 0)
        return -EBADMSG;
    if (!percent)
        buf_adds(&plain, text);
    unmap_bytes(plain.data, plain.len, &raw);
    map_bytes(raw.data, raw.len, &again);
    bool same = again.len == plain.len && memcmp(again.data, plain.data, plain.len) == 0;
    buf_add(out, same ? raw.data : plain.data, same ? raw.len : plain.len);
    return 0;
}
