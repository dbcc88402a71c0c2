/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of transparent recall share. */
#ifndef ENGINE_TRANSPARENT_IMPL_H
#define ENGINE_TRANSPARENT_IMPL_H

#include "engine/engine_impl.h"
#include "engine/kreader.h"
#include "engine/transparent.h"
#include "file/guard.h"
#include "watch/link.h"

#define JUDGES     4   /* threads that decide; a look at a file may wait for the disk */
#define LATER_MS   50  /* before a file that its opener truncates is looked at (again) */
#define LATER_MOST 100 /* looks, then it stays a stub until somebody opens it */

/* A program that waits, or a file to be looked at again. */
struct waiting {
    struct transparent *t;
    struct link_event ev; /* fd is closed and -1 once the file is known */
    struct kreader who;
    struct file_id id;
    int tries;
    bool later;     /* not an event: has the file been truncated by now? */
    int64_t due_ns; /* monotonic; with later */
    struct waiting *prev, *next;
};

/* What the guard of one file system needs. */
struct guarded_fs {
    struct transparent *t;
    const char *name;
};

struct transparent {
    struct engine *e;
    struct link *link;
    struct guarded_fs *guarded; /* one for each of engine.fs */
    uid_t *deny_users;
    size_t n_deny_users;

    pthread_mutex_t lock;
    pthread_cond_t work;   /* for judges */
    pthread_cond_t walks;  /* for the marker */
    struct waiting *queue; /* to be judged */
    struct waiting *later; /* by due_ns */
    bool stopping;
    uint64_t walk_for; /* the front for which stubs are to be marked; 0 none */
    struct transparent_counts counts;
    _Atomic int64_t stubs; /* as the kernel counted them last, and since */

    pthread_t judges[JUDGES], marker;
    size_t n_judges;
    bool marker_runs;
};

/* transparent_judge.c: decides over w, answers or hands it to the recall engine. w is taken. */
void transparent_judge(struct transparent *t, struct waiting *w);

/* Adds one to a count. */
void transparent_count(struct transparent *t, uint64_t *which);

/* Puts w (taken) into the queue of files to be looked at again. */
void transparent_later(struct transparent *t, struct waiting *w);

/* Puts w (taken) back to be judged. */
void transparent_again(struct transparent *t, struct waiting *w);

/* transparent_marks.c: the thread that marks stubs when a front has come. */
void *transparent_marker(void *arg);

#endif
