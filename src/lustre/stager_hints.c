/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsm.actions, where it can be read (on a metadata server that mounts the file system, too): a
 * record that has ended makes its file due at once. It is a hint and no proof, for records of
 * earlier requests stand there for a while; what counts is the state, as for all files.
 */
#include "base/timefmt.h"
#include "lustre/hsm_params.h"
#include "lustre/stager_impl.h"

#define AGAIN_NS   (2 * NS_PER_SEC)
#define ABSENT_NS  (600 * NS_PER_SEC) /* until it is looked for again */
#define COST_SHARE 20                 /* reading takes at most one part in so many of the time */

static void on_record(void *arg, const struct lu_fid *fid, int kind, int status)
{
    struct stager *s = arg;
    struct stager_item *it = NULL;
    (void)kind;
    if (status == HSM_WAITING || status == HSM_STARTED)
        return;
    HASH_FIND(hh, s->by_fid, fid, sizeof(*fid), it);
    if (it == NULL || it->sent_ns == 0 || s->now_ns - it->asked_ns < AGAIN_NS)
        return;
    it->due_ns = it->due_ns < s->now_ns ? it->due_ns : s->now_ns;
    it->hinted = status != HSM_SUCCEED;
}

void stager_hints(struct stager *s)
{
    if (s->cfg->params == NULL || s->sent.n == 0 || s->now_ns < s->hints_ns)
        return;
    int64_t begin = time_mono_ns();
    int files = hsm_actions_each(s->cfg->params, on_record, s);
    int64_t pause = (time_mono_ns() - begin) * COST_SHARE;
    if (files == 0)
        pause = ABSENT_NS;
    s->hints_ns = s->now_ns + (pause > AGAIN_NS ? pause : AGAIN_NS);
}
