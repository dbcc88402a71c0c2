/* SPDX-License-Identifier: Apache-2.0 */
/* Between client.c and client_pool.c. */
#ifndef CTL_CLIENT_IMPL_H
#define CTL_CLIENT_IMPL_H

#include "ctl/client.h"

/* True when c's connection is open with nothing to read: fit for the next request. Does not wait;
 * the thread that holds c. */
bool ctl_client_is_quiet(const struct ctl_client *c);

#endif
