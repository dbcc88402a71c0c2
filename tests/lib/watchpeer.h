/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A front for tests of firnd's side: listens on a socket in a directory of its own, and has a
 * fanotify group. What goes wrong ends the test program with a text.
 */
#ifndef TESTS_WATCHPEER_H
#define TESTS_WATCHPEER_H

#include "watch/kernel.h"
#include "watch/proto.h"

struct watchpeer {
    char dir[64], path[96]; /* of the socket */
    int listener;
    int sock; /* -1: nobody is there */
    int group;
    struct watch_kernel kernel;
};

/* Opens group (open_only as watch_kernel_open) and socket. */
void watchpeer_up(struct watchpeer *p, bool open_only);

/* Closes and removes all. */
void watchpeer_down(struct watchpeer *p);

/* Accepts firnd, at most after 5 s; the groups that it brings go to groups[WATCH_GROUPS_MAX] (the
 * caller's). Returns their number. */
size_t watchpeer_accept(struct watchpeer *p, int *groups);

/* Receives a message within 5 s; returns its type. */
uint32_t watchpeer_receive(struct watchpeer *p, struct watch_msg *m, int *fds, size_t *nfds);

/* Sends one; fd -1 for none. */
void watchpeer_say(struct watchpeer *p, const struct watch_msg *m, int fd);

/* HELLO, and a FS for each of n names, all covered. */
void watchpeer_greet(struct watchpeer *p, const char *const *names, size_t n);

/* Closes the connection. */
void watchpeer_hang_up(struct watchpeer *p);

#endif
