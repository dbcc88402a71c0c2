/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <errno.h>
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

int err_set(struct err *err, int code, const char *fmt, ...)
{
    if (err != NULL) {
        va_list ap;
        va_start(ap, fmt);
        set_text(err, code, fmt, ap);
        va_end(ap);
    }
    return code;
}

int err_sys(struct err *err, int errnum, const char *fmt, ...)
{
    int e = errnum > 0 ? errnum : EIO;
    if (err != NULL) {
        char sys[128];
        va_list ap;
        va_start(ap, fmt);
        set_text(err, -e, fmt, ap);
        va_end(ap);
        size_t n = strlen(err->text);
        (void)snprintf(err->text + n, sizeof(err->text) - n, ": %s",
                       strerror_r(e, sys, sizeof(sys)));
    }
    return -e;
}

int err_wrap(struct err *err, int code, const char *fmt, ...)
{
    if (err != NULL) {
        char old[sizeof(err->text)];
        memcpy(old, err->text, sizeof(old));
        va_list ap;
        va_start(ap, fmt);
        set_text(err, code, fmt, ap);
        va_end(ap);
        size_t n = strlen(err->text);
        (void)snprintf(err->text + n, sizeof(err->text) - n, "%s%s", old[0] ? ": " : "", old);
    }
    return code;
}
