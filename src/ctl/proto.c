/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/proto.h"

#include "base/timefmt.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_CHUNK 65536
#define NS_PER_MS  1000000

/* Every code that firn names over the protocol; others travel as EIO. */
static const struct {
    int value;
    const char *name;
} errno_names[] = {
    {E2BIG, "E2BIG"},
    {EACCES, "EACCES"},
    {EADDRINUSE, "EADDRINUSE"},
    {EAGAIN, "EAGAIN"},
    {EBADF, "EBADF"},
    {EBADMSG, "EBADMSG"},
    {EBUSY, "EBUSY"},
    {ECANCELED, "ECANCELED"},
    {ECONNREFUSED, "ECONNREFUSED"},
    {ECONNRESET, "ECONNRESET"},
    {EDQUOT, "EDQUOT"},
    {EEXIST, "EEXIST"},
    {EFBIG, "EFBIG"},
    {EILSEQ, "EILSEQ"},
    {EINTR, "EINTR"},
    {EINVAL, "EINVAL"},
    {EIO, "EIO"},
    {EISDIR, "EISDIR"},
    {ELOOP, "ELOOP"},
    {EMEDIUMTYPE, "EMEDIUMTYPE"},
    {EMFILE, "EMFILE"},
    {EMLINK, "EMLINK"},
    {EMSGSIZE, "EMSGSIZE"},
    {ENAMETOOLONG, "ENAMETOOLONG"},
    {ENFILE, "ENFILE"},
    {ENODATA, "ENODATA"},
    {ENODEV, "ENODEV"},
    {ENOENT, "ENOENT"},
    {ENOEXEC, "ENOEXEC"},
    {ENOMEDIUM, "ENOMEDIUM"},
    {ENOMEM, "ENOMEM"},
    {ENOSPC, "ENOSPC"},
    {ENOSYS, "ENOSYS"},
    {ENOTDIR, "ENOTDIR"},
    {ENOTEMPTY, "ENOTEMPTY"},
    {ENOTSUP, "ENOTSUP"},
    {ENXIO, "ENXIO"},
    {EOVERFLOW, "EOVERFLOW"},
    {EPERM, "EPERM"},
    {EPIPE, "EPIPE"},
    {EPROTO, "EPROTO"},
    {ERANGE, "ERANGE"},
    {EREMOTEIO, "EREMOTEIO"},
    {EROFS, "EROFS"},
    {ESHUTDOWN, "ESHUTDOWN"},
    {ESRCH, "ESRCH"},
    {ESTALE, "ESTALE"},
    {ETIMEDOUT, "ETIMEDOUT"},
    {ETXTBSY, "ETXTBSY"},
    {EUCLEAN, "EUCLEAN"},
    {EXDEV, "EXDEV"},
};

#define N_ERRNO_NAMES (sizeof(errno_names) / sizeof(errno_names[0]))

const char *ctl_errno_name(int e)
{
    int value = e < 0 ? -e : e;
    for (size_t i = 0; i < N_ERRNO_NAMES; i++)
        if (errno_names[i].value == value)
            return errno_names[i].name;
    return "EIO";
}

int ctl_errno_value(const char *name)
{
    for (size_t i = 0; name != NULL && i < N_ERRNO_NAMES; i++)
        if (strcmp(errno_names[i].name, name) == 0)
            return errno_names[i].value;
    return EIO;
}

/* Waits until fd is ready for events or deadline_ns (monotonic; < 0: never) has passed. */
static int wait_ready(int fd, short events, int64_t deadline_ns)
{
    for (;;) {
        int ms = -1;
        if (deadline_ns >= 0) {
            int64_t left = (deadline_ns - time_mono_ns() + NS_PER_MS - 1) / NS_PER_MS;
            ms = left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
        }
        struct pollfd p = {.fd = fd, .events = events};
        int n = poll(&p, 1, ms);
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0 && deadline_ns >= 0 && time_mono_ns() >= deadline_ns)
            return -ETIMEDOUT;
    }
}

static int64_t deadline_after(int64_t timeout_ms)
{
    if (timeout_ms < 0 || timeout_ms > INT64_MAX / NS_PER_MS / 2)
        return -1;
    return time_mono_ns() + timeout_ms * NS_PER_MS;
}

/* Finds a newline in the bytes that were not looked at yet. */
static bool take_line(struct ctl_reader *r, char **line, size_t *len)
{
    size_t from = r->begin + r->seen;
    if (r->in.len == from)
        return false;
    char *nl = memchr(r->in.data + from, '\n', r->in.len - from);
    if (nl == NULL) {
        r->seen = r->in.len - r->begin;
        return false;
    }
    *nl = '\0';
    *line = r->in.data + r->begin;
    *len = (size_t)(nl - *line);
    r->begin += *len + 1;
    r->seen = 0;
    return true;
}

/* Moves what is left to the front, so that the buffer holds one line and a chunk at most. */
static void compact(struct ctl_reader *r)
{
    if (r->begin == 0)
        return;
    memmove(r->in.data, r->in.data + r->begin, r->in.len - r->begin);
    r->in.len -= r->begin;
    r->begin = 0;
}

static int read_more(struct ctl_reader *r)
{
    buf_reserve(&r->in, READ_CHUNK);
    ssize_t n = read(r->fd, r->in.data + r->in.len, READ_CHUNK);
    if (n > 0) {
        r->in.len += (size_t)n;
        r->in.data[r->in.len] = '\0';
        return 0;
    }
    if (n == 0)
        return -EPIPE;
    return errno == EINTR || errno == EAGAIN ? 0 : -errno;
}

int ctl_read_line(struct ctl_reader *r, int64_t timeout_ms, char **line, size_t *len)
{
    int64_t deadline = deadline_after(timeout_ms);
    for (;;) {
        if (take_line(r, line, len))
            return *len < CTL_LINE_MAX ? 0 : -EMSGSIZE;
        compact(r);
        if (r->in.len >= CTL_LINE_MAX)
            return -EMSGSIZE;
        int rc = wait_ready(r->fd, POLLIN, deadline);
        if (rc == 0)
            rc = read_more(r);
        if (rc != 0)
            return rc;
    }
}

void ctl_reader_fini(struct ctl_reader *r)
{
    buf_fini(&r->in);
    r->begin = 0;
    r->seen = 0;
}

int ctl_send(int fd, const void *data, size_t len, int64_t timeout_ms)
{
    int64_t deadline = deadline_after(timeout_ms);
    const char *p = data;
    while (len > 0) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            p += n;
            len -= (size_t)n;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return -errno;
        int rc = wait_ready(fd, POLLOUT, deadline);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int ctl_send_json(int fd, const cJSON *j, int64_t timeout_ms)
{
    auto_buf struct buf b = {0};
    char *text = cJSON_PrintUnformatted(j);
    if (text == NULL)
        return -ENOMEM;
    buf_adds(&b, text);
    cJSON_free(text);
    buf_addc(&b, '\n');
    if (b.len > CTL_LINE_MAX)
        return -EMSGSIZE;
    return ctl_send(fd, b.data, b.len, timeout_ms);
}

/* What a C string or a deep recursion could not bear; cJSON checks the rest. */
static const char *line_fault(const char *line, size_t len)
{
    if (memchr(line, '\0', len) != NULL)
        return "a NUL byte";
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        char c = line[i];
        if (in_string && c == '\\') {
            if (len - i >= 6 && memcmp(line + i, "\\u0000", 6) == 0)
                return "a NUL character in a string";
            i++;
        } else if (c == '"') {
            in_string = !in_string;
        } else if (!in_string && (c == '{' || c == '[') && ++depth > CTL_DEPTH_MAX) {
            return "nested too deep";
        } else if (!in_string && (c == '}' || c == ']')) {
            depth--;
        }
    }
    return NULL;
}

int ctl_parse(const char *line, size_t len, cJSON **out, struct err *err)
{
    const char *fault = line_fault(line, len);
    if (fault != NULL)
        return err_set(err, -EPROTO, "this line is no request or answer: %s", fault);
    const char *end = NULL;
    cJSON *j = cJSON_ParseWithLengthOpts(line, len + 1, &end, 1);
    if (j == NULL)
        return err_set(err, -EPROTO, "this line is no JSON, at byte %zu",
                       end != NULL && end >= line ? (size_t)(end - line) : 0);
    if (!cJSON_IsObject(j)) {
        cJSON_Delete(j);
        return err_set(err, -EPROTO, "this line is no JSON object");
    }
    *out = j;
    return 0;
}
