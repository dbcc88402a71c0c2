/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an object says about itself besides its bytes: user metadata, tags, the stored headers, the
 * storage class, a checksum, the sizes of its parts. Kept in one authoritative xattr,
 * user.firn.s.meta (JSON; format in doc/design/s3.md), written by one setxattr; and mirrored under
 * NooBaa's names (user.<k>, user.noobaa.tag.<k>, user.noobaa.content_type,
 * user.noobaa.content_encoding, user.storage_class), where policies and POSIX tools see them. A
 * mirror that differs from what firn wrote was edited by such a tool and wins. A struct meta
 * belongs to one thread at a time.
 */
#ifndef S3_META_H
#define S3_META_H

#include "base/err.h"
#include "s3/req.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define META_XATTR       "user.firn.s.meta"
#define META_TAG_PREFIX  "user.noobaa.tag."
#define META_CLASS_XATTR "user.storage_class"
#define META_DIR_XATTR                                                                             \
    "user.noobaa.dir_content" /* marks a directory object; its value is the size */
#define META_SIDECAR_DIR ".firn-meta"
#define META_CLASS_MAX   32

/* The headers that are stored with an object and come back on GET. */
enum meta_head {
    META_CONTENT_TYPE,
    META_CONTENT_ENCODING,
    META_CONTENT_DISPOSITION,
    META_CONTENT_LANGUAGE,
    META_CACHE_CONTROL,
    META_EXPIRES,
    META_WEBSITE_REDIRECT,
    META_HEAD_COUNT
};

/* Names with values, in the order they were given; each name once. */
struct meta_set {
    struct meta_pair {
        char *key;
        char *value;
    } * v;
    size_t n;
};

struct meta {
    struct meta_set user; /* x-amz-meta-<key>, key in lower case */
    struct meta_set tags;
    char *head[META_HEAD_COUNT]; /* NULL: none */
    char storage_class[META_CLASS_MAX];
    enum s3_sum sum_alg; /* S3_SUM_NONE: no checksum is known */
    bool sum_composite;  /* of the parts' checksums, "base64-N" */
    char sum[S3_SUM_B64_MAX + 8];
    char md5[48];          /* hex, or hex-N; "": the ETag is the mtime form */
    int64_t data_size;     /* checksum and md5 belong to data of this size and mtime, */
    int64_t data_mtime_ns; /* else they are not believed */
    int64_t *parts;        /* sizes of the parts of a multipart upload, in order; NULL: none */
    size_t n_parts;
    char upload[40];        /* id of the multipart upload that made the object, "": none */
    bool pending;           /* a change of tags was cut short: its mirrors are old */
    struct meta_held *held; /* whose strings these are: to be read only; NULL: this one's own */
};

/* Attributes that many may read at the same time, counted. */
struct meta_held;

/* The name of header h as on the wire ("Content-Type"); static. */
const char *meta_head_name(enum meta_head h);

/* Sets m to an object without anything, of class STANDARD. */
void meta_init(struct meta *m);

/* Frees what m holds. */
void meta_fini(struct meta *m);
#define auto_meta __attribute__((cleanup(meta_fini)))

/* The value of key in s, borrowed, or NULL. */
const char *meta_get(const struct meta_set *s, const char *key);

/* Sets key to value (both copied) in s, at its old place or at the end. */
void meta_put(struct meta_set *s, const char *key, const char *value);

/* Takes key out of s, if it is there. */
void meta_drop(struct meta_set *s, const char *key);

/* Makes to a copy of from; what to held is freed. */
void meta_set_copy(struct meta_set *to, const struct meta_set *from);

/* Empties s and frees what it holds. */
void meta_set_fini(struct meta_set *s);

/* Sets header h to value (copied; NULL or "" takes it away). */
void meta_set_head(struct meta *m, enum meta_head h, const char *value);

/* A copy of m to be shared, in one piece of memory. Never NULL; meta_unhold. Any thread may use it
 * from then on. */
struct meta_held *meta_hold(const struct meta *m);

/* Makes m (which meta_init made) show what h holds; until meta_fini(m) nothing in m may be changed.
 * What m held is freed. */
void meta_show(struct meta *m, struct meta_held *h);

/* Gives up what meta_hold returned; those who show it keep it. NULL is allowed. */
void meta_unhold(struct meta_held *h);

/* Whether the checksum and MD5 in m belong to data of this size and mtime. */
bool meta_sum_valid(const struct meta *m, const struct stat *st);

/* ---- on a file: fd may be O_PATH; bucket_fd is the directory of the bucket (for sidecars) ---- */

/*
 * Reads what the file open as fd says about itself into m (which meta_init made). Files of other
 * programs, without the authoritative xattr, are read by their mirrors alone. Nothing is opened or
 * changed. Returns 0, or a negative code with err set.
 */
int meta_load(int fd, int bucket_fd, struct meta *m, struct err *err);

/*
 * Writes m to the file fd that nobody sees yet: the xattr and the mirrors. What does not fit into
 * the file's xattrs goes to a sidecar file (made durable here) that the xattr names. Returns 0;
 * -ENOSPC when neither has room; another negative code; err set.
 */
int meta_store_new(int fd, int bucket_fd, const struct meta *m, struct err *err);

/*
 * Replaces the tags of the file fd by tags, so that a crash at any point leaves the old set or the
 * new one: first the authoritative xattr (which remembers the mirrors' old values), then the
 * mirrors. The file's data is not opened and its mtime stays. The caller holds the key's lock and
 * makes it durable afterwards. m is the loaded state and holds the new tags afterwards. Also
 * finishes a change that was cut short. Returns 0, or a negative code with err set.
 */
int meta_replace_tags(int fd, int bucket_fd, struct meta *m, const struct meta_set *tags,
                      struct err *err);

/* Removes everything that firn and NooBaa keep on directory fd for a directory object, the sidecar
 * included. Returns 0 or a negative code with err set. */
int meta_clear(int fd, int bucket_fd, struct err *err);

/* The sidecar's name of file fd into out[64], or "" when it has none. Never fails: a file that
 * cannot be read has none. */
void meta_sidecar_of(int fd, char *out);

/* Removes the sidecar called name ("" is allowed). Errors are dropped: it is garbage at worst. */
void meta_sidecar_drop(int bucket_fd, const char *name);

#endif
