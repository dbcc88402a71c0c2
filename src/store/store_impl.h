/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside store: what its files share. A call (call.c) is one request of the API with its tries; a
 * transfer (wire.c) is one try of it; a head (head.c) is what the answer's header lines said.
 * Everything of a call lives on its caller's stack and is done by its caller's thread.
 */
#ifndef STORE_IMPL_H
#define STORE_IMPL_H

#include "base/buf.h"
#include "codec/sign.h"
#include "codec/xml.h"
#include "store/store.h"

#include <curl/curl.h>
#include <pthread.h>

/* ---- head.c: header lines of an answer ---- */

#define HEAD_BYTES_MAX 65536 /* of header lines that are kept, in all */
#define HEAD_SUM_MAX   128   /* a checksum as text, "-N" of composite ones included */

enum head_sum { HEAD_CRC64NVME, HEAD_CRC32C, HEAD_CRC32, HEAD_SHA1, HEAD_SHA256, HEAD_SUMS };

struct head {
    struct store_reply reply;
    bool saw_continue;                      /* 100 came before */
    bool has_range;                         /* the three below hold */
    int64_t range_from, range_to, range_of; /* Content-Range; range_of -1 for "*" */
    int64_t length;                         /* Content-Length, -1: none */
    int64_t date_ns;                        /* Date, 0: none */
    int64_t retry_after_ns;                 /* Retry-After from now, -1: none */
    bool encrypted;                         /* the ETag is no MD5 */
    char sums[HEAD_SUMS][HEAD_SUM_MAX];
    char region[65];    /* x-amz-bucket-region */
    char location[256]; /* cut */
    char type[64];      /* Content-Type, cut */
    size_t bytes;
    const char *bad; /* why the head cannot be believed, or NULL; static */
};

/* Makes h empty; what it owned is freed. A zeroed head may be given. */
void head_reset(struct head *h);

/* Frees what h owns. */
void head_fini(struct head *h);

/* Takes one line of an answer's head, n bytes with or without the line end: a status line begins
 * the head anew (but for saw_continue). Broken and doubled fields set h->bad. Never fails. */
void head_line(struct head *h, const char *line, size_t n);

/* After the last line: sorts the metadata, judges the ETag. */
void head_end(struct head *h);

/* An ETag without its quotes into out[cap], cut. */
void head_unquote(char *out, size_t cap, const char *value);

/* Parses "bytes A-B/C". Returns 0, or -EINVAL. */
int head_parse_range(const char *s, int64_t *from, int64_t *to, int64_t *of);

/* ---- creds.c: credentials ---- */

struct creds;

/* A copy of the credentials of one moment; creds_value_fini wipes it. */
struct creds_value {
    char *access_key; /* NULL: anonymous is never used; always set */
    char *secret_key;
    char *token; /* NULL: none */
    uint64_t generation;
};

/* Finds credentials as store_open says. Returns 0 with *out (creds_close), or a negative code. */
int creds_open(const struct store_config *config, struct creds **out, struct err *err);

/* Wipes and frees c; NULL is allowed. */
void creds_close(struct creds *c);

/* Copies the credentials into *out; a file that changed is read again first (looked at once a
 * second at most), one that expired at once. Returns 0, or -EACCES with err. Any thread. */
int creds_get(struct creds *c, struct creds_value *out, struct err *err);

/* The store refused the credentials of a generation: reads the file again now. Returns whether
 * there are others now. */
bool creds_renew(struct creds *c, uint64_t generation);

/* Where they come from, for texts: "the configuration", "profile x of FILE"; borrowed. */
const char *creds_origin(struct creds *c);

/* Wipes and frees what v owns. */
void creds_value_fini(struct creds_value *v);

/* One profile of a text in the AWS tools' form (AWS CLI User Guide, "Configuration and credential
 * file settings"). Returns 0 with *out and *expires_ns (0: never), or -ENOENT, -EINVAL with err
 * naming the line, never a value. */
int creds_parse(const char *text, size_t len, const char *profile, struct creds_value *out,
                int64_t *expires_ns, struct err *err);

#define auto_creds_value __attribute__((cleanup(creds_value_fini)))

/* ---- target.c: where a request goes ---- */

struct endpoint {
    bool tls;
    char *authority; /* "host" or "host:port", as in Host */
    bool address;    /* host is an IP address */
    bool aws;        /* a host of Amazon's */
};

/* A request's place. Free with target_fini. */
struct target {
    char *url;  /* whole */
    char *host; /* for the Host header */
    char *path; /* encoded, as in the canonical request */
};

/* Parses "http[s]://host[:port][/]". Returns 0, or -EINVAL with err. */
int endpoint_parse(const char *text, struct endpoint *e, struct err *err);

/* Frees what e owns. */
void endpoint_fini(struct endpoint *e);

/* The place of bucket (may be NULL) and key (may be NULL) with a canonical query ("" none). Returns
 * 0, or -EINVAL, -ENAMETOOLONG with err. */
int target_make(const struct endpoint *e, enum store_style style, const char *bucket,
                const char *key, const char *query, struct target *out, struct err *err);

/* Frees what t owns. */
void target_fini(struct target *t);

#define auto_target __attribute__((cleanup(target_fini)))

/* Appends "&name=value" (without "&" at the beginning), both percent-encoded. Parameters are to be
 * added in the order of their names, as the canonical query wants them. */
void query_add(struct buf *b, const char *name, const char *value);

/* ---- signer.c ---- */

#define SIGNER_FIELDS_MAX 80 /* headers of a request, metadata included */
#define SIGNER_LINES      (SIGNER_FIELDS_MAX + 6)

/* The signing key of one day; region and credentials are the store's. Guarded by its lock. */
struct signer_day {
    pthread_mutex_t lock;
    bool known;
    uint64_t generation; /* of the credentials */
    char date[9];
    uint8_t key[SIGN_KEY_SIZE];
};

/* Header lines in curl's form, which point into text. Zeroed before; signer_lines_fini after. */
struct signer_lines {
    struct curl_slist list[SIGNER_LINES]; /* the first is the head of the list */
    size_t at[SIGNER_LINES];              /* where each begins in text */
    size_t n;
    struct buf text;
};

/* What is signed of a request. */
struct signer_input {
    const char *method, *path, *query, *host;
    const char *payload;              /* SHA-256 in hex, or UNSIGNED-PAYLOAD */
    const struct store_field *fields; /* lower-case names, none twice; not host, x-amz-date... */
    size_t nfields;
    const char *region;
    int64_t now_ns;
    const char *unsigned_line; /* to be sent besides, NULL: none */
    struct signer_day *day;    /* NULL: the key is computed each time */
};

/* The headers of a signed request into *lines. Returns 0, or -E2BIG when there are too many fields.
 * canonical (may be NULL) gets the canonical request, for tests. Any thread. */
int signer_headers(const struct signer_input *in, const struct creds_value *who,
                   struct signer_lines *lines, struct buf *canonical, struct err *err);

/* Frees what l owns. */
void signer_lines_fini(struct signer_lines *l);
#define auto_lines __attribute__((cleanup(signer_lines_fini)))

/* Makes d know nothing; and wipes it. */
void signer_day_init(struct signer_day *d);
void signer_day_fini(struct signer_day *d);

/* ---- wire.c: transfers, each on its caller's thread ---- */

struct wire;
struct line;

struct wire_config {
    unsigned connections;
    unsigned connect_timeout_s, stall_timeout_s;
    uint64_t min_speed;
    bool tls_verify;
    const char *ca_file;            /* borrowed while the wire lives; NULL: the system's */
    const _Atomic int64_t *halt_ns; /* as in store_config */
};

/* One try. The first part is the caller's, the rest is filled; transfer_fini frees it. */
struct transfer {
    const char *method, *url;
    struct curl_slist *headers; /* borrowed */
    const void *body;           /* NULL: none */
    size_t size;
    void *out; /* where the body of a good answer goes; NULL: into doc */
    size_t out_size;
    size_t doc_max;
    struct store_cancel *cancel; /* may be NULL */

    CURLcode result;
    char text[CURL_ERROR_SIZE];
    struct head head;
    struct buf doc; /* the body, when it is small or tells an error */
    size_t got;     /* bytes in out */
    bool overflow;  /* the answer has more than out_size or doc_max */
    bool stalled, cancelled;
    uint64_t up, down; /* bytes of the body sent, bytes received */
    bool connected;    /* a connection was made for it */

    size_t sent; /* how far body was read */
    CURL *easy;
    struct wire *wire;
    struct line *line;
    struct transfer *next;
    int fd;       /* of its connection, -1: unknown */
    bool watched; /* the connection is there */
    bool looked;  /* the four below hold */
    uint64_t moved, window_moved;
    int64_t moved_ns, window_ns;
};

/* Begins without a connection. Returns 0 with *out (wire_close), or a negative code. */
int wire_open(const struct wire_config *config, struct wire **out, struct err *err);

/* Ends all connections; no transfer may be under way. NULL is allowed. */
void wire_close(struct wire *w);

/* Runs t to its end, however that is; t->result, t->stalled and t->cancelled tell. Any thread. */
void wire_run(struct wire *w, struct transfer *t);

/* Waits ms, or until c (may be NULL) is set or the wire halted. Returns whether it is so. */
bool wire_pause(struct wire *w, struct store_cancel *c, int64_t ms);

/* Ends all transfers and pauses, those of later too. Any thread. */
void wire_halt(struct wire *w);

/* Whether wire_halt was called, or config.halt_ns is past. Any thread. */
bool wire_halted(const struct wire *w);

/* Has transfers and pauses whose store_cancel is set end. Any thread. */
void wire_wake(struct wire *w);

/* Frees what t got and makes it ready for another try. */
void transfer_reset(struct transfer *t);

/* Frees what t got. */
void transfer_fini(struct transfer *t);

/* ---- verdict.c: what an answer means ---- */

enum verdict_class {
    VERDICT_FAIL,     /* definite */
    VERDICT_RETRY,    /* passing */
    VERDICT_SKEW,     /* our clock is off */
    VERDICT_CREDS,    /* other credentials may help */
    VERDICT_REGION,   /* signed for the wrong region, or sent to the wrong place */
    VERDICT_ABSENT,   /* STORE_ABSENT */
    VERDICT_ARCHIVED, /* STORE_ARCHIVED */
};

struct verdict {
    enum verdict_class class;
    int code;           /* negative errno value */
    const char *advice; /* what to do next, or ""; static */
};

/* What an S3 error code ("" none) with an HTTP status means. */
struct verdict verdict_of_code(const char *code, int status);

/* What a failed transfer means. */
struct verdict verdict_of_curl(CURLcode rc);

/* An <Error> document. Free with error_doc_fini. */
struct error_doc {
    char code[64];
    char message[256]; /* made printable, cut */
    char region[65];
    char endpoint[128];
};

/* Reads an error out of a body. Returns whether it is an S3 Error document. */
bool error_doc_parse(const void *data, size_t len, struct error_doc *out);

/* Copies s into out[cap], cut, with control characters made '?'. */
void text_printable(char *out, size_t cap, const char *s);

/* ---- call.c ---- */

/* A request of the API, before it is signed; all borrowed. */
struct call {
    struct store *store;
    const char *what; /* "PUT", "list", for texts */
    const char *method, *bucket, *key;
    const char *query; /* canonical, "" none */
    struct store_field fields[SIGNER_FIELDS_MAX];
    size_t nfields;
    const void *body;
    size_t size;
    char payload[65]; /* SHA-256 in hex or UNSIGNED-PAYLOAD; "": of no body */
    void *out;
    size_t out_size;
    size_t doc_max;
    struct store_cancel *cancel;
    /* Looks at an answer of 2xx. Returns 0 to accept it, 1 to have it tried again (with err), or a
     * negative code. NULL: accepted. */
    int (*check)(struct call *c, struct transfer *t, struct err *err);
    void *check_arg;
    /* Looks at a refusal first; may change the call. Returns true to try again at once. May be
     * NULL. */
    bool (*adapt)(struct call *c, const struct transfer *t, const char *code);
    unsigned tries; /* so far */
};

/* Adds a header to be sent and signed (lower-case name; both borrowed). */
void call_field(struct call *c, const char *name, const char *value);

/* Runs c with its tries. t is zeroed storage, transfer_fini'd by the caller, and holds the last
 * answer. Returns 0, STORE_ABSENT, STORE_ARCHIVED, or a negative code with err. */
int call_run(struct call *c, struct transfer *t, struct err *err);

/* Makes the outcome (STORE_ABSENT, STORE_ARCHIVED) of a call for which it is a failure an error.
 * Returns its code, with err. */
int call_refused(const struct call *c, const struct transfer *t, struct err *err);

/* "store N: WHAT of bucket/key" into out[cap]. */
void call_name(const struct call *c, char *out, size_t cap);

/* Parses the document of an answer, whose root must be named root. Returns 0 with *out, or 1 with
 * err (as call.check wants it). An Error document gives 1 with its code in t's reply. */
int call_document(struct transfer *t, const char *root, struct xml **out, struct err *err);

/* Gives the reply of t to *reply (may be NULL). */
void call_reply(struct call *c, struct transfer *t, struct store_reply *reply);

/* SHA-256 of n bytes at p as hex into out[65]. */
void call_sha256(const void *p, size_t n, char *out);

#define CALL_ELEMENTS 40000 /* of an answer's document */

/* ---- list.c ---- */

/* Reads one page of a list (for tests): gives its items out as store_list does. Returns what
 * store_list would. */
int list_read_page(const char *prefix, bool v1, const char *data, size_t len, store_item_fn *fn,
                   void *arg, struct err *err);

/* ---- store.c ---- */

struct store {
    char *name, *endpoint_text, *region, *ca_file;
    struct endpoint endpoint;
    enum store_style style;
    enum store_sign sign_payload;
    unsigned retries, retry_base_ms, retry_max_ms;
    bool check_md5;
    struct creds *creds;
    struct wire *wire;
    struct signer_day day;
    _Atomic int64_t skew_ns;   /* the store's clock minus ours */
    _Atomic int sums;          /* enum sums: whether it answers with CRC-64/NVME */
    _Atomic bool no_expect;    /* it does not answer Expect: 100-continue */
    _Atomic bool list_v1;      /* ListObjectsV2 is unknown */
    _Atomic bool no_multi;     /* DeleteObjects is unknown */
    _Atomic bool no_if_absent; /* If-None-Match on PUT is unknown */
    _Atomic uint64_t requests, retried, failures, bytes_out, bytes_in, connects;
};

enum sums { SUMS_UNKNOWN, SUMS_YES, SUMS_NO };

#endif
