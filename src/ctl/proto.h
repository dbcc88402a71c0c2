/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What both ends of the control protocol share: limits, the names of error codes, and reading and
 * writing of lines. Newline-delimited JSON over a Unix stream socket, firn-protocol(7). Used by
 * ctl/client.c, by ctl/server.c and by the tests; any thread, one at a time per object.
 */
#ifndef CTL_PROTO_H
#define CTL_PROTO_H

#include "base/buf.h"
#include "base/err.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest line, its newline included; both ends refuse a longer one. */
#define CTL_LINE_MAX (4u << 20)
/* The deepest nesting of JSON that is taken from a peer. */
#define CTL_DEPTH_MAX 32
/* The most paths that one task.add or file.state takes. */
#define CTL_PATHS_MAX 1000
/* The socket when the configuration names none. */
#define CTL_SOCKET_DEFAULT "/run/firn/firnd.sock"

/* The name of errno value e (positive or negated), "ENOENT"; "EIO" for a value without a name.
 * Static storage. */
const char *ctl_errno_name(int e);

/* The positive errno value that name stands for; EIO for an unknown name or NULL. */
int ctl_errno_value(const char *name);

/* Bytes read from a socket, cut into lines. Caller's storage, {.fd = fd}; fd is borrowed. */
struct ctl_reader {
    int fd;
    struct buf in; /* bytes that came; ctl_reader_fini frees them */
    size_t begin;  /* first byte not handed out yet */
    size_t seen;   /* bytes from begin that hold no newline */
};

/*
 * The next line without its newline into *line (*len bytes, NUL-terminated; it may hold NUL bytes
 * inside; valid until the next call). Waits at most timeout_ms (< 0: for ever) for it to be
 * complete. Returns 0; -ETIMEDOUT; -EPIPE when the peer has closed; -EMSGSIZE for a line over
 * CTL_LINE_MAX; another negated errno value. After a failure other than -ETIMEDOUT the reader is of
 * no more use.
 */
int ctl_read_line(struct ctl_reader *r, int64_t timeout_ms, char **line, size_t *len);

/* Frees what r holds; the descriptor stays open. */
void ctl_reader_fini(struct ctl_reader *r);

/* Sends len bytes, waiting at most timeout_ms (< 0: for ever) in all. Never raises SIGPIPE. Returns
 * 0, -ETIMEDOUT when the peer does not read, or another negated errno value. */
int ctl_send(int fd, const void *data, size_t len, int64_t timeout_ms);

/* Sends tree j as one line; j stays the caller's. Returns as ctl_send, or -EMSGSIZE when the line
 * would be longer than CTL_LINE_MAX. */
int ctl_send_json(int fd, const cJSON *j, int64_t timeout_ms);

/*
 * Parses one line of len bytes as a JSON object into *out (the caller frees it with cJSON_Delete).
 * Refused: anything else than an object, bytes behind it, NUL bytes, nesting over CTL_DEPTH_MAX.
 * Returns 0, or -EPROTO with err saying why.
 */
int ctl_parse(const char *line, size_t len, cJSON **out, struct err *err);

#endif
