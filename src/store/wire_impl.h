/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the wire: what its lines (wire.c), the settings and callbacks of a handle (handle.c) and
 * the look at progress (progress.c) share.
 */
#ifndef STORE_WIRE_IMPL_H
#define STORE_WIRE_IMPL_H

#include "store/store_impl.h"

#define LINE_SOCKETS 8 /* open at once: the connection, and others that are tried beside it */

struct wire_socket {
    int fd;
    int port; /* its local one once it is connected, else 0 */
};

/* A connection and what works it: the thread that runs a transfer has a line to itself until the
 * transfer ends, so nothing is handed from thread to thread. */
struct line {
    struct wire *wire;
    CURLM *multi; /* of this line's handle alone; keeps the connection */
    CURL *easy;
    bool busy;         /* under wire.lock */
    char *place;       /* scheme and authority of the last transfer: its connection leads there */
    struct line *next; /* among the idle ones */
    struct wire_socket sockets[LINE_SOCKETS];
    size_t nsockets;
};

struct wire {
    struct wire_config config;
    pthread_mutex_t lock;                    /* all below but halted */
    pthread_cond_t pause;                    /* who pauses, or waits for a line */
    struct transfer *waiting, **waiting_end; /* for a line, in order */
    struct line *idle;                       /* the last one used first: its memory is warm */
    struct line **lines;                     /* all, config.connections at most */
    size_t nlines;
    _Atomic bool halted;
};

/* A handle with all settings that are the same for each transfer, or NULL without memory. Any
 * thread. */
CURL *wire_handle(struct line *l);

/* Sets t->easy, a wire_handle of any use before, up for t. Returns 0, or -ENOMEM. The caller's
 * thread. */
int wire_prepare(struct transfer *t);

/* Remembers a socket, or forgets it when it is closed. The thread that has the line. */
void wire_socket_opened(struct line *l, int fd);
void wire_socket_closed(struct line *l, int fd);

/* The connection of t is there (ip and port are its local end): watching begins. */
void wire_watch_begin(struct transfer *t, const char *ip, int port);

/* Whether t has not moved for stall_timeout, or less than min_speed over it. */
bool wire_stalled(const struct wire_config *config, struct transfer *t, int64_t now);

#endif
