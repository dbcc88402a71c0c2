/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A coordinator in a few lines, on a simulated clock: requests take a while, may be refused, may
 * end in failure. Files are real, so that they can be opened; their FID holds their inode number.
 * One simulation at a time.
 */
#ifndef UNIT_STAGER_SIM_H
#define UNIT_STAGER_SIM_H

#include "base/clock.h"
#include "lustre/stager.h"

#include <limits.h>

#define SIM_FILES 4096

struct sim_file {
    char path[96];
    struct lu_fid fid;
    uint32_t states, archive_id;
    uint32_t action;   /* HUA_*, 0 when none is in hand */
    int64_t end_ns;    /* when the action ends */
    unsigned fails;    /* so many actions end in failure */
    unsigned refusals; /* so many requests of it are refused with refuse_with */
    int refuse_with;
    unsigned requests;  /* requests taken for it */
    unsigned asked;     /* current action asked for */
    char data[64];      /* of its last request */
    uint32_t wanted_id; /* archive id of its last request */
};

struct sim {
    char dir[64];
    struct clock *clock;
    struct sim_file files[SIM_FILES];
    size_t n;
    int64_t took_ns;        /* of each action */
    int64_t off_until_ns;   /* requests before are answered -EAGAIN */
    bool nonblocking;       /* restores are queued and answered -ENODATA */
    size_t in_hand_max;     /* actions in hand at once, at most */
    size_t largest_request; /* bytes */
    unsigned calls;         /* of hsm_request */
    uint64_t states;        /* asked for */
    uint64_t actions;       /* asked for */
};

extern struct sim sim;
extern struct llapi sim_api;

/* A new simulation with n files of states. */
void sim_begin(size_t n, uint32_t states);
/* Removes its files. */
void sim_end(void);

/* The file of that FID, or NULL. */
struct sim_file *sim_find(const struct lu_fid *fid);

/* What a run told of each file. */
struct sim_told {
    unsigned times;
    enum stager_result result;
    int error;
    char reason[256];
    char path[PATH_MAX];
    unsigned attempts;
};

struct sim_run {
    struct stager_config cfg;
    struct stager_counts counts;
    struct err err;
    struct sim_told told[SIM_FILES];
    size_t next, end;          /* files that the source gives, by index */
    bool as_fid;               /* by FID alone */
    bool as_ghost;             /* by the FID of no file */
    bool sent;                 /* as if an earlier run had requested them */
    uint64_t order[SIM_FILES]; /* ordinals as they were requested */
    size_t norder;
    int64_t first_eta_s; /* the first that was told, -1: none */
    atomic_bool stop;
    size_t stop_after; /* files sent until stop is set; 0: never */
    bool swap_after;   /* when file 0 is sent, its path becomes the name of file 1 */
};

/* A run of action over all files with sensible values; change them and call sim_run. */
void sim_prepare(struct sim_run *r, enum stager_action action);
/* Runs it: what stager_run returned. */
int sim_run(struct sim_run *r);

#endif
