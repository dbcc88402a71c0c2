/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/list.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#define SEPARATOR " -- "

static bool stays(unsigned char c, const char *keep)
{
    bool unreserved = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '_' || c == '.' || c == '~';
    return unreserved || (c != '\0' && strchr(keep, c) != NULL);
}

static void add_escaped(struct buf *out, const char *p, size_t n, const char *escape)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        if (escape != NULL && !stays(c, escape)) {
            char text[3] = {'%', hex[c >> 4], hex[c & 15]};
            buf_add(out, text, 3);
        } else if (escape == NULL && c == '\n') {
            buf_adds(out, "\\n");
        } else if (escape == NULL && c == '\\') {
            buf_adds(out, "\\\\");
        } else {
            buf_addc(out, (char)c);
        }
    }
}

void policy_list_add(struct buf *out, const struct policy_record *rec, const char *escape)
{
    buf_addf(out, "%" PRIu64 " %" PRIu64 " %" PRIu64 "  ", rec->ino, rec->generation, rec->snapid);
    add_escaped(out, rec->show, rec->show_len, escape);
    buf_adds(out, SEPARATOR);
    add_escaped(out, rec->path, rec->path_len, escape);
    buf_addc(out, '\n');
}

int policy_list_show_is_risky(const char *show, size_t len)
{
    return len > 0 && memmem(show, len, SEPARATOR, strlen(SEPARATOR)) != NULL;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undoes add_escaped, appending to store. */
static int add_plain(struct buf *store, const char *p, size_t n, const char *escape,
                     struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        char c = p[i];
        if (escape != NULL && c == '%') {
            int hi = i + 2 < n ? hex_value(p[i + 1]) : -1;
            int lo = i + 2 < n ? hex_value(p[i + 2]) : -1;
            if (hi < 0 || lo < 0)
                return err_set(err, -EINVAL, "bad %%-escape at byte %zu of the list record", i);
            c = (char)(hi << 4 | lo);
            i += 2;
        } else if (escape == NULL && c == '\\') {
            if (i + 1 == n || (p[i + 1] != 'n' && p[i + 1] != '\\'))
                return err_set(err, -EINVAL, "bad backslash at byte %zu of the list record", i);
            c = p[++i] == 'n' ? '\n' : '\\';
        }
        buf_addc(store, c);
    }
    return 0;
}

/* Digits and blanks: "INODE GENERATION SNAPID  ". The bytes taken, or 0 when it is none. */
static size_t parse_numbers(const char *line, size_t len, struct policy_record *rec)
{
    uint64_t *const fields[] = {&rec->ino, &rec->generation, &rec->snapid};
    size_t pos = 0;
    for (size_t f = 0; f < 3; f++) {
        size_t start = pos;
        uint64_t v = 0;
        for (; pos < len && isdigit((unsigned char)line[pos]); pos++)
            if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
                __builtin_add_overflow(v, (uint64_t)(line[pos] - '0'), &v))
                return 0;
        if (pos == start || pos == len || line[pos] != ' ')
            return 0;
        pos++;
        *fields[f] = v;
    }
    return pos < len && line[pos] == ' ' ? pos + 1 : 0;
}

struct field {
    size_t off, len;
};

/* Appends n bytes as they are, with a NUL behind. */
static void add_bare(struct buf *store, const char *p, size_t n, struct field *f)
{
    *f = (struct field){store->len, n};
    buf_add(store, p, n);
    buf_addc(store, '\0');
}

/* The same, unescaped. */
static int add_field(struct buf *store, const char *p, size_t n, const char *escape,
                     struct field *f, struct err *err)
{
    f->off = store->len;
    int rc = add_plain(store, p, n, escape, err);
    f->len = store->len - f->off;
    buf_addc(store, '\0');
    return rc;
}

static int check_path(const struct policy_record *rec, struct err *err)
{
    if (rec->path_len == 0 || rec->path[0] != '/')
        return err_set(err, -EINVAL,
                       "'%.200s' is neither a list record (INODE GENERATION SNAPID  SHOW -- PATH) "
                       "nor an absolute path",
                       rec->path);
    if (memchr(rec->path, '\0', rec->path_len) != NULL)
        return err_set(err, -EINVAL, "NUL byte in the path '%.200s'", rec->path);
    return 0;
}

int policy_list_parse(const char *line, size_t len, const char *escape, struct buf *store,
                      struct policy_record *rec, struct err *err)
{
    struct policy_record r = {0};
    struct field show = {0}, path = {0};
    int rc = 0;
    size_t at = len > 0 && line[0] != '/' ? parse_numbers(line, len, &r) : 0;
    if (at > 0) {
        const char *sep = memmem(line + at, len - at, SEPARATOR, strlen(SEPARATOR));
        if (sep == NULL)
            return err_set(err, -EINVAL, "list record without \" -- \" before the path: '%.*s'",
                           (int)(len < 200 ? len : 200), line);
        const char *p = sep + strlen(SEPARATOR);
        rc = add_field(store, line + at, (size_t)(sep - line) - at, escape, &show, err);
        rc = rc < 0 ? rc : add_field(store, p, len - (size_t)(p - line), escape, &path, err);
    } else {
        r = (struct policy_record){0};
        add_bare(store, "", 0, &show);
        add_bare(store, line, len, &path);
    }
    if (rc < 0)
        return rc;
    r.show = store->data + show.off;
    r.show_len = show.len;
    r.path = store->data + path.off;
    r.path_len = path.len;
    rc = check_path(&r, err);
    if (rc == 0)
        *rec = r;
    return rc;
}
