/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the engine share. Threads: one for each drive (copies to and from the volume
 * that the drive holds), for each store its lanes (one file at a time each) and a settler (recalled
 * files durable), two planners (jobs to tiers, jobs from tiers), one finisher (records and
 * release). They meet at queues under engine.lock.
 *
 * Lock order: engine.adopting (one volume at a time is compared with the catalogue), engine.media
 * (held over the catalogue: the counters of volumes), library.robot (held over robot moves), then
 * engine.lock (never held over I/O, the catalogue or a callback), then batch.lock. A volume of a
 * library is worked on only by the drive that reserved it; the one volume of a store by all lanes.
 */
#ifndef ENGINE_ENGINE_IMPL_H
#define ENGINE_ENGINE_IMPL_H

#include "base/buf.h"
#include "base/bufpool.h"
#include "base/cleanup.h"
#include "catalog/catalog.h"
#include "codec/digest.h"
#include "conf/conf.h"
#include "engine/engine.h"
#include "engine/pick.h"
#include "file/file.h"
#include "tape/changer.h"
#include "tape/ltfs.h"
#include "tape/order.h"
#include "tier/tier.h"

#include <pthread.h>
#include <stdatomic.h>
#include <uthash.h>
#include <utlist.h>

/* Kinds of jobs in the catalogue. Migrate and premigrate share one, so that a file is queued once.
 */
enum job_kind { JOB_TO_TAPE = 1, JOB_FROM_TAPE = 2 };

/* Bits of catalog_task.options. */
enum { TASK_RESIDENT = 1, TASK_TRANSPARENT = 2, TASK_BACKGROUND = 4 };

/* Codes of job results. What follows the dot tells causes apart in counts and is not shown. */
#define CODE_ABSENT  "GLESL400E"
#define CODE_QUEUED  "GLESM431E"
#define CODE_FAILED  "GLESM451W"
#define CODE_SMALL   "GLESM451W.small"
#define CODE_EARLY   "GLESM451W.early"
#define CODE_CHANGED "GLESM451W.chg"
#define CODE_CANCEL  "GLESM451W.can"
#define CODE_NOT_MIG "-.notmig" /* a success: nothing was to be recalled */

#define RELEASE_BATCH   64    /* files whose openers wait at once, file/file.h */
#define RECALL_BATCH    256   /* recalled files that one sync makes durable */
#define RECALL_BATCH_MS 100   /* or as long as this */
#define RECALL_WINDOW   8192  /* recalls in memory, besides those that readers wait for */
#define STORE_WINDOW    65536 /* that wait for stores that are down, besides */
#define CLAIM_STEP      256   /* jobs claimed at a time */
#define CLONES_MAX      8     /* drives that may die under one piece of work */

/* A managed file system. */
struct efs {
    const struct conf_filesystem *conf;
    struct fs *fs; /* NULL when it could not be opened */
    struct uuid uuid;
    char problem[256];
};

/* A task with jobs that have no result yet. */
struct task {
    int64_t id;
    enum engine_task_type type;
    int64_t options;
    size_t npools;
    struct pool *pools[ENGINE_POOLS_MAX];
    int64_t left;      /* jobs without result */
    int64_t unclaimed; /* of them, not taken from the catalogue yet (an upper bound) */
    int64_t requeued;  /* jobs that were ever put back, so that a claim sees one come */
    bool started;
    atomic_bool cancelled;
    _Atomic int64_t moved; /* bytes copied to tape whose files have no result yet */
    int64_t shown;         /* most bytes that anybody was told of */
    int pins;              /* threads that look at it outside the lock */
    bool dead;             /* ended and off the list; the last pin frees it */
    bool direct;           /* its one job never goes through the planner */
    const char *stage;
    struct task *prev, *next;
};

struct pool {
    char name[CATALOG_NAME_MAX];
    struct library *lib;
    struct uuid id;
    struct copy_work *queue; /* waiting pieces of work, oldest first */
    bool deleted;
    struct pool *next;
};

/* States of a volume that stand in the catalogue. Others ("missing", "mounted") are derived. */
#define VOL_APPENDABLE   "appendable"
#define VOL_FULL         "full"
#define VOL_DATA_FULL    "data_full"
#define VOL_RECALL_ONLY  "recall_only"
#define VOL_UNASSIGNED   "unassigned"
#define VOL_UNFORMATTED  "unformatted"
#define VOL_MISMATCH     "label_mismatch"
#define VOL_NEED_REPLACE "need_replace"
#define VOL_REQ_REPLACE  "require_replace"
#define VOL_INACCESSIBLE "inaccessible"

/* A volume with less than this part of its capacity left is full. */
#define FULL_SHARE 50

struct volume {
    struct catalog_volume row; /* barcode, state, counters as in the catalogue */
    struct library *lib;
    bool present;
    bool fresh;       /* mounted and unchanged since: row agrees with the tape */
    unsigned address; /* element where it is; valid when present */
    enum changer_element_kind where;
    struct edrive *drive; /* the drive that holds it, or NULL */
    bool reserved;        /* a drive works on it */
    struct recall *queue; /* recalls that wait for it, oldest first */
    size_t queued;
    size_t readers;    /* of them, those that somebody is blocked for */
    uint64_t least;    /* served, of the account among them that got least; see least_ns */
    int64_t least_ns;  /* when that was looked for */
    unsigned epoch;    /* changes when recalls leave the queue without being served */
    bool replan;       /* the queue changed since the last plan */
    bool asked;        /* a reader may be in the queue */
    char trouble[256]; /* why the last mount or write failed */
    int64_t remaining; /* bytes it still takes, as last seen; -1 unknown */
    uint64_t indexed;  /* generation of the index that index_backup saved; 0 none since the start */
    struct volume *next;
};

enum drive_work {
    DRIVE_IDLE,
    DRIVE_MOUNTING,
    DRIVE_UNMOUNTING,
    DRIVE_COPYING,
    DRIVE_RECALLING,
    DRIVE_ADMIN
};

struct edrive {
    struct engine *e;
    struct library *lib;
    char serial[DRIVE_SERIAL_MAX];
    char product[DRIVE_SERIAL_MAX];
    unsigned address;
    struct drive *drive;
    pthread_t thread;
    bool thread_runs;
    struct volume *volume;    /* in the drive */
    struct ltfs_volume *ltfs; /* mounted, or NULL */
    struct tier *tier;        /* over ltfs */
    uint64_t head;            /* block of the data partition where the last read ended */
    enum drive_work work;
    bool jobs_turn;  /* readers were served last: jobs over age are next */
    int64_t task_id; /* at work for, 0 none */
    struct catalog_drive row;
    uint64_t seen_read, seen_written; /* of the drive's counters, counted in row */
    int failures;                     /* mounts that failed in a row */
    char problem[CATALOG_TEXT_MAX];
    struct edrive *next;
};

struct library {
    const char *name;                /* conf's, borrowed */
    const struct conf_library *conf; /* NULL: a store */
    struct estore *store;            /* NULL: a tape library */
    struct changer *changer;         /* NULL with a problem */
    struct clock *clock;             /* simulated, or NULL */
    pthread_mutex_t robot;
    struct edrive *drives;
    struct volume *volumes; /* by barcode */
    size_t slots;
    char problem[256];
};

/* ---- stores ---- */

#define LANE_DONE_MAX 512 /* recalled files that wait for the settler; lanes pause beyond */

enum lane_work { LANE_IDLE, LANE_PROBING, LANE_COPYING, LANE_SETTLING, LANE_RECALLING };

struct lane {
    struct estore *s;
    struct tier *tier; /* NULL until the depot is open */
    pthread_t thread;
    bool thread_runs;
    enum lane_work work;
    int64_t task_id; /* at work for, 0 none */
};

/* A configured store. Its library has one volume, named after it, and no drives; all lanes work on
 * it at once. */
struct estore {
    struct engine *e;
    struct library *lib;
    const struct conf_store *conf;
    struct volume *volume;
    struct depot *depot;     /* NULL until it could be opened; then until the engine ends */
    bool up;                 /* the last look found it well */
    bool probing;            /* a lane looks */
    bool ended;              /* no lane runs any more */
    _Atomic int64_t halt_ns; /* monotonic: all requests end then; 0 while the engine runs */
    int64_t retry_ns;        /* monotonic: not before, when it is not up */
    int64_t pause_ms;        /* before the next look */
    char full[256];          /* why it took no more data; "" */
    unsigned fulls;          /* how often it took no more */
    struct lane *lanes;
    size_t nlanes;
    size_t copying, recalling; /* lanes that do; recalling without those for readers */
    size_t filling;            /* lanes that write a recalled file */
    pthread_t settler;
    bool settler_runs;
    pthread_cond_t idle; /* lanes without work */
    pthread_cond_t settle;
    struct recall *done; /* written, not durable */
    size_t ndone;
    bool done_readers; /* among done */
    int64_t since_ns;  /* the first of done */
};

/* ---- to a tier ---- */

struct mcopy {
    bool needed; /* this pool lacks a copy */
    bool done;   /* durable */
    int copy_no;
    int64_t volume;
    bool put;      /* on a store, not in the catalogue yet */
    int64_t moved; /* of task.moved, what this copy gave */
    struct tier_location loc;
};

/* A file of a batch. Only the thread that has the batch, or a drive's thread for its own pool's
 * mcopy, touches it; shared parts are under batch.lock. */
struct mfile {
    int64_t job;
    int attempt;
    char *path;
    struct efs *fs;
    struct file_id id;
    struct file_snapshot snap;
    struct uuid archive;
    bool digested;      /* digest is set: by the first copy, or from the catalogue */
    bool replica;       /* the archive was there before; further copies are made */
    uint8_t digest[16]; /* XXH3-128 of all bytes */
    struct mcopy copies[ENGINE_POOLS_MAX];
    struct file_release *release;
    bool premigrated;
    bool stub;        /* migrated now, or was before */
    bool in_use;      /* the last try to release met another opener */
    bool over;        /* has its result */
    bool retry;       /* result: back into the queue */
    const char *code; /* NULL: done */
    char *message;
};

struct batch {
    struct engine *e;
    struct task *task;
    struct mfile *files;
    size_t n;
    bool hashed; /* filehash_enable, when it was planned */
    pthread_mutex_t lock;
    size_t copies_left; /* pieces of work not done */
    struct batch *next;
    struct batch *live_prev, *live_next; /* among engine.live */
};

/* The copies of one batch that one pool gets. */
struct copy_work {
    struct batch *batch;
    size_t pool;               /* index in the task's pools and the files' copies */
    int64_t avoid[CLONES_MAX]; /* volumes that failed or were too full for the rest */
    size_t avoided;
    size_t begun;  /* files that lanes of a store took or passed over */
    size_t active; /* of them, with a lane */
    bool queued;   /* in its pool's queue; for stores, which take it out when all is begun */
    struct copy_work *prev, *next;
};

/* ---- from a tier ---- */

/* Somebody who waits for a recall: a job, or a reader. */
struct waiter {
    struct task *task; /* NULL: a reader without job */
    int64_t job;
    struct waiter *next;
};

/* Who a recall is charged to: an S3 account, a user, or a task of files. It is in memory as long as
 * something of it waits. */
struct account {
    char name[80];   /* "account NAME", "uid N", "task N" or "operator" */
    size_t waiting;  /* recalls in memory that are charged to it */
    uint64_t served; /* of them and those before, how many were taken out of a queue */
    UT_hash_handle hh;
};

/* Who asked for a recall, besides jobs. */
struct asker {
    engine_recalled_fn *done; /* NULL: its own thread waits, or it no longer does */
    void *arg;
    char name[64]; /* program, or S3 account; "" not known */
    uint32_t uid;
    int32_t pid; /* 0: not a program of this machine */
    struct asker *next;
};

struct recall_copy {
    struct volume *volume;
    struct tier_location loc;
    int copy_no;
    bool tried;
};

/* What names a file in the hash of recalls. All bytes count: zero it first. */
struct recall_key {
    uint64_t fs; /* index in engine.fs */
    uint64_t ino;
    uint64_t gen;
};

/* One file that is to come back, whoever asked and however often. */
struct recall {
    struct efs *fs;
    struct file_id id;
    struct recall_key key;
    char *path;
    struct uuid archive;
    uint64_t size;
    int digest_alg; /* -1: none */
    uint8_t digest[DIGEST_MAX];
    struct recall_copy copies[ENGINE_POOLS_MAX + 1];
    size_t ncopies;
    size_t current; /* index in copies */
    bool resident;  /* all who asked want no record kept */
    bool drop;      /* decided from resident when the data is there */
    bool reader;    /* somebody is blocked */
    bool gone;      /* the file itself is */
    bool check;     /* filehash_verify_on_read, when it was planned */
    bool own;       /* the archive is of this file, not of one that it is a copy of */
    bool finished;  /* result is valid */
    int result;
    struct err err;
    int refs;           /* readers that will look at the result, and the queue */
    int64_t created_ns; /* monotonic */
    struct account *account;
    struct volume *waits; /* whose queue it is in, or NULL */
    struct asker *askers;
    struct waiter *waiters;
    _Atomic int64_t moved; /* bytes that came from tape so far */
    struct file_refill *refill;
    UT_hash_handle hh;
    struct recall *prev, *next; /* in a volume's queue, or a drive's batch */
};

/* ---- work on a cartridge that somebody waits for ---- */

struct admin {
    struct volume *volume;
    bool unmounted; /* the cartridge is to be loaded but not mounted */
    int (*run)(struct edrive *d, void *arg, struct err *err);
    void *arg;
    bool taken, done;
    int rc;
    struct err err;
    struct admin *prev, *next;
};

struct engine {
    const struct conf *conf;
    struct catalog *cat;
    struct bufpool *buffers;
    int64_t started_ns;
    struct efs *fs;
    size_t nfs;
    struct library *libs;
    size_t nlibs;
    struct pool *pools;

    pthread_mutex_t adopting;
    pthread_mutex_t media; /* changes of volumes' rows, which the catalogue changes too */
    pthread_mutex_t lock;
    pthread_cond_t work;    /* drives: something may be to do (engine_wake_locked) */
    pthread_cond_t plan;    /* planners and finisher */
    pthread_cond_t changed; /* waiters: a task ended, a recall ended, a drive became idle */
    bool stopping;
    int drains;         /* drain operations that hold the drives */
    struct task *tasks; /* open ones, oldest first */
    size_t batches;     /* between planner and result */
    struct batch *finish;
    struct batch *live; /* batches whose files have their archive ids */
    struct admin *admins;
    struct transparent *transparent; /* NULL: no file system with posix_readers = "recall" */
    struct recall *recalls;          /* hash of those in memory */
    size_t window;                   /* of them, planned (not by readers) */
    struct account *accounts;
    int calling;          /* threads that tell askers of a result */
    int64_t recalls_open; /* jobs from tape without result, all of them */
    pthread_t planner_to, planner_from, finisher;
    int threads;
    int callers; /* threads of others that wait in here */
};

/* ---- engine.c, fsmap ---- */

/* The file system of this uuid, name, or holding absolute path; NULL when there is none. */
struct efs *efs_by_uuid(struct engine *e, const struct uuid *uuid);
struct efs *efs_by_name(struct engine *e, const char *name);
struct efs *efs_by_path(struct engine *e, const char *path);

/* 63-bit number for ids, from n bytes of p: never negative. */
int64_t id_number(const void *p, size_t n);

/* ---- task.c ---- */

/* "migrate" and so on; static. */
const char *task_type_name(enum engine_task_type type);

/* The type of this name; transparent_recall counts as recall. Returns 0 or -EINVAL. */
int task_type_parse(const char *name, enum engine_task_type *out);

/* The open task of this id, or NULL. engine.lock held. */
struct task *task_find_locked(struct engine *e, int64_t id);

/* Gives back a pin (t->pins) on a task. engine.lock held. */
void task_unpin_locked(struct task *t);

/* n jobs of t got results that the catalogue has already; t is freed when they were the last. Not
 * under engine.lock. */
void task_ended_jobs(struct engine *e, struct task *t, int64_t n);

/* The file system that absolute path leads to, with *rel (the caller's) relative to its root; NULL
 * when it leads to none. */
struct efs *efs_resolve(struct engine *e, const char *path, char **rel);

/* The end of one job, with what its task counts. */
struct job_result {
    struct task *task;
    struct catalog_job_end end;
};

/* Stores n results durably and lets tasks end. Retries while the catalogue refuses. The strings are
 * borrowed. Not under engine.lock. */
void task_finish_jobs(struct engine *e, const struct job_result *r, size_t n);

/* Loads open tasks from the catalogue at start. Returns 0 or a negative code. */
int task_load_open(struct engine *e, struct err *err);

/* Frees what task_load_open and commits made. */
void task_free_all(struct engine *e);

/* Adds an open task to the list; takes ownership. engine.lock held. */
void task_open_locked(struct engine *e, struct task *t);

/* Takes up to max queued jobs of t into *out. Returns 0 or a negative code with err. Not under
 * engine.lock. An empty list means that none is left; t->unclaimed is then 0. */
int task_claim(struct engine *e, struct task *t, size_t max, struct catalog_jobs *out,
               struct err *err);

/* Begins a task of one job that a reader waits for; the job never goes through the planner. Returns
 * 0 with *task (open) and *job set; 1 when another task has a job for this file (*task is not open:
 * the caller closes it in the catalogue and frees it); or a negative code. */
int task_add_direct(struct engine *e, const struct file_id *id, const char *path,
                    const struct uuid *archive, uint64_t size, struct task **task, int64_t *job,
                    struct err *err);

/* What is shown of a result code: without what follows the dot. */
void code_shown(const char *code, char *out, size_t n);

/* ---- plan_migrate.c, copy_file.c, copy.c, finish.c ---- */

/* Thread: claims jobs of tasks to tape, checks the files, makes batches. */
void *migrate_planner(void *engine);

/* Gives f its failure; message is made from the format. Under batch.lock when drives may work. */
void mfile_fail(struct mfile *f, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* As mfile_fail with batch.lock taken in here; a file that has its result keeps it. */
void mfile_fail_locked(struct batch *b, struct mfile *f, const char *code, const char *text);

/* A copy on a tier that shows attributes carries the file system's UUID beside its name: sites may
 * share a store. */
#define COPY_XATTR_FS "firn.fs.uuid"

/* Outcomes of copy_file, besides negative failures of the tier. */
enum {
    COPY_DONE = 0,        /* put, not synced */
    COPY_FILE_FAILED = 1, /* the file has its result */
    COPY_FULL = 2,        /* no room for it here */
    COPY_CANCELLED = 3    /* its task is */
};

/* Copies f to t as copy c, whose loc is filled. Any thread, one for each copy of a file. Returns an
 * outcome, or a negative code of the tier with err; nothing of the copy counts then. */
int copy_file(struct tier *t, struct batch *b, struct mfile *f, struct mcopy *c, struct err *err);

/* Tells the catalogue of the copies of n files of b (indexes) that are durable on v now, made for
 * pool (index in the task's), on a tier of that kind. Returns as catalog_archive_add. */
int copy_catalogue(struct batch *b, size_t pool, const size_t *files, size_t n,
                   const struct volume *v, const char *tier, struct err *err);

/* fs_sync of every file system that files of b without result are on; a failure is theirs. */
void batch_sync(struct batch *b);

/* Stores the results of a batch's files and frees it. */
void batch_end(struct batch *b);

/* Copies what w still needs to the volume mounted on d; called by d's thread. Returns 0 when the
 * piece of work is over for this volume; *again is set when another volume must go on. */
void copy_run(struct edrive *d, struct copy_work *w, bool *again);

/* Takes what copy c of a file added to its task's progress back: it is made again, failed, or the
 * catalogue counts the file now. */
void copy_unmove(struct task *t, struct mcopy *c);

/* A piece of work is over: the batch goes on when it was the last. Frees w. */
void copy_over(struct copy_work *w);

/* Gives every file that w still needs the failure "no volume", and ends w. Not under engine.lock.
 */
void copy_give_up(struct copy_work *w);

/* Thread: catalogue, records, release, results of batches. */
void *migrate_finisher(void *engine);

/* ---- recall*.c, refill.c ---- */

/* Thread: claims jobs of tasks from tape, finds copies, queues them at volumes. */
void *recall_planner(void *engine);

/* Recalls what waits for the volume mounted on d until its queue is empty, another volume's
 * requests are over age, or the engine stops. Called by d's thread. */
void recall_run(struct edrive *d);

enum { REFILL_ENDED = 1 }; /* of refill_one: the file decided, r has its result */

/* Writes the copy of r that is current, read from t, into its file. Any thread, one for each r.
 * Returns 0 (not durable yet: refill_settle), REFILL_ENDED (r may be freed), or a negative code of
 * the copy with err; the file is the stub that it was then. */
int refill_one(struct engine *e, struct tier *t, struct recall *r, struct err *err);

/* Makes what refill_one wrote for the recalls of list durable with as few syncs as can be, changes
 * the files' states and ends the recalls. Not under engine.lock. */
void refill_settle(struct engine *e, struct recall *list);

/* The current copy of r cannot be read (why): r goes to its next one, or ends. Not under
 * engine.lock. */
void recall_next_copy(struct engine *e, struct recall *r, const struct err *why);

/* Puts r into the queue of its best copy's volume, or ends it with an error when none is left.
 * engine.lock held; ended recalls go to *dead for recall_end_list (not under the lock). */
void recall_route_locked(struct engine *e, struct recall *r, struct recall **dead);

/* Takes r out of the queue of v, to be served. engine.lock held. */
void recall_take_locked(struct volume *v, struct recall *r);

/* Frees r when the last reference goes. engine.lock held. */
void recall_unref_locked(struct recall *r);

/* Ends recalls: results of their jobs are stored, readers wake. Not under engine.lock. */
void recall_end_list(struct engine *e, struct recall *list);

/* Tells all askers that firnd stops; when it returns, none is told anything any more. Not under
 * engine.lock. */
void recall_let_go(struct engine *e);

/* Frees the recalls in memory, without results: their jobs are taken up at the next start. */
void recall_free_all(struct engine *e);

/* All recalls that wait for v look for another copy: v went away or broke. engine.lock held. */
void recall_reroute_locked(struct engine *e, struct volume *v, struct recall **dead);

/* Before any thread runs: finishes releases that a crash interrupted. */
void repair_interrupted(struct engine *e);

/* ---- library.c, sched.c, mount.c ---- */

/* Opens the libraries, reads inventories, starts nothing. */
int library_open_all(struct engine *e, struct err *err);

/* How many drives of lib may be used for this role ('m', 'r', 'g'; 0: for any). engine.lock held.
 */
size_t library_drives_locked(const struct library *lib, char role);

/* Starts the drives' threads. */
int drives_start(struct engine *e, struct err *err);

/* Waits for the drives' threads (engine.stopping is set) and gives waiting copies back. */
void library_close_all(struct engine *e);

/* Frees libraries, drives, volumes and pools, after all threads ended. */
void library_free_all(struct engine *e);

/* Reads lib's inventory again: new and missing cartridges. *found and *missing (may be NULL) count
 * them. */
int library_scan(struct engine *e, struct library *lib, int *found, int *missing, struct err *err);

/* By name; NULL when there is none. */
struct library *library_find(struct engine *e, const char *name);
struct pool *pool_find(struct engine *e, const char *name, const char *library);
/* A cartridge; volumes of stores have no barcode. */
struct volume *volume_find_locked(struct engine *e, const char *barcode, const char *library);
struct volume *volume_by_id_locked(struct engine *e, int64_t id);

/* Something may be to do for drives, for lanes of stores, and for who waits for a store.
 * engine.lock held. */
void engine_wake_locked(struct engine *e);

/* Resolves "pool@library" or "pool". Returns 0 with *out, or a negative code with err. */
int pool_resolve(struct engine *e, const char *text, struct pool **out, struct err *err);

/* Reads pools from the catalogue that are not known yet. */
int pools_load(struct engine *e, struct err *err);

/* Changes v's state and problem (NULL keeps it), stores the row. Not under engine.lock. */
void volume_set_state(struct engine *e, struct volume *v, const char *state, const char *problem);

/* Stores v's row. Not under engine.lock. */
void volume_store(struct engine *e, struct volume *v);

/* Sets the state of copies as catalog_copy_set_state does, in step with volume_store. A failure is
 * logged with what (a path). Not under engine.lock. */
void copies_set_state(struct engine *e, const struct uuid *archive, int copy_no,
                      enum catalog_copy_state state, const char *what);

/* As copies_set_state for all copies of n archives, in one change of the catalogue. */
void copies_set_states(struct engine *e, const struct uuid *archives, size_t n,
                       enum catalog_copy_state state, const char *what);

/* As copies_set_state for all copies on v. Returns 0 or a negative code with err. */
int copies_set_state_volume(struct engine *e, struct volume *v, enum catalog_copy_state state,
                            struct err *err);

/* Takes the volumes' garbage counters from the catalogue. Not under engine.lock. */
void volumes_refresh(struct engine *e);

/* Whether the file that the catalogue names for an archive says that it is its own. What cannot be
 * asked is in use; nameless is what the catalogue knows from a copy alone, without a file to ask.
 */
enum archive_use { ARCHIVE_UNUSED, ARCHIVE_NAMELESS, ARCHIVE_USED };
enum archive_use archive_use(struct engine *e, const struct uuid *archive);

/* Whether archive may be in use: what is nameless may. */
bool archive_is_referenced(struct engine *e, const struct uuid *archive);

/* The state as shown: that of the row, "missing", or for a store that is down "unreachable".
 * engine.lock held. */
const char *volume_shown_state(const struct volume *v);

/* Whether copies on v can be read now; whether it takes data. engine.lock held. */
bool volume_readable(const struct volume *v);
bool volume_appendable(const struct volume *v);

/* Brings v into d: loaded, and mounted unless loaded_only. Called by d's thread with v reserved.
 * Returns 0 or a negative code with err; v's and d's states tell the cause then. */
int mount_volume(struct edrive *d, struct volume *v, bool loaded_only, struct err *err);

/* Writes the index, saves a copy of it, puts the cartridge away. Called by d's thread. */
int unmount_volume(struct edrive *d, struct err *err);

/* Syncs the mounted volume, brings its row up to date, saves a copy of its index. Called by d's
 * thread. */
int mount_sync(struct edrive *d, struct err *err);

/* Saves the newest index of the mounted volume under state_dir/indexes, unless it did already; a
 * failure is logged. Called by d's thread, or with d's volume reserved. */
void index_backup(struct edrive *d);

/* Whether d should interrupt its copying: recalls wait that no other drive will take, or the engine
 * stops or drains. Not under engine.lock. */
bool recall_presses(struct edrive *d);

/* Whether d should end its stay: other recalls come first (engine/pick.h), or the engine stops or
 * drains. engine.lock held. */
bool recall_should_leave(struct edrive *d, const struct pick_stay *stay);

/* Runs a on a drive of its volume's library and waits. Returns what run returned, -ESHUTDOWN, or
 * -ENODEV when no drive can do it. Not under engine.lock. */
int admin_run(struct engine *e, struct admin *a, struct err *err);

/* ---- store.c, store_copy.c, store_recall.c ---- */

/* Makes the library of a configured store: volume and lanes, no request. */
void store_open_conf(struct engine *e, struct library *lib, const struct conf_store *conf);

/* Starts the lanes' threads, which look for the store by themselves. Returns 0 or a negative code.
 */
int store_start(struct estore *s, struct err *err);

/* Ends the lanes (engine.stopping is set): what is under way is cancelled. */
void store_stop(struct estore *s);

/* The engine stops: a store that is well has a few seconds for requests, so that what is half
 * written is deleted; one that is down is not waited for. engine.lock held. */
void stores_halt_locked(struct engine *e);

/* Frees s and what it opened. NULL is allowed. */
void store_free(struct estore *s);

/* The pools of stores own their store's volume. Not under engine.lock. */
void stores_take_pools(struct engine *e);

/* The state as shown: "starting" until it was looked at, "up", "down", "full". engine.lock held. */
const char *store_state(const struct estore *s);

/* What lanes of s copy for task id (its jobs are to be cancelled) ends soon, not after the store's
 * timeouts. engine.lock held. */
void store_cancel_locked(struct estore *s, int64_t id);

/* The store is looked for at once, not after its pause. engine.lock held. */
void store_hurry_locked(struct estore *s);

/* What failed: the store, or only what was asked of it? */
enum store_blame { STORE_DOWN, STORE_UP };

/* A request on s failed with code (why): finds out whether the store is there. When it is not, the
 * store is down from now on and its recalls look for other copies. Not under engine.lock. */
enum store_blame store_failed(struct estore *s, int code, const struct err *why);

/* Waits until s is up. Returns false when the engine stops or t (may be NULL) is cancelled. Not
 * under engine.lock. */
bool store_wait(struct estore *s, const struct task *t);

/* The next file that a lane is to copy: *w, and *file, or the number of files when all of w is
 * copied and it is to be settled. Returns false when there is none. engine.lock held. */
bool store_take_copy_locked(struct estore *s, struct copy_work **w, size_t *file);

/* Copies one file of w, or settles w. Called by l's thread. */
void store_copy(struct lane *l, struct copy_work *w, size_t file);

/* The next recall that a lane is to do, out of the queue, or NULL. engine.lock held. */
struct recall *store_take_recall_locked(struct estore *s);

/* Does recall r. Called by l's thread. */
void store_recall(struct lane *l, struct recall *r);

/* Thread: makes recalled files durable, many at once. */
void *store_settler(void *store);

/* ---- tape tier: over a mounted volume (borrowed) ---- */

/* Compares the mounted volume's index with the catalogue; called at mount when generations differ.
 */
int reconcile_volume(struct edrive *d, struct err *err);

/* What reconcile_store found. */
struct reconciled {
    int64_t found, garbage; /* copies that the catalogue did not know; of them, nobody's */
};

/* Tells the catalogue of all copies that t, a lane of v's store, lists and that it does not know;
 * seen (may be NULL) is called for each copy with arg. Nothing is marked lost. */
int reconcile_store(struct engine *e, struct volume *v, struct tier *t, void (*seen)(void *arg),
                    void *arg, struct reconciled *out, struct err *err);

/* ---- tape_admin.c ---- */

/* Finds a volume (library NULL or "": any). Returns 0 or -ENOENT with err. Not under engine.lock.
 */
int volume_need(struct engine *e, const char *barcode, const char *library, struct volume **v,
                struct err *err);

/* The mounted volume tells which pool it belonged to: an unassigned one goes back there. */
void adopt_pool(struct edrive *d);

/* ---- tier_ops.c ---- */

struct depot;

/* The store that member name of call names, which must be up: *out and its *depot. Returns 0, or a
 * negative code with err; for a tape library it says what to do instead. */
int store_need(struct engine *e, const struct engine_call *call, const char *instead,
               struct estore **out, struct depot **depot, struct err *err);

/* An operation that goes on for long begins and ends: the engine does not end in between. */
void caller_enter(struct engine *e);
void caller_leave(struct engine *e);

/* ---- JSON helpers ---- */

/* A library as op library.list shows it. engine.lock held. */
cJSON *library_json(const struct library *lib);

/* 0 when library is NULL, "" or known, else -ENOENT with err. */
int check_library(struct engine *e, const char *library, struct err *err);

/* A new result object into *result. Returns 0. */
int op_result(cJSON *obj, cJSON **result);

#endif
