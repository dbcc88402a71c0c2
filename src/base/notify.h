/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells the service manager what the daemon's state is (sd_notify(3), "Notification protocol").
 * Any thread.
 */
#ifndef BASE_NOTIFY_H
#define BASE_NOTIFY_H

/* Sends state ("READY=1", "STOPPING=1", several lines) to the socket that $NOTIFY_SOCKET names.
 * Returns 0, also when there is none, or a negated errno value. */
int notify_send(const char *state);

#endif
