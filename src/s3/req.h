/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door between the protocol (HTTP, SigV4, bodies, replies) and the S3 operations. The server
 * parses and authenticates a request, takes the account's file system identity and calls the one
 * handler (s3_handle in s3/ops.h) on a worker thread; the handler reads the body through
 * s3_body_*() and answers with exactly one s3_reply_*() that ends the reply. Everything here is
 * called from the handler's thread only, for the one request that it was given; blocking calls are
 * allowed there, long waits go between s3_wait_begin() and s3_wait_end(). Strings that a request
 * hands out live until the handler returns. How each part works: doc/design/s3-http.md.
 */
#ifndef S3_REQ_H
#define S3_REQ_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct cJSON;
struct conf;
struct s3_changes;
struct s3_conn;
struct s3_registry;
struct s3_snapshot;

/* The methods that get as far as a handler; others are answered 405 before. */
enum s3_method {
    S3_METHOD_GET,
    S3_METHOD_HEAD,
    S3_METHOD_PUT,
    S3_METHOD_POST,
    S3_METHOD_DELETE,
    S3_METHOD_OPTIONS,
};

/* The one table of error answers: s3/errors.def has a row (id, status, Code, Message) for each. */
enum s3_error {
    S3_ERR_NONE,
#define S3_ERROR(id, status, code, message) S3_ERR_##id,
#include "s3/errors.def"
#undef S3_ERROR
    S3_ERR_COUNT
};

/* A checksum algorithm of the x-amz-checksum-* headers. */
enum s3_sum {
    S3_SUM_NONE,
    S3_SUM_CRC32,
    S3_SUM_CRC32C,
    S3_SUM_CRC64NVME,
    S3_SUM_SHA1,
    S3_SUM_SHA256,
};

#define S3_SUM_B64_MAX 48 /* base64 of the longest digest above and a NUL */
#define S3_NAME_MAX    64 /* an account's or a bucket's name and a NUL */
#define S3_ID_TEXT     17 /* a request id: 16 hex digits and a NUL */

/* An account as the registry knows it; secrets are not in here. */
struct s3_account {
    char name[S3_NAME_MAX];
    uid_t uid;
    gid_t gid;
    bool new_buckets;    /* may create buckets */
    bool md5_etag;       /* its objects get MD5 ETags */
    const char *created; /* ISO 8601 */
};

/* A bucket as the registry knows it. */
struct s3_bucket {
    char name[S3_NAME_MAX];
    char owner[S3_NAME_MAX]; /* account name */
    const char *path;        /* absolute directory */
    const char *created;     /* ISO 8601 */
    bool exported;           /* an existing directory, never removed through S3 */
    uid_t uid;               /* of the owner */
    gid_t gid;
};

/* A query parameter, decoded once (%XX, and + as space). */
struct s3_param {
    const char *name;
    const char *value; /* "" when there is none */
    bool had_equals;
};

/* A header: name in lower case, value without blanks at its ends. A name occurs once; the values of
 * a repeated header are joined with "," (RFC 9110, 5.3). */
struct s3_header {
    const char *name;
    const char *value;
    bool is_signed; /* named in SignedHeaders of a valid signature */
};

/* What is the same for all requests of the process. */
struct s3_site {
    const struct conf *conf;
    struct s3_registry *registry;
    struct s3_changes *changes; /* whom changes of attributes are told; NULL: nobody */
    int buckets_fd;             /* O_PATH of the buckets directory; owned by the process */
    void *ops;                  /* the operations' own state; the server does not look */
};

struct s3_req {
    struct s3_site *site;
    struct s3_conn *conn; /* the protocol side's, opaque here */
    enum s3_method method;
    const char *target;            /* as sent, e.g. "/b/k%20?tagging" */
    const char *host;              /* Host header, never NULL */
    const char *bucket;            /* decoded once; "" for the service itself */
    const char *key;               /* decoded once, without the leading "/"; "" for the bucket.
                                    * Never holds NUL (refused before); nothing else is checked */
    bool virtual_host;             /* the bucket came from the Host header */
    const struct s3_param *params; /* in the order sent */
    size_t n_params;
    const struct s3_header *headers; /* in the order sent */
    size_t n_headers;
    const struct s3_account *account; /* NULL: anonymous */
    bool presigned;                   /* authenticated by query parameters */
    char id[S3_ID_TEXT];              /* x-amz-request-id */
    int64_t content_length;           /* bytes of the object's data (the decoded length when the
                                       * body is aws-chunked); -1 unknown, 0 no body */
    bool has_body;                    /* a Content-Length > 0 or a Transfer-Encoding was sent */
    bool aws_chunked;                 /* x-amz-content-sha256 names a streaming form */
    int64_t start_ns;                 /* monotonic, when the head was complete */
    int status;                       /* of the reply once it has begun, else 0 */
    const char *op;                   /* the operation's name for the access log; the handler sets
                                       * it to a static string */
};

/* What the body layer verified or computed. */
struct s3_checksums {
    enum s3_sum alg;            /* the declared algorithm, else CRC64NVME when it was wanted,
                                 * else NONE */
    bool declared;              /* the client sent the value (header or trailer), and it matched */
    char value[S3_SUM_B64_MAX]; /* base64 of the digest, big-endian */
    char md5_hex[33];           /* set if Content-MD5 was sent or MD5 was wanted, else "" */
    int64_t bytes;              /* of data read */
};

/* ---- looking things up ---- */

/* The value of header name (lower case), or NULL when absent. */
const char *s3_req_header(const struct s3_req *req, const char *name);

/* The value of query parameter name ("" when it came without one), or NULL when absent. Of repeated
 * parameters the first counts. */
const char *s3_req_param(const struct s3_req *req, const char *name);

/* The bucket of that name (unknown names ask firnd again, rate limited), or NULL. Borrowed until
 * the handler returns. */
const struct s3_bucket *s3_req_find_bucket(struct s3_req *req, const char *name);

/* All buckets, sorted by name, *n of them. Borrowed until the handler returns. */
const struct s3_bucket *s3_req_buckets(struct s3_req *req, size_t *n);

/* The account of that name, or NULL. Borrowed until the handler returns. */
const struct s3_account *s3_req_find_account(struct s3_req *req, const char *name);

/* Fetches accounts and buckets from firnd now, after this request changed them through
 * s3_ctl_call(). Returns 0 or a negative code with err set (the old registry stays). */
int s3_req_registry_changed(struct s3_req *req, struct err *err);

/* The name of a checksum algorithm as in XML ("CRC64NVME"), and as the header ends ("crc64nvme");
 * static strings; "" for S3_SUM_NONE. */
const char *s3_sum_name(enum s3_sum alg);
const char *s3_sum_suffix(enum s3_sum alg);

/* The algorithm of a name in either case, or S3_SUM_NONE for another name. */
enum s3_sum s3_sum_parse(const char *name);

/* ---- the engine ---- */

/*
 * Calls control operation op of firnd with args (owned by the callee; NULL for none) and waits at
 * most timeout_ms (> 0). Runs under the process's own identity, the account's comes back before the
 * return. *result (may be NULL; else the caller deletes it) is the answer. Returns 0 or a negative
 * code with err set: firnd's own error code, -ECONNREFUSED or the like when it is away, -ETIMEDOUT.
 */
int s3_ctl_call(struct s3_req *req, const char *op, struct cJSON *args, int timeout_ms,
                struct cJSON **result, struct err *err);

/* Announces that what follows may wait (for a disk, for firnd): another worker takes this one's
 * turn at new requests. Cheap, and nothing needs to be ended; the server has done it for all
 * requests but a GET without a body, which goes without as long as all that it needs is in memory.
 */
void s3_may_block(struct s3_req *req);

/*
 * Announces a wait that may be long (a recall): another worker takes this one's place, so that
 * others are served. Returns 0, or 1 when too many requests wait already: answer 503 SlowDown with
 * Retry-After. Pair with s3_wait_end(). A wait within a wait is an error of the caller.
 */
int s3_wait_begin(struct s3_req *req);

/* Ends what s3_wait_begin() announced. */
void s3_wait_end(struct s3_req *req);

/* ---- the file system identity ---- */

/* Takes fsuid and fsgid of a for this thread (NULL: nobody's, 65534). The server has done this for
 * req->account before the handler runs. Returns 0, or -EPERM with err set when the kernel refused.
 */
int s3_creds_enter(const struct s3_account *a, struct err *err);

/* Gives the thread the process's own identity back. */
void s3_creds_leave(void);

/* ---- the body ---- */

/*
 * Asks for digests besides the declared ones, before the first read: want_sum computes a CRC64NVME
 * if the client declares no checksum; want_md5 computes the MD5.
 */
void s3_body_want(struct s3_req *req, bool want_sum, bool want_md5);

/* The worker's own I/O buffer, *cap bytes (1 MiB), page-aligned, for s3_body_read and for copying.
 * Valid until the handler returns; never used by the body layer for anything that the caller
 * sees. */
void *s3_io_buf(struct s3_req *req, size_t *cap);

/*
 * Reads the next data of the body, decoded, into buf of cap (> 0) bytes. The first call sends "100
 * Continue" if the client waits for it. Returns the bytes read (> 0), 0 at the end of the body, or
 * a negative code when the body is bad, cut or too slow; then call s3_reply_body_error() and store
 * nothing. 0 does not yet mean that the body is good: s3_body_finish() does.
 */
ssize_t s3_body_read(struct s3_req *req, void *buf, size_t cap);

/*
 * Reads what is left (discarding it) and settles every declared digest, signature, length and
 * trailer. Returns 0 with *sums set (may be NULL): only now may the data become visible. Negative:
 * call s3_reply_body_error() and store nothing.
 */
int s3_body_finish(struct s3_req *req, struct s3_checksums *sums);

/*
 * The whole body of at most max bytes into *b, finished as by s3_body_finish(); a request without a
 * body gives an empty one. Returns 0, or negative: call s3_reply_body_error() (a larger body
 * becomes MaxMessageLengthExceeded).
 */
int s3_body_read_small(struct s3_req *req, size_t max, struct buf *b, struct s3_checksums *sums);

/* The error that the body layer met (S3_ERR_NONE when none). */
enum s3_error s3_body_error(const struct s3_req *req);

/* Answers with the error that the body layer met. Returns as the other replies. */
int s3_reply_body_error(struct s3_req *req);

/*
 * Reads the declarations of a checksum without reading the body: *alg is the algorithm of the
 * x-amz-checksum-* header or trailer, or of x-amz-sdk-checksum-algorithm, else S3_SUM_NONE.
 * Contradictions were refused before the handler ran.
 */
void s3_body_declared(const struct s3_req *req, enum s3_sum *alg, bool *has_md5);

/* ---- the reply ----
 * One reply a request. Functions return 0, or a negative code when the connection is gone; there is
 * nothing more to do then but to return. A handler that returns without a reply gives a 500. The
 * server adds Date, x-amz-request-id, x-amz-id-2, Content-Length, Connection. */

/* Adds a header to the reply to come; CR, LF and other control characters in the value become
 * blanks. Dropped by none of the replies: an error carries it too, unless s3_reply_reset_headers()
 * was called. */
void s3_reply_header(struct s3_req *req, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Forgets the headers (and error elements) added so far. */
void s3_reply_reset_headers(struct s3_req *req);

/* Answers without a body: status 200, 204, 304, ... (204 and 304 carry no Content-Length). */
int s3_reply_empty(struct s3_req *req, int status);

/* For HEAD: answers without a body but with Content-Length len. */
int s3_reply_head(struct s3_req *req, int status, int64_t len);

/* Answers with xml (a whole document, its declaration included) as application/xml. HEAD gets the
 * headers only. */
int s3_reply_xml(struct s3_req *req, int status, const struct buf *xml);

/*
 * Answers with len bytes of file fd from byte off, without a copy through user space; HEAD gets the
 * headers only. Content-Type and the rest come from s3_reply_header(). A file that ends early cuts
 * the connection. fd stays the caller's. Returns 0, or negative (the reply has begun: just return).
 */
int s3_reply_file(struct s3_req *req, int status, int fd, off_t off, int64_t len);

/* Begins a reply whose body follows by s3_reply_write(); len is its exact size, or -1 for chunked
 * coding. End with s3_reply_end(). */
int s3_reply_begin(struct s3_req *req, int status, int64_t len);

/* Sends n bytes of the body begun (nothing for HEAD). */
int s3_reply_write(struct s3_req *req, const void *p, size_t n);

/* Ends the body begun. Fewer bytes than announced cut the connection. */
int s3_reply_end(struct s3_req *req);

/* Adds element name with text value to the Error document to come (Region, StorageClass,
 * Condition, ...). */
void s3_error_element(struct s3_req *req, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Answers with error e: status, Code and Message of the table, Resource, RequestId, HostId and the
 * added elements. fmt (NULL: the table's message) replaces the message. HEAD gets no body. If a
 * body is left unread, the connection closes after the answer.
 */
int s3_reply_error(struct s3_req *req, enum s3_error e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The table: S3 code ("NoSuchKey"), HTTP status and message of e; static strings. */
const char *s3_error_code(enum s3_error e);
int s3_error_status(enum s3_error e);
const char *s3_error_message(enum s3_error e);

#endif
