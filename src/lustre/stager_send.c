/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests: batches of files that ask for the same, as large as a request may be, while the window
 * has room. A request that is refused as a whole is tried again later; one that is refused for a
 * file in it is repeated file by file.
 */
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "lustre/stager_impl.h"

#include <errno.h>
#include <string.h>

#define BATCH_MAX      52 /* files of a request without data; asserted below */
#define RELEASES       64 /* files released at once, by the threads of the pool */
#define REFUSED_MIN_NS (NS_PER_SEC)
#define REFUSED_MAX_NS (30 * NS_PER_SEC)
#define FIRST_LOOK_NS  (NS_PER_SEC / 4)
#define FIRST_LOOK_MAX (30 * NS_PER_SEC)

_Static_assert((HSM_REQUEST_MAX - sizeof(struct hsm_user_request)) / sizeof(struct hsm_user_item) ==
                   BATCH_MAX,
               "files of a request");

static uint32_t hua_of(enum stager_action action)
{
    switch (action) {
    case STAGER_ARCHIVE:
        return HUA_ARCHIVE;
    case STAGER_RESTORE:
        return HUA_RESTORE;
    case STAGER_RELEASE:
        return HUA_RELEASE;
    case STAGER_REMOVE:
        return HUA_REMOVE;
    case STAGER_CANCEL:
        break;
    }
    return HUA_CANCEL;
}

bool stager_in_hand(const struct stager_item *it)
{
    bool live = it->action.state == HPS_WAITING || it->action.state == HPS_RUNNING;
    if (!it->action_known || !live || it->action.action == HUA_NONE)
        return false;
    return it->step == STAGER_CANCEL || it->action.action == hua_of(it->step);
}

void stager_accept(struct stager *s, struct stager_item *it)
{
    int64_t first = s->latency_ns * 4 / 5;
    if (first < FIRST_LOOK_NS)
        first = FIRST_LOOK_NS;
    if (first > FIRST_LOOK_MAX)
        first = FIRST_LOOK_MAX;
    it->sent_ns = s->now_ns;
    if (it->begun_ns == 0)
        it->begun_ns = s->now_ns;
    it->due_ns = s->now_ns + first;
    it->asked_ns = s->now_ns;
    it->maybe_sent = true;
    it->ask_action = false;
    stager_push(&s->sent, it);
    s->counts.outstanding = s->sent.n;
    if (s->sent.n > s->counts.outstanding_max)
        s->counts.outstanding_max = s->sent.n;
}

/* ---- batches ---- */

struct batch {
    struct stager_item *items[BATCH_MAX];
    size_t n;
};

static bool same_wish(const struct stager_item *a, const struct stager_item *b)
{
    return a->hint == b->hint && a->step == b->step && !a->alone && !b->alone;
}

static size_t data_len(const struct stager_item *it)
{
    return it->hint->data != NULL ? strlen(it->hint->data) : 0;
}

/* Takes from the head of ready what goes into one request of at most room files. */
static void fill(struct stager *s, struct batch *b, size_t room)
{
    struct stager_item *first = s->ready.head;
    struct stager_item *it = first;
    size_t max = first != NULL ? stager_batch_max(data_len(first)) : 0;
    b->n = 0;
    while (it != NULL && b->n < max && b->n < room && (it == first || same_wish(first, it))) {
        stager_take(&s->ready, it);
        b->items[b->n++] = it;
        it = s->ready.head;
    }
}

static int request(struct stager *s, const struct batch *b)
{
    const struct stager_hint *hint = b->items[0]->hint;
    size_t len = data_len(b->items[0]);
    struct hsm_user_request *r = s->cfg->api->hsm_user_request_alloc((int)b->n, (int)len);
    if (r == NULL)
        return -ENOMEM;
    r->action = hua_of(b->items[0]->step);
    r->archive_id = hint->archive_id;
    r->itemcount = (uint32_t)b->n;
    r->data_len = (uint32_t)len;
    for (size_t i = 0; i < b->n; i++)
        r->items[i] = (struct hsm_user_item){b->items[i]->fid, {0, EXTENT_TO_END}};
    if (len > 0)
        memcpy(&r->items[b->n], hint->data, len);
    int rc = s->cfg->api->hsm_request(s->cfg->mount, r);
    free(r);
    s->counts.requests++;
    /* A restore may be queued and answered so: the policy NonBlockingRestore. */
    return rc == -ENODATA && b->items[0]->step == STAGER_RESTORE ? 0 : rc;
}

static void tell_sent(struct stager *s, const struct batch *b)
{
    uint64_t ordinals[BATCH_MAX];
    if (s->sink->sent == NULL)
        return;
    for (size_t i = 0; i < b->n; i++)
        ordinals[i] = b->items[i]->ordinal;
    s->sink->sent(s->sink->arg, ordinals, b->n);
}

/* ---- refusals ---- */

/* The coordinator itself (or the way to it) says no, whatever the files are. */
static bool is_about_coordinator(int rc)
{
    switch (-rc) {
    case EAGAIN:
    case ENOTCONN:
    case ENXIO:
    case ESHUTDOWN:
    case EHOSTDOWN:
    case ETIMEDOUT:
    case EINTR:
    case ENOMEM:
    case EINPROGRESS:
        return true;
    default:
        return false;
    }
}

static void put_back(struct stager *s, struct batch *b, bool maybe_sent, bool alone)
{
    for (size_t i = b->n; i > 0; i--) {
        b->items[i - 1]->maybe_sent = b->items[i - 1]->maybe_sent || maybe_sent;
        b->items[i - 1]->alone = b->items[i - 1]->alone || alone;
        stager_unshift(&s->ready, b->items[i - 1]);
    }
}

static void come_back_later(struct stager *s, int rc)
{
    int64_t delay = REFUSED_MIN_NS << (s->refusals < 5 ? s->refusals : 5);
    int64_t patience = s->cfg->patience_ns > 0 ? s->cfg->patience_ns : 600 * NS_PER_SEC;
    s->refusals++;
    if (s->refused_ns == 0)
        s->refused_ns = s->now_ns;
    s->again_ns = s->now_ns + (delay < REFUSED_MAX_NS ? delay : REFUSED_MAX_NS);
    s->counts.refused = true;
    if (s->now_ns - s->refused_ns < patience)
        return;
    (void)err_sys(&s->give_up, -rc,
                  "the coordinator of %s has taken no request for %lld seconds (is "
                  "mdt.*.hsm_control enabled, and are the metadata servers up?)",
                  s->cfg->mount, (long long)((s->now_ns - s->refused_ns) / NS_PER_SEC));
}

static const char *reason_of(int rc)
{
    switch (-rc) {
    case EPERM:
    case EACCES:
        return "the coordinator does not allow it: not root, or the file's state forbids it "
               "(\"firn lustre state\" shows it)";
    case ENOENT:
        return "the file is gone";
    case EINVAL:
        return "the coordinator finds the request wrong; an archive id above 32 needs servers of "
               "2.12 or later";
    case EALREADY:
        return "the coordinator works on it already";
    default:
        return "the coordinator refused the request";
    }
}

static void refused(struct stager *s, struct batch *b, int rc)
{
    if (is_about_coordinator(rc)) {
        put_back(s, b, rc != -EAGAIN, false);
        come_back_later(s, rc);
    } else if (b->n > 1) { /* some may be queued, one is the reason: each by itself */
        put_back(s, b, true, true);
    } else {
        b->items[0]->attempts++;
        stager_failed(s, b->items[0], -rc, reason_of(rc));
    }
}

static void send_batch(struct stager *s, struct batch *b)
{
    tell_sent(s, b);
    int rc = request(s, b);
    if (rc < 0) {
        refused(s, b, rc);
        return;
    }
    s->refused_ns = 0;
    s->refusals = 0;
    s->counts.refused = false;
    for (size_t i = 0; i < b->n; i++) {
        b->items[i]->attempts++;
        if (b->items[i]->gone) /* nothing is left that could be watched */
            stager_finish(s, b->items[i], STAGER_QUEUED, 0,
                          "the file is gone; its copies are removed in the background");
        else
            stager_accept(s, b->items[i]);
    }
}

/* A request for it may be queued already: asks. True when it needs none. */
static bool is_queued(struct stager *s, struct stager_item *it)
{
    if (!it->maybe_sent || it->step == STAGER_CANCEL || it->gone)
        return false;
    return stager_ask_action(s, it) == 0 && stager_in_hand(it);
}

/* ---- releases ---- */

static void release_some(struct stager *s)
{
    struct stager_item *items[RELEASES];
    size_t n = 0;
    while (n < RELEASES && s->ready.head != NULL && s->ready.head->step == STAGER_RELEASE) {
        items[n] = s->ready.head;
        stager_take(&s->ready, items[n]);
        if (items[n]->begun_ns == 0)
            items[n]->begun_ns = s->now_ns;
        n++;
    }
    stager_pool_run(s->pool, stager_release, items, n);
    s->counts.requests += n;
    for (size_t i = 0; i < n; i++) {
        items[i]->attempts++;
        if (items[i]->rc == 0)
            stager_finish(s, items[i], STAGER_DONE, 0, "");
        else
            stager_failed(s, items[i], -items[i]->rc, items[i]->problem);
    }
}

/* ---- sending ---- */

static bool may_send(const struct stager *s)
{
    bool stopped = s->cfg->stop != NULL && atomic_load(s->cfg->stop);
    return s->ready.head != NULL && !stopped && s->give_up.code == 0;
}

void stager_send(struct stager *s)
{
    size_t rounds = 0; /* so that ends are looked at in between */
    while (may_send(s) && rounds++ < 64) {
        struct batch b = {.n = 0};
        if (s->ready.head->step == STAGER_RELEASE) {
            release_some(s);
            continue;
        }
        if (s->now_ns < s->again_ns || s->sent.n >= s->window)
            return;
        if (is_queued(s, s->ready.head)) {
            struct stager_item *it = s->ready.head;
            stager_take(&s->ready, it);
            stager_accept(s, it);
            continue;
        }
        fill(s, &b, s->window - s->sent.n);
        if (b.n > 0)
            send_batch(s, &b);
    }
}
