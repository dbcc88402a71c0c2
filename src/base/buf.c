/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_reserve(struct buf *b, size_t extra)
{
    size_t need = b->len + extra + 1;
    if (b->data != NULL && need <= b->cap)
        return;
    size_t cap = b->cap > 0 ? b->cap : 64;
    while (cap < need)
        cap *= 2;
    b->data = xrealloc_array(b->data, cap, 1);
    b->cap = cap;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
    buf_reserve(b, n);
    if (n > 0)
        memcpy(b->data + b->len, p, n);
    b->len += n;
    b->data[b->len] = '\0';
}

void buf_adds(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_addc(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    va_list again;
    va_copy(again, ap);
    buf_reserve(b, 64); /* most texts fit at once */
    size_t room = b->cap - b->len;
    int n = vsnprintf(b->data + b->len, room, fmt, ap);
    va_end(ap);
    if (n > 0 && (size_t)n >= room) {
        buf_reserve(b, (size_t)n);
        (void)vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
    }
    if (n > 0)
        b->len += (size_t)n;
    va_end(again);
}

/* Length of the UTF-8 sequence at s (above ASCII) when XML 1.0 (2.2, Char) can hold its character,
 * else 0. */
static size_t xml_sequence(const char *s)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *p = (const unsigned char *)s;
    size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    uint32_t c = p[0] & (0x7fu >> len);
    if (p[0] < 0xc0 || p[0] > 0xf7)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) /* also the end of s */
            return 0;
        c = c << 6 | (p[i] & 0x3fu);
    }
    bool held = c >= least[len] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff) && c != 0xfffe &&
                c != 0xffff;
    return held ? len : 0;
}

/* Appends the character above ASCII at s, or '?'. Returns the bytes of s that it took. */
static size_t add_xml_wide(struct buf *b, const char *s)
{
    size_t len = xml_sequence(s);
    if (len == 0) {
        buf_addc(b, '?');
        return 1;
    }
    buf_add(b, s, len);
    return len;
}

void buf_add_xml(struct buf *b, const char *s)
{
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '&')
            buf_adds(b, "&amp;");
        else if (c == '<')
            buf_adds(b, "&lt;");
        else if (c == '>')
            buf_adds(b, "&gt;");
        else if (c == '"')
            buf_adds(b, "&quot;");
        else if (c == '\'')
            buf_adds(b, "&apos;");
        else if (c == '\r')
            buf_adds(b, "&#13;");
        else if (c < 0x20 && c != '\t' && c != '\n')
            buf_addc(b, '?');
        else if (c >= 0x80)
            s += add_xml_wide(b, s) - 1;
        else
            buf_addc(b, (char)c);
    }
}

static int is_unreserved(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '~';
}

void buf_add_pct(struct buf *b, const char *s, const char *keep)
{
    static const char hex[] = "0123456789ABCDEF";
    buf_reserve(b, 3 * strlen(s));
    char *to = b->data + b->len;
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        if (is_unreserved(c) || strchr(keep, c) != NULL) {
            *to++ = (char)c;
        } else {
            *to++ = '%';
            *to++ = hex[c >> 4];
            *to++ = hex[c & 15];
        }
    }
    *to = '\0';
    b->len = (size_t)(to - b->data);
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    if (b->data != NULL)
        b->data[0] = '\0';
}

void buf_fini(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

char *buf_take(struct buf *b)
{
    if (b->data == NULL)
        buf_add(b, NULL, 0);
    char *out = b->data;
    *b = (struct buf){0};
    return out;
}
