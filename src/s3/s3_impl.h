/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside s3, protocol half: a connection, the request it carries at the moment, and the socket I/O.
 * A connection belongs to one worker at a time, or rests in the server's epoll set; every byte from
 * or to a socket passes the conn_* functions, which is where TLS would go.
 */
#ifndef S3_IMPL_H
#define S3_IMPL_H

#include "base/buf.h"
#include "s3/awschunk.h"
#include "s3/chunked.h"
#include "s3/http.h"
#include "s3/req.h"
#include "s3/sigv4.h"
#include "s3/uri.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/uio.h>

#define S3_IO_BUF    ((size_t)1 << 20)   /* a worker's buffer for data */
#define S3_RAW_BUF   ((size_t)256 << 10) /* a worker's buffer for coded bodies */
#define S3_SMALL_MAX ((size_t)64 << 10)  /* a body up to here travels with its header */
#define S3_SNAPS_MAX 8                   /* snapshots of the registry that one request may hold */

struct digest;
struct s3_server;

/* A request's body on its way in. */
struct s3_body {
    bool started, ended, finished;
    enum s3_error error;
    const char *why; /* static text, may be NULL */
    bool expect;     /* the client waits for 100 Continue */
    bool chunked, http_ended;
    bool is_aws, aws_ended;
    int64_t left;     /* of Content-Length */
    int64_t expected; /* bytes of data; -1 unknown */
    int64_t total;    /* bytes of data so far */
    int64_t wire;     /* bytes read from the socket so far */
    int64_t start_ns;
    struct chunked http;
    struct awschunk aws;
    uint8_t *raw;      /* S3_RAW_BUF bytes, the worker's */
    const uint8_t *in; /* bytes of raw not decoded yet */
    size_t in_len;
    const uint8_t *slice; /* bytes out of the HTTP coding, not taken yet */
    size_t slice_len;
    enum s3_sum alg; /* declared */
    bool by_trailer;
    const char *declared;      /* base64 of the header form */
    const char *sha256;        /* declared hex, or NULL */
    char trailer[64];          /* announced name, lower case, or "" */
    bool has_md5, md5_known;   /* declared; computed */
    uint8_t md5[16];           /* declared */
    bool want_sum, want_md5;   /* asked for by the handler */
    struct digest *sum_digest; /* of alg, or CRC64NVME */
    struct digest *md5_digest, *sha_digest;
};

/* A reply on its way out. */
struct s3_reply {
    struct buf headers;  /* lines added by the handler */
    struct buf elements; /* of the Error document */
    bool begun, ended, failed;
    bool chunked;
    bool is_head;
    int64_t left; /* announced bytes not sent yet */
    int64_t sent; /* bytes of body */
};

/* The request being served; part of a worker, reused. */
struct s3_active {
    struct s3_req req;
    struct http_head http;
    struct uri uri;
    struct sigv4 sig;
    struct s3_body body;
    struct s3_reply reply;
    struct s3_snapshot *snaps[S3_SNAPS_MAX];
    size_t n_snaps;
    bool in_lane;       /* see lanes.h */
    bool waiting;       /* between s3_wait_begin and _end */
    void *io_buf;       /* S3_IO_BUF */
    uint8_t *raw_buf;   /* S3_RAW_BUF */
    char *head_spare;   /* HTTP_HEAD_MAX, or NULL while the connection has it */
    struct buf scratch; /* for the canonical request, then for the head of the reply */
};

struct s3_conn {
    int fd;
    struct s3_server *server;
    struct s3_active *active; /* the worker's, while it is served */
    char peer[64];            /* address for the log */
    char *head;               /* HTTP_HEAD_MAX bytes, or NULL while nothing has come */
    size_t head_len;          /* bytes in head */
    size_t head_pos;          /* how far http_head_scan has looked */
    size_t taken;             /* bytes of head that the current request has used */
    bool close;               /* after the current reply */
    bool linger;              /* ... but not over input that the peer may still be sending */
    bool draining;            /* half-closed: what comes is thrown away until deadline_ns */
    size_t drained;           /* bytes thrown away */
    bool resting;             /* in the epoll set and the server's list of resting ones */
    int64_t deadline_ns;      /* monotonic; while resting */
    int64_t head_ns;          /* when the first byte of this head came */
    pthread_mutex_t handover; /* orders what one worker did to this before what the next one does */
    struct s3_conn *prev, *next;         /* resting list, oldest first */
    struct s3_conn *all_prev, *all_next; /* every connection */
};

/* ---- conn.c: socket I/O ---- */

/* Reads at least one byte: first what came behind the head, then from the socket (blocking, with
 * the socket's timeout). Returns the bytes, 0 at the end, or a negated errno value (-EAGAIN: too
 * slow). */
ssize_t conn_recv(struct s3_conn *c, void *buf, size_t cap);

/* Sends all of iov (changed). more: more follows at once. Returns 0 or a negated errno value. */
int conn_send(struct s3_conn *c, struct iovec *iov, int n, bool more);

/* Sends len bytes of file fd from off. Returns 0, -ENODATA when the file ended early, or a negated
 * errno value. */
int conn_sendfile(struct s3_conn *c, int fd, off_t off, int64_t len);

/* ---- body.c, body_declare.c ---- */

/* Reads what the headers declare about the body of a (parsed, authenticated) request. Returns 0, or
 * the error to answer with and *why (static text or NULL). */
enum s3_error body_declare(struct s3_active *a, const char **why);

/* Frees what the body owns. */
void body_fini(struct s3_active *a);

/* Whether the whole body has been read off the connection. */
bool body_consumed(const struct s3_active *a);

/* Records the first error of the body; returns -EBADMSG. */
int body_fail(struct s3_body *b, enum s3_error e, const char *why);

/* ---- reply.c ---- */

/* Answers e with fail's text and elements. */
int reply_fail(struct s3_req *req, enum s3_error e, const struct s3_fail *fail);

/* Frees what the reply owns. */
void reply_fini(struct s3_active *a);

/* ---- server.c ---- */

/* Whether the server is going down (then connections close after their reply). */
bool server_stopping(const struct s3_server *s);

/* Counts a waiting request, and lets another worker take its place. Returns 0, or 1 at the bound.
 */
int server_wait_begin(struct s3_server *s);
void server_wait_end(struct s3_server *s);

/* Before anything that may wait: another worker takes this one's lane. */
void server_may_block(struct s3_server *s, struct s3_active *a);

/* Calls the handler for the request in a. */
void server_handle(struct s3_server *s, struct s3_active *a);

/* The cache of signing keys. */
struct sigv4_cache *server_keys(struct s3_server *s);

/* ---- serve.c ---- */

/* Serves the request whose head of len bytes lies at c->head. Afterwards c->close says whether the
 * connection may go on; if so, c->head holds only what came behind the request. */
void serve_request(struct s3_conn *c, struct s3_active *a, struct s3_site *site, size_t len);

/* Answers a request whose head cannot be taken at all (too long, bare LF), and closes. */
void serve_bad_head(struct s3_conn *c, struct s3_active *a, struct s3_site *site, enum s3_error e,
                    const char *why);

/* ---- access.c ---- */

/* Writes the access line of a finished request. */
void access_log(const struct s3_req *req, const struct s3_conn *c, int64_t bytes_in,
                int64_t bytes_out);

#endif
