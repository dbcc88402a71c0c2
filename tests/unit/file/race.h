/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of the race of everybody against release and recall (test_race.c tells the rules): the
 * files, the actors, the engine's part, and the kernel's events that stop readers of a stub when
 * the race runs with a guard.
 */
#ifndef TESTS_FILE_RACE_H
#define TESTS_FILE_RACE_H

#include "fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The last page of each file is the truncator's. */
enum { FILES = 8, PAGES = 24, PAGE = 4096, WORDS = PAGE / 8, KEPT = 4 };
enum { SIZE = PAGES * PAGE, TAIL = PAGES - 1 };

struct victim {
    char name[16], other_name[16]; /* the renamer moves it to the other one and back */
    struct file_id id;
    atomic_uint_least64_t begun[PAGES];   /* value of the write that began last */
    atomic_uint_least64_t written[PAGES]; /* value of the write that ended last */
    pthread_mutex_t lock;                 /* guards what follows */
    bool recall_wanted;
    unsigned next;
    struct {
        struct uuid archive;
        size_t size;
        uint8_t *data;
    } kept[KEPT];
};

/* What all threads share. */
struct race {
    struct site site;
    const char *kind; /* of file system */
    bool guarded;     /* the kernel stops readers; else they ask by themselves */
    bool open_only;   /* with guard: events at open alone, as on older kernels */
    unsigned seed;
    struct victim victims[FILES];
    atomic_bool stop;
    volatile sig_atomic_t ended; /* by a signal */
    atomic_long reads, writes, releases, recalls, events, in_use, changed, renames, links, clones,
        snapshots, wrong;
};
extern struct race R;

/* Counts a wrong value, and tells of the first ones. */
void race_wrong(const char *what, const struct victim *v, int page, uint64_t got, uint64_t lo,
                uint64_t hi);

/* Ends the program when rc is an error of the engine's part. */
void race_must(int rc, const char *what);

/* ---- race_actors.c ---- */

/* What an actor of each kind does until R.stop. arg: a number that tells it from its like. */
void *race_reader(void *arg);
void *race_writer(void *arg);
void *race_truncator(void *arg);
void *race_renamer(void *arg);
void *race_linker(void *arg);
void *race_cloner(void *arg);
void *race_snapshotter(void *arg);

/* Opens v by the name that it has now, waiting for its data. -1 when the race ends. */
int race_open(struct victim *v, int flags);

/* Compares page of the file open as fd with what it may hold. */
void race_read_page(struct victim *v, int fd, int page);

/* ---- race_engine.c ---- */

/* Archives and releases until R.stop. */
void *race_releaser(void *arg);
/* Recalls what readers ask for (without guard). */
void *race_recaller(void *arg);
/* Recalls v if it is a stub, with SIZE bytes of room in b. */
void race_recall(struct victim *v, uint8_t *b);

/* ---- race_guard.c ---- */

/* Opens the group, sets the guard of R.site.fs, starts the threads that read and serve events. */
void race_guard_up(void);
/* Ends them; no actor may be left. */
void race_guard_down(void);
/* The calling thread is the engine's: what it does to stubs is let through. */
void race_guard_trust(void);

#endif
