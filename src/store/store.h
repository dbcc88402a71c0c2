/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An S3 store as a client sees it: signed requests (AWS General Reference, Signature Version 4)
 * over libcurl, connections used again, transient failures tried again with full-jitter backoff
 * from a clean start. It knows buckets, keys and bytes; nothing of files, chunks or tiers. Any
 * thread may call any function on a struct store; calls block their caller, transfers run on the
 * store's own thread. Memory is the caller's: bodies are read from and written to buffers that the
 * caller owns, besides small documents.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/err.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;

#define STORE_KEY_MAX    1025 /* with NUL */
#define STORE_BUCKET_MAX 256  /* with NUL; long and odd names of old radosgw buckets included */
#define STORE_META_MAX   2048 /* bytes of user metadata that every store takes (S3 User Guide) */

/* Named outcomes (positive returns). */
enum {
    STORE_ABSENT = 1,   /* no such key, or no such bucket: reply.code tells which */
    STORE_EXISTS = 2,   /* store_bucket_create: it is there and ours */
    STORE_ARCHIVED = 3, /* the object must be restored first (403 InvalidObjectState) */
};

enum store_style { STORE_STYLE_AUTO, STORE_STYLE_PATH, STORE_STYLE_VIRTUAL };
enum store_sign { STORE_SIGN_AUTO, STORE_SIGN_ALWAYS, STORE_SIGN_NEVER };

/* All strings are borrowed for store_open; NULL and "" mean "not given". */
struct store_config {
    const char *name;     /* in texts */
    const char *endpoint; /* "http://host:port", "https://host" */
    const char *region;
    enum store_style style;
    const char *access_key, *secret_key, *session_token;
    const char
        *credentials_file; /* AWS tools' form; ""  for theirs (AWS_SHARED_CREDENTIALS_FILE) */
    const char *profile;
    const char *ca_file;
    bool tls_verify;
    bool check_md5; /* store_get of a whole object compares its MD5 when nothing cheaper is given */
    enum store_sign sign_payload;
    unsigned connections;   /* at most */
    unsigned retries;       /* after the first try */
    unsigned retry_base_ms; /* 0: 100 */
    unsigned retry_max_ms;  /* longest pause */
    unsigned connect_timeout_s;
    unsigned stall_timeout_s; /* without a byte in either direction, or below min_speed */
    uint64_t min_speed;       /* bytes/s; 0: any byte is progress */
    /* From that time on (ns, monotonic; 0: not set) all calls end with -ECANCELED within a second;
     * it outlives the store. NULL: none. */
    const _Atomic int64_t *halt_ns;
};

/* One header, or one piece of user metadata (name without "x-amz-meta-", lower case). */
struct store_field {
    const char *name;
    const char *value;
};

/* What a caller may use to end its own calls from another thread: store_cancel. Zero to begin. */
struct store_cancel {
    _Atomic bool set;
};

/* What a store said of an object. Zero to begin; a call that gets it frees what it held. Free with
 * store_reply_fini. */
struct store_reply {
    int status;               /* HTTP status; 0 when there was none */
    char code[64];            /* S3 error code, "" when there was none */
    char etag[80];            /* without quotes, "" when absent */
    char crc64nvme[24];       /* x-amz-checksum-crc64nvme as sent (base64), or "" */
    bool etag_is_md5;         /* 32 hex digits and no encryption header that makes it another */
    int64_t size;             /* Content-Length of the object (HEAD) or of what came (GET); -1 */
    int64_t modified_ns;      /* Last-Modified; 0 when absent */
    char storage_class[32];   /* "" when absent */
    char restore[128];        /* x-amz-restore, or "" */
    struct store_field *meta; /* user metadata, sorted by name; owned */
    size_t nmeta;
    unsigned tries; /* how often it was sent */
};

/* Statistics since store_open. */
struct store_counts {
    uint64_t requests, retries, failures, bytes_out, bytes_in, connects;
};

/*
 * Opens a store: checks the configuration and finds credentials (in this order: access_key and
 * secret_key, credentials_file, AWS_ACCESS_KEY_ID..., the AWS tools' file), makes no request.
 * Returns 0 with *out (store_close), or a negative code with err naming the key that is wrong.
 */
int store_open(const struct store_config *config, struct store **out, struct err *err);

/* Ends s; no call may be under way. NULL is allowed. */
void store_close(struct store *s);

/* All calls from now on, and those under way, end with -ECANCELED within a second: only
 * store_close may be of use after it. Any thread. */
void store_halt(struct store *s);

/* Whether store_halt was called, or config.halt_ns is past. Any thread. */
bool store_halted(const struct store *s);

/* Name and endpoint of s, borrowed. */
const char *store_name(const struct store *s);
const char *store_endpoint(const struct store *s);

/* Adds the counts up into *out. */
void store_counts(struct store *s, struct store_counts *out);

/* Calls that were given c end with -ECANCELED at once; any thread. */
void store_cancel(struct store *s, struct store_cancel *c);

/* An object to be written. */
struct store_put {
    const char *bucket, *key;
    const void *data; /* borrowed for the call */
    size_t size;
    const char *content_type;       /* NULL: application/octet-stream */
    const struct store_field *meta; /* user metadata, ASCII values */
    size_t nmeta;
    bool if_absent; /* If-None-Match: *, where the store knows it */
};

/*
 * Writes an object whole. The store is given a checksum (x-amz-checksum-crc64nvme) and, until it
 * has shown that it answers with it, the MD5 is kept at hand. *proven says whether the answer
 * proves that the store holds exactly these bytes: by its checksum, or by an ETag that is their
 * MD5. reply may be NULL. Returns 0, or a negative code with err: -EACCES, -ENOENT (no bucket),
 * -ENOSPC (quota), -EBADMSG (checksum refused, an ETag or checksum that is another's), -ETIMEDOUT,
 * -EIO, -ECANCELED, -EEXIST (if_absent)... After a failure the object may be there or not.
 */
int store_put(struct store *s, const struct store_put *put, struct store_cancel *cancel,
              bool *proven, struct store_reply *reply, struct err *err);

/*
 * Reads size bytes at off of an object into buf (at least size bytes); off 0 with whole set reads
 * the whole object, which must then be of exactly size bytes and is compared with the checksum that
 * the answer gives. No bytes of a part (size 0) are read without a request. *got gets what came.
 * Never returns 0 with less than asked for. Returns 0, STORE_ABSENT, STORE_ARCHIVED, or a negative
 * code; -EMSGSIZE when the whole object is of another size (reply.size tells).
 */
int store_get(struct store *s, const char *bucket, const char *key, uint64_t off, void *buf,
              size_t size, bool whole, struct store_cancel *cancel, struct store_reply *reply,
              struct err *err);

/* Reads up to size (> 0) bytes at off, which lies within the object, into buf: fewer where the
 * object ends before. *got gets how many. Returns as store_get. */
int store_get_some(struct store *s, const char *bucket, const char *key, uint64_t off, void *buf,
                   size_t size, size_t *got, struct store_cancel *cancel, struct err *err);

/* Reads a whole small object (at most max bytes) into memory of its own: *data (free with free, a
 * NUL follows) and *size. Returns as store_get; -EMSGSIZE when it is larger than max. */
int store_get_small(struct store *s, const char *bucket, const char *key, size_t max, char **data,
                    size_t *size, struct store_cancel *cancel, struct store_reply *reply,
                    struct err *err);

/* What the store knows of an object. Returns 0, STORE_ABSENT, or a negative code. An absent object
 * costs a second request, since a HEAD's answer does not say why. */
int store_head(struct store *s, const char *bucket, const char *key, struct store_cancel *cancel,
               struct store_reply *reply, struct err *err);

/* Deletes one object; absent counts as done. Returns 0 or a negative code. */
int store_delete(struct store *s, const char *bucket, const char *key, struct store_cancel *cancel,
                 struct err *err);

/* Deletes n (at most 1000) keys of a bucket with one request (DeleteObjects), or one by one where
 * the store does not know that. Returns 0, or the first failure with err naming its key. */
int store_delete_many(struct store *s, const char *bucket, const char *const *keys, size_t n,
                      struct store_cancel *cancel, struct err *err);

/* Asks for an archived object back (RestoreObject, days, tier "Standard", "Bulk" or "Expedited").
 * Returns 0 (begun, or under way), STORE_ABSENT, or a negative code. */
int store_restore(struct store *s, const char *bucket, const char *key, unsigned days,
                  const char *tier, struct store_cancel *cancel, struct err *err);

/* One listed object. Strings are borrowed for the call. */
struct store_item {
    const char *key;
    uint64_t size;
    int64_t modified_ns;
    const char *etag;
};

/* Takes one item; a value other than 0 ends the list and is returned. */
typedef int store_item_fn(void *arg, const struct store_item *item, struct err *err);

/* Calls fn for each object of bucket whose key begins with prefix ("" all) and comes after
 * start_after ("" none), in the store's order (ListObjectsV2; ListObjects where it is unknown).
 * Returns 0, STORE_ABSENT (no bucket), what fn returned, or a negative code. */
int store_list(struct store *s, const char *bucket, const char *prefix, const char *start_after,
               store_item_fn *fn, void *arg, struct store_cancel *cancel, struct err *err);

/* Whether the bucket is there and may be used: 0, STORE_ABSENT, or a negative code. */
int store_bucket_check(struct store *s, const char *bucket, struct err *err);

/* Makes a bucket. Returns 0, STORE_EXISTS, or a negative code. */
int store_bucket_create(struct store *s, const char *bucket, struct err *err);

/* Calls fn with the name of each bucket of the account. Returns 0, what fn returned, or a negative
 * code. */
int store_bucket_list(struct store *s, int (*fn)(void *arg, const char *bucket, struct err *err),
                      void *arg, struct err *err);

/* The value of metadata name in r, or NULL. Borrowed. */
const char *store_reply_meta(const struct store_reply *r, const char *name);

/* Frees what r owns and zeroes it. */
void store_reply_fini(struct store_reply *r);

static inline void cleanup_store(struct store **s)
{
    store_close(*s);
}
#define auto_store       __attribute__((cleanup(cleanup_store)))
#define auto_store_reply __attribute__((cleanup(store_reply_fini)))

#endif
