/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/states.h"

#include <errno.h>

static const char *always(const struct state_facts *f)
{
    (void)f;
    return NULL;
}

static const char *copies_hold(const struct state_facts *f)
{
    if (f->copies_asked == 0 || f->copies_durable < f->copies_asked)
        return "not every asked copy is durable";
    return f->unchanged ? NULL : "the file changed since it was copied";
}

static const char *release_allowed(const struct state_facts *f)
{
    if (f->readers_allowed)
        return "posix_readers of its file system is \"any\"";
    return copies_hold(f);
}

static const char *data_holds(const struct state_facts *f)
{
    if (!f->data_complete)
        return "not all data was brought back";
    return f->data_checked ? NULL : "the data does not have its digest";
}

static const struct {
    const char *verb;
    enum file_state from, to;
    const char *(*broken)(const struct state_facts *f); /* NULL, or what does not hold */
    const char *text;
} moves[STATE_MOVE_COUNT] = {
#define MOVE(verb, from, to, invariant, text) {#verb, FILE_##from, FILE_##to, invariant, text},
#include "engine/states.def"
};

static const struct {
    enum file_state state;
    const char *text;
} states[] = {
#define STATE(id, text) {FILE_##id, text},
#include "engine/states.def"
};

int state_check(enum state_move move, enum file_state from, const struct state_facts *facts,
                struct err *err)
{
    if (moves[move].from != from)
        return err_set(err, -EPROTO, "%s: the file is %s, not %s", moves[move].verb,
                       file_state_name(from), file_state_name(moves[move].from));
    const char *broken = moves[move].broken(facts);
    return broken == NULL ? 0 : err_set(err, -EPROTO, "%s: %s", moves[move].verb, broken);
}

enum file_state state_after(enum state_move move)
{
    return moves[move].to;
}

void state_diagram(struct buf *out)
{
    buf_adds(out, "stateDiagram-v2\n    [*] --> resident\n");
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
        buf_addf(out, "    %s : %s\n", file_state_name(states[i].state), states[i].text);
    for (size_t i = 0; i < STATE_MOVE_COUNT; i++)
        buf_addf(out, "    %s --> %s : %s (%s)\n", file_state_name(moves[i].from),
                 file_state_name(moves[i].to), moves[i].verb, moves[i].text);
}
