/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of the front. One thread decides (front_run): table of waiting events, engine, file
 * systems. A few threads read the groups, since to open an event's file can block: the kernel
 * waits for the end of a lease, which a release of firnd holds, for up to 45 s. They own nothing
 * but the event in their hands, and give it to the deciding thread through a pipe.
 */
#ifndef WATCH_FRONT_IMPL_H
#define WATCH_FRONT_IMPL_H

#include "watch/front.h"
#include "watch/kernel.h"
#include "watch/proto.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#define FRONT_FDS_MAX  524288 /* event descriptors, numbers below this */
#define FRONT_FDS_KEPT 256    /* of the limit, for everything that is no event */
#define FRONT_READERS  16
#define FRONT_RETRY_MS 2000
#define FRONT_PENDING  4 /* connections that have not said who they are */

enum { NONE = -1 };

/* A group that is served. Group 0 is the front's own, the others were brought by the engine. */
struct front_group {
    _Atomic int fd; /* NONE: none */
    int64_t retire_ms;
};

/* ---- front_table.c: events that wait, found by descriptor or seq, in the order they came ---- */

struct front_slot {
    uint64_t seq; /* 0: free; its low bits are the descriptor */
    int64_t since_ms;
    uint64_t offset, count;
    int32_t prev, next; /* descriptors, NONE at the ends */
    int32_t tid;
    uint8_t group;
    uint8_t ops; /* WATCH_OP_* */
    bool sent;   /* an engine has it, or had */
    bool answered;
};

struct front_list {
    int32_t head, tail;
};

struct front_table {
    struct front_slot *slots; /* one for each descriptor below limit */
    int32_t limit;
    uint64_t last; /* counts up for seq */
    struct front_list waiting, closing;
    int32_t unsent; /* the first of waiting that the engine has not been sent; NONE */
    int32_t looked; /* the last whose reader was looked for; NONE */
    atomic_int held;
};

/* Takes the memory for descriptors below limit. Free with front_table_fini. */
void front_table_init(struct front_table *t, int limit);
/* Gives the memory back; descriptors stay. */
void front_table_fini(struct front_table *t);

/* What a reader thread passes on: one write to a pipe, whole. */
struct front_arrival {
    uint64_t offset, count;
    int32_t fd, tid;
    uint8_t group, ops;
    bool answered; /* only to be closed, later */
};

/* Takes descriptor a->fd in. The value is its slot, in the list of waiting or of closing. */
struct front_slot *front_table_add(struct front_table *t, const struct front_arrival *a,
                                   int64_t now_ms);
/* The descriptor of waiting event seq, or NONE. */
int front_table_find(const struct front_table *t, uint64_t seq);
/* Takes descriptor fd out of the waiting ones; it goes to those that close when later. */
void front_table_answered(struct front_table *t, int fd, bool later, int64_t now_ms);
/* Takes the oldest of the closing ones out. Returns its descriptor. */
int front_table_closed(struct front_table *t);
/* Whether a waiting event is of group. */
bool front_table_has_group(const struct front_table *t, uint8_t group);
/* All of them are to be sent again. */
void front_table_unsend(struct front_table *t);
/* The first unsent one goes to the engine. */
void front_table_sent(struct front_table *t);

/* ---- front_reader.c ---- */

struct front_reader {
    struct front *front;
    pthread_t thread;
    bool started;
    sem_t go;              /* it is the one that reads, from now on */
    _Atomic int64_t since; /* ms; in a call that may block since then, 0 not */
};

struct front_readers {
    struct front_reader reader[FRONT_READERS];
    atomic_int leader; /* index of the one that polls the groups */
    atomic_bool stop;
    int wake; /* eventfd: look at the groups again */
    int arrivals[2];
    atomic_uint_fast64_t refused; /* no room for more events */
    atomic_uint_fast64_t failed;  /* the kernel could not open the file; their reader got EPERM */
};

/* Starts the threads. Returns 0 or a negative code with err set. */
int front_readers_start(struct front *f, struct err *err);
/* Ends them; groups must be open still, so that a blocked one comes back. */
void front_readers_stop(struct front *f);
/* To be called some times a second: when the reader is stuck in a file, another one takes over. */
void front_readers_watch(struct front *f, int64_t now_ms);
/* The set of groups has changed. */
void front_readers_wake(struct front *f);

/* ---- front_engine.c: the socket, and who is at its other end ---- */

struct front_engine {
    int sock;  /* NONE: no engine */
    int tasks; /* /proc/PID/task of it */
    int pid;
    bool greeted, full; /* HELLO was sent; the socket takes no more now */
};

/* Whether the socket's path is free. Returns 0 or a negative code with err set (-EADDRINUSE:
 * another front). */
int front_engine_check(const struct front *f, struct err *err);
/* Makes the socket, over what a dead front left. Returns 0 or a negative code with err set. */
int front_engine_listen(struct front *f, struct err *err);
/* Closes all connections and removes the socket. */
void front_engine_fini(struct front *f);
/* Somebody connects. */
void front_engine_accept(struct front *f);
/* A connection that has not attached says something. */
void front_engine_pending(struct front *f, int sock);
/* The engine says something, or hangs up. */
void front_engine_read(struct front *f);
/* Ends the connection of the engine, if there is one. why follows "firnd (process N) ". */
void front_engine_hang_up(struct front *f, const char *why);
/* Whether thread tid is of the engine that is connected. */
bool front_engine_owns(const struct front *f, int tid);
/* Sends what there is to send. */
void front_engine_pump(struct front *f);
/* Answers waiting event fd and forgets it. */
void front_answer(struct front *f, int fd, int code);

/* ---- front_place.c: file systems ---- */

struct front_place {
    const struct front_fs *cfg;
    uint32_t sdev, flags; /* of the superblock as in mountinfo; WATCH_FS_* */
    uint64_t dev;         /* st_dev of path */
    int code;             /* positive errno, or 0 */
    bool root;            /* path was a mount point, and is not to be taken for what lies below */
    bool told;            /* the engine knows */
};

/* Mounts and covers what there is. */
void front_places_start(struct front *f, bool kept);
/* The mount table has changed: covers what is mounted anew. */
void front_places_look(struct front *f);
/* Puts the mark of the whole file system of the place named name, or takes it away. */
void front_place_cover(struct front *f, const char *name);
void front_place_uncover(struct front *f, const char *name);
/* Whether any is covered. */
bool front_places_are_covered(const struct front *f);

/* ---- front.c ---- */

enum front_kind { KIND_ARRIVALS, KIND_LISTEN, KIND_PENDING, KIND_ENGINE, KIND_MOUNTS };

struct front {
    struct front_config cfg;
    struct watch_kernel k;
    bool kept;
    struct front_group groups[WATCH_GROUPS_MAX];
    struct front_table table;
    struct front_readers readers;
    struct front_engine engine;
    struct front_place *places;
    int epoll, listener, mounts, proc, null;
    int pending[FRONT_PENDING];
    bool stopping, look_again; /* front_unmount failed; it may be tried again */
    int64_t tick_ms, told_ms, retry_ms;
    uint64_t late, refused_told, failed_told; /* for the log */
};

/* Monotonic. */
int64_t front_now_ms(void);
/* Adds sock to the epoll set for reading, under kind. */
int front_epoll_add(struct front *f, int sock, enum front_kind kind, uint32_t events);
/* Serves group (taken over) too, after it was swept. Returns false when there is no room, or when
 * it is served already; the descriptor is closed then. */
bool front_adopt(struct front *f, int group);
/* Hangs up, and answers what waits with EIO. */
void front_drain(struct front *f);
/* Adopted groups close as soon as nothing waits in them. */
void front_retire(struct front *f);

/* Whether groups of earlier fronts are still open. */
bool front_has_older(const struct front *f);

#endif
