/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include "base/io.h"
#include "base/timefmt.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *const level_names[] = {"err", "warn", "info", "debug"};
static const char *log_program = "firn";
static enum log_level log_max = LOG_LEVEL_INFO;

void log_init(const char *program, enum log_level level)
{
    log_program = program;
    log_max = level;
}

int log_level_parse(const char *name, enum log_level *out)
{
    for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *out = (enum log_level)i;
            return 0;
        }
    }
    return -EINVAL;
}

/* The time in ISO 8601 with milliseconds; the seconds' text is made once a second and thread. */
static const char *now_text(void)
{
    static _Thread_local char text[TIMEFMT_MAX];
    static _Thread_local int64_t second = -1;
    int64_t ns = time_now_ns();
    if (ns / NS_PER_SEC != second) {
        second = ns / NS_PER_SEC;
        timefmt_iso_ms(second * NS_PER_SEC, text);
    }
    int ms = (int)(ns % NS_PER_SEC / 1000000);
    char *dot = strchr(text, '.');
    if (dot != NULL) {
        dot[1] = (char)('0' + ms / 100);
        dot[2] = (char)('0' + ms / 10 % 10);
        dot[3] = (char)('0' + ms % 10);
    }
    return text;
}

void log_write(enum log_level level, const char *fmt, ...)
{
    if (level > log_max)
        return;
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    char line[4096];
    int n = snprintf(line, sizeof(line), "%s %s %s: ", now_text(), level_names[level], log_program);
    size_t len = (size_t)n;
    for (const char *s = text; *s != '\0' && len < sizeof(line) - 6; s++) {
        unsigned char c = (unsigned char)*s;
        if (c < 0x20 || c == 0x7f)
            len += (size_t)snprintf(line + len, sizeof(line) - len, "\\x%02x", c);
        else
            line[len++] = (char)c;
    }
    line[len++] = '\n';
    (void)io_write_full(2, line, len);
}
