/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy_impl.h"

#include "base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void policy_source_fini(struct policy_source *s)
{
    for (size_t i = 0; i < s->n_files; i++) {
        free(s->files[i].name);
        free(s->files[i].text);
    }
    for (size_t i = 0; i < s->n_macros; i++)
        free(s->macros[i]);
    free(s->files);
    free(s->macros);
    free(s->segs);
    buf_fini(&s->text);
    *s = (struct policy_source){0};
}

struct policy_origin policy_source_find(const struct policy_source *s, size_t off)
{
    size_t lo = 0, hi = s->n_segs;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->segs[mid].out <= off)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == 0)
        return (struct policy_origin){0};
    struct policy_origin o = s->segs[lo - 1].at;
    if (o.macro == 0)
        o.off += off - s->segs[lo - 1].out;
    return o;
}

/* Bytes of a line that are shown: control characters become blanks, long lines are cut. */
static void copy_line(const char *p, size_t n, char *out, size_t cap)
{
    size_t m = n < cap - 1 ? n : cap - 1;
    for (size_t i = 0; i < m; i++)
        out[i] = (unsigned char)p[i] < 0x20 || p[i] == 0x7f ? ' ' : p[i];
    out[m] = '\0';
}

void policy_source_place(const struct policy_source *s, struct policy_origin o,
                         struct policy_diag *diag)
{
    if (o.file >= s->n_files) {
        diag->line = diag->column = 1;
        return;
    }
    const struct policy_file *f = &s->files[o.file];
    size_t off = o.off < f->len ? o.off : f->len;
    size_t start = off;
    while (start > 0 && f->text[start - 1] != '\n')
        start--;
    unsigned line = 1;
    for (size_t i = 0; i < start; i++)
        if (f->text[i] == '\n')
            line++;
    const char *nl = memchr(f->text + off, '\n', f->len - off);
    size_t end = nl != NULL ? (size_t)(nl - f->text) : f->len;
    (void)snprintf(diag->file, sizeof(diag->file), "%s", f->name);
    diag->line = line;
    diag->column = (unsigned)(off - start) + 1;
    copy_line(f->text + start, end - start, diag->source, sizeof(diag->source));
}

static int fail_va(struct compile *c, struct policy_origin o, const char *expected, const char *fmt,
                   va_list ap)
{
    struct policy_diag d = {0};
    const struct policy_source *s = &c->p->source;
    policy_source_place(s, o, &d);
    size_t n = (size_t)vsnprintf(d.message, sizeof(d.message), fmt, ap);
    if (o.macro > 0 && o.macro <= s->n_macros && n < sizeof(d.message))
        (void)snprintf(d.message + n, sizeof(d.message) - n, " (in the expansion of macro '%s')",
                       s->macros[o.macro - 1]);
    if (expected != NULL)
        (void)snprintf(d.expected, sizeof(d.expected), "%s", expected);
    if (c->diag != NULL)
        *c->diag = d;
    return err_set(c->err, -EINVAL, "%s:%u:%u: %s%s%s", d.file, d.line, d.column, d.message,
                   expected != NULL ? "; expected " : "", d.expected);
}

int policy_fail_at(struct compile *c, struct policy_origin o, const char *expected, const char *fmt,
                   ...)
{
    va_list ap;
    va_start(ap, fmt);
    int rc = fail_va(c, o, expected, fmt, ap);
    va_end(ap);
    return rc;
}

int policy_fail(struct compile *c, size_t off, const char *expected, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int rc = fail_va(c, policy_source_find(&c->p->source, off), expected, fmt, ap);
    va_end(ap);
    return rc;
}

#define WARNINGS_MAX 200

static void warn_va(struct compile *c, struct policy_origin o, const char *fmt, va_list ap)
{
    struct policy *p = c->p;
    if (p->n_warnings >= WARNINGS_MAX)
        return;
    struct policy_diag d = {0};
    policy_source_place(&p->source, o, &d);
    (void)vsnprintf(d.message, sizeof(d.message), fmt, ap);
    p->warnings = xrealloc_array(p->warnings, p->n_warnings + 1, sizeof(char *));
    p->warnings[p->n_warnings++] = xasprintf("%s:%u:%u: %s", d.file, d.line, d.column, d.message);
}

void policy_warn_at(struct compile *c, struct policy_origin o, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    warn_va(c, o, fmt, ap);
    va_end(ap);
}

void policy_warn(struct compile *c, size_t off, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    warn_va(c, policy_source_find(&c->p->source, off), fmt, ap);
    va_end(ap);
}

void policy_diag_print(const struct policy_diag *diag, struct buf *out)
{
    buf_addf(out, "%s:%u:%u: error: %s\n", diag->file, diag->line, diag->column, diag->message);
    buf_addf(out, "  %s\n", diag->source);
    if (diag->column <= strlen(diag->source) + 1)
        buf_addf(out, "  %*s^\n", (int)diag->column - 1, "");
    if (diag->expected[0] != '\0')
        buf_addf(out, "  expected %s\n", diag->expected);
}
