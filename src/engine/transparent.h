/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recalls that programs start by opening or reading a stub (doc/design/watch.md): takes the events
 * that firn-watch hands on, decides, asks the recall engine, answers. Also the guard of the file
 * systems with posix_readers = "recall": marks at release, and after the start of a front.
 */
#ifndef ENGINE_TRANSPARENT_H
#define ENGINE_TRANSPARENT_H

#include "base/err.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct efs;
struct engine;
struct transparent;

/*
 * Sets the guards and begins to look for the front; waits a moment for it, so that what a crash
 * left can be put right under its eyes. Called once the file systems are open, before any other
 * thread uses them. Without a file system with posix_readers = "recall": *out is NULL. Returns 0,
 * or a negative code with err set.
 */
int transparent_start(struct engine *e, struct transparent **out, struct err *err);

/* Begins to answer, once the rest of the engine runs; events have been kept till now. NULL is
 * allowed. Returns 0 or a negative code with err set. */
int transparent_serve(struct transparent *t, struct err *err);

/* Takes no more events and ends the threads; what was not answered waits in the front for the next
 * firnd. The guards stay. NULL is allowed. */
void transparent_stop(struct transparent *t);

/* Frees t, after all recalls and releases have ended. NULL is allowed. */
void transparent_free(struct transparent *t);

/* For status: counts since the start. */
struct transparent_counts {
    bool attached;             /* a front is there */
    bool pre_access;           /* kind of events: FAN_PRE_ACCESS too, else FAN_OPEN_PERM alone */
    uint64_t events;           /* came */
    uint64_t waiting;          /* programs that wait for a recall now */
    uint64_t let_go;           /* without a recall: no stub any more, or truncated by the opener */
    uint64_t recalled;         /* let go after one */
    uint64_t denied_programs;  /* by recall.deny_programs */
    uint64_t denied_users;     /* by recall.deny_users */
    uint64_t denied_attribute; /* by allow_transparent_recall = no, or a full account */
    uint64_t failed;           /* got an error because the recall failed */
    uint64_t stubs;            /* that carry marks */
    char problem[256];         /* why stubs could not all be marked; "" */
};
void transparent_counts(struct transparent *t, struct transparent_counts *out);

/* Adds member "watch" to status, and to notes what an administrator should read. t may be NULL. */
void transparent_status(struct transparent *t, cJSON *status, cJSON *notes);

/* One stub more (1), or one less (-1), on a file system with posix_readers = "recall". t may be
 * NULL. Any thread. */
void transparent_stub(struct transparent *t, const struct efs *fs, int change);

/* Whether files of file system fs (configuration name) may be released: "" or why not (static
 * text). Waits, at most two minutes, while its stubs are being marked. NULL t: "". */
const char *transparent_refuses_release(struct transparent *t, const char *fs);

#endif
