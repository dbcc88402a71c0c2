/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalogue: which copies of which archived files exist, the durable queue of tasks and jobs,
 * the media, accounts, buckets, schedules and settings. It is an index of what files and copies say
 * themselves, and can be rebuilt. Called by firnd (the engine) only; every function may be called
 * from any thread. Kinds: "sqlite" (one file in a directory of its own, WAL, synchronous=FULL).
 *
 * Writes: all functions that change something hand their change to one writer thread, which puts
 * the changes of many callers into one transaction, and return when that is durable. Each change
 * is all or nothing by itself. With CATALOG_NOWAIT (where a function takes flags) the call returns
 * at once; a failure is then logged, and a crash may lose the change; changes stay in order.
 * Reads see every change that has returned.
 *
 * Outcomes: 0 done; CATALOG_ABSENT (1) no such row; negative: -EEXIST (the key is there already),
 * -ENOTEMPTY (something refers to it), -EINVAL, -ENOSPC, -EIO, -EBADMSG (the file is damaged; the
 * text says `firn rebuild`), each with err set. err may be NULL.
 *
 * Strings in lists belong to the list and die with its _fini; a struct of zeros is an empty list.
 * Strings in structs given to a function are only read during the call; NULL means empty.
 */
#ifndef CATALOG_CATALOG_H
#define CATALOG_CATALOG_H

#include "base/err.h"
#include "base/uuid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CATALOG_ABSENT 1
/* Flag: do not wait for the change to be durable. */
#define CATALOG_NOWAIT 1U

#define CATALOG_NAME_MAX   72   /* names of pools, libraries, accounts, buckets, drives, with NUL */
#define CATALOG_TEXT_MAX   256  /* short texts, with NUL; longer ones are cut */
#define CATALOG_PATH_MAX   1024 /* directories of accounts and buckets, with NUL */
#define CATALOG_HANDLE_MAX 44   /* as FILE_HANDLE_MAX */

struct catalog;
struct catalog_mem; /* memory of a list's strings */

/*
 * Opens (or makes) the catalogue of kind ("sqlite") in directory dir, which is made with mode 0700
 * when it is not there; brings an older schema up to date; checks its integrity (wholly up to
 * 512 MiB, beyond that the structure only). Returns 0 with *out (free with catalog_close), or a
 * negative code with err set: -EBUSY (another process has it), -EBADMSG (damaged), -EPROTO (made by
 * a newer firn).
 */
int catalog_open(const char *kind, const char *dir, struct catalog **out, struct err *err);

/* Writes what is queued and closes. No other call may be going on. NULL is allowed. */
void catalog_close(struct catalog *cat);

/* Waits until every change handed over before (NOWAIT included) is durable. Returns 0, or the first
 * failure of a NOWAIT change since the last call, with err set. */
int catalog_flush(struct catalog *cat, struct err *err);

/* Checks the whole catalogue: rows, indexes, references. Returns 0, or -EBADMSG with the first
 * problem in err. Slow on a large one. */
int catalog_check(struct catalog *cat, struct err *err);

/* Frees a list's memory; used by the _fini functions. NULL is allowed. */
void catalog_mem_free(struct catalog_mem *m);

/* ---- settings and numbers ------------------------------------------------------------------ */

struct catalog_attr {
    const char *key;
    const char *value;
};
struct catalog_attrs {
    struct catalog_attr *v;
    size_t n;
    struct catalog_mem *mem;
};

/* The value of key into *value (caller frees). 0, CATALOG_ABSENT or negative. */
int catalog_attr_get(struct catalog *cat, const char *key, char **value, struct err *err);

/* Sets key to value; value NULL removes it. flags: CATALOG_NOWAIT. */
int catalog_attr_set(struct catalog *cat, const char *key, const char *value, unsigned flags,
                     struct err *err);

/* All keys that begin with prefix ("" for all), sorted, into *out (catalog_attrs_fini). */
int catalog_attr_list(struct catalog *cat, const char *prefix, struct catalog_attrs *out,
                      struct err *err);

/* Frees the list\'s memory; it is empty afterwards. */
void catalog_attrs_fini(struct catalog_attrs *l);

/* The next number of sequence name (1, 2, ...), never given out twice, into *value. */
int catalog_sequence_next(struct catalog *cat, const char *name, int64_t *value, struct err *err);

/* ---- media: pools, volumes, drives ---------------------------------------------------------- */

struct catalog_pool {
    struct uuid id;
    char name[CATALOG_NAME_MAX];
    char library[CATALOG_NAME_MAX];
};
struct catalog_pools {
    struct catalog_pool *v;
    size_t n;
};

/* Adds pool p (id all zero: a new one is made and written to p). -EEXIST: name and library are
 * taken. */
int catalog_pool_add(struct catalog *cat, struct catalog_pool *p, struct err *err);

/* Removes a pool. CATALOG_ABSENT; -ENOTEMPTY when volumes are assigned to it. */
int catalog_pool_delete(struct catalog *cat, const char *library, const char *name,
                        struct err *err);

/* The pool of this name; library NULL or "": the only pool of that name (-EINVAL when there are
 * several). 0, CATALOG_ABSENT. */
int catalog_pool_get(struct catalog *cat, const char *library, const char *name,
                     struct catalog_pool *out, struct err *err);

/* All pools of library (NULL: of all), sorted by library and name. */
int catalog_pool_list(struct catalog *cat, const char *library, struct catalog_pools *out,
                      struct err *err);

/* Frees the list\'s memory; it is empty afterwards. */
void catalog_pools_fini(struct catalog_pools *l);

struct catalog_volume {
    int64_t id; /* given by the catalogue; copies and jobs refer to it; never used again */
    char barcode[CATALOG_NAME_MAX];
    char library[CATALOG_NAME_MAX];
    char pool[CATALOG_NAME_MAX]; /* "" when unassigned */
    struct uuid uuid;            /* LTFS volume UUID; zero when unformatted */
    char state[32];              /* the engine's word: "appendable", "full", "unassigned", ... */
    int64_t generation;          /* of the last index known */
    int64_t capacity;            /* bytes */
    int64_t used;                /* bytes written, garbage included */
    int64_t garbage;             /* bytes that no valid copy uses */
    int64_t files;
    char problem[CATALOG_TEXT_MAX]; /* "" when there is none */
    int64_t created_ns;             /* set on first put when 0 */
};
struct catalog_volumes {
    struct catalog_volume *v;
    size_t n;
};

/* Adds volume v, or replaces what is known of (library, barcode); v->id is written in both cases.
 * CATALOG_ABSENT: its pool does not exist. */
int catalog_volume_put(struct catalog *cat, struct catalog_volume *v, struct err *err);

/* Forgets a volume. -ENOTEMPTY when valid copies are on it. */
int catalog_volume_delete(struct catalog *cat, int64_t id, struct err *err);

/* The volume with this barcode (library NULL: in any library). 0, CATALOG_ABSENT. */
int catalog_volume_get(struct catalog *cat, const char *library, const char *barcode,
                       struct catalog_volume *out, struct err *err);

/* The volume with this id. 0, CATALOG_ABSENT. */
int catalog_volume_by_id(struct catalog *cat, int64_t id, struct catalog_volume *out,
                         struct err *err);

/* Volumes of library and pool (each NULL: any; pool "": unassigned), sorted by library and barcode.
 */
int catalog_volume_list(struct catalog *cat, const char *library, const char *pool,
                        struct catalog_volumes *out, struct err *err);

/* Frees the list\'s memory; it is empty afterwards. */
void catalog_volumes_fini(struct catalog_volumes *l);

struct catalog_drive {
    char library[CATALOG_NAME_MAX];
    char serial[CATALOG_NAME_MAX];
    char role[16]; /* "mrg" and the like */
    bool enabled;
    int64_t mounts, bytes_read, bytes_written;
    char problem[CATALOG_TEXT_MAX];
};
struct catalog_drives {
    struct catalog_drive *v;
    size_t n;
};

/* Adds drive d or replaces what is known of (library, serial). flags: CATALOG_NOWAIT. */
int catalog_drive_put(struct catalog *cat, const struct catalog_drive *d, unsigned flags,
                      struct err *err);

/* Forgets a drive. 0, CATALOG_ABSENT. */
int catalog_drive_delete(struct catalog *cat, const char *library, const char *serial,
                         struct err *err);

/* Drives of library (NULL: all), sorted. */
int catalog_drive_list(struct catalog *cat, const char *library, struct catalog_drives *out,
                       struct err *err);

/* Frees the list\'s memory; it is empty afterwards. */
void catalog_drives_fini(struct catalog_drives *l);

/* ---- archives and copies -------------------------------------------------------------------- */

enum catalog_copy_state { CATALOG_COPY_VALID = 0, CATALOG_COPY_GARBAGE = 1, CATALOG_COPY_LOST = 2 };

struct catalog_archive {
    struct uuid archive; /* archive id */
    struct uuid fs;
    uint64_t ino;
    uint32_t gen;
    uint32_t handle_len;
    uint8_t handle[CATALOG_HANDLE_MAX];
    uint64_t size;
    int64_t mtime_ns;
    const char *path; /* relative to the file system, when it was archived */
    int digest_alg;   /* enum digest_alg of codec/digest.h; -1 for none */
    uint32_t digest_len;
    uint8_t digest[64];
    int64_t created_ns; /* set when 0 */
};

struct catalog_copy {
    struct uuid archive;
    int copy_no; /* 1, 2, 3 */
    enum catalog_copy_state state;
    char tier[16];        /* kind of tier: "tape", "dir", "null" */
    int64_t volume;       /* catalog_volume.id; 0 for tiers without volumes */
    const char *path;     /* on the volume or tier */
    int partition;        /* LTFS partition of the first extent, 'a' or 'b'; 0 if none */
    uint64_t start_block; /* of the first extent */
    uint64_t byte_offset; /* in that block */
    uint64_t length;      /* bytes of data */
    int64_t created_ns;   /* set when 0 */
    /* filled in by lookups, ignored on insert: */
    char barcode[CATALOG_NAME_MAX];
    char library[CATALOG_NAME_MAX];
    char pool[CATALOG_NAME_MAX];
};
struct catalog_archives {
    struct catalog_archive *v;
    size_t n;
    struct catalog_mem *mem;
};
struct catalog_copies {
    struct catalog_copy *v;
    size_t n;
    struct catalog_mem *mem;
};

/*
 * Adds na archives and nc copies in one transaction (10,000 at a time is a good size). An archive
 * that is there already is replaced, and so is a copy with the same archive, copy_no. A copy whose
 * archive is in neither is -EINVAL: nothing is added then. Volumes' counters are not touched.
 */
int catalog_archive_add(struct catalog *cat, const struct catalog_archive *a, size_t na,
                        const struct catalog_copy *c, size_t nc, struct err *err);

/* The archive with this id (a list of 0 or 1; CATALOG_ABSENT when 0). */
int catalog_archive_get(struct catalog *cat, const struct uuid *archive,
                        struct catalog_archives *out, struct err *err);

/* All archives of one file, newest first. CATALOG_ABSENT when there is none. */
int catalog_archive_of_file(struct catalog *cat, const struct uuid *fs, uint64_t ino, uint32_t gen,
                            struct catalog_archives *out, struct err *err);

/* At most max archives of file system fs behind the inode number after_ino, in the order of inode
 * numbers (all archives of an inode come together, so more than max may come): pages for reconcile.
 */
int catalog_archive_page(struct catalog *cat, const struct uuid *fs, uint64_t after_ino, size_t max,
                         struct catalog_archives *out, struct err *err);

/* Removes an archive and its copies' rows: after the copies themselves are gone. */
int catalog_archive_delete(struct catalog *cat, const struct uuid *archive, size_t n,
                           struct err *err);

/* Frees the list\'s memory; it is empty afterwards. */
void catalog_archives_fini(struct catalog_archives *l);

/* The copies of n archives, ordered as the ids are given and by copy_no; all states. An archive
 * without copies gives none. */
int catalog_copy_of(struct catalog *cat, const struct uuid *archives, size_t n,
                    struct catalog_copies *out, struct err *err);

/* Where a page of catalog_copy_page ended; zero to begin. */
struct catalog_copy_pos {
    int partition;
    uint64_t start_block;
    int64_t row;
};

/* The next at most max copies on volume in the order of partition, block; *pos moves on. An empty
 * list is the end. */
int catalog_copy_page(struct catalog *cat, int64_t volume, struct catalog_copy_pos *pos, size_t max,
                      struct catalog_copies *out, struct err *err);

/* Frees the list\'s memory; it is empty afterwards. */
void catalog_copies_fini(struct catalog_copies *l);

/* Sets the state of copy copy_no (0: all copies) of each of n archives. Copies that are not there
 * are passed over. A copy that becomes garbage adds its length to its volume's garbage counter;
 * one that becomes valid again takes it off. */
int catalog_copy_set_state(struct catalog *cat, const struct uuid *archives, size_t n, int copy_no,
                           enum catalog_copy_state state, struct err *err);

/* As catalog_copy_set_state for every copy on volume (all states but `state` itself). */
int catalog_copy_set_state_volume(struct catalog *cat, int64_t volume,
                                  enum catalog_copy_state state, struct err *err);

struct catalog_copy_sums {
    int64_t copies[3]; /* by enum catalog_copy_state */
    int64_t bytes[3];
};

/* Counts and bytes of the copies on volume (0: of all volumes and tiers); reads all their rows. */
int catalog_copy_sum(struct catalog *cat, int64_t volume, struct catalog_copy_sums *out,
                     struct err *err);

/* How many archives have their only valid copy on volume, into *n: none may be lost by giving it
 * away. */
int catalog_copy_only_on(struct catalog *cat, int64_t volume, int64_t *n, struct err *err);

/* ---- tasks and jobs ------------------------------------------------------------------------- */

#define CATALOG_TASK_MIN 1000
#define CATALOG_TASK_MAX 99999

enum catalog_task_status {
    CATALOG_TASK_DRAFT = 0, /* being put together; dropped by catalog_recover */
    CATALOG_TASK_WAITING,
    CATALOG_TASK_RUNNING,
    CATALOG_TASK_INTERRUPTED, /* was running when firnd ended */
    CATALOG_TASK_COMPLETED,
};
enum catalog_task_result {
    CATALOG_RESULT_NONE = 0,
    CATALOG_RESULT_SUCCEEDED,
    CATALOG_RESULT_FAILED,
    CATALOG_RESULT_CANCELLED,
};

struct catalog_task {
    int64_t id;         /* 1000 to 99999, then from 1000 again; given by catalog_task_add */
    char uid[48];       /* "1026@2026-02-18T20:02:38" (local time); given by catalog_task_add */
    char type[24];      /* "migrate", "premigrate", "recall", ... */
    const char *params; /* the command line, for people */
    const char *pools;  /* "pool1@lib1,pool2@lib1" */
    enum catalog_task_status status;
    enum catalog_task_result result;
    int64_t options;                              /* the caller's bits */
    int64_t priority;                             /* higher first */
    int64_t created_ns, started_ns, completed_ns; /* created_ns is set when 0 */
    int64_t files, done, failed; /* jobs without duplicates, kept by catalog_job_add and _finish */
    int64_t bytes_total, bytes_done;
    const char *message; /* of the task as a whole */
};
struct catalog_tasks {
    struct catalog_task *v;
    size_t n;
    struct catalog_mem *mem;
};

/* Adds task t: type, params, pools, status, options, priority are taken, id, uid and created_ns are
 * given. An id that an old completed task has is taken from it (it is forgotten with its jobs).
 * -ENOSPC when all ids are open tasks. */
int catalog_task_add(struct catalog *cat, struct catalog_task *t, struct err *err);

/* Sets the status of task id; RUNNING sets started_ns (once), COMPLETED sets completed_ns, result
 * and message (message NULL keeps the old one). flags: CATALOG_NOWAIT. CATALOG_ABSENT. */
int catalog_task_set(struct catalog *cat, int64_t id, enum catalog_task_status status,
                     enum catalog_task_result result, const char *message, unsigned flags,
                     struct err *err);

/* The task with this id (a list of 1). 0, CATALOG_ABSENT. */
int catalog_task_get(struct catalog *cat, int64_t id, struct catalog_tasks *out, struct err *err);

/* Tasks, newest first, at most limit (0: all); completed ones only when asked. No drafts. */
int catalog_task_list(struct catalog *cat, bool completed, size_t limit, struct catalog_tasks *out,
                      struct err *err);

/* Frees the list\'s memory; it is empty afterwards. */
void catalog_tasks_fini(struct catalog_tasks *l);

/* Forgets draft or completed task id and its jobs. CATALOG_ABSENT; -EBUSY when it is open. */
int catalog_task_delete(struct catalog *cat, int64_t id, struct err *err);

/* Forgets completed tasks older than before_ns, but keeps the last keep_failed failed ones.
 * before_ns INT64_MAX and keep_failed 0 forget all that are completed. *removed (may be NULL) gets
 * their number. (The engine keeps three months and 10.) */
int catalog_task_prune(struct catalog *cat, int64_t before_ns, int keep_failed, int64_t *removed,
                       struct err *err);

enum catalog_job_state {
    CATALOG_JOB_QUEUED = 0,
    CATALOG_JOB_RUNNING,
    CATALOG_JOB_DONE,
    CATALOG_JOB_FAILED,
    CATALOG_JOB_DUPLICATE, /* an open job for the same file and kind was there already */
};

struct catalog_job {
    int64_t id;   /* given by catalog_job_add; rising, never used again */
    int64_t task; /* catalog_task.id; 0 for jobs without task */
    int kind;     /* the engine's number, 0 to 63 */
    enum catalog_job_state state;
    struct uuid fs;
    uint64_t ino; /* 0: unknown (then it is never a duplicate) */
    uint32_t gen;
    uint32_t handle_len;
    uint8_t handle[CATALOG_HANDLE_MAX];
    const char *path;                         /* relative to fs, or as given */
    struct uuid archive;                      /* zero: none (yet) */
    uint64_t size;                            /* bytes */
    int64_t volume;                           /* queue key: the volume to read from; 0 none */
    uint64_t block;                           /* order within the volume */
    int64_t priority;                         /* higher first */
    int attempt;                              /* times it was begun before */
    char code[16];                            /* of the result, "GLESM451W" */
    const char *message;                      /* of the result */
    int64_t created_ns, started_ns, ended_ns; /* created_ns is set when 0 */
};
struct catalog_jobs {
    struct catalog_job *v;
    size_t n;
    struct catalog_mem *mem;
};

/*
 * Adds n jobs to task (0: none) in one transaction (10,000 at a time is a good size); ids and
 * created_ns are written to v. state is taken: QUEUED, or DONE and FAILED for a job that is over
 * before it began (code and message are taken then, and the task's counters count it). A queued job
 * with ino > 0 for which an open job of the same (fs, ino, gen, kind) exists is stored as DUPLICATE
 * (v[i].state says so; v[i].attempt becomes 0 and v[i].block the open job's id; it counts in
 * none of the task's numbers).
 * CATALOG_ABSENT: no such task.
 */
int catalog_job_add(struct catalog *cat, int64_t task, struct catalog_job *v, size_t n,
                    struct err *err);

/* Which jobs; zero and -1 members choose all. */
struct catalog_job_filter {
    int64_t task;        /* 0: any */
    int kind;            /* -1: any */
    int64_t volume;      /* -1: any */
    unsigned state_mask; /* 1U << enum catalog_job_state; 0: any */
    int64_t after_id;    /* only ids above: for pages in the order of ids */
};

/* Takes at most max queued jobs that fit f (its state_mask and after_id are not looked at), highest
 * priority first, then in the order of block and id, and makes them running. An empty list when
 * none is queued. */
int catalog_job_claim(struct catalog *cat, const struct catalog_job_filter *f, size_t max,
                      struct catalog_jobs *out, struct err *err);

/* Changes queue key (volume, block) and priority of n open jobs: of v, id, volume, block and
 * priority are used. */
int catalog_job_route(struct catalog *cat, const struct catalog_job *v, size_t n, struct err *err);

/* The end of one job. */
struct catalog_job_end {
    int64_t id;
    enum catalog_job_state state; /* DONE, FAILED, or QUEUED: put back, attempt counts up */
    const char *code;             /* NULL: "" */
    const char *message;
    uint64_t bytes; /* added to the task's bytes_done when DONE */
};

/* Ends n running or queued jobs and counts them in their tasks; those that ended already are passed
 * over. flags: CATALOG_NOWAIT. */
int catalog_job_finish(struct catalog *cat, const struct catalog_job_end *v, size_t n,
                       unsigned flags, struct err *err);

/* Ends every queued job of task as failed with code and message. *n (may be NULL) their number. */
int catalog_job_cancel(struct catalog *cat, int64_t task, const char *code, const char *message,
                       int64_t *n, struct err *err);

/* At most limit jobs that fit f, in the order of ids. */
int catalog_job_list(struct catalog *cat, const struct catalog_job_filter *f, size_t limit,
                     struct catalog_jobs *out, struct err *err);

/* As catalog_job_list, passing over the first offset (slow for a large offset; after_id is not). */
int catalog_job_list_at(struct catalog *cat, const struct catalog_job_filter *f, size_t offset,
                        size_t limit, struct catalog_jobs *out, struct err *err);

/* The open (queued or running) job for this file and kind (-1: any kind), the oldest (a list of 1).
 * 0, CATALOG_ABSENT. */
int catalog_job_find_open(struct catalog *cat, const struct uuid *fs, uint64_t ino, uint32_t gen,
                          int kind, struct catalog_jobs *out, struct err *err);

/* Frees the list\'s memory; it is empty afterwards. */
void catalog_jobs_fini(struct catalog_jobs *l);

struct catalog_job_count {
    int kind;
    enum catalog_job_state state;
    char code[16];
    int64_t volume; /* of queued jobs; else 0 */
    int64_t n;
    int64_t bytes; /* sum of sizes */
};
struct catalog_job_counts {
    struct catalog_job_count *v;
    size_t n;
};

/* Jobs of task (0: open jobs of all tasks) counted by kind, state, code and (queued) volume. */
int catalog_job_count(struct catalog *cat, int64_t task, struct catalog_job_counts *out,
                      struct err *err);

/* Frees the list\'s memory; it is empty afterwards. */
void catalog_job_counts_fini(struct catalog_job_counts *l);

/* After a start: running jobs are queued again (attempt counts up), running tasks become
 * interrupted, drafts are dropped. *requeued (may be NULL) gets the number of jobs. */
int catalog_recover(struct catalog *cat, int64_t *requeued, struct err *err);

/* ---- accounts, buckets, schedules ----------------------------------------------------------- */

struct catalog_account {
    char name[CATALOG_NAME_MAX];
    uint32_t uid, gid;
    char access_key[132], secret_key[132];   /* unique access keys */
    char access_key2[132], secret_key2[132]; /* "" when there is no second pair */
    bool enabled;
    bool md5_etag;
    char new_buckets[CATALOG_PATH_MAX]; /* directory for buckets that it makes */
    int64_t created_ns;                 /* set when 0 */
};
struct catalog_accounts {
    struct catalog_account *v;
    size_t n;
};

/* Adds account a. -EEXIST: name or one of its access keys is taken. */
int catalog_account_add(struct catalog *cat, struct catalog_account *a, struct err *err);

/* Replaces the account of this name. CATALOG_ABSENT; -EEXIST: an access key is taken. */
int catalog_account_set(struct catalog *cat, const struct catalog_account *a, struct err *err);

/* Removes an account. CATALOG_ABSENT; -ENOTEMPTY when it owns buckets. */
int catalog_account_delete(struct catalog *cat, const char *name, struct err *err);

/* The accounts of this name (NULL: all), sorted. CATALOG_ABSENT when a name was given and is not
 * there. */
int catalog_account_list(struct catalog *cat, const char *name, struct catalog_accounts *out,
                         struct err *err);

/* Frees the list\'s memory; it is empty afterwards. */
void catalog_accounts_fini(struct catalog_accounts *l);

struct catalog_bucket {
    char name[CATALOG_NAME_MAX];
    char owner[CATALOG_NAME_MAX]; /* account */
    char path[CATALOG_PATH_MAX];  /* its directory */
    bool exported;                /* the directory was there before; only forgotten on delete */
    int64_t created_ns;           /* set when 0 */
};
struct catalog_buckets {
    struct catalog_bucket *v;
    size_t n;
};

/* Adds bucket b. -EEXIST: the name is taken. CATALOG_ABSENT: no such owner. */
int catalog_bucket_add(struct catalog *cat, struct catalog_bucket *b, struct err *err);

/* Removes a bucket's row. CATALOG_ABSENT. */
int catalog_bucket_delete(struct catalog *cat, const char *name, struct err *err);

/* Buckets of name and owner (each NULL: any), sorted by name. CATALOG_ABSENT when a name was given
 * and is not there. */
int catalog_bucket_list(struct catalog *cat, const char *name, const char *owner,
                        struct catalog_buckets *out, struct err *err);

/* Frees the list\'s memory; it is empty afterwards. */
void catalog_buckets_fini(struct catalog_buckets *l);

/* A number that rises with every change of accounts or buckets. */
int catalog_registry_generation(struct catalog *cat, int64_t *generation, struct err *err);

struct catalog_schedule {
    char name[CATALOG_NAME_MAX];
    char when[CATALOG_TEXT_MAX]; /* five cron fields; "": at no time */
    char target[CATALOG_PATH_MAX];
    char file[CATALOG_PATH_MAX];
    const char *macros; /* JSON object */
    char log[CATALOG_PATH_MAX];
    bool enabled;
    bool events; /* also held against each file that the gateway changed */
    int64_t last_run_ns;
    const char *last_result;
};
struct catalog_schedules {
    struct catalog_schedule *v;
    size_t n;
    struct catalog_mem *mem;
};

/* Adds or replaces schedule s. */
int catalog_schedule_put(struct catalog *cat, const struct catalog_schedule *s, struct err *err);

/* Notes a run. flags: CATALOG_NOWAIT. CATALOG_ABSENT. */
int catalog_schedule_ran(struct catalog *cat, const char *name, int64_t when_ns, const char *result,
                         unsigned flags, struct err *err);

/* Removes a schedule. CATALOG_ABSENT. */
int catalog_schedule_delete(struct catalog *cat, const char *name, struct err *err);

/* The schedules of this name (NULL: all), sorted. CATALOG_ABSENT when a name was given and is not
 * there. */
int catalog_schedule_list(struct catalog *cat, const char *name, struct catalog_schedules *out,
                          struct err *err);

/* Frees the list\'s memory; it is empty afterwards. */
void catalog_schedules_fini(struct catalog_schedules *l);

#endif
