/* SPDX-License-Identifier: Apache-2.0 */
#include "lustre/hai.h"

#include "base/mem.h"

#include <errno.h>
#include <string.h>

static size_t align8(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

/* Checks what comes before the items; *at gets where they begin. */
static int read_head(const char *msg, size_t size, const char *fsname, struct hai_head *head,
                     size_t *at, struct err *err)
{
    struct hsm_action_list list;
    if (size < sizeof(list))
        return err_set(err, -EPROTO, "message of %zu bytes has no head", size);
    memcpy(&list, msg, sizeof(list));
    if (list.version != HAL_VERSION)
        return err_set(err, -EPROTO, "message of version %u; %d is known", list.version,
                       HAL_VERSION);
    size_t room = size - sizeof(list);
    size_t n = strnlen(msg + sizeof(list), room);
    if (n == room || n >= sizeof(head->fsname))
        return err_set(err, -EPROTO, "message whose file system name has no end");
    *head =
        (struct hai_head){.flags = list.flags, .archive_id = list.archive_id, .count = list.count};
    memcpy(head->fsname, msg + sizeof(list), n + 1);
    head->foreign = strcmp(head->fsname, fsname) != 0;
    *at = sizeof(list) + align8(n + 1);
    return 0;
}

int hai_walk(const void *msg, size_t size, const char *fsname, hai_fn *fn, void *arg, size_t *given,
             struct err *err)
{
    struct hai_head head;
    size_t at = 0;
    *given = 0;
    int rc = read_head(msg, size, fsname, &head, &at, err);
    for (uint32_t i = 0; rc == 0 && i < head.count; i++) {
        struct hsm_action_item fixed;
        if (at > size || size - at < sizeof(fixed))
            return err_set(err, -EPROTO, "message of %u items ends in item %u", head.count, i);
        memcpy(&fixed, (const char *)msg + at, sizeof(fixed));
        if (fixed.len < sizeof(fixed) || fixed.len > size - at)
            return err_set(err, -EPROTO, "item %u of %u says it has %u bytes of %zu", i, head.count,
                           fixed.len, size - at);
        struct hsm_action_item *item = xzalloc(align8(fixed.len) + 8);
        memcpy(item, (const char *)msg + at, fixed.len);
        at += align8(fixed.len);
        (*given)++;
        fn(arg, &head, item);
    }
    return rc != 0 ? rc : (int)*given;
}

int hai_check(const struct hsm_action_item *item)
{
    if (item->action != HSMA_ARCHIVE && item->action != HSMA_RESTORE &&
        item->action != HSMA_REMOVE && item->action != HSMA_CANCEL)
        return EPROTO;
    if (item->fid.seq == 0)
        return EINVAL;
    if (item->extent.length != EXTENT_TO_END &&
        item->extent.offset + item->extent.length < item->extent.offset)
        return EINVAL;
    return 0;
}

const char *hai_action_name(uint32_t action)
{
    switch (action) {
    case HSMA_ARCHIVE:
        return "ARCHIVE";
    case HSMA_RESTORE:
        return "RESTORE";
    case HSMA_REMOVE:
        return "REMOVE";
    case HSMA_CANCEL:
        return "CANCEL";
    default:
        return "?";
    }
}
