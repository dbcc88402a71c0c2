/* SPDX-License-Identifier: Apache-2.0 */
#include "lustre/stager_report.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "lustre/action.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

const char stager_report_heading[] =
    "path,fid,action,result,errno,error,reason,attempts,size,seconds,time\r\n";

struct stager_report {
    char *path;
    int fd;
    enum stager_format format;
    uint64_t len; /* in the file */
    struct buf rows;
};

static const char *errno_name(int errnum)
{
    const char *name = errnum > 0 ? strerrorname_np(errnum) : NULL;
    return name != NULL ? name : "";
}

/* A field in quotes where RFC 4180 wants them. */
static void add_field(struct buf *b, const char *text)
{
    if (strpbrk(text, ",\"\r\n") == NULL) {
        buf_adds(b, text);
        return;
    }
    buf_addc(b, '"');
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '"')
            buf_addc(b, '"');
        buf_addc(b, *p);
    }
    buf_addc(b, '"');
}

static void csv_row(struct buf *b, const char *fid, enum stager_action action,
                    const struct stager_outcome *o, const char *now)
{
    add_field(b, o->path);
    buf_addf(b, ",%s,%s,%s,%d,%s,", fid, stager_action_name(action), stager_result_name(o->result),
             o->error, errno_name(o->error));
    add_field(b, o->reason);
    buf_addf(b, ",%u,%" PRIu64 ",%.3f,%s\r\n", o->attempts, o->size,
             (double)o->elapsed_ns / (double)NS_PER_SEC, now);
}

static void json_row(struct buf *b, const char *fid, enum stager_action action,
                     const struct stager_outcome *o, const char *now)
{
    auto_json cJSON *j = cJSON_CreateObject();
    json_add_str(j, "path", o->path);
    json_add_str(j, "fid", fid);
    json_add_str(j, "action", stager_action_name(action));
    json_add_str(j, "result", stager_result_name(o->result));
    json_add_int(j, "errno", o->error);
    json_add_str(j, "error", errno_name(o->error));
    json_add_str(j, "reason", o->reason);
    json_add_int(j, "attempts", o->attempts);
    json_add_int(j, "size", (int64_t)o->size);
    const int64_t ms = o->elapsed_ns / 1000000;
    (void)cJSON_AddNumberToObject(j, "seconds", (double)ms / 1000.0);
    json_add_str(j, "time", now);
    auto_free char *text = cJSON_PrintUnformatted(j);
    buf_addf(b, "%s\n", text != NULL ? text : "{}");
}

void stager_report_row(struct buf *b, enum stager_format format, enum stager_action action,
                       const struct stager_outcome *o, int64_t now_ns)
{
    static const struct lu_fid none;
    char fid[FID_TEXT_MAX] = "";
    char now[TIMEFMT_MAX];
    if (memcmp(&o->fid, &none, sizeof(none)) != 0)
        (void)fid_text(&o->fid, fid);
    timefmt_iso_ms(now_ns, now);
    if (format == STAGER_CSV)
        csv_row(b, fid, action, o, now);
    else
        json_row(b, fid, action, o, now);
}

static bool ends_with(const char *path, const char *end)
{
    size_t n = strlen(path);
    size_t m = strlen(end);
    return n >= m && strcmp(path + n - m, end) == 0;
}

int stager_report_open(const char *path, uint64_t keep_len, struct stager_report **out,
                       struct err *err)
{
    auto_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_sys(err, errno, "report %s", path);
    if (ftruncate(fd, (off_t)keep_len) != 0 && errno != EINVAL) /* EINVAL: a pipe or terminal */
        return err_sys(err, errno, "report %s", path);
    (void)lseek(fd, 0, SEEK_END);
    struct stager_report *r = xzalloc(sizeof(*r));
    r->path = xstrdup(path);
    r->len = keep_len;
    r->format = ends_with(path, ".json") || ends_with(path, ".jsonl") ? STAGER_JSON : STAGER_CSV;
    if (keep_len == 0 && r->format == STAGER_CSV)
        buf_adds(&r->rows, stager_report_heading);
    r->fd = take_fd(fd);
    *out = r;
    return 0;
}

void stager_report_add(struct stager_report *r, enum stager_action action,
                       const struct stager_outcome *o, int64_t now_ns)
{
    stager_report_row(&r->rows, r->format, action, o, now_ns);
}

int stager_report_flush(struct stager_report *r, uint64_t *len, struct err *err)
{
    int rc = r->rows.len > 0 ? io_write_full(r->fd, r->rows.data, r->rows.len) : 0;
    if (rc < 0)
        return err_sys(err, -rc, "report %s", r->path);
    r->len += r->rows.len;
    buf_reset(&r->rows);
    if (len != NULL)
        *len = r->len;
    return 0;
}

void stager_report_close(struct stager_report *r)
{
    if (r == NULL)
        return;
    (void)close(r->fd);
    buf_fini(&r->rows);
    free(r->path);
    free(r);
}
