/* SPDX-License-Identifier: Apache-2.0 */
/* What engine/pick.h decides by, taken from the engine's volumes, drives and queues. */
#include "engine/recall_impl.h"

#include "base/mem.h"
#include "base/timefmt.h"

#include <stdlib.h>
#include <string.h>

#define LEAST_NS 100000000 /* how long the account that got least is remembered for a volume */

struct pick_rules recall_rules(const struct engine *e)
{
    return (struct pick_rules){.max_age_ns = e->conf->recall.max_age_s * NS_PER_SEC,
                               .window_ns = e->conf->recall.batch_window_ms * 1000000};
}

/* What the account of v's queue that got least got. With one account there is nothing to share. */
static uint64_t least_of(const struct engine *e, struct volume *v, int64_t now_ns)
{
    const struct recall *r = NULL;
    if (HASH_COUNT(e->accounts) <= 1)
        return 0;
    if (v->least_ns != 0 && now_ns - v->least_ns < LEAST_NS)
        return v->least;
    v->least = UINT64_MAX;
    DL_FOREACH (v->queue, r) {
        uint64_t served = r->account != NULL ? r->account->served : 0;
        v->least = served < v->least ? served : v->least;
    }
    v->least_ns = now_ns;
    return v->least;
}

struct pick_queue recall_queue_locked(const struct engine *e, struct volume *v, int64_t now_ns)
{
    struct pick_queue q = {.n = v->queued, .readers = v->readers};
    const struct recall *r = NULL;
    bool reader = q.readers == 0;
    bool job = q.readers == q.n;
    DL_FOREACH (v->queue, r) { /* oldest first: it ends soon */
        if (reader && job)
            break;
        if (r->reader && !reader)
            q.reader_ns = r->created_ns;
        else if (!r->reader && !job)
            q.job_ns = r->created_ns;
        reader = reader || r->reader;
        job = job || !r->reader;
    }
    q.least = least_of(e, v, now_ns);
    return q;
}

static bool has_role(const struct edrive *d, char role)
{
    return strchr(d->row.role, role) != NULL;
}

static int index_of(const struct library *lib, const struct edrive *d)
{
    const struct edrive *o = NULL;
    int i = 0;
    LL_FOREACH (lib->drives, o) {
        if (o == d)
            return i;
        i++;
    }
    return -1;
}

static void view_drives(struct library *lib, struct recall_view *out)
{
    const struct edrive *d = NULL;
    size_t n = 0;
    LL_FOREACH (lib->drives, d)
        n++;
    out->drives = xzalloc((n + 1) * sizeof(*out->drives));
    LL_FOREACH (lib->drives, d) {
        out->drives[out->site.ndrives++] = (struct pick_drive){
            .idle = d->work == DRIVE_IDLE && d->row.enabled && d->failures == 0 && d->thread_runs,
            .recalls = has_role(d, 'r'),
            .loaded = d->volume != NULL,
            .jobs_turn = d->jobs_turn};
    }
    out->site.drives = out->drives;
}

void recall_view_locked(struct engine *e, struct library *lib, const struct volume *also,
                        struct recall_view *out)
{
    struct volume *v = NULL;
    size_t n = 0;
    *out = (struct recall_view){.site = {.rules = recall_rules(e), .now_ns = time_mono_ns()}};
    LL_FOREACH (lib->volumes, v)
        n += v->queue != NULL || v == also ? 1 : 0;
    out->volumes = xzalloc((n + 1) * sizeof(*out->volumes));
    out->of = xzalloc((n + 1) * sizeof(struct volume *));
    LL_FOREACH (lib->volumes, v) {
        if (v->queue == NULL && v != also)
            continue;
        size_t i = out->site.nvolumes++;
        out->of[i] = v;
        out->also = v == also ? i : out->also;
        out->volumes[i] =
            (struct pick_volume){.queue = recall_queue_locked(e, v, out->site.now_ns),
                                 .usable = v->present && volume_readable(v),
                                 .reserved = v->reserved,
                                 .drive = v->drive != NULL ? index_of(lib, v->drive) : -1};
    }
    out->site.volumes = out->volumes;
    view_drives(lib, out);
}

void recall_view_fini(struct recall_view *view)
{
    free(view->volumes);
    free(view->of);
    free(view->drives);
    *view = (struct recall_view){0};
}

size_t recall_drive_index(const struct edrive *d)
{
    return (size_t)index_of(d->lib, d);
}
