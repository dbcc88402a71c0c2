/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells the service manager what the daemon's state is (sd_notify(3), "Notification protocol"), and
 * keeps descriptors with it over a restart (its FDSTORE=1, and sd_listen_fds(3) for what comes
 * back). Any thread.
 */
#ifndef BASE_NOTIFY_H
#define BASE_NOTIFY_H

#include <stddef.h>

/* Sends state ("READY=1", "STOPPING=1", several lines) to the socket that $NOTIFY_SOCKET names.
 * Returns 0, also when there is none, or a negated errno value. */
int notify_send(const char *state);

/* The same with a descriptor, which stays the caller's: "FDSTORE=1\nFDNAME=x" keeps it. Returns 1
 * when it was sent, 0 when there is nobody to send it to, or a negated errno value. */
int notify_send_fd(const char *state, int fd);

/* The descriptor named name (FDNAME) among those that the service manager handed to this process
 * ($LISTEN_PID, $LISTEN_FDS, $LISTEN_FDNAMES); close-on-exec from now on, the caller's. -1: none.
 * Call once, before threads: the others are closed, the variables removed. */
int notify_take_fd(const char *name);

#endif
