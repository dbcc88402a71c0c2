/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Output: tables, messages, JSON, numbers and times for people.
 */
#include "base/mem.h"
#include "base/timefmt.h"
#include "cmd/cmd_impl.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

void cmd_table_init(struct cmd_table *t, size_t ncols, const char *const *heading)
{
    assert(ncols > 0 && ncols <= CMD_COLUMNS_MAX);
    *t = (struct cmd_table){.ncols = ncols};
    if (heading != NULL)
        cmd_table_row(t, heading);
}

void cmd_table_row(struct cmd_table *t, const char *const *cells)
{
    t->cells = xrealloc_array(t->cells, (t->nrows + 1) * t->ncols, sizeof(*t->cells));
    char **row = t->cells + t->nrows * t->ncols;
    for (size_t i = 0; i < t->ncols; i++)
        row[i] = xstrdup(cells[i] != NULL && *cells[i] != '\0' ? cells[i] : "-");
    t->nrows++;
}

/* Columns that s takes on a terminal; bytes when it is not valid in the locale. */
static int text_width(const char *s)
{
    size_t n = mbstowcs(NULL, s, 0);
    return n == (size_t)-1 ? (int)strlen(s) : (int)n;
}

void cmd_table_print(const struct cmd_table *t, FILE *out)
{
    int widths[CMD_COLUMNS_MAX] = {t->min_first};
    for (size_t r = 0; r < t->nrows; r++)
        for (size_t c = 0; c < t->ncols; c++) {
            int w = text_width(t->cells[r * t->ncols + c]);
            if (w > widths[c])
                widths[c] = w;
        }
    for (size_t r = 0; r < t->nrows; r++) {
        for (size_t c = 0; c < t->ncols; c++) {
            const char *text = t->cells[r * t->ncols + c];
            cmd_put_text(out, text);
            if (c + 1 < t->ncols)
                (void)fprintf(out, "%*s", widths[c] + 2 - text_width(text), "");
        }
        (void)fputc('\n', out);
    }
}

void cmd_table_fini(struct cmd_table *t)
{
    for (size_t i = 0; i < t->nrows * t->ncols; i++)
        free(t->cells[i]);
    free(t->cells);
    *t = (struct cmd_table){0};
}

int cmd_print_payload(cJSON *list)
{
    auto_json cJSON *root = cJSON_CreateObject();
    cJSON *payload = list;
    if (!cJSON_IsArray(list)) {
        payload = cJSON_CreateArray();
        (void)cJSON_AddItemToArray(payload, list);
    }
    (void)cJSON_AddItemToObject(root, "payload", payload);
    auto_free char *text = cJSON_PrintUnformatted(root);
    if (text != NULL)
        (void)puts(text);
    return 0;
}

void cmd_message(const char *id, const char *fmt, ...)
{
    char now[TIMEFMT_MAX];
    timefmt_local(time_now_ns(), now);
    (void)printf("%s %s: ", now, id);
    va_list ap;
    va_start(ap, fmt);
    (void)vprintf(fmt, ap);
    va_end(ap);
    (void)putchar('\n');
    (void)fflush(stdout);
}

void cmd_put_text(FILE *out, const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        if (*p >= 0x20 && *p != 0x7f)
            (void)fputc(*p, out);
        else if (*p == '\n')
            (void)fputs("\\n", out);
        else if (*p == '\t')
            (void)fputs("\\t", out);
        else if (*p == '\r')
            (void)fputs("\\r", out);
        else
            (void)fprintf(out, "\\x%02x", *p);
    }
}

const char *cmd_units(int64_t bytes, unsigned shift, char *out)
{
    double v = ldexp((double)bytes, -(int)shift);
    if (v >= 10 || v == floor(v))
        (void)snprintf(out, CMD_NUMBER_MAX, "%.0f", floor(v));
    else
        (void)snprintf(out, CMD_NUMBER_MAX, v >= 0.1 ? "%.2f" : "%.4f", v);
    return out;
}

const char *cmd_human_bytes(int64_t bytes, char *out)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double v = (double)bytes;
    size_t u = 0;
    for (; v >= 1024 && u + 1 < sizeof(units) / sizeof(units[0]); u++)
        v /= 1024;
    (void)snprintf(out, CMD_NUMBER_MAX, u == 0 || v >= 100 ? "%.0f %s" : "%.1f %s", v, units[u]);
    return out;
}

const char *cmd_percent(int64_t part, int64_t whole, char *out)
{
    double v = whole > 0 ? 100.0 * (double)part / (double)whole : 0.0;
    (void)snprintf(out, CMD_NUMBER_MAX, "%.0f%%", v);
    return out;
}

const char *cmd_local_time(const char *iso, char *out)
{
    int64_t ns = 0;
    if (iso == NULL || timefmt_parse_iso(iso, &ns) < 0)
        (void)snprintf(out, TIMEFMT_MAX, "-");
    else
        timefmt_local(ns, out);
    return out;
}

char *cmd_join(const cJSON *list, const char *sep)
{
    struct buf b = {0};
    const cJSON *j = NULL;
    cJSON_ArrayForEach (j, list) {
        if (!cJSON_IsString(j))
            continue;
        if (b.len > 0)
            buf_adds(&b, sep);
        buf_adds(&b, j->valuestring);
    }
    return buf_take(&b);
}
