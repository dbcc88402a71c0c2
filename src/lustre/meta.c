/* SPDX-License-Identifier: Apache-2.0 */
#include "lustre/meta.h"

#include "base/log.h"
#include "base/mem.h"
#include "codec/encode.h"
#include "lustre/action.h"
#include "lustre/layout.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>

#define NAMES_BYTES 65536 /* what listxattr(2) may give, XATTR_LIST_MAX of the kernel */
#define SMALL_BYTES 1024  /* most lists and values are no longer */
#define NAME_BYTES  256   /* XATTR_NAME_MAX of the kernel, and a NUL */

/* What Lustre and firn keep for themselves. */
static const char *const own[] = {"trusted.firn",    "trusted.lov",   "trusted.lma",
                                  "trusted.link",    "trusted.hsm",   "trusted.som",
                                  "trusted.fid",     "trusted.lmv",   "trusted.dmv",
                                  "trusted.version", "trusted.lfsck", "trusted.dummyimap"};

void meta_add(struct meta *m, const char *key, const void *value, size_t len)
{
    void *copy = xzalloc(len + 1);
    if (len > 0)
        memcpy(copy, value, len);
    m->v = xrealloc_array(m->v, m->n + 1, sizeof(*m->v));
    m->v[m->n++] = (struct tier_xattr){.key = xstrdup(key), .value = copy, .len = len};
}

void meta_fini(struct meta *m)
{
    for (size_t i = 0; i < m->n; i++) {
        free((char *)(uintptr_t)m->v[i].key);
        free((void *)(uintptr_t)m->v[i].value);
    }
    free(m->v);
    *m = (struct meta){0};
}

static bool begins(const char *s, const char *with)
{
    return strncmp(s, with, strlen(with)) == 0;
}

static bool is_own(const char *name)
{
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (begins(name, own[i]) && (name[strlen(own[i])] == '\0' || name[strlen(own[i])] == '.'))
            return true;
    }
    return false;
}

static bool travels(const char *name)
{
    if (begins(name, "trusted."))
        return !is_own(name);
    return begins(name, "user.") || begins(name, "security.") || begins(name, "system.posix_acl_");
}

/* "user.x" is "x", unless that is a name of ours. */
static void key_of(const char *name, char *key, size_t cap)
{
    bool plain = begins(name, "user.") && name[5] != '\0' && !begins(name + 5, "firn.") &&
                 !begins(name + 5, "ltfs.");
    (void)snprintf(key, cap, "%s%s", plain ? "" : META_XATTR, plain ? name + 5 : name);
}

int meta_xattr_name(const char *key, char *out, size_t cap)
{
    size_t n = strlen(META_XATTR);
    bool full = begins(key, META_XATTR);
    if (!full && (begins(key, "firn.") || begins(key, "ltfs.")))
        return -ENOENT;
    int len = snprintf(out, cap, "%s%s", full ? "" : "user.", full ? key + n : key);
    return len > 0 && (size_t)len < cap && travels(out) ? 0 : -ENOENT;
}

ssize_t meta_get(int fd, const char *name, void *buf, size_t cap)
{
    ssize_t n = fgetxattr(fd, name, buf, cap < SMALL_BYTES ? cap : SMALL_BYTES);
    if (n < 0 && errno == ERANGE && cap > SMALL_BYTES)
        n = fgetxattr(fd, name, buf, cap);
    return n;
}

void meta_read_xattrs(struct meta *m, int fd, const struct lu_fid *fid, void *buf, size_t cap)
{
    char text[FID_TEXT_MAX];
    char *names = buf;
    void *value = names + NAMES_BYTES;
    ssize_t n = flistxattr(fd, names, SMALL_BYTES);
    if (n < 0 && errno == ERANGE)
        n = flistxattr(fd, names, NAMES_BYTES);
    if (n < 0 && errno != ENOTSUP)
        log_warn("%s: its extended attributes cannot be read (%s) and are not archived",
                 fid_text(fid, text), strerror(errno));
    for (char *p = names; n > 0 && p < names + n; p += strlen(p) + 1) {
        char key[NAME_BYTES + sizeof(META_XATTR)];
        if (!travels(p))
            continue;
        ssize_t len = meta_get(fd, p, value, cap - NAMES_BYTES);
        if (len < 0) {
            if (errno != ENODATA)
                log_warn("%s: attribute %s cannot be read (%s) and is not archived",
                         fid_text(fid, text), p, strerror(errno));
            continue;
        }
        key_of(p, key, sizeof(key));
        meta_add(m, key, value, (size_t)len);
    }
}

void meta_read_layout(struct meta *m, int fd, void *buf, size_t cap)
{
    struct fsxattr x;
    ssize_t len = meta_get(fd, LAYOUT_XATTR, buf, cap < LAYOUT_MAX ? cap : LAYOUT_MAX);
    if (len > 0)
        meta_add(m, META_LAYOUT, buf, (size_t)len);
    if (ioctl(fd, FS_IOC_FSGETXATTR, &x) == 0 && x.fsx_projid != 0) {
        char text[16];
        int n = snprintf(text, sizeof(text), "%u", x.fsx_projid);
        meta_add(m, META_PROJID, text, (size_t)n);
    }
}

const struct tier_xattr *meta_find(const struct tier_entry *e, const char *key)
{
    for (size_t i = 0; i < e->nxattrs; i++) {
        if (strcmp(e->xattrs[i].key, key) == 0)
            return &e->xattrs[i];
    }
    return NULL;
}

bool meta_digest(const struct tier_entry *e, uint8_t *out)
{
    char hex[ENCODE_HEX_SIZE(16)] = "";
    const struct tier_xattr *x = meta_find(e, META_DIGEST);
    if (x == NULL || x->len != sizeof(hex) - 1)
        return false;
    memcpy(hex, x->value, x->len);
    return encode_hex_decode(hex, out, 16) == 0;
}

static int apply_project(int fd, const struct tier_xattr *x)
{
    char text[16] = "";
    struct fsxattr a;
    memcpy(text, x->value, x->len < sizeof(text) - 1 ? x->len : sizeof(text) - 1);
    if (ioctl(fd, FS_IOC_FSGETXATTR, &a) != 0)
        return -errno;
    a.fsx_projid = (uint32_t)strtoul(text, NULL, 10);
    return ioctl(fd, FS_IOC_FSSETXATTR, &a) == 0 ? 0 : -errno;
}

unsigned meta_apply(const struct tier_entry *e, int fd, const struct lu_fid *fid)
{
    char text[FID_TEXT_MAX];
    unsigned failed = 0;
    for (size_t i = 0; i < e->nxattrs; i++) {
        const struct tier_xattr *x = &e->xattrs[i];
        char name[NAME_BYTES] = META_PROJID;
        int rc = 0;
        if (strcmp(x->key, META_PROJID) == 0)
            rc = apply_project(fd, x);
        else if (meta_xattr_name(x->key, name, sizeof(name)) == 0)
            rc = fsetxattr(fd, name, x->value, x->len, 0) == 0 ? 0 : -errno;
        if (rc == 0)
            continue;
        log_warn("%s: attribute %s cannot be set: %s", fid_text(fid, text), name, strerror(-rc));
        failed++;
    }
    return failed;
}
