/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firnd's end of the connection to firn-watch: events come in on a thread of its own, answers go
 * out from any. Connects again by itself when the front was started anew, and gives it the groups
 * that the one before had. Knows nothing of recalls.
 */
#ifndef WATCH_LINK_H
#define WATCH_LINK_H

#include "watch/kernel.h"
#include "watch/proto.h"

struct link;

/* An event that waits for its answer. */
struct link_event {
    uint64_t seq;
    uint64_t front; /* which front it came from: an answer to an earlier one goes nowhere */
    uint32_t ops;   /* WATCH_OP_* */
    int fd;         /* the file, O_RDONLY; the receiver closes it */
    int tid;
};

/* A file system as the front has it. */
struct link_fs {
    char name[WATCH_NAME_MAX];
    uint64_t dev;
    uint32_t flags; /* WATCH_FS_* */
    int code;       /* 0, or the errno that says why it is not watched */
};

struct link_hooks {
    /* Must not block: hands the event on. Called on the link's thread. */
    void (*event)(void *arg, const struct link_event *ev);
    /* A front is there (again): after HELLO, before its events. fs is what it watches. Those that
     * are covered may hold stubs without a mark of their own. Must not block. */
    void (*attached)(void *arg, const struct link_fs *fs, size_t nfs);
    /* The front is gone. Nothing may be released until attached is called. Must not block. */
    void (*lost)(void *arg);
    void *arg;
};

/* Starts the thread, which goes on trying to reach socket_path. Never fails for an absent front.
 * Returns 0 with *out (end with link_stop; set before the first hook is called) or a negative code
 * with err set. */
int link_start(const char *socket_path, const struct link_hooks *hooks, struct link **out,
               struct err *err);

/* Ends thread and connection; the front keeps what was not answered. NULL is allowed. */
void link_stop(struct link *l);

/* Answers ev: code 0 or a positive errno. Never blocks; when the front is another one by now,
 * nothing happens. Any thread. */
void link_answer(struct link *l, const struct link_event *ev, int code);

/* Marks (add) or unmarks the stub open as fd, in the front's group, by this process itself: no
 * round trip. Returns 0, -ENOTCONN while there is no front, or another negative code; err set. Any
 * thread. */
int link_mark(struct link *l, int fd, bool add, struct err *err);

/* Marks name in the directory dirfd, which is not opened for it and not followed. Returns 0,
 * -ENOTCONN, or another negated errno value (-ENOENT: it is gone). Any thread. */
int link_mark_at(struct link *l, int dirfd, const char *name);

/*
 * All stubs of file system name carry marks in the front's group: the mark of the whole file system
 * may go. When this was said of all file systems of the front, it is also told to let go of the
 * groups of fronts that died, and so does this end. front is what link_front said before the walk
 * began: for another one nothing happens. Any thread.
 */
void link_uncover(struct link *l, const char *name, uint64_t front);

/* Which front is there, 0 for none; another number after each time that one was reached. */
uint64_t link_front(struct link *l);

/* Whether the whole file system of this name carries a mark, or is not watched (no front, or the
 * front says why not): nothing may be released there. Any thread. */
bool link_covers(struct link *l, const char *name);

/* Copies what the front watches, as last told, to fs[max]; returns how many there are. */
size_t link_filesystems(struct link *l, struct link_fs *fs, size_t max);

/* The files that carry marks, in the front's group: read from the kernel, a million take seconds.
 * Any thread. */
uint64_t link_marks(struct link *l);

/* For status. */
struct link_status {
    size_t groups; /* held: 1, more while those of dead fronts are still needed */
    bool attached;
    bool pre_access;       /* how: FAN_OPEN_PERM and FAN_PRE_ACCESS, or FAN_OPEN_PERM alone */
    uint64_t attached_sum; /* how often a front was reached */
};
/* Fills *out. Any thread. */
void link_status(struct link *l, struct link_status *out);

#endif
