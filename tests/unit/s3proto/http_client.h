/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server on loopback and a raw client for tests: bytes out, bytes in.
 */
#ifndef TEST_HTTP_CLIENT_H
#define TEST_HTTP_CLIENT_H

#include "base/buf.h"
#include "conf/conf.h"
#include "s3/registry.h"
#include "s3/server.h"

struct fixture {
    struct conf conf;
    struct s3_site site;
    struct s3_server *server;
    int port;
};

/* Starts a server with handle, workers workers and the given bounds; one account "owner" with the
 * published example key, one bucket "b". Fails the test when it cannot. */
void fixture_start(struct fixture *f, s3_handler_fn handle, size_t workers, size_t max_waiting,
                   size_t max_connections, int idle_s);

/* Stops it; every request must have ended. */
void fixture_stop(struct fixture *f);

/* Connects; the socket times out after 10 s. */
int client_open(const struct fixture *f);

/* Sends all of text. */
void client_send(int fd, const char *text);
void client_send_bytes(int fd, const void *p, size_t n);

/* Reads one reply: head and the body that Content-Length or chunks announce (none for head_only).
 * Returns its status, 0 when the connection ended before a whole head. body (may be NULL) gets the
 * body, head (may be NULL) the head. */
int client_reply(int fd, bool head_only, struct buf *head, struct buf *body);

/* True when the server has closed: nothing more comes. */
bool client_closed(int fd);

/* One request on a connection of its own; the status. */
int client_once(const struct fixture *f, const char *text, struct buf *body);

/* Signs a request head (all lines but Authorization; ends in an empty line) with the example key
 * now: x-amz-date is added. Returns a new text. signature (may be NULL) gets 65 bytes. */
char *client_sign(const char *method, const char *path, const char *headers, const char *payload,
                  char *signature, char *amz_date);

#endif
