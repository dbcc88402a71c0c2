/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the wire: what its thread (wire.c), the settings and callbacks of a handle (handle.c) and
 * the look at progress (progress.c) share.
 */
#ifndef STORE_WIRE_IMPL_H
#define STORE_WIRE_IMPL_H

#include "store/store_impl.h"

/* Room for open sockets: one a connection, and some that are tried beside it. */
#define WIRE_SOCKETS(config) (4 * (size_t)(config)->connections)

struct wire_socket {
    int fd;
    int port; /* its local one once it is connected, else 0 */
};

struct wire {
    struct wire_config config;
    pthread_mutex_t lock; /* waiting, idle, stop, asleep */
    pthread_cond_t pause;
    struct transfer *waiting, **waiting_end; /* for a connection */
    CURL **idle;
    size_t nidle;
    bool stop, started;
    bool asleep; /* the I/O thread would begin a transfer, and must be woken for it */
    _Atomic bool woken, halted;
    pthread_t thread;
    /* the I/O thread's own */
    CURLM *multi;
    struct transfer *active;
    unsigned nactive;
    struct wire_socket *sockets; /* open ones */
    size_t nsockets;
};

/* A handle with all settings that are the same for each transfer, or NULL without memory. Any
 * thread. */
CURL *wire_handle(struct wire *w);

/* Sets t->easy, a wire_handle of any use before, up for t. Returns 0, or -ENOMEM. The caller's
 * thread. */
int wire_prepare(struct transfer *t);

/* Remembers a socket, or forgets it when it is closed. The I/O thread. */
void wire_socket_opened(struct wire *w, int fd);
void wire_socket_closed(struct wire *w, int fd);

/* The connection of t is there (ip and port are its local end): watching begins. */
void wire_watch_begin(struct transfer *t, const char *ip, int port);

/* Whether t has not moved for stall_timeout, or less than min_speed over it. */
bool wire_stalled(const struct wire_config *config, struct transfer *t, int64_t now);

#endif
