/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP server: connections that rest in one epoll set, and workers that take a ready one, serve
 * its request with blocking I/O and put it back. The program starts it; a handler never sees it.
 */
#ifndef S3_SERVER_H
#define S3_SERVER_H

#include "base/err.h"
#include "s3/req.h"

struct s3_server;

/* Serves one request: answers it through s3_reply_*(). Called on any worker, under the account's
 * file system identity. */
typedef void (*s3_handler_fn)(struct s3_req *req);

struct s3_server_opts {
    int listen_fd; /* a listening socket, non-blocking; owned by the server from here on */
    struct s3_site *site;
    s3_handler_fn handle;
    size_t workers;         /* > 0 */
    size_t max_waiting;     /* requests between s3_wait_begin and _end */
    size_t max_connections; /* > 0 */
    int idle_timeout_s;     /* > 0: of resting connections, slow heads, stalled reads and writes */
    int drain_s;            /* how long s3_server_stop lets requests go on */
};

/* Opens a listening socket on "address:port" or "[v6]:port" (port 0: any). Returns 0 with *fd, or a
 * negative code with err naming the address. */
int s3_listen(const char *where, int *fd, struct err *err);

/* The port of a listening socket. */
int s3_listen_port(int fd);

/* Starts the workers. Returns 0 with *s (end it with s3_server_stop), or a negative code with err
 * set and nothing running. */
int s3_server_start(const struct s3_server_opts *opts, struct s3_server **s, struct err *err);

/*
 * Takes no more connections, closes the resting ones, lets running requests end for drain_s
 * seconds, cuts the others (*cut of them), and frees s. Returns 0, or 1 when a worker hangs in a
 * call that nothing ends (a dead disk): s and all that requests use must stay then, and the program
 * should _exit.
 */
int s3_server_stop(struct s3_server *s, size_t *cut);

#endif
