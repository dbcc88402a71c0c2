/* SPDX-License-Identifier: Apache-2.0 */
/* The event FIFO: one JSON object a line, lost when nobody reads. By reading. */
#include "lib_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct event {
    char text[PIPE_BUF];
    size_t len;
};
static pthread_mutex_t fifo_lock = PTHREAD_MUTEX_INITIALIZER;
static int fifo_fd = -1;
static bool fifo_created;

int llapi_hsm_register_event_fifo(const char *path)
{
    struct stat st;
    int rc = lib_fault("event_fifo");
    if (rc != 0)
        return rc;
    bool created = mkfifo(path, 0644) == 0;
    if (!created && errno != EEXIST)
        return -errno;
    if (!created && stat(path, &st) != 0)
        return -errno;
    if (!created && (!S_ISFIFO(st.st_mode) || (st.st_mode & 07777) != 0644))
        return -EINVAL;
    /* A reader of our own lets the writing end open; it goes again at once. */
    int reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (reader < 0)
        return -errno;
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    rc = fd < 0 ? -errno : 0;
    (void)close(reader);
    if (rc != 0)
        return rc;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)pthread_mutex_lock(&fifo_lock);
    if (fifo_fd >= 0)
        (void)close(fifo_fd);
    fifo_fd = fd;
    fifo_created = created;
    (void)pthread_mutex_unlock(&fifo_lock);
    return 0;
}

int llapi_hsm_unregister_event_fifo(const char *path)
{
    (void)pthread_mutex_lock(&fifo_lock);
    bool created = fifo_created;
    if (fifo_fd >= 0)
        (void)close(fifo_fd);
    fifo_fd = -1;
    fifo_created = false;
    (void)pthread_mutex_unlock(&fifo_lock);
    if (created && unlink(path) != 0)
        return -errno;
    return 0;
}

static bool fifo_open(void)
{
    (void)pthread_mutex_lock(&fifo_lock);
    bool open = fifo_fd >= 0;
    (void)pthread_mutex_unlock(&fifo_lock);
    return open;
}

static void add_raw(struct event *e, const char *s, size_t n)
{
    if (e->len + n < sizeof e->text) {
        memcpy(e->text + e->len, s, n);
        e->len += n;
    }
}

static void add_string(struct event *e, const char *name, const char *value)
{
    char esc[8];
    if (e->len > 1)
        add_raw(e, ", ", 2);
    add_raw(e, "\"", 1);
    add_raw(e, name, strlen(name));
    add_raw(e, "\": \"", 4);
    for (const unsigned char *p = (const unsigned char *)value; *p != '\0'; p++) {
        int n = *p < 0x20                 ? snprintf(esc, sizeof esc, "\\u%04x", *p)
                : *p == '"' || *p == '\\' ? snprintf(esc, sizeof esc, "\\%c", *p)
                                          : snprintf(esc, sizeof esc, "%c", *p);
        add_raw(e, esc, (size_t)n);
    }
    add_raw(e, "\"", 1);
}

static void add_number(struct event *e, const char *name, uint64_t value)
{
    char text[96];
    int n = snprintf(text, sizeof text, "%s\"%s\": %llu", e->len > 1 ? ", " : "", name,
                     (unsigned long long)value);
    add_raw(e, text, (size_t)n);
}

static void add_fid(struct event *e, const char *name, const struct lu_fid *fid)
{
    char text[64];
    (void)snprintf(text, sizeof text, "[0x%llx:0x%x:0x%x]", (unsigned long long)fid->seq, fid->oid,
                   fid->ver);
    add_string(e, name, text);
}

static void begin_event(struct event *e, const char *type)
{
    char when[64];
    struct tm tm;
    time_t now = time(NULL);
    e->len = 0;
    add_raw(e, "{", 1);
    (void)strftime(when, sizeof when, "%Y-%m-%d %T %z", localtime_r(&now, &tm));
    add_string(e, "event_time", when);
    add_string(e, "event_type", type);
}

static void send_event(struct event *e)
{
    add_raw(e, "}\n", 2);
    (void)pthread_mutex_lock(&fifo_lock);
    if (fifo_fd >= 0 && write(fifo_fd, e->text, e->len) < 0 && errno == EBADF)
        fifo_fd = -1;
    (void)pthread_mutex_unlock(&fifo_lock);
}

static void add_path(struct event *e, const struct lu_fid *fid)
{
    char path[PATH_MAX];
    int linkno = 0;
    const struct lib_site *s = lib_site();
    char text[64];
    (void)snprintf(text, sizeof text, "[0x%llx:0x%x:0x%x]", (unsigned long long)fid->seq, fid->oid,
                   fid->ver);
    if (s != NULL && llapi_fid2path(s->mount, text, path, sizeof path, NULL, &linkno) == 0)
        add_string(e, "lustre_path", path);
}

void lib_event_action(const struct hsm_action_item *hai, enum lib_stage stage, uint64_t total,
                      uint64_t current, int errval)
{
    static const char *const stages[] = {"START", "RUNNING", "FINISH", "CANCEL", "ERROR"};
    struct event e;
    char type[32];
    if (!fifo_open() || hai->action < HSMA_ARCHIVE || hai->action > HSMA_REMOVE)
        return;
    const char *verb = hai->action == HSMA_ARCHIVE   ? "ARCHIVE"
                       : hai->action == HSMA_RESTORE ? "RESTORE"
                                                     : "REMOVE";
    (void)snprintf(type, sizeof type, "%s_%s", verb, stages[stage]);
    begin_event(&e, type);
    struct lu_fid source = hai->fid;
    struct lu_fid data = stage == LIB_START ? hai->fid : hai->dfid;
    add_fid(&e, "source_fid", &source);
    add_fid(&e, "data_fid", &data);
    if (stage == LIB_START || stage == LIB_RUNNING) {
        add_path(&e, &source);
        add_number(&e, "total_bytes", total);
    }
    if (stage == LIB_RUNNING)
        add_number(&e, "current_bytes", current);
    if (stage == LIB_ERROR) {
        char text[128];
        add_number(&e, "errno", (uint64_t)errval);
        add_string(&e, "error", strerror_r(errval, text, sizeof text));
    }
    send_event(&e);
}

void lib_event_agent(const struct lib_ct *ct, const char *type)
{
    struct event e;
    char uuid[40];
    if (!fifo_open())
        return;
    begin_event(&e, type);
    (void)snprintf(uuid, sizeof uuid, "fa4e1057-0000-4000-8000-%012x", (unsigned)ct->agent);
    add_string(&e, "uuid", uuid);
    add_string(&e, "mount_point", ct->mount);
    add_number(&e, "archive", (uint64_t)ct->count);
    send_event(&e);
}

void llapi_hsm_log_error(int level, int err, const char *fmt, va_list args)
{
    static const char *const levels[] = {"OFF",    "FATAL", "ERROR", "WARN",
                                         "NORMAL", "INFO",  "DEBUG"};
    struct event e;
    char text[1024];
    int plain = level & 0xf;
    if (!fifo_open())
        return;
    begin_event(&e, "LOGGED_MESSAGE");
    add_string(&e, "level", plain < 7 ? levels[plain] : "DEBUG");
    (void)vsnprintf(text, sizeof text, fmt, args);
    add_string(&e, "message", text);
    if ((level & 0x10) == 0) {
        char error[128];
        int code = err < 0 ? -err : err;
        add_number(&e, "errno", (uint64_t)code);
        add_string(&e, "error", strerror_r(code, error, sizeof error));
    }
    send_event(&e);
}
