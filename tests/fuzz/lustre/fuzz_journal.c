/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's file: whatever it holds, the records that are given are whole. */
#include "lustre/journal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(void *arg, const struct journal_record *r)
{
    int64_t *n = arg;
    struct hsm_action_item head;
    (*n)++;
    if (r->type != JOURNAL_ITEM)
        return;
    memcpy(&head, r->item, sizeof(head));
    if (r->item_len < sizeof(head) || head.len != r->item_len)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t n = 0;
    uint64_t damaged = 0;
    int64_t rc = journal_scan(data, size, take, &n, &damaged);
    if (rc >= 0 && (rc != n || damaged > size))
        abort();
    return 0;
}
