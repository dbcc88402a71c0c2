/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the operations share inside the folder: the call that a handler gets, opening of objects,
 * conditions, headers, storing. A handler (op_*.c, one a row of ops.def) runs on one worker thread
 * with the account's file system identity and answers exactly once.
 */
#ifndef S3_OPS_IMPL_H
#define S3_OPS_IMPL_H

#include "base/cleanup.h"
#include "base/buf.h"
#include "base/err.h"
#include "conf/conf.h"
#include "s3/beneath.h"
#include "s3/dirsync.h"
#include "s3/etag.h"
#include "s3/key.h"
#include "s3/keylock.h"
#include "s3/meta.h"
#include "s3/req.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#define UPLOADS_DIR     ".firn-uploads"
#define TEMP_DIR        ".firn-tmp"
#define STUB_XATTR      "security.bpf.firn.stub" /* doc/design/architecture.md, "Where truth lives" */
#define OBJECT_MODE     0660
#define BODY_MAX        (5LL << 30) /* of PutObject, UploadPart and CopyObject */
#define USER_META_MAX   2048        /* bytes of names and values of user metadata */
#define XML_BODY_MAX    (4u << 20)
#define PAGE_MAX        1000
#define PART_NUMBER_MAX 10000

/* The operations' own state: site->ops. */
struct s3_ops {
    struct keylocks locks;
    struct dirsync *sync;
    struct metacache *metas;
    pthread_mutex_t swept_lock;
    struct swept *swept; /* buckets whose left-overs were removed */
};

struct s3_call;

/* A row of the operation table. */
struct op {
    const char *name;
    enum s3_method method;
    const char *level;
    const char *sub;    /* query parameter, or "" */
    const char *header; /* header that must be there, or "" */
    const char *right;  /* the action that a policy would name, "s3:PutObject" */
    const char *params; /* further query parameters, blanks around each: " prefix delimiter " */
    void (*run)(struct s3_call *c); /* NULL: 501 */
};

/* One request in the hands of a handler. */
struct s3_call {
    struct s3_req *req;
    struct s3_ops *ops;
    const struct op *op;
    const struct s3_bucket *bucket; /* NULL at the service level and for CreateBucket */
    int dir; /* O_PATH of the bucket's directory, or -1; owned by s3_handle */
};

/* ---- handlers ---- */
#define S3_OP(name, method, level, sub, header, right, params, fn) void fn(struct s3_call *c);
#define S3_OP_ABSENT(name, method, level, sub)
#include "s3/ops.def"
#undef S3_OP
#undef S3_OP_ABSENT

/* ---- failures (fault.c: the one place where codes become S3 errors) ---- */

/* Answers with the S3 error for code rc (negative errno) and logs what is the service's own fault;
 * err may be NULL. */
void fault_reply(struct s3_call *c, int rc, const struct err *err);

/* Answers 503 with Retry-After from the configuration. */
void fault_retry(struct s3_call *c, enum s3_error e, const char *text);

/* Refuses a bad key with its 400. Returns true when the key is good. */
bool fault_check_key(struct s3_call *c, const char *key);

/* ---- buckets (bucket.c) ---- */

/* Finds bucket name for the caller: exists, valid, his own. Returns true with *out, or false having
 * answered. */
bool bucket_find(struct s3_call *c, const char *name, const struct s3_bucket **out);

/* Opens the directory of bucket b (O_PATH). Returns a descriptor that the caller closes, or a
 * negative code with err set. */
int bucket_open(struct s3_call *c, const struct s3_bucket *b, struct err *err);

/* Answers NoSuchBucket or what else bucket_open's failure rc means. */
void bucket_open_fault(struct s3_call *c, int rc, const struct err *err);

/* ---- objects (object.c) ---- */

enum object_open_flags {
    OBJECT_NAME = 0, /* O_PATH: attributes only */
    OBJECT_DATA = 1, /* for reading */
};

struct object {
    int fd;      /* the file, or the directory of a directory object; owned */
    int data_fd; /* for reading, with OBJECT_DATA; -1 when there is no data; owned by fd's rules */
    bool is_dir; /* a directory object */
    struct stat st; /* of the file that holds the data (else of the directory) */
    int64_t size;   /* logical */
    struct meta meta;
    struct s3_req *req;      /* to tell when opening may wait; borrowed, or NULL */
    struct metacache *metas; /* where object_open may find the attributes of a file that it opens
                              * for reading; borrowed, NULL: nowhere */
    char etag[S3_ETAG_MAX];
};

/* Makes o empty, for object_fini. */
void object_init(struct object *o);

/* Closes and frees what o holds. */
void object_fini(struct object *o);
#define auto_object __attribute__((cleanup(object_fini)))

/*
 * Opens object key beneath bucket directory dir, and reads its attributes. With OBJECT_DATA the
 * open descriptor keeps a release away from here on. Returns 0, -ENOENT when there is no such
 * object (nothing, or a directory or other file that is none), or another negative code; err set.
 */
int object_open(int dir, const char *key, enum object_open_flags flags, struct object *o,
                struct err *err);

/* As object_open, of the name leaf in the directory dirfd; bucket_fd for sidecars; as_dir: the key
 * ended with "/". */
int object_open_at(int dirfd, const char *leaf, bool as_dir, int bucket_fd,
                   enum object_open_flags flags, struct object *o, struct err *err);

/* The ETag of an object with attributes m and stat st into out[S3_ETAG_MAX]: the MD5 when it is
 * kept and valid, else the mtime form. */
void object_etag(const struct meta *m, const struct stat *st, char *out);

/*
 * Makes sure that the data of o (opened with OBJECT_DATA) can be read now: recalls it through the
 * engine when it is migrated, within the configured wait. source: it is the source of a copy.
 * Returns true, or false having answered.
 */
bool object_ready(struct s3_call *c, const char *bucket_path, const char *key, struct object *o,
                  bool source);

/* Checks versionId of the request against o: an unversioned bucket has the version "null" (and its
 * ETag, as NooBaa). Returns true, or false having answered. */
bool object_version_ok(struct s3_call *c, const char *version, const struct object *o);

/* Adds the headers that GET and HEAD share: ETag, Last-Modified, types, metadata, counts. */
void object_headers(struct s3_call *c, const struct object *o);

/* ---- conditions (cond.c) ---- */

/* Evaluates the read conditions of the request whose names begin with prefix ("" or
 * "x-amz-copy-source-"). Returns S3_ERR_NONE, S3_ERR_PRECONDITION_FAILED with *which naming the
 * header, or S3_ERR_COUNT for 304 Not Modified. */
enum s3_error cond_read(const struct s3_req *req, const char *prefix, const char *etag,
                        int64_t mtime_s, const char **which);

/* Conditions of a write or delete. */
struct cond_write {
    const char *match;      /* If-Match, or NULL */
    const char *none_match; /* If-None-Match, or NULL */
};

/* Reads them from the request. */
void cond_write_get(const struct s3_req *req, struct cond_write *w);

/* Whether a write may go on, given the ETag of what is there (NULL: nothing). Returns S3_ERR_NONE,
 * S3_ERR_PRECONDITION_FAILED or S3_ERR_NO_SUCH_KEY. */
enum s3_error cond_write_check(const struct cond_write *w, const char *etag);

/* Answers 412 with the Condition element. */
void cond_fail(struct s3_call *c, const char *which);

/* Parses an HTTP date (RFC 9110, 5.6.7, all three forms) into seconds since 1970. Returns 0 or
 * -EINVAL. */
int cond_parse_date(const char *s, int64_t *out);

/* ---- request headers to attributes (headers.c) ---- */

/* Reads stored headers, user metadata, storage class and (with tags) x-amz-tagging from the request
 * into m. Returns true, or false having answered (400). key: for guessing an absent Content-Type.
 */
bool headers_read(struct s3_call *c, const char *key, struct meta *m);

/* Reads x-amz-tagging into set. Returns true, or false having answered. */
bool headers_tagging(struct s3_call *c, const char *text, struct meta_set *set);

/* Whether set is a legal set of tags; false: answered 400 InvalidTag. */
bool headers_tags_ok(struct s3_call *c, const struct meta_set *set);

/* Reads x-amz-storage-class into m (STANDARD when absent). Returns true, or false having answered.
 */
bool headers_class(struct s3_call *c, struct meta *m);

/* ---- storing (store.c) ---- */

/* An object on its way: a file without a name. */
struct store {
    int fd;
    char temp[64]; /* its name in TEMP_DIR, when the file system knows no unnamed files */
    int64_t size;
    bool want_crc64; /* store_body() also computes the CRC64NVME of the data into crc64 */
    uint64_t crc64;
    struct meta meta; /* what to write with it */
};

/* Makes s empty, for store_fini. */
void store_init(struct store *s);

/* Closes s; a file that was not put in place is gone afterwards. */
void store_fini(struct store *s, int dir);

/* Makes the unnamed file in bucket directory dir and reserves size bytes (< 0: unknown). Returns 0
 * or a negative code with err set. */
int store_begin(int dir, int64_t size, struct store *s, struct err *err);

/* Streams the request's body into s and settles its digests into s->meta. Returns true, or false
 * having answered. max: bytes allowed. */
bool store_body(struct s3_call *c, struct store *s, int64_t max);

/* Copies len bytes at off of file from to the end of s, in the kernel where it can. Returns 0 or a
 * negative code with err set. */
int store_copy(struct s3_call *c, struct store *s, int from, int64_t off, int64_t len,
               struct err *err);

/* Sets mtime to now (ns), writes s->meta as xattrs. To be called once, after the data and before
 * store_commit. Returns 0 or a negative code with err set. */
int store_seal(int dir, struct store *s, struct err *err);

/* Gives s the name leaf in directory to_dir beneath bucket directory dir, in place of what has it.
 * Neither syncs nor locks. Returns 0 or a negated errno value. */
int store_place(int dir, struct store *s, int to_dir, const char *leaf);

enum store_points { STORE_PUT, STORE_MULTIPART };

/*
 * Makes s durable, gives it the name key (a plain key, no trailing "/") under conditions w, and
 * makes the name durable. Returns true with etag[S3_ETAG_MAX], or false having answered.
 */
bool store_commit(struct s3_call *c, struct store *s, const char *key, const struct cond_write *w,
                  enum store_points points, char *etag);

/* PUT of the directory object key: attributes on the directory, the body (if any) in ".folder".
 * Returns true with etag, or false having answered. */
bool store_commit_dir(struct s3_call *c, struct store *s, const char *key,
                      const struct cond_write *w, char *etag);

/* Removes the object key; an absent one is fine. Empty parents go too. Returns S3_ERR_NONE or the
 * error (fault texts in err). */
enum s3_error store_remove(struct s3_call *c, const char *key, const char *if_match,
                           struct err *err);

/* After the object of c's key got attributes m, durably: firnd's policies look at it, unless it is
 * an object like most: no tags, no metadata, class STANDARD. */
void store_tell(struct s3_call *c, const struct meta *m);

/* As store_tell, whatever the attributes are. */
void store_tell_changed(struct s3_call *c);

/* Makes a change of attributes in the bucket durable without opening the object: see
 * doc/design/s3.md. Returns 0 or a negative code with err set. */
int store_sync_attributes(struct s3_call *c, struct err *err);

/* Adds the checksum headers of m (x-amz-checksum-*, x-amz-checksum-type). */
void reply_checksum(struct s3_call *c, const struct meta *m);

/* A query parameter as a number from 0 to max: absent gives dflt; a larger one gives max. Returns
 * true, or false having answered InvalidArgument. */
bool param_number(struct s3_call *c, const char *name, int64_t dflt, int64_t max, int64_t *out);

/* The code of e for an element of a multi-result answer comes from s3_error_code(). */

#endif
