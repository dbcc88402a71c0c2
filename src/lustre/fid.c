/* SPDX-License-Identifier: Apache-2.0 */
#include "lustre/action.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

char *fid_text(const struct lu_fid *fid, char *out)
{
    (void)snprintf(out, FID_TEXT_MAX, "[0x%" PRIx64 ":0x%" PRIx32 ":0x%" PRIx32 "]", fid->seq,
                   fid->oid, fid->ver);
    return out;
}

/* One number, hexadecimal with 0x or decimal, up to max; *p moves behind it. */
static int number(const char **p, uint64_t max, uint64_t *out)
{
    char *end = NULL;
    if (**p < '0' || **p > '9')
        return -EINVAL;
    errno = 0;
    unsigned long long v = strtoull(*p, &end, (*p)[0] == '0' && (*p)[1] == 'x' ? 16 : 10);
    if (errno != 0 || end == *p || v > max)
        return -EINVAL;
    *p = end;
    *out = v;
    return 0;
}

int fid_parse(const char *text, struct lu_fid *out)
{
    uint64_t part[3] = {0};
    const char *p = text;
    bool bracket = *p == '[';
    p += bracket;
    for (int i = 0; i < 3; i++) {
        if (number(&p, i == 0 ? UINT64_MAX : UINT32_MAX, &part[i]) != 0)
            return -EINVAL;
        if (i < 2 && *p++ != ':')
            return -EINVAL;
    }
    if (bracket && *p++ != ']')
        return -EINVAL;
    if (*p != '\0')
        return -EINVAL;
    *out = (struct lu_fid){.seq = part[0], .oid = (uint32_t)part[1], .ver = (uint32_t)part[2]};
    return 0;
}
