/* SPDX-License-Identifier: Apache-2.0 */
#include "tier/posix_impl.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fid {
    uint64_t seq;
    uint32_t oid, ver;
};

/* "0x<hex>" at *p, at most max, followed by end; moves behind that. */
static int part(const char **p, char end, uint64_t max, uint64_t *out)
{
    char *after = NULL;
    if (strncmp(*p, "0x", 2) != 0 || !isxdigit((unsigned char)(*p)[2]))
        return -EINVAL;
    errno = 0;
    *out = strtoull(*p, &after, 16);
    if (errno != 0 || *out > max || *after != end)
        return -EINVAL;
    *p = end == '\0' ? after : after + 1;
    return 0;
}

static int parse(const char *text, struct fid *f)
{
    uint64_t oid = 0;
    uint64_t ver = 0;
    const char *p = text;
    bool bracket = *p == '[';
    p += bracket;
    if (part(&p, ':', UINT64_MAX, &f->seq) != 0 || part(&p, ':', UINT32_MAX, &oid) != 0 ||
        part(&p, bracket ? ']' : '\0', UINT32_MAX, &ver) != 0 || *p != '\0')
        return -EINVAL;
    f->oid = (uint32_t)oid;
    f->ver = (uint32_t)ver;
    return 0;
}

static void format(const struct fid *f, bool v1, char *out)
{
    char fid[64];
    (void)snprintf(fid, sizeof(fid), "0x%llx:0x%x:0x%x", (unsigned long long)f->seq, f->oid,
                   f->ver);
    if (!v1)
        (void)snprintf(out, POSIX_PATH_MAX, "%04x/%s", (unsigned)((f->oid ^ f->seq) & 0xffff), fid);
    else
        (void)snprintf(out, POSIX_PATH_MAX, "%04x/%04x/%04x/%04x/%04x/%04x/%s", f->oid & 0xffff,
                       f->oid >> 16, (unsigned)(f->seq & 0xffff), (unsigned)(f->seq >> 16 & 0xffff),
                       (unsigned)(f->seq >> 32 & 0xffff), (unsigned)(f->seq >> 48), fid);
}

int posix_path(const char *label, bool v1, char *out)
{
    struct fid f = {0};
    const char *slash = label != NULL ? strrchr(label, '/') : NULL;
    if (label == NULL || parse(slash != NULL ? slash + 1 : label, &f) != 0)
        return -EINVAL;
    format(&f, v1, out);
    return 0;
}

bool posix_path_holds(const char *path)
{
    char want[POSIX_PATH_MAX];
    return (posix_path(path, false, want) == 0 && strcmp(want, path) == 0) ||
           (posix_path(path, true, want) == 0 && strcmp(want, path) == 0);
}
