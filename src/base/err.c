/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void err_clear(struct err *err)
{
    err->code = 0;
    err->text[0] = '\0';
}

static void set_text(struct err *err, int code, const char *fmt, va_list ap)
{
    err->code = code;
    (void)vsnprintf(err->text, sizeof(err->text), fmt, ap);
}

void err_set_text(struct err *err, int code, const char *fmt, ...)
{
    if (err == NULL)
        return;
    va_list ap;
    va_start(ap, fmt);
    set_text(err, code, fmt, ap);
    va_end(ap);
}

void err_sys_text(struct err *err, int code, const char *fmt, ...)
{
    if (err == NULL)
        return;
    char sys[128];
    va_list ap;
    va_start(ap, fmt);
    set_text(err, code, fmt, ap);
    va_end(ap);
    size_t n = strlen(err->text);
    (void)snprintf(err->text + n, sizeof(err->text) - n, ": %s",
                   strerror_r(-code, sys, sizeof(sys)));
}

void err_wrap_text(struct err *err, int code, const char *fmt, ...)
{
    if (err == NULL)
        return;
    char old[sizeof(err->text)];
    memcpy(old, err->text, sizeof(old));
    va_list ap;
    va_start(ap, fmt);
    set_text(err, code, fmt, ap);
    va_end(ap);
    size_t n = strlen(err->text);
    (void)snprintf(err->text + n, sizeof(err->text) - n, "%s%s", old[0] != '\0' ? ": " : "", old);
}
