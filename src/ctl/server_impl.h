/* SPDX-License-Identifier: Apache-2.0 */
/* Between dispatch.c and server.c: what a request needs of its connection, and refusals. */
#ifndef CTL_SERVER_IMPL_H
#define CTL_SERVER_IMPL_H

#include "ctl/server.h"

/* A request with this id begins on session (NULL allowed): events carry the id. id is borrowed
 * until the request's answer. */
void ctl_session_begin(struct ctl_session *session, const cJSON *id);

/* An answer to no request in particular, as a new object: the connection is refused or cannot go
 * on. code: negated errno value. */
cJSON *ctl_refusal(int code, const char *text);

/* What is answered in the place of answer when its line would be over the limit, as a new object.
 */
cJSON *ctl_too_long(const cJSON *answer);

#endif
