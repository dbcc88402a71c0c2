/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/encode.h"

#include <errno.h>
#include <string.h>

static const char base64_chars[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void encode_hex(const uint8_t *p, size_t n, char *out)
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = hex[p[i] >> 4];
        out[2 * i + 1] = hex[p[i] & 15];
    }
    out[2 * n] = '\0';
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int encode_hex_decode(const char *s, uint8_t *out, size_t n)
{
    if (strlen(s) != 2 * n)
        return -EINVAL;
    for (size_t i = 0; i < n; i++) {
        int hi = nibble(s[2 * i]);
        int lo = nibble(s[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return -EINVAL;
        out[i] = (uint8_t)(hi << 4 | lo);
    }
    return 0;
}

void encode_base64(const uint8_t *p, size_t n, char *out)
{
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16;
        v |= i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0;
        v |= i + 2 < n ? p[i + 2] : 0;
        *out++ = base64_chars[v >> 18];
        *out++ = base64_chars[v >> 12 & 63];
        *out++ = i + 1 < n ? base64_chars[v >> 6 & 63] : '=';
        *out++ = i + 2 < n ? base64_chars[v & 63] : '=';
    }
    *out = '\0';
}

/* Decodes one group of four; pad is the number of '=' at its end. Returns 0 with *v set, or
 * -EINVAL. */
static int decode_group(const char *s, size_t pad, uint32_t *v)
{
    *v = 0;
    for (size_t i = 0; i < 4; i++) {
        const char *c = i < 4 - pad ? memchr(base64_chars, s[i], 64) : base64_chars;
        if (c == NULL)
            return -EINVAL;
        *v = *v << 6 | (uint32_t)(c - base64_chars);
    }
    uint32_t unused = pad == 2 ? 0xffff : pad == 1 ? 0xff : 0;
    return (*v & unused) != 0 ? -EINVAL : 0;
}

int64_t encode_base64_decode(const char *s, uint8_t *out, size_t cap)
{
    size_t len = strlen(s);
    if (len % 4 != 0)
        return -EINVAL;
    size_t n = 0;
    for (size_t i = 0; i < len; i += 4) {
        size_t pad = 0;
        if (i + 4 == len)
            pad = (size_t)(s[i + 3] == '=') + (size_t)(s[i + 3] == '=' && s[i + 2] == '=');
        uint32_t v;
        if (decode_group(s + i, pad, &v) < 0)
            return -EINVAL;
        for (size_t k = 0; k < 3 - pad; k++) {
            if (n == cap)
                return -ENOSPC;
            out[n++] = (uint8_t)(v >> (16 - 8 * k));
        }
    }
    return (int64_t)n;
}
