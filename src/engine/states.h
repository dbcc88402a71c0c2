/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of engine/states.def as functions: which move is allowed, and whether its invariant
 * holds. Pure; any thread. The engine's workers ask before every change of a file's state.
 */
#ifndef ENGINE_STATES_H
#define ENGINE_STATES_H

#include "base/buf.h"
#include "base/err.h"
#include "file/record.h"

#include <stdbool.h>

/* What is known of a file at the moment of a move. */
struct state_facts {
    unsigned copies_asked;   /* pools that the task names */
    unsigned copies_durable; /* of them: synced, checked and in the catalogue */
    bool unchanged;          /* the file is as it was when the copies were read */
    bool readers_allowed;    /* other programs may read stubs: posix_readers is "any" */
    bool data_complete;      /* every byte of the archived size was written */
    bool data_checked;       /* its digest agrees, or no check is asked */
};

enum state_move {
#define MOVE(verb, from, to, invariant, text) STATE_MOVE_##verb,
#include "engine/states.def"
    STATE_MOVE_COUNT
};

/* Checks that move leads from state from, and its invariant on facts. Returns 0, or -EPROTO with
 * err naming the move and what does not hold; the caller then leaves the file as it is. */
int state_check(enum state_move move, enum file_state from, const struct state_facts *facts,
                struct err *err);

/* The state that move leads to. */
enum file_state state_after(enum state_move move);

/* Appends the table as a Mermaid state diagram (doc/design/states.mmd). */
void state_diagram(struct buf *out);

#endif
