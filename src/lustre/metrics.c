/* SPDX-License-Identifier: Apache-2.0 */
/* Figures for Prometheus (its text format, version 0.0.4). No file names, no FIDs. */
#include "lustre/copytool_impl.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static const char *const kinds[3] = {"archive", "restore", "remove"};

unsigned stats_kind(uint32_t action)
{
    return action == HSMA_ARCHIVE ? 0 : action == HSMA_RESTORE ? 1 : 2;
}

static void head(struct buf *b, const char *name, const char *type, const char *help)
{
    buf_addf(b, "# HELP firn_copytool_%s %s\n# TYPE firn_copytool_%s %s\n", name, help, name, type);
}

static void add_ended(struct buf *b, struct stats *st)
{
    head(b, "actions_total", "counter", "Actions that have ended, by kind and errno (0: done).");
    for (unsigned k = 0; k < 3; k++) {
        for (int e = 0; e < STATS_ERRNOS; e++) {
            uint64_t n = atomic_load(&st->ended[k][e]);
            const char *name = e == 0 ? "0" : strerrorname_np(e);
            if (n > 0 || e == 0)
                buf_addf(b, "firn_copytool_actions_total{kind=\"%s\",errno=\"%s\"} %llu\n",
                         kinds[k], name != NULL ? name : "?", (unsigned long long)n);
        }
    }
    head(b, "bytes_total", "counter", "Bytes of files copied.");
    for (unsigned k = 0; k < 2; k++)
        buf_addf(b, "firn_copytool_bytes_total{kind=\"%s\"} %llu\n", kinds[k],
                 (unsigned long long)atomic_load(&st->bytes[k]));
}

static void add_lanes(struct buf *b, struct copytool *ct)
{
    size_t waiting[LANE_COUNT], running[LANE_COUNT];
    (void)pthread_mutex_lock(&ct->lock);
    size_t refused = ct->nrefused;
    int registered = ct->registered;
    for (int i = 0; i < LANE_COUNT; i++) {
        waiting[i] = lanes_waiting(ct->lanes, (enum lane)i);
        running[i] = lanes_running(ct->lanes, (enum lane)i);
    }
    (void)pthread_mutex_unlock(&ct->lock);
    head(b, "lane_actions", "gauge", "Actions in the lanes, by state.");
    for (int i = 0; i < LANE_COUNT; i++)
        buf_addf(b,
                 "firn_copytool_lane_actions{lane=\"%s\",state=\"waiting\"} %zu\n"
                 "firn_copytool_lane_actions{lane=\"%s\",state=\"running\"} %zu\n",
                 lane_name((enum lane)i), waiting[i], lane_name((enum lane)i), running[i]);
    head(b, "refused_waiting", "gauge", "Refused actions whose end has not been told.");
    buf_addf(b, "firn_copytool_refused_waiting %zu\n", refused);
    head(b, "registered", "gauge", "1 while registered with the coordinator.");
    buf_addf(b, "firn_copytool_registered %d\n", registered);
}

/* The plain counters: name, help, and where they are in struct stats. */
static const struct {
    const char *name, *help;
    size_t offset;
} plain[] = {
    {"messages_total", "Messages received.", offsetof(struct stats, messages)},
    {"malformed_total", "Messages that did not hold together.", offsetof(struct stats, malformed)},
    {"duplicates_total", "Items that came twice.", offsetof(struct stats, duplicates)},
    {"cancels_total", "Cancels received.", offsetof(struct stats, cancels)},
    {"cancels_unknown_total", "Of them, for actions that are not here.",
     offsetof(struct stats, cancels_unknown)},
    {"refused_total", "Actions ended without work.", offsetof(struct stats, refused)},
    {"lost_total", "Ends that did not reach the coordinator.", offsetof(struct stats, lost)},
    {"changed_total", "Archives whose file changed meanwhile.", offsetof(struct stats, changed)},
    {"unrecorded_total", "Ends that the coordinator did not know.",
     offsetof(struct stats, unrecorded)},
    {"registrations_total", "Registrations.", offsetof(struct stats, registrations)},
    {"collected_total", "Garbage copies deleted.", offsetof(struct stats, collected)},
    {"heartbeats_total", "Progress calls.", offsetof(struct stats, beats)},
};

static void add_plain(struct buf *b, struct copytool *ct)
{
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        const _Atomic uint64_t *v = (const void *)((const char *)&ct->stats + plain[i].offset);
        head(b, plain[i].name, "counter", plain[i].help);
        buf_addf(b, "firn_copytool_%s %llu\n", plain[i].name, (unsigned long long)atomic_load(v));
    }
    head(b, "heartbeat_lag_seconds", "gauge", "How late the last heartbeat was.");
    buf_addf(b, "firn_copytool_heartbeat_lag_seconds %.3f\n",
             (double)atomic_load(&ct->stats.beat_lag_ns) / 1e9);
    head(b, "open_actions", "gauge", "Actions in the journal that have not ended.");
    buf_addf(b, "firn_copytool_open_actions %zu\n", journal_open_count(ct->journal));
    head(b, "journal_bytes", "gauge", "Size of the journal.");
    buf_addf(b, "firn_copytool_journal_bytes %llu\n",
             (unsigned long long)journal_size(ct->journal));
}

/* Replaces path by text; not durably, figures of before a crash are worth nothing. */
static int replace(const char *path, const struct buf *text)
{
    auto_free char *temp = xasprintf("%s.new", path);
    auto_close int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return -errno;
    int rc = io_write_full(fd, text->data, text->len);
    if (rc == 0 && rename(temp, path) != 0)
        rc = -errno;
    return rc;
}

void metrics_write(struct copytool *ct)
{
    const char *path = ct->config.metrics_file;
    if (path == NULL || path[0] == '\0')
        return;
    auto_buf struct buf b = {0};
    add_ended(&b, &ct->stats);
    add_lanes(&b, ct);
    add_plain(&b, ct);
    int rc = replace(path, &b);
    if (rc != 0)
        log_warn("metrics_file %s: %s", path, strerror(-rc));
}
