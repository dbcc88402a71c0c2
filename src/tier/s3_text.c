/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/mem.h"
#include "tier/s3_impl.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

char *s3_pct_encode(const char *s)
{
    auto_buf struct buf b = {0};
    buf_add_pct(&b, s, "/@+,:=[]");
    return buf_take(&b);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

char *s3_pct_decode(const char *s)
{
    char *out = xstrdup(s);
    char *to = out;
    for (const char *p = s; *p != '\0'; p++) {
        if (*p != '%') {
            *to++ = *p;
            continue;
        }
        int high = hex_value(p[1]);
        int low = high >= 0 ? hex_value(p[2]) : -1;
        if (low < 0 || high + low == 0) {
            free(out);
            return NULL;
        }
        *to++ = (char)(high << 4 | low);
        p += 2;
    }
    *to = '\0';
    return out;
}

char *s3_extents_text(const struct s3_chunk *ch)
{
    auto_buf struct buf b = {0};
    if (ch->nextents == 0)
        buf_addc(&b, '-');
    for (size_t i = 0; i < ch->nextents; i++)
        buf_addf(&b, "%s%llu+%llu", i > 0 ? "," : "", (unsigned long long)ch->extents[i].off,
                 (unsigned long long)ch->extents[i].len);
    return buf_take(&b);
}

/* Reads a decimal number at *p and moves on. */
static int number(const char **p, uint64_t *out)
{
    char *end = NULL;
    if (!isdigit((unsigned char)**p))
        return -EINVAL;
    errno = 0;
    *out = strtoull(*p, &end, 10);
    *p = end;
    return errno != 0 || *out > INT64_MAX ? -EINVAL : 0;
}

int s3_extents_parse(const char *text, struct s3_chunk *ch)
{
    if (strcmp(text, "-") == 0)
        return 0;
    for (const char *p = text;; p++) {
        uint64_t off = 0;
        uint64_t len = 0;
        if (number(&p, &off) < 0 || *p++ != '+' || number(&p, &len) < 0)
            return -EINVAL;
        s3_chunk_add_extent(ch, off, len);
        if (*p == '\0')
            return 0;
        if (*p != ',')
            return -EINVAL;
    }
}

int s3_split_location(const char *text, char **bucket, const char **key, struct err *err)
{
    const char *slash = strchr(text, '/');
    if (slash == NULL || slash == text || slash[1] == '\0')
        return err_set(err, -EINVAL, "\"%s\" is no place in a store (BUCKET/KEY)", text);
    *bucket = xstrndup(text, (size_t)(slash - text));
    *key = slash + 1;
    return 0;
}
