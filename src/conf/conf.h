/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn.conf: one table of keys drives the parser, the defaults, the checks and the manual. Read
 * once at start, by one thread; afterwards the struct is constant and any thread may read it.
 * Syntax: libconfig (its manual, "Configuration Files"). Sizes may be written as numbers of bytes
 * or as strings with KiB, MiB, GiB or TiB.
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONF_DEFAULT_PATH "/etc/firn/firn.conf"

struct conf_list {
    char **items; /* NULL when empty */
    size_t count;
};

struct conf_filesystem {
    char *name;          /* as in "mmapplypolicy NAME" */
    char *path;          /* mount point or a directory of it, absolute, no trailing slash */
    char *pool;          /* the disk pool's name in policies */
    char *posix_readers; /* "none", "any" or "recall"; release needs "none" or "recall" */
    char *device;        /* firn-watch mounts it; "": others do */
    char *type;          /* with device */
    char *options;       /* with device */
};

struct conf_library {
    char *name;
    char *kind; /* "dir" */
    char *path;
    char *cost_model; /* "none", "lto7", "m8", "lto8" or "lto9" */
    bool simulate_time;
};

/* An S3 store that keeps copies: doc/design/store.md, doc/design/tier-s3.md. */
struct conf_store {
    char *name;
    char *endpoint; /* "https://host", "http://host:port" */
    char *region;
    char *style;         /* "auto", "path" or "virtual" */
    char *bucket_prefix; /* may hold underscores: then path style only */
    int64_t bucket_count;
    char *bucket_separator; /* "_" or "-", before the bucket's number */
    char *key_prefix;       /* before every key, or "" */
    char *access_key;       /* "": from the environment, then from credentials_file */
    char *secret_key;
    char *session_token;
    char *credentials_file; /* the AWS tools' format, or "" for ~/.aws/credentials */
    char *profile;
    char *ca_file; /* "": the system's */
    bool tls_verify;
    char *sign_payload; /* "auto", "always", "never" */
    int64_t chunk_size;
    int64_t buffers;   /* buffers x chunk_size bounds the memory for data */
    int64_t pack_size; /* bytes, 0: no packs */
    int64_t pack_file; /* bytes, of the largest file in a pack */
    char *compression;
    int64_t compression_level;
    char *verify; /* "auto", "checksum" or "read" */
    int64_t lanes;
    int64_t connections;
    int64_t retries;
    int64_t retry_max_ms;
    int64_t connect_timeout_s;
    int64_t stall_timeout_s;
    int64_t min_speed; /* bytes/s; 0: none */
    char *key_file;    /* client-side encryption, or "" */
    char *key_id;      /* of the key in key_file that new objects get, or "" for the first */
    bool create_buckets;
};

struct conf_pool {
    char *name;
    char *library; /* of a library or a store */
};

/* The Lustre copytool; doc/design/lustre.md. */
struct conf_lustre {
    char *store;     /* name in stores, "" the only one */
    char *state_dir; /* "": lustre/FSNAME in the site's state_dir */
    int64_t workers;
    int64_t archive_lanes; /* of the workers, at most so many archive; the like below */
    int64_t restore_lanes;
    int64_t remove_lanes;
    int64_t queue_max;
    int64_t heartbeat_s;
    int64_t drain_s;
    int64_t garbage_delay_s;
    char *metrics_file; /* Prometheus text, rewritten each ten seconds, or "" */
    bool restore_layout;
    bool xattrs;
};

struct conf_buffers {
    int64_t count;
    int64_t size_bytes;
};

struct conf_migrate {
    int64_t min_age_s;
    int64_t min_size_bytes;
    int64_t batch_files;
    int64_t batch_bytes;
    int64_t retries;
    char *filehash; /* a digest_name(), see codec/digest.h */
    bool pack;
};

struct conf_recall {
    int64_t wait_s;
    int64_t queue_max;
    int64_t max_age_s;
    int64_t batch_window_ms;
    int64_t account_max; /* 0: no bound */
    struct conf_list deny_programs;
    struct conf_list deny_users;
};

struct conf_watch {
    char *socket; /* never "" after conf_load */
    int64_t deadline_s;
    char *events; /* "auto" or "open" */
    char *guard;  /* "auto", "off" or "required" */
};

struct conf_policy {
    struct conf_list include_dirs;
    struct conf_list builtin_exec;
    char *work_dir;
    int64_t threads; /* 0: one a processor */
    int64_t event_window_ms;
};

struct conf_s3 {
    char *listen; /* "address:port", "[v6]:port" */
    char *region;
    char *filesystem;
    char *buckets;   /* absolute directory */
    char *domain;    /* base name of virtual-host requests, or "" */
    char *user;      /* who firn-s3 may be besides root, or "" */
    int64_t workers; /* 0: max(16, 4 x processors) */
    int64_t recall_waiters;
    int64_t max_connections;
    int64_t idle_timeout_s;
    int64_t retry_after_s;
    bool allow_unsigned_payload;
    bool show_storage_class_metadata;
};

struct conf {
    char *site;
    char *state_dir;
    char *run_dir;
    char *socket; /* never empty: run_dir "/firnd.sock" by default */
    char *log_level;
    struct conf_buffers buffers;
    struct conf_migrate migrate;
    struct conf_recall recall;
    struct conf_watch watch;
    struct conf_policy policy;
    struct conf_s3 s3;
    struct conf_filesystem *filesystems;
    size_t filesystem_count;
    struct conf_library *libraries;
    size_t library_count;
    struct conf_store *stores;
    size_t store_count;
    struct conf_pool *pools;
    size_t pool_count;
    struct conf_lustre lustre;
};

/*
 * Reads file path into a new struct conf at *out (free with conf_free). Every unknown key, wrong
 * type, value out of bounds and contradiction is an error whose text has the form "FILE:LINE: ...".
 * Returns 0, or a negative code with err set and *out untouched.
 */
int conf_load(const char *path, struct conf **out, struct err *err);

/* Frees c and all it holds; NULL is allowed. */
void conf_free(struct conf *c);

/* The file system named name, or the one whose path holds the absolute path name; NULL when there
 * is none. Borrowed from c. */
const struct conf_filesystem *conf_find_filesystem(const struct conf *c, const char *name);

/* The library named name, or NULL. Borrowed from c. */
const struct conf_library *conf_find_library(const struct conf *c, const char *name);

/* The S3 store named name, or NULL. Borrowed from c. */
const struct conf_store *conf_find_store(const struct conf *c, const char *name);

/* Calls row once for every key that firn.conf may hold, in the manual's order: section ("" for the
 * top, "s3", "filesystems[]", ...), name, default ("" when none), what it allows, and one line of
 * help. */
void conf_describe(void (*row)(void *ctx, const char *section, const char *name, const char *dflt,
                               const char *allows, const char *help),
                   void *ctx);

static inline void cleanup_conf(struct conf **c)
{
    conf_free(*c);
}
#define auto_conf __attribute__((cleanup(cleanup_conf)))

#endif
