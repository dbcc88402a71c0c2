/* SPDX-License-Identifier: Apache-2.0 */
/* A message of the coordinator: whatever comes, each item that is given is whole, and the walk
 * ends. */
#include "lustre/action.h"
#include "lustre/hai.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(void *arg, const struct hai_head *head, struct hsm_action_item *item)
{
    size_t *n = arg;
    char text[FID_TEXT_MAX];
    struct lu_fid back;
    unsigned sum = 0;
    if (item->len < sizeof(*item) || strnlen(head->fsname, FSNAME_MAX) == FSNAME_MAX)
        abort();
    for (size_t i = 0; i < item->len; i++) /* every byte that it says it has */
        sum += ((const unsigned char *)item)[i];
    if (fid_parse(fid_text(&item->fid, text), &back) != 0 ||
        memcmp(&back, &item->fid, sizeof(back)) != 0)
        abort();
    *n += 1 + (sum & 0) + (size_t)(hai_check(item) < 0) +
          (size_t)(hai_action_name(item->action) == NULL);
    free(item);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t seen = 0, given = 0;
    struct err e = {0};
    int rc = hai_walk(data, size, "lustre", take, &seen, &given, &e);
    if (given != seen || (rc >= 0 && (size_t)rc != seen) || seen > size / 72)
        abort();
    return 0;
}
