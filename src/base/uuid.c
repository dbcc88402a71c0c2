/* SPDX-License-Identifier: Apache-2.0 */
#include "base/uuid.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct uuid uuid_new(void)
{
    struct uuid u;
    if (getrandom(u.b, sizeof(u.b), 0) != (ssize_t)sizeof(u.b))
        abort();
    u.b[6] = (uint8_t)((u.b[6] & 0x0f) | 0x40);
    u.b[8] = (uint8_t)((u.b[8] & 0x3f) | 0x80);
    return u;
}

static int is_dash(size_t i)
{
    return i == 8 || i == 13 || i == 18 || i == 23;
}

void uuid_format(const struct uuid *u, char *out)
{
    static const char hex[] = "0123456789abcdef";
    size_t k = 0;
    for (size_t i = 0; i < UUID_BYTES; i++) {
        if (is_dash(k))
            out[k++] = '-';
        out[k++] = hex[u->b[i] >> 4];
        out[k++] = hex[u->b[i] & 15];
    }
    out[k] = '\0';
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int uuid_parse(const char *s, struct uuid *u)
{
    if (strlen(s) != UUID_TEXT - 1)
        return -EINVAL;
    struct uuid out;
    size_t n = 0;
    for (size_t i = 0; i < UUID_TEXT - 1;) {
        if (is_dash(i)) {
            if (s[i++] != '-')
                return -EINVAL;
            continue;
        }
        int hi = nibble(s[i]);
        int lo = nibble(s[i + 1]);
        if (hi < 0 || lo < 0)
            return -EINVAL;
        out.b[n++] = (uint8_t)(hi << 4 | lo);
        i += 2;
    }
    *u = out;
    return 0;
}
