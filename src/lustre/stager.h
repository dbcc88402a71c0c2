/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stager: asks the coordinator of a Lustre file system to archive, restore, release or remove
 * many files, or to cancel what it does for them. Files come from a source one after the other;
 * they are looked at, ordered, requested in batches, and watched until their HSM state shows the
 * end, with never more than a window of them in the coordinator's queue. Clock and liblustreapi
 * come through interfaces; nothing is printed. One thread calls stager_run; inside, a few threads
 * look at files. What the states mean: doc/design/lustre-stager.md.
 */
#ifndef LUSTRE_STAGER_H
#define LUSTRE_STAGER_H

#include "base/clock.h"
#include "base/err.h"
#include "lustre/abi.h"
#include "lustre/llapi.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum stager_action {
    STAGER_ARCHIVE,
    STAGER_RESTORE,
    STAGER_RELEASE, /* done by this client, file by file, without the coordinator */
    STAGER_REMOVE,
    STAGER_CANCEL,
};

#define STAGER_WINDOW     2000 /* outstanding requests by default */
#define STAGER_WINDOW_MAX 5000
#define STAGER_DATA_MAX   1024 /* bytes of request data: room for 20 files beside them */

/* What is asked for a file besides the action; shared by many files, constant. */
struct stager_hint {
    uint32_t archive_id; /* 0: the file's, else the file system's default */
    const char *data;    /* "k=v,k=v" for the copytool, NULL: none */
    bool release;        /* after an archive: release, too */
};

/* One file of a source. */
struct stager_file {
    const char *path; /* NULL when only the FID is known; borrowed until the next call */
    struct lu_fid fid;
    uint64_t ordinal; /* its number in the source, rising */
    bool sent;        /* an earlier run may have requested it: ask before it is requested again */
    const struct stager_hint *hint; /* NULL: the configuration's */
};

struct stager_source {
    /* Gives the next file: 1, 0 at the end, or a negative code with err (ends the run). */
    int (*next)(void *arg, struct stager_file *out, struct err *err);
    void *arg;
    uint64_t total; /* files that it will give; 0: not known */
};

enum stager_result {
    STAGER_DONE,    /* its state shows it */
    STAGER_ALREADY, /* nothing was to do */
    STAGER_QUEUED,  /* requested, its end was not waited for */
    STAGER_PLANNED, /* a dry run would have requested it */
    STAGER_FAILED,
};
#define STAGER_RESULTS 5

/* What became of a file. Strings live during the call. */
struct stager_outcome {
    const char *path; /* "" when it is not known */
    struct lu_fid fid;
    uint64_t ordinal;
    enum stager_result result;
    int error;          /* positive errno value with STAGER_FAILED, else 0 */
    const char *reason; /* one line; "" when there is nothing to say */
    unsigned attempts;  /* requests made for it */
    uint64_t size;      /* bytes of the file, 0 when not known */
    int64_t elapsed_ns; /* since it was requested first; 0 when it was not */
};

struct stager_counts {
    uint64_t read; /* from the source */
    uint64_t results[STAGER_RESULTS];
    uint64_t outstanding; /* requested, no end seen */
    uint64_t outstanding_max;
    uint64_t waiting;    /* read and not requested, or between two attempts */
    uint64_t requests;   /* made to the coordinator */
    uint64_t polls;      /* states asked for */
    uint64_t bytes_done; /* sizes of files done */
    double files_per_s;  /* ends seen, over about the last half minute */
    int64_t eta_s;       /* until all are done; -1: not known */
    bool refused;        /* the coordinator takes no requests now */
};

/* All of these are called from the thread of stager_run; each may be NULL. */
struct stager_sink {
    void (*outcome)(void *arg, const struct stager_outcome *o);
    /* These files are about to be requested. */
    void (*sent)(void *arg, const uint64_t *ordinals, size_t n);
    /* Now and then, at least once a second. A negative code with err ends the run. */
    int (*tick)(void *arg, const struct stager_counts *c, struct err *err);
    void *arg;
};

/* How to work. Strings and pointers stay the caller's and must outlive the run. */
struct stager_config {
    const struct llapi *api;
    struct clock *clock;
    enum stager_action action;
    struct stager_hint hint; /* of files that have none of their own */
    const char *mount;       /* a directory of the file system: its mount point */
    unsigned window;         /* 0: STAGER_WINDOW */
    unsigned retries;        /* further attempts for a file that failed */
    unsigned threads;        /* that look at files; 0: 8; 1: none besides the caller's */
    unsigned polls_per_s;    /* states asked for to see ends; 0: 500 */
    int64_t timeout_ns;      /* of a file from its last request on; 0: none */
    int64_t patience_ns;     /* how long the coordinator may take no request; 0: ten minutes */
    bool ordered;            /* by FID, so that files made together are requested together */
    bool wait;               /* for the ends; else the run ends when all are requested */
    bool dry_run;
    bool names;                /* find paths of files given by FID */
    const char *const *params; /* roots of the servers' parameters (hsm_params.h), for hints from
                                  hsm.actions; NULL: none */
    const atomic_bool *stop;   /* set: the run ends soon; NULL: never */
};

/* Named outcome of stager_run. */
enum { STAGER_INTERRUPTED = 1 };

/*
 * Does it all. Files that failed are told through the sink and counted, and do not end the run.
 * Returns 0; STAGER_INTERRUPTED when config->stop was set (files may still be in the coordinator's
 * queue); or a negative code with err: -EAGAIN when the coordinator took no requests for too long,
 * -ENOTSUP when the library lacks what is needed, or what the source or the sink gave. *counts is
 * set in all cases.
 */
int stager_run(const struct stager_config *config, const struct stager_source *source,
               const struct stager_sink *sink, struct stager_counts *counts, struct err *err);

/* What a file's state means for an action. */
enum stager_verdict {
    STAGER_NEEDED,  /* it can be done */
    STAGER_REACHED, /* it is done */
    STAGER_REFUSED, /* it cannot be done */
};

/* Judges states (HS_*) and the archive id of a file for action with hint; *errnum (positive) and
 * *reason (static, one line that says what to do) are set when it is refused. Any thread. */
enum stager_verdict stager_judge(enum stager_action action, const struct stager_hint *hint,
                                 uint32_t states, uint32_t archive_id, int *errnum,
                                 const char **reason);

/* Files that one request with data_len bytes of data may name: at least 1 up to STAGER_DATA_MAX. */
size_t stager_batch_max(size_t data_len);

/* Checks "k=v,k=v". Returns 0, or -EINVAL with err naming the fault. Any thread. */
int stager_data_check(const char *data, struct err *err);

/* The state of a file, as stager_states tells it. */
struct stager_state {
    const char *path; /* "" when it is not known */
    struct lu_fid fid;
    uint64_t ordinal;
    int error; /* positive errno value: nothing else is known; 0 */
    const char *reason;
    uint64_t size;
    struct hsm_user_state state;
    struct hsm_current_action action; /* HUA_NONE unless asked for */
};

/* Asks for the states of all files of source (config's action, hint and window do not matter) and
 * tells them in the source's order; actions: also what the coordinator does for each, which costs
 * it a search of its queue. A value other than 0 of fn ends it and is returned. Returns 0 or a
 * negative code with err. */
int stager_states(const struct stager_config *config, const struct stager_source *source,
                  bool actions, int (*fn)(void *arg, const struct stager_state *state), void *arg,
                  struct err *err);

/* The word of an action ("archive"), of a result ("done"), of a state's bits as lfs prints them
 * ("released exists archived") into out[128]; returns out. Any thread. */
const char *stager_action_name(enum stager_action action);
const char *stager_result_name(enum stager_result result);
const char *stager_state_words(uint32_t states, char *out);

/* The mount point of the Lustre file system that holds path, into *mount (the caller frees).
 * Returns 0, or a negative code with err: not Lustre, not there. */
int stager_find_mount(const struct llapi *api, const char *path, char **mount, struct err *err);

#endif
