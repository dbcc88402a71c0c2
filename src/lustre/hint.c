/* SPDX-License-Identifier: Apache-2.0 */
#include "lustre/hint.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { FID_CHARS = 16 + 1 + 8 + 1 + 8 };

int hint_get(const void *data, size_t n, const char *key, char *out, size_t cap)
{
    const char *p = data;
    const char *end = p + strnlen(p != NULL ? p : "", n);
    size_t klen = strlen(key);
    while (p < end) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        const char *stop = comma != NULL ? comma : end;
        if ((size_t)(stop - p) > klen && memcmp(p, key, klen) == 0 && p[klen] == '=') {
            size_t len = (size_t)(stop - p) - klen - 1;
            if (len >= cap)
                return -E2BIG;
            memcpy(out, p + klen + 1, len);
            out[len] = '\0';
            return 0;
        }
        p = stop + 1;
    }
    return -ENOENT;
}

int hint_key(const void *data, size_t n, struct uuid *id)
{
    char text[UUID_TEXT];
    int rc = hint_get(data, n, "key", text, sizeof(text));
    if (rc == -ENOENT)
        return rc;
    return rc == 0 && uuid_parse(text, id) == 0 ? 0 : -EINVAL;
}

char *label_fid(const struct lu_fid *fid, char *out)
{
    (void)snprintf(out, FID_CHARS + 1, "%016" PRIx64 "_%08" PRIx32 "_%08" PRIx32,
                   (uint64_t)fid->seq, (uint32_t)fid->oid, (uint32_t)fid->ver);
    return out;
}

/* n lower-case hex digits at p into *v. */
static int hex_of(const char *p, size_t n, uint64_t *v)
{
    *v = 0;
    for (size_t i = 0; i < n; i++) {
        const char *digits = "0123456789abcdef";
        const char *d = p[i] != '\0' ? strchr(digits, p[i]) : NULL;
        if (d == NULL)
            return -EINVAL;
        *v = *v << 4 | (uint64_t)(d - digits);
    }
    return 0;
}

int label_fid_parse(const char *text, struct lu_fid *fid)
{
    uint64_t seq, oid, ver;
    if (strlen(text) != FID_CHARS || text[16] != '_' || text[25] != '_' ||
        hex_of(text, 16, &seq) != 0 || hex_of(text + 17, 8, &oid) != 0 ||
        hex_of(text + 26, 8, &ver) != 0)
        return -EINVAL;
    *fid = (struct lu_fid){.seq = seq, .oid = (uint32_t)oid, .ver = (uint32_t)ver};
    return 0;
}

char *label_make(const char *fsname, const char *instance, const struct lu_fid *fid, char *out)
{
    char text[FID_CHARS + 1];
    (void)snprintf(out, LABEL_MAX, LABEL_TOP "%s.%s/%s", fsname, instance, label_fid(fid, text));
    return out;
}

int label_parse(const char *label, struct lu_fid *fid, const char **at, size_t *n)
{
    size_t top = strlen(LABEL_TOP);
    if (strncmp(label, LABEL_TOP, top) != 0)
        return -EINVAL;
    const char *slash = strrchr(label + top, '/');
    if (slash == NULL || slash == label + top || label_fid_parse(slash + 1, fid) != 0)
        return -EINVAL;
    if (at != NULL)
        *at = label + top;
    if (n != NULL)
        *n = (size_t)(slash - label) - top;
    return 0;
}
