/* SPDX-License-Identifier: Apache-2.0 */
/* Messages that no coordinator should send. */
#include "mdt.h"

#include "base/mem.h"

#include <errno.h>
#include <string.h>

enum { BOGUS_COOKIE = 0x7fffff01, BOGUS_ITEMS = 2 };

/* A whole message of two archive items with FIDs and cookies that nobody knows. */
struct bogus {
    struct kuc_hdr hdr;
    struct hsm_action_list list;
    char fsname[136];
    struct hsm_action_item items[BOGUS_ITEMS];
} __attribute__((packed));

static void make(const struct mdt *m, struct bogus *b)
{
    size_t head = hsm_first_item(m->fsname, strlen(m->fsname));
    *b = (struct bogus){.hdr = {KUC_MAGIC, KUC_TRANSPORT_HSM, 0, HMT_ACTION_LIST, 0},
                        .list = {.version = HAL_VERSION, .count = BOGUS_ITEMS, .archive_id = 1}};
    memcpy(b->fsname, m->fsname, strlen(m->fsname));
    for (uint32_t i = 0; i < BOGUS_ITEMS; i++)
        b->items[i] = (struct hsm_action_item){.len = sizeof b->items[i],
                                               .action = HSMA_ARCHIVE,
                                               .fid = {0x7fff, i + 1, 0},
                                               .dfid = {0x7fff, i + 1, 0},
                                               .extent = {0, FAKE_NONE},
                                               .cookie = BOGUS_COOKIE + i};
    b->hdr.msglen = (uint16_t)(sizeof b->hdr + head + sizeof b->items);
}

static size_t pack(const struct mdt *m, const struct bogus *b, char *out)
{
    size_t head = hsm_first_item(m->fsname, strlen(m->fsname));
    memcpy(out, b, sizeof b->hdr + head);
    memcpy(out + sizeof b->hdr + head, b->items, sizeof b->items);
    return sizeof b->hdr + head + sizeof b->items;
}

static void kind_magic(struct bogus *b)
{
    b->hdr.magic = 0x4242;
}
static void kind_transport(struct bogus *b)
{
    b->hdr.transport = 9;
}
static void kind_type(struct bogus *b)
{
    b->hdr.msgtype = 7;
}
static void kind_shutdown(struct bogus *b)
{
    b->hdr.transport = KUC_TRANSPORT_GENERIC;
    b->hdr.msgtype = KUC_MSG_SHUTDOWN;
}
static void kind_tiny(struct bogus *b)
{
    b->hdr.msglen = sizeof b->hdr + 4;
}
static void kind_version(struct bogus *b)
{
    b->list.version = 99;
}
static void kind_fsname(struct bogus *b)
{
    b->fsname[0] ^= 0x20;
}
static void kind_fsname_endless(struct bogus *b)
{
    memset(b->fsname, 'x', sizeof b->fsname);
    memset(b->items, 'x', sizeof b->items);
}
static void kind_count(struct bogus *b)
{
    b->list.count = 1000000;
}
static void kind_item_short(struct bogus *b)
{
    b->items[0].len = 8;
}
static void kind_item_long(struct bogus *b)
{
    b->items[1].len = 100000;
}
static void kind_item_wrap(struct bogus *b)
{
    b->items[0].len = UINT32_MAX - 3;
}
static void kind_truncated(struct bogus *b)
{
    b->hdr.msglen = (uint16_t)(b->hdr.msglen - 40);
}
static void kind_action(struct bogus *b)
{
    b->items[0].action = 77;
}
static void kind_archive(struct bogus *b)
{
    b->list.archive_id = 31337;
}
static void kind_empty(struct bogus *b)
{
    b->list.count = 0;
    b->hdr.msglen = (uint16_t)(b->hdr.msglen - sizeof b->items);
}
static void kind_cancel(struct bogus *b)
{
    b->list.count = 1;
    b->hdr.msglen = (uint16_t)(b->hdr.msglen - sizeof b->items[0]);
    b->items[0].action = HSMA_CANCEL;
}

static const struct {
    const char *name;
    void (*spoil)(struct bogus *b);
} kinds[] = {
    {"magic", kind_magic},         {"transport", kind_transport},
    {"type", kind_type},           {"shutdown", kind_shutdown},
    {"tiny", kind_tiny},           {"version", kind_version},
    {"fsname", kind_fsname},       {"fsname_endless", kind_fsname_endless},
    {"count", kind_count},         {"item_short", kind_item_short},
    {"item_long", kind_item_long}, {"item_wrap", kind_item_wrap},
    {"truncated", kind_truncated}, {"action", kind_action},
    {"archive", kind_archive},     {"empty", kind_empty},
    {"cancel", kind_cancel},
};

/* "raw": the bytes of "hex" as they are. "end": no bytes, the writer's end is closed. */
static int inject_raw(struct mdt *m, const char *client, const cJSON *cmd)
{
    auto_buf struct buf bytes = {0};
    const char *hex = json_str(cmd, "hex", "");
    for (; hex[0] != '\0' && hex[1] != '\0'; hex += 2) {
        char pair[3] = {hex[0], hex[1], '\0'};
        buf_addc(&bytes, (char)strtoul(pair, NULL, 16));
    }
    if (bytes.len > 0)
        agent_send(m, client, bytes.data, bytes.len);
    return 0;
}

static void close_pipes(struct mdt *m, const char *client)
{
    struct mdt_agent *a, *tmp;
    DL_FOREACH_SAFE(m->agents, a, tmp)
    if (strcmp(a->client, client) == 0)
        agent_remove(m, a->id);
}

int mangle_inject(struct mdt *m, const char *kind, const char *client, const cJSON *cmd)
{
    struct bogus b;
    char out[sizeof b];
    if (strcmp(kind, "raw") == 0)
        return inject_raw(m, client, cmd);
    if (strcmp(kind, "end") == 0) {
        close_pipes(m, client);
        return 0;
    }
    make(m, &b);
    if (cJSON_GetObjectItem(cmd, "cookie") != NULL)
        b.items[0].cookie = (uint64_t)json_int(cmd, "cookie", 0);
    if (json_str(cmd, "fid", NULL) != NULL)
        (void)fid_parse(json_str(cmd, "fid", ""), &b.items[0].fid);
    b.items[0].dfid = b.items[0].fid;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].name, kind) != 0)
            continue;
        kinds[i].spoil(&b);
        size_t len = pack(m, &b, out);
        agent_send(m, client, out, b.hdr.msglen < len ? b.hdr.msglen : len);
        return 0;
    }
    return -EINVAL;
}
