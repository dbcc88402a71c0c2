/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The progress line: stage, bar, counts, rate and the time that is left. Drawn on standard error
 * and only there when it is a terminal, so that files and pipes get result lines alone.
 */
#include "base/timefmt.h"
#include "cmd/cmd_impl.h"

#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>

#define BAR_CELLS  24
#define WIDTH_DFLT 80
#define ETA_MIN_NS (NS_PER_SEC)
#define ETA_MAX_S  (99 * 3600)
#define CLEAR_LINE "\r\033[K"

void cmd_progress_init(struct cmd_progress *p)
{
    *p = (struct cmd_progress){.begin_ns = time_mono_ns()};
    if (isatty(STDERR_FILENO) == 1)
        p->out = stderr;
}

static void add_bar(struct buf *b, double part)
{
    int full = (int)(part * BAR_CELLS);
    buf_addc(b, '[');
    for (int i = 0; i < BAR_CELLS; i++)
        buf_addc(b, i < full ? '#' : i == full ? '>' : ' ');
    buf_addf(b, "] %3d%%", (int)(part * 100));
}

/* told: seconds left as the event has them; -1: reckoned from what is done. */
static void add_eta(struct buf *b, double part, int64_t elapsed_ns, int64_t told)
{
    if (told < 0 && (elapsed_ns < ETA_MIN_NS || part <= 0 || part >= 1))
        return;
    double left = told >= 0 ? (double)told : (double)elapsed_ns / 1e9 * (1 - part) / part;
    if (left > ETA_MAX_S)
        return;
    int64_t s = (int64_t)(left + 0.5);
    if (s >= 3600)
        buf_addf(b, ", ETA %" PRId64 ":%02" PRId64 ":%02" PRId64, s / 3600, s / 60 % 60, s % 60);
    else
        buf_addf(b, ", ETA %" PRId64 ":%02" PRId64, s / 60, s % 60);
}

void cmd_progress_text(struct buf *b, const cJSON *event, int64_t elapsed_ns, int width)
{
    int64_t done = json_int(event, "done", 0) + json_int(event, "failed", 0);
    int64_t total = json_int(event, "total", 0);
    int64_t bytes_done = json_int(event, "bytes_done", 0);
    int64_t bytes_total = json_int(event, "bytes_total", 0);
    const char *stage = json_str(event, "stage", "working");
    buf_addf(b, "%-12s ", stage);
    double part = -1;
    if (bytes_total > 0)
        part = (double)bytes_done / (double)bytes_total;
    else if (total > 0)
        part = (double)done / (double)total;
    if (part > 1)
        part = 1;
    if (part >= 0) {
        add_bar(b, part);
        buf_addf(b, " %" PRId64 "/%" PRId64, done, total);
    } else {
        buf_addf(b, "%" PRId64, done);
    }
    if (bytes_done > 0 && elapsed_ns > ETA_MIN_NS) {
        char rate[CMD_NUMBER_MAX];
        double per_s = (double)bytes_done / ((double)elapsed_ns / 1e9);
        buf_addf(b, ", %s/s", cmd_human_bytes((int64_t)per_s, rate));
    }
    if (json_int(event, "failed", 0) > 0)
        buf_addf(b, ", %" PRId64 " failed", json_int(event, "failed", 0));
    if (json_int(event, "in_work", 0) > 0)
        buf_addf(b, ", %" PRId64 " in work", json_int(event, "in_work", 0));
    add_eta(b, part, elapsed_ns, json_int(event, "eta_s", -1));
    if (width > 0 && b->len > (size_t)width) {
        b->len = (size_t)width;
        b->data[b->len] = '\0';
    }
}

void cmd_progress_draw(struct cmd_progress *p, const cJSON *event)
{
    if (p->out == NULL)
        return;
    struct winsize ws = {0};
    int width = WIDTH_DFLT;
    if (ioctl(fileno(p->out), TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0)
        width = ws.ws_col;
    auto_buf struct buf b = {0};
    cmd_progress_text(&b, event, time_mono_ns() - p->begin_ns, width - 1);
    (void)fputs(CLEAR_LINE, p->out);
    cmd_put_text(p->out, b.data);
    (void)fflush(p->out);
    p->drawn = true;
}

void cmd_progress_clear(struct cmd_progress *p)
{
    if (!p->drawn)
        return;
    (void)fputs(CLEAR_LINE, p->out);
    (void)fflush(p->out);
    p->drawn = false;
}
