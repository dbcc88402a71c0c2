/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one thread that receives. It copies, journals and enqueues, and nothing else: while it does
 * not read, the client's kernel may stand still.
 */
#include "lustre/copytool_impl.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

#define STUMBLES_MAX 50 /* EAGAIN and EINTR in a row, from a pipe that says it has data */

/* The items of one message. */
struct batch {
    struct hsm_action_item **items;
    size_t n, cap;
    struct hai_head head;
};

static void keep_item(void *arg, const struct hai_head *head, struct hsm_action_item *item)
{
    struct batch *b = arg;
    b->head = *head;
    if (b->n == b->cap) {
        b->cap = b->cap * 2 + 80;
        b->items = xrealloc_array(b->items, b->cap, sizeof(*b->items));
    }
    b->items[b->n++] = item;
}

/* Stops what the coordinator cancels. A CANCEL item itself is never answered. */
static void cancel(struct copytool *ct, const struct hsm_action_item *item)
{
    (void)atomic_fetch_add(&ct->stats.cancels, 1);
    lock_scope(&ct->lock);
    struct lane_entry *e = lanes_find(ct->lanes, item->cookie, &item->fid);
    if (e == NULL) {
        (void)atomic_fetch_add(&ct->stats.cancels_unknown, 1);
        log_debug("cancel of cookie=0x%llx, which is not here", (unsigned long long)item->cookie);
        return;
    }
    struct action *a = (struct action *)(void *)e; /* its first member */
    if (e->state == LANE_RUNNING) {
        action_stop(a, STOP_CANCELLED);
        return;
    }
    lanes_remove(ct->lanes, e);
    refuse_locked(ct, a, ECANCELED);
}

/* Why an item is refused at once: 0 or a positive errno value. */
static int refusal(const struct copytool *ct, const struct batch *b,
                   const struct hsm_action_item *item)
{
    int why = b->head.foreign ? EXDEV : hai_check(item);
    if (why != 0)
        log_err("item with cookie=0x%llx is refused: action %u, file system %s (this is %s)",
                (unsigned long long)item->cookie, item->action, b->head.fsname, ct->config.fsname);
    return why;
}

/* First all is journaled, then it goes to the lanes. */
static void take_batch(struct copytool *ct, const struct batch *b)
{
    struct err e = {0};
    auto_free struct journal_entry **entries =
        xrealloc_array(NULL, b->n + 1, sizeof(struct journal_entry *));
    for (size_t i = 0; i < b->n; i++) {
        bool is_cancel = b->items[i]->action == HSMA_CANCEL;
        entries[i] = is_cancel
                         ? NULL
                         : journal_add(ct->journal, b->items[i], b->head.flags, b->head.archive_id);
        if (b->items[i]->action == HSMA_ARCHIVE) {
            const struct uuid id = uuid_new();
            journal_plan(ct->journal, entries[i], &id);
        }
    }
    if (journal_push(ct->journal, &e) != 0)
        log_err("%s; actions are refused until it can be written", e.text);
    for (size_t i = 0; i < b->n; i++) {
        if (entries[i] != NULL)
            take_up(ct, entries[i], refusal(ct, b, b->items[i]));
        else if (!b->head.foreign)
            cancel(ct, b->items[i]);
    }
    for (size_t i = 0; i < b->n; i++) {
        if (entries[i] == NULL)
            free(b->items[i]);
    }
}

static void take_message(struct copytool *ct, const void *msg, int size)
{
    struct err e = {0};
    struct batch b = {0};
    size_t given = 0;
    (void)atomic_fetch_add(&ct->stats.messages, 1);
    int rc =
        hai_walk(msg, size > 0 ? (size_t)size : 0, ct->config.fsname, keep_item, &b, &given, &e);
    if (rc < 0) {
        (void)atomic_fetch_add(&ct->stats.malformed, 1);
        log_err("%s; %zu items of it are taken", e.text, given);
    }
    take_batch(ct, &b);
    free(b.items);
}

/* Waits until there is a message. Returns 1 for one, 0 for something else to look at. */
static int wait_message(const struct copytool *ct, const struct session *s)
{
    struct pollfd p[2] = {{.fd = ct->wake_fd, .events = POLLIN}, {.fd = s->fd, .events = POLLIN}};
    if (poll(p, s->fd >= 0 ? 2 : 1, -1) < 0)
        return 0;
    if ((p[0].revents & POLLIN) != 0) {
        eventfd_t n = 0;
        (void)eventfd_read(ct->wake_fd, &n);
        return 0;
    }
    return 1; /* an end or error of the pipe too: recv tells which */
}

/* Receives once. Returns 0, or the negated errno value of a registration that is of no use any
 * more. */
static int receive(struct copytool *ct, struct session *s, unsigned *stumbles)
{
    struct hsm_action_list *hal = NULL;
    int size = 0;
    int rc = ct->api->hsm_copytool_recv(s->handle, &hal, &size);
    if (rc == -EAGAIN || rc == -EINTR) {
        if (++*stumbles < STUMBLES_MAX)
            return 0;
        *stumbles = 0;
        (void)copytool_pause(ct, 10);
        return 0;
    }
    if (rc != 0)
        return rc < 0 ? rc : -EPROTO;
    *stumbles = 0;
    if (hal != NULL)
        take_message(ct, hal, size);
    return 0;
}

/* What has been asked of the reader; the session is NULL when there is none (any more). */
static bool orders(struct copytool *ct, struct session **s)
{
    lock_scope(&ct->lock);
    *s = ct->registered && !ct->reregister ? LIST_FIRST(&ct->sessions) : NULL;
    ct->reregister = false;
    return !ct->quit;
}

void *reader_main(void *arg)
{
    struct copytool *ct = arg;
    struct session *s = NULL;
    unsigned stumbles = 0;
    while (orders(ct, &s)) {
        if (s == NULL) {
            session_renew(ct);
            continue;
        }
        if (s->fd >= 0 && wait_message(ct, s) == 0)
            continue;
        int rc = receive(ct, s, &stumbles);
        if (rc == 0)
            continue;
        log_warn("receive: %s; registering again", strerror(-rc));
        session_renew(ct);
    }
    lock_scope(&ct->lock);
    ct->reader_done = true;
    (void)pthread_cond_broadcast(&ct->quiet);
    return NULL;
}
