/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's end of the control protocol: what firn and firn-s3 use to ask firnd. A client is one
 * connection, used by one thread at a time; requests on it are answered in order, so a wait holds
 * it up. A program with several threads gives each its own client, or takes clients from a pool.
 * Depends on base alone. The operations, their arguments and results: firn-protocol(7).
 */
#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H

#include "base/cleanup.h"
#include "base/err.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ctl_client;
struct ctl_pool;

/*
 * Called for every event line that comes before the answer; event is borrowed for the call. 0 goes
 * on; a negative value abandons the call, which then returns that value (the connection is of no
 * more use; the work in firnd goes on).
 */
typedef int (*ctl_event_fn)(void *ctx, const cJSON *event);

/*
 * Connects to firnd's socket at socket_path. Returns 0 with *client (close it with ctl_close), or a
 * negative code with err set: -ECONNREFUSED when nobody answers there (also when the socket does
 * not exist; the text says that firnd seems not to run), -EACCES when this user may not connect.
 * *client is untouched on failure. Any thread.
 */
int ctl_connect(const char *socket_path, struct ctl_client **client, struct err *err);

/* Closes the connection and frees c. What firnd has accepted goes on. NULL is allowed. */
void ctl_close(struct ctl_client *c);

/*
 * Sends request op with args (an object; it is this call's from here on, also on failure; NULL
 * stands for {}) and waits for the answer. on_event may be NULL: then events are dropped.
 * timeout_ms: the longest wait for the next line (an event counts as a line); < 0 waits for ever.
 *
 * Returns 0 with *result (an object, the caller frees it with cJSON_Delete; result may be NULL).
 * On failure a negated errno value with err set:
 *   - firnd answered with an error: the code it names and its text; ctl_error_code() is not NULL,
 *     ctl_error_details() may hold more; the connection goes on;
 *   - -ETIMEDOUT: no line came in time; -ECONNRESET: the connection broke (it is not known whether
 *     firnd ran the request); -EPROTO: the answer is no protocol; -EMSGSIZE: the request or the
 *     answer is over CTL_LINE_MAX; or on_event's value. Then ctl_error_code() is NULL and
 *     ctl_broken() true.
 */
int ctl_call(struct ctl_client *c, const char *op, cJSON *args, cJSON **result,
             ctl_event_fn on_event, void *ctx, int64_t timeout_ms, struct err *err);

/* The code of firnd's error answer to the last call, "ENOENT"; NULL when there was none (success,
 * or the connection failed). Valid until the next call. */
const char *ctl_error_code(const struct ctl_client *c);

/* The details object of that answer, borrowed until the next call; NULL when there is none. */
const cJSON *ctl_error_details(const struct ctl_client *c);

/* True when the connection is of no more use: ctl_reconnect or ctl_close it. A call on a broken
 * client is -ECONNRESET at once. */
bool ctl_broken(const struct ctl_client *c);

/*
 * Opens c's connection anew (an open one is closed first; drafts of tasks are lost with it), trying
 * again until wait_ms (>= 0) is over: firnd may be starting. Returns 0, or the last failure of
 * ctl_connect with err set.
 */
int ctl_reconnect(struct ctl_client *c, int64_t wait_ms, struct err *err);

/*
 * As ctl_call for requests that may be run twice (everything that only shows, recall, task.wait):
 * when the connection is or gets broken before the answer, reconnects (waiting at most retry_ms in
 * all for firnd) and asks again.
 */
int ctl_call_again(struct ctl_client *c, const char *op, cJSON *args, cJSON **result,
                   ctl_event_fn on_event, void *ctx, int64_t timeout_ms, int64_t retry_ms,
                   struct err *err);

/* A pool of connections to socket_path for a program with many threads; at most max_idle rest open
 * in it. Nothing is connected yet. Never NULL; free with ctl_pool_free. */
struct ctl_pool *ctl_pool_new(const char *socket_path, size_t max_idle);

/* Closes the resting connections and frees p; every client must be back. NULL is allowed. */
void ctl_pool_free(struct ctl_pool *p);

/* A connected client for the calling thread: a resting one that is still alive, or a new one.
 * Returns 0 with *client (give it back with ctl_pool_put), or as ctl_connect. Any thread. */
int ctl_pool_get(struct ctl_pool *p, struct ctl_client **client, struct err *err);

/* Gives c back; a broken one is closed. NULL is allowed. Any thread. */
void ctl_pool_put(struct ctl_pool *p, struct ctl_client *c);

/*
 * One request on a connection of the pool, without events; arguments and failures as ctl_call.
 * When firnd answers with an error that has details, *details (may be NULL) becomes that object,
 * which the caller frees; else it is untouched. Any thread.
 */
int ctl_pool_call(struct ctl_pool *p, const char *op, cJSON *args, cJSON **result, cJSON **details,
                  int64_t timeout_ms, struct err *err);

DEFINE_CLEANUP(struct ctl_client *, ctl_close)
/* An owning client: auto_ctl struct ctl_client *c = NULL; */
#define auto_ctl __attribute__((cleanup(cleanup_ctl_close)))

#endif
