/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *p)
{
    if (p == NULL) {
        (void)fputs("firn: out of memory\n", stderr);
        abort();
    }
    return p;
}

void *xzalloc(size_t n)
{
    return must(calloc(1, n > 0 ? n : 1));
}

void *xrealloc_array(void *p, size_t n, size_t size)
{
    return must(reallocarray(p, n > 0 ? n : 1, size));
}

char *xstrdup(const char *s)
{
    return s == NULL ? NULL : must(strdup(s));
}

char *xstrndup(const char *s, size_t n)
{
    return must(strndup(s, n));
}

char *xasprintf(const char *fmt, ...)
{
    char *out = NULL;
    va_list ap;
    va_start(ap, fmt);
    int rc = vasprintf(&out, fmt, ap);
    va_end(ap);
    return must(rc < 0 ? NULL : out);
}
