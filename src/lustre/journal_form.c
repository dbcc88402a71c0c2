/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of the journal's file: records out, records in. */
#include "lustre/journal_impl.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "codec/crc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define RECORD_MAGIC 0x4A4E5246U
#define RECORD_MAX   (HAL_BYTES_MAX + 256) /* an item cannot be larger than a message */

struct file_head {
    char magic[8];
    uint32_t version, mark;
    struct uuid boot;
};
_Static_assert(sizeof(struct file_head) == 32, "file_head");

struct record_head {
    uint32_t magic, len, type, crc;
    uint64_t id;
};
_Static_assert(sizeof(struct record_head) == 24, "record_head");

struct item_head {
    uint64_t flags;
    uint32_t archive_id, zero;
};
_Static_assert(sizeof(struct item_head) == 16, "item_head");

static const struct file_head head = {
    {'f', 'i', 'r', 'n', 'h', 's', 'm', 'j'}, 1, 0x01020304, {{0}}};

/* Which boot of the machine this is; zeros when that is not told. */
static struct uuid this_boot(void)
{
    char text[UUID_TEXT] = "";
    struct uuid boot = {{0}};
    auto_close int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof(text) - 1) != (ssize_t)sizeof(text) - 1 ||
        uuid_parse(text, &boot) != 0)
        boot = (struct uuid){{0}};
    return boot;
}

void journal_put_head(struct buf *b)
{
    struct file_head h = head;
    h.boot = this_boot();
    buf_add(b, &h, sizeof(h));
}

bool journal_same_boot(const void *data, size_t size)
{
    struct file_head h;
    const struct uuid boot = this_boot();
    if (size < sizeof(h))
        return false;
    memcpy(&h, data, sizeof(h));
    return memcmp(&h.boot, &boot, sizeof(boot)) == 0 &&
           memcmp(&h.boot, &head.boot, sizeof(boot)) != 0;
}

static uint32_t sum(const struct record_head *h, const void *body, size_t n)
{
    struct record_head zeroed = *h;
    zeroed.crc = 0;
    return crc32c_update(crc32c_update(0, &zeroed, sizeof(zeroed)), body, n);
}

static void put_record(struct buf *b, uint32_t type, uint64_t id, const void *body, size_t n)
{
    struct record_head h = {
        .magic = RECORD_MAGIC, .len = (uint32_t)(sizeof(h) + n), .type = type, .id = id};
    h.crc = sum(&h, body, n);
    buf_add(b, &h, sizeof(h));
    buf_add(b, body, n);
}

void journal_put_ids(struct buf *b, const struct journal_entry *e)
{
    const struct uuid ids[2] = {e->new_id, e->old_id};
    if (e->phase == JOURNAL_WRITING)
        put_record(b, JOURNAL_IDS, e->id, ids, sizeof(ids));
    else if (e->phase == JOURNAL_PLANNED)
        put_record(b, JOURNAL_PLAN, e->id, ids, sizeof(ids[0]));
}

void journal_put_entry(struct buf *b, const struct journal_entry *e)
{
    auto_buf struct buf body = {0};
    const struct item_head ih = {.flags = e->flags, .archive_id = e->archive_id};
    buf_add(&body, &ih, sizeof(ih));
    buf_add(&body, e->item, e->item->len);
    put_record(b, JOURNAL_ITEM, e->id, body.data, body.len);
    journal_put_ids(b, e);
}

void journal_put_done(struct buf *b, uint64_t id)
{
    put_record(b, JOURNAL_DONE, id, NULL, 0);
}

/* Fills r from the body of a record whose sum is right. False for a body of another form. */
static bool read_body(struct journal_record *r, const char *body, size_t n)
{
    struct item_head ih;
    uint32_t len = 0;
    switch (r->type) {
    case JOURNAL_ITEM:
        if (n < sizeof(ih) + sizeof(struct hsm_action_item))
            return false;
        memcpy(&ih, body, sizeof(ih));
        memcpy(&len, body + sizeof(ih), sizeof(len));
        r->flags = ih.flags;
        r->archive_id = ih.archive_id;
        r->item = (const void *)(body + sizeof(ih));
        r->item_len = n - sizeof(ih);
        return len == r->item_len;
    case JOURNAL_IDS:
        if (n != 2 * sizeof(struct uuid))
            return false;
        memcpy(&r->new_id, body, sizeof(r->new_id));
        memcpy(&r->old_id, body + sizeof(r->new_id), sizeof(r->old_id));
        return true;
    case JOURNAL_PLAN:
        if (n != sizeof(struct uuid))
            return false;
        memcpy(&r->new_id, body, sizeof(r->new_id));
        return true;
    case JOURNAL_DONE:
        return n == 0;
    default:
        return false;
    }
}

/* The record at p of n bytes: its length, or 0 when there is none. */
static size_t read_record(const char *p, size_t n, struct journal_record *r)
{
    struct record_head h;
    if (n < sizeof(h))
        return 0;
    memcpy(&h, p, sizeof(h));
    if (h.magic != RECORD_MAGIC || h.len < sizeof(h) || h.len > RECORD_MAX || h.len > n)
        return 0;
    if (sum(&h, p + sizeof(h), h.len - sizeof(h)) != h.crc)
        return 0;
    *r = (struct journal_record){.type = h.type, .id = h.id};
    return read_body(r, p + sizeof(h), h.len - sizeof(h)) ? h.len : 0;
}

int64_t journal_scan(const void *data, size_t size,
                     void (*fn)(void *arg, const struct journal_record *r), void *arg,
                     uint64_t *damaged)
{
    const char *p = data;
    int64_t n = 0;
    uint64_t bad = 0, lost = 0;
    if (size < sizeof(head) || memcmp(p, &head, offsetof(struct file_head, boot)) != 0)
        return -EINVAL;
    for (size_t at = sizeof(head); at < size;) {
        struct journal_record r;
        size_t len = read_record(p + at, size - at, &r);
        if (len == 0) { /* look for the next that is whole; what never ends is the torn tail */
            at++;
            bad++;
            continue;
        }
        lost += bad;
        bad = 0;
        at += len;
        n++;
        fn(arg, &r);
    }
    if (damaged != NULL)
        *damaged = lost;
    return n;
}
