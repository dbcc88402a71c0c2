/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine: the durable queue of tasks and jobs, the workers that carry files to tiers and back,
 * the tape library's inventory, and the facts that commands show. firnd starts one; the control
 * server, policy runs and schedules call it. Every function may be called by any thread unless its
 * comment says otherwise. Errors are negated errno values with a text that names the thing.
 *
 * Work is submitted through a draft: files are added in batches of any number, and the commit makes
 * task and jobs durable at once. An uncommitted draft leaves no trace.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "base/err.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct catalog;
struct conf;
struct engine;
struct engine_draft;

/* ---- life -------------------------------------------------------------------------------- */

/*
 * Opens the catalogue in conf's state_dir, reads the libraries' inventories, puts jobs that a
 * crash interrupted back into the queue, and starts the workers. conf is borrowed and must stay
 * until engine_stop. Returns 0 with *out set (end with engine_stop), or a negative code with err
 * set and nothing left running.
 */
int engine_start(const struct conf *conf, struct engine **out, struct err *err);

/* Begins to stop: calls that wait inside the engine return -ESHUTDOWN from here on, nothing new is
 * begun. Those of engine_recall_async are told -ESHUTDOWN before it returns. Waits for nothing
 * else; engine_stop must follow. Lets the caller bring its own threads, which may be inside the
 * engine, to their end before engine_stop frees it. Any thread; twice is allowed. */
void engine_stop_begin(struct engine *e);

/*
 * Lets the files that are being copied end, writes the indexes of all mounted volumes, stops the
 * threads and frees e. Jobs that were not begun stay in the queue for the next start. Calls that
 * wait inside the engine return -ESHUTDOWN; the caller makes sure that no new call begins. NULL is
 * allowed.
 */
void engine_stop(struct engine *e);

/* The configuration that e was started with; borrowed, constant. */
const struct conf *engine_conf(const struct engine *e);

/* The catalogue of e, open from engine_start to engine_stop; borrowed. */
struct catalog *engine_catalog(struct engine *e);

/* True once engine_stop or op drain has begun: long work of other parts should come to its end. */
bool engine_stopping(const struct engine *e);

/* ---- tasks ------------------------------------------------------------------------------- */

enum engine_task_type {
    ENGINE_MIGRATE,    /* copy, then release the blocks */
    ENGINE_PREMIGRATE, /* copy only */
    ENGINE_RECALL,     /* bring the data back */
    ENGINE_SAVE,       /* refused for now: EOPNOTSUPP */
};

#define ENGINE_POOLS_MAX                                                                           \
    3 /* replicas of one task (tape reference: migrate -p takes up to three)                       \
       */

/* What a task is to do. All strings are borrowed for the call. */
struct engine_task_spec {
    enum engine_task_type type;
    const char *pools[ENGINE_POOLS_MAX]; /* "pool@library"; "pool" when one library has it */
    size_t npools;                       /* 1 to 3 for migrate and premigrate, 0 for recall */
    bool resident;                       /* recall: drop the record, the file ends resident */
    const char *parameters;              /* command line for the history; may be NULL */
    bool background;                     /* true: not waited for by a person (policy, schedule) */
};

/* One file of a task. path is absolute, or NULL and the file is named by fs, ino and gen. */
struct engine_file_ref {
    const char *path; /* borrowed; a path beats the numbers, which then only must agree */
    const char *fs;   /* name of the file system in the configuration; NULL with a path */
    uint64_t ino;     /* 0: not known */
    uint32_t gen;     /* 0: not known or not offered by the file system */
};

/* Counts of a task, and how far it is. Sizes in bytes. */
struct engine_task_progress {
    int64_t task_id;
    char uid[48]; /* "1026@2026-02-18T20:02:38" */
    bool ended;   /* every job has its result */
    bool ok;      /* ended, and no job failed */
    const char
        *stage; /* static text: "waiting", "qualify", "copy", "change state", "recall", "done" */
    int64_t files, duplicates;
    int64_t done, failed; /* of files; failed includes not found, too small and the like */
    int64_t bytes_total, bytes_done;
};

/*
 * Begins a draft of one task. Pools, their libraries and the attributes allow_migrate,
 * allow_premigrate and allow_selective_recall are checked here: -ENOENT, -EINVAL, -EACCES with err.
 * Returns 0 with *out set; end it with engine_draft_commit or engine_draft_free.
 */
int engine_draft_new(struct engine *e, const struct engine_task_spec *spec,
                     struct engine_draft **out, struct err *err);

/*
 * Adds n files. One thread at a time per draft. A name that does not exist is no error here: its
 * job fails with GLESL400E. Files that already are in the queue become duplicates (GLESM431E).
 * Returns 0, or a negative code with err (catalogue cannot be written); the draft is then only
 * good for engine_draft_free.
 */
int engine_draft_add(struct engine_draft *d, const struct engine_file_ref *files, size_t n,
                     struct err *err);

/*
 * Makes the draft a task: after 0, task and jobs are durable and will end. *info (may be NULL)
 * tells the id, files and duplicates. The draft is freed whatever happens.
 */
int engine_draft_commit(struct engine_draft *d, struct engine_task_progress *info, struct err *err);

/* Drops an uncommitted draft. NULL is allowed. */
void engine_draft_free(struct engine_draft *d);

/*
 * Waits until the task ended, at most timeout_ms (0: only look; negative: no bound), and fills
 * *info. Returns 0 (look at info->ended), -ENOENT for no such task, -ESHUTDOWN.
 */
int engine_task_wait(struct engine *e, int64_t task_id, int64_t timeout_ms,
                     struct engine_task_progress *info, struct err *err);

/* ---- transparent recall ------------------------------------------------------------------ */

/* A reader that waits for a file. Strings are borrowed. */
struct engine_recall_req {
    const char *fs;      /* name of the file system, with path relative to its root; or NULL */
    const char *path;    /* relative with fs, else absolute */
    uint64_t ino;        /* 0: do not check */
    uint32_t gen;        /* 0: do not check */
    int64_t wait_ms;     /* how long the caller will wait; 0: only start it */
    const char *account; /* of S3, counted against recall.account_max; may be NULL */
};

/* What became of it. */
struct engine_recall_res {
    const char *state; /* static: "resident" or "premigrated" on success */
    int retry_after_s; /* with -EAGAIN: when it is worth asking again */
};

/*
 * Makes the data of one file readable and waits for it. Returns 0 (readable now; at once when it
 * was), -EACCES when allow_transparent_recall is no (nothing was begun), -EAGAIN when wait_ms is
 * over (it goes on), the queue is full or the account has too much in it (err says which), -EIO
 * when no copy could be read (err names cartridge and block), -ENOENT, -ESTALE when ino or gen do
 * not agree, -ESHUTDOWN.
 */
int engine_recall(struct engine *e, const struct engine_recall_req *req,
                  struct engine_recall_res *res, struct err *err);

/* Who waits, for a request that has nobody inside the engine to wait: a program in the kernel. */
struct engine_recall_who {
    const char *program; /* for the log and lists; borrowed for the call; may be NULL */
    uint32_t uid;        /* counted against recall.account_max */
    int32_t pid;
};

/* Called once for each engine_recall_async that returned 0, on a thread of the engine (never the
 * one that asked, unless that is in engine_stop_begin) without its locks; must not block and not
 * call the engine. It may come before engine_recall_async returned. rc 0: the data is there,
 * durable, the state says so. -EIO, -ENOSPC, -ESTALE (file gone or changed), -ESHUTDOWN (firnd is
 * stopping: ask again later) with err. */
typedef void engine_recalled_fn(void *arg, int rc, const struct err *err);

struct file_id;

/*
 * Asks for the data of the stub that id names on file system fs (configuration name); returns at
 * once. limit is the number of bytes wanted when the stub was cut short (its size now), else
 * UINT64_MAX. Requests for one file are one recall, with those of lists and S3. Returns 0 (done
 * will be called), 1 (readable already, nothing will be called), -EACCES
 * (allow_transparent_recall), -EAGAIN (recall.queue_max, recall.account_max), -ESTALE, -EIO,
 * -ESHUTDOWN with err.
 */
int engine_recall_async(struct engine *e, const char *fs, const struct file_id *id, uint64_t limit,
                        const struct engine_recall_who *who, engine_recalled_fn *done, void *arg,
                        struct err *err);

/* ---- operations of the control protocol ---------------------------------------------------
 *
 * One function an operation of doc/design/protocol.md, all of one type, so that the server's table
 * is op name, function, who may call. Arguments and results are the JSON objects of that page.
 */

/* An event line for a client that waits. Takes ownership of event. Called on the caller's thread.
 */
typedef void engine_event_fn(void *arg, cJSON *event);

/* A request. */
struct engine_call {
    const cJSON *args;      /* borrowed; may be NULL (no arguments) */
    engine_event_fn *event; /* may be NULL */
    void *event_arg;
};

/* Returns 0 with *result a new object (the caller's), or a negative code with err set; *result is
 * then NULL, or a "details" object for the client (the caller's). */
typedef int engine_op_fn(struct engine *e, const struct engine_call *call, cJSON **result,
                         struct err *err);

engine_op_fn engine_op_status;
engine_op_fn engine_op_file_state;
engine_op_fn engine_op_file_lsattr;
engine_op_fn engine_op_task_wait;
engine_op_fn engine_op_task_list;
engine_op_fn engine_op_task_show;
engine_op_fn engine_op_task_cancel;
engine_op_fn engine_op_task_clear;
engine_op_fn engine_op_recall;
engine_op_fn engine_op_tape_list;
engine_op_fn engine_op_tape_show;
engine_op_fn engine_op_tape_assign;
engine_op_fn engine_op_tape_unassign;
engine_op_fn engine_op_tape_verify;
engine_op_fn engine_op_drive_list;
engine_op_fn engine_op_drive_show;
engine_op_fn engine_op_drive_assign;
engine_op_fn engine_op_drive_unassign;
engine_op_fn engine_op_pool_list;
engine_op_fn engine_op_pool_show;
engine_op_fn engine_op_pool_create;
engine_op_fn engine_op_pool_delete;
engine_op_fn engine_op_library_list;
engine_op_fn engine_op_library_rescan;
engine_op_fn engine_op_tier_list;
engine_op_fn engine_op_tier_show;
engine_op_fn engine_op_tier_verify;
engine_op_fn engine_op_tier_gc;
engine_op_fn engine_op_drain;
engine_op_fn engine_op_rebuild;

/*
 * The three draft operations belong to a connection; the server keeps the drafts of each connection
 * under small numbers. engine_draft_from_json does task.begin (members type, pools, resident,
 * parameters), engine_draft_add_json does task.add (member paths, at most 1000), and
 * engine_draft_commit_json does task.commit and frees the draft. Returns and errors as the
 * functions above and engine_op_fn.
 */
int engine_draft_from_json(struct engine *e, const cJSON *args, struct engine_draft **out,
                           struct err *err);
/* See engine_draft_from_json. */
int engine_draft_add_json(struct engine_draft *d, const cJSON *args, struct err *err);
/* See engine_draft_from_json. */
int engine_draft_commit_json(struct engine_draft *d, cJSON **result, struct err *err);

/*
 * Op recall.plan: what the files of a draft of recalls will take, before anything moves. The draft
 * stays, to be committed or freed. Returns 0 with *result (the caller's), -EINVAL for a draft of
 * another type, or another negative code, with err.
 */
int engine_draft_plan_json(struct engine_draft *d, cJSON **result, struct err *err);

/* ---- facts for policy runs ---------------------------------------------------------------- */

/* What the engine knows of a file that policies ask for. */
struct engine_file_facts {
    char state;           /* 'r' resident, 'p' premigrated, 'm' migrated */
    int64_t kb_allocated; /* KB on disk now */
    char misc[16]; /* MISC_ATTRIBUTES letters: F regular file, D, L, ...; M co-managed (premigrated
                      or migrated), V migrated, A archive */
};

/* Facts of the open file fd (O_RDONLY or O_PATH with /proc access), which lies on file system fs
 * (configuration name). Cheap: one fstat and one getxattr; no catalogue. Returns 0 or a negative
 * code with err set. */
int engine_file_facts(struct engine *e, const char *fs, int fd, struct engine_file_facts *out,
                      struct err *err);

#endif
