/* SPDX-License-Identifier: Apache-2.0 */
/* The run: read and look, order, request, watch, and again until nothing is left. */
#include "lustre/stager.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "lustre/stager_impl.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <uthash.h>
#include <utlist.h>

#define THREADS      8
#define PAUSE_MIN_NS (NS_PER_SEC / 50)
#define PAUSE_MAX_NS (NS_PER_SEC / 5)
#define TICK_NS      (NS_PER_SEC / 2)
#define TICK_ENDS    4096 /* what is to be written in one go */
#define RETRY_MIN_NS (2 * NS_PER_SEC)
#define RETRY_MAX_NS (60 * NS_PER_SEC)
#define RATE_NS      (5 * NS_PER_SEC) /* one sample of the rate */
#define RATE_SHARE   0.3              /* of a new sample in the average */

/* ---- lists ---- */

void stager_push(struct stager_list *l, struct stager_item *it)
{
    DL_APPEND(l->head, it);
    l->n++;
}

void stager_unshift(struct stager_list *l, struct stager_item *it)
{
    DL_PREPEND(l->head, it);
    l->n++;
}

void stager_take(struct stager_list *l, struct stager_item *it)
{
    DL_DELETE(l->head, it);
    it->prev = NULL;
    it->next = NULL;
    l->n--;
}

static void free_list(struct stager_list *l)
{
    while (l->head != NULL) {
        struct stager_item *it = l->head;
        stager_take(l, it);
        stager_item_free(it);
    }
}

static int compare_fids(const struct stager_item *a, const struct stager_item *b)
{
    if (a->fid.seq != b->fid.seq)
        return a->fid.seq < b->fid.seq ? -1 : 1;
    if (a->fid.oid != b->fid.oid)
        return a->fid.oid < b->fid.oid ? -1 : 1;
    return a->ordinal < b->ordinal ? -1 : a->ordinal > b->ordinal;
}

/* ---- ends ---- */

void stager_finish(struct stager *s, struct stager_item *it, enum stager_result result, int errnum,
                   const char *reason)
{
    const char *path = it->path != NULL ? it->path : it->name != NULL ? it->name : "";
    const struct stager_outcome o = {
        .path = path,
        .fid = it->fid,
        .ordinal = it->ordinal,
        .result = result,
        .error = result == STAGER_FAILED ? errnum : 0,
        .reason = reason != NULL ? reason : "",
        .attempts = it->attempts,
        .size = it->size,
        .elapsed_ns = it->begun_ns != 0 ? s->now_ns - it->begun_ns : 0,
    };
    if (it->known)
        HASH_DEL(s->by_fid, it);
    s->counts.results[result]++;
    if (result == STAGER_DONE)
        s->counts.bytes_done += it->size;
    if (s->sink->outcome != NULL)
        s->sink->outcome(s->sink->arg, &o);
    stager_item_free(it);
}

/* Trying again would not help. */
static bool is_final(int errnum)
{
    switch (errnum) {
    case EPERM:
    case EACCES:
    case EINVAL:
    case ENOENT:
    case ENODATA:
    case ENOTSUP:
    case ENOSYS:
    case EXDEV:
    case ELOOP:
    case ENOTDIR:
    case ENAMETOOLONG:
    case ENOTTY:
    case EROFS:
        return true;
    default:
        return false;
    }
}

void stager_failed(struct stager *s, struct stager_item *it, int errnum, const char *reason)
{
    bool stopped = s->cfg->stop != NULL && atomic_load(s->cfg->stop);
    if (is_final(errnum) || it->attempts > s->cfg->retries || stopped) {
        stager_finish(s, it, STAGER_FAILED, errnum, reason);
        return;
    }
    int64_t pause = RETRY_MIN_NS << (it->attempts < 6 ? it->attempts : 6);
    it->due_ns = s->now_ns + (pause < RETRY_MAX_NS ? pause : RETRY_MAX_NS);
    it->maybe_sent = true;
    stager_push(&s->delayed, it);
}

/* ---- reading ---- */

/* Takes it into work, unless the same file is there already under another name or twice in the
 * list: it would be requested twice. */
static void take_in(struct stager *s, struct stager_item *it)
{
    struct stager_item *other = NULL;
    HASH_FIND(hh, s->by_fid, &it->fid, sizeof(it->fid), other);
    if (other != NULL) {
        stager_finish(s, it, STAGER_ALREADY, 0, "the list has it twice, or under two names");
        return;
    }
    it->known = true;
    HASH_ADD(hh, s->by_fid, fid, sizeof(it->fid), it);
    stager_push(&s->gathered, it);
}

/* What the first look at a file says: an end, or work. */
static void judge(struct stager *s, struct stager_item *it)
{
    int errnum = 0;
    const char *reason = "";
    if (it->rc < 0 && it->gone && s->cfg->action == STAGER_REMOVE) {
        take_in(s, it); /* removal after unlink */
        return;
    }
    if (it->rc < 0) {
        stager_finish(s, it, STAGER_FAILED, -it->rc, it->problem);
        return;
    }
    enum stager_verdict v =
        stager_judge(it->step, it->hint, it->state.states, it->state.archive_id, &errnum, &reason);
    if (it->step == STAGER_CANCEL && it->action_known && !stager_in_hand(it))
        v = STAGER_REACHED;
    if (v == STAGER_REACHED && it->step == STAGER_ARCHIVE && it->hint->release) {
        it->step = STAGER_RELEASE;
        v = stager_judge(it->step, it->hint, it->state.states, it->state.archive_id, &errnum,
                         &reason);
    }
    if (v == STAGER_REFUSED)
        stager_finish(s, it, STAGER_FAILED, errnum, reason);
    else if (v == STAGER_REACHED)
        stager_finish(s, it, STAGER_ALREADY, 0, "");
    else if (s->cfg->dry_run)
        stager_finish(s, it, STAGER_PLANNED, 0, "");
    else
        take_in(s, it);
}

static void gather(struct stager *s)
{
    struct stager_item *items[STAGER_BITE];
    size_t live = s->gathered.n + s->ready.n + s->delayed.n;
    if (s->ended || live + STAGER_BITE > 2 * STAGER_ORDER)
        return;
    size_t n = stager_read(s, items, STAGER_BITE);
    for (size_t i = 0; i < n; i++)
        items[i]->ask_action = s->cfg->action == STAGER_CANCEL;
    stager_pool_run(s->pool, stager_look, items, n);
    for (size_t i = 0; i < n; i++)
        judge(s, items[i]);
}

/* Hands over what was gathered, sorted, when that is much, or when there is nothing to do. */
static void order(struct stager *s)
{
    bool idle = s->ready.n == 0 && s->sent.n < s->window;
    if (s->gathered.n == 0 || (s->gathered.n < STAGER_ORDER && !idle && !s->ended))
        return;
    if (s->ready.n >= STAGER_ORDER)
        return;
    if (s->cfg->ordered)
        DL_SORT(s->gathered.head, compare_fids);
    DL_CONCAT(s->ready.head, s->gathered.head);
    s->ready.n += s->gathered.n;
    s->gathered = (struct stager_list){0};
}

/* ---- time ---- */

static uint64_t ends_of(const struct stager_counts *c)
{
    uint64_t n = 0;
    for (size_t i = 0; i < STAGER_RESULTS; i++)
        n += c->results[i];
    return n;
}

static void update_rate(struct stager *s)
{
    struct stager_counts *c = &s->counts;
    int64_t dt = s->now_ns - s->rate_ns;
    if (dt >= RATE_NS) {
        double rate = (double)(ends_of(c) - s->rate_ends) * (double)NS_PER_SEC / (double)dt;
        c->files_per_s =
            c->files_per_s > 0 ? c->files_per_s + RATE_SHARE * (rate - c->files_per_s) : rate;
        s->rate_ns = s->now_ns;
        s->rate_ends = ends_of(c);
    }
    uint64_t total = s->ended ? c->read : s->source->total;
    uint64_t ends = ends_of(c);
    c->eta_s = -1;
    if (total > ends && c->files_per_s > 0)
        c->eta_s = (int64_t)ceil((double)(total - ends) / c->files_per_s);
    else if (total > 0 && total == ends)
        c->eta_s = 0;
}

static void tick(struct stager *s)
{
    if (s->now_ns - s->tick_ns < TICK_NS && ends_of(&s->counts) - s->tick_ends < TICK_ENDS)
        return;
    s->tick_ns = s->now_ns;
    s->tick_ends = ends_of(&s->counts);
    s->counts.waiting = s->gathered.n + s->ready.n + s->delayed.n;
    update_rate(s);
    if (s->sink->tick == NULL || s->give_up.code != 0)
        return;
    int rc = s->sink->tick(s->sink->arg, &s->counts, &s->give_up);
    if (rc < 0 && s->give_up.code == 0)
        (void)err_set(&s->give_up, rc, "the run was ended");
}

/* When something is to be done next. */
static int64_t next_due(const struct stager *s)
{
    int64_t due = s->now_ns + PAUSE_MAX_NS;
    const struct stager_item *it = NULL;
    if (!s->ended && s->gathered.n + s->ready.n + s->delayed.n + STAGER_BITE <= 2 * STAGER_ORDER)
        return s->now_ns; /* there is reading to do */
    if (s->ready.n > 0 && s->sent.n < s->window && s->again_ns <= s->now_ns)
        return s->now_ns;
    DL_FOREACH (s->sent.head, it)
        due = it->due_ns < due ? it->due_ns : due;
    DL_FOREACH (s->delayed.head, it)
        due = it->due_ns < due ? it->due_ns : due;
    return due < s->now_ns + PAUSE_MIN_NS ? s->now_ns + PAUSE_MIN_NS : due;
}

static void pause_until_due(struct stager *s)
{
    int64_t due = next_due(s);
    if (due > s->now_ns)
        clock_sleep_ns(s->cfg->clock, due - s->now_ns);
}

/* ---- the run ---- */

static bool is_over(const struct stager *s)
{
    if (s->give_up.code != 0 || (s->cfg->stop != NULL && atomic_load(s->cfg->stop)))
        return true;
    if (!s->ended || s->gathered.n + s->ready.n + s->delayed.n > 0)
        return false;
    return s->sent.n == 0 || !s->cfg->wait;
}

static void round_of(struct stager *s)
{
    s->now_ns = clock_now_ns(s->cfg->clock);
    gather(s);
    order(s);
    s->now_ns = clock_now_ns(s->cfg->clock);
    stager_send(s);
    stager_hints(s);
    stager_watch(s);
    s->round_ns = s->now_ns;
    tick(s);
}

static void leave_queued(struct stager *s)
{
    while (s->sent.head != NULL) {
        struct stager_item *it = s->sent.head;
        stager_take(&s->sent, it);
        stager_finish(s, it, STAGER_QUEUED, 0, "");
    }
}

static int conclude(struct stager *s, struct err *err)
{
    bool all = s->ended && s->gathered.n + s->ready.n + s->delayed.n == 0;
    if (s->give_up.code == 0 && all && !s->cfg->wait)
        leave_queued(s);
    all = all && s->sent.n == 0;
    s->counts.outstanding = s->sent.n;
    s->tick_ns = s->now_ns - TICK_NS;
    tick(s);
    if (s->give_up.code != 0) {
        *err = s->give_up;
        return s->give_up.code;
    }
    return all ? 0 : STAGER_INTERRUPTED;
}

static int check(const struct stager_config *c, struct err *err)
{
    if (c->api->fd2fid == NULL && c->api->path2fid == NULL)
        return err_set(err, -ENOTSUP,
                       "liblustreapi %s has neither llapi_fd2fid nor llapi_path2fid: install the "
                       "Lustre client of 2.12 or later",
                       c->api->version_text);
    if (c->hint.data != NULL && stager_batch_max(strlen(c->hint.data)) == 0)
        return err_set(err, -EINVAL, "request data are longer than %d bytes", STAGER_DATA_MAX);
    return 0;
}

static int begin(struct stager *s, struct err *err)
{
    const struct stager_config *config = s->cfg;
    struct stat st;
    int rc = check(config, err);
    if (rc < 0)
        return rc;
    if (stat(config->mount, &st) != 0)
        return err_sys(err, errno, "mount point %s", config->mount);
    s->dev = st.st_dev;
    s->window = config->window == 0                  ? STAGER_WINDOW
                : config->window > STAGER_WINDOW_MAX ? STAGER_WINDOW_MAX
                                                     : config->window;
    s->now_ns = clock_now_ns(config->clock);
    s->round_ns = s->now_ns;
    s->rate_ns = s->now_ns;
    s->tick_ns = s->now_ns - TICK_NS;
    s->pool = stager_pool_new(s, config->threads > 0 ? config->threads : THREADS);
    return 0;
}

int stager_run(const struct stager_config *config, const struct stager_source *source,
               const struct stager_sink *sink, struct stager_counts *counts, struct err *err)
{
    struct stager s = {.cfg = config, .source = source, .sink = sink};
    s.counts.eta_s = -1;
    *counts = s.counts;
    int rc = begin(&s, err);
    if (rc < 0)
        return rc;
    for (;;) {
        round_of(&s);
        if (is_over(&s))
            break;
        pause_until_due(&s);
    }
    rc = conclude(&s, err);
    *counts = s.counts;
    HASH_CLEAR(hh, s.by_fid);
    free_list(&s.gathered);
    free_list(&s.ready);
    free_list(&s.sent);
    free_list(&s.delayed);
    stager_pool_free(s.pool);
    return rc;
}

/* ---- states ---- */

static int tell_states(struct stager_item **items, size_t n,
                       int (*fn)(void *arg, const struct stager_state *state), void *arg)
{
    int rc = 0;
    for (size_t i = 0; i < n; i++) {
        struct stager_item *it = items[i];
        const struct stager_state st = {
            .path = it->path != NULL   ? it->path
                    : it->name != NULL ? it->name
                                       : "",
            .fid = it->fid,
            .ordinal = it->ordinal,
            .error = -it->rc,
            .reason = it->rc < 0 ? it->problem : "",
            .size = it->size,
            .state = it->state,
            .action =
                it->action_known ? it->action : (struct hsm_current_action){.action = HUA_NONE},
        };
        if (rc == 0)
            rc = fn(arg, &st);
        stager_item_free(it);
    }
    return rc;
}

int stager_states(const struct stager_config *config, const struct stager_source *source,
                  bool actions, int (*fn)(void *arg, const struct stager_state *state), void *arg,
                  struct err *err)
{
    struct stager_item *items[STAGER_BITE];
    struct stager s = {.cfg = config, .source = source};
    int rc = begin(&s, err);
    while (rc == 0 && !s.ended) {
        size_t n = stager_read(&s, items, STAGER_BITE);
        for (size_t i = 0; i < n; i++)
            items[i]->ask_action = actions;
        stager_pool_run(s.pool, stager_look, items, n);
        rc = tell_states(items, n, fn, arg);
        if (config->stop != NULL && atomic_load(config->stop))
            break;
    }
    stager_pool_free(s.pool);
    if (rc == 0 && s.give_up.code != 0) {
        *err = s.give_up;
        rc = s.give_up.code;
    }
    return rc;
}

/* ---- mount point ---- */

int stager_find_mount(const struct llapi *api, const char *path, char **mount, struct err *err)
{
    char fsname[FSNAME_MAX] = "";
    auto_free char *real = realpath(path, NULL);
    if (real == NULL)
        return err_sys(err, errno, "%s", path);
    int rc = api->search_fsname(real, fsname);
    if (rc < 0)
        return err_sys(err, -rc, "%s lies on no Lustre file system", path);
    for (;;) { /* the highest directory of the same file system */
        char above[FSNAME_MAX] = "";
        char *slash = strrchr(real, '/');
        if (slash == NULL || slash == real)
            break;
        auto_free char *parent = xstrndup(real, (size_t)(slash - real));
        if (api->search_fsname(parent, above) < 0 || strcmp(above, fsname) != 0)
            break;
        free(real);
        real = take_ptr(parent);
    }
    *mount = take_ptr(real);
    return 0;
}
