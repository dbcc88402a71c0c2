/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firnd's end of the control protocol: a Unix stream socket, one thread per connection, requests
 * answered in order. Who may call what stands in the table of operations that the caller gives; the
 * table of firnd is ctl_ops() in ctl/ops.h. Used by firnd and by the tests (with tables of their
 * own).
 */
#ifndef CTL_SERVER_H
#define CTL_SERVER_H

#include "base/err.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct ctl_server;
struct ctl_session;

/* Who may call an operation. Root and firnd's own user may call all of them. */
enum ctl_who {
    CTL_WHO_ROOT,
    CTL_WHO_S3, /* also the configured s3 user */
};

/* A request as a handler sees it. */
struct ctl_request {
    void *app;                   /* the server's */
    const cJSON *args;           /* an object; borrowed */
    enum ctl_who who;            /* the peer */
    struct ctl_session *session; /* NULL when no connection stands behind (fuzzing) */
    cJSON *result;               /* set by the handler on success: a new object; NULL is {} */
    cJSON *details;              /* may be set by the handler on failure: a new object */
};

/* An operation's work, on the connection's thread. Returns 0 with rq->result, or a negated errno
 * value with err set (and perhaps rq->details). */
typedef int ctl_handler_fn(struct ctl_request *rq, struct err *err);

/* A row of the table of operations. */
struct ctl_op {
    const char *name; /* "task.show" */
    enum ctl_who who;
    ctl_handler_fn *handler;
    const char *args; /* member names for the manual, separated by blanks; "" for none */
    const char *help; /* one line, no full stop */
};

/* How a server is to be. Strings and the table are borrowed until ctl_server_free. */
struct ctl_server_config {
    const char *socket_path;
    const struct ctl_op *ops;
    size_t n_ops;
    void *app;
    /* Frees what ctl_session_data holds when a connection ends; may be NULL. */
    void (*session_free)(void *app, void *data);
    uid_t s3_uid;               /* (uid_t)-1: nobody besides root */
    gid_t s3_gid;               /* group that may connect; (gid_t)-1: mode 0600, else 0660 */
    size_t max_connections;     /* 0: 256; the last eighth is kept for root */
    int64_t send_timeout_ms;    /* a peer that reads nothing for so long is dropped; 0: 30 s */
    int64_t partial_timeout_ms; /* so long may a begun line take; 0: 30 s */
};

/*
 * Makes the socket (a stale one at the path is removed; any other file there is -EEXIST; the caller
 * holds the lock against a second daemon) and begins to answer. Returns 0 with *out (end with
 * ctl_server_stop and ctl_server_free), or a negative code with err set.
 */
int ctl_server_start(const struct ctl_server_config *cfg, struct ctl_server **out, struct err *err);

/* Takes no more connections and no more requests (-ESHUTDOWN for those that come); requests that
 * are being answered go on. Does not wait. Any thread; twice is allowed. */
void ctl_server_stop(struct ctl_server *s);

/* Stops if needed, waits until every connection's thread has ended, removes the socket and frees s.
 * The caller has told the handlers' waits to end. NULL is allowed. */
void ctl_server_free(struct ctl_server *s);

/* The number of connections now. Any thread. */
size_t ctl_server_connections(struct ctl_server *s);

/* Sends an event before the answer of rq; takes ownership of event. Returns 0, or a negated errno
 * value when the peer has gone or reads too slowly (it is dropped; the handler may go on with its
 * work). One thread at a time per session. */
int ctl_event(struct ctl_request *rq, cJSON *event);

/* True when the peer of rq has hung up or the server stops: a handler that only waits for the
 * peer's sake should return. */
bool ctl_request_is_moot(struct ctl_request *rq);

/* A place for what belongs to the connection (open drafts); NULL at first. Only the connection's
 * thread. */
void **ctl_session_data(struct ctl_session *session);

/*
 * Answers one request line without a connection: finds the operation in the table, checks who,
 * calls the handler. Returns the answer as a new object, never NULL. session may be NULL. Used by
 * the connections and by the fuzz harness.
 */
cJSON *ctl_dispatch(const struct ctl_op *ops, size_t n_ops, void *app, enum ctl_who who,
                    struct ctl_session *session, const char *line, size_t len);

#endif
