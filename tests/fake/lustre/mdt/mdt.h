/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fake MDT: file table, coordinator, agents, readers, controls. One thread, the loop of
 * main.c, owns struct mdt and calls everything here; two kinds of helpers run beside it and touch
 * nothing of it: the writer of pipe messages (kuc.c) and copies of restored data (swap.c).
 */
#ifndef FAKE_LUSTRE_MDT_H
#define FAKE_LUSTRE_MDT_H

#include "../wire.h"
#include "base/buf.h"
#include "base/json.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>
#include <uthash.h>
#include <utlist.h>

/* -- what a version does; each may be set by itself ------------------------------------------ */
struct mdt_features {
    bool dup_filter;      /* a second request for a FID at work is dropped */
    bool restore_protect; /* a second reader waits for the first one's restore */
    bool remove_open;
    bool restore_dfid;
    bool recv_whole;
    bool fail_dirty;    /* a failed archive of a clean archived file sets DIRTY */
    bool blocking_flag; /* implicit restores carry REQ_BLOCKING */
    bool merge_extents;
};

struct mdt_settings {
    char version[64];
    int64_t max_requests;
    int64_t loop_period_ms;
    int64_t wake_ms; /* least time between two passes */
    int64_t grace_ms;
    int64_t timeout_ms;
    int64_t default_archive;
    bool no_retry;             /* policy NoRetryAction */
    bool non_blocking_restore; /* policy NonBlockingRestore */
    bool raolu;                /* remove_archive_on_last_unlink */
    bool kernel_reads;         /* plain reads of released files wait, too */
    int64_t stall_limit_ms;
    struct mdt_features f;
};

/* -- files ----------------------------------------------------------------------------------- */
struct mdt_file {
    struct lu_fid fid;
    UT_hash_handle by_fid;
    struct {
        int type;
        unsigned char bytes[MAX_HANDLE_SZ];
    } key; /* the kernel's handle of the inode: stable over renames, never reused */
    unsigned handle_bytes;
    UT_hash_handle by_key;
    uint64_t dv;
    int64_t mtime_ns; /* of the content that dv names */
    off_t size;
    uint32_t states;
    uint32_t archive_id;
    uint64_t arch_ver;
    char *name;           /* last name seen, relative to the mount; NULL: none yet */
    struct mdt_req *reqs; /* waiting or running */
};

/* -- requests -------------------------------------------------------------------------------- */
enum mdt_status { MDT_WAITING, MDT_STARTED, MDT_SUCCEED, MDT_FAILED, MDT_CANCELED };

struct mdt_req {
    uint64_t cookie;
    uint32_t action;
    struct lu_fid fid, dfid;
    struct hsm_extent extent;
    uint32_t archive_id;
    uint64_t flags;
    char *data;
    uint32_t data_len;
    enum mdt_status status;
    bool running;  /* the coordinator holds it: progress and end are accepted */
    bool canceled; /* a CANCEL was sent, or all was purged */
    bool swapping; /* the end waits for a copy */
    int errval;
    char client[32];
    int64_t created_ms, started_ms, updated_ms, ended_ms;
    int64_t max_gap_ms; /* longest time without progress */
    uint64_t progresses, heartbeats, sends;
    uint64_t moved;
    struct hsm_extent *done; /* merged ranges */
    size_t done_count;
    struct mdt_file *file;         /* NULL: unlinked */
    struct mdt_req *prev, *next;   /* in waiting, active or finished */
    struct mdt_req *fprev, *fnext; /* of the file */
    UT_hash_handle hh;             /* by cookie; not for CANCEL */
};

/* -- agents ---------------------------------------------------------------------------------- */
struct kuc_pipe;

struct mdt_agent {
    int id;
    int pid;
    char client[32];
    struct kuc_pipe *pipe;
    bool pulls;            /* its work (scheduler mode); the pipe only tells its death */
    uint64_t puller;       /* connection that waits for work; 0: none */
    struct mdt_msg *queue; /* for a puller */
    bool forgotten;        /* by a shutdown or an eviction; its pipe stays open */
    int count;             /* of ids; 0: any */
    int *ids;
    struct mdt_agent *prev, *next;
};

struct mdt_msg {
    size_t len;
    struct mdt_msg *next, *prev;
    char bytes[];
};

/* -- connections, waiters -------------------------------------------------------------------- */
struct mdt_conn {
    uint64_t id;
    int fd;
    bool control; /* JSON lines; else struct wire_call */
    char client[32];
    struct buf in;
    UT_hash_handle hh;
};

enum mdt_wait { MDT_WAIT_DATA, MDT_WAIT_IDLE, MDT_WAIT_REQUEST, MDT_WAIT_AGENTS };

struct mdt_waiter {
    enum mdt_wait kind;
    uint64_t conn;
    struct mdt_file *file;
    uint64_t cookie;
    int64_t number;
    int64_t deadline_ms; /* 0: never */
    bool failed;         /* its restore failed */
    int event;           /* > 0: of the kernel, instead of conn */
    cJSON *cmd;          /* what to go on with once the data are there, or NULL */
    struct mdt_waiter *prev, *next;
};

struct mdt_fault {
    char name[32];
    int errval;
    int64_t skip;  /* hits to let pass */
    int64_t count; /* then hits to fail; < 0: all */
    struct mdt_fault *next;
};

struct mdt_counter {
    char name[40];
    int64_t value;
    UT_hash_handle hh;
};

enum mdt_control { MDT_ENABLED, MDT_DISABLED, MDT_STOPPED, MDT_INIT };

struct mdt {
    char mount[PATH_MAX];
    char fsname[MAX_OBD_NAME + 1];
    int mntfd;
    int mount_id;
    struct mdt_settings set;
    enum mdt_control control;
    int64_t init_until_ms;
    int64_t last_pass_ms;
    bool want_pass;
    uint64_t next_dv, next_cookie, next_conn;
    uint32_t next_oid;
    uint64_t next_seq;
    int next_agent;
    struct mdt_file *files_by_fid, *files_by_key;
    struct mdt_req *reqs, *waiting, *active, *finished;
    int64_t waiting_count, active_count, waiting_urgent; /* urgent: restores and cancels */
    int64_t waiting_cancels;
    int64_t time_out_ms; /* no active one can time out before; 0: not known */
    int64_t live_max;    /* waiting and active ones at once, at most */
    struct mdt_agent *agents;
    struct mdt_conn *conns;
    struct mdt_waiter *waiters;
    struct mdt_fault *faults;
    struct mdt_counter *counters;
    struct {
        int64_t lose, duplicate, split;
        int64_t split_at, split_delay_ms;
    } mangle;
    _Atomic uint32_t *armed;
    int epoll, done_pipe[2];
    int fan, fan_pipe[2]; /* fan 0: not asked for */
    struct kuc *kuc;
    bool quit;
};

/* -- main.c ---------------------------------------------------------------------------------- */
/* ms of the monotonic clock. */
int64_t mdt_now_ms(void);

/* -- files.c --------------------------------------------------------------------------------- */
/* The file that open descriptor fd (O_PATH will do) names, entered when new. NULL when fd is not on
 * the fake's file system. */
struct mdt_file *file_by_fd(struct mdt *m, int fd);
/* The file of a path, relative to the mount or absolute; NULL with errno set. */
struct mdt_file *file_by_path(struct mdt *m, const char *path);
/* The file of a FID, NULL when the FID was never given out. Dead files stay known. */
struct mdt_file *file_by_fid(struct mdt *m, const struct lu_fid *fid);
/* Opens a file's inode, wherever it is named. Returns a descriptor, or -ENOENT when it is gone. */
int file_open(struct mdt *m, const struct mdt_file *f, int flags);
/* True while the file has a name (or, for a volatile, is held open). st may be NULL. */
bool file_alive(struct mdt *m, struct mdt_file *f, struct stat *st);
/* Looks for content changes since dv was given; then raises it and sets DIRTY. Returns 0, or
 * -ENOENT. */
int file_refresh(struct mdt *m, struct mdt_file *f);
/* The data version as a client sees it: that of a released file is 0. By reading. */
uint64_t file_version(const struct mdt_file *f);
/* Takes the inode as it is now for the content of a new dv. */
void file_settle(struct mdt *m, struct mdt_file *f);
/* Frees the data of a clean archived file: size and times stay. Returns 0 or -errno. */
int file_release(struct mdt *m, struct mdt_file *f);
/* The user's view of the HSM state. */
void file_state(struct mdt *m, struct mdt_file *f, struct hsm_user_state *hus);
/* lfs hsm_set and hsm_clear. id 0: keep. Returns 0 or -errno. */
int file_state_set(struct mdt *m, struct mdt_file *f, uint64_t set, uint64_t clear, uint32_t id);
/* A new FID and volatile for the restore of f. Returns its descriptor or -errno. */
int file_volatile(struct mdt *m, struct mdt_file *f, int open_flags, struct lu_fid *dfid);
/* FID as text: at least 64 bytes in out; returns out. */
char *fid_text(const struct lu_fid *fid, char *out);
/* Text, with or without brackets, to a FID. Returns 0 or -EINVAL. */
int fid_parse(const char *text, struct lu_fid *fid);
/* True when a and b are one FID. */
bool fid_equal(const struct lu_fid *a, const struct lu_fid *b);
/* Takes the name by which the kernel knows fd, a descriptor of f, if it knows one. */
void file_learn_name(struct mdt *m, struct mdt_file *f, int fd);
/* Name number index of a file, relative to the mount, to out (PATH_MAX bytes); *more: there are
 * more. Returns 0, -ENOENT without a name, -ENODATA past the last. */
int file_name(struct mdt *m, struct mdt_file *f, int index, char *out, bool *more);

/* -- request.c ------------------------------------------------------------------------------- */
/* What lfs and llapi_hsm_request ask. cookies (may be NULL, a JSON array) gets the cookies of the
 * new records. Returns 0 or -errno. */
int request_add(struct mdt *m, const struct hsm_user_request *hur, uint32_t uid, cJSON *cookies);
/* A new waiting record. f may be NULL (unlinked), data of len bytes is copied. */
struct mdt_req *request_new(struct mdt *m, uint32_t action, struct mdt_file *f,
                            const struct lu_fid *fid, uint32_t archive_id, uint64_t flags,
                            const void *data, uint32_t len);
/* A waiting or running request of f with this action (0: any); NULL when there is none. */
struct mdt_req *request_live(const struct mdt_file *f, uint32_t action);
/* Moves a record: to the waiting ones (again), to the active ones, to the finished ones. */
void request_wait(struct mdt *m, struct mdt_req *q);
void request_start(struct mdt *m, struct mdt_req *q, const char *client);
void request_finish(struct mdt *m, struct mdt_req *q, enum mdt_status status, int errval);
/* Drops finished records that are older than the grace time. */
void request_forget_old(struct mdt *m);
/* Name of an HSMA_* action, of a status. Static. */
const char *action_name(uint32_t action);
const char *status_name(enum mdt_status status);
/* HSMA_* of a name, 0 for another. */
uint32_t action_of_name(const char *name);

/* -- schedule.c ------------------------------------------------------------------------------ */
/* Runs a pass when one is due. Returns ms until it wants to be called again. */
int64_t schedule_run(struct mdt *m);
/* hsm_control: enabled, disabled, shutdown, purge. Returns 0 or -EINVAL. */
int schedule_control(struct mdt *m, const char *word);
/* Sends one item outside of the rules, for tests: a CANCEL of whatever cookie. */
void schedule_send_item(struct mdt *m, const struct mdt_req *q, const char *client);

/* -- kuc.c, agent.c -------------------------------------------------------------------------- */
/* Starts the thread that writes to pipes, one message after the other, blocking. */
struct kuc *kuc_start(void);
/* Wraps the write end fd, which is handed over. */
struct kuc_pipe *kuc_pipe_new(int fd);
/* Lets go of a pipe; it is closed once no message is left for it. */
void kuc_pipe_unref(struct kuc_pipe *p);
/* Its descriptor, for polling. */
int kuc_pipe_fd(const struct kuc_pipe *p);
/* Queues len bytes for the n pipes. split_at > 0: a pause of delay_ms after that many bytes. */
void kuc_send(struct kuc *k, struct kuc_pipe **pipes, size_t n, const void *bytes, size_t len,
              size_t split_at, int64_t delay_ms);
/* How long the write that goes on now has lasted, the longest ever, and how many were longer than
 * limit_ms. ms. */
void kuc_stalls(struct kuc *k, int64_t limit_ms, int64_t *now_ms, int64_t *max_ms, int64_t *count);

/* Registers a copytool; fd is the write end of its pipe (handed over). Returns its number or
 * -errno. */
int agent_add(struct mdt *m, int pid, const char *client, const int *ids, int count, int fd,
              bool pulls);
/* Removes agent number id, if it is there. */
void agent_remove(struct mdt *m, int id);
/* Removes the agents whose pipe has lost its reader. */
void agent_reap(struct mdt *m);
/* The client that should get work for archive_id: least loaded; NULL when none serves it. */
const char *agent_best(struct mdt *m, uint32_t archive_id);
/* True when the client has an agent the coordinator knows. */
bool agent_known(struct mdt *m, const char *client);
/* Sends a message (with its kuc header) to every pipe of a client. */
void agent_send(struct mdt *m, const char *client, const void *bytes, size_t len);
/* Connection conn waits for work of agent id: answered now or by agent_send. */
int agent_pull(struct mdt *m, int id, uint64_t conn);
/* How many distinct archive ids are served; ids (room for max) gets them; *any: one serves all. */
int agent_archives(struct mdt *m, int *ids, int max, bool *any);

/* -- action.c, swap.c ------------------------------------------------------------------------ */
/* COPY_START: checks the cookie, gives the data version in r. Returns 0 or -errno. */
int action_start(struct mdt *m, const struct wire_call *c, struct wire_reply *r);
/* Progress. r->dv gets the bytes moved. Returns 0 or -errno. */
int action_progress(struct mdt *m, const struct wire_call *c, struct wire_reply *r);
/* End; fd (borrowed) is the volatile of a restore. Returns 0 or -errno, or 1: conn is answered
 * later. */
int action_end(struct mdt *m, const struct wire_call *c, int fd, uint64_t conn);
/* Finishes a restore whose data have arrived (or not: rc). */
void action_swapped(struct mdt *m, uint64_t cookie, int rc, uint64_t conn);
/* Gives the record of a failed or timed-out action its end and tells readers. */
void action_fail(struct mdt *m, struct mdt_req *q, enum mdt_status status, int errval);
/* Copies data, size and layout of volatile from to the file to (both handed over), in a thread
 * when that takes long; the result comes through m->done_pipe. Returns 1 then, else 0 or -errno. */
int swap_data(struct mdt *m, int from, int to, uint64_t cookie, uint64_t conn);
/* Takes one result from m->done_pipe. */
void swap_done(struct mdt *m);

/* -- reader.c -------------------------------------------------------------------------------- */
/* Makes conn wait until f has its data; queues an implicit restore. cmd (handed over) is run
 * after. Returns 0: there already, 1: waiting, or -errno. */
int reader_open(struct mdt *m, struct mdt_file *f, uint64_t conn, cJSON *cmd, int64_t timeout_ms);
/* Makes a read that the kernel holds (descriptor event, handed over on success) wait for f's data.
 * Returns 0, or -errno. */
int reader_block(struct mdt *m, struct mdt_file *f, int event);
/* Adds another kind of waiter. */
void reader_wait(struct mdt *m, enum mdt_wait kind, uint64_t conn, uint64_t cookie, int64_t number,
                 int64_t timeout_ms);
/* A restore of f has failed: its readers get ENODATA. */
void reader_fail(struct mdt *m, const struct mdt_file *f);
/* Answers those whose wait is over. */
void reader_check(struct mdt *m);

/* -- watch.c --------------------------------------------------------------------------------- */
/* Begins to listen for plain reads of released files. Returns 0, or -errno. */
int watch_start(struct mdt *m);
/* Reads and writes of the inode of fd shall wait; they pass again. */
void watch_add(const struct mdt *m, int fd);
void watch_remove(const struct mdt *m, int fd);
/* Takes one read from the listener. */
void watch_input(struct mdt *m);
/* Lets the read of event go on (rc >= 0) or fail, and closes event. */
void watch_answer(const struct mdt *m, int event, int rc);

/* -- server.c -------------------------------------------------------------------------------- */
/* Takes a new connection, or what a connection sent. */
void server_accept(struct mdt *m, int listener, bool control);
void server_input(struct mdt *m, uint64_t conn);
/* Answers a call of the library that had to wait. */
void server_reply(struct mdt *m, uint64_t conn, int rc, const void *data, size_t len);
/* Answers a control command with a JSON object (handed over). */
void server_answer(struct mdt *m, uint64_t conn, cJSON *answer);

/* -- knobs.c --------------------------------------------------------------------------------- */
/* Sets the settings to those of a version: 2.12, 2.15, 2.17, 2.17.57. Returns 0 or -EINVAL. */
int knobs_version(struct mdt_settings *s, const char *version);
/* Sets one setting by name from a JSON value. Returns 0 or -EINVAL. */
int knobs_set(struct mdt *m, const char *name, const cJSON *value);
/* All settings as JSON; the caller owns it. */
cJSON *knobs_get(const struct mdt *m);
/* The -errno that a test wants from this call now, or 0. */
int knobs_fault(struct mdt *m, const char *name);
/* Arms a fault: after skip hits of name, count hits fail with errval. count 0 disarms name. */
void knobs_arm(struct mdt *m, const char *name, int errval, int64_t skip, int64_t count);
/* Adds n to a counter. */
void knobs_count(struct mdt *m, const char *name, int64_t n);

/* -- ctl.c, ctl_show.c ----------------------------------------------------------------------- */
/* Runs one control command (handed over) for connection conn. */
void ctl_run(struct mdt *m, uint64_t conn, cJSON *cmd);
/* Runs a command whose file has its data now, and answers. */
void ctl_continue(struct mdt *m, uint64_t conn, cJSON *cmd);
/* {"rc": rc} with "error" in words; the caller owns it. */
cJSON *ctl_result(int rc);
/* What a command shows; the caller owns each. */
cJSON *show_request(const struct mdt_req *q);
cJSON *show_actions(const struct mdt *m, const cJSON *cmd);
cJSON *show_agents(const struct mdt *m);
cJSON *show_counters(struct mdt *m);
cJSON *show_state(struct mdt *m, struct mdt_file *f);
cJSON *show_behaviours(void);

/* -- mangle.c -------------------------------------------------------------------------------- */
/* A message of the kind named, with bogus items, for client. Returns 0 or -EINVAL for an unknown
 * kind. */
int mangle_inject(struct mdt *m, const char *kind, const char *client, const cJSON *cmd);

#endif
