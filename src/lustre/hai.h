/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The items of a message of the coordinator (struct hsm_action_list). Nothing in a message is
 * trusted: version, counts, lengths and the name are checked against the bytes that came. Pure
 * code; any thread.
 */
#ifndef LUSTRE_HAI_H
#define LUSTRE_HAI_H

#include "base/err.h"
#include "lustre/abi.h"

#include <stdbool.h>
#include <stddef.h>

/* What stands before the items. */
struct hai_head {
    uint64_t flags; /* HAL_* */
    uint32_t archive_id;
    uint32_t count;
    bool foreign; /* fsname is another file system's: refuse each item */
    char fsname[FSNAME_MAX];
};

/* Takes a copy of one item, owned (free); item->len bytes of which at least 72 are there. */
typedef void hai_fn(void *arg, const struct hai_head *head, struct hsm_action_item *item);

/*
 * Calls fn for each item of the size bytes at msg (any alignment). fsname is ours. Returns the
 * number of items given, or -EPROTO with err when the message does not hold together; *given
 * (never NULL) counts the items that were whole before that, which fn has got.
 */
int hai_walk(const void *msg, size_t size, const char *fsname, hai_fn *fn, void *arg, size_t *given,
             struct err *err);

/* Why an item cannot be worked on as it is: 0, or a positive errno value to refuse it with (EPROTO:
 * an action that there is not; EINVAL: no FID, an extent that wraps). */
int hai_check(const struct hsm_action_item *item);

/* "ARCHIVE", "RESTORE", "REMOVE", "CANCEL" or "?"; static. */
const char *hai_action_name(uint32_t action);

#endif
