/* SPDX-License-Identifier: Apache-2.0 */
#include "lov.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

enum {
    LOV_V1 = 0x0BD10BD0,
    LOV_V3 = 0x0BD30BD0,
    LOV_COMP = 0x0BD60BD0,
    LOV_V1_HEAD = 32,
    LOV_V3_HEAD = 48,
    LOV_OBJECT = 24,
    COMP_HEAD = 32,
    COMP_ENTRY = 48,
    OST_COUNT = 8,
    ALL_STRIPES = 65535,
    ENTRY_INIT = 0x10,
};
#define PATTERN_RELEASED UINT32_C(0x80000000)

static uint32_t get32(const unsigned char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static void put32(unsigned char *p, uint32_t v)
{
    memcpy(p, &v, sizeof v);
}

static uint16_t get16(const unsigned char *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static size_t plain_head(const unsigned char *in, size_t len)
{
    if (len < sizeof(uint32_t))
        return 0;
    size_t head = get32(in) == LOV_V1 ? LOV_V1_HEAD : get32(in) == LOV_V3 ? LOV_V3_HEAD : 0;
    return head;
}

/* A V1 or V3 blob in the client's form: stripe offset and objects are the file's own. objects:
 * with them; released: with the flag. Returns bytes put to out, or -errno. */
static ssize_t rebuild_plain(const unsigned char *in, size_t len, bool objects, bool released,
                             unsigned char *out, size_t cap)
{
    size_t head = plain_head(in, len);
    if (head == 0)
        return -EINVAL;
    if (len < head)
        return -ERANGE;
    unsigned count = get16(in + 28) == ALL_STRIPES ? OST_COUNT : get16(in + 28);
    count = count == 0 ? 1 : count;
    size_t size = head + (objects ? (size_t)count * LOV_OBJECT : 0);
    if (size > cap)
        return -E2BIG;
    memset(out, 0, size);
    memcpy(out, in, head);
    uint32_t pattern = get32(in + 4) & ~PATTERN_RELEASED;
    put32(out + 4, released ? pattern | PATTERN_RELEASED : pattern);
    out[28] = (unsigned char)count;
    out[29] = (unsigned char)(count >> 8);
    out[30] = out[31] = 0;
    for (unsigned i = 0; objects && i < count; i++)
        put32(out + head + (size_t)i * LOV_OBJECT + 20, i % OST_COUNT);
    return (ssize_t)size;
}

/* A composite blob, component by component; the first one has objects. */
static ssize_t rebuild_comp(const unsigned char *in, size_t len, bool objects, bool released,
                            unsigned char *out, size_t cap)
{
    if (len < COMP_HEAD || get32(in + 4) > len)
        return -ERANGE;
    unsigned entries = get16(in + 14);
    size_t at = COMP_HEAD + (size_t)entries * COMP_ENTRY;
    if (entries == 0 || at > len || at > cap)
        return -EINVAL;
    memcpy(out, in, at);
    for (unsigned i = 0; i < entries; i++) {
        unsigned char *entry = out + COMP_HEAD + (size_t)i * COMP_ENTRY;
        uint32_t offset = get32(entry + 24), size = get32(entry + 28);
        uint64_t start;
        memcpy(&start, entry + 8, sizeof start);
        if (offset > len || size > len - offset)
            return -EINVAL;
        ssize_t n =
            rebuild_plain(in + offset, size, objects && start == 0, released, out + at, cap - at);
        if (n < 0)
            return n;
        uint32_t flags = get32(entry + 4);
        put32(entry + 4, start == 0 ? flags | ENTRY_INIT : flags & ~(uint32_t)ENTRY_INIT);
        put32(entry + 24, (uint32_t)at);
        put32(entry + 28, (uint32_t)n);
        at += (size_t)n;
    }
    put32(out + 4, (uint32_t)at);
    return (ssize_t)at;
}

static ssize_t rebuild(const void *in, size_t len, bool objects, bool released, void *out)
{
    if (len < sizeof(uint32_t))
        return -ERANGE;
    return get32(in) == LOV_COMP ? rebuild_comp(in, len, objects, released, out, LOV_MAX)
                                 : rebuild_plain(in, len, objects, released, out, LOV_MAX);
}

size_t lov_make(void *buf, unsigned count, unsigned stripe_size, const char *pool)
{
    unsigned char in[LOV_V3_HEAD] = {0};
    put32(in, pool != NULL ? LOV_V3 : LOV_V1);
    put32(in + 4, 1);
    put32(in + 24, stripe_size);
    in[28] = (unsigned char)count;
    in[29] = (unsigned char)(count >> 8);
    if (pool != NULL)
        memcpy(in + 32, pool, strnlen(pool, 15));
    ssize_t n = rebuild_plain(in, sizeof in, true, false, buf, LOV_MAX);
    return n < 0 ? 0 : (size_t)n;
}

ssize_t lov_get(int fd, void *buf, size_t size)
{
    unsigned char own[LOV_V1_HEAD + LOV_OBJECT];
    char delay;
    struct stat st;
    ssize_t n = fgetxattr(fd, LOV_STORE, buf, size);
    if (n >= 0 || errno != ENODATA)
        return n >= 0 ? n : -errno;
    if (fstat(fd, &st) != 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -ENODATA;
    if (st.st_size == 0 && fgetxattr(fd, LOV_DELAY, &delay, 1) == 1)
        return -ENODATA;
    size_t len = lov_make(own, 1, 1U << 20, NULL);
    if (size == 0)
        return (ssize_t)len;
    if (size < len)
        return -ERANGE;
    memcpy(buf, own, len);
    return (ssize_t)len;
}

static int store(int fd, const void *blob, size_t len)
{
    return fsetxattr(fd, LOV_STORE, blob, len, 0) == 0 ? 0 : -errno;
}

int lov_set(int fd, const void *blob, size_t size)
{
    unsigned char out[LOV_MAX];
    char delay;
    struct stat st;
    ssize_t n = rebuild(blob, size, true, false, out);
    if (n < 0)
        return (int)n;
    if (fstat(fd, &st) != 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return store(fd, out, (size_t)n);
    /* Objects exist: the client says 0 and leaves the layout as it is. */
    if (st.st_size > 0 || fgetxattr(fd, LOV_DELAY, &delay, 1) != 1 ||
        fgetxattr(fd, LOV_STORE, NULL, 0) >= 0)
        return 0;
    return store(fd, out, (size_t)n);
}

int lov_begin(int fd, int dir, bool delayed)
{
    unsigned char blob[LOV_MAX];
    if (delayed)
        return fsetxattr(fd, LOV_DELAY, LOV_DELAY_VALUE, 1, 0) == 0 ? 0 : -errno;
    ssize_t n = fgetxattr(dir, LOV_STORE, blob, sizeof blob);
    return n > 0 ? store(fd, blob, (size_t)n) : 0;
}

int lov_release(int fd)
{
    unsigned char blob[LOV_MAX], out[LOV_MAX];
    ssize_t n = lov_get(fd, blob, sizeof blob);
    if (n < 0)
        return (int)n;
    n = rebuild(blob, (size_t)n, false, true, out);
    return n < 0 ? (int)n : store(fd, out, (size_t)n);
}

int lov_move(int from, int to)
{
    unsigned char blob[LOV_MAX];
    ssize_t n = lov_get(from, blob, sizeof blob);
    if (n == -ENODATA) /* never written to: the default of an empty file */
        return fremovexattr(to, LOV_STORE) == 0 || errno == ENODATA ? 0 : -errno;
    return n < 0 ? (int)n : store(to, blob, (size_t)n);
}
